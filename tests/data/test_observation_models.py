"""Measurement errors, counts, weights, bins and groups: every form that is read, and messages about the others."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm import _schema as names
from bayesgmm.data import Data, as_data, group_numbers
from bayesgmm.results import stored_data

nan, inf = np.nan, np.inf
AB = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 50.0]])
ROWS = ["r", "s", "t"]
TABLE = pd.DataFrame(AB, columns=["a", "b"], index=ROWS)
ONE = AB[:, 0]
SDS = np.array([[0.1, 1.0], [0.2, 2.0], [0.4, 5.0]])
COVARIANCE = np.array([[0.04, 0.01], [0.01, 0.09]])
COVARIANCES = COVARIANCE * np.array([1.0, 2.0, 3.0])[:, None, None]
EACH = np.tile([0.1, 1.0], (3, 1))
SWAPPED = {"b": SDS[:, 1], "a": SDS[:, 0]}

# values, noise, what is stored
NOISE = {
    "number": (AB, 0.5, np.full((3, 2), 0.5)),
    "whole number": (AB, 2, np.full((3, 2), 2.0)),
    "numpy number": (AB, np.float32(0.5), np.full((3, 2), 0.5)),
    "0-d array": (AB, np.array(0.5), np.full((3, 2), 0.5)),
    "decimal": (AB, Decimal("0.5"), np.full((3, 2), 0.5)),
    "exact": (AB, 0, np.zeros((3, 2))),
    "one for each feature": (AB, [0.1, 1.0], EACH),
    "one for each feature, array": (AB, np.array([0.1, 1.0]), EACH),
    "one for each of two features, two rows": (AB[:2], [0.1, 1.0], EACH[:2]),
    "numbers by name": (TABLE, {"b": 1.0, "a": 0.1}, EACH),
    "Series by name": (TABLE, pd.Series({"b": 1.0, "a": 0.1}), EACH),
    "Series without names": (TABLE, pd.Series([0.1, 1.0]), EACH),
    "for each row": (AB, SDS, SDS),
    "for each row, list": (AB, SDS.tolist(), SDS),
    "for each row, DataFrame": (TABLE, pd.DataFrame(SDS, columns=["a", "b"], index=ROWS), SDS),
    "for each row, DataFrame in other order": (TABLE, pd.DataFrame(SWAPPED, index=ROWS), SDS),
    "for each row, DataFrame without row labels": (TABLE, pd.DataFrame(SWAPPED), SDS),
    "for each row, DataFrame without names": (TABLE, pd.DataFrame(SDS), SDS),
    "for each row, polars": (TABLE, pl.DataFrame(SWAPPED), SDS),
    "for each row, mapping": (TABLE, SWAPPED, SDS),
    "for each row, names of arrays": (AB, {"x1": SDS[:, 1], "x0": SDS[:, 0]}, SDS),
    "for each row, DataArray": (
        TABLE,
        xr.DataArray(SDS[:, ::-1], coords={"f": ["b", "a"]}, dims=("o", "f")),
        SDS,
    ),
    "for each row, DataArray without names": (TABLE, xr.DataArray(SDS), SDS),
    "for each of two rows, mapping": (AB[:2], {"x1": SDS[:2, 1], "x0": SDS[:2, 0]}, SDS[:2]),
    "one feature, for each row": (ONE, [0.1, 0.2, 0.4], SDS[:, :1]),
    "one feature, for each row, column": (ONE, SDS[:, :1], SDS[:, :1]),
    "one feature, for all rows": (ONE, [0.1], np.full((3, 1), 0.1)),
    "one feature, Series of another name": (TABLE["a"], pd.Series(SDS[:, 0], ROWS, name="a_error"), SDS[:, :1]),
    "one feature, polars Series": (TABLE["a"], pl.Series("a_error", SDS[:, 0]), SDS[:, :1]),
    "one feature, pyarrow Array": (TABLE["a"], pa.array(SDS[:, 0]), SDS[:, :1]),
    "one feature, one row": ([1.0], [0.1], [[0.1]]),
    "covariance (d, d)": (AB, COVARIANCE, np.tile(COVARIANCE, (3, 1, 1))),
    "covariance (1, d, d)": (AB, COVARIANCE[None], np.tile(COVARIANCE, (3, 1, 1))),
    "covariance (1, d, d) of two rows": (AB[:2], COVARIANCE[None], np.tile(COVARIANCE, (2, 1, 1))),
    "covariances (n_obs, d, d)": (AB, COVARIANCES, COVARIANCES),
    "covariances, list": (AB, COVARIANCES.tolist(), COVARIANCES),
    "covariances, list of arrays": (AB, list(COVARIANCES), COVARIANCES),
    "covariances, DataArray": (AB, xr.DataArray(COVARIANCES), COVARIANCES),
    "variance (1, 1, 1)": (ONE, [[[0.25]]], np.full((3, 1, 1), 0.25)),
    "singular covariance": (AB, np.ones((1, 2, 2)), np.ones((3, 2, 2))),
    "covariance of exact values": (AB, np.zeros((1, 2, 2)), np.zeros((3, 2, 2))),
    "NaN where the value is missing": (
        [[nan, 1.0], [2.0, 3.0], [4.0, nan]],
        [[nan, 1], [2, 3], [4, 5]],
        [[0, 1], [2, 3], [4, 5]],
    ),
    "covariance where a value is missing": (
        [[nan, 1.0], [2.0, 3.0], [5.0, 4.0]],
        [[[nan, nan], [nan, 0.09]], COVARIANCE, COVARIANCE],
        [[[0.0, 0.0], [0.0, 0.09]], COVARIANCE, COVARIANCE],
    ),
    "one covariance, a value missing": (
        [[nan, 1.0], [2.0, 3.0], [5.0, 4.0]],
        COVARIANCE,
        [[[0.0, 0.0], [0.0, 0.09]], COVARIANCE, COVARIANCE],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("values", "noise", "stored"), NOISE.values(), ids=NOISE.keys())
def test_noise_in_every_form(values, noise, stored):
    before = copy.deepcopy(noise)
    data = as_data(values, noise=noise)
    assert data.noise is not None
    assert data.noise.dtype == np.float64
    assert data.noise.flags.c_contiguous
    assert not data.noise.flags.writeable
    np.testing.assert_array_equal(data.noise, np.array(stored), strict=False)
    assert data.noise.shape == np.shape(stored)
    assert str(noise) == str(before)
    # What is stored stays the same when another field is replaced, also where the form would be ambiguous.
    again = as_data(data, counts=[1] * data.n_obs)
    np.testing.assert_array_equal(again.noise, data.noise)


def test_noise_is_a_copy():
    noise = SDS.copy()
    data = as_data(AB, noise=noise)
    noise[0, 0] = 99.0
    np.testing.assert_array_equal(data.noise, SDS)


def test_rounding_in_covariances_is_taken_out():
    rounded = COVARIANCES.copy()
    rounded[:, 0, 1] += 1e-14
    noise = as_data(AB, noise=rounded).noise
    np.testing.assert_array_equal(noise, np.swapaxes(noise, 1, 2))
    np.testing.assert_allclose(noise, COVARIANCES, rtol=1e-11)
    outer = np.array([1.0, 1e-3])[:, None] * np.array([1.0, 1e-3])
    outer[1, 1] *= 1 - 1e-9  # an eigenvalue of about -1e-15, which rounding explains
    assert np.linalg.eigvalsh(outer)[0] < 0
    as_data(AB, noise=outer[None])


NOT_SYMMETRIC = COVARIANCES.copy()
NOT_SYMMETRIC[1, 0, 1] = 0.03
INDEFINITE = COVARIANCES.copy()
INDEFINITE[2, 0, 1] = INDEFINITE[2, 1, 0] = 1.0
LOST = COVARIANCES.copy()
LOST[1, 0, 1] = nan


def changed(row, column, value):
    out = SDS.copy()
    out[row, column] = value
    return out


# values, noise, fragments of the message
BAD_NOISE = {
    "negative number": (AB, -1.0, ["'x0' in row 0 is -1", "positive, or 0"]),
    "negative": (TABLE, changed(1, 1, -2.0), ["'b' in row 1 (label 's') is -2", "positive, or 0"]),
    "infinite": (TABLE, changed(2, 0, inf), ["'a' in row 2 (label 't') is inf", "NaN if it was not observed"]),
    "NaN": (TABLE, changed(1, 0, nan), ["'a' in row 1 (label 's') is nan", "Give 0 for an exact value"]),
    "NaN as number": (AB, nan, ["'x0' in row 0 is nan"]),
    "NaN where another value is missing": ([[nan, 1], [2, 3], [5, 4]], changed(0, 1, nan), ["'x1' in row 0 is nan"]),
    "too large": (AB, 1e200, ["1e+200", "overflows", "Rescale"]),
    "None in a row": (AB, [[0.1, None], [0.1, 0.1], [0.1, 0.1]], ["'x1' in row 0 is nan"]),
    "text": (AB, "0.1", ["got '0.1' of type str", "as a number or with shape (2,) or (3, 2)"]),
    "truth value": (AB, True, ["got True", "covariances with shape (1, 2, 2) or (3, 2, 2)"]),
    "texts": (AB, [["a", "b"]] * 3, ["'a' (str) in row 0", "real number"]),
    "array of text": (AB, np.full((3, 2), "a"), ["do not hold real numbers"]),
    "ragged": (AB, [[1.0, 2.0], [1.0], [1.0, 2.0]], ["row 1 has 1 entries"]),
    "object": (AB, object(), ["type object"]),
    "one for each row of two features": (AB, [0.1, 0.2, 0.4], ["shape (3,)", "(2,) or (3, 2)"]),
    "too few rows": (AB, SDS[:1], ["shape (1, 2)", "(3, 2)"]),
    "too many columns": (AB, np.ones((3, 3)), ["shape (3, 3)", "(3, 2)"]),
    "wrong length of one feature": (ONE, [0.1, 0.2], ["shape (2,)", "(3,) or (3, 1)"]),
    "4-D": (AB, np.ones((3, 2, 2, 2)), ["(3, 2, 2, 2)", "(3, 2, 2)"]),
    "covariances of two rows": (AB, COVARIANCES[:2], ["(2, 2, 2)", "(1, 2, 2) or (3, 2, 2)"]),
    "covariances of other features": (AB, np.ones((3, 3, 3)), ["(3, 3, 3)", "(1, 2, 2)"]),
    "as many rows as features": (AB[:2], COVARIANCE, ["(2, 2) may mean", "(1, 2, 2), as noise[None]", "{'x0': ...}"]),
    "variance or standard deviation": (ONE, [[0.25]], ["(1, 1) may mean", "(1, 1, 1)", "as a number"]),
    "other names": (TABLE, {"a": SDS[:, 0], "c": SDS[:, 1]}, ["columns 'a' and 'c'", "columns 'a' and 'b'", "Rename"]),
    "other names of numbers": (TABLE, {"a": 0.1, "c": 0.2}, ["keys 'a' and 'c'", "Rename"]),
    "other names in a Series": (TABLE, pd.Series({"a": 0.1, "c": 0.2}), ["labels 'a' and 'c'", "Rename"]),
    "too few columns": (TABLE, {"a": SDS[:, 0]}, ["columns 'a', the values", "columns 'a' and 'b'"]),
    "table of other length": (TABLE, {"a": [0.1], "b": [0.1]}, ["1 rows", "3 observations", "(1, 2, 2)"]),
    "other rows": (
        TABLE,
        pd.DataFrame(SWAPPED, index=["s", "r", "u"]),
        ["has the label s where the values have r, in row 0 (label 'r')", "Align"],
    ),
    "Series of other rows": (TABLE["a"], pd.Series(SDS[:, 0], ["r", "t", "r"]), ["label t", "row 1", "Align"]),
    "number without end": (AB, 10**400, ["overflows"]),
    "masked": (AB, np.ma.masked, ["standard deviations"]),
    "masked sd": (AB, np.ma.array(SDS, mask=[[0, 0], [0, 1], [0, 0]]), ["'x1'", "row 1", "nan"]),
    "masked in a list": (AB, [np.ma.array([0.1, 0.2], mask=[0, 1])] * 3, ["'x1'", "row 0", "nan"]),
    "masked covariance": (AB, np.ma.array(COVARIANCES, mask=COVARIANCES < 0.03), ["row 0", "nan"]),
    "rows alone": (AB, xr.DataArray([0.1, 0.2], dims="obs"), ["'obs'", "2 features"]),
    "asymmetric": (AB, NOT_SYMMETRIC, ["('x0', 'x1')", "row 1", "0.03, but 0.02", "symmetric"]),
    "indefinite": (TABLE, INDEFINITE, ["row 2 (label 't')", "beyond the", "that the variances allow", "standard"]),
    "negative variance": (ONE, [[[-0.25]]], ["row 0", "at least 0", "-0.25"]),
    "infinite covariance": (AB, COVARIANCES * [[1, inf], [inf, 1]], ["('x0', 'x1')", "row 0 is inf"]),
    "NaN in a covariance": (AB, LOST, ["('x0', 'x1')", "row 1 is nan", "exactly"]),
    "covariance too large": (AB, COVARIANCE[None] * 1e303, ["overflows", "Rescale"]),
}  # fmt: skip


@pytest.mark.parametrize(("values", "noise", "fragments"), BAD_NOISE.values(), ids=BAD_NOISE.keys())
def test_noise_that_cannot_be_used(values, noise, fragments):
    check_message(lambda: as_data(values, noise=noise), "noise", fragments)


def check_message(make, argument, fragments):
    with pytest.raises(bg.InputError) as caught:
        make()
    message = str(caught.value)
    assert caught.value.argument == argument
    assert caught.value.remedy.endswith(".")
    for fragment in fragments:
        assert fragment in message
    assert len(message) < 500


@pytest.mark.parametrize("prior", [bg.LogNormal(0.0, 0.5), bg.HalfNormal(1.0), bg.Exponential(2.0), bg.Gamma(2.0, 3.0)])
def test_noise_scale_is_kept(prior):
    data = as_data(ONE, noise=0.1, noise_scale=prior)
    assert data.noise_scale is prior
    assert as_data(as_data(ONE, noise=0.1), noise_scale=prior).noise_scale is prior


@pytest.mark.parametrize(
    ("noise", "scale", "fragments"),
    [
        (None, bg.HalfNormal(1.0), ["HalfNormal(1)", "no noise", "as noise=..."]),
        (0.0, bg.HalfNormal(1.0), ["0 everywhere", "leave it out"]),
        (0.1, bg.HalfNormal([1.0, 2.0]), ["HalfNormal((1, 2))", "each of 2 features", "single numbers"]),
        (0.1, 2.0, ["got 2.0", "known factor", "LogNormal(0.0, 0.5)"]),
        (0.1, bg.HalfNormal, ["HalfNormal", "no prior on a scale"]),
        (0.1, bg.Dirichlet(1.0), ["Dirichlet", "no prior on a scale", "LogNormal"]),
    ],
)
def test_noise_scale_that_cannot_be_used(noise, scale, fragments):
    check_message(lambda: as_data(AB, noise=noise, noise_scale=scale), "noise_scale", fragments)


@pytest.mark.parametrize(
    "counts", [[1, 2, 3], [1.0, 2.0, 3.0], np.array([1, 2, 3], np.uint8), pd.Series([1, 2, 3], ROWS)]
)
def test_whole_numbers_are_counts(counts):
    data = as_data(TABLE, counts=counts)
    assert data.counts is not None
    assert not data.counts.flags.writeable
    assert data.counts.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("weights", [[0.5, 1, 2.5], pl.Series([0.5, 1, 2.5])])
def test_weights_need_not_be_whole(weights):
    assert as_data(AB, weights=weights).counts.tolist() == [0.5, 1.0, 2.5]
    assert as_data(as_data(AB, counts=[1, 2, 3]), weights=weights).counts.tolist() == [0.5, 1.0, 2.5]


@pytest.mark.parametrize(
    ("given", "argument", "fragments"),
    [
        ({"counts": [1, 2.5, 3]}, "counts", ["2.5 in row 1 (label 's')", "whole", "weights="]),
        ({"counts": [1, -2, 3]}, "counts", ["-2 in row 1", "positive"]),
        ({"counts": [1, nan, 3]}, "counts", ["nan in row 1", "finite"]),
        ({"counts": [1, 2]}, "counts", ["shape (2,)", "3 rows"]),
        ({"counts": ["a", "b", "c"]}, "counts", ["'a'", "row 0", "not a real number"]),
        ({"counts": pd.Series([1, 2, 3], ["r", "t", "u"])}, "counts", ["label t", "row 1", "counts.loc[values.index]"]),
        ({"counts": pd.Series([1, 2, 3], ["r", "s", "s"])}, "counts", ["label s", "row 2", "each once"]),
        ({"counts": np.ma.array([1, 2, 3], mask=[0, 1, 0])}, "counts", ["nan in row 1 (label 's')"]),
        ({"weights": np.ma.array([1, 2, 3], mask=[0, 1, 0])}, "weights", ["nan in row 1 (label 's')"]),
        ({"counts": [0, 0, 0]}, "counts", ["all 3 are 0"]),
        ({"counts": [1, 10**400, 1]}, "counts", ["row 1", "overflows"]),
        ({"weights": [0.5, -0.5, 1.0]}, "weights", ["-0.5 in row 1", "Every weight must be finite and positive"]),
        ({"weights": [0.5, inf, 1.0]}, "weights", ["inf in row 1", "finite"]),
        ({"weights": 2.0}, "weights", ["shape ()", "3 rows"]),
        ({"weights": [1, 1, 1], "counts": [1, 1, 1]}, "weights", ["together with counts", "counts * weights"]),
    ],
)
def test_counts_and_weights_that_cannot_be_used(given, argument, fragments):
    check_message(lambda: as_data(TABLE, **given), argument, fragments)


INTERVALS = pd.IntervalIndex.from_breaks([0.0, 1.0, 3.0])
# bins, edges as stored, points
BINS = {
    "edges": ([0, 1, 3], [[0, 1], [1, 3]], [0.5, 2.0]),
    "edges, array": (np.array([0.0, 1.0, 3.0]), [[0, 1], [1, 3]], [0.5, 2.0]),
    "edges, Series without names": (pl.Series([0.0, 1.0, 3.0]), [[0, 1], [1, 3]], [0.5, 2.0]),
    "edges, pandas": (pd.Series([0, 1, 3], ["r", "s", "t"]), [[0, 1], [1, 3]], [0.5, 2.0]),
    "pairs": ([[0, 1], [1, 3]], [[0, 1], [1, 3]], [0.5, 2.0]),
    "pairs with a gap": ([[0, 1], [2, 3]], [[0, 1], [2, 3]], [0.5, 2.5]),
    "pairs, DataFrame": (pd.DataFrame({"lower": [0, 1], "upper": [1, 3]}), [[0, 1], [1, 3]], [0.5, 2.0]),
    "one pair": ([[0, 1]], [[0, 1]], [0.5]),
    "two edges": ([0, 1], [[0, 1]], [0.5]),
    "IntervalIndex": (INTERVALS, [[0, 1], [1, 3]], [0.5, 2.0]),
    "open below": ([-inf, 1, 3], [[-inf, 1], [1, 3]], [0.0, 2.0]),
    "open above": ([0, 1, inf], [[0, 1], [1, inf]], [0.5, 1.5]),
    "open at both ends": ([-inf, 0, 2, inf], [[-inf, 0], [0, 2], [2, inf]], [-1.0, 1.0, 3.0]),
    "neighbours of different widths": ([-inf, 0, 2, 6, inf], [[-inf, 0], [0, 2], [2, 6], [6, inf]], [-1, 1, 4, 8]),
    "overlap by rounding of large ones": ([[0, 3e6 + 1e-9], [3e6, 6e6]], [[0, 3e6 + 1e-9], [3e6 + 1e-9, 6e6]], None),
    "overlap by rounding": ([[0, 0.3 + 1e-16], [0.3, 0.6]], [[0, 0.3 + 1e-16], [0.3 + 1e-16, 0.6]], None),
}  # fmt: skip


@pytest.mark.parametrize(("bins", "stored", "points"), BINS.values(), ids=BINS.keys())
def test_bins_in_every_form(bins, stored, points):
    counts = np.arange(len(stored)) + 1  # the first of several bins may be empty
    counts[0] = 0 if len(stored) > 1 else 4
    data = as_data(bins=bins, counts=counts)
    assert data.bins is not None
    assert data.bins.dtype == np.float64
    assert not data.bins.flags.writeable
    np.testing.assert_array_equal(data.bins, np.array(stored, dtype=float))
    assert data.feature_names == ("x",)
    assert data.values.shape == (len(stored), 1)
    assert data.counts is not None
    assert data.counts.tolist() == counts.tolist()
    if points is not None:
        assert data.values[:, 0].tolist() == points


def test_series_of_counts_of_intervals():
    values = pd.Series([0.5, 0.7, 2.0, 2.5, 2.6])
    for counts in (values.value_counts(bins=[0, 1, 3], sort=False), pd.cut(values, [0, 1, 3]).value_counts(sort=False)):
        data = as_data(bins=counts)
        assert data.counts is not None
        assert data.counts.tolist() == [2, 3]
        np.testing.assert_allclose(data.bins, [[0, 1], [1, 3]], atol=0.01)


def test_bins_with_what_else_there_is():
    data = as_data(bins=[0, 1, 3], weights=[0.5, 0], noise=[0.1, 0.2], groups=["a", "b"])
    assert (data.noise.tolist(), data.counts.tolist()) == ([[0.1], [0.2]], [0.5, 0.0])
    assert data.groups.tolist() == ["a", "b"]
    assert as_data(bins=[0, 1, 3], counts=[1, 2], noise=0.3).noise.tolist() == [[0.3], [0.3]]
    again = as_data(data, counts=[0, 7], noise=0.5)
    assert (again.noise.tolist(), again.counts.tolist()) == ([[0.5], [0.5]], [0.0, 7.0])
    np.testing.assert_array_equal(again.bins, data.bins)


# bins, counts, argument, fragments
BAD_BINS = {
    "no counts": ([0, 1, 3], None, "counts", ["None for bins", "each of the 2 bins"]),
    "counts of edges": ([0, 1, 3], [1, 2, 3], "counts", ["shape (3,)", "2 rows"]),
    "negative count": ([0, 1, 3], [1, -1], "counts", ["-1 in row 1", "or 0"]),
    "NaN count": ([0, 1, 3], [1, nan], "counts", ["nan in row 1", "or 0"]),
    "fractional count": ([0, 1, 3], [1, 1.5], "counts", ["1.5 in row 1", "weights="]),
    "nothing counted": ([0, 1, 3], [0, 0], "counts", ["all 2 are 0"]),
    "counts twice": (pd.Series([1, 2], INTERVALS), [1, 2], "counts", ["Series of counts", "series.index"]),
    "equal edges": ([0, 1, 1], [1, 1], "bins", ["bin 1 (1, 1)", "strictly increasing"]),
    "edges down": ([0, 2, 1], [1, 1], "bins", ["bin 1 (2, 1)", "strictly increasing"]),
    "pair down": ([[0, 1], [3, 2]], [1, 1], "bins", ["bin 1 (3, 2)", "lower edge below"]),
    "unsorted": ([[2, 3], [0, 1]], [1, 1], "bins", ["bin 1 (0, 1) comes after bin 0 (2, 3)", "Sort bins and counts"]),
    "overlap of small bins": ([[0, 2e-6], [1e-6, 3e-6]], [1, 1], "bins", ["overlaps", "correct"]),
    "overlap": ([[0, 2], [1, 3]], [1, 1], "bins", ["bin 1 (1, 3) overlaps bin 0 (0, 2)", "correct"]),
    "overlap of open bins": ([[-inf, 2], [1, inf]], [1, 1], "bins", ["overlaps"]),
    "inside an open bin": ([[0, 1], [1, inf], [2, 3]], [1, 1, 1], "bins", ["bin 2 (2, 3) overlaps bin 1 (1, inf)"]),
    "open twice": ([[-inf, inf]], [1], "bins", ["bin 0 (-inf, inf) has no finite edge", "drop"]),
    "all open": ([-inf, 0, inf], [1, 1], "bins", ["all have an open end", "(-inf, 0)", "two finite edges"]),
    "inf first": ([inf, 0, 1], [1, 1], "bins", ["bin 0 (inf, 0)"]),
    "NaN": ([0, nan, 1], [1, 1], "bins", ["bin 0 (0, nan)", "-inf and inf"]),
    "one edge": ([1], [1], "bins", ["shape (1,)", "(M + 1,)"]),
    "no edges": ([], [], "bins", ["shape (0,)", "(M + 1,)"]),
    "triples": ([[0, 1, 2]], [1], "bins", ["shape (1, 3)", "(M, 2)"]),
    "text": (["a", "b"], [1], "bins", ["'a' (str)"]),
    "number": (5, [1], "bins", ["got 5"]),
    "too large": ([0, 1, 1e200], [1, 1], "bins", ["1e+200", "Rescale"]),
    "too close": ([1e15, 1e15 + 1, 1e15 + 2], [1, 1], "bins", ["Subtract"]),
}  # fmt: skip


@pytest.mark.parametrize(("bins", "counts", "argument", "fragments"), BAD_BINS.values(), ids=BAD_BINS.keys())
def test_bins_that_cannot_be_used(bins, counts, argument, fragments):
    check_message(lambda: as_data(bins=bins, counts=counts), argument, fragments)


@pytest.mark.parametrize("values", [ONE, as_data(ONE)])
def test_bins_stand_instead_of_values(values):
    check_message(lambda: as_data(values, bins=[0, 1], counts=[1]), "values", ["together with bins", "without values"])


# labels, as they are stored
GROUPS = {
    "texts": (["a", "b", "a"], ["a", "b", "a"]),
    "integers": ([3, 1, 3], [3, 1, 3]),
    "positions": ([0, 1, 2], [0, 1, 2]),
    "array": (np.array(["a", "b", "a"]), ["a", "b", "a"]),
    "objects": (np.array(["a", "b", "a"], dtype=object), ["a", "b", "a"]),
    "categories": (pd.Categorical(["a", "b", "a"]), ["a", "b", "a"]),
    "Series": (pd.Series(["a", "b", "a"], ROWS), ["a", "b", "a"]),
    "nullable integers": (pd.Series([3, 1, 3], dtype="Int64"), [3, 1, 3]),
    "polars": (pl.Series(["a", "b", "a"], dtype=pl.Categorical), ["a", "b", "a"]),
    "pyarrow": (pa.array(["a", "b", "a"]), ["a", "b", "a"]),
    "DataArray": (xr.DataArray(["a", "b", "a"]), ["a", "b", "a"]),
    "truth values": ([True, False, True], ["True", "False", "True"]),
    "equal numbers": (np.array([1, 2, 1.0], dtype=object), [1, 2, 1]),
    "equal numbers of many kinds": ([np.int8(1), 2.5, Decimal("1.0")], [1.0, 2.5, 1.0]),
    "tuples": ([("a", 1), ("a", 2), ("a", 1)], ["a, 1", "a, 2", "a, 1"]),
    "large integers": ([2**53, 2**53 + 1, 2**53], [2**53, 2**53 + 1, 2**53]),
    "nothing masked": (np.ma.array(["a", "b", "a"], mask=False), ["a", "b", "a"]),
    "table of one column": (pd.DataFrame({"g": ["a", "b", "a"]}, ROWS), ["a", "b", "a"]),
    "numbers and texts": ([1, "a", 1], ["1", "a", "1"]),
}


@pytest.mark.parametrize(("groups", "stored"), GROUPS.values(), ids=GROUPS.keys())
def test_groups_in_every_form(groups, stored):
    data = as_data(TABLE, groups=groups)
    assert data.groups is not None
    assert data.groups.tolist() == stored
    assert data.groups.dtype != object
    assert not data.groups.flags.writeable


def test_groups_are_a_copy():
    groups = np.array([1, 2, 1])
    data = as_data(AB, groups=groups)
    groups[0] = 9
    assert data.groups.tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("groups", "fragments"),
    [
        (["a", None, "b"], ["None in row 1 (label 's')", "'unknown'"]),
        (["a", nan, "b"], ["nan in row 1", "drop the row"]),
        ([1.0, nan, 2.0], ["nan in row 1"]),
        (pd.Series([1, None, 2], dtype="Int64"), ["<NA> in row 1"]),
        (pd.Series(pd.to_datetime(["2020-01-01", None, "2020-01-02"])), ["row 1", "label"]),
        (pd.Categorical(["a", None, "b"]), ["nan in row 1"]),
        (pl.Series(["a", None, "b"]), ["None in row 1"]),
        ([[1], [1, 2], [3]], ["[1] in row 0"]),
        (["a", "b"], ["shape (2,)", "3 rows"]),
        ([["a"], ["b"], ["c"]], ["['a'] in row 0"]),
        (np.array([["a"], ["b"], ["c"]]), ["shape (3, 1)", "one label for each of the 3 rows"]),
        (np.ma.array(["a", "b", "c"], mask=[0, 1, 0]), ["None in row 1"]),
        ([1, "1", 2], ["1 and '1' are different labels", "one type"]),
        (["a", "a\0", "b"], ["different labels"]),
        ([b"a", "a", "b"], ["different labels"]),
        ([2**53, 2**53 + 1, 0.5], ["different labels"]),
        (1 + np.arange(3, dtype=np.longdouble) * np.finfo(np.longdouble).eps, ["different labels"]),
        ("abc", ["'abc'", "3 rows"]),
        (pd.Series(["a", "b", "c"], ["r", "t", "u"]), ["label t", "row 1", "Align"]),
    ],
)
def test_groups_that_cannot_be_used(groups, fragments):
    check_message(lambda: as_data(TABLE, groups=groups), "groups", fragments)


def everything():
    return as_data(
        TABLE,
        noise=COVARIANCES,
        noise_scale=bg.LogNormal(0.0, 0.5),
        weights=[0.5, 1.0, 2.0],
        groups=["u", "v", "u"],
    )


def test_fields_of_data_are_replaced_one_by_one():
    data = everything()
    other = as_data(data, noise=SDS, groups=[1, 2, 1])
    np.testing.assert_array_equal(other.noise, SDS)
    assert other.groups.tolist() == [1, 2, 1]
    assert other.noise_scale is data.noise_scale
    for name in ("values", "obs_names", "counts"):
        np.testing.assert_array_equal(getattr(other, name), getattr(data, name))
    np.testing.assert_array_equal(data.noise, COVARIANCES)
    check_message(lambda: as_data(data, noise=[1.0, 2.0, 3.0]), "noise", ["shape (3,)", "(3, 2)"])
    assert as_data(data) is data


def test_errors_follow_their_columns():
    swapped = everything().with_columns([1, 0])
    assert swapped.feature_names == ("b", "a")
    np.testing.assert_array_equal(swapped.values, AB[:, ::-1])
    np.testing.assert_array_equal(swapped.noise, COVARIANCES[:, ::-1, ::-1])
    assert swapped.groups.tolist() == ["u", "v", "u"]
    np.testing.assert_array_equal(as_data(TABLE, noise=SDS).with_columns([1, 0]).noise, SDS[:, ::-1])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_copies_are_as_read_only_as_the_original(duplicate):
    binned = as_data(bins=[0, 1, 3], counts=[1, 2], noise=0.1, groups=[1, 2])
    for data, fields in (
        (everything(), ("noise", "counts", "groups")),
        (binned, ("noise", "counts", "groups", "bins")),
    ):
        other = duplicate(data)
        for name in fields:
            np.testing.assert_array_equal(getattr(other, name), getattr(data, name))
            assert not getattr(other, name).flags.writeable, name
        assert other.noise_scale == data.noise_scale


def test_repr_says_what_there_is():
    assert repr(everything()) == (
        "Data(n_obs=3, n_features=2, feature_names=('a', 'b'), counts, groups, noise=covariance, "
        "noise_scale=LogNormal(0, 0.5))"
    )
    assert repr(as_data(bins=[0, 1], counts=[1], noise=0.1)).endswith("counts, bins, noise=sd)")


@pytest.mark.parametrize(
    ("changes", "argument", "fragments"),
    [
        ({"noise": SDS.tolist()}, "Data.noise", ["list", "as_data(values, noise=...)"]),
        ({"noise": SDS[:2]}, "Data.noise", ["(2, 2)", "(3, 2)"]),
        ({"noise": SDS.astype(np.float32)}, "Data.noise", ["float32"]),
        ({"noise": -SDS}, "noise", ["-0.1"]),
        ({"bins": SDS, "counts": ONE}, "Data.bins", ["one feature", "as_data(bins="]),
        ({"groups": ["a"]}, "groups", ["shape (1,)"]),
        ({"noise_scale": bg.HalfNormal(1.0)}, "noise_scale", ["no noise"]),
    ],
)
def test_data_cannot_be_made_wrong(changes, argument, fragments):
    check_message(lambda: Data(values=AB, feature_names=("a", "b"), **changes), argument, fragments)


def test_values_of_bins_lie_in_them():
    data = as_data(bins=[0, 1, 3], counts=[1, 2])
    check_message(lambda: replace(data, values=np.array([[0.5], [4.0]])), "Data.values", ["4 is not in bin 1 (1, 3)"])
    check_message(lambda: replace(data, counts=None), "counts", ["2 bins"])
    check_message(lambda: replace(data, bins=data.bins[::-1].copy()), "bins", ["Sort"])


def two_groups(n=20):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0.0, 1.0, (n, 2)), rng.normal(8.0, 1.0, (n, 2))])


def fitted(data):
    model = bg.GaussianMixture(2)
    return bg.fit(model, data, engine=bg.EM(n_init=2), random_seed=1, progressbar=False)


def built(monkeypatch, data):
    """What the writer of results makes of the data, from a fit to the values and groups alone."""
    from bayesgmm import results
    from bayesgmm.inference import fitting

    write = results.build_result
    monkeypatch.setattr(results, "build_result", lambda *given, **named: write(*given, **{**named, "data": data}))
    own = {name: getattr(data, name) for name in ("values", "feature_names", "obs_names", "groups")}
    bare = Data(**own)
    one = bg.GaussianMixture(1)
    return fitting.fit(one, bare, engine=bg.EM(n_init=2), random_seed=1, progressbar=False)


VALUES = pd.DataFrame(two_groups(), columns=["a", "b"], index=[f"row {i}" for i in range(40)])
STORED = {
    "nothing": as_data(VALUES),
    "sds": as_data(VALUES, noise=0.1 + 0.01 * two_groups() ** 2, noise_scale=bg.LogNormal(0.0, 0.5)),
    "covariances": as_data(VALUES, noise=np.arange(1, 41)[:, None, None] * COVARIANCE, counts=np.arange(40) + 1),
    "weights and groups": as_data(VALUES, weights=np.arange(40) / 7 + 0.1, groups=["u", "long name"] * 20),
    "numbers as groups": as_data(VALUES, groups=np.arange(40) % 3),
}


@pytest.mark.parametrize("data", STORED.values(), ids=STORED.keys())
@pytest.mark.parametrize("by_file", [False, True], ids=["fresh", "file"])
def test_results_keep_the_data(monkeypatch, tmp_path, data, by_file):
    check_stored(built(monkeypatch, data), data, tmp_path if by_file else None)


@pytest.mark.parametrize("by_file", [False, True], ids=["fresh", "file"])
def test_results_keep_bins(monkeypatch, tmp_path, by_file):
    data = as_data(bins=[-inf, *range(10), inf], counts=[1] * 11, noise=0.1, groups=["u"] * 11)
    fit = built(monkeypatch, data)
    check_stored(fit, data, tmp_path if by_file else None)
    assert fit["constant_data"]["bins"].dims == ("obs", "bound")
    assert fit["constant_data"]["bound"].to_numpy().tolist() == ["lower", "upper"]


def check_stored(fit, data, folder):
    if folder is not None:
        fit.to_netcdf(folder / "fit.nc", engine="h5netcdf")
        with xr.open_datatree(folder / "fit.nc", engine="h5netcdf") as opened:
            fit = opened.load()
    found = stored_data(fit)
    for name in ("values", "obs_names", "counts", "noise", "bins", "groups"):
        one, other = getattr(found, name), getattr(data, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_array_equal(one, other, err_msg=name)
            assert one.dtype.kind == other.dtype.kind, name
    assert found.feature_names == data.feature_names
    assert found.noise_scale == data.noise_scale
    for variable, values in fit["constant_data"].data_vars.items():
        assert values.dims == names.DIMS[variable]


@pytest.mark.parametrize("given", [{"noise": 0.1}, {"noise": COVARIANCE, "weights": np.arange(40) / 7 + 0.1}])
def test_fit_hands_the_data_to_the_result(given):
    data = as_data(VALUES, **given)
    found = stored_data(fitted(data))
    np.testing.assert_array_equal(found.noise, data.noise)
    assert (found.counts is None) == ("weights" not in given)
    assert found.counts is None or found.counts.tolist() == data.counts.tolist()


def test_bins_of_each_group():
    data = as_data(bins=[[-inf, 1], [-inf, 2], [1, 4], [2, 3]], counts=[1, 2, 3, 4], groups=["u", "v", "u", "v"])
    assert data.values[:, 0].tolist() == [-0.5, 1.5, 2.5, 2.5]
    assert as_data(data, noise=0.1).groups.tolist() == ["u", "v", "u", "v"]
    with pytest.raises(bg.InputError, match=r"bin 3 \(0, 3\) overlaps bin 1 \(0, 2\)"):
        as_data(bins=[[0, 1], [0, 2], [1, 4], [0, 3]], counts=[1, 2, 3, 4], groups=["u", "v", "u", "v"])
    with pytest.raises(bg.InputError, match=r"groups: has shape \(1,\)"):
        as_data(bins=[[0, 1], [0, 2]], counts=[1, 2], groups=["u"])


def test_what_was_binned_has_a_name():
    assert as_data(bins={"length": [0, 1, 2]}, counts=[3, 4]).feature_names == ("length",)
    assert as_data(bins=pd.Series([0.0, 1.0, 2.0], name="length"), counts=[3, 4]).feature_names == ("length",)
    index = pd.IntervalIndex.from_breaks([0, 1, 2], name="length")
    assert as_data(bins=pd.Series([3, 4], index=index)).feature_names == ("length",)


@pytest.mark.parametrize("argument", ["counts", "weights", "groups", "noise"])
@pytest.mark.parametrize("shuffled", ["given", "values"])
def test_labels_are_no_positions(argument, shuffled):
    values, given = pd.DataFrame({"a": [1.0, 2.0, 4.0]}), pd.Series([1, 2, 3])
    aligned = given.to_numpy()[::-1] if shuffled == "values" else given.to_numpy()
    if shuffled == "given":
        given = given.iloc[::-1]
    else:
        values = values.iloc[::-1]
    field = "counts" if argument == "weights" else argument
    assert np.ravel(getattr(as_data(values, **{argument: given}), field)).tolist() == aligned.tolist()
    # Rows of an array have no labels, and of those of `Data` it is not known.
    data = as_data(values.to_numpy(), **{argument: given})
    assert np.ravel(getattr(data, field)).tolist() == given.tolist()
    if shuffled == "given":
        with pytest.raises(bg.InputError, match=rf"{argument}.*Align them first"):
            as_data(as_data(values), **{argument: given})


@pytest.mark.parametrize(
    ("index", "given"),
    [(None, [1, 2, 3]), (None, [0, 1, 3]), (["a", "b", "c"], ["a", "b", "d"]), (["a", "a", "b"], ["a", "b", "a"])],
    ids=["shifted", "a row dropped", "another row", "repeats"],
)
def test_rows_that_are_not_the_same_ones_are_refused(index, given):
    values = pd.DataFrame({"a": [1.0, 2.0, 4.0]}, index=index)
    with pytest.raises(bg.InputError, match=r"counts: has the label .* Align them first"):
        as_data(values, counts=pd.Series([1, 2, 3], index=given))


def test_positions_next_to_names_are_rows_in_their_order():
    named = pd.DataFrame({"a": [1.0, 2.0, 4.0]}, index=["r", "s", "t"])
    assert as_data(named, counts=pd.Series([1, 2, 3])).counts.tolist() == [1, 2, 3]
    unnamed = pd.DataFrame({"a": [1.0, 2.0, 4.0]})
    assert as_data(unnamed, counts=pd.Series([1, 2, 3], index=["r", "s", "t"])).counts.tolist() == [1, 2, 3]
    assert as_data(named, counts=pd.Series([1, 2, 3], index=["r", "s", "t"])).counts.tolist() == [1, 2, 3]


def test_dates_of_groups_in_another_unit():
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-01"], dtype="M8[D]")
    data = as_data([1.0, 2.0, 3.0], groups=days.astype("M8[s]"))
    numbers = group_numbers(data, np.array(["2020-01-01", "2020-01-02"], dtype="M8[ns]"))
    assert numbers.tolist() == [0, 1, 0]
