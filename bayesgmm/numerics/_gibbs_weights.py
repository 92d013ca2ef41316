"""Compiled draws of weights, their concentration and the number of components given labels; see `_gibbs_updates`."""

from __future__ import annotations

import math

from numba import njit

from bayesgmm.numerics._gibbs_updates import (
    CONCENTRATION,
    FIXED,
    GAMMA,
    INNER,
    KNOWN_WEIGHTS,
    SHARED_OUT,
    STICKS,
    TINY,
    WEIGHTS,
)

_LOG_TINY = math.log(TINY)
# The slice sampler of the log concentration (Neal 2003): width of a step, and the most steps out.
_WIDTH, _MOST_STEPS = 1.5, 50


@njit(**INNER)
def _log_gamma_draw(rng, a):
    """Logarithm of a Gamma(a, 1) draw; boosted, so that small shapes do not underflow (Marsaglia & Tsang 2000)."""
    if a >= 1.0:
        return math.log(max(rng.standard_gamma(a), TINY))
    return math.log(max(rng.standard_gamma(a + 1.0), TINY)) + math.log(1.0 - rng.random()) / a


@njit(**INNER)
def draw_weights(rng, kinds, K, counts, concentration, total, log_weights):
    """Draw log weights given counts."""
    kind = kinds[WEIGHTS]
    if kind == KNOWN_WEIGHTS:
        return
    if kind == STICKS:
        after = 0.0
        for k in range(K):
            after += counts[k]
        rest = 0.0
        for k in range(K):
            after -= counts[k]
            if k == K - 1:
                log_weights[k] = max(rest, _LOG_TINY)
            else:
                taken = _log_gamma_draw(rng, 1.0 + counts[k])
                left = _log_gamma_draw(rng, concentration[0] + after)
                peak = max(taken, left)
                both = peak + math.log(math.exp(taken - peak) + math.exp(left - peak))
                log_weights[k] = max(rest + taken - both, _LOG_TINY)
                rest += left - both
        return
    peak = -math.inf
    for k in range(K):
        prior = total / K if kind == SHARED_OUT else concentration[k]
        log_weights[k] = _log_gamma_draw(rng, prior + counts[k])
        peak = max(peak, log_weights[k])
    value = 0.0
    for k in range(K):
        value += math.exp(log_weights[k] - peak)
    value = peak + math.log(value)
    for k in range(K):
        log_weights[k] = max(log_weights[k] - value, _LOG_TINY)


@njit(**INNER)
def log_partition(counts, K, N, each):
    """Log probability of labels with these counts, weights Dirichlet(each) integrated out."""
    value = math.lgamma(each * K) - math.lgamma(each * K + N)
    own = math.lgamma(each)
    for k in range(K):
        if counts[k] > 0:
            value += math.lgamma(counts[k] + each) - own
    return value


@njit(**INNER)
def _log_concentration_density(kinds, prior, log_total, counts, K, N):
    """Log density of the log of the total concentration given counts."""
    total = math.exp(log_total)
    if kinds[CONCENTRATION] == GAMMA:
        value = prior[0] * log_total - prior[1] * total
    else:
        value = 0.5 * prior[0] * log_total - 0.5 * (prior[0] + prior[1]) * math.log1p(prior[0] / prior[1] * total)
    return value + log_partition(counts, K, N, total / K)


@njit(**INNER)
def draw_concentration(rng, kinds, prior, total, counts, K, N):
    """The total concentration by slice sampling of its logarithm, weights integrated out."""
    if kinds[CONCENTRATION] == FIXED:
        return total
    at = math.log(total)
    level = _log_concentration_density(kinds, prior, at, counts, K, N) + math.log(1.0 - rng.random())
    low = at - _WIDTH * rng.random()
    high = low + _WIDTH
    left = int(_MOST_STEPS * rng.random())
    right = _MOST_STEPS - 1 - left
    while left > 0 and _log_concentration_density(kinds, prior, low, counts, K, N) > level:
        low -= _WIDTH
        left -= 1
    while right > 0 and _log_concentration_density(kinds, prior, high, counts, K, N) > level:
        high += _WIDTH
        right -= 1
    while True:
        trial = low + (high - low) * rng.random()
        if _log_concentration_density(kinds, prior, trial, counts, K, N) > level:
            return math.exp(trial)
        if trial < at:
            low = trial
        else:
            high = trial
        if high - low < 1e-12:
            return total


@njit(**INNER)
def weigh_numbers(kinds, log_prior, n_slots, counts, N, concentration, total, logs):
    """Log weights [most + 1] of all numbers of components K given the partition, but for K - K+ factorial.

    `log_prior` [most + 1] holds log p(K) at place K (Fruehwirth-Schnatter et al. 2021, eq. 3.4).
    """
    shared_out = kinds[WEIGHTS] == SHARED_OUT
    logs[0] = -math.inf
    for K in range(1, log_prior.size):
        each = total / K if shared_out else concentration[0]
        value = log_prior[K] + math.lgamma(K + 1.0)
        value += math.lgamma(each * K) - math.lgamma(each * K + N)
        if shared_out and log_prior[K] > -math.inf:
            own = math.lgamma(each)
            for k in range(n_slots):
                if counts[k] > 0:
                    value += math.lgamma(counts[k] + each) - own
        logs[K] = value


@njit(**INNER)
def weigh_split(kinds, sign, n, m, concentration, total, logs, new_logs):
    """What `weigh_numbers` becomes if n + m rows are split into n and m (sign 1.0), or n and m merged (-1.0)."""
    change = 0.0
    for K in range(1, logs.size):
        if K == 1 or kinds[WEIGHTS] == SHARED_OUT:
            each = total / K if kinds[WEIGHTS] == SHARED_OUT else concentration[0]
            change = math.lgamma(n + each) + math.lgamma(m + each) - math.lgamma(each) - math.lgamma(n + m + each)
        new_logs[K] = logs[K] + sign * change
    new_logs[0] = logs[0]


@njit(**INNER)
def log_partition_prior(n_occupied, logs):
    """Log probability of the partition but for a constant, from `weigh_numbers`, the number summed out."""
    peak, value = -math.inf, 0.0
    for K in range(n_occupied, logs.size):
        log = logs[K] - math.lgamma(K - n_occupied + 1.0)
        if log > peak:
            value = value * math.exp(peak - log) + 1.0
            peak = log
        elif log > -math.inf:
            value += math.exp(log - peak)
    return peak + math.log(value) if value > 0.0 else -math.inf


@njit(**INNER)
def draw_number(rng, n_occupied, logs):
    """The number of components K >= n_occupied given the partition, from `weigh_numbers`."""
    whole = log_partition_prior(n_occupied, logs)
    u = rng.random()
    for K in range(n_occupied, logs.size):
        u -= math.exp(logs[K] - math.lgamma(K - n_occupied + 1.0) - whole)
        if u < 0.0:
            return K
    return n_occupied
