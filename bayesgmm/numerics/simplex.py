"""Coordinates on the simplex."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@lru_cache(maxsize=256)
def isometric_basis(n: int) -> Array:
    """Orthonormal columns (n, n-1) that span the vectors of sum zero (Egozcue et al. 2003, isometric log-ratios)."""
    basis = np.zeros((n, n - 1))
    for j in range(n - 1):
        basis[: j + 1, j] = 1.0
        basis[j + 1, j] = -(j + 1.0)
        basis[:, j] /= np.sqrt((j + 1.0) * (j + 2.0))
    basis.setflags(write=False)
    return basis
