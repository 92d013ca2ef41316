"""What every engine works on and what it hands back: pure arrays in standardised units, no names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesgmm._status import Status
from bayesgmm.data import Data
from bayesgmm.engines._draws import AllDraws, Draws, Sampling
from bayesgmm.engines._noise import Noise
from bayesgmm.model import FilledMixture, NumberPrior
from bayesgmm.numerics.linalg import inverse_lower, outer
from bayesgmm.numerics.passes import Statistics
from bayesgmm.numerics.rows import Rows

Array = NDArray[np.float64]
Order = NDArray[np.intp]
# Of `Parameters`; the last may be one number for many points.
_PARAMETERS = ("log_weights", "means", "choleskys", "log_noise")

# The progress bar moves after so many draws.
_DRAWS_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """One point: log weights (K,), or (G, K) by group, means (K, d) and covariance Choleskys (K, d, d).

    `log_noise` is the log of the common factor of all errors' standard deviations; 0 where they are known. Many
    points have a leading axis in all of them.
    """

    log_weights: Array
    means: Array
    choleskys: Array
    log_noise: Any = 0.0

    @property
    def precision_choleskys(self) -> Array:
        """Lower triangular A_k with A_k' A_k the precision."""
        return inverse_lower(self.choleskys)

    @property
    def covariances(self) -> Array:
        """(K, d, d)."""
        return outer(self.choleskys)

    @classmethod
    def stacked(cls, points: Sequence[Parameters]) -> Parameters:
        """Many points, from single ones."""
        return cls(**{name: np.stack([np.asarray(getattr(point, name)) for point in points]) for name in _PARAMETERS})

    @classmethod
    def joined(cls, several: Sequence[Parameters]) -> Parameters:
        """Many points, from several lots of many, one after the other."""
        found = {name: np.concatenate([getattr(each, name) for each in several]) for name in _PARAMETERS[:-1]}
        log_noise = np.concatenate([np.broadcast_to(each.log_noise, len(each.means)) for each in several])
        return cls(**found, log_noise=log_noise)

    def taken(self, which: Any) -> Parameters:
        """Some of many points."""
        log_noise = self.log_noise if np.ndim(self.log_noise) == 0 else self.log_noise[which]
        own = {"log_weights": self.log_weights, "means": self.means, "choleskys": self.choleskys}
        return Parameters(**{name: value[which] for name, value in own.items()}, log_noise=log_noise)

    def with_choleskys(self, choleskys: Array) -> Parameters:
        """The same point with other covariances."""
        return replace(self, choleskys=choleskys)

    def reordered(self, order: Order) -> Parameters:
        """The same point, or points, with components permuted."""
        log_weights, means = self.log_weights[..., order], self.means[..., order, :]
        return replace(self, log_weights=log_weights, means=means, choleskys=self.choleskys[..., order, :, :])


@dataclass(frozen=True, kw_only=True)
class Units:
    """Standardised units z = (x - center) / scale, in which the engines work whatever the units of the data."""

    center: Array
    scale: Array

    def to_data(self, parameters: Parameters) -> Parameters:
        """Parameters in the data's units."""
        return replace(
            parameters,
            means=self.center + self.scale * parameters.means,
            choleskys=self.scale[:, None] * parameters.choleskys,
        )

    def to_standard(self, parameters: Parameters) -> Parameters:
        """Parameters in standard units."""
        return replace(
            parameters,
            means=(parameters.means - self.center) / self.scale,
            choleskys=parameters.choleskys / self.scale[:, None],
        )


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A model and data, both in standard units.

    Attributes
    ----------
    rows : Rows
        In standard units.
    x : (d, N) array
        The same with missing entries filled by their conditional means under one Gaussian; for starts and pictures
        of the search, never for a likelihood.
    model : FilledMixture
        In standard units.
    declared : FilledMixture
        The same in the data's units: what is stored and printed.
    units : Units
    data_cholesky : (d, d) array
        Cholesky factor of the data covariance in standard units; the yardstick for collapse.
    n_threads : int
    noise : Noise, optional
        Where there are errors of measurement or bins.
    number : NumberPrior, optional
        On the number of components; `model` and `declared` then have as many as are expected.
    source : Data, optional
        What the rows were made from, for a problem with the same data and another model; None for a part of them.
    start : Parameters, optional
        Where a search has to begin, in standard units; where it likes if left out.
    """

    rows: Rows
    x: Array
    model: FilledMixture
    declared: FilledMixture
    units: Units
    data_cholesky: Array
    n_threads: int
    noise: Noise | None = None
    number: NumberPrior | None = None
    source: Data | None = None
    start: Parameters | None = None

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        return self.rows.n_rows

    @property
    def log_volume(self) -> float:
        """Log of the factor |dx/dz| between the densities of all observed entries in standard and in data units."""
        return self.rows.log_volume(self.units.scale)

    @property
    def only_start(self) -> Parameters | None:
        """Where a search has to begin; a start of another number of components says nothing of this one."""
        return self.start if self.start is not None and len(self.start.means) == self.K else None

    def part(self, index: NDArray[np.intp]) -> Problem:
        """The problem with some of its rows, in increasing order."""
        rows, x = self.rows.taken(index), np.ascontiguousarray(self.x[:, index])
        return replace(self, rows=rows, x=x, source=None)

    @property
    def free_noise(self) -> bool:
        """Whether the factor of all errors is unknown."""
        return self.noise is not None and self.noise.prior is not None

    @property
    def n_parameters(self) -> int:
        """Free numbers, as information criteria count them."""
        return self.model.n_parameters(self.n_features) + self.free_noise

    @property
    def typical_log_noise(self) -> float:
        """Where a search for the factor of all errors begins."""
        if self.noise is None or self.noise.prior is None:
            return 0.0
        return float(np.log(np.ravel(self.noise.prior.typical())[0]))

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.x.shape[0]

    @property
    def n_groups(self) -> int | None:
        """Number of groups with weights of their own; None without groups."""
        return self.model.weights.n_groups

    def pooled(self, log_weights: Array) -> Array:
        """Log weights (..., K) in all rows together, from (..., G, K) where they differ between groups."""
        if self.n_groups is None:
            return log_weights
        units = self.rows.group_units(self.n_groups)
        return np.log(np.einsum("g,...gk->...k", units / units.sum(), np.exp(log_weights)))

    @property
    def K(self) -> int:
        """Number of components."""
        return self.model.n_components

    def statistics(self, parameters: Parameters) -> Statistics:
        """One pass at a point; the sum of log normalisers is the log-likelihood in standard units."""
        at = parameters.log_weights, parameters.means, parameters.precision_choleskys
        return self.statistics_at(*at, log_noise=parameters.log_noise)

    def likelihoods(self, points: Parameters, progress: Any = None, *, with_counts: bool = True) -> tuple[Array, Array]:
        """Log-likelihoods (S,) in standard units and expected counts (S, K) at many points; zeros if not asked for."""
        S = len(points.means)
        values, counts = np.full(S, -np.inf), np.zeros(points.means.shape[:2])
        diagonals = np.diagonal(points.choleskys, axis1=-2, axis2=-1)
        # Far out in the tails of an approximation covariances may overflow; nothing of the posterior is there.
        finite = np.flatnonzero(((diagonals > 0) & np.isfinite(diagonals)).all(axis=(1, 2)))
        noise = np.exp(2.0 * np.broadcast_to(points.log_noise, S))
        for begin in range(0, finite.size, _DRAWS_AT_ONCE):
            some = finite[begin : begin + _DRAWS_AT_ONCE]
            at = points.log_weights[some], points.means[some], inverse_lower(points.choleskys[some])
            options = {"noise_factors": noise[some], "n_threads": self.n_threads, "with_counts": with_counts}
            with np.errstate(all="ignore"):
                values[some], counts[some] = self.rows.values_of_many(*at, **options)
            if progress is not None:
                progress.step("importance weights", int(some[-1]) + 1, S)
        return np.where(np.isnan(values), -np.inf, values), counts

    def responsibilities(self, points: Parameters) -> Array:
        """Responsibilities of one unit of every row (S, K, N), at many points."""
        noise = np.exp(2.0 * np.broadcast_to(points.log_noise, len(points.means)))
        at = points.log_weights, points.means, points.precision_choleskys
        return self.rows.rowwise_of_many(*at, noise_factors=noise, n_threads=self.n_threads)[0]

    def statistics_at(
        self, log_scales: Array, means: Array, precision_choleskys: Array, *, log_noise: float = 0.0
    ) -> Statistics:
        """One pass with any log scales c and lower triangular A_k with A_k' A_k the precisions."""
        at, factor = (log_scales, means, precision_choleskys), float(np.exp(2.0 * log_noise))
        return self.rows.statistics(*at, noise_factor=factor, n_threads=self.n_threads)


@dataclass(frozen=True, kw_only=True)
class StartReport:
    """How one start went.

    `end` is None where the start was not followed to its end; `values` are log posterior (EM) or bound (VB).
    `log_mass` is the log integral of the joint density over one copy of the hill that it ended on, by Laplace's
    formula, and `posterior_mass` the share of the posterior that the hill holds with all its copies, where an engine
    tells them.
    """

    method: str
    status: Status
    short_value: float
    end_value: float = np.nan
    passes: int = 0
    gain_left: float = np.nan
    trace: Array = field(default_factory=lambda: np.empty(0))
    end: Parameters | None = None
    log_mass: float = np.nan
    posterior_mass: float = np.nan

    def in_data_units(self, problem: Problem, shift: float) -> StartReport:
        """This report with its parameters and values in the data's units, `shift` added to the values."""
        return replace(
            self,
            short_value=self.short_value + shift,
            end_value=self.end_value + shift,
            trace=self.trace + shift,
            # An integral over parameters, whose units leave it as it is: only those of the data matter.
            log_mass=self.log_mass - problem.log_volume,
            end=None if self.end is None else problem.units.to_data(self.end),
        )


class Approximation(ABC):
    """A distribution of parameters in standard units that stands in for the posterior.

    Both densities are those of the same coordinates, whichever the approximation has.
    """

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> Parameters:
        """So many points."""

    @abstractmethod
    def log_density(self, points: Parameters) -> Array:
        """Log density of the approximation at many points."""

    @abstractmethod
    def log_prior(self, points: Parameters) -> Array:
        """Log prior density at many points."""

    def learnt(self, points: Parameters, shares: Array) -> Approximation:
        """This approximation after a look at points with weights that stand for the posterior."""
        return self


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an engine hands back; parameters are in the data's units.

    Attributes
    ----------
    point : Parameters
        The mode (EM) or the mean of q (VB).
    status : Status
    starts : list of StartReport
    best_start : int
    objective : dict
        Named numbers at the end: log-likelihood, log posterior or bound.
    draws : Draws, optional
    sampling : Sampling, optional
        Where the draws are those of Markov chains.
    variational : dict of arrays, optional
        Parameters of q.
    approximation : Approximation, optional
        What the draws come from, if they come from an approximation to the posterior.
    all_draws : AllDraws, optional
        Where the number of components, or of those that are occupied, is unknown; `draws` then are those with the
        number of `problem`.
    problem : Problem, optional
        What the draws belong to, where that is not what the engine was given.
    mixed_labels : bool
        Whether a component may have changed places between independent draws, so that these want relabelling.
    notes : dict
        Further facts for the result's attributes.
    message : str
        How it ended in this case, where that says more than the sentence of the status.
    """

    point: Parameters
    status: Status
    starts: list[StartReport]
    best_start: int
    objective: dict[str, float]
    draws: Draws | None = None
    sampling: Sampling | None = None
    variational: dict[str, Array] | None = None
    approximation: Approximation | None = None
    all_draws: AllDraws | None = None
    problem: Problem | None = None
    mixed_labels: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    message: str = ""

    @property
    def to_be_relabelled(self) -> bool:
        """Whether a component may have several labels among the draws."""
        return self.sampling is not None or self.mixed_labels

    @property
    def status_message(self) -> str:
        """What to print of how it ended."""
        return self.message or self.status.value


class Engine(ABC):
    """An engine is its options: frozen, without state, never changed by a fit."""

    name: ClassVar[str]
    # What the numbers in `StartReport` are.
    objective_name: ClassVar[str]

    @abstractmethod
    def check(self, model: FilledMixture, n_features: int) -> None:
        """Raise `UnsupportedError` if this engine cannot fit the model, naming what works instead."""

    @abstractmethod
    def run(self, problem: Problem, rng: np.random.Generator, progress: Any) -> Outcome:
        """Fit."""
