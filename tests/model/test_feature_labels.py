"""Numbers of a declaration that come with labels find the columns of the data by their names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

import bayesgmm as bg

QUIET = {"random_seed": 1, "progressbar": False}
pytestmark = pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")
NAMES = ["tall", "wide", "deep"]
FRAME = pd.DataFrame(np.random.default_rng(0).normal([5.0, -3.0, 40.0], [1.0, 2.0, 9.0], size=(30, 3)), columns=NAMES)
AT = np.array([5.0, -3.0, 40.0])
GRID = np.array([AT, AT + 1.0])
S = np.diag([1.0, 4.0, 81.0]) + 0.1
TURNED = [2, 0, 1]
LABELS = [NAMES[j] for j in TURNED]


def containers(values, square=False):
    """The same numbers in another order, in everything that labels them."""
    values = np.asarray(values)
    if values.ndim == 1:
        moved = values[TURNED]
        return [pd.Series(moved, LABELS), xr.DataArray(moved, dims="feature", coords={"feature": LABELS})]
    if square:
        moved = values[..., TURNED, :][..., TURNED]
        coords = {"a": LABELS, "b": LABELS}
        frames = [pd.DataFrame(moved, LABELS, LABELS), pl.DataFrame(moved, LABELS)] if values.ndim == 2 else []
        dims = ("a", "b") if values.ndim == 2 else ("component", "a", "b")
        return [*frames, xr.DataArray(moved, dims=dims, coords=coords)]
    moved = values[:, TURNED]
    by_rows = xr.DataArray(moved, dims=("component", "feature"), coords={"feature": LABELS})
    return [pd.DataFrame(moved, columns=LABELS), pl.DataFrame(moved, LABELS), by_rows]


TWO = np.array([S, 2.0 * S])
PARTS = {
    "NormalMeans.mu": (lambda v: {"means": bg.NormalMeans(v, 2.0)}, AT, False),
    "NormalMeans.sigma": (lambda v: {"means": bg.NormalMeans(0.0, v)}, AT + 10.0, False),
    "NormalMeans.rows": (lambda v: {"means": bg.NormalMeans(v, 2.0)}, GRID, False),
    "ConjugateMeans.loc": (lambda v: {"means": bg.ConjugateMeans(v)}, AT, False),
    "ConjugateMeans.rows": (lambda v: {"means": bg.ConjugateMeans(v)}, GRID, False),
    "FixedMeans": (lambda v: {"means": bg.FixedMeans(v)}, GRID, False),
    "EvenlySpacedMeans": (lambda v: {"means": bg.EvenlySpacedMeans(bg.NormalMeans(v, 3.0))}, GRID, False),
    "FixedCovariances": (lambda v: {"covariances": bg.FixedCovariances(v)}, S, True),
    "FixedCovariances.by_component": (lambda v: {"covariances": bg.FixedCovariances(v)}, TWO, True),
    "InverseWishart.scale": (lambda v: {"covariances": bg.InverseWishart(6.0, v)}, S, True),
    "InverseWishart.by_component": (lambda v: {"covariances": bg.InverseWishart(6.0, v)}, TWO, True),
    "InverseWishart.vector": (lambda v: {"covariances": bg.InverseWishart(6.0, v)}, np.diag(S), False),
    "Diagonal": (lambda v: {"covariances": bg.Diagonal(bg.InverseWishart(6.0, v))}, np.diag(S), False),
    "Tied": (lambda v: {"covariances": bg.Tied(bg.InverseWishart(6.0, v))}, S, True),
    "HalfNormal": (lambda v: {"covariances": bg.LKJ(2.0, scale=bg.HalfNormal(v))}, np.diag(S), False),
    "Gamma": (lambda v: {"covariances": bg.LKJ(2.0, scale=bg.Gamma(2.0, v))}, np.diag(S), False),
    "LogNormal": (lambda v: {"covariances": bg.LKJ(2.0, scale=bg.LogNormal(v, 1.0))}, np.log(np.diag(S)), False),
}


def numbers_of(model):
    """What a fit by few steps uses: the filled declaration."""
    from bayesgmm.engines._problem import build_problem

    return build_problem(model, bg.as_data(FRAME)).declared


@pytest.mark.parametrize("name", PARTS)
def test_labels_are_names_of_columns(name):
    build, values, square = PARTS[name]
    expected = numbers_of(bg.GaussianMixture(2, **build(values)))
    for labelled in containers(values, square):
        model = bg.GaussianMixture(2, **build(labelled))
        assert numbers_of(model) == expected
        assert numbers_of(bg.GaussianMixture.from_json(model.to_json())) == expected
        with pytest.raises(
            bg.InputError, match=r"is labelled 'deep', 'tall' and 'wide', and the data have 'a', 'wide'"
        ):
            bg.fit(model, FRAME.rename(columns={"tall": "a"}), engine=bg.EM(n_init=1), **QUIET)


def test_a_fit_uses_them():
    right, turned = (bg.NormalMeans(each, 0.01) for each in (pd.Series(AT, NAMES), pd.Series(AT[TURNED], LABELS)))
    fits = [bg.fit(bg.GaussianMixture(1, means=each), FRAME, engine=bg.VB(), **QUIET) for each in (right, turned)]
    np.testing.assert_array_equal(fits[0]["posterior"]["means"], fits[1]["posterior"]["means"])
    np.testing.assert_allclose(fits[0]["point_estimate"]["means"].to_numpy()[0], AT, atol=0.05)


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: bg.NormalMeans(pd.Series(AT, NAMES), pd.Series(AT + 9.0, LABELS)), "NormalMeans.sigma: is labelled"),
        (lambda: bg.NormalMeans(pd.Series(AT, NAMES), AT + 9.0), "NormalMeans.sigma: has no labels"),
        (lambda: bg.InverseWishart(6.0, pd.DataFrame(S, NAMES, LABELS)), "InverseWishart.scale: has the rows"),
        (lambda: numbers_of(bg.GaussianMixture(1, means=bg.NormalMeans(pd.Series(AT, ["tall", "tall", "deep"])))),
            "is labelled 'tall', 'tall'"),
        (lambda: bg.NormalMeans.from_json('{"type": "NormalMeans", "mu": [1.0], "features": [1]}'), "features"),
        (lambda: bg.Dirichlet.from_json('{"type": "Dirichlet", "features": ["a"]}'), "is no field of it"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused(build, match):
    with pytest.raises(bg.InputError, match=match):
        build()


def test_positions_are_no_labels():
    plain = numbers_of(bg.GaussianMixture(1, means=bg.NormalMeans(AT, 2.0)))
    assert numbers_of(bg.GaussianMixture(1, means=bg.NormalMeans(pd.Series(AT), 2.0))) == plain
    assert numbers_of(bg.GaussianMixture(1, means=bg.NormalMeans(xr.DataArray(AT), 2.0))) == plain
    one = bg.GaussianMixture(2, covariances=bg.FixedCovariances(pd.Series([1.0, 2.0], ["first", "second"])))
    bg.fit(one, FRAME[["tall"]], engine=bg.EM(n_init=1), **QUIET)  # numbers of components, not of features
