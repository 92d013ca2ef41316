"""A table of rows as they were observed: whole or with missing entries, exact, with errors or in bins, counted.

What a kind of row says is in a part of its own (`ExactRows`, `NoisyRows`, `BinnedRows`), and all parts return the same
statistics: those of the true values of all features. Together they are one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics import curvature
from bayesgmm.numerics.binned_rows import BinnedRows
from bayesgmm.numerics.exact_rows import Conditional, ExactRows
from bayesgmm.numerics.linalg import inverse_lower, lower_indices, outer
from bayesgmm.numerics.noisy_rows import NoisyRows
from bayesgmm.numerics.passes import Array, Statistics

Part = ExactRows | NoisyRows | BinnedRows

# Log weight of components that a row is known not to come from: exp() of it is 0, and 0 times it is no NaN.
_IMPOSSIBLE = -1e300


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table of rows.

    Attributes
    ----------
    parts : list
        Rows in which nothing was observed are in none of them, and each has rows of one group, and of one component
        where that is known.
    n_rows, n_features : int
        Of the table.
    groups : (N,) array of int, optional
        Numbers of the groups of the rows, if they belong to some.
    known : (N,) array of int, optional
        The component that each row is known to come from, -1 where it is unknown.
    """

    parts: Sequence[Part]
    n_rows: int
    n_features: int
    groups: NDArray[np.intp] | None = None
    known: NDArray[np.intp] | None = None

    @property
    def complete(self) -> ExactRows | None:
        """All rows as one part, if all are whole and exact, without groups and known labels; rows may be counted."""
        one = self.exact and self.groups is None and self.known is None
        return self.parts[0] if one else None  # type: ignore[return-value]

    @property
    def exact(self) -> bool:
        """Whether nothing is missing, in a bin or has an error."""
        there = sum(part.index.size for part in self.parts) == self.n_rows
        return there and all(part.complete for part in self.parts)

    @property
    def whole(self) -> Array | None:
        """The data (d, N) if besides every row stands for itself, else None."""
        complete = self.complete
        return complete.x if complete is not None and complete.weights is None else None

    @cached_property  # it looks at every row, and is asked for in every step of an optimiser
    def blurred(self) -> bool:
        """Whether no row is exact, so that the likelihood stays bounded when a component collapses."""
        return bool(self.parts) and all(part.blurred for part in self.parts)

    def units(self) -> float:
        """Number of units that were observed at least in part."""
        return sum(float(part.units.sum()) for part in self.parts)

    def units_by_row(self) -> Array:
        """How many units each row of the table stands for, (N,); none where nothing was observed."""
        out = np.zeros(self.n_rows)
        for part in self.parts:
            out[part.index] = part.units
        return out

    def group_units(self, n_groups: int) -> Array:
        """The same of each group, (G,)."""
        out = np.zeros(n_groups)
        for part in self.parts:
            out[part.group] += part.units.sum()
        return out

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
        groups = None if self.groups is None else self.groups[index]
        known = None if self.known is None else self.known[index]
        return Rows(parts=parts, n_rows=index.size, n_features=self.n_features, groups=groups, known=known)

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

        `log_scales` may be (G, K), a row for each group. `noise_factor` multiplies the covariances of all errors.
        """
        covariances = means if self.exact else outer(inverse_lower(precision_choleskys))
        at = means, covariances, precision_choleskys, noise_factor, n_threads
        by_group = log_scales.ndim == 2
        if not by_group and len(self.parts) == 1:
            return self.parts[0].statistics(_scales_of(self.parts[0], log_scales), *at)
        found = [part.statistics(_scales_of(part, log_scales, by_group), *at) for part in self.parts]
        total = _added(found, means, precision_choleskys)
        if not by_group:
            return total
        group_counts = np.zeros(log_scales.shape)
        for part, each in zip(self.parts, found, strict=True):
            group_counts[part.group] += each.counts
        return replace(total, group_counts=group_counts)

    def curvature(
        self,
        log_scales: Array,
        means: Array,
        choleskys: Array,
        *,
        noise_factor: float = 1.0,
        free_noise: bool = False,
        products: bool = False,
    ) -> dict[int, Array]:
        """Second derivatives of the log-likelihood by group, in the coordinates of `numerics.curvature`.

        `log_scales` may be (G, K), a row for each group. With `free_noise` the factor of all errors is unknown. With
        `products` it is minus the products of the slopes of each row instead, which is expected to be the same where
        the rows come from the mixture.
        """
        K, d = means.shape
        out: dict[int, Array] = {}
        for part in self.parts:
            total = out.setdefault(part.group, curvature.empty(K, d))
            own = _scales_of(part, log_scales, log_scales.ndim == 2)
            part.add_curvature(total, own, means, choleskys, noise_factor, free_noise, products)
        return out

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

        `log_scales` may be (S, G, K), with a row for each group. Of a row in which nothing was observed they are the
        weights, and the log of their sum. A row that is known to come from a component counts with the weight of that
        one alone.
        """
        complete = self.complete
        covariances = means if self.exact else outer(inverse_lower(precision_choleskys))
        factors = np.ones(len(means)) if noise_factors is None else noise_factors
        at = means, covariances, precision_choleskys, factors, n_threads
        if complete is not None:
            return complete.rowwise_of_many(log_scales, *at)
        by_group, total = log_scales.ndim == 3, np.logaddexp.reduce(log_scales, axis=-1)
        shares = np.exp(log_scales - total[..., None])
        if by_group:
            r, log_density = np.swapaxes(shares[:, self.groups], 1, 2).copy(), total[:, self.groups]
        else:
            r = np.repeat(shares[..., None], self.n_rows, axis=2)
            log_density = np.repeat(total[:, None], self.n_rows, axis=1)
        for part in self.parts:
            own = _scales_of(part, log_scales, by_group)
            r[..., part.index], log_density[:, part.index] = part.rowwise_of_many(own, *at)
            if part.known >= 0:
                r[..., part.index] = np.eye(r.shape[1])[part.known, :, None]
        return r, log_density

    def values_of_many(
        self,
        log_scales: Array,
        means: Array,
        precision_choleskys: Array,
        *,
        noise_factors: Array,
        n_threads: int = 1,
        with_counts: bool = True,
    ) -> tuple[Array, Array]:
        """Log-likelihoods (S,) and expected counts (S, K) under S mixtures; zeros where counts are not asked for.

        `log_scales` may be (S, G, K), with a row for each group.
        """
        covariances = means if self.exact else outer(inverse_lower(precision_choleskys))
        values, counts = np.zeros(len(means)), np.zeros(means.shape[:2])
        for part in self.parts:
            own = _scales_of(part, log_scales, log_scales.ndim == 3)
            at = own, means, covariances, precision_choleskys, noise_factors
            found = part.values_of_many(at, n_threads, with_counts)
            values, counts = values + found[0], counts + found[1]
        return values, counts

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
        """The table (d, N) of the true values that are expected under one Gaussian.

        What was observed exactly stays as it is; a value with an error larger than the spread moves to the mean.
        """
        out = np.repeat(mean[:, None], self.n_rows, axis=1)
        for each in self.conditionals(mean, covariance):
            out[:, each.index] = each.expected(mean).T
        return out


def make_rows(
    values: Array,
    counts: Array | None = None,
    *,
    noise: Array | None = None,
    bins: Array | None = None,
    groups: NDArray[np.intp] | None = None,
    known: NDArray[np.intp] | None = None,
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
    groups : (N,) array of int, optional
        Numbers of the groups that the rows belong to.
    known : (N,) array of int, optional
        The component that each row is known to come from, -1 where it is unknown.
    """
    if groups is None and known is None:
        parts = _parts(values, counts, noise, bins)
    else:
        nothing = np.zeros(len(values), dtype=np.intp)
        kinds = np.stack([nothing if groups is None else groups, nothing - 1 if known is None else known])
        parts = []
        for group, component in np.unique(kinds, axis=1).T.tolist():
            own = np.flatnonzero((kinds[0] == group) & (kinds[1] == component))
            some = (None if each is None else each[own] for each in (counts, noise, bins))
            found = _parts(values[own], *some)
            parts += [replace(part, index=own[part.index], group=group, known=component) for part in found]
    return Rows(parts=parts, n_rows=values.shape[0], n_features=values.shape[1], groups=groups, known=known)


def _scales_of(part: Part, log_scales: Array, by_group: bool = False) -> Array:
    """Log weights (..., K) of the rows of a part, from those of all rows, or of all groups (..., G, K)."""
    own = log_scales[..., part.group, :] if by_group else log_scales
    if part.known < 0:
        return own
    out = np.full_like(own, _IMPOSSIBLE)
    out[..., part.known] = own[..., part.known]
    return out


def _parts(values: Array, counts: Array | None, noise: Array | None, bins: Array | None) -> list[Part]:
    """Rows of one group, sorted by what was observed."""
    n, d = values.shape
    if bins is not None:
        weights = np.ones(n) if counts is None else counts
        variances = None if noise is None else (np.square(noise) if noise.ndim == 2 else noise[:, 0]).reshape(n)
        bounds = np.ascontiguousarray(bins.T)
        return [BinnedRows(index=np.arange(n), bounds=bounds, weights=weights, noise=variances)]
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
        return []
    x = np.ascontiguousarray(np.where(there, values, 0.0)[index].T if index.size < n or not there.all() else values.T)
    weights = None if counts is None else np.ascontiguousarray(counts[index])
    own = {"index": index, "x": x, "observed": observed, "edges": edges, "weights": weights}
    if noise is None or not noise.any():
        return [ExactRows(**own)]
    same = noise[0]
    if (noise == same).all():
        shared = np.diag(np.square(same)) if same.ndim == 1 else same
        return [ExactRows(**own, noise=shared)]
    if noise.ndim == 2:
        variances = np.square(noise[index]).T
    else:
        i, j = lower_indices(d)
        variances = noise[index][:, i, j].T
    return [NoisyRows(**own, noise=np.ascontiguousarray(variances))]


def _added(found: list[Statistics], means: Array, precision_choleskys: Array) -> Statistics:
    """Statistics of several parts together."""
    K, d = means.shape
    total = Statistics(log_normaliser=0.0, counts=np.zeros(K), first=np.zeros((K, d)), second=np.zeros((K, d, d)))
    if not found:
        return total
    names = ["log_normaliser", "counts", "first", "second", "noise_residual"]
    sums = {name: sum(getattr(each, name) for each in found) for name in names}
    if any(each.mean_slope is not None for each in found):
        slopes = [each.slopes(precision_choleskys) for each in found]
        sums["mean_slope"], sums["sigma_slope"] = (sum(each) for each in zip(*slopes, strict=True))
    return replace(total, **sums)
