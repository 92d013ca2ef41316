"""The one way in for measurements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.data._convert import to_float64
from bayesgmm.data._data import Data
from bayesgmm.data._read import read

# What each observation model would be for, and what a user can do until it exists.
_INSTEAD = {
    "noise": (
        "Leave noise out: the covariances of the fit then include the measurement errors, "
        "and subtracting a common error covariance from them gives the spread without it."
    ),
    "bins": (
        "Pass bin centres, repeated by how often each bin was hit, "
        "as_data(numpy.repeat(centres, hits, axis=0)): close where bins are narrow against the components."
    ),
    "groups": "Pool the rows, as_data(values), or take each group by itself, as_data(values[groups == g]).",
}


def as_data(
    values: Any = None,
    *,
    noise: Any = None,
    counts: Any = None,
    bins: Any = None,
    groups: Any = None,
) -> Data:
    """Read measurements from any container into validated double precision.

    Parameters
    ----------
    values : array_like, DataFrame, Series, mapping, DataArray, Dataset or Data
        Measurements in any units, one row per observation and one column per feature.

        * numpy array or nested list, shape (n_obs, n_features), with names ``x0, x1, ...``; or (n_obs,), named ``x``;
        * DataFrame or Series of pandas, polars (also lazy), pyarrow or another package that narwhals reads; a pandas
          index is kept as `Data.obs_names` unless it is 0, 1, ..., n_obs - 1, and a MultiIndex as ``"a, 1"``;
        * mapping of names to columns of equal length;
        * xarray DataArray whose first dimension is the rows, names from its coordinates; or a Dataset whose
          variables share one dimension;
        * `Data`, which is returned as it is.

        Integers, decimals and floats of any width become float64. NaN (and the missing values of tables) mean that
        an entry was not observed. The argument is never changed or shared.
    noise : optional
        An observation model of a later version; anything but None raises.
    counts : (n_obs,) array_like, optional
        How many units each row stands for, as in a frequency table, or weights. The likelihood is that of the repeated
        rows.
    bins, groups : optional
        As `noise`.

    Returns
    -------
    Data
        Values of shape (n_obs, n_features) with the names of rows and columns.

    Raises
    ------
    InputError
        If there are no values; the shape is not (n_obs, n_features) or (n_obs,); entries are infinite or not real
        numbers (booleans, text, categories, times); names of columns repeat; or a column is so large, or varies
        so little, that variances would not be representable in double precision.
    UnsupportedError
        If noise, bins or groups are given.

    Examples
    --------
    >>> as_data({"length": [4.9, 5.1, 6.3], "width": [1, 2, 2]})
    Data(n_obs=3, n_features=2, feature_names=('length', 'width'))
    """
    for name, given in {"noise": noise, "bins": bins, "groups": groups}.items():
        if given is not None:
            raise UnsupportedError(
                f"as_data({name}=...)", f"this version, which has no observation model for {name} yet", _INSTEAD[name]
            )
    if values is None:
        raise InputError(
            "values", "got None, no measurements", "Pass an array or table with one row for each observation."
        )
    if isinstance(values, Data):
        return values if counts is None else replace(values, counts=counts)

    table = read(values)
    shape = (len(table.blocks[0]), len(table.feature_names))
    if 0 in shape:
        raise InputError(
            "values",
            f"the table is empty: {shape[0]} rows and {shape[1]} columns",
            "Pass at least one row (observation) and one column (feature).",
        )
    converted = to_float64(table.blocks, table.feature_names, table.obs_names)
    converted.flags.writeable = False  # nobody else holds it, so Data keeps it without a second copy
    return Data(values=converted, feature_names=tuple(table.feature_names), obs_names=table.obs_names, counts=counts)
