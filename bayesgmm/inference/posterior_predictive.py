"""Simulated copies of the data, one for each of some posterior draws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._arguments import as_seed, as_whole

if TYPE_CHECKING:
    import xarray as xr


def add_posterior_predictive(
    fit: xr.DataTree, *, n_draws: int = 100, random_seed: int | np.random.Generator | None = None
) -> xr.DataTree:
    """A copy of a fit with the group ``posterior_predictive``, for ``az.plot_ppc_dist`` and its like.

    Parameters
    ----------
    fit : DataTree
        With posterior draws.
    n_draws : int
        Number of posterior draws used, evenly spaced over all of them (fewer where there are fewer). Every one gives
        a data set as large as the one that was fitted.
    random_seed : int or numpy.random.Generator, optional
        A Generator gives one number as the seed and moves on.

    Returns
    -------
    DataTree
        ``posterior_predictive/x`` has dimensions (chain, draw, obs, feature), with a single chain; with errors of
        measurement and missing entries as in the fitted rows. Every row stands for one unit.

    Raises
    ------
    InputError
        If the fit has no draws or ``n_draws`` is no whole number.
    """
    from bayesgmm.data import group_numbers
    from bayesgmm.inference.prediction import need_draws
    from bayesgmm.inference.simulation import draw_labels, measured
    from bayesgmm.results import read_result, stored_data
    from bayesgmm.results.build import dataset

    n_draws, seed = as_whole("n_draws", n_draws, least=1), as_seed(random_seed)
    fitted = read_result(fit)
    draws = need_draws(fitted, "fit").thinned(n_draws)
    rng = np.random.default_rng(seed)
    table = stored_data(fit)
    n, d = table.n_obs, table.n_features
    groups = None if fitted.groups is None else group_numbers(table, fitted.groups)
    one_each = replace(table, counts=np.ones(n), bins=None)
    choleskys = np.linalg.cholesky(draws.covariances)
    x = np.empty((1, len(draws), n, d))
    for s in range(len(draws)):
        labels = draw_labels(draws.weights[s], n, groups, rng)
        noise = rng.standard_normal((n, d, 1))
        true = draws.means[s][labels] + (choleskys[s][labels] @ noise)[..., 0]
        x[0, s] = measured(true, one_each, float(draws.noise_scale[s]), rng)
    coords = {
        names.CHAIN: [0],
        names.DRAW: np.arange(len(draws)),
        names.OBS: np.arange(n) if table.obs_names is None else table.obs_names,
        names.FEATURE: np.asarray(table.feature_names),
    }
    out = fit.copy()
    out[names.POSTERIOR_PREDICTIVE] = dataset({names.DATA: x}, coords, leading=(names.CHAIN, names.DRAW))
    return out
