"""Weights of the numbers 0, 1, 2, ... of something that is counted in each row."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np

from bayesgmm._arguments import as_choice, as_written
from bayesgmm._errors import InputError
from bayesgmm.model._rates import LEAST_LOG_RATE, MOST_LOG_RATE, check_rate, is_bounded, rate_density, root_of_falling
from bayesgmm.model._spec import Array, Numbers, show
from bayesgmm.model._weights_interface import Weights
from bayesgmm.model.poisson_posterior import PoissonPosterior
from bayesgmm.model.scale_priors import Gamma, ScalePrior
from bayesgmm.numerics.poisson import log_counts

# A weight that underflows has a logarithm all the same.
_SMALLEST_WEIGHT = 1e-300


@dataclass(frozen=True)
class PoissonWeights(Weights):
    """Weights of a Poisson distribution: component k has the rows that hold k molecules.

    w_k = exp(-L) L^k / k! for k = 0, ..., K - 1 with one unknown rate L, the mean number of molecules in a row: the law
    of partitions in digital PCR (Dube, Qin & Ramakrishnan 2008, doi:10.1371/journal.pone.0002876). With two components
    and ``tail="lump"`` they are the rows without any, w_0 = exp(-L), and all others.

    The order of the components is their number of molecules, which the weights alone do not tell: with two of them
    exp(-L) and 1 - exp(-L) may change places. Give means that are ordered (`SaturatingMeans`, `EvenlySpacedMeans`) or a
    row of `NormalMeans` for each component.

    A result holds the rate as ``rate``, of each group where rows belong to groups. Every group has a rate of its own
    then, unless there are ``exposures``.

    Parameters
    ----------
    rate : Gamma, Exponential, HalfNormal, LogNormal or ScaledInverseChi
        Prior on L, or on L per unit of exposure. ``Gamma(1, 0.1)`` if left out: exponential with mean 10.
    tail : {"lump", "truncate"}
        "lump": the last component has all rows with K - 1 molecules or more. "truncate": there are none with K or more.
    exposures : (G,) array-like, optional
        Dilution times volume of each group of rows, in the sorted order of the labels of ``as_data(groups=...)``. The
        rate of group g is then ``exposures[g]`` times one rate that all share, and that a result holds as
        ``shared_rate``.

    Raises
    ------
    InputError
        If the prior is of another kind, or a number is out of range.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> print(bg.PoissonWeights())
    Poisson(L), the last with all that are more, L ~ Gamma(1, 0.1)
    """

    rate: ScalePrior = field(default_factory=lambda: Gamma(1.0, 0.1))
    tail: Literal["lump", "truncate"] = "lump"
    exposures: Numbers | None = None

    def __post_init__(self) -> None:
        check_rate(self, "rate", self.rate)
        as_choice("PoissonWeights.tail", self.tail, ("lump", "truncate"))
        self._freeze("exposures", optional=True, positive=True, most_axes=1)
        by_group = self.exposures is None or np.ndim(self.exposures) == 1
        self._check("exposures", by_group, f"got {as_written(self.exposures)}", "Give one number for each group")

    @property
    def n_groups(self) -> int | None:
        return None if self.exposures is None else len(self.exposures)  # type: ignore[arg-type]

    @property
    def joins_groups(self) -> bool:
        return self.exposures is not None

    def describe(self) -> str:
        last = "the last with all that are more" if self.tail == "lump" else "truncated"
        rate = "L" if self.exposures is None else "L e_g"
        known = "" if self.exposures is None else f", e_g = {show(self.exposures)}"
        return f"Poisson({rate}), {last}, L ~ {self.rate.describe()}{known}"

    def resolved(self, n_components: int) -> Self:
        if n_components < 2:
            raise InputError(
                "n_components", f"got {n_components} with PoissonWeights", "Give at least 2: rows without and rows with"
            )
        return self

    def cut(self, n_components: int) -> Self | None:
        return self if n_components >= 2 and self.exposures is None else None

    def keys(self, n_components: int) -> list[Hashable]:
        return list(range(n_components))

    def log_density(self, log_weights: Array) -> tuple[float, Array]:
        t = self.log_rate(log_weights)
        value, slope = rate_density(self.rate, t)
        return float(value), self._pushed(float(slope), t, log_weights)

    def log_densities(self, log_weights: Array) -> Array:
        return rate_density(self.rate, self.log_rate(log_weights))[0]

    def mode(self, counts: Array, *, unconstrained: bool = False) -> Array:
        K = counts.shape[-1]
        a = getattr(self.rate, "alpha", np.nan) if isinstance(self.rate, Gamma) else np.nan
        if K == 2 and self.tail == "lump" and self.exposures is None and a == 1.0 and not unconstrained:
            # n_1 / (exp(L) - 1) = n_0 + beta.
            with np.errstate(divide="ignore"):
                t = np.log(np.log1p(counts[1] / (counts[0] + np.ravel(self.rate.beta)[0])))  # type: ignore[attr-defined]
            return self.log_weights(np.clip(t, LEAST_LOG_RATE, MOST_LOG_RATE), K)
        extra = 1.0 if unconstrained else 0.0

        def slope(t: float) -> float:
            by_rows = float((counts * self._weights_and_slopes(np.asarray(t), K)[1]).sum())
            return by_rows + float(rate_density(self.rate, np.asarray(t))[1]) + extra

        held = float((counts @ np.arange(K)).sum() + 1.0)
        rows = float((counts.sum(axis=-1) * (1.0 if self.exposures is None else self._exposures)).sum() + 1.0)
        return self.log_weights(np.asarray(root_of_falling(slope, float(np.log(held / rows)))), K)

    def draw(self, rng: np.random.Generator, size: int, n_components: int) -> Array:
        with np.errstate(divide="ignore"):
            t = np.log(self.rate.draw(rng, (size, 1))[:, 0])
        return self.weights(np.clip(t, LEAST_LOG_RATE, MOST_LOG_RATE), n_components)

    def bounded(self) -> bool:
        """Whether the density of the rate stays bounded as the rate goes to 0."""
        return is_bounded(self.rate)

    def posterior(self, counts: Array) -> PoissonPosterior:
        """Exact for given expected counts: a density of one number, on a grid."""
        by_group = (
            counts if self.exposures is None else np.broadcast_to(counts, (self._exposures.size, counts.shape[-1]))
        )
        return PoissonPosterior(self, ()).given(by_group)

    def own_parameters(self, log_weights: Array) -> dict[str, Array]:
        rate = np.exp(self.log_rate(log_weights))
        if self.exposures is None:
            return {"rate": rate}
        return {"shared_rate": rate, "rate": rate[..., None] * self._exposures}

    def n_free(self, n_components: int) -> int:
        return 1

    def from_free(self, theta: Array, reference: Array) -> Array:
        return self.log_weights(self.log_rate(reference) + theta[..., 0], reference.shape[-1])

    def to_free(self, log_weights: Array, reference: Array) -> Array:
        return (self.log_rate(log_weights) - self.log_rate(reference))[..., None]

    def pullback(self, gradient: Array, log_weights: Array) -> Array:
        return np.array([(self.slopes(self.log_rate(log_weights), log_weights.shape[-1]) * gradient).sum()])

    def log_jacobian(self, log_weights: Array) -> tuple[float, Array]:
        t = self.log_rate(log_weights)
        return float(t), self._pushed(1.0, t, log_weights)

    def log_jacobians(self, log_weights: Array) -> Array:
        return self.log_rate(log_weights)

    def information_map(self, log_weights: Array, counts: Array) -> Array:
        K = log_weights.shape[-1]
        log_w, slopes = self._weights_and_slopes(self.log_rate(log_weights), K)
        rows = counts.sum(axis=-1, keepdims=True)
        information = float((rows * np.exp(log_w) * np.square(slopes)).sum()) + 1.0
        return np.array([[1.0 / np.sqrt(information)]])

    def log_rate(self, log_weights: Array) -> Array:
        """Log of the (shared) rate that log weights (..., K), or (..., G, K) with exposures, belong to."""
        if self.exposures is not None:
            # That of the group that shows most.
            most = int(np.argmax(self._exposures))
            return self._log_rate_of_one(log_weights[..., most, :]) - np.log(self._exposures[most])
        return self._log_rate_of_one(log_weights)

    def log_weights(self, log_rate: Array, n_components: int) -> Array:
        """Log weights (..., K), or (..., G, K) with exposures, of log rates (...,)."""
        return self._weights_and_slopes(log_rate, n_components)[0]

    def weights(self, log_rate: Array, n_components: int) -> Array:
        """The weights themselves, none of them exactly 0."""
        return np.maximum(np.exp(self.log_weights(log_rate, n_components)), _SMALLEST_WEIGHT)

    def slopes(self, log_rate: Array, n_components: int) -> Array:
        """Derivatives of the log weights in the log rate, in the shape of the weights."""
        return self._weights_and_slopes(log_rate, n_components)[1]

    def _weights_and_slopes(self, log_rate: Array, n_components: int) -> tuple[Array, Array]:
        t = log_rate if self.exposures is None else log_rate[..., None] + np.log(self._exposures)
        return log_counts(n_components, t, lump=self.tail == "lump")

    def _log_rate_of_one(self, log_weights: Array) -> Array:
        K = log_weights.shape[-1]
        if K == 2 and self.tail == "lump":
            empty, rest = log_weights[..., 0], log_weights[..., 1]
            # Of the two weights the smaller one has its digits.
            with np.errstate(divide="ignore"):
                by_rest = np.log(-np.log1p(-np.exp(np.minimum(rest, -0.5))))
                t = np.where(empty < rest, np.log(-empty), by_rest)
        else:
            # w_{j+1} / w_j = L / (j + 1), where weights are largest.
            exact = log_weights[..., : K - 1 if self.tail == "lump" else K]
            j = np.argmax(exact[..., :-1], axis=-1)[..., None]
            ratio = np.take_along_axis(exact, j + 1, axis=-1) - np.take_along_axis(exact, j, axis=-1)
            t = (ratio + np.log(j + 1.0))[..., 0]
        return np.clip(t, LEAST_LOG_RATE, MOST_LOG_RATE)

    def _pushed(self, slope: float, log_rate: Array, log_weights: Array) -> Array:
        """A gradient in log weights that `pullback` turns into this slope in the log rate."""
        J = self.slopes(log_rate, log_weights.shape[-1])
        return J * (slope / float(np.square(J).sum()))

    @property
    def _exposures(self) -> Array:
        return np.asarray(self.exposures, dtype=float)
