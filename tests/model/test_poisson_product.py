"""Products of Poisson weights: probabilities by enumeration, rates from weights, slopes, modes, draws, exact q."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

import bayesgmm as bg
from bayesgmm.model._spec import Spec
from tests.contract import derivative, scale_by_scipy

CASES = {
    "default": bg.PoissonProductWeights(),
    "gammas": bg.PoissonProductWeights((bg.Gamma(2.5, 1.5), bg.LogNormal(0.0, 0.7))),
    "linked": bg.PoissonProductWeights(linked=bg.Gamma(2.0, 3.0)),
    "linked, half-normal": bg.PoissonProductWeights((bg.Gamma(1.5, 0.5), bg.Gamma(1.0, 0.2)), bg.HalfNormal(1.0)),
}
EVERY = pytest.mark.parametrize("name", CASES)
POINTS = [(0.5, 0.8, 0.3), (1e-5, 0.4, 1e-3), (2.0, 1e-3, 0.02), (6.0, 5.0, 0.7), (1e-6, 1e-7, 1e-6)]


def by_enumeration(a, b, c):
    """P(--), P(+-), P(-+), P(++) summed over whether there is any A, any B and any AB."""
    out = np.zeros(4)
    for has_a in (0, 1):
        for has_b in (0, 1):
            for has_c in (0, 1):
                p = np.prod([-np.expm1(-L) if has else np.exp(-L) for has, L in ((has_a, a), (has_b, b), (has_c, c))])
                out[(has_a or has_c) + 2 * (has_b or has_c)] += p
    return out


def rates(prior, point):
    return np.array(point[: 2 if prior.linked is None else 3])


def at(prior, point):
    own = rates(prior, point)
    return np.log(by_enumeration(*own, *np.zeros(3 - own.size)))


@EVERY
@pytest.mark.parametrize("point", POINTS)
def test_weights_and_rates(name, point):
    prior = CASES[name]
    own = rates(prior, point)
    logs = prior.from_free(np.log(own) - prior.log_rates(at(prior, (0.5, 0.5, 0.5))), at(prior, (0.5, 0.5, 0.5)))
    np.testing.assert_allclose(np.exp(logs), by_enumeration(*own, *np.zeros(3 - own.size)), rtol=1e-11)
    found = prior.own_parameters(np.stack([logs, logs]))
    assert list(found) == ["rate_a", "rate_b", "rate_linked"][: own.size]
    for value, truth in zip(found.values(), own, strict=True):
        # A few linked molecules beside many others are a small difference of weights.
        np.testing.assert_allclose(value, truth, rtol=1e-9)
    np.testing.assert_allclose(prior.to_free(logs, at(prior, (0.5, 0.5, 0.5))) + np.log(0.5), np.log(own), atol=1e-9)


@EVERY
@pytest.mark.parametrize("point", POINTS[:4])
def test_densities_and_slopes(name, point):
    prior, zero = CASES[name], np.zeros(2 if CASES[name].linked is None else 3)
    own, here = rates(prior, point), at(prior, point)
    priors = (*prior.rates, prior.linked)[: own.size]
    by_scipy = sum(float(scale_by_scipy(p).logpdf(L)) for p, L in zip(priors, own, strict=True))
    assert prior.log_density(here)[0] == pytest.approx(by_scipy, rel=1e-8)
    assert prior.log_jacobian(here)[0] == pytest.approx(np.log(own).sum(), rel=1e-8)
    many = np.stack([here, at(prior, POINTS[0])])
    np.testing.assert_allclose(prior.log_densities(many), [prior.log_density(x)[0] for x in many], rtol=1e-12)
    np.testing.assert_allclose(prior.log_jacobians(many), [prior.log_jacobian(x)[0] for x in many], rtol=1e-12)
    gradient = np.random.default_rng(1).normal(size=4)

    def moved(theta):
        return prior.from_free(theta, here)

    np.testing.assert_allclose(
        prior.pullback(gradient, here), derivative(lambda t: moved(t) @ gradient, zero), rtol=1e-7, atol=1e-8
    )
    for function in (prior.log_density, prior.log_jacobian):
        slope = derivative(lambda t, f=function: f(moved(t))[0], zero)
        np.testing.assert_allclose(prior.pullback(function(here)[1], here), slope, rtol=1e-6, atol=1e-7)


@EVERY
def test_coordinates_have_unit_information(name):
    prior, here = CASES[name], at(CASES[name], POINTS[0])
    counts = 60.0 * np.exp(here)
    size = prior.n_free(4)

    def slope(theta):
        return derivative(lambda t: prior.from_free(t, here) @ counts, theta, 0.02)

    steps = 1e-3 * np.eye(size)
    information = -np.array([(slope(e) - slope(-e)) / 2e-3 for e in steps]) + np.eye(size)
    T = prior.information_map(here, counts)
    np.testing.assert_allclose(T.T @ information @ T, np.eye(size), atol=1e-4)


@EVERY
@pytest.mark.parametrize("unconstrained", [False, True])
def test_mode_maximises(name, unconstrained):
    prior, rng = CASES[name], np.random.default_rng(2)
    assert prior.bounded()
    densities = [scale_by_scipy(each).logpdf for each in (*prior.rates, prior.linked)[: prior.n_free(4)]]
    for _ in range(2):
        counts = 80.0 * rng.dirichlet([4.0, 2.0, 2.0, 2.0])

        def below(t, counts=counts):
            own = np.exp(t)
            value = counts @ np.log(by_enumeration(*own, *np.zeros(3 - own.size)))
            value += sum(density(L) for density, L in zip(densities, own, strict=True))
            return -(value + (t.sum() if unconstrained else 0.0))

        start = np.full(len(densities), -1.0)
        options = {"xatol": 1e-6, "fatol": 1e-10, "maxiter": 2000, "maxfev": 2000}
        best = minimize(below, start, method="Nelder-Mead", options=options)
        found = prior.log_rates(prior.mode(counts, unconstrained=unconstrained))
        assert below(found) == pytest.approx(best.fun, abs=1e-7)
        # A rate that the mode has at 0 is small, however small the simplex made it.
        np.testing.assert_allclose(np.exp(found), np.exp(best.x), atol=2e-4)


@EVERY
def test_draws_follow_the_priors(name):
    prior = CASES[name]
    drawn = prior.draw(np.random.default_rng(3), 2000, 4)
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0, rtol=1e-9)
    priors = (*prior.rates, prior.linked)[: prior.n_free(4)]
    found = np.exp(prior.log_rates(np.log(drawn)))
    kept = (found < 8.0).all(axis=1)  # with more there are next to no negative droplets, and c loses its digits
    assert kept.any()
    for i, each in enumerate(priors):
        exact = scale_by_scipy(each)
        ranks = exact.cdf(found[kept, i]) / exact.cdf(8.0)
        assert stats.kstest(ranks, "uniform").pvalue > 1e-3


def test_q_of_two_rates():
    prior = bg.PoissonProductWeights((bg.Gamma(2.5, 1.5), bg.LogNormal(0.0, 0.7)))
    counts = np.array([40.0, 20.0, 10.0, 7.0])
    q = prior.posterior(np.zeros(4)).given(counts)
    one = bg.PoissonWeights(bg.Gamma(2.5, 1.5)).posterior(np.array([50.0, 27.0]))
    two = bg.PoissonWeights(bg.LogNormal(0.0, 0.7)).posterior(np.array([60.0, 17.0]))
    E, F = one.expected_log(), two.expected_log()
    np.testing.assert_allclose(q.expected_log(), [E[0] + F[0], E[1] + F[0], E[0] + F[1], E[1] + F[1]], rtol=1e-12)
    assert q.divergence() == pytest.approx(one.divergence() + two.divergence(), rel=1e-12)
    drawn = q.draw(np.random.default_rng(4), 4000)
    np.testing.assert_allclose(drawn.mean(axis=0), q.mean(), atol=4 * drawn.std(axis=0).max() / np.sqrt(4000))
    here = at(prior, (0.4, 0.3))
    expected = one.log_density(np.log([np.exp(-0.4), -np.expm1(-0.4)]))
    expected += two.log_density(np.log([np.exp(-0.3), -np.expm1(-0.3)]))
    assert q.log_density(here) == pytest.approx(float(expected), abs=1e-9)
    assert q.log_density(here, prior=True) == pytest.approx(prior.log_density(here)[0], abs=1e-9)
    assert Spec.from_dict(q.to_dict()) == q
    with pytest.raises(bg.UnsupportedError, match="Poisson x Poisson"):
        CASES["linked"].posterior(counts)


@EVERY
def test_json_and_printing(name):
    prior = CASES[name]
    model = bg.GaussianMixture(4, weights=prior)
    assert bg.GaussianMixture.from_json(model.to_json()) == model
    assert prior.describe() in str(model)
    assert prior.keys(4) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda: bg.PoissonProductWeights(bg.Gamma(1, 1)), "PoissonProductWeights.rates"),
        (lambda: bg.PoissonProductWeights((bg.Gamma(1, 1), 2.0)), "PoissonProductWeights.rates"),
        (lambda: bg.PoissonProductWeights(linked=0.1), "PoissonProductWeights.linked"),
        (lambda: bg.GaussianMixture(3, weights=bg.PoissonProductWeights()), "n_components: got 3.*Give 4"),
    ],
)
def test_bad_arguments(build, wanted):
    with pytest.raises(bg.InputError, match=wanted):
        build()
