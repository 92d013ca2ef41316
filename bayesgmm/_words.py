"""Words for messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number of things, such as "1 start" or "2 starts"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
