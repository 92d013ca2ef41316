"""Means and variances of the clusters of droplets: a shape of the negatives moved and stretched, and one gap."""

from __future__ import annotations

from collections.abc import Hashable
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model import Covariances, Means
from bayesgmm.model._spec import Array, show

_LOG_TWO_PI = float(np.log(2.0 * np.pi))
_LEAST = 1e-9
# Rain is made of components at equal distances between the clusters, this wide in units of the distance.
_RAIN_WIDTH = 0.4
# Low droplets lie below the negatives, outliers anywhere; places and sds in units of a typical gap.
_OUTLIER_PLACES, _OUTLIER_WIDTHS = (-0.5, 0.5), (0.4, 1.5)


@dataclass(frozen=True)
class DropletMeans(Means):
    """Means of the clusters of droplets, in the order of `DropletWeights`.

        negatives  baseline + spread z_j      positives  baseline + gap
        rain       baseline + gap t_i         t_i = (i - 1/2) / R
        low        baseline - typical / 2     outliers   baseline + typical / 2

    where ``typical`` is the gap that is believed before: what a well's low droplets look like says nothing of its gap.

    Parameters
    ----------
    shape : (J,) array-like
        Means z_j of the components of the negatives, in units of their spread about the baseline; rising.
    baseline : (float, float)
        Mean and standard deviation of the Normal prior on the baseline, in the data's units.
    log_spread, log_gap : (float, float)
        The same of logarithms, in the data's units.
    """

    shape: tuple[float, ...]
    baseline: tuple[float, float]
    log_spread: tuple[float, float]
    log_gap: tuple[float, float]
    closed_form = False

    def __post_init__(self) -> None:
        self._freeze("shape", most_axes=1)
        rising = len(self.shape) > 1 and bool(np.all(np.diff(self.shape) > 0))
        self._check("shape", rising, f"got {as_written(self.shape)}", "Give at least two numbers, rising")
        for name in ("baseline", "log_spread", "log_gap"):
            self._freeze(name, most_axes=1)

    def describe(self) -> str:
        def normal(pair: tuple[float, float]) -> str:
            return f"Normal({show(pair[0])}, sd {show(pair[1])})"

        return (
            f"baseline + spread x {show(self.shape)}, baseline + gap, rain between; baseline ~ {normal(self.baseline)},"
            f" log spread ~ {normal(self.log_spread)}, log gap ~ {normal(self.log_gap)}"
        )

    def resolved(self, n_components: int, n_features: int) -> Self:
        if n_features != 1:
            raise UnsupportedError("DropletMeans", f"{n_features} features", "Give one channel.")
        least = len(self.shape) + 4
        if n_components < least:
            raise InputError("n_components", f"got {n_components} for DropletMeans", f"Give at least {least}")
        return self

    def rescaled(self, center: Array, scale: Array) -> Self:
        c, s = float(center[0]), float(scale[0])
        shift = np.log(s)
        return self._replace(
            baseline=((self.baseline[0] - c) / s, self.baseline[1] / s),
            log_spread=(self.log_spread[0] - shift, self.log_spread[1]),
            log_gap=(self.log_gap[0] - shift, self.log_gap[1]),
        )

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def own(self, means: Array) -> Array:
        """Baseline, log spread and log gap (..., 3) of means (..., K, 1)."""
        baseline, spread, gap = read(means, self.shape)
        # Starts of a search need not be means that these could be.
        positive = np.maximum(spread, _LEAST), np.maximum(gap, _LEAST)
        return np.stack([baseline, *np.log(positive)], axis=-1)

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        own = self.own(means)
        slopes = -(own - self._priors[:, 0]) / np.square(self._priors[:, 1])
        J = self.slopes(own, len(means))
        value = float(self._log_density(own))
        # Any vector that the coordinates pull back to these slopes will do.
        return value, (J @ np.linalg.solve(J.T @ J, slopes))[:, None], np.zeros_like(choleskys)

    def log_densities(self, means: Array, choleskys: Array) -> Array:
        return self._log_density(self.own(means))

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        """Where the negatives and positives are, spread as in the prior: for short starts."""
        J = len(self.shape)
        x, n = row_means[:, 0], counts + 0.5
        spread = np.exp(self.log_spread[0])
        baseline = n[:J] @ (x[:J] - spread * np.asarray(self.shape)) / n[:J].sum()
        gap = max(float(x[J] - baseline), spread)
        return self.at(np.array([baseline, np.log(spread), np.log(gap)]), len(counts))

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        *size, K = choleskys.shape[:-2]
        own = self._priors[:, 0] + self._priors[:, 1] * rng.standard_normal((*size, 3))
        return self.at(own, K)

    def n_free(self, n_components: int, n_features: int) -> int:
        return 3

    def from_free(self, theta: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        return self.at(self.own(reference) + theta * self._units(reference, choleskys), len(reference))

    def to_free(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        return (self.own(means) - self.own(reference)) / self._units(reference, choleskys)

    def pullback(self, gradient: Array, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        by_own = self.slopes(self.own(means), len(means)).T @ gradient[:, 0]
        return by_own * self._units(reference, choleskys)

    def log_jacobian(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> tuple[float, Array]:
        return 0.0, np.zeros(3)  # the priors are those of the coordinates

    def log_jacobians(self, means: Array, choleskys: Array, floor: Array) -> Array:
        return np.zeros(len(means))

    def log_volume(self, reference: Array, choleskys: Array, floor: Array) -> float:
        return float(np.log(self._units(reference, choleskys)).sum())

    def information(self, counts: Array, n_features: int) -> Array:
        negative = counts[: len(self.shape)].sum()
        return np.array([negative, 2.0 * negative, counts[len(self.shape)]]) + 1.0

    @cached_property
    def _priors(self) -> Array:
        return np.array([self.baseline, self.log_spread, self.log_gap])

    def _log_density(self, own: Array) -> Array:
        z = (own - self._priors[:, 0]) / self._priors[:, 1]
        return -0.5 * np.square(z).sum(axis=-1) - np.log(self._priors[:, 1]).sum() - 1.5 * _LOG_TWO_PI

    def at(self, own: Array, K: int) -> Array:
        """Means (..., K, 1) of own parameters (..., 3)."""
        baseline, spread, gap = own[..., :1], np.exp(own[..., 1:2]), np.exp(own[..., 2:])
        J = len(self.shape)
        outside = float(np.exp(self.log_gap[0])) * _outside(K)
        return (baseline + spread * _by_spread(self.shape, K) + gap * _by_gap(J, K) + outside)[..., None]

    def slopes(self, own: Array, K: int) -> Array:
        """Derivatives of the means (K,) in the own parameters (3,)."""
        by_spread, by_gap = _by_spread(self.shape, K), _by_gap(len(self.shape), K)
        return np.stack([np.ones(K), np.exp(own[1]) * by_spread, np.exp(own[2]) * by_gap], axis=1)

    def _units(self, reference: Array, choleskys: Array) -> Array:
        """Units of the coordinates: the baseline moves by spreads, the gap by widths of the positives."""
        _, spread, gap = read(reference, self.shape)
        width = choleskys[len(self.shape), 0, 0]
        return np.array([float(spread), 1.0, min(float(width / gap), 1.0)])


@dataclass(frozen=True)
class DropletVariances(Covariances):
    """Variances of the clusters of droplets: those of negatives, rain and outliers follow from `DropletMeans`.

    Parameters
    ----------
    shape, widths : (J,) array-like
        Means and standard deviations of the components of the negatives, in units of their spread.
    log_positive_sd : (float, float)
        Mean and standard deviation of the Normal prior on the log of the positives' standard deviation, in the data's
        units.
    """

    shape: tuple[float, ...]
    widths: tuple[float, ...]
    log_positive_sd: tuple[float, float]
    linked = True
    # Without means the structure is that of a spread of 1 and a gap of 5.
    _means = np.empty(0)

    def __post_init__(self) -> None:
        self._freeze("shape", most_axes=1)
        self._freeze("widths", positive=True, most_axes=1)
        same = len(self.shape) == len(self.widths) > 1
        self._check("widths", same, f"got {as_written(self.widths)} for shape {self.shape!r}", "Give one for each mean")
        self._freeze("log_positive_sd", most_axes=1)

    @property
    def innermost(self) -> None:
        return None

    def describe(self) -> str:
        mu, sd = self.log_positive_sd
        return f"(spread x {show(self.widths)})^2, sd_pos^2, ...; log sd_pos ~ Normal({show(mu)}, sd {show(sd)})"

    def filled(self, covariance: Array, n_components: int, within: Array | None = None) -> Self:
        return self

    def fewest_rows(self, n_features: int) -> int:
        return 0  # pieces of one shape, and clusters that may well be empty

    def resolved(self, n_components: int, n_features: int) -> Self:
        return self

    def rescaled(self, scale: Array) -> Self:
        mu, sd = self.log_positive_sd
        return self._replace(log_positive_sd=(mu - float(np.log(scale[0])), sd))

    def bounded(self) -> bool:
        return True

    def check_means(self, means: Means) -> None:
        if not isinstance(means, DropletMeans):
            raise UnsupportedError("DropletVariances", f"means={means}", "Use DropletMeans.")

    def given(self, means: Array) -> Self:
        at = copy(self)
        at._set("_means", means)
        return at

    def carried(self, choleskys: Array, means: Array, to: Array) -> Array:
        return self.at(np.log(choleskys[..., len(self.shape), 0, 0]), to)

    def means_slope(self, gradient: Array, choleskys: Array, means: Array) -> Array:
        J, K = len(self.shape), len(means)
        z = np.asarray(self.shape)
        _, spread, gap = read(means, self.shape)
        g = gradient[:, 0, 0]
        rain = g[J + 1 : -2].sum()
        by_spread = 2.0 * spread * (g[:J] @ np.square(self.widths) + rain)
        by_gap = 2.0 * gap * (rain * np.square(_RAIN_WIDTH / (K - J - 3)))
        # Spread and gap are read off the first and the last of the negatives and the positives.
        out = np.zeros(K)
        reach = z[-1] - z[0]
        by_spread += by_gap * z[0]
        out[J - 1] += by_spread / reach
        out[0] -= by_spread / reach
        out[J] += by_gap
        out[0] -= by_gap
        return out[:, None]

    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        mu, sd = self.log_positive_sd
        J = len(self.shape)
        z = (np.log(choleskys[J, 0, 0]) - mu) / sd
        gradient = np.zeros_like(choleskys)
        gradient[J, 0, 0] = -0.5 * z / (sd * np.square(choleskys[J, 0, 0]))
        return float(-0.5 * z * z - np.log(sd) - 0.5 * _LOG_TWO_PI), gradient

    def log_densities(self, choleskys: Array, means: Array) -> Array:
        mu, sd = self.log_positive_sd
        z = (np.log(choleskys[:, len(self.shape), 0, 0]) - mu) / sd
        return -0.5 * np.square(z) - np.log(sd) - 0.5 * _LOG_TWO_PI

    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        return 0.0, np.zeros(1)

    def log_jacobians(self, choleskys: Array, means: Array) -> Array:
        return np.zeros(len(choleskys))

    def mode(self, counts: Array, scatter: Array) -> Array:
        J = len(self.shape)
        width = np.log((scatter[J, 0, 0] + np.exp(2.0 * self.log_positive_sd[0])) / (counts[J] + 1.0))
        return np.square(self.at(0.5 * width, self._means))

    def n_free(self, n_components: int, n_features: int) -> int:
        return 1

    def from_free(self, theta: Array, reference: Array) -> Array:
        J = len(self.shape)
        factor = np.ones((*theta.shape[:-1], reference.shape[-3], 1, 1))
        factor[..., J, 0, 0] = np.exp(theta[..., 0])
        return reference * factor

    def to_free(self, choleskys: Array, reference: Array) -> Array:
        J = len(self.shape)
        return np.log(choleskys[..., J, 0, 0] / reference[..., J, 0, 0])[..., None]

    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        J = len(self.shape)
        return np.array([2.0 * gradient[J, 0, 0] * np.square(choleskys[J, 0, 0])])

    def information(self, counts: Array, n_features: int) -> Array:
        return 2.0 * counts[len(self.shape)] + np.ones(1)

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        mu, sd = self.log_positive_sd
        means = self._means
        if not means.size:
            by_gap = _by_gap(len(self.shape), n_components) + _outside(n_components)
            means = (_by_spread(self.shape, n_components) + 5.0 * by_gap)[:, None]
        log_sds = mu + sd * rng.standard_normal(size)
        return np.square(self.at(log_sds, np.broadcast_to(means, (size, *means.shape[-2:]))))

    def at(self, log_positive_sd: Array, means: Array) -> Array:
        """Standard deviations (..., K, 1, 1) at means (..., K, 1)."""
        J, K = len(self.shape), means.shape[-2]
        _, spread, gap = (each[..., None] for each in read(means, self.shape))
        R = K - J - 3
        rain = np.hypot(spread, _RAIN_WIDTH / R * gap)
        parts = [
            spread * np.asarray(self.widths),
            np.broadcast_to(np.exp(log_positive_sd), spread.shape[:-1])[..., None],
            np.broadcast_to(rain, (*rain.shape[:-1], R)),
            (means[..., -1, :] - means[..., -2, :]) * np.array(_OUTLIER_WIDTHS),
        ]
        return np.concatenate(parts, axis=-1)[..., None, None]

    def slopes(self, log_positive_sd: float, log_spread: float, log_gap: float, K: int) -> Array:
        """Derivatives of the variances (K,) in log spread, log gap and log sd of the positives (3,)."""
        J = len(self.shape)
        R = K - J - 3
        spread, gap, positive = np.exp(2.0 * np.array([log_spread, log_gap, log_positive_sd]))
        out = np.zeros((K, 3))
        out[:J, 0] = 2.0 * spread * np.square(self.widths)
        out[J, 2] = 2.0 * positive
        out[J + 1 : -2, :2] = 2.0 * spread, 2.0 * gap * (_RAIN_WIDTH / R) ** 2
        return out


def read(means: Array, shape: tuple[float, ...]) -> tuple[Array, Array, Array]:
    """Baseline, spread and gap of means (..., K, 1)."""
    x, J = means[..., 0], len(shape)
    spread = (x[..., J - 1] - x[..., 0]) / (shape[-1] - shape[0])
    baseline = x[..., 0] - spread * shape[0]
    return baseline, spread, x[..., J] - baseline


@cache
def _by_spread(shape: tuple[float, ...], K: int) -> Array:
    return np.concatenate([shape, np.zeros(K - len(shape))])


@cache
def _by_gap(J: int, K: int) -> Array:
    R = K - J - 3
    return np.concatenate([np.zeros(J), [1.0], (np.arange(R) + 0.5) / R, [0.0, 0.0]])


@cache
def _outside(K: int) -> Array:
    return np.concatenate([np.zeros(K - 2), _OUTLIER_PLACES])
