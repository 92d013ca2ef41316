"""What estimators of the evidence have in common: rows of numbers, and when two of them contradict each other."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Problem

BOUND, ESTIMATE, EXACT = "bound", "estimate", "exact"
# Two estimates of one number that differ by more than so many of their errors contradict each other.
ERRORS_APART, _NATS = 3.0, 0.01
# Exact, or of an exact sampler: by these others are judged.
_JUDGES = ("telescoping sampler", "closed form", "enumeration")


@dataclass(frozen=True, kw_only=True)
class EvidenceRow:
    """One number for the log evidence, in the data's units.

    Attributes
    ----------
    name, kind : str
    value, error : float
        In nats; the Monte-Carlo standard error, NaN where there is none.
    labels : str
        What was done about the copies of the mode that differ by labels.
    pareto_k : float
        Of importance weights.
    reliable : bool
    note : str
    """

    name: str
    kind: str
    value: float
    error: float = np.nan
    labels: str
    pareto_k: float = np.nan
    reliable: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class EvidenceEstimator:
    """An estimator of the evidence is its options, like an engine."""

    @abstractmethod
    def rows(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> list[EvidenceRow]:
        """Estimate."""


def checked(rows: list[EvidenceRow]) -> list[EvidenceRow]:
    """The rows, where those that contradict an exact sampler or sum are not called reliable."""
    judges = [row for row in rows if row.name in _JUDGES and row.reliable]
    out = []
    for row in rows:
        for judge in judges:
            error = np.hypot(row.error, judge.error)
            if row.kind == ESTIMATE and row.reliable and abs(row.value - judge.value) > _NATS + ERRORS_APART * error:
                row = replace(row, reliable=False, note=f"contradicts the {judge.name}")
        out.append(row)
    return out
