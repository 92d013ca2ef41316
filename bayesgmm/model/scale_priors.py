"""Priors on a standard deviation, for use inside `LKJ`. Parameters are PyMC's."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from bayesgmm.model._spec import Array, Numbers, Spec, freeze, show
from bayesgmm.numerics.special import log_gamma


class ScalePrior(Spec):
    """Prior on standard deviations s > 0, independent over features."""

    # Names of the fields that may hold one number a feature.
    _per_feature: tuple[str, ...] = ()

    @abstractmethod
    def log_density(self, s: Array) -> tuple[Array, Array]:
        """Log density at s (..., m) and its derivative."""

    @abstractmethod
    def rescaled(self, scale: Array) -> Self:
        """The prior of s / scale."""

    @abstractmethod
    def typical(self) -> Array:
        """A central value, for starts."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Draws of the given shape (..., m)."""

    def vanishes_at_zero(self) -> bool:
        """Whether the density falls faster than every power of s as s goes to 0."""
        return False

    def n_features(self) -> int | None:
        """How many features it has numbers for, or None where one number stands for any of them."""
        value = getattr(self, self._per_feature[0]) if self._per_feature else None
        return len(value) if isinstance(value, tuple) else None

    def resolved(self, n_features: int) -> Self:
        """One number a feature in every field."""
        values = {name: freeze(self._shaped(name, (n_features,), "(n_features,)")) for name in self._per_feature}
        return self._replace(**values)

    def describe(self) -> str:
        return f"{type(self).__name__}({', '.join(show(getattr(self, name)) for name in self._per_feature)})"

    def _values(self) -> tuple[Array, ...]:
        return tuple(self._array(name) for name in self._per_feature)


@dataclass(frozen=True)
class HalfNormal(ScalePrior):
    """Half-normal; ``sigma`` (float or one a feature) is the scale of the Normal that was folded."""

    sigma: Numbers
    _per_feature = ("sigma",)
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"sigma": (1, 1)}

    def __post_init__(self) -> None:
        self._freeze("sigma", positive=True, most_axes=1)

    def log_density(self, s: Array) -> tuple[Array, Array]:
        (sigma,) = self._values()
        return 0.5 * np.log(2 / np.pi) - np.log(sigma) - 0.5 * np.square(s / sigma), -s / np.square(sigma)

    def rescaled(self, scale: Array) -> Self:
        return self._replace(sigma=freeze(self._array("sigma") / scale))

    def typical(self) -> Array:
        return 0.67 * self._array("sigma")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.abs(rng.standard_normal(shape)) * self._array("sigma")


@dataclass(frozen=True)
class Exponential(ScalePrior):
    """Exponential; ``lam`` (float or one a feature) is the rate, one over the mean."""

    lam: Numbers
    _per_feature = ("lam",)
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"lam": (1, 1)}

    def __post_init__(self) -> None:
        self._freeze("lam", positive=True, most_axes=1)

    def log_density(self, s: Array) -> tuple[Array, Array]:
        (lam,) = self._values()
        return np.log(lam) - lam * s, np.broadcast_to(-lam, s.shape)

    def rescaled(self, scale: Array) -> Self:
        return self._replace(lam=freeze(self._array("lam") * scale))

    def typical(self) -> Array:
        return 0.69 / self._array("lam")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.exponential(size=shape) / self._array("lam")


@dataclass(frozen=True)
class Gamma(ScalePrior):
    """Gamma with shape ``alpha`` and rate ``beta`` (floats or one a feature)."""

    alpha: Numbers
    beta: Numbers
    _per_feature = ("alpha", "beta")
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"alpha": (1, 1), "beta": (1, 1)}

    def __post_init__(self) -> None:
        self._freeze("alpha", positive=True, most_axes=1)
        self._freeze("beta", positive=True, most_axes=1)

    def log_density(self, s: Array) -> tuple[Array, Array]:
        a, b = self._values()
        return a * np.log(b) - log_gamma(a) + (a - 1) * np.log(s) - b * s, (a - 1) / s - b

    def rescaled(self, scale: Array) -> Self:
        return self._replace(beta=freeze(self._array("beta") * scale))

    def typical(self) -> Array:
        return self._array("alpha") / self._array("beta")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        a, b = self._values()
        return rng.gamma(np.broadcast_to(a, shape)) / b


@dataclass(frozen=True)
class LogNormal(ScalePrior):
    """Log-normal; ``mu`` and ``sigma`` (floats or one a feature) belong to log s."""

    mu: Numbers
    sigma: Numbers
    _per_feature = ("mu", "sigma")
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"mu": (1, 1), "sigma": (1, 1)}

    def __post_init__(self) -> None:
        self._freeze("mu", most_axes=1)
        self._freeze("sigma", positive=True, most_axes=1)

    def log_density(self, s: Array) -> tuple[Array, Array]:
        mu, sigma = self._values()
        z = (np.log(s) - mu) / sigma
        value = -0.5 * z * z - np.log(sigma) - np.log(s) - 0.5 * np.log(2 * np.pi)
        return value, -(z / sigma + 1.0) / s

    def rescaled(self, scale: Array) -> Self:
        return self._replace(mu=freeze(self._array("mu") - np.log(scale)))

    def typical(self) -> Array:
        return np.exp(self._array("mu"))

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        mu, sigma = self._values()
        return np.exp(mu + sigma * rng.standard_normal(shape))

    def vanishes_at_zero(self) -> bool:
        return True


@dataclass(frozen=True)
class ScaledInverseChi(ScalePrior):
    """What ``df`` degrees of freedom have told of a standard deviation: df scale^2 / s^2 is chi-squared distributed.

    It is the posterior of the standard deviation of Normal errors given a sum of squares df scale^2, under the prior
    1 / s (Gelman et al. 2013, section 3.2): repeats of other units, a calibration, an instrument's sheet.

    Parameters
    ----------
    df : float or one a feature
        Positive.
    scale : float or one a feature
        Positive; the estimate of the standard deviation.
    """

    df: Numbers
    scale: Numbers
    _per_feature = ("df", "scale")
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {"df": (1, 1), "scale": (1, 1)}

    def __post_init__(self) -> None:
        self._freeze("df", positive=True, most_axes=1)
        self._freeze("scale", positive=True, most_axes=1)

    def log_density(self, s: Array) -> tuple[Array, Array]:
        df, scale = self._values()
        squares = 0.5 * df * np.square(scale)
        constant = np.log(2.0) + 0.5 * df * np.log(squares) - log_gamma(0.5 * df)
        return constant - (df + 1.0) * np.log(s) - squares / np.square(s), (2.0 * squares / np.square(s) - df - 1.0) / s

    def rescaled(self, scale: Array) -> Self:
        return self._replace(scale=freeze(self._array("scale") / scale))

    def typical(self) -> Array:
        return self._array("scale")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        df, scale = self._values()
        return scale * np.sqrt(df / rng.chisquare(np.broadcast_to(df, shape)))

    def vanishes_at_zero(self) -> bool:
        return True
