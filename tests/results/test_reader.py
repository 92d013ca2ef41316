"""Results that were changed, cut or written by another version are refused, by every function that reads one."""

from __future__ import annotations

import inspect
import json
import re
import warnings

import fuzz_results
import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm import _schema as names
from bayesgmm.results import FIT, check_result, sealed
from bayesgmm.results.seal import attribute_checksum
from tests.inference.conftest import fit, two_groups

# Names that functions give to a fit.
TAKE_A_FIT = {"fit", "fits", "new_fit", "old_fit", "reference", "model_or_fit", "result"}
TABLES = {"plot_bootstrap_lrt", "plot_hypotheses", "plot_plate", "plot_trait", "plot_two_channels", "plot_type_spread"}
TABLES |= {"plot_droplets", "plot_well"}


def damaged(result):
    """What no fit has: units that are not finite."""
    out = result.copy(deep=True)
    out["constant_data"]["data_sd"][:] = np.nan
    return out


def functions():
    """Every public function, the argument that takes a fit, and the others that it cannot do without."""
    for module in (bg, bg.plots, bg.ddpcr):
        for name in module.__all__:
            function = getattr(module, name)
            if not inspect.isfunction(function) or name in TABLES:
                continue
            parameters = inspect.signature(function).parameters
            needed = [key for key, each in parameters.items() if each.default is inspect.Parameter.empty]
            for argument in sorted(parameters.keys() & TAKE_A_FIT):  # processes of the tests want one order
                if function.__module__.startswith("bayesgmm.ddpcr") and argument in ("result", "reference"):
                    continue  # that of quantify, a table, and the target of copy numbers
                yield pytest.param(function, argument, needed, id=f"{name}({argument})")


@pytest.mark.parametrize(("function", "argument", "needed"), list(functions()))
def test_every_function_that_takes_a_fit_refuses_a_damaged_one(function, argument, needed, vb_fit, em_fit, tmp_path):
    whole = em_fit if function is bg.standard_errors else vb_fit
    given = {key: whole for key in needed if key != "path"} | {argument: damaged(whole)}
    if argument == "fits":
        given["fits"] = [whole, given["fits"]]
    if "path" in needed:
        given["path"] = tmp_path / "fit.nc"
    if function is bg.simulate:
        given["n_obs"] = 3
    with pytest.raises(bg.InputError, match=re.escape(f"{argument}: 'constant_data/data_sd' is not what was written")):
        function(**given)


def test_that_test_knows_the_functions_that_it_asks():
    asked = {each.id for each in functions()}
    assert {
        "predict(fit)",
        "simulate(model_or_fit)",
        "relabel(reference)",
        "compare_engines(fits)",
        "save(result)",
    } <= asked
    assert {"align(new_fit)", "align(old_fit)", "plot_density(fit)", "rates(fit)", "to_arviz(fit)"} <= asked
    assert len(asked) >= 28


@pytest.mark.parametrize(
    ("group", "name", "change", "message"),
    [
        ("posterior", "weights", lambda x: -x, "'posterior/weights' is not what was written"),
        ("posterior", "weights", lambda x: np.where(x > 0.5, np.nan, x), "of its 2,000 numbers are not finite"),
        ("posterior", "covariances", lambda x: -x, "'posterior/covariances' is not what was written"),
        ("point_estimate", "covariances", lambda x: -x, "'point_estimate/covariances' is not what was written"),
        ("constant_data", "data_sd", lambda x: 0 * x, "'constant_data/data_sd' is not what was written"),
        ("assignments", "responsibilities", lambda x: 2 * x, "'assignments/responsibilities' is not"),
        ("assignments", "label", lambda x: x[::-1], "'assignments/label' is not what was written"),
        ("observed_data", "x", lambda x: x + 1, "'observed_data/x' is not what was written"),
        ("variational", "predictive_df", lambda x: x - 100, "'variational/predictive_df' is not"),
        ("optimization", "end_value", lambda x: x + 1, "'optimization/end_value' is not what was written"),
    ],
)
def test_arrays_that_are_not_what_was_written(vb_fit, group, name, change, message):
    out = vb_fit.copy(deep=True)
    table = out[group].to_dataset()
    out[group] = table.assign({name: table[name].copy(data=change(table[name].to_numpy()))})
    with pytest.raises(bg.InputError, match=re.escape(message)):
        bg.predict(out)


def test_what_is_missing_is_named(vb_fit):
    for group in vb_fit.children:
        out = vb_fit.copy()
        del out[group]
        with pytest.raises(bg.InputError, match=f"the group '{group}' is missing"):
            bg.summary(out)
        out = vb_fit.copy()
        table = vb_fit[group].to_dataset()
        first = str(next(iter(table.data_vars)))
        out[group] = table.drop_vars(first)
        with pytest.raises(bg.InputError, match=f"'{group}/{first}' is missing"):
            bg.summary(out)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (0, r"schema version 0 of bayesgmm .* reads 1. Read it with the bayesgmm that wrote it, or fit again"),
        (2, r"schema version 2 of bayesgmm .* reads 1. Install a newer bayesgmm"),
        ("1", "its schema version is '1'"),
        (True, "its schema version is True"),
        (None, "its schema version is None"),
    ],
)
def test_other_versions(vb_fit, version, message):
    out = vb_fit.copy()
    out.attrs["schema_version"] = version
    with pytest.raises(bg.InputError, match=message):
        bg.diagnose(out)


def test_a_result_of_before_there_were_versions(vb_fit):
    out = vb_fit.copy()
    for name in (names.SCHEMA, names.RESULT_OF, names.CONTENTS, names.CHECKSUM):
        del out.attrs[name]
    with pytest.raises(bg.InputError, match=r"has no schema version: it was written by bayesgmm .* Fit again"):
        bg.summary(out)
    with pytest.raises(bg.InputError, match=r"fit: got Dataset\. Give what bayesgmm.fit returned"):
        bg.summary(out.to_dataset())


def test_attributes_are_those_that_were_written(vb_fit):
    other = bg.GaussianMixture(5).to_json()
    for owner, name, value in (
        ("/", "status", "MAX_STEPS"),
        ("/", "model", other),
        ("/", "predictive_family", "draws"),
        ("optimization", "best_start", 3),
        ("point_estimate", "elbo", np.nan),
    ):
        out = vb_fit.copy(deep=True)
        out[owner].attrs[name] = value
        with pytest.raises(bg.InputError, match=f"the attribute '{name}'.* is not what was written"):
            bg.diagnose(out)
        del out[owner].attrs[name]
        with pytest.raises(bg.InputError, match=f"the attribute '{name}'.* is missing"):
            bg.diagnose(out)
    out = vb_fit.copy()
    out.attrs[names.CONTENTS] = json.dumps({})
    with pytest.raises(bg.InputError, match="its attribute 'contents' was changed"):
        bg.diagnose(out)


def test_what_users_add_is_free(vb_fit):
    out = vb_fit.copy()
    out.attrs["experiment"] = {"any": "thing"}
    out["notes"] = out["assignments"].to_dataset()[["label"]]
    table = out["assignments"].to_dataset()
    out["assignments"] = table.assign(true_label=table["label"]).assign_attrs(by="me")
    assert bg.predict(out).identical(bg.predict(vb_fit))
    assert bg.summary(out).equals(bg.summary(vb_fit))
    for copy in (bg.relabel(out), bg.align(out, vb_fit)):
        # It stays free in what other functions make of it.
        copy.attrs["experiment"] = "another"
        del copy["notes"]
        copy["assignments"] = copy["assignments"].to_dataset().drop_vars("true_label")
        bg.summary(copy)
        with pytest.raises(bg.InputError, match="the attribute 'status' is missing"):
            bg.summary(without(copy, "status"))


def without(result, attribute):
    out = result.copy()
    del out.attrs[attribute]
    return out


def test_what_verbs_add_may_be_taken_out_again(vb_fit):
    out = bg.add_posterior_predictive(bg.add_log_likelihood(vb_fit), n_draws=4, random_seed=1)
    both = bg.relabel(out)
    for name in ("log_likelihood", "posterior_predictive"):
        del both[name]
        bg.summary(both)


def test_selected_draws_are_taken(vb_fit):
    for part in (vb_fit.isel(draw=slice(0, None, 5)), vb_fit.sel(chain=[1]), vb_fit.isel(draw=[7])):
        bg.predict(part)
        bg.summary(part)
        bg.diagnose(part)
        bg.relabel(part)


def bad_selections():
    def put(name, value, group="posterior"):
        def change(part):
            table = part[group].to_dataset().copy(deep=True)
            table[name][0, 1] = value(table[name][0, 1])
            part[group] = table
            return part

        return change

    def other_draws(part):
        part["sample_stats"] = part["sample_stats"].to_dataset().isel(draw=slice(0, 3))
        return part

    return {
        "weights' add up to|'posterior/weights' do not add": put("weights", lambda x: x * 1.1),
        "'posterior/weights' holds -0": put("weights", lambda x: x * 0 + [-0.5, 0.9]),
        "'posterior/means' is not what was written, and 4 of": put("means", lambda x: x * np.nan),
        "'posterior/covariances' are not all positive definite": put("covariances", lambda x: x - 9 * np.eye(2)),
        "'posterior/sds' or correlations are not those": put("sds", lambda x: x * 1.01),
        "'posterior/correlations' holds 2": put("correlations", lambda x: x * 0 + 2),
        "'posterior/n_occupied' holds -1": put("n_occupied", lambda x: x * 0 - 1),
        "'posterior' and 'sample_stats' hold other draws": other_draws,
    }


@pytest.mark.parametrize("message", bad_selections())
def test_selected_draws_are_draws_of_a_mixture(vb_fit, message):
    part = bad_selections()[message](vb_fit.isel(draw=slice(0, None, 5)))
    with pytest.raises(bg.InputError, match=message):
        bg.summary(part)


def test_no_more_draws_than_were_written(vb_fit):
    with pytest.raises(bg.InputError, match="'posterior/weights' has the shape"):
        bg.summary(vb_fit.isel(draw=np.append(np.arange(250), 0)))


@pytest.mark.fit
def test_tables_may_be_selected_and_sorted_and_not_changed():
    rows = two_groups()
    table = bg.compare_components(
        bg.GaussianMixture(1), rows, n_components=range(1, 4), random_seed=1, progressbar=False
    )
    bg.plots.plot_component_count(table)
    bg.plots.plot_component_count(table.sel(n_components=[1, 2]))
    bg.plots.plot_component_count(table.sortby("n_components", ascending=False))
    bg.plots.plot_component_count(table[["bic", "icl", "status"]])
    with pytest.raises(bg.InputError, match="comparison: 'bic' is not what was written"):
        bg.plots.plot_component_count(table.assign(bic=-table["bic"]))
    part = table.sel(n_components=[1, 2])
    part = part.assign(bic=part["bic"].where(part["n_components"] > 1))
    with pytest.raises(bg.InputError, match="comparison: 'bic' is not what was written, and 1 of its 2 numbers"):
        bg.plots.plot_component_count(part)
    with pytest.raises(bg.InputError, match="comparison: has no 'bic'"):
        bg.plots.plot_component_count(table.drop_vars("bic"))
    with pytest.raises(bg.InputError, match=r"merged: is a result of compare_components. Give what merge_components"):
        bg.plots.plot_merging(table)
    with pytest.raises(bg.InputError, match="the attribute 'reading' is not what was written"):
        bg.plots.plot_component_count(table.assign_attrs(reading="K = 7"))


def test_single_precision_of_selected_draws_is_no_damage(vb_fit):
    part = vb_fit.isel(draw=slice(0, None, 5))
    table = part["posterior"].to_dataset()
    for name in ("weights", "means", "covariances", "sds", "correlations"):
        table[name] = table[name].astype(np.float32)
    part["posterior"] = table
    bg.summary(part)


def test_checksums_do_not_depend_on_the_form_of_a_file():
    assert attribute_checksum("a") != attribute_checksum("b")
    for first, second in ((3, np.int64(3)), (0.1, np.float64(0.1)), ([1, 2], np.array([1, 2])), ([5], 5), (True, 1)):
        assert attribute_checksum(first) == attribute_checksum(second)
    assert attribute_checksum(float("nan")) == attribute_checksum(np.float64("nan"))


@pytest.mark.fit
def test_the_reader_costs_little():
    """Less than a twentieth of a prediction of many rows, and some milliseconds at most for a small result."""
    from time import perf_counter

    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(1500, 6)) + 4 * rng.normal(size=6) for _ in range(4)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = fit(bg.GaussianMixture(4), rows, bg.VB(draws=1000, threads=1))

    def fastest(call):
        times = []
        for _ in range(3):
            began = perf_counter()
            call(result)
            times.append(perf_counter() - began)
        return min(times)

    assert fastest(check_result) < 0.05 * fastest(bg.predict)


def test_a_changed_copy_says_what_it_is(vb_fit):
    """`sealed` on a copy leaves the original as it was."""
    before = dict(vb_fit.attrs)
    out = vb_fit.copy()
    out["point_estimate"] = out["point_estimate"].to_dataset().assign_attrs(elbo=0.0)
    check_result(sealed(out, FIT))
    check_result(vb_fit)
    assert vb_fit.attrs == before


@pytest.mark.fit
def test_damaged_results_are_neither_taken_nor_end_in_other_errors():
    """The study of benchmarks/fuzz_results.py, in small."""
    counts, findings = fuzz_results.fuzz_results(150, seed=7)
    assert not findings
    assert sum(counts.values()) == 150
    assert sum(count for (_, how), count in counts.items() if how == "refused") > 100


@pytest.mark.parametrize("dims", [("component", "feature"), ("feature_bis", "draw"), ("chain", "component")])
def test_relabelling_reads_dimensions_by_name(dims):
    """With as many components as features nothing but the numbers would tell that they were transposed."""
    rows = bg.datasets.load_faithful()[:80]
    engine = bg.Gibbs(sweeps=60, burn_in=20, chains=2, n_init=2, max_sweeps=60)
    fit = bg.fit(bg.GaussianMixture(2), rows, engine=engine, random_seed=1, progressbar=False)
    right = bg.relabel(fit)
    for group in [name for name in ("posterior", "unrelabelled") if name in fit.children]:
        turned = fit.copy()
        table = turned[group].to_dataset()
        turned[group] = table.transpose(*dims, *[dim for dim in table.dims if dim not in dims])
        again = bg.relabel(turned)
        for name in ("weights", "means", "covariances", "sds"):
            here, there = again["posterior"][name], right["posterior"][name]
            np.testing.assert_array_equal(here.transpose(*there.dims), there)


def test_orders_of_draws_are_orders_of_components():
    """Each draw by itself has every component once; what the draws beside it have does not matter."""
    import xarray as xr

    from bayesgmm.results.draws import _check_orders

    dims = names.CHAIN, names.DRAW, names.COMPONENT
    _check_orders(xr.Dataset({"order": (dims, [[[0, 1, 2], [1, 2, 0]], [[2, 1, 0], [0, 1, 2]]])}), "relabelling", "fit")
    for wrong in ([[[0, 1, 1], [1, 0, 0]]], [[[0, 0, 0], [1, 1, 1], [2, 2, 2]]], [[[0, 1, 3], [0, 1, 2]]]):
        with pytest.raises(bg.InputError, match="order"):
            _check_orders(xr.Dataset({"order": (dims, wrong)}), "relabelling", "fit")
