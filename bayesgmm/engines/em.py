"""Maximum likelihood and maximum a posteriori by EM with a quasi-Newton finish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bayesgmm._arguments import as_choice
from bayesgmm._errors import UnsupportedError
from bayesgmm.engines._nested import search_nested
from bayesgmm.engines._objective import at_mode
from bayesgmm.engines._optima import Search
from bayesgmm.engines._options import check_positive, check_search
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Engine, Outcome, Problem
from bayesgmm.model import FilledMixture


@dataclass(frozen=True, kw_only=True)
class EM(Engine):
    """The mode: maximum likelihood under `Flat` parts, maximum a posteriori otherwise.

    Many starts make a few EM steps (Biernacki, Celeux & Govaert 2003); the best are followed to the end by EM and
    L-BFGS on unconstrained coordinates, and every end is reported. Where the objective is unbounded (maximum
    likelihood, and LKJ priors whose scale density is positive at 0), the best *proper* optimum is returned.

    Up to 2,000 units the search goes on while few starts agree on the best optimum. Under maximum likelihood an optimum
    below that of a simpler model (fewer components, a stricter covariance structure) is not returned.

    Parameters
    ----------
    n_init : int
        Number of starts; each further round has a quarter of it, and 1 means no further rounds.
    short_steps : int
        EM steps of each start before the best are chosen.
    n_polish : int
        How many of the best are followed to the end, or to where an optimum is that another one has reached; more if
        none of them is proper.
    max_steps : int
        Passes over the data that one of them may take.
    tolerance : float
        In nats. A run has converged when its estimated gain left, g' H^-1 g / 2, is below it.
    eigenvalue_floor : float
        A covariance with an eigenvalue below this, relative to the data covariance, counts as collapsed.
    density : {"parameters", "unconstrained"}
        Which posterior density has its mode taken: that of the parameters themselves (no Jacobian), or that of the
        unconstrained coordinates, which stays bounded for Dirichlet concentrations below 1.
    threads : int, optional
        Threads for one pass; all processors if left out.
    """

    n_init: int = 32
    short_steps: int = 10
    n_polish: int = 5
    max_steps: int = 400
    tolerance: float = 1e-4
    eigenvalue_floor: float = 1e-6
    density: Literal["parameters", "unconstrained"] = "parameters"
    threads: int | None = None

    name: ClassVar[str] = "EM"
    objective_name: ClassVar[str] = "log_posterior"

    def __post_init__(self) -> None:
        check_search(self)
        check_positive(self, "eigenvalue_floor")
        as_choice("EM.density", self.density, ("parameters", "unconstrained"))

    def check(self, model: FilledMixture, n_features: int) -> None:
        if self.density == "parameters" and not model.weights.bounded():
            raise UnsupportedError(
                "EM",
                f"weights={model.weights.describe()}",
                "Its density grows without bound where a weight goes to 0, so there is no mode to find. Use VB, which "
                "needs none (NUTS will do as well), a concentration of at least 1, or EM(density='unconstrained').",
            )

    def run(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> Outcome:
        unconstrained = self.density == "unconstrained"
        search = Search(
            n_init=self.n_init,
            short_steps=self.short_steps,
            n_polish=self.n_polish,
            max_steps=self.max_steps,
            tolerance=self.tolerance,
            eigenvalue_floor=self.eigenvalue_floor,
            unconstrained=unconstrained,
            further=True,
        )
        found = search_nested(problem, search, rng, progress)
        report = found.reports[found.best]
        assert report.end is not None
        objective, shift = at_mode(problem, report.end, report.end_value, unconstrained)
        return Outcome(
            point=problem.units.to_data(report.end),
            status=report.status,
            starts=[entry.in_data_units(problem, shift) for entry in found.reports],
            best_start=found.best,
            objective=objective,
            notes={
                "density": self.density,
                "screening_passes": found.screening_passes,
                "search_rows": found.search_rows,
            },
        )
