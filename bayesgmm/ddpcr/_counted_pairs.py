"""Two channels in which droplets are counted: cross-talk that is taken off first, and the four clusters' numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesgmm.ddpcr._fit_pair import TOO_FEW, PairPlate, effects_found
from bayesgmm.ddpcr._gap import Gap, find_gap, lower_cluster
from bayesgmm.ddpcr._pair_density import PairBeliefs
from bayesgmm.ddpcr._plate_fit import PlateFit

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Cross-talk is looked for in so many droplets positive in the other channel, and taken off if it moves negatives by so
# many spreads, but no more than half of the way to the positives: that is linkage.
_FEWEST, _SEEN, _HALF = 50, 1.0, 0.5
# A well tells of cross-talk with so many droplets positive in one channel alone.
_TELLING = 20
# At least so well is an effect known, however many droplets there are: relative to one.
_ERROR = 1e-3


def without_cross_talk(
    amplitudes: Sequence[Array], others: Sequence[Array], of_others: Gap, without_template: Sequence[bool]
) -> list[Array]:
    """Take off what droplets that are positive in another channel show of that signal.

    Parameters
    ----------
    amplitudes, others : sequences of (n,) arrays
        Of each well, in this channel and in the other.
    of_others : Gap
        The other channel's.
    without_template : sequence of bool

    Returns
    -------
    list of (n,) arrays
        The amplitudes given where no cross-talk is seen.
    """
    same = list(amplitudes)
    if not of_others.shown:
        return same
    heights = [y - b for y, b in zip(others, of_others.baselines, strict=True)]
    positive = [h > of_others.height for h in heights]
    gap = find_gap([x[~p] for x, p in zip(amplitudes, positive, strict=True)], without_template)
    if not gap.shown:
        return same
    own = np.concatenate([(x - b)[p] for x, b, p in zip(amplitudes, gap.baselines, positive, strict=True)])
    found = lower_cluster(own) if own.size >= _FEWEST else None
    if found is None or not _SEEN * gap.spread < abs(found[0]) < _HALF * gap.positives:
        return same
    share = found[0] / of_others.positives
    each = zip(amplitudes, heights, positive, strict=True)
    return [np.where(p, x - share * h, x) for x, h, p in each]


def without_competition(amplitudes: Sequence[Array], own: Gap, others: Sequence[Array], of_others: Gap) -> list[Array]:
    """Give droplets that are positive in both channels the height of those that are positive in this one alone."""
    each = list(zip(amplitudes, own.baselines, others, of_others.baselines, strict=True))
    if not (own.shown and of_others.shown):
        return list(amplitudes)
    heights = [x - b for x, b, _, _ in each]
    here = [h > own.height for h in heights]
    both = [p & (y - b > of_others.height) for p, (_, _, y, b) in zip(here, each, strict=True)]
    pooled, there, high = np.concatenate(heights), np.concatenate(both), np.concatenate(here)
    if min(there.sum(), (high & ~there).sum()) < _FEWEST:
        return list(amplitudes)
    left = float(np.median(pooled[there]) / np.median(pooled[high & ~there]))
    return [np.where(p, x + h * (1.0 / left - 1.0), x) for (x, *_), h, p in zip(each, heights, both, strict=True)]


def numbers(first: Flags, second: Flags) -> Array:
    """Droplets --, +-, -+, ++ (4,), of which channels they are positive in."""
    return np.bincount(first + 2 * second.astype(np.int64), minlength=4).astype(float)


def pair_of_counts(
    amplitudes: Sequence[Array], fits: tuple[PlateFit, PlateFit], without_template: Sequence[bool]
) -> PairPlate | None:
    """What two channels say of each other where droplets of all wells are counted in both; None if some are fitted."""
    n, told = len(amplitudes), []
    for i, (first, second) in enumerate(zip(fits[0].wells, fits[1].wells, strict=True)):
        if first is None or second is None or without_template[i]:
            continue
        if first.count is None or second.count is None:
            return None
        positive = np.column_stack([each.positive(i) for each in fits])
        told.append(_effects(amplitudes[i], positive, (float(first.mode[-4]), float(second.mode[-4]))))
    effects = _over_wells(told)
    if not told or np.isnan(effects).all():
        return PairPlate.without(n, unseen=TOO_FEW)
    found = effects_found(PairBeliefs(channels=(fits[0].beliefs, fits[1].beliefs)), effects)
    return PairPlate(wells=[None] * n, effects=effects, found=found)


def _effects(x: Array, positive: Flags, middles: tuple[float, float]) -> Array:
    """Cross-talk and competition (4,) in a well, in the order of `EFFECTS`; NaN where its droplets do not tell.

    Parameters
    ----------
    x : (n, 2) array
        Amplitudes as measured.
    positive : (n, 2) array of bool
    middles : (float, float)
        Of the negatives.
    """
    out = np.full(4, np.nan)
    heights = x - np.asarray(middles)
    alone = [positive[:, c] & ~positive[:, 1 - c] for c in range(2)]
    both = positive.all(axis=1)
    gaps = [float(np.median(heights[alone[c], c])) if alone[c].sum() >= _TELLING else np.nan for c in range(2)]
    for c in range(2):
        if alone[c].sum() >= _TELLING:
            out[c] = float(np.median(heights[alone[c], 1 - c])) / gaps[c]
    if both.sum() >= _TELLING:
        signals = np.median(heights[both], axis=0)
        # Each signal holds what is seen of the other one: two equations.
        spill = np.nan_to_num(out[:2])
        left = np.linalg.solve([[1.0, spill[1]], [spill[0], 1.0]], signals) / gaps
        out[2:] = 1.0 - left
    return out


def _over_wells(each: Sequence[Array]) -> Array:
    """Mean and standard error (4, 2) over wells."""
    table = np.array(each).reshape(len(each), 4)
    out = np.full((4, 2), np.nan)
    for e, values in enumerate(table.T):
        seen = values[np.isfinite(values)]
        if seen.size:
            spread = float(seen.std(ddof=1)) if seen.size > 1 else 0.0
            out[e] = float(np.median(seen)), float(np.hypot(spread / np.sqrt(seen.size), _ERROR))
    return out
