"""The Hessian from one second pass against differences of gradients, each of which is a pass."""

from dataclasses import replace

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._objective import Coordinates, Objective
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
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
    expected = by_differences(objective, coordinates)
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found, expected, atol=2e-7 * scale, rtol=0)


def observed(kind, x, rng):
    """The same rows, as they may be observed."""
    n, d = x.shape
    sds = rng.uniform(0.1, 1.5, (n, d))
    holes = np.where(rng.random((n, d)) < 0.3, np.nan, x)
    correlated = np.einsum("ni,nj->nij", sds, sds) * (0.4 + 0.6 * np.eye(d))
    edges = np.concatenate([[-np.inf], np.linspace(-3, 3, 14), [np.inf]])
    in_bins = np.histogram(x[:, 0], edges)[0]
    prior = bg.LogNormal(0.0, 1.0)
    return {
        "missing": lambda: bg.as_data(holes),
        "counts": lambda: bg.as_data(holes, counts=rng.integers(1, 5, n)),
        "groups": lambda: bg.as_data(holes, groups=rng.integers(0, 3, n)),
        "one error": lambda: bg.as_data(holes, noise=sds[0]),
        "errors": lambda: bg.as_data(x, noise=sds),
        "correlated errors and holes": lambda: bg.as_data(holes, noise=correlated),
        "errors dwarf everything": lambda: bg.as_data(x, noise=1e3 * sds),
        "unknown factor": lambda: bg.as_data(holes, noise=correlated, noise_scale=prior),
        "unknown factor of one error": lambda: bg.as_data(holes, noise=sds[0], noise_scale=prior),
        "bins": lambda: bg.as_data(bins=edges, counts=in_bins),
        "bins with errors": lambda: bg.as_data(bins=edges, counts=in_bins, noise=0.5),
        "bins with an unknown factor": lambda: bg.as_data(bins=edges, counts=in_bins, noise=0.5, noise_scale=prior),
    }[kind]()


KINDS = [
    "missing",
    "counts",
    "groups",
    "one error",
    "errors",
    "correlated errors and holes",
    "errors dwarf everything",
    "unknown factor",
    "unknown factor of one error",
    "bins",
    "bins with errors",
    "bins with an unknown factor",
]


@pytest.mark.fit
@pytest.mark.parametrize("structure", ["full", "tied", "linked"])
@pytest.mark.parametrize("kind", KINDS)
def test_hessian_of_rows_as_they_are_measured(kind, structure, monkeypatch):
    monkeypatch.setattr("bayesgmm.numerics.curvature.NUMBERS_AT_ONCE", 100)  # several blocks
    rng = np.random.default_rng(11)
    d = 1 if "bins" in kind or structure == "linked" else 2
    if structure == "linked":
        means, covariances = bg.NormalMeans(4.0, 3.0), bg.ConstantCV()
    else:
        covariances = bg.Full() if structure == "full" else bg.Tied(bg.Full())
        means = bg.NormalMeans(0.0, 3.0)
    data = observed(kind, small_data(2, d, 40, rng).T if structure != "linked" else rng.normal(4, 1, (40, 1)), rng)
    declared = build_problem(bg.GaussianMixture(2, means=means, covariances=covariances), data)
    objective = Objective(declared, unconstrained=True)
    choleskys = np.linalg.cholesky(np.array([[[1.3, 0.4], [0.4, 0.8]], [[0.9, -0.2], [-0.2, 1.1]]]))[:, :d, :d]
    if structure == "tied":
        choleskys = choleskys[[0, 0]]
    log_weights = np.log([[0.3, 0.7], [0.5, 0.5], [0.8, 0.2]]) if kind == "groups" else np.log([0.4, 0.6])
    at = Parameters(log_weights=log_weights, means=rng.normal(0, 1, (2, d)), choleskys=choleskys, log_noise=0.0)
    if structure == "linked":
        means = declared.units.to_standard(replace(at, means=np.array([[3.0], [5.0]]))).means
        covariances = declared.model.covariances
        at = replace(at, means=means, choleskys=covariances.carried(choleskys[[0, 0]], means[[0, 0]], means))
    if declared.noise is not None and declared.noise.prior is not None:
        at = replace(at, log_noise=0.3)
    _, statistics = objective.value(at)
    coordinates = objective.coordinates(at, statistics.weight_counts)
    found = hessian(objective, coordinates, statistics)
    expected = by_differences(objective, coordinates)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, atol=1e-6 * scale, rtol=0)


def by_differences(objective, coordinates):
    out = np.empty((coordinates.size, coordinates.size))
    for i in range(coordinates.size):
        u = np.zeros(coordinates.size)
        slopes = []
        for step in (2e-4, -2e-4, 1e-4, -1e-4):
            u[i] = step
            slopes.append(objective.value_and_gradient(coordinates, u)[1])
        # Richardson's extrapolation of the two central differences.
        out[i] = (4 * (slopes[2] - slopes[3]) / 2e-4 - (slopes[0] - slopes[1]) / 4e-4) / 3
    return out
