"""The table of components and the count of occupied ones, against hand computation."""

from __future__ import annotations

import arviz as az
import numpy as np
import pandas as pd
import pytest

import bayesgmm as bg
from tests.inference.conftest import EM, VB, fit, two_groups


def flat_draws(result, variable):
    values = result["posterior"][variable].to_numpy()
    return values.reshape(-1, *values.shape[2:])


def test_table_of_vb(vb_fit):
    table = bg.summary(vb_fit)
    columns = []
    for column, variable, feature in (
        ("weight", "weights", None),
        ("mean[length]", "means", 0),
        ("mean[width]", "means", 1),
        ("sd[length]", "sds", 0),
        ("sd[width]", "sds", 1),
    ):
        draws = flat_draws(vb_fit, variable)
        draws = draws if feature is None else draws[..., feature]
        np.testing.assert_allclose(table[column], draws.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(table[f"{column}_lower"], np.quantile(draws, 0.055, axis=0), rtol=1e-12)
        np.testing.assert_allclose(table[f"{column}_upper"], np.quantile(draws, 0.945, axis=0), rtol=1e-12)
        columns += [column, f"{column}_lower", f"{column}_upper"]
    assert list(table.columns) == [*columns, "members", "uncertain", "note"]
    assert (table["note"] == "intervals may be too narrow").all()
    assert table.index.tolist() == ["short", "long"]
    assert table.index.name == "component"
    assert table.attrs["interval"] == "89% eti"


def test_table_of_em(em_fit):
    table = bg.summary(em_fit)
    point = em_fit["point_estimate"].to_dataset()
    assert list(table.columns) == [
        "weight", "mean[length]", "mean[width]", "sd[length]", "sd[width]", "members", "uncertain", "note",
    ]  # fmt: skip
    assert (table["note"] == "").all()
    np.testing.assert_array_equal(table["weight"], point["weights"])
    np.testing.assert_array_equal(table["mean[width]"], point["means"].sel(feature="width"))
    np.testing.assert_array_equal(table["sd[length]"], np.sqrt(point["covariances"][:, 0, 0]))
    assert table.attrs["interval"] == "none: EM has no draws"


@pytest.mark.parametrize("certain", [0.5, 0.8, 0.95, 1.0])
def test_members_and_uncertain_rows(overlapping_fit, certain):
    r = overlapping_fit["assignments"]["responsibilities"].to_numpy()
    table = bg.summary(overlapping_fit, certain=certain)
    for k in range(2):
        member = r.argmax(axis=1) == k
        assert table["members"][k] == member.sum()
        assert table["uncertain"][k] == (member & (r[:, k] < certain)).sum()
    assert table["members"].sum() == len(r)
    assert f"{certain:g}" in table.attrs["uncertain"]


def test_certain_rows_are_not_below_any_threshold():
    result = fit(bg.GaussianMixture(2), two_groups(distance=30.0), EM)
    assert (result["assignments"]["responsibilities"].max("component") == 1.0).any()
    assert bg.summary(result, certain=1.0)["uncertain"].sum() < 60


def test_thresholds_change_the_count_of_uncertain_rows(overlapping_fit):
    counts = [bg.summary(overlapping_fit, certain=c)["uncertain"].sum() for c in (0.5, 0.8, 0.95, 0.999)]
    assert counts[0] == 0 < counts[1] < counts[2] < counts[3]


def test_intervals_follow_the_settings_of_arviz(vb_fit):
    draws = flat_draws(vb_fit, "weights")[:, 0]
    with az.rc_context({"stats.ci_prob": 0.5, "stats.ci_kind": "eti"}):
        table = bg.summary(vb_fit)
    assert table.attrs["interval"] == "50% eti"
    np.testing.assert_allclose(
        table.loc["short", ["weight_lower", "weight_upper"]].to_numpy(dtype=float), np.quantile(draws, [0.25, 0.75])
    )
    with az.rc_context({"stats.ci_prob": 0.5, "stats.ci_kind": "hdi"}):
        table = bg.summary(vb_fit)
    assert table.attrs["interval"] == "50% hdi"
    ordered = np.sort(draws)
    shortest = (ordered[500:] - ordered[:-500]).min()
    width = table.loc["short", "weight_upper"] - table.loc["short", "weight_lower"]
    assert width == pytest.approx(shortest, rel=0.02)


def test_one_column_and_no_names():
    table = bg.summary(fit(bg.GaussianMixture(2), two_groups(d=1)[:, 0], EM))
    assert list(table.columns) == ["weight", "mean[x]", "sd[x]", "members", "uncertain", "note"]
    assert table.index.tolist() == [0, 1]


def test_an_empty_component_has_no_members(table):
    result = fit(bg.GaussianMixture(6, weights=bg.Dirichlet(0.01)), table, VB)
    out = bg.summary(result)
    assert sorted(out["members"])[:4] == [0, 0, 0, 0]
    assert out["members"].sum() == 60
    assert isinstance(out, pd.DataFrame)


# ---- occupied components ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [bg.Dirichlet(0.01), bg.StickBreaking(0.5)])
def test_sparse_weights_leave_components_empty(weights, table):
    result = fit(bg.GaussianMixture(6, weights=weights), table, VB)
    out = bg.occupied_components(result)
    assert out["n_occupied"].to_numpy().tolist() == [1, 2, 3, 4, 5, 6]
    assert int(out["n_occupied"][int(out["probability"].argmax("n_occupied"))]) == 2
    assert float(out["probability"].sel(n_occupied=2)) > 0.5
    numbers = result["posterior"]["n_occupied"].to_numpy()
    for n in range(1, 7):
        assert float(out["probability"].sel(n_occupied=n)) == pytest.approx(np.mean(numbers == n), abs=1e-15)
    assert float(out["probability"].sum()) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(out["rows"], result["assignments"]["responsibilities"].sum("obs"), rtol=1e-12)
    assert float(out["rows"].sum()) == pytest.approx(60.0, rel=1e-9)
    assert "not a posterior of K" in out.attrs["meaning"]


def test_occupied_in_a_draw_means_half_an_expected_row(table):
    result = fit(bg.GaussianMixture(4, weights=bg.Dirichlet(0.3)), table, bg.VB(threads=1, draws=40))
    counts = bg.predict(result, per_draw=True)["responsibilities"].sum("obs")
    expected = (counts >= 0.5).sum("component")
    np.testing.assert_array_equal(result["posterior"]["n_occupied"], expected)
    assert len(np.unique(expected)) > 1  # else any threshold would do


def test_under_em_the_number_is_certain(em_fit):
    out = bg.occupied_components(em_fit)
    assert out["probability"].to_numpy().tolist() == [0.0, 1.0]
    assert out["rows"]["component"].to_numpy().tolist() == ["short", "long"]


@pytest.mark.parametrize(
    ("model", "needed"),
    [
        (bg.GaussianMixture(3), 3),
        (bg.GaussianMixture(3, covariances=bg.Diagonal()), 2),
        (bg.GaussianMixture(3, covariances=bg.Tied()), 1),
        (bg.GaussianMixture(3, covariances=bg.FixedCovariances(1.0)), 1),
        (bg.GaussianMixture(3, means=bg.FixedMeans(np.eye(3, 2)), covariances=bg.FixedCovariances(1.0)), 0),
        (bg.GaussianMixture(3, means=bg.FixedMeans(np.eye(3, 2)), covariances=bg.Diagonal()), 2),
    ],
    ids=["full", "diagonal", "tied", "known covariances", "known", "known means"],
)
def test_rows_without_which_a_component_rests_on_the_prior(model, needed):
    assert model.filled(np.zeros(2), np.eye(2)).rows_needed(2) == needed


def test_components_that_hang_together_need_no_rows_of_their_own():
    for covariances in (bg.ConstantCV(), bg.LinearVariance()):
        model = bg.GaussianMixture(4, means=bg.EvenlySpacedMeans(), covariances=covariances)
        assert model.filled(np.zeros(1), np.eye(1)).rows_needed(1) == 0
    assert bg.warped_normal().filled(np.zeros(1), np.eye(1)).rows_needed(1) == 0
