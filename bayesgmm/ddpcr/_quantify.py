"""From droplets to concentrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesgmm._arguments import as_choice, as_flag, as_number, as_seed, as_texts, as_written
from bayesgmm._errors import InputError
from bayesgmm.ddpcr._assays import by_assay
from bayesgmm.ddpcr._between_wells import Counted, between_wells
from bayesgmm.ddpcr._blank import with_verdicts
from bayesgmm.ddpcr._compared import comparison, with_compared
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._fit_plate import PlateFit, Wells, fit_plate
from bayesgmm.ddpcr._flags import flags_of, joined, of_plate
from bayesgmm.ddpcr._graded_model import GradedBeliefs
from bayesgmm.ddpcr._graded_plate import with_grades
from bayesgmm.ddpcr._pairs import (
    Pairs,
    alone,
    cleared_of,
    fit_pairs,
    flags_of_pairs,
    flags_of_partners,
    of_two_channels,
)
from bayesgmm.ddpcr._plate import Plate
from bayesgmm.ddpcr._sample_wells import check_engine, sampled, warn_of_time
from bayesgmm.ddpcr._volume import Volume, volumes
from bayesgmm.ddpcr._well_numbers import concentration_of, ends, kind_of, of_well, status_of, variables
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.nuts import NUTS
from bayesgmm.inference._parallel import check_cores
from bayesgmm.numerics.threads import one_blas_thread

if TYPE_CHECKING:
    import xarray as xr

_MICROLITRE = 1000.0  # nanolitres
_DRAWS = 1024
_LOOKED_AT = 1000  # amplitudes, to see whether a channel was used
# Coordinates of a well's own parameters; after the first come the shares of the negatives' components.
_PARAMETERS = ("log_rate", "tilt", "rain", "low", "outliers", "baseline", "log_spread", "log_gap", "log_positive_sd")
_GRADES = ("probit_rho", "log_step_sd")


def quantify(
    plate: Plate,
    *,
    droplet_volume_nl: float | None = None,
    instrument: str | None = None,
    channels: Sequence[str] | None = None,
    amplitudes: Literal["saturated", "graded"] = "saturated",
    engine: NUTS | None = None,
    wells: Any = None,
    reaction_volume_ul: float = 20.0,
    input_ng: float | None = None,
    reference: str | None = None,
    reference_copies: float = 2.0,
    probability: float = 0.95,
    random_seed: int | np.random.Generator | None = 0,
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
    amplitudes : {"saturated", "graded"}
        "saturated": droplets with one molecule or more are one cluster. "graded": a cluster for each number of
        molecules m, at baseline + gap (1 - rho^m) / (1 - rho), with weights by Poisson's law, so that lambda rests on
        the heights of positives as well; reported for a channel only if its data earn it, else flags say why it is
        saturated.
    engine : NUTS, optional
        Samples the full posterior of wells, for checking, in place of the fast answer: about a minute of one processor
        for each well with ``NUTS()``.
    wells : str or list of str, optional
        The wells that the engine samples, such as ``"A01-C01"``; all if left out. Others keep the fast answer, and all
        learn from each other as without engine. Where two channels are fitted together that fit stands;
        `two_channel_model` is for any engine.
    reaction_volume_ul : float
        Microlitres of the reaction in a well, for copies per well.
    input_ng : float, optional
        Nanograms of template in each well, for copies per ng; the column ``ng`` of the plate table if left out.
    reference : str, optional
        Channel or target of the reference of copy numbers; the second of each pair if left out.
    reference_copies : float
        Copies of the reference in a genome.
    probability : float
        Of the intervals.
    random_seed : int or numpy.random.Generator, optional
        The same seed gives the same numbers. A Generator gives one number as the seed and moves on.
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
        (NaN). Per ``sample`` and ``channel``: ``sample_copies_per_ul`` of the undiluted sample with both intervals. Per
        ``channel``: ``between_well_sd`` (tau, of the log concentration) with the shortest interval, limits of blank and
        of detection. Per ``well`` and ``channel``, and with ``sample_`` in front per ``sample``: ``detected``
        ("detected", "not detected", or empty where there is nothing to compare with), ``limit_of_blank_positives`` (a
        blank with as many droplets stays within), ``limit_of_blank_copies_per_ul``,
        ``limit_of_detection_copies_per_ul``. ``counted_positives`` and ``counted_negatives`` are whole droplets;
        ``copies_per_well`` and ``copies_per_ng`` have the same five ends as ``copies_per_ul``; ``copy_number`` of each
        pair is the ratio times the copies of the reference. ``reported_positives``, ``reported_copies_per_ul`` and the
        like are the instrument's own numbers, where its results were read. Per ``pair`` of channels: ``ratio``,
        ``fractional_abundance``, ``linked_per_droplet``, ``cluster_share``, and the ``effect`` of one channel on the
        other (``plate_effect_size``; ``effect_size`` of each well where they were fitted together). Attributes hold the
        droplet volume and where it comes from, the method, each channel's declaration, and those of wells that were
        fitted with priors of their own, such as controls. With an engine also per ``well`` and ``channel``:
        ``sampling`` (name of the `Status`, empty where it was not sampled), ``r_hat`` and ``effective_draws`` of
        lambda, ``divergences``. With graded amplitudes ``rho`` and ``step_sd``, the sd that each further molecule adds.

    Raises
    ------
    InputError
        Without a droplet volume, for channels or wells the plate does not have, another engine than `NUTS`, or a plate
        without droplets.

    Notes
    -----
    Rain counts as positive: it lies between the clusters because amplification began late. Intervals of lambda are
    quantiles of weighted draws from the posterior of all of a well's parameters, or of an engine's draws.

    Graded amplitudes are earned if the evidence of all wells, fitted one by one under weak priors, is higher by 5 nats,
    and if lambda moves by no more than chance when the positives' law has a rate of its own (Hausman 1978; P > 0.01).

    Two channels are first fitted one by one, then the wells with most droplets in the four clusters are asked for
    cross-talk (a share of one channel's signal is seen in the other) and competition (signals are lower where both
    targets are). If the plate is sure that a cluster is shifted by a quarter of its sd or more, all wells but the
    controls are fitted in both channels together, and these are the results; a flag says so.

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
    seed, progressbar = as_seed(random_seed), as_flag("progressbar", progressbar)
    probability = as_number("probability", probability, least=0.5, below=1.0)
    as_choice("amplitudes", amplitudes, ("saturated", "graded"))
    sampled_wells = check_engine(engine, wells, plate)
    if cores is not None:
        cores = check_cores(cores)
    volume = volumes(plate, droplet_volume_nl, instrument)
    names = _channels(plate, channels)
    by = comparison(plate, names, reaction_volume_ul, input_ng, reference, reference_copies)
    if not any(well.n_droplets for well in plate):
        raise InputError("plate", "has no droplets in any well", "Give wells with droplets")
    for name in names:
        if not any(np.unique(well.channel(name)[:_LOOKED_AT]).size > 1 for well in plate):
            raise InputError("channels", f"all amplitudes in {name} are alike", "Leave out channels that were not used")
    fits: dict[str, PlateFit] = {}
    seeds = np.random.SeedSequence(seed).spawn(len(names) + 2)
    controls = plate.table["ntc"].to_numpy(dtype=bool)
    chosen = [i for i, well in enumerate(plate) if well.name in sampled_wells]
    if engine is not None:
        warn_of_time(engine, len(chosen) * len(names), cores)
    amplitudes_of = {name: [well.channel(name) for well in plate] for name in names}
    cleared = cleared_of(amplitudes_of, controls.tolist())
    # Problems of a few numbers: further threads of BLAS would only wait for each other, at full load.
    with one_blas_thread(), Progress(progressbar) as progress:
        for name, seed in zip(names, seeds, strict=False):
            wells_of = Wells(
                amplitudes=amplitudes_of[name],
                without_cross_talk=cleared[name],
                counting=amplitudes == "saturated",
                without_template=controls.tolist(),
                seeds=seed.spawn(len(plate)),
                cores=cores,
                progress=progress,
            )
            targets = plate.table[f"target {name}"].astype(str).tolist()
            fits[name] = by_assay(wells_of, targets, graded if amplitudes == "graded" else saturated)
        fits, pairs = fit_pairs(plate, fits, seed=seeds[-1], cores=cores, progress=progress)
        for name, seed in zip(names, seeds, strict=False):
            if engine is not None:
                x, options = [well.channel(name) for well in plate], {"cores": cores, "progress": progress}
                fits[name] = sampled(
                    fits[name], x, alone(pairs, name, chosen), engine, seed=seed.spawn(1)[0], **options
                )
    rng = np.random.default_rng(seeds[-2])
    out = with_compared(_dataset(plate, fits, pairs, volume, probability, rng), plate, by)
    from bayesgmm.results import sealed

    if engine is not None:
        out.attrs["engine"] = f"{engine!r} in {', '.join(sampled_wells)}"
    return sealed(out, "ddpcr.quantify")


def saturated(wells: Wells) -> PlateFit:
    """All positives alike."""
    return fit_plate(wells, draws=_DRAWS)


def graded(wells: Wells) -> PlateFit:
    """Positives that grow with their molecules, where the data earn it."""
    return with_grades(wells, saturated(wells), draws=_DRAWS)


def _channels(plate: Plate, channels: Sequence[str] | None) -> list[str]:
    if channels is None:
        return list(plate.channels)
    listed = [channels] if isinstance(channels, str) else channels
    wanted = list(as_texts("channels", listed, f"The plate has {', '.join(plate.channels)}"))
    unknown = [name for name in wanted if name not in plate.channels]
    if unknown or not wanted:
        raise InputError("channels", f"got {as_written(channels)}", f"The plate has {', '.join(plate.channels)}")
    return wanted


def _dataset(
    plate: Plate,
    fits: dict[str, PlateFit],
    pairs: Pairs,
    volume: Volume,
    probability: float,
    rng: np.random.Generator,
) -> xr.Dataset:
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
        "method": "Gaussian mixture with Poisson-locked weights; rain counts as positive",
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
