import numpy as np
import pytest
from matplotlib import pyplot as plt

import bayesgmm as bg
from bayesgmm import traits


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(2)
    true = np.repeat([10.0, 12.0], 25) + 0.5 * rng.standard_normal(50)
    repeats = true[:, None] + 0.3 * rng.standard_normal((50, 2))
    return traits.discreteness(repeats, n_types=2, n_power=2, draws=400, cores=1, random_seed=1, progressbar=False)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_densities_and_error_bars(result):
    ax = bg.plots.plot_trait(result)
    labels = legend(ax)
    assert sum(label.startswith(("discrete", "mixed", "continuous")) for label in labels) == 3
    assert any(label == "50 individuals" for label in labels)
    several = result["class_probability"].isel(setting=0).sel({"class": "continuous"}).item()
    shown = "< 0.1 %" if several < 0.001 else f"{100 * several:.0f} %"
    assert any(label.startswith("continuous") and f"all continuous ones {shown}" in label for label in labels)
    assert not any("all mixed ones" in label for label in labels)
    lines = [line for line in ax.lines if len(line.get_xdata()) == result.sizes["x"]]
    assert len(lines) == 3
    for line in lines:
        area = np.trapezoid(line.get_ydata(), line.get_xdata())
        assert area == pytest.approx(1.0, abs=0.03)
    assert ax.get_xlabel() == "trait"
    assert ax.get_ylabel() == "density"
    ax.get_figure().canvas.draw()


def test_histogram_shows_the_means(result):
    ax = bg.plots.plot_trait(result, models=1)
    bars = ax.patches
    total = sum(bar.get_height() * bar.get_width() for bar in bars)
    assert total == pytest.approx(1.0)
    assert len([line for line in ax.lines if len(line.get_xdata()) == result.sizes["x"]]) == 1


def test_spread_has_one_histogram_a_type_and_the_threshold(result):
    ax = bg.plots.plot_type_spread(result)
    assert ax.get_xscale() == "log"
    assert sum("below 0.25" in label for label in legend(ax)) == 2
    heights = sum(bar.get_height() for bar in ax.patches)
    assert heights == pytest.approx(2.0, abs=0.02)
    assert "threshold 0.25" in legend(ax)
    assert all((ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")))


def test_hypotheses_fill_every_bar(result):
    _, ax = plt.subplots(layout="constrained")
    assert bg.plots.plot_hypotheses(result, ax=ax) is ax
    by_setting = {}
    for bar in ax.patches:
        by_setting.setdefault(round(bar.get_y(), 6), []).append(bar.get_width())
    assert len(by_setting) == result.sizes["setting"]
    assert all(sum(widths) == pytest.approx(1.0) for widths in by_setting.values())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(result["setting"].to_numpy())
    assert ax.get_title(loc="left").endswith(result.attrs["decision"])
    for kind, label in zip(result["class"].to_numpy(), legend(ax), strict=True):
        told = round(2 * result["power"].sel({"class": kind}).item())
        assert label == f"{kind}\n(told in {told} of 2 such samples)"


@pytest.mark.parametrize("plot", ["plot_trait", "plot_type_spread", "plot_hypotheses"])
def test_other_results_are_errors(plot):
    with pytest.raises(bg.InputError, match=r"traits\.discreteness"):
        getattr(bg.plots, plot)({"a": 1})
