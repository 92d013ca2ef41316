"""Variational factors of the covariances, one class for each structure.

Each factor knows its prior, how expected statistics update it, what the pass and the bound need from it, and how to
draw from it. Leading axes: K components; draws come first where there are draws.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Self

import numpy as np

from bayesgmm._errors import UnsupportedError
from bayesgmm.engines.base import Array
from bayesgmm.model import Diagonal, FixedCovariances, Full, InverseWishart, Spherical, Tied
from bayesgmm.model.inverse_wishart import draw_inverse_wishart_cholesky
from bayesgmm.numerics.linalg import diagonal_matrices, inverse_lower, outer
from bayesgmm.numerics.special import (
    digamma,
    expected_log_det_precision,
    inverse_wishart_log_normaliser,
    multivariate_digamma,
    multivariate_log_gamma,
)

VB_INSTEAD = (
    "Use InverseWishart or FixedCovariances covariances with ConjugateMeans, NormalMeans or FixedMeans, or another "
    "engine: EM gives the mode of this model, Laplace approximates its posterior, NUTS samples it."
)


class CovarianceFactor(ABC):
    """q(Sigma_1, ..., Sigma_K)."""

    @abstractmethod
    def updated(self, counts: Array, scatter: Array) -> Self:
        """Prior plus expected counts (K,) and scatter (K, d, d)."""

    @abstractmethod
    def precision_choleskys(self) -> Array:
        """Lower triangular A_k with A_k' A_k = E[Sigma_k^-1], (K, d, d).

        From the factor of the scale, not from its inverse: that would lose digits where columns are nearly collinear.
        """

    def precisions(self) -> Array:
        """E[Sigma_k^-1], (K, d, d)."""
        factors = self.precision_choleskys()
        return np.swapaxes(factors, -1, -2) @ factors

    @abstractmethod
    def log_det_precisions(self) -> Array:
        """E ln |Sigma_k^-1|, (K,)."""

    @abstractmethod
    def divergence(self) -> float:
        """Kullback-Leibler divergence from the prior."""

    @abstractmethod
    def mean(self) -> Array:
        """E[Sigma_k], (K, d, d); the mode where the mean does not exist."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """(size, K, d, d)."""

    @abstractmethod
    def log_density(self, covariances: Array, *, prior: bool = False) -> Array:
        """Log density of this factor, or of its prior, at draws (size, K, d, d)."""

    @abstractmethod
    def summary(self) -> dict[str, Array]:
        """Its parameters by name, one entry a component."""

    def predictive(self) -> tuple[str, Array, Array]:
        """Family, degrees of freedom (K,) and scale (K, d, d) of x given k, before the mean's own uncertainty."""
        raise AssertionError("every factor in this module has one")


@dataclass(frozen=True, kw_only=True)
class MatrixFactor(CovarianceFactor):
    """Inverse-Wishart for each matrix."""

    df: Array
    scale: Array
    prior_df: float | Array  # of one component, or of each of them
    prior_scale: Array

    def updated(self, counts: Array, scatter: Array) -> Self:
        return replace(self, df=self.prior_df + counts, scale=self.prior_scale + scatter)

    def precision_choleskys(self) -> Array:
        return np.sqrt(self.df)[:, None, None] * inverse_lower(np.linalg.cholesky(self.scale))

    def log_det_precisions(self) -> Array:
        return expected_log_det_precision(self.df, np.linalg.slogdet(self.scale)[1], self.scale.shape[-1])

    def divergence(self) -> float:
        d = self.scale.shape[-1]
        q, p = self.df, self.prior_df
        log_det_q, log_det_p = np.linalg.slogdet(self.scale)[1], np.linalg.slogdet(self.prior_scale)[1]
        trace = np.trace(
            np.linalg.solve(self.scale, np.broadcast_to(self.prior_scale, self.scale.shape)), axis1=1, axis2=2
        )
        terms = 0.5 * p * (log_det_q - log_det_p) + 0.5 * q * (trace - d)
        terms += multivariate_log_gamma(p / 2, d) - multivariate_log_gamma(q / 2, d)
        terms += 0.5 * (q - p) * multivariate_digamma(q / 2, d)
        return float(terms.sum())

    def mean(self) -> Array:
        d = self.scale.shape[-1]
        divisor = np.where(self.df > d + 1, self.df - d - 1, self.df + d + 1)
        return self.scale / divisor[:, None, None]

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        choleskys = np.linalg.cholesky(self.scale)
        return outer(draw_inverse_wishart_cholesky(rng, np.broadcast_to(self.df, (size, self.df.size)), choleskys))

    def log_density(self, covariances: Array, *, prior: bool = False) -> Array:
        d = self.scale.shape[-1]
        df = np.asarray(self.prior_df if prior else self.df)
        scale = self.prior_scale if prior else self.scale
        normaliser = inverse_wishart_log_normaliser(df, np.linalg.slogdet(scale)[1], d)
        trace = np.trace(np.linalg.solve(covariances, np.broadcast_to(scale, covariances.shape)), axis1=-2, axis2=-1)
        return (normaliser - 0.5 * (df + d + 1) * np.linalg.slogdet(covariances)[1] - 0.5 * trace).sum(axis=-1)

    def summary(self) -> dict[str, Array]:
        return {"covariance_df": self.df, "covariance_scale": self.scale}

    def predictive(self) -> tuple[str, Array, Array]:
        df = self.df - self.scale.shape[-1] + 1
        return "student_t", df, self.scale / df[:, None, None]


@dataclass(frozen=True, kw_only=True)
class VarianceFactor(CovarianceFactor):
    """Inverse-gamma for each variance: one a feature (diagonal) or one for all `n_features` (spherical)."""

    df: Array  # (K, m)
    scale: Array  # (K, m)
    prior_df: float | Array  # or (K, 1)
    prior_scale: Array  # (m,) or (K, m)
    n_features: int

    @property
    def _repeats(self) -> int:
        return self.n_features // self.scale.shape[-1]

    def _spread(self, values: Array) -> Array:
        return diagonal_matrices(np.repeat(values, self._repeats, axis=-1))

    def updated(self, counts: Array, scatter: Array) -> Self:
        sums = np.diagonal(scatter, axis1=1, axis2=2)
        sums = sums.sum(axis=1, keepdims=True) if self._repeats > 1 else sums
        df = self.prior_df + counts[:, None] * self._repeats
        return replace(self, df=np.broadcast_to(df, sums.shape), scale=self.prior_scale + sums)

    def precision_choleskys(self) -> Array:
        return self._spread(np.sqrt(self.df / self.scale))

    def log_det_precisions(self) -> Array:
        return self._repeats * expected_log_det_precision(self.df, np.log(self.scale), 1).sum(axis=-1)

    def divergence(self) -> float:
        q, p = self.df, self.prior_df
        ratio = self.prior_scale / self.scale
        terms = -0.5 * p * np.log(ratio) + 0.5 * q * (ratio - 1) + 0.5 * (q - p) * digamma(q / 2)
        terms += multivariate_log_gamma(p / 2, 1) - multivariate_log_gamma(q / 2, 1)
        return float(terms.sum())

    def mean(self) -> Array:
        return self._spread(self.scale / np.where(self.df > 2, self.df - 2, self.df + 2))

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return self._spread(self.scale / rng.chisquare(self.df, size=(size, *self.df.shape)))

    def log_density(self, covariances: Array, *, prior: bool = False) -> Array:
        v = np.diagonal(covariances, axis1=-2, axis2=-1)[..., :: self._repeats]
        df = np.asarray(self.prior_df if prior else self.df)
        scale = self.prior_scale if prior else self.scale
        normaliser = inverse_wishart_log_normaliser(df, np.log(scale), 1)
        return (normaliser - 0.5 * (df + 2) * np.log(v) - 0.5 * scale / v).sum(axis=(-2, -1))

    def summary(self) -> dict[str, Array]:
        return {"covariance_df": self.df[:, 0], "covariance_scale": self._spread(self.scale)}

    def predictive(self) -> tuple[str, Array, Array]:
        family = "student_t" if self._repeats > 1 or self.n_features == 1 else "independent_student_t"
        return family, self.df[:, 0], self._spread(self.scale / self.df)


@dataclass(frozen=True, kw_only=True)
class SharedFactor(CovarianceFactor):
    """One covariance for all components: `one` is a factor with K = 1."""

    one: CovarianceFactor
    n_components: int

    def _all(self, value: Array) -> Array:
        return np.repeat(value, self.n_components, axis=0)

    def updated(self, counts: Array, scatter: Array) -> Self:
        return replace(self, one=self.one.updated(counts.sum(keepdims=True), scatter.sum(axis=0, keepdims=True)))

    def precision_choleskys(self) -> Array:
        return self._all(self.one.precision_choleskys())

    def log_det_precisions(self) -> Array:
        return self._all(self.one.log_det_precisions())

    def divergence(self) -> float:
        return self.one.divergence()

    def mean(self) -> Array:
        return self._all(self.one.mean())

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return np.repeat(self.one.draw(rng, size), self.n_components, axis=1)

    def log_density(self, covariances: Array, *, prior: bool = False) -> Array:
        return self.one.log_density(covariances[:, :1], prior=prior)

    def summary(self) -> dict[str, Array]:
        return {name: self._all(value) for name, value in self.one.summary().items()}

    def predictive(self) -> tuple[str, Array, Array]:
        family, df, scale = self.one.predictive()
        return family, self._all(df), self._all(scale)


@dataclass(frozen=True, kw_only=True)
class KnownFactor(CovarianceFactor):
    """Covariances that are known, (K, d, d)."""

    values: Array

    def updated(self, counts: Array, scatter: Array) -> Self:
        return self

    def precision_choleskys(self) -> Array:
        return inverse_lower(np.linalg.cholesky(self.values))

    def log_det_precisions(self) -> Array:
        return -np.linalg.slogdet(self.values)[1]

    def divergence(self) -> float:
        return 0.0

    def mean(self) -> Array:
        return self.values

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return np.broadcast_to(self.values, (size, *self.values.shape)).copy()

    def log_density(self, covariances: Array, *, prior: bool = False) -> Array:
        return np.zeros(len(covariances))

    def summary(self) -> dict[str, Array]:
        return {}

    def predictive(self) -> tuple[str, Array, Array]:
        return "normal", np.full(len(self.values), np.inf), self.values


@singledispatch
def covariance_factor(structure: object, n_components: int, n_features: int) -> CovarianceFactor:
    """The factor that a structure and its prior call for, at the prior. Register a structure of your own here."""
    raise UnsupportedError("VB", f"{type(structure).__name__} covariances", VB_INSTEAD)


@covariance_factor.register
def _(structure: Full, n_components: int, n_features: int) -> CovarianceFactor:
    df, scale = _conjugate(structure.prior)
    K, every = n_components, np.broadcast_to(scale, (n_components, *scale.shape[-2:]))
    return MatrixFactor(df=np.full(K, df), scale=every, prior_df=df, prior_scale=scale)


@covariance_factor.register(Diagonal)
@covariance_factor.register(Spherical)
def _(structure: Diagonal | Spherical, n_components: int, n_features: int) -> CovarianceFactor:
    df, scale = _conjugate(structure.prior, separate=True)
    repeated = np.broadcast_to(scale, (n_components, scale.shape[-1]))
    return VarianceFactor(
        df=np.full(repeated.shape, df), scale=repeated, prior_df=df, prior_scale=scale, n_features=n_features
    )


@covariance_factor.register
def _(structure: Tied, n_components: int, n_features: int) -> CovarianceFactor:
    return SharedFactor(one=covariance_factor(structure.structure, 1, n_features), n_components=n_components)


@covariance_factor.register
def _(structure: FixedCovariances, n_components: int, n_features: int) -> CovarianceFactor:
    return KnownFactor(values=np.asarray(structure.values, dtype=float))


def _conjugate(prior: object, *, separate: bool = False) -> tuple[float | Array, Array]:
    if not isinstance(prior, InverseWishart):
        raise UnsupportedError("VB", f"covariance prior {prior}", VB_INSTEAD)
    return prior.numbers(separate=separate)
