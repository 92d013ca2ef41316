"""Pictures of `ddpcr.quantify`: droplets of a well with fitted clusters, and of a plate."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._arguments import as_whole, as_written
from bayesgmm._errors import InputError
from bayesgmm.plots import _droplets as drops
from bayesgmm.plots._droplets import COLORS, KINDS, WARNING, Array, Clusters
from bayesgmm.plots._four_clusters import four_clusters
from bayesgmm.plots._style import GREY, PALETTE, add_legend, axes_or_new, ink

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# From negative over "cannot be told" to positive.
_SHADES = (PALETTE[0], PALETTE[6], PALETTE[1])
_BINS, _CURVE = 120, 800
CLUSTER_COLORS = (GREY, PALETTE[0], PALETTE[2], PALETTE[1])
_SDS = 2.45  # an ellipse of so many sds holds 95 % of a Normal cluster
# Inches of a name in a legend beside a panel.
_LEGEND = 2.0
_FLAG_WIDTH = 92
_LINE = 14.5  # points


def plot_well(result: xr.Dataset, plate: Any, well: str, channel: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the amplitudes of a well as a histogram, with the droplets that the fitted clusters expect.

    Parameters
    ----------
    result : Dataset
        From `ddpcr.quantify`.
    plate : Plate
        The plate that was quantified.
    well : str
    channel : str, optional
        May be left out where there is one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        Droplets in each bin on a logarithmic axis; lines are the expected numbers of negatives, positives, rain and
        outliers, and of all. The dashed line is the threshold, at which droplets are counted where clusters are clear.
        The title holds lambda (copies per droplet) with its statistical interval, and flags.

    Raises
    ------
    InputError
        If there is no such well or channel.
    """
    drops.check_result(result)
    channel, well = drops.channel_in(result, channel), drops.well_in(result, well)
    x = drops.amplitudes(plate, well, channel)
    ax = axes_or_new(ax, (8.8, 4.4))
    fitted = drops.clusters(result, well, channel)
    draw_histogram(ax, x, fitted, result, well, channel)
    ax.set_xlabel(drops.title_of(ax, drops.amplitude_axis(result, channel)))
    ax.set_ylabel("droplets in a bin")
    row = drops.Row(result, well=well, channel=channel)
    rate = [float(row[f"copies_per_droplet{each}"]) for each in ("", "_lower", "_upper")]
    title = f"{well}: {drops.contents(result, well)}, {x.size:,} droplets, λ {drops.interval(*rate)} copies per droplet"
    flags = drops.by_target(result, str(row["flags"]))
    _titled(ax, drops.title_of(ax, title), textwrap.wrap(flags, _FLAG_WIDTH))
    if x.size:
        add_legend(ax)
    return ax


def _titled(ax: Axes, title: str, flags: list[str]) -> None:
    """A title, and flags under it in the colour of warnings, which a title cannot have in part."""
    ax.set_title(title, fontsize="medium", loc="left", parse_math=False, pad=6.0 + _LINE * len(flags))
    below = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom", "in_layout": False}
    if flags:
        ax.annotate("\n".join(flags), (0.0, 1.0), (0.0, 5.0), **below, fontsize="medium", color=WARNING)


def draw_histogram(
    ax: Axes, x: Array, fitted: Clusters | None, result: xr.Dataset, well: str, channel: str, bins: int = _BINS
) -> None:
    """The histogram and lines of `plot_well`, without words."""
    if not x.size:
        ax.text(0.5, 0.5, "no droplets", transform=ax.transAxes, ha="center", va="center", color=GREY)
        ax.set_xticks([])
        ax.set_yticks([])
        return
    row = drops.Row(result, well=well, channel=channel)
    edges = np.linspace(*limits(x, fitted), bins + 1)
    counts = np.histogram(x, edges)[0]
    ax.stairs(counts, edges, fill=True, color=GREY, alpha=0.35, label=f"{x.size:,} droplets")
    if fitted is not None:
        grid = np.linspace(edges[0], edges[-1], _CURVE)
        expected = x.size * (edges[1] - edges[0]) * fitted.densities(grid)
        ax.plot(grid, expected.sum(axis=0), color=ink(), linewidth=2.4, alpha=0.45, label="all, as fitted")
        for k, kind in enumerate(KINDS):
            ax.plot(grid, expected[k], color=COLORS[kind], linewidth=1.5, linestyle="--" if k == 3 else "-", label=kind)
    threshold = float(row["threshold"])
    if np.isfinite(threshold):
        counted, other = float(row["copies_per_droplet_threshold"]), float(row["counted"]) == 0.0
        compared = f"threshold, for comparison\n(λ = {counted:.3g} if counted there)"
        ax.axvline(
            threshold,
            color=ink(),
            linestyle=(0, (4, 3)),
            linewidth=1.0,
            label=compared if other else "threshold: droplets\nare counted there",
        )
    outside = int(((x < edges[0]) | (x > edges[-1])).sum())
    if outside:
        ax.plot([], [], " ", label=f"{outside} outside the picture")
    ax.set_yscale("log")
    ax.set_ylim(0.5, 2.0 * max(counts.max(), 1))
    ax.set_xlim(edges[0], edges[-1])
    from matplotlib.ticker import FuncFormatter

    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else ""))


def limits(x: Array, fitted: Clusters | None) -> tuple[float, float]:
    """The limits of an axis of amplitudes: lone outliers far away would squeeze everything else, and are left out."""
    low, high = float(x.min()), float(x.max())
    if fitted is not None:
        own = fitted.kind <= 1
        first, last = (fitted.means - 6.0 * fitted.sds)[own].min(), (fitted.means + 6.0 * fitted.sds)[own].max()
        reach = 0.25 * (last - first)
        low, high = max(low, first - reach), min(high, last + reach)
        low, high = min(low, float(np.quantile(x, 0.005))), max(high, float(np.quantile(x, 0.995)))
    pad = 0.02 * (high - low) or 1.0
    return low - pad, high + pad


def plot_droplets(
    result: xr.Dataset, plate: Any, channel: str | None = None, *, most: int = 60_000, ax: Axes | None = None
) -> Axes:
    """Draw the droplets of all wells side by side, coloured by the probability of being positive.

    Parameters
    ----------
    result : Dataset
        From `ddpcr.quantify`.
    plate : Plate
        The plate that was quantified.
    channel : str, optional
        May be left out where there is one.
    most : int
        About how many droplets are drawn. Where they are dense some are left out; rare ones never are.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Wells by sample, controls last. Order within a well is random, since files may be sorted. Outliers are grey.
        Black lines are the thresholds, at which droplets are counted where clusters are clear.

    Raises
    ------
    InputError
        If there is no such channel.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    drops.check_result(result)
    most = as_whole("most", most, least=1)
    channel = drops.channel_in(result, channel)
    order = drops.by_sample(result)
    ax = axes_or_new(ax, (float(np.clip(2.5 + 0.42 * len(order), 6.0, 13.5)), 4.8))
    shades = LinearSegmentedColormap.from_list("negative to positive", _SHADES)
    rng = np.random.default_rng(0)
    shown = total = 0
    all_x = {well: drops.amplitudes(plate, well, channel) for well in order}
    share = most / max(sum(x.size for x in all_x.values()), 1)
    for place, well in enumerate(order):
        x = all_x[well]
        total += x.size
        if not x.size:
            ax.text(place, 0.5, "no droplets", transform=ax.get_xaxis_transform(), rotation=90, ha="center", color=GREY)
            continue
        fitted = drops.clusters(result, well, channel)
        x = _thinned(x, share, rng)
        shown += x.size
        along = place + 0.84 * (rng.random(x.size) - 0.5)
        look = {"s": 2.0, "linewidths": 0.0, "rasterized": True}
        if fitted is None:
            ax.scatter(along, x, color=GREY, **look)
            continue
        positive, outlier = fitted.probabilities(x)
        odd = outlier > 0.5
        ax.scatter(along[odd], x[odd], color=GREY, **look)
        ax.scatter(along[~odd], x[~odd], c=positive[~odd], cmap=shades, vmin=0.0, vmax=1.0, **look)
        threshold = float(drops.Row(result, well=well, channel=channel)["threshold"])
        ax.plot([place - 0.45, place + 0.45], [threshold] * 2, color=ink(), linewidth=1.1)
    above = drops.name_wells(ax, result, order)
    ax.set_xlim(-0.6, len(order) - 0.4)
    ax.set_ylabel(drops.beside_panel(drops.amplitude_axis(result, channel)))
    some = f"{shown:,} of {total:,} droplets, thinned where dense" if shown < total else f"{total:,} droplets"
    title = drops.title_of(ax, f"{some}; lines are thresholds")
    ax.set_title(title, fontsize="medium", loc="left", pad=6.0 + above)
    figure = ax.get_figure(root=True)
    if figure is not None:
        bar = figure.colorbar(ScalarMappable(Normalize(0.0, 1.0), shades), ax=ax, pad=0.01, aspect=30)
        bar.set_label("probability of being positive")
    return ax


def _thinned(x: Array, share: float, rng: np.random.Generator) -> Array:
    """About this share of the droplets: the same number at most from every interval of amplitude."""
    if share >= 1.0:
        return x
    x = rng.permutation(x)
    edges = np.histogram_bin_edges(x, bins=100)
    place = np.clip(np.digitize(x, edges) - 1, 0, 99)
    counts = np.bincount(place, minlength=100)
    levels = np.unique(counts)
    enough = [level for level in levels if np.minimum(counts, level).sum() >= share * x.size]
    cap = int(enough[0]) if enough else int(levels[-1])
    below = int(levels[max(int(np.searchsorted(levels, cap)) - 1, 0)])
    while cap > below + 1 and np.minimum(counts, (cap + below) // 2).sum() >= share * x.size:
        cap = (cap + below) // 2
    order = np.argsort(place, kind="stable")
    rank = np.arange(x.size) - np.concatenate([[0], np.cumsum(counts)])[place[order]]
    return x[order][rank < max(cap, 1)]


def plot_two_channels(
    result: xr.Dataset,
    plate: Any,
    well: str,
    channels: tuple[str, str] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the droplets of a well in two channels, coloured by the most probable of four clusters.

    Parameters
    ----------
    result : Dataset
        From `ddpcr.quantify`, with two channels.
    plate : Plate
        The plate that was quantified.
    well : str
    channels : (str, str), optional
        The first is drawn upwards; those of the result if there are two.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Uncertain droplets are pale. The legend holds the expected numbers, from shares of the clusters that are free
        (targets may be linked). Ellipses hold 95 % of a cluster without its rain; they lean where channels were fitted
        together and are correlated. Dashed lines are thresholds.

    Raises
    ------
    InputError
        If there is no such well, or there are no two channels.
    """
    from matplotlib.colors import to_rgba_array

    drops.check_result(result)
    well = drops.well_in(result, well)
    there = tuple(str(name) for name in result["channel"].to_numpy())
    pair = there if channels is None else tuple(channels) if isinstance(channels, (list, tuple)) else (channels,)
    if len(pair) != 2 or not set(map(str, pair)) <= set(there) or pair[0] == pair[1]:
        raise InputError("channels", f"got {as_written(channels)}", f"Give two of {', '.join(there)}")
    ax = axes_or_new(ax, (7.6, 5.0))
    x = [drops.amplitudes(plate, well, channel) for channel in pair]
    fitted = four_clusters(result, well, (pair[0], pair[1]))
    order = np.random.default_rng(0).permutation(x[0].size)
    points = {"s": 4.0, "linewidths": 0.0, "rasterized": True}
    if fitted is None:
        ax.scatter(x[1][order], x[0][order], color=GREY, **points)
    else:
        p = fitted.probabilities(*x)
        colors = to_rgba_array(CLUSTER_COLORS)[p.argmax(axis=1)]
        colors[:, 3] = 0.2 + 0.7 * np.clip(2.0 * p.max(axis=1) - 1.0, 0.0, 1.0)
        ax.scatter(x[1][order], x[0][order], c=colors[order], **points)
        names = drops.names_of_clusters(result, pair)
        for name, color, number in zip(names, CLUSTER_COLORS, p.sum(axis=0), strict=True):
            ax.scatter([], [], color=color, s=25, label=drops.wrapped(f"{name}: {number:,.0f}", _LEGEND))
        for (mean, covariance), number in zip(fitted.ellipses(), p.sum(axis=0), strict=True):
            if number >= 1.0:  # of a cluster without droplets only the prior says where it is
                along = np.linspace(0.0, 2.0 * np.pi, 121)
                edge = mean[:, None] + _SDS * np.linalg.cholesky(covariance) @ [np.cos(along), np.sin(along)]
                ax.plot(edge[1], edge[0], color=ink(), linewidth=1.0)
        add_legend(ax)
    for channel, line in zip(pair, (ax.axhline, ax.axvline), strict=True):
        threshold = float(drops.Row(result, well=well, channel=channel)["threshold"])
        if np.isfinite(threshold):
            line(threshold, color=ink(), linestyle=(0, (4, 3)), linewidth=0.8)
    ax.set_xlabel(drops.beside_panel(drops.amplitude_axis(result, pair[1])))
    ax.set_ylabel(drops.beside_panel(drops.amplitude_axis(result, pair[0])))
    title = drops.title_of(ax, f"{well}: {drops.contents(result, well)}, {x[0].size:,} droplets")
    ax.set_title(title, fontsize="medium", loc="left", parse_math=False)
    return ax
