"""Weights of the clusters of droplets: negatives, positives, the rain between them, and outliers."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.model import Gamma, Weights
from bayesgmm.model._spec import Array, show

# Expected counts that a weight without droplets starts from.
_PSEUDO = 0.5
MOST_LOG_RATE = 4.0  # a rate of 55: every droplet is positive ten times over


@dataclass(frozen=True)
class DropletWeights(Weights):
    """Weights of droplets with lambda target molecules each, on average.

    Components in this order: J that make up the negatives, the positives, R of rain, low droplets, outliers. With
    ``lambda`` copies per droplet (Poisson), a fraction r of the positives in the rain, a fraction eps of outliers, and
    a fraction l of the negatives far below the others (whatever they are, no target was amplified there),

        negatives  (1 - eps) exp(-lambda) (1 - l) share_j    positives  (1 - eps) (1 - exp(-lambda)) (1 - r)
        low        (1 - eps) exp(-lambda) l                  rain       (1 - eps) (1 - exp(-lambda)) r q_i
        outliers   eps

    Rain may be denser towards the positives, q_i proportional to (i - 1/2)^tilt for i = 1, ..., R; it is even with
    tilt 0.

    Parameters
    ----------
    shares : (J,) array-like
        Of the components of the negatives, adding up to 1.
    rate : Gamma
        Prior on lambda.
    share_sd : float
        How far a well's shares may be from these: sd of the Normal prior on each log(share_j / share_1).
    rain, outliers : (float, float)
        Mean and standard deviation of Normal priors: on logit r, and on logit l and logit eps.
    tilt : (float, float)
        The same of the tilt of the rain.
    """

    shares: tuple[float, ...]
    rate: Gamma
    share_sd: float
    rain: tuple[float, float]
    outliers: tuple[float, float]
    tilt: tuple[float, float] = (2.0, 1.0)
    closed_form = False

    def __post_init__(self) -> None:
        self._freeze("shares", positive=True, most_axes=1)
        self._check("shares", len(self.shares) > 1, f"got {as_written(self.shares)}", "Give at least two")
        self._set("shares", tuple(np.asarray(self.shares) / np.sum(self.shares)))
        self._freeze("share_sd", positive=True, most_axes=0)
        self._freeze("rain", most_axes=1)
        self._freeze("outliers", most_axes=1)
        self._freeze("tilt", most_axes=1)

    def describe(self) -> str:
        return (
            f"exp(-lambda) x shares near {show(self.shares)}, 1 - exp(-lambda) x (1 - r, r), outliers; lambda ~ "
            f"{self.rate.describe()}, logit r ~ Normal({show(self.rain[0])}, sd {show(self.rain[1])})"
        )

    def resolved(self, n_components: int) -> Self:
        least = self._J + 5  # two of rain at least, whose weights show the tilt
        if n_components < least:
            raise InputError("n_components", f"got {n_components} for DropletWeights", f"Give at least {least}")
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def own(self, log_weights: Array) -> Array:
        """Log lambda, log ratios of shares to the first, tilt, logit r, logit l, logit eps (..., J + 4)."""
        J = self._J
        places = _log_places(log_weights.shape[-1] - J - 3)
        tilt = (log_weights[..., -3] - log_weights[..., J + 1]) / (places[-1] - places[0])
        negative, positive, rain = self._sums(log_weights)
        low, outliers = log_weights[..., -2], log_weights[..., -1]
        # Positives over negatives are exp(lambda) - 1.
        neither, either = np.logaddexp(negative, low), np.logaddexp(positive, rain)
        log_rate = np.log(np.logaddexp(0.0, either - neither))
        relative = self._log_shares[1:] - self._log_shares[0]
        ratios = log_weights[..., 1:J] - log_weights[..., :1] - relative
        odds = rain - positive, low - negative, outliers - np.logaddexp(neither, either)
        return np.concatenate([log_rate[..., None], ratios, np.stack([tilt, *odds], axis=-1)], axis=-1)

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        own = self.own(log_weights)
        rate = np.exp(own[0])
        slope = -self._residuals(own) / self._sds
        slope[0] = float(self.rate.log_density(np.array([rate]))[1][0]) * rate
        return float(self.log_densities(log_weights[None])[0]), self._pushed(slope, own, log_weights.size)

    def log_densities(self, log_weights: Array) -> Array:
        own = self.own(log_weights)
        z, sds = self._residuals(own)[..., 1:], self._sds[1:]
        normal = -0.5 * np.square(z).sum(axis=-1) - np.log(sds).sum() - 0.5 * sds.size * np.log(2.0 * np.pi)
        return normal + self.rate.log_density(np.exp(own[..., :1]))[0][..., 0]

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        """The mode for complete counts, prior left out: for short starts."""
        J, n = self._J, counts + _PSEUDO
        positive, rain, negative, low = n[J], n[J + 1 : -2].sum(), n[:J], n[-2]
        own = np.concatenate(
            [
                [np.log(np.log1p((positive + rain) / (negative.sum() + low)))],
                np.log(negative[1:] / negative[0]) - self._log_shares[1:] + self._log_shares[0],
                self.tilt[:1],
                np.log([rain / positive, low / negative.sum(), n[-1] / n[:-1].sum()]),
            ]
        )
        return self.at(own, counts.size)

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        own = self._centres + self._sds * rng.standard_normal((size, self._J + 4))
        own[:, 0] = np.log(np.maximum(self.rate.draw(rng, (size, 1))[:, 0], np.finfo(float).tiny))
        return np.exp(self.at(own, n_components))

    def bounded(self) -> bool:
        return float(np.ravel(self.rate.alpha)[0]) >= 1.0

    def n_free(self, n_components: int) -> int:
        return self._J + 4

    def from_free(self, theta: Array, reference: Array) -> Array:
        return self.at(self.own(reference) + theta, reference.shape[-1])

    def to_free(self, log_weights: Array, reference: Array) -> Array:
        return self.own(log_weights) - self.own(reference)

    def pullback(self, gradient: Array, log_weights: Array) -> Array:
        return self.slopes(self.own(log_weights), log_weights.size).T @ gradient

    def log_jacobian(self, log_weights: Array) -> tuple[float, Array]:
        own = self.own(log_weights)
        slope = np.zeros(own.size)
        slope[0] = 1.0
        return float(own[0]), self._pushed(slope, own, log_weights.size)

    def log_jacobians(self, log_weights: Array) -> Array:
        return self.own(log_weights)[..., 0]

    def information_map(self, log_weights: Array, counts: Array) -> Array:
        J = self.slopes(self.own(log_weights), log_weights.size)
        information = counts.sum() * (J * np.exp(log_weights)[:, None]).T @ J
        prior = 1.0 / np.square(self._sds)
        prior[0] = np.ravel(self.rate.alpha)[0]
        factor = np.linalg.cholesky(information + np.diag(prior))
        return np.asarray(np.linalg.inv(factor).T)

    @property
    def _J(self) -> int:
        return len(self.shares)

    @cached_property
    def _centres(self) -> Array:
        """Centres of the Normal priors on the own parameters; that of the rate is none."""
        return np.array([0.0] * self._J + [self.tilt[0], self.rain[0], self.outliers[0], self.outliers[0]])

    @cached_property
    def _sds(self) -> Array:
        others = [self.tilt[1], self.rain[1], self.outliers[1], self.outliers[1]]
        return np.array([1.0] + [self.share_sd] * (self._J - 1) + others)

    @cached_property
    def _log_shares(self) -> Array:
        return np.log(self.shares)

    def _residuals(self, own: Array) -> Array:
        return (own - self._centres) / self._sds

    def _sums(self, log_weights: Array) -> tuple[Array, Array, Array]:
        """Log weights of the negatives, the positives and the rain."""
        J = self._J
        negative = np.logaddexp.reduce(log_weights[..., :J], axis=-1)
        return negative, log_weights[..., J], np.logaddexp.reduce(log_weights[..., J + 1 : -2], axis=-1)

    def at(self, own: Array, K: int) -> Array:
        """Log weights (..., K) of own parameters (..., J + 4)."""
        J = self._J
        rate = np.exp(np.minimum(own[..., :1], MOST_LOG_RATE))
        ratios = self._log_shares + np.concatenate([np.zeros_like(rate), own[..., 1:J]], axis=-1)
        shares = ratios - np.logaddexp.reduce(ratios, axis=-1, keepdims=True)
        tilt, rain, low, outliers = (own[..., J + i : J + i + 1] for i in range(4))
        between = tilt * _log_places(K - J - 3)
        inside = -np.logaddexp(0.0, outliers)
        positive = inside + np.log(-np.expm1(-rate))
        fallen = positive - np.logaddexp(0.0, -rain)
        return np.concatenate(
            [
                inside - rate - np.logaddexp(0.0, low) + shares,
                positive - np.logaddexp(0.0, rain),
                fallen + between - np.logaddexp.reduce(between, axis=-1, keepdims=True),
                inside - rate - np.logaddexp(0.0, -low),
                -np.logaddexp(0.0, -outliers),
            ],
            axis=-1,
        )

    def slopes(self, own: Array, K: int) -> Array:
        """Derivatives of the log weights (K,) in the own parameters (J + 4,)."""
        J, rate = self._J, np.exp(min(float(own[0]), MOST_LOG_RATE))
        rain, low, outliers = 1.0 / (1.0 + np.exp(-own[J + 1 :]))
        weights, places = np.exp(DropletWeights.at(self, own, K)), _log_places(K - J - 3)
        share, between = weights[:J], weights[J + 1 : -2]
        out = np.zeros((K, J + 4))
        out[[*range(J), K - 2], 0], out[J:-2, 0] = -rate, rate / np.expm1(rate)
        out[:J, 1:J] = np.eye(J)[:, 1:] - share[1:] / share.sum()
        out[J + 1 : -2, J] = places - between @ places / between.sum()
        out[J, J + 1], out[J + 1 : -2, J + 1] = -rain, 1.0 - rain
        out[:J, J + 2], out[-2, J + 2] = -low, 1.0 - low
        out[:-1, J + 3], out[-1, J + 3] = -outliers, 1.0 - outliers
        return out

    def _pushed(self, slope: Array, own: Array, K: int) -> Array:
        """A gradient in log weights that `pullback` turns into this slope in the own parameters."""
        J = self.slopes(own, K)
        return np.asarray(J @ np.linalg.solve(J.T @ J, slope))


@cache
def _log_places(R: int) -> Array:
    """Logs of the places of the components of the rain."""
    return np.log(np.arange(R) + 0.5)
