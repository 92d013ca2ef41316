"""Variance among and within individuals against closed forms, direct maximisation and published finches."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

import bayesgmm as bg
from bayesgmm import traits
from tests.shared_data import reference, table

LENGTHS = ["lengtha", "lengthb", "lengthc"]


def numbers(found):
    return [found[name].item() for name in ("mean", "variance_among", "variance_error", "repeatability")]


@pytest.mark.parametrize(("n", "r"), [(12, 2), (30, 3), (15, 6)])
@pytest.mark.parametrize("among", [3.0, 0.3, 0.0])
def test_balanced_repeats_have_a_closed_form(n, r, among):
    rng = np.random.default_rng(n + r)
    x = 50.0 + among * rng.normal(size=(n, 1)) + rng.normal(size=(n, r))
    means = x.mean(axis=1)
    within = np.square(x - means[:, None]).sum() / (n * (r - 1))
    between = r * np.square(means - means.mean()).sum()
    wanted_among = (between / n - within) / r
    wanted_error = within
    if wanted_among <= 0:
        wanted_among, wanted_error = 0.0, x.var()
    found = traits.repeatability(x)
    icc = wanted_among / (wanted_among + wanted_error)
    # The place of a maximum is known to the square root of the rounding of its height.
    np.testing.assert_allclose(numbers(found), [x.mean(), wanted_among, wanted_error, icc], rtol=1e-5, atol=1e-12)
    of_means = wanted_among / (wanted_among + wanted_error / r)
    assert found["repeatability_of_means"].item() == pytest.approx(of_means, rel=1e-5, abs=1e-12)


def test_no_variance_among_individuals():
    """Means nearer to each other than chance: the maximum is at the boundary."""
    rng = np.random.default_rng(1)
    e = rng.normal(size=(20, 4))
    x = e - 0.9 * e.mean(axis=1, keepdims=True)
    found = traits.repeatability(x)
    assert numbers(found)[1:] == [0.0, pytest.approx(x.var()), 0.0]


@pytest.mark.parametrize("seed", range(4))
def test_unbalanced_repeats_by_direct_maximisation(seed):
    rng = np.random.default_rng(seed)
    x = 4.0 + rng.normal(size=(25, 1)) + 0.8 * rng.normal(size=(25, 5))
    x[rng.uniform(size=x.shape) < 0.4] = np.nan
    x[0, 0] = 4.0

    def below(theta):
        mean, among, error = theta[0], np.exp(theta[1]), np.exp(theta[2])
        value = 0.0
        for row in x:
            own = row[~np.isnan(row)]
            if own.size:
                covariance = among * np.ones((own.size, own.size)) + error * np.eye(own.size)
                value -= stats.multivariate_normal(np.full(own.size, mean), covariance).logpdf(own)
        return value

    best = minimize(below, [4.0, 0.0, 0.0], method="BFGS", options={"gtol": 1e-7})
    found = traits.repeatability(x)
    wanted = [best.x[0], *np.exp(best.x[1:])]
    np.testing.assert_allclose(numbers(found)[:3], wanted, rtol=2e-5)
    assert below([numbers(found)[0], *np.log(numbers(found)[1:3])]) <= best.fun + 1e-8
    assert found.attrs["n_measurements"] == (~np.isnan(x)).sum()
    assert found.attrs["n_individuals"] == (~np.isnan(x).all(axis=1)).sum()
    ratio, r = numbers(found)[1] / numbers(found)[2], (~np.isnan(x)).sum(axis=1)
    r = r[r > 0]
    assert found["repeatability_of_means"].item() == pytest.approx(np.mean(r * ratio / (1 + r * ratio)), rel=1e-9)


def test_units():
    x = np.random.default_rng(2).normal(size=(20, 1)) + 0.5 * np.random.default_rng(3).normal(size=(20, 3))
    one, other = numbers(traits.repeatability(x)), numbers(traits.repeatability(1000.0 * x + 7.0))
    wanted = [1000 * one[0] + 7, 1e6 * one[1], 1e6 * one[2], one[3]]
    np.testing.assert_allclose(other, wanted, rtol=1e-6)


def test_single_measurements_have_none():
    known = traits.measurements(np.arange(12.0), error=0.5)
    with pytest.raises(bg.InputError, match=r"measured once.*needs repeats"):
        traits.repeatability(known)


@pytest.mark.parametrize("species", ["fuliginosa", "fortis", "scandens", "magnirostris"])
def test_finches(species):
    """Within a species, up to the digits of the reference and the step from mean squares to maximum likelihood."""
    birds, wanted = table("finch_beak_length"), reference("finch_beak_length")["computed"][f"Length {species}"]
    birds = birds[birds["species"] == species].dropna(subset=LENGTHS)
    found = traits.repeatability(birds, value=LENGTHS)
    assert found.attrs["n_individuals"] == wanted["n"]
    assert found.attrs["trait"] == "length"
    mean, among, error, icc = numbers(found)
    assert mean == pytest.approx(wanted["mean"], rel=1e-3)
    assert error == pytest.approx(wanted["within_var_single"], rel=1e-3)
    assert icc == pytest.approx(wanted["ICC1"], rel=1e-3)
    n = wanted["n"]
    assert among + error / 3 == pytest.approx(wanted["var_of_3rep_means"] * (n - 1) / n, rel=1e-3)
