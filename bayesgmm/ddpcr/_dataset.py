"""The Dataset of a plate's results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.ddpcr._between_wells import Counted, between_wells
from bayesgmm.ddpcr._blank import with_verdicts
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._flags import flags_of, joined, of_plate
from bayesgmm.ddpcr._graded_model import GradedBeliefs
from bayesgmm.ddpcr._pairs import Pairs, flags_of_pairs, flags_of_partners, of_two_channels
from bayesgmm.ddpcr._plate import Plate
from bayesgmm.ddpcr._plate_fit import PlateFit
from bayesgmm.ddpcr._volume import Volume
from bayesgmm.ddpcr._well_numbers import concentration_of, ends, kind_of, of_well, status_of, variables

if TYPE_CHECKING:
    import xarray as xr

_MICROLITRE = 1000.0  # nanolitres
# Coordinates of a well's own parameters; after the first come the shares of the negatives' components.
_PARAMETERS = ("log_rate", "tilt", "rain", "low", "outliers", "baseline", "log_spread", "log_gap", "log_positive_sd")
_GRADES = ("probit_rho", "log_step_sd")


def dataset(
    plate: Plate,
    fits: dict[str, PlateFit],
    pairs: Pairs,
    volume: Volume,
    probability: float,
    rng: np.random.Generator,
) -> xr.Dataset:
    """All numbers and flags of the wells, samples, channels and pairs of a plate.

    Parameters
    ----------
    plate : Plate
    fits : dict of PlateFit
        Of each channel.
    pairs : dict of PairPlate
    volume : Volume
    probability : float
        Of the intervals.
    rng : Generator
    """
    import xarray as xr

    table, wells, channels = plate.table, [well.name for well in plate], list(fits)
    controls = table["ntc"].to_numpy(dtype=bool)
    names = [str(name) for name in dict.fromkeys(table["sample"][~controls])]
    low, high = 0.5 - 0.5 * probability, 0.5 + 0.5 * probability
    of_wells = variables(fits)
    per_well = {name: np.full((len(wells), len(channels)), np.nan) for name in of_wells}
    flags = np.full((len(wells), len(channels)), "", dtype=object)
    beliefs = [own for fitted in fits.values() for own in fitted.own]
    most = max(own.n_negative for own in beliefs)
    grades = _GRADES if any(isinstance(own, GradedBeliefs) for own in beliefs) else ()
    parameters = [_PARAMETERS[0], *(f"share {j}" for j in range(2, most + 1)), *grades, *_PARAMETERS[1:]]
    modes = np.full((len(wells), len(channels), len(parameters)), np.nan)
    suffixes = ("", "_lower", "_upper", "_total_lower", "_total_upper")
    per_sample = {f"sample_copies_per_ul{each}": np.full((len(names), len(channels)), np.nan) for each in suffixes}
    per_channel = {f"between_well_sd{each}": np.full(len(channels), np.nan) for each in suffixes[:3]}
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
        for i, fit in enumerate(fitted.wells):
            if fit is None:
                flags[i, c] = fitted.why[i]
                continue
            part, own = fitted.of(i)
            found = of_well(own, fit, part, low, high)
            found |= concentration_of(fit, counted[i], between, volumes_ul[i], low, high)
            for name, value in found.items():
                per_well[name][i, c] = value
            modes[i, c, _places(parameters, part.beliefs)] = fit.mode
            flags[i, c] = joined([*flags_of(own, part, fit), *flags_of_partners(fits, channel, i)])
        concentrations[channel] = {}
        for s, (name, own) in enumerate(members.items()):
            if not own:
                continue
            at = [counted[i] for i in own], offsets[own]
            statistical = between.concentration(*at, total=False)  # type: ignore[arg-type]
            total = between.concentration(*at, total=True)  # type: ignore[arg-type]
            concentrations[channel][name] = total
            some = [fit for fit in (fitted.wells[i] for i in own) if fit is not None]
            kinds = {kind_of(fit) for fit in some}
            kind = kinds.pop() if len(kinds) == 1 else ""
            found = [total.quantiles([0.5]), *(ends(each, kind, low, high) for each in (statistical, total))]
            for each, value in zip(suffixes, np.concatenate(found), strict=True):
                per_sample[f"sample_copies_per_ul{each}"][s, c] = value
        attributes[f"flags {channel}"] = joined(
            [*of_plate(fitted, int(controls.sum())), *flags_of_pairs(pairs, channel)]
        )
        attributes |= _models(channel, fitted, wells)
        if fitted.grades:
            attributes[f"amplitudes {channel}"] = fitted.grades
        attributes[f"negatives {channel}"] = f"shape learned from {fitted.learned_from}"
        if not between.informed:
            attributes[f"flags {channel}"] = joined(
                [
                    *filter(None, [attributes[f"flags {channel}"]]),
                    "no sample has several wells, so how much wells of a sample differ is assumed and not measured",
                ]
            )
    out = xr.Dataset(
        {name: (("well", "channel"), values, _units(*of_wells[name])) for name, values in per_well.items()}
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
    total = volumes_ul * out["n_droplets"].to_numpy()
    out["total_volume_ul"] = (("well",), total, _units("microlitres", "of all droplets together"))
    out["n_droplets"].attrs = _units("droplets", "with an amplitude")
    if "r_hat" in of_wells:
        status = np.array([[status_of(fit) for fit in fitted.wells] for fitted in fits.values()]).T
        out["sampling"] = (("well", "channel"), status, {"long_name": "how the chains ended"})
    if len(channels) > 1:
        out = out.merge(of_two_channels(plate, fits, pairs, concentrations, names, (low, high), rng))
    out.attrs = {
        "droplet_volume": volume.source,
        "method": "counted where the plate shows a gap, else by a Gaussian mixture with Poisson-locked weights; rain "
        "counts as positive",
        "intervals": f"{probability:g}, equal tails of the posterior; of between_well_sd the shortest interval",
        "probability": probability,
        **attributes,
    }
    return with_verdicts(out, plate)


def _places(parameters: list[str], beliefs: Beliefs) -> list[int]:
    """Where a well's own parameters stand among those of all channels."""
    grades = _GRADES if isinstance(beliefs, GradedBeliefs) else ()
    own = [_PARAMETERS[0], *(f"share {j}" for j in range(2, beliefs.n_negative + 1)), *grades, *_PARAMETERS[1:]]
    return [parameters.index(name) for name in own]


def _models(channel: str, fitted: PlateFit, wells: list[str]) -> dict[str, str]:
    """The declaration of wells, and those of wells that were fitted with priors of their own, such as controls."""
    at = f"model {channel}"
    others = {f"{at} of {name}": own for name, own in zip(wells, fitted.own, strict=True) if own != fitted.beliefs}
    return {name: own.model().to_json() for name, own in ({at: fitted.beliefs} | others).items()}


def _target(plate: Plate, channel: str) -> str:
    """Names of what a channel measures; its own name only where no well has another."""
    found = plate.table[f"target {channel}"].astype(str).unique().tolist()
    return ", ".join([name for name in found if name != channel] or [channel])


def _units(units: str, meaning: str) -> dict[str, str]:
    return {"units": units, "long_name": meaning}
