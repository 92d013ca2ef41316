"""Files and folders that take the place of older ones when all of them is on the disk, and not before."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def replace_file(target: Path, parts: Iterable[bytes]) -> None:
    """Write a file beside its place, and put it there.

    Raises
    ------
    OSError
        If it cannot be written; an older file is as it was, and nothing is left beside it.
    """
    beside = _beside(target)
    with _told(target):
        try:
            _write(beside, parts)
            if target.exists():
                shutil.copymode(target, beside)
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(target.parent)


def replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """The same for a folder of files.

    No system puts one folder in the place of another in one step. Between two steps the older one stands beside its
    place, under a name that ends with ``.old``; it goes back there where the second step fails.
    """
    beside, older = _beside(target), _beside(target, ".old")
    with _told(target):
        try:
            for name, content in files.items():
                (beside / name).parent.mkdir(parents=True, exist_ok=True)
                _write(beside / name, [content])
            for folder, _, _ in os.walk(beside):
                _sync_folder(Path(folder))
            if target.exists():
                os.rename(target, older)
            try:
                os.rename(beside, target)
            except BaseException:
                if older.exists():
                    os.rename(older, target)
                raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        _sync_folder(target.parent)
        shutil.rmtree(older, ignore_errors=True)


def _beside(target: Path, ending: str = ".part") -> Path:
    return target.with_name(f".{secrets.token_hex(6)}{ending}")


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with open(path, "xb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Errors of the system with the path in them, and what became of an older file."""
    before = target.exists()
    try:
        yield
    except OSError as error:
        kept = "; what was there before is as it was" if before and target.exists() else ""
        said = f"{error.strerror or error}: the result was not saved{kept}. Make room, or give another path"
        raise OSError(error.errno, said, str(target)) from error
