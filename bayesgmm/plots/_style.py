"""What all plots share: one look for each component, its text, and checks of arguments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_number, as_written, is_number, is_whole
from bayesgmm._errors import InputError
from bayesgmm._interrupts import Interrupts
from bayesgmm._words import listed
from bayesgmm.results import FittedMixture
from bayesgmm.results.build import OCCUPIED

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Okabe & Ito (2008), apart for the colour-blind; black is left for totals and yellow cannot be seen on white. The last
# is from Paul Tol's muted scheme.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#882255")
Line = Literal["-", "--", "-.", ":"]
LINES: tuple[Line, ...] = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")
# The limit of `summary` and `diagnose`.
CERTAIN = 0.95
GREY = "#8C8C8C"


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one component is drawn in every plot."""

    color: str
    line: Line
    marker: str


def look(k: int) -> Look:
    """The look of component `k`. Lengths of lines and colours have no common divisor, so the first 28 all differ."""
    return Look(color=PALETTE[k % len(PALETTE)], line=LINES[k % len(LINES)], marker=MARKERS[k % len(MARKERS)])


def ink() -> str:
    """The colour of text in the style in force, so that black lines do not vanish on a dark ground."""
    from matplotlib import rcParams

    return rcParams["text.color"]


def component_name(component: Any) -> str:
    """A name given by the user as it is, a number with the word in front."""
    return verbatim(component) if isinstance(component, str) else f"component {component}"


def verbatim(name: Any) -> str:
    """A user's name for matplotlib, which would read what stands between two dollars as a formula."""
    return str(name).replace("$", r"\$")


def component_label(fitted: FittedMixture, k: int) -> str:
    """Name and weight for a legend; that in all rows together where groups have weights of their own."""
    return f"{component_name(fitted.components[k])}: weight {fitted.pooled(fitted.point).weights[0, k]:.2f}"


def split_empty(fit: xr.DataTree, fitted: FittedMixture) -> tuple[list[int], str | None]:
    """Components to draw, and a line for the legend about those in which not half a row is expected."""
    rows = fit[names.ASSIGNMENTS]["expected_rows"].to_numpy()
    occupied = [int(k) for k in np.flatnonzero(rows >= OCCUPIED)]
    n_empty = rows.size - len(occupied)
    if not n_empty:
        return occupied, None
    weight = 1 - fitted.pooled(fitted.point).weights[0, occupied].sum()
    return occupied, f"not drawn: {n_empty} empty component{'s' if n_empty > 1 else ''},\nweight {weight:.2g}"


def feature_index(fitted: FittedMixture, feature: Any, argument: str) -> int:
    """Column of a feature that is given by its name, or else by its number from 0; an error lists what there is."""
    known = fitted.feature_names
    # Columns of a table may be called 0, 1, ...: a name comes first.
    # Python refuses to write numbers of thousands of digits, and no column is called by one.
    named = isinstance(feature, str) or (is_whole(feature) and is_number(feature))
    if named and str(feature) in known:
        return known.index(str(feature))
    if is_whole(feature) and 0 <= int(feature) < len(known):
        return int(feature)
    hint = f"The fit has the features {listed(known)}; give a name, or a number from 0 to {len(known) - 1}"
    raise InputError(argument, f"got {as_written(feature)}", hint)


def axes_or_new(ax: Any, figsize: tuple[float, float]) -> Axes:
    """`ax` itself if it is one, else the axes of a new figure."""
    from matplotlib.axes import Axes

    if ax is None:
        return new_figure(figsize).add_subplot()
    if not isinstance(ax, Axes):
        raise InputError("ax", f"got {type(ax).__name__}", "Give one matplotlib Axes, such as plt.subplots()[1]")
    return ax


def new_figure(figsize: tuple[float, float]) -> Figure:
    """A figure with a layout that makes room for legends. Pyplot knows it, so that it is shown without being asked."""
    from matplotlib import pyplot as plt

    return plt.figure(figsize=figsize, layout="constrained")


def figure_or_new(figure: Any, figsize: tuple[float, float]) -> Figure | SubFigure:
    """`figure` itself if it is one, else a new one."""
    from matplotlib.figure import FigureBase

    if figure is None:
        return new_figure(figsize)
    if not isinstance(figure, FigureBase):
        raise InputError("figure", f"got {type(figure).__name__}", "Give a matplotlib Figure or SubFigure")
    return figure  # type: ignore[return-value]


def panels_of(axes: Iterable[Axes]) -> NDArray[Any]:
    """What functions with several panels return, (n_panels,).

    Not their figure: a notebook shows a figure for being the last value of a cell, and once more for being open.
    """
    listed = list(axes)
    panels = np.empty(len(listed), dtype=object)
    panels[:] = listed
    return panels


def add_legend(ax: Axes, handles: list[Artist] | None = None, *, left: float = 1.01) -> None:
    """A legend beside the axes where the layout makes room for it (a constrained one does), else inside."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = ax.get_figure(root=True)
    outside = figure is not None and isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)
    given = {} if handles is None else {"handles": handles}
    if outside:
        place = {"loc": "upper left", "bbox_to_anchor": (left, 1.0), "borderaxespad": 0.0, "frameon": False}
    else:
        place = {"loc": "upper right", "framealpha": 0.7}
    ax.legend(**given, **place, fontsize="small", handlelength=2.8)


def caveat_line(fit: xr.DataTree) -> str | None:
    """Where the intervals of a fit are known to be wrong: the first sentence of why."""
    if names.CAVEAT not in fit.attrs:
        return None
    return str(fit.attrs[names.CAVEAT]).split(". ")[0].removesuffix(".") + "; see diagnose."


def add_caveat(ax: Axes, fit: xr.DataTree) -> None:
    """The line of `caveat_line`, below the axes."""
    text = caveat_line(fit)
    if text is None:
        return
    ax.annotate(
        text,
        (0.0, 0.0),
        (0.0, -34.0),
        xycoords="axes fraction",
        textcoords="offset points",
        va="top",
        fontsize="x-small",
        color=ink(),
        annotation_clip=False,
    )


def pyplot() -> Any:
    """``matplotlib.pyplot``, which is not loaded with the package."""
    with Interrupts():
        from matplotlib import pyplot as plt
    return plt


def check_probability(value: Any, argument: str) -> float:
    """A number strictly between 0 and 1."""
    return as_number(argument, value, above=0.0, below=1.0)
