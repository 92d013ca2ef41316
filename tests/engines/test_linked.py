"""Evenly spaced means and a constant coefficient of variation: gradients, optima by scipy, draws."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._objective import Coordinates, Objective, log_prior, maximise
from bayesgmm.engines._python_density import PythonDensity
from tests.contract import (
    LINKED,
    derivative,
    filled,
    linked_parameters,
    log_likelihood_by_scipy,
    problem,
    small_data,
    weights_volume,
)
from tests.shared_data import table

NAMES = pytest.mark.parametrize("name", LINKED)
SIZES = pytest.mark.parametrize("K", [1, 2, 4])
BOTH = pytest.mark.parametrize("unconstrained", [False, True], ids=["parameters", "unconstrained"])
FLAT = bg.Flat()
QUIET = {"progressbar": False}


def setting(name, K, seed, n=40):
    d, factory = LINKED[name]
    rng = np.random.default_rng(seed)
    model = filled(factory(K), d)
    reference = linked_parameters(model, d, rng)
    counts = n * rng.dirichlet(np.full(K, 4.0))
    return (
        problem(
            model,
            1.0 + small_data(K, d, n, rng),
        ),
        reference,
        counts,
        rng,
    )


@BOTH
@SIZES
@NAMES
def test_gradient_equals_differences(name, K, unconstrained):
    of, reference, counts, rng = setting(name, K, 2)
    objective = Objective(of, unconstrained=unconstrained)
    coordinates = Coordinates(of.model, reference, counts)
    for u in (np.zeros(coordinates.size), 0.5 * rng.normal(size=coordinates.size)):
        value, gradient, at, statistics = objective.value_and_gradient(coordinates, u)
        assert statistics.log_normaliser == pytest.approx(log_likelihood_by_scipy(of.x, at), rel=1e-11)
        assert log_prior(of.model, at, unconstrained) == pytest.approx(value - statistics.log_normaliser, abs=1e-9)
        slope = derivative(lambda v: objective.value(coordinates.parameters(v))[0], u, 0.01)
        np.testing.assert_allclose(gradient, slope, rtol=1e-7, atol=1e-7 * max(1.0, np.abs(slope).max(initial=0.0)))
        np.testing.assert_allclose(coordinates.coordinates(at), u, atol=1e-9)


@NAMES
def test_coordinates_keep_to_the_model_however_far_they_go(name):
    of, reference, counts, rng = setting(name, 3, 3)
    coordinates = Coordinates(of.model, reference, counts)
    many = coordinates.parameters(3.0 * rng.normal(size=(200, coordinates.size)))
    at = coordinates.parameters(np.zeros(coordinates.size))
    np.testing.assert_allclose(at.means, reference.means, rtol=1e-12)
    np.testing.assert_allclose(at.choleskys, reference.choleskys, rtol=1e-12)
    if "spaced" in name or "quantal" in name:
        gaps = np.diff(many.means, axis=1)
        np.testing.assert_allclose(gaps, gaps[:, :1] * np.ones((1, 2, 1)), rtol=1e-7, atol=1e-9)
        assert np.all(gaps[..., 0] > 0)
    if "saturating" in name or name == "molecules":
        gaps = np.diff(many.means[..., 0], axis=1)
        assert np.all(gaps[:, 0] > 0)
        ratio = gaps[:, 1] / gaps[:, 0]
        known = {"saturating-known": 0.6, "molecules": 1.0}
        if name in known:
            np.testing.assert_allclose(ratio, known[name], rtol=1e-9)
        else:
            assert np.all((ratio > 0) & (ratio < 1))
    if name in ("one-line", "molecules"):
        steps = np.diff(np.square(many.choleskys[..., 0, 0]), axis=1)
        np.testing.assert_allclose(steps[:, 0], steps[:, 1], rtol=1e-6)
        assert np.all(steps > 0)
    if name == "molecules":
        rates = -many.log_weights[:, 0]
        np.testing.assert_allclose(many.log_weights[:, 1] - many.log_weights[:, 0], np.log(rates), atol=1e-9)
    if "quantal" in name:
        np.testing.assert_allclose(many.means[:, 0, 0] - of.model.means.origin[0], gaps[:, 0, 0], rtol=1e-7)
    if "cv" in name:
        distances = many.means - of.model.covariances.origin
        assert np.all(distances > 0)
        cvs = many.choleskys[..., 0] / distances
        np.testing.assert_allclose(cvs, cvs[:, :1] * np.ones((1, 3, 1)), rtol=1e-9)


@NAMES
def test_jacobian_is_that_of_the_logs(name):
    of, at, _, _ = setting(name, 3, 4)
    model = of.model
    found = log_prior(model, at, True) - log_prior(model, at, False)
    found -= weights_volume(model.weights, at.log_weights)
    expected = 0.0
    if "spaced" in name or "quantal" in name:
        low = model.covariances.origin if "cv" in name else -np.inf
        first, spacing = at.means[0, 0], at.means[1, 0] - at.means[0, 0]
        start = model.means.origin[0]
        if "quantal" in name:
            expected += np.log(spacing - max(0.0, low - start))
        else:
            expected += np.log(spacing) + (np.log(first - low) if "cv" in name else 0.0)
    elif "saturating" in name or name == "molecules":
        gaps = np.diff(at.means[:, 0])
        low = model.covariances.origin if "cv" in name else None
        expected += np.log(gaps[0]) + (0.0 if low is None else np.log(at.means[0, 0] - low))
        if name in ("saturating", "saturating-cv"):
            rho = gaps[1] / gaps[0]
            expected += np.log(rho) + np.log1p(-rho)
    elif name != "one-line" and model.means.free:
        expected += np.log(at.means - model.covariances.origin).sum()
    if "cv" in name:
        expected += np.log(at.choleskys[0, 0, 0] / (at.means[0, 0] - model.covariances.origin))
    elif name in ("one-line", "molecules"):
        variances = at.choleskys[:, 0, 0] ** 2
        expected += 0.5 * (np.log(variances[0]) + np.log(variances[1] - variances[0]))
    else:
        expected += model.covariances.log_jacobian(at.choleskys, at.choleskys)[0]
    assert found == pytest.approx(expected, rel=1e-10)


@NAMES
def test_hessian_equals_differences_of_gradients(name):
    of, at, _, _ = setting(name, 3, 5)
    objective = Objective(of, unconstrained=True)
    statistics = objective.value(at)[1]
    coordinates = Coordinates(of.model, at, statistics.counts)
    found = hessian(objective, coordinates, statistics)
    expected = np.empty_like(found)
    for i in range(coordinates.size):
        e = 1e-4 * np.eye(coordinates.size)[i]
        slopes = [objective.value_and_gradient(coordinates, u)[1] for u in (e, -e, 2 * e, -2 * e)]
        expected[i] = (8 * (slopes[0] - slopes[1]) - (slopes[2] - slopes[3])) / 12e-4
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, np.abs(expected).max(initial=0.0)))


@NAMES
def test_density_of_nuts_equals_the_objective(name):
    of, at, _, rng = setting(name, 3, 6)
    density = PythonDensity(of, at)
    function, objective = density.function(), Objective(of, unconstrained=True)
    v = 0.3 * rng.normal(size=density.size)
    value, gradient = function(v)
    point = density.parameters(v)
    assert value + density.constant == pytest.approx(objective.value(point)[0], rel=1e-12)
    np.testing.assert_allclose(gradient, derivative(lambda w: function(w)[0], v, 0.01), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(density.coordinates_of(point), v, atol=1e-8)


@pytest.mark.parametrize("name", ["spaced", "quantal", "quantal-flat", "spaced-tied"])
@SIZES
def test_maximise_never_lowers_the_objective(name, K):
    of, at, _, _ = setting(name, K, 7, n=120)
    objective = Objective(of, unconstrained=False)
    value, statistics = objective.value(at)
    for _ in range(10):
        at = maximise(of.model, at, statistics)
        before, (value, statistics) = value, objective.value(at)
        assert value >= before - 1e-9 * abs(before)
        assert np.all(np.diff(at.means[:, 0]) > 0)


def at_the_end(fit):
    point = fit["point_estimate"]
    return point["weights"].to_numpy(), point["means"].to_numpy()[:, 0], point["covariances"].to_numpy()[:, 0, 0] ** 0.5


def log_likelihood(y, log_weights, means, sds):
    terms = log_weights[:, None] + stats.norm(means[:, None], sds[:, None]).logpdf(y)
    return logsumexp(terms, axis=0).sum()


def best_of_scipy(y, unpack, starts):
    """The highest likelihood by Nelder and Mead's simplex and BFGS, which share nothing with the package."""

    def negative(theta):
        with np.errstate(all="ignore"):
            value = -log_likelihood(y, *unpack(theta))
        return value if np.isfinite(value) else 1e10

    ends = []
    for start in starts:
        end = minimize(negative, start, method="Nelder-Mead", options={"maxiter": 4000, "maxfev": 4000})
        ends.append(minimize(negative, end.x, method="BFGS"))
    end = min(ends, key=lambda end: end.fun)
    return -end.fun, unpack(end.x)


def log_simplex(theta):
    logits = np.append(theta, 0.0)
    return logits - logsumexp(logits)


@pytest.mark.fit
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("through_zero", [False, True])
def test_spaced_means_of_synaptic_currents_by_scipy(K, through_zero):
    y = table("paulsen")["y"].to_numpy()
    model = bg.GaussianMixture(
        K, weights=FLAT, means=bg.EvenlySpacedMeans(FLAT, through_zero=through_zero), covariances=bg.Tied(FLAT)
    )
    fit = bg.fit(model, y, engine=bg.EM(), random_seed=1, **QUIET)
    assert fit.attrs["status"] == "CONVERGED"
    k = np.arange(K)

    def unpack(theta):
        first, rest = (theta[0], theta[1:]) if not through_zero else (np.exp(theta[0]), theta)
        means = first + k * np.exp(rest[0])
        return log_simplex(rest[2:]), means, np.full(K, np.exp(rest[1]))

    starts = []
    for spacing in (3.0, 6.0, 9.0):
        begin = [np.log(spacing), np.log(2.0), *np.linspace(1.0, 0.3, K - 1)]
        starts += [begin] if through_zero else [[4.0, *begin], [10.0, *begin]]
    value, (log_weights, means, sds) = best_of_scipy(y, unpack, starts)
    found = at_the_end(fit)
    assert log_likelihood(y, np.log(found[0]), *found[1:]) == pytest.approx(value, abs=1e-3)
    np.testing.assert_allclose(found[1], means, rtol=2e-3)
    np.testing.assert_allclose(found[2], sds, rtol=5e-3)
    np.testing.assert_allclose(found[0], np.exp(log_weights), atol=3e-3)
    again = bg.GaussianMixture.from_json(fit.attrs["model"])
    assert again.means.through_zero is through_zero
    assert again.n_parameters(1) == K - 1 + (1 if through_zero else 2) + 1


def cohorts(n=600, cv=0.12):
    rng = np.random.default_rng(0)
    means = np.array([10.0, 17.0, 26.0])[rng.choice(3, n, p=[0.5, 0.3, 0.2])]
    return means * (1 + cv * rng.normal(size=n))


def test_constant_cv_by_scipy():
    y, K = cohorts(), 3
    model = bg.GaussianMixture(K, weights=FLAT, means=FLAT, covariances=bg.ConstantCV(FLAT))
    fit = bg.fit(model, y, engine=bg.EM(), random_seed=1, **QUIET)
    assert fit.attrs["status"] == "CONVERGED"

    def unpack(theta):
        means = np.exp(theta[:K])
        return log_simplex(theta[K + 1 :]), means, np.exp(theta[K]) * means

    value, (log_weights, means, sds) = best_of_scipy(y, unpack, [np.log([9.0, 18.0, 30.0, 0.2, 1.5, 1.5])])
    found = at_the_end(fit)
    assert log_likelihood(y, np.log(found[0]), *found[1:]) == pytest.approx(value, abs=1e-3)
    np.testing.assert_allclose(found[1], means, rtol=1e-3)
    np.testing.assert_allclose(found[2] / found[1], sds / means, rtol=2e-3)
    np.testing.assert_allclose(found[0], np.exp(log_weights), atol=2e-3)
    assert bg.GaussianMixture.from_json(fit.attrs["model"]).n_parameters(1) == 2 + 3 + 1


def test_fit_does_not_depend_on_units():
    y = cohorts(300)
    for means, origins in ((None, (0.0, 0.0)), (bg.EvenlySpacedMeans(FLAT), (1.0, 3e3))):
        fits = []
        for unit, origin in ((1.0, origins[0]), (3e3, origins[1])):
            model = bg.GaussianMixture(3, means=means, covariances=bg.ConstantCV(origin=origin))
            fits.append(at_the_end(bg.fit(model, unit * y, engine=bg.EM(), random_seed=2, **QUIET)))
        np.testing.assert_allclose(fits[1][0], fits[0][0], rtol=1e-5)
        np.testing.assert_allclose(fits[1][1], 3e3 * fits[0][1], rtol=1e-5)
        np.testing.assert_allclose(fits[1][2], 3e3 * fits[0][2], rtol=1e-4)


def draws_of(fit):
    posterior = fit["posterior"]
    means = posterior["means"].to_numpy()[..., 0].reshape(-1, posterior.sizes["component"])
    return means, posterior["sds"].to_numpy()[..., 0].reshape(means.shape)


def check_truth(draws, truth, mode):
    mean, sd = draws.mean(axis=0), draws.std(axis=0)
    assert np.all(np.abs(mean - truth) < 4 * sd)
    assert np.all(np.abs(mean - mode) < sd)


SHORT = bg.NUTS(draws=800, tune=200, chains=4, n_init=6)


@pytest.mark.fit
def test_nuts_with_a_constant_cv():
    y = cohorts(400)
    model = bg.GaussianMixture(3, covariances=bg.ConstantCV())
    fit = bg.fit(model, y, engine=SHORT, random_seed=3, **QUIET)
    assert fit.attrs["status"] == "SAMPLED"
    assert fit.attrs["sampler"] == "native"
    assert "in Python" in fit.attrs["sampler_reason"]
    assert int(fit["sample_stats"]["diverging"].sum()) == 0
    means, sds = draws_of(fit)
    cvs = sds / means
    np.testing.assert_allclose(cvs, cvs[:, :1] * np.ones(3), rtol=1e-8)
    _, modes, mode_sds = at_the_end(bg.fit(model, y, engine=bg.EM(), random_seed=3, **QUIET))
    check_truth(means, [10.0, 17.0, 26.0], modes)
    check_truth(cvs[:, :1], 0.12, mode_sds[0] / modes[0])


@pytest.mark.fit
def test_nuts_with_spaced_means():
    rng = np.random.default_rng(4)
    y = np.array([2.0, 5.0, 8.0])[rng.choice(3, 300, p=[0.5, 0.3, 0.2])] + 0.6 * rng.normal(size=300)
    model = bg.GaussianMixture(3, means=bg.EvenlySpacedMeans(), covariances=bg.Tied(bg.InverseWishart()))
    fit = bg.fit(model, y, engine=SHORT, random_seed=3, **QUIET)
    assert fit.attrs["status"] == "SAMPLED"
    means, _ = draws_of(fit)
    np.testing.assert_allclose(means[:, 2] - means[:, 1], means[:, 1] - means[:, 0], rtol=1e-8)
    modes = at_the_end(bg.fit(model, y, engine=bg.EM(), random_seed=3, **QUIET))[1]
    check_truth(means, [2.0, 5.0, 8.0], modes)


@pytest.mark.fit
def test_nuts_has_the_exact_posterior_of_one_quantum():
    # One component, known variance: the spacing is Normal, cut off at 0 where there is next to no mass.
    rng = np.random.default_rng(5)
    y = rng.normal(3.0, 1.0, size=25)
    model = bg.GaussianMixture(
        1,
        means=bg.EvenlySpacedMeans(bg.NormalMeans(mu=1.0, sigma=2.0), through_zero=True),
        covariances=bg.FixedCovariances(1.0),
    )
    fit = bg.fit(model, y, engine=bg.NUTS(draws=1000, chains=2, n_init=1), random_seed=1, **QUIET)
    means, _ = draws_of(fit)
    precision = 25 + 0.25
    assert means.mean() == pytest.approx((y.sum() + 0.25) / precision, abs=4 / np.sqrt(precision * 500))
    assert means.std() == pytest.approx(1 / np.sqrt(precision), rel=0.1)


def test_other_engines_say_what_works_instead():
    y = cohorts(50)
    spaced = bg.GaussianMixture(2, means=bg.EvenlySpacedMeans())
    one_cv = bg.GaussianMixture(2, covariances=bg.ConstantCV())
    for model, part in ((spaced, "spacing"), (one_cv, "ConstantCV")):
        with pytest.raises(bg.UnsupportedError, match=rf"{part}.*EM"):
            bg.fit(model, y, engine=bg.VB(), **QUIET)
        with pytest.raises(bg.UnsupportedError, match=r"NUTS\(sampler='native'\)"):
            bg.to_pymc(model, y)
