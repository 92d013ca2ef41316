"""The distribution of a Poisson rate given expected counts, exactly and on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from bayesgmm.model._rates import LEAST_LOG_RATE, MOST_LOG_RATE, rate_density
from bayesgmm.model._spec import Array, Numbers, freeze
from bayesgmm.model._weights_interface import WeightsPosterior

if TYPE_CHECKING:
    from bayesgmm.model.poisson import PoissonWeights

# The grid reaches to where the density has fallen by so many nats. Sums over evenly spaced points of a density that is
# smooth and falls at both ends have an error far below rounding (Trefethen & Weideman 2014).
_NATS = 45.0
_POINTS = 401
# Draws invert a distribution function that is interpolated between so many points.
_POINTS_FOR_DRAWS = 8001
_BISECTIONS = 24


@dataclass(frozen=True)
class PoissonPosterior(WeightsPosterior):
    """Density of the log rate in proportion to prior times prod_k w_k^counts_k.

    Parameters
    ----------
    prior : PoissonWeights
    counts : (K,) or (G, K) array-like
    """

    prior: PoissonWeights
    counts: Numbers

    def describe(self) -> str:
        t, q, _ = self._grid
        mean = float(q @ np.exp(t))
        return f"Poisson weights with a rate of {mean:.4g} +- {float(np.sqrt(q @ np.square(np.exp(t) - mean))):.2g}"

    def expected_log(self) -> Array:
        t, q, _ = self._grid
        return np.tensordot(q, self.prior.log_weights(t, self._K), axes=1)

    def mean(self) -> Array:
        t, q, _ = self._grid
        return np.tensordot(q, self.prior.weights(t, self._K), axes=1)

    def divergence(self) -> float:
        # E log (q / p) = E sum counts log w - log of the normaliser of p times that.
        return float((np.asarray(self.counts) * self.expected_log()).sum()) - self._grid[2]

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        ends = self._grid[0][[0, -1]]
        t = np.linspace(ends[0], ends[1], _POINTS_FOR_DRAWS)
        density = np.exp(self._log_joint(t) - self._grid[2])
        below = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1])))
        return self.prior.weights(np.interp(rng.random(size) * below[-1], below, t), self._K)

    def given(self, counts: Array) -> Self:
        return self._replace(counts=freeze(counts))

    def log_density(self, log_weights: Array, *, prior: bool = False) -> Array:
        """Log density of the rate, of this distribution or of its prior, at log weights."""
        t = self.prior.log_rate(log_weights)
        return self.prior.log_densities(log_weights) if prior else self._log_joint(t) - t - self._grid[2]

    @property
    def _K(self) -> int:
        return np.shape(self.counts)[-1]

    def _log_joint(self, t: Array) -> Array:
        """Log of prior density of the log rate times likelihood."""
        counts = np.asarray(self.counts)
        terms = np.where(counts > 0, counts * self.prior.log_weights(t, self._K), 0.0)
        by_rows = terms.reshape(*np.shape(t), -1).sum(axis=-1)
        return rate_density(self.prior.rate, t)[0] + t + by_rows

    @cached_property
    def _grid(self) -> tuple[Array, Array, float]:
        """Log rates, their probabilities, and the log of the normaliser."""
        top = self.prior.log_rate(self.prior.mode(np.asarray(self.counts), unconstrained=True))
        highest = self._log_joint(top)
        # Both ends at once: away from the top the log density falls, and ever faster.
        limits = np.array([LEAST_LOG_RATE, MOST_LOG_RATE])
        inside, outside = np.array([top, top], dtype=float), limits
        for _ in range(_BISECTIONS):
            middle = 0.5 * (inside + outside)
            within = self._log_joint(middle) > highest - _NATS
            inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
        t = np.linspace(outside[0], outside[1], _POINTS)
        logs = self._log_joint(t)
        mass = np.exp(logs - highest)
        total = float(mass.sum())
        return t, mass / total, float(highest + np.log(total * (t[1] - t[0])))
