"""The one way in for measurements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bayesgmm._errors import InputError
from bayesgmm.data._align import RowsBeside, read_labels, read_numbers
from bayesgmm.data._convert import to_float64
from bayesgmm.data._data import Data
from bayesgmm.data._observation import check_counts
from bayesgmm.data._read import read
from bayesgmm.data._read_bins import bin_centres, read_bins
from bayesgmm.data._read_noise import read_noise


def as_data(
    values: Any = None,
    *,
    noise: Any = None,
    noise_scale: Any = None,
    counts: Any = None,
    weights: Any = None,
    bins: Any = None,
    groups: Any = None,
    known_labels: Any = None,
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
        * xarray DataArray, whose rows are told by the names of its dimensions: ``obs`` or ``row``, ``feature`` or
          ``column`` and the like decide, in any order; others, such as ``sample`` and ``gene``, must not speak against
          the first one being the rows, and where they say nothing the first one has to be the longer one. Names of
          columns from its coordinates. Or a Dataset whose variables share one dimension;
        * `Data`, which is returned as it is, or with what else is given in place of what it had;
        * None where `bins` are given.

        Integers, decimals and floats of any width become float64. NaN (and the missing values of tables) mean that
        an entry was not observed; so do masks. The argument is never changed or shared.

        What is given beside the values may be in any of these containers, too. Where both have labels of rows (an
        index, a coordinate) it is put in the order of the values, and refused if the labels are not the same ones, each
        once. Entries without labels stand in the order of the rows.
    noise : float, array_like, table or mapping, optional
        Measurement errors in the units of the values, d being n_features. A row is then a draw from the mixture plus an
        error with mean 0. 0 is an exact value; NaN is allowed where the value itself is missing.

        * number: the standard deviation of every entry;
        * (d,), or mapping of names to numbers: standard deviations, the same in every row;
        * (n_obs, d), or (n_obs,) for one feature: standard deviations. A table has the names of the
          values, in any order;
        * (1, d, d) or (n_obs, d, d): covariances. Also (d, d), the same in every row, unless d is 1 or n_obs.
    noise_scale : LogNormal, HalfNormal, Exponential or Gamma, optional
        Prior of an unknown factor that multiplies all standard deviations of `noise`.
    counts : (n_obs,) array_like of whole numbers, optional
        How many units each row stands for, as in a frequency table. The likelihood is that of the repeated rows. A row
        that counts 0 takes no part and has its place in the results all the same. With `bins` how many values fell
        into each.
    weights : (n_obs,) array_like of numbers of at least 0, optional
        Like `counts`, but not whole: the log likelihood of each row is multiplied by its weight.
    bins : (M + 1,) or (M, 2) array_like, or pandas IntervalIndex, optional
        Edges in increasing order, or lower and upper edges of bins that do not overlap, in the units of the one feature
        that was binned; -inf and inf mean that an end is open. Each bin is a row. Instead of `values`, and with
        `counts` or `weights`. A Series of counts with an IntervalIndex holds both. ``{"length": edges}`` and a named
        Series or index give the feature a name; it is called ``x`` otherwise.
    groups : (n_obs,) array_like, optional
        Label of the group of each row (batch, well, site): strings, integers, categories. In `fit` every group has
        weights of its own, and all share the means and covariances of the components. With `bins` each group has bins
        of its own, which may overlap those of others.
    known_labels : (n_obs,) array_like of integers, optional
        The component that some rows are known to come from: 0 to K - 1; -1, NaN, None or masked where it is unknown.
        Such a row says log(w_k N(x | k)) instead of the log of the sum over components, exactly; components with known
        rows keep their numbers, and none of them changes places with another.

    Returns
    -------
    Data
        Values of shape (n_obs, n_features) with the names of rows and columns, and what is known about how they were
        observed. For bins the values are their centres, where an end is open those of bins as wide as the neighbour.

    Raises
    ------
    InputError
        If there are no values; the shape is not (n_obs, n_features) or (n_obs,); entries are infinite or not real
        numbers (booleans, text, categories, times); names of columns repeat; or a column is so large, or varies
        so little, that variances would not be representable in double precision.
        Also if another argument has another length or other labels of rows than the values, can be read in two ways or
        holds what it cannot: negative or infinite numbers, matrices that are no covariances, bins that overlap, groups
        without a label or with different labels that would be stored as the same (1 and "1").

    Examples
    --------
    >>> as_data({"length": [4.9, 5.1, 6.3], "width": [1, 2, 2]})
    Data(n_obs=3, n_features=2, feature_names=('length', 'width'))

    Measurement errors, the same in every row, with an unknown common factor:

    >>> from bayesgmm.model import LogNormal
    >>> as_data([4.9, 5.1, 6.3], noise=0.2, noise_scale=LogNormal(0.0, 0.5))
    Data(n_obs=3, n_features=1, feature_names=('x'), noise=sd, noise_scale=LogNormal(0, 0.5))

    Covariances of the errors of each row:

    >>> as_data([[4.9, 1.0], [5.1, 2.0], [6.3, 2.0]], noise=[[[0.04, 0.01], [0.01, 0.09]]])
    Data(n_obs=3, n_features=2, feature_names=('x0', 'x1'), noise=covariance)

    A frequency table, weighted rows, groups:

    >>> as_data([4.9, 5.1, 6.3], counts=[1, 5, 2]).counts
    array([1., 5., 2.])
    >>> as_data([4.9, 5.1, 6.3], weights=[0.5, 1.0, 0.25]).counts
    array([0.5 , 1.  , 0.25])
    >>> as_data([4.9, 5.1, 6.3], groups=["a", "b", "a"])
    Data(n_obs=3, n_features=1, feature_names=('x'), groups)

    Rows of which the component is known:

    >>> as_data([4.9, 5.1, 6.3], known_labels=[0, None, 1]).known_labels
    array([ 0, -1,  1])

    Bins, the last one open:

    >>> binned = as_data(bins=[0, 1, 2, float("inf")], counts=[3, 0, 4])
    >>> binned
    Data(n_obs=3, n_features=1, feature_names=('x'), counts, bins)
    >>> binned.values[:, 0]
    array([0.5, 1.5, 2.5])
    """
    if counts is not None and weights is not None:
        raise InputError(
            "weights",
            "given together with counts",
            "Give whole numbers as counts or other numbers as weights; if both are meant, weights=counts * weights.",
        )
    if bins is not None:
        if values is not None:
            raise InputError(
                "values",
                f"got {type(values).__name__} together with bins",
                "Give bins and counts without values: what was counted is known by its bin only.",
            )
        edges, counts_of_series, feature, beside = read_bins(bins, weights if counts is None else counts)
        found = _units("counts" if weights is None else "weights", counts_of_series, beside)
        if groups is not None:
            found["groups"] = read_labels("groups", groups, beside)
        if known_labels is not None:
            found["known_labels"] = read_numbers("known_labels", known_labels, beside)
        centres = bin_centres(edges, found.get("groups"))
        data = Data(values=centres, feature_names=(feature,), bins=edges, **found)
        counts = weights = groups = known_labels = None
    elif values is None:
        raise InputError(
            "values",
            "got None, no measurements",
            "Pass an array or table with one row for each observation, or bins with counts.",
        )
    elif isinstance(values, Data):
        data, beside = values, RowsBeside.of_values(values)
    else:
        data, beside = _measured(values)

    changes = _units("counts", counts, beside) | _units("weights", weights, beside)
    if noise is not None:
        changes["noise"] = read_noise(noise, beside, data.feature_names)
    if noise_scale is not None:
        changes["noise_scale"] = noise_scale
    if groups is not None:
        changes["groups"] = read_labels("groups", groups, beside)
    if known_labels is not None:
        changes["known_labels"] = read_numbers("known_labels", known_labels, beside)
    return replace(data, **changes) if changes else data


def _units(name: str, given: Any, beside: RowsBeside) -> dict[str, Any]:
    """Checked counts or weights; here, because `Data` does not know which of both they are."""
    if given is None:
        return {}
    numbers = read_numbers(name, given, beside)
    return {"counts": check_counts(numbers, beside.n, beside.obs_names, argument=name, whole=name == "counts")}


def _measured(values: Any) -> tuple[Data, RowsBeside]:
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
    data = Data(
        values=converted, feature_names=tuple(table.feature_names), obs_names=table.obs_names, source=table.source
    )
    return data, RowsBeside.of(table)
