"""Priors on the component means."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy.special import log_ndtr

from bayesgmm._errors import InputError
from bayesgmm.model._interfaces import Means
from bayesgmm.model._spec import Array, Numbers, freeze, rows_as_keys, show
from bayesgmm.numerics.linalg import inverse_from_cholesky, inverse_lower, log_det

_LOG_TWO_PI = float(np.log(2 * np.pi))
# The prior is as informative as this many rows of a component; its means are 10 component sds wide.
DEFAULT_PRECISION_SCALE = 0.01


@dataclass(frozen=True)
class ConjugateMeans(Means):
    """Means that are Normal given the component's own covariance, mu_k ~ Normal(loc, Sigma_k / precision_scale).

    Parameters
    ----------
    loc : (d,) or (K, d) array-like, optional
        Prior mean; the data mean if left out. Rows that differ make components distinguishable. Labels of a Series or
        table are names of columns, here and in all other numbers of features: the data may have these in any order.
    precision_scale : float
        Positive; how many rows the prior is worth (the shrinkage of Fraley & Raftery 2007).
    """

    loc: Numbers | None = None
    precision_scale: float = DEFAULT_PRECISION_SCALE
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"loc": (1, 1)}

    def __post_init__(self) -> None:
        self._freeze("loc", optional=True, most_axes=2)
        self._freeze("precision_scale", positive=True, most_axes=0)

    def describe(self) -> str:
        loc = "data mean" if self.loc is None else _show_rows(self.loc)
        return f"Normal({loc}, Sigma_k / {show(self.precision_scale)})"

    def filled(self, mean: Array, covariance: Array, n_components: int) -> Means:
        return self._replace(loc=freeze(mean)) if self.loc is None else self

    def resolved(self, n_components: int, n_features: int) -> Self:
        if self._array("loc").ndim == 2:
            shape, meaning = (n_components, n_features), "(n_components, n_features)"
        else:
            shape, meaning = (n_features,), "(n_features,)"
        return self._replace(loc=freeze(self._shaped("loc", shape, meaning)))

    def widened(self, factor: float) -> Self:
        return self._replace(precision_scale=self.precision_scale / factor**2)

    def rescaled(self, center: Array, scale: Array) -> Self:
        return self._replace(loc=freeze((self._array("loc") - center) / scale))

    def keys(self, n_components: int) -> list[Hashable]:
        loc = self._array("loc")
        return rows_as_keys(loc) if loc.ndim == 2 else [None] * n_components

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        K, d = means.shape
        kappa = self.precision_scale
        delta = means - self._array("loc")
        precisions = inverse_from_cholesky(choleskys)
        pulled = np.einsum("kij,kj->ki", precisions, delta)
        value = 0.5 * K * d * (np.log(kappa) - _LOG_TWO_PI) - 0.5 * float(log_det(choleskys).sum())
        value -= 0.5 * kappa * float((pulled * delta).sum())
        gradient = -0.5 * precisions + 0.5 * kappa * np.einsum("ki,kj->kij", pulled, pulled)
        return value, -kappa * pulled, gradient

    def log_densities(self, means: Array, choleskys: Array) -> Array:
        K, d = means.shape[1:]
        kappa = self.precision_scale
        pulled = (inverse_lower(choleskys) @ (means - self._array("loc"))[..., None])[..., 0]
        value = 0.5 * K * d * (np.log(kappa) - _LOG_TWO_PI) - 0.5 * log_det(choleskys).sum(axis=-1)
        return value - 0.5 * kappa * np.square(pulled).sum(axis=(-2, -1))

    def log_jacobians(self, means: Array, choleskys: Array, floor: Array) -> Array:
        return super().log_jacobians(means, choleskys, floor) if np.isfinite(floor).any() else np.zeros(len(means))

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        n = counts[:, None]
        return (self.precision_scale * self._array("loc") + n * row_means) / (self.precision_scale + n)

    def cut(self, n_components: int) -> Self:
        loc = self._array("loc")
        return self._replace(loc=freeze(loc[:n_components])) if loc.ndim == 2 else self

    def pseudo_scatter(self, means: Array) -> tuple[float, Array]:
        delta = means - self._array("loc")
        return 1.0, self.precision_scale * np.einsum("ki,kj->kij", delta, delta)

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        noise = rng.standard_normal(choleskys.shape[:-1])
        return self._array("loc") + np.einsum("...ij,...j->...i", choleskys, noise) / np.sqrt(self.precision_scale)


@dataclass(frozen=True)
class NormalMeans(Means):
    """Independent Normal priors on every coordinate of every mean.

    Parameters
    ----------
    mu : float, (d,) or (K, d) array-like, optional
        Prior means; the data mean if left out. Rows that differ make components distinguishable.
    sigma : float, (d,) or (K, d) array-like, optional
        Positive prior standard deviations; 10 sd(data) K^(-1/d) if left out.
    """

    mu: Numbers | None = None
    sigma: Numbers | None = None
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"mu": (1, 1), "sigma": (1, 1)}

    def __post_init__(self) -> None:
        self._freeze("mu", optional=True, most_axes=2)
        self._freeze("sigma", optional=True, positive=True, most_axes=2)

    def describe(self) -> str:
        mu = "data mean" if self.mu is None else _show_rows(self.mu)
        sigma = "10 sd(data) K^(-1/d)" if self.sigma is None else _show_rows(self.sigma)
        return f"Normal({mu}, sd {sigma})"

    def filled(self, mean: Array, covariance: Array, n_components: int) -> Means:
        mu, sigma = self.mu, self.sigma
        if mu is None:
            mu = freeze(mean)
        if sigma is None:
            width = n_components ** (-1.0 / mean.size) / np.sqrt(DEFAULT_PRECISION_SCALE)
            sigma = freeze(np.sqrt(np.diag(covariance)) * width)
        return self._replace(mu=mu, sigma=sigma)

    def resolved(self, n_components: int, n_features: int) -> Self:
        shape = (n_components, n_features)
        mu, sigma = (self._shaped(name, shape, "(n_components, n_features)") for name in ("mu", "sigma"))
        return self._replace(mu=freeze(mu), sigma=freeze(sigma))

    def cut(self, n_components: int) -> Self:
        rows = {name: np.asarray(getattr(self, name)) for name in ("mu", "sigma")}
        return self._replace(**{n: each[:n_components] if each.ndim == 2 else each for n, each in rows.items()})

    def widened(self, factor: float) -> Self:
        return self._replace(sigma=freeze(factor * self._array("sigma")))

    def rescaled(self, center: Array, scale: Array) -> Self:
        return self._replace(
            mu=freeze((self._array("mu") - center) / scale), sigma=freeze(self._array("sigma") / scale)
        )

    def keys(self, n_components: int) -> list[Hashable]:
        mu, sigma = self._array("mu"), self._array("sigma")
        if mu.ndim < 2 and sigma.ndim < 2:
            return [None] * n_components
        return rows_as_keys(np.hstack(np.broadcast_arrays(mu, sigma)))

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        z = (means - self._array("mu")) / self._array("sigma")
        value = -0.5 * float((z * z).sum()) - float(np.log(self._array("sigma")).sum()) - 0.5 * means.size * _LOG_TWO_PI
        return value, -z / self._array("sigma"), np.zeros_like(choleskys)

    def log_densities(self, means: Array, choleskys: Array) -> Array:
        sigma = np.broadcast_to(self._array("sigma"), means.shape[1:])
        z = (means - self._array("mu")) / sigma
        constant = np.log(sigma).sum() + 0.5 * sigma.size * _LOG_TWO_PI
        return -0.5 * np.square(z).sum(axis=(-2, -1)) - constant

    def log_jacobians(self, means: Array, choleskys: Array, floor: Array) -> Array:
        return super().log_jacobians(means, choleskys, floor) if np.isfinite(floor).any() else np.zeros(len(means))

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        prior_precision = 1.0 / np.square(self._array("sigma"))
        precisions = counts[:, None, None] * inverse_from_cholesky(choleskys)
        right = np.einsum("kij,kj->ki", precisions, row_means) + prior_precision * self._array("mu")
        d = row_means.shape[1]
        return np.linalg.solve(precisions + prior_precision[:, :, None] * np.eye(d), right[..., None])[..., 0]

    def log_mass(self, floor: Array) -> float:
        return float(log_ndtr((self._array("mu") - floor) / self._array("sigma")).sum())

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        return self._array("mu") + self._array("sigma") * rng.standard_normal(choleskys.shape[:-1])


@dataclass(frozen=True)
class FixedMeans(Means):
    """Means that are known.

    Parameters
    ----------
    values : (K, d) array-like
        One row a component; (K,) for one feature.
    """

    values: Numbers
    free = False
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"values": (2, 1)}

    def __post_init__(self) -> None:
        self._freeze("values", most_axes=2)

    def describe(self) -> str:
        return f"fixed at {show(self.values)}"

    def resolved(self, n_components: int, n_features: int) -> Self:
        values = self._array("values")
        if values.ndim < 2:
            values = values.reshape(-1, 1)
        if values.shape != (n_components, n_features):
            raise InputError(
                "FixedMeans.values",
                f"has shape {np.shape(self.values)}, not (n_components, n_features) = {(n_components, n_features)}",
                "Give one row for each component and one column for each feature",
            )
        return self._replace(values=freeze(values))

    def rescaled(self, center: Array, scale: Array) -> Self:
        return self._replace(values=freeze((self._array("values") - center) / scale))

    def keys(self, n_components: int) -> list[Hashable]:
        return rows_as_keys(self._array("values").reshape(n_components, -1))

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        return 0.0, np.zeros_like(means), np.zeros_like(choleskys)

    def log_densities(self, means: Array, choleskys: Array) -> Array:
        return np.zeros(len(means))

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        return self._array("values")

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        return np.broadcast_to(self._array("values"), choleskys.shape[:-1]).copy()


def _show_rows(value: Numbers) -> str:
    array = np.asarray(value)
    return show(array[0]) if array.ndim == 2 and np.all(array == array[0]) else show(array)
