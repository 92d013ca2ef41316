"""Clusters of droplets whose amplitudes grow with the number of molecules: one cluster for each number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy.special import ndtr, ndtri

from bayesgmm._arguments import as_whole, as_written
from bayesgmm.ddpcr._droplet_clusters import DropletMeans, DropletVariances
from bayesgmm.ddpcr._droplet_weights import MOST_LOG_RATE, DropletWeights
from bayesgmm.model._spec import Array, show
from bayesgmm.model.saturating import geometric_sums
from bayesgmm.numerics.poisson import log_counts

_LOG_TWO_PI = float(np.log(2.0 * np.pi))
# Rho is read off three means, and the step of the variance off two: they keep so far from what they cannot be.
_NEAREST, _LEAST_STEP = 1e-10, 1e-12


@dataclass(frozen=True)
class GradedWeights(DropletWeights):
    """`DropletWeights` whose positives are as many clusters as molecules are told apart, with Poisson weights.

    In place of one component, M: the share of droplets with m molecules among those with any,
    lambda^m / (m! (exp(lambda) - 1)), and with M or more in the last.

    Parameters
    ----------
    molecules : int
        M, at least 2.
    """

    molecules: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("molecules", as_whole(f"{type(self).__name__}.molecules", self.molecules, least=2))

    def describe(self) -> str:
        return f"{super().describe()}; positives with 1, ..., {self.molecules} molecules by Poisson's law"

    def own(self, log_weights: Array) -> Array:
        return super().own(_merged(log_weights, len(self.shares), self.molecules))

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        J, M = len(self.shares), self.molecules
        joined = np.concatenate([counts[:J], [counts[J : J + M].sum()], counts[J + M :]])
        plain = self._plain
        return self.at(plain.own(plain.mode(joined)), counts.size)

    def at(self, own: Array, K: int, excess: float = 0.0) -> Array:
        """Return log weights (..., K); `excess` is how far the log rate of the positives' law is from log lambda."""
        J, M = len(self.shares), self.molecules
        merged = super().at(own, K - M + 1)
        positives = merged[..., J : J + 1] + self.series(own[..., 0] + excess)[0]
        return np.concatenate([merged[..., :J], positives, merged[..., J + 1 :]], axis=-1)

    def slopes(self, own: Array, K: int) -> Array:
        J, M = len(self.shares), self.molecules
        merged = super().slopes(own, K - M + 1)
        positives = np.repeat(merged[J : J + 1], M, axis=0)
        positives[:, 0] += self.series(own[0])[1]
        return np.concatenate([merged[:J], positives, merged[J + 1 :]])

    def series(self, log_rate: Array) -> tuple[Array, Array]:
        """Log shares (..., M) of numbers of molecules among positives, and their slopes in the log rate."""
        t = np.minimum(log_rate, MOST_LOG_RATE)
        logs, slopes = (each[..., 1:] for each in log_counts(self.molecules + 1, t, lump=True))
        rate = np.exp(t)[..., None]
        return logs - np.log(-np.expm1(-rate)), slopes - rate / np.expm1(rate)

    @cached_property
    def _plain(self) -> DropletWeights:
        return DropletWeights(self.shares, self.rate, self.share_sd, self.rain, self.outliers, self.tilt)


@dataclass(frozen=True)
class GradedMeans(DropletMeans):
    """`DropletMeans` with positives at baseline + gap (1 - rho^m) / (1 - rho), m = 1, ..., M.

    With rho = 0 they are all at one place, with rho = 1 each molecule adds as much as the first.

    Parameters
    ----------
    molecules : int
        M, at least 2.
    probit_rho : (float, float)
        Mean and standard deviation of the Normal prior on the probit of rho; 0 and 1 is a uniform prior on rho.
    """

    molecules: int = 2
    probit_rho: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._freeze("probit_rho", most_axes=1)

    def describe(self) -> str:
        mu, sd = self.probit_rho
        return f"{super().describe()}; gap (1 - rho^m) / (1 - rho), probit rho ~ Normal({show(mu)}, sd {show(sd)})"

    def own(self, means: Array) -> Array:
        """Baseline, log spread, log gap and probit of rho (..., 4)."""
        J = len(self.shape)
        first = super().own(_merged_rows(means, J, self.molecules))
        steps = means[..., J + 1, 0] - means[..., J, 0]
        rho = np.clip(steps * np.exp(-first[..., 2]), _NEAREST, 1.0 - _NEAREST)
        return np.concatenate([first, ndtri(rho)[..., None]], axis=-1)

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        own = self.own(means)
        by_own = -(own - self._priors[:, 0]) / np.square(self._priors[:, 1])
        slopes = self.slopes(own, len(means))
        # Where rho is near 0 or 1 its probit moves hardly anything.
        units = np.linalg.norm(slopes, axis=0)
        scaled = slopes / units
        gradient = scaled @ np.linalg.solve(scaled.T @ scaled, by_own / units)
        return float(self._log_density(own)), gradient[:, None], np.zeros_like(choleskys)

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        """The positives' rows are taken for one cluster of droplets with a molecule: for short starts."""
        J, M = len(self.shape), self.molecules
        joined = counts[J : J + M].sum()
        middle = counts[J : J + M] @ row_means[J : J + M] / max(float(joined), 1e-300)
        n = np.concatenate([counts[:J], [joined], counts[J + M :]])
        x = np.concatenate([row_means[:J], [middle], row_means[J + M :]])
        sds = _merged_rows(choleskys[..., 0], J, M)[..., None]
        plain = DropletMeans(self.shape, self.baseline, self.log_spread, self.log_gap)
        own = np.append(plain.own(plain.mode(n, x, sds)), self.probit_rho[0])
        return self.at(own, len(counts))

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        *size, K = choleskys.shape[:-2]
        return self.at(self._priors[:, 0] + self._priors[:, 1] * rng.standard_normal((*size, 4)), K)

    def n_free(self, n_components: int, n_features: int) -> int:
        return 4

    def log_jacobian(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> tuple[float, Array]:
        return 0.0, np.zeros(4)

    def information(self, counts: Array, n_features: int) -> Array:
        J, M = len(self.shape), self.molecules
        several = counts[J + 1 : J + M].sum() + 1.0
        return np.append(super().information(counts, n_features), several)

    def at(self, own: Array, K: int) -> Array:
        J, M = len(self.shape), self.molecules
        merged = super().at(own[..., :3], K - M + 1)
        sums = geometric_sums(ndtr(own[..., 3]), M + 1)[0][..., 1:]
        positives = own[..., :1] + np.exp(own[..., 2:3]) * sums
        return np.concatenate([merged[..., :J, :], positives[..., None], merged[..., J + 1 :, :]], axis=-2)

    def slopes(self, own: Array, K: int) -> Array:
        J, M = len(self.shape), self.molecules
        merged = super().slopes(own[:3], K - M + 1)
        gap = np.exp(own[2])
        sums, by_rho = (each[1:] for each in geometric_sums(ndtr(own[3]), M + 1))
        by_probit = by_rho * np.exp(-0.5 * own[3] ** 2 - 0.5 * _LOG_TWO_PI)
        positives = np.stack([np.ones(M), np.zeros(M), gap * sums, gap * by_probit], axis=1)
        wide = np.concatenate([merged, np.zeros((len(merged), 1))], axis=1)
        return np.concatenate([wide[:J], positives, wide[J + 1 :]])

    @cached_property
    def _priors(self) -> Array:
        return np.array([self.baseline, self.log_spread, self.log_gap, self.probit_rho])

    def _log_density(self, own: Array) -> Array:
        z = (own - self._priors[:, 0]) / self._priors[:, 1]
        return -0.5 * np.square(z).sum(axis=-1) - np.log(self._priors[:, 1]).sum() - 2.0 * _LOG_TWO_PI

    def _units(self, reference: Array, choleskys: Array) -> Array:
        return np.append(super()._units(reference, choleskys), 1.0)


@dataclass(frozen=True)
class GradedVariances(DropletVariances):
    """`DropletVariances` with positives of variance sd_pos^2 + (m - 1) sd_a^2, m = 1, ..., M.

    Parameters
    ----------
    log_step_sd : (float, float)
        Mean and standard deviation of the Normal prior on log sd_a, in the data's units.
    molecules : int
        M, at least 2.
    """

    log_step_sd: tuple[float, float] = (0.0, 1.0)
    molecules: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._freeze("log_step_sd", most_axes=1)

    def describe(self) -> str:
        mu, sd = self.log_step_sd
        return f"{super().describe()}; sd_pos^2 + (m - 1) sd_a^2, log sd_a ~ Normal({show(mu)}, sd {show(sd)})"

    def rescaled(self, scale: Array) -> Self:
        mu, sd = self.log_step_sd
        return super().rescaled(scale)._replace(log_step_sd=(mu - float(np.log(scale[0])), sd))

    def check_means(self, means: DropletMeans) -> None:  # type: ignore[override]
        super().check_means(means)
        same = isinstance(means, GradedMeans) and means.molecules == self.molecules
        self._check(
            "molecules", same, f"got {as_written(self.molecules)} with means={means}", "Use GradedMeans of as many"
        )

    def carried(self, choleskys: Array, means: Array, to: Array) -> Array:
        return self.at(self.own(choleskys), to)

    def means_slope(self, gradient: Array, choleskys: Array, means: Array) -> Array:
        J, M = len(self.shape), self.molecules
        # Only spread and gap matter, which the first of the positives tells.
        merged = (_merged_rows(each, J, M) for each in (gradient[..., 0], choleskys[..., 0], means))
        g, c, m = merged
        out = super().means_slope(g[..., None], c[..., None], m)
        return np.concatenate([out[: J + 1], np.zeros((M - 1, 1)), out[J + 1 :]])

    def own(self, choleskys: Array) -> Array:
        """Log sd_pos and log sd_a (..., 2)."""
        J, M = len(self.shape), self.molecules
        first, last = np.square(choleskys[..., J, 0, 0]), np.square(choleskys[..., J + M - 1, 0, 0])
        step = np.maximum((last - first) / (M - 1), _LEAST_STEP * first)
        return 0.5 * np.log(np.stack([first, step], axis=-1))

    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        J, M = len(self.shape), self.molecules
        own = self.own(choleskys)
        slopes = -(own - self._priors[:, 0]) / np.square(self._priors[:, 1])
        # Of the logs of both sds in the first and the last variance of the positives.
        first, step = np.exp(2.0 * own)
        gradient = np.zeros_like(choleskys)
        by_step = 0.5 * slopes[1] / (step * (M - 1))
        gradient[J, 0, 0] = 0.5 * slopes[0] / first - by_step
        gradient[J + M - 1, 0, 0] = by_step
        return float(self._log_density(own)), gradient

    def log_densities(self, choleskys: Array, means: Array) -> Array:
        return self._log_density(self.own(choleskys))

    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        return 0.0, np.zeros(2)

    def mode(self, counts: Array, scatter: Array) -> Array:
        J, M = len(self.shape), self.molecules
        total, n = scatter[J : J + M, 0, 0].sum(), counts[J : J + M].sum()
        first = np.log((total + np.exp(2.0 * self.log_positive_sd[0])) / (n + 1.0))
        return np.square(self.at(np.array([0.5 * first, self.log_step_sd[0]]), self._means))

    def n_free(self, n_components: int, n_features: int) -> int:
        return 2

    def from_free(self, theta: Array, reference: Array) -> Array:
        J, M = len(self.shape), self.molecules
        first, step = (np.exp(2.0 * each)[..., None] for each in np.moveaxis(self.own(reference) + theta, -1, 0))
        sds = np.sqrt(first + np.arange(M) * step)[..., None, None]
        same = np.broadcast_to(reference, (*theta.shape[:-1], *reference.shape[-3:]))
        return np.concatenate([same[..., :J, :, :], sds, same[..., J + M :, :, :]], axis=-3)

    def to_free(self, choleskys: Array, reference: Array) -> Array:
        return self.own(choleskys) - self.own(reference)

    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        J, M = len(self.shape), self.molecules
        g, (first, step) = gradient[J : J + M, 0, 0], np.exp(2.0 * self.own(choleskys))
        return 2.0 * np.array([first * g.sum(), step * (g @ np.arange(M))])

    def information(self, counts: Array, n_features: int) -> Array:
        J, M = len(self.shape), self.molecules
        return 2.0 * np.array([counts[J], counts[J + 1 : J + M].sum()]) + 1.0

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        # The parts that are not those of positives are drawn as without grades.
        J, M = len(self.shape), self.molecules
        plain = DropletVariances(self.shape, self.widths, self.log_positive_sd)
        if self._means.size:
            plain = plain.given(_merged_rows(self._means, J, M))
        merged = np.sqrt(plain.draw(rng, size, n_components - M + 1, n_features))
        theta = np.zeros((size, 2))
        theta[:, 1] = self.log_step_sd[0] + self.log_step_sd[1] * rng.standard_normal(size)
        sds = np.sqrt(np.square(merged[:, J]) + np.arange(M)[:, None] * np.exp(2.0 * theta[:, 1:, None]))
        return np.square(np.concatenate([merged[:, :J], sds.reshape(size, M, 1, 1), merged[:, J + 1 :]], axis=1))

    @cached_property
    def _priors(self) -> Array:
        return np.array([self.log_positive_sd, self.log_step_sd])

    def _log_density(self, own: Array) -> Array:
        z = (own - self._priors[:, 0]) / self._priors[:, 1]
        return -0.5 * np.square(z).sum(axis=-1) - np.log(self._priors[:, 1]).sum() - _LOG_TWO_PI

    def at(self, own: Array, means: Array) -> Array:  # type: ignore[override]
        """Standard deviations (..., K, 1, 1) of log sd_pos and log sd_a (..., 2) at means (..., K, 1)."""
        J, M = len(self.shape), self.molecules
        merged = super().at(own[..., 0], _merged_rows(means, J, M))
        first, step = np.exp(2.0 * own[..., :1]), np.exp(2.0 * own[..., 1:])
        sds = np.sqrt(first + np.arange(M) * step)[..., None, None]
        sds = np.broadcast_to(sds, (*merged.shape[:-3], M, 1, 1))
        return np.concatenate([merged[..., :J, :, :], sds, merged[..., J + 1 :, :, :]], axis=-3)

    def slopes(self, own: Array, log_spread: float, log_gap: float, K: int) -> Array:  # type: ignore[override]
        """Derivatives of the variances (K,) in log spread, log gap, log sd_pos and log sd_a (4,)."""
        J, M = len(self.shape), self.molecules
        merged = super().slopes(own[0], log_spread, log_gap, K - M + 1)
        positives = np.zeros((M, 4))
        positives[:, 2], positives[:, 3] = 2.0 * np.exp(2.0 * own[0]), 2.0 * np.arange(M) * np.exp(2.0 * own[1])
        wide = np.concatenate([merged, np.zeros((len(merged), 1))], axis=1)
        return np.concatenate([wide[:J], positives, wide[J + 1 :]])


def _merged(log_weights: Array, J: int, M: int) -> Array:
    """Log weights (..., K - M + 1) with the positives as one component."""
    together = np.logaddexp.reduce(log_weights[..., J : J + M], axis=-1)[..., None]
    return np.concatenate([log_weights[..., :J], together, log_weights[..., J + M :]], axis=-1)


def _merged_rows(values: Array, J: int, M: int) -> Array:
    """Rows (..., K - M + 1, 1) with the first of the positives for all of them."""
    return np.concatenate([values[..., : J + 1, :], values[..., J + M :, :]], axis=-2)
