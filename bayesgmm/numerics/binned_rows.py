"""Values of one feature of which only the bin is known (Macdonald & Pitcher 1979); bins may have an error as well.

A component gives a bin the probability of its interval; the moments of values in it are those of a truncated Normal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics import curvature
from bayesgmm.numerics.exact_rows import Conditional
from bayesgmm.numerics.passes import Array, Mixtures, Statistics, one_by_one

# Gauss-Legendre nodes within a bin, and how far its density is followed down, as a logarithm (twice that at its tail).
_NODES, _SEEN = 60, 40.0
_ROOT_TWO_OVER_PI = float(np.sqrt(2.0 / np.pi))
# Width of a bin in sds, times the larger of 1 and its distance in sds, up to which the density in it is constant.
_NARROW = 1e-5
_HALF_LOG_TWO_PI = 0.5 * np.log(2.0 * np.pi)


@dataclass(frozen=True, kw_only=True)
class BinnedRows:
    """Bins of one feature.

    Attributes
    ----------
    index : (n,) array of int
        Which rows of the table these are.
    bounds : (2, n) array
        Lower and upper ends, which may be infinite.
    weights : (n,) array
        How many units are in each bin, perhaps none.
    noise : (n,) array, optional
        Variance of the error of what was sorted into the bin.
    group : int
        Number of the group that all of them belong to.
    known : int
        The component that all of them are known to come from; -1 where that is unknown.
    """

    index: NDArray[np.intp]
    bounds: Array
    weights: Array
    noise: Array | None = None
    group: int = 0
    known: int = -1

    complete = False
    blurred = True

    @property
    def units(self) -> Array:
        """How many units are in each bin, (n,)."""
        return self.weights

    def typical_noise(self) -> Array:
        """Variance (1, 1) of a place within a bin, and of the error of middling size."""
        widths = np.diff(self.bounds, axis=0)[0]
        inside = np.median(np.square(widths[np.isfinite(widths)])) / 12.0 if np.isfinite(widths).any() else 0.0
        return np.full((1, 1), inside + (0.0 if self.noise is None else np.median(self.noise)))

    def volumes(self, logs: Array) -> Array:
        """Zeros (n,): a bin has a probability, not a density."""
        return np.zeros(self.index.size)

    def statistics(
        self, log_scales: Array, means: Array, covariances: Array, factors: Array, noise_factor: float, n_threads: int
    ) -> Statistics:
        """Expected statistics of the true values."""
        log_mass, y, square, T = self._moments(means[:, 0], covariances[:, 0, 0], noise_factor)
        r, log_density = _normalised(log_scales[:, None] + log_mass)
        r = r * self.weights
        u, curvature = y / T, square / np.square(T) - 1.0 / T
        sigma, counts = covariances[:, 0, 0], r.sum(axis=1)
        score, curvatures = (r * u).sum(axis=1), (r * curvature).sum(axis=1)
        residual = 0.0 if self.noise is None else noise_factor * float((r * curvature * self.noise).sum())
        # A bin in which nothing is has probability 0 perhaps, which is no reason for a NaN.
        return Statistics(
            log_normaliser=float(self.weights @ np.where(self.weights > 0, log_density, 0.0)),
            counts=counts,
            first=(sigma * score)[:, None],
            second=(counts * sigma + np.square(sigma) * curvatures)[:, None, None],
            noise_residual=residual,
            mean_slope=score[:, None],
            sigma_slope=0.5 * curvatures[:, None, None],
        )

    def rowwise_of_many(
        self, log_scales: Array, means: Array, covariances: Array, factors: Array, noise_factors: Array, n_threads: int
    ) -> tuple[Array, Array]:
        """Responsibilities (S, K, n) of values in the bins and log probabilities (S, n) of the bins, S mixtures."""
        S, K = log_scales.shape
        r, log_density = np.empty((S, K, self.index.size)), np.empty((S, self.index.size))
        for s in range(S):
            log_mass = self._moments(means[s, :, 0], covariances[s, :, 0, 0], float(noise_factors[s]))[0]
            r[s], log_density[s] = _normalised(log_scales[s][:, None] + log_mass)
        return r, log_density

    def values_of_many(self, at: Mixtures, n_threads: int, with_counts: bool) -> tuple[Array, Array]:
        """Log-likelihoods (S,) and expected counts (S, K) of all units under S mixtures."""
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
        """Add the second derivatives of the log-likelihood in the coordinates of `numerics.curvature`.

        Those of a Normal, of which the place in the bin is unknown: its slopes vary, and their variance is added.
        """
        L, K = choleskys[:, 0, 0, None], len(means)
        log_mass, _, _, T = self._moments(means[:, 0], np.square(L[:, 0]), noise_factor)
        r, _ = _normalised(log_scales[:, None] + log_mass)
        y, spread = self._powers(means[:, 0], T)
        by_mean, by_variance = L * y[0] / T, np.square(L) * 0.5 * (y[1] / np.square(T) - 1.0 / T)
        E = 2.0 * noise_factor * self.noise if free_noise and self.noise is not None else None
        by_noise = None if E is None else by_variance / np.square(L) * E
        slopes = np.stack([by_mean, by_variance], axis=1)
        curvature.add_label_covariance(out, self.weights, r, slopes, by_noise, products=products)
        if products:
            return
        mm = spread[0, 0] / np.square(T) - 1.0 / T
        mv = spread[0, 1] / (2.0 * T**3) - y[0] / np.square(T)
        vv = spread[1, 1] / (4.0 * T**4) - y[1] / T**3 + 0.5 / np.square(T)
        units = [np.square(L), L**3, L**4]
        total = (r * self.weights)[None] * [unit * each for unit, each in zip(units, (mm, mv, vv), strict=True)]
        D = curvature.n_coordinates(1)
        for k in range(K):
            m, v = k * D + 1, k * D + 2
            out[m, m] += total[0, k].sum()
            out[[m, v], [v, m]] += total[1, k].sum()
            out[v, v] += total[2, k].sum()
            if E is not None and by_noise is not None:
                w = r[k] * self.weights
                for at, each in ((m, L[k] * mv[k]), (v, np.square(L[k]) * vv[k])):
                    out[[at, -1], [-1, at]] += w @ (each * E)
                out[-1, -1] += w @ (vv[k] * np.square(E) + 2.0 * by_noise[k])

    def conditionals(self, mean: Array, covariance: Array, noise_factor: float) -> list[Conditional]:
        """What the bins say about the true values in them under one component."""
        _, y, square, T = (each[0] for each in self._moments(mean, covariance[0], noise_factor))
        gain = (covariance[0, 0] / T)[:, None, None]
        variance = np.maximum(square - np.square(y), 0.0)
        return [Conditional(index=self.index, y=(mean + y)[:, None], gain=gain, y_variance=variance)]

    def taken(self, chosen: NDArray[np.intp], index: NDArray[np.intp]) -> BinnedRows:
        """Some rows (increasing places in this part), which have other numbers from now on."""
        noise = None if self.noise is None else self.noise[chosen]
        return replace(self, index=index, bounds=self.bounds[:, chosen], weights=self.weights[chosen], noise=noise)

    def drawn(self, mean: float, variance: Array, rows: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """Values in the bins at these places under a Normal, by inversion of its distribution function."""
        from scipy.special import log_ndtr, ndtri_exp

        sd = np.sqrt(variance)
        a, b = (self.bounds[:, rows] - mean) / sd
        flip = a > 0  # so that differences of probabilities are formed in the lower tail
        a, b = np.where(flip, -b, a), np.where(flip, -a, b)
        low, high = log_ndtr(a), log_ndtr(b)
        u = rng.random(rows.size)
        z = ndtri_exp(np.logaddexp(low + np.log1p(-u), high + np.log(u)))
        z = np.clip(z, a, b)
        return mean + sd * np.where(flip, -z, z)

    def _moments(self, means: Array, variances: Array, noise_factor: float) -> tuple[Array, Array, Array, Array]:
        """Log probability of each bin, E[y - m], E[(y - m)^2] in it and the variance of y; all (K, n)."""
        from scipy.special import erfcx, log_ndtr

        noise = np.zeros(self.index.size) if self.noise is None else noise_factor * self.noise
        T = variances[:, None] + noise
        sd = np.sqrt(T)
        a, b = (self.bounds[:, None, :] - means[:, None]) / sd
        # Seen from below, so that the upper end is the one with the larger probability.
        flip = a > 0
        lower, upper = np.where(flip, -b, a), np.where(flip, -a, b)
        low, high = log_ndtr(lower), log_ndtr(upper)

        def hazard(end: Array) -> Array:
            """Density at an end over the probability below it; nothing at infinity."""
            return np.where(np.isfinite(end), _ROOT_TWO_OVER_PI / erfcx(-end / np.sqrt(2.0)), 0.0)

        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            between = -np.expm1(low - high)
            log_mass = high + np.log(between)
            # Far out the density and the probability are 0 in double precision, and their ratio is not.
            at_upper, at_lower = hazard(upper) / between, hazard(lower) * np.exp(low - high) / between
            # Ends so near to each other have no digits left between them, and the density is constant.
            width, middle = (self.bounds[1] - self.bounds[0]) / sd, 0.5 * (a + b)
            narrow = np.isfinite(middle) & (width * np.maximum(np.abs(middle), 1.0) < _NARROW)
            even = np.log(width) - 0.5 * np.square(middle) - _HALF_LOG_TWO_PI
        at_a, at_b = np.where(flip, at_upper, at_lower), np.where(flip, at_lower, at_upper)
        a, b = (np.where(np.isfinite(end), end, 0.0) for end in (a, b))
        with np.errstate(invalid="ignore", over="ignore"):
            first = np.where(narrow, middle, at_a - at_b)
            second = np.where(narrow, np.square(middle) + np.square(width) / 12.0, 1.0 + a * at_a - b * at_b)
        return np.where(narrow, even, log_mass), sd * first, T * second, T

    def _powers(self, means: Array, T: Array) -> tuple[Array, Array]:
        """E[y], E[y^2] (2, K, n) of y = t - m in its bin, and their covariances (2, 2, K, n) there."""
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        sd = np.sqrt(T)
        a, b = (self.bounds[:, None, :] - means[:, None]) / sd
        # So far from its densest place a bin holds nothing that double precision could see.
        densest = np.clip(0.0, a, b)
        reach = _SEEN / np.maximum(np.abs(densest), np.sqrt(_SEEN))
        a, b = np.maximum(a, densest - reach), np.minimum(b, densest + reach)
        z = 0.5 * (a + b) + 0.5 * (b - a) * nodes[:, None, None]
        density = weights[:, None, None] * np.exp(-0.5 * (np.square(z) - np.square(densest)))
        density /= density.sum(axis=0)
        powers = np.stack([sd * z, T * np.square(z)])
        expected = (powers * density).sum(axis=1)
        away = powers - expected[:, None]
        return expected, np.einsum("anki,bnki,nki->abki", away, away, density)


def _normalised(log_joint: Array) -> tuple[Array, Array]:
    peak = log_joint.max(axis=0)
    with np.errstate(invalid="ignore"):
        r = np.exp(log_joint - np.where(np.isfinite(peak), peak, 0.0))
        total = r.sum(axis=0)
    empty = total == 0  # a bin that no component reaches in double precision
    r = np.where(empty, 1.0 / len(r), r / np.where(empty, 1.0, total))
    with np.errstate(divide="ignore"):
        return r, peak + np.log(np.where(empty, 1.0, total))
