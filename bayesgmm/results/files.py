"""Results in files: `save` never loses an older file, `load` never takes a damaged file for a result.

A netCDF file ends with the SHA-256 of all before it, and a zarr folder holds a list with that of each of its files.
Libraries for either form crash on some damaged files, so that nothing reaches them before it has been compared.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm.results._replace import replace_file, replace_folder
from bayesgmm.results.check import check_any

if TYPE_CHECKING:
    import xarray as xr

_NETCDF, _ZARR = ".nc", ".zarr"
_MARK = b"\nbayesgmm.save sha256 "
_TAIL = len(_MARK) + 64
_LIST = "bayesgmm.sha256.json"
_AGAIN = "Save the result again, or take another copy of the file"


def save(result: xr.DataTree | xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a result to a file, from which `load` reads it on another day.

    The file is written beside its place, and takes it when all of it is on the disk: whatever goes wrong, an older file
    of that name is either still whole or was replaced by a whole new one.

    Parameters
    ----------
    result : DataTree or Dataset
        What `fit` returned, also with what was added to it, or a table such as that of `compare_components`,
        `ddpcr.quantify` or `traits.discreteness`.
    path : str or path
        Ends with ``.nc`` (netCDF, one file) or ``.zarr`` (zarr, a folder). Both are read by xarray as well.

    Returns
    -------
    pathlib.Path
        Where it is, behind links.

    Raises
    ------
    InputError
        If the result is none, or was changed, or holds what such a file cannot hold; if the path has another ending,
        lies in no folder, or is a folder that was not written by `save`.
    OSError
        If the file cannot be written: the disk is full, for example, or writing is not permitted.

    Examples
    --------
    >>> import os, tempfile
    >>> import bayesgmm as bg
    >>> faithful = bg.datasets.load_faithful()
    >>> fit = bg.fit(bg.GaussianMixture(2), faithful, engine=bg.EM(), random_seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = bg.save(fit, os.path.join(folder, "fit.nc"))
    ...     again = bg.load(path)
    >>> bg.predict(again, [[3.0, 60.0]]).identical(bg.predict(fit, [[3.0, 60.0]]))
    True
    """
    import xarray as xr

    if not isinstance(result, (xr.DataTree, xr.Dataset)):
        hint = "Give what fit returned, or a Dataset such as that of compare_components"
        if hasattr(result, "to_csv"):
            hint += "; a dataframe writes itself, by to_csv or to_parquet"
        raise InputError("result", f"got {type(result).__name__}", hint)
    check_any(result, "result")
    target = _target(path)
    _check_storable(result)
    tree = result if isinstance(result, xr.DataTree) else xr.DataTree(dataset=result)
    folder = target.suffix == _ZARR
    # Written to memory first: a full disk is then an error of Python and not a crash of the library.
    files = _to_zarr(tree) if folder else {"": bytes(tree.to_netcdf(engine="h5netcdf"))}  # type: ignore[call-overload]
    check_any(_read(files, "result"), "result")
    if folder:
        sums = json.dumps({name: _sum(content) for name, content in files.items()}, indent=0)
        files[_LIST] = f"{_sum(sums.encode())}\n{sums}".encode()
        replace_folder(target, files)
    else:
        replace_file(target, [files[""], _MARK, _sum(files[""]).encode()])
    return target


def load(path: str | os.PathLike[str]) -> Any:
    """Read a result that `save` wrote.

    Parameters
    ----------
    path : str or path
        As it was given to `save`.

    Returns
    -------
    DataTree or Dataset
        The same as was saved, in memory; every function that takes a result takes it.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, cut or not written by `save`, or of another schema version.
    """
    import xarray as xr

    from bayesgmm.results.fit_tree import as_fit_tree

    target = _target(path, exists=True)
    files = _whole_folder(target) if target.suffix == _ZARR else {"": _whole_file(target)}
    result = _read(files, "path")
    check_any(result, "path")
    return as_fit_tree(result) if isinstance(result, xr.DataTree) else result


def _target(path: Any, *, exists: bool = False) -> Path:
    """The place behind a path, which is that behind a link."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise InputError("path", f"got {as_written(path)}", "Give the name of a file, such as 'fit.nc'")
    given = Path(path)
    if "\0" in str(given) or given.suffix not in (_NETCDF, _ZARR):
        raise InputError("path", f"got {str(given)!r}", "Give a name that ends with .nc (netCDF) or .zarr (zarr)")
    target = Path(os.path.realpath(given))
    if exists and not target.exists():
        raise InputError("path", f"there is no {str(given)!r}", "Give the path of a file that save wrote")
    if not target.parent.is_dir():
        raise InputError("path", f"there is no folder {str(target.parent)!r}", "Make it first, or give another path")
    folder = given.suffix == _ZARR
    if target.exists() and target.is_dir() != folder:
        what = "a file" if folder else "a folder"
        raise InputError("path", f"{str(given)!r} is {what}", "A .zarr is a folder, and a .nc is a file")
    if folder and not exists and target.exists() and not (target / _LIST).is_file():
        raise InputError("path", f"{str(given)!r} is a folder that save did not write", "Give another path")
    return target


def _check_storable(result: xr.DataTree | xr.Dataset) -> None:
    """Raise where a user added what has no place in such files."""
    from bayesgmm.results.seal import tables_of

    for group, table in tables_of(result):
        for name, variable in [("", table), *table.variables.items()]:
            where = "/".join(filter(None, (group, str(name))))
            for key, value in variable.attrs.items():
                if not isinstance(key, str) or not _is_storable(value):
                    raise InputError(
                        "result",
                        f"the attribute {key!r} of {where!r} is {type(value).__name__}, which a file cannot hold",
                        "Make it text without NUL or numbers, or take it out",
                    )
            if name and (not isinstance(name, str) or not _is_storable(variable.to_numpy())):
                raise InputError(
                    "result",
                    f"{where!r} holds {variable.dtype}, which a file cannot hold",
                    "Make it numbers or text without NUL, or take it out",
                )


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return not _is_broken(value)
    if isinstance(value, (bool, np.bool_)):
        return False
    if isinstance(value, (int, float, np.integer, np.floating)):
        return not isinstance(value, int) or abs(value) < 2**63
    if isinstance(value, np.ndarray):
        text = value.dtype.kind in "OUT"
        return value.dtype.kind in "biufmM" or (text and all(_is_text(each) for each in value.ravel().tolist()))
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_is_storable, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not _is_broken(value)


def _is_broken(value: str) -> bool:
    """Whether files would cut it, or cannot encode it."""
    return "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value)


def _to_zarr(tree: xr.DataTree) -> dict[str, bytes]:
    from zarr.storage import MemoryStore

    held: dict[str, Any] = {}
    # The older form, which every version of zarr reads without a word.
    tree.to_zarr(MemoryStore(held), zarr_format=2)
    return {name: content.to_bytes() for name, content in held.items()}


def _read(files: Mapping[str, bytes], argument: str) -> Any:
    """What files in memory hold, with its groups in the order in which they were written and text as text."""
    import xarray as xr

    if "" in files:
        opened = xr.open_datatree(io.BytesIO(files[""]), engine="h5netcdf")
    else:
        from zarr.core.buffer import default_buffer_prototype
        from zarr.storage import MemoryStore

        buffer = default_buffer_prototype().buffer
        held = {name: buffer.from_bytes(content) for name, content in files.items() if name != _LIST}
        opened = xr.open_datatree(MemoryStore(held), engine="zarr")  # type: ignore[arg-type]
    with opened:
        tables = {name: group.to_dataset().load().drop_encoding() for name, group in opened.children.items()}
        root = opened.to_dataset().load().drop_encoding()
    if root.attrs.get(names.RESULT_OF) != "fit":
        return _with_text(root)
    written = [name for name in json.loads(root.attrs[names.CONTENTS]) if name in tables]
    ordered = {name: _with_text(tables[name]) for name in dict.fromkeys([*written, *tables])}
    return xr.DataTree.from_dict({"/": root, **{f"/{name}": table for name, table in ordered.items()}})


def _with_text(table: xr.Dataset) -> xr.Dataset:
    """Text comes back from files as objects, and from some as another type of text."""
    text = {name: value for name, value in table.variables.items() if value.dtype.kind in "OT"}
    coords = {name: (value.dims, value.to_numpy().astype(np.str_), value.attrs) for name, value in text.items()}
    out = table.assign_coords({name: value for name, value in coords.items() if name in table.coords})
    return out.assign({name: value for name, value in coords.items() if name not in table.coords})


def _sum(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def _whole_file(path: Path) -> bytes:
    content = memoryview(path.read_bytes())
    body, tail = content[: max(len(content) - _TAIL, 0)], bytes(content[-_TAIL:])
    if not tail.startswith(_MARK):
        raise InputError(
            "path",
            f"{str(path)!r} was not written by save, or its end is missing",
            f"{_AGAIN}; files of other functions are read by xarray",
        )
    if tail[len(_MARK) :] != _sum(body).encode():
        raise InputError("path", f"{str(path)!r} is damaged", _AGAIN)
    return bytes(body)


def _whole_folder(path: Path) -> dict[str, bytes]:
    if not (path / _LIST).is_file():
        raise InputError("path", f"{str(path)!r} was not written by save", "Folders of other functions: use xarray")
    own, _, sums = (path / _LIST).read_bytes().partition(b"\n")
    if own != _sum(sums).encode():
        raise InputError("path", f"{_LIST!r} in {str(path)!r} is damaged", _AGAIN)
    files = {}
    for name, expected in json.loads(sums).items():
        file = path / name
        files[name] = file.read_bytes() if file.is_file() else b""
        if _sum(files[name]) != expected:
            state = "damaged" if file.is_file() else "missing"
            raise InputError("path", f"{name!r} in {str(path)!r} is {state}", _AGAIN)
    return files
