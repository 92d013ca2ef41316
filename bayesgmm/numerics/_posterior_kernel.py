"""Log posterior density and gradient of a Gaussian mixture in one compiled function: the pass, the priors, the Jacobians.

Plain loops only: matrix products and slices of arrays cost seconds of compiling, and the matrices are tiny. What is
computed here is written more readably in `model`; a test holds the two equal for every declaration.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bayesgmm.numerics._kernels import direct_pass

# Codes of what a declaration consists of.
DIRICHLET, STICK_BREAKING, FIXED_WEIGHTS = 0, 1, 2
NORMAL_MEANS, CONJUGATE_MEANS, FIXED_MEANS = 0, 1, 2
FULL, DIAGONAL, SPHERICAL, FIXED_COVARIANCES = 0, 1, 2, 3
INVERSE_WISHART, LKJ = 0, 1
HALF_NORMAL, EXPONENTIAL, GAMMA, LOG_NORMAL = 0, 1, 2, 3

_INNER = {"cache": True, "error_model": "numpy"}


@njit(nogil=True, **_INNER)
def _scale_density(kind, first, second, s):
    """Log density of a standard deviation, without its constant, and its derivative."""
    if kind == HALF_NORMAL:
        return -0.5 * s * s / (first * first), -s / (first * first)
    if kind == EXPONENTIAL:
        return -first * s, -first
    if kind == GAMMA:
        return (first - 1.0) * math.log(s) - second * s, (first - 1.0) / s - second
    z = (math.log(s) - first) / second
    return -0.5 * z * z - math.log(s), -(z / second + 1.0) / s


@njit(nogil=True, **_INNER)
def _variance_prior(kind, shape, scale, scale_kind, first, second, v):
    """Log density of a log standard deviation whose square is v, without its constant, and its derivative."""
    if kind == INVERSE_WISHART:
        return -0.5 * shape * math.log(v) - 0.5 * scale / v, scale / v - shape
    s = math.sqrt(v)
    value, slope = _scale_density(scale_kind, first, second, s)
    return value + math.log(s), slope * s + 1.0


@njit(nogil=True, **_INNER)
def _matrix_prior(kind, shape, scale, scale_kind, numbers, L, P, G):
    """Log density of a covariance L L' in own parameters and volume, without constants; adds its slope to G."""
    d = L.shape[0]
    value = 0.0
    if kind == INVERSE_WISHART:
        power = shape + d + 1.0
        for j in range(d):
            value -= power * math.log(L[j, j])
        for a in range(d):
            for b in range(d):
                value -= 0.5 * scale[a, b] * P[a, b]
                G[a, b] -= 0.5 * power * P[a, b]
                for e in range(d):
                    left = 0.0
                    for f in range(d):
                        left += P[a, f] * scale[f, e]
                    G[a, b] += 0.5 * left * P[e, b]
        return value
    for j in range(d):
        v = 0.0
        for i in range(j + 1):
            v += L[j, i] * L[j, i]
        s = math.sqrt(v)
        density, slope = _scale_density(scale_kind, numbers[0, j], numbers[1, j], s)
        value += density + (shape - 1.0) * (2.0 * math.log(L[j, j]) - math.log(v)) - 0.5 * d * math.log(v)
        G[j, j] += slope / (2.0 * s) - (shape - 1.0 + 0.5 * d) / v
        for i in range(d):
            G[j, i] += (shape - 1.0) * P[j, i]
    return value


@njit(nogil=True, **_INNER)
def _weights_prior(kind, numbers, log_weights, slopes):
    """Log density of the weights' coordinates without its constant; adds its slope in log weights to `slopes`."""
    K = log_weights.size
    value = 0.0
    if kind == DIRICHLET:
        for k in range(K):
            value += numbers[k] * log_weights[k]
            slopes[k] += numbers[k]
    elif kind == STICK_BREAKING:
        rest, inverse = 1.0, 0.0
        for k in range(K - 1):
            value += log_weights[k] - math.log(rest)
            inverse += 1.0 / rest
            slopes[k] += 1.0 - math.exp(log_weights[k]) * inverse
            # Summed from the small end, because differences of numbers near 1 would lose the small ones.
            rest = 0.0
            for j in range(K - 1, k, -1):
                rest += math.exp(log_weights[j])
        value += numbers[0] * log_weights[K - 1]
        slopes[K - 1] += numbers[0] - math.exp(log_weights[K - 1]) * inverse
    return value


@njit(nogil=True, **_INNER)
def log_posterior(
    v,
    gradient,
    x,
    to_local,
    log_weights_0,
    weight_map,
    means_0,
    mean_map,
    choleskys_0,
    covariance_scale,
    codes,
    weight_numbers,
    mean_loc,
    mean_precision,
    prior_shape,
    prior_scale,
    scale_numbers,
):
    """Value at coordinates v (p,); its gradient is written into `gradient`.

    The first step of the map to parameters is u = to_local v; the rest is `Coordinates` of the engines, laid round
    (log_weights_0, means_0, choleskys_0). `codes` are those of weights, means, structure, whether it is tied, prior
    and scale prior.
    """
    K, d = means_0.shape
    p = v.size
    weights_kind, means_kind, structure, tied, prior, scale_kind = codes
    n_weights = weight_map.shape[1]
    n_means = K * d if means_kind != FIXED_MEANS else 0
    K_own = 1 if tied == 1 else K
    n_each = covariance_scale.size // K_own

    u = np.empty(p)
    for i in range(p):
        total = 0.0
        for j in range(p):
            total += to_local[i, j] * v[j]
        u[i] = total
    by_u = np.zeros(p)

    log_weights = np.empty(K)
    peak = -np.inf
    for k in range(K):
        total = log_weights_0[k]
        for j in range(n_weights):
            total += weight_map[k, j] * u[j]
        log_weights[k] = total
        peak = max(peak, total)
    if n_weights > 0:
        total = 0.0
        for k in range(K):
            total += math.exp(log_weights[k] - peak)
        for k in range(K):
            log_weights[k] -= peak + math.log(total)

    means = np.empty((K, d))
    for k in range(K):
        for i in range(d):
            total = means_0[k, i]
            if n_means > 0:
                for j in range(i + 1):
                    total += mean_map[k, i, j] * u[n_weights + k * d + j]
            means[k, i] = total

    # Covariance factors L = L_0 A, their inverses and the precisions.
    L, A = np.zeros((K, d, d)), np.zeros((K, d, d))
    inverse, P = np.zeros((K, d, d)), np.zeros((K, d, d))
    constants = np.empty(K)
    for k in range(K):
        begin = n_weights + n_means + (0 if tied == 1 else k * n_each)
        scales = begin - n_weights - n_means
        for i in range(d):
            A[k, i, i] = 1.0
            if structure == FULL or structure == DIAGONAL:
                A[k, i, i] = math.exp(covariance_scale[scales + i] * u[begin + i])
            elif structure == SPHERICAL:
                A[k, i, i] = math.exp(covariance_scale[scales] * u[begin])
        if structure == FULL:
            f = d
            for i in range(d):
                for j in range(i):
                    A[k, i, j] = covariance_scale[scales + f] * u[begin + f]
                    f += 1
        log_det = 0.0
        for i in range(d):
            for j in range(i + 1):
                total = 0.0
                for e in range(j, i + 1):
                    total += choleskys_0[k, i, e] * A[k, e, j]
                L[k, i, j] = total
            log_det += math.log(L[k, i, i])
        for j in range(d):
            for i in range(j, d):
                total = 1.0 if i == j else 0.0
                for e in range(j, i):
                    total -= L[k, i, e] * inverse[k, e, j]
                inverse[k, i, j] = total / L[k, i, i]
        for i in range(d):
            for j in range(d):
                total = 0.0
                for e in range(max(i, j), d):
                    total += inverse[k, e, i] * inverse[k, e, j]
                P[k, i, j] = total
        constants[k] = log_weights[k] - log_det - 0.5 * d * math.log(2.0 * math.pi)

    counts, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    value = direct_pass(
        x, 0, x.shape[1], constants, means, inverse, counts, first, second, np.empty((K, 0)), np.empty(0)
    )

    by_weights = np.empty(K)
    for k in range(K):
        by_weights[k] = counts[k]
    value += _weights_prior(weights_kind, weight_numbers, log_weights, by_weights)
    if n_weights > 0:
        total = 0.0
        for k in range(K):
            total += by_weights[k]
        for k in range(K):
            slope = by_weights[k] - math.exp(log_weights[k]) * total
            for j in range(n_weights):
                by_u[j] += weight_map[k, j] * slope

    # Slopes in Sigma: (P S P - N P) / 2 from the rows, and what the priors add.
    G = np.zeros((K, d, d))
    left, pulled, by_mean = np.empty((d, d)), np.empty(d), np.empty(d)
    for k in range(K):
        for i in range(d):
            for j in range(i):
                second[k, j, i] = second[k, i, j]
        for i in range(d):
            for j in range(d):
                total = 0.0
                for e in range(d):
                    total += P[k, i, e] * second[k, e, j]
                left[i, j] = total
        for i in range(d):
            for j in range(d):
                total = -counts[k] * P[k, i, j]
                for e in range(d):
                    total += left[i, e] * P[k, e, j]
                G[k, i, j] = 0.5 * total
        if means_kind == FIXED_MEANS:
            continue
        for i in range(d):
            total = 0.0
            for j in range(d):
                total += P[k, i, j] * first[k, j]
            by_mean[i] = total
        if means_kind == NORMAL_MEANS:
            for i in range(d):
                delta = means[k, i] - mean_loc[k, i]
                value -= 0.5 * mean_precision[k, i] * delta * delta
                by_mean[i] -= mean_precision[k, i] * delta
        else:
            kappa = mean_precision[k, 0]
            for i in range(d):
                total = 0.0
                for j in range(d):
                    total += P[k, i, j] * (means[k, j] - mean_loc[k, j])
                pulled[i] = total
                by_mean[i] -= kappa * total
                value -= 0.5 * kappa * total * (means[k, i] - mean_loc[k, i]) + math.log(L[k, i, i])
            for i in range(d):
                for j in range(d):
                    G[k, i, j] += 0.5 * (kappa * pulled[i] * pulled[j] - P[k, i, j])
        for j in range(d):
            total = 0.0
            for i in range(j, d):
                total += mean_map[k, i, j] * by_mean[i]
            by_u[n_weights + k * d + j] += total

    if structure != FIXED_COVARIANCES:
        for k in range(1, K):
            if tied == 1:
                for i in range(d):
                    for j in range(d):
                        G[0, i, j] += G[k, i, j]
        for k in range(K_own):
            begin = n_weights + n_means + k * n_each
            if structure == FULL:
                value += _matrix_prior(prior, prior_shape, prior_scale, scale_kind, scale_numbers, L[k], P[k], G[k])
                # by A: 2 L_0' G L, its lower triangle; the diagonal of A is an exponential.
                f = d
                for i in range(d):
                    value += (d + 1.0 - i) * math.log(L[k, i, i])
                    for j in range(i + 1):
                        total = 0.0
                        for e in range(i, d):
                            inner = 0.0
                            for g in range(j, d):
                                inner += G[k, e, g] * L[k, g, j]
                            total += choleskys_0[k, e, i] * inner
                        if i == j:
                            by_u[begin + i] += covariance_scale[k * n_each + i] * (
                                2.0 * total * A[k, i, i] + d + 1.0 - i
                            )
                        else:
                            by_u[begin + f] += covariance_scale[k * n_each + f] * 2.0 * total
                            f += 1
            else:
                for i in range(d):
                    own = i if structure == DIAGONAL else 0
                    variance = L[k, i, i] * L[k, i, i]
                    slope = 2.0 * G[k, i, i] * variance
                    if structure == DIAGONAL or i == 0:
                        density, by_prior = _variance_prior(
                            prior,
                            prior_shape,
                            prior_scale[own, own],
                            scale_kind,
                            scale_numbers[0, own],
                            scale_numbers[1, own],
                            variance,
                        )
                        value += density
                        slope += by_prior
                    by_u[begin + own] += covariance_scale[k * n_each + own] * slope

    for j in range(p):
        total = 0.0
        for i in range(p):
            total += to_local[i, j] * by_u[i]
        gradient[j] = total
    return value
