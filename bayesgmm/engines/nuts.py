"""The posterior by the No-U-Turn Sampler, from the optima that the search found."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.engines._arviz import load_meanwhile
from bayesgmm.engines._chains import STATISTICS, run_chains
from bayesgmm.engines._native_density import NativeDensity, check_native
from bayesgmm.engines._objective import at_mode
from bayesgmm.engines._optima import Search
from bayesgmm.engines._options import check_positive, check_proper, check_whole
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._python_density import PythonDensity
from bayesgmm.engines._samples import Sample, as_draws, end_of, ended, origins, sorted_out, trimmed
from bayesgmm.engines.base import Engine, Outcome, Parameters, Problem
from bayesgmm.model import FilledMixture

# Chains start this wide round the mode, in units of its curvature.
_SPREAD = 0.5
_SPREAD_ELSEWHERE = 0.01


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
        if native:
            load_meanwhile()
        if wait_for_density:
            wait_for_density()
        begun = origins(problem, found.reports, found.best, self.chains)
        seeds = [int(seed) for seed in rng.integers(2**31, size=self.chains)]
        points = [end_of(found.reports[origin]) for origin in begun]
        sample = self._by_nutpie if native else self._by_pymc
        samples, interrupted = sample(problem, end_of(found.reports[found.best]), points, seeds, rng, progress)
        samples = trimmed([replace(s, start=begun[s.chain]) for s in samples])
        sampling, kept, several = sorted_out(problem, samples)
        mode = found.reports[found.best]
        starts = {row.start for row in sampling.chains if row.kept}
        if found.best not in starts:  # chains left it for a mode that holds more of the posterior
            mode = found.reports[min(starts)]
        objective, shift = at_mode(problem, end_of(mode), mode.end_value, True)
        return Outcome(
            point=problem.units.to_data(end_of(mode)),
            status=ended(sampling, several, interrupted),
            starts=[entry.in_data_units(problem, shift) for entry in found.reports],
            best_start=found.best,
            objective=objective,
            draws=as_draws(problem, kept),
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
    ) -> tuple[list[Sample], bool]:
        density = (PythonDensity if _in_python(problem) else NativeDensity)(problem, mode)
        starts = []
        for point in points:
            # The curvature at further optima is another, and they are to be left only if the posterior says so.
            width = _SPREAD if point is mode else _SPREAD_ELSEWHERE
            starts.append(density.coordinates_of(point) + width * rng.standard_normal(density.size))
        run = run_chains(
            density,
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
                samples.append(Sample(chain=i, points=density.parameters(chain.v), statistics=statistics))
        return samples, run.interrupted

    def _by_pymc(
        self,
        problem: Problem,
        mode: Parameters,
        points: list[Parameters],
        seeds: list[int],
        rng: np.random.Generator,
        progress: Progress,
    ) -> tuple[list[Sample], bool]:
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
            samples.append(Sample(chain=chain, points=problem.units.to_standard(at), statistics=statistics))
        return samples, any(len(sample) < self.draws for sample in samples)


def _in_python(problem: Problem) -> bool:
    """Whether the density is computed in Python."""
    beyond = problem.n_groups is not None or problem.free_noise
    parts = problem.model.weights, problem.model.means, problem.model.covariances
    return beyond or any(part.sampled_in_python for part in parts)
