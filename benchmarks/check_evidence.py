"""Every estimate of the evidence that is called reliable against the telescoping sampler.

    python benchmarks/check_evidence.py                    # galaxies and iris, one prior for all numbers of components
    python benchmarks/check_evidence.py --acidity FILE     # also a table with one column of acidities
    python benchmarks/check_evidence.py --seeds 40         # galaxies again and again: spread against the stated error

The prior is the one filled in for evidence, Dirichlet(1), ConjugateMeans(mean, .01) and one InverseWishart, and it
is printed with each table.
"""

from __future__ import annotations

import argparse

import numpy as np
from _common import print_table, seconds

import bayesgmm as bg

_SAMPLED, _VISITED = "Laplace, importance sampling", "telescoping sampler"
_JUDGES = (_VISITED, "closed form")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acidity", help="CSV file with one column")
    parser.add_argument("--seeds", type=int, default=0, help="so many runs of galaxies, K = 3 and 5, instead")
    parser.add_argument("--most", type=int, default=6, help="the largest number of components")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    galaxies = np.asarray(bg.datasets.load_galaxies(), dtype=float).reshape(-1, 1)
    if chosen.seeds:
        spread(galaxies, chosen.seeds, chosen.seed)
        return
    sets = {"galaxies": galaxies, "iris": np.asarray(bg.datasets.load_iris().drop(columns="species"), dtype=float)}
    if chosen.acidity:
        sets["acidity"] = np.loadtxt(chosen.acidity, skiprows=1, comments="#", ndmin=2)
    for name, x in sets.items():
        agreement(name, x, chosen.most if x.shape[1] == 1 else min(chosen.most, 4), chosen.seed)


def agreement(name: str, x: np.ndarray, most: int, seed: int) -> None:
    """Print one table: by number of components, all estimators, and what they differ by in their errors."""
    rows, prior = [], ""
    for K in range(1, most + 1):
        found = []
        took = seconds(lambda K=K, found=found: found.append(evidence(x, K, seed)))
        each = found[0]
        prior = each.attrs["prior"]
        judge = next((one for one in _JUDGES if one in each["estimate"] and each["reliable"].sel(estimate=one)), None)
        for estimate in each["estimate"].to_numpy():
            one = each.sel(estimate=estimate)
            if one["kind"] == "bound":
                continue
            apart = ""
            if judge is not None and estimate != judge:
                other = each.sel(estimate=judge)
                error = float(np.hypot(one["error"], other["error"]))
                apart = f"{float(one['value'] - other['value']) / error:+.1f}" if error > 0 else ""
            value, error = float(one["value"]), float(one["error"])
            reliable = "yes" if one["reliable"] else "no"
            rows.append([str(K), str(estimate), f"{value:.2f}", f"{error:.2f}", reliable, apart, f"{took:.0f}"])
    header = ["K", "estimate", "log evidence", "error", "reliable", "apart from the sampler, in errors", "s"]
    print_table(f"{name}: {prior}", header, rows)


def spread(x: np.ndarray, n: int, seed: int) -> None:
    """Print the spread of estimates over seeds, against the root mean square of their stated errors."""
    rows = []
    for K in (3, 5):
        found = [evidence(x, K, seed + i) for i in range(n)]
        for estimate in (_SAMPLED, _VISITED):
            fine = [each.sel(estimate=estimate) for each in found if each["reliable"].sel(estimate=estimate)]
            values, errors = (np.array([float(one[name]) for one in fine]) for name in ("value", "error"))
            if values.size < 2:
                rows.append([str(K), estimate, str(values.size), "", "", "", ""])
                continue
            sd, stated = values.std(ddof=1), np.sqrt(np.square(errors).mean())
            row = [str(K), estimate, str(values.size), f"{values.mean():.2f}", f"{sd:.3f}", f"{stated:.3f}"]
            rows.append([*row, f"{sd / stated:.2f}"])
    header = ["K", "estimate", "reliable", "mean", "sd over seeds", "stated error", "ratio"]
    print_table(f"galaxies, {n} seeds", header, rows)


def evidence(x: np.ndarray, K: int, seed: int):
    """All estimates by default."""
    return bg.log_evidence(bg.GaussianMixture(K), x, random_seed=seed, progressbar=False)


if __name__ == "__main__":
    main()
