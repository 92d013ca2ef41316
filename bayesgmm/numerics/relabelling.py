"""Labels for the draws of a mixture: undoing label switching after sampling.

Draws are first matched to a pivot, the equivalence classes representatives algorithm of Papastamoulis & Iliopoulos
(2010) with allocation probabilities in place of allocations. From there Stephens' (2000) algorithm minimises the
Kullback-Leibler divergence of the draws' allocation probabilities from their mean.
Both need one linear assignment problem a draw, and see the allocation probabilities a chunk of draws at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Orders = NDArray[np.intp]
# Called once for each sweep over the draws; yields arrays (draws of the chunk, K, rows), in the order of the draws.
Allocations = Callable[[], Iterator[Array]]

# A row that no draw gives to a component has mean probability 0; its log must stay finite.
_SMALLEST_PROBABILITY = 1e-300
# Gains below this, relative to the largest cost, are rounding: the order stays, so that ties cannot make it cycle.
_SMALLEST_GAIN = 1e-13
# exp(-3) = 1/20: another labelling of such a draw is nearly as good.
AMBIGUOUS = 3.0  # nats


@dataclass(frozen=True, kw_only=True)
class Relabelling:
    """What relabelling returns, for S draws of K components.

    Attributes
    ----------
    orders : (S, K) array of int
        Component k of the relabelled draw s is component ``orders[s, k]`` of the draw as sampled.
    margins : (S,) array
        Nats by which the second best permitted permutation of a draw is worse; infinite where only one is permitted.
    rounds : int
        Rounds of Stephens' algorithm, the one that found nothing to change included.
    converged : bool
        Whether no draw can lower the objective by another permutation. If not, `margins` are against the mean
        allocation probabilities of the last but one round.
    """

    orders: Orders
    margins: Array
    rounds: int
    converged: bool

    @property
    def n_switched(self) -> int:
        """How many draws had other labels."""
        return int((self.orders != np.arange(self.orders.shape[1])).any(axis=1).sum())

    @property
    def n_ambiguous(self) -> int:
        """How many draws could nearly have others."""
        return int((self.margins < AMBIGUOUS).sum())


def relabelling(
    allocations: Allocations,
    pivot: Array,
    classes: NDArray[np.integer],
    *,
    n_draws: int,
    row_weight: float = 1.0,
    max_rounds: int = 50,
    on_round: Callable[[int, float, int], None] | None = None,
) -> Relabelling:
    """Find the permutations that give a component the same label in every draw.

    Parameters
    ----------
    allocations : callable
        Starts a sweep over the draws; there is one more sweep than rounds.
        Yields allocation probabilities (draws of the chunk, K, rows).
    pivot : (K, rows) array
        Allocation probabilities at the reference whose labels the draws take on, such as the MAP.
    classes : (K,) array of int
        Only components of equal class may change places: those that the prior treats alike.
    n_draws : int
    row_weight : float
        Rows of the data for each row here, where these are a subsample. Multiplies costs and margins.
    max_rounds : int
        At least 1.
    on_round : callable, optional
        Told the round, its cost and how many draws changed their order. The cost is Stephens' objective less the
        draws' negative entropies, which no permutation changes.
    """
    K = len(pivot)
    classes = np.asarray(classes)
    if classes.shape != (K,):
        raise ValueError(f"classes must have shape ({K},), got {classes.shape}.")
    if max_rounds < 1:
        raise ValueError(f"max_rounds must be at least 1, got {max_rounds}.")
    orders = np.tile(np.arange(K), (n_draws, 1))
    if np.unique(classes).size == K:
        return Relabelling(orders=orders, margins=np.full(n_draws, np.inf), rounds=0, converged=True)

    # A draw's overlap with the pivot, and its cross-entropy to the mean, are linear in its allocation probabilities.
    forbidden = classes[:, None] != classes
    sweep = _sweep(allocations, -row_weight * pivot, forbidden, orders)
    previous, converged, rounds = np.inf, False, 0
    while rounds < max_rounds and not converged:
        rounds += 1
        loss = -row_weight * np.log(np.maximum(sweep.mean, _SMALLEST_PROBABILITY))
        sweep = _sweep(allocations, loss, forbidden, sweep.orders)
        if on_round is not None:
            on_round(rounds, sweep.cost, sweep.changed)
        converged = sweep.changed == 0 or sweep.cost >= previous
        previous = sweep.cost
    return Relabelling(orders=sweep.orders, margins=sweep.margins, rounds=rounds, converged=converged)


def permuted(values: Array, orders: Orders, *, axis: int = 1) -> Array:
    """Apply the orders (S, K) of a relabelling to axis 1 of an (S, K, ...) array, or to another one."""
    moved = np.moveaxis(values, axis, 1)
    return np.moveaxis(moved[np.arange(len(orders))[:, None], orders], 1, axis)


@dataclass(frozen=True, kw_only=True)
class _Sweep:
    orders: Orders
    margins: Array
    mean: Array
    cost: float
    changed: int


def _sweep(allocations: Allocations, loss: Array, forbidden: NDArray[np.bool_], orders: Orders) -> _Sweep:
    """Give every draw its best order under `loss` (K, rows): a row allocated to label k costs ``loss[k]`` there."""
    from scipy.optimize import linear_sum_assignment

    n_draws = len(orders)
    orders = orders.copy()
    margins = np.empty(n_draws)
    total = np.zeros(loss.shape)
    cost, changed, begin = 0.0, 0, 0
    for chunk in allocations():
        stop = begin + len(chunk)
        if chunk.shape[1:] != loss.shape or stop > n_draws:
            raise ValueError(f"Expected {n_draws} draws of shape {loss.shape}, got {chunk.shape} after draw {begin}.")
        # costs[s, k, j] is what it costs that component j of draw s has label k.
        costs = np.swapaxes(np.tensordot(chunk, loss, axes=(2, 1)), 1, 2)
        rounding = _SMALLEST_GAIN * np.abs(costs).max(axis=(1, 2))
        costs = np.where(forbidden, np.inf, costs)

        here, margin = orders[begin:stop], margins[begin:stop]
        margin[:] = least_rise(costs, here)
        improvable = np.flatnonzero(margin < -rounding)
        for s in improvable:
            here[s] = linear_sum_assignment(costs[s])[1]
        margin[improvable] = least_rise(costs[improvable], here[improvable])

        draws = np.arange(len(chunk))
        for k, row in enumerate(total):  # one label at a time, to copy little of the chunk
            row += chunk[draws, here[:, k]].sum(axis=0)
        cost += float(np.take_along_axis(costs, here[:, :, None], axis=2).sum())
        changed += len(improvable)
        begin = stop
    if begin != n_draws:
        raise ValueError(f"Expected {n_draws} draws, got {begin}.")
    return _Sweep(orders=orders, margins=np.maximum(margins, 0.0), mean=total / n_draws, cost=cost, changed=changed)


def least_rise(costs: Array, orders: Orders) -> Array:
    """Least rise of the cost from `orders` to any other permutation; negative exactly where they are not optimal.

    Another permutation passes components along cycles of labels. If no cycle lowers the cost, the cheapest single
    cycle leads to the second best permutation. Shortest paths between labels (Floyd & Warshall) find it for all draws
    together, in K^3 steps where forbidding each chosen pair and solving again takes K assignment problems.

    Parameters
    ----------
    costs : (S, K, K) array
        Cost of label k for component j, infinite where it is not permitted.
    orders : (S, K) array of int
        A permitted component for each label.

    Returns
    -------
    (S,) array
        Infinite where no other permutation is permitted.
    """
    K = costs.shape[1]
    own = np.arange(K)
    # paths[s, k, l]: the rise when label k takes over the component of label l.
    paths = np.take_along_axis(costs, orders[:, None, :], axis=2)
    paths = paths - paths[:, own, own][:, :, None]
    paths[:, own, own] = np.inf  # to keep one's component is no cycle
    for via in range(K):
        np.minimum(paths, paths[:, :, via, None] + paths[:, via, None, :], out=paths)
    return paths[:, own, own].min(axis=1)
