"""The observed likelihood ratio among those of simulated data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.plots._style import GREY, PALETTE, add_legend, axes_or_new
from bayesgmm.results import check_table

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_FEWEST_BINS, _MOST_BINS = 5, 40


def plot_bootstrap_lrt(result: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the statistics of the simulated data sets and the observed one.

    Parameters
    ----------
    result : Dataset
        From `bootstrap_lrt`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        A histogram of data sets simulated under the null, those with a statistic at least as large as the observed
        one in another colour.

    Raises
    ------
    InputError
        If `result` is not that of a test.
    """
    from matplotlib.ticker import MaxNLocator

    check_table(result, "bootstrap_lrt", "result", needs=("bootstrap_statistic", "statistic", "p_value"))
    ax = axes_or_new(ax, (7.0, 3.8))
    observed = float(result["statistic"])
    statistics = result["bootstrap_statistic"].to_numpy()
    drawn = statistics[np.isfinite(statistics)]
    reached = drawn[drawn >= observed]
    if drawn.size:
        n_bins = int(np.clip(2.0 * np.sqrt(drawn.size), _FEWEST_BINS, _MOST_BINS))
        inside = drawn.min() < observed < drawn.max()
        edges = np.linspace(drawn.min(), drawn.max(), n_bins + 1) if np.ptp(drawn) > 0 else drawn[0] + [-0.5, 0.5]
        edges = np.union1d(edges, [observed]) if inside else np.asarray(edges)  # no bar has both colours
        for values, color, label in (
            (drawn[drawn < observed], GREY, "smaller than observed"),
            (reached, PALETTE[1], "at least as large"),
        ):
            if values.size:
                ax.hist(values, bins=edges, color=color, label=f"{label} ({values.size})")  # type: ignore[arg-type]
    ax.axvline(observed, color=PALETTE[0], linewidth=2.2, label=f"observed: {observed:.1f}")
    n_failed = int(result["n_failed"])
    if n_failed:
        ax.plot([], [], " ", label=f"not drawn: {n_failed} without\na proper optimum")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("2 × log likelihood ratio (twice nats)")
    ax.set_ylabel("simulated data sets (number)")
    ax.set_title(_title(result), fontsize="medium", loc="left")
    add_legend(ax)
    return ax


def _title(result: xr.Dataset) -> str:
    null, alternative = result.attrs["null_hypothesis"], result.attrs["alternative_hypothesis"]
    null = null.partition(" with ")[0]
    p = float(result["p_value"])
    interval = f"{float(result['p_lower']):.2g} to {float(result['p_upper']):.2g}"
    return f"Null: {null}; alternative: {alternative}\np = {p:.2g} (95 % Monte-Carlo interval {interval})"
