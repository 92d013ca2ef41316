"""What must be said of a well beside its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._fit_plate import PlateFit, elsewhere
from bayesgmm.ddpcr._fit_well import WellFit, farthest
from bayesgmm.engines._importance import WORST_PARETO_K

FEWEST_DROPLETS = 10_000
# sds between clusters: below, not identified; below the second, a poor fit matters.
LEAST_SEPARATION, OVERLAPPING = 2.5, 6.0
HIGHEST_RATE = 5.0
_CHANGED, _LAWFUL = 2.5, 3.0
# Log ratio of the heights of positives of a well and of the plate that is no small difference.
_ELSEWHERE = 0.3
# P values below which a fit is called poor; thousands of clear droplets see what changes nothing.
_MISFIT, _CLEAR_MISFIT = 1e-3, 1e-6
# Shares of the positives, and of all droplets, that are no longer the exception; and numbers of droplets that are few.
_MUCH_RAIN, _MANY_OUTLIERS, _FEW, _PART = 0.15, 0.02, 20.0, 0.02
# Rain that is hidden among the negatives, in standard errors of a count.
_HIDDEN = 0.5


def separation(fit: WellFit, beliefs: Beliefs) -> float:
    """Distance between the means of positives and negatives, in units of their root mean square sd."""
    spread, gap, width = np.exp(fit.mode[-3:])
    sd = np.sqrt(0.5 * (np.square(spread * beliefs.shape.sd) + np.square(width)))
    return float((gap - spread * beliefs.shape.mean) / sd)


def is_saturated(fit: WellFit) -> bool:
    """Whether there are hardly any negatives to count."""
    middle = fit.rate
    return fit.n_droplets * np.exp(-middle) < 1.0 or middle > HIGHEST_RATE


def flags_of(i: int, fitted: PlateFit, fit: WellFit) -> list[str]:
    """Sentences about well i of an assay and its fit; those that hold for the whole plate are elsewhere."""
    first, beliefs = fitted.alone[i], fitted.beliefs
    out = [fitted.why[i]] if fitted.why[i] else []
    n, rate = fit.n_droplets, fit.rate
    if n < FEWEST_DROPLETS:
        out.append(f"only {n:,} droplets (fewer than {FEWEST_DROPLETS:,})")
    if is_saturated(fit):
        out.append("saturated: no negatives to count, so only the lower bound means something")
    elif -n * np.expm1(-rate) < 1.0:
        out.append("no positives: the upper bound is what is known")
    out += _of_count(i, fit, fitted) + _of_clusters(i, fitted)
    spread, gap = np.exp(fit.mode[-3:-1])
    shift = float(fit.mode[-4] - np.median(fitted.baselines))
    if i in fitted.shifted:
        out.append(f"baseline shifted by {shift:+.0f} ({shift / spread:+.1f} sd) against the other wells")
    rain, outliers = (float(fit.quantiles(expit(fit.of(name)), (0.5,))[0]) for name in ("rain", "outliers"))
    positives = -n * np.expm1(-rate)
    if rain > _MUCH_RAIN and positives * rain >= _FEW:
        out.append(f"rain: {rain:.0%} of the positives lie between the clusters, and are counted as positive")
    if fit.count is not None and fit.count.hidden * np.sqrt(fit.count.positive) > _HIDDEN:
        out.append(
            f"rain: {fit.count.hidden:.1%} more positives than lie above the threshold, hidden among the negatives"
        )
    if outliers > _MANY_OUTLIERS and n * outliers >= _FEW:
        out.append(f"outliers: {outliers:.1%} of the droplets belong to no cluster")
    others = fitted.gap.positives
    if fit.count is not None and positives > _FEW and abs(np.log(gap / others)) > _ELSEWHERE:
        out.append(f"positives lie {gap:.0f} above the negatives, in other wells {others:.0f}: perhaps another target")
    if fit.count is None and fit.clear is None:
        out += _of_fit(fit, first, beliefs, positives)
    if fit.n_clipped:
        far = f"{fit.n_clipped:,} droplet{'s' if fit.n_clipped > 1 else ''}"
        out.append(f"{far} farther than {farthest(beliefs):.0f} from the negatives, taken for outliers")
    return out


def _of_fit(fit: WellFit, first: WellFit | None, beliefs: Beliefs, positives: float) -> list[str]:
    """Sentences about the fit of a mixture."""
    out, rate = [], fit.rate
    apart = separation(fit, beliefs)
    if apart < LEAST_SEPARATION:
        out.append(f"not identified: clusters are {apart:.1f} sd apart")
    elif fit.misfit < (_MISFIT if apart < OVERLAPPING else _CLEAR_MISFIT):
        where = "where clusters overlap" if apart < OVERLAPPING else "between the clusters or above"
        out.append(f"the model does not fit {where} (P = {fit.misfit:.1g})")
    if first is not None and positives > _FEW:
        if elsewhere(first, beliefs):
            own, others = np.exp(first.belief("log_gap")[0]), np.exp(beliefs.log_gap[0])
            out.append(
                f"positives lie {own:.0f} above the negatives, in other wells {others:.0f}: perhaps another target, or "
                "more than one kind"
            )
        (before, error), (after, error_after) = first.belief("log_rate"), fit.belief("log_rate")
        if abs(after - before) > _CHANGED * max(error, error_after):
            out.append(f"lambda would be {np.exp(before):.3g} without what other wells say of the clusters")
    if fit.moved is not None and abs(fit.moved[0]) > _LAWFUL * fit.moved[1]:
        out.append(f"lambda would be {rate * np.exp(fit.moved[0]):.3g} without Poisson's law among positives")
    if fit.chains is not None:
        out += fit.chains.flags
    elif not fit.converged:
        out.append("not converged")
    if fit.pareto_k > WORST_PARETO_K:
        out.append(f"the interval is a guess (Pareto k {fit.pareto_k:.2f})")
    return out


def _of_count(i: int, fit: WellFit, fitted: PlateFit) -> list[str]:
    """Whether the count at a threshold says something else than the mixture, where it can be trusted."""
    if (
        fit.count is not None
        or fit.clear is not None
        or not (fitted.gap.shown or separation(fit, fitted.beliefs) >= OVERLAPPING)
    ):
        return []
    count = fitted.count(i)
    (low, high), (least, most) = fit.ends(), count.interval(0.025, 0.975)
    if count.positive == count.n or (low <= most and least <= high):
        return []
    return [
        f"counted at {count.threshold:.0f} lambda is {count.rate:.3g} ({least:.3g} to {most:.3g}; {count.positive:,} "
        f"positives), beyond the mixture's {fit.rate:.3g} ({low:.3g} to {high:.3g})"
    ]


def _of_clusters(i: int, fitted: PlateFit) -> list[str]:
    """How many of a well's positives are in each cluster, if the plate shows several and so does the well."""
    gap = fitted.gap
    if not gap.shown or len(gap.clusters) < 2:
        return []
    edges = gap.baselines[i] + np.array([gap.height, *gap.borders, np.inf])
    counts = np.histogram(fitted.cleared[i], np.minimum(edges, np.finfo(float).max))[0]
    if (counts >= max(_FEW, _PART * counts.sum())).sum() < 2:
        return []
    each = ", ".join(f"{k:,} about {height:.0f}" for k, height in zip(counts, gap.clusters, strict=True))
    return [f"more than one positive cluster: {each} above the negatives; all are counted as positive"]


def of_plate(fitted: PlateFit, controls: int) -> list[str]:
    """Sentences about a channel of the plate."""
    out = []
    if not controls:
        out.append(f"no well without template: the shape of the negatives is that of {fitted.learned_from}")
    for name, _, part in fitted.assays or (("", [], fitted),):
        out += [f"{name}: {sentence}" if name else sentence for sentence in _of_assay(part)]
    return [*out, *fitted.flags]


def _of_assay(fitted: PlateFit) -> list[str]:
    out = []
    if fitted.gap.shown and len(fitted.gap.clusters) > 1:
        heights = " and ".join(f"{height:.0f}" for height in fitted.gap.clusters)
        at = " or ".join(f"{fitted.gap.baseline + border:.0f}" for border in fitted.gap.borders)
        out.append(
            f"more than one positive cluster, about {heights} above the negatives: another target, or droplets with "
            f"several molecules; a threshold at {at} counts them apart"
        )
    if fitted.divided:
        out.append(
            f"baselines of the wells differ by more than their spread ({min(fitted.baselines):.0f} to "
            f"{max(fitted.baselines):.0f}): name the target of each well in the plate table if there are several assays"
        )
    return out


def joined(flags: Sequence[str]) -> str:
    """For a table."""
    return "; ".join(flags)
