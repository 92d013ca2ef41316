"""Which rows are on the fence: every row's responsibilities with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_whole
from bayesgmm.inference.prediction import interval_convention, predict
from bayesgmm.inference.summaries import units_of
from bayesgmm.plots._style import CERTAIN, GREY, add_caveat, axes_or_new, component_name, look, verbatim
from bayesgmm.results import FittedMixture, read_result

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

# Per cent of the places that uncertain rows may take from certain ones.
_SHARE = 75
# Names of rows are set upright, one below the other, and cannot be told apart where there are more.
_MOST_NAMES = 100
_LONGEST_NAME = 10
# Other components of a row are left out below this; they would fill the ground line.
_NEGLIGIBLE = 0.01


def plot_responsibilities(fit: xr.DataTree, *, max_rows: int = 80, ax: Axes | None = None) -> Axes:
    """Draw the responsibilities of each row with their posterior intervals.

    Parameters
    ----------
    fit : DataTree
        From `fit`, or read back from its file.
    max_rows : int
        Rows to draw at most. Of a larger data set uncertain rows take up to three quarters of the places and certain
        rows the others; where there are too many of a kind, those drawn are evenly spaced by certainty.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        Rows are grouped by their component and sorted by its responsibility (filled marks, a line for the interval).
        A row is uncertain when this is below 0.95; its other components are drawn too (hollow marks), and its name
        stands above. The title counts all rows, drawn or not.

    Raises
    ------
    InputError
        If an argument has a value that cannot be used.
    """
    fitted = read_result(fit)
    max_rows = as_whole("max_rows", max_rows, least=1)
    ax = axes_or_new(ax, (9.0, 4.6))
    assigned = fit[names.ASSIGNMENTS].to_dataset().transpose(names.OBS, names.COMPONENT)
    if "responsibilities" not in assigned:
        assigned = predict(fit).transpose(names.OBS, names.COMPONENT)
    r, lower, upper = (assigned[f"responsibilities{end}"].to_numpy() for end in ("", "_lower", "_upper"))
    own, units = assigned["label_probability"].to_numpy(), units_of(fit)
    label = (assigned["label"].to_numpy()[:, None] == fitted.components).argmax(axis=1)
    bins = "bins" in fit[names.CONSTANT]
    seen = np.isfinite(fit[names.OBSERVED][names.DATA].transpose(names.OBS, names.FEATURE).to_numpy()).any(axis=1)
    seen = np.flatnonzero(seen)
    shown = seen[_chosen(own[seen], max_rows)]
    shown = shown[np.lexsort((-own[shown], label[shown]))]
    position = np.arange(shown.size)
    uncertain = own[shown] < CERTAIN

    ax.axhline(CERTAIN, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    for k in range(len(fitted.components)):
        style = look(k)
        mine = label[shown] == k
        other = uncertain & ~mine & (r[shown, k] >= _NEGLIGIBLE)
        # The other components of a row stand a little to the right, so that two intervals do not hide each other.
        for at, rows, filled in ((position[mine], shown[mine], True), (position[other] + 0.25, shown[other], False)):
            if not rows.size:
                continue
            ax.vlines(at, lower[rows, k], upper[rows, k], color=style.color, linewidth=1.2, alpha=0.8, zorder=1)
            ax.plot(
                at,
                r[rows, k],
                linestyle="none",
                marker=style.marker,
                markersize=4.5,
                color=style.color,
                markerfacecolor=style.color if filled else ax.get_facecolor(),
                zorder=2,
            )
    _name_groups(ax, fitted, label, own, label[shown], units)
    rows = _intervals(fit) if bins else assigned[names.OBS].to_numpy()
    _name_rows(ax, rows[shown], position, uncertain)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlim(-1, shown.size)
    ax.set_ylabel("responsibility")
    ax.set_title(_title(own, shown, fitted, units, own.size - seen.size), fontsize="medium", loc="left")
    add_caveat(ax, fit)
    return ax


def _chosen(own: Array, most: int) -> Rows:
    """Rows to draw: uncertain ones first, but never alone; where there are too many, evenly spaced by certainty."""
    by_certainty = np.argsort(own, kind="stable")
    n_uncertain = int((own < CERTAIN).sum())
    if own.size <= most:
        return by_certainty
    places = min(n_uncertain, max(_SHARE * most // 100, most - (own.size - n_uncertain)))
    parts = [(by_certainty[:n_uncertain], places), (by_certainty[n_uncertain:], most - places)]
    return np.concatenate([part[np.linspace(0, part.size - 1, size).astype(int)] for part, size in parts if size])


def _name_groups(ax: Axes, fitted: FittedMixture, label: Rows, own: Array, shown: Rows, units: Array) -> None:
    """Under each group its component's name and numbers of rows, and a line between two groups."""
    ticks, texts = [], []
    word = _word(units)
    for k in np.unique(shown):
        first, last = np.searchsorted(shown, [k, k + 1])
        if first > 0:
            ax.axvline(first - 0.5, color=GREY, linewidth=0.6, zorder=0)
        ticks.append((first + last - 1) / 2)
        unsure, members = units[(own < CERTAIN) & (label == k)].sum(), units[label == k].sum()
        texts.append(f"{component_name(fitted.components[k])}\n{members:g} {word}\n{unsure:g} uncertain")
    # Next to a narrow group a text moves down, so that it does not run into its neighbour's.
    ax.set_xticks(ticks, texts, fontsize="small")
    level = 0
    for i, text in enumerate(ax.get_xticklabels()):
        near = i > 0 and ticks[i] - ticks[i - 1] < 0.14 * shown.size
        level = (level + 1) % 3 if near else 0
        text.set_y(-0.13 * level)
        text.set_color(look(int(np.unique(shown)[i])).color)
    ax.tick_params(axis="x", length=0)


def _name_rows(ax: Axes, rows: NDArray[Any], position: Rows, uncertain: NDArray[np.bool_]) -> None:
    if position.size > _MOST_NAMES or not uncertain.any():
        return
    texts = [str(row) for row in rows[uncertain]]
    texts = [text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…" for text in texts]
    texts = [verbatim(text) for text in texts]
    upper = ax.secondary_xaxis("top")
    upper.set_xticks(position[uncertain], texts, rotation=90, fontsize=6)
    upper.tick_params(length=2, pad=1)


def _word(units: Array) -> str:
    return "rows" if units.sum() == units.size else "units"


def _intervals(fit: xr.DataTree) -> NDArray[Any]:
    bounds = fit[names.CONSTANT]["bins"].transpose(names.OBS, ...).to_numpy()
    return np.array([f"{low:g} to {high:g}" for low, high in bounds])


def _title(own: Array, shown: Rows, fitted: FittedMixture, units: Array, n_unseen: int) -> str:
    n_uncertain = units[own < CERTAIN].sum()
    what = f"{n_uncertain:g} of {units.sum():g} {_word(units)}"
    parts = [f"{what} are uncertain (no responsibility of at least {CERTAIN:g})"]
    if n_unseen:
        parts.append(f"not drawn: {n_unseen} rows in which nothing was observed")
    if shown.size < own.size - n_unseen:
        n_shown = int((own[shown] < CERTAIN).sum())
        parts.append(f"drawn: {n_shown} uncertain, {shown.size - n_shown} certain")
    if fitted.draws is None:
        parts.append("no intervals: EM has no draws")
    else:
        kind, probability = interval_convention()
        parts.append(f"lines: {probability:.0%} {kind} interval")
    return "; ".join(parts[:1]) + "\n" + "; ".join(parts[1:])
