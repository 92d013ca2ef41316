"""A table with one row a component that is read from top to bottom, however many features there are."""

from __future__ import annotations

import html
import textwrap
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesgmm import _schema as names

Array = NDArray[np.float64]

# Letters side by side, and lines below each other.
_WIDTH = 120
_MOST_LINES = 100
# Beyond so many decimals, or such numbers, as powers of 10.
_MOST_DECIMALS = 8
_LARGEST = 1e8


class SummaryTable(pd.DataFrame):
    """What `summary` returns: a DataFrame that prints with one column a component and an interval in one cell.

    Printed as it is, 30 features with their intervals would be 185 columns side by side. Whatever else is done with it
    is done to the DataFrame, and a part of it without the columns of members prints as any DataFrame does.
    """

    @property
    def _constructor(self) -> type[SummaryTable]:
        return SummaryTable

    def __repr__(self) -> str:
        if not is_summary(self):
            return super().__repr__()
        text = turned(self).to_string(max_rows=_MOST_LINES, line_width=_WIDTH)
        return "\n".join([text, *_remarks(self)])

    def _repr_html_(self) -> str | None:  # type: ignore[override]
        if not is_summary(self):
            return super()._repr_html_()  # type: ignore[operator]
        remarks = "".join(f"<div>{html.escape(line)}</div>" for line in _remarks(self))
        return f"<div>{turned(self).to_html(max_rows=_MOST_LINES, border=0)}{remarks}</div>"


def is_summary(frame: pd.DataFrame) -> bool:
    """Whether all rows are components with their members, each column there once."""
    there = {"members", "uncertain", "note"} <= set(frame.columns) and frame.columns.is_unique
    return there and frame.index.name == names.COMPONENT and len(frame) > 0


def turned(frame: pd.DataFrame) -> pd.DataFrame:
    """The numbers as text: one row a quantity, one column a component, intervals beside their numbers."""
    ends = ("_lower", "_upper")
    rows: dict[Any, list[str]] = {
        column: [f"{value:,.10g}" for value in frame[column]] for column in ("members", "uncertain")
    }
    for column in frame.columns:
        if column in ("note", *rows) or (column.endswith(ends) and column.rsplit("_", 1)[0] in frame.columns):
            continue
        values = frame[column].to_numpy(dtype=float)
        bounds = [frame[column + end].to_numpy(dtype=float) for end in ends if column + end in frame.columns]
        scale = _scale(column, values, bounds, frame)
        cells = [_text(value, scale) for value in values]
        if len(bounds) == len(ends):
            low, high = ([_text(value, scale) for value in bound] for bound in bounds)
            cells = [f"{cell} ({a}, {b})" for cell, a, b in zip(cells, low, high, strict=True)]
        rows[column] = cells
    index = pd.Index(frame.index, name=names.COMPONENT)
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(frame.index)).rename_axis(columns=index.name)


def _scale(column: str, values: Array, bounds: list[Array], frame: pd.DataFrame) -> float:
    """The size of which two digits are of interest: half an interval, a tenth of an sd, a tenth of the number."""
    if len(bounds) == 2:
        sizes = 0.5 * (bounds[1] - bounds[0])
    elif column.startswith("mean[") and (sd := "sd" + column.removeprefix("mean")) in frame.columns:
        sizes = 0.1 * frame[sd].to_numpy(dtype=float)
    else:
        sizes = 0.1 * np.abs(values)
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    return float(sizes.min()) if sizes.size else 0.0


def _text(value: float, scale: float) -> str:
    if not np.isfinite(value) or scale <= 0:
        return f"{value:.4g}"
    decimals = 1 - int(np.floor(np.log10(scale)))
    if decimals <= _MOST_DECIMALS and abs(value) < _LARGEST:
        return f"{value:.{max(decimals, 0)}f}"
    digits = 2 if value == 0 else int(np.ceil(np.log10(abs(value) / scale))) + 2
    return f"{value:.{min(max(digits, 4), 17)}g}"


def _remarks(frame: pd.DataFrame) -> list[str]:
    lines = [f"component {k}: {note}" for k, note in zip(frame.index, frame["note"].tolist(), strict=True) if note]
    lines += [str(frame.attrs[name]) for name in (names.FEWER_GROUPS, names.CAVEAT) if name in frame.attrs]
    if "weight_lower" in frame.columns and "interval" in frame.attrs:
        lines.append(f"In brackets: {frame.attrs['interval']} intervals")
    lines.append(f"[a DataFrame of {len(frame)} rows, one a component, and {frame.shape[1]} columns]")
    return [each for line in lines for each in textwrap.wrap(line, _WIDTH)]
