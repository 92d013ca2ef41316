"""Variational Bayes by coordinate ascent, with the complete bound."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from bayesgmm._errors import FitError, UnsupportedError
from bayesgmm._status import Status
from bayesgmm.engines._objective import Objective, scatter_about
from bayesgmm.engines._options import check_draws, check_proper, check_search
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._q import Q, VariationalApproximation, draw, evaluate, predictive, prior_of, summarise, updated
from bayesgmm.engines._remedies import advice
from bayesgmm.engines._search import Start, sample, short_runs
from bayesgmm.engines._too_narrow import caveat
from bayesgmm.engines.base import Array, Engine, Order, Outcome, Parameters, Problem, StartReport
from bayesgmm.model import FilledMixture
from bayesgmm.numerics.passes import Statistics

_MEMORY = 8
# A first climb stops here; the best are then followed to the end.
_FIRST_STEPS = 25
_APPROACHED = 12
_PLAIN_STEPS = 3
# How many of the best are simplified; how often, for how many passes, and by which multiple of its last gain behind,
# a simplified one is followed; and the expected count below which a component is empty already.
_SIMPLIFIED = 3
_TRIAL_STEPS = 5
_STEPS_AT_ONCE = 5
_HOPELESS = 5.0
_EMPTY = 0.1
_SAME_OPTIMUM = 1e-2  # nats


@dataclass(kw_only=True)
class _Climb:
    start: Start
    q: Q
    statistics: Statistics
    bound: float
    trace: list[float]
    passes: int = 1
    history: list[tuple[Array, Array]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class VB(Engine):
    """Variational Bayes for conjugate declarations: a fast approximation to the posterior, and a bound on the evidence.

    Coordinate ascent (Attias 1999; Bishop 2006, section 10.2) with safeguarded Anderson acceleration from the best of
    many starts. The bound (ELBO) contains all constants, so it is comparable across models.

    Intervals from q are too narrow where components overlap, whatever the prior: q takes parameters and the components
    of rows for independent. The attribute ``caveat`` of a result, `diagnose`, `predict` and plots say so, and by how
    much where importance weights can tell. They see the posterior where q is, and nothing of what q leaves out, such as
    rows of a component that it has emptied. `NUTS` gives calibrated intervals.

    Parameters
    ----------
    n_init : int
        Number of starts.
    short_steps : int
        EM steps of each start before the best are chosen.
    n_polish : int
        How many are followed to the end.
    max_steps : int
        Passes over the data that one of them may take.
    tolerance : float
        In nats. A run has converged when its estimated gain left is below it.
    draws : int
        Draws from q, shared out to `chains`; they are independent.
    chains : int
        Number of groups the draws are stored in, because ArviZ expects a chain dimension.
    threads : int, optional
        Threads for one pass; all processors if left out.
    """

    n_init: int = 32
    short_steps: int = 10
    n_polish: int = 5
    max_steps: int = 2000
    tolerance: float = 1e-4
    draws: int = 1000
    chains: int = 4
    threads: int | None = None

    name: ClassVar[str] = "VB"
    objective_name: ClassVar[str] = "elbo"

    def __post_init__(self) -> None:
        check_search(self)
        check_draws(self)

    def check(self, model: FilledMixture, n_features: int) -> None:
        check_proper("VB", model, ", or use EM for maximum likelihood.")
        # Building the prior's factors raises for every part that has none.
        prior_of(model, n_features)

    def check_problem(self, problem: Problem) -> None:
        """The same for a declaration with its data, whose errors must be known."""
        if problem.free_noise:
            what = "as_data(noise_scale=...), an unknown factor of all errors"
            raise UnsupportedError("VB", what, "Use Laplace or NUTS for its posterior, or EM for its mode.")
        self.check(problem.declared, problem.n_features)

    def run(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> Outcome:
        self.check_problem(problem)
        prior = prior_of(problem.model, problem.n_features)
        part = sample(problem, rng)
        # Dirichlet concentrations below 1 have no mode on the simplex; on log-ratios they have.
        objective = Objective(part, unconstrained=not problem.model.weights.bounded())
        starts = short_runs(
            objective,
            n_init=self.n_init,
            short_steps=self.short_steps,
            floor=1e-12,
            rng=rng,
            progress=progress,
        )
        followed = [start for start in starts if start.status is not Status.SINGULAR][: max(_APPROACHED, self.n_polish)]
        climbs: list[_Climb] = []
        for start in followed:
            with suppress(np.linalg.LinAlgError):  # scales so different that a covariance has no factor
                climb = self._begin(part, prior, start)
                self._climb(part, climb, min(_FIRST_STEPS, self.max_steps))
                climbs.append(climb)
            progress.step("climbing", len(climbs), len(followed))
        climbs.sort(key=lambda climb: -climb.bound)
        if part is not problem:
            climbs = [_with_all_rows(problem, prior, climb) for climb in self._distinct(part, climbs)]
        simplified = []
        for climb in climbs[:_SIMPLIFIED]:
            simplified.append(self._simplified(problem, prior, climb))
            progress.step("simplifying", len(simplified), _SIMPLIFIED)
        climbs = sorted(simplified + climbs[_SIMPLIFIED:], key=lambda climb: -climb.bound)
        reports, ends = [], []
        for i, climb in enumerate(climbs):
            status, gain = Status.SCREENED_OUT, np.nan
            if i < self.n_polish:
                status, gain = self._finish(problem, climb)
                progress.step("to the optimum", i + 1, min(self.n_polish, len(climbs)))
            ends.append(climb.q)
            reports.append(_report(problem, climb, status, gain))
        reports += [
            StartReport(method=start.method, status=start.status, short_value=np.nan)
            for start in starts
            if not any(start is climb.start for climb in climbs)
        ]
        usable = [i for i, report in enumerate(reports) if report.status.usable]
        if not usable:
            raise FitError(f"No start could be followed. {advice(problem, unbounded=False)}")
        best = max(usable, key=lambda i: reports[i].end_value)
        q = ends[best]
        volume = problem.log_volume
        elbo = reports[best].end_value
        draws = draw(problem, q, self.draws, rng, volume, progress)
        warning = caveat(
            draws,
            climbs[best].statistics.counts,
            needed=problem.model.rows_needed(problem.n_features),
            exact=problem.rows.exact,
        )
        return Outcome(
            point=problem.units.to_data(q.mean()),
            status=reports[best].status,
            starts=reports,
            best_start=best,
            objective={"elbo": elbo, "elbo_symmetrised_limit": elbo + problem.model.log_symmetries()},
            draws=draws,
            variational=summarise(problem, q),
            approximation=VariationalApproximation(q),
            notes={
                "screening_passes": objective.passes,
                "search_rows": part.n_obs,
                "n_chains": self.chains,
                "predictive_family": predictive(q)[0],
            }
            | ({} if warning is None else {"caveat": warning}),
        )

    def follow(self, problem: Problem, starts: Sequence[Parameters], progress: Progress) -> tuple[float, Status]:
        """The highest bound that is reached from given points, in the data's units, and how that climb ended."""
        self.check_problem(problem)
        prior = prior_of(problem.model, problem.n_features)
        climbs = []
        for at in starts:
            climb = self._begin(problem, prior, Start.given(at))
            self._climb(problem, climb, min(_FIRST_STEPS, self.max_steps))
            climbs.append(climb)
        best = self._simplified(problem, prior, max(climbs, key=lambda climb: climb.bound))
        status, _ = self._finish(problem, best)
        return best.bound - problem.log_volume, status

    def _distinct(self, part: Problem, climbs: list[_Climb]) -> list[_Climb]:
        """Distinct optima among the best climbs with a part of the rows."""
        out: list[_Climb] = []
        for climb in climbs[: self.n_polish]:
            self._finish(part, climb)
            if all(abs(climb.bound - other.bound) > _SAME_OPTIMUM for other in out):
                out.append(climb)
        return sorted(out, key=lambda climb: -climb.bound)

    def _begin(self, problem: Problem, prior: Q, start: Start) -> _Climb:
        statistics = start.statistics if start.statistics is not None else problem.statistics(start.at)
        q = updated(prior, statistics, start.at.means)
        bound, statistics = evaluate(problem, q)
        return _Climb(start=start, q=q, statistics=statistics, bound=bound, trace=[bound])

    def _climb(self, problem: Problem, climb: _Climb, passes: int) -> None:
        """Anderson-accelerated steps; a step that does not raise the bound is replaced by a plain one."""
        end = climb.passes + passes
        inputs = _flat(climb.statistics, climb.q.means.loc)
        while climb.passes < end:
            # The plain step uses moments about the means, the accelerated one raw moments, which can be averaged.
            plain = updated(climb.q, climb.statistics, climb.q.means.loc)
            bound, statistics = evaluate(problem, plain)
            climb.passes += 1
            outputs = _flat(statistics, plain.means.loc)
            climb.history = [*climb.history, (inputs, outputs)][-_MEMORY:]
            gain = bound - climb.bound
            climb.q, climb.statistics, climb.bound = plain, statistics, bound
            climb.trace.append(climb.bound)
            inputs = outputs
            if abs(gain) < 1e-2 * self.tolerance:
                break
            mixed = _mixed(climb.history, problem)
            if mixed is None:
                continue
            trial = _try_update(climb.q, mixed)
            if trial is None:
                continue
            bound, statistics = evaluate(problem, trial)
            climb.passes += 1
            if np.isfinite(bound) and bound > climb.bound:
                climb.q, climb.statistics, climb.bound = trial, statistics, bound
                climb.trace.append(bound)
                inputs = _flat(statistics, trial.means.loc)
                climb.history.append((_raw(mixed), inputs))
            else:
                climb.history = climb.history[-1:]

    def _simplified(self, problem: Problem, prior: Q, climb: _Climb) -> _Climb:
        """Delete components, or sort those of a stick-breaking prior by size, as long as that raises the bound.

        Coordinate ascent alone hardly ever empties a component that many rows lean on (Ueda & Ghahramani 2002).
        """
        improved = True
        while improved and climb.passes < self.max_steps:
            improved = False
            counts = climb.statistics.counts
            sorted_already = np.all(np.diff(counts) <= 0) or len(set(problem.model.keys())) == 1
            tries = [] if sorted_already else [_permuted(climb, np.argsort(-counts, kind="stable"))]
            occupied = [k for k in np.argsort(counts) if counts[k] > _EMPTY]
            tries += [_without(problem, climb, k) for k in occupied] if len(occupied) > 1 else []
            for statistics, centers in tries:
                q = updated(prior, statistics, centers)
                bound, at_q = evaluate(problem, q)
                trial = _Climb(start=climb.start, q=q, statistics=at_q, bound=bound, trace=[bound], passes=climb.passes)
                for _ in range(_TRIAL_STEPS):
                    before = trial.bound
                    self._climb(problem, trial, _STEPS_AT_ONCE)
                    # Most components are needed, which shows at once: a trial that gains little stays behind.
                    if climb.bound - trial.bound > _HOPELESS * (trial.bound - before):
                        break
                climb.passes = trial.passes
                if trial.bound > climb.bound + self.tolerance:
                    climb, improved = trial, True
                    break
        return climb

    def _finish(self, problem: Problem, climb: _Climb) -> tuple[Status, float]:
        left = np.inf
        while climb.passes < self.max_steps:
            self._climb(problem, climb, self.max_steps - climb.passes)
            # Plain steps converge linearly, so their last gains tell what is left (Aitken).
            gains = []
            for _ in range(_PLAIN_STEPS):
                q = updated(climb.q, climb.statistics, climb.q.means.loc)
                bound, statistics = evaluate(problem, q)
                climb.passes += 1
                gains.append(max(bound - climb.bound, 0.0))
                climb.q, climb.statistics, climb.bound = q, statistics, bound
                climb.trace.append(climb.bound)
            ratio = min(gains[-1] / gains[-2], 1 - 1e-6) if gains[-2] > 0 else 0.0
            rounding = 1e-13 * abs(climb.bound)
            left = gains[-1] * ratio / (1 - ratio) if gains[-1] > rounding else rounding
            climb.history = []
            if left < self.tolerance:
                return Status.CONVERGED, left
        return Status.MAX_STEPS, left


def _with_all_rows(problem: Problem, prior: Q, climb: _Climb) -> _Climb:
    """Go on with all rows from where a climb with a part of them got to."""
    log_scales, means, factors = climb.q.pass_arguments()
    q = updated(prior, problem.statistics_at(log_scales, means, factors), means)
    bound, statistics = evaluate(problem, q)
    return _Climb(start=climb.start, q=q, statistics=statistics, bound=bound, trace=[bound], passes=2)


def _without(problem: Problem, climb: _Climb, k: int) -> tuple[Statistics, Array]:
    """Statistics with the rows of component k shared out among the others."""
    log_scales, means, factors = climb.q.pass_arguments()
    log_scales = log_scales.copy()
    log_scales[..., k] = -np.inf
    climb.passes += 1
    statistics = problem.statistics_at(log_scales, means, factors)
    # Exactly nothing, not the 1e-304 of rows that are infinitely unlikely.
    for value in (statistics.counts, statistics.first, statistics.second):
        value[k] = 0.0
    if statistics.group_counts is not None:
        statistics.group_counts[:, k] = 0.0
    return statistics, means


def _permuted(climb: _Climb, order: Order) -> tuple[Statistics, Array]:
    s = climb.statistics
    moved = Statistics(
        log_normaliser=s.log_normaliser,
        counts=s.counts[order],
        first=s.first[order],
        second=s.second[order],
        group_counts=None if s.group_counts is None else s.group_counts[:, order],
    )
    return moved, climb.q.means.loc[order]


def _flat(statistics: Statistics, centers: Array) -> Array:
    """Counts and raw moments as one vector, so that they can be averaged across different centers."""
    origin = np.zeros_like(centers)
    raw_first = statistics.first + statistics.counts[:, None] * centers
    raw_second = scatter_about(statistics, centers, origin)
    return np.concatenate([statistics.weight_counts.ravel(), raw_first.ravel(), raw_second.ravel()])


def _raw(statistics: Statistics) -> Array:
    return np.concatenate([statistics.weight_counts.ravel(), statistics.first.ravel(), statistics.second.ravel()])


def _mixed(history: list[tuple[Array, Array]], problem: Problem) -> Statistics | None:
    """Anderson's mixture of the last outputs, with weights that make the mixed residual smallest."""
    if len(history) < 2:
        return None
    outputs = np.array([output for _, output in history])
    residuals = outputs - np.array([start for start, _ in history])
    differences = np.diff(residuals, axis=0)
    solution = np.linalg.lstsq(differences.T, residuals[-1], rcond=1e-10)[0]
    mixed = outputs[-1] - solution @ np.diff(outputs, axis=0)
    K, d = problem.K, problem.n_features
    counts, first, second = np.split(mixed, [-K * (d + d * d), -K * d * d])
    by_group = None
    if problem.n_groups is not None:
        # In one of the groups a component may well be empty, and extrapolated to less than nothing.
        by_group = np.maximum(counts.reshape(-1, K), 0.0)
        counts = by_group.sum(axis=0)
    if not counts.min() > 0:
        return None
    return Statistics(
        log_normaliser=np.nan,
        counts=counts,
        first=first.reshape(K, d),
        second=second.reshape(K, d, d),
        group_counts=by_group,
    )


def _try_update(q: Q, raw: Statistics) -> Q | None:
    try:
        with np.errstate(invalid="ignore"):  # mixed moments need not belong to any rows; variances may be negative
            trial = updated(q, raw, np.zeros_like(q.means.loc))
            factors = trial.covariances.precision_choleskys()
    except np.linalg.LinAlgError:
        return None
    return trial if np.isfinite(factors).all() else None


def _report(problem: Problem, climb: _Climb, status: Status, gain: float) -> StartReport:
    volume = problem.log_volume
    return StartReport(
        method=climb.start.method,
        status=status,
        # EM's objective ranked the short runs; what is comparable here is the bound where the climb began.
        short_value=climb.trace[0] - volume,
        end_value=climb.bound - volume,
        passes=climb.passes,
        gain_left=gain,
        trace=np.array(climb.trace) - volume,
        end=problem.units.to_data(climb.q.mean()),
    )
