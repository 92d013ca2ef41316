"""Compiled functions of parts of the rows, for the moves of `_gibbs_split`: their evidence, and how to guess them.

`sums` of parts or components are `counts`, `first`, `second`, `means`, `L`, `A`, as in `_gibbs_updates`; `prior` are
the means' `loc` and `sd` (3, d), alike in all rows, then `kappa`, `df`, `scale`. Of a part parameters are integrated
out as far as they can be. What is left is its `evidence`: with conjugate means the marginal likelihood of its rows;
with independent ones that given a covariance which is proposed with the move, over the density of the proposal; with
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
    ONCE,
    SPHERICAL,
    TIED,
    TINY,
    add_scatter,
    cholesky,
    copy,
    draw_covariance,
    invert_lower,
    scatter_for,
)
from bayesgmm.numerics._kernels import DIRECT_BLOCK, _add_moments, _log_joint, _normalise, _residuals

# Proposals are found from so many rows at most, which is less than a block, in so many steps.
_MOST_ROWS, _STEPS = 200, 4
# In the first, rows are shared out by densities so much narrower than all rows together.
_SHARPER = 4.0


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
def _scale_of(kinds, k, prior, sums, S, shift):
    """Write the scale matrix of a covariance given the rows of its part, the mean integrated out; return its df."""
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
    """Log determinant of a scale: of the matrix, of separate scales together, or of the one scale to the power d."""
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
    """The log normaliser of the inverse-Wishart density, or of those of separate variances, but for powers of pi."""
    d = S.shape[0]
    value = 0.5 * df * (_log_det(kind, S, factor) - d * math.log(2.0)) / (d if kind == SPHERICAL else 1)
    for j in range(1 if kind == SPHERICAL else d):
        value -= math.lgamma(0.5 * (df - j if kind == FULL else df))
    return value


@njit(**ONCE)
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


@njit(**ONCE)
def propose_covariance(rng, kinds, k, prior, sums, S, shift, work):
    """Draw the covariance of a part from its distribution if the prior on its mean were flat."""
    later = _scale_of(kinds, k, prior, sums, S, shift)
    draw_covariance(rng, kinds[COVARIANCES], later, S, sums[4], sums[5], k, work)


@njit(**INNER)
def _predictive(kinds, k, prior, sums, found, S, shift, work):
    """Write a Normal density of a further row of a part, about that which its rows leave, into `found`."""
    loc, _, kappa, _, _ = prior
    counts, first, _, means, _, A = sums
    logs, centers, factors = found
    n, kind, d = counts[k], kinds[COVARIANCES], shift.size
    seen, pulled = n, 0.0
    if kinds[MEANS] == CONJUGATE:
        seen, pulled = kappa + n, kappa
    widened = seen / (seen + 1.0)
    own = kind != KNOWN_COVARIANCES and kinds[TIED] == 0
    if own:
        later = _scale_of(kinds, k, prior, sums, S, shift)
        _log_det(kind, S, work[0])
        widened *= later - d + 1.0 if kind == FULL else later
        if kind == FULL:
            invert_lower(work[0], d, work[1])
    logs[k] = math.log(n)
    for j in range(d):
        centers[k, j] = (pulled * loc[k, j] + n * means[k, j] + first[k, j]) / seen
        for e in range(d):
            value = A[k, j, e]
            if own and kind == FULL:
                value = work[1, j, e]
            elif own:
                value = 1.0 / math.sqrt(S[j, j] if kind == DIAGONAL else S[0, 0]) if e == j else 0.0
            factors[k, j, e] = value * math.sqrt(widened) if e <= j else 0.0
        logs[k] += math.log(factors[k, j, j])


@njit(**INNER)
def _shares(x, w, found, scratch):
    """Write into R [2, w] which part rows x[:, :w] are of."""
    R, residual, block, peak, totals = scratch
    logs, centers, factors = found
    for k in range(2):
        _residuals(residual, x, w - w, w, centers, k)  # 0, of the type of other numbers
        _log_joint(R, k, residual, w, block, logs[k], factors)
    _normalise(R, w, peak, totals)


@njit(**INNER)
def _add_shares(x, w, sums, scratch):
    """Add rows to two parts by their shares R."""
    R, residual, block, _, _ = scratch
    counts, first, second, means, _, _ = sums
    for k in range(2):
        _residuals(residual, x, w - w, w, means, k)
        _add_moments(R, k, residual, w, block, counts, first, second)


@njit(**INNER)
def _take_row(x, i, y, place):
    for j in range(x.shape[0]):
        y[j, place] = x[j, i]


@njit(**ONCE)
def guess(rng, x, y, kinds, rows, n, prior, sums, found, scratch, S, shift, work):
    """Find two parts in rows by a few steps of EM, from nothing but the set of the rows and the first two.

    Those two are of different parts. The others begin with the nearer, in the metric of all rows.
    """
    d, both = shift.size, sums[0].size - 1
    R = scratch[0]
    step = 1 + n // _MOST_ROWS
    place = int(rng.random() * step) + 2
    for k in range(2):
        _take_row(x, rows[k], y, k)
    w = 2
    while place < n:
        _take_row(x, rows[place], y, w)
        place += step
        w += 1
    _predictive(kinds, both, prior, sums, found, S, shift, work)
    logs, centers, factors = found
    for k in range(2):
        logs[k] = 0.0
        for j in range(d):
            centers[k, j] = y[j, k]
            for e in range(d):
                factors[k, j, e] = _SHARPER * factors[both, j, e]
    for _ in range(_STEPS):
        _shares(y, w, found, scratch)
        for k in range(2):
            R[k, k], R[1 - k, k] = 1.0, 0.0
            clear(k, sums)
        _add_shares(y, w, sums, scratch)
        for k in range(2):
            _predictive(kinds, k, prior, sums, found, S, shift, work)


@njit(**ONCE)
def log_proposal(rng, x, y, labels, rows, n, sides, split, b, sums, found, scratch):
    """Draw parts of rows if it is to split, and add them up; otherwise see them by label. Return their log probability.

    The first two rows are known to be of the first and of the second part.
    """
    R, value = scratch[0], 0.0
    for k in range(2):
        clear(k, sums)
    for start in range(0, n, DIRECT_BLOCK):
        w = min(DIRECT_BLOCK, n - start)
        for i in range(w):
            _take_row(x, rows[start + i], y, i)
        _shares(y, w, found, scratch)
        for i in range(w):
            side = 1 if labels[rows[start + i]] == b else 0
            if start + i < 2:
                side = start + i
            else:
                if split:
                    side = 1 if rng.random() >= R[0, i] else 0
                value += math.log(max(R[side, i], TINY))
            sides[start + i] = side
            R[side, i], R[1 - side, i] = 1.0, 0.0
        if split:
            _add_shares(y, w, sums, scratch)
    return value


def propose(rng, x, y, kinds, labels, rows, n, sides, split, b, prior, sums, found, scratch, S, shift, work):
    """`guess` and then `log_proposal`."""
    guess(rng, x, y, kinds, rows, n, prior, sums, found, scratch, S, shift, work)
    return log_proposal(rng, x, y, labels, rows, n, sides, split, b, sums, found, scratch)
