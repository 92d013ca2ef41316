"""The seam of the weights, as the engines see them; conventions as in `_interfaces`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from typing import Self

import numpy as np

from bayesgmm._errors import UnsupportedError
from bayesgmm.model._spec import Array, Spec
from bayesgmm.numerics.simplex import isometric_basis


class Weights(Spec):
    """Prior on the mixture weights."""

    proper: bool = True
    # Whether `mode` is exact; otherwise it only serves short starts and the quasi-Newton finish does the rest.
    closed_form: bool = True
    # Whether this has no density of the weights alone, so that only `Gibbs`, which samples what is missing, can use it.
    only_by_gibbs: bool = False

    @property
    def n_groups(self) -> int | None:
        """For how many groups of rows this has numbers of its own; None if they are the same in all."""
        return None

    @property
    def joins_groups(self) -> bool:
        """Whether this is one prior on the weights of all groups together, (G, K), with numbers that they share."""
        return False

    def for_group(self, group: int) -> Weights:
        """The prior on the weights of one group."""
        return self

    @abstractmethod
    def resolved(self, n_components: int) -> Self:
        """This prior with every number written out for K components."""

    @abstractmethod
    def keys(self, n_components: int) -> list[Hashable]:
        """One key a component; the prior does not change when components with equal keys swap places."""

    @abstractmethod
    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        """Log density and its gradient with respect to log weights (as K free numbers)."""

    @abstractmethod
    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        """Log weights that maximise sum counts log w + log density (with Jacobian if `unconstrained`)."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        """Weights drawn from the prior, shape (size, K)."""

    def cut(self, n_components: int) -> Self | None:
        """This prior for the first components only; None where that has no meaning."""
        return None

    def posterior(self, counts: Array) -> WeightsPosterior:
        """The conditional distribution of the weights given expected counts, for conjugate priors."""
        raise UnsupportedError(f"weights={self}", "engine=VB", "Use Dirichlet, StickBreaking or FixedWeights weights.")

    def own_parameters(self, log_weights: Array) -> dict[str, Array]:
        """What a result reports beside weights (..., K), by the names of `_schema`."""
        return {}

    def bounded(self) -> bool:
        """Whether the density on the simplex is bounded, so that it has a mode."""
        return True

    @property
    def empties(self) -> bool:
        """Whether this is meant to leave components empty, as a screen for how many are needed."""
        return not self.bounded()

    def n_free(self, n_components: int) -> int:
        """Number of unconstrained coordinates."""
        return n_components - 1

    def from_free(self, theta: Array, reference: Array) -> Array:
        """Log weights at coordinates `theta` (..., K - 1), isometric log-ratios, from the reference point."""
        moved = reference + theta @ isometric_basis(reference.shape[-1]).T
        return moved - np.logaddexp.reduce(moved, axis=-1, keepdims=True)

    def to_free(self, log_weights: Array, reference: Array) -> Array:
        """The inverse of `from_free`."""
        return (log_weights - reference) @ isometric_basis(reference.shape[-1])

    def pullback(self, gradient: Array, log_weights: Array) -> Array:
        """Gradient in the coordinates from a gradient with respect to K free log weights."""
        return isometric_basis(log_weights.size).T @ (gradient - np.exp(log_weights) * gradient.sum())

    def information_map(self, log_weights: Array, counts: Array) -> Array:
        """From coordinates in which the complete data have unit information at log weights to those of `from_free`."""
        V = isometric_basis(log_weights.size)
        w = np.exp(log_weights)
        information = counts.sum() * (V.T @ (w[:, None] * V) - np.outer(V.T @ w, w @ V)) + np.eye(V.shape[1])
        return np.linalg.inv(np.linalg.cholesky(information)).T

    def log_jacobian(self, log_weights: Array) -> tuple[float, Array]:
        """Log |d weights / d coordinates| and its gradient with respect to log weights."""
        K = log_weights.size
        return float(log_weights.sum() + 0.5 * np.log(K)), np.ones(K)

    def log_densities(self, log_weights: Array) -> Array:
        """Values of `log_density` at many points (S, K)."""
        return np.array([self.log_density(each)[0] for each in log_weights])

    def log_jacobians(self, log_weights: Array) -> Array:
        """Values of `log_jacobian` at many points (S, K)."""
        return np.array([self.log_jacobian(each)[0] for each in log_weights])


class WeightsPosterior(Spec):
    """A distribution of the weights, as variational Bayes updates it."""

    @abstractmethod
    def expected_log(self) -> Array:
        """E[log w], shape (K,)."""

    @abstractmethod
    def mean(self) -> Array:
        """E[w], shape (K,)."""

    @abstractmethod
    def divergence(self) -> float:
        """Kullback-Leibler divergence from the prior that it came from."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """Draws, shape (size, K)."""

    @abstractmethod
    def given(self, counts: Array) -> Self:
        """The distribution given other expected counts, from the same prior."""

    @abstractmethod
    def log_density(self, log_weights: Array, *, prior: bool = False) -> Array:
        """Log density on the simplex of this distribution, or of its prior, at log weights (..., K)."""

    def summary(self) -> dict[str, Array]:
        """Its parameters by name, one entry a component."""
        return {}
