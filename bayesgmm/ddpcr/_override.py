"""Thresholds that a user sets: wells are counted there, and what would be said otherwise stands in a flag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_written, is_number
from bayesgmm._errors import InputError
from bayesgmm._words import listed
from bayesgmm.ddpcr._counted import Count
from bayesgmm.ddpcr._fit_well import WellFit, counted_well
from bayesgmm.ddpcr._plate_fit import PlateFit, half_way

Array = NDArray[np.float64]

_FORM = "Give an amplitude, or the means of the negative and the positive cluster, for each channel: {'Ch1': 6500}"


def as_thresholds(given: Any, channels: Sequence[str], targets: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Amplitudes by channel.

    Parameters
    ----------
    given : mapping or None
        By the name of a channel or of its target: an amplitude, or the means of both clusters, between which the
        threshold is half way.
    channels : sequence of str
    targets : mapping
        Names of the targets of each channel.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError("thresholds", f"got {as_written(given)}", _FORM)
    out = {}
    for name, value in given.items():
        own = [channel for channel in channels if name == channel or [name] == list(targets[channel])]
        if len(own) != 1:
            known = listed(list(dict.fromkeys([*channels, *(each for some in targets.values() for each in some)])))
            raise InputError("thresholds", f"there is no channel or target {name!r}", f"The plate has {known}")
        pair = list(value) if isinstance(value, (tuple, list, np.ndarray)) else [value, value]
        if len(pair) != 2 or not all(is_number(each) and np.isfinite(each) for each in pair):
            raise InputError("thresholds", f"got {as_written(value)} for {name}", _FORM)
        if pair[0] > pair[1]:
            raise InputError("thresholds", f"got {as_written(value)} for {name}", "Give the negative cluster first")
        out[own[0]] = 0.5 * (float(pair[0]) + float(pair[1]))
    return out


def at_threshold(
    fitted: PlateFit,
    amplitudes: Sequence[Array],
    threshold: float,
    *,
    draws: int,
    seeds: Sequence[np.random.SeedSequence],
) -> PlateFit:
    """All wells counted at one amplitude; flags say what they would be otherwise."""
    wells: list[WellFit | None] = []
    why = []
    for i, (x, fit) in enumerate(zip(amplitudes, fitted.wells, strict=True)):
        if fit is None:
            wells.append(None)
            why.append(fitted.why[i])
            continue
        part, own = fitted.of(i)
        gap = part.gap if part.gap.shown else half_way(part.gap, part.beliefs)
        count = Count.of(x, threshold)
        wells.append(counted_well(x, part.own[own], count, gap, own, draws=draws, seed=seeds[i]))
        why.append(f"counted at {threshold:g}, as asked for; lambda would be {fit.rate:.3g} otherwise")
    return replace(fitted, wells=wells, why=why, cleared=list(amplitudes))
