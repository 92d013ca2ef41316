"""Compiled draws of a mixture's parameters given its labels: the conditionals of `_gibbs_kernel`.

Sums over the rows of a component are counted from its current mean m: `counts` [K], `first` [K, d] sums of x - m, and
the lower triangles `second` [K, d, d] of sums of (x - m)(x - m)'. Random numbers come from a NumPy Generator. Which
conditional is meant stands in `kinds`, at the places named here.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from numba import njit, types

from bayesgmm.numerics._by_address import INTEGERS, MATRICES, MATRIX, VECTOR
from bayesgmm.numerics._numba_cache import cached_cfunc

WEIGHTS, MEANS, COVARIANCES, TIED, RANDOM_NUMBER, RANDOM_SCALE, CONCENTRATION, TRIES = range(8)
N_KINDS = 8
# Values of kinds[WEIGHTS]: a Dirichlet with fixed numbers, one whose total is shared out evenly, sticks, known ones.
DIRICHLET, SHARED_OUT, STICKS, KNOWN_WEIGHTS = range(4)
CONJUGATE, INDEPENDENT, KNOWN_MEANS = range(3)
FULL, DIAGONAL, SPHERICAL, KNOWN_COVARIANCES = range(4)
# Prior on the total concentration. kinds[TRIES] is how often a sweep tries to split or merge.
FIXED, GAMMA, F_RATIO = range(3)

INNER: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "nogil": True, "error_model": "numpy"}
# Called at one place and made part of the caller, which compiles in less time there; of `run_sweeps` it takes more.
ONCE: Any = {"inline": "always", "error_model": "numpy"}
TINY = 1e-300

WORK = MATRIX, VECTOR, MATRICES
DRAW_COMPONENTS = types.void(
    types.npy_rng, INTEGERS, types.int64, types.int64, VECTOR, MATRIX, MATRICES, MATRIX, MATRIX, types.float64,
    types.float64, MATRIX, MATRIX, MATRICES, MATRICES, *WORK,
)  # fmt: skip


@njit(**INNER)
def chi_square(rng, df):
    """A draw, kept off 0."""
    return max(2.0 * rng.standard_gamma(0.5 * df), TINY)


@njit(**INNER)
def copy(source, target):
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@njit(**INNER)
def _copy_first(L, A, k):
    for i in range(L.shape[1]):
        for j in range(L.shape[1]):
            L[k, i, j] = L[0, i, j]
            A[k, i, j] = A[0, i, j]


@njit(**INNER)
def cholesky(S, d, out):
    """Lower factor of the matrix with lower triangle S; pivots are kept positive."""
    for j in range(d):
        total = S[j, j]
        for i in range(j):
            total -= out[j, i] * out[j, i]
        pivot = math.sqrt(max(total, TINY))
        out[j, j] = pivot
        for e in range(j + 1, d):
            total = S[e, j]
            for i in range(j):
                total -= out[e, i] * out[j, i]
            out[e, j] = total / pivot
        for e in range(j):
            out[e, j] = 0.0


@njit(**INNER)
def invert_lower(L, d, out):
    for j in range(d):
        for e in range(j):
            out[e, j] = 0.0
        out[j, j] = 1.0 / L[j, j]
        for i in range(j + 1, d):
            total = 0.0
            for e in range(j, i):
                total -= L[i, e] * out[e, j]
            out[i, j] = total / L[i, i]


@njit(**INNER)
def _lower_product(A, B, d, out, k):
    """Write the product of two lower triangular matrices into out[k]."""
    for i in range(d):
        for j in range(i + 1):
            total = 0.0
            for e in range(j, i + 1):
                total += A[i, e] * B[e, j]
            out[k, i, j] = total
        for j in range(i + 1, d):
            out[k, i, j] = 0.0


@njit(**INNER)
def draw_covariance(rng, kind, df, S, L, A, k, work):
    """Draw Sigma ~ InverseWishart(df, S) and write its lower factor into L[k] and the precision's A, A'A, into A[k].

    `S` holds the lower triangle of a matrix, separate scales on its diagonal, or one scale at its first place. By
    Bartlett's decomposition from the last feature on, W = U U' with U upper triangular, so that U' times the inverse
    of the factor of S is already lower triangular.
    """
    d = S.shape[0]
    if kind == FULL:
        factor, inverse, G = work[0], work[1], work[2]
        cholesky(S, d, factor)
        invert_lower(factor, d, inverse)
        for i in range(d):
            for j in range(i):
                G[i, j] = rng.standard_normal()
            G[i, i] = math.sqrt(chi_square(rng, df - (d - 1 - i)))
            for j in range(i + 1, d):
                G[i, j] = 0.0
        _lower_product(G, inverse, d, A, k)
        invert_lower(G, d, inverse)
        _lower_product(factor, inverse, d, L, k)
        return
    for i in range(d):
        for j in range(d):
            L[k, i, j] = 0.0
            A[k, i, j] = 0.0
    for j in range(d):
        if kind == DIAGONAL or j == 0:
            L[k, j, j] = math.sqrt(max(S[j, j], TINY) / chi_square(rng, df))
        else:
            L[k, j, j] = L[k, 0, 0]
        A[k, j, j] = 1.0 / L[k, j, j]


@njit(**INNER)
def _add_square(S, kind, coefficient, v):
    """Add coefficient v v' to a scale."""
    for j in range(v.size):
        if kind == FULL:
            for e in range(j + 1):
                S[j, e] += coefficient * v[j] * v[e]
        else:
            S[j if kind == DIAGONAL else 0, j if kind == DIAGONAL else 0] += coefficient * v[j] * v[j]


@njit(**INNER)
def add_scatter(S, kind, n, first, second, k, shift):
    """Add the scatter of a component's rows about its current mean plus `shift`."""
    d = shift.size
    for j in range(d):
        if kind == FULL:
            for e in range(j + 1):
                moved = first[k, j] * shift[e] + shift[j] * first[k, e] - n * shift[j] * shift[e]
                S[j, e] += second[k, j, e] - moved
        else:
            at = j if kind == DIAGONAL else 0
            S[at, at] += second[k, j, j] - 2.0 * first[k, j] * shift[j] + n * shift[j] * shift[j]


@njit(**INNER)
def _draw_independent_mean(rng, n, first, k, loc, sd, means, A, shift, work):
    """Draw mu_k given Sigma_k under independent Normal priors; `shift` becomes the way from the current mean."""
    d = shift.size
    P, factor, right = work[0], work[1], work[2]
    for j in range(d):
        for e in range(j + 1):
            total = 0.0
            for i in range(j, d):
                total += A[k, i, j] * A[k, i, e]
            P[j, e] = n * total
            P[e, j] = P[j, e]
            right[1, j] = 0.0
    for j in range(d):
        # The gain is about the current mean: P0 (loc - m) + Sigma^-1 first.
        total = (loc[k, j] - means[k, j]) / (sd[k, j] * sd[k, j])
        for e in range(d):
            total += (P[j, e] / n if n > 0 else 0.0) * first[k, e]
        right[0, j] = total
    for j in range(d):
        P[j, j] += 1.0 / (sd[k, j] * sd[k, j])
    cholesky(P, d, factor)
    # P^-1 right + factor^-T noise, by two triangular solves.
    for j in range(d):
        total = right[0, j]
        for e in range(j):
            total -= factor[j, e] * right[1, e]
        right[1, j] = total / factor[j, j]
    for j in range(d):
        right[1, j] += rng.standard_normal()
    for j in range(d - 1, -1, -1):
        total = right[1, j]
        for e in range(j + 1, d):
            total -= factor[e, j] * shift[e]
        shift[j] = total / factor[j, j]
    for j in range(d):
        means[k, j] += shift[j]


@njit(**INNER)
def _draw_conjugate_mean(rng, n, first, k, loc, kappa, means, L, noise):
    """Draw mu_k ~ Normal(mean given its rows, Sigma_k / (kappa + n))."""
    d = noise.size
    for j in range(d):
        noise[j] = rng.standard_normal()
    for j in range(d):
        total = 0.0
        for e in range(j + 1):
            total += L[k, j, e] * noise[e]
        center = (kappa * loc[k, j] + n * means[k, j] + first[k, j]) / (kappa + n)
        # Later entries of means[k] and first[k] have not been touched yet.
        means[k, j] = center + total / math.sqrt(kappa + n)


@njit(**INNER)
def scatter_for(S, kinds, k, n, first, second, loc, kappa, means, shift):
    """Add to a scale what component k says of its covariance."""
    kind, d = kinds[COVARIANCES], shift.size
    if kinds[MEANS] == CONJUGATE:
        if n > 0:
            for j in range(d):
                shift[j] = first[k, j] / n
            add_scatter(S, kind, n, first, second, k, shift)
            for j in range(d):
                shift[j] += means[k, j] - loc[k, j]
            _add_square(S, kind, kappa * n / (kappa + n), shift)
    else:
        add_scatter(S, kind, n, first, second, k, shift)


def draw_components(
    rng, kinds, begin, end, counts, first, second, loc, sd, kappa, df, scale, means, L, A, S, shift, work
):
    """Draw means and covariances of components begin..end-1, which have `counts` rows each, given the scale matrix.

    Conjugate means are integrated out while covariances are drawn; independent ones are drawn first. A covariance that
    all components share is drawn if `begin` is 0 and copied otherwise.
    """
    d, kind, tied = shift.size, kinds[COVARIANCES], kinds[TIED] == 1
    own, rows = kind != KNOWN_COVARIANCES, d if kind == SPHERICAL else 1
    total_df = df
    if tied and begin == 0:
        copy(scale, S)
    for k in range(begin, end):
        n = counts[k]
        if not tied:
            copy(scale, S)
        if tied and begin > 0:
            _copy_first(L, A, k)
        if kinds[MEANS] == INDEPENDENT:
            _draw_independent_mean(rng, n, first, k, loc, sd, means, A, shift, work)
        elif kinds[MEANS] == KNOWN_MEANS:
            for j in range(d):
                shift[j] = 0.0
        if own and not (tied and begin > 0):
            scatter_for(S, kinds, k, n, first, second, loc, kappa, means, shift)
            total_df += rows * n
            if not tied:
                draw_covariance(rng, kind, df + rows * n, S, L, A, k, work)
        if kinds[MEANS] == CONJUGATE and not (own and tied and begin == 0):
            _draw_conjugate_mean(rng, n, first, k, loc, kappa, means, L, shift)
    if tied and own and begin == 0:
        draw_covariance(rng, kind, total_df, S, L, A, begin, work)
        for k in range(begin, end):
            if k > 0:
                _copy_first(L, A, k)
            if kinds[MEANS] == CONJUGATE:
                _draw_conjugate_mean(rng, counts[k], first, k, loc, kappa, means, L, shift)


@njit(**INNER)
def draw_scale(rng, kinds, n_own, df, scale_df, scale_inverse, A, scale, S, work):
    """Draw the scale matrix C ~ Wishart(scale_df, V) given covariances Sigma_k | C ~ InverseWishart(df, C).

    `scale_inverse` is the inverse of V. With tied covariances there is one Sigma.
    """
    d, kind = scale.shape[0], kinds[COVARIANCES]
    n = 1 if kinds[TIED] == 1 else n_own
    copy(scale_inverse, S)
    for k in range(n):
        for j in range(d):
            for e in range(j + 1):
                total = 0.0
                for i in range(j, d):
                    total += A[k, i, j] * A[k, i, e]
                if kind == FULL or (kind == DIAGONAL and e == j) or (kind == SPHERICAL and j == 0):
                    S[j, e] += total
    if kind != FULL:
        for j in range(d):
            if kind == DIAGONAL or j == 0:
                scale[j, j] = chi_square(rng, scale_df + n * df) / S[j, j]
        return
    factor, G, inverse = work[0], work[1], work[2]
    cholesky(S, d, factor)
    invert_lower(factor, d, inverse)
    for i in range(d):
        for j in range(i):
            G[i, j] = rng.standard_normal()
        G[i, i] = math.sqrt(chi_square(rng, scale_df + n * df - i))
        for j in range(i + 1, d):
            G[i, j] = 0.0
    # C = M^-T T T' M^-1 for S = M M'.
    for i in range(d):
        for j in range(d):
            total = 0.0
            for e in range(max(i, j), d):
                total += inverse[e, i] * G[e, j]
            factor[i, j] = total
    for i in range(d):
        for j in range(d):
            total = 0.0
            for e in range(d):
                total += factor[i, e] * factor[j, e]
            scale[i, j] = total


@cache
def compiled() -> Any:
    """`draw_components` as a C function, from the cache on disk or compiled now."""
    return cached_cfunc(DRAW_COMPONENTS, error_model="numpy")(draw_components)
