"""The nodes of a warped Normal, and their distances: logarithms that are linear in log scale, skew and c."""

from __future__ import annotations

from functools import cache

import numpy as np

from bayesgmm.model._spec import Array

# The nodes reach so many sds of z to either side, and each has a width of one distance between them: their sum then
# differs from a Normal density by a factor of 1.00004 at most within 3 sds with 13 to 51 nodes.
_REACH = 4.0
# Tails of one side: z^2 / (1 + z^2 / this), and the least c, so that distances are not lost in rounding.
_FLATTENS, _DEEPEST = 4.0, 6.0


def distance(K: int) -> float:
    """Between neighbouring nodes."""
    return 2.0 * _REACH / (K - 1)


def nodes(K: int) -> Array:
    """Values of z, from below to above 0."""
    return distance(K) * (np.arange(float(K)) - K // 2)


def shares(K: int) -> Array:
    """Weights of the nodes; with the width of one distance they add up to a variance of 1."""
    density = np.exp(-0.5 * np.square(nodes(K)) / (1.0 - distance(K) ** 2))
    return density / density.sum()


def curvature_of(tails: Array, side: str) -> tuple[Array, Array]:
    """The number c, and its slope in tails."""
    if side == "both":
        return 0.5 * np.expm1(tails), 0.5 * np.exp(tails)
    u = 0.5 * np.expm1(-tails)
    bound = 1.0 + u / _DEEPEST
    return -u / bound, 0.5 * np.exp(-tails) / np.square(bound)


def tails_of(c: Array, side: str) -> Array:
    """The inverse of `curvature_of`."""
    return np.log1p(2.0 * c) if side == "both" else -np.log1p(-2.0 * c / (1.0 + c / _DEEPEST))


@cache
def design_of(skewed: bool, tails: str | None, K: int) -> Array:
    """What logarithms of distances are of log scale, skew and c, at the places between the nodes."""
    z = nodes(K)
    between = 0.5 * (z[1:] + z[:-1])
    columns = [np.ones_like(between)]
    columns += [between] if skewed else []
    if tails == "both":
        columns.append(np.square(between))
    elif tails is not None:
        own = between < 0 if tails == "below" else between > 0
        columns.append(own * np.square(between) / (1.0 + np.square(between) / _FLATTENS))
    return np.stack(columns, axis=1)


@cache
def reader_of(skewed: bool, tails: str | None, K: int) -> Array:
    return np.asarray(np.linalg.pinv(design_of(skewed, tails, K)), dtype=float)


@cache
def from_the_middle(K: int) -> Array:
    """What places relative to the middle node are of distances, (K, K - 1)."""
    before, after = np.tril(np.ones((K, K)), -1)[:, : K - 1], np.arange(K - 1) < K // 2
    return before - after


@cache
def neighbours(K: int) -> Array:
    """Logarithms of slopes at nodes from those between them, (K, K - 1); carried on at both ends."""
    out = np.zeros((K, K - 1))
    inner = np.arange(1, K - 1)
    out[inner, inner - 1] = out[inner, inner] = 0.5
    out[0, :2], out[-1, -2:] = (1.5, -0.5), (-0.5, 1.5)
    return out


def widths(means: Array) -> Array:
    """Standard deviations (..., K) at means (..., K, 1)."""
    x = means[..., 0]
    return np.exp(np.log(np.diff(x, axis=-1)) @ neighbours(x.shape[-1]).T)
