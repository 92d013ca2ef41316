"""Measurements in any container, read once into validated double-precision arrays with names."""

from bayesgmm.data._as_data import as_data
from bayesgmm.data._data import Data

__all__ = ["Data", "as_data"]
