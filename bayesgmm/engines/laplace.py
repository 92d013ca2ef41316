"""The posterior as a Normal round its mode, corrected by importance weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayesgmm._errors import FitError, InputError
from bayesgmm.engines._draws import Draws
from bayesgmm.engines._importance import WORST_PARETO_K, Importance, resampled, smoothed
from bayesgmm.engines._normal import NormalApproximation
from bayesgmm.engines._objective import at_mode
from bayesgmm.engines._optima import Search
from bayesgmm.engines._options import check_draws, check_proper, check_search
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Engine, Order, Outcome, Parameters, Problem
from bayesgmm.model import FilledMixture

# Proposals for each draw that is kept.
_PROPOSALS = 2


@dataclass(frozen=True, kw_only=True)
class Laplace(Engine):
    """The posterior as a Normal round its mode, on the unconstrained scale (Tierney & Kadane 1986).

    The mode is that of the density of unconstrained coordinates, Jacobian included; the covariance is the inverse of
    the exact observed information there (Louis 1982), for every prior and every way in which rows are observed. Draws
    are then resampled by Pareto-smoothed importance weights (Vehtari et al. 2024), as long as their Pareto k is at most
    0.7; above it the Normal is too far from the posterior to be corrected, its draws stay as they are, and `diagnose`
    says so.

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
        Draws in the result, shared out to `chains`; twice as many are proposed.
    chains : int
        Number of groups the draws are stored in, because ArviZ expects a chain dimension.
    resample : bool
        Whether importance weights correct the draws. Without, they are those of the Normal and carry their weights.
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
        if not isinstance(self.resample, bool):
            raise InputError("Laplace.resample", f"got {self.resample!r}", "Give True or False")

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
        found = search.run(problem, rng, progress)
        report = found.reports[found.best]
        assert report.end is not None
        approximation = approximated(problem, report.end)
        proposed = _PROPOSALS * self.draws if self.resample else self.draws
        points = approximation.draw(rng, proposed)
        likelihoods, counts = problem.likelihoods(points, progress)
        log_p, log_q = likelihoods + approximation.log_prior(points), approximation.log_density(points)
        importance = smoothed(log_p - log_q)
        corrected = self.resample and importance.pareto_k <= WORST_PARETO_K
        kept = resampled(importance, self.draws, rng) if corrected else np.arange(self.draws)
        objective, shift = at_mode(problem, report.end, report.end_value, True)
        at = problem.units.to_data(points.taken(kept))
        draws = Draws(
            weights=np.exp(at.log_weights),
            means=at.means,
            covariances=at.covariances,
            log_joint=log_p[kept] + shift,
            # Units of the parameters change both densities, those of the data only that of the posterior.
            log_proposal=None if corrected else log_q[kept] + shift + problem.log_volume,
            expected_counts=counts[kept],
            noise_scale=np.exp(at.log_noise) if problem.free_noise else None,
        )
        return Outcome(
            point=problem.units.to_data(report.end),
            status=report.status,
            starts=[entry.in_data_units(problem, shift) for entry in found.reports],
            best_start=found.best,
            objective=objective,
            draws=draws,
            approximation=approximation,
            notes={
                "density": "unconstrained",
                "screening_passes": found.screening_passes,
                "search_rows": found.search_rows,
                "n_chains": self.chains,
                "predictive_family": "draws",
                "pareto_k": importance.pareto_k,
                "correction": _correction(importance, kept, corrected, self.resample),
            },
        )


def approximated(problem: Problem, mode: Parameters) -> NormalApproximation:
    """The Normal at a mode.

    Raises
    ------
    FitError
        If the density does not curve down in every direction there.
    """
    try:
        return NormalApproximation.at_mode(problem, mode)
    except np.linalg.LinAlgError as error:
        raise FitError(
            f"Laplace: {error}, so that there is no Normal to approximate it by: the parameters are not identified. "
            "Use NUTS, a stronger prior, or fewer components."
        ) from None


def _correction(importance: Importance, kept: Order, corrected: bool, wanted: bool) -> str:
    if corrected:
        return f"resampled by importance weights: {np.unique(kept).size} distinct draws of {kept.size}"
    if not wanted:
        return "none: draws of the Normal with their importance weights"
    if np.isnan(importance.pareto_k):
        return "none: importance weights need at least 100 proposals"
    return (
        f"none: Pareto k is {importance.pareto_k:.2f}, above {WORST_PARETO_K}, so that importance weights would "
        "correct nothing"
    )
