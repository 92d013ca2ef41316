"""A fit is a DataTree in all but how it prints."""

from __future__ import annotations

import copy
import html
import pickle
import re

import arviz as az
import numpy as np
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm.results.fit_tree import FitTree, as_fit_tree


@pytest.fixture(scope="module")
def fit():
    model = bg.GaussianMixture(2, component_names=["short <&>", "long"])
    return bg.fit(model, bg.datasets.load_faithful(), engine=bg.VB(n_init=4, n_polish=1), random_seed=1)


def first_line(tree):
    return repr(tree).splitlines()[0]


def test_a_fit_says_what_was_found_and_what_to_do_next(fit):
    text = repr(fit)
    assert text == str(fit)
    lines = text.splitlines()
    assert lines[0] == "Fit of a Gaussian mixture of 2 components to 272 rows of 2 features (eruptions, waiting)"
    assert lines[1] == "Engine VB. Converged: the estimated gain left is below the tolerance."
    sizes = bg.summary(fit)["members"]
    for name, weight in zip(["short <&>", "long"], fit["posterior"]["weights"].mean(("chain", "draw")), strict=True):
        (row,) = [line for line in lines if line.split("   ")[0].strip() == name]
        assert re.search(rf" {sizes[name]} +{float(weight):.2f} ± 0\.03$", row)
    unsure = int(bg.summary(fit)["uncertain"].sum())
    assert f"{unsure} row{'s' * (unsure != 1)} with a label that is less than 95% sure" in text
    assert fit.attrs["caveat"][:60] in text  # nothing that has to be known is left out
    assert "Next: bg.summary(fit), bg.assignments(fit), bg.diagnose(fit)" in text
    assert "{" not in text
    assert max(map(len, lines)) <= 120
    assert len(lines) < 16


def test_in_a_notebook_it_is_a_table_with_the_tree_behind_it(fit):
    page = fit._repr_html_()
    short, details = page.split("<details>", 1)
    assert short.count("<tr>") == 3
    assert html.escape("short <&>") in short
    assert "<&>" not in short
    assert "Next: bg.summary(fit)" in short
    assert xr.DataTree._repr_html_(fit)[-200:] in details


def test_it_is_a_datatree_for_everyone_else(fit, tmp_path):
    assert isinstance(fit, xr.DataTree)
    assert type(fit["posterior"]) is xr.DataTree
    assert repr(fit["posterior"]).startswith("<xarray.DataTree 'posterior'>")
    assert az.convert_to_datatree(fit) is fit
    assert az.summary(fit, var_names=["weights"]).shape[0] == 2
    assert az.extract(fit)["weights"].sizes["component"] == 2
    fit.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as back:
        assert type(back) is xr.DataTree
        assert first_line(as_fit_tree(back)) == first_line(fit)
        xr.testing.assert_equal(as_fit_tree(back).to_dataset(), back.to_dataset())
        # Without us xarray prints its first attributes: those that are read.
        assert re.search(r"engine: +VB\n.*status: +CONVERGED", repr(back))
        assert bg.predict(back, [[3.0, 60.0]])["label"].size == 1


@pytest.mark.parametrize(
    "made",
    [
        lambda fit: fit.copy(),
        lambda fit: fit.copy(deep=True),
        copy.deepcopy,
        lambda fit: pickle.loads(pickle.dumps(fit)),
        lambda fit: fit.isel(draw=slice(0, 10)),
        lambda fit: fit.sel(chain=0),
        bg.relabel,
        bg.add_log_likelihood,
        lambda fit: bg.align(fit, fit),
    ],
)
def test_it_survives_what_is_done_to_a_fit(fit, made):
    other = made(fit)
    assert type(other) is FitTree
    assert first_line(other) == first_line(fit)
    assert other.attrs["model"] == fit.attrs["model"]
    other.attrs["new"] = 1
    assert "new" not in fit.attrs


@pytest.mark.parametrize(
    "made",
    [
        lambda fit: fit.isel(component=0),
        lambda fit: fit.isel(obs=3),
        lambda fit: fit.isel(feature=0),
        lambda fit: fit.mean("draw").drop_nodes("assignments"),
        lambda fit: fit.filter(lambda node: node.name != "observed_data"),
        lambda fit: fit.map_over_datasets(lambda group: group.drop_vars("label", errors="ignore")),
    ],
)
def test_a_part_of_it_prints_as_any_tree(fit, made):
    part = made(fit)
    assert repr(part).startswith("<xarray.DataTree")
    assert "Next:" not in part._repr_html_()


@pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")
def test_many_components_are_counted():
    rng = np.random.default_rng(0)
    x = np.repeat(10.0 * np.arange(15), 12) + rng.normal(size=180)
    fit = bg.fit(bg.GaussianMixture(15), x, engine=bg.EM(n_init=4, n_polish=1), random_seed=1)
    rows = [line for line in repr(fit).splitlines() if re.match(r"  \d", line)]
    assert len(rows) == 12
    assert "... and 3 components with fewer rows" in repr(fit)


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning", "ignore::bayesgmm.FewerGroupsWarning")
def test_groups_and_an_unknown_number_of_components():
    x = bg.datasets.load_faithful().to_numpy()[:60]
    groups = bg.as_data(x, groups=np.arange(60) % 3)
    text = repr(bg.fit(bg.GaussianMixture(2), groups, engine=bg.EM(n_init=4, n_polish=1), random_seed=1))
    assert "weight (lowest to highest of groups)" in text
    assert len(re.findall(r"\d\.\d\d to \d\.\d\d", text)) == 2
    model = bg.GaussianMixture(1 + bg.Poisson(1.0))
    sampled = bg.fit(model, x, engine=bg.Gibbs(sweeps=60, burn_in=20, chains=1, n_init=1), random_seed=1)
    assert "The number of components was sampled too: bg.component_posterior(fit)" in repr(sampled)
