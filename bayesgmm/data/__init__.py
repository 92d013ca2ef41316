"""Measurements in any container, read once into validated double-precision arrays with names."""

from bayesgmm.data._align import RowsBeside, read_labels, read_matrix, read_numbers
from bayesgmm.data._as_data import as_data
from bayesgmm.data._columns import named_columns
from bayesgmm.data._data import Data
from bayesgmm.data._labels import describe_columns
from bayesgmm.data._rows import group_numbers, rows_in_units
from bayesgmm.data._source import Source

__all__ = [
    "Data",
    "RowsBeside",
    "Source",
    "as_data",
    "describe_columns",
    "group_numbers",
    "named_columns",
    "read_labels",
    "read_matrix",
    "read_numbers",
    "rows_in_units",
]
