"""Columns of any numeric type become one float64 array, or an error that names the first value that cannot."""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.data._check import RESCALE, SUBTRACT_FIRST
from bayesgmm.data._labels import describe_columns, describe_row

_REMEDIES = {
    "b": "Booleans are categories, not Gaussian measurements; if 0.0 and 1.0 are meant, convert with astype(float).",
    "c": "Give the parts of complex numbers as two columns, values.real and values.imag.",
    "M": "Turn times into numbers first, for example (t - t.min()) / numpy.timedelta64(1, 's').",
    "m": "Turn durations into numbers first, for example t / numpy.timedelta64(1, 's').",
}


def to_float64(
    blocks: Sequence[np.ndarray],
    feature_names: Sequence[str],
    obs_names: np.ndarray | None,
    argument: str = "values",
) -> np.ndarray:
    """Return a new C-contiguous float64 array, shape (n_obs, n_features), of the blocks side by side.

    Parameters
    ----------
    blocks : sequence of ndarray, each of shape (n_obs, width), widths adding up to n_features
    feature_names : sequence of str, length n_features
    obs_names : ndarray, shape (n_obs,), or None
        For messages only.
    argument : str
        What messages call the blocks.

    Raises
    ------
    InputError
        If a column is not numeric, or its numbers are different but become one double.
    """
    check_kinds(
        feature_names,
        [block.dtype.kind for block in blocks for _ in range(block.shape[1])],
        [block.dtype for block in blocks for _ in range(block.shape[1])],
        argument,
    )
    values = np.empty((blocks[0].shape[0], len(feature_names)))
    start = 0
    for block in blocks:
        stop = start + block.shape[1]
        names, out = feature_names[start:stop], values[:, start:stop]
        if block.dtype.kind == "O":
            for j, name in enumerate(names):
                out[:, j] = [_to_float(value, name, row, obs_names, argument) for row, value in enumerate(block[:, j])]
        else:
            # numpy converts before anything is added or subtracted, so no integer can wrap around.
            with np.errstate(all="ignore"):
                out[...] = block
            if block.dtype.itemsize > 8:
                _check_overflow(block, out, names, obs_names, argument)
        if block.dtype.kind == "O" or (block.dtype.itemsize >= 8 and block.dtype != np.float64):
            _check_distinct(block, out, names, argument)
        start = stop
    return values


def check_kinds(
    feature_names: Sequence[str], kinds: Sequence[str], dtypes: Sequence[object], argument: str = "values"
) -> None:
    """Raise `InputError` naming all columns whose kind (numpy's letter) cannot hold real numbers."""
    bad = [j for j, kind in enumerate(kinds) if kind not in "iufO"]
    if not bad:
        return
    columns = describe_columns([feature_names[j] for j in bad], [dtypes[j] for j in bad])
    special = [_REMEDIES[kind] for kind in sorted({kinds[j] for j in bad}) if kind in _REMEDIES]
    raise InputError(
        argument,
        f"{columns} {'does' if len(bad) == 1 else 'do'} not hold real numbers",
        " ".join(["Drop what is not a measurement, or encode it as numbers.", *special]),
    )


def _to_float(value: object, name: str, row: int, obs_names: np.ndarray | None, argument: str) -> float:
    """Return one entry of an object column; None, NA and NaT are missing (NaN)."""
    if type(value) is float:
        return value
    if type(value) is int and abs(value) < 2**53:  # the common cases first: columns may have millions of entries
        return float(value)
    # pandas' markers are known by name so that pandas need not be loaded to look at a list.
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return math.nan
    # numpy registers timedelta64 as an integer, and Python makes bool one.
    if not isinstance(value, (numbers.Real, Decimal)) or isinstance(value, (bool, np.timedelta64)):
        kind = value.dtype.kind if isinstance(value, np.generic) else {bool: "b", complex: "c"}.get(type(value), "")
        remedy = _REMEDIES.get(kind, "Correct the entry, drop the row, or leave the column out.")
        where = _describe_entry(value, name, row, obs_names)
        raise InputError(argument, f"{where}, which is not a real number", remedy)
    try:
        with np.errstate(all="ignore"):
            number = float(value)
    except OverflowError:
        number = math.inf
    except ValueError:  # a signalling NaN of decimal
        return math.nan
    if math.isinf(number) and value not in (math.inf, -math.inf):
        where = _describe_entry(value, name, row, obs_names)
        raise InputError(argument, f"{where}, which overflows double precision", RESCALE)
    return number


def _describe_entry(value: object, name: str, row: int, obs_names: np.ndarray | None) -> str:
    shown = " ".join(as_written(value).split())  # some representations have several lines
    return f"column {name!r} has the value {shown} ({type(value).__name__}) in {describe_row(row, obs_names)}"


def _check_overflow(
    block: np.ndarray, out: np.ndarray, names: Sequence[str], obs_names: np.ndarray | None, argument: str
) -> None:
    """Raise where a finite longdouble became infinite."""
    overflowed = np.argwhere(np.isinf(out) & np.isfinite(block))
    if overflowed.size:
        row, j = overflowed[0]
        raise InputError(
            argument,
            f"column {names[j]!r} has the value {block[row, j]!s} in {describe_row(row, obs_names)}, "
            "which overflows double precision",
            RESCALE,
        )


def _check_distinct(block: np.ndarray, out: np.ndarray, names: Sequence[str], argument: str) -> None:
    """Raise where different numbers became one double: the column would look constant and its spread be lost."""
    if not len(out):
        return
    for j in np.flatnonzero(np.fmin.reduce(out) == np.fmax.reduce(out)).tolist():
        seen = ~np.isnan(out[:, j])
        given = block[seen, j]
        if np.any(given != given[0]):
            raise InputError(
                argument,
                f"column {names[j]!r} has different values that all become {out[seen, j][0]!s} in double precision",
                SUBTRACT_FIRST,
            )


def if_loaded(package: str) -> Any:
    """A package of which objects may exist because it has been imported; None if it has not.

    Another thread may be importing it: `import_module` waits for that, `sys.modules` would give half a package.
    """
    return import_module(package) if package in sys.modules else None
