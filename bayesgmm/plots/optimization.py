"""The starts of a fit: how they climbed, how they ended, how often the best optimum was reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._status import Status
from bayesgmm._words import counted
from bayesgmm.plots._style import GREY, PALETTE, add_legend, axes_or_new
from bayesgmm.results import check_result

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

# In nats: differences below this are drawn to scale, larger ones by their logarithm.
_LINEAR = 1.0
_OBJECTIVES = {"elbo": "ELBO", "log_posterior": "log posterior"}
# Counts beside the axes are left out where they would overlap, in fractions of the height.
_CLOSEST = 0.035


@dataclass(frozen=True, kw_only=True)
class _End:
    text: str
    color: str
    marker: str
    line: str


_ENDS = {
    Status.CONVERGED: _End(text="converged", color=PALETTE[0], marker="o", line="-"),
    Status.BOUNDARY: _End(text="a component has no spread of its own", color=PALETTE[4], marker="D", line="-"),
    Status.MAX_STEPS: _End(text="passes ran out", color=PALETTE[1], marker="s", line="--"),
    Status.STALLED: _End(text="stalled", color=PALETTE[5], marker="^", line="-."),
    Status.SINGULAR: _End(text="a component collapsed: not used", color=PALETTE[3], marker="X", line="--"),
    Status.TOO_FEW_ROWS: _End(text="too few rows: not used", color=PALETTE[6], marker="P", line=":"),
    Status.COINCIDING: _End(text="two components coincide: not used", color=PALETTE[2], marker="*", line=":"),
    Status.SCREENED_OUT: _End(text="left behind: others were ahead", color=GREY, marker="|", line="-"),
}


def plot_optimization(fit: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """Draw the objective of each start, step by step, and how it ended.

    Parameters
    ----------
    fit : DataTree
        From `fit`, or read back from its file.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        The objective in nats above or below the reported optimum; beyond 1 nat the scale is logarithmic. Starts that
        were not followed after their short run are marks at the left, where their value is known. Ends with a
        collapsed component, or with one of no more rows than its covariance needs, may lie above 0: the objective has
        no maximum there, and such ends are not used. The numbers at the right count the starts that reached each
        optimum.

    Raises
    ------
    InputError
        If `fit` is not the result of a fit.
    """
    check_result(fit)
    search = fit[names.OPTIMIZATION].to_dataset()
    (objective,) = (str(name) for name, value in search.items() if set(value.dims) == {names.START, names.STEP})
    ax = axes_or_new(ax, (9.0, 4.4))
    best = int(search.attrs["best_start"])
    top = float(search["end_value"][best])
    trace = search[objective].transpose(names.START, names.STEP).to_numpy() - top
    short = search["short_value"].to_numpy() - top
    statuses = [Status[str(name)] for name in search["status"].to_numpy()]
    lengths = np.isfinite(trace).sum(axis=1)

    for status, end in _ENDS.items():
        mine = [i for i, each in enumerate(statuses) if each is status]
        label = f"{end.text} ({len(mine)})"
        for i in mine:
            if lengths[i]:
                _draw_trace(ax, trace[i], end, best=i == best)
        brief = [i for i in mine if not lengths[i] and np.isfinite(short[i])]
        ax.plot(np.full(len(brief), -1.0), short[brief], end.marker, color=end.color, markersize=7)
        if mine:
            ax.plot([], [], color=end.color, marker=end.marker, linestyle=end.line, label=label)
    ax.set_yscale("symlog", linthresh=_LINEAR, linscale=0.6)
    _scale(ax, trace, short)
    ax.axhline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    _count(ax, search["optimum"].to_numpy(), search["end_value"].to_numpy() - top)
    only_short = bool((~lengths.astype(bool) & np.isfinite(short)).any())
    ax.set_xlabel("step (at the left: starts that only made the short run)" if only_short else "step")
    ax.set_ylabel(f"{_OBJECTIVES.get(objective, objective)} − reported optimum (nats)")
    ax.set_title(_title(search, top), fontsize="medium", loc="left")
    add_legend(ax, left=1.07)
    return ax


def _draw_trace(ax: Axes, trace: Array, end: _End, *, best: bool) -> None:
    steps = np.flatnonzero(np.isfinite(trace))
    width = 2.2 if best else 1.0
    above = 3 if best else 2 if end.color != GREY else 1
    ax.plot(steps, trace[steps], color=end.color, linestyle=end.line, linewidth=width, alpha=0.8, zorder=above)
    ax.plot(steps[-1], trace[steps[-1]], end.marker, color=end.color, markersize=8 if best else 6, zorder=above + 0.5)


def _scale(ax: Axes, trace: Array, short: Array) -> None:
    """Limits and plain numbers; ends that agree must look as if they did, so that at least 2 nats are shown."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    values = np.concatenate([trace[np.isfinite(trace)], short[np.isfinite(short)]])
    low, high = min(float(values.min()), -1.0), max(float(values.max()), 0.3)
    low, high = (low * 1.6, high * 1.6 if high > _LINEAR else high + 0.2)
    ax.set_ylim(low, high)
    powers = [sign * 10.0**power for sign in (-1, 1) for power in range(8)]
    ticks = sorted(tick for tick in [0.0, *powers] if low <= tick <= high)
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:+,.0f}".replace("-", "−") if value else "0")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    last = max(trace.shape[1] - 1, 1)
    ax.set_xlim(-1.6 - 0.01 * last, 1.03 * last + 0.2)


def _count(ax: Axes, optimum: Array, gap: Array) -> None:
    """Beside the axes, at the height of each optimum, how many starts reached it."""
    transform = ax.transScale + ax.transLimits
    last = np.inf
    for number in range(int(optimum.max()) + 1):
        reached = optimum == number
        height = float(transform.transform((0.0, float(gap[reached].max())))[1])
        if abs(last - height) < _CLOSEST:
            continue
        last = height
        ax.text(1.01, height, f"{int(reached.sum())}×", transform=ax.transAxes, va="center", fontsize="small")


def _title(search: xr.Dataset, top: float) -> str:
    reached, optima = int(search.attrs["times_best_reached"]), int(search.attrs["n_optima"])
    finished = int((search["optimum"] >= 0).sum())
    number = f"{top:.2f}".replace("-", "−")
    followed = f"{counted(finished, 'start')} that {'was' if finished == 1 else 'were'} followed to the end"
    title = (
        f"{reached} of {followed} reached {number}\n"
        f"{counted(search.sizes[names.START], 'start')}, "
        f"{optima} distinct {'optimum' if optima == 1 else 'optima'}"
    )
    improper = sum(int(search.attrs.get(name, 0)) for name in ("n_singular", "n_spurious", "n_coinciding"))
    return f"{title}, {improper} improper end{'s' if improper > 1 else ''}" if improper else title
