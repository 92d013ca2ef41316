"""Pictures of the number of components and of which rows belong together."""

import matplotlib
import numpy as np
import pytest
import xarray as xr

import bayesgmm as bg

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-5, 1, 30), rng.normal(5, 1, 20)])
    engine = bg.Gibbs(sweeps=400, burn_in=100, chains=2, thin=1, n_init=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        return bg.fit(bg.GaussianMixture(1 + bg.Poisson(1.0)), x, engine=engine, random_seed=1, progressbar=False)


def test_posterior_of_the_number(fit):
    posterior = bg.component_posterior(fit)
    ax = bg.plots.plot_k_posterior(posterior)
    heights = [bar.get_height() for bar in ax.patches]
    n = len(heights) // 2
    np.testing.assert_allclose(heights[:n], posterior["probability"][:n])
    np.testing.assert_allclose(heights[n:], posterior["probability_occupied"][:n])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "prior of K",
        "K, all components",
        "K+, those that hold rows",
    ]
    assert float(posterior["probability_occupied"].sel(number=2)) > 0.5
    line = ax.get_lines()[-1].get_ydata()
    np.testing.assert_allclose(line, posterior["prior_probability"][: len(line)])


def test_co_clustering(fit):
    together, partition = bg.coclustering(fit), bg.best_partition(fit)
    ax = bg.plots.plot_coclustering(together, partition=partition)
    shown = np.asarray(ax.get_images()[0].get_array())
    assert shown[:20, :20].mean() > 0.9
    assert shown[:30, 30:].mean() < 0.05
    assert len(ax.patches) == partition.attrs["n_clusters"] == 2
    assert [text.get_text() for text in ax.texts] == ["0: 30 rows", "1: 20 rows"]
    assert not bg.plots.plot_coclustering(together).patches


def test_wrong_arguments(fit):
    with pytest.raises(bg.InputError, match="component_posterior"):
        bg.plots.plot_k_posterior(xr.Dataset())
    with pytest.raises(bg.InputError, match="shown"):
        bg.plots.plot_k_posterior(bg.component_posterior(fit), shown=2)
    with pytest.raises(bg.InputError, match="coclustering"):
        bg.plots.plot_coclustering(bg.component_posterior(fit))
    with pytest.raises(bg.InputError, match="rows of the matrix"):
        bg.plots.plot_coclustering(bg.coclustering(fit, max_rows=10), partition=bg.best_partition(fit))
    with pytest.raises(bg.InputError, match="loss"):
        bg.best_partition(fit, loss="hamming")
    with pytest.raises(bg.InputError, match="max_rows"):
        bg.coclustering(fit, max_rows=1)
    em = bg.fit(bg.GaussianMixture(1), [1.0, 2.0, 4.0], engine=bg.EM(), progressbar=False)
    for function in (bg.coclustering, bg.best_partition, bg.component_posterior):
        with pytest.raises(bg.InputError, match="draws"):
            function(em)


def test_fewer_rows_are_taken_evenly(fit):
    few = bg.coclustering(fit, max_rows=10)
    every = bg.coclustering(fit)
    chosen = few["obs"].to_numpy()
    assert chosen[0] == 0
    assert chosen[-1] == 49
    np.testing.assert_allclose(few["probability"], every["probability"].to_numpy()[np.ix_(chosen, chosen)])
    assert few.attrs["rows_of_the_fit"] == 50
