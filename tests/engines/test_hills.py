"""Modes counted by their masses: against a posterior on a grid, and what becomes of labels and of very many rows."""

import numpy as np
import pytest
from scipy import stats

import bayesgmm as bg
from bayesgmm.engines import laplace
from bayesgmm.engines._hills import hills
from bayesgmm.engines._normal import NormalApproximation
from bayesgmm.engines._optima import Search
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._remainder import log_ratios
from bayesgmm.engines.base import Problem

SDS = np.array([0.2, 2.0])
PRIOR = 2.0, 3.0


class _Quiet:
    def step(self, *_):
        pass


def two_places():
    """Rows that a narrow component of known sd explains in one of two places, a wide one everywhere else."""
    return np.concatenate(
        [
            0.1 * stats.norm.ppf((np.arange(4) + 0.5) / 4),
            5.0 + 0.35 * stats.norm.ppf((np.arange(8) + 0.5) / 8),
        ]
    )


def on_a_grid(x):
    """Places of the narrow mean, and the log posterior of both means there, up to a constant."""
    g = np.linspace(-1.5, 6.5, 641)
    narrow, wide = (np.log(0.5) + stats.norm.logpdf(x[:, None], g, sd) for sd in SDS)
    log_p = sum(np.logaddexp(a[:, None], b[None, :]) for a, b in zip(narrow, wide, strict=True))
    return g, log_p + stats.norm.logpdf(g, *PRIOR)[:, None] + stats.norm.logpdf(g, *PRIOR)


@pytest.fixture(scope="module")
def narrow_and_wide():
    model = bg.GaussianMixture(
        2,
        weights=bg.FixedWeights([0.5, 0.5]),
        means=bg.NormalMeans(*PRIOR),
        covariances=bg.FixedCovariances(np.square(SDS)[:, None, None]),
    )
    engine = bg.Laplace(threads=1, n_init=16, draws=4000)
    return bg.fit(model, two_places(), engine=engine, random_seed=1, progressbar=False)


def test_the_mode_with_the_most_mass_is_reported_and_not_the_highest(narrow_and_wide):
    g, log_p = on_a_grid(two_places())
    left = g < 2.5
    p = np.exp(log_p - log_p.max())
    masses = np.array([p[left].sum(), p[~left].sum()]) / p.sum()
    heights = [log_p[left].max(), log_p[~left].max()]
    assert heights[0] > heights[1]
    assert masses[0] < masses[1] < 0.7

    search = narrow_and_wide["optimization"].to_dataset()
    narrow = search["means"].to_numpy()[:, search["component"].to_numpy() == 0, 0].ravel()
    best = int(search.attrs["best_start"])
    assert narrow_and_wide["point_estimate"]["means"].to_numpy()[0, 0] == pytest.approx(5.0, abs=0.2)
    assert search["end_value"].to_numpy()[best] < np.nanmax(search["end_value"].to_numpy()) - 0.05
    for own, exact in ((narrow < 2.5, masses[0]), (narrow >= 2.5, masses[1])):
        found = search["posterior_mass"].to_numpy()[own]
        np.testing.assert_allclose(found[np.isfinite(found)], exact, atol=0.03)
    # Laplace's own formula: Normals are near here.
    own = [search["log_mass"].to_numpy()[where] for where in (narrow < 2.5, narrow >= 2.5)]
    difference = np.nanmax(own[1]) - np.nanmax(own[0])
    assert difference == pytest.approx(np.log(masses[1] / masses[0]), abs=0.15)


def test_draws_come_from_both_modes(narrow_and_wide):
    g, log_p = on_a_grid(two_places())
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    assert narrow_and_wide.attrs["correction"].startswith("resampled by importance weights")
    draws = narrow_and_wide["posterior"]["means"].to_numpy().reshape(-1, 2)
    assert (draws[:, 0] < 2.5).mean() == pytest.approx(p[g < 2.5].sum(), abs=0.03)
    for k, marginal in enumerate((p.sum(axis=1), p.sum(axis=0))):
        for probability in (0.05, 0.25, 0.75, 0.95):
            at = g[np.searchsorted(np.cumsum(marginal), probability)]
            assert (draws[:, k] <= at).mean() == pytest.approx(probability, abs=0.03)


def test_copies_count_once():
    """Two components that the prior does not tell apart: one hill, all of the posterior."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(-4.0, 1.0, 40), rng.normal(4.0, 0.7, 60)])
    problem = build_problem(bg.GaussianMixture(2), bg.as_data(x), n_threads=1)
    search = Search(n_init=8, unconstrained=True, supported=False)
    reports, found = hills(problem, search.run(problem, rng, _Quiet()), search, _Quiet())
    best = max(found, key=lambda hill: hill.log_mass)
    assert sum(hill.log_mass > best.log_mass - 1.0 for hill in found) == 1
    same = [report for report in reports if report.log_mass == best.log_mass]
    assert len(same) >= 2
    values = [report.end_value for report in same]
    assert np.ptp(values) < 1e-2


def test_draws_are_relabelled_where_components_may_have_changed_places():
    rng = np.random.default_rng(2)
    x = rng.normal(size=100)
    engine = bg.Laplace(threads=1, n_init=8, n_polish=2)
    near = bg.fit(bg.GaussianMixture(2), x, engine=engine, random_seed=1, progressbar=False)
    assert "relabelling" in near.children
    assert near["relabelling"]["order"].shape == (4, 250, 2)
    x += 20.0 * (np.arange(100) >= 40)
    apart = bg.fit(bg.GaussianMixture(2), x, engine=engine, random_seed=1, progressbar=False)
    assert "relabelling" not in apart.children


# Very many rows ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60_000, 2)) + 3.0 * (rng.random(60_000) < 0.4)[:, None]
    problem = build_problem(bg.GaussianMixture(2), bg.as_data(x), n_threads=1)
    return problem, laplace.Laplace(threads=1, n_init=4, n_polish=1, draws=600)


def test_a_part_of_the_rows_tells_the_remainder_beside_the_parabola(many):
    problem, engine = many
    rng = np.random.default_rng(4)
    few = problem.part(np.sort(rng.choice(problem.n_obs, 3000, replace=False)))
    mode = problem.units.to_standard(engine.run(few, rng, _Quiet()).point)
    # Of 3000 rows the remainder is large enough to be seen; a part of a third of them has to find it.
    approximation = NormalApproximation.at_mode(few, mode)
    part = few.part(np.arange(0, few.n_obs, 3))
    points = approximation.draw(rng, 200)
    exact = few.likelihoods(points)[0] + approximation.log_prior(points) - approximation.log_density(points)
    found = log_ratios(few, part, approximation, points, _Quiet())
    assert found is not None
    error = (found - found.mean()) - (exact - exact.mean())
    assert exact.std() > 0.05
    assert error.std() < 0.35 * exact.std()
    assert np.corrcoef(found, exact)[0, 1] > 0.9
    assert log_ratios(few, few.part(np.arange(300)), approximation, points, _Quiet()) is None


def test_draws_of_very_many_rows_cost_no_pass_over_all_of_them(many, monkeypatch):
    problem, engine = many
    monkeypatch.setattr(laplace, "_MOST_VISITS", 100 * problem.n_obs)
    seen, plain = [], Problem.likelihoods

    def counted(self, points, *rest, **options):
        seen.append(self.n_obs * len(points.means))
        return plain(self, points, *rest, **options)

    monkeypatch.setattr(Problem, "likelihoods", counted)
    outcome = engine.run(problem, np.random.default_rng(5), _Quiet())
    assert 0 < sum(seen) <= 200 * 20_000
    assert outcome.notes["correction"].startswith("none needed: weights of 200 proposals, as 20000 of 60000 rows see")
    assert outcome.notes["pareto_k"] <= 0.7
    assert outcome.draws.log_proposal is None
    np.testing.assert_allclose(outcome.draws.expected_counts.sum(axis=1), problem.n_obs)
    # The same as with every proposal weighed.
    monkeypatch.setattr(laplace, "_MOST_VISITS", 10**12)
    full = engine.run(problem, np.random.default_rng(5), _Quiet())
    assert full.notes["correction"].startswith("resampled")
    for name in ("weights", "means"):
        one, other = (np.sort(getattr(each.draws, name), axis=1) for each in (outcome, full))
        np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.15)
        np.testing.assert_allclose(one.mean(axis=0), other.mean(axis=0), atol=0.2 * other.std(axis=0).max())
    assert abs(outcome.draws.log_joint.mean() - full.draws.log_joint.mean()) < 1.0
