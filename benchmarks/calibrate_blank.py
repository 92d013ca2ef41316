"""How often a blank sample is called detected, by the number of controls and of false positives.

    python benchmarks/calibrate_blank.py [blank samples in each cell, 2000 if left out] [plates, 20 if left out]

First counts alone: controls and a blank sample of one, two or four wells have Poisson numbers of false positives; wells
have 8,000 to 20,000 droplets. Beside the limit of the package stand the plug-in limit (the 95 % quantile of a Poisson
count with the rate of the controls) and that of Jeffreys' prior, and what the limit of the package gives exactly with
wells of equal size. Then whole plates through `ddpcr.quantify`: false positives lie where the positives of a sample do.
"""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
from scipy.stats import nbinom, poisson

from bayesgmm import ddpcr
from bayesgmm.ddpcr._blank import PROBABILITY, limit_of_blank

CONTROLS, WELLS, MEANS = (1, 2, 4), (1, 2, 4), (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
_FEWEST, _MOST = 8_000, 20_000


def shares(n_controls: int, n_wells: int, mean: float, n: int, rng: np.random.Generator) -> dict[str, float]:
    """Shares of n blank samples that each limit calls detected; `mean` false positives in a well of 20,000 droplets."""
    droplets = rng.integers(_FEWEST, _MOST + 1, size=(n, n_controls + n_wells))
    count = rng.poisson(mean * droplets / _MOST)
    total, size = count[:, :n_controls].sum(axis=1), droplets[:, :n_controls].sum(axis=1)
    own, further = count[:, n_controls:].sum(axis=1), droplets[:, n_controls:].sum(axis=1)
    limits = {
        "plug-in": poisson.ppf(PROBABILITY, total / size * further),
        "Jeffreys": nbinom.ppf(PROBABILITY, total + 0.5, size / (size + further)),
        "package": np.array([limit_of_blank(*each) for each in zip(total, size, further, strict=True)]),
    }
    return {name: float((own > np.maximum(limit, 0.0)).mean()) for name, limit in limits.items()}


def exact(n_controls: int, n_wells: int, mean: float) -> float:
    """The share that the package calls detected, where all wells have as many droplets."""
    total = np.arange(200)
    limit = limit_of_blank(total, n_controls, np.full(total.size, float(n_wells)))
    return float(poisson.pmf(total, mean * n_controls) @ poisson.sf(limit, mean * n_wells))


def plate_of_blanks(n_controls: int, mean: float, n_blanks: int, rng: np.random.Generator) -> ddpcr.Plate:
    """Controls, a sample with the target, and blank samples that have as many false positives as controls."""
    import pandas as pd

    def well(name: str, k: int, n: int = 3000) -> ddpcr.Well:
        x = np.concatenate([rng.normal(3000.0, 200.0, n - k), rng.normal(9000.0, 500.0, k)])
        return ddpcr.Well(name=name, channels=("Ch1",), amplitudes=x[:, None], source="simulated")

    counts = [*rng.poisson(mean, n_controls), 400, *rng.poisson(mean, n_blanks)]
    names = [f"{row}{column:02d}" for column in range(1, 13) for row in "ABCDEFGH"][: len(counts)]
    samples = ["NTC"] * n_controls + ["positive", *(f"blank {i}" for i in range(n_blanks))]
    table = {"sample": samples, "dilution": 1.0, "ntc": [name == "NTC" for name in samples], "replicate": 1}
    frame = pd.DataFrame(table | {"target Ch1": "t"}, index=pd.Index(names, name="well", dtype=object))
    return ddpcr.Plate(tuple(well(name, int(k)) for name, k in zip(names, counts, strict=True)), frame)


def called(n_controls: int, mean: float, n_blanks: int, rng: np.random.Generator) -> tuple[int, int, bool]:
    """Blank samples of a plate that `quantify` calls detected, how many there are, and whether the positive one is."""
    plate = plate_of_blanks(n_controls, mean, n_blanks, rng)
    found = ddpcr.quantify(plate, droplet_volume_nl=0.85, cores=1, progressbar=False)["sample_detected"][:, 0]
    blank = np.array([str(name).startswith("blank") for name in found["sample"].to_numpy()])
    verdict = found.to_numpy() == "detected"
    return int(verdict[blank].sum()), int(blank.sum()), bool(verdict[~blank].all())


def main(n: int, n_plates: int) -> int:
    """Print both tables; the number of cells with more than 5 %, where chance is allowed for."""
    rng = np.random.default_rng(19)
    too_many = 0
    print("Share of blank samples called detected (%), counts alone")
    print(
        f"{'controls':>8} {'wells':>6} {'false positives':>16}{'plug-in':>9}{'Jeffreys':>9}{'package':>9}{'exact':>7}"
    )
    for n_controls, n_wells, mean in product(CONTROLS, WELLS, MEANS):
        found = shares(n_controls, n_wells, mean, n, rng)
        too_many += found["package"] > 1.0 - PROBABILITY + 3.0 * np.sqrt(0.05 * 0.95 / n)
        cells = "".join(f"{100.0 * found[name]:>9.1f}" for name in ("plug-in", "Jeffreys", "package"))
        print(f"{n_controls:>8} {n_wells:>6} {mean:>16}{cells}{100.0 * exact(n_controls, n_wells, mean):>7.1f}")
    print("\nThrough quantify, samples of one well")
    for n_controls, mean in product(CONTROLS, (0.0, 1.0, 3.0)):
        counts = [called(n_controls, mean, 12, rng) for _ in range(n_plates)]
        k, m = sum(each[0] for each in counts), sum(each[1] for each in counts)
        positive = sum(each[2] for each in counts)
        too_many += k / m > 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / m)
        print(f"{n_controls:>8} {mean:>23} {k:>4} of {m} blanks, {positive} of {n_plates} positives")
    print(f"{too_many} cells above 5 %")
    return too_many


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    sys.exit(main(given[0] if given else 2000, given[1] if len(given) > 1 else 20) > 0)
