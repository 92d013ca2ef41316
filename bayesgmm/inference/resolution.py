"""Which separation of two components the rows can resolve, from the efficient Fisher information.

The information I about a separation, all other parameters unknown, vanishes with the separation (for two components
with an estimated common sd as its sixth power), so that the standard error at a separation says little about how far
the likelihood has fallen where there is none. What the data are expected to say against none is the deviance

    D(s) = 2 int_0^s (s - t) I(t) dt,

which leading terms of the Kullback-Leibler divergence from the nearest single component agree with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm.data import Data
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.inference._expected_information import Directions, ExpectedInformation
from bayesgmm.inference._stored import stored_problem

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

# A separation is resolved when its expected deviance is this: the 95 % point of chi-square with two degrees of freedom,
# and about that of the likelihood ratio of one component and two with a common sd.
_DEVIANCE = 6.0
# So many standard errors are always enough: the deviance is at least 1/28 of their square.
_CLEAR = 13.0
# Separations, in sds, among which the one that can be resolved is looked for.
_SEPARATIONS = np.geomspace(0.5, 6.0, 10)
# Factor between the sds of components that only means tell apart.
_ALIKE = 1.5


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """The two components that are hardest to tell apart.

    Attributes
    ----------
    pair : tuple of int
    separation, error : float
        Distance of the means in sds of the two (square root of the mean covariance), and its standard error with all
        other parameters unknown as well.
    least : float, optional
        The smallest separation of these two that the rows resolve; NaN beyond those looked at, None where they are so
        far apart that nobody asks.
    looked_at : tuple of float
        The smallest and the largest separation that would be looked at: half an sd to six as they are seen through
        errors, or to their own where that is more.
    alike : bool
        Whether their sds are within a factor of 1.5 of each other, so that means alone tell them apart.
    """

    pair: tuple[int, int]
    separation: float
    error: float
    least: float | None
    looked_at: tuple[float, float]
    alike: bool

    @property
    def resolved(self) -> bool:
        """Whether the rows tell this separation from none."""
        return self.least is None or self.separation >= self.least


def resolution(fit: xr.DataTree) -> Resolution | None:
    """Resolution of the point estimate of a fit; None where means do not move freely or no two components have rows."""
    problem, data, at = stored_problem(fit)
    free = problem.model.means.free and not problem.model.means.ordered and not problem.model.covariances.linked
    if problem.K < 2 or not free:
        return None
    # The information has logs of weights in it.
    at = replace(at, log_weights=np.maximum(at.log_weights, -700.0))
    counts = np.exp(problem.pooled(at.log_weights)) * problem.rows.units()
    occupied = np.flatnonzero(counts > problem.model.rows_needed(problem.n_features))
    if occupied.size < 2:
        return None
    return closest(problem, data, at, list(combinations(occupied.tolist(), 2)))


def closest(problem: Problem, data: Data, at: Parameters, pairs: list[tuple[int, int]]) -> Resolution:
    """The pair whose separation is the fewest standard errors from none, and what could be resolved between them.

    Components in none of the pairs that hold no more rows than they need are held where they are: of them
    nothing is known, and nothing about the others either.
    """
    counts = np.exp(problem.pooled(at.log_weights)) * problem.rows.units()
    paired = np.isin(np.arange(problem.K), pairs)
    left_out = np.flatnonzero(~paired & (counts <= problem.model.rows_needed(problem.n_features)))
    directions = Directions.at(problem, at, left_out)
    here = ExpectedInformation(problem=problem, data=data, at=at, directions=directions)
    # Behind errors the sds of components are known so badly that a separation in them is no measure of anything. What
    # the rows resolve goes by the sds that are seen; the ratio of the two does not change when means alone move.
    blur = np.zeros(2 * (problem.n_features,))
    if problem.noise is not None:
        blur = np.exp(2.0 * at.log_noise) * problem.noise.typical
    errors = [here.error(pair, blur) for pair in pairs]
    seen = [separation(at, pair, blur) for pair in pairs]
    which = int(np.argmin([s / e if e > 0 else np.inf for s, e in zip(seen, errors, strict=True)]))
    pair = pairs[which]
    own = separation(at, pair)
    ratio = own / seen[which] if own > 0 else 1.0
    least, grid = None, separations_up_to(seen[which])
    if seen[which] < _CLEAR * errors[which]:
        information = []
        for distance in grid:
            there = replace(here, at=_moved(at, pair, distance, blur))
            information.append(1.0 / np.square(there.error(pair, blur)))
            # The power law below the first separation takes two of them.
            if len(information) > 1 and _deviance(np.array(information), grid)[-1] >= _DEVIANCE:
                break
        least = ratio * _crossing(_deviance(np.array(information), grid), grid)
    log_dets = 2.0 * np.log(np.diagonal(at.choleskys, axis1=1, axis2=2)).sum(axis=1) / problem.n_features
    return Resolution(
        pair=pair,
        separation=own,
        error=here.error(pair),
        least=least,
        looked_at=(ratio * float(grid[0]), ratio * float(grid[-1])),
        alike=bool(abs(log_dets[pair[0]] - log_dets[pair[1]]) < 2.0 * np.log(_ALIKE)),
    )


def separations_up_to(distance: float) -> Array:
    """Separations among which the one that can be resolved is looked for: up to six sds, or to a larger one."""
    ratio = _SEPARATIONS[1] / _SEPARATIONS[0]
    more = max(0, int(np.ceil(np.log(distance / _SEPARATIONS[-1]) / np.log(ratio)))) if distance > 0 else 0
    return np.concatenate([_SEPARATIONS, np.geomspace(_SEPARATIONS[-1], distance, more + 1)[1:]])


def separation(at: Parameters, pair: tuple[int, int], blur: Array | float = 0.0) -> float:
    """Distance of two means in sds of the two, or of what is seen of them through errors with covariance `blur`."""
    j, k = pair
    L = np.linalg.cholesky(0.5 * (at.covariances[j] + at.covariances[k]) + blur)
    return float(np.linalg.norm(np.linalg.solve(L, at.means[j] - at.means[k])))


def _moved(at: Parameters, pair: tuple[int, int], distance: float, blur: Array | float = 0.0) -> Parameters:
    """Two means at another distance on the line through them (or the first axis), their middle where it was."""
    j, k = pair
    now = separation(at, pair, blur)
    L = np.linalg.cholesky(0.5 * (at.covariances[j] + at.covariances[k]) + blur)
    apart = at.means[j] - at.means[k] if now > 0 else L[:, 0]
    means, half = at.means.copy(), 0.5 * distance / (now if now > 0 else 1.0) * apart
    middle = 0.5 * (at.means[j] + at.means[k])
    means[j], means[k] = middle + half, middle - half
    return replace(at, means=means)


def _deviance(information: Array, separations: Array = _SEPARATIONS) -> Array:
    """D at the first separations, from the information there."""
    # Between the points the information is a power of the separation, and below the first the same power goes on.
    known = separations[: information.size]
    x, y = np.log(known), np.log(np.maximum(information, np.finfo(float).tiny))
    t = np.geomspace(1e-3 * separations[0], separations[-1], 2000)
    power = max((y[1] - y[0]) / (x[1] - x[0]), 0.0)
    log_information = np.where(t < separations[0], y[0] + power * (np.log(t) - x[0]), np.interp(np.log(t), x, y))
    information = np.exp(log_information)
    return np.array([2.0 * np.trapezoid(np.where(t < s, (s - t) * information, 0.0), t) for s in known])


def _crossing(deviance: Array, separations: Array) -> float:
    """The separation from which on the deviance is large enough; NaN if there is none."""
    if deviance[-1] < _DEVIANCE:
        return np.nan
    return float(np.exp(np.interp(np.log(_DEVIANCE), np.log(deviance), np.log(separations[: deviance.size]))))


def resolution_check(fit: xr.DataTree) -> tuple[str, float, bool, str] | None:
    """The same as a check of `diagnose`."""
    found = resolution(fit)
    if found is None:
        return None
    labels = fit[names.POINT][names.COMPONENT].to_numpy()
    a, b = (labels[k] for k in sorted(found.pair))
    how = f"Components {a} and {b}, the hardest to tell apart by their means, are {found.separation:.2g} sds apart"
    if found.least is None:
        return "resolution", found.separation, True, f"{how} (standard error {found.error:.2g})."
    if np.isnan(found.least):
        limit = f"these rows resolve no separation up to {found.looked_at[1]:.2g} sds"
    elif found.least <= found.looked_at[0]:
        limit = f"these rows resolve {found.least:.2g} sds and less"
    else:
        limit = f"these rows resolve separations from about {found.least:.2g} sds on"
    text = f"{how} (standard error {found.error:.2g}, all parameters unknown); {limit}."
    if found.resolved:
        return "resolution", found.separation, True, text
    if not found.alike:
        return "resolution", found.separation, True, f"{text} They differ in spread, which tells them apart."
    rest = "Whether there are two of them, or one that is skewed or heavy-tailed, is not decided by these rows."
    return "resolution", found.separation, False, f"{text} {rest}"
