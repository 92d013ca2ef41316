"""A Normal (or Student t) distribution of the unconstrained coordinates, as an approximation to the posterior."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy.special import gammaln

from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._objective import Coordinates, Objective
from bayesgmm.engines.base import Approximation, Array, Parameters, Problem

# Less curvature than this, relative to the complete-data information, cannot be told from none.
_FLAT = 1e-8


def log_priors(problem: Problem, points: Parameters) -> Array:
    """Log prior density (S,) of the unconstrained coordinates at many points."""
    model, floor = problem.model, problem.model.covariances.floor(problem.n_features)
    weights, means, covariances = model.weights, model.means, model.covariances
    at = points.choleskys, points.means
    with np.errstate(all="ignore"):
        out = weights.log_densities(points.log_weights) + weights.log_jacobians(points.log_weights)
        out = out + means.log_densities(points.means, points.choleskys) - means.log_mass(floor)
        out = out + covariances.log_densities(*at) + covariances.log_jacobians(*at)
        out = out + means.log_jacobians(points.means, points.choleskys, floor)
        if problem.noise is not None:
            log_noise = np.broadcast_to(points.log_noise, len(points.means))
            out += problem.noise.log_priors(log_noise)
    return np.where(np.isnan(out), -np.inf, out)


class NormalApproximation(Approximation):
    """Normal in the coordinates round a point, perhaps with the heavier tails of a Student t.

    Densities are those of the unconstrained coordinates in which ``Objective(unconstrained=True)`` is a density.

    Parameters
    ----------
    problem : Problem
    coordinates : Coordinates
    center : (p,) array
    factor : (p, p) array
        Times its transpose it is the covariance, or the scale matrix of t.
    df : float, optional
        Degrees of freedom of t.
    """

    def __init__(
        self, problem: Problem, coordinates: Coordinates, center: Array, factor: Array, df: float | None = None
    ) -> None:
        self._problem = problem
        self._coordinates = coordinates
        self._center = center
        self._factor = factor
        self._df = df
        volume = np.linalg.slogdet(factor)[1] + coordinates.log_volume
        self._constant = _constant(center.size, df) - volume

    @classmethod
    def at_mode(cls, problem: Problem, mode: Parameters) -> NormalApproximation:
        """With minus the inverse of the exact Hessian at a mode of the unconstrained density as covariance.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the density does not curve down in every direction.
        """
        objective = Objective(problem, unconstrained=True)
        _, statistics = objective.value(mode)
        coordinates = objective.coordinates(mode, statistics.weight_counts)
        values, vectors = np.linalg.eigh(-hessian(objective, coordinates, statistics))
        if values.size and values[0] < _FLAT:
            raise np.linalg.LinAlgError("the log density is flat or curves upwards at the mode")
        return cls(problem, coordinates, np.zeros(values.size), vectors / np.sqrt(values))

    @classmethod
    def of_draws(cls, problem: Problem, draws: Parameters, df: float) -> NormalApproximation:
        """Student t with the means and covariances of draws, in coordinates round the draw nearest their mean."""
        statistics = problem.statistics(draws.taken(0))
        first = Coordinates(problem.model, draws.taken(0), statistics.weight_counts, problem.noise)
        u = first.coordinates(draws)
        middle = np.square((u - u.mean(axis=0)) / (u.std(axis=0) + np.finfo(float).tiny)).sum(axis=1).argmin()
        at = draws.taken(int(middle))
        statistics = problem.statistics(at)
        coordinates = Coordinates(problem.model, at, statistics.weight_counts, problem.noise)
        u = coordinates.coordinates(draws)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(u.T)))
        spread = np.sqrt(np.maximum(values, _FLAT * values.max()))
        return cls(problem, coordinates, u.mean(axis=0), vectors * spread, df)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self._center.size

    def with_tails(self, df: float) -> NormalApproximation:
        """The Student t of the same center and factor."""
        return NormalApproximation(self._problem, self._coordinates, self._center, self._factor, df)

    def moved(self, draws: Parameters, shares: Array, df: float, least: float) -> NormalApproximation:
        """A Student t with the means and covariances of weighted draws, in the same coordinates.

        Its covariance is shrunk towards this one's, the more the fewer draws the weights are worth: half way where that
        is `least` for each coordinate.
        """
        # Draws without weight may lie where coordinates overflow.
        counted = np.flatnonzero(shares > 0)
        draws, shares = draws.taken(counted), shares[counted]
        u = self._coordinates.coordinates(draws)
        center = shares @ u
        away = u - center
        effective, prior = 1.0 / np.square(shares).sum(), least * self._center.size
        covariance = effective * (away * shares[:, None]).T @ away + prior * self._factor @ self._factor.T
        factor = np.linalg.cholesky(covariance / (effective + prior))
        return NormalApproximation(self._problem, self._coordinates, center, factor, df)

    def draw(self, rng: np.random.Generator, size: int) -> Parameters:
        z = rng.standard_normal((size, self._center.size))
        if self._df is not None:
            z *= np.sqrt(self._df / rng.chisquare(self._df, size))[:, None]
        points = self._coordinates.parameters(self._center + z @ self._factor.T)
        return replace(points, log_noise=np.broadcast_to(points.log_noise, (size,)))

    def log_density(self, points: Parameters) -> Array:
        return self.log_density_at(self._coordinates.coordinates(points))

    def log_density_at(self, places: Array) -> Array:
        """The same at many points, of which the coordinates (S, p) are known."""
        return self._constant + _kernel((places - self._center) @ self._inverse.T, self._df)

    @cached_property
    def _inverse(self) -> Array:
        return np.linalg.inv(self._factor)

    def log_density_without(self, points: Parameters, components: tuple[int, ...]) -> Array:
        """Marginal density of everything but the covariances of some components."""
        place, volume = self._coordinates.covariances_of(components)
        rest = np.delete(np.arange(self._center.size), place)
        u = (self._coordinates.coordinates(points) - self._center)[:, rest]
        factor = np.linalg.cholesky((self._factor @ self._factor.T)[np.ix_(rest, rest)])
        volume = np.linalg.slogdet(factor)[1] + self._coordinates.log_volume - volume
        return _constant(rest.size, self._df) - volume + _kernel(np.linalg.solve(factor, u.T).T, self._df)

    def log_prior(self, points: Parameters) -> Array:
        return log_priors(self._problem, points)

    @property
    def coordinates(self) -> Coordinates:
        """What the density is one of."""
        return self._coordinates

    def log_integral(self, log_density_at_center: float) -> float:
        """Laplace's approximation to the integral of a density with this mode and curvature."""
        return log_density_at_center - self._constant


def _constant(p: int, df: float | None) -> float:
    """Log density at the centre of a standard Normal, or Student t, of p dimensions."""
    if df is None:
        return -0.5 * p * float(np.log(2.0 * np.pi))
    return float(gammaln(0.5 * (df + p)) - gammaln(0.5 * df) - 0.5 * p * np.log(df * np.pi))


def _kernel(z: Array, df: float | None) -> Array:
    """Log density at points (S, p), less that at the centre."""
    square = np.square(z).sum(axis=1)
    return -0.5 * square if df is None else -0.5 * (df + z.shape[1]) * np.log1p(square / df)
