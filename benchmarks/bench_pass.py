"""One E+M pass against scikit-learn's and against the limit of the machine, on one thread.

    python benchmarks/bench_pass.py [--quick]

The limit is the time of the pass as two matrix products at the speed of a large one, plus one exp an element:
4 N K D / (dgemm rate) + N K (time of one exp element, the faster of numpy's and the compiled one), D = (d+1)(d+2)/2.
"""

from __future__ import annotations

import argparse
import math

from _common import milliseconds, print_table, seconds, show_threads  # pins the threads, so before numpy

# isort: split
import numpy as np
from numba import njit
from sklearn.mixture import GaussianMixture

from bayesgmm.numerics import _kernels
from bayesgmm.numerics.passes import expected_statistics

SIZES = (
    (1_000_000, 1, 3),
    (1_000_000, 2, 5),
    (300_000, 4, 8),
    (300_000, 8, 10),
    (100_000, 16, 10),
    (100_000, 32, 20),
    (50_000, 64, 10),
)
QUICK_DIVISOR = 10
DGEMM_ORDER = 1024
EXP_ELEMENTS = 65_536  # half a megabyte: stays in the second cache, as the blocks of the pass do
BLOCK = 512
REPEATS = 7
SAME = 1e-10


_EXPONENTIAL = _kernels._exponential


@njit
def _exp_in_blocks(R, no_peak):
    for k in range(R.shape[0]):
        _EXPONENTIAL(R, k, no_peak.size, no_peak)


def problem(n: int, d: int, K: int, seed: int):
    """Rows from a mixture with correlated components, and parameters a little off the true ones."""
    rng = np.random.default_rng(seed)
    means = 2.0 * rng.normal(size=(K, d))
    mixing = np.eye(d) + 0.3 * rng.normal(size=(K, d, d)) / math.sqrt(d)
    labels = rng.integers(K, size=n)
    rows = rng.normal(size=(n, d))
    for k in range(K):
        rows[labels == k] = rows[labels == k] @ mixing[k].T + means[k]
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    log_weights = np.log(rng.dirichlet(np.full(K, 5.0)))
    centers = rows[rng.choice(n, K, replace=False)]
    covariances = 0.5 * (mixing @ np.swapaxes(mixing, 1, 2) / 4 + np.eye(d))
    precision_choleskys = np.linalg.inv(np.linalg.cholesky(covariances))
    return rows, log_weights, centers, covariances, precision_choleskys


def peer(log_weights, means, covariances, precision_choleskys) -> GaussianMixture:
    K = len(log_weights)
    gm = GaussianMixture(K, covariance_type="full", reg_covar=0)
    gm.weights_, gm.means_, gm.covariances_ = np.exp(log_weights), means.copy(), covariances.copy()
    gm.precisions_cholesky_ = np.swapaxes(precision_choleskys, 1, 2).copy()
    return gm


def check_same(gm: GaussianMixture, rows, statistics) -> None:
    """Stop unless one pass of both gives the same log-likelihood and the same M-step."""
    n = len(rows)
    mean_log_likelihood, log_resp = gm._e_step(rows)
    theirs, ours = n * mean_log_likelihood, statistics.log_normaliser
    if abs(ours - theirs) > SAME * abs(theirs):
        raise SystemExit(f"log-likelihoods differ: {ours!r} and {theirs!r}")
    centers = gm.means_.copy()
    gm._m_step(rows, log_resp)
    counts = statistics.counts
    np.testing.assert_allclose(counts / n, gm.weights_, rtol=1e-8)
    shift = statistics.first / counts[:, None]
    np.testing.assert_allclose(centers + shift, gm.means_, rtol=1e-8, atol=1e-10)
    second = statistics.second / counts[:, None, None] - np.einsum("ki,kj->kij", shift, shift)
    np.testing.assert_allclose(second, gm.covariances_, rtol=1e-7, atol=1e-9)


def measure(n: int, d: int, K: int, seed: int) -> list[str]:
    rows, log_weights, means, covariances, precision_choleskys = problem(n, d, K, seed)
    x = np.ascontiguousarray(rows.T)

    def ours():
        return expected_statistics(x, log_weights, means, precision_choleskys, n_threads=1)

    check_same(peer(log_weights, means, covariances, precision_choleskys), rows, ours())

    def theirs():
        # Every repeat starts at the same parameters, as ours does.
        gm = peer(log_weights, means, covariances, precision_choleskys)
        _, log_resp = gm._e_step(rows)
        gm._m_step(rows, log_resp)

    rng = np.random.default_rng(1)
    A, B = rng.normal(size=(2, DGEMM_ORDER, DGEMM_ORDER))
    C = np.empty_like(A)
    exponents = rng.uniform(-30.0, 0.0, (EXP_ELEMENTS // BLOCK, BLOCK))
    no_peak = np.zeros(BLOCK)

    def one_exp(apply) -> float:
        copies = [exponents.copy() for _ in range(5)]  # in place, so each copy is used once
        return min(seconds(lambda x=x: apply(x)) for x in copies) / EXP_ELEMENTS

    np.matmul(A, B, out=C)
    _exp_in_blocks(exponents.copy(), no_peak)
    theirs()
    names = ("peer", "ours", "dgemm", "numpy exp", "compiled exp")
    times: dict[str, list[float]] = {name: [] for name in names}
    # Taken in turn, so that a neighbour on the machine disturbs all of them alike.
    for _ in range(REPEATS):
        times["peer"].append(seconds(theirs))
        times["ours"].append(seconds(ours))
        times["dgemm"].append(seconds(lambda: np.matmul(A, B, out=C)))
        times["numpy exp"].append(one_exp(lambda x: np.exp(x, out=x)))
        times["compiled exp"].append(one_exp(lambda x: _exp_in_blocks(x, no_peak)))
    peer_s, ours_s, dgemm_s, numpy_exp, compiled_exp = (float(np.median(times[name])) for name in names)

    D = (d + 1) * (d + 2) // 2
    rate = 2.0 * DGEMM_ORDER**3 / dgemm_s
    limit = 4.0 * n * K * D / rate + n * K * min(numpy_exp, compiled_exp)
    return [
        f"{n:.0e}, {d}, {K}".replace("e+0", "e"),
        milliseconds(peer_s),
        milliseconds(ours_s),
        f"{peer_s / ours_s:.1f}",
        milliseconds(limit),
        f"{ours_s / limit:.2f}",
        f"{rate / 1e9:.0f}",
        f"{1e9 * numpy_exp:.2f}",
        f"{1e9 * compiled_exp:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_DIVISOR} times fewer rows")
    divisor = QUICK_DIVISOR if parser.parse_args().quick else 1
    table = [measure(n // divisor, d, K, seed) for seed, (n, d, K) in enumerate(SIZES)]
    show_threads()
    print_table(
        f"One E+M pass, full covariances, one thread, medians of {REPEATS} taken in turn",
        (
            "N, d, K",
            "scikit-learn ms",
            "bayesgmm ms",
            "times faster",
            "limit ms",
            "bayesgmm / limit",
            "dgemm GFLOP/s",
            "numpy exp ns",
            "compiled exp ns",
        ),
        table,
    )


if __name__ == "__main__":
    main()
