"""Draws of a fit in standard units, components named alike in all of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bayesgmm.engines.base import Array, Outcome, Parameters, Problem
from bayesgmm.numerics.relabelling import permuted, relabelling

# Labels are told apart by so many rows as well as by all.
_ROWS_FOR_LABELS = 1000
_DRAWS_AT_ONCE = 200


def matched_draws(problem: Problem, outcome: Outcome) -> tuple[Parameters, int]:
    """Draws in standard units with matched labels, and the number of their chains."""
    draws = outcome.draws
    assert draws is not None
    with np.errstate(divide="ignore"):
        points = Parameters(
            log_weights=np.log(draws.weights),
            means=draws.means,
            choleskys=np.linalg.cholesky(draws.covariances),
            log_noise=np.zeros(len(draws.means)) if draws.noise_scale is None else np.log(draws.noise_scale),
        )
    points = problem.units.to_standard(points)
    chains = int(outcome.notes["n_chains"])
    if outcome.sampling is None or problem.K == 1:
        return points, chains
    n = problem.n_obs
    some = problem if n <= _ROWS_FOR_LABELS else problem.part(np.linspace(0, n - 1, _ROWS_FOR_LABELS).astype(np.intp))
    at = problem.units.to_standard(outcome.point)
    pivot = some.rows.rowwise_of_many(at.log_weights[None], at.means[None], at.precision_choleskys[None])[0][0]
    keys = problem.model.keys()

    def allocations() -> Iterator[Array]:
        for begin in range(0, len(points.means), _DRAWS_AT_ONCE):
            part = points.taken(slice(begin, begin + _DRAWS_AT_ONCE))
            where = part.log_weights, part.means, part.precision_choleskys
            yield some.rows.rowwise_of_many(*where, noise_factors=np.exp(2.0 * part.log_noise))[0]

    classes = np.array([keys.index(key) for key in keys])
    orders = relabelling(allocations, pivot, classes, n_draws=len(points.means), row_weight=n / some.rows.n_rows).orders
    moved = Parameters(
        log_weights=permuted(points.log_weights, orders, axis=-1),
        means=permuted(points.means, orders),
        choleskys=permuted(points.choleskys, orders),
        log_noise=points.log_noise,
    )
    return moved, chains
