"""Checks that the options of every engine share."""

from __future__ import annotations

import numpy as np

from bayesgmm._errors import InputError


def check_whole(engine: object, option: str, *, least: int) -> None:
    """Raise unless an option is a whole number of at least `least`."""
    value = getattr(engine, option)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(
            f"{type(engine).__name__}.{option}", f"got {value!r}", f"Give a whole number of at least {least}"
        )


def check_positive(engine: object, option: str) -> None:
    """Raise unless an option is a positive finite number."""
    value = getattr(engine, option)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < np.inf:
        raise InputError(f"{type(engine).__name__}.{option}", f"got {value!r}", "Give a positive number")
