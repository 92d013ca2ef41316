"""Checks that values can be used in double precision: not infinite, neither too large, too small nor too close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm.data._labels import describe_columns, describe_row

# Beyond these a variance (a squared deviation) leaves the range of normal doubles, 2.2e-308 to 1.8e308.
LARGEST_MAGNITUDE = 1e150
SMALLEST_SPREAD = 1e-150
# A spread below about 1000 units in the last place of the values: rounding would be visible in every variance.
SMALLEST_RELATIVE_SPREAD = 1e-13

RESCALE = "Rescale by changing the units, for example divide by the largest magnitude."
SUBTRACT_FIRST = "Subtract an offset (for example the first value) before the numbers become floats."


def check_values(
    values: np.ndarray, feature_names: Sequence[str], obs_names: np.ndarray | None, argument: str = "values"
) -> None:
    """Raise `InputError` for the first thing that keeps the values from being used.

    Parameters
    ----------
    values : ndarray of float64, shape (n_obs, n_features), at least one row and column
    feature_names : sequence of str, length n_features
    obs_names : ndarray, shape (n_obs,), or None
    argument : str
        What messages call the values.
    """
    # Minima and maxima show every fault without an array of the size of the data: infinities win. Missing entries (NaN)
    # are passed over; a column may have nothing else.
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    if np.isinf(low).any() or np.isinf(high).any():
        _raise_infinite(values, feature_names, obs_names)

    magnitude = np.maximum(np.abs(low), np.abs(high))
    large = np.flatnonzero(magnitude > LARGEST_MAGNITUDE).tolist()
    if large:
        raise InputError(
            argument,
            f"the largest magnitude in {describe_columns(*_picked(feature_names, large, magnitude))} is above "
            f"{LARGEST_MAGNITUDE:g}, where variances overflow double precision",
            RESCALE,
        )
    spread = high - low
    small = np.flatnonzero((spread > 0) & (spread < SMALLEST_SPREAD)).tolist()
    if small:
        raise InputError(
            argument,
            f"the range (maximum - minimum) of {describe_columns(*_picked(feature_names, small, spread))} is below "
            f"{SMALLEST_SPREAD:g}, where variances underflow double precision",
            "Rescale by changing the units, for example divide by the range.",
        )
    close = np.flatnonzero((spread > 0) & (spread < SMALLEST_RELATIVE_SPREAD * magnitude)).tolist()
    if close:
        first = close[0]
        raise InputError(
            argument,
            f"the values of {describe_columns([feature_names[j] for j in close])} differ by less than double precision "
            f"resolves: the first has magnitude {magnitude[first]:.3g} and range {spread[first]:.3g}",
            SUBTRACT_FIRST,
        )


def _picked(names: Sequence[str], columns: list[int], sizes: np.ndarray) -> tuple[list[str], list[str]]:
    return [names[j] for j in columns], [f"{sizes[j]:.3g}" for j in columns]


def _raise_infinite(values: np.ndarray, feature_names: Sequence[str], obs_names: np.ndarray | None) -> None:
    bad = np.isinf(values)
    counts = bad.sum(axis=0)
    columns = np.flatnonzero(counts).tolist()
    row = int(bad.any(axis=1).argmax())
    where = describe_columns([feature_names[j] for j in columns], [str(counts[j]) for j in columns])
    total = int(counts.sum())
    first = values[row, bad[row].argmax()]
    raise InputError(
        "values",
        f"{total} infinite {'value' if total == 1 else 'values'} in {where}, the first ({first}) "
        f"in {describe_row(row, obs_names)}",
        "Drop these rows, or correct what made them (a division by 0, log(0), a sentinel for off-scale readings).",
    )
