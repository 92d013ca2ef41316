"""The posterior of one well and channel: the mode from several starts, and weighted draws round it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, gammaln, ndtr, ndtri

from bayesgmm._errors import FitError
from bayesgmm._status import Status
from bayesgmm.ddpcr._climb import Climbed
from bayesgmm.ddpcr._counted import Count, moments
from bayesgmm.ddpcr._droplet_clusters import DropletMeans
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._gap import Gap
from bayesgmm.ddpcr._graded_model import GradedBeliefs, GradedDensity
from bayesgmm.ddpcr._well_density import WellDensity
from bayesgmm.engines._importance import Importance, smoothed
from bayesgmm.engines.base import Parameters

Array = NDArray[np.float64]

# Bins of the amplitudes, in units of the spread of the negatives. A variance is off by 1/12 of its square.
BIN = 1.0 / 20.0
# A droplet farther out than so many spreads, and than so many gaps, is put there: it is an outlier, wherever it is.
FARTHEST, _GAPS_AWAY = 200.0, 4.0
# Where a search for the gap begins, in spreads.
_GAPS = (3.0, 4.5, 7.0, 12.0, 25.0, 50.0)
# With so clear an idea of the gap (sd of its logarithm) only gaps near it are tried.
_CLEAR = 0.5
_APPROACHED = 2
_FEW, _MANY = 30, 150  # evaluations
_TAILS = 6.0
# Draws are made again from a better proposal while their weights are worth less than this part of them.
_ENOUGH, _AGAIN, _WORTH = 0.3, 2, 2.0
# The test of fit: from so many spreads above the baseline, in so many bins with at least so many droplets expected.
_BULK, _EDGES, _EXPECTED = 3.0, 61, 8.0
# Numbers that are fitted to what the test looks at: lambda, gap, width and rain, and with grades two more.
_FREE, _FREE_WITH_GRADES = 4, 6


@dataclass(frozen=True, kw_only=True)
class Chains:
    """How the chains of a well that was sampled ended.

    Attributes
    ----------
    status : Status
    r_hat, effective_draws : float
        Of log lambda; draws are those that its ends are worth, if fewer than its mean is worth.
    divergences : int
    flags : tuple of str
        What must be said of them.
    """

    status: Status
    r_hat: float
    effective_draws: float
    divergences: int
    flags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WellFit:
    """What the droplets of a well and channel say.

    Attributes
    ----------
    mode : (p,) array
        Of the posterior of the parameters of `WellDensity`.
    draws : (S, p) array
    shares : (S,) array
        Weights of the draws, adding up to 1.
    pareto_k : float
        Above 0.7 the weights could not correct the approximation that the draws come from.
    converged : bool
    n_droplets : int
    misfit : float
        P value of a chi-squared test of amplitudes above the negatives against the mode.
    n_clipped : int
        Droplets so far away that they were put nearer.
    log_evidence : float
        Of these beliefs.
    moved : (float, float), optional
        Of a well with grades: by how much log lambda would move without Poisson's law among the positives, and the
        standard deviation of that if the law holds.
    chains : Chains, optional
        Of a well that was sampled; then `draws` are those of the chains and have equal shares.
    count : Count, optional
        Of a well that was counted in place of being fitted; then the draws of lambda are those of the count.
    clear : Count, optional
        Of droplets clear of the negatives, where no more than an upper limit is known.
    """

    mode: Array
    draws: Array
    shares: Array
    pareto_k: float
    converged: bool
    n_droplets: int
    misfit: float
    n_clipped: int
    log_evidence: float
    moved: tuple[float, float] | None = None
    chains: Chains | None = None
    count: Count | None = None
    clear: Count | None = None

    # Places from the end, which do not depend on the number of the negatives' components; rho and the step of the sd
    # are there with grades only.
    _places: ClassVar[dict[str, int]] = {
        "log_rate": 0,
        "probit_rho": -10,
        "log_step_sd": -9,
        "tilt": -8,
        "rain": -7,
        "low": -6,
        "outliers": -5,
        "baseline": -4,
        "log_spread": -3,
        "log_gap": -2,
        "log_positive_sd": -1,
    }

    @property
    def rate(self) -> float:
        """Lambda: that of the count where a well was counted and has negatives, else the posterior median."""
        count = self.count or self.clear
        if count is not None and not np.isnan(count.rate):
            return count.rate
        return float(self.quantiles(np.exp(self.of("log_rate")), (0.5,))[0])

    def as_limit(self, clear: Count, rng: np.random.Generator) -> WellFit:
        """This fit where lambda may be anything from what is counted clear of the negatives up to what it says."""
        points = self.draws.copy()
        points[:, 0] = np.log(np.maximum(np.exp(points[:, 0]) * rng.random(len(points)), clear.draws(len(points), rng)))
        return replace(self, draws=points, clear=clear)

    def of(self, name: str) -> Array:
        """Draws of one parameter (S,)."""
        return self.draws[:, self._places[name]]

    def ends(self, low: float = 0.025, high: float = 0.975) -> tuple[float, float]:
        """Quantiles of lambda."""
        lower, upper = self.quantiles(np.exp(self.of("log_rate")), (low, high))
        return float(lower), float(upper)

    def belief(self, name: str) -> tuple[float, float]:
        """Posterior mean and standard deviation of one parameter."""
        x = self.of(name)
        mean = float(self.shares @ x)
        return mean, float(np.sqrt(self.shares @ np.square(x - mean)))

    def quantiles(self, values: Array, probabilities: tuple[float, ...]) -> Array:
        """Quantiles of something computed from the draws (S,)."""
        order = np.argsort(values)
        middle = np.cumsum(self.shares[order]) - 0.5 * self.shares[order]
        return np.interp(probabilities, middle, values[order])


def fit_well(
    x: Array, beliefs: Beliefs, *, draws: int, seed: np.random.SeedSequence, start: Array | None = None
) -> WellFit:
    """Fit the model of `beliefs` to amplitudes.

    Parameters
    ----------
    x : (n,) array
        At least one amplitude.
    beliefs : Beliefs
    draws : int
        Of the posterior; a power of 2.
    seed : SeedSequence
    start : (p,) array, optional
        Where the mode was under other beliefs.

    Raises
    ------
    FitError
        If no start leads to a mode that curves down in every direction.
    """
    x, n_clipped = clipped(x, beliefs)
    density = density_of(*binned(x, float(np.exp(beliefs.log_spread[0])) * BIN), beliefs)
    chosen = []
    for few, scenario in zip((_APPROACHED, 1), _starts(density, beliefs, x), strict=True):
        for alike in (scenario, [density.with_typical_shares(own) for own in scenario]):
            order = np.argsort(density.values(np.array(alike)))[::-1]
            chosen += [alike[i] for i in order[: 1 if start is not None else few]]
    if start is not None:
        # The shape of the negatives may have another number of components now.
        same = start.size == density.size
        chosen.append(start if same else np.concatenate([start[:1], np.zeros(density.J - 1), start[-8:]]))
    near = [density.climb(own, _FEW) for own in chosen]
    best = density.climb(max(near, key=lambda end: end[1])[0], _MANY)[0]
    try:
        mode, factor, converged = density.top(best)
    except np.linalg.LinAlgError as error:
        raise FitError(f"no mode was found: {error}") from error
    points, importance, log_mean = weighted(density, mode, factor, draws, np.random.default_rng(seed))
    moved = density.freed(mode, factor) if isinstance(density, GradedDensity) else None
    shares = importance.shares
    return WellFit(
        mode=mode,
        draws=points,
        shares=shares,
        pareto_k=importance.pareto_k,
        converged=converged,
        n_droplets=x.size,
        misfit=misfit_alone(x, density, mode, beliefs.n_positive),
        n_clipped=n_clipped,
        log_evidence=log_mean + _log_constant_of_prior(density),
        moved=moved,
    )


def counted_well(
    x: Array, beliefs: Beliefs, count: Count, gap: Gap, i: int, *, draws: int, seed: np.random.SeedSequence
) -> WellFit:
    """A well whose droplets are counted: lambda from the count, the rest from the droplets of each cluster.

    Parameters
    ----------
    x : (n,) array
    beliefs : Beliefs
        Only the shape of the negatives is taken from these.
    count : Count
    gap : Gap
    i : int
        Which of the gap's wells it is.
    draws : int
    seed : SeedSequence
    """
    rng = np.random.default_rng(seed)
    found = moments(x, count, gap, i, beliefs.tilt)
    first, *others = found.values()
    # The shares of the negatives' components are as believed: nothing depends on them.
    between = [(0.0, 0.0)] * (beliefs.n_negative - 1)
    if isinstance(beliefs, GradedBeliefs):
        between += [(beliefs.probit_rho[0], 0.0), (beliefs.log_step_sd[0], 0.0)]
    mode, errors = np.array([first, *between, *others]).T
    points = mode + errors * rng.standard_normal((draws, mode.size))
    points[:, 0] = np.log(count.draws(draws, rng))
    return WellFit(
        mode=mode,
        draws=points,
        shares=np.full(draws, 1.0 / draws),
        pareto_k=np.nan,
        converged=True,
        n_droplets=x.size,
        misfit=np.nan,
        n_clipped=0,
        log_evidence=np.nan,
        count=count,
    )


def weighted(
    density: Climbed, center: Array, factor: Array, draws: int, rng: np.random.Generator, tails: float = _TAILS
) -> tuple[Array, Importance, float]:
    """Draws of Student's t, and weights that make them the posterior; t is moved to where these say, if need be.

    Also the log of the density's integral: the mean of the weights.
    """
    from scipy.stats import qmc

    for attempt in range(_AGAIN + 1):
        # Points of a scrambled Sobol sequence fill space more evenly than random ones.
        u = qmc.Sobol(center.size + 1, rng=rng).random(draws)
        z = ndtri(u[:, 1:]) * np.sqrt(tails / chdtri(tails, u[:, :1]))
        points = center + z @ factor.T
        log_q = -0.5 * (tails + center.size) * np.log1p(np.square(z).sum(axis=1) / tails)
        log_ratios = density.values(points) - log_q
        importance = smoothed(log_ratios)
        shares = importance.shares
        effective = 1.0 / np.square(shares).sum()
        if effective > _ENOUGH * draws or attempt == _AGAIN:
            log_mean = float(np.logaddexp.reduce(log_ratios) - np.log(draws))
            return points, importance, log_mean - _log_constant_of_t(factor, tails)
        # In the coordinates of the last t, whose covariance counts as many draws as there are parameters, and more.
        mean = shares @ z
        away = (z - mean) * np.sqrt(shares)[:, None]
        worth = effective / (effective + _WORTH * center.size)
        moved = np.linalg.cholesky(worth * away.T @ away + (1.0 - worth) * np.eye(center.size))
        center, factor = center + factor @ mean, factor @ moved
    raise AssertionError  # the last attempt returns


def _log_constant_of_t(factor: Array, tails: float) -> float:
    """The log constant of the density of Student's t in as many dimensions, with this factor of its scale."""
    p = len(factor)
    scale = float(np.linalg.slogdet(factor)[1]) + 0.5 * p * np.log(tails * np.pi)
    return float(gammaln(0.5 * (tails + p)) - gammaln(0.5 * tails)) - scale


def _log_constant_of_prior(density: WellDensity) -> float:
    """What `WellDensity.log_prior` leaves out."""
    normal = -np.log(density.prior[1:, 1]).sum() - 0.5 * (density.size - 1) * np.log(2.0 * np.pi)
    return float(normal + density.alpha * np.log(density.beta) - gammaln(density.alpha))


def density_of(centres: Array, counts: Array, beliefs: Beliefs) -> WellDensity:
    """The log posterior of a well under these beliefs."""
    kind = GradedDensity if isinstance(beliefs, GradedBeliefs) else WellDensity
    return kind(centres, counts, beliefs)  # type: ignore[arg-type]


def clipped(x: Array, beliefs: Beliefs | DropletMeans) -> tuple[Array, int]:
    """Amplitudes, those that are nowhere near the others put nearer, and how many of them there are."""
    baseline, reach = beliefs.baseline[0], farthest(beliefs)
    inside = np.clip(x, baseline - reach, baseline + reach)
    return inside, int((inside != x).sum())


def farthest(beliefs: Beliefs | DropletMeans) -> float:
    """How far from the baseline amplitudes are looked at."""
    return float(max(FARTHEST * np.exp(beliefs.log_spread[0]), _GAPS_AWAY * np.exp(beliefs.log_gap[0])))


def binned(x: Array, width: float) -> tuple[Array, Array]:
    """Middles of the bins that hold something, and how many."""
    low = float(x.min())
    place, counts = np.unique(np.floor((x - low) / width), return_counts=True)
    return low + (place + 0.5) * width, counts.astype(float)


def _starts(density: WellDensity, beliefs: Beliefs, x: Array) -> tuple[list[Array], list[Array]]:
    """Points from a grid of gaps and baselines: where there are negatives, and where there are none."""
    spread, (mu, sd) = float(np.exp(beliefs.log_spread[0])), beliefs.log_gap
    known = mu + sd * np.array([-1.0, 0.0, 1.0])
    gaps = known if sd < _CLEAR else np.append(np.log(spread * np.array(_GAPS)), mu)
    middle = float(np.median(x))
    baselines = (beliefs.baseline[0], middle, float(np.quantile(x, 0.02)) + 2.0 * spread)
    negative = [density.start(baseline, gap) for baseline in baselines for gap in gaps]
    return negative, [density.start(middle - float(np.exp(gap)), gap) for gap in gaps]


def misfit_alone(x: Array, density: WellDensity, mode: Array, n_positive: int) -> float:
    """`misfit` of a channel that was fitted alone."""
    point, J = density.point(mode), density.J
    some = slice(J, J + max(int((x.size * np.exp(point.log_weights[J : J + n_positive]) > _EXPECTED).sum()), 1))
    high = float((point.means[some, 0] + 5.0 * point.choleskys[some, 0, 0]).max())
    return misfit(x, point, mode, high, _FREE if n_positive == 1 else _FREE_WITH_GRADES)


def misfit(x: Array, point: Parameters, mode: Array, high: float, free: int = _FREE) -> float:
    """P value of Pearson's test of what lies above the bulk of the negatives, where clusters are told apart."""
    low = mode[-4] + _BULK * float(np.exp(mode[-3]))
    if high <= low:
        return 1.0
    edges = np.linspace(low, high, _EDGES)
    below = ndtr((edges[:, None] - point.means[:, 0]) / point.choleskys[:, 0, 0]) @ np.exp(point.log_weights)
    expected = x.size * np.diff(below)
    observed = np.histogram(x, edges)[0]
    # Neighbours are put together until enough is expected.
    group = np.minimum(np.floor(np.cumsum(expected) / _EXPECTED), np.floor(expected.sum() / _EXPECTED) - 1).astype(int)
    if group[-1] < free + 1:
        return 1.0
    groups = np.unique(group, return_inverse=True)[1]
    e, o = np.bincount(groups, expected), np.bincount(groups, observed)
    return float(chdtrc(e.size - free, (np.square(o - e) / e).sum()))


def cluster_log_densities(x: Array, fit: WellFit, beliefs: Beliefs) -> tuple[Array, Array]:
    """Log densities of amplitudes (n,) at the mode, if the droplet is negative and if it is positive (or rain)."""
    density = density_of(np.zeros(1), np.ones(1), beliefs)
    point, J = density.point(fit.mode), density.J
    sds, log_weights = point.choleskys[:, 0, 0], point.log_weights
    z = (x[:, None] - point.means[:, 0]) / sds
    log_p = log_weights - np.log(sds) - 0.5 * z * z

    def together(own: list[int] | slice) -> Array:
        return np.asarray(np.logaddexp.reduce(log_p[:, own], axis=1) - np.logaddexp.reduce(log_weights[own]))

    return together([*range(J), -2]), together(slice(J, -2))
