"""Chains of NUTS by nutpie, one sampler a chain, so that each has a start and a seed of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm.engines._arviz import nutpie
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._python_density import PythonDensity
from bayesgmm.engines.base import Array

LogDensity = Callable[[Array], tuple[float, Array]]

# ArviZ's names of statistics, and nutpie's.
STATISTICS = {
    "diverging": "diverging",
    "n_steps": "n_steps",
    "tree_depth": "depth",
    "reached_max_treedepth": "maxdepth_reached",
    "step_size": "step_size",
    "acceptance_rate": "mean_tree_accept",
    "energy": "energy",
    "lp": "logp",
}
# A trajectory is doubled at most so often. Where a component holds no rows its weight has a tail that long trajectories
# only follow outwards; short ones leave it to the number of draws.
_MOST_DOUBLINGS = 7
_POLL_S = 0.02
# Evaluations shorter than this are over before another thread has taken the interpreter's lock.
_WORTH_A_THREAD_S = 60e-6
_TIMED = 20


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Draws (S, p) of one chain and the sampler's statistics (S,) by ArviZ' names."""

    v: Array
    statistics: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.v)

    def shortened(self, n: int) -> Chain:
        """The first n draws."""
        return Chain(v=self.v[:n], statistics={name: value[:n] for name, value in self.statistics.items()})


@dataclass(frozen=True, kw_only=True)
class Chains:
    """All chains that were run, None for those that an interruption left without draws."""

    chains: list[Chain | None]
    interrupted: bool


def run_chains(
    density: PythonDensity,
    starts: list[Array],
    seeds: list[int],
    *,
    draws: int,
    tune: int,
    target_accept: float,
    cores: int,
    progress: Progress,
) -> Chains:
    """Run a chain from each start.

    Parameters
    ----------
    cores : int
        Chains that run at the same time. Where the density needs the interpreter and is very short, chains run one
        after the other, because they would spend their time waiting for the interpreter's lock; draws do not depend on
        this.
    """
    library = nutpie()
    in_threads = density.for_threads() is not None
    if not in_threads and _seconds(density.function(), starts[0]) < _WORTH_A_THREAD_S:
        cores = 1
    finished = [0] * len(starts)
    failures: list[Exception] = []
    total = len(starts) * (draws + tune)

    def begin(chain: int) -> Any:
        def count(state: Any) -> None:
            finished[chain] = state[0].finished_draws

        return library.sample(
            _in_threads(density, starts[chain]) if in_threads else _in_python(density, starts[chain], failures),
            draws=draws,
            tune=tune,
            chains=1,
            cores=1,
            seed=seeds[chain],
            target_accept=target_accept,
            save_warmup=False,
            maxdepth=_MOST_DOUBLINGS,
            progress_bar=False,
            progress_callback=count,
            blocking=False,
            return_raw_trace=True,
        )

    chains: list[Chain | None] = [None] * len(starts)
    running: dict[int, Any] = {}
    waiting = list(range(len(starts)))
    interrupted = False
    progress.interrupts.hold()
    try:
        while waiting or running:
            if progress.interrupts.noted:
                raise KeyboardInterrupt
            if failures:
                raise failures[0]
            while waiting and len(running) < cores:
                chain = waiting.pop(0)
                running[chain] = begin(chain)
            for chain in list(running):
                with suppress(TimeoutError):
                    chains[chain] = _read(running[chain].wait(timeout=_POLL_S))
                    del running[chain]
            progress.step("sampling", sum(finished), total)
        if failures:
            raise failures[0]
    except RuntimeError:  # nutpie finds no place to begin where the density cannot be computed
        if failures:
            raise failures[0] from None
        raise
    except KeyboardInterrupt:
        if not progress.interrupts.keeps_draws:
            raise
        interrupted = True
        while running:
            chain, sampler = running.popitem()
            chains[chain] = _read(sampler.abort())
    finally:
        # Threads that still call Python when it shuts down would crash it.
        for sampler in running.values():
            sampler.cancel()
    return Chains(chains=chains, interrupted=interrupted)


def _in_python(density: PythonDensity, start: Array, failures: list[Exception]) -> Any:
    """A model whose density nutpie calls in Python.

    In its threads an exception would end in a panic that says nothing of it, and that no handler of exceptions catches:
    it is handed over, to be raised where the chains are waited for.
    """
    from nutpie.compiled_pyfunc import from_pyfunc

    def watched() -> LogDensity:
        log_density = density.function()

        def call(v: Array) -> tuple[float, Array]:
            try:
                return log_density(v)
            except Exception as error:
                failures.append(error)
                return -np.inf, np.zeros_like(v)

        return call

    return from_pyfunc(
        start.size,
        watched,
        lambda _seed, _other, _chain: lambda v: {"v": v},
        [np.dtype("float64")],
        [start.shape],
        ["v"],
        make_initial_point_fn=lambda _seed: start,
    )


def _in_threads(density: PythonDensity, start: Array) -> Any:
    """A model whose density nutpie calls as a C function, so that chains never wait for the interpreter's lock."""
    from nutpie.compile_pymc import CompiledPyMCModel

    from bayesgmm.numerics._posterior_kernel import compiled

    log_density, draw, *_ = compiled()
    table = density.for_threads()
    assert table is not None
    return CompiledPyMCModel(
        compiled_logp_func=log_density,
        compiled_expand_func=draw,
        initial_point_func=lambda _seed: start,
        shared_data=table.arrays,  # keeps alive what the pointers point to
        shared_var_keys={},
        user_data=table.pointers,
        n_expanded=start.size,
        shape_info=(["v"], [slice(0, start.size)], [start.shape]),
        logp_func=None,
        expand_func=None,
        _n_dim=start.size,
        _shapes={"v": start.shape},
        _coords=None,
        dims=None,
    )


def _seconds(log_density: LogDensity, at: Array) -> float:
    """The shortest of some evaluations: what one takes when nobody disturbs it."""
    log_density(at)
    times = []
    for _ in range(_TIMED):
        begin = time.perf_counter()
        log_density(at)
        times.append(time.perf_counter() - begin)
    return min(times)


def _read(trace: Any) -> Chain | None:
    """The draws after tuning; None if there are none."""
    import pyarrow

    draws, stats = (pyarrow.record_batch(batches[0]) for batches in trace.get_arrow_trace())
    kept = ~stats.column("tuning").to_numpy(zero_copy_only=False)
    if not kept.any():
        return None
    v = draws.column("v").flatten().to_numpy().reshape(len(kept), -1)
    statistics = {name: stats.column(theirs).to_numpy(zero_copy_only=False) for name, theirs in STATISTICS.items()}
    return Chain(v=v[kept], statistics={name: value[kept] for name, value in statistics.items()})
