"""The one pass over the data: expected sufficient statistics of a Gaussian mixture.

Every engine reads the same four numbers or arrays: EM as an M-step, a quasi-Newton optimiser as a gradient
(Fisher's identity), variational Bayes as the data part of its bound.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics.compiling import load
from bayesgmm.numerics.linalg import lower_indices, lower_mask, strictly_lower_mask

Array = NDArray[np.float64]
# S of them: log scales (S, K), means (S, K, d), covariances and precision Choleskys (S, K, d, d), factors of error
# variances (S,).
Mixtures = tuple[Array, Array, Array, Array, Array]

# Below this many multiplications a pass is over before a second thread has started.
_WORK_WORTH_A_THREAD = 4_000_000
# The same for a thread that does whole passes and only has to take the interpreter's lock in between.
_WORK_WORTH_RELEASING = 400_000
# Largest |precision| * |x|^2 for which expanding the quadratic form keeps about 11 digits.
_LARGEST_EXPANSION = 5e4
_SMALLEST_EXPANDED_DIMENSION = 4
# Small problems do without the second kernel: loading it takes longer than they do.
_WORK_WORTH_EXPANDING = 1_000_000
_NONE = np.empty(0)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What one pass returns.

    Attributes
    ----------
    log_normaliser : float
        Sum over rows of log sum_k exp(c_k) N(x; m_k, .). The log-likelihood when c = log weights.
    counts : (K,) array
        Expected number of rows of each component.
    first : (K, d) array
        Expected sums of x - m_k.
    second : (K, d, d) array
        Expected sums of (x - m_k)(x - m_k)', symmetric.
    noise_residual : float
        Twice the derivative of the log-likelihood in the log of a factor of all error covariances; 0 without errors.
    mean_slope, sigma_slope : (K, d) and (K, d, d) arrays, optional
        Derivatives of the sum of log normalisers in m_k and Sigma_k. They follow from the others, but where errors
        dwarf a covariance rounding would spoil them, so that passes over such rows hand them out as well.
    group_counts : (G, K) array, optional
        Expected numbers of rows of each component in each group, where rows belong to groups.
    """

    log_normaliser: float
    counts: Array
    first: Array
    second: Array
    noise_residual: float = 0.0
    mean_slope: Array | None = None
    sigma_slope: Array | None = None
    group_counts: Array | None = None

    @property
    def weight_counts(self) -> Array:
        """The counts that say something about the weights: (G, K) where rows belong to groups, else (K,)."""
        return self.counts if self.group_counts is None else self.group_counts

    def slopes(self, precision_choleskys: Array) -> tuple[Array, Array]:
        """Derivatives of the sum of log normalisers in m_k (K, d) and Sigma_k (K, d, d)."""
        if self.mean_slope is not None and self.sigma_slope is not None:
            return self.mean_slope, self.sigma_slope
        precisions = np.swapaxes(precision_choleskys, -1, -2) @ precision_choleskys
        by_means = (precisions @ self.first[..., None])[..., 0]
        return by_means, 0.5 * (precisions @ self.second @ precisions - self.counts[:, None, None] * precisions)


def expected_statistics(
    x: Array,
    log_scales: Array,
    means: Array,
    precision_choleskys: Array,
    *,
    row_weights: Array | None = None,
    n_threads: int = 1,
) -> Statistics:
    """Do one pass.

    Parameters
    ----------
    x : (d, N) array
        The data, feature-major and C-contiguous. For speed, centred and scaled to order one.
    log_scales : (K,) array
        Log factor c_k of the *normalised* Gaussian density of each component.
    means : (K, d) array
    precision_choleskys : (K, d, d) array
        Lower triangular A_k with A_k' A_k the precision.
    row_weights : (N,) array, optional
        How often each row counts; once if left out.
    n_threads : int
        Rows are shared out to so many threads where the work is worth it. The sums are added in a fixed order,
        so the result is the same bit for bit at a fixed number of threads.
    """
    _kernels = load("_kernels")

    d, n = x.shape
    log_scales = np.ascontiguousarray(log_scales, dtype=float)
    means = np.ascontiguousarray(means, dtype=float)
    precision_choleskys = np.ascontiguousarray(precision_choleskys, dtype=float)
    K = log_scales.size
    constants = log_constants(log_scales, precision_choleskys)

    work = n * K * (d + 1) * (d + 2)
    worth_expanding = row_weights is None and d >= _SMALLEST_EXPANDED_DIMENSION and work > _WORK_WORTH_EXPANDING
    if worth_expanding and _may_expand(x, precision_choleskys):
        coefficients = _coefficients(constants, means, precision_choleskys)

        def one_chunk(begin: int, stop: int) -> tuple[float, tuple[Array, ...]]:
            moments = np.zeros_like(coefficients)
            return _kernels.feature_pass(x, begin, stop, coefficients, moments), (moments,)

    else:
        weights = _NONE if row_weights is None else np.ascontiguousarray(row_weights, dtype=float)
        no_rows = np.empty((K, 0)), _NONE

        def one_chunk(begin: int, stop: int) -> tuple[float, tuple[Array, ...]]:
            sums = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
            at = constants, means, precision_choleskys, weights
            return _kernels.direct_pass(x, begin, stop, *at, *sums, *no_rows), sums

    chunks = n_chunks(work, n_threads)
    if chunks == 1:
        value, sums = one_chunk(0, n)
    else:
        edges = [n * i // chunks for i in range(chunks + 1)]
        with ThreadPoolExecutor(chunks) as pool:
            parts = list(pool.map(one_chunk, edges[:-1], edges[1:]))
        value = sum(part[0] for part in parts)
        sums = tuple(np.sum(arrays, axis=0) for arrays in zip(*(part[1] for part in parts), strict=True))

    if len(sums) == 1:
        sums = _centred(sums[0], means)
    counts, first, second = sums
    second = second + np.swapaxes(second * strictly_lower_mask(d), -1, -2)
    return Statistics(log_normaliser=float(value), counts=counts, first=first, second=second)


def rowwise(x: Array, log_scales: Array, means: Array, precision_choleskys: Array) -> tuple[Array, Array]:
    """Responsibilities (K, N) and log normalisers (N,) of every row; arguments as in `expected_statistics`."""
    r, log_density = rowwise_of_many(x, log_scales[None], means[None], precision_choleskys[None])
    return r[0], log_density[0]


def rowwise_of_many(
    x: Array, log_scales: Array, means: Array, precision_choleskys: Array, *, n_threads: int = 1
) -> tuple[Array, Array]:
    """Responsibilities (S, K, N) and log normalisers (S, N) of every row under S mixtures.

    Parameters
    ----------
    x : (d, N) array
    log_scales, means, precision_choleskys : (S, K), (S, K, d) and (S, K, d, d) arrays
        As in `expected_statistics`, one mixture after the other.
    n_threads : int
        Mixtures are shared out to so many threads where the work is worth it.
    """
    _kernels = load("_kernels")

    S, K = log_scales.shape
    d, n = x.shape
    r, log_density = np.empty((S, K, n)), np.empty((S, n))
    none = np.zeros(0), np.zeros((0, d)), np.zeros((0, d, d))

    def one(s: int, constants: Array, means: Array, factors: Array) -> None:
        _kernels.direct_pass(x, 0, n, constants, means, factors, _NONE, *none, r[s], log_density[s])

    _for_all(one, log_scales, means, precision_choleskys, n * K * (d + 1) * (d + 2), n_threads)
    return r, log_density


def values_of_many(
    x: Array,
    at: tuple[Array, Array, Array],
    *,
    row_weights: Array | None = None,
    n_threads: int = 1,
    with_counts: bool = True,
) -> tuple[Array, Array]:
    """Sums of log normalisers (S,) and expected counts (S, K) under S mixtures.

    These are `at` log scales, means and precision Choleskys, as in `rowwise_of_many`. Counts are zeros unless they are
    asked for, which costs about half as much again.
    """
    _kernels = load("_kernels")

    d, n = x.shape
    S, K = at[0].shape
    values, counts = np.empty(S), np.zeros((S, K))
    no_rows, none = (np.empty((K, 0)), _NONE), (np.zeros(0), np.zeros((0, d)), np.zeros((0, d, d)))
    weights = _NONE if row_weights is None else np.ascontiguousarray(row_weights, dtype=float)

    def one(s: int, constants: Array, means: Array, factors: Array) -> None:
        sums = (counts[s], np.zeros((K, d)), np.zeros((K, d, d))) if with_counts else none
        values[s] = _kernels.direct_pass(x, 0, n, constants, means, factors, weights, *sums, *no_rows)

    work = n * K * (d + 1) * (d + 2)
    if row_weights is None and d >= _SMALLEST_EXPANDED_DIMENSION and work > _WORK_WORTH_EXPANDING:
        for s, each in enumerate(zip(*at, strict=True)):
            found = expected_statistics(x, *each, n_threads=n_threads)
            values[s], counts[s] = found.log_normaliser, found.counts
    else:
        _for_all(one, *at, work, n_threads)
    return values, counts


def one_by_one(statistics: Callable[..., Statistics], at: Mixtures, n_threads: int) -> tuple[Array, Array]:
    """Log-likelihoods (S,) and expected counts (S, K), by one pass of rows after the other."""
    found = [statistics(*each, n_threads) for each in zip(*at, strict=True)]
    return np.array([one.log_normaliser for one in found]), np.array([one.counts for one in found])


def _for_all(
    one: Callable[[int, Array, Array, Array], None],
    log_scales: Array,
    means: Array,
    precision_choleskys: Array,
    work: int,
    n_threads: int,
) -> None:
    """Call `one` for each of S mixtures, in threads where `work` for one of them is worth a change of threads."""
    means = np.ascontiguousarray(means, dtype=float)
    precision_choleskys = np.ascontiguousarray(precision_choleskys, dtype=float)
    constants = log_constants(log_scales, precision_choleskys)
    S = len(means)

    def some(begin: int) -> None:
        for s in range(begin, S, n_threads):
            one(s, constants[s], means[s], precision_choleskys[s])

    n_threads = 1 if work < _WORK_WORTH_RELEASING else min(n_threads, S)
    if n_threads == 1:
        some(0)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(some, range(n_threads)))


def n_chunks(work: int, n_threads: int) -> int:
    """Into how many parts so many multiplications are to be shared."""
    return max(1, min(n_threads, work // _WORK_WORTH_A_THREAD))


def log_constants(log_scales: Array, precision_choleskys: Array) -> Array:
    """Log joint density of every component at its own mean, (..., K)."""
    d = precision_choleskys.shape[-1]
    log_dets = np.log(np.diagonal(precision_choleskys, axis1=-2, axis2=-1)).sum(axis=-1)
    return np.ascontiguousarray(log_scales + log_dets - 0.5 * d * np.log(2.0 * np.pi))


def _may_expand(x: Array, precision_choleskys: Array) -> bool:
    largest = np.einsum("kij,kij->k", precision_choleskys, precision_choleskys).max()
    # The corner of the bounding box bounds |x|^2 without another pass; it is cheap next to the pass itself.
    corner = np.maximum(np.abs(x.min(axis=1)), np.abs(x.max(axis=1)))
    return bool(largest * (corner @ corner) / x.shape[0] < _LARGEST_EXPANSION)


def _coefficients(constants: Array, means: Array, precision_choleskys: Array) -> Array:
    """Log joint density of each component as coefficients of (lower(xx'), x, 1), shape (K, D)."""
    precisions = np.swapaxes(precision_choleskys, -1, -2) @ precision_choleskys
    linear = np.einsum("kij,kj->ki", precisions, means)
    rows, columns = lower_indices(means.shape[1])
    quadratic = np.where(rows == columns, -0.5, -1.0) * precisions[:, rows, columns]
    constant = constants - 0.5 * np.einsum("ki,ki->k", linear, means)
    return np.ascontiguousarray(np.concatenate([quadratic, linear, constant[:, None]], axis=1))


def _centred(moments: Array, means: Array) -> tuple[Array, Array, Array]:
    """Split raw feature moments (K, D) into counts and moments about the means."""
    K, d = means.shape
    rows, columns = lower_indices(d)
    counts, raw_first = moments[:, -1], moments[:, -1 - d : -1]
    raw = np.zeros((K, d, d))
    raw[:, rows, columns] = moments[:, : rows.size]
    first = raw_first - counts[:, None] * means
    second = raw - np.einsum("ki,kj->kij", means, raw_first) - np.einsum("ki,kj->kij", first, means)
    return counts.copy(), first, second * lower_mask(d)
