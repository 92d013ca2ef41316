"""Importance sampling that learns its proposals (Oh & Berger 1992; Cornuet et al. 2012)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesgmm.engines._importance import Importance, smoothed
from bayesgmm.engines._labels import over_labels
from bayesgmm.engines._normal import NormalApproximation
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Approximation, Array, Parameters, Problem

# Pilot rounds, what share of the draws each has, and at least how many.
_PILOTS, _PILOT_SHARE, _FEWEST = 2, 4, 200
# Weights worth fewer draws than this for each coordinate say little about a covariance.
_DRAWS_PER_COORDINATE = 2.0


@dataclass(frozen=True)
class Blend(Approximation):
    """A mixture of approximations in given shares."""

    parts: tuple[Approximation, ...]
    shares: Array

    def draw(self, rng: np.random.Generator, size: int) -> Parameters:
        sizes = rng.multinomial(size, self.shares)
        return Parameters.joined([part.draw(rng, n) for part, n in zip(self.parts, sizes, strict=True) if n])

    def log_density(self, points: Parameters) -> Array:
        return np.logaddexp.reduce(self._each(points), axis=0)

    def owners(self, points: Parameters) -> Array:
        """Probabilities (parts, S) that a point came from each part; 0 where it came from none of them."""
        each = self._each(points)
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(np.exp(each - np.logaddexp.reduce(each, axis=0)))

    def _each(self, points: Parameters) -> Array:
        # Parts that were learnt from one another are densities of the same coordinates, which cost more than these.
        found, places = [], {}
        for part in self.parts:
            if isinstance(part, NormalApproximation):
                if id(part.coordinates) not in places:
                    places[id(part.coordinates)] = part.coordinates.coordinates(points)
                found.append(part.log_density_at(places[id(part.coordinates)]))
            else:
                found.append(part.log_density(points))
        out = np.array(found) + np.log(self.shares)[:, None]
        return np.where(np.isnan(out), -np.inf, out)

    def log_prior(self, points: Parameters) -> Array:
        return self.parts[0].log_prior(points)


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What importance sampling found.

    Attributes
    ----------
    importance : Importance
        Smoothed weights p / q, q averaged over labels, densities in standard units.
    labels : str
        What was done about copies of the mode.
    complete : bool
        Whether all copies that overlap are in q.
    points : Parameters
        The draws.
    log_likelihoods, log_q : (S,) arrays
        At the draws, so that they can be weighted for another prior.
    """

    importance: Importance
    labels: str
    complete: bool
    points: Parameters
    log_likelihoods: Array
    log_q: Array


# Far out in the tails of a proposal numbers may overflow; nothing of the posterior is there.
@np.errstate(all="ignore")
def adapted(
    problem: Problem,
    first: Sequence[NormalApproximation],
    df: float,
    draws: int,
    rng: np.random.Generator,
    progress: Progress,
    further: Sequence[Approximation] = (),
) -> Adapted:
    """Integrate the posterior density from proposals at its modes.

    Pilot draws from them, weighted, shape one more proposal: a Student t with their means and covariances, which gets
    half of the draws.

    Parameters
    ----------
    problem : Problem
    first : sequence of NormalApproximation
        Proposals of the first round, in equal shares, the best mode first.
    df : float
        Degrees of freedom of the further proposal.
    draws : int
        Beside the pilots.
    further : sequence of Approximation
        Proposals that are for places off the modes.
    """
    fixed = (*first, *further)
    blend = Blend(fixed, np.full(len(fixed), 1.0 / len(fixed)))
    points: list[Parameters] = []
    joint: list[Array] = []
    for _ in range(_PILOTS):
        points.append(blend.draw(rng, max(_FEWEST, draws // _PILOT_SHARE)))
        likelihoods, _ = problem.likelihoods(points[-1], progress, with_counts=False)
        joint.append(likelihoods + blend.log_prior(points[-1]))
        # Copies far away change all weights alike, so that the density of this one is enough here.
        together = Parameters.joined(points)
        importance = smoothed(log_weights(np.concatenate(joint), blend.log_density(together)))
        reshaped = first[0].moved(together, importance.shares, df, _DRAWS_PER_COORDINATE)
        fixed = (*first, *(each.learnt(together, importance.shares) for each in further))
        blend = Blend((reshaped, *fixed), np.array([0.5, *[0.5 / len(fixed)] * len(fixed)]))
    # Weights of draws that have shaped the proposals would be too small on average: these are new.
    final = blend.draw(rng, draws)
    likelihoods, _ = problem.likelihoods(final, progress, with_counts=False)
    q = over_labels(blend, final, problem.model.keys())
    importance = smoothed(log_weights(likelihoods + blend.log_prior(final), q.log_density))
    return Adapted(
        importance=importance,
        labels=q.describe(),
        complete=q.complete,
        points=final,
        log_likelihoods=likelihoods,
        log_q=q.log_density,
    )


def log_weights(log_joint: Array, log_q: Array) -> Array:
    """Log p - log q, and no weight where p is 0 or q cannot be computed, so far out is the point."""
    return np.where(np.isfinite(log_joint) & np.isfinite(log_q), log_joint - log_q, -np.inf)
