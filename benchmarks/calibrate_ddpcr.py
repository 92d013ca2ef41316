"""Simulation study of Poisson weights on droplet digital PCR: python benchmarks/calibrate_ddpcr.py --plain --graded.

Plain: two Normal clusters, droplets without and with any target; the interval of the rate is a Normal on log lambda
from the mode and the exact Hessian of the unconstrained posterior density, as the engine `Laplace` has it. Graded: one
cluster for each number of molecules. Guard: the graded model on data whose positives are all alike. Amplitudes are
binned at sd / 20 and given as counts. Starts do not know the truth: a threshold at each of several places for two
clusters, a step from the lowest amplitudes to the mean by several numbers of molecules for many. Tables are in
docs/ddpcr_calibration.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable

import numpy as np
from scipy import stats

import bayesgmm as bg
from bayesgmm.engines import _newton
from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._newton import Point
from bayesgmm.engines._normal import NormalApproximation
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._search import short_run
from bayesgmm.engines.base import Parameters, Problem

DROPLETS = 20_000
RATES = (0.02, 0.1, 0.5, 1.0, 2.0, 3.0)
GAPS = (3.0, 4.0, 6.0)
# Standard error over that of perfect binary counting, from the Fisher information with all means and sds unknown.
FISHER = {3.0: (3.72, 2.50, 1.99, 2.00, 2.33, 2.91), 4.0: (1.42, 1.20, 1.12, 1.12, 1.17, 1.27), 6.0: (1.0,) * 6}
BIN = 1 / 20
PLAIN = bg.GaussianMixture(2, weights=bg.PoissonWeights(), covariances=bg.InverseWishart())
# Under a rate of 3 fewer than 1e-8 of the droplets hold more.
GRADED_RATE, GRADED_GAP, SD_A = 3.0, 4.0, 0.1
K_GRADED = int(stats.poisson(GRADED_RATE).isf(1e-8)) + 1
LINEAR = bg.GaussianMixture(
    K_GRADED,
    weights=bg.PoissonWeights(),
    means=bg.SaturatingMeans(rho=1.0),
    covariances=bg.LinearVariance(),
)


def binned(x: np.ndarray) -> bg.Data:
    """Amplitudes as centres of bins and counts."""
    place, counts = np.unique(np.round(x / BIN), return_counts=True)
    return bg.as_data(BIN * place, counts=counts)


def by_threshold(x: np.ndarray, counts: np.ndarray) -> Iterable[Parameters]:
    """Two clusters on either side of a threshold, at several places between the ends."""
    for share in (0.3, 0.5, 0.7):
        above = x > x.min() + share * (x.max() - x.min())
        n = np.array([counts[~above].sum(), counts[above].sum()])
        means = np.array([np.average(x[side], weights=counts[side]) for side in (~above, above)])
        sds = [
            np.sqrt(np.average((x[s] - m) ** 2, weights=counts[s])) for s, m in zip((~above, above), means, strict=True)
        ]
        yield Parameters(
            log_weights=np.log(n / n.sum()), means=means[:, None], choleskys=np.array(sds)[:, None, None] + 0.02
        )


def by_steps(x: np.ndarray, counts: np.ndarray) -> Iterable[Parameters]:
    """Equal steps from the lowest amplitudes to the mean, for several rates; sds of a third of a step."""
    mean, weights = np.average(x, weights=counts), bg.PoissonWeights()
    lowest = x[np.searchsorted(np.cumsum(counts) / counts.sum(), 0.01)]
    for rate in (0.1, 0.3, 1.0, 2.0, 3.0, 4.0, 6.0):
        step = (mean - lowest) / rate
        yield Parameters(
            log_weights=weights.log_weights(np.log(np.array(rate)), K_GRADED),
            means=(lowest + step * np.arange(K_GRADED))[:, None],
            choleskys=np.full((K_GRADED, 1, 1), step / 3.0),
        )


def climbed(problem: Problem, starts: Iterable[Parameters]) -> Point | None:
    """The mode above the best of the starts after some EM steps; None if Newton's method did not get there."""
    # EM steps have a closed form without the Jacobian; it moves the mode by next to nothing.
    objective = Objective(problem, unconstrained=False)
    runs = [short_run(objective, problem.units.to_standard(at), "given", 6, 1e-12) for at in starts]
    best = max((run for run in runs if np.isfinite(run.value)), key=lambda run: run.value)
    objective = Objective(problem, unconstrained=True)
    value, statistics = objective.value(best.at)
    point = Point(at=best.at, value=value, statistics=statistics)
    point, gain = _newton.climb(
        objective, point, end=objective.passes + 1000, tolerance=1e-4, trace=[], fell=lambda at: False
    )
    return point if gain < 1e-4 else None


def log_rate(problem: Problem, point: Point) -> tuple[float, float]:
    """Log lambda at a mode and its standard deviation."""
    objective = Objective(problem, unconstrained=True)
    coordinates = objective.coordinates(point.at, point.statistics.weight_counts)
    covariance = np.linalg.inv(-hessian(objective, coordinates, point.statistics))
    sd = float(coordinates.weight_map[0, 0] * np.sqrt(covariance[0, 0]))
    return float(problem.model.weights.log_rate(point.at.log_weights)), sd


def evidence(problem: Problem, point: Point) -> float:
    """Laplace's approximation, in standard units that both models of the same data share."""
    return NormalApproximation.at_mode(problem, point.at).log_integral(point.value)


def plain_cell(rate: float, gap: float, runs: int, seed: int) -> np.ndarray:
    """Log lambda and its sd (runs, 2); NaN where a fit failed."""
    out = np.full((runs, 2), np.nan)
    for i in range(runs):
        rng = np.random.default_rng([seed, round(1000 * rate), round(10 * gap), i])
        x = gap * (rng.random(DROPLETS) < -np.expm1(-rate)) + rng.standard_normal(DROPLETS)
        data = binned(x)
        problem = build_problem(PLAIN, data, n_threads=1)
        point = climbed(problem, by_threshold(data.values[:, 0], data.counts))
        if point is not None:
            out[i] = log_rate(problem, point)
    return out


def plain(runs: int, seed: int, rates: tuple[float, ...], gaps: tuple[float, ...]) -> None:
    print("| d | lambda | runs | failed | coverage | its MC SE | bias / SE | SD / (Fisher x binary) | ms a fit |")
    print("|---|---|---|---|---|---|---|---|---|")
    for gap in gaps:
        for rate in rates:
            begin = time.process_time()
            found = plain_cell(rate, gap, runs, seed)
            spent = 1000 * (time.process_time() - begin) / runs
            t, sd = found[~np.isnan(found[:, 0])].T
            covered = np.abs(t - np.log(rate)) < stats.norm.ppf(0.975) * sd
            k = -np.expm1(-rate) * DROPLETS
            expected = FISHER[gap][RATES.index(rate)] * np.sqrt(k / (DROPLETS * (DROPLETS - k)))
            estimates = np.exp(t)
            print(
                f"| {gap:g} | {rate:g} | {runs} | {runs - t.size} | {covered.mean():.3f} "
                f"| {np.sqrt(0.95 * 0.05 / t.size):.3f} | {(estimates.mean() - rate) / estimates.std(ddof=1):+.2f} "
                f"| {estimates.std(ddof=1) / expected:.2f} | {spent:.0f} |",
                flush=True,
            )


def graded(runs: int, seed: int) -> None:
    """Linear means: spread of the estimates over that of binary counting, and coverage."""
    out = np.full((runs, 2), np.nan)
    begin = time.process_time()
    for i in range(runs):
        rng = np.random.default_rng([seed, 77, i])
        k = rng.poisson(GRADED_RATE, DROPLETS)
        data = binned(GRADED_GAP * k + np.sqrt(1 + k * SD_A**2) * rng.standard_normal(DROPLETS))
        problem = build_problem(LINEAR, data, n_threads=1)
        point = climbed(problem, by_steps(data.values[:, 0], data.counts))
        if point is not None:
            out[i] = log_rate(problem, point)
    t, sd = out[~np.isnan(out[:, 0])].T
    k = -np.expm1(-GRADED_RATE) * DROPLETS
    binary = np.sqrt(k / (DROPLETS * (DROPLETS - k)))
    covered = (np.abs(t - np.log(GRADED_RATE)) < stats.norm.ppf(0.975) * sd).mean()
    estimates = np.exp(t)
    print("| runs | failed | K | coverage | bias / SE | SD / binary counting's | mean reported SD / it | ms a fit |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {runs} | {runs - t.size} | {K_GRADED} | {covered:.3f} "
        f"| {(estimates.mean() - GRADED_RATE) / estimates.std(ddof=1):+.2f} "
        f"| {estimates.std(ddof=1) / binary:.3f} | {(estimates * sd).mean() / binary:.3f} "
        f"| {1000 * (time.process_time() - begin) / runs:.0f} |",
        flush=True,
    )


def guard(runs: int, seed: int) -> None:
    """How often the evidence prefers two clusters where the positives are all alike."""
    print("| lambda | d | runs | failed | merged preferred | smallest difference of log evidence |")
    print("|---|---|---|---|---|---|")
    for rate in (0.1, 0.5, 1.0, 3.0):
        apart = np.full(runs, np.nan)
        for i in range(runs):
            rng = np.random.default_rng([seed, 99, round(1000 * rate), i])
            x = GRADED_GAP * (rng.random(DROPLETS) < -np.expm1(-rate)) + rng.standard_normal(DROPLETS)
            data = binned(x)
            values = []
            for model, starts in ((PLAIN, by_threshold), (LINEAR, by_steps)):
                problem = build_problem(model, data, n_threads=1)
                point = climbed(problem, starts(data.values[:, 0], data.counts))
                values.append(np.nan if point is None else evidence(problem, point))
            apart[i] = values[0] - values[1]
        kept = apart[~np.isnan(apart)]
        print(
            f"| {rate:g} | {GRADED_GAP:g} | {runs} | {runs - kept.size} | {(kept > 0).mean():.3f} | {kept.min():.1f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", action="store_true", help="two clusters, every lambda and gap")
    parser.add_argument("--graded", action="store_true", help="many clusters, and the guard")
    parser.add_argument("--no-guard", action="store_true", help="leave the guard out")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--gaps", type=float, nargs="+", default=GAPS)
    options = parser.parse_args()
    if options.plain:
        plain(options.runs, options.seed, tuple(options.rates), tuple(options.gaps))
    if options.graded:
        graded(options.runs, options.seed)
        if not options.no_guard:
            guard(max(1, options.runs // 4), options.seed)


if __name__ == "__main__":
    main()
