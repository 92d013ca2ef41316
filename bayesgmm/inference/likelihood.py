"""Pointwise log-likelihoods of every draw, for `az.loo` and `az.compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm.inference.prediction import _rows, chunks, need_draws, standardised

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
        (Merkle et al. 2019). Of a row with a count it is that of one unit.

    Raises
    ------
    InputError
        If the fit has no draws.
    """
    from bayesgmm.results import read_result
    from bayesgmm.results.build import dataset

    fitted = read_result(fit)
    draws = need_draws(fitted, "fit")
    table = _rows(fit, fitted, data)
    x = standardised(fitted, table)
    values = np.empty((len(draws), table.n_obs))
    for rows, _, log_densities in chunks(fitted, draws, x):
        values[:, rows] = log_densities
    values -= x.log_volumes(fitted.scale)
    n_draws = len(draws) // fitted.n_chains
    obs = np.arange(table.n_obs) if table.obs_names is None else table.obs_names
    coords = {names.CHAIN: np.arange(fitted.n_chains), names.DRAW: np.arange(n_draws), names.OBS: obs}
    group = dataset(
        {"log_density": values.reshape(fitted.n_chains, n_draws, -1)}, coords, leading=(names.CHAIN, names.DRAW)
    )
    out = fit.copy()
    out[names.LOG_LIKELIHOOD] = group.rename({"log_density": names.DATA})
    return out
