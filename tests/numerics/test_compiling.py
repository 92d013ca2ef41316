"""Compiling in another process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bayesgmm.numerics import compiling

DENSITY = "bayesgmm.numerics._posterior_kernel", "collect"

# A run of NUTS in a process whose cache is empty; the functions must come out of the cache that the other filled.
RUN = """
import numpy as np, bayesgmm as bg
from bayesgmm.numerics import _posterior_kernel as kernel
rows = np.random.default_rng(0).normal(size=(30, 1))
bg.fit(bg.GaussianMixture(1), rows, engine=bg.NUTS(draws=10, tune=50, chains=1), progressbar=False)
print([function.cache_hits for function in kernel.compiled()])
"""


def test_the_other_process_compiles_what_the_sampler_calls(tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == ["[1, 1, 1, 1]"]


# Gibbs: what `compile_ahead` has another process compile, as `run_sweeps` will want it.
SWEEPS = """
import sys, types
from bayesgmm.engines._gibbs_chains import compile_ahead
from bayesgmm.numerics import _gibbs_split, _gibbs_updates
splits = sys.argv[1] == "splits"
compile_ahead(types.SimpleNamespace(splits=splits))()
found = _gibbs_split.compiled() if splits else [_gibbs_updates.compiled()]
print([function.cache_hits for function in found])
"""


@pytest.mark.parametrize(
    ("wanted", "hits"), [("components", "[1]"), pytest.param("splits", "[1, 1, 1]", marks=pytest.mark.study)]
)
def test_the_other_process_compiles_what_sweeps_call(wanted, hits, tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SWEEPS, wanted],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == [hits]


def test_without_an_interpreter_to_start_nothing_is_lost(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    compiling.compile_elsewhere(*DENSITY)()


def test_an_interpreter_that_does_not_start_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    monkeypatch.setattr(compiling, "is_cached", lambda function: False)
    compiling.compile_elsewhere(*DENSITY)()
