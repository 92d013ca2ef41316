"""The compiled inner loops of the one pass.

Data are feature-major, ``x[d, N]``, and are worked through in blocks that stay in the cache; no N x K array is kept.
Loops run over `i` with the row of a matrix as a fixed first index: LLVM vectorises them as it does loops over slices,
and every slice that is not made saves compiling it, which is most of the time that a first fit takes. Where a matrix
is as large as the data its row is sliced, because LLVM must know that `start + i` is not negative.

Two kernels give the same numbers. `direct_pass` forms every residual x - m first and loses no digits.
`feature_pass` writes the quadratic form as a matrix product with the features (1, x, upper(xx')) and the
moments as its transpose, which is faster from four dimensions on but cancels when a component is tight and
far from the origin; `passes.py` chooses.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

from bayesgmm.numerics._numba_cache import cached_njit

# 'reassoc' lets sums be vectorised. It must not reach `_exponential`, which adds and subtracts a constant.
_SUMS = {"reassoc", "contract", "nsz", "arcp"}
_EXACT = {"contract", "nsz"}
# The inner functions are called from compiled code only; without wrappers they compile in half the time.
_INNER: Any = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

_ROUNDER = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer held in the low mantissa bits
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
_INVERSE_FACTORIALS = tuple(1.0 / math.factorial(i) for i in range(13))
_I2, _I3, _I4, _I5, _I6, _I7, _I8, _I9, _I10, _I11, _I12 = _INVERSE_FACTORIALS[2:]
_BITS = ir.IntType(64)
_UNDERFLOW = -700.0

DIRECT_BLOCK = 512
FEATURE_BLOCK = 128


@intrinsic
def _times_power(_context: Any, x: Any, power: Any) -> Any:
    """X 2^n, with n in the low mantissa bits of `power`: added to the exponent of x, where it may not overflow."""

    def generate(_context: Any, builder: Any, signature: Any, values: Any) -> Any:
        bits, shift = (builder.bitcast(value, _BITS) for value in values)
        return builder.bitcast(builder.add(bits, builder.shl(shift, _BITS(52))), values[0].type)

    return x(x, power), generate


@njit(nogil=True, fastmath=_EXACT, **_INNER)
def _exponential(R, k, w, peak):
    """Replace R[k, :w] by exp(R[k, :w] - peak).

    exp(x) is 2^n exp(r) and below x = -700, about 1e-304, stays there. |r| <= ln(2) / 2, so that the Taylor series to
    degree 12 is within 2e-16.
    """
    for i in range(w):
        value = R[k, i] - peak[i]
        value = _UNDERFLOW if value < _UNDERFLOW else value
        power = value * _LOG2_E + _ROUNDER
        n = power - _ROUNDER
        r = (value - n * _LN2_HIGH) - n * _LN2_LOW
        p = _I12 * r + _I11
        p = p * r + _I10
        p = p * r + _I9
        p = p * r + _I8
        p = p * r + _I7
        p = p * r + _I6
        p = p * r + _I5
        p = p * r + _I4
        p = p * r + _I3
        p = p * r + _I2
        p = p * r + 1.0
        R[k, i] = _times_power(p * r + 1.0, power)  # type: ignore[call-arg]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _normalise(R, w, peak, total):
    """Turn log joint densities R[:, :w] into responsibilities; return the sum of the log normalisers.

    Afterwards `peak` holds the largest log joint density of each row and `total`
    one over the sum of exp(R - peak).
    """
    K = R.shape[0]
    for i in range(w):
        peak[i] = R[0, i]
        total[i] = 0.0
    for k in range(1, K):
        for i in range(w):
            peak[i] = R[k, i] if R[k, i] > peak[i] else peak[i]
    for k in range(K):
        _exponential(R, k, w, peak)
        for i in range(w):
            total[i] += R[k, i]
    value = 0.0
    # One log for 32 points: each total lies in [1, K], so the product of 32 cannot overflow for K < 1e9.
    for start in range(0, w, 32):
        product = 1.0
        for i in range(start, min(start + 32, w)):
            product *= total[i]
        value += math.log(product)
    for i in range(w):
        value += peak[i]
        total[i] = 1.0 / total[i]
    for k in range(K):
        for i in range(w):
            R[k, i] *= total[i]
    return value


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _hand_out(R, start, w, peak, total, sum_of_logs, row_weights, responsibilities, log_density):
    """Write what is wanted of single rows of a block, then weight them; return the sum of weighted log normalisers."""
    K, weighted = R.shape[0], row_weights.size > 0
    if weighted or log_density.size > 0:
        for i in range(w):
            peak[i] -= math.log(total[i])  # total holds reciprocals by now
    if log_density.size > 0:
        for i in range(w):
            log_density[start + i] = peak[i]
    if responsibilities.size > 0:
        for k in range(K):
            for i in range(w):
                responsibilities[k, start + i] = R[k, i]
    if not weighted:
        return sum_of_logs
    out, weights = 0.0, row_weights[start:]
    for i in range(w):
        out += weights[i] * peak[i]
    for k in range(K):
        for i in range(w):
            R[k, i] *= weights[i]
    return out


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _residuals(out, x, start, w, means, k):
    for j in range(x.shape[0]):
        row, mean = x[j, start:], means[k, j]
        for i in range(w):
            out[j, i] = row[i] - mean


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _log_joint(R, k, residual, w, work, constant, A):
    """Write constant - |A_k residual|^2 / 2 into R[k, :w] for lower triangular A_k."""
    d = residual.shape[0]
    if d == 1:
        a = A[k, 0, 0]
        for i in range(w):
            y = a * residual[0, i]
            R[k, i] = constant - 0.5 * y * y
    elif d == 2:
        a00, a10, a11 = A[k, 0, 0], A[k, 1, 0], A[k, 1, 1]
        for i in range(w):
            y = a00 * residual[0, i]
            z = a10 * residual[0, i] + a11 * residual[1, i]
            R[k, i] = constant - 0.5 * (y * y + z * z)
    else:
        for i in range(w):
            R[k, i] = constant
        for j in range(d):
            a = A[k, j, j]
            for i in range(w):
                work[i] = a * residual[j, i]
            last = j - j % 4
            for e in range(0, last, 4):
                a, b, c, f = A[k, j, e], A[k, j, e + 1], A[k, j, e + 2], A[k, j, e + 3]
                for i in range(w):
                    pair = a * residual[e, i] + b * residual[e + 1, i]
                    work[i] += pair + c * residual[e + 2, i] + f * residual[e + 3, i]
            for e in range(last, j):
                a = A[k, j, e]
                for i in range(w):
                    work[i] += a * residual[e, i]
            for i in range(w):
                R[k, i] -= 0.5 * work[i] * work[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _add_moments(R, k, residual, w, work, counts, first, second):
    """Add the sums of r, r residual and the lower triangle of r residual residual' of one block, r = R[k, :w]."""
    total = 0.0
    for i in range(w):
        total += R[k, i]
    counts[k] += total
    for j in range(residual.shape[0]):
        total = 0.0
        for i in range(w):
            work[i] = R[k, i] * residual[j, i]
            total += work[i]
        first[k, j] += total
        last = (j + 1) - (j + 1) % 4
        for e in range(0, last, 4):
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for i in range(w):
                s0 += work[i] * residual[e, i]
                s1 += work[i] * residual[e + 1, i]
                s2 += work[i] * residual[e + 2, i]
                s3 += work[i] * residual[e + 3, i]
            second[k, j, e] += s0
            second[k, j, e + 1] += s1
            second[k, j, e + 2] += s2
            second[k, j, e + 3] += s3
        for e in range(last, j + 1):
            total = 0.0
            for i in range(w):
                total += work[i] * residual[e, i]
            second[k, j, e] += total


@cached_njit(nogil=True)
def direct_pass(
    x,
    begin,
    stop,
    constants,
    means,
    precision_choleskys,
    row_weights,
    counts,
    first,
    second,
    responsibilities,
    log_density,
):
    """Add expected counts, first and (lower) second moments about `means`; return the sum of log normalisers.

    `constants` [K] are the log joint densities at the components' own means. Only rows begin..stop are seen; a slice
    of x would not be contiguous and would be compiled once more. Each row counts as often as `row_weights` [N] says,
    or once if that is empty. `responsibilities` [K, N] and `log_density` [N] of single rows are written as well, each
    unless it has no columns; nothing is added up if `counts` is empty.
    """
    d = x.shape[0]
    K = constants.size
    block = DIRECT_BLOCK
    R, residual = np.empty((K, block)), np.empty((d, block))
    work, peak, total = np.empty(block), np.empty(block), np.empty(block)
    value = 0.0
    for start in range(begin, stop, block):
        w = min(block, stop - start)
        for k in range(K):
            _residuals(residual, x, start, w, means, k)
            _log_joint(R, k, residual, w, work, constants[k], precision_choleskys)
        sum_of_logs = _normalise(R, w, peak, total)
        value += _hand_out(R, start, w, peak, total, sum_of_logs, row_weights, responsibilities, log_density)
        for k in range(counts.size):
            _residuals(residual, x, start, w, means, k)
            _add_moments(R, k, residual, w, work, counts, first, second)
    return value


@cached_njit(nogil=True)
def feature_pass(x, begin, stop, coefficients, moments):
    """Add R' F over rows begin..stop for the features F = (lower(xx'), x, 1); return the sum of log normalisers.

    `coefficients` [K, D] hold the log joint density of each component as a polynomial in the features and
    `moments` [K, D] receive their expected sums, D = (d+1)(d+2)/2.
    """
    K, D = coefficients.shape
    F, R = np.empty((D, FEATURE_BLOCK)), np.empty((K, FEATURE_BLOCK))
    peak, total = np.empty(FEATURE_BLOCK), np.empty(FEATURE_BLOCK)
    block_moments = np.empty((K, D))
    value = 0.0
    for start in range(begin, stop, FEATURE_BLOCK):
        w = min(FEATURE_BLOCK, stop - start)
        if w < FEATURE_BLOCK:  # the matrix product wants contiguous arrays
            F, R = np.empty((D, w)), np.empty((K, w))
        _features(F, x, start, w)
        np.dot(coefficients, F, R)
        value += _normalise(R, w, peak, total)
        np.dot(R, F.T, block_moments)
        for k in range(K):
            for i in range(D):
                moments[k, i] += block_moments[k, i]
    return value


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _features(F, x, start, w):
    f, d = 0, x.shape[0]
    for j in range(d):
        y = x[j, start:]
        for e in range(j + 1):
            z = x[e, start:]
            for i in range(w):
                F[f, i] = y[i] * z[i]
            f += 1
    for j in range(d):
        y = x[j, start:]
        for i in range(w):
            F[f, i] = y[i]
        f += 1
    for i in range(w):
        F[f, i] = 1.0
