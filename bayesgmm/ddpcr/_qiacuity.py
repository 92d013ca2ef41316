"""Raw data of the QIAcuity: a file for each channel, with the partitions of all wells in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import InputError
from bayesgmm.ddpcr._formats import Droplets, coded
from bayesgmm.ddpcr._text import Sheet, columns, fail, whole
from bayesgmm.ddpcr._wells import well_name

_MICROLITRE = 1000.0  # in nanolitres
# Plates have up to 26,000 partitions a well; numbers may run on from well to well.
_MOST_PARTITIONS = 10_000_000
_PARTITIONS = "Partitions are numbered from 1. Export the file again, it is damaged"
_CALLS = "It holds 1 (positive), 0 (negative) or nothing. Export the file again, it is damaged"


@dataclass(frozen=True, kw_only=True, eq=False)
class Partitions:
    """One well in one channel; arrays are (n_partitions,), calls 1 positive, 0 negative, -1 not known."""

    well: str
    channel: str
    source: str
    sample: str
    number: NDArray[np.int64]
    rfu: NDArray[np.float64]
    valid: NDArray[np.bool_]
    call: NDArray[np.int64]
    volume_nl: float | None


def read_channel(sheet: Sheet) -> list[Partitions]:
    """Wells of one file.

    The cycled volume is that of all partitions of a well, valid or not, so that it is divided by their number: the
    highest there is in the file, whose lines may be those of valid partitions only, unless numbers run on from well to
    well.
    """
    place = {name: sheet.place(name) for name in ("well", "channel", "partition", "rfu", "sample")}
    invalid, positive, volume = (sheet.place(name) for name in ("is invalid", "is positive", "cycled volume"))
    texts = [i for i in (place["well"], place["channel"], place["sample"]) if i is not None]
    flags = [i for i in (invalid, positive, volume) if i is not None]
    numbers = [i for i in (place["partition"], place["rfu"]) if i is not None]
    found: dict[Any, NDArray[Any]] = dict(columns(sheet, [*numbers, *flags], texts, blank=flags))
    n = found[place["rfu"]].size
    nothing = np.full(n, np.nan)
    sample = found[place["sample"]] if place["sample"] is not None else np.full(n, "", dtype=object)
    partition = place["partition"]
    assert partition is not None
    number = whole(sheet, found[partition], partition, _MOST_PARTITIONS, _PARTITIONS)
    called = np.full(n, -1) if positive is None else whole(sheet, found[positive], positive, 1, _CALLS)
    wells, order = _grouped(found[place["well"]], found[place["channel"]])
    n_lines = max(map(len, order), default=0)
    highest = int(number.max(initial=0))
    n_partitions = highest if n_lines < highest < 2 * n_lines else n_lines
    result = []
    for (well, channel), rows in zip(wells, order, strict=True):
        name = well_name(well)
        if name is None:
            fail(sheet.name, sheet.line + 1 + int(rows[0]), f"{well!r} is no well", "Wells are A1 to P24")
        cycled = found.get(volume, nothing)[rows]
        known = cycled[np.isfinite(cycled) & (cycled > 0)]
        result.append(
            Partitions(
                well=name,
                channel=str(channel).strip(),
                source=sheet.name,
                sample=str(sample[rows[0]]).strip(),
                number=number[rows],
                rfu=found[place["rfu"]][rows],
                valid=~(found.get(invalid, nothing)[rows] > 0),
                call=called[rows],
                volume_nl=float(known[0]) * _MICROLITRE / n_partitions if known.size else None,
            )
        )
    return result


def _grouped(wells: NDArray[Any], channels: NDArray[Any]) -> tuple[list[tuple[Any, Any]], list[NDArray[np.int64]]]:
    """Distinct pairs of well and channel, and the rows of each."""
    import pandas as pd

    groups: dict[Any, Any] = pd.DataFrame({"w": wells, "c": channels}).groupby(["w", "c"], sort=False).indices
    return list(groups), [np.asarray(rows) for rows in groups.values()]


def joined(parts: Sequence[Partitions]) -> list[Droplets]:
    """Channels side by side. Partitions that are invalid or absent in a channel are left out in all of them.

    Raises
    ------
    InputError
        If two files hold one well in one channel.
    """
    by_well: dict[str, dict[str, Partitions]] = {}
    for part in parts:
        there = by_well.setdefault(part.well, {})
        if part.channel in there:
            problem = f"{there[part.channel].source} and {part.source} are both channel {part.channel} of {part.well}"
            raise InputError("paths", problem, "Read one plate at a time, and one image (img1, img2, ...) of it")
        there[part.channel] = part
    return [_one(well, list(there.values())) for well, there in by_well.items()]


def _one(well: str, parts: list[Partitions]) -> Droplets:
    kept = parts[0].number[parts[0].valid]
    for part in parts[1:]:
        kept = np.intersect1d(kept, part.number[part.valid])
    rows = []
    for part in parts:
        order = np.argsort(part.number, kind="stable")
        rows.append(order[np.searchsorted(part.number, kept, sorter=order)])
    calls = np.column_stack([part.call[row] for part, row in zip(parts, rows, strict=True)])
    volumes = [part.volume_nl for part in parts if part.volume_nl is not None]
    return Droplets(
        well=well,
        source=parts[0].source,
        channels=tuple(part.channel for part in parts),
        amplitudes=np.column_stack([part.rfu[row] for part, row in zip(parts, rows, strict=True)]),
        clusters=None if (calls < 0).all() else coded(calls),
        volume_nl=volumes[0] if volumes else None,
        sample=next((part.sample for part in parts if part.sample), None),
    )
