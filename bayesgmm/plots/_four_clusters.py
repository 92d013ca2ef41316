"""The four clusters of two channels, from the result of `ddpcr.quantify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.plots._droplets import HAS, Array, Clusters, in_pair, moved

if TYPE_CHECKING:
    import xarray as xr

# Weights of nothing, and sds beyond which correlation has said all.
_LEAST, _FARTHEST = 1e-300, 4.0


@dataclass(frozen=True, kw_only=True)
class FourClusters:
    """Clusters --, +-, -+, ++ of a well.

    Attributes
    ----------
    shares, correlations : (4,) arrays
    channels : two lists of four Clusters
        What negatives and positives of either channel look like in each cluster.
    """

    shares: Array
    correlations: Array
    channels: tuple[list[Clusters], list[Clusters]]

    def probabilities(self, x: Array, y: Array) -> Array:
        """Probabilities of the four clusters for droplets with these amplitudes, shape (n, 4)."""
        log_p = np.log(np.maximum(self.shares, _LEAST))[:, None] + np.zeros(x.size)
        for values, four, has in zip((x, y), self.channels, HAS, strict=True):
            log_p += np.stack([each.log_densities(values)[h] for each, h in zip(four, has, strict=True)])
        # What correlation adds within a cluster, as if it were Normal.
        for q, rho in enumerate(self.correlations):
            mean, sds = self._middle(q)
            s, t = (np.clip((values - mean[c]) / sds[c], -_FARTHEST, _FARTHEST) for c, values in enumerate((x, y)))
            free = 1.0 - rho * rho
            log_p[q] += (2.0 * rho * s * t - rho * rho * (s * s + t * t)) / (2.0 * free) - 0.5 * np.log(free)
        p = np.exp(log_p - log_p.max(axis=0))
        return (p / p.sum(axis=0)).T

    def ellipses(self) -> list[tuple[Array, Array]]:
        """Mean (2,) and covariance (2, 2) of each cluster, without rain and outliers."""
        out = []
        for q, rho in enumerate(self.correlations):
            mean, sds = self._middle(q)
            out.append((mean, np.outer(sds, sds) * np.array([[1.0, rho], [rho, 1.0]])))
        return out

    def _middle(self, q: int) -> tuple[Array, Array]:
        mean, sds = zip(*(self.channels[c][q].middle(bool(HAS[c, q])) for c in range(2)), strict=True)
        return np.array(mean), np.array(sds)


def four_clusters(result: xr.Dataset, well: str, pair: tuple[str, str]) -> FourClusters | None:
    """The four clusters of a well in two channels; None where one of them was not fitted."""
    alone = [moved(result, well, channel) for channel in pair]
    if alone[0] is None or alone[1] is None:
        return None
    shares, correlations, four = in_pair(result, well, pair)
    return FourClusters(
        shares=shares, correlations=correlations, channels=([alone[0]] * 4, [alone[1]] * 4) if four is None else four
    )
