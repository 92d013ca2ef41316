"""The gap between negatives and positives that the droplets of all wells show together, and counts on either side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bayesgmm.ddpcr._shape import middle_and_spread

Array = NDArray[np.float64]

# All lengths are in spreads of the negatives. A gap is at least so wide, and no width beyond the second counts for it.
_NARROWEST, _WIDEST = 6.0, 20.0
# Heights of the pooled droplets are binned so finely; what lies beyond the last bin is put there.
_BIN, _LOWEST, _MOST_BINS = 0.25, -10.0, 80_000
# A gap begins at least so high, and so large a part of what lies above it may lie in it: rain.
_FIRST, _RAIN = 3.0, 0.01
# A plate shows where positives are if so many lie above the gap, or fewer that lie together: in a part of their height.
_CLUSTER, _FEWEST_SHOWN, _TOGETHER = 100, 6, 0.25
# Ends of amplitudes that a split into two clusters does not look at: stray droplets.
_STRAY = 5e-4
# A split into two explains so much of the variance; cutting one Normal in two explains 2 / pi.
_SPLIT = 0.75
# The lower cluster of a well lies among the negatives up to so much of the way to the positives.
_SHIFT = 0.4
# A well shows its negatives if so many lie within two spreads; theirs is no less than this part of the plate's.
_FEWEST_NEGATIVES, _LEAST_SPREAD = 30, 0.2
# The lowest gap counts if it scores so much of the best: higher up lie further kinds of positives.
_LOWEST_SCORE = 0.5
# Clusters of positives: ends of the heights that are looked at, droplets at a peak, depth of a valley as a part of the
# lower peak and in Poisson errors, and the least part of the positives.
_ENDS, _FEWEST_IN_A_CLUSTER, _DEEP, _CERTAIN, _PART = (0.002, 0.998), 15.0, 0.3, 4.0, 0.03
# A threshold is as low as the window about it holds hardly more than is typical of the gap: so many Poisson errors.
_ALIKE = 3.0


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Where the droplets of a plate divide.

    Attributes
    ----------
    baselines : (W,) array
        Middle of each well's negatives; that of the plate where a well shows none.
    spreads : (W,) array
        Their spread, likewise.
    height : float
        Of the threshold above a well's baseline; NaN where the plate has none.
    positives : float
        Height of the middle of what lies above.
    width : float
        Spread of what lies above.
    hidden : float
        About how many more positives there are than lie above the threshold, as a part of these: rain among the
        negatives, were it as dense there as in the gap.
    n_above : int
        Droplets above, of the whole plate.
    clusters : tuple of float
        Heights of the clusters of positives, rising; one as a rule.
    borders : tuple of float
        Heights between them.
    """

    baselines: Array
    spreads: Array
    height: float
    positives: float
    width: float
    hidden: float
    n_above: int
    clusters: tuple[float, ...] = ()
    borders: tuple[float, ...] = ()

    @property
    def spread(self) -> float:
        """Spread of the negatives of a typical well."""
        return float(np.median(self.spreads))

    @property
    def baseline(self) -> float:
        """Middle of the negatives of a typical well."""
        return float(np.median(self.baselines))

    @property
    def shown(self) -> bool:
        """Whether there is a gap with a cluster of positives above it, and not stray droplets alone."""
        cluster = self.n_above >= _CLUSTER or (
            self.n_above >= _FEWEST_SHOWN and self.width < _TOGETHER * self.positives
        )
        return bool(np.isfinite(self.height) and cluster)

    def threshold(self, i: int) -> float:
        """Amplitude at which a well is counted."""
        return float(self.baselines[i] + self.height)


def find_gap(amplitudes: Sequence[Array], without_template: Sequence[bool]) -> Gap:
    """The widest gap of the droplets of all wells, each measured from the middle of its own negatives.

    Parameters
    ----------
    amplitudes : sequence of (n,) arrays
        Of each well, which may be empty.
    without_template : sequence of bool
        Wells that hold hardly anything but negatives.
    """
    W = len(amplitudes)
    lower = [lower_cluster(x) for x in amplitudes]
    reference = _reference(lower, without_template)
    pooled = np.concatenate(list(amplitudes)) if W else np.empty(0)
    if reference is None and pooled.size > 1 and pooled.max() > pooled.min():
        reference = middle_and_spread(pooled)  # a few droplets in all
    if reference is None:
        nothing = np.full(W, np.nan)
        return Gap(
            baselines=nothing,
            spreads=nothing,
            height=np.nan,
            positives=np.nan,
            width=np.nan,
            hidden=0.0,
            n_above=0,
        )
    middle, spread = reference
    baselines, spreads = np.full(W, middle), np.full(W, spread)
    for i, found in enumerate(lower):
        if found is not None:
            baselines[i], spreads[i] = found[0], max(found[1], _LEAST_SPREAD * spread)
    for again in (True, False):
        heights = [x - b for x, b in zip(amplitudes, baselines, strict=True) if x.size]
        interval = _widest(np.concatenate(heights) / spread)
        if interval is None or not again:
            break
        # How far up positives are is known now: a well's negatives are what is densest well below them.
        far = _SHIFT * interval[1] * spread
        for i, x in enumerate(amplitudes):
            own = max(_negatives(x, each, far, spread) for each in _middles(lower, middle, spread))
            baselines[i], spreads[i] = own[1:] if own[0] >= _FEWEST_NEGATIVES else (middle, spread)
    if interval is None:
        height = positives = width = np.nan
        hidden, n_above = 0.0, 0
        clusters, borders = (), ()
    else:
        height, positives, width = (float(each) * spread for each in interval[:3])
        hidden, n_above = float(interval[3]), int(interval[4])
        above = np.concatenate([each[each > height] for each in heights])
        clusters, borders = _peaks(above, spread)
    return Gap(
        baselines=baselines,
        spreads=spreads,
        height=height,
        positives=positives,
        width=width,
        hidden=hidden,
        n_above=n_above,
        clusters=clusters,
        borders=borders,
    )


def _peaks(heights: Array, spread: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Places of the peaks of a histogram that deep valleys part, and of the valleys."""
    low, high = np.quantile(heights, _ENDS)
    width = max(spread, (high - low) / np.sqrt(heights.size))
    if high - low < 4.0 * width:
        return (float(np.median(heights)),), ()
    edges = np.arange(low - 2.0 * width, high + 3.0 * width, width)
    counts = np.histogram(heights, edges)[0].astype(float)
    smooth = np.convolve(counts, np.ones(3), mode="same")
    middles = 0.5 * (edges[1:] + edges[:-1])
    kept: list[int] = []
    for place in np.argsort(-smooth, kind="stable"):
        if smooth[place] < _FEWEST_IN_A_CLUSTER:
            break
        if all(_parted(smooth, int(place), other) for other in kept):
            kept.append(int(place))
    if not kept:
        return (float(np.median(heights)),), ()
    kept.sort()

    def borders(peaks: list[int]) -> list[float]:
        return [float(middles[a + int(np.argmin(smooth[a : b + 1]))]) for a, b in pairwise(peaks)]

    below = np.searchsorted(np.sort(heights), borders(kept))
    shares = np.diff([0, *below, heights.size]) / heights.size
    kept = [place for place, share in zip(kept, shares, strict=True) if share >= _PART]
    return tuple(float(middles[at]) for at in kept), tuple(borders(kept))


def _parted(smooth: Array, first: int, second: int) -> bool:
    """Whether a valley lies between two peaks that is no chance."""
    a, b = sorted((first, second))
    valley, least = float(smooth[a : b + 1].min()), float(min(smooth[a], smooth[b]))
    return valley < _DEEP * least and least - valley > _CERTAIN * np.sqrt(least + valley)


def lower_cluster(x: Array) -> tuple[float, float, bool] | None:
    """Middle and spread of the lower of two clusters, if there are two (Otsu 1979), else of all; and which it was."""
    ordered = np.sort(x)
    if x.size < 2 or ordered[0] == ordered[-1]:
        return None
    stray = int(_STRAY * x.size)
    if ordered[stray] < ordered[-1 - stray]:
        ordered = ordered[stray : x.size - stray]
    n = np.arange(1.0, ordered.size)
    below = np.cumsum(ordered - ordered[0])[:-1]
    total = float((ordered - ordered[0]).sum())
    share = n / ordered.size
    between = share * (1.0 - share) * np.square(below / n - (total - below) / (ordered.size - n))
    best = int(np.argmax(between))
    split = bool(between[best] > _SPLIT * ordered.var())
    return *middle_and_spread(ordered[: best + 1] if split else ordered), split


def _negatives(x: Array, middle: float, far: float, spread: float) -> tuple[int, float, float]:
    """How many droplets are densest not far from where negatives are, within two spreads; their middle and spread."""
    near = np.sort(x[np.abs(x - middle) < far])
    if not near.size:
        return 0, middle, spread
    n_within = np.searchsorted(near, near + 2.0 * spread, side="right") - np.arange(near.size)
    densest = int(np.argmax(n_within))
    center = near[densest] + spread
    middle, own = middle_and_spread(near[np.abs(near - center) < _FIRST * spread])
    return int(n_within[densest]), middle, max(own, _LEAST_SPREAD * spread)


def _middles(lower: Sequence[tuple[float, float, bool] | None], middle: float, spread: float) -> list[float]:
    """Where negatives of the plate lie: at one place, or at others too where several wells have their lower cluster.

    One of them at least has a higher one as well: others might hold positives alone.
    """
    found = np.array(sorted((each[0], each[2]) for each in lower if each is not None))
    groups = np.split(found, np.flatnonzero(np.diff(found[:, 0]) > _NARROWEST * spread) + 1)
    others = [float(np.median(each[:, 0])) for each in groups if len(each) > 1 and each[:, 1].any()]
    return [middle, *(each for each in others if abs(each - middle) > _NARROWEST * spread)]


def _reference(
    lower: Sequence[tuple[float, float, bool] | None], without_template: Sequence[bool]
) -> tuple[float, float] | None:
    """Middle and spread of the negatives of a typical well."""
    found = [each for each in lower if each is not None]
    controls = [each for each, control in zip(lower, without_template, strict=True) if control and each is not None]
    split = [each for each in found if each[2]]
    some = controls or split
    if not some and found:
        # Wells of one cluster each, which may be that of the negatives or that of the positives.
        first = min(found)
        some = [each for each in found if each[0] < first[0] + 2.0 * _NARROWEST * max(first[1], each[1])]
    middles, spreads = np.array([each[:2] for each in some if each[1] > 0]).reshape(-1, 2).T
    return (float(np.median(middles)), float(np.median(spreads))) if middles.size else None


def _widest(z: Array) -> tuple[float, ...] | None:
    """Threshold, middle and spread of what lies above, rain below, and how many lie above.

    A gap may hold a hundredth as many droplets as lie above it. What lies above counts by its logarithm, so that two
    stray droplets far up do not make the gap below them the one between negatives and positives.
    """
    most = int((_FIRST - _LOWEST) / _BIN) + 1 + _MOST_BINS
    places = np.clip(np.floor((z - _LOWEST) / _BIN), -1, most).astype(np.int64) + 1
    counts = np.bincount(places, minlength=int((_FIRST - _LOWEST) / _BIN) + 3)
    below = np.concatenate([[0], np.cumsum(counts)])  # droplets below the lower edge of a bin
    N = int(below[-1])
    edges = _LOWEST + _BIN * (np.arange(below.size) - 1.0)
    first = int(np.searchsorted(edges, _FIRST))
    starts = np.arange(first, below.size - 1)
    # The count below an upper edge b may be at most below[a] + rain (N - below[b]).
    reached = below * (1.0 + _RAIN) - _RAIN * N
    ends = np.searchsorted(reached, below[starts] + 1e-9, side="right") - 1
    widths = edges[ends] - edges[starts]
    above = N - below[ends]
    score = np.minimum(widths, _WIDEST) * np.log1p(above)
    score[widths < _NARROWEST] = -1.0
    if not score.size or score.max() <= 0.0:
        return None
    # The best of the gaps that overlap the lowest one that is wide enough.
    lowest = int(np.argmax(score >= _LOWEST_SCORE * score.max()))
    best = lowest + int(np.argmax(score[lowest : ends[lowest] - first + 1]))
    a, b = int(starts[best]), int(ends[best])
    window = int(_NARROWEST / _BIN)
    inside = below[a + window : b + 1] - below[a : b + 1 - window]
    typical = float(np.quantile(inside, 0.1))  # not more: windows at the ends hold the clusters' ends
    at = int(np.argmax(inside <= typical + _ALIKE * np.sqrt(typical)))
    threshold = edges[a + at] + 0.5 * _NARROWEST
    top, rest = z[z > threshold], z[z <= threshold]
    positives, width = middle_and_spread(top)
    hidden = typical / _NARROWEST * threshold / max(top.size, 1)
    # In the middle between the droplets next to it.
    threshold = 0.5 * (float(rest.max()) + float(top.min()))
    return threshold, positives, width, hidden, top.size
