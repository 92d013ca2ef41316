"""The Hessian of the objective, from one second pass and derivatives of functions of a few numbers."""

from __future__ import annotations

import numpy as np

from bayesgmm.engines._objective import Coordinates, Objective, recentred
from bayesgmm.engines.base import Array
from bayesgmm.numerics.label_covariance import feature_coefficients, label_covariance
from bayesgmm.numerics.passes import Statistics

# Step of central differences, in coordinates of order one; none of the functions differenced sees the rows.
_STEP = 1e-4
# What the pass costs, in passes that return statistics.
PASSES = 2


def hessian(objective: Objective, coordinates: Coordinates, statistics: Statistics) -> Array:
    """Second derivatives in u of the objective at the reference point of the coordinates, (p, p).

    The Hessian of the expected complete log density plus the covariance of its gradient over the unknown labels
    (Louis 1982). Only the second needs the rows.

    Parameters
    ----------
    objective : Objective
    coordinates : Coordinates
        Laid round the point.
    statistics : Statistics
        Of the reference point.
    """
    problem, reference = objective.problem, coordinates.reference
    groups = problem.rows.whole_groups()
    if groups is None:
        return _by_differences(objective, coordinates)
    objective.passes += PASSES
    shared = reference.means, reference.precision_choleskys
    covariances = [label_covariance(x, np.atleast_2d(reference.log_weights)[g], *shared) for g, x in groups]
    p = coordinates.size
    complete = np.empty((p, p))
    by_coordinate = np.empty((len(groups), len(covariances[0]), p))
    for i in range(p):
        u = np.zeros(p)
        gradients, coefficients = [], []
        for u[i] in (_STEP, -_STEP):
            at = coordinates.parameters(u)
            about = recentred(statistics, reference.means, at.means)
            gradients.append(objective.prior_and_gradient(coordinates, at, about)[1])
            shared = at.means, at.precision_choleskys, reference.means, reference.choleskys
            of_groups = [feature_coefficients(np.atleast_2d(at.log_weights)[g], *shared) for g, _ in groups]
            coefficients.append(np.array(of_groups))
        complete[i] = (gradients[0] - gradients[1]) / (2 * _STEP)
        by_coordinate[..., i] = (coefficients[0] - coefficients[1]) / (2 * _STEP)
    out = 0.5 * (complete + complete.T)
    for covariance, slopes in zip(covariances, by_coordinate, strict=True):
        out = out + slopes.T @ covariance @ slopes
    return out


def _by_differences(objective: Objective, coordinates: Coordinates) -> Array:
    """The same from differences of gradients, each of which is a pass, where rows are not whole."""
    p = coordinates.size
    out = np.empty((p, p))
    for i in range(p):
        u = np.zeros(p)
        slopes = []
        for u[i] in (_STEP, -_STEP):
            slopes.append(objective.value_and_gradient(coordinates, u)[1])
        out[i] = (slopes[0] - slopes[1]) / (2 * _STEP)
    return 0.5 * (out + out.T)
