"""The optima of an objective: many short starts, the best followed to their ends, split-and-merge moves from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from bayesgmm._errors import FitError
from bayesgmm._status import Status
from bayesgmm.engines._boundary import SMALLEST
from bayesgmm.engines._moves import moves
from bayesgmm.engines._newton import Point
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._polish import Climb, approach, climbed, finish
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._remedies import no_proper_optimum
from bayesgmm.engines._search import Start, fresh_starts, sample, short_run, short_runs
from bayesgmm.engines._sureness import MOVED, Sureness, sureness
from bayesgmm.engines.base import Parameters, Problem, StartReport

# EM steps between a short run and the quasi-Newton finish.
_BURN_IN = 5
# How many moves each round of them tries for a few steps, and how many of those it follows.
_MOVES = 16
_MOVES_APPROACHED = 5
_NEARLY_AS_GOOD = 2.0  # nats
_SAME_OPTIMUM = 1e-2  # nats
# A short run stops further below the optimum that it stands beside.
_SAME_TO_SHORT_RUNS = 0.1  # nats
# Further rounds, among at most so many rows: each has a share of `n_init` of starts from scratch and as many moves
# from some of the best optima. They end when so many were in vain, or after so many passes (of so many numbers).
_SMALL = 2_000
_BATCHES = 4
_LEFT = 5
_PATIENCE = 6
_MOST_PASSES = 5_000
_MOST_NUMBERS = 100_000_000
# How far, in nats, a climb stops short of its optimum at most.
_NEARLY_THERE = 0.5
# In standard deviations that parameters would have if the labels were known.
_SAME_PLACE = 0.5
# Lower optima than this, in nats below the best, hold too little of a posterior to matter.
WORTH_A_LOOK = 10.0


@dataclass(frozen=True, kw_only=True)
class Optima:
    """What a search found: a report for every start, best usable end first, in standard units."""

    reports: list[StartReport]
    screening_passes: int
    search_rows: int

    @property
    def best(self) -> int:
        """Number of the best usable end."""
        usable = [i for i, report in enumerate(self.reports) if report.status.usable]
        return max(usable, key=lambda i: self.reports[i].end_value)


@dataclass(frozen=True, kw_only=True)
class Search:
    """How to look for optima; the options are those of `EM`."""

    n_init: int = 32
    short_steps: int = 10
    n_polish: int = 5
    max_steps: int = 400
    tolerance: float = 1e-4
    eigenvalue_floor: float = 1e-6
    unconstrained: bool = False
    # Whether components need more rows than their covariances can be estimated from. Those of a proper posterior that
    # is sampled from there need not.
    supported: bool = True
    # Or than so many.
    fewest_rows: int = 0
    # How many starts are followed near their ends for each one that is finished, rounds of split-and-merge moves, and
    # whether there are starts from hierarchical clustering: less of each makes a search quick.
    approached: int = 3
    rounds: int = 3
    hierarchical: bool = True
    # Whether a search among few rows goes on while it is unsure whether the best optimum is known.
    further: bool = False

    def run(
        self, problem: Problem, rng: np.random.Generator, progress: Progress, given: Sequence[Parameters] = ()
    ) -> Optima:
        """Look, from `given` points in standard units as well.

        Raises
        ------
        FitError
            If no start reached a proper optimum.
        """
        found = self.attempt(problem, rng, progress, given)
        if not any(report.status.usable for report in found.reports):
            raise FitError(no_proper_optimum(problem, found.reports))
        return found

    def attempt(
        self, problem: Problem, rng: np.random.Generator, progress: Progress, given: Sequence[Parameters] = ()
    ) -> Optima:
        """The same without the error: perhaps no end is usable."""
        return replace(self, eigenvalue_floor=self.floor(problem))._run(problem, rng, progress, given)

    def floor(self, problem: Problem) -> float:
        """The eigenvalue below which a covariance has collapsed: behind errors of measurement none is too small."""
        return SMALLEST if problem.rows.blurred else self.eigenvalue_floor

    def _run(
        self, problem: Problem, rng: np.random.Generator, progress: Progress, given: Sequence[Parameters]
    ) -> Optima:
        part = sample(problem, rng)
        objective = Objective(part, unconstrained=self.unconstrained)
        starts = short_runs(
            objective,
            n_init=self.n_init,
            short_steps=self.short_steps,
            floor=self.eigenvalue_floor,
            rng=rng,
            progress=progress,
            hierarchical=self.hierarchical,
            given=given,
        )
        screening = objective.passes
        reports = self._follow(objective, starts, progress)
        if problem.only_start is None:
            reports = self._improve(objective, reports, rng, progress)
            reports = self._go_on(objective, reports, progress)
        if part is not problem:
            reports = self._with_all_rows(Objective(problem, unconstrained=self.unconstrained), reports, progress)
        return Optima(reports=reports, screening_passes=screening, search_rows=part.n_obs)

    def _follow(self, objective: Objective, starts: list[Start], progress: Progress) -> list[StartReport]:
        left = [start for start in starts if start.status is not Status.SINGULAR]
        reports = [_not_followed(start) for start in starts if start.status is Status.SINGULAR]
        climbs: list[Climb] = []
        n_proper = 0
        if left:
            # Where groups are easy to see all others have come to the same place already.
            reports.append(self._finished(objective, self._approached(objective, left.pop(0), reports), reports))
            n_proper += reports[-1].status.usable
        # Short runs do not rank overlapping components well, so more starts than are finished come near their ends.
        while left and n_proper < self.n_polish:
            while left and len(climbs) < self.approached * self.n_polish:
                climbs.append(self._approached(objective, left.pop(0), reports))
                progress.step("climbing", len(climbs), self.approached * self.n_polish)
            climbs.sort(key=lambda climb: (climb.collapsed, -climb.point.value))
            while climbs and n_proper < self.n_polish:
                reports.append(self._finished(objective, climbs.pop(0), reports))
                n_proper += reports[-1].status.usable
                progress.step("to the optimum", n_proper, self.n_polish)
        reports += [self._left(objective, climb, reports) for climb in climbs]
        reports += [_not_followed(start) for start in left]
        return sorted(reports, key=by_rank)

    def _improve(
        self, objective: Objective, reports: list[StartReport], rng: np.random.Generator, progress: Progress
    ) -> list[StartReport]:
        """Split-and-merge moves from the best optimum, again from every better one that they find."""
        for done in range(self.rounds if self.n_init > 1 else 0):
            best = reports[0]
            if not best.status.usable or best.end is None:
                break
            counts = objective.value(best.end)[1].counts
            proposals = moves(objective.problem.model, best.end, counts, _MOVES, rng)
            if not proposals:
                break
            runs = [short_run(objective, at, MOVED, self.short_steps, self.eigenvalue_floor) for at in proposals]
            runs = sorted((run for run in runs if run.status is not Status.SINGULAR), key=lambda run: -run.value)
            climbs = [self._approached(objective, run, reports) for run in runs[:_MOVES_APPROACHED]]
            # A climb stops short of its optimum, so one that is a little below the best may still end above it.
            near = best.end_value - _NEARLY_AS_GOOD
            better = [climb for climb in climbs if not climb.collapsed and climb.point.value > near]
            progress.step("split and merge", done + 1, self.rounds)
            reports = sorted(reports + [self._finished(objective, climb, reports) for climb in better], key=by_rank)
            if reports[0].end_value <= best.end_value + self.tolerance:
                break
        return reports

    def _approached(self, objective: Objective, start: Start, known: Sequence[StartReport]) -> Climb:
        """A start on its way up, near its optimum: at once where its short run ended beside a certified one."""
        if start.statistics is not None:
            here = Climb(
                trace=[start.value],
                start=start,
                point=Point(at=start.at, value=start.value, statistics=start.statistics),
            )
            there = _there_already(objective, here, known, _SAME_TO_SHORT_RUNS)
            if there is not None:
                return replace(here, known=there)
        return approach(objective, start, em_steps=_BURN_IN, max_steps=self.max_steps, floor=self.eigenvalue_floor)

    def _finished(self, objective: Objective, climb: Climb, known: Sequence[StartReport]) -> StartReport:
        """The end of a climb: a known optimum that it stands beside, or one that is followed and certified."""
        if (there := climb.known or _there_already(objective, climb, known)) is not None:
            return there
        limits = {"max_steps": self.max_steps, "floor": self.eigenvalue_floor}
        how = {"tolerance": self.tolerance, "supported": self.supported, "fewest_rows": self.fewest_rows}
        return finish(objective, climb, **how, **limits)  # type: ignore[arg-type]

    def _left(self, objective: Objective, climb: Climb, known: Sequence[StartReport]) -> StartReport:
        """A climb that is not followed any more; it may have come to a known optimum all the same."""
        there = climb.known or _there_already(objective, climb, known)
        return _not_finished(climb) if there is None else there

    def _go_on(self, objective: Objective, reports: list[StartReport], progress: Progress) -> list[StartReport]:
        """More starts from scratch and moves from several optima, while it is unsure whether the best one is known.

        Until enough of the starts agree, or some rounds have found no better optimum, or the passes are spent.
        """
        problem, batch = objective.problem, self.n_init // _BATCHES
        size = problem.n_obs * problem.K * problem.n_features
        end = objective.passes + min(_MOST_PASSES, _MOST_NUMBERS // size)
        if not self.further or self.n_init == 1 or problem.K == 1 or problem.rows.units() > _SMALL:
            return reports
        short = {"short_steps": self.short_steps, "floor": self.eigenvalue_floor}
        # A stream of their own, so that fits with different seeds more often end alike.
        rng = np.random.default_rng([problem.n_obs, problem.K])
        fresh = fresh_starts(objective, rng=rng, **short)
        left: dict[float, int] = {}
        in_vain, best = 0, best_value(reports)
        while in_vain < _PATIENCE and objective.passes < end and not sureness_of(reports).enough:
            starts = list(islice(fresh, max(batch, 1)))
            for report in _least_left(reports, left, max(batch // 2, 1)):
                left[report.end_value] = left.get(report.end_value, 0) + 1
                assert report.end is not None
                counts = objective.statistics(report.end).counts
                for at in moves(problem.model, report.end, counts, 2, rng):
                    starts.append(short_run(objective, at, MOVED, self.short_steps, self.eigenvalue_floor))
            alive = [start for start in starts if start.status is not Status.SINGULAR]
            reports = reports + [_not_followed(start) for start in starts if start.status is Status.SINGULAR]
            climbs = [self._approached(objective, start, reports) for start in alive]
            for climb in sorted(climbs, key=lambda climb: (climb.collapsed, -climb.point.value)):
                near = not climb.collapsed and climb.point.value > best_value(reports) - _NEARLY_THERE
                reports.append((self._finished if near else self._left)(objective, climb, reports))
            reports = sorted(reports, key=by_rank)
            found = best_value(reports)
            in_vain, best = (0, found) if found > best + _SAME_OPTIMUM else (in_vain + 1, best)
            progress.step("looking further", in_vain, _PATIENCE)
        return reports

    def _with_all_rows(self, objective: Objective, reports: list[StartReport], progress: Progress) -> list[StartReport]:
        """Follow the distinct optima that a part of the rows has shown, best first, with all rows."""
        limits = {"max_steps": self.max_steps, "floor": self.eigenvalue_floor}
        finished, rest, last, proper = [], [], np.inf, 0
        for report in reports:
            if report.status.usable and last - report.end_value < _SAME_OPTIMUM:
                # It ended where another one did, and would with all rows.
                again = replace(finished[-1], method=report.method, short_value=np.nan, passes=0)
                finished.append(replace(again, trace=np.array([again.end_value])))
                continue
            if not report.status.usable or report.end is None or proper >= self.n_polish:
                # Values over a part of the rows cannot be compared with values over all, so they are not kept.
                status = Status.SCREENED_OUT if report.status.usable else report.status
                rest.append(StartReport(method=report.method, status=status, short_value=np.nan, passes=0))
                continue
            last = report.end_value
            start = Start.given(report.end, report.method)
            how = {"tolerance": self.tolerance, "supported": self.supported, "fewest_rows": self.fewest_rows}
            finished.append(climbed(objective, start, em_steps=_BURN_IN, **limits, **how))  # type: ignore[arg-type]
            proper += finished[-1].status.usable
            progress.step("all rows", proper, self.n_polish)
        return sorted(finished + rest, key=by_rank)


def distinct(reports: Sequence[StartReport], most: int) -> list[StartReport]:
    """The best usable end and further ones within 10 nats that differ in value, best first; at most so many."""
    out: list[StartReport] = []
    for report in sorted(reports, key=by_rank):
        if not report.status.usable or report.end is None:
            continue
        if not out or (
            out[-1].end_value - report.end_value > _SAME_OPTIMUM and out[0].end_value - report.end_value < WORTH_A_LOOK
        ):
            out.append(report)
    return out[:most]


def _beside(objective: Objective, climb: Climb, report: StartReport, within: float) -> bool:
    """Whether a climb stopped in the same place as a certified optimum, whatever the order of its components."""
    end, at = report.end, climb.point.at
    if climb.collapsed or end is None or not 0.0 <= report.end_value - climb.point.value < within:
        return False
    pulled = np.linalg.solve(end.choleskys[:, None], (at.means - end.means[:, None])[..., None])[..., 0]
    order = np.square(pulled).sum(axis=-1).argmin(axis=1)
    keys = objective.problem.model.keys()
    if len(set(order.tolist())) < len(order) or any(keys[k] != keys[j] for k, j in enumerate(order)):
        return False
    counts = climb.point.statistics.weight_counts[..., order]
    with np.errstate(invalid="ignore"):  # weights of 0 have no coordinates, and so are not told to be beside others
        u = objective.coordinates(end, counts).coordinates(at.reordered(order))
    return bool(u @ u < _SAME_PLACE**2)


def _there_already(
    objective: Objective, climb: Climb, known: Sequence[StartReport], within: float = _SAME_OPTIMUM
) -> StartReport | None:
    """The report of a climb that stands beside a certified optimum; None if it stands beside none."""
    for report in known:
        if report.status is Status.CONVERGED and _beside(objective, climb, report, within):
            return replace(
                report,
                method=climb.start.method,
                short_value=climb.start.value,
                passes=climb.passes,
                trace=np.array([*climb.trace, report.end_value]),
            )
    return None


def sureness_of(reports: Sequence[StartReport]) -> Sureness:
    """How sure it is that the best of these ends is the best there is."""
    ends = np.array([report.end_value for report in reports])
    return sureness(
        [report.method for report in reports], [report.status for report in reports], ends, best_value(reports)
    )


def best_value(reports: Sequence[StartReport]) -> float:
    """The value of the best usable end; -inf if there is none."""
    return max((report.end_value for report in reports if report.status.usable), default=-np.inf)


def _least_left(reports: Sequence[StartReport], left: dict[float, int], most: int) -> list[StartReport]:
    """The optima among the best that moves have left least often so far, by their values; the better first."""
    best = distinct(reports, _LEFT)
    return sorted(best, key=lambda report: left.get(report.end_value, 0))[:most]


def by_rank(report: StartReport) -> tuple[bool, float]:
    return not report.status.usable, -np.nan_to_num(report.end_value, nan=-np.inf)


def _not_followed(start: Start) -> StartReport:
    return StartReport(method=start.method, status=start.status, short_value=start.value)


def _not_finished(climb: Climb) -> StartReport:
    return StartReport(
        method=climb.start.method,
        status=Status.SINGULAR if climb.collapsed else Status.SCREENED_OUT,
        short_value=climb.start.value,
        end_value=climb.point.value,
        passes=climb.passes,
        trace=np.array(climb.trace),
        end=climb.point.at,
    )
