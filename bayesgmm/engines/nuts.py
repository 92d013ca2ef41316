"""The posterior by the No-U-Turn Sampler, from the optima that the search found."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from bayesgmm._arguments import as_choice
from bayesgmm._errors import FitError, InputError, UnsupportedError
from bayesgmm.engines._arviz import load_meanwhile
from bayesgmm.engines._chains import STATISTICS, Chain, run_chains
from bayesgmm.engines._cost import evaluation_seconds, nuts_seconds
from bayesgmm.engines._draws import Sampling
from bayesgmm.engines._hills import hills
from bayesgmm.engines._mixing import how_ended, unmixed
from bayesgmm.engines._native_density import NativeDensity, why_not_native
from bayesgmm.engines._objective import at_mode
from bayesgmm.engines._optima import Search
from bayesgmm.engines._options import check_positive, check_proper, check_whole
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._python_density import PythonDensity
from bayesgmm.engines._samples import Sample, as_draws, end_of, origins, sorted_out, trimmed
from bayesgmm.engines.base import Engine, Outcome, Parameters, Problem
from bayesgmm.model import FilledMixture
from bayesgmm.numerics.threads import n_processors

# Chains start this wide round the mode, in units of its curvature.
_SPREAD = 0.5
_SPREAD_ELSEWHERE = 0.01
# Chains go on to so many times the draws asked for, or for so many processor seconds; those that are left out of the
# posterior make the others go on to so many times the draws.
_TIMES, _MOST_SECONDS, _TIMES_FOR_LOST = 16, 40.0, 4
# Draws to find the size of steps again, after the first round.
_TUNE_AGAIN = 100


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
        Draws of each chain, to begin with. Where the chains have not mixed by then (R-hat and effective draws of the
        log density and of log densities at some rows) they go on from where they are, as many draws again each time, up
        to `max_draws`; so many draws of each chain are stored, evenly spaced. The result's attribute ``draws`` says how
        many there were.
    tune : int
        Draws before them, in which step size and scales are tuned; they are thrown away.
    chains : int
    cores : int, optional
        Chains that run at the same time; all processors if left out.
    target_accept : float
        Between 0 and 1. Raise it where chains diverge.
    sampler : {"native", "pymc"}
        "native" has nutpie sample a compiled function and starts within seconds. Where a part has no compiled form,
        with groups and with an unknown factor of errors, the density is computed in Python, which is slower; the
        result's attribute ``sampler_reason`` says why. "pymc" samples `to_pymc` by PyMC's own sampler, after PyTensor
        has compiled it.
    n_init : int
        Starts of the search for optima, as in `EM`.
    n_polish : int
        How many of them are followed to the end.
    max_draws : int, optional
        Chains go no further. If left out, 16 times `draws`, fewer where rows are so many that this would take more
        than some 40 seconds of a processor. Give `draws` itself for chains that never go on. PyMC's sampler never does.
    """

    draws: int = 1000
    tune: int = 300
    chains: int = 4
    cores: int | None = None
    target_accept: float = 0.8
    sampler: Literal["native", "pymc"] = "native"
    n_init: int = 32
    n_polish: int = 5
    max_draws: int | None = None

    name: ClassVar[str] = "NUTS"
    objective_name: ClassVar[str] = "log_posterior"

    def __post_init__(self) -> None:
        for option, least in (("draws", 4), ("tune", 1), ("chains", 1), ("n_init", 1), ("n_polish", 1)):
            check_whole(self, option, least=least)
        if self.cores is not None:
            check_whole(self, "cores", least=1)
        if self.max_draws is not None:
            check_whole(self, "max_draws", least=1)
            if self.max_draws < self.draws:
                hint = f"Give at least draws = {self.draws}, or leave it out"
                raise InputError("NUTS.max_draws", f"got {self.max_draws}", hint)
        check_positive(self, "target_accept", below=1.0)
        as_choice("NUTS.sampler", self.sampler, ("native", "pymc"))

    def check(self, model: FilledMixture, n_features: int) -> None:
        check_proper("NUTS", model, ", or use EM for maximum likelihood.")
        if self.sampler == "pymc" and model.weights.n_groups is not None:
            what = "as_data(groups=...), weights that differ between groups"
            raise UnsupportedError("NUTS(sampler='pymc')", what, "Use NUTS(sampler='native').")

    def run(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> Outcome:
        native = self.sampler == "native"
        reason = "the default" if native else "asked for by name"
        missing = why_not_native(problem)
        if native and missing:
            reason = f"the default; the density is computed in Python, which is slower: the kernel has no {missing}"
        wait_for_density = NativeDensity.compile_ahead() if native and not missing else None
        search = Search(n_init=self.n_init, n_polish=self.n_polish, unconstrained=True, supported=False)
        found = search.run(problem, rng, progress)
        if native:
            load_meanwhile()
        if wait_for_density:
            wait_for_density()
        begun = origins(problem, found.reports, found.best, self.chains)
        seeds = [int(seed) for seed in rng.integers(2**31, size=self.chains)]
        points = [end_of(found.reports[origin]) for origin in begun]
        highest = end_of(found.reports[found.best])
        if native:
            chains = _Chains(self, problem, highest, points, seeds, rng, progress)
            chains.run(self.draws, self.tune)
            judged = _Judged(problem, begun, chains.samples(), chains.draws)
            while judged.goes_on(self.draws) and chains.go_on(self.max_draws):
                judged = _Judged(problem, begun, chains.samples(), chains.draws)
            drawn, interrupted = chains.draws, chains.interrupted or (judged.failed and progress.interrupts.noted)
        else:
            samples, interrupted = self._by_pymc(problem, points, seeds, progress)
            judged, drawn = _Judged(problem, begun, samples, self.draws), self.draws
        status, message = how_ended(
            judged.failed,
            several_modes=judged.several_modes,
            interrupted=bool(interrupted),
            length=f"{drawn} draws of each chain",
            remedy="Raise `max_draws`, and look at `diagnose`",
        )
        # The height of a mode is not its mass, which decides what the point estimate is.
        reports, best = found.reports, found.best
        with suppress(FitError):  # flat in some direction, so that no optimum has a mass
            reports, known = hills(problem, found, search, progress)
            best = known[0].start
        mode = reports[best]
        objective, shift = at_mode(problem, end_of(mode), mode.end_value, True)
        sampling, kept = judged.thinned(drawn // self.draws)
        return Outcome(
            point=problem.units.to_data(end_of(mode)),
            status=status,
            starts=[entry.in_data_units(problem, shift) for entry in reports],
            best_start=best,
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
                "draws": drawn,
            },
            message=message,
        )

    def seconds(self, problem: Problem) -> float:
        """Processor seconds that the first round takes, roughly; the search and the result are not counted."""
        return nuts_seconds(problem, self.chains * (self.draws + self.tune), in_python=bool(why_not_native(problem)))

    def _by_pymc(
        self, problem: Problem, points: list[Parameters], seeds: list[int], progress: Progress
    ) -> tuple[list[Sample], bool]:
        from bayesgmm.engines._pymc_model import open_model, sample_model

        if problem.rows.whole is None:
            what = "missing values, counts, errors, bins or known labels"
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
            cores=min(self.cores or n_processors(), self.chains),
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


class _Chains:
    """Chains of nutpie that can go on from where they are.

    Each round is a sampler of its own, which tunes its steps again from the last draws of the round before.
    """

    def __init__(
        self,
        engine: NUTS,
        problem: Problem,
        mode: Parameters,
        points: list[Parameters],
        seeds: list[int],
        rng: np.random.Generator,
        progress: Progress,
    ) -> None:
        self._engine, self._seeds, self._progress = engine, seeds, progress
        self._evaluation = evaluation_seconds(problem, in_python=bool(why_not_native(problem)))
        self._density = (PythonDensity if why_not_native(problem) else NativeDensity)(problem, mode)
        self._starts = []
        for point in points:
            # The curvature at further optima is another, and they are to be left only if the posterior says so.
            width = _SPREAD if point is mode else _SPREAD_ELSEWHERE
            noise = rng.standard_normal(self._density.size)
            self._starts.append(self._density.coordinates_of(point) + width * noise)
        self._rounds: list[list[Chain | None]] = []
        self.draws = 0
        self.interrupted = False

    def run(self, draws: int, tune: int) -> None:
        """So many more draws of each chain."""
        seeds = self._seeds
        if self._rounds:
            seeds = [np.random.SeedSequence([seed, len(self._rounds)]).generate_state(1)[0] >> 1 for seed in seeds]
        run = run_chains(
            self._density,
            self._starts,
            [int(seed) for seed in seeds],
            draws=draws,
            tune=tune,
            target_accept=self._engine.target_accept,
            cores=self._engine.cores or n_processors(),
            progress=self._progress,
        )
        self._rounds.append(run.chains)
        self.interrupted = run.interrupted
        self.draws += draws
        if not run.interrupted:
            self._starts = [chain.v[-1] for chain in run.chains if chain is not None]

    def go_on(self, most: int | None) -> bool:
        """As many draws again, up to `most`, or as far as the default goes; whether there was anything left to do."""
        if self.interrupted or self._progress.interrupts.noted:
            return False
        if most is None:
            # The next round takes as long as all before. By the steps that were needed, so that no clock decides.
            steps = sum(float(chain.statistics["n_steps"].sum()) for parts in self._rounds for chain in parts if chain)
            if steps * self._evaluation > _MOST_SECONDS / 2:
                return False
            most = _TIMES * self._engine.draws
        more = min(self.draws, (most - self.draws) // self._engine.draws * self._engine.draws)
        if more <= 0:
            return False
        self.run(more, min(self._engine.tune, _TUNE_AGAIN))
        return True

    def samples(self) -> list[Sample]:
        """All draws so far of every chain that has some."""
        samples = []
        for i, parts in enumerate(zip(*self._rounds, strict=True)):
            own = [part for part in parts if part is not None]
            if own:
                v = np.concatenate([part.v for part in own])
                statistics = {name: np.concatenate([part.statistics[name] for part in own]) for name in STATISTICS}
                statistics["lp"] = statistics["lp"] + self._density.constant
                samples.append(Sample(chain=i, points=self._density.parameters(v), statistics=statistics))
        return samples


class _Judged:
    """Draws of all chains, which of them are kept, and what speaks against them."""

    def __init__(self, problem: Problem, begun: list[int], samples: list[Sample], draws: int) -> None:
        samples = trimmed([replace(sample, start=begun[sample.chain]) for sample in samples])
        self._problem, self._draws = problem, draws
        self.sampling, self._kept, self.several_modes = sorted_out(problem, samples)
        self.failed = unmixed(self.sampling.statistics["lp"], self.sampling.invariants)

    def goes_on(self, draws: int) -> bool:
        """Whether more draws than so many at a time may change what is found."""
        # The height of a mode is not its mass: chains that are left out get the time to find their way.
        lost = self.sampling.left_out is not None and self._draws < _TIMES_FOR_LOST * draws
        return bool(self.failed) or self.several_modes or lost

    def thinned(self, every: int) -> tuple[Sampling, list[Sample]]:
        """The chains with every so many draws alone, where they went on."""
        if every <= 1:
            return self.sampling, self._kept
        own = slice(every - 1, None, every)
        sampling = self.sampling
        return replace(
            sampling,
            statistics={name: value[:, own] for name, value in sampling.statistics.items()},
            invariants=sampling.invariants[:, own],
        ), [sample.taken(own) for sample in self._kept]
