"""Importance weights, smoothed where they are largest, and what they say of an approximation (Vehtari et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesgmm.engines._arviz import array_stats
from bayesgmm.engines.base import Array

# Smoothing a tail needs so many weights.
_FEWEST = 100
# Weights that differ by less are the same.
_SAME = 1e-8  # nats
# Weights so far below the largest count for nothing. Far proposals have log weights of -1e20 and less, which would take
# all digits from a constant.
_NOTHING = 500.0  # nats
# Where the largest weight is less than so many times the mean there is no tail to be smoothed.
_NO_TAIL = 3.0
# Vehtari et al. 2024: above, importance weights correct nothing and their mean is a guess.
WORST_PARETO_K = 0.7


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Pareto-smoothed importance weights, beside the raw ones that they come from.

    What is smoothed is kept as shares that sum to one and as one log mean, and never as log weights: smoothing floors
    what is far below the largest weight, so that a term which differs between draws must be added to the raw weights
    (`reweighted`), before they are smoothed.

    Attributes
    ----------
    raw : (S,) array
        Log p - log q as computed.
    shares : (S,) array
        Smoothed weights that sum to one.
    log_mean : float
        Log of the mean smoothed weight, an estimate of the log of the integral of p.
    pareto_k : float
        Shape of the tail of the raw weights; NaN of fewer than 100 draws.
    """

    raw: Array
    shares: Array
    log_mean: float
    pareto_k: float

    def reweighted(self, change: Array) -> Importance:
        """The same draws for a density whose logarithm differs from that of p by `change` (S,)."""
        with np.errstate(invalid="ignore"):
            raw = self.raw + change
        return smoothed(np.where(np.isnan(raw), -np.inf, raw))

    @property
    def log_mean_error(self) -> float:
        """Monte-Carlo standard error of the log of the mean weight.

        Where Pareto k is above 1/2 the weights have no variance, and errors fall as S^(k - 1) in place of S^(-1/2)
        (Vehtari et al. 2024); the error of the smoothed weights is raised by the ratio. From 1 on they have no mean
        either, and the error is infinite.
        """
        if self.pareto_k >= 1.0:
            return np.inf
        weights = self.shares * self.shares.size
        slower = 1.0 if np.isnan(self.pareto_k) else weights.size ** max(0.0, self.pareto_k - 0.5)
        return float(slower * np.sqrt(weights.var(ddof=1) / weights.size))

    @property
    def reliable(self) -> bool:
        """Whether the mean weight may be trusted; of few draws nothing is known against it."""
        return not self.pareto_k > WORST_PARETO_K

    @property
    def effective(self) -> float:
        """How many equal weights they are worth."""
        return float(1.0 / np.square(self.shares).sum())


def smoothed(log_weights: Array) -> Importance:
    """Smooth the largest of some log weights log p - log q by a generalised Pareto distribution."""
    finite = np.isfinite(log_weights)
    if finite.sum() < _FEWEST:
        return _importance(log_weights, log_weights, np.nan)
    if np.ptp(log_weights[finite]) < _SAME:
        return _importance(log_weights, log_weights, 0.0)
    # What is smoothed sums to one; the smallest weight is not in the tail, so that it gives the constant back.
    floored = with_floor(log_weights)
    found, k = pareto_smoothed(floored)
    least = int(floored.argmin())
    k = float(np.squeeze(k))
    if np.exp(log_weights.max() - np.logaddexp.reduce(log_weights)) * log_weights.size < _NO_TAIL:
        # The shape of a tail of no width is noise.
        return _importance(log_weights, log_weights, min(k, 0.0) if np.isfinite(k) else 0.0)
    return _importance(log_weights, found + (floored[least] - found[least]), k)


def pareto_smoothed(log_weights: Array) -> tuple[Array, Array]:
    """Log weights (..., S) that sum to 1, the largest of each row smoothed, and Pareto k (...).

    Where the largest are all equal there is nothing to fit a tail to, and ArviZ raises: they are bounded, so that they
    stay as they are and k is 0. Where it finds no k it is infinite.
    """
    S = log_weights.shape[-1]
    rows = log_weights.reshape(-1, S)
    n_tail = int(np.ceil(min(S / 5.0, 3.0 * np.sqrt(S))))
    equal = np.ptp(np.partition(rows, S - n_tail, axis=-1)[:, S - n_tail :], axis=-1) < np.finfo(float).tiny
    smooth = rows - np.logaddexp.reduce(rows, axis=-1, keepdims=True)
    k = np.zeros(len(rows))
    if not equal.all():
        # psislw takes log-likelihoods, as leave-one-out does, and smooths the tail of their negatives.
        found, found_k = array_stats().psislw(-rows[~equal], axis=-1)
        smooth[~equal], k[~equal] = found, np.where(np.isnan(found_k), np.inf, found_k)
    return smooth.reshape(log_weights.shape), k.reshape(log_weights.shape[:-1])


def with_floor(log_weights: Array) -> Array:
    """Log weights (..., S) without those that are too small to count, ready to be smoothed and for nothing else."""
    return np.maximum(log_weights, log_weights.max(axis=-1, keepdims=True) - _NOTHING)


def _importance(raw: Array, log_weights: Array, pareto_k: float) -> Importance:
    total = float(np.logaddexp.reduce(log_weights))
    with np.errstate(invalid="ignore"):
        shares = np.exp(log_weights - total)
    return Importance(raw=raw, shares=shares, log_mean=total - float(np.log(raw.size)), pareto_k=pareto_k)


def resampled(importance: Importance, size: int, rng: np.random.Generator) -> np.ndarray:
    """Places of draws that represent p: each as often as its weight says, up to one (systematic), shuffled."""
    steps = (np.arange(size) + rng.random()) / size
    places = np.searchsorted(np.cumsum(importance.shares), steps)
    return rng.permutation(np.minimum(places, importance.shares.size - 1))
