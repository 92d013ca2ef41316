"""No prior at all: `Flat()` in every part is maximum likelihood."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.model._interfaces import CovariancePrior, Means
from bayesgmm.model._spec import Array, Spec
from bayesgmm.model._weights_interface import Weights
from bayesgmm.model.covariance_priors import FlatCovariance


@dataclass(frozen=True)
class Flat(Spec):
    """No prior on a part: weights, means or covariances are estimated by the likelihood alone.

    Improper, so only `EM` takes it; the other engines need proper priors.
    """

    def describe(self) -> str:
        return "Flat()"


@dataclass(frozen=True)
class FlatWeights(Weights):
    """`Flat()` for weights."""

    proper = False

    def describe(self) -> str:
        return "Flat()"

    def resolved(self, n_components: int) -> Self:
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return [None] * n_components

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        return 0.0, np.zeros_like(log_weights)

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        counts = counts + (1.0 if unconstrained else 0.0)  # the Jacobian counts like one row for each component
        with np.errstate(divide="ignore"):
            return np.log(counts / counts.sum())

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        raise InputError(
            "weights", "Flat() is no distribution to draw from", "Give a proper prior such as Dirichlet(1)"
        )


@dataclass(frozen=True)
class FlatMeans(Means):
    """`Flat()` for means."""

    proper = False

    def describe(self) -> str:
        return "Flat()"

    def resolved(self, n_components: int, n_features: int) -> Self:
        return self

    def rescaled(self, center: Array, scale: Array) -> Self:
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return [None] * n_components

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        return 0.0, np.zeros_like(means), np.zeros_like(choleskys)

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        return row_means

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        raise InputError("means", "Flat() is no distribution to draw from", "Give a proper prior such as NormalMeans")


def as_weights(value: Any) -> Weights:
    """A weights prior, or an error that lists what would be one."""
    if isinstance(value, Flat):
        return FlatWeights()
    if not isinstance(value, Weights):
        raise InputError("weights", f"got {as_written(value)}", "Give Dirichlet, StickBreaking, FixedWeights or Flat()")
    return value


def as_means(value: Any) -> Means:
    """A means prior, or an error that lists what would be one."""
    if isinstance(value, Flat):
        return FlatMeans()
    if not isinstance(value, Means):
        raise InputError(
            "means",
            f"got {as_written(value)}",
            "Give ConjugateMeans, NormalMeans, FixedMeans, EvenlySpacedMeans or Flat()",
        )
    return value


def as_covariance_prior(value: Any, argument: str) -> CovariancePrior:
    """A prior for one covariance, or an error that lists what would be one."""
    if isinstance(value, Flat):
        return FlatCovariance()
    if not isinstance(value, CovariancePrior):
        raise InputError(argument, f"got {as_written(value)}", "Give InverseWishart(...), LKJ(...) or Flat()")
    return value
