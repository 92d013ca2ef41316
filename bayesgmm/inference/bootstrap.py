"""Standard errors by the weighted likelihood bootstrap (Newton & Raftery 1994)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesgmm._status import Status
from bayesgmm._words import counted
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._polish import climbed
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._search import Start
from bayesgmm.engines.base import Parameters
from bayesgmm.inference._matched import matched
from bayesgmm.inference.information import Shape
from bayesgmm.inference.modes import Errors, Mode, no_errors, variables
from bayesgmm.inference.prediction import interval, interval_convention

# Replicates need no more digits than a small part of their own spread.
_TOLERANCE = 1e-3
_WORTH_A_WARNING, _MOST_COLLAPSED = 0.05, 0.2


def bootstrap(mode: Mode, n_bootstrap: int, rng: np.random.Generator, progress: Progress) -> Errors:
    """The spread of the modes that random weights of the rows lead to."""
    here, probability = variables(mode.problem, mode.at), interval_convention()[1]
    how = f"{probability:.0%} percentiles of the replicates"
    # A replicate starts at the mode, so that none would ever leave its place on a ridge.
    if (why := Shape.at(mode).trouble(mode)) is not None:
        return no_errors(here, how, why, {})
    ends, statuses = [], []
    for b in range(n_bootstrap):
        end, status = _replicate(mode, rng)
        statuses.append(status)
        if end is not None:
            ends.append(end)
        progress.step("bootstrap", b + 1, n_bootstrap)
    n_used = len(ends)
    facts = {
        "n_bootstrap": n_bootstrap,
        "n_used": n_used,
        "n_collapsed": n_bootstrap - n_used,
        "n_not_converged": sum(status in (Status.MAX_STEPS, Status.STALLED) for status in statuses),
        "n_boundary": statuses.count(Status.BOUNDARY),
    }
    collapsed = f"In {n_bootstrap - n_used} of {n_bootstrap} replicates a component collapsed"
    if n_bootstrap - n_used > _MOST_COLLAPSED * n_bootstrap or n_used < 2:
        message = f"No standard errors: {collapsed[0].lower()}{collapsed[1:]}. Use a proper covariance prior."
        return no_errors(here, how, message, facts)
    replicates, labels = matched(mode.problem, mode.at, Parameters.stacked(ends))
    facts |= {"n_relabelled": labels.n_switched, "n_ambiguous": labels.n_ambiguous}
    draws = variables(mode.problem, replicates)
    draws = {name: np.broadcast_to(value, (n_used, *here[name].shape)) for name, value in draws.items()}
    limits = {name: interval(value, "eti", probability) for name, value in draws.items()}
    sentences = [f"Standard errors from {n_used} replicates of the weighted likelihood bootstrap."]
    if n_used < n_bootstrap:
        sentences.append(f"{collapsed} and they are left out, so the true uncertainty is larger.")
    if facts["n_not_converged"]:
        sentences.append(f"{counted(facts['n_not_converged'], 'replicate')} did not converge; used all the same.")
    if facts["n_boundary"]:
        at_boundary = counted(facts["n_boundary"], "replicate")
        sentences.append(f"{at_boundary} ended at the boundary, without spread in some direction.")
    if labels.n_ambiguous:
        sentences.append(f"In {counted(labels.n_ambiguous, 'replicate')} another labelling is nearly as good.")
    return Errors(
        # What is the same in all replicates must have an error of exactly 0, whatever rounding does to the mean.
        se={name: np.where(np.ptp(value, axis=0) > 0, value.std(axis=0, ddof=1), 0.0) for name, value in draws.items()},
        lower={name: low for name, (low, _) in limits.items()},
        upper={name: high for name, (_, high) in limits.items()},
        interval=how,
        message=" ".join(sentences),
        doubtful=n_bootstrap - n_used > _WORTH_A_WARNING * n_bootstrap,
        facts=facts,
    )


def _replicate(mode: Mode, rng: np.random.Generator) -> tuple[Parameters | None, Status]:
    """The mode with random weights of the rows, found from where it was; None where a component collapsed."""
    problem = mode.problem
    # Sums of independent exponentials over the units of a row, divided by their total: Dirichlet(1, ..., 1) of units.
    parts = [replace(part, weights=rng.standard_gamma(part.units)) for part in problem.rows.parts]
    drawn, there = np.zeros(problem.n_groups or 1), np.zeros(problem.n_groups or 1)
    for part, before in zip(parts, problem.rows.parts, strict=True):
        drawn[part.group] += part.units.sum()
        there[part.group] += before.units.sum()
    parts = [replace(part, weights=part.units * (there / drawn)[part.group]) for part in parts]
    again = replace(problem, rows=replace(problem.rows, parts=parts))
    objective = Objective(again, unconstrained=mode.unconstrained)
    start = Start.given(mode.at, "bootstrap")
    how = {"max_steps": mode.max_steps, "tolerance": _TOLERANCE, "floor": mode.floor}
    report = climbed(objective, start, em_steps=1, **how)
    return (report.end if report.status.usable else None), report.status
