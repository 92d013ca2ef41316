"""Poisson weights: probabilities to their last digits, densities, modes, slopes, draws, and the exact q of the rate."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

import bayesgmm as bg
from bayesgmm.engines._objective import Coordinates, Objective
from bayesgmm.engines.base import Parameters
from bayesgmm.model._spec import Spec
from bayesgmm.numerics.poisson import log_counts, log_tail
from tests.contract import derivative, filled, problem, scale_by_scipy, small_data

# Name: weights, number of components.
EXPOSURES = (1.0, 0.25, 3.0)
CASES = {
    "default": (bg.PoissonWeights(), 2),
    "gamma": (bg.PoissonWeights(bg.Gamma(2.5, 1.5)), 2),
    "lump": (bg.PoissonWeights(bg.Gamma(2.0, 0.5)), 5),
    "truncate": (bg.PoissonWeights(bg.LogNormal(0.3, 0.8), tail="truncate"), 4),
    "truncate 2": (bg.PoissonWeights(bg.Exponential(0.7), tail="truncate"), 2),
    "below 1": (bg.PoissonWeights(bg.Gamma(0.4, 0.2)), 3),
    "half-normal": (bg.PoissonWeights(bg.HalfNormal(2.0)), 3),
    "inverse chi": (bg.PoissonWeights(bg.ScaledInverseChi(3.0, 1.0)), 3),
    "exposed": (bg.PoissonWeights(bg.Gamma(1.0, 0.1), exposures=EXPOSURES), 2),
    "exposed, lump": (bg.PoissonWeights(bg.Gamma(2.0, 0.5), exposures=EXPOSURES), 4),
    "exposed, truncate": (bg.PoissonWeights(bg.Gamma(2.0, 0.5), tail="truncate", exposures=EXPOSURES), 4),
}
EVERY = pytest.mark.parametrize("name", CASES)
RATES = pytest.mark.parametrize("L", [1e-7, 0.02, 0.7, 3.0, 30.0])


def probabilities(L, K, tail):
    """By SciPy, rows add up to 1."""
    w = stats.poisson(L).pmf(np.arange(K))
    if tail == "lump":
        w[-1] = stats.poisson(L).sf(K - 2)
        return w
    return w / w.sum()


def weights_of(prior, K, L):
    e = np.ones(1) if prior.exposures is None else np.array(prior.exposures)
    w = np.array([probabilities(L * each, K, prior.tail) for each in e])
    return w[0] if prior.exposures is None else w


def at_rate(prior, K, L):
    return prior.log_weights(np.log(np.asarray(L)), K)


@pytest.mark.parametrize("m", [1, 2, 5, 30])
@pytest.mark.parametrize("L", [1e-12, 1e-7, 1e-3, 0.5, 1.0, 3.0, 30.0, 31.0, 60.0, 300.0])
def test_tail_to_the_last_digits(m, L):
    with localcontext(prec=900):
        rate = Decimal(L)
        term, below = (-rate).exp(), Decimal(0)
        for k in range(m):
            below, last, term = below + term, term, term * rate / (k + 1)
        value, slope = (1 - below).ln(), rate * last / (1 - below)
    found = log_tail(m, np.log(L))
    assert float(found[0]) == pytest.approx(float(value), rel=2e-13, abs=0)
    assert float(found[1]) == pytest.approx(float(slope), rel=2e-13, abs=0)


@pytest.mark.parametrize("lump", [True, False])
@pytest.mark.parametrize("K", [2, 3, 8, 25])
@RATES
def test_weights_are_scipys(K, L, lump):
    logs, slopes = log_counts(K, np.log([L, 0.5 * L]), lump=lump)
    for row, rate in zip(logs, (L, 0.5 * L), strict=True):
        np.testing.assert_allclose(np.exp(row), probabilities(rate, K, "lump" if lump else ""), rtol=1e-11, atol=0)
    np.testing.assert_allclose((np.exp(logs) * slopes).sum(axis=-1), 0.0, atol=1e-13 * L)
    h = 1e-4
    ahead, behind = (log_counts(K, np.log(L) + step, lump=lump)[0] for step in (h, -h))
    np.testing.assert_allclose(slopes[0], (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-8 * max(1.0, L))


@EVERY
@RATES
def test_rate_keeps_its_digits(name, L):
    prior, K = CASES[name]
    own = prior.own_parameters(at_rate(prior, K, [L, 0.9 * L]))
    rate = own["rate" if prior.exposures is None else "shared_rate"]
    # Truncated to a few components large rates all look alike, and those of weights near 1 have fewer digits.
    np.testing.assert_allclose(rate, [L, 0.9 * L], rtol=2e-13)
    if prior.exposures is not None:
        np.testing.assert_allclose(own["rate"], np.outer([L, 0.9 * L], EXPOSURES), rtol=2e-13)


@EVERY
@RATES
def test_density_and_jacobian(name, L):
    prior, K = CASES[name]
    at = at_rate(prior, K, L)
    assert prior.log_density(at)[0] == pytest.approx(scale_by_scipy(prior.rate).logpdf(L), rel=1e-9, abs=1e-9)
    assert prior.log_jacobian(at)[0] == pytest.approx(np.log(L), rel=1e-9, abs=1e-12)
    many = at_rate(prior, K, [L, 0.3])
    singles = [prior.log_density(each)[0] for each in many]
    np.testing.assert_allclose(prior.log_densities(many), singles, rtol=1e-12)
    jacobians = [prior.log_jacobian(each)[0] for each in many]
    np.testing.assert_allclose(prior.log_jacobians(many), jacobians, rtol=1e-12)


@EVERY
def test_coordinate_is_the_log_rate(name):
    prior, K = CASES[name]
    reference = at_rate(prior, K, 0.3)
    theta = 2.0 * np.random.default_rng(1).normal(size=(20, 1))
    at = prior.from_free(theta, reference)
    expected = np.array([weights_of(prior, K, 0.3 * np.exp(t)) for t in theta[:, 0]])
    np.testing.assert_allclose(np.exp(at), expected, rtol=1e-9)
    np.testing.assert_allclose(prior.to_free(at, reference), theta, atol=1e-9)
    np.testing.assert_allclose(prior.from_free(theta[0], reference), at[0], rtol=1e-12)
    assert prior.n_free(K) == 1


@EVERY
def test_slopes_equal_differences(name):
    prior, K = CASES[name]
    rng, zero = np.random.default_rng(2), np.zeros(1)
    for L in (1e-5, 0.45, 4.0, 20.0):
        at = at_rate(prior, K, L)
        gradient = rng.normal(size=at.shape)

        def here(theta, at=at):
            return prior.from_free(theta, at)

        found = prior.pullback(gradient, at)
        slope = derivative(lambda t, g=gradient: (here(t) * g).sum(), zero)
        np.testing.assert_allclose(found, slope, rtol=1e-8, atol=1e-8 * (1 + L))
        for function in (prior.log_density, prior.log_jacobian):
            slope = derivative(lambda t, f=function: f(here(t))[0], zero)
            np.testing.assert_allclose(prior.pullback(function(at)[1], at), slope, rtol=1e-7, atol=1e-8)


@EVERY
def test_coordinate_is_scaled_by_the_information(name):
    """Minus the expected second derivative of the complete log-likelihood, and one row's worth more."""
    prior, K = CASES[name]
    at, step = at_rate(prior, K, 0.8), 1e-3
    counts = 50.0 * np.exp(at)
    values = [(prior.from_free(np.array([t]), at) * counts).sum() for t in (-step, 0.0, step)]
    information = -(values[0] - 2 * values[1] + values[2]) / step**2
    assert prior.information_map(at, counts).item() == pytest.approx(1 / np.sqrt(information + 1), rel=1e-5)


@EVERY
@pytest.mark.parametrize("unconstrained", [False, True])
def test_mode_maximises(name, unconstrained):
    prior, K = CASES[name]
    assert prior.bounded() == (name != "below 1")
    rng, density = np.random.default_rng(3), scale_by_scipy(prior.rate)
    for _ in range(4):
        shape = at_rate(prior, K, 1.0).shape
        counts = 30 * rng.dirichlet(np.ones(K), size=shape[:-1])

        def below(t, counts=counts):
            value = (counts * np.log(weights_of(prior, K, np.exp(t)))).sum() + density.logpdf(np.exp(t))
            return -(value + (t if unconstrained else 0.0))

        best = minimize_scalar(below, bounds=(-8, 4), method="bounded", options={"xatol": 1e-10}).x
        found = prior.log_rate(prior.mode(counts, unconstrained=unconstrained))
        assert float(found) == pytest.approx(best, abs=2e-6)


@EVERY
def test_rows_without_any(name):
    prior, K = CASES[name]
    counts = np.zeros(at_rate(prior, K, 1.0).shape)
    counts[..., 0] = 1000.0
    at = prior.mode(counts)
    assert np.isfinite(at).all()
    # A density that vanishes at 0 keeps the rate from it.
    assert float(np.exp(prior.log_rate(at))) < (0.2 if name == "inverse chi" else 0.01)
    at = prior.mode(counts[..., ::-1])
    assert np.isfinite(at).all()


@EVERY
def test_draws_follow_the_prior(name):
    prior, K = CASES[name]
    drawn = prior.draw(np.random.default_rng(4), 3000, K)
    assert drawn.shape == (3000, *at_rate(prior, K, 1.0).shape)
    np.testing.assert_allclose(drawn.sum(axis=-1), 1.0, rtol=1e-9)
    t = prior.log_rate(np.log(drawn))
    # Truncated to two components a large rate leaves 1e-300 of a weight at most; nothing is lost below 30.
    kept = (t > -16) & (t < np.log(30.0))
    assert kept.mean() > 0.9
    inside = scale_by_scipy(prior.rate)
    low, high = inside.cdf(np.exp(-16.0)), inside.cdf(30.0)
    ranks = (inside.cdf(np.exp(t[kept])) - low) / (high - low)
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", [name for name in CASES if "exposed" not in name])
@pytest.mark.parametrize("unconstrained", [False, True])
def test_gradient_of_the_objective(name, unconstrained):
    prior, K = CASES[name]
    rng = np.random.default_rng(5)
    declared = bg.GaussianMixture(
        K, weights=prior, means=bg.NormalMeans(0.0, 2.0), covariances=bg.Tied(bg.InverseWishart(5.0, 1.0))
    )
    model = filled(declared, 2)
    of = problem(model, small_data(K, 2, 40, rng))
    at = Parameters(
        log_weights=at_rate(prior, K, 0.8), means=rng.normal(size=(K, 2)), choleskys=np.stack([0.8 * np.eye(2)] * K)
    )
    objective = Objective(of, unconstrained=unconstrained)
    coordinates = Coordinates(model, at, 40 * np.exp(at.log_weights))
    assert coordinates.size == 1 + 2 * K + 3 == model.n_parameters(2)
    for u in (np.zeros(coordinates.size), 0.6 * rng.normal(size=coordinates.size)):
        _, gradient, _, _ = objective.value_and_gradient(coordinates, u)
        slope = derivative(lambda v: objective.value(coordinates.parameters(v))[0], u, 0.03)
        np.testing.assert_allclose(gradient, slope, rtol=1e-8, atol=1e-8 * np.abs(slope).max())


NODES, SHARES = np.polynomial.legendre.leggauss(20)
PANELS = ((NODES + 2.0 * np.arange(150)[:, None] + 1.0) / 150 - 1.0).ravel(), np.tile(SHARES / 150, 150)
COUNTS = {"none": 0.0, "some": 1.0, "many": 3e4}


@pytest.mark.parametrize("rows", COUNTS.values(), ids=COUNTS)
@EVERY
def test_q_of_the_rate_is_exact(name, rows):
    prior, K = CASES[name]
    shape = at_rate(prior, K, 1.0).shape
    counts = 12.0 * rows * np.random.default_rng(6).dirichlet(np.ones(K), size=shape[:-1])
    if name == "default":  # not one with any
        counts = np.array([rows, 0.0])
    density = scale_by_scipy(prior.rate)
    q = prior.posterior(np.zeros(K)).given(counts)
    # Gauss and Legendre's rule where the density is not negligible, far more points than `q` has.
    nodes, gauss = PANELS
    low, high = q._grid[0][[0, -1]]
    t = 0.5 * (high + low) + 0.5 * (high - low) * nodes
    logs = at_rate(prior, K, np.exp(t))
    by_rows = (np.where(counts > 0, counts * logs, 0.0)).reshape(t.size, -1).sum(axis=1)
    joint = by_rows + density.logpdf(np.exp(t)) + t
    top = joint.max()
    mass = gauss * np.exp(joint - top)
    evidence = float(np.log(mass.sum() * 0.5 * (high - low)) + top)
    mass = mass / mass.sum()
    np.testing.assert_allclose(q.mean(), np.tensordot(mass, np.exp(logs), axes=1), rtol=1e-9, atol=1e-14)
    if rows:
        np.testing.assert_allclose(q.expected_log(), np.tensordot(mass, logs, axes=1), rtol=1e-9)
    # KL = E log q - log p.
    assert q.divergence() == pytest.approx(mass @ by_rows - evidence, rel=1e-9, abs=1e-9 * max(1.0, rows))
    some = slice(1000, 2000, 100)
    expected = joint[some] - t[some] - evidence
    np.testing.assert_allclose(q.log_density(logs[some]), expected, atol=1e-8 * max(1.0, rows))
    np.testing.assert_allclose(q.log_density(logs[some], prior=True), density.logpdf(np.exp(t[some])), rtol=1e-8)
    drawn = prior.log_rate(np.log(q.draw(np.random.default_rng(7), 2000)))
    grid, mass = q._grid[0], np.cumsum(q._grid[1])
    ranks = np.interp(drawn, grid, mass - 0.5 * q._grid[1])
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3


def test_q_is_a_gamma_where_it_has_a_closed_form():
    """Many components: nothing is lumped, and a Gamma prior is conjugate."""
    counts = np.array([30.0, 40.0, 22.0, 8.0, 3.0, 1.0, *np.zeros(24)])
    q = bg.PoissonWeights(bg.Gamma(2.0, 0.5)).posterior(counts)
    exact = stats.gamma(2.0 + counts @ np.arange(30), scale=1 / (0.5 + counts.sum()))
    log_rate, mass, _ = q._grid
    assert mass @ np.exp(log_rate) == pytest.approx(exact.mean(), rel=1e-10)
    assert mass @ np.exp(2 * log_rate) - exact.mean() ** 2 == pytest.approx(exact.var(), rel=1e-8)
    at = bg.PoissonWeights().log_weights(np.log(np.array([0.9, 1.1, 1.4])), 30)
    np.testing.assert_allclose(q.log_density(at), exact.logpdf([0.9, 1.1, 1.4]), atol=1e-9)
    assert f"a rate of {exact.mean():.4g} +- {exact.std():.2g}" in q.describe()


@EVERY
def test_json_and_printing(name):
    prior, K = CASES[name]
    model = bg.GaussianMixture(K, weights=prior)
    assert bg.GaussianMixture.from_json(model.to_json()) == model
    assert prior.describe() in str(model)
    assert prior.rate.describe() in str(model)
    assert model.weights.keys(K) == list(range(K))
    assert prior.cut(K - 1) is (prior if K > 2 and prior.exposures is None else None)
    q = prior.posterior(np.ones(K))
    assert Spec.from_dict(q.to_dict()) == q


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda: bg.PoissonWeights(0.5), "PoissonWeights.rate"),
        (lambda: bg.PoissonWeights(bg.Gamma([1.0, 2.0], 1.0)), "PoissonWeights.rate"),
        (lambda: bg.PoissonWeights(tail="cut"), "PoissonWeights.tail: got 'cut'. Give one of 'lump', 'truncate'"),
        (lambda: bg.PoissonWeights(exposures=[1.0, -1.0]), "PoissonWeights.exposures"),
        (lambda: bg.PoissonWeights(exposures=2.0), "PoissonWeights.exposures: got 2.0. Give one number for each group"),
        (lambda: bg.GaussianMixture(1, weights=bg.PoissonWeights()), "n_components: got 1.*at least 2"),
    ],
)
def test_bad_arguments(build, wanted):
    with pytest.raises(bg.InputError, match=wanted):
        build()
