"""Bins and their counts in the forms that users have, turned into edges with the points that stand for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm.data._align import RowsBeside
from bayesgmm.data._convert import to_float64
from bayesgmm.data._labels import index_labels
from bayesgmm.data._observation import check_edges
from bayesgmm.data._read import read

# Pairs made as centre -/+ half a width miss each other by rounding, which is no overlap that anybody meant.
_TOUCHING = 1e-9
# Columns with these names stand in the other order.
_TURNED = (("upper", "lower"), ("right", "left"), ("high", "low"), ("end", "start"), ("max", "min"))


def read_bins(bins: Any, counts: Any) -> tuple[np.ndarray, Any, str, RowsBeside]:
    """Bins (M, 2), their counts as given (or as the Series of counts says), a name, and what stands beside them."""
    name = "x"
    if isinstance(bins, Mapping) and len(bins) == 1:
        ((name, bins),) = bins.items()
    index = getattr(bins, "index", None)
    # An index of intervals, also as the categories that pandas.cut makes.
    if hasattr(getattr(index, "categories", index), "left"):
        if counts is not None:
            raise InputError(
                "counts", "given, but bins is a Series of counts itself", "Pass the Series alone, or bins=series.index."
            )
        bins, counts = index, bins
    named = getattr(bins, "name", None)
    edges, beside = _edges(bins)
    return edges, counts, str(named or name), beside


def bin_centres(edges: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Points (M, 1) that stand for bins (M, 2): the centres.

    The centre of a bin with an open end is that of a bin as wide as its neighbour. Each group (M,) has bins of its own.
    """
    labels = np.zeros(len(edges)) if groups is None else groups
    check_edges(edges, labels)
    centres = np.empty((len(edges), 1))
    for group in np.unique(labels):
        own = labels == group
        lower, upper = edges[own].T.copy()
        if np.isinf(lower[0]):
            lower[0] = upper[0] - (upper[1] - lower[1])
        if np.isinf(upper[-1]):
            upper[-1] = lower[-1] + (upper[-2] - lower[-2])
        centres[own, 0] = lower + (upper - lower) / 2
    return centres


def _edges(bins: Any) -> tuple[np.ndarray, RowsBeside]:
    """Edges (M, 2), and the labels of the bins."""
    remedy = "Give (M + 1,) increasing edges, or (M, 2) lower and upper edges; -inf and inf mean that an end is open."
    index = None
    if not isinstance(bins, (str, bytes, Mapping)) and np.iterable(bins):
        listed = list(bins)
        if listed and all(hasattr(entry, "left") and hasattr(entry, "right") for entry in listed):
            index = bins if hasattr(bins, "nlevels") else None
            bins = np.array([(entry.left, entry.right) for entry in listed])
    table = read(bins, "bins")
    n, width = len(table.blocks[0]), len(table.feature_names)
    index = table.index if index is None else index
    if n == 0 or width not in (1, 2) or (n, width) == (1, 1):
        raise InputError("bins", f"has shape {(n,) if width == 1 else (n, width)}", remedy)
    array = to_float64(table.blocks, table.feature_names, None, "bins")
    if width == 1:
        flat = array[:, 0]
        return np.column_stack([flat[:-1], flat[1:]]), RowsBeside(n=n - 1)
    lower, upper = array.T.copy() if tuple(table.feature_names) not in _TURNED else array.T[::-1].copy()
    with np.errstate(invalid="ignore"):  # infinite edges in the wrong places, which the checks name
        miss = upper[:-1] - lower[1:]
        width = np.minimum((upper - lower)[1:], (upper - lower)[:-1])
        touching = (miss > 0) & np.isfinite(width) & (miss <= _TOUCHING * width)
    lower[1:][touching] = upper[:-1][touching]
    beside = RowsBeside(n=n, obs_names=index_labels(index), index=index, rows=table.rows, columns=table.columns)
    return np.column_stack([lower, upper]), beside
