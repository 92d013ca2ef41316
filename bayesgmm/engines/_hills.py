"""How much of a posterior stands round each of its optima: heights, and the widths that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bayesgmm._errors import FitError
from bayesgmm._status import Status
from bayesgmm.engines._boundary import SMALLEST
from bayesgmm.engines._normal import NormalApproximation
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._optima import Optima, Search
from bayesgmm.engines._polish import climbed
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._remedies import use
from bayesgmm.engines._samples import points_along
from bayesgmm.engines._search import Start
from bayesgmm.engines.base import Array, Parameters, Problem, StartReport
from bayesgmm.numerics.densities import log_densities

# Hills with less than exp(-10) of the mass of the largest hold nothing that an interval could show.
NEGLIGIBLE = 10.0  # nats
# Starts that the search has left near their optima are followed where their rough mass may matter, so many of them.
_MOST_FOLLOWED = 4
_EM_STEPS = 5
# So many hills, fewer where there are very many parameters: each wants a Hessian.
_MOST_HILLS, _FEWEST_HILLS, _PARAMETERS = 8, 2, 1000
# Log densities at rows of the data that differ by less, and values, belong to the same optimum.
_SAME_DENSITY, _SAME_VALUE = 0.05, 1.0


@dataclass(frozen=True, kw_only=True)
class Hill:
    """An optimum and the Normal round it.

    Attributes
    ----------
    start : int
        Number of the report of a start that ended there.
    normal : NormalApproximation
    log_mass : float
        Laplace's approximation to the log integral of the joint density over one copy of the hill, standard units.
    """

    start: int
    normal: NormalApproximation
    log_mass: float


def hills(problem: Problem, found: Optima, search: Search, progress: Progress) -> tuple[list[StartReport], list[Hill]]:
    """Reports of a search for optima of the unconstrained density, and the hills round distinct ones, largest first.

    A small tight component makes an optimum high and narrow, so that height says little about mass. Optima count
    whatever their heights, and so do starts that the search left on their way because others were ahead; these are
    followed to their ends, which the reports then hold.

    Raises
    ------
    FitError
        If the density does not curve down in every direction at the highest optimum.
    """
    objective = Objective(problem, unconstrained=True)
    reports, kinds = list(found.reports), _Kinds(problem)
    ended = [i for i in _highest_first(reports) if reports[i].status.usable and kinds.new(reports[i])]
    known = kinds.copy()
    waiting = [i for i in _highest_first(reports) if reports[i].status is Status.SCREENED_OUT and kinds.new(reports[i])]
    rough = {i: _rough_mass(objective, _end(reports[i])) for i in ended + waiting} if len(ended + waiting) > 1 else {}
    worth = max(rough.values(), default=0.0) - NEGLIGIBLE
    floor = SMALLEST if problem.rows.blurred else search.eigenvalue_floor
    options = {"max_steps": search.max_steps, "tolerance": search.tolerance, "floor": floor, "supported": False}
    for i in sorted((i for i in waiting if rough[i] > worth), key=lambda i: -rough[i])[:_MOST_FOLLOWED]:
        end = climbed(objective, Start.given(_end(reports[i]), reports[i].method), em_steps=_EM_STEPS, **options)
        passes = reports[i].passes + end.passes
        reports[i] = replace(end, short_value=reports[i].short_value, passes=passes)
        progress.step("further optima", i + 1, len(reports))
        if end.status.usable and known.new(end):
            ended.append(i)
            rough[i] = _rough_mass(objective, _end(end))
    highest = max(ended, key=lambda i: reports[i].end_value)
    out = [_hill(problem, reports, highest)]
    most = max(_FEWEST_HILLS, min(_MOST_HILLS, _PARAMETERS // max(out[0].normal.size, 1)))
    others = sorted((i for i in ended if i != highest and rough[i] > worth), key=lambda i: -rough[i])
    for i in others[: most - 1]:
        with suppress(FitError):  # an optimum that is no hill adds nothing that a Normal could stand for
            out.append(_hill(problem, reports, i))
    out = sorted(out, key=lambda hill: -hill.log_mass)
    for hill in out:
        at = reports[hill.start]
        reports = [replace(each, log_mass=hill.log_mass) if known.same(each, at) else each for each in reports]
    return reports, out


def approximated(problem: Problem, mode: Parameters) -> NormalApproximation:
    """The Normal at a mode.

    Raises
    ------
    FitError
        If the density does not curve down in every direction there.
    """
    try:
        return NormalApproximation.at_mode(problem, mode)
    except np.linalg.LinAlgError as error:
        raise FitError(
            f"Laplace: {error}, so that there is no Normal to approximate it by: the parameters are not identified. "
            f"{use(['NUTS', 'a stronger prior', *(['fewer components'] if problem.K > 1 else [])])}"
        ) from None


def _hill(problem: Problem, reports: list[StartReport], start: int) -> Hill:
    normal = approximated(problem, _end(reports[start]))
    return Hill(start=start, normal=normal, log_mass=normal.log_integral(reports[start].end_value))


class _Kinds:
    """Optima that have been seen, told apart by what labels cannot change: values, and densities at some rows."""

    def __init__(self, problem: Problem, seen: Sequence[StartReport] = ()) -> None:
        self._problem, self._seen = problem, list(seen)

    def copy(self) -> _Kinds:
        """One that goes on by itself."""
        return _Kinds(self._problem, self._seen)

    def new(self, report: StartReport) -> bool:
        """Whether an end is none of those seen before, which it is from now on."""
        if any(self._alike(report, other) for other in self._seen):
            return False
        self._seen.append(report)
        return True

    def same(self, report: StartReport, other: StartReport) -> bool:
        """Whether two starts ended on the same hill."""
        return report.status.usable and report.end is not None and self._alike(report, other)

    def _alike(self, report: StartReport, other: StartReport) -> bool:
        if report is other:
            return True
        if not abs(report.end_value - other.end_value) < _SAME_VALUE:
            return False
        return bool(np.abs(self._densities(report) - self._densities(other)).max() < _SAME_DENSITY)

    def _densities(self, report: StartReport) -> Array:
        at = _end(report)
        log_weights = self._problem.pooled(at.log_weights)[None]
        return log_densities(self._points, log_weights, at.means[None], at.choleskys[None])[0]

    @cached_property
    def _points(self) -> Array:
        return points_along(self._problem)


def _rough_mass(objective: Objective, at: Parameters) -> float:
    """Log mass of a hill, up to a constant, with the curvature that it would have if the labels were known.

    Unknown labels make a hill wider, so that this is too low, the more so the more components overlap.
    """
    value, statistics = objective.value(at)
    return value + objective.coordinates(at, statistics.weight_counts).log_volume


def _highest_first(reports: list[StartReport]) -> list[int]:
    """Numbers of the starts that have ends."""
    ends = [i for i, report in enumerate(reports) if report.end is not None and np.isfinite(report.end_value)]
    return sorted(ends, key=lambda i: -reports[i].end_value)


def _end(report: StartReport) -> Parameters:
    assert report.end is not None
    return report.end
