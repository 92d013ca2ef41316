"""Names of wells: ``A01`` to ``P24``, one by one and as ranges."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError

_NAME = re.compile(r"([A-P])0?([1-9]|1\d|2[0-4])", re.IGNORECASE)
_REMEDY = "Wells are A01 to P24; a range such as 'A01-D01' or 'E08-H08' takes all wells from corner to corner"


def well_name(text: object) -> str | None:
    """``A01`` for "A1", "a01" and " A01 "; None for what is no well of a plate with up to 384 wells."""
    match = _NAME.fullmatch(str(text).strip().strip('"'))
    return f"{match[1].upper()}{int(match[2]):02d}" if match else None


def merged_wells(names: Iterable[str], plate: Iterable[str]) -> set[str]:
    """Names that Bio-Rad's software gives to wells that it merged: M01 and so on, beside a plate of rows A to H.

    In a plate of 384 wells M is a row, and so are others beyond H.
    """
    beyond = {name[0] for name in plate if name[0] > "H"}
    return {name for name in names if name[0] == "M"} if beyond <= {"M"} else set()


def wells_in(given: Any, argument: str) -> list[str]:
    """Wells that a text ("A01", "A01-D01", "A01, C05-C08") or several of them name, in the order they are named.

    Raises
    ------
    InputError
        If a part of it is no well.
    """
    if not isinstance(given, str):
        if not isinstance(given, Iterable):
            raise InputError(argument, f"got {as_written(given)}", _REMEDY)
        return list(dict.fromkeys(name for each in given for name in wells_in(_text(each, argument), argument)))
    found = []
    for part in re.split(r"[,;]", given):
        ends = [well_name(end) for end in re.split(r"[-–:]", part)]
        if None in ends or len(ends) > 2:
            raise InputError(argument, f"{part.strip()!r} is no well", _REMEDY)
        (top, left), (bottom, right) = ((str(end)[0], int(str(end)[1:])) for end in (ends[0], ends[-1]))
        if top > bottom or left > right:
            raise InputError(argument, f"{part.strip()!r} runs backwards", _REMEDY)
        rows = [chr(row) for row in range(ord(top), ord(bottom) + 1)]
        found += [f"{row}{column:02d}" for column in range(left, right + 1) for row in rows]
    return list(dict.fromkeys(found))


def _text(each: Any, argument: str) -> str:
    if not isinstance(each, str):
        raise InputError(argument, f"got {as_written(each)} for a well", _REMEDY)
    return each


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names for a message, the rest of a long list counted."""
    names = list(names)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
