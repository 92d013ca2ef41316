"""An inverse-Wishart prior whose scale matrix is learnt from the components, for `Gibbs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model._interfaces import CovariancePrior
from bayesgmm.model._spec import Array, Numbers, show
from bayesgmm.model.inverse_wishart import (
    SCALE_WITHIN,
    InverseWishart,
    check_scale_matrix,
    draw_inverse_wishart_cholesky,
)


@dataclass(frozen=True)
class HierarchicalInverseWishart(CovariancePrior):
    """Inverse-Wishart covariances that share an unknown scale matrix, Sigma_k | C ~ InverseWishart(df, C).

    C ~ Wishart(scale_df, scale_mean / scale_df), with mean ``scale_mean``, says how wide components typically are,
    and is sampled with them (Richardson & Green 1997; Stephens 1997). In the diagonal and spherical structures each
    variance has an inverse-gamma prior with shape df / 2 and rate C / 2, and C is Gamma with shape scale_df / 2. The
    prior of Richardson & Green for data of range R, 1 / variance ~ Gamma(2, beta) with beta ~ Gamma(0.2, 10 / R^2),
    is ``Spherical(HierarchicalInverseWishart(df=4, scale_df=0.4, scale_mean=0.04 * R**2))``.

    Parameters
    ----------
    df : float, optional
        Degrees of freedom of the covariances, greater than d - 1 (0 for separate variances); as for `InverseWishart`
        if left out.
    scale_df : float, optional
        Degrees of freedom of C, greater than d - 1 (0 for separate variances): the smaller the vaguer; d (1) if left
        out.
    scale_mean : float, (d,) or (d, d) array-like, optional
        Mean of C in squared units of the data; as the scale of `InverseWishart` if left out.
    """

    df: float | None = None
    scale_df: float | None = None
    scale_mean: Numbers | None = None
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"scale_mean": (1, 2)}
    only_by_gibbs = True

    def __post_init__(self) -> None:
        self._freeze("df", optional=True, positive=True, most_axes=0)
        self._freeze("scale_df", optional=True, positive=True, most_axes=0)
        self._freeze("scale_mean", optional=True, most_axes=2)
        check_scale_matrix(self, "scale_mean")
        try:
            plain = self._plain()
        except InputError as error:  # its scale is what is called `scale_mean` here
            name = error.argument.rpartition(".")[2].replace("scale", "scale_mean")
            raise InputError(f"{type(self).__name__}.{name}", error.problem, error.remedy) from None
        self._set("df", plain.df)

    def plain(self) -> InverseWishart:
        """The prior with its scale held at the mean."""
        return self._plain()

    def describe(self) -> str:
        df = "d + 2" if self.df is None else show(self.df)
        own = "d" if self.scale_df is None else show(self.scale_df)
        mean = SCALE_WITHIN if self.scale_mean is None else show(self.scale_mean)
        return f"InverseWishart({df}, C), C ~ Wishart({own}, mean {mean})"

    def filled(
        self, covariance: Array, within: Array | None, n_components: int, n_features: int, *, separate: bool
    ) -> CovariancePrior:
        plain = self._plain().filled(covariance, within, n_components, n_features, separate=separate)
        assert isinstance(plain, InverseWishart)
        df = self.scale_df if self.scale_df is not None else float(1 if separate else n_features)
        return self._replace(df=plain.df, scale_df=df, scale_mean=plain.scale)

    def resolved(self, n_features: int, *, separate: bool) -> Self:
        plain = self._plain().resolved(n_features, separate=separate)
        least = 0 if separate else n_features - 1
        self._check(
            "scale_df", (self.scale_df or 0) > least, f"got {self.scale_df}", f"It must be greater than {least}"
        )
        return self._replace(scale_mean=plain.scale)

    def rescaled(self, scale: Array, *, separate: bool) -> Self:
        return self._replace(scale_mean=self._plain().rescaled(scale, separate=separate).scale)

    def bounded(self, *, separate: bool) -> bool:
        return False

    def matrix_log_density(self, choleskys: Array) -> tuple[float, Array]:
        raise self._unsupported()

    def variance_log_density(self, variances: Array) -> tuple[float, Array]:
        raise self._unsupported()

    def matrix_mode(self, count: Array, scatter: Array) -> Array:
        raise self._unsupported()

    def variance_mode(self, count: Array, scatter: Array) -> Array:
        raise self._unsupported()

    def draw(self, rng: np.random.Generator, size: int, n_features: int, *, separate: bool) -> Array:
        return self.draw_components(rng, size, 1, n_features, separate=separate)[:, 0]

    def draw_components(
        self, rng: np.random.Generator, size: int, n_components: int, n_features: int, *, separate: bool
    ) -> Array:
        df, scale_df, mean = self.numbers()
        if separate:
            scales = mean * rng.chisquare(scale_df, size=(size, n_features)) / scale_df
            return scales[:, None] / rng.chisquare(df, size=(size, n_components, n_features))
        # The inverse of an inverse-Wishart draw is a Wishart one.
        inverse = np.linalg.inv(mean) * scale_df
        M = draw_inverse_wishart_cholesky(rng, np.full(size, scale_df), np.linalg.cholesky(inverse))
        roots = np.linalg.cholesky(np.linalg.inv(M @ np.swapaxes(M, 1, 2)))
        L = draw_inverse_wishart_cholesky(rng, np.full((size, n_components), df), roots[:, None])
        return L @ np.swapaxes(L, -1, -2)

    def numbers(self) -> tuple[float, float, Array]:
        """Degrees of freedom of covariances and of the scale, and the mean of the scale."""
        return float(self.df or 0.0), float(self.scale_df or 0.0), np.asarray(self.scale_mean, dtype=float)

    def _plain(self) -> InverseWishart:
        return InverseWishart(self.df, self.scale_mean)

    def _unsupported(self) -> Any:
        return UnsupportedError(f"covariances={self.describe()}", "engines other than Gibbs", "Use engine=Gibbs().")
