"""What to do where a search ends without a proper optimum: only what the declaration is not already."""

from __future__ import annotations

from collections.abc import Sequence

from bayesgmm._status import Status
from bayesgmm.engines.base import Problem, StartReport
from bayesgmm.model import Diagonal, Full, Spherical, Tied
from bayesgmm.model.covariance_priors import FlatCovariance


def no_proper_optimum(problem: Problem, reports: Sequence[StartReport], beside: str = "") -> str:
    """A message for starts of which none is usable; `beside` says what simpler models reach."""
    fewest = problem.model.covariances.fewest_rows(problem.n_features)
    too_few = f"{fewest} rows, no more than its covariance needs"
    n = {status: sum(report.status is status for report in reports) for status in Status}
    ends = [
        (n[Status.SINGULAR], "a component collapsed onto too few distinct rows, or grew beyond all data"),
        (n[Status.TOO_FEW_ROWS], f"a component held at most {too_few}"),
        (n[Status.COINCIDING], "two components coincided or one was empty"),
    ]
    counted = [f"in {count} {what}" for count, what in ends if count] or ["none was followed to its end"]
    listed = counted[0] if len(counted) == 1 else f"{', '.join(counted[:-1])} and {counted[-1]}"
    unbounded = n[Status.SINGULAR] + n[Status.TOO_FEW_ROWS] > 0
    return (
        f"None of {len(reports)} starts reached a proper optimum: {listed}. No usable maximum of the objective was "
        f"found for this model and these data{beside}. {advice(problem, unbounded=unbounded)}"
    )


def advice(problem: Problem, *, unbounded: bool) -> str:
    """What to change, in a sentence; `unbounded` says whether components collapse, so that priors would help."""
    covariances = problem.declared.covariances
    structure = covariances.structure if isinstance(covariances, Tied) else covariances
    several = problem.n_features > 1
    options: list[str] = []
    if unbounded and covariances.innermost is not None and not covariances.bounded():
        improper = isinstance(covariances.innermost, FlatCovariance)
        options.append(f"{'a proper' if improper else 'another'} covariance prior such as InverseWishart()")
    if unbounded and isinstance(covariances, (Full, Diagonal, Spherical)) and problem.K > 1:
        options.append("Tied covariances")
    if unbounded and several and isinstance(structure, Full):
        options.append("Diagonal or Spherical covariances")
    elif unbounded and several and isinstance(structure, Diagonal):
        options.append("Spherical covariances")
    if problem.K > 1:
        options.append("fewer components")
    if not options:
        return "Give more rows, or drop columns that hold few distinct values."
    return use(options)


def use(options: list[str]) -> str:
    """The sentence that offers one of some remedies."""
    return f"Use {options[0] if len(options) == 1 else f'{", ".join(options[:-1])} or {options[-1]}'}."
