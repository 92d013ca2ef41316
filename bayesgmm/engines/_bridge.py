"""Bridge sampling: a normalising constant from draws of the posterior and of an approximation (Meng & Wong 1996)."""

from __future__ import annotations

import numpy as np

from bayesgmm.engines.base import Array

# Of draws resampled by importance weights: above, they lack tails that a bridge needs, and its error does not show it.
WORST_PARETO_K_OF_DRAWS = 0.5

_MOST_STEPS = 1000
_TOLERANCE = 1e-10


def bridge(at_posterior: Array, at_proposal: Array, effective: float) -> tuple[float, Array, Array]:
    """Log normalising constant of p from log p - log q at draws of p and at draws of q.

    Parameters
    ----------
    at_posterior, at_proposal : (n1,) and (n2,) arrays
        Log p - log q, p not normalised.
    effective : float
        How many independent draws those of p are worth.

    Returns
    -------
    log_constant : float
    bridge_posterior, bridge_proposal : (n1,) and (n2,) arrays
        The terms whose means are the denominator and the numerator, for errors.
    """
    share1 = effective / (effective + at_proposal.size)
    share2 = 1.0 - share1
    middle = float(np.median(at_posterior))
    l1, l2 = at_posterior - middle, at_proposal - middle
    log_r = 0.0
    for _ in range(_MOST_STEPS):
        log_top = _log_mean(l2 - np.logaddexp(np.log(share1) + l2, np.log(share2) + log_r))
        log_bottom = _log_mean(-np.logaddexp(np.log(share1) + l1, np.log(share2) + log_r))
        moved = log_top - log_bottom
        done = abs(moved - log_r) < _TOLERANCE
        log_r = moved
        if done:
            break
    # Of normalised densities: p / (s1 p + s2 q) under q, and q / (s1 p + s2 q) under p.
    top = np.exp(l2 - log_r - np.logaddexp(np.log(share1) + l2 - log_r, np.log(share2)))
    bottom = np.exp(-np.logaddexp(np.log(share1) + l1 - log_r, np.log(share2)))
    return log_r + middle, bottom, top


def relative_error(bottom: Array, top: Array, effective: float) -> float:
    """Relative standard error of the constant (Fruehwirth-Schnatter 2004, section 4.2).

    Parameters
    ----------
    bottom, top : arrays
        Of `bridge`.
    effective : float
        How many independent draws the values of `bottom` are worth.
    """
    by_proposal = top.var() / np.square(top.mean()) / top.size
    by_posterior = bottom.var() / np.square(bottom.mean()) / effective
    return float(np.sqrt(by_proposal + by_posterior))


def _log_mean(values: Array) -> float:
    return float(np.logaddexp.reduce(values) - np.log(values.size))
