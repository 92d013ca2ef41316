"""What is believed of a well before its droplets are seen, and the mixture that says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesgmm.ddpcr._droplet_clusters import DropletMeans, DropletVariances
from bayesgmm.ddpcr._droplet_weights import DropletWeights
from bayesgmm.ddpcr._shape import Shape
from bayesgmm.model import Gamma, GaussianMixture

Pair = tuple[float, float]

# Jeffreys' prior of a small rate, made proper by what is ever measured: hardly more than 5 copies per droplet.
_RATE = Gamma(0.5, 1.0)
# A control is expected to hold nothing. If it does hold something, thousands of droplets outweigh this.
RATE_OF_CONTROLS = Gamma(0.5, 20.0)
# Rain is the exception: 3 per cent of the positives, 1 to 8 with 95 per cent probability. A wider prior lets rain stand
# for whatever the shape of the negatives gets wrong.
_RAIN = (float(np.log(0.03 / 0.97)), 0.5)
# Even, or denser towards the positives.
_TILT = (2.0, 1.0)
# One negative in a thousand is far below the others, and one droplet is nowhere in particular.
_OUTLIERS = (float(np.log(1e-3)), 1.0)
_SHARE_SD = 1.0
_RAIN_COMPONENTS = 5


@dataclass(frozen=True, kw_only=True)
class Beliefs:
    """Means and standard deviations of Normal priors on what differs from well to well, and the shape they share.

    Attributes
    ----------
    shape : Shape
        Of the negatives.
    baseline : pair
        Where the negatives are, in the data's units.
    log_spread, log_gap, log_positive_sd : pairs
        Natural logarithms in the data's units: width of the negatives, distance of the positives, their width.
    rain, outliers : pairs
        Logits; that of outliers is that of low droplets among the negatives as well.
    tilt : pair
        Of the rain towards the positives.
    rate : Gamma
        Of copies per droplet.
    share_sd : float
        How far the shares of the shape's components may differ in a well.
    """

    shape: Shape
    baseline: Pair
    log_spread: Pair
    log_gap: Pair
    log_positive_sd: Pair
    rain: Pair = _RAIN
    tilt: Pair = _TILT
    outliers: Pair = _OUTLIERS
    rate: Gamma = _RATE
    share_sd: float = _SHARE_SD

    @property
    def n_negative(self) -> int:
        """Components of the negatives; the positives come next, then rain, low droplets and outliers."""
        return len(self.shape.shares)

    @property
    def n_positive(self) -> int:
        """Components of the positives that are not rain."""
        return 1

    def model(self) -> GaussianMixture:
        """The declaration, for one well."""
        J = self.n_negative
        names = [f"negative {j + 1}" for j in range(J)] + ["positive"]
        names += [f"rain {i + 1}" for i in range(_RAIN_COMPONENTS)] + ["low", "outliers"]
        return GaussianMixture(
            len(names),
            weights=DropletWeights(
                shares=self.shape.shares,
                rate=self.rate,
                share_sd=self.share_sd,
                rain=self.rain,
                tilt=self.tilt,
                outliers=self.outliers,
            ),
            means=DropletMeans(
                shape=self.shape.means, baseline=self.baseline, log_spread=self.log_spread, log_gap=self.log_gap
            ),
            covariances=DropletVariances(
                shape=self.shape.means, widths=self.shape.widths, log_positive_sd=self.log_positive_sd
            ),
            component_names=tuple(names),
        )
