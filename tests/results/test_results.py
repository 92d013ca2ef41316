"""What a fit hands back: groups, variables, dimensions, coordinates, attributes, and the numbers in them."""

from __future__ import annotations

import itertools
import json

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesgmm as bg
from bayesgmm import _schema as names
from tests.inference.conftest import EM, FLAT, VB, fit, two_groups

GROUPS = {"point_estimate", "optimization", "observed_data", "constant_data", "assignments"}
WITH_DRAWS = GROUPS | {"posterior", "sample_stats", "variational"}
POINT = {"weights", "means", "covariances", "sds", "correlations"}
BY_START = {"method", "status", "passes", "short_value", "end_value", "gain_left", "optimum"}


@pytest.fixture(scope="module", params=[(engine, d) for engine in ("EM", "VB") for d in (1, 2)], ids=str)
def case(request):
    """A fit with all names given, its engine's name and its number of columns."""
    engine, d = request.param
    rows = two_groups(d=d)
    table = pd.DataFrame(rows, columns=["length", "width"][:d], index=[f"row {i}" for i in range(len(rows))])
    model = bg.GaussianMixture(2, component_names=["short", "long"])
    return fit(model, table, EM if engine == "EM" else VB), engine, table


def test_groups_and_variables(case):
    result, engine, _ = case
    assert set(result.children) == (WITH_DRAWS if engine == "VB" else GROUPS)
    variables = {
        "point_estimate": POINT,
        "assignments": {f"responsibilities{end}" for end in ("", "_lower", "_upper")}
        | {"label", "label_probability", "expected_rows"},
        "optimization": BY_START
        | {"weights", "means", "covariances"}
        | {"elbo" if engine == "VB" else "log_posterior"},
        "observed_data": {"x"},
        "constant_data": {"data_mean", "data_sd"},
    }
    if engine == "VB":
        variables |= {"posterior": POINT | {"n_occupied"}, "sample_stats": {"lp", "log_q", "log_weight"}}
        assert {"weights_mean", "means_loc", "covariance_df", "covariance_scale", "predictive_df"} <= set(
            result["variational"].data_vars
        )
    for group, expected in variables.items():
        assert set(result[group].data_vars) == expected, group


def test_dimensions_are_those_of_the_schema(case):
    result, _, table = case
    sizes = {
        "component": 2,
        "feature": table.shape[1],
        "feature_bis": table.shape[1],
        "obs": 60,
        "chain": 4,
        "draw": 250,
    }
    for name, group in result.children.items():
        leading = ("chain", "draw") if name in names.SAMPLED_GROUPS else ()
        leading = ("start",) if name == "optimization" else leading
        for variable, values in group.data_vars.items():
            if name == "optimization" and variable in BY_START | {"elbo", "log_posterior"}:
                assert values.dims == (("start",) if variable in BY_START else ("start", "step"))
                continue
            assert values.dims == leading + names.DIMS[variable], f"{name}/{variable}"
            assert all(values.sizes[dim] == sizes[dim] for dim in values.dims if dim in sizes), f"{name}/{variable}"


def test_coordinates_hold_the_names_of_rows_columns_and_components(case):
    result, _, table = case
    coordinates = {
        "obs": [f"row {i}" for i in range(60)],
        "feature": list(table.columns),
        "feature_bis": list(table.columns),
        "component": ["short", "long"],
        "chain": [0, 1, 2, 3],
        "draw": list(range(250)),
    }
    seen = set()
    for name, group in result.children.items():
        assert set(group.dims) <= set(group.coords), name
        for dim, expected in coordinates.items():
            if dim in group.dims:
                assert group[dim].to_numpy().tolist() == expected, f"{name}/{dim}"
                seen.add(dim)
    assert {"obs", "feature", "feature_bis", "component"} <= seen
    assert set(np.unique(result["assignments"]["label"])) == {"short", "long"}


def test_observed_data_are_the_rows_as_given(case):
    result, _, table = case
    np.testing.assert_array_equal(result["observed_data"]["x"], table.to_numpy())
    np.testing.assert_allclose(result["constant_data"]["data_mean"], table.mean(), rtol=1e-12)
    np.testing.assert_allclose(result["constant_data"]["data_sd"], table.std(ddof=0), rtol=1e-12)


def test_parameters_are_possible_and_agree_with_each_other(case):
    result, engine, _ = case
    for group in ("point_estimate", "posterior") if engine == "VB" else ("point_estimate",):
        values = result[group].to_dataset()
        np.testing.assert_allclose(values["weights"].sum("component"), 1.0, rtol=1e-12)
        assert (values["weights"] > 0).all()
        covariances, sds = values["covariances"].to_numpy(), values["sds"].to_numpy()
        np.testing.assert_array_equal(covariances, np.swapaxes(covariances, -1, -2))
        assert np.linalg.eigvalsh(covariances).min() > 0
        np.testing.assert_allclose(np.square(sds), np.diagonal(covariances, axis1=-2, axis2=-1), rtol=1e-12)
        rebuilt = values["correlations"].to_numpy() * sds[..., :, None] * sds[..., None, :]
        np.testing.assert_allclose(rebuilt, covariances, rtol=1e-12)
        diagonal = np.diagonal(values["correlations"], axis1=-2, axis2=-1)
        np.testing.assert_array_equal(diagonal, np.ones_like(diagonal))


def test_the_point_estimate_of_vb_is_the_mean_of_its_draws(case):
    result, engine, _ = case
    if engine == "EM":
        assert result["point_estimate"].attrs["meaning"] == "mode of the posterior density"
        return
    assert result["point_estimate"].attrs["meaning"] == "mean of q"
    for name in ("weights", "means", "covariances"):
        draws = result["posterior"][name]
        error = draws.std(("chain", "draw")) / np.sqrt(1000)
        z = (draws.mean(("chain", "draw")) - result["point_estimate"][name]) / error
        assert np.abs(z).max() < 4, name


def test_the_parameters_of_q_have_the_components_in_the_same_order(case):
    result, engine, _ = case
    if engine == "EM":
        assert "variational" not in result.children
        return
    q, point = result["variational"].to_dataset(), result["point_estimate"].to_dataset()
    np.testing.assert_allclose(q["weights_mean"], point["weights"], rtol=1e-12)
    np.testing.assert_allclose(q["means_loc"], point["means"], rtol=1e-12)
    divisor = (q["covariance_df"] - point.sizes["feature"] - 1).to_numpy()[:, None, None]
    np.testing.assert_allclose(q["covariance_scale"] / divisor, point["covariances"], rtol=1e-12)
    np.testing.assert_allclose(q["predictive_loc"], point["means"], rtol=1e-12)


def test_numbers_on_the_objective(case):
    result, engine, table = case
    point, attrs = result["point_estimate"].to_dataset(), result["point_estimate"].attrs
    d = table.shape[1]
    assert attrs["n_parameters"] == 1 + 2 * d + 2 * d * (d + 1) // 2
    best = int(result["optimization"].attrs["best_start"])
    end = float(result["optimization"]["end_value"][best])
    if engine == "VB":
        assert attrs["elbo"] == pytest.approx(end, rel=1e-12)
        assert attrs["elbo_symmetrised_limit"] - attrs["elbo"] == pytest.approx(np.log(2), rel=1e-9)
        return
    parts = zip(point["weights"].to_numpy(), point["means"].to_numpy(), point["covariances"].to_numpy(), strict=True)
    density = sum(w * stats.multivariate_normal(m, c).pdf(table.to_numpy()) for w, m, c in parts)
    assert attrs["log_likelihood"] == pytest.approx(np.log(density).sum(), rel=1e-10)
    assert attrs["log_posterior"] == pytest.approx(attrs["log_likelihood"] + attrs["log_prior"], rel=1e-12)
    assert attrs["log_posterior"] == pytest.approx(end, rel=1e-10)


def test_every_start_says_how_it_ended(case):
    result, engine, _ = case
    search = result["optimization"].to_dataset()
    assert search.sizes["start"] >= 32
    assert {str(status) for status in search["status"].to_numpy()} <= {status.name for status in bg.Status}
    best = int(search.attrs["best_start"])
    assert str(search["status"][best].item()) == result.attrs["status"] == "CONVERGED"
    assert result.attrs["status_message"] == bg.Status.CONVERGED.value
    reached = search["optimum"] >= 0
    assert float(search["end_value"].where(reached).max()) == float(search["end_value"][best])
    assert int(search["optimum"][best]) == 0
    assert int((search["optimum"] == 0).sum()) == search.attrs["times_best_reached"] > 1
    trace = search["elbo" if engine == "VB" else "log_posterior"][best].to_numpy()
    trace = trace[np.isfinite(trace)]
    assert np.all(np.diff(trace) > -1e-9 * np.abs(trace[:-1]))
    assert trace[-1] == pytest.approx(float(search["end_value"][best]), rel=1e-10)
    np.testing.assert_allclose(search["means"][best], result["point_estimate"]["means"], rtol=1e-9)


def test_sample_stats_are_the_joint_and_proposal_densities(case):
    result, engine, _ = case
    if engine == "EM":
        assert "sample_stats" not in result.children
        return
    values = result["sample_stats"].to_dataset()
    np.testing.assert_allclose(values["log_weight"], values["lp"] - values["log_q"], rtol=0, atol=1e-8)
    # E_q[log p - log q] is the bound; groups six sds apart leave little else in it.
    lw = values["log_weight"].to_numpy().ravel()
    bound = result["point_estimate"].attrs["elbo"]
    assert abs(lw.mean() - bound) < 4 * lw.std() / np.sqrt(lw.size) + 0.02


def test_assignments_are_probabilities_inside_their_interval(case):
    result, engine, _ = case
    assigned = result["assignments"].to_dataset()
    r = assigned["responsibilities"].to_numpy()
    np.testing.assert_allclose(r.sum(axis=1), 1.0, rtol=1e-12)
    assert r.min() >= 0
    components = assigned["component"].to_numpy()
    np.testing.assert_array_equal(assigned["label"], components[r.argmax(axis=1)])
    low, high = assigned["responsibilities_lower"].to_numpy(), assigned["responsibilities_upper"].to_numpy()
    if engine == "EM":
        assert np.isnan(low).all()
        assert np.isnan(high).all()
        assert "VB" in assigned.attrs["interval"]
        return
    assert assigned.attrs["interval"] == "89% eti over 1000 draws"
    assert low.min() >= 0
    assert high.max() <= 1
    assert np.all(low <= high)


def test_median_lies_inside_the_interval(overlapping_fit):
    r = bg.predict(overlapping_fit, per_draw=True)["responsibilities"]
    assigned = overlapping_fit["assignments"].to_dataset()
    assert (assigned["responsibilities_lower"] <= r.median(("chain", "draw"))).all()
    assert (assigned["responsibilities_upper"] >= r.median(("chain", "draw"))).all()
    # 89 of 100 draws lie between the bounds, which are quantiles of these very draws; more where draws round to 1.
    inside = (r >= assigned["responsibilities_lower"]) & (r <= assigned["responsibilities_upper"])
    share = inside.mean(("chain", "draw")).to_numpy()
    assert share.min() > 0.885
    assert np.mean(share < 0.895) > 0.9


def test_assignments_are_the_prediction_for_the_fitted_rows(case):
    result, _, table = case
    assigned = result["assignments"].to_dataset()
    for again in (bg.predict(result), bg.predict(result, table)):
        # What `predict` returns says besides which table it came from.
        assert set(again) - {"log_density"} == set(assigned) - {"expected_rows"}
        for name in set(again) - {"log_density"}:
            assert again[name].variable.identical(assigned[name].variable), name
    np.testing.assert_allclose(assigned["expected_rows"], assigned["responsibilities"].sum("obs"), rtol=1e-12)
    own = assigned["responsibilities"].sel(component=assigned["label"])
    np.testing.assert_allclose(assigned["label_probability"], own, rtol=1e-12)


def test_components_stand_in_the_order_of_the_first_principal_axis(case):
    result, _, _ = case
    first, second = result["point_estimate"]["means"].to_numpy()
    assert np.all(first < second)


# ---- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [
        [10 * i for i in range(60)],
        [f"é{i}" for i in range(60)],
        pd.date_range("2020-01-01", periods=60),
        np.linspace(0.0, 1.0, 60),
        ["same"] * 60,
    ],
    ids=["integers", "text", "dates", "floats", "repeats"],
)
def test_names_of_rows(index):
    table = pd.DataFrame(two_groups(), columns=["a b", "ß"], index=index)
    result = fit(bg.GaussianMixture(2), table, EM)
    for group in ("observed_data", "assignments"):
        assert list(result[group]["obs"].to_numpy()) == list(np.asarray(pd.Index(index)))
    assert result["point_estimate"]["feature"].to_numpy().tolist() == ["a b", "ß"]
    assert list(bg.predict(result)["obs"].to_numpy()) == list(np.asarray(pd.Index(index)))


def test_names_that_nobody_gave():
    result = fit(bg.GaussianMixture(2), two_groups(), EM)
    assert result["point_estimate"]["component"].to_numpy().tolist() == [0, 1]
    assert result["point_estimate"]["feature"].to_numpy().tolist() == ["x0", "x1"]
    assert result["observed_data"]["obs"].to_numpy().tolist() == list(range(60))
    assert result["assignments"]["label"].dtype.kind == "i"


# ---- attributes -------------------------------------------------------------------------------------------------


def test_attributes(case):
    result, engine, _ = case
    attrs = result.attrs
    assert attrs["engine"] == engine
    assert attrs["engine_reason"] == "asked for by name"
    assert json.loads(attrs["engine_options"])["threads"] == 1
    used = bg.EM if engine == "EM" else bg.VB
    assert used(**json.loads(attrs["engine_options"])) == (EM if engine == "EM" else VB)
    assert attrs["random_seed"] == "1"
    assert attrs["inference_library"] == "bayesgmm"
    assert attrs["inference_library_version"]
    assert attrs["predictive_family"] == ("plug_in" if engine == "EM" else "student_t")
    # A file format has to hold them.
    assert all(isinstance(value, (str, int)) and not isinstance(value, bool) for value in attrs.values())


def test_models_in_the_attributes(case):
    result, _, table = case
    declared = bg.GaussianMixture.from_json(result.attrs["declared_model"])
    assert declared == bg.GaussianMixture(2, component_names=["short", "long"])
    filled = bg.GaussianMixture.from_json(result.attrs["model"])
    d = table.shape[1]
    assert filled.weights == bg.Dirichlet([1.0 + np.sqrt((d + 1) / 2)] * 2)
    np.testing.assert_allclose(filled.means.loc, table.mean(), rtol=1e-12)
    assert filled.means.precision_scale == 0.05
    assert filled.covariances.prior.df == d + 2
    # Groups this far apart are found: W has nearly the variances of rows about the means of their groups.
    pooled = np.mean([each.var(axis=0) for each in np.split(table.to_numpy(), 2)], axis=0)
    np.testing.assert_allclose(np.diag(filled.covariances.prior.scale), 2 / 3 * (d + 2) * pooled, rtol=0.2)
    # Fitting the filled model is fitting the same model.
    again = fit(filled, table, EM if result.attrs["engine"] == "EM" else VB)
    np.testing.assert_array_equal(again["point_estimate"]["means"], result["point_estimate"]["means"])
    assert bg.GaussianMixture.from_json(again.attrs["model"]) == filled


def test_without_a_seed_the_result_says_so():
    result = fit(bg.GaussianMixture(1), two_groups(), EM, seed=None)
    assert result.attrs["random_seed"] == "none"


REASONS = {
    "conjugate": ({}, "NUTS", "unconstrained", "nothing has to be approximated"),
    "sparse weights": ({"weights": bg.Dirichlet(0.1)}, "NUTS", "unconstrained", "nothing has to be approximated"),
    "independent means": ({"means": bg.NormalMeans()}, "NUTS", "unconstrained", "nothing has to be approximated"),
    "LKJ": ({"covariances": bg.LKJ()}, "NUTS", "unconstrained", "nothing has to be approximated"),
    "flat weights": ({"weights": bg.Flat()}, "EM", "parameters", "NUTS does not work with Flat() weights"),
    "maximum likelihood": (FLAT, "EM", "parameters", "Flat() weights and means and covariances"),
    "sparse weights and flat covariances": (
        {"weights": bg.Dirichlet(0.5), "covariances": bg.Tied(bg.Flat())},
        "EM",
        "unconstrained",
        "either: EM does not work with weights=Dirichlet((0.5, 0.5))",
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_the_engine_chosen_and_why(case):
    parts, engine, density, reason = REASONS[case]
    result = fit(bg.GaussianMixture(2, **parts), two_groups())
    assert result.attrs["engine"] == engine
    assert result.attrs.get("density") == density
    assert reason in result.attrs["engine_reason"]
    if engine == "EM":
        assert json.loads(result.attrs["engine_options"])["density"] == density


# ---- arguments, seeds and settings ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [EM, VB])
def test_a_fit_changes_none_of_its_arguments(engine):
    rows, model = two_groups(), bg.GaussianMixture(2, means=bg.ConjugateMeans([1.0, 2.0]), component_names=["a", "b"])
    table = pd.DataFrame(rows.copy(), columns=["a", "b"])
    copy, text, options = rows.copy(), model.to_json(), repr(engine)
    state = np.random.get_state()[1].copy()  # noqa: NPY002  # the global generator that must not be used
    result = fit(model, rows, engine)
    fit(model, table, engine)
    np.testing.assert_array_equal(rows, copy)
    assert rows.flags.writeable
    np.testing.assert_array_equal(table.to_numpy(), copy)
    assert model.to_json() == text
    assert repr(engine) == options
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    rows[:] = 0.0  # the result must not share memory with the data
    np.testing.assert_array_equal(result["observed_data"]["x"], copy)


def test_functions_do_not_change_the_fit(vb_fit, table):
    before = vb_fit.copy(deep=True)
    bg.predict(vb_fit, table.iloc[:3])
    bg.predict(vb_fit, per_draw=True)
    bg.summary(vb_fit)
    bg.diagnose(vb_fit)
    bg.occupied_components(vb_fit)
    bg.simulate(vb_fit, 3, random_seed=1)
    with_likelihood = bg.add_log_likelihood(vb_fit)
    assert "log_likelihood" in with_likelihood.children
    assert vb_fit.identical(before)


@pytest.mark.parametrize("engine", [EM, VB])
def test_the_same_seed_gives_the_same_result_bit_for_bit(engine):
    model, rows = bg.GaussianMixture(3), two_groups(distance=3.0)
    assert fit(model, rows, engine, seed=7).identical(fit(model, rows, engine, seed=7))


def test_another_seed_gives_other_draws():
    model, rows = bg.GaussianMixture(2), two_groups()
    first, second = (fit(model, rows, VB, seed=seed)["posterior"]["means"] for seed in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("engine", [EM, VB])
@pytest.mark.parametrize("parts", [{}, {"weights": bg.Dirichlet(3.0)}, {"covariances": bg.Tied()}], ids=str)
def test_all_seeds_give_the_same_table_where_groups_are_apart(engine, parts):
    rows = np.vstack([two_groups(90, 12.0, seed=5), two_groups(30, 12.0, seed=6)[:15] + np.array([12.0, -12.0])])
    points = [fit(bg.GaussianMixture(3, **parts), rows, engine, seed=seed)["point_estimate"] for seed in range(4)]
    for name in ("weights", "means", "covariances"):
        for other in points[1:]:
            np.testing.assert_allclose(other[name], points[0][name], rtol=1e-6, atol=1e-6)


def test_intervals_follow_the_settings_of_arviz(overlapping):
    with az.rc_context({"stats.ci_prob": 0.5, "stats.ci_kind": "hdi"}):
        result = fit(bg.GaussianMixture(2), overlapping, bg.VB(threads=1, draws=400))
        table = bg.summary(result)
    assert result["assignments"].attrs["interval"] == "50% hdi over 400 draws"
    assert table.attrs["interval"] == "50% hdi"
    r = np.sort(bg.predict(result, per_draw=True)["responsibilities"].to_numpy().reshape(400, 80, 2), axis=0)
    # Shortest interval over half the draws, by brute force.
    widths = r[200:] - r[:-200]
    start = widths.argmin(axis=0)[None]
    assigned = result["assignments"].to_dataset()
    width = (assigned["responsibilities_upper"] - assigned["responsibilities_lower"]).to_numpy()
    np.testing.assert_allclose(width, np.take_along_axis(widths, start, 0)[0], rtol=0, atol=0.02)
    with az.rc_context({"stats.ci_prob": 0.5, "stats.ci_kind": "eti"}):
        again = bg.predict(result)
    assert again.attrs["interval"] == "50% eti over 400 draws"
    np.testing.assert_allclose(again["responsibilities_lower"], np.quantile(r, 0.25, axis=0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(again["responsibilities_upper"], np.quantile(r, 0.75, axis=0), rtol=0, atol=1e-10)


# ---- every declaration ------------------------------------------------------------------------------------------

WEIGHTS = {
    "none": None,
    "dirichlet": bg.Dirichlet(2.0),
    "unequal": bg.Dirichlet([1.0, 2.0]),
    "sparse": bg.Dirichlet(0.5),
    "sticks": bg.StickBreaking(2.0),
    "few sticks": bg.StickBreaking(0.5),
    "fixed": bg.FixedWeights([0.4, 0.6]),
    "flat": bg.Flat(),
}
MEANS = {
    "none": None,
    "conjugate": bg.ConjugateMeans(),
    "normal": bg.NormalMeans(),
    "by component": bg.NormalMeans(mu=[[0.0, 0.0], [5.0, 5.0]], sigma=3.0),
    "fixed": bg.FixedMeans([[0.0, 0.0], [5.0, 5.0]]),
    "flat": bg.Flat(),
}
COVARIANCES = {
    "none": None,
    **{
        f"{'tied ' if tied else ''}{structure.__name__} {prior.__name__}": (
            bg.Tied(structure(prior())) if tied else structure(prior())
        )
        for structure in (bg.Full, bg.Diagonal, bg.Spherical)
        for prior in (bg.InverseWishart, bg.LKJ, bg.Flat)
        for tied in (False, True)
    },
    "log-normal sds": bg.LKJ(1.0, scale=bg.LogNormal(0.0, 1.0)),
    "fixed": bg.FixedCovariances(1.0),
}


def every_pair():
    """Rows in which every pair of weights, means and covariances occurs: a Latin square of means."""
    means = list(MEANS)
    return [(w, means[(i + j) % len(means)], c) for i, w in enumerate(WEIGHTS) for j, c in enumerate(COVARIANCES)]


def quickest(model):
    """The first of the engines that search for an optimum which takes the model."""
    for engine in (VB, bg.Laplace(threads=1), EM):
        try:
            engine.check(model.filled(np.zeros(2), np.eye(2)), 2)
        except bg.UnsupportedError:
            continue
        return engine
    return bg.EM(density="unconstrained", threads=1)


@pytest.mark.parametrize(("weights", "means", "covariances"), every_pair())
def test_every_valid_declaration_is_fitted(weights, means, covariances):
    rows = two_groups(40, 5.0, seed=5)
    model = bg.GaussianMixture(2, weights=WEIGHTS[weights], means=MEANS[means], covariances=COVARIANCES[covariances])
    result = fit(model, rows, quickest(model))
    assert result.attrs["status"] == "CONVERGED"
    point = result["point_estimate"].to_dataset()
    assert all(np.isfinite(point[name]).all() for name in POINT)
    # Whatever the prior, groups this far apart are found; a prior that tells components apart may number them too.
    order = np.argsort(point["means"][:, 0].to_numpy())
    if weights in ("none", "dirichlet", "sparse", "flat"):
        np.testing.assert_array_equal(order, [0, 1])
    np.testing.assert_array_equal(result["assignments"]["label"], np.repeat(order, 20))
    np.testing.assert_allclose(point["means"][order], [[0.0, 0.0], [5.0, 5.0]], rtol=0, atol=1.0)
    assert np.isfinite(bg.predict(result)["log_density"]).all()
    if weights == "fixed":
        np.testing.assert_allclose(point["weights"], [0.4, 0.6], rtol=1e-12)
    if means == "fixed":
        np.testing.assert_allclose(point["means"], MEANS["fixed"].values, rtol=0, atol=1e-12)
    if "tied" in covariances:
        np.testing.assert_allclose(point["covariances"][0], point["covariances"][1], rtol=1e-12)
    if "Diagonal" in covariances or "Spherical" in covariances:
        assert np.abs(point["covariances"][:, 0, 1]).max() == 0
    if "Spherical" in covariances:
        np.testing.assert_allclose(point["sds"][:, 0], point["sds"][:, 1], rtol=1e-10)
    if covariances == "fixed":
        np.testing.assert_allclose(point["covariances"], np.stack([np.eye(2)] * 2), rtol=0, atol=1e-12)


def one_of_each():
    """Every covariance once, with weights and means in turn; known means where weights tell components apart.

    There two labellings of the same groups would have different densities, and chains do not change between them.
    """
    weights, means = itertools.cycle(WEIGHTS), itertools.cycle(MEANS)
    out = []
    for covariances in COVARIANCES:
        own = next(weights)
        told_apart = own in ("unequal", "sticks", "few sticks", "fixed")
        out.append((own, "fixed" if told_apart else next(means), covariances))
    return out


@pytest.mark.parametrize(("weights", "means", "covariances"), one_of_each())
def test_the_default_engine_fits_every_part(weights, means, covariances):
    rows = two_groups(40, 5.0, seed=5)
    model = bg.GaussianMixture(2, weights=WEIGHTS[weights], means=MEANS[means], covariances=COVARIANCES[covariances])
    result = fit(model, rows)
    flat = "flat" in (weights, means) or "Flat" in covariances
    assert result.attrs["status"] == ("CONVERGED" if flat else "SAMPLED")
    assert result.attrs["engine"] == ("EM" if flat else "NUTS")
    point = result["point_estimate"].to_dataset()
    order = np.argsort(point["means"][:, 0].to_numpy())
    np.testing.assert_array_equal(result["assignments"]["label"], np.repeat(order, 20))
    np.testing.assert_allclose(point["means"][order], [[0.0, 0.0], [5.0, 5.0]], rtol=0, atol=1.0)


def test_the_table_of_declarations_holds_every_pair():
    chosen = every_pair()
    assert {(w, c) for w, _, c in chosen} == set(itertools.product(WEIGHTS, COVARIANCES))
    assert {(w, m) for w, m, _ in chosen} == set(itertools.product(WEIGHTS, MEANS))
    assert {(m, c) for _, m, c in chosen} == set(itertools.product(MEANS, COVARIANCES))
    for i, names_of in enumerate((WEIGHTS, MEANS, COVARIANCES)):
        assert {each[i] for each in one_of_each()} == set(names_of)
