from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

import bayesgmm as bg


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
    figure = bg.plots.plot_component_count(comparison, structure=structure)
    heights = [bar.get_height() for bar in figure.axes[1].patches if isinstance(bar, Rectangle)]
    of_scales = np.reshape(heights, (comparison.sizes["mean_scale"], 2))
    np.testing.assert_allclose(of_scales.sum(axis=1), 1.0)
    assert f"given {structure} covariances" in figure.axes[1].get_title(loc="left")
    plt.close(figure)


def test_bars_that_rest_on_a_guess_are_hatched_and_named(comparison):
    doubtful = comparison.assign(reliable=comparison["reliable"] & False)
    figure = bg.plots.plot_component_count(doubtful, structure="full")
    ax = figure.axes[1]
    assert {bar.get_hatch() for bar in ax.patches} == {"////"}
    handle = {each.get_label(): each for each in ax.get_legend().legend_handles}["evidence is a guess"]
    assert handle.get_hatch() == "////"
    plt.close(figure)


def test_the_lower_edge_says_that_it_stands_for_more(comparison):
    figure = bg.plots.plot_component_count(comparison, structure="full", depth=4.0)
    assert figure.axes[0].get_yticklabels()[-1].get_text() == "≤ −4"
    plt.close(figure)
