"""Hierarchical concentrations on grids, against exact answers and simulation."""

import numpy as np
import pytest
from scipy.stats import beta, gamma

from bayesgmm.ddpcr._between_wells import TAU_SD, BetweenWells, Counted, between_wells
from bayesgmm.ddpcr._fit_well import WellFit

ENDS = (0.025, 0.5, 0.975)


def counted(positive: float, n: float = 20_000) -> Counted:
    return Counted(positive=float(positive), negative=float(n - positive))


def alone(*wells: Counted) -> BetweenWells:
    return between_wells([([well], [0.0]) for well in wells])


def test_no_positives_leave_the_gamma_posterior_of_jeffreys_prior():
    well = counted(0)
    found = alone(well).concentration([well], [0.0], total=False).quantiles(ENDS)
    np.testing.assert_allclose(found, gamma(0.5, scale=1 / 20_000).ppf(ENDS), rtol=0.01)


@pytest.mark.parametrize("positive", [3, 40, 10_000, 19_000])
def test_counts_leave_the_posterior_of_counting(positive):
    well = counted(positive)
    found = alone(well).concentration([well], [0.0], total=False).quantiles(ENDS)
    # p = 1 - exp(-lambda) is Beta under nearly the same prior.
    exact = -np.log1p(-beta(positive + 0.5, 20_000 - positive + 0.5).ppf(ENDS))
    np.testing.assert_allclose(found, exact, rtol=0.02 if positive < 10 else 2e-3)


def test_exposures_move_wells_together():
    offsets = np.log([1.0, 0.1])
    wells = [counted(3935), counted(396)]  # 0.2191 and 0.02 copies per droplet
    found = alone(*wells).concentration(wells, offsets, total=False).quantiles(ENDS)
    assert found[0] < 0.2191 < found[2]
    pooled = np.array([[0.2191, 0.2191 / np.sqrt(4400)], [0.2, 0.2 / np.sqrt(400)]])
    weights = 1 / pooled[:, 1] ** 2
    assert found[1] == pytest.approx(weights @ pooled[:, 0] / weights.sum(), rel=0.01)


def test_well_counts_are_read_off_weighted_draws():
    rng = np.random.default_rng(0)
    rate = -np.log1p(-rng.beta(400.5, 3600.0, 20_000))
    draws = np.zeros((rate.size, 12))
    draws[:, 0] = np.log(rate)
    fit = WellFit(
        mode=draws[0],
        draws=draws,
        shares=np.full(rate.size, 1.0 / rate.size),
        pareto_k=0.1,
        converged=True,
        n_droplets=4000,
        misfit=0.5,
        n_clipped=0,
        log_evidence=0.0,
    )
    found = Counted.of(fit)
    assert found.positive == pytest.approx(400, rel=0.04)
    assert found.negative == pytest.approx(3600, rel=0.04)


@pytest.mark.fit
@pytest.mark.parametrize("tau", [0.0, 0.06])
def test_tau_and_concentrations_are_covered(tau):
    rng = np.random.default_rng(1)
    of_tau, of_c, too_narrow = [], [], []
    for _ in range(15):
        samples = []
        for c in (0.1, 0.3, 1.0):
            p = -np.expm1(-c * np.exp(tau * rng.standard_normal(4)))
            samples.append(([counted(k) for k in rng.binomial(20_000, p)], [0.0] * 4))
        between = between_wells(samples)
        low, high = between.interval(0.95)
        of_tau.append(low <= tau <= high)
        for c, sample in zip((0.1, 0.3, 1.0), samples, strict=True):
            ends = between.concentration(*sample, total=True).quantiles((0.025, 0.975))
            of_c.append(ends[0] <= c <= ends[1])
            ends = between.concentration(*sample, total=False).quantiles((0.025, 0.975))
            too_narrow.append(ends[0] <= c <= ends[1])
    assert np.mean(of_tau) > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 15)
    assert np.mean(of_c) > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 45)
    if tau:
        assert np.mean(too_narrow) < 0.7


def test_without_replicates_tau_is_its_prior():
    between = alone(counted(400), counted(4000))
    assert not between.informed
    assert between.median == pytest.approx(0.6745 * TAU_SD, rel=0.05)


def test_a_saturated_well_is_bounded_below_only_by_what_it_says():
    well = Counted(positive=20_000.0, negative=1e-9)
    low, high = alone(well).concentration([well], [0.0], total=True).quantiles((0.025, 0.975))
    assert low > 5.0
    assert np.isfinite(high)
