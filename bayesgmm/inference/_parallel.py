"""Independent pieces of work, in this process or shared out to several."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain
from typing import Any

from threadpoolctl import threadpool_limits

from bayesgmm._arguments import as_whole
from bayesgmm._errors import FitError, InputError
from bayesgmm.engines._progress import Progress
from bayesgmm.numerics.threads import n_processors, n_workers, one_blas_thread

_LOOK_AGAIN_S = 0.5
# Looks at the ends of processes, for so long at most.
_CODES_S, _SOON_S = 2.0, 0.02
_NICER = 5
_KILLED = 9  # on systems that have it
_GUARD = (
    "The jobs use names that the script itself defines, so every new process has to run the script again to find them. "
    "Put the code that starts the work under `if __name__ == '__main__':`, or give cores=1."
)
_main_lock = threading.Lock()
_THREAD_SETTINGS = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMBA")


def run_parallel[Job, Result](
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    *,
    total: int,
    cores: int | None,
    progress: Progress,
    what: str,
    until: Callable[[Result], bool] | None = None,
) -> list[Result]:
    """Call a function of a module on every job.

    Parameters
    ----------
    function : callable
        Defined in a module, so that another process can import it.
    jobs : iterable
        Each can be pickled, and so can its result. One that takes time to make is handed out as soon as it is there.
    total : int
        How many jobs there are.
    cores : int, optional
        How many processes; with 1 (and with one job) everything runs in this one. None means all processors, but in a
        process that is itself a worker only this one.
    progress : Progress
        Told how many jobs have ended.
    what : str
        Name of the work in the progress bar.
    until : callable, optional
        Sees each result in the order of the jobs; once it returns True later jobs are dropped.

    Returns
    -------
    list
        Results in the order of the jobs; one for each, or up to that at which `until` returned True.

    Raises
    ------
    InputError
        If `cores` is no number of processes, or new processes could not start because a script that defines names the
        jobs use has no guard.
    FitError
        If a process was killed or ended by itself.

    Notes
    -----
    Processes are spawned, because forking one with threads (numba, BLAS, a notebook) can lock up, and so that all
    platforms behave alike. A spawned process normally runs the main script again. Here it does not, unless the jobs use
    names that are defined there, so scripts without an ``if __name__ == "__main__"`` work too.
    """
    cores = n_workers(check_cores(cores), total)
    if cores > 1:
        return _shared_out(function, jobs, total, cores, progress, what, until)
    results = []
    with one_blas_thread():
        for job in jobs:
            results.append(function(job))
            progress.step(what, len(results), total)
            if until is not None and until(results[-1]):
                break
    return results


def check_cores(cores: int | None) -> int:
    """The number of processes that is meant; None is all processors, or one in a process that is itself a worker."""
    if cores is None:
        if multiprocessing.parent_process() is not None:
            return 1
        return n_processors()
    return as_whole("cores", cores, least=1, hint=", or None for all processors")


def _shared_out(
    function: Callable[[Any], Any],
    jobs: Iterable[Any],
    total: int,
    cores: int,
    progress: Progress,
    what: str,
    until: Callable[[Any], bool] | None,
) -> list[Any]:
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # This process is running the script again only to find names in it.
        raise InputError("cores", f"got {cores} in a process that is only just starting", _GUARD)
    rest = iter(jobs)
    first = next(rest)
    needs_main = b"__main__" in pickle.dumps((function, first))
    pool = ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn"), initializer=_as_worker)
    ended: list[Future[Any]] = []
    results: list[Any] = []
    workers: list[Any] = []
    try:
        futures = []
        for job in chain([first], rest):
            with _main_left_alone(needs_main):
                futures.append(pool.submit(function, job))  # processes start within submit
            futures[-1].add_done_callback(ended.append)
            workers = list((getattr(pool, "_processes", None) or {}).values())
        for future in futures:
            while not wait([future], timeout=_LOOK_AGAIN_S).done:
                progress.step(what, len(ended), total)
            results.append(future.result())
            progress.step(what, len(ended), total)
            if until is not None and until(results[-1]):
                break
    except BrokenProcessPool as error:
        signals = _signals(workers)
        if needs_main and not signals:
            raise InputError("cores", f"{cores} processes could not start the work", _GUARD) from error
        raise FitError(_killed(signals, what, cores)) from error
    except BaseException:
        # Interrupted, or a job failed: nobody waits for what the others are doing.
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        raise
    pool.shutdown(wait=True, cancel_futures=True)
    return results


def _signals(workers: list[Any]) -> list[int]:
    """Numbers of the signals that ended some processes, without that by which the pool ends the others."""
    # The pool waits for them as well, and who comes second to the end of a process does not learn its code at once.
    latest = time.monotonic() + _CODES_S
    while any(worker.exitcode is None for worker in workers) and time.monotonic() < latest:
        time.sleep(_SOON_S)
    codes = [worker.exitcode for worker in workers if worker.exitcode is not None]
    return [-code for code in codes if code < 0 and -code != signal.SIGTERM]


def _killed(signals: list[int], what: str, cores: int) -> str:
    """What happened to a process, as far as its end tells, and what to do."""
    how = "ended by itself"
    if signals:
        names = {each.value: each.name for each in signal.Signals}
        how = f"was ended by the signal {names.get(signals[0], signals[0])}"
    memory = " That is how a system ends processes when it has no memory left." if signals[:1] == [_KILLED] else ""
    return (
        f"A process that worked on {what!r} {how}, and its results are lost.{memory} "
        f"Try again with fewer processes than {cores}, such as cores=1, which take less memory."
    )


def _as_worker() -> None:
    """One thread for each process, and interrupts are the business of the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        # What the first process hands out it may have to compute, and all others wait for that.
        os.nice(_NICER)
    for name in _THREAD_SETTINGS:  # of libraries that are loaded later
        os.environ[f"{name}_NUM_THREADS"] = "1"
    threadpool_limits(limits=1, user_api="blas")


@contextmanager
def _main_left_alone(needed: bool) -> Iterator[None]:
    """While processes start, an empty main module stands in for the real one unless that is `needed` in them.

    One thread at a time: another one would take the stand-in for the real module and put it back for good.
    """
    if needed:
        yield
        return
    with _main_lock:
        real = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = real
