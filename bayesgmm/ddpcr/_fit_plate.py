"""All wells of a plate in one channel: each is fitted, and what they share is learned from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bayesgmm._errors import FitError
from bayesgmm._words import counted
from bayesgmm.ddpcr._counted import Count, fits_the_gap
from bayesgmm.ddpcr._droplet_model import RATE_OF_CONTROLS, Beliefs, Pair
from bayesgmm.ddpcr._fit_well import WellFit, binned, cluster_log_densities, counted_well, fit_well
from bayesgmm.ddpcr._gap import Gap, find_gap
from bayesgmm.ddpcr._graded_model import GradedBeliefs
from bayesgmm.ddpcr._plate_fit import PlateFit, half_way, n_negative
from bayesgmm.ddpcr._shape import Shape, learn, middle_and_spread, skewed
from bayesgmm.inference._parallel import run_parallel

Array = NDArray[np.float64]

# A well with fewer droplets says nothing of the shape of the negatives.
_FEWEST_DROPLETS = 500
# Before the plate is seen: baselines differ by so many spreads, with and without wells that show them.
_KNOWN_BASELINE, _UNKNOWN_BASELINE = 2.0, 15.0
# Gap and width of the positives, in spreads of the negatives: mean and sd of the logarithm.
_GAP, _POSITIVE_SD = (float(np.log(8.0)), 1.2), (float(np.log(1.3)), 0.5)
_SPREAD_SD = 0.3
# A well tells of the positives if it has so many, and their place is known so well (sd of the log of the gap).
_FEWEST_POSITIVES, _KNOWN_GAP, _LEAST_SEPARATION = 20.0, 0.15, 2.5
# How much wells of a plate differ at least and as a rule, the latter worth some wells: sds of logarithms, and of the
# baseline in spreads.
_TYPICAL = {"log_gap": 0.05, "log_positive_sd": 0.1, "log_spread": 0.05, "baseline": 0.5}
_TYPICAL |= {"probit_rho": 0.1, "log_step_sd": 0.2, "rain": 0.3, "tilt": 0.3}
# A well tells of rain, rho and the step of the variance if they are known so much better than before.
_TOLD = 0.5
_WORTH = 3.0
# The same of log ratios of the shares of the negatives' components.
_TYPICAL_SHARES = 0.3
_FINE = 1.0 / 20.0
FEW_DRAWS = 256
# Negatives and positives so many spreads apart show the shape of the negatives, which is learned so many times anew.
_APART, _ROUNDS = 5.0, 3
_ALL_NEGATIVES = "the negatives of all wells"
# Where a plate shows a gap: sd of the log of the positives' height before the wells are seen; their least width.
_SHOWN_GAP, _NARROW = 0.3, 0.2
# One well alone may take a side of its negatives for another cluster, unless a valley parts them: so deep as a part of
# the lower peak, and in Poisson errors. Wells that do not show where positives lie may do so with a cluster so few
# spreads away, and such a part of the droplets. So many spreads above the negatives droplets are clear; above this rate
# a single cluster may be that of the positives.
_VALLEY, _CERTAIN, _HARDLY, _RARE, _CLEAR, _LIKELY_FULL = 0.5, 3.0, 3.5, 0.1, 8.0, 2.0
# Of intervals that must not miss each other.
_ENDS = (0.025, 0.975)
# A well's own gap contradicts the other wells' if it is so many standard deviations away.
_CONTRADICTED, _SURE = 2.5, 0.3


@dataclass(frozen=True, kw_only=True)
class Wells:
    """Wells of a plate in one channel, and how they are fitted."""

    amplitudes: Sequence[Array]
    without_template: Sequence[bool]
    seeds: Sequence[np.random.SeedSequence]
    cores: int | None
    progress: Any
    counting: bool = True  # where clusters are clear
    without_cross_talk: Sequence[Array] | None = None  # amplitudes to count, if they are not those that are fitted

    @cached_property
    def usable(self) -> list[bool]:
        """Which have droplets that differ."""
        return [x.size > 1 and float(x.max()) > float(x.min()) for x in self.amplitudes]

    @cached_property
    def cleared(self) -> list[Array]:
        """Amplitudes that are counted."""
        return list(self.amplitudes if self.without_cross_talk is None else self.without_cross_talk)

    @cached_property
    def gap(self) -> Gap:
        """Where their droplets divide."""
        some = [x if fine else x[:0] for x, fine in zip(self.cleared, self.usable, strict=True)]
        return find_gap(some, self.without_template)

    @cached_property
    def counts(self) -> list[Count | None]:
        """Counts of the wells that need no more than counting; None for the others."""
        each = zip(self.cleared, self.usable, strict=True)
        return [
            Count.of(x, self.gap.threshold(i), self.gap.hidden)
            if self.counting and fine and fits_the_gap(x, self.gap, i)
            else None
            for i, (x, fine) in enumerate(each)
        ]

    def alike(self, beliefs: Beliefs) -> list[Beliefs]:
        """The same for each well, but for the rate of controls."""
        stricter = replace(beliefs, rate=RATE_OF_CONTROLS)
        return [stricter if control else beliefs for control in self.without_template]

    def fitted(self, beliefs: Sequence[Beliefs], starts: Sequence[Array | None], draws: int, what: str) -> list[Any]:
        """A `WellFit` of each, or why there is none."""
        out: list[Any] = ["no droplets with different amplitudes"] * len(self.amplitudes)
        jobs = {}
        each = zip(self.amplitudes, beliefs, self.seeds, starts, self.usable, self.counts, strict=True)
        for i, (x, own, seed, start, fine, count) in enumerate(each):
            if count is not None:
                out[i] = counted_well(self.cleared[i], own, count, self.gap, i, draws=draws, seed=seed)
            elif fine:
                jobs[i] = _Job(x=x, beliefs=own, draws=draws, seed=seed, start=start)
        options = {"total": len(jobs), "cores": self.cores, "progress": self.progress, "what": what}
        for i, found in zip(jobs, run_parallel(_fitted, jobs.values(), **options) if jobs else [], strict=True):
            out[i] = found
        return out

    def _tells_no_more_than_a_limit(self, i: int, fit: WellFit, *, shown: bool) -> bool:
        """Whether what a well shows may be a side of its negatives, and nothing says where positives lie."""
        lone = sum(self.usable) == 1 and not any(self.without_template)
        if fit.count is not None:
            return lone and fit.count.positive < _FEWEST_POSITIVES
        part = min(np.exp(-fit.rate), -np.expm1(-fit.rate))
        if lone:
            return bool(fit.n_droplets * part < _FEWEST_POSITIVES) or not _distinct(self.amplitudes[i], fit)
        spread, gap, width = np.exp(fit.mode[-3:])
        apart = gap / np.sqrt(0.5 * (spread**2 + width**2))
        return bool(not shown and apart < _HARDLY and -np.expm1(-fit.rate) < _RARE)

    def _limited(self, i: int, found: WellFit, beliefs: Beliefs, draws: int) -> tuple[WellFit, str]:
        """A well that shows no more than an upper limit of lambda."""
        gap = self.gap
        at = gap if np.isfinite(gap.height) else replace(half_way(gap, beliefs), height=_CLEAR * gap.spread)
        clear = Count.of(self.cleared[i], at.threshold(i))
        told = f"nothing shows where positives lie: {counted(clear.positive, 'droplet')} clear of the other ones, "
        if found.rate > _LIKELY_FULL:
            told += "which are positive if the well is saturated, and taken for negatives; "
            found = counted_well(self.cleared[i], beliefs, clear, at, i, draws=draws, seed=self.seeds[i])
        elif found.count is None:
            told += f"and lambda {found.rate:.3g} if a cluster of positives is among them; "
        told += "only an upper limit is known"
        return found.as_limit(clear, np.random.default_rng(self.seeds[i])), told

    def settled(
        self, i: int, found: WellFit | str, beliefs: Beliefs, draws: int, *, shown: bool
    ) -> tuple[WellFit | str, str]:
        """The fit of a well, or its count where there is no fit or the plate's gap contradicts it; and why.

        `shown` is whether any well shows where positives lie.
        """
        x, gap = self.cleared[i], self.gap
        if self.usable[i] and isinstance(found, WellFit) and self._tells_no_more_than_a_limit(i, found, shown=shown):
            return self._limited(i, found, beliefs, draws)
        if not self.usable[i] or (isinstance(found, WellFit) and (found.count is not None or not gap.shown)):
            return found, ""
        at = gap if gap.shown else half_way(gap, beliefs)
        count = Count.of(x, at.threshold(i))
        if isinstance(found, str):
            why = f"counted at the {'' if gap.shown else 'half-way '}threshold, because the fit failed: {found}"
        else:
            (low, high), (least, _) = found.ends(), count.interval(*_ENDS)
            most = replace(count, hidden=2.0 * gap.hidden).interval(*_ENDS)[1]
            if not self.counting or not (high < least or low > most):
                return found, ""
            told = "another kind of target, or negatives of another shape, may be in this well"
            why = f"counted at the plate's gap; a fit of this well alone says lambda {found.rate:.3g}: {told}"
        return counted_well(x, beliefs, count, at, i, draws=draws, seed=self.seeds[i]), why


@dataclass(frozen=True, kw_only=True)
class _Job:
    x: Array
    beliefs: Beliefs
    draws: int
    seed: np.random.SeedSequence
    start: Array | None = None


def fit_plate(wells: Wells, *, draws: int) -> PlateFit:
    """Fit wells one by one, learn from all of them what they share, and fit them again with that.

    Wells in which nothing lies in the gap that the plate shows are counted instead.

    Parameters
    ----------
    wells : Wells
        The shape of the negatives is learned from those without template.
    draws : int
        Of the posterior of each well; a power of 2.
    """
    each = zip(wells.amplitudes, wells.without_template, wells.usable, strict=True)
    shown = [x for x, control, fine in each if control and fine and x.size >= _FEWEST_DROPLETS]
    gap = wells.gap
    beliefs, learned_from = _beliefs(skewed(), (gap.baseline, _UNKNOWN_BASELINE * gap.spread), gap.spread), ""
    if gap.shown:
        log_gap, log_width = np.log([gap.positives, max(gap.width, _NARROW * gap.spread)]).tolist()
        beliefs = replace(beliefs, log_gap=(log_gap, _SHOWN_GAP), log_positive_sd=(log_width, _POSITIVE_SD[1]))
    if shown:
        shape, baseline, spread = _from_controls(shown)
        beliefs = replace(beliefs, shape=shape, baseline=(baseline, _KNOWN_BASELINE * spread))
        beliefs = replace(beliefs, log_spread=(float(np.log(spread)), _SPREAD_SD))
        learned_from = "wells without template"
    elif (
        gap.shown
        and (own := _from_negatives(wells.amplitudes, [gap.threshold(i) for i in range(len(wells.amplitudes))]))
        is not None
    ):
        beliefs, learned_from = replace(beliefs, shape=own), _ALL_NEGATIVES
    starts: list[Array | None] = [None] * len(wells.amplitudes)
    found = wells.fitted(wells.alike(beliefs), starts, FEW_DRAWS, "wells, one by one")
    for _ in range(0 if learned_from else _ROUNDS):
        own = _from_fits(wells.amplitudes, found, beliefs)
        if own is None:
            break
        beliefs = replace(beliefs, shape=own)
        starts = [_mode(fit) for fit in found]
        found = wells.fitted(wells.alike(beliefs), starts, FEW_DRAWS, "wells, with a shape of their own")
    if not learned_from:
        learned_from = "a typical skewed shape" if beliefs.shape == skewed() else _ALL_NEGATIVES
    return together(wells, beliefs, found, learned_from, draws)


def together(wells: Wells, weak: Beliefs, found: Sequence[WellFit | str], learned_from: str, draws: int) -> PlateFit:
    """Fit wells again with what all of them say, after they were found one by one with weak beliefs."""
    alone = [fit if isinstance(fit, WellFit) else None for fit in found]
    beliefs = learned(weak, [fit for fit in alone if fit is not None])
    moved = np.log(weak.shape.shares) - np.log(beliefs.shape.shares)
    starts = [None if mode is None else _relative(mode, moved) for mode in map(_mode, found)]
    own = wells.alike(beliefs)
    found = wells.fitted(own, starts, draws, "wells, with what the plate says")
    shown = wells.gap.shown or any(fit is not None and _tells_of_positives(fit) for fit in alone)
    ended = [wells.settled(i, fit, beliefs, draws, shown=shown) for i, fit in enumerate(found)]
    return PlateFit(
        wells=[fit if isinstance(fit, WellFit) else None for fit, _ in ended],
        alone=alone,
        why=[why if isinstance(fit, WellFit) else fit for fit, why in ended],
        own=own,
        beliefs=beliefs,
        weak=weak,
        learned_from=learned_from,
        gap=wells.gap,
        cleared=wells.cleared,
    )


def learned(beliefs: Beliefs, fits: Sequence[WellFit]) -> Beliefs:
    """Beliefs after a look at fits of wells: the priors of what differs between them become those of this plate."""
    spread = float(np.exp(beliefs.log_spread[0]))
    telling = [fit for fit in fits if _tells_of_positives(fit)]
    found: dict[str, Pair] = {}
    for name, from_wells in (
        ("baseline", fits),
        ("log_spread", fits),
        ("log_gap", telling),
        ("log_positive_sd", telling),
    ):
        typical = _TYPICAL[name] * (spread if name == "baseline" else 1.0)
        found[name] = pooled([fit.belief(name) for fit in from_wells], getattr(beliefs, name), typical)
    for name in ("probit_rho", "log_step_sd") if isinstance(beliefs, GradedBeliefs) else ():
        before = getattr(beliefs, name)
        own = [belief for fit in telling if (belief := fit.belief(name))[1] < _TOLD * before[1]]
        found[name] = pooled(own, before, _TYPICAL[name])
    for name in ("rain", "tilt"):
        before = getattr(beliefs, name)
        own = [belief for fit in telling if (belief := fit.belief(name))[1] < _TOLD * before[1]]
        found[name] = pooled(own, before, _TYPICAL[name])
    shape, share_sd = _shares(beliefs, [fit for fit in fits if n_negative(fit) > _FEWEST_DROPLETS])
    return replace(beliefs, **found, shape=shape, share_sd=share_sd)


def elsewhere(alone: WellFit, beliefs: Beliefs) -> float:
    """How far from the other wells' the log of a well's gap is, if that is no chance; else 0."""
    (own, error), (mu, sd) = alone.belief("log_gap"), beliefs.log_gap
    # The shoulder of the negatives alone can pass for positives too, but then it is not clear how many there are.
    sure = alone.belief("log_rate")[1] < _SURE
    return own - mu if sure and abs(own - mu) > _CONTRADICTED * np.hypot(error, sd) else 0.0


def _shares(beliefs: Beliefs, fits: Sequence[WellFit]) -> tuple[Shape, float]:
    """The shape with shares in the middle of the wells', and how far these are from it."""
    J = beliefs.n_negative
    ratios, sds = np.zeros(J), []
    for j in range(1, J):
        pairs = []
        for fit in fits:
            x = fit.draws[:, j]
            mean = float(fit.shares @ x)
            pairs.append((mean, float(np.sqrt(fit.shares @ np.square(x - mean)))))
        ratios[j], sd = pooled(pairs, (0.0, beliefs.share_sd), _TYPICAL_SHARES)
        sds.append(sd)
    shares = np.asarray(beliefs.shape.shares) * np.exp(ratios)
    shape = replace(beliefs.shape, shares=tuple((shares / shares.sum()).tolist()))
    return shape, float(np.sqrt(np.mean(np.square(sds))))


def _fitted(job: _Job) -> WellFit | str:
    try:
        return fit_well(job.x, job.beliefs, draws=job.draws, seed=job.seed, start=job.start)
    except (ArithmeticError, FitError, np.linalg.LinAlgError) as error:
        return str(error)


def _distinct(x: Array, fit: WellFit) -> bool:
    """Whether a valley lies between the negatives and the positives of a fit."""
    baseline, spread, gap = fit.mode[-4], np.exp(fit.mode[-3]), np.exp(fit.mode[-2])
    ordered = np.sort(x)
    at = baseline + np.linspace(0.0, gap, 60)
    near = np.searchsorted(ordered, at + 0.5 * spread) - np.searchsorted(ordered, at - 0.5 * spread)
    peak, valley = float(min(near[0], near[-1])), float(near.min())
    return valley < _VALLEY * peak and peak - valley > _CERTAIN * np.sqrt(peak + valley)


def _mode(fit: WellFit | str) -> Array | None:
    return fit.mode if isinstance(fit, WellFit) else None


def _relative(mode: Array, moved: Array) -> Array:
    """A mode whose shares are relative to other ones."""
    out = mode.copy()
    out[1 : moved.size] += moved[1:] - moved[0]
    return out


def _tells_of_positives(fit: WellFit) -> bool:
    positives = -fit.n_droplets * np.expm1(-np.exp(fit.belief("log_rate")[0]))
    (gap, uncertain), (spread, _) = fit.belief("log_gap"), fit.belief("log_spread")
    clear = gap - spread > np.log(_LEAST_SEPARATION)
    return bool(positives > _FEWEST_POSITIVES and uncertain < _KNOWN_GAP and clear)


def pooled(estimates: Sequence[Pair], before: Pair, typical: float) -> Pair:
    """Mean and sd of a well's parameter, from estimates and standard errors in wells; some may be far off."""
    if not estimates:
        return before
    x, errors = np.array(estimates).T
    middle = float(np.median(x))
    between = max((1.4826 * float(np.median(np.abs(x - middle)))) ** 2 - float(np.median(np.square(errors))), 0.0)
    between = max((x.size * between + _WORTH * typical**2) / (x.size + _WORTH), typical**2)
    weights = 1.0 / (np.square(errors) + between)
    order = np.argsort(x)
    passed = np.cumsum(weights[order]) - 0.5 * weights[order]
    mean = float(np.interp(0.5 * weights.sum(), passed, x[order]))
    return mean, float(np.sqrt(between + 1.5 / weights.sum()))  # a median varies half as much again as a mean


def _beliefs(shape: Shape, baseline: Pair, spread: float) -> Beliefs:
    log_spread = float(np.log(spread))
    return Beliefs(
        shape=shape,
        baseline=baseline,
        log_spread=(log_spread, _SPREAD_SD),
        log_gap=(log_spread + _GAP[0], _GAP[1]),
        log_positive_sd=(log_spread + _POSITIVE_SD[0], _POSITIVE_SD[1]),
    )


def _from_controls(shown: Sequence[Array]) -> tuple[Shape, float, float]:
    """Shape of the negatives in wells without template, a typical middle and spread."""
    middles, spreads = np.array([middle_and_spread(x) for x in shown]).T
    z = np.concatenate([(x - m) / s for x, m, s in zip(shown, middles, spreads, strict=True)])
    return learn(*binned(z, _FINE)), float(np.median(middles)), float(np.median(spreads))


def _from_fits(amplitudes: Sequence[Array], found: Sequence[WellFit | str], beliefs: Beliefs) -> Shape | None:
    """The shape of the negatives in wells whose clusters are apart; droplets count by how likely they are negative."""
    z, weights = [], []
    for x, fit in zip(amplitudes, found, strict=True):
        if isinstance(fit, str) or n_negative(fit) < _FEWEST_DROPLETS:
            continue
        baseline, spread, gap = fit.mode[-4], np.exp(fit.mode[-3]), np.exp(fit.mode[-2])
        if gap < _APART * spread:
            continue
        centres, counts = binned(x, _FINE * float(spread))
        negative, positive = cluster_log_densities(centres, fit, beliefs)
        odds = positive - negative + np.log(np.expm1(np.exp(fit.mode[0])))
        z.append((centres - baseline) / spread)
        weights.append(counts * expit(-odds))
    if not z:
        return None
    return learn(np.concatenate(z), np.concatenate(weights))


def _from_negatives(amplitudes: Sequence[Array], below: Sequence[float]) -> Shape | None:
    """The shape of what is surely negative, below these amplitudes."""
    z = []
    for x, limit in zip(amplitudes, below, strict=True):
        negative = x[x < limit]  # none where the limit is NaN
        if negative.size >= _FEWEST_DROPLETS:
            middle, width = middle_and_spread(negative)
            z.append((negative - middle) / width)
    return learn(*binned(np.concatenate(z), _FINE)) if z else None
