"""Tables of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.plots._droplets import Row, by_sample, contents, digits, flags_of, interval, measured
from bayesgmm.report._html import paragraph, table, text

if TYPE_CHECKING:
    import xarray as xr

_MARK = '<span class="mark" title="{}">⚑</span>'


def samples(result: xr.Dataset) -> list[str]:
    """Concentrations of samples, and what two channels say together."""
    level = _level(result)
    rows = []
    for name in result["sample"].to_numpy().astype(str):
        own = (result["well_sample"].to_numpy().astype(str) == name) & ~result["ntc"].to_numpy()
        for channel in result["channel"].to_numpy().astype(str):
            row = Row(result, sample=name, channel=channel)
            flagged = int((result["flags"].sel(channel=channel).to_numpy().astype(str)[own] != "").sum())
            value, lower, upper, first, last = (
                float(row[f"sample_copies_per_ul{end}"])
                for end in ("", "_lower", "_upper", "_total_lower", "_total_upper")
            )
            rows.append(
                [
                    f"<b>{text(name)}</b>",
                    text(measured(result, channel)),
                    f"{int(own.sum())}" + (f' <span class="mark">({flagged} flagged)</span>' if flagged else ""),
                    f"<b>{digits(value, upper - lower)}</b>",
                    _range(lower, upper, upper - lower),
                    _range(first, last, upper - lower),
                ]
            )
    if not rows:
        return [paragraph("There are no wells with template.")]
    head = ["Sample", "Channel", "Wells", "Copies per µL of sample", f"{level}, statistical", f"{level}, total"]
    said = (
        "Copies per µL of the undiluted sample: those in the reaction times the dilution. <b>Statistical</b> intervals "
        "carry Poisson noise and the doubt which droplet is positive; <b>total</b> intervals add how much wells of one "
        "sample differ beyond that. To compare samples, take the total interval."
    )
    return [table(head, rows, numeric=(3, 4, 5)), paragraph(said, "note"), *_pairs(result, level)]


def _pairs(result: xr.Dataset, level: str) -> list[str]:
    if "ratio" not in result:
        return []
    out = []
    for pair in result["pair"].to_numpy().astype(str):
        first, second = (str(Row(result, channel=each)["target"]) for each in pair.split(" / "))
        rows = []
        for name in result["sample"].to_numpy().astype(str):
            row = Row(result, sample=name, pair=pair)
            ratio = [float(row[f"ratio{end}"]) for end in ("", "_lower", "_upper")]
            share = [100.0 * float(row[f"fractional_abundance{end}"]) for end in ("", "_lower", "_upper")]
            twice = [2.0 * each for each in ratio]
            rows.append([f"<b>{text(name)}</b>", *(interval(*each) for each in (ratio, twice, share))])
        head = [
            "Sample",
            f"{text(first)} / {text(second)}",
            f"Copies of {text(first)} if there are two of {text(second)}",
            f"{text(first)} of both (%)",
        ]
        out += [f"<h3>{text(first)} against {text(second)}</h3>", table(head, rows, numeric=(1, 2, 3))]
        said = f"With total {level} intervals: ratio, copy number with a reference of two copies, fractional abundance."
        out.append(paragraph(said, "note"))
    return out


def channels(result: xr.Dataset) -> str:
    """Variation between wells and what controls say."""
    level, rows = _level(result), []
    for channel in result["channel"].to_numpy().astype(str):
        row = Row(result, channel=channel)
        tau = [100.0 * float(row[f"between_well_sd{end}"]) for end in ("", "_lower", "_upper")]
        width = tau[2] - tau[1]
        limits = [float(row[name]) for name in ("limit_of_blank", "limit_of_detection")]
        rows.append(
            [
                f"<b>{text(measured(result, channel))}</b>",
                f"{digits(tau[0], width)} % ({digits(tau[1], width)} to {digits(tau[2], width)})",
                *(digits(each, each) if np.isfinite(each) else "no controls" for each in limits),
            ]
        )
    head = ["Channel", f"Sd between wells ({level})", "Limit of blank", "Limit of detection"]
    said = (
        "Sd between wells: of the concentrations of wells of one sample, beyond Poisson noise, learned from all "
        "samples. Limits are in copies per µL of reaction for one well: a blank stays below the first, and a well with "
        "the second is told from a blank, each with 95 % probability."
    )
    return table(head, rows, numeric=(1, 2, 3)) + paragraph(said, "note")


def wells(result: xr.Dataset) -> list[str]:
    """One row for each well and channel."""
    several, level, rows = result.sizes["channel"] > 1, _level(result), []
    for well in by_sample(result):
        for channel in result["channel"].to_numpy().astype(str):
            row = Row(result, well=well, channel=channel)
            flags = "; ".join(flags_of(result, well, channel))

            rate, found = _with_ends(row, "copies_per_droplet"), _with_ends(row, "copies_per_ul")
            first, last = (float(row[f"copies_per_ul_total_{end}"]) for end in ("lower", "upper"))
            width = rate[2] - rate[1]
            cells = [
                f"<b>{text(well)}</b>",
                f"{text(contents(result, well))}{' ' + _MARK.format(text(flags)) if flags else ''}",
                *([text(channel)] if several else []),
                f"{int(row['n_droplets']):,}",
                digits(float(row["positives"]), 20.0),
                interval(*rate),
                interval(*found),
                _range(first, last, found[2] - found[1]),
                digits(float(row["copies_per_droplet_rain_negative"]), width),
                digits(float(row["copies_per_droplet_threshold"]), width),
                digits(float(row["separation"]), 1.0),
            ]
            rows.append(cells)
    head = ["Well", "Sample", *(["Channel"] if several else []), "Droplets", "Positives", f"λ ({level}, statistical)"]
    head += [
        f"Copies per µL ({level}, statistical)",
        f"{level}, total",
        "λ, rain negative",
        "λ at threshold",
        "Apart (sd)",
    ]
    start = 3 if several else 2
    said = (
        "λ: copies per droplet. Copies per µL of reaction, not corrected for dilution. Positives: expected number, "
        "rain included. Rain negative: what λ would be if droplets between the clusters were negative. At threshold: "
        "counted half way between the clusters. Apart: distance of the clusters; below 2.5 sd they cannot be told "
        "apart. ⚑: there are flags."
    )
    return [table(head, rows, numeric=range(start, len(head)), kind="wells"), paragraph(said, "note")]


def linkage(result: xr.Dataset, well: str) -> str:
    """The linkage in a well with two channels."""
    if "linked_per_droplet" not in result:
        return ""
    row = Row(result, well=well, pair=str(result["pair"].to_numpy()[0]))
    value, lower, upper = (float(row[f"linked_per_droplet{end}"]) for end in ("", "_lower", "_upper"))
    if not np.isfinite(value):
        return "no estimate of linkage"
    width = upper - lower
    return f"linked λ {digits(value, width)} ({digits(lower, width)} to {digits(upper, width)})"


def _with_ends(row: Any, name: str) -> tuple[float, float, float]:
    return float(row[name]), float(row[f"{name}_lower"]), float(row[f"{name}_upper"])


def volume(result: xr.Dataset) -> str:
    """The volume of a droplet, in words."""
    values = np.unique(result["droplet_volume_nl"].to_numpy().round(6))
    return f"{values[0]:g} nL" if values.size == 1 else f"{values[0]:g} to {values[-1]:g} nL, by well"


def _range(lower: float, upper: float, width: float) -> str:
    if not np.isfinite(lower) and not np.isfinite(upper):
        return "–"
    if not np.isfinite(upper):
        return f"above {digits(lower, lower)}"
    return f"{digits(lower, width)} to {digits(upper, width)}" if lower > 0 else f"below {digits(upper, upper)}"


def _level(result: xr.Dataset) -> str:
    return f"{100 * float(result.attrs['probability']):g} %"
