"""Weights of droplets without and with each of two targets, which may be linked."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.model._rates import LEAST_LOG_RATE, MOST_LOG_RATE, check_rate, is_bounded, rate_density
from bayesgmm.model._spec import Array
from bayesgmm.model._weights_interface import Weights, WeightsPosterior
from bayesgmm.model.poisson import PoissonWeights
from bayesgmm.model.poisson_posterior import PoissonPosterior
from bayesgmm.model.scale_priors import Gamma, ScalePrior
from bayesgmm.numerics.poisson import log_tail

_SMALLEST_WEIGHT = 1e-300
# Whether each of the components --, +-, -+, ++ has the target of the first channel, and of the second.
_FIRST, _SECOND = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])


@dataclass(frozen=True)
class PoissonProductWeights(Weights):
    """Weights of the four clusters --, +-, -+, ++ of two channels of digital PCR, in this order.

    Droplets hold Poisson numbers of two targets A and B, with rates a and b, and of molecules AB on which both are
    linked, with rate c (Regan et al. 2015, doi:10.1371/journal.pone.0118270):

        P(--) = exp(-a - b - c),                  P(+-) = (1 - exp(-a)) exp(-b - c),
        P(-+) = (1 - exp(-b)) exp(-a - c),        P(++) = (1 - exp(-a)) (1 - exp(-b)) exp(-c) + 1 - exp(-c)

    A result holds them as ``rate_a``, ``rate_b`` and ``rate_linked``; the rates of all A and all B are a + c and b + c.
    Each group of rows has rates of its own. Give means that tell the four clusters apart.

    Parameters
    ----------
    rates : pair of Gamma, Exponential, HalfNormal, LogNormal or ScaledInverseChi
        Priors on a and b; ``Gamma(1, 0.1)`` each if left out.
    linked : a prior of the same kinds, optional
        On c. There are no linked molecules if left out.

    Raises
    ------
    InputError
        If a prior is of another kind, or there are not four components.
    """

    rates: tuple[ScalePrior, ScalePrior] = (Gamma(1.0, 0.1), Gamma(1.0, 0.1))
    linked: ScalePrior | None = None

    def __post_init__(self) -> None:
        pair = isinstance(self.rates, (tuple, list)) and len(self.rates) == 2
        self._check(
            "rates", pair, f"got {as_written(self.rates)}", "Give two priors, such as (Gamma(1, 0.1), Gamma(1, 0.1))"
        )
        self._set("rates", tuple(self.rates))
        for prior in self.rates:
            check_rate(self, "rates", prior)
        if self.linked is not None:
            check_rate(self, "linked", self.linked)

    def describe(self) -> str:
        linked = "" if self.linked is None else f", linked c ~ {self.linked.describe()}"
        return f"Poisson x Poisson, a ~ {self.rates[0].describe()}, b ~ {self.rates[1].describe()}{linked}"

    def resolved(self, n_components: int) -> Self:
        if n_components != 4:
            raise InputError(
                "n_components", f"got {n_components} with PoissonProductWeights", "Give 4, for --, +-, -+ and ++"
            )
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        t = self.log_rates(log_weights)
        found = [rate_density(prior, t[i]) for i, prior in enumerate(self._priors)]
        slopes = np.array([float(slope) for _, slope in found])
        return float(sum(value for value, _ in found)), self._pushed(slopes, t)

    def log_densities(self, log_weights: Array) -> Array:
        t = self.log_rates(log_weights)
        return np.sum([rate_density(prior, t[..., i])[0] for i, prior in enumerate(self._priors)], axis=0)

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        channels = zip(self.rates, self._by_channel(counts), strict=True)
        each = [PoissonWeights(prior).mode(n, unconstrained=unconstrained) for prior, n in channels]
        t = np.array([float(PoissonWeights().log_rate(own)) for own in each])
        if self.linked is None:
            return self._weights_and_slopes(t)[0]
        from scipy.optimize import minimize

        extra = 1.0 if unconstrained else 0.0

        def negative(t: Array) -> tuple[float, Array]:
            logs, J = self._weights_and_slopes(t)
            found = [rate_density(prior, t[i]) for i, prior in enumerate(self._priors)]
            value = counts @ logs + sum(float(each) for each, _ in found) + extra * t.sum()
            return -float(value), -(J.T @ counts + np.array([float(slope) for _, slope in found]) + extra)

        # What the two have in common is linked to begin with, or a small part of it.
        table = self.log_rates(np.log((counts + 0.5) / (counts.sum() + 2.0)))
        start = np.array([*table[:2], max(table[2], t.min() - 3.0)])
        bounds = [(-40.0, MOST_LOG_RATE)] * 3
        options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500}
        best = minimize(
            negative, np.clip(start, -35.0, 5.0), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        return self._weights_and_slopes(best.x)[0]

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        with np.errstate(divide="ignore"):
            t = np.log(np.concatenate([prior.draw(rng, (size, 1)) for prior in self._priors], axis=1))
        logs = self._weights_and_slopes(np.clip(t, LEAST_LOG_RATE, MOST_LOG_RATE))[0]
        return np.maximum(np.exp(logs), _SMALLEST_WEIGHT)

    def bounded(self) -> bool:
        return all(is_bounded(prior) for prior in self._priors)

    def posterior(self, counts: Array) -> WeightsPosterior:
        """The posterior of two independent rates; with linked molecules there is none."""
        if self.linked is not None:
            return super().posterior(counts)
        own = zip(self.rates, self._by_channel(counts), strict=True)
        first, second = (PoissonWeights(prior).posterior(n) for prior, n in own)
        return PoissonProductPosterior(first, second)

    def own_parameters(self, log_weights: Array) -> dict[str, Array]:
        rates = np.exp(self.log_rates(log_weights))
        return {name: rates[..., i] for i, name in enumerate(("rate_a", "rate_b", "rate_linked")[: rates.shape[-1]])}

    def n_free(self, n_components: int) -> int:
        return len(self._priors)

    def from_free(self, theta: Array, reference: Array) -> Array:
        return self._weights_and_slopes(self.log_rates(reference) + theta)[0]

    def to_free(self, log_weights: Array, reference: Array) -> Array:
        return self.log_rates(log_weights) - self.log_rates(reference)

    def pullback(self, gradient: Array, log_weights: Array) -> Array:
        return self._weights_and_slopes(self.log_rates(log_weights))[1].T @ gradient

    def log_jacobian(self, log_weights: Array) -> tuple[float, Array]:
        t = self.log_rates(log_weights)
        return float(t.sum()), self._pushed(np.ones(t.size), t)

    def log_jacobians(self, log_weights: Array) -> Array:
        return self.log_rates(log_weights).sum(axis=-1)

    def information_map(self, log_weights: Array, counts: Array) -> Array:
        logs, J = self._weights_and_slopes(self.log_rates(log_weights))
        information = counts.sum() * (J.T * np.exp(logs)) @ J + np.eye(len(self._priors))
        return np.linalg.inv(np.linalg.cholesky(information)).T

    def log_rates(self, log_weights: Array) -> Array:
        """Logs of a and b, and of c, (..., 2) or (..., 3), that log weights (..., 4) belong to."""
        x = [log_weights[..., k] for k in range(4)]
        # Droplets without B: P(+-) / P(--) = exp(a) - 1.
        rates = [np.logaddexp(0.0, x[1] - x[0]), np.logaddexp(0.0, x[2] - x[0])]
        if self.linked is not None:
            # exp(c) - 1 = (P(--) P(++) - P(+-) P(-+)) / (P(--) + P(+-)) (P(--) + P(-+)).
            below = np.logaddexp(x[0], x[1]) + np.logaddexp(x[0], x[2])
            more = np.exp(x[0] + x[3] - below) - np.exp(x[1] + x[2] - below)
            rates.append(np.log1p(np.maximum(more, _SMALLEST_WEIGHT)))
        with np.errstate(divide="ignore"):
            return np.clip(np.log(np.stack(rates, axis=-1)), LEAST_LOG_RATE, MOST_LOG_RATE)

    @property
    def _priors(self) -> tuple[ScalePrior, ...]:
        return self.rates if self.linked is None else (*self.rates, self.linked)

    def _by_channel(self, counts: Array) -> list[Array]:
        """Rows without and with the target of each channel."""
        return [np.array([counts[has == 0].sum(), counts[has == 1].sum()]) for has in (_FIRST, _SECOND)]

    def _weights_and_slopes(self, t: Array) -> tuple[Array, Array]:
        """Log weights (..., 4) of log rates (..., p) and their slopes (..., 4, p)."""
        L = np.exp(t)
        logs, by = log_tail(1, t)
        a, b = L[..., 0], L[..., 1]
        both = logs[..., 0] + logs[..., 1]
        x = np.stack([-a - b, logs[..., 0] - b, logs[..., 1] - a, both], axis=-1)
        zero = np.zeros_like(a)
        first = np.stack([-a, by[..., 0], -a, by[..., 0]], axis=-1)
        second = np.stack([-b, -b, by[..., 1], by[..., 1]], axis=-1)
        if self.linked is None:
            return x, np.stack([first, second], axis=-1)
        c, log_c, by_c = L[..., 2], logs[..., 2], by[..., 2]
        x = x - c[..., None]
        apart = x[..., 3].copy()
        x[..., 3] = np.logaddexp(apart, log_c)
        share = np.exp(apart - x[..., 3])
        last = np.stack([zero, zero, zero, share - 1.0], axis=-1)
        first, second = first * (1.0 + last), second * (1.0 + last)
        third = np.stack([-c, -c, -c, -share * c + (1.0 - share) * by_c], axis=-1)
        return x, np.stack([first, second, third], axis=-1)

    def _pushed(self, slopes: Array, t: Array) -> Array:
        """A gradient in log weights that `pullback` turns into these slopes in the log rates."""
        Q, R = np.linalg.qr(self._weights_and_slopes(t)[1])
        return Q @ np.linalg.solve(R.T, slopes)


@dataclass(frozen=True)
class PoissonProductPosterior(WeightsPosterior):
    """Independent distributions of the rates of two channels."""

    first: PoissonPosterior
    second: PoissonPosterior

    def describe(self) -> str:
        return f"{self.first.describe()}; {self.second.describe()}"

    def expected_log(self) -> Array:
        return self.first.expected_log()[_FIRST] + self.second.expected_log()[_SECOND]

    def mean(self) -> Array:
        return self.first.mean()[_FIRST] * self.second.mean()[_SECOND]

    def divergence(self) -> float:
        return self.first.divergence() + self.second.divergence()

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return np.maximum(self.first.draw(rng, size)[:, _FIRST] * self.second.draw(rng, size)[:, _SECOND], 1e-300)

    def given(self, counts: Array) -> Self:
        without = [np.array([counts[has == 0].sum(), counts[has == 1].sum()]) for has in (_FIRST, _SECOND)]
        return self._replace(first=self.first.given(without[0]), second=self.second.given(without[1]))

    def log_density(self, log_weights: Array, *, prior: bool = False) -> Array:
        x = log_weights
        # Log weights of either channel, summed over the other.
        first = np.stack([np.logaddexp(x[..., 0], x[..., 2]), np.logaddexp(x[..., 1], x[..., 3])], axis=-1)
        second = np.stack([np.logaddexp(x[..., 0], x[..., 1]), np.logaddexp(x[..., 2], x[..., 3])], axis=-1)
        return self.first.log_density(first, prior=prior) + self.second.log_density(second, prior=prior)
