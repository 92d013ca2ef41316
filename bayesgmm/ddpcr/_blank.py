"""Limits of blank and detection, and which wells and samples hold more than a blank (Armbruster & Pry 2008, in counts).

Positives in blanks are Poisson with one rate for each droplet. Of K positives in the N droplets of the blanks, the
number in n further droplets without the target is negative binomial where all rates are equally credible at first. Its
quantile is the limit. A number above it is one for which the binomial test that conditions on the sum of both
(Przyborowski & Wilenski 1940) has P < 0.05, so that at most 5 % of blanks are called detected whatever their rate and
however few controls there are: a single clean control allows four positives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm._words import counted
from bayesgmm.ddpcr._compared import counts
from bayesgmm.ddpcr._plate import Plate
from bayesgmm.ddpcr._table import NO_TEMPLATE, POSITIVE, WILD_TYPE
from bayesgmm.ddpcr._wells import listed

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

PROBABILITY = 0.95
DETECTED, NOT_DETECTED = "detected", "not detected"
# Wild-type wells are blanks of a channel with less than this share of the positives of their fullest channel.
_NONE_OF_IT = 0.1
_MICROLITRE = 1000.0  # nanolitres


def limit_of_blank(positives: float, droplets: float, further: Array) -> Array:
    """Positives that further droplets of a blank stay within, with 95 % probability.

    Parameters
    ----------
    positives, droplets : float
        Of the blanks, all together.
    further : array
        Numbers of droplets of the wells, or samples, that are compared with them.
    """
    from scipy.stats import nbinom

    return nbinom.ppf(PROBABILITY, positives + 1.0, droplets / (droplets + np.maximum(further, 1.0)))


def limit_of_detection(limit: Array) -> Array:
    """Expected positives, those of a blank included, that exceed a limit of blank with 95 % probability."""
    from scipy.special import gammaincinv

    return gammaincinv(limit + 1.0, PROBABILITY)


def with_verdicts(out: xr.Dataset, plate: Plate) -> xr.Dataset:
    """Add limits of blank and detection of wells, samples and channels, whether each is above them, and flags.

    Positives are those above the threshold in all wells, also where the answer is that of the mixture: expected numbers
    of controls rest on a prior of their own, and would be compared with something else.
    """
    wells, samples = out["well"].to_numpy().astype(str), out["sample"].to_numpy().astype(str)
    channels = out["channel"].to_numpy().astype(str)
    count, answer = out["threshold_positives"].to_numpy(), counts(out)
    droplets = out["n_droplets"].to_numpy().astype(float)
    volume = out["droplet_volume_nl"].to_numpy() / _MICROLITRE
    undiluted = volume / out["dilution"].to_numpy()
    kinds = np.array(plate.controls)
    own = [(out["well_sample"].to_numpy().astype(str) == name) & (kinds != NO_TEMPLATE) for name in samples]
    flags = out["flags"].to_numpy().astype(object)
    of_wells, of_samples = _Verdicts(wells, channels), _Verdicts(samples, channels)
    whole = np.full((2, len(channels)), np.nan)
    for c, channel in enumerate(channels):
        known = np.isfinite(count[:, c])
        blanks = _blanks(kinds, count, droplets, c)
        out.attrs[f"blanks {channel}"] = _named(wells, kinds, blanks)
        for i in np.flatnonzero(known & (answer[:, c] >= 1.0)):
            told = [each for each in flags[i, c].split("; ") if each and not each.startswith("no positives")]
            flags[i, c] = "; ".join([*told, *_of_control(kinds[i], int(answer[i, c]), bool(blanks[i]))])
        if not blanks.any():
            continue
        total = count[blanks, c].sum(), droplets[blanks].sum()
        judged = known & ~blanks & (kinds != NO_TEMPLATE)
        of_wells.judge(c, total, np.where(known, count[:, c], np.nan), droplets, droplets * volume, judged)
        for i in np.flatnonzero(judged).tolist():
            flags[i, c] = "; ".join(filter(None, [flags[i, c], of_wells.said(i, c, kinds[i])]))
        members = [np.flatnonzero(each & judged) for each in own]
        of_samples.judge(
            c,
            total,
            np.array([count[each, c].sum() for each in members]),
            np.array([droplets[each].sum() for each in members]),
            np.array([(droplets * undiluted)[each].sum() for each in members]),
            np.array([len(each) > 0 for each in members], dtype=bool),
        )
        usual = np.array([np.mean(droplets[droplets > 0])])
        limit = limit_of_blank(*total, usual)
        both = limit, limit_of_detection(limit)
        whole[:, c] = [float(_copies(each, usual, usual * np.mean(volume))[0]) for each in both]
    out["flags"] = (("well", "channel"), flags.astype(str), out["flags"].attrs)
    out = out.assign(of_wells.variables("well", "", "reaction")).assign(
        of_samples.variables("sample", "sample_", "sample, undiluted")
    )
    names = ("limit_of_blank", "limit_of_detection")
    told = ("a blank well of usual size stays below", "a well with this is told from a blank")
    for name, values, meaning in zip(names, whole, told, strict=True):
        out[name] = (("channel",), values, _units("copies per microlitre of reaction", f"{meaning}; 95 %"))
    return out.assign_coords(control=(("well",), kinds))


class _Verdicts:
    """Limits of wells or samples in all channels, and what lies above them; arrays are (rows, channels)."""

    def __init__(self, rows: NDArray[np.str_], channels: NDArray[np.str_]) -> None:
        shape = len(rows), len(channels)
        self.count, self.limit, self.enough, self.blank, self.detection = (np.full(shape, np.nan) for _ in range(5))
        self.verdict = np.full(shape, "", dtype=object)

    def judge(
        self,
        c: int,
        blanks: tuple[float, float],
        count: Array,
        droplets: Array,
        volume: Array,
        judged: NDArray[np.bool_],
    ) -> None:
        """Compare rows of one channel with blanks, given their positives and droplets; volumes are of all droplets."""
        limit = limit_of_blank(*blanks, droplets)
        enough = limit_of_detection(limit)
        for into, values in (
            (self.count, count),
            (self.limit, limit),
            (self.enough, enough),
            (self.blank, _copies(limit, droplets, volume)),
            (self.detection, _copies(enough, droplets, volume)),
        ):
            into[:, c] = np.where(judged, values, np.nan)
        self.verdict[judged, c] = np.where(count > limit, DETECTED, NOT_DETECTED)[judged]

    def said(self, i: int, c: int, kind: str) -> str:
        """A sentence for a row that is not above its limits."""
        count, limit = int(self.count[i, c]), int(self.limit[i, c])
        positive = "positive control " * (kind == POSITIVE)
        if self.verdict[i, c] == NOT_DETECTED:
            seen = f"{counted(count, 'positive')} at the threshold"
            return f"{positive}not above the limit of blank: {seen}, a blank may have {limit}"
        if count < self.enough[i, c]:
            return (
                f"{positive}above the limit of blank, below that of detection: {counted(count, 'positive')} at the "
                f"threshold, {self.enough[i, c]:.1f} are needed"
            )
        return ""

    def variables(self, dim: str, prefix: str, of: str) -> dict[str, tuple[tuple[str, str], NDArray, dict[str, str]]]:
        """What a Dataset holds of them."""
        dims, copies = (dim, "channel"), f"copies per microlitre of {of}"
        found = {
            "detected": (
                self.verdict.astype(str),
                {"long_name": "whether positives above the threshold are more than the limit of blank"},
            ),
            "limit_of_blank_positives": (
                self.limit,
                _units("droplets", "positives above the threshold that a blank stays within; 95 %"),
            ),
            "limit_of_blank_copies_per_ul": (self.blank, _units(copies, "a blank stays within; 95 %")),
            "limit_of_detection_copies_per_ul": (self.detection, _units(copies, "is told from a blank; 95 %")),
        }
        return {f"{prefix}{name}": (dims, values, attrs) for name, (values, attrs) in found.items()}


def _blanks(kinds: NDArray[np.str_], count: Array, droplets: Array, c: int) -> NDArray[np.bool_]:
    """Wells that are blanks of a channel: of the wild type where it holds none of it, else those without template.

    Wild-type wells hold what most of their positives are, in one channel, and none of the other targets; in a plate of
    one channel it is the mutant's. They go before wells without template, since false positives come with template.
    """
    known = np.isfinite(count[:, c])
    wild = (kinds == WILD_TYPE) & np.isfinite(count).all(axis=1) & (droplets > 0)
    shares = count[wild].sum(axis=0) / max(droplets[wild].sum(), 1.0)
    none_of_it = shares.size == 1 or shares[c] < _NONE_OF_IT * shares.max() or shares[c] < np.delete(shares, c).min()
    if wild.any() and none_of_it:
        return wild
    return (kinds == NO_TEMPLATE) & known & (droplets > 0)


def _named(wells: NDArray[np.str_], kinds: NDArray[np.str_], blanks: NDArray[np.bool_]) -> str:
    """Which wells are the blanks."""
    if not blanks.any():
        return "none"
    return f"{'wild type' if kinds[blanks][0] == WILD_TYPE else 'no template'}: {listed(wells[blanks])}"


def _of_control(kind: str, count: int, is_blank: bool) -> list[str]:
    """What is said of positives where none should be."""
    if kind == NO_TEMPLATE:
        return [f"{counted(count, 'positive')} in a well without template"]
    return [f"{counted(count, 'positive')} in a wild-type control"] if kind == WILD_TYPE and is_blank else []


def _copies(count: Array, droplets: Array, volume: Array) -> Array:
    """Copies per microlitre of so many positives among droplets that have this volume together."""
    share = np.minimum(count / np.maximum(droplets, 1.0), 1.0 - 1.0 / np.maximum(droplets, 2.0))
    return -np.log1p(-share) * droplets / np.maximum(volume, np.finfo(float).tiny)


def _units(units: str, meaning: str) -> dict[str, str]:
    return {"units": units, "long_name": meaning}
