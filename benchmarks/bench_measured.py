"""Passes over rows as they are measured against the plain pass, and deconvolution against astroML's.

    python benchmarks/bench_measured.py [--quick]

One thread; medians of processor time. Each kind of rows is first held equal to a sum over rows by scipy. The peer is
`astroML.density_estimation.XDGMM` (extreme deconvolution in numpy), which is skipped where it is not installed:

    python3 -m uv run --with astroML benchmarks/bench_measured.py
"""

from __future__ import annotations

import sys
import warnings

from _common import median_seconds, milliseconds, print_table, versions

# isort: split
import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import bayesgmm as bg
from bayesgmm.numerics.linalg import inverse_lower
from bayesgmm.numerics.passes import expected_statistics
from bayesgmm.numerics.rows import make_rows

QUICK_DIVISOR = 10
CHECKED = 200
SIZES = ((100_000, 1, 3), (100_000, 2, 3), (100_000, 5, 3), (20_000, 10, 5))


def mixture(K: int, d: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    choleskys = np.tril(0.3 * rng.normal(size=(K, d, d)), -1)
    choleskys[:, np.arange(d), np.arange(d)] = rng.uniform(0.5, 1.5, size=(K, d))
    return np.log(rng.dirichlet(np.full(K, 5.0))), rng.normal(size=(K, d)), choleskys


def with_holes(rows: np.ndarray, patterns: int, rng: np.random.Generator) -> np.ndarray:
    """At most so many patterns of missing entries, equally often."""
    n, d = rows.shape
    masks = np.array([[bool(i >> j & 1) for j in range(d)] for i in range(min(patterns, 2**d - 1))])
    out = rows.copy()
    out[masks[rng.integers(0, len(masks), n)]] = np.nan
    return out


def kinds(rows: np.ndarray, rng: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    n, d = rows.shape
    sds = rng.uniform(0.1, 1.0, rows.shape)
    factors = 0.5 * rng.normal(size=(n, d, d))
    return {
        "counts": {"values": rows, "counts": rng.integers(1, 9, n).astype(float)},
        "20 patterns of missing entries": {"values": with_holes(rows, 20, rng)},
        "errors, standard deviations": {"values": rows, "noise": sds},
        "errors, covariances": {"values": rows, "noise": factors @ np.swapaxes(factors, 1, 2)},
        "errors and 20 patterns": {"values": with_holes(rows, 20, rng), "noise": sds},
    }


def by_scipy(given: dict[str, np.ndarray], log_weights, means, choleskys) -> float:
    """Log-likelihood of the first rows, one after the other."""
    total, values = 0.0, given["values"][:CHECKED]
    for i, row in enumerate(values):
        o = np.flatnonzero(~np.isnan(row))
        if not o.size:
            continue
        extra = np.zeros((row.size, row.size))
        if "noise" in given:
            own = given["noise"][i]
            extra = np.diag(np.square(own)) if own.ndim == 1 else own
        terms = [
            w + multivariate_normal(m[o], (L @ L.T + extra)[np.ix_(o, o)]).logpdf(row[o])
            for w, m, L in zip(log_weights, means, choleskys, strict=True)
        ]
        total += logsumexp(terms) * (given["counts"][i] if "counts" in given else 1.0)
    return total


def passes(quick: bool) -> list[list[str]]:
    table = []
    for n, d, K in SIZES:
        n = n // QUICK_DIVISOR if quick else n
        rng = np.random.default_rng(d)
        rows, at = rng.normal(size=(n, d)), mixture(K, d, rng)
        log_weights, means, choleskys = at
        factors = inverse_lower(choleskys)
        x = np.ascontiguousarray(rows.T)
        # Called once before it is timed: the first call compiles.
        expected_statistics(x, log_weights, means, factors)
        plain, _ = median_seconds(lambda: expected_statistics(x, log_weights, means, factors), most=9)  # noqa: B023
        for name, given in kinds(rows, rng).items():
            first = make_rows(**{key: value[:CHECKED] for key, value in given.items()})
            found = first.statistics(log_weights, means, factors).log_normaliser
            np.testing.assert_allclose(found, by_scipy(given, *at), rtol=1e-9)
            table_of_rows = make_rows(**given)
            table_of_rows.statistics(log_weights, means, factors)
            one, _ = median_seconds(lambda: table_of_rows.statistics(log_weights, means, factors), most=9)  # noqa: B023
            table.append([f"{n}", f"{d}", f"{K}", name, milliseconds(plain), milliseconds(one), f"{one / plain:.1f}"])
    return table


def deconvolution(quick: bool) -> list[list[str]] | None:
    try:
        from astroML.density_estimation import XDGMM
    except ImportError:
        return None
    table = []
    for n in (1_500, 20_000):
        n = n // QUICK_DIVISOR if quick else n
        rng = np.random.default_rng(0)
        means = np.array([[0.0, 0.0], [3.0, 1.0], [-2.0, 4.0]])
        labels = rng.choice(3, n, p=[0.5, 0.3, 0.2])
        factors = 0.5 * rng.normal(size=(n, 2, 2))
        noise = factors @ np.swapaxes(factors, 1, 2) + 0.05 * np.eye(2)
        rows = means[labels] + rng.normal(size=(n, 2)) * [0.9, 0.6]
        rows += (np.linalg.cholesky(noise) @ rng.normal(size=(n, 2, 1)))[..., 0]
        data, flat = bg.as_data(rows, noise=noise), bg.Flat()
        model = bg.GaussianMixture(3, weights=flat, means=flat, covariances=flat)
        fits = {}

        def ours() -> None:
            engine = bg.EM(n_init=1, n_polish=1)
            fits["ours"] = bg.fit(model, data, engine=engine, random_seed=0, progressbar=False)  # noqa: B023

        def theirs() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fits["theirs"] = XDGMM(3, max_iter=2000, tol=1e-8, random_state=0).fit(rows, noise)  # noqa: B023

        ours()
        one, _ = median_seconds(ours, most=3)
        two, _ = median_seconds(theirs, most=1)
        ends = fits["ours"]["point_estimate"].attrs["log_likelihood"], fits["theirs"].logL(rows, noise)
        table.append(
            [f"{n}", f"{one:.3g}", f"{ends[0]:.4f}", f"{two:.3g}", f"{float(ends[1]):.4f}", f"{two / one:.0f}"]
        )
    return table


def main() -> None:
    quick = "--quick" in sys.argv
    print(versions())
    header = ("rows", "d", "K", "kind", "plain pass, ms", "this pass, ms", "times")
    print_table("One pass", header, passes(quick))
    peers = deconvolution(quick)
    if peers is None:
        print("\nastroML is not installed: no peer for deconvolution.")
        return
    header = ("rows", "EM, one start, s", "log-likelihood", "XDGMM, s", "log-likelihood", "times")
    print_table("Extreme deconvolution, d = 2, K = 3", header, peers)


if __name__ == "__main__":
    main()
