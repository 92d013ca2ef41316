"""One declaration under several engines, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm.inference.prediction import interval, interval_convention, responsibilities_of
from bayesgmm.inference.summaries import units_of

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

_VARIABLES = ("weights", "means", "sds")


def compare_engines(fits: Mapping[str, xr.DataTree] | Sequence[xr.DataTree]) -> xr.Dataset:
    """Put fits of the same declaration to the same data by different engines side by side.

    Components of later fits are matched to those of the first by their responsibilities.

    Parameters
    ----------
    fits : dict of name to DataTree, or sequence of DataTree
        At least two. A sequence is named by its engines.

    Returns
    -------
    xarray.Dataset
        Along ``fit``: ``weights``, ``means`` and ``sds`` (posterior means, or the mode where there are no draws), each
        with ``_lower`` and ``_upper`` (NaN without draws) in ArviZ's interval; ``apart``, the largest difference of a
        fit from the first in weights, means and sds, in units of the first fit's posterior standard deviation (of the
        later fit's where the first has no draws), and ``apart_where``, which number that is;
        ``responsibilities_apart``, the largest difference in a responsibility, and ``responsibilities_where``, the row
        and component.

    Raises
    ------
    InputError
        If there are fewer than two fits, or they are not of one declaration and one data set.
    """
    import xarray as xr

    from bayesgmm.results.read import dims_in

    named = _named(fits)
    first = next(iter(named.values()))
    kind, probability = interval_convention()
    rows = [_row(fit, _order(first, fit), kind, probability) for fit in named.values()]
    point = first[names.POINT].to_dataset()
    coords = {
        "fit": list(named),
        names.COMPONENT: point[names.COMPONENT].to_numpy(),
        names.FEATURE: point[names.FEATURE].to_numpy(),
    }
    variables: dict[str, Any] = {}
    if names.GROUP in point.dims:
        coords[names.GROUP] = point[names.GROUP].to_numpy()
    for name in _VARIABLES:
        dims = ("fit", *dims_in(point, name))
        for suffix in ("", "_lower", "_upper"):
            variables[name + suffix] = dims, np.stack([row[name + suffix] for row in rows])
    differences = [_difference(rows[0], row, point) for row in rows]
    variables["apart"] = "fit", np.array([value for value, _ in differences])
    variables["apart_where"] = "fit", np.array([where for _, where in differences])
    of_rows = [_row_difference(rows[0], row, first) for row in rows]
    variables["responsibilities_apart"] = "fit", np.array([value for value, _ in of_rows])
    variables["responsibilities_where"] = "fit", np.array([where for _, where in of_rows])
    variables["engine"] = "fit", np.array([fit.attrs[names.ENGINE] for fit in named.values()])
    variables["status"] = "fit", np.array([fit.attrs[names.STATUS] for fit in named.values()])
    return xr.Dataset(
        variables,
        coords=coords,
        attrs={
            "interval": f"{probability:.0%} {kind}",
            "apart": "in posterior standard deviations of the first fit, or of the other where the first has no draws",
        },
    )


def _named(fits: Any) -> dict[str, xr.DataTree]:
    from bayesgmm.results import check_result

    if not isinstance(fits, (list, tuple, Mapping)):
        raise InputError("fits", f"got {type(fits).__name__}", "Give fits in a list, or a dict with their names")
    for fit in fits.values() if isinstance(fits, Mapping) else fits:
        check_result(fit, "fits")
    if isinstance(fits, Mapping):
        named = dict(fits)
    else:
        named = {}
        for fit in fits:
            engine = fit.attrs[names.ENGINE]
            taken = sum(name.split(" ")[0] == engine for name in named)
            named[engine if not taken else f"{engine} {taken + 1}"] = fit
    if len(named) < 2:
        raise InputError("fits", f"got {len(named)}", "Give at least two fits")
    first = next(iter(named.values()))
    for name, fit in named.items():
        if fit.attrs[names.MODEL] != first.attrs[names.MODEL]:
            raise InputError(
                "fits", f"{name!r} has another declaration or other data", "Fit one declaration to one data set"
            )
        # A file may come back with its dimensions in another order.
        values = [each[names.OBSERVED][names.DATA].transpose(names.OBS, ...).to_numpy() for each in (fit, first)]
        same_rows = np.array_equal(*values, equal_nan=True) and np.array_equal(units_of(fit), units_of(first))
        if not same_rows or not np.array_equal(_groups_of(fit), _groups_of(first)):
            raise InputError("fits", f"{name!r} was fitted to other rows", "Fit one declaration to one data set")
    return named


def _groups_of(fit: xr.DataTree) -> NDArray[Any]:
    constant = fit[names.CONSTANT].to_dataset()
    return constant["groups"].to_numpy() if "groups" in constant else np.empty(0)


def _order(first: xr.DataTree, fit: xr.DataTree) -> NDArray[np.intp]:
    """Components of `fit` in the order of those of the first; only those that the prior treats alike change places."""
    from scipy.optimize import linear_sum_assignment

    from bayesgmm.results import fitted_mixture

    keys = fitted_mixture(first).model.keys()
    one, other = (responsibilities_of(tree) for tree in (first, fit))
    overlap = one.T @ other
    forbidden = np.array([[a != b for b in keys] for a in keys])
    return linear_sum_assignment(np.where(forbidden, 1e6 * (1 + overlap.max()), -overlap))[1]


def _row(fit: xr.DataTree, order: NDArray[np.intp], kind: str, probability: float) -> dict[str, Array]:
    from bayesgmm.results.read import dims_in

    row = {"responsibilities": responsibilities_of(fit)[:, order]}
    point = fit[names.POINT].to_dataset()
    posterior = fit[names.POSTERIOR].to_dataset() if names.POSTERIOR in fit.children else None
    for name in _VARIABLES:
        dims = dims_in(point, name)
        axis = dims.index(names.COMPONENT)
        if posterior is None:
            row[name] = np.take(point[name].transpose(*dims).to_numpy(), order, axis)
            row[f"{name}_lower"] = row[f"{name}_upper"] = row[f"{name}_width"] = np.full_like(row[name], np.nan)
            continue
        draws = posterior[name].transpose(names.CHAIN, names.DRAW, *dims).to_numpy()
        draws = np.take(draws.reshape(-1, *draws.shape[2:]), order, 1 + axis)
        row[f"{name}_lower"], row[f"{name}_upper"] = interval(draws, kind, probability)
        row[name], row[f"{name}_width"] = draws.mean(axis=0), draws.std(axis=0)
    return row


def _difference(first: dict[str, Array], row: dict[str, Array], point: xr.Dataset) -> tuple[float, str]:
    """The largest difference in posterior standard deviations, and where it is."""
    from bayesgmm.results.read import dims_in

    largest, where = 0.0, "none"
    for name in _VARIABLES:
        width = np.where(np.isnan(first[f"{name}_width"]), row[f"{name}_width"], first[f"{name}_width"])
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = np.abs(row[name] - first[name]) / width
        apart = np.where(row[name] == first[name], 0.0, apart)
        if np.isnan(apart).all():
            return np.nan, "no draws to measure by"
        at = np.unravel_index(np.nanargmax(apart), apart.shape)
        if apart[at] > largest:
            largest = float(apart[at])
            dims = dims_in(point, name)
            labels = ", ".join(str(point[dim].to_numpy()[i]) for dim, i in zip(dims, at, strict=True))
            where = f"{name}[{labels}]"
    return largest, where


def _row_difference(first: dict[str, Array], row: dict[str, Array], fit: xr.DataTree) -> tuple[float, str]:
    apart = np.abs(row["responsibilities"] - first["responsibilities"])
    at = np.unravel_index(apart.argmax(), apart.shape)
    if apart[at] == 0:
        return 0.0, "none"
    assigned = fit[names.ASSIGNMENTS].to_dataset()
    obs, component = assigned[names.OBS].to_numpy()[at[0]], assigned[names.COMPONENT].to_numpy()[at[1]]
    return float(apart[at]), f"obs {obs}, component {component}"
