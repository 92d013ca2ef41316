"""Columns of new rows are found by their names, in every container and by every function that takes rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

import bayesgmm as bg

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)) + 4.0 * rng.integers(2, size=60)[:, None] * [1.0, -1.0, 0.5]
    return pd.DataFrame(x, columns=NAMES)


@pytest.fixture(scope="module")
def fit(table):
    return bg.fit(bg.GaussianMixture(2), table, engine=bg.VB(n_init=4, n_polish=1), random_seed=1)


def wide(table):
    """The columns in another order among others that no model could take."""
    return table[["c", "a", "b"]].assign(name="x", when=pd.Timestamp("2020"), inf=np.inf)[
        ["when", "c", "name", "a", "b", "inf"]
    ]


CONTAINERS = {
    "pandas": wide,
    "polars": lambda table: pl.from_pandas(wide(table)),
    "lazy polars": lambda table: pl.from_pandas(wide(table)).lazy(),
    "pyarrow": lambda table: pa.Table.from_pandas(wide(table)),
    "dict": lambda table: {name: column.tolist() for name, column in wide(table).items()},
    "Dataset": lambda table: xr.Dataset.from_dataframe(wide(table)),
    "DataArray": lambda table: xr.DataArray(
        table[["c", "a", "b"]].assign(inf=np.inf), dims=("obs", "feature"), coords={"feature": ["c", "a", "b", "inf"]}
    ),
    "Data": lambda table: bg.as_data(table[["c", "a", "b"]].assign(other=1.0)),
    "array": lambda table: table.to_numpy(),
    "list": lambda table: table.to_numpy().tolist(),
    "frame without names": lambda table: pd.DataFrame(table.to_numpy(), columns=["x0", "x1", "x2"]),
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_columns_are_found_by_name(fit, table, make):
    expected = bg.predict(fit)["log_density"].to_numpy()
    np.testing.assert_allclose(bg.predict(fit, make(table))["log_density"], expected)


def test_in_every_function_that_takes_rows(fit, table):
    holes = table.where(np.random.default_rng(1).random(table.shape) > 0.2)
    for function in (bg.impute, bg.denoise):
        np.testing.assert_array_equal(function(fit, wide(holes))["x"], function(fit, holes)["x"])
    one, two = (bg.add_log_likelihood(fit, each)["log_likelihood"]["x"] for each in (table, wide(table)))
    np.testing.assert_allclose(one, two)
    one, two = (bg.simulate(fit, like=each, random_seed=1)["x"] for each in (holes, wide(holes)))
    np.testing.assert_array_equal(one, two)
    one, two = (bg.assignments(fit, each) for each in (table, wide(table)))
    pd.testing.assert_frame_equal(one, two)


def test_errors_name_what_is_missing(fit, table):
    with pytest.raises(bg.InputError, match=r"data: has no columns 'a' and 'c'\. It has columns 'b' and 'd'; rename"):
        bg.predict(fit, table.rename(columns={"a": "d"})[["b", "d"]])
    with pytest.raises(bg.InputError, match="like: has no column 'a'"):
        bg.simulate(fit, like=table[["b", "c"]])
    with pytest.raises(bg.InputError, match=r"has 2 columns without names.*The fit has 3 features, 'a', 'b' and 'c'"):
        bg.predict(fit, table.to_numpy()[:, :2])
    many = pd.DataFrame(np.zeros((2, 40)), columns=[f"column {j}" for j in range(40)])
    with pytest.raises(bg.InputError, match=r"'column 4' and 35 more; rename"):
        bg.predict(fit, many)
    twice = pd.concat([table, table["a"]], axis=1)
    with pytest.raises(bg.InputError, match="more than once"):
        bg.predict(fit, twice)
    with pytest.raises(bg.InputError, match="data: has column 'a' more than once"):
        bg.predict(fit, {**table.to_dict("list"), ("a",): [1.0] * 60})
    with pytest.raises(bg.InputError, match=r"intervals: got 0\. Give True or False"):
        bg.predict(fit, intervals=0)


def test_intervals_are_left_out_and_nothing_else_changes(fit, table):
    with_them, without = bg.predict(fit, table), bg.predict(fit, table, intervals=False)
    for name in ("responsibilities_lower", "responsibilities_upper"):
        assert without[name].isnull().all()
        assert not with_them[name].isnull().any()
        assert without[name].dims == with_them[name].dims
    others = ["responsibilities", "label", "label_probability", "log_density"]
    xr.testing.assert_equal(with_them[others], without[others])
    assert without.attrs["interval"] == "none: intervals=False"
