"""The exact evidence of a conjugate mixture of very few rows, as a sum over all assignments."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bayesgmm._errors import UnsupportedError
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._q import Q, prior_of, updated
from bayesgmm.engines.base import Array, Order, Problem
from bayesgmm.model import ConjugateMeans, FilledMixture, FixedCovariances, FixedMeans, NormalMeans
from bayesgmm.numerics.linalg import log_det
from bayesgmm.numerics.passes import Statistics

# Assignments that can be gone through in about a minute.
MOST_ASSIGNMENTS = 300_000


def log_evidence_by_enumeration(problem: Problem, progress: Progress) -> float:
    """Log evidence in standard units.

    Given an assignment the posterior of a conjugate model is known, so that the bound of variational Bayes is the log
    of the joint probability of rows and assignment.
    """
    model, K, n = problem.model, problem.K, problem.n_obs
    x = problem.rows.whole
    if x is None:
        raise UnsupportedError(
            "Enumeration", "missing values, counts, errors, bins, groups or known labels", "Use Bridge."
        )
    if not given_labels_exact(model):
        raise UnsupportedError(
            "Enumeration",
            f"means={model.means}",
            "Given an assignment their posterior has no closed form. Use ConjugateMeans, or Bridge.",
        )
    exchangeable = len(set(model.keys())) == 1
    number = _n_partitions(n, K) if exchangeable else K**n
    if number > MOST_ASSIGNMENTS:
        raise UnsupportedError(
            "Enumeration",
            f"{n} rows and {K} components",
            f"There are {K}^{n} assignments. Those that differ by more than labels are above the {MOST_ASSIGNMENTS} "
            "that can be gone through. Use Bridge.",
        )
    prior = prior_of(model, problem.n_features)
    total = -np.inf
    # Copies that differ by labels have the same probability if all components do.
    assignments = _partitions(n, K) if exchangeable else _assignments(n, K)
    for done, (labels, used) in enumerate(assignments, start=1):
        copies = math.lgamma(K + 1) - math.lgamma(K - used + 1) if exchangeable else 0.0
        total = float(np.logaddexp(total, log_joint(prior, x, np.array(labels), K) + copies))
        progress.step("assignments", done, number)
    return total


def given_labels_exact(model: FilledMixture) -> bool:
    """Whether the probability of the rows given their labels has a closed form, if weights and covariances have one."""
    known = isinstance(model.means, NormalMeans) and isinstance(model.covariances, FixedCovariances)
    return known or isinstance(model.means, (ConjugateMeans, FixedMeans))


def log_joint(prior: Q, x: Array, labels: Order, K: int) -> float:
    """Log p(x, z), of rows x (d, N) and labels z."""
    d = len(x)
    counts = np.bincount(labels, minlength=K).astype(float)
    sums = np.stack([np.bincount(labels, row, K) for row in x], axis=1)
    second = np.stack([x[:, labels == k] @ x[:, labels == k].T for k in range(K)])
    statistics = Statistics(log_normaliser=np.nan, counts=counts, first=sums, second=second)
    q = updated(prior, statistics, np.zeros((K, d)))
    c, means, factors = q.pass_arguments()
    y = np.einsum("nij,jn->in", factors[labels], x) - (factors @ means[..., None])[..., 0][labels].T
    normal = 0.5 * log_det(factors)[labels] - 0.5 * np.square(y).sum(axis=0) - 0.5 * d * np.log(2.0 * np.pi)
    return float((c[labels] + normal).sum()) - q.divergence()


def _n_partitions(n: int, K: int) -> int:
    """How many assignments there are up to the names of the components (sums of Stirling numbers)."""
    by_used = [1, *[0] * K]
    for _ in range(n):
        by_used = [0, *[by_used[j - 1] + j * by_used[j] for j in range(1, K + 1)]]
    return sum(by_used)


def _partitions(n: int, K: int) -> Iterator[tuple[list[int], int]]:
    """Assignments up to the names of the components, with the number of components used."""

    def extended(labels: list[int], used: int) -> Iterator[tuple[list[int], int]]:
        if len(labels) == n:
            yield labels, used
            return
        for k in range(min(used + 1, K)):
            yield from extended([*labels, k], max(used, k + 1))

    return extended([], 0)


def _assignments(n: int, K: int) -> Iterator[tuple[list[int], int]]:
    for code in range(K**n):
        yield [code // K**i % K for i in range(n)], 0
