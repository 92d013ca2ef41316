"""The Hessian from one second pass against differences of gradients, each of which is a pass."""

import numpy as np
import pytest

from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._objective import Coordinates, Objective
from bayesgmm.numerics.label_covariance import label_covariance
from bayesgmm.numerics.passes import rowwise
from tests.contract import FACTORIES, IDS, filled, problem, random_parameters, small_data


@pytest.mark.parametrize("unconstrained", [False, True], ids=["parameters", "unconstrained"])
@pytest.mark.parametrize(("K", "d"), [(1, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_hessian_equals_differences_of_gradients(factory, K, d, unconstrained):
    rng = np.random.default_rng(5)
    model = filled(factory(K, d), d)
    objective = Objective(problem(model, small_data(K, d, 50, rng)), unconstrained=unconstrained)
    at = random_parameters(model, d, rng)
    _, statistics = objective.value(at)
    coordinates = Coordinates(model, at, statistics.counts)
    found = hessian(objective, coordinates, statistics)
    expected = np.empty_like(found)
    for i in range(coordinates.size):
        u = np.zeros(coordinates.size)
        slopes = []
        for step in (2e-4, -2e-4, 1e-4, -1e-4):
            u[i] = step
            slopes.append(objective.value_and_gradient(coordinates, u)[1])
        # Richardson's extrapolation of the two central differences.
        expected[i] = (4 * (slopes[2] - slopes[3]) / 2e-4 - (slopes[0] - slopes[1]) / 4e-4) / 3
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found, expected, atol=2e-7 * scale, rtol=0)


def test_label_covariance_is_that_of_the_features_over_the_labels(monkeypatch):
    monkeypatch.setattr("bayesgmm.numerics.label_covariance._NUMBERS_AT_ONCE", 100)  # several blocks
    rng = np.random.default_rng(0)
    K, d, n = 2, 2, 7
    x, means = rng.normal(size=(d, n)), rng.normal(size=(K, d))
    factors = np.tril(rng.normal(size=(K, d, d))) + 2 * np.eye(d)
    log_weights = np.log([0.3, 0.7])
    r, _ = rowwise(x, log_weights, means, factors)
    expected = np.zeros((12, 12))
    for i in range(n):
        features = np.zeros((K, 12))
        for k in range(K):
            y = factors[k] @ (x[:, i] - means[k])
            features[k, 6 * k : 6 * k + 6] = [1.0, *y, y[0] ** 2, y[1] * y[0], y[1] ** 2]
        mean = r[:, i] @ features
        expected += (features - mean).T @ np.diag(r[:, i]) @ (features - mean)
    np.testing.assert_allclose(label_covariance(x, log_weights, means, factors), expected, atol=1e-12)
