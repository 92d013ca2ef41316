"""A cache of compiled functions that cannot be used never stops anybody."""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
import warnings

import pytest

from bayesgmm.numerics import _numba_cache, compiling

SOURCE = """
from bayesgmm.numerics._numba_cache import cached_njit

@cached_njit(nogil=True)
def twice(x):
    return 2.0 * x
"""


@pytest.fixture
def twice(tmp_path, monkeypatch):
    """A function of a module of its own, imported anew each time: what `() -> function` returns."""
    (tmp_path / "twice_module.py").write_text(SOURCE)
    monkeypatch.setattr(_numba_cache, "_said", set())
    sources = _numba_cache._sources
    sources.cache_clear()

    def imported():
        spec = importlib.util.spec_from_file_location("twice_module", tmp_path / "twice_module.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.twice

    yield imported
    sources.cache_clear()


def stored(tmp_path):
    return list((tmp_path / "__pycache__").glob("*.nbc"))


def hits(function):
    return sum(function.stats.cache_hits.values())


def test_the_second_time_it_comes_from_the_cache(twice, tmp_path):
    first = twice()
    assert not compiling.is_cached(first.py_func)
    assert first(2.0) == 4.0
    assert hits(first) == 0
    assert len(stored(tmp_path)) == 1
    second = twice()
    assert second(2.0) == 4.0
    assert hits(second) == 1
    assert compiling.is_cached(second.py_func)


def cut(file):
    file.write_bytes(file.read_bytes()[:-10])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip])
def test_damaged_files_are_written_anew(twice, tmp_path, damage):
    twice()(2.0)
    (file,) = stored(tmp_path)
    damage(file)
    with pytest.warns(RuntimeWarning, match=f"{tmp_path}.*is damaged.*NUMBA_CACHE_DIR"):
        assert hits_of_a_fresh_one(twice) == 0
    assert hits_of_a_fresh_one(twice) == 1


def hits_of_a_fresh_one(twice):
    function = twice()
    assert function(2.0) == 4.0
    return hits(function)


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 200])
def test_what_another_version_has_written_is_passed_over_without_a_word(twice, tmp_path, content):
    twice()(2.0)
    (file,) = stored(tmp_path)
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hits_of_a_fresh_one(twice) == 0
    assert hits_of_a_fresh_one(twice) == 1


def test_code_is_compiled_anew_where_what_it_calls_has_changed(twice, tmp_path, monkeypatch):
    twice()(2.0)
    monkeypatch.setattr(_numba_cache, "_sources", lambda own: b"another".ljust(32))
    assert hits_of_a_fresh_one(twice) == 0


def test_a_full_disk_is_said_once(twice, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert hits_of_a_fresh_one(twice) == 0
    assert hits_of_a_fresh_one(twice) == 0


def test_without_any_folder_nothing_is_kept(twice, monkeypatch):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    with pytest.warns(RuntimeWarning, match="no locator available"):
        function = twice()
    assert function(2.0) == 4.0
    assert not compiling.is_cached(function.py_func)
    assert not compiling.can_be_cached(function.py_func)


FIT = """
import warnings, bayesgmm as bg
warnings.simplefilter("ignore", UserWarning)
x = bg.datasets.load_faithful()
engine = bg.EM(n_init=2, n_polish=1)
print(bg.fit(bg.GaussianMixture(2), x, engine=engine, random_seed=1, progressbar=False).attrs["status"])
"""


@pytest.mark.study
def test_fits_with_a_full_disk_and_with_damaged_files(tmp_path):
    def run(**options):
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run([sys.executable, "-c", FIT], env=env, capture_output=True, text=True, **options)

    def no_file_may_grow():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    full = run(preexec_fn=no_file_may_grow)
    assert full.stdout == "CONVERGED\n", full.stderr
    assert str(tmp_path) in full.stderr
    assert "NUMBA_CACHE_DIR" in full.stderr
    assert run().stdout == "CONVERGED\n"
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert files
    for each in files:
        os.truncate(each, 20)
    again = run()
    assert again.stdout == "CONVERGED\n", again.stderr


def test_the_sources_that_count_are_those_of_compiled_code():
    own = _numba_cache.__file__
    assert _numba_cache._sources(own) == _numba_cache._sources(own)
    assert len(_numba_cache._sources(own)) == 32
