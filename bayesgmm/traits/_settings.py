"""What a verdict is tried against: other priors, fewer rows, errors that differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

from bayesgmm.traits._measurements import Measurements

Array = NDArray[np.float64]

DECLARED = "as declared"
NARROWER, WIDER = "prior scale x 1/2", "prior scale x 2"
TRIMMED = "without the most extreme 1 %"
OWN_ERRORS = "errors that differ"
NORMAL_ONLY = "Normal as the only continuous shape"
# The first is what was declared; all three come from the same draws.
SCALES = {DECLARED: 1.0, NARROWER: 0.5, WIDER: 2.0}

_EXTREME = 0.01
# Sums of squares of repeats that are equal to the last digit, relative to the mean sum of squares.
_SMALLEST_SQUARE = 1e-3
# Standard errors by which the variance of log variances must exceed that of equal errors.
_CLEARLY = 2.0
_STEPS = 50


def trimmed(known: Measurements) -> Measurements:
    """Without the percent of individuals (one at least) that are furthest from the median."""
    n = max(1, round(_EXTREME * known.n))
    away = np.abs(known.means - np.median(known.means))
    return known.taken(np.sort(np.argsort(away, kind="stable")[: known.n - n]))


def with_own_errors(known: Measurements) -> Measurements | None:
    """With an error variance for each individual, shrunk towards a common one; None where errors look equal.

    Variances of repeats are taken as scaled inverse chi-squared distributed over individuals, with degrees of freedom
    and scale from the moments of their logarithms (Smyth 2004, section 6.2), and each is replaced by its posterior
    mean.
    """
    df = known.repeats - 1.0
    seen = df > 0
    if seen.sum() < 3:
        return None
    pooled = known.squares.sum() / df.sum()
    variances = np.maximum(known.squares[seen] / df[seen], _SMALLEST_SQUARE * pooled)
    logs = np.log(variances) - digamma(0.5 * df[seen]) + np.log(0.5 * df[seen])
    between = logs.var(ddof=1) - polygamma(1, 0.5 * df[seen]).mean()
    if between <= _CLEARLY * np.sqrt(np.var(np.square(logs - logs.mean())) / logs.size):
        return None
    prior_df = 2.0 * _inverse_trigamma(float(between))
    prior = float(np.exp(logs.mean() + digamma(0.5 * prior_df) - np.log(0.5 * prior_df)))
    own = (prior_df * prior + known.squares) / (prior_df + df)
    return replace(known, errors=np.sqrt(own / known.repeats), error_df=np.inf)


def size_of_errors(known: Measurements) -> float:
    """P-value of a rank correlation between the means and the spread of the repeats; NaN without repeats."""
    from scipy.stats import spearmanr

    seen = known.repeats > 1
    if seen.sum() < 5:
        return np.nan
    variances = known.squares[seen] / (known.repeats[seen] - 1.0)
    if np.ptp(variances) == 0:
        return np.nan
    return float(spearmanr(known.means[seen], variances).pvalue)  # type: ignore[attr-defined]


def _inverse_trigamma(value: float) -> float:
    """Newton's method on 1 / trigamma, which is nearly straight (Smyth 2004, appendix)."""
    x = 0.5 + 1.0 / value
    for _ in range(_STEPS):
        here = float(polygamma(1, x))
        step = here * (1.0 - here / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x
