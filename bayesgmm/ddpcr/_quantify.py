"""From droplets to concentrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesgmm._arguments import as_choice, as_flag, as_number, as_seed, as_texts, as_written
from bayesgmm._errors import InputError
from bayesgmm.ddpcr._assays import by_assay
from bayesgmm.ddpcr._compared import comparison, with_compared
from bayesgmm.ddpcr._dataset import dataset
from bayesgmm.ddpcr._fit_plate import Wells, fit_plate
from bayesgmm.ddpcr._graded_plate import with_grades
from bayesgmm.ddpcr._override import as_thresholds, at_threshold
from bayesgmm.ddpcr._pairs import alone, cleared_of, fit_pairs
from bayesgmm.ddpcr._plate import Plate
from bayesgmm.ddpcr._plate_fit import PlateFit
from bayesgmm.ddpcr._sample_wells import check_engine, sampled, warn_of_time
from bayesgmm.ddpcr._volume import volumes
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.nuts import NUTS
from bayesgmm.inference._parallel import check_cores
from bayesgmm.numerics.threads import one_blas_thread

if TYPE_CHECKING:
    import xarray as xr

_DRAWS = 1024
_LOOKED_AT = 1000  # amplitudes, to see whether a channel was used


def quantify(
    plate: Plate,
    *,
    droplet_volume_nl: float | None = None,
    instrument: str | None = None,
    channels: Sequence[str] | None = None,
    amplitudes: Literal["saturated", "graded"] = "saturated",
    engine: NUTS | None = None,
    wells: Any = None,
    thresholds: Mapping[str, Any] | None = None,
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

    Where the droplets of the plate show a gap between negatives and positives, they are counted on both sides of it.
    Elsewhere each well is a mixture whose weights are locked by Poisson's law (`well_model` returns the declaration):
    negatives of a shape that is learned from the wells without template, positives that hold one molecule or more, rain
    between them, outliers. Wells learn from each other where clusters are and how wide; wells of a sample differ by
    more than Poisson noise, with a standard deviation tau that is learned from all samples with several wells.

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
    thresholds : mapping, optional
        By channel or target an amplitude, at which all wells are counted in place of what is found, or the means of
        the negative and the positive cluster, between which the threshold is half way. Flags say what the answer would
        be otherwise.
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
        ``_total_upper``), rain counted as negative, ``counted``, the ``threshold`` and the count there, where the
        clusters are, and ``flags``.
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
        other (``plate_effect_size``; ``effect_size`` of wells that were fitted or counted with it). Attributes hold the
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
    The gap is the widest one of all wells, each measured from the middle of its own negatives, that holds no more than
    rain. A well without more droplets there than its share of rain is counted (``counted`` is 1): lambda is
    -log(1 - k / n), with Jeffreys' interval of k / n; rain that is hidden among the negatives is added where it
    matters. What is seen of another channel's signal is taken off first. Wells of different targets in one channel
    learn only from their own kind. One well without a control, or wells that do not show where positives lie, have an
    upper limit.

    Rain counts as positive: it lies between the clusters because amplification began late. Where wells are not counted,
    intervals of lambda are quantiles of weighted draws from the posterior of all of a well's parameters, or of an
    engine's draws. Every well is also counted at a threshold, in the gap or else half way between the plate's clusters;
    flags say where that is beyond the mixture's interval.

    Graded amplitudes are earned if the evidence of all wells, fitted one by one under weak priors, is higher by 5 nats,
    and if lambda moves by no more than chance when the positives' law has a rate of its own (Hausman 1978; P > 0.01).

    Two channels are first taken one by one, then, of wells that are not counted in both, those with most droplets in
    the four clusters are asked for cross-talk (a share of one channel's signal is seen in the other) and competition
    (signals are lower where both targets are). If the plate is sure that a cluster is shifted by a quarter of its sd
    or more, all of these wells but the controls are fitted in both channels together, and these are the results; a
    flag says so.

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
    targets = {name: list(dict.fromkeys(plate.table[f"target {name}"].astype(str))) for name in names}
    limits = as_thresholds(thresholds, names, targets)
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
            of_wells = plate.table[f"target {name}"].astype(str).tolist()
            fits[name] = by_assay(wells_of, of_wells, graded if amplitudes == "graded" else saturated)
            if name in limits:
                given = {"draws": _DRAWS, "seeds": wells_of.seeds}
                fits[name] = at_threshold(fits[name], amplitudes_of[name], limits[name], **given)
        fits, pairs = fit_pairs(plate, fits, seed=seeds[-1], cores=cores, progress=progress)
        for name, seed in zip(names, seeds, strict=False):
            if engine is not None:
                x, options = [well.channel(name) for well in plate], {"cores": cores, "progress": progress}
                fits[name] = sampled(
                    fits[name], x, alone(pairs, name, chosen), engine, seed=seed.spawn(1)[0], **options
                )
    rng = np.random.default_rng(seeds[-2])
    out = with_compared(dataset(plate, fits, pairs, volume, probability, rng), plate, by)
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
