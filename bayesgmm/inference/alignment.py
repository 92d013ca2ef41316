"""The names of an earlier fit for the components of a later one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm._words import listed
from bayesgmm.numerics.linalg import log_det, outer

if TYPE_CHECKING:
    import xarray as xr

    from bayesgmm.results import FittedMixture, Mixtures

Array = NDArray[np.float64]

# Pairs of draws that are compared, evenly spaced.
_MOST_DRAWS = 100
# Two components that overlap by less have nothing to do with each other: equal Normals 4.9 sds apart.
_LEAST_OVERLAP = 0.05
# Share of pairs of draws, or by how much the runner-up overlaps less where there are none, from which on one is sure.
_SURE, _CLEARLY_LESS = 0.95, 0.5


def align(new_fit: xr.DataTree, old_fit: xr.DataTree) -> xr.DataTree:
    """Give the components of a refit the order and the names of an earlier fit.

    Each component is matched to the one of the earlier fit whose density it overlaps, all of them together: the sum of
    ``sqrt(w v) BC`` over the matched pairs is as large as it can be, with w and v their weights and BC the
    Bhattacharyya coefficient of their densities (1 for the same density, 0 for none in common), averaged over the
    posterior draws where there are some. Pairs with a BC below 0.05 are not matched.

    Parameters
    ----------
    new_fit : DataTree
        From `fit`: of more rows, another engine, or another number of components.
    old_fit : DataTree
        A fit to the same features, whose order and names are taken on.

    Returns
    -------
    DataTree
        A copy of `new_fit`. Matched components come first, in the order of `old_fit` and under its names; those that
        match none of its components follow, with their own names if these are free and with fresh ones otherwise.
        Posterior, point estimate, assignments with their labels, optimization, all other groups with components, and
        the declarations in the attributes follow. Where the order of components is part of the prior (stick-breaking
        weights, evenly spaced means) only names change.

        The group ``alignment`` says how sure the match is, for each component: ``overlap``, the BC with the component
        of `old_fit` of the same name (NaN if it is new); ``runner_up``, the component of `old_fit` with the next
        largest one, and ``runner_up_overlap``; ``probability``, the share of the pairs of draws of both fits that match
        the two as well (NaN without draws); and ``former_name``. Its attributes hold ``new`` and ``gone``, names
        without a partner as JSON, ``sure`` (1 or 0) and a ``message``. It is sure if every probability is at least
        0.95, or without draws no runner-up overlaps by more than half as much; ``order_stable`` in the attributes of
        the result says the same.

    Raises
    ------
    InputError
        If one of them is no fit, or they are fits to different features.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> rows = bg.datasets.load_faithful()
    >>> named = bg.GaussianMixture(2, component_names=["short", "long"])
    >>> old = bg.fit(named, rows[:200], engine=bg.EM(), random_seed=1)
    >>> new = bg.align(bg.fit(bg.GaussianMixture(2), rows, engine=bg.EM(), random_seed=1), old)
    >>> new["point_estimate"]["component"].values.tolist()
    ['short', 'long']
    >>> new["alignment"].attrs["message"]
    '2 of 2 components are those of the earlier fit.'
    """
    import xarray as xr

    from bayesgmm.results import FIT, read_result, sealed
    from bayesgmm.results.reorder import renamed_result

    new, old = read_result(new_fit, "new_fit"), read_result(old_fit, "old_fit")
    if new.feature_names != old.feature_names:
        raise InputError(
            "old_fit",
            f"is a fit to the features {listed(old.feature_names)}",
            f"Those of new_fit are {listed(new.feature_names)}; give fits to the same features in the same order",
        )
    overlaps, scores = _overlaps(new, old)
    partner = _partners(overlaps.mean(axis=0), scores.mean(axis=0))
    matched = np.flatnonzero(partner >= 0)
    order = np.concatenate([matched[np.argsort(partner[matched])], np.flatnonzero(partner < 0)])
    partner = partner[order]
    called = _names(old.components, partner, new.components[order])
    out = renamed_result(new_fit, order, called)
    table = _table(overlaps.mean(axis=0)[order], partner, old.components, new.components[order])
    table["probability"] = names.COMPONENT, _probability(overlaps, scores, order, partner)
    # Components that cannot change places have kept theirs.
    table = xr.Dataset(table, coords={names.COMPONENT: called}).sel(
        {names.COMPONENT: out[names.POINT][names.COMPONENT].to_numpy()}
    )
    out[names.ALIGNMENT] = table.assign_attrs(_verdict(table, partner, old.components, called, len(overlaps)))
    out.attrs[names.ORDER_STABLE] = out[names.ALIGNMENT].attrs["sure"]
    return sealed(out, FIT)


def _overlaps(new: FittedMixture, old: FittedMixture) -> tuple[Array, Array]:
    """Bhattacharyya coefficients (S, K, J) of components in pairs of draws, and the same times roots of weights."""
    first, second = (_thinned(fitted) for fitted in (new, old))
    S = max(len(first), len(second)) if 1 in (len(first), len(second)) else min(len(first), len(second))
    (w, m, L), (v, n, R) = ((each.weights, *_standard(each, new)) for each in (first.thinned(S), second.thinned(S)))
    middle = np.linalg.cholesky(0.5 * (outer(L)[:, :, None] + outer(R)[:, None]))
    apart = np.linalg.solve(middle, (m[:, :, None] - n[:, None])[..., None])[..., 0]
    volumes = log_det(middle) - 0.5 * (log_det(L)[:, :, None] + log_det(R)[:, None])
    overlaps = np.exp(-0.125 * np.square(apart).sum(axis=-1) - 0.5 * volumes)
    return overlaps, overlaps * np.sqrt(w[:, :, None] * v[:, None])


def _thinned(fitted: FittedMixture) -> Mixtures:
    return fitted.pooled(fitted.point if fitted.draws is None else fitted.draws.thinned(_MOST_DRAWS))


def _standard(mixtures: Mixtures, fitted: FittedMixture) -> tuple[Array, Array]:
    """Means and Choleskys in the standard units of a fit."""
    means = (mixtures.means - fitted.center) / fitted.scale
    return means, np.linalg.cholesky(mixtures.covariances / fitted.scale[:, None] / fitted.scale)


def _partners(overlap: Array, score: Array) -> NDArray[np.intp]:
    """Number of the old component of each new one (K,), -1 for none."""
    from scipy.optimize import linear_sum_assignment

    partner = np.full(len(overlap), -1)
    for k, j in zip(*linear_sum_assignment(score, maximize=True), strict=True):
        if overlap[k, j] >= _LEAST_OVERLAP:
            partner[k] = j
    return partner


def _names(old: NDArray[Any], partner: NDArray[np.intp], own: NDArray[Any]) -> NDArray[Any]:
    """Names of the old components, and fresh ones for those without a partner."""
    numbered, used = old.dtype.kind in "iu", set(old.tolist())
    called: list[Any] = []
    for k, j in enumerate(partner):
        if j >= 0:
            called.append(old[j].item())
            continue
        if numbered:
            fresh = max(used) + 1
        else:
            tried = [str(own[k]), *(f"new {i}" for i in range(1, len(used) + 2))]
            # A number among names says nothing.
            tried = tried if own.dtype.kind not in "iu" else tried[1:]
            fresh = next(name for name in tried if name not in used)
        used.add(fresh)
        called.append(fresh)
    return np.array(called)


def _table(overlap: Array, partner: NDArray[np.intp], old: NDArray[Any], former: NDArray[Any]) -> dict[str, Any]:
    places, by_component = np.arange(len(overlap)), (names.COMPONENT,)
    others = overlap.copy()
    has = partner >= 0
    others[places[has], partner[has]] = -np.inf
    next_best = others.argmax(axis=1)
    is_there = np.isfinite(others[places, next_best])
    own = np.where(has, overlap[places, np.maximum(partner, 0)], np.nan)
    return {
        "overlap": (by_component, own),
        "runner_up": (by_component, np.where(is_there, old[next_best].astype(str), "")),
        "runner_up_overlap": (by_component, np.where(is_there, others[places, next_best], np.nan)),
        "former_name": (by_component, former.astype(str)),
    }


def _probability(overlaps: Array, scores: Array, order: NDArray[np.intp], partner: NDArray[np.intp]) -> Array:
    """Share of the pairs of draws that give a component the same partner, or none as well."""
    if len(overlaps) == 1:
        return np.full(order.size, np.nan)
    each = np.array([_partners(*pair)[order] for pair in zip(overlaps, scores, strict=True)])
    return (each == partner).mean(axis=0)


def _verdict(
    table: xr.Dataset, partner: NDArray[np.intp], old: NDArray[Any], called: NDArray[Any], draws: int
) -> dict[str, Any]:
    gone = np.delete(old, partner[partner >= 0]).tolist()
    fresh = called[partner < 0].tolist()
    overlap, runner_up = (table[name].fillna(0.0).to_numpy() for name in ("overlap", "runner_up_overlap"))
    if draws > 1:
        doubtful = table["probability"].to_numpy() < _SURE
    else:
        doubtful = runner_up > _CLEARLY_LESS * np.maximum(overlap, _LEAST_OVERLAP)
    sentences = [f"{partner.size - len(fresh)} of {partner.size} components are those of the earlier fit"]
    sentences += [f"new: {', '.join(map(str, fresh))}"] if fresh else []
    sentences += [f"gone: {', '.join(map(str, gone))}"] if gone else []
    unsure = table[names.COMPONENT].to_numpy()[doubtful].tolist()
    sentences += [f"not sure of {', '.join(map(str, unsure))}"] if unsure else []
    return {
        "message": "; ".join(sentences) + ".",
        "sure": int(not unsure),
        "new": json.dumps(fresh),
        "gone": json.dumps(gone),
        "draws": draws if draws > 1 else 0,
    }
