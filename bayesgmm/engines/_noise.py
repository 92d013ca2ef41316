"""Errors of measurement as the coordinates of the engines see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesgmm.model.scale_priors import ScalePrior

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What the coordinates of an engine have to know about errors of measurement.

    Attributes
    ----------
    typical : (d, d) array
        Covariance of an error of middling size; with factor 1.
    units : float
        Number of units that were measured.
    prior : ScalePrior, optional
        On the factor of all standard deviations, where it is not known.
    """

    typical: Array
    units: float
    prior: ScalePrior | None = None

    def log_prior(self, log_noise: float, *, unconstrained: bool) -> tuple[float, float]:
        """Log prior density of the factor, that of its logarithm if `unconstrained`, and the slope in the logarithm."""
        if self.prior is None:
            return 0.0, 0.0
        s = np.exp(log_noise)
        value, slope = (float(np.ravel(each)[0]) for each in self.prior.log_density(np.array([s])))
        return (value + log_noise, slope * s + 1.0) if unconstrained else (value, slope * s)

    def log_priors(self, log_noise: Array) -> Array:
        """Log prior densities (S,) of the logarithms of many factors."""
        if self.prior is None:
            return np.zeros(len(log_noise))
        return self.prior.log_density(np.exp(log_noise)[:, None])[0][:, 0] + log_noise
