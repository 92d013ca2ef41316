"""The objective and its gradient against scipy and differences, for every declaration."""

import numpy as np
import pytest

from bayesgmm.engines._objective import Coordinates, Objective, log_prior, maximise, row_means, scatter_about
from bayesgmm.engines.base import Parameters
from bayesgmm.numerics.passes import Statistics
from tests import contract
from tests.contract import FACTORIES, IDS, TABLE, derivative, filled, problem, random_parameters, small_data

ROWS = pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
SIZES = pytest.mark.parametrize(("K", "d"), [(1, 3), (2, 1), (3, 2)])
BOTH = pytest.mark.parametrize("unconstrained", [False, True], ids=["parameters", "unconstrained"])


def setting(factory, K, d, seed, n=40):
    """Objective's problem, a random reference with counts, and the generator."""
    rng = np.random.default_rng(seed)
    model = filled(factory(K, d), d)
    reference = random_parameters(model, d, rng)
    counts = n * rng.dirichlet(np.full(K, 4.0))
    return problem(model, small_data(K, d, n, rng)), reference, counts, rng


def by_scipy(of, at, unconstrained):
    model = of.model
    value = contract.log_likelihood_by_scipy(of.x, at) + contract.log_prior_by_scipy(model, at)
    if unconstrained:
        value += contract.weights_volume(model.weights, at.log_weights)
        value += contract.covariances_volume(model.covariances, at.choleskys)
    return value


@BOTH
@SIZES
@ROWS
def test_value_equals_scipy(factory, K, d, unconstrained):
    of, reference, counts, rng = setting(factory, K, d, 1)
    objective = Objective(of, unconstrained=unconstrained)
    coordinates = Coordinates(of.model, reference, counts)
    for _ in range(2):
        value, _, at, statistics = objective.value_and_gradient(coordinates, rng.normal(size=coordinates.size))
        assert value == pytest.approx(by_scipy(of, at, unconstrained), rel=1e-10)
        assert statistics.log_normaliser == pytest.approx(contract.log_likelihood_by_scipy(of.x, at), rel=1e-11)
        assert log_prior(of.model, at, unconstrained) == pytest.approx(value - statistics.log_normaliser, abs=1e-9)
        other, _ = objective.value(at)
        assert other == pytest.approx(value, rel=1e-12)
    assert objective.passes == 4


@BOTH
@SIZES
@ROWS
def test_gradient_equals_differences(factory, K, d, unconstrained):
    of, reference, counts, rng = setting(factory, K, d, 2)
    objective = Objective(of, unconstrained=unconstrained)
    coordinates = Coordinates(of.model, reference, counts)
    for u in (np.zeros(coordinates.size), 0.7 * rng.normal(size=coordinates.size)):
        _, gradient, _, _ = objective.value_and_gradient(coordinates, u)
        slope = derivative(lambda v: objective.value(coordinates.parameters(v))[0], u, 0.03)
        assert gradient.shape == (coordinates.size,)
        np.testing.assert_allclose(gradient, slope, rtol=1e-8, atol=1e-8 * max(1.0, np.abs(slope).max(initial=0.0)))


@BOTH
@ROWS
def test_value_does_not_depend_on_the_reference(factory, unconstrained):
    of, reference, counts, rng = setting(factory, 3, 2, 3)
    objective = Objective(of, unconstrained=unconstrained)
    one = Coordinates(of.model, reference, counts)
    u = 0.5 * rng.normal(size=one.size)
    value, _, at, _ = objective.value_and_gradient(one, u)
    # The same point is the origin of other coordinates.
    two = Coordinates(of.model, at, counts[::-1] + 3.0)
    other, _, same, _ = objective.value_and_gradient(two, np.zeros(two.size))
    for field in ("log_weights", "means", "choleskys"):
        np.testing.assert_allclose(getattr(same, field), getattr(at, field), rtol=1e-12, atol=1e-14)
    assert other == pytest.approx(value, rel=1e-12)


@BOTH
@ROWS
def test_slope_along_a_curve_does_not_depend_on_the_reference(factory, unconstrained):
    # Gradients in two systems of coordinates, each times its own velocity, are the same derivative in time.
    of, reference, counts, rng = setting(factory, 2, 2, 4)
    objective = Objective(of, unconstrained=unconstrained)
    one = Coordinates(of.model, reference, counts)
    if one.size == 0:
        pytest.skip("everything is known")
    u, velocity, step = 0.5 * rng.normal(size=one.size), rng.normal(size=one.size), 1e-3
    _, gradient, at, _ = objective.value_and_gradient(one, u)
    two = Coordinates(of.model, at, counts)
    values = [objective.value(one.parameters(u + t * velocity))[0] for t in (-step, step)]
    assert gradient @ velocity == pytest.approx((values[1] - values[0]) / (2 * step), rel=1e-3, abs=1e-3)
    _, other, _, _ = objective.value_and_gradient(two, np.zeros(two.size))
    # The Jacobian of the change of coordinates at the origin, from differences of the parameters.
    J = np.stack([_flat(two.parameters(step * e)) - _flat(two.parameters(-step * e)) for e in np.eye(two.size)], 1)
    moved = _flat(one.parameters(u + step * velocity)) - _flat(one.parameters(u - step * velocity))
    in_two = np.linalg.lstsq(J, moved)[0]
    assert other @ in_two == pytest.approx(gradient @ velocity, rel=1e-4, abs=1e-4)


def _flat(at):
    return np.concatenate([np.exp(at.log_weights), at.means.ravel(), at.choleskys.ravel()])


@BOTH
@ROWS
def test_exchangeable_components_may_be_permuted(factory, unconstrained):
    of, reference, _, rng = setting(factory, 3, 2, 5)
    if len(set(of.model.keys())) > 1:
        pytest.skip("components are distinguishable")
    objective = Objective(of, unconstrained=unconstrained)
    value, statistics = objective.value(reference)
    order = rng.permutation([1, 2, 0])
    other, permuted = objective.value(reference.reordered(order))
    assert other == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(permuted.counts, statistics.counts[order], rtol=1e-10)
    np.testing.assert_allclose(permuted.second, statistics.second[order], rtol=1e-9, atol=1e-10)


def has_closed_form(model):
    return model.covariances.innermost is None or model.covariances.innermost.closed_form


CLOSED = [(name, factory) for name, factory in TABLE if has_closed_form(filled(factory(2, 2), 2))]


@SIZES
@pytest.mark.parametrize("factory", [factory for _, factory in CLOSED], ids=[name for name, _ in CLOSED])
def test_maximise_never_lowers_the_objective(factory, K, d):
    gained = 0.0
    for seed in range(4):
        of, at, _, _ = setting(factory, K, d, 10 + seed, n=80)
        if not of.model.weights.bounded():
            pytest.skip("no mode")
        objective = Objective(of, unconstrained=False)
        value, statistics = objective.value(at)
        for _ in range(15):
            at = maximise(of.model, at, statistics)
            before = value
            value, statistics = objective.value(at)
            assert value >= before - 1e-10 * abs(before)
            gained += value - before
        assert by_scipy(of, at, False) == pytest.approx(value, rel=1e-9)
    free = Coordinates(of.model, at, statistics.counts).size
    assert gained > 1.0 or free == 0


@pytest.mark.parametrize("weights", list(contract.WEIGHTS))
def test_maximise_in_unconstrained_coordinates_never_lowers_the_objective(weights):
    # Only weights have this form, so everything else is known.
    K, d, rng = 3, 2, np.random.default_rng(6)
    declared = contract.GaussianMixture(
        K,
        weights=contract.WEIGHTS[weights](K),
        means=contract.MEANS["fixed-means"](K, d),
        covariances=contract.FixedCovariances(0.8),
    )
    model = filled(declared, d)
    of = problem(model, small_data(K, d, 60, rng))
    objective = Objective(of, unconstrained=True)
    at = random_parameters(model, d, rng)
    value, statistics = objective.value(at)
    for _ in range(200):
        at = maximise(model, at, statistics, unconstrained=True)
        before = value
        value, statistics = objective.value(at)
        assert value >= before - 1e-10 * abs(before)
    coordinates = Coordinates(model, at, statistics.counts)
    _, gradient, _, _ = objective.value_and_gradient(coordinates, np.zeros(coordinates.size))
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


@pytest.mark.parametrize("name", ["flat-weights/flat-means/full-flat", "dirichlet-vector/conjugate/full-iw"])
def test_fixed_point_of_maximise_is_stationary(name):
    factory = dict(TABLE)[name]
    of, at, _, _ = setting(factory, 2, 2, 7, n=200)
    objective = Objective(of, unconstrained=False)
    for _ in range(3000):
        at = maximise(of.model, at, objective.value(at)[1])
    statistics = objective.value(at)[1]
    coordinates = Coordinates(of.model, at, statistics.counts)
    _, gradient, _, _ = objective.value_and_gradient(coordinates, np.zeros(coordinates.size))
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def test_coordinates_are_scaled_by_the_information():
    # With labels all but known, the Hessian at the mode is minus the identity up to the prior.
    rng = np.random.default_rng(8)
    K, d, n = 2, 2, 4000
    model = filled(dict(TABLE)["flat-weights/flat-means/full-flat"](K, d), d)
    labels = rng.integers(2, size=n)
    spread = np.array([[3.0, 0.0], [1.0, 0.2]])
    x = np.ascontiguousarray((40.0 * labels[:, None] + rng.normal(size=(n, d)) @ spread.T).T)
    choleskys = np.stack([spread, spread])
    at = Parameters(log_weights=np.log([0.5, 0.5]), means=np.array([[0.0, 0.0], [40.0, 40.0]]), choleskys=choleskys)
    of = problem(model, x)
    objective = Objective(of, unconstrained=False)
    for _ in range(3):
        at = maximise(model, at, objective.value(at)[1])
    coordinates = Coordinates(model, at, objective.value(at)[1].counts)
    step = 1e-4
    columns = [
        objective.value_and_gradient(coordinates, step * e)[1] - objective.value_and_gradient(coordinates, -step * e)[1]
        for e in np.eye(coordinates.size)
    ]
    np.testing.assert_allclose(np.stack(columns) / (2 * step), -np.eye(coordinates.size), atol=0.01)


def test_coordinates_of_an_empty_component_stay_finite():
    of, reference, _, _ = setting(dict(TABLE)["dirichlet/conjugate/full-iw"], 3, 2, 9)
    empty = Parameters(
        log_weights=np.array([-np.inf, np.log(0.5), np.log(0.5)]),
        means=reference.means,
        choleskys=reference.choleskys,
    )
    coordinates = Coordinates(of.model, empty, np.array([0.0, 20.0, 20.0]))
    value, gradient, at, _ = Objective(of, unconstrained=False).value_and_gradient(
        coordinates, np.zeros(coordinates.size)
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.exp(at.log_weights).sum() == pytest.approx(1.0, rel=1e-14)


def test_scatter_and_means_of_rows_from_moments():
    rng = np.random.default_rng(11)
    x, r = rng.normal(size=(3, 50)), rng.dirichlet(np.ones(2), size=50).T
    old, new = rng.normal(size=(2, 2, 3))
    delta = x.T[None] - old[:, None]
    statistics = Statistics(
        log_normaliser=0.0,
        counts=r.sum(axis=1),
        first=np.einsum("kn,kni->ki", r, delta),
        second=np.einsum("kn,kni,knj->kij", r, delta, delta),
    )
    np.testing.assert_allclose(row_means(statistics, old), r @ x.T / r.sum(axis=1)[:, None], rtol=1e-12)
    delta = x.T[None] - new[:, None]
    wanted = np.einsum("kn,kni,knj->kij", r, delta, delta)
    np.testing.assert_allclose(scatter_about(statistics, old, new), wanted, rtol=1e-11, atol=1e-11)
    empty = Statistics(log_normaliser=0.0, counts=np.zeros(2), first=np.zeros((2, 3)), second=np.zeros((2, 3, 3)))
    np.testing.assert_array_equal(row_means(empty, old), old)
