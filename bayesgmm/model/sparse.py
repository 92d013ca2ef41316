"""Dirichlet weights whose total concentration is shared out among the components, and its priors."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import UnsupportedError
from bayesgmm.model._spec import Array, Spec, show
from bayesgmm.model._weights_interface import Weights
from bayesgmm.model.scale_priors import Gamma
from bayesgmm.model.weights import Dirichlet


@dataclass(frozen=True)
class FDistribution(Spec):
    """Ratio of two independent mean squares, heavy to the right; a prior for a concentration.

    F(6, 3) is what Fruehwirth-Schnatter, Malsiner-Walli & Gruen (2021, section 4.2) recommend for it.

    Parameters
    ----------
    d1, d2 : float
        Positive degrees of freedom of numerator and denominator.
    """

    d1: float = 6.0
    d2: float = 3.0

    def __post_init__(self) -> None:
        self._freeze("d1", positive=True, most_axes=0)
        self._freeze("d2", positive=True, most_axes=0)

    def describe(self) -> str:
        return f"F({show(self.d1)}, {show(self.d2)})"

    def typical(self) -> float:
        """The mode, or 1 where that is 0."""
        return (self.d1 - 2) / self.d1 * self.d2 / (self.d2 + 2) if self.d1 > 2 else 1.0

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Independent draws."""
        return rng.f(self.d1, self.d2, size=shape)


@dataclass(frozen=True)
class SparseDirichlet(Weights):
    """Weights Dirichlet(concentration / K): the total is shared out evenly among the K components.

    With many components and a small total most components stay empty, so that the number of those that are occupied
    is estimated (sparse finite mixtures; Malsiner-Walli, Fruehwirth-Schnatter & Gruen 2016). With a prior on K these
    are the dynamic mixtures of finite mixtures (Fruehwirth-Schnatter, Malsiner-Walli & Gruen 2021).

    Parameters
    ----------
    concentration : float, Gamma or FDistribution
        The total, positive. With a prior on it, which `Gibbs` alone takes, it is sampled: ``Gamma(10, 10)`` is
        the hyperprior e0 ~ Gamma(10, 10 K) of Malsiner-Walli et al. (2016) for e0 = concentration / K.
    """

    concentration: float | Gamma | FDistribution = field(default_factory=FDistribution)

    def __post_init__(self) -> None:
        prior = self.concentration
        if isinstance(prior, Gamma):
            single = np.ndim(prior.alpha) == 0 and np.ndim(prior.beta) == 0
            self._check(
                "concentration", single, f"got {as_written(prior)}", "Give Gamma(alpha, beta) with single numbers"
            )
        elif not isinstance(prior, FDistribution):
            self._freeze("concentration", positive=True, most_axes=0)
        self._set("only_by_gibbs", self.random)

    @property
    def empties(self) -> bool:
        return True

    @property
    def random(self) -> bool:
        """Whether the total has a prior."""
        return isinstance(self.concentration, Spec)

    def typical(self) -> float:
        """A total to begin with."""
        prior = self.concentration
        return float(np.ravel(prior.typical())[0]) if isinstance(prior, (Gamma, FDistribution)) else float(prior)

    def shared_out(self, n_components: int) -> Dirichlet:
        """The Dirichlet prior for K components at the total, or at a typical one."""
        return Dirichlet(self.typical() / n_components)

    def describe(self) -> str:
        if not isinstance(self.concentration, Spec):
            return f"Dirichlet({show(self.concentration)} / K)"
        return f"Dirichlet(a / K), a ~ {self.concentration.describe()}"

    def resolved(self, n_components: int) -> Self:
        return self

    def keys(self, n_components: int) -> list[Hashable]:
        return [None] * n_components

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        raise self._unsupported()

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        raise self._unsupported()

    def cut(self, n_components: int) -> Self | None:
        return self

    def bounded(self) -> bool:
        return False

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        prior = self.concentration
        if not isinstance(prior, (Gamma, FDistribution)):
            return self.shared_out(n_components).draw(rng, size, n_components)
        totals = prior.draw(rng, (size,))
        return np.concatenate([Dirichlet(a / n_components).draw(rng, 1, n_components) for a in totals])

    def _unsupported(self) -> UnsupportedError:
        return UnsupportedError(f"weights={self.describe()}", "engines other than Gibbs", "Use engine=Gibbs().")
