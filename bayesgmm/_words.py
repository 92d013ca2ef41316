"""Words for messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def counted(number: int, noun: str) -> str:
    """A number of things, such as "1 start" or "2 starts"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# More than these nobody reads in a sentence.
_MOST_LISTED = 5


def listed(items: Sequence[object], *, show: Callable[[object], str] = repr) -> str:
    """Things in a sentence, such as "'a', 'b' and 'c'"; of more than five the first five "and 7 more"."""
    shown = [show(item) for item in items[:_MOST_LISTED]]
    if len(items) > _MOST_LISTED:
        shown.append(f"{len(items) - _MOST_LISTED} more")
    return ", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else "".join(shown)
