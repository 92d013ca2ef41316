"""Second derivatives of the log-likelihood, which is the second pass over the rows.

The coordinates of component k are its log weight, its mean in units of its Cholesky factor L, and the lower triangle of
L^-1 Sigma L^-T; D = (d + 1)(d + 2) / 2 in all. The log of the factor of all errors comes last, behind the K D others.
With s_ik the slopes of log w_k f_k(row i), the second derivatives are the covariance of s_i over the unknown label plus
the expected second derivatives of log f_k (Louis 1982; McLachlan & Krishnan 2008, section 4.2). For a Normal with
covariance T = Sigma + C, P = T^-1 and u = P (y - m), those are

    [dm, dm']       -P
    [dm, dSigma]    -P dSigma u
    [dSigma, dS']    tr((P / 2 - u u') dSigma P dS')

In u and P nothing is lost where an error dwarfs the covariance, as it would be in moments of the true values.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics.linalg import lower_indices

Array = NDArray[np.float64]

# Numbers held for one block of rows: slopes of all components.
NUMBERS_AT_ONCE = 2_000_000


def n_coordinates(d: int) -> int:
    """D: log weight, mean and covariance of one component."""
    return (d + 1) * (d + 2) // 2


def rows_at_once(K: int, d: int) -> int:
    """Rows in a block."""
    return max(1, NUMBERS_AT_ONCE // (K * n_coordinates(d)))


def empty(K: int, d: int) -> Array:
    """The matrix to which parts of the rows add theirs."""
    size = K * n_coordinates(d) + 1
    return np.zeros((size, size))


def covariance_slopes(u: Array, P: Array) -> Array:
    """Slopes (D - d - 1, n) in the lower triangle of Sigma, from u (d, n) and P (d, d) or (n, d, d)."""
    i, j = lower_indices(len(u))
    each = P[i, j][:, None] if P.ndim == 2 else P[:, i, j].T
    return np.where(i == j, 0.5, 1.0)[:, None] * (u[i] * u[j] - each)


def add_label_covariance(
    out: Array, units: Array, r: Array, slopes: Array, by_noise: Array | None = None, *, products: bool = False
) -> None:
    """Add the covariance of slopes over the unknown labels.

    With `products` add only minus the products of each row's expected slopes, which are its slopes under unknown
    labels: minus the information, where the rows are what the mixture produces.

    Parameters
    ----------
    out : (K D + 1, K D + 1) array
    units : (n,) array
        How many units each row stands for.
    r : (K, n) array
        Responsibilities.
    slopes : (K, D - 1, n) array
        In mean and covariance of each component; the slope in the log weight is 1.
    by_noise : (K, n) array, optional
        In the log of the factor of all errors.
    """
    K, n = r.shape
    D = slopes.shape[1] + 1
    expected = np.empty((K * D + 1, n))
    expected[-1] = 0.0
    for k in range(K):
        own = slice(k * D, (k + 1) * D)
        block = np.concatenate([np.ones((1, n)), slopes[k]])
        np.multiply(block, r[k], out=expected[own])
        if by_noise is not None:
            expected[-1] += r[k] * by_noise[k]
        if products:
            continue
        weighted = expected[own] * units
        out[own, own] += weighted @ block.T
        if by_noise is not None:
            with_noise = weighted @ by_noise[k]
            out[own, -1] += with_noise
            out[-1, own] += with_noise
            out[-1, -1] += (units * r[k]) @ np.square(by_noise[k])
    # Written so that one half of the symmetric product is computed.
    expected *= np.sqrt(units)
    out -= expected @ expected.T


def add_normal(out: Array, k: int, weights: Array, u: Array, P: Array, noise: Array | None = None) -> None:
    """Add the expected second derivatives of the log density of component k.

    Parameters
    ----------
    out : (K D + 1, K D + 1) array
    weights : (n,) array
        Responsibilities times units.
    u : (d, n) array
    P : (d, d) or (n, d, d) array
        One for all rows, or one each.
    noise : (d, d) or (n, d, d) array, optional
        Derivative of T in the log of the factor of all errors. It has rows if P has.
    """
    d = len(u)
    D = n_coordinates(d)
    begin = k * D + 1
    means, rest = slice(begin, begin + d), slice(begin + d, (k + 1) * D)
    double = _duplication(d)
    weighted = u * weights
    if P.ndim == 2:
        count, square = weights.sum(), weighted @ u.T
        PP = count * P
        Pu = np.multiply.outer(P, weighted.sum(axis=1))
        fourth = np.multiply.outer(0.5 * count * P - square, P)
    else:
        flat = P.reshape(-1, d * d)
        PP = (weights @ flat).reshape(d, d)
        Pu = (flat.T @ weighted.T).reshape(d, d, d)
        half = 0.5 * flat - np.einsum("an,bn->nab", u, u).reshape(-1, d * d)
        fourth = ((half * weights[:, None]).T @ flat).reshape(d, d, d, d)
    out[means, means] -= PP
    # -P E u with E_ij: rows a, columns (i, j).
    cross = -Pu.reshape(d, d * d) @ double
    out[means, rest] += cross
    out[rest, means] += cross.T
    # tr(Q E P F) = Q_ab E_bc P_ce F_ea.
    square = double.T @ fourth.transpose(1, 2, 3, 0).reshape(d * d, d * d) @ double
    out[rest, rest] += 0.5 * (square + square.T)
    if noise is None:
        return
    if P.ndim == 2:
        P, noise = P[None], noise[None]
    PE = P @ noise
    PEu = np.einsum("nab,bn->an", PE, u) if len(P) > 1 else PE[0] @ u
    by_mean = -(PEu @ weights)
    # Both orders of tr((P / 2 - u u') E P F), F that of the noise.
    PEP = PE @ P
    total = np.einsum("n,nab->ab", weights, PEP) if len(P) > 1 else weights.sum() * PEP[0]
    uu = (PEu * weights) @ u.T
    by_sigma = double.T @ (0.5 * total - 0.5 * (uu + uu.T)).ravel()
    both = np.einsum("nab,nba->n", PE, PE)
    bent = np.einsum("an,nab,bn->n", u, noise @ PE, u) if len(P) > 1 else np.einsum("an,an->n", u, (noise @ PE)[0] @ u)
    out[means, -1] += by_mean
    out[-1, means] += by_mean
    out[rest, -1] += by_sigma
    out[-1, rest] += by_sigma
    # E itself doubles its logarithm, so that its own slope comes in twice.
    out[-1, -1] += weights @ (0.5 * both - bent) + 2.0 * weights @ noise_slopes(u, P, noise)


def noise_slopes(u: Array, P: Array, noise: Array) -> Array:
    """Slopes (n,) in the log of the factor of all errors; `noise` is the derivative of T."""
    P, noise = (each if each.ndim == 3 else each[None] for each in (P, noise))
    square = np.einsum("an,nab,bn->n", u, noise, u) if len(noise) > 1 else np.einsum("an,an->n", u, noise[0] @ u)
    return 0.5 * (square - np.einsum("nab,nba->n", P, noise))


@lru_cache(maxsize=64)
def _duplication(d: int) -> Array:
    """From the lower triangle of a symmetric matrix to all of it, (d d, d (d + 1) / 2)."""
    i, j = lower_indices(d)
    out = np.zeros((d * d, i.size))
    out[i * d + j, np.arange(i.size)] = 1.0
    out[j * d + i, np.arange(i.size)] = 1.0
    out.setflags(write=False)
    return out
