"""The one pass against scipy, for both kernels."""

import numpy as np
import pytest
from scipy.special import logsumexp

from bayesgmm.numerics import _kernels, passes
from bayesgmm.numerics.linalg import inverse_lower
from bayesgmm.numerics.passes import expected_statistics, rowwise
from tests.contract import log_joint_by_scipy

KERNELS = ("direct", "feature")


@pytest.fixture
def force(monkeypatch):
    """Make every pass use one kernel."""

    def choose(kernel):
        smallest = 1 if kernel == "feature" else 10**9
        monkeypatch.setattr(passes, "_SMALLEST_EXPANDED_DIMENSION", smallest)
        monkeypatch.setattr(passes, "_WORK_WORTH_EXPANDING", -1)
        monkeypatch.setattr(passes, "_LARGEST_EXPANSION", np.inf)

    return choose


@pytest.fixture
def used(monkeypatch):
    """Names of the kernels that were called."""
    calls = []
    for name, kernel in (("direct_pass", _kernels.direct_pass), ("feature_pass", _kernels.feature_pass)):

        def spy(*args, name=name, kernel=kernel):
            calls.append(name)
            return kernel(*args)

        monkeypatch.setattr(_kernels, name, spy)
    return calls


def a_mixture(K, d, rng, spread=1.0):
    choleskys = np.tril(0.3 * rng.normal(size=(K, d, d)), -1)
    choleskys[:, np.arange(d), np.arange(d)] = rng.uniform(0.5, 1.5, size=(K, d))
    return np.log(rng.dirichlet(np.full(K, 2.0))), spread * rng.normal(size=(K, d)), choleskys


def reference(x, log_scales, means, choleskys):
    """Statistics by scipy, and the sums of absolute terms that rounding is measured against."""
    joint = log_joint_by_scipy(x, log_scales, means, choleskys)
    normaliser = logsumexp(joint, axis=0)
    r = np.exp(joint - normaliser)
    delta = x.T[None] - means[:, None]
    first = np.einsum("kn,kni->ki", r, delta)
    second = np.einsum("kn,kni,knj->kij", r, delta, delta)
    first_size = np.einsum("kn,kni->ki", r, np.abs(delta))
    second_size = np.einsum("kn,kni,knj->kij", r, np.abs(delta), np.abs(delta))
    return normaliser, r, (r.sum(axis=1), first, second), (r.sum(axis=1), first_size, second_size)


def assert_matches(statistics, x, log_scales, means, choleskys, tolerance=1e-10):
    normaliser, _, wanted, sizes = reference(x, log_scales, means, choleskys)
    assert abs(statistics.log_normaliser - normaliser.sum()) <= tolerance * np.abs(normaliser).sum()
    got = statistics.counts, statistics.first, statistics.second
    for name, value, expected, size in zip(("counts", "first", "second"), got, wanted, sizes, strict=True):
        assert value.shape == expected.shape, name
        # exp underflows to about 1e-304 and not to 0, hence the second term.
        assert np.all(np.abs(value - expected) <= tolerance * size + 1e-290), name
    assert np.array_equal(statistics.second, np.swapaxes(statistics.second, 1, 2))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("d", range(1, 10))
def test_statistics_equal_scipy(force, used, kernel, d):
    force(kernel)
    rng = np.random.default_rng(d)
    for K, n in ((1, 1333), (2, 1), (3, 511), (4, 512), (5, 513), (2, 127), (3, 128), (7, 129), (9, 1333)):
        log_scales, means, choleskys = a_mixture(K, d, rng)
        x = rng.normal(size=(d, n))
        statistics = expected_statistics(x, log_scales, means, inverse_lower(choleskys))
        assert_matches(statistics, x, log_scales, means, choleskys)
    assert set(used) == {f"{kernel}_pass"}


@pytest.mark.parametrize("d", range(1, 10))
def test_rowwise_equals_scipy(d):
    rng = np.random.default_rng(100 + d)
    for K, n in ((1, 7), (3, 511), (4, 512), (6, 1333)):
        log_scales, means, choleskys = a_mixture(K, d, rng)
        x = rng.normal(size=(d, n))
        normaliser, r, _, _ = reference(x, log_scales, means, choleskys)
        got, log_density = rowwise(x, log_scales, means, inverse_lower(choleskys))
        np.testing.assert_allclose(log_density, normaliser, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(got, r, rtol=1e-11, atol=1e-290)
        np.testing.assert_allclose(got.sum(axis=0), 1.0, rtol=1e-14)


@pytest.mark.parametrize("kernel", KERNELS)
def test_scales_need_not_add_up_to_one(force, kernel):
    force(kernel)
    rng = np.random.default_rng(5)
    _, means, choleskys = a_mixture(3, 4, rng)
    x = rng.normal(size=(4, 300))
    log_scales = np.array([-7.0, 2.0, 5.5])
    statistics = expected_statistics(x, log_scales, means, inverse_lower(choleskys))
    assert_matches(statistics, x, log_scales, means, choleskys)
    shifted = expected_statistics(x, log_scales + 3.0, means, inverse_lower(choleskys))
    assert shifted.log_normaliser == pytest.approx(statistics.log_normaliser + 900.0, rel=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_component_of_weight_zero(force, kernel, d):
    force(kernel)
    rng = np.random.default_rng(6)
    log_scales, means, choleskys = a_mixture(3, d, rng)
    log_scales[1] = -np.inf
    x = rng.normal(size=(d, 600))
    got = expected_statistics(x, log_scales, means, inverse_lower(choleskys))
    others = [0, 2]
    without = expected_statistics(x, log_scales[others], means[others], inverse_lower(choleskys[others]))
    assert got.log_normaliser == pytest.approx(without.log_normaliser, rel=1e-13)
    np.testing.assert_allclose(got.counts[others], without.counts, rtol=1e-13)
    np.testing.assert_allclose(got.second[others], without.second, rtol=1e-11, atol=1e-11)
    assert 0.0 <= got.counts[1] < 1e-290
    assert np.abs(got.second[1]).max() < 1e-290


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("d", [1, 2, 4])
def test_far_outliers_neither_overflow_nor_vanish(force, kernel, d):
    force(kernel)
    rng = np.random.default_rng(7)
    log_scales, means, choleskys = a_mixture(3, d, rng)
    x = rng.normal(size=(d, 400))
    x[:, 17] = 500.0
    x[:, 399] = -2000.0
    statistics = expected_statistics(x, log_scales, means, inverse_lower(choleskys))
    assert_matches(statistics, x, log_scales, means, choleskys, 1e-10 if kernel == "direct" else 1e-8)
    assert statistics.counts.sum() == pytest.approx(400, rel=1e-13)
    _, log_density = rowwise(x, log_scales, means, inverse_lower(choleskys))
    assert log_density[399] < -1e5
    assert np.isfinite(log_density).all()


def test_direct_kernel_keeps_its_digits_far_from_the_origin(used):
    # Large enough that the feature kernel would be chosen, if it kept its digits.
    rng = np.random.default_rng(8)
    K, d, n = 4, 5, 9001
    log_scales, _, choleskys = a_mixture(K, d, rng)
    choleskys *= 1e-3
    means = 30.0 * rng.normal(size=(1, d)) + 1e-3 * rng.normal(size=(K, d))
    x = np.ascontiguousarray((means[0] + 2e-3 * rng.normal(size=(n, d))).T)
    statistics = expected_statistics(x, log_scales, means, inverse_lower(choleskys))
    assert used == ["direct_pass"]
    assert_matches(statistics, x, log_scales, means, choleskys)


def test_one_tight_component_among_wide_ones_is_enough_for_the_direct_kernel(used):
    rng = np.random.default_rng(9)
    K, d, n = 4, 5, 9001
    log_scales, means, choleskys = a_mixture(K, d, rng, spread=3.0)
    choleskys[2] *= 1e-4
    x = rng.normal(size=(d, n)) + 2.0
    statistics = expected_statistics(x, log_scales, means, inverse_lower(choleskys))
    assert used == ["direct_pass"]
    assert_matches(statistics, x, log_scales, means, choleskys)


@pytest.mark.parametrize("tightness", [1.0, 0.1, 0.03])
def test_feature_kernel_is_accurate_wherever_it_is_chosen(used, tightness):
    rng = np.random.default_rng(10)
    K, d, n = 4, 6, 9001
    log_scales, means, choleskys = a_mixture(K, d, rng)
    choleskys *= tightness
    x = np.concatenate([means[k][:, None] + choleskys[k] @ rng.normal(size=(d, n // K + 1)) for k in range(K)], axis=1)
    x = np.ascontiguousarray(x[:, :n])
    statistics = expected_statistics(x, log_scales, means, inverse_lower(choleskys))
    assert used == ["feature_pass"]
    assert_matches(statistics, x, log_scales, means, choleskys)


def test_accuracy_changes_little_where_the_choice_of_kernel_does(used):
    # Walk the tightness over the threshold: both kernels must be met and both must be accurate.
    rng = np.random.default_rng(11)
    K, d, n = 3, 4, 13001
    log_scales, means, choleskys = a_mixture(K, d, rng)
    x = means[rng.integers(K, size=n)].T + 0.02 * rng.normal(size=(d, n))
    for tightness in np.geomspace(0.004, 0.1, 12):
        statistics = expected_statistics(x, log_scales, means, inverse_lower(tightness * choleskys))
        assert_matches(statistics, x, log_scales, means, tightness * choleskys)
    assert set(used) == {"direct_pass", "feature_pass"}


def test_small_problems_use_the_direct_kernel(used):
    rng = np.random.default_rng(12)
    log_scales, means, choleskys = a_mixture(3, 6, rng)
    expected_statistics(rng.normal(size=(6, 100)), log_scales, means, inverse_lower(choleskys))
    assert used == ["direct_pass"]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n", [1, 2, 513, 1333])
def test_threads_change_nothing_but_the_order_of_sums(force, monkeypatch, used, kernel, n):
    force(kernel)
    monkeypatch.setattr(passes, "_WORK_WORTH_A_THREAD", 1)
    rng = np.random.default_rng(13)
    log_scales, means, choleskys = a_mixture(3, 4, rng)
    x = rng.normal(size=(4, n))
    factors = inverse_lower(choleskys)
    for n_threads in (1, 2, 3, 7):
        used.clear()
        first, *repeats = (expected_statistics(x, log_scales, means, factors, n_threads=n_threads) for _ in range(4))
        assert len(used) == 4 * n_threads
        assert_matches(first, x, log_scales, means, choleskys)
        for repeat in repeats:
            assert repeat.log_normaliser == first.log_normaliser
            assert all(np.array_equal(getattr(repeat, f), getattr(first, f)) for f in ("counts", "first", "second"))


def test_threads_are_not_started_for_little_work(used):
    rng = np.random.default_rng(14)
    log_scales, means, choleskys = a_mixture(2, 2, rng)
    expected_statistics(rng.normal(size=(2, 100)), log_scales, means, inverse_lower(choleskys), n_threads=8)
    assert len(used) == 1


def test_arguments_are_not_changed(force):
    rng = np.random.default_rng(15)
    log_scales, means, choleskys = a_mixture(3, 3, rng)
    x, factors = rng.normal(size=(3, 200)), inverse_lower(choleskys)
    before = [array.copy() for array in (x, log_scales, means, factors)]
    for kernel in KERNELS:
        force(kernel)
        expected_statistics(x, log_scales, means, factors)
    rowwise(x, log_scales, means, factors)
    for array, copy in zip((x, log_scales, means, factors), before, strict=True):
        assert np.array_equal(array, copy)


def test_compiled_exp_is_as_good_as_numpy():
    # Two components at distance a in one dimension: the responsibilities are logistic in x, so that exp is met
    # at every argument from 0 down to its underflow.
    difference = np.concatenate([np.linspace(0.0, 40.0, 4001), np.linspace(40.0, 690.0, 1001)])
    a = 2.0
    x = (a / 2 + difference / a)[None]
    got, _ = rowwise(x, np.log([0.5, 0.5]), np.array([[0.0], [a]]), np.ones((2, 1, 1)))
    exponent = 0.5 * np.square(x[0] - a) - 0.5 * np.square(x[0])
    small = np.exp(exponent)
    # The exponents have lost digits in the subtraction of squares, numpy's and ours alike.
    lost = np.square(x[0]) * np.finfo(float).eps
    assert np.all(np.abs(got[0] / (small / (1 + small)) - 1) <= 1e-14 + 4 * lost)


def test_compiled_exp_to_the_last_digits():
    # Equal components: the exponents are differences of scales, which are exact here.
    arguments = -np.concatenate([np.arange(0, 64) / 64, np.arange(0, 2800) / 4])
    scales = np.append(0.0, arguments)
    x, means = np.zeros((1, 1)), np.zeros((scales.size, 1))
    constant = 0.5 * np.log(2 * np.pi)
    got, _ = rowwise(x, scales, means, np.ones((scales.size, 1, 1)))
    ratio = got[1:, 0] / got[0, 0]
    lost = np.finfo(float).eps * (np.abs(arguments) + constant)
    assert np.all(np.abs(ratio / np.exp(arguments) - 1) <= 1e-15 + lost)


def test_compiled_exp_stops_at_its_smallest_number():
    scales = np.array([0.0, -699.0, -701.0, -1e6, -np.inf])
    got, _ = rowwise(np.zeros((1, 1)), scales, np.zeros((5, 1)), np.ones((5, 1, 1)))
    assert got[1, 0] == pytest.approx(np.exp(-699.0), rel=1e-12)
    np.testing.assert_allclose(got[2:, 0], np.exp(-700.0), rtol=1e-12)


@pytest.mark.parametrize(("K", "d"), [(1, 1), (3, 2), (2, 5)])
def test_weighted_rows_count_as_often_as_they_say(K, d):
    rng = np.random.default_rng(K + d)
    log_weights, means, choleskys = a_mixture(K, d, rng)
    at = log_weights, means, np.linalg.inv(choleskys)
    x, counts = rng.normal(size=(d, 700)), rng.integers(1, 5, 700)
    weighted = expected_statistics(x, *at, row_weights=counts.astype(float))
    repeated = expected_statistics(np.ascontiguousarray(np.repeat(x, counts, axis=1)), *at)
    assert weighted.log_normaliser == pytest.approx(repeated.log_normaliser, rel=1e-12)
    np.testing.assert_allclose(weighted.counts, repeated.counts, rtol=1e-11)
    np.testing.assert_allclose(weighted.first, repeated.first, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(weighted.second, repeated.second, rtol=1e-10, atol=1e-9)
