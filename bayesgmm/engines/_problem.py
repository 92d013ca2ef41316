"""From a declaration and data to what the engines work on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm._words import counted
from bayesgmm.data import Data, describe_columns, rows_in_units
from bayesgmm.engines._within import within_covariance
from bayesgmm.engines.base import Array, Noise, Problem, Units
from bayesgmm.model import (
    Covariances,
    FilledMixture,
    GaussianMixture,
    HierarchicalInverseWishart,
    InverseWishart,
    NormalMeans,
    NumberPrior,
    Spherical,
    Tied,
    WarpedMeans,
)
from bayesgmm.model._spec import Spec, show
from bayesgmm.numerics.linalg import inverse_lower, outer, symmetrised
from bayesgmm.numerics.rows import Rows, make_rows
from bayesgmm.numerics.threads import n_processors

# Smallest eigenvalue of the correlation matrix at which columns still count as linearly independent.
_COLLINEAR = 1e-12
# EM for the moments of one Gaussian with missing entries, which only scale the defaults and the starts.
_MOST_STEPS = 500
_STEADY = 1e-10
# Variances of priors, in units of the data, whose fourth powers are still numbers.
_FAR = 1e60
# Behind errors of measurement a rough scale will do, and EM may creep.
_FEW_STEPS = 50
_ROUGHLY = 1e-3


def build_problem(
    model: GaussianMixture,
    data: Data,
    *,
    n_threads: int | None = None,
    who: str = "This",
    by_gibbs: bool = False,
    for_evidence: bool = False,
) -> Problem:
    """Standardise data, fill the model's left-out parts from them and bring both to the same units.

    `for_evidence` fills them with one prior for all numbers of components (`GaussianMixture.filled`).

    Raises
    ------
    InputError
        If there are fewer rows than components, or the data cannot supply the scale that the model needs.
    UnsupportedError
        If only `Gibbs` can sample the model, unless it is for it (`by_gibbs`); `who` wants it is named.
    """
    if not by_gibbs:
        model.refuse(who)
    _check_groups(data)
    model = model.aligned(data.feature_names)
    source, data = data, data.taking_part()
    known = _known_components(model, data)
    number = model.n_components if isinstance(model.n_components, NumberPrior) else None
    values, names, counts, d = data.values, data.feature_names, data.counts, data.n_features
    n = int((~np.isnan(values)).any(axis=1).sum())
    if n == 0:
        raise InputError(
            "data",
            f"nothing was observed: all entries of {counted(len(values), 'row')} are missing",
            "Give rows in which something was measured",
        )
    # Components of one warped population are not estimated one by one.
    if number is None and n < model.typical_number and not isinstance(model.means, WarpedMeans):
        raise InputError(
            "n_components",
            f"got {model.n_components} for {counted(n, 'row')} of data",
            f"Give at most {n}, or more data",
        )
    empty = [name for name, column in zip(names, values.T, strict=True) if np.isnan(column).all()]
    if empty:
        raise InputError(
            "data", f"nothing was observed in {describe_columns(empty)}: all entries are NaN", "Drop such columns"
        )
    if counts is not None and not counts.all():  # bins that nothing fell into
        values, counts = values[counts > 0], counts[counts > 0]
    weights = np.ones(len(values)) if counts is None else counts
    typical = rows_in_units(data, np.zeros(d), np.ones(d)).typical_noise()
    blur = np.zeros(d) if typical is None else np.sqrt(np.diag(typical))
    # A few components of huge columns must not overflow when squared, so spread is measured after division.
    center = _weighted_mean(values, weights)
    width = np.nanmax(np.abs(values - center), axis=0)
    safe = np.where(width > 0, width, 1.0)
    spread = safe * np.sqrt(_weighted_mean(np.square((values - center) / safe), weights))
    constant = (np.nanmin(values, axis=0) == np.nanmax(values, axis=0)) & (blur == 0)
    scale = np.where(constant, 1.0, np.hypot(spread, blur))

    z = (values - center) / scale
    z[np.broadcast_to(constant, z.shape) & ~np.isnan(z)] = 0.0
    if typical is None or data.bins is not None:
        shift, correlation = _one_gaussian(z, counts)
    else:
        shift, correlation = _by_em(rows_in_units(data, center, scale), _FEW_STEPS, _ROUGHLY)
    # Products of matrices are symmetric up to rounding, and priors that are filled from them are checked.
    correlation = symmetrised(correlation)
    if typical is not None:
        correlation = correlation + typical / np.outer(scale, scale)
    _check_scale(model, names, correlation, constant, n)
    center = center + scale * shift
    data_covariance = correlation * np.outer(scale, scale)
    if typical is not None:
        scale = np.sqrt(np.where(constant, 1.0, np.diag(data_covariance)))

    covariances = model.covariances
    if covariances is not None and covariances.common_scale():  # type: ignore[union-attr]
        scale = np.full(d, np.sqrt(np.mean(np.where(constant, 0.0, np.square(spread if typical is None else scale)))))
        scale[scale == 0] = 1.0
    _check_origin(model, names, center)
    n_groups = None if data.groups is None else len(data.group_labels)
    declared = model.filled(center, data_covariance, n_groups, keep_sparse=by_gibbs, for_evidence=for_evidence)
    declared = declared._replace(known=known)
    units = Units(center=center, scale=scale)
    in_units = data_covariance / np.outer(scale, scale)
    yardstick = _yardstick(in_units)
    rows = rows_in_units(data, center, scale)
    noise = None
    if typical is not None:
        noise = Noise(typical=typical / np.outer(scale, scale), units=rows.units(), prior=data.noise_scale)
    complete = rows.complete
    with np.errstate(over="ignore", under="ignore"):  # what leaves double precision is refused by name
        in_standard_units = declared.rescaled(center, scale)
    _check_units(declared, in_standard_units)
    problem = Problem(
        rows=rows,
        x=rows.filled(np.zeros(d), outer(yardstick)) if complete is None else complete.x,
        model=in_standard_units,
        declared=declared,
        units=units,
        data_cholesky=yardstick,
        n_threads=n_threads or n_processors(),
        noise=noise,
        number=number,
        source=source,
    )
    if for_evidence or number is not None or model.empties or not _needs_scale(model):
        return problem
    within = within_covariance(problem) * np.outer(scale, scale)
    declared = model.filled(center, data_covariance, n_groups, within=within, keep_sparse=by_gibbs)
    declared = declared._replace(known=known)
    return replace(problem, model=declared.rescaled(center, scale), declared=declared)


def _check_groups(data: Data) -> None:
    """Raise if all rows of a group count 0: nothing is known of its weights."""
    if data.groups is None or data.counts is None:
        return
    missing = np.setdiff1d(data.groups, data.groups[data.counts > 0])
    if missing.size:
        hint = "Drop the rows of such groups, or give them counts"
        raise InputError("groups", f"all rows of group {missing[0].item()!r} count 0", hint)


def _known_components(model: GaussianMixture, data: Data) -> tuple[int, ...]:
    """Components that some rows are known to come from."""
    if data.known_labels is None:
        return ()
    if isinstance(model.n_components, NumberPrior):
        raise UnsupportedError("as_data(known_labels=...)", f"n_components={model.n_components}", "Give a number.")
    known = np.unique(data.known_labels[data.known_labels >= 0])
    if known.max() >= model.n_components:
        raise InputError(
            "known_labels",
            f"has component {known.max()}, and the model has {model.n_components}",
            f"Components are numbered 0 to {model.n_components - 1}",
        )
    return tuple(known.tolist())


def _needs_scale(model: GaussianMixture) -> bool:
    """Whether the priors of a known number of components want to know how wide one of them is."""
    covariances = model.covariances
    prior = InverseWishart() if covariances is None else covariances.innermost  # type: ignore[union-attr]
    return getattr(prior, "scale", 0) is None or getattr(prior, "scale_mean", 0) is None


def _check_units(declared: FilledMixture, standard: FilledMixture) -> None:
    """Raise for numbers so far from the scale of the data that their powers would leave double precision."""
    own, inner = declared.covariances.innermost, standard.covariances.innermost
    own_scale, scale = getattr(own, "scale", None), getattr(inner, "scale", None)
    if isinstance(scale, Spec):
        with np.errstate(over="ignore"):
            scale = np.square(scale.typical())  # type: ignore[attr-defined]
    sigma = getattr(standard.means, "sigma", None)
    values = getattr(standard.covariances, "values", None)
    # Of each part that holds numbers with units: variances in units of the data, or matrices of them.
    found: list[tuple[object, Any]] = [
        (declared.means, None if sigma is None else np.square(np.clip(sigma, 1.0 / _FAR, _FAR))),
        (own_scale if isinstance(own_scale, Spec) else own, scale),
        (declared.covariances, values),
    ]
    for part, numbers in found:
        if numbers is None:
            continue
        array = np.abs(np.asarray(numbers, dtype=float))
        sizes = np.diagonal(array, axis1=-2, axis2=-1) if array.ndim > 1 and part is not declared.means else array
        far = (sizes < 1.0 / _FAR) | (sizes > _FAR)
        if far.any():
            times = np.sqrt(sizes[far].flat[0])
            raise InputError(
                type(part).__name__, f"{part} is about {times:.0e} times as wide as the data", "Give it in their units"
            )
    own, inner = (getattr(part, "baseline", getattr(part, "prior", part)) for part in (declared.means, standard.means))
    for name in ("mu", "loc", "values"):
        away = float(np.abs(np.asarray(getattr(inner, name, 0.0), dtype=float)).max())
        if not away <= np.sqrt(_FAR):
            raise InputError(
                f"{type(own).__name__}.{name}",
                f"{show(getattr(own, name))} is about {away:.0e} standard deviations from the data",
                "Give it in their units",
            )


def _check_origin(model: GaussianMixture, names: tuple[str, ...], center: Array) -> None:
    """Means above an origin cannot be those of data that lie below it."""
    if not isinstance(model.covariances, Covariances):
        return
    below = center <= model.covariances.floor(center.size)
    if below.any():
        floor = model.covariances.floor(center.size)[below][0]
        raise InputError(
            "data",
            f"the mean of {names[int(below.argmax())]!r} is {center[below][0]:.6g}, not above the origin {floor:g} of "
            f"{type(model.covariances).__name__}",
            "Change the sign of the data, or give the origin that standard deviations are proportional to the distance "
            "from",
        )


def _weighted_mean(values: Array, weights: Array) -> Array:
    """Means of the columns over what is observed in them."""
    there = ~np.isnan(values)
    total = (weights[:, None] * there).sum(axis=0)
    return (weights[:, None] * np.where(there, values, 0.0)).sum(axis=0) / total


def _one_gaussian(z: Array, counts: Array | None) -> tuple[Array, Array]:
    """Maximum-likelihood mean and covariance (divided by n) of one Gaussian.

    Closed form for whole rows; otherwise by EM (Little & Rubin 2002), because covariances of available pairs need not
    be positive definite.
    """
    n, d = z.shape
    if not np.isnan(z).any():
        weights = np.ones(n) if counts is None else counts
        return np.zeros(d), (z * weights[:, None]).T @ z / weights.sum()
    return _by_em(make_rows(z, counts), _MOST_STEPS, _STEADY)


def _by_em(rows: Rows, most_steps: int, steady: float) -> tuple[Array, Array]:
    """Mean and covariance of the true values by EM for one Gaussian."""
    d, total = rows.n_features, rows.units()
    mean, covariance = np.zeros(d), np.eye(d)
    for _ in range(most_steps):
        try:
            factor = inverse_lower(np.linalg.cholesky(covariance))
            found = rows.statistics(np.zeros(1), mean[None], factor[None])
        except np.linalg.LinAlgError:
            break
        step = found.first[0] / total
        before, covariance = covariance, found.second[0] / total - np.outer(step, step)
        mean = mean + step
        if max(np.abs(step).max(), np.abs(covariance - before).max()) < steady * np.abs(covariance).max():
            break
    return mean, covariance


def _yardstick(covariance: Array) -> Array:
    """Cholesky factor of a covariance whose vanishing eigenvalues, if it has some, are lifted just off 0.

    A singular data covariance is no error where the priors need none of it; the search still wants a shape to whiten
    by. A covariance that is not singular is left as it is, so that nothing depends on the choice of axes.
    """
    eigenvalues, vectors = np.linalg.eigh(covariance)
    floor = 1e-10 * eigenvalues[-1] if eigenvalues[-1] > 0 else 1.0
    if eigenvalues[0] < floor:
        covariance = (vectors * np.maximum(eigenvalues, floor)) @ vectors.T
    return np.linalg.cholesky(covariance)


def _check_scale(
    model: GaussianMixture, names: tuple[str, ...], correlation: Array, constant: Array, n_rows: int
) -> None:
    covariances = model.covariances
    structure = covariances.structure if isinstance(covariances, Tied) else covariances
    prior = covariances.innermost if covariances is not None else InverseWishart()  # type: ignore[union-attr]
    fills_covariance = prior is not None and getattr(prior, "scale", 0) is None
    unbounded = covariances is not None and not covariances.bounded()  # type: ignore[union-attr]
    if isinstance(prior, HierarchicalInverseWishart):
        fills_covariance, unbounded = prior.scale_mean is None, False
    independent = NormalMeans() if model.means is None and not isinstance(prior, InverseWishart) else model.means
    fills_means = isinstance(independent, NormalMeans) and independent.sigma is None
    if not (fills_covariance or unbounded or fills_means):
        return
    everything = isinstance(structure, Spherical)
    if constant.all() if everything else constant.any():
        alike = describe_columns([name for name, flag in zip(names, constant, strict=True) if flag])
        verb = "are" if constant.sum() > 1 else "is"
        what = "there is only one row" if n_rows == 1 else f"{alike} {verb} constant"
        raise InputError(
            "data",
            f"{what}, so the data give no scale for the covariances",
            "Drop constant columns, give more rows, or give every prior explicitly, with InverseWishart covariances",
        )
    correlated = structure is None or not getattr(structure, "separate", True)
    if not correlated or not (fills_covariance or unbounded):
        return
    eigenvalues, vectors = np.linalg.eigh(correlation)
    if eigenvalues[0] < _COLLINEAR * len(names):
        if n_rows <= len(names):
            what = f"{n_rows} rows cannot give a covariance of {len(names)} columns"
        else:
            involved = np.abs(vectors[:, 0]) > 1e-3
            dependent = describe_columns([name for name, flag in zip(names, involved, strict=True) if flag])
            what = f"{dependent} are linearly dependent, so their covariance is singular"
        raise InputError(
            "data",
            what,
            "Drop one of the columns, use Diagonal or Spherical covariances, or give InverseWishart(df, scale)",
        )
