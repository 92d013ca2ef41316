"""``bayesgmm ddpcr``: from the files of a plate to a table and a report."""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm._errors import BayesGMMError, InputError
from bayesgmm._words import counted
from bayesgmm.ddpcr import instruments, quantify, read_plate
from bayesgmm.engines.nuts import NUTS
from bayesgmm.plots._droplets import Row, digits, interval, measured, measured_pair
from bayesgmm.report import write_report, write_tables
from bayesgmm.report._flags import gathered, of_plate
from bayesgmm.report._tables import checked_path

if TYPE_CHECKING:
    import xarray as xr

_DESCRIPTION = """\
Concentrations from the amplitudes of droplets, counted where the plate shows a gap
between negatives and positives, else by a mixture of both: reads what the instrument
writes, prints the concentration of every sample with its interval, and writes tables
and a report.
"""
_EXAMPLES = """\
examples:
  bayesgmm ddpcr export/ --volume-nl 0.85 --ntc A12-D12
  bayesgmm ddpcr export/ --volume-nl 0.85 --plate plate.csv --out results.csv --report report.html

The plate table is a CSV file with a column "well" (A01, or a range such as A01-D01)
and any of "sample", "dilution", "ntc", "control" (ntc, wild_type or positive), "ng"
(of template in the well), "replicate" and "target Ch1".

Beside results.csv (one row for each well and channel) --out writes
results_samples.csv, results_channels.csv and, with two channels, results_pairs.csv,
results_linkage.csv, results_plate_effects.csv, results_effects.csv and
results_clusters.csv; results_columns.csv explains every column with its unit.

The droplet volume has no default: concentrations are proportional to 1 / volume.
"""


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "ddpcr",
        help="droplet digital PCR: concentrations from a folder of amplitude files",
        description=_DESCRIPTION,
        epilog=_EXAMPLES + _known(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", metavar="FOLDER", help="a folder, a zip, or files of the instrument")
    volume = parser.add_argument_group("droplet volume (one of the two, unless the files state it)")
    volume.add_argument("--volume-nl", type=float, metavar="NL", help="nanolitres of a droplet, such as 0.85")
    volume.add_argument("--instrument", metavar="NAME", help="a known instrument; names are at the end of this help")
    plate = parser.add_argument_group("what is in the wells")
    plate.add_argument("--plate", metavar="CSV", help="plate table")
    plate.add_argument("--ntc", metavar="WELLS", help="wells without template: A01,B01 or A12-D12")
    plate.add_argument("--targets", metavar="NAMES", help="what the channels measure, in their order: MUT,WT")
    plate.add_argument("--channels", metavar="NAMES", help="channels to use, such as Ch1 or Ch1,Ch2; all if left out")
    plate.add_argument("--delimiter", metavar="SIGN", help="between fields of the files; found in each if left out")
    compared = parser.add_argument_group("what is compared")
    compared.add_argument(
        "--reaction-volume-ul", type=float, default=20.0, metavar="UL", help="of a well, for copies per well (20)"
    )
    compared.add_argument(
        "--ng",
        type=float,
        metavar="NG",
        help="template in each well, for copies per ng; else the column ng of the table",
    )
    compared.add_argument("--reference", metavar="NAME", help="target or channel that copy numbers refer to")
    compared.add_argument(
        "--reference-copies", type=float, default=2.0, metavar="N", help="copies of the reference in a genome (2)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="CSV", help="write tables: this file and others beside it")
    output.add_argument("--report", metavar="HTML", help="write a report: one page that holds everything")
    output.add_argument("--title", metavar="TEXT", help="heading of the report; the name of the folder if left out")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--graded", action="store_true", help="amplitudes grow with the number of molecules, if the data earn it"
    )
    how.add_argument(
        "--threshold",
        action="append",
        metavar="NAME=AMPLITUDE",
        help="count a channel or target there, Ch1=6500, or half way between two means, Ch1=2000,7000; may be repeated",
    )
    how.add_argument("--engine", choices=("nuts",), help="sample the full posterior of wells: a minute for each")
    how.add_argument(
        "--wells", metavar="WELLS", help="wells that the engine samples: A01,B01 or A01-C01; all if left out"
    )
    how.add_argument("--probability", type=float, default=0.95, metavar="P", help="of the intervals (0.95)")
    how.add_argument("--cores", type=int, metavar="N", help="processes; all processors if left out")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of random numbers (0)")


def _known() -> str:
    names = [f'  "{name}"  {volume:g} nL' for name, volume in instruments().items()]
    return "\ninstruments:\n" + "\n".join(names) + "\n"


# What messages call by the names of Python's arguments.
_OPTIONS = {
    "droplet_volume_nl": "--volume-nl",
    "instrument": "--instrument",
    "paths": "FOLDER",
    "table": "--plate",
    "ntc": "--ntc",
    "targets": "--targets",
    "channels": "--channels",
    "delimiter": "--delimiter",
    "engine": "--engine",
    "wells": "--wells",
    "thresholds": "--threshold",
    "reaction_volume_ul": "--reaction-volume-ul",
    "input_ng": "--ng",
    "reference": "--reference",
    "reference_copies": "--reference-copies",
    "probability": "--probability",
    "cores": "--cores",
    "random_seed": "--seed",
}


def worded(error: BayesGMMError) -> str:
    """The message with the names of options."""
    if not isinstance(error, InputError):
        return str(error)
    remedy = error.remedy
    for argument, option in _OPTIONS.items():
        remedy = remedy.replace(f"{argument}=", option)
    problem = error.problem.replace("droplet_volume_nl", "--volume-nl")
    return f"{_OPTIONS.get(error.argument, error.argument)}: {problem}. {remedy}"


def run(options: argparse.Namespace, given: list[str]) -> None:
    """Read, quantify, print, write.

    Raises
    ------
    InputError
        For whatever cannot be used; paths of output are looked at before the work begins.
    """
    out = checked_path(options.out, "--out", ".csv") if options.out else None
    report = checked_path(options.report, "--report", ".html") if options.report else None
    bar = not options.quiet
    with warnings.catch_warnings():
        warnings.showwarning = _warned
        plate = read_plate(
            options.paths,
            table=options.plate,
            ntc=_names(options.ntc),
            targets=_names(options.targets),
            delimiter="\t" if options.delimiter == r"\t" else options.delimiter,
            progressbar=bar,
        )
        result = quantify(
            plate,
            droplet_volume_nl=options.volume_nl,
            instrument=options.instrument,
            channels=_names(options.channels),
            amplitudes="graded" if options.graded else "saturated",
            engine=NUTS() if options.engine else None,
            wells=_names(options.wells),
            thresholds=_thresholds(options.threshold),
            reaction_volume_ul=options.reaction_volume_ul,
            input_ng=options.ng,
            reference=options.reference,
            reference_copies=options.reference_copies,
            probability=options.probability,
            random_seed=options.seed,
            cores=options.cores,
            progressbar=bar,
        )
    written = write_tables(result, out) if out else []
    if report:
        title = options.title or f"Droplet digital PCR: {Path(options.paths[0]).resolve().name}"
        _use_files_only()
        written.append(write_report(result, plate, report, title=title, command=shlex.join(["bayesgmm", *given])))
    if bar:
        _print(result, plate, written)


def _thresholds(given: list[str] | None) -> dict[str, float | list[float]] | None:
    """Turn NAME=AMPLITUDE texts into the mapping that `quantify` takes."""
    if given is None:
        return None
    out: dict[str, float | list[float]] = {}
    for each in given:
        name, sign, numbers = each.rpartition("=")
        try:
            values = [float(number) for number in numbers.split(",")]
        except ValueError:
            values = []
        if not sign or not values or name.strip() in out:
            raise InputError("thresholds", f"got {each!r}", "Give each channel or target once, such as Ch1=6500")
        out[name.strip()] = values[0] if len(values) == 1 else values
    return out


_LEAST_WIDTH = 100


def _warned(message: Warning | str, *_: Any) -> None:
    print(f"bayesgmm ddpcr: {message}", file=sys.stderr)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [each.strip() for each in text.split(",") if each.strip()]


def _use_files_only() -> None:
    """Pictures go to a file; a command must not look for a screen."""
    import matplotlib

    matplotlib.use("agg")


def _print(result: xr.Dataset, plate: Any, written: list[Path]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # Narrower than that numbers would be cut off; a file or a pipe has no width of its own.
    console = Console(highlight=False, soft_wrap=False)
    console.width = max(console.width, _LEAST_WIDTH)
    level = f"{100 * float(result.attrs['probability']):g} %"
    droplets = result["n_droplets"].to_numpy()
    ntc = int(result["ntc"].sum())
    sizes = " to ".join(dict.fromkeys(f"{int(each):,}" for each in (droplets.min(), droplets.max())))
    console.print(f"{counted(len(plate), 'well')} ({ntc} without template), {sizes} droplets each.")
    volumes = sorted({round(float(each), 6) for each in result["droplet_volume_nl"].to_numpy()})
    shown = " to ".join(f"{each:g}" for each in ([volumes[0], volumes[-1]] if len(volumes) > 1 else volumes))
    console.print(f"Droplet volume {shown} nL ({escape(str(result.attrs['droplet_volume']))}).")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("sample", overflow="fold")
    table.add_column("target", overflow="fold")
    table.add_column("wells", justify="right")
    table.add_column("positive", justify="right", overflow="fold")
    table.add_column("copies/µL", justify="right", no_wrap=True)
    table.add_column(f"{level} statistical", justify="right", no_wrap=True)
    table.add_column(f"{level} total", justify="right", no_wrap=True)
    judged = bool((result["sample_detected"] != "").any())
    if judged:
        table.add_column("blank", overflow="fold")
    own = result["well_sample"].to_numpy().astype(str)
    for name in result["sample"].to_numpy().astype(str):
        wells = int(((own == name) & ~result["ntc"].to_numpy()).sum())
        for channel in result["channel"].to_numpy().astype(str):
            row = Row(result, sample=name, channel=channel)
            value, lower, upper, first, last = (
                float(row[f"sample_copies_per_ul{end}"])
                for end in ("", "_lower", "_upper", "_total_lower", "_total_upper")
            )
            width = upper - lower
            table.add_row(
                escape(name),
                escape(measured(result, channel)),
                str(wells),
                " of ".join(f"{float(row[f'sample_{each}']):,.0f}" for each in ("counted_positives", "droplets")),
                digits(value, width),
                f"{digits(lower, width)} to {digits(upper, width)}",
                f"{digits(first, width)} to {digits(last, width)}",
                *([str(row["sample_detected"])] if judged else []),
            )
    console.print()
    console.print(table)
    _print_pairs(console, result, level)
    _print_reported(console, result, level)
    console.print()
    for channel in result["channel"].to_numpy().astype(str):
        row = Row(result, channel=channel)
        tau = [100 * float(row[f"between_well_sd{end}"]) for end in ("", "_lower", "_upper")]
        console.print(f"{escape(measured(result, channel))}: sd between wells {interval_of(tau)} %", end="")
        blank, detection = float(row["limit_of_blank"]), float(row["limit_of_detection"])
        known = blank == blank
        console.print(
            f"; limit of blank {digits(blank, blank)}, of detection {digits(detection, detection)} copies/µL."
            if known
            else "; no limit of blank without controls."
        )
    flags = [(told, f"plate, {target}") for target, told in of_plate(result)] + gathered(result)
    console.print("\n[bold]Flags[/bold]" if flags else "\nNo flags.")
    for told, where in flags:
        console.print(f"  [yellow]{escape(told)}[/yellow]: {escape(where)}", soft_wrap=True)
    if written:
        console.print("\n[bold]Written[/bold]")
    for each in written:
        console.print(f"  {escape(str(each))}", soft_wrap=True)


def _print_pairs(console: Any, result: xr.Dataset, level: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    if "ratio" not in result:
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    table.add_column("sample", overflow="fold")
    table.add_column("pair")
    table.add_column(f"ratio ({level} total)", justify="right")
    table.add_column("copy number", justify="right")
    table.add_column("fractional abundance", justify="right")
    for name in result["sample"].to_numpy().astype(str):
        for pair in result["pair"].to_numpy().astype(str):
            row = Row(result, sample=name, pair=pair)
            ratio, number, share = (
                [float(row[f"{each}{end}"]) for end in ("", "_lower", "_upper")]
                for each in ("ratio", "copy_number", "fractional_abundance")
            )
            table.add_row(
                escape(name),
                escape(measured_pair(result, pair)),
                interval(*ratio),
                interval(*number),
                f"{interval(*(100 * each for each in share))} %",
            )
    console.print()
    console.print(table)
    for pair in result["pair"].to_numpy().astype(str):
        row = Row(result, pair=pair)
        copies = f"{float(result.attrs['reference_copies']):g} of {row['reference']}"
        console.print(f"Copy number of {escape(str(row['copy_number_of']))} with {escape(copies)}.")


# Wells beside what the instrument reported: more than these nobody reads.
_MOST_ROWS = 24


def _print_reported(console: Any, result: xr.Dataset, level: str) -> None:
    """The instrument's own numbers beside these, of the wells that differ most if there are many."""
    import numpy as np
    from rich.markup import escape
    from rich.table import Table

    if "reported_positives" not in result:
        return
    ours, theirs = (result[name].to_numpy() for name in ("counted_positives", "reported_positives"))
    there = result["reported_copies_per_ul"].to_numpy()
    known = np.argwhere(np.isfinite(theirs) | np.isfinite(there))
    apart = np.abs(np.nan_to_num(ours - theirs)) / np.sqrt(np.nan_to_num(ours) + 1.0)
    kept = sorted(sorted(map(tuple, known.tolist()), key=lambda at: -apart[at])[:_MOST_ROWS])
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    table.add_column("well")
    table.add_column("target", overflow="fold")
    for title in ("positive", "instrument", f"copies/µL ({level} statistical)", "instrument (95 %)"):
        table.add_column(title, justify="right")
    wells, channels = (result[name].to_numpy().astype(str) for name in ("well", "channel"))
    for i, c in kept:
        row = Row(result, well=str(wells[i]), channel=str(channels[c]))
        found, reported = (
            [float(row[f"{name}{end}"]) for end in ("", "_lower", "_upper")]
            for name in ("copies_per_ul", "reported_copies_per_ul")
        )
        counts = [f"{each[i, c]:,.0f}" if np.isfinite(each[i, c]) else "–" for each in (ours, theirs)]
        shown = interval(*reported) if np.isfinite(reported[0]) else "–"
        table.add_row(str(wells[i]), escape(measured(result, str(channels[c]))), *counts, interval(*found), shown)
    console.print()
    if len(kept) < len(known):
        console.print(f"Of {len(known)} results of the instrument the {len(kept)} that differ most:")
    console.print(table)


def interval_of(values: list[float]) -> str:
    """Estimate and both ends, where the lower may be 0."""
    width = values[2] - values[1]
    middle, low, high = (digits(each, width) for each in values)
    return f"{middle} ({low} to {high})"
