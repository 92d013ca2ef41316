"""How many processors there are for this process, and BLAS with one thread while others share out the work."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController

_OWN_GROUPS = Path("/proc/self/cgroup")
_ALL_GROUPS = Path("/sys/fs/cgroup")
# Windows waits for no more processes than these at once.
_MOST_ON_WINDOWS = 60


def n_processors() -> int:
    """Processors that this process may use: those it is confined to, and as much time as its control group gives it.

    The only place that asks. Under a quota of 2 processors on a machine of 64, 64 threads would be halted most of the
    time, all of them together.
    """
    return max(1, min(_confined_to(), _quota(_OWN_GROUPS, _ALL_GROUPS)))


def n_workers(wanted: int, n_jobs: int) -> int:
    """So many processes for some jobs, as far as the system can have them."""
    return max(1, min(wanted, n_jobs, _MOST_ON_WINDOWS if sys.platform == "win32" else wanted))


def _confined_to() -> int:
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on; it also knows PYTHON_CPU_COUNT
        return os.process_cpu_count() or 1  # type: ignore[attr-defined]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache  # it is asked for fifteen times in a fit, and a container keeps its quota
def _quota(own: Path, groups: Path) -> int:
    """Processors that the control groups of Linux allow, rounded up; very many where nothing is said."""
    try:
        memberships = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return sys.maxsize
    found = [math.inf]
    for line in memberships:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        inner = Path(path.lstrip("/"))
        # A limit of any group above holds as well. In a container the path may be that of the host, of which only the
        # end is there, or nothing.
        above = [inner, *inner.parents]
        if controllers == "":
            found += [_ratio(groups / each / "cpu.max") for each in above]
        elif "cpu" in controllers.split(","):
            for root in (groups / "cpu", groups / controllers):
                found += [_ratio(root / each / "cpu.cfs_quota_us", root / each / "cpu.cfs_period_us") for each in above]
    least = min(found)
    return sys.maxsize if math.isinf(least) else math.ceil(least)


def _ratio(*files: Path) -> float:
    """Time a period, from one file or two; infinite where there is no limit or no such file."""
    try:
        numbers = " ".join(file.read_text(encoding="ascii") for file in files).split()
        quota, period = float(numbers[0]), float(numbers[1])
    except (OSError, ValueError, IndexError):  # "max", or -1 for none
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


_lock = threading.Lock()
_inside: set[object] = set()
# What each library had before the first came in.
_before: dict[str, tuple[Any, int]] = {}


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS uses one thread while anybody is inside; who leaves last gives back what there was before the first.

    Numbers of threads belong to the process. If each of several threads put back what it found, those that came while
    others were inside would put back 1, for ever. Under OpenMP alone each thread has a number of its own.
    """
    me = object()
    mine: list[tuple[Any, int]] = []
    try:
        with _lock:
            _inside.add(me)
            for library in ThreadpoolController().select(user_api="blas").lib_controllers:
                own = getattr(library, "threading_layer", "") == "openmp"
                # Libraries that have been loaded since the first came are new to all.
                if own or library.filepath not in _before:
                    had = library.num_threads
                    _set(library, 1)
                    # Without effect where another thread has the say, which then gives back what it found.
                    if had != 1 and library.num_threads == 1:
                        if own:
                            mine.append((library, had))
                        else:
                            _before[library.filepath] = library, had
        yield
    finally:
        with _lock:
            _inside.discard(me)
            if not _inside:
                mine += _before.values()
                _before.clear()
            for library, had in mine:
                _set(library, had)


def _set(library: Any, n_threads: int) -> None:
    """Set a number of threads, and leave the say to others: threadpoolctl gives it to the thread that sets it first."""
    library.set_num_threads(n_threads)
    let_go = getattr(library, "clear_controlling_thread", None)
    if let_go is not None:
        let_go()
