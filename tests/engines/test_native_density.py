"""The compiled density of NUTS against the objective of the other engines, for every proper declaration."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._native_density import NativeDensity
from bayesgmm.engines._objective import Objective
from tests.contract import FACTORIES, IDS, filled, problem, random_parameters, small_data


@pytest.mark.parametrize(("K", "d"), [(1, 3), (2, 1), (3, 2)])
@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_equals_the_objective_up_to_its_constant(factory, K, d):
    rng = np.random.default_rng(3)
    model = filled(factory(K, d), d)
    of = problem(model, small_data(K, d, 40, rng))
    at = random_parameters(model, d, rng)
    if not model.proper:
        with pytest.raises(bg.UnsupportedError, match="compiled density"):
            NativeDensity(of, at)
        return
    density = NativeDensity(of, at)
    objective, function = Objective(of, unconstrained=True), density.function()
    for _ in range(3):
        v = rng.normal(size=density.size)
        value, gradient = function(v)
        expected, slope, point, _ = objective.value_and_gradient(density.coordinates, density.to_local @ v)
        assert value + density.constant == pytest.approx(expected, rel=1e-13, abs=1e-8)
        np.testing.assert_allclose(gradient, density.to_local.T @ slope, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(density.coordinates_of(point), v, atol=1e-8)
    many = density.parameters(np.stack([v, 0 * v]))
    np.testing.assert_allclose(many.choleskys[0], point.choleskys, atol=1e-12)
    np.testing.assert_allclose(many.means[0], point.means, atol=1e-12)
    np.testing.assert_allclose(many.log_weights[0], point.log_weights, atol=1e-12)


def test_the_mode_has_unit_scale():
    rows = bg.datasets.load_faithful().to_numpy()
    from bayesgmm.engines._problem import build_problem

    of = build_problem(bg.GaussianMixture(1), bg.as_data(rows))
    objective = Objective(of, unconstrained=True)
    from bayesgmm.engines._newton import Point, climb
    from bayesgmm.engines.base import Parameters

    at = Parameters(log_weights=np.zeros(1), means=np.zeros((1, 2)), choleskys=of.data_cholesky[None])
    value, statistics = objective.value(at)
    start = Point(at=at, value=value, statistics=statistics)
    end, _ = climb(objective, start, end=100, tolerance=1e-10, trace=[], fell=lambda _: False)
    density = NativeDensity(of, end.at)
    step, function = 1e-3, density.function()
    for i in range(density.size):
        e = np.zeros(density.size)
        e[i] = step
        slope = (function(e)[1] - function(-e)[1]) / (2 * step)
        np.testing.assert_allclose(slope, -np.eye(density.size)[i], atol=1e-4)
