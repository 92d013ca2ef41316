"""How components merge into clusters, and where to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm.numerics.merging import elbow_lines
from bayesgmm.plots._style import GREY, ink, look, pyplot

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Names of components are written aslant where they would take more letters side by side.
_MOST_UPRIGHT = 40
_LONGEST_NAME = 24


def plot_merging(merged: xr.Dataset, *, figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
    """Draw the tree of components and the entropy for each number of clusters.

    Parameters
    ----------
    merged : Dataset
        From `merge_components`.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure if left out. Axes are added to it.

    Returns
    -------
    Figure or SubFigure
        Its ``axes`` hold two panels. Left: components below, one step up for each merge with the entropy that it
        leaves; the number at a merge is the overlap of the two clusters, 0 (apart) to 1 (not to be told apart). Merges
        above the dotted line are not made: each colour is a cluster. Right: the entropy for each number of clusters,
        the two lines of the elbow where it was used, and for fits with draws the share of them that recommend a number.

    Raises
    ------
    InputError
        If `merged` does not come from `merge_components`.
    """
    import xarray as xr
    from matplotlib.figure import FigureBase

    if not isinstance(merged, xr.Dataset) or "cluster_of" not in merged:
        raise InputError("merged", f"got {type(merged).__name__}", "Give what merge_components(fit) returned")
    if figure is not None and not isinstance(figure, FigureBase):
        raise InputError("figure", f"got {type(figure).__name__}", "Give a matplotlib Figure or SubFigure")
    K = merged.sizes[names.COMPONENT]
    if figure is None:
        new: Figure = pyplot().figure(figsize=(7.5 + 0.35 * max(K - 4, 0), 4.4), layout="constrained")
        figure = new
    tree, curve = figure.subplots(1, 2, width_ratios=(3 + 0.3 * max(K - 4, 0), 3))
    _draw_tree(tree, merged)
    _draw_curve(curve, merged)
    figure.suptitle(_wrapped(str(merged.attrs["message"])), fontsize="medium", x=0.01, ha="left")
    return figure


def _draw_tree(ax: Axes, merged: xr.Dataset) -> None:
    cluster_of = merged["cluster_of"].transpose(names.N_CLUSTERS, names.COMPONENT).to_numpy()
    overlap, entropy = merged["overlap"].to_numpy(), merged["entropy"].to_numpy()
    K, chosen = len(cluster_of), int(merged.attrs["n_clusters"])
    final = cluster_of[chosen - 1]
    order = _leaves(cluster_of)
    place = np.empty(K)
    place[order] = np.arange(K)
    height = np.zeros(K)  # of the cluster that each component is in
    for n in range(K - 1, 0, -1):
        made = n >= chosen
        before, after = cluster_of[n], cluster_of[n - 1]
        (joined,) = [c for c in range(n) if np.unique(before[after == c]).size == 2]
        both = [np.flatnonzero(before == c) for c in np.unique(before[after == joined])]
        style = {"color": look(int(final[both[0][0]])).color, "linewidth": 2.0}
        style = style if made else {"color": GREY, "linewidth": 1.2, "linestyle": "--"}
        ends = [float(place[own[0]]) for own in both]
        level = K - n
        for end, own in zip(ends, both, strict=True):
            _stem(ax, end, float(height[own[0]]), level, K - chosen, look(int(final[own[0]])).color)
        ax.plot(ends, [level, level], solid_capstyle="round", zorder=2, **style)
        middle = float(np.mean(ends))
        ax.annotate(
            f"{overlap[n - 1]:.2f}",
            (middle, level),
            xytext=(3, 2),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize="small",
            color=style["color"] if made else GREY,
        )
        members = np.concatenate(both)
        place[members], height[members] = middle, level
    if chosen > 1:
        ax.axhline(K - chosen + 0.5, color=ink(), linewidth=0.9, linestyle=":", zorder=0)
    labels = [_short(str(name)) for name in merged[names.COMPONENT].to_numpy()[order].tolist()]
    slant = K * max(map(len, labels)) > _MOST_UPRIGHT
    ax.set_xticks(np.arange(K), labels, rotation=35 if slant else 0, ha="right" if slant else "center")
    for text, k in zip(ax.get_xticklabels(), order, strict=True):
        text.set_color(look(int(final[k])).color)
    ax.tick_params(axis="x", length=0)
    ax.set_yticks(np.arange(K), [f"{round(value, 3):.3g}" for value in entropy[::-1]])
    ax.set_xlim(-0.6, K - 0.4)
    ax.set_ylim(0, K - 0.4)
    ax.set_xlabel("component; at each merge the overlap, 0 to 1")
    ax.set_ylabel("entropy left (nats), one step for each merge")
    for side in ("top", "right", "bottom"):
        ax.spines[side].set_visible(False)


def _stem(ax: Axes, at: float, low: float, high: float, line: float, color: str) -> None:
    """From a cluster up to its merge: in colour below the line at which merging stops, grey above it."""
    stop = line + 0.5
    if low < stop:
        ax.plot([at, at], [low, min(high, stop)], color=color, linewidth=2.0, zorder=2)
    if high > stop:
        ax.plot([at, at], [max(low, stop), high], color=GREY, linewidth=1.2, linestyle="--", zorder=1)


def _draw_curve(ax: Axes, merged: xr.Dataset) -> None:
    from matplotlib.ticker import MaxNLocator

    entropy, units = merged["entropy"].to_numpy(), merged["units_merged"].to_numpy()
    number, chosen = merged[names.N_CLUSTERS].to_numpy(), int(merged.attrs["n_clusters"])
    ax.plot(number, entropy, "o-", color=ink(), linewidth=1.0, markersize=4.5, zorder=2)
    bend, occupied = merged.attrs["elbow"], int(merged.attrs["occupied"])
    if not isinstance(bend, str):
        lines = elbow_lines(entropy[:occupied], units[:occupied], int(bend))
        for at, fitted in lines:
            label = f"elbow: {bend}" if at is lines[0][0] else None
            ax.plot(number[at], fitted, "--", color=look(3).color, linewidth=1.6, zorder=3, label=label)
    name = "recommended" if chosen == merged.attrs["recommended"] else "as asked"
    ring = {"markersize": 12, "markerfacecolor": "none", "markeredgewidth": 1.8}
    ax.plot(chosen, entropy[chosen - 1], "o", color=look(0).color, zorder=4, label=f"{name}: {chosen}", **ring)
    if merged.attrs["draws"]:
        for n, share in zip(number, merged["probability"].to_numpy(), strict=True):
            if share > 0:
                text = f"{share:.0%}".replace("%", " %") if share >= 0.01 else "< 1 %"
                left = {"xytext": (-5, 7), "ha": "right"}
                above = {"xytext": (0, 7), "ha": "center"}  # the first have the axis on their left
                beside = {**(left if n > 2 else above), "textcoords": "offset points", "fontsize": "small"}
                ax.annotate(text, (n, entropy[n - 1]), color=look(0).color, **beside)
        ax.plot([], [], " ", label="%: share of the draws")
    ax.set_xlabel("number of clusters")
    ax.set_ylabel("entropy of the labels (nats)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0.5, number.size + 0.5)
    top = max(float(entropy.max()), 1e-3)
    ax.set_ylim(-0.08 * top, 1.3 * top)
    ax.legend(loc="upper left", fontsize="small", framealpha=0.7)


def _leaves(cluster_of: NDArray[np.intp]) -> NDArray[np.intp]:
    """Components in an order in which no branches cross: by their clusters, from the fewest on."""
    return np.lexsort(cluster_of[::-1])


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 90))
