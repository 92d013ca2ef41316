"""What a likelihood-ratio test does to one data set, observed or simulated: fit both hypotheses, and simulate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import FitError
from bayesgmm.data import Data
from bayesgmm.engines._moves import splits
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._optima import Search
from bayesgmm.engines._polish import exact_steps
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._search import short_run, short_runs
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.inference.simulation import draw_labels, imitated, measured
from bayesgmm.model import GaussianMixture
from bayesgmm.numerics.sinh_arcsinh import SinhArcsinh, fit_sinh_arcsinh

_SHORT_STEPS = 5
# Where no start reached a proper optimum there are so many times as many, and so many more are followed.
_SECOND_TRY = 6
# Nats that one EM step gains at most where EM has arrived.
_STANDS_STILL = 1e-9


@dataclass(frozen=True, kw_only=True)
class Hypotheses:
    """The two declarations, and how hard optima are looked for.

    With `skewed` the null is one population that is normal after a sinh-arcsinh transform.
    """

    null: GaussianMixture
    alternative: GaussianMixture
    skewed: bool
    n_init: int
    n_polish: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Log-likelihoods of one data set under both hypotheses, and the null's optimum in the data's units."""

    null: float
    alternative: float
    at: Parameters | SinhArcsinh
    # Whether the alternative has an optimum of its own; otherwise its likelihood is that of K components.
    found: bool

    @property
    def statistic(self) -> float:
        """Twice the log of the likelihood ratio."""
        return 2.0 * (self.alternative - self.null)


def compare(hypotheses: Hypotheses, data: Data, rng: np.random.Generator) -> Compared:
    """Fit both hypotheses.

    Two halves of one component are among K + 1 components and as likely as the component. Without priors that is the
    least that the alternative reaches, also where every start ends with a collapsed component.

    Raises
    ------
    FitError
        If one of them has no proper optimum that was found.
    """
    if hypotheses.skewed:
        return _against_skewed(hypotheses, data, rng)
    null = build_problem(hypotheses.null, data, n_threads=1)
    end = _optimum(hypotheses, null, rng)
    at, value = null.units.to_data(end), _log_likelihood(null, end)
    alternative = build_problem(hypotheses.alternative, data, n_threads=1)
    best, found = _with_one_more(hypotheses, alternative, alternative.units.to_standard(at), value, rng)
    return Compared(null=value, alternative=best, at=at, found=found)


def _against_skewed(hypotheses: Hypotheses, data: Data, rng: np.random.Generator) -> Compared:
    member, value = fit_sinh_arcsinh(data.values[:, 0])
    one = build_problem(hypotheses.null, data, n_threads=1)
    two = build_problem(hypotheses.alternative, data, n_threads=1)
    end = _optimum(hypotheses, one, rng)
    smaller = two.units.to_standard(one.units.to_data(end))
    best, found = _with_one_more(hypotheses, two, smaller, _log_likelihood(one, end), rng)
    return Compared(null=value, alternative=best, at=member, found=found)


def _with_one_more(
    hypotheses: Hypotheses, problem: Problem, smaller: Parameters, least: float, rng: np.random.Generator
) -> tuple[float, bool]:
    """Log-likelihood of the optimum with one component more than `smaller`, and whether there is one.

    Without priors it is at least that of the smaller one.
    """
    free = len(problem.declared.improper_parts()) == 3
    try:
        value = _log_likelihood(problem, _optimum(hypotheses, problem, rng, smaller))
    except FitError:
        if not free:
            raise
        return least, False
    return (max(value, least) if free else value), True


def _optimum(
    hypotheses: Hypotheses, problem: Problem, rng: np.random.Generator, smaller: Parameters | None = None
) -> Parameters:
    """The best proper optimum that a quick search finds, also from a `smaller` optimum with a component split."""
    quick = Search(
        n_init=hypotheses.n_init,
        short_steps=_SHORT_STEPS,
        n_polish=hypotheses.n_polish,
        approached=1,
        rounds=0,
        hierarchical=False,
    )
    quiet = Progress(False)
    if problem.K == 1:
        quick = replace(quick, n_init=1, n_polish=1)
        objective = Objective(problem, unconstrained=False)
        floor = quick.eigenvalue_floor
        first = short_runs(objective, n_init=1, short_steps=1, floor=floor, rng=rng, progress=quiet)[0]
        second = short_run(objective, first.at, first.method, 1, floor)
        if exact_steps(objective) and 0 <= second.value - first.value < _STANDS_STILL:
            return second.at
    given = [] if smaller is None or not _splittable(problem) else splits(smaller)
    try:
        found = quick.run(problem, rng, quiet, given)
    except FitError:
        if smaller is not None and len(problem.declared.improper_parts()) == 3:
            raise  # collapsing is what it mostly does then, and the smaller optimum is there to fall back on
        more = replace(quick, n_init=_SECOND_TRY * quick.n_init, n_polish=_SECOND_TRY, short_steps=2 * _SHORT_STEPS)
        found = more.run(problem, rng, quiet, given)
    end = found.reports[found.best].end
    assert end is not None
    return end


def _splittable(problem: Problem) -> bool:
    """Whether components may be anywhere and of any size, so that one can be split."""
    covariances = problem.model.covariances
    return problem.model.means.free and not problem.model.means.ordered and not covariances.linked


def _log_likelihood(problem: Problem, at: Parameters) -> float:
    return float(problem.statistics(at).log_normaliser - problem.log_volume)


def simulated(at: Parameters | SinhArcsinh, like: Data, rng: np.random.Generator) -> Data:
    """Rows from the null's optimum, observed as `like` was: errors, missing entries, bins, counts and groups."""
    if isinstance(at, SinhArcsinh):
        return replace(like, values=at.draw(rng, like.n_obs)[:, None])
    n = like.n_obs if like.counts is None else round(float(like.counts.sum()))
    rows = imitated(like, n)
    groups = None if like.groups is None else np.searchsorted(like.group_labels, like.groups)[rows]
    labels = draw_labels(np.exp(at.log_weights), n, groups, rng)
    z = rng.standard_normal((n, at.means.shape[1], 1))
    x = at.means[labels] + (at.choleskys[labels] @ z)[..., 0]
    values = measured(x, like, float(np.exp(at.log_noise)), rng)
    if like.bins is not None:
        return replace(like, counts=_counted(values[:, 0], like, rows))
    parts = {name: getattr(like, name) for name in ("noise", "groups")}
    own = {name: None if part is None else part[rows] for name, part in parts.items()}
    return replace(like, values=values, counts=None, obs_names=None, **own)


def _counted(centres: NDArray[np.float64], like: Data, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """How many units fell into each bin, from the centres (n,) of their bins; NaN fell into none."""
    groups = np.zeros(like.n_obs) if like.groups is None else like.groups
    counts = np.zeros(like.n_obs)
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        inside = centres[(groups[rows] == group) & ~np.isnan(centres)]
        counts[own] = np.bincount(np.searchsorted(like.values[own, 0], inside), minlength=own.size)
    return counts
