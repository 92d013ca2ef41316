"""Columns of a table by name, before anything in it is converted: a column of text beside them does no harm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bayesgmm.data._convert import if_loaded
from bayesgmm.data._data import Data
from bayesgmm.data._labels import label_text

Picker = Callable[[list[int]], Any]


def named_columns(table: Any) -> tuple[list[str], Picker] | None:
    """Names of the columns of a container, and how to take some of them by number; None where columns have no names.

    Names are as `as_data` would spell them.
    """
    if isinstance(table, Data):
        return list(table.feature_names), table.with_columns
    xarray = if_loaded("xarray")
    if xarray is not None and isinstance(table, xarray.DataArray):
        return _of_dataarray(table)
    if xarray is not None and isinstance(table, xarray.Dataset):
        keys = list(table.data_vars)
        return [label_text(key) for key in keys], lambda chosen: table[[keys[j] for j in chosen]]
    if isinstance(table, Mapping):
        keys = list(table)
        return [label_text(key) for key in keys], lambda chosen: {keys[j]: table[keys[j]] for j in chosen}
    return _of_dataframe(table)


def _of_dataarray(array: Any) -> tuple[list[str], Picker] | None:
    if array.ndim != 2:
        return None
    # Rows may have labels too. `as_data` takes names from the second dimension, where there are some.
    for dim in reversed(array.dims):
        if dim in array.indexes:
            names = [label_text(name) for name in array.indexes[dim]]
            return names, lambda chosen, dim=dim: array.isel({dim: chosen})
    return None


def _of_dataframe(table: Any) -> tuple[list[str], Picker] | None:
    import narwhals as nw

    try:
        frame: Any = nw.from_native(table, pass_through=True, allow_series=False)
        if isinstance(frame, nw.LazyFrame):
            names = frame.collect_schema().names()
            return [label_text(name) for name in names], lambda chosen: frame.select(
                [names[j] for j in chosen]
            ).to_native()
        if not isinstance(frame, nw.DataFrame):
            return None
        columns = list(frame.columns)
    except nw.exceptions.DuplicateError:
        return None  # `as_data` says which names occur twice
    return [label_text(name) for name in columns], lambda chosen: frame[:, chosen].to_native()
