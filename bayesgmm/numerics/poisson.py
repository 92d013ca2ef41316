"""Logarithms of Poisson probabilities and their slopes in the logarithm of the rate.

Nothing is lost where a rate is tiny or large: sums have positive terms only, and complements go through log1p.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammaln

Array = NDArray[np.float64]

_MOST_TERMS = 10_000
_PRECISION = 1e-17


def log_tail(m: int, log_rate: Array) -> tuple[Array, Array]:
    """Log P(N >= m), m >= 1, for rates of any shape, and its slope in the log rate.

    Below the rate m + 1 as e^-L L^m / m! (1 + L / (m + 1) + L^2 / ((m + 1)(m + 2)) + ...), whose terms fall; above as a
    complement (DLMF 8.7.1 and 8.4.10).
    """
    t = np.asarray(log_rate, dtype=float)
    L = np.exp(t)
    if m == 1:
        return _log_any(t, L)
    first = m * t - L - gammaln(m + 1.0)
    low = m + 1.0 > L
    small = np.where(low, L, 0.0)
    term, total = np.ones_like(small), np.ones_like(small)
    for j in range(1, _MOST_TERMS):
        term = term * small / (m + j)
        total = total + term
        if not np.any(term > _PRECISION * total):
            break
    value = np.where(low, first + np.log(total), np.log1p(-gammaincc(m, np.where(low, np.inf, L))))
    # L pmf(m - 1) = m pmf(m).
    return value, m * np.exp(np.where(low, -np.log(total), first - value))


def _log_any(t: Array, L: Array) -> tuple[Array, Array]:
    """The same for m = 1, where P = 1 - exp(-L)."""
    small, large = L < 1e-8, L > 0.7
    away = np.where(small, 1.0, L)
    value = np.where(large, np.log1p(-np.exp(-away)), np.log(-np.expm1(-away)))
    with np.errstate(over="ignore"):
        slope = away / np.expm1(away)
    return np.where(small, t - 0.5 * L, value), np.where(small, 1.0 - 0.5 * L, slope)


def log_counts(n: int, log_rate: Array, *, lump: bool) -> tuple[Array, Array]:
    """Log probabilities of 0, ..., n - 1 (..., n) and their slopes in the log rate.

    The last one is that of n - 1 or more with `lump`; otherwise all are divided by their sum.
    """
    t = np.asarray(log_rate, dtype=float)[..., None]
    k = np.arange(float(n))
    L = np.exp(t)
    if not lump:
        logs = k * t - gammaln(k + 1.0)
        logs = logs - np.logaddexp.reduce(logs, axis=-1, keepdims=True)
        return logs, k - np.exp(logs) @ k[:, None]
    logs, slopes = k * t - L - gammaln(k + 1.0), k - L
    logs[..., -1], slopes[..., -1] = log_tail(n - 1, t[..., 0])
    return logs, slopes
