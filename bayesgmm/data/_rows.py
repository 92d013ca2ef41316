"""From data to what the passes see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesgmm.data._data import Data
from bayesgmm.numerics.rows import Rows, make_rows


def rows_in_units(data: Data, center: NDArray[np.float64], scale: NDArray[np.float64], *, counted: bool = True) -> Rows:
    """The rows with their errors and bins in units z = (x - center) / scale; one unit each unless `counted`."""
    noise, bins = data.noise, data.bins
    if noise is not None:
        noise = noise / scale if noise.ndim == 2 else noise / np.outer(scale, scale)
    if bins is not None:
        bins = (bins - center) / scale
    return make_rows((data.values - center) / scale, data.counts if counted else None, noise=noise, bins=bins)
