"""Simulation-based calibration of `Gibbs` for K = 2 (Talts et al. 2018).

    python benchmarks/calibrate_gibbs.py [--simulations 500] [--seed 1] [--only "K=2, d=1, independent means"] [--wrong]

As `calibrate_nuts.py`, which has the words, with conjugate declarations. With --wrong the fitted models have four times
the scale matrix of the covariances, which must show.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, replace

from _common import print_table, seconds, versions  # pins the threads, so before numpy

# isort: split
import numpy as np
from _calibration import Array, Fits, print_ranks, run
from scipy import stats

import bayesgmm as bg

ENGINE = bg.Gibbs(sweeps=1200, burn_in=300, thin=3, chains=4, cores=1, n_init=4)
CONCENTRATION, DF, SCALE = 3.0, 8.0, 6.0
MEANS_SD, PRECISION_SCALE = 3.0, 0.1


@dataclass(frozen=True, kw_only=True)
class Conjugate:
    """Two components; conjugate means, or independent ones."""

    name: str
    n_features: int
    n_obs: int
    conjugate: bool
    scale: float = SCALE

    @property
    def model(self) -> bg.GaussianMixture:
        d = self.n_features
        means = bg.ConjugateMeans(np.zeros(d), PRECISION_SCALE) if self.conjugate else bg.NormalMeans(0.0, MEANS_SD)
        prior = bg.InverseWishart(DF, self.scale * np.eye(d))
        return bg.GaussianMixture(2, weights=bg.Dirichlet(CONCENTRATION), means=means, covariances=prior)

    def log_prior(self, weights: Array, means: Array, covariances: Array) -> Array:
        d = self.n_features
        out = (CONCENTRATION - 1) * np.log(weights).sum(axis=1)
        log_dets = np.linalg.slogdet(covariances)[1]
        inverse = np.linalg.inv(covariances)
        traces = SCALE * np.trace(inverse, axis1=-2, axis2=-1)
        out += (-0.5 * (DF + d + 1) * log_dets - 0.5 * traces).sum(axis=1)
        if self.conjugate:
            squares = PRECISION_SCALE * np.einsum("ski,skij,skj->sk", means, inverse, means)
            return out - 0.5 * (squares + log_dets).sum(axis=1)
        return out + stats.norm(0, MEANS_SD).logpdf(means).sum(axis=(1, 2))


SETTINGS = (
    Conjugate(name="K=2, d=1, independent means", n_features=1, n_obs=60, conjugate=False),
    Conjugate(name="K=2, d=2, conjugate means", n_features=2, n_obs=60, conjugate=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[setting.name for setting in SETTINGS])
    parser.add_argument("--wrong", action="store_true")
    options = parser.parse_args()
    print(f"{versions()}\n{ENGINE}\nseed {options.seed}")
    done: dict[str, Fits] = {}
    rows = []
    for number, setting in enumerate(SETTINGS):
        if options.only not in (None, setting.name):
            continue
        fitted = replace(setting, scale=4 * SCALE) if options.wrong else setting

        def fit_all(
            setting: Conjugate = setting,
            fitted: Conjugate = fitted,
            seed: int = len(SETTINGS) * options.seed + number,
        ) -> None:
            done[setting.name] = run(setting, fitted.model, ENGINE, options.simulations, seed=seed)

        took = seconds(fit_all)
        fits = done[setting.name]
        status = ", ".join(f"{count} {name}" for name, count in Counter(fits.statuses).most_common())
        ess = f"{np.median(fits.ess):.0f}, {min(fits.ess):.0f}"
        left_out = sum(count > 0 for count in fits.left_out)
        rows.append([setting.name, f"{setting.n_obs}", f"{len(fits.statuses)}", status, f"{left_out}", ess,
                     f"{took / len(fits.statuses):.2f}"])  # fmt: skip
    heads = ["setting", "rows", "fits", "status", "with chains left out", "ESS of lp: median, least", "s a fit"]
    print_table("Fits", heads, rows)
    print_ranks(done)


if __name__ == "__main__":
    main()
