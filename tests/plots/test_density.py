import re

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy.stats import norm

import bayesgmm as bg
from bayesgmm.plots._style import PALETTE


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def curves(ax):
    """Curves by their label."""
    return {line.get_label(): line for line in ax.lines}


def test_draws_data_components_and_total(each_fit):
    feature = str(each_fit["point_estimate"]["feature"].to_numpy()[-1])
    ax = bg.plots.plot_density(each_fit, feature)
    assert ax.get_xlabel() == feature
    assert ax.get_ylabel() == "density"
    assert ax.get_ylim()[0] == 0
    K = each_fit["point_estimate"].sizes["component"]
    assert len(ax.lines) == K + 1
    band = [collection for collection in ax.collections if "interval" in str(collection.get_label())]
    assert len(band) == ("posterior" in each_fit.children)
    heights = [patch.get_height() * patch.get_width() for patch in ax.patches]
    assert sum(heights) == pytest.approx(1)


def test_first_feature_is_the_default(fits):
    assert bg.plots.plot_density(fits["4 EM"]).get_xlabel() == "sepal_length"


def test_curves_under_em_are_the_densities_at_the_mode(fits):
    fit = fits["4 EM"]
    point = fit["point_estimate"].to_dataset()
    lines = curves(bg.plots.plot_density(fit, "petal_width"))
    x, total = lines["total, at the mode"].get_data()
    expected = np.zeros_like(x)
    for k in range(3):
        weight, mean = float(point["weights"][k]), float(point["means"].sel(feature="petal_width")[k])
        one = weight * norm.pdf(x, mean, float(point["sds"].sel(feature="petal_width")[k]))
        np.testing.assert_allclose(lines[f"component {k}: weight {weight:.2f}"].get_ydata(), one, rtol=1e-10)
        expected += one
    np.testing.assert_allclose(total, expected, rtol=1e-10)


def test_total_under_vb_is_the_posterior_mean_inside_its_band(fits):
    fit = fits["1 VB"]
    ax = bg.plots.plot_density(fit)
    x, total = curves(ax)["total"].get_data()
    draws = fit["posterior"].to_dataset().stack(sample=("chain", "draw")).isel(feature=0)
    densities = draws["weights"].to_numpy()[..., None] * norm.pdf(
        x, draws["means"].to_numpy()[..., None], draws["sds"].to_numpy()[..., None]
    )
    np.testing.assert_allclose(total, densities.sum(axis=0).mean(axis=0), rtol=1e-9)
    (band,) = ax.collections
    edge = band.get_paths()[0].vertices
    high = [edge[edge[:, 0] == at, 1].max() for at in x]
    low = [edge[edge[:, 0] == at, 1].min() for at in x]
    expected = np.quantile(densities.sum(axis=0), [0.055, 0.945], axis=0)
    np.testing.assert_allclose(low[1:-1], expected[0][1:-1], rtol=1e-9)
    np.testing.assert_allclose(high[1:-1], expected[1][1:-1], rtol=1e-9)


def test_legend_has_names_and_weights(fits):
    found = texts(bg.plots.plot_density(fits["2 VB"]))
    assert "data (272 rows)" in found
    assert any(re.fullmatch(r"short: weight 0\.3\d", text) for text in found)
    assert any(re.fullmatch(r"89% interval \(eti\) of the total", text) for text in found)
    assert bg.plots.plot_density(fits["2 VB"], legend=False).get_legend() is None


def test_empty_components_are_counted_but_not_drawn(sparse):
    ax = bg.plots.plot_density(sparse)
    drawn = [label for label in curves(ax) if label.startswith("component")]
    rows = bg.occupied_components(sparse)["rows"].to_numpy()
    assert len(drawn) == (rows >= 0.5).sum() < 10
    assert any(text.startswith(f"not drawn: {10 - len(drawn)} empty components") for text in texts(ax))


def test_narrow_peak_is_not_missed():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 100, 300), rng.normal(3.21, 0.01, 100)])
    parts = {"weights": bg.Dirichlet(1.0), "means": bg.ConjugateMeans()}
    model = bg.GaussianMixture(2, **parts, covariances=bg.InverseWishart(3, [[1e-4]]))
    fit = bg.fit(model, x, engine=bg.EM(n_init=8, n_polish=2), random_seed=1, progressbar=False)
    narrow = int(fit["point_estimate"]["sds"].to_numpy().argmin())
    weight, sd = (float(fit["point_estimate"][name].to_numpy()[narrow].item()) for name in ("weights", "sds"))
    assert sd < 0.1
    (line,) = [
        line for label, line in curves(bg.plots.plot_density(fit)).items() if label.startswith(f"component {narrow}:")
    ]
    assert line.get_ydata().max() == pytest.approx(weight * norm.pdf(0, scale=sd), rel=1e-9)


def test_draws_into_axes_that_are_given(fits):
    figure, (left, right) = plt.subplots(1, 2, sharey=True)
    assert bg.plots.plot_density(fits["2 VB"], "waiting", ax=right) is right
    bg.plots.plot_density(fits["2 VB"], "eruptions", ax=left)
    assert figure.axes == [left, right]
    assert left.get_legend() is not None
    # A shared axis must go on growing, else the second of the two would be cut.
    assert left.get_ylim()[1] > max(line.get_ydata().max() for line in left.lines)


def test_more_components_than_colours_still_look_different():
    from bayesgmm.plots._style import look

    looks = [look(k) for k in range(28)]
    assert len({(each.color, each.line) for each in looks}) == 28
    assert len(set(PALETTE)) == len(PALETTE)


def test_ink_follows_the_style(fits):
    with plt.style.context("dark_background"):
        ax = bg.plots.plot_density(fits["1 VB"])
        assert curves(ax)["total"].get_color() == "white"


def test_errors_name_argument_value_and_remedy(fits):
    with pytest.raises(
        bg.InputError,
        match=r"feature: got 'wating'\. The fit has the features 'eruptions' and 'waiting'; give",
    ):
        bg.plots.plot_density(fits["2 VB"], "wating")
    axes = plt.subplots(1, 2)[1]
    with pytest.raises(bg.InputError, match=r"ax: got ndarray\. Give one matplotlib Axes"):
        bg.plots.plot_density(fits["2 VB"], ax=axes)
    with pytest.raises(bg.InputError, match="fit: got dict"):
        bg.plots.plot_density({})


def test_a_feature_is_given_by_name_or_number_and_the_picture_says_which(fits):
    by_name, by_number = (bg.plots.plot_density(fits["4 EM"], each) for each in ("petal_length", 2))
    assert by_name.get_xlabel() == by_number.get_xlabel() == "petal_length"
    assert by_name.get_title(loc="left") == "petal_length (feature 2 of 4, counted from 0): marginal density"
    np.testing.assert_array_equal(by_name.lines[0].get_ydata(), by_number.lines[0].get_ydata())
    assert bg.plots.plot_density(fits["4 EM"]).get_xlabel() == "sepal_length"
    assert bg.plots.plot_density(fits["1 EM"]).get_title(loc="left") == ""
    (ax,) = bg.plots.plot_components(fits["4 EM"], [3, "sepal_width"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("petal_width", "sepal_width")
    for wrong in (4, -1, True, 1.0):
        with pytest.raises(bg.InputError, match=rf"feature: got {wrong}\. .* a number from 0 to 3"):
            bg.plots.plot_density(fits["4 EM"], wrong)


def test_intervals_that_are_too_narrow_are_said_below_the_axes(fits):
    for name in ("1 VB", "1 EM", "2 VB", "2 EM", "4 VB"):
        found = [bg.plots.plot_density(fits[name]).texts, bg.plots.plot_responsibilities(fits[name]).texts]
        figure = bg.plots.plot_components(fits[name])[0].figure
        found.append([*figure.texts, *(text for ax in figure.axes for text in ax.texts)])
        for each in found:
            said = sum("Intervals of VB are too narrow" in text.get_text() for text in each)
            assert said == (1 if "VB" in name else 0), name
