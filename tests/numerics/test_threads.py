"""How many processors there are, and BLAS that gets its threads back."""

from __future__ import annotations

import ast
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from threadpoolctl import ThreadpoolController, threadpool_info

import bayesgmm as bg
from bayesgmm.numerics import threads

PACKAGE = Path(threads.__file__).parents[1]


def blas():
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


@pytest.fixture
def two_threads():
    """BLAS has two threads, and nobody has the say over their number."""
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [each.num_threads for each in libraries]
    for each in libraries:
        getattr(each, "clear_controlling_thread", lambda **_: None)(force=True)
        threads._set(each, 2)
    yield
    for each, number in zip(libraries, before, strict=True):
        threads._set(each, number)


def groups(folder, own, **limits):
    """Files of control groups: memberships, and a limit for each path."""
    (folder / "cgroup").write_text(own)
    for path, text in limits.items():
        file = folder / "fs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return threads._quota(folder / "cgroup", folder / "fs")


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/of/the/host\n", {"cpu.max": "200000 100000\n"}, 2),
        ("1:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "400000", "cpu/x/cpu.cfs_period_us": "100000"}, 4),
        ("1:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, None),
        ("0::/a\n", {"a/cpu.max": ""}, None),
        ("", {}, None),
    ],
)
def test_quotas_of_control_groups(tmp_path, own, limits, expected):
    found = groups(tmp_path, own, **limits)
    assert found == expected if expected else found > 10**6


def test_the_smaller_of_quota_and_affinity(monkeypatch):
    monkeypatch.setattr(threads, "_confined_to", lambda: 8)
    monkeypatch.setattr(threads, "_quota", lambda *_: 3)
    assert threads.n_processors() == 3
    monkeypatch.setattr(threads, "_quota", lambda *_: 100)
    assert threads.n_processors() == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_a_process_that_is_confined_has_fewer():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads.n_processors() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_nobody_else_counts_processors():
    for file in PACKAGE.rglob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
        if file.name != "threads.py":
            assert not names & {"cpu_count", "process_cpu_count", "sched_getaffinity", "threadpool_limits"}, file


def test_whoever_leaves_last_gives_back_what_there_was(two_threads):
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    seen = []

    def first():
        with threads.one_blas_thread():
            first_in.set()
            second_in.wait(5)
        first_out.set()

    def second():
        first_in.wait(5)
        with threads.one_blas_thread():
            second_in.set()
            first_out.wait(5)
            seen.append(blas())

    workers = [threading.Thread(target=each) for each in (first, second)]
    before = blas()
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert seen == [[1] * len(before)]
    assert blas() == before == [2] * len(before)


def test_an_error_gives_them_back_too(two_threads):
    with pytest.raises(KeyError), threads.one_blas_thread():
        raise KeyError
    assert set(blas()) == {2}


def test_under_openmp_each_thread_has_its_own(monkeypatch):
    class Library:
        filepath, threading_layer = "libopenblas.so", "openmp"

        def __init__(self):
            self.numbers = threading.local()

        @property
        def num_threads(self):
            return getattr(self.numbers, "n", 4)

        def set_num_threads(self, n):
            self.numbers.n = n

    library = Library()
    monkeypatch.setattr(threads, "ThreadpoolController", lambda: Controller())

    class Controller:
        lib_controllers = (library,)

        def select(self, **_):
            return self

    def inside(_):
        with threads.one_blas_thread():
            return library.num_threads, threading.get_ident()

    with threads.one_blas_thread(), ThreadPoolExecutor(3) as pool:
        assert {n for n, _ in pool.map(inside, range(6))} == {1}
        assert library.num_threads == 1
        assert set(pool.map(lambda _: library.num_threads, range(6))) == {4}
    assert library.num_threads == 4


def test_fits_in_threads_leave_nothing_behind(two_threads):
    x = bg.datasets.load_faithful()
    before = blas()
    with ThreadPoolExecutor(4) as pool:
        options = {"engine": bg.EM(n_init=2, n_polish=1), "progressbar": False}
        list(pool.map(lambda seed: bg.fit(bg.GaussianMixture(2), x, random_seed=seed, **options), range(8)))
    assert blas() == before
