"""A table of rows as they were observed: whole or with missing entries, exact, with errors or in bins, counted.

What a kind of row says is in a part of its own (`ExactRows`, `NoisyRows`, `BinnedRows`), and all parts return the same
statistics: those of the true values of all features. Together they are one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics.binned_rows import BinnedRows
from bayesgmm.numerics.exact_rows import Conditional, ExactRows
from bayesgmm.numerics.linalg import inverse_lower, lower_indices, outer
from bayesgmm.numerics.noisy_rows import NoisyRows
from bayesgmm.numerics.passes import Array, Statistics

Part = ExactRows | NoisyRows | BinnedRows


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table of rows.

    Attributes
    ----------
    parts : list
        Rows in which nothing was observed are in none of them.
    n_rows, n_features : int
        Of the table.
    """

    parts: Sequence[Part]
    n_rows: int
    n_features: int

    @property
    def complete(self) -> ExactRows | None:
        """The one part that there is, if nothing is missing, in a bin or has an error; rows may be counted."""
        if len(self.parts) == 1 and self.parts[0].complete and self.parts[0].index.size == self.n_rows:
            return self.parts[0]  # type: ignore[return-value]
        return None

    @property
    def whole(self) -> Array | None:
        """The data (d, N) if besides every row stands for itself, else None."""
        complete = self.complete
        return complete.x if complete is not None and complete.weights is None else None

    @property
    def blurred(self) -> bool:
        """Whether no row is exact, so that the likelihood stays bounded when a component collapses."""
        return bool(self.parts) and all(part.blurred for part in self.parts)

    def units(self) -> float:
        """Number of units that were observed at least in part."""
        return sum(float(part.units.sum()) for part in self.parts)

    def typical_noise(self) -> Array | None:
        """Covariance (d, d) of an error of middling size, that of a place within a bin included; None if exact."""
        found = [part.typical_noise() for part in self.parts]
        units = np.array([part.units.sum() for part in self.parts])
        if not any(noise.any() for noise in found):
            return None
        return np.einsum("p,pij->ij", units / units.sum(), np.array(found))

    def log_volume(self, scale: Array) -> float:
        """Log of |dx/dz| of all entries that were observed, for z = x / scale; values in bins have no volume."""
        return sum(float(np.sum(part.volumes(np.log(scale)) * part.units)) for part in self.parts)

    def log_volumes(self, scale: Array) -> Array:
        """The same for each row of the table once, (N,)."""
        out = np.zeros(self.n_rows)
        for part in self.parts:
            out[part.index] = part.volumes(np.log(scale))
        return out

    def taken(self, index: NDArray[np.intp]) -> Rows:
        """The rows with these (increasing) numbers, as a table of their own."""
        place = np.full(self.n_rows, -1)
        place[index] = np.arange(index.size)
        parts = []
        for part in self.parts:
            here = np.flatnonzero(place[part.index] >= 0)
            if here.size:
                parts.append(part.taken(here, place[part.index[here]]))
        return Rows(parts=parts, n_rows=index.size, n_features=self.n_features)

    def statistics(
        self,
        log_scales: Array,
        means: Array,
        precision_choleskys: Array,
        *,
        noise_factor: float = 1.0,
        n_threads: int = 1,
    ) -> Statistics:
        """Expected statistics of the true values of all features; arguments as in `expected_statistics`.

        `noise_factor` multiplies the covariances of all errors.
        """
        covariances = means if self.complete else outer(inverse_lower(precision_choleskys))
        at = log_scales, means, covariances, precision_choleskys, noise_factor, n_threads
        if not self.parts:
            return _nothing(means)
        (part,) = self.parts
        return part.statistics(*at)

    def rowwise_of_many(
        self,
        log_scales: Array,
        means: Array,
        precision_choleskys: Array,
        *,
        noise_factors: Array | None = None,
        n_threads: int = 1,
    ) -> tuple[Array, Array]:
        """Responsibilities (S, K, N) and log normalisers (S, N) of one unit of every row, under S mixtures.

        Of a row in which nothing was observed they are the weights, and the log of their sum.
        """
        complete = self.complete
        covariances = means if complete else outer(inverse_lower(precision_choleskys))
        factors = np.ones(len(means)) if noise_factors is None else noise_factors
        at = log_scales, means, covariances, precision_choleskys, factors, n_threads
        if complete is not None:
            return complete.rowwise_of_many(*at)
        total = np.logaddexp.reduce(log_scales, axis=1)
        r = np.repeat(np.exp(log_scales - total[:, None])[..., None], self.n_rows, axis=2)
        log_density = np.repeat(total[:, None], self.n_rows, axis=1)
        for part in self.parts:
            r[..., part.index], log_density[:, part.index] = part.rowwise_of_many(*at)
        return r, log_density

    def conditionals(self, mean: Array, covariance: Array, noise_factor: float = 1.0) -> list[Conditional]:
        """What all rows say about their true values under one component."""
        out = [each for part in self.parts for each in part.conditionals(mean, covariance, noise_factor)]
        seen = np.concatenate([each.index for each in out]) if out else np.arange(0)
        empty = np.setdiff1d(np.arange(self.n_rows), seen)
        if empty.size:
            y, d = np.zeros((empty.size, mean.size)), mean.size
            out.append(Conditional(index=empty, y=y, gain=np.zeros((1, d, d)), y_variance=np.zeros(empty.size)))
        return out

    def filled(self, mean: Array, covariance: Array) -> Array:
        """The table (d, N) with missing entries replaced by their conditional means under one Gaussian.

        Values with errors stay as they are, those in bins become the expected ones.
        """
        out = np.repeat(mean[:, None], self.n_rows, axis=1)
        for part in self.parts:
            if isinstance(part, NoisyRows):
                at = {"index": part.index, "observed": part.observed, "edges": part.edges}
                part = ExactRows(x=part.x, **at)
            elif isinstance(part, ExactRows):
                part = ExactRows(index=part.index, x=part.x, observed=part.observed, edges=part.edges)
            for each in part.conditionals(mean, covariance, 0.0):
                out[:, each.index] = each.expected(mean).T
        return out


def make_rows(
    values: Array, counts: Array | None = None, *, noise: Array | None = None, bins: Array | None = None
) -> Rows:
    """Sort the rows of a table (N, d), NaN where an entry is missing, by what was observed.

    Parameters
    ----------
    counts : (N,) array, optional
        How many units each row stands for.
    noise : (N, d) or (N, d, d) array, optional
        Standard deviations or covariances of errors.
    bins : (N, 2) array, optional
        Lower and upper bounds of the one feature, in place of its values.
    """
    n, d = values.shape
    if bins is not None:
        weights = np.ones(n) if counts is None else counts
        variances = None if noise is None else (np.square(noise) if noise.ndim == 2 else noise[:, 0]).reshape(n)
        bounds = np.ascontiguousarray(bins.T)
        part = BinnedRows(index=np.arange(n), bounds=bounds, weights=weights, noise=variances)
        return Rows(parts=[part], n_rows=n, n_features=d)
    there = ~np.isnan(values)
    if there.all():
        observed, index, edges = np.ones((1, d), dtype=bool), np.arange(n), np.array([0, n])
    else:
        observed, which, sizes = np.unique(there, axis=0, return_inverse=True, return_counts=True)
        which = which.ravel()
        index = np.argsort(which, kind="stable")
        edges = np.concatenate([[0], np.cumsum(sizes)])
        if not observed[0].any():  # patterns are sorted, so an empty one comes first
            index, observed, edges = index[sizes[0] :], observed[1:], edges[1:] - sizes[0]
    if not index.size:
        return Rows(parts=[], n_rows=n, n_features=d)
    x = np.ascontiguousarray(np.where(there, values, 0.0)[index].T if index.size < n or not there.all() else values.T)
    weights = None if counts is None else np.ascontiguousarray(counts[index])
    own = {"index": index, "x": x, "observed": observed, "edges": edges, "weights": weights}
    if noise is None or not noise.any():
        return Rows(parts=[ExactRows(**own)], n_rows=n, n_features=d)
    same = noise[0]
    if (noise == same).all():
        shared = np.diag(np.square(same)) if same.ndim == 1 else same
        return Rows(parts=[ExactRows(**own, noise=shared)], n_rows=n, n_features=d)
    if noise.ndim == 2:
        variances = np.square(noise[index]).T
    else:
        i, j = lower_indices(d)
        variances = noise[index][:, i, j].T
    return Rows(parts=[NoisyRows(**own, noise=np.ascontiguousarray(variances))], n_rows=n, n_features=d)


def _nothing(means: Array) -> Statistics:
    """Statistics of no rows."""
    K, d = means.shape
    return Statistics(log_normaliser=0.0, counts=np.zeros(K), first=np.zeros((K, d)), second=np.zeros((K, d, d)))
