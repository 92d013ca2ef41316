"""Text in tables that are opened in a spreadsheet, where a name must not become a formula (OWASP, CSV injection)."""

from __future__ import annotations

import re

# Spreadsheets run what begins so, also in the wide letters of East Asian keyboards; an apostrophe makes it text.
_FORMULA = re.compile(r"['\s]*[=+\-@\t\r\n＝＋－＠]")
_GUARDED = re.compile(r"'['\s]*[=+\-@\t\r\n＝＋－＠]")


def guarded(text: str) -> str:
    """Text for a cell, with an apostrophe in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The text that `guarded` wrote."""
    return text[1:] if _GUARDED.match(text) else text
