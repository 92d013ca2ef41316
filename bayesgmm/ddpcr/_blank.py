"""Limits of blank and detection, from wells without template (Armbruster & Pry 2008, in counts)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesgmm.ddpcr._between_wells import Counted
from bayesgmm.ddpcr._fit_plate import PlateFit

_PROBABILITY = 0.95
_MOST = 10_000


def limits(fitted: PlateFit, controls: NDArray[np.bool_], volume_ul: float) -> tuple[float, float]:
    """Copies per microlitre: what a blank stays below, and what is told from a blank, each with 95 % probability.

    Positives in a blank are Poisson with a rate of which Jeffreys' prior is left by the controls, so the number in the
    next blank is negative binomial; with few controls that is wider. What a control tells is counted in droplets that
    tell as much without error, so that blanks whose clusters overlap have wider limits.

    Returns
    -------
    limit_of_blank, limit_of_detection : float
        NaN without controls.
    """
    from scipy.stats import nbinom, poisson

    fits = zip(fitted.wells, controls, strict=True)
    blanks = [Counted.of(fit) for fit, control in fits if control and fit is not None]
    if not blanks:
        return np.nan, np.nan
    n = len(blanks)
    positives = sum(each.positive for each in blanks)
    droplets = float(np.mean([each.positive + each.negative for each in blanks]))
    blank = int(nbinom.ppf(_PROBABILITY, positives + 0.5, n / (n + 1.0)))
    means = np.arange(blank, blank + _MOST) * 0.1 + 0.1
    enough = poisson.sf(blank, means + positives / n) >= _PROBABILITY
    detected = float(means[int(np.argmax(enough))])

    def copies(count: float) -> float:
        return float(-np.log1p(-min(count / droplets, 1.0 - 1.0 / droplets)) / volume_ul)

    return copies(blank), copies(detected)
