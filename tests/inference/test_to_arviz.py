"""ArviZ's checks of predictions and of priors work on results."""

from __future__ import annotations

import logging
import warnings

import arviz as az
import numpy as np
import pytest
from matplotlib import pyplot as plt

import bayesgmm as bg
from bayesgmm.engines._objective import log_prior
from bayesgmm.engines.base import Parameters
from bayesgmm.results import read_result
from tests.inference.conftest import EM, fit, two_groups

LAPLACE = bg.Laplace(draws=400, threads=1)


def rows_of(kind):
    rows = two_groups(80, distance=5.0)
    if kind == "holes":
        rows[3, 1] = rows[7, 0] = rows[8, 0] = np.nan
        return rows
    if kind == "counts":
        return bg.as_data(rows, counts=np.resize([1, 2], 80))
    if kind == "groups":
        return bg.as_data(rows, groups=np.repeat(["a", "b"], 40))
    if kind == "errors":
        return bg.as_data(rows[:, 0], noise=0.5, noise_scale=bg.LogNormal(0.0, 0.2))
    return rows[:, 0] if kind == "one feature" else rows


KINDS = {
    "two features": (bg.GaussianMixture(2), LAPLACE),
    "one feature": (bg.GaussianMixture(2), LAPLACE),
    "named, chains": (bg.GaussianMixture(2, component_names=["low", "high"]), bg.NUTS(draws=100, tune=150, chains=2)),
    "holes": (bg.GaussianMixture(2), LAPLACE),
    "counts": (bg.GaussianMixture(2, covariances=bg.Diagonal()), LAPLACE),
    "groups": (bg.GaussianMixture(2), LAPLACE),
    "errors": (bg.GaussianMixture(2), LAPLACE),
    "linked": (bg.GaussianMixture(2, covariances=bg.Tied(bg.LKJ(2.0, scale=bg.HalfNormal(2.0)))), LAPLACE),
    "fixed weights": (bg.GaussianMixture(2, weights=bg.FixedWeights([0.5, 0.5])), LAPLACE),
}


@pytest.fixture(scope="module")
def fits():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.NotConvergedWarning)
        return {kind: fit(*(model, rows_of(kind), engine)) for kind, (model, engine) in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_prior_is_that_of_the_model(fits, kind):
    fitted = read_result(fits[kind])
    group = bg.add_log_prior(fits[kind])["log_prior"]
    total = sum(group[name].to_numpy().ravel() for name in ("weights", "means", "covariances"))
    for s in (0, 57, 199):
        draws = fitted.draws
        at = Parameters(
            log_weights=np.log(draws.weights[s]),
            means=draws.means[s],
            choleskys=np.linalg.cholesky(draws.covariances[s]),
        )
        assert total[s] == pytest.approx(log_prior(fitted.model, at, unconstrained=False), rel=1e-12)
    if kind == "errors":
        expected = bg.LogNormal(0.0, 0.2).log_density(fitted.draws.noise_scale[:, None])[0][:, 0]
        np.testing.assert_allclose(group["noise_scale"].to_numpy().ravel(), expected)
    else:
        assert "noise_scale" not in group


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_arviz_draws_and_tabulates_it(fits, kind):
    features = read_result(fits[kind]).feature_names
    whole = bg.to_arviz(fits[kind], feature=features[0], random_seed=1)
    logging.getLogger("arviz_stats").setLevel(logging.ERROR)
    az.plot_ppc_pit(whole)
    az.plot_loo_pit(whole, var_names="x")
    az.plot_prior_posterior(whole)
    az.plot_ppc_dist(whole, num_samples=5)
    table = az.psense_summary(whole)
    plt.close("all")
    assert np.isfinite(table[["prior", "likelihood"]].to_numpy(dtype=float)).all()
    draws = dict(fits[kind]["posterior"].sizes)
    for group in ("posterior", "log_prior", "log_likelihood", "posterior_predictive"):
        assert whole[group].sizes["chain"] == draws["chain"]
        assert whole[group].sizes["draw"] == draws["draw"]
        np.testing.assert_array_equal(whole[group]["draw"], fits[kind]["posterior"]["draw"])


def test_leaving_out_a_row_is_as_it_is_on_the_fit(fits):
    for kind in ("two features", "counts", "holes"):
        whole = bg.to_arviz(fits[kind], feature="x0", random_seed=1)
        likelihood = bg.add_log_likelihood(fits[kind])["log_likelihood"]["x"]
        total = sum(value.sum() for value in whole["log_likelihood"].data_vars.values())
        assert float(total) == pytest.approx(float(likelihood.sum()))
    assert whole["log_likelihood"]["rest"].sizes["obs_rest"] == 2
    assert whole["observed_data"].sizes["obs"] == 78
    assert np.isfinite(whole["observed_data"]["x"]).all()
    assert np.isfinite(whole["posterior_predictive"]["x"]).all()
    counted = bg.to_arviz(fits["counts"], feature="x1", random_seed=1)
    assert counted["observed_data"].sizes["obs"] == 120


def test_copies_belong_to_the_draws_whose_labels_they_have():
    """Half of the draws have their means far away: so have the copies of these draws, and no others."""
    from bayesgmm.results import FIT, sealed

    result = fit(bg.GaussianMixture(1), two_groups(80)[:, 0], bg.VB(draws=100, chains=4, threads=1)).copy(deep=True)
    result["posterior"]["means"][1] += 1000.0
    result["posterior"]["means"][2, 7] -= 1000.0
    moved = sealed(result, FIT)
    mean = bg.add_posterior_predictive(moved, random_seed=1)["posterior_predictive"]["x"].mean(("obs", "feature"))
    at = result["posterior"]["means"].mean(("component", "feature"))
    np.testing.assert_allclose(mean, at, atol=10)
    few = bg.add_posterior_predictive(moved, n_draws=20, random_seed=1)["posterior_predictive"]["x"]
    assert dict(few.sizes) == {"chain": 4, "draw": 5, "obs": 80, "feature": 1}
    np.testing.assert_allclose(few.mean(("obs", "feature")), at.sel(chain=few["chain"], draw=few["draw"]), atol=10)
    assert bg.add_posterior_predictive(moved, n_draws=3)["posterior_predictive"].sizes["chain"] == 3
    assert bg.add_posterior_predictive(moved, n_draws=10**9)["posterior_predictive"].sizes["draw"] == 25


def test_too_many_copies_are_not_made(fits, monkeypatch):
    from bayesgmm.inference import posterior_predictive

    monkeypatch.setattr(posterior_predictive, "_MOST_NUMBERS", 1000)
    with pytest.raises(bg.InputError, match=r"n_draws: was left out, and 400 copies of 80 rows are too much"):
        bg.add_posterior_predictive(fits["one feature"])


def test_prior_draws_are_those_of_the_prior(fits):
    prior = bg.add_prior(fits["two features"], n_draws=20_000, random_seed=1)["prior"].to_dataset().isel(chain=0)
    model = read_result(fits["two features"]).model
    error = 5 / np.sqrt(20_000)
    assert float(prior["weights"].mean("draw")[0]) == pytest.approx(0.5, abs=error)
    sd = float(prior["means"].std())
    np.testing.assert_allclose(prior["means"].mean(("draw", "component")), model.means.loc[0], atol=error * sd)
    assert set(prior.data_vars) == set(fits["two features"]["posterior"].data_vars) - {"n_occupied"}
    assert bg.add_prior(fits["groups"])["prior"]["weights"].dims == ("chain", "draw", "group", "component")
    assert bg.add_prior(fits["errors"])["prior"]["noise_scale"].sizes["draw"] == 400


def test_a_strong_prior_is_seen():
    """The mean of one group under a prior that contradicts the rows, and under one that says nothing."""
    rows = two_groups(80)[:40, :1]
    values = {}
    for name, prior in (("strong", bg.NormalMeans(3.0, 0.3)), ("weak", bg.NormalMeans(0.0, 50.0))):
        result = fit(bg.GaussianMixture(1, means=prior), rows, bg.Laplace(draws=2000, threads=1))
        table = az.psense_summary(bg.to_arviz(result, random_seed=1), var_names=["means"], prior_var_names=["means"])
        values[name] = float(table["prior"].iloc[0])
    assert values["strong"] > 0.1
    assert values["weak"] < 0.02


def test_what_it_cannot_be_done_for(fits):
    with pytest.raises(bg.InputError, match=r"feature: got None\. Give one of 'x0', 'x1'"):
        bg.to_arviz(fits["two features"])
    with pytest.raises(bg.InputError, match="feature: got 'z'"):
        bg.to_arviz(fits["two features"], feature="z")
    mode = fit(bg.GaussianMixture(2), two_groups(), EM)
    for verb in (bg.add_log_prior, bg.add_prior, bg.to_arviz):
        with pytest.raises(bg.InputError, match=r"no posterior draws|feature"):
            verb(mode)
    for n_draws in (0, -1, 2.5, True, "many"):
        with pytest.raises(bg.InputError, match="n_draws"):
            bg.add_prior(fits["one feature"], n_draws=n_draws)
    for seed in (-1, "a", 1.5):
        with pytest.raises(bg.InputError, match="random_seed"):
            bg.add_prior(fits["one feature"], random_seed=seed)


@pytest.mark.parametrize(
    "model",
    [
        bg.GaussianMixture(1 + bg.Poisson(1.0)),
        bg.GaussianMixture(2, covariances=bg.Full(bg.HierarchicalInverseWishart())),
    ],
)
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_draws_that_do_not_hold_all_parameters(model):
    result = fit(model, two_groups(), bg.Gibbs(sweeps=200))
    for verb in (bg.add_log_prior, bg.add_prior):
        with pytest.raises(bg.UnsupportedError, match=verb.__name__):
            verb(result)
