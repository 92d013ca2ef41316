"""Rows of which the component is known: exact in every engine that takes them, refused by the others."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

import bayesgmm as bg
from bayesgmm.engines._problem import build_problem
from bayesgmm.numerics.rows import make_rows
from bayesgmm.numerics.starts import agreeing
from bayesgmm.results import FIT, read_result, sealed, stored_data
from bayesgmm.results.reorder import renamed_result

K = 3
MEANS = np.array([[3.0, 0.0], [0.0, 0.0], [1.5, 2.0]])
SIGMAS = np.array([np.eye(2), [[1.0, 0.4], [0.4, 0.7]], 0.5 * np.eye(2)])
LOG_WEIGHTS = np.log([0.2, 0.5, 0.3])
PRECISION_FACTORS = np.array([np.linalg.inv(np.linalg.cholesky(S)) for S in SIGMAS])
QUIET = {"progressbar": False, "random_seed": 1}


def some_rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.integers(0, K, n)
    x = np.array([rng.multivariate_normal(MEANS[k], SIGMAS[k]) for k in z])
    return x, z, np.where(rng.random(n) < 0.4, z, -1)


def by_hand(log_densities, known, log_weights, counts=1.0):
    """Log-likelihood from log densities (n, K) of each row under each component."""
    joint = log_densities + log_weights
    alone = joint[np.arange(len(known)), np.maximum(known, 0)]
    return float((np.where(known >= 0, alone, logsumexp(joint, axis=1)) * counts).sum())


@pytest.mark.parametrize("kind", ["exact", "missing", "noise", "groups"])
def test_log_likelihood_and_counts_by_hand(kind):
    x, _, known = some_rows()
    counts = np.random.default_rng(1).integers(0, 4, len(x)).astype(float)
    values, noise, groups, log_weights = x.copy(), None, None, LOG_WEIGHTS
    extra = np.zeros((2, 2))
    seen = [0, 1]
    if kind == "missing":
        values[:, 1], seen = np.nan, [0]
    if kind == "noise":
        noise, extra = np.full(x.shape, 0.5), 0.25 * np.eye(2)
    if kind == "groups":
        groups = np.arange(len(x)) % 2
        log_weights = np.log([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    rows = make_rows(values, counts, noise=noise, groups=groups, known=known)
    found = rows.statistics(log_weights, MEANS, PRECISION_FACTORS)
    blurred = [S[np.ix_(seen, seen)] + extra[np.ix_(seen, seen)] for S in SIGMAS]
    logs = np.stack([multivariate_normal(MEANS[k][seen], blurred[k]).logpdf(x[:, seen]) for k in range(K)], axis=1)
    own = log_weights if groups is None else log_weights[groups]
    value = by_hand(logs, known, own, counts)
    assert found.log_normaliser == pytest.approx(value, rel=1e-12)
    joint = logs + own
    r = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    r[known >= 0] = np.eye(K)[known[known >= 0]]
    np.testing.assert_allclose(found.counts, counts @ r, rtol=1e-10)
    responsibilities, _ = rows.rowwise_of_many(log_weights[None], MEANS[None], PRECISION_FACTORS[None])
    np.testing.assert_allclose(responsibilities[0].T, r, atol=1e-12)
    np.testing.assert_array_equal(responsibilities[0].T[known >= 0], r[known >= 0])


def test_log_likelihood_of_bins_by_hand():
    edges = np.array([[-np.inf, 0.0], [0.0, 1.0], [1.0, np.inf]])
    known = np.array([1, -1, 0])
    counts = np.array([3.0, 5.0, 2.0])
    rows = make_rows(np.array([[-1.0], [0.5], [2.0]]), counts, bins=edges, known=known)
    means, sd, log_weights = np.array([[2.0], [-1.0]]), 1.5, np.log([0.3, 0.7])
    found = rows.statistics(log_weights, means, np.full((2, 1, 1), 1 / sd))
    masses = np.log(np.diff(norm(means[:, 0], sd).cdf(edges[..., None]), axis=1)[:, 0])
    assert found.log_normaliser == pytest.approx(by_hand(masses, known, log_weights, counts), rel=1e-10)


def test_curvature_is_that_of_the_log_likelihood():
    x, _, known = some_rows(12)
    rows = make_rows(x, known=known)
    choleskys = np.linalg.cholesky(SIGMAS)
    here = rows.curvature(LOG_WEIGHTS, MEANS, choleskys)[0]
    D = len(here) // K
    # The coordinates of component k: its log weight, then its mean in units of its Cholesky factor.
    step = 1e-4

    def slope_of_mean(k, j, shift):
        means = MEANS + 0.0
        means[k] += choleskys[k] @ (shift * np.eye(2)[j])
        return rows.statistics(LOG_WEIGHTS, means, PRECISION_FACTORS).log_normaliser

    for k in range(K):
        for j in range(2):
            values = [slope_of_mean(k, j, shift) for shift in (-step, 0.0, step)]
            second = (values[0] - 2 * values[1] + values[2]) / step**2
            assert here[k * D + 1 + j, k * D + 1 + j] == pytest.approx(second, rel=1e-4, abs=1e-4)


def test_a_partition_agrees_with_known_labels():
    labels = np.array([0, 0, 1, 1, 2, 2])
    known = np.array([2, -1, 0, 0, -1, 1])
    assert agreeing(labels, known, 3).tolist() == [2, 2, 0, 0, 1, 1]
    # One row that disagrees keeps its label.
    assert agreeing(labels, np.array([2, 0, 0, 0, -1, 1]), 3).tolist() == [2, 0, 0, 0, 1, 1]


def test_all_labels_known_is_one_gaussian_each():
    x, z, _ = some_rows(60)
    flat = bg.Flat()
    model = bg.GaussianMixture(K, weights=flat, means=flat, covariances=flat)
    point = bg.fit(model, bg.as_data(x, known_labels=z), engine=bg.EM(), **QUIET)["point_estimate"]
    for k in range(K):
        np.testing.assert_allclose(point["weights"][k], (z == k).mean(), rtol=1e-8)
        np.testing.assert_allclose(point["means"][k], x[z == k].mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(point["covariances"][k], np.cov(x[z == k].T, bias=True), rtol=1e-5)


def test_vb_is_exact_where_all_labels_are_known():
    x, z, _ = some_rows(60)
    model = bg.GaussianMixture(K, weights=bg.Dirichlet(2.0), means=bg.ConjugateMeans(precision_scale=0.5))
    fit = bg.fit(model, bg.as_data(x, known_labels=z), engine=bg.VB(draws=40), **QUIET)
    q = fit["variational"]
    counts = np.bincount(z)
    np.testing.assert_allclose(q["weights_concentration"], 2.0 + counts, rtol=1e-8)
    center = x.mean(axis=0)
    for k in range(K):
        expected = (0.5 * center + x[z == k].sum(axis=0)) / (0.5 + counts[k])
        np.testing.assert_allclose(q["means_loc"][k], expected, rtol=1e-6, atol=1e-8)


ENGINES = {
    "EM": bg.EM(),
    "VB": bg.VB(draws=100),
    "Laplace": bg.Laplace(draws=100),
    "NUTS": bg.NUTS(draws=60, tune=120, chains=2),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_components_keep_their_numbers(engine, tmp_path):
    # By their means they would stand in another order.
    x, z, known = some_rows(90, seed=3)
    index = [f"r{i}" for i in range(len(x))]
    table = pd.DataFrame(x, columns=["a", "b"], index=index)
    given = pd.Series(np.where(known < 0, np.nan, known), index=index).iloc[::-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few draws, and few rows
        fit = bg.fit(bg.GaussianMixture(K), bg.as_data(table, known_labels=given), engine=ENGINES[engine], **QUIET)
    means = fit["point_estimate"]["means"].to_numpy()
    assert (np.linalg.norm(means[:, None] - MEANS, axis=2).argmin(axis=1) == np.arange(K)).all()
    labels = fit["assignments"]["label"].to_numpy()
    assert (labels[known >= 0] == known[known >= 0]).all()
    assert (labels == z).mean() > 0.75
    r = fit["assignments"]["responsibilities"].to_numpy()
    np.testing.assert_allclose(r[known >= 0], np.eye(K)[known[known >= 0]], atol=1e-12)
    if "posterior" in fit.children:
        drawn = fit["posterior"]["means"].mean(("chain", "draw")).to_numpy()
        assert (np.linalg.norm(drawn[:, None] - MEANS, axis=2).argmin(axis=1) == np.arange(K)).all()
    fit.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as stored:
        np.testing.assert_array_equal(stored_data(stored).known_labels, known)
        found = bg.predict(stored)
        np.testing.assert_array_equal(found["label"].to_numpy(), labels)
    assert bg.predict(fit, x[:3]).sizes["obs"] == 3
    bg.summary(fit)


def test_only_components_without_known_rows_are_exchangeable():
    x, _, known = some_rows()
    known = np.where(known == 1, 1, -1)
    model = build_problem(bg.GaussianMixture(K), bg.as_data(x, known_labels=known)).model
    keys = model.keys()
    assert keys[0] == keys[2] != keys[1]
    assert model.log_symmetries() == pytest.approx(np.log(2))


def test_unknown_labels_alone_change_nothing():
    x, _, _ = some_rows()
    assert bg.as_data(x, known_labels=[-1] * len(x)).known_labels is None
    assert bg.as_data(x, known_labels=np.ma.array(np.zeros(len(x)), mask=True)).known_labels is None


@pytest.mark.parametrize("given", [[0, None, 1], [0, np.nan, 1.0], [0, -1, 1], np.ma.array([0, 7, 1], mask=[0, 1, 0])])
def test_unknown_labels_in_every_form(given):
    assert bg.as_data([1.0, 2.0, 3.0], known_labels=given).known_labels.tolist() == [0, -1, 1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([0, 0.5, 1], "got 0.5 in row 1"),
        ([0, -2, 1], "got -2 in row 1"),
        ([0, np.inf, 1], "got inf in row 1"),
        ([0, 1], r"shape \(2,\)"),
        (["a", None, None], "not a real number"),
        ([True, None, None], "not a real number"),
        ([None, None, 0], "in row 2, in which no value was observed"),
    ],
)
def test_labels_that_cannot_be_used(given, words):
    with pytest.raises(bg.InputError, match=f"known_labels: .*{words}"):
        bg.as_data([1.0, 2.0, np.nan], known_labels=given)


def test_who_does_not_take_them_says_so():
    x, _, known = some_rows(60)
    data = bg.as_data(x, known_labels=known)
    with pytest.raises(bg.InputError, match="known_labels: has component 2, and the model has 2"):
        bg.fit(bg.GaussianMixture(2), data, engine=bg.EM(), **QUIET)
    fit = bg.fit(bg.GaussianMixture(K), data, engine=bg.EM(), **QUIET)
    with pytest.raises(bg.InputError, match="component 3"):
        bg.predict(fit, bg.as_data(x[:2], known_labels=[3, -1]))
    assert bg.predict(fit, bg.as_data(x[:2], known_labels=[2, 0]))["label"].to_numpy().tolist() == [2, 0]
    calls = [
        lambda: bg.fit(bg.GaussianMixture(K), data, engine=bg.Gibbs(), **QUIET),
        lambda: bg.fit(bg.GaussianMixture(1 + bg.Poisson(2)), data, engine=bg.Gibbs(), **QUIET),
        lambda: bg.compare_components(bg.GaussianMixture(K), data, n_components=(1, 2)),
        lambda: bg.log_evidence(bg.GaussianMixture(K), data),
        lambda: bg.bootstrap_lrt(bg.GaussianMixture(1), data),
        lambda: bg.to_pymc(bg.GaussianMixture(K), data),
    ]
    for call in calls:
        with pytest.raises(bg.UnsupportedError, match=r"known.labels"):
            call()


def test_known_labels_move_with_their_components():
    x, _z, known = some_rows(60)
    known = np.where(known == 2, -1, known)
    fit = bg.fit(bg.GaussianMixture(K), bg.as_data(x, known_labels=known), engine=bg.EM(), **QUIET)
    order = np.array([2, 0, 1])
    moved = renamed_result(fit, order, np.array(["a", "b", "c"]))
    moved = sealed(moved, FIT)
    assert read_result(moved).model.known == (1, 2)
    found = stored_data(moved).known_labels
    np.testing.assert_array_equal(found, np.where(known < 0, -1, np.array([1, 2, 0])[known]))
    before, after = bg.predict(fit)["responsibilities"].to_numpy(), bg.predict(moved)["responsibilities"].to_numpy()
    np.testing.assert_allclose(after, before[:, order], atol=1e-12)
