"""The posterior density as one compiled function on unconstrained coordinates, for NUTS.

Each kind of prior has a code in the kernel; `encode_weights`, `encode_means` and `encode_covariances` are registries
that turn a declaration into codes and numbers. A part that is not registered has no native form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from bayesgmm._errors import UnsupportedError
from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._objective import Coordinates, Objective
from bayesgmm.engines.base import Array, Parameters, Problem
from bayesgmm.model import (
    LKJ,
    ConjugateMeans,
    Diagonal,
    Dirichlet,
    Exponential,
    FixedCovariances,
    FixedMeans,
    FixedWeights,
    Full,
    Gamma,
    HalfNormal,
    InverseWishart,
    LogNormal,
    NormalMeans,
    Spherical,
    StickBreaking,
    Tied,
)
from bayesgmm.numerics.simplex import isometric_basis

# Directions in which the mode is flatter than this, relative to the complete-data information, are far from Gaussian;
# the sampler finds their scale itself.
_LEAST_CURVATURE = 0.01


@dataclass(frozen=True, kw_only=True)
class CovarianceCode:
    """How the kernel is to read a structure and the prior in it; numbers beyond those that a prior has are ignored."""

    structure: int
    tied: bool = False
    prior: int = 0
    scale_kind: int = 0
    shape: float = 0.0
    scale: Array | None = None
    scale_numbers: Array | None = None


class NativeDensity:
    """Log posterior density of coordinates v, compiled, and the maps between v and parameters.

    v = 0 is the mode, and v has about unit scale there: u = C v, with u the local coordinates of the other engines
    and C C' the inverse of minus the Hessian at the mode.

    Parameters
    ----------
    problem : Problem
    mode : Parameters
        In standard units.

    Raises
    ------
    UnsupportedError
        If a part of the model has no code in the kernel.
    """

    def __init__(self, problem: Problem, mode: Parameters) -> None:
        from bayesgmm.numerics import _posterior_kernel

        objective = Objective(problem, unconstrained=True)
        _, statistics = objective.value(mode)
        self.coordinates = Coordinates(problem.model, mode, statistics.counts)
        self.size = self.coordinates.size
        self.to_local = _whitening(hessian(objective, self.coordinates, statistics))
        self._kernel = _posterior_kernel.log_posterior
        self._arguments = _arguments(problem, self.coordinates, self.to_local)
        exact = objective.value_and_gradient(self.coordinates, np.zeros(self.size))[0]
        # The kernel leaves constants out.
        self.constant = exact - self.value_and_gradient(np.zeros(self.size))[0]

    def value_and_gradient(self, v: Array) -> tuple[float, Array]:
        """Log density without `constant`, and its gradient."""
        gradient = np.empty(self.size)
        return self._kernel(v, gradient, *self._arguments), gradient

    def function(self) -> Any:
        """The same as a closure without attribute look-ups, for a sampler's innermost loop."""
        kernel, arguments, size = self._kernel, self._arguments, self.size

        def log_density(v: Array) -> tuple[float, Array]:
            gradient = np.empty(size)
            return kernel(v, gradient, *arguments), gradient

        return log_density

    def parameters(self, v: Array) -> Parameters:
        """Points in standard units at coordinates (..., p)."""
        return self.coordinates.parameters(v @ self.to_local.T)

    def coordinates_of(self, point: Parameters) -> Array:
        """The inverse of `parameters` for one point."""
        return np.linalg.solve(self.to_local, self.coordinates.coordinates(point))


def _whitening(curvature: Array) -> Array:
    """C with C C' the inverse of minus the Hessian, its eigenvalues kept between sensible bounds."""
    values, vectors = np.linalg.eigh(-curvature)
    return vectors / np.sqrt(np.maximum(values, _LEAST_CURVATURE))


def _arguments(problem: Problem, coordinates: Coordinates, to_local: Array) -> tuple[Any, ...]:
    model, at = problem.model, coordinates.reference
    K, d = problem.K, problem.n_features
    weights_kind, weight_numbers = encode_weights(model.weights, K)
    means_kind, loc, precision = encode_means(model.means, K, d)
    code = encode_covariances(model.covariances, d)
    codes = (weights_kind, means_kind, code.structure, int(code.tied), code.prior, code.scale_kind)
    basis = isometric_basis(K) if model.weights.n_free(K) else np.zeros((K, 0))
    return (
        problem.x,
        np.ascontiguousarray(to_local),
        np.ascontiguousarray(at.log_weights),
        np.ascontiguousarray(basis @ coordinates.weight_map),
        np.ascontiguousarray(at.means),
        np.ascontiguousarray(at.choleskys * coordinates.mean_scale[:, :, None]),
        np.ascontiguousarray(at.choleskys),
        np.ascontiguousarray(coordinates.covariance_scale),
        codes,
        np.ascontiguousarray(weight_numbers, dtype=float),
        np.array(np.broadcast_to(loc, (K, d)), dtype=float),
        np.array(np.broadcast_to(precision, (K, d)), dtype=float),
        code.shape,
        np.eye(d) if code.scale is None else np.ascontiguousarray(code.scale),
        np.ones((2, d)) if code.scale_numbers is None else np.ascontiguousarray(code.scale_numbers),
    )


@singledispatch
def encode_weights(prior: Any, n_components: int) -> tuple[int, Array]:
    """Code and numbers of a weights prior."""
    raise _without(f"weights={prior}")


@encode_weights.register
def _(prior: Dirichlet, n_components: int) -> tuple[int, Array]:
    return 0, np.broadcast_to(np.asarray(prior.concentration, dtype=float), (n_components,))


@encode_weights.register
def _(prior: StickBreaking, n_components: int) -> tuple[int, Array]:
    return 1, np.full(n_components, prior.concentration)


@encode_weights.register
def _(prior: FixedWeights, n_components: int) -> tuple[int, Array]:
    return 2, np.zeros(n_components)


@singledispatch
def encode_means(prior: Any, n_components: int, n_features: int) -> tuple[int, Array, Array]:
    """Code, prior means and precisions of a means prior."""
    raise _without(f"means={prior}")


@encode_means.register
def _(prior: NormalMeans, n_components: int, n_features: int) -> tuple[int, Array, Array]:
    return 0, np.asarray(prior.mu, dtype=float), 1.0 / np.square(np.asarray(prior.sigma, dtype=float))


@encode_means.register
def _(prior: ConjugateMeans, n_components: int, n_features: int) -> tuple[int, Array, Array]:
    return 1, np.asarray(prior.loc, dtype=float), np.asarray(prior.precision_scale, dtype=float)


@encode_means.register
def _(prior: FixedMeans, n_components: int, n_features: int) -> tuple[int, Array, Array]:
    return 2, np.zeros(n_features), np.zeros(n_features)


@singledispatch
def encode_covariances(structure: Any, n_features: int) -> CovarianceCode:
    """Code of a covariance structure with its prior."""
    raise _without(f"covariances={structure}")


@encode_covariances.register
def _(structure: Tied, n_features: int) -> CovarianceCode:
    inner = encode_covariances(structure.structure, n_features)
    return CovarianceCode(**{**vars(inner), "tied": True})


@encode_covariances.register
def _(structure: FixedCovariances, n_features: int) -> CovarianceCode:
    return CovarianceCode(structure=3)


@encode_covariances.register(Full)
@encode_covariances.register(Diagonal)
@encode_covariances.register(Spherical)
def _(structure: Full | Diagonal | Spherical, n_features: int) -> CovarianceCode:
    kind = {Full: 0, Diagonal: 1, Spherical: 2}[type(structure)]
    prior = structure.prior
    if isinstance(prior, InverseWishart):
        df, scale = prior.numbers()
        matrix = np.diag(np.broadcast_to(scale, (n_features,))) if structure.separate else scale
        return CovarianceCode(structure=kind, prior=0, shape=df, scale=matrix)
    if isinstance(prior, LKJ):
        scale_kind, numbers = encode_scale(prior.scale, n_features)
        return CovarianceCode(structure=kind, prior=1, shape=prior.eta, scale_kind=scale_kind, scale_numbers=numbers)
    raise _without(f"covariances={structure}")


@singledispatch
def encode_scale(prior: Any, n_features: int) -> tuple[int, Array]:
    """Code and numbers (2, d) of a prior on standard deviations."""
    raise _without(f"scale={prior}")


@encode_scale.register
def _(prior: HalfNormal, n_features: int) -> tuple[int, Array]:
    return 0, _rows(n_features, prior.sigma, 1.0)


@encode_scale.register
def _(prior: Exponential, n_features: int) -> tuple[int, Array]:
    return 1, _rows(n_features, prior.lam, 1.0)


@encode_scale.register
def _(prior: Gamma, n_features: int) -> tuple[int, Array]:
    return 2, _rows(n_features, prior.alpha, prior.beta)


@encode_scale.register
def _(prior: LogNormal, n_features: int) -> tuple[int, Array]:
    return 3, _rows(n_features, prior.mu, prior.sigma)


def _rows(n_features: int, first: Any, second: Any) -> Array:
    return np.stack([np.broadcast_to(np.asarray(value, dtype=float), (n_features,)) for value in (first, second)])


def _without(part: str) -> UnsupportedError:
    return UnsupportedError(
        part, "NUTS(sampler='native')", "Use sampler='pymc', for which the part needs only a form in PyMC."
    )
