"""Standard errors from the curvature at a mode: the observed information (Louis 1982)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesgmm._status import Status
from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._newton import decrement
from bayesgmm.engines._objective import Coordinates, Objective
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Problem
from bayesgmm.inference.modes import Errors, Mode, Variables, no_errors, variables
from bayesgmm.inference.prediction import interval_convention

Array = NDArray[np.float64]

# Of the curvature with known labels. With less, standard errors are hundreds of times those with known labels, and
# differences of gradients cannot tell it from none.
_LEAST_CURVATURE = 1e-5
# Nats: the standard errors of a point that is a tenth of one away from the mode are still those of the mode.
_MOST_GAIN_LEFT = 5e-3
_STEP = 1e-4


def information(mode: Mode, n_bootstrap: int, rng: np.random.Generator, progress: Progress) -> Errors:
    """The curvature at the mode, turned round and carried to the parameters; nothing of it is random."""
    problem, shape = mode.problem, Shape.at(mode)
    here, probability = variables(problem, mode.at), interval_convention()[1]
    how = f"{probability:.0%} normal interval in logs of sds and variances, logits of weights, z of correlations"
    if (why := shape.trouble(mode)) is not None:
        return no_errors(here, how, why, {})
    # Rows of `spread` are one standard deviation along each principal axis, in the coordinates.
    spread = (shape.axes / np.sqrt(shape.curvatures)).T
    slopes_of = _jacobian(problem, shape.coordinates)
    se = {
        name: np.sqrt(np.square(np.tensordot(spread, slope, axes=1)).sum(axis=0)) for name, slope in slopes_of.items()
    }
    limits = {name: _limits(name, here[name], se[name], probability) for name in here}
    return Errors(
        se=se,
        lower={name: low for name, (low, _) in limits.items()},
        upper={name: high for name, (_, high) in limits.items()},
        interval=how,
        message="Standard errors from the curvature at the mode.",
        doubtful=False,
        facts={},
    )


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The objective round a mode: its slopes and curvatures (downwards) along the principal axes, columns of `axes`."""

    coordinates: Coordinates
    slopes: Array
    curvatures: Array
    axes: Array

    @classmethod
    def at(cls, mode: Mode) -> Shape:
        """What it is at a mode."""
        objective = Objective(mode.problem, unconstrained=mode.unconstrained)
        _, statistics = objective.value(mode.at)
        coordinates = objective.coordinates(mode.at, statistics.weight_counts)
        gradient = objective.prior_and_gradient(coordinates, coordinates.reference, statistics)[1]
        curvatures, axes = np.linalg.eigh(-hessian(objective, coordinates, statistics))
        return cls(coordinates=coordinates, slopes=axes.T @ gradient, curvatures=curvatures, axes=axes)

    def trouble(self, mode: Mode) -> str | None:
        """Why there are no standard errors at this point, if there are none."""
        return _trouble(mode, self.slopes, self.curvatures)


def _trouble(mode: Mode, slopes: Array, curvatures: Array) -> str | None:
    advice = "Use a proper prior, fewer components, or the posterior (VB or NUTS)."
    if mode.status is Status.BOUNDARY:
        return (
            "No standard errors: the fit is at the boundary, where a component has no spread of its own in some "
            f"direction, and the curvature there says nothing about the other side. {advice}"
        )
    flat = int((curvatures < _LEAST_CURVATURE).sum())
    if flat:
        many = f"in {flat} of {curvatures.size} directions" if flat > 1 else "in one direction"
        return (
            f"No standard errors: the objective does not curve down {many} at the estimate (a ridge, a saddle, or a "
            f"component without rows), so nothing says how far from it one may go. {advice}"
        )
    gain = decrement(slopes, curvatures) if curvatures.size else 0.0
    if gain > _MOST_GAIN_LEFT:
        return (
            f"No standard errors: the estimate is not at a mode, about {gain:.2g} nats are left to gain. Fit again "
            "with a larger max_steps."
        )
    return None


def _jacobian(problem: Problem, coordinates: Coordinates) -> Variables:
    """Derivatives (p, ...) of all variables in the coordinates at the reference, by central differences."""
    p = coordinates.size
    ahead = variables(problem, coordinates.parameters(_STEP * np.eye(p)))
    behind = variables(problem, coordinates.parameters(-_STEP * np.eye(p)))
    return {
        name: np.broadcast_to((ahead[name] - behind[name]) / (2 * _STEP), (p, *np.shape(ahead[name])[1:]))
        for name in ahead
    }


def _limits(name: str, estimate: Array, se: Array, probability: float) -> tuple[Array, Array]:
    """Normal interval on a scale without bounds, turned back; the standard error there is by the delta method."""
    from scipy.special import expit, logit, ndtri

    z = float(ndtri(0.5 + 0.5 * probability))
    with np.errstate(divide="ignore", invalid="ignore"):
        if name == "weights":
            half = z * se / (estimate * (1 - estimate))
            low, high = expit(logit(estimate) - half), expit(logit(estimate) + half)
        elif name == "correlations":
            half = z * se / (1 - np.square(estimate))
            low, high = np.tanh(np.arctanh(estimate) - half), np.tanh(np.arctanh(estimate) + half)
        else:
            low, high = estimate - z * se, estimate + z * se
            positive = np.ones(estimate.shape, dtype=bool) if name in ("sds", "noise_scale") else None
            if name == "covariances":
                positive = np.broadcast_to(np.eye(estimate.shape[-1], dtype=bool), estimate.shape)
            if positive is not None:
                factor = np.exp(z * se / np.where(positive, estimate, 1.0))
                low, high = np.where(positive, estimate / factor, low), np.where(positive, estimate * factor, high)
    return np.where(se > 0, low, estimate), np.where(se > 0, high, estimate)
