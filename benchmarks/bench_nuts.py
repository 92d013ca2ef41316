"""NUTS against the same mixture written by hand in PyMC, all sampled by nutpie.

    python benchmarks/bench_nuts.py [--ess] [--process] [--memory]

One model everywhere: K components in two dimensions that overlap but are identified, Dirichlet(1) weights, Normal
means and LKJ(2) correlations with half-normal standard deviations, all with explicit numbers. It is written by hand in
the two ways that people use: as `pm.Mixture` of a list of `MvNormal` with an `LKJCholeskyCov` each, and with stacked
Cholesky factors, one batched triangular solve and a log-sum-exp in a `Potential`. (`pm.Mixture` of one batched
`MvNormal` takes five times as long for each gradient as either and is left out.) The second is also sampled with
nutpie's low-rank adaptation of the mass matrix, experimental and not the default there, which finds the correlations
that bayesgmm takes from the curvature at the mode.

The hand-written models start exactly at the mode, which bayesgmm has found for them: from PyMC's own starts chains end
in different labellings or in poor modes. The search is part of bayesgmm's time alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _common import Timed, new_process, print_table, versions  # pins the threads, so before numpy

# isort: split
import numpy as np

# bayesgmm, PyMC and nutpie are imported where they are used: processes that are timed must not load what they do not
# need.

CONCENTRATION, ETA = 1.0, 2.0
MEANS_MU, MEANS_SIGMA, SDS_SIGMA = 1.0, 5.0, 2.0
# Rows; draws of each of two chains; seeds.
SIZES = ((1_000, 1000, 3), (10_000, 1000, 2), (100_000, 300, 1))
TUNE = 300
CHAINS = 2
MOST_S = 400.0  # a chain that takes longer keeps the draws it has
MOST_ERRORS = 4.5  # of 15 quantities, for each size and peer
PROCESS_ROWS, PROCESS_CHAINS, PROCESS_DRAWS, PROCESS_CORES = 1_000, 4, 1000, 2
PROCESS_REPEATS = 2
MEMORY_ROWS, MEMORY_COMPONENTS = 100_000, 5
COMPARED = ("weights", "means", "sds")

Posterior = dict[str, np.ndarray]


def median(values: list[float]) -> float:
    return float(np.median(values))


def rows_of(n: int, K: int) -> np.ndarray:
    """Rows (n, 2) of the first K of five correlated components whose neighbours overlap."""
    rng = np.random.default_rng(n + K)
    weights = np.array([0.40, 0.30, 0.20, 0.25, 0.15])[:K]
    means = np.array([[0.0, 0.0], [2.5, 1.5], [-0.5, 3.0], [3.5, -2.0], [-3.0, -1.5]])
    sds = np.array([[1.0, 1.0], [1.2, 0.9], [0.8, 0.7], [0.9, 0.8], [0.7, 1.1]])
    rho = np.array([0.5, -0.5, 0.2, 0.0, -0.4])
    labels = rng.choice(K, size=n, p=weights / weights.sum())
    noise = rng.normal(size=(n, 2))
    noise[:, 1] = rho[labels] * noise[:, 0] + np.sqrt(1.0 - rho[labels] ** 2) * noise[:, 1]
    return means[labels] + sds[labels] * noise


def our_model(K: int) -> Any:
    import bayesgmm as bg

    return bg.GaussianMixture(
        K,
        weights=bg.Dirichlet(CONCENTRATION),
        means=bg.NormalMeans([MEANS_MU, MEANS_MU], [MEANS_SIGMA, MEANS_SIGMA]),
        covariances=bg.Full(bg.LKJ(ETA, bg.HalfNormal(SDS_SIGMA))),
    )


def our_fit(x: np.ndarray, K: int, seed: int = 0, **options: Any) -> Any:
    import bayesgmm as bg

    return bg.fit(our_model(K), x, engine=bg.NUTS(tune=TUNE, **options), random_seed=seed, progressbar=False)


def mode_of(x: np.ndarray, K: int) -> dict[str, np.ndarray]:
    """The mode as starting values of the hand-written models."""
    import bayesgmm as bg

    fit = bg.fit(our_model(K), x, engine=bg.EM(density="unconstrained"), random_seed=0, progressbar=False)
    point = fit["point_estimate"].to_dataset()
    choleskys = np.linalg.cholesky(point["covariances"].to_numpy())
    packed = choleskys[:, *np.tril_indices(x.shape[1])]
    return {
        "weights": point["weights"].to_numpy(),
        "mu": point["means"].to_numpy(),
        **{f"chol_{k}": packed[k] for k in range(K)},
    }


def priors(K: int, d: int) -> tuple[Any, Any, list[Any]]:
    import pymc as pm

    weights = pm.Dirichlet("weights", np.full(K, CONCENTRATION))
    mu = pm.Normal("mu", MEANS_MU, MEANS_SIGMA, shape=(K, d))
    sd = pm.HalfNormal.dist(SDS_SIGMA, shape=d)
    return weights, mu, [pm.LKJCholeskyCov(f"chol_{k}", eta=ETA, n=d, sd_dist=sd)[0] for k in range(K)]


def mixture_of_a_list(x: np.ndarray, K: int) -> Any:
    import pymc as pm

    with pm.Model() as model:
        weights, mu, chols = priors(K, x.shape[1])
        components = [pm.MvNormal.dist(mu[k], chol=chols[k]) for k in range(K)]
        pm.Mixture("x", weights, components, observed=pm.Data("rows", x))
    return model


def batched_potential(x: np.ndarray, K: int) -> Any:
    import pymc as pm
    import pytensor.tensor as pt

    d = x.shape[1]
    with pm.Model() as model:
        weights, mu, chols = priors(K, d)
        data, chol = pm.Data("rows", x), pt.stack(chols)
        deviations = pt.swapaxes(data[None] - mu[:, None], 1, 2)  # (K, d, n)
        whitened = pt.linalg.solve_triangular(chol, deviations, lower=True, b_ndim=2)
        log_det = pt.log(pt.diagonal(chol, axis1=1, axis2=2)).sum(axis=1)
        constants = pt.log(weights) - log_det - 0.5 * d * np.log(2.0 * np.pi)
        logs = constants[:, None] - 0.5 * (whitened**2).sum(axis=1)
        pm.Potential("x", pt.logsumexp(logs, axis=0).sum())
    return model


@dataclass(frozen=True, kw_only=True)
class Peer:
    build: Callable[[np.ndarray, int], Any]
    options: dict[str, Any]
    default: bool = True


PEERS = {
    "PyMC, pm.Mixture of a list": Peer(build=mixture_of_a_list, options={}),
    "PyMC, batched Potential": Peer(build=batched_potential, options={}),
    "PyMC, batched Potential, low-rank": Peer(
        build=batched_potential, options={"adaptation": "low_rank"}, default=False
    ),
}


# Effective samples a second


@dataclass(frozen=True, kw_only=True)
class Run:
    """Draws of one run, the seconds they took by what is counted, and gradients for each draw."""

    posterior: Posterior
    seconds: dict[str, float]
    gradients: float

    @property
    def draws(self) -> int:
        return self.posterior["weights"].shape[1]


def run_ours(x: np.ndarray, K: int, draws: int, seed: int) -> Run:
    from bayesgmm.engines import nuts

    original, sampling = nuts.run_chains, []

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        out = original(*args, **kwargs)
        sampling.append(time.process_time() - began)
        return out

    nuts.run_chains = timed
    began = time.process_time()
    try:
        fit = our_fit(x, K, seed, draws=draws, chains=CHAINS, cores=1)
    finally:
        nuts.run_chains = original
    whole = time.process_time() - began
    if fit.attrs["status"] not in ("SAMPLED", "NOT_MIXED"):  # R-hat is compared for all alike
        raise SystemExit(f"bayesgmm: {fit.attrs['status_message']}")
    posterior = fit["posterior"].to_dataset()
    return Run(
        posterior={name: posterior[name].to_numpy() for name in COMPARED},
        seconds={"bayesgmm, the whole of fit": whole, "bayesgmm, sampling alone": sampling[0]},
        gradients=float(fit["sample_stats"]["n_steps"].mean()),
    )


def run_peer(who: str, compiled: Any, K: int, draws: int, seed: int) -> Run:
    import nutpie

    began = time.process_time()
    chains = []
    for chain in range(CHAINS):  # one after the other, so that each can be stopped at the limit
        sampler = nutpie.sample(
            compiled,
            draws=draws,
            tune=TUNE,
            chains=1,
            cores=1,
            seed=1000 * seed + chain,
            save_warmup=False,
            progress_bar=False,
            blocking=False,
            **PEERS[who].options,
        )
        try:
            chains.append(sampler.wait(timeout=MOST_S))
        except TimeoutError:
            chains.append(sampler.abort())
    taken = time.process_time() - began
    shortest = min(chain["posterior"].sizes["draw"] for chain in chains)

    def read(name: str) -> np.ndarray:
        return np.stack([chain["posterior"][name].to_numpy()[0, :shortest] for chain in chains])

    sds = np.stack([read(f"chol_{k}_stds") for k in range(K)], axis=2)
    steps = [chain["sample_stats"]["n_steps"].to_numpy().mean() for chain in chains]
    return Run(
        posterior={"weights": read("weights"), "means": read("mu"), "sds": sds},
        seconds={who: taken},
        gradients=float(np.mean(steps)),
    )


def columns(posterior: Posterior) -> np.ndarray:
    """All compared quantities, (chain, draw, quantity)."""
    return np.concatenate([posterior[name].reshape(*posterior[name].shape[:2], -1) for name in COMPARED], axis=2)


def bulk_ess(run: Run) -> np.ndarray:
    from arviz_stats.base import array_stats

    return np.asarray(array_stats.ess(columns(run.posterior), chain_axis=0, draw_axis=1, method="bulk"))


def worst_r_hat(run: Run) -> float:
    from arviz_stats.base import array_stats

    return float(np.max(array_stats.rhat(columns(run.posterior), chain_axis=0, draw_axis=1)))


def largest_difference(a: list[Run], b: list[Run]) -> float:
    """Largest difference of posterior means in units of its Monte-Carlo standard error, over all seeds together."""
    means, squares = [], []
    for runs in (a, b):
        values = np.stack([columns(run.posterior).reshape(-1, columns(run.posterior).shape[2]) for run in runs])
        ess = sum(bulk_ess(run) for run in runs)
        means.append(values.mean(axis=(0, 1)))
        squares.append(values.var(axis=(0, 1)) / ess)
    return float(np.max(np.abs(means[0] - means[1]) / np.sqrt(squares[0] + squares[1])))


def effective_samples() -> None:
    import nutpie

    K = 3
    table = []
    for n, draws, seeds in SIZES:
        x = rows_of(n, K)
        start = mode_of(x, K)
        runs: dict[str, list[Run]] = {"bayesgmm": [], **{who: [] for who in PEERS}}
        our_fit(x, K, draws=10, chains=1)  # compiles
        compiled = {}
        for build in {peer.build for peer in PEERS.values()}:
            compiled[build] = nutpie.compile_pymc_model(build(x, K), initial_points=start, jitter_rvs=set())
            nutpie.sample(compiled[build], draws=10, tune=10, chains=1, cores=1, progress_bar=False)
        for seed in range(seeds):
            runs["bayesgmm"].append(run_ours(x, K, draws, seed))
            for who, peer in PEERS.items():
                runs[who].append(run_peer(who, compiled[peer.build], K, draws, seed))
                print(f"done: {n}, {who}, seed {seed}", file=sys.stderr)
        differences = {who: largest_difference(runs["bayesgmm"], runs[who]) for who in PEERS}
        if max(differences.values()) > MOST_ERRORS:
            raise SystemExit(f"N={n}: posterior means differ by so many standard errors: {differences}")
        table += rows_of_table(n, runs, differences)
    print_table(
        f"Effective samples a second of processor time, K=3, d=2, {CHAINS} chains on one core, {TUNE} tuning draws "
        "included, compilation excluded; medians over seeds",
        (
            "N",
            "who",
            "draws a chain (seeds)",
            "seconds",
            "min bulk ESS",
            "worst R-hat",
            "gradients a draw",
            "ESS a second",
            "times the better default peer",
            "times the best peer",
            "difference from bayesgmm, standard errors",
        ),
        table,
    )


def times(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def rows_of_table(n: int, runs: dict[str, list[Run]], differences: dict[str, float]) -> list[list[str]]:
    rates: dict[str, tuple[str, float]] = {}
    for who, own in runs.items():
        for counted in own[0].seconds:
            rates[counted] = who, median([float(bulk_ess(run).min()) / run.seconds[counted] for run in own])
    best = max(rates[who][1] for who in PEERS)
    best_default = max(rates[who][1] for who, peer in PEERS.items() if peer.default)
    table = []
    for counted, (who, rate) in rates.items():
        own = runs[who]
        table.append(
            [
                f"{n:.0e}".replace("e+0", "e"),
                counted,
                f"{min(run.draws for run in own)} ({len(own)})",
                f"{median([run.seconds[counted] for run in own]):.3g}",
                f"{median([float(bulk_ess(run).min()) for run in own]):.0f}",
                f"{max(worst_r_hat(run) for run in own):.3f}",
                f"{median([run.gradients for run in own]):.1f}",
                f"{rate:.3g}",
                times(rate / best_default),
                times(rate / best),
                "" if who == "bayesgmm" else f"{differences[who]:.1f}",
            ]
        )
    return table


# From call to result in a new process


def child(what: str, file: str) -> None:
    """What a timed process runs."""
    with np.load(file) as saved:
        arrays = dict(saved)
    x, K = arrays.pop("x"), int(arrays.pop("K"))
    if what == "bayesgmm":
        our_fit(x, K, draws=PROCESS_DRAWS, chains=PROCESS_CHAINS, cores=PROCESS_CORES)
    elif what == "memory":
        memory_of_a_fit(x, K)
    else:
        import pymc as pm

        with mixture_of_a_list(x, K):
            pm.sample(
                draws=PROCESS_DRAWS,
                tune=TUNE,
                chains=PROCESS_CHAINS,
                cores=PROCESS_CORES,
                random_seed=0,
                initvals=arrays,
                nuts_sampler="nutpie",
                compile_kwargs={"jitter_rvs": set()},
                progressbar=False,
            )
    if what != "memory":
        print("the result is there", flush=True)


def run_child(what: str, file: Path, caches: Path) -> Timed:
    """A new process with its caches of compiled code there."""
    where = {"NUMBA_CACHE_DIR": str(caches / "numba"), "PYTENSOR_FLAGS": f"base_compiledir={caches / 'pytensor'}"}
    return new_process([__file__, "--child", what, str(file)], where)


def new_processes() -> None:
    K = 3
    x = rows_of(PROCESS_ROWS, K)
    taken: dict[tuple[str, str], list[Timed]] = {}
    yardstick: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problem.npz"
        np.savez(file, x=x, K=K, **mode_of(x, K))
        # The peer is given its start; bayesgmm finds its own within the time.
        for repeat in range(PROCESS_REPEATS):
            for what in ("bayesgmm", "PyMC, pm.Mixture of a list"):
                # No comma in the name: the flags of PyTensor would end there.
                caches = Path(folder) / f"{what.split(',')[0]}-{repeat}"
                for state in ("empty", "filled"):
                    taken.setdefault((what, state), []).append(run_child(what, file, caches))
                    # How fast the machine is at that moment: the same import in a process of its own.
                    yardstick.append(new_process(["-c", "import sklearn.mixture; print(0, flush=True)"]).to_result)
                print(f"done: {what}, {repeat}", file=sys.stderr)
    table = []
    for state in ("empty", "filled"):
        ours = np.mean([timed.to_result for timed in taken["bayesgmm", state]])
        for what in ("bayesgmm", "PyMC, pm.Mixture of a list"):
            own = taken[what, state]
            to_result, whole, processor = (np.mean([timed[i] for timed in own]) for i in range(3))
            ratios = [f"{to_result / ours:.1f}", f"{to_result / np.median(yardstick):.1f}"]
            cells = [f"{to_result:.1f} ({len(own)})", f"{whole:.1f}", f"{processor:.1f}", *ratios]
            table.append([what, state, *cells])
    print_table(
        f"From the start of a process to the result, imports and compilation included: N={PROCESS_ROWS}, K=3, d=2, "
        f"{PROCESS_CHAINS} chains x {PROCESS_DRAWS} draws ({TUNE} tuning), {PROCESS_CORES} cores; means. "
        f"`import sklearn.mixture` in a process of its own, between the runs: median {np.median(yardstick):.1f} s",
        (
            "who",
            "caches of compiled code",
            "seconds to the result (runs)",
            "to the end of the process",
            "processor seconds",
            "to the result, times bayesgmm's",
            "times that import",
        ),
        table,
    )


# Memory


def peak_gb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes on Linux


def memory_of_a_fit(x: np.ndarray, K: int) -> None:
    """Print the peak before and after a fit, the size of its result and of its largest group, and wall seconds."""
    our_fit(x[:2000], K, draws=10, chains=1)  # imports
    before = peak_gb()
    began = time.perf_counter()
    fit = our_fit(x, K, draws=1000, chains=4, cores=2)
    wall = time.perf_counter() - began
    groups = {group.name: sum(v.nbytes for v in group.to_dataset().variables.values()) for group in fit.subtree}
    largest = max(groups, key=lambda name: groups[name])
    print(before, peak_gb(), sum(groups.values()) / 1e9, largest, groups[largest] / 1e9, wall, sep=";")


def memory() -> None:
    x = rows_of(MEMORY_ROWS, MEMORY_COMPONENTS)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problem.npz"
        np.savez(file, x=x, K=MEMORY_COMPONENTS)
        run_child("memory", file, Path(folder))  # fills the cache, so that no compiler adds to the peak of the second
        *numbers, wall = run_child("memory", file, Path(folder)).text.split(";")
    before, peak, size, largest, of_largest = numbers
    print_table(
        f"Peak resident memory of fit, N={MEMORY_ROWS}, d=2, K={MEMORY_COMPONENTS}, 4 chains x 1000 draws",
        ("before, GB", "peak, GB", "result, GB", "largest group", "GB", "data, GB", "wall seconds"),
        [
            [
                f"{float(before):.2f}",
                f"{float(peak):.2f}",
                f"{float(size):.3f}",
                largest,
                f"{float(of_largest):.3f}",
                f"{x.nbytes / 1e9:.4f}",
                f"{float(wall):.0f}",
            ]
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = {"ess": effective_samples, "process": new_processes, "memory": memory}
    parser.add_argument("--ess", action="store_true", help="effective samples a second only")
    parser.add_argument("--process", action="store_true", help="whole processes only")
    parser.add_argument("--memory", action="store_true", help="memory only")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    chosen = [name for name in tables if getattr(options, name)]
    print(versions())
    for name in chosen or tables:
        tables[name]()


if __name__ == "__main__":
    main()
