"""Small pictures of wells as inline SVG: hundreds of them are drawn in a second, and print sharp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.plots._droplets import COLORS, KINDS, Array, Clusters, Row, measured, names_of_clusters
from bayesgmm.plots._four_clusters import four_clusters
from bayesgmm.plots.ddpcr import CLUSTER_COLORS, limits
from bayesgmm.report._html import encoded, text

if TYPE_CHECKING:
    import xarray as xr

_WIDTH, _HEIGHT = 300, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 6, 6, 20
_BINS, _POINTS = 80, 110
_PIXELS = (260, 168)


def histogram(result: xr.Dataset, well: str, channel: str, x: Array, fitted: Clusters | None) -> str:
    """What `plots.plot_well` draws, without its words."""
    if not x.size:
        return _svg(f"{well}, {measured(result, channel)}", '<text x="150" y="85" class="m">no droplets</text>')
    low, high = limits(x, fitted)
    edges = np.linspace(low, high, _BINS + 1)
    counts = np.histogram(x, edges)[0].astype(float)
    top = 2.0 * max(int(counts.max()), 1)

    def place_x(value: Array) -> Array:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - low) / (high - low)

    def place_y(value: Array) -> Array:
        share = np.log(np.maximum(value, 0.5) / 0.5) / np.log(top / 0.5)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    parts = [_axis_y(top, place_y), _axis_x(low, high, place_x)]
    steps = np.repeat(place_x(edges), 2)
    heights = np.concatenate([[_HEIGHT - _BOTTOM], np.repeat(place_y(counts), 2), [_HEIGHT - _BOTTOM]])
    parts.append(f'<path class="h" d="{_path(steps, heights)}Z"/>')
    if fitted is not None:
        grid = np.linspace(low, high, _POINTS)
        expected = x.size * (edges[1] - edges[0]) * fitted.densities(grid)
        parts.append(_line("all", grid, expected.sum(axis=0), place_x, place_y))
        parts += [_line(kind, grid, expected[k], place_x, place_y) for k, kind in enumerate(KINDS)]
    threshold = float(Row(result, well=well, channel=channel)["threshold"])
    if low < threshold < high:
        at = float(place_x(np.array(threshold)))
        parts.append(f'<path class="t" d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
    return _svg(f"Amplitudes of {well}, {measured(result, channel)}", "".join(parts))


def scatter(result: xr.Dataset, well: str, pair: tuple[str, str], x: list[Array], fitted: list[Clusters | None]) -> str:
    """Droplets of a well in two channels, the first upwards, coloured by the most probable of four clusters."""
    from PIL import Image

    if not x[0].size:
        return _svg(f"{well} in two channels", '<text x="150" y="85" class="m">no droplets</text>')
    ends = [limits(each, found) for each, found in zip(x, fitted, strict=True)]
    shares = [np.clip((each - low) / (high - low), 0.0, 1.0) for each, (low, high) in zip(x, ends, strict=True)]
    wide, tall = _PIXELS
    column = np.minimum((shares[1] * wide).astype(int), wide - 1)
    line = tall - 1 - np.minimum((shares[0] * tall).astype(int), tall - 1)
    four = four_clusters(result, well, pair)
    cluster = np.zeros(x[0].size, dtype=int) if four is None else four.probabilities(x[0], x[1]).argmax(axis=1)
    # A droplet is a square of two by two; rare clusters are drawn last.
    pixels = np.zeros((tall, wide), dtype=np.uint8)
    for k in np.argsort(-np.bincount(cluster, minlength=4)):
        own = cluster == k
        for down in (0, 1):
            for along in (0, 1):
                pixels[np.minimum(line[own] + down, tall - 1), np.minimum(column[own] + along, wide - 1)] = k + 1
    image = Image.fromarray(pixels)
    colors = [(255, 255, 255), *(tuple(int(each[i : i + 2], 16) for i in (1, 3, 5)) for each in CLUSTER_COLORS)]
    image.putpalette([part for color in colors for part in color])
    (low_y, high_y), (low_x, high_x) = ends

    def place_x(value: Array) -> Array:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - low_x) / (high_x - low_x)

    def place_y(value: Array) -> Array:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - low_y) / (high_y - low_y)

    parts = [
        f'<image x="{_LEFT}" y="{_TOP}" width="{_WIDTH - _LEFT - _RIGHT}" height="{_HEIGHT - _TOP - _BOTTOM}" '
        f'preserveAspectRatio="none" href="{encoded(image, small=False)}"/>',
        _axis_x(low_x, high_x, place_x),
        _axis_lines(),
    ]
    for tick in _ticks(low_y, high_y):
        at = float(place_y(np.array(tick)))
        parts.append(f'<text x="{_LEFT - 4}" y="{at + 3:.1f}" class="e">{_short(tick)}</text>')
    thresholds = [float(Row(result, well=well, channel=channel)["threshold"]) for channel in pair]
    if low_y < thresholds[0] < high_y:
        parts.append(f'<path class="t" d="M{_LEFT} {float(place_y(np.array(thresholds[0]))):.1f}H{_WIDTH - _RIGHT}"/>')
    if low_x < thresholds[1] < high_x:
        parts.append(f'<path class="t" d="M{float(place_x(np.array(thresholds[1]))):.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
    return _svg(f"{well}: {measured(result, pair[0])} (upwards) against {measured(result, pair[1])}", "".join(parts))


def legend() -> str:
    """Names of the lines of `histogram`."""
    names = [("all", "all, as fitted"), *((kind, kind) for kind in KINDS), ("t", "threshold")]
    items = "".join(
        f'<span><svg class="key" viewBox="0 0 24 8"><path class="{kind}" d="M0 4H24"/></svg>{name}</span>'
        for kind, name in names
    )
    return f'<p class="legend">{items}</p>'


def colors() -> str:
    """The colours of `plots`, as CSS."""
    return "".join(f"path.{kind}{{stroke:{color}}}" for kind, color in COLORS.items())


def legend_of_clusters(result: xr.Dataset, pair: tuple[str, str]) -> str:
    """Names of the colours of `scatter`."""
    names = names_of_clusters(result, pair)
    items = "".join(
        f'<span><i style="background:{color}"></i>{text(name)}</span>'
        for name, color in zip(names, CLUSTER_COLORS, strict=True)
    )
    return f'<p class="legend">{items}</p>'


def _svg(what: str, inner: str) -> str:
    return f'<svg class="small" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(what)}">{inner}</svg>'


def _path(x: Array, y: Array) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def _line(kind: str, grid: Array, expected: Array, place_x: Any, place_y: Any) -> str:
    """The parts of a line that are above the floor."""
    above = expected > 0.5
    # One point below at each end, so that lines reach the floor.
    shown = above | np.append(above[1:], False) | np.append(False, above[:-1])
    runs = np.split(np.flatnonzero(shown), np.flatnonzero(np.diff(np.flatnonzero(shown)) > 1) + 1)
    d = "".join(_path(place_x(grid[run]), place_y(expected[run])) for run in runs if run.size > 1)
    return f'<path class="{kind}" d="{d}"/>' if d else ""


def _axis_lines() -> str:
    return f'<path class="a" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"/>'


def _axis_x(low: float, high: float, place_x: Any) -> str:
    out = []
    for tick in _ticks(low, high):
        at = float(place_x(np.array(tick)))
        out.append(f'<path class="a" d="M{at:.1f} {_HEIGHT - _BOTTOM}v3"/>')
        out.append(f'<text x="{at:.1f}" y="{_HEIGHT - 6}" class="m">{_short(tick)}</text>')
    return "".join(out)


def _axis_y(top: float, place_y: Any) -> str:
    out = [_axis_lines()]
    for power in range(int(np.floor(np.log10(top))) + 1):
        at = float(place_y(np.array(10.0**power)))
        out.append(f'<path class="g" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>')
        out.append(f'<text x="{_LEFT - 4}" y="{at + 3:.1f}" class="e">{10**power:,}</text>')
    return "".join(out)


def _ticks(low: float, high: float) -> list[float]:
    step = 10.0 ** np.floor(np.log10(high - low))
    step *= next(each for each in (0.2, 0.5, 1.0, 2.0, 5.0) if (high - low) / (step * each) <= 5.5)
    return [step * i for i in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _short(tick: float) -> str:
    return f"{tick + 0.0:,.10g}".replace("-", "−")
