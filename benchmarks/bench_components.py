"""How many components: the whole comparison against scikit-learn's default fits of the same numbers.

scikit-learn offers BIC and AIC; `compare_components` adds ICL, the bound of variational Bayes and the evidence at three
widths of the prior. Both fit full covariances. scikit-learn makes one start and stops at a tolerance of 1e-3.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings

import _common
import numpy as np
from _common import print_table, versions

import bayesgmm as bg

MEANS = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [5.0, 5.0]])
NUMBERS = range(1, 9)


def rows_of_four(n: int, seed: int = 0) -> np.ndarray:
    """Four round clusters of equal size."""
    rng = np.random.default_rng(seed)
    return MEANS[rng.integers(4, size=n)] + rng.normal(size=(n, 2))


def peers(x: np.ndarray) -> tuple[list[list[str]], float]:
    from sklearn.mixture import GaussianMixture

    found, began = [], time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for K in NUMBERS:
            fit = GaussianMixture(K, random_state=0).fit(x)
            found.append([f"{fit.score(x) * len(x):.2f}", f"{fit.bic(x):.1f}"])
    return found, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    print(versions())
    x = rows_of_four(options.rows)
    flat = bg.Flat()
    ml = bg.GaussianMixture(1, weights=flat, means=flat, covariances=flat)
    weak = bg.GaussianMixture(1)
    quiet = {"random_seed": 1, "progressbar": False}
    bg.compare_components(weak, x[:300], n_components=[2], cores=1, **quiet)  # compiles and loads
    theirs, their_seconds = peers(x)
    rows = [["scikit-learn, 8 default fits: likelihood, BIC, AIC", "1", f"{their_seconds:.1f}"]]
    for cores in options.cores:
        began = time.perf_counter()
        table = bg.compare_components(weak, x, criteria=["elbo", "evidence"], cores=cores, **quiet)
        rows.append(["likelihood, BIC, AIC, ICL, ELBO, evidence", str(cores), f"{time.perf_counter() - began:.1f}"])
    began = time.perf_counter()
    at_maximum = bg.compare_components(ml, x, cores=1, **quiet)
    rows.append(["maximum likelihood: likelihood, BIC, AIC, ICL", "1", f"{time.perf_counter() - began:.1f}"])
    print_table(
        f"Seconds of one comparison, {len(x)} rows, K = 1 to 8, {os.cpu_count()} cores", ("what", "cores", "s"), rows
    )
    evidence = table["log_evidence"].sel(mean_scale=1.0)
    print_table(
        "The same data: log-likelihood at the end of each fit, and what is chosen by it",
        ("K", "scikit-learn", "bayesgmm, ML", "its BIC", "our BIC, ML", "ICL", "ELBO", "log evidence"),
        [
            [
                str(K),
                *theirs[i][:1],
                f"{float(at_maximum['log_likelihood'][i]):.2f}",
                theirs[i][1],
                f"{float(at_maximum['bic'][i]):.1f}",
                f"{float(at_maximum['icl'][i]):.1f}",
                f"{float(table['elbo'][i]):.1f}",
                f"{float(evidence[i]):.1f}" + ("" if bool(table["reliable"].sel(mean_scale=1.0)[i]) else " (a guess)"),
            ]
            for i, K in enumerate(NUMBERS)
        ],
    )


if __name__ == "__main__":
    _ = _common
    main()
