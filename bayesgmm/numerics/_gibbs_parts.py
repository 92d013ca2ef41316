"""Compiled functions of parts of the rows, for the moves of `_gibbs_split`: evidence, proposals, what to guess them from.

`sums` of parts or components are `counts`, `first`, `second`, `means`, `L`, `A`, as in `_gibbs_updates`; `prior` are the
means' `loc` and `sd` (3, d), alike in all rows, then `kappa`, `df`, `scale`. Of a part parameters are integrated out as
far as they can be. What is left is its `evidence`: with conjugate means the marginal likelihood of its rows; with
independent ones that given a covariance which is proposed with the move, over the density of the proposal; with
covariances that are shared or known the marginal likelihood given them.
"""

from __future__ import annotations

import math

from numba import njit

from bayesgmm.numerics._gibbs_updates import (
    CONJUGATE,
    COVARIANCES,
    DIAGONAL,
    FULL,
    INNER,
    KNOWN_COVARIANCES,
    MEANS,
    SPHERICAL,
    TIED,
    add_scatter,
    cholesky,
    copy,
    draw_covariance,
    invert_lower,
    scatter_for,
)

# Proposals are found from so many rows at most, in so many steps.
_MOST_ROWS, _STEPS = 200, 4


@njit(**INNER)
def copy_part(j, k, sums, new_sums):
    counts, first, second, _, L, A = sums
    new_counts, new_first, new_second, _, new_L, new_A = new_sums
    new_counts[k] = counts[j]
    for i in range(first.shape[1]):
        new_first[k, i] = first[j, i]
        for e in range(first.shape[1]):
            new_second[k, i, e] = second[j, i, e]
            new_L[k, i, e], new_A[k, i, e] = L[j, i, e], A[j, i, e]


@njit(**INNER)
def clear(k, sums):
    counts, first, second, _, _, _ = sums
    counts[k] = 0.0
    for j in range(first.shape[1]):
        first[k, j] = 0.0
        for e in range(j + 1):
            second[k, j, e] = 0.0


@njit(**INNER)
def add_row(x, i, k, weight, sums):
    """Add a row to a part."""
    counts, first, second, means, _, _ = sums
    counts[k] += weight
    for j in range(means.shape[1]):
        r = x[j, i] - means[k, j]
        first[k, j] += weight * r
        for e in range(j + 1):
            second[k, j, e] += weight * r * (x[e, i] - means[k, e])


@njit(**INNER)
def _scale_of(kinds, k, prior, sums, S, shift):
    """Write the scale matrix that the rows of a part leave to its covariance, the mean integrated out; return its df."""
    loc, _, kappa, df, scale = prior
    counts, first, second, means, _, _ = sums
    n, kind = counts[k], kinds[COVARIANCES]
    copy(scale, S)
    if kinds[MEANS] == CONJUGATE:
        scatter_for(S, kinds, k, n, first, second, loc, kappa, means, shift)
        free = n
    else:
        for j in range(shift.size):
            shift[j] = first[k, j] / n
        add_scatter(S, kind, n, first, second, k, shift)
        free = n - 1.0
    return df + (shift.size * free if kind == SPHERICAL else free)


@njit(**INNER)
def _log_det(kind, S, factor):
    """Of a scale: of the matrix, of separate scales together, or of the one scale to the power d."""
    d, value = S.shape[0], 0.0
    if kind == FULL:
        cholesky(S, d, factor)
        for j in range(d):
            value += 2.0 * math.log(factor[j, j])
        return value
    for j in range(d):
        value += math.log(S[j, j] if kind == DIAGONAL else S[0, 0])
    return value


@njit(**INNER)
def _log_normaliser(kind, df, S, factor):
    """Of the inverse-Wishart density, or of those of separate variances, but for powers of pi."""
    d = S.shape[0]
    value = 0.5 * df * (_log_det(kind, S, factor) - d * math.log(2.0)) / (d if kind == SPHERICAL else 1)
    for j in range(1 if kind == SPHERICAL else d):
        value -= math.lgamma(0.5 * (df - j if kind == FULL else df))
    return value


@njit(**INNER)
def evidence(kinds, k, prior, sums, S, shift, work):
    """Log evidence of a part but for -n d log(2 pi) / 2; `sums` has its covariance where that is not integrated out."""
    loc, sd, kappa, df, scale = prior
    counts, first, second, means, L, A = sums
    d, n, kind = shift.size, counts[k], kinds[COVARIANCES]
    value = 0.0
    given = kind == KNOWN_COVARIANCES or kinds[TIED] == 1
    if given:
        for j in range(d):
            shift[j] = first[k, j] / n
            value -= (n - 1.0) * math.log(L[k, j, j])
        for i in range(d):
            for j in range(i + 1):
                for e in range(i + 1):
                    scatter = second[k, max(j, e), min(j, e)] - n * shift[j] * shift[e]
                    value -= 0.5 * A[k, i, j] * A[k, i, e] * scatter
    else:
        later = _scale_of(kinds, k, prior, sums, S, shift)
        value -= _log_normaliser(kind, later, S, work[0])
        value += _log_normaliser(kind, df, scale, work[0])
        if kinds[MEANS] == CONJUGATE:
            return value + 0.5 * d * math.log(kappa / (kappa + n))
    # The density of the rows' mean, whose covariance given Sigma is that of the prior and Sigma / n.
    conjugate = kinds[MEANS] == CONJUGATE
    for i in range(d):
        for j in range(i + 1):
            total = 0.0
            for e in range(j + 1):
                total += L[k, i, e] * L[k, j, e]
            S[i, j] = total / n + (total / kappa if conjugate else 0.0)
        if not conjugate:
            S[i, i] += sd[k, i] * sd[k, i]
    factor = work[0]
    cholesky(S, d, factor)
    value -= 0.5 * d * math.log(n)
    for i in range(d):
        total = means[k, i] + first[k, i] / n - loc[k, i]
        for e in range(i):
            total -= factor[i, e] * shift[e]
        shift[i] = total / factor[i, i]
        value -= math.log(factor[i, i]) + 0.5 * shift[i] * shift[i]
    return value


@njit(**INNER)
def propose_covariance(rng, kinds, k, prior, sums, S, shift, work):
    """Draw the covariance of a part from its distribution if the prior on its mean were flat."""
    later = _scale_of(kinds, k, prior, sums, S, shift)
    draw_covariance(rng, kinds[COVARIANCES], later, S, sums[4], sums[5], k, work)


@njit(**INNER)
def _predictive(kinds, k, prior, sums, found, S, shift, work):
    """What the rows of a part say of a further row: centre, factor, and numbers of `log_odds`."""
    loc, _, kappa, _, _ = prior
    counts, first, _, means, L, A = sums
    centers, factors, numbers = found
    n, kind, d = counts[k], kinds[COVARIANCES], shift.size
    seen, pulled = n, 0.0
    if kinds[MEANS] == CONJUGATE:
        seen, pulled = kappa + n, kappa
    for j in range(d):
        centers[k, j] = (pulled * loc[k, j] + n * means[k, j] + first[k, j]) / seen
    for i in range(d):
        for j in range(d):
            factors[k, i, j] = 0.0
    numbers[k, 0] = math.log(n) + 0.5 * d * math.log(seen / (seen + 1.0))
    if kind == KNOWN_COVARIANCES or kinds[TIED] == 1:
        # Shared, so that normalisers do not matter; a power of 0 stands for the Normal density.
        numbers[k, 1], numbers[k, 2] = 0.0, 0.5 * seen / (seen + 1.0)
        for i in range(d):
            for j in range(i + 1):
                factors[k, i, j] = A[k, i, j]
        return
    later = _scale_of(kinds, k, prior, sums, S, shift)
    factor, inverse = work[0], work[1]
    numbers[k, 0] -= 0.5 * _log_det(kind, S, factor)
    numbers[k, 2] = seen / (seen + 1.0)
    if kind == FULL:
        later -= d - 1.0
        invert_lower(factor, d, inverse)
        for i in range(d):
            for j in range(i + 1):
                factors[k, i, j] = inverse[i, j]
    else:
        for j in range(d):
            factors[k, j, j] = 1.0 / math.sqrt(S[j, j] if kind == DIAGONAL else S[0, 0])
    numbers[k, 0] += math.lgamma(0.5 * (later + d)) - math.lgamma(0.5 * later)
    numbers[k, 1] = 0.5 * (later + d)


@njit(**INNER)
def log_odds(x, i, found):
    """Log odds of a row to be of the first part: Student t densities, or Normal ones."""
    centers, factors, numbers = found
    d, value = centers.shape[1], 0.0
    for k in range(2):
        square = 0.0
        for j in range(d):
            total = 0.0
            for e in range(j + 1):
                total += factors[k, j, e] * (x[e, i] - centers[k, e])
            square += total * total
        square *= numbers[k, 2]
        power = numbers[k, 1]
        log = numbers[k, 0] - (power * math.log1p(square) if power > 0.0 else square)
        value += log if k == 0 else -log
    return value


@njit(**INNER)
def begin_parts(x, one, other, sums):
    """Let two parts have a row each."""
    for k in range(2):
        clear(k, sums)
        add_row(x, one if k == 0 else other, k, 1.0, sums)


@njit(**INNER)
def guess(rng, x, kinds, rows, n, one, other, prior, sums, found, S, shift, work):
    """Find two parts in some rows by a few steps of EM; nothing but the set of the rows decides what is found.

    Rows begin with the nearer of the two rows `one` and `other`, in the metric of all of them.
    """
    d = shift.size
    step = 1 + n // _MOST_ROWS
    begin = int(rng.random() * step)
    both = sums[0].size - 1
    _predictive(kinds, both, prior, sums, found, S, shift, work)
    centers, factors, numbers = found
    for k in range(2):
        numbers[k, 0], numbers[k, 1], numbers[k, 2] = 0.0, 0.0, 1.0
        for j in range(d):
            centers[k, j] = x[j, one if k == 0 else other]
            for e in range(d):
                factors[k, j, e] = factors[both, j, e]
    for repeat in range(_STEPS):
        begin_parts(x, one, other, sums)
        for place in range(begin, n, step):
            i = rows[place]
            odds = log_odds(x, i, found)
            if repeat == 0:
                share = 1.0 if odds > 0.0 else 0.0
            else:
                share = 1.0 / (1.0 + math.exp(-min(max(odds, -50.0), 50.0)))
            for k in range(2):
                add_row(x, i, k, share if k == 0 else 1.0 - share, sums)
        for k in range(2):
            _predictive(kinds, k, prior, sums, found, S, shift, work)
