"""Means on an evenly spaced line, and standard deviations proportional to the means."""

from __future__ import annotations

from collections.abc import Hashable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from bayesgmm._arguments import as_flag, as_written
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model._interfaces import CovariancePrior, Covariances, Means
from bayesgmm.model._moving import moved, pulled, steps, unit_volume, volume
from bayesgmm.model._spec import Array, Numbers, freeze, show
from bayesgmm.model.covariance_priors import LKJ, FlatCovariance
from bayesgmm.model.flat import Flat, FlatMeans
from bayesgmm.model.means import DEFAULT_PRECISION_SCALE, ConjugateMeans, FixedMeans, NormalMeans
from bayesgmm.model.scale_priors import HalfNormal, ScalePrior
from bayesgmm.numerics.linalg import inverse_from_cholesky

# An M-step keeps the spacing at least so many sds above 0.
_LEAST_SPACING = 1e-3


@dataclass(frozen=True)
class EvenlySpacedMeans(Means):
    """Means on a line at equal distances, mu_k = first + k spacing for k = 0, ..., K - 1.

    The spacing is positive in the first feature, so components are numbered along the line and never swap places.
    With ``through_zero`` the line starts at zero and the first mean is one step away from it, mu_k = (k + 1) spacing:
    the quantal model of synaptic currents, whose amplitudes are multiples of one quantum (del Castillo & Katz 1954).

    Parameters
    ----------
    prior : NormalMeans or Flat
        Of first and spacing. The numbers of `NormalMeans` are one for both or two rows, first and spacing (two numbers
        for one feature; one row with ``through_zero``); the Normal of the spacing is cut off at 0 in the first feature.
        Left out, first has the data mean and 10 sd(data), spacing 0 and 10 sd(data) / K (with ``through_zero`` the root
        mean square about zero takes the place of the sd).
    through_zero : bool
        Whether there is only a spacing.
    origin : float or (d,) array-like
        Where ``through_zero`` counts from, in the data's units.
    """

    prior: NormalMeans | FlatMeans | Flat = field(default_factory=NormalMeans)
    through_zero: bool = False
    origin: Numbers = 0.0
    ordered = True

    def __post_init__(self) -> None:
        if isinstance(self.prior, Flat):
            self._set("prior", FlatMeans())
        known = isinstance(self.prior, (NormalMeans, FlatMeans))
        self._check("prior", known, f"got {as_written(self.prior)}", "Give NormalMeans(mu, sigma) or Flat()")
        self._set("through_zero", as_flag("EvenlySpacedMeans.through_zero", self.through_zero))
        self._freeze("origin", most_axes=1)

    @property
    def proper(self) -> bool:  # type: ignore[override]
        return isinstance(self.prior, NormalMeans)

    def describe(self) -> str:
        if self.through_zero:
            start = "" if not np.any(self.origin) else f"{show(self.origin)} + "
            line, own = f"{start}(k + 1) spacing", "spacing"
        else:
            line, own = "first + k spacing", "(first, spacing)"
        if not isinstance(self.prior, NormalMeans):
            return f"{line}, {own} ~ Flat()"
        mu = "data" if self.prior.mu is None else show(self.prior.mu)
        sigma = "data" if self.prior.sigma is None else show(self.prior.sigma)
        return f"{line}, {own} ~ Normal({mu}, sd {sigma}), spacing > 0"

    def filled(self, mean: Array, covariance: Array, n_components: int) -> Means:
        if not isinstance(self.prior, NormalMeans):
            return self
        mu, sigma = self.prior.mu, self.prior.sigma
        variances = np.diag(covariance)
        wide = 1.0 / np.sqrt(DEFAULT_PRECISION_SCALE)
        if self.through_zero:
            variances = variances + np.square(mean - np.asarray(self.origin))
        steps_wide = wide * np.sqrt(variances) / n_components
        if mu is None:
            mu = [0.0 * mean] if self.through_zero else [mean, 0.0 * mean]
        if sigma is None:
            sigma = [steps_wide] if self.through_zero else [wide * np.sqrt(variances), steps_wide]
        return self._replace(prior=NormalMeans(mu=freeze(mu), sigma=freeze(sigma)))

    def resolved(self, n_components: int, n_features: int) -> Self:
        origin = freeze(self._shaped("origin", (n_features,), "(n_features,)"))
        if not isinstance(self.prior, NormalMeans):
            return self._replace(origin=origin)
        given = 1 if self.through_zero else 2
        # A single component has no spacing.
        m = self._design(n_components).shape[1]
        prior = NormalMeans(*(_rows(value, given, m, n_features) for value in (self.prior.mu, self.prior.sigma)))
        return self._replace(prior=prior.resolved(m, n_features), origin=origin)

    def rescaled(self, center: Array, scale: Array) -> Self:
        origin = freeze((np.asarray(self.origin) - center) / scale)
        if not isinstance(self.prior, NormalMeans):
            return self._replace(origin=origin)
        mu = np.asarray(self.prior.mu).copy()
        if not self.through_zero:
            mu[0] -= center
        prior = NormalMeans(mu=freeze(mu / scale), sigma=freeze(np.asarray(self.prior.sigma) / scale))
        return self._replace(prior=prior, origin=origin)

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        gradient = np.zeros_like(means)
        if not isinstance(self.prior, NormalMeans):
            return 0.0, gradient, np.zeros_like(choleskys)
        own = self._own(means)
        value, slopes, _ = self.prior.log_density(own, choleskys[: len(own)])
        if not self._spacing_is_free(len(means)):
            return value, slopes, np.zeros_like(choleskys)
        mu, sigma = self._spacing_prior()
        # First and spacing are read off the first mean and the last.
        far = len(means) if self.through_zero else len(means) - 1
        gradient[-1] = slopes[-1] / far
        if not self.through_zero:
            gradient[0] = slopes[0] - gradient[-1]
        return value - float(log_ndtr(mu / sigma)), gradient, np.zeros_like(choleskys)

    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        """Weighted least squares, with the spacing kept positive."""
        K, d = row_means.shape
        X = self._design(K)
        weighted = counts[:, None, None] * inverse_from_cholesky(choleskys)
        A = np.einsum("ka,kb,kij->aibj", X, X, weighted).reshape(X.shape[1] * d, -1)
        right = np.einsum("ka,kij,kj->ai", X, weighted, row_means - self._start()).ravel()
        if isinstance(self.prior, NormalMeans):
            precision = 1.0 / np.square(np.asarray(self.prior.sigma)).ravel()
            A, right = A + np.diag(precision), right + precision * np.asarray(self.prior.mu).ravel()
        own = np.linalg.solve(A, right)
        at = A.shape[0] - d
        least = _LEAST_SPACING * float(choleskys[:, 0, 0].min())
        if self._spacing_is_free(K) and own[at] < least:
            others = np.arange(own.size) != at
            own[others] = np.linalg.solve(A[np.ix_(others, others)], right[others] - A[others, at] * least)
            own[at] = least
        return X @ own.reshape(-1, d) + self._start()

    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        if not isinstance(self.prior, NormalMeans):
            raise InputError("means", "Flat() is no distribution to draw from", "Give EvenlySpacedMeans(NormalMeans())")
        *size, K, d = choleskys.shape[:-1]
        X = self._design(K)
        own = np.asarray(self.prior.mu) + np.asarray(self.prior.sigma) * rng.standard_normal((*size, X.shape[1], d))
        if self._spacing_is_free(K):
            mu, sigma = self._spacing_prior()
            own[..., -1, 0] = mu - sigma * ndtri(rng.random(tuple(size)) * ndtr(mu / sigma))
        return X @ own + self._start()

    def log_mass(self, floor: Array) -> float:
        if not isinstance(self.prior, NormalMeans):
            return 0.0
        if not self.through_zero:
            mu, sigma = np.asarray(self.prior.mu)[0], np.asarray(self.prior.sigma)[0]
            return float(log_ndtr((mu - floor) / sigma).sum())
        mu, sigma = self._spacing_prior()
        least = max(0.0, float(floor[0] - np.asarray(self.origin)[0]))
        return float(log_ndtr((mu - least) / sigma) - log_ndtr(mu / sigma))

    def raised(self, means: Array, floor: Array, least: Array) -> Array:
        short = np.maximum(floor + least - means[0], 0.0)
        if not self.through_zero:
            return means + short
        return means + short * np.arange(1.0, len(means) + 1)[:, None]

    def n_free(self, n_components: int, n_features: int) -> int:
        return self._design(n_components).shape[1] * n_features

    def from_free(self, theta: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        K, d = reference.shape
        own = moved(theta.reshape(*theta.shape[:-1], -1, d), *self._frame(reference, choleskys, floor))
        return self._design(K) @ own + self._start()

    def to_free(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        own = steps(self._own(means), *self._frame(reference, choleskys, floor))
        return own.reshape(*means.shape[:-2], -1)

    def pullback(self, gradient: Array, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        by_own = self._design(len(means)).T @ gradient
        return pulled(by_own, self._own(means), *self._frame(reference, choleskys, floor)).ravel()

    def log_jacobian(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> tuple[float, Array]:
        return volume(self._own(means), *self._frame(reference, choleskys, floor))

    def log_volume(self, reference: Array, choleskys: Array, floor: Array) -> float:
        return unit_volume(*self._frame(reference, choleskys, floor))

    def information(self, counts: Array, n_features: int) -> Array:
        return np.repeat(np.square(self._design(counts.size)).T @ counts, n_features)

    def _spacing_is_free(self, n_components: int) -> bool:
        return self.through_zero or n_components > 1

    def _spacing_prior(self) -> tuple[float, float]:
        """Mean and sd of the Normal that is cut off at 0."""
        assert isinstance(self.prior, NormalMeans)
        return float(np.asarray(self.prior.mu)[-1, 0]), float(np.asarray(self.prior.sigma)[-1, 0])

    def _start(self) -> Array | float:
        return np.asarray(self.origin) if self.through_zero else 0.0

    def _design(self, n_components: int) -> Array:
        """What the means are of the own parameters, (K, 2) or (K, 1)."""
        k = np.arange(float(n_components))[:, None]
        if self.through_zero:
            return k + 1.0
        return np.hstack([np.ones_like(k), k]) if n_components > 1 else np.ones_like(k)

    def _own(self, means: Array) -> Array:
        """First and spacing, or what there is of them."""
        K = means.shape[-2]
        first, last = means[..., :1, :], means[..., -1:, :]
        if self.through_zero:
            return (last - self._start()) / K
        return np.concatenate([first, (last - first) / (K - 1)], axis=-2) if K > 1 else means

    def _frame(self, reference: Array, choleskys: Array, floor: Array) -> tuple[Array, Array, Array]:
        """Own parameters, Choleskys and bounds that coordinates are laid by."""
        own = self._own(reference)
        floors = np.full(own.shape, -np.inf)
        if not self.through_zero:
            floors[0] = floor
        if self._spacing_is_free(len(reference)):
            floors[-1, 0] = max(0.0, floor[0] - np.asarray(self.origin)[0]) if self.through_zero else 0.0
        return own, choleskys[[0, -1]][-len(own) :], floors


@dataclass(frozen=True)
class ConstantCV(Covariances):
    """Standard deviations proportional to the means, sd_k = cv (mu_k - origin), with one cv for all components.

    For a single feature whose scatter grows with its size: amplitudes, lengths of cohorts (MacDonald & Pitcher 1979
    call it constant coefficient of variation). All means are above the origin; a prior on means is cut off there.

    Parameters
    ----------
    prior : HalfNormal, Exponential, Gamma, LogNormal or Flat
        Of cv, which has no unit. ``HalfNormal(1)`` if left out, weak for what is a few tenths as a rule.
    origin : float
        In the data's units.
    """

    prior: Any = field(default_factory=lambda: HalfNormal(1.0))
    origin: Numbers = 0.0
    linked = True
    # Distances of the means from the origin; without means the structure is that of means one unit away.
    _distances = np.ones((1, 1))

    def __post_init__(self) -> None:
        if isinstance(self.prior, Flat):
            self._set("prior", FlatCovariance())
        known = isinstance(self.prior, (ScalePrior, FlatCovariance))
        self._check(
            "prior", known, f"got {as_written(self.prior)}", "Give a prior on cv, such as HalfNormal(1), or Flat()"
        )
        self._freeze("origin", most_axes=0)

    @property
    def innermost(self) -> CovariancePrior:
        return self.prior if isinstance(self.prior, FlatCovariance) else LKJ(1.0, scale=self.prior)

    def describe(self) -> str:
        distance = "mu_k" if not self.origin else f"(mu_k - {show(self.origin)})"
        return f"(cv {distance})^2, cv ~ {self.prior.describe()}"

    def filled(self, covariance: Array, n_components: int, within: Array | None = None) -> Self:
        return self

    def resolved(self, n_components: int, n_features: int) -> Self:
        if n_features != 1:
            raise UnsupportedError("ConstantCV", f"{n_features} features", "Use Full or Diagonal covariances.")
        return self._replace(prior=self.prior.resolved(1)) if isinstance(self.prior, ScalePrior) else self

    def recentred(self, center: Array) -> Self:
        return self._replace(origin=self._origin - float(center[0]))

    def rescaled(self, scale: Array) -> Self:
        return self._replace(origin=self._origin / float(scale[0]))

    def bounded(self) -> bool:
        return False  # a mean may go to the origin where rows are exactly there

    def check_means(self, means: Means) -> None:
        if isinstance(means, ConjugateMeans):
            raise UnsupportedError(
                "ConstantCV", f"means={means}", "There sd_k would depend on mu_k and mu_k on sd_k. Use NormalMeans."
            )
        if isinstance(means, FixedMeans) and np.min(means.values) <= self._origin:
            raise InputError(
                "FixedMeans.values",
                f"got {show(means.values)} with sds proportional to mu_k - {show(self._origin)}",
                "Every mean has to be above the origin of ConstantCV",
            )

    def floor(self, n_features: int) -> Array:
        return np.full(n_features, self._origin)

    def given(self, means: Array) -> Self:
        at = copy(self)
        at._set("_distances", means[..., 0] - self._origin)
        return at

    def carried(self, choleskys: Array, means: Array, to: Array) -> Array:
        return choleskys * ((to - self._origin) / (means - self._origin))[..., None]

    def means_slope(self, gradient: Array, choleskys: Array, means: Array) -> Array:
        return 2.0 * gradient[..., 0] * np.square(choleskys[..., 0]) / (means - self._origin)

    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        # The gradient stands in one entry, as in `Tied`.
        value, slope = self.innermost.variance_log_density(np.square(self._cv(choleskys)))
        gradient = np.zeros_like(choleskys)
        gradient[0] = slope / np.square(self._distances.flat[0])
        return value, gradient

    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        return float(np.log(self._cv(choleskys)).sum()), np.ones(1)

    def mode(self, counts: Array, scatter: Array) -> Array:
        squares = np.square(self._distances)
        total = (scatter[:, 0, 0] / squares).sum().reshape(1, 1)
        square = self.innermost.variance_mode(counts.sum(keepdims=True), total)
        return (square[0] * squares)[:, None, None]

    def n_free(self, n_components: int, n_features: int) -> int:
        return 1

    def from_free(self, theta: Array, reference: Array) -> Array:
        return reference * np.exp(theta)[..., None, None]

    def to_free(self, choleskys: Array, reference: Array) -> Array:
        return np.log(choleskys[..., 0, 0] / reference[..., 0, 0])[..., :1]

    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        return 2.0 * (gradient * np.square(choleskys)).sum(axis=(0, 1))

    def information(self, counts: Array, n_features: int) -> Array:
        return 2.0 * counts.sum(keepdims=True)

    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        cv = self.innermost.draw(rng, size, 1, separate=True)
        return (cv * np.square(self._distances) * np.ones((size, n_components)))[..., None, None]

    @property
    def _origin(self) -> float:
        assert isinstance(self.origin, float)
        return self.origin

    def _cv(self, choleskys: Array) -> Array:
        """The one cv, (1, 1)."""
        return choleskys[:1, 0] / self._distances.flat[0]


def _rows(value: Numbers | None, given: int, wanted: int, n_features: int) -> Numbers | None:
    """Numbers for first and spacing, as many rows as there are own parameters."""
    array = np.asarray(value, dtype=float)
    if n_features == 1 and array.ndim == 1 and array.size == given:
        array = array[:, None]
    return freeze(array[:wanted] if array.ndim == 2 else array)
