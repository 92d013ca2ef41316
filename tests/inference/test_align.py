"""A refit has the names of the fit before, everywhere, and says how sure that is."""

import json

import numpy as np
import pytest
import xarray as xr

import bayesgmm as bg
from tests.inference.conftest import fit

EM = bg.EM(threads=1, n_init=4, n_polish=1)
VB = bg.VB(threads=1, n_init=4, n_polish=1, draws=60)
NUTS = bg.NUTS(tune=200, draws=60, chains=2)


def three_groups(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(at, 1.0, (n, 2)) for at in ([0, 0], [6, 0], [0, 7])])


def means(result, group="point_estimate"):
    return result[group]["means"].transpose(..., "component", "feature").to_numpy()


@pytest.fixture(scope="module")
def old():
    model = bg.GaussianMixture(3, means=bg.NormalMeans([[0, 7], [0, 0], [6, 0]], 5.0), component_names=["c", "a", "b"])
    return fit(model, three_groups(), EM)


@pytest.mark.parametrize("engine", [EM, VB, NUTS], ids=["EM", "VB", "NUTS"])
def test_everything_has_the_order_and_the_names_of_the_earlier_fit(old, engine):
    rows = np.concatenate([three_groups(), three_groups(20, seed=5)])
    new = fit(bg.GaussianMixture(3), rows, engine)
    before = new.copy(deep=True)
    out = bg.align(new, old)
    xr.testing.assert_identical(new, before)  # it is a copy
    np.testing.assert_allclose(means(out), means(old), atol=0.7)
    order = np.array([int(np.abs(means(new) - at).sum(axis=1).argmin()) for at in means(out)])
    assert order.tolist() != [0, 1, 2]
    for name, group in out.children.items():
        if "component" in group.dims:
            assert group["component"].to_numpy().tolist() == ["c", "a", "b"], name
    for name in ("point_estimate", "posterior", "variational", "optimization"):
        if name in new.children:
            for variable, value in new[name].to_dataset().data_vars.items():
                moved = value.isel(component=order) if "component" in value.dims else value
                np.testing.assert_array_equal(out[name][variable], moved)
    names = np.array(["c", "a", "b"])
    r = out["assignments"]["responsibilities"].to_numpy()
    np.testing.assert_array_equal(out["assignments"]["label"], names[r.argmax(axis=1)])
    assert bg.GaussianMixture.from_json(out.attrs["model"]).component_names == ("c", "a", "b")
    assert bg.GaussianMixture.from_json(out.attrs["declared_model"]).component_names == ("c", "a", "b")
    again = bg.predict(out)
    np.testing.assert_array_equal(again["component"], names)
    np.testing.assert_allclose(again["responsibilities"], r, atol=1e-6)
    assert bg.summary(out).shape == bg.summary(new).shape
    assert out["alignment"].attrs["sure"] == out.attrs["order_stable"] == 1
    assert out["alignment"].attrs["message"] == "3 of 3 components are those of the earlier fit."
    assert (out["alignment"]["overlap"] > 0.8).all()
    probability = out["alignment"]["probability"]
    assert np.isnan(probability).all() if engine is EM else (probability == 1).all()
    # Aligned once more, and from a file, it is the same.
    np.testing.assert_array_equal(means(bg.align(out, old)), means(out))


def test_draws_as_sampled_lead_to_the_draws_by_their_record(old, tmp_path):
    out = bg.align(fit(bg.GaussianMixture(3), three_groups(), NUTS), old)
    orders = out["relabelling"]["order"].to_numpy()
    sampled, named = means(out, "unrelabelled"), means(out, "posterior")
    np.testing.assert_array_equal(np.take_along_axis(sampled, orders[..., None], axis=2), named)
    again = bg.relabel(out)
    np.testing.assert_array_equal(means(again, "posterior"), named)
    out.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as stored:
        np.testing.assert_array_equal(means(bg.align(stored, old), "posterior"), named)


@pytest.mark.parametrize(
    "parts",
    [
        {"weights": bg.Dirichlet([1.0, 2.0, 3.0])},
        {"weights": bg.FixedWeights([0.3, 0.4, 0.3]), "means": bg.NormalMeans([[0, 0], [6, 0], [0, 7]], [5.0, 4.0])},
        {"means": bg.FixedMeans([[0, 0], [6, 0], [0, 7]])},
        {"covariances": bg.FixedCovariances(np.array([1.0, 1.1, 0.9])[:, None, None] * np.eye(2))},
    ],
    ids=["weights", "means", "fixed means", "fixed covariances"],
)
def test_priors_go_with_their_components(old, parts):
    new = fit(bg.GaussianMixture(3, **parts), three_groups(), EM)
    out = bg.align(new, old)
    np.testing.assert_allclose(means(out), means(old), atol=0.7)
    value = new["point_estimate"].attrs["log_posterior"]
    assert out["point_estimate"].attrs["log_posterior"] == value
    for key in ("model", "declared_model"):
        refit = fit(bg.GaussianMixture.from_json(out.attrs[key]), three_groups(), EM)
        assert refit["point_estimate"].attrs["log_posterior"] == pytest.approx(value, abs=1e-4)
        if "covariances" not in parts:
            np.testing.assert_allclose(means(refit), means(out), atol=1e-3)
        np.testing.assert_array_equal(refit["point_estimate"]["component"], ["c", "a", "b"])


def test_priors_go_with_their_components_in_groups_of_rows(old):
    data = bg.as_data(three_groups(), groups=np.arange(180) % 2)
    model = bg.GaussianMixture(3, weights=bg.Dirichlet([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    new = fit(model, data, VB)
    out = bg.align(new, old)
    filled = bg.GaussianMixture.from_json(out.attrs["model"])
    order = [int(np.abs(means(new) - at).sum(axis=1).argmin()) for at in means(out)]
    for g, values in enumerate([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]):
        assert filled.weights.groups[g].concentration == tuple(values[k] for k in order)
    np.testing.assert_array_equal(out["posterior"]["weights"], new["posterior"]["weights"][..., order])


def test_where_the_prior_has_an_order_only_names_change(old):
    new = fit(bg.GaussianMixture(3, weights=bg.StickBreaking(1.0)), three_groups(), EM)
    out = bg.align(new, old)
    np.testing.assert_array_equal(means(out), means(new))
    by_name = out["point_estimate"]["means"]
    for name in "abc":
        np.testing.assert_allclose(
            by_name.sel(component=name), old["point_estimate"]["means"].sel(component=name), atol=1
        )
    assert out["alignment"]["component"].to_numpy().tolist() == out["point_estimate"]["component"].to_numpy().tolist()
    assert (out["alignment"]["overlap"] > 0.8).all()


@pytest.mark.parametrize("engine", [EM, VB], ids=["EM", "VB"])
def test_a_component_more_gets_a_fresh_name(old, engine):
    rows = np.concatenate([three_groups(), np.random.default_rng(1).normal([-12, 3], 1.0, (60, 2))])
    out = bg.align(fit(bg.GaussianMixture(4), rows, engine), old)
    assert out["point_estimate"]["component"].to_numpy().tolist() == ["c", "a", "b", "new 1"]
    np.testing.assert_allclose(means(out)[:3], means(old), atol=0.7)
    aligned = out["alignment"]
    assert json.loads(aligned.attrs["new"]) == ["new 1"]
    assert json.loads(aligned.attrs["gone"]) == []
    assert np.isnan(aligned["overlap"].sel(component="new 1"))
    assert aligned.attrs["message"] == "3 of 4 components are those of the earlier fit; new: new 1."
    assert set(np.unique(out["assignments"]["label"])) == {"a", "b", "c", "new 1"}


def test_a_component_less_is_gone(old):
    out = bg.align(fit(bg.GaussianMixture(2), three_groups()[60:], VB), old)
    assert out["point_estimate"]["component"].to_numpy().tolist() == ["c", "b"]
    assert json.loads(out["alignment"].attrs["gone"]) == ["a"]
    assert "gone: a" in out["alignment"].attrs["message"]


def test_numbers_stay_numbers():
    rows = three_groups()
    one = fit(bg.GaussianMixture(2), rows[60:], EM)
    out = bg.align(fit(bg.GaussianMixture(3, component_names=["x", "y", "z"]), rows, EM), one)
    assert out["point_estimate"]["component"].to_numpy().tolist() == [0, 1, 2]
    assert bg.GaussianMixture.from_json(out.attrs["model"]).component_names is None
    assert out["assignments"]["label"].dtype.kind == "i"
    former = out["alignment"]["former_name"].to_numpy().tolist()
    assert sorted(former) == ["x", "y", "z"]
    other = bg.align(fit(bg.GaussianMixture(2), rows[60:], EM), out)
    assert other["point_estimate"]["component"].to_numpy().tolist() == [0, 1]


def test_one_component_elsewhere_is_another_one(old):
    moved = three_groups()
    moved[:60] += 40.0
    out = bg.align(fit(bg.GaussianMixture(3, component_names=["a", "q", "r"]), moved, EM), old)
    assert json.loads(out["alignment"].attrs["gone"]) == ["a"]
    names = out["point_estimate"]["component"].to_numpy().tolist()
    assert names[:2] == ["c", "b"]
    assert names[2] not in ("a", "b", "c")  # whatever it was called, that name is taken
    assert np.abs(means(out)[2] - 40.0).max() < 1.0


def test_it_says_when_it_is_not_sure():
    """Two components that share one round group: which is which is a matter of chance."""
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(150, 1)) for _ in range(2)]
    weak = bg.GaussianMixture(2, covariances=bg.Tied(), weights=bg.Dirichlet(5.0))
    old, new = (fit(weak, each, bg.NUTS(tune=200, draws=100, chains=2)) for each in rows)
    aligned = bg.align(new, old)["alignment"]
    assert aligned.attrs["sure"] == 0
    assert (aligned["probability"] < 0.95).any()
    assert "not sure of" in aligned.attrs["message"]
    assert (aligned["runner_up_overlap"] > 0.3).all()


def test_overlap_is_the_bhattacharyya_coefficient():
    one, two = (fit(bg.GaussianMixture(1), at + np.random.default_rng(0).normal(size=(50, 1)), EM) for at in (0.0, 1.5))
    x = np.linspace(-8, 10, 4001)[:, None]
    densities = [np.exp(bg.predict(each, x)["log_density"].to_numpy()) for each in (one, two)]
    expected = np.trapezoid(np.sqrt(densities[0] * densities[1]), x[:, 0])
    assert float(bg.align(two, one)["alignment"]["overlap"][0]) == pytest.approx(expected, rel=1e-6)


def test_what_cannot_be_aligned(old):
    with pytest.raises(bg.InputError, match="new_fit: got dict"):
        bg.align({}, old)
    with pytest.raises(bg.InputError, match="old_fit: got ndarray"):
        bg.align(old, np.zeros(3))
    other = fit(bg.GaussianMixture(2), three_groups()[:, :1], EM)
    with pytest.raises(bg.InputError, match="old_fit: is a fit to the features"):
        bg.align(old, other)
