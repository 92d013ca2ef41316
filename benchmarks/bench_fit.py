"""Time to the maximum-likelihood optimum against scikit-learn, on one thread.

    python benchmarks/bench_fit.py [--peers] [--reference]

Four problems with overlapping components, or with --peers two small real data sets. Maximum likelihood on both sides:
`Flat()` in every part here, reg_covar=0 there.

scikit-learn runs once from its k-means start at falling tolerances until it is within 1e-3 nats of the optimum it is
heading for. That optimum is found by following its last end to a certified one with the quasi-Newton finish of this
package. Letters name the optima of a problem, A the best that any run of the table got to; in brackets where the run
stopped more than 1e-3 nats short of it. The references are fixed numbers. With --reference, 200 starts are all followed
to their ends instead, and the highest maxima are described: those of a few rows in a line are artefacts of the data.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from dataclasses import dataclass

from _common import (
    median_seconds,
    milliseconds,
    print_table,
    seconds,
    show_threads,
)  # pins the threads, so before numpy

# isort: split
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import bayesgmm as bg
from bayesgmm._status import Status
from bayesgmm.engines import _objective, _polish, _problem, _search, base

CLOSE = 1e-3  # nats
TOLERANCES = (1e-3, 1e-7, 1e-9, 1e-11)
ALWAYS_SHOWN = 3
MOST_ITERATIONS = 12_000
SEEDS = range(5)
SHOWN_MAXIMA = 5
FINISHED = ("CONVERGED", "MAX_STEPS", "STALLED", "TOO_FEW_ROWS")


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    rows: np.ndarray
    K: int
    reference: float | None = None

    @property
    def model(self) -> bg.GaussianMixture:
        return bg.GaussianMixture(self.K, weights=bg.Flat(), means=bg.Flat(), covariances=bg.Flat())


def overlapping() -> list[Case]:
    # The last number is the reference.
    settings = (
        (5000, 2, 4, 2.0, -16882.6831),
        (5000, 2, 4, 1.0, -15994.7269),
        (20000, 1, 3, 1.5, -28823.2280),
        (5000, 8, 6, 1.0, -63715.5071),
    )
    cases = []
    for seed, (n, d, K, separation, reference) in enumerate(settings):
        rng = np.random.default_rng(seed)
        mu = rng.normal(size=(K, d)) * separation
        z = rng.choice(K, size=n, p=rng.dirichlet(np.full(K, 3.0)))
        rows = mu[z] + rng.normal(size=(n, d))
        cases.append(Case(name=f"{n}, {d}, {K}, {separation}", rows=rows, K=K, reference=reference))
    return cases


def real() -> list[Case]:
    faithful = bg.datasets.load_faithful().to_numpy()
    iris = bg.datasets.load_iris().drop(columns="species").to_numpy()
    return [Case(name="faithful", rows=faithful, K=2), Case(name="iris", rows=iris, K=3)]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; `own` is the optimum that the run was heading for."""

    who: str
    time_s: float
    repeats: int
    passes: float
    value: float
    own: float
    remark: str

    @property
    def arrived(self) -> bool:
        return self.own - self.value <= CLOSE


def peer(case: Case, tolerance: float, most: int = MOST_ITERATIONS) -> GaussianMixture:
    gm = GaussianMixture(case.K, reg_covar=0, tol=tolerance, max_iter=most, n_init=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return gm.fit(case.rows)


def follow(case: Case, gm: GaussianMixture) -> tuple[base.StartReport, float]:
    """The certified optimum that is reached from a fitted peer, and its log-likelihood."""
    problem = _problem.build_problem(case.model, bg.as_data(case.rows), n_threads=1)
    at = problem.units.to_standard(
        base.Parameters(log_weights=np.log(gm.weights_), means=gm.means_, choleskys=np.linalg.cholesky(gm.covariances_))
    )
    objective = _objective.Objective(problem, unconstrained=False)
    value, statistics = objective.value(at)
    start = _search.Start(method="given", at=at, value=value, statistics=statistics, status=Status.SCREENED_OUT)
    limits = {"max_steps": 2000, "floor": bg.EM().eigenvalue_floor}
    climb = _polish.approach(objective, start, em_steps=5, **limits)
    report = _polish.finish(objective, climb, tolerance=bg.EM().tolerance, **limits)
    return report, report.end_value - problem.log_volume


def peer_rows(case: Case) -> list[Row]:
    peer(case, 1e-3)  # warm-up
    rows: list[Row] = []
    ends = []
    for count, tolerance in enumerate(TOLERANCES, start=1):
        fitted: list[GaussianMixture] = []
        time_s, repeats = median_seconds(lambda t=tolerance, out=fitted: out.append(peer(case, t)))
        gm = fitted[-1]
        ends.append((tolerance, time_s, repeats, gm.n_iter_, len(case.rows) * gm.score(case.rows), gm.converged_))
        own = max(follow(case, gm)[1], ends[-1][4])
        if count >= ALWAYS_SHOWN and own - ends[-1][4] <= CLOSE:
            break
    for tolerance, time_s, repeats, passes, value, converged in ends:
        remark = "" if converged else f"stopped at {MOST_ITERATIONS} iterations"
        rows.append(
            Row(
                who=f"scikit-learn, tol={tolerance:g}",
                time_s=time_s,
                repeats=repeats,
                passes=passes,
                value=value,
                own=own,
                remark=remark,
            )
        )
    return rows


def same_start_row(case: Case) -> Row:
    """Engine only, from where scikit-learn is after its k-means start and one iteration, which are timed too."""

    def run():
        return follow(case, peer(case, 1e-3, most=1))

    report, value = run()
    time_s, repeats = median_seconds(run)
    return Row(
        who="bayesgmm, scikit-learn's start",
        time_s=time_s,
        repeats=repeats,
        passes=report.passes + 2,
        value=value,
        own=value,
        remark=f"engine alone, {report.status.name.lower()}",
    )


def fit(case: Case, engine: bg.EM, seed: int):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.NotConvergedWarning)
        return bg.fit(case.model, case.rows, engine=engine, random_seed=seed, progressbar=False)


def passes_taken(case: Case, engine: bg.EM, seed: int) -> float:
    """Passes over all rows, in a run of its own that is not timed: passes over a part of the rows count in part."""
    original, seen = base.expected_statistics, 0

    def counted(x, *args, **kwargs):
        nonlocal seen
        seen += x.shape[1]
        return original(x, *args, **kwargs)

    base.expected_statistics = counted
    try:
        fit(case, engine, seed)
    finally:
        base.expected_statistics = original
    return seen / len(case.rows)


def our_row(case: Case, who: str, engine: bg.EM) -> tuple[Row, list[float]]:
    """A row of medians over seeds, and the log-likelihood of each."""
    fit(case, engine, 0)
    times, values, finished, converged, best_reached = [], [], [], [], []
    for seed in SEEDS:
        results = []
        times.append(seconds(lambda seed=seed, results=results: results.append(fit(case, engine, seed))))
        result = results[0]
        values.append(result["point_estimate"].attrs["log_likelihood"])
        status = result["optimization"]["status"].to_numpy()
        finished.append(int(np.isin(status, FINISHED).sum()))
        converged.append(int((status == "CONVERGED").sum()))
        best_reached.append(result["optimization"].attrs["times_best_reached"])
    passes = [passes_taken(case, engine, seed) for seed in SEEDS]
    value = float(np.median(values))
    remark = f"{sum(converged)} of {sum(finished)} followed runs converged"
    if engine.n_init > 1:
        remark += f", {sum(best_reached)} of them to the best of their fit"
    row = Row(
        who=who,
        time_s=float(np.median(times)),
        repeats=len(times),
        passes=float(np.median(passes)),
        value=value,
        own=value,
        remark=remark,
    )
    return row, values


def lettered(values: list[float]) -> dict[float, str]:
    """Names of optima: A for the highest value and those within `CLOSE` of it, B for the next, ..."""
    letters: dict[float, str] = {}
    last, number = np.inf, -1
    for value in sorted(values, reverse=True):
        if last - value > CLOSE:
            last, number = value, number + 1
        letters[value] = chr(ord("A") + number)
    return letters


def times(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def measure(case: Case) -> list[list[str]]:
    default, default_values = our_row(case, "bayesgmm, default (32 starts)", bg.EM(threads=1))
    one, one_values = our_row(case, "bayesgmm, one start", bg.EM(n_init=1, n_polish=1, threads=1))
    rows = [*peer_rows(case), same_start_row(case), one, default]
    # scikit-learn's time is that of the first tolerance which gets it to its own optimum; a bound where none does.
    peers = [row for row in rows if row.who.startswith("scikit")]
    arrived = next((row for row in peers if row.arrived), None)
    their_s, bound = (arrived.time_s, "") if arrived else (peers[-1].time_s, "> ")
    by_seed = {default.who: default_values, one.who: one_values}
    letters = lettered([*default_values, *one_values, *(row.own for row in rows)])
    reference = max(letters) if case.reference is None else case.reference
    table = []
    for row in rows:
        reached = Counter(letters[value] for value in by_seed.get(row.who, [row.own]))
        optima = ", ".join(f"{letter} {n}x" if n > 1 else letter for letter, n in sorted(reached.items()))
        table.append(
            [
                case.name,
                row.who,
                f"{milliseconds(row.time_s)} ({row.repeats})",
                bound + times(their_s / row.time_s) if row not in peers else "",
                f"{row.passes:.0f}",
                f"{max(row.own - row.value, 0.0):.4f}",
                f"{row.value - reference:+.4f}",
                optima if row.arrived else f"({optima})",
                row.remark,
            ]
        )
    return table


def search_reference(case: Case) -> list[list[str]]:
    """The highest maxima of 200 long runs, and the component of each with the smallest standard deviation."""
    result = fit(case, bg.EM(n_init=200, n_polish=200, max_steps=2000, threads=1), 0)
    runs = result["optimization"]
    numbers, values = runs["optimum"].to_numpy(), runs["end_value"].to_numpy()
    table = []
    for number in range(min(SHOWN_MAXIMA, runs.attrs["n_optima"])):
        reached = np.flatnonzero(numbers == number)
        best = reached[values[reached].argmax()]
        smallest = np.linalg.eigvalsh(runs["covariances"].to_numpy()[best]).min(axis=-1)
        k = int(smallest.argmin())
        table.append(
            [
                case.name,
                f"{values[best]:.4f}",
                "" if case.reference is None else f"{values[best] - case.reference:+.4f}",
                f"{reached.size} of {int((numbers >= 0).sum())}",
                f"{np.sqrt(smallest[k]):.4f}",
                f"{len(case.rows) * runs['weights'].to_numpy()[best, k]:.0f}",
            ]
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="two real data sets instead of the four problems")
    parser.add_argument("--reference", action="store_true", help="look for better optima with 200 long runs")
    options = parser.parse_args()
    cases = real() if options.peers else overlapping()
    if options.reference:
        table = [row for case in cases for row in search_reference(case)]
        show_threads()
        print_table(
            f"The {SHOWN_MAXIMA} highest maxima of 200 starts, all followed to their ends",
            ("problem", "log-likelihood", "minus reference", "reached by", "smallest sd", "rows of that component"),
            table,
        )
        return
    table = []
    for case in cases:
        table += measure(case)
        print(f"done: {case.name}", file=sys.stderr)
    show_threads()
    print_table(
        "Maximum likelihood, one thread; median time (over so many runs; of bayesgmm with as many seeds)",
        (
            "data" if options.peers else "N, d, K, separation",
            "who",
            "ms",
            "times faster than scikit-learn at its optimum",
            "passes",
            "nats below its own optimum",
            "nats above the reference",
            "optimum",
            "remark",
        ),
        table,
    )


if __name__ == "__main__":
    main()
