"""The compiled inner loops of the one pass.

Data are feature-major, ``x[d, N]``, and are worked through in blocks that stay in the cache; no N x K array is kept.
Each inner loop runs over one-dimensional contiguous slices in a small function of its own, because that is the
form LLVM vectorises.

Two kernels give the same numbers. `direct_pass` forms every residual x - m first and loses no digits.
`feature_pass` writes the quadratic form as a matrix product with the features (1, x, upper(xx')) and the
moments as its transpose, which is faster from four dimensions on but cancels when a component is tight and
far from the origin; `passes.py` chooses.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

# 'reassoc' lets sums be vectorised. It must not reach `_round_to_power`, which adds and subtracts a constant.
_SUMS = {"reassoc", "contract", "nsz", "arcp"}
_EXACT = {"contract", "nsz"}
# The inner functions are called from compiled code only; without wrappers they compile in half the time.
_INNER: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

_ROUNDER = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer held in the low mantissa bits
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
_INVERSE_FACTORIALS = tuple(1.0 / math.factorial(i) for i in range(13))
_I2, _I3, _I4, _I5, _I6, _I7, _I8, _I9, _I10, _I11, _I12 = _INVERSE_FACTORIALS[2:]
_MANTISSA_BITS = np.int64(52)
_UNDERFLOW = -700.0

DIRECT_BLOCK = 512
FEATURE_BLOCK = 128


@njit(nogil=True, fastmath=_EXACT, **_INNER)
def _round_to_power(x, power):
    for i in range(x.size):
        value = max(x[i], _UNDERFLOW)
        x[i] = value
        power[i] = value * _LOG2_E + _ROUNDER


@njit(nogil=True, fastmath=_EXACT, **_INNER)
def _exp_of_remainder(x, power):
    # |r| <= ln(2)/2, so the Taylor series to degree 12 is within 2e-16.
    for i in range(x.size):
        n = power[i] - _ROUNDER
        r = (x[i] - n * _LN2_HIGH) - n * _LN2_LOW
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
        x[i] = p * r + 1.0


@njit(nogil=True, **_INNER)
def _scale_by_power(x_bits, power_bits):
    for i in range(x_bits.size):
        x_bits[i] += power_bits[i] << _MANTISSA_BITS


@njit(nogil=True, **_INNER)
def exp_in_place(x, work):
    """Replace x <= 0 by exp(x); below -700 the result is exp(-700), about 1e-304."""
    _round_to_power(x, work)
    _exp_of_remainder(x, work)
    _scale_by_power(x.view(np.int64), work.view(np.int64))


# Assigning to a slice makes numba compile a broadcasting error with its message, which costs a second.
@njit(nogil=True, **_INNER)
def _fill(out, value):
    for i in range(out.size):
        out[i] = value


@njit(nogil=True, **_INNER)
def _copy(out, x):
    for i in range(out.size):
        out[i] = x[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _subtract(out, x, m):
    for i in range(x.size):
        out[i] = x[i] - m


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _minus(out, x):
    for i in range(out.size):
        out[i] -= x[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _plus(out, x):
    for i in range(out.size):
        out[i] += x[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _times(out, x):
    for i in range(out.size):
        out[i] *= x[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _product(out, x, y):
    for i in range(out.size):
        out[i] = x[i] * y[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _maximum(out, x):
    for i in range(out.size):
        out[i] = max(out[i], x[i])


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _reciprocal(x):
    for i in range(x.size):
        x[i] = 1.0 / x[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _total(x):
    out = 0.0
    for i in range(x.size):
        out += x[i]
    return out


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _dot(x, y):
    out = 0.0
    for i in range(x.size):
        out += x[i] * y[i]
    return out


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _dot4(x, a, b, c, d):
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for i in range(x.size):
        s0 += x[i] * a[i]
        s1 += x[i] * b[i]
        s2 += x[i] * c[i]
        s3 += x[i] * d[i]
    return s0, s1, s2, s3


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _quadratic_1(out, x0, a, constant):
    for i in range(out.size):
        y = a * x0[i]
        out[i] = constant - 0.5 * y * y


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _quadratic_2(out, x0, x1, a00, a10, a11, constant):
    for i in range(out.size):
        y0 = a00 * x0[i]
        y1 = a10 * x0[i] + a11 * x1[i]
        out[i] = constant - 0.5 * (y0 * y0 + y1 * y1)


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _scaled(out, x, a):
    for i in range(out.size):
        out[i] = a * x[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _add_scaled(out, x, a):
    for i in range(out.size):
        out[i] += a * x[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _add_scaled_4(out, x, a, y, b, z, c, w, d):
    for i in range(out.size):
        out[i] += a * x[i] + b * y[i] + c * z[i] + d * w[i]


@njit(nogil=True, fastmath=_SUMS, **_INNER)
def _subtract_half_square(out, y):
    for i in range(out.size):
        out[i] -= 0.5 * y[i] * y[i]


@njit(nogil=True, **_INNER)
def _sum_of_logs(s):
    # One log for 32 points: each s lies in [1, K], so the product of 32 cannot overflow for K < 1e9.
    out = 0.0
    for start in range(0, s.size, 32):
        product = 1.0
        for i in range(start, min(start + 32, s.size)):
            product *= s[i]
        out += math.log(product)
    return out


@njit(nogil=True, **_INNER)
def _normalise(R, w, peak, total, work):
    """Turn log joint densities R[K, :w] into responsibilities; return the sum of the log normalisers.

    Afterwards `peak` holds the largest log joint density of each row and `total` one over the sum of exp(R - peak).
    """
    # Slices R[k, :w] are contiguous to the compiler, those of R[:, :w] are not.
    n_components = R.shape[0]
    _copy(peak[:w], R[0, :w])
    for k in range(1, n_components):
        _maximum(peak[:w], R[k, :w])
    _fill(total[:w], 0.0)
    for k in range(n_components):
        _minus(R[k, :w], peak[:w])
        exp_in_place(R[k, :w], work[:w])
        _plus(total[:w], R[k, :w])
    value = _sum_of_logs(total[:w]) + _total(peak[:w])
    _reciprocal(total[:w])
    for k in range(n_components):
        _times(R[k, :w], total[:w])
    return value


@njit(nogil=True, **_INNER)
def _log_joint(out, residual, w, work, constant, A):
    """Write constant - |A residual|^2 / 2 into out[w] for residual[d, :w] and lower triangular A."""
    d = residual.shape[0]
    if d == 1:
        _quadratic_1(out, residual[0, :w], A[0, 0], constant)
    elif d == 2:
        _quadratic_2(out, residual[0, :w], residual[1, :w], A[0, 0], A[1, 0], A[1, 1], constant)
    else:
        _fill(out, constant)
        for j in range(d):
            _scaled(work, residual[j, :w], A[j, j])
            last = j - j % 4
            for i in range(0, last, 4):
                _add_scaled_4(
                    work,
                    residual[i, :w],
                    A[j, i],
                    residual[i + 1, :w],
                    A[j, i + 1],
                    residual[i + 2, :w],
                    A[j, i + 2],
                    residual[i + 3, :w],
                    A[j, i + 3],
                )
            for i in range(last, j):
                _add_scaled(work, residual[i, :w], A[j, i])
            _subtract_half_square(out, work)


@njit(nogil=True, **_INNER)
def _add_moments(r, residual, w, work, first, second):
    """Add sum r residual and the lower triangle of sum r residual residual' of one block."""
    d = residual.shape[0]
    for j in range(d):
        _product(work, r, residual[j, :w])
        first[j] += _total(work)
        last = (j + 1) - (j + 1) % 4
        for i in range(0, last, 4):
            s0, s1, s2, s3 = _dot4(work, residual[i, :w], residual[i + 1, :w], residual[i + 2, :w], residual[i + 3, :w])
            second[j, i] += s0
            second[j, i + 1] += s1
            second[j, i + 2] += s2
            second[j, i + 3] += s3
        for i in range(last, j + 1):
            second[j, i] += _dot(work, residual[i, :w])


@njit(nogil=True, cache=True)
def direct_pass(
    x, begin, stop, constants, means, precision_choleskys, counts, first, second, responsibilities, log_density
):
    """Add expected counts, first and (lower) second moments about `means`; return the sum of log normalisers.

    `constants` [K] are the log joint densities at the components' own means. Only rows begin..stop are seen; a slice
    of x would not be contiguous and would be compiled once more. `responsibilities` [K, N] and `log_density` [N] are
    written as well, each unless it has no columns; nothing is added up if `counts` is empty.
    """
    d = x.shape[0]
    K = constants.size
    block = DIRECT_BLOCK
    R, residual = np.empty((K, block)), np.empty((d, block))
    work, peak, total = np.empty(block), np.empty(block), np.empty(block)
    per_row, per_component = log_density.size > 0, responsibilities.size > 0
    value = 0.0
    for start in range(begin, stop, block):
        end = min(start + block, stop)
        w = end - start
        for k in range(K):
            for j in range(d):
                _subtract(residual[j, :w], x[j, start:end], means[k, j])
            _log_joint(R[k, :w], residual, w, work[:w], constants[k], precision_choleskys[k])
        value += _normalise(R, w, peak, total, work)
        if per_row:
            for i in range(w):
                log_density[start + i] = peak[i] - math.log(total[i])  # total holds reciprocals by now
        if per_component:
            for k in range(K):
                _copy(responsibilities[k, start:end], R[k, :w])
        for k in range(counts.size):
            counts[k] += _total(R[k, :w])
            for j in range(d):
                _subtract(residual[j, :w], x[j, start:end], means[k, j])
            _add_moments(R[k, :w], residual, w, work[:w], first[k], second[k])
    return value


@njit(nogil=True, cache=True)
def feature_pass(x, begin, stop, coefficients, moments):
    """Add R' F over rows begin..stop for the features F = (lower(xx'), x, 1); return the sum of log normalisers.

    `coefficients` [K, D] hold the log joint density of each component as a polynomial in the features and
    `moments` [K, D] receive their expected sums, D = (d+1)(d+2)/2.
    """
    d = x.shape[0]
    K, D = coefficients.shape
    F, R = np.empty((D, FEATURE_BLOCK)), np.empty((K, FEATURE_BLOCK))
    _fill(F[D - 1], 1.0)
    work, peak, total = np.empty(FEATURE_BLOCK), np.empty(FEATURE_BLOCK), np.empty(FEATURE_BLOCK)
    block_moments = np.empty((K, D))
    value = 0.0
    for start in range(begin, stop, FEATURE_BLOCK):
        end = min(start + FEATURE_BLOCK, stop)
        w = end - start
        if w < FEATURE_BLOCK:  # the matrix product wants contiguous arrays
            F, R = np.empty((D, w)), np.empty((K, w))
            _fill(F[D - 1], 1.0)
        f = 0
        for j in range(d):
            for i in range(j + 1):
                _product(F[f], x[j, start:end], x[i, start:end])
                f += 1
        for j in range(d):
            _copy(F[f + j], x[j, start:end])
        np.dot(coefficients, F, R)
        value += _normalise(R, w, peak, total, work)
        np.dot(R, F.T, block_moments)
        for k in range(K):
            _plus(moments[k], block_moments[k])
    return value
