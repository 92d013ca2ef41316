"""Small EM: many starts, a few steps each, and the most promising ones handed on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesgmm._status import Status
from bayesgmm.engines._objective import Objective, maximise
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Array, Parameters, Problem
from bayesgmm.numerics.linalg import any_below
from bayesgmm.numerics.passes import Statistics
from bayesgmm.numerics.starts import partitions

# Short runs only have to rank basins, so they see at most this many rows for each free parameter of a component ...
_ROWS_PER_PARAMETER = 200
_FEWEST_ROWS = 5000
# ... and this many of the best go on with all rows before the final choice.
_SECOND_ROUND = 12


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a short run ended: parameters, their statistics and the objective there."""

    method: str
    at: Parameters
    value: float
    statistics: Statistics | None
    status: Status


def collapsed(problem: Problem, at: Parameters, floor: float) -> bool:
    """Whether a free covariance is below the floor relative to the data covariance."""
    model = problem.model
    prior = model.covariances.innermost
    if prior is None or prior.bounded():
        return False
    choleskys = at.choleskys[:1] if model.covariances.tied else at.choleskys
    return any_below(choleskys, problem.data_cholesky, floor)


def too_few_rows(problem: Problem, counts: Array) -> bool:
    """Whether a component with an unbounded covariance of its own holds at most d + 1 effective rows."""
    covariances = problem.model.covariances
    prior = covariances.innermost
    if prior is None or prior.bounded() or covariances.tied:
        return False
    return bool(counts.min() <= problem.n_features + 1)


def short_runs(
    problem: Problem,
    *,
    n_init: int,
    short_steps: int,
    floor: float,
    unconstrained: bool,
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[list[Start], int]:
    """Starts in falling order of the objective after a few EM steps, and the passes over all rows they took.

    Runs that collapsed come last. Where there are many rows the first round sees a random part of them, and only the
    best go through a second round with all.
    """
    n, K, d = problem.n_obs, problem.K, problem.n_features
    most = max(_FEWEST_ROWS, _ROWS_PER_PARAMETER * K * (d + 1) * (d + 2) // 2)
    part = problem
    if n > most:
        chosen = np.sort(rng.choice(n, most, replace=False))
        part = replace(problem, x=np.ascontiguousarray(problem.x[:, chosen]))
    objective = Objective(part, unconstrained=unconstrained)
    rows = np.ascontiguousarray(part.x.T)
    whitened = np.linalg.solve(problem.data_cholesky, part.x).T
    starts = []
    for method, labels in partitions(rows, whitened, K, n_init, rng):
        begin = _from_partition(part, labels)
        starts.append(short_run(objective, begin, method, short_steps, floor))
        progress.step("short runs", len(starts), n_init if K > 1 else 1)
    starts.sort(key=_rank)
    share = part.n_obs / n
    passes = int(np.ceil(objective.passes * share))
    if part is not problem:
        objective = Objective(problem, unconstrained=unconstrained)
        again = [start for start in starts[:_SECOND_ROUND] if start.status is Status.SCREENED_OUT]
        others = starts[len(again) :]  # collapsed runs are last, so `again` is a head of the list
        rerun = [short_run(objective, start.at, start.method, short_steps, floor) for start in again]
        # Values over a part of the rows cannot be compared with values over all, so the rest only keep their order.
        rest = [replace(start, statistics=None, value=start.value / share) for start in others]
        rerun.sort(key=_rank)
        starts = rerun + rest
        passes += objective.passes
    return starts, passes


def _rank(start: Start) -> tuple[bool, float]:
    return start.status is Status.SINGULAR, -start.value


def short_run(objective: Objective, at: Parameters, method: str, steps: int, floor: float) -> Start:
    problem = objective.problem
    value, statistics = objective.value(at)
    status = Status.SCREENED_OUT
    for _ in range(steps):
        try:
            moved = maximise(problem.model, at, statistics, unconstrained=objective.unconstrained)
        except np.linalg.LinAlgError:
            status = Status.SINGULAR
            break
        if collapsed(problem, moved, floor):
            status = Status.SINGULAR
            break
        at = moved
        value, statistics = objective.value(at)
    return Start(method=method, at=at, value=value, statistics=statistics, status=status)


def _from_partition(problem: Problem, labels: Array) -> Parameters:
    """First parameters from a partition; each covariance is shrunk towards the pooled one by d + 2 rows.

    A group of a few rows would otherwise start singular. The shrinkage is affine-equivariant and only acts here.
    """
    K, (d, n) = problem.K, problem.x.shape
    counts = np.bincount(labels, minlength=K).astype(float)
    sums = np.stack([np.bincount(labels, row, K) for row in problem.x], axis=1)
    centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1.0)[:, None], 0.0)
    residuals = problem.x - centers[labels].T
    scatter = np.stack([(residuals * (labels == k)) @ residuals.T for k in range(K)])
    pooled = scatter.sum(axis=0) / n + 1e-6 * problem.data_cholesky @ problem.data_cholesky.T
    # The model's own update wants statistics, so the pseudo-rows are mixed in without changing the counts.
    weight = (d + 2.0) / (counts + d + 2.0)
    scatter = (1.0 - weight)[:, None, None] * scatter + (weight * np.maximum(counts, 1.0))[:, None, None] * pooled
    statistics = Statistics(
        log_normaliser=np.nan, counts=np.maximum(counts, 1.0), first=np.zeros((K, d)), second=scatter
    )
    begin = Parameters(
        log_weights=np.full(K, -np.log(K)), means=centers, choleskys=np.repeat(np.linalg.cholesky(pooled)[None], K, 0)
    )
    return maximise(problem.model, begin, statistics)
