"""The inverse-Wishart prior on a covariance matrix, and the inverse-gamma one on separate variances."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.model._interfaces import CovariancePrior
from bayesgmm.model._spec import Array, Numbers, Spec, freeze, rows_as_keys, show
from bayesgmm.numerics.linalg import covariance_fault, diagonal_matrices, inverse_lower, log_det, outer, symmetrised
from bayesgmm.numerics.special import inverse_wishart_log_normaliser

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
    df : float or (K,) array-like, optional
        Degrees of freedom, greater than d - 1 (0 for separate variances); d + 2 (3) if left out, which makes
        ``scale`` the prior mean. Several are those of one component each, which makes components distinguishable.
    scale : float, (d,), (d, d) or (K, d, d) array-like, optional
        Positive-definite scale matrix (a number or vector means a diagonal matrix), in squared units of the data; if
        left out 2/3 df W, where W is the covariance that a component is expected to have (see `GaussianMixture`), or
        cov(data) K^(-2/d) under a prior on the number of components (Fraley & Raftery 2007). Three axes hold a matrix
        for each component, diagonal where the structure has no correlations.

    Examples
    --------
    What the first of two components has been learnt to be, and next to nothing about the other:

    >>> import bayesgmm as bg
    >>> prior = bg.InverseWishart(df=(200.0, 4.0), scale=[[[20.0]], [[0.4]]])
    >>> bg.GaussianMixture(2, covariances=prior).covariances
    Full(prior=InverseWishart(df=(200.0, 4.0), scale=(((20.0,),), ((0.4,),))))
    """

    df: float | tuple[float, ...] | None = None
    scale: Numbers | None = None
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"scale": (1, 2)}

    def __post_init__(self) -> None:
        self._freeze("df", optional=True, positive=True, most_axes=1)
        self._freeze("scale", optional=True, most_axes=3)
        check_scale_matrix(self, "scale")
        df, scale = (np.asarray(1.0 if value is None else value) for value in (self.df, self.scale))
        sizes = {len(array) for array, axes in ((df, 1), (scale, 3)) if array.ndim == axes}
        own = f"has {df.size} numbers, and scale is for another number of components"
        self._check("df", len(sizes) < 2, own, "Give as many")
        self._set("n_components", sizes.pop() if sizes else None)

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
        if within is None:
            return self._replace(df=df, scale=freeze(covariance * n_components ** (-2.0 / n_features)))
        if np.ndim(df):
            within = diagonal_matrices(within) if separate else within
        return self._replace(df=df, scale=freeze(_CAUTION * np.multiply.outer(df, within)))

    def resolved(self, n_features: int, *, separate: bool) -> Self:
        smallest = 0 if separate else n_features - 1
        df = np.asarray(self.df or 0.0)
        self._check(
            "df", bool((df > smallest).all()), f"got {as_written(self.df)}", f"It must be greater than {smallest}"
        )
        scale = np.asarray(self.scale, dtype=float)
        if self.n_components is not None:
            return self._resolved_by_component(df, scale, n_features, separate=separate)
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

    def _resolved_by_component(self, df: Array, scale: Array, n_features: int, *, separate: bool) -> Self:
        """Degrees of freedom (K,) and scale matrices (K, n_features, n_features), diagonal if `separate`."""
        K, n = self.n_components or 0, n_features
        if scale.ndim < 2:
            scale = diagonal_matrices(np.broadcast_to(scale, (n,)) if scale.size in (1, n) else scale)
        if scale.shape[-1] == 1:
            scale = scale * np.eye(n)
        self._check(
            "scale",
            scale.shape[-1] == n,
            f"has shape {np.shape(np.asarray(self.scale))}, the structure needs {(K, n, n)}",
            "Give a matrix for each component",
        )
        self._check(
            "scale",
            not separate or bool((scale * np.eye(n) == scale).all()),
            "has entries off the diagonal, and the structure has no correlations",
            "Give diagonal matrices",
        )
        return self._replace(df=freeze(np.broadcast_to(df, (K,))), scale=freeze(np.broadcast_to(scale, (K, n, n))))

    def keys(self, n_components: int) -> list[Hashable]:
        if self.n_components is None:
            return [None] * n_components
        df, scale = self.numbers()
        return rows_as_keys(np.concatenate([df[:, None], scale.reshape(len(scale), -1)], axis=1))

    def cut(self, n_components: int) -> Self:
        if self.n_components is None:
            return self
        return self._replace(df=self.df[:n_components], scale=self.scale[:n_components])  # type: ignore[index]

    def rescaled(self, scale: Array, *, separate: bool) -> Self:
        shared_variances = separate and self.n_components is None
        factor = np.square(scale) if shared_variances else np.outer(scale, scale)
        return self._replace(scale=freeze(np.asarray(self.scale) / factor))

    def bounded(self, *, separate: bool) -> bool:
        return True

    def matrix_log_density(self, choleskys: Array) -> tuple[float, Array]:
        df, scale = self.numbers()
        inverses = inverse_lower(choleskys)
        precisions = np.swapaxes(inverses, -1, -2) @ inverses
        powers = np.asarray(df + choleskys.shape[-1] + 1)[..., None, None]
        gradient = 0.5 * (precisions @ scale @ precisions - powers * precisions)
        return float(self._matrix_logs(choleskys, inverses).sum()), gradient

    def matrix_log_densities(self, choleskys: Array) -> Array:
        return self._matrix_logs(choleskys, inverse_lower(choleskys)).sum(axis=-1)

    def _matrix_logs(self, choleskys: Array, inverses: Array) -> Array:
        """Log density at each of many matrices."""
        root, constant = self._of_scale
        powers = 0.5 * (self.numbers()[0] + choleskys.shape[-1] + 1)
        return constant - powers * log_det(choleskys) - 0.5 * np.square(inverses @ root).sum(axis=(-2, -1))

    @cached_property
    def _of_scale(self) -> tuple[Array, Array]:
        """Cholesky factors of the scale matrix, and log normalisers: of one component, or of each."""
        df, scale = self.numbers()
        constant = inverse_wishart_log_normaliser(df, np.linalg.slogdet(scale)[1], scale.shape[-1])
        return np.linalg.cholesky(scale), constant

    def variance_log_density(self, variances: Array) -> tuple[float, Array]:
        df, scale = self.numbers(separate=True)
        value = float(self.variance_log_densities(variances[None])[0])
        return value, 0.5 * (scale / variances - (df + 2)) / variances

    def variance_log_densities(self, variances: Array) -> Array:
        df, scale = self.numbers(separate=True)
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
        df, scale = self.numbers(separate=True)
        return (scatter + scale) / (count[:, None] + df + 2)

    def draw(self, rng: np.random.Generator, size: int, n_features: int, *, separate: bool) -> Array:
        return self.draw_components(rng, size, 1, n_features, separate=separate)[:, 0]

    def draw_components(
        self, rng: np.random.Generator, size: int, n_components: int, n_features: int, *, separate: bool
    ) -> Array:
        df, scale = self.numbers(separate=separate)
        shape = size, n_components
        if separate:
            return scale / rng.chisquare(df, size=(*shape, n_features))
        return outer(draw_inverse_wishart_cholesky(rng, np.broadcast_to(df, shape), np.linalg.cholesky(scale)))

    def numbers(self, *, separate: bool = False) -> tuple[Any, Array]:
        """Degrees of freedom and scale as arrays: of one component, or of all of them along a first axis.

        Scales are matrices, or variances if `separate`; degrees of freedom fit densities and modes of these.
        """
        df, scale = self._numbers
        if separate and scale.ndim == 3:
            return df[:, None], np.diagonal(scale, axis1=1, axis2=2)
        return df, scale

    @cached_property
    def _numbers(self) -> tuple[Any, Array]:
        df = np.asarray(self.df or 0.0, dtype=float)
        return df if df.ndim else float(df), np.asarray(self.scale, dtype=float)


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


def check_scale_matrix(spec: Spec, name: str) -> None:
    """Raise unless a field is None or a positive-definite scale; store a matrix exactly symmetric."""
    value = getattr(spec, name)
    if value is None:
        return
    array = np.asarray(value)
    square = array.ndim >= 2 and array.shape[-2] == array.shape[-1]
    spec._check(name, array.ndim < 2 or square, f"has shape {array.shape}", "Give a number, a vector or a d x d matrix")
    if array.ndim < 2:
        spec._check(name, bool((array > 0).all()), f"got {show(array)}", "It must be positive definite: greater than 0")
        return
    fault = covariance_fault(array if array.ndim == 3 else array[None])
    if fault is not None:
        given = f"got {show(array)}" if array.size <= _SHOWN**2 else f"has shape {array.shape}"
        what = f"entry {fault.entry}" if fault.entry else "it"
        raise InputError(
            f"{type(spec).__name__}.{name}",
            f"{given}; {what} {fault.problem}",
            "It must be symmetric and positive definite",
        )
    spec._set(name, freeze(symmetrised(array)))
