"""Priors on rates as densities of their logarithms, for weights that follow from rates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm.model._spec import Array, Spec
from bayesgmm.model.scale_priors import ScalePrior

# Log rates stay between these: nothing that is counted is rarer, and rows with more would not be told apart.
LEAST_LOG_RATE, MOST_LOG_RATE = -690.0, 18.0
# A root is found to so many digits of the log rate; rounding is not far below.
_PRECISION = 1e-14


def check_rate(of: Spec, name: str, rate: object) -> None:
    """Raise unless this is a prior on one positive number."""
    of._check(
        name,
        isinstance(rate, ScalePrior) and rate.n_features() in (None, 1),
        f"got {as_written(rate)}",
        "Give a prior on one positive number, such as Gamma(alpha, beta), LogNormal(mu, sigma) or Exponential(lam)",
    )


def rate_density(prior: ScalePrior, log_rate: Array) -> tuple[Array, Array]:
    """Log density of a rate at log rates of any shape, and its slope in the log rate."""
    L = np.exp(log_rate)
    with np.errstate(all="ignore"):  # a density that vanishes at 0 overflows there
        value, slope = prior.log_density(L[..., None])
        return value[..., 0], slope[..., 0] * L


def is_bounded(prior: ScalePrior) -> bool:
    """Whether a density stays bounded at 0: there it grows as a power of its argument, or not at all."""
    with np.errstate(all="ignore"):
        near, nearer = rate_density(prior, np.array([-50.0, -100.0]))[0]
    return not nearer > near + 1e-6


def root_of_falling(function: Callable[[float], float], start: float) -> float:
    """Where a falling function of a log rate is 0: brackets that grow, then Brent's method.

    The log density of a log rate, times likelihoods of counts, is concave for all priors on offer.
    """
    from scipy.optimize import brentq

    low, high, step = start, start, 0.5
    while low > LEAST_LOG_RATE and function(low) <= 0.0:
        low, high, step = max(low - step, LEAST_LOG_RATE), low, 2.0 * step
    if low <= LEAST_LOG_RATE:
        return LEAST_LOG_RATE
    while high < MOST_LOG_RATE and function(high) > 0.0:
        low, high, step = high, min(high + step, MOST_LOG_RATE), 2.0 * step
    if function(high) > 0.0:
        return MOST_LOG_RATE
    return high if low == high else float(brentq(function, low, high, xtol=_PRECISION))  # type: ignore[arg-type]
