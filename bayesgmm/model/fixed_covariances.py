"""Covariances that are known."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm.model._interfaces import Covariances
from bayesgmm.model._spec import Array, Numbers, freeze, rows_as_keys, show
from bayesgmm.numerics.linalg import covariance_fault, symmetrised


class NothingFree(Covariances):
    """Covariances without parameters of their own: known, or all a matter of the means."""

    free = False

    @property
    def innermost(self) -> None:
        return None

    def bounded(self) -> bool:
        return True

    def filled(self, covariance: Array, n_components: int, within: Array | None = None) -> Self:
        return self

    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        return 0.0, np.zeros_like(choleskys)

    def log_densities(self, choleskys: Array, means: Array) -> Array:
        return np.zeros(len(choleskys))

    log_jacobians = log_densities

    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        return 0.0, np.zeros(0)

    def n_free(self, n_components: int, n_features: int) -> int:
        return 0

    def from_free(self, theta: Array, reference: Array) -> Array:
        return np.broadcast_to(reference, np.broadcast_shapes((*theta.shape[:-1], 1, 1, 1), reference.shape))

    def to_free(self, choleskys: Array, reference: Array) -> Array:
        return np.zeros((*choleskys.shape[:-3], 0))

    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        return np.zeros(0)

    def information(self, counts: Array, n_features: int) -> Array:
        return np.zeros(0)


@dataclass(frozen=True)
class FixedCovariances(NothingFree):
    """Covariances that are known.

    Parameters
    ----------
    values : float, (d, d) or (K, d, d) array-like
        A number means that multiple of the identity; for one feature (K,) variances are taken as well.
    """

    values: Numbers
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"values": (2, 2)}

    def __post_init__(self) -> None:
        self._freeze("values")

    def describe(self) -> str:
        return f"fixed at {show(self.values)}"

    def resolved(self, n_components: int, n_features: int) -> Self:
        values = np.asarray(self.values)
        shape = (n_components, n_features, n_features)
        if values.ndim == 0:
            values = values * np.eye(n_features)
        elif values.ndim == 1 and n_features == 1:
            values = values[:, None, None]
        try:
            values = np.broadcast_to(values, shape)
        except ValueError:
            raise InputError(
                "FixedCovariances.values",
                f"has shape {np.shape(self.values)}, expected (n_components, n_features, n_features) = {shape}",
                "Give one matrix for all components or one for each",
            ) from None
        fault = covariance_fault(values)
        if fault is not None:
            entry = "" if fault.entry is None else f"entry {fault.entry} of "
            raise InputError(
                "FixedCovariances.values",
                f"{entry}the covariance of component {fault.matrix} {fault.problem}",
                "Every matrix must be symmetric and positive definite",
            )
        return self._replace(values=freeze(symmetrised(values)))

    def rescaled(self, scale: Array) -> Self:
        return self._replace(values=freeze(np.asarray(self.values) / np.outer(scale, scale)))

    def cut(self, n_components: int) -> Self:
        return self._replace(values=np.asarray(self.values)[:n_components])

    def keys(self, n_components: int) -> list[Hashable]:
        return rows_as_keys(np.asarray(self.values).reshape(n_components, -1))

    def mode(self, counts: Array, scatter: Array) -> Array:
        return np.asarray(self.values, dtype=float)

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        values = np.asarray(self.values, dtype=float)
        return np.broadcast_to(values, (size, *values.shape)).copy()
