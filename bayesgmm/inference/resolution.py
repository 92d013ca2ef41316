"""Which separation of two components the rows can resolve, from the efficient Fisher information.

The information I about a separation, all other parameters unknown, vanishes with the separation (for two components
with an estimated common sd as its sixth power), so that the standard error at a separation says little about how far
the likelihood has fallen where there is none. What the data are expected to say against none is the deviance

    D(s) = 2 int_0^s (s - t) I(t) dt,

which leading terms of the Kullback-Leibler divergence from the nearest single component agree with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm.data import Data, rows_in_units
from bayesgmm.engines._curvature import pulled_back
from bayesgmm.engines._objective import Coordinates
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.inference._lrt_fits import simulated
from bayesgmm.inference._stored import stored_problem
from bayesgmm.numerics.curvature import n_coordinates
from bayesgmm.numerics.exact_rows import ExactRows
from bayesgmm.numerics.rows import Rows

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

# A separation is resolved when its expected deviance is this: the 95 % point of chi-square with two degrees of freedom,
# and about that of the likelihood ratio of one component and two with a common sd.
_DEVIANCE = 6.0
# So many standard errors are always enough: the deviance is at least 1/28 of their square.
_CLEAR = 13.0
# Nodes of Gauss-Hermite quadrature for each feature, and draws where there are too many features or rows are not exact.
_NODES = {1: 80, 2: 26, 3: 12}
_DRAWS = 4000
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
        The smallest separation of these two that the rows resolve; NaN beyond six sds, None where they are so far apart
        that nobody asks.
    alike : bool
        Whether their sds are within a factor of 1.5 of each other, so that means alone tell them apart.
    """

    pair: tuple[int, int]
    separation: float
    error: float
    least: float | None
    alike: bool

    @property
    def resolved(self) -> bool:
        """Whether the rows tell this separation from none."""
        return self.least is None or self.separation >= self.least


def resolution(fit: xr.DataTree) -> Resolution | None:
    """Of the point estimate of a fit; None where means do not move freely or no two components have rows."""
    problem, data, at = stored_problem(fit)
    free = problem.model.means.free and not problem.model.means.ordered and not problem.model.covariances.linked
    if problem.K < 2 or not free:
        return None
    # The information has logs of weights in it.
    at = replace(at, log_weights=np.maximum(at.log_weights, -700.0))
    counts = np.exp(problem.pooled(at.log_weights)) * problem.rows.units()
    occupied = np.flatnonzero(counts > problem.n_features + 1)
    if occupied.size < 2:
        return None
    return closest(problem, data, at, list(combinations(occupied.tolist(), 2)))


def closest(problem: Problem, data: Data, at: Parameters, pairs: list[tuple[int, int]]) -> Resolution:
    """The pair whose separation is the fewest standard errors from none, and what could be resolved between them."""
    coordinates, covariance = _uncertainty(problem, data, at)
    errors = [_error(coordinates, covariance, pair) for pair in pairs]
    separations = [separation(at, pair) for pair in pairs]
    which = int(np.argmin([s / e if e > 0 else np.inf for s, e in zip(separations, errors, strict=True)]))
    pair = pairs[which]
    least = None
    if separations[which] < _CLEAR * errors[which]:
        information = []
        for distance in _SEPARATIONS:
            there, covariance = _uncertainty(problem, data, _moved(at, pair, distance))
            information.append(1.0 / np.square(_error(there, covariance, pair)))
        least = _crossing(_deviance(np.array(information)))
    log_dets = 2.0 * np.log(np.diagonal(at.choleskys, axis1=1, axis2=2)).sum(axis=1) / problem.n_features
    return Resolution(
        pair=pair,
        separation=separations[which],
        error=errors[which],
        least=least,
        alike=bool(abs(log_dets[pair[0]] - log_dets[pair[1]]) < 2.0 * np.log(_ALIKE)),
    )


def separation(at: Parameters, pair: tuple[int, int]) -> float:
    """Distance of two means in sds of the two."""
    j, k = pair
    L = np.linalg.cholesky(0.5 * (at.covariances[j] + at.covariances[k]))
    return float(np.linalg.norm(np.linalg.solve(L, at.means[j] - at.means[k])))


def _moved(at: Parameters, pair: tuple[int, int], distance: float) -> Parameters:
    """Two means at another distance on the line through them (or the first axis), their middle where it was."""
    j, k = pair
    now = separation(at, pair)
    L = np.linalg.cholesky(0.5 * (at.covariances[j] + at.covariances[k]))
    apart = at.means[j] - at.means[k] if now > 0 else L[:, 0]
    means, half = at.means.copy(), 0.5 * distance / (now if now > 0 else 1.0) * apart
    middle = 0.5 * (at.means[j] + at.means[k])
    means[j], means[k] = middle + half, middle - half
    return replace(at, means=means)


def _error(coordinates: Coordinates, covariance: Array, pair: tuple[int, int]) -> float:
    """Standard error of a separation with everything else unknown: the inverse of the efficient information."""
    step = 1e-4
    slope = np.empty(coordinates.size)
    for i in range(coordinates.size):
        u = np.zeros(coordinates.size)
        u[i] = step
        slope[i] = separation(coordinates.parameters(u), pair) - separation(coordinates.parameters(-u), pair)
    slope /= 2.0 * step
    return float(np.sqrt(slope @ covariance @ slope))


def _uncertainty(problem: Problem, data: Data, at: Parameters) -> tuple[Coordinates, Array]:
    """Inverse of the expected information of all rows at a point, in the coordinates round it."""
    rows = _expected_rows(problem, data, at)
    factor = float(np.exp(2.0 * at.log_noise))
    second = rows.curvature(at.log_weights, at.means, at.choleskys, noise_factor=factor, free_noise=problem.free_noise)
    # Slopes are 0 on average, but for those in log weights, which are the expected counts: what these bend belongs to
    # the information about weights that sum to one.
    D = n_coordinates(problem.n_features)
    units = rows.group_units(max(second) + 1)
    for group, matrix in second.items():
        own = np.atleast_2d(at.log_weights)[group if problem.n_groups is not None else 0]
        places = D * np.arange(problem.K)
        matrix[places, places] -= units[group] * np.exp(own)
    counts = np.exp(at.log_weights) * problem.rows.units()
    coordinates = Coordinates(problem.model, at, counts, problem.noise)
    values, vectors = np.linalg.eigh(-pulled_back(second, coordinates) * problem.rows.units() / rows.units())
    # Directions of which nothing is known must count, not vanish.
    values = np.maximum(values, np.finfo(float).eps * max(float(values[-1]), 1.0))
    return coordinates, (vectors / values) @ vectors.T


def _expected_rows(problem: Problem, data: Data, at: Parameters) -> Rows:
    """Rows that stand for what the mixture at a point produces: nodes of quadrature, or simulated like the data."""
    d, K = problem.n_features, problem.K
    units = problem.rows.units()
    if not problem.rows.exact or d not in _NODES:
        rng = np.random.default_rng(0)  # the same draws at all separations, so that they can be compared
        made = [simulated(problem.units.to_data(at), data, rng)]
        if made[0].n_obs < _DRAWS and data.bins is None:
            made += [simulated(problem.units.to_data(at), data, rng) for _ in range(int(_DRAWS / made[0].n_obs))]
        parts = [rows_in_units(each, problem.units.center, problem.units.scale).parts for each in made]
        return replace(problem.rows, parts=[part for each in parts for part in each])
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES[d])
    z = np.array(list(product(nodes, repeat=d)))
    share = np.array([np.prod(each) for each in product(weights / weights.sum(), repeat=d)])
    keep = share > 1e-14 * share.max()
    z, share = z[keep], share[keep]
    x = np.concatenate([mean + z @ L.T for mean, L in zip(at.means, at.choleskys, strict=True)])
    n_groups = problem.n_groups
    by_group = at.log_weights[None] if n_groups is None else at.log_weights
    sizes = np.array([units]) if n_groups is None else problem.rows.group_units(n_groups)
    parts = []
    for group, (log_weights, size) in enumerate(zip(by_group, sizes, strict=True)):
        own = np.concatenate([np.exp(log_weights[k]) * size * share for k in range(K)])
        parts.append(
            ExactRows(
                index=np.arange(len(x)),
                x=np.ascontiguousarray(x.T),
                observed=np.ones((1, d), dtype=bool),
                edges=np.array([0, len(x)]),
                weights=own,
                group=group,
            )
        )
    return Rows(parts=parts, n_rows=len(x), n_features=d)


def _deviance(information: Array) -> Array:
    """D at every separation, from the information there."""
    # Between the points the information is a power of the separation, and below the first the same power goes on.
    x, y = np.log(_SEPARATIONS), np.log(np.maximum(information, np.finfo(float).tiny))
    t = np.geomspace(1e-3 * _SEPARATIONS[0], _SEPARATIONS[-1], 2000)
    power = max((y[1] - y[0]) / (x[1] - x[0]), 0.0)
    log_information = np.where(t < _SEPARATIONS[0], y[0] + power * (np.log(t) - x[0]), np.interp(np.log(t), x, y))
    information = np.exp(log_information)
    return np.array([2.0 * np.trapezoid(np.where(t < s, (s - t) * information, 0.0), t) for s in _SEPARATIONS])


def _crossing(deviance: Array) -> float:
    """The separation from which on the deviance is large enough; NaN if there is none."""
    if deviance[-1] < _DEVIANCE:
        return np.nan
    return float(np.exp(np.interp(np.log(_DEVIANCE), np.log(deviance), np.log(_SEPARATIONS))))


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
        limit = "these rows resolve no separation up to 6 sds"
    elif found.least <= _SEPARATIONS[0]:
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
