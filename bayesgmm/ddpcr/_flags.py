"""What must be said of a well beside its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._fit_plate import PlateFit, elsewhere
from bayesgmm.ddpcr._fit_well import FARTHEST, WellFit
from bayesgmm.engines._importance import WORST_PARETO_K

FEWEST_DROPLETS = 10_000
# sds between clusters: below, not identified; below the second, a poor fit matters.
LEAST_SEPARATION, OVERLAPPING = 2.5, 6.0
HIGHEST_RATE = 5.0
_SHIFTED, _CHANGED, _MISFIT, _LAWFUL = 3.0, 2.5, 1e-3, 3.0


def separation(fit: WellFit, beliefs: Beliefs) -> float:
    """Distance between the means of positives and negatives, in units of their root mean square sd."""
    spread, gap, width = np.exp(fit.mode[-3:])
    sd = np.sqrt(0.5 * (np.square(spread * beliefs.shape.sd) + np.square(width)))
    return float((gap - spread * beliefs.shape.mean) / sd)


def is_saturated(fit: WellFit) -> bool:
    """Whether there are hardly any negatives to count."""
    middle = float(fit.quantiles(np.exp(fit.of("log_rate")), (0.5,))[0])
    return fit.n_droplets * np.exp(-middle) < 1.0 or middle > HIGHEST_RATE


def flags_of(fit: WellFit, first: WellFit | None, beliefs: Beliefs, baselines: NDArray[np.float64]) -> list[str]:
    """Sentences about one well and channel; those that hold for the whole plate are elsewhere."""
    out = []
    n, rate = fit.n_droplets, float(fit.quantiles(np.exp(fit.of("log_rate")), (0.5,))[0])
    apart = separation(fit, beliefs)
    if n < FEWEST_DROPLETS:
        out.append(f"only {n:,} droplets (fewer than {FEWEST_DROPLETS:,})")
    if is_saturated(fit):
        out.append("saturated: no negatives to count, so only the lower bound means something")
    elif -n * np.expm1(-rate) < 1.0:
        out.append("no positives: the upper bound is what is known")
    if apart < LEAST_SEPARATION:
        out.append(f"not identified: clusters are {apart:.1f} sd apart")
    elif apart < OVERLAPPING and fit.misfit < _MISFIT:
        out.append(f"the model does not fit where clusters overlap (P = {fit.misfit:.1g})")
    spread = float(np.exp(fit.mode[-3]))
    shift = float(fit.mode[-4] - np.median(baselines))
    if abs(shift) > _SHIFTED * spread:
        out.append(f"baseline shifted by {shift:+.0f} ({shift / spread:+.1f} sd) against the other wells")
    if first is not None:
        positives = -n * np.expm1(-rate)
        if positives > 20.0 and elsewhere(first, beliefs):
            own, others = np.exp(first.belief("log_gap")[0]), np.exp(beliefs.log_gap[0])
            out.append(
                f"positives lie {own:.0f} above the negatives, in other wells {others:.0f}: perhaps another target, or "
                "more than one kind"
            )
        (before, error), (after, error_after) = first.belief("log_rate"), fit.belief("log_rate")
        if positives > 20.0 and abs(after - before) > _CHANGED * max(error, error_after):
            out.append(f"lambda would be {np.exp(before):.3g} without what other wells say of the clusters")
    if fit.n_clipped:
        far = f"{fit.n_clipped:,} droplet{'s' if fit.n_clipped > 1 else ''}"
        out.append(f"{far} farther than {FARTHEST:.0f} sd from the negatives, taken for outliers")
    if fit.moved is not None and abs(fit.moved[0]) > _LAWFUL * fit.moved[1]:
        out.append(f"lambda would be {rate * np.exp(fit.moved[0]):.3g} without Poisson's law among positives")
    if fit.chains is not None:
        out += fit.chains.flags
    elif not fit.converged:
        out.append("not converged")
    if fit.pareto_k > WORST_PARETO_K:
        out.append(f"the interval is a guess (Pareto k {fit.pareto_k:.2f})")
    return out


def of_plate(fitted: PlateFit, controls: int) -> list[str]:
    """Sentences about a channel of the plate."""
    if controls:
        return [*fitted.flags]
    return [f"no well without template: the shape of the negatives is that of {fitted.learned_from}", *fitted.flags]


def joined(flags: Sequence[str]) -> str:
    """For a table."""
    return "; ".join(flags)
