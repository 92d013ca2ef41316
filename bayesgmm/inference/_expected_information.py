"""The expected Fisher information of a mixture about its own parameters, and what follows for separations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm.data import Data, rows_in_units
from bayesgmm.engines._curvature import natural_slopes
from bayesgmm.engines._objective import Coordinates
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.inference._lrt_fits import simulated
from bayesgmm.inference.simulation import imitated
from bayesgmm.numerics.curvature import n_coordinates
from bayesgmm.numerics.exact_rows import ExactRows
from bayesgmm.numerics.linalg import lower_indices, outer
from bayesgmm.numerics.rows import Rows

Array = NDArray[np.float64]

# Nodes of Gauss-Hermite quadrature for each feature, and draws where there are too many features or rows are not exact.
_NODES = {1: 80, 2: 26, 3: 12}
_DRAWS = 4000
# Each component gets at least so many draws for each of its numbers.
_DRAWS_EACH = 2


@dataclass(frozen=True, kw_only=True)
class Directions:
    """The ways in which a mixture may move: derivatives J (K D + 1, p) of its numbers, by group of rows.

    The numbers are those of `numerics.curvature`, in units of each component, so that J stays what it is when means
    alone are elsewhere. Components that are left out keep what they are: their means, their covariances unless these
    are everybody's, and their weights.
    """

    by_group: dict[int, Any]

    @classmethod
    def at(cls, problem: Problem, at: Parameters, left_out: NDArray[np.intp]) -> Directions:
        """Those from a point, of all components but some."""
        from scipy.linalg import null_space
        from scipy.sparse import csr_array

        counts = np.exp(at.log_weights) * problem.rows.units()
        coordinates = Coordinates(problem.model, at, counts, problem.noise)
        found = natural_slopes(coordinates, sorted({part.group for part in problem.rows.parts}))
        n_weights = problem.model.weights.n_free(problem.K)
        if left_out.size == 0:
            return cls(by_group={group: csr_array(J) for group, J in found.items()})
        D = n_coordinates(problem.n_features)
        own = (D * left_out[:, None] + np.arange(D)).ravel()
        others = np.delete(np.arange(problem.K * D + 1), own)
        # Coordinates of means and covariances that move nothing else are held, and so are the weights themselves.
        moves = np.any([J[others] != 0 for J in found.values()], axis=(0, 1))
        moves[:n_weights] = False
        fixed = np.concatenate([J[D * left_out, :n_weights] for J in found.values()])
        by_weights = null_space(fixed) if n_weights else np.zeros((0, 0))
        return cls(
            by_group={
                group: csr_array(np.hstack([J[:, :n_weights] @ by_weights, J[:, moves]])) for group, J in found.items()
            }
        )


@dataclass(frozen=True, kw_only=True)
class ExpectedInformation:
    """What as many rows as were observed are expected to say about a mixture at a point.

    It is summed from the products of the slopes of single rows, so that in no direction it is negative, however
    little the rows say there.
    """

    problem: Problem
    data: Data
    at: Parameters
    directions: Directions

    def error(self, pair: tuple[int, int], blur: Array | float = 0.0) -> float:
        """Standard error of a separation with everything else unknown: the inverse of the efficient information.

        It is the separation in sds of what is seen through errors with the covariance `blur` (d, d).
        """
        from scipy.linalg import solve_triangular

        J = next(iter(self.directions.by_group.values()))
        scale, L = self._factor
        return float(np.linalg.norm(solve_triangular(L, J.T @ self._slopes(pair, blur) / scale, lower=True)))

    @cached_property
    def _factor(self) -> tuple[Array, Array]:
        """Scales of the coordinates, and the Cholesky factor of the information in them."""
        # On the scale of each coordinate, as if all others were known.
        scale = np.sqrt(np.maximum(np.diagonal(self._matrix), np.finfo(float).tiny))
        scaled = self._matrix / scale[:, None] / scale
        try:
            return scale, np.linalg.cholesky(scaled)
        except np.linalg.LinAlgError:
            # Directions of which nothing is known must count, not vanish.
            values, vectors = np.linalg.eigh(scaled)
            values = np.maximum(values, np.finfo(float).eps * max(float(values[-1]), 1.0))
            return scale, np.linalg.qr((vectors * np.sqrt(values)).T)[1].T

    @cached_property
    def _matrix(self) -> Array:
        """The information (p, p) along the directions."""
        rows, drawn = _expected_rows(self.problem, self.data, self.at)
        by_group = rows.curvature(
            self.at.log_weights,
            self.at.means,
            self.at.choleskys,
            noise_factor=float(np.exp(2.0 * self.at.log_noise)),
            free_noise=self.problem.free_noise,
            products=True,
        )
        out: Any = 0.0
        for group, J in self.directions.by_group.items():
            if group in by_group:
                out = out - J.T @ (J.T @ by_group[group]).T
        # The inverse of a mean of n products in p directions is too large by n / (n - p - 1).
        left = 1.0 if drawn is None else max(1.0 - (len(out) + 1) / drawn, 1.0 / drawn)
        return out / left * self.problem.rows.units() / rows.units()

    def _slopes(self, pair: tuple[int, int], blur: Array | float = 0.0) -> Array:
        """Derivatives of the separation of two components in the numbers of `numerics.curvature`."""
        K, d = self.at.means.shape
        out = np.zeros((K, n_coordinates(d)))
        j, k = pair
        apart = self.at.means[j] - self.at.means[k]
        covariances = outer(self.at.choleskys)
        v = np.linalg.solve(0.5 * (covariances[j] + covariances[k]) + blur, apart)
        distance = float(np.sqrt(v @ apart))
        if distance == 0:  # it has no slope where there is none
            return np.append(out, 0.0)
        rows, columns = lower_indices(d)
        for own, sign in ((j, 1.0), (k, -1.0)):
            w = self.at.choleskys[own].T @ v
            out[own, 1 : d + 1] = sign * w / distance
            out[own, d + 1 :] = -0.25 * np.where(rows == columns, 1.0, 2.0) * w[rows] * w[columns] / distance
        return np.append(out, 0.0)


def _expected_rows(problem: Problem, data: Data, at: Parameters) -> tuple[Rows, float | None]:
    """Rows that stand for what the mixture at a point produces, and how many there are if they are drawn."""
    d, K = problem.n_features, problem.K
    if not problem.rows.exact:
        return _simulated_rows(problem, data, at)
    z, share, drawn = _nodes(d, K)
    units = problem.rows.units()
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
    return Rows(parts=parts, n_rows=len(x), n_features=d), drawn


def _nodes(d: int, K: int) -> tuple[Array, Array, float | None]:
    """Standard normal nodes (n, d) and their shares for each of K components, and how many are drawn in all."""
    if d in _NODES:
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES[d])
        z = np.array(list(product(nodes, repeat=d)))
        share = np.array([np.prod(each) for each in product(weights / weights.sum(), repeat=d)])
        keep = share > 1e-14 * share.max()
        return z[keep], share[keep], None
    n = max(_DRAWS // K, _DRAWS_EACH * n_coordinates(d))
    # The same draws at all separations, so that they can be compared; their mean and covariance are made exact.
    z = np.random.default_rng(0).standard_normal((n, d))
    z -= z.mean(axis=0)
    z = np.linalg.solve(np.linalg.cholesky(z.T @ z / n), z.T).T
    return z, np.full(n, 1.0 / n), float(n * K)


def _simulated_rows(problem: Problem, data: Data, at: Parameters) -> tuple[Rows, float | None]:
    """Rows observed like the data; bins as they are, and of other rows a fixed number."""
    rng = np.random.default_rng(0)
    like = data = replace(data, known_labels=None)
    if data.bins is None:
        n = data.n_obs if data.counts is None else round(float(data.counts.sum()))
        chosen = np.resize(imitated(data, n), max(n, _DRAWS))
        if n > _DRAWS:
            chosen = np.sort(rng.choice(chosen, _DRAWS, replace=False))
        own = {name: getattr(data, name) for name in ("noise", "groups")}
        taken = {name: None if part is None else part[chosen] for name, part in own.items()}
        like = replace(data, values=data.values[chosen], counts=None, obs_names=None, **taken)
    made = simulated(problem.units.to_data(at), like, rng)
    parts = rows_in_units(made, problem.units.center, problem.units.scale).parts
    return replace(problem.rows, parts=parts), sum(float(part.units.sum()) for part in parts)
