import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection, PathCollection

import bayesgmm as bg


def of_kind(ax, kind):
    return [collection for collection in ax.collections if type(collection) is kind]


def test_one_feature_falls_back_on_the_density(fits):
    figure = bg.plots.plot_components(fits["1 VB"])[0].figure
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("velocity", "density")
    (ax,) = bg.plots.plot_components(fits["2 EM"], "waiting")
    assert ax.get_xlabel() == "waiting"


@pytest.mark.parametrize("name", ["2 VB", "2 EM"])
def test_two_features_give_one_panel(fits, name):
    fit = fits[name]
    (ax,) = bg.plots.plot_components(fit)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("eruptions", "waiting")
    assert sum(len(points.get_offsets()) for points in of_kind(ax, PathCollection)) == 272
    assert len(ax.lines) == 2 * 2
    thin = of_kind(ax, LineCollection)
    assert [len(lines.get_segments()) for lines in thin] == ([20, 20] if name == "2 VB" else [])
    found = [text.get_text() for text in ax.get_legend().get_texts()]
    assert found[0].startswith("short: weight 0.3")
    assert "50% and 90% of a component" in found


def test_order_of_features_is_the_order_asked_for(fits):
    (ax,) = bg.plots.plot_components(fits["4 VB"], ["petal_width", "sepal_length"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("petal_width", "sepal_length")


def test_ellipses_cover_what_they_say(fits):
    fit = fits["4 EM"]
    (ax,) = bg.plots.plot_components(fit, ["petal_width", "sepal_length"], probability=(0.5, 0.9))
    point = fit["point_estimate"].sel(feature=["petal_width", "sepal_length"])
    rng = np.random.default_rng(1)
    for k in range(3):
        mean = point["means"][k].to_numpy()
        covariance = point["covariances"].sel(feature_bis=["petal_width", "sepal_length"])[k].to_numpy()
        x = rng.multivariate_normal(mean, covariance, size=20_000)
        for line, probability in zip(ax.lines[2 * k : 2 * k + 2], (0.5, 0.9), strict=True):
            inside = np.mean(_inside(line.get_xydata(), x))
            assert inside == pytest.approx(
                probability, abs=4 * np.sqrt(probability * (1 - probability) / 20_000) + 1e-3
            )


def _inside(polygon, x):
    from matplotlib.path import Path

    return Path(polygon).contains_points(x)


def test_uncertain_rows_are_larger_and_have_an_edge(fits):
    fit = fits["4 VB"]
    (ax,) = bg.plots.plot_components(fit, ["petal_length", "petal_width"])
    own = fit["assignments"]["responsibilities"].max("component").to_numpy()
    edged = [points for points in of_kind(ax, PathCollection) if points.get_linewidths()[0] > 0]
    plain = [points for points in of_kind(ax, PathCollection) if points.get_linewidths()[0] == 0]
    assert sum(len(points.get_offsets()) for points in edged) == (own < 0.95).sum() > 0
    assert min(points.get_sizes().min() for points in edged) > max(points.get_sizes().max() for points in plain)


@pytest.mark.parametrize("name", ["4 VB", "4 EM"])
def test_more_features_give_the_lower_triangle(fits, name):
    figure = bg.plots.plot_components(fits[name])[0].figure
    assert len(figure.axes) == 4 * 5 / 2
    features = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    assert [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()] == features
    assert [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()] == ["density", *features[1:]]
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 3 + 1 + 1 + (name == "4 VB")
    # Panels of one column have the same limits, those on the diagonal too.
    below = {ax.get_subplotspec().colspan.start: ax.get_xlim() for ax in figure.axes}
    for ax in figure.axes:
        assert ax.get_xlim() == pytest.approx(below[ax.get_subplotspec().colspan.start])


def test_only_the_first_features_of_many_are_drawn_and_said_so():
    x = np.random.default_rng(0).normal(size=(60, 8))
    engine = bg.EM(n_init=4, n_polish=1)
    fit = bg.fit(bg.GaussianMixture(1), x, engine=engine, random_seed=0, progressbar=False)
    figure = bg.plots.plot_components(fit)[0].figure
    assert len(figure.axes) == 21
    assert figure.get_suptitle() == "the first 6 of 8 features"


def test_draws_into_a_figure_that_is_given(fits):
    whole = plt.figure(figsize=(18, 9), layout="constrained")
    left, right = whole.subfigures(1, 2)
    assert bg.plots.plot_components(fits["2 VB"], figure=left)[0].figure is left
    assert bg.plots.plot_components(fits["4 EM"], figure=right)[0].figure is right
    assert len(whole.axes) == 1 + 10
    plain = plt.figure()
    bg.plots.plot_components(fits["2 VB"], figure=plain)
    assert plain.get_layout_engine() is None
    for figure in (whole, plain):
        figure.canvas.draw()


def test_number_of_ellipses_follows_the_arguments(fits):
    (ax,) = bg.plots.plot_components(fits["2 VB"], probability=0.8, n_draws=0)
    assert len(ax.lines) == 2
    assert of_kind(ax, LineCollection) == []
    (ax,) = bg.plots.plot_components(fits["2 VB"], n_draws=10**6)
    n_draws = fits["2 VB"]["posterior"].sizes["chain"] * fits["2 VB"]["posterior"].sizes["draw"]
    assert [len(lines.get_segments()) for lines in of_kind(ax, LineCollection)] == [n_draws, n_draws]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"features": ["waiting", "size"]},
            r"features: got 'size'\. The fit has the features 'eruptions' and 'waiting'; give",
        ),
        ({"features": ["waiting", "waiting"]}, r"features: got \['waiting', 'waiting'\]\. Give different names"),
        ({"features": []}, r"features: got \[\]\. Give different names"),
        ({"probability": 90}, r"probability: got 90\. Give a number above 0 and below 1"),
        ({"probability": (0.5, 1)}, "probability: got 1"),
        ({"probability": ()}, "probability: got none"),
        ({"n_draws": -1}, r"n_draws: got -1\. Give a whole number of at least 0"),
        ({"n_draws": 2.5}, r"n_draws: got 2\.5"),
        ({"figure": 3}, r"figure: got int\. Give a matplotlib Figure"),
    ],
)
def test_errors_name_argument_value_and_remedy(fits, arguments, message):
    with pytest.raises(bg.InputError, match=message):
        bg.plots.plot_components(fits["2 VB"], **arguments)
    assert plt.get_fignums() == []  # what cannot be drawn leaves no empty figure behind
