"""Variational factors of the means, one class for each kind of prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Self

import numpy as np

from bayesgmm._errors import UnsupportedError
from bayesgmm.engines._covariance_factors import VB_INSTEAD
from bayesgmm.engines.base import Array
from bayesgmm.model import ConjugateMeans, FixedMeans, NormalMeans
from bayesgmm.numerics.linalg import diagonal_matrices


class MeanFactor(ABC):
    """q(mu_1, ..., mu_K), given the covariances or not."""

    loc: Array

    @abstractmethod
    def updated(self, counts: Array, row_means: Array, precisions: Array) -> Self:
        """The factor given expected counts, weighted row means and expected precisions."""

    @abstractmethod
    def spread(self, precisions: Array) -> Array:
        """E[(mu_k - loc_k)' Sigma_k^-1 (mu_k - loc_k)], (K,)."""

    @abstractmethod
    def extra_scatter(self, counts: Array) -> Array:
        """What the covariance update adds to the scatter about loc, (K, d, d)."""

    @abstractmethod
    def divergence(self, precisions: Array) -> float:
        """Kullback-Leibler divergence from the prior, averaged over the covariances."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, covariances: Array) -> Array:
        """(size, K, d) given covariances (size, K, d, d)."""

    @abstractmethod
    def log_density(self, means: Array, covariances: Array, *, prior: bool = False) -> Array:
        """Log density of this factor, or of its prior, at draws."""

    @abstractmethod
    def summary(self) -> dict[str, Array]:
        """Its parameters by name."""

    def widened(self, family: str, scale: Array) -> Array | None:
        """Predictive scale with the mean's uncertainty added, or None where there is no closed form."""
        raise AssertionError("every factor in this module has one")


@dataclass(frozen=True, kw_only=True)
class ConjugateFactor(MeanFactor):
    """mu_k | Sigma_k ~ Normal(loc_k, Sigma_k / precision_scale_k)."""

    loc: Array
    precision_scale: Array
    prior_loc: Array
    prior_precision_scale: float

    def updated(self, counts: Array, row_means: Array, precisions: Array) -> Self:
        total = self.prior_precision_scale + counts
        loc = (self.prior_precision_scale * self.prior_loc + counts[:, None] * row_means) / total[:, None]
        return replace(self, loc=loc, precision_scale=total)

    def spread(self, precisions: Array) -> Array:
        return self.loc.shape[1] / self.precision_scale

    def extra_scatter(self, counts: Array) -> Array:
        delta = self.loc - self.prior_loc
        return self.prior_precision_scale * np.einsum("ki,kj->kij", delta, delta)

    def divergence(self, precisions: Array) -> float:
        d = self.loc.shape[1]
        delta = self.loc - self.prior_loc
        ratio = self.prior_precision_scale / self.precision_scale
        distance = np.einsum("ki,kij,kj->k", delta, precisions, delta)
        return 0.5 * float((d * (ratio - 1 - np.log(ratio)) + self.prior_precision_scale * distance).sum())

    def draw(self, rng: np.random.Generator, covariances: Array) -> Array:
        noise = rng.standard_normal(covariances.shape[:-1])[..., None]
        return self.loc + (np.linalg.cholesky(covariances) @ noise)[..., 0] / np.sqrt(self.precision_scale)[:, None]

    def log_density(self, means: Array, covariances: Array, *, prior: bool = False) -> Array:
        precision_scale = np.asarray(self.prior_precision_scale if prior else self.precision_scale)
        delta = means - (self.prior_loc if prior else self.loc)
        return _normal_log_density(delta, covariances / precision_scale[..., None, None])

    def summary(self) -> dict[str, Array]:
        return {"means_loc": self.loc, "means_precision_scale": self.precision_scale}

    def widened(self, family: str, scale: Array) -> Array | None:
        return scale * (1 + 1 / self.precision_scale)[:, None, None]


@dataclass(frozen=True, kw_only=True)
class IndependentFactor(MeanFactor):
    """mu_k ~ Normal(loc_k, covariance_k), whatever Sigma_k."""

    loc: Array
    covariance: Array
    prior_loc: Array
    prior_sigma: Array

    def updated(self, counts: Array, row_means: Array, precisions: Array) -> Self:
        prior_precision = 1.0 / np.square(self.prior_sigma)
        by_rows = counts[:, None, None] * precisions
        covariance = np.linalg.inv(by_rows + diagonal_matrices(prior_precision))
        pulled = (by_rows @ row_means[..., None])[..., 0] + prior_precision * self.prior_loc
        return replace(self, loc=(covariance @ pulled[..., None])[..., 0], covariance=covariance)

    def spread(self, precisions: Array) -> Array:
        return np.einsum("kij,kji->k", precisions, self.covariance)

    def extra_scatter(self, counts: Array) -> Array:
        return counts[:, None, None] * self.covariance

    def divergence(self, precisions: Array) -> float:
        d = self.loc.shape[1]
        z = (self.loc - self.prior_loc) / self.prior_sigma
        widths = np.diagonal(self.covariance, axis1=1, axis2=2) / np.square(self.prior_sigma)
        log_ratio = 2 * np.log(self.prior_sigma).sum(axis=1) - np.linalg.slogdet(self.covariance)[1]
        return 0.5 * float((widths.sum(axis=1) + np.square(z).sum(axis=1) - d + log_ratio).sum())

    def draw(self, rng: np.random.Generator, covariances: Array) -> Array:
        noise = rng.standard_normal(covariances.shape[:-1])[..., None]
        return self.loc + (np.linalg.cholesky(self.covariance) @ noise)[..., 0]

    def log_density(self, means: Array, covariances: Array, *, prior: bool = False) -> Array:
        spread = diagonal_matrices(np.square(self.prior_sigma)) if prior else self.covariance
        return _normal_log_density(means - (self.prior_loc if prior else self.loc), spread)

    def summary(self) -> dict[str, Array]:
        return {"means_loc": self.loc, "means_covariance": self.covariance}

    def widened(self, family: str, scale: Array) -> Array | None:
        return scale + self.covariance if family == "normal" else None


@dataclass(frozen=True, kw_only=True)
class KnownMeansFactor(MeanFactor):
    """Means that are known."""

    loc: Array

    def updated(self, counts: Array, row_means: Array, precisions: Array) -> Self:
        return self

    def spread(self, precisions: Array) -> Array:
        return np.zeros(len(precisions))

    def extra_scatter(self, counts: Array) -> Array:
        d = self.loc.shape[1]
        return np.zeros((counts.size, d, d))

    def divergence(self, precisions: Array) -> float:
        return 0.0

    def draw(self, rng: np.random.Generator, covariances: Array) -> Array:
        return np.broadcast_to(self.loc, covariances.shape[:-1]).copy()

    def log_density(self, means: Array, covariances: Array, *, prior: bool = False) -> Array:
        return np.zeros(len(means))

    def summary(self) -> dict[str, Array]:
        return {}

    def widened(self, family: str, scale: Array) -> Array | None:
        return scale


@singledispatch
def mean_factor(means: object, n_components: int, n_features: int) -> MeanFactor:
    """The factor that a prior on means calls for, at the prior. Register a prior of your own here."""
    raise UnsupportedError("VB", f"means={means}", VB_INSTEAD)


@mean_factor.register
def _(means: ConjugateMeans, n_components: int, n_features: int) -> MeanFactor:
    loc = np.asarray(means.loc, dtype=float)
    return ConjugateFactor(
        loc=np.broadcast_to(loc, (n_components, n_features)),
        precision_scale=np.full(n_components, means.precision_scale),
        prior_loc=loc,
        prior_precision_scale=means.precision_scale,
    )


@mean_factor.register
def _(means: NormalMeans, n_components: int, n_features: int) -> MeanFactor:
    loc, sigma = np.asarray(means.mu, dtype=float), np.asarray(means.sigma, dtype=float)
    return IndependentFactor(loc=loc, covariance=diagonal_matrices(np.square(sigma)), prior_loc=loc, prior_sigma=sigma)


@mean_factor.register
def _(means: FixedMeans, n_components: int, n_features: int) -> MeanFactor:
    return KnownMeansFactor(loc=np.asarray(means.values, dtype=float))


def _normal_log_density(delta: Array, covariances: Array) -> Array:
    d = delta.shape[-1]
    solved = np.linalg.solve(covariances, delta[..., None])[..., 0]
    terms = -0.5 * (delta * solved).sum(axis=-1) - 0.5 * np.linalg.slogdet(covariances)[1] - 0.5 * d * np.log(2 * np.pi)
    return terms.sum(axis=-1)
