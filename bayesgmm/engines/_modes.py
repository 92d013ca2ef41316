"""Which chains sampled the same mode, judged by quantities that do not depend on labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesgmm.engines._arviz import array_stats
from bayesgmm.engines.base import Array

# Chains of one mode differ by Monte-Carlo noise alone; five standard errors leave room for poor estimates of it.
_STANDARD_ERRORS = 5.0
# Different modes also differ by more than the width of the posterior: a chain that is only slow does not.
_WIDTHS = 1.0


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Chains by mode.

    Attributes
    ----------
    mode : (chains,) array of int
        Number of the mode of each chain, 0 for that with the highest mean log density.
    gap : (chains,) array
        Nats by which the mean log density of its mode lies below that of mode 0.
    noise : (chains,) array
        Standard error of the gap.
    """

    mode: NDArray[np.intp]
    gap: Array
    noise: Array

    @property
    def lower(self) -> NDArray[np.bool_]:
        """Chains whose log density is lower by more than sampling noise explains."""
        return self.gap > _STANDARD_ERRORS * self.noise


def find_modes(lp: Array, invariants: Array) -> Modes:
    """Group chains.

    Parameters
    ----------
    lp : (chains, draws) array
        Log density.
    invariants : (chains, draws, M) array
        Label-invariant quantities, such as log densities at fixed points.
    """
    n = len(lp)
    values = np.concatenate([lp[..., None], invariants], axis=2)
    means, widths, errors = values.mean(axis=1), values.std(axis=1), _standard_errors(values)
    group = np.arange(n)
    for a in range(n):
        for b in range(a):
            difference = np.abs(means[a] - means[b])
            width = np.maximum(np.maximum(widths[a], widths[b]), np.finfo(float).tiny)
            noise = np.hypot(errors[a], errors[b])
            apart = (difference > _STANDARD_ERRORS * noise) & (difference > _WIDTHS * width)
            if not apart.any():
                group[group == group[a]] = group[b]
    groups = np.unique(group)
    heights = np.array([lp[group == g].mean() for g in groups])
    noises = np.array([np.sqrt(np.square(errors[group == g, 0]).sum()) / (group == g).sum() for g in groups])
    order = np.argsort(-heights, kind="stable")
    mode, gap, noise = np.empty(n, dtype=np.intp), np.empty(n), np.empty(n)
    for rank, at in enumerate(order):
        members = group == groups[at]
        mode[members] = rank
        gap[members] = heights[order[0]] - heights[at]
        noise[members] = np.hypot(noises[order[0]], noises[at])
    return Modes(mode=mode, gap=gap, noise=noise)


def _standard_errors(values: Array) -> Array:
    """Monte-Carlo standard errors of the means over axis 1, from batch means: the draws are not independent."""
    n = values.shape[1]
    n_batches = max(2, int(np.sqrt(n)))
    size = n // n_batches
    if size == 0:
        return np.full((values.shape[0], values.shape[2]), np.inf)
    batches = values[:, : n_batches * size].reshape(values.shape[0], n_batches, size, -1).mean(axis=2)
    return batches.std(axis=1, ddof=1) / np.sqrt(n_batches)


def worst_r_hat(values: Array) -> float:
    """The largest rank-normalised split R-hat (Vehtari et al. 2021) of quantities (chain, draw, quantity).

    Of a single chain it is that between its halves. NaN where nothing varies or there are too few draws. It is what
    ArviZ computes, of all quantities at once: one by one they took a seventh of the time of a small fit.
    """
    if len(values) == 1:
        half = values.shape[1] // 2
        values = np.stack([values[0, :half], values[0, half : 2 * half]])
    if values.shape[1] < 4:
        return float("nan")
    values = values[..., np.ptp(values, axis=(0, 1)) > 0]
    if values.shape[2] == 0:
        return float("nan")
    half = values.shape[1] // 2
    halves = np.concatenate([values[:, :half], values[:, -half:]])
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    return max(float(_r_hats(_normal_scores(each)).max()) for each in (halves, folded))


def _normal_scores(values: Array) -> Array:
    """Ranks among all draws (chain, draw, quantity), as quantiles of a standard Normal."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    n = values.shape[0] * values.shape[1]
    ranks = rankdata(values.reshape(n, -1), axis=0)
    return ndtri((ranks - 0.375) / (n + 0.25)).reshape(values.shape)


def _r_hats(values: Array) -> Array:
    n = values.shape[1]
    between = n * values.mean(axis=1).var(axis=0, ddof=1)
    within = values.var(axis=1, ddof=1).mean(axis=0)
    # Chains that stand still, each somewhere else; nothing differs of quantities that stand still in the same place.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(between > 0, between / within, 1.0)
    return np.sqrt((ratio + n - 1) / n)


def most_r_hat(n_draws: int) -> float:
    """The largest R-hat that speaks for convergence, 1.01 (Vehtari et al. 2021) or, of few draws a chain, more.

    Of four chains whose draws are worth .4 independent ones, the largest of a dozen R-hats exceeds 1 by 3.5 / draws as
    a rule where nothing is wrong, and by more than 8 / draws in fewer than 1 of 100 runs.
    """
    return max(1.01, 1.0 + 8.0 / n_draws)


def effective_draws(values: Array) -> float:
    """How many independent draws those of a quantity (chain, draw) are worth for its mean; no more than there are."""
    if np.ptp(values) == 0:
        return float(values.size)
    found = float(np.squeeze(array_stats().ess(values[None], method="mean", chain_axis=-2, draw_axis=-1)))
    return min(found, float(values.size)) if np.isfinite(found) else float(values.size)
