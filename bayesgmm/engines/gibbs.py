"""The posterior by Gibbs sampling, for a known or an unknown number of components."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from bayesgmm._errors import FitError, InputError, UnsupportedError
from bayesgmm.engines._cost import gibbs_seconds
from bayesgmm.engines._gibbs_chains import Chains, Trace, compile_ahead
from bayesgmm.engines._gibbs_conditionals import Conditionals, conditionals
from bayesgmm.engines._gibbs_number import hyperparameters, together, unknown_number, unmixed_numbers
from bayesgmm.engines._mixing import how_ended, unmixed
from bayesgmm.engines._normal import log_priors
from bayesgmm.engines._objective import at_mode
from bayesgmm.engines._optima import Search
from bayesgmm.engines._options import check_proper, check_whole
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._samples import Sample, as_draws, end_of, origins, sorted_out, trimmed
from bayesgmm.engines.base import Engine, Outcome, Problem
from bayesgmm.model import FilledMixture, SparseDirichlet
from bayesgmm.numerics.threads import n_processors

# With an unknown number of components chains start at so many, if there are enough rows for them.
_FIRST_NUMBER = 10
_ROWS_EACH = 4
# Of each chain.
_FEWEST_DRAWS = 10
# Chains go on to so many times the sweeps asked for, and to so much work (rows by components by features).
_TIMES, _MOST_WORK = 16, 1e10


@dataclass(frozen=True, kw_only=True)
class Gibbs(Engine):
    """The posterior by Gibbs sampling of labels and parameters, also of the number of components.

    A sweep draws all labels given the parameters, then the parameters given the labels. It takes declarations whose
    parts have conditionals of a known form: Dirichlet, sparse, stick-breaking or known weights; conjugate, Normal or
    known means; inverse-Wishart (inverse-gamma) covariances of every structure, also with a scale matrix that is
    learnt (`HierarchicalInverseWishart`), or known ones.

    With a prior on the number of components, ``GaussianMixture(1 + BetaNegativeBinomial(1, 4, 3))``, it is the
    telescoping sampler of Fruehwirth-Schnatter, Malsiner-Walli & Gruen (2021); `component_posterior` then has the
    posterior of the number K and of the number K+ of components that hold rows. ``posterior`` are the draws with the
    most frequent K+, their occupied components alone, labelled in the point-process representation; ``all_draws`` are
    all. `SparseDirichlet` weights of a known number of components are treated in the same way. In both cases a sweep
    also tries to split or merge components, by the scheme of Jain & Neal (2004).

    Parameters
    ----------
    sweeps : int
        Sweeps of each chain after burn-in, to begin with. Where the chains have not mixed by then (R-hat and effective
        draws of the log density, of log densities at some rows and, where they are not known, of K and K+) they go on:
        as many sweeps again each time, up to `max_sweeps`.
    burn_in : int
        Sweeps before them, which are thrown away. When chains go on, a quarter of those so far is thrown away as well,
        so that at the end it is at least an eighth of all.
    chains : int
    thin : int
        Every so many sweeps one is kept: neighbours are much alike, and relabelling a draw takes longer than a sweep.
        When chains go on, it is doubled where there would be more than twice the draws asked for.
    cores : int, optional
        Chains that run at the same time; all processors if left out. Draws do not depend on it.
    most_components : int
        Priors on the number of components are cut off there.
    splits : int
        How often a sweep tries to split a component in two or to merge two, for any means and covariances, where the
        number of components that hold rows is not known: with a prior on the number, or `SparseDirichlet` weights.
        Elsewhere, and with `FixedMeans`, it is ignored: no component is empty for long, or they are not alike.
    n_init : int
        Starts of the search for the optima where chains begin, as in `EM`.
    max_sweeps : int, optional
        Chains go no further. If left out, 16 times `sweeps`, fewer where rows are so many that this would take many
        minutes: rows x components x chains x sweeps x (features + 2) / 4 is at most 1e10. Give `sweeps` itself for
        chains that never go on. The result's attribute ``sweeps`` says how many there were.
    """

    sweeps: int = 4000
    burn_in: int = 500
    chains: int = 4
    thin: int = 4
    cores: int | None = None
    most_components: int = 100
    splits: int = 1
    n_init: int = 8
    max_sweeps: int | None = None

    name: ClassVar[str] = "Gibbs"
    objective_name: ClassVar[str] = "log_posterior"

    def __post_init__(self) -> None:
        least = {"sweeps": 4, "burn_in": 0, "chains": 1, "thin": 1, "most_components": 2, "splits": 0, "n_init": 1}
        for option, smallest in least.items():
            check_whole(self, option, least=smallest)
        if self.cores is not None:
            check_whole(self, "cores", least=1)
        if self.sweeps // self.thin < _FEWEST_DRAWS:
            hint = f"Give at least {_FEWEST_DRAWS} times thin = {self.thin}"
            raise InputError("Gibbs.sweeps", f"got {self.sweeps}", hint)
        if self.max_sweeps is not None:
            check_whole(self, "max_sweeps", least=1)
            if self.max_sweeps < self.sweeps:
                hint = f"Give at least sweeps = {self.sweeps}, or leave it out"
                raise InputError("Gibbs.max_sweeps", f"got {self.max_sweeps}", hint)

    def check(self, model: FilledMixture, n_features: int) -> None:
        check_proper("Gibbs", model, ", or use EM for maximum likelihood.")
        conditionals(model, n_features, None, model.n_components)

    def run(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> Outcome:
        x = problem.rows.whole
        if x is None:
            what = "missing values, counts, errors, bins, groups or known labels"
            raise UnsupportedError("Gibbs", what, "Use NUTS, Laplace or VB, or give whole rows.")
        model = conditionals(problem.model, problem.n_features, problem.number, self.most_components, self.splits)
        several = problem.number is not None or isinstance(problem.model.weights, SparseDirichlet)
        if several and len(set(problem.model.keys())) > 1:
            what = "SparseDirichlet weights and components that the prior tells apart"
            raise UnsupportedError("Gibbs", what, "Use means that are alike for all components.")
        wait_for_compiled = compile_ahead(model)
        plain = _plain(problem)
        quick: dict[str, Any] = {"n_polish": 2, "approached": 2, "rounds": 0 if several else 1}
        search = Search(n_init=self.n_init, unconstrained=True, supported=False, **quick)
        found = search.run(plain, rng, progress)
        begun = origins(plain, found.reports, found.best, self.chains)
        seeds = [int(seed) for seed in rng.integers(2**63, size=self.chains)]
        chains = Chains(
            model,
            np.ascontiguousarray(x),
            [end_of(found.reports[origin]) for origin in begun],
            seeds,
            thin=self.thin,
            cores=self.cores or n_processors(),
            progress=progress,
            wait_for_compiled=wait_for_compiled,
        )
        chains.run(self.sweeps // self.thin * self.thin, burn_in=self.burn_in)
        judge = partial(_NumberUnknown, problem) if several else partial(_NumberKnown, problem, model, begun)
        judged = judge(chains)
        while judged.goes_on and chains.go_on(self._most_sweeps(problem, chains)):
            judged = judge(chains)
        mode = found.reports[found.best]
        objective, shift = at_mode(plain, end_of(mode), mode.end_value, True)
        status, message = how_ended(
            judged.failed,
            several_modes=judged.several_modes,
            # Where nothing is left to do, whoever puts the draws in order says that Ctrl-C came.
            interrupted=chains.interrupted or (judged.goes_on and progress.interrupts.noted),
            length=f"{chains.sweeps} sweeps of each chain",
            remedy="Raise `max_sweeps`, and look at `diagnose`",
        )
        outcome = Outcome(
            point=problem.units.to_data(end_of(mode)),
            status=status,
            starts=[entry.in_data_units(plain, shift) for entry in found.reports],
            best_start=found.best,
            objective=objective,
            notes={
                "density": "unconstrained",
                "screening_passes": found.screening_passes,
                "search_rows": found.search_rows,
                "predictive_family": "draws",
                "sweeps": chains.sweeps,
                "burn_in": chains.burn_in,
                "thin": chains.thin,
            },
            message=message,
        )
        return judged.outcome(model, outcome)

    def seconds(self, problem: Problem) -> float:
        """Processor seconds that the sweeps asked for take, roughly, of a known number of components."""
        return gibbs_seconds(problem, self.chains * (self.sweeps + self.burn_in))

    def _most_sweeps(self, problem: Problem, chains: Chains) -> int:
        """How far chains may go."""
        if self.max_sweeps is not None:
            return self.max_sweeps
        a_sweep = problem.n_obs * chains.components * self.chains * (problem.n_features + 2) / 4
        return max(self.sweeps, min(_TIMES * self.sweeps, int(_MOST_WORK / a_sweep)))


class _NumberKnown:
    """Chains of one number of components, judged."""

    def __init__(self, problem: Problem, model: Conditionals, begun: list[int], chains: Chains) -> None:
        samples = []
        for i, trace in enumerate(chains.traces()):
            if trace is None:
                continue
            counts, points = trace.padded(problem.K)
            lp = trace.log_likelihood
            if not problem.model.only_by_gibbs():
                lp = lp + log_priors(problem, points)
            statistics = {"lp": lp, **hyperparameters(problem, model, [trace])}
            samples.append(Sample(chain=i, start=begun[i], points=points, statistics=statistics, counts=counts))
        self._problem = problem
        self._sampling, self._kept, self.several_modes = sorted_out(problem, trimmed(samples))
        self.failed = unmixed(self._sampling.statistics["lp"], self._sampling.invariants)

    @property
    def goes_on(self) -> bool:
        return bool(self.failed) or self.several_modes

    def outcome(self, model: Conditionals, outcome: Outcome) -> Outcome:
        return replace(
            outcome,
            draws=as_draws(self._problem, self._kept),
            sampling=self._sampling,
            notes=outcome.notes | {"n_chains": len(self._kept)},
        )


class _NumberUnknown:
    """Chains of several numbers of components that hold rows, judged."""

    several_modes = False

    def __init__(self, problem: Problem, chains: Chains) -> None:
        self._problem, self._traces = problem, _equal([trace for trace in chains.traces() if trace is not None])
        self._every = together(problem, self._traces)
        self.failed = unmixed_numbers(problem, self._every, (len(self._traces), len(self._traces[0])))

    @property
    def goes_on(self) -> bool:
        return bool(self.failed)

    def outcome(self, model: Conditionals, outcome: Outcome) -> Outcome:
        return unknown_number(self._problem, model, self._traces, self._every, outcome)


def _plain(problem: Problem) -> Problem:
    """What the search for starts looks at: a number of components, and hyperparameters held."""
    model, declared, d = problem.model, problem.declared, problem.n_features
    if problem.number is not None:
        K = max(1, min(_FIRST_NUMBER, problem.n_obs // (_ROWS_EACH * model.covariances.fewest_rows(d))))
        model, declared = model.of_size(K, d), declared.of_size(K, d)
    return replace(problem, model=model.plain(), declared=declared.plain(), number=None)


def _equal(traces: list[Trace]) -> list[Trace]:
    """Chains of equal length: as many draws as possible where an interruption left them unequal."""
    lengths = sorted((len(trace) for trace in traces), reverse=True)
    most = max(range(len(lengths)), key=lambda i: (i + 1) * lengths[i], default=None)
    if most is None or lengths[most] < _FEWEST_DRAWS:
        raise FitError(
            "The sampler was interrupted before a chain had drawn anything after burn-in, so nothing was kept. Let it "
            "run longer, or give fewer sweeps."
        )
    return [trace.first(lengths[most]) for trace in traces if len(trace) >= lengths[most]]
