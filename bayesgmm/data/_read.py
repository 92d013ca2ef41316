"""Any container of measurements becomes blocks of columns with names; no container's package is imported for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm._words import listed
from bayesgmm.data._convert import check_kinds, if_loaded
from bayesgmm.data._dimensions import refuse_columns, rows_last
from bayesgmm.data._labels import describe_columns, index_labels, label_text
from bayesgmm.data._source import LIBRARIES, NO_SOURCE, Source

if TYPE_CHECKING:
    from bayesgmm.data._align import RowsBeside

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
    index : pandas-like Index or None
        The labels of rows as the container has them; None where it has none.
    rows, columns : hashable, optional
        Names of the dimensions of a DataArray.
    axes : int
        1 for a single column that is no table.
    named : bool
        Whether the columns have names of their own.
    source : Source
    """

    blocks: list[np.ndarray]
    feature_names: list[str]
    obs_names: np.ndarray | None = None
    index: Any = None
    rows: Any = None
    columns: Any = None
    axes: int = 2
    named: bool = True
    source: Source = NO_SOURCE


def read(values: Any, argument: str = "values", beside: RowsBeside | None = None, *, numeric: bool = True) -> Table:
    """Read one container; `argument` is what messages call it.

    Parameters
    ----------
    values : any container that `as_data` takes
    argument : str
    beside : RowsBeside, optional
        What it is put beside: says which dimension of a DataArray is which.
    numeric : bool
        Whether columns of a table that are not numbers are errors.

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
    xarray = if_loaded("xarray")
    if xarray is not None and isinstance(values, xarray.Variable):
        values = xarray.DataArray(values)
    if xarray is not None and isinstance(values, xarray.DataArray):
        return _from_dataarray(values, argument, beside)
    if xarray is not None and isinstance(values, xarray.Dataset):
        return _from_dataset(values, argument, beside, numeric)
    if isinstance(values, Mapping):
        return _from_columns(values, argument, beside, numeric)
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes, bytearray)):
        return _from_array(sequence_to_array(values, argument), argument)
    pyarrow = if_loaded("pyarrow")
    if pyarrow is not None and isinstance(values, pyarrow.Array):  # numpy would turn missing integers into floats
        values = pyarrow.chunked_array([values])
    if values is not None and not isinstance(values, (str, bytes, bytearray, int, float, complex)):
        table = _from_dataframe(values, argument, numeric)
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
            f"got a structured array with the fields {listed(array.dtype.names)}",
            "Pass a dict of its columns: {name: values[name] for name in values.dtype.names}.",
        )
    if array.ndim not in (1, 2):
        raise InputError(
            argument,
            f"the array has {array.ndim} dimensions, shape {array.shape}",
            "Reshape it to (n_obs, n_features), or to (n_obs,) for one feature.",
        )
    array = unmasked(array)
    if array.ndim == 1:
        return Table(blocks=[np.asarray(array)[:, None]], feature_names=["x"], axes=1, named=False)
    return Table(blocks=[np.asarray(array)], feature_names=[f"x{j}" for j in range(array.shape[1])], named=False)


def unmasked(array: np.ndarray) -> np.ndarray:
    """The plain array, with None where entries are masked."""
    if not isinstance(array, np.ma.MaskedArray):
        return array
    mask, array = np.ma.getmaskarray(array), np.ma.getdata(array)
    if mask.any():
        array = array.astype(object)
        array[mask] = None
    return array


def sequence_to_array(rows: Sequence[Any], argument: str) -> np.ndarray:
    """An array of objects from a list; its entries may be lists or arrays, also masked ones."""
    for i, row in enumerate(rows):
        # numpy would put such entries side by side by position, whatever their labels say.
        if getattr(row, "ndim", 0) and (hasattr(row, "dims") or has_index(row)):
            raise InputError(
                argument,
                f"entry {i} of the {type(rows).__name__} is a {type(row).__name__}, whose labels a list does not keep",
                "Pass one table of them, such as pandas.DataFrame(list_of_series), or arrays without labels.",
            )
    rows = [unmasked(row) if isinstance(row, np.ma.MaskedArray) and row.ndim else row for row in rows]
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


def has_index(table: Any) -> bool:
    """Whether something has row labels of pandas."""
    return hasattr(getattr(table, "index", None), "nlevels")


def _from_dataframe(values: Any, argument: str, numeric: bool) -> Table | None:
    """Read any eager or lazy DataFrame or Series that narwhals knows; None for anything else."""
    import narwhals as nw

    try:
        frame: Any = nw.from_native(values, pass_through=True, allow_series=True)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        axes, named = 2, True
        if isinstance(frame, nw.Series):
            axes, named = 1, frame.name not in (None, "")
            series, names = [frame], [label_text(frame.name) if named else "x"]
        elif isinstance(frame, nw.DataFrame):
            series, names = list(frame.iter_columns()), [label_text(name) for name in frame.columns]
        else:
            return None
    except nw.exceptions.DuplicateError:
        # Tables of pandas and of Arrow may have them; the columns of an Arrow table are not their names.
        columns = getattr(values, "column_names", None) or values.columns
        twice = [label_text(name) for name, n in Counter(columns).items() if n > 1]
        raise InputError(
            argument,
            f"the name of {describe_columns(twice)} occurs more than once",
            "Rename or drop columns so that all names differ.",
        ) from None

    if numeric:
        # By the table's own types, since numpy shows the codes of categories and the objects of strings.
        dtypes = [column.dtype for column in series]
        check_kinds(names, [_kind(column) for column in series], dtypes, argument)
    blocks = [_column(column)[:, None] for column in series]
    if not blocks:
        blocks = [np.empty((len(frame), 0))]
    library, index = frame.implementation.value, nw.maybe_get_index(frame)
    source = Source(library=library if library in LIBRARIES else "pandas", index=index)
    return Table(
        blocks=blocks,
        feature_names=names,
        obs_names=index_labels(index),
        index=index,
        axes=axes,
        named=named,
        source=source,
    )


def _column(series: Any) -> np.ndarray:
    """The entries (n,) of a narwhals Series, different ones as different ones."""
    import narwhals as nw

    wide = (nw.Int128, nw.UInt128, nw.Decimal)  # which numpy does not have
    if isinstance(series.dtype, wide) or (series.dtype.is_integer() and series.null_count()):
        # numpy makes floats of them, which have fewer digits.
        array = np.empty(len(series), dtype=object)
        array[:] = series.to_list()
        return array
    return series.to_numpy()


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


def _from_columns(
    columns: Mapping[Any, Any], argument: str, beside: RowsBeside | None = None, numeric: bool = True
) -> Table:
    """Read a mapping of names to one-dimensional columns; row labels are kept where all columns have the same."""
    if not columns:
        raise InputError(argument, "there are no columns in it", _ACCEPTED)
    blocks, names, tables = [], [], []
    for key, column in columns.items():
        name = f"{argument}[{key!r}]"
        table = read(column, name, beside, numeric=numeric)
        shape = (len(table.blocks[0]), len(table.feature_names))
        if shape[1] != 1:
            raise InputError(name, f"has the shape {shape}", "Give one-dimensional columns of equal length.")
        if blocks and shape[0] != len(blocks[0]):
            problem = f"has {shape[0]} rows, but column {names[0]!r} has {len(blocks[0])}"
            raise InputError(name, problem, "Give one-dimensional columns of equal length.")
        # Columns are put side by side by position, which is wrong where the labels say something else.
        if tables and not _same_labels(tables[0].obs_names, table.obs_names):
            raise InputError(
                name,
                f"has other row labels (an index or coordinate) than column {names[0]!r}",
                "Align the columns first, for example with pandas.DataFrame(values), or pass arrays without labels.",
            )
        blocks.extend(table.blocks)
        names.append(label_text(key))
        tables.append(table)
    index = next((table.index for table in tables if table.index is not None), None)
    return Table(
        blocks=blocks,
        feature_names=names,
        obs_names=tables[0].obs_names,
        index=index,
        rows=_common_rows(tables),
        source=tables[0].source,
    )


def _common_rows(tables: Sequence[Table]) -> Any:
    """The name of the dimension that all columns have, if there is one."""
    names = {table.rows for table in tables}
    return names.pop() if len(names) == 1 else None


def _same_labels(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


def _from_dataarray(array: Any, argument: str, beside: RowsBeside | None) -> Table:
    known = (beside.rows, beside.columns) if beside is not None else ()
    if array.ndim == 2 and rows_last(array, argument, *known):
        array = array.transpose()
    elif array.ndim == 1:
        refuse_columns(array, argument, *known)
    table = _from_array(array.to_numpy(), argument)
    names, named = table.feature_names, False
    if array.ndim == 1 and array.name is not None:
        names, named = [label_text(array.name)], True
    elif array.ndim == 2 and array.dims[1] in array.indexes:
        names, named = [label_text(name) for name in array.indexes[array.dims[1]]], True
    index = array.indexes.get(array.dims[0])
    return Table(
        blocks=table.blocks,
        feature_names=names,
        obs_names=index_labels(index),
        index=index,
        rows=array.dims[0],
        columns=array.dims[1] if array.ndim == 2 else None,
        axes=table.axes,
        named=named,
        source=Source(index=index),
    )


def _from_dataset(dataset: Any, argument: str, beside: RowsBeside | None, numeric: bool) -> Table:
    dims = {name: variable.dims for name, variable in dataset.data_vars.items()}
    if len(set(dims.values())) > 1 or any(len(d) != 1 for d in dims.values()):
        raise InputError(
            argument,
            f"the variables of the Dataset do not share one dimension: {listed(list(dims.items()), show=_with_dims)}",
            "Pass one variable, values['name'], or variables of one and the same dimension, values[['a', 'b']].",
        )
    return _from_columns(dataset.data_vars, argument, beside, numeric)


def _with_dims(item: Any) -> str:
    name, dims = item
    return f"{name!r} has {' x '.join(map(str, dims)) or 'none'}"
