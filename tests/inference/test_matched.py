"""Labels of points that belong to one fit."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
from bayesgmm.inference._matched import matched

PARAMETERS = ("log_weights", "means", "choleskys")


def a_problem(n, **options):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 1)) + np.resize([-4.0, 0.0, 4.0], n)[:, None]
    return build_problem(bg.GaussianMixture(3), bg.as_data(x, **options), n_threads=1)


def three_components():
    return Parameters(
        log_weights=np.log([0.2, 0.3, 0.5]),
        means=np.array([[-1.2], [0.0], [1.2]]),
        choleskys=np.array([[[0.2]], [[0.3]], [[0.4]]]),
    )


@pytest.mark.parametrize("n", [90, 3000])
def test_points_get_the_labels_of_the_reference(n):
    at = three_components()
    points = [at, at.reordered(np.array([2, 0, 1])), at.reordered(np.array([1, 0, 2]))]
    moved, found = matched(a_problem(n), at, Parameters.stacked(points))
    assert (found.n_switched, found.n_ambiguous) == (2, 0)
    for name in PARAMETERS:
        for value in getattr(moved, name):
            np.testing.assert_array_equal(value, getattr(at, name))


def test_the_reference_has_a_factor_of_errors_too():
    """With the errors ten times as large all rows belong to one component, with them as stated to the other."""
    x = np.random.default_rng(5).normal(size=(60, 1))
    data = bg.as_data(x, noise=0.1, noise_scale=bg.LogNormal(0.0, 1.0))
    problem = build_problem(bg.GaussianMixture(2), data, n_threads=1)
    at = Parameters(
        log_weights=np.log([0.9, 0.1]),
        means=np.zeros((2, 1)),
        choleskys=np.array([[[0.02]], [[0.3]]]),
        log_noise=np.log(10.0),
    )
    moved, found = matched(problem, at, Parameters.stacked([at.reordered(np.array([1, 0]))]))
    assert found.n_switched == 1
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(moved, name)[0], getattr(at, name))
    stated = Parameters(log_weights=at.log_weights, means=at.means, choleskys=at.choleskys)
    assert matched(problem, stated, Parameters.stacked([at.reordered(np.array([1, 0]))]))[1].n_switched == 0
