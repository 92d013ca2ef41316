"""What pictures of droplets share: a well's fitted clusters from the result of `ddpcr.quantify`, and its words."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm._words import listed
from bayesgmm.model import GaussianMixture
from bayesgmm.plots._style import GREY, PALETTE
from bayesgmm.results import check_table

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

KINDS = ("negatives", "positives", "rain", "outliers")
COLORS = {"negatives": PALETTE[0], "positives": PALETTE[1], "rain": PALETTE[2], "outliers": GREY}
WARNING = PALETTE[3]
# Whether each of the clusters --, +-, -+, ++ of two channels is positive in the first, and in the second.
HAS = np.array([[0, 1, 0, 1], [0, 0, 1, 1]])
NO_POSITIVES = "no positives"  # how this flag begins
# Components by the first word of their name.
_KIND_OF = {"negative": 0, "positive": 1, "rain": 2, "low": 3, "outliers": 3}
_POINTS_PER_INCH, _POINTS_PER_LETTER = 72.0, 5.8
# Inches of the side of a panel; share of a figure's width that is above its panels.
_SIDE, _TITLE = 3.0, 0.85
# Names of wells on an axis: up to so many of them have this size.
# Letters of samples' names above an axis: their width in points, the most in a slanted line; and lines of level names.
_POINTS_PER_SMALL, _LONGEST_LINE, _MOST_LINES = 4.8, 28, 3
_SIZES = ((24, "small"), (48, "x-small"), (np.inf, "xx-small"))


class Row:
    """Single values of a result by their labels; some hundred times faster than selecting from a Dataset.

    Parameters
    ----------
    result : Dataset
    **where : str
        Labels by dimension, such as ``well="A01"``.
    """

    def __init__(self, result: xr.Dataset, **where: str) -> None:
        self._variables = result.variables
        self._places = {dim: result.get_index(dim).get_loc(label) for dim, label in where.items()}

    def __getitem__(self, name: str) -> Any:
        variable = self._variables[name]
        return variable.values[tuple(self._places.get(str(dim), slice(None)) for dim in variable.dims)]


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """The mixture of one well and channel: K Gaussians, and of which kind each of them is.

    Attributes
    ----------
    weights, means, sds : (K,) arrays
    kind : (K,) array of int
        Places in `KINDS`.
    """

    weights: Array
    means: Array
    sds: Array
    kind: NDArray[np.intp]

    def densities(self, x: Array) -> Array:
        """Weight times density of each kind at amplitudes x, shape (4, n); they add up to the density of a droplet."""
        z = (x - self.means[:, None]) / self.sds[:, None]
        each = (self.weights / (self.sds * np.sqrt(2.0 * np.pi)))[:, None] * np.exp(-0.5 * z * z)
        return np.stack([each[self.kind == k].sum(axis=0) for k in range(len(KINDS))])

    def log_densities(self, x: Array) -> tuple[Array, Array]:
        """Log densities of amplitudes x if the droplet is negative, and if it is positive (rain is positive)."""
        z = (x - self.means[:, None]) / self.sds[:, None]
        log_p = np.log(self.weights / self.sds)[:, None] - 0.5 * z * z
        negative, positive = self.kind == 0, (self.kind == 1) | (self.kind == 2)

        def together(own: NDArray[np.bool_]) -> Array:
            most = log_p[own].max(axis=0)
            return np.asarray(most + np.log(np.exp(log_p[own] - most).sum(axis=0)) - np.log(self.weights[own].sum()))

        return together(negative), together(positive)

    def of(self, positive: bool) -> Clusters:
        """The negatives with low droplets, or the positives with rain; weights add up to 1."""
        own = (self.kind == 1) | (self.kind == 2) if positive else (self.kind == 0) | (self.kind == 3)
        if not positive:
            own[-1] = False  # outliers come last
        weights = self.weights[own] / self.weights[own].sum()
        return Clusters(weights=weights, means=self.means[own], sds=self.sds[own], kind=self.kind[own])

    def middle(self, positive: bool) -> tuple[float, float]:
        """Mean and standard deviation of the negatives or of the positives, without rain."""
        own = self.kind == int(positive)
        shares = self.weights[own] / self.weights[own].sum()
        mean = float(shares @ self.means[own])
        return mean, float(np.sqrt(shares @ (np.square(self.sds[own]) + np.square(self.means[own] - mean))))

    def probabilities(self, x: Array) -> tuple[Array, Array]:
        """That a droplet with amplitude x is positive, and that it is an outlier."""
        z = (x - self.means[:, None]) / self.sds[:, None]
        log_p = np.log(self.weights / self.sds)[:, None] - 0.5 * z * z
        p = np.exp(log_p - log_p.max(axis=0))
        p /= p.sum(axis=0)
        return p[(self.kind == 1) | (self.kind == 2)].sum(axis=0), p[self.kind == 3].sum(axis=0)


def clusters(result: xr.Dataset, well: str, channel: str) -> Clusters | None:
    """The fitted mixture of a well, or None where there was no fit.

    Where one channel does something to the other it has the components of all four of their clusters.
    """
    alone = moved(result, well, channel)
    if alone is None:
        return None
    for name in result["pair"].to_numpy().tolist() if "pair" in result.dims else []:
        pair = tuple(name.split(" / "))
        if channel not in pair:
            continue
        shares, _, four = in_pair(result, well, pair)
        if four is not None:
            c = pair.index(channel)
            parts = [each.of(bool(has)) for each, has in zip(four[c], HAS[c], strict=True)]
            weights = [w * (1.0 - alone.weights[-1]) * p.weights for w, p in zip(shares, parts, strict=True)]
            return Clusters(
                weights=np.concatenate([*weights, alone.weights[-1:]]),
                means=np.concatenate([*(p.means for p in parts), alone.means[-1:]]),
                sds=np.concatenate([*(p.sds for p in parts), alone.sds[-1:]]),
                kind=np.concatenate([*(p.kind for p in parts), alone.kind[-1:]]),
            )
    return alone


def moved(result: xr.Dataset, well: str, channel: str, *, shift: float = 0.0, log_left: float = 0.0) -> Clusters | None:
    """The mixture of a well in one channel, shifted, and with what is left of the distance between its clusters."""
    own = _mode(result, well, channel)
    if not own:
        return None
    # What says how amplitudes grow with the number of molecules, if they do.
    rho, step = ([own.pop(name)] if name in own else [] for name in ("probit_rho", "log_step_sd"))
    model: Any = GaussianMixture.from_json(str(result.attrs[f"model {channel}"]))
    names, K = model.component_names, model.n_components
    kind = np.array([_KIND_OF[name.split(" ")[0]] for name in names])
    at = np.array([*own.values()])
    means = model.means.at(np.array([*(at[-4:-1] + np.array([shift, 0.0, log_left])), *rho]), K)
    sds = model.covariances.at(np.array([at[-1], *step]) if step else at[-1], means)[:, 0, 0]
    return Clusters(weights=np.exp(model.weights.at(at[:-4], K)), means=means[:, 0], sds=sds, kind=kind)


def in_pair(
    result: xr.Dataset, well: str, pair: tuple[str, ...]
) -> tuple[Array, Array, tuple[list[Clusters], list[Clusters]] | None]:
    """Shares of --, +-, -+, ++, correlations within them, and each channel's mixture as it is in each of them.

    None in place of the mixtures where one channel does nothing to the other.
    """
    there = result["pair"].to_numpy().tolist()
    swapped = " / ".join(pair) not in there
    at = Row(result, well=well, pair=" / ".join(pair[::-1] if swapped else pair))
    order, turned = ([0, 2, 1, 3], [1, 0, 3, 2]) if swapped else ([0, 1, 2, 3], [0, 1, 2, 3])
    shares, correlations = (at[name][order] for name in ("cluster_share", "cluster_correlation"))
    shares = np.maximum(shares, np.finfo(float).tiny)  # none of the counted droplets may be in a cluster
    sizes = at["effect_size"][turned]
    if not np.isfinite(sizes).all():
        return shares, np.zeros(4), None
    correlations = np.nan_to_num(correlations)  # counted droplets say nothing of them
    gaps = np.exp([_mode(result, well, channel)["log_gap"] for channel in pair])
    left = 1.0 - sizes[2:]
    four: tuple[list[Clusters], list[Clusters]] = ([], [])
    for c, d in ((0, 1), (1, 0)):
        for q in range(4):
            both = HAS[:, q].all()
            shift = sizes[d] * gaps[d] * HAS[d, q] * (left[d] if both else 1.0)
            found = moved(result, well, pair[c], shift=shift, log_left=float(np.log(left[c])) if both else 0.0)
            assert found is not None
            four[c].append(found)
    return shares, correlations, four


def _mode(result: xr.Dataset, well: str, channel: str) -> dict[str, float]:
    """Parameters of a well by their names; none where there was no fit."""
    places = {dim: result.get_index(dim).get_loc(label) for dim, label in (("well", well), ("channel", channel))}
    variable = result.variables["mode"]
    mode = variable.values[tuple(places.get(str(dim), slice(None)) for dim in variable.dims)]
    known = np.isfinite(mode)
    return dict(zip(result.get_index("parameter")[known].tolist(), mode[known].tolist(), strict=True))


def check_result(result: Any) -> None:
    """Raise where it is not what `ddpcr.quantify` returned."""
    needs = ("copies_per_droplet", "copies_per_ul_total_upper", "threshold", "flags")
    check_table(result, "ddpcr.quantify", "result", needs=needs)


def channel_in(result: xr.Dataset, channel: str | None) -> str:
    """A channel of the result; the only one if left out."""
    there = [str(name) for name in result["channel"].to_numpy()]
    if channel is None and len(there) == 1:
        return there[0]
    if not isinstance(channel, str) or channel not in there:
        raise InputError("channel", f"got {as_written(channel)}", f"The result has {listed(there, show=str)}")
    return channel


def well_in(result: xr.Dataset, well: str) -> str:
    """A well of the result."""
    there = [str(name) for name in result["well"].to_numpy()]
    if not isinstance(well, str) or well not in there:
        raise InputError("well", f"got {as_written(well)}", f"The result has {listed(there, show=str)}")
    return well


def amplitudes(plate: Any, well: str, channel: str) -> Array:
    """Amplitudes of all droplets of a well, shape (n,)."""
    if not hasattr(plate, "channels") or not hasattr(plate, "table"):
        raise InputError("plate", f"got {type(plate).__name__}", "Give the plate that was quantified")
    return np.asarray(plate[well].channel(channel), dtype=float)


def measured(result: xr.Dataset, channel: str) -> str:
    """What a channel measures: its target (and the channel, if two have the same), or the channel if none is named."""
    names = [str(name) for name in result["channel"].to_numpy()]
    targets = [str(Row(result, channel=name)["target"]) for name in names]
    own = targets[names.index(channel)]
    return f"{own} ({channel})" if targets.count(own) > 1 else own


def measured_pair(result: xr.Dataset, pair: str) -> str:
    """The targets of two channels, the first over the second."""
    return " / ".join(measured(result, channel) for channel in pair.split(" / "))


def by_target(result: xr.Dataset, told: str) -> str:
    """A sentence with the names of targets in place of those of channels."""
    names = {str(name): measured(result, str(name)) for name in result["channel"].to_numpy()}
    every = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.sub(rf"(?<!\w)(?:{every})(?!\w)", lambda match: names[match[0]], told)


def names_of_clusters(result: xr.Dataset, pair: tuple[str, str]) -> tuple[str, str, str, str]:
    """Names of the four clusters of two channels."""
    first, second = (measured(result, channel) for channel in pair)
    return "neither", f"{first} only", f"{second} only", "both"


def wrapped(told: str, inches: float) -> str:
    """Text of medium size in lines that are no longer than this."""
    return textwrap.fill(told, max(12, int(inches * _POINTS_PER_INCH / _POINTS_PER_LETTER)))


def title_of(ax: Axes, told: str) -> str:
    """A title in lines that fit above the panels of a figure."""
    figure = ax.get_figure(root=True)
    return wrapped(told, _TITLE * (figure.get_figwidth() if figure is not None else 8.0))


def amplitude_axis(result: xr.Dataset, channel: str) -> str:
    """Name of an axis of amplitudes."""
    return f"amplitude of {measured(result, channel)} (unit of the instrument)"


def beside_panel(told: str) -> str:
    """The name of an axis, in lines that fit beside a panel as wide as high."""
    return wrapped(told, _SIDE)


def contents(result: xr.Dataset, well: str) -> str:
    """What is in a well: its sample, or that it is a control."""
    row = Row(result, well=well)
    name = str(row["well_sample"])
    if bool(row["ntc"]):
        return "no template" if name in (well, "NTC") else f"{name} (no template)"
    kind = str(row["control"]) if "control" in result.coords else ""
    told = f"{kind.replace('_', '-')} control" if kind else ""
    return name if told.lower() in name.lower() else f"{name} ({told})"


def split_flags(flags: str) -> list[str]:
    """The sentences in flags; what is in brackets stays together."""
    return [each for each in re.split(r"; (?![^()]*\))", flags) if each]


def flags_of(result: xr.Dataset, well: str, channel: str) -> list[str]:
    """What must be said of a well, without what every control should have: no positives."""
    row = Row(result, well=well, channel=channel)
    told = [by_target(result, each) for each in split_flags(str(row["flags"]))]
    return [each for each in told if not (bool(row["ntc"]) and each.startswith(NO_POSITIVES))]


def interval(middle: float, lower: float, upper: float) -> str:
    """An estimate with its interval, or the bound that is known."""
    if not np.isfinite(middle):
        return "no estimate"
    if not np.isfinite(upper):
        return f"above {digits(lower, lower)}"
    if lower <= 0.0:
        return f"below {digits(upper, upper)}"
    width = upper - lower
    return f"{digits(middle, width)} ({digits(lower, width)} to {digits(upper, width)})"


def digits(value: float, width: float) -> str:
    """A number with two digits of an interval this wide; without an exponent."""
    if not np.isfinite(value):
        return "–"
    width = abs(width) if np.isfinite(width) and width != 0 else abs(value) or 1.0
    places = int(np.clip(1 - np.floor(np.log10(width)), 0, 8))
    return f"{value:,.{places}f}".replace("-", "−")


def by_sample(result: xr.Dataset) -> list[str]:
    """Wells in the order of samples and replicates, controls last."""
    wells = [str(name) for name in result["well"].to_numpy()]
    samples = result["well_sample"].to_numpy().astype(str)
    places = {name: i for i, name in enumerate(result["sample"].to_numpy().astype(str))}
    ntc, dilution = result["ntc"].to_numpy(), result["dilution"].to_numpy()
    keys = [(bool(ntc[i]), places.get(samples[i], 0), dilution[i], wells[i]) for i in range(len(wells))]
    return [wells[i] for i in sorted(range(len(wells)), key=keys.__getitem__)]


def groups(result: xr.Dataset, order: list[str]) -> list[tuple[str, int, int]]:
    """Runs of one sample: its name, and places from and to (exclusive)."""
    out: list[tuple[str, int, int]] = []
    for i, well in enumerate(order):
        row = Row(result, well=well)
        name = "no template" if bool(row["ntc"]) else str(row["well_sample"])
        if out and out[-1][0] == name:
            out[-1] = (name, out[-1][1], i + 1)
        else:
            out.append((name, i, i + 1))
    return out


def name_wells(ax: Axes, result: xr.Dataset, order: list[str]) -> float:
    """Names of wells on the axis, those of samples above, and a shade behind every other sample.

    Returns how high the names of samples are, in points.
    """
    size = next(size for most, size in _SIZES if len(order) <= most)
    ax.set_xticks(np.arange(len(order)), order, rotation=90, fontsize=size)
    ax.tick_params(axis="x", length=0)
    figure = ax.get_figure(root=True)
    width = 72.0 * (figure.get_figwidth() if figure is not None else 8.0) * 0.8 / len(order)  # points a well
    above = 0.0
    for number, (name, begin, end) in enumerate(groups(result, order)):
        if number % 2:
            ax.axvspan(begin - 0.5, end - 0.5, color=GREY, alpha=0.12, linewidth=0, zorder=0)
        # Points of text: letters are about half as wide as high. Words are put below each other where they fit so.
        room = int(width * (end - begin) / _POINTS_PER_SMALL)
        lines = textwrap.wrap(name, max(room, 1), break_long_words=False)
        flat = len(lines) <= _MOST_LINES and max(map(len, lines), default=0) <= room
        if not flat:
            lines = textwrap.wrap(name, _LONGEST_LINE)
        line = 12.0 * len(lines)
        above = max(above, line + 2.0 if flat else line + 3.4 * max(map(len, lines), default=0))
        ax.annotate(
            "\n".join(lines),
            ((begin + end - 1) / 2, 1.0),
            (0.0, 3.0),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            ha="center" if flat else "left",
            va="bottom",
            rotation=0 if flat else 40,
            rotation_mode="anchor",
            fontsize="small",
            parse_math=False,
        )
    return above
