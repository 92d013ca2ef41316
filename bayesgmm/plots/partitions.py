"""How many components there are, and which rows belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm.plots._style import GREY, PALETTE, add_legend, axes_or_new, check_probability, ink
from bayesgmm.results import check_table

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_BARS = 0.42
_SHOWN = 0.999


def plot_k_posterior(posterior: xr.Dataset, *, ax: Axes | None = None, shown: float = _SHOWN) -> Axes:
    """Draw the posteriors of the number of components and of those that hold rows, and the prior.

    Parameters
    ----------
    posterior : Dataset
        From `component_posterior`.
    ax : Axes, optional
        Where to draw; a new figure if left out.
    shown : float
        Numbers are drawn as far as this share of both posteriors.

    Returns
    -------
    matplotlib.axes.Axes
        Bars of K and K+ with one Monte-Carlo standard error; points for the prior of K, where it has one.

    Raises
    ------
    InputError
        If `posterior` is not such a table.
    """
    check_table(posterior, "component_posterior", "posterior", needs=("probability", "probability_occupied"))
    shown = check_probability(shown, "shown")
    ax = axes_or_new(ax, (7.0, 4.0))
    number = posterior["number"].to_numpy()
    k, occupied = posterior["probability"].to_numpy(), posterior["probability_occupied"].to_numpy()
    random = "prior_probability" in posterior
    end = max(int(np.searchsorted(each.cumsum(), shown)) for each in (k, occupied)) + 1
    drawn = slice(0, min(end, number.size))
    bars = [(k, "probability_error", "K, all components")] if random or (k < 1).all() else []
    bars.append((occupied, "probability_occupied_error", "K+, those that hold rows"))
    for i, (value, error, label) in enumerate(bars):
        at = number[drawn] + (i - 0.5 * (len(bars) - 1)) * _BARS
        color = PALETTE[i if len(bars) > 1 else 1]
        ax.bar(at, value[drawn], _BARS, color=color, label=label)
        spread = posterior[error].to_numpy()[drawn]
        known = np.isfinite(spread)
        ax.errorbar(at[known], value[drawn][known], yerr=spread[known], fmt="none", ecolor=ink(), capsize=2, lw=0.8)
    if random:
        prior = posterior["prior_probability"].to_numpy()[drawn]
        ax.plot(number[drawn], prior, linestyle="--", marker="o", color=GREY, label="prior of K", markersize=4)
    ax.set_xticks(number[drawn])
    ax.set_xlabel("number of components")
    ax.set_ylabel("probability")
    ax.set_ylim(bottom=0.0)
    add_legend(ax)
    return ax


def plot_coclustering(together: xr.Dataset, *, partition: xr.Dataset | None = None, ax: Axes | None = None) -> Axes:
    """Draw the probabilities that two rows belong together, rows that do side by side.

    Parameters
    ----------
    together : Dataset
        From `coclustering`.
    partition : Dataset, optional
        From `best_partition` of the same fit: its clusters are framed, and rows ordered within them.
    ax : Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        A matrix from white (never together) to dark (always). Rows are in the order of a hierarchical tree.

    Raises
    ------
    InputError
        If `together` is not such a matrix, or the partition is one of other rows.
    """
    from matplotlib.patches import Rectangle

    check_table(together, "coclustering", "together", needs=("probability",))
    if together["probability"].ndim != 2 or together.sizes["obs"] != together.sizes["obs_bis"]:
        raise InputError("together", f"has the shape {dict(together.sizes)}", "Select the same rows twice")
    matrix = together["probability"].transpose("obs", "obs_bis").to_numpy()
    labels = np.zeros(len(matrix), dtype=int)
    if partition is not None:
        check_table(partition, "best_partition", "partition", needs=("label",))
        if partition["label"].shape != (len(matrix),):
            raise InputError("partition", "it does not have the rows of the matrix", "Give best_partition of that fit")
        labels = partition["label"].to_numpy()
    tree = _leaves(matrix)
    order = tree[np.argsort(labels[tree], kind="stable")]
    ax = axes_or_new(ax, (6.2, 5.2))
    image = ax.imshow(matrix[np.ix_(order, order)], cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.colorbar(image, ax=ax, label="probability of the same component", shrink=0.8)
    if partition is not None:
        begin = 0
        for i, size in enumerate(np.bincount(labels).tolist()):
            frame = Rectangle((begin - 0.5, begin - 0.5), size, size, fill=False, edgecolor=PALETTE[3], lw=1.6)
            ax.add_patch(frame)
            if size > 0.04 * len(matrix):
                left = begin + size > 0.7 * len(matrix)  # where there is room
                at = (begin - 0.5 if left else begin + size - 0.5, begin - 0.5)
                side = {"ha": "right" if left else "left", "xytext": (-3 if left else 3, -9)}
                ax.annotate(f"{i}: {size} rows", at, textcoords="offset points", fontsize="small", **side)
            begin += size
    ax.set_xlabel("rows, ordered")
    ax.set_ylabel("rows, ordered")
    return ax


def _leaves(matrix: np.ndarray) -> np.ndarray:
    """Rows in the order of a hierarchical tree."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(matrix) < 3:
        return np.arange(len(matrix))
    distances = np.maximum(1.0 - matrix[np.triu_indices(len(matrix), 1)], 0.0)
    return leaves_list(linkage(distances, "average"))
