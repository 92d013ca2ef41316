"""Tables of the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.plots._droplets import Row, by_sample, contents, digits, flags_of, interval, measured
from bayesgmm.report._html import paragraph, table, text
from bayesgmm.report._tables import columns_of

if TYPE_CHECKING:
    import xarray as xr

_MARK = '<span class="mark" title="{}">⚑</span>'


def samples(result: xr.Dataset) -> list[str]:
    """Concentrations of samples, and what two channels say together."""
    level = _level(result)
    rows, amounts = [], []
    own = result["well_sample"].to_numpy().astype(str)
    for name in result["sample"].to_numpy().astype(str):
        wells = (own == name) & ~result["ntc"].to_numpy()
        for channel in result["channel"].to_numpy().astype(str):
            row = Row(result, sample=name, channel=channel)
            flagged = int((result["flags"].sel(channel=channel).to_numpy().astype(str)[wells] != "").sum())
            label = [f"<b>{text(name)}</b>", text(measured(result, channel))]
            value, lower, upper, first, last = _five(row, "sample_copies_per_ul")
            counts = ("sample_droplets", "sample_counted_positives", "sample_counted_negatives")
            rows.append(
                [
                    *label,
                    f"{int(wells.sum())}" + (f' <span class="mark">({flagged} flagged)</span>' if flagged else ""),
                    *(_whole(float(row[count])) for count in counts),
                    f"<b>{digits(value, upper - lower)}</b>",
                    _range(lower, upper, upper - lower),
                    _range(first, last, upper - lower),
                    text(row["sample_detected"]) or "–",
                ]
            )
            limits = [float(row[f"sample_limit_of_{of}_copies_per_ul"]) for of in ("blank", "detection")]
            amounts.append(
                [
                    *label,
                    *(digits(each, each) if np.isfinite(each) else "no controls" for each in limits),
                    *_per_ng(result, row, "sample_copies_per_ng"),
                ]
            )
    if not rows:
        return [paragraph("There are no wells with template.")]
    head = ["Sample", "Target", "Wells", "Accepted droplets", "Positive", "Negative", "Copies per µL of sample"]
    head += [f"{level}, statistical", f"{level}, total", "Above a blank"]
    said = (
        "Copies per µL of the undiluted sample: those in the reaction times the dilution, of all wells of a sample. "
        "<b>Statistical</b> intervals carry Poisson noise and the doubt which droplet is positive; <b>total</b> "
        "intervals add how much wells of one sample differ beyond that. To compare samples, take the total interval. "
        "Positive and negative droplets are counted where the plate shows a gap, else expected ones, rounded."
    )
    more = ["Sample", "Target", "Limit of blank (copies per µL of sample)", "Limit of detection"]
    more += _head_per_ng(result, "sample_copies_per_ng", level)
    return [
        table(head, rows, numeric=range(3, 9)),
        paragraph(said, "note"),
        table(more, amounts, numeric=range(2, len(more))),
        paragraph(_LIMITS_OF_SAMPLES, "note"),
        *_pairs(result, level),
    ]


_LIMITS_OF_SAMPLES = (
    "A blank with as many droplets as the sample stays below the limit of blank, and a sample with the limit of "
    "detection is told from a blank, each with 95 % probability, given how few or many controls there are."
)


def _five(row: Row, name: str) -> tuple[float, ...]:
    """An estimate, both ends of its statistical interval, and both of its total one."""
    return tuple(float(row[f"{name}{end}"]) for end in ("", "_lower", "_upper", "_total_lower", "_total_upper"))


def _per_ng(result: xr.Dataset, row: Row, name: str) -> list[str]:
    if name not in result:
        return []
    value, lower, upper, first, last = _five(row, name)
    return [interval(value, lower, upper), _range(first, last, upper - lower)]


def _head_per_ng(result: xr.Dataset, name: str, level: str) -> list[str]:
    return [f"Copies per ng ({level}, statistical)", f"{level}, total"] if name in result else []


def _whole(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "–"


def _pairs(result: xr.Dataset, level: str) -> list[str]:
    if "ratio" not in result:
        return []
    out, copies = [], f"{float(result.attrs['reference_copies']):g}"
    for pair in result["pair"].to_numpy().astype(str):
        first, second = (measured(result, each) for each in pair.split(" / "))
        at = Row(result, pair=pair)
        own, reference = str(at["copy_number_of"]), str(at["reference"])
        rows = []
        for name in result["sample"].to_numpy().astype(str):
            row = Row(result, sample=name, pair=pair)
            ratio, number, share = (_with_ends(row, each) for each in ("ratio", "copy_number", "fractional_abundance"))
            cells = (ratio, number, tuple(100.0 * each for each in share))
            rows.append([f"<b>{text(name)}</b>", *(interval(*each) for each in cells)])
        head = [
            "Sample",
            f"{text(first)} / {text(second)} ({level}, total)",
            f"Copies of {text(own)} if there are {copies} of {text(reference)} ({level}, total)",
            f"{text(first)} of both, % ({level}, total)",
        ]
        out += [f"<h3>{text(first)} against {text(second)}</h3>", table(head, rows, numeric=(1, 2, 3))]
        said = (
            f"Ratio of concentrations; copy number of {text(own)} if {text(reference)} has {copies} copies; "
            f"fractional abundance of {text(first)}. The intervals are total ones: both concentrations carry the "
            "variation between wells."
        )
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
                text(result.attrs.get(f"blanks {channel}", "")),
            ]
        )
    head = ["Target", f"Sd between wells ({level})", "Limit of blank", "Limit of detection", "Blanks"]
    said = (
        "Sd between wells: of the concentrations of wells of one sample, beyond Poisson noise, learned from all "
        "samples. Limits are in copies per µL of reaction for one well: a blank stays below the first, and a well with "
        "the second is told from a blank, each with 95 % probability. Blanks: the wells that limits are from."
    )
    return table(head, rows, numeric=(1, 2, 3)) + paragraph(said, "note")


def wells(result: xr.Dataset) -> list[str]:
    """One row for each well and channel."""
    several, level, rows = result.sizes["channel"] > 1, _level(result), []
    amounts = [name for name in ("copies_per_well", "copies_per_ng") if name in result]
    for well in by_sample(result):
        for channel in result["channel"].to_numpy().astype(str):
            row = Row(result, well=well, channel=channel)
            flags = "; ".join(flags_of(result, well, channel))
            rate, found = _with_ends(row, "copies_per_droplet"), _with_ends(row, "copies_per_ul")
            first, last = (float(row[f"copies_per_ul_total_{end}"]) for end in ("lower", "upper"))
            rows.append(
                [
                    f"<b>{text(well)}</b>",
                    f"{text(contents(result, well))}{' ' + _MARK.format(text(flags)) if flags else ''}",
                    *([text(measured(result, channel))] if several else []),
                    *(_whole(float(row[each])) for each in ("n_droplets", "counted_positives", "counted_negatives")),
                    interval(*rate),
                    interval(*found),
                    _range(first, last, found[2] - found[1]),
                    *(digits(*_with_width(row, each)) for each in amounts),
                    text(row["detected"]) or "–",
                ]
            )
    head = ["Well", "Sample", *(["Target"] if several else []), "Accepted droplets", "Positive", "Negative"]
    head += [f"λ ({level}, statistical)", f"Copies per µL ({level}, statistical)", f"{level}, total"]
    head += [*(name.replace("_", " ").capitalize() for name in amounts), "Above a blank"]
    start = 3 if several else 2
    said = (
        "λ: copies per droplet. Copies per µL of reaction, not corrected for dilution; per well of "
        f"{float(result.attrs['reaction_volume_ul']):g} µL. Positive and negative droplets are counted where the "
        "plate shows a gap, else expected ones, rounded. Above a blank: more positives than the limit of blank. ⚑: "
        "there are flags."
    )
    numeric = range(start, len(head) - 1)
    return [table(head, rows, numeric=numeric, kind="wells"), paragraph(said, "note"), *_beside(result)]


def _beside(result: xr.Dataset) -> list[str]:
    """The answer of every well beside counts and what the instrument's software reported."""
    several, level, reported = result.sizes["channel"] > 1, _level(result), "reported_positives" in result
    rows = []
    for well in by_sample(result):
        for channel in result["channel"].to_numpy().astype(str):
            row = Row(result, well=well, channel=channel)
            rate = _with_ends(row, "copies_per_droplet")
            width = rate[2] - rate[1]
            cells = [
                f"<b>{text(well)}</b>",
                text(contents(result, well)),
                *([text(measured(result, channel))] if several else []),
                digits(float(row["positives"]), 20.0),
                _whole(float(row["threshold_positives"])),
                digits(rate[0], width),
                digits(float(row["copies_per_droplet_threshold"]), width),
                digits(float(row["copies_per_droplet_rain_negative"]), width),
                digits(float(row["separation"]), 1.0),
            ]
            if reported:
                known = np.isfinite(float(row["reported_copies_per_ul"]))
                cells += [
                    _whole(float(row["reported_positives"])),
                    _whole(float(row["reported_droplets"])),
                    interval(*_with_ends(row, "copies_per_ul")),
                    interval(*_with_ends(row, "reported_copies_per_ul")) if known else "–",
                ]
            rows.append(cells)
    head = ["Well", "Sample", *(["Target"] if several else []), "Positive, expected", "Positive, counted", "λ"]
    head += ["λ, counted", "λ, rain negative", "Apart (sd)"]
    if reported:
        head += ["Positive, instrument", "Accepted, instrument", f"Copies per µL ({level}, statistical)"]
        head += ["Copies per µL, instrument (95 %)"]
    said = (
        "Positive, expected: by the probabilities of all droplets, rain included. Counted: above the threshold. "
        "Rain negative: what λ would be if droplets between the clusters were negative. Apart: distance of the "
        "clusters; below 2.5 sd they cannot be told apart."
    )
    if reported:
        said += " Instrument: what its software reported, with its own threshold and droplet volume."
    title = "Beside counting and the instrument" if reported else "Beside counting"
    numeric = range(3 if several else 2, len(head))
    return [f"<h3>{title}</h3>", table(head, rows, numeric=numeric, kind="wells"), paragraph(said, "note")]


def columns(result: xr.Dataset) -> list[str]:
    """What the columns of the tables of `write_tables` mean."""
    out = [
        paragraph(
            "What <code>write_tables</code> and the option <code>--out</code> write, if the first file is called "
            "results.csv.",
            "note",
        )
    ]
    for file, own in columns_of(result, Path("results.csv")).groupby("file", sort=False):
        cells = own[["column", "unit", "meaning"]].to_numpy().tolist()
        rows = [[f"<code>{text(name)}</code>", text(unit), text(told)] for name, unit, told in cells]
        out.append(f"<h3>{text(file)}</h3>")
        out.append(table(["Column", "Unit", "Meaning"], rows, kind="columns"))
    return out


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


def _with_width(row: Any, name: str) -> tuple[float, float]:
    """An estimate, and the width of its statistical interval."""
    middle, lower, upper = _with_ends(row, name)
    return middle, upper - lower


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
