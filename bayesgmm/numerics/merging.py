"""Which components of a mixture are one cluster: the entropy hierarchy of Baudry et al. (2010), for many draws at once.

The entropy of soft labels is -sum_i u_i sum_k r_ik log r_ik, with u_i the units that a row stands for. Merging two
clusters adds their responsibilities and lowers it by what is unknown about the label within the pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# With three components the two lines of an elbow go through all points, so that there is one bend and it fits.
FEWEST_FOR_ELBOW = 4
# Overlaps of two Normals with equal sds and any weights that are 4.5 and 3 sds apart. Below the first a pair is never
# merged, from the second on always; in between the elbow decides, or where there is none the second.
SEPARATE = 0.05
ALIKE = 0.25
# That of two Normals 3.5 sds apart, or 4 in a sample of 60 rows: a merge with less joins what may be groups of its own.
DISTINCT = 0.15


@dataclass(frozen=True, kw_only=True)
class Hierarchies:
    """What merging gives, for S sets of responsibilities of K components; axis 1 has n - 1 for n clusters.

    Attributes
    ----------
    entropy : (S, K) array
    cluster_of : (S, K, K) array of int
        Cluster of each component; clusters are numbered by their first components.
    gain : (S, K) array
        Fall of the entropy in the merge that led to so many clusters; NaN for K clusters.
    units : (S, K) array
        Expected units in the two clusters merged; NaN for K clusters.
    overlap : (S, K) array
        The gain as a share of what it would be if the two clusters could not be told apart, 0 to 1: the share of the
        label's entropy that the data leave. NaN for K clusters.
    occupied : (S,) array of int
        How many components were not empty; the others are merged before all else.
    """

    entropy: Array
    cluster_of: NDArray[np.intp]
    gain: Array
    units: Array
    overlap: Array
    occupied: NDArray[np.intp]


def hierarchies(responsibilities: Array, units: Array, *, empty_below: float) -> Hierarchies:
    """Merge, again and again, the two clusters whose merge lowers the entropy most.

    Parameters
    ----------
    responsibilities : (S, K, n) array
    units : (n,) array
        How many units each row stands for.
    empty_below : float
        A component with fewer expected units is empty. As long as there is one, each merge has one in it.
    """
    r = np.array(responsibilities, dtype=float)
    S, K, _ = r.shape
    draws = np.arange(S)
    sizes = r @ units
    occupied = np.maximum((sizes >= empty_below).sum(axis=1), 1)
    own = _negative_entropies(r, units)
    gains = np.full((S, K, K), -np.inf)
    for a in range(K):
        for b in range(a + 1, K):
            gains[:, a, b] = gains[:, b, a] = _gain(r[:, a], r[:, b], own[:, a], own[:, b], units)
    entropy, gain, merged, overlap = (np.full((S, K), np.nan) for _ in range(4))
    entropy[:, -1] = np.maximum(-own.sum(axis=1), 0.0)
    members = np.tile(np.arange(K), (S, 1))
    cluster_of = np.empty((S, K, K), dtype=np.intp)
    cluster_of[:, -1] = members
    for left in range(K - 1, 0, -1):
        empty = sizes < empty_below
        among = empty[:, :, None] | empty[:, None, :] | ~empty.any(axis=1)[:, None, None]
        # A cluster that is gone has gains of -inf, so it is never chosen.
        flat = np.where(among, gains, -np.inf).reshape(S, -1).argmax(axis=1)
        pair = np.sort(np.stack(np.unravel_index(flat, (K, K)), axis=1), axis=1)
        first, second = pair.T
        lost = np.maximum(gains[draws, first, second], 0.0)
        a, b = sizes[draws, first], sizes[draws, second]
        gain[:, left - 1], merged[:, left - 1] = lost, a + b
        overlap[:, left - 1] = np.clip(lost / np.maximum(_label_entropy(a, b), np.finfo(float).tiny), 0.0, 1.0)
        r[draws, first] += r[draws, second]
        sizes[draws, first], sizes[draws, second] = a + b, np.inf
        joined = r[draws, first]
        own[draws, first] = _negative_entropies(joined, units)
        own[draws, second] = 0.0
        members = np.where(members == second[:, None], first[:, None], members)
        cluster_of[:, left - 1] = _numbered(members)
        entropy[:, left - 1] = np.maximum(-own.sum(axis=1), 0.0) if left > 1 else 0.0
        gains[draws, second] = -np.inf
        gains[draws, :, second] = -np.inf
        fresh = np.full((S, K), -np.inf)
        for k in range(K):
            fresh[:, k] = _gain(joined, r[:, k], own[draws, first], own[:, k], units)
        fresh[gains[draws, first] == -np.inf] = -np.inf
        gains[draws, first] = fresh
        gains[draws, :, first] = fresh
    return Hierarchies(
        entropy=entropy, cluster_of=cluster_of, gain=gain, units=merged, overlap=overlap, occupied=occupied
    )


def recommended(entropy: Array, units: Array, overlap: Array) -> tuple[int, int | None]:
    """Number of clusters, and the one at the elbow, from what merging m occupied components gave, (m,) each.

    The elbow alone can say neither 1 nor m and sees nothing in fewer than four components. So pairs that overlap by
    less than `SEPARATE` are never merged and pairs from `ALIKE` on always are, up to the first merge that is neither.
    """
    m = entropy.size
    least, most = _merged_while(overlap >= SEPARATE), _merged_while(overlap >= ALIKE)
    if m < FEWEST_FOR_ELBOW:
        return most, None
    bend = elbow(entropy, units)
    return int(np.clip(bend, least, most)), bend


def _merged_while(wanted: NDArray[np.bool_]) -> int:
    """Number of clusters after all merges before the first that is not wanted."""
    left = wanted.size
    while left > 1 and wanted[left - 2]:
        left -= 1
    return left


def elbow(entropy: Array, units: Array) -> int:
    """Number of clusters at the bend of the entropy against the cumulative number of units merged.

    Two lines that share the point at the bend are fitted by least squares, for every bend from 2 to one less than the
    number of points (Baudry et al. 2010, section 3; the rule of `clustCombi` in mclust).

    Parameters
    ----------
    entropy : (m,) array
        With 1 ... m clusters, m at least 4.
    units : (m,) array
        Units merged by the merge that led to so many; the last one is not used.
    """
    misfits = [
        sum(float(np.square(entropy[at] - line).sum()) for at, line in elbow_lines(entropy, units, bend))
        for bend in range(2, entropy.size)
    ]
    return 2 + int(np.argmin(misfits))


def elbow_lines(entropy: Array, units: Array, bend: int) -> list[tuple[slice, Array]]:
    """The two lines that meet at a bend: for each the points that it goes through, and its values there."""
    x = np.concatenate([[0.0], np.cumsum(units[:-1])])
    lines = []
    for at in (slice(0, bend), slice(bend - 1, entropy.size)):
        apart, y = x[at] - x[at].mean(), entropy[at]
        lines.append((at, y.mean() + apart * (apart @ y) / (apart @ apart)))
    return lines


def _negative_entropies(r: Array, units: Array) -> Array:
    """Sum over rows (the last axis) of u r log r."""
    return _xlogx(r) @ units


def _gain(a: Array, b: Array, own_a: Array, own_b: Array, units: Array) -> Array:
    """What merging clusters with responsibilities `a` and `b` (S, n) takes from the entropy, (S,)."""
    return _xlogx(a + b) @ units - own_a - own_b


def _xlogx(r: Array) -> Array:
    # The smallest positive number in place of 0 costs less than a case distinction, and 0 times its log is 0.
    return r * np.log(np.maximum(r, np.finfo(float).tiny))


def _label_entropy(a: Array, b: Array) -> Array:
    """Entropy (S,) of a label that is one of two values for `a` and `b` units."""
    return _xlogx(a + b) - _xlogx(a) - _xlogx(b)


def _numbered(members: NDArray[np.intp]) -> NDArray[np.intp]:
    """Clusters 0, 1, ... in the order of their first components, which `members` (S, K) names them by."""
    first = members == np.arange(members.shape[1])
    return np.take_along_axis(np.cumsum(first, axis=1) - 1, members, axis=1)
