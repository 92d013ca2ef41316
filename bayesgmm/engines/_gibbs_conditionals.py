"""A declaration as the compiled Gibbs sweep reads it: which conditionals, and their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesgmm._errors import UnsupportedError
from bayesgmm.engines.base import Array
from bayesgmm.model import (
    ConjugateMeans,
    Diagonal,
    Dirichlet,
    FDistribution,
    FilledMixture,
    FixedCovariances,
    FixedMeans,
    FixedWeights,
    Full,
    Gamma,
    HierarchicalInverseWishart,
    InverseWishart,
    NormalMeans,
    NumberPrior,
    SparseDirichlet,
    Spherical,
    StickBreaking,
    Tied,
)

_INSTEAD = "Its conditional given the labels is not of a known form. Use NUTS, or "


@dataclass(frozen=True, kw_only=True)
class Conditionals:
    """Arguments of `run_sweeps` that stay the same, for at most M components; see there."""

    kinds: Any
    log_prior: Array
    concentration: Array
    concentration_prior: Array
    loc: Array
    sd: Array
    kappa: float
    df: float
    scale_df: float
    scale_inverse: Array
    # Where the total concentration and the scale matrix begin, or what they are.
    total: float
    scale: Array
    separate: str = field(default="")

    @property
    def most(self) -> int:
        """M."""
        return self.concentration.size

    @property
    def splits(self) -> bool:
        """Whether sweeps try to split or merge components."""
        from bayesgmm.numerics._gibbs_updates import TRIES

        return bool(self.kinds[TRIES])

    def arguments(self) -> tuple[Any, ...]:
        """In the order of `run_sweeps`."""
        names = "kinds log_prior concentration concentration_prior loc sd kappa df scale_df scale_inverse"
        return tuple(getattr(self, name) for name in names.split())

    def scale_matrices(self, scales: Array) -> Array:
        """Scale matrices (S, d, d), from what the kernel keeps of them."""
        if self.separate == "spherical":
            return scales[:, :1, :1] * np.eye(scales.shape[-1])
        return scales * np.eye(scales.shape[-1]) if self.separate else scales


def conditionals(
    model: FilledMixture, n_features: int, number: NumberPrior | None, most: int, tries: int = 0
) -> Conditionals:
    """Translate a model in standard units for at most so many components, and `tries` of a sweep to split or merge.

    Raises
    ------
    UnsupportedError
        If a part has no conditional that can be drawn from directly.
    """
    from bayesgmm.numerics import _gibbs_updates as code

    M, d = most if number is not None else model.n_components, n_features
    kinds = np.zeros(code.N_KINDS, dtype=np.int64)
    found: dict[str, Any] = {
        "concentration": np.ones(M),
        "concentration_prior": np.ones(2),
        "loc": np.zeros((M, d)),
        "sd": np.ones((M, d)),
        "kappa": 1.0,
        "df": float(d + 2),
        "scale_df": 1.0,
        "scale_inverse": np.eye(d),
        "total": 1.0,
        "scale": np.eye(d),
    }
    kinds[code.RANDOM_NUMBER] = number is not None
    with np.errstate(divide="ignore"):
        log_prior = np.full(M + 1, -np.inf) if number is None else number.log_probability(np.arange(M + 1))
    _weights(model, M, kinds, found, code)
    _means(model, kinds, found, code)
    _covariances(model, d, kinds, found, code)
    if number is None:
        log_prior[M] = 0.0
    # Merges and splits need components that may be empty and are alike a priori.
    several = number is not None or kinds[code.WEIGHTS] == code.SHARED_OUT
    if several and M > 1 and kinds[code.MEANS] != code.KNOWN_MEANS:
        kinds[code.TRIES] = tries
    return Conditionals(kinds=kinds, log_prior=log_prior, **found)


def _weights(model: FilledMixture, M: int, kinds: Any, found: dict[str, Any], code: Any) -> None:
    weights = model.weights
    if weights.n_groups is not None:
        raise UnsupportedError("Gibbs", "as_data(groups=...), weights that differ between groups", "Use NUTS or VB.")
    match weights:
        case Dirichlet():
            kinds[code.WEIGHTS] = code.DIRICHLET
            a = np.ravel(weights.concentration)
            found["concentration"] = np.full(M, a[0]) if model.n_components != M else np.array(np.broadcast_to(a, M))
        case SparseDirichlet():
            kinds[code.WEIGHTS] = code.SHARED_OUT
            found["total"] = weights.typical()
            prior = weights.concentration
            if isinstance(prior, Gamma):
                kinds[code.CONCENTRATION] = code.GAMMA
                found["concentration_prior"] = np.array([prior.alpha, prior.beta], dtype=float)
            elif isinstance(prior, FDistribution):
                kinds[code.CONCENTRATION] = code.F_RATIO
                found["concentration_prior"] = np.array([prior.d1, prior.d2])
        case StickBreaking():
            kinds[code.WEIGHTS] = code.STICKS
            found["concentration"] = np.full(M, weights.concentration)
        case FixedWeights():
            kinds[code.WEIGHTS] = code.KNOWN_WEIGHTS
        case _:
            raise UnsupportedError("Gibbs", f"weights={weights}", f"{_INSTEAD}Dirichlet weights.")


def _means(model: FilledMixture, kinds: Any, found: dict[str, Any], code: Any) -> None:
    means, shape = model.means, found["loc"].shape

    def every(value: Any) -> Array:
        value = np.asarray(value, dtype=float)
        value = value[:1] if value.ndim == 2 and len(value) != shape[0] else value
        return np.array(np.broadcast_to(value, shape), order="C")

    match means:
        case ConjugateMeans():
            kinds[code.MEANS] = code.CONJUGATE
            found["loc"], found["kappa"] = every(means.loc), float(means.precision_scale)
        case NormalMeans():
            kinds[code.MEANS] = code.INDEPENDENT
            found["loc"], found["sd"] = every(means.mu), every(means.sigma)
        case FixedMeans():
            kinds[code.MEANS] = code.KNOWN_MEANS
        case _:
            raise UnsupportedError("Gibbs", f"means={means}", f"{_INSTEAD}NormalMeans or ConjugateMeans.")


def _covariances(model: FilledMixture, d: int, kinds: Any, found: dict[str, Any], code: Any) -> None:
    covariances = model.covariances
    structure = covariances.structure if isinstance(covariances, Tied) else covariances
    if isinstance(covariances, FixedCovariances):
        kinds[code.COVARIANCES] = code.KNOWN_COVARIANCES
        return
    kind = {Full: code.FULL, Diagonal: code.DIAGONAL, Spherical: code.SPHERICAL}.get(type(structure))
    prior = covariances.innermost
    if kind is None or not isinstance(prior, (InverseWishart, HierarchicalInverseWishart)):
        raise UnsupportedError("Gibbs", f"covariances={covariances}", f"{_INSTEAD}InverseWishart covariances.")
    kinds[code.COVARIANCES], kinds[code.TIED] = kind, isinstance(covariances, Tied)
    found["separate"] = {code.DIAGONAL: "diagonal", code.SPHERICAL: "spherical"}.get(kind, "")

    def matrix(value: Array) -> Array:
        if kind == code.FULL:
            return np.array(value)
        return np.eye(d) * value[0] if kind == code.SPHERICAL else np.diag(value)

    if prior.n_components is not None:
        one = "Its sweeps know one df and one scale. Use NUTS or VB, or one of each."
        raise UnsupportedError("Gibbs", f"{prior}, with numbers for each component", one)
    if isinstance(prior, InverseWishart):
        found["df"], scale = prior.numbers()
    else:
        kinds[code.RANDOM_SCALE] = 1
        found["df"], found["scale_df"], scale = prior.numbers()
        found["scale_inverse"] = found["scale_df"] * np.linalg.inv(matrix(scale))
    found["scale"] = matrix(scale)
