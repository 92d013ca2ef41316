"""Pictures of `traits.discreteness`: data with fitted densities, spreads within types, probabilities of hypotheses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm._arguments import as_whole
from bayesgmm._errors import InputError
from bayesgmm.plots._style import GREY, LINES, PALETTE, add_legend, axes_or_new, ink
from bayesgmm.results import check_table

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_CLASS_COLORS = {"discrete": PALETTE[0], "mixed": PALETTE[1], "continuous": PALETTE[2]}
# Individuals whose error bars can still be told apart.
_MOST_BARS = 150
_BARS_SHARE = 0.3
# On these colours text is white.
_DARK = {"discrete", "continuous"}
_LEAST_RATIO = 1e-2


def plot_trait(result: xr.Dataset, *, models: int = 3, ax: Axes | None = None) -> Axes:
    """Draw the individuals with their standard errors, and the densities that hypotheses expect of such values.

    Parameters
    ----------
    result : Dataset
        From `traits.discreteness`.
    models : int
        The best model of each class is drawn, up to so many classes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        A histogram of individuals' means; below it each of them with a bar of one standard error to either side (every
        so many where there are more than 150); lines are posterior means of densities, errors of measurement included.
    """
    _check(result)
    models = as_whole("models", models, least=1)
    ax = axes_or_new(ax, (8.5, 4.4))
    means, errors = result["mean"].to_numpy(), result["standard_error"].to_numpy()
    n_bins = int(np.clip(np.ceil(np.sqrt(means.size) * 1.5), 8, 60))
    ax.hist(means, bins=n_bins, density=True, color=GREY, alpha=0.35, label=f"{means.size} individuals")
    probabilities = result["model_probability"].isel(setting=0).to_numpy()
    kinds = result["kind"].to_numpy()
    best = [max(np.flatnonzero(kinds == kind), key=lambda i: probabilities[i]) for kind in _CLASS_COLORS]
    order_of_classes = list(_CLASS_COLORS)
    for i in sorted(best, key=lambda i: -probabilities[i])[:models]:
        name, kind = str(result["model"].to_numpy()[i]), str(kinds[i])
        several = (
            f"\n(all {kind} ones {_percent(probabilities[kinds == kind].sum())})" if sum(kinds == kind) > 1 else ""
        )
        ax.plot(
            result["x"],
            result["density"].isel(model=i),
            color=_CLASS_COLORS[kind],
            linestyle=LINES[order_of_classes.index(kind)],
            linewidth=2.0,
            label=f"{name}: {_percent(probabilities[i])}{several}",
        )
    top = ax.get_ylim()[1]
    shown = np.unique(np.linspace(0, means.size - 1, min(means.size, _MOST_BARS)).astype(int))
    order = np.argsort(means, kind="stable")[shown]
    heights = -top * _BARS_SHARE * (0.1 + 0.9 * np.arange(order.size) / max(order.size - 1, 1))
    ax.errorbar(
        means[order], heights, xerr=errors[order], fmt=".", markersize=2, color=ink(), ecolor=GREY, elinewidth=0.5
    )
    ax.axhline(0.0, color=ink(), linewidth=0.6)
    ax.set_ylim(-top * (_BARS_SHARE + 0.03), top)
    ticks = [tick for tick in ax.get_yticks() if 0 <= tick <= top]
    ax.set_yticks(ticks)
    ax.set_xlabel(str(result.attrs["trait"]))
    ax.set_ylabel("density")
    some = f" (every {means.size / order.size:.0f}th)" if order.size < means.size else ""
    ax.set_title(f"Individuals with standard errors{some}, and what models expect", fontsize="medium", loc="left")
    add_legend(ax)
    return ax


def plot_type_spread(result: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the posterior of sigma_k / sigma_e, the spread within a type in units of the error of a measurement.

    Parameters
    ----------
    result, ax
        As in `plot_trait`.

    Returns
    -------
    matplotlib.axes.Axes
        A histogram for each type of the most probable mixed model, the interval below it, and the threshold.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    _check(result)
    if "spread_ratio" not in result:
        raise InputError("result", "has no spread_ratio", "No mixed model could be fitted, so there is nothing to draw")
    ax = axes_or_new(ax, (8.0, 3.8))
    ratio, threshold = result["spread_ratio"].to_numpy(), float(result.attrs["threshold"])
    low, high = np.log10(max(ratio.min(), _LEAST_RATIO)), np.log10(max(ratio.max(), 2 * threshold))
    low = min(low, np.log10(threshold) - 0.3)
    edges = np.logspace(low, high + 0.02, 50)
    for k in range(ratio.shape[1]):
        color = PALETTE[k % len(PALETTE)]
        p = float(result["negligible_spread"][k])
        mean = float(result["component_mean"][k])
        label = f"type at {mean:.3g}: {_percent(p)} below {threshold:g}"
        drawn = np.clip(ratio[:, k], edges[0], None)
        ax.hist(
            drawn, bins=edges.tolist(), color=color, alpha=0.5, label=label, weights=np.full(len(drawn), 1 / len(drawn))
        )
        y = -0.012 * (k + 1)
        limits = [float(result[f"spread_ratio_{end}"][k]) for end in ("lower", "upper")]
        ax.plot(np.clip(limits, edges[0], None), [y, y], color=color, linewidth=3, solid_capstyle="butt")
    ax.axvline(threshold, color=ink(), linestyle="--", linewidth=1, label=f"threshold {threshold:g}")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(bottom=-0.012 * (ratio.shape[1] + 1.5))
    ax.set_yticks([tick for tick in ax.get_yticks() if tick >= 0])
    less = f" (first bin: {edges[0]:g} and less)" if ratio.min() < edges[0] else ""
    ax.set_xlabel(f"spread within the type / error of one measurement{less}")
    ax.set_ylabel("posterior probability of a bin")
    interval = f"{100 * float(result.attrs['interval']):.0f} %"
    ax.set_title(
        f"If mixed ({result.attrs['mixed_model']}): bars are {interval} intervals", fontsize="medium", loc="left"
    )
    add_legend(ax)
    return ax


def plot_hypotheses(result: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the probabilities of discrete, mixed and continuous under every setting, and the power.

    Parameters
    ----------
    result, ax
        As in `plot_trait`.

    Returns
    -------
    matplotlib.axes.Axes
        One bar for each setting, the declared one on top. The legend says in how many samples, simulated from the best
        model of a class, that class reached the level of a verdict.
    """
    _check(result)
    settings = [str(name) for name in result["setting"].to_numpy()]
    ax = axes_or_new(ax, (9.0, 1.4 + 0.45 * len(settings)))
    left = np.zeros(len(settings))
    for kind, color in _CLASS_COLORS.items():
        p = result["class_probability"].sel({"class": kind}).to_numpy()
        power, n = float(result["power"].sel({"class": kind})), int(result.attrs["n_power"])
        told = "" if np.isnan(power) else f"\n(told in {round(n * power)} of {n} such samples)"
        ax.barh(np.arange(len(settings)), p, left=left, color=color, label=f"{kind}{told}")
        for i in np.flatnonzero(p > 0.08).tolist():
            shown = f"{100 * p[i]:.0f} %" if p[i] < 0.995 else "> 99 %"
            text = "white" if kind in _DARK else "black"
            ax.text(left[i] + p[i] / 2, i, shown, ha="center", va="center", fontsize="small", color=text)
        left = left + p
    ax.set_yticks(np.arange(len(settings)), settings)
    ax.invert_yaxis()
    ax.set_xlim(0.0, 1.0)
    ax.set_xlabel("posterior probability")
    ax.set_ylabel("setting")
    decision = str(result.attrs["decision"])
    ax.set_title(f"{result.attrs['trait']}: {decision}", fontsize="medium", loc="left")
    add_legend(ax)
    return ax


def _percent(p: float) -> str:
    if p < 0.001 or p > 0.999:
        return "< 0.1 %" if p < 0.5 else "> 99.9 %"
    return f"{100 * p:.0f} %" if 0.01 <= p <= 0.99 else f"{100 * p:.1f} %"


def _check(result: xr.Dataset) -> None:
    check_table(result, "traits.discreteness", "result", needs=("class_probability", "density", "standard_error"))
