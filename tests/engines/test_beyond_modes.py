"""Proposals beyond the modes: they are densities, their draws follow them, and evidence with them is right."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.engines._adaptive import adapted
from bayesgmm.engines._beyond_modes import Newborn, newborn, unseen
from bayesgmm.engines._enumeration import log_evidence_by_enumeration
from bayesgmm.engines._importance import smoothed
from bayesgmm.engines._normal import NormalApproximation
from bayesgmm.engines._optima import Search
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Parameters
from bayesgmm.engines.laplace import approximated

SEARCH = Search(
    n_init=6, n_polish=2, approached=1, rounds=1, short_steps=5, tolerance=1e-4, unconstrained=True, supported=False
)
QUIET = Progress(False)
N = 40
COVARIANCES = {
    "full": bg.LKJ(1.5, scale=bg.HalfNormal(1.0)),
    "diagonal": bg.Diagonal(bg.LKJ(scale=bg.Gamma(2.0, 1.0))),
    "spherical": bg.Spherical(bg.InverseWishart(8.0, 3.0)),
    "tied": bg.Tied(bg.InverseWishart(8.0, 3.0)),
}
ERRORS = ["exact", "errors", "unknown factor"]
WEIGHTS = {"dirichlet": bg.Dirichlet(1.0), "few": bg.Dirichlet(0.6), "sticks": bg.StickBreaking(1.5)}


def rows(d, errors, seed=0):
    rng = np.random.default_rng(seed)
    x = 1.5 * np.sign(rng.normal(size=(N, 1))) + rng.normal(size=(N, d))
    if errors == "exact":
        return bg.as_data(x)
    prior = bg.ScaledInverseChi(20.0, 1.0) if errors == "unknown factor" else None
    return bg.as_data(x, noise=rng.uniform(0.2, 0.5, size=(N, d)), noise_scale=prior)


def problem_of(K, d, covariances, errors, weights="dirichlet"):
    model = bg.GaussianMixture(
        K, weights=WEIGHTS[weights], means=bg.NormalMeans(0.0, 2.0), covariances=COVARIANCES[covariances]
    )
    return build_problem(model, rows(d, errors), n_threads=1)


def at_a_mode(problem, seed=0):
    found = SEARCH.run(problem, np.random.default_rng(seed), QUIET)
    return approximated(problem, found.reports[found.best].end).with_tails(6.0)


def features(points):
    """Numbers of each point that have to follow its density."""
    sds = np.sqrt(np.square(points.choleskys).sum(axis=-1))
    columns = [np.exp(points.log_weights), np.tanh(points.means[..., 0] / 3), np.tanh(np.log(sds[..., 0]))]
    columns.append(np.tanh(points.choleskys[..., -1, 0]))
    columns.append(np.broadcast_to(points.log_noise, len(sds))[:, None])
    return np.concatenate(columns, axis=1)


def assert_a_density(problem, proposal, rng, size=3000):
    """Its integral is one, and averages over it are those over its draws, by a wide Student t round these."""
    drawn = proposal.draw(rng, size)
    around = NormalApproximation.of_draws(problem, proposal.draw(rng, size), 5.0)
    points = around.draw(rng, size)
    ratios = np.exp(proposal.log_density(points) - around.log_density(points))
    error = ratios.std() / np.sqrt(size)
    assert error < 0.12
    assert ratios.mean() == pytest.approx(1.0, abs=4 * error)
    by_ratios, by_draws = features(points), features(drawn)
    weighted = (ratios[:, None] * by_ratios).mean(axis=0) / ratios.mean()
    errors = np.sqrt((np.square(ratios[:, None] * (by_ratios - weighted))).mean(axis=0) / size)
    errors = np.hypot(errors, by_draws.std(axis=0) / np.sqrt(size))
    assert np.all(np.abs(weighted - by_draws.mean(axis=0)) < 4.5 * errors + 1e-12)


@pytest.mark.parametrize(
    ("K", "d", "covariances", "errors", "weights"),
    [
        (2, 1, "full", "exact", "dirichlet"),
        (2, 1, "full", "errors", "few"),
        (2, 1, "full", "unknown factor", "dirichlet"),
        (2, 2, "full", "exact", "few"),
        (2, 2, "diagonal", "errors", "dirichlet"),
        (2, 2, "spherical", "exact", "dirichlet"),
        (2, 2, "tied", "exact", "dirichlet"),
        (2, 1, "tied", "unknown factor", "dirichlet"),
        (3, 1, "full", "exact", "dirichlet"),
        (3, 1, "diagonal", "errors", "few"),
        (3, 2, "tied", "exact", "dirichlet"),
    ],
)
def test_newborn_is_a_density(K, d, covariances, errors, weights):
    rng = np.random.default_rng(1)
    problem = problem_of(K, d, covariances, errors, weights)
    (proposal,) = newborn(problem, rng)
    assert_a_density(problem, proposal, rng)


@pytest.mark.parametrize(
    ("K", "d", "covariances", "errors"),
    [
        (1, 1, "full", "errors"),
        (2, 1, "full", "unknown factor"),
        (2, 2, "full", "errors"),
        (2, 2, "diagonal", "errors"),
        (2, 2, "tied", "errors"),
        (3, 1, "full", "errors"),
        (3, 2, "spherical", "unknown factor"),
    ],
)
def test_unseen_is_a_density(K, d, covariances, errors):
    rng = np.random.default_rng(2)
    problem = problem_of(K, d, covariances, errors)
    proposals = unseen(problem, at_a_mode(problem))
    wanted = [(0,)] if covariances == "tied" or K == 1 else [*((k,) for k in range(K)), tuple(range(K))]
    assert [each.which for each in proposals] == [*wanted, wanted[-1]]
    narrow, wide = (each.prior.draw(np.random.default_rng(3), 500, K, d) for each in proposals[-2:])
    assert np.median(np.einsum("skii->ski", narrow)) < 0.5 * np.median(np.einsum("skii->ski", wide))
    for proposal in (proposals[0], *proposals[-2:]):
        assert_a_density(problem, proposal, rng)


def test_newborn_has_a_weight_from_beta_and_a_component_from_the_prior():
    problem = problem_of(3, 1, "full", "exact")
    (proposal,) = newborn(problem, np.random.default_rng(3))
    assert proposal.b == pytest.approx(np.sqrt(N))
    drawn = proposal.draw(np.random.default_rng(4), 4000)
    assert stats.kstest(np.exp(drawn.log_weights[:, -1]), stats.beta(1.0, proposal.b).cdf).pvalue > 1e-3
    scale = problem.units.scale[0]
    means = problem.units.center[0] + scale * drawn.means[:, -1, 0]
    assert stats.kstest(means, stats.norm(0.0, 2.0).cdf).pvalue > 1e-3
    assert stats.kstest(scale * drawn.choleskys[:, -1, 0, 0], stats.halfnorm(scale=1.0).cdf).pvalue > 1e-3
    np.testing.assert_allclose(np.exp(drawn.log_weights).sum(axis=1), 1.0, rtol=1e-9)


def test_where_there_are_none():
    rng = np.random.default_rng(5)
    assert newborn(problem_of(1, 1, "full", "exact"), rng) == []
    told_apart = bg.GaussianMixture(2, means=bg.NormalMeans([[-1.0], [1.0]], 2.0), covariances=COVARIANCES["full"])
    assert newborn(build_problem(told_apart, rows(1, "errors")), rng) == []
    spaced = bg.GaussianMixture(3, means=bg.EvenlySpacedMeans(), covariances=COVARIANCES["full"])
    assert newborn(build_problem(spaced, rows(1, "exact")), rng) == []
    assert newborn(build_problem(bg.warped_normal(), rows(1, "errors")), rng) == []
    groups = bg.as_data(np.arange(20.0), groups=np.arange(20) % 2)
    assert newborn(build_problem(bg.GaussianMixture(2), groups), rng) == []
    exact = problem_of(2, 1, "full", "exact")
    assert unseen(exact, at_a_mode(exact)) == []
    known = bg.GaussianMixture(2, means=bg.NormalMeans(0.0, 2.0), covariances=bg.FixedCovariances(0.3))
    known = build_problem(known, rows(1, "errors"), n_threads=1)
    assert unseen(known, at_a_mode(known)) == []


@pytest.mark.parametrize("df", [None, 6.0])
@pytest.mark.parametrize(("d", "covariances"), [(1, "full"), (2, "spherical")])
def test_density_without_a_covariance_is_the_marginal(df, d, covariances):
    problem = problem_of(2, d, covariances, "errors")
    base = at_a_mode(problem)
    base = NormalApproximation(problem, base._coordinates, base._center, base._factor, df)
    points = base.draw(np.random.default_rng(6), 5)
    # The coordinate of a covariance of one number is the logarithm of its Cholesky factor's diagonal.
    logs = np.linspace(-40.0, 40.0, 8001)
    for which in ((0,), (1,)):
        found = base.log_density_without(points, which)
        for s in range(5):
            choleskys = np.broadcast_to(points.choleskys[s], (logs.size, 2, d, d)).copy()
            choleskys[:, which[0]] = np.exp(logs)[:, None, None] * np.eye(d)
            along = Parameters(
                log_weights=np.broadcast_to(points.log_weights[s], (logs.size, 2)),
                means=np.broadcast_to(points.means[s], (logs.size, 2, d)),
                choleskys=choleskys,
                log_noise=np.zeros(logs.size),
            )
            wanted = logsumexp(base.log_density(along)) + np.log(logs[1] - logs[0])
            assert found[s] == pytest.approx(wanted, abs=1e-4)


# Evidence ------------------------------------------------------------------------------------------------------------


def conjugate(K, concentration):
    return bg.GaussianMixture(
        K,
        weights=bg.Dirichlet(concentration),
        means=bg.ConjugateMeans(0.5, 0.8),
        covariances=bg.InverseWishart(12.0, 10.0),
    )


def integrated(problem, further, seed, draws=6000):
    rng = np.random.default_rng(seed)
    return adapted(problem, [at_a_mode(problem)], 6.0, draws, rng, QUIET, further).importance


@pytest.mark.parametrize(("K", "n", "concentration"), [(2, 6, 1.0), (2, 3, 0.5), (3, 4, 1.0)])
def test_evidence_with_newborns_equals_enumeration(K, n, concentration):
    x = np.random.default_rng(7).normal(size=n) + np.where(np.arange(n) % 2, -1.6, 1.6)
    problem = build_problem(conjugate(K, concentration), bg.as_data(x), n_threads=1)
    further = newborn(problem, np.random.default_rng(8))
    assert isinstance(further[0], Newborn)
    exact = log_evidence_by_enumeration(problem, QUIET)
    found = integrated(problem, further, seed=9)
    assert found.reliable
    assert found.log_mean_error < 0.1
    assert found.log_mean == pytest.approx(exact, abs=4 * found.log_mean_error)
    public = bg.log_evidence(
        conjugate(K, concentration), x, estimator=bg.LaplaceEvidence(), random_seed=1, progressbar=False
    ).sel(estimate="Laplace, importance sampling")
    assert public["value"].item() + problem.log_volume == pytest.approx(exact, abs=4 * public["error"].item() + 1e-3)


@pytest.mark.fit
@pytest.mark.parametrize("df_factor", [None, 15.0])
def test_evidence_with_unseen_equals_quadrature(df_factor):
    """Two populations whose spreads are below the errors: over both sds, and the factor of errors if it is unknown."""
    rng = np.random.default_rng(10)
    errors = rng.uniform(0.5, 0.8, 16)
    x = np.where(np.arange(16) % 2, -1.0, 1.0) + errors * rng.normal(size=16)
    model = bg.GaussianMixture(
        2,
        weights=bg.FixedWeights([0.4, 0.6]),
        means=bg.FixedMeans([[-1.0], [1.0]]),
        covariances=bg.LKJ(1.0, scale=bg.HalfNormal(0.5)),
    )
    prior = None if df_factor is None else bg.ScaledInverseChi(df_factor, 1.0)
    data = bg.as_data(x, noise=errors[:, None], noise_scale=prior)
    problem = build_problem(model, data, n_threads=1)
    further = unseen(problem, at_a_mode(problem))
    assert len(further) == 4
    found = integrated(problem, further, seed=11)
    logs = np.linspace(-14.0, 1.5, 200)
    factors = np.zeros(1) if df_factor is None else np.linspace(-1.5, 1.5, 41)
    values = []
    for log_f in factors:
        variances = np.exp(2 * logs)[:, None] + np.square(np.exp(log_f) * errors)
        first = np.log(0.4) - 0.5 * (np.square(x + 1.0) / variances + np.log(2 * np.pi * variances))
        second = np.log(0.6) - 0.5 * (np.square(x - 1.0) / variances + np.log(2 * np.pi * variances))
        value = np.logaddexp(first[:, None], second[None]).sum(axis=-1)
        own = stats.halfnorm(scale=0.5).logpdf(np.exp(logs)) + logs
        total = logsumexp(value + own[:, None] + own) + 2 * np.log(logs[1] - logs[0])
        if df_factor is not None:
            half = df_factor / 2
            total += stats.gengamma(half, -2.0, scale=np.sqrt(half)).logpdf(np.exp(log_f)) + log_f
            total += np.log(factors[1] - factors[0])
        values.append(total)
    exact = logsumexp(values) + problem.log_volume
    # Of weights that are at most some five times their mean Pareto k says little: without the factor it is between 0.7
    # and 1.05 over seeds, while the mean differs by 0.006.
    assert found.shares.max() * found.shares.size < 8
    assert found.log_mean == pytest.approx(exact, abs=0.03)


def test_weights_of_next_to_nothing_leave_the_constant_alone():
    """Far proposals have log weights of -1e24, beside which all digits of a constant were lost."""
    rng = np.random.default_rng(12)
    ordinary = rng.normal(-30.0, 0.5, 2000)
    for far in (-1e6, -1e17, -1e24, -1e300, -np.inf):
        with_far = np.where(np.arange(2000) % 10 == 0, far, ordinary)
        found = smoothed(with_far)
        assert found.log_mean == pytest.approx(logsumexp(with_far) - np.log(2000), abs=0.01), far
        kept = with_far > -40
        log_weights = np.log(2000 * found.shares[kept]) + found.log_mean
        assert np.abs(log_weights - with_far[kept]).max() < 0.5
        assert found.pareto_k < 0.5
        assert found.effective == pytest.approx(1 / np.square(found.shares[kept]).sum())
