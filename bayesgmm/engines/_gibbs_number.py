"""What chains with an unknown number of occupied components amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import FitError
from bayesgmm.engines._draws import AllDraws, ChainReport, Sampling
from bayesgmm.engines._gibbs_chains import Trace
from bayesgmm.engines._gibbs_conditionals import Conditionals
from bayesgmm.engines._mixing import unmixed
from bayesgmm.engines._samples import Sample, as_draws, points_along
from bayesgmm.engines.base import Array, Outcome, Parameters, Problem
from bayesgmm.numerics.densities import log_densities
from bayesgmm.numerics.point_process import labelled

# Fewer draws of a chain than this say nothing about how it mixed.
_FEWEST_DRAWS = 10
# The share of draws with the same number from which on that is not asked whether it mixes.
_AS_GOOD_AS_KNOWN = 0.99


@dataclass(frozen=True, kw_only=True)
class Padded:
    """Draws of all chains, one chain after the other, components that hold rows first."""

    points: Parameters
    counts: Array
    number: NDArray[np.int64]
    occupied: NDArray[np.int64]
    log_likelihood: Array
    invariants: Array


def unmixed_numbers(problem: Problem, every: Padded, shape: tuple[int, int]) -> list[str]:
    """By which criteria chains (chains, draws) have not mixed, by all draws whatever their number of components."""
    counted = {"the number of components (K)": every.number} if problem.number is not None else {}
    counted["the number of components that hold rows (K+)"] = every.occupied
    # A number that hardly ever changes is known, however seldom it changes.
    changing = {
        name: value for name, value in counted.items() if np.bincount(value).max() < _AS_GOOD_AS_KNOWN * value.size
    }
    extra = {name: value.reshape(shape) for name, value in changing.items()}
    return unmixed(every.log_likelihood.reshape(shape), every.invariants.reshape(*shape, -1), extra)


def unknown_number(
    problem: Problem, model: Conditionals, traces: Sequence[Trace], every: Padded, outcome: Outcome
) -> Outcome:
    """The outcome of chains whose draws have different numbers of occupied components.

    `draws` are those with the most frequent number, labelled in the point-process representation, their occupied
    components alone; weights are divided by their sum. `all_draws` has every draw.

    Parameters
    ----------
    problem : Problem
    model : Conditionals
    traces : sequence of Trace
        Of equal length.
    every : Padded
        The same, `together`.
    outcome : Outcome
        What the search found and how the chains ended; its draws and point are replaced.
    """
    n_chains, length = len(traces), len(traces[0])
    shape = n_chains, length
    numbers = np.bincount(every.occupied)
    m = int(numbers.argmax())
    chosen = np.flatnonzero(every.occupied == m)
    part = every.points.taken(chosen)
    part = replace(
        part,
        log_weights=part.log_weights[:, :m] - np.logaddexp.reduce(part.log_weights[:, :m], axis=1, keepdims=True),
        means=part.means[:, :m],
        choleskys=part.choleskys[:, :m],
    )
    best = int(every.log_likelihood[chosen].argmax())
    found = labelled(part.means, part.means[best])
    kept = np.flatnonzero(found.permutation)
    if kept.size < _FEWEST_DRAWS:
        # Components that means do not tell apart: leave the labels to what relabels the draws of every fit.
        kept, orders = np.arange(chosen.size), np.tile(np.arange(m), (chosen.size, 1))
    else:
        orders = found.orders
    rows = np.arange(chosen.size)[:, None]
    part = replace(
        part,
        log_weights=part.log_weights[rows, orders],
        means=part.means[rows, orders],
        choleskys=part.choleskys[rows, orders],
    )
    by_chain = [kept[chosen[kept] // length == chain] for chain in range(n_chains)]
    counts = every.counts[chosen][:, :m][rows, orders]
    samples = []
    for chain, own in _equally_long(by_chain):
        values = {"lp": every.log_likelihood[chosen[own]]}
        samples.append(Sample(chain=chain, points=part.taken(own), statistics=values, counts=counts[own]))
    conditional = replace(problem, number=None, model=problem.model.of_size(m, problem.n_features))
    conditional = replace(conditional, declared=problem.declared.of_size(m, problem.n_features))
    invariants = every.invariants[chosen]
    of_samples = [own for _, own in _equally_long(by_chain)]
    sampling = Sampling(
        chains=_reports(every, shape),
        statistics={"lp": np.stack([sample.statistics["lp"] for sample in samples])},
        invariants=np.stack([invariants[own] for own in of_samples]),
    )
    mean = kept[every.log_likelihood[chosen[kept]].argmax()]
    values = _values(problem, model, traces, every, shape)
    return replace(
        outcome,
        point=problem.units.to_data(part.taken(mean)),
        starts=[replace(report, end=None) for report in outcome.starts],
        draws=as_draws(conditional, samples),
        sampling=sampling,
        problem=conditional,
        all_draws=AllDraws(
            values=values,
            log_prior=None if problem.number is None else model.log_prior,
            notes={
                "modal_n_occupied": m,
                "modal_share": chosen.size / len(every.occupied),
                "non_permutation_rate": found.non_permutation_rate,
                "most_components": model.most,
            },
        ),
        notes=outcome.notes | {"n_chains": len(samples)},
    )


def together(problem: Problem, traces: Sequence[Trace]) -> Padded:
    """Draws of all chains, in one form."""
    most = int(max(trace.number.max() for trace in traces))
    padded = [trace.padded(most) for trace in traces]
    counts, points = np.concatenate([each for each, _ in padded]), Parameters.joined([each for _, each in padded])
    order = np.argsort(counts == 0, axis=1, kind="stable")
    there = np.isfinite(np.take_along_axis(points.log_weights, order, 1))
    order = np.take_along_axis(order, np.argsort(~there, axis=1, kind="stable"), 1)
    rows = np.arange(len(order))[:, None]
    points = Parameters(
        log_weights=points.log_weights[rows, order],
        means=points.means[rows, order],
        choleskys=points.choleskys[rows, order],
    )
    return Padded(
        points=points,
        counts=counts[rows, order],
        number=np.concatenate([trace.number for trace in traces]),
        occupied=np.concatenate([trace.occupied for trace in traces]),
        log_likelihood=np.concatenate([trace.log_likelihood for trace in traces]),
        invariants=log_densities(points_along(problem), points.log_weights, points.means, points.choleskys),
    )


def _equally_long(by_chain: list[np.ndarray]) -> list[tuple[int, np.ndarray]]:
    """Draws of the chains that have enough, thinned evenly to one number, so that as many as possible are left."""
    sizes = sorted((own.size for own in by_chain), reverse=True)
    length = max(sizes, key=lambda size: size * sum(other >= size for other in sizes))
    if length < _FEWEST_DRAWS:
        raise FitError(
            "There are too few draws with the most frequent number of occupied components, so nothing was kept. Give "
            "more `sweeps`, or let them end if they were interrupted."
        )
    return [
        (chain, own[np.linspace(0, own.size - 1, length).round().astype(int)])
        for chain, own in enumerate(by_chain)
        if own.size >= length
    ]


def _values(
    problem: Problem, model: Conditionals, traces: Sequence[Trace], every: Padded, shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    # Empty components are draws from the prior; their number and weight, 1 less the sum of the others, say it all.
    most = int(every.occupied.max())
    there = np.arange(most) < every.occupied[:, None]
    points = replace(
        every.points,
        log_weights=np.where(there, every.points.log_weights[:, :most], -np.inf),
        means=every.points.means[:, :most],
        choleskys=every.points.choleskys[:, :most],
    )
    at = problem.units.to_data(points)
    values = {
        "n_components": every.number,
        "n_occupied": every.occupied,
        "lp": every.log_likelihood,
        "rows": np.where(there, every.counts[:, :most], 0.0),
        "weights": np.exp(points.log_weights),
        "means": np.where(there[..., None], at.means, np.nan),
        "covariances": np.where(there[..., None, None], at.covariances, np.nan),
    }
    values |= hyperparameters(problem, model, traces)
    return {name: value.reshape(*shape, *value.shape[1:]) for name, value in values.items()}


def hyperparameters(problem: Problem, model: Conditionals, traces: Sequence[Trace]) -> dict[str, np.ndarray]:
    """Draws of the total concentration and of the scale matrix, in the data's units, where they have priors."""
    from bayesgmm.numerics import _gibbs_updates as code

    values = {}
    if model.kinds[code.CONCENTRATION] != code.FIXED:
        values["concentration"] = np.concatenate([trace.total for trace in traces])
    if model.kinds[code.RANDOM_SCALE]:
        scale = problem.units.scale
        matrices = model.scale_matrices(np.concatenate([trace.scale for trace in traces]))
        values["scale_matrix"] = matrices * np.outer(scale, scale)
    return values


def _reports(every: Padded, shape: tuple[int, int]) -> list[ChainReport]:
    lp = every.log_likelihood.reshape(shape).mean(axis=1)
    return [ChainReport(start=0, mode=0, mean_lp=float(value), gap=0.0, gap_error=np.nan, kept=True) for value in lp]
