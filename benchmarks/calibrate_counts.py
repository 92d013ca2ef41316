"""Droplets whose clusters are sharp: is the answer the count, is it covered, and does anything fail?

    python benchmarks/calibrate_counts.py [--plates 100] [--cores 2] [--random 5000]

24 cells of a fractional design in the distance of the clusters (in sd of the negatives), copies per droplet, rain, the
share of the negatives that are a shoulder in every second well, the number of assays in the channel, and whether there
is a control. In each, plates of four wells of 13,000 droplets. "Clear" wells have no droplet within 5 sd of the
threshold; there the answer has to be the number of droplets above it. Last, `--random` plates of two wells and 3,000
droplets with everything drawn at random, of which none may raise an exception.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from _common import print_table, versions  # pins the threads, so before numpy elsewhere
from scipy.stats import beta, binom

from bayesgmm import ddpcr
from bayesgmm.engines._progress import Progress
from bayesgmm.inference._parallel import run_parallel

DROPLETS, VOLUME_NL, SPREAD = 13_000, 0.85, 100.0
SEPARATIONS = (8.0, 20.0, 60.0, 200.0, 1000.0)
RATES = (0.0005, 0.005, 0.05, 0.3, 1.0, 4.0)
RAIN = (0.0, 0.0, 0.01, 0.1)
SHOULDERS = (0.0, 0.05, 0.2)
ASSAYS, CONTROLS = (1, 2), (True, False)
N_CELLS, N_ORDERS, DESIGN_SEED = 24, 5000, 19
CLEAR = 5.0


def design() -> list[tuple[Any, ...]]:
    """Every level as often as 24 can be divided; of random orders of the columns the one with the most even pairs."""
    rng = np.random.default_rng(DESIGN_SEED)
    levels = (SEPARATIONS, RATES, RAIN, SHOULDERS, ASSAYS, CONTROLS)
    columns = [np.arange(N_CELLS) % len(each) for each in levels]
    best: tuple[float, list[Any]] = (np.inf, [])
    for _ in range(N_ORDERS):
        columns = [rng.permutation(column) for column in columns]
        uneven = 0.0
        for (a, u), (b, v) in combinations(zip(map(len, levels), columns, strict=True), 2):
            uneven += float(np.square(np.bincount(u * b + v, minlength=a * b) - N_CELLS / (a * b)).sum())
        if uneven < best[0]:
            best = uneven, columns
    return sorted(tuple(level[i] for level, i in zip(levels, row, strict=True)) for row in zip(*best[1], strict=True))


def plate_of(cell: tuple[Any, ...], seed: int) -> ddpcr.Plate:
    """Four wells, of which the last of each assay is a control if there is one; assays differ in their baselines."""
    separation, rate, rain, shoulder, assays, control = cell
    rng = np.random.default_rng(seed)
    wells, tables = [], []
    for a in range(assays):
        n_wells = 4 // assays
        made = ddpcr.simulate_plate(
            samples={f"s{a}": rate},
            n_wells=n_wells - bool(control),
            n_ntc=int(control),
            n_droplets=DROPLETS,
            sd=SPREAD,
            gap=separation * SPREAD,
            baseline=2000.0 * (1 + a),
            rain=rain,
            random_seed=int(rng.integers(2**31)),
        )
        for i, well in enumerate(made):
            x, negative = well.amplitudes.copy(), well.clusters == 1
            if i % 2 == 1 or n_wells == 2:
                moved = negative & (rng.random(len(x)) < shoulder)
                x[moved, 0] += SPREAD * rng.normal(2.5, 0.5, int(moved.sum()))
            wells.append(replace(well, name=f"{'ABCDEFGH'[len(wells)]}{a + 1:02d}", amplitudes=x))
        tables.append(made.table.assign(**{"target Ch1": f"target {a}"}))
    import pandas as pd

    table = pd.concat(tables)
    table.index = pd.Index([well.name for well in wells], name="well")
    return ddpcr.Plate(tuple(wells), table)


def jeffreys(k: int, n: int) -> tuple[float, float]:
    """The interval of lambda as `quantify` has it: one-sided where nothing is positive."""
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k + 0.5, n - k + 0.5))
    high = float(beta.ppf(0.95 if k == 0 else 0.975, k + 0.5, n - k + 0.5))
    return -np.log1p(-low), -np.log1p(-high)


def exact_coverage(rate: float, n: int) -> float:
    """Of that interval, over all counts."""
    p = -np.expm1(-rate)
    likely = np.arange(int(binom.ppf(1e-9, n, p)), int(binom.ppf(1 - 1e-9, n, p)) + 1)
    held = [low <= rate <= high for low, high in (jeffreys(int(k), n) for k in likely)]
    return float(binom.pmf(likely, n, p) @ held)


def one_plate(job: tuple[tuple[Any, ...], int]) -> list[dict[str, float]]:
    """What came of each well that is no control."""
    cell, seed = job
    plate = plate_of(cell, seed)
    found = ddpcr.quantify(plate, droplet_volume_nl=VOLUME_NL, cores=1, progressbar=False).isel(channel=0)
    out = []
    for i, well in enumerate(plate):
        if plate.table["ntc"].iloc[i]:
            continue
        x, one = well.channel("Ch1"), found.isel(well=i)
        k = int((well.clusters == 2).sum())
        low, high = jeffreys(k, x.size)
        above = int((x > float(one["threshold"])).sum())
        out.append(
            {
                "positive": k,
                "clear": float(np.abs(x - float(one["threshold"])).min() > CLEAR * SPREAD and above == k),
                "counted": float(one["counted"]),
                "apart": abs(float(one["positives"]) - k),
                "width": float(one["copies_per_droplet_upper"] - one["copies_per_droplet_lower"]) / (high - low),
                "rate": float(one["copies_per_droplet"]),
                "held": float(
                    one["copies_per_droplet_lower"] <= cell[1] and not one["copies_per_droplet_upper"] < cell[1]
                ),
                "failed": float("failed" in str(one["flags"].item())),
                "flagged": float("beyond" in str(one["flags"].item()) or "rain" in str(one["flags"].item())),
            }
        )
    return out


def cells(plates: int, cores: int) -> None:
    table = []
    for c, cell in enumerate(design()):
        jobs = [(cell, 10_000 * c + i) for i in range(plates)]
        rows = [
            row
            for each in run_parallel(
                one_plate, jobs, total=plates, cores=cores, progress=Progress(False), what="plates"
            )
            for row in each
        ]
        value = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        clear = value["clear"] > 0
        rate = cell[1]
        error = np.sqrt(-np.expm1(-rate) / (DROPLETS * np.exp(-rate)))
        bias = value["rate"].mean() - rate
        table.append(
            [
                *(f"{each:g}" if not isinstance(each, bool) else ("yes" if each else "no") for each in cell),
                str(len(rows)),
                f"{clear.mean():.2f}",
                f"{value['apart'][clear].max():.1f}" if clear.any() else "",
                f"{value['width'][clear].min():.3f} to {value['width'][clear].max():.3f}" if clear.any() else "",
                f"{value['held'][clear].mean():.3f}" if clear.any() else "",
                f"{exact_coverage(rate, DROPLETS):.3f}",
                f"{value['held'].mean():.3f}",
                f"{bias / rate:+.2%}",
                f"{bias / error:+.2f}",
                f"{value['counted'].mean():.2f}",
                f"{value['failed'].mean():.3f}",
                f"{value['flagged'].mean():.2f}",
            ]
        )
        print(*table[-1], sep="\t", file=sys.stderr, flush=True)
    print_table(
        f"Sharp clusters, {plates} plates a cell; 95 % intervals",
        (
            *("distance", "lambda", "rain", "shoulder", "assays", "control", "wells", "clear"),
            *("clear: off the count", "clear: width / Jeffreys", "clear: covered", "Jeffreys, exact"),
            *("all: covered", "bias", "bias / SE", "counted", "failed", "flagged"),
        ),
        table,
    )


def random_plate(seed: int) -> str:
    """The name of the exception that a plate with everything at random raises, or nothing."""
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(1, 3))
    rates = [0.0, *10.0 ** rng.uniform(-4.0, 1.0, 3)]
    sd = float(10.0 ** rng.uniform(0.7, 3.3))
    some = {f"s{i}": tuple(rng.choice(rates, 2)) if channels == 2 else float(rng.choice(rates)) for i in range(2)}
    plate = ddpcr.simulate_plate(
        samples=some,
        n_wells=1,
        n_ntc=0,
        n_droplets=3000,
        sd=sd,
        gap=sd * float(10.0 ** rng.uniform(0.3, 3.0)),
        baseline=float(rng.normal(0.0, 3000.0)),
        rain=float(rng.choice([0.0, 0.01, 0.1, 0.6])),
        outliers=float(rng.choice([0.0, 0.001, 0.05, 0.3])),
        skewness=float(rng.uniform(-0.5, 1.2)),
        positive_sd=float(rng.uniform(0.3, 5.0)),
        cross_talk=tuple(rng.choice([0.0, 0.1, 0.3], 2)) if channels == 2 else 0.0,
        competition=float(rng.choice([0.0, 0.2])),
        random_seed=seed,
    )
    wells = []
    for well in plate:
        x = well.amplitudes.copy()
        kind = rng.integers(6)
        if kind == 0:
            x = np.round(x)
        elif kind == 1:
            x = np.round(x, -3)  # many ties
        elif kind == 2:
            x = x[: int(rng.integers(0, 30))]
        elif kind == 3:
            x[0] = rng.choice([-1e7, 1e7])
        wells.append(replace(well, amplitudes=x, clusters=None))
    try:
        ddpcr.quantify(replace(plate, wells=tuple(wells)), droplet_volume_nl=VOLUME_NL, cores=1, progressbar=False)
    except ddpcr_errors():
        return "InputError"
    except Exception as error:
        return f"{type(error).__name__} (seed {seed}): {error}"
    return ""


def ddpcr_errors() -> type[Exception]:
    from bayesgmm._errors import InputError

    return InputError


def at_random(plates: int, cores: int) -> None:
    found = run_parallel(
        random_plate, range(plates), total=plates, cores=cores, progress=Progress(False), what="random plates"
    )
    foreign = [each for each in found if each and each != "InputError"]
    print_table(
        "Plates with everything at random, two wells of 3,000 droplets",
        ("plates", "refused by name", "foreign exceptions"),
        [[str(plates), str(found.count("InputError")), str(len(foreign))]],
    )
    for each in foreign[:20]:
        print(each)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plates", type=int, default=100)
    parser.add_argument("--random", type=int, default=5000)
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    print(versions())
    if given.plates:
        cells(given.plates, given.cores)
    if given.random:
        at_random(given.random, given.cores)


if __name__ == "__main__":
    main()
