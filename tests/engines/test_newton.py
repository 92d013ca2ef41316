"""Newton's method with a trust region: its subproblem against a search over the ball, its steps on a curved ridge."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines import _newton
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters


@pytest.mark.parametrize("curvatures", [(0.5, 2.0), (-0.5, 2.0), (1e-3, 1.0), (-2.0, -0.1)])
@pytest.mark.parametrize("slopes", [(1.0, 0.5), (0.0, 0.5), (1e-3, -2.0)])
@pytest.mark.parametrize("radius", [0.1, 1.0, 30.0])
def test_the_restricted_step_maximises_the_model_in_the_ball(curvatures, slopes, radius):
    slopes, curvatures = np.array(slopes), np.array(curvatures)

    def model(step):
        return step @ slopes - 0.5 * np.square(step) @ curvatures

    step = _newton.restricted_step(slopes, curvatures, radius)
    assert step @ step <= radius**2 * (1 + 1e-9)
    angles, radii = np.linspace(0, 2 * np.pi, 721), np.linspace(0, radius, 101)
    grid = radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    assert model(step) >= model(grid.reshape(-1, 2)).max() - 1e-6 * radius**2


def test_the_decrement_is_what_a_quadratic_would_gain():
    assert _newton.decrement(np.array([1.0, 2.0]), np.array([0.5, 4.0])) == pytest.approx(1.5)
    assert _newton.decrement(np.zeros(2), np.array([-0.1, 1.0])) == np.inf


def test_it_leaves_a_saddle_and_climbs_to_the_certified_optimum():
    rows = bg.datasets.load_faithful().to_numpy()
    flat = bg.Flat()
    problem = build_problem(bg.GaussianMixture(2, weights=flat, means=flat, covariances=flat), bg.as_data(rows))
    objective = Objective(problem, unconstrained=False)
    # Two equal components: the gradient of EM does not tell them apart, and only the Hessian shows the way out.
    cholesky = problem.data_cholesky
    at = Parameters(log_weights=np.log([0.5, 0.5]), means=np.zeros((2, 2)), choleskys=np.stack([cholesky, cholesky]))
    value, statistics = objective.value(at)
    trace = [value]
    start = _newton.Point(at=at, value=value, statistics=statistics)
    end, gain = _newton.climb(objective, start, end=400, tolerance=1e-4, trace=trace, fell=lambda _: False)
    assert gain < 1e-4
    assert np.all(np.diff(trace) > 0)
    assert end.value - problem.log_volume == pytest.approx(-1130.264, abs=1e-3)
