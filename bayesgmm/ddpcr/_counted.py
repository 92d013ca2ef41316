"""Wells that are counted: how many droplets lie above a threshold, and what that says of lambda."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesgmm.ddpcr._gap import Gap
from bayesgmm.ddpcr._shape import middle_and_spread

Array = NDArray[np.float64]

# Of Jeffreys' prior on the share of positives, Beta(1/2, 1/2).
_JEFFREYS = 0.5
# Rain hidden among the negatives matters if it is so much of the count's standard error; how well it is known (relative
# sd); with more of it than this a well is not counted.
_MATTERS, _KNOWN, MOST_HIDDEN = 0.1, 0.5, 0.02
# A well fits its plate's gap if so few droplets are near the threshold (in spreads): Poisson errors, a part of its
# positives, and strays.
_NEAR, _ERRORS, _PART, _STRAYS = 1.5, 4.0, 0.01, 2.0
# What lies so many of their spreads below the middle of the positives is rain, and so many above, or below the
# negatives' middle, an outlier.
_BELOW, _ABOVE, _UNDER = 4.0, 8.0, 8.0
_LEAST = 0.5
# So many positives show where their cluster is; its width is no less than this part of the negatives'.
_TELLING, _NARROW = 20, 0.2


@dataclass(frozen=True, kw_only=True)
class Count:
    """Droplets of a well on both sides of a threshold.

    Attributes
    ----------
    positive, n : int
        Droplets above, and all of them.
    threshold : float
        Amplitude.
    hidden : float
        Positives below the threshold, as a part of those above it; 0 where it does not matter.
    """

    positive: int
    n: int
    threshold: float
    hidden: float = 0.0

    @classmethod
    def of(cls, x: Array, threshold: float, hidden: float = 0.0) -> Count:
        k = int((x > threshold).sum())
        return cls(positive=k, n=x.size, threshold=threshold, hidden=hidden if hidden * np.sqrt(k) > _MATTERS else 0.0)

    @property
    def negative(self) -> int:
        """Droplets below."""
        return self.n - self.positive

    @property
    def rate(self) -> float:
        """Lambda, -log(1 - k / n); NaN where no droplet is negative."""
        share = min(self.positive * (1.0 + self.hidden), self.n) / self.n
        return float(-np.log1p(-share)) if share < 1.0 else np.nan

    def draws(self, size: int, rng: np.random.Generator) -> Array:
        """Lambda (size,) from its posterior under Jeffreys' prior on the share of positives, evenly spread."""
        from scipy.special import betaincinv

        u = (np.arange(size) + rng.random(size)) / size
        p = betaincinv(self.positive + _JEFFREYS, self.n - self.positive + _JEFFREYS, rng.permutation(u))
        if self.hidden:
            shape = _KNOWN**-2
            p = p * (1.0 + self.hidden * rng.gamma(shape, 1.0 / shape, size))
        p = np.clip(p, 0.1 * _LEAST / self.n**2, 1.0 - 0.1 * _LEAST / self.n)
        return np.asarray(-np.log1p(-p))

    def interval(self, low: float, high: float) -> tuple[float, float]:
        """Quantiles of lambda; one-sided where there are no positives or no negatives."""
        from scipy.special import betaincinv

        k, n = self.positive, self.n
        at = [2.0 * low if k == n else low, 1.0 - 2.0 * (1.0 - high) if k == 0 else high]
        p = betaincinv(k + _JEFFREYS, n - k + _JEFFREYS, at) * (1.0 + self.hidden)
        lower, upper = -np.log1p(-np.minimum(p, 1.0 - 1e-12))
        return (0.0 if k == 0 else float(lower)), (np.nan if k == n else float(upper))


def fits_the_gap(x: Array, gap: Gap, i: int) -> bool:
    """Whether a well can be counted at its plate's threshold: it has no more there than its share of rain."""
    if not gap.shown or gap.hidden > MOST_HIDDEN:
        return False
    reach = _NEAR * gap.spread
    near = int((np.abs(x - gap.threshold(i)) < reach).sum())
    k = int((x > gap.threshold(i)).sum())
    expected = gap.hidden / gap.height * 2.0 * reach * k
    return bool(near <= expected + _ERRORS * np.sqrt(expected) + _PART * k + _STRAYS)


def moments(x: Array, count: Count, gap: Gap, i: int, tilt: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """A well's own parameters and their standard errors, from droplets whose clusters are known.

    Those of `WellDensity` by name, without the shares of the negatives' components.
    """
    b, s = float(gap.baselines[i]), float(gap.spreads[i])
    top = x[x > count.threshold]
    m, k = max(x.size - top.size, 1), max(top.size, 1)
    height, width = gap.positives, max(gap.width, _NARROW * s)
    near = top
    if top.size >= _TELLING:
        middle, own = middle_and_spread(top)
        height, width = middle - b, max(own, _NARROW * s)
        near = top[np.abs(top - middle) < _BELOW * width]
    rain = float((top < b + height - _BELOW * width).sum()) + count.hidden * top.size
    outliers = float((x > b + height + _ABOVE * width).sum())
    low = float((x < b - _UNDER * s).sum())
    error = 1.25 / np.sqrt(near.size + 1.0)
    return {
        "log_rate": (float(np.log(-np.log1p(-(k if top.size else _LEAST) / (x.size + 1.0)))), 0.0),
        "tilt": tilt,
        "rain": _logit(rain, k),
        "low": _logit(low, m),
        "outliers": _logit(outliers, x.size),
        "baseline": (b, 1.25 * s / np.sqrt(m)),
        "log_spread": (float(np.log(s)), 1.2 / np.sqrt(m)),
        "log_gap": (float(np.log(height)), error * width / height),
        "log_positive_sd": (float(np.log(width)), error),
    }


def _logit(part: float, whole: float) -> tuple[float, float]:
    part, rest = part + _LEAST, whole - part + _LEAST
    return float(np.log(part / rest)), float(np.sqrt(1.0 / part + 1.0 / rest))
