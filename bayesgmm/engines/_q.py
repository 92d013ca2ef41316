"""The variational posterior of a mixture: its bound, its updates, its draws and its predictive density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesgmm.engines._covariance_factors import CovarianceFactor, covariance_factor
from bayesgmm.engines._draws import Draws
from bayesgmm.engines._mean_factors import MeanFactor, mean_factor
from bayesgmm.engines._objective import log_prior, row_means, scatter_about
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Approximation, Array, Parameters, Problem
from bayesgmm.model import FilledMixture
from bayesgmm.model._weights_interface import WeightsPosterior
from bayesgmm.numerics.linalg import log_det
from bayesgmm.numerics.passes import Statistics


@dataclass(frozen=True, kw_only=True)
class Q:
    """The variational posterior q(weights) q(means, covariances)."""

    weights: WeightsPosterior
    means: MeanFactor
    covariances: CovarianceFactor

    def pass_arguments(self) -> tuple[Array, Array, Array]:
        """Log scales c, means and precision Choleskys for the pass.

        c = E ln w + (E ln|Lambda| - ln|E Lambda| - E (mu - m)' Lambda (mu - m)) / 2, so that the sum of log
        normalisers is the data part of the bound.
        """
        factors = self.covariances.precision_choleskys()
        # ln |A'A| with A lower triangular is the same sum over the diagonal as for a Cholesky factor.
        correction = self.covariances.log_det_precisions() - log_det(factors)
        spread = self.means.spread(self.covariances.precisions())
        return self.weights.expected_log() + 0.5 * (correction - spread), self.means.loc, factors

    def divergence(self) -> float:
        """Kullback-Leibler divergence of all parameters from their prior."""
        by_means = self.means.divergence(self.covariances.precisions())
        return self.weights.divergence() + by_means + self.covariances.divergence()

    def mean(self) -> Parameters:
        """Expected weights, means and covariances."""
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights.mean())
        return Parameters(
            log_weights=log_weights, means=self.means.loc, choleskys=np.linalg.cholesky(self.covariances.mean())
        )


def prior_of(model: FilledMixture, n_features: int) -> Q:
    K = model.n_components
    return Q(
        weights=model.weights.posterior(np.zeros(K)),
        means=mean_factor(model.means, K, n_features),
        covariances=covariance_factor(model.covariances, K, n_features),
    )


def updated(q: Q, statistics: Statistics, centers: Array) -> Q:
    """Coordinate ascent: weights, then means, then covariances."""
    rows = row_means(statistics, centers)
    means = q.means.updated(statistics.counts, rows, q.covariances.precisions())
    scatter = scatter_about(statistics, centers, means.loc) + means.extra_scatter(statistics.counts)
    return Q(
        weights=q.weights.given(statistics.weight_counts),
        means=means,
        covariances=q.covariances.updated(statistics.counts, scatter),
    )


def evaluate(problem: Problem, q: Q) -> tuple[float, Statistics]:
    """The bound in standard units, and the expected statistics at q."""
    statistics = problem.statistics_at(*q.pass_arguments())
    return statistics.log_normaliser - q.divergence(), statistics


@dataclass(frozen=True)
class VariationalApproximation(Approximation):
    """The variational posterior as a distribution of the parameters' own densities, without Jacobian."""

    q: Q

    def draw(self, rng: np.random.Generator, size: int) -> Parameters:
        covariances = self.q.covariances.draw(rng, size)
        means = self.q.means.draw(rng, covariances)
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.q.weights.draw(rng, size))
        return Parameters(log_weights=log_weights, means=means, choleskys=np.linalg.cholesky(covariances))

    def log_density(self, points: Parameters) -> Array:
        return self._log_density(points, prior=False)

    def log_prior(self, points: Parameters) -> Array:
        return self._log_density(points, prior=True)

    def _log_density(self, points: Parameters, *, prior: bool) -> Array:
        covariances = points.covariances
        by_weights = self.q.weights.log_density(points.log_weights, prior=prior)
        by_means = self.q.means.log_density(points.means, covariances, prior=prior)
        return by_weights + by_means + self.q.covariances.log_density(covariances, prior=prior)


def draw(problem: Problem, q: Q, size: int, rng: np.random.Generator, volume: float, progress: Progress) -> Draws:
    """Independent draws from q with their importance weights, in the data's units."""
    approximation = VariationalApproximation(q)
    points = approximation.draw(rng, size)
    likelihoods, counts = problem.likelihoods(points, progress)
    log_q = approximation.log_density(points)
    log_p = approximation.log_prior(points) + likelihoods - volume
    at = q.mean()
    # Densities of parameters change by a constant with their units; it is the same for p and q.
    with np.errstate(all="ignore"):
        shift = log_prior(problem.declared, problem.units.to_data(at), False) - log_prior(problem.model, at, False)
    shift = shift if np.isfinite(shift) else 0.0
    in_data_units = problem.units.to_data(points)
    return Draws(
        weights=np.exp(in_data_units.log_weights),
        means=in_data_units.means,
        covariances=in_data_units.covariances,
        log_joint=log_p + shift,
        log_proposal=log_q + shift,
        expected_counts=counts,
    )


def predictive(q: Q) -> tuple[str, Array, Array]:
    """Family, degrees of freedom and scale of each component's predictive density; family "draws" if none is known."""
    family, df, scale = q.covariances.predictive()
    widened = q.means.widened(family, scale)
    return ("draws", df, scale) if widened is None else (family, df, widened)


def summarise(problem: Problem, q: Q) -> dict[str, Array]:
    center, scale = problem.units.center, problem.units.scale
    square = np.outer(scale, scale)
    out = {"weights_mean": q.weights.mean(), **q.weights.summary(), **q.means.summary(), **q.covariances.summary()}
    if "means_loc" in out:
        out["means_loc"] = center + scale * out["means_loc"]
    for name in ("covariance_scale", "means_covariance"):
        if name in out:
            out[name] = out[name] * square
    _, df, widened = predictive(q)
    out |= {"predictive_df": df, "predictive_loc": center + scale * q.means.loc, "predictive_scale": widened * square}
    return out
