"""A normal variable after a sinh-arcsinh transform: one population with any skewness, and tails normal or heavier.

Jones & Pewsey (2009, Biometrika 96:761-780). Every member has one mode, and all are in the family with any shift and
positive scale. Z = sinh(tail asinh((x - loc) / scale) - skew) is standard normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Of (loc, log scale, skew, log tail), with data standardised. Tails are never lighter than normal: the light ones are
# flat on top and imitate two overlapping groups. The other ends are far beyond the shapes of one population.
_BOUNDS = ((-20.0, 20.0), (-6.0, 6.0), (-5.0, 5.0), (-1.2, 0.0))
_FIRST_SKEWS = (0.0, 0.5)


@dataclass(frozen=True, kw_only=True)
class SinhArcsinh:
    """One member of the family; skew 0 and tail 1 are the normal."""

    loc: float
    scale: float
    skew: float
    tail: float

    def to_normal(self, x: Array) -> Array:
        """Values that are standard normal if x has this distribution."""
        return np.sinh(self.tail * np.arcsinh((x - self.loc) / self.scale) - self.skew)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """Independent values."""
        z = rng.standard_normal(size)
        return self.loc + self.scale * np.sinh((np.arcsinh(z) + self.skew) / self.tail)

    def log_likelihood(self, x: Array) -> float:
        """The log-likelihood of independent values x."""
        at = np.array([self.loc, np.log(self.scale), self.skew, np.log(self.tail)])
        return -_negative(at, x)[0]

    def describe(self) -> str:
        """In words, with the numbers."""
        return (
            f"sinh-arcsinh normal with location {self.loc:.4g}, scale {self.scale:.4g}, skew {self.skew:.3g}, "
            f"tail {self.tail:.3g}"
        )


def fit_sinh_arcsinh(x: Array) -> tuple[SinhArcsinh, float]:
    """The member of maximum likelihood for values x (N,), and its log-likelihood."""
    from scipy.optimize import minimize

    center, width = x.mean(), x.std()
    z = (x - center) / width
    sign = 1.0 if np.mean(z**3) >= 0 else -1.0
    found = []
    for skew in _FIRST_SKEWS:
        begin = np.array([-sign * skew, 0.0, sign * skew, 0.0])
        found.append(minimize(_negative, begin, args=(z,), jac=True, method="L-BFGS-B", bounds=_BOUNDS))
    best = min(found, key=lambda end: end.fun)
    loc, log_scale, skew, log_tail = best.x
    member = SinhArcsinh(
        loc=float(center + width * loc),
        scale=float(width * np.exp(log_scale)),
        skew=float(skew),
        tail=float(np.exp(log_tail)),
    )
    return member, float(-best.fun - x.size * np.log(width))


def _negative(at: Array, x: Array) -> tuple[float, Array]:
    """Minus the log-likelihood, and its gradient, at (loc, log scale, skew, log tail)."""
    loc, scale, skew, tail = at[0], np.exp(at[1]), at[2], np.exp(at[3])
    y = (x - loc) / scale
    a = np.arcsinh(y)
    t = np.clip(tail * a - skew, -100.0, 100.0)
    z = np.sinh(t)
    root = 1.0 + y * y
    # log cosh without overflow
    log_cosh = np.abs(t) + np.log1p(np.exp(-2.0 * np.abs(t))) - np.log(2.0)
    value = -0.5 * z @ z + log_cosh.sum() - 0.5 * np.log(root).sum()
    value += x.size * (at[3] - at[1] - 0.5 * np.log(2.0 * np.pi))
    by_t = np.tanh(t) - z * np.cosh(t)
    by_y = by_t * tail / np.sqrt(root) - y / root
    gradient = np.array([-by_y.sum() / scale, -(by_y @ y) - x.size, -by_t.sum(), tail * (by_t @ a) + x.size])
    return -float(value), -gradient
