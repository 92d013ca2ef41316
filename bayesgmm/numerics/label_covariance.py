"""The second pass: what the unknown labels take away from the information about the parameters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics.linalg import lower_indices
from bayesgmm.numerics.passes import rowwise

Array = NDArray[np.float64]

# Numbers held for one block of rows: features of all components.
_NUMBERS_AT_ONCE = 2_000_000


def label_covariance(x: Array, log_scales: Array, means: Array, precision_choleskys: Array) -> Array:
    """Sum over rows of the covariance, over the unknown label z, of the features e_z (1, y, lower(yy')).

    Here y = A_z (x - m_z) are the residuals in units of the component, so that all features are of order one. With J
    the derivatives of the coefficients of these features in the log joint densities, J' M J is the difference between
    the Hessian of the log-likelihood and that of the expected complete one (Louis 1982).

    Parameters
    ----------
    x : (d, N) array
    log_scales, means, precision_choleskys
        As in `expected_statistics`.

    Returns
    -------
    (K D, K D) array, D = (d + 1)(d + 2) / 2
    """
    d, n = x.shape
    K = len(log_scales)
    rows, columns = lower_indices(d)
    D = 1 + d + rows.size
    out = np.zeros((K * D, K * D))
    size = max(1, _NUMBERS_AT_ONCE // (K * D))
    for start in range(0, n, size):
        part = np.ascontiguousarray(x[:, start : start + size])
        r, _ = rowwise(part, log_scales, means, precision_choleskys)
        weighted = np.empty((K, D, part.shape[1]))
        for k in range(K):
            y = precision_choleskys[k] @ (part - means[k][:, None])
            features = np.concatenate([np.ones((1, y.shape[1])), y, y[rows] * y[columns]])
            np.multiply(features, r[k], out=weighted[k])
            own = slice(k * D, (k + 1) * D)
            out[own, own] += weighted[k] @ features.T
        flat = weighted.reshape(K * D, -1)
        out -= flat @ flat.T
    return out


def feature_coefficients(
    log_weights: Array, means: Array, precision_choleskys: Array, about: Array, choleskys: Array
) -> Array:
    """Coefficients (K D,) of those features in the log joint densities of a mixture.

    The features are taken about the means `about` in units of the Choleskys of another (or the same) mixture;
    constants that no parameter changes are left out.
    """
    d = means.shape[1]
    rows, columns = lower_indices(d)
    B = precision_choleskys @ choleskys
    b = (precision_choleskys @ (about - means)[..., None])[..., 0]
    log_dets = np.log(np.diagonal(precision_choleskys, axis1=1, axis2=2)).sum(axis=1)
    constant = log_weights + log_dets - 0.5 * np.square(b).sum(axis=1)
    linear = -(np.swapaxes(B, -1, -2) @ b[..., None])[..., 0]
    square = np.swapaxes(B, -1, -2) @ B
    quadratic = np.where(rows == columns, -0.5, -1.0) * square[:, rows, columns]
    return np.concatenate([constant[:, None], linear, quadratic], axis=1).ravel()
