"""The shape of the negatives: a small Gaussian mixture, learned from wells without template."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bayesgmm.data import as_data
from bayesgmm.engines._optima import Search
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.model import ConjugateMeans, Dirichlet, GaussianMixture, InverseWishart

Array = NDArray[np.float64]

# Components of the negatives; one may go to what does not belong to them.
_COMPONENTS = 5
# A shape need not be the best of all mixtures: others near it say the same.
_SEARCH = Search(n_init=8, n_polish=1, approached=1, rounds=0, tolerance=1e-2)
# Components with fewer of the droplets and a valley between them and the rest, this deep as a part of their own height,
# are outliers, or molecules in a control; without a valley they are the tail.
_STRAY, _VALLEY = 0.005, 0.8
# Prior on the widths of components, as a part of that of the whole: they are no spikes. And its degrees of freedom.
_WIDTH, _FREEDOM = 0.2, 4.0
# Amplitudes this far from the middle are not looked at.
_LOWEST, _HIGHEST = -8.0, 8.0
# Means of the components are at least this far apart in all, so that a spread can be read from them.
_LEAST_REACH = 0.1
# To a Normal distribution's standard deviation from the median absolute deviation.
_FROM_MAD = 1.4826
_TYPICAL_SKEWNESS = 0.8


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A Gaussian mixture in units of the spread about the baseline, which are those of `middle_and_spread`.

    Attributes
    ----------
    shares, means, widths : tuples of J numbers
        Means rising.
    """

    shares: tuple[float, ...]
    means: tuple[float, ...]
    widths: tuple[float, ...]

    @property
    def mean(self) -> float:
        """In units of the spread."""
        return float(np.dot(self.shares, self.means))

    @property
    def sd(self) -> float:
        """In units of the spread."""
        squares = np.square(self.widths) + np.square(np.asarray(self.means) - self.mean)
        return float(np.sqrt(np.dot(self.shares, squares)))

    @property
    def skewness(self) -> float:
        """Third standardised moment."""
        away = np.asarray(self.means) - self.mean
        return float(np.dot(self.shares, away**3 + 3.0 * away * np.square(self.widths))) / self.sd**3


def middle_and_spread(x: Array) -> tuple[float, float]:
    """Median, and what would be the standard deviation of a Normal with this median absolute deviation."""
    middle = float(np.median(x))
    spread = _FROM_MAD * float(np.median(np.abs(x - middle)))
    # More than half of them may be one number, where amplitudes were rounded or cut off.
    return middle, spread if spread > 0 else float(x.std())


def learn(z: Array, counts: Array | None = None, *, n_components: int = _COMPONENTS) -> Shape:
    """The shape of amplitudes in units of their spread about their middle.

    Parameters
    ----------
    z : (n,) array
    counts : (n,) array, optional
        How many droplets each stands for.
    n_components : int
        At most; those that hold hardly anything and lie apart are dropped.
    """
    counts = np.ones(z.size) if counts is None else counts
    near = (z > _LOWEST) & (z < _HIGHEST)
    z, counts = z[near], counts[near]
    if not z.size or z.min() == z.max():  # rounded amplitudes, which show no shape
        return _standard(np.full(2, 0.5), np.zeros(2), np.ones(2))
    problem = build_problem(_mixture(n_components, z, counts), as_data(z[:, None], weights=counts), n_threads=1)
    found = _SEARCH.run(problem, np.random.default_rng(0), Progress(False))
    end = found.reports[found.best].end
    assert end is not None
    at = problem.units.to_data(end)
    shares, means, widths = np.exp(at.log_weights), at.means[:, 0], at.choleskys[:, 0, 0]
    kept = (shares >= _STRAY) | ~_detached(shares, means, widths)
    kept[np.argsort(shares)[-2:]] = True  # two at least
    shares, means, widths = shares[kept], means[kept], widths[kept]
    order = np.argsort(means)
    return _standard(shares[order] / shares.sum(), means[order], widths[order])


def _mixture(n_components: int, z: Array, counts: Array) -> GaussianMixture:
    """Components with weak priors that pull at none of them: they share out one shape and are not groups."""
    variance = float(np.average(np.square(z - np.average(z, weights=counts)), weights=counts))
    return GaussianMixture(
        n_components,
        weights=Dirichlet(1.0),
        means=ConjugateMeans(precision_scale=0.01),
        covariances=InverseWishart(_FREEDOM, _FREEDOM * variance * _WIDTH**2),
    )


def _detached(shares: Array, means: Array, widths: Array) -> NDArray[np.bool_]:
    """Which components a valley of the density parts from its highest peak."""
    from scipy.stats import norm

    def density(z: Array) -> Array:
        return np.asarray(norm.pdf(z[:, None], means, widths) @ shares)

    peak = means[np.argmax(density(means))]
    at = density(means)
    return np.array(
        [density(np.linspace(peak, mean, 200)).min() < _VALLEY * own for mean, own in zip(means, at, strict=True)]
    )


@cache
def skewed(skewness: float = _TYPICAL_SKEWNESS) -> Shape:
    """A log-normal shape, for plates without wells that would show theirs."""
    from scipy.optimize import brentq
    from scipy.stats import lognorm

    def excess(sigma: float) -> float:
        w = np.exp(sigma * sigma)
        return float((w + 2.0) * np.sqrt(w - 1.0)) - skewness

    s = brentq(excess, 0.01, 1.0)
    x = lognorm.ppf((np.arange(4000) + 0.5) / 4000, s)
    middle, spread = middle_and_spread(x)
    return learn((x - middle) / spread, n_components=3)


def _standard(shares: Array, means: Array, widths: Array) -> Shape:
    short = _LEAST_REACH - float(means[-1] - means[0])
    if short > 0:
        means = means + short * np.linspace(-0.5, 0.5, means.size)
    # Equal means would leave their order to chance.
    means = means + 1e-6 * np.arange(means.size)
    return Shape(shares=tuple(shares.tolist()), means=tuple(means.tolist()), widths=tuple(widths.tolist()))
