"""How to climb the log posterior of a well in its own parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEP = 1e-4  # of differences of gradients, in units of the coordinates' scales
_FLAT = 1e-8
_NEWTON_STEPS, _HALVINGS = 8, 6
# An end is a mode where a Newton step would gain less, in nats.
_GAIN = 1e-4
# After a step that gained less the curvature is not computed again.
_SMALL_GAIN = 0.1


class Climbed(ABC):
    """A log density of one vector of parameters, with its gradient."""

    @abstractmethod
    def value_and_gradient(self, own: Array) -> tuple[float, Array]:
        """Log posterior (up to a constant) and its gradient at parameters (p,)."""

    @abstractmethod
    def values(self, own: Array) -> Array:
        """Log posteriors (S,) of many vectors (S, p), up to the same constant."""

    @abstractmethod
    def scales(self, own: Array) -> Array:
        """About what each parameter's standard deviation would be if every droplet's cluster were known."""

    def climb(self, own: Array, evaluations: int) -> tuple[Array, float]:
        """Quasi-Newton steps uphill, and the value where they end."""
        from scipy.optimize import minimize

        S = self.scales(own)

        def negative(u: Array) -> tuple[float, Array]:
            with np.errstate(all="ignore"):
                try:
                    value, gradient = self.value_and_gradient(own + S * u)
                except np.linalg.LinAlgError:
                    value, gradient = np.nan, u
            if not (np.isfinite(value) and np.isfinite(gradient).all()):
                return 1e300, np.zeros_like(u)
            return -value, -gradient * S

        options = {"maxfun": evaluations, "maxiter": evaluations, "maxcor": 20, "gtol": 0.02, "ftol": 0.0}
        found = minimize(negative, np.zeros(own.size), jac=True, method="L-BFGS-B", options=options)
        return own + S * found.x, -float(found.fun)

    def top(self, own: Array) -> tuple[Array, Array, bool]:
        """Newton steps to the mode, a factor F of its covariance F F', and whether it was reached.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the density does not curve down in every direction where the steps end.
        """
        value, gradient = self.value_and_gradient(own)
        S = self.scales(own)
        for _ in range(_NEWTON_STEPS):
            values, vectors = np.linalg.eigh(self._curvature(own, S))
            slope = vectors.T @ (S * gradient)
            gain = 0.5 * (np.square(slope) / values).sum()
            if values[0] > _FLAT and gain < _GAIN:
                return own, S[:, None] * vectors / np.sqrt(values), True
            step = S * (vectors @ (slope / np.maximum(np.abs(values), 1e-3)))
            for halving in range(_HALVINGS):
                trial = own + 0.5**halving * step
                with np.errstate(all="ignore"):
                    moved, slopes = self.value_and_gradient(trial)
                if np.isfinite(moved) and moved > value:
                    own, value, gradient = trial, moved, slopes
                    break
            else:
                break
            if values[0] > _FLAT and gain < _SMALL_GAIN:
                # So near to the mode the curvature is that of the mode.
                left = 0.5 * (np.square(vectors.T @ (S * gradient)) / values).sum()
                if left < _GAIN:
                    return own, S[:, None] * vectors / np.sqrt(values), True
        values, vectors = np.linalg.eigh(self._curvature(own, S))
        if values[0] < _FLAT:
            raise np.linalg.LinAlgError("the log density is flat or curves upwards at the mode")
        return own, S[:, None] * vectors / np.sqrt(values), False

    def _curvature(self, own: Array, S: Array) -> Array:
        """Minus the second derivatives in units of the scales, by differences of gradients."""
        out = np.empty((own.size, own.size))
        for i in range(own.size):
            step = np.zeros(own.size)
            step[i] = 10.0 * _STEP * S[i]
            ahead, behind = self.value_and_gradient(own + step)[1], self.value_and_gradient(own - step)[1]
            out[i] = (behind - ahead) * S / (20.0 * _STEP)
        return 0.5 * (out + out.T)
