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
# Numbers held for the covariances of many points.
_NUMBERS_AT_ONCE = 1_000_000
# Differences that are so small a part of the largest are none.
_ROUNDING = 1e-10
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
    from scipy.sparse import csr_array

    p = coordinates.size
    out = np.zeros((p, p))
    if p == 0:  # everything is known
        return out
    for group, J in natural_slopes(coordinates, list(by_group)).items():
        sparse = csr_array(J)  # most coordinates move one component
        out += sparse.T @ (sparse.T @ by_group[group]).T
    return out


def natural_slopes(coordinates: Coordinates, groups: list[int]) -> dict[int, Array]:
    """J, derivatives of the coordinates of `numerics.curvature` (K D + 1, p) in u at the reference, by group."""
    p, reference = coordinates.size, coordinates.reference
    found: dict[int, list[Array]] = {group: [] for group in groups}
    size = max(1, _NUMBERS_AT_ONCE // reference.choleskys.size)
    for begin in range(0, p, size):
        steps = _STEP * np.eye(p)[begin : begin + size]
        ahead, behind = (_natural(coordinates.parameters(each), reference) for each in (steps, -steps))
        for group in groups:
            found[group].append((_of_group(ahead, group) - _of_group(behind, group)).T / (2 * _STEP))
    out = {group: np.hstack(parts) for group, parts in found.items()}
    for J in out.values():
        J[np.abs(J) < _ROUNDING * np.abs(J).max(axis=0)] = 0.0
    return out


def _natural(points: Parameters, reference: Parameters) -> tuple[Array, Array, Array]:
    """Log weights, and means and covariances in units of the reference's components, as `numerics.curvature` wants."""
    inverse = inverse_lower(reference.choleskys)
    means = (inverse @ (points.means - reference.means)[..., None])[..., 0]
    L = inverse @ points.choleskys
    i, j = lower_indices(means.shape[-1])
    rest = np.concatenate([means, (L @ np.swapaxes(L, -1, -2))[..., i, j]], axis=-1)
    return points.log_weights, rest, np.broadcast_to(points.log_noise, len(means))


def _of_group(natural: tuple[Array, Array, Array], group: int) -> Array:
    """One row a point."""
    log_weights, rest, log_noise = natural
    own = log_weights if log_weights.ndim == 2 else log_weights[:, group]
    each = np.concatenate([own[..., None], rest], axis=-1).reshape(len(rest), -1)
    return np.hstack([each, log_noise[:, None]])
