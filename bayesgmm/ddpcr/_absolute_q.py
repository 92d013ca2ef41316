"""Raw data of the QuantStudio Absolute Q: one file with all microchambers of all wells in all dyes."""

from __future__ import annotations

import numpy as np

from bayesgmm.ddpcr._formats import Droplets, coded
from bayesgmm.ddpcr._text import Sheet, columns, fail, simple
from bayesgmm.ddpcr._wells import well_name

_TRUTH = {"true": 1, "1": 1, "false": 0, "0": 0, "": 0}


def read_wells(sheet: Sheet) -> list[Droplets]:
    """Wells of the file, without the microchambers that the instrument rejects.

    Channels are the dyes that have calls; the reference dye (ROX) has none.
    """
    import pandas as pd

    names = [simple(name) for name in sheet.header]
    at = {name: i for i, name in enumerate(names)}
    well = sheet.place("well id", "well")
    if well is None:
        fail(sheet.name, sheet.line, "there is no column 'Well ID'", "Export the raw data again")
    dyes = [i for i, name in enumerate(names) if f"{name}_pos" in at]
    if not dyes:
        fail(sheet.name, sheet.line, "there is no dye with a column of calls", "Export the raw data again")
    sample = at.get("sample", well)
    calls = {i: at[f"{names[i]}_pos"] for i in dyes}
    targets = {i: at.get(f"{names[i]}_target") for i in dyes}
    texts = [well, sample, at["reject"], *calls.values(), *(place for place in targets.values() if place is not None)]
    found = columns(sheet, dyes, list(dict.fromkeys(texts)))
    kept = _truth(sheet, found, at["reject"]) == 0
    groups = pd.Series(np.arange(kept.size)).groupby(np.asarray(found[well], dtype=str), sort=False).indices
    wells = []
    for text, rows in groups.items():
        name = well_name(text)
        if name is None:
            fail(sheet.name, sheet.line + 1 + int(rows[0]), f"{text!r} is no well", "Wells are A1 to P24")
        own = np.asarray(rows)[kept[rows]]
        called = np.column_stack([_truth(sheet, found, place)[own] for place in calls.values()])
        wells.append(
            Droplets(
                well=name,
                source=sheet.name,
                channels=tuple(sheet.header[i] for i in dyes),
                amplitudes=np.column_stack([found[i][own] for i in dyes]),
                clusters=coded(called),
                channel_targets={
                    sheet.header[i]: str(found[place][rows[0]]).strip()
                    for i, place in targets.items()
                    if place is not None
                },
                sample=str(found[sample][rows[0]]).strip() if sample != well else None,
            )
        )
    return wells


def _truth(sheet: Sheet, found: dict[int, np.ndarray], place: int) -> np.ndarray:
    """A column of True and False as 1 and 0."""
    import pandas as pd

    values = pd.Series(found[place]).str.strip().str.lower().map(_TRUTH)
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0])
        problem = f"has {found[place][row]!r} in the column {sheet.header[place]!r}"
        fail(sheet.name, sheet.line + 1 + row, problem, "It holds True or False. Export the file again, it is damaged")
    return values.to_numpy(dtype=np.int64)
