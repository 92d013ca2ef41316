"""Which files there are: in a folder and the folders in it, in zips, packed, and as sheets of workbooks."""

from __future__ import annotations

import bz2
import csv
import gzip
import importlib.util
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayesgmm._errors import InputError
from bayesgmm.ddpcr._formats import looks_like_droplets, well_in
from bayesgmm.ddpcr._text import Source
from bayesgmm.ddpcr._wells import listed
from bayesgmm.ddpcr._zip import MOST_UNPACKED, check_size, sources_in_zip

TEXT = (".csv", ".txt", ".tsv")
_PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)
_WORKBOOK = (".xlsx", ".xlsm")
_PICTURES = (".png", ".jpg", ".jpeg", ".pdf", ".svg", ".tif", ".tiff", ".bmp")
_PACKED_TWICE = "packed once more inside the zip: unpack the zip"
_NEEDS_OPENPYXL = "workbooks are read where openpyxl is installed: `pip install openpyxl`, or save them as CSV"
# Files of instruments that hold droplets, in forms that nobody describes in public.
_WRITE_CSV = (
    "write the intensities of each chip or well as a CSV file with the header 'Ch1 Amplitude,Ch2 Amplitude' and a name "
    "that ends in _A01_Amplitude.csv"
)
_INSTRUMENTS = {
    ".eds": f"an experiment of the QuantStudio 3D or Absolute Q: export raw data as CSV (Absolute Q), or {_WRITE_CSV}",
    ".fcs": f"such as the RainDrop of RainDance writes: {_WRITE_CSV}",
    ".qlp": "a plate of QuantaSoft: in its options export amplitude and cluster data",
    ".qlb": "a well of QuantaSoft: in its options export amplitude and cluster data",
    ".ddpcr": "an experiment of QX Manager: export amplitude data",
    ".ncx": "an experiment of Crystal Miner (Naica): export raw data as CSV",
    ".ncr": "an experiment of Crystal Reader (Naica): export raw data as CSV",
}
# These lie beside what their software exports, and hold the same droplets.
_BESIDE_EXPORTS = {".qlp", ".qlb", ".ddpcr", ".ncx", ".ncr"}
_ARCHIVES = (".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".zst")
# A plate of 384 wells in six channels has 2,304 files.
_MOST_FILES = 20_000


@dataclass(frozen=True)
class Files:
    """Files to be read, and by reason those that may hold droplets and are not read."""

    sources: list[Source] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, name: str, reason: str) -> None:
        """Note a file that is not read."""
        self.skipped.setdefault(reason, []).append(name)

    def said(self) -> str:
        """The files that are not read, with reasons; empty if there are none."""
        return "; ".join(f"{listed(names, 4)} ({reason})" for reason, names in self.skipped.items())


def files_in(paths: Sequence[Path]) -> Files:
    """The files of folders and zips, and files that are named.

    Raises
    ------
    InputError
        If a path does not exist, a file that is named cannot be read, or there are far too many files.
    """
    found, seen = Files(), set()
    for path in paths:
        if not path.exists():
            raise InputError("paths", f"{str(path)!r} does not exist", "Give a folder, a zip or files")
        named = not path.is_dir()
        for each in [path] if named else _below(path, set()):
            if each.resolve() not in seen:
                seen.add(each.resolve())
                _add(found, each, named)
        if len(seen) > _MOST_FILES:
            raise InputError(
                "paths", f"{str(path)!r} holds more than {_MOST_FILES:,} files", "Give the folder that was exported"
            )
    return found


def _below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Files of a folder and of those in it, without what systems and programs leave there."""
    seen.add(folder.resolve())
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise _unreadable(folder, error) from None
    # A Mac leaves ._x_A01_Amplitude.csv beside x_A01_Amplitude.csv, Excel ~$x.xlsx while x.xlsx is open.
    kept = [each for each in inside if not each.name.startswith((".", "~$")) and each.name != "__MACOSX"]
    yield from (each for each in kept if each.is_file())
    for each in kept:
        if each.is_dir() and each.resolve() not in seen:
            yield from _below(each, seen)


def _add(found: Files, path: Path, named: bool) -> None:
    name, ending = str(path), path.suffix.lower()
    reason = _why_not(path.name, ending)
    if reason and named:
        raise InputError("paths", f"{name!r} is not read", reason[0].upper() + reason[1:])
    if ending == ".zip":
        sources, others = sources_in_zip(path, TEXT)
        found.sources.extend(sources)
        for each in others:
            inside = Path(each.lower())
            packed = inside.suffix in (".zip", *_PACKED, *_WORKBOOK) and looks_like_droplets(inside.name)
            if why := _PACKED_TWICE if packed else _why_not(inside.name, inside.suffix):
                found.skip(f"{name}/{each}", why)
    elif reason:
        if ending not in _BESIDE_EXPORTS:
            found.skip(name, reason)
    elif ending in _PACKED and (named or path.with_suffix("").suffix.lower() in TEXT):
        found.sources.append(Source(name, path.stem, _unpacked(path, _PACKED[ending]), named))
    elif ending in _WORKBOOK:
        found.sources.extend(_sheets(path, named))
    elif ending in TEXT or named:
        found.sources.append(Source(name, path.name, _loader(path), named))


def _why_not(name: str, ending: str) -> str:
    """Why a file that may hold droplets is not read; empty if it is, or holds none."""
    lower = name.lower()
    if ending in _INSTRUMENTS:
        return _INSTRUMENTS[ending]
    if lower.endswith(_ARCHIVES):
        return "an archive that is not opened here: unpack it"
    if ending == ".xls":
        old = "a workbook of before 2007: save it as CSV"
        return old if looks_like_droplets(name) or well_in(name) else ""
    if ending in _WORKBOOK:
        missing = importlib.util.find_spec("openpyxl") is None
        return _NEEDS_OPENPYXL if missing and (looks_like_droplets(name) or well_in(name)) else ""
    if looks_like_droplets(name) and ending not in (*TEXT, *_PACKED, *_PICTURES, ".zip"):
        return "its ending is not known: CSV, text, zip, gz, bz2, xz and xlsx are read"
    return ""


def _loader(path: Path) -> Callable[[], bytes]:
    def load() -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise _unreadable(path, error) from None

    return load


def _unpacked(path: Path, opened: Callable[..., Any]) -> Callable[[], bytes]:
    def load() -> bytes:
        try:
            with opened(path, "rb") as file:
                raw = file.read(MOST_UNPACKED + 1)
        except _DAMAGE as error:
            why = str(error).rstrip(".")
            raise InputError("paths", f"{str(path)!r} cannot be unpacked: {why}", "Export it again") from None
        check_size(path, len(raw))
        return raw

    return load


def _sheets(path: Path, named: bool) -> list[Source]:
    """Sheets of a workbook as text with commas; of several those that are named after a well are wells."""
    try:
        texts = _texts_of(path)
    except InputError:
        if named or looks_like_droplets(path.name):
            raise
        return []  # a list of samples, say
    if len(texts) == 1:
        (text,) = texts.values()
        return [Source(str(path), path.name, lambda: text, named)]
    sources = []
    for i, (title, text) in enumerate(texts.items()):
        base = f"{title}.xlsx" if well_in(f"{title}.xlsx") else path.name
        sources.append(Source(f"{path}, sheet {title!r}", base, lambda text=text: text, named, beside=i > 0))
    return sources


def _texts_of(path: Path) -> dict[str, bytes]:
    """The sheets of a workbook that are not empty."""
    if importlib.util.find_spec("openpyxl") is None:
        raise InputError("paths", f"{str(path)!r} is not read", _NEEDS_OPENPYXL[0].upper() + _NEEDS_OPENPYXL[1:])
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    texts = {}
    try:
        raw = io.BytesIO(path.read_bytes())  # openpyxl would leave the file open where it is damaged
        with zipfile.ZipFile(raw) as archive:
            check_size(path, sum(entry.file_size for entry in archive.infolist()))
        book = openpyxl.load_workbook(raw, read_only=True, data_only=True)
        for sheet in book.worksheets:
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n")
            for row in sheet.iter_rows(values_only=True):
                writer.writerow("" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in row)
            if out.getvalue().strip(',\n "'):
                texts[sheet.title] = out.getvalue().encode()
        book.close()
    except InputError:
        raise
    # What openpyxl and the modules below it raise for bytes that are no workbook; its own parts raise KeyErrors.
    except (
        InvalidFileException,
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        ValueError,
        TypeError,
        EOFError,
        OSError,
        SyntaxError,
    ) as error:
        why = str(error).rstrip(".") or type(error).__name__
        raise InputError("paths", f"{str(path)!r} is no workbook, or is damaged: {why}", "Save it again") from None
    return texts or {path.name: b""}


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError("paths", f"{str(path)!r} cannot be read ({error.strerror})", "Give a folder, a zip or files")
