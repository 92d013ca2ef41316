"""What to know before trusting Markov chains, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._status import Status
from bayesgmm.engines._arviz import array_stats
from bayesgmm.engines._mixing import FEWEST_EFFECTIVE_PER_CHAIN
from bayesgmm.engines._modes import most_r_hat

if TYPE_CHECKING:
    import xarray as xr

Check = tuple[str, float, bool, str]

_TABLED = ("weights", "means", "sds")


def chain_checks(fit: xr.DataTree) -> list[Check]:
    """Modes, divergences, R-hat, effective sample sizes and label switching of a fit by chains."""
    stats = fit[names.SAMPLE_STATS].to_dataset()
    record: dict[str, Any] = dict(fit[names.RELABELLING].attrs)  # type: ignore[arg-type]
    return [_modes(fit), *_divergences(stats), *_r_hats(record, stats.sizes[names.DRAW]), _effective(fit), _labels(fit)]


def _modes(fit: xr.DataTree) -> Check:
    chains = fit[names.CHAINS].to_dataset()
    mode, kept = chains["mode"].to_numpy(), chains["kept"].to_numpy()
    n_modes = int(mode.max()) + 1
    if n_modes == 1:
        several = f"All {mode.size} chains sampled the same mode."
        return "modes", 1.0, True, several if mode.size > 1 else "There is one chain, so one mode."
    sentences = []
    for number in range(1, n_modes):
        members = np.flatnonzero(mode == number)
        gap, error = float(chains["gap"][members[0]]), float(chains["gap_error"][members[0]])
        what = f"{_chains(members).lower()} sampled another mode, its mean log density {gap:.3g}"
        what += f" (+- {error:.2g}) nats lower"
        what += "; kept and pooled" if kept[members[0]] else f"; left out of the posterior, in '{names.LEFT_OUT}'"
        sentences.append(what)
    pooled = np.unique(mode[kept]).size > 1
    message = f"{_chains(np.flatnonzero(mode == 0))} sampled the mode of the highest mean log density; "
    message += "; ".join(sentences) + "."
    if pooled:
        message += " Pooled draws weigh modes by numbers of chains, not by their probability."
    elif Status[fit.attrs[names.STATUS]] is Status.MULTIMODAL:
        message += " The modes are of similar density, so what was left out may hold a share of the posterior."
    return "modes", float(n_modes), False, message


def _chains(members: np.ndarray) -> str:
    return f"Chain{'s' if members.size > 1 else ''} {', '.join(map(str, members))}"


def _divergences(stats: xr.Dataset) -> list[Check]:
    if "diverging" not in stats:
        return []
    diverging = stats["diverging"].to_numpy()
    number = int(diverging.sum())
    if number == 0:
        return [("divergences", 0.0, True, "No draw diverged.")]
    message = f"{number} of {diverging.size} draws diverged: the posterior has corners that the sampler could not enter"
    return [("divergences", float(number), False, message + "; raise target_accept, or use a stronger prior.")]


def _r_hats(record: dict[str, Any], n_draws: int) -> list[Check]:
    invariant, after = float(record["r_hat_invariant"]), float(record["r_hat_after"])
    checks = []
    for name, value, what in (
        (
            "r_hat_invariant",
            invariant,
            "of the log density and of densities at some rows, which labels cannot touch,",
        ),
        ("r_hat", after, "of weights, means and standard deviations, relabelled,"),
    ):
        if not np.isfinite(value):
            checks.append((name, value, False, "R-hat needs at least 4 draws of two chains, or 8 of one."))
            continue
        most = most_r_hat(n_draws)
        ok = value <= most
        message = f"The largest R-hat {what} is {value:.3f}"
        message += "." if ok else f", above {most:.3g}: the chains differ. Draw longer, or look at 'modes'."
        checks.append((name, value, ok, message))
    return checks


def _effective(fit: xr.DataTree) -> Check:
    posterior = fit[names.POSTERIOR].to_dataset().transpose(names.CHAIN, names.DRAW, ...)
    n_chains, n_draws = posterior.sizes[names.CHAIN], posterior.sizes[names.DRAW]
    columns = np.concatenate([posterior[name].to_numpy().reshape(n_chains, n_draws, -1) for name in _TABLED], axis=2)
    columns = columns[..., np.ptp(columns, axis=(0, 1)) > 0]
    if n_draws < 4 or columns.shape[2] == 0:
        return "effective_draws", np.nan, False, "Too few draws to say how many they are worth."
    values = np.moveaxis(columns, 2, 0)
    bulk = float(np.min(array_stats().ess(values, method="bulk")))
    tail = float(np.min(array_stats().ess(values, method="tail", prob=(0.05, 0.95))))
    least, wanted = min(bulk, tail), FEWEST_EFFECTIVE_PER_CHAIN * n_chains
    message = f"The {n_chains * n_draws} draws are worth at least {bulk:.0f} independent ones, {tail:.0f} in the tails"
    ok = least >= wanted
    return "effective_draws", least, ok, message + ("." if ok else f"; at least {wanted} are wanted: draw longer.")


def _labels(fit: xr.DataTree) -> Check:
    record = fit[names.RELABELLING].attrs
    total = fit[names.RELABELLING]["margin"].size
    switched, ambiguous = int(record["switched_draws"]), int(record["ambiguous_draws"])
    before, after = float(record["r_hat_before"]), float(record["r_hat_after"])
    message = f"{switched} of {total} draws were relabelled (largest R-hat {before:.3f} before, {after:.3f} after)"
    if ambiguous == 0:
        return "label_switching", 0.0, True, message + "; none is ambiguous."
    message += f"; in {ambiguous} another labelling is nearly as good"
    ok = ambiguous < 0.05 * total
    if not ok:
        message += ": components are not told apart by the data, so look at label-invariant quantities"
    return "label_switching", float(ambiguous), ok, message + "."
