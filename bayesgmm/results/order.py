"""One canonical order of components, so that two seeds give the same table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesgmm.engines.base import Parameters, Problem

Array = NDArray[np.float64]


def canonical_order(problem: Problem, point: Parameters) -> NDArray[np.intp]:
    """Order of components along the first principal axis of the (standardised) data.

    Only components that the prior treats alike change places. Ties, such as concentric components, go by size of the
    covariance.
    """
    _, vectors = np.linalg.eigh(problem.data_cholesky @ problem.data_cholesky.T)
    axis = vectors[:, -1]
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
    standard = problem.units.to_standard(point)
    score = np.round(standard.means @ axis, 9)
    size = np.log(np.abs(np.diagonal(standard.choleskys, axis1=1, axis2=2))).sum(axis=1)
    order = np.arange(problem.K)
    keys = problem.model.keys()
    for key in set(keys):
        slots = np.array([k for k in range(problem.K) if keys[k] == key])
        order[slots] = slots[np.lexsort((size[slots], score[slots]))]
    return order
