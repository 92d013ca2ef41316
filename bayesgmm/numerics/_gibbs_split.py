"""Compiled moves of the Gibbs sampler that split a component in two, or merge two, by the scheme of Jain & Neal (2004).

Sums of components and of parts are tuples, see `_gibbs_parts`. The work space has three parts: that of one row, that of
another, and both together.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from numba import njit, types

from bayesgmm.numerics._by_address import INTEGERS, MATRICES, MATRIX, VECTOR, caller
from bayesgmm.numerics._gibbs_parts import (
    clear,
    copy_part,
    evidence,
    propose,
    propose_covariance,
)
from bayesgmm.numerics._gibbs_updates import (
    CONJUGATE,
    COVARIANCES,
    INNER,
    KNOWN_COVARIANCES,
    MEANS,
    ONCE,
    RANDOM_NUMBER,
    TIED,
    WORK,
)
from bayesgmm.numerics._gibbs_weights import log_partition_prior, weigh_split
from bayesgmm.numerics._numba_cache import cached_cfunc

N_PARTS = 3
_PRIOR = types.Tuple((MATRIX, MATRIX, types.float64, types.float64, MATRIX))
_SUMS = types.Tuple((VECTOR, MATRIX, MATRICES, MATRIX, MATRICES, MATRICES))
_FOUND = types.Tuple((VECTOR, MATRIX, MATRICES))
_SCRATCH = types.Tuple((MATRIX, MATRIX, VECTOR, VECTOR, VECTOR))
_LOG_GAIN = types.float64(
    types.npy_rng, INTEGERS, types.boolean, types.int64, VECTOR, types.float64, _PRIOR, _SUMS, VECTOR, VECTOR, *WORK
)
_PROPOSE = types.float64(
    types.npy_rng, MATRIX, MATRIX, INTEGERS, INTEGERS, INTEGERS, types.int64, INTEGERS, types.boolean, types.int64,
    _PRIOR, _SUMS, _FOUND, _SCRATCH, *WORK,
)  # fmt: skip
SPLIT_OR_MERGE = types.int64(
    types.int64, types.int64, types.npy_rng, MATRIX, INTEGERS, INTEGERS, types.int64, VECTOR, types.float64, _PRIOR,
    _SUMS, VECTOR, _SUMS, _FOUND, _SCRATCH, MATRIX, INTEGERS, INTEGERS, VECTOR, VECTOR, *WORK,
)  # fmt: skip
_call_log_gain, _call_propose = caller(_LOG_GAIN), caller(_PROPOSE)


@njit(**INNER)
def swap(j, k, log_weights, sums):
    """Let two components change places."""
    counts, first, second, means, L, A = sums
    d = means.shape[1]
    counts[j], counts[k] = counts[k], counts[j]
    log_weights[j], log_weights[k] = log_weights[k], log_weights[j]
    for i in range(d):
        means[j, i], means[k, i] = means[k, i], means[j, i]
        first[j, i], first[k, i] = first[k, i], first[j, i]
        for e in range(d):
            second[j, i, e], second[k, i, e] = second[k, i, e], second[j, i, e]
            L[j, i, e], L[k, i, e] = L[k, i, e], L[j, i, e]
            A[j, i, e], A[k, i, e] = A[k, i, e], A[j, i, e]


@njit(**ONCE)
def _begin(a, b, sums, parts):
    """Copy the sums of components a and b, which may be the same, into the work space, about the mean of a."""
    counts, first, second, means, _, _ = parts
    d, both = means.shape[1], counts.size - 1
    for k in range(N_PARTS):
        copy_part(b if k == 1 else a, k, sums, parts)
        for j in range(d):
            means[k, j] = sums[3][a, j]
    if a == b:
        return
    n = counts[1]
    counts[both] += n
    for j in range(d):
        there = sums[3][b, j] - sums[3][a, j]
        for e in range(j + 1):
            here = sums[3][b, e] - sums[3][a, e]
            second[1, j, e] += first[1, j] * here + there * first[1, e] + n * there * here
            second[both, j, e] += second[1, j, e]
    for j in range(d):
        first[1, j] += n * (sums[3][b, j] - sums[3][a, j])
        first[both, j] += first[1, j]


@njit(**ONCE)
def _gather(labels, a, b, one, other, rows):
    """All rows of two components, two of them first; return how many there are."""
    rows[0], rows[1] = one, other
    n = 2
    for i in range(labels.size):
        if (labels[i] == a or labels[i] == b) and i != one and i != other:
            rows[n] = i
            n += 1
    return n


def log_gain(
    rng, kinds, split, n_occupied, concentration, total, prior, parts, logs, new_logs, S, shift, work
):  # fmt: skip
    """Log posterior of the partition afterwards less before; covariances that go with it are proposed.

    `new_logs` become the weights of the numbers of components, see `weigh_numbers`.
    """
    both, sign = parts[0].size - 1, 1.0 if split else -1.0
    own = kinds[MEANS] != CONJUGATE and kinds[TIED] == 0 and kinds[COVARIANCES] != KNOWN_COVARIANCES
    value = 0.0
    for k in range(N_PARTS):
        new = (k == both) != split
        if own and new:
            propose_covariance(rng, kinds, k, prior, parts, S, shift, work)
        value += (1.0 if new else -1.0) * evidence(kinds, k, prior, parts, S, shift, work)
    weigh_split(kinds, sign, parts[0][0], parts[0][1], concentration, total, logs, new_logs)
    after = n_occupied + 1 if split else n_occupied - 1
    return value + log_partition_prior(after, new_logs) - log_partition_prior(n_occupied, logs)


@njit(**ONCE)
def _empty(rng, counts, n_occupied):
    """One of the components without rows."""
    left = int(rng.random() * (counts.size - n_occupied))
    for k in range(counts.size):
        if counts[k] == 0:
            if left == 0:
                return k
            left -= 1
    return counts.size - 1


def split_or_merge(
    gain_of, proposal_of, rng, x, labels, kinds, n_occupied, concentration, total, prior, sums, log_weights, parts,
    found, scratch, y, rows, sides, logs, new_logs, S, shift, work,
):  # fmt: skip
    """Try to split a component in two, or to merge two; return how many hold rows afterwards.

    Two rows are picked. If they are of one component it is proposed to split that, otherwise to merge theirs. What
    other rows go with either is drawn from densities that `guess` finds for the rows of both components; it does not
    see labels, so that it would find the same from the other side, and the move is reversible whatever it finds.
    Weights, the number of components and means are integrated out; covariances too, unless means are independent of
    them or they are shared or known. What is integrated out must be drawn before anything that depends on it.

    Parameters
    ----------
    gain_of, proposal_of : int
        Addresses of `log_gain` and `propose`.
    prior, sums, parts : tuples
        See `_gibbs_parts`; `sums` of all components is changed, `parts` of three is work space.
    found : tuple
        Work space, Normal densities: logs of weights and determinants (3,), means (3, d), factors (3, d, d).
    scratch, y : tuple, (d, block) array
        Work space for a block of rows, see `run_sweeps`.
    rows, sides : (N,) arrays of int
        Work space.
    logs, new_logs : (M + 1,) arrays
        What `weigh_numbers` says, changed; work space.
    """
    N, M, d = labels.size, sums[0].size, shift.size
    one = int(rng.random() * N)
    other = int(rng.random() * (N - 1))
    if other >= one:
        other += 1
    a, b = labels[one], labels[other]
    split = a == b
    if split and n_occupied == M:
        return n_occupied
    level = math.log(1.0 - rng.random())
    gain = 0.0
    _begin(a, b, sums, parts)
    if not split:
        gain = _call_log_gain(
            gain_of,
            (rng, kinds, split, n_occupied, concentration, total, prior, parts, logs, new_logs, S, shift, work),
        )
        # The way back has at most probability 1: most merges can be seen to fail without looking at rows.
        if gain < level:
            return n_occupied
    n = _gather(labels, a, b, one, other, rows)
    back = _call_propose(
        proposal_of,
        (rng, x, y, kinds, labels, rows, n, sides, split, b, prior, parts, found, scratch, S, shift, work),
    )
    if split:
        gain = _call_log_gain(
            gain_of,
            (rng, kinds, split, n_occupied, concentration, total, prior, parts, logs, new_logs, S, shift, work),
        )
    if gain + (-back if split else back) < level:
        return n_occupied
    for K in range(logs.size):
        logs[K] = new_logs[K]
    random_number = kinds[RANDOM_NUMBER] == 1
    if split:
        new = n_occupied if random_number else _empty(rng, sums[0], n_occupied)
        for place in range(n):
            if sides[place] == 1:
                labels[rows[place]] = new
        for j in range(d):
            sums[3][new, j] = sums[3][a, j]
        for k in range(2):
            copy_part(k, a if k == 0 else new, parts, sums)
        return n_occupied + 1
    for place in range(n):
        labels[rows[place]] = a
    copy_part(parts[0].size - 1, a, parts, sums)
    clear(b, sums)
    last = n_occupied - 1
    if random_number and b != last:
        swap(b, last, log_weights, sums)
        for i in range(N):
            if labels[i] == last:
                labels[i] = b
    return last


@cache
def compiled() -> tuple[Any, ...]:
    """`log_gain`, `propose` and `split_or_merge` as C functions, from the cache on disk or compiled now."""
    signatures = {log_gain: _LOG_GAIN, propose: _PROPOSE, split_or_merge: SPLIT_OR_MERGE}
    return tuple(cached_cfunc(kinds, error_model="numpy")(function) for function, kinds in signatures.items())
