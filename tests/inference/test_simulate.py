"""Simulated rows have the moments of what they were simulated from, in units of Monte-Carlo error."""

from __future__ import annotations

import numpy as np
import pytest

import bayesgmm as bg
from tests.inference.conftest import EM, fit

LIMIT = 4.0  # Monte-Carlo standard errors
TIMES = 600
MEANS = bg.ConjugateMeans([1.0, -2.0], 0.5)
SCALE = np.array([[2.0, 0.6], [0.6, 1.0]])
WISHART = bg.InverseWishart(13.0, 10 * SCALE)  # mean is SCALE


def within(draws, expected):
    """Mean over the first axis against an expectation, in standard errors."""
    draws = np.asarray(draws, dtype=float)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    difference = np.abs(draws.mean(axis=0) - expected)
    fixed = error < 1e-12
    assert np.all(difference[fixed] < 1e-9)
    assert np.all(difference[~fixed] < LIMIT * error[~fixed]), (difference / np.where(fixed, 1, error)).max()


# Parts, expected weights, expected covariances (one for all components), and the covariance of a mean.
PRIORS = {
    "conjugate": ({}, [1 / 3] * 3, SCALE, 2 * SCALE),
    "unequal weights": ({"weights": bg.Dirichlet([1.0, 2.0, 5.0])}, [1 / 8, 2 / 8, 5 / 8], SCALE, 2 * SCALE),
    "sparse weights": ({"weights": bg.Dirichlet(0.05)}, [1 / 3] * 3, SCALE, 2 * SCALE),
    "sticks": ({"weights": bg.StickBreaking(2.0)}, [1 / 3, 2 / 9, 4 / 9], SCALE, 2 * SCALE),
    "known weights": ({"weights": bg.FixedWeights([0.5, 0.3, 0.2])}, [0.5, 0.3, 0.2], SCALE, 2 * SCALE),
    "normal means": ({"means": bg.NormalMeans([1.0, -2.0], [1.0, 3.0])}, [1 / 3] * 3, SCALE, np.diag([1.0, 9.0])),
    "known means": ({"means": bg.FixedMeans([[1.0, -2.0]] * 3)}, [1 / 3] * 3, SCALE, np.zeros((2, 2))),
    "diagonal": (
        {"covariances": bg.Diagonal(bg.InverseWishart(12.0, [20.0, 5.0]))}, [1 / 3] * 3,
        np.diag([2.0, 0.5]), np.diag([4.0, 1.0]),
    ),
    "spherical": (
        {"covariances": bg.Spherical(bg.InverseWishart(12.0, 20.0))}, [1 / 3] * 3, 2 * np.eye(2), 4 * np.eye(2),
    ),
    "tied": ({"covariances": bg.Tied(WISHART)}, [1 / 3] * 3, SCALE, 2 * SCALE),
    "tied diagonal": (
        {"covariances": bg.Tied(bg.Diagonal(bg.InverseWishart(12.0, [20.0, 5.0])))}, [1 / 3] * 3,
        np.diag([2.0, 0.5]), np.diag([4.0, 1.0]),
    ),
    "known covariances": ({"covariances": bg.FixedCovariances(SCALE)}, [1 / 3] * 3, SCALE, 2 * SCALE),
    "LKJ, half-normal": (
        {"covariances": bg.LKJ(2.0, scale=bg.HalfNormal([1.0, 2.0]))}, [1 / 3] * 3,
        np.diag([1.0, 4.0]), np.diag([2.0, 8.0]),
    ),
    "LKJ, exponential": (
        {"covariances": bg.LKJ(0.7, scale=bg.Exponential(2.0))}, [1 / 3] * 3, 0.5 * np.eye(2), np.eye(2),
    ),
    "LKJ, gamma": (
        {"covariances": bg.LKJ(2.0, scale=bg.Gamma(4.0, 2.0))}, [1 / 3] * 3, 5.0 * np.eye(2), 10.0 * np.eye(2),
    ),
    "LKJ, log-normal": (
        {"covariances": bg.LKJ(2.0, scale=bg.LogNormal(0.0, 0.3))}, [1 / 3] * 3,
        np.exp(0.18) * np.eye(2), 2 * np.exp(0.18) * np.eye(2),
    ),
    "diagonal LKJ": (
        {"covariances": bg.Diagonal(bg.LKJ(2.0, scale=bg.HalfNormal([1.0, 2.0])))}, [1 / 3] * 3,
        np.diag([1.0, 4.0]), np.diag([2.0, 8.0]),
    ),
    "tied spherical LKJ": (
        {"covariances": bg.Tied(bg.Spherical(bg.LKJ(2.0, scale=bg.HalfNormal(1.5))))}, [1 / 3] * 3,
        2.25 * np.eye(2), 4.5 * np.eye(2),
    ),
}  # fmt: skip


@pytest.mark.fit
@pytest.mark.parametrize("case", PRIORS)
def test_moments_from_a_prior(case):
    parts, weights, covariance, spread = PRIORS[case]
    parts = {"weights": bg.Dirichlet(1.0), "means": MEANS, "covariances": WISHART} | parts
    model = bg.GaussianMixture(3, **parts)
    drawn = [bg.simulate(model, 2, random_seed=seed) for seed in range(TIMES)]
    means = np.array([one["means"].to_numpy() for one in drawn])
    covariances = np.array([one["covariances"].to_numpy() for one in drawn])
    rows = np.array([one["x"].to_numpy() for one in drawn])
    labels = np.array([one["label"].to_numpy() for one in drawn])
    mu = np.array([1.0, -2.0])
    within(np.array([one["weights"].to_numpy() for one in drawn]), weights)
    within(labels[:, :1] == np.arange(3), weights)
    within(means, np.broadcast_to(mu, (3, 2)))
    delta = means - mu
    # Products have long tails, so components are averaged first.
    within((delta[..., :, None] * delta[..., None, :]).mean(axis=1), spread)
    within(covariances, np.broadcast_to(covariance, (3, 2, 2)))
    within(rows, mu)
    delta = rows - mu
    within((delta[..., :, None] * delta[..., None, :]).mean(axis=1), covariance + spread)
    # Within its component a row is standard once whitened.
    own = np.arange(TIMES)
    L = np.linalg.cholesky(covariances[own, labels[:, 0]])
    z = np.linalg.solve(L, (rows[:, 0] - means[own, labels[:, 0]])[..., None])[..., 0]
    within(z, np.zeros(2))
    within(z[:, :, None] * z[:, None, :], np.eye(2))
    if "tied" in case:
        assert np.all(covariances == covariances[:, :1])
    elif "known" not in case:
        assert np.all(np.ptp(covariances[..., 0, 0], axis=1) > 0)


@pytest.mark.parametrize("eta", [0.7, 1.0, 3.0])
def test_correlations_of_lkj_have_their_variance(eta):
    """In d dimensions a correlation is a stretched Beta with variance 1 / (2 eta + d - 1)."""
    d = 3
    model = bg.GaussianMixture(
        1, means=bg.FixedMeans(np.zeros((1, d))), covariances=bg.LKJ(eta, scale=bg.Gamma(4.0, 2.0))
    )
    drawn = [bg.simulate(model, 1, random_seed=seed)["covariances"][0].to_numpy() for seed in range(TIMES)]
    r = np.array([S / np.sqrt(np.outer(np.diag(S), np.diag(S))) for S in drawn])
    pairs = r[:, [0, 0, 1], [1, 2, 2]]
    within(pairs, np.zeros(3))
    within(np.square(pairs), np.full(3, 1 / (2 * eta + d - 1)))


def test_a_filled_declaration_of_a_fit_can_be_drawn(em_fit):
    model = bg.GaussianMixture.from_json(em_fit.attrs["model"])
    drawn = bg.simulate(model, 5, random_seed=1)
    assert drawn["component"].to_numpy().tolist() == ["short", "long"]
    assert drawn["x"].shape == (5, 2)


def test_sizes_and_names():
    model = bg.GaussianMixture(2, means=bg.FixedMeans([0.0, 5.0]), covariances=bg.FixedCovariances([1.0, 4.0]))
    drawn = bg.simulate(model, 7, random_seed=1)
    assert dict(drawn.sizes) == {"obs": 7, "feature": 1, "feature_bis": 1, "component": 2}
    assert drawn["x"].dims == ("obs", "feature")
    assert drawn["covariances"].dims == ("component", "feature", "feature_bis")
    assert drawn["covariances"].to_numpy().ravel().tolist() == [1.0, 4.0]
    scalar = bg.GaussianMixture(2, means=bg.NormalMeans(0.0, 1.0), covariances=bg.FixedCovariances(1.0))
    assert bg.simulate(scalar, 3, n_features=4, random_seed=1)["x"].shape == (3, 4)
    assert bg.simulate(scalar, 1, n_features=1)["x"].shape == (1, 1)


def test_seeds():
    model = bg.GaussianMixture(2, means=MEANS, covariances=WISHART)
    first = bg.simulate(model, 4, random_seed=1)
    assert first.identical(bg.simulate(model, 4, random_seed=1))
    assert not np.array_equal(first["means"], bg.simulate(model, 4, random_seed=2)["means"])
    assert not np.array_equal(bg.simulate(model, 4)["x"], bg.simulate(model, 4)["x"])


def test_moments_from_em(em_fit):
    n = 20_000
    drawn = bg.simulate(em_fit, n, random_seed=4)
    point = em_fit["point_estimate"].to_dataset()
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(drawn[name], point[name])
    assert drawn["feature"].to_numpy().tolist() == ["length", "width"]
    labels, rows = drawn["label"].to_numpy(), drawn["x"].to_numpy()
    within(labels[:, None] == np.array(["short", "long"]), point["weights"].to_numpy())
    for k, name in enumerate(("short", "long")):
        own = rows[labels == name] - point["means"][k].to_numpy()
        within(own, np.zeros(2))
        within(own[:, :, None] * own[:, None, :], point["covariances"][k].to_numpy())


def test_rows_from_vb_come_from_one_posterior_draw(vb_fit):
    drawn = bg.simulate(vb_fit, 20_000, random_seed=4)
    posterior = vb_fit["posterior"].to_dataset().stack(sample=("chain", "draw")).transpose("sample", ...)
    match = np.flatnonzero((posterior["means"].to_numpy() == drawn["means"].to_numpy()).all(axis=(1, 2)))
    assert match.size == 1
    for name in ("weights", "covariances"):
        np.testing.assert_array_equal(posterior[name][match[0]], drawn[name])
    labels, rows = drawn["label"].to_numpy(), drawn["x"].to_numpy()
    within(labels[:, None] == np.array(["short", "long"]), drawn["weights"].to_numpy())
    own = rows[labels == "long"] - drawn["means"].sel(component="long").to_numpy()
    within(own[:, :, None] * own[:, None, :], drawn["covariances"].sel(component="long").to_numpy())


@pytest.mark.fit
def test_repeated_rows_from_vb_spread_like_the_posterior_predictive(vb_fit):
    rows = np.array([bg.simulate(vb_fit, 1, random_seed=seed)["x"][0].to_numpy() for seed in range(TIMES)])
    q = vb_fit["variational"].to_dataset()
    w, m, S, df = (
        q[name].to_numpy() for name in ("weights_mean", "predictive_loc", "predictive_scale", "predictive_df")
    )
    mean = w @ m
    delta = m - mean
    second = np.einsum("k,kij->ij", w, S * (df / (df - 2))[:, None, None] + delta[:, :, None] * delta[:, None, :])
    within(rows, mean)
    within((rows - mean)[:, :, None] * (rows - mean)[:, None, :], second)


def test_a_fit_to_simulated_rows_finds_the_parameters(em_fit):
    drawn = bg.simulate(em_fit, 5000, random_seed=5)
    again = fit(bg.GaussianMixture(2), drawn["x"], EM)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(again["point_estimate"][name], drawn[name], rtol=0, atol=0.12)
    assert again["point_estimate"]["feature"].to_numpy().tolist() == ["length", "width"]
    names = np.array(["short", "long"])[again["assignments"]["label"].to_numpy()]
    assert np.mean(names == drawn["label"].to_numpy()) > 0.995
