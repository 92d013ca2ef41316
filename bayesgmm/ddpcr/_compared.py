"""What laboratories compare: whole droplets, copies per well and per ng, copy numbers, the instrument's own numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_number, as_written
from bayesgmm._errors import InputError
from bayesgmm.ddpcr._plate import Plate
from bayesgmm.ddpcr._table import NO_TEMPLATE

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

_ENDS = ("", "_lower", "_upper", "_total_lower", "_total_upper")
_REPORTED = {
    "positives": ("reported_positives", "droplets", "positives that the instrument's software counted"),
    "n_droplets": ("reported_droplets", "droplets", "that the instrument's software accepted"),
    "concentration": ("reported_copies_per_ul", "copies per microlitre of reaction", "by the instrument's software"),
    "lower": (
        "reported_copies_per_ul_lower",
        "copies per microlitre of reaction",
        "by the instrument's software; 95 %",
    ),
    "upper": (
        "reported_copies_per_ul_upper",
        "copies per microlitre of reaction",
        "by the instrument's software; 95 %",
    ),
}
# Counts of the same droplets differ where thresholds do: by more than a few, and more than a further run would.
_FEW, _ERRORS = 3.0, 1.96


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What concentrations are compared by.

    Parameters
    ----------
    reaction_volume_ul : float
        Of a well.
    ng : (n_wells,) array
        Nanograms of template in each well; NaN where nobody says it.
    reference : str, optional
        Channel of the reference of copy numbers; the second of each pair if it is none of it or left out.
    reference_copies : float
        Of the reference in a genome.
    """

    reaction_volume_ul: float
    ng: Array
    reference: str | None
    reference_copies: float


def comparison(
    plate: Plate, channels: list[str], reaction_volume_ul: Any, input_ng: Any, reference: Any, reference_copies: Any
) -> Comparison:
    """Check what users give.

    Raises
    ------
    InputError
        For numbers that are not positive, and a reference that is neither a channel nor a target.
    """
    if input_ng is not None:
        ng = np.full(len(plate), as_number("input_ng", input_ng, above=0.0))
    elif "ng" in plate.table.columns:
        ng = np.array(plate.table["ng"].tolist(), dtype=float)
    else:
        ng = np.full(len(plate), np.nan)
    ng[(plate.table["ntc"].to_numpy(dtype=bool)) | ~(ng > 0.0)] = np.nan
    found = None
    if reference is not None:
        targets = {name: set(plate.table[f"target {name}"].astype(str)) for name in channels}
        found = next((name for name in channels if reference == name or targets[name] == {reference}), None)
        if found is None:
            known = ", ".join(dict.fromkeys([*channels, *sorted(set().union(*targets.values()))]))
            raise InputError("reference", f"got {as_written(reference)}", f"Give a channel or its target: {known}")
    return Comparison(
        reaction_volume_ul=as_number("reaction_volume_ul", reaction_volume_ul, above=0.0),
        ng=ng,
        reference=found,
        reference_copies=as_number("reference_copies", reference_copies, above=0.0),
    )


def with_compared(out: xr.Dataset, plate: Plate, by: Comparison) -> xr.Dataset:
    """Add droplets as whole numbers, copies per well and per ng, copy numbers, and what the instrument reported."""
    wells = ("well", "channel")
    found: dict[str, Any] = {}
    count = counts(out)
    n = out["n_droplets"].to_numpy().astype(float)[:, None]
    found["counted_positives"] = (wells, count, _units("droplets", "positive droplets"))
    found["counted_negatives"] = (wells, n - count, _units("droplets", "negative droplets"))
    per_well = {end: out[f"copies_per_ul{end}"].to_numpy() * by.reaction_volume_ul for end in _ENDS}
    volume = f"in {by.reaction_volume_ul:g} microlitres of reaction"
    for end, values in per_well.items():
        found[f"copies_per_well{end}"] = (wells, values, _units("copies per well", f"{_INTERVALS[end]} {volume}"))
    if np.isfinite(by.ng).any():
        for end, values in per_well.items():
            told = _units("copies per nanogram of template", _INTERVALS[end])
            found[f"copies_per_ng{end}"] = (wells, values / by.ng[:, None], told)
        found["input_ng"] = (("well",), by.ng, _units("nanograms", "of template in the well"))
    found |= _of_samples(out, plate, by, count)
    if "ratio" in out:
        found |= _copy_numbers(out, by)
    reported, flags = _of_instrument(out, plate, count)
    out = out.assign(found | reported)
    if reported:
        out["flags"] = (wells, flags, out["flags"].attrs)
    out.attrs["reaction_volume_ul"] = by.reaction_volume_ul
    out.attrs["reference_copies"] = by.reference_copies
    return out


def counts(out: xr.Dataset) -> Array:
    """Positive droplets, (wells, channels): above the threshold where wells are counted, else the expected number."""
    values = np.where(out["counted"] == 1.0, out["threshold_positives"], out["positives"])
    return np.where(values < 1.0, 0.0, np.round(values))  # expected numbers below one are no positives


_INTERVALS = {
    "": "posterior median;",
    "_lower": "statistical interval;",
    "_upper": "statistical interval;",
    "_total_lower": "total interval, which adds variation between wells;",
    "_total_upper": "total interval, which adds variation between wells;",
}


def _of_samples(out: xr.Dataset, plate: Plate, by: Comparison, count: Array) -> dict[str, Any]:
    """Wells of a sample put together."""
    samples = out["sample"].to_numpy().astype(str)
    kept = np.array(plate.controls) != NO_TEMPLATE
    own = np.zeros((len(samples), len(plate)), dtype=bool)
    for row, name in zip(own, samples, strict=True):
        row[:] = (out["well_sample"].to_numpy().astype(str) == name) & kept
    n = out["n_droplets"].to_numpy().astype(float)
    known = np.isfinite(count)
    positives = own.astype(float) @ np.nan_to_num(count)
    accepted = own.astype(float) @ (known * n[:, None])
    dims, droplets = ("sample", "channel"), "of all wells of the sample"
    found: dict[str, Any] = {
        "sample_wells": (("sample",), own.sum(axis=1), _units("", "number of wells of the sample")),
        "sample_droplets": (dims, accepted, _units("droplets", f"{droplets}, with an estimate")),
        "sample_counted_positives": (dims, positives, _units("droplets", f"positive droplets {droplets}")),
        "sample_counted_negatives": (dims, accepted - positives, _units("droplets", f"negative droplets {droplets}")),
    }
    used = own & np.isfinite(by.ng)
    if used.any():
        # Of the undiluted sample a well holds its volume over the dilution.
        share = by.reaction_volume_ul / out["dilution"].to_numpy()
        with np.errstate(invalid="ignore"):
            factor = (used @ share) / (used @ np.nan_to_num(by.ng))
        for end in _ENDS:
            values = out[f"sample_copies_per_ul{end}"].to_numpy() * factor[:, None]
            found[f"sample_copies_per_ng{end}"] = (
                dims, values, _units("copies per nanogram of template", _INTERVALS[end]),
            )  # fmt: skip
    return found


def _copy_numbers(out: xr.Dataset, by: Comparison) -> dict[str, Any]:
    """Copies of a target in a genome with so many of the reference."""
    pairs = [str(pair).split(" / ") for pair in out["pair"].to_numpy()]
    turned = np.array([first == by.reference for first, _ in pairs])
    ratio = [out[f"ratio{end}"].to_numpy() for end in ("", "_lower", "_upper")]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = [1.0 / ratio[0], 1.0 / ratio[2], 1.0 / ratio[1]]
    told = _units("copies", f"in a genome with {by.reference_copies:g} of the reference")
    found: dict[str, Any] = {}
    for end, straight, other in zip(("", "_lower", "_upper"), ratio, inverse, strict=True):
        values = by.reference_copies * np.where(turned, other, straight)
        found[f"copy_number{end}"] = (("sample", "pair"), np.where(np.isfinite(values), values, np.nan), told)
    channels = out["channel"].to_numpy().astype(str).tolist()
    targets = out["target"].to_numpy().astype(str)
    for name, place in (("copy_number_of", 0), ("reference", 1)):
        each = [pair[1 - place if swap else place] for pair, swap in zip(pairs, turned, strict=True)]
        found[name] = (("pair",), np.array([targets[channels.index(channel)] for channel in each]), _SAID[name])
    return found


_SAID = {
    "copy_number_of": {"long_name": "target whose copy number it is"},
    "reference": {"long_name": "target that the copy number refers to"},
}


def _of_instrument(out: xr.Dataset, plate: Plate, count: Array) -> tuple[dict[str, Any], NDArray[np.str_]]:
    """What the instrument's software reported of each well and channel, and flags where it counted otherwise."""
    flags = out["flags"].to_numpy().astype(object)
    if plate.reported is None:
        return {}, flags.astype(str)
    channels = out["channel"].to_numpy().astype(str).tolist()
    rows = {well.name: i for i, well in enumerate(plate)}
    values = {name: np.full(count.shape, np.nan) for name in _REPORTED}
    twice = np.zeros(count.shape, dtype=int)
    for row in plate.reported.to_dict("records"):
        place = _channel_of(row, plate, channels)
        if row["well"] not in rows or place is None:
            continue
        at = rows[row["well"]], place
        twice[at] += 1
        for name, into in values.items():
            same = twice[at] == 1 or into[at] == row[name]
            into[at] = row[name] if same else np.nan  # two tables that disagree say nothing
    if not any(np.isfinite(each).any() for each in values.values()):
        return {}, flags.astype(str)
    n = out["n_droplets"].to_numpy()
    for i, c in np.argwhere(np.isfinite(values["positives"]) & np.isfinite(count)):
        theirs, ours = values["positives"][i, c], count[i, c]
        error = np.sqrt(max(ours * (1.0 - ours / max(n[i], 1)), 0.0))
        if abs(theirs - ours) > _FEW + _ERRORS * error:
            accepted = values["n_droplets"][i, c]
            of = f" of {int(accepted):,} droplets" if np.isfinite(accepted) else ""
            plural = "" if theirs == 1.0 else "s"
            told = f"the instrument counted {int(theirs):,} positive{plural}{of}, here are {int(ours):,}"
            flags[i, c] = "; ".join(each for each in (str(flags[i, c]), told) if each)
    dims = ("well", "channel")
    found = {new: (dims, values[name], _units(unit, told)) for name, (new, unit, told) in _REPORTED.items()}
    return found, flags.astype(str)


def _channel_of(row: dict[str, Any], plate: Plate, channels: list[str]) -> int | None:
    """The channel that a row of results is of: as it says, by its target, or the only one."""
    if row["channel"] in channels:
        return channels.index(row["channel"])
    if row["well"] not in plate.table.index or row["channel"] in plate.channels:
        return None
    own = [c for c, name in enumerate(channels) if str(plate.table.loc[row["well"], f"target {name}"]) == row["target"]]
    if len(own) == 1:
        return own[0]
    return 0 if len(plate.channels) == 1 else None


def _units(units: str, meaning: str) -> dict[str, str]:
    return {"units": units, "long_name": meaning.rstrip(";")}
