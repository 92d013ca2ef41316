"""The posterior density as one compiled function on unconstrained coordinates, for NUTS.

Each kind of prior has a code in the kernel; `encode_weights`, `encode_means` and `encode_covariances` are registries
that turn a declaration into codes and numbers. A part that is not registered has no native form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._errors import UnsupportedError
from bayesgmm.engines._objective import Coordinates
from bayesgmm.engines._python_density import PythonDensity
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
    ScaledInverseChi,
    Spherical,
    StickBreaking,
    Tied,
)
from bayesgmm.model._spec import Spec
from bayesgmm.numerics.compiling import compile_elsewhere
from bayesgmm.numerics.linalg import diagonal_matrices
from bayesgmm.numerics.simplex import isometric_basis

if TYPE_CHECKING:
    from bayesgmm.numerics._posterior_table import Table


@dataclass(frozen=True, kw_only=True)
class CovarianceCode:
    """How the kernel is to read a structure and the prior in it.

    Attributes
    ----------
    structure : int
    tied : bool
    diagonal_powers : (d,) or (K, d) array
        Powers of diag L in the density of the coordinates, Jacobian included.
    variance_power : float
        Power of the variances there.
    scatter : (d, d) or (K, d, d) array, optional
        What the prior adds to the scatter of a component.
    scale_kind, scale_numbers : int, (2, d) array
        The prior on standard deviations.
    """

    structure: int
    tied: bool = False
    diagonal_powers: Array
    variance_power: float = 0.0
    scatter: Array | None = None
    scale_kind: int = 0
    scale_numbers: Array | None = None


class NativeDensity(PythonDensity):
    """`PythonDensity`, compiled.

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
        super().__init__(problem, mode)
        self._arrays = _arguments(problem, self.coordinates, self.to_local)
        exact = super().function()(np.zeros(self.size))[0]
        # The kernel leaves constants out.
        self.constant = exact - self.function()(np.zeros(self.size))[0]

    @staticmethod
    def compile_ahead() -> Callable[[], None]:
        """Begin to compile in another process what is not yet in the cache; the result waits for that."""
        return compile_elsewhere("bayesgmm.numerics._posterior_kernel", "collect")

    def function(self) -> Callable[[Array], tuple[float, Array]]:
        """Log density without `constant` and its gradient, as a function with a workspace of its own.

        Each thread needs its own function.
        """
        from bayesgmm.numerics._posterior_kernel import COLLECT, PLACE, WHOLE

        rows, table = self._problem.rows, self._table()
        if rows.complete is not None:
            return partial(table.evaluate, WHOLE)
        arrays = table.arrays

        def log_density(v: Array) -> tuple[float, Array]:
            with np.errstate(all="ignore"):  # where it overflows it is 0, as in Python
                table.evaluate(PLACE, v)
                try:
                    found = rows.statistics(arrays["log_weights"], arrays["means"], arrays["inverse"])
                except np.linalg.LinAlgError:
                    return -np.inf, np.zeros_like(v)
                arrays["counts"][:], arrays["first"][:], arrays["second"][:] = found.counts, found.first, found.second
                rest, gradient = table.evaluate(COLLECT, v)
            return found.log_normaliser + rest, gradient

        return log_density

    def for_threads(self) -> Table | None:
        """What a thread needs to evaluate the density without the interpreter, or None if rows are not all exact."""
        return None if self._problem.rows.complete is None else self._table()

    def _table(self) -> Table:
        from bayesgmm.numerics._posterior_table import Table

        rows = self._problem.rows.complete
        x = np.empty((self._problem.n_features, 0)) if rows is None else rows.x
        weights = np.empty(0) if rows is None or rows.weights is None else rows.weights
        n_free_weights = self._problem.model.weights.n_free(self._problem.K)
        return Table(n_free_weights, {**self._arrays, "x": x, "row_weights": weights})


def why_not_native(problem: Problem) -> str:
    """What of a problem has no code in the kernel, as it is written; nothing where all of it has."""
    if problem.n_groups is not None:
        return "groups"
    if problem.free_noise:
        return "unknown factor of errors"
    model = problem.model
    structure = model.covariances.structure if isinstance(model.covariances, Tied) else model.covariances
    prior = model.covariances.innermost
    parts = model.weights, model.means, model.covariances, structure, prior, getattr(prior, "scale", None)
    known = {InverseWishart, LKJ}.union(*(each.registry for each in _REGISTRIES))
    for part in parts:
        # A class that is derived from a known one may have a density of its own, which its code would not know.
        if isinstance(part, Spec) and type(part) not in known:
            return str(part)
    return ""


def _arguments(problem: Problem, coordinates: Coordinates, to_local: Array) -> dict[str, Array]:
    """What does not change from point to point in the arguments of the compiled functions, by their names."""
    model, at = problem.model, coordinates.reference
    K, d = problem.K, problem.n_features
    weights_kind, weight_powers = encode_weights(model.weights, K)
    means_kind, loc, precision = encode_means(model.means, K, d)
    code = encode_covariances(model.covariances, d)
    basis = isometric_basis(K) if model.weights.n_free(K) else np.zeros((K, 0))
    mean_scale = coordinates.mean_scale.reshape(K, 1, d) if model.means.free else np.ones((K, 1, d))
    arrays = {
        "codes": np.array([weights_kind, means_kind, code.structure, code.tied, code.scale_kind]),
        "to_local": to_local,
        "log_weights_0": at.log_weights,
        "weight_map": basis @ coordinates.weight_map,
        "means_0": at.means,
        "mean_map": coordinates.wide * mean_scale,
        "choleskys_0": at.choleskys,
        "scales": coordinates.covariance_scale,
        "weight_powers": weight_powers,
        "mean_loc": np.broadcast_to(loc, (K, d)),
        "mean_precision": np.broadcast_to(precision, (K, d)),
        "diagonal_powers": np.broadcast_to(code.diagonal_powers, (K, d)),
        "variance_power": np.array([code.variance_power]),
        "prior_scale": np.zeros((K, d, d)) if code.scatter is None else np.broadcast_to(code.scatter, (K, d, d)),
        "scale_numbers": np.ones((2, d)) if code.scale_numbers is None else code.scale_numbers,
    }
    return {name: np.array(values, dtype=float, order="C") for name, values in arrays.items()}


@singledispatch
def encode_weights(prior: Any, n_components: int) -> tuple[int, Array]:
    """Code and numbers of a weights prior."""
    raise _without(f"weights={prior}")


@encode_weights.register
def _(prior: Dirichlet, n_components: int) -> tuple[int, Array]:
    return 0, np.broadcast_to(np.asarray(prior.concentration, dtype=float), (n_components,))


@encode_weights.register
def _(prior: StickBreaking, n_components: int) -> tuple[int, Array]:
    return 1, np.append(np.ones(n_components - 1), prior.concentration)


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
    return CovarianceCode(structure=3, diagonal_powers=np.zeros(n_features))


@encode_covariances.register(Full)
@encode_covariances.register(Diagonal)
@encode_covariances.register(Spherical)
def _(structure: Full | Diagonal | Spherical, n_features: int) -> CovarianceCode:
    kind = {Full: 0, Diagonal: 1, Spherical: 2}[type(structure)]
    prior, d = structure.prior, n_features
    # |dSigma / d coordinates| is a constant times prod L_jj^(d + 1 - j), or the variance where they are separate.
    jacobian: Array = np.full(d, 2.0) if structure.separate else np.arange(d + 1.0, 1.0, -1.0)
    if isinstance(prior, InverseWishart):
        df, scale = prior.numbers()
        scale = diagonal_matrices(scale) if scale.ndim == 1 else scale
        n_prior = scale.shape[-1]
        scatter = np.zeros((*scale.shape[:-2], d, d))
        scatter[..., :n_prior, :n_prior] = scale
        power = np.asarray(df)[..., None] + (2.0 if structure.separate else d + 1.0)
        return CovarianceCode(structure=kind, diagonal_powers=jacobian - power, scatter=scatter)
    if isinstance(prior, LKJ):
        scale_kind, numbers = encode_scale(prior.scale, d)
        # The density is that of sds, |dSigma / ds| prop. to the sds, and of the correlations, |R| = |Sigma| / prod s^2.
        correlated = 0.0 if structure.separate else prior.eta - 1.0
        return CovarianceCode(
            structure=kind,
            diagonal_powers=jacobian + 2.0 * correlated - (1.0 if structure.separate else 0.0),
            variance_power=0.0 if structure.separate else -correlated - 0.5 * d,
            scale_kind=scale_kind,
            scale_numbers=numbers,
        )
    raise _without(f"covariances={structure}")


@singledispatch
def encode_scale(prior: Any, n_features: int) -> tuple[int, Array]:
    """Code and numbers (2, d) of a prior on standard deviations."""
    raise _without(f"scale={prior}")


@encode_scale.register
def _(prior: HalfNormal, n_features: int) -> tuple[int, Array]:
    return 1, _rows(n_features, prior.sigma, 1.0)


@encode_scale.register
def _(prior: Exponential, n_features: int) -> tuple[int, Array]:
    return 2, _rows(n_features, prior.lam, 1.0)


@encode_scale.register
def _(prior: Gamma, n_features: int) -> tuple[int, Array]:
    return 3, _rows(n_features, prior.alpha, prior.beta)


@encode_scale.register
def _(prior: LogNormal, n_features: int) -> tuple[int, Array]:
    return 4, _rows(n_features, prior.mu, prior.sigma)


@encode_scale.register
def _(prior: ScaledInverseChi, n_features: int) -> tuple[int, Array]:
    return 5, _rows(n_features, prior.df, prior.scale)


_REGISTRIES = encode_weights, encode_means, encode_covariances, encode_scale


def _rows(n_features: int, first: Any, second: Any) -> Array:
    return np.stack([np.broadcast_to(np.asarray(value, dtype=float), (n_features,)) for value in (first, second)])


def _without(part: str) -> UnsupportedError:
    return UnsupportedError(part, "the compiled density", "Sample the density in Python.")
