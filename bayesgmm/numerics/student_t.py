"""Predictive densities of one component: multivariate Student-t and its relatives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics.special import log_gamma

Array = NDArray[np.float64]

FAMILIES = ("student_t", "independent_student_t", "normal")


def log_density(x: Array, loc: Array, scale: Array, df: Array, family: str) -> Array:
    """Log densities (K, N) of rows x (d, N) under K components.

    ``student_t`` is multivariate with one common divisor, ``independent_student_t`` has one for each axis (diagonal
    scale), ``normal`` is the limit of both. `loc` is (K, d), `scale` (K, d, d), `df` (K,).
    """
    if family not in FAMILIES:
        raise AssertionError(f"no predictive family {family!r}")
    d = x.shape[0]
    delta = x[None] - loc[:, :, None]
    L = np.linalg.cholesky(scale)
    z = np.square(np.linalg.solve(L, delta))
    half_log_det = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)[:, None]
    if family == "normal":
        return -0.5 * z.sum(axis=1) - half_log_det - 0.5 * d * np.log(2 * np.pi)
    nu = df[:, None]
    if family == "student_t":
        constant = log_gamma((nu + d) / 2) - log_gamma(nu / 2) - 0.5 * d * np.log(nu * np.pi)
        return constant - half_log_det - 0.5 * (nu + d) * np.log1p(z.sum(axis=1) / nu)
    constant = d * (log_gamma((nu + 1) / 2) - log_gamma(nu / 2) - 0.5 * np.log(nu * np.pi))
    return constant - half_log_det - 0.5 * (nu + 1) * np.log1p(z / nu[:, :, None]).sum(axis=1)
