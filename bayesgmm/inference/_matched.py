"""Draws of a fit in standard units, components named alike in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bayesgmm.engines.base import Array, Outcome, Parameters, Problem
from bayesgmm.numerics.relabelling import Relabelling, permuted, relabelling

# Allocation probabilities of so many rows tell labels apart as well as those of all.
_MOST_ROWS = 1000
_DRAWS_AT_ONCE = 200


def matched(problem: Problem, reference: Parameters, points: Parameters) -> tuple[Parameters, Relabelling]:
    """Many points with the labels of a reference, and what had to be done; all are in standard units."""
    n, keys = problem.n_obs, problem.model.keys()
    if n > _MOST_ROWS:
        # The same rows in every call, so that the same draws get the same labels.
        problem = problem.part(np.sort(np.random.default_rng(0).choice(n, _MOST_ROWS, replace=False)))

    def allocations() -> Iterator[Array]:
        for begin in range(0, len(points.means), _DRAWS_AT_ONCE):
            yield problem.responsibilities(points.taken(slice(begin, begin + _DRAWS_AT_ONCE)))

    pivot = problem.responsibilities(Parameters.stacked([reference]))[0]
    classes = np.array([keys.index(key) for key in keys])
    found = relabelling(allocations, pivot, classes, n_draws=len(points.means), row_weight=n / problem.n_obs)
    moved = replace(
        points,
        log_weights=permuted(points.log_weights, found.orders, axis=-1),
        means=permuted(points.means, found.orders),
        choleskys=permuted(points.choleskys, found.orders),
    )
    return moved, found


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
    if outcome.to_be_relabelled:
        points, _ = matched(problem, problem.units.to_standard(outcome.point), points)
    return points, int(outcome.notes["n_chains"])
