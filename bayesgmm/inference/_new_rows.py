"""Rows that a fit is asked about: its own, or new ones whose columns are found by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._errors import InputError
from bayesgmm._words import counted, listed
from bayesgmm.data import Data, as_data, describe_columns, group_numbers, named_columns

if TYPE_CHECKING:
    import xarray as xr

    from bayesgmm.results import FittedMixture


def rows_for(fit: xr.DataTree, fitted: FittedMixture, data: Any, argument: str = "data") -> Data:
    """The rows in `data` with the columns of the fit in their order; the rows that were fitted for None.

    Raises
    ------
    InputError
        If a column of the fit is missing, or groups were not fitted.
    """
    from bayesgmm.results import stored_data

    if data is None:
        return stored_data(fit)
    table = as_data(_with_columns_of(fitted, data, argument))
    if table.n_features != len(fitted.feature_names):
        has = counted(len(fitted.feature_names), "feature")
        raise InputError(
            argument,
            f"has {counted(table.n_features, 'column')} without names to choose by",
            f"The fit has {has}, {listed(fitted.feature_names)}; give as many columns in this order, or a table",
        )
    check_known_groups(argument, fitted, table)
    K = len(fitted.components)
    if table.known_labels is not None and table.known_labels.max() >= K:
        raise InputError(
            argument,
            f"has rows that are known to come from component {table.known_labels.max()}",
            f"Components of the fit are numbered 0 to {K - 1}",
        )
    return table


def _with_columns_of(fitted: FittedMixture, data: Any, argument: str) -> Any:
    found = named_columns(data)
    if found is None:
        return data
    there, pick = found
    wanted = list(fitted.feature_names)
    places = {name: j for j, name in enumerate(there)}
    missing = [name for name in wanted if name not in places]
    twice = [name for name in wanted if there.count(name) > 1]
    if twice:
        raise InputError(argument, f"has {describe_columns(twice)} more than once", "Rename or drop columns")
    if not missing:
        return data if there == wanted else pick([places[name] for name in wanted])
    # Names that `as_data` gives to the columns of an array say nothing.
    if there == (["x"] if len(there) == 1 else [f"x{j}" for j in range(len(there))]):
        return data
    raise InputError(
        argument,
        f"has no {describe_columns(missing)}",
        f"It has {describe_columns(there)}; rename them, or give an array with the columns in the order of the fit",
    )


def check_known_groups(argument: str, fitted: FittedMixture, table: Data) -> None:
    """Raise unless the groups of the rows are those of the fit, or the fit has none."""
    if fitted.groups is None:
        return
    known = listed(fitted.groups.tolist())
    numbers = group_numbers(table, fitted.groups)
    if numbers is None:
        raise InputError(
            argument, "has no groups, and weights differ between them", f"Give as_data(rows, groups=...) out of {known}"
        )
    assert table.groups is not None
    unknown = np.unique(table.groups[numbers < 0]).tolist()
    if unknown:
        raise InputError(
            argument, f"has groups that were not fitted: {listed(unknown)}", f"The groups of the fit are {known}"
        )
