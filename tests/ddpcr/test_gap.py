"""The gap that a plate shows, and wells that are counted there: as any threshold would, at any scale."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from bayesgmm import ddpcr
from bayesgmm._errors import FitError, InputError
from bayesgmm.ddpcr import _fit_plate
from bayesgmm.ddpcr._counted import Count
from bayesgmm.ddpcr._gap import find_gap
from bayesgmm.plots._four_clusters import four_clusters

OPTIONS = {"droplet_volume_nl": 0.85, "cores": 1, "progressbar": False}


def wells_of(*amplitudes, channels=("Ch1",), table=None):
    """A plate of arrays (n,) or (n, channels)."""
    wells = tuple(
        ddpcr.Well(
            name=f"{'ABCDEFGH'[i % 8]}{i // 8 + 1:02d}",
            channels=channels,
            amplitudes=np.reshape(x, (len(x), len(channels))),
        )
        for i, x in enumerate(amplitudes)
    )
    plain = ddpcr.simulate_plate(samples={"s": 0.1}, n_wells=len(wells), n_ntc=0, n_droplets=10, random_seed=0)
    frame = plain.table.drop(columns=[c for c in plain.table if "true" in c])
    frame = frame.assign(**{f"target {c}": c for c in channels}, sample=[f"s{i}" for i in range(len(wells))])
    frame.index = frame.index.__class__([well.name for well in wells], name="well")
    return ddpcr.Plate(wells, frame).with_table(table) if table is not None else ddpcr.Plate(wells, frame)


def droplets(rng, k, n, *, middle=3000.0, sd=200.0, height=6000.0, width=400.0):
    return np.concatenate([rng.normal(middle, sd, n - k), rng.normal(middle + height, width, k)])


def two_targets(**options):
    """Three samples of two targets, one of them rare, and a control."""
    samples = {"a": (0.0005, 0.7), "b": (0.15, 0.2), "c": (1.4, 0.05)}
    return ddpcr.simulate_plate(samples=samples, n_wells=1, n_ntc=1, n_droplets=8000, random_seed=1, **options)


def truth(plate):
    return np.array([(well.clusters == 2).sum() for well in plate])


@pytest.mark.parametrize(("separation", "sd"), [(20.0, 5.0), (60.0, 2000.0), (200.0, 25.0), (1000.0, 100.0)])
def test_clusters_far_apart_are_counted_at_any_scale(separation, sd):
    plate = ddpcr.simulate_plate(
        samples={"rare": 0.0005, "some": 0.15, "most": 4.0},
        n_wells=1,
        n_ntc=1,
        n_droplets=6000,
        sd=sd,
        gap=separation * sd,
        rain=0.0,
        random_seed=2,
    )
    found = ddpcr.quantify(plate, **OPTIONS).isel(channel=0)
    k, n = truth(plate), 6000
    np.testing.assert_array_equal(found["positives"], k)
    np.testing.assert_array_equal(found["counted"], 1.0)
    np.testing.assert_allclose(found["copies_per_droplet"], -np.log1p(-k / n))
    for i in np.flatnonzero(k):
        for end, p in (("lower", 0.025), ("upper", 0.975)):
            exact = -np.log1p(-beta.ppf(p, k[i] + 0.5, n - k[i] + 0.5))
            assert float(found[f"copies_per_droplet_{end}"][i]) == pytest.approx(exact, rel=1e-9)
    none = np.flatnonzero(k == 0)
    assert none.size
    np.testing.assert_allclose(found["copies_per_droplet_upper"][none], -np.log1p(-beta.ppf(0.95, 0.5, n + 0.5)))


def test_rain_counts_as_positive_and_what_hides_is_added():
    plate = ddpcr.simulate_plate(
        samples={"a": 1.0, "b": 0.2}, n_wells=2, n_ntc=1, n_droplets=15_000, separation=60.0, rain=0.1, random_seed=3
    )
    found = ddpcr.quantify(plate, **OPTIONS).isel(channel=0)
    k = truth(plate)
    some = k > 0
    assert (found["counted"] == 1).all()
    assert (found["threshold_positives"].to_numpy()[some] < k[some]).all()  # rain among the negatives
    np.testing.assert_allclose(found["positives"].to_numpy()[some], k[some], rtol=0.01)
    np.testing.assert_allclose(found["rain"].to_numpy()[some], 0.1, atol=0.03)


def test_a_shoulder_of_the_negatives_is_no_cluster_of_positives():
    rng, n, positives = np.random.default_rng(4), 8000, (400, 90, 25, 5)
    wells = []
    for i, k in enumerate(positives):
        x = droplets(rng, k, n, middle=4800.0, sd=180.0, height=5200.0, width=600.0)
        if i >= 2:
            moved = (np.arange(n) < n - k) & (rng.random(n) < 0.1)
            x[moved] = rng.normal(5500.0, 220.0, int(moved.sum()))
        wells.append(x)
    found = ddpcr.quantify(wells_of(*wells), **OPTIONS).isel(channel=0)
    np.testing.assert_allclose(found["positives"], positives, atol=1)


def test_stray_droplets_far_up_do_not_move_the_gap():
    rng = np.random.default_rng(5)
    wells = [np.append(droplets(rng, k, 5000), [40_000.0, 90_000.0]) for k in (300, 20, 0)]
    gap = find_gap(wells, [False] * 3)
    assert gap.shown
    assert 4000 < gap.threshold(0) < 8500
    assert [int((x > gap.threshold(i)).sum()) for i, x in enumerate(wells)] == [302, 22, 2]


def test_few_scattered_droplets_show_no_cluster():
    rng = np.random.default_rng(6)
    wells = [np.append(rng.normal(3000.0, 200.0, 5000), rng.uniform(6000.0, 30_000.0, 2)) for _ in range(4)]
    assert not find_gap(wells, [False] * 4).shown


def test_wells_that_hold_positives_alone_have_the_baseline_of_the_others():
    rng = np.random.default_rng(7)
    gap = find_gap([rng.normal(9000.0, 400.0, 3000), droplets(rng, 800, 3000), droplets(rng, 50, 3000)], [False] * 3)
    np.testing.assert_allclose(gap.baselines, 3000.0, atol=30.0)


def test_a_second_cluster_of_positives_is_said_in_the_wells_that_have_it():
    rng = np.random.default_rng(8)
    both = [np.concatenate([droplets(rng, 600, 5000), rng.normal(5500.0, 200.0, 900)]) for _ in range(2)]
    found = ddpcr.quantify(wells_of(*both, droplets(rng, 500, 5000)), **OPTIONS)
    flags = found["flags"].to_numpy()[:, 0]
    assert all("more than one positive cluster: 900 about" in str(text) for text in flags[:2])
    assert "more than one" not in str(flags[2])
    assert "counts them apart" in found.attrs["flags Ch1"]


def test_a_well_whose_fit_fails_is_counted_and_the_others_stand(monkeypatch):
    plate = ddpcr.simulate_plate(samples=0.3, n_wells=3, n_ntc=1, n_droplets=4000, separation=6.0, random_seed=9)
    fit, bad = _fit_plate.fit_well, plate["B01"].channel("Ch1")

    def failing(x, *args, **options):
        if x.size == bad.size and (x == bad).all():
            raise FitError("no mode was found: the log density is flat")
        return fit(x, *args, **options)

    monkeypatch.setattr(_fit_plate, "fit_well", failing)
    found = ddpcr.quantify(plate, **OPTIONS).isel(channel=0)
    flag = str(found["flags"].sel(well="B01").item())
    assert "counted at the half-way threshold, because the fit failed: no mode was found" in flag
    assert np.isfinite(found["copies_per_ul"]).all()
    assert float(found["copies_per_droplet"].sel(well="B01")) == pytest.approx(0.3, rel=0.15)


def test_a_fault_of_the_program_is_not_taken_for_a_bad_well(monkeypatch):
    plate = ddpcr.simulate_plate(samples=0.3, n_wells=1, n_ntc=1, n_droplets=2000, separation=6.0, random_seed=9)

    def broken(*args, **options):
        raise IndexError("a fault")

    monkeypatch.setattr(_fit_plate, "fit_well", broken)
    with pytest.raises(IndexError, match="a fault"):
        ddpcr.quantify(plate, **OPTIONS)


@pytest.mark.parametrize("kind", ["skewed", "shoulder", "normal"])
@pytest.mark.parametrize("k", [0, 7])
def test_one_well_without_a_control_has_an_upper_limit(kind, k):
    rng, n = np.random.default_rng(10), 8000
    x = {
        "skewed": 4950 + 200 * (rng.gamma(11, 1, n) - 11) / np.sqrt(11),
        "shoulder": np.where(rng.random(n) < 0.1, rng.normal(5500, 220, n), rng.normal(4800, 180, n)),
        "normal": rng.normal(4950, 200, n),
    }[kind]
    x[:k] = rng.normal(10_000, 600, k)
    found = ddpcr.quantify(wells_of(x), **OPTIONS).isel(channel=0, well=0)
    assert float(found["copies_per_droplet"]) == pytest.approx(-np.log1p(-k / n))
    assert float(found["copies_per_droplet_lower"]) == 0.0
    assert k / n < float(found["copies_per_droplet_upper"]) < 0.15
    assert "only an upper limit is known" in str(found["flags"].item())


@pytest.mark.parametrize("named", [True, False])
def test_two_assays_in_a_channel(named):
    rng, k = np.random.default_rng(11), (300, 80, 500, 40)
    far = [droplets(rng, each, 4000) for each in k[:2]]
    near = [droplets(rng, each, 4000, middle=5000.0, height=3000.0) for each in k[2:]]
    table = pd.DataFrame({"well": ["A01", "B01", "C01", "D01"], "target Ch1": ["x", "x", "y", "y"]}) if named else None
    found = ddpcr.quantify(wells_of(*far, *near, table=table), **OPTIONS)
    np.testing.assert_allclose(found["positives"].isel(channel=0), k, atol=1)
    assert not any("baseline" in str(text) for text in found["flags"].to_numpy().ravel())
    told = found.attrs["flags Ch1"]
    assert ("baselines of the wells differ" in told) is not named
    assert ("more than one positive cluster" in told) is not named


def test_cross_talk_and_competition_are_taken_off_before_droplets_are_counted():
    plate = two_targets(separation=100.0, cross_talk=(0.2, 0.1), competition=0.15, linked=0.2, rain=0.0)
    found = ddpcr.quantify(plate, **OPTIONS)
    k = np.array([[np.isin(well.clusters, own).sum() for own in ((2, 3), (3, 4))] for well in plate])
    np.testing.assert_array_equal(found["positives"], k)
    np.testing.assert_allclose(found["plate_effect_size"][0], [0.2, 0.1, 0.15, 0.15], atol=0.01)
    assert "taken off before droplets are counted" in found.attrs["flags Ch1"]
    fitted = four_clusters(found, "B01", ("Ch1", "Ch2"))  # as pictures show them
    called = fitted.probabilities(*plate["B01"].amplitudes.T).argmax(axis=1)
    assert (np.array([1, 2, 4, 3])[called] == plate["B01"].clusters).mean() > 0.999
    shares = np.array([np.bincount(well.clusters, minlength=5)[[1, 2, 4, 3]] for well in plate]) / 8000
    np.testing.assert_allclose(found["cluster_share"][:, 0], shares)
    lower, upper = (found[f"linked_per_droplet_{end}"][1:3, 0].to_numpy() for end in ("lower", "upper"))
    linked = plate.table["true_linked"].to_numpy()[1:3]
    assert ((lower < linked) & (linked < upper)).all()


def test_a_threshold_of_the_user_counts_and_says_what_would_be_otherwise():
    plate = ddpcr.simulate_plate(samples=0.2, n_wells=2, n_ntc=1, n_droplets=4000, separation=6.0, random_seed=12)
    free = ddpcr.quantify(plate, **OPTIONS).isel(channel=0)
    for given in ({"Ch1": 4100.0}, {"Ch1": (2000.0, 6200.0)}):
        found = ddpcr.quantify(plate, thresholds=given, **OPTIONS).isel(channel=0)
        for i, well in enumerate(plate):
            k = (well.channel("Ch1") > 4100.0).sum()
            assert float(found["positives"][i]) == pytest.approx(k)
            told = (
                f"counted at 4100, as asked for; lambda would be {float(free['copies_per_droplet'][i]):.3g} otherwise"
            )
            assert told in str(found["flags"][i].item())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (3.0, "got 3.0"),
        ({"FAM": 3.0}, "no channel or target 'FAM'"),
        ({"Ch1": "high"}, "got 'high' for Ch1"),
        ({"Ch1": (1.0, 2.0, 3.0)}, "for Ch1"),
        ({"Ch1": (9000.0, 2000.0)}, "the negative cluster first"),
        ({"Ch1": np.nan}, "for Ch1"),
    ],
)
def test_thresholds_that_are_none(given, told):
    plate = ddpcr.simulate_plate(samples=0.2, n_wells=1, n_ntc=0, n_droplets=100, random_seed=1)
    with pytest.raises(InputError, match="thresholds") as caught:
        ddpcr.quantify(plate, thresholds=given, **OPTIONS)
    assert told in str(caught.value)


def test_a_count_is_whole_and_its_interval_jeffreys():
    count = Count.of(np.arange(10.0), 6.5)
    assert (count.positive, count.negative) == (3, 7)
    assert count.rate == pytest.approx(-np.log(0.7))
    np.testing.assert_allclose(-np.expm1(-np.array(count.interval(0.05, 0.95))), beta.ppf([0.05, 0.95], 3.5, 7.5))
    draws = count.draws(4000, np.random.default_rng(0))
    np.testing.assert_allclose(np.quantile(draws, [0.05, 0.95]), count.interval(0.05, 0.95), rtol=0.01)
    full, none = Count.of(np.ones(5), 0.0), Count.of(np.zeros(5), 0.5)
    assert np.isnan(full.rate)
    assert np.isnan(full.interval(0.025, 0.975)[1])
    assert none.rate == none.interval(0.025, 0.975)[0] == 0.0
    assert np.isfinite(full.draws(100, np.random.default_rng(0))).all()


def test_hidden_rain_is_added_only_where_it_matters():
    x = np.r_[np.zeros(9900), np.ones(100)]
    assert Count.of(x, 0.5, hidden=0.009).hidden == 0.0
    assert Count.of(x, 0.5, hidden=0.011).rate == pytest.approx(-np.log1p(-0.01 * 1.011))


def test_amplitudes_that_are_hardly_different():
    """Rounded and constant amplitudes, and wells of two droplets, have an answer or a flag."""
    rng = np.random.default_rng(13)
    wells = [np.round(droplets(rng, 100, 2000), -3), np.full(50, 3000.0), np.array([1.0, 2.0]), np.empty(0)]
    found = ddpcr.quantify(wells_of(*wells), **OPTIONS).isel(channel=0)
    assert "no droplets with different amplitudes" in str(found["flags"][1].item())
    assert float(found["positives"][0]) == pytest.approx(100, abs=3)


def test_a_shifted_baseline_is_said_of_single_wells_alone():
    rng = np.random.default_rng(14)
    one = [droplets(rng, 200, 3000, middle=3000.0 + 1500.0 * (i == 2)) for i in range(8)]
    flags = ddpcr.quantify(wells_of(*one), **OPTIONS)["flags"].to_numpy()[:, 0]
    assert [("baseline shifted by +15" in str(text)) for text in flags] == [i == 2 for i in range(8)]
    full = [rng.normal(9000.0, 400.0, 3000) for _ in range(5)] + [droplets(rng, 200, 3000) for _ in range(3)]
    flags = ddpcr.quantify(wells_of(*full), **OPTIONS)["flags"].to_numpy()[:, 0]
    assert not any("baseline" in str(text) for text in flags)  # wells without negatives have none


@pytest.mark.fit
def test_negatives_learn_their_tail_without_controls():
    plate = ddpcr.simulate_plate(samples=0.005, n_wells=4, n_ntc=0, n_droplets=13_000, separation=8.0, random_seed=15)
    found = ddpcr.quantify(plate, **OPTIONS).isel(channel=0)
    np.testing.assert_allclose(found["positives"], truth(plate), atol=8)
    assert "the negatives of all wells" in found.attrs["flags Ch1"]


@pytest.mark.fit
def test_even_rain_is_learned():
    plate = ddpcr.simulate_plate(
        samples=4.0, n_wells=1, n_ntc=1, n_droplets=13_000, separation=13.0, rain=0.1, random_seed=1
    )
    found = ddpcr.quantify(plate, **OPTIONS).isel(channel=0, well=0)
    assert float(found["copies_per_droplet_lower"]) < 4.0 < float(found["copies_per_droplet_upper"])
    assert float(found["copies_per_droplet"]) == pytest.approx(4.0, rel=0.06)


@pytest.mark.fit
def test_replaced_amplitudes_of_one_channel_change_nothing_else():
    """Counting in one channel does not need the other one to be clear."""
    plate = ddpcr.simulate_plate(
        samples={"a": (0.2, 0.2)}, n_wells=2, n_ntc=1, n_droplets=3000, separation=40.0, random_seed=16
    )
    rng = np.random.default_rng(0)
    blurred = tuple(
        replace(
            well, amplitudes=well.amplitudes + [0.0, 900.0] * rng.standard_normal((3000, 2)), clusters=well.clusters
        )
        for well in plate
    )
    clear, other = (ddpcr.quantify(each, **OPTIONS) for each in (plate, replace(plate, wells=blurred)))
    np.testing.assert_array_equal(clear["positives"].sel(channel="Ch1"), other["positives"].sel(channel="Ch1"))
    assert (other["counted"].sel(channel="Ch2") == 0).any()


@pytest.mark.fit
def test_a_count_stays_where_the_other_channel_has_to_be_fitted_with_it():
    plate = two_targets(separation=40.0, cross_talk=(0.1, 0.0), competition=0.1, rain=0.0)
    rng = np.random.default_rng(0)
    noise = [0.0, 900.0] * rng.standard_normal((4, 8000, 2))
    wells = tuple(replace(well, amplitudes=well.amplitudes + own) for well, own in zip(plate, noise, strict=True))
    found = ddpcr.quantify(replace(plate, wells=wells), **OPTIONS)
    assert "Ch1 and Ch2 are fitted together" in found.attrs["flags Ch1"]
    k = [np.isin(well.clusters, (2, 3)).sum() for well in plate]
    np.testing.assert_array_equal(found["positives"].sel(channel="Ch1"), k)
    assert (found["counted"].sel(channel="Ch1") == 1).all()
    assert (found["counted"].sel(channel="Ch2") == 0).all()
