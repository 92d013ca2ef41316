"""What the digital MIQE guidelines ask for (dMIQE Group 2020, Clin. Chem. 66:1012), and what a report holds of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm._words import counted
from bayesgmm.plots._droplets import digits
from bayesgmm.report._html import table, text

if TYPE_CHECKING:
    import xarray as xr


def checklist(result: xr.Dataset) -> str:
    """A table: the item, what stands in the report, what its reader has to add."""
    droplets = result["n_droplets"].to_numpy()
    volume = result["droplet_volume_nl"].to_numpy()
    total = result["total_volume_ul"].to_numpy()
    ntc = result["ntc"].to_numpy()
    rate = result["copies_per_droplet"].to_numpy()
    rate = rate[~ntc][np.isfinite(rate[~ntc])]
    controls = [str(name) for name in result["well"].to_numpy()[ntc]]
    kinds = result["control"].to_numpy().astype(str)
    others = {kind: [str(w) for w in result["well"].to_numpy()[kinds == kind]] for kind in ("wild_type", "positive")}
    others = {kind: own for kind, own in others.items() if own}
    samples = result["well_sample"].to_numpy().astype(str)[~ntc]
    several = sum(int((samples == name).sum()) > 1 for name in np.unique(samples))
    rows = [
        (
            "Copies per partition (λ)",
            f"{_range(rate)} in wells with template; each well in <a href='#wells'>Wells</a>."
            if rate.size
            else "None.",
            "",
        ),
        (
            "Partitions measured",
            f"{_range(droplets, 0)} a well, {int(droplets.sum()):,} in all.",
            "How many were generated, if you leave out wells by it.",
        ),
        (
            "Partition volume and its source",
            f"{_range(volume, 4)} nL; {text(result.attrs['droplet_volume'])}.",
            "The reference for the volume where you stated it, and its uncertainty: concentrations are proportional to "
            "1 / volume, and no interval here contains it.",
        ),
        (
            "Total volume of partitions",
            f"{_range(total, 2)} µL a well.",
            "Volume of the reaction that was prepared, and of template in it.",
        ),
        (
            "Classification of partitions",
            f"{_classified(result)}; clusters of every well in <a href='#histograms'>Droplets, well by well</a>.",
            "",
        ),
        (
            "Controls without template",
            f"{counted(len(controls), 'well')}: {text(', '.join(controls))}; limits of blank and detection in "
            "<a href='#between'>Between wells</a>."
            if controls
            else "<span class=mark>None named.</span>",
            "Controls of extraction; which wells they are." if controls else "Name them, or say why there are none.",
        ),
        (
            "Other controls",
            "; ".join(f"{kind.replace('_', '-')}: {text(', '.join(own))}" for kind, own in others.items()) + "."
            if others
            else "<span class=mark>None named.</span>",
            "" if "positive" in others else "Positive controls; which wells they are.",
        ),
        (
            "Replication",
            f"{several} of {counted(len(np.unique(samples)), 'sample')} in several wells.",
            "Whether replicates are of the partitioning, of the extraction, or biological.",
        ),
        (
            "Variance and intervals",
            f"{text(result.attrs['intervals'])}. Statistical intervals carry Poisson noise and which droplet is what; "
            "total intervals the variation between wells as well.",
            "Variation between extractions, runs and days, which one plate cannot show.",
        ),
        (
            "Dilution",
            f"Factor {_range(result['dilution'].to_numpy(), 6)}; concentrations of samples are undiluted.",
            "How dilutions were made.",
        ),
        (
            "Method and software",
            text(result.attrs["method"]) + "; version at the end of this page.",
            "Instrument, its software and settings.",
        ),
        (
            "Assay and sample",
            "Names of samples and targets as given.",
            "Sequences or identifiers of the assay, chemistry, cycling, specificity; origin, storage, extraction and "
            "quality of the sample; digestion by a restriction enzyme.",
        ),
    ]
    cells = [(f"<b>{item}</b>", held, added or "<span class=soft>–</span>") for item, held, added in rows]
    return table(["Item", "In this report", "To be added by you"], cells, kind="stack")


def _classified(result: xr.Dataset) -> str:
    """How droplets were told apart."""
    known = np.isfinite(result["copies_per_droplet"].to_numpy())
    by_count = int((result["counted"].to_numpy()[known] == 1.0).sum())
    total = int(known.sum())
    if by_count == total:
        return "Counted at a threshold in the gap that the droplets of the plate show"
    if not by_count:
        return "By a mixture model, whose answer stands beside the count at a threshold"
    return (
        f"{by_count} of {total} results counted at a threshold in the gap that the droplets of the plate show, the "
        "others by a mixture model"
    )


def _range(values: np.ndarray, places: int | None = None) -> str:
    """The only value, or the lowest to the highest."""

    def shown(value: float) -> str:
        return (
            digits(value, value)
            if places is None
            else f"{value:,.{places}f}".rstrip("0").rstrip(".")
            if places
            else f"{value:,.0f}"
        )

    low, high = shown(float(np.min(values))), shown(float(np.max(values)))
    return low if low == high else f"{low} to {high}"
