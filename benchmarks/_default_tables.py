"""Tables of the study of the default call, and whether it meets what is asked of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from _common import print_table
from _default_cells import HEADS, Array, Cell, cells
from _default_fits import DEFAULT, EXACT, FAILED, QUANTITIES

Record = Mapping[str, Any]
# Records by engine and cell.
Sorted = Mapping[str, Mapping[int, Sequence[Record]]]

GOOD = ("SAMPLED", "CONVERGED")
LEAST, LEAST_SMALLEST_WARNED = 0.88, 0.80
WELL, MOST_ALARMS = 0.93, 0.10
WIDEST = 1.3


def report(records: Sequence[Record]) -> bool:
    """Print all tables and the verdicts; whether no verdict falls short."""
    by_engine: dict[str, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for each in sorted(records, key=lambda r: (r["cell"], r["i"])):
        by_engine[each["engine"]][each["cell"]].append(each)
    codes = Counter(each["code"] for each in records)
    print("records by state of the code: " + ", ".join(f"{name} {n}" for name, n in codes.items()))
    for engine, found in by_engine.items():
        coverage_table(engine, found)
        ends_table(engine, found)
    engines_table(by_engine)
    ratios = widths_table(by_engine)
    warnings_table(by_engine)
    return verdicts(by_engine.get(DEFAULT, {}), ratios)


def held(record: Record, quantity: str) -> float:
    """Share of a quantity's intervals that hold the truth; none where a fit failed or has no draws."""
    return float(np.mean(record["held"][quantity])) if "held" in record else 0.0


def warned(record: Record) -> bool:
    return any(each["user"] for each in record["warnings"])


def bad(record: Record) -> bool:
    return record["status"] not in GOOD


def mean_of(found: Sequence[Record], what: Callable[[Record], float]) -> Array:
    return np.array([what(each) for each in found], dtype=float)


def with_error(values: Array) -> str:
    """A mean and its standard error over fits: entries of one fit are not independent."""
    if values.size < 2:
        return f"{values.mean():.3f}" if values.size else "-"
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(values.size):.3f}"


def coverage_table(engine: str, found: Mapping[int, Sequence[Record]]) -> None:
    rows = []
    for number, fits in found.items():
        covered = [with_error(mean_of(fits, lambda r, q=quantity: held(r, q))) for quantity in QUANTITIES]
        must = "yes" if cells()[number].must_hold else ""
        rows.append([*cells()[number].named(), must, f"{len(fits)}", *covered])
    if len(found) > 1:
        means = [_mean_over_cells(found, lambda r, q=quantity: held(r, q)) for quantity in QUANTITIES]
        total = sum(map(len, found.values()))
        rows.append(["all", *[""] * len(HEADS), f"{total}", *means])
    title = f"{engine}: share of 95 % intervals that hold the truth, ± Monte-Carlo standard error"
    print_table(title, [*HEADS, "must hold", "fits", *QUANTITIES], rows)


def ends_table(engine: str, found: Mapping[int, Sequence[Record]]) -> None:
    columns: dict[str, Callable[[Record], float]] = {
        "warned": warned,
        "bad status": bad,
        "no label": lambda r: r.get("empty", 0) > 0,
        "<= d+1 labels": lambda r: r.get("small", 0) > 0,
        "accuracy": lambda r: r.get("accuracy", 0.0),
        "scikit-learn": lambda r: r["sklearn"],
        "Bayes' rule": lambda r: r["bayes"],
        "CPU s": lambda r: r["cpu"],
    }
    rows = []
    for number, fits in found.items():
        used = "/".join(sorted({each["used"] or FAILED for each in fits}))
        shown = [f"{mean_of(fits, what).mean():.3f}" for what in columns.values()]
        rows.append([*cells()[number].named(), used, *shown])
    if len(found) > 1:
        means = [f"{np.mean([mean_of(fits, what).mean() for fits in found.values()]):.3f}" for what in columns.values()]
        rows.append(["all", *[""] * (len(HEADS) - 1), "", *means])
    print_table(
        f"{engine}: shares of fits that warned, that ended badly, in which a component holds no label or at most d + 1 "
        "labels; accuracy of labels; mean processor time",
        [*HEADS, "engine", *columns],
        rows,
    )


def _mean_over_cells(found: Mapping[int, Sequence[Record]], what: Callable[[Record], float]) -> str:
    """The mean of the cells' means and its standard error."""
    values = [mean_of(fits, what) for fits in found.values()]
    mean = np.mean([each.mean() for each in values])
    if min(each.size for each in values) < 2:
        return f"{mean:.3f}"
    variance = sum(each.var(ddof=1) / each.size for each in values) / len(values) ** 2
    return f"{mean:.3f} ± {np.sqrt(variance):.3f}"


def engines_table(by_engine: Sorted) -> None:
    """All engines over the cells, and where possible over the same rows, that were fitted by each of them."""
    named = [name for name in by_engine if name not in (DEFAULT, EXACT)]
    if not named or DEFAULT not in by_engine:
        return
    common = set.intersection(*(_keys(by_engine[name]) for name in [DEFAULT, *named]))
    if not common:
        return
    rows = []
    for name in [DEFAULT, *named]:
        own = {
            number: [each for each in fits if (number, each["i"]) in common] for number, fits in by_engine[name].items()
        }
        own = {number: fits for number, fits in own.items() if fits}
        covered = [_mean_over_cells(own, lambda r, q=quantity: held(r, q)) for quantity in QUANTITIES]
        others = [lambda r: r.get("accuracy", 0.0), warned, bad, lambda r: r["cpu"]]
        rows.append([name, *covered, *(_mean_over_cells(own, what).split(" ")[0] for what in others)])
    n_cells = len({number for number, _ in common})
    print_table(
        f"The same {len(common)} data sets of {n_cells} cells by all engines, means of the cells",
        ["engine", *QUANTITIES, "accuracy", "warned", "bad status", "CPU s"],
        rows,
    )


def _keys(found: Mapping[int, Sequence[Record]]) -> set[tuple[int, int]]:
    return {(number, each["i"]) for number, fits in found.items() for each in fits}


def widths_table(by_engine: Sorted) -> dict[int, dict[str, float]]:
    """Widths of the default fit over those of a long run under the same prior, on the same data sets."""
    ratios: dict[int, dict[str, float]] = {}
    rows = []
    for number, long_runs in by_engine.get(EXACT, {}).items():
        default = {each["i"]: each for each in by_engine.get(DEFAULT, {}).get(number, []) if "width" in each}
        pairs = [(default[each["i"]], each) for each in long_runs if each["i"] in default and "width" in each]
        if not pairs:
            continue
        ratios[number] = {}
        for quantity in QUANTITIES:
            ours, longs = (np.mean([np.mean(pair[side]["width"][quantity]) for pair in pairs]) for side in (0, 1))
            ratios[number][quantity] = float(ours / longs)
        shown = [f"{ratios[number][quantity]:.3f}" for quantity in QUANTITIES]
        mixed = sum(not bad(pair[1]) for pair in pairs)
        rows.append([*cells()[number].named(), f"{len(pairs)}", f"{mixed}", *shown])
    if rows:
        heads = [*HEADS, "data sets", "long runs that mixed", *QUANTITIES]
        print_table("Mean width of the default call's intervals over that of a long run's, same prior", heads, rows)
    return ratios


def warnings_table(by_engine: Sorted) -> None:
    """What was said, by engine, shortened so that numbers in it do not make many of one."""
    counted: Counter[tuple[str, str, str]] = Counter()
    ends: Counter[tuple[str, str]] = Counter()
    for engine, found in by_engine.items():
        for fits in found.values():
            for each in fits:
                ends[engine, each["status"]] += 1
                counted.update({(engine, w["category"], w["text"][:90]) for w in each["warnings"]})
    print_table("Statuses", ["engine", "status", "fits"], [[*key, f"{n}"] for key, n in ends.most_common()])
    if counted:
        rows = [[*(part.replace("\n", " ") for part in key), f"{n}"] for key, n in counted.most_common(40)]
        print_table("Warnings", ["engine", "category", "begins", "fits"], rows)


def verdicts(found: Mapping[int, Sequence[Record]], ratios: Mapping[int, Mapping[str, float]]) -> bool:
    """Print for each rule and cell whether the default call meets it; whether it always does."""
    print("\nVerdicts")
    well = True

    def say(good: bool, text: str) -> None:
        nonlocal well
        well = well and bool(good)
        print(f"{'OK   ' if good else 'SHORT'} {text}")

    for number, fits in found.items():
        cell = cells()[number]
        covered = {quantity: mean_of(fits, lambda r, q=quantity: held(r, q)) for quantity in QUANTITIES}
        lowest = min(covered, key=lambda quantity: covered[quantity].mean())
        least = float(covered[lowest].mean())
        where = f"{_where(cell)}: least coverage {with_error(covered[lowest])} ({lowest})"
        alarms = mean_of(fits, lambda r: warned(r) or bad(r)).mean()
        told = mean_of(fits, warned).mean()
        if cell.must_hold:
            say(least >= LEAST, f"{where}, at least {LEAST} wanted")
        elif least < LEAST:
            say(told >= LEAST_SMALLEST_WARNED, f"{where}, {told:.2f} warned, at least {LEAST_SMALLEST_WARNED} wanted")
        if least >= WELL:
            say(alarms <= MOST_ALARMS, f"{where}, {alarms:.2f} warned or ended badly, at most {MOST_ALARMS} wanted")
        if number in ratios:
            widest = max(ratios[number].values())
            say(widest <= WIDEST, f"{_where(cell)}: widest {widest:.2f} times a long run's, at most {WIDEST} wanted")
    if found:
        every = list(found.values())
        ours, theirs = (
            float(np.mean([mean_of(fits, lambda r, n=name: r.get(n, 0.0)).mean() for fits in every]))
            for name in ("accuracy", "sklearn")
        )
        say(ours >= theirs, f"mean accuracy of {len(every)} cells {ours:.4f}, scikit-learn's EM {theirs:.4f}")
    return well


def _where(cell: Cell) -> str:
    number, *named = cell.named()
    return f"cell {number} (N {named[0]}, d {named[1]}, sep {named[2]}, weights {named[3]}, sds {named[4]})"
