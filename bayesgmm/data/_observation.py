"""Checks of what says how rows were observed: counts, measurement errors, bins, groups."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.data._check import LARGEST_MAGNITUDE, RESCALE, check_values
from bayesgmm.data._labels import describe_row, is_missing, label_array
from bayesgmm.numerics.linalg import covariance_fault, symmetrised

# More components than anybody has.
_MOST_COMPONENTS = 1_000_000
_MARK_MISSING = "Set the value itself to NaN if it was not observed, or drop the row."


def check_counts(
    counts: Any, n_obs: int, obs_names: np.ndarray | None, *, argument: str = "counts", whole: bool = False
) -> np.ndarray:
    """Numbers of units (n_obs,) as float64, or `InputError` for the first thing that is wrong with them.

    Parameters
    ----------
    counts : (n_obs,) ndarray of integers or floats
    n_obs : int
    obs_names : ndarray, shape (n_obs,), or None
    argument : str
        What messages call the counts.
    whole : bool
        Whether fractions are errors.
    """
    if not isinstance(counts, np.ndarray) or counts.dtype.kind not in "iuf" or counts.shape != (n_obs,):
        shown = f"has shape {counts.shape}" if isinstance(counts, np.ndarray) else f"got {type(counts).__name__}"
        raise InputError(argument, shown, f"Give one number for each of the {n_obs} rows.")
    array = counts.astype(float)
    each = argument.removesuffix("s")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if bad.size:
        raise InputError(
            argument,
            f"got {array[bad[0]]:g} in {describe_row(bad[0], obs_names)}",
            f"Every {each} must be finite and positive, or 0 for a row that takes no part.",
        )
    if whole:
        bad = np.flatnonzero(array != np.round(array))
        if bad.size:
            raise InputError(
                argument,
                f"got {array[bad[0]]:.10g} in {describe_row(bad[0], obs_names)}, which is no whole number",
                "Counts say how often a row occurred; if these are weights, pass weights= instead.",
            )
    if not array.any():
        raise InputError(argument, f"all {n_obs} are 0", "At least one row must count.")
    return array


def check_noise(
    noise: Any, values: np.ndarray, feature_names: Sequence[str], obs_names: np.ndarray | None
) -> np.ndarray:
    """Measurement errors in the form in which they are stored, or `InputError` for the first that cannot be one.

    Parameters
    ----------
    noise : ndarray of float64, shape (n_obs, n_features) or (n_obs, n_features, n_features)
        Standard deviations, or covariances.
    values : ndarray of float64, shape (n_obs, n_features)
    feature_names : sequence of str, length n_features
    obs_names : ndarray, shape (n_obs,), or None

    Returns
    -------
    ndarray
        With 0 instead of NaN where the value is missing, covariances exactly symmetric and with rows and columns of 0
        at missing entries.
    """
    n, d = values.shape
    if not isinstance(noise, np.ndarray) or noise.dtype != np.float64 or noise.shape not in ((n, d), (n, d, d)):
        shown = (
            f"shape {noise.shape} and dtype {noise.dtype}" if isinstance(noise, np.ndarray) else type(noise).__name__
        )
        raise InputError(
            "Data.noise",
            f"got {shown}, not float64 of shape ({n}, {d}) or ({n}, {d}, {d})",
            "Build Data with as_data(values, noise=...).",
        )
    missing = np.isnan(values)
    if noise.ndim == 2:
        return _check_sds(noise, missing, feature_names, obs_names)
    return _check_covariances(noise, missing, feature_names, obs_names)


def _check_sds(
    noise: np.ndarray, missing: np.ndarray, feature_names: Sequence[str], obs_names: np.ndarray | None
) -> np.ndarray:
    def complain(bad: np.ndarray, remedy: str) -> None:
        if bad.any():
            row, j = np.argwhere(bad)[0]
            where = f"column {feature_names[j]!r} in {describe_row(row, obs_names)}"
            raise InputError("noise", f"the standard deviation of {where} is {noise[row, j]:g}", remedy)

    complain(noise < 0, "Standard deviations are positive, or 0 for an exact value.")
    complain(np.isinf(noise), _MARK_MISSING)
    complain(np.isnan(noise) & ~missing, f"Give 0 for an exact value. {_MARK_MISSING}")
    complain(noise > LARGEST_MAGNITUDE, f"Its square overflows double precision. {RESCALE}")
    return np.where(np.isnan(noise), 0.0, noise)


def _check_covariances(
    noise: np.ndarray, missing: np.ndarray, feature_names: Sequence[str], obs_names: np.ndarray | None
) -> np.ndarray:
    def where(row: int, i: int, j: int) -> str:
        entry = f"entry ({feature_names[i]!r}, {feature_names[j]!r}) of the covariance"
        return f"{entry} in {describe_row(row, obs_names)}"

    def complain(bad: np.ndarray, remedy: str) -> None:
        if bad.any():
            row, i, j = np.argwhere(bad)[0]
            raise InputError("noise", f"{where(row, i, j)} is {noise[row, i, j]:g}", remedy)

    complain(np.isinf(noise), _MARK_MISSING)
    unseen = missing[:, :, None] | missing[:, None, :]
    complain(np.isnan(noise) & ~unseen, f"Give 0 for what is known exactly. {_MARK_MISSING}")
    clean = np.where(unseen, 0.0, noise)
    complain(np.abs(clean) > LARGEST_MAGNITUDE**2, f"It nearly overflows double precision. {RESCALE}")
    # One matrix for all rows is the usual case and need not be decomposed for each of them.
    fault = covariance_fault(clean[:1] if (clean == clean[0]).all() else clean, singular=True)
    if fault is not None:
        row = fault.matrix
        what = where(row, *fault.entry) if fault.entry else f"the covariance in {describe_row(row, obs_names)}"
        raise InputError(
            "noise",
            f"{what} {fault.problem}",
            "Give symmetric covariances of errors (variances on the diagonal, correlations between -1 and 1), for "
            "example (noise + noise.swapaxes(-1, -2)) / 2; for standard deviations pass an array with one column for "
            "each feature.",
        )
    return symmetrised(clean)


def check_noise_scale(noise_scale: Any, noise: np.ndarray | None) -> None:
    """Raise unless `noise_scale` is a prior on one standard deviation, and there is something that it scales."""
    remedy = (
        "Give a prior on a positive number: LogNormal, HalfNormal, Exponential or Gamma, as in LogNormal(0.0, 0.5)."
    )
    # By what it can do, because this layer does not know the one of priors.
    needed = ("log_density", "typical", "n_features", "describe", "to_dict")
    if isinstance(noise_scale, type) or not all(callable(getattr(noise_scale, name, None)) for name in needed):
        if isinstance(noise_scale, (int, float)):
            remedy = f"A known factor belongs into the noise itself. {remedy}"
        raise InputError("noise_scale", f"got {as_written(noise_scale)}, which is no prior on a scale", remedy)
    if noise_scale.n_features() not in (None, 1):
        raise InputError(
            "noise_scale",
            f"got {noise_scale.describe()}, with one number for each of {noise_scale.n_features()} features",
            "One factor is common to all of them: give the prior single numbers.",
        )
    if noise is None or not noise.any():
        raise InputError(
            "noise_scale",
            f"got {noise_scale.describe()}, but {'no noise' if noise is None else 'the noise is 0 everywhere'}",
            "Give the standard deviations that it multiplies as noise=..., or leave it out.",
        )


def check_bins(bins: Any, values: np.ndarray, counts: Any, groups: np.ndarray | None = None) -> np.ndarray:
    """Bins as they are stored, (n_obs, 2), or `InputError`; `values` (n_obs, 1) are points in them."""
    n, d = values.shape
    if not isinstance(bins, np.ndarray) or bins.dtype != np.float64 or bins.shape != (n, 2) or d != 1:
        shown = f"shape {bins.shape} and dtype {bins.dtype}" if isinstance(bins, np.ndarray) else type(bins).__name__
        raise InputError(
            "Data.bins",
            f"got {shown} for values of shape {values.shape}, not float64 of shape ({n}, 2) for one feature",
            "Build Data with as_data(bins=..., counts=...).",
        )
    if counts is None:
        raise InputError("counts", "got None for bins", f"Say how many rows fell into each of the {n} bins.")
    check_edges(bins, groups)
    inside = (bins[:, :1] <= values) & (values <= bins[:, 1:])
    if not inside.all():
        i = int(np.argmin(inside[:, 0]))
        raise InputError(
            "Data.values", f"{values[i, 0]:g} is not in bin {_bin(bins, i)}", "Build Data with as_data(bins=...)."
        )
    return bins


def check_edges(bins: np.ndarray, groups: np.ndarray | None = None) -> None:
    """Raise `InputError` for the first of the bins (M, 2) that is none, or that is not above the one before it.

    Each group (M,) has bins of its own.
    """
    if groups is None:
        _check_edges(bins, np.arange(len(bins)))
    else:
        for group in np.unique(groups):
            _check_edges(bins, np.flatnonzero(groups == group))


def _check_edges(all_bins: np.ndarray, numbers: np.ndarray) -> None:
    bins = all_bins[numbers]

    def complain(bad: np.ndarray, problem: str, remedy: str) -> None:
        if bad.any():
            i = int(np.argmax(bad))
            before = _bin(all_bins, numbers[i - 1])
            raise InputError("bins", f"bin {_bin(all_bins, numbers[i])} {problem.format(before)}", remedy)

    lower, upper = bins.T
    complain(np.isnan(bins).any(axis=1), "has no number as an edge", "Open ends are -inf and inf.")
    complain(np.isinf(bins).all(axis=1), "has no finite edge", "A bin needs one: drop it, or split it at a threshold.")
    complain(
        ~(lower < upper),
        "does not have its lower edge below its upper edge",
        "Give edges in strictly increasing order.",
    )
    sort = "Sort bins and counts by the lower edges."
    complain(np.r_[False, lower[1:] < lower[:-1]], "comes after bin {}, although it begins below it", sort)
    complain(
        np.r_[False, lower[1:] < upper[:-1]],
        "overlaps bin {}",
        "A value may belong to one bin only: correct the edges.",
    )
    finite = np.isfinite(bins).all(axis=1)
    if not finite.any():
        listed = " and ".join(_bin(all_bins, i) for i in numbers)
        raise InputError(
            "bins", f"all have an open end: {listed}", "At least one bin must have two finite edges, to give a width."
        )
    edges = np.unique(bins[np.isfinite(bins)])
    check_values(edges[:, None], ("x",), None, "bins")


def check_groups(groups: Any, n_obs: int, obs_names: np.ndarray | None, argument: str = "groups") -> np.ndarray:
    """Labels of groups (n_obs,) with a dtype that netCDF can hold, or `InputError`.

    Labels that are equal (1 and 1.0) are one group, and different ones stay different: an error names two that would
    be stored as the same, such as 1 and "1".
    """
    if not isinstance(groups, (list, tuple, np.ndarray)):
        raise InputError(argument, f"got {as_written(groups)}", f"Give one label for each of the {n_obs} rows.")
    array = groups if isinstance(groups, np.ndarray) else np.array(groups, dtype=object)
    if array.shape != (n_obs,):
        raise InputError(argument, f"has shape {array.shape}", f"Give one label for each of the {n_obs} rows.")
    if array.dtype.kind == "O":
        distinct, places = _distinct_objects(array, obs_names, argument)
    else:
        if array.dtype.kind in "fcMm":
            missing = np.isnat(array) if array.dtype.kind in "Mm" else np.isnan(array)
            if missing.any():
                _raise_missing(array[missing][0], int(missing.argmax()), obs_names, argument)
        distinct, places = np.unique(array, return_inverse=True)
    stored = label_array(distinct)
    kept, first = np.unique(stored, return_index=True)
    if len(kept) < len(distinct):
        one = int(np.setdiff1d(np.arange(len(distinct)), first)[0])
        other = int(first[np.flatnonzero(kept == stored[one])[0]])
        alike = f"{_shown(distinct[other])} and {_shown(distinct[one])}"
        raise InputError(
            argument,
            f"{alike} are different labels, and would both be stored as {stored[one]!s:.60}",
            "Give labels of one type that differ as text, for example by mapping them to names first.",
        )
    return stored[places]


def check_known_labels(known: Any, values: np.ndarray, obs_names: np.ndarray | None) -> np.ndarray | None:
    """Numbers of components (n_obs,), -1 where unknown; None if all are, and `InputError` for what is no number.

    Parameters
    ----------
    known : ndarray, shape (n_obs,)
        Whole numbers; -1 or NaN where the component is unknown.
    values : ndarray of float64, shape (n_obs, n_features)
    obs_names : ndarray, shape (n_obs,), or None
    """
    n = len(values)
    if not isinstance(known, np.ndarray) or known.dtype.kind not in "iuf" or known.shape != (n,):
        shown = f"has shape {known.shape}" if isinstance(known, np.ndarray) else f"got {type(known).__name__}"
        raise InputError("known_labels", shown, f"Give one number for each of the {n} rows, -1 where it is unknown.")
    numbers = np.where(np.isnan(known), -1.0, known)
    bad = np.flatnonzero((numbers != np.round(numbers)) | (numbers < -1) | (numbers > _MOST_COMPONENTS))
    if bad.size:
        raise InputError(
            "known_labels",
            f"got {numbers[bad[0]]:g} in {describe_row(bad[0], obs_names)}",
            "Give the numbers of components, 0 to K - 1; -1, NaN or None where a row's is unknown.",
        )
    empty = np.flatnonzero((numbers >= 0) & np.isnan(values).all(axis=1))
    if empty.size:
        raise InputError(
            "known_labels",
            f"got {numbers[empty[0]]:g} in {describe_row(empty[0], obs_names)}, in which no value was observed",
            "Drop such rows, or set their label to -1.",
        )
    return numbers.astype(np.intp) if (numbers >= 0).any() else None


def _distinct_objects(
    array: np.ndarray, obs_names: np.ndarray | None, argument: str
) -> tuple[list[Any], NDArray[np.intp]]:
    """Labels that differ in the order of their first row, and the place of each row's among them."""
    found: dict[Any, int] = {}
    places = np.empty(len(array), dtype=np.intp)
    for row, label in enumerate(array.tolist()):
        if is_missing(label) or not isinstance(label, Hashable):
            _raise_missing(label, row, obs_names, argument)
        try:
            places[row] = found.setdefault(label, len(found))
        except TypeError:  # a tuple of lists
            _raise_missing(label, row, obs_names, argument)
    return list(found), places


def _raise_missing(label: Any, row: int, obs_names: np.ndarray | None, argument: str) -> NoReturn:
    raise InputError(
        argument,
        f"got {_shown(label)} in {describe_row(row, obs_names)}",
        "Every row belongs to a group: give it a label, such as 'unknown', or drop the row.",
    )


def _shown(label: Any) -> str:
    return as_written(label.item() if isinstance(label, np.generic) and label.itemsize <= 8 else label)


def _bin(bins: np.ndarray, i: Any) -> str:
    return f"{i} ({bins[i, 0]:.6g}, {bins[i, 1]:.6g})"
