"""Which dimension of an xarray object holds the rows: told by names, never by place alone where they are names."""

from __future__ import annotations

import re
from typing import Any

from bayesgmm._errors import InputError

# Singular and in lower case. These words say what a dimension is to a statistician.
_ROWS = frozenset(("obs", "observation", "row", "record"))
_COLUMNS = frozenset(("feature", "feat", "variable", "var", "column", "col"))
# These are rows, or columns, as a rule only: genes may be what is clustered.
_FOR_ROWS = """
sample case unit index indice idx id item instance individual subject patient person people participant respondent
student specimen animal plant tree cell event droplet particle spot well time date day hour minute second month year
datetime timestamp draw trial replicate repeat point object star galaxy source site location pixel voxel n i bin
"""
_FOR_COLUMNS = """
field attribute attr channel marker gene transcript protein peptide metabolite trait band probe assay analyte property
quantity predictor covariate regressor question parameter param sensor element p d j
"""
_OFTEN_ROWS, _OFTEN_COLUMNS = frozenset(_FOR_ROWS.split()), frozenset(_FOR_COLUMNS.split())
# The two ends of bins.
_ENDS = frozenset(("bound", "bnd", "edge", "limit", "side", "end"))
# What xarray calls dimensions that nobody named.
_UNNAMED = re.compile(r"dim_\d+")


def says_rows(name: object) -> bool:
    """Whether a dimension is called what rows are called, for sure or as a rule."""
    return _word(name) in _ROWS | _OFTEN_ROWS


def says_columns(name: object) -> bool:
    """Whether a dimension is called what columns are called, for sure or as a rule."""
    return _word(name) in _COLUMNS | _OFTEN_COLUMNS


def rows_last(array: Any, argument: str, rows: object = None, columns: object = None) -> bool:
    """Whether the rows of a two-dimensional DataArray are its last dimension.

    Parameters
    ----------
    array : DataArray of two dimensions
    argument : str
        What messages call it.
    rows, columns : hashable, optional
        Names of the dimensions of the values beside which it is put.

    Raises
    ------
    InputError
        If names of dimensions speak against the first one being the rows without saying so for sure, or say nothing
        and there are no more rows than columns.
    """
    first, last = array.dims
    if _is_name(rows) and rows in array.dims:
        return last == rows
    if _is_name(columns) and columns in array.dims:
        return first == columns
    words = [_word(first), _word(last)]
    sure = [(word in _ROWS, word in _COLUMNS or word in _ENDS) for word in words]
    if sure[0] != sure[1]:
        return sure[0][1] or sure[1][0]
    likely = [(word in _OFTEN_ROWS, word in _OFTEN_COLUMNS) for word in words]
    in_order = likely[0] != likely[1] and not (likely[0][1] or likely[1][0])
    unnamed = not _is_name(first) and not _is_name(last)
    if in_order or unnamed:
        return False
    if likely[0] == likely[1] and (_names_columns(array) or array.shape[0] > array.shape[1]):
        return False
    raise InputError(
        argument,
        f"has the dimensions {first!r} and {last!r} of sizes {array.shape}, whose names do not say which are the rows",
        f"Call the rows 'obs', {argument}.rename({{{first!r}: 'obs'}}), or pass {argument}.to_numpy(), rows first.",
    )


def refuse_columns(array: Any, argument: str, rows: object = None, columns: object = None) -> None:
    """Raise if the only dimension of a DataArray is that of columns, where one entry for each row is wanted."""
    (name,) = array.dims
    if name != rows and (_word(name) in _COLUMNS or (columns is not None and name == columns)):
        raise InputError(
            argument,
            f"has the dimension {name!r}, that of columns",
            f"Give one entry for each row, with a dimension such as 'obs', or pass {argument}.to_numpy().",
        )


def _is_name(dimension: object) -> bool:
    return dimension is not None and not _UNNAMED.fullmatch(str(dimension))


def _names_columns(array: Any) -> bool:
    """Whether texts name the entries of the last dimension and of that alone."""
    named = [name in array.indexes and array.indexes[name].inferred_type == "string" for name in array.dims]
    return named == [False, True]


def _word(name: object) -> str:
    """The singular of a name without what tells it from others: "n_obs", "Samples", "feature_bis" and "cell2"."""
    word = re.sub(r"^(n|num|number|nr)_", "", str(name).lower().strip())
    word = re.sub(r"[_\s\-]*(bis|prime|name|names|id|ids|dim|axis|\d+)$", "", word) or word
    known = _ROWS | _COLUMNS | _OFTEN_ROWS | _OFTEN_COLUMNS | _ENDS
    if word in known:
        return word
    for ending, singular in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(ending) and (short := word.removesuffix(ending) + singular) in known:
            return short
    return word
