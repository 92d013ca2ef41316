"""Which separations rows can resolve: against the information in closed form, and against fits to simulated data."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
from bayesgmm.inference.resolution import (
    _SEPARATIONS,
    _deviance,
    _error,
    _moved,
    _uncertainty,
    closest,
    resolution,
    separation,
)

FLAT = bg.Flat()
FREE = bg.GaussianMixture(2, weights=FLAT, means=FLAT, covariances=bg.Tied(FLAT))


def information(covariances, theta, n=1000):
    """For theta of two equal components at +-theta with sd 1, a row."""
    data = bg.as_data(np.random.default_rng(0).normal(size=(n, 1)))
    declared = bg.GaussianMixture(2, weights=bg.FixedWeights([0.5, 0.5]), means=FLAT, covariances=covariances)
    problem = build_problem(declared, data)
    at = Parameters(log_weights=np.log([0.5, 0.5]), means=np.array([[-theta], [theta]]), choleskys=np.ones((2, 1, 1)))
    at = problem.units.to_standard(at)
    assert separation(at, (0, 1)) == pytest.approx(2 * theta)
    return 1.0 / (n * (_error(*_uncertainty(problem, data, at), (0, 1)) / 2) ** 2)


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
    error = _error(*_uncertainty(problem, data, problem.units.to_standard(at)), (0, 1))
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
        there, covariance = _uncertainty(problem, data, _moved(at, (0, 1), distance))
        found.append(1.0 / _error(there, covariance, (0, 1)) ** 2)
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
