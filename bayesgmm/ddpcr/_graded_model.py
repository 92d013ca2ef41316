"""A well whose amplitudes grow with the number of molecules: what is believed of it, and its log posterior."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc

from bayesgmm.ddpcr._droplet_model import Beliefs, Pair
from bayesgmm.ddpcr._graded_clusters import GradedMeans, GradedVariances, GradedWeights
from bayesgmm.ddpcr._well_density import WellDensity
from bayesgmm.engines.base import Parameters
from bayesgmm.model import GaussianMixture

Array = NDArray[np.float64]

# The tail of the Poisson law that is put together.
_TAIL, _MOST = 1e-8, 200
# In spreads of the negatives: median of sd_a, and the sd of its logarithm.
_STEP_SD = (float(np.log(0.5)), 1.0)
# Rho to start from.
_RHOS = (-2.0, 0.0, 2.3)


@dataclass(frozen=True, kw_only=True)
class GradedBeliefs(Beliefs):
    """What is believed of a well whose positives are a cluster for each number of molecules.

    Attributes
    ----------
    probit_rho : pair
        Each molecule adds rho times what the one before added; a Normal prior on its probit.
    log_step_sd : pair
        Log of sd_a, in the data's units: each molecule after the first adds sd_a^2 to the variance.
    molecules : int
        Droplets with so many and more are one cluster.
    """

    probit_rho: Pair = (0.0, 1.0)
    log_step_sd: Pair
    molecules: int

    @property
    def n_positive(self) -> int:
        return self.molecules

    @classmethod
    def of(cls, beliefs: Beliefs, highest_rate: float) -> GradedBeliefs:
        """Nothing known of rho and sd_a, and clusters for all but a tail at this rate."""
        mu, sd = _STEP_SD
        molecules = most_molecules(highest_rate)
        return cls(**_shared(beliefs), log_step_sd=(beliefs.log_spread[0] + mu, sd), molecules=molecules)

    def model(self) -> GaussianMixture:
        plain, M = super().model(), self.molecules
        assert isinstance(plain.n_components, int)
        assert plain.component_names is not None
        names, J = list(plain.component_names), self.n_negative
        return GaussianMixture(
            plain.n_components + M - 1,
            weights=GradedWeights(**_fields(plain.weights), molecules=M),
            means=GradedMeans(**_fields(plain.means), molecules=M, probit_rho=self.probit_rho),
            covariances=GradedVariances(**_fields(plain.covariances), molecules=M, log_step_sd=self.log_step_sd),
            component_names=(*names[:J], *(f"positive {m + 1}" for m in range(M)), *names[J + 1 :]),
        )


class GradedDensity(WellDensity):
    """`WellDensity` with two more parameters, the probit of rho and log sd_a, after the shares.

    Parameters
    ----------
    centres, counts : (n,) arrays
        Of bins.
    beliefs : GradedBeliefs
    """

    weights: GradedWeights
    means: GradedMeans
    variances: GradedVariances  # type: ignore[assignment]

    def __init__(self, centres: Array, counts: Array, beliefs: GradedBeliefs) -> None:
        super().__init__(centres, counts, beliefs)
        self._ungraded = WellDensity(centres, counts, Beliefs(**_shared(beliefs)))
        self.prior = np.insert(self.prior, self.J, [beliefs.probit_rho, beliefs.log_step_sd], axis=0)
        self.size += 2

    def start(self, baseline: float, log_gap: float) -> Array:
        """The best of several rho."""
        J = self.J
        own = self.prior[:, 0].copy()
        own[-4], own[-2] = baseline, log_gap
        tried = np.repeat(own[None], len(_RHOS), axis=0)
        tried[:, J] = _RHOS
        for each in tried:
            point = self.point(each)
            at, scales = (point.means, point.precision_choleskys), np.full(self.K, -np.log(self.K))
            for _ in range(3):
                scales = self.weights.mode(self.rows.statistics(scales, *at, n_threads=1).counts)
            each[:J] = self.weights.own(scales)[:J]
        return tried[int(np.argmax(self.values(tried)))]

    def plain(self, own: Array) -> Array:
        """Parameters of a well without grades (..., p - 2)."""
        return np.delete(own, [self.J, self.J + 1], axis=-1)

    def point(self, own: Array, excess: float = 0.0) -> Parameters:
        """Return the mixture as `WellDensity.point` does; with `excess` the positives' rate is exp(excess) lambda."""
        J, K, plain = self.J, self.K, self.plain(own)
        means = self.means.at(np.concatenate([plain[..., J + 4 : J + 7], own[..., J : J + 1]], axis=-1), K)
        return Parameters(
            log_weights=self.weights.at(plain[..., : J + 4], K, excess),
            means=means,
            choleskys=self.variances.at(np.stack([own[..., -1], own[..., J + 1]], axis=-1), means),
        )

    def own(self, log_weights: Array, means: Array, choleskys: Array) -> Array:
        by_weights, by_means = self.weights.own(log_weights), self.means.own(means)
        by_variances, J = self.variances.own(choleskys), self.J
        parts = by_weights[..., :J], by_means[..., 3:], by_variances[..., 1:], by_weights[..., J:], by_means[..., :3]
        return np.concatenate([*parts, by_variances[..., :1]], axis=-1)

    def value_and_gradient(self, own: Array) -> tuple[float, Array]:
        value, gradient = self.with_excess(np.append(own, 0.0))
        return value, gradient[:-1]

    def with_excess(self, own: Array) -> tuple[float, Array]:
        """Log posterior and gradient of own parameters and, after them, of the log of positives' rate over lambda."""
        own, excess = own[:-1], float(own[-1])
        J, K, M, plain = self.J, self.K, self.weights.molecules, self.plain(own)
        point = self.point(own, excess)
        statistics = self.rows.statistics(point.log_weights, point.means, 1.0 / point.choleskys, n_threads=1)
        by_means, by_variances = statistics.slopes(1.0 / point.choleskys)
        gradient = np.append(-(own - self.prior[:, 0]) / np.square(self.prior[:, 1]), 0.0)
        gradient[0] = self.alpha - self.beta * np.exp(own[0])
        counts = statistics.counts
        by_series, locked = (self.weights.series(own[0] + each)[1] @ counts[J : J + M] for each in (excess, 0.0))
        of_weights = self.weights.slopes(plain[: J + 4], K).T @ counts
        of_weights[0] += by_series - locked
        of_means = self.means.slopes(np.append(plain[J + 4 : J + 7], own[J]), K).T @ by_means[:, 0]
        of_sds = self.variances.slopes(own[[-1, J + 1]], own[-3], own[-2], K).T @ by_variances[:, 0, 0]
        of_plain = np.concatenate([of_weights, of_means[:3], np.zeros(1)])
        of_plain[[-3, -2, -1]] += of_sds[:3]
        gradient[:-1] += np.insert(of_plain, J, [of_means[3], of_sds[3]])
        gradient[-1] = by_series
        return statistics.log_normaliser + float(self.log_prior(own)), gradient

    def scales(self, own: Array) -> Array:
        J = self.J
        several = self.n * float(pdtrc(1, np.exp(own[0]))) + 1.0
        width, gap = np.exp(own[-1]), np.exp(own[-2])
        rho = width / gap / np.sqrt(several) / np.exp(-0.5 * own[J] ** 2)
        step = np.exp(2.0 * (own[-1] - own[J + 1])) / np.sqrt(several)
        both = 1.0 / np.sqrt(1.0 / np.square([rho, step]) + 1.0 / np.square(self.prior[J : J + 2, 1]))
        return np.insert(self._ungraded.scales(self.plain(own)), J, both)

    def freed(self, mode: Array, factor: Array) -> tuple[float, float]:
        """What log lambda would move by if it were that of the empty droplets alone, and the sd of that.

        One Newton step from the mode with a rate of its own for the positives. If the numbers of molecules follow
        Poisson's law, that is no more than chance: the variance of the move is the difference of the two variances
        of log lambda (Hausman 1978).
        """
        h, S = 1e-2, 1.0 / np.sqrt(self.n)
        at = np.append(mode, 0.0)
        step = np.append(np.zeros(mode.size), h * S)
        ahead, behind = self.with_excess(at + step)[1], self.with_excess(at - step)[1]
        across = (behind - ahead) / (2.0 * h * S)
        # The curvature of the rest is known from its factor: blocks of the inverse by the Schur complement.
        by_rest = factor @ (factor.T @ across[:-1])
        # A Normal(0, 1) prior on the log of the ratio of both rates, for wells that say nothing of it.
        variance = 1.0 / (max(float(across[-1] - across[:-1] @ by_rest), 0.0) + 1.0)
        excess = variance * float(self.with_excess(at)[1][-1])
        return -by_rest[0] * excess, abs(float(by_rest[0])) * np.sqrt(variance)


def most_molecules(rate: float) -> int:
    """Clusters for which no more than a tail of the droplets holds more molecules."""
    return max(int(np.argmax(pdtrc(np.arange(_MOST), rate) < _TAIL)), 2)


def _shared(beliefs: Beliefs) -> dict[str, Any]:
    """What is believed with and without grades."""
    return {each.name: getattr(beliefs, each.name) for each in fields(Beliefs)}


def _fields(part: Any) -> dict[str, Any]:
    return {each.name: getattr(part, each.name) for each in fields(part)}
