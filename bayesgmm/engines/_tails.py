"""Whether the rows of a component have far heavier tails than a Gaussian."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bayesgmm.engines._search import sample
from bayesgmm.engines.base import Parameters, Problem

# A kurtosis so many times that of a Gaussian, by so many standard errors, is a different shape and not a few odd rows.
_HEAVY, _BY_ERRORS = 1.25, 10.0


class Tails(NamedTuple):
    """The component with the heaviest tails, its kurtosis over that of a Gaussian, and the standard errors between."""

    component: int
    ratio: float
    errors: float


def heavy_tails(problem: Problem, at: Parameters) -> Tails | None:
    """The component whose rows are least like a Gaussian's, if tails are heavy beyond doubt; None if none are.

    By Mardia's (1970) kurtosis: the mean fourth power of the Mahalanobis distance from the component's own mean under
    its own covariance, each row weighted by its responsibility. It is d (d + 2) (n - 1) / (n + 1) for n rows of a
    Gaussian, with a standard error of sqrt(8 d (d + 2) / n). `at` is in standard units.
    """
    problem = sample(problem, np.random.default_rng(0))
    x, d = problem.rows.whole, problem.n_features
    if x is None or problem.n_groups is not None:
        return None
    responsibilities = problem.rows.rowwise_of_many(at.log_weights[None], at.means[None], at.precision_choleskys[None])[
        0
    ][0]
    found = []
    for k, r in enumerate(responsibilities):
        n = float(r.sum())
        if n <= 2 * d + 2:
            continue
        residuals = x - (x @ r / n)[:, None]
        scatter = (residuals * r) @ residuals.T / n
        try:
            z = np.linalg.solve(np.linalg.cholesky(scatter), residuals)
        except np.linalg.LinAlgError:  # rows in a plane have no tails to speak of
            continue
        expected = d * (d + 2) * (n - 1) / (n + 1)
        kurtosis = float(r @ np.square(np.square(z).sum(axis=0))) / n
        found.append(Tails(k, kurtosis / expected, (kurtosis - expected) / np.sqrt(8 * d * (d + 2) / n)))
    heavy = [each for each in found if each.ratio > _HEAVY and each.errors > _BY_ERRORS]
    return max(heavy, key=lambda each: each.errors, default=None)
