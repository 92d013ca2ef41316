"""How sure it is that a search has found the best optimum, from how often starts from scratch ended where.

A start that leaves an optimum that is known already is no independent witness and does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesgmm._status import Status
from bayesgmm.engines.base import Array

GIVEN, MOVED, SIMPLER = "given", "split and merge", "simpler model"
_DEPENDENT = (GIVEN, MOVED, SIMPLER)
# Ends closer than this count as one optimum, in nats; those that were not followed to the end stop short of it.
_SAME = 0.1
# The best optimum is believed where so many starts, of two kinds at least, and this share of all have reached it.
_REACHED = 3
_KINDS = 2
_SHARE = 0.25
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Sureness:
    """Counts of starts from scratch that were followed and did not end in a collapsed component.

    Attributes
    ----------
    followed : int
    reached : int
        How many of them reached the best optimum.
    kinds : int
        Of how many kinds these were.
    seen_once : int
        Number of optima that one of them alone has reached.
    """

    followed: int
    reached: int
    kinds: int
    seen_once: int

    @property
    def enough(self) -> bool:
        """Whether many independent starts agree, so that to go on is not worth while."""
        several = self.reached >= _REACHED and self.kinds >= _KINDS
        return several and self.reached >= _SHARE * self.followed

    @property
    def new(self) -> float:
        """Estimated probability that one more start ends at an optimum not seen yet (Good 1953), better or not."""
        return self.seen_once / self.followed if self.followed else 1.0

    @property
    def better(self) -> float:
        """Upper 95 % limit of the probability that one more start ends at a better optimum.

        None of those followed has, which happens with probability (1 - p)^n.
        """
        return 1.0 - (1.0 - _CONFIDENCE) ** (1.0 / self.followed) if self.followed else 1.0


def sureness(methods: Sequence[str], statuses: Sequence[Status], end_values: Array, best: float) -> Sureness:
    """Count ends by value; `best` is that of the best optimum (see Finch, Mendell & Thode 1989, JASA 84:1020)."""
    proper = [status.usable or status is Status.SCREENED_OUT for status in statuses]
    fresh = np.array([method not in _DEPENDENT for method in methods], dtype=bool)
    counted = np.flatnonzero(fresh & np.array(proper, dtype=bool) & np.isfinite(end_values))
    ends = end_values[counted]
    order = np.argsort(-ends)
    groups = np.cumsum(np.append(True, -np.diff(ends[order]) > _SAME)) if ends.size else np.empty(0, dtype=int)
    sizes = np.bincount(groups.astype(int))
    at_best = [methods[i] for i in counted[ends > best - _SAME]]
    return Sureness(
        followed=counted.size, reached=len(at_best), kinds=len(set(at_best)), seen_once=int((sizes == 1).sum())
    )
