"""Which group of rows is which component, where the prior tells components apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from bayesgmm.engines._objective import log_prior, maximise
from bayesgmm.engines.base import Array, Order, Parameters
from bayesgmm.model import FilledMixture
from bayesgmm.numerics.linalg import inverse_lower, log_det
from bayesgmm.numerics.passes import Statistics

# For more components so many pairs would cost more than the climbs.
_MOST_COMPONENTS = 20


def told_apart(model: FilledMixture) -> bool:
    """Whether means or covariances have other priors for some components than for others, in no order of their own."""
    K = model.n_components
    keys = set(zip(model.means.keys(K), model.covariances.keys(K), strict=True))
    return 1 < K <= _MOST_COMPONENTS and len(keys) > 1 and not model.means.ordered


def placed(model: FilledMixture, begin: Parameters, statistics: Statistics) -> Order:
    """The group that each component takes, so that rows and prior together are likeliest after one update.

    Climbs change places only by chance. That of component k with group j is taken from updates in which all groups move
    on by some places, put into one mixture for the sake of the prior.
    """
    K, places = model.n_components, np.arange(model.n_components)
    base = maximise(model, begin, statistics)
    worth = np.empty((K, K))
    for shift in range(K):
        order = (places + shift) % K
        at = base if shift == 0 else maximise(model, begin.reordered(order), reordered(statistics, order))
        likelihoods = _likelihoods(at, reordered(statistics, order), begin.means[order])
        for k in range(K):
            worth[k, order[k]] = likelihoods[k] + log_prior(model, _with(base, at, k), False)
    return np.asarray(linear_sum_assignment(np.nan_to_num(worth, nan=-np.inf, neginf=-1e300), maximize=True)[1])


def reordered(statistics: Statistics, order: Order) -> Statistics:
    """Counts and moments with the groups in another order."""
    by_group = statistics.group_counts
    return replace(
        statistics,
        counts=statistics.counts[order],
        first=statistics.first[order],
        second=statistics.second[order],
        group_counts=None if by_group is None else by_group[:, order],
    )


def _likelihoods(at: Parameters, statistics: Statistics, centers: Array) -> Array:
    """Log-likelihood of each group of rows under its component, up to a constant; `second` is about the centers."""
    inverses = inverse_lower(at.choleskys)
    away = np.square((inverses @ (centers - at.means)[..., None])[..., 0]).sum(axis=-1)
    spread = np.einsum("kij,kjl,kil->k", inverses, statistics.second, inverses)
    weights = (statistics.weight_counts * at.log_weights).reshape(-1, len(centers)).sum(axis=0)
    n = statistics.counts
    return weights - 0.5 * n * log_det(at.choleskys) - 0.5 * (spread + n * away)


def _with(base: Parameters, at: Parameters, k: int) -> Parameters:
    """One mixture with component k of another one."""
    own = np.arange(len(base.means)) == k
    return replace(
        base,
        log_weights=np.where(own, at.log_weights, base.log_weights),
        means=np.where(own[:, None], at.means, base.means),
        choleskys=np.where(own[:, None, None], at.choleskys, base.choleskys),
    )
