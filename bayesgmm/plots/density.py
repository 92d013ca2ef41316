"""One feature: the data, each component's density and the total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm.inference.prediction import interval, interval_convention
from bayesgmm.inference.summaries import units_of
from bayesgmm.plots._style import add_legend, axes_or_new, component_label, feature_index, ink, look, split_empty
from bayesgmm.results import Mixtures, read_result

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_MOST_BINS = 100
_MOST_DRAWS = 1000


def plot_density(fit: xr.DataTree, feature: str | None = None, *, ax: Axes | None = None, legend: bool = True) -> Axes:
    """Draw the data of one feature, each component's weighted density and their total.

    Parameters
    ----------
    fit : DataTree
        From `fit`, or read back from its file.
    feature : str, optional
        Name of the feature; the first one if left out. With several features the curves are marginal densities.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if left out.
    legend : bool
        Whether to add the legend.

    Returns
    -------
    matplotlib.axes.Axes
        The histogram has density scale, so that data and curves have the same units. For fits with draws the curves
        are posterior means, and a band shows the pointwise posterior interval of the total (kind and probability
        from ArviZ's ``rcParams``); under `EM` they are the mode. Components in which not half a row is expected are
        part of the total but not drawn. Where groups have weights of their own those of all rows together are shown.

    Raises
    ------
    InputError
        If the feature is unknown, or an argument is of the wrong kind.
    """
    fitted = read_result(fit)
    j = 0 if feature is None else feature_index(fitted, feature, "feature")
    ax = axes_or_new(ax, (8.0, 4.0))
    values = fit[names.OBSERVED][names.DATA].isel({names.FEATURE: j}).to_numpy()
    units = units_of(fit)[np.isfinite(values)]
    values = values[np.isfinite(values)]
    occupied, about_empty = split_empty(fit, fitted)
    low, high = _limits(values)
    grid = _grid(fitted.point, j, low, high)

    label = f"data ({values.size} rows)" if units.sum() == values.size else f"data ({units.sum():g} units)"
    ax.hist(values, bins=_n_bins(values), weights=units, density=True, color=ink(), alpha=0.15, label=label)
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
    ax.set_xlim(low, high)
    ax.set_xlabel(fitted.feature_names[j])
    ax.set_ylabel("density")
    if legend:
        if about_empty is not None:
            ax.plot([], [], linestyle="none", label=about_empty)
        add_legend(ax)
    return ax


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


def _n_bins(values: Array) -> int:
    """More than the usual rules give, which are made for one hump."""
    usual = len(np.histogram_bin_edges(values, bins="auto")) - 1
    return int(min(max(usual, 1.5 * np.sqrt(values.size)), _MOST_BINS))


def _limits(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.1 * (high - low)
    return low - margin, high + margin


def _grid(point: Mixtures, j: int, low: float, high: float) -> Array:
    """Even points, and more where a component is narrow: its peak must not fall between two of them."""
    means, sds = point.means[0, :, j], np.sqrt(point.covariances[0, :, j, j])
    near = (means[:, None] + sds[:, None] * np.linspace(-4, 4, 65)).ravel()
    return np.unique(np.concatenate([np.linspace(low, high, 401), near[(near > low) & (near < high)]]))
