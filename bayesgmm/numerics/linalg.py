"""Small dense linear algebra on stacks of matrices (..., d, d)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_det(choleskys: Array) -> Array:
    """Log determinant of L L'."""
    return 2.0 * np.log(np.diagonal(choleskys, axis1=-2, axis2=-1)).sum(axis=-1)


def inverse_lower(choleskys: Array) -> Array:
    """Inverses of lower triangular matrices; exactly lower triangular."""
    return np.tril(np.linalg.inv(choleskys))


def inverse_from_cholesky(choleskys: Array) -> Array:
    """(L L')^-1."""
    inverse = inverse_lower(choleskys)
    return np.swapaxes(inverse, -1, -2) @ inverse


def outer(choleskys: Array) -> Array:
    """L L'."""
    return choleskys @ np.swapaxes(choleskys, -1, -2)


def precision_cholesky(precisions: Array) -> Array:
    """Lower A with A'A the given precision (the pass wants this factor, not the usual A A')."""
    # Reversing rows and columns turns the lower Cholesky factor into the upper one.
    flipped = np.linalg.cholesky(precisions[..., ::-1, ::-1])
    return np.swapaxes(flipped[..., ::-1, ::-1], -1, -2)


def diagonal_matrices(diagonals: Array) -> Array:
    """Diagonal matrices (..., d, d) from (..., d)."""
    return diagonals[..., None] * np.eye(diagonals.shape[-1])


def smallest_relative_eigenvalue(choleskys: Array, reference: Array) -> Array:
    """Smallest eigenvalue of L L' relative to R R', one for each L (K,)."""
    whitened = np.linalg.solve(reference, choleskys)
    return np.square(np.linalg.svd(whitened, compute_uv=False)[..., -1])
