"""What the progress display says, and when."""

from __future__ import annotations

import io
import sys
import types

import numpy as np
import pytest
from rich.console import Console

import bayesgmm as bg
from bayesgmm.engines import _progress
from bayesgmm.engines._progress import Progress
from bayesgmm.numerics import _gibbs_kernel as kernel


@pytest.fixture
def written(monkeypatch):
    """What a terminal is sent."""
    stream = io.StringIO()
    monkeypatch.setattr(Progress, "_console", Console(file=stream, force_terminal=True))
    return stream


def test_what_is_announced_is_shown_at_once_and_what_is_followed_only_after_a_while(written):
    with Progress(True) as progress:
        progress.step("searching", 1, 2)
        with progress.announced("compiling, once"):
            assert "compiling, once" in written.getvalue()
    assert "searching" not in written.getvalue()


def test_nothing_is_announced_unless_a_bar_was_asked_for(written):
    with Progress(False) as progress, progress.announced("compiling, once"):
        pass
    assert not written.getvalue()


class FakeNotebook:
    """What `IPython.display.display` is asked to show, and to show in its place."""

    def __init__(self):
        self.shown = []

    def display(self, bundle, *, raw, display_id):
        assert raw
        assert display_id
        self.shown.append(["first", bundle["text/plain"]])
        return self

    def update(self, bundle, *, raw):
        assert raw
        self.shown.append(["again", bundle["text/plain"]])


@pytest.fixture
def notebook(monkeypatch):
    """A notebook without ipywidgets."""
    module, fake = types.ModuleType("IPython.display"), FakeNotebook()
    module.display = fake.display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(Progress, "_console", Console(force_jupyter=True))
    return fake.shown


def test_a_notebook_has_one_line_that_is_never_empty(notebook, monkeypatch):
    monkeypatch.setattr(_progress, "_BETWEEN_CHANGES_S", 0.0)
    with Progress(True) as progress:
        progress.step("searching", 1, 2)  # too soon to show anything
        with progress.announced("compiling, once"):
            pass
        progress.step("sampling", 500, 2000)
    kinds, texts = zip(*notebook, strict=True)
    assert kinds == ("first", "again", "again", "again")
    assert texts == ("compiling, once ...", "compiling, once: 100%", "sampling: 25%", "Done after 0 s.")


def test_a_notebook_gets_few_messages_and_is_told_of_an_error(notebook):
    def work():
        with Progress(True) as progress, progress.announced("sampling"):
            for done in range(1000):
                progress.step("sampling", done, 1000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert len(notebook) < 5
    assert notebook[-1] == ["again", "Stopped after 0 s."]


def test_a_notebook_shows_nothing_of_a_short_fit(notebook):
    bg.fit(bg.GaussianMixture(1), [1.0, 2.0, 4.0, 7.0], engine=bg.EM(), random_seed=1)
    assert notebook == []


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
@pytest.mark.parametrize("cached", [True, False])
def test_gibbs_says_that_it_compiles(cached, written, monkeypatch):
    monkeypatch.setattr(kernel, "are_cached", lambda *, splits: cached)
    x = np.random.default_rng(0).normal(size=30)
    engine = bg.Gibbs(sweeps=40, burn_in=10, chains=1, n_init=1)
    bg.fit(bg.GaussianMixture(1), x, engine=engine, random_seed=0, progressbar=True)
    assert ("compiling, once" in written.getvalue()) is not cached
