"""Reading plates."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm._arguments import as_choice, as_flag, as_written
from bayesgmm._errors import InputError
from bayesgmm.ddpcr._absolute_q import read_wells
from bayesgmm.ddpcr._formats import (
    Droplets,
    check_distinct,
    header_of_many_numbers,
    named_channels,
    read_droplets,
    recognise,
    with_clusters,
)
from bayesgmm.ddpcr._plate import Plate, Well
from bayesgmm.ddpcr._qiacuity import Partitions, joined, read_channel
from bayesgmm.ddpcr._results import read_results, reported
from bayesgmm.ddpcr._sources import Files, files_in
from bayesgmm.ddpcr._table import Cells, plate_table
from bayesgmm.ddpcr._text import DELIMITERS
from bayesgmm.ddpcr._wells import listed, merged_wells
from bayesgmm.engines._progress import Progress


class SkippedFilesWarning(UserWarning):
    """Files or wells that may hold droplets were not read."""


def read_plate(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    table: Any = None,
    samples: Any = None,
    targets: Any = None,
    dilutions: Any = None,
    ntc: Any = None,
    delimiter: str | None = None,
    progressbar: bool = True,
) -> Plate:
    r"""Read the droplets of a plate from the files that an instrument writes.

    Read are the amplitudes of QuantaSoft (with and without clusters) and QX Manager, raw data of the QIAcuity (a zip,
    or its files), of the Absolute Q and of the Naica, and beside them tables of results of QuantaSoft, QX Manager,
    QIAcuity and Absolute Q. The form of a file is told by its header; the well of one with a single well by its name.
    Line ends, encodings, separators of fields and decimal signs may be any that are in use.

    Parameters
    ----------
    paths : path, or several
        A folder, a zip, a file, or a list of them. Folders are read with the folders in them. Files are CSV or text
        (``.csv``, ``.txt``, ``.tsv``), also packed (``.gz``, ``.bz2``, ``.xz``), and workbooks (``.xlsx``, with
        openpyxl). Files that hold no droplets are passed over.
    table : path or DataFrame, optional
        The plate table: a CSV file, or a dataframe of any package that narwhals reads, with a column ``well`` (names or
        ranges) and any of ``sample``, ``dilution``, ``ntc``, ``control``, ``replicate`` and ``target <channel>``;
        further columns are kept. ``control`` holds ``ntc`` (no template), ``wild_type`` (template without the mutant:
        the better blanks of its channel), ``positive``, or nothing for samples; ``ng`` the nanograms of template in the
        well. Rows with a sample but without droplets
        are an error, and so are wells without a row.
    samples : mapping or callable, optional
        Wells or ranges to names, ``{"A01-D01": "patient 1"}``, or a function of the well. A well without a name is a
        sample of its own.
    targets : str, list of str or mapping, optional
        What the channels measure: names in the order of the channels, or ``{"Ch1": "BRAF V600E"}``.
    dilutions : number, mapping or callable, optional
        By how much the sample was diluted before it came into the well, 1 if left out: the concentration in the sample
        is the dilution times that in the well. One for all wells, or by sample, well or range.
    ntc : str or list of str, or callable, optional
        Wells without template, such as ``"A11-D11"``. If left out and in no table, those that the results of the
        instrument call so, or samples named "NTC" or "no template control" (a number may follow).
    delimiter : {",", ";", "\t"}, optional
        What separates fields; found in each file if left out. A first line ``sep=;`` in the file goes before it.
    progressbar : bool
        Show how far the reading is if it takes longer than a second and somebody can see it.

    Returns
    -------
    Plate

    Raises
    ------
    InputError
        That names the file and the line: where a file is empty, cut off, has another delimiter, text in a column of
        numbers or an unknown header. Further where there are no droplets, no well in the name of a file, two files of
        one well, and where the plate table does not fit.

    Warns
    -----
    SkippedFilesWarning
        Once, that names files which may hold droplets and are not read, and why; and wells that the instrument's
        software merged (``M01`` beside rows A to H), whose droplets are those of other wells.

    Notes
    -----
    A well whose file has a header and nothing more is kept, with no droplets. A channel without a value in any well is
    left out. Partitions that QIAcuity marks as invalid in one channel are left out in all. The volume of a partition of
    QIAcuity is the cycled volume (microlitres) over the number of partitions, valid or not.
    """
    if delimiter is not None:
        as_choice("delimiter", delimiter, DELIMITERS)
    progressbar = as_flag("progressbar", progressbar)
    wells: list[Droplets] = []
    parts: list[Partitions] = []
    results: list[dict[str, Any]] = []
    passed = []
    several = _several(paths)
    files = files_in(several)
    sources = files.sources
    with Progress(progressbar) as progress:
        for number, source in enumerate(sources):
            progress.step("reading", number, len(sources))
            form_and_sheet = recognise(source, delimiter)
            if form_and_sheet is None:
                passed.append(source.name)
                if header := header_of_many_numbers(source):
                    files.skip(source.name, f"its header is none that is known: {header!r}")
                continue
            form, sheet = form_and_sheet
            if form.holds == "droplets":
                wells.append(read_droplets(sheet))
            elif form.holds == "channel":
                parts += read_channel(sheet)
            elif form.holds == "wells":
                wells += read_wells(sheet)
            elif form.holds == "results":
                results += read_results(sheet)
    wells += joined(parts)
    merged = _merged(wells, results)
    wells = [each for each in wells if each.well not in merged]
    results = [row for row in results if not row["merged"] and row["well"] not in merged]
    if not wells:
        _no_droplets(several, passed, bool(results), files, merged)
    _warn(files, merged)
    check_distinct(wells)
    channels_of = named_channels(wells)
    wells = _used_channels(sorted((with_clusters(each, channels_of) for each in wells), key=lambda each: each.well))
    read = tuple(_well(each) for each in wells)
    channels = tuple(dict.fromkeys(channel for well in read for channel in well.channels))
    names = [well.name for well in read]
    found = _found(wells, results, channels_of, channels)
    made = plate_table(
        names,
        channels,
        found=found,
        table=table,
        samples=samples,
        targets=targets,
        dilutions=dilutions,
        ntc=ntc,
    )
    return Plate(read, made, reported(results))


def _several(paths: Any) -> list[Path]:
    single = isinstance(paths, (str, os.PathLike))
    several = [paths] if single else list(paths) if isinstance(paths, Iterable) else [paths]
    if not all(isinstance(each, (str, os.PathLike)) for each in several):
        raise InputError("paths", f"got {as_written(paths)}", "Give a folder, a zip or files")
    return [Path(each).expanduser() for each in several]


def _merged(wells: Sequence[Droplets], results: Sequence[dict[str, Any]]) -> set[str]:
    """Names of wells that the software of Bio-Rad made out of others; channels of other instruments are not Ch1."""
    others = {each.well for each in wells if not all(channel.startswith("Ch") for channel in each.channels)}
    names = {each.well for each in wells} | {row["well"] for row in results}
    return merged_wells(names - others, names)


def _warn(files: Files, merged: set[str]) -> None:
    told = [f"not read, though they may hold droplets: {files.said()}"] if files.skipped else []
    if merged:
        told.append(f"merged wells are left out, their droplets are those of other wells: {listed(sorted(merged))}")
    if told:
        sentence = ". ".join(each[0].upper() + each[1:] for each in told)
        warnings.warn(sentence, SkippedFilesWarning, stacklevel=3)


def _no_droplets(paths: Sequence[Path], passed: Sequence[str], results: bool, files: Files, merged: set[str]) -> None:
    problem = f"there are no files with droplets in {listed(map(str, paths)) or 'no paths'}"
    if merged:
        problem += f", only merged wells ({listed(sorted(merged))})"
    elif files.skipped:
        problem += f" that can be read; there are {files.said()}"
    elif results:
        problem += ", only results"
    elif passed:
        problem += f" (passed over: {listed([Path(name).name for name in passed], 4)})"
    remedy = "Export amplitudes (Bio-Rad) of each well, raw data (QIAcuity, Absolute Q) or RawData files (Naica)"
    raise InputError("paths", problem, remedy)


def _used_channels(wells: list[Droplets]) -> list[Droplets]:
    """Leave out channels without a value. A well without droplets has the channels of the others."""
    used = {
        channel
        for each in wells
        for channel, values in zip(each.channels, each.amplitudes.T, strict=True)
        if values.size and not np.isnan(values[0])
    }
    kept = []
    for each in wells:
        empty = len(each.amplitudes) == 0
        if empty and used:
            places = [i for i, channel in enumerate(each.channels) if channel in used]
        else:
            places = [i for i, values in enumerate(each.amplitudes.T) if empty or not np.isnan(values[0])]
        channels = tuple(each.channels[i] for i in places)
        kept.append(replace(each, channels=channels, amplitudes=each.amplitudes[:, places]))
    return kept


def _well(each: Droplets) -> Well:
    return Well(
        name=each.well,
        channels=each.channels,
        amplitudes=each.amplitudes,
        clusters=each.clusters,
        volume_nl=each.volume_nl,
        source=each.source,
    )


def _found(
    wells: Sequence[Droplets],
    results: Sequence[dict[str, Any]],
    channels_of: dict[tuple[str, ...], tuple[str | None, ...]],
    channels: Sequence[str],
) -> Cells:
    """What files say of samples, targets and controls."""
    cells: Cells = {"sample": {each.well: each.sample for each in wells if each.sample}}
    for each in wells:
        for target, channel in zip(each.targets, channels_of.get(each.targets, ()), strict=False):
            if channel is not None:
                cells.setdefault(f"target {channel}", {})[each.well] = target
    for each in wells:
        for channel, target in each.channel_targets.items():
            cells.setdefault(f"target {channel}", {})[each.well] = target
    for row in results:
        if row["sample"]:
            cells["sample"][row["well"]] = row["sample"]
        channel = row["channel"] or (channels[0] if len(channels) == 1 else "")
        if channel in channels and row["target"]:
            cells.setdefault(f"target {channel}", {})[row["well"]] = row["target"]
        if row["ntc"]:
            cells.setdefault("ntc", {})[row["well"]] = True
    return cells
