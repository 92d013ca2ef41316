"""What a fit by `EM` maximised and where its mode is, and what is said about how sure it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._status import Status
from bayesgmm.engines._boundary import SMALLEST
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.inference._stored import stored_problem

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
Variables = dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A fit by EM, as it was: what was maximised and where its mode is, in standard units."""

    problem: Problem
    at: Parameters
    unconstrained: bool
    status: Status
    max_steps: int
    floor: float


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Standard errors and limits by the names of the variables."""

    se: Variables
    lower: Variables
    upper: Variables
    interval: str
    message: str
    doubtful: bool
    facts: dict[str, int]


def mode_of(fit: xr.DataTree) -> Mode:
    """Read a fit by EM, and build again what was maximised."""
    options = json.loads(fit.attrs[names.ENGINE_OPTIONS])
    problem, _, at = stored_problem(fit, n_threads=options["threads"])
    return Mode(
        problem=problem,
        at=at,
        unconstrained=options["density"] == "unconstrained",
        status=Status[fit.attrs[names.STATUS]],
        max_steps=options["max_steps"],
        floor=SMALLEST if problem.rows.blurred else options["eigenvalue_floor"],
    )


def variables(problem: Problem, at: Parameters) -> Variables:
    """What is reported about a point, or about many, in the data's units."""
    from bayesgmm.results.build import parameters

    here = problem.units.to_data(at)
    found = parameters(np.exp(here.log_weights), here.means, here.covariances)
    if problem.free_noise:
        found["noise_scale"] = np.exp(np.asarray(here.log_noise, dtype=float))
    return found


def no_errors(here: Variables, how: str, message: str, facts: dict[str, int]) -> Errors:
    """NaN for everything, and why."""
    nothing = {name: np.full(value.shape, np.nan) for name, value in here.items()}
    return Errors(se=nothing, lower=nothing, upper=nothing, interval=how, message=message, doubtful=True, facts=facts)
