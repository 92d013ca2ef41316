"""Pictures of `ddpcr.quantify` show what is in the result."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection

import bayesgmm as bg
from bayesgmm.plots._droplets import KINDS, clusters, digits, interval
from bayesgmm.results import sealed
from tests.quantified import quantified


@pytest.fixture(scope="module")
def both():
    return quantified()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def texts(ax):
    return " ".join([ax.get_title(loc="left"), *(text.get_text() for text in ax.texts)])


def points(ax):
    """Offsets and colour values of all droplets."""
    return [each for each in ax.collections if isinstance(each, PathCollection) and len(each.get_offsets())]


def test_a_well_is_drawn_with_what_the_fit_expects(both):
    plate, result = both
    ax = bg.plots.plot_well(result, plate, "A01", "Ch1")
    x = plate["A01"].channel("Ch1")
    (stairs,) = ax.patches
    counts, edges, _ = stairs.get_data()
    inside = (x >= edges[0]) & (x <= edges[-1])
    assert counts.sum() == inside.sum()
    lines = {line.get_label(): line for line in ax.lines}
    assert {"all, as fitted", *KINDS} <= set(lines)
    total = lines["all, as fitted"]
    expected = np.trapezoid(total.get_ydata(), total.get_xdata()) / (edges[1] - edges[0])
    assert expected == pytest.approx(x.size, rel=0.01)
    np.testing.assert_allclose(total.get_ydata(), sum(lines[kind].get_ydata() for kind in KINDS))
    row = result.sel(well="A01", channel="Ch1")
    (dashed,) = [line for line in ax.lines if str(line.get_label()).startswith("threshold")]
    assert dashed.get_xdata()[0] == float(row["threshold"])
    assert digits(float(row["copies_per_droplet"]), 0.01)[:4] in ax.get_title(loc="left")
    assert ax.get_xlabel().endswith("(unit of the instrument)")
    assert ax.get_yscale() == "log"
    ax.figure.canvas.draw()


def test_flags_of_a_well_are_in_its_title(both):
    plate, result = both
    ax = bg.plots.plot_well(result, plate, "A01", "Ch2")
    shown = texts(ax).replace("\n", " ")
    assert str(result["flags"].sel(well="A01", channel="Ch2").values) in shown
    assert "fewer than 10,000" in shown


def test_a_well_without_droplets_is_said_to_have_none(both):
    plate, result = both
    ax = bg.plots.plot_well(result, plate, "H12", "Ch1")
    assert "no droplets" in texts(ax)
    ax.figure.canvas.draw()


def test_fitted_clusters_have_the_numbers_of_the_result(both):
    _, result = both
    for well in ("A01", "C01"):
        row = result.sel(well=well, channel="Ch1")
        found = clusters(result, well, "Ch1")
        assert found.weights.sum() == pytest.approx(1.0)
        # Low droplets are negative, outliers neither.
        positive = found.weights[(found.kind == 1) | (found.kind == 2)].sum() / found.weights[:-1].sum()
        assert np.log(-np.log1p(-positive)) == pytest.approx(float(row["mode"].sel(parameter="log_rate")))
        assert -np.log1p(-positive) == pytest.approx(float(row["copies_per_droplet"]), rel=0.02)
        assert found.means[found.kind == 1] == pytest.approx(float(row["baseline"] + row["gap"]))
        assert found.sds[found.kind == 1] == pytest.approx(float(row["positive_sd"]))
        p, outlier = found.probabilities(found.means[found.kind == 1])
        assert p > 0.99
        assert outlier < 0.01
    assert clusters(result, "H12", "Ch1") is None


def test_droplets_of_all_wells(both):
    plate, result = both
    ax = bg.plots.plot_droplets(result, plate, "Ch1")
    drawn = points(ax)
    total = sum(well.n_droplets for well in plate)
    assert sum(len(each.get_offsets()) for each in drawn) == total
    assert f"{total:,} droplets" in ax.get_title(loc="left")
    assert {tick.get_text() for tick in ax.get_xticklabels()} == set(result["well"].values)
    ends = {line.get_ydata()[0] for line in ax.lines}
    known = result["threshold"].sel(channel="Ch1").values
    assert ends == set(known[np.isfinite(known)])
    ax.figure.canvas.draw()


def test_thinning_keeps_what_is_rare(both):
    plate, result = both
    ax = bg.plots.plot_droplets(result, plate, "Ch1", most=4000)
    shown = np.concatenate([each.get_offsets() for each in points(ax)])
    assert 3000 < len(shown) < 6000
    assert f"{len(shown):,} of" in ax.get_title(loc="left")
    order = [tick.get_text() for tick in ax.get_xticklabels()]
    threshold = float(result["threshold"].sel(well="E01", channel="Ch1"))
    for well in ("C01", "D01"):  # few positives
        x = plate[well].channel("Ch1")
        own = shown[np.abs(shown[:, 0] - order.index(well)) < 0.5, 1]
        assert (own > threshold).sum() >= 0.8 * (x > threshold).sum()


def test_plate_has_both_intervals_of_every_well(both):
    _, result = both
    figure = bg.plots.plot_plate(result, "Ch1")[0].figure
    samples, controls = figure.axes
    names = [tick.get_text() for ax in figure.axes for tick in ax.get_xticklabels()]
    assert sorted(names) == sorted(result["well"].values)
    assert [tick.get_text() for tick in controls.get_xticklabels()] == ["E01", "F01"]
    at = [tick.get_text() for tick in samples.get_xticklabels()].index("A01")
    row = result.sel(well="A01", channel="Ch1")
    bars = {line.get_linewidth(): line.get_ydata() for line in samples.lines if list(line.get_xdata()) == [at, at]}
    thick, thin = bars[max(bars)], bars[min(bars)]
    assert list(thick) == [float(row["copies_per_ul_lower"]), float(row["copies_per_ul_upper"])]
    assert list(thin) == [float(row["copies_per_ul_total_lower"]), float(row["copies_per_ul_total_upper"])]
    blank = float(result["limit_of_blank"].sel(channel="Ch1"))
    assert any(list(line.get_ydata()) == [blank, blank] for line in controls.lines)
    assert samples.get_ylabel() == "copies per µL of reaction"
    assert "no estimate" in texts(samples)
    figure.canvas.draw()


def test_plate_without_controls_and_of_many_wells(both):
    _, result = both
    assert len(bg.plots.plot_plate(result.sel(well=["A01", "B01"]), "Ch1")) == 1
    many = result.isel(well=np.arange(60) % 4)
    many = many.assign_coords(well=[f"{'ABCDE'[i // 12]}{i % 12 + 1:02d}" for i in range(60)])
    many = sealed(many, "ddpcr.quantify")
    figure = bg.plots.plot_plate(many, "Ch1")[0].figure
    assert len(figure.axes) == 2
    assert sum(len(ax.get_xticks()) for ax in figure.axes) == 60


def test_two_channels_have_four_clusters(both):
    plate, result = both
    ax = bg.plots.plot_two_channels(result, plate, "A01")
    (drawn,) = points(ax)
    assert len(drawn.get_offsets()) == plate["A01"].n_droplets
    counts = [int(label.split(": ")[1].replace(",", "")) for label in legend(ax)]
    assert [label.split(":")[0] for label in legend(ax)] == ["neither", "Ch1 only", "Ch2 only", "both"]
    truth = np.bincount(plate["A01"].clusters, minlength=5)[[1, 2, 4, 3]]
    np.testing.assert_allclose(counts, truth, atol=5 * np.sqrt(truth.max()) * 0.2)
    assert "Ch1" in ax.get_ylabel()
    assert "Ch2" in ax.get_xlabel()
    with pytest.raises(bg.InputError, match="Give two of Ch1, Ch2"):
        bg.plots.plot_two_channels(result, plate, "A01", ("Ch1", "Ch1"))
    ax = bg.plots.plot_two_channels(result, plate, "H12")
    assert ax.get_legend() is None


def test_axes_are_used_and_returned(both):
    plate, result = both
    _, ax = plt.subplots()
    assert bg.plots.plot_well(result, plate, "A01", "Ch1", ax=ax) is ax
    before = plt.get_fignums()
    bg.plots.plot_well(result, plate, "A01", "Ch1", ax=ax)
    assert plt.get_fignums() == before


def test_errors(both):
    plate, result = both
    with pytest.raises(bg.InputError, match=r"Give what ddpcr\.quantify returned"):
        bg.plots.plot_well({}, plate, "A01")
    with pytest.raises(bg.InputError, match=r"channel: got None\. The result has Ch1 and Ch2"):
        bg.plots.plot_plate(result)
    with pytest.raises(bg.InputError, match="well: got 'B07'"):
        bg.plots.plot_well(result, plate, "B07", "Ch1")
    with pytest.raises(bg.InputError, match="plate: got dict"):
        bg.plots.plot_droplets(result, {}, "Ch1")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.2, 0.18, 0.22), "0.200 (0.180 to 0.220)"),
        ((1234.0, 1100.0, 1400.0), "1,234 (1,100 to 1,400)"),
        ((0.001, 0.0, 0.002), "below 0.0020"),
        ((6.0, 5.0, np.nan), "above 5.0"),
        ((np.nan, np.nan, np.nan), "no estimate"),
    ],
)
def test_intervals_in_words(values, told):
    assert interval(*values) == told
