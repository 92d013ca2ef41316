"""The one form in which every other part of the package sees measurements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.data._check import check_values
from bayesgmm.data._labels import are_positions, describe_columns, label_array
from bayesgmm.data._observation import (
    check_bins,
    check_counts,
    check_groups,
    check_known_labels,
    check_noise,
    check_noise_scale,
)
from bayesgmm.data._source import NO_SOURCE, Source

_SHOWN_NAMES = 6
# Fields with an entry for each row, but for bins.
_BY_ROW = ("values", "obs_names", "counts", "noise", "groups", "known_labels")


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
        How many units each row stands for, or its weight, at least 0 and not all 0. None means one.
    noise : ndarray of float64, shape (n_obs, n_features) or (n_obs, n_features, n_features), optional
        Measurement errors in the units of the values: standard deviations, or covariances. 0 is an exact value, and
        0 stands where a standard deviation is NaN because the value is missing, and in the rows and columns of a
        covariance that belong to a missing value. None means that all values are exact.
    noise_scale : ScalePrior, optional
        Prior of an unknown factor that multiplies all standard deviations; None means 1.
    bins : ndarray of float64, shape (n_obs, 2), optional
        Lower and upper edges, in the units of the values and in increasing order (within each group, where there are
        some), -inf and inf where an end is open.
        Each row is then a bin with one feature, its value a point in it, and its count the number of units that fell
        in.
    groups : ndarray, shape (n_obs,), optional
        Label of the group of each row (integers, float64, strings or datetime64).
    known_labels : ndarray of int, shape (n_obs,), optional
        Number of the component that each row is known to come from, -1 where it is unknown; None where all are.
    source : Source
        The library of the table that was read and its index, for tables that go back to it.

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
    noise: np.ndarray | None = None
    noise_scale: Any = None
    bins: np.ndarray | None = None
    groups: np.ndarray | None = None
    known_labels: np.ndarray | None = None
    source: Source = NO_SOURCE

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
        names = (self.feature_names,) if isinstance(self.feature_names, str) else self.feature_names
        if not isinstance(names, (list, tuple, np.ndarray)) or (isinstance(names, np.ndarray) and names.ndim != 1):
            raise InputError("Data.feature_names", f"got {as_written(names)}", "Give one name for each column.")
        names = tuple(map(str, names))
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
        labels = None if self.obs_names is None else label_array(_listed("Data.obs_names", self.obs_names))
        if labels is not None and labels.shape != self.values.shape[:1]:
            raise InputError(
                "Data.obs_names",
                f"labels of shape {labels.shape} for {self.values.shape[0]} rows",
                "Give one label for each row, or None.",
            )
        check_values(self.values, names, labels)
        n_obs = len(self.values)
        if self.groups is not None:
            object.__setattr__(self, "groups", _private(check_groups(self.groups, n_obs, labels)))
        if self.bins is not None:
            bins = check_bins(self.bins, self.values, self.counts, self.groups)
            object.__setattr__(self, "bins", _private(bins))
        if self.counts is not None:
            counts = check_counts(self.counts, n_obs, labels)
            object.__setattr__(self, "counts", _private(counts))
        if self.noise is not None:
            object.__setattr__(self, "noise", _private(check_noise(self.noise, self.values, names, labels)))
        if self.known_labels is not None:
            known = check_known_labels(self.known_labels, self.values, labels)
            object.__setattr__(self, "known_labels", None if known is None else _private(known))
        if self.noise_scale is not None:
            check_noise_scale(self.noise_scale, self.noise)

        if not isinstance(self.source, Source):
            raise InputError("Data.source", f"got {as_written(self.source)}", "Build Data with as_data(...).")
        if self.source.index is not None and len(self.source.index) != n_obs:
            raise InputError(
                "Data.source",
                f"has an index of {len(self.source.index)} labels for {n_obs} rows",
                "Give one for each row",
            )
        object.__setattr__(self, "values", _private(self.values))
        object.__setattr__(self, "feature_names", names)
        object.__setattr__(self, "obs_names", None if labels is None or are_positions(labels) else _private(labels))

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickle and deepcopy give arrays back writeable; a copy in a worker must be as read-only as the original.
        self.__dict__.update(state)
        arrays = (self.values, self.obs_names, self.counts, self.noise, self.bins, self.groups, self.known_labels)
        for array in arrays:
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

    @property
    def exact(self) -> bool:
        """Whether every value is there, not in a bin and without error."""
        without_noise = self.noise is None or not self.noise.any()
        return self.bins is None and without_noise and not np.isnan(self.values).any()

    @property
    def group_labels(self) -> np.ndarray:
        """Labels of the groups, each once and sorted; none where rows belong to no groups."""
        return np.empty(0) if self.groups is None else np.unique(self.groups)

    def taking_part(self) -> Data:
        """The rows that count for something. Bins that nothing fell into say where nothing was seen, and stay."""
        if self.counts is None or self.bins is not None or self.counts.all():
            return self
        rows = np.flatnonzero(self.counts)
        by_row = {name: getattr(self, name) for name in _BY_ROW}
        changes = {name: None if array is None else array[rows] for name, array in by_row.items()}
        if self.obs_names is None:
            changes["obs_names"] = rows
        return replace(self, **changes)

    def with_columns(self, order: Sequence[int]) -> Data:
        """The same rows with these columns, in this order; errors follow their columns."""
        columns = list(order)
        noise = self.noise
        if noise is not None:
            noise = noise[:, columns] if noise.ndim == 2 else noise[:, columns][:, :, columns]
        names = tuple(self.feature_names[j] for j in columns)
        return replace(self, values=self.values[:, columns], feature_names=names, noise=noise)

    def __repr__(self) -> str:
        shown = ", ".join(repr(name) for name in self.feature_names[:_SHOWN_NAMES])
        more = ", ..." if self.n_features > _SHOWN_NAMES else ""
        parts = [f"n_obs={self.n_obs}, n_features={self.n_features}, feature_names=({shown}{more})"]
        parts += [name for name in ("counts", "bins", "groups", "known_labels") if getattr(self, name) is not None]
        if self.noise is not None:
            parts.append("noise=sd" if self.noise.ndim == 2 else "noise=covariance")
        if self.noise_scale is not None:
            parts.append(f"noise_scale={self.noise_scale.describe()}")
        return f"Data({', '.join(parts)})"


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


def _listed(argument: str, labels: Any) -> np.ndarray:
    several = isinstance(labels, (list, tuple)) or (isinstance(labels, np.ndarray) and labels.ndim == 1)
    if not several or any(isinstance(each, (list, tuple, np.ndarray)) for each in labels):
        raise InputError(argument, f"got {as_written(labels)}", "Give one label for each row, or None.")
    return np.asarray(labels)
