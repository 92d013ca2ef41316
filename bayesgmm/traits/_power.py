"""What a sample of this size and precision can tell, by simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesgmm.traits._compare import compare
from bayesgmm.traits._measurements import Measurements
from bayesgmm.traits._models import CLASSES, Question
from bayesgmm.traits._weigh import Posterior

Array = NDArray[np.float64]

# Enough to say which side of the level a probability is on.
_DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """A data set to be simulated from a draw of a posterior, and what it is then asked."""

    known: Measurements
    posterior: Posterior
    question: Question
    odds: Mapping[str, float]
    kind: str
    level: float
    seed: np.random.SeedSequence


def simulated(known: Measurements, posterior: Posterior, draw: int, rng: np.random.Generator) -> Measurements:
    """Other individuals with the parameters of one draw, measured as often and with such errors."""
    labels = rng.choice(
        posterior.means.shape[1], size=known.n, p=posterior.weights[draw] / posterior.weights[draw].sum()
    )
    true = posterior.means[draw][labels] + posterior.sds[draw][labels] * rng.standard_normal(known.n)
    scale = float(posterior.error_scale[draw])
    means = true + scale * known.errors * rng.standard_normal(known.n)
    if np.isinf(known.error_df):
        return replace(known, means=means)
    # The estimate of the error is drawn anew as well.
    estimate = scale * float(np.sqrt(rng.chisquare(known.error_df) / known.error_df))
    return replace(known, means=means, errors=estimate * known.errors, error_sd=estimate * known.error_sd)


def told(repetition: Repetition) -> bool:
    """Whether the class that was simulated from reaches the level. A worker calls this by its name."""
    rng = np.random.default_rng(repetition.seed)
    draw = int(rng.integers(len(repetition.posterior.means)))
    known = simulated(repetition.known, repetition.posterior, draw, rng)
    # As analysts do, priors are centred and scaled by the data.
    question = replace(repetition.question, centre=float(known.means.mean()), scale=float(known.means.std()))
    found = compare(known, question, repetition.odds, draws=_DRAWS, seed=repetition.seed.spawn(1)[0])
    return bool(found.of_classes[0, CLASSES.index(repetition.kind)] >= repetition.level)
