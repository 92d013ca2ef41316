import numpy as np
import pytest

import bayesgmm as bg


def marks(ax):
    """Positions of filled and of hollow marks."""
    filled, hollow = [], []
    for line in ax.lines:
        if line.get_linestyle() == "None":
            (filled if line.get_markerfacecolor() == line.get_color() else hollow).extend(line.get_xydata())
    return np.array(filled), np.array(hollow).reshape(-1, 2)


def test_every_row_of_few_is_a_mark(fits):
    fit = fits["4 VB"]
    own = fit["assignments"]["responsibilities"].max("component").to_numpy()
    ax = bg.plots.plot_responsibilities(fit, max_rows=150)
    filled, hollow = marks(ax)
    assert ax.get_ylabel() == "responsibility"
    np.testing.assert_allclose(np.sort(filled[:, 1]), np.sort(own))
    assert len(hollow) >= (own < 0.95).sum() > 0
    assert ax.get_title(loc="left").startswith(f"{(own < 0.95).sum()} of 150 rows are uncertain")
    assert "lines: 89% eti interval" in ax.get_title(loc="left")


def test_intervals_are_those_of_the_fit(fits):
    fit = fits["4 VB"]
    assigned = fit["assignments"].to_dataset()
    ax = bg.plots.plot_responsibilities(fit, max_rows=150)
    ends = {tuple(np.round(segment[:, 1], 12)) for lines in ax.collections for segment in lines.get_segments()}
    lower = assigned["responsibilities_lower"].to_numpy()
    upper = assigned["responsibilities_upper"].to_numpy()
    own = assigned["responsibilities"].to_numpy().argmax(axis=1)
    rows = np.arange(150)
    wanted = set(zip(np.round(lower[rows, own], 12), np.round(upper[rows, own], 12), strict=True))
    assert wanted <= ends


def test_groups_are_named_with_their_counts(fits):
    ax = bg.plots.plot_responsibilities(fits["2 VB"])
    table = bg.summary(fits["2 VB"])
    found = [label.get_text() for label in ax.get_xticklabels()]
    assert found == [
        f"{name}\n{table.loc[name, 'members']} rows\n{table.loc[name, 'uncertain']} uncertain"
        for name in ("short", "long")
    ]


def test_many_rows_are_thinned_but_all_are_counted(overlapping):
    own = overlapping["assignments"]["responsibilities"].max("component").to_numpy()
    n_uncertain = int((own < 0.95).sum())
    ax = bg.plots.plot_responsibilities(overlapping)
    filled, _ = marks(ax)
    assert len(filled) == 80
    assert ax.get_title(loc="left").startswith(f"{n_uncertain} of 5000 rows are uncertain")
    assert "drawn: 60 uncertain, 20 certain" in ax.get_title(loc="left")
    (names,) = ax.child_axes
    assert len(names.get_xticks()) == 60
    assert all(len(label.get_text()) <= 10 for label in names.get_xticklabels())


def test_rows_are_sorted_within_their_component(overlapping):
    ax = bg.plots.plot_responsibilities(overlapping, max_rows=40)
    for line in ax.lines:
        if line.get_linestyle() == "None" and line.get_markerfacecolor() == line.get_color():
            assert (np.diff(line.get_ydata()) <= 0).all()


def test_em_says_that_there_are_no_intervals(fits):
    title = bg.plots.plot_responsibilities(fits["4 EM"]).get_title(loc="left")
    assert title.endswith("no intervals: EM has no draws")


def test_draws_for_every_fit(each_fit):
    ax = bg.plots.plot_responsibilities(each_fit)
    ax.get_figure().canvas.draw()


def test_errors_name_argument_value_and_remedy(fits):
    with pytest.raises(bg.InputError, match=r"max_rows: got 0\. Give a whole number of at least 1"):
        bg.plots.plot_responsibilities(fits["2 VB"], max_rows=0)
    with pytest.raises(bg.InputError, match="ax: got str"):
        bg.plots.plot_responsibilities(fits["2 VB"], ax="left")
