"""Which estimate of the evidence is printed for each number of components, and which is absent, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesgmm.engines._progress import Progress
from bayesgmm.engines._telescoping import FEWEST_VISITS
from bayesgmm.engines.base import Array, Problem
from bayesgmm.inference._assess import Assessed
from bayesgmm.inference._guards import Limits, pointwise
from bayesgmm.inference._visited import ByVisits, by_visits

TELESCOPING, NOWHERE = "telescoping", "none"
# Two estimates contradict each other where they differ by more than so many of their errors and by more than rounding.
_ERRORS, _NATS = 4.0, 0.01


@dataclass(frozen=True, kw_only=True)
class EvidenceTable:
    """Evidence of structures, numbers and scales; what is not reliable is NaN, and `notes` say why.

    Attributes
    ----------
    scales : tuple of float
    values, errors, effective : arrays
    source : array of str
    notes : list of lists of str
    """

    scales: tuple[float, ...]
    values: Array
    errors: Array
    effective: Array
    source: NDArray[np.str_]
    notes: list[list[str]]


def evidence_table(
    problems: Sequence[Problem],
    numbers: Sequence[int],
    scales: tuple[float, ...],
    found: Sequence[Assessed],
    rngs: Sequence[np.random.Generator],
    progress: Progress,
    cores: int,
    *,
    by: str,
) -> EvidenceTable:
    """Decide: visits where there are enough, else what draws gave where it may be trusted and is possible.

    Parameters
    ----------
    problems : sequence of Problem
        One for each structure, with the largest number of components.
    numbers : sequence of int
        Rising.
    scales : tuple of float
    found : sequence of Assessed
        Structures by numbers, the numbers first.
    rngs : sequence of Generator
        One for each structure.
    progress : Progress
    cores : int
    by : str
        What made the estimates from draws.
    """
    shape = len(problems), len(numbers), len(scales)
    values, errors, effective = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
    source = np.full(shape, NOWHERE, dtype="<U20")
    notes: list[list[str]] = [[] for _ in found]
    for s, (problem, rng) in enumerate(zip(problems, rngs, strict=True)):
        own = found[s * len(numbers) : (s + 1) * len(numbers)]
        visits = _visits(problem, numbers, scales, own, rng, progress, cores)
        for j, K in enumerate(numbers):
            cells = [_cell(problem, own[j], visits, K, i, by) for i in range(len(scales))]
            cells = _within_limits(problem, K, scales, cells)
            for i, cell in enumerate(cells):
                values[s, j, i], errors[s, j, i], source[s, j, i] = cell.value, cell.error, cell.source
                if visits is not None:
                    effective[s, j, i] = visits.effective[K - 1, i]
            notes[s * len(numbers) + j] += _in_words(cells, scales)
        if visits is not None and visits.note:
            notes[s * len(numbers)].append(f"telescoping sampler: {visits.note}")
    return EvidenceTable(scales=scales, values=values, errors=errors, effective=effective, source=source, notes=notes)


@dataclass(frozen=True, kw_only=True)
class _Cell:
    value: float = np.nan
    error: float = np.nan
    source: str = NOWHERE
    why: str = ""
    limits: Limits = field(default_factory=Limits)

    def absent(self, why: str) -> _Cell:
        return _Cell(why=why)


def _visits(
    problem: Problem,
    numbers: Sequence[int],
    scales: tuple[float, ...],
    found: Sequence[Assessed],
    rng: np.random.Generator,
    progress: Progress,
    cores: int,
) -> ByVisits | None:
    most = numbers[-1]
    known, known_errors = np.full((most, len(scales)), np.nan), np.full((most, len(scales)), np.nan)
    for K, each in zip(numbers, found, strict=True):
        if each.log_evidence.size:
            known[K - 1] = np.where(np.isfinite(each.log_evidence), each.log_evidence + problem.log_volume, np.nan)
            known_errors[K - 1] = np.where(each.reliable, each.log_evidence_error, np.nan)
    return by_visits(problem, most, scales, known, known_errors, rng, progress, cores)


def _cell(problem: Problem, one: Assessed, visits: ByVisits | None, K: int, i: int, by: str) -> _Cell:
    there = bool(one.log_evidence.size)
    value, error = (float(one.log_evidence[i]), float(one.log_evidence_error[i])) if there else (np.nan, np.nan)
    fine = there and bool(one.reliable[i]) and np.isfinite(value) and np.isfinite(error)
    if visits is not None and visits.effective[K - 1, i] >= FEWEST_VISITS and not visits.note:
        by_visit = float(visits.values[K - 1, i]) - problem.log_volume
        visit_error = float(visits.errors[K - 1, i])
        why = ""
        if fine and abs(by_visit - value) > _NATS + _ERRORS * np.hypot(error, visit_error):
            why = f"{by} gave {value:.2f} (error {error:.2f}) and missed a part of the posterior"
        limits = visits.limits[K - 1][i]
        return _Cell(value=by_visit, error=visit_error, source=TELESCOPING, why=why, limits=limits)
    if not there:
        return _Cell()
    if fine:
        return _Cell(value=value, error=error, source=by, limits=one.limits[i])
    guess = f" ({value:.1f})" if np.isfinite(value) else ""
    return _Cell(why=(one.why[i] or "its error is not known") + guess)


def _within_limits(problem: Problem, K: int, scales: tuple[float, ...], cells: list[_Cell]) -> list[_Cell]:
    """Without what the evidence at the declared width rules out."""
    own = cells[scales.index(1.0)]
    out = []
    for scale, cell in zip(scales, cells, strict=True):
        if scale != 1.0 and np.isfinite(cell.value) and np.isfinite(own.value):
            limits = pointwise(problem, K, scale).within(cell.limits)
            wrong = limits.why_not(cell.value - own.value, float(np.hypot(cell.error, own.error)))
            cell = cell.absent(wrong) if wrong else cell
        out.append(cell)
    return out


def _in_words(cells: list[_Cell], scales: tuple[float, ...]) -> list[str]:
    """What is absent and why, the same reason once."""
    by_reason: dict[tuple[bool, str], list[str]] = {}
    for cell, scale in zip(cells, scales, strict=True):
        if cell.why:
            by_reason.setdefault((bool(np.isnan(cell.value)), cell.why), []).append(f"{scale:.3g}")
    return [
        f"{'no evidence' if absent else 'evidence'} at {', '.join(places)} times the width: {why}"
        for (absent, why), places in by_reason.items()
    ]
