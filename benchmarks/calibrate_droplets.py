"""Intervals of copies per droplet under the default model, on droplets from that model, and of whole plates.

    python benchmarks/calibrate_droplets.py [--only wells|plates|pairs|misfit] [--runs 1000] [--cores 1]

Wells: 20,000 droplets; lambda and the distance of the clusters (in sd of the negatives) are those of the cell,
everything else is drawn from what the model believes of a well on a plate that is known. Plates: droplets counted
without error, six samples in four wells each. Pairs: plates of two channels from `simulate_plate`, eight wells of four
samples and two controls, with and without cross-talk and competition, channels one by one and as `quantify` has them.
Misfit: simulated plates whose rain and outliers are not those of the model, six samples in two wells each and two
controls, 15,000 droplets a well.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from _common import print_table, versions  # pins the threads, so before numpy elsewhere

from bayesgmm import ddpcr
from bayesgmm.ddpcr._between_wells import Counted, between_wells
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._fit_plate import Wells, fit_plate
from bayesgmm.ddpcr._fit_well import fit_well
from bayesgmm.ddpcr._pairs import fit_pairs, linked_alone
from bayesgmm.ddpcr._shape import skewed
from bayesgmm.ddpcr._simulate import simulate_plate
from bayesgmm.ddpcr._well_density import WellDensity
from bayesgmm.ddpcr._well_numbers import bounds
from bayesgmm.engines._progress import Progress
from bayesgmm.inference._parallel import run_parallel

DROPLETS, DRAWS = 20_000, 1024
RATES, GAPS = (0.02, 0.1, 0.5, 1.0, 2.0, 3.0), (3.0, 4.0, 6.0)
# Standard error over that of counting without error, two Gaussians with unknown means and sds (Fisher information).
FISHER = {
    3.0: (3.72, 2.50, 1.99, 2.00, 2.33, 2.91),
    4.0: (1.42, 1.20, 1.12, 1.12, 1.17, 1.27),
    6.0: (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
}
SPREAD = 200.0
# Of pairs: copies of both targets in each sample, (cross-talk, competition), and the share of copies that is linked.
PAIRS = {"a": (0.1, 0.1), "b": (0.3, 1.0), "c": (1.0, 0.3), "d": (1.0, 1.0)}
EFFECTS, LINKED, PAIR_GAPS = ((0.0, 0.0), (0.2, 0.0), (0.0, 0.15), (0.2, 0.15)), (0.0, 0.1), (5.0, 6.0, 8.0)
# Plates of another model than the fitted one.
WORLDS = {
    "even rain, outliers": {"separation": 6.0, "rain": 0.01, "outliers": 1e-3},
    "rain near the positives": {"separation": 6.0, "rain": 0.03, "rain_height": 0.75},
    "rain near the negatives": {"separation": 6.0, "rain": 0.01, "rain_height": 0.25},
    "even rain, outliers, 4 sd": {"separation": 4.0, "rain": 0.01, "outliers": 1e-3},
    "rain near the positives, outliers, 8 sd": {"separation": 8.0, "rain": 0.03, "rain_height": 0.75, "outliers": 1e-3},
}
WORLD_RATES, VOLUME_NL = (0.005, 0.05, 0.3, 1.0, 2.0, 3.0), 0.85


def beliefs_at(gap: float) -> Beliefs:
    shape = skewed()
    return Beliefs(
        shape=shape,
        baseline=(3000.0, 0.5 * SPREAD),
        log_spread=(float(np.log(SPREAD)), 0.05),
        log_gap=(float(np.log(gap * shape.sd * SPREAD)), 0.05),
        log_positive_sd=(float(np.log(1.3 * SPREAD)), 0.1),
        share_sd=0.3,
    )


def one_well(job: tuple[float, float, int]) -> tuple[bool, float, float]:
    """Whether the interval holds lambda, the error of its log, and the posterior's sd of the log."""
    rate, gap, seed = job
    rng = np.random.default_rng(seed)
    beliefs = beliefs_at(gap)
    density = WellDensity(np.zeros(1), np.ones(1), beliefs)
    own = density.prior[:, 0] + density.prior[:, 1] * rng.standard_normal(density.size)
    own[0] = np.log(rate)
    point = density.point(own)
    weights = np.exp(point.log_weights)
    component = rng.choice(weights.size, DROPLETS, p=weights / weights.sum())
    x = point.means[component, 0] + point.choleskys[component, 0, 0] * rng.standard_normal(DROPLETS)
    fit = fit_well(x, beliefs, draws=DRAWS, seed=np.random.SeedSequence(seed))
    lower, upper = bounds(fit, 0.025, 0.975)
    middle = float(fit.quantiles(fit.of("log_rate"), (0.5,))[0])
    return lower <= rate <= (np.inf if np.isnan(upper) else upper), middle - np.log(rate), fit.belief("log_rate")[1]


def wells(runs: int, cores: int) -> None:
    table = []
    for gap in GAPS:
        for r, rate in enumerate(RATES):
            jobs = [(rate, gap, 1000 * i + int(100 * rate) + int(gap)) for i in range(runs)]
            found = run_parallel(one_well, jobs, total=runs, cores=cores, progress=Progress(False), what="wells")
            covered, errors, sds = (np.array(each, dtype=float) for each in zip(*found, strict=True))
            binary = np.sqrt(-np.expm1(-rate) / (DROPLETS * np.exp(-rate))) / rate
            table.append(
                [
                    f"{gap:g}",
                    f"{rate:g}",
                    f"{covered.mean():.3f} ({np.sqrt(0.95 * 0.05 / runs):.3f})",
                    f"{errors.mean() / errors.std():+.2f}",
                    f"{errors.std() / binary:.2f}",
                    f"{np.sqrt(np.mean(np.square(sds))) / binary:.2f}",
                    f"{FISHER[gap][r]:.2f}",
                ]
            )
            print(*table[-1], sep="\t", file=sys.stderr, flush=True)
    print_table(
        f"Default model, {DROPLETS:,} droplets, {runs} wells a cell; 95 % intervals",
        (
            "distance, sd",
            "lambda",
            "covered (MC error)",
            "mean error, in sd",
            "sd of estimates / counting",
            "posterior sd / counting",
            "two Gaussians, Fisher",
        ),
        table,
    )


def one_plate(job: tuple[float, int]) -> tuple[bool, list[bool], list[bool]]:
    """Whether intervals hold tau, the samples' concentrations, and a fifth well of each sample."""
    tau, seed = job
    rng = np.random.default_rng(seed)
    concentrations = (0.02, 0.1, 0.3, 0.5, 1.0, 2.0)

    def counted(c: float, n: int) -> list[Counted]:
        positive = rng.binomial(DROPLETS, -np.expm1(-c * np.exp(tau * rng.standard_normal(n))))
        return [Counted(positive=float(k), negative=float(DROPLETS - k)) for k in positive]

    samples = [(counted(c, 4), [0.0] * 4) for c in concentrations]
    between = between_wells(samples)
    low, high = between.interval(0.95)
    held, next_well = [], []
    for c, sample in zip(concentrations, samples, strict=True):
        lower, upper = between.concentration(*sample, total=True).quantiles((0.025, 0.975))
        held.append(bool(lower <= c <= upper))
        # Of a well that is left out, from the other three: its lambda is spread about c by tau.
        rest = between_wells([(s[0][:3], s[1][:3]) if s is sample else s for s in samples])
        at = rest.concentration(sample[0][:3], [0.0] * 3, total=True).draw(rng, 4000)
        lam = at * np.exp(rng.choice(rest.taus, 4000, p=rest.shares) * rng.standard_normal(4000))
        k = rng.binomial(DROPLETS, -np.expm1(-lam))
        next_well.append(bool(np.quantile(k, 0.025) <= sample[0][3].positive <= np.quantile(k, 0.975)))
    return low <= tau <= high, held, next_well


def plates(runs: int, cores: int) -> None:
    table = []
    for tau in (0.0, 0.03, 0.06):
        jobs = [(tau, seed) for seed in range(runs)]
        found = run_parallel(one_plate, jobs, total=runs, cores=cores, progress=Progress(False), what="plates")
        of_tau, held, next_well = zip(*found, strict=True)
        table.append([f"{tau:g}", f"{np.mean(of_tau):.3f}", f"{np.mean(held):.3f}", f"{np.mean(next_well):.3f}"])
        print(*table[-1], sep="\t", file=sys.stderr, flush=True)
    print_table(
        f"Six samples in four wells, {runs} plates (MC error of tau {np.sqrt(0.95 * 0.05 / runs):.3f}, of the others "
        f"{np.sqrt(0.95 * 0.05 / runs / 6):.3f}); 95 % intervals",
        ("tau", "hold tau", "hold the concentration, total", "hold a well that is left out"),
        table,
    )


def one_pair(job: tuple[float, float, float, float, int]) -> tuple[bool, list[list[float]]]:
    """Whether anything was found; and for each well errors of log lambda, and what intervals hold, in both ways."""
    gap, spill, competition, linked, seed = job
    plate = simulate_plate(
        samples=PAIRS, n_wells=2, n_ntc=2, separation=gap, cross_talk=spill, competition=competition, linked=linked,
        random_seed=seed,
    )  # fmt: skip
    controls = plate.table["ntc"].tolist()
    quiet = {"cores": 1, "progress": Progress(False)}
    alone = {
        name: fit_plate(
            Wells(
                amplitudes=[well.channel(name) for well in plate],
                without_template=controls,
                seeds=each.spawn(len(plate)),
                **quiet,
            ),
            draws=DRAWS,
        )
        for name, each in zip(plate.channels, np.random.SeedSequence(seed).spawn(2), strict=True)
    }
    both, pairs = fit_pairs(plate, alone, seed=np.random.SeedSequence(seed + 1), **quiet)
    (found,) = pairs.values()
    rng, rows = np.random.default_rng(seed), []
    for i, well in enumerate(plate):
        if controls[i]:
            continue
        row, single = [], []
        for fits in (alone, both):
            for name in plate.channels:
                fit, truth = fits[name].wells[i], plate.table[f"true_lambda {name}"].iloc[i]
                assert fit is not None
                single.append(fit)
                lower, middle, upper = fit.quantiles(np.exp(fit.of("log_rate")), (0.025, 0.5, 0.975))
                row += [np.log(middle / truth), float(lower <= truth <= upper)]
        truth = plate.table["true_linked"].iloc[i]
        x, beliefs = (well.channel("Ch1"), well.channel("Ch2")), (alone["Ch1"].beliefs, alone["Ch2"].beliefs)
        apart = np.quantile(linked_alone(x, (single[0], single[1]), beliefs, rng)[0], (0.025, 0.975))
        joint = found.wells[i]
        for q in (apart, apart if joint is None else joint.quantiles(joint.linked, (0.025, 0.975))):
            row.append(float(q[0] <= truth <= q[1]))
        rows.append(row)
    return any(found.found), rows


def pairs(runs: int, cores: int) -> None:
    table = []
    for gap in PAIR_GAPS:
        for spill, competition in EFFECTS:
            jobs = [
                (gap, spill, competition, linked, 100 * run + int(10 * linked))
                for linked in LINKED
                for run in range(runs)
            ]
            ended = run_parallel(one_pair, jobs, total=len(jobs), cores=cores, progress=Progress(False), what="pairs")
            found, rows = zip(*ended, strict=True)
            x = np.array([row for each in rows for row in each])
            errors, held = x[:, [0, 2, 4, 6]], x[:, [1, 3, 5, 7]]
            table.append(
                [f"{gap:g}", f"{spill:g}", f"{competition:g}", f"{np.mean(found):.2f}"]
                + [f"{np.median(np.abs(errors[:, at])):.1%}" for at in (slice(0, 2), slice(2, 4))]
                + [f"{held[:, at].mean():.3f}" for at in (slice(0, 2), slice(2, 4))]
                + [f"{x[:, place].mean():.3f}" for place in (8, 9)]
            )
            print(*table[-1], sep="\t", file=sys.stderr, flush=True)
    wells = 8 * len(LINKED) * runs
    print_table(
        f"{wells} wells of {len(LINKED) * runs} plates a cell; 95 % intervals, each lambda (MC error "
        f"{np.sqrt(0.95 * 0.05 / wells / 2):.3f}) and linked lambda ({np.sqrt(0.95 * 0.05 / wells):.3f})",
        (
            "distance, sd",
            "cross-talk",
            "competition",
            "found",
            "median error, one by one",
            "quantify",
            "held, one by one",
            "quantify",
            "linked held, one by one",
            "quantify",
        ),
        table,
    )


def one_misfit(job: tuple[str, int]) -> tuple[list[bool], list[bool], list[float]]:
    """Whether intervals of wells hold lambda, and total ones the sample's; errors of lambda in sds by lambda."""
    world, seed = job
    plate = ddpcr.simulate_plate(
        samples={f"{rate:g}": rate for rate in WORLD_RATES},
        n_wells=2,
        n_ntc=2,
        n_droplets=15_000,
        random_seed=seed,
        **WORLDS[world],
    )
    options = {"droplet_volume_nl": VOLUME_NL, "cores": 1, "progressbar": False, "random_seed": seed}
    found = ddpcr.quantify(plate, **options).isel(channel=0)
    wells = found.isel(well=~found["ntc"].to_numpy())
    truth = plate.table.loc[[str(name) for name in wells["well"].to_numpy()], "true_lambda Ch1"].to_numpy(dtype=float)
    rate, lower, upper = (wells[f"copies_per_droplet{end}"].to_numpy() for end in ("", "_lower", "_upper"))
    of_sample = np.array([float(name) for name in found["sample"].to_numpy()]) / (VOLUME_NL / 1000.0)
    low, high = (found[f"sample_copies_per_ul_total_{end}"].to_numpy() for end in ("lower", "upper"))
    held = (lower <= truth) & (truth <= np.nan_to_num(upper, nan=np.inf))
    held_samples = (low <= of_sample) & (of_sample <= np.nan_to_num(high, nan=np.inf))
    errors = (rate - truth) / ((upper - lower) / 3.92)
    by_rate = [float(np.nanmean(errors[np.isclose(truth, each)])) for each in WORLD_RATES]
    return held.tolist(), held_samples.tolist(), by_rate


def misfit(runs: int, cores: int) -> None:
    table = []
    for world in WORLDS:
        jobs = [(world, seed) for seed in range(runs)]
        found = run_parallel(one_misfit, jobs, total=runs, cores=cores, progress=Progress(False), what="plates")
        wells, samples, errors = zip(*found, strict=True)
        by_rate = ", ".join(f"{each:+.1f}" for each in np.mean(errors, axis=0))
        # Wells of a plate share its controls, so that plates are what the Monte-Carlo error is of.
        cells = [f"{np.mean(x):.3f} ({np.std(np.mean(x, axis=1)) / np.sqrt(runs):.3f})" for x in (wells, samples)]
        table.append([world, *cells, by_rate])
        print(*table[-1], sep="\t", file=sys.stderr, flush=True)
    rates = ", ".join(f"{rate:g}" for rate in WORLD_RATES)
    print_table(
        f"Plates of other models, {runs} a row; 95 % intervals",
        ("world", "hold lambda (MC error)", "hold the sample, total (MC error)", f"mean error in sd at lambda {rates}"),
        table,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("wells", "plates", "pairs", "misfit"))
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--cores", type=int, default=1)
    given = parser.parse_args()
    print(versions())
    for name, study in (("wells", wells), ("plates", plates), ("pairs", pairs), ("misfit", misfit)):
        if given.only in (None, name):
            study(given.runs, given.cores)


if __name__ == "__main__":
    main()
