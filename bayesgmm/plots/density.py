"""One feature: the data, each component's density and the total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_flag
from bayesgmm.data import Data
from bayesgmm.inference.prediction import interval, interval_convention
from bayesgmm.plots._style import (
    add_caveat,
    add_legend,
    axes_or_new,
    component_label,
    feature_index,
    ink,
    look,
    split_empty,
    verbatim,
)
from bayesgmm.results import Mixtures, read_result, stored_data

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_MOST_BINS = 100
_MOST_DRAWS = 1000
_MOST_ERRORS = 200


def plot_density(
    fit: xr.DataTree, feature: str | int | None = None, *, ax: Axes | None = None, legend: bool = True
) -> Axes:
    """Draw the data of one feature, each component's weighted density and their total.

    Parameters
    ----------
    fit : DataTree
        From `fit`, or read back from its file.
    feature : str or int, optional
        Name of the feature, or its number from 0; the first one if left out. With several features the curves are
        marginal densities, and the title says which feature is drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if left out.
    legend : bool
        Whether to add the legend and, with several features, the title.

    Returns
    -------
    matplotlib.axes.Axes
        The histogram has density scale, so that data and curves have the same units. For fits with draws the curves
        are posterior means, and a band shows the pointwise posterior interval of the total (kind and probability
        from ArviZ's ``rcParams``); under `EM` they are the mode. Components in which not half a row is expected are
        part of the total but not drawn. Where values have errors of measurement the curves are those of the true
        values, and a dashed line shows what the total looks like with the errors. Bins are drawn as they are; open
        ones as wide as their neighbours, with a dashed outline. Where groups
        have weights of their own those of all rows together are shown.

    Raises
    ------
    InputError
        If the feature is unknown, or an argument is of the wrong kind.
    """
    fitted = read_result(fit)
    j = 0 if feature is None else feature_index(fitted, feature, "feature")
    ax = axes_or_new(ax, (8.0, 4.0))
    table = stored_data(fit)
    occupied, about_empty = split_empty(fit, fitted)
    low, high = _draw_data(ax, table, j)
    grid = _grid(fitted.point, j, low, high)
    draws = fitted.point if fitted.draws is None else fitted.draws.thinned(_MOST_DRAWS)
    components, totals = marginal_densities(fitted.pooled(draws), j, grid)
    for k in occupied:
        style = look(k)
        label = component_label(fitted, k)
        ax.plot(grid, components[k], color=style.color, linestyle=style.line, linewidth=1.6, zorder=3, label=label)
    # The total is wide and lies below: where one component is all there is, both can be seen.
    below: dict[str, Any] = {"color": ink(), "linewidth": 3.2, "alpha": 0.75, "zorder": 2}
    if fitted.draws is None:
        ax.plot(grid, totals[0], **below, label="total, at the mode")
    else:
        kind, probability = interval_convention()
        lower, upper = interval(totals, kind, probability)
        ax.plot(grid, totals.mean(axis=0), **below, label="total")
        label = f"{probability:.0%} interval ({kind}) of the total"
        ax.fill_between(grid, lower, upper, color=ink(), alpha=0.25, linewidth=0, label=label)
    if table.noise is not None:
        with_errors = _with_errors(fitted.pooled(fitted.point), table, j, grid)
        label = "total with the errors of measurement"
        ax.plot(grid, with_errors, color=ink(), linewidth=1.2, linestyle=(0, (4, 2)), zorder=3, label=label)
    ax.set_xlim(low, high)
    ax.set_xlabel(verbatim(fitted.feature_names[j]))
    ax.set_ylabel("density")
    if as_flag("legend", legend):
        if len(fitted.feature_names) > 1:
            count = f"feature {j} of {len(fitted.feature_names)}, counted from 0"
            ax.set_title(
                f"{verbatim(fitted.feature_names[j])} ({count}): marginal density", fontsize="medium", loc="left"
            )
        if about_empty is not None:
            ax.plot([], [], linestyle="none", label=about_empty)
        add_legend(ax)
        add_caveat(ax, fit)
    return ax


def _draw_data(ax: Axes, table: Data, j: int) -> tuple[float, float]:
    """Draw the data of feature `j` with density scale; return limits for its axis."""
    units = np.ones(table.n_obs) if table.counts is None else table.counts
    if table.bins is not None:
        return _draw_bins(ax, table.bins, units)
    values = table.values[:, j]
    units, values = units[np.isfinite(values)], values[np.isfinite(values)]
    label = f"data ({values.size} rows)" if units.sum() == values.size else f"data ({units.sum():g} units)"
    n_bins = _n_bins(values, units.sum())
    ax.hist(values, bins=n_bins, weights=units, density=True, color=ink(), alpha=0.15, label=label)
    return _limits(values)


def _draw_bins(ax: Axes, bins: Array, counts: Array) -> tuple[float, float]:
    from matplotlib.colors import to_rgb

    # Groups may have been sorted into the same bins.
    bins, which = np.unique(bins, axis=0, return_inverse=True)
    counts = np.bincount(which.ravel(), weights=counts)
    edges, is_open = bins.copy(), np.isinf(bins).any(axis=1)
    widths = np.diff(bins, axis=1)[:, 0]
    known = np.flatnonzero(~is_open)
    for row in np.flatnonzero(is_open):
        nearest = known[np.abs(known - row).argmin()] if known.size else row
        width = widths[nearest] if known.size else 1.0
        edges[row] = (
            (bins[row, 1] - width, bins[row, 1]) if np.isinf(bins[row, 0]) else (bins[row, 0], bins[row, 0] + width)
        )
    heights = counts / counts.sum() / np.diff(edges, axis=1)[:, 0]
    for which, line, label in ((~is_open, "-", f"data ({counts.sum():g} units in bins)"), (is_open, "--", "open bins")):
        if which.any():
            ax.bar(
                edges[which, 0],
                heights[which],
                width=np.diff(edges[which], axis=1)[:, 0],
                align="edge",
                color=(*to_rgb(ink()), 0.15),
                edgecolor=(*to_rgb(ink()), 0.35),
                linestyle=line,
                linewidth=0.8,
                label=label,
            )
    return _limits(edges.ravel())


def _with_errors(point: Mixtures, table: Data, j: int, grid: Array) -> Array:
    """Density of what is measured: the total at the point estimate behind the errors of some of the rows, averaged."""
    assert table.noise is not None
    variances = np.square(table.noise[:, j]) if table.noise.ndim == 2 else table.noise[:, j, j]
    there = np.isfinite(table.values[:, j]) if table.bins is None else np.ones(table.n_obs, dtype=bool)
    variances = np.sort(variances[there])[np.linspace(0, there.sum() - 1, min(there.sum(), _MOST_ERRORS)).astype(int)]
    T = point.covariances[0, :, j, j, None] + point.noise_factors[0] * variances
    z = (grid[:, None, None] - point.means[0, :, j, None]) / np.sqrt(T)
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi * T)
    return np.einsum("k,gkn->g", point.weights[0], density) / variances.size


def marginal_densities(mixtures: Mixtures, j: int, grid: Array) -> tuple[Array, Array]:
    """Weighted densities (K, G) of feature `j`, averaged over mixtures, and totals (S, G) of each mixture."""
    means = mixtures.means[:, :, j]
    sds = np.sqrt(mixtures.covariances[:, :, j, j])
    heights = mixtures.weights / (sds * np.sqrt(2 * np.pi))
    components = np.zeros((means.shape[1], grid.size))
    totals = np.empty((len(mixtures), grid.size))
    for s in range(len(mixtures)):
        z = (grid - means[s, :, None]) / sds[s, :, None]
        density = heights[s, :, None] * np.exp(-0.5 * z * z)
        components += density
        totals[s] = density.sum(axis=0)
    return components / len(mixtures), totals


def _n_bins(values: Array, n_units: float) -> int:
    """More than the usual rules give, which are made for one hump."""
    usual = len(np.histogram_bin_edges(values, bins="auto")) - 1
    return int(min(max(usual, 1.5 * np.sqrt(n_units)), _MOST_BINS))


def _limits(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.1 * (high - low)
    return low - margin, high + margin


def _grid(point: Mixtures, j: int, low: float, high: float) -> Array:
    """Even points, and more where a component is narrow: its peak must not fall between two of them."""
    means, sds = point.means[0, :, j], np.sqrt(point.covariances[0, :, j, j])
    near = (means[:, None] + sds[:, None] * np.linspace(-4, 4, 65)).ravel()
    return np.unique(np.concatenate([np.linspace(low, high, 401), near[(near > low) & (near < high)]]))
