"""What stands beside the rows (counts, weights, groups, errors): aligned by labels, or refused."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm.data._convert import to_float64
from bayesgmm.data._data import Data
from bayesgmm.data._labels import describe_row, index_labels, is_missing
from bayesgmm.data._observation import check_groups
from bayesgmm.data._read import Table, read


@dataclass(frozen=True, kw_only=True)
class RowsBeside:
    """The rows beside which an argument is put.

    Parameters
    ----------
    n : int
        How many there are.
    obs_names : ndarray, shape (n,), or None
        Labels as they are stored; None means the positions.
    index : pandas-like Index or None
        Labels as they were given; None where the container had none.
    known : bool
        Whether it is known if the container had labels; not so for `Data`, whose positions may stand for none.
    rows, columns : hashable, optional
        Names of the dimensions of a DataArray.
    """

    n: int
    obs_names: np.ndarray | None = None
    index: Any = None
    known: bool = True
    rows: Any = None
    columns: Any = None

    @classmethod
    def of(cls, table: Table) -> RowsBeside:
        """Those of a table."""
        return cls(
            n=len(table.blocks[0]), obs_names=table.obs_names, index=table.index, rows=table.rows, columns=table.columns
        )

    @classmethod
    def of_values(cls, values: Any) -> RowsBeside:
        """Those of anything that `as_data` takes."""
        if isinstance(values, Data):
            return cls(n=values.n_obs, obs_names=values.obs_names, known=False)
        return cls.of(read(values, numeric=False))

    def order(self, argument: str, index: Any) -> np.ndarray | None:
        """Where the entry for each row stands among entries with this index (n,); None where they stand in order.

        Entries without labels, and those for rows without labels, are taken in their order; so are entries with labels
        next to plain positions and the other way round, unless both have labels in common.

        Raises
        ------
        InputError
            If the labels are not the same ones, each once.
        """
        if index is None or (self.known and self.index is None):
            return None
        if self.index is not None and self.index.equals(index):
            return None
        theirs = index_labels(index)
        if theirs is None and self.obs_names is None:
            return None
        if self.index is not None:
            own, given = _keys(self.index), _keys(index)
        else:
            own = _texts(self.obs_names, self.n)
            given = _texts(theirs, self.n)
        if own == given:
            return None
        common = set(own) & set(given)
        if not common and (theirs is None or self.obs_names is None):
            return None
        row = next(i for i, pair in enumerate(zip(own, given, strict=True)) if pair[0] != pair[1])
        sure = self.known or self.obs_names is not None
        if sure and len(common) == len(own) and len(set(given)) == len(given):
            places = {label: place for place, label in enumerate(given)}
            return np.array([places[label] for label in own], dtype=np.intp)
        raise InputError(
            argument,
            f"has the label {given[row]!s:.80} where the values have {own[row]!s:.80}, in "
            f"{describe_row(row, self.obs_names)}, and their labels are not the same ones, each once",
            f"Align them first, {argument}.loc[values.index], or pass {argument}.to_numpy(), without labels.",
        )


def read_column(argument: str, given: Any, beside: RowsBeside, *, numeric: bool = True) -> np.ndarray:
    """One entry for each row (n,), in the order of the rows and in its own type; missing ones are None or NaN.

    Parameters
    ----------
    argument : str
    given : array_like, Series, DataArray or a table with one column
    beside : RowsBeside
    numeric : bool
        Whether columns of a table that are not numbers are errors.

    Raises
    ------
    InputError
        If there is not one entry for each row, or its labels are not those of the rows.
    """
    each = f"Give one {'number' if numeric else 'label'} for each of the {beside.n} rows."
    if isinstance(given, (str, bytes)):
        raise InputError(argument, f"got {reprlib.repr(given)}", each)
    if isinstance(given, (np.ndarray, np.generic, int, float)) and np.ndim(given) not in (1, 2):
        raise InputError(argument, f"has shape {np.shape(given)}", each)
    if isinstance(given, Sequence) and not numeric:  # a label may be a tuple
        listed = np.empty(len(given), dtype=object)
        for row, label in enumerate(given):
            listed[row] = label
        given = listed
    table = read(given, argument, beside, numeric=numeric)
    column = table.blocks[0]
    shape = (len(column),) if table.axes == 1 else (len(column), len(table.feature_names))
    # The one column of a table is meant; rows of one entry in an array are not.
    if shape != (beside.n,) and not (table.named and shape == (beside.n, 1)):
        raise InputError(argument, f"has shape {shape}", each)
    order = beside.order(argument, table.index)
    return column[:, 0] if order is None else column[order, 0]


def _keys(index: Any) -> list[Any]:
    """Labels that compare as the user's do; missing ones, which differ from themselves, as text."""
    return [str(label) if is_missing(label) else label for label in index.tolist()]


def _texts(labels: np.ndarray | None, n: int) -> Sequence[str]:
    return (np.arange(n) if labels is None else labels).astype(str).tolist()


def read_numbers(argument: str, given: Any, beside: RowsBeside) -> np.ndarray:
    """One number for each row (n,) in the order of the rows, as `read_column`; NaN where it is missing."""
    column = read_column(argument, given, beside)
    return to_float64([column[:, None]], [argument], beside.obs_names, argument)[:, 0]


def read_labels(argument: str, given: Any, beside: RowsBeside) -> np.ndarray:
    """One label for each row (n,) in the order of the rows; equal ones are equal and different ones differ."""
    return check_groups(read_column(argument, given, beside, numeric=False), beside.n, beside.obs_names, argument)


def read_matrix(argument: str, given: Any, names: Sequence[str]) -> tuple[np.ndarray, RowsBeside]:
    """Numbers (n, d) with the columns in the order of `names`, NaN where they are missing, and their rows.

    Columns that have names of their own are those of `names`, in any order; others are taken in their order.
    """
    table = read(given, argument)
    values = to_float64(table.blocks, table.feature_names, table.obs_names, argument)
    if table.named and values.shape[1] == len(names) and sorted(table.feature_names) == sorted(names):
        values = np.ascontiguousarray(values[:, [table.feature_names.index(name) for name in names]])
    elif table.named or values.shape[1] != len(names):
        raise InputError(
            argument,
            f"has the columns {', '.join(table.feature_names[:5])}" if table.named else f"has the shape {values.shape}",
            f"Give the columns {', '.join(names[:5])}, or an array with {len(names)} columns.",
        )
    return values, RowsBeside.of(table)
