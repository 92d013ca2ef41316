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


def brute_force(values, log_weights, means, L, weights, noise=None):
    """Every row by itself, with conditional moments of its true values from the textbook; `noise` (N, d, d)."""
    K, d = means.shape
    S = L @ np.swapaxes(L, 1, 2)
    noise = np.zeros((len(values), d, d)) if noise is None else noise
    value, counts, first, second = 0.0, np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    R = np.empty((K, len(values)))
    for i, row in enumerate(values):
        o = np.flatnonzero(~np.isnan(row))
        T = S[:, o[:, None], o] + noise[i][np.ix_(o, o)]
        joint = log_weights.copy()
        if o.size:
            joint += [stats.multivariate_normal(means[k, o], T[k]).logpdf(row[o]) for k in range(K)]
        R[:, i] = np.exp(joint - logsumexp(joint))
        if not o.size:
            continue
        value += weights[i] * logsumexp(joint)
        for k in range(K):
            r = weights[i] * R[k, i]
            gain = S[k][:, o] @ np.linalg.inv(T[k])
            full, left = gain @ (row[o] - means[k, o]), S[k] - gain @ S[k][o]
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


def errors(kind, n, d, rng):
    """Errors as they are given to `make_rows`, and as covariances of every row."""
    if kind == "sds":
        sds = rng.uniform(0.2, 1.5, (n, d))
        return sds, np.square(sds)[:, None, :] * np.eye(d)
    if kind == "one for all":
        sds = np.tile(rng.uniform(0.2, 1.5, d), (n, 1))
        return sds, np.square(sds)[:, None, :] * np.eye(d)
    factors = 0.7 * rng.normal(size=(n, d, d))
    covariances = factors @ np.swapaxes(factors, 1, 2)
    return covariances, covariances


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", ["sds", "covariances", "one for all"])
@pytest.mark.parametrize(("K", "d"), [(2, 1), (3, 2), (2, 4)])
def test_statistics_of_true_values_equal_brute_force(K, d, kind, missing, weighted):
    rng = np.random.default_rng(5)
    log_weights, means, L = mixture(K, d)
    values, weights = rng.normal(size=(60, d)), rng.integers(1, 5, 60).astype(float) if weighted else np.ones(60)
    values = holes(values, rng) if missing else values
    given, covariances = errors(kind, 60, d, rng)
    rows = make_rows(values, weights if weighted else None, noise=given)
    factor = 1.3
    found = rows.statistics(log_weights, means, inverse_lower(L), noise_factor=factor)
    value, counts, first, second, R = brute_force(values, log_weights, means, L, weights, factor * covariances)
    assert found.log_normaliser == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(found.counts, counts, rtol=1e-10)
    np.testing.assert_allclose(found.first, first, atol=1e-10)
    np.testing.assert_allclose(found.second, second, atol=1e-10)
    r, _ = rows.rowwise_of_many(
        log_weights[None], means[None], inverse_lower(L)[None], noise_factors=np.array([factor])
    )
    np.testing.assert_allclose(r[0], R, atol=1e-12)
    assert rows.blurred
    low, high = (
        rows.statistics(log_weights, means, inverse_lower(L), noise_factor=factor * np.exp(step)).log_normaliser
        for step in (-1e-5, 1e-5)
    )
    assert found.noise_residual / 2 == pytest.approx((high - low) / 2e-5, rel=1e-6, abs=1e-6)


def test_threads_change_nothing():
    rng = np.random.default_rng(6)
    log_weights, means, L = mixture(3, 3)
    values = holes(rng.normal(size=(100_000, 3)), rng, 0.1)
    for noise in (None, rng.uniform(0.1, 1.0, values.shape)):
        rows = make_rows(values, noise=noise)
        one, two = (rows.statistics(log_weights, means, inverse_lower(L), n_threads=n) for n in (1, 3))
        assert one.log_normaliser == pytest.approx(two.log_normaliser, rel=1e-12)
        np.testing.assert_allclose(one.second, two.second, rtol=1e-9, atol=1e-6)


def in_bins(edges, counts, log_weights, means, sds, noise):
    """Log-likelihood and statistics of true values in bins by integrals over a fine grid."""
    x = np.linspace(-15.0, 15.0, 60_001)
    step = x[1] - x[0]
    value, N, first, second = 0.0, np.zeros(means.size), np.zeros(means.size), np.zeros(means.size)
    for (low, high), count, error in zip(edges, counts, noise, strict=True):
        inside = np.array([stats.norm(x, error).cdf(high) - stats.norm(x, error).cdf(low) for _ in [0]])[0]
        joint = np.exp(log_weights)[:, None] * stats.norm(means[:, None], sds[:, None]).pdf(x) * inside * step
        total = joint.sum()
        value += count * np.log(total)
        r, y = count * joint / total, x - means[:, None]
        N, first, second = N + r.sum(axis=1), first + (r * y).sum(axis=1), second + (r * y * y).sum(axis=1)
    return value, N, first, second


def test_bins_equal_integrals():
    rng = np.random.default_rng(7)
    ends = np.array([-np.inf, -2.0, -0.5, 0.1, 0.4, 2.0, np.inf])
    bins = np.stack([ends[:-1], ends[1:]], axis=1)
    counts, noise = np.array([3.0, 0.0, 5.0, 2.0, 7.0, 1.0]), rng.uniform(0.3, 1.0, 6)
    log_weights, means, sds = np.log([0.3, 0.7]), np.array([-1.0, 0.8]), np.array([0.6, 1.1])
    at = log_weights, means[:, None], (1 / sds)[:, None, None]
    found = make_rows(np.zeros((6, 1)), counts, noise=noise[:, None], bins=bins).statistics(*at)
    value, N, first, second = in_bins(bins, counts, log_weights, means, sds, noise)
    assert found.log_normaliser == pytest.approx(value, rel=1e-8)
    np.testing.assert_allclose(found.counts, N, rtol=1e-7)
    np.testing.assert_allclose(found.first[:, 0], first, atol=1e-6)
    np.testing.assert_allclose(found.second[:, 0, 0], second, rtol=1e-6)
    exact = make_rows(np.zeros((6, 1)), counts, bins=bins)
    tiny = make_rows(np.zeros((6, 1)), counts, noise=np.full((6, 1), 1e-9), bins=bins)
    assert exact.statistics(*at).log_normaliser == pytest.approx(tiny.statistics(*at).log_normaliser, rel=1e-12)
    assert exact.statistics(*at).second == pytest.approx(tiny.statistics(*at).second, rel=1e-10)


def test_bins_far_from_every_component_are_finite():
    bins = np.array([[40.0, 41.0], [-np.inf, -60.0]])
    at = np.zeros(1), np.zeros((1, 1)), np.ones((1, 1, 1))
    found = make_rows(np.zeros((2, 1)), np.array([1.0, 2.0]), bins=bins).statistics(*at)
    expected = stats.norm.logsf(40) + np.log1p(-np.exp(stats.norm.logsf(41) - stats.norm.logsf(40)))
    assert found.log_normaliser == pytest.approx(expected + 2 * stats.norm.logcdf(-60), rel=1e-12)
    assert found.first[0, 0] == pytest.approx(40.025 - 2 * 60.017, abs=1e-2)


@pytest.mark.parametrize("kind", ["exact", "sds", "covariances", "one for all"])
def test_what_rows_say_about_true_values(kind):
    rng = np.random.default_rng(8)
    _, means, L = mixture(1, 3)
    values = holes(rng.normal(size=(30, 3)), rng)
    given, covariances = (None, np.zeros((30, 3, 3))) if kind == "exact" else errors(kind, 30, 3, rng)
    S, m = L[0] @ L[0].T, means[0]
    seen = []
    for each in make_rows(values, noise=given).conditionals(m, S, 1.5):
        for number, i in enumerate(each.index):
            o = np.flatnonzero(~np.isnan(values[i]))
            gain = S[:, o] @ np.linalg.inv(S[np.ix_(o, o)] + 1.5 * covariances[i][np.ix_(o, o)])
            expected = m + gain @ (values[i, o] - m[o])
            own = each.gain[number if len(each.gain) > 1 else 0]
            np.testing.assert_allclose(m + own @ (each.y[number] - m), expected, atol=1e-12)
            seen.append(i)
    assert sorted(seen) == list(range(30))


def test_values_drawn_in_bins_follow_the_truncated_normal():
    rng = np.random.default_rng(9)
    bins = np.array([[-np.inf, -1.0], [0.2, 0.3], [1.0, np.inf], [-0.5, 0.5], [6.0, 7.0]])
    part = make_rows(np.zeros((5, 1)), bins=bins).parts[0]
    y = np.stack([part.drawn(0.1, np.full(5, 0.8), np.arange(5), rng) for _ in range(4000)])
    assert ((y >= bins[:, 0]) & (y <= bins[:, 1])).all()
    for j, (low, high) in enumerate((bins - 0.1) / np.sqrt(0.8)):
        expected = stats.truncnorm(low, high, 0.1, np.sqrt(0.8))
        assert stats.kstest(y[:, j], expected.cdf).pvalue > 1e-4
