"""Partitions of the rows to start from.

No single kind of start is uniformly best (Biernacki, Celeux & Govaert 2003; Scrucca & Raftery 2015), so several kinds
are offered and all of them are tried for a few steps.

Rows are (n, d) arrays; a partition is an integer array (n,) with values 0..K-1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_LLOYD_STEPS = 8
# Hierarchical clustering needs all distances, so it sees at most this many rows.
_MOST_HIERARCHICAL = 1000
# Ward's method brings the rows down to so many groups a component before covariances can be compared.
_GROUPS_PER_COMPONENT = 12
# Groups of k-means that are joined to one component at random.
_PIECES = 3


def partitions(
    rows: Array,
    whitened: Array,
    n_components: int,
    n_starts: int,
    rng: np.random.Generator,
    *,
    hierarchical: bool = True,
) -> Iterator[tuple[str, Labels]]:
    """Yield ``n_starts`` pairs of a method's name and a partition.

    `rows` are scaled by axis, `whitened` by the data covariance. The deterministic methods come first, unless
    `hierarchical` is false without hierarchical clustering, which takes as long as many EM steps.
    """
    if n_components == 1:
        yield "all rows", np.zeros(len(rows), dtype=np.int64)
        return
    fixed = (
        ("hierarchical, own covariances", lambda: _hierarchical(whitened, n_components, rng, gaussian=True)),
        ("hierarchical, whitened", lambda: _hierarchical(whitened, n_components, rng, gaussian=False)),
        ("hierarchical, scaled", lambda: _hierarchical(rows, n_components, rng, gaussian=False)),
        ("slices", lambda: _slices(rows[:, 0] if rows.shape[1] == 1 else _first_axis(rows), n_components)),
        ("shells", lambda: _slices(np.square(whitened).sum(axis=1), n_components)),
    )
    fixed = fixed if hierarchical else fixed[3:]
    at_random = _at_random(rows, whitened, n_components, rng)
    for i in range(n_starts):
        name, make = fixed[i] if i < len(fixed) else at_random[(i - len(fixed)) % len(at_random)]
        yield name, make()


def agreeing(labels: Labels, known: Labels, n_components: int) -> Labels:
    """A partition with the known labels (-1 where unknown), its groups numbered so as to agree with most of them."""
    from scipy.optimize import linear_sum_assignment

    seen = known >= 0
    together = np.zeros((n_components, n_components))
    np.add.at(together, (labels[seen], known[seen]), 1.0)
    _, numbers = linear_sum_assignment(-together)
    return np.where(seen, known, numbers[labels])


def random_partitions(
    rows: Array, whitened: Array, n_components: int, rng: np.random.Generator
) -> Iterator[tuple[str, Labels]]:
    """Yield pairs of a method's name and a random partition without end, of one kind after the other."""
    joined = ("joined groups", lambda: _joined(whitened, n_components, rng))
    for name, make in cycle((*_at_random(rows, whitened, n_components, rng), joined)):
        yield name, make()


def _at_random(
    rows: Array, whitened: Array, n_components: int, rng: np.random.Generator
) -> tuple[tuple[str, Callable[[], Labels]], ...]:
    return (
        ("k-means, whitened", lambda: _k_means(whitened, n_components, rng)),
        ("k-means, scaled", lambda: _k_means(rows, n_components, rng)),
        ("random rows", lambda: _nearest(whitened, whitened[_chosen(len(rows), n_components, rng)])),
        ("random direction", lambda: _slices(whitened @ rng.standard_normal(rows.shape[1]), n_components)),
    )


def _joined(rows: Array, n_components: int, rng: np.random.Generator) -> Labels:
    # Groups of k-means joined at random: components that cross or enclose each other, which no other kind offers.
    n_groups = _PIECES * n_components
    owner = rng.permutation(np.arange(n_groups) % n_components)
    return owner[_k_means(rows, n_groups, rng)]


def _chosen(n: int, n_components: int, rng: np.random.Generator) -> Labels:
    # Components that hang together may be more than there are rows.
    return rng.choice(n, n_components, replace=n < n_components)


def _nearest(rows: Array, centers: Array) -> Labels:
    return (np.square(centers).sum(axis=1) - 2.0 * rows @ centers.T).argmin(axis=1)


def _k_means(rows: Array, n_components: int, rng: np.random.Generator) -> Labels:
    # k-means++ seeds (Arthur & Vassilvitskii 2007), then a few of Lloyd's steps.
    centers = rows[rng.integers(len(rows))][None]
    distance = np.square(rows - centers[0]).sum(axis=1)
    for _ in range(1, n_components):
        total = distance.sum()
        chosen = rng.choice(len(rows), p=distance / total) if total > 0 else rng.integers(len(rows))
        centers = np.vstack([centers, rows[chosen]])
        distance = np.minimum(distance, np.square(rows - rows[chosen]).sum(axis=1))
    labels = _nearest(rows, centers)
    for _ in range(_LLOYD_STEPS):
        counts = np.bincount(labels, minlength=n_components)
        sums = np.stack([np.bincount(labels, column, n_components) for column in rows.T], axis=1)
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
        moved = _nearest(rows, centers)
        if np.array_equal(moved, labels):
            break
        labels = moved
    return labels


def _slices(score: Array, n_components: int) -> Labels:
    ranks = np.empty(score.size, dtype=np.int64)
    ranks[np.argsort(score, kind="stable")] = np.arange(score.size)
    return ranks * n_components // score.size


def _first_axis(rows: Array) -> Array:
    _, _, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return rows @ axes[0]


def _hierarchical(rows: Array, n_components: int, rng: np.random.Generator, *, gaussian: bool) -> Labels:
    """Ward's method, optionally finished by merging with a covariance for each group (Fraley 1998)."""
    from scipy.cluster.hierarchy import fcluster, ward
    from scipy.spatial.distance import pdist

    n = len(rows)
    seen = np.arange(n) if n <= _MOST_HIERARCHICAL else rng.choice(n, _MOST_HIERARCHICAL, replace=False)
    sample = rows[seen]
    n_groups = min(n_components * (_GROUPS_PER_COMPONENT if gaussian else 1), len(sample))
    labels = fcluster(ward(pdist(sample)), n_groups, criterion="maxclust").astype(np.int64) - 1
    n_groups = int(labels.max()) + 1  # ties can leave fewer groups than asked for
    if gaussian:
        labels = _merge_gaussian(sample, labels, n_groups, n_components)
    if n == len(sample):
        return labels
    present = np.unique(labels)
    centers = np.stack([sample[labels == label].mean(axis=0) for label in present])
    return present[_nearest(rows, centers)]


def _merge_gaussian(rows: Array, labels: Labels, n_groups: int, n_components: int) -> Labels:
    # Classification likelihood with a covariance for each group: merge the pair that raises
    # sum n_k log|S_k / n_k + e I| least; the ridge e keeps tiny groups comparable (Fraley 1998, eq. 6).
    d = rows.shape[1]
    counts = np.bincount(labels, minlength=n_groups).astype(float)
    first = np.stack([np.bincount(labels, column, n_groups) for column in rows.T], axis=1)
    second = np.zeros((n_groups, d, d))
    np.add.at(second, labels, rows[:, :, None] * rows[:, None, :])
    ridge = 0.1 * n_groups ** (-2.0 / d) * np.eye(d)
    groups = np.arange(n_groups)

    def cost(n: Array, s: Array, q: Array) -> Array:
        means = s / n[..., None]
        covariances = q / n[..., None, None] - means[..., :, None] * means[..., None, :]
        return n * np.linalg.slogdet(covariances + ridge)[1]

    own = cost(counts, first, second)
    alive = np.ones(n_groups, dtype=bool)
    merged = cost(counts[:, None] + counts, first[:, None] + first, second[:, None] + second)
    rise = merged - own[:, None] - own
    rise[np.tril_indices(n_groups)] = np.inf
    while alive.sum() > min(n_components, n_groups):
        a, b = np.unravel_index(np.argmin(rise), rise.shape)
        counts[a] += counts[b]
        first[a] += first[b]
        second[a] += second[b]
        alive[b] = False
        groups[groups == b] = a
        rise[b], rise[:, b] = np.inf, np.inf
        own[a] = cost(counts[a], first[a], second[a])
        others = np.flatnonzero(alive & (np.arange(n_groups) != a))
        joint = cost(counts[a] + counts[others], first[a] + first[others], second[a] + second[others])
        change = joint - own[a] - own[others]
        rise[np.minimum(a, others), np.maximum(a, others)] = change
    _, compact = np.unique(groups, return_inverse=True)
    return compact[labels]
