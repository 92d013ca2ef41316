"""Weights of the types of one locus with two alleles."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import expit

from bayesgmm._arguments import as_flag
from bayesgmm._errors import InputError
from bayesgmm.model._spec import Array, show
from bayesgmm.model._weights_interface import Weights
from bayesgmm.numerics.special import log_gamma

# An allele that is in no row still has a frequency whose logarithm is finite.
_SMALLEST = 1e-300


@dataclass(frozen=True)
class HardyWeinberg(Weights):
    """Weights p^2, 2 p q, q^2 of the genotypes of one locus with two alleles, q ~ Beta(alpha, beta) and p = 1 - q.

    Three components: without the second allele, with one copy, with two. With ``dominant`` there are two: both copies
    recessive, q^2, and all others, 1 - q^2.

    Parameters
    ----------
    alpha, beta : float
        Of the Beta prior on the frequency of the second (recessive) allele. 1 and 1 is uniform.
    dominant : bool
    """

    alpha: float = 1.0
    beta: float = 1.0
    dominant: bool = False

    def __post_init__(self) -> None:
        self._freeze("alpha", positive=True, most_axes=0)
        self._freeze("beta", positive=True, most_axes=0)
        self._set("dominant", as_flag("HardyWeinberg.dominant", self.dominant))

    def describe(self) -> str:
        weights = "(q^2, 1 - q^2)" if self.dominant else "((1 - q)^2, 2 q (1 - q), q^2)"
        return f"{weights}, q ~ Beta({show(self.alpha)}, {show(self.beta)})"

    def resolved(self, n_components: int) -> Self:
        wanted = 2 if self.dominant else 3
        if n_components != wanted:
            kind = "a dominant locus" if self.dominant else "a locus with two alleles"
            raise InputError(
                "n_components", f"got {n_components} with HardyWeinberg weights", f"Give {wanted} for {kind}"
            )
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        q, p, _, _ = self._frequencies(log_weights)
        slope = (self.alpha - 1.0) * p - (self.beta - 1.0) * q
        return float(self.log_densities(log_weights[None])[0]), self._pushed(slope, log_weights)

    def log_densities(self, log_weights: Array) -> Array:
        _, _, log_q, log_p = self._frequencies(log_weights)
        constant = log_gamma(self.alpha + self.beta) - log_gamma(self.alpha) - log_gamma(self.beta)
        return constant + (self.alpha - 1.0) * log_q + (self.beta - 1.0) * log_p

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        extra = 1.0 if unconstrained else 0.0
        a, b = self.alpha - 1.0 + extra, self.beta - 1.0 + extra
        if self.dominant:
            # d/dq of (2 n_0 + a) log q + n_1 log (1 - q^2) + b log (1 - q) has a quadratic equation as its root.
            c, both = 2.0 * counts[0] + a, 2.0 * counts.sum() + a + b
            q = (np.sqrt(b * b + 4.0 * both * c) - b) / (2.0 * both)
        else:
            q = (counts[1] + 2.0 * counts[2] + a) / (2.0 * counts.sum() + a + b)
        return self._log_weights(np.array(q), np.array(1.0 - q))

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        q = rng.beta(self.alpha, self.beta, size)
        return np.exp(self._log_weights(q, 1.0 - q))

    def bounded(self) -> bool:
        return min(self.alpha, self.beta) >= 1.0

    def own_parameters(self, log_weights: Array) -> dict[str, Array]:
        return {"allele_frequency": self._frequencies(log_weights)[0]}

    def n_free(self, n_components: int) -> int:
        return 1

    def from_free(self, theta: Array, reference: Array) -> Array:
        _, _, log_q, log_p = self._frequencies(reference)
        logit = log_q - log_p + theta[..., 0]
        return self._log_weights(expit(logit), expit(-logit))

    def to_free(self, log_weights: Array, reference: Array) -> Array:
        _, _, log_q, log_p = self._frequencies(log_weights)
        _, _, log_q0, log_p0 = self._frequencies(reference)
        return ((log_q - log_p) - (log_q0 - log_p0))[..., None]

    def pullback(self, gradient: Array, log_weights: Array) -> Array:
        return np.array([self._slopes(log_weights) @ gradient])

    def log_jacobian(self, log_weights: Array) -> tuple[float, Array]:
        q, p, log_q, log_p = self._frequencies(log_weights)
        return float(log_q + log_p), self._pushed(p - q, log_weights)

    def log_jacobians(self, log_weights: Array) -> Array:
        _, _, log_q, log_p = self._frequencies(log_weights)
        return log_q + log_p

    def information_map(self, log_weights: Array, counts: Array) -> Array:
        information = counts.sum() * (np.exp(log_weights) @ np.square(self._slopes(log_weights))) + 1.0
        return np.array([[1.0 / np.sqrt(information)]])

    def _frequencies(self, log_weights: Array) -> tuple[Array, Array, Array, Array]:
        """q, p and their logarithms, of log weights (..., K)."""
        if self.dominant:
            log_q = 0.5 * log_weights[..., 0]
            q = np.exp(log_q)
            # 1 - q^2 is the other weight, which keeps its digits where q is near 1.
            log_p = log_weights[..., 1] - np.log1p(q)
            return q, np.exp(log_p), log_q, log_p
        log_q, log_p = 0.5 * log_weights[..., 2], 0.5 * log_weights[..., 0]
        return np.exp(log_q), np.exp(log_p), log_q, log_p

    def _log_weights(self, q: Array, p: Array) -> Array:
        log_q, log_p = np.log(np.maximum(q, _SMALLEST)), np.log(np.maximum(p, _SMALLEST))
        if self.dominant:
            return np.stack([2.0 * log_q, log_p + np.log1p(q)], axis=-1)
        return np.stack([2.0 * log_p, np.log(2.0) + log_p + log_q, 2.0 * log_q], axis=-1)

    def _slopes(self, log_weights: Array) -> Array:
        """Derivatives of the log weights (K,) in the logit of q."""
        q, p, _, _ = self._frequencies(log_weights)
        if self.dominant:
            return np.array([2.0 * p, -2.0 * q * q / (1.0 + q)])
        return np.array([-2.0 * q, p - q, 2.0 * p])

    def _pushed(self, slope: Array, log_weights: Array) -> Array:
        """A gradient in log weights that `pullback` turns into this slope in the logit of q."""
        J = self._slopes(log_weights)
        return J * (slope / (J @ J))
