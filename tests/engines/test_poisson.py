"""Fits with Poisson weights: optima by SciPy, posteriors and evidence by integrals, groups that share a rate."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.optimize import minimize
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._objective import Objective, log_prior
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._python_density import PythonDensity
from bayesgmm.engines.base import Parameters
from tests.contract import derivative
from tests.model.test_poisson import probabilities

QUIET = {"random_seed": 1, "progressbar": False}
EXPOSURES = (1.0, 0.25, 2.0)


def droplets(n, rate, gap, seed=0, *, graded=False):
    """Amplitudes and numbers of molecules; sds 1 and, if graded, a little more for each molecule."""
    rng = np.random.default_rng(seed)
    k = rng.poisson(rate, n)
    z = rng.standard_normal(n)
    return (gap * k + np.sqrt(1 + 0.1 * k) * z, k) if graded else (gap * (k > 0) + z, k)


MODELS = {
    "one rate for all": bg.PoissonWeights(bg.Gamma(2.0, 1.0), exposures=EXPOSURES),
    "by group": bg.PoissonWeights(bg.Gamma(2.0, 1.0)),
    "truncated": bg.PoissonWeights(bg.Gamma(2.0, 1.0), "truncate", exposures=EXPOSURES),
    "none": bg.PoissonWeights(bg.LogNormal(0.0, 1.0)),
}


@pytest.mark.parametrize("unconstrained", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_gradient_and_hessian_with_groups(name, unconstrained):
    x, _ = droplets(90, 1.0, 3.0, graded=True)
    groups = None if name == "none" else np.arange(90) % 3
    model = bg.GaussianMixture(
        4, weights=MODELS[name], means=bg.SaturatingMeans(), covariances=bg.LinearVariance(bg.HalfNormal(1.0))
    )
    of = build_problem(model, bg.as_data(x, groups=groups))
    objective = Objective(of, unconstrained=unconstrained)
    drawn = of.model.draw(np.random.default_rng(3), 1, 1)
    at = Parameters(log_weights=np.log(drawn[0][0]), means=drawn[1][0], choleskys=np.linalg.cholesky(drawn[2][0]))
    statistics = objective.value(at)[1]
    coordinates = objective.coordinates(at, statistics.weight_counts)
    assert coordinates.size == (3 if name == "by group" else 1) + 3 + 2 == of.n_parameters
    u = 0.2 * np.random.default_rng(4).normal(size=coordinates.size)
    value, gradient, point, statistics_there = objective.value_and_gradient(coordinates, u)
    assert log_prior(of.model, point, unconstrained) == pytest.approx(value - statistics_there.log_normaliser, abs=1e-9)
    slope = derivative(lambda v: objective.value(coordinates.parameters(v))[0], u, 0.01)
    np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-6 * np.abs(slope).max())
    found = hessian(objective, coordinates, statistics)
    expected = np.empty_like(found)
    for i, e in enumerate(1e-4 * np.eye(coordinates.size)):
        slopes = [objective.value_and_gradient(coordinates, v)[1] for v in (e, -e)]
        expected[i] = (slopes[0] - slopes[1]) / 2e-4
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    if unconstrained:
        density = PythonDensity(of, at)
        v = 0.2 * np.random.default_rng(5).normal(size=density.size)
        assert density.function()(v)[0] == pytest.approx(objective.value(density.parameters(v))[0], rel=1e-11)


def test_em_finds_the_optimum_that_scipy_finds():
    """Graded amplitudes: rate, baseline, step, rho and two variances at once, on the likelihood written out."""
    x, _ = droplets(400, 1.2, 4.0, graded=True)
    K = 6
    gamma, uniform = stats.gamma(2.0).logpdf, stats.beta(2, 2).logpdf
    baseline, half = stats.norm(0.0, 5.0).logpdf, stats.halfnorm().logpdf
    model = bg.GaussianMixture(
        K,
        weights=bg.PoissonWeights(bg.Gamma(2.0, 1.0)),
        means=bg.SaturatingMeans(bg.NormalMeans(0.0, 5.0), bg.Gamma(2.0, 0.5), bg.Beta(2.0, 2.0)),
        covariances=bg.LinearVariance(bg.HalfNormal(2.0), bg.HalfNormal(1.0)),
    )
    fit = bg.fit(model, x, engine=bg.EM(n_init=4, n_polish=1, threads=1), **QUIET)
    assert fit.attrs["status"] == "CONVERGED"

    def value(theta):
        rate, gap, sd_0, sd_a = np.exp(theta[[0, 2, 4, 5]])
        rho = 1 / (1 + np.exp(-theta[3]))
        means = theta[1] + gap * (1 - rho ** np.arange(K)) / (1 - rho)
        sds = np.sqrt(sd_0**2 + np.arange(K) * sd_a**2)
        logs = np.log(probabilities(rate, K, "lump"))
        squares = np.square((x[:, None] - means) / sds)
        out = logsumexp(logs - np.log(sds) - 0.5 * squares, axis=1).sum() - 0.5 * x.size * np.log(2 * np.pi)
        out += gamma(rate) + baseline(theta[1]) + gamma(gap / 2) - np.log(2)
        return out + uniform(rho) + half(sd_0 / 2) - np.log(2) + half(sd_a)

    start = np.array([0.0, 0.3, 1.2, 1.0, 0.1, -1.0])
    best = minimize(lambda t: -value(t), start, method="BFGS", options={"gtol": 1e-4})
    point = fit["point_estimate"]
    assert point.attrs["log_posterior"] == pytest.approx(-best.fun, abs=1e-3)
    assert point["rate"].item() == pytest.approx(np.exp(best.x[0]), rel=2e-3)
    means = point["means"].to_numpy()[:, 0]
    assert means[1] - means[0] == pytest.approx(np.exp(best.x[2]), rel=2e-3)
    assert (means[2] - means[1]) / (means[1] - means[0]) == pytest.approx(1 / (1 + np.exp(-best.x[3])), abs=5e-3)


def known(weights, K=2, gap=3.0):
    """Everything but the rate is known, so that posteriors are integrals over one number."""
    return bg.GaussianMixture(
        K, weights=weights, means=bg.FixedMeans(gap * np.arange(K)[:, None]), covariances=bg.FixedCovariances(1.0)
    )


def posterior_of_rate(x, K, exposure, gap=3.0):
    """Log evidence, mean and sd of the rate under Gamma(1, 0.1) by quadrature of the likelihood written out."""
    of_components = stats.norm(gap * np.arange(K), 1.0).pdf(x[:, None])

    def log_joint(L):
        w = np.array([probabilities(L * e, K, "lump") for e in np.unique(exposure)])
        w = w[np.searchsorted(np.unique(exposure), exposure)]
        return np.log((of_components * w).sum(axis=1)).sum() + stats.gamma(1.0, scale=10.0).logpdf(L)

    rates = np.exp(np.linspace(-5, 2.5, 400))
    logs = np.array([log_joint(L) for L in rates])
    mass = np.exp(logs - logs.max()) * rates
    total = integrate.simpson(mass, np.log(rates))
    mean, square = (integrate.simpson(mass * rates**p, np.log(rates)) / total for p in (1, 2))
    return np.log(total) + logs.max(), mean, np.sqrt(square - mean**2)


def setting(grouped):
    x, _ = droplets(60, 0.8, 3.0, seed=2)
    if not grouped:
        return bg.as_data(x), np.ones(60), known(bg.PoissonWeights())
    groups = np.arange(60) % 3
    data = bg.as_data(x, groups=np.array(["a", "b", "c"])[groups])
    return data, np.array(EXPOSURES)[groups], known(bg.PoissonWeights(exposures=EXPOSURES))


@pytest.mark.fit
@pytest.mark.parametrize("grouped", [False, True])
def test_laplace_and_nuts_have_the_posterior_of_the_rate(grouped):
    data, exposure, model = setting(grouped)
    evidence, mean, sd = posterior_of_rate(data.values[:, 0], 2, exposure)
    name = "shared_rate" if grouped else "rate"
    for engine in (bg.Laplace(n_init=1, draws=2000), bg.NUTS(draws=250, tune=100, chains=2, cores=1, n_init=1)):
        fit = bg.fit(model, data, engine=engine, **QUIET)
        draws = fit["posterior"][name].to_numpy()
        assert draws.shape == ((4, 500) if engine.name == "Laplace" else (2, 250))
        assert draws.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(100))
        assert draws.std() == pytest.approx(sd, rel=0.25)
    found = bg.log_evidence(model, data, estimator=bg.LaplaceEvidence(), **QUIET)
    sampled = found.sel(estimate="Laplace, importance sampling")
    assert sampled["value"].item() == pytest.approx(evidence, abs=4 * sampled["error"].item() + 1e-4)


@pytest.mark.fit
@pytest.mark.parametrize("grouped", [False, True])
def test_vb_is_exact_where_clusters_are_far_apart(grouped):
    rng = np.random.default_rng(3)
    k = rng.poisson(0.9, 80)
    x = 60.0 * np.minimum(k, 3) + rng.standard_normal(80)
    exposure = np.tile(EXPOSURES, 27)[:80] if grouped else np.ones(80)
    weights = bg.PoissonWeights(exposures=EXPOSURES) if grouped else bg.PoissonWeights()
    data = bg.as_data(x, groups=np.arange(80) % 3 if grouped else None)
    fit = bg.fit(known(weights, 4, 60.0), data, engine=bg.VB(n_init=1, n_polish=1, draws=2000), **QUIET)
    evidence, mean, sd = posterior_of_rate(x, 4, exposure, 60.0)
    assert fit["point_estimate"].attrs["elbo"] == pytest.approx(evidence, abs=1e-6)
    draws = fit["posterior"]["shared_rate" if grouped else "rate"].to_numpy()
    assert draws.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(2000))
    assert draws.std() == pytest.approx(sd, rel=0.1)
    # Draws are from the posterior itself, so that their importance weights are all alike.
    log_weight = fit["sample_stats"]["log_weight"].to_numpy()
    np.testing.assert_allclose(log_weight, evidence, atol=1e-4)


def test_a_result_holds_rates():
    x, k = droplets(900, 0.6, 8.0, seed=4)
    groups = np.arange(900) % 3
    means = bg.NormalMeans([[0.0], [8.0]], 1.0)

    def fitted(weights, by):
        model = bg.GaussianMixture(2, weights=weights, means=means, covariances=bg.Tied(bg.InverseWishart()))
        return bg.fit(model, bg.as_data(x, groups=by), engine=bg.Laplace(n_init=4, draws=200), **QUIET)

    one = fitted(bg.PoissonWeights(), None)
    assert one["posterior"]["rate"].dims == ("chain", "draw")
    assert one["point_estimate"]["rate"].item() == pytest.approx(-np.log((k == 0).mean()), rel=0.02)
    each = fitted(bg.PoissonWeights(), groups)
    assert each["posterior"]["rate"].dims == ("chain", "draw", "group")
    empty = [(k[groups == g] == 0).mean() for g in range(3)]
    np.testing.assert_allclose(each["point_estimate"]["rate"], -np.log(empty), rtol=0.02)
    shared = fitted(bg.PoissonWeights(exposures=[1.0, 2.0, 1.0]), groups)
    assert shared["posterior"]["shared_rate"].dims == ("chain", "draw")
    assert shared["point_estimate"]["weights"].dims == ("group", "component")
    rate = shared["point_estimate"]["shared_rate"].item()
    np.testing.assert_allclose(shared["point_estimate"]["rate"], rate * np.array([1.0, 2.0, 1.0]), rtol=1e-12)
    again = bg.simulate(shared, like=bg.as_data(x, groups=groups), random_seed=1)
    assert again.sizes["obs"] == 900
    assert bg.predict(shared, bg.as_data(x[:5], groups=groups[:5])).sizes["obs"] == 5
    locus = bg.GaussianMixture(
        3, weights=bg.HardyWeinberg(), means=bg.FixedMeans([[0.0], [8.0], [16.0]]), covariances=bg.FixedCovariances(1.0)
    )
    fit = bg.fit(locus, x, engine=bg.Laplace(n_init=2, draws=100), **QUIET)
    q = np.sqrt(fit["posterior"]["weights"].to_numpy()[..., 2])
    np.testing.assert_allclose(fit["posterior"]["allele_frequency"], q, rtol=1e-9)


def test_exposures_belong_to_groups():
    x, _ = droplets(30, 1.0, 4.0)
    model = known(bg.PoissonWeights(exposures=EXPOSURES))
    with pytest.raises(bg.InputError, match="weights: has numbers for 3 groups, but the data have no groups"):
        bg.fit(model, x, **QUIET)
    with pytest.raises(bg.InputError, match="weights: has numbers for 3 groups, but the data have 2"):
        bg.fit(model, bg.as_data(x, groups=np.arange(30) % 2), **QUIET)


@pytest.mark.parametrize("linked", [False, True])
def test_two_channels(linked):
    """Four clusters far apart: EM has the mode of the counted table."""
    rng, n = np.random.default_rng(6), 3000
    c = rng.poisson(0.3, n) if linked else np.zeros(n, dtype=int)
    a, b = rng.poisson(0.5, n) + c > 0, rng.poisson(0.8, n) + c > 0
    corners = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])
    label = a + 2 * b
    x = corners[label] + rng.standard_normal((n, 2))
    weights = bg.PoissonProductWeights(linked=bg.Gamma(1.5, 1.0) if linked else None)
    model = bg.GaussianMixture(4, weights=weights, means=bg.FixedMeans(corners), covariances=bg.FixedCovariances(1.0))
    fit = bg.fit(model, x, engine=bg.EM(n_init=2, threads=1), **QUIET)
    expected = np.exp(weights.mode(np.bincount(label, minlength=4).astype(float)))
    np.testing.assert_allclose(fit["point_estimate"]["weights"], expected, atol=1e-6)
    point = fit["point_estimate"]
    assert point["rate_a"].item() == pytest.approx(0.5, abs=0.06)
    if linked:
        assert point["rate_linked"].item() == pytest.approx(0.3, abs=0.05)
        # ln[N N00 / ((N00 + N10) (N00 + N01))], up to the prior.
        N = np.bincount(label, minlength=4)
        assert point["rate_linked"].item() == pytest.approx(
            np.log(n * N[0] / ((N[0] + N[1]) * (N[0] + N[2]))), abs=0.005
        )
