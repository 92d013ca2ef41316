import numpy as np
import pytest

import bayesgmm as bg


@pytest.fixture(scope="module")
def merged(fits):
    return bg.merge_components(fits["4 VB"])


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_tree_has_a_bar_for_each_merge_with_its_overlap(merged):
    tree, curve = bg.plots.plot_merging(merged)
    bars = [line for line in tree.lines if len(line.get_xdata()) == 2 and np.ptp(line.get_ydata()) == 0]
    bars = [line for line in bars if line.get_linestyle() != ":"]
    assert sorted(line.get_ydata()[0] for line in bars) == [1, 2]
    assert texts(tree) == [f"{value:.2f}" for value in merged["overlap"].to_numpy()[[1, 0]]]
    assert [tick.get_text() for tick in tree.get_xticklabels()] == ["0", "1", "2"]
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in (tree, curve))
    tree.get_figure().canvas.draw()


def test_branches_do_not_cross(sparse):
    """Leaves of a cluster stand side by side at every number of clusters."""
    merged = bg.merge_components(sparse)
    tree, _ = bg.plots.plot_merging(merged)
    names = [str(name) for name in merged["component"].to_numpy()]
    order = [names.index(tick.get_text()) for tick in tree.get_xticklabels()]
    for n in range(1, len(names) + 1):
        along = merged["cluster_of"].sel(n_clusters=n).to_numpy()[order]
        assert (np.diff(along) != 0).sum() == n - 1


def test_curve_is_the_entropy(merged):
    _, curve = bg.plots.plot_merging(merged)
    np.testing.assert_allclose(curve.lines[0].get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(curve.lines[0].get_ydata(), merged["entropy"])
    shares = merged["probability"].to_numpy()
    assert texts(curve) == [f"{share:.0%}".replace("%", " %") for share in shares if share > 0]
    legend = [text.get_text() for text in curve.get_legend().get_texts()]
    assert f"recommended: {merged.attrs['recommended']}" in legend


def test_elbow_is_drawn_where_it_was_used(sparse, merged):
    several = bg.merge_components(sparse)
    for each in (several, merged):
        _, curve = bg.plots.plot_merging(each)
        legend = [text.get_text() for text in curve.get_legend().get_texts()]
        used = not isinstance(each.attrs["elbow"], str)
        assert any(text.startswith("elbow") for text in legend) == used
    assert isinstance(merged.attrs["elbow"], str)


def test_a_number_that_was_asked_for_and_one_component(fits):
    figure = bg.plots.plot_merging(bg.merge_components(fits["2 EM"], n_clusters=1))[0].figure
    assert "as asked: 1" in [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["short", "long"]
    one = bg.fit(bg.GaussianMixture(1), [[1.0], [2.0], [4.0]], random_seed=0)
    bg.plots.plot_merging(bg.merge_components(one))[0].figure.canvas.draw()


def test_draws_into_a_figure(merged):
    from matplotlib import pyplot as plt

    figure = plt.figure()
    assert bg.plots.plot_merging(merged, figure=figure)[0].figure is figure
    assert len(figure.axes) == 2


def test_errors_name_argument_value_and_remedy(fits, merged):
    with pytest.raises(bg.InputError, match=r"merged: got FitTree\. Give what merge_components"):
        bg.plots.plot_merging(fits["2 VB"])
    with pytest.raises(bg.InputError, match="figure: got int"):
        bg.plots.plot_merging(merged, figure=1)
