"""Rows whose entries were observed without error, or with one error that all share; entries may be missing.

Rows with the same entries form a pattern, and a pattern is a pass over the marginal mixture of what it has. What that
says about the other features, and about true values behind an error, follows from regressions on what was observed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics import curvature
from bayesgmm.numerics.compiling import load
from bayesgmm.numerics.linalg import inverse_lower, outer, strictly_lower_mask
from bayesgmm.numerics.passes import (
    Array,
    Mixtures,
    Statistics,
    expected_statistics,
    log_constants,
    n_chunks,
    one_by_one,
    rowwise_of_many,
    values_of_many,
)

# Patterns are taken so many at a time, because each has matrices of its own.
_PATTERNS_AT_ONCE = 512
_NONE = np.empty(0)


@dataclass(frozen=True, kw_only=True)
class Conditional:
    """What rows say about their true values under one component.

    Attributes
    ----------
    index : (n,) array of int
        Rows of the table.
    y : (n, d) array
        What was observed (the expected value in a bin), 0 where nothing was.
    gain : (1 or n, d, d) array
        E[x] = m + gain (y - m).
    y_variance : (n,) array
        Of values in bins; zeros otherwise.
    """

    index: NDArray[np.intp]
    y: Array
    gain: Array
    y_variance: Array

    def expected(self, mean: Array) -> Array:
        """E[x], (n, d); what was observed exactly stays as it is to the last digit."""
        return (self.gain @ self.y[..., None])[..., 0] + (mean - self.gain @ mean)


@dataclass(frozen=True, kw_only=True)
class SortedRows:
    """Rows sorted by pattern: which entries were observed.

    Attributes
    ----------
    index : (n,) array of int
        Which rows of the table these are.
    x : (d, n) array
        0 where an entry is missing.
    observed : (P, d) array of bool
    edges : (P + 1,) array of int
        Pattern p has the rows edges[p] .. edges[p + 1].
    weights : (n,) array, optional
        How many units each row stands for; one if left out.
    group : int
        Number of the group that all of them belong to.
    known : int
        The component that all of them are known to come from; -1 where that is unknown.
    """

    index: NDArray[np.intp]
    x: Array
    observed: NDArray[np.bool_]
    edges: NDArray[np.intp]
    weights: Array | None = None
    group: int = 0
    known: int = -1

    @property
    def units(self) -> Array:
        """How many units each row stands for, (n,)."""
        return np.ones(self.index.size) if self.weights is None else self.weights

    def volumes(self, logs: Array) -> Array:
        """Sum of `logs` (d,) over what was observed in each row, (n,)."""
        return np.repeat(self.observed @ logs, np.diff(self.edges))

    def taken(self, chosen: NDArray[np.intp], index: NDArray[np.intp]) -> Self:
        """Some rows (increasing places in this part), which have other numbers from now on."""
        return replace(
            self,
            index=index,
            x=np.ascontiguousarray(self.x[:, chosen]),
            edges=np.searchsorted(chosen, self.edges),
            weights=None if self.weights is None else self.weights[chosen],
        )


def one_mixture(
    log_scales: Array, means: Array, choleskys: Array, noise_factor: float
) -> tuple[tuple[Array, Array, Array, Array, Array], Array, Array]:
    """Arguments of `rowwise_of_many` for one mixture, its covariances, and inverses of their Choleskys."""
    covariances, inverses = outer(choleskys), inverse_lower(choleskys)
    at = log_scales[None], means[None], covariances[None], inverses[None], np.array([noise_factor])
    return at, covariances, inverses


@dataclass(frozen=True, kw_only=True)
class ExactRows(SortedRows):
    """Rows without errors, or with one that all share.

    Attributes
    ----------
    noise : (d, d) array, optional
        Covariance of the error of every row.
    """

    noise: Array | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is missing and nothing has an error."""
        return self.noise is None and len(self.observed) == 1 and bool(self.observed.all())

    def typical_noise(self) -> Array:
        """Covariance (d, d) of an error of middling size."""
        d = len(self.x)
        return np.zeros((d, d)) if self.noise is None else self.noise

    @property
    def blurred(self) -> bool:
        """Whether every value has an error, so that no component can collapse onto some of them."""
        return self.noise is not None and bool((np.diag(self.noise) > 0).all())

    def statistics(
        self, log_scales: Array, means: Array, covariances: Array, factors: Array, noise_factor: float, n_threads: int
    ) -> Statistics:
        """Expected statistics of the features, observed or not, with `factors` the inverse Choleskys."""
        if self.complete:
            return expected_statistics(
                self.x, log_scales, means, factors, row_weights=self.weights, n_threads=n_threads
            )
        K, d = means.shape
        value, counts, first, second = 0.0, np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
        mean_slope, sigma_slope = np.zeros((K, d)), np.zeros((K, d, d))
        for patterns in self._groups_of_patterns():
            inverses, mask = self._factors(covariances, noise_factor, patterns)
            sums = self._sums(patterns, log_scales, means, inverses, mask, n_threads)
            value += sums[0]
            n, S = sums[1], sums[3] + np.swapaxes(sums[3] * strictly_lower_mask(d), -1, -2)
            gain, precisions = self._gain(covariances, inverses, mask)
            counts += n.sum(axis=0)
            first += (gain @ sums[2][..., None])[..., 0].sum(axis=0)
            rest = (np.eye(d) - gain) @ covariances
            if self.noise is None:
                unknown = ~mask[:, None, :]
                rest = rest * (unknown[..., :, None] & unknown[..., None, :])
            second += (gain @ S @ np.swapaxes(gain, -1, -2) + n[..., None, None] * rest).sum(axis=0)
            mean_slope += (precisions @ sums[2][..., None])[..., 0].sum(axis=0)
            sigma_slope += 0.5 * (precisions @ S @ precisions - n[..., None, None] * precisions).sum(axis=0)
        return Statistics(
            log_normaliser=value,
            counts=counts,
            first=first,
            second=0.5 * (second + np.swapaxes(second, -1, -2)),
            noise_residual=0.0 if self.noise is None else 2.0 * noise_factor * float((sigma_slope * self.noise).sum()),
            mean_slope=mean_slope,
            sigma_slope=sigma_slope,
        )

    def rowwise_of_many(
        self, log_scales: Array, means: Array, covariances: Array, factors: Array, noise_factors: Array, n_threads: int
    ) -> tuple[Array, Array]:
        """Responsibilities (S, K, n) and log normalisers (S, n) of single units under S mixtures."""
        if self.complete:
            return rowwise_of_many(self.x, log_scales, means, factors, n_threads=n_threads)
        S, K = log_scales.shape
        r, log_density = np.empty((S, K, self.index.size)), np.empty((S, self.index.size))
        for patterns in self._groups_of_patterns():
            for s in range(S):
                inverses, mask = self._factors(covariances[s], noise_factors[s], patterns)
                out = r[s], log_density[s]
                self._sums(patterns, log_scales[s], means[s], inverses, mask, n_threads, out)
        return r, log_density

    def values_of_many(self, at: Mixtures, n_threads: int, with_counts: bool) -> tuple[Array, Array]:
        """Log-likelihoods (S,) and expected counts (S, K) of all units under S mixtures."""
        if self.observed.all():
            log_scales, means, covariances, factors, noise_factors = at
            if self.noise is not None:
                T = covariances + noise_factors[:, None, None, None] * self.noise
                factors = inverse_lower(np.linalg.cholesky(T))
            options = {"row_weights": self.weights, "n_threads": n_threads, "with_counts": with_counts}
            return values_of_many(self.x, (log_scales, means, factors), **options)
        return one_by_one(self.statistics, at, n_threads)

    def add_curvature(
        self,
        out: Array,
        log_scales: Array,
        means: Array,
        choleskys: Array,
        noise_factor: float,
        free_noise: bool,
        products: bool = False,
    ) -> None:
        """Add the second derivatives of the log-likelihood in the coordinates of `numerics.curvature`."""
        K, d = means.shape
        at, covariances, inverses = one_mixture(log_scales, means, choleskys, noise_factor)
        size = curvature.rows_at_once(K, d)
        noise = None if self.noise is None or not free_noise else 2.0 * noise_factor * self.noise
        # In units of each component.
        bent = None if noise is None else inverses @ noise @ np.swapaxes(inverses, -1, -2)
        for p in range(len(self.observed)):
            A, mask = self._factors(covariances, noise_factor, slice(p, p + 1))
            P = self._gain(covariances, A, mask)[1][0]
            shares = np.swapaxes(choleskys, -1, -2) @ P
            P = np.eye(d) * np.ones((K, 1, 1)) if self.complete else shares @ choleskys
            for begin in range(self.edges[p], self.edges[p + 1], size):
                rows = slice(begin, min(begin + size, self.edges[p + 1]))
                some = self.taken(np.arange(rows.start, rows.stop), np.arange(rows.stop - rows.start))
                r = some.rowwise_of_many(*at, 1)[0][0]
                y = np.where(mask[0][:, None], some.x, 0.0)
                u = shares @ (y - means[..., None])
                slopes = np.concatenate(
                    [u, [curvature.covariance_slopes(*each) for each in zip(u, P, strict=True)]], axis=1
                )
                by_noise = None if bent is None else [curvature.noise_slopes(u[k], P[k], bent[k]) for k in range(K)]
                noises = None if by_noise is None else np.array(by_noise)
                curvature.add_label_covariance(out, some.units, r, slopes, noises, products=products)
                for k in range(0 if products else K):
                    own = None if bent is None else bent[k]
                    curvature.add_normal(out, k, r[k] * some.units, u[k], P[k], own)

    def conditionals(self, mean: Array, covariance: Array, noise_factor: float) -> list[Conditional]:
        """What the rows say about their true values under one component."""
        out = []
        for patterns in self._groups_of_patterns():
            inverses, mask = self._factors(covariance[None], noise_factor, patterns)
            gain = self._gain(covariance[None], inverses, mask)[0][:, 0]
            for number, p in enumerate(range(len(self.observed))[patterns]):
                rows = slice(self.edges[p], self.edges[p + 1])
                index = self.index[rows]
                y = np.where(mask[number], self.x[:, rows].T, 0.0)
                none = np.zeros(index.size)
                out.append(Conditional(index=index, y=y, gain=gain[number : number + 1], y_variance=none))
        return out

    def _groups_of_patterns(self) -> list[slice]:
        return [slice(p, p + _PATTERNS_AT_ONCE) for p in range(0, len(self.observed), _PATTERNS_AT_ONCE)]

    def _factors(self, covariances: Array, noise_factor: float, patterns: slice) -> tuple[Array, NDArray[np.bool_]]:
        """Lower triangular A (P, K, d, d) with A' A the precisions of what is observed, zero elsewhere; the pattern."""
        mask = self.observed[patterns]
        both = mask[:, :, None] & mask[:, None, :]
        T = covariances if self.noise is None else covariances + noise_factor * self.noise
        T = np.where(both[:, None], T, np.eye(mask.shape[1]))
        return inverse_lower(np.linalg.cholesky(T)), mask

    def _gain(self, covariances: Array, inverses: Array, mask: NDArray[np.bool_]) -> tuple[Array, Array]:
        """E[x - m | y] = gain (y - m), and the precisions of what is observed."""
        inverses = inverses * mask[:, None, :, None]
        precisions = np.swapaxes(inverses, -1, -2) @ inverses
        gain = covariances @ precisions
        if self.noise is None:
            # What was observed is known, to the last digit.
            gain = np.where(mask[:, None, :, None], np.eye(mask.shape[1]), gain)
        return gain, precisions

    def _sums(
        self,
        patterns: slice,
        log_scales: Array,
        means: Array,
        inverses: Array,
        mask: NDArray[np.bool_],
        n_threads: int,
        out: tuple[Array, Array] | None = None,
    ) -> tuple[float, Array, Array, Array]:
        """Log normalisers and moments of what is observed, by pattern; or those of single units, into `out`."""
        _kernels = load("_kernels")

        P, (K, d) = len(mask), means.shape
        constants = log_constants(log_scales, inverses) + 0.5 * np.log(2.0 * np.pi) * (~mask).sum(axis=1)[:, None]
        factors = np.ascontiguousarray(inverses * mask[:, None, :, None])
        means = np.ascontiguousarray(means, dtype=float)
        begins, ends = self.edges[:-1][patterns], self.edges[1:][patterns]
        weights = _NONE if self.weights is None or out is not None else self.weights
        r, log_density = (np.empty((K, 0)), _NONE) if out is None else out
        first_row, last_row = int(begins[0]), int(ends[-1])

        def one_chunk(first: int, last: int) -> tuple[float, Array, Array, Array]:
            sums = np.zeros((P, 0 if out is not None else K)), np.zeros((P, K, d)), np.zeros((P, K, d, d))
            value = 0.0
            for p in range(P):
                begin, stop = max(int(begins[p]), first), min(int(ends[p]), last)
                if begin < stop:
                    at = self.x, begin, stop, constants[p], means, factors[p], weights
                    value += _kernels.direct_pass(*at, sums[0][p], sums[1][p], sums[2][p], r, log_density)
            return value, *sums

        size = last_row - first_row
        chunks = n_chunks(size * K * (d + 1) * (d + 2), n_threads)
        if chunks == 1:
            return one_chunk(first_row, last_row)
        limits = [first_row + size * i // chunks for i in range(chunks + 1)]
        with ThreadPoolExecutor(chunks) as pool:
            parts = list(pool.map(one_chunk, limits[:-1], limits[1:]))
        n, first, second = (np.sum(arrays, axis=0) for arrays in zip(*(part[1:] for part in parts), strict=True))
        return float(sum(part[0] for part in parts)), n, first, second
