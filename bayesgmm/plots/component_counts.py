"""Criteria for the number of components, side by side on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_number, as_written
from bayesgmm._errors import InputError
from bayesgmm.inference._readings import choices
from bayesgmm.plots._style import LINES, MARKERS, PALETTE, add_legend, ink, new_figure, panels_of
from bayesgmm.results import check_table

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Nats; what is further behind the best is drawn at the edge.
_DEPTH = 12.0
_UNKNOWN = "$?$"
# Criteria as losses in nats: the factor, and the name in the legend. BIC, AIC and ICL are twice as large.
_LOSSES = {
    "bic": (0.5, "BIC / 2 (Gaussians)"),
    "icl": (0.5, "ICL / 2 (clusters)"),
    "aic": (0.5, "AIC / 2 (prediction)"),
    "elpd_loo": (-1.0, "LOO (prediction)"),
    "elbo": (-1.0, "ELBO (a bound)"),
    "log_evidence": (-1.0, "log evidence (Gaussians)"),
}


def plot_component_count(
    comparison: xr.Dataset, *, structure: str | None = None, depth: float = _DEPTH
) -> NDArray[Any]:
    """Draw how far every number of components is behind the best one by each criterion.

    Parameters
    ----------
    comparison : Dataset
        From `compare_components`.
    structure : str, optional
        Which covariance structure, where several were compared; that with the lowest BIC if left out.
    depth : float
        Nats shown; what is further behind stands at the lower edge.

    Returns
    -------
    ndarray of Axes, shape (1,) or (2,)
        One panel, or two where there is evidence; ``[0].figure`` is their figure. On the left each criterion's
        distance from its best number of components in nats, with errors where it has some; numbers that a
        criterion chooses are ringed. On the right the posterior probability of every number, given the
        structure, for each width of the prior on means; a question mark where the evidence is not known, and
        the others are what they are without that number.

    Raises
    ------
    InputError
        If `comparison` is not such a table, or has no such structure.
    """
    depth = as_number("depth", depth, above=0.0)
    check_table(comparison, "compare_components", "comparison", needs=("bic", "icl", "status"))
    table, title = _one_structure(comparison, structure)
    with_posterior = "posterior_probability" in table
    figure = new_figure((13.0 if with_posterior else 7.0, 4.4))
    axes = panels_of(figure.subplots(1, 1 + with_posterior, squeeze=False)[0])
    _criteria(axes[0], table, depth)
    if with_posterior:
        _posterior(axes[1], table, title)
    if title:
        figure.suptitle(title, fontsize="medium", x=0.01, ha="left")
    return axes


def _one_structure(comparison: xr.Dataset, structure: str | None) -> tuple[xr.Dataset, str]:
    if "structure" not in comparison.dims:
        if structure is not None:
            raise InputError(
                "structure", f"got {as_written(structure)}", "Only one structure was compared; leave it out"
            )
        return comparison, ""
    names = [str(name) for name in comparison["structure"].to_numpy()]
    if structure is None:
        lowest = comparison["bic"].min("n_components").to_numpy()
        structure = names[int(np.nanargmin(lowest))]
    if structure not in names:
        raise InputError("structure", f"got {as_written(structure)}", f"Give one of {', '.join(map(repr, names))}")
    best = "; ".join(f"{criterion}: {choice}" for criterion, (choice, _) in choices(comparison).items())
    return comparison.sel(structure=structure), f"{structure} covariances (of all structures {best})"


def _criteria(ax: Axes, table: xr.Dataset, depth: float) -> None:
    numbers = table["n_components"].to_numpy()
    drawn = [name for name in _LOSSES if name in table]
    # Points of different criteria stand beside each other instead of on top of each other.
    offsets = np.linspace(-0.16, 0.16, len(drawn)) if len(drawn) > 1 else [0.0]
    for i, (name, offset) in enumerate(zip(drawn, offsets, strict=True)):
        factor, label = _LOSSES[name]
        values = table[name].sel(mean_scale=1.0) if name == "log_evidence" else table[name]
        loss = factor * values.to_numpy()
        if not np.isfinite(loss).any():
            continue
        behind = loss - np.nanmin(loss)
        y, color = -np.minimum(behind, depth), PALETTE[i % len(PALETTE)]
        error = _errors(table, name)
        x = numbers + offset
        ax.plot(
            x, y, marker=MARKERS[i % len(MARKERS)], linestyle=LINES[i % len(LINES)], color=color, label=label, alpha=0.9
        )
        if error is not None:
            shown = np.isfinite(error) & (behind < depth)
            ax.errorbar(x[shown], y[shown], yerr=error[shown], fmt="none", ecolor=color, capsize=2, alpha=0.7)
        best = int(np.nanargmin(loss))
        ax.plot(x[best], y[best], marker="o", markersize=13, markerfacecolor="none", markeredgecolor=color, mew=1.6)
    ax.set_ylim(-depth * 1.06, depth * 0.09)
    _mark_edge(ax, depth)
    ax.set_xticks(numbers)
    ax.set_xlabel("number of components")
    ax.set_ylabel("behind its best (nats)")
    ax.set_title("Each criterion by itself; its choice is ringed", fontsize="medium", loc="left")
    add_legend(ax)


def _mark_edge(ax: Axes, depth: float) -> None:
    """The lower edge stands for everything below it, and says so."""
    inside = [float(tick) for tick in ax.get_yticks() if -0.95 * depth < tick <= 0]
    ax.set_yticks([*inside, -depth], [f"{tick:g}".replace("-", "−") for tick in inside] + [f"≤ −{depth:g}"])


def _errors(table: xr.Dataset, name: str) -> np.ndarray | None:
    if name == "log_evidence":
        return table["log_evidence_error"].sel(mean_scale=1.0).to_numpy()
    return None


def _shares(table: xr.Dataset, scale: float) -> np.ndarray:
    """Posterior probabilities within the structure that is drawn; those in the table are over all structures."""
    with np.errstate(divide="ignore"):
        log = table["log_evidence"].sel(mean_scale=scale).to_numpy() + np.log(table["prior_probability"].to_numpy())
    log = np.where(np.isnan(log), -np.inf, log)
    if not np.isfinite(log).any():
        return np.zeros(log.size)
    shares = np.exp(log - log.max())
    return shares / shares.sum()


def _posterior(ax: Axes, table: xr.Dataset, title: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    numbers, scales = table["n_components"].to_numpy(), table["mean_scale"].to_numpy()
    width = 0.8 / len(scales)
    reliable = table["reliable"].transpose("n_components", "mean_scale").to_numpy()
    handles: list[Artist] = []
    for i, scale in enumerate(scales):
        x = numbers + (i - (len(scales) - 1) / 2) * width
        y = _shares(table, scale)
        color = PALETTE[i % len(PALETTE)]
        handles.append(Patch(facecolor=color, label=f"{scale:.3g} × the declared width"))
        ax.bar(x, y, width, color=color)
        missing = x[~reliable[:, i]]
        ax.plot(missing, np.full(missing.size, 0.03), linestyle="none", marker=_UNKNOWN, color=ink(), markersize=7)
    if not reliable.all():
        label = "evidence not known; the others without it"
        handles.append(Line2D([], [], linestyle="none", marker=_UNKNOWN, color=ink(), markersize=7, label=label))
    ax.set_xticks(numbers)
    ax.set_ylim(0.0, 1.02)
    ax.set_xlabel("number of components")
    ax.set_ylabel("posterior probability")
    given = f", given {title.partition(' (')[0]}" if title else ""
    ax.set_title(f"Numbers of Gaussians, by width of the prior on means{given}", fontsize="medium", loc="left")
    add_legend(ax, handles)
