"""Priors on the number of components, for `Gibbs`."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from bayesgmm._arguments import as_whole, as_written, is_whole
from bayesgmm.model._spec import Array, Spec, show
from bayesgmm.numerics.special import log_gamma

# A prior mean is taken over numbers up to this one.
_FAR = 1000


class NumberPrior(Spec):
    """A distribution of whole numbers; ``1 + prior`` moves it, because a mixture has at least one component."""

    shift: int = 0

    @abstractmethod
    def _log_mass(self, n: Array) -> Array:
        """Log probabilities of whole numbers of at least 0, before the shift."""

    @abstractmethod
    def _name(self) -> str:
        """How it is written, without the shift."""

    def log_probability(self, numbers: NDArray[Any]) -> Array:
        """Log probabilities of numbers of components."""
        n = np.asarray(numbers, dtype=float) - self.shift
        out = np.full(n.shape, -np.inf)
        out[n >= 0] = self._log_mass(n[n >= 0])
        return out

    def typical(self) -> int:
        """The prior mean as a whole number, for which defaults are scaled."""
        numbers = np.arange(_FAR)
        p = np.exp(self.log_probability(numbers))
        return max(1, int(np.round(numbers @ p / p.sum())))

    def describe(self) -> str:
        return f"{self.shift} + {self._name()}" if self.shift else self._name()

    def __add__(self, other: Any) -> Self:
        if not is_whole(other):
            return NotImplemented
        return self._replace(shift=self.shift + int(other))

    __radd__ = __add__

    def _check_shift(self) -> None:
        self._set("shift", as_whole(f"{type(self).__name__}.shift", self.shift))


@dataclass(frozen=True)
class BetaNegativeBinomial(NumberPrior):
    """Beta-negative-binomial distribution on 0, 1, 2, ...: Poisson with a Gamma rate whose own rate is random too.

    ``1 + BetaNegativeBinomial(1, 4, 3)`` is what Fruehwirth-Schnatter, Malsiner-Walli & Gruen (2021, section 4.1)
    recommend for the number of components: K has mean 2 and probability 0.57 at 1.

    Parameters
    ----------
    alpha : float
        Positive; number of successes.
    a, b : float
        Positive; of the Beta prior on the probability of success. The mean is alpha b / (a - 1) for a above 1.
    shift : int
        What has been added.
    """

    alpha: float
    a: float
    b: float
    shift: int = 0

    def __post_init__(self) -> None:
        for name in ("alpha", "a", "b"):
            self._freeze(name, positive=True, most_axes=0)
        self._check_shift()

    def _log_mass(self, n: Array) -> Array:
        combinations = log_gamma(self.alpha + n) - log_gamma(np.asarray(self.alpha)) - log_gamma(n + 1.0)
        return combinations + betaln(self.alpha + self.a, n + self.b) - betaln(self.a, self.b)

    def _name(self) -> str:
        return f"BetaNegativeBinomial({show(self.alpha)}, {show(self.a)}, {show(self.b)})"


@dataclass(frozen=True)
class Poisson(NumberPrior):
    """Poisson distribution on 0, 1, 2, ...; write ``1 + Poisson(mu)`` for a number of components.

    Parameters
    ----------
    mu : float
        Positive; the mean.
    shift : int
        What has been added.
    """

    mu: float
    shift: int = 0

    def __post_init__(self) -> None:
        self._freeze("mu", positive=True, most_axes=0)
        self._check_shift()

    def _log_mass(self, n: Array) -> Array:
        return n * np.log(self.mu) - self.mu - log_gamma(n + 1.0)

    def _name(self) -> str:
        return f"Poisson({show(self.mu)})"


@dataclass(frozen=True)
class Geometric(NumberPrior):
    """Geometric distribution of failures on 0, 1, 2, ..., p (1 - p)^n; write ``1 + Geometric(p)``.

    Parameters
    ----------
    p : float
        Probability of 0, between 0 and 1.
    shift : int
        What has been added.
    """

    p: float
    shift: int = 0

    def __post_init__(self) -> None:
        self._freeze("p", positive=True, most_axes=0)
        self._check("p", self.p < 1, f"got {as_written(self.p)}", "Give a probability between 0 and 1")
        self._check_shift()

    def _log_mass(self, n: Array) -> Array:
        return np.log(self.p) + n * np.log1p(-self.p)

    def _name(self) -> str:
        return f"Geometric({show(self.p)})"


@dataclass(frozen=True)
class UniformComponents(NumberPrior):
    """All numbers of components from 1 to ``most`` alike, as in Richardson & Green (1997).

    Parameters
    ----------
    most : int
        The largest number.
    """

    most: int

    def __post_init__(self) -> None:
        self._set("most", as_whole("UniformComponents.most", self.most, least=1))

    def __add__(self, other: object) -> Self:
        return NotImplemented

    __radd__ = __add__

    def _log_mass(self, n: Array) -> Array:
        return np.where((n >= 1) & (n <= self.most), -np.log(self.most), -np.inf)

    def _name(self) -> str:
        return f"UniformComponents({self.most})"
