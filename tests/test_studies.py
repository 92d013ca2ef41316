"""Studies of `benchmarks/` that take long, in small: random fits, and Ctrl-C and kills at random times."""

from __future__ import annotations

import signal

import fuzz_calls
import fuzz_fits
import fuzz_interrupts
import mutants
import pytest


def test_every_function_of_the_package_can_be_called_by_the_study():
    """A function that is new, and has no right arguments in the study, would only be called without what it needs."""
    assert fuzz_calls.unready() == []


@pytest.mark.fit
@pytest.mark.parametrize("seed", [101, 102])
def test_random_fits_are_sound_or_refused(seed):
    reports = []
    counts = fuzz_fits.run(8, seed, 0, reports.append)
    assert counts.total() == 8
    assert not [key for key in counts if key[1] in ("silent", "foreign")], "\n".join(reports)


@pytest.mark.fit
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_interrupts_and_kills_end_as_promised():
    reports = []
    counts = fuzz_interrupts.run(6, 4, reports.append)
    assert counts.total() == counts["as promised"] == 6, "\n".join(reports)


def test_mutants_are_other_programs_that_can_be_read():
    for room in ("data", "results"):
        for mutant in mutants.drawn(room, 3, 5):
            source = (mutants.HERE / mutant.path).read_bytes()
            changed = source[: mutant.begin] + mutant.after.encode() + source[mutant.end :]
            assert source[mutant.begin : mutant.end].decode() == mutant.before
            compile(changed, mutant.path, "exec")
            assert changed != source
