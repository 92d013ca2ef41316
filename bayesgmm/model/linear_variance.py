"""Variances that grow by as much with every component."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import UnsupportedError
from bayesgmm.model._interfaces import CovariancePrior, Covariances
from bayesgmm.model._spec import Array, freeze
from bayesgmm.model.covariance_priors import LKJ
from bayesgmm.model.scale_priors import HalfNormal, ScalePrior

# What a step adds to the variance is read as a difference, and is at least this part of the first variance.
_LEAST = 1e-14
_SCORING_STEPS = 12


@dataclass(frozen=True)
class LinearVariance(Covariances):
    """Variances sd_k^2 = sd_0^2 + k sd_a^2, k = 0, ..., K - 1, for one feature.

    A sum of k independent contributions of equal variance, on a background: amplitudes of partitions with k molecules,
    or of synaptic currents of k quanta (del Castillo & Katz 1954).

    Parameters
    ----------
    sd_0, sd_a : HalfNormal, Gamma, Exponential, LogNormal or ScaledInverseChi, optional
        Priors on the background's sd and on that of one contribution; ``HalfNormal(sd(data) / K)`` if left out.

    Raises
    ------
    InputError
        If a prior is of another kind.
    UnsupportedError
        In a fit of more than one feature.
    """

    sd_0: ScalePrior | None = None
    sd_a: ScalePrior | None = None

    def __post_init__(self) -> None:
        for name in ("sd_0", "sd_a"):
            prior = getattr(self, name)
            self._check(
                name,
                prior is None or (isinstance(prior, ScalePrior) and prior.n_features() in (None, 1)),
                f"got {as_written(prior)}",
                "Give a prior on one positive number, such as HalfNormal(sigma) or LogNormal(mu, sigma)",
            )

    @property
    def innermost(self) -> CovariancePrior:
        both = self.sd_0 is not None and self.sd_a is not None
        return LKJ(1.0, scale=self.sd_0 if both else None)

    def describe(self) -> str:
        priors = ["HalfNormal(sd(data) / K)" if p is None else p.describe() for p in (self.sd_0, self.sd_a)]
        return f"sd_0^2 + k sd_a^2, sd_0 ~ {priors[0]}, sd_a ~ {priors[1]}"

    def filled(self, covariance: Array, n_components: int, within: Array | None = None) -> Self:
        self._check_features(len(covariance))  # before a prior is made that has a number for each
        if self.sd_0 is not None and self.sd_a is not None:
            return self
        default = HalfNormal(freeze(np.sqrt(np.diag(covariance)) / n_components))
        return self._replace(sd_0=self.sd_0 or default, sd_a=self.sd_a or default)

    def resolved(self, n_components: int, n_features: int) -> Self:
        self._check_features(n_features)
        return self._replace(sd_0=self._prior_0.resolved(1), sd_a=self._prior_a.resolved(1))

    def _check_features(self, n_features: int) -> None:
        if n_features != 1:
            raise UnsupportedError("LinearVariance", f"{n_features} features", "Use Full or Diagonal covariances.")

    def rescaled(self, scale: Array) -> Self:
        return self._replace(sd_0=self._prior_0.rescaled(scale), sd_a=self._prior_a.rescaled(scale))

    def bounded(self) -> bool:
        return self.sd_0 is not None and self.sd_0.vanishes_at_zero()

    def cut(self, n_components: int) -> Self:
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        K = len(choleskys)
        own = np.sqrt(self._own(choleskys))
        value, slope = self._prior_0.log_density(own[:1])
        total, gradient = float(value[0]), np.zeros_like(choleskys)
        gradient[0, 0, 0] = slope[0] / (2.0 * own[0])
        if K > 1:
            # What a step adds is read off the first variance and the last.
            value, slope = self._prior_a.log_density(own[1:])
            by_last = slope[0] / (2.0 * own[1]) / (K - 1)
            total += float(value[0])
            gradient[0, 0, 0] -= by_last
            gradient[-1, 0, 0] += by_last
        return total, gradient

    def log_densities(self, choleskys: Array, means: Array) -> Array:
        own = np.sqrt(self._own(choleskys))
        out = self._prior_0.log_density(own[:, :1])[0][:, 0]
        return out + self._prior_a.log_density(own[:, 1:])[0][:, 0] if own.shape[1] > 1 else out

    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        own = self._own(choleskys)
        return 0.5 * float(np.log(own).sum()), np.ones(own.size)

    def log_jacobians(self, choleskys: Array, means: Array) -> Array:
        return 0.5 * np.log(self._own(choleskys)).sum(axis=-1)

    def mode(self, counts: Array, scatter: Array) -> Array:
        """Fisher scoring for the likelihood; the priors are left out."""
        K = counts.size
        v = scatter[:, 0, 0] / np.maximum(counts, np.finfo(float).tiny)
        pooled = float(scatter.sum() / max(float(counts.sum()), np.finfo(float).tiny))
        design = np.stack([np.ones(K), np.arange(float(K))], axis=1)[:, : min(K, 2)]
        # A few rows of the pooled variance keep it where there is nothing to estimate from.
        v = (counts * v + pooled) / (counts + 1.0)
        own = np.full(design.shape[1], 0.5 * pooled)
        for _ in range(_SCORING_STEPS):
            with np.errstate(over="ignore"):  # infinite variances weigh nothing
                weighted = (design * ((counts + 1.0) / np.square(design @ own))[:, None]).T
            own = _positive_solution(weighted @ design, weighted @ v, _LEAST * pooled)
        return (design @ own)[:, None, None]

    def n_free(self, n_components: int, n_features: int) -> int:
        return min(n_components, 2)

    def from_free(self, theta: Array, reference: Array) -> Array:
        own = self._own(reference) * np.exp(2.0 * theta)
        k = np.arange(float(len(reference)))
        by_step = k * own[..., 1:] if own.shape[-1] > 1 else 0.0
        return np.sqrt(own[..., :1] + by_step)[..., None, None]

    def to_free(self, choleskys: Array, reference: Array) -> Array:
        return 0.5 * np.log(self._own(choleskys) / self._own(reference))

    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        own, by_variance = self._own(choleskys), gradient[:, 0, 0]
        steps = np.array([by_variance.sum(), np.arange(float(len(by_variance))) @ by_variance])
        return 2.0 * own * steps[: own.size]

    def information(self, counts: Array, n_features: int) -> Array:
        return 2.0 * np.array([counts.sum(), counts[1:].sum() + 1.0])[: min(counts.size, 2)]

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        first = np.square(self._prior_0.draw(rng, (size, 1)))
        step = np.square(self._prior_a.draw(rng, (size, 1)))
        return (first + np.arange(float(n_components)) * step)[..., None, None]

    @property
    def _prior_0(self) -> ScalePrior:
        assert self.sd_0 is not None
        return self.sd_0

    @property
    def _prior_a(self) -> ScalePrior:
        assert self.sd_a is not None
        return self.sd_a

    def _own(self, choleskys: Array) -> Array:
        """Squares of sd_0 and sd_a (..., 2), or of sd_0 of one component."""
        sds = choleskys[..., 0, 0]
        K, first = sds.shape[-1], np.square(sds[..., :1])
        if K == 1:
            return first
        # (sd_K - sd_0) (sd_K + sd_0) loses less than the difference of squares.
        step = (sds[..., -1:] - sds[..., :1]) * (sds[..., -1:] + sds[..., :1]) / (K - 1)
        return np.concatenate([first, np.maximum(step, _LEAST * first)], axis=-1)


def _positive_solution(A: Array, right: Array, least: float) -> Array:
    """The solution of normal equations of one or two numbers that are both at least so much."""
    own = np.linalg.solve(A, right)
    if own.size > 1 and own[1] < least:
        own = np.array([(right[0] - A[0, 1] * least) / A[0, 0], least])
    elif own.size > 1 and own[0] < least:
        own = np.array([least, (right[1] - A[0, 1] * least) / A[1, 1]])
    return np.maximum(own, least)
