"""The posterior by Gibbs sampling, for a known or an unknown number of components."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bayesgmm._errors import FitError, InputError, UnsupportedError
from bayesgmm.engines._gibbs_chains import Trace, compile_ahead, run_chains
from bayesgmm.engines._gibbs_conditionals import Conditionals, conditionals
from bayesgmm.engines._gibbs_number import hyperparameters, unknown_number
from bayesgmm.engines._normal import log_priors
from bayesgmm.engines._objective import at_mode
from bayesgmm.engines._optima import Search
from bayesgmm.engines._options import check_proper, check_whole
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._samples import Sample, as_draws, end_of, ended, origins, sorted_out, trimmed
from bayesgmm.engines.base import Engine, Outcome, Problem
from bayesgmm.model import FilledMixture, SparseDirichlet

# With an unknown number of components chains start at so many, if there are enough rows for them.
_FIRST_NUMBER = 10
_ROWS_EACH = 4
# Of each chain.
_FEWEST_DRAWS = 10


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
        Sweeps of each chain after burn-in.
    burn_in : int
        Sweeps before them, which are thrown away.
    chains : int
    thin : int
        Every so many sweeps one is kept: neighbours are much alike, and relabelling a draw takes longer than a sweep.
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
    """

    sweeps: int = 4000
    burn_in: int = 500
    chains: int = 4
    thin: int = 4
    cores: int | None = None
    most_components: int = 100
    splits: int = 1
    n_init: int = 8

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

    def check(self, model: FilledMixture, n_features: int) -> None:
        check_proper("Gibbs", model, ", or use EM for maximum likelihood.")
        conditionals(model, n_features, None, model.n_components)

    def run(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> Outcome:
        x = problem.rows.whole
        if x is None:
            what = "missing values, counts, errors, bins or groups"
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
        traces, interrupted = run_chains(
            model,
            np.ascontiguousarray(x),
            [end_of(found.reports[origin]) for origin in begun],
            seeds,
            sweeps=self.sweeps // self.thin * self.thin,
            burn_in=self.burn_in,
            thin=self.thin,
            cores=self.cores or os.cpu_count() or 1,
            progress=progress,
            wait_for_compiled=wait_for_compiled,
        )
        mode = found.reports[found.best]
        objective, shift = at_mode(plain, end_of(mode), mode.end_value, True)
        outcome = Outcome(
            point=problem.units.to_data(end_of(mode)),
            status=mode.status,
            starts=[entry.in_data_units(plain, shift) for entry in found.reports],
            best_start=found.best,
            objective=objective,
            notes={
                "density": "unconstrained",
                "screening_passes": found.screening_passes,
                "search_rows": found.search_rows,
                "predictive_family": "draws",
            },
        )
        if several:
            return unknown_number(problem, model, _equal([t for t in traces if t is not None]), interrupted, outcome)
        return _known_number(problem, model, traces, begun, interrupted, outcome)


def _plain(problem: Problem) -> Problem:
    """What the search for starts looks at: a number of components, and hyperparameters held."""
    model, declared, d = problem.model, problem.declared, problem.n_features
    if problem.number is not None:
        K = max(1, min(_FIRST_NUMBER, problem.n_obs // (_ROWS_EACH * (d + 1))))
        model, declared = model.of_size(K, d), declared.of_size(K, d)
    return replace(problem, model=model.plain(), declared=declared.plain(), number=None)


def _equal(traces: list[Trace]) -> list[Trace]:
    """Chains cut to one length, as an interruption may leave them unequal."""
    if not traces:
        raise FitError("The sampler was interrupted before a chain had drawn anything after burn-in; nothing was kept.")
    shortest = min(len(trace) for trace in traces)
    return [trace.first(shortest) for trace in traces]


def _known_number(
    problem: Problem,
    model: Conditionals,
    traces: list[Trace | None],
    begun: list[int],
    interrupted: bool,
    outcome: Outcome,
) -> Outcome:
    samples = []
    for i, trace in enumerate(traces):
        if trace is None:
            continue
        counts, points = trace.padded(problem.K)
        lp = trace.log_likelihood
        if not problem.model.only_by_gibbs():
            lp = lp + log_priors(problem, points)
        statistics = {"lp": lp, **hyperparameters(problem, model, [trace])}
        samples.append(Sample(chain=i, start=begun[i], points=points, statistics=statistics, counts=counts))
    sampling, kept, several_modes = sorted_out(problem, trimmed(samples))
    return replace(
        outcome,
        status=ended(sampling, several_modes, interrupted),
        draws=as_draws(problem, kept),
        sampling=sampling,
        notes=outcome.notes | {"n_chains": len(kept)},
    )
