"""What stands beside the rows, in every container: aligned by labels or refused, and masks are missing values."""

from __future__ import annotations

import fuzz_data
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm.data import read_matrix
from bayesgmm.inference._comparison_arguments import checked_prior
from bayesgmm.traits import measurements

N = 12
LABELS = [f"r{i}" for i in range(N)]
NUMBERS = [int(each) for each in np.random.default_rng(0).permutation(N) + 1]
ORDER = np.random.default_rng(1).permutation(N)
VALUES = np.random.default_rng(2).normal(size=N)


def labelled(container, values, labels):
    index = pd.Index(labels)
    if container == "Series":
        return pd.Series(values, index=index)
    if container == "Series, nullable":
        return pd.Series(values, index=index).convert_dtypes()
    if container == "DataFrame":
        return pd.DataFrame({"name": values}, index=index)
    if container == "dict of Series":
        return {"name": pd.Series(values, index=index)}
    if container == "Dataset":
        return xr.Dataset({"name": ("obs", values)}, coords={"obs": index})
    return xr.DataArray(values, dims="obs", coords={"obs": index})


def unlabelled(container, values):
    return {
        "list": lambda: list(values),
        "tuple": lambda: tuple(values),
        "array": lambda: np.array(values),
        "masked array": lambda: np.ma.array(values, mask=False),
        "polars": lambda: pl.Series(values),
        "pyarrow": lambda: pa.array(values),
        "pyarrow, chunked": lambda: pa.chunked_array([values[:2], values[2:]]),
        "DataArray": lambda: xr.DataArray(np.array(values), dims="obs"),
        "Variable": lambda: xr.Variable("obs", np.array(values)),
    }[container]()


def with_a_hole(container, values):
    """The same with the second entry missing, whatever stands under a mask."""
    holes = [i == 1 for i in range(len(values))]
    held = [None if hole else value for hole, value in zip(holes, values, strict=True)]
    return {
        "list": lambda: held,
        "list with masked": lambda: [np.ma.masked if hole else v for hole, v in zip(holes, values, strict=True)],
        "masked array": lambda: np.ma.array(values, mask=holes),
        "Series": lambda: pd.Series(held, dtype=object),
        "Series, nullable": lambda: pd.Series(values).convert_dtypes().mask(np.array(holes)),
        "polars": lambda: pl.Series(held),
        "pyarrow": lambda: pa.array(held),
        "DataArray": lambda: xr.DataArray(np.array(held, dtype=object), dims="obs"),
    }[container]()


def field(name, **of):
    return lambda values, given: np.ravel(getattr(bg.as_data(values, **{of.get("argument", name): given}), name))


def of_bins(argument):
    edges = pd.DataFrame({"lower": np.arange(N), "upper": np.arange(N) + 1.0}, index=LABELS)
    other = {} if argument != "groups" else {"counts": np.ones(N)}

    def read(values, given):
        bins = edges if isinstance(values, pd.DataFrame) else edges.to_numpy()
        data = bg.as_data(bins=bins, **{argument: given}, **other)
        return data.groups if argument == "groups" else data.counts

    return read


def clusters(values, given):
    return bg.ddpcr.Well(name="A01", channels=("x",), amplitudes=values, clusters=given).clusters


def errors(values, given):
    return measurements(values, value="x" if isinstance(values, pd.DataFrame) else None, error=given).errors


# What reads an argument beside rows.
READERS = {
    "counts": field("counts"),
    "weights": field("counts", argument="weights"),
    "groups": field("groups"),
    "noise": field("noise"),
    "counts of bins": of_bins("counts"),
    "weights of bins": of_bins("weights"),
    "groups of bins": of_bins("groups"),
    "error of measurements": errors,
    "clusters of droplets": clusters,
}
LABELLED = ("Series", "Series, nullable", "DataFrame", "dict of Series", "Dataset", "DataArray")
UNLABELLED = (
    "list",
    "tuple",
    "array",
    "masked array",
    "polars",
    "pyarrow",
    "pyarrow, chunked",
    "DataArray",
    "Variable",
)
WITH_HOLES = (
    "list",
    "list with masked",
    "masked array",
    "Series",
    "Series, nullable",
    "polars",
    "pyarrow",
    "DataArray",
)


def table():
    return pd.DataFrame({"x": VALUES}, index=LABELS)


@pytest.mark.parametrize("container", LABELLED)
@pytest.mark.parametrize("reader", READERS)
def test_labels_say_which_row(reader, container):
    # A table of errors has the names of the values.
    name = "x" if reader == "noise" else "name"
    given = labelled(container, [NUMBERS[i] for i in ORDER], [LABELS[i] for i in ORDER])
    if name == "x" and container in ("DataFrame", "Dataset"):
        given = given.rename(columns={"name": "x"}) if container == "DataFrame" else given.rename({"name": "x"})
    elif name == "x" and container == "dict of Series":
        given = {"x": given["name"]}
    assert READERS[reader](table(), given).tolist() == NUMBERS


@pytest.mark.parametrize("container", LABELLED)
@pytest.mark.parametrize("reader", READERS)
def test_labels_of_other_rows_are_refused(reader, container):
    with pytest.raises(bg.InputError):
        READERS[reader](table(), labelled(container, NUMBERS, [*LABELS[:-1], "other"]))


@pytest.mark.parametrize("container", UNLABELLED)
@pytest.mark.parametrize("reader", READERS)
def test_entries_without_labels_stand_in_order(reader, container):
    assert READERS[reader](table(), unlabelled(container, NUMBERS)).tolist() == NUMBERS
    # So do entries with labels beside rows that have none.
    given = labelled("Series", NUMBERS, LABELS[::-1])
    assert READERS[reader](VALUES[:, None], given).tolist() == NUMBERS


@pytest.mark.parametrize("container", WITH_HOLES)
@pytest.mark.parametrize("reader", READERS)
def test_missing_and_masked_entries_are_refused(reader, container):
    with pytest.raises(bg.InputError):
        READERS[reader](table(), with_a_hole(container, NUMBERS))


@pytest.mark.parametrize("reader", READERS)
def test_columns_are_no_rows(reader):
    given = xr.DataArray(NUMBERS, dims="feature")
    with pytest.raises(bg.InputError, match=r"'feature', that of columns|shape"):
        READERS[reader](table(), given)


SURE = [("obs", "feature"), ("n_obs", "variables"), ("Rows", "v"), ("v", "columns"), ("observation", "gene")]
SURE += [("time", "feature"), ("obs", "sample"), ("gene", "features")]
LIKELY = [
    ("Samples", "genes"),
    ("patient_id", "v"),
    ("v", "channel"),
    ("time", "sensor"),
    ("cells", "Markers"),
    ("n", "d"),
]


@pytest.mark.parametrize(("rows", "columns"), SURE + LIKELY)
def test_dimensions_are_told_by_their_names(rows, columns):
    x = np.arange(20.0).reshape(4, 5)
    array = xr.DataArray(x, dims=(rows, columns), coords={columns: list("abcde"), rows: list("pqrs")})
    np.testing.assert_array_equal(bg.as_data(array).values, x)
    np.testing.assert_array_equal(bg.as_data(array.variable).values, x)
    if (rows, columns) in LIKELY:  # what is likely does not turn an array round
        for turned in (array.T, array.variable.transpose(), array.T[:, :2]):
            with pytest.raises(bg.InputError, match=r"whose names do not say which are the rows.*'obs'"):
                bg.as_data(turned)
        return
    data = bg.as_data(array.T)
    np.testing.assert_array_equal(data.values, x)
    assert data.feature_names == tuple("abcde")
    assert data.obs_names.tolist() == list("pqrs")


def test_dimensions_whose_names_say_nothing():
    x = np.arange(20.0).reshape(5, 4)
    np.testing.assert_array_equal(bg.as_data(xr.DataArray(x, dims=("u", "v"))).values, x)
    np.testing.assert_array_equal(bg.as_data(xr.DataArray(x.T)).values, x.T)  # as an array
    for dims in (("u", "v"), ("time", "sample"), ("feature", "variable")):
        with pytest.raises(bg.InputError, match=r"whose names do not say which are the rows.*'obs'"):
            bg.as_data(xr.DataArray(x.T, dims=dims))
    # One number for each gene: there is no other dimension that could be the rows.
    assert bg.as_data(xr.DataArray(x[:, 0], dims="gene")).values.shape == (5, 1)


def test_dimensions_of_the_values_say_which_are_rows():
    x = np.arange(20.0).reshape(5, 4)
    values = xr.DataArray(x, dims=("u", "v"), coords={"v": list("abcd"), "u": list("pqrst")})
    noise = xr.DataArray(x / 8, dims=("u", "v"), coords=values.coords)
    for given in (noise, noise.T, noise[::-1], noise.T[::-1], noise[:, ::-1].T):
        np.testing.assert_array_equal(bg.as_data(values, noise=given).noise, x / 8)
    with pytest.raises(bg.InputError, match="'v', that of columns"):
        bg.as_data(values, counts=xr.DataArray(np.ones(5), dims="v"))


def test_covariances_are_aligned_by_the_labels_of_all_dimensions():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(4, 3, 3))
    sigma = A @ np.swapaxes(A, 1, 2) + np.eye(3)
    values = pd.DataFrame(rng.normal(size=(4, 3)), index=list("pqrs"), columns=list("abc"))
    coords = {"obs": list("pqrs"), "feature": list("abc"), "feature_bis": list("abc")}
    noise = xr.DataArray(sigma, dims=("obs", "feature", "feature_bis"), coords=coords)
    for given in (
        noise,
        noise.transpose("feature", "obs", "feature_bis"),
        noise[::-1, [2, 0, 1], ::-1],
        noise[:, :, [1, 0, 2]],
    ):
        np.testing.assert_array_equal(bg.as_data(values, noise=given).noise, sigma)
    one = pd.DataFrame(sigma[0], index=list("abc"), columns=list("abc"))
    for given in (
        one,
        one.loc[list("cab"), list("bca")],
        xr.DataArray(one.loc[list("cab")], dims=("feature", "other")),
    ):
        np.testing.assert_array_equal(bg.as_data(values, noise=given).noise, np.repeat(sigma[:1], 4, axis=0))
    with pytest.raises(bg.InputError, match="noise"):
        bg.as_data(values, noise=noise.assign_coords(obs=list("pqrz")))
    # Numbers of rows and columns are no names: these are standard deviations.
    square = pd.DataFrame(rng.uniform(0.1, 1.0, size=(3, 3)))
    np.testing.assert_array_equal(bg.as_data(square, noise=square).noise, square)


def test_ends_of_bins_are_told_by_their_names():
    edges = pd.DataFrame({"upper": [1.0, 2.0, 4.0], "lower": [0.0, 1.0, 2.0]})
    expected = [[0, 1], [1, 2], [2, 4]]
    assert bg.as_data(bins=edges, counts=[1, 2, 3]).bins.tolist() == expected
    turned = xr.DataArray(np.array(expected).T, dims=("bound", "bin"))
    assert bg.as_data(bins=turned, counts=[1, 2, 3]).bins.tolist() == expected
    intervals = pd.IntervalIndex.from_arrays([0, 1, 2], [1, 2, 4])
    frequent_first = pd.Series([3, 2, 1], index=intervals[::-1])
    assert bg.as_data(bins=intervals, counts=frequent_first).counts.tolist() == [1, 2, 3]


def test_rows_of_a_list_that_have_labels_are_refused():
    rows = [pd.Series([1.0, 2.0], index=["a", "b"]), pd.Series([4.0, 3.0], index=["b", "a"])]
    with pytest.raises(bg.InputError, match=r"entry 0 of the list is a Series"):
        bg.as_data(rows)
    masked = [np.ma.array([1.0, 2.0], mask=[0, 1]), [3.0, np.ma.masked]]
    np.testing.assert_array_equal(bg.as_data(masked).values, [[1.0, np.nan], [3.0, np.nan]])


def test_integers_beside_missing_ones_keep_their_digits():
    for given in (pa.array([2**53, 2**53 + 1, None]), pl.Series([2**53, 2**53 + 1, None])):
        with pytest.raises(bg.InputError, match="different values that all become"):
            bg.as_data(given)
        groups = pl.Series([2**53, 2**53 + 1, 2**53])
        assert len(set(bg.as_data([1.0, 2.0, 3.0], groups=groups).groups.tolist())) == 2


def test_prior_of_numbers_by_its_index():
    prior = pd.Series([0.5, 0.3, 0.2], index=[3, 1, 2])
    np.testing.assert_allclose(checked_prior(prior, [1, 2, 3]), [0.3, 0.2, 0.5])
    with pytest.raises(bg.InputError, match="prior"):
        checked_prior(np.ma.array([0.5, 0.3, 0.2], mask=[0, 1, 0]), [1, 2, 3])


def test_channels_of_droplets_by_their_names():
    x = np.arange(6.0).reshape(3, 2)
    frame = pd.DataFrame(x[:, ::-1], columns=["Ch2", "Ch1"])
    np.testing.assert_array_equal(bg.ddpcr.Well(name="A01", channels=("Ch1", "Ch2"), amplitudes=frame).amplitudes, x)
    for wrong in (frame.rename(columns={"Ch2": "Ch3"}), np.ma.array(x, mask=x > 4), "text", x[:, :1]):
        with pytest.raises(bg.InputError, match=r"Well\.amplitudes of A01"):
            bg.ddpcr.Well(name="A01", channels=("Ch1", "Ch2"), amplitudes=wrong)
    assert read_matrix("x", np.empty((0, 2), dtype=int), ("a", "b"))[0].shape == (0, 2)


def test_masks_in_declarations_are_refused():
    for given in (np.ma.array([1.0, 2.0], mask=[0, 1]), [1.0, np.ma.masked], [np.ma.array([1.0], mask=True)]):
        with pytest.raises(bg.InputError, match=r"Dirichlet\.concentration"):
            bg.Dirichlet(given)


def test_random_calls():
    counts, faults = fuzz_data.run(600, seed=1)
    assert not [found for _, _, found in faults]
    assert counts["all", "right"] > 300
    assert counts["all", "refused rightly"] > 150
