"""Fits that several modules look at; a fit is never changed, so one of each is enough."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

import bayesgmm as bg

matplotlib.use("Agg")

# One thread, so that sums have one order and results repeat bit for bit.
EM = bg.EM(threads=1)
VB = bg.VB(threads=1)
FLAT = {"weights": bg.Flat(), "means": bg.Flat(), "covariances": bg.Flat()}


def two_groups(n=60, distance=6.0, d=2, seed=0):
    """Rows of two round groups of equal size with sd 1."""
    rng = np.random.default_rng(seed)
    return np.vstack([rng.normal(size=(n // 2, d)), distance + rng.normal(size=(n - n // 2, d))])


def fit(model, data, engine=None, seed=1):
    return bg.fit(model, data, engine=engine, random_seed=seed, progressbar=False)


@pytest.fixture(scope="session")
def table():
    """60 rows with names, in an order that is not sorted by group."""
    rows = two_groups()[np.random.default_rng(1).permutation(60)]
    return pd.DataFrame(rows, columns=["length", "width"], index=[f"row {i}" for i in range(60)])


@pytest.fixture(scope="session")
def named():
    return bg.GaussianMixture(2, component_names=["short", "long"])


@pytest.fixture(scope="session")
def vb_fit(named, table):
    return fit(named, table, VB)


@pytest.fixture(scope="session")
def em_fit(named, table):
    return fit(named, table, EM)


@pytest.fixture(scope="session")
def overlapping():
    """One column, two groups that overlap, so that responsibilities lie between 0 and 1."""
    return two_groups(80, distance=2.5, d=1, seed=3)[:, 0]


@pytest.fixture(scope="session")
def overlapping_fit(overlapping):
    return fit(bg.GaussianMixture(2), overlapping, bg.VB(threads=1, draws=400))


@pytest.fixture(scope="session")
def draws_only_fit(table):
    """Independent Normal means: the predictive density has no closed form."""
    model = bg.GaussianMixture(2, means=bg.NormalMeans())
    return fit(model, table, bg.VB(threads=1, draws=200))
