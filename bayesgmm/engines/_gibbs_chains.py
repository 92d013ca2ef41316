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
# Of a `Trace`: one for each draw, and one for each component of each draw.
_A_DRAW = ("number", "occupied", "log_likelihood", "total", "scale")
_A_COMPONENT = ("counts", "log_weights", "means", "choleskys")
# When chains go on, so much of what there is becomes burn-in.
_FORGOTTEN = 4


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
        short = {name: getattr(self, name)[:n] for name in _A_DRAW}
        return Trace(**short, **{name: getattr(self, name)[:end] for name in _A_COMPONENT})

    def later(self, skip: int, step: int) -> Trace:
        """Every so many of the draws after the first `skip`."""
        chosen = np.arange(skip + step - 1, len(self), step)
        begins, sizes = np.cumsum(self.number) - self.number, self.number[chosen]
        places = np.repeat(begins[chosen] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        short = {name: getattr(self, name)[chosen] for name in _A_DRAW}
        return Trace(**short, **{name: getattr(self, name)[places] for name in _A_COMPONENT})

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


class Chains:
    """A chain from each start, that can be run on.

    Draws depend on the seeds alone, not on how many chains run at the same time. `wait_for_compiled` is what
    `compile_ahead` returned.

    Attributes
    ----------
    sweeps : int
        Sweeps of each chain after the first burn-in, as far as they were asked for.
    burn_in : int
        Sweeps of each chain that were thrown away.
    thin : int
        Of so many sweeps one is kept.
    interrupted : bool
        Whether they were stopped before they had all their sweeps.
    """

    def __init__(
        self,
        model: Conditionals,
        x: Array,
        starts: list[Parameters],
        seeds: list[int],
        *,
        thin: int,
        cores: int,
        progress: Progress,
        wait_for_compiled: Callable[[], None],
    ) -> None:
        _compile(model, _Chain(model, x, starts[0], np.random.default_rng(), thin), wait_for_compiled, progress)
        each = zip(starts, seeds, strict=True)
        self._chains = [_Chain(model, x, start, np.random.default_rng(seed), thin) for start, seed in each]
        self._cores, self._progress = cores, progress
        self._most_draws = 0
        self._done = [0] * len(starts)
        self.sweeps, self.burn_in, self.thin, self.interrupted = 0, 0, thin, False

    def run(self, sweeps: int, *, burn_in: int = 0) -> None:
        """So many sweeps more of every chain, a multiple of `thin`; first some that are thrown away."""
        self.sweeps += sweeps
        self.burn_in += burn_in
        self._most_draws = self._most_draws or 2 * (sweeps // self.thin)
        stop, total = Event(), len(self._chains) * (sweeps + burn_in) + sum(self._done)

        def one(i: int) -> None:
            chain = self._chains[i]
            for keep, number in ((False, burn_in), (True, sweeps)):
                for portion in chain.portions(number, keep=keep):
                    if stop.is_set():
                        return
                    chain.run(portion, keep=keep)
                    self._done[i] += portion

        interrupts = self._progress.interrupts
        interrupts.hold()
        with ThreadPoolExecutor(max_workers=min(self._cores, len(self._chains))) as pool:
            futures: list[Future[None]] = [pool.submit(one, i) for i in range(len(self._chains))]
            try:
                unfinished: set[Any] = set(futures)
                while unfinished and not interrupts.noted:
                    unfinished = wait(unfinished, timeout=_POLL_S, return_when=FIRST_COMPLETED)[1]
                    self._progress.step("sampling", sum(self._done), total)
                self.interrupted = bool(unfinished)
            except KeyboardInterrupt:
                if not interrupts.keeps_draws:
                    raise
                self.interrupted = True
            finally:
                stop.set()
        for future in futures:
            future.result()

    def go_on(self, most: int) -> bool:
        """As many sweeps again as there have been, up to `most` in all; False if that is not one draw more.

        A quarter of those that there have been is thrown away first, so that what comes from an unlucky start does not
        stay for ever, and of the others every other is kept if they would become too many: the number of draws stays
        below twice that of the first run.
        """
        further = min(self.sweeps, most - self.sweeps) // self.thin
        lengths = [len(trace) for trace in self.traces() if trace is not None]
        thrown_away = self.sweeps // _FORGOTTEN - self.sweeps + max(lengths) * self.thin
        skip = max(thrown_away, 0) // self.thin
        step = 2 if max(lengths) - skip + further > self._most_draws else 1
        if further < step or self.interrupted or self._progress.interrupts.noted:
            return False
        for chain in self._chains:
            chain.forget(skip, step)
        self.burn_in += skip * self.thin
        self.thin *= step
        self.run(further // step * self.thin)
        return True

    @property
    def components(self) -> float:
        """How many components a draw has, on average."""
        return float(np.mean([trace.number.mean() for trace in self.traces() if trace is not None]))

    def traces(self) -> list[Trace | None]:
        """What the chains have left, None of those without draws."""
        return [chain.trace() for chain in self._chains]


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

    def forget(self, skip: int, step: int) -> None:
        """Drop the first draws and all but every so many of the others; the same for those to come."""
        self._thin *= step
        trace = self.trace()
        if trace is not None:
            self._kept = [_as_tuple(trace.later(skip, step))]

    def trace(self) -> Trace | None:
        if not self._kept:
            return None
        if len(self._kept) > 1:
            self._kept = [tuple(np.concatenate(each) for each in zip(*self._kept, strict=True))]
        return Trace(**dict(zip((field.name for field in fields(Trace)), self._kept[0], strict=True)))


def _as_tuple(trace: Trace) -> tuple[Any, ...]:
    return tuple(getattr(trace, field.name) for field in fields(Trace))
