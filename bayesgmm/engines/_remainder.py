"""How far a log posterior of very many rows is from its parabola, seen in a part of the rows.

Next to a mode of N rows the log density is a parabola but for a remainder of third order, a sum over rows in which
each has next to nothing. A random part of the rows estimates it with an error of order 1 / sqrt(n N), where a sum of
log densities over the part would have one of order sqrt(N / n) (a difference estimator; Quiroz et al. 2019). So weights
of a Normal need no pass over all rows for each draw.
"""

from __future__ import annotations

import numpy as np

from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._normal import NormalApproximation
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Array, Parameters, Problem

# Of a component with fewer rows than this in the part, the part says too little.
FEWEST_ROWS = 200.0


def log_ratios(
    problem: Problem, part: Problem, normal: NormalApproximation, points: Parameters, progress: Progress
) -> Array | None:
    """Log density less that of the Normal at its mode, up to a constant, at many points (S,).

    Each point costs a pass over the rows of the part. None is returned where a component has too few of them.

    Parameters
    ----------
    problem : Problem
    part : Problem
        The same with a random part of the rows.
    normal : NormalApproximation
        Round a mode of the problem, with the curvature there.
    points : Parameters
    progress : Progress
    """
    objective, coordinates = Objective(part, unconstrained=True), normal.coordinates
    at_mode, gradient, _, statistics = objective.value_and_gradient(coordinates, np.zeros(coordinates.size))
    if statistics.weight_counts.min() < FEWEST_ROWS:
        return None
    u = coordinates.coordinates(points)
    parabola = u @ gradient + 0.5 * np.einsum("si,ij,sj->s", u, hessian(objective, coordinates, statistics), u)
    likelihoods, _ = part.likelihoods(points, progress, with_counts=False)
    values = likelihoods + normal.log_prior(points)
    # The prior is in the part's density as well. Its own remainder is taken N / n times, which is still nothing.
    return problem.rows.units() / part.rows.units() * (values - at_mode - parabola)
