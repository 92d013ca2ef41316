"""Measurement errors, bins and their counts in the forms that users have, turned into those that are stored."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.data._convert import to_float64
from bayesgmm.data._labels import describe_row, index_labels
from bayesgmm.data._observation import check_edges, check_groups
from bayesgmm.data._read import Table, read, sequence_to_array

# Pairs made as centre -/+ half a width miss each other by rounding, which is no overlap that anybody meant.
_TOUCHING = 1e-9


def read_noise(
    noise: Any, shape: tuple[int, int], feature_names: Sequence[str], obs_names: np.ndarray | None
) -> np.ndarray:
    """Standard deviations (n_obs, d) or covariances (n_obs, d, d) from any form of noise, not yet checked.

    Parameters
    ----------
    noise : number, array_like, table or mapping
    shape : (n_obs, d)
    feature_names : sequence of str, length d
    obs_names : ndarray, shape (n_obs,), or None

    Raises
    ------
    InputError
        If the form is none of those that `as_data` lists, or can be read in two ways.
    """
    n, d = shape
    if _is_number(noise):
        return np.full(shape, _as_float(noise))
    if isinstance(noise, (str, bytes, bool, np.bool_, np.generic)) or getattr(noise, "ndim", None) == 0:
        raise InputError("noise", f"got {as_written(noise)} of type {type(noise).__name__}", _forms(n, d))
    if isinstance(noise, Mapping) and noise and all(_is_number(value) for value in noise.values()):
        row = _ordered([str(name) for name in noise], feature_names, "keys")
        return np.tile(np.array([_as_float(value) for value in noise.values()])[row], (n, 1))

    array: Any = noise
    if isinstance(noise, Sequence):
        array = sequence_to_array(noise, "noise")
    elif getattr(noise, "ndim", None) == 3 and hasattr(noise, "__array__"):
        array = noise if isinstance(noise, np.ndarray) else np.asarray(noise)
    if isinstance(array, np.ndarray) and array.ndim == 3:
        return _covariances(array, n, d, feature_names)
    if isinstance(array, np.ndarray) and array.ndim not in (1, 2):
        raise InputError("noise", f"has shape {array.shape}", _forms(n, d))

    dims = getattr(array, "dims", ())
    if len(dims) == 2 and dims[1] not in getattr(array, "indexes", ()):
        array = np.asarray(array)  # a DataArray without names of columns
    table = read(array, "noise")
    # Arrow arrays have no shape; the name x is what `read` calls a column without a name.
    unshaped = (0,) if table.feature_names == ["x"] and not isinstance(array, Mapping) else (0, 0)
    one_axis = len(getattr(array, "shape", unshaped)) == 1
    same_names = sorted(table.feature_names) == sorted(feature_names)
    named = not isinstance(array, np.ndarray) and (same_names or not _positions(table.feature_names))
    values = to_float64(table.blocks, table.feature_names, table.obs_names, "noise")
    if one_axis:
        return _one_axis(values[:, 0], table, shape, feature_names, obs_names)
    if named:
        values = values[:, _ordered(table.feature_names, feature_names, "columns")]
        if len(values) != n:
            raise InputError(
                "noise",
                f"the table has {len(values)} rows, but there are {n} observations",
                f"Give one row for each of them; covariances are arrays of shape (1, {d}, {d}) or ({n}, {d}, {d}).",
            )
    elif values.shape == (d, d) and (n == d or d == 1):
        raise InputError(
            "noise",
            f"shape {values.shape} may mean standard deviations or a covariance",
            f"Give a covariance with shape (1, {d}, {d}), as noise[None]; standard deviations as a table with the "
            f"names of columns, {{{feature_names[0]!r}: ...}}"
            + (", or as a number." if d == 1 else f", or as diagonal covariances of shape ({n}, {d}, {d})."),
        )
    elif values.shape == (d, d):
        return np.broadcast_to(values, (n, d, d))
    elif values.shape != shape:
        raise InputError("noise", f"has shape {values.shape}", _forms(n, d))
    _check_rows("noise", table.obs_names, obs_names)
    return values


def _one_axis(
    values: np.ndarray,
    table: Table,
    shape: tuple[int, int],
    feature_names: Sequence[str],
    obs_names: np.ndarray | None,
) -> np.ndarray:
    n, d = shape
    if d == 1 and len(values) == n:
        _check_rows("noise", table.obs_names, obs_names)
        return values[:, None]
    if len(values) != d:
        raise InputError("noise", f"has shape {values.shape}", _forms(n, d))
    if table.obs_names is not None and d > 1:  # a Series such as table.std() carries the names in its index
        values = values[_ordered([str(name) for name in table.obs_names], feature_names, "labels")]
    return np.tile(values, (n, 1))


def _covariances(array: np.ndarray, n: int, d: int, feature_names: Sequence[str]) -> np.ndarray:
    if array.shape not in ((1, d, d), (n, d, d)):
        raise InputError("noise", f"has shape {array.shape}", _forms(n, d))
    table = read(array.reshape(len(array), d * d), "noise")
    pairs = [f"{one}, {other}" for one in feature_names for other in feature_names]
    return np.broadcast_to(to_float64(table.blocks, pairs, None, "noise").reshape(-1, d, d), (n, d, d))


def _is_number(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and value.dtype.kind in "iuf"
    if isinstance(value, (bool, np.timedelta64)):  # numpy registers timedelta64 as an integer
        return False
    return isinstance(value, (numbers.Real, Decimal))


def _positions(names: Sequence[str]) -> bool:
    """Whether names of columns say no more than their places."""
    return any(list(names) == [f"{start}{j}" for j in range(len(names))] for start in ("", "x"))


def _ordered(given: list[str], feature_names: Sequence[str], what: str) -> list[int]:
    """Where each feature stands among the given names."""
    if sorted(given) != sorted(feature_names):
        raise InputError(
            "noise",
            f"has the {what} {as_written(given)}, the values have the columns {as_written(list(feature_names))}",
            "Rename them to the names of the values (in any order), or give an array without names.",
        )
    return [given.index(name) for name in feature_names]


def _forms(n: int, d: int) -> str:
    each = f"({n},) or ({n}, 1)" if d == 1 else f"({d},) or ({n}, {d})"
    return (
        "Give standard deviations in the units of the values, as a number or with shape "
        f"{each}, or covariances with shape (1, {d}, {d}) or ({n}, {d}, {d})."
    )


def has_index(table: Any) -> bool:
    """Whether something has row labels of pandas."""
    return hasattr(getattr(table, "index", None), "nlevels")


def check_alignment(argument: str, given: Any, obs_names: np.ndarray | None) -> None:
    """Raise if a pandas object has other row labels than the values: it would be put beside the wrong rows.

    `obs_names` are None where the values have no labels, and positions where an index says so.
    """
    if not has_index(given) or obs_names is None:
        return
    positions, labels = np.arange(len(given.index)), index_labels(given.index)
    numbered = labels is None or (obs_names.shape == positions.shape and (obs_names == positions).all())
    labels = positions if labels is None else labels
    # Positions next to names are rows in their order, but next to the same numbers in another order they are not.
    if not numbered or set(labels.tolist()) == set(obs_names.tolist()):
        _check_rows(argument, labels, obs_names)


def _check_rows(argument: str, labels: np.ndarray | None, obs_names: np.ndarray | None) -> None:
    if labels is None or obs_names is None or labels.shape != obs_names.shape:
        return
    differ = np.flatnonzero(labels.astype(str) != obs_names.astype(str))
    if differ.size:
        raise InputError(
            argument,
            f"has the label {str(labels[differ[0]])!r} in {describe_row(differ[0], obs_names)} of the values",
            f"Align them first, {argument}.loc[values.index], or pass {argument} without labels.",
        )


def read_bins(bins: Any, counts: Any, groups: Any = None) -> tuple[np.ndarray, np.ndarray, Any, str]:
    """Bins (M, 2), points that stand for them (M, 1), their counts as given (or as the Series of counts says), a name.

    A point is the centre. The centre of a bin with an open end is that of a bin as wide as its neighbour. Each group
    (M,) has bins of its own.
    """
    name = "x"
    if isinstance(bins, Mapping) and len(bins) == 1:
        ((name, bins),) = bins.items()
    index = getattr(bins, "index", None)
    # An index of intervals, also as the categories that pandas.cut makes.
    if hasattr(getattr(index, "categories", index), "left"):
        if counts is not None:
            raise InputError(
                "counts", "given, but bins is a Series of counts itself", "Pass the Series alone, or bins=series.index."
            )
        bins, counts = index, np.asarray(bins)
    named = getattr(bins, "name", None)
    edges = _edges(bins)
    labels = np.zeros(len(edges)) if groups is None else check_groups(groups, len(edges), None)
    check_edges(edges, labels)
    centres = np.empty((len(edges), 1))
    for group in np.unique(labels):
        own = labels == group
        lower, upper = edges[own].T.copy()
        if np.isinf(lower[0]):
            lower[0] = upper[0] - (upper[1] - lower[1])
        if np.isinf(upper[-1]):
            upper[-1] = lower[-1] + (upper[-2] - lower[-2])
        centres[own, 0] = lower + (upper - lower) / 2
    return edges, centres, counts, str(named or name)


def _edges(bins: Any) -> np.ndarray:
    remedy = "Give (M + 1,) increasing edges, or (M, 2) lower and upper edges; -inf and inf mean that an end is open."
    if not isinstance(bins, (str, bytes, Mapping)) and np.iterable(bins):
        listed = list(bins)
        if listed and all(hasattr(entry, "left") and hasattr(entry, "right") for entry in listed):
            bins = np.array([(entry.left, entry.right) for entry in listed])
    table = read(bins, "bins")
    n, width = len(table.blocks[0]), len(table.feature_names)
    if n == 0 or width not in (1, 2) or (n, width) == (1, 1):
        raise InputError("bins", f"has shape {(n,) if width == 1 else (n, width)}", remedy)
    array = to_float64(table.blocks, table.feature_names, None, "bins")
    if width == 1:
        flat = array[:, 0]
        return np.column_stack([flat[:-1], flat[1:]])
    lower, upper = array.T.copy()
    with np.errstate(invalid="ignore"):  # infinite edges in the wrong places, which the checks name
        miss = upper[:-1] - lower[1:]
        width = np.minimum((upper - lower)[1:], (upper - lower)[:-1])
        touching = (miss > 0) & np.isfinite(width) & (miss <= _TOUCHING * width)
    lower[1:][touching] = upper[:-1][touching]
    return np.column_stack([lower, upper])


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # whole numbers and fractions beyond all floats
        raise InputError("noise", f"got {as_written(value)}", "Give a number that a float can hold") from None
