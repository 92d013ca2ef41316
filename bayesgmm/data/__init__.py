"""Measurements in any container, read once into validated double-precision arrays with names."""

from bayesgmm.data._align import RowsBeside, read_labels, read_matrix, read_numbers
from bayesgmm.data._as_data import as_data
from bayesgmm.data._data import Data
from bayesgmm.data._rows import group_numbers, rows_in_units

__all__ = [
    "Data",
    "RowsBeside",
    "as_data",
    "group_numbers",
    "read_labels",
    "read_matrix",
    "read_numbers",
    "rows_in_units",
]
