"""Densities averaged over the permutations of components that leave the prior unchanged.

The posterior has a copy for each of them. An approximation round one copy, averaged over them, covers all; where
copies overlap that is not the same as multiplying by their number.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, permutations

import numpy as np

from bayesgmm.engines.base import Approximation, Array, Parameters

# A copy whose density at no draw comes nearer than this to the largest one adds nothing.
_NEGLIGIBLE = 12.0  # nats
# Densities that may be computed for all draws and permutations together, and permutations that may be looked at.
_MOST_DENSITIES = 3_000_000
_MOST_ORDERS = 50_000
# Copies are added the nearest first, until those that are left would add no more than this; looked at every so often.
_ENOUGH, _LOOK = 1e-4, 20  # nats
# More than this left out makes an average wrong.
_MATTERS = 0.05  # nats


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
        Over how many of them, those that overlap at the points, the density was summed.
    missing : float
        Nats that the others may add, by extrapolation from the last that were summed.
    """

    log_density: Array
    n_copies: int
    n_overlapping: int
    missing: float = 0.0

    @property
    def complete(self) -> bool:
        """False where more overlap than could be summed."""
        return self.missing < _MATTERS

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
        return OverLabels(log_density=own, n_copies=1, n_overlapping=1)
    near, gain = np.eye(K, dtype=bool), np.full((K, K), -np.inf)
    for group in alike:
        for i, j in combinations(group, 2):
            swapped = np.arange(K)
            swapped[[i, j]] = j, i
            with np.errstate(invalid="ignore"):
                gap = approximation.log_density(points.reordered(swapped)) - own
            gap = gap[~np.isnan(gap)]
            if gap.size:
                near[i, j] = near[j, i] = gap.max() > -_NEGLIGIBLE
                gain[i, j] = gain[j, i] = np.log(np.logaddexp(0.0, gap).mean() + np.finfo(float).tiny)
    blocks = _connected(near)
    n_overlapping = math.prod(math.factorial(len(block)) for block in blocks)
    orders = _nearest_first(blocks, gain)
    most = max(1, _MOST_DENSITIES // S)
    total, used, missing = own, 1, 0.0
    for begin in range(0, min(len(orders), most), _LOOK):
        batch = [approximation.log_density(points.reordered(order)) for order in orders[begin : begin + _LOOK]]
        of_batch = np.logaddexp.reduce(batch, axis=0)
        total, used = np.logaddexp(total, of_batch), used + len(batch)
        left = n_overlapping - used
        if left:
            rest = of_batch - math.log(len(batch)) + math.log(left)
            missing = float(np.logaddexp(0.0, rest - total).mean())
            if missing < _ENOUGH:
                break
    return OverLabels(
        log_density=total - math.log(n_copies),
        n_copies=n_copies,
        n_overlapping=used,
        missing=missing if used < n_overlapping else 0.0,
    )


def _nearest_first(blocks: list[list[int]], gain: Array) -> np.ndarray:
    """Permutations (M, K) within blocks but the identity, those whose copies overlap most first.

    `gain` (K, K) is the log of what swapping two components adds on average; a permutation is taken to add the
    geometric mean of its moves. Where there are too many those that move the fewest components are looked at.
    """
    K = len(gain)
    block_of = {k: b for b, block in enumerate(blocks) for k in block}

    def moves() -> Iterator[np.ndarray]:
        for size in range(2, K + 1):
            for chosen in combinations(range(K), size):
                if all(sum(block_of[j] == block_of[i] for j in chosen) > 1 for i in chosen):
                    for moved in permutations(chosen):
                        if all(i != j and block_of[i] == block_of[j] for i, j in zip(chosen, moved, strict=True)):
                            order = np.arange(K)
                            order[list(chosen)] = moved
                            yield order

    found = list(islice(moves(), _MOST_ORDERS))
    if not found:
        return np.empty((0, K), dtype=np.intp)
    orders = np.stack(found)
    each = np.where(orders == np.arange(K), 0.0, np.maximum(gain[np.arange(K), orders], -1e3))
    return orders[np.argsort(-each.sum(axis=1), kind="stable")]


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
