"""Evidences of several numbers of components from visits of one sampler, with their level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayesgmm.engines._progress import Progress
from bayesgmm.engines._telescoping import FEWEST_VISITS, Visits, log_evidence_of_one, visited, why_not
from bayesgmm.engines.base import Array, Problem
from bayesgmm.inference._guards import Limits

# Two levels that differ by more than so many of their errors contradict each other.
_ERRORS = 4.0


@dataclass(frozen=True, kw_only=True)
class ByVisits:
    """Log evidence of K = 1, 2, ... in standard units, by width of the prior of the means.

    Attributes
    ----------
    values, errors, effective : (M, scales) arrays
        NaN, and the effective visits, where those were too few.
    limits : list of M lists of Limits
        Of the change with the width.
    note : str
        Why there is nothing, where there is nothing.
    """

    values: Array
    errors: Array
    effective: Array
    limits: list[list[Limits]]
    note: str = ""


def by_visits(
    problem: Problem,
    most: int,
    scales: Sequence[float],
    known: Array,
    known_errors: Array,
    rng: np.random.Generator,
    progress: Progress,
    cores: int,
) -> ByVisits | None:
    """Visit all numbers of components from 1 to `most`; None where the sampler cannot.

    Parameters
    ----------
    problem : Problem
        With any number of components.
    most : int
    scales : sequence of float
        Widths of the prior of the means; those that draws under the declared one do not cover have runs of their own.
    known, known_errors : (M, scales) arrays
        Log evidences by another estimator, NaN where there are none; what has an error can serve as the level.
    rng : numpy.random.Generator
    progress : Progress
    cores : int
    """
    if most < 2 or why_not(problem, most):
        return None
    wide = {scale: problem.model.means.widened(scale) for scale in scales if scale != 1.0}
    others = {scale: means for scale, means in wide.items() if means is not None}
    at_one = list(scales).index(1.0)
    exact = np.full(len(scales), np.nan)
    exact[at_one] = log_evidence_of_one(problem)
    first = np.where(np.arange(most) == 0, exact[at_one], known[:, at_one])
    visits = visited(problem, most, first, rng, progress, others=others, cores=cores)
    shape = most, len(scales)
    values, errors, effective = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
    limits = [[Limits() for _ in scales] for _ in range(most)]
    level = _level(visits, exact[at_one], known[:, at_one], known_errors[:, at_one])
    if level is None:
        return ByVisits(
            values=values,
            errors=errors,
            effective=effective,
            limits=limits,
            note="no number of components has a level that fits the visits",
        )
    for i, scale in enumerate(scales):
        if scale != 1.0 and scale not in others:
            continue
        name = None if scale == 1.0 else scale
        for K in range(1, most + 1):
            effective[K - 1, i] = visits.effective(K, name)
            difference, error = visits.difference(K, level.K, name)
            values[K - 1, i], errors[K - 1, i] = level.value + difference, float(np.hypot(level.error, error))
            if name is not None:
                limits[K - 1][i] = _limits(visits, K, name)
        if name is None or effective[:, i].min() >= FEWEST_VISITS:
            continue
        # What is not covered is visited under that prior itself.
        model = problem.model._replace(means=others[scale])
        wider = replace(problem, model=model)
        exact[i] = log_evidence_of_one(wider)
        guess = np.where(effective[:, i] > 0, values[:, i], np.where(np.isnan(known[:, i]), np.nan, known[:, i]))
        guess[0] = exact[i] if np.isfinite(exact[i]) else guess[0]
        back = {1.0: problem.model.means}
        there = visited(wider, most, guess, rng, progress, others=back, cores=cores)
        own_level = _level(there, exact[i], known[:, i], known_errors[:, i])
        for K in range(1, most + 1):
            effective[K - 1, i] = there.effective(K)
            values[K - 1, i] = errors[K - 1, i] = np.nan
            if own_level is not None:
                difference, error = there.difference(K, own_level.K)
                values[K - 1, i] = own_level.value + difference
                errors[K - 1, i] = float(np.hypot(own_level.error, error))
            below, below_error = visits.mean_change(scale, K)
            above, above_error = there.mean_change(1.0, K)
            limits[K - 1][i] = Limits(lower=below, lower_error=below_error, upper=-above, upper_error=above_error)
    few = effective < FEWEST_VISITS
    values[few], errors[few] = np.nan, np.nan
    return ByVisits(values=values, errors=errors, effective=effective, limits=limits)


@dataclass(frozen=True)
class _Level:
    K: int
    value: float
    error: float


def _level(visits: Visits, exact: float, known: Array, known_errors: Array) -> _Level | None:
    """The exact value of one component if it was visited enough, else the best of another estimator.

    None where there is neither, or where the two contradict each other.
    """
    one = _Level(1, exact, 0.0) if np.isfinite(exact) else None
    if one is not None and visits.effective(1) >= FEWEST_VISITS:
        return one
    usable = [
        K
        for K in range(1, known.size + 1)
        if np.isfinite(known[K - 1] + known_errors[K - 1]) and visits.effective(K) >= FEWEST_VISITS
    ]
    if not usable:
        return None
    best = min(usable, key=lambda K: known_errors[K - 1])
    found = _Level(best, float(known[best - 1]), float(known_errors[best - 1]))
    if one is not None and visits.effective(1) > 1.0:
        difference, error = visits.difference(best, 1)
        if abs(one.value + difference - found.value) > _ERRORS * np.hypot(error, found.error):
            return None
    return found


def _limits(visits: Visits, K: int, name: float) -> Limits:
    lower, lower_error = visits.mean_change(name, K)
    upper, upper_error = visits.mean_change(name, K, under_it=True)
    return Limits(lower=lower, lower_error=lower_error, upper=upper, upper_error=upper_error)
