"""Limits of blank and detection, from wells without template (Armbruster & Pry 2008, in counts)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesgmm.ddpcr._fit_plate import PlateFit

_PROBABILITY = 0.95
_MOST = 10_000


def limits(fitted: PlateFit, controls: NDArray[np.bool_], volume_ul: float) -> tuple[float, float]:
    """Copies per microlitre: what a blank stays below, and what is told from a blank, each with 95 % probability.

    Positives in a blank are Poisson with a rate of which Jeffreys' prior is left by the controls, so the number in the
    next blank is negative binomial; with few controls that is wider.

    Returns
    -------
    limit_of_blank, limit_of_detection : float
        NaN without controls.
    """
    from scipy.stats import nbinom, poisson

    fits = [fit for fit, control in zip(fitted.wells, controls, strict=True) if control and fit is not None]
    if not fits:
        return np.nan, np.nan
    positives = sum(-fit.n_droplets * float(fit.shares @ np.expm1(-np.exp(fit.of("log_rate")))) for fit in fits)
    droplets = np.mean([fit.n_droplets for fit in fits])
    blank = int(nbinom.ppf(_PROBABILITY, positives + 0.5, len(fits) / (len(fits) + 1.0)))
    means = np.arange(blank, blank + _MOST) * 0.1 + 0.1
    enough = poisson.sf(blank, means + positives / len(fits)) >= _PROBABILITY
    detected = float(means[int(np.argmax(enough))])

    def copies(count: float) -> float:
        return float(-np.log1p(-min(count / droplets, 1.0 - 1.0 / droplets)) / volume_ul)

    return copies(blank), copies(detected)
