"""From a short run to the optimum of its basin: L-BFGS with the pass as gradient, and a certificate at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesgmm._status import Status
from bayesgmm.engines._objective import Coordinates, Objective, maximise
from bayesgmm.engines._search import Start, collapsed, too_few_rows
from bayesgmm.engines.base import Array, Parameters, StartReport
from bayesgmm.numerics.passes import Statistics

# In the coordinates used, a gradient g leaves a gain of about |g|^2 / (2 lambda) with lambda at most 1.
_GRADIENT_TOLERANCE = 1e-5
_LOOSE_TOLERANCE = 0.02
_ROUNDS = 8
_PASSES_PER_ROUND = 150
_MEMORY = 30
_MOST_CONJUGATE_STEPS = 30
_DIFFERENCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class _Point:
    at: Parameters
    value: float
    statistics: Statistics


class _Collapse(Exception):
    pass


@dataclass(kw_only=True)
class Climb:
    """A start on its way up: where it is, what it saw, how many passes it took and whether it fell off."""

    start: Start
    point: _Point
    trace: list[float]
    passes: int = 0
    collapsed: bool = False


def approach(objective: Objective, start: Start, *, em_steps: int, max_steps: int, floor: float) -> Climb:
    """Follow a start most of the way: far enough to compare optima, not far enough to certify one.

    EM steps (exact ones only, so that the objective never falls), then L-BFGS to a loose tolerance.
    """
    before = objective.passes
    statistics = start.statistics
    value = start.value
    if statistics is None:
        value, statistics = objective.value(start.at)
    point = _Point(at=start.at, value=value, statistics=statistics)
    start = start if np.isfinite(start.value) else replace(start, value=value)
    climb = Climb(start=start, point=point, trace=[value])
    try:
        if _exact_steps(objective):
            for _ in range(em_steps):
                climb.point = _em_step(objective, climb.point, floor)
                climb.trace.append(climb.point.value)
        coordinates = Coordinates(objective.problem.model, climb.point.at, climb.point.statistics.counts)
        if coordinates.size:
            passes = min(max_steps - (objective.passes - before), _PASSES_PER_ROUND)
            moved = _quasi_newton(objective, coordinates, passes, floor, climb.trace, _LOOSE_TOLERANCE)
            climb.point = moved if moved.value >= climb.point.value else climb.point
    except (_Collapse, np.linalg.LinAlgError):
        climb.collapsed = True
    climb.passes = objective.passes - before
    return climb


def finish(objective: Objective, climb: Climb, *, max_steps: int, tolerance: float, floor: float) -> StartReport:
    """Follow a climb to the optimum of its basin and certify it.

    Rounds of L-BFGS, each in coordinates laid round the point where the last one ended. After each round the
    estimated gain left, g' H^-1 g / 2, is found by conjugate gradients on differences of gradients; the run has
    converged when it is below `tolerance`.
    """
    problem = objective.problem
    before = objective.passes - climb.passes
    point, trace = climb.point, climb.trace
    gain = np.inf
    status = Status.MAX_STEPS
    try:
        if climb.collapsed:
            raise _Collapse
        for _ in range(_ROUNDS):
            left = max_steps - (objective.passes - before)
            if left < 3:
                break
            coordinates = Coordinates(problem.model, point.at, point.statistics.counts)
            if coordinates.size == 0:
                gain = 0.0
            else:
                passes = min(left, _PASSES_PER_ROUND)
                moved = _quasi_newton(objective, coordinates, passes, floor, trace, _GRADIENT_TOLERANCE)
                point = moved if moved.value >= point.value else point
                left = max_steps - (objective.passes - before)
                coordinates = Coordinates(problem.model, point.at, point.statistics.counts)
                gain, better = _gain_left(objective, coordinates, min(left, _MOST_CONJUGATE_STEPS), tolerance)
                if better is not None:
                    point = better
                    trace.append(point.value)
            if gain < tolerance:
                status = Status.CONVERGED
                break
        else:
            status = Status.STALLED
    except (_Collapse, np.linalg.LinAlgError):
        status = Status.SINGULAR
    if status is not Status.SINGULAR:
        if collapsed(problem, point.at, floor):
            status = Status.SINGULAR
        elif too_few_rows(problem, point.statistics.counts):
            status = Status.TOO_FEW_ROWS
    return StartReport(
        method=climb.start.method,
        status=status,
        short_value=climb.start.value,
        end_value=point.value,
        passes=objective.passes - before,
        gain_left=gain,
        trace=np.array(trace),
        end=point.at,
    )


def _exact_steps(objective: Objective) -> bool:
    model = objective.problem.model
    prior = model.covariances.innermost
    closed = model.weights.closed_form and model.means.closed_form and (prior is None or prior.closed_form)
    return closed and not objective.unconstrained


def _em_step(objective: Objective, point: _Point, floor: float) -> _Point:
    at = maximise(objective.problem.model, point.at, point.statistics)
    if collapsed(objective.problem, at, floor):
        raise _Collapse
    value, statistics = objective.value(at)
    return _Point(at=at, value=value, statistics=statistics)


def _quasi_newton(
    objective: Objective,
    coordinates: Coordinates,
    passes: int,
    floor: float,
    trace: list[float],
    gradient_tolerance: float,
) -> _Point:
    from scipy.optimize import minimize

    best: list[_Point] = []
    last: list[_Point] = []

    def beyond(u: Array) -> tuple[float, Array]:
        return (abs(best[0].value) * 10 + 1e10 if best else 1e300), np.zeros_like(u)

    def negative(u: Array) -> tuple[float, Array]:
        # A step far out of the quadratic region can overflow; a huge value makes the line search come back.
        with np.errstate(all="ignore"):
            try:
                value, gradient, at, statistics = objective.value_and_gradient(coordinates, u)
                fine = bool(np.isfinite(value) and np.isfinite(gradient).all())
            except np.linalg.LinAlgError:
                return beyond(u)
        if not fine:
            return beyond(u)
        point = _Point(at=at, value=value, statistics=statistics)
        last[:] = [point]
        if not best or value > best[0].value:
            best[:] = [point]
        return -value, -gradient

    def watch(intermediate_result: object) -> None:  # scipy looks at the argument's name
        trace.append(-float(intermediate_result.fun))  # type: ignore[attr-defined]
        if last and collapsed(objective.problem, last[0].at, floor):
            raise _Collapse

    minimize(
        negative,
        np.zeros(coordinates.size),
        jac=True,
        method="L-BFGS-B",
        callback=watch,
        options={"maxcor": _MEMORY, "ftol": 0.0, "gtol": gradient_tolerance, "maxfun": passes, "maxiter": passes},
    )
    return best[0]


def _gain_left(
    objective: Objective, coordinates: Coordinates, steps: int, tolerance: float
) -> tuple[float, _Point | None]:
    """Newton decrement g' H^-1 g / 2 at the reference point, and a better point if a Newton step finds one.

    Conjugate gradients solve H p = g with Hessian-vector products from differences of gradients, one pass each; the
    decrement grows with every step, so they stop when what is missing is negligible. Negative curvature means
    a saddle: then the gain is unknown and the direction is followed.
    """
    zero = np.zeros(coordinates.size)
    value, gradient, _, _ = objective.value_and_gradient(coordinates, zero)
    residual = gradient.copy()
    direction, solution = residual.copy(), zero.copy()
    square = residual @ residual
    gain, saddle = 0.0, False
    smallest = 1.0
    for _ in range(max(steps, 1)):
        length = np.sqrt(direction @ direction)
        if length == 0:
            break
        h = _DIFFERENCE / length
        _, shifted, _, _ = objective.value_and_gradient(coordinates, h * direction)
        curved = (gradient - shifted) / h
        curvature = direction @ curved
        if curvature <= 1e-12 * length**2:
            # Rounding in the gradients leaves curvature uncertain by about this much.
            saddle = curvature < -1e-6 * length**2
            if saddle:
                solution = direction / length
            break
        smallest = min(smallest, curvature / length**2)
        step = square / curvature
        solution = solution + step * direction
        residual = residual - step * curved
        gain += float(0.5 * step * square)
        new_square = residual @ residual
        # What later steps can add is at most |r|^2 / (2 lambda_min).
        if new_square / (2 * smallest) < 0.1 * max(min(gain, tolerance), 0.1 * tolerance):
            break
        direction = residual + (new_square / square) * direction
        square = new_square
    if gain < tolerance and not saddle:
        return gain, None
    for factor in (1.0, 0.25, -1.0, -0.25) if saddle else (1.0, 0.25):
        with np.errstate(all="ignore"):
            moved, _, at, statistics = objective.value_and_gradient(coordinates, factor * solution)
        if np.isfinite(moved) and moved > value:
            return (np.inf if saddle else gain), _Point(at=at, value=moved, statistics=statistics)
    return (np.inf if saddle else gain), None
