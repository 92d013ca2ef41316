"""Files in a zip, which may be damaged, locked, or much larger than it looks."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from bayesgmm._errors import InputError
from bayesgmm.ddpcr._text import Source

# A plate of 96 wells in six channels has about 0.4 GB of text; a megabyte of zeros packs into a thousandth of that.
MOST_UNPACKED = 4 * 2**30
_ENCRYPTED = 0x1
# What the modules of Python raise for bytes that are not what they should be. A RuntimeError is a password that is
# missing, a NotImplementedError a way of packing that Python does not know.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, OverflowError)


def sources_in_zip(path: Path, endings: tuple[str, ...]) -> tuple[list[Source], list[str]]:
    """The files with these endings in a zip, to be unpacked one by one, and the names of the others.

    Raises
    ------
    InputError
        If it is damaged, needs a password, is packed in a way that is not known, or would become too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.filename)
    except NotImplementedError as error:
        raise _packed_otherwise(str(path), error) from None
    except _DAMAGE as error:
        raise _damaged(str(path), error) from None
    last = {entry.filename: entry.filename.rpartition("/")[2] for entry in entries}
    shown = [e for e in entries if last[e.filename] and not last[e.filename].startswith(".")]
    kept = [entry for entry in shown if last[entry.filename].lower().endswith(endings)]
    check_size(path, sum(entry.file_size for entry in kept))
    locked = next((entry for entry in kept if entry.flag_bits & _ENCRYPTED), None)
    if locked is not None:
        raise InputError(
            "paths", f"{path}/{locked.filename} is locked by a password", "Unpack the zip and give its files"
        )
    sources = [
        Source(f"{path}/{entry.filename}", last[entry.filename], _loader(path, entry), named=False) for entry in kept
    ]
    return sources, [entry.filename for entry in shown if entry not in kept]


def check_size(path: Path, unpacked: int) -> None:
    """Raise if what is packed in a file has so many bytes that no instrument wrote it."""
    if unpacked > MOST_UNPACKED:
        raise InputError(
            "paths",
            f"{str(path)!r} would become {unpacked / 2**30:,.1f} GB, more than {MOST_UNPACKED / 2**30:g} GB",
            "If it is what an instrument exported, unpack it and give its files; else it is damaged",
        )


def _loader(path: Path, entry: zipfile.ZipInfo) -> Callable[[], bytes]:
    def load() -> bytes:
        name = f"{path}/{entry.filename}"
        try:
            with zipfile.ZipFile(path) as archive:
                raw = archive.read(entry)  # no more than the size that was looked at
        except NotImplementedError as error:
            raise _packed_otherwise(name, error) from None
        except _DAMAGE as error:
            raise _damaged(name, error) from None
        if len(raw) < entry.file_size:  # which Python does not look at
            raise _damaged(name, EOFError(f"it has {len(raw)} bytes where the zip says {entry.file_size}"))
        return raw

    return load


def _damaged(name: str, error: Exception) -> InputError:
    return InputError("paths", f"{name!r} is no zip, or is damaged: {str(error).rstrip('.')}", "Export it again")


def _packed_otherwise(name: str, error: Exception) -> InputError:
    why = str(error).rstrip(".")
    return InputError("paths", f"{name!r} cannot be unpacked: {why}", "Unpack the zip and give its files")
