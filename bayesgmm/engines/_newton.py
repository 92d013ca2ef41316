"""Newton's method with a trust region, for objectives of few parameters.

Where components barely differ the likelihood has curved ridges, nearly flat along their length, on which
quasi-Newton steps creep. The exact Hessian follows them, and its eigenvalues certify the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayesgmm.engines import _curvature
from bayesgmm.engines._objective import Coordinates, Objective
from bayesgmm.engines.base import Array, Parameters
from bayesgmm.numerics.passes import Statistics

# In coordinates whose complete-data information is the identity, where a component moves by its own width over
# sqrt(rows).
_FIRST_RADIUS = 5.0
_SMALLEST_RADIUS = 1e-6
PASSES_A_STEP = _curvature.PASSES + 1
# Relative to the complete-data information; less curvature cannot be told from none.
FLAT = 1e-8
_TINY = 1e-100


@dataclass(frozen=True, kw_only=True)
class Point:
    """Parameters with the objective and the statistics there."""

    at: Parameters
    value: float
    statistics: Statistics


def climb(
    objective: Objective,
    point: Point,
    *,
    end: int,
    tolerance: float,
    trace: list[float],
    fell: Callable[[Parameters], bool],
) -> tuple[Point, float]:
    """Follow a point uphill until its estimated gain left is below the tolerance.

    It stops early when the objective has counted up to `end` passes, where `fell` says that a component collapsed,
    and where no step improves the objective any more.

    Returns
    -------
    point, gain : Point, float
        The last point and its Newton decrement g' H^-1 g / 2 (inf at a saddle).
    """
    radius = _FIRST_RADIUS
    gain = np.inf
    while objective.passes + PASSES_A_STEP <= end:
        coordinates = objective.coordinates(point.at, point.statistics.weight_counts)
        gradient = objective.prior_and_gradient(coordinates, coordinates.reference, point.statistics)[1]
        curvatures, axes = np.linalg.eigh(-_curvature.hessian(objective, coordinates, point.statistics))
        slopes = axes.T @ gradient
        gain = decrement(slopes, curvatures)
        if gain < tolerance:
            break
        better = None
        while better is None and radius > _SMALLEST_RADIUS and objective.passes < end:
            step = restricted_step(slopes, curvatures, radius)
            promised = slopes @ step - 0.5 * step @ (curvatures * step)
            trial = _evaluated(objective, coordinates, axes @ step)
            kept = -np.inf if trial is None else (trial.value - point.value) / promised
            length = float(np.sqrt(step @ step))
            if kept > 0.75 and length > 0.9 * radius:
                radius *= 3.0
            elif kept < 0.25:
                radius = length / 4.0
            if trial is not None and trial.value > point.value:
                better = trial
        if better is None:
            break
        point, gain = better, np.inf
        trace.append(point.value)
        if fell(point.at):
            break
    return point, gain


def decrement(slopes: Array, curvatures: Array) -> float:
    """Newton decrement from slopes and curvatures along the eigenvectors; inf where the objective curves upwards."""
    if curvatures[0] < -FLAT:
        return np.inf
    return float(0.5 * (np.square(slopes) / np.maximum(curvatures, FLAT)).sum())


def restricted_step(slopes: Array, curvatures: Array, radius: float) -> Array:
    """The maximiser of the quadratic model within a ball (More & Sorensen 1983), along the eigenvectors."""
    if curvatures[0] > FLAT:
        step = slopes / curvatures
        if step @ step <= radius**2:
            return step
    least = max(0.0, -float(curvatures[0]))
    low, high = least, least + float(np.sqrt(slopes @ slopes)) / radius + FLAT
    for _ in range(60):
        middle = 0.5 * (low + high)
        step = slopes / np.maximum(curvatures + middle, _TINY)
        low, high = (middle, high) if step @ step > radius**2 else (low, middle)
    step = slopes / np.maximum(curvatures + high, _TINY)
    if curvatures[0] < -FLAT:
        # At a saddle the slope along the upward curve may be nothing at all; the ball is left along it all the same.
        step[0] = np.copysign(np.sqrt(max(radius**2 - step[1:] @ step[1:], 0.0)), slopes[0])
    return step


def _evaluated(objective: Objective, coordinates: Coordinates, u: Array) -> Point | None:
    with np.errstate(all="ignore"):
        try:
            value, _, at, statistics = objective.value_and_gradient(coordinates, u)
        except np.linalg.LinAlgError:
            return None
    return Point(at=at, value=value, statistics=statistics) if np.isfinite(value) else None
