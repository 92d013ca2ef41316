"""How often 95 % intervals of `bg.fit(bg.GaussianMixture(K), x)`, with nothing chosen, hold the truth.

    python benchmarks/default_coverage.py --design                        # the 24 cells
    python benchmarks/default_coverage.py --out found.jsonl --exact 5     # the study; stop and start it as you like
    python benchmarks/default_coverage.py --out found.jsonl --report      # tables and verdicts from what is there

Rows are drawn from 24 mixtures (`_default_cells.py`), 200 times each, and fitted by the default call; engines that are
named get 60 of the same data sets in 8 of the cells. Components of a fit are named after those of the truth with which
they share most rows, by the assignment with the largest sum of responsibilities. Counted is how often equal-tailed
95 % intervals of all draws hold the true weights, means, standard deviations, and probabilities of components for 50
new rows; what `fit` warned; how it ended; and the labels. With --exact n the first n data sets of each cell are also
sampled by long runs of NUTS under the very prior that the default fit had, for the width of the intervals. Results are
appended as lines of JSON, first those of fit 0 of all cells and engines, so that a study that was stopped is a smaller
one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from _common import print_table, versions  # pins the threads, so before numpy

# isort: split
from functools import lru_cache, partial

from _default_cells import HEADS, cells, named_cells
from _default_fits import DEFAULT, ENGINES, EXACT, record, warm_up
from _default_tables import report
from _records import Record, read, work_off

Job = tuple[str, int, int]


def jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Engine, cell and number of every fit, in the order in which they are made."""
    engines = options.engines.split(",")
    chosen = range(len(cells())) if options.cells is None else [int(each) for each in options.cells.split(",")]
    for i in range(max(options.fits, options.exact)):
        for engine in engines:
            named = engine != DEFAULT
            if i < (min(options.named_fits, options.fits) if named else options.fits):
                yield from ((engine, cell, i) for cell in chosen if not named or cell in named_cells())
        if i < options.exact:
            yield from ((EXACT, cell, i) for cell in chosen)


@lru_cache
def _warm(engine: str) -> None:
    """Once in a process."""
    warm_up(engine)


def done(job: Job, seed: int, exact_draws: int) -> Record:
    """The record of one fit, in a process that is warm."""
    _warm(job[0])
    return record(*job, seed=seed, exact_draws=exact_draws)


def show_design() -> None:
    named = named_cells()
    rows = [
        [*cell.named(), f"{cell.fewest_rows:g}", "yes" * cell.must_hold, "yes" * (cell.number in named)]
        for cell in cells()
    ]
    print_table("The cells", [*HEADS, "rows of the smallest", "must hold", "engines by name"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("default_coverage.jsonl"), help="file of results")
    parser.add_argument("--fits", type=int, default=200, help="fits of the default call in a cell")
    parser.add_argument("--named-fits", type=int, default=60, help="fits of each engine by name in a cell")
    parser.add_argument("--exact", type=int, default=0, help="long runs in a cell")
    parser.add_argument("--exact-draws", type=int, default=4000, help="draws of each chain of a long run")
    parser.add_argument("--cells", help="numbers of cells with commas between; all if left out")
    parser.add_argument("--engines", default=",".join(ENGINES), help=f"out of {', '.join(ENGINES)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--design", action="store_true", help="print the cells and stop")
    parser.add_argument("--report", action="store_true", help="print what the file has and stop")
    options = parser.parse_args(arguments)
    unknown = set(options.engines.split(",")) - set(ENGINES)
    if unknown:
        parser.error(f"--engines: got {', '.join(sorted(unknown))}; give some of {', '.join(ENGINES)}")
    print(versions())
    show_design()
    if options.design:
        return
    if not options.report:
        there = {
            (each["engine"], each["cell"], each["i"]) for each in read(options.out) if each["seed"] == options.seed
        }
        one = partial(done, seed=options.seed, exact_draws=options.exact_draws)
        work_off([job for job in jobs(options) if job not in there], one, options.out, options.workers)
    found = [each for each in read(options.out) if each["seed"] == options.seed]
    if not found:
        print(f"\n{options.out} has no results of seed {options.seed}")
        return
    report(found)


if __name__ == "__main__":
    main()
