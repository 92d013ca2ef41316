"""Several assays in one channel of a plate: each learns from its own wells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from bayesgmm.ddpcr._fit_plate import PlateFit, Wells

# What a `PlateFit` and `Wells` hold for each well.
_OF_WELLS = ("wells", "alone", "why", "own", "cleared")
_GIVEN = ("amplitudes", "without_template", "seeds", "without_cross_talk")


def by_assay(wells: Wells, targets: Sequence[str], fit: Callable[[Wells], PlateFit]) -> PlateFit:
    """Fit the wells of each target by themselves.

    Parameters
    ----------
    wells : Wells
    targets : sequence of str
        Of each well. Wells without template whose target no sample has go with the target that most wells have.
    fit : callable
        Of wells of one assay.
    """
    of_samples = [target for target, control in zip(targets, wells.without_template, strict=True) if not control]
    names = list(dict.fromkeys(of_samples)) or list(dict.fromkeys(targets))
    if len(names) == 1:
        return fit(wells)
    most = max(names, key=of_samples.count)
    places: dict[str, list[int]] = {name: [] for name in names}
    for i, target in enumerate(targets):
        places[target if target in places else most].append(i)
    parts = {name: fit(_some(wells, own)) for name, own in places.items()}
    joined: dict[str, list[Any]] = {name: [None] * len(targets) for name in _OF_WELLS}
    for name, own in places.items():
        for each in _OF_WELLS:
            for j, i in enumerate(own):
                joined[each][i] = getattr(parts[name], each)[j]
    return replace(
        parts[most],
        **joined,
        learned_from="; ".join(f"{part.learned_from} ({name})" for name, part in parts.items()),
        grades="; ".join(f"{name}: {part.grades}" for name, part in parts.items() if part.grades),
        flags=tuple(f"{name}: {flag}" for name, part in parts.items() for flag in part.flags),
        assays=tuple((name, places[name], part) for name, part in parts.items()),
    )


def some_of(fitted: PlateFit, places: Sequence[int]) -> PlateFit:
    """The fit of some wells, all of one assay."""
    part = fitted.of(places[0])[0]
    own = np.array([fitted.of(i)[1] for i in places])
    gap = replace(part.gap, baselines=part.gap.baselines[own], spreads=part.gap.spreads[own])
    return replace(part, **{name: [getattr(part, name)[i] for i in own] for name in _OF_WELLS}, gap=gap)


def _some(wells: Wells, places: Sequence[int]) -> Wells:
    given = {name: getattr(wells, name) for name in (each.name for each in fields(Wells))}
    for name in _GIVEN:
        if given[name] is not None:
            given[name] = [given[name][i] for i in places]
    return Wells(**given)
