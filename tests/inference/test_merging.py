"""Which components form one cluster, in cases where it is known."""

import numpy as np
import pytest
import xarray as xr

import bayesgmm as bg
from tests.inference.conftest import fit, two_groups
from tests.shared_data import table as shared_table

# Few starts: where the optimum is matters here, not whether hard ones are found.
EM = bg.EM(threads=1, n_init=8, n_polish=2)
VB = bg.VB(threads=1, n_init=8, n_polish=2, draws=400)


def arc_and_group(seed=2):
    """400 rows along an arc, 200 in a round group of their own."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-1.6, 1.6, 400)
    arc = 3 * np.column_stack([np.sin(angle), np.cos(angle)]) + 0.3 * rng.normal(size=(400, 2))
    return np.vstack([arc, [0, -3] + 0.4 * rng.normal(size=(200, 2))])


def skewed_and_group(seed=2):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.gamma(2.0, 1.0, 500), rng.normal(14.0, 1.0, 300)])


def wide(K, rows):
    """With a prior under which components may have most sizes, and none at all."""
    covariance = np.atleast_2d(np.cov(np.asarray(rows).T))
    d = len(covariance)
    covariances = bg.InverseWishart(d + 2.0, covariance * K ** (-2 / d))
    return bg.GaussianMixture(K, weights=bg.Dirichlet(1.0), means=bg.ConjugateMeans(), covariances=covariances)


@pytest.fixture(scope="module")
def arc():
    return fit(bg.GaussianMixture(4), arc_and_group(), VB)


@pytest.fixture(scope="module")
def faithful():
    names = ["short", "long", "longest"]
    model = bg.GaussianMixture(3, covariances=bg.Tied(), component_names=names)
    return fit(model, bg.datasets.load_faithful(), VB)


def check(result):
    (one,) = [each for each in bg.diagnose(result)["check"].to_numpy() if each == "clusters"]
    found = bg.diagnose(result).sel(check=one)
    return float(found["value"]), bool(found["ok"]), str(found["message"].item())


def test_an_arc_and_a_group_are_two_clusters(arc):
    merged = bg.merge_components(arc)
    assert merged.attrs["recommended"] == 2
    label = merged["label"].to_numpy()
    for rows in (slice(0, 400), slice(400, 600)):
        _, times = np.unique(label[rows], return_counts=True)
        assert times.max() > 0.99 * times.sum()
    assert merged.attrs["share_of_draws"] > 0.9
    assert sorted(merged["units"].to_numpy()) == pytest.approx([200, 400], abs=4)


@pytest.mark.parametrize(("rows", "number"), [(slice(0, 800), 2), (slice(0, 500), 1)])
@pytest.mark.parametrize("K", [3, 4])
def test_a_skewed_group(rows, number, K):
    chosen = skewed_and_group()[rows]
    merged = bg.merge_components(fit(wide(K, chosen), chosen, EM))
    assert merged.attrs["recommended"] == number
    some = "cluster" if number == 1 else "clusters"
    assert merged.attrs["message"].startswith(f"{K} Gaussian components form {number} {some} (at the mode")


def test_crosses_and_groups_are_four_clusters():
    """Six components of the kind of the first example of Baudry et al. (2010)."""
    rng = np.random.default_rng(2)

    def group(n, mean, sds, angle=0.0):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return mean + (rng.normal(size=(n, 2)) * sds) @ turn.T

    crosses = [group(120, at, (0.3, 1.0), angle) for at, angle in (((0, 0), 0), ((0, 0), 1.57), ((8, 5), 1.0))]
    rows = [*crosses, group(120, (8, 5), (0.3, 1.0), -1.0), group(60, (1, 5), (0.3, 1)), group(60, (8, 0), (1, 0.3))]
    merged = bg.merge_components(fit(bg.GaussianMixture(6), np.vstack(rows), VB))
    assert merged.attrs["recommended"] == merged.attrs["elbow"] == 4
    assert merged.attrs["share_same_clusters"] > 0.9


@pytest.mark.parametrize("engine", [EM, VB], ids=["EM", "VB"])
def test_separate_components_do_not_merge(engine):
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [9, 0], [0, 9], [9, 9], [20, 20]])
    rows = np.concatenate([center + rng.normal(size=(60, 2)) for center in centers])
    result = fit(bg.GaussianMixture(5), rows, engine)
    merged = bg.merge_components(result)
    assert merged.attrs["recommended"] == 5
    assert "form 5 clusters, none of them merged" in merged.attrs["message"]
    np.testing.assert_allclose(merged["responsibilities"], result["assignments"]["responsibilities"], atol=1e-12)
    assert check(result)[:2] == (5.0, True)


def test_faithful_with_three_tied_components_is_two_clusters(faithful):
    merged = bg.merge_components(faithful)
    assert merged.attrs["message"] == "3 Gaussian components form 2 clusters (in 100 % of the posterior draws)."
    assert merged["cluster"].to_numpy().tolist() == ["short", "long + longest"]
    assert merged["cluster_of"].sel(n_clusters=2).to_numpy().tolist() == [0, 1, 1]
    assert merged["probability"].to_numpy().tolist() == [0, 1, 0]
    value, ok, message = check(faithful)
    assert (value, ok) == (2.0, False)
    assert message.startswith(merged.attrs["message"])
    assert message.endswith("Components are Gaussians; clusters may be fewer. See merge_components.")


def test_two_crossed_gaussians_stay_two_clusters():
    rows = shared_table("cross")
    truth = rows.iloc[:, 0].to_numpy()
    with pytest.warns(bg.FewerGroupsWarning, match="2 of 4 components hold enough rows"):
        result = fit(wide(4, rows.iloc[:, 1:]), rows.iloc[:, 1:], VB)
    merged = bg.merge_components(result)
    assert merged.attrs["recommended"] == 2
    label = merged["label"].to_numpy()
    right = [np.unique(label[truth == kind], return_counts=True)[1].max() for kind in np.unique(truth)]
    assert sum(right) > 0.9 * truth.size


def test_entropies_are_those_of_the_responsibilities(arc):
    merged = bg.merge_components(arc)
    r = arc["assignments"]["responsibilities"].to_numpy()
    for n in range(1, 5):
        own = merged["cluster_of"].sel(n_clusters=n).to_numpy()
        summed = np.stack([r[:, own == c].sum(axis=1) for c in range(n)])
        expected = -(summed * np.log(np.where(summed > 0, summed, 1.0))).sum()
        assert float(merged["entropy"].sel(n_clusters=n)) == pytest.approx(expected, abs=1e-9)


def test_intervals_are_those_of_sums_within_draws(faithful):
    merged = bg.merge_components(faithful)
    r = bg.predict(faithful, per_draw=True)["responsibilities"]
    summed = r.sel(component=["long", "longest"]).sum("component").stack(sample=("chain", "draw"))
    tail = 0.5 * (1 - 0.89)
    assert merged.attrs["interval"].startswith("89% eti")
    both = merged.sel(cluster="long + longest")
    np.testing.assert_allclose(both["responsibilities"], summed.mean("sample"), atol=1e-10)
    np.testing.assert_allclose(both["responsibilities_lower"], summed.quantile(tail, "sample"), atol=1e-10)
    np.testing.assert_allclose(both["responsibilities_upper"], summed.quantile(1 - tail, "sample"), atol=1e-10)
    ends = faithful["assignments"]["responsibilities_upper"].sel(component=["long", "longest"]).sum("component")
    assert float(np.abs(both["responsibilities_upper"] - ends).max()) > 0.05  # sums of ends would be another thing


def test_em_has_no_interval_and_no_draws():
    merged = bg.merge_components(fit(bg.GaussianMixture(2), two_groups(), EM))
    assert np.isnan(merged["responsibilities_lower"]).all()
    assert merged.attrs["interval"].startswith("none: EM has no draws")
    assert merged.attrs["draws"] == 0
    assert np.isnan(merged.attrs["share_of_draws"])
    assert merged["probability"].to_numpy().tolist() == [0, 1]


def test_a_number_that_was_asked_for(arc):
    merged = bg.merge_components(arc, n_clusters=3)
    assert merged.sizes["cluster"] == 3
    assert merged.attrs["n_clusters"] == 3
    assert merged.attrs["recommended"] == 2
    assert merged.attrs["message"].endswith("Merged into 3 as asked.")
    np.testing.assert_allclose(merged["responsibilities"].sum("cluster"), 1.0)
    assert set(merged["label"].to_numpy()) <= set(merged["cluster"].to_numpy())


def test_counts_are_repeated_rows():
    values = np.round(skewed_and_group(), 1)
    rows, counts = np.unique(values, return_counts=True)
    one = bg.merge_components(fit(bg.GaussianMixture(3), np.repeat(rows, counts), EM))
    other = bg.merge_components(fit(bg.GaussianMixture(3), bg.as_data(rows, counts=counts), EM))
    for name in ("entropy", "gain", "units_merged", "overlap"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one["units"], other["units"], rtol=1e-4)
    np.testing.assert_array_equal(one["cluster_of"], other["cluster_of"])


def test_rows_without_values_count_for_nothing(faithful):
    rows = bg.datasets.load_faithful().to_numpy()
    model = bg.GaussianMixture(3, covariances=bg.Tied())
    more = np.vstack([rows, np.full((50, 2), np.nan)])
    one, other = (bg.merge_components(fit(model, data, EM)) for data in (rows, more))
    np.testing.assert_allclose(one["entropy"], other["entropy"], rtol=1e-3, atol=1e-6)
    assert other.sizes["obs"] == 322


def test_empty_components_do_not_count():
    model = bg.GaussianMixture(6, weights=bg.Dirichlet(0.01))
    result = fit(model, two_groups(200), VB)
    merged = bg.merge_components(result)
    occupied = merged.attrs["occupied"]
    assert occupied < 6
    assert f"6 Gaussian components, {6 - occupied} of them empty, form 2 clusters" in merged.attrs["message"]
    assert check(result)[1]


def test_a_number_that_is_not_stable_raises_no_alarm():
    """Four groups in a row, 2.6 sds apart: two, three or one cluster, as the draw will have it."""
    rng = np.random.default_rng(7)
    rows = np.concatenate([rng.normal(size=40) + at for at in (0, 2.6, 5.2, 7.8)])
    result = fit(bg.GaussianMixture(4), rows, bg.VB(threads=1, draws=200))
    merged = bg.merge_components(result)
    assert 0 < merged.attrs["share_of_draws"] < 0.7
    assert "of the posterior draws; 3 in" in merged.attrs["message"]  # most draws say another number
    assert merged.attrs["recommended"] < merged.attrs["occupied"]
    assert merged["probability"].sum() == pytest.approx(1.0)
    _, ok, message = check(result)
    assert ok
    assert message.endswith("The number is not stable, so nothing follows from it.")


@pytest.mark.parametrize("engine", [EM, VB], ids=["EM", "VB"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_groups_four_sds_apart_are_not_said_to_be_fewer(engine, seed):
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.normal(size=60) + at for at in (0, 4, 12, 16)])
    model = bg.GaussianMixture(4, covariances=bg.Tied())
    value, ok, message = check(fit(model, rows, engine))
    assert ok
    assert value == 4.0 or "may form" in message
    assert "components form 3" not in message


def test_pieces_that_overlap_as_groups_do_may_be_one_cluster(arc):
    value, ok, message = check(arc)
    assert (value, ok) == (2.0, True)
    assert message.startswith("4 Gaussian components may form 2 clusters (in")
    assert "may as well be clusters of their own" in message


def test_without_draws_it_is_not_said_how_sure_that_is():
    value, ok, message = check(fit(bg.GaussianMixture(3), skewed_and_group(), EM))
    assert (value, ok) == (2.0, False)
    assert "stays unknown without draws" in message


def test_one_component():
    result = fit(bg.GaussianMixture(1), two_groups(), VB)
    merged = bg.merge_components(result)
    assert merged.attrs["message"] == "The one Gaussian component is one cluster."
    assert "clusters" not in bg.diagnose(result)["check"].to_numpy()


def test_by_chains_and_groups():
    rows = np.concatenate([two_groups(80), two_groups(40, seed=4)])
    data = bg.as_data(rows, groups=np.repeat(["a", "b"], [80, 40]))
    merged = bg.merge_components(fit(bg.GaussianMixture(2), data, VB))
    assert merged.attrs["recommended"] == 2
    assert merged.attrs["share_same_clusters"] == 1


def test_same_result_from_a_file(faithful, tmp_path):
    faithful.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as stored:
        again = bg.merge_components(stored)
    merged = bg.merge_components(faithful)
    xr.testing.assert_allclose(again, merged)
    assert again.attrs["message"] == merged.attrs["message"]
    merged.to_netcdf(tmp_path / "merged.nc")


@pytest.mark.parametrize("n_clusters", [0, 5, 2.0, "two", True])
def test_bad_numbers_of_clusters(arc, n_clusters):
    with pytest.raises(bg.InputError, match=r"n_clusters: got .* Give a whole number from 1 to 4"):
        bg.merge_components(arc, n_clusters=n_clusters)


def test_not_a_fit():
    with pytest.raises(bg.InputError, match="fit: got dict"):
        bg.merge_components({})
