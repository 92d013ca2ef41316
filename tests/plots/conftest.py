"""Small fits of one, two and four features by both engines, and figures closed after each test."""

import matplotlib
import numpy as np
import pytest

import bayesgmm as bg

matplotlib.use("agg")
from matplotlib import pyplot as plt

QUICK = {"n_init": 8, "n_polish": 2}


@pytest.fixture(autouse=True)
def clean_matplotlib():
    """Every test leaves the settings as they were and no figure open."""
    before = matplotlib.rcParams.copy()
    yield
    plt.close("all")
    assert matplotlib.rcParams == before


def _fit(model, data, engine):
    return bg.fit(model, data, engine=engine(**QUICK), random_seed=1, progressbar=False)


@pytest.fixture(scope="package")
def fits():
    faithful, galaxies = bg.datasets.load_faithful(), bg.datasets.load_galaxies()
    iris = bg.datasets.load_iris().drop(columns="species")
    tied = bg.Tied(bg.Full(bg.InverseWishart()))
    flat = bg.Flat()
    two, three = bg.GaussianMixture(2, component_names=["short", "long"]), bg.GaussianMixture(3, covariances=tied)
    ml = bg.GaussianMixture(3, weights=flat, means=flat, covariances=flat)
    return {
        "1 VB": _fit(bg.GaussianMixture(3, covariances=tied), galaxies, bg.VB),
        "1 EM": _fit(bg.GaussianMixture(3, covariances=tied), galaxies, bg.EM),
        "2 VB": _fit(two, faithful, bg.VB),
        "2 EM": _fit(two, faithful, bg.EM),
        "4 VB": _fit(three, iris, bg.VB),
        "4 EM": _fit(ml, iris, bg.EM),
    }


@pytest.fixture(params=["1 VB", "1 EM", "2 VB", "2 EM", "4 VB", "4 EM"])
def each_fit(request, fits):
    return fits[request.param]


@pytest.fixture(scope="package")
def sparse():
    """Ten components of which most are empty."""
    model = bg.GaussianMixture(10, weights=bg.Dirichlet(0.01))
    return _fit(model, bg.datasets.load_galaxies(), bg.VB)


@pytest.fixture(scope="package")
def overlapping():
    """5000 rows, many of them uncertain; names of rows are long."""
    rng = np.random.default_rng(3)
    import pandas as pd

    values = rng.normal(size=(5000, 2)) + np.repeat([[0.0, 0.0], [3.0, 0.0]], 2500, axis=0)
    table = pd.DataFrame(values, columns=["left", "right"], index=[f"specimen {i:04d}" for i in range(5000)])
    return _fit(bg.GaussianMixture(2), table, bg.VB)
