"""Optima at which a component has no spread of its own.

Where every value has an error or is known up to a bin, the likelihood stays bounded as a component's covariance goes
to 0, and it may be largest there: the errors then explain all spread.
"""

from __future__ import annotations

import numpy as np

from bayesgmm.engines._newton import Point
from bayesgmm.engines._objective import Objective
from bayesgmm.engines.base import Array, Problem
from bayesgmm.model import Diagonal, Full, Spherical, Tied

# Eigenvalues relative to the data covariance: rounding spoils gradients below the first, and none above the second is
# taken for 0.
SMALLEST = 1e-9
_LARGEST = 1e-2
_SHRINK = 1e-6
# Nats that a boundary may cost and count as one, in units of the tolerance of convergence.
_TOLERANCES = 10.0


def at_boundary(objective: Objective, point: Point, tolerance: float) -> bool:
    """Whether a component fits as well with no spread at all in some direction."""
    problem = objective.problem
    covariances = problem.model.covariances
    structure = covariances.structure if isinstance(covariances, Tied) else covariances
    if not problem.rows.blurred or not isinstance(structure, (Full, Diagonal, Spherical)):
        return False
    K = 1 if isinstance(covariances, Tied) else problem.K
    for k in range(K):
        which = np.arange(problem.K) if K == 1 else np.array([k])
        shrunk = _shrunk(problem, point.at.covariances[k], structure)
        if shrunk is None:
            continue
        choleskys = point.at.choleskys.copy()
        choleskys[which] = np.linalg.cholesky(shrunk)
        if objective.value(point.at.with_choleskys(choleskys))[0] >= point.value - _TOLERANCES * tolerance:
            return True
    return False


def _shrunk(problem: Problem, covariance: Array, structure: Full | Diagonal | Spherical) -> Array | None:
    """The covariance with its smallest spread, relative to the data, nearly 0; None if that is not small."""
    R = problem.data_cholesky
    if isinstance(structure, Full):
        inverse = np.linalg.inv(R)
        values, vectors = np.linalg.eigh(inverse @ covariance @ inverse.T)
        if values[0] > _LARGEST:
            return None
        values[0] = max(values[0] * _SHRINK, SMALLEST)
        back = R @ vectors
        return (back * values) @ back.T
    spread = np.square(R).sum(axis=1)
    variances = np.diag(covariance).copy()
    smallest = int((variances / spread).argmin())
    if variances[smallest] > _LARGEST * spread[smallest]:
        return None
    least = max(variances[smallest] * _SHRINK, SMALLEST * spread[smallest])
    if isinstance(structure, Spherical):
        variances[:] = least
    else:
        variances[smallest] = least
    return np.diag(variances)
