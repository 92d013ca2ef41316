"""What holds for every test: one thread of BLAS, and three lanes by the time that tests take."""

import time

import pytest
import scipy.linalg  # noqa: F401  brings its own BLAS, which has to be there before it can be limited
from _pytest.runner import runtestprotocol
from threadpoolctl import threadpool_limits

# The processes of the tests fill the processors; threads of BLAS inside them would wait for each other longer than the
# work takes.
threadpool_limits(1)

# Seconds of a processor, of some 3 GHz, that a test of the lane `fast` may take at most.
MOST_FAST_S = 3.0
TOOK = pytest.StashKey[float]()


def pytest_collection_modifyitems(items):
    """A test without a lane is in `fast`; one that is marked with two is in the slower one."""
    for item in items:
        lanes = [name for name in ("study", "fit") if item.get_closest_marker(name)]
        item.add_marker("fast" if not lanes else lanes[0])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    """Keep how long the test itself took; fixtures serve others too."""
    began = time.process_time()
    try:
        return (yield)
    finally:
        item.stash[TOOK] = time.process_time() - began


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Run a test; one of the lane `fast` that takes too long fails.

    It is run a second time before that is said: the first test of a process loads and compiles for those after it.
    """
    if item.get_closest_marker("fast") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if _too_slow(item, reports):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if _too_slow(item, reports):
            call = next(report for report in reports if report.when == "call")
            call.outcome = "failed"
            call.longrepr = (
                f"took {item.stash[TOOK]:.1f} s of a processor, more than the {MOST_FAST_S:g} s of the lane `fast`: "
                "make it smaller, or mark it with @pytest.mark.fit (or study)"
            )
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _too_slow(item, reports):
    return item.stash.get(TOOK, 0.0) > MOST_FAST_S and all(report.passed for report in reports)
