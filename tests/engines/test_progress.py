"""What the progress display says, and when."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

import bayesgmm as bg
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


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
@pytest.mark.parametrize("cached", [True, False])
def test_gibbs_says_that_it_compiles(cached, written, monkeypatch):
    monkeypatch.setattr(kernel, "are_cached", lambda *, splits: cached)
    x = np.random.default_rng(0).normal(size=30)
    engine = bg.Gibbs(sweeps=40, burn_in=10, chains=1, n_init=1)
    bg.fit(bg.GaussianMixture(1), x, engine=engine, random_seed=0, progressbar=True)
    assert ("compiling, once" in written.getvalue()) is not cached
