"""Two channels of a plate together: is there cross-talk or competition, and what wells hold if there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import FitError
from bayesgmm.ddpcr._droplet_model import Beliefs, Pair
from bayesgmm.ddpcr._fit_plate import PlateFit, pooled
from bayesgmm.ddpcr._fit_well import WellFit, clipped, misfit, weighted
from bayesgmm.ddpcr._flags import LEAST_SEPARATION
from bayesgmm.ddpcr._pair_density import LEFT, SPILL, TURN, Droplets, PairBeliefs, PairDensity, log_shares
from bayesgmm.inference._parallel import run_parallel

Array = NDArray[np.float64]

# Bins of both amplitudes, in spreads of the negatives. A variance is off by 1/12 of its square.
_BIN = 1.0 / 6.0
_FEW, _MANY, _APPROACHED = 40, 150, 2  # evaluations, and starts
# Degrees of freedom of Student's t that draws come from; of so many parameters 6 would waste most draws.
_TAILS = 20.0
# Before wells learn from each other: sds of log gap and log width of the positives, and of log ratios of shares.
WEAK_GAP, _WEAK_WIDTH, _WEAK_SHARES = 0.5, 0.3, 0.5
# So many wells, those that tell most, are asked whether there is cross-talk.
_ASKED = 24
# A well tells of cross-talk if it has so many droplets positive in either channel alone, and of competition if it has
# so many positive in both.
_FEWEST = 20.0
# Shifts of a cluster by fewer of its sds change nothing that matters.
NEGLIGIBLE = 0.25
_SURE = 1.96
# A channel that sees more than this of the other's signal sees the other's dye.
_MOST_SPILL = 0.5
_ONE_DYE = "one would see more than half of the other's signal: rather one dye in both, or negatives that lean together"
TOO_FEW = "no well has enough droplets positive in each of them alone, without which it cannot be told from linkage"
# How much wells of a plate differ at least and as a rule.
_TYPICAL_SPILL, _TYPICAL_LEFT, _TYPICAL_TURN = 0.01, 0.02, 0.1
_TYPICAL = {"baseline": 0.5, "log_spread": 0.05, "log_gap": 0.05, "log_positive_sd": 0.1}
# Heights of the surely negative and positive, in gaps; quantiles of the lower end and the upper; how far from the
# baseline droplets are looked at for correlation, in spreads.
_FIRST_GUESS, _LOW_QUANTILE, _HIGHEST = (0.3, 0.6), 0.05, 0.997
_NEAR, _MOST_CORRELATED = 2.5, 0.95


@dataclass(frozen=True, kw_only=True)
class PairFit:
    """What the droplets of a well say in two channels.

    Attributes
    ----------
    mode : (p,) array
        Of the posterior of the parameters of `PairDensity`.
    sds : (p,) array
        From the curvature there.
    clusters : (4,) array
        Shares of --, +-, -+, ++ among the droplets that are no outliers.
    draws : (S, p) array
        None before wells have learned from each other.
    wells : (WellFit, WellFit)
        Each channel's part of the draws, lambda being that of all copies of its target.
    """

    mode: Array
    sds: Array
    clusters: Array
    n_droplets: int
    draws: Array
    wells: tuple[WellFit, ...]

    @property
    def effects(self) -> Array:
        """Draws of cross-talk and competition, as shares of signals (S, 4)."""
        return effects_of(self.draws)

    @property
    def linked(self) -> Array:
        """Draws of lambda of the linked pair."""
        return log_excess(np.exp(log_shares(self.draws)))

    def quantiles(self, values: Array, probabilities: tuple[float, ...]) -> Array:
        """Quantiles of something computed from the draws (S,)."""
        return self.wells[0].quantiles(values, probabilities)


@dataclass(frozen=True, kw_only=True)
class PairPlate:
    """What a plate says of two channels.

    Attributes
    ----------
    wells : list of PairFit or None
        None where the fits of single channels stand.
    effects : (4, 2) array
        Mean and standard error over the plate's wells, in the order of `EFFECTS`; NaN where no well tells.
    found : tuple of bool
        Which of them are more than negligible.
    unseen : str
        Why nothing could be seen, if so.
    beliefs : PairBeliefs, optional
        What the plate says of a well, if anything was found.
    """

    wells: list[PairFit | None]
    effects: Array
    found: tuple[bool, ...]
    unseen: str = ""
    beliefs: PairBeliefs | None = None

    @classmethod
    def without(cls, n: int, *, unseen: str) -> PairPlate:
        """Where n wells keep the fits of single channels, and nobody can say what effects there are."""
        return cls(wells=[None] * n, effects=np.full((4, 2), np.nan), found=(False,) * 4, unseen=unseen)


@dataclass(frozen=True, kw_only=True)
class _Job:
    x: Array
    beliefs: PairBeliefs
    modes: tuple[Array, Array]
    draws: int
    seed: np.random.SeedSequence
    start: Array | None = None


def fit_pair(
    amplitudes: Sequence[Array],
    fits: tuple[PlateFit, PlateFit],
    without_template: Sequence[bool],
    *,
    draws: int,
    seed: np.random.SeedSequence,
    cores: int | None,
    progress: Any,
) -> PairPlate:
    """Look for cross-talk and competition where wells tell of them, and fit all wells jointly if there is any.

    Controls keep their fits: where nothing is positive nothing reaches the other channel. So do wells that are counted
    in both channels.

    Parameters
    ----------
    amplitudes : sequence of (n, 2) arrays
        Of each well.
    fits : (PlateFit, PlateFit)
        Of both channels.
    without_template : sequence of bool
    draws : int
        Of the posterior of each well; a power of 2.
    seed : SeedSequence
    cores : int, optional
    progress : Progress
    """
    n = len(amplitudes)
    pairs = [(first, second) for first, second in zip(fits[0].wells, fits[1].wells, strict=True)]
    single = {
        i: (a.mode, b.mode)
        for i, (a, b) in enumerate(pairs)
        if a is not None and b is not None and not without_template[i] and (a.count is None or b.count is None)
    }
    seeds = seed.spawn(n)
    weak = PairBeliefs(channels=(_weak(fits[0].beliefs), _weak(fits[1].beliefs)))

    def some(wells: Sequence[int], beliefs: PairBeliefs, starts: dict[int, Array], draws: int, what: str) -> list[Any]:
        jobs = [
            _Job(x=amplitudes[i], beliefs=beliefs, modes=single[i], draws=draws, seed=seeds[i], start=starts.get(i))
            for i in wells
        ]
        return list(run_parallel(_fitted, jobs, total=len(jobs), cores=cores, progress=progress, what=what))

    score = {i: _fewest_alone(len(amplitudes[i]), modes) for i, modes in single.items()}
    asked = sorted((i for i in score if score[i] >= _FEWEST), key=lambda i: -score[i])[:_ASKED]
    nothing = PairPlate.without(n, unseen=TOO_FEW)
    if not asked:
        return nothing
    alone = dict(zip(asked, some(asked, weak, {}, 0, "pairs of channels, one by one"), strict=True))
    telling = [fit for fit in alone.values() if isinstance(fit, PairFit) and _tells(fit)]
    if not telling:
        return nothing
    beliefs, effects = _learned(weak, telling)
    found = effects_found(beliefs, effects)
    if not any(found):
        return replace(nothing, effects=effects, unseen="")
    if effects[:2, 0].max() > _MOST_SPILL:
        return replace(nothing, unseen=_ONE_DYE)
    starts = {i: fit.mode for i, fit in alone.items() if isinstance(fit, PairFit)}
    wells: list[PairFit | None] = [None] * n
    for i, fit in zip(single, some(list(single), beliefs, starts, draws, "pairs of channels, together"), strict=True):
        wells[i] = fit if isinstance(fit, PairFit) else None
    return PairPlate(wells=wells, effects=effects, found=found, beliefs=beliefs)


def fit_well_pair(
    x: Array,
    beliefs: PairBeliefs,
    modes: tuple[Array, Array],
    *,
    draws: int,
    seed: np.random.SeedSequence,
    start: Array | None = None,
) -> PairFit:
    """Fit `PairDensity` to a well.

    Parameters
    ----------
    x : (n, 2) array
    beliefs : PairBeliefs
    modes : ((p,) array, (p,) array)
        Of each channel alone.
    draws : int
        Of the posterior; 0 for the mode and its curvature alone.
    seed : SeedSequence
    start : (p,) array, optional
        A mode under other beliefs.

    Raises
    ------
    FitError
        If no start leads to a mode that curves down in every direction.
    """
    inside = [clipped(x[:, c], each) for c, each in enumerate(beliefs.channels)]
    x, n_clipped = np.column_stack([each for each, _ in inside]), [n for _, n in inside]
    spreads = np.exp([each.log_spread[0] for each in beliefs.channels])
    density = PairDensity(Droplets.binned(x, (spreads[0] * _BIN, spreads[1] * _BIN)), beliefs)
    starts = _starts(density, x, beliefs, modes) if start is None else [start]
    near = [density.climb(each, _FEW) for each in starts]
    best = density.climb(max(near, key=lambda end: end[1])[0], _MANY)[0]
    try:
        mode, factor, converged = density.top(best)
    except np.linalg.LinAlgError as error:
        raise FitError(f"no mode was found: {error}") from error
    points, shares, pareto_k = mode[None], np.ones(1), np.nan
    if draws:
        points, importance, _ = weighted(density, mode, factor, draws, np.random.default_rng(seed), _TAILS)
        shares, pareto_k = importance.shares, importance.pareto_k
    own = [np.asarray(density.own(mode, c)) for c in range(2)]
    highest = [each[-4] + float(np.exp(each[-2]) + 5.0 * np.exp(each[-1])) for each in own]
    wells = tuple(
        WellFit(
            mode=own[c],
            draws=density.own(points, c),
            shares=shares,
            pareto_k=pareto_k,
            converged=converged,
            n_droplets=len(x),
            misfit=misfit(x[:, c], density.marginal(mode, c), own[c], highest[c]) if draws else np.nan,
            n_clipped=n_clipped[c],
            log_evidence=np.nan,  # that of both channels cannot be taken apart
        )
        for c in range(2)
    )
    return PairFit(
        mode=mode,
        sds=np.sqrt(np.square(factor).sum(axis=1)),
        clusters=np.exp(log_shares(mode)),
        n_droplets=len(x),
        draws=points,
        wells=wells,
    )


def effects_of(theta: Array) -> Array:
    """Cross-talk and competition (..., 4) of parameters (..., p), in the order of `EFFECTS`."""
    return np.concatenate([theta[..., SPILL], -np.expm1(theta[..., LEFT])], axis=-1)


def log_excess(shares: Array) -> Array:
    """Lambda of linked molecules, ln(N N00 / ((N00 + N10) (N00 + N01))), of shares (S, 4)."""
    none, only_x, only_y, _ = shares.T
    return np.log(none) - np.log(none + only_x) - np.log(none + only_y)


def _fitted(job: _Job) -> PairFit | str:
    try:
        return fit_well_pair(job.x, job.beliefs, job.modes, draws=job.draws, seed=job.seed, start=job.start)
    except FitError as error:
        return str(error)


def _weak(beliefs: Beliefs) -> Beliefs:
    """Where the positives are may be wrong if channels were taken one by one."""
    gap, width = beliefs.log_gap, beliefs.log_positive_sd
    return replace(
        beliefs,
        log_gap=(gap[0], max(gap[1], WEAK_GAP)),
        log_positive_sd=(width[0], max(width[1], _WEAK_WIDTH)),
        share_sd=max(beliefs.share_sd, _WEAK_SHARES),
    )


def _fewest_alone(n: int, modes: tuple[Array, Array]) -> float:
    """Droplets with the one target alone or with the other alone, whichever are fewer, if targets were not linked."""
    a, b = np.exp(modes[0][0]), np.exp(modes[1][0])
    return n * min(-np.expm1(-a) * np.exp(-b), -np.expm1(-b) * np.exp(-a))


def _tells(fit: PairFit) -> bool:
    """Whether both targets are seen alone, in clusters that no bulge of the negatives could be."""
    spreads, gaps, widths = np.exp([each.mode[-3:] for each in fit.wells]).T
    apart = gaps / np.sqrt(0.5 * (np.square(spreads) + np.square(widths)))
    return bool((fit.n_droplets * fit.clusters[1:3]).min() >= _FEWEST and apart.min() >= LEAST_SEPARATION)


def _starts(density: PairDensity, x: Array, beliefs: PairBeliefs, modes: tuple[Array, Array]) -> list[Array]:
    """The best of a few points: gaps as fitted, as believed and as far as amplitudes reach, with and without spills."""
    own, gaps = [], []
    for c, (each, mode) in enumerate(zip(beliefs.channels, modes, strict=True)):
        typical = density.channels[c].density.prior[:, 0].copy()
        reach = 3.0 * each.baseline[1]
        typical[-4] = np.clip(mode[-4], each.baseline[0] - reach, each.baseline[0] + reach)
        spread = np.exp(each.log_spread[0])
        far = float(np.quantile(x[:, c], _HIGHEST)) - typical[-4] - spread
        gaps.append([mode[-2], each.log_gap[0], np.log(max(far, 2.0 * spread))])
        own.append(typical)
    turn = _turn(x, own)
    found = []
    for g in gaps[0]:
        for h in gaps[1]:
            first, second = own[0].copy(), own[1].copy()
            first[-2], second[-2] = g, h
            bases, widths = (first[-4], second[-4]), np.exp([g, h])
            believed = beliefs.spill[0][0], beliefs.spill[1][0]
            for spill in {believed, _guess(x, bases, widths)}:
                found.append(density.start(spill, turn, first, second))
    order = np.argsort([-value for _, value in found])[:_APPROACHED]
    return [found[i][0] for i in order]


def _guess(x: Array, baselines: tuple[float, float], gaps: Array) -> tuple[float, float]:
    """Spills, from how far the lower end of a channel moves where the other one is positive."""
    out = []
    for d, c in ((0, 1), (1, 0)):
        height = (x[:, d] - baselines[d]) / gaps[d]
        off, on = x[height < _FIRST_GUESS[0], c], x[height > _FIRST_GUESS[1], c]
        few = min(off.size, on.size) < _FEWEST
        moved = 0.0 if few else float(np.quantile(on, _LOW_QUANTILE) - np.quantile(off, _LOW_QUANTILE))
        out.append(float(np.clip(moved / gaps[d], -0.2, 0.6)))
    return out[0], out[1]


def _turn(x: Array, own: list[Array]) -> float:
    """Inverse hyperbolic tangent of the correlation of droplets that are negative in both channels."""
    z = (x - [each[-4] for each in own]) / np.exp([each[-3] for each in own])
    near = z[np.abs(z).max(axis=1) < _NEAR]
    if len(near) < _FEWEST or near.std(axis=0).min() == 0.0:
        return 0.0
    return float(np.arctanh(np.clip(np.corrcoef(near.T).flat[1], -_MOST_CORRELATED, _MOST_CORRELATED)))


def _learned(weak: PairBeliefs, fits: Sequence[PairFit]) -> tuple[PairBeliefs, Array]:
    """What wells have in common, and (4, 2) means and standard errors of the effects over them."""
    modes, sds = np.array([fit.mode for fit in fits]), np.array([fit.sds for fit in fits])
    counts = np.array([fit.n_droplets * fit.clusters for fit in fits])

    def together(place: int, before: Pair, typical: float, used: Any = slice(None)) -> Pair:
        return pooled(list(zip(modes[used, place], sds[used, place], strict=True)), before, typical)

    spill = [together(SPILL.start + d, weak.spill[d], _TYPICAL_SPILL) for d in range(2)]
    both = counts[:, 3] >= _FEWEST
    left = [together(LEFT.start + c, weak.left[c], _TYPICAL_LEFT, both) for c in range(2)]
    turn = [together(TURN.start + q, weak.turn[q], _TYPICAL_TURN, counts[:, q] >= _FEWEST) for q in range(4)]
    # Numbers of a channel's own part: the last four are where its clusters are.
    channels, end = [], modes.shape[1]
    for each, stop in zip(weak.channels, (end - fits[0].wells[1].mode.size + 2, end), strict=True):
        spread = float(np.exp(each.log_spread[0]))
        places = zip(_TYPICAL.items(), range(stop - 4, stop), strict=True)
        own = {
            name: together(place, getattr(each, name), typical * (spread if name == "baseline" else 1.0))
            for (name, typical), place in places
        }
        channels.append(replace(each, **own))
    beliefs = PairBeliefs(
        channels=(channels[0], channels[1]),
        spill=(spill[0], spill[1]),
        left=(left[0], left[1]),
        turn=(turn[0], turn[1], turn[2], turn[3]),
    )
    effects = np.full((4, 2), np.nan)
    for e, (pair, place) in enumerate(zip([*spill, *left], [4, 5, 6, 7], strict=True)):
        used = both if e > 1 else np.ones(len(fits), dtype=bool)
        if used.any():
            variances = np.square(sds[used, place]) + pair[1] ** 2
            mean = pair[0] if e < 2 else -np.expm1(pair[0])
            effects[e] = mean, np.sqrt(1.5 / (1.0 / variances).sum())
    return beliefs, effects


def effects_found(beliefs: PairBeliefs, effects: Array) -> tuple[bool, ...]:
    """Which effects surely shift a cluster by more than is negligible."""
    gaps = np.exp([each.log_gap[0] for each in beliefs.channels])
    spreads = np.exp([each.log_spread[0] for each in beliefs.channels])
    widths = np.exp([each.log_positive_sd[0] for each in beliefs.channels])
    units = np.concatenate([gaps / spreads[::-1], gaps / widths])
    with np.errstate(invalid="ignore"):
        sure = (np.abs(effects[:, 0]) - _SURE * effects[:, 1]) * units > NEGLIGIBLE
    return tuple(bool(each) for each in sure)
