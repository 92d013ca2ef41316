"""Log posterior density and gradient of a Gaussian mixture in one compiled function: the pass, priors and Jacobians.

The covariance part uses that every log determinant is a sum of logs of a diagonal: with L = L_0 A and T = L^-1 S L^-T
for a scatter S, the slope of -tr(S Sigma^-1) / 2 in A is the lower triangle of A^-T T, and powers of |Sigma| only add
constants to the slopes in log diag A. An inverse-Wishart prior and conjugate means are more scatter.

Plain loops only: slices and matrix products of arrays cost seconds of compiling, and the matrices are tiny. A test
holds the result equal to what `model` computes for every declaration.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.np.numpy_support import carray

from bayesgmm.numerics._by_address import caller
from bayesgmm.numerics._numba_cache import cached_cfunc

# Codes of what a declaration consists of.
DIRICHLET, STICK_BREAKING, FIXED_WEIGHTS = 0, 1, 2
NORMAL_MEANS, CONJUGATE_MEANS, FIXED_MEANS = 0, 1, 2
FULL, DIAGONAL, SPHERICAL, FIXED_COVARIANCES = 0, 1, 2, 3
NO_SCALE_PRIOR, HALF_NORMAL, EXPONENTIAL, GAMMA, LOG_NORMAL, SCALED_INVERSE_CHI = 0, 1, 2, 3, 4, 5

# What a call does: all of the density of exact rows, or only what comes before or after a pass that Python does.
WHOLE, PLACE, COLLECT = 0, 1, 2
# Arrays by their places in the table of pointers, after sizes (0) and the functions `direct_pass`, `place` and
# `collect` (1 to 3); from `u` (21) on they are workspace.
ARRAYS = (
    "codes", "to_local", "log_weights_0", "weight_map", "means_0", "mean_map", "choleskys_0", "scales",  # 4 to 11
    "weight_powers", "mean_loc", "mean_precision", "diagonal_powers", "variance_power", "prior_scale",  # to 17
    "scale_numbers", "x", "row_weights", "u", "log_weights", "means", "L", "A", "inverse", "constants",  # to 27
    "by_u", "work", "counts", "first", "second", "weight_slopes",  # to 33
)  # fmt: skip

_DOUBLES = types.CPointer(types.float64)
# As nutpie calls them: sizes, where to read, where to write, and the table.
_DENSITY = types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, types.CPointer(_DOUBLES))
_DRAW = types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, types.voidptr)
_NOT_FINITE = 1  # nutpie takes a positive code for a divergence


def _types(axes: str) -> list[Any]:
    """Types of arguments by their numbers of axes; "n" is an integer."""
    kinds = {"n": types.int64, "0": types.float64}
    return [kinds.get(word) or types.Array(types.float64, int(word), "C") for word in axes.split()]


PASS = tuple(_types("2 n n 1 2 3 1 1 2 3 2 1"))
_PLACE = types.float64(*_types("1 1 2 1 2 2 3 3 1 1 1 2 3 3 3 1"))
_COLLECT = types.float64(*_types("1 1 3 1 2 2 3 3 1 1 2 3 3 3 1 2 3 1 1 2 2 2 0 3 2"))

_INNER: Any = {"forceinline": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(**_INNER)
def _whitened(out, work, inverse, scatter):
    """Write L^-1 S L^-T into `out` for the lower triangular inverse L^-1."""
    d = inverse.shape[0]
    for i in range(d):
        for j in range(d):
            work[i, j] = 0.0
            for e in range(i + 1):
                work[i, j] += inverse[i, e] * scatter[e, j]
    for i in range(d):
        for j in range(d):
            out[i, j] = 0.0
            for e in range(j + 1):
                out[i, j] += work[i, e] * inverse[j, e]


@njit(**_INNER)
def _scale_slope(kind, first, second, s):
    """Log density of a standard deviation s, without its constant, and its derivative in log s."""
    z = s / first
    if kind == HALF_NORMAL:
        return -0.5 * z * z, -z * z
    if kind == EXPONENTIAL:
        return -first * s, -first * s
    if kind == GAMMA:
        return (first - 1.0) * math.log(s) - second * s, first - 1.0 - second * s
    if kind == SCALED_INVERSE_CHI:
        z = second / s
        return -(first + 1.0) * math.log(s) - 0.5 * first * z * z, first * z * z - first - 1.0
    z = (math.log(s) - first) / second
    return -0.5 * z * z - math.log(s), -z / second - 1.0


@njit(**_INNER)
def _sticks(log_weights, slopes):
    """Log Jacobian of stick-breaking fractions on top of the simplex' own; adds its slopes in log weights."""
    K = log_weights.size
    value, rest, inverse = 0.0, 1.0, 0.0
    for k in range(K - 1):
        value -= math.log(rest)
        inverse += 1.0 / rest
        slopes[k] -= math.exp(log_weights[k]) * inverse
        # Summed from the small end, because differences of numbers near 1 would lose the small ones.
        rest = 0.0
        for j in range(K - 1, k, -1):
            rest += math.exp(log_weights[j])
    slopes[K - 1] -= math.exp(log_weights[K - 1]) * inverse
    return value


def place(
    v, codes, to_local, log_weights_0, weight_map, means_0, mean_map, choleskys_0, scales,
    u, log_weights, means, L, A, inverse, constants,
):  # fmt: skip
    """Write the mixture at coordinates v (p,) into the arrays of the second line; returns 0.

    Parameters
    ----------
    codes : (5,) array
        Of weights, means, structure, whether it is tied, and the prior on standard deviations.
    to_local : (p, p) array
        u = to_local v are local coordinates round (log_weights_0, means_0, choleskys_0): first those of log weights,
        log_weights_0 + weight_map u up to the normaliser, then means_0 + mean_map u, then A, its diagonal as logs and
        scaled by `scales`.
    """
    K, d = means_0.shape
    structure, tied = codes[2], codes[3]
    n_weights = weight_map.shape[1]
    begin = n_weights + (0 if codes[1] == FIXED_MEANS else K * d)
    n_each = scales.size if tied == 1 else scales.size // K
    for i in range(v.size):
        u[i] = 0.0
        for j in range(v.size):
            u[i] += to_local[i, j] * v[j]
    peak, total = -np.inf, 0.0
    for k in range(K):
        log_weights[k] = log_weights_0[k]
        for j in range(n_weights):
            log_weights[k] += weight_map[k, j] * u[j]
        peak = max(peak, log_weights[k])
    for k in range(K):
        total += math.exp(log_weights[k] - peak)
    normaliser = peak + math.log(total) if n_weights > 0 else 0.0
    for k in range(K):
        log_weights[k] -= normaliser
        log_det = 0.0
        own = 0 if tied == 1 else k * n_each
        f = own + d
        for i in range(d):
            at = own if structure == SPHERICAL else own + i
            A[k, i, i] = 1.0 if structure == FIXED_COVARIANCES else math.exp(scales[at] * u[begin + at])
            if structure == FULL:
                for j in range(i):
                    A[k, i, j] = scales[f] * u[begin + f]
                    f += 1
            means[k, i] = means_0[k, i]
            for j in range(i + 1):
                if codes[1] != FIXED_MEANS:
                    means[k, i] += mean_map[k, i, j] * u[n_weights + k * d + j]
                L[k, i, j] = 0.0
                for e in range(j, i + 1):
                    L[k, i, j] += choleskys_0[k, i, e] * A[k, e, j]
            log_det += math.log(L[k, i, i])
            for j in range(i + 1):
                total = 1.0 if i == j else 0.0
                for e in range(j, i):
                    total -= L[k, i, e] * inverse[k, e, j]
                inverse[k, i, j] = total / L[k, i, i]
        constants[k] = log_weights[k] - log_det - 0.5 * d * math.log(2.0 * math.pi)
    return 0.0


def collect(
    gradient, by_u, work, codes, to_local, weight_map, mean_map, choleskys_0, scales,
    log_weights, means, L, A, inverse, counts, first, second, weight_slopes,
    weight_powers, mean_loc, mean_precision, diagonal_powers, variance_power, prior_scale, scale_numbers,
):  # fmt: skip
    """Log prior and Jacobian, without constants; the gradient of the log posterior is written into `gradient`.

    The arrays of the second line come from `place` and from the pass there; its statistics are overwritten.

    Parameters
    ----------
    weight_powers : (K,) array
        Powers of the weights.
    mean_loc, mean_precision : (K, d) arrays
    diagonal_powers : (K, d) array
        Powers of diag L from priors and Jacobians.
    variance_power : float
        Power of the variances, which are not diag L squared where there are correlations.
    prior_scale : (K, d, d) array
        Scatter that an inverse-Wishart prior adds.
    scale_numbers : (2, d) array
    """
    K, d = means.shape
    weights_kind, means_kind, structure, tied, scale_kind = codes[0], codes[1], codes[2], codes[3], codes[4]
    n_weights = weight_map.shape[1]
    first_scale = n_weights + (0 if means_kind == FIXED_MEANS else K * d)
    n_own = 1 if tied == 1 else K
    n_each = scales.size // n_own
    for i in range(by_u.size):
        by_u[i] = 0.0

    value, total = 0.0, 0.0
    for k in range(K):
        value += weight_powers[k] * log_weights[k]
        weight_slopes[k] = counts[k] + weight_powers[k]
    if weights_kind == STICK_BREAKING:
        value += _sticks(log_weights, weight_slopes)
    for k in range(K):
        total += weight_slopes[k]
    for k in range(K):
        for j in range(n_weights):
            by_u[j] += weight_map[k, j] * (weight_slopes[k] - math.exp(log_weights[k]) * total)

    for k in range(K):
        for i in range(d):
            for j in range(i):
                second[k, j, i] = second[k, i, j]
        if means_kind == CONJUGATE_MEANS:
            kappa = mean_precision[k, 0]
            counts[k] += 1.0
            for i in range(d):
                value -= math.log(L[k, i, i])
                delta, whitened = means[k, i] - mean_loc[k, i], 0.0
                first[k, i] -= kappa * delta
                for j in range(d):
                    other = means[k, j] - mean_loc[k, j]
                    second[k, i, j] += kappa * delta * other
                    whitened += inverse[k, i, j] * other
                value -= 0.5 * kappa * whitened * whitened
        if means_kind != FIXED_MEANS:
            for j in range(d):
                whitened = 0.0
                for i in range(j + 1):
                    whitened += inverse[k, j, i] * first[k, i]
                work[0, 0, j] = whitened
            for i in range(d):
                slope = 0.0
                for j in range(i, d):
                    slope += inverse[k, j, i] * work[0, 0, j]
                if means_kind == NORMAL_MEANS:
                    delta = means[k, i] - mean_loc[k, i]
                    value -= 0.5 * mean_precision[k, i] * delta * delta
                    slope -= mean_precision[k, i] * delta
                for j in range(i + 1):
                    by_u[n_weights + k * d + j] += mean_map[k, i, j] * slope
        if k >= n_own:
            counts[0] += counts[k]
            for i in range(d):
                for j in range(d):
                    second[0, i, j] += second[k, i, j]

    if structure != FIXED_COVARIANCES:
        n_prior = 1 if structure == SPHERICAL else d
        own, T = work[0], work[1]
        for k in range(n_own):
            _whitened(own, work[2], inverse[k], prior_scale[k])
            _whitened(T, work[2], inverse[k], second[k])
            f = k * n_each + d
            for i in range(d):
                log_diagonal = math.log(L[k, i, i])
                at = k * n_each + (0 if structure == SPHERICAL else i)
                slope = -counts[k]
                value -= 0.5 * own[i, i]
                if i < n_prior:
                    value += diagonal_powers[k, i] * log_diagonal
                    slope += diagonal_powers[k, i]
                for j in range(i + 1):
                    total = 0.0
                    for e in range(i, d):
                        back = 0.0  # (A^-1)[e, i]
                        for g in range(i, e + 1):
                            back += inverse[k, e, g] * choleskys_0[k, g, i]
                        total += back * (T[e, j] + own[e, j])
                    if i == j:
                        by_u[first_scale + at] += scales[at] * (total * A[k, i, i] + slope)
                    elif structure == FULL:
                        by_u[first_scale + f] += scales[f] * total
                        f += 1
            if scale_kind == NO_SCALE_PRIOR:
                continue
            for e in range(n_prior):
                variance = 0.0
                for j in range(e + 1):
                    variance += L[k, e, j] * L[k, e, j]
                density, slope = _scale_slope(scale_kind, scale_numbers[0, e], scale_numbers[1, e], math.sqrt(variance))
                value += density + variance_power * math.log(variance)
                slope = (slope + 2.0 * variance_power) / variance
                # d variance / d A_ij = 2 L_0[e, i] L[e, j]
                f = k * n_each + d
                for i in range(d):
                    at = k * n_each + (0 if structure == SPHERICAL else i)
                    by_u[first_scale + at] += scales[at] * slope * choleskys_0[k, e, i] * L[k, e, i] * A[k, i, i]
                    if structure == FULL:
                        for j in range(i):
                            by_u[first_scale + f] += scales[f] * slope * choleskys_0[k, e, i] * L[k, e, j]
                            f += 1
    for j in range(gradient.size):
        gradient[j] = 0.0
        for i in range(gradient.size):
            gradient[j] += to_local[i, j] * by_u[i]
    return value


_call_pass, _call_place, _call_collect = caller(types.float64(*PASS)), caller(_PLACE), caller(_COLLECT)


def _log_posterior(_size, v, gradient, value, table):
    """Value and gradient of the log posterior at `v`, without constants."""
    sizes = carray(table[0], (8,))
    stage, p, K, d = int(sizes[0]), int(sizes[1]), int(sizes[2]), int(sizes[3])
    n, n_weighted, m, s = int(sizes[4]), int(sizes[5]), int(sizes[6]), int(sizes[7])
    codes, to_local = carray(table[4], (5,)), carray(table[5], (p, p))
    weight_map, mean_map = carray(table[7], (K, m)), carray(table[9], (K, d, d))
    choleskys_0, scales = carray(table[10], (K, d, d)), carray(table[11], (s,))
    u, log_weights, means = carray(table[21], (p,)), carray(table[22], (K,)), carray(table[23], (K, d))
    L, A, inverse = carray(table[24], (K, d, d)), carray(table[25], (K, d, d)), carray(table[26], (K, d, d))
    constants = carray(table[27], (K,))
    counts, first, second = carray(table[30], (K,)), carray(table[31], (K, d)), carray(table[32], (K, d, d))
    total = 0.0
    if stage != COLLECT:
        _call_place(
            table[2],
            (carray(v, (p,)), codes, to_local, carray(table[6], (K,)), weight_map, carray(table[8], (K, d)), mean_map,
            choleskys_0, scales, u, log_weights, means, L, A, inverse, constants),
        )  # fmt: skip
    if stage == WHOLE:
        for k in range(K):
            counts[k] = 0.0
            for i in range(d):
                first[k, i] = 0.0
                for j in range(d):
                    second[k, i, j] = 0.0
        x, row_weights = carray(table[19], (d, n)), carray(table[20], (n_weighted,))
        no_rows, no_row = carray(table[19], (K, 0)), carray(table[19], (0,))
        total += _call_pass(
            table[1],
            (x, np.int64(0), n, constants, means, inverse, row_weights, counts, first, second, no_rows, no_row),
        )
    out = carray(gradient, (p,))
    if stage != PLACE:
        total += _call_collect(
            table[3],
            (out, carray(table[28], (p,)), carray(table[29], (3, d, d)), codes, to_local, weight_map, mean_map,
            choleskys_0, scales, log_weights, means, L, A, inverse, counts, first, second, carray(table[33], (K,)),
            carray(table[12], (K,)), carray(table[13], (K, d)), carray(table[14], (K, d)), carray(table[15], (K, d)),
            carray(table[16], (1,))[0], carray(table[17], (K, d, d)), carray(table[18], (2, d))),
        )  # fmt: skip
    value[0] = total
    for i in range(p if stage != PLACE else 0):
        total += 0.0 * out[i]
    return 0 if math.isfinite(total) else _NOT_FINITE


def _draw(size, _n_stored, v, stored, _table):
    """Store a draw as it is."""
    for i in range(size):
        stored[i] = v[i]
    return 0


@cache
def compiled() -> tuple[Any, ...]:
    """`_log_posterior`, `_draw`, `place` and `collect` as C functions, from the cache on disk or compiled now."""
    signatures = {_log_posterior: _DENSITY, _draw: _DRAW, place: _PLACE, collect: _COLLECT}
    return tuple(cached_cfunc(kinds, error_model="numpy")(function) for function, kinds in signatures.items())
