"""Simulated copies of the data, one for each posterior draw."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_seed, as_whole
from bayesgmm._errors import InputError

if TYPE_CHECKING:
    import xarray as xr

# Copies under all draws are made up to so many numbers (400 MB); beyond, `n_draws` has to say how many are wanted.
_MOST_NUMBERS = 50_000_000


def add_posterior_predictive(
    fit: xr.DataTree, *, n_draws: int | None = None, random_seed: int | np.random.Generator | None = None
) -> xr.DataTree:
    """A copy of a fit with the group ``posterior_predictive``, for ``az.plot_ppc_dist`` and its like.

    Parameters
    ----------
    fit : DataTree
        With posterior draws.
    n_draws : int, optional
        Number of posterior draws used, the same and evenly spaced ones of each chain, so that it is rounded down to a
        multiple of the number of chains (or to one draw of each of so many chains). All draws if left out: then
        ``az.plot_loo_pit`` can tell which log-likelihood belongs to which copy. Every draw gives a data set as large
        as the one that was fitted.
    random_seed : int or numpy.random.Generator, optional
        A Generator gives one number as the seed and moves on.

    Returns
    -------
    DataTree
        ``posterior_predictive/x`` has dimensions (chain, draw, obs, feature), with the labels that chains and draws
        have in ``posterior``; with errors of measurement and missing entries as in the fitted rows. Every row stands
        for one unit.

    Raises
    ------
    InputError
        If the fit has no draws, ``n_draws`` is no whole number, or it was left out where copies under all draws would
        be more than 50 million numbers.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> fit = bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), engine=bg.Laplace(), random_seed=1)
    >>> copies = bg.add_posterior_predictive(fit, n_draws=40, random_seed=1)["posterior_predictive"]["x"]
    >>> dict(copies.sizes)
    {'chain': 4, 'draw': 10, 'obs': 272, 'feature': 2}
    """
    from bayesgmm.data import group_numbers
    from bayesgmm.inference.prediction import need_draws
    from bayesgmm.inference.simulation import draw_labels, measured
    from bayesgmm.results import read_result, stored_data
    from bayesgmm.results.build import dataset

    n_draws = None if n_draws is None else as_whole("n_draws", n_draws, least=1, hint=", or leave it out for all")
    seed = as_seed(random_seed)
    fitted = read_result(fit)
    draws = need_draws(fitted, "fit")
    rng = np.random.default_rng(seed)
    table = stored_data(fit)
    n, d = table.n_obs, table.n_features
    if n_draws is None and len(draws) * n * d > _MOST_NUMBERS:
        raise InputError(
            "n_draws",
            f"was left out, and {len(draws):,} copies of {n:,} rows are too much to hold",
            "Give how many are wanted, such as n_draws=100",
        )
    chains, places = _chosen(fitted.n_chains, len(draws) // fitted.n_chains, len(draws) if n_draws is None else n_draws)
    groups = None if fitted.groups is None else group_numbers(table, fitted.groups)
    one_each = replace(table, counts=np.ones(n), bins=None)
    which = (chains[:, None] * (len(draws) // fitted.n_chains) + places).ravel()
    x = np.empty((which.size, n, d))
    for i, s in enumerate(which.tolist()):
        labels = draw_labels(draws.weights[s], n, groups, rng)
        noise = rng.standard_normal((n, d, 1))
        true = draws.means[s][labels] + (np.linalg.cholesky(draws.covariances[s])[labels] @ noise)[..., 0]
        x[i] = measured(true, one_each, float(draws.noise_scale[s]), rng)
    posterior = fit[names.POSTERIOR]
    coords = {
        names.CHAIN: posterior[names.CHAIN].to_numpy()[chains],
        names.DRAW: posterior[names.DRAW].to_numpy()[places],
        names.OBS: fit[names.OBSERVED][names.OBS].to_numpy(),
        names.FEATURE: np.asarray(table.feature_names),
    }
    x = x.reshape(chains.size, places.size, n, d)
    out = fit.copy()
    out[names.POSTERIOR_PREDICTIVE] = dataset({names.DATA: x}, coords, leading=(names.CHAIN, names.DRAW))
    return out


def _chosen(n_chains: int, n_draws: int, most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of chains and of draws in each of them, evenly spaced, no more than `most` together."""
    chains = _spaced(n_chains, min(most, n_chains))
    return chains, _spaced(n_draws, min(most // chains.size, n_draws))


def _spaced(size: int, number: int) -> NDArray[np.intp]:
    return np.linspace(0, size - 1, number).astype(np.intp)
