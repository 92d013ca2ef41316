"""Gibbs against NUTS: sweeps a second on one core, and effective draws a second of the same posterior.

    python benchmarks/bench_gibbs.py [--sets]

Components overlap but are identified; priors are the package's conjugate defaults. Effective draws are the least over
weights, means and standard deviations, relabelled, of all chains (for their means); seconds are those of the whole fit,
search, relabelling and responsibilities included, after a first run has compiled everything. With --sets what the
telescoping sampler says of real and simulated groups.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path

from _common import print_table, versions  # pins the threads, so before numpy

# isort: split
import numpy as np
import pandas as pd
from arviz_stats.base import array_stats
from sklearn.metrics import adjusted_rand_score

import bayesgmm as bg
from bayesgmm.data import as_data
from bayesgmm.engines._gibbs_chains import Chains, compile_ahead
from bayesgmm.engines._gibbs_conditionals import conditionals
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Parameters

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WEIGHTS = np.array([0.30, 0.25, 0.20, 0.15, 0.10])
MEANS = np.array([[0.0, 0.0], [3.5, 1.5], [-0.5, 4.0], [4.5, -3.0], [-4.0, -2.5]])
SPEED = ((1_000, 5, 2), (10_000, 5, 2), (100_000, 5, 2), (1_000, 3, 8))
REPEATS = 5


def rows_of(n: int, K: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(n + K)
    labels = rng.choice(K, size=n, p=WEIGHTS[:K] / WEIGHTS[:K].sum())
    centers = np.zeros((K, d))
    centers[:, :2] = MEANS[:K]
    return centers[labels] + rng.standard_normal((n, d)) @ (np.eye(d) + 0.3 * np.tri(d, k=-1))


def sweeps_a_second(n: int, K: int, d: int) -> float:
    """The fastest of some runs of one chain: other work on the machine only slows it."""
    problem = build_problem(bg.GaussianMixture(K), as_data(rows_of(n, K, d)), n_threads=1)
    start = Parameters(
        log_weights=np.full(K, -np.log(K)),
        means=problem.x[:, :K].T.copy(),
        choleskys=np.tile(0.5 * np.eye(d), (K, 1, 1)),
    )
    model = conditionals(problem.model, d, None, K)
    sweeps = max(20, 2_000_000 // n)
    times = []
    for seed in range(REPEATS + 1):
        chains = Chains(
            model,
            problem.x,
            [start],
            [seed],
            thin=1,
            cores=1,
            progress=Progress(False),
            wait_for_compiled=compile_ahead(model),
        )
        begin = time.perf_counter()
        chains.run(sweeps)
        times.append(time.perf_counter() - begin)
    return sweeps / min(times[1:])


def least_ess(fit) -> float:
    columns = []
    for name in ("weights", "means", "sds"):
        value = fit["posterior"][name].to_numpy()
        columns.append(value.reshape(*value.shape[:2], -1))
    values = np.moveaxis(np.concatenate(columns, axis=2), 2, 0)
    return min(float(array_stats.ess(each, method="mean")) for each in values)


def side_by_side(n: int, K: int, d: int) -> list[list[str]]:
    x, rows = rows_of(n, K, d), []
    engines = {"Gibbs": bg.Gibbs(), "NUTS": bg.NUTS()}
    for name, engine in engines.items():
        small = bg.Gibbs(sweeps=40, burn_in=5) if name == "Gibbs" else bg.NUTS(draws=20, tune=20)
        bg.fit(bg.GaussianMixture(K), x[:200], engine=small, random_seed=1, progressbar=False)
        begin = time.perf_counter()
        fit = bg.fit(bg.GaussianMixture(K), x, engine=engine, random_seed=1, progressbar=False)
        took, ess = time.perf_counter() - begin, least_ess(fit)
        draws = fit["posterior"].sizes["draw"] * fit["posterior"].sizes["chain"]
        rows.append([f"{n:,}, {K}, {d}", name, f"{draws}", f"{took:.1f}", f"{ess:.0f}", f"{ess / took:.0f}",
                     fit.attrs["status"]])  # fmt: skip
    return rows


def sets() -> list[list[str]]:
    iris = bg.datasets.load_iris()
    found = {"iris": (iris.drop(columns="species"), iris["species"])}
    if (DATA / "banknote" / "data.csv").exists():
        notes = pd.read_csv(DATA / "banknote" / "data.csv", comment="#")
        found["banknote"] = notes.drop(columns="Status"), notes["Status"]
    rng = np.random.default_rng(3)
    truth = rng.choice(5, size=500, p=WEIGHTS)
    found["simulated, 5 groups"] = 1.6 * MEANS[truth] + rng.standard_normal((500, 2)), truth
    rows = []
    engine = bg.Gibbs(sweeps=6000, burn_in=2000, thin=2)
    for name, (x, labels) in found.items():
        begin = time.perf_counter()
        model = bg.GaussianMixture(1 + bg.BetaNegativeBinomial(1, 4, 3))
        fit = bg.fit(model, x, engine=engine, random_seed=1, progressbar=False)
        took = time.perf_counter() - begin
        posterior = bg.component_posterior(fit)
        shares = posterior["probability_occupied"].to_numpy()
        listed = ", ".join(f"{k + 1}: {p:.2f}" for k, p in enumerate(shares) if p >= 0.01)
        aris = [adjusted_rand_score(labels, bg.best_partition(fit, loss=loss)["label"]) for loss in ("vi", "binder")]
        own = adjusted_rand_score(labels, fit["assignments"]["label"])
        rows.append([name, listed, f"{own:.2f}", *(f"{ari:.2f}" for ari in aris),
                     f"{posterior.attrs['r_hat_n_occupied']:.2f}", f"{posterior.attrs['non_permutation_rate']:.2f}",
                     f"{took:.0f}"])  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore", bg.NotConvergedWarning)  # the status stands in the tables
    print(f"{versions()}, {os.cpu_count()} cores")
    if options.sets:
        heads = ["data", "posterior of K+", "ARI of labels at the modal K+", "ARI, VI", "ARI, Binder", "R-hat of K+",
                 "non-permutation rate", "s"]  # fmt: skip
        print_table("Telescoping, default priors", heads, sets())
        return
    rows = [[f"{n:,}", f"{K}", f"{d}", f"{sweeps_a_second(n, K, d):,.0f}"] for n, K, d in SPEED]
    print_table("Sweeps a second, one core", ["rows", "K", "d", "sweeps / s"], rows)
    rows = [row for n, K, d in ((1_000, 5, 2), (10_000, 3, 2)) for row in side_by_side(n, K, d)]
    heads = ["rows, K, d", "engine", "draws", "s", "least ESS", "ESS / s", "status"]
    print_table("The same posterior by both", heads, rows)


if __name__ == "__main__":
    main()
