"""Evidences of numbers of components from how often a sampler that moves between the numbers visits each.

The telescoping sampler with splits and merges draws the number K of components with everything else. Under a prior of
its own choice on K, tuned so that all numbers are visited, the evidences are as the shares of visits divided by that
prior. The visits are taken with K integrated out given the partition: that depends on the number m of components that
hold rows alone, p(x, m | K) = f(K, m) A(m), with f known and the same A(m) for all K.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from bayesgmm._errors import UnsupportedError
from bayesgmm.engines._enumeration import given_labels_exact, log_joint
from bayesgmm.engines._gibbs_chains import Chains, Trace, compile_ahead
from bayesgmm.engines._gibbs_conditionals import Conditionals, conditionals
from bayesgmm.engines._importance import WORST_PARETO_K, smoothed
from bayesgmm.engines._modes import effective_draws
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._q import prior_of
from bayesgmm.engines.base import Array, Parameters, Problem
from bayesgmm.model import Dirichlet, FixedMeans, UniformComponents
from bayesgmm.model._interfaces import Means

# A number with fewer effective visits has no evidence from them; the run goes on until all have some more.
FEWEST_VISITS, _ENOUGH_VISITS = 200, 250
_CHAINS = 4
# Splits or merges tried in each sweep: of 1, 4 and 10, four give the most effective visits a second.
_TRIES = 4
# Sweeps of a chain: of the first pilot run, of a run whose visits count, and of all of them at most.
_PILOT, _RUN, _MOST = 400, 2_000, 80_000
_BURN_IN = 50
# Pilot runs: at least and at most; they end where no number has less than this share of its part of the visits.
_FEWEST_PILOTS, _MOST_PILOTS, _EVEN = 3, 14, 0.25
# Rows times components times sweeps of all chains, some thirty seconds of one processor; it is not begun where that
# allows fewer sweeps of a chain than the least.
_MOST_WORK, _LEAST_SWEEPS = 1.5e8, 4_000
# The exact evidence of one component is a level even where it is seldom visited; it is not waited for beyond so many
# times the run that the others need.
_PATIENCE = 2.0
# After so many runs it is seen whether there is hope.
_HOPE_FROM = 6
_MOST_COMPONENTS = 30


@dataclass(frozen=True, kw_only=True)
class Visits:
    """Where the sampler was.

    Attributes
    ----------
    occupied : (chains, draws) array of int
        Components that hold rows.
    log_shares : (M, M) array
        Log p(K | m) / p(K), with m along the second axis, up to a constant of m = 1, ..., M.
    log_prior : (M,) array
        Of K = 1, ..., M, as it was tuned.
    number : (chains, draws) array of int
        K.
    changes, occupied_changes : dict of float to (chains, draws) array
        By name: what another prior adds to the log prior density of all means, and of those of components that hold
        rows, at each draw.
    """

    occupied: NDArray[np.int64]
    log_shares: Array
    log_prior: Array
    number: NDArray[np.int64]
    changes: Mapping[float, Array]
    occupied_changes: Mapping[float, Array]

    def effective(self, K: int, name: float | None = None) -> float:
        """How many independent visits those to K are worth, under the own prior of the means or another one.

        None where the draws do not cover what the other prior allows.
        """
        logs = self._log_terms(K, name)
        if not np.isfinite(logs).any():
            return 0.0
        if name is not None and smoothed(logs.ravel()).pareto_k > WORST_PARETO_K:
            return 0.0
        terms = np.exp(logs - logs.max())
        equal = terms.sum() ** 2 / np.square(terms).sum()
        return float(equal * effective_draws(terms) / terms.size)

    def difference(self, K: int, other: int, name: float | None = None) -> tuple[float, float]:
        """Log evidence of K, perhaps under another prior, less that of another number, and its standard error.

        NaN where one of them was never possible.
        """
        if name is None and other == K:
            return 0.0, 0.0
        if not all(np.isfinite(self._log_terms(*each)).any() for each in ((K, name), (other, None))):
            return np.nan, np.nan
        (one, log_one), (two, log_two) = self._relative(K, name), self._relative(other, None)
        both = one - two
        return log_one - log_two, float(both.std() / math.sqrt(effective_draws(both)))

    def mean_change(self, name: float, K: int, *, under_it: bool = False) -> tuple[float, float]:
        """Posterior mean of the change to another prior given K, under the own or under the other prior; its error."""
        there = self.number == K
        values = self.changes[name][there]
        if not values.size or not np.isfinite(values).all():
            return np.nan, np.nan
        shares = np.exp(values - values.max()) if under_it else np.ones(values.size)
        shares /= shares.sum()
        mean = float(shares @ values)
        visits = max(1.0, self.effective(K, name if under_it else None))
        return mean, float(np.sqrt(shares @ np.square(values - mean) / visits))

    def _log_terms(self, K: int, name: float | None) -> Array:
        logs = self.log_shares[K - 1][self.occupied - 1]
        return logs if name is None else logs + self.occupied_changes[name]

    def _relative(self, K: int, name: float | None) -> tuple[Array, float]:
        """Share of K given the partition over its mean, at each draw, and the log of that mean."""
        logs = self._log_terms(K, name)
        terms = np.exp(logs - logs.max())
        mean = float(terms.mean())
        return terms / mean, math.log(mean) + float(logs.max())


def why_not(problem: Problem, most: int) -> str:
    """Why the sampler cannot be used for up to so many components; empty where it can."""
    if problem.rows.whole is None or problem.n_groups is not None:
        return "rows are not exact, or have groups"
    if not isinstance(problem.model.weights, Dirichlet) or isinstance(problem.model.means, FixedMeans):
        return "weights are not Dirichlet, or means are known"
    if len(set(problem.model.keys())) > 1:
        return "the prior tells components apart"
    if most > _MOST_COMPONENTS or _sweeps(problem, most) < _LEAST_SWEEPS:
        return "there are too many rows or components"
    try:
        _conditionals(problem, most)
    except UnsupportedError as error:
        return str(error)
    return ""


def log_evidence_of_one(problem: Problem) -> float:
    """Exact log evidence of one component under the same prior, in standard units; NaN where it has no closed form."""
    one = replace(problem, model=problem.model.of_size(1, problem.n_features))
    if not given_labels_exact(one.model):
        return np.nan
    x = problem.rows.whole
    assert x is not None
    return log_joint(prior_of(one.model, problem.n_features), x, np.zeros(x.shape[1], dtype=np.intp), 1)


def visited(
    problem: Problem,
    most: int,
    first: Array,
    rng: np.random.Generator,
    progress: Progress,
    *,
    others: Mapping[float, Means] | None = None,
    cores: int = 1,
) -> Visits:
    """Visit all numbers of components from 1 to `most`.

    Parameters
    ----------
    problem : Problem
        With any number of components; `why_not` has nothing against it.
    most : int
    first : (most,) array
        What is known of the log evidences, NaN where nothing is: good values save pilot runs, bad ones cost some.
    rng : numpy.random.Generator
    progress : Progress
    others : dict of float to Means, optional
        Other priors of the means, to be compared with at the draws.
    cores : int
        Chains at the same time; nothing else depends on it.
    """
    sampler = _Sampler(problem, most, rng, progress, cores)
    log_prior = -_completed(first)
    pilots: list[tuple[Array, Array]] = []
    length = _PILOT
    for pilot in range(_MOST_PILOTS):
        traces = sampler.run(log_prior, length)
        pilots.append((_counts(traces, most), sampler.log_prior_of_occupied(log_prior)))
        shares = np.bincount(np.concatenate([trace.number for trace in traces]), minlength=most + 1)[1:]
        # Later pilots know better, and the first have not arrived yet.
        log_prior = -sampler.log_evidences(pilots[pilot // 2 :])
        if pilot + 1 >= _FEWEST_PILOTS and shares.min() * most > _EVEN * shares.sum():
            break
        length += _PILOT // 4
    log_prior = log_prior - np.logaddexp.reduce(log_prior)
    log_shares = sampler.log_f - sampler.log_prior_of_occupied(log_prior)
    runs = max(2, min(_MOST, _sweeps(problem, most)) // _RUN)
    parts: list[dict[str, Array]] = []
    own = {name: (f"all {name}", f"occupied {name}", means) for name, means in (others or {}).items()}
    others_have_enough, done, found = 0, 0, None
    while done < runs:
        # Each look at what there is takes as long as all draws so far are many: fewer looks, the longer it takes.
        for _ in range(max(1, done // 4)):
            parts.append(_kept(problem, sampler.run(log_prior, _RUN), own))
            done += 1
        joined = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
        found = Visits(
            occupied=joined["occupied"].astype(np.int64),
            number=joined["number"].astype(np.int64),
            log_shares=log_shares,
            log_prior=log_prior,
            changes={name: joined[each] for name, (each, _, _) in own.items()},
            occupied_changes={name: joined[each] for name, (_, each, _) in own.items()},
        )
        progress.step("visits", done, runs)
        lacking = {K: each for K in range(1, most + 1) if (each := found.effective(K)) < _ENOUGH_VISITS}
        if not lacking.keys() - {1}:
            others_have_enough = others_have_enough or done
            if not lacking or done >= _PATIENCE * others_have_enough:
                break
        # Where none of those that lack visits would have enough of them at the end, it need not be waited for.
        if done >= _HOPE_FROM and all(each * runs < FEWEST_VISITS * done for each in lacking.values()):
            break
    assert found is not None
    return found


class _Sampler:
    """Chains that go on where they were, under one prior on the number of components after the other."""

    def __init__(self, problem: Problem, most: int, rng: np.random.Generator, progress: Progress, cores: int) -> None:
        x = problem.rows.whole
        assert x is not None
        self._x, self._rng, self._progress, self._cores, self.most = np.ascontiguousarray(x), rng, progress, cores, most
        self._model = _conditionals(problem, most)
        self._wait = compile_ahead(self._model)
        d = problem.n_features
        fixed = problem.model.covariances.draw(np.random.default_rng(0), 1, 1, d)
        own = problem.data_cholesky if problem.model.covariances.free else np.linalg.cholesky(fixed[0, 0])
        start = Parameters(log_weights=np.zeros(1), means=x.mean(axis=1)[None], choleskys=own[None])
        self._starts = [start] * _CHAINS
        self.log_f = _log_f(most, x.shape[1], float(self._model.concentration[0]))

    def run(self, log_prior: Array, sweeps: int) -> list[Trace]:
        of_numbers = np.concatenate([[-np.inf], log_prior - np.logaddexp.reduce(log_prior)])
        chains = Chains(
            replace(self._model, log_prior=of_numbers),
            self._x,
            self._starts,
            [int(seed) for seed in self._rng.integers(2**63, size=_CHAINS)],
            thin=1,
            cores=self._cores,
            progress=Progress(False),
            wait_for_compiled=self._wait,
        )
        chains.run(sweeps, burn_in=_BURN_IN)
        if chains.interrupted:
            raise KeyboardInterrupt
        there = [trace for trace in chains.traces() if trace is not None]
        self._starts = [_last(trace) for trace in there]
        return there

    def log_prior_of_occupied(self, log_prior: Array) -> Array:
        """Log of the sum of p(K) f(K, m) over K, for m = 1, ..., M."""
        normalised = log_prior - np.logaddexp.reduce(log_prior)
        return np.logaddexp.reduce(normalised[:, None] + self.log_f, axis=0)

    def log_evidences(self, pilots: list[tuple[Array, Array]]) -> Array:
        """Log evidences from visits under several priors together (the weighted histograms of Ferrenberg & Swendsen).

        A number of occupied components that was never seen counts as half a visit.
        """
        counts, log_g = np.array([c for c, _ in pilots]), np.array([g for _, g in pilots])
        log_total = np.log(counts.sum(axis=0) + 0.5)
        log_sizes = np.log(counts.sum(axis=1))
        log_a = log_total - np.logaddexp.reduce(log_sizes[:, None] + log_g, axis=0)
        for _ in range(_HISTOGRAM_STEPS):
            log_z = np.logaddexp.reduce(log_g + log_a, axis=1)
            moved = log_total - np.logaddexp.reduce((log_sizes - log_z)[:, None] + log_g, axis=0)
            moved -= moved.max()
            if np.abs(moved - log_a).max() < _STEADY:
                break
            log_a = moved
        return np.logaddexp.reduce(self.log_f + log_a, axis=1)


_HISTOGRAM_STEPS, _STEADY = 2_000, 1e-3


def _conditionals(problem: Problem, most: int) -> Conditionals:
    return conditionals(problem.model, problem.n_features, UniformComponents(most), most, _TRIES)


def _sweeps(problem: Problem, most: int) -> int:
    """How many sweeps of each chain are worth their time: at most so many components are there half of the time."""
    return int(_MOST_WORK / (_CHAINS * problem.n_obs * 0.5 * (1 + most)))


def _log_f(most: int, n: int, concentration: float) -> Array:
    """Log f(K, m) (M, M), for K along the first axis: K! / (K - m)! times the Dirichlet's constants."""
    K, m = np.arange(1, most + 1)[:, None], np.arange(1, most + 1)
    of_labels = gammaln(K + 1.0) - gammaln(np.maximum(K - m, 0) + 1.0)
    return np.where(m <= K, of_labels + gammaln(K * concentration) - gammaln(n + K * concentration), -np.inf)


def _completed(first: Array) -> Array:
    """Unknown values from their known neighbours, and zeros where nothing is known."""
    known = np.flatnonzero(np.isfinite(first))
    return np.interp(np.arange(first.size), known, first[known]) if known.size else np.zeros(first.size)


def _counts(traces: list[Trace], most: int) -> Array:
    return np.bincount(np.concatenate([trace.occupied for trace in traces]), minlength=most + 1)[1:].astype(float)


def _last(trace: Trace) -> Parameters:
    K = int(trace.number[-1])
    return Parameters(log_weights=trace.log_weights[-K:], means=trace.means[-K:], choleskys=trace.choleskys[-K:])


def _kept(
    problem: Problem, traces: list[Trace], others: Mapping[float, tuple[str, str, Means]]
) -> dict[str, NDArray[np.float64]]:
    """What is kept of chains (chains, draws): numbers, and what other priors of the means add to the log density."""
    own = problem.model.means.cut(1)
    assert own is not None
    out: dict[str, list[NDArray[Any]]] = {}
    for trace in traces:
        out.setdefault("occupied", []).append(trace.occupied)
        out.setdefault("number", []).append(trace.number)
        begins = np.concatenate([[0], np.cumsum(trace.number)[:-1]])
        at = trace.means[:, None], trace.choleskys[:, None]
        for every, with_rows, means in others.values():
            other = means.cut(1)
            assert other is not None
            each = other.log_densities(*at) - own.log_densities(*at)
            out.setdefault(every, []).append(np.add.reduceat(each, begins))
            out.setdefault(with_rows, []).append(np.add.reduceat(np.where(trace.counts > 0, each, 0.0), begins))
    return {name: np.stack(columns).astype(float) for name, columns in out.items()}
