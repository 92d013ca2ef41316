"""What instruments write: one table of forms, by which the header of a file is found and which messages name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import InputError
from bayesgmm._words import counted
from bayesgmm.ddpcr._text import (
    DELIMITERS,
    Sheet,
    Source,
    between_single_fields,
    columns,
    fail,
    line_of,
    simple,
    split,
    stated_delimiter,
    text_of,
    whole,
)
from bayesgmm.ddpcr._wells import well_name

Array = NDArray[np.float64]

# Where calls are made by amplitude, clusters are further apart than this; where they are not, chance keeps below it.
_STANDS_OUT, _FEWEST_CALLS = 3.0, 3
# Preambles have four lines; a header that stands further down is not looked for.
_SEARCHED = 25
# Rows of a file that may hold droplets; tables of results have fewer.
_MANY = 4000
# Of six channels; files of one or two have fewer.
_MOST_CLUSTERS = 64
_AMPLITUDE = re.compile(r"(?:assay|ch|channel) ?(\d+) ?amplitude")
_DROPLETS_IN_NAME = re.compile(r"amplitude|rawdata|rfu_img", re.IGNORECASE)
_WELL_IN_NAME = re.compile(r"(?:^|[_\W])([A-P]\d{1,2})(?=_(?:Amplitude|RawData))", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Droplets:
    """One well as a file has it.

    Parameters
    ----------
    well, source : str
    channels : tuple of str
    amplitudes : (n_droplets, n_channels) array
        NaN throughout a channel that was not used.
    clusters : (n_droplets,) array of int, optional
    targets : tuple of str
        Names of the columns of calls.
    calls : (n_droplets, n_targets) array of int, optional
        1 positive, 0 negative, -1 not classified.
    channel_targets : dict
        Channel to target, where the file says it.
    volume_nl : float, optional
    sample : str, optional
    """

    well: str
    source: str
    channels: tuple[str, ...]
    amplitudes: Array
    clusters: NDArray[np.int64] | None = None
    targets: tuple[str, ...] = ()
    calls: NDArray[np.int64] | None = None
    channel_targets: dict[str, str] = field(default_factory=dict)
    volume_nl: float | None = None
    sample: str | None = None


@dataclass(frozen=True, kw_only=True)
class Format:
    """A form of file.

    Parameters
    ----------
    title, example : str
        For messages: who writes it, and its header.
    holds : str
        ``"droplets"`` of one well, ``"channel"`` (partitions of all wells in one channel), ``"wells"`` (all wells in
        all channels), ``"results"`` or ``"nothing"`` that is wanted.
    fits : callable
        Whether names of columns (in lower case) and the name of the file are of this form.
    """

    title: str
    example: str
    holds: str
    fits: Callable[[list[str], str], bool] = field(repr=False)


def _fits_naica(names: list[str], base: str) -> bool:
    named = re.search(r"rawdata", base, re.IGNORECASE) is not None
    return named and len(names) >= 4 and names[0].startswith("x") and names[1].startswith("y")


FORMATS = (
    Format(
        title="QuantaSoft 1.7 amplitudes",
        example="Ch1 Amplitude,Ch2 Amplitude,Cluster",
        holds="droplets",
        fits=lambda names, base: bool(_AMPLITUDE.fullmatch(names[0])) and names[0].startswith("ch") and " " in names[0],
    ),
    Format(
        title="QuantaSoft 1.6 amplitudes",
        example="Assay1 Amplitude,Assay2 Amplitude",
        holds="droplets",
        fits=lambda names, base: bool(_AMPLITUDE.fullmatch(names[0])) and names[0].startswith("assay"),
    ),
    Format(
        title="QX Manager amplitudes",
        example="Ch1Amplitude,Ch2Amplitude,<target>,<target>,",
        holds="droplets",
        fits=lambda names, base: bool(_AMPLITUDE.fullmatch(names[0])),
    ),
    Format(
        title="QIAcuity raw data",
        example="Well,Sample,Channel,Cycled volume,Threshold,Partition,Is invalid,Is positive,RFU",
        holds="channel",
        fits=lambda names, base: {"well", "channel", "partition", "rfu"} <= set(names),
    ),
    Format(
        title="QIAcuity reference dye",
        example="Well,Sample,REF,Cycled volume,Threshold high,Threshold low,Partition,Is invalid,RFU",
        holds="nothing",
        fits=lambda names, base: {"well", "ref", "partition", "rfu"} <= set(names),
    ),
    Format(
        title="Naica raw data (in a file *_<well>_RawData.csv)",
        example="X,Y,<channel>,...,<index>",
        holds="droplets",
        fits=_fits_naica,
    ),
    Format(
        title="QuantaSoft or QX Manager results",
        example="Well,...,Target,...,Concentration,...,PoissonConfMax,PoissonConfMin,Positives,...,AcceptedDroplets",
        holds="results",
        fits=lambda names, base: (
            {"well", "positives"} <= set(names)
            and bool({"target", "assay"} & set(names))  # the second until QuantaSoft 1.6
            and bool({"accepteddroplets", "accepted droplets"} & set(names))
        ),
    ),
    Format(
        title="Absolute Q raw data",
        example="Run,...,Well ID,Sample,Index,Reject,<dye>,<dye>_pos,<dye>_target,<dye>_threshold,...",
        holds="wells",
        fits=lambda names, base: {"index", "reject"} <= set(names) and any(name.endswith("_pos") for name in names),
    ),
    Format(
        title="Absolute Q results",
        example="Run,...,Name,Well,Total,Dye,Target,Conc. cp/uL,...,95%CI,Positives",
        holds="results",
        fits=lambda names, base: {"well", "total", "dye", "positives"} <= set(names),
    ),
    Format(
        title="Absolute Q summary",
        example="Run name,Group,Sample,Well,DF,QC,Total,...",
        holds="nothing",
        fits=lambda names, base: {"run name", "well", "total", "positives"} <= set(names),
    ),
    Format(
        title="QIAcuity results",
        example="Well,Sample/NTC/Control,Target,Conc. [copies/µL],CI (95%),Partitions (valid),Partitions (positive)",
        holds="results",
        fits=lambda names, base: {"partitions (valid)", "partitions (positive)"} <= set(names),
    ),
)


def form_of(names: Sequence[str], base: str) -> Format | None:
    """The form that has these columns; None if none has."""
    lower = [simple(name) for name in names]
    return next((form for form in FORMATS if lower and form.fits(lower, base)), None)


def recognise(source: Source, delimiter: str | None) -> tuple[Format, Sheet] | None:
    """Find the header of a file, and with it what separates the fields if nobody says it.

    None for a file that the user did not name and that does not look as if it held droplets, such as a list of samples
    in the same folder.

    Raises
    ------
    InputError
        If the file is empty, has no known header, or has another delimiter.
    """
    expected = not source.beside and (source.named or looks_like_droplets(source.base))
    text = text_of(source.load())
    lines = text.split("\n", _SEARCHED)
    lines, rest = lines[:_SEARCHED], lines[_SEARCHED:]
    if not text.strip():
        if not expected:
            return None
        fail(source.name, 1, "the file is empty", "Export the well again, or leave the file out")
    stated = stated_delimiter(text)
    tried = [stated or delimiter] if delimiter else dict.fromkeys([*filter(None, [stated]), *DELIMITERS])
    for i, line in enumerate(lines):
        for sign in tried:
            header = split(line, sign)
            form = form_of(header, source.base)
            if form is not None:
                body = "\n".join([*lines[i + 1 :], *rest])
                own = between_single_fields(body) if len(tried) > 1 and len(header) == 1 else sign
                return form, Sheet(source.name, source.base, header, i + 1, body, own)
    for other in DELIMITERS if delimiter else ():
        i = next((i for i, line in enumerate(lines) if form_of(split(line, other), source.base)), None)
        if i is not None:
            problem = f"the fields are separated by {DELIMITERS[other]}, not by {DELIMITERS[str(stated or delimiter)]}"
            fail(source.name, i + 1, problem, "Leave out delimiter=: it is found in the file")
    if not expected:
        return None
    i = next((i for i, line in enumerate(lines) if line.strip() and not stated_delimiter(line)), 0)
    known = "; ".join(f"{form.title}: {form.example}" for form in FORMATS if form.holds != "nothing")
    return fail(source.name, i + 1, f"is no known header: {lines[i].strip()[:200]!r}", f"Known are {known}")


def header_of_many_numbers(source: Source) -> str:
    """The first line of a file that holds as many rows of numbers as a well has droplets; empty for other files."""
    lines = [line for line in text_of(source.load()).split("\n") if line.strip()]
    if len(lines) < _MANY:
        return ""
    fields = re.split(r"[,;\t ]+", lines[len(lines) // 2].strip())
    numbers = [field for field in fields if re.fullmatch(r'"?[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?"?', field)]
    return lines[0].strip()[:80] if 2 * len(numbers) >= len(fields) else ""


def looks_like_droplets(base: str) -> bool:
    """Whether a file is called as files of droplets are."""
    return _DROPLETS_IN_NAME.search(base) is not None


def well_of(name: str, base: str) -> str:
    """The well in the name of a file, before ``_Amplitude`` or ``_RawData``, else the last that there is in it."""
    well = well_in(base)
    if well is None:
        remedy = "Rename it as the instrument does, for example plate_A01_Amplitude.csv"
        raise InputError(name, "there is no well in the name of the file", remedy)
    return well


def well_in(base: str) -> str | None:
    """The well in the name of a file, if there is one."""
    match = _WELL_IN_NAME.search(base)
    parts = [match[1]] if match else re.split(r"[_\W]+", base.rpartition(".")[0])[::-1]
    return next((found for found in map(well_name, parts) if found), None)


def read_droplets(sheet: Sheet) -> Droplets:
    """One well from a file of one well."""
    if _fits_naica([simple(name) for name in sheet.header], sheet.base):
        return _read_naica(sheet)
    matches = [_AMPLITUDE.fullmatch(simple(name)) for name in sheet.header]
    amplitudes = [i for i, match in enumerate(matches) if match]
    channels = tuple(f"Ch{match[1]}" for match in matches if match)
    cluster = sheet.place("cluster")
    others = [i for i, match in enumerate(matches) if not match and i != cluster]
    unnamed = next((i for i in others if not sheet.header[i]), None)
    if unnamed is not None:
        fail(sheet.name, sheet.line, f"column {unnamed + 1} has no name", "Export the file again")
    numbers = [*amplitudes, *([] if cluster is None else [cluster])]
    found = columns(sheet, numbers, others)
    clusters = None
    if cluster is not None and not np.isnan(found[cluster]).all():
        clusters = whole(sheet, found[cluster], cluster, _MOST_CLUSTERS, "Clusters are 0 to 4")
    elif cluster is not None and not found[cluster].size:
        clusters = np.empty(0, dtype=np.int64)
    return Droplets(
        well=well_of(sheet.name, sheet.base),
        source=sheet.name,
        channels=channels,
        amplitudes=np.column_stack([found[i] for i in amplitudes]),
        clusters=clusters,
        targets=tuple(sheet.header[i] for i in others),
        calls=np.column_stack([_calls(sheet, found[i], i) for i in others]) if others else None,
    )


def _read_naica(sheet: Sheet) -> Droplets:
    """Columns are x, y, channels, and the number of the droplet last."""
    places = range(2, len(sheet.header) - 1)
    found = columns(sheet, places)
    return Droplets(
        well=well_of(sheet.name, sheet.base),
        source=sheet.name,
        channels=tuple(sheet.header[i] for i in places),
        amplitudes=np.column_stack([found[i] for i in places]),
    )


def _calls(sheet: Sheet, cells: NDArray[np.object_], place: int) -> NDArray[np.int64]:
    found = np.full(cells.size, -2)
    for text, call in (("0", 0), ("1", 1), ("u", -1), ("U", -1)):
        found[cells == text] = call
    bad = np.flatnonzero(found == -2)
    if bad.size:
        problem = f"has {cells[bad[0]]!r} in the column {sheet.header[place]!r}"
        remedy = "The columns of targets hold 0, 1 or u (not classified); any other file has to have a known header"
        fail(sheet.name, line_of(sheet, int(bad[0])), problem, remedy)
    return found


def coded(calls: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clusters (see `Well`) from calls of targets, shape (n_droplets, n_targets)."""
    powers = 2 ** np.arange(calls.shape[1])
    codes = 1 + np.where(calls > 0, powers, 0).sum(axis=1)
    if calls.shape[1] == 2:
        codes = np.array([1, 2, 4, 3])[codes - 1]  # the numbering of QuantaSoft goes round: --, +-, ++, -+
    return np.where((calls < 0).any(axis=1), 0, codes)


def named_channels(wells: Sequence[Droplets]) -> dict[tuple[str, ...], tuple[str | None, ...]]:
    """The channels in which targets were measured: where their positive droplets stand out most.

    QX Manager names targets, and does not say in which channel each is. Where droplets do not tell either, targets are
    in the order of the channels.

    Returns
    -------
    dict
        Targets of a well to their channels.
    """
    assays: dict[tuple[str, ...], list[Droplets]] = {}
    for each in wells:
        if each.calls is not None:
            assays.setdefault(each.targets, []).append(each)
    found: dict[tuple[str, ...], tuple[str | None, ...]] = {}
    for targets, members in assays.items():
        channels = members[0].channels
        gaps = [_gaps(each) for each in members if each.channels == channels]
        counts = np.sum([np.isfinite(gap) for gap in gaps], axis=0)
        mean = np.sum([np.nan_to_num(gap) for gap in gaps], axis=0) / np.maximum(counts, 1)
        best = [channels[int(row.argmax())] if row.max() > _STANDS_OUT else None for row in mean]
        if None in best or len(set(best)) < len(best):
            best = [channels[i] if i < len(channels) else None for i in range(len(targets))]
        found[targets] = tuple(best)
    return found


def _gaps(each: Droplets) -> Array:
    """Distance of positive from negative droplets in standard deviations, (n_targets, n_channels); NaN if unknown."""
    assert each.calls is not None
    found = np.full((len(each.targets), len(each.channels)), np.nan)
    for row, calls in zip(found, each.calls.T, strict=True):
        negative, positive = each.amplitudes[calls == 0], each.amplitudes[calls == 1]
        if min(len(negative), len(positive)) >= _FEWEST_CALLS:
            row[:] = np.abs(positive.mean(axis=0) - negative.mean(axis=0)) / (negative.std(axis=0) + 1e-9)
    return found


def with_clusters(each: Droplets, channels_of: dict[tuple[str, ...], tuple[str | None, ...]]) -> Droplets:
    """Calls become clusters, targets in the order of their channels."""
    if each.calls is None or each.clusters is not None:
        return each
    last = len(each.channels)
    places = [each.channels.index(c) if c in each.channels else last for c in channels_of[each.targets]]
    order = sorted(range(len(places)), key=places.__getitem__)
    return replace(each, clusters=coded(each.calls[:, order]))


def check_distinct(wells: Sequence[Droplets]) -> None:
    """Raise if two files hold the same well."""
    seen: dict[str, str] = {}
    for each in wells:
        if each.well in seen:
            problem = f"{seen[each.well]} and {each.source} are both well {each.well}"
            raise InputError("paths", problem, f"Read {counted(1, 'plate')} at a time, and each well once")
        seen[each.well] = each.source
