"""The pass over rows that were measured with an error of their own.

A component then has the covariance T = Sigma + C_i at row i, with the rows and columns of what was observed there. The
kernel inverts T for a block of rows at a time by sweeps (Goodnight 1979), with the rows in the innermost loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from bayesgmm.numerics._kernels import _hand_out, _normalise
from bayesgmm.numerics._numba_cache import cached_njit

_SUMS = {"reassoc", "contract", "nsz", "arcp"}
_INNER: Any = {"forceinline": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
# Numbers in a block: so many fit in the second cache.
_NUMBERS = 32_768
_LARGEST_BLOCK = 512
_SMALLEST_BLOCK = 32
# The product of so many pivots cannot overflow in standard units.
_PIVOTS = 8


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _fill(T, residual, x, noise, start, w, columns, o, mean, covariance, factor):
    """Write the residuals and the lower triangle of T of one component; `noise` has d or d (d + 1) / 2 rows."""
    d = x.shape[0]
    for j in range(o):
        c = columns[j]
        row, m = x[c, start:], mean[c]
        for i in range(w):
            residual[j, i] = row[i] - m
        for e in range(j + 1):
            f, s = j * (j + 1) // 2 + e, covariance[c, columns[e]]
            for i in range(w):
                T[f, i] = s
            if noise.shape[0] > d or (noise.shape[0] == d and d == 1):
                extra = noise[c * (c + 1) // 2 + columns[e], start:]
                for i in range(w):
                    T[f, i] += factor * extra[i]
            elif e == j:
                extra = noise[c, start:]
                for i in range(w):
                    T[f, i] += factor * extra[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _invert(T, w, o, work, pivots, log_det):
    """Replace T by minus its inverse and write log |T| / 2."""
    for i in range(w):
        log_det[i] = 0.0
        pivots[i] = 1.0
    for p in range(o):
        pp = p * (p + 1) // 2 + p
        for i in range(w):
            pivots[i] *= T[pp, i]
            T[pp, i] = 1.0 / T[pp, i]
        if p == o - 1 or (p + 1) % _PIVOTS == 0:
            for i in range(w):
                log_det[i] += 0.5 * math.log(pivots[i])
                pivots[i] = 1.0
        for j in range(o):
            if j == p:
                continue
            jp = j * (j + 1) // 2 + p if j > p else p * (p + 1) // 2 + j
            for i in range(w):
                work[i] = T[jp, i] * T[pp, i]
            for e in range(j + 1):
                if e == p:
                    continue
                je, ep = j * (j + 1) // 2 + e, e * (e + 1) // 2 + p if e > p else p * (p + 1) // 2 + e
                # Columns before j have been divided by the pivot already, those from j on have not.
                if e < j:
                    for i in range(w):
                        T[je, i] -= T[jp, i] * T[ep, i]
                else:
                    for i in range(w):
                        T[je, i] -= T[jp, i] * work[i]
            for i in range(w):
                T[jp, i] = work[i]
        for i in range(w):
            T[pp, i] = -T[pp, i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _solve(u, T, residual, w, o, R, k, constant, log_det):
    """Write T^-1 residual into u and the log joint density into R[k]; T holds minus the inverse."""
    for i in range(w):
        R[k, i] = constant - log_det[i]
    for j in range(o):
        for i in range(w):
            u[j, i] = 0.0
        for e in range(o):
            f = j * (j + 1) // 2 + e if e <= j else e * (e + 1) // 2 + j
            for i in range(w):
                u[j, i] -= T[f, i] * residual[e, i]
        for i in range(w):
            R[k, i] -= 0.5 * u[j, i] * residual[j, i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _add(R, k, u, T, w, noise, start, columns, o, factor, with_residual, counts, scores, curvatures):
    """Add r, r u and r (u u' - T^-1) over a block; return the sum of r tr(factor C (u u' - T^-1))."""
    d = scores.shape[1]
    total, out = 0.0, 0.0
    for i in range(w):
        total += R[k, i]
    counts[k] += total
    for j in range(o):
        c = columns[j]
        total = 0.0
        for i in range(w):
            total += R[k, i] * u[j, i]
        scores[k, c] += total
        for e in range(j + 1):
            f, total = j * (j + 1) // 2 + e, 0.0
            for i in range(w):
                T[f, i] = R[k, i] * (u[j, i] * u[e, i] + T[f, i])
                total += T[f, i]
            curvatures[k, c, columns[e]] += total
            full = noise.shape[0] > d or d == 1
            if with_residual and (full or e == j):
                total = 0.0
                extra = noise[c * (c + 1) // 2 + columns[e] if full else c, start:]
                for i in range(w):
                    total += T[f, i] * extra[i]
                out += total if e == j else 2.0 * total
    return factor * out


# What is divided by 0, where covariance and error vanish together, is not finite, and whoever climbs steps back.
@cached_njit(nogil=True, error_model="numpy")
def noise_pass(
    x,
    noise,
    factor,
    begin,
    stop,
    edges,
    columns,
    log_scales,
    means,
    covariances,
    row_weights,
    with_residual,
    counts,
    scores,
    curvatures,
    responsibilities,
    log_density,
):
    """Add expected counts, scores sum r u and (lower) sum r (u u' - T^-1), u = T^-1 (x - m); see `noisy_rows`.

    Parameters
    ----------
    x : (d, N) array
    noise : (d, N) variances or (d (d + 1) / 2, N) lower triangles of covariances, times `factor`
    edges, columns : (P + 1,) and (P, d + 1) arrays of int
        Rows edges[p] .. edges[p + 1] have the entries columns[p, 1 : 1 + columns[p, 0]].
    row_weights, responsibilities, log_density
        As in `direct_pass`.

    Returns
    -------
    value, noise_residual : float
        The sum of log normalisers and, if `with_residual`, that of r tr(factor C (u u' - T^-1)).
    """
    d, K = x.shape[0], log_scales.size
    n_pairs = d * (d + 1) // 2
    block = max(_SMALLEST_BLOCK, min(_LARGEST_BLOCK, _NUMBERS // (K * (n_pairs + d))))
    R, T, u = np.empty((K, block)), np.empty((K, n_pairs, block)), np.empty((K, d, block))
    residual, work = np.empty((d, block)), np.empty((4, block))
    log_det, pivots, peak, total = work[0], work[1], work[2], work[3]
    value, noise_residual = 0.0, 0.0
    for p in range(edges.size - 1):
        own, o = columns[p, 1:], columns[p, 0]
        last = min(stop, edges[p + 1])
        for start in range(max(begin, edges[p]), last, block):
            w = min(block, last - start)
            for k in range(K):
                _fill(T[k], residual, x, noise, start, w, own, o, means[k], covariances[k], factor)
                _invert(T[k], w, o, peak, pivots, log_det)
                _solve(u[k], T[k], residual, w, o, R, k, log_scales[k] - o * _HALF_LOG_TWO_PI, log_det)
            sum_of_logs = _normalise(R, w, peak, total)
            value += _hand_out(R, start, w, peak, total, sum_of_logs, row_weights, responsibilities, log_density)
            for k in range(counts.size):
                noise_residual += _add(
                    R, k, u[k], T[k], w, noise, start, own, o, factor, with_residual, counts, scores, curvatures
                )
    return value, noise_residual
