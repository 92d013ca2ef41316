"""From data to what the passes see."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm.data._data import Data
from bayesgmm.numerics.rows import Rows, make_rows


def rows_in_units(
    data: Data,
    center: NDArray[np.float64],
    scale: NDArray[np.float64],
    *,
    counted: bool = True,
    labels: NDArray[Any] | None = None,
) -> Rows:
    """The rows with their errors and bins in units z = (x - center) / scale; one unit each unless `counted`.

    Groups are numbered by their place among `labels`, all that there are in the data if left out.
    """
    noise, bins = data.noise, data.bins
    if noise is not None:
        noise = noise / scale if noise.ndim == 2 else noise / np.outer(scale, scale)
    if bins is not None:
        bins = (bins - center) / scale
    counts, groups = data.counts if counted else None, group_numbers(data, labels)
    z = (data.values - center) / scale
    return make_rows(z, counts, noise=noise, bins=bins, groups=groups, known=data.known_labels)


def group_numbers(data: Data, labels: NDArray[Any] | None = None) -> NDArray[np.intp] | None:
    """Number of the group of each row (N,): its place among the sorted `labels`, -1 where it is none of them."""
    if data.groups is None:
        return None
    known, groups = data.group_labels if labels is None else labels, data.groups
    if known.dtype.kind == groups.dtype.kind == "M":  # a file may give them back in another unit
        unit = np.promote_types(known.dtype, groups.dtype)
        known, groups = known.astype(unit).astype(np.int64), groups.astype(unit).astype(np.int64)
    places = {label: place for place, label in enumerate(known.tolist())}
    return np.array([places.get(label, -1) for label in groups.tolist()], dtype=np.intp)
