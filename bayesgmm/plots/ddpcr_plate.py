"""Concentrations of all wells of a plate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm.plots import _droplets as drops
from bayesgmm.plots._droplets import WARNING
from bayesgmm.plots._style import GREY, PALETTE, ink, new_figure, panels_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Wells in one row of panels, and the width of a well in inches.
_MOST_WELLS, _WELL_WIDTH = 48, 0.22
# Points of a line of names above a panel.
_ONE_LINE = 14.0
# From this ratio of the highest to the lowest estimate on the axis is logarithmic.
_WIDE = 12.0
# Up to this ratio it need not begin at 0.
_NEAR = 2.0
_AXIS = "copies per µL of reaction"


def plot_plate(result: xr.Dataset, channel: str | None = None) -> NDArray[Any]:
    """Draw the concentration of every well with its two intervals, by sample, and controls apart.

    Parameters
    ----------
    result : Dataset
        From `ddpcr.quantify`.
    channel : str, optional
        May be left out where there is one.

    Returns
    -------
    ndarray of Axes, shape (n_panels,)
        The panels; ``[0].figure`` is their figure. Copies per microlitre of reaction. Thick lines are
        statistical intervals, thin ones add the variation between wells; grey steps are what the sample's
        estimate expects in a well at its dilution. An arrow stands for a bound that is not known or 0. Flagged
        wells have open markers in the colour of warnings (a control without positives is as it should be).
        Controls are in a panel of their own, with the limit of blank.

    Raises
    ------
    InputError
        If there is no such channel.
    """
    drops.check_result(result)
    channel = drops.channel_in(result, channel)
    order = drops.by_sample(result)
    controls = [well for well in order if bool(drops.Row(result, well=well)["ntc"])]
    rows = _rows(result, [well for well in order if well not in controls])
    beside = len(rows) == 1 and len(controls) > 0 and len(rows[0]) + len(controls) <= _MOST_WELLS
    widths = [max((len(row) for row in rows), default=len(controls))] + [max(len(controls), 2)] * beside
    n_rows = len(rows) + (bool(controls) and not beside)
    width = float(np.clip(2.2 + _WELL_WIDTH * sum(widths) + 0.8 * beside, 6.5, 13.5))
    figure, axes = new_figure((width, 0.5 + 3.4 * n_rows)), []
    grid = figure.add_gridspec(n_rows, len(widths), width_ratios=widths)
    above = []
    for number, row in enumerate(rows):
        axes.append(ax := figure.add_subplot(grid[number, 0]))
        above.append(_panel(ax, result, row, channel, widths[0]))
    if controls:
        axes.append(ax := figure.add_subplot(grid[0, 1] if beside else grid[n_rows - 1, 0]))
        last = _panel(ax, result, controls, channel, widths[-1], controls=True)
        above = [max(above[0], last)] if beside else [*above, last]
        if not beside:
            ax.set_ylabel(_AXIS)
    # Long names take no room from what is drawn.
    figure.set_figheight(figure.get_figheight() + sum(max(each - _ONE_LINE, 0.0) for each in above) / 72.0)
    _legend(figure, float(drops.Row(result, channel=channel)["limit_of_blank"]) if controls else np.nan)
    interval = f"{100 * float(result.attrs['probability']):g} %"
    title = f"{drops.measured(result, channel)}: concentration in the wells with {interval} intervals"
    title = drops.wrapped(title, figure.get_figwidth())
    figure.suptitle(title, fontsize="medium", x=0.01, ha="left", parse_math=False)
    return panels_of(axes)


def _rows(result: xr.Dataset, wells: list[str]) -> list[list[str]]:
    """Wells of rows of panels that are about equally long; a sample stays in one row where it fits."""
    if len(wells) <= _MOST_WELLS:
        return [wells] if wells else []
    aim = -(-len(wells) // -(-len(wells) // _MOST_WELLS))
    rows: list[list[str]] = [[]]
    for _, begin, end in drops.groups(result, wells):
        own = wells[begin:end]
        if rows[-1] and len(rows[-1]) + len(own) > max(aim, min(_MOST_WELLS, aim + 4)):
            rows.append([])
        while len(own) > _MOST_WELLS:
            rows[-1] += own[: _MOST_WELLS - len(rows[-1])]
            own = own[_MOST_WELLS - len(rows[-1]) :] if len(rows[-1]) < _MOST_WELLS else own[len(rows[-1]) :]
            rows.append([])
        rows[-1] += own
    return [row for row in rows if row]


def _panel(
    ax: Axes, result: xr.Dataset, wells: list[str], channel: str, units: int, *, controls: bool = False
) -> float:
    """Draw wells beside each other. How high the names above them are, in points."""
    part = result.sel(well=wells, channel=channel)
    middle = part["copies_per_ul"].to_numpy()
    flagged = np.array([bool(drops.flags_of(result, well, channel)) for well in wells]) & np.isfinite(middle)
    place = np.arange(len(wells))
    ends = {
        kind: [part[f"copies_per_ul{kind}_{end}"].to_numpy() for end in ("lower", "upper")] for kind in ("", "_total")
    }
    known = np.concatenate([middle, ends["_total"][1], ends["_total"][0]])
    known = known[np.isfinite(known) & (known > 0)]
    log = not controls and known.size > 0 and known.max() > _WIDE * known.min()
    if log:
        ax.set_yscale("log")
        ax.set_ylim(0.6 * known.min(), 1.7 * known.max())
    elif known.size:
        near = not controls and np.ptp(known) > 0.0 and known.max() < _NEAR * known.min()
        margin = 0.15 * (np.ptp(known) or known.max())
        ax.set_ylim(known.min() - margin if near else 0.0, known.max() + margin)
    bottom, top = ax.get_ylim()
    if not controls:
        _expected(ax, result, wells, channel)
    color, open_color = PALETTE[0], WARNING
    for kind, width in (("_total", 1.0), ("", 3.2)):
        for i in np.flatnonzero(np.isfinite(middle)).tolist():
            lower, upper = ends[kind][0][i], ends[kind][1][i]
            own = open_color if flagged[i] else color
            begin, end = max(lower, bottom), upper if np.isfinite(upper) else top
            ax.plot([i, i], [begin, end], color=own, linewidth=width, solid_capstyle="butt", zorder=3)
            if not np.isfinite(upper):
                ax.plot(i, top, marker="^", color=own, markersize=5, clip_on=False, zorder=4)
            if lower <= 0.0 and log:
                ax.plot(i, bottom, marker="v", color=own, markersize=5, clip_on=False, zorder=4)
    fine = np.isfinite(middle) & ~flagged
    ax.plot(place[fine], middle[fine], "o", color=color, markersize=5, zorder=5, label="wells")
    ax.plot(place[flagged], middle[flagged], "o", color=open_color, mfc="white", markersize=5.5, zorder=5)
    for i in np.flatnonzero(~np.isfinite(middle)).tolist():
        ax.annotate("no estimate", (i, 0.02), xycoords=ax.get_xaxis_transform(), rotation=90, ha="center", color=GREY)
    blank = float(drops.Row(result, channel=channel)["limit_of_blank"])
    if controls:
        if np.isfinite(blank):
            ax.axhline(blank, color=PALETTE[5], linestyle="--", linewidth=1.3)
            ax.set_ylim(top=max(ax.get_ylim()[1], 1.2 * blank))
    else:
        ax.set_ylabel(_AXIS)
    if log:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        if top < 300.0 * bottom:
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.15g}"))
    ax.set_xlim(-0.6, max(units, 2) - 0.4)
    return drops.name_wells(ax, result, wells)


def _expected(ax: Axes, result: xr.Dataset, wells: list[str], channel: str) -> None:
    """Steps where the estimate of the sample puts each of its wells."""
    for name, begin, end in drops.groups(result, wells):
        if name not in result["sample"].to_numpy().astype(str):
            continue
        middle = float(drops.Row(result, sample=name, channel=channel)["sample_copies_per_ul"])
        for i in range(begin, end):
            at = middle / float(drops.Row(result, well=wells[i])["dilution"])
            ax.plot([i - 0.5, i + 0.5], [at, at], color=GREY, linewidth=1.6, alpha=0.8, zorder=2)


def _legend(figure: Figure, blank: float) -> None:
    from matplotlib.lines import Line2D

    blue = PALETTE[0]
    handles = [
        Line2D([], [], color=blue, marker="o", linestyle=" ", label="well"),
        Line2D([], [], color=WARNING, marker="o", mfc="white", linestyle=" ", label="flagged well"),
        Line2D([], [], color=blue, linewidth=3.2, label="statistical interval"),
        Line2D([], [], color=blue, linewidth=1.0, label="with variation between wells"),
        Line2D([], [], color=GREY, linewidth=1.6, label="expected from the sample"),
    ]
    if np.isfinite(blank):
        text = f"limit of blank, {drops.digits(blank, blank)}"
        handles.append(Line2D([], [], color=PALETTE[5], linestyle="--", linewidth=1.3, label=text))
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=6 if figure.get_figwidth() > 11 else 3,
        frameon=False,
        fontsize="small",
        labelcolor=ink(),
    )
