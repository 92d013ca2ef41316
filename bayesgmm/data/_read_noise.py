"""Measurement errors in the forms that users have, turned into those that are stored."""

from __future__ import annotations

import numbers
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm._words import listed
from bayesgmm.data._align import RowsBeside
from bayesgmm.data._convert import if_loaded, to_float64
from bayesgmm.data._dimensions import says_columns, says_rows
from bayesgmm.data._labels import describe_columns, label_text
from bayesgmm.data._read import Table, read, sequence_to_array


def read_noise(noise: Any, beside: RowsBeside, feature_names: Sequence[str]) -> np.ndarray:
    """Standard deviations (n_obs, d) or covariances (n_obs, d, d) from any form of noise, not yet checked.

    Parameters
    ----------
    noise : number, array_like, table or mapping
    beside : RowsBeside
        The rows that it belongs to.
    feature_names : sequence of str, length d

    Raises
    ------
    InputError
        If the form is none of those that `as_data` lists, can be read in two ways, or has labels that are not those of
        the rows and columns.
    """
    n, d = beside.n, len(feature_names)
    if _is_number(noise):
        return np.full((n, d), _numbers([noise])[0])
    if isinstance(noise, (str, bytes, bool, np.bool_, np.generic)) or getattr(noise, "ndim", None) == 0:
        raise InputError("noise", f"got {reprlib.repr(noise)} of type {type(noise).__name__}", _forms(n, d))
    if isinstance(noise, Mapping) and noise and all(_is_number(value) for value in noise.values()):
        row = _ordered(list(noise), feature_names, "keys")
        return np.tile(_numbers(list(noise.values()))[row], (n, 1))

    array = sequence_to_array(noise, "noise") if isinstance(noise, Sequence) else noise
    xarray = if_loaded("xarray")
    if xarray is not None and isinstance(array, (xarray.DataArray, xarray.Variable)):
        array = xarray.DataArray(array)
        if array.ndim == 1:
            return _from_one_dimension(array, beside, feature_names)
        if array.ndim == 3:
            return _from_three_dimensions(array, beside, feature_names)
    elif not isinstance(array, np.ndarray) and getattr(array, "ndim", None) == 3 and hasattr(array, "__array__"):
        array = np.asarray(array)
    if isinstance(array, np.ndarray) and array.ndim == 3:
        return _covariances(array, n, d, feature_names)
    if isinstance(array, np.ndarray) and array.ndim not in (1, 2):
        raise InputError("noise", f"has shape {array.shape}", _forms(n, d))
    covariance = _labelled_covariance(array, feature_names)
    if covariance is not None:
        return _covariances(covariance[None], n, d, feature_names)

    table = read(array, "noise", beside)
    values = to_float64(table.blocks, table.feature_names, table.obs_names, "noise")
    if table.axes == 1:
        return _one_axis(values[:, 0], table, beside, feature_names)
    same_names = sorted(table.feature_names) == sorted(feature_names)
    if table.named and (same_names or not _positions(table.feature_names)):
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
    elif values.shape != (n, d):
        raise InputError("noise", f"has shape {values.shape}", _forms(n, d))
    return _beside(values, beside, table.index)


def _beside(values: np.ndarray, beside: RowsBeside, index: Any) -> np.ndarray:
    """Values (n, ...) in the order of the rows."""
    order = beside.order("noise", index)
    return values if order is None else values[order]


def _one_axis(values: np.ndarray, table: Table, beside: RowsBeside, feature_names: Sequence[str]) -> np.ndarray:
    n, d = beside.n, len(feature_names)
    if d == 1 and len(values) == n:
        return _beside(values[:, None], beside, table.index)
    if len(values) != d:
        raise InputError("noise", f"has shape {values.shape}", _forms(n, d))
    if table.obs_names is not None and d > 1:  # a Series such as table.std() carries the names in its index
        values = values[_ordered(table.index, feature_names, "labels")]
    return np.tile(values, (n, 1))


def _from_one_dimension(array: Any, beside: RowsBeside, feature_names: Sequence[str]) -> np.ndarray:
    """A DataArray with a standard deviation for each feature, or each row; its dimension may say which."""
    d, (name,) = len(feature_names), array.dims
    by_row = name == beside.rows or says_rows(name)
    if by_row and d > 1:
        raise InputError(
            "noise",
            f"has the dimension {name!r} alone, that of rows, and there are {d} features",
            _forms(beside.n, d),
        )
    by_feature = not by_row and (name == beside.columns or says_columns(name))
    table = read(array.rename({name: "dim_0"}), "noise", beside)
    values = to_float64(table.blocks, table.feature_names, table.obs_names, "noise")[:, 0]
    if by_feature and d == 1:
        if len(values) != 1:
            raise InputError("noise", f"has shape {values.shape}", _forms(beside.n, d))
        return np.tile(values, (beside.n, 1))
    return _one_axis(values, table, beside, feature_names)


def _from_three_dimensions(array: Any, beside: RowsBeside, feature_names: Sequence[str]) -> np.ndarray:
    """A DataArray of covariances, its rows told by names of dimensions, its columns by coordinates."""
    rows = [name for name in array.dims if name == beside.rows] or [name for name in array.dims if says_rows(name)]
    first = rows[0] if len(rows) == 1 else array.dims[0]
    array = array.transpose(first, ...)
    for name in array.dims[1:]:
        array = _by_names(array, name, feature_names)
    n, d = beside.n, len(feature_names)
    values = _covariances(array.to_numpy(), n, d, feature_names)
    return _beside(values, beside, array.indexes.get(first)) if array.shape[0] == n else values


def _labelled_covariance(array: Any, feature_names: Sequence[str]) -> np.ndarray | None:
    """A matrix (d, d) of a DataFrame or DataArray whose labels say that both axes are those of features."""
    d = len(feature_names)
    if getattr(array, "shape", None) != (d, d):
        return None
    # Numbers as names of features are those of rows as well.
    telling = not _positions(feature_names)
    if hasattr(array, "dims"):
        named = [telling and name in array.indexes and _same(array.indexes[name], feature_names) for name in array.dims]
        if not all(named) and not all(says_columns(name) for name in array.dims):
            return None
        for name in array.dims:
            array = _by_names(array, name, feature_names)
        return array.to_numpy()
    index: Any = getattr(array, "index", None)
    columns: Any = getattr(array, "columns", None)
    if (
        not telling
        or not hasattr(index, "nlevels")
        or not (_same(index, feature_names) and _same(columns, feature_names))
    ):
        return None
    rows, places = _ordered(index, feature_names, "labels"), _ordered(columns, feature_names, "columns")
    return array.to_numpy()[np.ix_(rows, places)]


def _by_names(array: Any, dimension: Any, feature_names: Sequence[str]) -> Any:
    """A DataArray with one dimension in the order of the features, if it has names along it."""
    if dimension not in array.indexes:
        return array
    names = [label_text(name) for name in array.indexes[dimension]]
    if _positions(names) and sorted(names) != sorted(feature_names):
        return array
    return array.isel({dimension: _ordered(names, feature_names, "labels")})


def _same(names: Any, feature_names: Sequence[str]) -> bool:
    return sorted(label_text(name) for name in names) == sorted(feature_names)


def _covariances(array: np.ndarray, n: int, d: int, feature_names: Sequence[str]) -> np.ndarray:
    if array.shape not in ((1, d, d), (n, d, d)):
        raise InputError("noise", f"has shape {array.shape}", _forms(n, d))
    table = read(array.reshape(len(array), d * d), "noise")
    pairs = [f"{one}, {other}" for one in feature_names for other in feature_names]
    return np.broadcast_to(to_float64(table.blocks, pairs, None, "noise").reshape(-1, d, d), (n, d, d))


def _numbers(values: list[Any]) -> np.ndarray:
    """Doubles from numbers of any kind."""
    column = np.empty((len(values), 1), dtype=object)
    column[:, 0] = [value.item() if isinstance(value, np.ndarray) else value for value in values]
    return to_float64([column], ["noise"], None, "noise")[:, 0]


def _is_number(value: object) -> bool:
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        return value.ndim == 0 and value.dtype.kind in "iuf"
    if isinstance(value, (bool, np.timedelta64)):  # numpy registers timedelta64 as an integer
        return False
    return isinstance(value, (numbers.Real, Decimal))


def _positions(names: Sequence[str]) -> bool:
    """Whether names of columns say no more than their places."""
    return any(list(names) == [f"{start}{j}" for j in range(len(names))] for start in ("", "x"))


def _ordered(labels: Iterable[Any], feature_names: Sequence[str], what: str) -> list[int]:
    """Where each feature stands among the given names."""
    given = [label_text(label) for label in labels]
    if sorted(given) != sorted(feature_names):
        raise InputError(
            "noise",
            f"has the {what} {listed(given)}, the values have {describe_columns(feature_names)}",
            "Rename them to the names of the values (in any order), or give an array without names.",
        )
    return [given.index(name) for name in feature_names]


def _forms(n: int, d: int) -> str:
    each = f"({n},) or ({n}, 1)" if d == 1 else f"({d},) or ({n}, {d})"
    return (
        "Give standard deviations in the units of the values, as a number or with shape "
        f"{each}, or covariances with shape (1, {d}, {d}) or ({n}, {d}, {d})."
    )
