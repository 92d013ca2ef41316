"""What every benchmark needs: pinned threads, medians, one table.

Import this before numpy. It sets the thread counts that the linear algebra, OpenMP and numba read when they are
loaded, for this process and for those that it starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

for _name in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMBA"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"
# A cold start without compiled bytecode would measure the compiler of Python.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def seconds(call: Callable[[], Any]) -> float:
    """Processor time of one call.

    With one thread that is the wall time, less what the machine gave to other processes meanwhile.
    """
    began = time.process_time()
    call()
    return time.process_time() - began


def median_seconds(call: Callable[[], Any], *, most: int = 5, budget_s: float = 3.0) -> tuple[float, int]:
    """Median processor time and the number of calls it is over: `most`, or fewer where a call takes long."""
    times: list[float] = []
    while len(times) < most and (not times or sum(times) + times[-1] < budget_s):
        times.append(seconds(call))
    return sorted(times)[len(times) // 2], len(times)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that reads well in a terminal and is Markdown."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    print(f"\n{title}\n")
    for row in (header, ["-" * width for width in widths], *rows):
        print("| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |")
    sys.stdout.flush()


class Timed(NamedTuple):
    """What a process took, in seconds, and what it printed.

    `to_result` ends with its first line of output, or with the process where it prints nothing. `processor` counts
    processes that it waited for as well.
    """

    to_result: float
    wall: float
    processor: float
    text: str


def new_process(arguments: Sequence[str], extra: Mapping[str, str] | None = None) -> Timed:
    """Run a new process of Python."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", *arguments],
        env={**os.environ, **(extra or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    text = process.stdout.readline()
    to_result = time.perf_counter() - began
    text += process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"this process failed: {list(arguments)}")
    return Timed(to_result, wall, usage.ru_utime + usage.ru_stime, text)


def milliseconds(value: float) -> str:
    return f"{1e3 * value:.3g}" if value < 1 else f"{1e3 * value:.0f}"


def versions() -> str:
    """The versions of the libraries that matter, in one line."""
    from importlib.metadata import version

    names = ("numpy", "scipy", "numba", "scikit-learn", "xarray")
    return f"Python {sys.version.split()[0]}, " + ", ".join(f"{name} {version(name)}" for name in names)


def show_threads() -> None:
    """Print the thread counts that the loaded libraries report, as proof that both sides have the same."""
    from threadpoolctl import threadpool_info

    pools = ", ".join(f"{pool['internal_api']} {pool['num_threads']}" for pool in threadpool_info())
    print(f"{versions()}\nthreads: {pools}")
