"""Every start of a search and where it ended, as the group ``optimization``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._status import Status
from bayesgmm.engines.base import Engine, Outcome, Problem, StartReport
from bayesgmm.numerics.linalg import outer
from bayesgmm.results.order import canonical_order

if TYPE_CHECKING:
    import xarray as xr

# Ends closer than this, in nats, are counted as the same optimum.
_SAME_OPTIMUM = 1e-3


def optima_table(problem: Problem, outcome: Outcome, engine: Engine, coords: Mapping[str, Any]) -> xr.Dataset:
    """Every start's method, how it ended and where, in the data's units; the best ones also with their mass."""
    import xarray as xr

    starts = outcome.starts
    K, d = problem.K, problem.n_features
    n_steps = max((start.trace.size for start in starts), default=0) or 1
    trace = np.full((len(starts), n_steps), np.nan)
    weights = np.full((len(starts), *outcome.point.log_weights.shape), np.nan)
    means = np.full((len(starts), K, d), np.nan)
    covariances = np.full((len(starts), K, d, d), np.nan)
    for i, start in enumerate(starts):
        trace[i, : start.trace.size] = start.trace
        if start.end is not None:
            end = start.end.reordered(canonical_order(problem, start.end))
            weights[i], means[i], covariances[i] = np.exp(end.log_weights), end.means, outer(end.choleskys)
    optimum = _number_optima(starts)
    by_start = (names.START,)
    data = {
        engine.objective_name: ((names.START, names.STEP), trace),
        "method": (by_start, np.array([start.method for start in starts])),
        "status": (by_start, np.array([start.status.name for start in starts])),
        "passes": (by_start, np.array([start.passes for start in starts])),
        "short_value": (by_start, np.array([start.short_value for start in starts])),
        "end_value": (by_start, np.array([start.end_value for start in starts])),
        "gain_left": (by_start, np.array([start.gain_left for start in starts])),
        **_masses(starts),
        "optimum": (by_start, optimum),
        "weights": ((names.START, *names.dims_of("weights", grouped=names.GROUP in coords)), weights),
        "means": ((names.START, *names.DIMS["means"]), means),
        "covariances": ((names.START, *names.DIMS["covariances"]), covariances),
    }
    own = {
        dim: coords[dim] for dim in (names.GROUP, names.COMPONENT, names.FEATURE, names.FEATURE_BIS) if dim in coords
    }
    return xr.Dataset(
        data,
        coords={names.START: np.arange(len(starts)), names.STEP: np.arange(n_steps), **own},
        attrs={
            "best_start": outcome.best_start,
            "times_best_reached": int((optimum == optimum[outcome.best_start]).sum()),
            "n_optima": int(optimum.max() + 1),
            "n_singular": sum(start.status is Status.SINGULAR for start in starts),
            "n_spurious": sum(start.status is Status.TOO_FEW_ROWS for start in starts),
            "n_coinciding": sum(start.status is Status.COINCIDING for start in starts),
            "optimum": "number of the optimum that a start reached, best first; -1 where it reached none",
        },
    )


def _masses(starts: list[StartReport]) -> dict[str, Any]:
    """How much of the posterior stands round the optima, where the engine tells it."""
    import xarray as xr

    if not any(np.isfinite(start.log_mass) for start in starts):
        return {}
    meaning = {
        "log_mass": "Laplace's log integral of the joint density over one copy of the hill that the start ended on",
        "posterior_mass": "share of the posterior round that optimum, with all its copies by labels",
    }
    return {
        name: xr.Variable(names.START, np.array([getattr(start, name) for start in starts]), {"meaning": text})
        for name, text in meaning.items()
    }


def _number_optima(starts: list[StartReport]) -> NDArray[np.int64]:
    """0 for the best usable end, 1 for the next distinct one, ...; -1 for starts without a usable end."""
    numbers = np.full(len(starts), -1, dtype=np.int64)
    usable = [i for i, start in enumerate(starts) if start.status.usable]
    number, last = -1, np.inf
    for i in sorted(usable, key=lambda i: -starts[i].end_value):
        if last - starts[i].end_value > _SAME_OPTIMUM:
            number += 1
            last = starts[i].end_value
        numbers[i] = number
    return numbers
