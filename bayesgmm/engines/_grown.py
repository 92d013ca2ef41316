"""Starts with one component more that are more likely than the mixture they come from.

A small component placed where the gradient of the likelihood is largest raises it (Lindsay 1983; Verbeek, Vlassis &
Kroese 2003). EM never falls, so from there it ends above the optimum of the smaller mixture or at a collapsed
component.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesgmm.engines.base import Array, Parameters, Problem
from bayesgmm.numerics.linalg import inverse_lower

# Rows that may become a mean, sizes of the new component's covariance relative to that of the one it is near, and
# weights to try.
_MOST_ROWS = 100
_SIZES = (1.0, 0.25)
_WEIGHTS = (0.3, 0.1, 0.03, 0.01, 0.003)


def grown(problem: Problem, at: Parameters) -> list[Parameters]:
    """The best start with a new component of each size; none where no new component would help."""
    x = problem.x
    units = problem.rows.units_by_row()
    pooled = problem.pooled(at.log_weights)
    joint = pooled[:, None] + _log_densities(x, at.means, at.choleskys)
    density = np.logaddexp.reduce(joint, axis=0)
    # The worst fitting rows and others spread evenly over the order of fit.
    order = np.argsort(density)
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(_MOST_ROWS, len(order))).astype(int))]
    owner = joint[:, chosen].argmax(axis=0)
    out = []
    for size in _SIZES[:1] if problem.model.covariances.tied else _SIZES:
        choleskys = np.sqrt(size) * at.choleskys[owner]
        ratio = np.exp(np.minimum(_log_densities(x, x[:, chosen].T, choleskys) - density, 500.0))
        best = int((ratio @ units).argmax())
        gains = [float(np.log1p(weight * (ratio[best] - 1.0)) @ units) for weight in _WEIGHTS]
        weight = _WEIGHTS[int(np.argmax(gains))]
        if max(gains) > 0.0:
            out.append(_with_new(at, x[:, chosen[best]], choleskys[best], weight))
    return out


def _with_new(at: Parameters, mean: Array, cholesky: Array, weight: float) -> Parameters:
    new = np.full((*at.log_weights.shape[:-1], 1), np.log(weight))
    return replace(
        at,
        log_weights=np.concatenate([at.log_weights + np.log1p(-weight), new], axis=-1),
        means=np.vstack([at.means, mean]),
        choleskys=np.concatenate([at.choleskys, cholesky[None]]),
    )


def _log_densities(x: Array, means: Array, choleskys: Array) -> Array:
    """Log densities of all rows (d, N) under each Gaussian (M, N)."""
    inverse = inverse_lower(choleskys)
    whitened = inverse @ (x[None] - means[:, :, None])
    log_det = np.log(np.diagonal(choleskys, axis1=-2, axis2=-1)).sum(axis=1)
    return -0.5 * np.square(whitened).sum(axis=1) - log_det[:, None] - 0.5 * len(x) * np.log(2 * np.pi)
