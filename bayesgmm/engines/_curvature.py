"""The Hessian of the objective, from one second pass and derivatives of functions of a few numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesgmm.engines._objective import Coordinates, Objective
from bayesgmm.engines.base import Array, Parameters
from bayesgmm.numerics.linalg import inverse_lower, lower_indices
from bayesgmm.numerics.passes import Statistics

# Step of central differences, in coordinates of order one; none of the functions differenced sees the rows.
_STEP = 1e-4
# What the pass costs, in passes that return statistics.
PASSES = 2


def hessian(objective: Objective, coordinates: Coordinates, statistics: Statistics) -> Array:
    """Second derivatives in u of the objective at the reference point of the coordinates, (p, p).

    With theta the log weights, means and covariances: J' H J, with H the second derivatives of the log-likelihood in
    theta and J = d theta / du, plus the second derivatives of theta(u) and of the prior at the slopes that the
    statistics give. Only H needs the rows.

    Parameters
    ----------
    objective : Objective
    coordinates : Coordinates
        Laid round the point.
    statistics : Statistics
        Of the reference point.
    """
    problem, reference = objective.problem, coordinates.reference
    objective.passes += PASSES
    at = reference.log_weights, reference.means, reference.choleskys
    factor, free = float(np.exp(2.0 * reference.log_noise)), coordinates.noise_scale is not None
    by_group = problem.rows.curvature(*at, noise_factor=factor, free_noise=free)
    by_means, by_sigma = statistics.slopes(reference.precision_choleskys)
    held = replace(statistics, mean_slope=by_means, sigma_slope=by_sigma)
    p = coordinates.size
    bent = np.empty((p, p))
    for i in range(p):
        u = np.zeros(p)
        gradients = []
        for u[i] in (_STEP, -_STEP):
            gradients.append(objective.prior_and_gradient(coordinates, coordinates.parameters(u), held)[1])
        bent[i] = (gradients[0] - gradients[1]) / (2 * _STEP)
    return 0.5 * (bent + bent.T) + pulled_back(by_group, coordinates)


def pulled_back(by_group: dict[int, Array], coordinates: Coordinates) -> Array:
    """J' H J summed over groups, from second derivatives in the coordinates of `numerics.curvature`."""
    p, reference = coordinates.size, coordinates.reference
    if p == 0:  # everything is known
        return np.zeros((0, 0))
    steps = _STEP * np.vstack([np.eye(p), -np.eye(p)])
    points = [_natural(coordinates.parameters(u), reference) for u in steps]
    out = np.zeros((p, p))
    for group, second in by_group.items():
        each = np.array([_of_group(point, group) for point in points])
        J = ((each[:p] - each[p:]) / (2 * _STEP)).T
        out += J.T @ second @ J
    return out


def _natural(point: Parameters, reference: Parameters) -> tuple[Array, Array, float]:
    """Log weights, and means and covariances in units of the reference's components, as `numerics.curvature` wants."""
    inverse = inverse_lower(reference.choleskys)
    means = (inverse @ (point.means - reference.means)[..., None])[..., 0]
    L = inverse @ point.choleskys
    i, j = lower_indices(means.shape[1])
    return point.log_weights, np.hstack([means, (L @ np.swapaxes(L, -1, -2))[:, i, j]]), float(point.log_noise)


def _of_group(natural: tuple[Array, Array, float], group: int) -> Array:
    log_weights, rest, log_noise = natural
    return np.append(np.hstack([np.atleast_2d(log_weights)[group][:, None], rest]).ravel(), log_noise)
