"""Fits of random declarations to random, often degenerate data by random engines: each is sound or refused by name.

    python benchmarks/fuzz_fits.py [--fits 2000] [--seed 1] [--first 0]

What comes back of a fit is one of

    sound     a result of which all that is checked holds (`unsound`)
    ours      InputError, UnsupportedError or FitError
    silent    a result of which something does not hold: a defect
    foreign   any other exception: a defect

Case i of a seed is the same whatever else is run: `--first i --fits 1` repeats it.
"""

from __future__ import annotations

import argparse
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import bayesgmm as bg
from bayesgmm.engines._problem import build_problem

OUTCOMES = ("sound", "ours", "silent", "foreign")
REPORTED = 100
_TINY = 1e-9
# Of some cases the declaration may be any; of the others it is drawn until it goes with the engine, or so many times.
_ANY, _TRIES = 0.15, 30


def engines(rng: np.random.Generator) -> dict[str, Callable[[], Any]]:
    """Engines with as little work as they take, by name."""
    n = int(rng.integers(1, 4))
    return {
        "EM": lambda: bg.EM(n_init=n, n_polish=1, max_steps=200),
        "EM, unconstrained": lambda: bg.EM(n_init=n, n_polish=1, density="unconstrained"),
        "VB": lambda: bg.VB(n_init=n, n_polish=1, draws=40, chains=2),
        "Laplace": lambda: bg.Laplace(n_init=n, n_polish=1, draws=40, chains=2),
        "NUTS": lambda: bg.NUTS(draws=10, tune=10, chains=2, n_init=n, n_polish=1, max_draws=10, cores=1),
        "Gibbs": lambda: bg.Gibbs(sweeps=40, burn_in=5, chains=2, thin=2, n_init=n, max_sweeps=40, cores=1),
    }


def model(rng: np.random.Generator, d: int) -> bg.GaussianMixture:
    """A declaration; many of them do not go with the data or the engine."""

    def one(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    K = int(rng.integers(1, 5))
    far = 10.0 ** rng.integers(-100, 100)  # from the scale of the data
    scale = one(
        bg.HalfNormal(far),
        bg.HalfNormal(1.0),
        bg.Exponential(2.0),
        bg.Gamma(2.0, 1.0),
        bg.LogNormal(0.0, 1.0),
        bg.ScaledInverseChi(3.0, 1.0),
    )
    prior = one(None, bg.InverseWishart(), bg.InverseWishart(d + 3.0), bg.LKJ(), bg.LKJ(1.5, scale=scale), bg.Flat())
    if prior is None:
        prior = bg.InverseWishart(d + 2.0, np.eye(d).tolist())
    structure = one(bg.Full, bg.Full, bg.Diagonal, bg.Spherical)
    covariances = one(
        None, structure(prior), structure(prior), bg.Tied(structure(prior)), bg.FixedCovariances(np.eye(d).tolist()),
        bg.FixedCovariances(far), bg.ConstantCV(), bg.LinearVariance(), bg.Full(bg.HierarchicalInverseWishart()),
    )  # fmt: skip
    weights = one(
        None, None, bg.Dirichlet(0.3), bg.Dirichlet(1.0), bg.Dirichlet((np.arange(K) + 1.0).tolist()),
        bg.StickBreaking(1.0), bg.FixedWeights(np.full(K, 1.0 / K).tolist()), bg.Flat(), bg.SparseDirichlet(1.0),
        bg.SparseDirichlet(), bg.PoissonWeights(), bg.HardyWeinberg() if K == 3 else None,
    )  # fmt: skip
    means = one(
        None, None, bg.ConjugateMeans(), bg.NormalMeans(), bg.NormalMeans(0.0, 3.0), bg.NormalMeans(far, far),
        bg.FixedMeans(rng.normal(size=(K, d)).tolist()), bg.Flat(), bg.EvenlySpacedMeans(), bg.SaturatingMeans(),
    )  # fmt: skip
    number = 1 + bg.Poisson(1.0) if rng.random() < 0.08 else K
    if rng.random() < 0.03 and d == 1:
        return bg.warped_normal()
    return bg.GaussianMixture(number, weights=weights, means=means, covariances=covariances)


def values(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Rows of some kind, (N, d)."""
    d = int(rng.integers(1, 4))
    n = int(rng.integers(1, 50)) if rng.random() < 0.3 else int(rng.integers(15, 60))
    x = rng.normal(size=(n, d)) + 4.0 * rng.integers(0, 3, size=(n, 1))
    match kind:
        case "ties":
            return np.round(x)
        case "few distinct rows":
            return x[rng.integers(0, min(3, n), n)]
        case "a constant column":
            x[:, 0] = 0.1
        case "constant":
            x[:] = rng.normal()
        case "collinear":
            x[:, -1] = 2.0 * x[:, 0] - 1.0
        case "tiny":
            return x * 10.0 ** -rng.integers(5, 145)
        case "huge":
            return x * 10.0 ** rng.integers(5, 145)
        case "mixed scales":
            return x * 10.0 ** rng.integers(-60, 60, size=d)
        case "offset":
            return x + 10.0 ** rng.integers(3, 12)
        case "heavy tails":
            return rng.standard_cauchy(size=(n, d))
        case "an outlier":
            x[0] = 1e12
        case "holes":
            x[rng.random(x.shape) < 0.3] = np.nan
        case "rows without values":
            x[rng.random(n) < 0.2] = np.nan
        case "whole numbers":
            return rng.integers(0, 5, size=(n, d)).astype(float)
        case "two values":
            return rng.integers(0, 2, size=(n, d)).astype(float)
        case "one group and a point":
            x[: n // 2] = x[0]
    return x


KINDS = (
    "groups", "ties", "few distinct rows", "a constant column", "constant", "collinear", "tiny", "huge", "mixed scales",
    "offset", "heavy tails", "an outlier", "holes", "rows without values", "whole numbers", "two values",
    "one group and a point",
)  # fmt: skip
WAYS = ("exact", "exact", "exact", "counts", "weights", "noise", "noise covariances", "noise scale", "bins", "groups")


def data(rng: np.random.Generator, kind: str, way: str, x: np.ndarray) -> dict[str, Any]:
    """Arguments of `as_data`."""
    n, d = x.shape
    size = np.nanmax(np.abs(x)) if np.isfinite(x).any() else 1.0
    match way:
        case "counts":
            return {"values": x, "counts": rng.integers(1, 6, n)}
        case "weights":
            return {"values": x, "weights": rng.random(n) + 1e-3}
        case "noise":
            return {"values": x, "noise": size * rng.choice([0.0, 0.01, 0.3], size=x.shape)}
        case "noise covariances":
            return {"values": x, "noise": np.tile(np.eye(d) * (0.1 * size) ** 2, (n, 1, 1))}
        case "noise scale":
            return {"values": x, "noise": np.full(x.shape, 0.1 * size), "noise_scale": bg.LogNormal(0.0, 0.3)}
        case "bins":
            edges = np.sort(rng.normal(size=rng.integers(3, 9))) * size
            bins = np.column_stack([edges[:-1], edges[1:]])
            if rng.random() < 0.5:
                bins[0, 0], bins[-1, 1] = -np.inf, np.inf
            return {"bins": bins, "counts": rng.integers(0, 20, len(bins))}
        case "groups":
            return {"values": x, "groups": rng.integers(0, 3, n)}
    return {"values": x}


def case(seed: int, i: int) -> tuple[str, Callable[[], bg.GaussianMixture], dict[str, Any], str, Any]:
    """What is in the data, how to declare a model, the data, and an engine with its name."""
    rng = np.random.default_rng([seed, i])
    kind, way = KINDS[rng.integers(len(KINDS))], WAYS[rng.integers(len(WAYS))]
    x = values(rng, kind)
    given = data(rng, kind, way, x)
    choices = engines(rng)
    name = str(rng.choice(list(choices)))
    engine, d = choices[name](), 1 if way == "bins" else x.shape[1]
    if rng.random() < _ANY:
        return f"{kind}, {way}", partial(model, rng, d), given, name, engine
    for _ in range(_TRIES):
        state = rng.bit_generator.state
        try:
            declared = model(rng, d)
            table = bg.as_data(**given)
            problem = build_problem(declared, table, who=name, by_gibbs=name == "Gibbs")
            engine.check(problem.declared, table.n_features)
        except bg.BayesGMMError:
            continue
        rng.bit_generator.state = state
        break
    return f"{kind}, {way}", partial(model, rng, d), given, name, engine


def unsound(fit: Any) -> str:
    """What does not hold of a result; nothing if all does."""
    if fit.attrs["status"] not in bg.Status.__members__:
        return f"the status {fit.attrs['status']}"
    for group in ("point_estimate", "posterior"):
        if group not in fit.children:
            continue
        part = fit[group].to_dataset()
        for name in ("weights", "means", "covariances", "sds"):
            if not np.isfinite(part[name]).all():
                return f"{group}: {name} that are not finite"
        weights = part["weights"]
        if (weights < 0).any() or abs(weights.sum("component") - 1.0).max() > _TINY:
            return f"{group}: weights that do not sum to 1"
        if (part["sds"] <= 0).any():
            return f"{group}: sds that are not positive"
        covariances = part["covariances"].transpose(..., "component", "feature", "feature_bis").to_numpy()
        sds = part["sds"].transpose(..., "component", "feature").to_numpy()
        relative = covariances / (sds[..., :, None] * sds[..., None, :])
        if np.abs(relative - np.swapaxes(relative, -1, -2)).max() > _TINY:
            return f"{group}: covariances that are not symmetric"
        if np.linalg.eigvalsh(relative).min() <= 0.0:
            return f"{group}: covariances that are not positive definite"
    predicted = bg.predict(fit)
    r = predicted["responsibilities"]
    if not np.isfinite(r).all() or (r < -_TINY).any() or abs(r.sum("component") - 1.0).max() > _TINY:
        return "responsibilities that are no probabilities"
    if not np.isfinite(predicted["log_density"]).all():
        return "log densities that are not finite"
    if not set(predicted["label"].to_numpy().tolist()) <= set(fit["point_estimate"]["component"].to_numpy().tolist()):
        return "labels that are no components"
    if len(bg.summary(fit)) != fit["point_estimate"].sizes["component"]:
        return "a summary without all components"
    return ""


def outcome(seed: int, i: int) -> tuple[str, str, str]:
    """What became of case i, of which engine, and why."""
    kind, declared, given, name, engine = case(seed, i)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # of NumPy: numbers that went wrong on the way
            warnings.simplefilter("ignore", UserWarning)
            fit = bg.fit(declared(), bg.as_data(**given), engine=engine, random_seed=i, progressbar=False)
            why = unsound(fit)
    except bg.BayesGMMError as error:
        return "ours", name, str(error)
    except Exception as error:
        frames = [each for each in traceback.extract_tb(error.__traceback__) if "bayesgmm/" in each.filename]
        where = f"{frames[-1].filename.rpartition('bayesgmm/')[2]}:{frames[-1].lineno}" if frames else "?"
        return "foreign", name, f"{kind}: {type(error).__name__} at {where}: {str(error)[:120]}"
    return ("silent" if why else "sound"), name, f"{kind}: {why}"


def run(n: int, seed: int, first: int = 0, report: Callable[[str], None] = print) -> Counter[tuple[str, str]]:
    """Count what became of the fits, by engine; defects are reported as they come."""
    counts: Counter[tuple[str, str]] = Counter()
    began = time.monotonic()
    for i in range(first, first + n):
        started = time.monotonic()
        what, name, why = outcome(seed, i)
        counts[name, what] += 1
        if what in ("silent", "foreign"):
            report(f"{what:8} --seed {seed} --first {i}  {name}: {why}")
        if time.monotonic() - started > 30.0:
            report(f"slow     --seed {seed} --first {i}  {name}: {time.monotonic() - started:.0f} s")
        if counts.total() % REPORTED == 0:
            so_far = Counter[str]()
            for (_, each), v in counts.items():
                so_far[each] += v
            report(f"{counts.total()} of {n} after {time.monotonic() - began:.0f} s: {dict(so_far)}")
    report(f"\n{n} fits in {time.monotonic() - began:.0f} s, seed {seed}")
    report(f"{'':20}" + "".join(f"{each:>9}" for each in OUTCOMES))
    for name in (*engines(np.random.default_rng(0)), "all"):
        row = [
            sum(v for (who, what), v in counts.items() if what == each and name in (who, "all")) for each in OUTCOMES
        ]
        report(f"{name:20}" + "".join(f"{each:9d}" for each in row))
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    found = run(options.fits, options.seed, options.first)
    raise SystemExit(sum(v for (_, what), v in found.items() if what in ("silent", "foreign")) > 0)
