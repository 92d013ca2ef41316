"""What people read: numbers of things, and progress that nobody sees."""

import io
import sys

import pytest

import bayesgmm as bg
from bayesgmm._words import counted
from bayesgmm.engines import _progress
from bayesgmm.engines._progress import Progress


def test_numbers_of_things():
    assert [counted(n, "start") for n in (0, 1, 2)] == ["0 starts", "1 start", "2 starts"]


def test_one_start_is_spoken_of_as_one():
    fit = bg.fit(bg.GaussianMixture(1), [1.0, 2.0, 4.0], engine=bg.EM(n_init=1), random_seed=1, progressbar=False)
    message = bg.diagnose(fit)["message"].sel(check="starts").item()
    assert message == "1 start, 1 followed to the end: 1 distinct optimum; 1 reached the best one."


class Screen(io.StringIO):
    """A file that may say that it is a terminal."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_for_those_who_see_it(terminal, monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(_progress, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(sys, "stderr", Screen(terminal))
    with Progress(True) as progress:
        progress.step("counting", 1, 2)
    assert progress.enabled == terminal
    assert ("counting" in sys.stderr.getvalue()) == terminal
    assert terminal or not sys.stderr.getvalue()
    with Progress(False) as progress:
        progress.step("counting", 1, 2)
    assert not progress.enabled
