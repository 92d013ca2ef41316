"""Which separations rows can resolve: against the information in closed form, and against fits to simulated data."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
from bayesgmm.inference._expected_information import Directions, ExpectedInformation
from bayesgmm.inference.resolution import (
    _SEPARATIONS,
    _deviance,
    _moved,
    closest,
    resolution,
    separation,
    separations_up_to,
)

FLAT = bg.Flat()
FREE = bg.GaussianMixture(2, weights=FLAT, means=FLAT, covariances=bg.Tied(FLAT))


def expected(problem, data, at, left_out=()):
    directions = Directions.at(problem, at, np.array(left_out, dtype=int))
    return ExpectedInformation(problem=problem, data=data, at=at, directions=directions)


def information(covariances, theta, n=1000):
    """For theta of two equal components at +-theta with sd 1, a row."""
    data = bg.as_data(np.random.default_rng(0).normal(size=(n, 1)))
    declared = bg.GaussianMixture(2, weights=bg.FixedWeights([0.5, 0.5]), means=FLAT, covariances=covariances)
    problem = build_problem(declared, data)
    at = Parameters(log_weights=np.log([0.5, 0.5]), means=np.array([[-theta], [theta]]), choleskys=np.ones((2, 1, 1)))
    at = problem.units.to_standard(at)
    assert separation(at, (0, 1)) == pytest.approx(2 * theta)
    return 1.0 / (n * (expected(problem, data, at).error((0, 1)) / 2) ** 2)


def test_with_a_known_sd_it_vanishes_as_two_theta_squared():
    known = bg.FixedCovariances(np.ones((2, 1, 1)))
    assert information(known, 0.05) == pytest.approx(2 * 0.05**2, rel=0.01)
    assert information(known, 0.1) == pytest.approx(2 * 0.1**2, rel=0.03)


def test_with_the_common_sd_estimated_it_vanishes_as_the_sixth_power():
    assert information(bg.Tied(FLAT), 0.1) == pytest.approx(8 / 3 * 0.1**6, rel=0.08)
    assert information(bg.Tied(FLAT), 0.05) == pytest.approx(8 / 3 * 0.05**6, rel=0.03)


def test_far_apart_it_is_the_information_about_two_means():
    # Var(delta) = 1 / n_1 + 1 / n_2 + delta^2 / (2 n) with a common sd.
    data = bg.as_data(np.random.default_rng(0).normal(size=(500, 1)))
    problem = build_problem(FREE, data)
    at = Parameters(log_weights=np.log([0.3, 0.7]), means=np.array([[0.0], [9.0]]), choleskys=np.ones((2, 1, 1)))
    error = expected(problem, data, problem.units.to_standard(at)).error((0, 1))
    assert error == pytest.approx(np.sqrt(1 / 150 + 1 / 350 + 81 / 1000), rel=1e-3)


@pytest.mark.parametrize("kind", ["exact", "missing", "errors", "groups"])
def test_errors_are_those_of_fits_to_simulated_data(kind):
    rng = np.random.default_rng(4)
    found, errors = [], []
    for _ in range(8):
        x = rng.normal(size=(300, 2)) + np.where(rng.random(300) < 0.4, 3.0, 0.0)[:, None]
        if kind == "missing":
            x[rng.random((300, 2)) < 0.2] = np.nan
        sds = rng.uniform(0.3, 0.8, (300, 2))
        observed = {
            "errors": lambda x=x, sds=sds: bg.as_data(x + sds * rng.normal(size=x.shape), noise=sds),
            "groups": lambda x=x: bg.as_data(x, groups=np.arange(300) % 2),
        }.get(kind, lambda x=x: bg.as_data(x))()
        fit = bg.fit(FREE, observed, engine=bg.EM(n_init=3, n_polish=1), random_seed=1)
        one = resolution(fit)
        found.append(one.separation)
        errors.append(one.error)
    # The sd of 8 separations is known to 25 %.
    assert 0.3 < np.std(found, ddof=1) / np.mean(errors) < 2.0
    assert abs(np.mean(found) - np.sqrt(18)) < 4 * np.mean(errors)


def test_more_rows_resolve_more():
    rng = np.random.default_rng(0)
    least = []
    for n in (200, 20_000):
        data = bg.as_data(rng.normal(size=(n, 1)))
        problem = build_problem(FREE, data)
        at = Parameters(log_weights=np.log([0.5, 0.5]), means=np.array([[0.0], [0.3]]), choleskys=np.ones((2, 1, 1)))
        least.append(closest(problem, data, problem.units.to_standard(at), [(0, 1)]).least)
    assert 1.0 < least[1] < least[0] < 4.0


def test_the_deviance_is_that_of_the_nearest_single_component():
    """2 n times the Kullback-Leibler divergence of two equal components from one with their mean and variance."""
    n = 100
    data = bg.as_data(np.random.default_rng(0).normal(size=(n, 1)))
    problem = build_problem(FREE, data)
    at = Parameters(log_weights=np.log([0.5, 0.5]), means=np.array([[0.0], [0.3]]), choleskys=np.ones((2, 1, 1)))
    at = problem.units.to_standard(at)
    found = []
    for distance in _SEPARATIONS:
        found.append(1.0 / expected(problem, data, _moved(at, (0, 1), distance)).error((0, 1)) ** 2)
    found = _deviance(np.array(found))
    z = np.linspace(-14, 14, 20_001)
    for distance, deviance in zip(_SEPARATIONS, found, strict=True):
        two = 0.5 * sum(np.exp(-0.5 * (z - s * distance / 2) ** 2) for s in (-1, 1)) / np.sqrt(2 * np.pi)
        variance = 1 + distance**2 / 4
        one = np.exp(-0.5 * z**2 / variance) / np.sqrt(2 * np.pi * variance)
        exact = 2 * n * np.trapezoid(two * np.log(two / one), z)
        # A Wald statistic would be up to 28 times too large here.
        assert 0.5 * exact < deviance < 1.3 * exact


def message(x, engine=None, **parts):
    declared = bg.GaussianMixture(2, weights=FLAT, means=FLAT, **parts)
    fit = bg.fit(declared, x, engine=engine or bg.EM(n_init=6, n_polish=2), random_seed=1)
    return bg.diagnose(fit).sel(check="resolution")


def test_diagnose_says_when_two_components_are_closer_than_that():
    rng = np.random.default_rng(3)
    close = message(rng.normal(size=(200, 1)), covariances=bg.Tied(FLAT))
    assert not bool(close["ok"])
    assert "not decided by these rows" in str(close["message"].values)
    apart = message(rng.normal(size=(200, 1)) + 8.0 * (np.arange(200) % 2)[:, None], covariances=bg.Tied(FLAT))
    assert bool(apart["ok"])
    assert float(apart["value"]) == pytest.approx(8.0, rel=0.1)


def test_components_that_differ_in_spread_are_told_apart_by_it():
    rng = np.random.default_rng(3)
    scales = np.where(np.arange(400) % 2, 1.0, 8.0)[:, None]
    found = message(scales * rng.normal(size=(400, 1)), covariances=FLAT)
    assert bool(found["ok"])
    assert "differ in spread" in str(found["message"].values)


def test_there_is_nothing_to_say_about_one_component_or_fixed_means():
    x = np.random.default_rng(0).normal(size=(50, 1))
    assert resolution(bg.fit(bg.GaussianMixture(1), x, random_seed=1)) is None
    fixed = bg.GaussianMixture(2, means=bg.FixedMeans([[-1.0], [1.0]]))
    assert resolution(bg.fit(fixed, x, random_seed=1)) is None


def four_features(rows, K=3):
    x = np.concatenate([np.random.default_rng(0).normal(at, 1.0, (n, 4)) for n, at in rows])
    at = Parameters(
        log_weights=np.log([0.3999, 0.6, 0.0001][:K]) - np.log(np.sum([0.3999, 0.6, 0.0001][:K])),
        means=np.array([[0.0] * 4, [rows[1][1]] * 4, [rows[1][1] / 2] * 4][:K]),
        choleskys=np.stack([np.eye(4), np.eye(4), 5.0 * np.eye(4)][:K]),
    )
    data = bg.as_data(x)
    return data, at


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"covariances": bg.Tied()},
        {"covariances": bg.Diagonal()},
        {"covariances": bg.Spherical()},
        {"weights": bg.StickBreaking(1.0)},
        {"weights": bg.FixedWeights([0.3999, 0.6, 0.0001])},
    ],
    ids=["full", "tied", "diagonal", "spherical", "sticks", "known weights"],
)
@pytest.mark.parametrize("apart", [1.5, 4.0])
def test_an_empty_component_says_nothing_about_the_others(parts, apart):
    data, at = four_features([(60, 0.0), (90, apart)])
    problem = build_problem(bg.GaussianMixture(3, **parts), data)
    with_empty = closest(problem, data, problem.units.to_standard(at), [(0, 1)])
    if isinstance(parts.get("weights"), bg.FixedWeights):
        parts = {"weights": bg.FixedWeights([0.4, 0.6])}
    data, at = four_features([(60, 0.0), (90, apart)], K=2)
    problem = build_problem(bg.GaussianMixture(2, **parts), data)
    without = closest(problem, data, problem.units.to_standard(at), [(0, 1)])
    # A shared covariance is that of all, the wide one's as well here.
    assert with_empty.error == pytest.approx(without.error, rel=0.02)
    assert with_empty.separation == pytest.approx(without.separation)
    assert (with_empty.least is None) == (without.least is None)
    if without.least is not None:
        assert with_empty.least == pytest.approx(without.least, rel=0.03, nan_ok=True)


@pytest.mark.parametrize(("d", "K", "apart"), [(4, 3, 8.0), (6, 3, 5.0), (4, 4, 10.0)])
def test_diagnose_states_how_far_apart_groups_are_beside_empty_components(d, K, apart):
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(0, 1, (60, d)), rng.normal(apart, 1, (90, d))]
    fit = bg.fit(bg.GaussianMixture(K, weights=bg.Dirichlet(0.01)), x, engine=bg.VB(draws=20), random_seed=1)
    found = bg.diagnose(fit).sel(check="resolution")
    assert bool(found["ok"])
    assert float(found["value"]) == pytest.approx(apart * np.sqrt(d), rel=0.3)  # priors widen the components
    assert "is not decided" not in str(found["message"].values)
    assert resolution(fit).error < 2.0


def test_drawn_rows_give_what_the_quadrature_gives(monkeypatch):
    from bayesgmm.inference import _expected_information

    data = bg.as_data(np.random.default_rng(0).normal(size=(500, 2)))
    problem = build_problem(bg.GaussianMixture(2), data)
    for apart in (1.0, 2.0, 5.0):
        means = np.array([[0.0, 0.0], [apart, 0.0]])
        at = Parameters(log_weights=np.log([0.3, 0.7]), means=means, choleskys=np.stack([np.eye(2), 1.3 * np.eye(2)]))
        at = problem.units.to_standard(at)
        exact = expected(problem, data, at).error((0, 1))
        with monkeypatch.context() as patched:
            patched.setattr(_expected_information, "_NODES", {})
            assert expected(problem, data, at).error((0, 1)) == pytest.approx(exact, rel=0.1)


def test_slopes_of_a_separation_are_its_differences():
    rng = np.random.default_rng(5)
    data = bg.as_data(rng.normal(size=(100, 3)))
    problem = build_problem(bg.GaussianMixture(3), data)
    choleskys = np.tril(rng.normal(size=(3, 3, 3))) + 3 * np.eye(3)
    at = Parameters(log_weights=np.log([0.2, 0.3, 0.5]), means=rng.normal(size=(3, 3)), choleskys=choleskys)
    found = expected(problem, data, at)._slopes((2, 0)).reshape(-1)[:-1].reshape(3, 10)
    rows, columns = np.tril_indices(3)
    step = 1e-5
    for k in range(3):
        for i in range(9):
            ends = []
            for h in (step, -step):
                means, T = at.means.copy(), np.eye(3)
                if i < 3:
                    means[k] += h * choleskys[k][:, i]
                else:
                    T[rows[i - 3], columns[i - 3]] += h
                    T[columns[i - 3], rows[i - 3]] = T[rows[i - 3], columns[i - 3]]
                factors = choleskys.copy()
                factors[k] = np.linalg.cholesky(choleskys[k] @ T @ choleskys[k].T)
                ends.append(separation(Parameters(log_weights=at.log_weights, means=means, choleskys=factors), (2, 0)))
            assert found[k, 1 + i] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)
    assert (found[:, 0] == 0).all()


@pytest.mark.parametrize(("sd", "resolved"), [(0.5, True), (2.0, True), (40.0, False)])
def test_rows_with_errors_are_resolved_as_far_apart_as_they_are(sd, resolved):
    """Seven sds of the components apart: with errors below that they are told apart, with errors far above not."""
    rng = np.random.default_rng(2)
    x = np.where(np.arange(200) % 2, 7.0, 0.0) + rng.normal(size=200) + sd * rng.normal(size=200)
    data = bg.as_data(x, noise=np.full((200, 1), sd))
    problem = build_problem(bg.GaussianMixture(2), data)
    at = Parameters(log_weights=np.log([0.5, 0.5]), means=np.array([[0.0], [7.0]]), choleskys=np.ones((2, 1, 1)))
    found = closest(problem, data, problem.units.to_standard(at), [(0, 1)])
    assert found.separation == pytest.approx(7.0)
    assert found.resolved == resolved
    if not resolved:
        assert found.least > 40.0  # an sd of what is seen, at least


def test_known_errors_of_one_size_are_part_of_the_sd():
    """Rows of sd 1 with errors of sd 2 resolve what exact rows of sd sqrt(5) resolve."""
    x = np.random.default_rng(2).normal(size=200) + np.where(np.arange(200) % 2, 7.0, 0.0)
    least = []
    for data, sd in ((bg.as_data(x), np.sqrt(5)), (bg.as_data(x, noise=np.full((200, 1), 2.0)), 1.0)):
        problem = build_problem(bg.GaussianMixture(2), data)
        at = Parameters(
            log_weights=np.log([0.5, 0.5]), means=np.array([[0.0], [7.0]]), choleskys=np.full((2, 1, 1), sd)
        )
        least.append(sd * closest(problem, data, problem.units.to_standard(at), [(0, 1)]).least)
    assert least[0] == pytest.approx(least[1], rel=0.05)


def test_separations_go_on_to_the_one_that_was_found():
    np.testing.assert_array_equal(separations_up_to(3.0), _SEPARATIONS)
    further = separations_up_to(20.0)
    np.testing.assert_array_equal(further[:10], _SEPARATIONS)
    assert further[-1] == pytest.approx(20.0)
    assert (np.diff(np.log(further)) < 1.01 * np.log(_SEPARATIONS[1] / _SEPARATIONS[0])).all()


def test_all_rows_of_a_large_table_are_not_simulated_again():
    """A fixed number of rows stands for the others: their errors, their holes and their groups."""
    rng = np.random.default_rng(0)
    errors = []
    for n in (3_000, 30_000):
        x = np.where(rng.random(n) < 0.5, 4.0, 0.0)[:, None] + rng.normal(size=(n, 2))
        x[rng.random((n, 2)) < 0.2] = np.nan
        data = bg.as_data(x)
        problem = build_problem(FREE, data)
        at = Parameters(
            log_weights=np.log([0.5, 0.5]),
            means=np.array([[0.0, 0.0], [4.0, 4.0]]),
            choleskys=np.stack([np.eye(2)] * 2),
        )
        found = expected(problem, data, problem.units.to_standard(at))
        errors.append(found.error((0, 1)) * np.sqrt(n))
    assert errors[0] == pytest.approx(errors[1], rel=0.05)
