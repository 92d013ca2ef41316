"""Ctrl-C in the middle of an import waits for its end."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from bayesgmm._interrupts import Interrupts
from bayesgmm.engines._progress import Progress

PRESSED = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
for _ in range(1000):
    pass
whole = True
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "pressed_inside.py").write_text(PRESSED)
    monkeypatch.syspath_prepend(tmp_path)
    yield "pressed_inside"
    sys.modules.pop("pressed_inside", None)


def waiting():
    for _ in range(200):
        time.sleep(0.01)
    raise AssertionError("Ctrl-C was lost")


def test_an_import_is_whole_and_ctrl_c_comes_after_it(module):
    def imported():
        with Interrupts():
            __import__(module)
            assert sys.modules[module].whole
            waiting()

    with pytest.raises(KeyboardInterrupt):
        imported()
    assert sys.modules[module].whole
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_it_an_import_is_broken_off(module):
    with pytest.raises(KeyboardInterrupt):
        __import__(module)
    assert module not in sys.modules


def test_code_that_is_itself_imported_can_be_interrupted(tmp_path, monkeypatch):
    """Only imports that begin inside count: a script that is imported and fits is not one long import."""
    (tmp_path / "fits_when_imported.py").write_text(
        "import os, signal\n"
        "from bayesgmm._interrupts import Interrupts\n"
        "with Interrupts():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    sum(range(10_000))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        __import__("fits_when_imported")


def test_draws_are_kept_only_where_somebody_wants_them():
    with Progress(False, keeps_draws=True) as progress:
        progress.interrupts.hold()
        os.kill(os.getpid(), signal.SIGINT)
        assert progress.interrupts.noted

    def pressed():
        with Progress(False) as progress:
            progress.interrupts.hold()
            os.kill(os.getpid(), signal.SIGINT)
            waiting()

    with pytest.raises(KeyboardInterrupt):
        pressed()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_numba_has_its_tables_in_order_before_ctrl_c_comes():
    """What takes new types from a generator cannot be broken off: numba could compile nothing after it."""
    code = compile(
        "def refresh():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return sum(range(10_000))\n",
        os.path.join("", "somewhere", "numba", "core", "base.py"),
        "exec",
    )  # fmt: skip
    space = {"os": os, "signal": signal}
    exec(code, space)
    done = []

    def refreshed():
        with Interrupts():
            done.append(space["refresh"]())
            waiting()

    with pytest.raises(KeyboardInterrupt):
        refreshed()
    assert done == [sum(range(10_000))]
