"""Chains of Gibbs sweeps, each with random numbers of its own, at the same time in threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, fields
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm.engines._gibbs_conditionals import Conditionals
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Array, Parameters
from bayesgmm.numerics.compiling import compile_elsewhere
from bayesgmm.numerics.linalg import inverse_lower

# Between two looks at whether to stop a chain works through so many rows by components, and keeps so many numbers.
_WORK, _NUMBERS = 10_000_000, 2_000_000
_MOST_SWEEPS = 1000
_POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one chain left, in standard units; parameters of the components of all draws one after the other.

    Attributes
    ----------
    number, occupied : (S,) array of int
        Components, and those that hold rows.
    log_likelihood, total : (S,) array
        Labels summed out; total concentration.
    scale : (S, d, d) array
        As the kernel has it.
    counts, log_weights, means, choleskys : (sum of number, ...) array
        Rows by label, and parameters.
    """

    number: NDArray[np.int64]
    occupied: NDArray[np.int64]
    log_likelihood: Array
    total: Array
    scale: Array
    counts: Array
    log_weights: Array
    means: Array
    choleskys: Array

    def __len__(self) -> int:
        return self.number.size

    def first(self, n: int) -> Trace:
        """The first n draws."""
        if n == len(self):
            return self
        end = int(self.number[:n].sum())
        short = {name: getattr(self, name)[:n] for name in ("number", "occupied", "log_likelihood", "total", "scale")}
        flat = {name: getattr(self, name)[:end] for name in ("counts", "log_weights", "means", "choleskys")}
        return Trace(**short, **flat)

    def padded(self, most: int) -> tuple[Array, Parameters]:
        """Counts (S, M) and parameters of all draws; components that are not there have log weight -inf."""
        S, d = len(self), self.means.shape[1]
        there = np.arange(most) < self.number[:, None]
        counts, log_weights = np.zeros((S, most)), np.full((S, most), -np.inf)
        means, choleskys = np.zeros((S, most, d)), np.tile(np.eye(d), (S, most, 1, 1))
        counts[there], log_weights[there] = self.counts, self.log_weights
        means[there], choleskys[there] = self.means, self.choleskys
        return counts, Parameters(log_weights=log_weights, means=means, choleskys=choleskys)


def compile_ahead(model: Conditionals) -> Callable[[], None]:
    """Begin to compile in another process what is not yet in the cache; the result waits for that."""
    if model.splits:
        return compile_elsewhere("bayesgmm.numerics._gibbs_split", "split_or_merge")
    return compile_elsewhere("bayesgmm.numerics._gibbs_updates", "draw_components")


def run_chains(
    model: Conditionals,
    x: Array,
    starts: list[Parameters],
    seeds: list[int],
    *,
    sweeps: int,
    burn_in: int,
    thin: int,
    cores: int,
    progress: Progress,
    wait_for_compiled: Callable[[], None],
) -> tuple[list[Trace | None], bool]:
    """Run a chain from each start; None for those without draws, and whether they were interrupted.

    Draws depend on the seeds alone, not on how many chains run at the same time. `wait_for_compiled` is what
    `compile_ahead` returned.
    """
    _compile(model, _Chain(model, x, starts[0], np.random.default_rng(), thin), wait_for_compiled, progress)
    stop, done = Event(), [0] * len(starts)

    def one(i: int) -> Trace | None:
        chain = _Chain(model, x, starts[i], np.random.default_rng(seeds[i]), thin)
        for left in chain.portions(burn_in, keep=False):
            if stop.is_set():
                return None
            chain.run(left, keep=False)
            done[i] += left
        for left in chain.portions(sweeps, keep=True):
            if stop.is_set():
                break
            chain.run(left, keep=True)
            done[i] += left
        return chain.trace()

    interrupted = False
    with ThreadPoolExecutor(max_workers=min(cores, len(starts))) as pool:
        futures: list[Future[Trace | None]] = [pool.submit(one, i) for i in range(len(starts))]
        try:
            unfinished: set[Any] = set(futures)
            while unfinished:
                unfinished = wait(unfinished, timeout=_POLL_S, return_when=FIRST_COMPLETED)[1]
                progress.step("sampling", sum(done), len(starts) * (sweeps + burn_in))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            stop.set()
    return [future.result() for future in futures], interrupted


def _compile(model: Conditionals, chain: _Chain, wait: Callable[[], None], progress: Progress) -> None:
    """Compile what is not compiled elsewhere, and wait for the rest."""
    from bayesgmm.numerics._gibbs_kernel import addresses_of, are_cached

    with nullcontext() if are_cached(splits=model.splits) else progress.announced("compiling, once"):
        chain.run(0, keep=False)
        if model.splits:
            addresses_of(splits=False)
        wait()
        addresses_of(splits=model.splits)


class _Chain:
    """The state of one chain."""

    def __init__(self, model: Conditionals, x: Array, start: Parameters, rng: np.random.Generator, thin: int) -> None:
        K, (d, N), M = start.means.shape[0], x.shape, model.most
        self._model, self._x, self._rng, self._thin = model, x, rng, thin
        self._labels = np.zeros(N, dtype=np.int64)
        log_weights, means = np.zeros(M), np.zeros((M, d))
        log_weights[:K] = np.maximum(start.log_weights, np.log(1e-300))
        # Components to come begin with the covariance of the first, which stays if covariances are known.
        L = np.tile(start.choleskys[:1], (M, 1, 1))
        means[:K], L[:K] = start.means, start.choleskys
        A = inverse_lower(L)
        total, scale = np.array([model.total]), model.scale.copy()
        self._state = np.array([K]), log_weights, means, L, A, total, scale
        self._kept: list[tuple[Any, ...]] = []
        by_memory = _NUMBERS // (M * (2 + d + d * d))
        self._sweeps = int(np.clip(_WORK // (N * K), 1, min(_MOST_SWEEPS, max(1, by_memory) * thin)))

    def portions(self, sweeps: int, *, keep: bool) -> list[int]:
        """Numbers of sweeps between looks at whether to stop; whole numbers of draws where those are kept."""
        size = max(1, self._sweeps // self._thin) * self._thin if keep else self._sweeps
        sizes = [size] * (sweeps // size)
        return [*sizes, sweeps % size] if sweeps % size else sizes

    def run(self, sweeps: int, *, keep: bool) -> None:
        from bayesgmm.numerics._gibbs_kernel import NOWHERE, addresses_of, run_sweeps

        # Without sweeps nothing is called, so that nothing need be compiled yet but `run_sweeps`.
        addresses = addresses_of(splits=self._model.splits) if sweeps else NOWHERE
        S, M, d = sweeps // self._thin if keep else 0, self._model.most, self._x.shape[0]
        number, occupied = np.zeros(S, dtype=np.int64), np.zeros(S, dtype=np.int64)
        numbers = np.zeros(S), np.zeros(S), np.zeros((S, d, d))
        parameters = np.zeros((S, M)), np.zeros((S, M)), np.zeros((S, M, d)), np.zeros((S, M, d, d))
        kept = number, occupied, *numbers, *parameters
        own = addresses, self._rng, self._x, self._labels, *self._model.arguments(), *self._state
        arguments: tuple[Any, ...] = (*own, sweeps, self._thin, *kept)
        run_sweeps(*arguments)
        if S:
            there = np.arange(M) < number[:, None]
            self._kept.append((number, occupied, *numbers, *(each[there] for each in parameters)))

    def trace(self) -> Trace | None:
        if not self._kept:
            return None
        names = (field.name for field in fields(Trace))
        joined = (np.concatenate(each) for each in zip(*self._kept, strict=True))
        return Trace(**dict(zip(names, joined, strict=True)))
