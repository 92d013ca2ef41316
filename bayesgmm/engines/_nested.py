"""Maximum likelihood in its order: an optimum is at least as likely as those of the models within its model.

One component less, a covariance that all components share, or one with fewer free entries are special cases of a
mixture, so its likelihood goes at least as high as theirs. Where it is unbounded the best *proper* optimum need not:
from the optimum of the simpler model every way up may lead to a collapsed component. Then the larger model has no
proper optimum that means anything, and that is said instead of reporting a lower one.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bayesgmm._errors import FitError
from bayesgmm._status import Status
from bayesgmm._words import counted
from bayesgmm.data import Data
from bayesgmm.engines._grown import grown
from bayesgmm.engines._moves import splits
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._optima import Optima, Search, best_value, by_rank, sureness_of
from bayesgmm.engines._polish import climbed
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._remedies import advice, no_proper_optimum
from bayesgmm.engines._search import Start
from bayesgmm.engines._sureness import SIMPLER
from bayesgmm.engines.base import Parameters, Problem, StartReport
from bayesgmm.model import Covariances, Diagonal, Flat, Full, GaussianMixture, Spherical, Tied
from bayesgmm.model.covariance_priors import FlatCovariance

# Nats that an optimum may be below that of a simpler model: both were followed to a tolerance.
_SLACK = 1e-3
_BURN_IN = 5
# Searches for the optima of simpler models are quick: each has good starts from models that are simpler still.
_N_INIT, _APPROACHED = 8, 5
# So many components that a covariance which all share has fewer entries than any that they do not.
_MANY = 1000
_IMPROPER = (Status.SINGULAR, Status.TOO_FEW_ROWS, Status.COINCIDING)


@dataclass(frozen=True, kw_only=True)
class Simpler:
    """The best proper optimum of a model, in the data's units, and its log-likelihood; None where none was found.

    `smallest` is the number of rows in its smallest component, infinite where all share one covariance.
    """

    value: float = -np.inf
    at: Parameters | None = None
    smallest: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Nest:
    """Optima of models that hold within each other for one data set, by covariances and number of components.

    A simpler structure may need fewer rows of a component than the one it is compared with. What it reaches with
    components that are too small for that one bounds nothing, so its best optimum without them is known as well.
    """

    data: Data
    known: dict[tuple[Hashable, int], Simpler] = field(default_factory=dict)
    larger: dict[tuple[Hashable, int, int], Simpler] = field(default_factory=dict)

    def best(self, covariances: Covariances, K: int, fewest_rows: int) -> Simpler | None:
        """The best optimum that is known whose components hold more than so many rows."""
        own = self.known.get((covariances, K))
        return own if own is not None and own.smallest > fewest_rows else self.larger.get((covariances, K, fewest_rows))

    def optimum(self, covariances: Covariances, K: int, fewest_rows: int = 0) -> Simpler:
        """The same: known, or looked for, the same whatever has been looked for before."""
        best = self.best(covariances, K, fewest_rows)
        if best is None:
            best = self.larger[covariances, K, fewest_rows] = self._looked_for(covariances, K, fewest_rows)
            if fewest_rows <= covariances.fewest_rows(self.data.n_features):
                self.known[covariances, K] = best
        return best

    def _looked_for(self, covariances: Covariances, K: int, fewest_rows: int) -> Simpler:
        flat = Flat()
        declared = GaussianMixture(K, weights=flat, means=flat, covariances=covariances)
        problem = build_problem(declared, self.data, n_threads=1)
        search = Search(n_init=_N_INIT, n_polish=1, approached=_APPROACHED, rounds=0, hierarchical=False)
        search = replace(search, fewest_rows=fewest_rows)
        rng = np.random.default_rng([zlib.crc32(repr(covariances).encode()), K])
        smaller = self.optimum(covariances, K - 1, fewest_rows) if K > 1 else Simpler()
        starts = _with_one_more(problem, smaller)
        try:
            found = search.run(problem, rng, Progress(False), starts)
        except FitError:
            return Simpler()
        report = found.reports[found.best]
        value = report.end_value - problem.log_volume
        if report.end is None or value < smaller.value - _SLACK:
            return Simpler()
        return Simpler(value=value, at=problem.units.to_data(report.end), smallest=_smallest(problem, report.end))

    def keep(self, problem: Problem, found: Optima) -> None:
        """Know the best optimum of a search as that of its model."""
        report = found.reports[found.best]
        if is_nested(problem) and report.end is not None:
            value, at = report.end_value - problem.log_volume, problem.units.to_data(report.end)
            smallest = _smallest(problem, report.end)
            self.known[problem.declared.covariances, problem.K] = Simpler(value=value, at=at, smallest=smallest)

    def above(self, problem: Problem) -> float:
        """The highest value among the models within this one that are known."""
        within = [problem.declared.covariances, *stricter(problem.declared.covariances)]
        fewest_rows = problem.declared.covariances.fewest_rows(problem.n_features)
        known = [
            self.best(covariances, K, fewest_rows)
            for covariances in within
            for K in range(1, problem.K + 1)
            if covariances != within[0] or K < problem.K
        ]
        return max((each.value for each in known if each is not None), default=-np.inf)


def is_nested(problem: Problem) -> bool:
    """Whether this is maximum likelihood of a model that holds simpler ones."""
    model = problem.model
    covariances = model.covariances
    structure = covariances.structure if isinstance(covariances, Tied) else covariances
    free = model.means.free and not model.means.ordered and isinstance(structure, (Full, Diagonal, Spherical))
    if problem.rows.known is not None:  # fewer components have none for some of the labels
        return False
    return free and len(problem.declared.improper_parts()) == 3 and problem.source is not None


def search_nested(
    problem: Problem,
    search: Search,
    rng: np.random.Generator,
    progress: Progress,
    nest: Nest | None = None,
    given: Sequence[Parameters] = (),
) -> Optima:
    """The optima of `search`; under maximum likelihood none below that of a simpler model.

    Simpler models are looked at where starts collapsed or do not agree, because only there a search can fall short of
    them, or where `nest` knows them already. What is found is kept there.

    Raises
    ------
    FitError
        If no start reached a proper optimum, or only lower ones than that of a simpler model.
    """
    if search.unconstrained or problem.only_start is not None or not is_nested(problem):
        return search.run(problem, rng, progress, given)
    assert problem.source is not None
    nest = nest or Nest(data=problem.source)
    found = search.attempt(problem, rng, progress, given)
    if problem.K > 1 and (_doubtful(found) or best_value(found.reports) - problem.log_volume < nest.above(problem)):
        found = _with_simpler(problem, search, found, nest)
    if not any(report.status.usable for report in found.reports):
        raise FitError(no_proper_optimum(problem, found.reports))
    nest.keep(problem, found)
    return found


def _doubtful(found: Optima) -> bool:
    improper = any(report.status in _IMPROPER for report in found.reports)
    return improper or not sureness_of(found.reports).enough


def _with_simpler(problem: Problem, search: Search, found: Optima, nest: Nest) -> Optima:
    """The same with starts from the optima of simpler models; an error if every way up from there collapses."""
    covariances, K = problem.declared.covariances, problem.K
    objective = Objective(problem, unconstrained=False)
    begin, bound, whose = [], -np.inf, ""
    needed = [(covariances, K - 1), *((each, K) for each in next_stricter(covariances, problem.n_features))]
    fewest_rows = covariances.fewest_rows(problem.n_features)
    known = [(each, K) for each in stricter(covariances) if nest.best(each, K, fewest_rows) and (each, K) not in needed]
    for other, number in (*needed, *known):
        simpler = nest.optimum(other, number, fewest_rows)
        if simpler.at is None:
            continue
        begin += [problem.units.to_standard(simpler.at)] if number == K else _with_one_more(problem, simpler)
        if simpler.value > bound:
            bound, whose = simpler.value, _reach(number) if number < K else f"{_name(other)} covariances reach"
    if nest.above(problem) > bound:
        bound, whose = nest.above(problem), "fewer components or stricter covariances reach"
    how = {"tolerance": search.tolerance, "floor": search.floor(problem), "max_steps": search.max_steps}
    starts = [Start.given(at, SIMPLER) for at in begin]
    reports = [climbed(objective, start, em_steps=_BURN_IN, **how) for start in starts]  # type: ignore[arg-type]
    found = replace(found, reports=sorted([*found.reports, *reports], key=by_rank))
    best = best_value(found.reports) - problem.log_volume
    if not np.isfinite(best):
        raise FitError(no_proper_optimum(problem, found.reports, f" ({whose} {bound:.6g})" if whose else ""))
    if best < bound - _SLACK:
        raise FitError(_below(problem, found.reports, best, bound, whose))
    return found


def _smallest(problem: Problem, at: Parameters) -> float:
    """Rows in the smallest component at an optimum; infinite where all components share a covariance."""
    if problem.model.covariances.tied:
        return np.inf
    return float(np.exp(problem.pooled(at.log_weights)).min() * problem.rows.units())


def _with_one_more(problem: Problem, smaller: Simpler) -> list[Parameters]:
    if smaller.at is None:
        return []
    at = problem.units.to_standard(smaller.at)
    return [*splits(at), *grown(problem, at)]


def stricter(covariances: Covariances) -> Iterator[Covariances]:
    """All structures that are special cases of this one, without priors; the nearest first."""
    tied = isinstance(covariances, Tied)
    structure = covariances.structure if tied else covariances
    if not tied:
        yield Tied(structure)
    order = (Full, Diagonal, Spherical)
    for kind in order[order.index(type(structure)) + 1 :]:
        if not tied:
            yield kind(FlatCovariance())
        yield Tied(kind(FlatCovariance()))


def next_stricter(covariances: Covariances, n_features: int) -> list[Covariances]:
    """Those of them that are special cases of no other one; in one dimension all shapes are the same."""
    tied = isinstance(covariances, Tied)
    structure = covariances.structure if tied else covariances
    out: list[Covariances] = [] if tied else [Tied(structure)]
    if n_features > 1 and not isinstance(structure, Spherical):
        simpler = (Diagonal if isinstance(structure, Full) else Spherical)(FlatCovariance())
        out.append(Tied(simpler) if tied else simpler)
    return out


def strictest_first(covariances: Sequence[Covariances]) -> list[int]:
    """Places of structures in an order in which none comes before a special case of it."""
    return sorted(range(len(covariances)), key=lambda i: covariances[i].n_free(_MANY, 2))


def _name(covariances: Covariances) -> str:
    if isinstance(covariances, Tied):
        structure = type(covariances.structure).__name__.lower()
        return "tied" if structure == "full" else f"tied {structure}"
    return type(covariances).__name__.lower()


def _reach(number: int) -> str:
    return f"{counted(number, 'component')} {'reaches' if number == 1 else 'reach'}"


def _below(problem: Problem, reports: list[StartReport], best: float, bound: float, whose: str) -> str:
    n_improper = sum(report.status in _IMPROPER for report in reports)
    unbounded = any(report.status in (Status.SINGULAR, Status.TOO_FEW_ROWS) for report in reports)
    return (
        f"No start reached a proper optimum above that of a simpler model: the best has a log-likelihood of "
        f"{best:.6g}, while {whose} {bound:.6g}. "
        f"{n_improper} of {len(reports)} starts ended with a collapsed, unsupported or superfluous component. "
        f"{advice(problem, unbounded=unbounded)}"
    )
