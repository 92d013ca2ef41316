"""What two channels say together: cross-talk, ratios of targets, fractional abundance, and linkage."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bayesgmm.ddpcr._assays import some_of
from bayesgmm.ddpcr._counted_pairs import numbers, pair_of_counts, without_competition, without_cross_talk
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._fit_pair import PairPlate, fit_pair, log_excess
from bayesgmm.ddpcr._fit_plate import PlateFit
from bayesgmm.ddpcr._fit_well import WellFit, cluster_log_densities
from bayesgmm.ddpcr._flags import is_saturated
from bayesgmm.ddpcr._gap import find_gap
from bayesgmm.ddpcr._graded_model import GradedBeliefs
from bayesgmm.ddpcr._pair_density import CLUSTERS, EFFECTS, TURN
from bayesgmm.ddpcr._plate import Plate

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
Pairs = dict[tuple[str, str], PairPlate]

_DRAWS, _JOINT_DRAWS = 4000, 512
_EM_STEPS, _STEADY = 200, 1e-8
_JEFFREYS = 0.5
# With fewer droplets in a cluster its share is far from Normal; there droplets count as if their cluster were known.
_FEW = 20.0
_ENDS = ("", "_lower", "_upper")
_TOLD = {
    "ratio": ("1", "concentration in the first channel over that in the second"),
    "fractional_abundance": ("1", "concentration in the first channel over that in both"),
    "linked_per_droplet": ("copies per droplet", "lambda of molecules with both targets"),
    "effect_size": (
        "1",
        "share of a channel's signal; where channels were fitted together, or it was taken off before counting",
    ),
    "plate_effect_size": ("1", "share of a channel's signal, over the wells that tell"),
    "cluster_share": ("1", "of the droplets that are no outliers"),
    "cluster_correlation": ("1", "of the channels within a cluster; where they were fitted together"),
}


def cleared_of(amplitudes: dict[str, list[Array]], without_template: list[bool]) -> dict[str, list[Array]]:
    """Amplitudes of each channel without what the others do there, where clusters are clear."""
    if len(amplitudes) < 2:
        return amplitudes
    gaps = {name: find_gap(x, without_template) for name, x in amplitudes.items()}
    out = dict(amplitudes)
    for name, other in permutations(amplitudes, 2):
        out[name] = without_cross_talk(out[name], amplitudes[other], gaps[other], without_template)
    gaps = {name: find_gap(x, without_template) for name, x in out.items()}
    alone = dict(out)
    for name, other in permutations(amplitudes, 2):
        out[name] = without_competition(out[name], gaps[name], alone[other], gaps[other])
    return out


def fit_pairs(
    plate: Plate, fits: dict[str, PlateFit], *, seed: np.random.SeedSequence, cores: int | None, progress: Any
) -> tuple[dict[str, PlateFit], Pairs]:
    """Look at every pair of channels; wells that had to be fitted together replace those of the single channels.

    What was counted stays: a mixture cannot know better.
    """
    controls = plate.table["ntc"].to_numpy(dtype=bool).tolist()
    pairs: Pairs = {}
    names = list(combinations(fits, 2))
    out = dict(fits)
    for (a, b), own in zip(names, seed.spawn(len(names)), strict=True):
        if any(isinstance(each, GradedBeliefs) for name in (a, b) for each in fits[name].own):
            pairs[a, b] = PairPlate.without(len(plate), unseen="amplitudes are graded")
            continue
        x = [np.column_stack([well.channel(a), well.channel(b)]) for well in plate]
        if clear := pair_of_counts(x, (fits[a], fits[b]), controls):
            pairs[a, b] = clear
            continue
        options = {"draws": _JOINT_DRAWS, "cores": cores, "progress": progress}
        found = pairs[a, b] = _by_assays(x, (fits[a], fits[b]), controls, own, options)
        for c, name in enumerate((a, b)):
            wells = list(out[name].wells)
            for i, fit in enumerate(found.wells):
                single = wells[i]
                if fit is not None and (single is None or single.count is None):
                    wells[i] = fit.wells[c]
            out[name] = replace(out[name], wells=wells)
    return out, pairs


def _by_assays(
    x: list[Array],
    fits: tuple[PlateFit, PlateFit],
    controls: list[bool],
    seed: np.random.SeedSequence,
    options: dict[str, Any],
) -> PairPlate:
    """Wells of the same two assays together; effects are those of the two that most wells share."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i in range(len(x)):
        groups.setdefault((id(fits[0].of(i)[0]), id(fits[1].of(i)[0])), []).append(i)
    wells: list[Any] = [None] * len(x)
    parts = []
    for places, own in zip(groups.values(), seed.spawn(len(groups)), strict=True):
        some = some_of(fits[0], places), some_of(fits[1], places)
        parts.append(fit_pair([x[i] for i in places], some, [controls[i] for i in places], seed=own, **options))
        for i, fit in zip(places, parts[-1].wells, strict=True):
            wells[i] = fit
    most = max(range(len(parts)), key=lambda g: len(parts[g].wells))
    return replace(parts[most], wells=wells)


def alone(pairs: Pairs, channel: str, wells: list[int]) -> list[int]:
    """Those of the wells that were not fitted in this channel and another one together."""
    together = [found for pair, found in pairs.items() if channel in pair]
    return [i for i in wells if all(found.wells[i] is None for found in together)]


def flags_of_pairs(pairs: Pairs, channel: str) -> list[str]:
    """Sentences about a channel of the plate."""
    out = []
    for (a, b), found in pairs.items():
        if channel not in (a, b):
            continue
        if found.unseen:
            out.append(f"cross-talk of {a} and {b} not looked for: {found.unseen}")
        told = (
            f"cross-talk: {{:.0%}} of the signal in {a} is seen in {b}",
            f"cross-talk: {{:.0%}} of the signal in {b} is seen in {a}",
            f"competition: signals in {a} are {{:.0%}} lower where {b} is positive too",
            f"competition: signals in {b} are {{:.0%}} lower where {a} is positive too",
        )
        each = zip(told, found.effects[:, 0], found.found, strict=True)
        out += [text.format(size) for text, size, there in each if there]
        if any(found.found):
            counted = all(fit is None for fit in found.wells)
            taken = "what is seen of the other channel is taken off before droplets are counted"
            out.append(taken if counted else f"{a} and {b} are fitted together")
    if sum(any(fit is not None for fit in found.wells) for pair, found in pairs.items() if channel in pair) > 1:
        out.append("the last of these pairs counts: channels are not fitted three at a time")
    return out


def flags_of_partners(fits: dict[str, PlateFit], channel: str, i: int) -> list[str]:
    """Sentences about a well, from the other channels."""
    others = ((name, fitted.wells[i]) for name, fitted in fits.items() if name != channel)
    return [
        f"partner channel {name} saturated: what it does to this channel cannot be seen"
        for name, fit in others
        if fit is not None and is_saturated(fit)
    ]


def of_two_channels(
    plate: Plate,
    fits: dict[str, PlateFit],
    pairs: Pairs,
    concentrations: dict[str, dict[str, Any]],
    samples: list[str],
    ends: tuple[float, float],
    rng: np.random.Generator,
) -> xr.Dataset:
    """Per pair of channels: ratio and fractional abundance of each sample; linkage, cross-talk and competition.

    The intervals of ratios are total: both concentrations carry variation between wells as if it were independent.
    Linkage is the concentration of molecules with both targets, ln(N N00 / ((N00 + N10) (N00 + N01))), per droplet.
    """
    import xarray as xr

    W, P, names = len(plate), len(pairs), list(pairs)
    of_samples = {
        f"{name}{end}": np.full((len(samples), P), np.nan)
        for name in ("ratio", "fractional_abundance")
        for end in _ENDS
    }
    linked = {f"linked_per_droplet{end}": np.full((W, P), np.nan) for end in _ENDS}
    sizes = {f"effect_size{end}": np.full((W, P, 4), np.nan) for end in _ENDS}
    of_plate = {f"plate_effect_size{end}": np.full((P, 4), np.nan) for end in _ENDS}
    of_clusters = {name: np.full((W, P, 4), np.nan) for name in ("cluster_share", "cluster_correlation")}
    probabilities = (0.5, *ends)
    for p, (a, b) in enumerate(names):
        mean, error = pairs[a, b].effects.T
        for end, z in zip(_ENDS, ndtri(probabilities), strict=True):
            of_plate[f"plate_effect_size{end}"][p] = mean + z * error
        for s, name in enumerate(samples):
            if name not in concentrations[a] or name not in concentrations[b]:
                continue
            u, v = concentrations[a][name].draw(rng, _DRAWS), concentrations[b][name].draw(rng, _DRAWS)
            found = zip(_ENDS, np.quantile(u / v, probabilities), np.quantile(u / (u + v), probabilities), strict=True)
            for end, q, share in found:
                of_samples[f"ratio{end}"][s, p], of_samples[f"fractional_abundance{end}"][s, p] = q, share
        for i, well in enumerate(plate):
            first, second, joint = fits[a].wells[i], fits[b].wells[i], pairs[a, b].wells[i]
            if joint is not None:
                q = joint.quantiles(joint.linked, probabilities)
                of_clusters["cluster_share"][i, p] = joint.clusters
                of_clusters["cluster_correlation"][i, p] = np.tanh(joint.mode[TURN])
                each = np.array([joint.quantiles(values, probabilities) for values in joint.effects.T])
                for e, end in enumerate(_ENDS):
                    sizes[f"effect_size{end}"][i, p] = each[:, e]
            elif first is None or second is None:
                continue
            elif first.count is not None and second.count is not None:
                in_clusters = numbers(*(fits[name].positive(i) for name in (a, b)))
                of_clusters["cluster_share"][i, p] = in_clusters / in_clusters.sum()
                q = np.quantile(log_excess(rng.dirichlet(in_clusters + _JEFFREYS, _DRAWS)), probabilities)
                if any(pairs[a, b].found):  # what was taken off is that of the plate
                    for end in _ENDS:
                        sizes[f"effect_size{end}"][i, p] = np.nan_to_num(of_plate[f"plate_effect_size{end}"][p])
            else:
                x, beliefs = (well.channel(a), well.channel(b)), (fits[a].own[i], fits[b].own[i])
                draws, shares = linked_alone(x, (first, second), beliefs, rng)
                q, of_clusters["cluster_share"][i, p] = np.quantile(draws, probabilities), shares
            for end, value in zip(_ENDS, q, strict=True):
                linked[f"linked_per_droplet{end}"][i, p] = value

    def attrs(name: str) -> dict[str, str]:
        units, meaning = _TOLD[name.removesuffix("_lower").removesuffix("_upper")]
        return {"units": units, "long_name": meaning}

    every = [
        (("sample", "pair"), of_samples),
        (("well", "pair"), linked),
        (("well", "pair", "effect"), sizes),
        (("pair", "effect"), of_plate),
        (("well", "pair", "cluster"), of_clusters),
    ]
    return xr.Dataset(
        {name: (dims, values, attrs(name)) for dims, variables in every for name, values in variables.items()},
        coords={"pair": [f"{a} / {b}" for a, b in names], "effect": list(EFFECTS), "cluster": list(CLUSTERS)},
    )


def linked_alone(
    x: tuple[Array, Array], fits: tuple[WellFit, WellFit], beliefs: tuple[Beliefs, Beliefs], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draws of lambda of the linked pair, and the shares of the four clusters, from fits of single channels.

    Clusters have the densities of the two channels' fits; only their shares are estimated, because multiplying
    probabilities of the channels would make linked molecules look independent where clusters overlap.
    """
    n = x[0].size
    of_first, of_second = (cluster_log_densities(*each) for each in zip(x, fits, beliefs, strict=True))
    log_f = np.stack([a + b for b in of_second for a in of_first], axis=1)
    f = np.exp(log_f - log_f.max(axis=1, keepdims=True))
    shares, r = np.full(4, 0.25), f
    for _ in range(_EM_STEPS):
        r = f * shares
        r /= r.sum(axis=1, keepdims=True)
        # Jeffreys' prior keeps them above 0.
        shares, before = (r.sum(axis=0) + 0.5) / (n + 2.0), shares
        if np.abs(shares - before).max() < _STEADY:
            break
    if n * shares.min() < _FEW:
        return log_excess(rng.dirichlet(n * shares + 0.5, _DRAWS)), shares
    # Information about log ratios to the share of negatives in both, from the scores of the droplets; and the prior.
    scores = (r - shares)[:, 1:]
    information = scores.T @ scores + 2.0 * (np.diag(shares) - np.outer(shares, shares))[1:, 1:]
    factor = np.linalg.cholesky(np.linalg.inv(information))
    ratios = np.log(shares[1:] / shares[0]) + rng.standard_normal((_DRAWS, 3)) @ factor.T
    log_shares = np.concatenate([np.zeros((_DRAWS, 1)), ratios], axis=1)
    log_shares -= np.logaddexp.reduce(log_shares, axis=1, keepdims=True)
    return log_excess(np.exp(log_shares)), shares
