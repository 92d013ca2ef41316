"""The log posterior of a mixture as a function of unconstrained coordinates, with its gradient from one pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesgmm.engines.base import Array, Noise, Order, Parameters, Problem
from bayesgmm.model import FilledMixture
from bayesgmm.numerics.passes import Statistics

# Weights of empty components are kept this far from 0 (as logs) so that coordinates stay finite.
_SMALLEST_LOG_WEIGHT = -60.0
# An M-step keeps means at least so many sds above the bound that covariances linked to them set.
_LEAST_ABOVE = 0.1


class Coordinates:
    """Unconstrained coordinates u round a reference point, in units of its complete-data information.

    Means are moved in units of the component's own Cholesky factor (a prior that links them says what moves instead),
    factors multiply the reference factor from the right, and every coordinate is divided by the square root of the
    information it would have if the labels were known. The Hessian of the log posterior at the reference is then minus
    the identity plus what the unknown labels take away, whatever the units, the sizes and the shapes of the components,
    so that quasi-Newton steps start well scaled and are equivariant.
    """

    def __init__(self, model: FilledMixture, reference: Parameters, counts: Array, noise: Noise | None = None) -> None:
        K, d = reference.means.shape
        log_weights = np.maximum(reference.log_weights, _SMALLEST_LOG_WEIGHT)
        log_weights = log_weights - np.logaddexp.reduce(log_weights, axis=-1, keepdims=True)
        if model.weights.n_free(K) == 0:
            log_weights = reference.log_weights
        self.model = model
        self.reference = replace(reference, log_weights=log_weights)
        # Behind errors of measurement a component looks wider, and what is known of it moves on that scale.
        self.wide = reference.choleskys
        if noise is not None:
            factor = np.exp(2.0 * reference.log_noise)
            self.wide = np.linalg.cholesky(reference.covariances + factor * noise.typical)
        rows = counts.reshape(-1, K).sum(axis=0) + 1.0
        self._split = np.cumsum([model.weights.n_free(K), model.means.n_free(K, d)])
        self.mean_scale = 1.0 / np.sqrt(model.means.information(rows, d))
        self.floor = model.covariances.floor(d)
        self.covariance_scale = 1.0 / np.sqrt(model.covariances.information(rows, d))
        if noise is not None:
            self.covariance_scale = self.covariance_scale * model.covariances.stretch(reference.choleskys, self.wide)
        self.weight_map = model.weights.information_map(log_weights, counts)
        self._covariances_end = int(self._split[1] + self.covariance_scale.size)
        # The logarithm of an unknown factor of all errors comes last.
        free_noise = noise is not None and noise.prior is not None
        self.noise_scale = 1.0 / np.sqrt(noise.units + 1.0) if noise is not None and free_noise else None
        self.size = self._covariances_end + free_noise

    def parameters(self, u: Array) -> Parameters:
        """The point at coordinates u, or the points at (..., p); u = 0 is the reference."""
        by_weights, by_means = u[..., : self._split[0]], u[..., self._split[0] : self._split[1]]
        by_covariances = u[..., self._split[1] : self._covariances_end]
        at = self.reference
        means = self.model.means.from_free(by_means * self.mean_scale, at.means, self.wide, self.floor)
        covariances = self.model.covariances
        carried = covariances.carried(at.choleskys, at.means, means)
        return Parameters(
            log_weights=self.model.weights.from_free(by_weights @ self.weight_map.T, at.log_weights),
            means=means,
            choleskys=covariances.given(means).from_free(by_covariances * self.covariance_scale, carried),
            log_noise=at.log_noise if self.noise_scale is None else at.log_noise + self.noise_scale * u[..., -1],
        )

    def coordinates(self, point: Parameters) -> Array:
        """The inverse of `parameters`, for one point or many."""
        at = self.reference
        by_weights = self.model.weights.to_free(point.log_weights, at.log_weights)
        by_means = self.model.means.to_free(point.means, at.means, self.wide, self.floor) / self.mean_scale
        covariances, carried = self.model.covariances.given(point.means), self.carried(point)
        by_covariances = covariances.to_free(point.choleskys, carried) / self.covariance_scale
        parts = [by_weights @ np.linalg.inv(self.weight_map).T, by_means, by_covariances]
        if self.noise_scale is not None:
            parts.append(np.asarray((point.log_noise - at.log_noise) / self.noise_scale)[..., None])
        return np.concatenate(parts, axis=-1)

    @property
    def log_volume(self) -> float:
        """Log of |d v / d u|, where v are the coordinates that densities with ``unconstrained=True`` belong to.

        That is isometric log-ratios of the weights, means, and covariance factors from the identity.
        """
        at = self.reference
        covariances = self.model.covariances.given(at.means)
        out = self.model.means.log_volume(at.means, self.wide, self.floor) + covariances.log_volume(at.choleskys)
        for scales in (self.mean_scale, self.covariance_scale):
            out += float(np.log(scales).sum())
        out += float(np.linalg.slogdet(self.weight_map)[1])
        return out if self.noise_scale is None else out + float(np.log(self.noise_scale))

    def covariances_of(self, components: tuple[int, ...]) -> tuple[Order, float]:
        """Places of the coordinates of some components' covariances, and what these add to `log_volume`."""
        covariances, reference = self.model.covariances, self.reference.choleskys
        m = self.covariance_scale.size
        each = m if covariances.tied else m // len(reference)
        own = np.concatenate([np.arange(k * each, (k + 1) * each) for k in components])
        volume = covariances.log_volume(reference[list(components)]) + float(np.log(self.covariance_scale[own]).sum())
        return own + int(self._split[1]), volume

    def carried(self, point: Parameters) -> Array:
        """The reference's Choleskys, carried to the means of a point."""
        return self.model.covariances.carried(self.reference.choleskys, self.reference.means, point.means)

    def gradient(self, parameters: Parameters, slopes: Slopes) -> Array:
        """Gradient in u from slopes with respect to log weights, means and Sigma at `parameters`."""
        by_weights = self.weight_map.T @ self.model.weights.pullback(slopes.log_weights, parameters.log_weights)
        at = self.reference
        by_means = self.model.means.pullback(slopes.means, parameters.means, at.means, self.wide, self.floor)
        covariances, carried = self.model.covariances.given(parameters.means), self.carried(parameters)
        by_covariances = covariances.pullback(slopes.sigma, parameters.choleskys, carried)
        by_noise = [] if self.noise_scale is None else [slopes.log_noise * self.noise_scale]
        scaled = [by_means * self.mean_scale, by_covariances * self.covariance_scale]
        return np.concatenate([by_weights, *scaled, by_noise])

    def log_jacobian(self, point: Parameters) -> tuple[float, Array]:
        """Log |d own parameters of means and covariances / d coordinates|, and its gradient in u."""
        at = self.reference
        covariances = self.model.covariances.given(point.means)
        by_means, means_slope = self.model.means.log_jacobian(point.means, at.means, self.wide, self.floor)
        by_covariances, covariances_slope = covariances.log_jacobian(point.choleskys, self.carried(point))
        scaled = [means_slope * self.mean_scale, covariances_slope * self.covariance_scale]
        beside = np.zeros(0 if self.noise_scale is None else 1)
        return by_means + by_covariances, np.concatenate([np.zeros(self._split[0]), *scaled, beside])


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Derivatives with respect to log weights (as in `Parameters`), means, Sigma and the log factor of errors."""

    log_weights: Array
    means: Array
    sigma: Array
    log_noise: float = 0.0


class Objective:
    """Log-likelihood plus log prior density, in standard units.

    With ``unconstrained=False`` the density is that of each part's own parameters, without Jacobian. With True it is
    the density of the unconstrained coordinates, which is bounded for Dirichlet concentrations below 1 as well.
    """

    def __init__(self, problem: Problem, *, unconstrained: bool) -> None:
        self.problem = problem
        self.unconstrained = unconstrained
        self.passes = 0

    def value(self, at: Parameters) -> tuple[float, Statistics]:
        """Objective and statistics at a point."""
        statistics = self.statistics(at)
        return self.value_of(at, statistics), statistics

    def statistics(self, at: Parameters) -> Statistics:
        """One pass at a point, without the prior."""
        self.passes += 1
        return self.problem.statistics(at)

    def value_of(self, at: Parameters, statistics: Statistics) -> float:
        """Objective at a point whose statistics are known."""
        prior = log_prior(self.problem.model, at, self.unconstrained)
        return statistics.log_normaliser + prior + self._noise_prior(at)[0]

    def coordinates(self, at: Parameters, counts: Array) -> Coordinates:
        """Coordinates round a point at which components have these counts, (G, K) with groups."""
        return Coordinates(self.problem.model, at, counts, self.problem.noise)

    def _noise_prior(self, at: Parameters) -> tuple[float, float]:
        noise = self.problem.noise
        return (0.0, 0.0) if noise is None else noise.log_prior(at.log_noise, unconstrained=self.unconstrained)

    def value_and_gradient(self, coordinates: Coordinates, u: Array) -> tuple[float, Array, Parameters, Statistics]:
        """Objective and its gradient in u, the point and its statistics."""
        at = coordinates.parameters(u)
        statistics = self.statistics(at)
        prior, gradient = self.prior_and_gradient(coordinates, at, statistics)
        return statistics.log_normaliser + prior, gradient, at, statistics

    def prior_and_gradient(
        self, coordinates: Coordinates, at: Parameters, statistics: Statistics
    ) -> tuple[float, Array]:
        """Log prior, and the gradient in u of the objective from statistics about the means at a point.

        With the statistics of that very point it is the gradient of the objective (Fisher's identity); with those of
        another it is the gradient of the expected complete log density.
        """
        model = self.problem.model
        by_means, by_sigma = statistics.slopes(at.precision_choleskys)
        value, weights_slope = model.weights.log_density(at.log_weights)
        means_value, means_slope, means_sigma = model.means.log_density(at.means, at.choleskys)
        by_sigma = by_sigma + means_sigma
        # The prior of the covariances is one of their own parameters, which do not move with the means.
        by_means = by_means + means_slope + model.covariances.means_slope(by_sigma, at.choleskys, at.means)
        sigma_value, sigma_slope = model.covariances.given(at.means).log_density(at.choleskys)
        value += means_value + sigma_value - model.means.log_mass(coordinates.floor)
        by_weights = statistics.weight_counts + weights_slope
        extra = np.zeros(coordinates.size)
        if self.unconstrained:
            jacobian, slope = model.weights.log_jacobian(at.log_weights)
            value, by_weights = value + jacobian, by_weights + slope
            jacobian, extra = coordinates.log_jacobian(at)
            value += jacobian
        noise_value, noise_slope = self._noise_prior(at)
        value += noise_value
        slopes = Slopes(
            log_weights=by_weights,
            means=by_means,
            sigma=by_sigma + sigma_slope,
            log_noise=statistics.noise_residual + noise_slope,
        )
        return value, coordinates.gradient(at, slopes) + extra


def log_prior(model: FilledMixture, at: Parameters, unconstrained: bool) -> float:
    """Log prior density at a point, all constants included."""
    value = model.weights.log_density(at.log_weights)[0]
    covariances, floor = model.covariances.given(at.means), model.covariances.floor(at.means.shape[1])
    value += model.means.log_density(at.means, at.choleskys)[0] - model.means.log_mass(floor)
    value += covariances.log_density(at.choleskys)[0]
    if unconstrained:
        value += model.weights.log_jacobian(at.log_weights)[0]
        value += model.means.log_jacobian(at.means, at.means, at.choleskys, floor)[0]
        value += covariances.log_jacobian(at.choleskys, at.choleskys)[0]
    return value


def at_mode(problem: Problem, mode: Parameters, value: float, unconstrained: bool) -> tuple[dict[str, float], float]:
    """Log-likelihood, log prior and their sum at a mode in the data's units, and what to add to values of a search.

    A search moves in standard units; the change of units adds the same constant to all its values. `mode` is in
    standard units, and `value` that of the search there.
    """
    at = problem.units.to_data(mode)
    likelihood = problem.statistics(mode).log_normaliser - problem.log_volume
    prior = log_prior(problem.declared, at, unconstrained)
    if problem.noise is not None:
        prior += problem.noise.log_prior(at.log_noise, unconstrained=unconstrained)[0]
    joint = likelihood + prior
    return {"log_likelihood": likelihood, "log_prior": prior, "log_posterior": joint}, joint - value


def recentred(statistics: Statistics, old_means: Array, new_means: Array) -> Statistics:
    """The same statistics about new means."""
    first = statistics.first + statistics.counts[:, None] * (old_means - new_means)
    second = scatter_about(statistics, old_means, new_means)
    return replace(statistics, first=first, second=second, mean_slope=None, sigma_slope=None)


def scatter_about(statistics: Statistics, old_means: Array, new_means: Array) -> Array:
    """Expected scatter (K, d, d) about new means from moments about the old ones."""
    shift = new_means - old_means
    cross = np.einsum("ki,kj->kij", statistics.first, shift)
    square = statistics.counts[:, None, None] * np.einsum("ki,kj->kij", shift, shift)
    return statistics.second - cross - np.swapaxes(cross, -1, -2) + square


def row_means(statistics: Statistics, means: Array) -> Array:
    """Weighted means of the rows of each component; its old mean where it has no rows."""
    return means + statistics.first / np.maximum(statistics.counts, np.finfo(float).tiny)[:, None]


def maximise(
    model: FilledMixture, at: Parameters, statistics: Statistics, *, unconstrained: bool = False
) -> Parameters:
    """One M-step (conditional maximisation where there is no joint form; Meng & Rubin 1993).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a covariance is no longer positive definite.
    """
    means = model.means.mode(statistics.counts, row_means(statistics, at.means), at.choleskys)
    if model.covariances.linked:
        widths = np.sqrt(np.diagonal(at.covariances, axis1=1, axis2=2)).min(axis=0)
        means = model.means.raised(means, model.covariances.floor(means.shape[1]), _LEAST_ABOVE * widths)
    rows, scatter = model.means.pseudo_scatter(means)
    scatter = scatter + scatter_about(statistics, at.means, means)
    covariances = model.covariances.given(means).mode(statistics.counts + rows, scatter)
    return replace(
        at,
        log_weights=model.weights.mode(statistics.weight_counts, unconstrained=unconstrained),
        means=means,
        choleskys=np.linalg.cholesky(covariances),
    )
