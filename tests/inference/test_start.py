"""Fits that begin where the user says: an earlier fit, labels, responsibilities or parameters."""

import numpy as np
import pandas as pd
import pytest

import bayesgmm as bg

ML = {"weights": bg.Flat(), "means": bg.Flat(), "covariances": bg.Full(bg.Flat())}
ENGINES = (None, bg.EM(), bg.VB(), bg.Laplace(), bg.NUTS(draws=100, chains=2), bg.Gibbs(sweeps=400))


@pytest.fixture(scope="module")
def square():
    """Four groups at the corners of a rectangle: two components halve it in two ways, the long one better."""
    rng = np.random.default_rng(0)
    z = rng.integers(4, size=400)
    x = np.column_stack([6.0 * (z % 2), 5.0 * (z // 2)]) + rng.normal(size=(400, 2))
    return x, z


def fitted(x, **options):
    options = {"engine": bg.EM(), "random_seed": 1, "progressbar": False} | options
    return bg.fit(bg.GaussianMixture(2), x, **options)


def split(fit, z):
    """Which way the square was halved: the share of rows whose label is that of the column, or of the row, of it."""
    label = fit["assignments"]["label"].values
    return [max((label == side).mean(), (label != side).mean()) for side in (z % 2, z // 2)]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: "default" if engine is None else engine.name)
def test_every_engine_begins_there(square, engine):
    x, z = square
    for side in (z % 2, z // 2):
        fit = fitted(x, engine=engine, start=side)
        assert (
            max(
                np.mean(fit["assignments"]["label"].values == side), np.mean(fit["assignments"]["label"].values != side)
            )
            > 0.97
        )
        assert fit["optimization"].sizes["start"] == 1
        assert fit["optimization"]["method"].values[0] == "given"


def test_all_forms_lead_to_the_same_place(square):
    x, z = square
    lower = fitted(x, start=z // 2)
    assert split(lower, z)[1] > 0.97
    assert split(fitted(x), z)[0] > 0.97  # which a search finds by itself
    point = lower["point_estimate"]
    forms = {
        "fit": lower,
        "responsibilities": lower["assignments"]["responsibilities"],
        "array": lower["assignments"]["responsibilities"].values,
        "labels": lower["assignments"]["label"],
        "series": pd.Series(z // 2),
        "parameters": {name: point[name] for name in ("weights", "means", "covariances")},
    }
    for name, start in forms.items():
        again = fitted(x, start=start)
        assert again["point_estimate"].attrs["log_posterior"] == pytest.approx(
            point.attrs["log_posterior"], abs=1e-3
        ), name
        np.testing.assert_allclose(again["point_estimate"]["means"], point["means"], atol=1e-2, err_msg=name)


def test_features_of_an_earlier_fit_are_found_by_name(square):
    x, z = square
    frame = pd.DataFrame(x, columns=["a", "b"])
    lower = fitted(frame, start=z // 2)
    again = fitted(frame[["b", "a"]], start=lower)
    np.testing.assert_allclose(
        np.sort(again["point_estimate"]["means"].sel(feature="b")),
        np.sort(lower["point_estimate"]["means"].sel(feature="b")),
        atol=1e-3,
    )


def test_labels_are_aligned_with_the_rows(square):
    x, z = square
    frame = pd.DataFrame(x, index=[f"r{i}" for i in range(len(x))])
    labels = pd.Series(z // 2, index=frame.index).sample(frac=1.0, random_state=1)
    assert split(fitted(frame, start=labels), z)[1] > 0.97


def test_rows_that_count_nothing_take_no_part(square):
    x, z = square
    counts = np.ones(len(x), dtype=int)
    counts[:50] = 0
    assert split(fitted(bg.as_data(x, counts=counts), start=z // 2), z)[1] > 0.97


def test_maximum_likelihood_stays_at_the_optimum_that_was_asked_for(square):
    x, z = square
    model = bg.GaussianMixture(2, **ML)
    best = bg.fit(model, x, engine=bg.EM(), random_seed=1, progressbar=False)
    lower = bg.fit(model, x, engine=bg.EM(), start=z // 2, random_seed=1, progressbar=False)
    assert split(lower, z)[1] > 0.97
    assert lower["point_estimate"].attrs["log_likelihood"] < best["point_estimate"].attrs["log_likelihood"] - 1.0


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ([0, 1], "Give one number for each of the 400 rows"),
        (np.full(400, 2), "has the label 2.*0 to 1"),
        (np.full(400, 0.5), r"has the label 0\.5"),
        (np.full((400, 2), 0.7), "do not add up to 1"),
        (np.full((400, 3), 1 / 3), "shape"),
        (np.zeros((2, 2, 2)), "Give an earlier fit"),
        (3, "Give an earlier fit"),
        ([[1.0], [1.0, 2.0]], "Give an earlier fit"),
        ("k-means", "Give an earlier fit"),
        ({"weights": [0.5, 0.5]}, "has no 'means'"),
        ({"weights": [0.5, 0.6], "means": np.zeros((2, 2)), "covariances": [np.eye(2)] * 2}, "add up to 1"),
        ({"weights": [0.5, 0.5], "means": np.zeros((3, 2)), "covariances": [np.eye(2)] * 2}, r"shape \(2, 2\)"),
        ({"weights": [0.5, 0.5], "means": np.zeros((2, 2)), "covariances": [-np.eye(2)] * 2}, "variance"),
        ({"weights": [0.5, 0.5], "means": [["a", "b"]] * 2, "covariances": [np.eye(2)] * 2}, "shape"),
    ],
)
def test_other_starts_are_refused(square, start, message):
    with pytest.raises(bg.InputError, match=message):
        fitted(square[0], start=start)


def test_fits_of_other_shapes_are_refused(square):
    x, _ = square
    three = bg.fit(bg.GaussianMixture(3), x, engine=bg.EM(), random_seed=1, progressbar=False)
    with pytest.raises(bg.InputError, match="has 3 components"):
        fitted(x, start=three)
    named = fitted(pd.DataFrame(x, columns=["a", "b"]))
    with pytest.raises(bg.InputError, match="The data have"):
        fitted(x, start=named)


def test_an_unknown_number_and_bins_have_no_such_start(square):
    x, z = square
    model = bg.GaussianMixture(1 + bg.Poisson(1.0))
    with pytest.raises(bg.UnsupportedError, match="Give a number of components"):
        bg.fit(model, x, engine=bg.Gibbs(sweeps=40), start=z % 2, random_seed=1, progressbar=False)
    bins = bg.as_data(bins=[-1.0, 0.0, 1.0, 2.0], counts=[10, 20, 10])
    with pytest.raises(bg.UnsupportedError, match=r"counts in bins.*Give parameters or an earlier fit"):
        fitted(bins, start=[0, 0, 1])
    at = {"weights": [0.5, 0.5], "means": [[-0.5], [1.5]], "covariances": [[[0.3]], [[0.3]]]}
    assert fitted(bins, start=at)["optimization"].sizes["start"] == 1
