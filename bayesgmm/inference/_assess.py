"""What is computed for one number of components: the optimum, and every criterion at or round it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import FitError, UnsupportedError
from bayesgmm._status import Status
from bayesgmm.data import Data
from bayesgmm.engines._importance import WORST_PARETO_K, Importance, pareto_smoothed, smoothed, with_floor
from bayesgmm.engines._moves import splits
from bayesgmm.engines._nested import Nest, search_nested
from bayesgmm.engines._normal import log_priors
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._optima import Search, distinct
from bayesgmm.engines._polish import climbed
from bayesgmm.engines._posterior_modes import modes_of
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._search import Start
from bayesgmm.engines.base import Array, Order, Parameters, Problem, StartReport
from bayesgmm.engines.nuts import NUTS
from bayesgmm.engines.vb import VB
from bayesgmm.inference._guards import Limits, pointwise
from bayesgmm.inference.evidence import bridged, laplace_rows
from bayesgmm.model import GaussianMixture
from bayesgmm.model._interfaces import Means
from bayesgmm.numerics.linalg import inverse_lower

# Below so many units a search costs little; beyond, optima are fewer and every pass is longer.
_THOROUGH_UP_TO = 2_000
_QUICK = {"n_init": 8, "n_polish": 2, "approached": 2, "rounds": 1}
# From an optimum of the one density to that of the other. Components need no rows of their own for that.
_CLIMB = {"max_steps": 400, "tolerance": 1e-4, "floor": 1e-12, "supported": False}
# How many draws leave-one-out needs, and how many numbers are held for it at once.
_DRAWS_FOR_LOO = 1000
_NUMBERS_AT_ONCE = 20_000_000
# Draws with weights so far below their mean are none of the posterior.
_COUNTS_FOR_LITTLE = 5.0  # nats
# Further optima of the posterior that get proposals of their own, and starts of the search for those of the density
# that importance sampling sees.
_FURTHER, _STARTS = 3, 12


@dataclass(frozen=True, kw_only=True)
class Job:
    """One declaration with its optima, best first and in the data's units, and what is to be computed.

    Where there are none, `note` says why.
    """

    model: GaussianMixture
    data: Data
    optima: list[Parameters]
    status: str
    note: str
    criteria: frozenset[str]
    mean_scales: tuple[float, ...]
    engine: NUTS | None
    draws: int
    seed: np.random.SeedSequence


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Leave-one-out by unit of the data: expected log predictive densities, how often each unit is there, and errors.

    Attributes
    ----------
    elpd, units : (n,) arrays
    cautious : (n,) array
        The same, but where Pareto k says that smoothing cannot be relied on, the lowest density at any draw: what
        smoothing misses makes a unit look better predicted than it is.
    monte_carlo_error : float
        Of the sum, because draws are finite.
    """

    elpd: Array
    units: Array
    cautious: Array
    monte_carlo_error: float


@dataclass(frozen=True, kw_only=True)
class Assessed:
    """Numbers by name, and those that depend on the width of the prior of the means.

    Attributes
    ----------
    log_evidence, log_evidence_error, reliable : (scales,) arrays
    limits : tuple of Limits
        Of the change of the evidence with the width.
    why : tuple of str
        What is wrong with an evidence that is not reliable.
    left_out : LeftOut, optional
    """

    numbers: dict[str, float] = field(default_factory=dict)
    log_evidence: Array = field(default_factory=lambda: np.empty(0))
    log_evidence_error: Array = field(default_factory=lambda: np.empty(0))
    reliable: Array = field(default_factory=lambda: np.empty(0, dtype=bool))
    limits: tuple[Limits, ...] = ()
    why: tuple[str, ...] = ()
    left_out: LeftOut | None = None
    status: str = ""
    notes: tuple[str, ...] = ()


def optima(
    problem: Problem,
    smaller: Parameters | None,
    rng: np.random.Generator,
    progress: Progress,
    nest: Nest | None = None,
) -> list[StartReport]:
    """Optima of the density without Jacobian in standard units, best first: fresh ones and splits of a smaller one.

    `smaller` has one component less and is in the data's units; `nest` knows the optima of simpler models.

    Raises
    ------
    FitError
        If no start reached a proper optimum, under maximum likelihood one above those of simpler models.
    """
    effort = {} if problem.rows.units() <= _THOROUGH_UP_TO else _QUICK
    unconstrained = not problem.model.weights.bounded()
    search = Search(unconstrained=unconstrained, further=True, **effort)  # type: ignore[arg-type]
    given = []
    if smaller is not None and problem.model.means.free and not problem.model.means.ordered:
        given = [] if problem.model.covariances.linked else splits(problem.units.to_standard(smaller))
    found = search_nested(problem, search, rng, progress, nest, given)
    return distinct(found.reports, 1 + _FURTHER)


def assess(job: Job) -> Assessed:
    """Compute every criterion. A worker calls this by its name."""
    quiet = Progress(False)
    problem = build_problem(job.model, job.data, n_threads=1, for_evidence=True)
    rng = np.random.default_rng(job.seed)
    at = problem.units.to_standard(job.optima[0])
    numbers = _at_the_optimum(problem, at)
    out = Assessed(numbers=numbers, status=job.status)
    if not problem.declared.proper:
        return out
    notes: list[str] = []
    if "elbo" in job.criteria:
        try:
            starts = [problem.units.to_standard(each) for each in job.optima]
            numbers["elbo"], status = VB().follow(problem, starts, quiet)
            if status is not Status.CONVERGED:
                notes.append(f"elbo: {status.value}")
        except UnsupportedError as error:
            notes.append(f"elbo: {error}")
    if not job.criteria & {"evidence", "loo"}:
        return replace(out, notes=tuple(notes))
    if job.engine is not None:
        return _by_chains(problem, job, out, notes, rng)
    return _by_importance(problem, job, out, notes, rng)


def _at_the_optimum(problem: Problem, at: Parameters) -> dict[str, float]:
    """Likelihood and information criteria, which need nothing but the optimum."""
    statistics = problem.statistics(at)
    log_likelihood = statistics.log_normaliser - problem.log_volume
    r = problem.responsibilities(Parameters.stacked([at]))[0]
    units, p, n = problem.rows.units_by_row(), problem.n_parameters, problem.rows.units()
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -float(np.where(r > 0, r * np.log(r), 0.0).sum(axis=0) @ units)
    certain = float(np.log(r.max(axis=0)) @ units)
    bic = -2.0 * log_likelihood + p * np.log(n)
    return {
        "log_likelihood": log_likelihood,
        "n_parameters": float(p),
        "bic": bic,
        "aic": -2.0 * log_likelihood + 2.0 * p,
        "icl": bic - 2.0 * certain,
        "entropy": entropy + 0.0,  # never -0
        "smallest_component": float(statistics.counts.min()),
    }


def _by_importance(problem: Problem, job: Job, out: Assessed, notes: list[str], rng: np.random.Generator) -> Assessed:
    """Evidence and leave-one-out from draws round the modes of the unconstrained density."""
    quiet = Progress(False)
    objective = Objective(problem, unconstrained=True)
    starts = [Start.given(problem.units.to_standard(each)) for each in job.optima]
    reports = [climbed(objective, start, em_steps=0, **_CLIMB) for start in starts]  # type: ignore[arg-type]
    effort = {"n_init": _STARTS} if problem.rows.units() <= _THOROUGH_UP_TO else _QUICK
    with suppress(FitError):
        search = Search(unconstrained=True, supported=False, **effort)  # type: ignore[arg-type]
        reports += search.run(problem, rng, quiet).reports
    ends = modes_of(problem, reports, 1 + _FURTHER)
    if not ends:
        return replace(out, notes=(*notes, "evidence: the posterior has no mode that was found"))
    try:
        rows, found = laplace_rows(problem, ends, job.draws, rng, quiet)
    except FitError as error:
        return replace(out, notes=(*notes, f"evidence: {error}"))
    out = replace(out, numbers={**out.numbers, "laplace": rows[0].value})
    assert found is not None
    importance = found.importance
    numbers = {**out.numbers, "pareto_k": importance.pareto_k}
    left_out = None
    if "loo" in job.criteria:
        kept = _spread(len(found.points.means))
        loo, left_out = _loo(problem, found.points.taken(kept), importance.raw[kept])
        numbers |= loo
    out = replace(out, numbers=numbers, notes=tuple(notes), left_out=left_out)
    if "evidence" not in job.criteria:
        return out
    at_scales = _at_scales(problem, job.mean_scales, found.points, importance)
    why = at_scales.why if rows[1].reliable else tuple(each or rows[1].note for each in at_scales.why)
    return replace(
        out,
        log_evidence=at_scales.values - problem.log_volume,
        log_evidence_error=at_scales.errors,
        reliable=at_scales.reliable & rows[1].reliable,
        limits=at_scales.limits,
        why=why,
    )


def _by_chains(problem: Problem, job: Job, out: Assessed, notes: list[str], rng: np.random.Generator) -> Assessed:
    """The same from draws of NUTS."""
    assert job.engine is not None
    try:
        row, points = bridged(problem, job.engine.run(problem, rng, Progress(False)), rng, Progress(False))
    except FitError as error:
        return replace(out, notes=(*notes, f"evidence: {error}"))
    numbers, left_out = dict(out.numbers), None
    if "loo" in job.criteria:
        kept = _spread(len(points.means))
        loo, left_out = _loo(problem, points.taken(kept), np.zeros(kept.size))
        numbers |= loo
    out = replace(out, numbers=numbers, notes=tuple(notes), left_out=left_out)
    if "evidence" not in job.criteria:
        return out
    # Draws of the posterior are weighted by what another prior changes.
    equal = smoothed(np.full(len(points.means), row.value))
    at_scales = _at_scales(problem, job.mean_scales, points, equal)
    return replace(
        out,
        log_evidence=at_scales.values,
        log_evidence_error=np.hypot(at_scales.errors, row.error),
        reliable=at_scales.reliable & row.reliable & np.isfinite(row.error),
        limits=at_scales.limits,
        why=at_scales.why if row.reliable else tuple(each or row.note for each in at_scales.why),
    )


def _spread(n: int) -> Order:
    """Places of as many of n draws as leave-one-out needs, from all parts: draws of a blend come part by part."""
    return np.linspace(0, n - 1, min(n, _DRAWS_FOR_LOO)).astype(np.intp)


@dataclass(frozen=True, kw_only=True)
class _AtScales:
    values: Array
    errors: Array
    reliable: NDArray[np.bool_]
    limits: tuple[Limits, ...]
    why: tuple[str, ...]


def _at_scales(problem: Problem, scales: tuple[float, ...], points: Parameters, at_one: Importance) -> _AtScales:
    """Log evidence, its error and whether weights may be trusted, with the prior of the means so many times as wide.

    All from the same draws, which do not cover what a much wider prior allows where rows say little.
    """
    values, errors = np.full(len(scales), np.nan), np.full(len(scales), np.nan)
    fine, limits, why = np.zeros(len(scales), dtype=bool), [Limits()] * len(scales), [""] * len(scales)
    for i, scale in enumerate(scales):
        means = problem.model.means if scale == 1.0 else problem.model.means.widened(scale)
        if means is None:
            why[i] = "these means have no width"
            continue
        importance = at_one
        if scale != 1.0:
            change = _prior_change(problem, means, points)
            importance = at_one.reweighted(change)
            lower, lower_error = _weighted_mean(change, at_one)
            upper, upper_error = _weighted_mean(change, importance)
            jensen = Limits(lower=lower, lower_error=lower_error, upper=upper, upper_error=upper_error)
            limits[i] = pointwise(problem, problem.K, scale).within(jensen)
        values[i], errors[i] = importance.log_mean, importance.log_mean_error
        fine[i] = importance.reliable and np.isfinite(errors[i])
        if not fine[i]:
            why[i] = f"Pareto k {importance.pareto_k:.2f}: importance sampling gives a guess"
    return _AtScales(values=values, errors=errors, reliable=fine, limits=tuple(limits), why=tuple(why))


def _weighted_mean(values: Array, importance: Importance) -> tuple[float, float]:
    """The mean of values at the draws, weighted, and its standard error."""
    there = importance.shares > 0
    shares, values = importance.shares[there], values[there]
    if not there.any() or not np.isfinite(values).all():
        return np.nan, np.nan
    mean = float(shares @ values)
    return mean, float(np.sqrt(np.square(shares) @ np.square(values - mean)))


def _prior_change(problem: Problem, means: Means, points: Parameters) -> Array:
    """Log prior density of the means under another prior, less that under the problem's own."""
    own, other = log_priors(problem, points), replace(problem, model=problem.model._replace(means=means))
    with np.errstate(invalid="ignore"):
        change = log_priors(other, points) - own
    return np.where(np.isnan(change), -np.inf, change)


def _loo(problem: Problem, draws: Parameters, log_weights: Array) -> tuple[dict[str, float], LeftOut]:
    """Expected log predictive density of one unit left out (Vehtari, Gelman & Gabry 2017), labels summed out.

    Draws of an approximation have (raw) weights, by which those of leaving out are multiplied (Magnusson et al. 2019).
    """
    rows = problem.rows
    at = draws.log_weights, draws.means, inverse_lower(draws.choleskys)
    factors = np.exp(2.0 * np.broadcast_to(draws.log_noise, len(draws.means)))
    volumes = rows.log_volumes(problem.units.scale)
    size = max(1, _NUMBERS_AT_ONCE // (len(draws.means) * (problem.K + 1)))
    elpd, units, cautious, worst, influence = [], [], [], -np.inf, np.zeros(len(draws.means))
    counted = log_weights > np.logaddexp.reduce(log_weights) - np.log(log_weights.size) - _COUNTS_FOR_LITTLE
    for begin in range(0, rows.n_rows, size):
        index = np.arange(begin, min(begin + size, rows.n_rows))
        part = rows.taken(index)
        weights = part.units_by_row()
        # Of a row in which nothing was observed there is nothing to predict.
        some = weights > 0
        log_density = part.rowwise_of_many(*at, noise_factors=factors)[1][:, some] - volumes[index][some]
        shares, k = pareto_smoothed(with_floor(log_weights - log_density.T))
        each_elpd = np.atleast_1d(np.logaddexp.reduce(shares + log_density.T, axis=-1))
        elpd.append(each_elpd)
        units.append(weights[some])
        worst = max(worst, float(np.max(k)))
        lowest = log_density[counted].min(axis=0)
        cautious.append(np.where(np.atleast_1d(k) > WORST_PARETO_K, np.minimum(lowest, each_elpd), each_elpd))
        # What each draw moves the sum by.
        away = np.exp(np.atleast_2d(log_density.T) - each_elpd[:, None]) - 1.0
        influence += weights[some] @ (np.exp(np.atleast_2d(shares)) * away)
    each_unit, n = np.concatenate(elpd), np.concatenate(units)
    total = float(n @ each_unit)
    variance = float(n @ np.square(each_unit - total / n.sum())) / n.sum()
    numbers = {"elpd_loo": total, "elpd_loo_se": float(np.sqrt(n.sum() * variance)), "loo_pareto_k": worst}
    error = float(np.sqrt(np.square(influence).sum()))
    return numbers, LeftOut(elpd=each_unit, units=n, cautious=np.concatenate(cautious), monte_carlo_error=error)
