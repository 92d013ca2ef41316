"""What the evidence under a wider or narrower prior of the means cannot exceed, whatever the data.

With r(mu) the ratio of the other prior density to the own one, Jensen's inequality puts the change of the log evidence
between the mean of log r over the posterior under the own prior and its mean over the posterior under the other one.
For Normal means c > 1 times as wide log r is at least -d K log c everywhere, and so is the change; for c < 1 at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesgmm.engines.base import Problem
from bayesgmm.model import ConjugateMeans, NormalMeans

# Standard errors by which an estimate may lie outside, and nats for what errors do not count.
_ERRORS, _NATS = 4.0, 0.01


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the log evidence under another prior less that under the own one; NaN where nothing is known."""

    lower: float = -np.inf
    lower_error: float = 0.0
    upper: float = np.inf
    upper_error: float = 0.0

    def why_not(self, change: float, error: float) -> str:
        """What is wrong with a change, or nothing."""
        low, high = (_NATS + _ERRORS * float(np.hypot(error, each)) for each in (self.lower_error, self.upper_error))
        if change < self.lower - low:
            return f"the change {change:.2f} with the width is below {self.lower:.2f}, which it cannot be"
        if change > self.upper + high:
            return f"the change {change:.2f} with the width is above {self.upper:.2f}, which it cannot be"
        return ""

    def within(self, other: Limits) -> Limits:
        """The narrower ones of both."""
        low = max((self, other), key=lambda each: -np.inf if np.isnan(each.lower) else each.lower)
        high = min((self, other), key=lambda each: np.inf if np.isnan(each.upper) else each.upper)
        return Limits(lower=low.lower, lower_error=low.lower_error, upper=high.upper, upper_error=high.upper_error)


def pointwise(problem: Problem, K: int, factor: float) -> Limits:
    """By the ratio of the densities alone, for means that are Normal and not cut off."""
    d, model = problem.n_features, problem.model
    cut_off = np.isfinite(model.covariances.floor(d)).any()
    if not isinstance(model.means, (ConjugateMeans, NormalMeans)) or cut_off:
        return Limits()
    most = -d * K * float(np.log(factor))
    return Limits(lower=most) if factor > 1.0 else Limits(upper=most)
