"""Work that is shared out to processes."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

import bayesgmm as bg
from bayesgmm.engines._progress import Progress
from bayesgmm.inference import _parallel


def end(how: int) -> int:
    """What a worker does: it comes back, is killed, or ends by itself."""
    if how == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if how == 2:
        os._exit(3)
    return how


def shared_out(jobs):
    return _parallel.run_parallel(end, jobs, total=len(jobs), cores=2, progress=Progress(False), what="tests")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (1, "worked on 'tests' was ended by the signal SIGKILL.*no memory left"),
        (2, "worked on 'tests' ended by itself"),
    ],
)
def test_a_worker_that_ends_is_no_fault_of_an_argument(how, said):
    with pytest.raises(bg.FitError, match=said) as caught:
        shared_out([0, how, 0])
    assert "cores=1" in str(caught.value)
    assert not isinstance(caught.value, bg.InputError)


def test_threads_that_share_out_work_leave_the_main_module_alone():
    main = sys.modules["__main__"]
    found = []
    workers = [threading.Thread(target=lambda: found.append(shared_out([0, 0, 0]))) for _ in range(2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert found == [[0, 0, 0]] * 2
    assert sys.modules["__main__"] is main
