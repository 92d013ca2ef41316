"""What `diagnose` says in cases where it is known what it should say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import bayesgmm as bg
from bayesgmm.results import FIT, sealed
from tests.inference.conftest import EM, FLAT, VB, fit, two_groups
from tests.shared_data import table as shared_table

CHECKS = ["converged", "starts", "improper_ends", "smallest_component", "uncertain_rows", "clusters", "resolution"]


def check(out, name):
    one = out.sel(check=name)
    return float(one["value"]), bool(one["ok"]), str(one["message"].item())


@pytest.fixture(scope="module")
def galaxies():
    return bg.datasets.load_galaxies()


@pytest.fixture(scope="module")
def galaxies_ml(galaxies):
    """Maximum likelihood with six components for one column: most starts collapse."""
    return fit(bg.GaussianMixture(6, **FLAT), galaxies, EM)


@pytest.fixture(scope="module")
def galaxies_vb(galaxies):
    return fit(bg.GaussianMixture(6), galaxies, bg.VB(threads=1, draws=4000))


def test_checks_and_their_types(vb_fit, em_fit):
    out = bg.diagnose(vb_fit)
    assert out["check"].to_numpy().tolist() == ["converged", "intervals", *CHECKS[1:], "k_hat"]
    assert bg.diagnose(em_fit)["check"].to_numpy().tolist() == CHECKS
    assert {name: values.dtype.kind for name, values in out.data_vars.items()} == {
        "value": "f", "ok": "b", "message": "U",
    }  # fmt: skip
    assert out.attrs["engine"] == "VB"
    assert bg.diagnose(em_fit).attrs["engine"] == "EM"


def test_a_good_fit(em_fit):
    out = bg.diagnose(em_fit)
    assert out["ok"].all()
    value, _, message = check(out, "converged")
    assert 0 <= value < 1e-4
    assert message.startswith(bg.Status.CONVERGED.value)
    assert "nats" in message
    value, _, message = check(out, "starts")
    search = em_fit["optimization"].to_dataset()
    fresh = ~np.isin(search["method"], ["split and merge", "given", "simpler model"])
    assert value == (fresh & (search["optimum"] == 0).to_numpy()).sum() > 3
    assert f"{em_fit['optimization'].sizes['start']} starts" in message
    assert "1 distinct optimum" in message
    assert check(out, "improper_ends") == (0.0, True, "No start collapsed.")
    value, _, message = check(out, "smallest_component")
    rows = em_fit["assignments"]["responsibilities"].sum("obs")
    assert value == pytest.approx(float(rows.min()), rel=1e-12)
    assert str(rows["component"][int(rows.to_numpy().argmin())].item()) in message
    value, _, message = check(out, "uncertain_rows")
    assert value == 0
    assert message == "The labels of 0 of 60 rows have a probability below 0.95."


@pytest.mark.parametrize(
    ("engine", "name"), [(bg.EM(threads=1, max_steps=3), "EM"), (bg.VB(threads=1, max_steps=3), "VB")]
)
def test_a_fit_that_ran_out_of_steps(engine, name, galaxies):
    with pytest.warns(bg.NotConvergedWarning, match=rf"{name}: Not converged: .*raise `max_steps`") as caught:
        result = fit(bg.GaussianMixture(6), galaxies, engine)
    assert len(caught) == 1
    assert result.attrs["status"] == "MAX_STEPS"
    value, ok, message = check(bg.diagnose(result), "converged")
    assert not ok
    assert value > 1e-4
    assert "Not converged" in message
    assert "raise `max_steps`" in message


def test_the_warning_points_at_the_line_of_the_user(galaxies):
    with pytest.warns(bg.NotConvergedWarning) as caught:
        bg.fit(bg.GaussianMixture(6), galaxies, engine=bg.EM(max_steps=3), random_seed=1, progressbar=False)
    assert caught[0].filename == __file__


def test_collapsed_starts_and_a_best_optimum_that_one_start_reached(galaxies_ml):
    search = galaxies_ml["optimization"].to_dataset()
    spurious = int((search["status"] == "TOO_FEW_ROWS").sum())
    singular = int((search["status"] == "SINGULAR").sum())
    assert spurious + singular > 5
    value, ok, message = check(bg.diagnose(galaxies_ml), "improper_ends")
    assert value == spurious + singular
    assert not ok
    assert f"{singular} starts ended in a collapsed component and {spurious}" in message
    assert "proper covariance prior" in message


def with_starts(fitted, methods, ends, statuses=None):
    """A fit whose table of starts says something else; the first start is the best one."""
    out = fitted.copy(deep=True)
    search = out["optimization"].to_dataset()
    search = search.isel(start=np.zeros(len(ends), dtype=int)).assign_coords(start=np.arange(len(ends)))
    search["method"] = "start", np.array(methods)
    search["end_value"] = "start", np.array(ends, dtype=float)
    search["status"] = "start", np.array(statuses or ["CONVERGED"] * len(ends))
    n_optima = len(set(ends))
    search["optimum"] = "start", np.searchsorted(-np.unique(ends)[::-1], -np.array(ends))
    attrs = {"best_start": 0, "times_best_reached": ends.count(ends[0]), "n_optima": n_optima}
    out["optimization"] = search.assign_attrs(attrs)
    return sealed(out, FIT)


def test_moves_from_the_best_optimum_are_no_witnesses(em_fit):
    methods = ["random rows", "slices", *["split and merge"] * 6]
    value, ok, message = check(bg.diagnose(with_starts(em_fit, methods, [0.0, -3.0] + [0.0] * 6)), "starts")
    assert (value, ok) == (1.0, False)
    assert "1 of 2 starts from scratch reached the best one" in message
    assert "raise n_init and n_polish, or use fewer components" in message


def test_how_sure_a_search_is(em_fit):
    methods = ["random rows", "slices"] * 5
    ends = [0.0] * 4 + [-1.0, -1.0, -2.0, -3.0, -4.0, -4.02]
    value, ok, message = check(bg.diagnose(with_starts(em_fit, methods, ends)), "starts")
    assert (value, ok) == (4.0, True)
    # None of ten: 1 - .05^(1/10); two optima of ten starts were seen once.
    assert "a better one with a probability below 26% (95 % limit)" in message
    assert "with about 20%" in message
    one_kind = with_starts(em_fit, ["random rows"] * 4 + ["slices"] * 6, ends)
    assert not check(bg.diagnose(one_kind), "starts")[1]
    many_others = with_starts(em_fit, ["random rows", "slices"] * 10, [0.0] * 4 + [-1.0 - i for i in range(16)])
    value, ok, message = check(bg.diagnose(many_others), "starts")
    assert (value, ok) == (4.0, False)
    assert "with about 80%" in message
    # A start that fell off says nothing about optima.
    fell = with_starts(em_fit, methods, ends, ["CONVERGED"] * 5 + ["SINGULAR"] * 5)
    assert "4 of 5 starts from scratch" in check(bg.diagnose(fell), "starts")[2]


def test_many_rows_are_searched_in_part():
    rows = two_groups(30_000, distance=4.0, seed=5)
    for engine in (EM, bg.VB(threads=1, draws=4)):
        out = bg.diagnose(fit(bg.GaussianMixture(2), rows, engine))
        _, ok, message = check(out, "starts")
        assert ok, message
        assert "may exist" not in message
    assert "compared on 20000 of the rows" in message


@pytest.mark.parametrize("which", ["vb_fit", "em_fit"])
def test_a_fit_to_so_many_rows_that_responsibilities_are_not_kept(which, request):
    result = request.getfixturevalue(which)
    without = result.copy()
    without["assignments"] = result["assignments"].to_dataset().drop_vars("responsibilities")
    without = sealed(without, FIT)
    assert bg.diagnose(without).identical(bg.diagnose(result))
    assert bg.summary(without).equals(bg.summary(result))
    assert bg.occupied_components(without).identical(bg.occupied_components(result))


def test_a_component_of_few_rows(galaxies):
    wide = {"weights": bg.Dirichlet(1.0), "means": bg.ConjugateMeans(), "covariances": bg.InverseWishart(3, 0.325)}
    result = fit(bg.GaussianMixture(8, **wide), galaxies, EM)
    rows = result["assignments"]["responsibilities"].sum("obs").to_numpy()
    assert rows.min() <= 2  # a prior supports what the data do not
    value, ok, message = check(bg.diagnose(result), "smallest_component")
    assert value == pytest.approx(rows.min())
    assert not ok
    assert f"Component {rows.argmin()} holds" in message
    assert "no more than the 2 that a covariance needs" in message
    assert "rests on the prior" in message


def test_uncertain_rows():
    rows = np.random.default_rng(3).normal(size=100)
    known = {"means": bg.FixedMeans([-0.5, 0.5]), "covariances": bg.FixedCovariances(1.0)}
    result = fit(bg.GaussianMixture(2, **known), rows, EM)
    largest = result["assignments"]["responsibilities"].max("component")
    expected = int((largest < 0.95).sum())
    assert expected > 50
    value, ok, message = check(bg.diagnose(result), "uncertain_rows")
    assert (value, ok) == (expected, False)
    assert f"The labels of {expected} of 100 rows have a probability" in message


# ---- importance weights -----------------------------------------------------------------------------------------


def test_k_hat_where_q_is_too_narrow(galaxies_vb):
    value, ok, message = check(bg.diagnose(galaxies_vb), "k_hat")
    assert value > 0.7
    assert not ok
    assert f"{value:.2f}, above 0.7" in message
    assert "q is far from the posterior" in message
    assert "fit with NUTS instead" in message


def test_k_hat_where_q_is_close():
    value, ok, message = check(bg.diagnose(fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), VB)), "k_hat")
    assert value < 0.6
    # Intervals from q are too narrow at such k as well, so that it does not make them usable.
    assert not ok
    assert f"{value:.2f}" in message
    assert "too narrow all the same" in message
    assert "usable" not in message


@pytest.mark.parametrize("rows", [two_groups(), two_groups(200, d=1)])
def test_k_hat_where_q_is_the_posterior(rows):
    value, ok, message = check(bg.diagnose(fit(bg.GaussianMixture(1), rows, VB)), "k_hat")
    assert (value, ok) == (0.0, True)
    assert "q equals the posterior" in message


@pytest.mark.parametrize("k", [0.3, 0.5, 1.0, 1.3])
def test_k_hat_is_the_shape_of_the_upper_tail_of_the_weights(k, vb_fit):
    """Weights from a Pareto distribution of known shape; a sign slip would see the lower tail, which is short."""
    changed = vb_fit.copy(deep=True)
    sample = stats.genpareto(k).ppf((np.arange(1000) + 0.5) / 1000)
    log_weight = np.random.default_rng(1).permutation(np.log1p(sample)) - 1234.5
    stored = changed["sample_stats"].to_dataset()
    changed["sample_stats"] = stored.assign(log_weight=(("chain", "draw"), log_weight.reshape(4, 250)))
    value, ok, message = check(bg.diagnose(sealed(changed, FIT)), "k_hat")
    assert value == pytest.approx(k, abs=0.2)
    assert not ok
    assert ("q is far from the posterior" in message) == (k > 0.7)


@pytest.mark.parametrize("draws", [1, 2, 8, 20])
def test_few_draws(draws, table):
    result = fit(bg.GaussianMixture(2), table, bg.VB(threads=1, draws=draws, chains=1))
    _, _, message = check(bg.diagnose(result), "k_hat")
    assert "q equals the posterior" not in message


def test_no_alarm_where_all_weights_are_nearly_equal():
    result = fit(bg.GaussianMixture(2), two_groups(), bg.VB(threads=1, draws=4000), seed=3)
    log_weight = result["sample_stats"]["log_weight"].to_numpy()
    weight = np.exp(log_weight - log_weight.max()).ravel()
    assert weight.sum() ** 2 / np.square(weight).sum() > 0.999 * weight.size  # as good as draws from the posterior
    assert check(bg.diagnose(result), "k_hat")[1]


def test_weights_do_not_see_what_an_emptied_component_would_hold():
    """Weights that are all but equal speak for q only where q is."""
    rng = np.random.default_rng(5)
    sparse = bg.GaussianMixture(2, weights=bg.Dirichlet(0.01))
    result = fit(sparse, rng.normal(size=(60, 2)), VB)
    assert result["assignments"]["responsibilities"].sum("obs").min() < 1
    changed = result.copy(deep=True)
    stored = changed["sample_stats"].to_dataset()
    noise = (("chain", "draw"), 0.05 * rng.normal(size=(4, 250)))
    changed["sample_stats"] = stored.assign(log_weight=noise)
    _, ok, message = check(bg.diagnose(sealed(changed, FIT)), "k_hat")
    assert not ok
    assert "do not see what the component that q leaves empty" in message
    _, ok, message = check(bg.diagnose(result), "intervals")
    assert not ok
    assert "cannot be told from these weights" in message


# ---- several partitions -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def banknotes():
    return shared_table("banknote").select_dtypes("number").to_numpy()


def test_two_partitions_of_the_banknotes_under_maximum_likelihood(banknotes):
    value, ok, message = check(bg.diagnose(fit(bg.GaussianMixture(2, **FLAT), banknotes, EM)), "partitions")
    assert (value, ok) == (2.0, False)
    assert message.startswith("Two different partitions of the rows are supported: ")
    for counts, height in (((83, 117), "-718.40"), ((101, 99), "-729.95")):
        either = [f"{a} and {b} rows (log-likelihood {height})" for a, b in (counts, counts[::-1])]
        assert any(each in message for each in either), counts


def test_partitions_of_the_banknotes_have_their_posterior_masses(banknotes):
    within = np.cov((banknotes - np.repeat([banknotes[:100].mean(0), banknotes[100:].mean(0)], 100, axis=0)).T)
    model = bg.GaussianMixture(2, weights=bg.Dirichlet(2.0), covariances=bg.InverseWishart(8.0, 8.0 * within))
    result = fit(model, banknotes, bg.Laplace(threads=1, draws=200))
    value, _, message = check(bg.diagnose(result), "partitions")
    assert value == 2.0
    for counts, mass in (((101, 99), "0.9"), ((83, 117), "0.0")):
        assert any(f"{a} and {b} rows (posterior mass {mass}" in message for a, b in (counts, counts[::-1])), counts
    masses = [float(part.split(",")[0]) for part in message.split("posterior mass ")[1:]]
    assert sum(masses) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("engine", [EM, VB, bg.Laplace(threads=1, n_init=8)])
def test_one_partition_is_not_spoken_of(engine):
    out = bg.diagnose(fit(bg.GaussianMixture(2), two_groups(), engine))
    assert "partitions" not in out["check"]


def test_what_fit_said_of_fewer_groups_is_said_again():
    x = np.random.default_rng(3).normal(size=(60, 2))
    with pytest.warns(bg.FewerGroupsWarning) as told:
        found = bg.fit(bg.GaussianMixture(3), x, random_seed=1, progressbar=False)
    check = bg.diagnose(found).sel(check="groups")
    assert not check["ok"]
    assert str(check["message"].item()) in {str(each.message) for each in told}
    assert bg.summary(found).attrs["fewer_groups"] == str(check["message"].item())
