"""From a short run to the optimum of its basin: L-BFGS with the pass as gradient, and a certificate at the end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from bayesgmm._status import Status
from bayesgmm.engines import _newton
from bayesgmm.engines._boundary import at_boundary
from bayesgmm.engines._coinciding import coinciding
from bayesgmm.engines._newton import FLAT, Point
from bayesgmm.engines._objective import Coordinates, Objective, maximise
from bayesgmm.engines._search import Start, burst, collapsed, too_few_rows
from bayesgmm.engines.base import Array, Parameters, StartReport

# In the coordinates used, a gradient g leaves a gain of about |g|^2 / (2 lambda) with lambda at most 1.
_GRADIENT_TOLERANCE = 1e-5
_LOOSE_TOLERANCE = 0.02
_ROUNDS = 8
_PASSES_PER_ROUND = 150
_MEMORY = 30
# Conjugate steps of the certificate: at least so many, because the first ones see only large eigenvalues.
_FEWEST_CONJUGATE_STEPS = 10
_PASSES_FOR_CERTIFICATE = 25
_LINE_TRIES = 5
# Differences give the estimate a few per cent of error, so it has to be this much below the tolerance.
_MARGIN = 0.5
_DIFFERENCE = 1e-3
# With so few parameters the exact Hessian costs less than the steps that it saves. Quasi-Newton steps come first,
# some for every parameter: they take the long way up, Newton's stay in the nearest basin.
_MOST_FOR_NEWTON = 64
_PASSES_BEFORE_NEWTON = 6


class _Collapse(Exception):
    """A component fell below the eigenvalue floor, at a point if it is known."""

    def __init__(self, point: Point | None = None) -> None:
        self.point = point
        super().__init__()


class _OutOfPasses(Exception):
    """L-BFGS wanted to go on."""


@dataclass(kw_only=True)
class Climb:
    """A start on its way up: where it is, what it saw, how many passes it took and whether it fell off.

    `known` is the report of the certified optimum that it was found to stand beside, if it was.
    """

    start: Start
    point: Point
    trace: list[float]
    passes: int = 0
    collapsed: bool = False
    known: StartReport | None = None


def approach(objective: Objective, start: Start, *, em_steps: int, max_steps: int, floor: float) -> Climb:
    """Follow a start most of the way: far enough to compare optima, not far enough to certify one.

    EM steps (exact ones only, so that the objective never falls), then L-BFGS to a loose tolerance.
    """
    before = objective.passes
    statistics = start.statistics
    value = start.value
    if statistics is None:
        value, statistics = objective.value(start.at)
    point = Point(at=start.at, value=value, statistics=statistics)
    start = start if np.isfinite(start.value) else replace(start, value=value)
    climb = Climb(start=start, point=point, trace=[value])
    try:
        if exact_steps(objective):
            for _ in range(min(em_steps, max_steps - (objective.passes - before))):
                climb.point = _em_step(objective, climb.point, floor)
                climb.trace.append(climb.point.value)
        coordinates = objective.coordinates(climb.point.at, climb.point.statistics.weight_counts)
        passes = min(max_steps - (objective.passes - before), _PASSES_PER_ROUND)
        if coordinates.size and passes > 0:
            moved = _quasi_newton(objective, coordinates, passes, floor, climb.trace, _LOOSE_TOLERANCE)
            climb.point = moved if moved is not None and moved.value >= climb.point.value else climb.point
    except _Collapse as collapse:
        climb.collapsed, climb.point = True, collapse.point or climb.point
    except np.linalg.LinAlgError:
        climb.collapsed = True
    climb.passes = objective.passes - before
    return climb


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # optimisers try anything, and what is infinite is left
def finish(
    objective: Objective,
    climb: Climb,
    *,
    max_steps: int,
    tolerance: float,
    floor: float,
    supported: bool = True,
    fewest_rows: int = 0,
) -> StartReport:
    """Follow a climb to the optimum of its basin and certify it: converged means a gain left below `tolerance`.

    With `supported` an end counts as spurious where a component holds too few rows for its covariance, or no more than
    `fewest_rows`.
    """
    problem = objective.problem
    before = objective.passes - climb.passes
    point, gain, status = climb.point, np.inf, Status.SINGULAR
    trace = climb.trace
    if not climb.collapsed:
        try:
            point, gain, status = _to_the_top(objective, point, before + max_steps, tolerance, floor, trace)
        except _Collapse as collapse:
            point = collapse.point or point
        except np.linalg.LinAlgError:
            pass
    if status is not Status.SINGULAR:
        if status is Status.CONVERGED and at_boundary(objective, point, tolerance):
            status = Status.BOUNDARY
        elif collapsed(problem, point.at, floor) or burst(problem, point.at):
            status = Status.SINGULAR
        elif supported and too_few_rows(problem, point.statistics.counts, fewest_rows):
            status = Status.TOO_FEW_ROWS
        elif status.usable and coinciding(objective, point, tolerance):
            status = Status.COINCIDING
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


def climbed(
    objective: Objective,
    start: Start,
    *,
    em_steps: int,
    max_steps: int,
    tolerance: float,
    floor: float,
    supported: bool = True,
    fewest_rows: int = 0,
) -> StartReport:
    """Follow a start all the way, as `approach` and `finish` do."""
    climb = approach(objective, start, em_steps=em_steps, max_steps=max_steps, floor=floor)
    how = {"supported": supported, "fewest_rows": fewest_rows}
    return finish(objective, climb, max_steps=max_steps, tolerance=tolerance, floor=floor, **how)  # type: ignore[arg-type]


def _to_the_top(
    objective: Objective, point: Point, end: int, tolerance: float, floor: float, trace: list[float]
) -> tuple[Point, float, Status]:
    """Rounds of L-BFGS, each in coordinates laid round the point where the last one ended.

    After each round the estimated gain left, g' H^-1 g / 2, is found by conjugate gradients on differences of
    gradients. With few parameters one round is enough: where it does not converge Newton's method goes on.
    """
    gain = np.inf
    for _ in range(_ROUNDS):
        left = end - objective.passes
        if left <= _PASSES_FOR_CERTIFICATE:
            return point, gain, Status.MAX_STEPS
        coordinates = objective.coordinates(point.at, point.statistics.weight_counts)
        if coordinates.size == 0:
            return point, 0.0, Status.CONVERGED
        few = coordinates.size <= _MOST_FOR_NEWTON
        most = min(_PASSES_PER_ROUND, _PASSES_BEFORE_NEWTON * coordinates.size if few else _PASSES_PER_ROUND)
        passes = min(left - _PASSES_FOR_CERTIFICATE, most)
        stop = objective.passes + passes
        moved = _quasi_newton(objective, coordinates, passes, floor, trace, _GRADIENT_TOLERANCE)
        if moved is None:
            return point, np.inf, Status.STALLED
        point = moved if moved.value >= point.value else point
        if not few or objective.passes < stop:
            coordinates = objective.coordinates(point.at, point.statistics.weight_counts)
            gain, better = _gain_left(objective, coordinates, end - objective.passes, tolerance)
            if better is not None:
                point = better
                trace.append(point.value)
            if gain < _MARGIN * tolerance:
                return point, gain, Status.CONVERGED
        if few:
            return _by_newton(objective, point, end, tolerance, floor, trace)
    return point, gain, Status.STALLED


def _by_newton(
    objective: Objective, point: Point, end: int, tolerance: float, floor: float, trace: list[float]
) -> tuple[Point, float, Status]:
    """Newton steps with the exact Hessian, which certifies the end as well."""

    def fell(at: Parameters) -> bool:
        return collapsed(objective.problem, at, floor)

    point, gain = _newton.climb(objective, point, end=end, tolerance=tolerance, trace=trace, fell=fell)
    if gain < tolerance:
        return point, gain, Status.CONVERGED
    left = end - objective.passes
    return point, gain, Status.STALLED if left > _newton.PASSES_A_STEP else Status.MAX_STEPS


def exact_steps(objective: Objective) -> bool:
    """Whether an M-step maximises the expected complete log posterior, so that EM stands still at optima only."""
    model = objective.problem.model
    prior = model.covariances.innermost
    closed = model.weights.closed_form and model.means.closed_form and (prior is None or prior.closed_form)
    return closed and not model.covariances.linked and not objective.unconstrained


def _em_step(objective: Objective, point: Point, floor: float) -> Point:
    at = maximise(objective.problem.model, point.at, point.statistics)
    if collapsed(objective.problem, at, floor):
        if objective.problem.rows.blurred:
            return point
        raise _Collapse
    value, statistics = objective.value(at)
    return Point(at=at, value=value, statistics=statistics)


def _quasi_newton(
    objective: Objective,
    coordinates: Coordinates,
    passes: int,
    floor: float,
    trace: list[float],
    gradient_tolerance: float,
) -> Point | None:
    """The best point of one run of L-BFGS; None where the density cannot be computed even where it begins."""
    from scipy.optimize import minimize

    best: list[Point] = []
    last: list[Point] = []

    def beyond(u: Array) -> tuple[float, Array]:
        return (abs(best[0].value) * 10 + 1e10 if best else 1e300), np.zeros_like(u)

    end = objective.passes + passes

    def negative(u: Array) -> tuple[float, Array]:
        if objective.passes >= end:
            raise _OutOfPasses
        # A step far out of the quadratic region can overflow; a huge value makes the line search come back.
        with np.errstate(all="ignore"):
            try:
                value, gradient, at, statistics = objective.value_and_gradient(coordinates, u)
                fine = bool(np.isfinite(value) and np.isfinite(gradient).all())
            except np.linalg.LinAlgError:
                return beyond(u)
        # Where nothing is unbounded a component near 0 is no way off, but gradients cannot be computed any nearer.
        if not fine or (best and objective.problem.rows.blurred and collapsed(objective.problem, at, floor)):
            return beyond(u)
        point = Point(at=at, value=value, statistics=statistics)
        last[:] = [point]
        if not best or value > best[0].value:
            best[:] = [point]
        return -value, -gradient

    def watch(intermediate_result: object) -> None:  # scipy looks at the argument's name
        trace.append(-float(intermediate_result.fun))  # type: ignore[attr-defined]
        if last and collapsed(objective.problem, last[0].at, floor):
            raise _Collapse(last[0])

    with suppress(_OutOfPasses):
        minimize(
            negative,
            np.zeros(coordinates.size),
            jac=True,
            method="L-BFGS-B",
            callback=watch,
            options={"maxcor": _MEMORY, "ftol": 0.0, "gtol": gradient_tolerance, "maxfun": passes, "maxiter": passes},
        )
    return best[0] if best else None


def _gain_left(
    objective: Objective, coordinates: Coordinates, passes: int, tolerance: float
) -> tuple[float, Point | None]:
    """Newton decrement g' H^-1 g / 2 at the reference point, and a better point if a Newton step finds one.

    Conjugate gradients solve H p = g with Hessian-vector products from central differences of gradients, two passes
    each. The steps also tridiagonalise H (Lanczos), whose smallest eigenvalue bounds what the steps not taken would
    add: |residual|^2 / (2 lambda_min). That is counted as left. Negative curvature means a saddle: then the gain is
    unknown and the direction is followed.
    """
    zero = np.zeros(coordinates.size)
    value, gradient, _, _ = objective.value_and_gradient(coordinates, zero)
    end = objective.passes + passes - 1
    residual = gradient.copy()
    direction, solution = residual.copy(), zero.copy()
    square = first = float(residual @ residual)
    gain, saddle, smallest, ratio, last = 0.0, False, 1.0, 0.0, 1.0
    diagonal: list[float] = []
    beside: list[float] = []
    while objective.passes + 3 < end and len(diagonal) < coordinates.size and square > 1e-24 * first > 0:
        length = np.sqrt(direction @ direction)
        h = _DIFFERENCE / length
        _, ahead, _, _ = objective.value_and_gradient(coordinates, h * direction)
        _, behind, _, _ = objective.value_and_gradient(coordinates, -h * direction)
        curved = (behind - ahead) / (2 * h)
        curvature = float(direction @ curved)
        if curvature <= FLAT * length**2:
            saddle = curvature < -FLAT * length**2
            smallest = FLAT
            solution = direction / length if saddle else solution
            break
        step = square / curvature
        if not 0.0 < step < np.inf:  # numbers at the ends of double precision
            smallest = FLAT
            break
        solution = solution + step * direction
        residual = residual - step * curved
        gain += 0.5 * step * square
        new_square = float(residual @ residual)
        diagonal.append(1.0 / step + ratio / last)
        matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        smallest = max(float(np.linalg.eigvalsh(matrix)[0]), FLAT)
        ratio, last = new_square / square, step
        beside.append(np.sqrt(ratio) / step)
        direction = residual + ratio * direction
        square = new_square
        if len(diagonal) >= _FEWEST_CONJUGATE_STEPS and square / (2 * smallest) < 0.1 * tolerance:
            break
    gain += square / (2 * smallest)
    if gain < _MARGIN * tolerance and not saddle:
        return gain, None
    best = _along(objective, coordinates, solution, value, end)
    if best is None and saddle:
        best = _along(objective, coordinates, -solution, value, end)
    return (np.inf if saddle else gain), best


def _along(objective: Objective, coordinates: Coordinates, step: Array, value: float, end: int) -> Point | None:
    """The best point found along a step: doubled while that helps, quartered until it does."""
    best, factor = None, 1.0
    for _ in range(_LINE_TRIES):
        if objective.passes >= end:
            break
        trial = None
        with np.errstate(all="ignore"), suppress(np.linalg.LinAlgError):
            moved, _, at, statistics = objective.value_and_gradient(coordinates, factor * step)
            trial = Point(at=at, value=moved, statistics=statistics)
        if trial is not None and trial.value > (value if best is None else best.value):
            best = trial
            if factor < 1.0:
                break
            factor *= 2.0
        elif best is not None:
            break
        else:
            factor *= 0.25
    return best
