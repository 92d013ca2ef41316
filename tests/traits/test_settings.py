"""Settings that a verdict is tried against, hypotheses as models, and data simulated for the power."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import polygamma

import bayesgmm as bg
from bayesgmm import traits
from bayesgmm.traits._models import CLASSES, CONTINUOUS, DISCRETE, MIXED, NORMAL, Question
from bayesgmm.traits._power import simulated
from bayesgmm.traits._settings import _inverse_trigamma, size_of_errors, trimmed, with_own_errors
from bayesgmm.traits._weigh import Posterior


def repeats(n, r, sds, seed=0):
    rng = np.random.default_rng(seed)
    return traits.measurements(rng.normal(size=(n, 1)) + np.reshape(sds, (-1, 1)) * rng.normal(size=(n, r)))


@pytest.mark.parametrize("seed", range(5))
def test_equal_errors_stay_equal(seed):
    known = repeats(80, 4, 0.5, seed)
    own = with_own_errors(known)
    if own is not None:
        assert np.std(np.log(own.errors)) < 0.4 * np.std(0.5 * np.log(known.squares))


def test_errors_that_differ_are_told_apart():
    sds = np.exp(np.random.default_rng(1).normal(0, 0.8, 150))
    known = repeats(150, 5, sds, 2)
    own = with_own_errors(known)
    assert np.isinf(own.error_df)
    np.testing.assert_array_equal(own.means, known.means)
    assert stats.spearmanr(own.errors, sds).statistic > 0.85
    # Nearer to the truth than the variances of the repeats of each individual by themselves, and than one for all.
    wanted = np.log(sds / np.sqrt(5))
    alone = 0.5 * np.log(known.squares / 4 / 5)
    miss = np.square(np.log(own.errors) - wanted).mean()
    assert miss < 0.95 * np.square(alone - wanted).mean()
    assert miss < 0.5 * np.square(np.log(known.errors) - wanted).mean()


def test_an_individual_with_one_measurement_gets_the_common_error():
    rng = np.random.default_rng(3)
    sds = np.exp(rng.normal(0, 1.0, (60, 1)))
    x = rng.normal(size=(60, 1)) + sds * rng.normal(size=(60, 4))
    x[:3, 1:] = np.nan
    own = with_own_errors(traits.measurements(x))
    np.testing.assert_allclose(own.errors[:3], own.errors[0], rtol=1e-12)
    assert np.log(own.errors[:3]).min() > np.log(own.errors[3:]).min()
    assert with_own_errors(traits.measurements(np.arange(12.0), error=0.5)) is None
    x[2:, 1:] = np.nan
    assert with_own_errors(traits.measurements(x, error=0.5)) is None


@pytest.mark.parametrize("value", [1e-4, 0.1, 1.0, 5.0, 300.0])
def test_inverse_of_trigamma(value):
    assert polygamma(1, _inverse_trigamma(value)) == pytest.approx(value, rel=1e-6)


def test_trimmed_leaves_out_the_furthest():
    x = np.random.default_rng(4).normal(size=250)
    x[[17, 80]] = 40.0, -60.0
    known = trimmed(traits.measurements(x, error=0.1))
    assert known.n == 248
    assert np.abs(known.means).max() < 5
    np.testing.assert_array_equal(known.individuals, np.delete(np.arange(250), [17, 80]))
    assert trimmed(traits.measurements(x[:20], error=0.1)).n == 19


def test_errors_that_grow_with_the_trait():
    rng = np.random.default_rng(5)
    true = rng.uniform(1, 10, (100, 1))
    growing = traits.measurements(true + 0.1 * true * rng.normal(size=(100, 3)))
    assert size_of_errors(growing) < 1e-3
    equal = [
        size_of_errors(traits.measurements(true + np.random.default_rng(s).normal(size=(100, 3)))) for s in range(6)
    ]
    assert np.median(equal) > 0.05
    assert np.isnan(size_of_errors(traits.measurements(np.arange(12.0), error=0.1)))


# Hypotheses ----------------------------------------------------------------------------------------------------------

KNOWN = repeats(20, 3, 0.3, 6)


def test_hypotheses():
    question = Question.about(KNOWN, (3, 2, 2), None, None, True)
    assert question.n_types == (2, 3)
    assert question.centre == pytest.approx(KNOWN.means.mean())
    assert question.scale == pytest.approx(KNOWN.means.std())
    found = question.hypotheses(KNOWN)
    kinds = [each.kind for each in found]
    assert [kinds.count(kind) for kind in CLASSES] == [4, 4, 6]
    assert len({each.name for each in found}) == 14
    assert found[-6].name == NORMAL
    for each in found:
        filled = each.model.filled(np.zeros(1), np.eye(1))
        assert filled.proper
        assert isinstance(filled.covariances, bg.FixedCovariances) == (each.kind == DISCRETE)
    # Nothing that could be seen is within a discrete type.
    variances = [np.max(each.model.covariances.values) for each in found if each.kind == DISCRETE]
    assert max(variances) < 1e-6 * np.square(KNOWN.errors).min()
    mixed = next(each.model for each in found if each.kind == MIXED)
    assert mixed.means.mu == pytest.approx(question.centre)
    assert mixed.means.sigma == pytest.approx(question.scale)
    assert mixed.covariances.prior.scale.sigma == pytest.approx(0.5 * question.scale)
    assert question.wider(2.0).scale == 2 * question.scale
    assert question.wider(2.0).centre == question.centre
    given = Question.about(KNOWN, 2, 7.0, 3.0, False)
    assert (given.n_types, given.centre, given.scale) == ((2,), 7.0, 3.0)
    assert len(given.hypotheses(KNOWN)) == 8


def test_one_locus():
    both = traits.one_locus(bg.FixedCovariances(0.01), 5.0, 2.0)
    additive, dominant = both["one locus, additive"], both["one locus, dominant"]
    assert additive.weights == bg.HardyWeinberg()
    assert dominant.weights == bg.HardyWeinberg(dominant=True)
    assert (additive.n_components, dominant.n_components) == (3, 2)
    rng = np.random.default_rng(7)
    weights, means, covariances = additive.filled(np.zeros(1), np.eye(1)).draw(rng, 4000, 1)
    q = np.sqrt(weights[:, 2])
    np.testing.assert_allclose(weights[:, 1], 2 * q * (1 - q), atol=1e-12)
    gaps = np.diff(means[..., 0], axis=1)
    np.testing.assert_allclose(gaps[:, 0], gaps[:, 1], atol=1e-9)
    assert stats.kstest(means[:, 0, 0], stats.norm(5.0, 2.0).cdf).pvalue > 1e-3
    np.testing.assert_allclose(covariances, 0.01)
    _, means, _ = dominant.filled(np.zeros(1), np.eye(1)).draw(rng, 4000, 1)
    assert stats.kstest(means[:, 1, 0], stats.norm(5.0, 2.0).cdf).pvalue > 1e-3


# Simulation ----------------------------------------------------------------------------------------------------------


def test_simulated_data_have_the_parameters_of_the_draw():
    known = repeats(4000, 3, 0.3, 8)
    posterior = Posterior(
        weights=np.array([[1.0, 0.0], [0.25, 0.75]]),
        means=np.array([[0.0, 0.0], [-50.0, 50.0]]),
        sds=np.array([[1.0, 1.0], [2.0, 0.0]]),
        error_scale=np.array([1.0, 1.5]),
    )
    rng = np.random.default_rng(9)
    again = simulated(known, posterior, 1, rng)
    high = again.means > 0
    assert high.mean() == pytest.approx(0.75, abs=0.03)
    error = 1.5 * known.errors[0]
    assert again.means[high].std() == pytest.approx(error, rel=0.06)
    assert again.means[~high].std() == pytest.approx(np.hypot(2.0, error), rel=0.1)
    assert (again.n, again.error_df) == (known.n, known.error_df)
    # The size of errors is as if it were estimated anew.
    few = replace(known, error_df=6.0)
    ratios = [simulated(few, posterior, 1, rng).error_sd / known.error_sd for _ in range(400)]
    assert stats.kstest(np.square(ratios) * 6 / 1.5**2, stats.chi2(6).cdf).pvalue > 1e-3
    exact = replace(known, error_df=np.inf)
    assert simulated(exact, posterior, 0, rng).error_sd == known.error_sd


def test_posterior_variance_and_density():
    posterior = Posterior(
        weights=np.array([[0.3, 0.7]]),
        means=np.array([[1.0, 4.0]]),
        sds=np.array([[0.5, 0.2]]),
        error_scale=np.array([2.0]),
    )
    grid = np.linspace(-8, 14, 4001)
    p = posterior.density(grid)
    step = grid[1] - grid[0]
    assert p.sum() * step == pytest.approx(1.0, rel=1e-6)
    mean = (p * grid).sum() * step
    assert posterior.variance[0] == pytest.approx((p * np.square(grid - mean)).sum() * step, rel=1e-6)
    behind = 0.3 * stats.norm(1.0, np.hypot(0.5, 0.6)).pdf(grid) + 0.7 * stats.norm(4.0, np.hypot(0.2, 0.6)).pdf(grid)
    np.testing.assert_allclose(posterior.density(grid, 0.3), behind, atol=1e-10)
    assert CONTINUOUS in CLASSES
