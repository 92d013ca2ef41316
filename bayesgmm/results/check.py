"""The one reader of results: whether it is what a function of this package returned, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm._version import version
from bayesgmm.results.draws import check_selected
from bayesgmm.results.seal import FIT, array_checksum, attribute_checksum, seal_checksum, sorted_checksum, tables_of

if TYPE_CHECKING:
    import xarray as xr

_DRAWN = {names.CHAIN, names.DRAW}
_WHOLE = "Give it as it was returned, load its file again, or run {what} again"
_GIVE_FIT = "Give what bayesgmm.fit returned, or what bayesgmm.load read from its file"


def check_result(fit: object, argument: str = "fit") -> None:
    """Raise unless this is a fit, whole and unchanged but for a selection of its draws.

    Parameters
    ----------
    fit : object
        What a user gave for a fit.
    argument : str
        Under which name.

    Raises
    ------
    InputError
        If it is something else, has another schema version, lacks a group, an array or an attribute, or one of them is
        not what was written. Groups and attributes that a user added are not looked at. Where draws or chains were
        selected, arrays cannot be compared with what was written: then every number is checked for what it has to be.
    """
    import xarray as xr

    if not isinstance(fit, xr.DataTree):
        raise InputError(argument, f"got {type(fit).__name__}", _GIVE_FIT)
    selected = _check_contents(fit, FIT, argument, _GIVE_FIT)
    if selected:
        check_selected(fit, selected, argument)


def check_table(table: object, what: str, argument: str, *, needs: tuple[str, ...] = ()) -> None:
    """Raise unless this is what the function `what` returned, or a selection from it that has what is needed.

    Parameters
    ----------
    table : object
        What a user gave for a Dataset.
    what : str
        Name of the function that returns such a table.
    argument : str
        Name of the argument.
    needs : tuple of str
        Variables that have to be there.

    Raises
    ------
    InputError
        If it is something else, or holds what the function did not write.
    """
    import xarray as xr

    give = f"Give what {what} returned"
    if not isinstance(table, xr.Dataset):
        raise InputError(argument, f"got {type(table).__name__}", give)
    _check_contents(table, what, argument, give)
    absent = [name for name in needs if name not in table]
    if absent:
        raise InputError(argument, f"has no {absent[0]!r}", give)


def check_any(result: xr.DataTree | xr.Dataset, argument: str) -> None:
    """Raise where a result, of whatever function, is not what was written; a table that says nothing of itself may be.

    Raises
    ------
    InputError
        For a tree that is no fit, or a fit or a table that was changed.
    """
    import xarray as xr

    what = result.attrs.get(names.RESULT_OF)
    if isinstance(result, xr.DataTree):
        check_result(result, argument)
    elif what is not None:
        check_table(result, str(what), argument)


def _check_contents(result: xr.DataTree | xr.Dataset, what: str, argument: str, give: str) -> set[tuple[str, str]]:
    """Raise unless all that was written is there; returns groups and names of arrays of which a part was selected."""
    attrs = result.attrs
    _check_version(result, what, argument, give)
    again = _WHOLE.format(what=what)
    if names.CONTENTS not in attrs or str(attrs.get(names.CHECKSUM)) != str(seal_checksum(attrs)):
        raise InputError(argument, f"its attribute {names.CONTENTS!r} was changed", again)
    contents = json.loads(attrs[names.CONTENTS])
    tables = dict(tables_of(result))
    selected = set()
    for group, written in contents.items():
        if group not in tables:
            raise InputError(argument, f"the group {group!r} is missing", again)
        where = f" of {group!r}" if group else ""
        _check_attributes(tables[group].attrs, written["attributes"], where, argument, again)
        variables = tables[group].variables
        moved = set() if what == FIT else _reordered(variables, written["variables"])
        for name, described in written["variables"].items():
            if name not in variables:
                if what == FIT:
                    raise InputError(argument, f"{_path(group, name)} is missing", again)
                continue
            variable = variables[name]
            own = f" of {_path(group, name)}"
            _check_attributes(variable.attrs, described.get("attributes", {}), own, argument, again)
            path = _path(group, name)
            if moved & set(variable.dims) or _is_selection(variable, described, what, path, argument, again):
                _check_finite(variable, described, path, argument, again)
                selected.add((group, name))
    return selected


def _check_version(result: xr.DataTree | xr.Dataset, what: str, argument: str, give: str) -> None:
    attrs = result.attrs
    if names.RESULT_OF not in attrs and names.SCHEMA not in attrs:
        told = f"got {type(result).__name__}, which has no schema version"
        if names.MODEL in attrs:
            written = attrs.get(names.LIBRARY_VERSION, "an earlier version")
            raise InputError(
                argument, f"{told}: it was written by bayesgmm {written}", "Fit again with the version that reads it"
            )
        raise InputError(argument, told, give)
    found = attrs.get(names.SCHEMA)
    if isinstance(found, bool) or not isinstance(found, (int, np.integer)):
        raise InputError(argument, f"its schema version is {found!r}", give)
    if found != names.SCHEMA_VERSION:
        newer = found > names.SCHEMA_VERSION
        by = attrs.get(names.LIBRARY_VERSION)
        remedy = "Install a newer bayesgmm" if newer else "Read it with the bayesgmm that wrote it, or fit again"
        raise InputError(
            argument,
            f"has the schema version {found}{f' of bayesgmm {by}' if by else ''}, and bayesgmm {version()} reads "
            f"{names.SCHEMA_VERSION}",
            remedy,
        )
    if str(attrs.get(names.RESULT_OF)) != what:
        raise InputError(argument, f"is a result of {attrs.get(names.RESULT_OF)}", give)


def _check_attributes(
    attrs: Mapping[Any, Any], written: Mapping[str, int], where: str, argument: str, again: str
) -> None:
    for name, checksum in written.items():
        if name not in attrs:
            raise InputError(argument, f"the attribute {name!r}{where} is missing", again)
        if attribute_checksum(attrs[name]) != checksum:
            raise InputError(argument, f"the attribute {name!r}{where} is not what was written", again)


def _is_selection(variable: Any, described: Mapping[str, Any], what: str, path: str, argument: str, again: str) -> bool:
    """Whether the array is a part of what was written; raises where it is neither that nor the whole."""
    sizes = dict(zip(described["dims"], described["shape"], strict=True))
    here = dict(zip(variable.dims, variable.shape, strict=True))
    free = _DRAWN if what == FIT else set(sizes)
    gone = set(sizes) - set(here)
    # A table loses a dimension where one entry of it is chosen; a fit never does.
    other = set(here) - set(sizes) or (gone if what == FIT else set())
    if other or any(here[dim] != size for dim, size in sizes.items() if dim in here and dim not in free):
        raise InputError(argument, f"{path} has the shape {here} and not {sizes}", again)
    if here == sizes:
        values = variable.transpose(*described["dims"]).to_numpy()
        if array_checksum(values) != described["checksum"]:
            raise InputError(argument, f"{path} is not what was written{_what_is_wrong(values)}", again)
        return False
    if 0 in here.values() or (what == FIT and any(here[dim] > sizes[dim] for dim in here)):
        raise InputError(argument, f"{path} has the shape {here} and not {sizes}", again)
    return True


def _reordered(variables: Mapping[Any, Any], written: Mapping[str, Any]) -> set[str]:
    """Dimensions whose labels are all there, in another order."""
    found = set()
    for name, described in written.items():
        if "sorted" in described and name in variables:
            values = variables[name].to_numpy()
            as_written = list(values.shape) == described["shape"] and array_checksum(values) == described["checksum"]
            if not as_written and sorted_checksum(values) == described["sorted"]:
                found.add(name)
    return found


def _check_finite(variable: Any, described: Mapping[str, Any], path: str, argument: str, again: str) -> None:
    """What can be told of every array of which a part was selected."""
    values = variable.to_numpy()
    if described["finite"] and values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(argument, f"{path} is not what was written{_what_is_wrong(values)}", again)


def _what_is_wrong(values: np.ndarray) -> str:
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return ""
    return f", and {np.count_nonzero(~np.isfinite(values)):,} of its {values.size:,} numbers are not finite"


def _path(group: str, name: str) -> str:
    return repr(f"{group}/{name}" if group else name)
