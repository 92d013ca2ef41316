"""The tables are the published ones: shapes, sums, single values, and nothing shared between two calls."""

import subprocess
import sys

import numpy as np
import pytest

from bayesgmm.datasets import load_faithful, load_galaxies, load_iris

LENGTHS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def test_faithful_is_the_version_with_272_rows():
    frame = load_faithful()
    assert frame.shape == (272, 2)
    assert list(frame.columns) == ["eruptions", "waiting"]
    assert set(frame.dtypes) == {np.dtype(float)}
    np.testing.assert_allclose(frame.sum(), [948.677, 19284.0], rtol=1e-13)
    np.testing.assert_allclose((frame**2).sum(), [3661.818975, 1417266.0], rtol=1e-13)
    assert frame.iloc[0].tolist() == [3.6, 79.0]
    assert frame.iloc[-1].tolist() == [4.467, 74.0]


def test_iris_has_fifty_flowers_of_each_species():
    frame = load_iris()
    assert frame.shape == (150, 5)
    assert list(frame.columns) == [*LENGTHS, "species"]
    assert set(frame[LENGTHS].dtypes) == {np.dtype(float)}
    assert frame["species"].tolist() == ["setosa"] * 50 + ["versicolor"] * 50 + ["virginica"] * 50
    np.testing.assert_allclose(frame[LENGTHS].sum(), [876.5, 458.6, 563.7, 179.9], rtol=1e-13)
    means = frame.groupby("species")[LENGTHS].mean()
    np.testing.assert_allclose(means.loc["setosa"], [5.006, 3.428, 1.462, 0.246], rtol=1e-13)
    np.testing.assert_allclose(means.loc["virginica"], [6.588, 2.974, 5.552, 2.026], rtol=1e-13)


def test_iris_follows_fisher_where_a_widespread_copy_has_errors():
    # The copy of the UCI repository is wrong in flowers 35 and 38, both setosa.
    lengths = load_iris()[LENGTHS]
    assert lengths.iloc[34].tolist() == [4.9, 3.1, 1.5, 0.2]
    assert lengths.iloc[37].tolist() == [4.9, 3.6, 1.4, 0.1]


def test_galaxies_are_the_numbers_of_mass():
    frame = load_galaxies()
    assert frame.shape == (82, 1)
    assert list(frame.columns) == ["velocity"]
    assert frame["velocity"].is_monotonic_increasing
    np.testing.assert_allclose(frame["velocity"].sum(), 1707.91, rtol=1e-13)
    assert frame["velocity"].iloc[[0, 77, -1]].tolist() == [9.172, 26.690, 34.279]


def test_galaxies_corrected_differ_in_observation_78_only():
    mass, roeder = load_galaxies()["velocity"], load_galaxies(corrected=True)["velocity"]
    assert np.flatnonzero(mass != roeder).tolist() == [77]
    assert roeder.iloc[77] == 26.960
    assert roeder.is_monotonic_increasing


@pytest.mark.parametrize("load", [load_faithful, load_iris, load_galaxies])
def test_every_call_gives_a_fresh_frame(load):
    first = load()
    untouched = first.copy()
    first.iloc[:, 0] = -1.0
    assert load().equals(untouched)


def test_correcting_leaves_the_default_alone():
    load_galaxies(corrected=True)
    assert load_galaxies()["velocity"].iloc[77] == 26.690


def test_pandas_is_not_loaded_before_it_is_needed():
    code = "import sys, bayesgmm.datasets; print('pandas' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
