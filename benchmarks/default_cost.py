"""What `bg.fit(bg.GaussianMixture(K), x)` costs beside scikit-learn's default fit, and what the engines cost by size.

    python benchmarks/default_cost.py                              # the default call and scikit-learn's, in turn; 2 min
    python benchmarks/default_cost.py --only "Old Faithful"
    python benchmarks/default_cost.py --model --out cost.jsonl     # NUTS and Laplace over a grid; 10 min
    python benchmarks/default_cost.py --out cost.jsonl --report    # what such a file has, and the formulas fitted to it

Times are of the processor, with one thread on both sides, after a first fit that loads and compiles. The grid is that
from which the default call's choice between engines is made: one fit a cell, groups of equal size, under the default
form of the prior with the scale written out. The groups are far apart (`--apart` sds), so that the grid shows what
ordinary steps cost: where rows do not hold K groups NUTS takes many more steps a draw. A cell is left out where a
group has fewer than 2 (d + 1) rows, or where more than `--most` seconds are expected from what fewer rows took.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _common import milliseconds, print_table, seconds, show_threads  # pins the threads, so before numpy

# isort: split
import numpy as np
from _records import append, read
from numpy.typing import NDArray
from scipy.optimize import nnls

import bayesgmm as bg

Array = NDArray[np.float64]

APART, CLEARLY_APART = 3.0, 6.0
SIZES, FEATURES, COMPONENTS = (100, 1000, 10_000, 100_000), (1, 2, 4, 8, 13), (2, 3, 5)
# Power of the number of rows with which times grow, about, since each fit has a fixed part.
GROWTH = 0.8
ENGINES: dict[str, Callable[[], Any]] = {
    "NUTS": lambda: bg.NUTS(draws=500, cores=1),
    "Laplace": lambda: bg.Laplace(threads=1),
}


class Case(NamedTuple):
    """Rows for both, and how many times scikit-learn's processor time is allowed."""

    name: str
    n_components: int
    rows: Callable[[], Array]
    repeats: int
    most_times: float | None = None


def groups(n: int, d: int, K: int, apart: float = APART) -> Array:
    """Groups of equal size and unit covariance, each so many sds from its neighbours: on a line, or on stairs."""
    rng = np.random.default_rng([n, d, K])
    means = np.zeros((K, d))
    for k in range(1, K):
        means[k] = means[k - 1]
        means[k, (k - 1) % min(d, 2)] += apart
    return means[rng.integers(K, size=n)] + rng.standard_normal((n, d))


CASES = (
    Case("Old Faithful", 2, lambda: bg.datasets.load_faithful().to_numpy(), 5, 80.0),
    Case("1e3 x 2", 3, lambda: groups(1000, 2, 3), 5),
    Case("1e4 x 2", 3, lambda: groups(10_000, 2, 3), 3),
    Case("1e5 x 2", 3, lambda: groups(100_000, 2, 3), 3),
    Case("1e6 x 2, K=2", 2, lambda: groups(1_000_000, 2, 2), 3, 5.0),
    Case("1e6 x 2, K=3", 3, lambda: groups(1_000_000, 2, 3), 3, 5.0),
)


def beside(case: Case) -> tuple[list[str], bool]:
    """A row of the table of one case, and whether the default call is as cheap as it should be."""
    from sklearn.mixture import GaussianMixture

    x, found = case.rows(), []

    def ours(seed: int) -> None:
        found.append(bg.fit(bg.GaussianMixture(case.n_components), x, random_seed=seed, progressbar=False))
        del found[:-1]

    def theirs(seed: int) -> None:
        GaussianMixture(case.n_components, random_state=seed).fit(x)

    both: list[tuple[float, float]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        few = x[:: max(1, len(x) // 2000)]
        bg.fit(bg.GaussianMixture(case.n_components), few, random_seed=0, progressbar=False)
        theirs(0)
        if case.repeats * len(x) < 100_000:
            ours(0)  # what the engine that is chosen here loads, where that is cheap
        for seed in range(1, case.repeats + 1):
            both.append((seconds(lambda s=seed: ours(s)), float(np.median(_three(theirs, seed, len(x))))))
    mine, other = np.median(both, axis=0)
    times = float(np.median([a / b for a, b in both]))
    good = case.most_times is None or times <= case.most_times
    verdict = "" if case.most_times is None else f"{'OK' if good else 'SHORT'}, at most {case.most_times:g}"
    fit = found[-1]
    shown = [milliseconds(mine), milliseconds(other), f"{times:.3g}", verdict]
    return [case.name, f"{case.n_components}", fit.attrs["engine"], fit.attrs["status"], *shown], good


def _three(call: Callable[[int], None], seed: int, n: int) -> list[float]:
    """Times of one call, or of five where it takes some milliseconds."""
    return [seconds(lambda: call(seed)) for _ in range(1 if n > 50_000 else 5)]


def compare(only: str | None) -> None:
    rows = [beside(case)[0] for case in CASES if only in (None, case.name)]
    heads = ["rows", "K", "engine", "status", "default call ms", "scikit-learn ms", "times", "verdict"]
    print_table("Processor time of the default call and of scikit-learn's default fit, medians", heads, rows)


def declared(d: int, K: int) -> bg.GaussianMixture:
    """The default form of the prior; the spread within groups is 1 here."""
    covariances = bg.InverseWishart(d + 2.0, (d + 2.0) * np.eye(d))
    return bg.GaussianMixture(K, weights=bg.Dirichlet(2.0), means=bg.ConjugateMeans(), covariances=covariances)


def n_coordinates(d: int, K: int) -> int:
    return K - 1 + K * d + K * d * (d + 1) // 2


def measure(engine: str, n: int, d: int, K: int, apart: float) -> dict[str, Any]:
    found: list[Any] = []
    x = groups(n, d, K, apart)

    def one() -> None:
        found.append(bg.fit(declared(d, K), x, engine=ENGINES[engine](), random_seed=1, progressbar=False))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cpu = seconds(one)
    fit = found[0]
    facts = {"engine": engine, "n": n, "d": d, "K": K, "apart": apart, "cpu": cpu, "status": fit.attrs["status"]}
    if engine == "NUTS":
        steps = fit["sample_stats"]["n_steps"]
        # Kept chains only, so the mean of them stands for those that were left out.
        facts |= {"steps": float(steps.mean()), "draws": int(steps.sizes["draw"])}
    return facts


def grid(out: Path, apart: float, most: float, budget: float) -> None:
    """Fit the cells of the grid that the file does not have, those of few rows first, and append what was found."""
    known = {(r["engine"], r["n"], r["d"], r["K"]): r["cpu"] for r in read(out) if r["apart"] == apart}
    spent = 0.0
    for engine in ENGINES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for d in (1, 2):
                bg.fit(declared(d, 2), groups(50, d, 2), engine=ENGINES[engine](), random_seed=0, progressbar=False)
    for i, n in enumerate(SIZES):
        for K in COMPONENTS:
            for d in FEATURES:
                for engine in ENGINES:
                    if (engine, n, d, K) in known or n < 2 * K * (d + 1):
                        continue
                    tried = i > 0 and SIZES[i - 1] >= 2 * K * (d + 1)
                    fewer = known.get((engine, SIZES[i - 1], d, K), np.inf) if tried else 0.0
                    expected = fewer * (n / SIZES[i - 1]) ** GROWTH
                    if expected > most or spent > budget:
                        continue
                    facts = measure(engine, n, d, K, apart)
                    known[engine, n, d, K] = facts["cpu"]
                    spent += facts["cpu"]
                    append(out, facts)


def report(records: Sequence[dict[str, Any]]) -> None:
    """Tables of the grid, and formulas for the processor time."""
    for engine in ENGINES:
        own = {(r["n"], r["d"], r["K"]): r for r in records if r["engine"] == engine}
        rows = []
        for K in COMPONENTS:
            for d in FEATURES:
                here = [own.get((n, d, K)) for n in SIZES]
                shown = ["-" if r is None else f"{r['cpu']:.2f}" for r in here]
                if engine == "NUTS":
                    shown += [
                        "-" if r is None else f"{r['steps']:.0f}{'' if r['status'] == 'SAMPLED' else '*'}" for r in here
                    ]
                rows.append([f"{K}", f"{d}", f"{n_coordinates(d, K)}", *shown])
        heads = ["K", "d", "coordinates", *(f"N={n}" for n in SIZES)]
        if engine == "NUTS":
            heads += [f"steps, N={n}" for n in SIZES]
        print_table(f"{engine}: processor seconds of a fit (* not mixed)", heads, rows)
        if len(own) > 6:
            formula(engine, list(own.values()))


def terms(record: dict[str, Any]) -> tuple[Array, list[str]]:
    """What the time is a sum of: an evaluation costs something by itself, something for each row and component, and
    something for the change of coordinates, in which the mode has unit curvature.
    """
    n, d, K = record["n"], record["d"], record["K"]
    steps = record.get("evaluations", 1.0)
    p = n_coordinates(d, K)
    values = [1.0, steps, steps * p**2, steps * n * K, steps * n * K * d, steps * n * K * d**2]
    return np.array(values), ["1", "E", "E p^2", "E N K", "E N K d", "E N K d^2"]


def formula(engine: str, records: list[dict[str, Any]]) -> None:
    """Fit the terms with coefficients of at least 0, relative errors counting equally."""
    if engine == "NUTS":
        chains, tune = bg.NUTS().chains, bg.NUTS().tune
        for r in records:
            r["evaluations"] = chains * (tune + r["draws"]) * r["steps"]
        p = np.array([n_coordinates(r["d"], r["K"]) for r in records], dtype=float)
        steps = np.array([r["steps"] for r in records])
        slope, level = np.polyfit(np.log(p), np.log(steps), 1)
        print(
            f"\nsteps of a draw: {np.exp(level):.2f} p^{slope:.2f}; p coordinates; E = {chains} ({tune} + draws) steps"
        )
    matrix, names = np.stack([terms(r)[0] for r in records]), terms(records[0])[1]
    if engine != "NUTS":  # no evaluations are counted, so that the first two terms are one
        matrix, names = matrix[:, 1:], ["1", *(name.removeprefix("E ") for name in names[2:])]
    cpu = np.array([r["cpu"] for r in records])
    coefficients, _ = nnls(matrix / cpu[:, None], np.ones(cpu.size))
    # Shares of the time; what is nowhere any of it is left out.
    matters = (matrix * coefficients / cpu[:, None]).max(axis=0) > 1e-6
    text = " + ".join(f"{c:.3g} {name}" for c, name, m in zip(coefficients, names, matters, strict=True) if m)
    ratio = matrix @ coefficients / cpu
    print(f"{engine}, seconds: {text}; formula / measured {ratio.min():.2f} to {ratio.max():.2f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one comparison")
    parser.add_argument("--model", action="store_true", help="fit the grid")
    parser.add_argument("--report", action="store_true", help="print what the file of the grid has and stop")
    parser.add_argument("--out", type=Path, default=Path("default_cost.jsonl"), help="file of the grid")
    parser.add_argument(
        "--apart", type=float, default=CLEARLY_APART, help="sds between neighbouring groups of the grid"
    )
    parser.add_argument("--most", type=float, default=30.0, help="seconds of a fit above which a cell is left out")
    parser.add_argument("--budget", type=float, default=480.0, help="seconds after which no further fit begins")
    options = parser.parse_args(arguments)
    show_threads()
    if options.model:
        grid(options.out, options.apart, options.most, options.budget)
    if options.model or options.report:
        report([r for r in read(options.out) if r["apart"] == options.apart])
    else:
        compare(options.only)


if __name__ == "__main__":
    main()
