"""What each criterion counts, and a comparison of numbers of components in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.engines._importance import WORST_PARETO_K

if TYPE_CHECKING:
    import xarray as xr

# What can be asked for.
CRITERIA = ("bic", "aic", "icl", "elbo", "evidence", "loo")
# Columns that are there even if there is no optimum to compute them at.
ALWAYS = ("log_likelihood", "n_parameters", "bic", "aic", "icl", "entropy", "smallest_component")
_GAUSSIANS = "Gaussians that describe the density"
_MORE = "grows with the number of rows"
# By variable: what it counts, and what it does where clusters are not Gaussian.
MEANINGS: dict[str, tuple[str, str]] = {
    "log_likelihood": ("nothing: it rises with every component", "rises"),
    "n_parameters": ("free numbers", "none"),
    "bic": (_GAUSSIANS, _MORE),
    "aic": ("components for prediction; too many as a rule", _MORE),
    "icl": ("clusters: separate groups of rows", "stays at groups that are separate, merges those that overlap"),
    "entropy": ("nothing: how uncertain assignments are, in nats", "none"),
    "smallest_component": ("expected rows of the smallest component", "none"),
    "elbo": (_GAUSSIANS + "; a bound on the evidence, one copy of the mode", _MORE),
    "laplace": (_GAUSSIANS + "; the formula at the mode", _MORE),
    "pareto_k": (f"nothing: above {WORST_PARETO_K} the evidence is a guess", "none"),
    "elpd_loo": ("components for predicting a new row; differences within their errors mean nothing", _MORE),
    "elpd_loo_se": ("standard error of elpd_loo", "none"),
    "elpd_loo_difference": ("components for predicting a new row, less the best", _MORE),
    "elpd_loo_difference_se": ("standard error of the paired difference from the best", "none"),
    "loo_pareto_k": (f"nothing: above {WORST_PARETO_K} elpd_loo is unreliable", "none"),
}
_LOWEST = {"bic": "BIC", "aic": "AIC", "icl": "ICL"}


def choices(comparison: xr.Dataset) -> dict[str, tuple[str, str]]:
    """By criterion: what it chooses, and what it counts; structures are named where several were compared."""
    out: dict[str, tuple[str, str]] = {}
    for name, title in _LOWEST.items():
        out[title] = _where(comparison, comparison[name], lowest=True), _counts(name)
    if "elbo" in comparison:
        out["ELBO (a bound)"] = _where(comparison, comparison["elbo"], lowest=False), _counts("elbo")
    if "elpd_loo" in comparison:
        out["LOO"] = _fewest_as_good(comparison), _counts("elpd_loo")
    if "log_evidence" in comparison:
        out["evidence"] = _where(comparison, comparison["log_evidence"].sel(mean_scale=1.0), lowest=False), _GAUSSIANS
    return out


def readings(comparison: xr.Dataset, *, by_likelihood: bool) -> list[str]:
    """Sentences about a comparison, the disagreements first; `by_likelihood` says that no part has a prior."""
    lines = _unknown_evidence(comparison)
    chosen = choices(comparison)
    by_choice: dict[str, list[str]] = {}
    for title, (choice, _) in chosen.items():
        by_choice.setdefault(choice, []).append(title)
    if list(by_choice) == ["none"]:
        lines.append("No number of components has a proper optimum.")
    elif len(by_choice) == 1:
        lines.append(f"All criteria choose {next(iter(by_choice))}: {', '.join(chosen)}.")
    else:
        parts = [f"{choice}: {', '.join(titles)}" for choice, titles in by_choice.items()]
        lines.append(f"Criteria disagree. {'; '.join(parts)}.")
    lines.append(
        "BIC, ELBO and evidence count Gaussians, and choose more of them the more rows there are if clusters are not "
        "Gaussian; ICL counts separate clusters; AIC and LOO look for the best prediction; "
        "LOO chooses the fewest components within one standard error of the best."
    )
    if comparison.attrs.get("prior"):
        lines.append(f"Prior of all numbers of components: {comparison.attrs['prior']}.".replace("\n", ". "))
    if comparison.attrs.get("differs_from_fit"):
        other, number = comparison.attrs["differs_from_fit"].replace("\n", ". "), comparison.attrs["differs_for"]
        lines.append(f"`fit` with {number} components has another prior where parts are left out: {other}.")
    if not by_likelihood:
        lines.append("BIC, AIC and ICL are taken at the mode under the declared priors, not at maximum likelihood.")
    if "posterior_probability" in comparison:
        lines.append(_posterior(comparison))
    if "elpd_loo" in comparison:
        lines.append(_leave_one_out(comparison))
    unsure = [status for status in np.unique(comparison["status"]) if status != "CONVERGED"]
    if unsure:
        lines.append(f"Not every optimum is certified ({', '.join(unsure)}): see `status`.")
    return lines


def _unknown_evidence(comparison: xr.Dataset) -> list[str]:
    """What has no evidence at the declared width, which comes before everything that is computed without it."""
    if "log_evidence" not in comparison:
        return []
    at_one = comparison["log_evidence"].sel(mean_scale=1.0)
    possible = comparison["prior_probability"] > 0
    lines = []
    unknown = _places(comparison, at_one.isnull() & possible)
    if unknown:
        lines.append(
            f"There is no evidence for {unknown}, and posterior probabilities are those without them, whatever they "
            "would have had: see `note`."
        )
    partly = comparison["log_evidence"].isnull().any("mean_scale") & at_one.notnull() & possible
    elsewhere = _places(comparison, partly)
    if elsewhere:
        lines.append(f"At other widths of the prior on means there is no evidence for {elsewhere}: see `note`.")
    return lines


def _posterior(comparison: xr.Dataset) -> str:
    by_number = comparison["posterior_probability"]
    if "structure" in by_number.dims:
        by_number = by_number.sum("structure", min_count=1)
    possible = by_number["n_components"].where(comparison["prior_probability"] > 0, drop=True).to_numpy()
    parts, known = [], []
    for scale in by_number["mean_scale"].to_numpy():
        at = by_number.sel(mean_scale=scale).dropna("n_components")
        if at.size:
            best = int(at.to_numpy().argmax())
            number, share = at["n_components"].to_numpy()[best], at.to_numpy()[best]
            missing = [str(int(K)) for K in possible if K not in at["n_components"].to_numpy()]
            without = f" (without {', '.join(missing)})" if missing else ""
            parts.append(f"{number} has {share:.2f} at {scale:.3g} times the width{without}")
            known.append((int(number), not missing))
    if not parts:
        return "There is no posterior over numbers of Gaussians."
    # Where numbers are left out the others say nothing about what a width does.
    stable = len({number for number, complete in known if complete}) <= 1
    depends = "" if stable else " The choice depends on that width, which is a belief and not in the data."
    return f"Posterior over numbers of Gaussians, by the width of the prior on means: {'; '.join(parts)}.{depends}"


def _leave_one_out(comparison: xr.Dataset) -> str:
    elpd, errors = comparison["elpd_loo"], comparison["elpd_loo_se"]
    flat = int(np.nanargmin(np.abs(comparison["elpd_loo_difference"].to_numpy())))
    best = float(elpd.to_numpy().ravel()[flat])
    near = _places(comparison, _as_good(comparison))
    worst = float(comparison["loo_pareto_k"].max())
    trust = ""
    if worst > WORST_PARETO_K:
        trust = f" Its worst Pareto k is {worst:.2f}: some rows are not predicted reliably."
    error = float(errors.to_numpy().ravel()[flat])
    return (
        f"LOO: {best:.1f} (error {error:.1f}) at best; within one standard error of the paired difference from it: "
        f"{near}.{trust}"
    )


def _as_good(comparison: xr.Dataset) -> xr.DataArray:
    """Where leave-one-out is within one standard error of the paired difference from the best."""
    return -comparison["elpd_loo_difference"] <= comparison["elpd_loo_difference_se"]


def _fewest_as_good(comparison: xr.Dataset) -> str:
    """The choice with the fewest free numbers, among those that predict as well as the best."""
    parameters = comparison["n_parameters"].where(_as_good(comparison))
    return _where(comparison, parameters, lowest=True)


def _where(comparison: xr.Dataset, values: xr.DataArray, *, lowest: bool) -> str:
    array = values.to_numpy()
    if not np.isfinite(array).any():
        return "none"
    flat = int(np.nanargmin(array) if lowest else np.nanargmax(array))
    place = np.unravel_index(flat, array.shape)
    number = str(int(comparison["n_components"][place[-1]]))
    return number if array.ndim == 1 else f"{comparison['structure'].to_numpy()[place[0]]} {number}"


def _places(comparison: xr.Dataset, mask: xr.DataArray) -> str:
    array = mask.to_numpy()
    numbers = comparison["n_components"].to_numpy()
    if array.ndim == 1:
        return ", ".join(str(K) for K in numbers[array])
    names = comparison["structure"].to_numpy()
    return ", ".join(f"{names[i]} {numbers[j]}" for i, j in np.argwhere(array))


def _counts(name: str) -> str:
    return MEANINGS[name][0]
