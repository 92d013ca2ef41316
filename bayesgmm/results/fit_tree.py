"""What `fit` returns: a DataTree that prints as a short summary."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesgmm import _schema as names
from bayesgmm._words import counted

# Components in the table, and names of features in the first line.
_MOST_ROWS = 12
_MOST_NAMES = 4
_WIDTH = 120
_CERTAIN = 0.95
_NEEDED = (names.POINT, names.ASSIGNMENTS, names.OBSERVED)


class FitTree(xr.DataTree):
    """A DataTree in ArviZ's schema that is a fit: printed, it says what was found and not what it is stored as.

    Nothing but printing differs from `xarray.DataTree`, so that whatever takes one takes this, and a plain one (read
    from a file, or made by an operation of xarray) is as good a fit as this one. A group, such as ``fit["posterior"]``,
    prints as ever.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return brief_text(self) if is_fit(self) else super().__repr__()

    def __str__(self) -> str:  # xarray has one of its own
        return repr(self)

    def _repr_html_(self) -> str:
        whole = super()._repr_html_()
        return brief_html(self, whole) if is_fit(self) else whole


def as_fit_tree(tree: xr.DataTree) -> FitTree:
    """A tree, such as one read from a file, as one that prints as a fit. Groups are not copied, and stay plain."""
    return FitTree(tree.to_dataset(inherit=False), children=dict(tree.children), name=tree.name)


def is_fit(tree: xr.DataTree) -> bool:
    """Whether a tree has all that a summary is made of: one of which a part was taken may not."""
    if not all(group in tree.children for group in _NEEDED) or names.STATUS_MESSAGE not in tree.attrs:
        return False
    wanted = {
        names.POINT: {"weights": {names.COMPONENT}, "means": {names.COMPONENT, names.FEATURE}},
        names.ASSIGNMENTS: {"label": {names.OBS}, "label_probability": {names.OBS}},
        names.OBSERVED: {names.DATA: {names.OBS, names.FEATURE}},
    }
    for group, variables in wanted.items():
        for name, dims in variables.items():
            if name not in tree[group].data_vars or set(tree[group][name].dims) - {names.GROUP} != dims:
                return False
    return True


@dataclass(frozen=True)
class Brief:
    """The lines before the table of components, its rows, and the lines after it."""

    head: list[str]
    columns: list[str]
    rows: list[list[str]]
    foot: list[str]


def brief(fit: xr.DataTree) -> Brief:
    """What a fit found, in some lines."""
    point, assigned = fit[names.POINT].to_dataset(), fit[names.ASSIGNMENTS].to_dataset()
    components = point[names.COMPONENT].to_numpy().tolist()
    features = [str(name) for name in point[names.FEATURE].to_numpy()]
    n_obs = fit[names.OBSERVED].sizes[names.OBS]
    shown = ", ".join(features[:_MOST_NAMES]) + (", ..." if len(features) > _MOST_NAMES else "")
    head = [
        f"Fit of a Gaussian mixture of {counted(len(components), 'component')} to {counted(n_obs, 'row')} of "
        f"{counted(len(features), 'feature')} ({shown})",
        f"Engine {fit.attrs.get(names.ENGINE, 'unknown')}. {fit.attrs[names.STATUS_MESSAGE]}",
    ]
    sizes = (assigned["label"].to_numpy()[:, None] == np.array(components)).sum(axis=0)
    weights = _weights(fit, point)
    order = range(len(components))
    if len(components) > _MOST_ROWS:
        order = sorted(np.argsort(-sizes, kind="stable")[:_MOST_ROWS].tolist())
    rows = [[str(components[k]), f"{sizes[k]:,}", *(column[k] for column in weights.values())] for k in order]
    foot = []
    if len(components) > len(rows):
        foot.append(f"... and {counted(len(components) - len(rows), 'component')} with fewer rows")
    unsure = int((assigned["label_probability"].to_numpy() < _CERTAIN).sum())
    foot.append(f"{counted(unsure, 'row')} with a label that is less than {_CERTAIN:.0%} sure")
    foot += [str(fit.attrs[name]) for name in (names.FEWER_GROUPS, names.CAVEAT) if name in fit.attrs]
    if names.ALL_DRAWS in fit.children:
        foot.append("The number of components was sampled too: bg.component_posterior(fit)")
    foot.append("Next: bg.summary(fit), bg.assignments(fit), bg.diagnose(fit), bg.plots.plot_components(fit)")
    foot.append(f"Groups: {', '.join(map(str, fit.children))}")
    return Brief(head, ["component", "rows", *weights], rows, foot)


def _weights(fit: xr.DataTree, point: xr.Dataset) -> dict[str, list[str]]:
    """A column of weights, with those of each group side by side where groups have weights of their own."""
    at_point = point["weights"].transpose(..., names.COMPONENT).to_numpy()
    if at_point.ndim == 2:
        low, high = at_point.min(axis=0), at_point.max(axis=0)
        return {"weight (lowest to highest of groups)": [f"{a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True)]}
    draws = fit[names.POSTERIOR].data_vars.get("weights") if names.POSTERIOR in fit.children else None
    if draws is None or draws.sizes.get(names.COMPONENT) != at_point.size:
        return {"weight": [f"{weight:.2f}" for weight in at_point]}
    draws = draws.transpose(..., names.COMPONENT).to_numpy().reshape(-1, at_point.size)
    cells = [f"{mean:.2f} ± {sd:.2f}" for mean, sd in zip(draws.mean(axis=0), draws.std(axis=0), strict=True)]
    return {"weight ± sd": cells}


def brief_text(fit: xr.DataTree) -> str:
    """For a terminal."""
    found = brief(fit)
    table = [found.columns, *found.rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  " + "   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
    head, foot = ([each for line in part for each in textwrap.wrap(line, _WIDTH)] for part in (found.head, found.foot))
    return "\n".join([*head, *lines, *foot])


def brief_html(fit: xr.DataTree, whole: str) -> str:
    """For a notebook, with the tree itself behind a triangle."""
    found = brief(fit)

    def cells(row: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

    table = cells(found.columns, "th") + "".join(cells(row, "td") for row in found.rows)
    head, foot = ("".join(f"<div>{html.escape(line)}</div>" for line in lines) for lines in (found.head, found.foot))
    details = f"<details><summary>The whole tree</summary>{whole}</details>"
    return f"<div>{head}<table>{table}</table>{foot}{details}</div>"
