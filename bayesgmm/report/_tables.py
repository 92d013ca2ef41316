"""The Dataset of `ddpcr.quantify` as CSV files."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm._spreadsheet import guarded
from bayesgmm.plots._droplets import check_result, measured_pair

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# What the rows of each file are, and what is added to its name.
FILES = {
    ("well", "channel"): "",
    ("sample", "channel"): "_samples",
    ("channel",): "_channels",
    ("sample", "pair"): "_pairs",
    ("well", "pair"): "_linkage",
    ("pair", "effect"): "_plate_effects",
    ("well", "pair", "effect"): "_effects",
    ("well", "pair", "cluster"): "_clusters",
}
_FIRST = {
    ("well", "channel"): [
        *("well", "channel", "target", "well_sample", "ntc", "control", "dilution", "replicate", "input_ng"),
        *("n_droplets", "counted_positives", "counted_negatives", "detected", "flags"),
        *("copies_per_ul", "copies_per_ul_lower", "copies_per_ul_upper"),
        *("copies_per_ul_total_lower", "copies_per_ul_total_upper", "droplet_volume_nl", "total_volume_ul"),
    ],
    ("sample", "channel"): ["sample", "channel", "target", "sample_wells", "sample_droplets"],
    ("channel",): ["channel", "target"],
    ("sample", "pair"): ["sample", "pair", "pair_targets", "copy_number_of", "reference"],
    ("well", "pair"): ["well", "pair", "pair_targets", "well_sample"],
    ("pair", "effect"): ["pair", "pair_targets", "effect"],
    ("well", "pair", "effect"): ["well", "pair", "pair_targets", "effect"],
    ("well", "pair", "cluster"): ["well", "pair", "pair_targets", "cluster"],
}
_MEANINGS = {
    "well": ("", "well of the plate"),
    "channel": ("", "channel of the instrument"),
    "sample": ("", "name of the sample"),
    "pair": ("", "two channels, the first over the second"),
    "pair_targets": ("", "what the two channels measure"),
    "control": ("", "ntc, wild_type or positive; empty for samples"),
    "blanks": ("", "wells that the limits of blank and detection are from"),
    "effect": ("", "of one channel on the other"),
    "cluster": ("", "positive (+) or not (-) in the first channel, and in the second"),
    "well_sample": ("", "sample in the well"),
    "target": ("", "what the channel measures"),
    "ntc": ("", "a control without template"),
    "dilution": ("", "of the sample before it came into the well; 10 is 1 in 10"),
    "replicate": ("", "number within a sample at one dilution"),
    "flags": ("", "what must be said of this well"),
    "plate_flags": ("", "what must be said of all wells"),
    "negatives": ("", "where the shape of the negative cluster comes from"),
    "n_droplets": ("droplets", "in the well"),
    "droplet_volume_nl": ("nanolitres", "of a droplet"),
    "total_volume_ul": ("microlitres", "of all droplets"),
    "ratio": ("", "concentration in the first channel over that in the second"),
    "fractional_abundance": ("", "share of the first of both concentrations"),
    "linked_per_droplet": ("copies per droplet", "molecules with both targets"),
}
# Of what there is one interval only, and which of the two it is.
_STATISTICAL = {"copies_per_droplet", "copies_per_droplet_threshold", "linked_per_droplet"}
_TOTAL = {"ratio", "fractional_abundance", "copy_number"}
# What variables say of their interval, which columns say by their end.
_INTERVAL = re.compile(
    r"(?:statistical|total) interval(?:, which adds variation between wells)?[:;]? ?|^interval that .*"
)


def write_tables(result: xr.Dataset, path: str | os.PathLike[str]) -> list[Path]:
    """Write the result of `ddpcr.quantify` as CSV files: one for wells, and beside it what is not of a single well.

    Parameters
    ----------
    result : Dataset
        From `ddpcr.quantify`.
    path : path
        Of the first file, such as ``results.csv``; the names of the others are made from it.

    Returns
    -------
    list of pathlib.Path
        ``results.csv``: one row for each well and channel. ``results_samples.csv``: for each sample and channel.
        ``results_channels.csv``: for each channel, with variation between wells, limits of blank and detection, and
        flags of the plate. With several channels ``results_pairs.csv`` (ratios and copy numbers of each sample),
        ``results_linkage.csv`` (of each well), ``results_plate_effects.csv`` and ``results_effects.csv`` (cross-talk
        and competition) and ``results_clusters.csv`` (shares of the four clusters). ``results_columns.csv``: unit and
        meaning of every column, in their order.

    Raises
    ------
    InputError
        If `result` is something else, or the folder does not exist.

    Notes
    -----
    UTF-8; names of columns are those of the Dataset, and so are numbers, to the last digit; droplets that were counted
    are whole numbers. What is not known is empty. All text is in quotes. Text that a spreadsheet would take for a
    formula, such as a sample called ``=A1`` or a cluster called ``--``, has an apostrophe in front; `ddpcr.read_plate`
    takes it away from names in a plate table.
    """
    check_result(result)
    first = checked_path(path, "path", ".csv")
    written = []
    for dims, suffix in FILES.items():
        if set(dims) <= set(result.dims):
            written.append(first.with_name(f"{first.stem}{suffix}{first.suffix}"))
            _write(table_of(result, dims), written[-1])
    file = first.with_name(f"{first.stem}_columns{first.suffix}")
    _write(columns_of(result, first), file)
    return [*written, file]


def columns_of(result: xr.Dataset, first: Path) -> pd.DataFrame:
    """File, name, unit and meaning of every column that `write_tables` writes."""
    import pandas as pd

    rows = [
        [f"{first.stem}{suffix}{first.suffix}", name, *meaning(result, name)]
        for dims, suffix in FILES.items()
        if set(dims) <= set(result.dims)
        for name in table_of(result, dims).columns
    ]
    return pd.DataFrame(rows, columns=["file", "column", "unit", "meaning"])


def table_of(result: xr.Dataset, dims: tuple[str, ...]) -> pd.DataFrame:
    """All variables with these dimensions, beside what names the rows."""
    import pandas as pd

    own = [str(name) for name, values in result.data_vars.items() if values.dims == dims]
    names = [*_FIRST[dims], *(name for name in own if name not in _FIRST[dims])]
    shape = {dim: result.sizes[dim] for dim in dims}
    columns: dict[str, Any] = {}
    for name in names:
        if name == "pair_targets":
            pairs = [measured_pair(result, str(pair)) for pair in result["pair"].to_numpy()]
            values = result["pair"].copy(data=pairs)
        elif name in result:
            values = result[name]
        else:
            continue
        values = values.expand_dims({d: n for d, n in shape.items() if d not in values.dims}).transpose(*dims)
        columns[name] = _whole(values.to_numpy().ravel(), str(values.attrs.get("units", "")))
    if dims == ("channel",):
        for kind, name_of_column in (("flags", "plate_flags"), ("negatives", "negatives"), ("blanks", "blanks")):
            columns[name_of_column] = [
                str(result.attrs.get(f"{kind} {name}", "")) for name in result["channel"].to_numpy()
            ]
    return pd.DataFrame(columns)


def _whole(values: Any, units: str) -> Any:
    """Numbers of droplets as whole numbers where they are, also where some are not known."""
    import numpy as np
    import pandas as pd

    if units != "droplets" or values.dtype.kind != "f":
        return values
    known = values[np.isfinite(values)]
    return pd.array(values, dtype="Int64") if known.size and (known == np.round(known)).all() else values


def meaning(result: xr.Dataset, name: str) -> tuple[str, str]:
    """Unit and meaning of a column."""
    attrs = result[name].attrs if name in result else {}
    units, told = attrs.get("units", ""), attrs.get("long_name", "")
    which, base = _end_of(name, result)
    if which:
        own = result[base].attrs if base in result else {}
        units = units or own.get("units", "") or _MEANINGS.get(base, ("", ""))[0]
        about = _INTERVAL.sub("", told)
        told = which + (f": {about}" if about else f" of {base}")
    if name in _MEANINGS and not told:
        units, told = _MEANINGS[name]
    return str(units), str(told)


def _end_of(name: str, result: xr.Dataset) -> tuple[str, str]:
    """Which end of which interval a column is, and of what."""
    for end, side in (("_lower", "lower"), ("_upper", "upper")):
        if not name.endswith(end):
            continue
        base = name.removesuffix(end)
        if base.endswith("_total"):
            return f"{side} end of the total interval", base.removesuffix("_total")
        kind = "statistical " if f"{base}_total{end}" in result or base in _STATISTICAL else ""
        return f"{side} end of the {'total ' if base in _TOTAL else kind}interval", base
    return "", name


def checked_path(path: Any, argument: str, ending: str) -> Path:
    """A file in a folder that exists."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(argument, f"got {as_written(path)}", f"Give the path of a {ending} file")
    try:
        found = Path(path).expanduser()
    except RuntimeError:  # a home folder of nobody, as in "~nobody"
        raise InputError(argument, f"got {as_written(path)}", "Give a folder that exists") from None
    if "\0" in str(found) or not found.name:
        raise InputError(argument, f"got {as_written(path)}", f"Give the path of a {ending} file")
    if found.is_dir():
        raise InputError(argument, f"{str(found)!r} is a folder", f"Give the path of a {ending} file")
    if not found.parent.is_dir():
        raise InputError(argument, f"there is no folder {str(found.parent)!r}", "Make it first")
    return found if found.suffix else found.with_suffix(ending)


@contextmanager
def writing(file: Path, argument: str) -> Iterator[None]:
    """What the system says against a file is said of the argument."""
    try:
        yield
    except OSError as error:
        raise InputError(argument, f"{str(file)!r} cannot be written ({error.strerror})", "Choose another") from error


def _write(table: pd.DataFrame, file: Path) -> None:
    text = table.select_dtypes(exclude=["number", "bool"]).columns
    table = table.assign(**{name: [guarded(str(cell)) for cell in table[name]] for name in text})
    with writing(file, "path"):
        table.to_csv(file, index=False, quoting=csv.QUOTE_NONNUMERIC, encoding="utf-8", lineterminator="\n")
