import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm import Status
from bayesgmm.plots.optimization import _ENDS


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture(scope="module")
def improper():
    """Maximum likelihood with five components for the irises: some starts collapse."""
    flat = bg.Flat()
    iris = bg.datasets.load_iris().drop(columns="species")
    model = bg.GaussianMixture(5, weights=flat, means=flat, covariances=flat)
    fit = bg.fit(model, iris, engine=bg.EM(n_polish=20), random_seed=1, progressbar=False)
    search = fit["optimization"].attrs
    assert search["n_singular"] + search["n_spurious"] > 0  # else the tests below look at nothing
    return fit


def test_counts_starts_by_their_end(each_fit):
    ax = bg.plots.plot_optimization(each_fit)
    statuses = list(each_fit["optimization"]["status"].to_numpy())
    counted = {_ENDS[Status[name]].text + f" ({statuses.count(name)})" for name in set(statuses)}
    assert set(texts(ax)) == counted
    search = each_fit["optimization"].attrs
    finished = int((each_fit["optimization"]["optimum"] >= 0).sum())
    title = ax.get_title(loc="left")
    assert title.startswith(f"{search['times_best_reached']} of {finished} starts that were followed to the end")
    assert f"{search['n_optima']} distinct" in title
    ax.get_figure().canvas.draw()


def test_heights_are_nats_from_the_reported_optimum(fits):
    search = fits["4 EM"]["optimization"].to_dataset()
    trace = search["log_posterior"].to_numpy()
    best = int(search.attrs["best_start"])
    top = float(search["end_value"][best])
    ax = bg.plots.plot_optimization(fits["4 EM"])
    assert ax.get_ylabel() == "log posterior − reported optimum (nats)"
    (thick,) = [line for line in ax.lines if line.get_linewidth() > 2]
    np.testing.assert_allclose(thick.get_ydata(), trace[best][np.isfinite(trace[best])] - top)
    followed = np.isfinite(trace).any(axis=1).sum()
    assert sum(line.get_linestyle() != "None" and len(line.get_xdata()) > 0 for line in ax.lines) - 1 == followed


def test_objective_of_vb_is_the_bound(fits):
    assert bg.plots.plot_optimization(fits["2 VB"]).get_ylabel().startswith("ELBO − reported")


def test_ends_that_agree_look_alike(fits):
    low, high = bg.plots.plot_optimization(fits["2 VB"]).get_ylim()
    assert low <= -1
    assert high > 0


def test_improper_ends_are_marked(improper):
    search = improper["optimization"].attrs
    ax = bg.plots.plot_optimization(improper)
    assert any("not used" in text for text in texts(ax))
    n_improper = search["n_singular"] + search["n_spurious"]
    assert f"{n_improper} improper end" in ax.get_title(loc="left")
    markers = {_ENDS[status].marker for status in (Status.SINGULAR, Status.TOO_FEW_ROWS)}
    drawn = sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() in markers)
    assert drawn == n_improper


def test_counts_beside_the_axes_start_with_the_best(improper):
    ax = bg.plots.plot_optimization(improper)
    assert ax.texts[0].get_text() == f"{improper['optimization'].attrs['times_best_reached']}×"


def test_every_status_has_a_look():
    assert set(_ENDS) == {status for status in Status if not status.of_chains}
    assert len({(end.color, end.marker) for end in _ENDS.values()}) == len(_ENDS)


def test_errors_name_argument_value_and_remedy(fits):
    with pytest.raises(bg.InputError, match=r"ax: got int\. Give one matplotlib Axes"):
        bg.plots.plot_optimization(fits["2 VB"], ax=1)
    with pytest.raises(bg.InputError, match="fit: got NoneType"):
        bg.plots.plot_optimization(None)
