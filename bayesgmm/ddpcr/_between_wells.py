"""From copies per droplet of wells to concentrations of samples: wells differ by more than Poisson noise.

For well w of a sample, log lambda_w = log c + o_w + u_w with u_w ~ Normal(0, tau^2) and tau ~ HalfNormal(0.1), where
o_w is the log of droplet volume over dilution. The few numbers that are left are integrated on grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesgmm.ddpcr._fit_well import WellFit

Array = NDArray[np.float64]

TAU_SD = 0.1
_TAUS = np.concatenate([np.linspace(0.0, 0.02, 9), np.linspace(0.025, 0.2, 36), np.linspace(0.21, 0.6, 30)])
# Of Jeffreys' prior of a small rate, for wells and for samples.
_SHAPE = 0.5
# So many positive droplets make the likelihood Normal in log lambda.
_NORMAL = 2000.0
# A Normal that is narrower than this many steps of a grid changes nothing there.
_UNSEEN = 0.2
_LEAST = 1e-9
_CONCENTRATIONS = 1201
# Nothing is looked for where the log posterior is so far below its top.
_DEEP = 14.0
_MOST_LOG_RATE = np.log(30.0)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A well that tells as much of lambda as so many positive and negative droplets, counted without error.

    Attributes
    ----------
    positive, negative : float
        Need not be whole, and are fewer than the droplets where clusters overlap.
    """

    positive: float
    negative: float

    @classmethod
    def of(cls, fit: WellFit) -> Counted:
        """The counts whose posterior has the moments of the fit's.

        With prior lambda^(a - 1) the posterior of p = 1 - exp(-lambda) after counting is Beta(positive + a, negative),
        but for a factor (p / lambda)^(1 - a) that hardly varies over it.
        """
        if fit.count is not None and not fit.count.hidden:
            return cls(positive=float(fit.count.positive), negative=max(float(fit.count.negative), _LEAST))
        p = -np.expm1(-np.exp(fit.of("log_rate")))
        mean = float(fit.shares @ p)
        variance = float(fit.shares @ np.square(p - mean))
        # Draws that are all alike tell as much as the droplets, and no more.
        total = min(mean * (1.0 - mean) / max(variance, np.finfo(float).tiny) - 1.0, float(fit.n_droplets))
        return cls(positive=max(mean * total - _SHAPE, 0.0), negative=max((1.0 - mean) * total, _LEAST))

    def log_likelihood(self, log_rate: Array) -> Array:
        """Log-likelihood of log lambda, up to a constant."""
        rate = np.exp(np.minimum(log_rate, _MOST_LOG_RATE))
        return self.positive * np.log(-np.expm1(-rate)) - self.negative * rate

    @property
    def normal(self) -> tuple[float, float]:
        """Where the likelihood is highest in log lambda, and the standard error there."""
        n = self.positive + self.negative
        rate = -np.log(self.negative / n)
        return float(np.log(rate)), float(np.sqrt(self.positive / (n * self.negative)) / rate)

    def averaged(self, log_rate: Array, tau: float) -> Array:
        """Log likelihood on a grid if the well's own log lambda is off by a Normal with standard deviation tau."""
        if min(self.positive, self.negative) >= _NORMAL:
            middle, error = self.normal
            variance = error**2 + tau**2
            return -0.5 * np.square(log_rate - middle) / variance - 0.5 * np.log(variance)
        exact = self.log_likelihood(log_rate)
        step = float(log_rate[1] - log_rate[0])
        if tau < _UNSEEN * step:
            return exact
        from scipy.ndimage import gaussian_filter1d

        top = float(exact.max())
        smooth = gaussian_filter1d(np.exp(exact - top), tau / step, mode="nearest", truncate=6.0)
        return top + np.log(np.maximum(smooth, np.finfo(float).tiny))


@dataclass(frozen=True, kw_only=True)
class Concentration:
    """Posterior of the log of a concentration, on a grid."""

    log_values: Array
    shares: Array

    def quantiles(self, probabilities: Sequence[float]) -> Array:
        """Quantiles of the concentration."""
        passed = np.cumsum(self.shares) - 0.5 * self.shares
        return np.exp(np.interp(probabilities, passed, self.log_values))

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """Concentrations."""
        u = rng.random(size)
        passed = np.concatenate([[0.0], np.cumsum(self.shares)])
        edges = np.concatenate([self.log_values, self.log_values[-1:]])
        return np.exp(np.interp(u, passed / passed[-1], edges))


@dataclass(frozen=True, kw_only=True)
class BetweenWells:
    """Posterior of tau from all samples with several wells, and what follows for concentrations."""

    shares: Array
    informed: bool

    @property
    def taus(self) -> Array:
        """The grid that `shares` belongs to."""
        return _TAUS

    @property
    def median(self) -> float:
        """Median of tau."""
        return float(np.interp(0.5, np.cumsum(self.shares) - 0.5 * self.shares, _TAUS))

    def interval(self, probability: float) -> tuple[float, float]:
        """The shortest that holds this probability; it reaches 0 where the density does not fall there."""
        width = _widths(_TAUS)
        order = np.argsort(self.shares / width)[::-1]
        kept = order[: int(np.searchsorted(np.cumsum(self.shares[order]), probability)) + 1]
        return float(_TAUS[kept].min()), float(_TAUS[kept].max())

    def concentration(self, wells: Sequence[Counted], offsets: Sequence[float], *, total: bool) -> Concentration:
        """The concentration that wells are drawn from; without variation between wells unless `total`."""
        grid = _grid(wells, offsets, _TAUS[-1] if total else 0.0)
        if total:
            tables = np.array([_log_posterior(wells, offsets, grid, tau) for tau in _TAUS])
            # Wells of this sample have had their say on tau already, in `shares`: what they say is not said twice.
            tables -= np.logaddexp.reduce(tables, axis=1, keepdims=True)
            posterior = self.shares @ np.exp(tables)
        else:
            table = _log_posterior(wells, offsets, grid, 0.0)
            posterior = np.exp(table - table.max())
        return Concentration(log_values=grid, shares=posterior / posterior.sum())


def between_wells(samples: Sequence[tuple[Sequence[Counted], Sequence[float]]]) -> BetweenWells:
    """Learn tau from the wells of each sample.

    Parameters
    ----------
    samples : sequence of (wells, offsets)
    """
    log_shares = -0.5 * np.square(_TAUS / TAU_SD) + np.log(_widths(_TAUS))
    several = [each for each in samples if len(each[0]) > 1]
    for wells, offsets in several:
        grid = _grid(wells, offsets, _TAUS[-1])
        tables = np.array([_log_posterior(wells, offsets, grid, tau) for tau in _TAUS])
        log_shares = log_shares + np.logaddexp.reduce(tables, axis=1)
    shares = np.exp(log_shares - log_shares.max())
    return BetweenWells(shares=shares / shares.sum(), informed=bool(several))


def _log_posterior(wells: Sequence[Counted], offsets: Sequence[float], grid: Array, tau: float) -> Array:
    """Up to a constant, of log concentration with Jeffreys' prior."""
    out = _SHAPE * grid
    for well, offset in zip(wells, offsets, strict=True):
        out = out + well.averaged(grid + offset, tau)
    return out


def _grid(wells: Sequence[Counted], offsets: Sequence[float], tau: float) -> Array:
    """Log concentrations that cover what the wells say."""
    low, high = np.inf, -np.inf
    for well, offset in zip(wells, offsets, strict=True):
        least = max(well.positive, 0.5)
        n = well.positive + well.negative
        middle = np.log(-np.log1p(-min(least / (n + 1.0), 1.0 - 1.0 / (n + 2.0)))) - offset
        error = 1.0 / np.sqrt(least) + 1.0 / np.sqrt(well.negative + 0.5)
        reach = 5.0 * np.hypot(error, tau) + (14.0 if well.positive < 3.0 else 0.0)
        low, high = min(low, middle - reach), max(high, middle + 5.0 * np.hypot(error, tau))
    wide = np.linspace(low, high, _CONCENTRATIONS)
    # Once more, near where anything is.
    tables = (_log_posterior(wells, offsets, wide, each) for each in (0.0, tau))
    near = np.any([table > table.max() - _DEEP for table in tables], axis=0)
    step, where = wide[1] - wide[0], wide[near]
    return np.linspace(where[0] - step, where[-1] + step, _CONCENTRATIONS)


def _widths(grid: Array) -> Array:
    """Widths of the cells round the points of a grid."""
    edges = np.concatenate([grid[:1], 0.5 * (grid[1:] + grid[:-1]), grid[-1:]])
    return np.diff(edges)
