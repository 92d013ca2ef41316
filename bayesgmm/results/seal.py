"""What a result says of itself, so that one that was changed, cut or mixed up is not taken for a result.

The root attributes of every result hold a schema version, the name of the function that returned it, and its contents:
for each array the dimensions, the shape and a checksum, for each attribute a checksum. What users add is not listed and
stays free.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names

if TYPE_CHECKING:
    import xarray as xr

FIT = "fit"
_ROOT = ""
# They are what is sealed with, so that they are not among what is sealed.
_SEAL = (names.SCHEMA, names.RESULT_OF, names.CONTENTS, names.CHECKSUM)


def sealed[T: (xr.DataTree, xr.Dataset)](result: T, what: str) -> T:
    """The same object, with attributes that say what it is and what is in it.

    To be called last by each function that returns a result which another function reads, with the name of that
    function; a function that returns a changed copy of a fit calls it again. What a user has added before stays free.
    """
    before = json.loads(result.attrs[names.CONTENTS]) if names.CONTENTS in result.attrs else None
    contents = {}
    for name, table in tables_of(result):
        if name in names.FOR_ARVIZ or (before is not None and name not in before and name not in names.ADDED):
            continue
        known = None if before is None else before.get(name)
        contents[name] = {
            "attributes": _checksums(table.attrs, None if known is None else known["attributes"]),
            "variables": {
                key: _described(key, cast("xr.Variable", value))
                for key, value in table.variables.items()
                if known is None or key in known["variables"]
            },
        }
    result.attrs[names.SCHEMA] = names.SCHEMA_VERSION
    result.attrs[names.RESULT_OF] = what
    result.attrs[names.CONTENTS] = json.dumps(contents)
    result.attrs[names.CHECKSUM] = seal_checksum(result.attrs)
    return result


def tables_of(result: xr.DataTree | xr.Dataset) -> Iterator[tuple[str, Any]]:
    """The root, under the empty name, and its groups; each with ``variables`` and ``attrs``."""
    yield _ROOT, result
    for name, group in getattr(result, "children", {}).items():
        yield str(name), group


def seal_checksum(attrs: Mapping[Any, Any]) -> int:
    """The checksum of what the seal itself says."""
    return attribute_checksum([attrs[key] for key in _SEAL[:-1]])


def attribute_checksum(value: Any) -> int:
    """The same before and after a file, where numbers come back as NumPy's and lists as arrays."""
    return zlib.crc32(json.dumps(_plain(value)).encode())


def array_checksum(values: NDArray[Any]) -> int:
    """The same before and after a file, where text comes back as objects and integers with other widths."""
    shape = "x".join(map(str, values.shape))
    kind = values.dtype.kind
    if kind == "f":
        content = np.ascontiguousarray(values, dtype=np.float64)
    elif kind in "iub":
        content = np.ascontiguousarray(values).astype(np.int64, copy=False)
    elif kind in "mM":
        content = np.ascontiguousarray(values.astype(f"{kind}8[ns]")).view(np.int64)
    else:
        kind = "U"
        content = "\0".join(map(str, values.ravel().tolist())).encode(errors="surrogatepass")
    head = f"{'i' if kind in 'ub' else kind} {shape} ".encode()
    return zlib.crc32(content, zlib.crc32(head))


def sorted_checksum(values: NDArray[Any]) -> int:
    """That of the same labels in whatever order."""
    return array_checksum(np.sort(values.astype(np.str_) if values.dtype.kind in "OT" else values))


def _described(name: str, variable: xr.Variable) -> dict[str, Any]:
    values = variable.to_numpy()
    described: dict[str, Any] = {
        "dims": list(variable.dims),
        "shape": list(values.shape),
        "checksum": array_checksum(values),
        "finite": bool(np.isfinite(values).all()) if values.dtype.kind in "fiub" else True,
    }
    if variable.dims == (name,):
        described["sorted"] = sorted_checksum(values)
    if variable.attrs:
        described["attributes"] = _checksums(variable.attrs)
    return described


def _checksums(attrs: Mapping[Any, Any], known: Container[str] | None = None) -> dict[str, int]:
    """Checksums of all attributes, or of those that are known."""
    return {
        key: attribute_checksum(value)
        for key, value in attrs.items()
        if isinstance(key, str) and key not in _SEAL and (known is None or key in known)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist()
    if isinstance(value, (list, tuple)):
        # A list of one comes back from a file as a number.
        return _plain(value[0]) if len(value) == 1 else [_plain(each) for each in value]
    if isinstance(value, (bool, int, np.bool_, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    return str(value)
