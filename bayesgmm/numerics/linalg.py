"""Small dense linear algebra on stacks of matrices (..., d, d)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# What rounding in single precision may leave where variances are 1: between the halves of a symmetric matrix, and of
# eigenvalues that are 0.
_ROUNDING = 1e-6
# Smallest eigenvalue beside the largest that survives a product and a Cholesky factor.
_LEAST = 1e-12
_NOTHING = 1e-300


@lru_cache(maxsize=64)
def lower_mask(d: int) -> Array:
    """Ones on and below the diagonal."""
    mask = np.tri(d)
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=64)
def strictly_lower_mask(d: int) -> Array:
    """Ones below the diagonal."""
    mask = np.tri(d, k=-1)
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=64)
def lower_indices(d: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the entries on and below the diagonal, row by row."""
    return np.tril_indices(d)


@lru_cache(maxsize=64)
def below_diagonal(d: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the entries strictly below the diagonal, row by row."""
    return np.tril_indices(d, -1)


def log_det(choleskys: Array) -> Array:
    """Log determinant of L L'."""
    return 2.0 * np.log(np.diagonal(choleskys, axis1=-2, axis2=-1)).sum(axis=-1)


def inverse_lower(choleskys: Array) -> Array:
    """Inverses of lower triangular matrices; exactly lower triangular."""
    if choleskys.shape[-1] == 1 and choleskys.all():  # numpy takes ten times as long for it
        return 1.0 / choleskys
    return np.linalg.inv(choleskys) * lower_mask(choleskys.shape[-1])


def inverse_from_cholesky(choleskys: Array) -> Array:
    """(L L')^-1."""
    inverse = inverse_lower(choleskys)
    return np.swapaxes(inverse, -1, -2) @ inverse


@np.errstate(over="ignore", invalid="ignore")  # of points that optimisers try; who reads it sees what is infinite
def outer(choleskys: Array) -> Array:
    """L L'."""
    return choleskys @ np.swapaxes(choleskys, -1, -2)


def cholesky_lifted(covariance: Array) -> Array:
    """Cholesky factor (d, d); eigenvalues that rounding has left at 0 or below it are lifted just above."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.linalg.cholesky((vectors * np.maximum(values, max(_LEAST * values[-1], _NOTHING))) @ vectors.T)


def diagonal_matrices(diagonals: Array) -> Array:
    """Diagonal matrices (..., d, d) from (..., d)."""
    return diagonals[..., None] * np.eye(diagonals.shape[-1])


def any_below(choleskys: Array, reference: Array, floor: float) -> bool:
    """Whether some L L' (K, d, d) has an eigenvalue below `floor` relative to R R'."""
    # The eigenvalue is 1 / |L^-1 R|^2 in the spectral norm; the Frobenius norm bounds it and usually settles it.
    relative = np.linalg.solve(choleskys, reference)
    with np.errstate(over="ignore"):  # what overflows is above
        if np.square(relative).sum(axis=(-2, -1)).max() < 1.0 / floor:
            return False
        return bool(np.square(np.linalg.svd(relative, compute_uv=False)[..., 0].max()) > 1.0 / floor)


def symmetrised(matrices: Array) -> Array:
    """The mean of matrices (..., d, d) and their transposes, exactly symmetric."""
    return 0.5 * matrices + 0.5 * np.swapaxes(matrices, -1, -2)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why something is no covariance matrix.

    Attributes
    ----------
    matrix : int
        Which of several.
    entry : (int, int) or None
        Row and column, where one entry is to blame.
    problem : str
        Goes on after "the entry" or "the matrix".
    """

    matrix: int
    entry: tuple[int, int] | None
    problem: str


def covariance_fault(matrices: Array, *, singular: bool = False) -> Fault | None:
    """What keeps finite matrices (M, d, d) from being covariances up to rounding, or None.

    Everything is measured in units of sqrt(a_ii a_jj), so that neither an entry that should be 0 nor units of very
    different size matter. With `singular` variances of 0 and perfect correlations are allowed.
    """
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    bad = variances < 0 if singular else variances <= 0
    if bad.any():
        m, i = (int(each) for each in np.argwhere(bad)[0])
        least = "at least 0" if singular else "greater than 0"
        return Fault(matrix=m, entry=(i, i), problem=f"is {variances[m, i]:g}, and a variance is {least}")
    sds = np.sqrt(variances)
    units = sds[:, :, None] * sds[:, None, :]
    turned = np.swapaxes(matrices, 1, 2)
    bad = np.abs(matrices - turned) > _ROUNDING * units
    if bad.any():
        m, i, j = (int(each) for each in np.argwhere(bad)[0])
        exchanged = f"is {matrices[m, i, j]:g}, but {matrices[m, j, i]:g} with the two exchanged"
        return Fault(matrix=m, entry=(i, j), problem=exchanged)
    bad = np.abs(matrices) > (1.0 + _ROUNDING) * units
    if bad.any():
        m, i, j = (int(each) for each in np.argwhere(bad)[0])
        beyond = f"is {matrices[m, i, j]:g}, beyond the {units[m, i, j]:g} that the variances allow"
        return Fault(matrix=m, entry=(i, j), problem=beyond)
    correlations = symmetrised(matrices) / np.where(units > 0, units, 1.0)
    d = correlations.shape[-1]
    # Above this all pivots are positive whatever the rounding (Higham 2002, theorem 10.7).
    least = -_ROUNDING if singular else d * (d + 1) * np.finfo(float).eps
    try:
        np.linalg.cholesky(correlations - least * np.eye(d))
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(correlations)[:, 0]
        m = int(smallest.argmin())
        kind = "positive semi-definite" if singular else "positive definite"
        told = f"is not {kind}: where its variances are 1 the smallest eigenvalue is {smallest[m]:.3g}"
        return Fault(matrix=m, entry=None, problem=told)
    return None
