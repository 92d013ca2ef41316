"""By how much intervals of a variational posterior are too narrow, as far as its importance weights can tell."""

from __future__ import annotations

import numpy as np

from bayesgmm._words import counted
from bayesgmm.engines._adaptive import log_weights
from bayesgmm.engines._draws import Draws
from bayesgmm.engines._importance import WORST_PARETO_K, smoothed
from bayesgmm.engines.base import Array

_OVERLAP = "Intervals of VB are too narrow where components overlap."
_AND_UNSEEN = (
    "Intervals of VB are too narrow where components overlap, or values are missing, have errors or are in bins."
)
_REMEDY = "NUTS gives calibrated ones."
# Standard deviations under weights that are worth fewer draws than this are guesses.
_FEWEST = 100.0
# Weights that differ by less are all the same, and q is the posterior.
_SAME = 1e-8  # nats


def caveat(draws: Draws, counts: Array, *, needed: int, exact: bool) -> str | None:
    """What to know about intervals from q, in sentences; None where q is the posterior.

    Parameters
    ----------
    draws : Draws
        From q, with their densities.
    counts : (K,) array
        Rows that q expects in each component.
    needed : int
        Rows without which a component rests on the prior.
    exact : bool
        Whether all rows were observed as they are; one component of such rows has q for its posterior.
    """
    assert draws.log_proposal is not None
    ratios = log_weights(draws.log_joint, draws.log_proposal)
    empty = int((counts < needed).sum())
    if draws.means.shape[1] == 1 and exact and np.ptp(ratios) < _SAME:
        return None
    first = _OVERLAP if exact else _AND_UNSEEN
    return f"{first} {_by_how_much(draws, ratios, empty, needed)} {_REMEDY}"


def _by_how_much(draws: Draws, ratios: Array, empty: int, needed: int) -> str:
    unknown = "By how much cannot be told from these weights"
    if empty:
        holds = "hold" if empty > 1 else "holds"
        few = f"fewer than the {needed} rows that a covariance needs" if needed > 1 else "no row"
        return (
            f"{unknown}: q leaves {counted(empty, 'component')} that {holds} {few}, and "
            "importance weights do not see what such a component would hold elsewhere."
        )
    importance = smoothed(ratios)
    k, effective = importance.pareto_k, importance.effective
    if np.isnan(k):
        return f"{unknown}: there are too few draws."
    if k > WORST_PARETO_K:
        return f"{unknown}: their Pareto k is {k:.2f}, above {WORST_PARETO_K}."
    if effective < _FEWEST:
        return f"{unknown}: they are worth {effective:.0f} draws."
    told = [
        f"{ratio:.2f} ({name})"
        for name, ratio in (
            ("weights", _largest_ratio(draws.weights, importance.shares)),
            ("means", _largest_ratio(draws.means, importance.shares)),
        )
        if ratio is not None
    ]
    if not told:
        return f"{unknown}: weights and means are known."
    # Weights of the farthest draws are the least sure, so that what they say is short of the truth.
    return (
        f"By importance weights, posterior standard deviations round q are {' and '.join(told)} times those of q where "
        "they differ most, or more; what q leaves out altogether, weights do not see."
    )


def _largest_ratio(values: Array, shares: Array) -> float | None:
    """The largest ratio of weighted to plain standard deviations, over all entries that vary."""
    flat = values.reshape(len(values), -1)
    plain = flat.std(axis=0)
    weighted = np.sqrt(shares @ np.square(flat - shares @ flat))
    varies = plain > 0
    return float((weighted[varies] / plain[varies]).max()) if varies.any() else None
