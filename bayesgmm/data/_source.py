"""Where rows came from, so that a table about them can be put beside them: the library, and the index of pandas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

# Libraries with tables in memory that rows can be given back in.
LIBRARIES = ("pandas", "polars", "pyarrow")


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """The library of a table and its index.

    Parameters
    ----------
    library : str
        One of `LIBRARIES`; pandas for everything that is no table.
    index : pandas.Index, optional
        None where rows have positions only.
    lost : str
        Type of an entry of the index that a stored result could not hold; empty where nothing was lost.
    """

    library: str = "pandas"
    index: Any = None
    lost: str = ""

    @property
    def _of_several(self) -> bool:
        return type(self.index).__name__ == "MultiIndex"  # which may have one level

    @property
    def plain(self) -> bool:
        """Whether there is nothing to be stored."""
        return self.library == "pandas" and self.index is None

    def stored(self) -> tuple[dict[str, np.ndarray], str]:
        """Variables (obs,) and a text that a file can hold; `restored` is the inverse.

        A single level of plain labels is not stored twice: labels of rows, or their positions, hold it.
        """
        levels, variables = [], {}
        if self.index is not None:
            for j in range(self.index.nlevels):
                level = self.index.get_level_values(j)
                kind = _kept_as(level)
                levels.append({"name": _entry(level.name), "dtype": str(level.dtype), "kind": kind})
                if kind == "plain" and self._of_several:
                    variables[f"index_{j}"] = level.to_numpy(dtype=None if level.dtype.kind in "iufM" else np.str_)
                elif kind == "entries":
                    variables[f"index_{j}"] = np.array([json.dumps(_entry(each)) for each in level], dtype=np.str_)
        return variables, json.dumps({"library": self.library, "levels": levels, "of_several": self._of_several})

    @staticmethod
    def restored(variables: Mapping[str, np.ndarray], text: str, obs: np.ndarray) -> Source:
        """Read what `stored` wrote, beside the labels of rows."""
        import pandas as pd

        plain = json.loads(text)
        if not plain["levels"]:
            return Source(library=plain["library"])
        levels = []
        for j, level in enumerate(plain["levels"]):
            name, dtype = _value(level["name"]), level["dtype"]
            if level["kind"] not in ("plain", "entries"):
                return Source(library=plain["library"], lost=level["kind"])
            values = variables.get(f"index_{j}", obs)
            if level["kind"] == "entries":
                values = [_value(json.loads(str(each))) for each in values]
                levels.append(_index(values, dtype, name))
            else:
                levels.append(_index(np.asarray(values), dtype, name))
        index = pd.MultiIndex.from_arrays(levels) if plain["of_several"] else levels[0]
        return Source(library=plain["library"], index=index)


# Of arrays.
NO_SOURCE = Source()


def _index(values: Any, dtype: str, name: Any) -> Any:
    import pandas as pd

    if dtype.startswith("datetime64[") and "," in dtype:  # single times know their offset only
        return pd.Index(pd.to_datetime(values, utc=True), name=name).astype(dtype)
    # Categories are lost, and objects are told by what they are; an index of the same values is found all the same.
    if dtype in ("category", "object"):
        return pd.Index(values, dtype=object if dtype == "object" else None, name=name, tupleize_cols=False)
    return pd.Index(values, name=name).astype(dtype)


def _kept_as(level: Any) -> str:
    """How a level is stored: "plain", as "entries" one by one, or else the type that cannot be."""
    if isinstance(level.dtype, np.dtype) and level.dtype.kind in "iufM":
        return "plain"
    if not level.hasnans and all(type(each) is str for each in level):
        return "plain"
    for each in level:
        try:
            _entry(each)
        except TypeError:
            return type(each).__name__
    return "entries"


def _entry(value: Any) -> list[Any]:
    """One label as plain JSON, with its kind in front."""
    import pandas as pd

    if value is None:
        return ["none"]
    if value is pd.NaT:
        return ["NaT"]
    if value is pd.NA:
        return ["NA"]
    if isinstance(value, (bool, np.bool_)):
        return ["bool", bool(value)]
    if isinstance(value, str):
        return ["str", str(value)]
    if isinstance(value, (int, np.integer)) and not isinstance(value, np.timedelta64):
        return ["int", str(int(value))]
    if isinstance(value, (float, np.floating)):
        return ["float", float(value).hex()]
    if isinstance(value, (datetime, np.datetime64)):
        return ["timestamp", pd.Timestamp(value).isoformat()]
    if isinstance(value, date):
        return ["date", value.isoformat()]
    if isinstance(value, (timedelta, np.timedelta64)):
        return ["timedelta", pd.Timedelta(value).isoformat()]
    if isinstance(value, pd.Period):
        return ["period", str(value.ordinal), value.freqstr]
    if isinstance(value, pd.Interval):
        return ["interval", _entry(value.left), _entry(value.right), value.closed]
    if isinstance(value, tuple):
        return ["tuple", *map(_entry, value)]
    raise TypeError(type(value).__name__)


def _value(entry: list[Any]) -> Any:
    """The inverse of `_entry`."""
    import pandas as pd

    kind, *rest = entry
    if kind == "tuple":
        return tuple(map(_value, rest))
    if kind == "interval":
        return pd.Interval(_value(rest[0]), _value(rest[1]), rest[2])
    if kind == "period":
        return pd.Period(ordinal=int(rest[0]), freq=rest[1])
    constants = {"none": None, "NaT": pd.NaT, "NA": pd.NA}
    if kind in constants:
        return constants[kind]
    readers: dict[str, Any] = {
        "bool": bool,
        "str": str,
        "int": int,
        "float": float.fromhex,
        "timestamp": pd.Timestamp,
        "date": date.fromisoformat,
        "timedelta": pd.Timedelta,
    }
    return readers[kind](rest[0])
