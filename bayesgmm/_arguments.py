"""Checks of single arguments: numbers, truth values, choices and seeds, alike for every function and every option."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from bayesgmm._errors import InputError

# Nothing is counted up to here in a lifetime, and a larger number may not fit where it is handed to.
MOST = 10**9
# Seeds may be as long as those that `numpy.random.SeedSequence` makes.
_SEED_BITS = 128
_SHOWN = 200
_SHOWN_BITS = 256


def as_written(value: Any) -> str:
    """How a message writes a value: as Python does, but never longer than a few lines."""
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:  # Python refuses to write very long ones
        return f"a whole number of some {round(value.bit_length() * 0.30103)} digits"
    try:
        text = repr(value)
    except ValueError:  # such a number inside of something
        return f"a {type(value).__name__} with a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... of type {type(value).__name__}"


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number of Python or NumPy; truth values are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))  # which numpy derives


def is_number(value: Any) -> bool:
    """Whether a value is a real number of Python or NumPy that a float can hold; truth values are none."""
    if is_whole(value):
        return abs(int(value)) <= 10**300
    return isinstance(value, (float, np.floating))


def is_several(value: Any) -> bool:
    """Whether a value can be gone through and is no text, no dict, and no array without axes."""
    single = isinstance(value, (str, bytes, Mapping)) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return isinstance(value, Iterable) and not single


def as_whole(argument: str, value: Any, *, least: int = 0, most: int = MOST, hint: str = "") -> int:
    """A whole number between two others, as an ``int``.

    Raises
    ------
    InputError
        If it is none or lies outside; `hint` is put behind what the message asks for.
    """
    if not is_whole(value) or not least <= value <= most:
        limited = most < MOST or (is_whole(value) and value > most)
        between = f"from {least} to {most:,}" if limited else f"of at least {least}"
        raise InputError(argument, f"got {as_written(value)}", f"Give a whole number {between}{hint}")
    return int(value)


def as_number(
    argument: str, value: Any, *, above: float | None = None, least: float | None = None, below: float | None = None,
    most: float | None = None,
) -> float:  # fmt: skip
    """A finite number inside an interval whose ends belong to it (`least`, `most`) or not (`above`, `below`)."""
    fine = is_number(value) and bool(np.isfinite(float(value)))
    fine = fine and (above is None or value > above) and (least is None or value >= least)
    if not fine or not (below is None or value < below) or not (most is None or value <= most):
        named = (("above", above), ("of at least", least), ("below", below), ("of at most", most))
        limits = " and ".join(f"{word} {limit:g}" for word, limit in named if limit is not None)
        wanted = "a positive number" if limits == "above 0" else f"a number {limits}" if limits else "a finite number"
        raise InputError(argument, f"got {as_written(value)}", f"Give {wanted}")
    return float(value)


def as_flag(argument: str, value: Any) -> bool:
    """A truth value of Python or NumPy; numbers and strings are none, for "no" would be true."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(argument, f"got {as_written(value)}", "Give True or False")
    return bool(value)


def as_choice(argument: str, value: Any, allowed: Collection[str]) -> str:
    """One of some strings."""
    if not isinstance(value, str) or value not in allowed:
        listed = ", ".join(map(repr, allowed))
        raise InputError(
            argument, f"got {as_written(value)}", f"Give one of {listed}" if len(allowed) > 1 else f"Give {listed}"
        )
    return str(value)


def as_instance[Kind](argument: str, value: Any, kind: type[Kind] | tuple[type[Kind], ...], hint: str) -> Kind:
    """An object of some class, or of one of several; what was meant is often the class without its brackets."""
    if not isinstance(value, kind):
        hint = f"Write {value.__name__}()" if isinstance(value, type) and issubclass(value, kind) else hint
        got = as_written(value) if isinstance(value, (str, int, float, type, type(None))) else type(value).__name__
        raise InputError(argument, f"got {got}", hint)
    return value


def as_floats(argument: str, value: Any, *, n_axes: int, hint: str) -> Any:
    """Finite numbers as an array of floats with so many axes."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # what is no array, and rows of different lengths
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf" or array.ndim != n_axes or not np.isfinite(array).all():
        raise InputError(argument, f"got {as_written(value)}", hint)
    return array.astype(float)


def as_texts(argument: str, value: Any, hint: str) -> tuple[str, ...]:
    """Several strings."""
    listed = isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1)
    if not listed or not all(isinstance(each, str) for each in value):
        raise InputError(argument, f"got {as_written(value)}", hint)
    return tuple(str(each) for each in value)


def as_text(argument: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise InputError(argument, f"got {as_written(value)}", "Give a string")
    return str(value)


def as_seed(random_seed: Any) -> int | None:
    """The whole number that a seed stands for: itself, None for None, and the next one out of a Generator.

    A Generator moves on by that one number, so that a second call with it gives other random numbers. Results store
    the number, with which a run can be repeated.
    """
    if random_seed is None:
        return None
    if isinstance(random_seed, np.random.Generator):
        return int(random_seed.integers(2**63))
    if not is_whole(random_seed) or not 0 <= random_seed < 2**_SEED_BITS:
        hint = "Give a whole number of at least 0 (and below 2**128), a numpy.random.Generator, or None"
        raise InputError("random_seed", f"got {as_written(random_seed)}", hint)
    return int(random_seed)
