"""What to know before trusting a fit, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._status import Status
from bayesgmm._words import counted
from bayesgmm.engines._importance import WORST_PARETO_K, smoothed
from bayesgmm.engines._sureness import sureness
from bayesgmm.inference.chain_checks import chain_checks
from bayesgmm.inference.merging import clusters_check
from bayesgmm.inference.partition_check import partition_check
from bayesgmm.inference.resolution import resolution_check
from bayesgmm.inference.summaries import units_of
from bayesgmm.results.read import read_result

if TYPE_CHECKING:
    import xarray as xr

_FEWEST_DRAWS = 100
# Share of the draws that the importance weights are worth above which there is nothing to correct.
_ALL_BUT_EQUAL = 0.98
_CERTAIN = 0.95


def diagnose(fit: xr.DataTree) -> xr.Dataset:
    """Check a fit and say what was found.

    Returns
    -------
    xarray.Dataset
        For each check: ``value`` (float), ``ok`` (bool) and ``message`` (str). The checks are ``converged``;
        ``intervals``, where they are known to be too narrow; ``starts`` (how many starts from scratch reached the best
        optimum, and how likely one more would find a better one: upper limit from none in so many, and the estimate of
        Good 1953 that it finds a new one; Finch, Mendell & Thode 1989); ``improper_ends``;
        ``smallest_component`` (expected rows); ``uncertain_rows``; ``groups``, where `fit` warned that the rows hold
        fewer of them; ``clusters``, where there are several components (see `merge_components`);
        ``partitions``, where optima of nearly equal standing put the rows into different groups; where there are
        importance weights, ``k_hat`` (Pareto k of PSIS); and for chains ``modes``,
        ``divergences``, ``r_hat_invariant``, ``r_hat``, ``effective_draws`` and ``label_switching``.
    """
    import xarray as xr

    from bayesgmm.results import check_result

    check_result(fit)
    checks: list[tuple[str, float, bool, str]] = []
    status = Status[fit.attrs[names.STATUS]]
    search = fit[names.OPTIMIZATION].to_dataset()
    best = int(search.attrs["best_start"])
    gain = float(search["gain_left"][best])
    by_chains = names.CHAINS in fit.children
    if by_chains:
        checks.append(("converged", np.nan, status is Status.SAMPLED, fit.attrs[names.STATUS_MESSAGE]))
        checks += chain_checks(fit)
    else:
        message = f"{status.value} Estimated gain left: {gain:.1g} nats."
        checks.append(("converged", gain, status is Status.CONVERGED, message))
    if names.CAVEAT in fit.attrs:
        checks.append(("intervals", np.nan, False, fit.attrs[names.CAVEAT]))
    checks.append(_starts(fit, search))
    checks.append(_improper_ends(search))
    checks += _components(fit)
    if names.FEWER_GROUPS in fit.attrs:
        checks.append(("groups", np.nan, False, fit.attrs[names.FEWER_GROUPS]))
    if names.NOT_GAUSSIAN in fit.attrs:
        checks.append(("shapes", np.nan, False, fit.attrs[names.NOT_GAUSSIAN]))
    if (clusters := clusters_check(fit)) is not None:
        checks.append(clusters)
    if (apart := resolution_check(fit)) is not None:
        checks.append(apart)
    if (several := partition_check(fit)) is not None:
        checks.append(several)
    if names.PARETO_K in fit.attrs:
        checks.append(_correction(fit))
    elif names.SAMPLE_STATS in fit.children and "log_weight" in fit[names.SAMPLE_STATS]:
        checks.append(_k_hat(fit))
    ids, values, oks, messages = zip(*checks, strict=True)
    return xr.Dataset(
        {
            "value": ("check", np.array(values, dtype=float)),
            "ok": ("check", np.array(oks, dtype=bool)),
            "message": ("check", np.array(messages)),
        },
        coords={"check": np.array(ids)},
        attrs={"engine": fit.attrs[names.ENGINE]},
    )


def _improper_ends(search: xr.Dataset) -> tuple[str, float, bool, str]:
    """Ends that are not used, and why."""
    singular, spurious = int(search.attrs["n_singular"]), int(search.attrs["n_spurious"])
    coinciding = int(search.attrs.get("n_coinciding", 0))
    parts = []
    if singular + spurious:
        parts.append(
            f"{counted(singular, 'start')} ended in a collapsed component and {spurious} in one with no more rows "
            "than its covariance needs. The objective is unbounded there; the best proper optimum is reported. A "
            "proper covariance prior avoids this."
        )
    if coinciding:
        parts.append(
            f"{counted(coinciding, 'start')} ended where two components coincide or one is empty, which is no optimum "
            "for so many components."
        )
    total = singular + spurious + coinciding
    return "improper_ends", float(total), total == 0, " ".join(parts) or "No start collapsed."


def _starts(fit: xr.DataTree, search: xr.Dataset) -> tuple[str, float, bool, str]:
    """How often the best optimum was reached, and what that says of a better one."""
    best = float(search["end_value"][int(search.attrs["best_start"])])
    optima, finished = int(search.attrs["n_optima"]), int((search["optimum"] >= 0).sum())
    statuses = [Status[str(name)] for name in search["status"].to_numpy()]
    methods = [str(name) for name in search["method"].to_numpy()]
    sure = sureness(methods, statuses, search["end_value"].to_numpy(), best)
    kinds = f"{optima} distinct optim{'um' if optima == 1 else 'a'}"
    many = f"{counted(search.sizes[names.START], 'start')}, {finished} followed to the end: {kinds}"
    n_rows = int(fit.attrs.get("search_rows", 0))
    if search.sizes[names.COMPONENT] == 1:  # one component has one partition to start from, and one optimum
        times = int(search.attrs["times_best_reached"])
        return "starts", float(times), True, f"{many}; {times} reached the best one."
    if finished == 1 and 0 < n_rows < _n_rows(fit):
        # The search has looked at a part of the rows, and followed what it found there with all of them.
        text = f"{many}. The starts were compared on {n_rows} of the rows, and the best one was followed with all."
        return "starts", 1.0, True, text
    reached = f"{sure.reached} of {counted(sure.followed, 'start')} from scratch reached the best one"
    if not sure.followed:
        reached = "none of them was from scratch"
    sentence = f"{many}; {reached}"
    if sure.reached and sure.reached == sure.followed:
        sentence = f"{many}; all {sure.followed} from scratch reached the best one"
    chance = (
        f"One more of these would find a better one with a probability below {sure.better:.0%} (95 % limit), and one "
        f"not seen yet, better or not, with about {sure.new:.0%}."
    )
    if sure.enough or sure.reached == sure.followed > 1:
        return "starts", float(sure.reached), True, f"{sentence}. {chance}"
    advice = "A better one may exist: raise n_init and n_polish, or use fewer components."
    return "starts", float(sure.reached), False, f"{sentence}. {chance} {advice}"


def _n_rows(fit: xr.DataTree) -> int:
    """Number of rows that a fit had."""
    return int(fit[names.ASSIGNMENTS].sizes[names.OBS])


def _components(fit: xr.DataTree) -> list[tuple[str, float, bool, str]]:
    assigned = fit[names.ASSIGNMENTS].to_dataset()
    units = units_of(fit)
    rows = assigned["expected_rows"]
    needed = _rows_needed(fit)
    smallest = float(rows.min())
    which = rows[names.COMPONENT].to_numpy()[int(rows.to_numpy().argmin())]
    enough = smallest > needed
    number = f"{smallest:.3g}"
    message = f"Component {which} holds {number} expected row{'' if number == '1' else 's'}"
    if enough:
        message += "."
    elif needed > 1:
        message += f", no more than the {needed} that a covariance needs: its own rests on the prior."
    else:
        message += f", no more than {needed}: what is said of it rests on the prior."
    n = units.sum().item()
    unsure = ((assigned["label_probability"].to_numpy() < _CERTAIN) * units).sum().item()
    uncertain = f"The labels of {unsure} of {n} rows have a probability below {_CERTAIN:g}."
    return [
        ("smallest_component", smallest, enough, message),
        ("uncertain_rows", float(unsure), unsure < 0.5 * n, uncertain),
    ]


def _rows_needed(fit: xr.DataTree) -> int:
    """Rows without which a component rests on the prior."""
    return read_result(fit).model.rows_needed(fit[names.POINT].sizes[names.FEATURE])


def _correction(fit: xr.DataTree) -> tuple[str, float, bool, str]:
    """How far the Normal of `Laplace` was from the posterior, and what was done about it."""
    k, done = float(fit.attrs[names.PARETO_K]), fit.attrs[names.CORRECTION]
    if np.isnan(k):
        return "k_hat", k, False, f"How near the Normal is to the posterior stays unknown. Correction: {done}."
    if k <= WORST_PARETO_K:
        text = f"Pareto k of the importance weights is {k:.2f}: proposals are near the posterior. Correction: {done}."
        return "k_hat", k, True, text
    text = (
        f"Pareto k of the importance weights is {k:.2f}, above {WORST_PARETO_K}: the posterior is far from Normals "
        "round its modes. Intervals are those of the Normals and not calibrated; fit with NUTS instead."
    )
    return "k_hat", k, False, text


def _k_hat(fit: xr.DataTree) -> tuple[str, float, bool, str]:
    """How far the q of `VB` is from the posterior where q is; a Pareto k below 0.7 does not make its draws usable."""
    log_weight = fit[names.SAMPLE_STATS]["log_weight"].to_numpy().ravel()
    if log_weight.size < _FEWEST_DRAWS:
        text = (
            f"Pareto k needs at least {_FEWEST_DRAWS} draws, there are {log_weight.size}: how good q is stays unknown."
        )
        return "k_hat", np.nan, False, text
    if np.ptp(log_weight) < 1e-8:
        return "k_hat", 0.0, True, "q equals the posterior: all importance weights are the same."
    weight = np.exp(log_weight - log_weight.max())
    share = float(weight.sum() ** 2 / (weight @ weight) / weight.size)
    k = smoothed(log_weight).pareto_k
    empty = float(fit[names.ASSIGNMENTS].to_dataset()["expected_rows"].min()) < _rows_needed(fit)
    if share > _ALL_BUT_EQUAL:
        # k says how heavy the tail is, not how wide: weights that are all but equal are harmless whatever their tail.
        text = f"Where q is, it is all but the posterior: the importance weights are worth {share:.2%} of the draws."
        if empty:
            text += " They do not see what the component that q leaves empty would hold elsewhere."
        return "k_hat", k, not empty, text
    if k <= WORST_PARETO_K:
        text = (
            f"Pareto k of the importance weights is {k:.2f}: they tell how far q is from the posterior where q is (see "
            "'intervals'), and nothing of what it leaves out. Intervals from q are too narrow all the same."
        )
        return "k_hat", k, False, text
    text = (
        f"Pareto k of the importance weights is {k:.2f}, above {WORST_PARETO_K}: q is far from the posterior (often "
        "too narrow, or blind to relabelled or further modes). Do not trust its intervals; fit with NUTS instead."
    )
    return "k_hat", k, False, text
