"""Labels of features that come with numbers: by which a declaration finds the columns of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm._words import listed


def labels_of(value: Any, argument: str, n_axes: int) -> tuple[str, ...] | None:
    """Labels of the last axis of a Series, table or DataArray; None where it has none, or positions only.

    With `n_axes` 2 the axis before it stands for the same features.
    """
    axes = _axes(value)
    if not axes or axes[-1] is None:
        return None
    last = tuple(map(str, axes[-1]))
    if n_axes == 2 and len(axes) > 1 and axes[-2] is not None and tuple(map(str, axes[-2])) != last:
        rows = listed([str(each) for each in axes[-2]])
        raise InputError(argument, f"has the rows {rows}, and the columns {listed(last)}", "Give both in one order")
    return last


def _axes(value: Any) -> list[Any]:
    """Labels of each axis, None for an axis without any."""
    if hasattr(value, "dims") and hasattr(value, "indexes"):  # xarray
        return [value.indexes.get(dim) for dim in value.dims]
    if hasattr(value, "iloc"):  # pandas
        return [None if type(axis).__name__ == "RangeIndex" else axis for axis in value.axes]
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):  # polars and its like have no labels of rows
        return [None, list(value.columns)]
    return []


def order_of(labels: tuple[str, ...], names: tuple[str, ...], argument: str) -> list[int]:
    """The place of each column among the labels.

    Raises
    ------
    InputError
        If the labels are not those of the columns, each once.
    """
    if len(set(labels)) < len(labels) or set(labels) != set(names):
        raise InputError(
            argument,
            f"is labelled {listed(labels)}, and the data have {listed(names)}",
            "Give the labels of the columns, or numbers without labels in the order of the columns",
        )
    return [labels.index(name) for name in names]


def in_order(numbers: Any, order: list[int], n_axes: int) -> Any:
    """Numbers with their features, the last axes, in another order."""
    array = np.asarray(numbers)
    for axis in range(array.ndim - min(n_axes, array.ndim), array.ndim):
        array = np.take(array, order, axis=axis)
    return array
