"""All wells of a plate in one channel: each is fitted, and what they share is learned from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import FitError
from bayesgmm.ddpcr._droplet_model import RATE_OF_CONTROLS, Beliefs, Pair
from bayesgmm.ddpcr._fit_well import WellFit, binned, fit_well
from bayesgmm.ddpcr._graded_model import GradedBeliefs
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
_TYPICAL |= {"probit_rho": 0.1, "log_step_sd": 0.2}
# A well tells of rho and of the step of the variance if they are known so much better than before.
_TOLD = 0.5
_WORTH = 3.0
# The same of log ratios of the shares of the negatives' components.
_TYPICAL_SHARES = 0.3
_FINE = 1.0 / 20.0
FEW_DRAWS = 256
# A well's own gap contradicts the other wells' if it is so many standard deviations away.
_CONTRADICTED, _SURE = 2.5, 0.3


@dataclass(frozen=True, kw_only=True)
class PlateFit:
    """Fits of all wells in one channel.

    Attributes
    ----------
    wells : list of WellFit or None
        None where a well could not be fitted; `why` says why.
    alone : list of WellFit or None
        Before the wells learned from each other.
    why : list of str
    own : list of Beliefs
        What each well was fitted with.
    beliefs : Beliefs
        What the plate says of a well, in the end.
    weak : Beliefs
        What wells were fitted with before they learned from each other.
    learned_from : str
        Where the shape of the negatives comes from.
    grades : str
        What came of the question whether amplitudes grow with the number of molecules, if it was asked.
    flags : tuple of str
        What must be said of that.
    """

    wells: list[WellFit | None]
    alone: list[WellFit | None]
    why: list[str]
    own: list[Beliefs]
    beliefs: Beliefs
    weak: Beliefs
    learned_from: str
    grades: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wells:
    """Wells of a plate in one channel, and how they are fitted."""

    amplitudes: Sequence[Array]
    without_template: Sequence[bool]
    seeds: Sequence[np.random.SeedSequence]
    cores: int | None
    progress: Any

    @cached_property
    def usable(self) -> list[bool]:
        """Which have droplets that differ."""
        return [x.size > 1 and float(x.max()) > float(x.min()) for x in self.amplitudes]

    def alike(self, beliefs: Beliefs) -> list[Beliefs]:
        """The same for each well, but for the rate of controls."""
        stricter = replace(beliefs, rate=RATE_OF_CONTROLS)
        return [stricter if control else beliefs for control in self.without_template]

    def fitted(self, beliefs: Sequence[Beliefs], starts: Sequence[Array | None], draws: int, what: str) -> list[Any]:
        """A `WellFit` of each, or why there is none."""
        each = zip(self.amplitudes, beliefs, self.seeds, starts, self.usable, strict=True)
        jobs = [
            _Job(x=x, beliefs=own, draws=draws, seed=seed, start=start) for x, own, seed, start, fine in each if fine
        ]
        ended = run_parallel(_fitted, jobs, total=len(jobs), cores=self.cores, progress=self.progress, what=what)
        rest = iter(ended)
        return [next(rest) if fine else "no droplets with different amplitudes" for fine in self.usable]


@dataclass(frozen=True, kw_only=True)
class _Job:
    x: Array
    beliefs: Beliefs
    draws: int
    seed: np.random.SeedSequence
    start: Array | None = None


def fit_plate(wells: Wells, *, draws: int) -> PlateFit:
    """Fit wells one by one, learn from all of them what they share, and fit them again with that.

    Parameters
    ----------
    wells : Wells
        The shape of the negatives is learned from those without template.
    draws : int
        Of the posterior of each well; a power of 2.
    """
    usable = [x for x, fine in zip(wells.amplitudes, wells.usable, strict=True) if fine]
    each = zip(wells.amplitudes, wells.without_template, wells.usable, strict=True)
    shown = [x for x, control, fine in each if control and fine and x.size >= _FEWEST_DROPLETS]
    if shown:
        beliefs, learned_from = _from_controls(shown), "wells without template"
    else:
        beliefs, learned_from = _from_lower_clusters(usable), ""
    starts: list[Array | None] = [None] * len(wells.amplitudes)
    found = wells.fitted(wells.alike(beliefs), starts, FEW_DRAWS, "wells, one by one")
    if not shown:
        shape = _from_negatives(wells.amplitudes, found, beliefs)
        learned_from = "a typical skewed shape" if shape is None else "the negatives of all wells"
        if shape is not None:
            beliefs = replace(beliefs, shape=shape)
            starts = [_mode(fit) for fit in found]
            found = wells.fitted(wells.alike(beliefs), starts, FEW_DRAWS, "wells, with a shape of their own")
    return together(wells, beliefs, found, learned_from, draws)


def together(wells: Wells, weak: Beliefs, found: Sequence[WellFit | str], learned_from: str, draws: int) -> PlateFit:
    """Fit wells again with what all of them say, after they were found one by one with weak beliefs."""
    alone = [fit if isinstance(fit, WellFit) else None for fit in found]
    beliefs = learned(weak, [fit for fit in alone if fit is not None])
    moved = np.log(weak.shape.shares) - np.log(beliefs.shape.shares)
    starts = [None if mode is None else _relative(mode, moved) for mode in map(_mode, found)]
    own = [
        each if control else _believed(each, fit)
        for each, fit, control in zip(wells.alike(beliefs), alone, wells.without_template, strict=True)
    ]
    found = wells.fitted(own, starts, draws, "wells, with what the plate says")
    return PlateFit(
        wells=[fit if isinstance(fit, WellFit) else None for fit in found],
        alone=alone,
        why=["" if isinstance(fit, WellFit) else fit for fit in found],
        own=own,
        beliefs=beliefs,
        weak=weak,
        learned_from=learned_from,
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
    shape, share_sd = _shares(beliefs, [fit for fit in fits if _negatives(fit) > _FEWEST_DROPLETS])
    return replace(beliefs, **found, shape=shape, share_sd=share_sd)


def _believed(beliefs: Beliefs, alone: WellFit | None) -> Beliefs:
    """Beliefs for a well: what others say of its positives counts for less if its own droplets contradict it."""
    if alone is None or not _tells_of_positives(alone):
        return beliefs
    away = elsewhere(alone, beliefs)
    return replace(beliefs, log_gap=(beliefs.log_gap[0], abs(away))) if away else beliefs


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


def _negatives(fit: WellFit) -> float:
    return fit.n_droplets * float(np.exp(-np.exp(fit.mode[0])))


def _fitted(job: _Job) -> WellFit | str:
    try:
        return fit_well(job.x, job.beliefs, draws=job.draws, seed=job.seed, start=job.start)
    except FitError as error:
        return str(error)


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


def _from_controls(shown: Sequence[Array]) -> Beliefs:
    middles, spreads = np.array([middle_and_spread(x) for x in shown]).T
    z = np.concatenate([(x - m) / s for x, m, s in zip(shown, middles, spreads, strict=True)])
    baseline, spread = float(np.median(middles)), float(np.median(spreads))
    return _beliefs(learn(*binned(z, _FINE)), (baseline, _KNOWN_BASELINE * spread), spread)


def _from_lower_clusters(amplitudes: Sequence[Array]) -> Beliefs:
    """Without controls: the lower of two clusters in each well, the narrowest of all wells as a rule."""
    found = np.array([middle_and_spread(_lower(x)) for x in amplitudes])
    baseline, spread = np.median(found, axis=0)
    return _beliefs(skewed(), (float(baseline), _UNKNOWN_BASELINE * float(spread)), float(spread))


def _lower(x: Array) -> Array:
    """Amplitudes below the threshold that separates two clusters best (Otsu 1979), if it does; else all."""
    ordered = np.sort(x)
    n = np.arange(1.0, x.size)
    below = np.cumsum(ordered)[:-1]
    between = n / x.size * (1.0 - n / x.size) * np.square(below / n - (ordered.sum() - below) / (x.size - n))
    best = int(np.argmax(between))
    # Cutting one Normal in two explains 2 / pi of its variance.
    return ordered[: best + 1] if between[best] > 0.75 * x.var() else x


def _from_negatives(amplitudes: Sequence[Array], found: Sequence[WellFit | str], beliefs: Beliefs) -> Shape | None:
    """The shape of what is surely negative in wells whose clusters lie well apart."""
    z = []
    for x, fit in zip(amplitudes, found, strict=True):
        if isinstance(fit, str):
            continue
        baseline, spread, gap = fit.mode[-4], np.exp(fit.mode[-3]), np.exp(fit.mode[-2])
        if gap < 8.0 * spread:
            continue
        negative = x[x < baseline + 0.5 * gap]
        if negative.size >= _FEWEST_DROPLETS:
            middle, width = middle_and_spread(negative)
            z.append((negative - middle) / width)
    return learn(*binned(np.concatenate(z), _FINE)) if z else None
