"""Which engine `fit` takes when none is named: the one whose intervals hold at a cost that the data allow."""

from __future__ import annotations

import numpy as np

from bayesgmm._errors import FitError, UnsupportedError
from bayesgmm._status import Status
from bayesgmm.engines._importance import WORST_PARETO_K
from bayesgmm.engines._native_density import why_not_native
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Engine, Outcome, Problem
from bayesgmm.engines.em import EM
from bayesgmm.engines.gibbs import Gibbs
from bayesgmm.engines.laplace import Laplace
from bayesgmm.engines.nuts import NUTS

# What the default samples with. Draws of each chain are those that it begins with; the search need not find the best
# optimum, only places for chains to begin.
_SAMPLER = NUTS(draws=500, n_init=16, n_polish=3)
# Processor seconds up to which sampling comes first; up to which Gibbs then goes on; and up to which NUTS comes where
# Laplace's check fails.
_AT_ONCE, _GOES_ON, _IF_NEED_BE = 10.0, 30.0, 60.0
# Gibbs goes on to so many times its sweeps at most, as by itself. It comes first where it is so many times cheaper:
# where groups overlap it mixes more slowly than NUTS.
_MOST_TIMES, _TIMES_CHEAPER = 16, 4.0


def run_default(problem: Problem, rng: np.random.Generator, progress: Progress) -> tuple[Engine, str, Outcome]:
    """Fit, and say by which engine and why in a sentence or two.

    Raises
    ------
    FitError
        If no engine that takes the declaration finds a proper optimum.
    """
    engine, reason = choose_engine(problem)
    if isinstance(engine, Gibbs):
        outcome = engine.run(problem, rng, progress)
        # Where nothing else takes the declaration it was no choice, and a way out there is none.
        chosen = problem.number is None and not problem.declared.only_by_gibbs()
        if not chosen or outcome.status in (Status.SAMPLED, Status.INTERRUPTED):
            return engine, reason, outcome
        engine, reason = choose_engine(problem, with_gibbs=False)
        reason = f"Gibbs did not mix in {outcome.notes['sweeps']} sweeps. {reason}"
    if not isinstance(engine, Laplace):
        return engine, reason, engine.run(problem, rng, progress)
    outcome, why = None, ""
    try:
        outcome = engine.run(problem, rng, progress)
        k = float(outcome.notes["pareto_k"])
        if k <= WORST_PARETO_K:
            return engine, f"{reason} Its importance weights say that its intervals hold (Pareto k {k:.2f}).", outcome
        why = f"Laplace's importance weights say that its intervals may not hold (Pareto k {k:.2f})"
    except FitError as error:
        why = str(error).rstrip(".")
    seconds = _SAMPLER.seconds(problem)
    otherwise = f"NUTS would take about {seconds:.0f} s of a processor"
    if seconds <= _IF_NEED_BE:
        return _SAMPLER, f"{why}, so the posterior was sampled.", _SAMPLER.run(problem, rng, progress)
    if outcome is None:
        raise FitError(f"{why}. {otherwise}.")
    return engine, f"{reason} {why}; {otherwise}.", outcome


def choose_engine(problem: Problem, *, with_gibbs: bool = True) -> tuple[Engine, str]:
    """The engine to begin with for a declaration and data, and the reason in a sentence or two.

    Without Gibbs it is the one to go on with where that has not mixed.
    """
    model, n_features = problem.declared, problem.n_features
    parts = [f"n_components={problem.number}"] if problem.number is not None else []
    parts += model.only_by_gibbs()
    if parts:
        return Gibbs(), f"Only Gibbs takes {' and '.join(parts)}."
    sampler = _SAMPLER
    try:
        sampler.check(model, n_features)
    except UnsupportedError as error:
        return _by_mode(problem, f"There is no posterior to sample: {error}")
    native = not why_not_native(problem)
    seconds = sampler.seconds(problem)
    took = f"about {seconds:.1g} s" if seconds < 10 else f"about {seconds:.0f} s"
    gibbs = _quick_gibbs(problem) if with_gibbs else None
    if gibbs is not None and gibbs.seconds(problem) < min(seconds / _TIMES_CHEAPER, _AT_ONCE):
        return gibbs, f"NUTS would take {took} of a processor, Gibbs about {gibbs.seconds(problem):.1g} s."
    if problem.rows.exact and native and seconds <= _AT_ONCE:
        return sampler, f"Sampling the posterior takes {took} of a processor, so nothing has to be approximated."
    if not problem.rows.exact:
        return Laplace(), "Values are missing, have errors or are in bins, where sampling takes long."
    return Laplace(), f"Sampling the posterior would take {took} of a processor."


def _quick_gibbs(problem: Problem) -> Gibbs | None:
    """Gibbs with as many sweeps as there is time for, where it takes the declaration and the rows and is quick."""
    gibbs = Gibbs()
    if problem.rows.whole is None or problem.n_groups is not None or gibbs.seconds(problem) > _AT_ONCE:
        return None
    try:
        gibbs.check(problem.declared, problem.n_features)
    except UnsupportedError:
        return None
    times = min(int(_GOES_ON / gibbs.seconds(problem)), _MOST_TIMES)
    return Gibbs(max_sweeps=times * gibbs.sweeps)


def _by_mode(problem: Problem, why: str) -> tuple[Engine, str]:
    try:
        EM().check(problem.declared, problem.n_features)
    except UnsupportedError as error:
        return EM(density="unconstrained"), f"{why} EM on the parameters' own density cannot either: {error}"
    return EM(), why
