"""`ScaledInverseChi` as what is known of errors and of widths: evidence by quadrature, and every engine."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln, logsumexp

import bayesgmm as bg

SAMPLED = "Laplace, importance sampling"
MU, SIGMA, TAU = 0.4, 2.0, 1.5
X = np.array([-1.1, 0.2, 0.9, 1.4, 3.0, 0.3])
ERRORS = np.array([0.3, 0.5, 0.2, 0.6, 0.4, 0.9])
QUIET = {"random_seed": 1, "progressbar": False}


def log_marginal(variances):
    """Log density of X (S,) with the mean integrated out, for variances (S, n) of the rows about it."""
    # Normal with covariance diag(v) + sigma^2 11', by Sherman-Morrison.
    w = 1 / variances
    total = w.sum(axis=1)
    y = X - MU
    square = (w * y * y).sum(axis=1) - (w @ y) ** 2 * SIGMA**2 / (1 + SIGMA**2 * total)
    log_det = np.log(variances).sum(axis=1) + np.log1p(SIGMA**2 * total)
    return -0.5 * (square + log_det + X.size * np.log(2 * np.pi))


@pytest.mark.parametrize(("df", "scale"), [(4.0, 1.0), (12.0, 2.0)])
def test_evidence_with_errors_of_uncertain_size(df, scale):
    half = df / 2
    of_factor = stats.gengamma(half, -2.0, scale=scale * np.sqrt(half))
    log_s, log_f = (each.ravel() for each in np.meshgrid(np.linspace(-12, 3, 500), np.linspace(-3, 5, 400)))
    s, f = np.exp(log_s), np.exp(log_f)
    prior = stats.halfnorm(scale=TAU).logpdf(s) + log_s + of_factor.logpdf(f) + log_f
    cell = (15 / 499) * (8 / 399)
    assert logsumexp(prior) + np.log(cell) == pytest.approx(0.0, abs=1e-4)
    exact = logsumexp(prior + log_marginal(s[:, None] ** 2 + (f[:, None] * ERRORS) ** 2)) + np.log(cell)
    model = bg.GaussianMixture(1, means=bg.NormalMeans(MU, SIGMA), covariances=bg.LKJ(1.0, scale=bg.HalfNormal(TAU)))
    data = bg.as_data(X, noise=ERRORS[:, None], noise_scale=bg.ScaledInverseChi(df, scale))
    found = bg.log_evidence(model, data, **QUIET).sel(estimate=SAMPLED)
    assert found["reliable"]
    assert 0 < found["error"] < 0.05
    assert found["value"].item() == pytest.approx(exact, abs=4 * found["error"].item() + 1e-4)


def test_repeats_and_their_summary_say_the_same():
    """Rows of repeats with one unknown error, or their means with what the repeats tell of it: one posterior.

    p(repeats | s) is p(means | s) times the density of the sum of squares, which is ScaledInverseChi in s with the
    prior 1 / s. The mode of s with the means known is thus that of all repeats with the density 1 / s.
    """
    rng = np.random.default_rng(3)
    repeats = 5.0 + rng.normal(size=(20, 3))
    squares = np.square(repeats - repeats.mean(axis=1, keepdims=True)).sum()
    prior = bg.ScaledInverseChi(40.0, np.sqrt(squares / 40))
    s = np.linspace(0.7, 1.4, 15)
    density = prior.log_density(s[:, None])[0][:, 0]
    centered = (repeats - repeats.mean(axis=1, keepdims=True)) @ np.linalg.svd(np.ones((1, 3)))[2][1:].T
    by_rows = stats.norm(0.0, s[:, None]).logpdf(centered.ravel()).sum(axis=1) - np.log(s)
    np.testing.assert_allclose(np.diff(density), np.diff(by_rows), rtol=1e-9)


MODEL = bg.GaussianMixture(1, means=bg.FixedMeans(0.0), covariances=bg.LKJ(scale=bg.ScaledInverseChi(6.0, 2.0)))
Y = np.random.default_rng(4).normal(0.0, 1.2, 14)
# Conjugate: s^2 is inverse-gamma, and stays so.
POSTERIOR = stats.invgamma(0.5 * (6.0 + Y.size), scale=0.5 * (6.0 * 4.0 + Y @ Y))


def test_em_finds_the_mode():
    fit = bg.fit(MODEL, Y, engine=bg.EM(threads=1), **QUIET)
    # That of the density of s itself, (df + n + 1) / 2 in place of (df + n) / 2 + 1.
    found = fit["point_estimate"]["covariances"].item()
    assert found == pytest.approx((6.0 * 4.0 + Y @ Y) / (6.0 + Y.size + 1.0), rel=1e-6)


def test_evidence_in_closed_form():
    a, b = 3.0, 0.5 * 6.0 * 4.0
    exact = -0.5 * Y.size * np.log(2 * np.pi) + a * np.log(b)
    after = a + 0.5 * Y.size
    exact += gammaln(after) - gammaln(a) - after * np.log(b + 0.5 * Y @ Y)
    found = bg.log_evidence(MODEL, Y, **QUIET).sel(estimate=SAMPLED)
    assert found["value"].item() == pytest.approx(exact, abs=max(4 * found["error"].item(), 1e-6))


@pytest.mark.parametrize(
    "engine",
    [bg.Laplace(threads=1, draws=1000), bg.NUTS(draws=500, tune=200, chains=2, cores=1, n_init=2)],
    ids=["laplace", "nuts"],
)
def test_draws_follow_the_posterior(engine):
    fit = bg.fit(MODEL, Y, engine=engine, **QUIET)
    draws = fit["posterior"]["covariances"].to_numpy().ravel()
    assert draws.size == 1000
    assert stats.kstest(draws[::4], POSTERIOR.cdf).pvalue > 1e-3
    if isinstance(engine, bg.NUTS):
        assert fit.attrs["sampler"] == "native"
        assert fit.attrs["sampler_reason"] == "the default"
