"""What the wells of a plate say in one channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayesgmm.ddpcr._counted import Count
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._fit_well import WellFit
from bayesgmm.ddpcr._gap import Gap

Array = NDArray[np.float64]

# A baseline is shifted if it is so many spreads, and such a part of the gap, from the median of the wells with so many
# negatives; more than this part of the wells is no exception.
_SHIFTED, _SHIFTED_GAP, _FEWEST_NEGATIVES, _MANY = 3.0, 0.05, 30.0, 0.2


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
    gap : Gap
        Where the droplets of the plate divide.
    cleared : list of (n,) arrays
        Amplitudes of each well as they are counted: without what is seen of other channels.
    assays : tuple of (str, list of int, PlateFit)
        Where several assays share a channel: name, wells and fit of each, which learned from its own wells alone; then
        `beliefs`, `weak` and `gap` are those of the one with most wells.
    """

    wells: list[WellFit | None]
    alone: list[WellFit | None]
    why: list[str]
    own: list[Beliefs]
    beliefs: Beliefs
    weak: Beliefs
    learned_from: str
    gap: Gap
    cleared: list[Array]
    grades: str = ""
    flags: tuple[str, ...] = ()
    assays: tuple[tuple[str, list[int], PlateFit], ...] = ()

    def of(self, i: int) -> tuple[PlateFit, int]:
        """The fit of a well's assay, and the number of the well in it."""
        for _, places, fitted in self.assays:
            if i in places:
                return fitted, places.index(i)
        return self, i

    def positive(self, i: int) -> NDArray[np.bool_]:
        """Which droplets of a well are counted as positive (n,)."""
        return self.cleared[i] > self.count(i).threshold

    @cached_property
    def baselines(self) -> Array:
        """Of the wells that show negatives; of one at least."""
        own = [fit.mode[-4] for fit in self.wells if fit is not None and n_negative(fit) >= _FEWEST_NEGATIVES]
        return np.array(own or [self.gap.baseline])

    @cached_property
    def shifted(self) -> list[int]:
        """Wells whose negatives lie elsewhere than those of the others; none where those of many do."""
        return [] if self.divided else self._apart

    @cached_property
    def divided(self) -> bool:
        """Whether baselines fall into several groups."""
        return len(self._apart) > max(_MANY * self.baselines.size, 2.0)

    @cached_property
    def _apart(self) -> list[int]:
        middle, out = float(np.median(self.baselines)), []
        for i, fit in enumerate(self.wells):
            if fit is not None and n_negative(fit) >= _FEWEST_NEGATIVES:
                least = max(_SHIFTED * np.exp(fit.mode[-3]), _SHIFTED_GAP * np.exp(fit.mode[-2]))
                if abs(fit.mode[-4] - middle) > least:
                    out.append(i)
        return out

    def count(self, i: int) -> Count:
        """Well i counted: at the gap that the plate shows, else half way between where the plate's clusters are."""
        fit = self.wells[i]
        if fit is not None and fit.count is not None:
            return fit.count
        if self.assays:
            fitted, own = self.of(i)
            return fitted.count(own)
        if self.gap.shown or fit is None:
            return Count.of(self.cleared[i], self.gap.threshold(i))
        return Count.of(self.cleared[i], float(fit.mode[-4] + 0.5 * np.exp(self.beliefs.log_gap[0])))


def n_negative(fit: WellFit) -> float:
    return fit.n_droplets * float(np.exp(-np.exp(fit.mode[0])))


def half_way(gap: Gap, beliefs: Beliefs) -> Gap:
    """The gap of a plate that shows none: half way between where its clusters are believed to be."""
    height = float(np.exp(beliefs.log_gap[0]))
    return replace(
        gap, height=0.5 * height, positives=height, width=float(np.exp(beliefs.log_positive_sd[0])), hidden=0.0
    )
