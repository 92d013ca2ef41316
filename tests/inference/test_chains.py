"""What comes back from chains: relabelling, its record, diagnosis, comparison, files, and ArviZ on top."""

import warnings

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm.results import FIT, sealed
from tests.engines.test_nuts import three_components

QUIET = {"progressbar": False}
MODEL = bg.GaussianMixture(3, covariances=bg.LKJ(2.0))
ENGINE = bg.NUTS(draws=250, tune=200, n_init=8)


@pytest.fixture(scope="module")
def fit():
    with warnings.catch_warnings():
        # So few draws may not pass the strict limit of R-hat, depending on the last digits of the machine.
        warnings.simplefilter("ignore", bg.NotConvergedWarning)
        return bg.fit(MODEL, three_components(150), engine=ENGINE, random_seed=1, **QUIET)


def switched(fit, rng):
    """The fit with its labels permuted at random in every draw, as if it came from a sampler that switches."""
    out = fit.copy()
    posterior = out["posterior"].to_dataset()
    shape = posterior["weights"].shape
    orders = rng.permuted(np.broadcast_to(np.arange(shape[2]), shape), axis=2)
    for name in ("weights", "means", "covariances", "sds", "correlations"):
        values = posterior[name].to_numpy()
        index = orders.reshape(*shape, *[1] * (values.ndim - 3))
        posterior[name] = posterior[name].copy(data=np.take_along_axis(values, index, axis=2))
    out["posterior"] = posterior
    del out["unrelabelled"]
    return sealed(out, FIT)


def test_relabelling_undoes_label_switching_and_keeps_the_draws_as_sampled(fit):
    shuffled = switched(fit, np.random.default_rng(0))
    again = bg.relabel(shuffled)
    for name in ("weights", "means", "covariances", "sds", "correlations"):
        np.testing.assert_allclose(again["posterior"][name], fit["posterior"][name], atol=1e-12)
    record = again["relabelling"].attrs
    assert record["r_hat_before"] > record["r_hat_after"] or record["r_hat_before"] > 0.99
    assert 0.7 * 1000 < record["switched_draws"] < 0.95 * 1000  # 5 of 6 permutations are no identity
    np.testing.assert_array_equal(again["unrelabelled"]["means"], shuffled["posterior"]["means"])
    order = again["relabelling"]["order"].to_numpy()
    recovered = np.take_along_axis(again["unrelabelled"]["means"].to_numpy(), order[..., None], axis=2)
    np.testing.assert_allclose(recovered, again["posterior"]["means"], atol=1e-12)
    # Relabelling twice starts from the draws as sampled and changes nothing.
    np.testing.assert_array_equal(bg.relabel(again)["posterior"]["means"], again["posterior"]["means"])


def test_labels_of_a_reference_are_taken_on(fit):
    reference = bg.fit(MODEL, three_components(150), engine=bg.EM(n_init=8), random_seed=1, **QUIET)
    point = reference["point_estimate"].to_dataset()
    order = [2, 0, 1]
    for name in ("weights", "means", "covariances"):
        point[name] = point[name].copy(data=point[name].to_numpy()[order])
    reference["point_estimate"] = point
    relabelled = bg.relabel(fit, reference=sealed(reference, FIT))
    np.testing.assert_allclose(relabelled["posterior"]["means"], fit["posterior"]["means"].to_numpy()[:, :, order])


def test_relabel_refuses_what_it_cannot_relabel(fit):
    em = bg.fit(bg.GaussianMixture(2), three_components(50), engine=bg.EM(n_init=4), random_seed=1, **QUIET)
    with pytest.raises(bg.InputError, match="no posterior draws"):
        bg.relabel(em)
    with pytest.raises(bg.InputError, match="reference"):
        bg.relabel(fit, reference=em)


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_components_that_the_prior_tells_apart_never_change_places():
    model = bg.GaussianMixture(2, means=bg.NormalMeans(mu=[[0.0], [0.5]], sigma=1.0), covariances=bg.LKJ())
    x = np.random.default_rng(0).normal(size=60)
    fit = bg.fit(model, x, engine=bg.NUTS(draws=100, tune=100, chains=2, n_init=4), random_seed=1, **QUIET)
    assert fit["relabelling"].attrs["switched_draws"] == 0
    assert np.isinf(fit["relabelling"]["margin"]).all()


def test_diagnosis_speaks_of_chains(fit):
    found = bg.diagnose(fit)
    checks = set(found["check"].to_numpy())
    assert {"modes", "divergences", "r_hat_invariant", "r_hat", "effective_draws", "label_switching"} <= checks
    assert bool(found["ok"].sel(check="modes"))
    assert "same mode" in str(found["message"].sel(check="modes").item())
    stats = fit.copy()
    broken = stats["sample_stats"].to_dataset()
    broken["diverging"] = xr.ones_like(broken["diverging"])
    stats["sample_stats"] = broken
    found = bg.diagnose(sealed(stats, FIT))
    assert not bool(found["ok"].sel(check="divergences"))
    assert "target_accept" in str(found["message"].sel(check="divergences").item())


def test_responsibilities_are_means_over_draws(fit):
    per_draw = bg.predict(fit, per_draw=True)["responsibilities"]
    assigned = fit["assignments"]
    np.testing.assert_allclose(assigned["responsibilities"], per_draw.mean(("chain", "draw")), atol=1e-12)
    assert (assigned["responsibilities_lower"] <= assigned["responsibilities_upper"]).all()
    new = bg.predict(fit, [[0.0, 0.0], [2.5, 2.5]])
    assert float(new["responsibilities"][0].max()) > 0.95
    assert float(new["responsibilities_upper"][1].max() - new["responsibilities_lower"][1].max()) > 0


def test_a_file_is_enough(fit, tmp_path):
    path = tmp_path / "fit.nc"
    fit.to_netcdf(path)
    with xr.open_datatree(path) as back:
        np.testing.assert_allclose(
            bg.predict(back, [[1.0, 2.0]])["responsibilities"], bg.predict(fit, [[1.0, 2.0]])["responsibilities"]
        )
        assert bg.diagnose(back).equals(bg.diagnose(fit))
        np.testing.assert_array_equal(bg.relabel(back)["posterior"]["means"], fit["posterior"]["means"])


def test_arviz_works_on_it(fit):
    whole = bg.add_posterior_predictive(bg.add_log_likelihood(fit), n_draws=20, random_seed=1)
    assert whole["posterior_predictive"]["x"].dims == ("chain", "draw", "obs", "feature")
    with warnings.catch_warnings():
        # One row far out has a Pareto k near ArviZ's limit, which is above it or not as the draws fall.
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto")
        loo = az.loo(whole, pointwise=True)
    assert np.isfinite(loo.elpd)
    assert int((loo.pareto_k > loo.good_k).sum()) <= 1
    assert az.summary(whole, var_names=["weights", "means"])["r_hat"].astype(float).max() < 1.05
    az.plot_ppc_dist(whole, num_samples=10)
    az.plot_trace(whole, var_names=["weights"])
    plt.close("all")
    simulated = whole["posterior_predictive"]["x"].to_numpy().reshape(-1, 2)
    np.testing.assert_allclose(simulated.mean(axis=0), three_components(150).mean(axis=0), atol=0.5)
    with pytest.raises(bg.InputError, match="n_draws"):
        bg.add_posterior_predictive(fit, n_draws=0)


def test_engines_side_by_side(fit):
    x = three_components(150)
    em = bg.fit(MODEL, x, engine=bg.EM(n_init=8), random_seed=1, **QUIET)
    table = bg.compare_engines([em, fit])
    assert list(table["fit"].to_numpy()) == ["EM", "NUTS"]
    assert np.isnan(table["weights_lower"].sel(fit="EM")).all()
    expected = fit["posterior"]["means"].mean(("chain", "draw"))
    np.testing.assert_allclose(table["means"].sel(fit="NUTS"), expected)
    assert 0 < float(table["apart"].sel(fit="NUTS")) < 2
    width = fit["posterior"].to_dataset()[["weights", "means", "sds"]].std(("chain", "draw"))
    point = em["point_estimate"].to_dataset()
    mean = fit["posterior"].to_dataset().mean(("chain", "draw"))
    largest = max(float((abs(mean[name] - point[name]) / width[name]).max()) for name in width)
    assert float(table["apart"].sel(fit="NUTS")) == pytest.approx(largest)
    difference = abs(em["assignments"]["responsibilities"] - fit["assignments"]["responsibilities"])
    assert float(table["responsibilities_apart"].sel(fit="NUTS")) == pytest.approx(float(difference.max()))
    # Other labels are no difference.
    assert float(bg.compare_engines({"a": fit, "b": switched_components(fit)})["apart"][1]) == pytest.approx(0.0)


def switched_components(fit):
    """The same fit with its components in another order throughout."""
    out = fit.copy()
    for group in ("posterior", "assignments", "point_estimate"):
        values = out[group].to_dataset()
        for name, value in values.data_vars.items():
            if "component" in value.dims:
                values[name] = value.copy(data=value.isel(component=[1, 2, 0]).to_numpy())
        out[group] = values
    return sealed(out, FIT)


def test_comparison_needs_one_declaration_and_one_data_set(fit):
    with pytest.raises(bg.InputError, match="at least two"):
        bg.compare_engines([fit])
    other = bg.fit(bg.GaussianMixture(3), three_components(150), engine=bg.EM(n_init=4), random_seed=1, **QUIET)
    with pytest.raises(bg.InputError, match="another declaration"):
        bg.compare_engines([fit, other])
