"""Special functions of matrix distributions, vectorised over leading axes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma as digamma
from scipy.special import gammaln as log_gamma

Array = NDArray[np.float64]


def multivariate_log_gamma(a: Array | float, d: int) -> Array:
    """Log of the multivariate gamma function Gamma_d(a)."""
    a = np.asarray(a, dtype=float)[..., None]
    return d * (d - 1) / 4 * np.log(np.pi) + log_gamma(a - np.arange(d) / 2).sum(axis=-1)


def multivariate_digamma(a: Array | float, d: int) -> Array:
    """Derivative of `multivariate_log_gamma`."""
    a = np.asarray(a, dtype=float)[..., None]
    return digamma(a - np.arange(d) / 2).sum(axis=-1)


def inverse_wishart_log_normaliser(df: Array | float, log_det_scale: Array | float, d: int) -> Array:
    """Log of the factor in front of |Sigma|^(-(df+d+1)/2) exp(-tr(S Sigma^-1)/2)."""
    df = np.asarray(df, dtype=float)
    return df / 2 * np.asarray(log_det_scale) - df * d / 2 * np.log(2.0) - multivariate_log_gamma(df / 2, d)


def expected_log_det_precision(df: Array | float, log_det_scale: Array | float, d: int) -> Array:
    """E ln |Lambda| when Lambda^-1 is inverse-Wishart(df, S)."""
    return multivariate_digamma(np.asarray(df) / 2, d) + d * np.log(2.0) - np.asarray(log_det_scale)


@lru_cache(maxsize=64)
def lkj_log_normaliser(eta: float, d: int) -> float:
    """Log of the factor in front of |R|^(eta - 1) (Lewandowski, Kurowicka & Joe 2009, eq. 16)."""
    k = np.arange(1, d)
    half = eta + (d - k - 1) / 2
    log_beta = 2 * log_gamma(half) - log_gamma(2 * half)
    return -float((((2 * eta - 2 + d - k) * (d - k)) * np.log(2.0)).sum() + ((d - k) * log_beta).sum())
