"""Split-and-merge moves: new starts made from the best optimum found so far (Ueda et al. 2000).

Where components overlap, most optima differ in which of them share a dense region, and random starts rarely
change just that. A move merges two components into one with their common moments and splits another in two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesgmm.engines.base import Array, Parameters
from bayesgmm.model import FilledMixture
from bayesgmm.numerics.linalg import cholesky_lifted, inverse_lower, log_det

# The halves of a split stand so many sds of the old component from its mean; their common mean and covariance
# are those of the component.
_HALF_DISTANCE = 0.7
# Covariance of the narrow one of two halves with the same mean, relative to that of both.
_NARROW = 0.3


def moves(
    model: FilledMixture, at: Parameters, counts: Array, n_moves: int, rng: np.random.Generator
) -> list[Parameters]:
    """At most `n_moves` neighbours of a point, merge candidates close to each other first."""
    K = model.n_components
    if K < 2 or not model.means.free or model.means.ordered:
        return []
    triples = [(i, j, k) for i in range(K) for j in range(i + 1, K) for k in range(K) if k != j]
    closeness = overlaps(at)
    # Random order first, so that equally close pairs are not always split in the same component.
    # Few components have few triples; each is then tried with several directions of the split, where there are some.
    if at.means.shape[1] > 1:
        triples *= max(1, n_moves // len(triples))
    order = rng.permutation(len(triples))
    ranked = sorted(order, key=lambda t: -closeness[triples[t][0], triples[t][1]])
    chosen = ranked[: n_moves // 2]
    rest = ranked[n_moves // 2 :]
    chosen += list(rng.permutation(rest)[: n_moves - len(chosen)])
    return [_moved(at, counts, triples[t], rng) for t in chosen]


def splits(at: Parameters) -> list[Parameters]:
    """Starts with one component more: each component split in two that have its mean and covariance together.

    Once along its longest axis and once into a narrow and a wide one, largest component first.
    """
    pooled = at.log_weights if at.log_weights.ndim == 1 else np.logaddexp.reduce(at.log_weights, axis=0)
    out = []
    for k in np.argsort(-pooled, kind="stable"):
        values, vectors = np.linalg.eigh(at.covariances[k])
        offset = _HALF_DISTANCE * np.sqrt(values[-1]) * vectors[:, -1]
        apart = at.covariances[k] - np.outer(offset, offset)
        out.append(_with_halves(at, int(k), offset, (apart, apart)))
        narrow, wide = (factor * at.covariances[k] for factor in (_NARROW, 2.0 - _NARROW))
        out.append(_with_halves(at, int(k), np.zeros_like(offset), (narrow, wide)))
    return out


def _with_halves(at: Parameters, k: int, offset: Array, covariances: tuple[Array, Array]) -> Parameters:
    """Component k as two of half its weight; the second comes last."""
    halved = at.log_weights.copy()
    halved[..., k] -= np.log(2.0)
    means, choleskys = at.means.copy(), at.choleskys.copy()
    means[k] = at.means[k] - offset
    choleskys[k] = np.linalg.cholesky(covariances[0])
    return replace(
        at,
        log_weights=np.concatenate([halved, halved[..., [k]]], axis=-1),
        means=np.vstack([means, at.means[k] + offset]),
        choleskys=np.concatenate([choleskys, np.linalg.cholesky(covariances[1])[None]]),
    )


def overlaps(at: Parameters) -> Array:
    """Bhattacharyya coefficients of all pairs of components."""
    sums = (at.covariances[:, None] + at.covariances[None]) / 2
    delta = at.means[:, None] - at.means[None]
    try:
        factors = np.linalg.cholesky(sums)
    except np.linalg.LinAlgError:  # behind errors of measurement, and of nearly collinear rows, they may have no factor
        factors = np.array([[cholesky_lifted(each) for each in row] for row in sums])
    whitened = (inverse_lower(factors) @ delta[..., None])[..., 0]
    log_dets = log_det(at.choleskys)
    # Not below 0, but for rounding and what was lifted.
    log_ratio = np.maximum(log_det(factors) - 0.5 * (log_dets[:, None] + log_dets[None]), 0.0)
    return np.exp(-np.square(whitened).sum(axis=-1) / 8 - log_ratio / 2)


def merged(at: Parameters, counts: Array, i: int, j: int) -> Parameters:
    """Component i with the weight, mean and covariance of i and j together; j is left as it is."""
    n = counts + 1e-3
    means, choleskys, log_weights = at.means.copy(), at.choleskys.copy(), at.log_weights.copy()
    share = n[i] / (n[i] + n[j])
    delta = means[i] - means[j]
    covariance = share * at.covariances[i] + (1 - share) * at.covariances[j]
    covariance += share * (1 - share) * np.outer(delta, delta)
    means[i] = share * means[i] + (1 - share) * means[j]
    choleskys[i] = cholesky_lifted(covariance)
    log_weights[..., i] = np.logaddexp(log_weights[..., i], log_weights[..., j])
    return replace(at, log_weights=log_weights, means=means, choleskys=choleskys)


def _moved(at: Parameters, counts: Array, triple: tuple[int, int, int], rng: np.random.Generator) -> Parameters:
    """For (i, j, k): merge j into i, then split k between k and j."""
    i, j, k = triple
    at = merged(at, counts, i, j)
    means, covariances, log_weights = at.means.copy(), at.covariances.copy(), at.log_weights.copy()

    direction = rng.standard_normal(means.shape[1])
    L = cholesky_lifted(covariances[k])
    offset = _HALF_DISTANCE * L @ (direction / np.sqrt(direction @ direction))
    covariances[k] -= np.outer(offset, offset)
    covariances[j] = covariances[k]
    means[j], means[k] = means[k] - offset, means[k] + offset
    log_weights[..., [j, k]] = log_weights[..., [k]] - np.log(2.0)
    choleskys = np.stack([cholesky_lifted(each) for each in covariances])
    return replace(at, log_weights=log_weights, means=means, choleskys=choleskys)
