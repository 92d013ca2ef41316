"""Checks of what says how rows were observed: counts, measurement errors, bins, groups."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.data._check import LARGEST_MAGNITUDE, RESCALE, check_values
from bayesgmm.data._labels import describe_row, label_array

# Relative to the largest entry or eigenvalue: what rounding leaves of a covariance that was computed.
_ROUNDING = 1e-10

_MARK_MISSING = "Set the value itself to NaN if it was not observed, or drop the row."


def check_counts(
    counts: Any,
    n_obs: int,
    obs_names: np.ndarray | None,
    *,
    argument: str = "counts",
    whole: bool = False,
    zero: bool = False,
) -> np.ndarray:
    """Numbers of units (n_obs,) as float64, or `InputError` for the first thing that is wrong with them.

    Parameters
    ----------
    counts : (n_obs,) array_like of integers or floats
    n_obs : int
    obs_names : ndarray, shape (n_obs,), or None
    argument : str
        What messages call the counts.
    whole : bool
        Whether fractions are errors.
    zero : bool
        Whether 0 is allowed, as for bins that nothing fell into.
    """
    try:
        given = np.asarray(counts)
        array = given.astype(float) if given.dtype.kind in "iuf" else None
    except (TypeError, ValueError):
        array = None
    rows = "bins" if zero else "rows"
    if array is None or array.shape != (n_obs,):
        raise InputError(
            argument,
            f"has shape {array.shape}" if array is not None else f"got {type(counts).__name__} without numbers",
            f"Give one number for each of the {n_obs} {rows}.",
        )
    each = argument.removesuffix("s")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0 if zero else array > 0)))
    if bad.size:
        raise InputError(
            argument,
            f"got {array[bad[0]]:g} in {describe_row(bad[0], obs_names)}",
            f"Every {each} of a bin must be 0 or positive, and finite."
            if zero
            else f"Every {each} must be positive and finite; drop rows that count 0.",
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
        raise InputError(argument, f"all {n_obs} are 0", "At least one bin must hold something.")
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
    def complain(bad: np.ndarray, problem: str, remedy: str) -> None:
        if bad.any():
            row, i, j = np.argwhere(bad)[0]
            entry = f"entry ({feature_names[i]!r}, {feature_names[j]!r}) of the covariance"
            shown = problem.format(noise[row, i, j], noise[row, j, i])
            raise InputError("noise", f"{entry} in {describe_row(row, obs_names)} is {shown}", remedy)

    complain(np.isinf(noise), "{:g}", _MARK_MISSING)
    unseen = missing[:, :, None] | missing[:, None, :]
    complain(np.isnan(noise) & ~unseen, "{:g}", f"Give 0 for what is known exactly. {_MARK_MISSING}")
    clean = np.where(unseen, 0.0, noise)
    magnitude = np.abs(clean)
    complain(magnitude > LARGEST_MAGNITUDE**2, "{:g}", f"It nearly overflows double precision. {RESCALE}")
    turned = np.swapaxes(clean, 1, 2)
    complain(
        np.abs(clean - turned) > _ROUNDING * magnitude.max(axis=(1, 2), keepdims=True),
        "{:g}, but {:g} with the two exchanged",
        "Give symmetric matrices, for example (noise + noise.swapaxes(-1, -2)) / 2.",
    )
    clean = np.where(clean == turned, clean, clean / 2 + turned / 2)
    # One matrix for all rows is the usual case and need not be decomposed for each of them.
    distinct = clean[:1] if (clean == clean[0]).all() else clean
    eigenvalues = np.linalg.eigvalsh(distinct)
    bad = np.flatnonzero(eigenvalues[:, 0] < -_ROUNDING * np.abs(eigenvalues).max(axis=1))
    if bad.size:
        raise InputError(
            "noise",
            f"the covariance in {describe_row(bad[0], obs_names)} is not positive semi-definite: its smallest "
            f"eigenvalue is {eigenvalues[bad[0], 0]:.3g}",
            "Give covariances of errors (variances on the diagonal, correlations between -1 and 1); for standard "
            "deviations pass an array with one column for each feature.",
        )
    return clean


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


def check_groups(groups: Any, n_obs: int, obs_names: np.ndarray | None) -> np.ndarray:
    """Labels of groups (n_obs,) with a dtype that netCDF can hold, or `InputError`."""
    # As objects, because numpy turns the NaN in ["a", nan] into text.
    objects = np.asarray(groups, dtype=object)
    if isinstance(groups, (str, bytes)) or objects.shape != (n_obs,):
        raise InputError(
            "groups",
            f"has shape {objects.shape}" if objects.ndim else f"got {as_written(groups)}",
            f"Give one label for each of the {n_obs} rows.",
        )
    for row, label in enumerate(objects):
        # NaN and NaT differ from themselves; pandas' NA is known by name so that pandas need not be loaded.
        missing = label is None or type(label).__name__ == "NAType" or not isinstance(label, Hashable)
        if missing or label != label:
            raise InputError(
                "groups",
                f"got {as_written(label)} in {describe_row(row, obs_names)}",
                "Every row belongs to a group: give it a label, such as 'unknown', or drop the row.",
            )
    return label_array(groups)


def _bin(bins: np.ndarray, i: Any) -> str:
    return f"{i} ({bins[i, 0]:.6g}, {bins[i, 1]:.6g})"
