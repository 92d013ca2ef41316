"""Labels for draws of mixtures by the point-process representation: clusters of the components of all draws.

The components of a draw are points. Those of all draws are clustered by k-means into as many clusters as a draw has
components; a draw whose components fall into different clusters is labelled by them, any other draw is none that can
be labelled (Fruehwirth-Schnatter 2006, section 3.7.7; Malsiner-Walli, Fruehwirth-Schnatter & Gruen 2016, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MOST_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Labels of S draws of m components.

    Attributes
    ----------
    orders : (S, m) array of int
        Component that has each label; meaningless where `permutation` is false.
    permutation : (S,) array of bool
        Whether all components of a draw fell into different clusters.
    centers : (m, p) array
    """

    orders: NDArray[np.intp]
    permutation: NDArray[np.bool_]
    centers: Array

    @property
    def non_permutation_rate(self) -> float:
        """Share of the draws that cannot be labelled: small where the components are well told apart."""
        return float(1.0 - self.permutation.mean())


def labelled(points: Array, start: Array) -> Labelled:
    """Cluster the components (S, m, p) of S draws by k-means from centers (m, p)."""
    S, m, p = points.shape
    flat, centers = points.reshape(S * m, p), np.array(start, dtype=float)
    assigned = np.full(S * m, -1)
    for _ in range(_MOST_STEPS):
        distances = np.stack([np.square(flat - center).sum(axis=1) for center in centers], axis=1)
        nearest = distances.argmin(axis=1)
        if (nearest == assigned).all():
            break
        assigned = nearest
        counts = np.bincount(assigned, minlength=m)
        sums = np.stack([np.bincount(assigned, column, m) for column in flat.T], axis=1)
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
    clusters = assigned.reshape(S, m)
    permutation = (np.sort(clusters, axis=1) == np.arange(m)).all(axis=1)
    return Labelled(orders=np.argsort(clusters, axis=1), permutation=permutation, centers=centers)
