"""One page of HTML that holds everything: numbers, pictures, flags and what dMIQE asks for."""

from __future__ import annotations

import os
from datetime import date
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._arguments import as_text
from bayesgmm._errors import InputError
from bayesgmm._version import version
from bayesgmm._words import counted
from bayesgmm.plots import _droplets as drops
from bayesgmm.plots.ddpcr import plot_droplets
from bayesgmm.plots.ddpcr_plate import plot_plate
from bayesgmm.report import _numbers, _small
from bayesgmm.report._checklist import checklist
from bayesgmm.report._flags import flags_section
from bayesgmm.report._html import paragraph, picture, section, text
from bayesgmm.report._tables import checked_path, writing

if TYPE_CHECKING:
    import xarray as xr

_PLACES = (
    ("flags", "Flags"),
    ("samples", "Samples"),
    ("plate", "Plate"),
    ("between", "Between wells"),
    ("histograms", "Droplets, well by well"),
    ("wells", "Wells"),
    ("run", "What was done"),
    ("dmiqe", "dMIQE"),
    ("columns", "Columns"),
)


def write_report(
    result: xr.Dataset,
    plate: Any,
    path: str | os.PathLike[str],
    *,
    title: str = "Droplet digital PCR",
    command: str | None = None,
) -> Path:
    """Write the result of `ddpcr.quantify` as one page of HTML.

    The page holds its pictures, needs no network and no scripts, and is made for screens of any width and for paper.

    Parameters
    ----------
    result : Dataset
        From `ddpcr.quantify`.
    plate : Plate
        The plate that was quantified.
    path : path
        Of the page, such as ``report.html``.
    title : str
        Its heading.
    command : str, optional
        The command that was run, to be told in the report.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        If `result` or `plate` are something else, do not belong together, or the folder does not exist.
    """
    drops.check_result(result)
    file = checked_path(path, "path", ".html")
    title = as_text("title", title)
    command = None if command is None else as_text("command", command)
    _check_together(result, plate)
    written = page(result, plate, title=title, command=command)
    with writing(file, "path"):
        file.write_text(written, encoding="utf-8")
    return file


def page(result: xr.Dataset, plate: Any, *, title: str, command: str | None = None) -> str:
    """The text of the page."""
    style = resources.files("bayesgmm.report").joinpath("report.css").read_text(encoding="utf-8") + _small.colors()
    links = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in _PLACES)
    sections = [
        flags_section(result),
        section("Samples", *_numbers.samples(result), anchor="samples"),
        section("Plate", *_overview(result, plate), anchor="plate"),
        section("Between wells, and controls", _numbers.channels(result), anchor="between"),
        section("Droplets, well by well", *_wells(result, plate), anchor="histograms"),
        section("Wells", *_numbers.wells(result), anchor="wells"),
        section("What was done", _done(result, plate, command), anchor="run"),
        section("What dMIQE asks for", checklist(result), anchor="dmiqe"),
        section("Columns of the tables as CSV", *_numbers.columns(result), anchor="columns"),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{text(title)}</title>\n'
        f"<style>\n{style}\n</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{text(title)}</h1>\n"
        f"{_subtitle(result)}\n<nav>{links}</nav>\n{_facts(result)}\n</header>\n"
        + "\n".join(sections)
        + f"\n<footer>Written on {date.today().isoformat()} by bayesgmm {text(version())}.</footer>\n"
        + "</main>\n</body>\n</html>\n"
    )


def _check_together(result: xr.Dataset, plate: Any) -> None:
    if not hasattr(plate, "table") or not hasattr(plate, "channels"):
        raise InputError("plate", f"got {type(plate).__name__}", "Give the plate that was quantified")
    names, sizes = [well.name for well in plate], [well.n_droplets for well in plate]
    known = [str(name) for name in result["well"].to_numpy()]
    if names != known or sizes != result["n_droplets"].to_numpy().tolist():
        raise InputError("plate", "has other wells or droplets than the result", "Give the plate that was quantified")


def _subtitle(result: xr.Dataset) -> str:
    channels = [drops.measured(result, str(name)) for name in result["channel"].to_numpy()]
    return paragraph(
        f"Concentrations from the amplitudes of droplets: {text(' and '.join(channels))}.",
        "soft",
    )


def _facts(result: xr.Dataset) -> str:
    ntc = result["ntc"].to_numpy()
    channels = result["channel"].to_numpy().astype(str)
    flagged = sum(
        any(drops.flags_of(result, well, channel) for channel in channels)
        for well in result["well"].to_numpy().astype(str)
    )
    volume = np.unique(result["droplet_volume_nl"].to_numpy().round(6))
    shown = f"{volume[0]:g} nL" if volume.size == 1 else f"{volume[0]:g} to {volume[-1]:g} nL"
    facts = [
        (f"{result.sizes['well']}", f"wells, {int(ntc.sum())} of them controls"),
        (f"{result.sizes['sample']}", "samples" if result.sizes["sample"] != 1 else "sample"),
        (f"{int(result['n_droplets'].sum()):,}", "droplets"),
        (shown, f"volume of a droplet: {text(_source(result))}"),
        (f"{flagged}", "wells with flags"),
    ]
    return '<div class="facts">' + "".join(f"<div><b>{a}</b><span>{b}</span></div>" for a, b in facts) + "</div>"


def _source(result: xr.Dataset) -> str:
    return str(result.attrs["droplet_volume"])


def _overview(result: xr.Dataset, plate: Any) -> list[str]:
    out = []
    for channel in result["channel"].to_numpy().astype(str):
        name = drops.measured(result, channel)
        out.append(f"<h3>{text(name)}</h3>")
        out.append(picture(plot_plate(result, channel)[0].figure, f"Concentrations of all wells in {name}"))
        figure = plot_droplets(result, plate, channel).get_figure(root=True)
        assert figure is not None
        out.append(picture(figure, f"Droplets of all wells in {name}, coloured by the probability of being positive"))
    return out


def _wells(result: xr.Dataset, plate: Any) -> list[str]:
    """Histograms of all wells, and scatter plots where there are two channels."""
    channels = [str(name) for name in result["channel"].to_numpy()]
    order = drops.by_sample(result)
    x = {(well, channel): drops.amplitudes(plate, well, channel) for well in order for channel in channels}
    fitted = {key: drops.clusters(result, *key) for key in x}
    out = [
        paragraph(
            "Droplets (upwards, logarithmic) by amplitude (unit of the instrument), and how many the fitted clusters "
            "expect. λ is copies per droplet, with its statistical interval; n the number of droplets.",
            "note",
        ),
        _small.legend(),
    ]
    for channel in channels:
        out.append(f"<h3>{text(drops.measured(result, channel))}</h3>")
        cells = []
        for well in order:
            row = drops.Row(result, well=well, channel=channel)
            drawn = _small.histogram(result, well, channel, x[well, channel], fitted[well, channel])
            rate = [float(row[f"copies_per_droplet{end}"]) for end in ("", "_lower", "_upper")]
            told = f"λ {drops.interval(*rate)}", f"n {int(row['n_droplets']):,}"
            cells.append(_cell(result, well, drawn, told, drops.flags_of(result, well, channel)))
        out.append(f'<div class="cells">{"".join(cells)}</div>')
    if len(channels) == 2:
        pair = (channels[0], channels[1])
        first, second = (drops.measured(result, channel) for channel in channels)
        out.append(f"<h3>{text(first)} (upwards) against {text(second)}</h3>")
        out.append(_small.legend_of_clusters(result, pair))
        cells = []
        for well in order:
            drawn = _small.scatter(result, well, pair, [x[well, c] for c in pair], [fitted[well, c] for c in pair])
            cells.append(_cell(result, well, drawn, (_numbers.linkage(result, well), ""), []))
        out.append(f'<div class="cells">{"".join(cells)}</div>')
    return out


def _cell(result: xr.Dataset, well: str, drawn: str, told: tuple[str, str], flags: list[str]) -> str:
    warned = f'<p class="mark">{text("; ".join(flags))}</p>' if flags else ""
    kind = "cell flagged" if flags else "cell"
    name = text(drops.contents(result, well))
    return (
        f'<div class="{kind}"><h4>{text(well)}<span>{name}</span></h4>{drawn}'
        f'<p class="told">{text(told[0])}<span>{text(told[1])}</span></p>{warned}</div>'
    )


def _done(result: xr.Dataset, plate: Any, command: str | None) -> str:
    droplets = result["n_droplets"].to_numpy()
    sources = list(dict.fromkeys(str(well.source) for well in plate if well.source))
    folders = list(dict.fromkeys(str(Path(each).parent) for each in sources))
    if len(sources) > 4 and len(folders) == 1:
        files = f"{len(sources)} files in {folders[0]}, {Path(sources[0]).name} to {Path(sources[-1]).name}"
    else:
        files = ", ".join(sources) or "not told"
    sizes = " to ".join(dict.fromkeys(f"{int(each):,}" for each in (droplets.min(), droplets.max())))
    rows = [
        ("Files", text(files)),
        ("Wells", f"{counted(len(droplets), 'well')} with {sizes} droplets"),
        ("Droplet volume", text(f"{_numbers.volume(result)}; {_source(result)}")),
        ("Reaction", f"{float(result.attrs['reaction_volume_ul']):g} µL in a well, for copies per well"),
        ("Method", text(result.attrs["method"])),
        ("Intervals", text(result.attrs["intervals"])),
    ]
    for channel in result["channel"].to_numpy().astype(str):
        name = drops.measured(result, channel)
        rows.append((f"Channel of {name}", text(channel)))
        rows.append((f"Negatives of {name}", text(result.attrs.get(f"negatives {channel}", ""))))
        if grades := result.attrs.get(f"amplitudes {channel}"):
            rows.append((f"Amplitudes of {name}", text(grades)))
    if engine := result.attrs.get("engine"):
        rows.append(("Sampled by", text(engine)))
    if command:
        rows.append(("Command", f"<code>{text(command)}</code>"))
    items = "".join(f"<dt>{text(name)}</dt><dd>{held}</dd>" for name, held in rows)
    return f"<dl>{items}</dl>"
