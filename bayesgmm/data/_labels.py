"""Names of rows and columns: how they are stored, and how messages spell them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from bayesgmm._words import listed


def is_missing(label: object) -> bool:
    """Whether a label is None, NaN, NaT, NA or masked."""
    # pandas' NA is known by name so that pandas need not be loaded; NaN and NaT differ from themselves.
    if label is None or label is np.ma.masked or type(label).__name__ == "NAType":
        return True
    if type(label).__name__ == "NaTType":
        return True
    if isinstance(label, Decimal):  # a signalling NaN cannot be compared
        return label.is_nan()
    return isinstance(label, (float, complex, np.generic)) and bool(label != label)


def label_text(label: object) -> str:
    """Return a label as a string; the levels of a tuple (a MultiIndex entry) are joined as ``"a, 1"``."""
    if isinstance(label, tuple):
        return ", ".join(label_text(level) for level in label)
    if isinstance(label, bytes):  # fixed-width characters of a netCDF file
        return label.decode(errors="replace")
    return str(label)


def label_array(labels: Any) -> np.ndarray:
    """Return row labels with a dtype that xarray writes to netCDF: integers, float64, strings or datetime64.

    Everything else (booleans, durations, time zones, mixtures) becomes strings, which lose nothing that identifies
    a row.
    """
    if not isinstance(labels, np.ndarray):
        labels = _one_dimensional(list(labels))
    if labels.dtype.kind in "iuMU":
        return labels
    if labels.dtype.kind == "f":
        return labels.astype(np.float64)
    if labels.dtype.kind == "m":
        return labels.astype(np.str_)
    return np.array([label_text(label) for label in labels.tolist()], dtype=np.str_)


def _one_dimensional(labels: list[Any]) -> np.ndarray:
    """An array of labels in their own type, each of which may be a tuple."""
    if not any(isinstance(label, tuple) for label in labels):
        return np.asarray(labels)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def are_positions(labels: np.ndarray) -> bool:
    """Return whether labels say no more than 0, 1, ..., n_obs - 1."""
    return labels.dtype.kind in "iu" and np.array_equal(labels, np.arange(labels.size))


def index_labels(index: Any) -> np.ndarray | None:
    """Return the row labels of a pandas index (also one behind an xarray coordinate), shape (n_obs,).

    None if there is no index, or if it holds the positions only.
    """
    if index is None:
        return None
    if index.nlevels > 1:
        return np.array([label_text(label) for label in index], dtype=np.str_)
    if index.dtype.kind == "m":  # "0 days 00:00:01" says more than a bare number whose unit is gone
        return np.array([str(label) for label in index], dtype=np.str_)
    labels = label_array(index.to_numpy())
    return None if are_positions(labels) else labels


def describe_columns(names: Sequence[str], details: Sequence[object] = ()) -> str:
    """Return ``"column 'a' (detail)"`` or ``"columns 'a' (detail), 'b' (detail) and 7 more"``."""
    noun = "column" if len(names) == 1 else "columns"
    if not details:
        return f"{noun} {listed(names)}"
    return f"{noun} {listed([f'{name!r} ({detail})' for name, detail in zip(names, details, strict=True)], show=str)}"


def describe_row(row: int, obs_names: np.ndarray | None) -> str:
    """Return ``"row 3"`` (positions count from 0), with the row's label where it has one."""
    return f"row {row}" if obs_names is None else f"row {row} (label {str(obs_names[row])!r})"
