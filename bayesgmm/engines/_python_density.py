"""The posterior density as a function of unconstrained coordinates in which the mode has unit scale, for NUTS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._objective import Objective
from bayesgmm.engines.base import Array, Parameters, Problem

if TYPE_CHECKING:
    from bayesgmm.numerics._posterior_table import Table

# Directions in which the mode is flatter than this, relative to the complete-data information, are far from Gaussian;
# the sampler finds their scale itself.
_LEAST_CURVATURE = 0.01


class PythonDensity:
    """Log posterior density of coordinates v for every model, and the maps between v and parameters.

    v = 0 is the mode, and v has about unit scale there: u = C v, with u the local coordinates of the other engines
    and C C' the inverse of minus the Hessian at the mode.

    Parameters
    ----------
    problem : Problem
    mode : Parameters
        In standard units.
    """

    constant = 0.0

    def __init__(self, problem: Problem, mode: Parameters) -> None:
        objective = Objective(problem, unconstrained=True)
        _, statistics = objective.value(mode)
        self.coordinates = objective.coordinates(mode, statistics.weight_counts)
        self.size = self.coordinates.size
        self.to_local = _whitening(hessian(objective, self.coordinates, statistics))
        self._problem = problem

    def function(self) -> Callable[[Array], tuple[float, Array]]:
        """Log density without `constant` and its gradient, as a function with a workspace of its own.

        Each thread needs its own function. Where the density overflows it is 0.
        """
        # Chains run at the same time, so that one pass need not be shared out.
        objective = Objective(replace(self._problem, n_threads=1), unconstrained=True)

        def log_density(v: Array) -> tuple[float, Array]:
            with np.errstate(all="ignore"):
                try:
                    value, gradient, _, _ = objective.value_and_gradient(self.coordinates, self.to_local @ v)
                except np.linalg.LinAlgError:
                    return -np.inf, np.zeros_like(v)
            return value, self.to_local.T @ gradient

        return log_density

    def for_threads(self) -> Table | None:
        """What a thread needs to evaluate the density without the interpreter, or None if it needs that."""
        return None

    def parameters(self, v: Array) -> Parameters:
        """Points in standard units at coordinates (..., p)."""
        return self.coordinates.parameters(v @ self.to_local.T)

    def coordinates_of(self, point: Parameters) -> Array:
        """The inverse of `parameters` for one point."""
        return np.linalg.solve(self.to_local, self.coordinates.coordinates(point))


def _whitening(curvature: Array) -> Array:
    """C with C C' the inverse of minus the Hessian, its eigenvalues kept between sensible bounds."""
    values, vectors = np.linalg.eigh(-curvature)
    return vectors / np.sqrt(np.maximum(values, _LEAST_CURVATURE))
