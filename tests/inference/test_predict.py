"""Responsibilities and densities against scipy, and results in the hands of ArviZ."""

from __future__ import annotations

import warnings

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.inference import prediction
from tests.inference.conftest import EM, FLAT, VB, fit, two_groups

NEW_ROWS = np.array([[0.0, 0.0], [3.0, 3.1], [2.0, 5.0], [7.0, 5.0], [-9.0, 14.0]])


def normal_terms(rows, weights, means, covariances):
    """Log of weight times density, (K, n)."""
    parts = zip(weights, means, covariances, strict=True)
    return np.array([np.log(w) + stats.multivariate_normal(m, c).logpdf(rows) for w, m, c in parts])


def point_of(result, group="point_estimate"):
    values = result[group].to_dataset()
    return [values[name].to_numpy() for name in ("weights", "means", "covariances")]


# ---- EM ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [{}, FLAT, {"covariances": bg.Tied()}, {"covariances": bg.Diagonal()}], ids=str)
def test_em_is_the_plain_mixture(parts, table):
    result = fit(bg.GaussianMixture(2, **parts), table, EM)
    for rows, got in ((table.to_numpy(), bg.predict(result)), (NEW_ROWS, bg.predict(result, NEW_ROWS))):
        terms = normal_terms(rows, *point_of(result))
        np.testing.assert_allclose(got["log_density"], logsumexp(terms, axis=0), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(
            got["responsibilities"], np.exp(terms - logsumexp(terms, axis=0)).T, rtol=1e-9, atol=1e-14
        )
        assert np.isnan(got["responsibilities_lower"]).all()
        assert np.isnan(got["responsibilities_upper"]).all()


# ---- VB with a closed form --------------------------------------------------------------------------------------


def student_terms(result, rows):
    """Predictive terms of weight times density, from q's own parameters (Bishop 2006, equation 10.81)."""
    q = result["variational"].to_dataset()
    a, kappa, m = (q[name].to_numpy() for name in ("weights_concentration", "means_precision_scale", "means_loc"))
    df, scale = q["covariance_df"].to_numpy(), q["covariance_scale"].to_numpy()
    d = m.shape[1]
    out = []
    for k in range(a.size):
        nu = df[k] - d + 1
        shape = scale[k] * (kappa[k] + 1) / (kappa[k] * nu)
        out.append(np.log(a[k] / a.sum()) + stats.multivariate_t(m[k], shape, df=nu).logpdf(rows))
    return np.array(out)


def test_vb_density_is_a_mixture_of_student_t(vb_fit, table):
    for rows in (table.to_numpy(), NEW_ROWS):
        expected = logsumexp(student_terms(vb_fit, rows), axis=0)
        np.testing.assert_allclose(bg.predict(vb_fit, rows)["log_density"], expected, rtol=1e-9)


def test_vb_density_with_diagonal_covariances_has_independent_axes(table):
    result = fit(bg.GaussianMixture(2, covariances=bg.Diagonal()), table, VB)
    q = result["variational"].to_dataset()
    a, kappa, m, df = (
        q[name].to_numpy() for name in ("weights_concentration", "means_precision_scale", "means_loc", "covariance_df")
    )
    scale = np.diagonal(q["covariance_scale"], axis1=1, axis2=2)
    expected = logsumexp(
        [
            np.log(a[k] / a.sum())
            + stats.t(df[k], m[k], np.sqrt(scale[k] * (1 + 1 / kappa[k]) / df[k])).logpdf(NEW_ROWS).sum(axis=1)
            for k in range(2)
        ],
        axis=0,
    )
    np.testing.assert_allclose(bg.predict(result, NEW_ROWS)["log_density"], expected, rtol=1e-9)


DENSITIES = {
    "default": {},
    "diagonal": {"covariances": bg.Diagonal()},
    "spherical": {"covariances": bg.Spherical()},
    "tied": {"covariances": bg.Tied()},
    "known covariances": {"covariances": bg.FixedCovariances(1.0)},
    "known means": {"means": bg.FixedMeans([[0.0, 0.0], [6.0, 6.0]])},
    "known weights": {"weights": bg.FixedWeights([0.3, 0.7])},
    "sticks": {"weights": bg.StickBreaking(1.0)},
    "normal means, known covariances": {"means": bg.NormalMeans(), "covariances": bg.FixedCovariances(1.0)},
    "normal means": {"means": bg.NormalMeans()},
}


@pytest.mark.parametrize("case", DENSITIES)
def test_vb_density_is_close_to_the_mean_over_draws(case, table):
    """The closed form is the expectation of what the draws give, within Monte-Carlo error."""
    result = fit(bg.GaussianMixture(2, **DENSITIES[case]), table, bg.VB(threads=1, draws=2000))
    rows = NEW_ROWS[:3]
    density = np.exp(bg.predict(result, rows, per_draw=True)["log_density"].to_numpy().reshape(2000, -1))
    error = density.std(axis=0) / np.sqrt(2000)
    expected = np.exp(bg.predict(result, rows)["log_density"].to_numpy())
    assert np.all(np.abs(density.mean(axis=0) - expected) < 4.5 * error + 1e-12)


@pytest.mark.parametrize("case", DENSITIES)
def test_density_integrates_to_one_in_two_dimensions(case, table):
    result = fit(bg.GaussianMixture(2, **DENSITIES[case]), table, bg.VB(threads=1, draws=100))
    grid = np.linspace(-19.0, 25.0, 221)
    rows = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    density = np.exp(bg.predict(result, rows)["log_density"].to_numpy()).reshape(221, 221)
    # Tails of Student-t distributions beyond the grid hold less than the tolerance.
    assert integrate.trapezoid(integrate.trapezoid(density, grid), grid) == pytest.approx(1.0, abs=2e-4)


@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
@pytest.mark.parametrize("engine", [EM, bg.VB(threads=1, draws=100)])
def test_density_integrates_to_one_in_any_units(engine, scale, overlapping):
    result = fit(bg.GaussianMixture(2), overlapping * scale, engine)

    def density(z):
        return np.exp(bg.predict(result, np.atleast_1d(z) * scale)["log_density"].to_numpy() + np.log(scale))

    total = integrate.trapezoid(density(np.linspace(-60, 60, 3001)), dx=0.04)
    assert total == pytest.approx(1.0, abs=1e-6)


def test_without_a_closed_form_the_density_is_the_mean_over_draws(draws_only_fit):
    assert draws_only_fit.attrs["predictive_family"] == "draws"
    got = bg.predict(draws_only_fit, NEW_ROWS)
    weights, means, covariances = (
        value.reshape(200, *value.shape[2:]) for value in point_of(draws_only_fit, "posterior")
    )
    by_draw = [
        logsumexp(normal_terms(NEW_ROWS, *draw), axis=0) for draw in zip(weights, means, covariances, strict=True)
    ]
    np.testing.assert_allclose(got["log_density"], logsumexp(by_draw, axis=0) - np.log(200), rtol=1e-9)


# ---- draws ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vb_fit", "overlapping_fit", "draws_only_fit"])
def test_per_draw_and_its_summary(name, request):
    result = request.getfixturevalue(name)
    posterior = result["posterior"].to_dataset()
    d = posterior.sizes["feature"]
    rows = NEW_ROWS[:, :d]
    draws, got = bg.predict(result, rows, per_draw=True), bg.predict(result, rows)
    assert draws["responsibilities"].dims == ("chain", "draw", "obs", "component")
    assert draws["log_density"].dims == ("chain", "draw", "obs")
    assert set(draws.data_vars) == {"responsibilities", "log_density"}
    assert draws.sizes["chain"] == 4
    assert draws["component"].equals(posterior["component"])
    np.testing.assert_allclose(draws["responsibilities"].mean(("chain", "draw")), got["responsibilities"], rtol=1e-12)
    np.testing.assert_allclose(draws["responsibilities"].sum("component"), 1.0, rtol=1e-12)
    low, high = (draws["responsibilities"].quantile(q, ("chain", "draw")) for q in (0.055, 0.945))
    np.testing.assert_allclose(got["responsibilities_lower"], low, rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(got["responsibilities_upper"], high, rtol=1e-10, atol=1e-300)
    # One draw, by scipy.
    at = {"chain": 2, "draw": 7}
    parts = [posterior[name].isel(at).to_numpy() for name in ("weights", "means", "covariances")]
    terms = normal_terms(rows, *parts).reshape(2, -1)
    np.testing.assert_allclose(draws["log_density"].isel(at), logsumexp(terms, axis=0), rtol=1e-10)
    np.testing.assert_allclose(
        draws["responsibilities"].isel(at), np.exp(terms - logsumexp(terms, axis=0)).T, rtol=1e-9, atol=1e-300
    )


def test_labels_are_names_of_the_most_probable_component_at_the_point_estimate(overlapping_fit, vb_fit):
    for result, rows in ((overlapping_fit, np.linspace(-3, 6, 40)), (vb_fit, NEW_ROWS)):
        got, point = bg.predict(result, rows), result["point_estimate"].to_dataset()
        parts = (point[name].to_numpy() for name in ("weights", "means", "covariances"))
        heights = [w * stats.multivariate_normal.pdf(rows, mean, cov) for w, mean, cov in zip(*parts, strict=True)]
        which = np.argmax(heights, axis=0)
        np.testing.assert_array_equal(got["label"], got["component"].to_numpy()[which])
        r = got["responsibilities"].to_numpy()
        np.testing.assert_allclose(got["label_probability"], r[np.arange(len(r)), which], rtol=1e-12)


def test_names_of_new_rows(vb_fit):
    new = pd.DataFrame(NEW_ROWS, columns=["length", "width"], index=list("vwxyz"))
    assert bg.predict(vb_fit, new)["obs"].to_numpy().tolist() == list("vwxyz")
    assert bg.predict(vb_fit, new, per_draw=True)["obs"].to_numpy().tolist() == list("vwxyz")
    assert bg.predict(vb_fit, NEW_ROWS)["obs"].to_numpy().tolist() == list(range(5))


FAR = np.array([[1e3, 1e3], [1e6, -1e6], [-1e12, 1.0], [1e100, 1e100], [1e149, 0.0], [-1e150, 1e150]])


@pytest.mark.parametrize("name", ["vb_fit", "em_fit", "draws_only_fit"])
def test_rows_far_away_are_fine(name, request):
    result = request.getfixturevalue(name)
    got = bg.predict(result, FAR)
    assert np.isfinite(got["responsibilities"]).all()
    np.testing.assert_allclose(got["responsibilities"].sum("component"), 1.0, rtol=1e-12)
    # A Normal density may be too small even for its log; it is never NaN.
    assert not np.isnan(got["log_density"]).any()
    assert np.all(got["log_density"][:3] < -10)
    assert got["log_density"][0] > got["log_density"][1] > got["log_density"][2]
    if name != "em_fit":
        assert np.all(got["responsibilities_lower"] <= got["responsibilities_upper"])
        assert not np.isnan(bg.predict(result, FAR, per_draw=True)["responsibilities"]).any()


@pytest.mark.parametrize("name", ["vb_fit", "draws_only_fit"])
@pytest.mark.parametrize("numbers", [1, 2 * 200 * 7, 2 * 1000 * 59])
def test_chunks_of_rows_do_not_matter(name, numbers, request, monkeypatch):
    result = request.getfixturevalue(name)
    whole, draws = bg.predict(result), bg.predict(result, per_draw=True)
    likelihood = bg.add_log_likelihood(result)["log_likelihood"].to_dataset()
    monkeypatch.setattr(prediction, "_NUMBERS_AT_ONCE", numbers)
    assert bg.predict(result).identical(whole)
    assert bg.predict(result, per_draw=True).identical(draws)
    assert bg.add_log_likelihood(result)["log_likelihood"].to_dataset().identical(likelihood)


def test_many_rows_use_fewer_draws_and_say_so(vb_fit, monkeypatch):
    monkeypatch.setattr(prediction, "_MOST_RESPONSIBILITIES", 100)
    got = bg.predict(vb_fit)
    assert got.attrs["interval"] == "89% eti over 200 draws"
    np.testing.assert_allclose(got["responsibilities"], bg.predict(vb_fit)["responsibilities"], rtol=0, atol=1e-12)
    monkeypatch.undo()
    assert bg.predict(vb_fit).attrs["interval"] == "89% eti over 1000 draws"
    np.testing.assert_allclose(got["log_density"], bg.predict(vb_fit)["log_density"], rtol=1e-12)


@pytest.mark.parametrize("name", ["vb_fit", "em_fit"])
def test_rows_one_by_one_are_the_same_as_together(name, request):
    result = request.getfixturevalue(name)
    together = bg.predict(result, NEW_ROWS)
    for i, row in enumerate(NEW_ROWS):
        alone = bg.predict(result, row[None])
        for variable in ("responsibilities", "log_density", "responsibilities_lower", "responsibilities_upper"):
            np.testing.assert_allclose(alone[variable][0], together[variable][i], rtol=1e-10)


# ---- log likelihood, and ArviZ ----------------------------------------------------------------------------------


def test_log_likelihood_of_every_draw(vb_fit, table):
    with_likelihood = bg.add_log_likelihood(vb_fit)
    values = with_likelihood["log_likelihood"]["x"]
    assert values.dims == ("chain", "draw", "obs")
    assert values["obs"].to_numpy().tolist() == list(table.index)
    posterior = vb_fit["posterior"].to_dataset()
    for chain, draw in ((0, 0), (1, 249), (3, 17)):
        at = {"chain": chain, "draw": draw}
        parts = [posterior[name].isel(at).to_numpy() for name in ("weights", "means", "covariances")]
        expected = logsumexp(normal_terms(table.to_numpy(), *parts), axis=0)
        np.testing.assert_allclose(values.isel(at), expected, rtol=1e-10)
    new = bg.add_log_likelihood(vb_fit, NEW_ROWS)["log_likelihood"]["x"]
    np.testing.assert_allclose(new, bg.predict(vb_fit, NEW_ROWS, per_draw=True)["log_density"], rtol=1e-12)


def test_log_likelihood_and_the_joint_density_of_sample_stats_agree(overlapping_fit):
    """lp differs from the summed log likelihood by the prior alone, which K = 1 parameters give by scipy."""
    rows = two_groups(30, 0.0, d=2, seed=9)
    model = bg.GaussianMixture(
        1, means=bg.ConjugateMeans([0.5, 0.0], 0.1), covariances=bg.InverseWishart(5.0, [[1.0, 0.3], [0.3, 2.0]])
    )
    result = fit(model, rows, bg.VB(threads=1, draws=8))
    total = bg.add_log_likelihood(result)["log_likelihood"]["x"].sum("obs").to_numpy().ravel()
    posterior = result["posterior"].to_dataset()
    means = posterior["means"].to_numpy().reshape(8, 2)
    covariances = posterior["covariances"].to_numpy().reshape(8, 2, 2)
    prior = [
        stats.invwishart(5.0, [[1.0, 0.3], [0.3, 2.0]]).logpdf(c)
        + stats.multivariate_normal([0.5, 0.0], c / 0.1).logpdf(m)
        for m, c in zip(means, covariances, strict=True)
    ]
    np.testing.assert_allclose(result["sample_stats"]["lp"].to_numpy().ravel(), total + prior, rtol=1e-10)
    # With one component q is the posterior, so every weight is the evidence, as is the bound.
    weight = result["sample_stats"]["log_weight"].to_numpy()
    np.testing.assert_allclose(weight, result["point_estimate"].attrs["elbo"], rtol=1e-10)


def test_arviz_loo_and_compare(vb_fit, table):
    two = bg.add_log_likelihood(vb_fit)
    one = bg.add_log_likelihood(fit(bg.GaussianMixture(1), table, VB))
    loo = az.loo(two)
    assert loo.n_data_points == len(table)
    density = bg.predict(vb_fit)["log_density"].to_numpy().sum()
    assert density - 30 < float(loo.elpd) < density
    assert float(loo.elpd) > float(az.loo(one).elpd) + 20
    assert az.compare({"one": one, "two": two}).index[0] == "two"


def test_arviz_summary(vb_fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # variables without spread: diagonals and n_occupied
        whole = az.summary(vb_fit)
    assert "weights[short]" in whole.index
    assert "means[long, width]" in whole.index
    assert "n_occupied" in whole.index
    table = az.summary(vb_fit, var_names=["weights", "means"], round_to="none")
    assert len(table) == 6
    assert float(table.loc["weights[short]", "mean"]) == pytest.approx(
        float(vb_fit["posterior"]["weights"].sel(component="short").mean()), abs=1e-9
    )
    responsibilities = az.summary(bg.predict(vb_fit, NEW_ROWS[1:3], per_draw=True), var_names=["responsibilities"])
    assert len(responsibilities) == 4


# Functions that a posterior alone feeds; n_occupied is left out where ArviZ fails on a constant whole number.
PLOTS_OF_ALL = ["plot_trace", "plot_forest", "plot_ess", "plot_mcse", "plot_autocorr", "plot_parallel"]
PLOTS_WITHOUT_CONSTANTS = ["plot_dist", "plot_trace_dist", "plot_rank", "plot_rank_dist", "plot_ridge", "plot_pair"]


@pytest.fixture
def no_figures_left():
    yield
    plt.close("all")


@pytest.mark.usefixtures("no_figures_left")
@pytest.mark.parametrize("name", PLOTS_OF_ALL)
def test_arviz_plots_take_a_result_unchanged(name, overlapping_fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert getattr(az, name)(overlapping_fit) is not None
    assert plt.get_fignums()


@pytest.mark.fit
@pytest.mark.usefixtures("no_figures_left")
@pytest.mark.parametrize("name", PLOTS_WITHOUT_CONSTANTS)
def test_arviz_plots_of_weights_and_means(name, overlapping_fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert getattr(az, name)(overlapping_fit, var_names=["weights", "means", "sds"]) is not None
    assert plt.get_fignums()


@pytest.mark.usefixtures("no_figures_left")
def test_arviz_plot_dist_takes_a_result_unchanged(overlapping_fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        az.plot_dist(overlapping_fit)


@pytest.mark.usefixtures("no_figures_left")
def test_arviz_forest_of_responsibilities(vb_fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draws = bg.predict(vb_fit, NEW_ROWS[:3], per_draw=True)
        assert az.plot_forest(draws, var_names=["responsibilities"]) is not None


def test_arviz_sees_independent_draws(vb_fit):
    ess = az.ess(vb_fit, var_names=["weights", "means"])
    assert float(ess["means"].min()) > 500
    assert "R-hat and ESS say nothing" in vb_fit["posterior"].attrs["sampling"]
