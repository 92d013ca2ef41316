"""What instruments report as results: tables without droplets, brought to one form."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._words import counted
from bayesgmm.ddpcr._text import Sheet, fail, simple
from bayesgmm.ddpcr._wells import well_name

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "well", "sample", "target", "channel", "n_droplets", "positives", "concentration", "lower", "upper", "source",
)  # fmt: skip
# The two channels of Bio-Rad's readers; readers with six say no more than the dye.
_DYES = {"fam": "Ch1", "evagreen": "Ch1", "hex": "Ch2", "vic": "Ch2"}
_SAMPLES = ("sample", "sample description 1", "sample/ntc/control", "sample name", "name")
_TARGETS = ("target", "target (name)", "assay")
_ACCEPTED = ("accepteddroplets", "accepted droplets", "partitions (valid)", "total")
# "TypeAssay" until QuantaSoft 1.6.
_KINDS = ("targettype", "typeassay", "sampletype", "type")
# Rows that are no wells.
_AVERAGES = {"average", "replicate(average)", ""}


def read_results(sheet: Sheet) -> list[dict[str, Any]]:
    """Rows of a table of results, with the columns of `COLUMNS` and ``ntc`` (bool).

    Concentrations are copies per microlitre of reaction. QIAcuity's interval is a percentage either way, that of the
    Absolute Q a concentration. Rows of averages are left out; those of wells that the software merged have ``merged``.

    Raises
    ------
    InputError
        That names file and line, where a row is cut off or its well is none.
    """
    names = [simple(name) for name in sheet.header]
    place = {name: names.index(name) for name in names}
    # QIAcuity's column of wells had no name in its first versions.
    place.setdefault("well", place.get("well name", 0))
    concentration = next((i for i, name in enumerate(names) if _is_concentration(name)), None)
    spread = next((i for i, name in enumerate(names) if name.startswith("ci (95%)")), None)
    either_way = place.get("95%ci")
    number = sheet.number
    rows, lines = [], sheet.lines()
    for line, cells in lines:
        if not any(cells):
            continue
        if len(cells) < len(names):
            problem = f"has {counted(len(cells), 'field')} where the header names {len(names)}"
            fail(sheet.name, line, problem, "Export the file again, it was cut off")

        def cell(*spellings: str, cells: list[str] = cells) -> str:
            return next((cells[place[name]] for name in spellings if name in place), "")

        if "dye" in place and cell("well").lower() in _AVERAGES:
            continue
        well = well_name(cell("well"))
        if well is None:
            fail(sheet.name, line, f"{cell('well')!r} is no well", "Wells are A01 to P24")
        estimate = np.nan if concentration is None else number(cells[concentration])
        lower, upper = number(cell("poissonconfmin")), number(cell("poissonconfmax"))
        if either_way is not None:
            half = number(cells[either_way])
            lower, upper = max(estimate - half, 0.0), estimate + half
        if spread is not None:
            share = _share(cells[spread], number)
            lower, upper = estimate * max(1.0 - share, 0.0), estimate * (1.0 + share)
        kind = cell(*_KINDS)
        channel = re.match(r"ch\d", kind, re.IGNORECASE)
        rows.append(
            {
                "well": well,
                "sample": cell(*_SAMPLES),
                "target": cell(*_TARGETS),
                "channel": channel[0].capitalize() if channel else _DYES.get(cell("dyename(s)").lower(), cell("dye")),
                "n_droplets": number(cell(*_ACCEPTED)),
                "positives": number(cell("positives", "partitions (positive)")),
                "concentration": estimate,
                "lower": lower,
                "upper": upper,
                "source": sheet.name,
                "merged": bool(cell("mergedwells", "merged wells").strip("() ")),
                "ntc": kind.lower().endswith("ntc") or kind.lower() in ("non template control", "no template control"),
            }
        )
    return rows


def _is_concentration(name: str) -> bool:
    """In copies per microlitre of reaction: not per millilitre, and not of the undiluted sample."""
    return name.startswith("conc") and "/ml" not in name and "undiluted" not in name and "factor" not in name


def _share(cell: str, number: Callable[[str], float]) -> float:
    """An interval's half width over the estimate: "4.6%", or a fraction where a spreadsheet has taken the sign away."""
    return number(cell.rstrip("% ")) / (100.0 if cell.endswith("%") else 1.0)


def reported(rows: list[dict[str, Any]]) -> pd.DataFrame | None:
    """The rows as a table."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(COLUMNS)) if rows else None
