"""Small EM: many starts, a few steps each, and the most promising ones handed on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayesgmm._status import Status
from bayesgmm.engines._objective import Objective, maximise
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._sureness import GIVEN
from bayesgmm.engines.base import Array, Parameters, Problem
from bayesgmm.numerics.linalg import any_below
from bayesgmm.numerics.passes import Statistics
from bayesgmm.numerics.starts import Labels, partitions, random_partitions

# The search only has to find and rank basins, so it sees at most so many rows, or so many for each free parameter.
_MOST_TRIES = 4
_FEWEST_ROWS = 20_000
_ROWS_PER_PARAMETER = 100


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a short run ended: parameters, their statistics and the objective there."""

    method: str
    at: Parameters
    value: float
    statistics: Statistics | None
    status: Status

    @classmethod
    def given(cls, at: Parameters, method: str = GIVEN) -> Start:
        """A point of which nothing else is known yet."""
        return cls(method=method, at=at, value=np.nan, statistics=None, status=Status.SCREENED_OUT)


def collapsed(problem: Problem, at: Parameters, floor: float) -> bool:
    """Whether a free covariance is below the floor relative to the data covariance."""
    covariances = problem.model.covariances
    if covariances.bounded():
        return False
    choleskys = at.choleskys[:1] if covariances.tied else at.choleskys
    return any_below(choleskys, problem.data_cholesky, floor)


def too_few_rows(problem: Problem, counts: Array) -> bool:
    """Whether a component with an unbounded covariance of its own holds at most d + 1 effective rows."""
    covariances = problem.model.covariances
    if covariances.bounded() or covariances.tied or covariances.linked or problem.rows.blurred:
        return False
    return bool(counts.min() <= problem.n_features + 1)


def sample(problem: Problem, rng: np.random.Generator) -> Problem:
    """The problem with a random part of its rows, enough to find and rank basins; itself where it is small."""
    n, K, d = problem.n_obs, problem.K, problem.n_features
    most = max(_FEWEST_ROWS, _ROWS_PER_PARAMETER * K * (d + 1) * (d + 2) // 2)
    if n <= most:
        return problem
    chosen = np.sort(rng.choice(n, most, replace=False))
    return problem.part(chosen)


def short_runs(
    objective: Objective,
    *,
    n_init: int,
    short_steps: int,
    floor: float,
    rng: np.random.Generator,
    progress: Progress,
    hierarchical: bool = True,
    given: Sequence[Parameters] = (),
) -> list[Start]:
    """Starts in falling order of the objective after a few EM steps; runs that collapsed come last.

    They begin at the `given` points and at `n_init` partitions of the rows.
    """
    problem, K = objective.problem, objective.problem.K
    rows = np.ascontiguousarray(problem.x.T)
    whitened = np.linalg.solve(problem.data_cholesky, problem.x).T
    starts = [short_run(objective, at, GIVEN, short_steps, floor) for at in given]
    alive = 0
    # Where many collapse (a value that many rows share), others are drawn until enough are left to follow.
    offered = partitions(rows, whitened, K, _MOST_TRIES * n_init, rng, hierarchical=hierarchical)
    for done, (method, labels) in enumerate(offered, start=1):
        begin = _from_partition(problem, labels)
        starts.append(short_run(objective, begin, method, short_steps, floor))
        alive += starts[-1].status is not Status.SINGULAR
        progress.step("short runs", min(done, n_init), n_init)
        if done >= n_init and alive >= n_init / 2:
            break
    return sorted(starts, key=lambda start: (start.status is Status.SINGULAR, -start.value))


def fresh_starts(objective: Objective, *, short_steps: int, floor: float, rng: np.random.Generator) -> Iterator[Start]:
    """Short runs from random partitions without end."""
    problem = objective.problem
    rows = np.ascontiguousarray(problem.x.T)
    whitened = np.linalg.solve(problem.data_cholesky, problem.x).T
    for method, labels in random_partitions(rows, whitened, problem.K, rng):
        yield short_run(objective, _from_partition(problem, labels), method, short_steps, floor)


def short_run(objective: Objective, at: Parameters, method: str, steps: int, floor: float) -> Start:
    problem = objective.problem
    statistics = objective.statistics(at)
    status = Status.SCREENED_OUT
    for _ in range(steps):
        try:
            moved = maximise(problem.model, at, statistics, unconstrained=objective.unconstrained)
        except np.linalg.LinAlgError:
            status = Status.SINGULAR
            break
        if collapsed(problem, moved, floor):
            status = status if problem.rows.blurred else Status.SINGULAR
            break
        at = moved
        statistics = objective.statistics(at)
    return Start(method=method, at=at, value=objective.value_of(at, statistics), statistics=statistics, status=status)


def _from_partition(problem: Problem, labels: Labels) -> Parameters:
    """First parameters from a partition; each covariance is shrunk towards the pooled one by d + 2 rows.

    A group of a few rows would otherwise start singular. The shrinkage is affine-equivariant and only acts here.
    """
    K, (d, n) = problem.K, problem.x.shape
    counts = np.bincount(labels, minlength=K).astype(float)
    sums = np.stack([np.bincount(labels, row, K) for row in problem.x], axis=1)
    centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1.0)[:, None], 0.0)
    if problem.model.means.ordered:
        order = np.argsort(centers[:, 0], kind="stable")
        counts, centers, labels = counts[order], centers[order], np.argsort(order)[labels]
    residuals = problem.x - centers[labels].T
    scatter = np.stack([(residuals * (labels == k)) @ residuals.T for k in range(K)])
    pooled = scatter.sum(axis=0) / n + 1e-6 * problem.data_cholesky @ problem.data_cholesky.T
    # The model's own update wants statistics, so the pseudo-rows are mixed in without changing the counts.
    weight = (d + 2.0) / (counts + d + 2.0)
    scatter = (1.0 - weight)[:, None, None] * scatter + (weight * np.maximum(counts, 1.0))[:, None, None] * pooled
    statistics = Statistics(
        log_normaliser=np.nan, counts=np.maximum(counts, 1.0), first=np.zeros((K, d)), second=scatter
    )
    shape = (K,)
    if problem.n_groups is not None:
        assert problem.rows.groups is not None
        shape = problem.n_groups, K
        by_group = np.bincount(problem.rows.groups * K + labels, minlength=problem.n_groups * K).reshape(shape)
        statistics = replace(statistics, group_counts=np.maximum(by_group, 1.0))
    choleskys = np.repeat(problem.data_cholesky[None], K, axis=0)
    begin = Parameters(
        log_weights=np.full(shape, -np.log(K)), means=centers, choleskys=choleskys, log_noise=problem.typical_log_noise
    )
    try:
        return maximise(problem.model, begin, statistics)
    except np.linalg.LinAlgError:  # prior and rows of scales so different that their sum has no factor
        return begin
