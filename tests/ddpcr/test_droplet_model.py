"""The declared model of a well and the density that wells are fitted with: one and the same, with right gradients."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

import bayesgmm as bg
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.ddpcr._droplet_clusters import DropletMeans, DropletVariances
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._droplet_weights import DropletWeights
from bayesgmm.ddpcr._fit_well import density_of
from bayesgmm.ddpcr._graded_model import GradedBeliefs
from bayesgmm.ddpcr._shape import Shape, learn, middle_and_spread, skewed
from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._normal import log_priors
from bayesgmm.engines._objective import Objective, log_prior
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.model import GaussianMixture

BELIEFS = Beliefs(
    shape=Shape(shares=(0.1, 0.6, 0.3), means=(-1.0, -0.2, 1.1), widths=(0.4, 0.6, 0.9)),
    baseline=(3000.0, 100.0),
    log_spread=(np.log(200.0), 0.3),
    log_gap=(np.log(1500.0), 0.4),
    log_positive_sd=(np.log(260.0), 0.3),
)
GRADED = replace(GradedBeliefs.of(BELIEFS, 0.5), probit_rho=(0.3, 0.7), molecules=4)
CENTRES, COUNTS = np.linspace(2200.0, 6000.0, 300), np.arange(300.0) % 17 + 1


@pytest.fixture(params=[BELIEFS, GRADED], ids=["saturated", "graded"])
def beliefs(request: pytest.FixtureRequest) -> Beliefs:
    return request.param


@pytest.fixture
def problem(beliefs: Beliefs) -> Problem:
    data = bg.as_data(CENTRES[:, None], counts=COUNTS.astype(int))
    return build_problem(beliefs.model(), data, n_threads=1)


def prior_points(problem: Problem, n: int) -> Iterator[Parameters]:
    model, K = problem.model, problem.K
    rng = np.random.default_rng(0)
    for _ in range(n):
        means = model.means.draw(rng, np.ones((1, K, 1, 1)))[0]
        yield Parameters(
            log_weights=np.log(model.weights.draw(rng, 1, K)[0]),
            means=means,
            choleskys=np.sqrt(model.covariances.given(means).draw(rng, 1, K, 1)[0]),
        )


@pytest.mark.parametrize("unconstrained", [False, True])
def test_gradients_of_the_declaration_are_those_of_differences(problem: Problem, unconstrained: bool) -> None:
    objective = Objective(problem, unconstrained=unconstrained)
    rng = np.random.default_rng(1)
    for at in prior_points(problem, 3):
        coordinates = objective.coordinates(at, np.exp(at.log_weights) * COUNTS.sum())
        u = 0.3 * rng.standard_normal(coordinates.size)
        value, gradient, point, _ = objective.value_and_gradient(coordinates, u)
        ends = [
            [objective.value_and_gradient(coordinates, u + s * e)[0] for s in (1e-5, -1e-5)] for e in np.eye(u.size)
        ]
        np.testing.assert_allclose(gradient, np.diff(ends)[:, 0] / -2e-5, atol=1e-6 * np.abs(gradient).max())
        np.testing.assert_allclose(coordinates.coordinates(point), u, atol=1e-10)
        assert value == pytest.approx(objective.value(point)[0], abs=1e-8)


def test_the_exact_hessian_works_with_it(problem: Problem) -> None:
    objective = Objective(problem, unconstrained=True)
    at = next(prior_points(problem, 1))
    coordinates = objective.coordinates(at, np.exp(at.log_weights) * COUNTS.sum())
    u = np.zeros(coordinates.size)
    statistics = objective.value_and_gradient(coordinates, u)[3]
    differences = [
        (
            objective.value_and_gradient(coordinates, 1e-4 * e)[1]
            - objective.value_and_gradient(coordinates, -1e-4 * e)[1]
        )
        / 2e-4
        for e in np.eye(u.size)
    ]
    exact = hessian(objective, coordinates, statistics)
    np.testing.assert_allclose(exact, differences, atol=1e-5 * np.abs(exact).max())


def test_priors_of_many_points_are_those_of_single_ones(problem: Problem) -> None:
    points = Parameters.stacked(list(prior_points(problem, 5)))
    single = [log_prior(problem.model, points.taken(i), True) for i in range(5)]
    # Sds of one point go along with the means of many.
    carried = problem.model.covariances.carried(points.choleskys[0], points.means[0], points.means)
    assert carried.shape == points.choleskys.shape
    np.testing.assert_allclose(carried[0], points.choleskys[0])
    np.testing.assert_allclose(log_priors(problem, points), single, atol=1e-9)


def test_wells_are_fitted_with_the_density_of_the_declaration(problem: Problem, beliefs: Beliefs) -> None:
    density, objective = density_of(CENTRES, COUNTS, beliefs), Objective(problem, unconstrained=True)
    rng = np.random.default_rng(2)
    apart = []
    for _ in range(5):
        own = density.prior[:, 0] + density.prior[:, 1] * rng.standard_normal(density.size)
        own[0] = rng.normal(-1.0, 1.0)
        value, gradient = density.value_and_gradient(own)
        h = 1e-5 * density.scales(own)
        ends = [density.value_and_gradient(own + s * step)[0] for step in np.diag(h) for s in (1, -1)]
        differences = (np.array(ends[::2]) - ends[1::2]) / (2 * h)
        np.testing.assert_allclose(gradient * h, differences * h, atol=1e-6 * np.abs(gradient * h).max())
        assert density.values(own[None])[0] == pytest.approx(value, abs=1e-8)
        point = density.point(own)
        np.testing.assert_allclose(density.own(point.log_weights, point.means, point.choleskys), own, atol=1e-6)
        apart.append(objective.value(problem.units.to_standard(point))[0] - value)
    np.testing.assert_allclose(apart, apart[0], atol=1e-7)  # a constant of the units


@pytest.mark.parametrize("rate", [1e-7, 1e-3, 0.5, 5.0, 30.0])
def test_lambda_keeps_its_digits(rate: float) -> None:
    weights = BELIEFS.model().weights
    assert isinstance(weights, DropletWeights)
    own = np.array([np.log(rate), 0.3, -0.2, 1.5, -3.0, -7.0, -6.0])
    log_weights = weights.at(own, 11)
    np.testing.assert_allclose(weights.own(log_weights), own, rtol=1e-7, atol=1e-7)
    assert np.exp(log_weights).sum() == pytest.approx(1.0, abs=1e-12)
    negative = np.exp(log_weights[[0, 1, 2, -2]]).sum()  # low droplets have no target
    assert negative / (1.0 - np.exp(log_weights[-1])) == pytest.approx(np.exp(-rate), rel=1e-9)


def test_it_prints_goes_to_json_and_simulates(beliefs: Beliefs) -> None:
    model = beliefs.model()
    assert GaussianMixture.from_json(model.to_json()) == model
    assert "lambda" in str(model)
    drawn = bg.simulate(model, 500, n_features=1, random_seed=1)
    assert drawn.sizes["component"] == 10 + beliefs.n_positive


def test_shape_is_learned_from_droplets() -> None:
    rng = np.random.default_rng(4)
    x = rng.lognormal(0.0, 0.25, 30_000)
    middle, spread = middle_and_spread(x)
    shape = learn((x - middle) / spread)
    z = (x - middle) / spread
    assert shape.mean == pytest.approx(z.mean(), abs=0.03)
    assert shape.sd == pytest.approx(z.std(), rel=0.03)
    assert shape.skewness == pytest.approx(((z - z.mean()) ** 3).mean() / z.std() ** 3, abs=0.15)
    tail = np.dot(shape.shares, norm.sf(3.0, shape.means, shape.widths))
    assert tail == pytest.approx((z > 3.0).mean(), rel=0.3)
    assert skewed(0.8).skewness == pytest.approx(0.8, abs=0.1)


@pytest.mark.fit
def test_few_molecules_in_controls_are_not_learned_as_negatives() -> None:
    rng = np.random.default_rng(5)
    z = np.concatenate([rng.standard_normal(30_000), rng.normal(7.0, 0.5, 40)])
    shape = learn(z)
    assert np.dot(shape.shares, norm.sf(5.0, shape.means, shape.widths)) < 1e-4


def test_parts_say_what_is_wrong() -> None:
    with pytest.raises(InputError, match="shape"):
        DropletMeans(shape=(1.0, 0.0), baseline=(0.0, 1.0), log_spread=(0.0, 1.0), log_gap=(1.0, 1.0))
    with pytest.raises(InputError, match="widths"):
        DropletVariances(shape=(0.0, 1.0), widths=(1.0,), log_positive_sd=(0.0, 1.0))
    model = BELIEFS.model()
    with pytest.raises(UnsupportedError, match="DropletMeans"):
        bg.fit(GaussianMixture(11, weights=model.weights, covariances=model.covariances), CENTRES[:, None])
    with pytest.raises(InputError, match="n_components"):
        bg.fit(
            GaussianMixture(5, weights=model.weights, means=model.means, covariances=model.covariances),
            CENTRES[:, None],
            engine=bg.EM(n_init=1),
        )
