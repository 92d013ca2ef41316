"""Priors on means and covariances against scipy: densities, gradients, modes, Jacobians and draws."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from bayesgmm._errors import InputError
from bayesgmm.engines.base import Parameters
from bayesgmm.model import LKJ, Full, InverseWishart
from tests import contract
from tests.contract import COVARIANCES, MEANS, SCALES, WEIGHTS, derivative, filled, random_parameters

SIZES = [(1, 1), (3, 1), (2, 2), (3, 3)]


def model_with(K, d, weights="dirichlet", means="normal", covariances="full-iw"):
    parts = WEIGHTS[weights](K), MEANS[means](K, d), COVARIANCES[covariances](K, d)
    return filled(contract.GaussianMixture(K, **dict(zip(("weights", "means", "covariances"), parts, strict=True))), d)


def symmetric_derivative(function, sigma):
    """Gradient G (K, d, d), symmetric, with dF = tr(G dSigma), by differences."""
    K, d = sigma.shape[:2]
    rows, columns = np.tril_indices(d)

    def of_entries(entries):
        S = np.zeros((K, d, d))
        S[:, rows, columns] = entries.reshape(K, -1)
        S[:, columns, rows] = entries.reshape(K, -1)
        return function(np.linalg.cholesky(S))

    flat = derivative(of_entries, sigma[:, rows, columns].ravel(), 1e-3).reshape(K, -1)
    G = np.zeros((K, d, d))
    G[:, rows, columns] = np.where(rows == columns, 1.0, 0.5) * flat
    G[:, columns, rows] = G[:, rows, columns]
    return G


# ---- means -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MEANS)
def test_means_density_and_gradients(name, size):
    model, rng = model_with(*size, means=name), np.random.default_rng(10)
    prior, at = model.means, random_parameters(model, size[1], rng)
    value, by_means, by_sigma = prior.log_density(at.means, at.choleskys)
    assert value == pytest.approx(contract.means_by_scipy(prior, at.means, at.covariances), rel=1e-11, abs=1e-11)
    slope = derivative(
        lambda flat: prior.log_density(flat.reshape(at.means.shape), at.choleskys)[0], at.means.ravel()
    ).reshape(at.means.shape)
    np.testing.assert_allclose(by_means, slope, rtol=1e-8, atol=1e-8)
    slope = symmetric_derivative(lambda L: prior.log_density(at.means, L)[0], at.covariances)
    np.testing.assert_allclose(by_sigma, slope, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MEANS)
def test_means_mode_is_the_maximum(name, size):
    (K, d), rng = size, np.random.default_rng(11)
    model = model_with(K, d, means=name)
    prior, at = model.means, random_parameters(model, d, rng)
    counts, row_means = rng.uniform(0.5, 20.0, size=K), 2.0 * rng.normal(size=(K, d))
    mode = prior.mode(counts, row_means, at.choleskys)
    if not prior.free:
        np.testing.assert_array_equal(mode, prior.values)
        return
    precisions = np.linalg.inv(at.covariances)

    def objective(means):
        delta = row_means - means
        data = -0.5 * np.einsum("k,ki,kij,kj", counts, delta, precisions, delta)
        return data + contract.means_by_scipy(prior, means, at.covariances)

    slope = derivative(lambda flat: objective(flat.reshape(K, d)), mode.ravel())
    np.testing.assert_allclose(slope, 0.0, atol=1e-7)
    for scale in (1e-2, 1.0):
        for step in scale * rng.normal(size=(5, K, d)):
            assert objective(mode + step) < objective(mode)


@pytest.mark.parametrize("name", list(MEANS)[:-1])
def test_means_draws(name):
    K, d, n = 3, 2, 20_000
    model, rng = model_with(K, d, means=name), np.random.default_rng(12)
    prior, at = model.means, random_parameters(model, d, rng)
    draws = prior.draw(rng, np.broadcast_to(at.choleskys, (n, K, d, d)))
    assert draws.shape == (n, K, d)
    for k in range(K):
        if not prior.free:
            assert np.all(draws[:, k] == np.asarray(prior.values)[k])
            continue
        if name.startswith("conjugate"):
            loc, covariance = np.broadcast_to(prior.loc, (K, d))[k], at.covariances[k] / prior.precision_scale
        else:
            loc, covariance = np.array(prior.mu)[k], np.diag(np.square(prior.sigma)[k])
        z = (draws[:, k] - loc) @ np.linalg.inv(np.linalg.cholesky(covariance)).T
        assert np.all(np.abs(z.mean(axis=0)) < 4 / np.sqrt(n))
        assert np.all(np.abs(z.T @ z / n - np.eye(d)) < 4 * np.sqrt((1 + np.eye(d)) / n))


# ---- covariances -----------------------------------------------------------------------------------------------

FREE = [name for name in COVARIANCES if not name.startswith("fixed")]
CLOSED = [name for name in FREE if "lkj" not in name]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", COVARIANCES)
def test_covariances_density_equals_scipy(name, size):
    model, rng = model_with(*size, covariances=name), np.random.default_rng(20)
    for _ in range(3):
        at = random_parameters(model, size[1], rng)
        value, gradient = model.covariances.log_density(at.choleskys)
        wanted = contract.covariances_by_scipy(model.covariances, at.covariances)
        assert value == pytest.approx(wanted, rel=1e-10, abs=1e-10)
        assert gradient.shape == at.choleskys.shape


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", COVARIANCES)
def test_covariances_gradient_in_their_coordinates(name, size):
    (K, d), rng = size, np.random.default_rng(21)
    model = model_with(K, d, covariances=name)
    structure, reference = model.covariances, random_parameters(model, d, rng).choleskys
    theta = 0.3 * rng.normal(size=structure.n_free(K, d))
    at = structure.from_free(theta, reference)
    gradient = structure.pullback(structure.log_density(at)[1], at, reference)
    slope = derivative(lambda t: structure.log_density(structure.from_free(t, reference))[0], theta)
    np.testing.assert_allclose(gradient, slope, rtol=1e-7, atol=1e-7)
    _, gradient = structure.log_jacobian(at, reference)
    slope = derivative(lambda t: structure.log_jacobian(structure.from_free(t, reference), reference)[0], theta)
    np.testing.assert_allclose(gradient, slope, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("prior", contract.PRIORS)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_matrix_gradient_is_the_symmetric_one(prior, d):
    model, rng = model_with(2, d, covariances=f"full-{prior}"), np.random.default_rng(22)
    at, own = random_parameters(model, d, rng), model.covariances.prior
    for function in (own.matrix_log_density, own.matrix_volume):
        slope = symmetric_derivative(lambda L, function=function: function(L)[0], at.covariances)
        np.testing.assert_allclose(function(at.choleskys)[1], slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", COVARIANCES)
def test_covariances_jacobian(name, size):
    model, rng = model_with(*size, covariances=name), np.random.default_rng(23)
    at, reference = (random_parameters(model, size[1], rng).choleskys for _ in range(2))
    wanted = contract.covariances_volume(model.covariances, at)
    value, gradient = model.covariances.log_jacobian(at, reference)
    assert value == pytest.approx(wanted, rel=1e-10, abs=1e-10)
    assert model.covariances.log_jacobian(at, at)[0] == pytest.approx(value, rel=1e-13)
    assert gradient.shape == (model.covariances.n_free(*size),)


@pytest.mark.parametrize("name", COVARIANCES)
def test_covariances_coordinates(name):
    (K, d), rng = (3, 3), np.random.default_rng(24)
    model = model_with(K, d, covariances=name)
    structure, reference = model.covariances, random_parameters(model, d, rng).choleskys
    theta = rng.normal(size=structure.n_free(K, d))
    np.testing.assert_allclose(structure.from_free(0 * theta, reference), reference, rtol=1e-14)
    assert structure.information(np.ones(K), d).shape == theta.shape
    L = structure.from_free(theta, reference)
    assert np.all(np.tril(L) == L)
    assert np.all(np.diagonal(L, axis1=1, axis2=2) > 0)
    sigma = L @ np.swapaxes(L, 1, 2)
    if structure.tied:
        assert np.all(sigma == sigma[0])
    if "diagonal" in name or "spherical" in name:
        assert np.all(sigma == sigma * np.eye(d))
    if "spherical" in name:
        np.testing.assert_allclose(sigma, sigma[:, :1, :1] * np.eye(d))


def complete_data(structure, counts, scatter, sigma):
    """Expected complete log density as a function of the covariances."""
    precisions = np.linalg.inv(sigma)
    data = -0.5 * (counts * np.linalg.slogdet(sigma)[1]).sum() - 0.5 * np.einsum("kij,kji", scatter, precisions)
    return data + contract.covariances_by_scipy(structure, sigma)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CLOSED)
def test_covariances_mode_is_the_maximum(name, size):
    (K, d), rng = size, np.random.default_rng(25)
    structure = model_with(K, d, covariances=name).covariances
    assert structure.innermost.closed_form
    counts = rng.uniform(5.0, 20.0, size=K)
    root = rng.normal(size=(K, d, d + 3))
    scatter = counts[:, None, None] * root @ np.swapaxes(root, 1, 2) / (d + 3)
    mode = np.linalg.cholesky(structure.mode(counts, scatter))

    def objective(theta):
        L = structure.from_free(theta, mode)
        return complete_data(structure, counts, scatter, L @ np.swapaxes(L, 1, 2))

    here = np.zeros(structure.n_free(K, d))
    np.testing.assert_allclose(derivative(objective, here), 0.0, atol=1e-6)
    for scale in (1e-2, 0.5):
        for step in scale * rng.normal(size=(5, here.size)):
            assert objective(step) < objective(here)


@pytest.mark.parametrize("name", [name for name in FREE if "lkj" in name])
def test_short_start_covariances_are_in_the_structure(name):
    K, d, rng = 2, 3, np.random.default_rng(26)
    structure = model_with(K, d, covariances=name).covariances
    assert not structure.innermost.closed_form
    root = rng.normal(size=(K, d, 9))
    mode = structure.mode(np.array([4.0, 9.0]), root @ np.swapaxes(root, 1, 2))
    assert np.linalg.eigvalsh(mode).min() > 0
    assert np.linalg.eigvalsh(structure.mode(np.zeros(2), np.zeros((2, d, d)))).min() > 0
    assert np.all(mode == mode[0]) == structure.tied
    assert np.all(mode == mode * np.eye(d)) == ("diagonal" in name or "spherical" in name)


@pytest.mark.parametrize("d", [1, 3])
def test_conjugate_parts_have_a_joint_mode(d):
    # Means and covariances together, although each is written as if alone.
    K, rng = 3, np.random.default_rng(27)
    names = [f"{tied}{kind}-iw" for tied in ("", "tied-") for kind in ("full", "diagonal", "spherical")]
    for name in names:
        model = model_with(K, d, means="conjugate", covariances=name)
        counts, row_means = rng.uniform(3.0, 9.0, size=K), rng.normal(size=(K, d))
        root = rng.normal(size=(K, d, 9))
        scatter = root @ np.swapaxes(root, 1, 2)
        means = model.means.mode(counts, row_means, np.broadcast_to(np.eye(d), (K, d, d)))
        rows, extra = model.means.pseudo_scatter(means)

        def about(at, counts=counts, row_means=row_means, scatter=scatter):
            delta = row_means - at
            return scatter + counts[:, None, None] * np.einsum("ki,kj->kij", delta, delta)

        mode = np.linalg.cholesky(model.covariances.mode(counts + rows, about(means) + extra))

        def objective(u, model=model, means=means, mode=mode, counts=counts, about=about):
            at = means + u[: K * d].reshape(K, d)
            L = model.covariances.from_free(u[K * d :], mode)
            sigma = L @ np.swapaxes(L, 1, 2)
            prior = contract.means_by_scipy(model.means, at, sigma)
            return complete_data(model.covariances, counts, about(at), sigma) + prior

        here = np.zeros(K * d + model.covariances.n_free(K, d))
        np.testing.assert_allclose(derivative(objective, here), 0.0, atol=1e-6, err_msg=name)
        for step in 0.3 * rng.normal(size=(5, here.size)):
            assert objective(step) < objective(here)


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("m", [1, 3])
def test_scale_priors(name, m):
    prior, rng = SCALES[name](m).resolved(m), np.random.default_rng(30)
    scipys = contract.scale_by_scipy(prior)
    s = rng.uniform(0.1, 3.0, size=(4, m))
    logs, slopes = prior.log_density(s)
    np.testing.assert_allclose(logs, scipys.logpdf(s), rtol=1e-11, atol=1e-12)
    slope = derivative(lambda flat: prior.log_density(flat.reshape(s.shape))[0].sum(), s.ravel(), 1e-3)
    np.testing.assert_allclose(slopes, slope.reshape(s.shape), rtol=1e-7, atol=1e-8)
    assert np.all((scipys.cdf(prior.typical()) > 0.2) & (scipys.cdf(prior.typical()) < 0.8))
    draws = prior.draw(rng, (5000, m))
    assert draws.shape == (5000, m)
    for j in range(m):
        assert stats.kstest(scipys.cdf(draws)[:, j], "uniform").pvalue > 1e-3
    units = rng.uniform(0.5, 2.0, size=m)
    change = contract.scale_by_scipy(prior.rescaled(units)).logpdf(s / units) - scipys.logpdf(s)
    np.testing.assert_allclose(change, np.broadcast_to(np.log(units), s.shape), rtol=1e-9)


def test_which_scale_priors_vanish_at_zero():
    assert {name for name in SCALES if SCALES[name](1).vanishes_at_zero()} == {"lognormal", "inversechi"}


@pytest.mark.parametrize(
    "prior",
    [
        InverseWishart(6.0, 1.0),
        LKJ(1.0, scale=contract.HalfNormal(1.0)),
        contract.Flat(),
        LKJ(1.0, scale=contract.LogNormal(0.0, 0.5)),
        LKJ(1.0, scale=contract.ScaledInverseChi(4.0, 1.0)),
    ],
    ids=repr,
)
def test_bounded_priors_beat_the_likelihood_of_collinear_rows(prior):
    # One component closes in on four rows on a line; its likelihood grows like |Sigma|^(-4/2).
    structure = filled(contract.GaussianMixture(1, covariances=Full(prior), means=contract.NormalMeans(0, 1)), 2)
    values = []
    for epsilon in (1e-4, 1e-8, 1e-12):
        sigma = np.array([[[1.0, 1.0], [1.0, 1.0 + epsilon]]])
        log_prior = structure.covariances.log_density(np.linalg.cholesky(sigma))[0]
        values.append(log_prior - 2.0 * np.linalg.slogdet(sigma)[1].sum())
    assert (values[2] < values[0]) == structure.covariances.bounded()


@pytest.mark.parametrize("d", [1, 2, 4])
def test_inverse_wishart_draws(d):
    n, df = 40_000, d + 8.0
    prior = InverseWishart(df, contract.a_scale_matrix(d)).resolved(d, separate=False)
    scale = np.array(prior.scale)
    draws = prior.draw(np.random.default_rng(31), n, d, separate=False)
    assert draws.shape == (n, d, d)
    np.testing.assert_allclose(draws, np.swapaxes(draws, 1, 2), rtol=1e-12)
    error = draws.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(draws.mean(axis=0) - scale / (df - d - 1)) < 4 * error)
    # Diagonal entries are inverse-gamma, those of the inverse are chi-squared, and the determinant mixes all.
    assert stats.kstest(draws[:, -1, -1], stats.invgamma((df - d + 1) / 2, scale=scale[-1, -1] / 2).cdf).pvalue > 1e-3
    precisions = np.linalg.inv(draws)[:, 0, 0] / np.linalg.inv(scale)[0, 0]
    assert stats.kstest(precisions, stats.chi2(df).cdf).pvalue > 1e-3
    log_det = np.linalg.slogdet(draws)[1]
    other = np.reshape(stats.invwishart(df, scale).rvs(n, random_state=32), (n, d, d))
    assert stats.ks_2samp(log_det, np.linalg.slogdet(other)[1]).pvalue > 1e-3


@pytest.mark.parametrize("eta", [0.7, 1.0, 3.0])
@pytest.mark.parametrize("d", [2, 3, 5])
def test_lkj_draws(eta, d):
    n = 8000
    prior = LKJ(eta, scale=SCALES["gamma"](d)).resolved(d, separate=False)
    sigma = prior.draw(np.random.default_rng(33), n, d, separate=False)
    s = np.sqrt(np.diagonal(sigma, axis1=1, axis2=2))
    R = sigma / (s[:, :, None] * s[:, None, :])
    b = eta + d / 2 - 1
    for i, j in zip(*np.tril_indices(d, -1), strict=True):
        assert stats.kstest((R[:, i, j] + 1) / 2, stats.beta(b, b).cdf).pvalue > 1e-3
    uniform = contract.scale_by_scipy(prior.scale).cdf(s)
    for j in range(d):
        assert stats.kstest(uniform[:, j], "uniform").pvalue > 1e-3
    # E|R| from the ratio of normalisers, whose marginals the correlations alone do not fix.
    ones = np.eye(d)[None]
    unit = contract.HalfNormal(1.0)
    log_c = [Full(LKJ(e, scale=unit)).resolved(1, d).log_density(ones)[0] for e in (eta, eta + 1)]
    det = np.linalg.det(R)
    assert abs(det.mean() - np.exp(log_c[0] - log_c[1])) < 4 * det.std() / np.sqrt(n)


@pytest.mark.parametrize("name", [name for name in COVARIANCES if "flat" not in name])
def test_structured_draws(name):
    K, d, n = 2, 3, 4000
    model, rng = model_with(K, d, covariances=name), np.random.default_rng(34)
    structure = model.covariances
    sigma = structure.draw(rng, n, K, d)
    assert sigma.shape == (n, K, d, d)
    if not structure.free:
        assert np.all(sigma == np.array(structure.values))
        return
    assert np.linalg.eigvalsh(sigma).min() > 0
    assert np.all(sigma[:, 0] == sigma[:, 1]) == structure.tied
    diagonal = "diagonal" in name or "spherical" in name
    assert np.all(sigma == sigma * np.eye(d)) == diagonal
    variances = np.diagonal(sigma, axis1=2, axis2=3)
    assert np.all(variances == variances[..., :1]) == ("spherical" in name)
    for j in range(1 if "spherical" in name else d):
        for k in range(K):
            prior = contract.of_component(structure.innermost, k, separate=diagonal)
            if isinstance(prior, LKJ):
                one = type(prior.scale)(*(getattr(prior.scale, field.name)[j] for field in fields(prior.scale)))
                values, wanted = np.sqrt(variances[:, k, j]), contract.scale_by_scipy(one)
            else:
                scale = np.array(prior.scale)
                shape, rate = (prior.df, scale[j]) if diagonal else (prior.df - d + 1, scale[j, j])
                values, wanted = variances[:, k, j], stats.invgamma(shape / 2, scale=rate / 2)
            assert stats.kstest(values, wanted.cdf).pvalue > 1e-4


def test_flat_parts_cannot_be_drawn():
    model = model_with(2, 2, "flat-weights", "flat-means", "tied-diagonal-flat")
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"means: Flat.*proper prior"):
        model.means.draw(rng, np.ones((1, 2, 2, 2)))
    with pytest.raises(InputError, match=r"covariances: Flat.*proper prior"):
        model.covariances.draw(rng, 1, 2, 2)


def test_covariance_factors_of_a_point():
    at = Parameters(log_weights=np.zeros(1), means=np.zeros((1, 2)), choleskys=np.array([[[2.0, 0.0], [1.0, 3.0]]]))
    np.testing.assert_array_equal(at.covariances[0], [[4.0, 2.0], [2.0, 10.0]])
    A = at.precision_choleskys
    np.testing.assert_allclose(np.swapaxes(A, 1, 2) @ A, np.linalg.inv(at.covariances), rtol=1e-13)
