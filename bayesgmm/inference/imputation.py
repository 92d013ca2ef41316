"""What missing entries may have been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm.inference.prediction import _rows, standardised
from bayesgmm.numerics.linalg import inverse_lower, outer
from bayesgmm.numerics.rows import regression

if TYPE_CHECKING:
    import xarray as xr

# The posterior of the parameters is averaged over at most so many draws, evenly spaced.
_MOST_DRAWS = 400


def impute(fit: xr.DataTree, data: Any = None, *, n_draws: int = 0, random_seed: int | None = None) -> xr.Dataset:
    """Posterior means and draws of missing entries, given what was observed in their rows.

    The fit itself needs none of them: it uses the exact likelihood of the observed entries.

    Parameters
    ----------
    fit : DataTree
    data : array-like, DataFrame, DataArray or Data, optional
        Rows with NaN where an entry is missing; the rows that were fitted if left out.
    n_draws : int
        Completed copies of the data to draw, each under another posterior draw of the parameters (the mode under `EM`,
        whose copies are too alike because the parameters are taken for known).
    random_seed : int, optional

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
    from bayesgmm.results import read_result
    from bayesgmm.results.build import dataset

    if isinstance(n_draws, bool) or not isinstance(n_draws, (int, np.integer)) or n_draws < 0:
        raise InputError("n_draws", f"got {n_draws!r}", "Give a whole number of at least 0")
    fitted = read_result(fit)
    table = _rows(fit, fitted, data)
    rows = standardised(fitted, table.values)
    mixtures = fitted.point if fitted.draws is None else fitted.draws.thinned(_MOST_DRAWS)
    log_weights, means, factors = mixtures.standardised(fitted.center, fitted.scale)
    first, second = np.zeros(table.values.shape), np.zeros(table.values.shape)
    S, d = len(mixtures), table.n_features
    everything = np.arange(table.n_obs)
    for s in range(S):
        r = rows.rowwise_of_many(log_weights[s : s + 1], means[s : s + 1], factors[s : s + 1])[0][0]
        covariances = outer(inverse_lower(factors[s]))
        for columns, index, x in _patterns(rows, everything, d):
            B, rest = regression(covariances, columns)
            for k in range(len(r)):
                conditional = (means[s, k][:, None] + B[k] @ (x - means[s, k, columns][:, None])).T
                weight = r[k, index][:, None]
                first[index] += weight * conditional
                second[index] += weight * (np.square(conditional) + np.diagonal(rest[k]))
    mean = first / S
    missing = np.isnan(table.values)
    sd = np.sqrt(np.maximum(second / S - np.square(mean), 0.0)) * missing
    variables = {
        names.DATA: np.where(missing, fitted.center + fitted.scale * mean, table.values),
        "x_sd": sd * fitted.scale,
    }
    obs = everything if table.obs_names is None else table.obs_names
    coords = {names.OBS: obs, names.FEATURE: np.asarray(fitted.feature_names)}
    if n_draws:
        rng = np.random.default_rng(random_seed)
        chosen = rng.integers(S, size=n_draws) if n_draws > S else np.linspace(0, S - 1, n_draws).astype(int)
        draws = np.stack([_drawn(rows, log_weights[s], means[s], factors[s], rng) for s in chosen])
        variables["x_draws"] = np.where(missing, fitted.center + fitted.scale * draws, table.values)
        coords[names.DRAW] = np.arange(n_draws)
    return dataset(variables, coords)


def _patterns(rows: Any, everything: Any, d: int) -> list[tuple[Any, Any, Any]]:
    """(columns, rows, values) of each pattern, the rows without any entry included."""
    seen = np.concatenate([block.index for block in rows.blocks]) if rows.blocks else everything[:0]
    empty = np.setdiff1d(everything, seen)
    patterns = [(block.columns, block.index, block.x) for block in rows.blocks]
    return [*patterns, (np.arange(0), empty, np.empty((0, empty.size)))] if empty.size else patterns


def _drawn(rows: Any, log_weights: Any, means: Any, factors: Any, rng: np.random.Generator) -> Any:
    """One completed copy (N, d): a component for each row, then what is missing given it and what is observed."""
    r = rows.rowwise_of_many(log_weights[None], means[None], factors[None])[0][0]
    covariances = outer(inverse_lower(factors))
    d = means.shape[1]
    out = np.empty((rows.n_rows, d))
    labels = np.minimum((np.cumsum(r, axis=0) < rng.random(rows.n_rows)).sum(axis=0), len(r) - 1)
    for columns, index, x in _patterns(rows, np.arange(rows.n_rows), d):
        B, rest = regression(covariances, columns)
        left = np.setdiff1d(np.arange(d), columns)
        for k in np.unique(labels[index]):
            own = np.flatnonzero(labels[index] == k)
            at = index[own]
            out[at] = (means[k][:, None] + B[k] @ (x[:, own] - means[k, columns][:, None])).T
            if left.size:
                L = np.linalg.cholesky(rest[k][np.ix_(left, left)])
                out[np.ix_(at, left)] += rng.standard_normal((own.size, left.size)) @ L.T
    return out
