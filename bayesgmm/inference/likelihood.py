"""Pointwise log-likelihoods of every draw, for `az.loo` and `az.compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm.inference._new_rows import rows_for
from bayesgmm.inference.prediction import chunks, need_draws, standardised

if TYPE_CHECKING:
    import xarray as xr


def add_log_likelihood(fit: xr.DataTree, data: Any = None) -> xr.DataTree:
    """A copy of a fit with the group ``log_likelihood``: log p(x_i | parameters) with labels summed out.

    Parameters
    ----------
    fit : DataTree
        With posterior draws.
    data : array-like, optional
        The fitted rows if left out.

    Returns
    -------
    DataTree
        ``log_likelihood/x`` has dimensions (chain, draw, obs), so that ``az.loo`` leaves out one row at a time
        (Merkle et al. 2019). A row that stands for several units is there once for each of them, one after the other;
        one in which nothing was observed is not there.

    Raises
    ------
    InputError
        If the fit has no draws, or rows stand for fractions of units.
    """
    from bayesgmm.results import read_result
    from bayesgmm.results.build import dataset

    fitted = read_result(fit)
    draws = need_draws(fitted, "fit")
    table = rows_for(fit, fitted, data)
    x = standardised(fitted, table)
    values = np.empty((len(draws), table.n_obs))
    for rows, _, log_densities in chunks(fitted, draws, x):
        values[:, rows] = log_densities
    values -= x.log_volumes(fitted.scale)
    # Rows in which nothing was observed say nothing, and PSIS cannot take constants.
    units = np.flatnonzero(np.isfinite(table.values).any(axis=1))
    if table.counts is not None:
        if (table.counts != np.round(table.counts)).any():
            raise InputError("data", "rows stand for fractions of units", "LOO needs whole units; fit without weights")
        units = np.repeat(units, table.counts[units].astype(int))
    values = values[:, units]
    n_draws = len(draws) // fitted.n_chains
    obs = units if table.obs_names is None else table.obs_names[units]
    coords = {names.CHAIN: np.arange(fitted.n_chains), names.DRAW: np.arange(n_draws), names.OBS: obs}
    group = dataset(
        {"log_density": values.reshape(fitted.n_chains, n_draws, -1)}, coords, leading=(names.CHAIN, names.DRAW)
    )
    out = fit.copy()
    out[names.LOG_LIKELIHOOD] = group.rename({"log_density": names.DATA})
    return out
