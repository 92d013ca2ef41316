"""Ends at which two components are one: no optimum for so many components.

A point where two components coincide, or one holds nothing, is stationary for K components wherever it is for K - 1,
and has the value of that: it certifies nothing. Under priors it may be a maximum all the same, because the prior may
hold the two together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesgmm.engines import _curvature
from bayesgmm.engines._moves import merged, overlaps
from bayesgmm.engines._newton import FLAT, Point
from bayesgmm.engines._objective import Objective
from bayesgmm.engines.base import Parameters

# Pairs are looked at from this Bhattacharyya coefficient on, a distance of 0.6 standard deviations between equals.
_CLOSE = 0.95
_MOST_PAIRS = 3
# Rows below which a component is all but empty.
_EMPTY = 0.5
# Nats, in units of the tolerance of convergence, below which rows do not tell the two from one.
_TOLERANCES = 10.0


def coinciding(objective: Objective, point: Point, tolerance: float) -> bool:
    """Whether two components may be replaced by one without a loss of likelihood, and no prior makes that a maximum."""
    problem = objective.problem
    model = problem.model
    if problem.K < 2 or not model.means.free or model.means.ordered or model.covariances.linked:
        return False
    by_likelihood = len(model.improper_parts()) == 3
    pairs = _candidates(point, by_likelihood=by_likelihood)
    least = point.statistics.log_normaliser - _TOLERANCES * tolerance
    if not any(objective.statistics(_as_one(point, i, j)).log_normaliser >= least for i, j in pairs):
        return False
    return by_likelihood or not _strict(objective, point)


def _candidates(point: Point, *, by_likelihood: bool) -> list[tuple[int, int]]:
    """Pairs that may be one; an empty component is at home with any other, and no prior has put it there."""
    close = np.triu(overlaps(point.at), 1)
    first, second = np.unravel_index(np.argsort(-close, axis=None)[:_MOST_PAIRS], close.shape)
    pairs = [(int(i), int(j)) for i, j in zip(first, second, strict=True) if close[i, j] > _CLOSE]
    counts = point.statistics.counts
    if by_likelihood and counts.min() < _EMPTY:
        pairs.append((int(counts.argmax()), int(counts.argmin())))
    return pairs


def _as_one(point: Point, i: int, j: int) -> Parameters:
    """The point with components i and j at the mean and covariance of both together."""
    at = merged(point.at, point.statistics.counts, i, j)
    means, choleskys, log_weights = at.means.copy(), at.choleskys.copy(), at.log_weights.copy()
    means[j], choleskys[j] = means[i], choleskys[i]
    log_weights[..., [i, j]] = log_weights[..., [i]] - np.log(2.0)
    return replace(at, log_weights=log_weights, means=means, choleskys=choleskys)


def _strict(objective: Objective, point: Point) -> bool:
    """Whether the objective falls in every direction."""
    coordinates = objective.coordinates(point.at, point.statistics.weight_counts)
    hessian = _curvature.hessian(objective, coordinates, point.statistics)
    return not hessian.size or bool(np.linalg.eigvalsh(-hessian)[0] > FLAT)
