"""What is used of ArviZ and nutpie, without loading the rest of them.

`import arviz_stats` also loads what reads and writes other forms, and `import nutpie` all of ArviZ with its plots;
that takes as long as sampling a small model. Where ArviZ is already loaded it is used as it is.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from threading import RLock, Thread
from types import ModuleType
from typing import Any

# Stand-ins of one thread must not be seen by an import of another.
_lock = RLock()


@cache
def array_stats() -> Any:
    """ArviZ's statistics of arrays (R-hat, effective draws, Pareto smoothing), which need NumPy and SciPy alone."""
    with _without_init("arviz_stats", "arviz_stats.base"), _loaded_when_called("scipy.signal", "scipy.signal.windows"):
        return importlib.import_module("arviz_stats.base.array").array_stats


def settings() -> Any:
    """ArviZ's ``rcParams``: those that were changed in this process, or what a file of settings says."""
    with _without_init("arviz_base"):
        return importlib.import_module("arviz_base.rcparams").rcParams


def nutpie() -> Any:
    """The sampler, with a stand-in for ArviZ that loads the real one when something of it is used.

    nutpie wants it for results in a form that is not asked for here. (`importlib.util.LazyLoader` loads a module as
    soon as a second file imports it.)
    """
    if "nutpie" in sys.modules:  # no need to wait for the lock, which may be held for something else
        return importlib.import_module("nutpie")
    with _lock:
        if "arviz" in sys.modules:
            return importlib.import_module("nutpie")
        stand_in = ModuleType("arviz")
        stand_in.__getattr__ = lambda name: getattr(importlib.import_module("arviz"), name)  # type: ignore[method-assign]
        sys.modules["arviz"] = stand_in
        try:
            return importlib.import_module("nutpie")
        finally:
            if sys.modules.get("arviz") is stand_in:
                del sys.modules["arviz"]


def load_meanwhile() -> None:
    """Begin to load what sampling and judging chains needs; whoever needs it earlier waits for it."""
    Thread(target=lambda: (nutpie(), array_stats())).start()


@contextmanager
def _without_init(*packages: str) -> Iterator[None]:
    """While it lasts, modules of packages are imported without what the packages' own ``__init__`` loads.

    Nothing is left behind, so that a later import finds the whole package.
    """
    with _lock:
        if packages[0] in sys.modules:
            yield
            return
        try:
            for name in packages:
                stand_in, spec = ModuleType(name), find_spec(name)
                if spec is None or spec.submodule_search_locations is None:
                    raise ModuleNotFoundError(name)
                stand_in.__path__ = list(spec.submodule_search_locations)
                sys.modules[name] = stand_in
            yield
        finally:
            for name in [name for name in sys.modules if name.split(".")[0] == packages[0]]:
                del sys.modules[name]


@contextmanager
def _loaded_when_called(*modules: str) -> Iterator[None]:
    """While it lasts, functions that are imported from modules load these when they are called, unless they are loaded.

    Of what wants them here, density estimates, nothing is used.
    """
    absent = [name for name in modules if name not in sys.modules]
    for name in absent:
        sys.modules[name] = _Later(name)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


class _Later(ModuleType):
    """A module whose functions load it when they are called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, function: str) -> Any:
        if function.startswith("__"):
            raise AttributeError(function)
        return lambda *given, **named: getattr(importlib.import_module(self.__name__), function)(*given, **named)
