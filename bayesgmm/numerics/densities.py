"""Log densities of many mixtures at a few points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics.linalg import inverse_lower

Array = NDArray[np.float64]

_NUMBERS_AT_ONCE = 2_000_000


def log_densities(points: Array, log_weights: Array, means: Array, choleskys: Array) -> Array:
    """Log densities (S, M) of S mixtures at points (M, d).

    Parameters
    ----------
    points : (M, d) array
    log_weights, means, choleskys : (S, K), (S, K, d) and (S, K, d, d) arrays
    """
    S, K, d = means.shape
    out = np.empty((S, len(points)))
    size = max(1, _NUMBERS_AT_ONCE // (K * d * len(points)))
    for begin in range(0, S, size):
        part = slice(begin, begin + size)
        factors = inverse_lower(choleskys[part])
        y = (points[None, None] - means[part][:, :, None]) @ np.swapaxes(factors, -1, -2)
        log_dets = np.log(np.abs(np.diagonal(factors, axis1=-2, axis2=-1))).sum(axis=-1)
        constants = log_weights[part] + log_dets - 0.5 * d * np.log(2.0 * np.pi)
        out[part] = np.logaddexp.reduce(constants[..., None] - 0.5 * np.square(y).sum(axis=-1), axis=1)
    return out
