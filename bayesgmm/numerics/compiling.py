"""Compile functions in another process while this one compiles or computes something else.

numba compiles one function at a time in a process, and compiling is most of what a first run of NUTS takes.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A process that takes longer than this is given up; what it was to compile is then compiled here.
_PATIENCE_S = 60.0


def compile_elsewhere(module: str) -> Callable[[], None]:
    """Begin to compile all functions in a module's ``SIGNATURES`` unless they are in the cache on disk.

    Returns
    -------
    wait : callable
        Returns when they are in the cache. If they could not be put there they are compiled when they are called.
    """
    if not sys.executable or all(_is_cached(getattr(importlib.import_module(module), name)) for name in _names(module)):
        return lambda: None
    call = f"from bayesgmm.numerics.compiling import compile_here; compile_here({module!r})"
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", call],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return lambda: None

    def wait() -> None:
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    return wait


def compile_here(module: str) -> None:
    """Compile all functions in a module's ``SIGNATURES``, a mapping of names to argument types such as "f2 i1 f0".

    A type is f (float64) or i (int64) with a number of axes; arrays are C-contiguous.
    """
    import numba

    kinds = {"f": numba.float64, "i": numba.int64}
    for name, signature in importlib.import_module(module).SIGNATURES.items():
        arguments: list[Any] = []
        for word in signature.split():
            kind, axes = kinds[word[0]], int(word[1])
            arguments.append(numba.types.Array(kind, axes, "C") if axes else kind)
        getattr(importlib.import_module(module), name).compile(tuple(arguments))


def _names(module: str) -> list[str]:
    return list(importlib.import_module(module).SIGNATURES)


def _is_cached(function: Any) -> bool:
    folder = Path(function.stats.cache_path)
    stem = f"{Path(function.py_func.__code__.co_filename).stem}.{function.__name__}-"
    return any(folder.glob(f"{stem}*.nbi"))
