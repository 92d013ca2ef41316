"""Densities averaged over the permutations of components that leave the prior unchanged.

The posterior has a copy for each of them. An approximation round one copy, averaged over them, covers all; where
copies overlap that is not the same as multiplying by their number.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, permutations, product

import numpy as np

from bayesgmm.engines.base import Approximation, Array, Parameters

# A copy whose density at no draw comes nearer than this to the largest one adds nothing.
_NEGLIGIBLE = 12.0  # nats
# Densities that may be computed for all draws and permutations together.
_MOST_DENSITIES = 3_000_000


@dataclass(frozen=True, kw_only=True)
class OverLabels:
    """A density averaged over labels.

    Attributes
    ----------
    log_density : (S,) array
        At each point.
    n_copies : int
        How many permutations leave the prior unchanged.
    n_overlapping : int
        Over how many of them, those that overlap at the points, the density was summed; the others add nothing.
    complete : bool
        False where more overlap than could be summed.
    """

    log_density: Array
    n_copies: int
    n_overlapping: int
    complete: bool

    def describe(self) -> str:
        """What was done about the copies, in one sentence."""
        if self.n_copies == 1:
            return "the prior tells all components apart: one copy"
        if self.n_overlapping == 1:
            return f"{self.n_copies} copies of the mode, none of which overlap"
        rest = "" if self.complete else ", of more that overlap: the value is too high"
        return f"{self.n_copies} copies of the mode, averaged over the {self.n_overlapping} that overlap{rest}"


def over_labels(
    approximation: Approximation, points: Parameters, keys: Sequence[Hashable], known: Array | None = None
) -> OverLabels:
    """Average the density of an approximation over the permutations of components with equal keys.

    Parameters
    ----------
    approximation : Approximation
    points : Parameters
        Many, in standard units.
    keys : sequence
        One for each component, as `FilledMixture.keys` gives them.
    known : (S,) array, optional
        Density at the points as they are, where that has been computed.
    """
    S, K = len(points.means), len(keys)
    own = approximation.log_density(points) if known is None else known
    alike = [[k for k in range(K) if keys[k] == key] for key in dict.fromkeys(keys)]
    n_copies = math.prod(math.factorial(len(each)) for each in alike)
    if n_copies == 1:
        return OverLabels(log_density=own, n_copies=1, n_overlapping=1, complete=True)
    near = np.eye(K, dtype=bool)
    for group in alike:
        for i in group:
            for j in group:
                if i < j:
                    swapped = np.arange(K)
                    swapped[[i, j]] = j, i
                    there = approximation.log_density(points.reordered(swapped))
                    near[i, j] = near[j, i] = np.max(there - own) > -_NEGLIGIBLE
    blocks = _connected(near)
    n_overlapping = math.prod(math.factorial(len(block)) for block in blocks)
    most = max(1, _MOST_DENSITIES // S)
    total = np.full(S, -np.inf)
    used = 0
    for order in islice(_orders(blocks, K), most):
        same = np.array_equal(order, np.arange(K))
        total = np.logaddexp(total, own if same else approximation.log_density(points.reordered(order)))
        used += 1
    log_density = total - math.log(n_copies)
    return OverLabels(log_density=log_density, n_copies=n_copies, n_overlapping=used, complete=used == n_overlapping)


def _connected(near: Array) -> list[list[int]]:
    """Components in blocks: two are in one block if a chain of near ones leads from one to the other."""
    left, blocks = set(range(len(near))), []
    while left:
        block, frontier = set(), {min(left)}
        while frontier:
            block |= frontier
            frontier = {j for i in frontier for j in np.flatnonzero(near[i])} - block
        blocks.append(sorted(int(i) for i in block))
        left -= block
    return blocks


def _orders(blocks: list[list[int]], K: int) -> Iterator[np.ndarray]:
    for chosen in product(*(permutations(block) for block in blocks)):
        order = np.empty(K, dtype=np.intp)
        for block, moved in zip(blocks, chosen, strict=True):
            order[block] = moved
        yield order
