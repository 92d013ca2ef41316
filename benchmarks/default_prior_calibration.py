"""Whether the default rule is calibrated where its prior is true, with location and scale fixed beforehand.

    python benchmarks/default_prior_calibration.py --out found.jsonl [--fits 300] [--engine default] [--workers 1]
    python benchmarks/default_prior_calibration.py --out found.jsonl --report

The default prior takes location and scale from the data, so that nothing can be drawn from it. Here they are 0 and 1:
Dirichlet(2), ConjugateMeans(0, 0.01), InverseWishart(d + 2, (d + 2) I). Two components and 100 rows are drawn and
fitted under that declaration, with no engine named. Then intervals of whatever does not depend on labels hold the truth
in 95 % of the fits, and its rank among draws is uniform: both are looked at for draws as they are returned. For the
ranks they are thinned to their effective number, at most 100, ties are broken at random, and all ranks are brought to
0..100 by a uniform number, which leaves uniform ranks uniform. Every fit counts, also those that warn.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from _common import print_table, versions  # pins the threads, so before numpy

# isort: split
import time
import warnings
from dataclasses import dataclass
from functools import lru_cache, partial

import arviz as az
import numpy as np
from _calibration import LEVEL, N_RANKED, Array, Band, log_densities, rank
from _default_fits import ENGINES, digest_of_code, warm_up
from _default_tables import GOOD
from _records import Record, read, work_off

import bayesgmm as bg

N_OBS = 100
CONCENTRATION, PRECISION_SCALE = 2.0, 0.01
# In each coordinate: among the means, which have an sd of some 10, and on both sides.
POINTS = (-8.0, 0.0, 15.0)
HELD, LOW, HIGH, ERRORS = 0.95, 0.93, 0.97, 4.0


@dataclass(frozen=True, kw_only=True)
class DefaultForm:
    """Two components under the default prior for data of mean 0 and within-group covariance 1."""

    n_features: int

    @property
    def model(self) -> bg.GaussianMixture:
        d = self.n_features
        means = bg.ConjugateMeans(np.zeros(d), PRECISION_SCALE)
        prior = bg.InverseWishart(d + 2.0, (d + 2.0) * np.eye(d))
        return bg.GaussianMixture(2, weights=bg.Dirichlet(CONCENTRATION), means=means, covariances=prior)

    def log_prior(self, weights: Array, means: Array, covariances: Array) -> Array:
        """Log prior density (S,), written anew, up to a constant."""
        d = self.n_features
        log_dets, inverse = np.linalg.slogdet(covariances)[1], np.linalg.inv(covariances)
        squares = PRECISION_SCALE * np.einsum("ski,skij,skj->sk", means, inverse, means)
        traces = (d + 2) * np.trace(inverse, axis1=-2, axis2=-1)
        # Powers of the determinant: that of the inverse Wishart, and that of the means given it.
        each = -0.5 * (d + 2 + d + 1) * log_dets - 0.5 * traces - 0.5 * log_dets - 0.5 * squares
        return (CONCENTRATION - 1) * np.log(weights).sum(axis=1) + each.sum(axis=1)


SETTINGS = (DefaultForm(n_features=1), DefaultForm(n_features=2))


def quantities(form: DefaultForm, rows: Array, weights: Array, means: Array, covariances: Array) -> dict[str, Array]:
    """Functions of mixtures (S, 2), (S, 2, d), (S, 2, d, d) that labels do not change, each (S,)."""
    d = form.n_features
    points = np.tile(np.array(POINTS)[:, None], (1, d))
    sds = np.exp(0.5 * np.linalg.slogdet(covariances)[1] / d)
    at_points = log_densities(points, weights, means, covariances)
    one = [log_densities(points, weights[:, [k]], means[:, [k]], covariances[:, [k]]) for k in range(2)]
    log_likelihood = log_densities(rows, weights, means, covariances).sum(axis=1)
    return {
        "smaller weight": weights.min(axis=1),
        "gap of the means": np.linalg.norm(means[:, 0] - means[:, 1], axis=1),
        "smaller sd": sds.min(axis=1),
        "larger sd": sds.max(axis=1),
        **{f"log density at {point:g}": at_points[:, i] for i, point in enumerate(POINTS)},
        # In falling order of their log odds, since they are often next to 0.
        **{f"smaller responsibility at {p:g}": -np.abs(one[0][:, i] - one[1][:, i]) for i, p in enumerate(POINTS)},
        "log-likelihood": log_likelihood,
        "log-likelihood + log prior": log_likelihood + form.log_prior(weights, means, covariances),
    }


@lru_cache
def _warm(engine: str) -> None:
    """Once in a process."""
    warm_up(engine)


def one_fit(job: tuple[int, int], *, engine: str, seed: int, n_obs: int = N_OBS) -> Record:
    """Setting and number of a fit to what it gave: whether each quantity's interval holds the truth, and its rank."""
    number, i = job
    _warm(engine)
    form = SETTINGS[number]
    of_data, of_fit, of_ties = (int(s) for s in np.random.SeedSequence([seed, number, i + 1]).generate_state(3))
    truth = bg.simulate(form.model, n_obs, random_seed=of_data, n_features=form.n_features)
    facts: Record = {"setting": number, "i": i, "seed": seed, "engine": engine, "code": digest_of_code()}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        began = time.process_time()
        fit = bg.fit(form.model, truth["x"], engine=ENGINES[engine](), random_seed=of_fit, progressbar=False)
        facts["cpu"] = time.process_time() - began
    facts["warned"] = any(issubclass(each.category, UserWarning) for each in told)
    facts |= {"used": fit.attrs["engine"], "status": fit.attrs["status"]}
    names = ("weights", "means", "covariances")
    draws = [fit["posterior"][name].transpose("chain", "draw", ...).to_numpy() for name in names]
    shape = draws[0].shape[:2]
    pooled = [values.reshape(-1, *values.shape[2:]) for values in draws]
    x = truth["x"].to_numpy()
    true = quantities(form, x, *(truth[name].to_numpy()[None] for name in names))
    rng = np.random.default_rng(of_ties)
    facts["held"], facts["rank"], facts["ess"] = {}, {}, {}
    for name, values in quantities(form, x, *pooled).items():
        low, high = np.quantile(values, [0.5 * (1 - HELD), 0.5 * (1 + HELD)])
        facts["held"][name] = bool(low <= true[name][0] <= high)
        ess = float(az.ess(values.reshape(shape)))
        facts["ess"][name] = ess
        facts["rank"][name] = ranked(float(true[name][0]), values, ess, rng)
    return facts


def ranked(truth: float, values: Array, ess: float, rng: np.random.Generator) -> int:
    """Rank in 0..N_RANKED of the truth among as many evenly spaced draws as are effective, at most N_RANKED."""
    n = int(np.clip(np.nan_to_num(ess), 1, min(N_RANKED, values.size)))
    thinned = values[np.linspace(0, values.size - 1, n).round().astype(int)]
    within = (rank(truth, thinned, rng) + rng.random()) / (n + 1)
    return int(within * (N_RANKED + 1))


def report(records: Sequence[Record]) -> bool:
    """Print the tables; whether every quantity holds its truth as often as it should and no rank leaves its band."""
    by_setting = [[each for each in records if each["setting"] == s] for s in range(len(SETTINGS))]
    codes = Counter(each["code"] for each in records)
    print("\nrecords by state of the code: " + ", ".join(f"{name} {n}" for name, n in codes.items()))
    facts, rows = [], []
    n_quantities = sum(len(found[0]["held"]) for found in by_setting if found)
    well, outside = True, 0
    for form, found in zip(SETTINGS, by_setting, strict=True):
        if not found:
            continue
        n, where = len(found), f"d={form.n_features}"
        facts.append(
            [
                where,
                f"{n}",
                ", ".join(f"{count} {name}" for name, count in Counter(each["used"] for each in found).items()),
                ", ".join(f"{count} {name}" for name, count in Counter(each["status"] for each in found).items()),
                f"{sum(each['status'] not in GOOD for each in found)}",
                f"{sum(each['warned'] for each in found)}",
                f"{np.median([min(each['ess'].values()) for each in found]):.0f}",
                f"{np.mean([each['cpu'] for each in found]):.2f}",
            ]
        )
        band, error = Band(n), float(np.sqrt(HELD * (1 - HELD) / n))
        for name in found[0]["held"]:
            share = float(np.mean([each["held"][name] for each in found]))
            p = band.p_value(np.array([each["rank"][name] for each in found]))
            difference = band.largest_difference(np.array([each["rank"][name] for each in found]))
            good = LOW - ERRORS * error <= share <= HIGH + ERRORS * error
            within = p > LEVEL / n_quantities
            outside += p <= LEVEL
            well = well and good and within
            band_says = "inside" if p > LEVEL else "outside 95 %" if within else "outside corrected"
            verdict = "OK" if good and within else "SHORT"
            rows.append(
                [where, name, f"{share:.3f} ± {error:.3f}", f"{difference:+.3f}", f"{p:.3f}", band_says, verdict]
            )
    heads = ["setting", "fits", "engine", "status", "bad status", "warned", "least ESS, median", "CPU s"]
    print_table("Fits", heads, facts)
    heads = ["setting", "quantity", "held by 95 %", "largest ECDF difference", "p", "band of ranks", "verdict"]
    print_table(f"Coverage ({LOW} to {HIGH} within {ERRORS:g} errors wanted) and ranks", heads, rows)
    by_chance = LEVEL * n_quantities
    print(f"\n{outside} of {n_quantities} quantities outside their 95 % band ({by_chance:.1f} expected by chance)")
    return well


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("default_prior_calibration.jsonl"), help="file of results")
    parser.add_argument("--fits", type=int, default=300, help="data sets of each setting")
    parser.add_argument("--engine", choices=list(ENGINES), default="default", help="the engine, to compare")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--report", action="store_true", help="print what the file has and stop")
    options = parser.parse_args(arguments)
    print(f"{versions()}\nengine: {options.engine}, seed {options.seed}")

    def own() -> list[Record]:
        return [r for r in read(options.out) if (r["engine"], r["seed"]) == (options.engine, options.seed)]

    if not options.report:
        there = {(each["setting"], each["i"]) for each in own()}
        jobs = [(s, i) for i in range(options.fits) for s in range(len(SETTINGS)) if (s, i) not in there]
        work_off(jobs, partial(one_fit, engine=options.engine, seed=options.seed), options.out, options.workers)
    if own():
        report(own())
    else:
        print(f"\n{options.out} has no results of that engine and seed")


if __name__ == "__main__":
    main()
