"""Moments of simulated droplets are those of the model, within their Monte-Carlo errors."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm._errors import InputError
from bayesgmm.ddpcr import simulate_plate
from bayesgmm.ddpcr._simulate import _negatives

PLAIN = {"skewness": 0.0, "positive_sd": 1.0, "rain": 0.0, "n_ntc": 0, "n_wells": 1}
N = 200_000


def amplitudes(**options):
    """One well with 200,000 droplets: its amplitudes and whether molecules are in them."""
    (well,) = simulate_plate(**(PLAIN | {"n_droplets": N, "baseline": 100.0} | options))
    return well.channel("Ch1"), well.clusters


def assert_mean(values, expected):
    """Within 4 Monte-Carlo errors."""
    error = values.std() / np.sqrt(values.size)
    assert abs(values.mean() - expected) < 4 * error, (values.mean(), expected, error)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 1.0, 2.0, 3.0])
def test_share_of_negatives(rate):
    x, clusters = amplitudes(samples=rate, separation=20.0, random_seed=1)
    assert_mean((clusters == 1).astype(float), np.exp(-rate))
    np.testing.assert_array_equal(x > 100.0 + 2500.0, clusters == 2)  # 20 sd apart, the middle tells them


@pytest.mark.parametrize("skewness", [-1.2, 0.0, 0.4, 0.8, 1.2])
def test_shape_of_negatives(skewness):
    weights, means, sds = _negatives(skewness)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights @ means == pytest.approx(0.0, abs=1e-12)
    assert weights @ (means**2 + sds**2) == pytest.approx(1.0, abs=1e-12)
    assert weights @ (means**3 + 3 * means * sds**2) == pytest.approx(skewness, abs=1e-10)
    grid = np.linspace(-5, 8, 5000)
    density = (weights / sds * np.exp(-0.5 * ((grid[:, None] - means) / sds) ** 2)).sum(axis=1)
    assert ((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])).sum() == 1
    assert skewness != 0 or np.ptp(sds) == 0
    x, _ = amplitudes(samples=0.0, skewness=skewness, sd=50.0, random_seed=2)
    z = (x - 100.0) / 50.0
    for power, moment in ((1, 0.0), (2, 1.0), (3, skewness)):
        assert_mean(z**power, moment)


def test_saturated_positives():
    x, clusters = amplitudes(samples=2.0, positive_sd=1.5, gap=1000.0, separation=5.0, random_seed=3)
    z = (x[clusters == 2] - 1100.0) / (1.5 * 200.0)
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert_mean(z**power, moment)


@pytest.mark.parametrize("rho", [0.3, 0.9, 1.0])
def test_graded_positives(rho):
    """K is Poisson, whose generating function gives the moments of 1 + rho + ... + rho^(K - 1)."""
    rate, sd, gap = 1.5, 200.0, 1000.0
    x, _ = amplitudes(samples=rate, positive_sd=1.2, gap=gap, sd=sd, rho=rho, random_seed=4)
    y = x - 100.0
    if rho == 1:
        first, second = rate, rate + rate**2
    else:
        one, two = np.exp(-rate * (1 - rho)), np.exp(-rate * (1 - rho**2))
        first, second = (1 - one) / (1 - rho), (1 - 2 * one + two) / (1 - rho) ** 2
    assert_mean(y, gap * first)
    assert_mean(y**2, gap**2 * second + sd**2 * (1 + 0.44 * first))


def test_rain_is_uniform_between_the_clusters_and_counts_as_positive():
    x, clusters = amplitudes(samples=1.0, rain=0.2, separation=1000.0, random_seed=5)
    height = (x[clusters == 2] - 100.0) / 5000.0
    assert_mean(((height > 0.1) & (height < 0.9)).astype(float), 0.2 * 0.8)
    assert_mean(height[(height > 0.1) & (height < 0.9)], 0.5)
    assert_mean((clusters == 2).astype(float), 1 - np.exp(-1.0))


@pytest.mark.parametrize("mean", [0.25, 0.75])
def test_rain_may_be_denser_at_one_end(mean):
    """Powers of 2 of the distance from the other end, whose mean square is 3 / 5."""
    x, clusters = amplitudes(samples=1.0, rain=1.0, rain_height=mean, separation=1000.0, random_seed=5)
    height = (x[clusters == 2] - 100.0) / 5000.0
    far = height if mean > 0.5 else 1.0 - height
    assert_mean(far, 0.75)
    assert_mean(far**2, 0.6)


def test_rain_has_the_noise_of_negatives():
    x, clusters = amplitudes(samples=1.0, rain=1.0, separation=4.0, positive_sd=3.0, random_seed=10)
    y = (x[clusters == 2] - 100.0) / 5000.0
    assert_mean(y, 0.5)
    assert_mean(y**2, 1 / 3 + 1 / 16)


def test_outliers():
    x, _ = amplitudes(samples=0.0, outliers=0.05, separation=1000.0, random_seed=6)
    height = (x - 100.0) / 5000.0
    assert_mean((np.abs(height) > 0.01).astype(float), 0.05 * (2.5 - 0.02) / 2.5)
    assert (height.min(), height.max()) == pytest.approx((-0.5, 2.0), abs=0.01)


def test_shifts_between_wells():
    plate = simulate_plate(samples=0.0, n_wells=384, n_ntc=0, n_droplets=400, baseline_sd=300.0, random_seed=7)
    shifts = np.array([well.channel("Ch1").mean() for well in plate]) - 2000.0
    assert_mean(shifts, 0.0)
    assert_mean(shifts**2, 300.0**2 + 500.0**2 / 400)


def test_variation_between_wells():
    plate = simulate_plate(samples=0.5, n_wells=384, n_ntc=0, n_droplets=2000, extra_cv=0.2, random_seed=8)
    u = np.log(plate.table["true_lambda Ch1"].to_numpy() / 0.5)
    assert_mean(u, 0.0)
    assert_mean(u**2, 0.04)
    # What wells count has the Poisson noise on top.
    counted = np.array([-np.log(np.mean(well.clusters == 1)) for well in plate])
    assert_mean(counted - plate.table["true_lambda Ch1"].to_numpy(), 0.5 * (np.exp(0.5) - 1) / 2000)
    assert (plate.table["true_sample_lambda Ch1"] == 0.5).all()
    same = simulate_plate(samples=0.5, n_wells=4, random_seed=8).table
    assert same["true_lambda Ch1"].tolist() == [0.5] * 4 + [0.0] * 4


@pytest.mark.parametrize("linked", [0.0, 0.5, 1.0])
def test_two_channels(linked):
    a, b = 0.6, 0.25
    options = PLAIN | {"samples": {"s": (a, b)}, "n_droplets": N, "separation": 20.0, "random_seed": 9}
    plate = simulate_plate(**options, linked=linked)
    (well,) = plate
    clusters = well.clusters
    high = well.amplitudes > 2000.0 + 2500.0
    np.testing.assert_array_equal(clusters, np.array([[1, 4], [2, 3]])[high[:, 0].astype(int), high[:, 1].astype(int)])
    pairs = linked * b
    assert_mean(np.isin(clusters, [1, 4]).astype(float), np.exp(-a))
    assert_mean(np.isin(clusters, [1, 2]).astype(float), np.exp(-b))
    assert_mean((clusters == 1).astype(float), np.exp(-(a + b - pairs)))
    row = plate.table.loc["A01"]
    assert [row["true_lambda Ch1"], row["true_lambda Ch2"], row["true_linked"]] == pytest.approx([a, b, pairs])


def test_cross_talk_and_competition_move_clusters():
    options = PLAIN | {"samples": {"s": (0.6, 0.5)}, "n_droplets": N, "separation": 20.0, "random_seed": 10}
    (well,) = simulate_plate(**options, cross_talk=(0.2, 0.1), competition=0.15)
    high = 2000.0 + 5000.0 * np.array([[0, 0], [1, 0.2], [0.85 * 1.1, 0.85 * 1.2], [0.1, 1]])
    for call, place in zip([1, 2, 3, 4], high, strict=True):
        np.testing.assert_allclose(well.amplitudes[well.clusters == call].mean(axis=0), place, atol=30.0)
    with pytest.raises(InputError, match="cross_talk"):
        simulate_plate(samples=(0.1, 0.1), cross_talk=(0.1, 1.5))


def test_concentrations():
    plate = simulate_plate(samples={"x": 1000.0, "y": 10.0}, droplet_volume_nl=0.85, n_droplets=10, random_seed=1)
    for sample, rate in {"x": 0.85, "y": 0.0085, "NTC": 0.0}.items():
        assert plate.select(samples=sample).table["true_lambda Ch1"].tolist() == pytest.approx([rate] * 4)
    assert {well.volume_nl for well in plate} == {0.85}
    assert {well.volume_nl for well in simulate_plate(samples=1.0, n_droplets=1)} == {None}


def test_layout_and_table():
    plate = simulate_plate(samples={"x": 0.1, "y": 0.2}, n_wells=5, n_ntc=2, n_droplets=(5, 9), random_seed=1)
    assert plate.table.index.tolist() == sorted(plate.table.index)
    assert plate.table.index[plate.table["ntc"]].tolist() == ["C02", "D02"]
    assert plate.table.loc["B02", ["sample", "replicate"]].tolist() == ["y", 5]
    assert plate.table.loc["D02", ["sample", "replicate"]].tolist() == ["NTC", 2]
    sizes = {well.n_droplets for well in plate}
    assert sizes <= set(range(5, 10))
    assert len(sizes) > 1
    assert plate["D02"].clusters.max() == 1
    large = simulate_plate(samples=0.1, n_wells=380, n_droplets=1)
    assert len(large) == 384
    assert large.table.index[-1] == "P24"


def test_seeds():
    first, again, other = (simulate_plate(samples=0.5, n_droplets=50, random_seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["A01"].amplitudes, again["A01"].amplitudes)
    assert (first["A01"].amplitudes != other["A01"].amplitudes).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"samples": {}}, "samples: there are none"),
        ({"samples": {"x": -1}}, r"samples: got -1 for 'x'"),
        ({"samples": {"x": "a"}}, r"samples: got 'a' for 'x'"),
        ({"samples": {"x": (1, 2, 3)}}, r"samples: got \(1, 2, 3\) for 'x'"),
        ({"samples": {"x": 1, "y": (1, 2)}}, "some have one target and some have two"),
        ({"samples": {"NTC": 1}}, "'NTC' is the name of the controls"),
        ({"n_wells": 0}, "n_wells: got 0"),
        ({"n_wells": 400}, "there would be 404 wells"),
        ({"n_droplets": (9, 5)}, "n_droplets: got 5. Give a whole number of at least 9"),
        ({"sd": 1.0, "separation": 2.0}, "separation: is given with sd"),
        ({"sd": 0.0}, r"sd: got 0.0. Give a positive number"),
        ({"skewness": 1.5}, r"skewness: got 1.5. Give a number of at least -1.2 and of at most 1.2"),
        ({"rho": 0.5, "positive_sd": 0.9}, r"positive_sd: got 0.9 with rho = 0.5"),
        ({"rain": True}, "rain: got True"),
        ({"rain_height": 1.0}, "rain_height: got 1.0. Give a number of at least 0.01 and of at most 0.99"),
        ({"extra_cv": np.nan}, "extra_cv: got nan. Give a number of at least 0"),
        ({"baseline": "x"}, "baseline: got 'x'. Give a finite number"),
        ({"droplet_volume_nl": 0}, "droplet_volume_nl: got 0. Give a number above 0"),
        ({"random_seed": -1}, "random_seed: got -1"),
    ],
)
def test_arguments_that_cannot_be(options, text):
    with pytest.raises(bg.InputError, match=text):
        simulate_plate(**({"samples": 0.5} | options))
