"""Means that rise by ever smaller steps."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.special import expit, log_ndtr

from bayesgmm._arguments import as_written
from bayesgmm._errors import UnsupportedError
from bayesgmm.model._interfaces import Means
from bayesgmm.model._moving import moved, pulled, steps, unit_volume, volume
from bayesgmm.model._spec import Array, Spec, freeze, show
from bayesgmm.model.means import DEFAULT_PRECISION_SCALE, NormalMeans
from bayesgmm.model.scale_priors import HalfNormal, ScalePrior
from bayesgmm.numerics.special import log_gamma

# Rho is read off the means and keeps this far from 0 and 1; in a first step of so many sds nothing else can be seen.
_NEAREST = 1e-12
_LEAST_GAP = 1e-3
# Places at which an M-step looks for rho, as logits.
_LOGITS = np.linspace(-8.0, 8.0, 65)
_WIDTHS = (0.25, 0.0125, 0.0)


@dataclass(frozen=True)
class Beta(Spec):
    """Beta distribution of a number between 0 and 1.

    Parameters
    ----------
    alpha, beta : float
        Positive; 1 and 1 is uniform.
    """

    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        self._freeze("alpha", positive=True, most_axes=0)
        self._freeze("beta", positive=True, most_axes=0)

    def describe(self) -> str:
        return f"Beta({show(self.alpha)}, {show(self.beta)})"

    def log_density(self, x: Array) -> tuple[Array, Array]:
        """Log density at x, 0 < x < 1, and its derivative."""
        a, b = self.alpha, self.beta
        constant = log_gamma(a + b) - log_gamma(a) - log_gamma(b)
        value = constant + (a - 1.0) * np.log(x) + (b - 1.0) * np.log1p(-x)
        return value, (a - 1.0) / x - (b - 1.0) / (1.0 - x)


@dataclass(frozen=True)
class SaturatingMeans(Means):
    """Means of a signal that each further molecule raises by less, for one feature.

    mu_k = mu_0 + A (1 + rho + ... + rho^(k - 1)) = mu_0 + A (1 - rho^k) / (1 - rho), k = 0, ..., K - 1: the amplitudes
    of partitions with k molecules in digital PCR. With rho = 0 all that hold any are alike, with rho = 1 each molecule
    adds as much as the first. A is positive, so components are ordered and never swap places. Rho acts from three
    components on, A from two.

    Under a uniform prior of rho the density may be highest at 0 or 1: `EM` stops close by.

    Parameters
    ----------
    baseline : NormalMeans
        Prior on mu_0; Normal with the data mean and 10 sd(data) if left out.
    gap : HalfNormal, Gamma, Exponential, LogNormal or ScaledInverseChi, optional
        Prior on A; ``HalfNormal(10 sd(data))`` if left out.
    rho : Beta or float
        Prior on rho, or the number itself, from 0 to 1. Uniform if left out.

    Raises
    ------
    InputError
        If a prior is of another kind or rho is out of range.
    UnsupportedError
        In a fit of more than one feature.
    """

    baseline: NormalMeans = field(default_factory=NormalMeans)
    gap: ScalePrior | None = None
    rho: Beta | float = field(default_factory=Beta)
    closed_form = False
    ordered = True

    def __post_init__(self) -> None:
        normal = isinstance(self.baseline, NormalMeans)
        self._check("baseline", normal, f"got {as_written(self.baseline)}", "Give NormalMeans(mu, sigma)")
        self._check(
            "gap",
            self.gap is None or (isinstance(self.gap, ScalePrior) and self.gap.n_features() in (None, 1)),
            f"got {as_written(self.gap)}",
            "Give a prior on one positive number, such as HalfNormal(sigma) or LogNormal(mu, sigma)",
        )
        if not isinstance(self.rho, Beta):
            self._freeze("rho", most_axes=0)
            self._check(
                "rho", 0.0 <= self.rho <= 1.0, f"got {as_written(self.rho)}", "Give a number from 0 to 1, or Beta(a, b)"
            )

    def describe(self) -> str:
        rho = f", rho ~ {self.rho.describe()}" if isinstance(self.rho, Beta) else f", rho = {show(self.rho)}"
        gap = "HalfNormal(10 sd(data))" if self.gap is None else self.gap.describe()
        baseline = self.baseline.describe().replace("10 sd(data) K^(-1/d)", "10 sd(data)")
        return f"mu_0 + A (1 - rho^k) / (1 - rho), mu_0 ~ {baseline}, A ~ {gap}{rho}"

    def filled(self, mean: Array, covariance: Array, n_components: int) -> Means:
        self._check_features(mean.size)  # before a prior is made that has a number for each
        wide = np.sqrt(np.diag(covariance) / DEFAULT_PRECISION_SCALE)
        gap = HalfNormal(freeze(wide)) if self.gap is None else self.gap
        # As of one component: baselines do not share out the range of the data among them.
        return self._replace(baseline=self.baseline.filled(mean, covariance, 1), gap=gap)

    def resolved(self, n_components: int, n_features: int) -> Self:
        self._check_features(n_features)
        assert self.gap is not None
        return self._replace(baseline=self.baseline.resolved(1, 1), gap=self.gap.resolved(1))

    def _check_features(self, n_features: int) -> None:
        if n_features != 1:
            raise UnsupportedError("SaturatingMeans", f"{n_features} features", "Use NormalMeans.")

    def rescaled(self, center: Array, scale: Array) -> Self:
        return self._replace(baseline=self.baseline.rescaled(center, scale), gap=self._gap.rescaled(scale))

    def cut(self, n_components: int) -> Self:
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        K = len(means)
        own, rho = self._own(means), self._rho(means)
        gradient = np.zeros_like(means)
        value, slopes, _ = self.baseline.log_density(own[:1], choleskys[:1])
        gradient[0] += slopes[0]
        if K > 1:
            by_gap, slope = self._gap.log_density(own[1])
            value += float(by_gap[0])
            gradient[0], gradient[1] = gradient[0] - slope, gradient[1] + slope
        if self._rho_is_free(K):
            assert isinstance(self.rho, Beta)
            by_rho, slope = self.rho.log_density(rho)
            value += float(by_rho)
            # Rho is the second step over the first.
            gap = own[1, 0]
            gradient[:3, 0] += float(slope) / gap * np.array([rho, -1.0 - rho, 1.0])
        return value, gradient, np.zeros_like(choleskys)

    def log_densities(self, means: Array, choleskys: Array) -> Array:
        K, own = means.shape[1], self._own(means)
        out = self.baseline.log_densities(own[:, :1], choleskys[:, :1])
        if K > 1:
            out = out + self._gap.log_density(own[:, 1])[0][:, 0]
        if self._rho_is_free(K):
            assert isinstance(self.rho, Beta)
            out = out + self.rho.log_density(self._rho(means))[0]
        return out

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        """Weighted least squares at each of many values of rho, and the best of them; the prior of A is left out."""
        K = counts.size
        at = counts, row_means[:, 0], choleskys[:, 0, 0]
        if not self._rho_is_free(K):
            return self._profiled(np.array([self._fixed_rho]), *at)[1][0][:, None]
        logits, points = _LOGITS, row_means.T
        for width in _WIDTHS:
            values, points = self._profiled(expit(logits), *at)
            best = int(np.argmax(values))
            points, logits = points[best], logits[best] + width * np.linspace(-1.0, 1.0, 41)
        return points[:, None]

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        *size, K, _ = choleskys.shape[:-1]
        first = self.baseline.draw(rng, choleskys[..., :1, :, :])
        gap = self._gap.draw(rng, (*size, 1))
        rho = np.full(tuple(size), np.nan if isinstance(self.rho, Beta) else float(self.rho))
        if isinstance(self.rho, Beta):
            rho = rng.beta(self.rho.alpha, self.rho.beta, tuple(size))
        return first + gap[..., None] * geometric_sums(rho, K)[0][..., None]

    def log_mass(self, floor: Array) -> float:
        mu, sigma = self._normal
        return float(log_ndtr((mu - floor) / sigma).sum())

    def raised(self, means: Array, floor: Array, least: Array) -> Array:
        return means + np.maximum(floor + least - means[0], 0.0)

    def n_free(self, n_components: int, n_features: int) -> int:
        return min(n_components, 2) + self._rho_is_free(n_components)

    def from_free(self, theta: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        K = len(reference)
        own = moved(theta[..., : min(K, 2), None], *self._frame(reference, choleskys, floor))
        if K == 1:
            return own
        rho = self._rho(reference)
        if self._rho_is_free(K):
            rho = 1.0 / (1.0 + (1.0 / rho - 1.0) * np.exp(-theta[..., 2]))
        return own[..., :1, :] + own[..., 1:, :] * geometric_sums(rho, K)[0][..., None]

    def to_free(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        out = steps(self._own(means), *self._frame(reference, choleskys, floor))[..., 0]
        if not self._rho_is_free(len(reference)):
            return out
        moved_by = np.asarray(_logit(self._rho(means)) - _logit(self._rho(reference)))
        return np.concatenate([out, moved_by[..., None]], axis=-1)

    def pullback(self, gradient: Array, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        K, own, rho = len(means), self._own(means), self._rho(means)
        sums, slopes = geometric_sums(rho, K)
        design = np.stack([np.ones(K), sums], axis=1)[:, : min(K, 2)]
        out = pulled(design.T @ gradient, own, *self._frame(reference, choleskys, floor))[:, 0]
        if not self._rho_is_free(K):
            return out
        return np.append(out, own[1, 0] * rho * (1.0 - rho) * (slopes @ gradient[:, 0]))

    def log_jacobian(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> tuple[float, Array]:
        value, slope = volume(self._own(means), *self._frame(reference, choleskys, floor))
        if not self._rho_is_free(len(means)):
            return value, slope
        rho = float(self._rho(means))
        return value + float(np.log(rho) + np.log1p(-rho)), np.append(slope, 1.0 - 2.0 * rho)

    def log_volume(self, reference: Array, choleskys: Array, floor: Array) -> float:
        return unit_volume(*self._frame(reference, choleskys, floor))

    def information(self, counts: Array, n_features: int) -> Array:
        with_any, with_two = counts[1:].sum(), counts[2:].sum() + 1.0
        own = [counts.sum(), with_any][: min(counts.size, 2)]
        return np.array([*own, with_two] if self._rho_is_free(counts.size) else own)

    @property
    def _gap(self) -> ScalePrior:
        assert self.gap is not None
        return self.gap

    @property
    def _normal(self) -> tuple[float, float]:
        """Mean and sd of the baseline."""
        return tuple(float(np.asarray(each).flat[0]) for each in (self.baseline.mu, self.baseline.sigma))  # type: ignore[return-value]

    @property
    def _fixed_rho(self) -> float:
        """The known rho, or any number where it does not matter."""
        return 0.0 if isinstance(self.rho, Beta) else self.rho

    def _rho_is_free(self, n_components: int) -> bool:
        return n_components > 2 and isinstance(self.rho, Beta)

    def _own(self, means: Array) -> Array:
        """The first mean and the first step (..., 2, 1), or the mean of one component."""
        if means.shape[-2] == 1:
            return means
        return np.concatenate([means[..., :1, :], means[..., 1:2, :] - means[..., :1, :]], axis=-2)

    def _rho(self, means: Array) -> Array:
        if not self._rho_is_free(means.shape[-2]):
            return np.full(means.shape[:-2], self._fixed_rho)
        apart = np.diff(means[..., :3, 0], axis=-1)
        return np.clip(apart[..., 1] / apart[..., 0], _NEAREST, 1.0 - _NEAREST)

    def _frame(self, reference: Array, choleskys: Array, floor: Array) -> tuple[Array, Array, Array]:
        """Own parameters, Choleskys and bounds that coordinates are laid by."""
        own = self._own(reference)
        floors = np.array([floor, np.zeros(1)])[: len(own)]
        return own, choleskys[[0, -1]][: len(own)], floors

    def _profiled(self, rho: Array, counts: Array, row_means: Array, sds: Array) -> tuple[Array, Array]:
        """Highest expected log posterior (R,) at each rho and the means (R, K) there."""
        K = counts.size
        sums = geometric_sums(rho, K)[0]
        weight = counts / np.square(sds)
        mu, sigma = self._normal
        # Normal equations of mu_0 and A at each rho.
        a, b, c = weight.sum() + sigma**-2, sums @ weight, np.square(sums) @ weight
        right, by_gap = weight @ row_means + mu * sigma**-2, sums @ (weight * row_means)
        gap = (by_gap - b * right / a) / np.maximum(c - b * b / a, np.finfo(float).tiny)
        gap = np.maximum(gap, _LEAST_GAP * float(sds.min()))
        first = (right - b * gap) / a
        means = first[:, None] + gap[:, None] * sums
        value = -0.5 * (np.square(row_means - means) @ weight + np.square((first - mu) / sigma))
        if self._rho_is_free(K):
            assert isinstance(self.rho, Beta)
            value = value + self.rho.log_density(np.clip(rho, _NEAREST, 1.0 - _NEAREST))[0]
        return value, means


def _logit(rho: Array) -> Array:
    return np.log(rho) - np.log1p(-rho)


def geometric_sums(rho: Array, n: int) -> tuple[Array, Array]:
    """1 + rho + ... + rho^(k - 1) for k = 0, ..., n - 1 (..., n), and its derivative; sums of positive terms."""
    rho = np.asarray(rho, dtype=float)[..., None]
    j = np.arange(max(n - 1, 0))
    powers = rho**j
    slopes = j * rho ** np.maximum(j - 1, 0)
    zero = np.zeros((*rho.shape[:-1], 1))
    return tuple(np.concatenate([zero, np.cumsum(each, axis=-1)], axis=-1) for each in (powers, slopes))  # type: ignore[return-value]
