"""Cold starts against scikit-learn: imports, whole processes and the first fit ever.

    python benchmarks/bench_cold.py

Every number is from processes of their own, with compiled bytecode and one thread. The two sides of each comparison
take turns. The first fit ever has an empty cache of compiled kernels; the others find it filled.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping

from _common import Timed, new_process, print_table, versions

IMPORTS = {"bayesgmm": "import bayesgmm", "scikit-learn": "import sklearn.mixture"}
IMPORT_REPEATS = 7
PROCESS_REPEATS = 5
FIRST_REPEATS = 3
MUST_NOT_LOAD = ("pymc", "arviz", "numba", "matplotlib")

_OURS = """
import bayesgmm as bg
rows = bg.datasets.load_iris().drop(columns="species").to_numpy()
model = bg.GaussianMixture(3{parts})
bg.fit(model, rows, engine={engine}, random_seed=0)
"""
_FLAT = ", weights=bg.Flat(), means=bg.Flat(), covariances=bg.Flat()"
PROCESSES = {
    "scikit-learn, one start": """
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture
GaussianMixture(3, random_state=0).fit(load_iris().data)
""",
    "bayesgmm, defaults (VB)": _OURS.format(parts="", engine="None"),
    "bayesgmm, EM with Flat": _OURS.format(parts=_FLAT, engine="bg.EM()"),
    "bayesgmm, EM with Flat, one start": _OURS.format(parts=_FLAT, engine="bg.EM(n_init=1, n_polish=1)"),
    "bayesgmm, import only": IMPORTS["bayesgmm"],
    "bare Python": "pass",
}

# The rows of the fit; 20,000 of them in four dimensions need the second kernel as well.
_DATA = {
    "faithful, d=2, K=2": ("2", "bg.datasets.load_faithful().to_numpy()"),
    "iris, d=4, K=3": ("3", "bg.datasets.load_iris().drop(columns='species').to_numpy()"),
    "20,000 rows, d=4, K=3": (
        "3",
        "(lambda r: r.normal(size=(20000, 4)) + 3.0 * r.integers(3, size=20000)[:, None])(np.random.default_rng(0))",
    ),
}
_FIRST = """
import time
import numpy as np
import bayesgmm as bg
rows = {rows}
model = bg.GaussianMixture({K}{parts})
times = []
for _ in range(2):
    wall, cpu = time.perf_counter(), time.process_time()
    bg.fit(model, rows, engine={engine}, random_seed=0, progressbar=False)
    times += [time.perf_counter() - wall, time.process_time() - cpu]
print(*times)
"""


def run(code: str, extra: Mapping[str, str] | None = None) -> Timed:
    """A new process that runs some code."""
    return new_process(["-c", code], extra)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def imports() -> None:
    timed = (
        "import time\nwall, cpu = time.perf_counter(), time.process_time()\n{}\n"
        "print(time.perf_counter() - wall, time.process_time() - cpu)"
    )
    times: dict[str, list[list[float]]] = {name: [] for name in IMPORTS}
    for repeat in range(IMPORT_REPEATS + 1):
        for name, statement in IMPORTS.items():
            text = run(timed.format(statement)).text
            if repeat:  # the first one may write bytecode
                times[name].append([float(word) for word in text.split()])
    listing = "import json, sys\n{}\nprint(json.dumps([m for m in sys.modules]))"
    rows = []
    for name, statement in IMPORTS.items():
        wall, cpu = (median([pair[i] for pair in times[name]]) for i in (0, 1))
        their_wall, their_cpu = (median([pair[i] for pair in times["scikit-learn"]]) for i in (0, 1))
        modules = json.loads(run(listing.format(statement)).text)
        heavy = [module for module in (*MUST_NOT_LOAD, "scipy", "pandas", "xarray") if module in modules]
        rows.append(
            [
                statement,
                f"{1e3 * wall:.0f}",
                f"{1e3 * cpu:.0f}",
                f"{wall / their_wall:.2f}",
                f"{cpu / their_cpu:.2f}",
                str(len(modules)),
                ", ".join(heavy) or "none",
            ]
        )
    print_table(
        f"Import in a new process, medians of {IMPORT_REPEATS}",
        (
            "statement",
            "wall ms",
            "processor ms",
            "wall ratio",
            "processor ratio",
            "modules",
            "of pymc, arviz, numba, matplotlib, scipy, pandas, xarray",
        ),
        rows,
    )
    modules = json.loads(run(listing.format(IMPORTS["bayesgmm"])).text)
    loaded = [name for name in MUST_NOT_LOAD if name in modules]
    print("\nimport bayesgmm loads none of " + ", ".join(MUST_NOT_LOAD) if not loaded else f"\nLOADED: {loaded}")


def processes() -> None:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in PROCESSES}
    for repeat in range(PROCESS_REPEATS + 1):
        for name, code in PROCESSES.items():
            timed = run(code)
            if repeat:  # the first one may fill the cache of compiled kernels
                times[name].append((timed.wall, timed.processor))
    walls = {name: median([pair[0] for pair in pairs]) for name, pairs in times.items()}
    cpus = {name: median([pair[1] for pair in pairs]) for name, pairs in times.items()}
    peer = next(iter(PROCESSES))
    print_table(
        f"Whole process, iris, K=3, warm caches, medians of {PROCESS_REPEATS}",
        ("process", "wall ms", "processor ms", "wall ratio", "processor ratio"),
        [
            [
                name,
                f"{1e3 * walls[name]:.0f}",
                f"{1e3 * cpus[name]:.0f}",
                f"{walls[name] / walls[peer]:.2f}",
                f"{cpus[name] / cpus[peer]:.2f}",
            ]
            for name in PROCESSES
        ],
    )


def first_fits() -> None:
    rows = []
    for data, (K, expression) in _DATA.items():
        for engine, parts, call in (("defaults (VB)", "", "None"), ("EM with Flat", _FLAT, "bg.EM()")):
            code = _FIRST.format(rows=expression, K=K, parts=parts, engine=call)
            measured: list[list[float]] = []
            for _ in range(FIRST_REPEATS):
                with tempfile.TemporaryDirectory() as cache:
                    extra = {"NUMBA_CACHE_DIR": cache}
                    ever, filled = (run(code, extra).text.split() for _ in range(2))
                # Wall and processor time of the first call with either cache, and of the second call.
                measured.append([float(word) for word in (*ever[:2], *filled)])
            rows.append([data, engine, *(f"{median(list(times)):.2f}" for times in zip(*measured, strict=True))])
    print_table(
        f"The call of fit alone, seconds, medians of {FIRST_REPEATS}",
        (
            "data",
            "engine",
            "first ever (compiles), wall",
            "processor",
            "first in a new process, wall",
            "processor",
            "second in that process, wall",
            "processor",
        ),
        rows,
    )


def main() -> None:
    print(versions())
    imports()
    processes()
    first_fits()


if __name__ == "__main__":
    main()
