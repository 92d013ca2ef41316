"""For who waits for a fit: a progress bar that appears only when there is something to wait for, and Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from bayesgmm._interrupts import Interrupts

# Shorter fits are over before anyone would look; they do not even load the library.
_PATIENCE_S = 1.0
# A notebook gets a message for every change.
_BETWEEN_CHANGES_S = 0.2


class Progress:
    """Context manager; `step` reports how far a named piece of work is.

    Parameters
    ----------
    enabled : bool
        Whether a bar is wanted.
    keeps_draws : bool
        Whether there is something to return after Ctrl-C. If not, it ends what is done wherever it comes.

    Attributes
    ----------
    interrupts : Interrupts
        What has become of Ctrl-C; entered and left with this.
    """

    def __init__(self, enabled: bool, *, keeps_draws: bool = False) -> None:
        self._wanted = enabled
        self._began = time.monotonic()
        self._bar: _TerminalBar | _NotebookLine | None = None
        self.interrupts = Interrupts(keeps_draws=keeps_draws)

    @cached_property
    def enabled(self) -> bool:
        """Whether a bar was asked for and somebody can see it: a file would be left with blank lines."""
        return self._wanted and (self._console.is_terminal or self._console.is_jupyter)

    @cached_property
    def _console(self) -> Any:
        from rich.console import Console

        return Console(stderr=True)

    def step(self, what: str, done: int, total: int) -> None:
        """Report that `done` of `total` units of `what` are finished."""
        if self._bar is not None or time.monotonic() - self._began >= _PATIENCE_S:
            self._show(what, done, total)

    @contextmanager
    def announced(self, what: str) -> Iterator[None]:
        """Say at once that a piece of work has begun that takes seconds, but not how far it is."""
        self._show(what, 0, None)
        yield
        self._show(what, 1, 1)

    def _show(self, what: str, done: int, total: int | None) -> None:
        if not self._wanted or not self.enabled:
            return
        if self._bar is None:
            self._bar = _NotebookLine(self._began) if self._console.is_jupyter else _TerminalBar(self._console)
        self._bar.show(what, done, total)

    def __enter__(self) -> Self:
        self.interrupts.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.interrupts.__exit__(kind, error, trace)
        if self._bar is not None:
            self._bar.stop(finished=kind is None)


class _TerminalBar:
    """A bar for each piece of work, which vanish at the end."""

    def __init__(self, console: Any) -> None:
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(console=console, transient=True)
        self._bar.start()
        self._tasks: dict[str, Any] = {}

    def show(self, what: str, done: int, total: int | None) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, total=total)

    def stop(self, *, finished: bool) -> None:
        self._bar.stop()


class _NotebookLine:
    """One line under the cell that is written over, and says in the end how long it took.

    Not a bar of rich: without ipywidgets that warns and shows nothing, and with them it leaves an empty box in the file
    of the notebook. A line that has been shown cannot be taken back without the other output of its cell.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._handle: Any = None
        self._changed = 0.0

    def show(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if self._handle is None or now - self._changed >= _BETWEEN_CHANGES_S:
            self._changed = now
            self._write(f"{what} ..." if not total else f"{what}: {min(done / total, 1.0):.0%}")

    def stop(self, *, finished: bool) -> None:
        self._write(f"{'Done' if finished else 'Stopped'} after {time.monotonic() - self._began:.0f} s.")

    def _write(self, text: str) -> None:
        from IPython.display import display  # pyright: ignore[reportMissingImports]  # a notebook has it

        # A bundle of its own, so that the line has no quotes and no look of a value.
        if self._handle is None:
            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)
