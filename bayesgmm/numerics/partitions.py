"""Partitions of rows from the probabilities that two of them belong together.

A partition is an integer array (N,) with values 0, 1, ...; the probabilities are a symmetric (N, N) matrix with ones on
the diagonal, whose size is what limits N.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

_MOST_SWEEPS = 30
# A move has to lower a loss by more than rounding does.
_RELEVANT = 1e-9


def co_clustering(responsibilities: Iterable[Array]) -> Array:
    """Probabilities (N, N) that rows have the same label, from chunks (draws, K, N) of responsibilities.

    Labels are independent given the parameters, so that a draw gives sum_k r_ik r_jk; no draw is labelled.
    """
    total, n_draws = None, 0
    for chunk in responsibilities:
        flat = chunk.reshape(-1, chunk.shape[-1])
        product = flat.T @ flat
        total = product if total is None else total + product
        n_draws += len(chunk)
    if total is None:
        raise ValueError("There are no draws.")
    total /= n_draws
    np.fill_diagonal(total, 1.0)
    return np.minimum(total, 1.0)


def binder_loss(together: Array, labels: Labels) -> float:
    """Expected share of pairs of rows that are together in one partition and apart in the other (Binder 1978)."""
    n = len(labels)
    same = labels[:, None] == labels
    wrong = np.where(same, 1.0 - together, together)
    return float((wrong.sum() - np.trace(wrong)) / max(n * (n - 1), 1))


def variation_of_information(together: Array, labels: Labels) -> float:
    """Lower bound of the expected variation of information, in nats (Wade & Ghahramani 2018, equation 13)."""
    same = labels[:, None] == labels
    sizes, shared = same.sum(axis=1), (together * same).sum(axis=1)
    return float((np.log(sizes) + np.log(together.sum(axis=1)) - 2.0 * np.log(shared)).mean())


LOSSES: dict[str, Callable[[Array, Labels], float]] = {"vi": variation_of_information, "binder": binder_loss}


def best_partition(together: Array, loss: str, most_clusters: int) -> tuple[Labels, float]:
    """The partition of the least loss found, and that loss.

    Cuts of two hierarchical trees are compared, and the best of them is improved row by row until no row should move.
    Clusters are numbered by size.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    n = len(together)
    if n == 1:
        return np.zeros(1, dtype=np.intp), 0.0
    value = LOSSES[loss]
    found = np.zeros(n, dtype=np.intp)
    lowest = value(together, found)
    distances = np.maximum(1.0 - together[np.triu_indices(n, 1)], 0.0)
    for method in ("average", "complete"):
        tree = linkage(distances, method)
        for k in range(2, min(most_clusters, n) + 1):
            labels = fcluster(tree, k, "maxclust").astype(np.intp) - 1
            if (here := value(together, labels)) < lowest:
                found, lowest = labels, here
    improve = _improved_binder if loss == "binder" else _improved_vi
    found = _by_size(improve(together, found))
    return found, value(together, found)


def _by_size(labels: Labels) -> Labels:
    _, first, numbers, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(sizes.size, dtype=np.intp)
    rank[np.lexsort((first, -sizes))] = np.arange(sizes.size)
    return rank[numbers]


def _sums(together: Array, labels: Labels) -> Array:
    """Sums (N, C + 1) of the probabilities of each row with the rows of each cluster; the last one is empty."""
    member = np.zeros((len(labels), labels.max() + 2))
    member[np.arange(len(labels)), labels] = 1.0
    return together @ member


def _improved_binder(together: Array, labels: Labels) -> Labels:
    labels = labels.copy()
    for _ in range(_MOST_SWEEPS):
        labels = np.unique(labels, return_inverse=True)[1]
        sums, sizes = _sums(together, labels), np.bincount(labels, minlength=labels.max() + 2).astype(float)
        moved = False
        for i in range(len(labels)):
            own = labels[i]
            cost = sizes - 2.0 * sums[i]
            cost[own] += 1.0  # the row itself: it counts once in both sums
            best = int(cost.argmin())
            if cost[best] < cost[own] - _RELEVANT and (best < sizes.size - 1 or sizes[own] > 1):
                labels[i], moved = best, True
                sums[:, own] -= together[i]
                sums[:, best] += together[i]
                sizes[own] -= 1
                sizes[best] += 1
                if best == sizes.size - 1:  # a new cluster; keep an empty one
                    sums, sizes = np.hstack([sums, np.zeros((len(labels), 1))]), np.append(sizes, 0.0)
        if not moved:
            break
    return labels


def _improved_vi(together: Array, labels: Labels) -> Labels:
    labels = labels.copy()

    def term(members: Labels, sums: Array) -> float:
        return members.size * np.log(members.size) - 2.0 * np.log(sums).sum() if members.size else 0.0

    for _ in range(_MOST_SWEEPS):
        labels = np.unique(labels, return_inverse=True)[1]
        sums, moved = _sums(together, labels), False
        # Rows that nothing else would take stay where they are; looking at the others is what takes time.
        doubtful = np.flatnonzero(1.0 - sums[np.arange(len(labels)), labels] / sums.sum(axis=1) > 1e-3)
        for i in doubtful:
            own = labels[i]
            mine = np.flatnonzero(labels == own)
            rest = mine[mine != i]
            left = term(rest, sums[rest, own] - together[i, rest])
            before = term(mine, sums[mine, own])
            gains = np.full(sums.shape[1], -np.inf)
            for c in range(sums.shape[1]):
                if c != own:
                    theirs = np.flatnonzero(labels == c)
                    joined = np.append(theirs, i)
                    after = term(joined, np.append(sums[theirs, c] + together[i, theirs], sums[i, c] + 1.0))
                    gains[c] = before + term(theirs, sums[theirs, c]) - left - after
            best = int(gains.argmax())
            if gains[best] > _RELEVANT and (best < sums.shape[1] - 1 or rest.size):
                labels[i], moved = best, True
                sums[:, own] -= together[i]
                sums[:, best] += together[i]
                if best == sums.shape[1] - 1:
                    sums = np.hstack([sums, np.zeros((len(labels), 1))])
        if not moved:
            break
    return labels
