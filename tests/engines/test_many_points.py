"""Priors and likelihoods at many points at once equal those at one point after the other."""

from __future__ import annotations

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._normal import log_priors
from bayesgmm.engines._objective import log_prior
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters

N = 60
X = np.random.default_rng(0).standard_normal((N, 2))
HOLES = np.where(np.arange(2 * N).reshape(N, 2) % 6 == 0, np.nan, X)
DATA = {
    "exact": bg.as_data(X),
    "missing": bg.as_data(HOLES),
    "errors": bg.as_data(X, noise=0.1 + np.abs(X[::-1]), noise_scale=bg.LogNormal(0.0, 0.3)),
    "one error": bg.as_data(X, noise=np.full((N, 2), 0.3), noise_scale=bg.HalfNormal(1.0)),
    "groups": bg.as_data(X, groups=np.arange(N) % 3),
    "counts": bg.as_data(X, counts=np.arange(N) % 4 + 1),
    "bins": bg.as_data(bins=np.linspace(-3, 3, 13), counts=np.arange(12) + 1),
}
COVARIANCES = [
    bg.LKJ(2.0, scale=bg.HalfNormal(1.0)),
    bg.InverseWishart(),
    bg.Diagonal(bg.LKJ(1.0, scale=bg.Gamma(2.0, 1.0))),
    bg.Diagonal(bg.InverseWishart()),
    bg.Spherical(bg.LKJ(scale=bg.LogNormal(0.0, 1.0))),
    bg.Spherical(bg.InverseWishart()),
    bg.Tied(bg.LKJ(scale=bg.Exponential(1.0))),
    bg.Tied(bg.Spherical(bg.InverseWishart())),
    bg.FixedCovariances(0.5),
]
WEIGHTS = [bg.Dirichlet(0.7), bg.StickBreaking(2.0), bg.FixedWeights([0.3, 0.7]), bg.PoissonWeights()]
MEANS = [None, bg.NormalMeans(), bg.FixedMeans([[0.0, 1.0], [1.0, 0.0]]), bg.EvenlySpacedMeans()]


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
@pytest.mark.parametrize("covariances", COVARIANCES, ids=str)
def test_many_points_at_once(data: bg.Data, covariances: bg.Covariances) -> None:
    rng = np.random.default_rng(1)
    for weights in WEIGHTS:
        for means in MEANS:
            if isinstance(means, bg.FixedMeans) and data.n_features == 1:
                means = bg.FixedMeans([0.0, 1.0])
            model = bg.GaussianMixture(2, weights=weights, means=means, covariances=covariances)
            problem = build_problem(model, data)
            drawn = problem.model.draw(rng, 5, problem.n_features)
            free_noise = problem.noise is not None and problem.noise.prior is not None
            points = Parameters(
                log_weights=np.log(drawn[0]),
                means=drawn[1],
                choleskys=np.linalg.cholesky(drawn[2]),
                log_noise=0.1 * rng.standard_normal(5) if free_noise else np.zeros(5),
            )
            one_by_one = [log_prior(problem.model, points.taken(s), True) for s in range(5)]
            if problem.noise is not None:
                by_noise = [problem.noise.log_prior(float(s), unconstrained=True)[0] for s in points.log_noise]
                one_by_one = np.add(one_by_one, by_noise)
            np.testing.assert_allclose(log_priors(problem, points), one_by_one, rtol=1e-11, atol=1e-10)
            statistics = [problem.statistics(points.taken(s)) for s in range(5)]
            values, counts = problem.likelihoods(points)
            np.testing.assert_allclose(values, [each.log_normaliser for each in statistics], rtol=1e-11)
            np.testing.assert_allclose(counts, [each.counts for each in statistics], rtol=1e-9, atol=1e-9)
            without, zeros = problem.likelihoods(points, with_counts=False)
            np.testing.assert_allclose(without, values, rtol=1e-12)
            assert not zeros.any() or data is DATA["missing"] or data is DATA["bins"]


def test_points_far_out_have_no_likelihood_instead_of_an_error() -> None:
    problem = build_problem(bg.GaussianMixture(1), bg.as_data(X))
    L = np.stack([np.eye(2), np.full((2, 2), np.inf)])[:, None]
    points = Parameters(log_weights=np.zeros((2, 1)), means=np.zeros((2, 1, 2)), choleskys=L)
    values = problem.likelihoods(points)[0]
    assert np.isfinite(values[0])
    assert values[1] == -np.inf
