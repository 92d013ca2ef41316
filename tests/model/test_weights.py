"""Priors on weights against scipy: densities, Jacobians, modes, draws and posteriors."""

import numpy as np
import pytest
from scipy import integrate, stats

from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model import Dirichlet, FixedWeights, StickBreaking
from tests import contract
from tests.contract import WEIGHTS, derivative


@pytest.mark.parametrize("K", [1, 2, 5])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_density_equals_scipy(name, K):
    prior, rng = WEIGHTS[name](K), np.random.default_rng(1)
    prior = contract.GaussianMixture(K, weights=prior).weights
    for _ in range(5):
        w = rng.dirichlet(np.full(K, 2.0))
        value, gradient = prior.log_density(np.log(w))
        assert value == pytest.approx(contract.weights_by_scipy(prior, w), rel=1e-11, abs=1e-11)
        slope = derivative(lambda log_w: prior.log_density(log_w)[0], np.log(w))
        np.testing.assert_allclose(gradient, slope, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("K", [1, 2, 5])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_jacobian(name, K):
    prior, rng = contract.GaussianMixture(K, weights=WEIGHTS[name](K)).weights, np.random.default_rng(2)
    for _ in range(3):
        log_w = np.log(rng.dirichlet(np.full(K, 2.0)))
        if name == "fixed-weights":
            log_w = np.log(prior.values)
        value, gradient = prior.log_jacobian(log_w)
        assert value == pytest.approx(contract.weights_volume(prior, log_w), abs=1e-10)
        theta = np.zeros(prior.n_free(K))
        slope = derivative(lambda t, at=log_w: prior.log_jacobian(prior.from_free(t, at))[0], theta)
        np.testing.assert_allclose(prior.pullback(gradient, log_w), slope, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_coordinates(name):
    prior, rng = contract.GaussianMixture(4, weights=WEIGHTS[name](4)).weights, np.random.default_rng(3)
    reference = np.log(rng.dirichlet(np.ones(4)))
    n_free = prior.n_free(4)
    assert n_free == (0 if name == "fixed-weights" else 3)
    np.testing.assert_allclose(prior.from_free(np.zeros(n_free), reference), reference, rtol=1e-12)
    one, two = rng.normal(size=(2, n_free))
    moved = prior.from_free(one, reference)
    assert np.exp(moved).sum() == pytest.approx(1.0, rel=1e-13)
    np.testing.assert_allclose(prior.from_free(two, moved), prior.from_free(one + two, reference), rtol=1e-11)


@pytest.mark.parametrize("unconstrained", [False, True])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_mode_is_the_maximum(name, unconstrained):
    if name == "flat-weights" and unconstrained:
        pytest.skip("improper in these coordinates")
    rng = np.random.default_rng(4)
    for K in (1, 2, 4):
        prior = contract.GaussianMixture(K, weights=WEIGHTS[name](K)).weights
        counts = rng.uniform(2.0, 30.0, size=K)
        mode = prior.mode(counts, unconstrained=unconstrained)
        assert np.exp(mode).sum() == pytest.approx(1.0, rel=1e-12)
        if name == "fixed-weights":
            np.testing.assert_allclose(np.exp(mode), prior.values)
            continue

        def objective(theta, prior=prior, counts=counts, mode=mode):
            log_w = prior.from_free(theta, mode)
            value = counts @ log_w + contract.weights_by_scipy(prior, np.exp(log_w))
            return value + (contract.weights_volume(prior, log_w) if unconstrained else 0.0)

        here = np.zeros(K - 1)
        np.testing.assert_allclose(derivative(objective, here), 0.0, atol=1e-7)
        for scale in (1e-2, 1.0):
            for step in scale * rng.normal(size=(5, K - 1)):
                assert K == 1 or objective(step) < objective(here)


def test_weights_mode_of_an_empty_component_under_a_uniform_prior():
    with np.errstate(divide="raise"):
        mode = Dirichlet(1.0).mode(np.array([3.0, 0.0, 1.0]))
    np.testing.assert_array_equal(mode, np.append(np.log(0.75), [-np.inf, np.log(0.25)]))
    value, _ = Dirichlet(1.0).log_density(mode)
    assert value == pytest.approx(np.log(2.0))


def test_only_concentrations_from_one_on_are_bounded():
    assert Dirichlet(1.0).bounded()
    assert not Dirichlet([2.0, 0.99]).bounded()
    assert StickBreaking(1.0).bounded()
    assert not StickBreaking(0.5).bounded()
    assert FixedWeights([1.0]).bounded()


@pytest.mark.parametrize("prior", [Dirichlet([0.5, 2.0, 3.0]), Dirichlet(0.3), StickBreaking(1.75)])
def test_weights_draws(prior):
    w = prior.draw(np.random.default_rng(5), 20_000, 3)
    assert w.shape == (20_000, 3)
    np.testing.assert_allclose(w.sum(axis=1), 1.0, rtol=1e-12)
    if isinstance(prior, Dirichlet):
        a = np.broadcast_to(prior.concentration, 3)
        marginals = [(w[:, k], stats.beta(a[k], a.sum() - a[k])) for k in range(3)]
    else:
        v = np.stack([w[:, 0], w[:, 1] / (1 - w[:, 0])])
        marginals = [(row, stats.beta(1.0, prior.concentration)) for row in v]
        assert abs(stats.pearsonr(*v).statistic) < 4 / np.sqrt(len(w))
    for values, wanted in marginals:
        assert stats.kstest(values, wanted.cdf).pvalue > 1e-3


def test_draws_of_tiny_concentrations_are_finite():
    w = Dirichlet(1e-3).draw(np.random.default_rng(6), 2000, 4)
    assert np.isfinite(w).all()
    np.testing.assert_allclose(w.sum(axis=1), 1.0)
    largest = w.max(axis=1)
    assert np.mean(largest > 0.999) > 0.95


def posteriors():
    counts = np.array([7.5, 0.4, 3.1])
    return {
        "dirichlet": (Dirichlet([0.5, 1.0, 2.5]), counts),
        "dirichlet-below-1": (Dirichlet(0.2), counts),
        "sticks": (StickBreaking(1.75), counts),
        "fixed": (FixedWeights([0.2, 0.3, 0.5]), counts),
    }


@pytest.mark.parametrize("name", posteriors())
def test_weights_posterior_is_prior_times_counts(name):
    prior, counts = posteriors()[name]
    q = prior.posterior(counts)
    rng = np.random.default_rng(7)
    log_w = np.log(rng.dirichlet(np.ones(3), size=6))
    if name == "fixed":
        np.testing.assert_array_equal(q.log_density(log_w), np.zeros(6))
        np.testing.assert_allclose(q.mean(), prior.values)
        np.testing.assert_allclose(q.expected_log(), np.log(prior.values))
        np.testing.assert_array_equal(q.draw(rng, 2), [prior.values] * 2)
        assert q.divergence() == 0.0
        return

    def on_the_simplex(at):
        value = contract.weights_by_scipy(prior, np.exp(at))
        # |dv / dw| = prod_k 1 / rest_k
        rest = 1.0 - np.append(0.0, np.cumsum(np.exp(at))[:-1])
        return value - np.log(rest[:-1]).sum() if name == "sticks" else value

    ratio = [on_the_simplex(at) + counts @ at for at in log_w] - q.log_density(log_w)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)  # the evidence of the counts


@pytest.mark.parametrize("name", list(posteriors())[:-1])
def test_weights_posterior_density_integrates_to_one(name):
    prior, _ = posteriors()[name]
    q = prior.posterior(np.array([3.0, 2.0, 4.0]))
    total, _ = integrate.dblquad(
        lambda b, a: np.exp(q.log_density(np.log([a, b, 1 - a - b]))), 0, 1, 0, lambda a: 1 - a, epsabs=1e-7
    )
    assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", list(posteriors())[:-1])
def test_weights_posterior_by_simulation(name):
    prior, counts = posteriors()[name]
    q = prior.posterior(counts)
    w = q.draw(np.random.default_rng(8), 40_000)
    p = prior.posterior(np.zeros(3))  # the prior itself, as a density on the simplex

    def close(values, wanted):
        error = values.std(axis=0) / np.sqrt(len(values))
        assert np.all(np.abs(values.mean(axis=0) - wanted) < 4 * error)

    close(w, q.mean())
    assert q.mean().sum() == pytest.approx(1.0, rel=1e-13)
    w = np.maximum(w, 1e-300)
    close(np.log(w), q.expected_log())
    close(q.log_density(np.log(w)) - p.log_density(np.log(w)), q.divergence())
    assert p.divergence() == pytest.approx(0.0, abs=1e-12)


def test_divergence_of_two_weights_by_quadrature():
    for prior in (Dirichlet([0.7, 1.4]), StickBreaking(1.4)):
        q = prior.posterior(np.array([2.5, 6.0]))
        a = (3.2, 7.4) if isinstance(prior, Dirichlet) else (3.5, 7.4)
        b = (0.7, 1.4) if isinstance(prior, Dirichlet) else (1.0, 1.4)
        wanted = stats.beta(*a).expect(lambda v, a=a, b=b: stats.beta(*a).logpdf(v) - stats.beta(*b).logpdf(v))
        assert q.divergence() == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("name", posteriors())
def test_weights_posterior_given_other_counts(name):
    prior, counts = posteriors()[name]
    q, log_w = prior.posterior(counts), np.log(np.random.default_rng(9).dirichlet(np.ones(3), size=4))
    assert prior.posterior(7.0 * counts + 1.0).given(counts) == q
    before = prior.posterior(np.zeros(3)).log_density(log_w)
    np.testing.assert_allclose(q.log_density(log_w, prior=True), before, rtol=1e-12)
    assert all(len(values) == 3 for values in q.summary().values())


def test_flat_weights_have_no_posterior_and_no_draws():
    weights = contract.GaussianMixture(2, weights=contract.Flat()).weights
    with pytest.raises(UnsupportedError, match=r"Flat\(\).*Dirichlet"):
        weights.posterior(np.ones(2))
    with pytest.raises(InputError, match="proper prior"):
        weights.draw(np.random.default_rng(0), 3, 2)
