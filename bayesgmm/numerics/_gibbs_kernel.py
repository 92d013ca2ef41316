"""The compiled sweep of the Gibbs sampler: labels, then parameters, then (telescoping) the number of components.

Labels are drawn in the blocks of the one pass (`_kernels`), and the sums that the parameters need are added up in the
same loop; no array of rows by components is kept. With an unknown number of components the sweep is that of
Fruehwirth-Schnatter, Malsiner-Walli & Gruen (2021, algorithm 1).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit

from bayesgmm.numerics import _gibbs_split, _gibbs_updates
from bayesgmm.numerics._by_address import caller
from bayesgmm.numerics._gibbs_split import N_PARTS, SPLIT_OR_MERGE, swap
from bayesgmm.numerics._gibbs_updates import (
    CONCENTRATION,
    DRAW_COMPONENTS,
    FIXED,
    INNER,
    RANDOM_NUMBER,
    RANDOM_SCALE,
    TRIES,
    draw_scale,
)
from bayesgmm.numerics._gibbs_weights import draw_concentration, draw_number, draw_weights, weigh_numbers
from bayesgmm.numerics._kernels import DIRECT_BLOCK, _log_joint, _normalise, _residuals
from bayesgmm.numerics._numba_cache import cached_njit
from bayesgmm.numerics.compiling import is_cached

_call_draw_components, _call_split_or_merge = caller(DRAW_COMPONENTS), caller(SPLIT_OR_MERGE)
# Addresses of functions that are not called: `draw_components`, and three of splits.
NOWHERE = 0, 0, 0, 0


@njit(**INNER)
def _draw_labels(rng, x, labels, R, residual, work, peak, total, constants, means, A, counts, first, second, delta):
    """Draw all labels and add up sums of residuals about `means`; return the log-likelihood, labels summed out."""
    d, N = x.shape
    K = R.shape[0]
    value = 0.0
    for start in range(0, N, DIRECT_BLOCK):
        w = min(DIRECT_BLOCK, N - start)
        for k in range(K):
            _residuals(residual, x, start, w, means, k)
            _log_joint(R, k, residual, w, work, constants[k], A)
        value += _normalise(R, w, peak, total)
        for i in range(w):
            u = rng.random()
            k = 0
            below = R[0, i]
            while u >= below and k < K - 1:
                k += 1
                below += R[k, i]
            labels[start + i] = k
            counts[k] += 1.0
            for j in range(d):
                r = x[j, start + i] - means[k, j]
                delta[j] = r
                first[k, j] += r
                for e in range(j + 1):
                    second[k, j, e] += r * delta[e]
    return value


@njit(**INNER)
def _occupied_first(K, place, labels, log_weights, sums):
    """Give the components that hold rows the first numbers; return how many there are."""
    counts, moved = sums[0], False
    n = K - K  # 0, of the type of other numbers, so that functions are compiled once
    for k in range(K):
        if counts[k] > 0:
            place[k] = n
            if n != k:  # then component n is empty
                swap(n, k, log_weights, sums)
                moved = True
            n += 1
    if moved:
        for i in range(labels.size):
            labels[i] = place[labels[i]]
    return n


@njit(**INNER)
def _keep(s, K, scale, counts, log_weights, means, L, out_scale, out_counts, out_log_weights, out_means, out_L):
    # Loops: slices on both sides would have their shapes compared, which takes ten times as long to compile.
    d = scale.shape[0]
    for j in range(d):
        for e in range(d):
            out_scale[s, j, e] = scale[j, e]
    for k in range(K):
        out_counts[s, k], out_log_weights[s, k] = counts[k], log_weights[k]
        for j in range(d):
            out_means[s, k, j] = means[k, j]
            for e in range(d):
                out_L[s, k, j, e] = L[k, j, e]


@cache
def addresses_of(*, splits: bool) -> tuple[int, ...]:
    """Where the functions are that `run_sweeps` calls, which are loaded or compiled; those of splits only if wanted."""
    found = [function.address for function in _gibbs_split.compiled()] if splits else NOWHERE[1:]
    return _gibbs_updates.compiled().address, *found


def are_cached(*, splits: bool) -> bool:
    """Whether `run_sweeps` and what it calls are in the cache on disk."""
    functions = run_sweeps.py_func, _gibbs_updates.draw_components, *([_gibbs_split.split_or_merge] if splits else [])
    return all(is_cached(function) for function in functions)


@cached_njit(nogil=True, error_model="numpy")
def run_sweeps(
    addresses,
    rng,
    x,
    labels,
    kinds,
    log_prior,
    concentration,
    concentration_prior,
    loc,
    sd,
    kappa,
    df,
    scale_df,
    scale_inverse,
    number,
    log_weights,
    means,
    L,
    A,
    total,
    scale,
    n_sweeps,
    thin,
    out_number,
    out_occupied,
    out_likelihood,
    out_total,
    out_scale,
    out_counts,
    out_log_weights,
    out_means,
    out_L,
):
    """Make sweeps, keeping what every `thin`-th begins with and its labels' counts; nothing if outputs are empty.

    Parameters
    ----------
    addresses : tuple of int
        Of compiled functions, see `addresses_of`.
    rng : numpy.random.Generator
    x : (d, N) array
    labels : (N,) array of int
        Overwritten.
    kinds : (8,) array of int
        Which conditionals, see `_gibbs_updates`.
    log_prior : (M + 1,) array
        log p(K) at place K where the number of components is unknown.
    concentration : (M,) array
        Of the Dirichlet distribution or the sticks.
    concentration_prior : (2,) array
    loc, sd : (M, d) arrays
        Of the prior on means.
    kappa, df : float
        Precision scale of conjugate means; degrees of freedom of the covariances.
    scale_df, scale_inverse : float, (d, d) array
        Of the Wishart prior on the scale matrix, if that is unknown.
    number, log_weights, means, L, A, total, scale : arrays
        The state, changed: K (1,), (M,), (M, d), factors of covariances and precisions (M, d, d), total concentration
        (1,), scale matrix (d, d).
    out_number, ..., out_L : arrays with n_sweeps // thin first
    """
    d, N = x.shape
    M = log_weights.size
    R, residual = np.empty((M, DIRECT_BLOCK)), np.empty((d, DIRECT_BLOCK))
    block, peak, totals = np.empty(DIRECT_BLOCK), np.empty(DIRECT_BLOCK), np.empty(DIRECT_BLOCK)
    counts, first, second = np.zeros(M), np.zeros((M, d)), np.zeros((M, d, d))
    constants, logs, delta, shift = np.empty(M), np.empty(M + 1), np.empty(d), np.empty(d)
    order = np.empty(M, dtype=np.int64)
    work, S = np.empty((3, max(d, 2), max(d, 2))), np.empty((d, d))
    random_number = kinds[RANDOM_NUMBER] == 1
    none = order.size - M  # 0, of the type of other numbers, so that functions are compiled once
    rows, sides = np.empty(N, dtype=np.int64), np.empty(N, dtype=np.int64)
    new_logs, part_loc, part_sd = np.empty(M + 1), np.empty((N_PARTS, d)), np.empty((N_PARTS, d))
    for k in range(N_PARTS):
        for j in range(d):
            part_loc[k, j], part_sd[k, j] = loc[0, j], sd[0, j]
    prior = part_loc, part_sd, kappa, df, scale
    sums = counts, first, second, means, L, A
    matrices = np.empty((4, N_PARTS, d, d))
    parts = np.empty(N_PARTS), np.empty((N_PARTS, d)), matrices[0], np.empty((N_PARTS, d)), matrices[1], matrices[2]
    found = np.empty(N_PARTS), np.empty((N_PARTS, d)), matrices[3]
    scratch, y = (R[:2], residual, block, peak, totals), np.empty((d, DIRECT_BLOCK))
    half_log_two_pi = 0.5 * d * math.log(2.0 * math.pi)
    for sweep in range(n_sweeps):
        K = number[0]
        for k in range(K):
            constants[k] = log_weights[k] - half_log_two_pi
            for j in range(d):
                constants[k] += math.log(A[k, j, j])
            counts[k] = 0.0
            for j in range(d):
                first[k, j] = 0.0
                for e in range(d):
                    second[k, j, e] = 0.0
        value = _draw_labels(
            rng,
            x,
            labels,
            R[:K],
            residual,
            block,
            peak,
            totals,
            constants,
            means,
            A,
            counts,
            first,
            second,
            delta,
        )
        if random_number:
            occupied = _occupied_first(K, order, labels, log_weights, sums)
        else:
            occupied = 0
            for k in range(K):
                occupied += counts[k] > 0
        if out_number.size > 0 and sweep % thin == thin - 1:
            s = sweep // thin
            out_number[s], out_occupied[s] = K, occupied
            out_likelihood[s], out_total[s] = value, total[0]
            _keep(s, K, scale, counts, log_weights, means, L, out_scale, out_counts, out_log_weights, out_means, out_L)
        if random_number or kinds[TRIES] > 0:
            weigh_numbers(kinds, log_prior, K, counts, N, concentration, total[0], logs)
        for _ in range(kinds[TRIES] if N > 1 else 0):
            occupied = _call_split_or_merge(
                addresses[3],
                (addresses[1], addresses[2], rng, x, labels, kinds, occupied, concentration, total[0], prior, sums,
                log_weights, parts, found, scratch, y, rows, sides, logs, new_logs, S, shift, work),
            )  # fmt: skip
        own = occupied if random_number else K
        _call_draw_components(
            addresses[0],
            (rng, kinds, none, own, counts, first, second, loc, sd, kappa, df, scale, means, L, A, S, shift, work),
        )
        if kinds[RANDOM_SCALE] == 1:
            draw_scale(rng, kinds, own, df, scale_df, scale_inverse, A, scale, S, work)
        if random_number:
            K = draw_number(rng, occupied, logs)
            number[0] = K
            for k in range(own, K):
                counts[k] = 0.0
                for j in range(d):
                    first[k, j] = 0.0
                    means[k, j] = loc[k, j]
                    for e in range(d):
                        second[k, j, e] = 0.0
        if kinds[CONCENTRATION] != FIXED:
            total[0] = draw_concentration(rng, kinds, concentration_prior, total[0], counts, K, N)
        if random_number:
            _call_draw_components(
                addresses[0],
                (rng, kinds, own, K, counts, first, second, loc, sd, kappa, df, scale, means, L, A, S, shift, work),
            )
        draw_weights(rng, kinds, K, counts, concentration, total[0], log_weights)
