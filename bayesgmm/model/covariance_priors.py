"""Priors on a covariance matrix, or on separate variances where the structure has no correlations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.model._interfaces import CovariancePrior
from bayesgmm.model._spec import Array, Numbers, Spec, freeze, show
from bayesgmm.model.scale_priors import HalfNormal, ScalePrior
from bayesgmm.numerics.linalg import covariance_fault, inverse_from_cholesky, inverse_lower, log_det, outer, symmetrised
from bayesgmm.numerics.special import inverse_wishart_log_normaliser, lkj_log_normaliser

# The default scale is so many times df W, for which the mean precision would be W^-1: a scale that is too large
# inflates a narrow component by as many rows as it is too large, one that is too small hardly matters.
_CAUTION = 2.0 / 3.0
# Matrices of more rows are not written out in messages.
_SHOWN = 5
# The same in words, where numbers are not known yet.
SCALE_WITHIN = "2/3 df W"


@dataclass(frozen=True)
class InverseWishart(CovariancePrior):
    """Inverse-Wishart prior, Sigma ~ InverseWishart(df, scale), with mean scale / (df - d - 1).

    In the diagonal and spherical structures each variance has the one-dimensional form, the inverse-gamma with
    shape df/2 and rate scale/2.

    Parameters
    ----------
    df : float, optional
        Degrees of freedom, greater than d - 1 (0 for separate variances); d + 2 (3) if left out, which makes
        ``scale`` the prior mean.
    scale : float, (d,) or (d, d) array-like, optional
        Positive-definite scale matrix (a number or vector means a diagonal matrix), in squared units of the data; if
        left out 2/3 df W, where W is the covariance that a component is expected to have (see `GaussianMixture`), or
        cov(data) K^(-2/d) under a prior on the number of components (Fraley & Raftery 2007).
    """

    df: float | None = None
    scale: Numbers | None = None

    def __post_init__(self) -> None:
        self._freeze("df", optional=True, positive=True, most_axes=0)
        self._freeze("scale", optional=True, most_axes=2)
        check_scale_matrix(self, "scale")

    def describe(self) -> str:
        df = "d + 2" if self.df is None else show(self.df)
        scale = SCALE_WITHIN if self.scale is None else show(self.scale)
        return f"InverseWishart({df}, {scale})"

    def filled(
        self, covariance: Array, within: Array | None, n_components: int, n_features: int, *, separate: bool
    ) -> CovariancePrior:
        df = self.df if self.df is not None else float((1 if separate else n_features) + 2)
        if self.scale is not None:
            return self._replace(df=df)
        scale = covariance * n_components ** (-2.0 / n_features) if within is None else _CAUTION * df * within
        return self._replace(df=df, scale=freeze(scale))

    def resolved(self, n_features: int, *, separate: bool) -> Self:
        smallest = 0 if separate else n_features - 1
        self._check("df", (self.df or 0) > smallest, f"got {self.df}", f"It must be greater than {smallest}")
        scale = np.asarray(self.scale, dtype=float)
        if separate:
            if scale.ndim == 2 and np.array_equal(scale, np.diag(np.diag(scale))):
                scale = np.diag(scale)
            wanted: tuple[int, ...] = (n_features,)
        else:
            scale = scale * np.eye(n_features) if scale.ndim == 0 else np.diag(scale) if scale.ndim == 1 else scale
            wanted = (n_features, n_features)
        try:
            scale = np.broadcast_to(scale, wanted)
        except ValueError:
            raise InputError(
                "InverseWishart.scale",
                f"has shape {np.shape(np.asarray(self.scale))}, the structure needs {wanted}",
                "Give a number or an array of that shape",
            ) from None
        return self._replace(scale=freeze(scale))

    def rescaled(self, scale: Array, *, separate: bool) -> Self:
        factor = np.square(scale) if separate else np.outer(scale, scale)
        return self._replace(scale=freeze(np.asarray(self.scale) / factor))

    def bounded(self, *, separate: bool) -> bool:
        return True

    def matrix_log_density(self, choleskys: Array) -> tuple[float, Array]:
        df, scale = self.numbers()
        inverses = inverse_lower(choleskys)
        precisions = np.swapaxes(inverses, -1, -2) @ inverses
        gradient = 0.5 * (precisions @ scale @ precisions - (df + choleskys.shape[-1] + 1) * precisions)
        return float(self._matrix_logs(choleskys, inverses).sum()), gradient

    def matrix_log_densities(self, choleskys: Array) -> Array:
        return self._matrix_logs(choleskys, inverse_lower(choleskys)).sum(axis=-1)

    def _matrix_logs(self, choleskys: Array, inverses: Array) -> Array:
        """Log density at each of many matrices."""
        root, constant = self._of_scale
        powers = 0.5 * (self.numbers()[0] + choleskys.shape[-1] + 1)
        return constant - powers * log_det(choleskys) - 0.5 * np.square(inverses @ root).sum(axis=(-2, -1))

    @cached_property
    def _of_scale(self) -> tuple[Array, float]:
        """Cholesky factor of the scale matrix, and the log normaliser."""
        df, scale = self.numbers()
        constant = inverse_wishart_log_normaliser(df, np.linalg.slogdet(scale)[1], len(scale))
        return np.linalg.cholesky(scale), float(constant)

    def variance_log_density(self, variances: Array) -> tuple[float, Array]:
        df, scale = self.numbers()
        value = float(self.variance_log_densities(variances[None])[0])
        return value, 0.5 * (scale / variances - (df + 2)) / variances

    def variance_log_densities(self, variances: Array) -> Array:
        df, scale = self.numbers()
        constants = inverse_wishart_log_normaliser(df, np.log(scale), 1)
        terms = constants - 0.5 * (df + 2) * np.log(variances) - 0.5 * scale / variances
        return terms.sum(axis=(-2, -1))

    def matrix_volumes(self, choleskys: Array) -> Array:
        return np.zeros(len(choleskys))

    def variance_volumes(self, variances: Array) -> Array:
        return np.zeros(len(variances))

    def matrix_mode(self, count: Array, scatter: Array) -> Array:
        df, scale = self.numbers()
        return (scatter + scale) / (count + df + scatter.shape[-1] + 1)[:, None, None]

    def variance_mode(self, count: Array, scatter: Array) -> Array:
        df, scale = self.numbers()
        return (scatter + scale) / (count + df + 2)[:, None]

    def draw(self, rng: np.random.Generator, size: int, n_features: int, *, separate: bool) -> Array:
        df, scale = self.numbers()
        if separate:
            return scale / rng.chisquare(df, size=(size, n_features))
        return outer(draw_inverse_wishart_cholesky(rng, np.full(size, df), np.linalg.cholesky(scale)))

    def numbers(self) -> tuple[float, Array]:
        """Degrees of freedom and scale as an array."""
        return self._numbers

    @cached_property
    def _numbers(self) -> tuple[float, Array]:
        return float(self.df or 0.0), np.asarray(self.scale, dtype=float)


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


def draw_inverse_wishart_cholesky(rng: np.random.Generator, df: Array, scale_choleskys: Array) -> Array:
    """Square roots M (..., d, d), not triangular, with M M' ~ InverseWishart(df, S), by Bartlett's decomposition.

    `df` has the shape of the leading axes; `scale_choleskys` (..., d, d) broadcasts against it.
    """
    d = scale_choleskys.shape[-1]
    shape = np.shape(df)
    B = np.tril(rng.standard_normal((*shape, d, d)), -1)
    B[..., np.arange(d), np.arange(d)] = np.sqrt(rng.chisquare(np.asarray(df)[..., None] - np.arange(d)))
    # S^-1 = L^-T L^-1 and W = L^-T B B' L^-1, so Sigma = (L B^-T)(L B^-T)'.
    return scale_choleskys @ np.swapaxes(inverse_lower(B), -1, -2)


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


def check_scale_matrix(spec: Spec, name: str) -> None:
    """Raise unless a field is None or a positive-definite scale; store a matrix exactly symmetric."""
    value = getattr(spec, name)
    if value is None:
        return
    array = np.asarray(value)
    square = array.ndim == 2 and array.shape[0] == array.shape[1]
    spec._check(name, array.ndim < 2 or square, f"has shape {array.shape}", "Give a number, a vector or a d x d matrix")
    if array.ndim < 2:
        spec._check(name, bool((array > 0).all()), f"got {show(array)}", "It must be positive definite: greater than 0")
        return
    fault = covariance_fault(array[None])
    if fault is not None:
        given = f"got {show(array)}" if len(array) <= _SHOWN else f"has shape {array.shape}"
        what = f"entry {fault.entry}" if fault.entry else "it"
        raise InputError(
            f"{type(spec).__name__}.{name}",
            f"{given}; {what} {fault.problem}",
            "It must be symmetric and positive definite",
        )
    spec._set(name, freeze(symmetrised(array)))
