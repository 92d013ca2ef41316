"""Simulation-based calibration: settings, what is ranked, ranks and their band.

Everything but `bg.simulate` and `bg.fit` is written anew here, so that the package's densities are not compared with
themselves. `calibrate_nuts.py` runs the study, `tests/engines/test_calibration.py` a small version of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import arviz as az
import numpy as np
from _common import print_table
from numpy.typing import NDArray
from scipy import stats

import bayesgmm as bg

Array = NDArray[np.float64]

CONCENTRATION = 3.0
MEANS_SD = 3.0
ETA = 2.0
# In each coordinate: among the means, at their centre, and in a tail.
POINTS = (-2.0, 0.0, 3.0)
N_RANKED = 100
FAILED = "FAILED"
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A model of two components, the same prior on standard deviations twice: the package's and SciPy's."""

    name: str
    n_features: int
    n_obs: int
    scale: bg.Gamma | bg.LogNormal
    scale_logpdf: Callable[[Array], Array]

    @property
    def model(self) -> bg.GaussianMixture:
        return self.with_scale(self.scale)

    def with_scale(self, scale: bg.Gamma | bg.LogNormal) -> bg.GaussianMixture:
        """The model, but for its prior on standard deviations."""
        return bg.GaussianMixture(
            2,
            weights=bg.Dirichlet(CONCENTRATION),
            means=bg.NormalMeans(mu=0.0, sigma=MEANS_SD),
            covariances=bg.LKJ(ETA, scale=scale),
        )

    def log_prior(self, weights: Array, means: Array, covariances: Array) -> Array:
        """Log prior density (S,), written anew, up to a constant."""
        sds = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
        correlations = covariances / sds[..., :, None] / sds[..., None, :]
        return (
            (CONCENTRATION - 1) * np.log(weights).sum(axis=1)
            + stats.norm(0, MEANS_SD).logpdf(means).sum(axis=(1, 2))
            + self.scale_logpdf(sds).sum(axis=(1, 2))
            + (ETA - 1) * np.linalg.slogdet(correlations)[1].sum(axis=1)
        )


class Calibrated(Protocol):
    """What is simulated from: a model, how much of it, and its prior density."""

    n_features: int
    n_obs: int

    @property
    def model(self) -> bg.GaussianMixture: ...

    def log_prior(self, weights: Array, means: Array, covariances: Array) -> Array: ...


@dataclass(kw_only=True)
class Fits:
    """Ranks by quantity, each of them (fits with draws,) in 0..N_RANKED, and how the fits went."""

    ranks: dict[str, NDArray[np.int64]]
    statuses: list[str] = field(default_factory=list)
    divergences: list[int] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)
    ess: list[float] = field(default_factory=list)


def log_densities(at: Array, weights: Array, means: Array, covariances: Array) -> Array:
    """Log densities at points (M, d) of mixtures (S, K), (S, K, d), (S, K, d, d) as (S, M)."""
    differences = at[None, None] - means[:, :, None]
    solved = np.linalg.solve(covariances, np.swapaxes(differences, 2, 3))
    squares = np.einsum("skmi,skim->skm", differences, solved)
    log_dets = np.linalg.slogdet(covariances)[1][..., None]
    joint = np.log(weights)[..., None] - 0.5 * (squares + log_dets + at.shape[1] * np.log(2 * np.pi))
    return np.logaddexp.reduce(joint, axis=1)


def quantities(setting: Calibrated, rows: Array, weights: Array, means: Array, covariances: Array) -> dict[str, Array]:
    """What is ranked: functions of mixtures (S, K), (S, K, d), (S, K, d, d) that labels do not change."""
    d = setting.n_features
    points = np.tile(np.array(POINTS)[:, None], (1, d))
    sds = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    correlations = covariances / sds[..., :, None] / sds[..., None, :]
    log_likelihood = log_densities(rows, weights, means, covariances).sum(axis=1)
    log_prior = setting.log_prior(weights, means, covariances)
    at_points = log_densities(points, weights, means, covariances)
    first, variance = means[..., 0], covariances[..., 0, 0]
    mean = (weights * first).sum(axis=1)
    generalised = np.linalg.det(covariances)
    found = {
        "log-likelihood": log_likelihood,
        "log-likelihood + log prior": log_likelihood + log_prior,
        **{f"log density at {point:g}": at_points[:, i] for i, point in enumerate(POINTS)},
        "smallest weight": weights.min(axis=1),
        "smallest mean": first.min(axis=1),
        "largest mean": first.max(axis=1),
        "smallest determinant": generalised.min(axis=1),
        "largest determinant": generalised.max(axis=1),
        "overall mean": mean,
        "overall variance": (weights * (variance + np.square(first))).sum(axis=1) - np.square(mean),
    }
    if d > 1:
        found["smallest correlation"] = correlations[..., 0, 1].min(axis=1)
        found["largest correlation"] = correlations[..., 0, 1].max(axis=1)
    return found


def run(
    setting: Calibrated, fitted: bg.GaussianMixture, engine: bg.NUTS | bg.Gibbs, n_simulations: int, *, seed: int
) -> Fits:
    """Simulate from the setting's prior, fit, and rank the truth among N_RANKED draws.

    No fit is discarded, whatever its status. One that raises FitError has the status FAILED and no rank.
    `fitted` is the setting's own model, or a wrong one to see the ranks leave their band.
    """
    ranks: dict[str, list[int]] = {}
    fits = Fits(ranks={})
    for i in range(n_simulations):
        # Streams of their own: the same seed would give the simulation and the sampler the same numbers.
        of_data, of_fit, of_ties = (int(s) for s in np.random.SeedSequence([seed, i]).generate_state(3))
        truth = bg.simulate(setting.model, setting.n_obs, random_seed=of_data, n_features=setting.n_features)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bg.NotConvergedWarning)  # counted by status
            # Of what the prior draws, some has groups of few rows.
            warnings.simplefilter("ignore", bg.FewerGroupsWarning)
            try:
                fit = bg.fit(fitted, truth["x"], engine=engine, random_seed=of_fit, progressbar=False)
            except bg.FitError:
                fits.statuses.append(FAILED)
                continue
        names = ("weights", "means", "covariances")
        # Over all chains that were kept, as a user would read them.
        draws = [fit["posterior"][name].to_numpy() for name in names]
        draws = [values.reshape(-1, *values.shape[2:]) for values in draws]
        thinned = np.linspace(0, len(draws[0]) - 1, N_RANKED).round().astype(int)
        both = [
            np.concatenate([truth[name].to_numpy()[None], values[thinned]])
            for name, values in zip(names, draws, strict=True)
        ]
        rng = np.random.default_rng(of_ties)
        for name, values in quantities(setting, truth["x"].to_numpy(), *both).items():
            ranks.setdefault(name, []).append(rank(values[0], values[1:], rng))
        fits.statuses.append(fit.attrs["status"])
        if "diverging" in fit["sample_stats"]:
            fits.divergences.append(int(fit["sample_stats"]["diverging"].sum()))
        fits.left_out.append(int((~fit["chains"]["kept"]).sum()))
        fits.ess.append(float(az.ess(fit["sample_stats"]["lp"].to_numpy())))
    fits.ranks = {name: np.array(values) for name, values in ranks.items()}
    return fits


def rank(truth: float, draws: Array, rng: np.random.Generator) -> int:
    """How many draws lie below the truth, ties broken at random."""
    return int((draws < truth).sum() + rng.integers((draws == truth).sum() + 1))


class Band:
    """Simultaneous band of the ECDF of ranks in 0..n_draws (Säilynoja, Bürkner & Vehtari 2022).

    At each of the n_draws inner boundaries between ranks the number of ranks below it is binomial. The smallest of
    these two-sided binomial tails is the statistic; its distribution under uniform ranks is simulated, which adjusts
    the pointwise coverage so that the simultaneous one is right.
    """

    def __init__(self, n_ranks: int, n_draws: int = N_RANKED, *, n_null: int = 20_000, seed: int = 0) -> None:
        self.n_ranks, self.n_draws = n_ranks, n_draws
        self.at = np.arange(1, n_draws + 1) / (n_draws + 1)
        below = np.arange(n_ranks + 1)[:, None]
        lower, upper = stats.binom.cdf(below, n_ranks, self.at), stats.binom.sf(below - 1, n_ranks, self.at)
        self._tails = 2 * np.minimum(lower, upper)
        rng = np.random.default_rng(seed)
        by_rank = rng.multinomial(n_ranks, np.full(n_draws + 1, 1 / (n_draws + 1)), size=n_null)
        self._null = np.sort(self._smallest(by_rank.cumsum(axis=1)[:, :-1]))

    def _smallest(self, counts: NDArray[np.int64]) -> Array:
        return self._tails[counts, np.arange(self.n_draws)].min(axis=-1)

    def counts(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many ranks lie below each boundary."""
        return np.bincount(ranks, minlength=self.n_draws + 1).cumsum()[:-1]

    def p_value(self, ranks: NDArray[np.int64]) -> float:
        """Probability that uniform ranks leave a band that these just touch: inside the 95 % band where above 0.05."""
        smaller = np.searchsorted(self._null, self._smallest(self.counts(ranks)), side="right")
        return float((1 + smaller) / (1 + self._null.size))

    def largest_difference(self, ranks: NDArray[np.int64]) -> float:
        """The ECDF minus its expectation where it is largest; positive where the truth lies too low."""
        difference = self.counts(ranks) / self.n_ranks - self.at
        return float(difference[np.abs(difference).argmax()])


def print_ranks(done: Mapping[str, Fits]) -> None:
    """A table of all quantities, and whether more lie outside their bands than chance explains."""
    m = sum(len(fits.ranks) for fits in done.values())
    failed = sum(fits.statuses.count(FAILED) for fits in done.values())
    rows, outside, rejected = [], 0, 0
    for name, fits in done.items():
        band = Band(len(fits.ess))
        for quantity, ranks in fits.ranks.items():
            p = band.p_value(ranks)
            outside += p <= LEVEL
            rejected += p <= LEVEL / m
            where = "inside" if p > LEVEL else "outside 95 %" if p > LEVEL / m else "outside corrected"
            difference = band.largest_difference(ranks)
            rows.append([name, quantity, f"{ranks.mean() / N_RANKED:.3f}", f"{difference:+.3f}", f"{p:.3f}", where])
    heads = ["setting", "quantity", "mean rank", "largest ECDF difference", "p", "band"]
    print_table(f"Ranks among {N_RANKED} draws", heads, rows)
    print(
        f"\n{outside} of {m} quantities outside their 95 % band ({LEVEL * m:.1f} expected by chance), "
        f"{rejected} outside the Bonferroni-corrected one: "
        f"{f'{failed} fits failed, ' if failed else ''}{'miscalibrated' if rejected else 'no sign of miscalibration'}"
    )
