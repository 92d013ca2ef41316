"""Weights of their own in each group of rows."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import block_diag

from bayesgmm._errors import InputError
from bayesgmm.model._spec import Array
from bayesgmm.model._weights_interface import Weights, WeightsPosterior

# The printed model names the priors of so many groups at most.
_SHOWN = 4


@dataclass(frozen=True)
class WeightsByGroup(Weights):
    """Independent priors on the weights of each group; made by fitting, not by hand.

    Log weights have shape (G, K), coordinates are those of one group after the other.

    Parameters
    ----------
    groups : tuple of Weights
        One for each group, all of one kind.
    """

    groups: tuple[Weights, ...]

    def __post_init__(self) -> None:
        self._set("groups", tuple(self.groups))
        self._set("proper", all(each.proper for each in self.groups))
        self._set("closed_form", all(each.closed_form for each in self.groups))

    @property
    def n_groups(self) -> int:
        return len(self.groups)

    def for_group(self, group: int) -> Weights:
        return self.groups[group]

    def describe(self) -> str:
        first, n = self.groups[0], len(self.groups)
        if all(each == first for each in self.groups):
            return f"{first.describe()} in each of {n} group{'s' if n > 1 else ''}"
        listed = "; ".join(each.describe() for each in self.groups[:_SHOWN])
        return f"by group: {listed}" + (f"; ... ({n} groups)" if n > _SHOWN else "")

    def resolved(self, n_components: int) -> Self:
        return self._replace(groups=tuple(each.resolved(n_components) for each in self.groups))

    def keys(self, n_components: int) -> list[Hashable]:
        return list(zip(*(each.keys(n_components) for each in self.groups), strict=True))

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        found = [each.log_density(own) for each, own in zip(self.groups, log_weights, strict=True)]
        return sum(value for value, _ in found), np.array([slope for _, slope in found])

    def log_densities(self, log_weights: Array) -> Array:
        return np.sum([each.log_densities(log_weights[:, g]) for g, each in enumerate(self.groups)], axis=0)

    def log_jacobians(self, log_weights: Array) -> Array:
        return np.sum([each.log_jacobians(log_weights[:, g]) for g, each in enumerate(self.groups)], axis=0)

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        with np.errstate(invalid="ignore"):
            found = [each.mode(own, unconstrained=unconstrained) for each, own in zip(self.groups, counts, strict=True)]
        # Without any rows, as in a random part of the data, all weights may be as good, and one point is needed.
        return np.where(np.isnan(found), -np.log(counts.shape[1]), found)

    def own_parameters(self, log_weights: Array) -> dict[str, Array]:
        found = [each.own_parameters(log_weights[..., g, :]) for g, each in enumerate(self.groups)]
        return {name: np.stack([each[name] for each in found], axis=-1) for name in found[0]}

    def bounded(self) -> bool:
        return all(each.bounded() for each in self.groups)

    def posterior(self, counts: Array) -> WeightsByGroupPosterior:
        by_group = np.broadcast_to(counts, (self.n_groups, counts.shape[-1]))
        found = (each.posterior(own) for each, own in zip(self.groups, by_group, strict=True))
        return WeightsByGroupPosterior(tuple(found))

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        """Weights drawn from the prior, shape (size, G, K)."""
        return np.stack([each.draw(rng, size, n_components) for each in self.groups], axis=1)

    def n_free(self, n_components: int) -> int:
        return sum(each.n_free(n_components) for each in self.groups)

    def from_free(self, theta: Array, reference: Array) -> Array:
        return self.groups[0].from_free(theta.reshape(*theta.shape[:-1], self.n_groups, -1), reference)

    def to_free(self, log_weights: Array, reference: Array) -> Array:
        own = self.groups[0].to_free(log_weights, reference)
        return own.reshape(*own.shape[:-2], -1)

    def pullback(self, gradient: Array, log_weights: Array) -> Array:
        return np.concatenate(
            [each.pullback(slope, own) for each, slope, own in zip(self.groups, gradient, log_weights, strict=True)]
        )

    def information_map(self, log_weights: Array, counts: Array) -> Array:
        each = zip(self.groups, log_weights, counts, strict=True)
        return np.asarray(block_diag(*(group.information_map(own, n) for group, own, n in each)))

    def log_jacobian(self, log_weights: Array) -> tuple[float, Array]:
        found = [each.log_jacobian(own) for each, own in zip(self.groups, log_weights, strict=True)]
        return sum(value for value, _ in found), np.array([slope for _, slope in found])


@dataclass(frozen=True)
class WeightsByGroupPosterior(WeightsPosterior):
    """Independent distributions of the weights of each group; arrays have the groups in front of the components."""

    groups: tuple[WeightsPosterior, ...]

    def describe(self) -> str:
        return "; ".join(each.describe() for each in self.groups)

    def expected_log(self) -> Array:
        return np.array([each.expected_log() for each in self.groups])

    def mean(self) -> Array:
        return np.array([each.mean() for each in self.groups])

    def divergence(self) -> float:
        return sum(each.divergence() for each in self.groups)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return np.stack([each.draw(rng, size) for each in self.groups], axis=1)

    def given(self, counts: Array) -> Self:
        return self._replace(groups=tuple(each.given(own) for each, own in zip(self.groups, counts, strict=True)))

    def log_density(self, log_weights: Array, *, prior: bool = False) -> Array:
        found = [each.log_density(log_weights[..., g, :], prior=prior) for g, each in enumerate(self.groups)]
        return np.sum(found, axis=0)

    def summary(self) -> dict[str, Array]:
        found = [each.summary() for each in self.groups]
        return {name: np.array([each[name] for each in found]) for name in found[0]}


def in_groups(weights: Weights, n_groups: int | None) -> Weights:
    """The prior for data with so many groups, or for data without any.

    Raises
    ------
    InputError
        If the prior has numbers for other groups than the data have.
    """
    own = weights.n_groups
    if own is not None and own != n_groups:
        have = "the data have no groups" if n_groups is None else f"the data have {n_groups}"
        give = "Give one row of numbers for all groups" if n_groups else "Give as_data(..., groups=...), or one row"
        raise InputError("weights", f"has numbers for {own} group{'s' if own > 1 else ''}, but {have}", give)
    if n_groups is None or weights.joins_groups:
        return weights
    return WeightsByGroup(tuple(weights.for_group(g) for g in range(n_groups)))
