"""Draws of several Markov chains, whatever sampler made them: where chains start, which are kept, how they went."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import FitError
from bayesgmm._status import Status
from bayesgmm.engines._draws import ChainReport, Draws, Sampling
from bayesgmm.engines._modes import find_modes
from bayesgmm.engines._optima import WORTH_A_LOOK
from bayesgmm.engines.base import Array, Parameters, Problem, StartReport
from bayesgmm.numerics.densities import log_densities
from bayesgmm.numerics.passes import values_of_many

# Log densities at rows of the data that differ by less belong to the same optimum.
_SAME_DENSITY = 0.05
# A mode whose mean log density is lower by less may hold a share of the posterior that matters.
_NEARLY_EQUAL = 5.0
# Points of the data at which the log density is followed: what labels cannot change.
_POINTS = 10
# An interrupted run that got less far has nothing to show.
_FEWEST_DRAWS = 10


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Draws of one chain in standard units."""

    chain: int
    points: Parameters
    statistics: dict[str, NDArray[Any]]
    start: int = -1
    counts: Array | None = None  # rows of each component by the labels drawn, where labels are drawn

    def __len__(self) -> int:
        return len(self.points.means)

    def first(self, n: int) -> Sample:
        """The first n draws."""
        return self.taken(slice(n))

    def taken(self, which: slice) -> Sample:
        """Some of the draws."""
        statistics = {name: value[which] for name, value in self.statistics.items()}
        counts = None if self.counts is None else self.counts[which]
        return replace(self, points=self.points.taken(which), statistics=statistics, counts=counts)


def end_of(report: StartReport) -> Parameters:
    """Where a start ended."""
    assert report.end is not None
    return report.end


def origins(problem: Problem, reports: list[StartReport], best: int, n_chains: int) -> list[int]:
    """Number of the optimum where each chain starts: every other chain at a further one, if there are some.

    Identical starts would hide that there are several modes. Optima are further ones if their densities differ, so
    that copies with other labels do not count.
    """
    points = points_along(problem)

    def densities(report: StartReport) -> Array:
        at = end_of(report)
        return log_densities(points, problem.pooled(at.log_weights)[None], at.means[None], at.choleskys[None])[0]

    found, further = [densities(reports[best])], []
    order = sorted(range(len(reports)), key=lambda i: -np.nan_to_num(reports[i].end_value, nan=-np.inf))
    for i in order:
        gap = reports[best].end_value - reports[i].end_value
        # A start that was not followed to the very end is near enough for a chain to begin there.
        proper = reports[i].status.usable or reports[i].status is Status.SCREENED_OUT
        if proper and reports[i].end is not None and gap < WORTH_A_LOOK:
            here = densities(reports[i])
            if all(np.abs(here - other).max() > _SAME_DENSITY for other in found):
                found.append(here)
                further.append(i)
    if not further:
        return [best] * n_chains
    return [best if i % 2 == 0 else further[(i // 2) % len(further)] for i in range(n_chains)]


def trimmed(samples: list[Sample]) -> list[Sample]:
    """Chains of equal length: as many draws as possible where an interruption left them unequal."""
    lengths = sorted((len(sample) for sample in samples), reverse=True)
    most = max(range(len(lengths)), key=lambda i: (i + 1) * lengths[i], default=None)
    if most is None or lengths[most] < _FEWEST_DRAWS:
        raise FitError(
            "The sampler was interrupted before a chain had drawn anything after tuning, so nothing was kept. Let it "
            "run longer, or give fewer draws."
        )
    return [sample.first(lengths[most]) for sample in samples if len(sample) >= lengths[most]]


def sorted_out(problem: Problem, samples: list[Sample]) -> tuple[Sampling, list[Sample], bool]:
    """Reports of all chains, the chains to keep, and whether there are several modes of similar density."""
    points = points_along(problem)
    lp = np.stack([sample.statistics["lp"] for sample in samples])
    invariants = np.stack(
        [
            log_densities(points, problem.pooled(at.log_weights), at.means, at.choleskys)
            for at in (sample.points for sample in samples)
        ]
    )
    modes = find_modes(lp, invariants)
    kept, left_out = np.flatnonzero(~modes.lower), np.flatnonzero(modes.lower)
    reports = [
        ChainReport(
            start=sample.start,
            mode=int(modes.mode[i]),
            mean_lp=float(lp[i].mean()),
            gap=float(modes.gap[i]),
            gap_error=float(modes.noise[i]),
            kept=not modes.lower[i],
        )
        for i, sample in enumerate(samples)
    ]
    sampling = Sampling(
        chains=reports,
        statistics=_stacked([samples[i] for i in kept]),
        invariants=invariants[kept],
        left_out=as_draws(problem, [samples[i] for i in left_out]) if left_out.size else None,
        left_out_statistics=_stacked([samples[i] for i in left_out]),
    )
    return sampling, [samples[i] for i in kept], bool(((modes.mode > 0) & (modes.gap < _NEARLY_EQUAL)).any())


def points_along(problem: Problem) -> Array:
    """Rows of the data from one end of their first principal axis to the other, (M, d)."""
    _, vectors = np.linalg.eigh(problem.data_cholesky @ problem.data_cholesky.T)
    order = np.argsort(vectors[:, -1] @ problem.x, kind="stable")
    at = np.linspace(0, order.size - 1, min(_POINTS, order.size)).astype(int)
    return problem.x[:, order[at]].T


def _stacked(samples: list[Sample]) -> dict[str, NDArray[Any]]:
    names = samples[0].statistics if samples else {}
    return {name: np.stack([sample.statistics[name] for sample in samples]) for name in names}


def as_draws(problem: Problem, samples: list[Sample]) -> Draws:
    """Draws of all chains, in the data's units."""
    points = Parameters.joined([sample.points for sample in samples])
    at = problem.units.to_data(points)
    return Draws(
        weights=np.exp(at.log_weights),
        means=at.means,
        covariances=at.covariances,
        log_joint=np.concatenate([sample.statistics["lp"] for sample in samples]),
        expected_counts=_counts(problem, samples, points),
        noise_scale=np.exp(points.log_noise) if problem.free_noise else None,
    )


def _counts(problem: Problem, samples: list[Sample], points: Parameters) -> Array:
    drawn = [sample.counts for sample in samples if sample.counts is not None]
    if len(drawn) == len(samples):
        return np.concatenate(drawn)
    x, factors = problem.rows.whole, points.precision_choleskys
    if x is not None:
        return values_of_many(x, (points.log_weights, points.means, factors), n_threads=problem.n_threads)[1]
    return np.array([problem.statistics(points.taken(s)).counts for s in range(len(points.means))])
