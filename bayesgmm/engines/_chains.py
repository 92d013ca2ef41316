"""Chains of NUTS by nutpie, one sampler a chain, so that each has a start and a seed of its own."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm.engines._progress import Progress
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
    make_log_density: Callable[[], LogDensity],
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
    make_log_density : callable
        Gives a function of its own to each chain.
    cores : int
        Chains that run at the same time. Chains of very short evaluations run one after the other, because they would
        spend their time waiting for the interpreter's lock; draws do not depend on this.
    """
    with _without_arviz():
        import nutpie
        from nutpie.compiled_pyfunc import from_pyfunc

    size = starts[0].size
    if _seconds(make_log_density(), starts[0]) < _WORTH_A_THREAD_S:
        cores = 1
    finished = [0] * len(starts)
    total = len(starts) * (draws + tune)

    def begin(chain: int) -> Any:
        def count(state: Any) -> None:
            finished[chain] = state[0].finished_draws

        compiled = from_pyfunc(
            size,
            make_log_density,
            lambda _seed, _other, _chain: lambda v: {"v": v},
            [np.dtype("float64")],
            [(size,)],
            ["v"],
            make_initial_point_fn=lambda _seed: starts[chain],
        )
        return nutpie.sample(
            compiled,
            draws=draws,
            tune=tune,
            chains=1,
            cores=1,
            seed=seeds[chain],
            target_accept=target_accept,
            save_warmup=False,
            progress_bar=False,
            progress_callback=count,
            blocking=False,
            return_raw_trace=True,
        )

    chains: list[Chain | None] = [None] * len(starts)
    running: dict[int, Any] = {}
    waiting = list(range(len(starts)))
    interrupted = False
    try:
        while waiting or running:
            while waiting and len(running) < cores:
                chain = waiting.pop(0)
                running[chain] = begin(chain)
            for chain in list(running):
                with suppress(TimeoutError):
                    chains[chain] = _read(running[chain].wait(timeout=_POLL_S))
                    del running[chain]
            progress.step("sampling", sum(finished), total)
    except KeyboardInterrupt:
        interrupted = True
        while running:
            chain, sampler = running.popitem()
            chains[chain] = _read(sampler.abort())
    finally:
        # Threads that still call Python when it shuts down would crash it.
        for sampler in running.values():
            sampler.cancel()
    return Chains(chains=chains, interrupted=interrupted)


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


@contextmanager
def _without_arviz() -> Iterator[None]:
    """While nutpie is imported, give it a stand-in for ArviZ that loads the real one when something of it is used.

    nutpie wants it for results in a form that is not asked for here, and loading it with all its plots takes as long
    as sampling a small model. (`importlib.util.LazyLoader` loads a module as soon as a second file imports it.)
    """
    if "arviz" in sys.modules:
        yield
        return
    stand_in = ModuleType("arviz")
    stand_in.__getattr__ = lambda name: getattr(importlib.import_module("arviz"), name)  # type: ignore[method-assign]
    sys.modules["arviz"] = stand_in
    try:
        yield
    finally:
        if sys.modules.get("arviz") is stand_in:
            del sys.modules["arviz"]
