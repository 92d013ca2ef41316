"""Two features and more: rows by label and certainty, components as ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_whole, as_written, is_several
from bayesgmm._errors import InputError
from bayesgmm._words import listed
from bayesgmm.inference.summaries import units_of
from bayesgmm.plots._style import (
    CERTAIN,
    add_caveat,
    add_legend,
    caveat_line,
    check_probability,
    component_label,
    feature_index,
    figure_or_new,
    ink,
    look,
    panels_of,
    split_empty,
    verbatim,
)
from bayesgmm.plots.density import plot_density
from bayesgmm.results import FittedMixture, read_result

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Array = NDArray[np.float64]

# More panels than this squared cannot be read; all features are drawn only when asked for by name.
_MOST_FEATURES = 6
_CIRCLE = np.linspace(0, 2 * np.pi, 121)
# Vector files with a mark for each of many rows are slow to open.
_RASTERIZED_FROM = 2000


def plot_components(
    fit: xr.DataTree,
    features: Sequence[str | int] | str | int | None = None,
    *,
    probability: float | Sequence[float] = (0.5, 0.9),
    n_draws: int = 20,
    figure: Figure | SubFigure | None = None,
) -> NDArray[Any]:
    """Draw rows coloured by label and components as ellipses, for each pair of features.

    Parameters
    ----------
    fit : DataTree
        From `fit`, or read back from its file.
    features : sequence of str or int, optional
        Names of the features, or their numbers from 0; all if left out, at most the first six. One feature
        gives `plot_density`, two give one panel, more a grid with pairs below the diagonal and marginal
        densities on it.
    probability : float or sequence of float
        How much of a component an ellipse covers: under a Normal with the component's mean and covariance (the mean of
        the posterior, or the mode under `EM`), in the two features of the panel.
    n_draws : int
        From how many posterior draws to add a thin ellipse for each component, at the largest `probability`.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure if left out. Axes are added to it.

    Returns
    -------
    ndarray of Axes, shape (n_panels,)
        The panels, row by row; ``[0].figure`` is their figure. Rows without a responsibility of at least 0.95
        are larger and have an edge. Components in which not half a row is expected are not drawn.

    Raises
    ------
    InputError
        If a feature is unknown or named twice, or another argument has a value that cannot be used.
    """
    fitted = read_result(fit)
    chosen = _chosen(fitted, features)
    given = probability if isinstance(probability, (Sequence, np.ndarray)) else (probability,)
    levels = sorted(check_probability(value, "probability") for value in given)
    if not levels:
        raise InputError("probability", "got none", "Give one or more probabilities, such as (0.5, 0.9)")
    n_draws = as_whole("n_draws", n_draws)
    d = len(chosen)
    sizes = {1: (8.0, 4.0), 2: (8.0, 5.0)}
    figure = figure_or_new(figure, sizes.get(d, (2.2 * d + 1.0, 2.1 * d + 0.4)))
    if d == 1:
        return panels_of([plot_density(fit, fitted.feature_names[chosen[0]], ax=figure.add_subplot())])
    panels = _Panels(fit, fitted, levels, n_draws)
    if d == 2:
        ax = figure.add_subplot()
        panels.draw(ax, chosen[0], chosen[1])
        add_legend(ax, panels.handles())
        add_caveat(ax, fit)
        return panels_of([ax])
    axes = _grid(figure, fit, panels, chosen)
    if features is None and d < len(fitted.feature_names):
        figure.suptitle(f"the first {d} of {len(fitted.feature_names)} features")
    return panels_of(axes)


def _chosen(fitted: FittedMixture, features: Sequence[str | int] | str | int | None) -> list[int]:
    if features is None:
        return list(range(min(len(fitted.feature_names), _MOST_FEATURES)))
    wanted = list(features) if is_several(features) else [features]  # type: ignore[arg-type]
    chosen = [feature_index(fitted, feature, "features") for feature in wanted]
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(
            "features",
            f"got {as_written(features)}",
            f"Give different names out of {listed(fitted.feature_names)}, at least one",
        )
    return chosen


def _grid(figure: Figure | SubFigure, fit: xr.DataTree, panels: _Panels, chosen: list[int]) -> list[Axes]:
    d, axes = len(chosen), []
    grid = figure.add_gridspec(d, d)
    for row, i in enumerate(chosen):
        for column, j in enumerate(chosen[: row + 1]):
            ax = figure.add_subplot(grid[row, column])
            axes.append(ax)
            if i == j:
                plot_density(fit, panels.fitted.feature_names[i], ax=ax, legend=False)
                ax.set_xlim(panels.limits(i))
                ax.set_yticks([])
            else:
                panels.draw(ax, j, i)
            ax.tick_params(labelsize="small", labelbottom=row == d - 1, labelleft=column == 0)
            if row < d - 1:
                ax.set_xlabel("")
            if column > 0:
                ax.set_ylabel("")
    figure.legend(handles=panels.handles(), loc="upper right", fontsize="small", frameon=False, handlelength=2.8)
    figure.align_labels()
    if (line := caveat_line(fit)) is not None:
        figure.supxlabel(line, x=0.02, ha="left", fontsize="x-small")
    return axes


class _Panels:
    """What every panel of one figure shares."""

    def __init__(self, fit: xr.DataTree, fitted: FittedMixture, levels: list[float], n_draws: int) -> None:
        self.fitted, self.levels = fitted, levels
        self.draws = None if fitted.draws is None or not n_draws else fitted.draws.thinned(n_draws)
        self.units = units_of(fit)
        self.with_errors = bool({"noise_sd", "noise_covariance"} & set(fit[names.CONSTANT].data_vars))
        self.values = fit[names.OBSERVED][names.DATA].transpose(names.OBS, names.FEATURE).to_numpy()
        assigned = fit[names.ASSIGNMENTS].to_dataset()
        self.own = assigned["label_probability"].to_numpy()
        components = assigned[names.COMPONENT].to_numpy()
        self.label = (assigned["label"].to_numpy()[:, None] == components).argmax(axis=1)
        self.occupied, self.about_empty = split_empty(fit, fitted)
        # Points of many rows are small, so that they do not cover each other.
        self.size = float(np.clip(6000 / len(self.values), 3, 20))

    def limits(self, j: int) -> tuple[float, float]:
        """Around the data and the ellipses, but not far out for the sake of a wide ellipse."""
        values = self.values[:, j]
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        width = high - low
        means = self.fitted.point.means[0, self.occupied, j]
        reach = np.sqrt(self.fitted.point.covariances[0, self.occupied, j, j]) * _radius(self.levels[-1])
        first = max(min(low, float((means - reach).min())), low - 0.25 * width)
        last = min(max(high, float((means + reach).max())), high + 0.25 * width)
        return first - 0.04 * width, last + 0.04 * width

    def draw(self, ax: Axes, i: int, j: int) -> None:
        """Feature `i` to the right, feature `j` upwards."""
        from matplotlib.collections import LineCollection

        pair = np.array([i, j])
        point = self.fitted.point
        for k in range(len(self.fitted.components)):
            self._points(ax, k, i, j)
        for k in self.occupied:
            style = look(k)
            if self.draws is not None:
                choleskys = np.linalg.cholesky(self.draws.covariances[:, k][:, pair[:, None], pair])
                curves = [
                    _ellipse(mean, cholesky, self.levels[-1])
                    for mean, cholesky in zip(self.draws.means[:, k][:, pair], choleskys, strict=True)
                ]
                thin = LineCollection(curves, colors=style.color, linewidths=0.6, alpha=0.3, zorder=1.5)
                ax.add_collection(thin, autolim=False)
            cholesky = np.linalg.cholesky(point.covariances[0, k][pair[:, None], pair])
            for level in self.levels:
                curve = _ellipse(point.means[0, k, pair], cholesky, level)
                ax.plot(*curve.T, color=style.color, linestyle=style.line, linewidth=1.6, zorder=3)
        ax.set_xlim(self.limits(i))
        ax.set_ylim(self.limits(j))
        ax.set_xlabel(verbatim(self.fitted.feature_names[i]))
        ax.set_ylabel(verbatim(self.fitted.feature_names[j]))

    def _points(self, ax: Axes, k: int, i: int, j: int) -> None:
        style = look(k)
        rasterized = len(self.values) >= _RASTERIZED_FROM
        mine = self.label == k
        for sure in (True, False):
            rows = mine & ((self.own >= CERTAIN) == sure)
            if rows.any():
                ax.scatter(
                    self.values[rows, i],
                    self.values[rows, j],
                    s=self.size * (1 if sure else 1 + 4 * (1 - self.own[rows])),
                    color=style.color,
                    marker=style.marker,
                    alpha=0.45 if sure else 1.0,
                    edgecolors="none" if sure else ink(),
                    linewidths=0.0 if sure else 0.18 * np.sqrt(self.size),
                    zorder=2 if sure else 2.5,
                    rasterized=rasterized,
                )

    def handles(self) -> list[Any]:
        """Entries of the legend."""
        from matplotlib.lines import Line2D

        entries = []
        for k in self.occupied:
            style = look(k)
            entries.append(
                Line2D(
                    [],
                    [],
                    color=style.color,
                    linestyle=style.line,
                    marker=style.marker,
                    markersize=4,
                    label=component_label(self.fitted, k),
                )
            )
        covers = " and ".join(f"{level:.0%}" for level in self.levels)
        entries.append(Line2D([], [], color=ink(), linewidth=1.6, label=f"{covers} of a component"))
        if self.draws is not None:
            label = f"{self.levels[-1]:.0%} in {len(self.draws)} draws"
            entries.append(Line2D([], [], color=ink(), linewidth=0.6, alpha=0.5, label=label))
        unsure, word = self.units[self.own < CERTAIN].sum(), "rows" if self.units.sum() == self.own.size else "units"
        label = f"uncertain (below {CERTAIN:g}): {unsure:g} of {self.units.sum():g} {word}"
        entries.append(
            Line2D([], [], linestyle="none", marker="o", markerfacecolor="none", markeredgecolor=ink(), label=label)
        )
        notes = [] if self.about_empty is None else [self.about_empty]
        with_holes = int(np.isnan(self.values).any(axis=1).sum())
        if with_holes:
            notes.append(f"{with_holes} rows miss values: each is drawn\nwhere both of its values are there")
        if self.with_errors:
            notes.append("points carry errors of measurement,\ncomponents do not")
        return entries + [Line2D([], [], linestyle="none", label=note) for note in notes]


def _radius(probability: float) -> float:
    """Mahalanobis radius that holds so much of a Normal in two dimensions."""
    return float(np.sqrt(-2 * np.log1p(-probability)))


def _ellipse(mean: Array, cholesky: Array, probability: float) -> Array:
    circle = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)])
    return mean + _radius(probability) * (cholesky @ circle).T
