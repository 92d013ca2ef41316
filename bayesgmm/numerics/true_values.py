"""True values of rows given what was observed of them: means, standard deviations and draws under a mixture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics.binned_rows import BinnedRows
from bayesgmm.numerics.exact_rows import Conditional
from bayesgmm.numerics.passes import Array
from bayesgmm.numerics.rows import Rows


def moments(
    rows: Rows, responsibilities: Array, means: Array, covariances: Array, noise_factor: float = 1.0
) -> tuple[Array, Array]:
    """E[x] and E[x^2] of every entry (N, d), given responsibilities (K, N)."""
    first, second = np.zeros((rows.n_rows, rows.n_features)), np.zeros((rows.n_rows, rows.n_features))
    for r, mean, covariance in zip(responsibilities, means, covariances, strict=True):
        for each in rows.conditionals(mean, covariance, noise_factor):
            weight = r[each.index][:, None]
            expected = each.expected(mean)
            variance = np.diagonal(_left(each, covariance), axis1=-2, axis2=-1)
            variance = variance + np.square(each.gain[:, 0]) * each.y_variance[:, None]
            first[each.index] += weight * expected
            second[each.index] += weight * (np.square(expected) + variance)
    return first, second


def drawn(
    rows: Rows,
    labels: NDArray[np.intp],
    means: Array,
    covariances: Array,
    rng: np.random.Generator,
    noise_factor: float = 1.0,
) -> Array:
    """One draw of all true values (N, d), given a component for each row (N,)."""
    out = np.empty((rows.n_rows, rows.n_features))
    in_bins = _values_in_bins(rows, labels, means, covariances, rng, noise_factor)
    for k, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        for each in rows.conditionals(mean, covariance, noise_factor):
            own = np.flatnonzero(labels[each.index] == k)
            if not own.size:
                continue
            index = each.index[own]
            y = each.y[own] if in_bins is None else in_bins[index][:, None]
            gain = each.gain if len(each.gain) == 1 else each.gain[own]
            some = Conditional(index=index, y=y, gain=gain, y_variance=each.y_variance[own])
            out[index] = some.expected(mean) + _noise(_left(some, covariance), own.size, rng)
    return out


def _left(each: Conditional, covariance: Array) -> Array:
    """Covariance of true values given y, (1 or n, d, d)."""
    return covariance - each.gain @ covariance


def _noise(covariances: Array, n: int, rng: np.random.Generator) -> Array:
    """Normal draws (n, d); covariances of known entries are 0, so there is no Cholesky factor."""
    values, vectors = np.linalg.eigh(0.5 * (covariances + np.swapaxes(covariances, -1, -2)))
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    return (roots @ rng.standard_normal((n, covariances.shape[-1], 1)))[..., 0]


def _values_in_bins(
    rows: Rows, labels: NDArray[np.intp], means: Array, covariances: Array, rng: np.random.Generator, factor: float
) -> Array | None:
    out = None
    for part in rows.parts:
        if isinstance(part, BinnedRows):
            out = np.full(rows.n_rows, np.nan) if out is None else out
            own = labels[part.index]
            for k in np.unique(own):
                places = np.flatnonzero(own == k)
                noise = 0.0 if part.noise is None else factor * part.noise[places]
                T = np.broadcast_to(covariances[k, 0, 0] + noise, places.shape)
                out[part.index[places]] = part.drawn(means[k, 0], T, places, rng)
    return out
