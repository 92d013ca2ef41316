"""The posterior by the No-U-Turn Sampler, from the optima that the search found."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import FitError, InputError, UnsupportedError
from bayesgmm._status import Status
from bayesgmm.engines._chains import STATISTICS, run_chains
from bayesgmm.engines._draws import ChainReport, Draws, Sampling
from bayesgmm.engines._modes import find_modes, worst_r_hat
from bayesgmm.engines._native_density import NativeDensity, check_native
from bayesgmm.engines._objective import at_mode
from bayesgmm.engines._optima import WORTH_A_LOOK, Search
from bayesgmm.engines._options import check_positive, check_proper, check_whole
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._python_density import PythonDensity
from bayesgmm.engines.base import Array, Engine, Outcome, Parameters, Problem, StartReport
from bayesgmm.model import FilledMixture
from bayesgmm.numerics.densities import log_densities
from bayesgmm.numerics.passes import values_of_many

# Log densities at rows of the data that differ by less belong to the same optimum.
_SAME_DENSITY = 0.05
# Chains start this wide round the mode, in units of its curvature.
_SPREAD = 0.5
_SPREAD_ELSEWHERE = 0.01
# A mode whose mean log density is lower by less may hold a share of the posterior that matters.
_NEARLY_EQUAL = 5.0
# Points of the data at which the log density is followed: what labels cannot change.
_POINTS = 10
# An interrupted run that got less far has nothing to show.
_FEWEST_DRAWS = 10
# Of few draws R-hat is noisy: the largest of a dozen exceeds 1 by about 4 / draws where nothing is wrong.
_MOST_R_HAT = 1.01
_NOISE_OF_R_HAT = 5.0


@dataclass(frozen=True, kw_only=True)
class NUTS(Engine):
    """The posterior by the No-U-Turn Sampler (Hoffman & Gelman 2014).

    The density is that of unconstrained coordinates in which the mode has unit curvature in every direction, so that
    little tuning is needed. Half of the chains start round the best optimum, the others at further ones within
    10 nats, if there are some. Chains whose mean log density is lower than that of the others by more than sampling
    noise explains are left out of ``posterior`` and reported.

    Parameters
    ----------
    draws : int
        Draws of each chain.
    tune : int
        Draws before them, in which step size and scales are tuned; they are thrown away.
    chains : int
    cores : int, optional
        Chains that run at the same time; all processors if left out.
    target_accept : float
        Between 0 and 1. Raise it where chains diverge.
    sampler : {"native", "pymc"}
        "native" samples a compiled function by nutpie and starts within seconds. "pymc" samples `to_pymc` by PyMC's
        own sampler, after PyTensor has compiled it; parts without native form use it whatever is asked for.
        `EvenlySpacedMeans`, `SaturatingMeans`, `ConstantCV`, `LinearVariance`, `HardyWeinberg`, `PoissonWeights`,
        `PoissonProductWeights` and `WarpedMeans` are sampled by nutpie from a density computed in Python.
    n_init : int
        Starts of the search for optima, as in `EM`.
    n_polish : int
        How many of them are followed to the end.
    """

    draws: int = 1000
    tune: int = 300
    chains: int = 4
    cores: int | None = None
    target_accept: float = 0.8
    sampler: Literal["native", "pymc"] = "native"
    n_init: int = 32
    n_polish: int = 5

    name: ClassVar[str] = "NUTS"
    objective_name: ClassVar[str] = "log_posterior"

    def __post_init__(self) -> None:
        for option, least in (("draws", 4), ("tune", 1), ("chains", 1), ("n_init", 1), ("n_polish", 1)):
            check_whole(self, option, least=least)
        if self.cores is not None:
            check_whole(self, "cores", least=1)
        check_positive(self, "target_accept")
        if self.target_accept >= 1:
            raise InputError("NUTS.target_accept", f"got {self.target_accept!r}", "Give a number between 0 and 1")
        if self.sampler not in ("native", "pymc"):
            raise InputError("NUTS.sampler", f"got {self.sampler!r}", "Give 'native' or 'pymc'")

    def check(self, model: FilledMixture, n_features: int) -> None:
        check_proper("NUTS", model, ", or use EM for maximum likelihood.")
        if self.sampler == "pymc" and model.weights.n_groups is not None:
            what = "as_data(groups=...), weights that differ between groups"
            raise UnsupportedError("NUTS(sampler='pymc')", what, "Use NUTS(sampler='native').")

    def run(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> Outcome:
        native = self.sampler == "native"
        reason = "the default" if native else "asked for by name"
        compiled = native and not _in_python(problem)
        if compiled:
            try:
                check_native(problem)
            except UnsupportedError as error:
                native, compiled, reason = False, False, str(error)
        elif native:
            reason = "the default; the density is computed in Python: the kernel has no links, groups or unknown errors"
        wait_for_density = NativeDensity.compile_ahead() if compiled else None
        search = Search(n_init=self.n_init, n_polish=self.n_polish, unconstrained=True, supported=False)
        found = search.run(problem, rng, progress)
        if wait_for_density:
            wait_for_density()
        origins = _origins(problem, found.reports, found.best, self.chains)
        seeds = [int(seed) for seed in rng.integers(2**31, size=self.chains)]
        points = [_end(found.reports[origin]) for origin in origins]
        sample = self._by_nutpie if native else self._by_pymc
        samples, interrupted = sample(problem, _end(found.reports[found.best]), points, seeds, rng, progress)
        samples = _trimmed([replace(s, start=origins[s.chain]) for s in samples])
        sampling, kept, several = _sorted_out(problem, samples)
        mode = found.reports[found.best]
        starts = {row.start for row in sampling.chains if row.kept}
        if found.best not in starts:  # chains left it for a mode that holds more of the posterior
            mode = found.reports[min(starts)]
        objective, shift = at_mode(problem, _end(mode), mode.end_value, True)
        return Outcome(
            point=problem.units.to_data(_end(mode)),
            status=_status(sampling, several, interrupted),
            starts=[entry.in_data_units(problem, shift) for entry in found.reports],
            best_start=found.best,
            objective=objective,
            draws=_draws(problem, kept),
            sampling=sampling,
            notes={
                "density": "unconstrained",
                "screening_passes": found.screening_passes,
                "search_rows": found.search_rows,
                "n_chains": len(kept),
                "predictive_family": "draws",
                "sampler": "native" if native else "pymc",
                "sampler_reason": reason,
            },
        )

    def _by_nutpie(
        self,
        problem: Problem,
        mode: Parameters,
        points: list[Parameters],
        seeds: list[int],
        rng: np.random.Generator,
        progress: Progress,
    ) -> tuple[list[_Sample], bool]:
        density = (PythonDensity if _in_python(problem) else NativeDensity)(problem, mode)
        starts = []
        for point in points:
            # The curvature at further optima is another, and they are to be left only if the posterior says so.
            width = _SPREAD if point is mode else _SPREAD_ELSEWHERE
            starts.append(density.coordinates_of(point) + width * rng.standard_normal(density.size))
        run = run_chains(
            density.function,
            starts,
            seeds,
            draws=self.draws,
            tune=self.tune,
            target_accept=self.target_accept,
            cores=self.cores or os.cpu_count() or 1,
            progress=progress,
        )
        samples = []
        for i, chain in enumerate(run.chains):
            if chain is not None:
                statistics = {**chain.statistics, "lp": chain.statistics["lp"] + density.constant}
                samples.append(_Sample(chain=i, points=density.parameters(chain.v), statistics=statistics))
        return samples, run.interrupted

    def _by_pymc(
        self,
        problem: Problem,
        mode: Parameters,
        points: list[Parameters],
        seeds: list[int],
        rng: np.random.Generator,
        progress: Progress,
    ) -> tuple[list[_Sample], bool]:
        from bayesgmm.engines._pymc_model import open_model, sample_model

        if problem.rows.whole is None:
            what = "missing values, counts, errors or bins"
            raise UnsupportedError("NUTS(sampler='pymc')", what, "Use sampler='native' with parts that have one.")
        values = problem.units.center + problem.units.scale * problem.x.T
        features = tuple(f"feature {i}" for i in range(problem.n_features))
        in_data_units = {id(point): problem.units.to_data(point) for point in points}
        trace = sample_model(
            open_model(problem.declared, values, features),
            [in_data_units[id(point)] for point in points],
            seeds,
            draws=self.draws,
            tune=self.tune,
            target_accept=self.target_accept,
            cores=min(self.cores or os.cpu_count() or 1, self.chains),
            progressbar=progress.enabled,
        )
        posterior, stats = trace["posterior"], trace["sample_stats"]
        samples = []
        for chain in range(posterior.sizes["chain"]):
            weights, means, covariances = (
                posterior[name].to_numpy()[chain] for name in ("weights", "means", "covariances")
            )
            at = Parameters(
                log_weights=np.log(np.maximum(weights, np.finfo(float).tiny)),
                means=means,
                choleskys=np.linalg.cholesky(covariances),
            )
            statistics = {name: stats[name].to_numpy()[chain] for name in STATISTICS if name in stats}
            samples.append(_Sample(chain=chain, points=problem.units.to_standard(at), statistics=statistics))
        return samples, any(len(sample) < self.draws for sample in samples)


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """Draws of one chain in standard units."""

    chain: int
    points: Parameters
    statistics: dict[str, NDArray[Any]]
    start: int = -1

    def __len__(self) -> int:
        return len(self.points.means)

    def first(self, n: int) -> _Sample:
        points = self.points.taken(slice(n))
        return replace(self, points=points, statistics={name: value[:n] for name, value in self.statistics.items()})


def _in_python(problem: Problem) -> bool:
    """Whether the density is computed in Python."""
    beyond = problem.n_groups is not None or problem.free_noise
    parts = problem.model.weights, problem.model.means, problem.model.covariances
    return beyond or any(part.sampled_in_python for part in parts)


def _end(report: StartReport) -> Parameters:
    assert report.end is not None
    return report.end


def _origins(problem: Problem, reports: list[StartReport], best: int, n_chains: int) -> list[int]:
    """Number of the optimum where each chain starts: every other chain at a further one, if there are some.

    Identical starts would hide that there are several modes. Optima are further ones if their densities differ, so
    that copies with other labels do not count.
    """
    points = _points(problem)

    def densities(report: StartReport) -> Array:
        at = _end(report)
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


def _trimmed(samples: list[_Sample]) -> list[_Sample]:
    """Chains of equal length: as many draws as possible where an interruption left them unequal."""
    lengths = sorted((len(sample) for sample in samples), reverse=True)
    most = max(range(len(lengths)), key=lambda i: (i + 1) * lengths[i], default=None)
    if most is None or lengths[most] < _FEWEST_DRAWS:
        raise FitError(
            "The sampler was interrupted before a chain had drawn anything after tuning, so nothing was kept. Let it "
            "run longer, or give fewer draws."
        )
    return [sample.first(lengths[most]) for sample in samples if len(sample) >= lengths[most]]


def _sorted_out(problem: Problem, samples: list[_Sample]) -> tuple[Sampling, list[_Sample], bool]:
    """Reports of all chains, the chains to keep, and whether there are several modes of similar density."""
    points = _points(problem)
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
        left_out=_draws(problem, [samples[i] for i in left_out]) if left_out.size else None,
        left_out_statistics=_stacked([samples[i] for i in left_out]),
    )
    return sampling, [samples[i] for i in kept], bool(((modes.mode > 0) & (modes.gap < _NEARLY_EQUAL)).any())


def _points(problem: Problem) -> Array:
    """Rows of the data from one end of their first principal axis to the other, (M, d)."""
    _, vectors = np.linalg.eigh(problem.data_cholesky @ problem.data_cholesky.T)
    order = np.argsort(vectors[:, -1] @ problem.x, kind="stable")
    at = np.linspace(0, order.size - 1, min(_POINTS, order.size)).astype(int)
    return problem.x[:, order[at]].T


def _stacked(samples: list[_Sample]) -> dict[str, NDArray[Any]]:
    names = samples[0].statistics if samples else {}
    return {name: np.stack([sample.statistics[name] for sample in samples]) for name in names}


def _draws(problem: Problem, samples: list[_Sample]) -> Draws:
    points = Parameters.joined([sample.points for sample in samples])
    at = problem.units.to_data(points)
    return Draws(
        weights=np.exp(at.log_weights),
        means=at.means,
        covariances=at.covariances,
        log_joint=np.concatenate([sample.statistics["lp"] for sample in samples]),
        expected_counts=_expected_counts(problem, points),
        noise_scale=np.exp(points.log_noise) if problem.free_noise else None,
    )


def _expected_counts(problem: Problem, points: Parameters) -> Array:
    x, factors = problem.rows.whole, points.precision_choleskys
    if x is not None:
        return values_of_many(x, (points.log_weights, points.means, factors), n_threads=problem.n_threads)[1]
    return np.array([problem.statistics(points.taken(s)).counts for s in range(len(points.means))])


def _status(sampling: Sampling, several_modes: bool, interrupted: bool) -> Status:
    if interrupted:
        return Status.INTERRUPTED
    if several_modes:
        return Status.MULTIMODAL
    worst = worst_r_hat(np.concatenate([sampling.statistics["lp"][..., None], sampling.invariants], axis=2))
    most = max(_MOST_R_HAT, 1.0 + _NOISE_OF_R_HAT / sampling.invariants.shape[1])
    return Status.SAMPLED if worst <= most else Status.NOT_MIXED
