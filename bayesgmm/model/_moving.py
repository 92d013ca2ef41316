"""Points that move from a reference in units of a Cholesky factor, some of their entries staying above a bound."""

from __future__ import annotations

import numpy as np

from bayesgmm.model._spec import Array


def moved(theta: Array, points: Array, choleskys: Array, floor: Array) -> Array:
    """Points (..., m, d) at coordinates theta of that shape from reference points (m, d).

    An entry without bound (floor -inf) moves by its entry of L theta; the logarithm of the distance from a bound moves
    in proportion. Theta = 0 is the reference.
    """
    step = (choleskys @ theta[..., None])[..., 0]
    bounded = np.isfinite(floor)
    if not bounded.any():
        return points + step
    low = np.where(bounded, floor, 0.0)
    return np.where(bounded, low + (points - low) * np.exp(step * _rates(points, choleskys, floor)), points + step)


def steps(points: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
    """The inverse of `moved`."""
    bounded = np.isfinite(floor)
    low = np.where(bounded, floor, 0.0)
    ratio = np.where(bounded, (points - low) / np.where(bounded, reference - low, 1.0), 1.0)
    by_log = np.log(ratio) / _rates(reference, choleskys, floor)
    return np.linalg.solve(choleskys, np.where(bounded, by_log, points - reference)[..., None])[..., 0]


def pulled(gradient: Array, points: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
    """Gradient in theta from a gradient with respect to the points."""
    bounded = np.isfinite(floor)
    by_step = gradient
    if bounded.any():
        low = np.where(bounded, floor, 0.0)
        by_step = gradient * np.where(bounded, (points - low) * _rates(reference, choleskys, floor), 1.0)
    return (np.swapaxes(choleskys, -1, -2) @ by_step[..., None])[..., 0]


def volume(points: Array, reference: Array, choleskys: Array, floor: Array) -> tuple[float, Array]:
    """Log |d points / d coordinates|, logs of distances where there are bounds, and its gradient in theta."""
    bounded = np.isfinite(floor)
    if not bounded.any():
        return 0.0, np.zeros(points.size)
    distances = np.where(bounded, points - np.where(bounded, floor, 0.0), 1.0)
    by_step = np.where(bounded, _rates(reference, choleskys, floor), 0.0)
    return float(np.log(distances).sum()), (np.swapaxes(choleskys, -1, -2) @ by_step[..., None])[..., 0].ravel()


def unit_volume(reference: Array, choleskys: Array, floor: Array) -> float:
    """Log |d points / d coordinates|, with logs of distances in place of the points that have a bound."""
    bounded = np.broadcast_to(np.isfinite(floor), reference.shape)
    by_rates = float(np.log(_rates(reference, choleskys, floor)[bounded]).sum()) if bounded.any() else 0.0
    return by_rates + float(np.log(np.diagonal(choleskys, axis1=-2, axis2=-1)).sum())


def _rates(points: Array, choleskys: Array, floor: Array) -> Array:
    # The slope at the reference is that of an unbounded entry, except near the bound, where it would bend too fast.
    widths = np.diagonal(choleskys, axis1=-2, axis2=-1)
    return 1.0 / np.maximum(np.where(np.isfinite(floor), points - floor, 1.0), widths)
