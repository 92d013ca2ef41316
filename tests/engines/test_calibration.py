"""A small version of `benchmarks/calibrate_nuts.py`: few rows, so that fits are fast and wrong priors matter."""

from functools import lru_cache

import _calibration as calibration
import numpy as np
import pytest
from scipy import stats

import bayesgmm as bg

SETTING = calibration.Setting(
    name="few rows",
    n_features=2,
    n_obs=30,
    scale=bg.LogNormal(0.0, 0.4),
    scale_logpdf=stats.lognorm(0.4).logpdf,
)
ENGINE = bg.NUTS(draws=200, tune=150, chains=2, cores=1, n_init=16, n_polish=3)
N_SIMULATIONS, N_WRONG = 30, 20
# Of a whole test: rare enough that another platform's arithmetic does not make it fail.
LEVEL = 0.01


# With so few rows the search may find no start that it accepts.
MOST_FAILED = 0


@lru_cache
def band(n_ranks):
    return calibration.Band(n_ranks)


def p_values(fitted, n_simulations):
    """By quantity, Bonferroni-corrected."""
    fits = calibration.run(SETTING, fitted, ENGINE, n_simulations, seed=20)
    assert fits.statuses.count(calibration.FAILED) <= MOST_FAILED
    return {name: len(fits.ranks) * band(ranks.size).p_value(ranks) for name, ranks in fits.ranks.items()}


@pytest.mark.study
def test_ranks_of_the_truth_stay_inside_the_band():
    found = p_values(SETTING.model, N_SIMULATIONS)
    assert min(found.values()) > LEVEL, found


@pytest.mark.study
def test_ranks_under_a_wrong_prior_leave_the_band():
    found = p_values(SETTING.with_scale(bg.LogNormal(np.log(2.0), 0.4)), N_WRONG)
    assert found["largest determinant"] < LEVEL, found
    assert found["smallest determinant"] < LEVEL, found


def test_the_band_covers_uniform_ranks_as_often_as_it_says():
    rng = np.random.default_rng(5)
    n = 2000
    ranks = rng.integers(calibration.N_RANKED + 1, size=(n, N_SIMULATIONS))
    outside = sum(band(N_SIMULATIONS).p_value(row) <= 0.05 for row in ranks)
    assert abs(outside / n - 0.05) < 4 * np.sqrt(0.05 * 0.95 / n)


@pytest.mark.parametrize(
    "pit",
    [stats.beta(2.0, 1.0), stats.beta(0.4, 0.4), stats.beta(5.0, 5.0)],
    ids=["shifted", "draws too narrow", "draws too wide"],
)
def test_ranks_that_are_not_uniform_leave_the_band(pit):
    ranks = np.floor(pit.rvs(100, random_state=1) * (calibration.N_RANKED + 1)).astype(int)
    assert calibration.Band(100).p_value(ranks) < 0.001


def test_ties_are_broken_at_random():
    rng = np.random.default_rng(6)
    ranks = [calibration.rank(0.0, np.array([-1.0, 0.0, 0.0, 1.0]), rng) for _ in range(3000)]
    counts = np.bincount(ranks, minlength=5)
    assert counts[0] == counts[4] == 0
    assert np.all(np.abs(counts[1:4] - 1000) < 4 * np.sqrt(1000 * 2 / 3))


def test_the_truth_is_drawn_from_the_declared_prior():
    sims = [bg.simulate(SETTING.model, 1, random_seed=seed, n_features=2) for seed in range(500)]
    covariances = np.stack([sim["covariances"].to_numpy() for sim in sims])
    sds = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    correlations = covariances[..., 0, 1] / sds.prod(axis=-1)
    means = np.stack([sim["means"].to_numpy() for sim in sims])
    weights = np.array([float(sim["weights"][0]) for sim in sims])
    a, eta = calibration.CONCENTRATION, calibration.ETA
    for values, expected in (
        (weights, stats.beta(a, a)),
        (means.ravel(), stats.norm(0, calibration.MEANS_SD)),
        (sds.ravel(), stats.lognorm(0.4)),
        ((correlations.ravel() + 1) / 2, stats.beta(eta, eta)),
    ):
        assert stats.kstest(values, expected.cdf).pvalue > 1e-3


def test_quantities_do_not_depend_on_labels():
    rng = np.random.default_rng(7)
    weights, means = rng.dirichlet([3, 3], size=4), rng.normal(size=(4, 2, 2))
    half = rng.normal(size=(4, 2, 2, 2)) + 2 * np.eye(2)
    covariances = half @ np.swapaxes(half, -1, -2)
    rows = rng.normal(size=(6, 2))
    found = calibration.quantities(SETTING, rows, weights, means, covariances)
    swapped = calibration.quantities(SETTING, rows, weights[:, ::-1], means[:, ::-1], covariances[:, ::-1])
    for quantity, values in found.items():
        assert np.unique(values).size == 4, quantity
        np.testing.assert_allclose(swapped[quantity], values, rtol=1e-12, atol=1e-12, err_msg=quantity)
    by_scipy = [
        np.log(sum(w * stats.multivariate_normal(m, c).pdf(rows) for w, m, c in zip(*mixture, strict=True))).sum()
        for mixture in zip(weights, means, covariances, strict=True)
    ]
    np.testing.assert_allclose(found["log-likelihood"], by_scipy, rtol=1e-12)
