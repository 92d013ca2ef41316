"""What two channels say together: ratios of targets, fractional abundance, and linkage."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm.ddpcr._fit_plate import PlateFit
from bayesgmm.ddpcr._fit_well import WellFit, cluster_log_densities
from bayesgmm.ddpcr._plate import Plate

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

_DRAWS = 4000
_EM_STEPS, _STEADY = 200, 1e-8
# With fewer droplets in a cluster its share is far from Normal; there droplets count as if their cluster were known.
_FEW = 20.0


def of_two_channels(
    plate: Plate,
    fits: dict[str, PlateFit],
    concentrations: dict[str, dict[str, Any]],
    samples: list[str],
    ends: tuple[float, float],
    rng: np.random.Generator,
) -> xr.Dataset:
    """Per pair of channels: ratio and fractional abundance of each sample, linkage of each well.

    The intervals of ratios are total: both concentrations carry variation between wells as if it were independent.
    Linkage is the concentration of molecules with both targets, ln(N N00 / ((N00 + N10) (N00 + N01))), per droplet.
    """
    import xarray as xr

    pairs = list(combinations(fits, 2))
    suffixes = ("", "_lower", "_upper")
    ratio, fraction = (
        {f"{name}{each}": np.full((len(samples), len(pairs)), np.nan) for each in suffixes}
        for name in ("ratio", "fractional_abundance")
    )
    linked = {f"linked_per_droplet{each}": np.full((len(plate), len(pairs)), np.nan) for each in suffixes}
    probabilities = (0.5, *ends)
    for p, (a, b) in enumerate(pairs):
        for s, name in enumerate(samples):
            if name not in concentrations[a] or name not in concentrations[b]:
                continue
            x, y = concentrations[a][name].draw(rng, _DRAWS), concentrations[b][name].draw(rng, _DRAWS)
            for each, q, share in zip(
                suffixes, np.quantile(x / y, probabilities), np.quantile(x / (x + y), probabilities), strict=True
            ):
                ratio[f"ratio{each}"][s, p], fraction[f"fractional_abundance{each}"][s, p] = q, share
        for i, well in enumerate(plate):
            first, second = fits[a].wells[i], fits[b].wells[i]
            if first is None or second is None:
                continue
            found = _linked(well.channel(a), first, fits[a], well.channel(b), second, fits[b], rng)
            for each, q in zip(suffixes, np.quantile(found, probabilities), strict=True):
                linked[f"linked_per_droplet{each}"][i, p] = q
    told = {
        "ratio": "concentration in the first channel over that in the second",
        "fractional_abundance": "concentration in the first channel over that in both",
        "linked_per_droplet": "lambda of molecules with both targets",
    }

    def attrs(name: str) -> dict[str, str]:
        units = "copies per droplet" if name.startswith("linked") else "1"
        return {"units": units, "long_name": told[name.removesuffix("_lower").removesuffix("_upper")]}

    return xr.Dataset(
        {name: (("sample", "pair"), values, attrs(name)) for name, values in (ratio | fraction).items()}
        | {name: (("well", "pair"), values, attrs(name)) for name, values in linked.items()},
        coords={"pair": [f"{a} / {b}" for a, b in pairs]},
    )


def _linked(
    x: Array, first: WellFit, of_x: PlateFit, y: Array, second: WellFit, of_y: PlateFit, rng: np.random.Generator
) -> Array:
    """Draws of lambda of the linked pair, from the shares of the four clusters.

    Clusters have the densities of the two channels' fits; only their shares are estimated, because multiplying
    probabilities of the channels would make linked molecules look independent where clusters overlap.
    """
    of_first, of_second = cluster_log_densities(x, first, of_x.beliefs), cluster_log_densities(y, second, of_y.beliefs)
    log_f = np.stack([a + b for b in of_second for a in of_first], axis=1)
    f = np.exp(log_f - log_f.max(axis=1, keepdims=True))
    shares, r = np.full(4, 0.25), f
    for _ in range(_EM_STEPS):
        r = f * shares
        r /= r.sum(axis=1, keepdims=True)
        # Jeffreys' prior keeps them above 0.
        shares, before = (r.sum(axis=0) + 0.5) / (len(x) + 2.0), shares
        if np.abs(shares - before).max() < _STEADY:
            break
    if len(x) * shares.min() < _FEW:
        return _log_excess(rng.dirichlet(len(x) * shares + 0.5, _DRAWS))
    # Information about log ratios to the share of negatives in both, from the scores of the droplets; and the prior.
    scores = (r - shares)[:, 1:]
    information = scores.T @ scores + 2.0 * (np.diag(shares) - np.outer(shares, shares))[1:, 1:]
    factor = np.linalg.cholesky(np.linalg.inv(information))
    ratios = np.log(shares[1:] / shares[0]) + rng.standard_normal((_DRAWS, 3)) @ factor.T
    log_shares = np.concatenate([np.zeros((_DRAWS, 1)), ratios], axis=1)
    log_shares -= np.logaddexp.reduce(log_shares, axis=1, keepdims=True)
    return _log_excess(np.exp(log_shares))


def _log_excess(shares: Array) -> Array:
    """ln(N N00 / ((N00 + N10) (N00 + N01))) of shares (S, 4)."""
    none, only_x, only_y, _ = shares.T
    return np.log(none) - np.log(none + only_x) - np.log(none + only_y)
