"""The variational posterior of a mixture: its bound, its updates, its draws and its predictive density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesgmm.engines._covariance_factors import CovarianceFactor, covariance_factor
from bayesgmm.engines._mean_factors import MeanFactor, mean_factor
from bayesgmm.engines._objective import log_prior, row_means, scatter_about
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Array, Draws, Parameters, Problem
from bayesgmm.model import FilledMixture
from bayesgmm.model._interfaces import WeightsPosterior
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


def draw(problem: Problem, q: Q, size: int, rng: np.random.Generator, volume: float, progress: Progress) -> Draws:
    """Independent draws from q with their importance weights, in the data's units."""
    covariances = q.covariances.draw(rng, size)
    means = q.means.draw(rng, covariances)
    weights = q.weights.draw(rng, size)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    choleskys = np.linalg.cholesky(covariances)
    log_q = q.weights.log_density(log_weights) + q.means.log_density(means, covariances)
    log_q += q.covariances.log_density(covariances)
    log_p = q.weights.log_density(log_weights, prior=True) + q.means.log_density(means, covariances, prior=True)
    log_p += q.covariances.log_density(covariances, prior=True)
    counts = np.empty(means.shape[:2])
    for s in range(size):
        at = Parameters(log_weights=log_weights[s], means=means[s], choleskys=choleskys[s])
        statistics = problem.statistics(at)
        log_p[s] += statistics.log_normaliser - volume
        counts[s] = statistics.counts
        progress.step("importance weights", s + 1, size)
    center, scale = problem.units.center, problem.units.scale
    at = q.mean()
    # Densities of parameters change by a constant with their units; it is the same for p and q.
    with np.errstate(all="ignore"):
        shift = log_prior(problem.declared, problem.units.to_data(at), False) - log_prior(problem.model, at, False)
    shift = shift if np.isfinite(shift) else 0.0
    return Draws(
        weights=weights,
        means=center + scale * means,
        covariances=covariances * np.outer(scale, scale),
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
