"""Paired differences of leave-one-out between rows of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayesgmm.engines.base import Array
from bayesgmm.inference._assess import LeftOut


def loo_differences(each: Sequence[LeftOut | None]) -> tuple[Array, Array]:
    """Expected log predictive density less that of the best, and the standard error of this paired difference.

    The best is that with the highest sum of which nothing rests on units whose smoothing cannot be relied on; one that
    does may have a difference above 0.

    Units are the same in all, so that what makes one hard to predict for every model cancels. Monte-Carlo error is in
    the standard error; of the best itself both are 0.
    """
    totals = np.array([np.nan if one is None else float(one.units @ one.elpd) for one in each])
    difference, error = np.full(len(each), np.nan), np.full(len(each), np.nan)
    cautious = np.array([np.nan if one is None else float(one.units @ one.cautious) for one in each])
    if np.isnan(cautious).all():
        return difference, error
    at = int(np.nanargmax(cautious))
    best = each[at]
    assert best is not None
    for i, one in enumerate(each):
        if one is None:
            continue
        if i == at:
            difference[i] = error[i] = 0.0
            continue
        apart = one.elpd - best.elpd
        n = best.units.sum()
        variance = float(best.units @ np.square(apart - best.units @ apart / n))
        difference[i] = totals[i] - totals[at]
        error[i] = np.sqrt(variance + one.monte_carlo_error**2 + best.monte_carlo_error**2)
    return difference, error
