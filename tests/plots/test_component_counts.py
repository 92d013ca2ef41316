from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

import bayesgmm as bg
from bayesgmm.results import sealed


@pytest.fixture(scope="module")
def comparison():
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(-3, 0.3, (20, 1)), rng.normal(3, 2.0, (20, 1))])
    model = bg.GaussianMixture(1, means=bg.NormalMeans(0, 5), covariances=bg.Full(bg.InverseWishart(4, 4)))
    return bg.compare_components(
        model,
        rows,
        n_components=[1, 2],
        structures=["full", "tied"],
        criteria=["evidence"],
        draws=200,
        cores=1,
        random_seed=1,
        progressbar=False,
    )


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_bars_are_probabilities_within_the_structure_that_is_drawn(comparison, structure):
    figure = bg.plots.plot_component_count(comparison, structure=structure)[0].figure
    heights = [bar.get_height() for bar in figure.axes[1].patches if isinstance(bar, Rectangle)]
    of_scales = np.reshape(heights, (comparison.sizes["mean_scale"], 2))
    np.testing.assert_allclose(of_scales.sum(axis=1), 1.0)
    assert f"given {structure} covariances" in figure.axes[1].get_title(loc="left")
    plt.close(figure)


def test_a_number_without_evidence_is_marked_and_named(comparison):
    known = comparison["log_evidence"]
    missing = known.where((known["n_components"] != 2) | (known["mean_scale"] != 1.0))
    table = sealed(comparison.assign(log_evidence=missing, reliable=np.isfinite(missing)), "compare_components")
    figure = bg.plots.plot_component_count(table, structure="full")[0].figure
    ax = figure.axes[1]
    (marks,) = [line for line in ax.lines if len(line.get_xdata())]
    assert marks.get_marker() == "$?$"
    np.testing.assert_allclose(marks.get_xdata(), [2.0], atol=1e-12)  # the second of three widths
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[-1] == "evidence not known; the others without it"
    plt.close(figure)


def test_where_all_evidence_is_known_nothing_is_marked(comparison):
    assert comparison["reliable"].sel(structure="full").all()
    ax = bg.plots.plot_component_count(comparison, structure="full")[1]
    assert not any(len(line.get_xdata()) for line in ax.lines)
    assert len(ax.get_legend().get_texts()) == comparison.sizes["mean_scale"]


def test_the_lower_edge_says_that_it_stands_for_more(comparison):
    figure = bg.plots.plot_component_count(comparison, structure="full", depth=4.0)[0].figure
    assert figure.axes[0].get_yticklabels()[-1].get_text() == "≤ −4"
    plt.close(figure)
