"""One label for one component in all draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm._words import listed
from bayesgmm.data import rows_in_units
from bayesgmm.engines._modes import worst_r_hat
from bayesgmm.numerics.relabelling import AMBIGUOUS, permuted, relabelling
from bayesgmm.numerics.rows import Rows
from bayesgmm.numerics.threads import n_processors
from bayesgmm.results.build import dataset, parameters
from bayesgmm.results.check import check_result
from bayesgmm.results.order import order_is_stable
from bayesgmm.results.read import FittedMixture, Mixtures, dims_in, fitted_mixture, mixtures_in, stored_data
from bayesgmm.results.seal import FIT, sealed

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

# Allocation probabilities of so many rows tell labels apart as well as those of all; costs are scaled up to all rows.
_MOST_ROWS = 1000
# Allocation probabilities are kept between rounds where they fit into so many numbers, and computed again otherwise.
_KEPT_NUMBERS = 40_000_000
_DRAWS_AT_ONCE = 200
_COMPARED = ("weights", "means", "sds")


def relabel(fit: xr.DataTree, *, reference: xr.DataTree | None = None) -> xr.DataTree:
    """Give every component the same label in all posterior draws.

    The draws are matched to the reference by their responsibilities (ECR; Papastamoulis & Iliopoulos 2010), then
    permuted to agree with each other by Stephens' (2000) algorithm on them. `fit` does this to draws of `NUTS`
    already. No ordering constraint is used, and components that the prior tells apart never change places.

    Parameters
    ----------
    fit : DataTree
        With posterior draws.
    reference : DataTree, optional
        Another fit of as many components to the same features, whose labels are taken on. The point estimate of `fit`
        itself if left out.

    Returns
    -------
    DataTree
        A copy with relabelled ``posterior``. ``unrelabelled`` holds the draws as they were sampled and
        ``relabelling`` the permutation of each draw, ``order``, the ``margin`` in nats by which any other permutation
        is worse, and as attributes R-hat before and after and the number of ambiguous draws.

    Raises
    ------
    InputError
        If the fit has no draws, or the reference does not fit.
    """
    check_result(fit)
    if names.POSTERIOR not in fit.children:
        raise InputError("fit", "this fit has no posterior draws to relabel", "Fit with NUTS or VB")
    if reference is not None:
        check_result(reference, "reference")
        _check_reference(fitted_mixture(fit), fitted_mixture(reference))
    return sealed(relabelled(fit, reference=reference), FIT)


def relabelled(fit: xr.DataTree, *, reference: xr.DataTree | None = None) -> xr.DataTree:
    """What `relabel` does, to a fit with draws that was checked before or is still being made."""
    fitted = fitted_mixture(fit)
    assert fitted.draws is not None
    pivot = fitted if reference is None else fitted_mixture(reference)
    as_sampled = _as_sampled(fit)
    source = as_sampled.transpose(names.CHAIN, names.DRAW, ...)
    n_chains, n_draws = source.sizes[names.CHAIN], source.sizes[names.DRAW]
    draws = replace(mixtures_in(as_sampled, (names.CHAIN, names.DRAW)), noise_scale=fitted.draws.noise_scale)
    x = _rows(fit, fitted)
    keys = fitted.model.keys()
    classes = np.array([keys.index(key) for key in keys])
    at_pivot, _ = x.rowwise_of_many(*pivot.point.standardised(fitted.center, fitted.scale))
    n_obs = fit[names.OBSERVED].sizes[names.OBS]
    found = relabelling(
        _Allocations(fitted, draws, x), at_pivot[0], classes, n_draws=len(draws), row_weight=n_obs / x.n_rows
    )
    out = fit.copy()
    orders = found.orders.reshape(n_chains, n_draws, -1)
    before = fit[names.POSTERIOR].to_dataset() if names.UNRELABELLED not in fit.children else _with_sds(as_sampled)
    posterior = _permuted(fit, draws, found.orders, (n_chains, n_draws))
    same = np.array_equal(draws.weights.ravel(), posterior["weights"].to_numpy().ravel())
    r_hat_before = _worst_r_hat(before)
    coords = {dim: source[dim].to_numpy() for dim in (names.CHAIN, names.DRAW, names.COMPONENT)}
    record = dataset(
        {"order": orders, "margin": found.margins.reshape(n_chains, n_draws)},
        coords,
        leading=(names.CHAIN, names.DRAW),
        attrs={
            "method": "ECR to the point estimate, then Stephens",
            "rows": x.n_rows,
            "rounds": found.rounds,
            "converged": str(found.converged),
            "switched_draws": found.n_switched,
            "ambiguous_draws": found.n_ambiguous,
            "ambiguous_below_nats": AMBIGUOUS,
            "r_hat_before": r_hat_before,
            "r_hat_after": r_hat_before if same else _worst_r_hat(posterior),
            "r_hat_invariant": _invariant_r_hat(fit),
        },
    )
    out[names.POSTERIOR] = posterior
    out[names.UNRELABELLED] = as_sampled
    out[names.RELABELLING] = record
    if reference is None:
        out.attrs[names.ORDER_STABLE] = int(order_is_stable(out))
    return out


class _Allocations:
    """Responsibilities of the rows in all draws, a chunk of draws at a time; kept if there are few enough."""

    def __init__(self, fitted: FittedMixture, draws: Mixtures, x: Rows) -> None:
        self._x = x
        self._arguments = draws.standardised(fitted.center, fitted.scale)
        self._noise_factors = draws.noise_factors
        self._keep = len(draws) * len(fitted.components) * x.n_rows <= _KEPT_NUMBERS
        self._kept: list[NDArray[np.float32]] = []

    def __call__(self) -> Iterator[Array]:
        if self._kept:
            yield from (chunk.astype(float) for chunk in self._kept)
            return
        log_weights, means, factors = self._arguments
        for begin in range(0, len(means), _DRAWS_AT_ONCE):
            part = slice(begin, begin + _DRAWS_AT_ONCE)
            at = log_weights[part], means[part], factors[part]
            noise = self._noise_factors[part]
            chunk, _ = self._x.rowwise_of_many(*at, noise_factors=noise, n_threads=n_processors())
            if self._keep:
                self._kept.append(chunk.astype(np.float32))
                chunk = self._kept[-1].astype(float)
            yield chunk


def _rows(fit: xr.DataTree, fitted: FittedMixture) -> Rows:
    rows = rows_in_units(stored_data(fit), fitted.center, fitted.scale, counted=False)
    if rows.n_rows > _MOST_ROWS:
        # The same rows in every call, so that the same draws get the same labels.
        rows = rows.taken(np.sort(np.random.default_rng(0).choice(rows.n_rows, _MOST_ROWS, replace=False)))
    return rows


def _check_reference(fitted: FittedMixture, reference: FittedMixture) -> None:
    if len(reference.components) != len(fitted.components) or reference.feature_names != fitted.feature_names:
        raise InputError(
            "reference",
            f"has {len(reference.components)} components of {listed(reference.feature_names)}",
            f"The fit has {len(fitted.components)} of {listed(fitted.feature_names)}; give a fit of the same shape",
        )
    if reference.groups is not None and not np.array_equal(reference.groups, fitted.groups):  # type: ignore[arg-type]
        has = "no groups" if fitted.groups is None else f"the groups {listed(fitted.groups.tolist())}"
        raise InputError(
            "reference",
            f"has the groups {listed(reference.groups.tolist())}",
            f"The fit has {has}; give a fit with the same",
        )


def _as_sampled(fit: xr.DataTree) -> xr.Dataset:
    if names.UNRELABELLED in fit.children:
        return fit[names.UNRELABELLED].to_dataset()
    as_sampled = fit[names.POSTERIOR].to_dataset()[["weights", "means", "covariances"]]
    as_sampled.attrs = {"meaning": "draws with the labels they were sampled with"}
    return as_sampled


def _permuted(fit: xr.DataTree, draws: Mixtures, orders: NDArray[np.intp], shape: tuple[int, int]) -> xr.Dataset:
    posterior = fit[names.POSTERIOR].to_dataset().transpose(names.CHAIN, names.DRAW, ...)
    values = parameters(
        permuted(draws.weights, orders, axis=-1), permuted(draws.means, orders), permuted(draws.covariances, orders)
    )
    # In one go: one by one xarray aligns all variables again for each of them.
    leading = names.CHAIN, names.DRAW
    moved = {
        name: ((*leading, *dims_in(posterior, name)), value.reshape(*shape, *value.shape[1:]), posterior[name].attrs)
        for name, value in values.items()
    }
    return posterior.assign(moved)


def _with_sds(posterior: xr.Dataset) -> xr.Dataset:
    covariances = posterior["covariances"].transpose(names.CHAIN, names.DRAW, *names.DIMS["covariances"])
    variances = np.diagonal(covariances.to_numpy(), axis1=-2, axis2=-1)
    return posterior.assign(sds=((names.CHAIN, names.DRAW, *names.DIMS["sds"]), np.sqrt(variances)))


def _worst_r_hat(posterior: xr.Dataset) -> float:
    """The largest R-hat of weights, means and standard deviations; NaN where nothing varies."""
    columns = []
    for name in _COMPARED:
        value = posterior[name].transpose(names.CHAIN, names.DRAW, ...).to_numpy()
        columns.append(value.reshape(*value.shape[:2], -1))
    return worst_r_hat(np.concatenate(columns, axis=2))


def _invariant_r_hat(fit: xr.DataTree) -> float:
    if names.SAMPLE_STATS not in fit.children or "invariants" not in fit[names.SAMPLE_STATS]:
        return float("nan")
    stats = fit[names.SAMPLE_STATS].to_dataset().transpose(names.CHAIN, names.DRAW, ...)
    return worst_r_hat(np.concatenate([stats["lp"].to_numpy()[..., None], stats["invariants"].to_numpy()], axis=2))
