"""Small EM: many starts, a few steps each, and the most promising ones handed on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayesgmm._status import Status
from bayesgmm.engines._objective import Objective, maximise
from bayesgmm.engines._places import placed, reordered, told_apart
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._sureness import GIVEN
from bayesgmm.engines.base import Array, Parameters, Problem
from bayesgmm.numerics.linalg import any_below
from bayesgmm.numerics.passes import Statistics
from bayesgmm.numerics.starts import Labels, agreeing, partitions, random_partitions

# The search only has to find and rank basins, so it sees at most so many rows, or so many for each free parameter.
_MOST_TRIES = 4
_FEWEST_ROWS = 20_000
_ROWS_PER_PARAMETER = 100
# Standard deviations of a component, in those of the data, that no rows ask for, and that no prior may ask for.
_BEYOND, _BEYOND_ALL = 1e8, 1e35


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


def burst(problem: Problem, at: Parameters) -> bool:
    """Whether a covariance has left the scale of the data, or with a prior any scale that one may have.

    Without a prior that of a component without rows does, where the density of logarithms of its sds is maximised. With
    one it is a climb that lost its way, where next to nothing is left of the digits.
    """
    prior = problem.model.covariances.innermost
    improper = prior is not None and not prior.proper
    return bool(np.abs(at.choleskys).max() > (_BEYOND if improper else _BEYOND_ALL))


def too_few_rows(problem: Problem, counts: Array, fewest_rows: int = 0) -> bool:
    """Whether a component with an unbounded covariance of its own holds no more effective rows than that needs.

    Or no more than `fewest_rows`, if that is larger.
    """
    covariances = problem.model.covariances
    if covariances.bounded() or covariances.tied or covariances.linked or problem.rows.blurred:
        return False
    return bool(counts.min() <= max(fewest_rows, covariances.fewest_rows(problem.n_features)))


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

    They begin at the `given` points and at `n_init` partitions of the rows, or where the problem says alone.
    """
    problem, K = objective.problem, objective.problem.K
    rows = np.ascontiguousarray(problem.x.T)
    whitened = np.linalg.solve(problem.data_cholesky, problem.x).T
    if problem.only_start is not None:
        return [short_run(objective, problem.only_start, GIVEN, short_steps, floor)]
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
    """First parameters from a partition; each covariance is shrunk towards the pooled one.

    By one row more than it needs: a group of a few rows would otherwise start singular. The shrinkage is
    affine-equivariant and only acts here.
    """
    K = problem.K
    if problem.rows.known is not None:
        labels = agreeing(labels, problem.rows.known, K)
    counts = np.bincount(labels, minlength=K).astype(float)
    sums = np.stack([np.bincount(labels, row, K) for row in problem.x], axis=1)
    centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1.0)[:, None], 0.0)
    residuals = problem.x - centers[labels].T
    scatter = np.stack([(residuals * (labels == k)) @ residuals.T for k in range(K)])
    by_group = None
    if problem.n_groups is not None:
        assert problem.rows.groups is not None
        numbers = problem.rows.groups * K + labels
        by_group = np.bincount(numbers, minlength=problem.n_groups * K).reshape(-1, K).astype(float)
    return _first_update(problem, counts, centers, scatter, by_group, any_order=problem.rows.known is None)


def from_shares(problem: Problem, shares: Array) -> Parameters:
    """First parameters from responsibilities (K, N), as from a partition."""
    if problem.rows.known is not None:
        known = problem.rows.known >= 0
        shares = np.where(known, problem.rows.known == np.arange(problem.K)[:, None], shares)
    counts = shares.sum(axis=1)
    centers = shares @ problem.x.T / np.maximum(counts, np.finfo(float).tiny)[:, None]
    residuals = problem.x - centers[:, :, None]
    scatter = (residuals * shares[:, None]) @ np.swapaxes(residuals, 1, 2)
    by_group = None
    if problem.n_groups is not None:
        groups = problem.rows.groups
        by_group = np.stack([shares[:, groups == g].sum(axis=1) for g in range(problem.n_groups)])
    return _first_update(problem, counts, centers, scatter, by_group)


def _first_update(
    problem: Problem, counts: Array, centers: Array, scatter: Array, by_group: Array | None, *, any_order: bool = False
) -> Parameters:
    """The model's own update from counts (K,), centers (K, d) and scatter (K, d, d) of groups of rows, shrunk.

    In `any_order` groups go to the components that expect them.
    """
    K, (d, n) = problem.K, problem.x.shape
    if problem.model.means.ordered:
        order = np.argsort(centers[:, 0], kind="stable")
        counts, centers, scatter = counts[order], centers[order], scatter[order]
        by_group = None if by_group is None else by_group[:, order]
    pooled = scatter.sum(axis=0) / n + 1e-6 * problem.data_cholesky @ problem.data_cholesky.T
    # The model's own update wants statistics, so the pseudo-rows are mixed in without changing the counts.
    shrunk_by = 1.0 + problem.model.covariances.fewest_rows(d)
    weight = shrunk_by / (counts + shrunk_by)
    scatter = (1.0 - weight)[:, None, None] * scatter + (weight * np.maximum(counts, 1.0))[:, None, None] * pooled
    statistics = Statistics(
        log_normaliser=np.nan, counts=np.maximum(counts, 1.0), first=np.zeros((K, d)), second=scatter
    )
    shape = (K,)
    if by_group is not None:
        shape = by_group.shape
        statistics = replace(statistics, group_counts=np.maximum(by_group, 1.0))
    choleskys = np.repeat(problem.data_cholesky[None], K, axis=0)
    begin = Parameters(
        log_weights=np.full(shape, -np.log(K)), means=centers, choleskys=choleskys, log_noise=problem.typical_log_noise
    )
    try:
        if any_order and told_apart(problem.model):
            order = placed(problem.model, begin, statistics)
            begin, statistics = begin.reordered(order), reordered(statistics, order)
        return maximise(problem.model, begin, statistics)
    except np.linalg.LinAlgError:  # prior and rows of scales so different that their sum has no factor
        return begin
