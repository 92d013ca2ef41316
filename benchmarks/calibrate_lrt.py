"""Is `bootstrap_lrt` calibrated, and what can it see? Tables in Markdown.

    python benchmarks/calibrate_lrt.py                                  # everything
    python benchmarks/calibrate_lrt.py --sets 100 --power-sets 50       # a quick look
    python benchmarks/calibrate_lrt.py --only level --sizes 100

Every test has 99 simulated data sets and stops after 5 statistics as large as the observed one. At B = 99 the full test
rejects at 5 % where at most 4 are as large, and that is where the stopped one does not stop: decisions are the same.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import _common  # noqa: F401  (sets the numbers of threads before numpy is loaded)
import numpy as np
from _common import print_table, versions
from numpy.typing import NDArray
from scipy import stats

import bayesgmm as bg

Array = NDArray[np.float64]

SEED = 20261121
N_BOOTSTRAP, STOP_AFTER, LEVEL = 99, 5, 0.05
SEPARATIONS = (1.0, 2.0, 3.0, 4.0)
LIMIT = 4.0  # Monte-Carlo standard errors

FLAT = {"weights": bg.Flat(), "means": bg.Flat(), "covariances": bg.Flat()}
ONE = bg.GaussianMixture(1, **FLAT)


def two(share: float, separation: float) -> Callable[[int, np.random.Generator], Array]:
    """Two Gaussians with sd 1, the right one with this share of the rows."""
    return lambda n, rng: rng.standard_normal(n) + separation * (rng.random(n) < share)


POPULATIONS: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "one Gaussian": lambda n, rng: rng.standard_normal(n),
    "skew-normal, alpha 4": lambda n, rng: stats.skewnorm(4).rvs(n, random_state=rng),
    "gamma, shape 4": lambda n, rng: rng.gamma(4.0, size=n),
    "log-normal, sigma 0.5": lambda n, rng: rng.lognormal(0.0, 0.5, n),
    "sinh-arcsinh, skew 0.6": lambda n, rng: np.sinh(np.arcsinh(rng.standard_normal(n)) + 0.6),
    **{f"two equal, {s:g} sd apart": two(0.5, s) for s in SEPARATIONS},
    "20 % of rows 4 sd to the right": two(0.2, 4.0),
}
ONE_GAUSSIAN, *SKEWED = list(POPULATIONS)[:5]
MEMBER = SKEWED[-1]  # of the family of the skewed null
TWO = list(POPULATIONS)[5:]


def p_value(job: tuple[str, int, str, int]) -> tuple[float, int, int, float]:
    """p, number of simulated data sets, of those without an optimum of two components, and processor seconds."""
    name, n, null, number = job
    rng = np.random.default_rng([SEED, list(POPULATIONS).index(name), n, number])
    rows = POPULATIONS[name](n, rng)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = bg.bootstrap_lrt(
            ONE,
            rows,
            null=null,  # type: ignore[arg-type]
            n_bootstrap=N_BOOTSTRAP,
            stop_after=STOP_AFTER,
            cores=1,
            random_seed=int(rng.integers(2**31)),
            progressbar=False,
        )
    seconds = time.process_time() - began
    return float(result["p_value"]), result.sizes["bootstrap"], int(result["n_without_optimum"]), seconds


def row(pool: ProcessPoolExecutor, name: str, n: int, null: str, sets: int) -> list[str]:
    jobs = [(name, n, null, number) for number in range(sets)]
    found = np.array(list(pool.map(p_value, jobs, chunksize=5)))
    rate = float(np.mean(found[:, 0] <= LEVEL))
    error = np.sqrt(rate * (1 - rate) / sets)
    fits = found[:, 1].sum() + sets
    without = found[:, 2].sum() / found[:, 1].sum()
    cells = [name, str(n), null, str(sets), f"{100 * rate:.1f}", f"{100 * error:.1f}"]
    if name == ONE_GAUSSIAN or (name == MEMBER and null == "skewed"):
        of_level = (rate - LEVEL) / np.sqrt(LEVEL * (1 - LEVEL) / sets)
        cells.append(f"{of_level:+.1f}" + ("" if abs(of_level) < LIMIT else " OUTSIDE"))
    else:
        cells.append("")
    return [*cells, f"{100 * without:.1f}", f"{1e3 * found[:, 3].sum() / fits:.0f}"]


HEADER = ("population", "rows", "null", "data sets", "rejected %", "error %", "errors from 5 %", "no optimum %", "ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=2000, help="data sets of one Gaussian")
    parser.add_argument("--skewed-sets", type=int, help="of each skewed population; a quarter of --sets if left out")
    parser.add_argument("--power-sets", type=int, default=200, help="of each pair of Gaussians")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--only", choices=["level", "skewed", "power"], nargs="+", default=["level", "skewed", "power"])
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    print(f"{versions()}\nseed {SEED}, B = {N_BOOTSTRAP}, stop_after = {STOP_AFTER}, level {LEVEL}")
    skewed = options.sets // 4 if options.skewed_sets is None else options.skewed_sets
    began = time.monotonic()
    studies = {
        "level": ("False alarms where the null holds", [(ONE_GAUSSIAN, "gaussian", options.sets)]),
        "skewed": (
            "False alarms with one population that is skewed",
            [
                *((name, null, skewed) for name in SKEWED for null in ("gaussian", "skewed")),
                (ONE_GAUSSIAN, "skewed", skewed),
            ],
        ),
        "power": (
            "Power",
            [(name, null, options.power_sets) for name in TWO for null in ("gaussian", "skewed")],
        ),
    }
    with ProcessPoolExecutor(options.cores) as pool:
        for study in options.only:
            title, settings = studies[study]
            for n in options.sizes:
                rows = []
                for name, null, sets in settings:
                    rows.append(row(pool, name, n, null, sets))
                    print(f"  {time.monotonic() - began:.0f} s: {' | '.join(rows[-1])}", flush=True)
                print_table(f"{title}, {n} rows", HEADER, rows)


if __name__ == "__main__":
    main()
