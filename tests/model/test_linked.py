"""Declarations whose parts hang together: densities with all constants, units, draws, printing, refusals."""

import numpy as np
import pytest
from scipy import integrate, stats

import bayesgmm as bg
from bayesgmm.engines._objective import log_prior
from bayesgmm.engines.base import Parameters, Units
from tests.contract import LINKED, filled, linked_parameters

NAMES = pytest.mark.parametrize("name", LINKED)
PROPER = [name for name in LINKED if filled(LINKED[name][1](2), LINKED[name][0]).proper]


def at(means, sds):
    means, K = np.reshape(means, (-1, 1)), len(means)
    return Parameters(log_weights=np.full(K, -np.log(K)), means=means, choleskys=np.reshape(sds, (-1, 1, 1)))


def test_prior_of_first_and_spacing_integrates_to_one():
    model = filled(
        bg.GaussianMixture(
            3,
            weights=bg.FixedWeights(np.ones(3) / 3),
            means=bg.EvenlySpacedMeans(bg.NormalMeans(mu=[0.5, 0.4], sigma=[1.0, 0.8])),
            covariances=bg.FixedCovariances(1.0),
        ),
        1,
    )

    def density(spacing, first):
        return np.exp(log_prior(model, at(first + spacing * np.arange(3.0), np.ones(3)), False))

    assert integrate.dblquad(density, -6, 7, 0, 7)[0] == pytest.approx(1.0, abs=1e-6)
    expected = stats.norm(0.5, 1.0).pdf(1.0) * stats.truncnorm(-0.5, np.inf, 0.4, 0.8).pdf(0.7)
    assert density(0.7, 1.0) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("spaced", [False, True])
def test_prior_of_means_above_the_origin_and_cv_integrates_to_one(spaced):
    normal = bg.NormalMeans(mu=0.5, sigma=1.0)
    model = filled(
        bg.GaussianMixture(
            1,
            means=bg.EvenlySpacedMeans(normal, through_zero=True) if spaced else normal,
            covariances=bg.ConstantCV(bg.LogNormal(-1.0, 0.4), origin=0.25),
        ),
        1,
    )

    def density(cv, mean):
        return np.exp(log_prior(model, at([mean], [cv * (mean - 0.25)]), False))

    assert integrate.dblquad(density, 0.25, 7, 1e-4, 4)[0] == pytest.approx(1.0, abs=1e-6)
    expected = stats.truncnorm(-0.25, np.inf, 0.5, 1.0).pdf(1.5) * stats.lognorm(0.4, scale=np.exp(-1)).pdf(0.3)
    assert density(0.3, 1.5) == pytest.approx(expected, rel=1e-10)


@NAMES
def test_rescaled_model_is_the_same_belief(name):
    d, factory = LINKED[name]
    rng, K = np.random.default_rng(3), 3
    model = filled(factory(K), d)
    units = Units(center=5.0 * rng.normal(size=d), scale=rng.uniform(0.2, 9.0, size=d))
    in_units = model.rescaled(units.center, units.scale)
    changes = []
    for _ in range(5):
        point = linked_parameters(model, d, rng)
        changes.append(log_prior(in_units, units.to_standard(point), False) - log_prior(model, point, False))
    np.testing.assert_allclose(changes, changes[0], rtol=1e-9, atol=1e-9)


@NAMES
def test_json_keys_and_printing(name):
    d, factory = LINKED[name]
    declared = factory(3)
    assert bg.GaussianMixture.from_json(declared.to_json()) == declared
    model = filled(declared, d)
    assert bg.GaussianMixture.from_json(model.to_json()) == model
    assert len(set(model.keys())) == (1 if name in ("one-cv", "one-cv-flat") else 3)
    assert model.means.describe() in str(model)
    assert model.covariances.describe() in str(model)
    own = {"spaced": 2, "spaced-2d": 4, "spaced-tied": 4, "quantal": 1, "quantal-flat": 1, "one-cv": 3}
    own |= {"saturating": 3, "saturating-known": 2, "saturating-cv": 3, "one-line": 3, "molecules": 2}
    own |= {"one-cv-flat": 3, "one-cv-known-means": 0, "one-cv-spaced": 2, "one-cv-quantal": 1}
    for_covariances = 1 if "cv" in name else {"spaced-2d": 9, "saturating-known": 1}.get(name, 3)
    for_covariances = 2 if name in ("one-line", "molecules") else for_covariances
    for_weights = 1 if name == "molecules" else 2
    assert model.n_parameters(d) == for_weights + own[name] + for_covariances


def test_printed_lines():
    text = str(bg.GaussianMixture(3, means=bg.EvenlySpacedMeans(), covariances=bg.ConstantCV()))
    assert "mu_k          ~ first + k spacing, (first, spacing) ~ Normal(data, sd data), spacing > 0" in text
    assert "Sigma_k       ~ (cv mu_k)^2, cv ~ HalfNormal(1)   (one cv)" in text
    quantal = bg.EvenlySpacedMeans(bg.Flat(), through_zero=True, origin=2.5)
    assert quantal.describe() == "2.5 + (k + 1) spacing, spacing ~ Flat()"
    assert bg.ConstantCV(bg.Flat(), origin=-1).describe() == "(cv (mu_k - -1))^2, cv ~ Flat()"


def test_defaults_are_the_documented_numbers():
    mean, covariance = np.array([3.0]), np.array([[16.0]])
    prior = bg.GaussianMixture(4, means=bg.EvenlySpacedMeans()).filled(mean, covariance).means.prior
    assert prior == bg.NormalMeans(mu=[[3.0], [0.0]], sigma=[[40.0], [10.0]])
    quantal = bg.EvenlySpacedMeans(through_zero=True)
    prior = bg.GaussianMixture(5, means=quantal).filled(mean, covariance).means.prior
    assert prior == bg.NormalMeans(mu=[[0.0]], sigma=[[10.0]])
    assert bg.ConstantCV() == bg.ConstantCV(bg.HalfNormal(1.0), origin=0.0)


def test_numbers_of_first_and_spacing():
    def prior(d, **numbers):
        model = bg.GaussianMixture(3, means=bg.EvenlySpacedMeans(bg.NormalMeans(**numbers)))
        return model.filled(np.zeros(d), np.eye(d)).means.prior

    assert prior(1, mu=[1.0, 2.0], sigma=3.0) == bg.NormalMeans(mu=[[1.0], [2.0]], sigma=[[3.0], [3.0]])
    assert prior(2, mu=[[1, 2], [3, 4]], sigma=[[5], [6]]) == bg.NormalMeans(
        mu=[[1.0, 2.0], [3.0, 4.0]], sigma=[[5.0, 5.0], [6.0, 6.0]]
    )
    with pytest.raises(bg.InputError, match=r"NormalMeans.mu: has shape \(3,\)"):
        prior(1, mu=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("name", PROPER)
def test_draws_keep_to_the_model(name):
    d, factory = LINKED[name]
    K, n = 3, 4000
    model = filled(factory(K), d)
    weights, means, covariances = model.draw(np.random.default_rng(8), n, d)
    assert (weights.shape, means.shape, covariances.shape) == ((n, K), (n, K, d), (n, K, d, d))
    points = [
        Parameters(log_weights=np.log(weights[s]), means=means[s], choleskys=np.linalg.cholesky(covariances[s]))
        for s in range(5)
    ]
    assert all(np.isfinite(log_prior(model, point, True)) for point in points)
    if "spaced" in name or "quantal" in name:
        gaps = np.diff(means, axis=1)
        np.testing.assert_allclose(gaps[:, 0], gaps[:, 1], atol=1e-12)
        assert np.all(gaps[..., 0] > 0)
    if "cv" in name:
        cv = np.sqrt(covariances[..., 0]) / (means - model.covariances.origin)
        np.testing.assert_allclose(cv, cv[:, :1] * np.ones((1, K, 1)), rtol=1e-9)
        prior = {
            "one-cv": stats.lognorm(0.5, scale=np.exp(-1)),
            "one-cv-known-means": stats.halfnorm(scale=0.5),
            "one-cv-spaced": stats.gamma(2.0, scale=0.25),
            "one-cv-quantal": stats.expon(scale=0.5),
            "saturating-cv": stats.gamma(2.0, scale=0.25),
        }[name]
        assert stats.kstest(cv[:, 0, 0], prior.cdf).pvalue > 1e-3
    if "saturating" in name or name == "molecules":
        gaps = np.diff(means[..., 0], axis=1)
        prior = {
            "saturating": stats.gamma(2.0),
            "saturating-known": stats.lognorm(0.5),
            "saturating-cv": stats.expon(),
            "molecules": stats.halfnorm(scale=2.0),
        }[name]
        assert stats.kstest(gaps[:, 0], prior.cdf).pvalue > 1e-3
        if name == "saturating":
            assert stats.kstest(gaps[:, 1] / gaps[:, 0], stats.beta(1.5, 2.5).cdf).pvalue > 1e-3
            assert stats.kstest(means[:, 0, 0], stats.norm(0.5, 1.0).cdf).pvalue > 1e-3
    if name in ("one-line", "molecules"):
        own = np.sqrt(covariances[:, 0, 0, 0]), np.sqrt(covariances[:, 1, 0, 0] - covariances[:, 0, 0, 0])
        first, step = {
            "one-line": (stats.halfnorm(), stats.gamma(2.0, scale=0.25)),
            "molecules": (stats.lognorm(0.5, scale=np.exp(-0.5)), stats.halfnorm(scale=0.5)),
        }[name]
        assert stats.kstest(own[0], first.cdf).pvalue > 1e-3
        assert stats.kstest(own[1], step.cdf).pvalue > 1e-3
    if name == "quantal":
        assert stats.kstest(gaps[:, 0, 0], stats.truncnorm(-1 / 0.7, np.inf, 1.0, 0.7).cdf).pvalue > 1e-3
    if name == "one-cv":
        assert stats.kstest(means[:, 0, 0], stats.truncnorm(-0.625, np.inf, 1.0, 2.0).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda: bg.EvenlySpacedMeans(bg.ConjugateMeans()), "EvenlySpacedMeans.prior"),
        (lambda: bg.EvenlySpacedMeans(through_zero=1), "EvenlySpacedMeans.through_zero"),
        (lambda: bg.EvenlySpacedMeans(origin="a"), "EvenlySpacedMeans.origin"),
        (lambda: bg.ConstantCV(bg.InverseWishart()), "ConstantCV.prior"),
        (lambda: bg.ConstantCV(0.1), "ConstantCV.prior"),
        (lambda: bg.ConstantCV(origin=[1.0]), "ConstantCV.origin"),
        (lambda: filled(bg.GaussianMixture(2, means=bg.FixedMeans([0.0, 1]), covariances=bg.ConstantCV()), 1), "above"),
    ],
)
def test_bad_arguments(build, wanted):
    with pytest.raises(bg.InputError, match=wanted):
        build()


def test_what_does_not_go_together():
    moments = np.zeros(1), np.eye(1)
    with pytest.raises(bg.UnsupportedError, match="NormalMeans"):
        bg.GaussianMixture(2, means=bg.ConjugateMeans(), covariances=bg.ConstantCV()).filled(*moments)
    with pytest.raises(bg.UnsupportedError, match="2 features"):
        bg.GaussianMixture(2, covariances=bg.ConstantCV()).filled(np.zeros(2), np.eye(2))
    with pytest.raises(bg.UnsupportedError, match="Tied"):
        bg.Tied(bg.ConstantCV())
    with pytest.raises(bg.InputError, match="next to no mass"):
        filled(bg.GaussianMixture(2, means=bg.NormalMeans(-30.0, 1.0), covariances=bg.ConstantCV()), 1).draw(
            np.random.default_rng(0), 2, 1
        )
