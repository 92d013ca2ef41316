"""The one form in which every other part of the package sees measurements."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm.data._check import check_counts, check_values
from bayesgmm.data._labels import are_positions, describe_columns, label_array

_SHOWN_NAMES = 6


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Data:
    """Validated measurements with the names of their rows and columns; built by `as_data`.

    Parameters
    ----------
    values : ndarray of float64, shape (n_obs, n_features)
        Measurements in the user's units; NaN where an entry is missing, never infinite. Stored C-contiguous and
        read-only, never shared with the caller.
    feature_names : tuple of str, length n_features
        Names of the columns, all different.
    obs_names : ndarray, shape (n_obs,), optional
        Labels of the rows (integers, float64, strings or datetime64, which netCDF can hold); repeats are allowed.
        None, also where the labels are 0, 1, ..., n_obs - 1, means the positions.
    counts : ndarray of float64, shape (n_obs,), optional
        How many units each row stands for; None means one.

    Raises
    ------
    InputError
        If shapes do not agree, names repeat, or the values cannot be used in double precision.

    Notes
    -----
    Every instance is checked when it is made, so no later layer checks values again. Instances compare and hash by
    identity.
    """

    values: np.ndarray
    feature_names: tuple[str, ...]
    obs_names: np.ndarray | None = None
    counts: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.values, np.ndarray) or self.values.dtype != np.float64 or self.values.ndim != 2:
            raise InputError(
                "Data.values", f"got {_describe(self.values)}, not a 2-D float64 array", "Build Data with as_data(...)."
            )
        if 0 in self.values.shape:
            raise InputError(
                "values",
                f"the shape {self.values.shape} holds no numbers",
                "Pass at least one row (observation) and one column (feature).",
            )
        names = (self.feature_names,) if isinstance(self.feature_names, str) else tuple(map(str, self.feature_names))
        if len(names) != self.values.shape[1]:
            raise InputError(
                "Data.feature_names",
                f"{len(names)} names for {self.values.shape[1]} columns",
                "Give one name for each column.",
            )
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise InputError(
                "values",
                f"the name of {describe_columns(repeated)} occurs more than once among {len(names)} columns",
                "Rename or drop columns so that all names differ as strings.",
            )
        labels = None if self.obs_names is None else label_array(self.obs_names)
        if labels is not None and labels.shape != self.values.shape[:1]:
            raise InputError(
                "Data.obs_names",
                f"labels of shape {labels.shape} for {self.values.shape[0]} rows",
                "Give one label for each row, or None.",
            )
        check_values(self.values, names, labels)
        if self.counts is not None:
            object.__setattr__(self, "counts", _private(check_counts(self.counts, self.values.shape[0])))

        object.__setattr__(self, "values", _private(self.values))
        object.__setattr__(self, "feature_names", names)
        object.__setattr__(self, "obs_names", None if labels is None or are_positions(labels) else _private(labels))

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickle and deepcopy give arrays back writeable; a copy in a worker must be as read-only as the original.
        self.__dict__.update(state)
        for array in (self.values, self.obs_names, self.counts):
            if array is not None:
                array.flags.writeable = False

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        return self.values.shape[0]

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.values.shape[1]

    def __repr__(self) -> str:
        shown = ", ".join(repr(name) for name in self.feature_names[:_SHOWN_NAMES])
        more = ", ..." if self.n_features > _SHOWN_NAMES else ""
        return f"Data(n_obs={self.n_obs}, n_features={self.n_features}, feature_names=({shown}{more}))"


def _private(array: np.ndarray) -> np.ndarray:
    """Return a read-only C-contiguous array that nobody else can change; one that is so already is not copied."""
    flags = array.flags
    if type(array) is np.ndarray and flags.owndata and flags.c_contiguous and not flags.writeable:
        return array
    private = np.array(array, order="C", copy=True, subok=False)
    private.flags.writeable = False
    return private


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return f"a {type(value).__name__}"
