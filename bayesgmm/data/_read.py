"""Any container of measurements becomes blocks of columns with names; no container's package is imported for it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.data._convert import check_kinds
from bayesgmm.data._labels import index_labels, label_text

_ACCEPTED = (
    "Pass a numpy array or nested list of shape (n_obs, n_features), a DataFrame or Series, a dict of columns, "
    "or an xarray DataArray or Dataset."
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """What was read, before any conversion.

    Parameters
    ----------
    blocks : list of ndarray, each of shape (n_obs, width)
        The columns in their own types, side by side.
    feature_names : list of str
        One for each column of the blocks.
    obs_names : ndarray, shape (n_obs,), or None
    """

    blocks: list[np.ndarray]
    feature_names: list[str]
    obs_names: np.ndarray | None = None


def read(values: Any, argument: str = "values") -> Table:
    """Read one container; `argument` is what messages call it.

    Raises
    ------
    InputError
        If the container or its number of dimensions is not one that is read.
    """
    if isinstance(values, (np.ndarray, np.generic)):
        return _from_array(values if isinstance(values, np.ndarray) else np.asarray(values), argument)
    # Duck typing covers the sparse arrays of every package; some of them are also mappings.
    if callable(getattr(values, "todense", None)):
        raise InputError(
            argument,
            f"got a sparse {type(values).__name__} of shape {getattr(values, 'shape', None)}",
            "A Gaussian mixture has a density in every entry: pass values.toarray() (dense).",
        )
    xarray = sys.modules.get("xarray")  # an object of xarray cannot exist before the package was imported
    if xarray is not None and isinstance(values, xarray.DataArray):
        return _from_dataarray(values, argument)
    if xarray is not None and isinstance(values, xarray.Dataset):
        return _from_dataset(values, argument)
    if isinstance(values, Mapping):
        return _from_columns(values, argument)
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes, bytearray)):
        return _from_array(sequence_to_array(values, argument), argument)
    if values is not None and not isinstance(values, (str, bytes, bytearray, int, float, complex)):
        table = _from_dataframe(values, argument)
        if table is not None:
            return table
        # A stream of named columns also has __array__, which would lose the names.
        if hasattr(values, "__array__") and not hasattr(values, "__arrow_c_stream__"):
            return _from_array(np.asarray(values), argument)
    shown = " ".join(as_written(values).split())  # some representations have several lines
    raise InputError(argument, f"got {shown} of type {type(values).__name__}", _ACCEPTED)


def _from_array(array: np.ndarray, argument: str) -> Table:
    if array.dtype.names:
        raise InputError(
            argument,
            f"got a structured array with the fields {array.dtype.names}",
            "Pass a dict of its columns: {name: values[name] for name in values.dtype.names}.",
        )
    if array.ndim not in (1, 2):
        raise InputError(
            argument,
            f"the array has {array.ndim} dimensions, shape {array.shape}",
            "Reshape it to (n_obs, n_features), or to (n_obs,) for one feature.",
        )
    if isinstance(array, np.ma.MaskedArray):
        mask, array = np.ma.getmaskarray(array), np.ma.getdata(array)
        if mask.any():
            array = array.astype(object)
            array[mask] = None
    if array.ndim == 1:
        return Table(blocks=[np.asarray(array)[:, None]], feature_names=["x"])
    return Table(blocks=[np.asarray(array)], feature_names=[f"x{j}" for j in range(array.shape[1])])


def sequence_to_array(rows: Sequence[Any], argument: str) -> np.ndarray:
    # Objects keep every entry as it was written: numpy alone would turn [1.5, True] and [1.5, "2"] into one type.
    try:
        array = np.array(rows, dtype=object)
    except ValueError:
        array = None
    if array is not None and not (array.ndim == 1 and any(map(_is_row, array))):
        return array
    sizes = [f"{len(row)} entries" if _is_row(row) else "a single value" for row in rows]
    odd = next((i for i, size in enumerate(sizes) if size != sizes[0]), None)
    problem = "the rows have different shapes"
    if odd is not None:
        problem = f"the rows have different lengths: row 0 has {sizes[0]}, row {odd} has {sizes[odd]}"
    raise InputError(argument, problem, "Give every row the same number of values, one for each feature.")


def _is_row(entry: object) -> bool:
    if isinstance(entry, np.ndarray):
        return entry.ndim > 0
    return isinstance(entry, Sequence) and not isinstance(entry, (str, bytes, bytearray))


def _from_dataframe(values: Any, argument: str) -> Table | None:
    """Read any eager or lazy DataFrame or Series that narwhals knows; None for anything else."""
    import narwhals as nw

    try:
        frame: Any = nw.from_native(values, pass_through=True, allow_series=True)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        if isinstance(frame, nw.Series):
            series, names = [frame], ["x" if frame.name in (None, "") else label_text(frame.name)]
        elif isinstance(frame, nw.DataFrame):
            series, names = list(frame.iter_columns()), [label_text(name) for name in frame.columns]
        else:
            return None
    except nw.exceptions.DuplicateError as error:
        raise InputError(
            argument,
            "column names occur more than once: " + " ".join(str(error).split()),
            "Rename or drop columns so that all names differ.",
        ) from None

    # By the table's own types, since numpy shows the codes of categories and the objects of strings.
    dtypes = [column.dtype for column in series]
    check_kinds(names, [_kind(column) for column in series], dtypes, argument)
    wide = (nw.Int128, nw.UInt128)  # which numpy does not have
    blocks = [(c.cast(nw.Float64) if isinstance(c.dtype, wide) else c).to_numpy()[:, None] for c in series]
    if not blocks:
        blocks = [np.empty((len(frame), 0))]
    return Table(blocks=blocks, feature_names=names, obs_names=index_labels(nw.maybe_get_index(frame)))


def _kind(column: Any) -> str:
    """Return numpy's letter for the kind of a narwhals Series; what narwhals does not know is left to numpy."""
    import narwhals as nw

    dtype = column.dtype
    if dtype.is_numeric():
        return "f"
    # An object column of nothing but None is taken for text, although what is wrong with it is missing values.
    if isinstance(dtype, (nw.Object, nw.Unknown)) or column.null_count() == len(column) > 0:
        return "O"
    if isinstance(dtype, nw.Boolean):
        return "b"
    if isinstance(dtype, nw.Duration):
        return "m"
    return "M" if dtype.is_temporal() else "V"


def _from_columns(columns: Mapping[Any, Any], argument: str) -> Table:
    """Read a mapping of names to one-dimensional columns; row labels are kept where all columns have the same."""
    if not columns:
        raise InputError(argument, "there are no columns in it", _ACCEPTED)
    blocks, names, labels = [], [], []
    for key, column in columns.items():
        name = f"{argument}[{key!r}]"
        table = read(column, name)
        shape = (len(table.blocks[0]), len(table.feature_names))
        if shape[1] != 1:
            raise InputError(name, f"has the shape {shape}", "Give one-dimensional columns of equal length.")
        if blocks and shape[0] != len(blocks[0]):
            problem = f"has {shape[0]} rows, but column {names[0]!r} has {len(blocks[0])}"
            raise InputError(name, problem, "Give one-dimensional columns of equal length.")
        # Columns are put side by side by position, which is wrong where the labels say something else.
        if labels and not _same_labels(labels[0], table.obs_names):
            raise InputError(
                name,
                f"has other row labels (an index or coordinate) than column {names[0]!r}",
                "Align the columns first, for example with pandas.DataFrame(values), or pass arrays without labels.",
            )
        blocks.extend(table.blocks)
        names.append(label_text(key))
        labels.append(table.obs_names)
    return Table(blocks=blocks, feature_names=names, obs_names=labels[0])


def _same_labels(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


def _from_dataarray(array: Any, argument: str) -> Table:
    table = _from_array(array.to_numpy(), argument)
    names = table.feature_names
    if array.ndim == 1:
        names = names if array.name is None else [label_text(array.name)]
    elif array.dims[1] in array.indexes:
        names = [label_text(name) for name in array.indexes[array.dims[1]]]
    return Table(blocks=table.blocks, feature_names=names, obs_names=index_labels(array.indexes.get(array.dims[0])))


def _from_dataset(dataset: Any, argument: str) -> Table:
    dims = {name: variable.dims for name, variable in dataset.data_vars.items()}
    if len(set(dims.values())) > 1 or any(len(d) != 1 for d in dims.values()):
        raise InputError(
            argument,
            f"the variables of the Dataset do not share one dimension: {as_written(dims)}",
            "Pass one variable, values['name'], or variables of one and the same dimension, values[['a', 'b']].",
        )
    return _from_columns(dataset.data_vars, argument)
