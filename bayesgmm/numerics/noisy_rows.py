"""Rows that were measured with known errors of their own (Bovy, Hogg & Roweis 2011); entries may be missing.

y_i = x_i + e_i with e_i ~ Normal(0, C_i). With T = Sigma + C_i and u = T^-1 (y - m), the expected true value is
m + Sigma u and its covariance Sigma - Sigma T^-1 Sigma. Sums of u and of u u' - T^-1 over rows are therefore all that
is needed for the statistics of the true values, whatever the errors.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics import curvature
from bayesgmm.numerics.compiling import load
from bayesgmm.numerics.exact_rows import Conditional, SortedRows, one_mixture
from bayesgmm.numerics.linalg import lower_indices, strictly_lower_mask
from bayesgmm.numerics.passes import Array, Mixtures, Statistics, n_chunks

# How many times the work of the plain pass this one is, for the choice of threads.
_TIMES_THE_WORK = 4
_ROWS_AT_ONCE = 8192
_NONE = np.empty(0)


@dataclass(frozen=True, kw_only=True)
class NoisyRows(SortedRows):
    """Rows with errors of their own.

    Attributes
    ----------
    noise : (d, n) or (d (d + 1) / 2, n) array
        Variances, or lower triangles of covariances row by row.
    """

    noise: Array

    complete = False

    def typical_noise(self) -> Array:
        """Covariance (d, d) of an error of middling size: the medians of all variances."""
        d = self.x.shape[0]
        variances = self.noise if len(self.noise) == d else self.noise[np.cumsum(np.arange(1, d + 1)) - 1]
        return np.diag(np.median(variances, axis=1))

    @property
    def blurred(self) -> bool:
        """Whether every value has an error, so that no component can collapse onto some of them."""
        d = self.x.shape[0]
        variances = self.noise if len(self.noise) == d else self.noise[np.cumsum(np.arange(1, d + 1)) - 1]
        return bool(((variances > 0) | ~np.repeat(self.observed, np.diff(self.edges), axis=0).T).all())

    def statistics(
        self, log_scales: Array, means: Array, covariances: Array, factors: Array, noise_factor: float, n_threads: int
    ) -> Statistics:
        """Expected statistics of the true values of all features."""
        _noise_kernel = load("_noise_kernel")

        noise_pass: Any = _noise_kernel.noise_pass
        K, d = means.shape
        at = self._at(log_scales, means, covariances, noise_factor)
        weights = _NONE if self.weights is None else self.weights

        def one_chunk(begin: int, stop: int) -> tuple[float, float, Array, Array, Array]:
            sums = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
            found = noise_pass(*at(begin, stop), weights, True, *sums, np.empty((K, 0)), _NONE)
            return *found, *sums

        n = self.index.size
        chunks = n_chunks(_TIMES_THE_WORK * n * K * (d + 1) * (d + 2), n_threads)
        limits = [n * i // chunks for i in range(chunks + 1)]
        if chunks == 1:
            parts = [one_chunk(0, n)]
        else:
            with ThreadPoolExecutor(chunks) as pool:
                parts = list(pool.map(one_chunk, limits[:-1], limits[1:]))
        value, residual = sum(part[0] for part in parts), sum(part[1] for part in parts)
        counts, scores, curvatures = (
            np.sum(arrays, axis=0) for arrays in zip(*(part[2:] for part in parts), strict=True)
        )
        curvatures = curvatures + np.swapaxes(curvatures * strictly_lower_mask(d), -1, -2)
        return Statistics(
            log_normaliser=float(value),
            counts=counts,
            first=(covariances @ scores[..., None])[..., 0],
            second=counts[:, None, None] * covariances + covariances @ curvatures @ covariances,
            noise_residual=float(residual),
            mean_slope=scores,
            sigma_slope=0.5 * curvatures,
        )

    def rowwise_of_many(
        self, log_scales: Array, means: Array, covariances: Array, factors: Array, noise_factors: Array, n_threads: int
    ) -> tuple[Array, Array]:
        """Responsibilities (S, K, n) and log normalisers (S, n) of single units under S mixtures."""
        _noise_kernel = load("_noise_kernel")

        noise_pass: Any = _noise_kernel.noise_pass
        S, K, d = means.shape
        n = self.index.size
        r, log_density = np.empty((S, K, n)), np.empty((S, n))
        none = np.zeros(0), np.zeros((0, d)), np.zeros((0, d, d))

        def one(s: int) -> None:
            at = self._at(log_scales[s], means[s], covariances[s], float(noise_factors[s]))
            noise_pass(*at(0, n), _NONE, False, *none, r[s], log_density[s])

        if n_threads == 1 or S == 1:
            for s in range(S):
                one(s)
        else:
            with ThreadPoolExecutor(n_threads) as pool:
                list(pool.map(one, range(S)))
        return r, log_density

    def values_of_many(self, at: Mixtures, n_threads: int, with_counts: bool) -> tuple[Array, Array]:
        """Log-likelihoods (S,) and expected counts (S, K) of all units under S mixtures."""
        _noise_kernel = load("_noise_kernel")

        noise_pass: Any = _noise_kernel.noise_pass
        log_scales, means, covariances, _, noise_factors = at
        S, K, d = means.shape
        n, weights = self.index.size, _NONE if self.weights is None else self.weights
        values, counts, no_rows = np.empty(S), np.zeros((S, K)), (np.empty((K, 0)), _NONE)
        n_threads = min(n_threads, S)

        def some(first: int) -> None:
            for s in range(first, S, n_threads):
                own = self._at(log_scales[s], means[s], covariances[s], float(noise_factors[s]))(0, n)
                m = K if with_counts else 0
                sums = counts[s, :m], np.zeros((m, d)), np.zeros((m, d, d))
                values[s] = noise_pass(*own, weights, False, *sums, *no_rows)[0]

        if n_threads == 1:
            some(0)
        else:
            with ThreadPoolExecutor(n_threads) as pool:
                list(pool.map(some, range(n_threads)))
        return values, counts

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
        r = self.rowwise_of_many(*at, 1)[0][0]
        for p, mask in enumerate(self.observed):
            both = mask[:, None] & mask
            size = max(1, curvature.rows_at_once(K, d) // d)
            for begin in range(self.edges[p], self.edges[p + 1], size):
                places = np.arange(begin, min(begin + size, self.edges[p + 1]))
                C, y = noise_factor * self._noise_covariances(places), np.where(mask[:, None], self.x[:, places], 0.0)
                units, all_slopes, by_noise = self.units[places], [], []
                for k in range(K):
                    L, A = choleskys[k], inverses[k]
                    P = np.linalg.inv(np.where(both, covariances[k] + C, np.eye(d))) * both
                    u = np.einsum("nab,bn->an", L.T @ P, y - means[k][:, None])
                    P = L.T @ P @ L
                    E = A @ (2.0 * C) @ A.T if free_noise else None
                    all_slopes.append(np.concatenate([u, curvature.covariance_slopes(u, P)]))
                    if E is not None:
                        by_noise.append(curvature.noise_slopes(u, P, E))
                    if not products:
                        curvature.add_normal(out, k, r[k, places] * units, u, P, E)
                slopes = np.array(all_slopes)
                noises = np.array(by_noise) if by_noise else None
                curvature.add_label_covariance(out, units, r[:, places], slopes, noises, products=products)

    def conditionals(self, mean: Array, covariance: Array, noise_factor: float) -> list[Conditional]:
        """What the rows say about their true values under one component."""
        out, d = [], mean.size
        for p, mask in enumerate(self.observed):
            both = mask[:, None] & mask[None, :]
            for begin in range(self.edges[p], self.edges[p + 1], _ROWS_AT_ONCE):
                places = np.arange(begin, min(begin + _ROWS_AT_ONCE, self.edges[p + 1]))
                T = np.where(both, covariance + noise_factor * self._noise_covariances(places), np.eye(d))
                gain = np.swapaxes(np.linalg.solve(T, np.where(mask[:, None], covariance, 0.0)), -1, -2) * mask
                y = np.where(mask, self.x[:, places].T, 0.0)
                none = np.zeros(places.size)
                out.append(Conditional(index=self.index[places], y=y, gain=gain, y_variance=none))
        return out

    def taken(self, chosen: NDArray[np.intp], index: NDArray[np.intp]) -> Self:
        """Some rows (increasing places in this part), which have other numbers from now on."""
        return replace(super().taken(chosen, index), noise=np.ascontiguousarray(self.noise[:, chosen]))

    def _noise_covariances(self, rows: NDArray[np.intp]) -> Array:
        """Covariances of the errors of the rows at these places, (n, d, d)."""
        d = self.x.shape[0]
        out = np.zeros((rows.size, d, d))
        if len(self.noise) == d:
            out[:, np.arange(d), np.arange(d)] = self.noise[:, rows].T
        else:
            i, j = lower_indices(d)
            out[:, i, j] = out[:, j, i] = self.noise[:, rows].T
        return out

    def _at(
        self, log_scales: Array, means: Array, covariances: Array, noise_factor: float
    ) -> Callable[[int, int], tuple[Any, ...]]:
        """The first arguments of the kernel for some of the rows."""
        columns = np.zeros((len(self.observed), self.x.shape[0] + 1), dtype=np.int64)
        for p, mask in enumerate(self.observed):
            own = np.flatnonzero(mask)
            columns[p, 0], columns[p, 1 : 1 + own.size] = own.size, own
        edges = self.edges.astype(np.int64)
        mixture = [np.ascontiguousarray(each, dtype=float) for each in (log_scales, means, covariances)]
        return lambda begin, stop: (
            *(self.x, self.noise, float(noise_factor), begin, stop, edges, columns),
            *mixture,
        )
