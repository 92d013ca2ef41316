"""Files as text: encodings, line ends, delimiters, and errors that name file and line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import InputError
from bayesgmm._words import counted

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# That of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_EXPORT = "Export the file again"
_EXPONENT = r"(?:[eE][-+]?\d+)?"
# Numbers whose sign is a decimal one, and numbers whose sign may stand between thousands; the sign is filled in.
_DECIMAL = r"(?:\d{{4,}}|0){0}\d+|\d+{0}(?:\d\d?|\d{{4,}})" + _EXPONENT
_GROUPED = r"\d{{1,3}}(?:{0}\d{{3}})+"


@dataclass(frozen=True, eq=False)
class Source:
    """A file, or a file in a zip.

    Parameters
    ----------
    name : str
        As messages show it.
    base : str
        Last part of the name; the well may stand in it.
    load : callable
        Its bytes.
    named : bool
        Whether the user named the file, and not only the folder or zip that it is in.
    beside : bool
        Whether it may be something else whatever its name, as a second sheet of a workbook.
    """

    name: str
    base: str
    load: Callable[[], bytes]
    named: bool
    beside: bool = False


@dataclass(frozen=True, eq=False)
class Sheet:
    """A file whose header was found.

    Parameters
    ----------
    name, base : str
        See `Source`.
    header : list of str
        Without empty names at the end, which a comma at the end of the line leaves.
    line : int
        Of the header, from 1.
    body : str
        What follows the header; lines end with a line feed.
    delimiter : str
    """

    name: str
    base: str
    header: list[str]
    line: int
    body: str
    delimiter: str

    def place(self, *spellings: str) -> int | None:
        """Number of the first column whose name, in lower case, is one of these."""
        return next((i for i, name in enumerate(self.header) if simple(name) in spellings), None)

    @cached_property
    def signs(self) -> tuple[str, str]:
        """The decimal sign of the numbers, and the sign between thousands ("" for none)."""
        return signs_in(self.body, self.delimiter)

    def plain(self, cell: str) -> str:
        """A number as Python writes it."""
        decimal, thousands = self.signs
        if thousands:
            cell = cell.replace(thousands, "")
        return cell.replace(",", ".") if decimal == "," else cell

    def number(self, cell: str) -> float:
        """The number in a cell; what is none ("No Call", "-") is NaN."""
        cell = self.plain(cell)
        return float(cell) if _is_number(cell) else math.nan

    def lines(self) -> list[tuple[int, list[str]]]:
        """Number and fields of every line that is not blank."""
        found = []
        for i, line in enumerate(self.body.split("\n")):
            if line.strip():
                number = self.line + 1 + i
                fields = fields_of(line, self.delimiter, self.name, number)
                found.append((number, [field.strip() for field in fields]))
        return found


def fields_of(line: str, delimiter: str, name: str, number: int) -> list[str]:
    """Fields of a line of a file, or an error that says which line cannot be read, and why."""
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as error:
        remedy = f"{_EXPORT}, it is damaged; no field of an instrument is that long or odd"
        fail(name, number, f"cannot be split into fields: {error}", remedy)


def simple(name: str) -> str:
    """A name of a column in lower case, single spaces."""
    return " ".join(name.strip().strip('"').lower().split())


def text_of(raw: bytes) -> str:
    """Decode; all ends of lines become a line feed."""
    codec = next((codec for mark, codec in _BYTE_ORDER_MARKS if raw.startswith(mark)), None)
    if codec is None and b"\0" in raw[:100]:
        codec = "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"
    if codec is not None:
        # What is left of a character cut in two shows up as text where a number should be.
        text = raw.decode(codec, errors="replace")
    else:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split(line: str, delimiter: str) -> list[str]:
    """Fields of a header, without empty ones at its end; none if the line cannot be one."""
    try:
        fields = [field.strip() for field in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:  # no name of a column has more than 128 kB
        return []
    while fields and not fields[-1]:
        fields.pop()
    return fields


def stated_delimiter(text: str) -> str | None:
    """What a first line ``sep=,`` states, for which there may be quotes and delimiters after it."""
    match = re.match(r'"?sep=([,;\t])', text, re.IGNORECASE)
    return match[1] if match else None


def between_single_fields(body: str) -> str:
    """What separates fields below a header of a single name; a line that is one number has a decimal comma."""
    line = next((line for line in body.split("\n") if line.strip()), "")
    found = next((sign for sign in DELIMITERS if sign != "," and sign in line), ",")
    return ";" if found == "," and re.fullmatch(r"\s*[-+]?\d+,\d+\s*", line) else found


def signs_in(body: str, delimiter: str) -> tuple[str, str]:
    """The decimal sign of numbers and the sign between thousands, as the text itself shows them.

    A sign that some number has where none between thousands could be is the decimal one; the other then stands between
    thousands if it is only where such signs are. Between commas only what is in quotes can hold a comma.
    """
    if "," not in body or (delimiter == "," and '"' not in body):
        return ".", ""

    def holds(number: str, *, quoted: bool) -> bool:
        begin, end = ('"', '"') if quoted else (rf'(?:^|[{delimiter}"])\s*', rf'\s*(?:$|[{delimiter}"])')
        return re.search(rf"{begin}[-+]?(?:{number}){end}", body, re.MULTILINE) is not None

    in_quotes = delimiter == ","
    if "." not in body:
        return ("," if holds(rf"\d+,\d+{_EXPONENT}", quoted=in_quotes) else "."), ""
    if holds(r"\d{1,3}(?:\.\d{3})+,\d+", quoted=in_quotes):
        return ",", "."
    if holds(r"\d{1,3}(?:,\d{3})+\.\d+", quoted=in_quotes):
        return ".", ","
    comma, point = (holds(_DECIMAL.format(sign), quoted=quoted) for sign, quoted in ((",", in_quotes), (r"\.", False)))
    if point and not comma:
        return ".", "," if holds(_GROUPED.format(","), quoted=in_quotes) else ""
    if comma and not point:
        return ",", "." if holds(_GROUPED.format(r"\."), quoted=False) else ""
    return ("," if comma or holds(_GROUPED.format(","), quoted=in_quotes) else "."), ""


def fail(name: str, line: int, problem: str, remedy: str) -> NoReturn:
    """Raise an error that names file and line."""
    raise InputError(f"{name}, line {line}", problem, remedy)


def line_of(sheet: Sheet, row: int) -> int:
    """Number of the line that a row of `columns` stands in."""
    return [line for line, fields in sheet.lines() if any(fields)][row]


def whole(sheet: Sheet, values: NDArray[np.float64], place: int, most: int, remedy: str) -> NDArray[np.int64]:
    """Values of a column as whole numbers from 0 to `most`; -1 where there is none."""
    missing = np.isnan(values)
    bad = np.flatnonzero(~missing & ((values != np.round(values)) | (values < 0) | (values > most)))
    if bad.size:
        problem = f"has {values[bad[0]]:g} in the column {sheet.header[place]!r}"
        fail(sheet.name, line_of(sheet, int(bad[0])), problem, remedy)
    return np.where(missing, -1.0, values).astype(np.int64)


def columns(
    sheet: Sheet, numbers: Sequence[int], texts: Sequence[int] = (), *, blank: Sequence[int] = ()
) -> dict[int, NDArray[Any]]:
    """Columns by their number, shape (n_rows,) each.

    A column of numbers in which every cell is blank is all NaN. Columns named in ``blank`` may have single blank cells.

    Raises
    ------
    InputError
        That names file and line of the first row with too few or too many fields, or with anything but a number in a
        column of numbers.

    Notes
    -----
    Whole files are read by a fast parser; what it cannot read, or what looks odd, is read again line by line.
    """
    import pandas as pd

    body = _without_blank_end(sheet.body)
    if not body:
        return {i: np.empty(0) for i in numbers} | {i: np.empty(0, dtype=object) for i in texts}
    decimal, thousands = sheet.signs
    frame = None
    dtypes: Any = dict.fromkeys(numbers, "float64") | dict.fromkeys(texts, "object")
    if _is_regular(body, sheet):
        try:
            frame = pd.read_csv(
                io.StringIO(body),
                header=None,
                index_col=False,
                names=range(len(fields_of(body.partition("\n")[0], sheet.delimiter, sheet.name, sheet.line + 1))),
                usecols=[*numbers, *texts],
                dtype=dtypes,
                sep=sheet.delimiter,
                decimal=decimal,
                thousands=thousands or None,
                engine="c",
                skipinitialspace=True,
                keep_default_na=False,
                na_values={i: [""] for i in numbers},
            )
        except (ValueError, pd.errors.ParserError):
            frame = None
    if not thousands and decimal in body and (decimal == sheet.delimiter or not _proves(body, decimal)):
        _check_groups(sheet, numbers, decimal)
    if frame is not None:
        found: dict[int, NDArray[Any]] = {i: frame[i].to_numpy() for i in (*numbers, *texts)}
        allowed = set(blank) | {i for i in numbers if np.isnan(found[i]).all()}
        if all(np.isfinite(found[i][~np.isnan(found[i])] if i in allowed else found[i]).all() for i in numbers):
            return found
    return _carefully(sheet, numbers, texts, blank)


def _proves(text: str, decimal: str) -> bool:
    """Whether a number shows that the sign in it is not one between thousands."""
    sign = re.escape(decimal)
    return re.search(rf"\d{{4}}{sign}\d|(?<![\d.,])0{sign}\d|\d{sign}(?:\d\d?|\d{{4,}})(?!\d)", text) is not None


def _check_groups(sheet: Sheet, numbers: Sequence[int], decimal: str) -> None:
    """Raise where 3.214 stands beside 987 in a column: it may be 3214, and nothing in the file says that it is not.

    Where all numbers have the sign they are a thousandth of what they should be at worst, and clusters stay clusters.
    """
    rows = [(line, fields) for line, fields in sheet.lines() if any(fields)]
    for i in numbers:
        cells = [(line, fields[i].lstrip("+-")) for line, fields in rows if len(fields) > i]
        signed = next(((line, cell) for line, cell in cells if decimal in cell), None)
        whole_ones = [cell for _, cell in cells if cell.isdecimal()]
        known = any(len(cell) > len("987") for cell in whole_ones) or any(_proves(cell, decimal) for _, cell in cells)
        if signed is not None and whole_ones and not known:
            line, cell = signed
            problem = f"has {cell!r} in the column {sheet.header[i]!r}, which may be {cell.replace(decimal, '')}"
            fail(sheet.name, line, problem, f"{_EXPORT} without a sign between thousands")


def _without_blank_end(body: str) -> str:
    """Spreadsheets leave lines of nothing but delimiters at the end."""
    while True:
        body = body.rstrip("\n")
        above, _, last = body.rpartition("\n")
        if last.strip(",;\t "):
            return body
        if not above:
            return ""
        body = above


def _is_regular(body: str, sheet: Sheet) -> bool:
    """Whether the number of delimiters is that of whole rows, which the fast parser would not complain about."""
    if '"' in body:
        body = re.sub(r'"[^"\n]*"', "_", body)
    if "\n\n" in body or body.startswith("\n"):
        return False
    n = body.count("\n") + 1
    found, width = body.count(sheet.delimiter), len(sheet.header)
    # Numbers with decimal commas have a field too many, as have rows that end with a comma.
    at_end = body.count(sheet.delimiter + "\n") + body.endswith(sheet.delimiter)
    return found == n * (width - 1) or (found == n * width and at_end == n)


def _carefully(
    sheet: Sheet, numbers: Sequence[int], texts: Sequence[int], blank: Sequence[int]
) -> dict[int, NDArray[Any]]:
    """Read line by line, and say what is wrong with the first line that is not as the header says."""
    rows = [(line, fields) for line, fields in sheet.lines() if any(fields)]
    width = len(sheet.header)
    filled = {i for i in numbers if any(len(fields) > i and fields[i] for _, fields in rows)} - set(blank)
    usual = {width, width + 1}
    if rows and len(rows[0][1]) in usual:
        usual = {len(rows[0][1])}
    for line, fields in rows:
        if len(fields) not in usual or any(fields[width:]):
            problem = f"has {counted(len(fields), 'field')} where the header names {width}"
            remedy = f"{_EXPORT}, it is damaged"
            if len(fields) < width and line == rows[-1][0]:
                problem, remedy = f"{problem}, and the file ends there", f"{_EXPORT}, it was cut off"
            elif len(fields) > width and sheet.delimiter == ",":
                remedy = "If numbers have decimal commas, export with decimal points; else the file is damaged"
            fail(sheet.name, line, problem, remedy)
        for i in numbers:
            if fields[i] == "" and i in filled:
                fail(sheet.name, line, f"has no value in the column {sheet.header[i]!r}", f"{_EXPORT}, it is damaged")
            if fields[i] and not _is_number(sheet.plain(fields[i])):
                remedy = f"{_EXPORT}; this column holds numbers with a decimal point or comma"
                fail(sheet.name, line, f"has {fields[i]!r} in the column {sheet.header[i]!r}", remedy)
    values: dict[int, NDArray[Any]] = {
        i: np.array([float(sheet.plain(fields[i]) or "nan") for _, fields in rows]) for i in numbers
    }
    return values | {i: np.array([fields[i] for _, fields in rows], dtype=object) for i in texts}


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False
