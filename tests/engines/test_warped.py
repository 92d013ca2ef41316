"""Fits of warped Normals: gradients, coordinates, engines, evidence by quadrature, units."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._normal import log_priors
from bayesgmm.engines._objective import Coordinates, Objective, log_prior
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
from tests.contract import derivative, log_likelihood_by_scipy
from tests.model.test_warped import OWN, PRIOR, SHAPES, model_of, point

EVERY = pytest.mark.parametrize("shape", SHAPES)
BOTH = pytest.mark.parametrize("unconstrained", [False, True], ids=["parameters", "unconstrained"])
QUIET = {"random_seed": 1, "progressbar": False}
N = 40
X = np.random.default_rng(0).gamma(3.0, 0.4, N)
DATA = {
    "exact": bg.as_data(X),
    "errors": bg.as_data(X, noise=np.linspace(0.05, 0.6, N)[:, None]),
    "unknown factor": bg.as_data(X, noise=np.full((N, 1), 0.3), noise_scale=bg.ScaledInverseChi(8.0, 1.0)),
}
ROWS = pytest.mark.parametrize("rows", DATA)


def setting(shape, rows, seed=1):
    """Problem, a point that is not its mode, and the generator."""
    problem = build_problem(bg.warped_normal(**PRIOR, **SHAPES[shape]), DATA[rows], n_threads=1)
    rng = np.random.default_rng(seed)
    at = point(problem.model, [0.1, -0.3, *OWN[shape]])
    free = problem.noise is not None and problem.noise.prior is not None
    at = Parameters(**{**vars(at), "log_noise": 0.2 if free else 0.0})
    counts = N * rng.dirichlet(np.full(problem.K, 5.0))
    return problem, Coordinates(problem.model, at, counts, problem.noise), at, rng


@pytest.mark.fit
@BOTH
@ROWS
@EVERY
def test_gradient_equals_differences(shape, rows, unconstrained):
    problem, coordinates, _, rng = setting(shape, rows)
    objective = Objective(problem, unconstrained=unconstrained)
    assert coordinates.size == 2 + len(OWN[shape]) + (rows == "unknown factor")
    for u in (np.zeros(coordinates.size), rng.normal(size=coordinates.size)):
        value, gradient, at, statistics = objective.value_and_gradient(coordinates, u)
        assert log_prior(problem.model, at, unconstrained) + (
            0.0 if problem.noise is None else problem.noise.log_prior(at.log_noise, unconstrained=unconstrained)[0]
        ) == pytest.approx(value - statistics.log_normaliser, abs=1e-9)
        slope = derivative(lambda v: objective.value(coordinates.parameters(v))[0], u, 0.005)
        np.testing.assert_allclose(gradient, slope, rtol=1e-7, atol=1e-7 * max(1.0, np.abs(slope).max()))
        np.testing.assert_allclose(coordinates.coordinates(at), u, atol=1e-8)


@ROWS
@EVERY
def test_hessian_equals_differences_of_gradients(shape, rows):
    problem, _, at, _ = setting(shape, rows)
    objective = Objective(problem, unconstrained=True)
    statistics = objective.value(at)[1]
    coordinates = Coordinates(problem.model, at, statistics.counts, problem.noise)
    found = hessian(objective, coordinates, statistics)
    expected = np.empty_like(found)
    for i, unit in enumerate(1e-4 * np.eye(coordinates.size)):
        slopes = [objective.value_and_gradient(coordinates, u)[1] for u in (unit, -unit, 2 * unit, -2 * unit)]
        expected[i] = (8 * (slopes[0] - slopes[1]) - (slopes[2] - slopes[3])) / 12e-4
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


@EVERY
def test_likelihood_equals_scipy(shape):
    problem, _, at, _ = setting(shape, "exact")
    assert problem.statistics(at).log_normaliser == pytest.approx(log_likelihood_by_scipy(problem.x, at), rel=1e-11)


@ROWS
@EVERY
def test_many_points_at_once(shape, rows):
    problem, coordinates, _, rng = setting(shape, rows)
    u = 0.7 * rng.normal(size=(6, coordinates.size))
    points = coordinates.parameters(u)
    np.testing.assert_allclose(coordinates.coordinates(points), u, atol=1e-8)
    points = Parameters(**{**vars(points), "log_weights": np.broadcast_to(points.log_weights, (6, problem.K))})
    singles = [coordinates.parameters(each) for each in u]
    np.testing.assert_allclose(points.choleskys, [each.choleskys for each in singles], rtol=1e-10)
    objective = Objective(problem, unconstrained=True)
    values = [objective.value(each)[0] for each in singles]
    many = log_priors(problem, points) + problem.likelihoods(points)[0]
    np.testing.assert_allclose(many, values, rtol=1e-10)


def test_coordinates_far_out_keep_means_in_order():
    _, coordinates, _, rng = setting("both", "exact")
    many = coordinates.parameters(3.0 * rng.normal(size=(200, coordinates.size)))
    assert np.all(np.diff(many.means[..., 0], axis=1) > 0)
    assert np.all(many.choleskys > 0)


# Fits ----------------------------------------------------------------------------------------------------------------

ENGINES = {
    "default": None,
    "em": bg.EM(threads=1),
    "laplace": bg.Laplace(threads=1, draws=400),
    "nuts": bg.NUTS(draws=50, tune=200, chains=2, cores=1, n_init=2, n_polish=1),
}


def true_rows(n, seed=7):
    """Shifted log-normal with skew 0.4, median 2 and scale 3."""
    return 2.0 + 3.0 * np.expm1(0.4 * np.random.default_rng(seed).normal(size=n)) / 0.4


def own_of(fit):
    means = bg.GaussianMixture.from_json(fit.attrs["model"]).filled(np.zeros(1), np.eye(1)).means
    return means.own(fit["point_estimate"]["means"].to_numpy())


@pytest.mark.parametrize("engine", ENGINES)
def test_fits_recover_the_shape(engine):
    x = true_rows(300)
    fit = bg.fit(bg.warped_normal(), x, engine=ENGINES[engine], **QUIET)
    assert fit["point_estimate"].sizes["component"] == 15
    loc, log_scale, skew = own_of(fit)
    assert loc == pytest.approx(2.0, abs=0.8)
    assert np.exp(log_scale) == pytest.approx(3.0, rel=0.2)
    assert skew == pytest.approx(0.4, abs=0.2)
    if engine == "nuts":
        assert fit.attrs["sampler"] == "native"
        assert "in Python" in fit.attrs["sampler_reason"]
        draws = fit["posterior"]["means"].to_numpy()[..., 0]
        assert draws.shape == (2, 50, 15)
        assert np.all(np.diff(draws, axis=-1) > 0)


def test_fits_behind_errors_recover_the_shape():
    rng = np.random.default_rng(8)
    errors = rng.uniform(0.2, 2.0, 400)
    x = true_rows(400) + errors * rng.normal(size=400)
    fit = bg.fit(bg.warped_normal(), bg.as_data(x, noise=errors[:, None]), engine=bg.EM(threads=1), **QUIET)
    loc, log_scale, skew = own_of(fit)
    assert loc == pytest.approx(2.0, abs=0.8)
    assert np.exp(log_scale) == pytest.approx(3.0, rel=0.2)
    assert skew == pytest.approx(0.4, abs=0.25)


def test_em_finds_the_mode_of_scipy():
    from scipy.optimize import minimize

    x = true_rows(60)
    problem = build_problem(bg.warped_normal(), bg.as_data(x), n_threads=1)
    objective = Objective(problem, unconstrained=False)
    found = minimize(lambda own: -objective.value(point(problem.model, own))[0], [0.0, 0.0, 0.1], method="Nelder-Mead")
    found = minimize(
        lambda own: -objective.value(point(problem.model, own))[0],
        found.x,
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10},
    )
    fit = bg.fit(bg.warped_normal(), x, engine=bg.EM(threads=1), **QUIET)
    loc, log_scale, skew = own_of(fit)
    wanted = found.x[0] * problem.units.scale[0] + problem.units.center[0]
    assert loc == pytest.approx(wanted, abs=1e-3)
    assert log_scale == pytest.approx(found.x[1] + np.log(problem.units.scale[0]), abs=1e-4)
    assert skew == pytest.approx(found.x[2], abs=1e-4)


@pytest.mark.parametrize("factor", [1.0, 0.01])
def test_shift_and_scale_change_nothing_but_units(factor):
    x = true_rows(80)
    fits = [bg.fit(bg.warped_normal(tails=0.5), each, **QUIET) for each in (x, 1000.0 * factor + factor * x)]
    one, other = (fit["point_estimate"] for fit in fits)
    sd = factor * x.std()
    np.testing.assert_allclose(other["means"], 1000.0 * factor + factor * one["means"], atol=1e-4 * sd)
    np.testing.assert_allclose(other["covariances"], factor**2 * one["covariances"], rtol=1e-3)


def test_what_follows_a_fit():
    x = true_rows(300)
    fit = bg.fit(bg.warped_normal(), x, **QUIET)
    found = bg.predict(fit, x[:20])
    assert found["log_density"].sizes["obs"] == 20
    z = np.log1p(0.4 * (x[:20] - 2.0) / 3.0) / 0.4
    true = stats.norm.logpdf(z) - np.log(3.0) - 0.4 * z
    np.testing.assert_allclose(found["log_density"], true, atol=0.6)
    summary = bg.summary(fit)
    assert summary["members"].sum() == 300
    assert summary["weight"].sum() == pytest.approx(1.0)
    rows = bg.simulate(fit, n_obs=4000, random_seed=2)["x"].to_numpy().ravel()
    assert stats.skew(rows) == pytest.approx(stats.skew(x), abs=0.5)
    assert np.median(rows) == pytest.approx(2.0, abs=0.6)


@pytest.mark.parametrize("engine", ["default", "em", "laplace"])
def test_fewer_rows_than_nodes(engine):
    """The nodes are not estimated one by one, so that there may be fewer rows."""
    x = true_rows(8)
    fit = bg.fit(bg.warped_normal(), x, engine=ENGINES[engine], **QUIET)
    loc, log_scale, _ = own_of(fit)
    assert x.min() < loc < x.max()
    assert 0.3 < np.exp(log_scale) / x.std() < 2.0
    with pytest.raises(bg.InputError, match="got 15 for 8 rows"):
        bg.fit(bg.GaussianMixture(15), x, **QUIET)


def test_far_proposals_do_not_overflow():
    means = model_of("both").means._means(np.array([[0.0, 0.0, 500.0, 0.0], [0.0, 300.0, 0.0, 8.0]]), 15)
    assert np.isfinite(means).all()


def test_pymc_says_what_to_use():
    with pytest.raises(bg.UnsupportedError, match="native"):
        bg.to_pymc(bg.warped_normal(), X)


# Evidence ------------------------------------------------------------------------------------------------------------


def by_quadrature(x, errors):
    """Over loc, log scale and skew with the prior of `PRIOR`, skew ~ Normal(0, 0.5)."""
    axes = np.linspace(-1.5, 6.0, 41), np.linspace(-1.5, 2.5, 41), np.linspace(-2.0, 2.0, 41)
    own = np.stack([each.ravel() for each in np.meshgrid(*axes, indexing="ij")], axis=1)
    model = model_of("skew")
    means = model.means._means(own, 15)
    widths = model.covariances.carried(np.ones((15, 1, 1)), means, means)[..., 0, 0]
    value = stats.norm(0.4, 2.0).logpdf(own[:, 0]) + stats.norm(0.1, 0.6).logpdf(own[:, 1])
    value += stats.norm(0.0, 0.5).logpdf(own[:, 2])
    log_weights = np.log(model.weights.values)
    for each, error in zip(x, errors, strict=True):
        variance = widths**2 + error**2
        terms = log_weights - 0.5 * ((each - means[..., 0]) ** 2 / variance + np.log(2 * np.pi * variance))
        value += np.logaddexp.reduce(terms, axis=1)
    edge = np.abs(own - [2.25, 0.5, 0.0]) > [3.7, 1.9, 1.9]
    assert logsumexp(value[edge.any(axis=1)]) < logsumexp(value) - 6
    return logsumexp(value) + sum(np.log(axis[1] - axis[0]) for axis in axes)


@pytest.mark.fit
@pytest.mark.parametrize("error", [0.0, 0.8])
def test_evidence_equals_quadrature(error):
    rng = np.random.default_rng(9)
    x = true_rows(30, seed=9) / 2.0 + error * rng.normal(size=30)
    data = bg.as_data(x) if error == 0 else bg.as_data(x, noise=np.full((30, 1), error))
    model = bg.warped_normal(**PRIOR, skew=0.5)
    found = bg.log_evidence(model, data, estimator=bg.LaplaceEvidence(draws=2000), **QUIET)
    sampled = found.sel(estimate="Laplace, importance sampling")
    assert sampled["reliable"]
    assert 0 < sampled["error"] < 0.05
    exact = by_quadrature(x, np.full(30, error))
    assert sampled["value"].item() == pytest.approx(exact, abs=4 * sampled["error"].item() + 5e-3)
    assert found["value"].sel(estimate="Laplace").item() == pytest.approx(exact, abs=0.5)
