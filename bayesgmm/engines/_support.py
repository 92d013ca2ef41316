"""How much better the rows are described by K components than by one less."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from bayesgmm.engines._moves import merged, overlaps
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._search import sample, short_run
from bayesgmm.engines.base import Parameters, Problem

# So many pairs of components are tried as one, those that overlap most, each for so many steps of EM.
_MOST_PAIRS, _STEPS = 6, 30
_FLOOR = 1e-12


def gain_of_last(problem: Problem, at: Parameters) -> tuple[float, int] | None:
    """Nats by which K components describe the rows better than one less, and how many more numbers that takes.

    The K components are those at a point in standard units. Two of them are joined into one, which EM then improves.
    That is the best of K - 1 components that lies near, so the gain is an upper limit. None where components are not
    alike under the prior, or hang together.
    """
    K, model = problem.K, problem.model
    smaller = model.cut(K - 1) if K > 1 and len(set(model.keys())) == 1 and problem.number is None else None
    if smaller is None or not model.means.free or model.means.ordered or model.covariances.linked:
        return None
    one_less = replace(problem, model=smaller)
    free = problem.n_parameters - one_less.n_parameters
    part = sample(problem, np.random.default_rng(0))
    gain = _gain(part, replace(part, model=smaller), at)
    if part is not problem and gain < free:
        gain = _gain(problem, one_less, at)
    return gain, free


def _gain(problem: Problem, one_less: Problem, at: Parameters) -> float:
    statistics = problem.statistics(at)
    closeness = overlaps(at)
    pairs = sorted(combinations(range(problem.K), 2), key=lambda pair: -closeness[pair])[:_MOST_PAIRS]
    best = -np.inf
    for i, j in pairs:
        kept = np.delete(np.arange(problem.K), j)
        joined = merged(at, statistics.counts, i, j).reordered(kept)
        run = short_run(Objective(one_less, unconstrained=True), joined, "joined", _STEPS, _FLOOR)
        assert run.statistics is not None
        best = max(best, run.statistics.log_normaliser)
    return statistics.log_normaliser - best
