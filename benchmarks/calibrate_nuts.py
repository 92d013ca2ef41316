"""Simulation-based calibration of `NUTS` (Talts et al. 2018).

    python benchmarks/calibrate_nuts.py [--simulations 300] [--seed 1] [--only "K=2, d=2"] [--wrong] [--ranks FILE.npz]

Parameters are drawn from the prior, rows from them, and the truth is ranked among draws of the posterior. If those are
right, ranks are uniform. Whether their ECDF stays inside the simultaneous 95 % band of Säilynoja, Bürkner & Vehtari
(2022) is said for each quantity; the verdict is by a Bonferroni-corrected band over all of them. Every fit counts, also
those that warn. With --wrong the fitted models have twice the prior median of the standard deviations, which must show.
"""

from __future__ import annotations

import argparse
from collections import Counter

from _common import print_table, seconds, versions  # pins the threads, so before numpy

# isort: split
import numpy as np
from _calibration import Fits, Setting, print_ranks, run
from scipy import stats

import bayesgmm as bg

ENGINE = bg.NUTS(draws=400, tune=300, chains=4, cores=1)

# Weakly informative: components of a few rows and standard deviations near 0 are rare under all of these priors.
SETTINGS = (
    Setting(
        name="K=2, d=1",
        n_features=1,
        n_obs=80,
        scale=bg.Gamma(5.0, 5.0),
        scale_logpdf=stats.gamma(5.0, scale=0.2).logpdf,
    ),
    Setting(
        name="K=2, d=2",
        n_features=2,
        n_obs=80,
        scale=bg.LogNormal(0.0, 0.4),
        scale_logpdf=stats.lognorm(0.4).logpdf,
    ),
)
DOUBLED = {"K=2, d=1": bg.Gamma(5.0, 2.5), "K=2, d=2": bg.LogNormal(float(np.log(2)), 0.4)}


def study(setting: Setting, n_simulations: int, seed: int, wrong: bool) -> Fits:
    fitted = setting.with_scale(DOUBLED[setting.name]) if wrong else setting.model
    return run(setting, fitted, ENGINE, n_simulations, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[setting.name for setting in SETTINGS], help="one setting")
    parser.add_argument("--wrong", action="store_true", help="fit models with a wrong prior")
    parser.add_argument("--ranks", help="file for the ranks")
    options = parser.parse_args()
    print(f"{versions()}\n{ENGINE}\nseed {options.seed}")

    done: dict[str, Fits] = {}
    rows = []
    for number, setting in enumerate(SETTINGS):
        if options.only not in (None, setting.name):
            continue

        def fit_all(setting: Setting = setting, seed: int = len(SETTINGS) * options.seed + number) -> None:
            done[setting.name] = study(setting, options.simulations, seed, options.wrong)

        took = seconds(fit_all)
        fits = done[setting.name]
        counted = Counter(fits.statuses)
        rows.append(
            [
                setting.name,
                f"{setting.n_obs}",
                f"{len(fits.statuses)}",
                ", ".join(f"{count} {status}" for status, count in counted.most_common()),
                f"{sum(count > 0 for count in fits.left_out)}",
                f"{sum(fits.divergences)} in {sum(count > 0 for count in fits.divergences)}",
                f"{np.median(fits.ess):.0f}, {min(fits.ess):.0f}",
                f"{took / len(fits.statuses):.2f}",
            ]
        )
    print_table(
        "Fits",
        [
            "setting",
            "rows",
            "fits",
            "status",
            "with chains left out",
            "divergences in fits",
            "ESS of lp: median, least",
            "s a fit",
        ],
        rows,
    )
    print_ranks(done)
    if options.ranks:
        columns = {f"{name}: {quantity}": r for name, fits in done.items() for quantity, r in fits.ranks.items()}
        facts = {f"{name}: status": np.array(fits.statuses) for name, fits in done.items()}
        facts |= {f"{name}: left out": np.array(fits.left_out) for name, fits in done.items()}
        facts |= {f"{name}: divergences": np.array(fits.divergences) for name, fits in done.items()}
        np.savez(options.ranks, **columns, **facts)


if __name__ == "__main__":
    main()
