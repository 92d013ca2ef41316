"""Covariance structures: which covariances are allowed, round a prior."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model._interfaces import CovariancePrior, Covariances
from bayesgmm.model._spec import Array
from bayesgmm.model.flat import as_covariance_prior
from bayesgmm.model.inverse_wishart import InverseWishart
from bayesgmm.numerics.linalg import below_diagonal, diagonal_matrices, inverse_lower


@dataclass(frozen=True)
class _Structured(Covariances):
    """What `Full`, `Diagonal` and `Spherical` share: one prior, applied to every component alike."""

    prior: CovariancePrior = field(default_factory=InverseWishart)
    separate = False  # whether the prior acts on separate variances

    def __post_init__(self) -> None:
        self._set("prior", as_covariance_prior(self.prior, f"{type(self).__name__}.prior"))

    def describe(self) -> str:
        return self.prior.describe()

    @property
    def innermost(self) -> CovariancePrior:
        return self.prior

    def bounded(self) -> bool:
        return self.prior.bounded(separate=self.separate)

    def filled(self, covariance: Array, n_components: int, within: Array | None = None) -> Self:
        own = None if within is None else self._own(within)
        shape = n_components, len(covariance)
        return self._replace(prior=self.prior.filled(self._own(covariance), own, *shape, separate=self.separate))

    def resolved(self, n_components: int, n_features: int) -> Self:
        prior = self.prior.resolved(self._n_own(n_features), separate=self.separate)
        if prior.n_components not in (None, n_components):
            raise InputError(
                type(prior).__name__,
                f"has numbers for {prior.n_components} components, not n_components = {n_components}",
                "Give numbers for each component, or one df and one scale for all",
            )
        return self._replace(prior=prior)

    def keys(self, n_components: int) -> list[Hashable]:
        return self.prior.keys(n_components)

    def rescaled(self, scale: Array) -> Self:
        return self._replace(prior=self.prior.rescaled(scale[: self._n_own(scale.size)], separate=self.separate))

    def log_densities(self, choleskys: Array, means: Array) -> Array:
        if not self.separate:
            return self.prior.matrix_log_densities(choleskys)
        return self.prior.variance_log_densities(self._own_variances(choleskys))

    def log_jacobians(self, choleskys: Array, means: Array) -> Array:
        if self.separate:
            variances = self._own_variances(choleskys)
            return self.prior.variance_volumes(variances) + np.log(2.0 * variances).sum(axis=(-2, -1))
        return self.prior.matrix_volumes(choleskys) + self._by_factors(choleskys)

    def _by_factors(self, choleskys: Array) -> Array:
        """Log |d Sigma / d coordinates| at many points."""
        K, d = choleskys.shape[-3:-1]
        logs = np.log(np.diagonal(choleskys, axis1=-2, axis2=-1))
        # |dSigma / dL| = 2^d prod L_jj^(d-j) for j = 0..d-1, and log-diagonal coordinates add one power of L_jj.
        return K * d * np.log(2.0) + ((d + 1.0 - np.arange(d)) * logs).sum(axis=(-2, -1))

    def _log_jacobian(self, choleskys: Array) -> float:
        return float(self.log_jacobians(choleskys[None], np.empty(0))[0])

    def _own_variances(self, choleskys: Array) -> Array:
        return _variances(choleskys)[..., : self._n_own(choleskys.shape[-1])]

    def cut(self, n_components: int) -> Self:
        return self._replace(prior=self.prior.cut(n_components))

    def _n_own(self, n_features: int) -> int:
        return n_features

    def _own(self, covariance: Array) -> Array:
        """The data's covariance as this structure's prior wants it."""
        return np.diag(covariance).copy()


@dataclass(frozen=True)
class Full(_Structured):
    """A covariance matrix of its own for every component, all entries free.

    Parameters
    ----------
    prior : InverseWishart, LKJ or Flat
    """

    def _own(self, covariance: Array) -> Array:
        return covariance

    def fewest_rows(self, n_features: int) -> int:
        return n_features + 1

    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        return self.prior.matrix_log_density(choleskys)

    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        K, d = choleskys.shape[:2]
        value, slope = self.prior.matrix_volume(choleskys)
        gradient = self.pullback(slope, choleskys, reference).reshape(K, -1)
        gradient[:, :d] += d + 1.0 - np.arange(d)
        return value + float(self._by_factors(choleskys)), gradient.ravel()

    def mode(self, counts: Array, scatter: Array) -> Array:
        return self.prior.matrix_mode(counts, scatter)

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

    def from_free(self, theta: Array, reference: Array) -> Array:
        K, d = reference.shape[:2]
        theta = theta.reshape(*theta.shape[:-1], K, -1)
        A = diagonal_matrices(np.exp(theta[..., :d]))
        rows, columns = below_diagonal(d)
        A[..., rows, columns] = theta[..., d:]
        return reference @ A

    def to_free(self, choleskys: Array, reference: Array) -> Array:
        A = inverse_lower(reference) @ choleskys
        rows, columns = below_diagonal(reference.shape[-1])
        logs = np.log(np.diagonal(A, axis1=-2, axis2=-1))
        out = np.concatenate([logs, A[..., rows, columns]], axis=-1)
        return out.reshape(*out.shape[:-2], -1)

    def log_volume(self, reference: Array) -> float:
        # L_ij moves by L_ii of the reference.
        diagonals = np.diagonal(reference, axis1=1, axis2=2)
        return float((np.log(diagonals) * np.arange(diagonals.shape[1])).sum())

    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        d = choleskys.shape[-1]
        by_factor = 2.0 * np.swapaxes(reference, -1, -2) @ gradient @ choleskys
        relative = np.diagonal(choleskys, axis1=1, axis2=2) / np.diagonal(reference, axis1=1, axis2=2)
        rows, columns = below_diagonal(d)
        diagonal = np.diagonal(by_factor, axis1=1, axis2=2) * relative
        return np.concatenate([diagonal, by_factor[:, rows, columns]], axis=1).ravel()

    def information(self, counts: Array, n_features: int) -> Array:
        powers = np.ones(n_features * (n_features + 1) // 2)
        powers[:n_features] = 2.0
        return np.outer(counts, powers).ravel()

    def stretch(self, choleskys: Array, wide: Array) -> Array:
        # A_ij moves L_ij by L_ii A_ij.
        K, d = choleskys.shape[:2]
        ratio = np.diagonal(wide, axis1=1, axis2=2) / np.diagonal(choleskys, axis1=1, axis2=2)
        return np.concatenate([np.ones((K, d)), ratio[:, below_diagonal(d)[0]]], axis=1).ravel()

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        return self.prior.draw_components(rng, size, n_components, n_features, separate=False)


@dataclass(frozen=True)
class Diagonal(_Structured):
    """Variances of its own for every component and feature, no correlations.

    Parameters
    ----------
    prior : InverseWishart, LKJ or Flat
        Acts on each variance (inverse-gamma) or standard deviation (the scale prior of `LKJ`) separately.
    """

    separate = True

    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        value, gradient = self.prior.variance_log_density(_variances(choleskys))
        return value, diagonal_matrices(gradient)

    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        variances = _variances(choleskys)
        slope = self.prior.variance_volume(variances)[1]
        return self._log_jacobian(choleskys), (2.0 + 2.0 * variances * slope).ravel()

    def mode(self, counts: Array, scatter: Array) -> Array:
        return diagonal_matrices(self.prior.variance_mode(counts, np.diagonal(scatter, axis1=1, axis2=2)))

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def from_free(self, theta: Array, reference: Array) -> Array:
        return reference * np.exp(theta.reshape(*theta.shape[:-1], len(reference), 1, -1))

    def to_free(self, choleskys: Array, reference: Array) -> Array:
        logs = 0.5 * np.log(_variances(choleskys) / _variances(reference))
        return logs.reshape(*logs.shape[:-2], -1)

    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        return (2.0 * np.diagonal(gradient, axis1=1, axis2=2) * _variances(choleskys)).ravel()

    def information(self, counts: Array, n_features: int) -> Array:
        return np.repeat(2.0 * counts, n_features)

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        return diagonal_matrices(self.prior.draw_components(rng, size, n_components, n_features, separate=True))


@dataclass(frozen=True)
class Spherical(_Structured):
    """One variance for every component, the same for all features.

    Parameters
    ----------
    prior : InverseWishart, LKJ or Flat
        Acts on the variance (inverse-gamma) or the standard deviation (the scale prior of `LKJ`).
    """

    separate = True

    def _n_own(self, n_features: int) -> int:
        return 1

    def _own(self, covariance: Array) -> Array:
        return np.array([np.trace(covariance) / len(covariance)])

    def common_scale(self) -> bool:
        return True

    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        d = choleskys.shape[-1]
        value, gradient = self.prior.variance_log_density(_variances(choleskys)[:, :1])
        return value, diagonal_matrices(np.repeat(gradient / d, d, axis=1))

    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        variances = self._own_variances(choleskys)
        slope = self.prior.variance_volume(variances)[1]
        return self._log_jacobian(choleskys), (2.0 + 2.0 * variances * slope).ravel()

    def mode(self, counts: Array, scatter: Array) -> Array:
        d = scatter.shape[-1]
        variance = self.prior.variance_mode(counts * d, np.trace(scatter, axis1=1, axis2=2)[:, None])
        return diagonal_matrices(np.repeat(variance, d, axis=1))

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components

    def from_free(self, theta: Array, reference: Array) -> Array:
        return reference * np.exp(theta)[..., None, None]

    def to_free(self, choleskys: Array, reference: Array) -> Array:
        return np.log(choleskys[..., 0, 0] / reference[..., 0, 0])

    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        return 2.0 * (np.diagonal(gradient, axis1=1, axis2=2) * _variances(choleskys)).sum(axis=1)

    def information(self, counts: Array, n_features: int) -> Array:
        return 2.0 * n_features * counts

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        drawn = self.prior.draw_components(rng, size, n_components, 1, separate=True)
        return diagonal_matrices(np.repeat(drawn, n_features, axis=2))


@dataclass(frozen=True)
class Tied(Covariances):
    """All components share one covariance of the given structure; its prior counts once.

    Parameters
    ----------
    structure : Full, Diagonal or Spherical
        A bare prior means ``Full(prior)``.
    """

    structure: Any = field(default_factory=Full)
    tied = True

    def __post_init__(self) -> None:
        structure = self.structure
        if not isinstance(structure, Covariances):
            structure = Full(as_covariance_prior(structure, "Tied.structure"))
        if not isinstance(structure, _Structured):
            raise UnsupportedError(
                "Tied", structure.describe(), "Use Tied(Full(...)), Tied(Diagonal(...)) and the like."
            )
        if structure.prior.n_components is not None:
            raise UnsupportedError(
                "Tied", f"{structure.prior}, with numbers for each component", "Give one df and one scale."
            )
        self._set("structure", structure)

    def describe(self) -> str:
        return self.structure.describe()

    @property
    def innermost(self) -> CovariancePrior:
        return self.structure.prior

    def bounded(self) -> bool:
        return self.structure.bounded()

    def filled(self, covariance: Array, n_components: int, within: Array | None = None) -> Self:
        return self._replace(structure=self.structure.filled(covariance, n_components, within))

    def resolved(self, n_components: int, n_features: int) -> Self:
        return self._replace(structure=self.structure.resolved(n_components, n_features))

    def rescaled(self, scale: Array) -> Self:
        return self._replace(structure=self.structure.rescaled(scale))

    def cut(self, n_components: int) -> Self:
        return self

    def common_scale(self) -> bool:
        return self.structure.common_scale()

    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        value, gradient = self.structure.log_density(choleskys[:1])
        # The shared matrix is stored K times; only the sum of the K gradients matters, so one entry holds it all.
        return value, np.concatenate([gradient, np.zeros_like(choleskys[1:])])

    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        return self.structure.log_jacobian(choleskys[:1], reference[:1])

    def log_densities(self, choleskys: Array, means: Array) -> Array:
        return self.structure.log_densities(choleskys[:, :1], means[:, :1])

    def log_jacobians(self, choleskys: Array, means: Array) -> Array:
        return self.structure.log_jacobians(choleskys[:, :1], means[:, :1])

    def mode(self, counts: Array, scatter: Array) -> Array:
        shared = self.structure.mode(counts.sum(keepdims=True), scatter.sum(axis=0, keepdims=True))
        return np.repeat(shared, counts.size, axis=0)

    def n_free(self, n_components: int, n_features: int) -> int:
        return self.structure.n_free(1, n_features)

    def from_free(self, theta: Array, reference: Array) -> Array:
        return np.repeat(self.structure.from_free(theta, reference[:1]), len(reference), axis=-3)

    def to_free(self, choleskys: Array, reference: Array) -> Array:
        return self.structure.to_free(choleskys[..., :1, :, :], reference[:1])

    def log_volume(self, reference: Array) -> float:
        return self.structure.log_volume(reference[:1])

    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        return self.structure.pullback(gradient.sum(axis=0, keepdims=True), choleskys[:1], reference[:1])

    def stretch(self, choleskys: Array, wide: Array) -> Array:
        return self.structure.stretch(choleskys[:1], wide[:1])

    def information(self, counts: Array, n_features: int) -> Array:
        return self.structure.information(counts.sum(keepdims=True), n_features)

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        return np.repeat(self.structure.draw(rng, size, 1, n_features), n_components, axis=1)


def _variances(choleskys: Array) -> Array:
    return np.square(np.diagonal(choleskys, axis1=-2, axis2=-1))
