"""Rows as they were observed: whole, with entries missing, or standing for several units.

Rows with the same entries missing form a block, and a block is a pass over the marginal mixture of the features it
has. What it says about the other features follows from conditional means and covariances, so that all blocks together
return the same statistics as a pass over whole rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics.linalg import inverse_lower, outer
from bayesgmm.numerics.passes import Statistics, expected_statistics, rowwise, rowwise_of_many

Array = NDArray[np.float64]

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows that have the same features.

    Attributes
    ----------
    columns : (o,) array of int
        The features that were observed.
    index : (n,) array of int
        Which rows of the table these are.
    x : (o, n) array
    weights : (n,) array, optional
        How many units each row stands for; one if left out.
    """

    columns: NDArray[np.intp]
    index: NDArray[np.intp]
    x: Array
    weights: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table of rows, of which any entries may be missing.

    Attributes
    ----------
    blocks : list of Block
        Rows in which nothing was observed are in none of them.
    n_rows, n_features : int
        Of the table.
    """

    blocks: list[Block]
    n_rows: int
    n_features: int

    @property
    def whole(self) -> Array | None:
        """The data (d, N) if every row is whole and stands for itself, else None."""
        if len(self.blocks) == 1:
            block = self.blocks[0]
            if block.weights is None and block.index.size == self.n_rows and block.columns.size == self.n_features:
                return block.x
        return None

    def units(self) -> float:
        """Number of units that were observed at least in part."""
        return sum(float(block.index.size if block.weights is None else block.weights.sum()) for block in self.blocks)

    def log_volume(self, scale: Array) -> float:
        """Log of |dx/dz| of all entries that were observed, for z = x / scale."""
        logs = np.log(scale)
        return sum(
            float(logs[block.columns].sum() * (block.index.size if block.weights is None else block.weights.sum()))
            for block in self.blocks
        )

    def log_volumes(self, scale: Array) -> Array:
        """The same for each row of the table once, (N,)."""
        out = np.zeros(self.n_rows)
        for block in self.blocks:
            out[block.index] = np.log(scale)[block.columns].sum()
        return out

    def taken(self, index: NDArray[np.intp]) -> Rows:
        """The rows with these (increasing) numbers, as a table of their own."""
        place = np.full(self.n_rows, -1)
        place[index] = np.arange(index.size)
        blocks = []
        for block in self.blocks:
            here = np.flatnonzero(place[block.index] >= 0)
            if here.size:
                x = np.ascontiguousarray(block.x[:, here])
                weights = None if block.weights is None else block.weights[here]
                blocks.append(Block(columns=block.columns, index=place[block.index[here]], x=x, weights=weights))
        return Rows(blocks=blocks, n_rows=index.size, n_features=self.n_features)

    def statistics(
        self, log_scales: Array, means: Array, precision_choleskys: Array, *, n_threads: int = 1
    ) -> Statistics:
        """Expected statistics of the features, observed or not; arguments as in `expected_statistics`."""
        x = self.whole
        if x is not None:
            return expected_statistics(x, log_scales, means, precision_choleskys, n_threads=n_threads)
        K, d = means.shape
        value, counts, first, second = 0.0, np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
        covariances = outer(inverse_lower(precision_choleskys))
        for block in self.blocks:
            o = block.columns
            marginal = _marginal(covariances, precision_choleskys, o)
            part = _of_block(block, log_scales, np.ascontiguousarray(means[:, o]), marginal, n_threads)
            value += part.log_normaliser
            counts += part.counts
            # E[x - m | x_o] = B (x_o - m_o), with the identity in B where a feature was observed.
            B, rest = regression(covariances, o)
            first += (B @ part.first[..., None])[..., 0]
            second += B @ part.second @ np.swapaxes(B, -1, -2) + part.counts[:, None, None] * rest
        return Statistics(log_normaliser=value, counts=counts, first=first, second=second)

    def rowwise_of_many(
        self, log_scales: Array, means: Array, precision_choleskys: Array, *, n_threads: int = 1
    ) -> tuple[Array, Array]:
        """Responsibilities (S, K, N) and log normalisers (S, N) of one unit of every row, under S mixtures.

        Of a row in which nothing was observed they are the weights, and the log of their sum.
        """
        x = self.whole
        if x is not None:
            return rowwise_of_many(x, log_scales, means, precision_choleskys, n_threads=n_threads)
        total = np.logaddexp.reduce(log_scales, axis=1)
        r = np.repeat(np.exp(log_scales - total[:, None])[..., None], self.n_rows, axis=2)
        log_density = np.repeat(total[:, None], self.n_rows, axis=1)
        covariances = outer(inverse_lower(precision_choleskys))
        for block in self.blocks:
            o = block.columns
            marginal = _marginal(covariances, precision_choleskys, o)
            part = rowwise_of_many(block.x, log_scales, means[..., o], marginal, n_threads=n_threads)
            r[..., block.index], log_density[:, block.index] = part
        return r, log_density

    def filled(self, mean: Array, covariance: Array) -> Array:
        """The table (d, N) with missing entries replaced by their conditional means under one Gaussian."""
        out = np.repeat(mean[:, None], self.n_rows, axis=1)
        for block in self.blocks:
            B, _ = regression(covariance, block.columns)
            out[:, block.index] = mean[:, None] + B @ (block.x - mean[block.columns][:, None])
            out[np.ix_(block.columns, block.index)] = block.x
        return out


def make_rows(values: Array, counts: Array | None = None) -> Rows:
    """Group the rows of a table (N, d), NaN where an entry is missing, by what they have."""
    n, d = values.shape
    observed = ~np.isnan(values)
    if observed.all():
        everything = Block(columns=np.arange(d), index=np.arange(n), x=np.ascontiguousarray(values.T), weights=counts)
        return Rows(blocks=[everything], n_rows=n, n_features=d)
    patterns, which = np.unique(observed, axis=0, return_inverse=True)
    blocks = []
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        index, columns = np.flatnonzero(which.ravel() == number), np.flatnonzero(pattern)
        x = np.ascontiguousarray(values[np.ix_(index, columns)].T)
        blocks.append(Block(columns=columns, index=index, x=x, weights=None if counts is None else counts[index]))
    return Rows(blocks=blocks, n_rows=n, n_features=d)


def regression(covariances: Array, columns: NDArray[np.intp]) -> tuple[Array, Array]:
    """Regression of all features on some, and the covariance that is left, for Gaussians (..., d, d).

    Returns
    -------
    B : (..., d, o) array
        E[x - m | x_o] = B (x_o - m_o).
    rest : (..., d, d) array
        Cov[x | x_o], zero where a feature is observed.
    """
    d, o = covariances.shape[-1], columns.size
    B = np.zeros((*covariances.shape[:-1], o))
    B[..., columns, np.arange(o)] = 1.0
    rest = np.zeros_like(covariances)
    missing = np.setdiff1d(np.arange(d), columns)
    if missing.size:
        S_oo = covariances[..., columns[:, None], columns]
        S_om = covariances[..., columns[:, None], missing]
        solved = np.linalg.solve(S_oo, S_om)
        B[..., missing, :] = np.swapaxes(solved, -1, -2)
        left = covariances[..., missing[:, None], missing] - np.swapaxes(S_om, -1, -2) @ solved
        rest[..., missing[:, None], missing] = 0.5 * (left + np.swapaxes(left, -1, -2))
    return B, rest


def _marginal(covariances: Array, precision_choleskys: Array, columns: NDArray[np.intp]) -> Array:
    """Lower triangular A with A' A the precisions of the marginal Gaussians of some features."""
    if columns.size == covariances.shape[-1]:
        return precision_choleskys
    return inverse_lower(np.linalg.cholesky(covariances[..., columns[:, None], columns]))


def _of_block(block: Block, log_scales: Array, means: Array, factors: Array, n_threads: int) -> Statistics:
    if block.weights is None:
        return expected_statistics(block.x, log_scales, means, factors, n_threads=n_threads)
    K, o = means.shape
    value, counts, first, second = 0.0, np.zeros(K), np.zeros((K, o)), np.zeros((K, o, o))
    for begin in range(0, block.index.size, _ROWS_AT_ONCE):
        x = np.ascontiguousarray(block.x[:, begin : begin + _ROWS_AT_ONCE])
        weights = block.weights[begin : begin + _ROWS_AT_ONCE]
        r, log_density = rowwise(x, log_scales, means, factors)
        value += float(weights @ log_density)
        r *= weights
        counts += r.sum(axis=1)
        for k in range(K):
            y = x - means[k][:, None]
            weighted = y * r[k]
            first[k] += weighted.sum(axis=1)
            second[k] += weighted @ y.T
    return Statistics(log_normaliser=value, counts=counts, first=first, second=second)
