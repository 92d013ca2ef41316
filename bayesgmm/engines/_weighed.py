"""Importance sampling from the hills of a posterior: mixtures of Normals, of Student t, and of what these learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesgmm.engines._adaptive import Blend, log_weights
from bayesgmm.engines._hills import NEGLIGIBLE, Hill
from bayesgmm.engines._importance import Importance, smoothed
from bayesgmm.engines._labels import over_labels
from bayesgmm.engines._normal import NormalApproximation
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Approximation, Array, Parameters, Problem

# Degrees of freedom of Student t proposals.
_TAILS = 6.0
# This share of the proposals goes to all hills alike: masses by Laplace's formula may be off.
_EVEN_SHARE = 0.1
# Where Pareto k is below there is no need to look for better proposals.
_FINE = 0.5
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
    overlap : bool
        Whether copies overlap, so that a draw may have the labels of another one.
    importance : Importance
    """

    blend: Blend
    points: Parameters
    log_joint: Array
    counts: Array
    log_q: Array
    overlap: bool
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
    log_q, overlap = averaged(problem, blend, points)
    return Proposals(
        blend=blend,
        points=points,
        log_joint=log_joint,
        counts=counts,
        log_q=log_q,
        overlap=overlap,
        importance=smoothed(log_weights(log_joint, log_q)),
    )


def averaged(problem: Problem, approximation: Approximation, points: Parameters) -> tuple[Array, bool]:
    """Log density averaged over labels, and whether copies overlap."""
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
                return found.log_density, found.n_overlapping > 1
    return own - problem.model.log_symmetries(), False


def best_proposals(
    problem: Problem, found: Sequence[Hill], size: int, rng: np.random.Generator, progress: Progress
) -> Proposals:
    """Weighed draws from whichever has the lowest Pareto k: Normals, Student t, or both reshaped by what they saw."""
    tried: list[Proposals] = []
    for df in (None, _TAILS):
        tried.append(proposed(problem, blend_of(found, df=df, even=_EVEN_SHARE), size, rng, progress))
        if not tried[-1].importance.pareto_k > _FINE:
            return tried[-1]
    best = min(tried, key=_badness)
    return min([*tried, proposed(problem, reshaped(best), size, rng, progress)], key=_badness)


def reshaped(seen: Proposals) -> Blend:
    """Student t with the shares, means and covariances of the weighted draws of each part, beside the parts.

    Those draws are fresh once more, so that weights of draws that shaped their own proposals do not count.
    """
    blend = seen.blend
    own = blend.owners(seen.points) * seen.importance.shares
    parts, sizes = [], []
    for part, mine in zip(blend.parts, own, strict=True):
        total = mine.sum()
        if total > 0:
            assert isinstance(part, NormalApproximation)
            parts.append(part.moved(seen.points, mine / total, _TAILS, _DRAWS_PER_COORDINATE))
            sizes.append(total)
    learnt = 0.9 * np.array(sizes) / np.sum(sizes) + 0.1 / len(sizes)
    return Blend((*parts, *blend.parts), np.concatenate([0.5 * learnt, 0.5 * blend.shares]))


def _badness(proposals: Proposals) -> float:
    return np.nan_to_num(proposals.importance.pareto_k, nan=np.inf)
