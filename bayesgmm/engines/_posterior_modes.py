"""The modes of a posterior that evidence needs: every hill with mass, not only the highest one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bayesgmm.engines._objective import Objective
from bayesgmm.engines._optima import WORTH_A_LOOK, distinct
from bayesgmm.engines._polish import climbed
from bayesgmm.engines._search import Start
from bayesgmm.engines.base import Parameters, Problem, StartReport

# Ends of short runs whose values differ by less lie below one mode as a rule.
_ALIKE = 0.05  # nats
_CLIMB = {"max_steps": 400, "tolerance": 1e-4, "floor": 1e-12, "supported": False}


def modes_of(problem: Problem, reports: Sequence[StartReport], most: int) -> list[Parameters]:
    """Modes of the unconstrained density from the reports of a search in it, the highest first; at most so many.

    A search follows its best starts to their ends. Where all of these are the same mode, a lower and wider one may hold
    as much mass and yet have been screened out: its starts are followed here, one for each value.
    """
    objective = Objective(problem, unconstrained=True)
    found = distinct(reports, most)
    if found and found[0].end is not None:
        # Reports of a fit have the value in other units.
        shift = objective.value(found[0].end)[0] - found[0].end_value
        reports = [replace(report, end_value=report.end_value + shift) for report in reports]
        found = distinct(reports, most)
    values = [report.end_value for report in found]
    best = max(values, default=max((r.end_value for r in reports if r.end is not None), default=float("nan")))
    left = (r for r in reports if r.end is not None and not r.status.usable and best - r.end_value < WORTH_A_LOOK)
    for report in sorted(left, key=lambda each: -each.end_value):
        if any(abs(report.end_value - value) < _ALIKE for value in values) or len(values) >= 2 * most:
            continue
        values.append(report.end_value)
        assert report.end is not None
        found.append(climbed(objective, Start.given(report.end), em_steps=0, **_CLIMB))  # type: ignore[arg-type]
    return [each.end for each in distinct(found, most) if each.end is not None]
