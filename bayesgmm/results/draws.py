"""Whether selected draws are draws of a mixture: every number is checked for what it has to be.

Where all draws are there they are compared with what was written, which takes less time and sees more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._errors import InputError

if TYPE_CHECKING:
    import xarray as xr

_AGAIN = "Select draws from the fit as it was returned, in all groups: fit.isel(draw=slice(0, None, 10))"
# Relative to the largest number in it: what rounding, also of single precision, does to sums and products.
_ROUNDING = 1e-5
# Groups that hold the same draws, where they are there.
_SAME_DRAWS = (names.POSTERIOR, names.SAMPLE_STATS, names.RELABELLING, names.UNRELABELLED)
# Least and greatest value of variables with draws.
_LIMITS: dict[str, tuple[float, float]] = {
    "weights": (0.0, 1.0 + _ROUNDING),
    "sds": (np.finfo(float).tiny, np.inf),
    "correlations": (-1.0 - _ROUNDING, 1.0 + _ROUNDING),
    "n_occupied": (0.0, np.inf),
    "n_components": (1.0, np.inf),
    "rows": (0.0, np.inf),
    "concentration": (0.0, np.inf),
    "noise_scale": (np.finfo(float).tiny, np.inf),
    "rate": (0.0, np.inf),
    "shared_rate": (0.0, np.inf),
    "rate_a": (0.0, np.inf),
    "rate_b": (0.0, np.inf),
    "rate_linked": (0.0, np.inf),
    "allele_frequency": (0.0, 1.0),
    "acceptance_rate": (0.0, 1.0 + _ROUNDING),
    "step_size": (0.0, np.inf),
    "n_steps": (0.0, np.inf),
    "tree_depth": (0.0, np.inf),
}


def check_selected(fit: xr.DataTree, selected: set[tuple[str, str]], argument: str) -> None:
    """Raise unless the arrays of these groups and names hold numbers that draws of this fit may have."""
    _check_same_draws(fit, argument)
    for group, name in sorted(selected):
        low, high = _LIMITS.get(name, (-np.inf, np.inf))
        values = fit[group].to_dataset().variables[name].to_numpy()
        if values.dtype.kind not in "fiub":
            raise InputError(argument, f"'{group}/{name}' holds {values.dtype} and no numbers", _AGAIN)
        outside = (values < low) | (values > high)
        if outside.any():
            raise InputError(argument, f"'{group}/{name}' holds {values[outside].flat[0]}", _AGAIN)
    for group in sorted({group for group, _ in selected}):
        table = fit[group].to_dataset()
        _check_weights(table, group, argument)
        _check_covariances(table, group, argument)
        _check_orders(table, group, argument)


def _check_same_draws(fit: xr.DataTree, argument: str) -> None:
    first, *others = [fit[group] for group in _SAME_DRAWS if group in fit.children]
    for other in others:
        for dim in (names.CHAIN, names.DRAW):
            if not np.array_equal(first[dim].to_numpy(), other[dim].to_numpy()):
                raise InputError(argument, f"{first.name!r} and {other.name!r} hold other draws", _AGAIN)


def _check_weights(table: xr.Dataset, group: str, argument: str) -> None:
    if "weights" not in table:
        return
    over = names.SLOT if names.SLOT in table["weights"].dims else names.COMPONENT
    total = table["weights"].sum(over).to_numpy()
    # The weight of empty components is not among those of all numbers of components.
    least = 0.0 if over == names.SLOT else 1.0 - _ROUNDING
    if (total < least).any() or (total > 1.0 + _ROUNDING).any():
        raise InputError(argument, f"'{group}/weights' do not add up to 1", _AGAIN)
    for name in ("means", "covariances") if over == names.SLOT else ():
        # A place without a component holds NaN.
        empty = (table["weights"] == 0).broadcast_like(table[name]).transpose(*table[name].dims).to_numpy()
        values = table[name].to_numpy()
        if not np.isfinite(values[~empty]).all() or not np.isnan(values[empty]).all():
            raise InputError(argument, f"'{group}/{name}' are not those of the components with weights", _AGAIN)


def _check_covariances(table: xr.Dataset, group: str, argument: str) -> None:
    if "covariances" not in table:
        return
    covariances = table["covariances"].transpose(..., names.FEATURE, names.FEATURE_BIS).to_numpy()
    covariances = covariances.reshape(-1, *covariances.shape[-2:])
    covariances = covariances[np.isfinite(covariances).all(axis=(1, 2))]  # places that are empty hold NaN
    with np.errstate(invalid="ignore", divide="ignore"):
        sds = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        correlations = covariances / sds[:, :, None] / sds[:, None]
    # Comparisons with NaN, where a variance is not positive, are false.
    symmetric = (np.abs(correlations - np.swapaxes(correlations, 1, 2)) <= _ROUNDING).all()
    try:
        np.linalg.cholesky(covariances)
        definite = True
    except np.linalg.LinAlgError:
        definite = False
    if not (symmetric and definite):
        raise InputError(argument, f"'{group}/covariances' are not all positive definite", _AGAIN)
    if "sds" in table and "correlations" in table:
        given = table["sds"].transpose(..., names.FEATURE).to_numpy().reshape(sds.shape)
        tied = table["correlations"].transpose(..., names.FEATURE, names.FEATURE_BIS).to_numpy()
        apart = np.abs(given / sds - 1.0).max(), np.abs(tied.reshape(correlations.shape) - correlations).max()
        if max(apart) > _ROUNDING:
            raise InputError(argument, f"'{group}/sds' or correlations are not those of the covariances", _AGAIN)


def _check_orders(table: xr.Dataset, group: str, argument: str) -> None:
    if group != names.RELABELLING:
        return
    orders = table["order"].transpose(..., names.COMPONENT).to_numpy()
    if (np.sort(orders, axis=-1) != np.arange(orders.shape[-1])).any():
        raise InputError(argument, f"'{group}/order' holds what is no order of the components", _AGAIN)
