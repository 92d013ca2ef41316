"""From droplets to concentrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bayesgmm._errors import InputError
from bayesgmm.ddpcr._between_wells import BetweenWells, Concentration, Counted, between_wells
from bayesgmm.ddpcr._blank import limits
from bayesgmm.ddpcr._fit_plate import PlateFit, fit_plate
from bayesgmm.ddpcr._fit_well import WellFit
from bayesgmm.ddpcr._flags import HIGHEST_RATE, flags_of, joined, of_plate, separation
from bayesgmm.ddpcr._pairs import of_two_channels
from bayesgmm.ddpcr._plate import Plate
from bayesgmm.ddpcr._volume import Volume, volumes
from bayesgmm.engines._progress import Progress
from bayesgmm.inference.fitting import check_seed

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

_MICROLITRE = 1000.0  # nanolitres
_DRAWS = 1024
_LOOKED_AT = 1000  # amplitudes, to see whether a channel was used
_FULL, _NONE = "hardly a negative", "hardly a positive"
# Coordinates of a well's own parameters; after the first come the shares of the negatives' components.
_PARAMETERS = ("log_rate", "rain", "lean", "low", "outliers", "baseline", "log_spread", "log_gap", "log_positive_sd")

# What a Dataset holds for each well and channel, with units and what it means.
_WELL = {
    "copies_per_droplet": ("copies per droplet", "lambda; posterior median"),
    "copies_per_droplet_lower": ("copies per droplet", "statistical interval: Poisson noise and which droplet is what"),
    "copies_per_droplet_upper": ("copies per droplet", "statistical interval"),
    "copies_per_droplet_rain_negative": ("copies per droplet", "if rain were counted as negative"),
    "copies_per_droplet_threshold": ("copies per droplet", "counted at the threshold, for comparison"),
    "copies_per_ul": ("copies per microlitre of reaction", "posterior median"),
    "copies_per_ul_lower": ("copies per microlitre of reaction", "statistical interval"),
    "copies_per_ul_upper": ("copies per microlitre of reaction", "statistical interval"),
    "copies_per_ul_total_lower": ("copies per microlitre of reaction", "interval that adds variation between wells"),
    "copies_per_ul_total_upper": ("copies per microlitre of reaction", "interval that adds variation between wells"),
    "positives": ("droplets", "expected number of positive droplets, rain included"),
    "effective_droplets": ("droplets", "counted without error they would tell as much"),
    "separation": ("sd", "distance between clusters, in units of their root mean square sd"),
    "threshold": ("amplitude", "half way between the clusters, for comparison"),
    "baseline": ("amplitude", "of the negatives"),
    "spread": ("amplitude", "of the negatives"),
    "gap": ("amplitude", "from the negatives to the positives"),
    "positive_sd": ("amplitude", "of the positives"),
    "rain": ("", "share of positives between the clusters"),
    "low": ("", "share of negatives far below the others"),
    "outliers": ("", "share of droplets that are nowhere in particular"),
    "misfit": ("", "P value of a test of fit above the negatives"),
    "pareto_k": ("", "above 0.7 the interval is a guess"),
}


def quantify(
    plate: Plate,
    *,
    droplet_volume_nl: float | None = None,
    instrument: str | None = None,
    channels: Sequence[str] | None = None,
    probability: float = 0.95,
    random_seed: int | None = 0,
    cores: int | None = None,
    progressbar: bool = True,
) -> xr.Dataset:
    """Concentrations of wells and samples, with intervals.

    Each well is a mixture whose weights are locked by Poisson's law (`well_model` returns the declaration): negatives
    of a shape that is learned from the wells without template, positives that hold one molecule or more, rain between
    them, outliers. Wells learn from each other where clusters are and how wide; wells of a sample differ by more than
    Poisson noise, with a standard deviation tau that is learned from all samples with several wells.

    Parameters
    ----------
    plate : Plate
        From `read_plate` or `simulate_plate`.
    droplet_volume_nl : float, optional
        Volume of a droplet in nanolitres. Concentrations are proportional to 1 / volume, so there is no default.
    instrument : str, optional
        In place of a volume: one of ``instruments()``.
    channels : sequence of str, optional
        All of the plate's if left out.
    probability : float
        Of the intervals.
    random_seed : int, optional
        The same seed gives the same numbers.
    cores : int, optional
        Processes; all processors if left out.
    progressbar : bool

    Returns
    -------
    xarray.Dataset
        Per ``well`` and ``channel``: ``copies_per_droplet`` (lambda), ``copies_per_ul`` of reaction with a statistical
        interval (``_lower``, ``_upper``) and one that adds variation between wells (``_total_lower``,
        ``_total_upper``), rain counted as negative, a threshold for comparison, where the clusters are, and ``flags``.
        A well without positives has lower bound 0 and its upper bound is one-sided; a saturated one has no upper bound
        (NaN). Per ``sample`` and ``channel``: ``sample_copies_per_ul`` of the undiluted sample with both intervals.
        Per ``channel``: ``between_well_sd`` (tau, of the log concentration) with the shortest interval, limits of blank
        and of detection. Per pair of channels: ``ratio``, ``fractional_abundance``, ``linkage``. Attributes hold the
        droplet volume and where it comes from, the method, and each channel's declaration.

    Raises
    ------
    InputError
        Without a droplet volume, for channels the plate does not have, or a plate without droplets.

    Notes
    -----
    Rain counts as positive: it lies between the clusters because amplification began late. Intervals of lambda are
    quantiles of weighted draws from the posterior of all of a well's parameters.

    Examples
    --------
    >>> from bayesgmm import ddpcr
    >>> plate = ddpcr.simulate_plate(samples={"a": 0.2}, n_wells=2, n_ntc=1, n_droplets=12_000, random_seed=1)
    >>> result = ddpcr.quantify(plate, droplet_volume_nl=0.85, cores=1, progressbar=False)
    >>> bool(abs(result["sample_copies_per_ul"].sel(sample="a", channel="Ch1") / 235.3 - 1) < 0.05)
    True
    """
    if not isinstance(plate, Plate):
        raise InputError("plate", f"got {type(plate).__name__}", "Give what read_plate or simulate_plate returns")
    check_seed(random_seed)
    if not 0.5 <= probability < 1.0:
        raise InputError("probability", f"got {probability!r}", "Give a number from 0.5 up to 1, such as 0.95")
    volume = volumes(plate, droplet_volume_nl, instrument)
    names = _channels(plate, channels)
    if not any(well.n_droplets for well in plate):
        raise InputError("plate", "has no droplets in any well", "Give wells with droplets")
    for name in names:
        if not any(np.unique(well.channel(name)[:_LOOKED_AT]).size > 1 for well in plate):
            raise InputError("channels", f"all amplitudes in {name} are alike", "Leave out channels that were not used")
    fits: dict[str, PlateFit] = {}
    seeds = np.random.SeedSequence(random_seed).spawn(len(names) + 1)
    controls = plate.table["ntc"].to_numpy(dtype=bool)
    with Progress(progressbar) as progress:
        for name, seed in zip(names, seeds, strict=False):
            options = {"draws": _DRAWS, "seed": seed, "cores": cores, "progress": progress}
            fits[name] = fit_plate([well.channel(name) for well in plate], controls.tolist(), **options)
    rng = np.random.default_rng(seeds[-1])
    return _dataset(plate, fits, volume, probability, rng)


def _channels(plate: Plate, channels: Sequence[str] | None) -> list[str]:
    if channels is None:
        return list(plate.channels)
    wanted = [channels] if isinstance(channels, str) else list(channels)
    unknown = [name for name in wanted if name not in plate.channels]
    if unknown or not wanted:
        raise InputError("channels", f"got {channels!r}", f"The plate has {', '.join(plate.channels)}")
    return wanted


def _dataset(
    plate: Plate, fits: dict[str, PlateFit], volume: Volume, probability: float, rng: np.random.Generator
) -> xr.Dataset:
    import xarray as xr

    table, wells, channels = plate.table, [well.name for well in plate], list(fits)
    controls = table["ntc"].to_numpy(dtype=bool)
    names = [str(name) for name in dict.fromkeys(table["sample"][~controls])]
    low, high = 0.5 - 0.5 * probability, 0.5 + 0.5 * probability
    per_well = {name: np.full((len(wells), len(channels)), np.nan) for name in _WELL}
    flags = np.full((len(wells), len(channels)), "", dtype=object)
    most = max(fitted.beliefs.n_negative for fitted in fits.values())
    parameters = [_PARAMETERS[0], *(f"share {j}" for j in range(2, most + 1)), *_PARAMETERS[1:]]
    modes = np.full((len(wells), len(channels), len(parameters)), np.nan)
    suffixes = ("", "_lower", "_upper", "_total_lower", "_total_upper")
    per_sample = {f"sample_copies_per_ul{each}": np.full((len(names), len(channels)), np.nan) for each in suffixes}
    per_channel = {f"between_well_sd{each}": np.full(len(channels), np.nan) for each in suffixes[:3]}
    per_channel |= {name: np.full(len(channels), np.nan) for name in ("limit_of_blank", "limit_of_detection")}
    volumes_ul = np.array([volume.by_well[name] / _MICROLITRE for name in wells])
    offsets = np.log(volumes_ul / table["dilution"].to_numpy(dtype=float))
    concentrations: dict[str, dict[str, Any]] = {}
    attributes: dict[str, str] = {}
    for c, (channel, fitted) in enumerate(fits.items()):
        counted = [None if fit is None else Counted.of(fit) for fit in fitted.wells]
        members = {
            name: [i for i in np.flatnonzero((table["sample"] == name) & ~controls) if counted[i] is not None]
            for name in names
        }
        samples = [([counted[i] for i in own], offsets[own]) for own in members.values() if own]
        between = between_wells(samples)  # type: ignore[arg-type]
        tau = per_channel["between_well_sd"], per_channel["between_well_sd_lower"], per_channel["between_well_sd_upper"]
        tau[0][c], (tau[1][c], tau[2][c]) = between.median, between.interval(probability)
        baselines = np.array([fit.mode[-4] for fit in fitted.wells if fit is not None])
        for i, fit in enumerate(fitted.wells):
            if fit is None:
                flags[i, c] = fitted.why[i]
                continue
            found = _of_well(plate.wells[i].channel(channel), fit, fitted, low, high)
            found |= _concentration(fit, counted[i], between, volumes_ul[i], low, high)
            for name, value in found.items():
                per_well[name][i, c] = value
            J = fitted.beliefs.n_negative
            modes[i, c, [*range(J), *range(len(parameters) - len(_PARAMETERS) + 1, len(parameters))]] = fit.mode
            flags[i, c] = joined(flags_of(fit, fitted.alone[i], fitted.beliefs, baselines))
        concentrations[channel] = {}
        for s, (name, own) in enumerate(members.items()):
            if not own:
                continue
            at = [counted[i] for i in own], offsets[own]
            statistical = between.concentration(*at, total=False)  # type: ignore[arg-type]
            total = between.concentration(*at, total=True)  # type: ignore[arg-type]
            concentrations[channel][name] = total
            some = [fit for fit in (fitted.wells[i] for i in own) if fit is not None]
            kinds = {_kind(fit) for fit in some}
            kind = kinds.pop() if len(kinds) == 1 else ""
            found = [total.quantiles([0.5]), *(_ends(each, kind, low, high) for each in (statistical, total))]
            for each, value in zip(suffixes, np.concatenate(found), strict=True):
                per_sample[f"sample_copies_per_ul{each}"][s, c] = value
        mean_volume = float(np.mean(volumes_ul))
        blank, detection = limits(fitted, controls, mean_volume)
        per_channel["limit_of_blank"][c], per_channel["limit_of_detection"][c] = blank, detection
        attributes[f"flags {channel}"] = joined(of_plate(fitted, int(controls.sum())))
        attributes[f"model {channel}"] = fitted.beliefs.model().to_json()
        attributes[f"negatives {channel}"] = f"shape learned from {fitted.learned_from}"
        if not between.informed:
            attributes[f"flags {channel}"] = joined(
                [
                    *filter(None, [attributes[f"flags {channel}"]]),
                    "no sample has several wells: tau is as believed before",
                ]
            )
    out = xr.Dataset(
        {name: (("well", "channel"), values, _units(*_WELL[name])) for name, values in per_well.items()}
        | {
            "mode": (
                ("well", "channel", "parameter"),
                modes,
                {"long_name": "of the posterior of a well's own parameters"},
            )
        }
        | {"flags": (("well", "channel"), flags.astype(str), {"long_name": "what must be said of this well"})}
        | {
            name: (("sample", "channel"), values, _units("copies per microlitre of sample", "undiluted"))
            for name, values in per_sample.items()
        }
        | {name: (("channel",), values) for name, values in per_channel.items()}
        | {"n_droplets": (("well",), np.array([well.n_droplets for well in plate]))},
        coords={"well": wells, "channel": channels, "sample": names, "parameter": parameters}
        | {name: (("well",), table[name].to_numpy()) for name in ("dilution", "ntc", "replicate")}
        | {"well_sample": (("well",), np.array([str(name) for name in table["sample"]]))}
        | {"target": (("channel",), [_target(plate, name) for name in channels])}
        | {"droplet_volume_nl": (("well",), _MICROLITRE * volumes_ul)},
    )
    out["between_well_sd"].attrs = _units("of log concentration", "tau, beyond Poisson noise; posterior median")
    for name in ("limit_of_blank", "limit_of_detection"):
        out[name].attrs = _units("copies per microlitre of reaction", "from the wells without template; 95 %")
    total = volumes_ul * out["n_droplets"].to_numpy()
    out["total_volume_ul"] = (("well",), total, _units("microlitres", "of all droplets together"))
    out["n_droplets"].attrs = _units("droplets", "with an amplitude")
    if len(channels) > 1:
        out = out.merge(of_two_channels(plate, fits, concentrations, names, (low, high), rng))
    out.attrs = {
        "droplet_volume": volume.source,
        "method": "Gaussian mixture with Poisson-locked weights; rain counts as positive",
        "intervals": f"{probability:g}, equal tails of the posterior; of between_well_sd the shortest interval",
        "probability": probability,
        **attributes,
    }
    return out


def _of_well(x: Array, fit: WellFit, fitted: PlateFit, low: float, high: float) -> dict[str, float]:
    rate = np.exp(fit.of("log_rate"))
    rain = 1.0 / (1.0 + np.exp(-fit.of("rain")))
    n, baseline, gap = fit.n_droplets, fit.mode[-4], float(np.exp(fit.mode[-2]))
    threshold = baseline + 0.5 * gap
    above = int((x > threshold).sum())
    counted = Counted.of(fit)
    middle = fit.quantiles(rate, (0.5,))[0]
    without_rain = -np.log1p(np.expm1(-rate) * (1.0 - rain))
    return {
        "copies_per_droplet": middle,
        "copies_per_droplet_rain_negative": fit.quantiles(without_rain, (0.5,))[0],
        "copies_per_droplet_threshold": -np.log1p(-above / n) if above < n else np.nan,
        "positives": -n * float(np.expm1(-middle)),
        "effective_droplets": min(counted.positive + counted.negative, float(n)),
        "separation": separation(fit, fitted.beliefs),
        "threshold": threshold,
        "baseline": baseline,
        "spread": float(np.exp(fit.mode[-3])),
        "gap": gap,
        "positive_sd": float(np.exp(fit.mode[-1])),
        "rain": fit.quantiles(rain, (0.5,))[0],
        "low": float(expit(fit.mode[-6])),
        "outliers": float(expit(fit.mode[-5])),
        "misfit": fit.misfit,
        "pareto_k": fit.pareto_k,
    } | dict(zip(("copies_per_droplet_lower", "copies_per_droplet_upper"), _bounds(fit, low, high), strict=True))


def _bounds(fit: WellFit, low: float, high: float) -> tuple[float, float]:
    """Of lambda; one-sided where there are no positives or no negatives."""
    rate = np.exp(fit.of("log_rate"))
    if _kind(fit) == _FULL:
        return float(fit.quantiles(rate, (2.0 * low,))[0]), np.nan
    if _kind(fit) == _NONE:
        return 0.0, float(fit.quantiles(rate, (1.0 - 2.0 * low,))[0])
    lower, upper = fit.quantiles(rate, (low, high))
    return float(lower), float(upper)


def _kind(fit: WellFit) -> str:
    """Whether a well has hardly a positive droplet, hardly a negative one, or both kinds."""
    middle = float(fit.quantiles(np.exp(fit.of("log_rate")), (0.5,))[0])
    if fit.n_droplets * np.exp(-middle) < 1.0 or middle > HIGHEST_RATE:
        return _FULL
    return _NONE if -fit.n_droplets * np.expm1(-middle) < 1.0 else ""


def _ends(found: Concentration, kind: str, low: float, high: float) -> Array:
    """Of an interval; one-sided where no well has positives, or none has negatives."""
    if kind == _FULL:
        return np.array([found.quantiles((2.0 * low,))[0], np.nan])
    return np.array([0.0, found.quantiles((1.0 - 2.0 * low,))[0]]) if kind == _NONE else found.quantiles((low, high))


def _concentration(
    fit: WellFit, counted: Counted | None, between: BetweenWells, volume_ul: float, low: float, high: float
) -> dict[str, float]:
    assert counted is not None
    lower, upper = _bounds(fit, low, high)
    middle = float(fit.quantiles(np.exp(fit.of("log_rate")), (0.5,))[0])
    both = between.concentration([counted], [np.log(volume_ul)], total=True)
    total_lower, total_upper = _ends(both, _kind(fit), low, high)
    return {
        "copies_per_ul": middle / volume_ul,
        "copies_per_ul_lower": lower / volume_ul,
        "copies_per_ul_upper": upper / volume_ul,
        "copies_per_ul_total_lower": total_lower,
        "copies_per_ul_total_upper": total_upper,
    }


def _target(plate: Plate, channel: str) -> str:
    found = plate.table[f"target {channel}"].astype(str).unique()
    return ", ".join(found)


def _units(units: str, meaning: str) -> dict[str, str]:
    return {"units": units, "long_name": meaning}
