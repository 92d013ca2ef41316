"""True values of what was observed: missing entries, and values behind measurement errors or in bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._arguments import as_seed, as_whole
from bayesgmm.inference._new_rows import rows_for
from bayesgmm.inference.prediction import standardised
from bayesgmm.numerics.linalg import inverse_lower, outer
from bayesgmm.numerics.true_values import drawn, moments

if TYPE_CHECKING:
    import xarray as xr

# The posterior of the parameters is averaged over at most so many draws, evenly spaced, and fewer for many rows.
_MOST_DRAWS = 400
_FEWEST_DRAWS = 25
_ROWS_OF_ALL_DRAWS = 10_000_000


def impute(
    fit: xr.DataTree, data: Any = None, *, n_draws: int = 0, random_seed: int | np.random.Generator | None = None
) -> xr.Dataset:
    """Posterior means and draws of missing entries, given what was observed in their rows.

    The fit itself needs none of them: it uses the exact likelihood of the observed entries. Entries that were
    observed stay as they are, and bins at their centres (open ones a little beyond their bound); see `denoise` for the
    true values behind measurement errors and in bins.

    Parameters
    ----------
    fit : DataTree
    data : array-like, DataFrame, DataArray or Data, optional
        Rows with NaN where an entry is missing; the rows that were fitted if left out.
    n_draws : int
        Completed copies of the data to draw, each under another posterior draw of the parameters (the mode under `EM`,
        whose copies are too alike because the parameters are taken for known).
    random_seed : int or numpy.random.Generator, optional
        A Generator gives one number as the seed and moves on.

    Returns
    -------
    xarray.Dataset
        ``x`` (obs, feature), the data with posterior means in place of missing entries; ``x_sd``, their posterior
        standard deviations, 0 where an entry was observed; with ``n_draws`` also ``x_draws`` (draw, obs, feature).

    Raises
    ------
    InputError
        If the columns do not match the fit or ``n_draws`` is no whole number.
    """
    return _true_values(fit, data, n_draws, random_seed, all_entries=False)


def denoise(
    fit: xr.DataTree, data: Any = None, *, n_draws: int = 0, random_seed: int | np.random.Generator | None = None
) -> xr.Dataset:
    """Posterior of the true value of every entry, given what was measured and the errors of measurement.

    A value with a large error moves towards the components it may belong to; one without error stays where it is.
    Values in bins get their expected place within the bin, missing entries what `impute` gives.

    Parameters
    ----------
    fit : DataTree
    data : array-like or Data, optional
        Rows, with their errors as ``as_data(rows, noise=...)``; the rows that were fitted if left out.
    n_draws : int
        Copies of the true values to draw, each under another posterior draw of the parameters.
    random_seed : int or numpy.random.Generator, optional
        A Generator gives one number as the seed and moves on.

    Returns
    -------
    xarray.Dataset
        ``x`` (obs, feature), posterior means; ``x_sd``, posterior standard deviations; with ``n_draws`` also
        ``x_draws`` (draw, obs, feature).

    Raises
    ------
    InputError
        If the columns do not match the fit or ``n_draws`` is no whole number.
    """
    return _true_values(fit, data, n_draws, random_seed, all_entries=True)


def _true_values(
    fit: xr.DataTree, data: Any, n_draws: int, random_seed: int | np.random.Generator | None, *, all_entries: bool
) -> xr.Dataset:
    from bayesgmm.results import read_result
    from bayesgmm.results.build import dataset

    n_draws, seed = as_whole("n_draws", n_draws), as_seed(random_seed)
    fitted = read_result(fit)
    table = rows_for(fit, fitted, data)
    rows = standardised(fitted, table)
    most = int(np.clip(_ROWS_OF_ALL_DRAWS // table.n_obs, _FEWEST_DRAWS, _MOST_DRAWS))
    mixtures = fitted.point if fitted.draws is None else fitted.draws.thinned(most)
    log_weights, means, factors = mixtures.standardised(fitted.center, fitted.scale)
    covariances = outer(inverse_lower(factors))
    noise = mixtures.noise_factors
    first, second = np.zeros(table.values.shape), np.zeros(table.values.shape)
    S = len(mixtures)

    def responsibilities(s: int) -> np.ndarray:
        at = log_weights[s : s + 1], means[s : s + 1], factors[s : s + 1]
        return rows.rowwise_of_many(*at, noise_factors=noise[s : s + 1])[0][0]

    for s in range(S):
        one, two = moments(rows, responsibilities(s), means[s], covariances[s], float(noise[s]))
        first, second = first + one / S, second + two / S
    known = np.zeros(table.values.shape, dtype=bool) if all_entries else ~np.isnan(table.values)
    sd = np.sqrt(np.maximum(second - np.square(first), 0.0))
    variables = {
        names.DATA: np.where(known, table.values, fitted.center + fitted.scale * first),
        "x_sd": np.where(known, 0.0, sd * fitted.scale),
    }
    obs = np.arange(table.n_obs) if table.obs_names is None else table.obs_names
    coords = {names.OBS: obs, names.FEATURE: np.asarray(fitted.feature_names)}
    if n_draws:
        rng = np.random.default_rng(seed)
        chosen = rng.integers(S, size=n_draws) if n_draws > S else np.linspace(0, S - 1, n_draws).astype(int)
        draws = np.empty((n_draws, *table.values.shape))
        for i, s in enumerate(chosen):
            r = responsibilities(s)
            labels = np.minimum((np.cumsum(r, axis=0) < rng.random(rows.n_rows)).sum(axis=0), len(r) - 1)
            draws[i] = drawn(rows, labels, means[s], covariances[s], rng, float(noise[s]))
        variables["x_draws"] = np.where(known, table.values, fitted.center + fitted.scale * draws)
        coords[names.DRAW] = np.arange(n_draws)
    return dataset(variables, coords)
