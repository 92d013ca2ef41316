"""Ctrl-C while a fit runs: an exception as ever until there are draws to keep, and a note from then on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self


class Interrupts:
    """Context manager; outside of it, and in threads that get no signals, Ctrl-C is what it always is.

    Attributes
    ----------
    noted : bool
        Whether Ctrl-C came while it was held back. Whoever holds it back looks here and ends in good order.
    """

    def __init__(self) -> None:
        self.noted = False
        self._held = False
        self._before: Callable[[int, Any], Any] | None = None

    def hold(self) -> None:
        """From here on Ctrl-C is noted, so that no draw is lost whatever it meets; a second one is as ever."""
        self._held = True

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):  # elsewhere somebody wants it ignored, or handles it outside of Python
                self._before = before
                signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _heard(self, number: int, frame: Any) -> None:
        if self._held and not self.noted:
            self.noted = True
        elif self._before is not None:
            self._before(number, frame)
