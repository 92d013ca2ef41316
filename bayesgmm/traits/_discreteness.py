"""Whether a trait is discrete or continuous, given how well it can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_flag, as_number, as_seed, as_whole
from bayesgmm._errors import FitError
from bayesgmm.engines._progress import Progress
from bayesgmm.inference._parallel import check_cores, run_parallel
from bayesgmm.inference.prediction import interval, interval_convention
from bayesgmm.results import sealed
from bayesgmm.traits._compare import Table, checked_odds, jobs_for, prior_of, table_of, weighed
from bayesgmm.traits._equal_values import remarks
from bayesgmm.traits._measurements import Measurements, measurements
from bayesgmm.traits._models import CLASSES, MIXED, Question
from bayesgmm.traits._power import Repetition, told
from bayesgmm.traits._settings import (
    DECLARED,
    NORMAL_ONLY,
    OWN_ERRORS,
    SCALES,
    TRIMMED,
    size_of_errors,
    trimmed,
    with_own_errors,
)
from bayesgmm.traits._verdict import decide, doubts
from bayesgmm.traits._weigh import Weighed

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

_KEPT = 1000
_GRID = 300
_GROWING = 0.01


def discreteness(
    data: Any,
    *,
    value: str | list[str] | None = None,
    individual: str | None = None,
    error: str | float | Array | None = None,
    error_df: float | None = None,
    n_types: int | tuple[int, ...] = (2, 3),
    one_locus: bool = False,
    centre: float | None = None,
    scale: float | None = None,
    prior_odds: Mapping[str, float] | None = None,
    threshold: float = 0.25,
    level: float = 0.95,
    n_power: int = 20,
    draws: int = 4000,
    cores: int | None = None,
    random_seed: int | np.random.Generator | None = None,
    progressbar: bool = True,
) -> xr.Dataset:
    """Compare discrete types, several populations with variation of their own, and one continuous population.

    Every hypothesis is a mixture of the true values of individuals, which are seen with measurement errors:

    * *discrete*: K types, and no variation within a type; all of it is error of measurement;
    * *mixed*: K populations with standard deviations sigma_k > 0;
    * *continuous*: one population, Normal, skewed, skewed with heavy or light tails, with edges (uniform or leaning to
      one of them), or with values that pile up at a floor or a ceiling (`warped_normal`).

    The size of the errors is estimated together with the rest where repeats tell it. What is compared is evidence, so
    priors matter: types' means have the prior Normal(centre, scale), sigma_k the prior HalfNormal(scale / 2), the scale
    of one population HalfNormal(scale), and weights are uniform; skew and tails have Normal priors with sd 0.5, tails
    that make edges, floors and ceilings Normal(-1.5, sd 0.75). Each class has the same prior
    probability, shared out equally among its models. Probabilities are right, on average over data from these priors,
    when `centre` and `scale` are known beforehand; taken from the data they are a little too sure.

    Parameters
    ----------
    data, value, individual, error, error_df
        As in `measurements`; or `Measurements`.
    n_types : int or tuple of int
        Numbers of types that are considered, each at least 2.
    one_locus : bool
        Consider types in Hardy-Weinberg proportions of one locus as well, additive and dominant.
    centre, scale : float, optional
        Of the trait before the data, in its units; mean and standard deviation of the individuals' means if left out.
    prior_odds : mapping, optional
        Of "discrete", "mixed" and "continuous"; equal if left out.
    threshold : float
        sigma_k / sigma_e below which variation within a type is called negligible, sigma_e being the standard deviation
        of a single measurement.
    level : float
        Probability that a verdict needs.
    n_power : int
        How many data sets are simulated for the power of each class; 0 leaves it out.
    draws : int
        Of the importance sampling behind each evidence.
    cores : int, optional
        Processes; all processors if left out.
    random_seed : int or numpy.random.Generator, optional
        A Generator gives one number as the seed and moves on.
    progressbar : bool

    Returns
    -------
    xarray.Dataset
        ``log_evidence``, ``log_evidence_error``, ``pareto_k``, ``reliable`` and ``model_probability`` (setting, model);
        ``class_probability`` (setting, class); ``prior_probability`` (model); ``power`` (class), how often data from
        the posterior of the best model of a class let it reach `level` at this size and precision, with
        ``power_error``; ``spread_ratio`` (draw, component), sigma_k / sigma_e under the most probable mixed model with
        components in the order of their means, ``spread_ratio_lower`` and ``_upper`` and ``negligible_spread``, the
        probability that it is below `threshold`; ``repeatability`` (draw), averaged over models, and its limits;
        ``density`` (model, x), of what is measured, and the individuals' ``mean`` and ``standard_error``.
        ``attrs["verdict"]`` is the sentence, ``attrs["decision"]`` a class or "undecided", ``attrs["notes"]`` what is
        to be known besides, such as many equal values. The settings after the first say how it reacts to assumptions:
        priors half and twice as wide, without the most extreme percent of individuals, with errors that differ between
        individuals (where they seem to), and with a Normal as the only continuous shape.

    Raises
    ------
    InputError
        For data that cannot tell, saying what is missing, and arguments out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesgmm import traits
    >>> rng = np.random.default_rng(1)
    >>> true = np.repeat([10.0, 14.0], 50)
    >>> repeats = true[:, None] + rng.normal(0, 1, (100, 5))
    >>> found = traits.discreteness(repeats, n_types=2, n_power=0, random_seed=1, progressbar=False)
    >>> found.attrs["decision"]
    'discrete'
    """
    known = (
        data
        if isinstance(data, Measurements)
        else measurements(data, value=value, individual=individual, error=error, error_df=error_df)
    )
    _check(threshold, level, n_power, draws)
    seed, progressbar = as_seed(random_seed), as_flag("progressbar", progressbar)
    question = Question.about(known, n_types, centre, scale, one_locus)
    odds = checked_odds(prior_odds)
    seeds = np.random.SeedSequence(seed).spawn(4)
    versions = {DECLARED: (known, tuple(SCALES.values())), TRIMMED: (trimmed(known), (1.0,))}
    if (own := with_own_errors(known)) is not None:
        versions[OWN_ERRORS] = (own, (1.0,))
    if cores is not None:
        cores = check_cores(cores)
    lists = [
        jobs_for(each, question, scales, draws=draws, keep=_KEPT, seed=seed)
        for (each, scales), seed in zip(versions.values(), seeds, strict=False)
    ]
    hypotheses, H = question.hypotheses(known), len(lists[0])
    with Progress(progressbar) as progress:
        jobs = [job for each in lists for job in each]
        found = run_parallel(weighed, jobs, total=len(jobs), cores=cores, progress=progress, what="evidence")
        rows = {name: found[i * H : (i + 1) * H] for i, name in enumerate(versions)}
        table = _with_normal_only(table_of(hypotheses, rows, list(SCALES), odds), odds)
        if np.isnan(table.log_evidence[0]).all():
            raise FitError(f"No hypothesis could be fitted: {rows[DECLARED][0].why}")
        repetitions = _repetitions(known, table, rows[DECLARED], question, odds, level, n_power, seeds[3])
        answers = []
        if repetitions:
            answers = run_parallel(
                told, repetitions, total=len(repetitions), cores=cores, progress=progress, what="power"
            )
    powers = _powers(repetitions, answers)
    return _dataset(known, question, table, rows[DECLARED], powers, threshold, level, n_power, seed)


def _powers(repetitions: list[Repetition], answers: list[bool]) -> dict[str, Array]:
    """How often each class was told, with binomial errors; NaN where it was not tried."""
    power, error = np.full(len(CLASSES), np.nan), np.full(len(CLASSES), np.nan)
    for i, kind in enumerate(CLASSES):
        own = [answer for each, answer in zip(repetitions, answers, strict=True) if each.kind == kind]
        if own:
            power[i] = np.mean(own)
            # One success and one failure more: none of a few is not never (Agresti & Coull 1998).
            p = (sum(own) + 1.0) / (len(own) + 2.0)
            error[i] = np.sqrt(p * (1.0 - p) / (len(own) + 2.0))
    return {"power": power, "error": error}


def _check(threshold: Any, level: Any, n_power: Any, draws: Any) -> None:
    as_number("threshold", threshold, above=0.0)
    as_number("level", level, above=0.5, below=1.0)
    as_whole("n_power", n_power)
    as_whole("draws", draws, least=200)


def _with_normal_only(table: Table, odds: Mapping[str, float]) -> Table:
    """One more setting, with the numbers of the first and other prior probabilities."""
    prior = prior_of(table.hypotheses, odds, normal_only=True)
    more = {
        name: np.vstack([getattr(table, name), getattr(table, name)[:1]])
        for name in ("log_evidence", "error", "pareto_k", "reliable")
    }
    return replace(table, settings=[*table.settings, NORMAL_ONLY], prior=np.vstack([table.prior, prior]), **more)


def _repetitions(
    known: Measurements,
    table: Table,
    found: list[Weighed],
    question: Question,
    odds: Mapping[str, float],
    level: float,
    n: int,
    seed: np.random.SeedSequence,
) -> list[Repetition]:
    """So many for each class, from its most probable hypothesis."""
    out = []
    for kind, own in zip(CLASSES, seed.spawn(len(CLASSES)), strict=True):
        posterior = found[table.best(kind)].posterior
        if posterior is None:
            continue
        common = {"known": known, "posterior": posterior, "question": question, "odds": odds}
        out += [Repetition(**common, kind=kind, level=level, seed=each) for each in own.spawn(n)]
    return out


def _dataset(
    known: Measurements,
    question: Question,
    table: Table,
    found: list[Weighed],
    powers: dict[str, Array],
    threshold: float,
    level: float,
    n_power: int,
    seed: int | None,
) -> xr.Dataset:
    import xarray as xr

    probability = interval_convention()[1]
    by_model, by_class = ("setting", "model"), ("setting", "class")
    variables: dict[str, Any] = {
        "log_evidence": (by_model, table.log_evidence),
        "log_evidence_error": (by_model, table.error),
        "pareto_k": (by_model, table.pareto_k),
        "reliable": (by_model, table.reliable),
        "model_probability": (by_model, table.probabilities),
        "class_probability": (by_class, table.of_classes),
        "prior_probability": ("model", table.prior[0]),
        "kind": ("model", [each.kind for each in table.hypotheses]),
        "power": ("class", powers["power"]),
        "power_error": ("class", powers["error"]),
    }
    best = table.best(MIXED)
    spread = found[best].posterior
    if spread is not None:
        ratio = spread.sds / (known.error_sd * spread.error_scale[:, None])
        low, high = interval(ratio, "eti", probability)
        variables |= {
            "spread_ratio": (("draw", "component"), ratio),
            "spread_ratio_lower": ("component", low),
            "spread_ratio_upper": ("component", high),
            "negligible_spread": ("component", (ratio < threshold).mean(axis=0)),
            "component_mean": ("component", spread.means.mean(axis=0)),
        }
    icc = _repeatability(known, table, found)
    low, high = interval(icc, "eti", probability)
    variables |= {"repeatability": ("draw", icc), "repeatability_lower": low, "repeatability_upper": high}
    grid = _grid(known)
    typical = float(np.median(known.errors))
    posteriors = [each.posterior for each in found]
    none = np.full(grid.size, np.nan)
    variables |= {
        "density": (("model", "x"), [none if p is None else p.density(grid, typical) for p in posteriors]),
        "mean": ("individual", known.means),
        "standard_error": ("individual", known.errors),
    }
    decision, sentence = decide(table, level)
    out = xr.Dataset(
        variables,
        coords={
            "setting": table.settings,
            "model": [each.name for each in table.hypotheses],
            "class": list(CLASSES),
            "individual": [str(label) for label in known.individuals],
            "x": grid,
        },
        attrs={
            "verdict": sentence,
            "decision": decision,
            "notes": " ".join([*doubts(table), *_notes(known), *remarks(known)]),
            "trait": known.trait,
            "level": level,
            "threshold": threshold,
            "interval": probability,
            "mixed_model": table.hypotheses[best].name,
            "prior": f"means of types Normal({question.centre:.4g}, sd {question.scale:.4g}), sds within types "
            f"HalfNormal({0.5 * question.scale:.4g}), that of one population HalfNormal({question.scale:.4g})",
            "n_individuals": known.n,
            "n_measurements": int(known.repeats.sum()),
            "error_sd": known.error_sd,
            "error_df": known.error_df,
            "n_power": n_power,
            "random_seed": "none" if seed is None else str(seed),
        },
    )
    return sealed(out, "traits.discreteness")


def _repeatability(known: Measurements, table: Table, found: list[Weighed]) -> Array:
    """Intraclass correlation of single measurements, models in proportion to their probabilities."""
    rng = np.random.default_rng(0)  # which draws of which model, no more
    chances = table.probabilities[0]
    which = rng.choice(chances.size, size=_KEPT, p=chances)
    out = np.empty(_KEPT)
    for i in np.unique(which):
        own, posterior = np.flatnonzero(which == i), found[i].posterior
        assert posterior is not None
        error = np.square(known.error_sd * posterior.error_scale[own])
        out[own] = posterior.variance[own] / (posterior.variance[own] + error)
    return out


def _grid(known: Measurements) -> Array:
    edge = 3.0 * np.median(known.errors) + 0.1 * np.ptp(known.means)
    return np.linspace(known.means.min() - edge, known.means.max() + edge, _GRID)


def _notes(known: Measurements) -> list[str]:
    out = []
    if known.n_dropped:
        out.append(f"{known.n_dropped} individuals without a measurement are left out.")
    if known.error_df < 10:
        out.append(f"The error is known from {known.error_df:g} degrees of freedom only.")
    p = size_of_errors(known)
    if p < _GROWING:
        out.append(
            f"The spread of repeats depends on the size of the trait (rank correlation, p = {p:.2g}): consider its "
            "logarithm."
        )
    within = known.means.std() / np.median(known.errors)
    if within < 1.5:
        out.append("Individuals differ hardly more than their errors.")
    return out
