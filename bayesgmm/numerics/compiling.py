"""Compile functions in another process while this one compiles or computes something else.

numba compiles one function at a time in a process, and compiling is most of what a first run of NUTS or Gibbs takes.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bayesgmm._interrupts import Interrupts

# A process that takes longer than this is given up; what it was to compile is then compiled here.
_PATIENCE_S = 60.0
_ROOT = Path(__file__).parents[1]
# A package without its __init__, which would load all engines.
_COMPILE = """
import sys, types
package = types.ModuleType({package!r})
package.__path__ = [{path!r}]
sys.modules[{package!r}] = package
from {module} import compiled
compiled()
"""


@cache
def load(name: str) -> Any:
    """A module of compiled functions, by its name in this folder."""
    with Interrupts():
        return importlib.import_module(f"{__package__}.{name}")


def compile_elsewhere(module: str, name: str) -> Callable[[], None]:
    """Begin to call ``compiled()`` of a module elsewhere, unless its last function, `name`, is in the cache on disk.

    Returns
    -------
    wait : callable
        Returns when it is in the cache. If it could not be put there it is compiled when it is called.
    """
    function = getattr(importlib.import_module(module), name)
    if not sys.executable or is_cached(function) or not can_be_cached(function):
        return lambda: None
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _COMPILE.format(package=module.split(".")[0], path=str(_ROOT), module=module)],
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


def is_cached(function: Any) -> bool:
    """Whether a function that numba compiles is in the cache on disk."""
    from bayesgmm.numerics._numba_cache import CheckedCache, cache_of

    found = cache_of(function)
    return isinstance(found, CheckedCache) and found.is_filled


def can_be_cached(function: Any) -> bool:
    """Whether there is a folder for it; without one, compiling elsewhere would be in vain."""
    from bayesgmm.numerics._numba_cache import CheckedCache, cache_of

    return isinstance(cache_of(function), CheckedCache)
