"""Importance sampling from the hills of a posterior: mixtures of Normals, of Student t, and what is learnt from both.

Hills are bent where components overlap, which no Normal is. A mixture of several Student t is fitted to the weighted
draws (population Monte Carlo; Cappe et al. 2008), more is drawn from it, and all draws are weighed together, as ones of
one mixture of everything that was drawn from (Cornuet et al. 2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesgmm.engines._adaptive import Blend, log_weights
from bayesgmm.engines._hills import NEGLIGIBLE, Hill
from bayesgmm.engines._importance import Importance, smoothed
from bayesgmm.engines._labels import over_labels
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Approximation, Array, Parameters, Problem

# Degrees of freedom of Student t proposals.
_TAILS = 6.0
# This share of the proposals goes to all hills alike: masses by Laplace's formula may be off.
_EVEN_SHARE = 0.1
# Where Pareto k is below there is no need to look for better proposals, or for better ones still.
_FINE, _FINE_ENOUGH = 0.5, 0.6
# Rounds of learning, steps of each, Student t beside one for each hill, and the share of the draws that hills keep.
_ROUNDS, _STEPS, _BENDS, _HILLS_KEEP = 2, 4, 3, 0.2
# Weights below a share of the draws like this teach nothing.
_UNSEEN = 1e-12
# Averages over more copies than this that overlap take too long to be made again and again.
_MOST_COPIES = 24
# Weights worth fewer draws than this for each coordinate say little about a covariance.
_DRAWS_PER_COORDINATE = 2.0
# Copies of a hill count as apart if their densities at so many of the draws are all lower by so much.
_LOOKED_AT, _APART = 100, 40.0  # draws, nats


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Draws from a mixture over hills.

    Attributes
    ----------
    blend : Blend
    points : Parameters
    log_joint : (S,) array
    counts : (S, K) array
        Expected rows of each component.
    log_q : (S,) array
        Density of the proposals, averaged over the copies of hills that other labels make.
    n_overlapping : int
        How many copies overlap; where it is more than one a draw may have the labels of another one.
    importance : Importance
    """

    blend: Blend
    points: Parameters
    log_joint: Array
    counts: Array
    log_q: Array
    n_overlapping: int
    importance: Importance

    def masses(self, found: Sequence[Hill]) -> Array:
        """Share of the posterior that stands round each of some hills, by the weights."""
        blend = blend_of(found, df=_TAILS)
        return blend.owners(self.points) @ self.importance.shares


def laplace_masses(found: Sequence[Hill]) -> Array:
    """Shares of the posterior by Laplace's formula."""
    log_masses = np.array([hill.log_mass for hill in found])
    return np.exp(log_masses - np.logaddexp.reduce(log_masses))


def blend_of(found: Sequence[Hill], *, df: float | None = None, even: float = 0.0) -> Blend:
    """A mixture of Normals, or Student t, by the masses of hills; a share of it goes to all hills alike."""
    parts = tuple(hill.normal if df is None else hill.normal.with_tails(df) for hill in found)
    return Blend(parts, (1.0 - even) * laplace_masses(found) + even / len(parts))


def mattering(found: Sequence[Hill]) -> list[Hill]:
    """Hills whose mass may show in an interval."""
    return [hill for hill in found if found[0].log_mass - hill.log_mass < NEGLIGIBLE]


# Far out in the tails of a proposal numbers may overflow; nothing of the posterior is there.
@np.errstate(all="ignore")
def proposed(problem: Problem, blend: Blend, size: int, rng: np.random.Generator, progress: Progress) -> Proposals:
    """Draw from a mixture and weigh."""
    points = blend.draw(rng, size)
    likelihoods, counts = problem.likelihoods(points, progress)
    log_joint = likelihoods + blend.log_prior(points)
    log_q, n_overlapping = averaged(problem, blend, points)
    return Proposals(
        blend=blend,
        points=points,
        log_joint=log_joint,
        counts=counts,
        log_q=log_q,
        n_overlapping=n_overlapping,
        importance=smoothed(log_weights(log_joint, log_q)),
    )


def averaged(problem: Problem, approximation: Approximation, points: Parameters) -> tuple[Array, int]:
    """Log density averaged over labels, and how many copies overlap."""
    keys, own = problem.model.keys(), approximation.log_density(points)
    few = np.unique(np.linspace(0, own.size - 1, min(_LOOKED_AT, own.size)).astype(int))
    some, here = points.taken(few), own[few]
    for i in range(problem.K):
        for j in range(i):
            if keys[i] != keys[j]:
                continue
            swapped = np.arange(problem.K)
            swapped[[i, j]] = j, i
            if (approximation.log_density(some.reordered(swapped)) - here > -_APART).any():
                found = over_labels(approximation, points, keys, own)
                return found.log_density, found.n_overlapping
    return own - problem.model.log_symmetries(), 1


def best_proposals(
    problem: Problem, found: Sequence[Hill], size: int, rng: np.random.Generator, progress: Progress
) -> Proposals:
    """Weighed draws from whichever has the lowest Pareto k: Normals, Student t, or these and what they teach."""
    tried: list[Proposals] = []
    for df in (None, _TAILS):
        tried.append(proposed(problem, blend_of(found, df=df, even=_EVEN_SHARE), size, rng, progress))
        if not tried[-1].importance.pareto_k > _FINE:
            return tried[-1]
    together = joined(problem, tried)
    for _ in range(_ROUNDS if together.n_overlapping <= _MOST_COPIES else 0):
        tried.append(proposed(problem, learnt(found, together, rng), size, rng, progress))
        together = joined(problem, tried)
        if not together.importance.pareto_k > _FINE_ENOUGH:
            break
    return min([tried[0], tried[1], together], key=_badness)


@np.errstate(all="ignore")
def joined(problem: Problem, tried: Sequence[Proposals]) -> Proposals:
    """All draws, weighed as draws of one mixture of all that they come from."""
    sizes = np.array([each.log_q.size for each in tried])
    shares = np.concatenate([n * each.blend.shares for n, each in zip(sizes, tried, strict=True)])
    blend = Blend(tuple(part for each in tried for part in each.blend.parts), shares / sizes.sum())
    points = Parameters.joined([each.points for each in tried])
    log_joint = np.concatenate([each.log_joint for each in tried])
    log_q, n_overlapping = averaged(problem, blend, points)
    return Proposals(
        blend=blend,
        points=points,
        log_joint=log_joint,
        counts=np.concatenate([each.counts for each in tried]),
        log_q=log_q,
        n_overlapping=n_overlapping,
        importance=smoothed(log_weights(log_joint, log_q)),
    )


def learnt(found: Sequence[Hill], seen: Proposals, rng: np.random.Generator) -> Blend:
    """Several Student t fitted to weighted draws by steps of EM, beside those of the hills."""
    shares = seen.importance.shares
    counted = np.flatnonzero(shares > _UNSEEN)
    points, shares = seen.points.taken(counted), shares[counted] / shares[counted].sum()
    whole = found[0].normal.moved(points, shares, _TAILS, _DRAWS_PER_COORDINATE)
    starts = rng.choice(shares.size, _BENDS + len(found), p=shares)
    parts = [whole.moved(points.taken([i]), np.ones(1), _TAILS, _DRAWS_PER_COORDINATE) for i in starts]
    blend = Blend(tuple(parts), np.full(len(parts), 1.0 / len(parts)))
    for _ in range(_STEPS):
        own = blend.owners(points) * shares
        sizes = own.sum(axis=1)
        kept = np.flatnonzero(sizes > 0)
        parts = [parts[m].moved(points, own[m] / sizes[m], _TAILS, _DRAWS_PER_COORDINATE) for m in kept]
        blend = Blend(tuple(parts), sizes[kept] / sizes[kept].sum())
    hills = blend_of(found, df=_TAILS, even=_EVEN_SHARE)
    both = np.concatenate([(1.0 - _HILLS_KEEP) * blend.shares, _HILLS_KEEP * hills.shares])
    return Blend((*blend.parts, *hills.parts), both)


def _badness(proposals: Proposals) -> float:
    return np.nan_to_num(proposals.importance.pareto_k, nan=np.inf)
