"""Every container gives the same data; every input that cannot be used gives a message that says what to do."""

from __future__ import annotations

import copy
import datetime
import pickle
import re
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import xarray as xr

from bayesgmm._errors import InputError
from bayesgmm.data import Data, as_data

AB = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 50.0]])
AB.flags.writeable = False
A = AB[:, :1]
COLUMNS = {"a": [1.0, 2.0, 4.0], "b": [10.0, 20.0, 50.0]}
LABELS = ["r", "s", "r"]


def masked(values, mask):
    return np.ma.MaskedArray(values, mask=mask, copy=True)


def without_address(value):
    return re.sub(r"0x[0-9A-Fa-f]+", "", repr(value))


# input, values, feature_names, obs_names
ACCEPTED = {
    "array": (AB, AB, ("x0", "x1"), None),
    "array of one column": (A, A, ("x0",), None),
    "array 1-D": (AB[:, 0], A, ("x",), None),
    "array in Fortran order": (np.asfortranarray(AB), AB, ("x0", "x1"), None),
    "array reversed": (AB[::-1].copy()[::-1], AB, ("x0", "x1"), None),
    "array big-endian": (AB.astype(">f8"), AB, ("x0", "x1"), None),
    "matrix subclass": (AB.view(type("Sub", (np.ndarray,), {})), AB, ("x0", "x1"), None),
    "array int8": (AB.astype(np.int8), AB, ("x0", "x1"), None),
    "array uint64": (AB.astype(np.uint64), AB, ("x0", "x1"), None),
    "array float16": (AB.astype(np.float16), AB, ("x0", "x1"), None),
    "array longdouble": (AB.astype(np.longdouble), AB, ("x0", "x1"), None),
    "array of objects": (AB.astype(object), AB, ("x0", "x1"), None),
    "masked array, nothing masked": (masked(AB, False), AB, ("x0", "x1"), None),
    "read-only array": (np.broadcast_to(AB[0], (2, 2)), AB[[0, 0]], ("x0", "x1"), None),
    "nested list": (AB.tolist(), AB, ("x0", "x1"), None),
    "tuple of arrays": (tuple(AB), AB, ("x0", "x1"), None),
    "list 1-D": ([1, 2.0, np.int8(4)], A, ("x",), None),
    "list of decimals": ([Decimal(1), Fraction(2), 4], A, ("x",), None),
    "range": (range(3), np.array([[0.0], [1.0], [2.0]]), ("x",), None),
    "dict": (COLUMNS, AB, ("a", "b"), None),
    "dict of Series": ({k: pd.Series(v, index=LABELS) for k, v in COLUMNS.items()}, AB, ("a", "b"), LABELS),
    "dict with a number as key": ({1: [1, 2, 4]}, A, ("1",), None),
    "pandas DataFrame": (pd.DataFrame(COLUMNS), AB, ("a", "b"), None),
    "pandas labels": (pd.DataFrame(COLUMNS, index=LABELS), AB, ("a", "b"), LABELS),
    "pandas integer labels": (pd.DataFrame(COLUMNS, index=[7, 9, 7]), AB, ("a", "b"), [7, 9, 7]),
    "pandas labels that are positions": (pd.DataFrame(COLUMNS, index=[0, 1, 2]), AB, ("a", "b"), None),
    "pandas MultiIndex": (
        pd.DataFrame(COLUMNS, index=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)])),
        AB,
        ("a", "b"),
        ["a, 1", "a, 2", "b, 1"],
    ),
    "pandas MultiIndex columns": (
        pd.DataFrame(AB, columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
        AB,
        ("a, 1", "b, 2"),
        None,
    ),
    "pandas unnamed columns": (pd.DataFrame(AB), AB, ("0", "1"), None),
    "pandas nullable": (pd.DataFrame(COLUMNS).astype({"a": "Int64", "b": "float64[pyarrow]"}), AB, ("a", "b"), None),
    "pandas mixed types": (pd.DataFrame(COLUMNS).astype({"a": "uint8", "b": "float32"}), AB, ("a", "b"), None),
    "pandas sparse column": (pd.DataFrame(COLUMNS).astype(pd.SparseDtype(float)), AB, ("a", "b"), None),
    "pandas Series": (pd.Series(COLUMNS["a"], name="a", index=LABELS), A, ("a",), LABELS),
    "pandas Series without name": (pd.Series(COLUMNS["a"]), A, ("x",), None),
    "pandas decimals": (pd.Series([Decimal(1), 2, 4.0], dtype=object, name="a"), A, ("a",), None),
    "pandas Index": (pd.Index(COLUMNS["a"]), A, ("x",), None),
    "polars DataFrame": (pl.DataFrame(COLUMNS), AB, ("a", "b"), None),
    "polars LazyFrame": (pl.LazyFrame(COLUMNS), AB, ("a", "b"), None),
    "polars Series": (pl.Series("a", COLUMNS["a"]), A, ("a",), None),
    "polars Series without name": (pl.Series(COLUMNS["a"]), A, ("x",), None),
    "polars decimals": (pl.Series("a", [Decimal(1), Decimal(2), Decimal(4)]), A, ("a",), None),
    "polars Int128": (pl.Series("a", [1, 2, 4], dtype=pl.Int128), A, ("a",), None),
    "pyarrow Table": (pa.table(COLUMNS), AB, ("a", "b"), None),
    "pyarrow Array": (pa.array(COLUMNS["a"]), A, ("x",), None),
    "narwhals DataFrame": (nw.from_native(pl.DataFrame(COLUMNS)), AB, ("a", "b"), None),
    "DataArray": (
        xr.DataArray(AB, dims=("obs", "feature"), coords={"obs": LABELS, "feature": ["a", "b"]}),
        AB,
        ("a", "b"),
        LABELS,
    ),
    "DataArray without coordinates": (xr.DataArray(AB), AB, ("x0", "x1"), None),
    "DataArray 1-D": (xr.DataArray(AB[:, 0], name="a"), A, ("a",), None),
    "DataArray 1-D without name": (xr.DataArray(AB[:, 0]), A, ("x",), None),
    "DataArray with stacked rows": (
        xr.DataArray(AB[:2, 0].reshape(2, 1), dims=("p", "q"), coords={"p": ["u", "v"], "q": [5]}, name="a").stack(
            obs=("p", "q")
        ),
        A[:2],
        ("a",),
        ["u, 5", "v, 5"],
    ),
    "Dataset": (
        xr.Dataset({k: ("obs", v) for k, v in COLUMNS.items()}, coords={"obs": LABELS}),
        AB,
        ("a", "b"),
        LABELS,
    ),
    "one row": ([[1.0, 10.0]], AB[:1], ("x0", "x1"), None),
    "constant column": ([1e-300, 1e-300], np.full((2, 1), 1e-300), ("x",), None),
    "extreme int64": (np.array([-(2**63), 2**63 - 1]), np.array([[-(2.0**63)], [2.0**63]]), ("x",), None),
    "large and small": ([[1e150, 0], [-1e150, 1e-150]], np.array([[1e150, 0], [-1e150, 1e-150]]), ("x0", "x1"), None),
}


@pytest.mark.parametrize(("given", "values", "feature_names", "obs_names"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_every_container_gives_values_and_names(given, values, feature_names, obs_names):
    before = copy.deepcopy(given)
    data = as_data(given)

    assert data.values.dtype == np.float64
    assert type(data.values) is np.ndarray
    assert data.values.flags.c_contiguous
    assert not data.values.flags.writeable
    np.testing.assert_array_equal(data.values, values)
    assert data.feature_names == feature_names
    if obs_names is None:
        assert data.obs_names is None
    else:
        assert data.obs_names is not None
        assert data.obs_names.tolist() == obs_names
        assert data.obs_names.dtype != object
        assert not data.obs_names.flags.writeable
    assert (data.n_obs, data.n_features) == values.shape
    assert without_address(given) == without_address(before)
    np.testing.assert_array_equal(as_data(given).values, as_data(before).values)


@pytest.mark.parametrize(
    "given",
    [
        AB.copy(),
        AB[:, 0].copy(),
        pd.DataFrame(AB.copy()),
        xr.DataArray(AB.copy()),
        np.asfortranarray(AB),
        masked(AB, False),
    ],
    ids=["array", "array 1-D", "DataFrame", "DataArray", "Fortran", "masked"],
)
def test_values_are_a_copy(given):
    data = as_data(given)
    expected = data.values.copy()
    if isinstance(given, pd.DataFrame):
        given.iloc[0, 0] = 99.0
    else:
        given[0] = 99.0
    np.testing.assert_array_equal(data.values, expected)
    with pytest.raises(ValueError, match="read-only"):
        data.values[0, 0] = 1.0


def test_labels_are_a_copy():
    labels = np.array([3, 4, 5])
    data = Data(values=AB, feature_names=("a", "b"), obs_names=labels)
    labels[0] = 99
    assert data.obs_names is not None
    assert data.obs_names.tolist() == [3, 4, 5]


def test_data_is_returned_as_it_is():
    data = as_data(AB)
    assert as_data(data) is data


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_copies_of_data_are_read_only(duplicate):
    data = duplicate(as_data(pd.DataFrame(COLUMNS, index=LABELS)))
    assert not data.values.flags.writeable
    assert not data.obs_names.flags.writeable
    np.testing.assert_array_equal(data.values, AB)


def test_repr_is_short():
    assert repr(as_data(COLUMNS)) == "Data(n_obs=3, n_features=2, feature_names=('a', 'b'))"
    assert len(repr(as_data(np.ones((2, 1000))))) < 120


INDEXES = {
    "integers": [5, 6, 7],
    "floats": [0.5, 1.5, 2.5],
    "strings": ["a", "b", "b"],
    "mixed": ["a", 1, None],
    "booleans": [True, False, True],
    "dates": pd.date_range("2020-01-01", periods=3),
    "dates in a zone": pd.date_range("2020-01-01", periods=3, tz="Europe/Paris"),
    "durations": pd.timedelta_range("1h", periods=3),
    "periods": pd.period_range("2020-01", periods=3, freq="M"),
    "categories": pd.CategoricalIndex(["u", "v", "u"]),
    "intervals": pd.interval_range(0, 3),
    "nullable": pd.Index([4, 5, 6], dtype="Int64"),
    "bytes": [b"a", b"b", b"c"],
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES.keys())
def test_labels_can_be_written_to_netcdf(index, tmp_path):
    labels = as_data(pd.Series([1.0, 2.0, 4.0], index=index)).obs_names
    assert labels is not None
    xr.Dataset({"value": ("obs", np.zeros(3))}, coords={"obs": labels}).to_netcdf(
        tmp_path / "labels.nc", engine="h5netcdf"
    )
    with xr.open_dataset(tmp_path / "labels.nc", engine="h5netcdf") as loaded:
        assert loaded["obs"].values.tolist() == labels.astype(loaded["obs"].dtype).tolist()


def test_labels_keep_what_they_say():
    def labels(index):
        names = as_data(pd.Series([1.0, 2.0, 4.0], index=index)).obs_names
        assert names is not None
        return names

    assert labels(INDEXES["dates"]).dtype.kind == "M"
    assert labels(INDEXES["dates in a zone"])[0] == "2020-01-01 00:00:00+01:00"
    assert labels(INDEXES["durations"])[0] == "0 days 01:00:00"
    assert labels(INDEXES["bytes"])[0] == "a"
    assert labels(INDEXES["mixed"]).tolist()[:2] == ["a", "1"]


nan, inf = np.nan, np.inf
FRAME = pd.DataFrame({"ok": [1.0, 2.0], "bad": [1.0, 2.0]}, index=["u", "v"])

# input, fragments of the message
REJECTED = {
    "None": (None, ["got None", "Pass an array"]),
    "empty list": ([], ["empty: 0 rows and 1 columns", "at least one row"]),
    "no rows": (np.empty((0, 3)), ["0 rows and 3 columns"]),
    "no columns": (np.empty((3, 0)), ["3 rows and 0 columns"]),
    "empty DataFrame": (pd.DataFrame(), ["0 rows and 0 columns"]),
    "DataFrame of an index alone": (pd.DataFrame(index=LABELS), ["3 rows and 0 columns"]),
    "empty dict": ({}, ["no columns"]),
    "empty Dataset": (xr.Dataset(), ["no columns"]),
    "0-d array": (np.array(3.0), ["0 dimensions", "Reshape"]),
    "numpy scalar": (np.float64(3), ["0 dimensions"]),
    "number": (3.5, ["got 3.5 of type float", "DataFrame"]),
    "text": ("abc", ["got 'abc' of type str"]),
    "3-D": (np.zeros((2, 3, 4)), ["3 dimensions", "(2, 3, 4)", "Reshape"]),
    "nested list 3-D": ([[[1], [2]]], ["shape (1, 2, 1)"]),
    "DataArray 3-D": (xr.DataArray(np.zeros((2, 3, 4))), ["(2, 3, 4)"]),
    "set": ({1.0, 2.0}, ["type set", "Pass a numpy array"]),
    "generator": ((x for x in [1.0]), ["type generator"]),
    "object": (object(), ["type object"]),
    "ragged": ([[1, 2], [3]], ["row 0 has 2 entries, row 1 has 1 entries", "same number"]),
    "ragged with a number": ([[1, 2], 3], ["row 1 has a single value"]),
    "ragged arrays": ([np.zeros((2, 2)), np.zeros((2, 3))], ["different shapes"]),
    "ragged inside": ([[1, [2, 3]], [4, 5]], ["'x1'", "[2, 3] (list) in row 0"]),
    "list with text": ([1.0, "2.5"], ["'x'", "'2.5' (str) in row 1", "leave the column out"]),
    "list with a boolean": ([[1.5, True], [2.5, False]], ["'x1'", "True (bool) in row 0", "astype(float)"]),
    "list of dicts": ([{"a": 1}], ["{'a': 1} (dict)"]),
    "complex in a list": ([1, 2j], ["2j (complex)", "values.real"]),
    "timedelta64 in a list": ([np.timedelta64(1, "s")], ["(timedelta64) in row 0", "Turn durations"]),
    "booleans": (np.array([True, False]), ["'x' (bool)", "Booleans are categories", "astype(float)"]),
    "complex": (np.array([[1j, 2]]), ["'x0' (complex128)", "'x1'", "values.real"]),
    "array of text": (np.array(["a", "b"]), ["(<U1)", "encode"]),
    "structured": (np.zeros(2, dtype=[("a", float)]), ["fields 'a'", "dict of its columns"]),
    "sparse array": (scipy.sparse.csr_array(AB), ["sparse csr_array", "(3, 2)", ".toarray()"]),
    "sparse dictionary": (scipy.sparse.dok_matrix(AB), ["sparse dok_matrix", ".toarray()"]),
    "text column": (FRAME.assign(bad=["p", "q"]), ["column 'bad' (String)", "Drop"]),
    "mixed column": (FRAME.assign(bad=pd.Series([1, "q"], FRAME.index, object)), ["'bad'", "'q'", "row 1 (label 'v')"]),
    "categories": (FRAME.assign(bad=pd.Categorical([1, 2])), ["'bad' (Categorical)", "encode"]),
    "dates": (FRAME.assign(bad=pd.date_range("2020", periods=2)), ["'bad' (Datetime", "timedelta64(1, 's')"]),
    "durations": (FRAME.assign(bad=pd.timedelta_range("1s", periods=2)), ["'bad' (Duration", "Turn durations"]),
    "boolean column": (FRAME.assign(bad=[True, False]), ["'bad' (Boolean)", "astype(float)"]),
    "complex column": (FRAME.assign(bad=[1j, 2]), ["'bad' (complex128)"]),
    "two bad columns": (FRAME.astype(str), ["columns 'ok' (String) and 'bad' (String) do not"]),
    "many bad columns": (pd.DataFrame({f"c{i}": ["p"] for i in range(9)}), ["'c4' (String) and 4 more"]),
    "polars text": (pl.DataFrame({"bad": ["a"]}), ["'bad' (String)"]),
    "polars date": (pl.DataFrame({"bad": [datetime.date(2020, 1, 1)]}), ["'bad' (Date)"]),
    "polars lists": (pl.DataFrame({"bad": [[1.0, 2.0]]}), ["'bad' (List"]),
    "repeated columns": (pd.DataFrame(AB, columns=["a", "a"]), ["more than once", "'a'", "Rename"]),
    "columns alike as text": (pd.DataFrame(AB, columns=[1, "1"]), ["column '1'", "more than once"]),
    "pyarrow repeated": (pa.table([[1], [2]], names=["a", "a"]), ["more than once", "'a'"]),
    "DataArray repeated": (xr.DataArray(AB, coords={"f": ["a", "a"]}, dims=("o", "f")), ["'a'", "more than once"]),
    "record batch": (pa.RecordBatch.from_pydict({"a": [1.0]}), ["type RecordBatch", "Pass a numpy array"]),
    "dict of numbers": ({"a": 1.0}, ["values['a']", "got 1.0", "Pass"]),
    "dict of tables": ({"a": AB}, ["values['a']", "(3, 2)", "one-dimensional"]),
    "dict of unequal": ({"a": [1, 2], "b": [1]}, ["values['b']", "1 rows", "'a' has 2"]),
    "dict of other labels": (
        {"a": pd.Series([1, 2], index=["u", "v"]), "b": pd.Series([1, 2], index=["v", "u"])},
        ["values['b']", "other row labels", "Align"],
    ),
    "Dataset of two dimensions": (
        xr.Dataset({"a": ("p", [1]), "b": ("q", [1])}),
        ["one dimension", "'b' has q", "values["],
    ),
    "inf": ([[1, 2], [3, -inf]], ["1 infinite value in column 'x1' (1)", "(-inf) in row 1", "Drop"]),
    "inf with label": (FRAME.replace(2.0, inf), ["2 infinite values", "'ok' (1) and 'bad' (1)", "row 1 (label 'v')"]),
    "inf before NaN": ([nan, inf], ["infinite"]),
    "list of ragged Series": ([pd.Series([1, 2]), pd.Series([3])], ["entry 0 of the list", "pandas.DataFrame"]),
    "too large": ([[1.0, 1e151], [2.0, 0.0]], ["'x1' (1e+151)", "above 1e+150", "Rescale"]),
    "too large to subtract": ([-1.7e308, 1.7e308], ["'x' (1.7e+308)"]),
    "too small": ([1e-151, 3e-151], ["'x' (2e-151)", "below 1e-150", "Rescale"]),
    "subnormal": ([0.0, 5e-324], ["'x' (4.94e-324)", "Rescale"]),
    "too close": ([1e15, 1e15 + 1], ["'x'", "magnitude 1e+15 and range 1", "Subtract an offset"]),
    "integers alike as doubles": (np.array([2**60, 2**60 + 1]), ["'x'", "1.152921504606847e+18", "Subtract"]),
    "objects alike as doubles": ([Decimal(10**40), Decimal(10**40 + 1)], ["'x'", "Subtract"]),
    "integer beyond doubles": ([1, 10**400], ["'x'", "overflows", "row 1", "Rescale"]),
    "decimal beyond doubles": ([Decimal("1e400")], ["overflows", "row 0"]),
    "longdouble beyond doubles": (np.array([1, np.longdouble("1e400")]), ["1e+400", "row 1", "overflows"]),
}
if np.finfo(np.longdouble).max == np.finfo(np.float64).max:  # platforms where longdouble is double
    del REJECTED["longdouble beyond doubles"]


@pytest.mark.parametrize(("given", "fragments"), REJECTED.values(), ids=REJECTED.keys())
def test_messages_say_what_is_wrong_and_what_to_do(given, fragments):
    with pytest.raises(InputError) as caught:
        as_data(given)
    message = str(caught.value)
    assert caught.value.argument.startswith("values")
    assert caught.value.remedy.endswith(".")
    for fragment in fragments:
        assert fragment in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[1, nan], [nan, nan], [0, 0]], [[1, nan], [nan, nan], [0, 0]]),
        ([1, None], [[1], [nan]]),
        (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), [[1], [nan]]),
        (pd.DataFrame({"a": [None, None]}), [[nan], [nan]]),
        (pl.DataFrame({"a": [None, 1]}), [[nan], [1]]),
        ([Decimal(1), Decimal("sNaN")], [[1], [nan]]),
        (masked([[1, 2], [3, 4]], [[0, 0], [1, 0]]), [[1, 2], [nan, 4]]),
    ],
)
def test_missing_entries_are_nan(values, expected):
    np.testing.assert_array_equal(as_data(values).values, np.array(expected, dtype=float))


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ({"values": AB.tolist()}, ["Data.values", "a list", "as_data"]),
        ({"values": AB.astype(int)}, ["Data.values", "int64"]),
        ({"values": AB[:0]}, ["(0, 2)"]),
        ({"feature_names": ("a",)}, ["Data.feature_names", "1 names for 2 columns"]),
        ({"feature_names": ("a", "a")}, ["more than once"]),
        ({"obs_names": np.arange(2)}, ["Data.obs_names", "(2,)", "3 rows"]),
    ],
)
def test_data_cannot_be_made_wrong(arguments, fragments):
    with pytest.raises(InputError) as caught:
        Data(**{"values": AB, "feature_names": ("a", "b"), **arguments})
    for fragment in fragments:
        assert fragment in str(caught.value)


HEAVY = ["pandas", "polars", "pyarrow", "xarray", "narwhals", "numba", "matplotlib"]


@pytest.mark.parametrize("use", ["", "bayesgmm.data.as_data([[1.0, 2.0], [3.0, 5.0]])"], ids=["import", "arrays"])
def test_nothing_heavy_is_imported(use):
    code = f"import sys, bayesgmm.data\n{use}\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
