"""The evidence of one hypothesis, and what its posterior says, from the same weighted draws."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import FitError
from bayesgmm.engines._adaptive import Adapted, adapted, log_weights
from bayesgmm.engines._beyond_modes import newborn, unseen
from bayesgmm.engines._importance import resampled, smoothed
from bayesgmm.engines._normal import log_priors
from bayesgmm.engines._optima import Search, distinct
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.engines.laplace import approximated
from bayesgmm.model import GaussianMixture, WarpedMeans
from bayesgmm.traits._measurements import Measurements

Array = NDArray[np.float64]

# One feature and few components: optima are few, and proposals that learn need not begin at their last digit.
_ROUGHLY = {"short_steps": 5, "tolerance": 1e-2, "unconstrained": True, "supported": False}
_SEARCH = Search(n_init=6, n_polish=2, approached=1, rounds=1, **_ROUGHLY)  # type: ignore[arg-type]
# Of a single population there is only one.
_SINGLE = Search(n_init=1, n_polish=1, approached=1, rounds=0, hierarchical=False, **_ROUGHLY)  # type: ignore[arg-type]
# Where components are told apart, as those of one locus, swapping them gives another hill, not a copy of the same.
_TOLD_APART = Search(n_init=12, n_polish=8, approached=1, rounds=1, **_ROUGHLY)  # type: ignore[arg-type]
_MOST_MODES, _TAILS = 3, 6.0


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Draws in the trait's units, components of exchangeable types sorted by their means.

    Attributes
    ----------
    weights, means, sds : (draws, K) arrays
    error_scale : (draws,) array
        Factor of the estimated errors.
    """

    weights: Array
    means: Array
    sds: Array
    error_scale: Array

    @property
    def variance(self) -> Array:
        """The variance of the trait among individuals, (draws,)."""
        mean = (self.weights * self.means).sum(axis=1)
        return (self.weights * (np.square(self.sds) + np.square(self.means - mean[:, None]))).sum(axis=1)

    def density(self, grid: Array, error: float = 0.0) -> Array:
        """Posterior mean of the density of the trait, or of values with this error, at a grid."""
        sds = np.hypot(self.sds, error * self.error_scale[:, None])
        out = np.zeros(grid.size)
        for w, m, s in zip(self.weights, self.means, sds, strict=True):
            z = (grid[:, None] - m) / s
            out += np.exp(-0.5 * z * z) @ (w / s)
        return out / (len(sds) * np.sqrt(2.0 * np.pi))


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """Evidence in the trait's units under several priors, the first the one that was declared.

    `why` says what is wrong where there is no posterior.
    """

    log_evidence: Array
    error: Array
    pareto_k: Array
    reliable: NDArray[np.bool_]
    posterior: Posterior | None = None
    why: str = field(default="")


def weigh(
    known: Measurements, models: list[GaussianMixture], *, draws: int, keep: int, seed: np.random.SeedSequence
) -> Weighed:
    """Integrate the first of models that differ in their priors; the others have its draws, weighted.

    Parameters
    ----------
    known : Measurements
    models : list of GaussianMixture
    draws : int
        For importance sampling.
    keep : int
        Draws of the posterior that are kept.
    seed : SeedSequence
    """
    rng = np.random.default_rng(seed)
    data = known.to_data()
    problem = build_problem(models[0], data, n_threads=1)
    try:
        sampled = integrated(problem, draws, rng)
    except FitError as error:
        none, reliable = np.full(len(models), np.nan), np.zeros(len(models), dtype=bool)
        return Weighed(log_evidence=none, error=none, pareto_k=none, reliable=reliable, why=str(error))
    weights = [sampled.importance]
    for model in models[1:]:
        other = sampled.log_likelihoods + log_priors(build_problem(model, data, n_threads=1), sampled.points)
        weights.append(smoothed(log_weights(other, sampled.log_q)))
    kept = sampled.points.taken(resampled(sampled.importance, keep, rng))
    return Weighed(
        log_evidence=np.array([each.log_mean for each in weights]) - problem.log_volume,
        error=np.array([each.log_mean_error for each in weights]),
        pareto_k=np.array([each.pareto_k for each in weights]),
        reliable=np.array([each.reliable and sampled.complete for each in weights]),
        posterior=_posterior(problem, kept),
    )


def integrated(problem: Problem, draws: int, rng: np.random.Generator) -> Adapted:
    """Importance sampling from proposals at the modes and beyond them."""
    quiet = Progress(False)
    search = _SEARCH if problem.model.log_symmetries() > 0 else _TOLD_APART
    if problem.K == 1 or isinstance(problem.model.means, WarpedMeans):
        search = _SINGLE
    found = search.run(problem, rng, quiet)
    modes = [each.end for each in distinct(found.reports, _MOST_MODES) if each.end is not None]
    proposals = [approximated(problem, modes[0]).with_tails(_TAILS)]
    for other in modes[1:]:
        with suppress(FitError):  # a mode that is no hill adds nothing
            proposals.append(approximated(problem, other).with_tails(_TAILS))
    further = [*unseen(problem, proposals[0]), *newborn(problem, rng)]
    return adapted(problem, proposals, _TAILS, draws, rng, quiet, further)


def _posterior(problem: Problem, points: Parameters) -> Posterior:
    at = problem.units.to_data(points)
    weights, means, sds = np.exp(at.log_weights), at.means[..., 0], at.choleskys[..., 0, 0]
    if problem.model.log_symmetries() > 0:
        order = np.argsort(means, axis=1)
        weights, means, sds = (np.take_along_axis(each, order, axis=1) for each in (weights, means, sds))
    scale = np.exp(np.broadcast_to(at.log_noise, len(means)))
    return Posterior(weights=weights, means=means, sds=sds, error_scale=scale)
