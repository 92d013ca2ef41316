"""Ctrl-C: an exception as ever, but never where it would break a package, and a note once there are draws to keep."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

# So long until what has to end first is looked at again.
_AGAIN_S = 0.02
_IMPORTING = "<frozen importlib._bootstrap>"
# numba takes new types and functions from generators, which an exception ends: no later compilation would work.
_NUMBA, _TAKING = f"{os.sep}numba{os.sep}core{os.sep}", "refresh"


class Interrupts:
    """Context manager; outside of it, and in threads that get no signals, Ctrl-C is what it always is.

    Inside, it waits for imports to end, and for numba to have its tables in order. Python forgets a module whose
    import was broken off, but not what it had imported by then: numpy, pandas and numba cannot be imported a second
    time beside the remains of the first.

    Parameters
    ----------
    keeps_draws : bool
        Whether it may be held back for good, by `hold`.

    Attributes
    ----------
    noted : bool
        Whether Ctrl-C came while it was held back. Whoever holds it back looks here and ends in good order.
    """

    def __init__(self, *, keeps_draws: bool = True) -> None:
        self.noted = False
        self.keeps_draws = keeps_draws
        self._held = False
        self._before: Callable[[int, Any], Any] | None = None
        self._outside: FrameType | None = None

    def hold(self) -> None:
        """From here on Ctrl-C is noted, so that no draw is lost whatever it meets; a second one is as ever."""
        self._held = self.keeps_draws

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):  # elsewhere somebody wants it ignored, or handles it outside of Python
                self._before, self._outside = before, sys._getframe(1)
                signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = self._outside = None

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._unbreakable(frame):
            again = threading.Timer(_AGAIN_S, _thread.interrupt_main)
            again.daemon = True
            again.start()
        elif self._held and not self.noted:
            self.noted = True
        elif self._before is not None:
            self._before(number, frame)

    def _unbreakable(self, frame: FrameType | None) -> bool:
        """Whether something inside of this could not be done again; all of it may itself be part of an import."""
        while frame is not None and frame is not self._outside:
            file, name = frame.f_code.co_filename, frame.f_code.co_name
            if file == _IMPORTING or (name == _TAKING and _NUMBA in file):
                return True
            frame = frame.f_back
        return False
