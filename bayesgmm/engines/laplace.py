"""The posterior as Normals round its modes, corrected by importance weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bayesgmm._arguments import as_flag
from bayesgmm.engines._draws import Draws
from bayesgmm.engines._hills import Hill, approximated, hills
from bayesgmm.engines._importance import WORST_PARETO_K, Importance, resampled, smoothed
from bayesgmm.engines._objective import at_mode
from bayesgmm.engines._optima import Search
from bayesgmm.engines._options import check_draws, check_proper, check_search
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._remainder import log_ratios
from bayesgmm.engines._search import sample
from bayesgmm.engines._weighed import Proposals, best_proposals, blend_of, laplace_masses, mattering, proposed
from bayesgmm.engines.base import Array, Engine, Outcome, Parameters, Problem, StartReport
from bayesgmm.model import FilledMixture

__all__ = ["Laplace", "approximated"]

# Proposals for each draw that is kept.
_PROPOSALS = 2
# Proposals may visit so many rows, once for each component, but some are made however many the rows.
_MOST_VISITS, _FEWEST = 200_000_000, 100
# Where there are too many rows for that, a part of them weighs so many.
_CHECKED = 200
# Weights that are worth this share of their number correct nothing that an interval could show.
_ALL_BUT_EQUAL = 0.95


@dataclass(frozen=True, kw_only=True)
class Laplace(Engine):
    """The posterior as Normals round its modes, on the unconstrained scale (Tierney & Kadane 1986).

    Modes are those of the density of unconstrained coordinates, Jacobian included; the covariance of each is the
    inverse of the exact observed information there (Louis 1982), for every prior and every way in which rows are
    observed. What a mode counts for is its mass, height times width, and not its height: a small tight component can
    make a mode high that holds next to nothing. The point estimate is the mode with the most mass, and ``optimization``
    holds the masses (``posterior_mass``).

    Draws are resampled from a mixture over all modes that matter by Pareto-smoothed importance weights (Vehtari et al.
    2024): one of Normals, one of Student t, or one that has learnt from the weights of these (Cappe et al. 2008),
    whichever has the lowest Pareto k. Where that is above 0.7 no mixture is near enough to be corrected, draws are
    those of the Normals as they are, and `diagnose` says so. Where there are too many rows to visit them for each
    proposal, the remainder of the log density beside its parabola is seen in a part of the rows; if weights are nearly
    equal the draws are those of the Normal, and ``correction`` says it.

    Parameters
    ----------
    n_init : int
        Number of starts, as in `EM`.
    short_steps : int
        EM steps of each start before the best are chosen.
    n_polish : int
        How many of the best are followed to the end.
    max_steps : int
        Passes over the data that one of them may take.
    tolerance : float
        In nats. A run has converged when its estimated gain left is below it.
    draws : int
        Draws in the result, shared out to `chains`; twice as many are proposed, fewer where there are very many rows.
    chains : int
        Number of groups the draws are stored in, because ArviZ expects a chain dimension.
    resample : bool
        Whether importance weights correct the draws. Without, they are those of the Normals and carry their weights.
    threads : int, optional
        Threads for one pass; all processors if left out.
    """

    n_init: int = 32
    short_steps: int = 10
    n_polish: int = 5
    max_steps: int = 400
    tolerance: float = 1e-4
    draws: int = 1000
    chains: int = 4
    resample: bool = True
    threads: int | None = None

    name: ClassVar[str] = "Laplace"
    objective_name: ClassVar[str] = "log_posterior"

    def __post_init__(self) -> None:
        check_search(self)
        check_draws(self)
        object.__setattr__(self, "resample", as_flag("Laplace.resample", self.resample))

    def check(self, model: FilledMixture, n_features: int) -> None:
        check_proper("Laplace", model, ", or use EM for maximum likelihood and `standard_errors`.")

    def run(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> Outcome:
        search = Search(
            n_init=self.n_init,
            short_steps=self.short_steps,
            n_polish=self.n_polish,
            max_steps=self.max_steps,
            tolerance=self.tolerance,
            unconstrained=True,
            supported=False,
        )
        optima = search.run(problem, rng, progress)
        reports, found = hills(problem, optima, search, progress)
        worth = mattering(found)
        drawn = self._drawn(problem, worth, rng, progress)
        masses = laplace_masses(found)
        if drawn.masses is not None:
            masses[: len(worth)] = masses[: len(worth)].sum() * drawn.masses
        reports = _with_masses(reports, found, masses)
        best = found[int(masses.argmax())].start
        report = reports[best]
        assert report.end is not None
        objective, shift = at_mode(problem, report.end, report.end_value, True)
        at = problem.units.to_data(drawn.points)
        draws = Draws(
            weights=np.exp(at.log_weights),
            means=at.means,
            covariances=at.covariances,
            log_joint=drawn.log_joint + shift,
            # Units of the parameters change both densities, those of the data only that of the posterior.
            log_proposal=None if drawn.log_q is None else drawn.log_q + shift + problem.log_volume,
            expected_counts=drawn.counts,
            noise_scale=np.exp(at.log_noise) if problem.free_noise else None,
        )
        return Outcome(
            point=problem.units.to_data(report.end),
            status=report.status,
            starts=[entry.in_data_units(problem, shift) for entry in reports],
            best_start=best,
            objective=objective,
            draws=draws,
            approximation=worth[0].normal if len(worth) == 1 else blend_of(worth),
            mixed_labels=drawn.mixed_labels,
            notes={
                "density": "unconstrained",
                "screening_passes": optima.screening_passes,
                "search_rows": optima.search_rows,
                "n_chains": self.chains,
                "predictive_family": "draws",
                "pareto_k": drawn.importance.pareto_k,
                "correction": drawn.correction,
            },
        )

    def _drawn(self, problem: Problem, worth: list[Hill], rng: np.random.Generator, progress: Progress) -> _Drawn:
        """Draws from the hills that matter, corrected if that is wanted and can be done."""
        if not self.resample:
            seen = proposed(problem, blend_of(worth), self.draws, rng, progress)
            return _as_they_are(seen, worth, "none: draws of the Normal with their importance weights")
        wanted = _PROPOSALS * self.draws
        size = min(wanted, max(_FEWEST, _MOST_VISITS // (problem.n_obs * problem.K)))
        if size < wanted:
            checked = _checked_by_a_part(problem, worth, rng, progress)
            if checked is not None and _all_but_equal(checked[0]):
                return self._fresh(problem, worth, *checked, rng)
        seen = best_proposals(problem, worth, size, rng, progress)
        importance = seen.importance
        if size < wanted and _all_but_equal(importance):
            return self._fresh(problem, worth, importance, f"weights of {size} proposals", rng)
        if importance.pareto_k <= WORST_PARETO_K:
            kept = resampled(importance, self.draws, rng)
            return _Drawn(
                points=seen.points.taken(kept),
                log_joint=seen.log_joint[kept],
                counts=seen.counts[kept],
                importance=importance,
                correction=f"resampled by importance weights: {np.unique(kept).size} distinct draws of {kept.size}",
                masses=seen.masses(worth),
                mixed_labels=seen.n_overlapping > 1 or len(worth) > 1,
            )
        if np.isnan(importance.pareto_k):
            why = "importance weights need at least 100 proposals"
        else:
            why = (
                f"Pareto k is {importance.pareto_k:.2f}, above {WORST_PARETO_K}, so that importance weights would "
                "correct nothing"
            )
        if size < wanted:
            return replace(self._fresh(problem, worth, importance, "", rng), correction=f"none: {why}")
        plain = proposed(problem, blend_of(worth), self.draws, rng, progress)
        return replace(_as_they_are(plain, worth, f"none: {why}"), importance=importance)

    def _fresh(
        self, problem: Problem, worth: list[Hill], importance: Importance, weighed: str, rng: np.random.Generator
    ) -> _Drawn:
        """Draws of the Normals that no row has seen."""
        blend = blend_of(worth)
        points = blend.draw(rng, self.draws)
        log_mass = float(np.logaddexp.reduce([hill.log_mass for hill in worth]))
        worth_draws = f"{weighed} are worth {importance.effective:.1f} equal ones"
        return _Drawn(
            points=points,
            # What the joint density is where the posterior is these Normals.
            log_joint=log_mass + blend.log_density(points),
            counts=problem.rows.units() * np.exp(problem.pooled(points.log_weights)),
            importance=importance,
            correction=f"none needed: {worth_draws}; draws, and `lp` and rows at them, are those of the Normal",
            mixed_labels=len(worth) > 1,
        )


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """Draws in standard units, how they were come by, and by the weights the shares of the hills that matter."""

    points: Parameters
    log_joint: Array
    counts: Array
    importance: Importance
    correction: str
    log_q: Array | None = None
    masses: Array | None = None
    mixed_labels: bool


def _as_they_are(seen: Proposals, worth: list[Hill], correction: str) -> _Drawn:
    return _Drawn(
        points=seen.points,
        log_joint=seen.log_joint,
        counts=seen.counts,
        importance=seen.importance,
        correction=correction,
        log_q=seen.log_q,
        mixed_labels=seen.n_overlapping > 1 or len(worth) > 1,
    )


def _checked_by_a_part(
    problem: Problem, worth: Sequence[Hill], rng: np.random.Generator, progress: Progress
) -> tuple[Importance, str] | None:
    """Weights of proposals by a part of the rows, the most unequal of all hills, or None where the part cannot tell."""
    part = sample(problem, rng)
    if part is problem:
        return None
    found = []
    for hill in worth:
        log_weights = log_ratios(problem, part, hill.normal, hill.normal.draw(rng, _CHECKED), progress)
        if log_weights is None:
            return None
        found.append(smoothed(log_weights))
    seen = f"weights of {_CHECKED} proposals, as {part.n_obs} of {problem.n_obs} rows see them,"
    return min(found, key=lambda importance: importance.effective), seen


def _all_but_equal(importance: Importance) -> bool:
    fine = importance.pareto_k <= WORST_PARETO_K
    return fine and importance.effective >= _ALL_BUT_EQUAL * importance.raw.size


def _with_masses(reports: Sequence[StartReport], found: Sequence[Hill], masses: Array) -> list[StartReport]:
    """The reports, with the share of the posterior in those of starts that ended on a hill."""
    share = {hill.log_mass: float(mass) for hill, mass in zip(found, masses, strict=True)}
    return [replace(report, posterior_mass=share.get(report.log_mass, np.nan)) for report in reports]
