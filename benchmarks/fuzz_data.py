"""Random calls of `as_data`, each held against what was put in: values as read, or an InputError.

    python benchmarks/fuzz_data.py [--calls 24000] [--seed 0]

A case is made from the truth outwards: numbers for every row and column, labels of rows, and then a container for each
argument, in which rows may stand in another order, entries be missing or masked, dimensions be turned round, or
something be wrong. What has to come out follows from how the case was made and not from code of the package. Prints
how many calls of each container and each argument came out right, and exits with 1 if one did not.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse
import xarray as xr

import bayesgmm as bg

NAN = float("nan")
# Names that say for sure which dimension is which, and names that do as a rule: these turn nothing round.
SURE_ROWS, SURE_COLUMNS = ("obs", "n_obs", "Rows", "observation"), ("feature", "variables", "column")
LIKELY_ROWS, LIKELY_COLUMNS = ("sample", "Cells", "patient_id", "time"), ("genes", "channel", "marker", "sensor")
ROW_DIMENSIONS = (*SURE_ROWS, *LIKELY_ROWS)
LABELS = ("none", "default", "texts", "integers", "shuffled", "floats", "dates", "tuples", "repeated")


@dataclass
class Case:
    """Arguments, and what has to come out: fields of `Data`, or nothing where an InputError is due."""

    arguments: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    containers: dict[str, str] = field(default_factory=dict)


def make_labels(rng: np.random.Generator, kind: str, n: int) -> list[Any] | None:
    """Labels of n rows, or None."""
    if kind == "none":
        return None
    return {
        "default": list(range(n)),
        "texts": [f"r{i}" for i in rng.permutation(n)],
        "integers": [int(i) + 100 for i in rng.permutation(n)],
        "shuffled": rng.permutation(n).tolist(),
        "floats": [0.5 + i for i in rng.permutation(n)],
        "dates": [pd.Timestamp(2020, 1, 1 + int(i)) for i in rng.permutation(n)],
        "tuples": [("ab"[i % 2], int(i)) for i in rng.permutation(n)],
        "repeated": ["p"] * (n - 1) + ["q"],
    }[kind]


def index_of(labels: list[Any]) -> pd.Index:
    """A pandas index of labels."""
    return pd.MultiIndex.from_tuples(labels) if isinstance(labels[0], tuple) else pd.Index(labels)


# ---------------------------------------------------------------------------------------------------------------------
# Containers: each takes columns {name: list} of numbers, None where missing, and labels; and says which of names and
# labels it keeps. Nothing is returned where it cannot hold such columns.


def as_arrays(columns: dict[str, list[Any]]) -> np.ndarray:
    """The columns side by side as floats, NaN where missing."""
    return np.array([[NAN if v is None else v for v in column] for column in columns.values()], dtype=float).T


def whole(columns: dict[str, list[Any]]) -> bool:
    """Whether all are integers and none is missing."""
    return all(isinstance(v, int) for column in columns.values() for v in column)


def table(kind: str, columns: dict[str, list[Any]], labels: list[Any] | None, rng: np.random.Generator) -> Any:
    """A two-dimensional container, or None."""
    array = as_arrays(columns)
    names = list(columns)
    if kind == "array":
        return array
    if kind == "fortran":
        return np.asfortranarray(array)
    if kind == "integers":
        return array.astype(rng.choice([np.int64, np.int16, np.int8, np.float32])) if whole(columns) else None
    if kind == "objects":
        return np.array(list(zip(*columns.values(), strict=True)), dtype=object)
    if kind == "masked":
        # What stands under a mask is a number that would be seen.
        return np.ma.array(np.where(np.isnan(array), 7.0, array), mask=np.isnan(array))
    if kind == "masked integers":
        holes = np.isnan(array)
        held = np.where(holes, 7, array)
        return np.ma.array(held.astype(int), mask=holes) if (held == np.round(held)).all() else None
    if kind == "list":
        return [list(row) for row in zip(*columns.values(), strict=True)]
    if kind == "list of masked":
        return [np.ma.array(np.where(np.isnan(row), 7.0, row), mask=np.isnan(row)) for row in array]
    if kind == "list with masked":
        return [[np.ma.masked if v is None else v for v in row] for row in zip(*columns.values(), strict=True)]
    if kind == "decimals":
        return [
            tuple(None if v is None else Decimal(str(v)) for v in row) for row in zip(*columns.values(), strict=True)
        ]
    if kind == "pandas":
        return pd.DataFrame(array, columns=names, index=None if labels is None else index_of(labels))
    if kind == "pandas nullable":
        kinds = {
            name: "Int64" if all(v is None or isinstance(v, int) for v in c) else "Float64"
            for name, c in columns.items()
        }
        held = {
            name: pd.array([pd.NA if v is None else v for v in c], dtype=kinds[name]) for name, c in columns.items()
        }
        return pd.DataFrame(held, index=None if labels is None else index_of(labels))
    if kind == "polars":
        return pl.DataFrame(
            {name: pl.Series(name, [None if v is None else float(v) for v in c]) for name, c in columns.items()}
        )
    if kind == "polars lazy":
        return table("polars", columns, labels, rng).lazy()
    if kind == "pyarrow":
        return pa.table({name: pa.array([None if v is None else float(v) for v in c]) for name, c in columns.items()})
    if kind == "dict":
        return {name: list(c) for name, c in columns.items()}
    if kind == "dict of Series":
        index = None if labels is None else index_of(labels)
        return {name: pd.Series(array[:, j], index=index) for j, name in enumerate(names)}
    if kind == "Dataset":
        coords = {} if labels is None else {"obs": index_of(labels)}
        return xr.Dataset({name: ("obs", array[:, j]) for j, name in enumerate(names)}, coords=coords)
    if kind.startswith("DataArray"):
        if kind.endswith("unnamed"):
            return xr.DataArray(array)
        rows, cols = str(rng.choice(ROW_DIMENSIONS)), str(rng.choice([*SURE_COLUMNS, *LIKELY_COLUMNS]))
        if kind.endswith("turned"):
            which = int(rng.integers(3))  # one sure name is enough
            rows = str(rng.choice(SURE_ROWS)) if which else rows
            cols = str(rng.choice(SURE_COLUMNS)) if which != 1 else "v"
        elif kind.endswith("turned likely"):
            rows, cols = str(rng.choice(LIKELY_ROWS)), str(rng.choice(LIKELY_COLUMNS))
        elif kind.endswith("rows named"):
            cols = "v"
        coords: dict[str, Any] = {cols: names}
        if labels is not None:
            coords[rows] = index_of(labels)
        made = xr.DataArray(array, dims=(rows, cols), coords=coords)
        return made.T if "turned" in kind else made
    raise ValueError(kind)


TABLES = (
    "array fortran integers objects masked;masked integers;list;list of masked;list with masked;decimals;pandas;"
    "pandas nullable;polars;polars lazy;pyarrow;dict;dict of Series;Dataset;DataArray;DataArray turned;"
    "DataArray turned likely;DataArray unnamed;DataArray rows named"
)
TABLE_KINDS = tuple(TABLES.split(";")[0].split()) + tuple(TABLES.split(";")[1:])
KEEP_LABELS = (
    "pandas",
    "pandas nullable",
    "dict of Series",
    "Dataset",
    "DataArray",
    "DataArray turned",
    "DataArray rows named",
)
KEEP_LABELS += ("Series", "Series nullable", "frame", "masked Series")
KEEP_NAMES = (*KEEP_LABELS, "polars", "polars lazy", "pyarrow", "dict")


def column(kind: str, entries: list[Any], labels: list[Any] | None, rng: np.random.Generator) -> Any:
    """A one-dimensional container, or None; entries are numbers or texts, None where missing."""
    texts = any(isinstance(v, str) for v in entries)
    index = None if labels is None else index_of(labels)
    holes = [v is None for v in entries]
    held = [("x" if texts else 7) if v is None else v for v in entries]
    if kind == "list":
        return list(entries)
    if kind == "tuple with masked":
        return tuple(np.ma.masked if v is None else v for v in entries)
    if kind == "array":
        return np.array(entries, dtype=object) if any(holes) else np.array(entries)
    if kind == "masked":
        return np.ma.array(held, mask=holes)
    if kind == "Series":
        mixed = texts or any(holes) or len({type(v) for v in entries}) > 1
        return pd.Series(entries, index=index, dtype=object if mixed else None)
    if kind == "Series nullable":
        kinds = "string" if texts else "Int64" if all(isinstance(v, int) for v in held) else "Float64"
        return pd.Series(pd.array([pd.NA if v is None else v for v in entries], dtype=kinds), index=index)
    if kind == "frame":
        return column("Series", entries, labels, rng).to_frame("name")
    if kind == "polars":
        return pl.Series(entries, strict=False)
    if kind == "pyarrow":
        return pa.array(entries)
    if kind == "pyarrow chunked":
        return pa.chunked_array([entries])
    if kind.startswith("DataArray"):
        name = "dim_0" if kind.endswith("unnamed") else str(rng.choice(ROW_DIMENSIONS))
        array = np.array(entries, dtype=object) if any(holes) or texts else np.array(entries)
        return xr.DataArray(array, dims=name, coords={} if index is None or kind.endswith("unnamed") else {name: index})
    raise ValueError(kind)


COLUMN_KINDS = (
    "list",
    "tuple with masked",
    "array",
    "masked",
    "Series",
    "Series nullable",
    "frame",
    "polars",
    "pyarrow",
)
COLUMN_KINDS += ("pyarrow chunked", "DataArray", "DataArray unnamed")


# ---------------------------------------------------------------------------------------------------------------------
# What has to come out where labels meet


def beside(own: list[Any] | None, given: list[Any] | None, n: int, *, known: bool) -> list[int] | str | None:
    """Which given entry belongs to each row: places, None for their order, or "wrong" for an InputError."""
    if own is None or given is None:
        return None
    if own == given:
        return None
    positions = list(range(n))
    common = set(own) & set(given)
    if positions in (own, given) and not common:
        return None
    same = len(set(own)) == len(set(given)) == n and set(own) == set(given)
    return [given.index(label) for label in own] if same and (known or own != positions) else "wrong"


def other_labels(rng: np.random.Generator, own: list[Any] | None, n: int) -> tuple[list[Any] | None, str]:
    """Labels of what is put beside the rows, and how they were made."""
    how = str(rng.choice(["none", "same", "permuted", "other kind", "one differs", "overlapping"]))
    if how == "none" or own is None:
        return make_labels(rng, str(rng.choice(["none", "default", "texts", "shuffled"])), n), "independent"
    if how == "same":
        return list(own), how
    if how == "permuted":
        return [own[i] for i in rng.permutation(n)], how
    if how == "one differs":
        return [
            *own[:-1],
            {str: "other", int: 999, float: 99.5, tuple: ("z", 99)}.get(type(own[-1]), pd.Timestamp(1999, 1, 1)),
        ], how
    if how == "overlapping" and own == list(range(n)):
        return [i + 1 for i in own], how
    return make_labels(rng, str(rng.choice(["default", "texts", "integers"])), n), "other kind"


# ---------------------------------------------------------------------------------------------------------------------
# Cases


def number(rng: np.random.Generator) -> float | int:
    """A number that every container holds exactly."""
    return int(rng.integers(-9, 10)) if rng.random() < 0.5 else float(rng.integers(-40, 41)) / 8


def make_case(rng: np.random.Generator) -> Case:
    """One call."""
    case = Case()
    n, d = int(rng.integers(2, 8)), int(rng.integers(1, 5))
    names = [str(name) for name in rng.permutation(["a", "b c", "d", "e"])[:d]]
    holes = rng.random() < 0.4
    only_whole = rng.random() < 0.3
    columns = {
        name: [
            None if holes and rng.random() < 0.2 else int(rng.integers(-9, 10)) if only_whole else number(rng)
            for _ in range(n)
        ]
        for name in names
    }
    labels = make_labels(rng, str(rng.choice(LABELS)), n)
    kind = str(rng.choice(TABLE_KINDS))
    values = table(kind, columns, labels, rng)
    if values is None:
        kind, values = "array", as_arrays(columns)
    own = labels if kind in KEEP_LABELS else None
    if own is None and kind in ("pandas", "pandas nullable", "dict of Series"):
        own = list(range(n))
    case.containers["values"] = kind
    case.arguments["values"] = values
    case.expected["values"] = as_arrays(columns)
    case.expected["feature_names"] = tuple(names) if kind in KEEP_NAMES else tuple(f"x{j}" for j in range(d))
    known = True
    if kind == "DataArray turned likely":
        case.wrong.append("values: which dimension is the rows")
    elif rng.random() < 0.15:
        spoil_values(case, rng)
    elif rng.random() < 0.15:
        case.arguments["values"] = bg.as_data(values)
        case.containers["values"] = f"Data of {kind}"
        known = False
        if own is None:
            own = list(range(n))
    for name in ("counts", "weights", "groups", "noise", "known_labels"):
        if rng.random() < 0.3 and not (name == "weights" and "counts" in case.arguments):
            put_beside(case, name, rng, n, names, own, known)
    return case


def put_beside(
    case: Case, name: str, rng: np.random.Generator, n: int, names: list[str], own: list[Any] | None, known: bool
) -> None:
    """One more argument."""
    given, _ = other_labels(rng, own, n)
    if name == "groups":
        entries: list[Any] = [str(rng.choice(["u", "v", "w"])) for _ in range(n)]
        if rng.random() < 0.4:
            entries = rng.integers(0, 3, n).tolist()
    elif name == "known_labels":
        entries = [None if rng.random() < 0.3 else int(rng.integers(-1, 3)) for _ in range(n)]
    elif name == "counts":
        entries = rng.integers(0, 4, n).tolist()
        entries[int(rng.integers(n))] = 2
    elif name == "weights":
        entries = (rng.integers(0, 9, n) / 4).tolist()
        entries[int(rng.integers(n))] = 2.5
    else:
        put_noise(case, rng, n, names, own, given, known)
        return
    kind = str(rng.choice(COLUMN_KINDS))
    if rng.random() < 0.2:
        entries = spoil_entries(case, name, entries, rng)
    # Other containers make one type of several by themselves, or have none for such numbers.
    if case.wrong and case.wrong[-1] in (f"{name}: mixed", f"{name}: huge", "groups: NaN"):
        kind = str(rng.choice(["list", "Series", "frame"]))
    try:
        made = column(kind, entries, given, rng)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError, OverflowError):  # it cannot hold such entries
        kind, made = "list", list(entries)
    case.containers[name] = kind
    case.arguments[name] = made
    if len(entries) != n:
        case.wrong.append(f"{name}: length")
        return
    places = beside(own, labels_kept(kind, given, n), n, known=known)
    if places == "wrong":
        case.wrong.append(f"{name}: labels")
        return
    ordered = entries if places is None else [entries[i] for i in places]
    if case.wrong and case.wrong[-1].startswith(name):
        return
    if name == "known_labels":
        known = [-1 if v is None else v for v in ordered]
        seen = ~np.isnan(case.expected["values"]).all(axis=1)
        if any(v >= 0 and not row for v, row in zip(known, seen, strict=True)):
            case.wrong.append("known_labels: of a row without values")
            return
        ordered = known if any(v >= 0 for v in known) else None
    case.expected["counts" if name == "weights" else name] = ordered


def labels_kept(kind: str, given: list[Any] | None, n: int) -> list[Any] | None:
    """Labels that a container has."""
    if kind in ("Series", "Series nullable", "frame", "pandas"):
        return list(range(n)) if given is None else given
    return given if kind in ("DataArray", "DataArray turned") else None


def put_noise(
    case: Case,
    rng: np.random.Generator,
    n: int,
    names: list[str],
    own: list[Any] | None,
    given: list[Any] | None,
    known: bool,
) -> None:
    """Standard deviations or covariances of errors."""
    d = len(names)
    seen = case.expected["feature_names"]
    sds = rng.integers(1, 9, (n, d)) / 8.0
    form = str(rng.choice(["number", "by feature", "mapping", "table", "covariances", "one covariance", "wrong"]))
    case.containers["noise"] = form
    missing = np.isnan(case.expected["values"])
    if form == "number":
        case.arguments["noise"], expected = 0.25, np.full((n, d), 0.25)
    elif form == "by feature" and d > 1:
        order = rng.permutation(d)
        made = pd.Series(sds[0], index=list(seen)).iloc[order]
        case.arguments["noise"] = (
            made
            if rng.random() < 0.5
            else xr.DataArray(made.to_numpy(), dims="feature", coords={"feature": made.index})
        )
        expected = np.tile(sds[0], (n, 1))
    elif form == "mapping":
        case.arguments["noise"] = {str(seen[j]): float(sds[0, j]) for j in rng.permutation(d)}
        expected = np.tile(sds[0], (n, 1))
    elif form in ("covariances", "one covariance"):
        factor = rng.normal(size=(n if form == "covariances" else 1, d, d)) / 4
        covariances = factor @ np.swapaxes(factor, 1, 2) + 0.1 * np.eye(d)
        expected = np.broadcast_to(covariances, (n, d, d))
        expected = np.where(missing[:, :, None] | missing[:, None, :], 0.0, expected)
        case.arguments["noise"] = covariances
        if form == "covariances" and n > 1 and rng.random() < 0.6:
            turned, order = [int(i) for i in rng.permutation(3)], rng.permutation(d)
            dims = ["obs", "feature", "feature_bis"]
            coords: dict[str, Any] = {"feature": [seen[j] for j in order], "feature_bis": list(seen)}
            if given is not None:
                coords["obs"] = index_of(given)
            made = xr.DataArray(covariances[:, order], dims=dims, coords=coords)
            case.arguments["noise"] = made.transpose(*[dims[i] for i in turned])
            places = beside(own, given, n, known=known)
            if places == "wrong":
                case.wrong.append("noise: labels")
                return
            expected = np.broadcast_to(covariances if places is None else covariances[places], (n, d, d))
            expected = np.where(missing[:, :, None] | missing[:, None, :], 0.0, expected)
        case.expected["noise"] = expected
        return
    elif form == "wrong":
        case.arguments["noise"] = rng.choice(
            np.array(
                [
                    None,
                    "text",
                    -0.5,
                    -np.ones((n, d)),
                    np.ones((n + 1, d + 1)),
                    [True],
                    {"other": 1.0},
                    10**400,
                    float("inf"),
                    NAN,
                ],
                dtype=object,
            )
        )
        if case.arguments["noise"] is None:
            del case.arguments["noise"], case.containers["noise"]
            return
        # NaN is allowed where the value itself is missing.
        if isinstance(case.arguments["noise"], float) and np.isnan(case.arguments["noise"]) and missing.all():
            case.expected["noise"] = np.zeros((n, d))
            return
        case.wrong.append("noise")
        return
    else:
        kind = str(rng.choice(["pandas", "DataArray", "DataArray turned", "dict", "polars"]))
        case.containers["noise"] = kind
        columns = {str(seen[j]): sds[:, j].tolist() for j in rng.permutation(d)}
        case.arguments["noise"] = table(kind, columns, given, rng)
        places = beside(own, labels_kept(kind, given, n), n, known=known)
        if places == "wrong":
            case.wrong.append("noise: labels")
            return
        expected = sds if places is None else sds[places]
    case.expected["noise"] = expected


def spoil_entries(case: Case, name: str, entries: list[Any], rng: np.random.Generator) -> list[Any]:
    """Entries with something wrong in them."""
    bad = list(entries)
    at = int(rng.integers(len(bad)))
    how = str(rng.choice(["missing", "NaN", "length", "kind", "sign", "infinite", "huge", "mixed"]))
    if how == "length":
        return bad[:-1] if rng.random() < 0.5 else [*bad, bad[0]]
    if name == "groups":
        if how == "mixed":
            one, other = [(1, "1"), ("a", "a\0"), (2**53, str(2**53)), (b"a", "a"), (True, "True")][
                int(rng.integers(5))
            ]
            bad[0], bad[-1] = one, other
        elif how == "NaN":
            bad[at] = NAN
        else:
            bad[at] = None
    else:
        wrong = {"missing": None, "NaN": NAN, "kind": "text", "sign": -1, "infinite": float("inf"), "huge": 10**400}
        if name == "known_labels":  # missing is unknown
            wrong = {"missing": 0.5, "NaN": -2, "kind": "text", "sign": -3, "infinite": float("inf"), "huge": 10**400}
        bad[at] = (wrong | {"mixed": True})[how]
    case.wrong.append(f"{name}: {how}")
    return bad


def spoil_values(case: Case, rng: np.random.Generator) -> None:
    """Values that are none."""
    good = case.expected["values"]
    n, d = good.shape
    rows = [[0.0 if np.isnan(v) else float(v) for v in row] for row in good]

    def with_entry(entry: Any) -> list[list[Any]]:
        spoiled: list[list[Any]] = [list(row) for row in rows]
        spoiled[int(rng.integers(n))][int(rng.integers(d))] = entry
        return spoiled

    whole_rows, apart = np.array(rows), pd.Series([1.0, 2.0], index=["r", "s"])
    wrong: list[Any] = [with_entry(entry) for entry in ("text", True, 1j, float("inf"), 10**400, [1.0], np.str_("1"))]
    wrong += [with_entry(datetime(2020, 1, 1)), with_entry(np.timedelta64(1, "s"))]
    wrong += [3, True, NAN, "text", b"bytes", None, np.float64(1.0), pd.NaT, np.ma.masked, date(2020, 1, 1)]
    wrong += [{}, [], [[]], {1.0, 2.0}, iter(rows), object(), lambda: rows, [None, "a"], [1e151, 0.0]]
    wrong += [[*rows[:-1], [*rows[-1], 1.0]], {"a": [1.0, 2.0], "b": [1.0]}, [2**53, 2**53 + 1]]
    wrong += [whole_rows[None], np.empty((0, 2)), *(whole_rows.astype(kind) for kind in (bool, complex, str))]
    wrong += [np.array([(1.0, 2.0)], dtype=[("a", float), ("b", float)]), np.array(["2020-01-01"], dtype="M8[D]")]
    wrong += [pd.DataFrame(np.ones((n, 2)), columns=["a", "a"]), pd.DataFrame({"a": ["x"] * n}), pd.Index(["a", "b"])]
    wrong += [pd.Series(pd.date_range("2020", periods=n)), pd.Series(pd.Categorical(["u"] * n))]
    wrong += [pl.DataFrame({"a": [True] * n}), pa.table({"a": ["x", "y"]}), scipy.sparse.eye(3).tocsr()]
    wrong += [[apart, apart[::-1]], {"a": apart, "b": apart[::-1]}, xr.DataTree()]
    wrong += [xr.DataArray(np.ones((2, 2, 2))), xr.DataArray(np.arange(3.0), dims="feature")]
    wrong += [xr.DataArray(np.ones(shape), dims=("u", "v")) for shape in ((2, 5), (3, 3))]
    wrong += [xr.Dataset({"a": ("p", [1.0]), "b": ("q", [1.0])})]
    place = int(rng.integers(len(wrong)))
    case.arguments["values"] = wrong[place]
    case.wrong.append(f"values: wrong {place}")
    case.containers["values"] = "wrong"


# ---------------------------------------------------------------------------------------------------------------------


def outcome(case: Case) -> str:
    """What came out: "right", "refused rightly", or in capitals what is at fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = bg.as_data(**case.arguments)
    except bg.InputError as error:
        blamed = re.match(r"\w+", error.argument)
        if case.wrong and blamed and blamed[0] in {each.split(":")[0] for each in case.wrong}:
            return "refused rightly"
        return f"REFUSED {error}"
    except Exception as error:
        return f"FOREIGN {type(error).__name__}: {error}"
    if case.wrong:
        return f"SILENT {case.wrong}"
    for name, expected in case.expected.items():
        found = getattr(data, name)
        if name == "feature_names":
            same = found == expected
        elif name == "groups":
            same = found.tolist() == expected
        elif name == "noise":
            # What is kept of the error of a missing value does not matter.
            missing = np.isnan(case.expected["values"])
            unseen = missing if found.ndim == 2 else missing[:, :, None] | missing[:, None, :]
            close = found.shape == np.shape(expected) and np.isclose(found, expected, rtol=1e-12, atol=0)
            same = bool(np.all(close | unseen))
        elif expected is None:
            same = found is None
        else:
            same = found is not None and np.array_equal(found, np.array(expected, dtype=float), equal_nan=True)
        if not same:
            return f"SILENT {name}: {found!r} instead of {expected!r}"
    for name in ("counts", "groups", "noise", "known_labels"):
        if name not in case.expected and getattr(data, name) is not None:
            return f"SILENT {name} out of nothing"
    return "right"


def run(calls: int, seed: int) -> tuple[Counter[tuple[str, str]], list[tuple[int, Case, str]]]:
    """Outcomes by argument and container, and the cases at fault."""
    counts: Counter[tuple[str, str]] = Counter()
    faults = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages whose containers are made
        for i in range(calls):
            case = make_case(np.random.default_rng([seed, i]))
            found = outcome(case)
            short = found.split(" ")[0] if found.isupper() or found[0].isupper() else found
            counts["all", short] += 1
            for name, kind in case.containers.items():
                counts[f"{name}: {kind}", short] += 1
            if short not in ("right", "refused rightly"):
                faults.append((i, case, found))
    return counts, faults


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shown", type=int, default=20)
    options = parser.parse_args()
    counts, faults = run(options.calls, options.seed)
    kinds = ("right", "refused rightly", "REFUSED", "SILENT", "FOREIGN")
    print(f"{'argument: container':42}" + "".join(f"{kind:>17}" for kind in kinds))
    for name in sorted({name for name, _ in counts}, key=lambda name: (name == "all", name)):
        print(f"{name:42}" + "".join(f"{counts[name, kind]:17,}" for kind in kinds))
    for i, case, found in faults[: options.shown]:
        print(f"\n{i}: {found[:600]}\n    {case.containers} {case.wrong}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
