"""The plate table: sample, dilution, control, replicate and targets of each well, from a table or from arguments."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm._spreadsheet import unguarded
from bayesgmm.data import describe_columns
from bayesgmm.ddpcr._text import fail, split, text_of
from bayesgmm.ddpcr._wells import listed, merged_wells, wells_in

if TYPE_CHECKING:
    import pandas as pd

# Spellings without spaces, signs and capitals.
_SPELLINGS = {
    "well": {"well", "wells", "wellid", "wellname", "wellposition", "position"},
    "sample": {"sample", "samples", "samplename", "sampleid", "samplentccontrol", "sampledescription1"},
    "dilution": {"dilution", "dilutionfactor", "dilutions"},
    "ntc": {"ntc", "isntc", "notemplate", "notemplatecontrol"},
    "control": {"control", "controls", "controltype"},
    "ng": {"ng", "inputng", "nginput", "ngdna", "dnang"},
    "replicate": {"replicate", "rep", "replicates"},
}
_YES, _NO = {"true", "yes", "y", "1", "1.0", "ntc", "x"}, {"false", "no", "n", "0", "0.0"}
# What a well without template, with the wild type alone, or with the target for sure is called in the column "control".
NO_TEMPLATE, WILD_TYPE, POSITIVE = "ntc", "wild_type", "positive"
_KINDS = {
    NO_TEMPLATE: {"ntc", "notemplate", "notemplatecontrol", "nontemplatecontrol"},
    WILD_TYPE: {"wildtype", "wildtypeonly", "wt", "wtonly", "wildtypecontrol"},
    POSITIVE: {"positive", "positivecontrol", "pos", "posctrl", "pc"},
    "": {"none", "no", "sample", "unknown", "false", "0"},
}
_CONTROL = re.compile(
    r"(?:ntc|no[ _-]?template(?:[ _-]?control)?|non[ _-]?template control)(?:[ _-]?\d+)?", re.IGNORECASE
)

Cells = dict[str, dict[str, Any]]  # column, then well


def plate_table(
    wells: Sequence[str],
    channels: Sequence[str],
    *,
    known: pd.DataFrame | None = None,
    found: Cells | None = None,
    table: Any = None,
    samples: Any = None,
    targets: Any = None,
    dilutions: Any = None,
    ntc: Any = None,
) -> pd.DataFrame:
    """Make the table of a plate; what comes later in the arguments goes before what comes earlier.

    Parameters
    ----------
    wells, channels : sequence of str
    known : DataFrame, optional
        A table as this function makes it.
    found : dict, optional
        Column, then well, to what the files themselves say.
    table, samples, targets, dilutions, ntc
        See `read_plate`.

    Raises
    ------
    InputError
        That names the wells, columns or values that do not fit.
    """
    import pandas as pd

    cells: Cells = {} if known is None else {str(name): dict(known[name]) for name in known.columns}
    for name, values in (found or {}).items():
        cells.setdefault(name, {}).update({well: value for well, value in values.items() if well in wells})
    given = {} if table is None else _from_table(table, wells, channels)
    for name, values in given.items():
        cells.setdefault(name, {}).update(values)
    sample = cells.setdefault("sample", {})
    sample.update(_by_well(samples, wells, "samples", {}))
    for well in wells:
        sample[well] = str(sample.get(well, "") or well)
    changed = _by_well(dilutions, wells, "dilutions", sample)
    cells.setdefault("dilution", {}).update({well: _factor(value, "dilutions") for well, value in changed.items()})
    if ntc is not None:
        cells["ntc"] = dict.fromkeys(_controls(ntc, wells), True)
    elif "ntc" not in cells:
        cells["ntc"] = {well: _CONTROL.fullmatch(sample[well].strip()) is not None for well in wells}
    if ntc is None and "ntc" not in given:
        cells["ntc"].update({well: kind == NO_TEMPLATE for well, kind in given.get("control", {}).items()})
    if "control" in cells:
        cells["control"] = {well: _kind(cells, well) for well in wells}
    anew = known is not None and (samples is not None or changed or {"sample", "dilution"} & set(given))
    if anew and "replicate" not in given:
        cells.pop("replicate", None)
    for channel, name in _targets(targets, channels).items():
        cells[f"target {channel}"] = dict.fromkeys(wells, name)

    dilution = {well: float(cells["dilution"].get(well, 1.0)) for well in wells}
    columns: dict[str, list[Any]] = {
        "sample": [sample[well] for well in wells],
        "dilution": [dilution[well] for well in wells],
        "ntc": [bool(cells["ntc"].get(well, False)) for well in wells],
        "replicate": _replicates(wells, sample, dilution, cells.get("replicate", {})),
    }
    for channel in channels:
        name = f"target {channel}"
        columns[name] = [str(cells.get(name, {}).get(well, "") or channel) for well in wells]
    for name in cells:
        if name not in columns and not name.startswith("target "):
            columns[name] = _as_numbers([cells[name].get(well) for well in wells])
    return pd.DataFrame(columns, index=pd.Index(list(wells), name="well", dtype=object)).astype({"replicate": "int64"})


def _kind(cells: Cells, well: str) -> str:
    """The kind of control that a well is; where it has no template, that is its kind, whatever was said before."""
    kind = str(cells["control"].get(well, ""))
    if cells["ntc"].get(well, False):
        return NO_TEMPLATE
    return "" if kind == NO_TEMPLATE else kind


def _as_numbers(values: list[Any]) -> list[Any]:
    """Numbers where a file had nothing but numbers and blanks."""
    numbers = [math.nan if value is None else _real(value) for value in values]
    text = [isinstance(value, str) for value in values]
    return numbers if any(text) and None not in numbers else values


def _replicates(
    wells: Sequence[str], sample: Mapping[str, str], dilution: Mapping[str, float], given: Mapping[str, int]
) -> list[int]:
    """Given numbers; the other wells of a sample at one dilution get the numbers that are free."""
    taken: dict[tuple[str, float], set[int]] = {}
    for well in wells:
        if well in given:
            taken.setdefault((sample[well], dilution[well]), set()).add(int(given[well]))
    numbers = []
    for well in wells:
        used = taken.setdefault((sample[well], dilution[well]), set())
        number = given.get(well)
        if number is None:
            number = next(i for i in range(1, len(wells) + 2) if i not in used)
            used.add(number)
        numbers.append(int(number))
    return numbers


def _from_table(table: Any, wells: Sequence[str], channels: Sequence[str]) -> Cells:
    """Cells that a user's table fills, by the names of columns that `plate_table` gives."""
    rows, names, label = _rows(table)
    meanings = _meanings(names, channels, label)
    place_of_well = next((i for i, meaning in enumerate(meanings) if meaning == "well"), None)
    if place_of_well is None:
        raise InputError(label, "has no column 'well'", f"It has {describe_columns(names)}")
    cells: Cells = {meaning: {} for meaning in meanings if meaning != "well"}
    seen: set[str] = set()
    absent = []
    for number, row in enumerate(rows, start=1):
        if all(_is_blank(cell) for cell in row):
            continue
        where = f"{label}, row {number}"
        for well in wells_in("" if _is_blank(row[place_of_well]) else str(row[place_of_well]), where):
            if well in seen:
                raise InputError(where, f"{well} is there twice", "Give each well one row")
            seen.add(well)
            filled = {m: cell for m, cell in zip(meanings, row, strict=True) if m != "well" and not _is_blank(cell)}
            if well not in wells:
                if merged_wells([well], wells):
                    continue
                # A plan of the whole plate lists wells that stayed empty, without a sample.
                if "sample" in filled or ("sample" not in meanings and filled):
                    absent.append(well)
                continue
            for meaning, cell in filled.items():
                cells[meaning][well] = _value(meaning, cell, where)
            stated = cells.get("control", {}).get(well), cells.get("ntc", {}).get(well)
            if None not in stated and (stated[0] == NO_TEMPLATE) != stated[1]:
                problem = f"{well} is {stated[0] or 'no control'!r} and ntc {stated[1]}"
                raise InputError(where, problem, "Leave out one of the columns 'control' and 'ntc'")
    if absent:
        remedy = "Give their files too, or leave these rows or their samples out"
        raise InputError(label, f"there are no droplets of {listed(absent)}", remedy)
    left = [well for well in wells if well not in seen]
    if left:
        raise InputError(label, f"has no row for {listed(left)}", "Give each well that was read a row, or leave it out")
    if "sample" in cells:
        # The name of another well would be a guess where the table says that there is no sample.
        cells["sample"] = {well: cells["sample"].get(well, well) for well in wells}
    return cells


def _rows(table: Any) -> tuple[list[list[Any]], list[str], str]:
    """Rows, names of the columns, and how messages call the table."""
    import narwhals as nw

    if isinstance(table, (str, os.PathLike)):
        return _rows_of_file(Path(table))
    if getattr(getattr(table, "index", None), "name", None) is not None and hasattr(table, "reset_index"):
        table = table.reset_index()  # such as the table of another plate
    frame = nw.from_native(table, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        remedy = "Give the path of a CSV file, or a dataframe with a column 'well'"
        raise InputError("table", f"got {type(table).__name__}", remedy)
    return [list(row) for row in frame.rows()], [str(name) for name in frame.columns], "table"


def _rows_of_file(path: Path) -> tuple[list[list[Any]], list[str], str]:
    try:
        text = text_of(path.read_bytes())
    except OSError as error:
        raise InputError("table", f"{str(path)!r} cannot be read ({error.strerror})", "Give a CSV file") from None
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise InputError(str(path), "the file is empty", "Give a CSV file with a column 'well'")
    # A spreadsheet writes what its user's country wants.
    delimiter = max(",;\t", key=lambda sign: len(split(lines[0], sign)))
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        rows = list(reader)
    except csv.Error as error:
        fail(str(path), reader.line_num, f"cannot be split into fields: {error}", "Save the table again as CSV")
    width = len(rows[0])
    for row in rows[1:]:
        if len(row) < width:
            row += [""] * (width - len(row))
        elif any(row[width:]):
            raise InputError(str(path), f"the row of {row[0]!r} has {len(row)} fields", f"The header has {width}")
    return [row[:width] for row in rows[1:]], [name.strip() for name in rows[0]], str(path)


def _meanings(names: Sequence[str], channels: Sequence[str], label: str) -> list[str]:
    """What each column of a user's table is."""

    def bare(name: str) -> str:
        return re.sub(r"[\W_]", "", name.lower())

    known = {spelling: meaning for meaning, spellings in _SPELLINGS.items() for spelling in spellings}
    known |= {bare(f"target {channel}"): f"target {channel}" for channel in channels}
    if channels:
        known["target"] = f"target {channels[0]}"
    meanings = [known.get(bare(name), name) for name in names]
    twice = next((meaning for meaning in meanings if meanings.count(meaning) > 1), None)
    if twice is not None:
        both = [name for name, meaning in zip(names, meanings, strict=True) if meaning == twice]
        raise InputError(label, f"the columns {' and '.join(map(repr, both))} are both {twice!r}", "Keep one of them")
    unknown = next((m for m in meanings if m.startswith("target ") and m.removeprefix("target ") not in channels), None)
    if unknown is not None:
        raise InputError(
            label, f"there is no channel for the column {unknown!r}", f"Channels are {', '.join(channels)}"
        )
    return meanings


def _is_blank(cell: Any) -> bool:
    return (
        cell is None or (isinstance(cell, float) and math.isnan(cell)) or not str(cell).strip() or str(cell) == "<NA>"
    )


def _value(meaning: str, cell: Any, where: str) -> Any:
    if meaning == "dilution":
        return _factor(cell, f"{where}, dilution")
    if meaning == "ntc":
        text = str(cell).strip().lower()
        if text not in _YES | _NO:
            raise InputError(f"{where}, ntc", f"got {as_written(cell)}", "Give true or false, yes or no, 1 or 0")
        return text in _YES
    if meaning == "ng":
        number = _real(cell)
        if number is None or not 0 <= number < math.inf:
            raise InputError(f"{where}, ng", f"got {as_written(cell)}", "Give nanograms of template in the well")
        return number
    if meaning == "control":
        bare = re.sub(r"[\W_]", "", str(cell).lower())
        kind = next((kind for kind, spellings in _KINDS.items() if bare in spellings), None)
        if kind is None:
            raise InputError(
                f"{where}, control", f"got {as_written(cell)}", "Give ntc, wild_type, positive, or nothing for a sample"
            )
        return kind
    if meaning == "replicate":
        number = _real(cell)
        if number is None or number != round(number) or number < 1:
            raise InputError(f"{where}, replicate", f"got {as_written(cell)}", "Give a whole number from 1")
        return round(number)
    if meaning == "sample" or meaning.startswith("target "):
        # 7.0 is what a table makes of the name 7 where another well has none.
        whole = isinstance(cell, float) and cell == round(cell)
        return str(round(cell)) if whole else unguarded(str(cell).strip()).strip()
    return cell


def _real(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _factor(value: Any, where: str) -> float:
    number = _real(value)
    if number is None or not 0 < number < math.inf:
        raise InputError(
            where, f"got {as_written(value)}", "Give the factor as a positive number, 10 for a dilution of 1 in 10"
        )
    return number


def _by_well(given: Any, wells: Sequence[str], argument: str, sample: Mapping[str, str]) -> dict[str, Any]:
    """Values of an argument by well: from a mapping of wells, ranges or samples, from a function, or one for all."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        values: dict[str, Any] = {}
        for key, value in given.items():
            named = [well for well in wells if sample.get(well) == str(key)]
            values |= dict.fromkeys(named or _there(wells_in(key, argument), wells, argument), value)
        return values
    if isinstance(given, Callable):
        return {well: value for well in wells if (value := given(well)) is not None}
    if argument == "dilutions" and _real(given) is not None:
        return dict.fromkeys(wells, given)
    kinds = "a mapping of wells to values, or a function of the well"
    raise InputError(argument, f"got {as_written(given)}", f"Give {kinds}")


def _there(named: list[str], wells: Sequence[str], argument: str) -> list[str]:
    absent = [well for well in named if well not in wells]
    if absent:
        raise InputError(argument, f"there are no droplets of {listed(absent)}", f"The wells are {listed(wells, 12)}")
    return named


def _controls(ntc: Any, wells: Sequence[str]) -> list[str]:
    if isinstance(ntc, Callable):
        return [well for well in wells if ntc(well)]
    return _there(wells_in(ntc, "ntc"), wells, "ntc")


def _targets(targets: Any, channels: Sequence[str]) -> dict[str, str]:
    """Names of targets by channel."""
    if targets is None:
        return {}
    if isinstance(targets, Mapping):
        unknown = [str(channel) for channel in targets if channel not in channels]
        if unknown:
            raise InputError("targets", f"there is no channel {listed(unknown)}", f"Channels are {', '.join(channels)}")
        return {str(channel): str(name) for channel, name in targets.items()}
    if not isinstance(targets, (str, Iterable)):
        raise InputError(
            "targets", f"got {as_written(targets)}", "Give names in the order of the channels, or a mapping"
        )
    names = [targets] if isinstance(targets, str) else [str(name) for name in targets]
    if len(names) != len(channels):
        channel_names = f"{len(channels)} channels, {', '.join(channels)}"
        raise InputError(
            "targets", f"there are {len(names)} for {channel_names}", "Name one for each, or give a mapping"
        )
    return dict(zip(channels, names, strict=True))
