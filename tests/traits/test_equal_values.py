"""Populations with edges, and measurements of which many are equal."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm import traits
from bayesgmm.traits._compare import checked_odds, compare
from bayesgmm.traits._equal_values import grid_step, remarks, rounding_variance, spread_out
from bayesgmm.traits._models import Question

EDGED = {
    "uniform": lambda rng, n: 10.4 * rng.random(n),
    "floor": lambda rng, n: 3.6 * np.maximum(rng.normal(size=n), -0.674),
    "ceiling": lambda rng, n: 3.2 * np.minimum(rng.normal(size=n), 1.282),
}


def classes(known, seed=0):
    question = Question.about(known, 2, None, None, False)
    return compare(known, question, checked_odds(None), draws=1000, seed=np.random.SeedSequence(seed)).of_classes[0]


@pytest.mark.fit
@pytest.mark.parametrize("shape", EDGED)
def test_a_population_with_an_edge_is_continuous(shape):
    # Six hundred individuals: until there were edges, uniform ones were called mixed with .99 and more.
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        found.append(classes(traits.measurements(EDGED[shape](rng, 600)[:, None] + rng.normal(size=(600, 3)))))
    assert np.median(found, axis=0)[2] > 0.9
    assert np.max(found, axis=0)[0] < 1e-6


@pytest.mark.parametrize("error", [0.3, 1.0])
@pytest.mark.parametrize("step", [1.5, 3.0])
def test_rounded_values_are_neither_discrete_nor_mixed(step, error):
    rng = np.random.default_rng(4)
    x = 3.0 * rng.normal(size=300)[:, None] + error * rng.normal(size=(300, 3))
    known = traits.measurements(step * np.round(x / step))
    assert known.step == pytest.approx(step)
    assert classes(known)[:2].max() < 0.95


def test_types_far_enough_apart_are_told_though_they_are_rounded():
    rng = np.random.default_rng(5)
    x = np.repeat([0.0, 8.0], 60)[:, None] + rng.normal(size=(120, 3))
    assert classes(traits.measurements(np.round(x)))[0] > 0.8
    assert classes(traits.measurements(x))[0] > 0.8


@pytest.mark.parametrize("sd", [0.0, 0.1, 0.25, 0.4])
def test_rounding_variance_is_that_of_means_of_many_repeats(sd):
    """Over true values, by integration over the errors."""
    from scipy import stats

    true, step = np.linspace(0, 1, 401)[:-1], 1.0
    grid = np.arange(-6, 8) * step
    upper = stats.norm.cdf((grid + 0.5 * step - true[:, None]) / max(sd, 1e-9))
    shares = np.diff(np.c_[np.zeros(true.size), upper], axis=1)
    means = shares @ grid
    within = np.sqrt(np.mean(shares @ np.square(grid) - np.square(means)))
    assert rounding_variance(within, step) == pytest.approx(np.mean(np.square(means - true)), rel=0.02, abs=1e-5)
    assert rounding_variance(3 * within, 3.0) == pytest.approx(9 * rounding_variance(within, 1.0))
    assert rounding_variance(within, 0.0) == 0.0


def test_the_grid_is_found_and_not_imagined():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 3))
    assert grid_step(np.round(x, 1).ravel()) == pytest.approx(0.1)
    assert grid_step(7.0 + 0.3 * np.round(x / 0.3).ravel()) == pytest.approx(0.3)
    assert grid_step(x.ravel()) == 0.0
    assert grid_step(np.maximum(x, -0.5).ravel()) == 0.0  # equal, but on no grid
    assert grid_step(np.repeat(rng.normal(size=20), 10)) == 0.0
    assert grid_step(np.ones(10)) == 0.0


def test_rounding_finer_than_the_errors_changes_nothing():
    x = np.random.default_rng(7).normal(size=(400, 1)) + 0.2 * np.random.default_rng(8).normal(size=(400, 3))
    fine, plain = traits.measurements(np.round(x, 1)), traits.measurements(x)
    np.testing.assert_allclose(fine.errors, plain.errors, rtol=0.03)
    assert remarks(fine) == remarks(plain) == []


def test_equal_values_are_said_with_what_to_do():
    rng = np.random.default_rng(9)
    true = 3.0 * rng.normal(size=100)
    rounded = remarks(traits.measurements(3 * np.round((true[:, None] + 0.3 * rng.normal(size=(100, 3))) / 3)))
    assert "rounded to steps of 3," in rounded[0]
    assert "as_data(bins=...)" in rounded[0]

    (floor,) = remarks(traits.measurements(np.maximum(true[:, None] + 0.1 * rng.normal(size=(100, 3)), -2.0)))
    assert " have the smallest value, -2: if the scale ends there, that is a floor and no type" in floor
    assert "'continuous, floor'" in floor
    (ceiling,) = remarks(traits.measurements(np.minimum(true[:, None] + 0.1 * rng.normal(size=(100, 3)), 2.0)))
    assert "ceiling" in ceiling

    liked = np.where(np.abs(true - 1.0) < 0.7, 1.0, true)
    (round_number,) = remarks(traits.measurements(liked, error=0.1))
    assert "the same value, 1, inside the range" in round_number
    assert remarks(traits.measurements(true, error=0.1)) == []


def test_equal_values_are_spread_over_what_rounding_has_made_of_them():
    means = np.array([2.0, 1.0, 2.0, 2.0, 2.0, 5.0])
    spread = spread_out(means, 1.0 / 12.0)
    np.testing.assert_allclose(np.sort(spread[means == 2.0]), [1.625, 1.875, 2.125, 2.375])
    np.testing.assert_array_equal(spread[[1, 5]], [1.0, 5.0])
    np.testing.assert_array_equal(spread_out(means, 0.0), means)


@pytest.mark.fit
def test_they_stand_in_the_notes_of_a_result():
    rng = np.random.default_rng(10)
    x = np.maximum(3.0 * rng.normal(size=(60, 1)) + rng.normal(size=(60, 2)), -2.0)
    quick = {"n_power": 0, "draws": 400, "cores": 1, "random_seed": 1, "progressbar": False}
    assert "a floor and no type" in traits.discreteness(x, n_types=2, **quick).attrs["notes"]


def test_hypotheses_with_edges_are_ordinary_declarations():
    known = traits.measurements(np.random.default_rng(11).random((40, 2)))
    model = traits.hypotheses(known, n_types=2)["continuous, floor"]
    assert bg.GaussianMixture.from_json(model.to_json()) == model
    assert "below the median" in str(model)
