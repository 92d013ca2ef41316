"""The covariance that one component is expected to have, on which default priors of a known number of them rest.

The covariance of the data holds the spread between groups as well, so it is no scale for the groups themselves. Groups
are looked for by k-means and where rows are densest, and the scale W of the prior Sigma_k ~ InverseWishart(nu, nu W)
is the one under which they are likeliest: empirical Bayes by EM, in which W^-1 becomes the mean of the expected
precisions. It is a mean of precisions and not of covariances because a wide group must not blow up a narrow one: a
scale that is too large is worth many rows, one that is too small only a few.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from bayesgmm.engines.base import Array, Problem
from bayesgmm.model import Diagonal, Spherical, Tied
from bayesgmm.numerics.linalg import inverse_lower, outer, symmetrised
from bayesgmm.numerics.starts import agreeing

# A scale needs no more rows than this.
_MOST_ROWS = 2000
# The best of so many partitions by k-means, each of so many of Lloyd's steps.
_PARTITIONS, _LLOYD_STEPS = 8, 20
# A dense group to begin with has so many rows for each that a covariance needs; so many places are tried.
_DENSE, _PLACES = 5, 3
# Nats that another place to begin than k-means costs for each number of a component: of several looks at rows without
# groups one is always a little likelier, and too narrow. Places have Akaike weights (Burnham & Anderson 2002), since a
# choice between them would jump with one row more; those with less than so much are left out.
_COST, _LEAST_SHARE = 1.0, 0.01
# Groups that k-means cuts out of one are too narrow, so EM begins half way to equal shares of the volume of all data,
# and where it begins counts like so many components in the mean of precisions. A dense group begins as narrow as it is
# but for so many rows of that width.
_SHARE, _WORTH, _WIDER = 0.5, 0.25, 1.0
# Steps of EM for each place to begin, and for the one that is taken. They are small where they turn round, too, so that
# only very small ones are an end.
_FIRST_STEPS, _MOST_STEPS, _STEADY = 20, 80, 1e-6
# No direction of a component is expected to be narrower than this part of the data's variance.
_NARROWEST = 1e-4


def within_covariance(problem: Problem) -> Array:
    """The covariance (d, d), in standard units, that one component of the model is expected to have.

    It depends on the rows, but not on their order or on a seed, and changes with their units as the covariance of the
    data does: under all linear maps for full covariances, under those that the structure allows for others.
    """
    K = problem.K
    total = outer(problem.data_cholesky)
    if K == 1:
        return total
    structure = problem.model.covariances
    kind = structure.structure if isinstance(structure, Tied) else structure
    separate = isinstance(kind, (Diagonal, Spherical))

    def places_of(own: Problem) -> Array:
        return own.x.T if separate else np.linalg.solve(own.data_cholesky, own.x).T

    places = places_of(problem)
    # In order of their distance from the middle, which neither a linear map nor another order of the rows changes.
    order = np.argsort(np.square(places - places.mean(axis=0)).sum(axis=1), kind="stable")
    if order.size > _MOST_ROWS:
        order = order[np.linspace(0, order.size - 1, _MOST_ROWS).astype(np.intp)]
        kept = np.sort(order)
        problem, order = problem.part(kept), np.searchsorted(kept, order)
        places = places_of(problem)
    units = problem.rows.units_by_row()
    ordered = places[order]
    tied = isinstance(structure, Tied)
    cost = _COST * (1 + problem.n_features + structure.n_free(1, problem.n_features))
    tried: list[tuple[NDArray[np.intp], bool]] = []
    scores: list[float] = []
    for partition, dense in _partitions(ordered, K, units[order], kind.fewest_rows(problem.n_features)):
        labels = np.empty(order.size, dtype=np.intp)
        labels[order] = partition
        narrow = dense and not tied
        tried.append((labels, narrow))
        log_likelihood, _ = _likeliest(problem, labels, narrow, units, kind, tied=tied, steps=_FIRST_STEPS)
        scores.append(log_likelihood - dense * cost)
    shares = softmax(scores)
    precision = np.zeros((problem.n_features, problem.n_features))
    for share, (labels, narrow) in zip(shares, tried, strict=True):
        if share >= _LEAST_SHARE:
            W = _likeliest(problem, labels, narrow, units, kind, tied=tied, steps=_MOST_STEPS)[1]
            precision += share / shares[shares >= _LEAST_SHARE].sum() * np.linalg.inv(W)
    W = np.linalg.inv(precision)
    return symmetrised(W)


def _likeliest(
    problem: Problem, labels: NDArray[np.intp], narrow: bool, units: Array, kind: object, *, tied: bool, steps: int
) -> tuple[float, Array]:
    """Empirical Bayes from a partition, in which the last group may be narrow: the log-likelihood at its end, and W."""
    K, d = problem.K, problem.n_features
    if problem.rows.known is not None:
        labels = agreeing(labels, problem.rows.known, K)
    total = outer(problem.data_cholesky)
    shares = np.eye(K)[labels] * units[:, None]
    counts = shares.sum(axis=0)
    means = (problem.x @ shares / np.maximum(counts, 1.0)).T
    residuals = problem.x - means[labels].T
    pooled = (residuals * units) @ residuals.T / counts.sum()
    if problem.noise is not None:
        pooled = pooled + problem.noise.typical
    W = _shaped(_SHARE * pooled + (1.0 - _SHARE) * total * K ** (-2.0 / d), kind)
    least = _NARROWEST * _shaped(total, kind)
    to_unit = inverse_lower(problem.data_cholesky)
    covariances = np.repeat(W[None], K, axis=0)
    df = 3.0 if isinstance(kind, (Diagonal, Spherical)) else d + 2.0
    # A spherical variance is estimated from all features of a row.
    worth = float(d) if isinstance(kind, Spherical) else 1.0
    if narrow:
        # As wide as the others it would take in their rows at once, and be lost.
        own = _shaped((residuals * units * (labels == K - 1)) @ residuals.T, kind)
        covariances[-1] = (worth * own + _WIDER * W) / (worth * counts[-1] + _WIDER)
        W = np.linalg.inv(np.linalg.inv(covariances).mean(axis=0))
    first_precision = np.linalg.inv(W)
    log_likelihood = -np.inf
    for _ in range(steps):
        log_weights = np.log((counts + 1.0) / (counts.sum() + K))
        factors = inverse_lower(np.linalg.cholesky(covariances))
        seen = problem.statistics_at(log_weights, means, factors, log_noise=problem.typical_log_noise)
        log_likelihood, counts = seen.log_normaliser, seen.counts
        step = seen.first / np.maximum(counts, 1.0)[:, None]
        scatter = seen.second - counts[:, None, None] * step[:, :, None] * step[:, None, :]
        means = means + step
        rows = counts
        if tied:
            scatter, rows = scatter.sum(axis=0, keepdims=True), counts.sum(keepdims=True)
        expected = worth * _shaped(scatter, kind) + df * W
        covariances = np.repeat(expected / (worth * rows + df)[:, None, None], 1 if not tied else K, axis=0)
        precision = np.linalg.inv(covariances).mean(axis=0)
        before, W = W, np.linalg.inv((precision + _WORTH * first_precision) / (1.0 + _WORTH)) + least
        # In units of the data, so that the last step does not depend on the axes.
        if np.linalg.norm(to_unit @ (W - before) @ to_unit.T) < _STEADY:
            break
    return log_likelihood, W


def _shaped(matrices: Array, kind: object) -> Array:
    """Matrices (..., d, d) with what a structure leaves free."""
    if not isinstance(kind, (Diagonal, Spherical)):
        return symmetrised(matrices)
    d = matrices.shape[-1]
    variances = np.diagonal(matrices, axis1=-2, axis2=-1)
    if isinstance(kind, Spherical):
        variances = np.repeat(variances.mean(axis=-1, keepdims=True), d, axis=-1)
    return variances[..., None] * np.eye(d)


def _partitions(places: Array, K: int, units: Array, fewest_rows: int) -> Iterator[tuple[NDArray[np.intp], bool]]:
    """Partitions of rows (n, d) to begin with, and whether the last group is where rows are dense.

    A covariance needs `fewest_rows`.
    """
    from scipy.spatial import KDTree

    yield _k_means(places, K, units), False
    # A narrow group within a wide one is where rows are densest, and no partition into far apart groups shows it.
    n = len(places)
    size = min(_DENSE * fewest_rows, n // (2 * K))
    if size < 2:
        return
    distances, neighbours = (np.asarray(each) for each in KDTree(places).query(places, size))
    radius = distances[:, -1].copy()
    for _ in range(_PLACES):
        dense = neighbours[int(radius.argmin())]
        labels = np.zeros(n, dtype=np.intp)
        rest = np.delete(np.arange(n), dense)
        if K > 2:
            labels[rest] = _k_means(places[rest], K - 1, units[rest])
        labels[dense] = K - 1
        yield labels, True
        radius[np.isin(neighbours, dense).any(axis=1)] = np.inf
        if not np.isfinite(radius).any():
            return


def _k_means(places: Array, K: int, units: Array) -> NDArray[np.intp]:
    """The partition of rows (n, d) with the least scatter of several by k-means, each from k-means++ seeds."""
    rng = np.random.default_rng(0)
    best, least = np.zeros(len(places), dtype=np.intp), np.inf
    for _ in range(_PARTITIONS):
        chosen = rng.choice(len(places), p=units / units.sum())
        centers = places[chosen][None]
        distance = np.square(places - centers[0]).sum(axis=1)
        for _ in range(1, K):
            weight = distance * units
            # Fewer distinct rows than groups leave nothing to choose by distance.
            chosen = rng.choice(len(places), p=weight / weight.sum()) if weight.sum() > 0 else 0
            centers = np.vstack([centers, places[chosen]])
            distance = np.minimum(distance, np.square(places - places[chosen]).sum(axis=1))
        labels = np.zeros(len(places), dtype=np.intp)
        for _ in range(_LLOYD_STEPS):
            moved = (np.square(centers).sum(axis=1) - 2.0 * places @ centers.T).argmin(axis=1)
            shares = np.eye(K)[moved] * units[:, None]
            counts = shares.sum(axis=0)
            centers = np.where(counts[:, None] > 0, shares.T @ places / np.maximum(counts, 1e-300)[:, None], centers)
            if np.array_equal(moved, labels):
                break
            labels = moved
        scatter = float((np.square(places - centers[labels]).sum(axis=1) * units).sum())
        if scatter < least:
            best, least = labels, scatter
    return best
