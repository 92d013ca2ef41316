"""Are the probabilities and verdicts of `traits.discreteness` right? Tables in Markdown.

    python benchmarks/calibrate_traits.py                          # everything, about an hour of two cores
    python benchmarks/calibrate_traits.py --sets 20 --prior-sets 100   # a quick look
    python benchmarks/calibrate_traits.py --only cells --cells "two types,200,4,1" "t, 4 degrees of freedom,200"

Verdicts are those at 95 % with the priors as declared; the settings of the sensitivity, which can only turn them into
"undecided", are left out for time. Three types are considered with ``--only prior --types 2 3`` alone.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise

import _common  # noqa: F401  (sets the numbers of threads before numpy is loaded)
import numpy as np
from _common import print_table, versions
from numpy.typing import NDArray

from bayesgmm.engines._problem import build_problem
from bayesgmm.traits import measurements
from bayesgmm.traits._compare import checked_odds, compare, prior_of
from bayesgmm.traits._models import CLASSES, Question

Array = NDArray[np.float64]

SEED = 20261121
LEVEL, LIMIT = 0.95, 4.0
N_TYPES, REPEATS, DRAWS = (2,), 3, 1000
SIZES, SEPARATIONS, WITHIN = (50, 200), (2.0, 4.0), (0.0, 0.5, 1.0, 2.0)
# One population with three times the sd of an error.
POPULATIONS: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "gamma, shape 4": lambda n, rng: 1.5 * rng.gamma(4.0, size=n),
    "log-normal, sigma 0.5": lambda n, rng: 5.0 * rng.lognormal(0.0, 0.5, n),
    "t, 4 degrees of freedom": lambda n, rng: 2.1 * rng.standard_t(4, n),
    "uniform": lambda n, rng: 10.4 * rng.random(n),
    "exponential": lambda n, rng: 3.0 * rng.exponential(size=n),
    "half-normal": lambda n, rng: 5.0 * np.abs(rng.standard_normal(n)),
    "floor, 25 % at it": lambda n, rng: 3.6 * np.maximum(rng.standard_normal(n), -0.674),
    "ceiling, 10 % at it": lambda n, rng: 3.2 * np.minimum(rng.standard_normal(n), 1.282),
    "Normal, rounded to 3": lambda n, rng: 3.0 * rng.standard_normal(n),
    "Normal, rounded to 1.5": lambda n, rng: 3.0 * rng.standard_normal(n),
}
# Steps to which measurements are rounded, with their errors.
ROUNDED = {"Normal, rounded to 3": 3.0, "Normal, rounded to 1.5": 1.5}
# For the table of reliability: priors that are known beforehand.
CENTRE, SCALE, ERROR_DF = 0.0, 3.0, 10.0
EDGES = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0])


def probabilities(
    x: Array, seed: np.random.SeedSequence, n_types: tuple[int, ...] = N_TYPES, **known: float
) -> list[float]:
    """Of the classes, and seconds of the processor."""
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        data = measurements(x, **{name: known[name] for name in ("error", "error_df") if name in known})
        question = Question.about(data, n_types, known.get("centre"), known.get("scale"), False)
        table = compare(data, question, checked_odds(None), draws=DRAWS, seed=seed)
    return [*table.of_classes[0], time.process_time() - began]


def of_cell(job: tuple[str, int, float, float, int]) -> list[float]:
    """One data set of a cell: two types, or a population by its name."""
    name, n, separation, within, number = job
    key = [SEED, len(name), sum(map(ord, name)), n, int(10 * separation), int(10 * within), number]
    rng = np.random.default_rng(key)
    if name in POPULATIONS:
        true = POPULATIONS[name](n, rng)
    else:
        true = separation * (rng.random(n) < 0.5) + within * rng.standard_normal(n)
    x = true[:, None] + rng.standard_normal((n, REPEATS))
    if name in ROUNDED:
        x = ROUNDED[name] * np.round(x / ROUNDED[name])
    return probabilities(x, np.random.SeedSequence(key))


def from_prior(job: tuple[int, tuple[int, ...]]) -> list[float]:
    """One data set from the priors, and the number of the class that it is from."""
    number, n_types = job
    rng = np.random.default_rng([SEED, number])
    n, repeats = int(rng.integers(20, 101)), int(rng.integers(2, 5))
    error = np.sqrt(ERROR_DF / rng.chisquare(ERROR_DF))
    # The declarations need the errors' size only to say what counts as none.
    dummy = measurements(rng.standard_normal((n, repeats)), error=1.0, error_df=ERROR_DF)
    hypotheses = Question.about(dummy, n_types, CENTRE, SCALE, False).hypotheses(dummy)
    chosen = hypotheses[rng.choice(len(hypotheses), p=prior_of(hypotheses, checked_odds(None)))]
    weights, means, covariances = build_problem(chosen.model, dummy.to_data()).declared.draw(rng, 1, 1)
    labels = rng.choice(weights.shape[1], size=n, p=weights[0] / weights[0].sum())
    true = means[0, labels, 0] + np.sqrt(covariances[0, labels, 0, 0]) * rng.standard_normal(n)
    x = true[:, None] + error * rng.standard_normal((n, repeats))
    known = {"error": 1.0, "error_df": ERROR_DF, "centre": CENTRE, "scale": SCALE}
    return [*probabilities(x, np.random.SeedSequence([SEED, number]), n_types, **known), CLASSES.index(chosen.kind)]


def all_cells() -> dict[str, tuple[str, int, float, float]]:
    """By a name, such as "two types,200,4,1" (individuals, separation, sd within)."""
    two = [("two types", n, s, w) for w in WITHIN for n in SIZES for s in SEPARATIONS]
    cells = {f"{name},{n},{s:g},{w:g}": (name, n, s, w) for name, n, s, w in two}
    cells |= {f"{name},{n}": (name, n, 0.0, 0.0) for name in POPULATIONS for n in SIZES}
    # Those that have a rate of errors come first.
    return dict(sorted(cells.items(), key=lambda item: item[1][3] > 0))


def error_rates(pool: ProcessPoolExecutor, sets: int, cells: list[tuple[str, int, float, float]]) -> None:
    rows, seconds = [], []
    for name, n, separation, within in cells:
        jobs = [(name, n, separation, within, i) for i in range(sets)]
        found = np.array(list(pool.map(of_cell, jobs, chunksize=5)))
        seconds.append(found[:, 3].mean())
        rates = (found[:, :3] >= LEVEL).mean(axis=0)
        wrong = rates[1] if name == "two types" and within == 0 else np.nan
        wrong = rates[0] + rates[1] if name in POPULATIONS else wrong
        allowed = 0.05 + LIMIT * np.sqrt(0.05 * 0.95 / sets)
        said = "" if np.isnan(wrong) else "inside" if wrong <= allowed else "OUTSIDE"
        two = name == "two types"
        cell = [name, str(n), f"{separation:g}" if two else "", f"{within:g}" if two else ""]
        cell += [*(f"{100 * rate:.1f}" for rate in rates), f"{100 * (1 - rates.sum()):.1f}", said]
        rows.append(cell)
        print("  " + " | ".join(rows[-1]), flush=True)
    header = (
        "truth",
        "n",
        "separation",
        "sd within",
        "discrete %",
        "mixed %",
        "continuous %",
        "undecided %",
        "error rate",
    )
    print_table(f"Verdicts at {100 * LEVEL:g} %, {sets} data sets a cell, {REPEATS} repeats, error sd 1", header, rows)
    print(f"{np.mean(seconds):.2f} s of the processor for a data set")


def reliability(pool: ProcessPoolExecutor, sets: int, n_types: tuple[int, ...]) -> None:
    found = np.array(list(pool.map(from_prior, [(i, n_types) for i in range(sets)], chunksize=5)))
    said, true = found[:, :3], found[:, 4].astype(int)
    rows = []
    for kind in ("all", *CLASSES):
        own = range(3) if kind == "all" else [CLASSES.index(kind)]
        p = np.concatenate([said[:, i] for i in own])
        happened = np.concatenate([true == i for i in own])
        for low, high in pairwise(EDGES):
            here = (p >= low) & ((p < high) | (high == 1.0))
            if not here.any():
                continue
            # Probabilities of a bin need not be alike.
            z = (happened[here] - p[here]).sum() / np.sqrt(max((p[here] * (1 - p[here])).sum(), 1e-12))
            rows.append(
                [
                    kind,
                    f"{low:g} to {high:g}",
                    str(here.sum()),
                    f"{100 * p[here].mean():.1f}",
                    f"{100 * happened[here].mean():.1f}",
                    f"{z:+.1f}" + ("" if abs(z) < LIMIT else " OUTSIDE"),
                ]
            )
    header = ("class", "probability", "cases", "mean said %", "happened %", "errors away")
    listed = " and ".join(map(str, n_types))
    print_table(f"Reliability over {sets} data sets from the priors, {listed} types", header, rows)
    log_score = -np.log(np.maximum(said[np.arange(len(said)), true], 1e-300)).mean()
    print(f"mean -log probability of the truth {log_score:.3f}; {np.log(3):.3f} for equal ones")
    print(f"{found[:, 3].mean():.2f} s of the processor for a data set")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=200, help="data sets of each cell")
    parser.add_argument("--prior-sets", type=int, default=1000)
    parser.add_argument("--types", type=int, nargs="+", default=list(N_TYPES), help="of the data sets from the priors")
    parser.add_argument("--only", choices=["cells", "prior"], nargs="+", default=["cells", "prior"])
    known = all_cells()
    parser.add_argument("--cells", choices=known, nargs="+", default=list(known), metavar="CELL", help="default: all")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    print(f"{versions()}\nseed {SEED}, {DRAWS} draws", flush=True)
    with ProcessPoolExecutor(options.cores) as pool:
        if "prior" in options.only:
            reliability(pool, options.prior_sets, tuple(options.types))
        if "cells" in options.only:
            error_rates(pool, options.sets, [known[name] for name in options.cells])


if __name__ == "__main__":
    main()
