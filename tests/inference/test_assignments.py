"""Assignments as a table that is put beside the rows it is about."""

from __future__ import annotations

import datetime
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

import bayesgmm as bg

N = 40
COLUMNS = ["label", "probability", "lower", "upper", "second_label", "entropy", "uncertain"]
QUICK = {"engine": bg.VB(n_init=4, n_polish=1), "random_seed": 1, "progressbar": False}
pytestmark = pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")


def rows(index=None):
    """Two groups that overlap a little, in an order that says nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 2)) + 3.0 * rng.integers(2, size=N)[:, None]
    return pd.DataFrame(x, columns=["a", "b"], index=index)


INDEXES = {
    "positions": pd.RangeIndex(N),
    "positions with a name": pd.RangeIndex(N, name="row"),
    "text": pd.Index([f"r{i}" for i in range(N)], name="id"),
    "shuffled numbers": pd.Index(np.random.default_rng(1).permutation(N)),
    "small numbers": pd.Index(np.arange(N), dtype="uint8"),
    "short floats": pd.Index(np.linspace(0.1, 0.7, N), dtype="float32", name=("a", 1)),
    "times": pd.date_range("2020", periods=N, freq="h", name="t").as_unit("s"),
    "times over the end of winter": pd.date_range("2020-03-29", periods=N, freq="37min", tz="Europe/Berlin"),
    "durations": pd.timedelta_range("1s", periods=N, freq="7ns"),
    "months": pd.period_range("2000-01", periods=N, freq="M", name="p"),
    "intervals": pd.interval_range(0, N, closed="left"),
    "categories": pd.CategoricalIndex([f"c{i}" for i in range(N)], name="c"),
    "nullable numbers": pd.Index(range(5, N + 5), dtype="Int64"),
    "days": pd.Index([datetime.date(2020, 1, 1) + datetime.timedelta(days=i) for i in range(N)]),
    "mixed": pd.Index([1, "a", 2.5, None, datetime.datetime(2020, 1, 1), False, *range(100, N + 94)]),
    "pairs": pd.Index([(i, "x") for i in range(N)], tupleize_cols=False),
    "two levels": pd.MultiIndex.from_arrays([np.arange(N) // 10, np.arange(N) % 10], names=["batch", None]),
    "three levels": pd.MultiIndex.from_arrays(
        [[f"s{i}" for i in range(N)], pd.date_range("2020", periods=N, tz="UTC"), pd.Categorical(np.arange(N) % 3)],
        names=["subject", "time", "arm"],
    ),
    "one level of several": pd.MultiIndex.from_arrays([np.arange(N)], names=["z"]),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_join_is_the_whole_job_for_any_index(index, tmp_path):
    table = rows(index).assign(kind="text")
    fit = bg.fit(bg.GaussianMixture(2), table[["a", "b"]], **QUICK)
    fit.to_netcdf(tmp_path / "fit.nc")
    expected = fit["assignments"]["label"].to_numpy()
    with xr.open_datatree(tmp_path / "fit.nc") as back:
        for found in (
            bg.assignments(fit),
            bg.assignments(back),
            bg.assignments(back, table),
            bg.assignments(bg.predict(back, table)),
        ):
            assert list(found.columns) == COLUMNS
            assert found.index.equals(index)
            assert list(found.index.names) == list(index.names)
            joined = table.join(found)
            assert len(joined) == N
            np.testing.assert_array_equal(joined["label"], expected)


def test_an_index_that_no_file_can_hold_is_refused_and_taken_from_the_table():
    table = rows([uuid.UUID(int=i) for i in range(N)])
    fit = bg.fit(bg.GaussianMixture(2), table, **QUICK)
    with pytest.raises(bg.InputError, match=r"labels of type UUID.* Give the table again: assignments\(fit, table\)"):
        bg.assignments(fit)
    assert bg.assignments(fit, table).index.equals(table.index)


def test_labels_that_repeat_are_warned_of():
    table = rows(["a", *"bcdefghij" * 4, "a", "b", "c"])
    fit = bg.fit(bg.GaussianMixture(2), table, **QUICK)
    with pytest.warns(UserWarning, match=r"repeat.*pandas\.concat"):
        found = bg.assignments(fit)
    joined = pd.concat([table, found], axis=1)
    np.testing.assert_array_equal(joined["label"], fit["assignments"]["label"])


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (pl.from_pandas, pl.DataFrame),
        (lambda table: pl.from_pandas(table).lazy(), pl.DataFrame),
        (pa.Table.from_pandas, pa.Table),
        (lambda table: table.to_numpy(), pd.DataFrame),
        (lambda table: {"a": table["a"].tolist(), "b": table["b"].tolist()}, pd.DataFrame),
        (lambda table: xr.DataArray(table), pd.DataFrame),
    ],
    ids=["polars", "lazy polars", "pyarrow", "numpy", "dict", "xarray"],
)
def test_tables_go_back_to_the_library_they_came_from(make, kind, tmp_path):
    table = rows()
    fit = bg.fit(bg.GaussianMixture(2, component_names=["x", "y"]), make(table), **QUICK)
    fit.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as back:
        for found in (bg.assignments(fit), bg.assignments(back), bg.assignments(bg.predict(back, make(table)))):
            assert isinstance(found, kind)
            plain = found if kind is pd.DataFrame else found.to_pandas()
            assert list(plain.columns) == COLUMNS
            assert plain["label"].tolist() == fit["assignments"]["label"].to_numpy().tolist()


def test_without_the_library_a_table_is_one_of_pandas(monkeypatch):
    fit = bg.fit(bg.GaussianMixture(2), pl.from_pandas(rows()), **QUICK)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(bg.assignments(fit), pd.DataFrame)


def test_columns_say_what_predict_says():
    table = rows()
    fit = bg.fit(bg.GaussianMixture(3), table, **QUICK)
    found, predicted = bg.assignments(fit, certain=0.8), bg.predict(fit)
    r = predicted["responsibilities"].to_numpy()
    own = found["label"].to_numpy()
    at = np.arange(N)
    np.testing.assert_array_equal(own, predicted["label"])
    np.testing.assert_allclose(found["probability"], r[at, own])
    np.testing.assert_allclose(found["lower"], predicted["responsibilities_lower"].to_numpy()[at, own])
    np.testing.assert_allclose(found["upper"], predicted["responsibilities_upper"].to_numpy()[at, own])
    others = r.copy()
    others[at, own] = -1
    np.testing.assert_array_equal(found["second_label"], others.argmax(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        np.testing.assert_allclose(found["entropy"], -np.nansum(r * np.log(r), axis=1), atol=1e-12)
    assert found["uncertain"].tolist() == (r[at, own] < 0.8).tolist()
    assert 0 < found["uncertain"].sum() < N


@pytest.mark.parametrize("library", [pd.DataFrame, pl.from_pandas])
@pytest.mark.parametrize("names", [None, ["all"]])
def test_what_is_not_known_is_missing(library, names):
    table = rows() if library is pd.DataFrame else library(rows())
    fit = bg.fit(bg.GaussianMixture(1, component_names=names), table, engine=bg.EM(), random_seed=1)
    found = bg.assignments(fit)
    plain = found if isinstance(found, pd.DataFrame) else found.to_pandas()
    for column in ("lower", "upper", "second_label"):
        assert plain[column].isna().all()
    assert (plain["entropy"] == 0).all()
    if isinstance(found, pl.DataFrame):
        assert [str(found.schema[name]) for name in ("lower", "second_label")] == [
            "Float64",
            "Int64" if names is None else "String",
        ]


def test_many_rows_have_all_columns(monkeypatch):
    monkeypatch.setattr("bayesgmm.inference.prediction.MANY_ROWS", 10)
    fit = bg.fit(bg.GaussianMixture(2), rows(), **QUICK)
    assert "responsibilities" not in fit["assignments"]
    found = bg.assignments(fit)
    assert found.notna().to_numpy().all()
    np.testing.assert_array_equal(found["label"], fit["assignments"]["label"])


def test_errors():
    fit = bg.fit(bg.GaussianMixture(2), rows(), **QUICK)
    with pytest.raises(bg.InputError, match="certain: got 2"):
        bg.assignments(fit, certain=2)
    with pytest.raises(bg.InputError, match="fit: got a Dataset without labels"):
        bg.assignments(bg.predict(fit, per_draw=True))
    with pytest.raises(bg.InputError, match="data: got DataFrame beside what predict returned"):
        bg.assignments(bg.predict(fit), rows())
    with pytest.raises(bg.InputError, match="fit: got DataFrame"):
        bg.assignments(rows())
    with pytest.raises(bg.InputError, match=r"data: has no column 'b'\. It has column 'a'"):
        bg.assignments(fit, rows()[["a"]])
