"""Evidence from visits of a sampler that moves between numbers of components, against sums over all assignments."""

from dataclasses import replace

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._importance import smoothed
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._telescoping import log_evidence_of_one, visited, why_not
from bayesgmm.inference._guards import Limits, pointwise

QUIET = Progress(False)
X = np.array([-2.1, -1.7, -1.2, 0.9, 1.8, 2.2, 2.4])
MOST = 3


def problem(K=MOST, kappa=0.5, x=X, **parts):
    given = {
        "weights": bg.Dirichlet(1.5),
        "means": bg.ConjugateMeans(0.2, kappa),
        "covariances": bg.InverseWishart(4.0, 2.0),
    }
    return build_problem(bg.GaussianMixture(K, **(given | parts)), bg.as_data(x), n_threads=1)


def by_enumeration(K, **options):
    of = problem(K, **options)
    return bg.Enumeration().rows(of, np.random.default_rng(0), QUIET)[0].value + of.log_volume


@pytest.fixture(scope="module")
def visits():
    others = {0.5: bg.ConjugateMeans(0.2, 2.0), 2.0: bg.ConjugateMeans(0.2, 0.125)}
    of = problem()
    standard = {
        name: means.rescaled(of.units.center, of.units.scale).resolved(MOST, 1) for name, means in others.items()
    }
    return visited(of, MOST, np.full(MOST, np.nan), np.random.default_rng(1), QUIET, others=standard)


def test_differences_are_those_of_enumeration(visits):
    one = by_enumeration(1)
    assert log_evidence_of_one(problem()) == pytest.approx(one, abs=1e-9)
    for K in range(2, MOST + 1):
        difference, error = visits.difference(K, 1)
        assert 0 < error < 0.1
        assert difference == pytest.approx(by_enumeration(K) - one, abs=4 * error), K
        assert visits.effective(K) > 200
    assert visits.difference(2, 2) == (0.0, 0.0)


@pytest.mark.parametrize(("factor", "kappa"), [(0.5, 2.0), (2.0, 0.125)])
def test_other_widths_from_the_same_draws(visits, factor, kappa):
    one = by_enumeration(1)
    for K in range(1, MOST + 1):
        exact = by_enumeration(K, kappa=kappa)
        difference, error = visits.difference(K, 1, factor)
        assert visits.effective(K, factor) > 200
        assert difference == pytest.approx(exact - one, abs=4 * error + 1e-3), K
        # Jensen's limits hold for the exact change.
        change = exact - by_enumeration(K)
        lower, lower_error = visits.mean_change(factor, K)
        upper, upper_error = visits.mean_change(factor, K, under_it=True)
        assert lower - 4 * lower_error < change < upper + 4 * upper_error
        assert Limits(lower=lower, upper=upper).why_not(change, 0.05) == ""
        assert pointwise(problem(), K, factor).why_not(change, 0.0) == ""


def test_a_number_that_was_never_possible_has_no_evidence(visits):
    never = replace(visits, occupied=np.maximum(visits.occupied, 2))
    assert never.effective(1) == 0.0
    assert np.isnan(never.difference(1, 2)).all()
    assert np.isfinite(never.difference(3, 2)).all()


def test_what_cannot_be_is_said():
    limits = pointwise(problem(), 5, 3.0)
    assert limits.lower == pytest.approx(-5 * np.log(3.0))
    assert "which it cannot be" in limits.why_not(-7.0, 0.1)
    assert limits.why_not(-5.0, 0.1) == ""
    assert limits.why_not(-7.0, 1.0) == ""
    narrower = pointwise(problem(), 2, 1 / 3)
    assert narrower.upper == pytest.approx(2 * np.log(3.0))
    assert "above" in narrower.why_not(2.5, 0.01)
    both = Limits(lower=-1.0, upper=2.0).within(Limits(lower=-3.0, upper=np.nan))
    assert (both.lower, both.upper) == (-1.0, 2.0)


def test_tuning_reaches_numbers_that_are_far_below_others():
    """Two groups so far apart that one component is 60 nats below two, and nothing is known beforehand."""
    rng = np.random.default_rng(3)
    x = np.r_[rng.normal(-6, 1, 25), rng.normal(6, 1, 25)]
    of = problem(2, x=x)
    found = visited(of, 2, np.full(2, np.nan), np.random.default_rng(2), QUIET)
    difference, error = found.difference(2, 1)
    assert difference > 30
    assert found.effective(1) > 200
    assert error < 0.15
    sampled = bg.LaplaceEvidence(draws=1000).rows(of, np.random.default_rng(1), QUIET)[1]
    two = log_evidence_of_one(of) + difference - of.log_volume
    assert two == pytest.approx(sampled.value, abs=4 * np.hypot(error, sampled.error))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"weights": bg.StickBreaking(1.0)}, "weights"),
        ({"means": bg.NormalMeans([[-1.0], [0.0], [1.0]], 1.0)}, "tells components apart"),
        ({"covariances": bg.LKJ()}, "covariances"),
        ({"x": np.array([[1.0, 2.0], [np.nan, 1.0], [3.0, 0.5], [2.0, 2.0]])}, "not exact"),
        ({"x": np.random.default_rng(0).normal(size=100_000)}, "too many"),
    ],
)
def test_where_it_cannot_be_used(options, why):
    assert why in why_not(problem(**options), MOST)
    assert why_not(problem(), MOST) == ""


def test_far_weights_are_weighted_again_from_what_they_were():
    """What is added to weights far below the largest counts in full: floored ones would be lifted above all."""
    rng = np.random.default_rng(4)
    raw = rng.normal(0.0, 0.3, 4000)
    raw[2000:] -= 5e6
    change = np.zeros(4000)
    change[2000:] = 3000.0
    found = smoothed(raw).reweighted(change)
    near = np.exp(raw[:2000]).mean() / 2
    assert found.log_mean == pytest.approx(np.log(near), abs=0.01)
    assert found.shares[2000:].sum() < 1e-100
    assert smoothed(raw).reweighted(np.where(change > 0, np.nan, -1.0)).log_mean == pytest.approx(
        np.log(near) - 1.0, abs=0.01
    )
