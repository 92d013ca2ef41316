"""Priors on the mixture weights."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm.model._spec import Array, Numbers, rows_as_keys, show
from bayesgmm.model._weights_interface import Weights, WeightsPosterior
from bayesgmm.numerics.special import digamma, log_gamma

# Drawn weights can underflow under small concentrations; their logs must stay finite.
_SMALLEST_WEIGHT = 1e-300


@dataclass(frozen=True)
class Dirichlet(Weights):
    """Dirichlet prior on the weights.

    Parameters
    ----------
    concentration : float, (K,) or (G, K) array-like
        Positive. 1 is uniform on the simplex; small values favour few occupied components (Rousseau & Mengersen
        2011). Below 1 the density is unbounded at the edge, so `EM` has no mode to find; `VB` works.
        With two axes it has a row for each group of ``as_data(groups=...)``, in the sorted order of their labels.
    """

    concentration: Numbers = 1.0

    def __post_init__(self) -> None:
        self._freeze("concentration", positive=True, most_axes=2)

    @property
    def n_groups(self) -> int | None:
        return len(self.concentration) if np.ndim(self.concentration) == 2 else None  # type: ignore[arg-type]

    def for_group(self, group: int) -> Dirichlet:
        if self.n_groups is None:
            return self
        return Dirichlet(self.concentration[group])  # type: ignore[index]

    def describe(self) -> str:
        return f"Dirichlet({show(self.concentration)})"

    def resolved(self, n_components: int) -> Self:
        if self.n_groups is not None:
            shape = self.n_groups, n_components
            return self._replace(concentration=self._shaped("concentration", shape, "(n_groups, n_components)"))
        return self._replace(concentration=tuple(self._values(n_components)))

    def keys(self, n_components: int) -> list[Hashable]:
        return rows_as_keys(self._values(n_components))

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        a = self._values(log_weights.size)
        constant = float(log_gamma(a.sum()) - log_gamma(a).sum())
        # 0 * log(0) is 0 here: an empty component under a uniform prior has the density of every other point.
        terms = np.where(a == 1.0, 0.0, (a - 1.0) * np.where(a == 1.0, 0.0, log_weights))
        return constant + float(terms.sum()), a - 1.0

    def log_densities(self, log_weights: Array) -> Array:
        a = self._values(log_weights.shape[-1])
        with np.errstate(invalid="ignore"):
            terms = np.where(a == 1.0, 0.0, (a - 1.0) * log_weights)
        return log_gamma(a.sum()) - log_gamma(a).sum() + terms.sum(axis=-1)

    def log_jacobians(self, log_weights: Array) -> Array:
        return log_weights.sum(axis=-1) + 0.5 * np.log(log_weights.shape[-1])

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        return _log_normalised(np.maximum(counts + self._values(counts.size) - (0.0 if unconstrained else 1.0), 0.0))

    def cut(self, n_components: int) -> Self | None:
        if self.n_groups is not None:
            return None
        return self._replace(concentration=np.atleast_1d(self.concentration)[:n_components])

    def bounded(self) -> bool:
        return bool(np.min(self.concentration) >= 1.0)

    def posterior(self, counts: Array) -> DirichletPosterior:
        prior = self._values(counts.size)
        return DirichletPosterior(tuple(prior + counts), tuple(prior))

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        return _draw_dirichlet(rng, self._values(n_components), size)

    def _values(self, n_components: int) -> Array:
        return self._shaped("concentration", (n_components,), "(n_components,)")


@dataclass(frozen=True)
class StickBreaking(Weights):
    """Truncated stick-breaking prior of a Dirichlet process.

    Fractions v_k ~ Beta(1, concentration) are broken off what is left of a stick, w_k = v_k prod_{j<k} (1 - v_j),
    and the last component takes the rest (Ishwaran & James 2001; Blei & Jordan 2006). Earlier components are larger
    a priori, so components are not exchangeable. Its own parameters are the fractions v.

    Parameters
    ----------
    concentration : float
        Positive; larger means more components.
    """

    concentration: float = 1.0

    def __post_init__(self) -> None:
        self._freeze("concentration", positive=True, most_axes=0)

    @property
    def empties(self) -> bool:
        return True

    def describe(self) -> str:
        return f"StickBreaking({show(self.concentration)})"

    def resolved(self, n_components: int) -> Self:
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        # log (1 - v_k) = log rest_{k+1} - log rest_k, which telescopes to the log of the last weight.
        a = self.concentration
        K = log_weights.size
        gradient = np.zeros(K)
        if K > 1 and a != 1.0:
            gradient[-1] = a - 1.0
            return (K - 1) * float(np.log(a)) + float((a - 1.0) * log_weights[-1]), gradient
        return (K - 1) * float(np.log(a)), gradient

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        after = np.append(np.cumsum(counts[::-1])[::-1][1:], 0.0)[:-1]
        taken = counts[:-1] + (1.0 if unconstrained else 0.0)
        left = after + self.concentration - (0.0 if unconstrained else 1.0)
        v = taken / np.maximum(taken + left, np.finfo(float).tiny)
        with np.errstate(divide="ignore"):
            return np.append(np.log(v), 0.0) + np.append(0.0, np.cumsum(np.log1p(-v)))

    def bounded(self) -> bool:
        return self.concentration >= 1.0

    def posterior(self, counts: Array) -> StickBreakingPosterior:
        none = tuple(np.ones(counts.size - 1))
        return StickBreakingPosterior(none, none, self.concentration).given(counts)

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        v = rng.beta(1.0, self.concentration, size=(size, n_components - 1))
        return _sticks_to_weights(v)

    def log_jacobian(self, log_weights: Array) -> tuple[float, Array]:
        # |dv / dw| = prod_k 1 / rest_k over the first K-1 components, on top of the simplex' own Jacobian.
        value, gradient = super().log_jacobian(log_weights)
        w = np.exp(log_weights)
        rest = np.cumsum(w[::-1])[::-1][:-1]
        inverse = np.cumsum(1.0 / rest)
        extra = -w * np.append(inverse, inverse[-1] if inverse.size else 0.0)
        return value - float(np.log(rest).sum()), gradient + extra


@dataclass(frozen=True)
class FixedWeights(Weights):
    """Weights that are known.

    Parameters
    ----------
    values : (K,) or (G, K) array-like
        Positive, with sum 1; with two axes a row for each group of ``as_data(groups=...)``, in the sorted order of
        their labels.
    """

    values: Numbers

    def __post_init__(self) -> None:
        self._freeze("values", positive=True, most_axes=2)
        for total in np.atleast_1d(np.sum(self.values, axis=-1)):
            self._check("values", abs(total - 1.0) < 1e-8, f"they add up to {total:.10g}", "Weights must have sum 1")

    @property
    def n_groups(self) -> int | None:
        return len(self.values) if np.ndim(self.values) == 2 else None  # type: ignore[arg-type]

    def for_group(self, group: int) -> FixedWeights:
        return self if self.n_groups is None else FixedWeights(self.values[group])  # type: ignore[index]

    def describe(self) -> str:
        return f"fixed at {show(self.values)}"

    def resolved(self, n_components: int) -> Self:
        size = np.shape(np.atleast_1d(self.values))[-1]
        if size != n_components:
            raise InputError(
                "FixedWeights.values",
                f"has {size} weights for n_components = {n_components}",
                "Give one weight for each component",
            )
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return list(np.atleast_1d(self.values))

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        return 0.0, np.zeros_like(log_weights)

    def log_densities(self, log_weights: Array) -> Array:
        return np.zeros(len(log_weights))

    log_jacobians = log_densities

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        return np.log(np.atleast_1d(self.values))

    def posterior(self, counts: Array) -> FixedWeightsPosterior:
        return FixedWeightsPosterior(self.values)

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        return np.broadcast_to(np.atleast_1d(self.values), (size, n_components)).copy()

    def n_free(self, n_components: int) -> int:
        return 0

    def from_free(self, theta: Array, reference: Array) -> Array:
        return np.broadcast_to(reference, np.broadcast_shapes((*theta.shape[:-1], 1), reference.shape))

    def to_free(self, log_weights: Array, reference: Array) -> Array:
        return np.zeros((*log_weights.shape[:-1], 0))

    def pullback(self, gradient: Array, log_weights: Array) -> Array:
        return np.zeros(0)

    def information_map(self, log_weights: Array, counts: Array) -> Array:
        return np.zeros((0, 0))

    def log_jacobian(self, log_weights: Array) -> tuple[float, Array]:
        return 0.0, np.zeros_like(log_weights)


@dataclass(frozen=True)
class DirichletPosterior(WeightsPosterior):
    """Dirichlet distribution of the weights given expected counts."""

    concentration: Numbers
    prior: Numbers

    def describe(self) -> str:
        return f"Dirichlet({show(self.concentration)})"

    def expected_log(self) -> Array:
        a = np.asarray(self.concentration)
        return digamma(a) - digamma(a.sum())

    def mean(self) -> Array:
        a = np.asarray(self.concentration)
        return a / a.sum()

    def divergence(self) -> float:
        q, p = np.asarray(self.concentration), np.asarray(self.prior)
        constants = log_gamma(q.sum()) - log_gamma(q).sum() - log_gamma(p.sum()) + log_gamma(p).sum()
        return float(constants + ((q - p) * self.expected_log()).sum())

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return _draw_dirichlet(rng, np.asarray(self.concentration), size)

    def given(self, counts: Array) -> Self:
        return self._replace(concentration=tuple(np.asarray(self.prior) + counts))

    def summary(self) -> dict[str, Array]:
        return {"weights_concentration": np.asarray(self.concentration)}

    def log_density(self, log_weights: Array, *, prior: bool = False) -> Array:
        a = np.asarray(self.prior if prior else self.concentration)
        return log_gamma(a.sum()) - log_gamma(a).sum() + ((a - 1.0) * log_weights).sum(axis=-1)


@dataclass(frozen=True)
class StickBreakingPosterior(WeightsPosterior):
    """Beta distributions of the stick-breaking fractions given expected counts (Blei & Jordan 2006, eq. 18-19)."""

    taken: Numbers
    left: Numbers
    prior_left: float

    def describe(self) -> str:
        return f"Sticks(Beta({show(self.taken)}, {show(self.left)}))"

    def expected_log(self) -> Array:
        a, b = np.asarray(self.taken), np.asarray(self.left)
        log_v, log_rest = digamma(a) - digamma(a + b), digamma(b) - digamma(a + b)
        return np.append(log_v, 0.0) + np.append(0.0, np.cumsum(log_rest))

    def mean(self) -> Array:
        a, b = np.asarray(self.taken), np.asarray(self.left)
        return np.append(a / (a + b), 1.0) * np.append(1.0, np.cumprod(b / (a + b)))

    def divergence(self) -> float:
        a, b, c = np.asarray(self.taken), np.asarray(self.left), self.prior_left
        both = digamma(a + b)
        constants = log_gamma(a + b) - log_gamma(a) - log_gamma(b) - np.log(c)
        return float((constants + (a - 1.0) * (digamma(a) - both) + (b - c) * (digamma(b) - both)).sum())

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        a = np.asarray(self.taken)
        return _sticks_to_weights(rng.beta(a, np.asarray(self.left), size=(size, a.size)))

    def given(self, counts: Array) -> Self:
        after = np.append(np.cumsum(counts[::-1])[::-1][1:], 0.0)[:-1]
        return self._replace(taken=tuple(1.0 + counts[:-1]), left=tuple(self.prior_left + after))

    def summary(self) -> dict[str, Array]:
        # The last component takes what is left of the stick; it has no fraction of its own.
        last = np.array([np.inf])
        return {
            "weights_stick_taken": np.append(np.asarray(self.taken), last),
            "weights_stick_left": np.append(np.asarray(self.left), 0.0),
        }

    def log_density(self, log_weights: Array, *, prior: bool = False) -> Array:
        a, b = np.asarray(self.taken), np.asarray(self.left)
        if prior:
            a, b = np.ones_like(a), np.full_like(b, self.prior_left)
        w = np.exp(log_weights)
        log_rest = np.log(np.cumsum(w[..., ::-1], axis=-1)[..., ::-1])
        log_v, log_after = log_weights[..., :-1] - log_rest[..., :-1], log_rest[..., 1:] - log_rest[..., :-1]
        beta = log_gamma(a + b) - log_gamma(a) - log_gamma(b) + (a - 1.0) * log_v + (b - 1.0) * log_after
        return (beta - log_rest[..., :-1]).sum(axis=-1)  # minus log |dw / dv|


@dataclass(frozen=True)
class FixedWeightsPosterior(WeightsPosterior):
    """Known weights."""

    values: Numbers

    def describe(self) -> str:
        return f"fixed at {show(self.values)}"

    def expected_log(self) -> Array:
        return np.log(np.atleast_1d(self.values))

    def mean(self) -> Array:
        return np.atleast_1d(np.asarray(self.values))

    def divergence(self) -> float:
        return 0.0

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return np.broadcast_to(self.mean(), (size, self.mean().size)).copy()

    def given(self, counts: Array) -> Self:
        return self

    def log_density(self, log_weights: Array, *, prior: bool = False) -> Array:
        return np.zeros(np.shape(log_weights)[:-1])


def _log_normalised(weights: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(weights / weights.sum())


def _draw_dirichlet(rng: np.random.Generator, a: Array, size: int) -> Array:
    # Gamma draws underflow for tiny concentrations; boosting by u^(1/a) in logs keeps them (Marsaglia & Tsang 2000).
    logs = np.log(rng.gamma(a + 1.0, size=(size, a.size))) + np.log1p(-rng.random((size, a.size))) / a
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.maximum(weights / weights.sum(axis=1, keepdims=True), _SMALLEST_WEIGHT)


def _sticks_to_weights(v: Array) -> Array:
    ones = np.ones((v.shape[0], 1))
    return np.maximum(np.hstack([v, ones]) * np.hstack([ones, np.cumprod(1.0 - v, axis=1)]), _SMALLEST_WEIGHT)
