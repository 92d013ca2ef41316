"""Ends at which two components are one certify nothing, unless a prior really holds the two together."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._coinciding import coinciding
from bayesgmm.engines._newton import Point
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters

FLAT = bg.Flat()
STRUCTURES = {
    "tied": bg.Tied(bg.Full(FLAT)),
    "tied diagonal": bg.Tied(bg.Diagonal(FLAT)),
    "tied spherical": bg.Tied(bg.Spherical(FLAT)),
}


def likelihood(K, structure):
    return bg.GaussianMixture(K, weights=FLAT, means=FLAT, covariances=structure)


def value_of(K, structure, rows):
    fit = bg.fit(likelihood(K, structure), rows, engine=bg.EM(threads=1), random_seed=1, progressbar=False)
    assert fit.attrs["status"] == "CONVERGED"
    return fit["point_estimate"].attrs["log_likelihood"]


PLACES = {
    "three values": np.repeat([1.0, 2.0, 7.0], 20)[:, None],
    "four values": np.repeat([0.0, 1.0, 5.0, 9.0], [30, 10, 15, 20])[:, None],
    "three places in the plane": np.repeat([[0.0, 0.0], [1.0, 0.3], [6.0, 5.0]], [15, 20, 25], axis=0),
}


@pytest.mark.fit
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", PLACES)
def test_as_many_components_as_there_are_values(name, structure):
    # With a component on each value the shared covariance collapses; every other end has fewer components in truth.
    rows = PLACES[name]
    K = len(np.unique(rows, axis=0))
    table = bg.compare_components(
        likelihood(1, STRUCTURES[structure]), rows, n_components=[1, 2, K, K + 1], cores=1, random_seed=1,
        progressbar=False,
    )  # fmt: skip
    values = table["log_likelihood"].to_numpy()
    found = values[np.isfinite(values)]
    assert found.size >= 1
    assert (np.diff(found) > -1e-3).all()
    for number in (K, K + 1):
        if np.isnan(table["log_likelihood"].sel(n_components=number)):
            with pytest.raises(bg.FitError, match=r"proper optimum.*fewer components") as caught:
                value_of(number, STRUCTURES[structure], rows)
            assert "Tied" not in str(caught.value)
            assert "proper optimum" in table["note"].sel(n_components=number).item()


def test_three_values_and_three_components():
    with pytest.raises(bg.FitError, match=r"2 components reach -69\.57"):
        value_of(3, STRUCTURES["tied"], PLACES["three values"][:, 0])


def one_cloud(d=2, n=80):
    return np.random.default_rng(3).normal(size=(n, d))


def point_of(model, rows, at):
    problem = build_problem(model, bg.as_data(rows), n_threads=1)
    objective = Objective(problem, unconstrained=False)
    at = problem.units.to_standard(at)
    value, statistics = objective.value(at)
    return objective, Point(at=at, value=value, statistics=statistics)


def twice(rows, shares=(0.3, 0.7), shift=0.0):
    """The best single Gaussian as two components."""
    mean, covariance = rows.mean(axis=0), np.cov(rows.T, bias=True)
    return Parameters(
        log_weights=np.log(shares),
        means=np.array([mean - shift, mean + shift]),
        choleskys=np.array([np.linalg.cholesky(covariance)] * 2),
    )


@pytest.mark.parametrize("structure", [*STRUCTURES.values(), bg.Full(FLAT), bg.Diagonal(FLAT), bg.Spherical(FLAT)])
def test_the_same_component_twice(structure):
    rows = one_cloud()
    assert coinciding(*point_of(likelihood(2, structure), rows, twice(rows)), 1e-4)
    assert not coinciding(*point_of(likelihood(2, structure), rows, twice(rows, shift=1.0)), 1e-4)


def test_an_empty_component():
    rows = one_cloud()
    at = twice(rows, shares=(1e-12, 1.0), shift=2.0)
    at.means[1] = rows.mean(axis=0)
    assert coinciding(*point_of(likelihood(2, bg.Tied(bg.Full(FLAT))), rows, at), 1e-4)


def test_close_components_that_the_rows_tell_apart_stay():
    # Half a standard deviation apart, but so many rows that the difference is worth some nats.
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, 30_000), rng.normal(0, 3, 30_000)])[:, None]
    fit = bg.fit(likelihood(2, bg.Full(FLAT)), rows, engine=bg.EM(), random_seed=1, progressbar=False)
    assert fit.attrs["status"] == "CONVERGED"
    assert np.abs(np.diff(fit["point_estimate"]["means"][:, 0])) < 0.1


@pytest.mark.parametrize(("precision", "held"), [(400.0, True), (1e-4, False)])
def test_a_prior_may_hold_two_components_together(precision, held):
    # Equal weights and means with a tight prior at the centre of the rows: to move apart costs more than it gains.
    rows = np.concatenate([np.linspace(-1.5, -0.5, 40), np.linspace(0.5, 1.5, 40)])[:, None]
    model = bg.GaussianMixture(
        2,
        weights=bg.FixedWeights([0.5, 0.5]),
        means=bg.NormalMeans(0.0, 1 / np.sqrt(precision)),
        covariances=bg.Tied(bg.InverseWishart(5.0, 1.0)),
    )
    variance = (80 * rows.var() + 1.0) / (80 + 5.0 + 2.0)
    at = Parameters(
        log_weights=np.log([0.5, 0.5]), means=np.zeros((2, 1)), choleskys=np.full((2, 1, 1), np.sqrt(variance))
    )
    assert coinciding(*point_of(model, rows, at), 1e-4) is not held
    fit = bg.fit(model, rows, engine=bg.EM(threads=1), random_seed=1, progressbar=False)
    apart = float(np.abs(np.diff(fit["point_estimate"]["means"][:, 0]))[0])
    assert fit.attrs["status"] == "CONVERGED"
    assert (apart < 1e-3) if held else (apart > 1.5)


def test_the_status_says_what_to_do():
    assert not bg.Status.COINCIDING.usable
    assert "fewer components" in bg.Status.COINCIDING.value
