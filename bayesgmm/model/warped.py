"""One population of a shape that need not be Normal: narrow Gaussians at the quantiles of a warped Normal.

A Normal variable z is cut into K narrow Gaussians at equal distances h; x = T(z) moves each to T(z_k) and widens it by
the slope there. With log T'(z) = log scale + skew z + c z^2 the sum is

* Normal where skew and c are 0;
* log-normal, shifted, where c = 0: to the right for positive skew, to the left for negative (Tukey's g family);
* heavy-tailed for c > 0, with a tail index of 1 / (2 c) (near Tukey's h family), and light-tailed for c < 0, down to
  the uniform distribution at c = -1/2. Below that there would be two peaks, so c = (exp(tails) - 1) / 2.

Tails may be of one side only: log T'(z) = log scale + skew z + c z^2 / (1 + z^2 / 4) below (or above) the median, with
c = -u / (1 + u / 6) and u = (exp(-tails) - 1) / 2. That goes below -1/2: individuals pile up at an end that they do not
go beyond, a floor (or a ceiling), which is a second peak. It is bounded, so that distances are not lost in rounding.

Without such an end it has one peak, up to ripples (with 15 nodes below 3 per cent of its height) where skew or light
tails are strong; other shapes than the Normal are reached to order h^2. It is a Gaussian mixture with three or four
free numbers, which every engine can fit and which stays one where rows have errors of measurement.
"""

from __future__ import annotations

from collections.abc import Hashable
from copy import copy
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from bayesgmm._arguments import as_choice, as_written, is_whole
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model._interfaces import Means
from bayesgmm.model._spec import Array, show
from bayesgmm.model._warp import (
    curvature_of,
    design_of,
    distance,
    from_the_middle,
    neighbours,
    nodes,
    reader_of,
    shares,
    tails_of,
    widths,
)
from bayesgmm.model.fixed_covariances import NothingFree
from bayesgmm.model.mixture import GaussianMixture
from bayesgmm.model.scale_priors import HalfNormal, ScalePrior
from bayesgmm.model.weights import FixedWeights

_LOG_TWO_PI = float(np.log(2.0 * np.pi))
_FEWEST_NODES = 13
_MOST_NODES = 9_999
_FURTHEST = 150.0  # logarithms of distances of proposals, which may overflow
_SIDES = ("both", "below", "above")
# Scale at which a start with all rows in one place begins, in widths of a component.
_LEAST_SCALE = 1e-3


def warped_normal(
    *,
    loc: tuple[float, float] | None = None,
    scale: ScalePrior | None = None,
    skew: float | None = 0.5,
    tails: float | None = None,
    tails_mean: float = 0.0,
    side: Literal["both", "below", "above"] = "both",
    n_nodes: int = 15,
) -> GaussianMixture:
    """One population of one feature that is skewed, or has heavy or light tails, as a mixture of narrow Gaussians.

    Parameters
    ----------
    loc : (float, float), optional
        Mean and standard deviation of the Normal prior on the median, in the data's units; their mean and 10 sd if left
        out.
    scale : HalfNormal, Exponential, Gamma, LogNormal or ScaledInverseChi, optional
        Prior on the scale, which is the standard deviation where skew and tails are 0; ``HalfNormal(sd(data))`` if left
        out.
    skew : float, optional
        Standard deviation of the Normal prior on the skew, which is 0 if this is None. A log-normal distribution with
        log-sd s has skew s.
    tails : float, optional
        Standard deviation of the Normal prior on ``tails``: 0 is Normal (as it is if this is None), log 2 about a
        Cauchy's, below 0 light.
    tails_mean : float
        Mean of that prior. Far below 0 tails are so light that the population ends: -2 is nearly uniform, with edges
        between which skew moves the peak, up to one of them.
    side : {"both", "below", "above"}
        Where tails are light or heavy. Of one side they may be lighter still, so that values pile up at a floor
        ("below") or a ceiling ("above"): about a twentieth of them at tails = -1, a fifth at -1.5, a third at -2.2.
    n_nodes : int
        Number of Gaussians, odd.

    Returns
    -------
    GaussianMixture

    Examples
    --------
    >>> import bayesgmm as bg
    >>> fit = bg.fit(bg.warped_normal(), bg.datasets.load_faithful()["eruptions"].to_numpy(), random_seed=1)
    >>> fit["point_estimate"].sizes["component"]
    15
    """
    if not is_whole(n_nodes) or not _FEWEST_NODES <= n_nodes <= _MOST_NODES or n_nodes % 2 == 0:
        hint = f"Give an odd number of at least {_FEWEST_NODES} and at most {_MOST_NODES}"
        raise InputError("n_nodes", f"got {as_written(n_nodes)}", hint)
    n_nodes = int(n_nodes)
    if loc is not None and not (isinstance(loc, (tuple, list)) and len(loc) == 2):
        raise InputError(
            "loc", f"got {as_written(loc)}", "Give a pair: mean and standard deviation of the prior on the median"
        )
    mu, sigma = (None, None) if loc is None else loc
    return GaussianMixture(
        n_nodes,
        weights=FixedWeights(tuple(shares(n_nodes))),
        means=WarpedMeans(mu=mu, sigma=sigma, scale=scale, skew=skew, tails=tails, tails_mean=tails_mean, side=side),
        covariances=WarpedCovariances(),
    )


@dataclass(frozen=True)
class WarpedMeans(Means):
    """Means at the quantiles of a warped Normal; use `warped_normal`, which adds the weights and covariances.

    Parameters
    ----------
    mu, sigma : float, optional
        Of the Normal prior on the median.
    scale : ScalePrior, optional
    skew, tails : float, optional
        Standard deviations of Normal priors; None fixes the number at 0.
    tails_mean : float
        Mean of the prior on tails; that on skew has mean 0.
    side : {"both", "below", "above"}
        Which tails they are.
    """

    mu: float | None = None
    sigma: float | None = None
    scale: ScalePrior | None = None
    skew: float | None = None
    tails: float | None = None
    tails_mean: float = 0.0
    side: Literal["both", "below", "above"] = "both"
    closed_form = False
    ordered = True

    def __post_init__(self) -> None:
        self._freeze("mu", optional=True, most_axes=0)
        for name in ("sigma", "skew", "tails"):
            self._freeze(name, optional=True, positive=True, most_axes=0)
        self._freeze("tails_mean", most_axes=0)
        given = self.tails is not None or self.tails_mean == 0
        self._check(
            "tails_mean",
            given,
            f"got {as_written(self.tails_mean)} without tails",
            "Give tails=, the sd of their prior",
        )
        as_choice("WarpedMeans.side", self.side, _SIDES)
        known = self.scale is None or isinstance(self.scale, ScalePrior)
        self._check(
            "scale", known, f"got {as_written(self.scale)}", "Give a prior on a standard deviation, such as HalfNormal"
        )

    def describe(self) -> str:
        mu = "data mean" if self.mu is None else show(self.mu)
        sigma = "10 sd(data)" if self.sigma is None else show(self.sigma)
        scale = "HalfNormal(sd(data))" if self.scale is None else self.scale.describe()
        shape = [
            f"{name} ~ Normal({show(mean)}, sd {show(sd)})" if sd is not None else f"{name} = 0"
            for name, mean, sd in self._shape
        ]
        which = "" if self.side == "both" else f" {self.side} the median"
        return (
            f"quantiles of a warped Normal, loc ~ Normal({mu}, sd {sigma}), scale ~ {scale}, {', '.join(shape)}{which}"
        )

    def filled(self, mean: Array, covariance: Array, n_components: int) -> Means:
        if mean.size != 1:
            raise UnsupportedError("WarpedMeans", f"{mean.size} features", "Give one feature.")
        sd = float(np.sqrt(covariance[0, 0]))
        return self._replace(
            mu=float(mean[0]) if self.mu is None else self.mu,
            sigma=10.0 * sd if self.sigma is None else self.sigma,
            scale=HalfNormal(sd) if self.scale is None else self.scale,
        )

    def resolved(self, n_components: int, n_features: int) -> Self:
        if n_components < _FEWEST_NODES or n_components % 2 == 0:
            hint = f"Give an odd number of at least {_FEWEST_NODES}, or use warped_normal"
            raise InputError("n_components", f"got {n_components} for WarpedMeans", hint)
        return self._replace(scale=self._scale.resolved(1))

    def rescaled(self, center: Array, scale: Array) -> Self:
        c, s = float(center[0]), float(scale[0])
        mu, sigma = self._loc
        return self._replace(mu=(mu - c) / s, sigma=sigma / s, scale=self._scale.rescaled(scale))

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        own = self.own(means)
        value, slopes = self._log_density(own)
        J = self._slopes(own, len(means))
        # Any vector that the coordinates pull back to these slopes will do.
        return float(value), (J @ np.linalg.solve(J.T @ J, slopes))[:, None], np.zeros_like(choleskys)

    def log_densities(self, means: Array, choleskys: Array) -> Array:
        return self._log_density(self.own(means))[0]

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        """A Normal with the spread of the rows, for starts."""
        held, z = counts / counts.sum(), nodes(counts.size)
        loc = float(held @ row_means[:, 0])
        spread = np.sqrt(held @ np.square(row_means[:, 0] - loc) / (shares(counts.size) @ np.square(z)))
        return (loc + z * max(float(spread), _LEAST_SCALE * float(choleskys.max())))[:, None]

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        *size, K = choleskys.shape[:-2]
        mu, sigma = self._loc
        parts = [mu + sigma * rng.standard_normal((*size, 1)), np.log(self._scale.draw(rng, (*size, 1)))]
        parts += [at + sd * rng.standard_normal((*size, 1)) for _, at, sd in self._shape if sd is not None]
        return self._means(np.concatenate(parts, axis=-1), K)

    def own(self, means: Array) -> Array:
        """Median, log scale and what is free of skew and tails (..., p) of means (..., K, 1)."""
        x = means[..., 0]
        K = x.shape[-1]
        logs = np.log(np.maximum(np.diff(x, axis=-1), np.finfo(float).tiny)) - np.log(distance(K))
        out = np.concatenate([x[..., [K // 2]], logs @ self._reader(K).T], axis=-1)
        if self.tails is not None:
            out[..., -1] = tails_of(out[..., -1], self.side)
        return out

    def n_free(self, n_components: int, n_features: int) -> int:
        return 2 + (self.skew is not None) + (self.tails is not None)

    def from_free(self, theta: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        return self._means(self.own(reference) + theta * self._units(reference, choleskys), len(reference))

    def to_free(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        return (self.own(means) - self.own(reference)) / self._units(reference, choleskys)

    def pullback(self, gradient: Array, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        by_own = self._slopes(self.own(means), len(means)).T @ gradient[:, 0]
        return by_own * self._units(reference, choleskys)

    def log_jacobian(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> tuple[float, Array]:
        own = self.own(means)
        return float(own[1]), np.arange(own.size) == 1.0  # of the scale, by its logarithm

    def log_jacobians(self, means: Array, choleskys: Array, floor: Array) -> Array:
        return self.own(means)[:, 1]

    def log_volume(self, reference: Array, choleskys: Array, floor: Array) -> float:
        return float(np.log(self._units(reference, choleskys)).sum())

    def information(self, counts: Array, n_features: int) -> Array:
        # As if shape and scale were seen each by itself in a Normal sample.
        return counts.sum() * np.array([1.0, 2.0, 3.0, 3.0])[: self.n_free(counts.size, n_features)]

    @property
    def _loc(self) -> tuple[float, float]:
        assert self.mu is not None
        assert self.sigma is not None
        return self.mu, self.sigma

    @property
    def _scale(self) -> ScalePrior:
        assert self.scale is not None
        return self.scale

    @property
    def _shape(self) -> list[tuple[str, float, float | None]]:
        """Name, mean and standard deviation of the priors of the shape."""
        return [("skew", 0.0, self.skew), ("tails", self.tails_mean, self.tails)]

    def _design(self, K: int) -> Array:
        return design_of(self.skew is not None, self.side if self.tails is not None else None, K)

    def _reader(self, K: int) -> Array:
        """The inverse of the design."""
        return reader_of(self.skew is not None, self.side if self.tails is not None else None, K)

    def _distances(self, own: Array, K: int) -> Array:
        by_design = own[..., 1:].copy()
        if self.tails is not None:
            by_design[..., -1] = curvature_of(by_design[..., -1], self.side)[0]
        return np.exp(np.clip(by_design @ self._design(K).T, -_FURTHEST, _FURTHEST)) * distance(K)

    def _means(self, own: Array, K: int) -> Array:
        return (own[..., :1] + self._distances(own, K) @ from_the_middle(K).T)[..., None]

    def _slopes(self, own: Array, K: int) -> Array:
        """Derivatives of the means (K,) in the own parameters (p,)."""
        by_logs = from_the_middle(K) * self._distances(own, K)
        J = np.column_stack([np.ones(K), by_logs @ self._design(K)])
        if self.tails is not None:
            J[:, -1] *= curvature_of(own[-1], self.side)[1]
        return J

    def _units(self, reference: Array, choleskys: Array) -> Array:
        """Units of the coordinates; behind errors the median moves on the scale of what is seen."""
        own = self.own(reference)
        units = np.ones(own.size)
        units[0] = np.hypot(np.exp(own[1]), choleskys[len(reference) // 2, 0, 0])
        return units

    def _log_density(self, own: Array) -> tuple[Array, Array]:
        """Log prior density of the own parameters (..., p), that of the scale and not of its logarithm, and slopes."""
        mu, sigma = self._loc
        free = [(mu, sigma), *((at, sd) for _, at, sd in self._shape if sd is not None)]
        centres, sds = np.array(free, dtype=float).T
        normal = np.delete(own, 1, axis=-1) - centres
        s = np.exp(own[..., 1:2])
        by_scale, slope = self._scale.log_density(s)
        value = by_scale[..., 0] - 0.5 * np.square(normal / sds).sum(axis=-1) - np.log(sds).sum()
        slopes = np.insert(-normal / np.square(sds), 1, (slope * s)[..., 0], axis=-1)
        return value - 0.5 * sds.size * _LOG_TWO_PI, slopes


@dataclass(frozen=True)
class WarpedCovariances(NothingFree):
    """Variances that follow from the distances between `WarpedMeans`."""

    linked = True
    _means = np.empty(0)

    def describe(self) -> str:
        return "(distance between neighbouring mu_k)^2"

    def resolved(self, n_components: int, n_features: int) -> Self:
        return self

    def rescaled(self, scale: Array) -> Self:
        return self

    def check_means(self, means: Means) -> None:
        if not isinstance(means, WarpedMeans):
            raise UnsupportedError("WarpedCovariances", f"means={means}", "Use warped_normal(...), which gives both.")

    def given(self, means: Array) -> Self:
        at = copy(self)
        at._set("_means", means)
        return at

    def carried(self, choleskys: Array, means: Array, to: Array) -> Array:
        return widths(to)[..., None, None]

    def means_slope(self, gradient: Array, choleskys: Array, means: Array) -> Array:
        by_logs = 2.0 * gradient[:, 0, 0] * np.square(choleskys[:, 0, 0]) @ neighbours(len(means))
        by_distances = by_logs / np.diff(means[:, 0])
        return (np.r_[0.0, by_distances] - np.r_[by_distances, 0.0])[:, None]

    def mode(self, counts: Array, scatter: Array) -> Array:
        return np.square(widths(self._means))[..., None, None]

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        return np.square(widths(self._means))[..., None, None]
