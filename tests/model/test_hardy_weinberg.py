"""Hardy-Weinberg weights: densities, modes, slopes, draws, fits of genotypes and evidence by an integral over q."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.optimize import minimize_scalar

import bayesgmm as bg
from bayesgmm.engines._objective import Coordinates, Objective
from tests.contract import derivative, filled, problem, small_data

QUIET = {"random_seed": 1, "progressbar": False}
PRIORS = {
    "uniform": bg.HardyWeinberg(),
    "beta": bg.HardyWeinberg(2.5, 4.0),
    "below 1": bg.HardyWeinberg(0.4, 0.6),
    "dominant": bg.HardyWeinberg(dominant=True),
    "dominant, beta": bg.HardyWeinberg(2.5, 4.0, dominant=True),
}
EVERY = pytest.mark.parametrize("name", PRIORS)


def shares(q, dominant):
    return np.array([q * q, 1 - q * q] if dominant else [(1 - q) ** 2, 2 * q * (1 - q), q * q])


def logs(prior, q):
    return np.log(shares(q, prior.dominant))


def logit(q):
    return np.log(q) - np.log1p(-q)


@EVERY
@pytest.mark.parametrize("q", [1e-6, 0.2, 0.5, 0.9, 1 - 1e-6])
def test_density_and_jacobian(name, q):
    prior = PRIORS[name]
    at = logs(prior, q)
    assert prior.log_density(at)[0] == pytest.approx(stats.beta(prior.alpha, prior.beta).logpdf(q), rel=1e-7, abs=1e-9)
    assert prior.log_jacobian(at)[0] == pytest.approx(np.log(q) + np.log1p(-q), rel=1e-7)
    many = np.stack([at, logs(prior, 0.3)])
    singles = [prior.log_density(each)[0] for each in many]
    np.testing.assert_allclose(prior.log_densities(many), singles, rtol=1e-12)
    jacobians = [prior.log_jacobian(each)[0] for each in many]
    np.testing.assert_allclose(prior.log_jacobians(many), jacobians, rtol=1e-12)


@EVERY
def test_density_of_the_coordinate_integrates_to_one(name):
    prior = PRIORS[name]
    reference = logs(prior, 0.3)

    def density(theta):
        at = prior.from_free(np.array([theta]), reference)
        return np.exp(prior.log_density(at)[0] + prior.log_jacobian(at)[0])

    assert integrate.quad(density, -60, 60, limit=400, points=[0.0])[0] == pytest.approx(1.0, abs=1e-7)


@EVERY
def test_coordinate_is_the_logit(name):
    prior, rng = PRIORS[name], np.random.default_rng(1)
    reference = logs(prior, 0.3)
    theta = 3.0 * rng.normal(size=(20, 1))
    at = prior.from_free(theta, reference)
    np.testing.assert_allclose(np.exp(at).sum(axis=-1), 1.0, rtol=1e-12)
    q = 1 / (1 + np.exp(-(logit(0.3) + theta[:, 0])))
    np.testing.assert_allclose(np.exp(at), shares(q, prior.dominant).T, rtol=1e-9)
    np.testing.assert_allclose(prior.to_free(at, reference), theta, atol=1e-9)
    assert prior.n_free(len(reference)) == 1


@EVERY
def test_slopes_equal_differences(name):
    prior, rng = PRIORS[name], np.random.default_rng(2)
    for q in (0.1, 0.45, 0.97):
        at, zero = logs(prior, q), np.zeros(1)
        gradient = rng.normal(size=at.size)

        def here(theta, at=at):
            return prior.from_free(theta, at)

        found = prior.pullback(gradient, at)
        np.testing.assert_allclose(found, derivative(lambda t, g=gradient: here(t) @ g, zero), rtol=1e-8)
        for function in (prior.log_density, prior.log_jacobian):
            slope = derivative(lambda t, f=function: f(here(t))[0], zero)
            np.testing.assert_allclose(prior.pullback(function(at)[1], at), slope, rtol=1e-8, atol=1e-9)


@EVERY
def test_coordinate_is_scaled_by_the_information(name):
    """Minus the expected second derivative of the complete log-likelihood, and one row's worth more."""
    prior, n = PRIORS[name], 50.0
    at = logs(prior, 0.3)
    step = 1e-3
    values = [prior.from_free(np.array([t]), at) @ (n * np.exp(at)) for t in (-step, 0.0, step)]
    information = -(values[0] - 2 * values[1] + values[2]) / step**2
    found = prior.information_map(at, n * np.exp(at))
    assert found.shape == (1, 1)
    assert found.item() == pytest.approx(1 / np.sqrt(information + 1), rel=1e-5)


@EVERY
@pytest.mark.parametrize("unconstrained", [False, True])
def test_mode_maximises(name, unconstrained):
    prior, rng = PRIORS[name], np.random.default_rng(3)
    if not unconstrained and not prior.bounded():
        assert name == "below 1"
        pytest.skip("no mode")
    for _ in range(6):
        counts = 30 * rng.dirichlet(np.ones(2 if prior.dominant else 3))
        a, b = (prior.alpha, prior.beta) if unconstrained else (prior.alpha - 1, prior.beta - 1)

        def below(q, counts=counts, a=a, b=b):
            return -(counts @ logs(prior, q) + a * np.log(q) + b * np.log1p(-q))

        best = minimize_scalar(below, bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-10}).x
        at = prior.mode(counts, unconstrained=unconstrained)
        np.testing.assert_allclose(np.exp(at), shares(best, prior.dominant), atol=1e-6)


@pytest.mark.parametrize("dominant", [False, True])
def test_an_allele_that_no_row_has(dominant):
    prior = bg.HardyWeinberg(dominant=dominant)
    counts = np.array([0.0, 20.0]) if dominant else np.array([20.0, 0.0, 0.0])
    at = prior.mode(counts)
    assert np.isfinite(at).all()
    assert np.exp(at).max() == pytest.approx(1.0)


@EVERY
def test_draws_follow_beta(name):
    prior = PRIORS[name]
    K = 2 if prior.dominant else 3
    drawn = prior.draw(np.random.default_rng(4), 5000, K)
    assert drawn.shape == (5000, K)
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0, rtol=1e-12)
    q = np.sqrt(drawn[:, 0] if prior.dominant else drawn[:, 2])
    assert stats.kstest(q, stats.beta(prior.alpha, prior.beta).cdf).pvalue > 1e-3
    np.testing.assert_allclose(drawn, shares(q, prior.dominant).T, atol=1e-9)


@EVERY
@pytest.mark.parametrize("unconstrained", [False, True])
def test_gradient_of_the_objective(name, unconstrained):
    prior, rng = PRIORS[name], np.random.default_rng(5)
    K = 2 if prior.dominant else 3
    declared = bg.GaussianMixture(
        K, weights=prior, means=bg.NormalMeans(0.0, 2.0), covariances=bg.Tied(bg.InverseWishart(5.0, 1.0))
    )
    model = filled(declared, 2)
    of = problem(model, small_data(K, 2, 40, rng))
    from bayesgmm.engines.base import Parameters

    at = Parameters(
        log_weights=logs(prior, 0.35), means=rng.normal(size=(K, 2)), choleskys=np.stack([0.8 * np.eye(2)] * K)
    )
    objective = Objective(of, unconstrained=unconstrained)
    coordinates = Coordinates(model, at, 40 * np.exp(at.log_weights))
    assert coordinates.size == 1 + 2 * K + 3
    for u in (np.zeros(coordinates.size), 0.6 * rng.normal(size=coordinates.size)):
        _, gradient, _, _ = objective.value_and_gradient(coordinates, u)
        slope = derivative(lambda v: objective.value(coordinates.parameters(v))[0], u, 0.03)
        np.testing.assert_allclose(gradient, slope, rtol=1e-8, atol=1e-8 * np.abs(slope).max())
    assert model.n_parameters(2) == coordinates.size


@EVERY
def test_json_and_printing(name):
    prior = PRIORS[name]
    model = bg.GaussianMixture(2 if prior.dominant else 3, weights=prior)
    assert bg.GaussianMixture.from_json(model.to_json()) == model
    assert prior.describe() in str(model)
    assert f"Beta({prior.alpha:g}, {prior.beta:g})" in str(model)
    assert ("1 - q^2" in str(model)) == prior.dominant


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda: bg.HardyWeinberg(0.0), "HardyWeinberg.alpha"),
        (lambda: bg.HardyWeinberg(1.0, -1.0), "HardyWeinberg.beta"),
        (lambda: bg.HardyWeinberg([1.0, 2.0, 3.0]), "HardyWeinberg.alpha"),
        (lambda: bg.HardyWeinberg(dominant=1), "HardyWeinberg.dominant"),
        (lambda: filled(bg.GaussianMixture(2, weights=bg.HardyWeinberg()), 1), "n_components: got 2.*Give 3"),
        (
            lambda: filled(bg.GaussianMixture(3, weights=bg.HardyWeinberg(dominant=True)), 1),
            "n_components: got 3.*Give 2 for a dominant",
        ),
    ],
)
def test_bad_arguments(build, wanted):
    with pytest.raises(bg.InputError, match=wanted):
        build()


# Fits ----------------------------------------------------------------------------------------------------------------

ENGINES = {
    "default": None,
    "em": bg.EM(threads=1),
    "nuts": bg.NUTS(draws=200, tune=200, chains=2, cores=1, n_init=4, n_polish=2),
}


def genotypes(n, q, dominant, seed=0):
    rng = np.random.default_rng(seed)
    copies = rng.binomial(2, q, n)
    label = np.where(copies == 2, 0, 1) if dominant else copies
    return np.bincount(label, minlength=2 if dominant else 3), 4.0 * label + rng.normal(size=n)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dominant", [False, True])
def test_fits_recover_the_frequency(engine, dominant):
    counts, x = genotypes(400, 0.4, dominant)
    K = len(counts)
    model = bg.GaussianMixture(
        K,
        weights=bg.HardyWeinberg(dominant=dominant),
        means=bg.NormalMeans(4.0 * np.arange(K)[:, None], 1.0),
        covariances=bg.Tied(bg.InverseWishart(4.0, 1.0)),
    )
    fit = bg.fit(model, x, engine=ENGINES[engine], **QUIET)
    weights = fit["point_estimate"]["weights"].to_numpy()
    q = np.sqrt(weights[0 if dominant else 2])
    np.testing.assert_allclose(weights, shares(q, dominant), atol=1e-9)
    # What counting the labels would give, up to those that overlap.
    counted = np.sqrt(counts[0] / 400) if dominant else (counts[1] + 2 * counts[2]) / 800
    assert q == pytest.approx(counted, abs=0.02)
    if engine == "nuts":
        assert fit.attrs["sampler"] == "native"
        draws = np.sqrt(fit["posterior"]["weights"].to_numpy()[..., 0 if dominant else 2])
        spread = np.sqrt((1 - counted**2) / 1600 if dominant else counted * (1 - counted) / 800)
        assert draws.std() == pytest.approx(spread, rel=0.3)


@pytest.mark.parametrize("name", PRIORS)
def test_evidence_is_an_integral_over_q(name):
    prior = PRIORS[name]
    _, x = genotypes(25, 0.3, prior.dominant, seed=1)
    K = 2 if prior.dominant else 3
    means = 3.0 * np.arange(K)
    x = 0.75 * x
    of_components = stats.norm(means, 1.1).pdf(x[:, None])

    def density(q):
        return np.exp(np.log(of_components @ shares(q, prior.dominant)).sum() - shift) * stats.beta(
            prior.alpha, prior.beta
        ).pdf(q)

    shift = np.log(of_components @ shares(0.3, prior.dominant)).sum()
    exact = shift + np.log(integrate.quad(density, 0, 1, limit=400)[0])
    model = bg.GaussianMixture(
        K, weights=prior, means=bg.FixedMeans(means[:, None]), covariances=bg.FixedCovariances(1.21)
    )
    found = bg.log_evidence(model, x, estimator=bg.LaplaceEvidence(), **QUIET)
    sampled = found.sel(estimate="Laplace, importance sampling")
    # Weights are bounded, and those of 4000 draws differ by some per cent, whatever the shape of their tail.
    assert sampled["value"].item() == pytest.approx(exact, abs=0.02)
    if not prior.dominant:
        assert sampled["reliable"]
        assert sampled["value"].item() == pytest.approx(exact, abs=4 * sampled["error"].item() + 1e-6)


def test_frequencies_differ_between_groups():
    """Groups have weights of their own, each with a frequency of its own, or say that they cannot."""
    _, x = genotypes(60, 0.4, False)
    data = bg.as_data(x, groups=np.arange(60) % 2)
    model = bg.GaussianMixture(
        3, weights=bg.HardyWeinberg(), means=bg.FixedMeans([[0.0], [4.0], [8.0]]), covariances=bg.FixedCovariances(1.0)
    )
    fit = bg.fit(model, data, engine=bg.EM(threads=1), **QUIET)
    weights = fit["point_estimate"]["weights"].to_numpy()
    q = np.sqrt(weights[:, 2])
    np.testing.assert_allclose(weights, shares(q, False).T, atol=1e-9)
    assert q[0] != q[1]
