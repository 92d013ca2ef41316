"""Priors on a covariance matrix by its correlations and standard deviations, and none at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.model._interfaces import CovariancePrior
from bayesgmm.model._spec import Array, freeze, show
from bayesgmm.model.scale_priors import HalfNormal, ScalePrior
from bayesgmm.numerics.linalg import inverse_from_cholesky, log_det, outer
from bayesgmm.numerics.special import lkj_log_normaliser


@dataclass(frozen=True)
class LKJ(CovariancePrior):
    """Covariance from a correlation matrix and standard deviations, Sigma = diag(s) R diag(s).

    R ~ LKJ(eta) with density proportional to |R|^(eta - 1) (Lewandowski, Kurowicka & Joe 2009), and the
    standard deviations s have independent priors. Where the structure has no correlations only the priors on s act.

    Parameters
    ----------
    eta : float
        Positive. 1 is uniform over correlation matrices; larger values favour weak correlations.
    scale : HalfNormal, Exponential, Gamma or LogNormal, optional
        Prior on the standard deviations; HalfNormal of the standard deviations that a component is
        expected to have (see `GaussianMixture`) if left out.
    """

    eta: float = 2.0
    scale: ScalePrior | None = None
    closed_form = False

    def __post_init__(self) -> None:
        self._freeze("eta", positive=True, most_axes=0)
        self._check(
            "scale",
            self.scale is None or isinstance(self.scale, ScalePrior),
            f"got {as_written(self.scale)}",
            "Give HalfNormal(sigma), Exponential(lam), Gamma(alpha, beta) or LogNormal(mu, sigma)",
        )

    def describe(self) -> str:
        scale = "HalfNormal(sd(W))" if self.scale is None else self.scale.describe()
        return f"LKJ({show(self.eta)}), sd ~ {scale}"

    def filled(
        self, covariance: Array, within: Array | None, n_components: int, n_features: int, *, separate: bool
    ) -> CovariancePrior:
        if self.scale is not None:
            return self
        expected = covariance * n_components ** (-2.0 / n_features) if within is None else within
        variances = expected if separate else np.diag(expected)
        return self._replace(scale=HalfNormal(freeze(np.sqrt(variances))))

    def resolved(self, n_features: int, *, separate: bool) -> Self:
        return self._replace(scale=self._scale.resolved(n_features))

    def rescaled(self, scale: Array, *, separate: bool) -> Self:
        return self._replace(scale=self._scale.rescaled(scale))

    def bounded(self, *, separate: bool) -> bool:
        # However far the scales stay from 0, a correlation may go to 1. The default half-normal does not vanish at 0.
        uncorrelated = separate or (self.scale is not None and self.scale.n_features() == 1)
        return uncorrelated and self.scale is not None and self.scale.vanishes_at_zero()

    def matrix_log_density(self, choleskys: Array) -> tuple[float, Array]:
        variances = np.square(choleskys).sum(axis=-1)
        s = np.sqrt(variances)
        logs, slopes = self._scale.log_density(s)
        gradient = (self.eta - 1) * inverse_from_cholesky(choleskys)
        _add_diagonals(gradient, slopes / (2 * s) - (self.eta - 1) / variances)
        return float(self._matrix_logs(choleskys, variances, logs).sum()), gradient

    def matrix_log_densities(self, choleskys: Array) -> Array:
        variances = np.square(choleskys).sum(axis=-1)
        return self._matrix_logs(choleskys, variances, self._scale.log_density(np.sqrt(variances))[0]).sum(axis=-1)

    def _matrix_logs(self, choleskys: Array, variances: Array, by_scales: Array) -> Array:
        """Log density at each of many matrices."""
        log_det_r = log_det(choleskys) - np.log(variances).sum(axis=-1)
        constant = lkj_log_normaliser(self.eta, choleskys.shape[-1])
        return constant + (self.eta - 1) * log_det_r + by_scales.sum(axis=-1)

    def variance_log_density(self, variances: Array) -> tuple[float, Array]:
        s = np.sqrt(variances)
        logs, slopes = self._scale.log_density(s)
        return float(logs.sum()), slopes / (2 * s)

    def variance_log_densities(self, variances: Array) -> Array:
        return self._scale.log_density(np.sqrt(variances))[0].sum(axis=(-2, -1))

    def matrix_volume(self, choleskys: Array) -> tuple[float, Array]:
        gradient = np.zeros_like(choleskys)
        _add_diagonals(gradient, -0.5 * choleskys.shape[-1] / np.square(choleskys).sum(axis=-1))
        return float(self.matrix_volumes(choleskys[None])[0]), gradient

    def matrix_volumes(self, choleskys: Array) -> Array:
        K, d = choleskys.shape[-3:-1]
        logs = np.log(np.square(choleskys).sum(axis=-1))
        return -K * d * np.log(2.0) - 0.5 * d * logs.sum(axis=(-2, -1))

    def variance_volume(self, variances: Array) -> tuple[float, Array]:
        return float(self.variance_volumes(variances[None])[0]), -0.5 / variances

    def variance_volumes(self, variances: Array) -> Array:
        return -(np.log(2.0) + 0.5 * np.log(variances)).sum(axis=(-2, -1))

    def matrix_mode(self, count: Array, scatter: Array) -> Array:
        d = scatter.shape[-1]
        typical = np.square(self._scale.typical()) * np.eye(d)
        return (scatter + typical) / (count + 2 * d + 3)[:, None, None]

    def variance_mode(self, count: Array, scatter: Array) -> Array:
        return (scatter + np.square(self._scale.typical())) / (count + 5)[:, None]

    def draw(self, rng: np.random.Generator, size: int, n_features: int, *, separate: bool) -> Array:
        s = self._scale.draw(rng, (size, n_features))
        if separate:
            return np.square(s)
        return outer(s[..., None] * _draw_correlation_cholesky(rng, self.eta, size, n_features))

    @property
    def _scale(self) -> ScalePrior:
        if self.scale is None:
            raise InputError("LKJ.scale", "was left out", "Fit the model to data, which fill it, or give a prior")
        return self.scale


@dataclass(frozen=True)
class FlatCovariance(CovariancePrior):
    """No prior: maximum likelihood. Written `Flat()` by users."""

    proper = False

    def describe(self) -> str:
        return "Flat()"

    def resolved(self, n_features: int, *, separate: bool) -> Self:
        return self

    def rescaled(self, scale: Array, *, separate: bool) -> Self:
        return self

    def bounded(self, *, separate: bool) -> bool:
        return False

    def matrix_log_density(self, choleskys: Array) -> tuple[float, Array]:
        return 0.0, np.zeros_like(choleskys)

    def variance_log_density(self, variances: Array) -> tuple[float, Array]:
        return 0.0, np.zeros_like(variances)

    def matrix_mode(self, count: Array, scatter: Array) -> Array:
        return scatter / np.maximum(count, np.finfo(float).tiny)[:, None, None]

    def variance_mode(self, count: Array, scatter: Array) -> Array:
        return scatter / np.maximum(count, np.finfo(float).tiny)[:, None]

    def draw(self, rng: np.random.Generator, size: int, n_features: int, *, separate: bool) -> Any:
        raise InputError("covariances", "Flat() is no distribution to draw from", "Give a proper prior")


def _add_diagonals(matrices: Array, diagonals: Array) -> None:
    """Add diagonals (..., d) to matrices (..., d, d), in place."""
    every = np.arange(matrices.shape[-1])
    matrices[..., every, every] += diagonals


def _draw_correlation_cholesky(rng: np.random.Generator, eta: float, size: int, d: int) -> Array:
    # Canonical partial correlations of row i with column j have Beta(b, b) marginals, b = eta + (d - 2 - j) / 2.
    L = np.zeros((size, d, d))
    L[:, 0, 0] = 1.0
    for i in range(1, d):
        left = np.ones(size)
        for j in range(i):
            b = eta + (d - 2 - j) / 2
            L[:, i, j] = (2 * rng.beta(b, b, size=size) - 1) * np.sqrt(left)
            left = np.maximum(left - np.square(L[:, i, j]), 0.0)
        L[:, i, i] = np.sqrt(left)
    return L
