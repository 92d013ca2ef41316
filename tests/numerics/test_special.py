import numpy as np
import pytest
from scipy import integrate, special, stats

from bayesgmm.numerics.special import (
    expected_log_det_precision,
    inverse_wishart_log_normaliser,
    lkj_log_normaliser,
    multivariate_digamma,
    multivariate_log_gamma,
)


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_multivariate_log_gamma_equals_scipy(d):
    a = np.array([d / 2, d / 2 + 0.3, d + 4.0, 250.0])
    wanted = [special.multigammaln(value, d) for value in a]
    np.testing.assert_allclose(multivariate_log_gamma(a, d), wanted, rtol=1e-13, atol=1e-13)
    assert multivariate_log_gamma(float(a[1]), d) == pytest.approx(wanted[1], rel=1e-13)


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_multivariate_digamma_is_the_derivative(d):
    a, h = np.array([d / 2 + 0.3, d + 4.0, 250.0]), 1e-4
    slope = (multivariate_log_gamma(a + h, d) - multivariate_log_gamma(a - h, d)) / (2 * h)
    np.testing.assert_allclose(multivariate_digamma(a, d), slope, rtol=1e-6)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_inverse_wishart_normaliser_equals_scipy(d):
    rng = np.random.default_rng(d)
    root, factor = rng.normal(size=(2, d, d + 2))
    scale, sigma = root @ root.T, factor @ factor.T
    for df in (d - 0.5, d + 2.0, 31.7):
        kernel = -0.5 * (df + d + 1) * np.linalg.slogdet(sigma)[1] - 0.5 * np.trace(np.linalg.solve(sigma, scale))
        value = inverse_wishart_log_normaliser(df, np.linalg.slogdet(scale)[1], d) + kernel
        assert value == pytest.approx(stats.invwishart(df, scale).logpdf(sigma), rel=1e-11)


def test_inverse_wishart_normaliser_works_on_stacks():
    df, log_det = np.array([3.0, 5.5]), np.array([[0.1, 0.2], [-1.0, 4.0]])
    value = inverse_wishart_log_normaliser(df, log_det, 2)
    assert value.shape == (2, 2)
    assert value[1, 0] == inverse_wishart_log_normaliser(3.0, -1.0, 2)


@pytest.mark.parametrize(("df", "d"), [(2.5, 1), (6.0, 3)])
def test_expected_log_det_precision_by_simulation(df, d):
    scale = 0.4 * np.eye(d) + 0.3
    draws = stats.invwishart(df, scale).rvs(size=20_000, random_state=3)
    values = -np.linalg.slogdet(np.reshape(draws, (-1, d, d)))[1]
    error = values.std() / np.sqrt(values.size)
    assert abs(expected_log_det_precision(df, np.linalg.slogdet(scale)[1], d) - values.mean()) < 4 * error


def test_lkj_normaliser_of_one_feature_is_zero():
    assert lkj_log_normaliser(2.3, 1) == 0.0


@pytest.mark.parametrize("eta", [0.6, 1.0, 2.0, 7.5])
def test_lkj_density_of_two_features_integrates_to_one(eta):
    # The substitution r = sin t takes away the pole at |r| = 1 for eta < 1.
    total, _ = integrate.quad(lambda t: np.cos(t) ** (2 * eta - 1), -np.pi / 2, np.pi / 2, epsrel=1e-11, epsabs=0)
    assert lkj_log_normaliser(eta, 2) == pytest.approx(-np.log(total), abs=1e-8)


@pytest.mark.parametrize("eta", [1.0, 2.0, 4.5])
def test_lkj_density_of_three_features_integrates_to_one(eta):
    # |R| = (1 - a^2)(1 - b^2)(1 - c^2) with c the partial correlation, dr = sqrt((1 - a^2)(1 - b^2)) dc.
    nodes, weights = special.roots_legendre(200)
    half = np.pi / 2 * nodes
    one_minus_square, measure = np.cos(half) ** 2, np.pi / 2 * weights * np.cos(half)
    outer = (one_minus_square ** (eta - 1 + 0.5) * measure).sum()
    inner = (one_minus_square ** (eta - 1) * measure).sum()
    assert lkj_log_normaliser(eta, 3) == pytest.approx(-np.log(outer**2 * inner), abs=1e-10)


@pytest.mark.parametrize(("d", "eta"), [(3, 2.0), (4, 1.5)])
def test_lkj_normaliser_by_simulation(d, eta):
    rng = np.random.default_rng(4)
    n, pairs = 200_000, d * (d - 1) // 2
    R = np.tile(np.eye(d), (n, 1, 1))
    rows, columns = np.tril_indices(d, -1)
    R[:, rows, columns] = R[:, columns, rows] = rng.uniform(-1, 1, size=(n, pairs))
    possible = np.linalg.eigvalsh(R)[:, 0] > 0
    values = np.where(possible, np.abs(np.linalg.det(R)) ** (eta - 1), 0.0) * 2.0**pairs
    error = values.std() / np.sqrt(n)
    assert abs(np.exp(-lkj_log_normaliser(eta, d)) - values.mean()) < 4 * error
