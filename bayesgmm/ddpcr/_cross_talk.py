"""Means of the four clusters of two channels, with cross-talk and competition."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model import Means
from bayesgmm.model._spec import Array, show

_LOG_TWO_PI = float(np.log(2.0 * np.pi))
# Signals are positive; starts of a search need not be.
_LEAST = 1e-9


@dataclass(frozen=True)
class CrossTalkMeans(Means):
    """Means of the clusters --, +-, -+, ++ of two channels, in the order of `PoissonProductWeights`.

    With baselines b, gaps g_1 and g_2 of the positives, the share t_12 of the first channel's signal that is seen in
    the second and t_21 of the second's in the first, and the shares h_1 and h_2 of the signals that are left where the
    two reactions compete,

        --  b                             +-  b + (g_1, t_12 g_1)
        -+  b + (t_21 g_2, g_2)           ++  b + (h_1 g_1 + t_21 h_2 g_2, h_2 g_2 + t_12 h_1 g_1)

    Eight numbers for four means of two features, so these may lie anywhere where signals are positive. What droplets
    do not show, such as competition where hardly any droplet has both targets, is as believed before.

    Parameters
    ----------
    baseline : (2, 2) array-like
        Mean and standard deviation of the Normal prior on each channel's b, in the data's units.
    log_gap : (2, 2) array-like
        The same of the logarithms of the gaps, in the data's units.
    cross_talk : (2, 2) array-like
        The same of t_12 and t_21.
    log_left : (2, 2) array-like
        The same of the logarithms of h_1 and h_2; 0 is no competition.

    Raises
    ------
    InputError
        If a part has another shape, or a standard deviation is not positive, or there are not four components.
    UnsupportedError
        In a fit of other than two features.
    """

    baseline: tuple[tuple[float, float], tuple[float, float]]
    log_gap: tuple[tuple[float, float], tuple[float, float]]
    cross_talk: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.15), (0.0, 0.15))
    log_left: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.15), (0.0, 0.15))
    closed_form = False

    def __post_init__(self) -> None:
        for name in ("baseline", "log_gap", "cross_talk", "log_left"):
            self._freeze(name, most_axes=2)
            value = np.asarray(getattr(self, name))
            fine = value.shape == (2, 2) and bool((value[:, 1] > 0).all())
            self._check(
                name, fine, f"got {as_written(value.tolist())}", "Give (mean, sd) for each channel, ((0, 1), (0, 1))"
            )

    def describe(self) -> str:
        def normals(pairs: tuple[tuple[float, float], tuple[float, float]]) -> str:
            return " and ".join(f"Normal({show(mu)}, sd {show(sd)})" for mu, sd in pairs)

        return (
            f"b, b + (g_1, t_12 g_1), b + (t_21 g_2, g_2), ++ with signals h_1 g_1 and h_2 g_2; b ~ "
            f"{normals(self.baseline)}, log g ~ {normals(self.log_gap)}, cross-talk t_12, t_21 ~ "
            f"{normals(self.cross_talk)}, left by competition log h ~ {normals(self.log_left)}"
        )

    def resolved(self, n_components: int, n_features: int) -> Self:
        if n_features != 2:
            raise UnsupportedError("CrossTalkMeans", f"{n_features} features", "Give two channels.")
        if n_components != 4:
            raise InputError("n_components", f"got {n_components} with CrossTalkMeans", "Give 4, for --, +-, -+ and ++")
        return self

    def rescaled(self, center: Array, scale: Array) -> Self:
        baseline = (np.asarray(self.baseline) - np.stack([center, np.zeros(2)], axis=1)) / scale[:, None]
        shift = np.stack([np.log(scale), np.zeros(2)], axis=1)
        # Each is the shift of one channel over the gap of the other.
        ratio = scale / scale[::-1]
        return self._replace(
            baseline=baseline,
            log_gap=np.asarray(self.log_gap) - shift,
            cross_talk=np.asarray(self.cross_talk) * ratio[:, None],
        )

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def own(self, means: Array) -> Array:
        """Baselines, log gaps, cross-talk and logs of what is left (..., 8) of means (..., 4, 2)."""
        first, second, both = (means[..., k, :] - means[..., 0, :] for k in (1, 2, 3))
        gaps = np.maximum(np.stack([first[..., 0], second[..., 1]], axis=-1), _LEAST)
        spill = np.stack([first[..., 1], second[..., 0]], axis=-1) / gaps
        # Signals s of ++ from both_1 = s_1 + t_21 s_2 and both_2 = s_2 + t_12 s_1.
        free = 1.0 - spill.prod(axis=-1, keepdims=True)
        signals = (both - spill[..., ::-1] * both[..., ::-1]) / np.where(free > _LEAST, free, _LEAST)
        left = np.maximum(signals, _LEAST * gaps) / gaps
        return np.concatenate([means[..., 0, :], np.log(gaps), spill, np.log(left)], axis=-1)

    def at(self, own: Array) -> Array:
        """Means (..., 4, 2) of own parameters (..., 8)."""
        base, gaps, spill, left = own[..., :2], np.exp(own[..., 2:4]), own[..., 4:6], np.exp(own[..., 6:])
        # Signals of each cluster, and what is seen of them in the other channel.
        signals = np.stack(
            [np.zeros_like(gaps), gaps * np.array([1.0, 0.0]), gaps * np.array([0.0, 1.0]), gaps * left], axis=-2
        )
        return base[..., None, :] + signals + (signals * spill[..., None, :])[..., ::-1]

    def slopes(self, own: Array) -> Array:
        """Slopes of the means (4, 2) in the own parameters (8,), shape (4, 2, 8)."""
        gaps, spill, left = np.exp(own[2:4]), own[4:6], np.exp(own[6:])
        out = np.zeros((4, 2, 8))
        out[:, [0, 1], [0, 1]] = 1.0
        for c, d, alone in ((0, 1, 1), (1, 0, 2)):
            for k, signal in ((alone, gaps[c]), (3, gaps[c] * left[c])):
                places = [2 + c, 6 + c] if k == 3 else [2 + c]
                out[k, c, places] += signal
                out[k, d, places] += spill[c] * signal
                out[k, d, 4 + c] += signal
        return out

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        own = self.own(means)
        by_own = -(own - self._priors[:, 0]) / np.square(self._priors[:, 1])
        # The map is one to one: the gradient in the means is that of the inverse.
        gradient = np.linalg.solve(self.slopes(own).reshape(8, 8).T, by_own)
        return float(self._log_density(own)), gradient.reshape(4, 2), np.zeros_like(choleskys)

    def log_densities(self, means: Array, choleskys: Array) -> Array:
        return self._log_density(self.own(means))

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        """Means of the rows, drawn towards the prior's where there are few: for short starts."""
        typical = self.at(self._priors[:, 0])
        share = (counts / (counts + 1.0))[:, None]
        own = self.own(share * row_means + (1.0 - share) * typical)
        mu, sd = self._priors.T
        return self.at(np.clip(own, mu - 4.0 * sd, mu + 4.0 * sd))

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        size = choleskys.shape[:-3]
        return self.at(self._priors[:, 0] + self._priors[:, 1] * rng.standard_normal((*size, 8)))

    def n_free(self, n_components: int, n_features: int) -> int:
        return 8

    def from_free(self, theta: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        return self.at(self.own(reference) + theta * self._units(reference, choleskys))

    def to_free(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        return (self.own(means) - self.own(reference)) / self._units(reference, choleskys)

    def pullback(self, gradient: Array, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        by_own = np.einsum("kd,kdp->p", gradient, self.slopes(self.own(means)))
        return by_own * self._units(reference, choleskys)

    def log_jacobian(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> tuple[float, Array]:
        return 0.0, np.zeros(8)  # the priors are those of the coordinates

    def log_jacobians(self, means: Array, choleskys: Array, floor: Array) -> Array:
        return np.zeros(len(means))

    def log_volume(self, reference: Array, choleskys: Array, floor: Array) -> float:
        return float(np.log(self._units(reference, choleskys)).sum())

    def information(self, counts: Array, n_features: int) -> Array:
        n = counts
        return np.array([n.sum(), n.sum(), n[1] + n[3], n[2] + n[3], n[1], n[2], n[3], n[3]]) + 1.0

    @cached_property
    def _priors(self) -> Array:
        return np.concatenate([self.baseline, self.log_gap, self.cross_talk, self.log_left])

    def _log_density(self, own: Array) -> Array:
        z = (own - self._priors[:, 0]) / self._priors[:, 1]
        return -0.5 * np.square(z).sum(axis=-1) - np.log(self._priors[:, 1]).sum() - 4.0 * _LOG_TWO_PI

    def _units(self, reference: Array, choleskys: Array) -> Array:
        """Units of the coordinates: each moves a cluster by its standard deviation, or by the whole gap."""
        sds = np.sqrt(np.square(choleskys).sum(axis=-1))
        gaps = np.exp(self.own(reference)[2:4])
        widths = np.array([sds[1, 0], sds[2, 1]]) / gaps
        seen = np.array([sds[1, 1], sds[2, 0]]) / gaps
        both = sds[3] / gaps
        return np.concatenate([sds[0], np.minimum(np.concatenate([widths, seen, both]), 1.0)])
