"""numba's functions with a cache on disk that never stops a fit.

numba reads its cache without a check and raises where it cannot be read or written: a file that was cut short, a full
disk or a folder without permission would end a fit that needs none of them. It also looks at a function's own file
alone, and would go on running an old kernel that is called from another file.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import uuid
import warnings
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core import sigutils
from numba.core.caching import FunctionCache, NullCache
from numba.core.ccallback import CFunc
from numba.core.serialize import dumps

_DIGEST_BYTES = 32


class CheckedCache(FunctionCache):
    """A file for each signature of a function: digest of what it was made from, digest of the code, and the code.

    What does not fit is compiled anew and written over; where that cannot be, nothing is kept, and that is said once.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._made_from = _sources(function.__code__.co_filename)

    @property
    def is_filled(self) -> bool:
        """Whether there is code of the present sources for some signature."""
        try:
            return any(self._fits(path) for path in self._folder.glob(f"{self._impl.filename_base}.*.nbc"))
        except OSError:
            return False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            say_once(self._folder, error)
            return None
        made_from, digest, code = (
            stored[:_DIGEST_BYTES],
            stored[_DIGEST_BYTES : 2 * _DIGEST_BYTES],
            stored[2 * _DIGEST_BYTES :],
        )
        if made_from != self._made_from:
            return None
        if hashlib.sha256(code).digest() != digest:
            say_once(self._folder, f"{path.name} is damaged")
            return None
        return self._impl.rebuild(target_context, pickle.loads(code))

    def save_overload(self, sig: Any, data: Any) -> None:
        if not self._impl.check_cachable(data):
            return
        path = self._path(sig, data.codegen)
        code = dumps(self._impl.reduce(data))
        beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                beside.write_bytes(self._made_from + hashlib.sha256(code).digest() + code)
                os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            say_once(self._folder, error)

    def flush(self) -> None:
        """Nothing is dropped: what does not fit is written over."""

    @property
    def _folder(self) -> Path:
        return Path(self._cache_path)

    def _path(self, sig: Any, codegen: Any) -> Path:
        key = hashlib.sha256(repr(self._index_key(sig, codegen)).encode()).hexdigest()
        return self._folder / f"{self._impl.filename_base}.{key[:16]}.nbc"

    def _fits(self, path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(_DIGEST_BYTES) == self._made_from


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit`, from the cache on disk where it can be used."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        if dispatcher is not function:  # which it is where numba is switched off
            setattr(dispatcher, "_cache", cache_of(function))  # noqa: B010  # no stub knows it
        return dispatcher

    return compiled


def cached_cfunc(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.cfunc`, from the cache on disk where it can be used."""

    def compiled(function: Callable[..., Any]) -> Any:
        made = CFunc(function, sigutils.normalize_signature(signature), locals={}, options=options)
        setattr(made, "_cache", cache_of(function))  # noqa: B010
        made.compile()
        return made

    return compiled


def cache_of(function: Callable[..., Any]) -> CheckedCache | NullCache:
    """The cache of a function, or one that keeps nothing where no folder can be written to."""
    try:
        return CheckedCache(function)
    except RuntimeError as error:  # what numba raises if it finds none
        say_once(Path(function.__code__.co_filename).parent / "__pycache__", error)
        return NullCache()


_said: set[Path] = set()


def say_once(folder: Path, reason: object) -> None:
    """Warn that functions are compiled anew, once for each folder."""
    if folder in _said:
        return
    _said.add(folder)
    warnings.warn(
        f"The folder of compiled functions {folder} cannot be used ({reason}), so that they are compiled again, which "
        "takes seconds. Free some space there, allow writing, or name another folder in NUMBA_CACHE_DIR.",
        RuntimeWarning,
        stacklevel=2,
    )


@cache
def _sources(own: str) -> bytes:
    """Digest of all that compiled code depends on: compiled modules, a function's own file, and the compilers."""
    made_from = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {np.__version__} {sys.version}".encode())
    sources = {each.name: each for each in files(__package__).iterdir() if each.name.endswith(".py")}
    for name in sorted(sources):
        source = sources[name].read_bytes()
        if b"numba" in source:
            made_from.update(source)
    if Path(own).is_file():
        made_from.update(Path(own).read_bytes())
    return made_from.digest()
