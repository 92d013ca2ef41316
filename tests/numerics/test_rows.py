"""Passes over rows with missing entries and with counts, against whole rows, repeats and brute force."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from bayesgmm.numerics.linalg import inverse_lower
from bayesgmm.numerics.passes import expected_statistics
from bayesgmm.numerics.rows import make_rows


def mixture(K=3, d=3, seed=0):
    rng = np.random.default_rng(seed)
    L = np.tril(rng.normal(size=(K, d, d)), -1) * 0.5
    L[:, np.arange(d), np.arange(d)] = rng.uniform(0.5, 1.5, (K, d))
    return np.log(rng.dirichlet(np.ones(K))), rng.normal(size=(K, d)), L


def holes(values, rng, share=0.35):
    out = values.copy()
    out[rng.random(values.shape) < share] = np.nan
    out[0] = np.nan
    return out


def brute_force(values, log_weights, means, L, weights):
    """Every row by itself, with conditional moments from the textbook."""
    K, d = means.shape
    S = L @ np.swapaxes(L, 1, 2)
    value, counts, first, second = 0.0, np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    R = np.empty((K, len(values)))
    for i, row in enumerate(values):
        o = np.flatnonzero(~np.isnan(row))
        m = np.flatnonzero(np.isnan(row))
        joint = log_weights.copy()
        if o.size:
            joint += [stats.multivariate_normal(means[k, o], S[k][np.ix_(o, o)]).logpdf(row[o]) for k in range(K)]
        R[:, i] = np.exp(joint - logsumexp(joint))
        if not o.size:
            continue
        value += weights[i] * logsumexp(joint)
        for k in range(K):
            r = weights[i] * R[k, i]
            full, left = row - means[k], np.zeros((d, d))
            solved = np.linalg.inv(S[k][np.ix_(o, o)])
            full[m] = S[k][np.ix_(m, o)] @ solved @ (row[o] - means[k, o])
            left[np.ix_(m, m)] = S[k][np.ix_(m, m)] - S[k][np.ix_(m, o)] @ solved @ S[k][np.ix_(o, m)]
            counts[k] += r
            first[k] += r * full
            second[k] += r * (np.outer(full, full) + left)
    return value, counts, first, second, R


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("K", "d"), [(1, 2), (3, 3), (2, 4)])
def test_statistics_equal_brute_force(K, d, weighted):
    rng = np.random.default_rng(1)
    log_weights, means, L = mixture(K, d)
    values = holes(rng.normal(size=(40, d)), rng)
    weights = rng.integers(1, 5, 40).astype(float) if weighted else np.ones(40)
    rows = make_rows(values, weights if weighted else None)
    found = rows.statistics(log_weights, means, inverse_lower(L))
    value, counts, first, second, R = brute_force(values, log_weights, means, L, weights)
    assert found.log_normaliser == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(found.counts, counts, rtol=1e-10)
    np.testing.assert_allclose(found.first, first, atol=1e-10)
    np.testing.assert_allclose(found.second, second, atol=1e-10)
    r, log_density = rows.rowwise_of_many(log_weights[None], means[None], inverse_lower(L)[None])
    np.testing.assert_allclose(r[0], R, atol=1e-12)
    assert log_density[0, 0] == pytest.approx(0.0, abs=1e-12)  # nothing observed
    assert rows.units() == weights[~np.isnan(values).all(axis=1)].sum()


def test_counts_are_repeated_rows():
    rng = np.random.default_rng(2)
    log_weights, means, L = mixture()
    values, counts = rng.normal(size=(20, 3)), rng.integers(1, 9, 20)
    found = make_rows(values, counts.astype(float)).statistics(log_weights, means, inverse_lower(L))
    repeated = np.ascontiguousarray(np.repeat(values, counts, axis=0).T)
    expected = expected_statistics(repeated, log_weights, means, inverse_lower(L))
    assert found.log_normaliser == pytest.approx(expected.log_normaliser, rel=1e-12)
    np.testing.assert_allclose(found.second, expected.second, rtol=1e-11)


def test_whole_rows_take_the_fast_path_and_parts_of_a_table_keep_their_rows():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(10, 2))
    assert make_rows(values).whole is not None
    assert make_rows(values, np.ones(10)).whole is None
    values[[2, 5], [0, 1]] = np.nan
    rows = make_rows(values)
    assert rows.whole is None
    part = rows.taken(np.array([1, 2, 5, 8]))
    again = make_rows(values[[1, 2, 5, 8]])
    log_weights, means, L = mixture(2, 2)
    one, other = (table.statistics(log_weights, means, inverse_lower(L)) for table in (part, again))
    assert one.log_normaliser == pytest.approx(other.log_normaliser, rel=1e-13)
    filled = rows.filled(means[0], L[0] @ L[0].T)
    np.testing.assert_array_equal(filled.T[~np.isnan(values)], values[~np.isnan(values)])
    assert np.isfinite(filled).all()
    scale = np.array([2.0, 3.0])
    assert rows.log_volume(scale) == pytest.approx(9 * np.log(2.0) + 9 * np.log(3.0))
    assert rows.log_volumes(scale)[2] == pytest.approx(np.log(3.0))
