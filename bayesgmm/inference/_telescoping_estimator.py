"""The evidence of one number of components by visits of all smaller ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesgmm._errors import UnsupportedError
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._telescoping import log_evidence_of_one, why_not
from bayesgmm.engines.base import Problem
from bayesgmm.inference._evidence_rows import ESTIMATE, EXACT, EvidenceEstimator, EvidenceRow
from bayesgmm.inference._visited import by_visits
from bayesgmm.numerics.threads import n_processors


@dataclass(frozen=True, kw_only=True)
class Telescoping(EvidenceEstimator):
    """From how often a sampler that moves between numbers of components visits each, down to one component.

    For exact rows under conjugate priors that are alike for all components: the telescoping sampler of `Gibbs` visits
    K and all smaller numbers, which a prior on the number makes about equally frequent. The evidence of one component
    has a closed form. Fewer than 200 effective visits, to K or to one component, are no estimate.
    """

    def rows(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> list[EvidenceRow]:
        K, labels = problem.K, "labels do not matter to visits"
        against = why_not(problem, K)
        exact = np.nan if against else log_evidence_of_one(problem)
        if np.isnan(exact):
            against = against or "one component has no closed form under these priors"
            raise UnsupportedError("Telescoping", f"this declaration: {against}", "Use Bridge or LaplaceEvidence.")
        if K == 1:
            value = exact - problem.log_volume
            return [EvidenceRow(name="closed form", kind=EXACT, value=value, error=0.0, labels="one component")]
        none = np.full((K, 1), np.nan)
        found = by_visits(problem, K, [1.0], none, none, rng, progress, n_processors())
        assert found is not None
        value, error = float(found.values[-1, 0]), float(found.errors[-1, 0])
        fine = bool(np.isfinite(value))
        few = f"{found.effective[-1, 0]:.0f} effective visits to {K} components: {found.note or 'too few'}"
        return [
            EvidenceRow(
                name="telescoping sampler",
                kind=ESTIMATE,
                value=value - problem.log_volume,
                error=error,
                labels=labels,
                reliable=fine,
                note="" if fine else few,
            )
        ]
