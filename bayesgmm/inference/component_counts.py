"""How many components: every criterion for every number of them, in one table."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._arguments import as_flag, as_seed, as_whole, as_written
from bayesgmm._errors import FitError, InputError, UnsupportedError
from bayesgmm._interrupts import Interrupts
from bayesgmm.data import Data, as_data
from bayesgmm.engines._nested import Nest, strictest_first
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.engines.nuts import NUTS
from bayesgmm.inference._assess import Assessed, Job, assess, optima
from bayesgmm.inference._comparison_arguments import (
    check_models,
    checked_criteria,
    checked_numbers,
    checked_prior,
    checked_scales,
    checked_structures,
    refuse_known_labels,
)
from bayesgmm.inference._evidence_prior import difference_from_fit, prior_in_words
from bayesgmm.inference._evidence_table import EvidenceTable, evidence_table
from bayesgmm.inference._loo_differences import loo_differences
from bayesgmm.inference._parallel import check_cores, run_parallel
from bayesgmm.inference._readings import ALWAYS, MEANINGS, readings
from bayesgmm.model import GaussianMixture
from bayesgmm.model._interfaces import Covariances
from bayesgmm.numerics.threads import one_blas_thread
from bayesgmm.results import sealed

if TYPE_CHECKING:
    import xarray as xr

    from bayesgmm.numerics.passes import Array

_NO_OPTIMUM = "NO_PROPER_OPTIMUM"


def compare_components(
    model: GaussianMixture,
    data: Any,
    *,
    n_components: int | Iterable[int] = range(1, 9),
    structures: Sequence[str] | Mapping[str, Covariances] | None = None,
    engine: NUTS | None = None,
    criteria: Sequence[str] | None = None,
    prior: Sequence[float] | None = None,
    mean_scales: float | Sequence[float] = (1 / 3, 1.0, 3.0),
    draws: int = 1000,
    cores: int | None = None,
    random_seed: int | np.random.Generator | None = None,
    progressbar: bool = True,
) -> xr.Dataset:
    """Compare numbers of components by every criterion, and say what each of them counts.

    No criterion answers alone. BIC, ELBO and evidence count the Gaussians that describe the density, ICL counts
    clusters, AIC and leave-one-out look for the best prediction. Where clusters are not Gaussian the former grow with
    the number of rows without end (Cai, Campbell & Broderick 2021), so that a posterior of the number of components is
    one of Gaussians, under the stated priors.

    What the declaration leaves out is filled with one prior for every number of components, made from location and
    covariance of the data alone (`GaussianMixture.filled` for evidence). It is stated in the result's ``prior``, and
    in the reading where it is not what `fit` takes.

    Parameters
    ----------
    model : GaussianMixture
        The declaration; its number of components is replaced. Priors must not differ between components.
    data : array-like, DataFrame, DataArray or Data
        Whatever `as_data` takes.
    n_components : int or iterable of int
        Numbers of components.
    structures : sequence of str or dict, optional
        Covariance structures to compare as well: any of "full", "tied", "diagonal", "spherical", "tied diagonal" and
        "tied spherical" round the declared prior, or a dict from names to covariances.
    engine : NUTS, optional
        Where evidence (by bridge sampling) and leave-one-out draw from. If left out: importance sampling round the
        modes of the posterior, which takes seconds. In both cases the telescoping sampler of `Gibbs`, which visits all
        numbers of components, gives the evidence where the rows are exact, few enough and the priors conjugate.
    criteria : sequence of str, optional
        What to compute beyond the likelihood and its criteria: "elbo", "evidence", "loo". If left out, all that
        the declaration allows; those need proper priors. An empty sequence computes none.
    prior : sequence of float, optional
        Prior probabilities of the numbers of components; equal if left out.
    mean_scales : float or sequence of float
        Factors of the width of the prior on the means for which the evidence is shown. Default priors are scaled by
        the data and wide, which counts against every further component.
    draws : int
        For evidence and leave-one-out by importance sampling.
    cores : int, optional
        Processes; all processors if left out. The result does not depend on it.
    random_seed : int or numpy.random.Generator, optional
        Makes the result reproducible. A Generator gives one number as the seed and moves on.
    progressbar : bool
        Show a progress bar where it takes longer than a second.

    Returns
    -------
    xarray.Dataset
        With dimension ``n_components`` (and ``structure`` in front where several are compared):
        ``log_likelihood`` at the optimum (that of the posterior density of the parameters; maximum likelihood under
        `Flat`), ``n_parameters``, ``bic``, ``aic``, ``icl`` (lower is better), ``entropy`` of the responsibilities,
        ``smallest_component`` (expected rows), ``status`` of the optimisation, ``n_optima`` that were found within 10
        nats; ``elbo``, a bound; ``laplace``, the formula at the mode; ``log_evidence`` with ``log_evidence_error`` by
        ``mean_scale``, NaN where it is not ``reliable`` (``note`` says why), the estimator it is from in
        ``evidence_from``, and ``effective_visits`` of the telescoping sampler; ``posterior_probability`` of the number
        of components, or of structures and numbers together (NaN where the evidence is not known; the others are what
        they are without it);
        ``elpd_loo``, ``elpd_loo_se``, the worst ``loo_pareto_k``, and ``elpd_loo_difference`` from the best with the
        standard error ``elpd_loo_difference_se`` of the paired difference; ``note``. Attributes: what each variable
        ``counts`` and what it does ``under_misfit``, the ``prior``, and the ``reading`` of the whole in sentences.

    Raises
    ------
    InputError, UnsupportedError
        If an argument cannot be used.

    References
    ----------
    Biernacki, Celeux & Govaert (2000), IEEE PAMI 22:719-725 (ICL). Cai, Campbell & Broderick (2021), ICML (misfit).

    Examples
    --------
    >>> import bayesgmm as bg
    >>> flat = bg.Flat()
    >>> model = bg.GaussianMixture(1, weights=flat, means=flat, covariances=bg.Tied(flat))
    >>> table = bg.compare_components(
    ...     model, bg.datasets.load_faithful(), n_components=[2, 3], cores=1, random_seed=1
    ... )
    >>> int(table["bic"].idxmin())
    3
    """
    seed, progressbar = as_seed(random_seed), as_flag("progressbar", progressbar)
    table = as_data(data)
    refuse_known_labels("compare_components", table)
    numbers = checked_numbers(n_components)
    own, names = checked_structures(model, structures)
    wanted = checked_criteria(criteria)
    scales = checked_scales(mean_scales)
    if engine is not None and not isinstance(engine, NUTS):
        raise InputError(
            "engine", f"got {as_written(engine)}", "Give NUTS(...), or leave it out for importance sampling"
        )
    draws = as_whole("draws", draws, least=100)
    prior_of_numbers = checked_prior(prior, numbers)
    cores = check_cores(cores)
    filled = check_models(own, numbers, table)
    proper = all(each.proper for each in filled)
    by_likelihood = table.noise_scale is None and all(len(each.improper_parts()) == 3 for each in filled)
    if criteria is not None and not proper and wanted:
        raise UnsupportedError(
            f"criteria={sorted(wanted)}", "Flat() parts", "They average over the prior: give every part a proper one."
        )
    entropy = np.random.SeedSequence(seed).entropy
    seeds = [[_seeds(entropy, name, K) for K in numbers] for name in names or [""]]
    shared = {
        "data": table,
        "criteria": frozenset(wanted),
        "mean_scales": scales,
        "engine": engine,
        "draws": draws,
    }
    found_optima: list[int] = []
    with Progress(progressbar) as progress, one_blas_thread():
        # Under maximum likelihood a looser structure has to reach what a stricter one does.
        order = strictest_first([each.covariances for each in filled[::2]])
        jobs = _jobs([own[i] for i in order], numbers, [seeds[i] for i in order], shared, found_optima, progress)
        total = len(own) * len(numbers)
        found = run_parallel(_assess_or_not, jobs, total=total, cores=cores, progress=progress, what="criteria")
        found, found_optima = (_in_order(each, order, len(numbers)) for each in (found, found_optima))
        evidence, by = None, "importance sampling" if engine is None else "bridge sampling"
        if proper and "evidence" in wanted:
            problems = [_largest(model, numbers, table) for model in own]
            rngs = [np.random.default_rng(_seeds(entropy, f"visits {name}", numbers[-1])[0]) for name in names or [""]]
            evidence = evidence_table(problems, numbers, scales, found, rngs, progress, cores, by=by)
    out = _dataset(found, found_optima, names, numbers, evidence, prior_of_numbers, model, engine, seed)
    out.attrs |= _priors(own, numbers, table, names)
    out.attrs["reading"] = "\n".join(readings(out, by_likelihood=by_likelihood))
    return sealed(out, "compare_components")


def _in_order(cells: list[Any], order: list[int], n_numbers: int) -> list[Any]:
    """Cells of structures that were computed in some order, in their own."""
    rows = {structure: cells[at * n_numbers : (at + 1) * n_numbers] for at, structure in enumerate(order)}
    return [cell for structure in sorted(rows) for cell in rows[structure]]


def _largest(model: GaussianMixture, numbers: list[int], data: Data) -> Problem:
    declared = model._replace(n_components=numbers[-1], component_names=None)
    return build_problem(declared, data, n_threads=1, for_evidence=True)


def _priors(models: list[GaussianMixture], numbers: list[int], data: Data, names: list[str] | None) -> dict[str, str]:
    """The prior of each structure in words, and where it is not that of `fit` for the largest number."""
    own, other = [], []
    for model, name in zip(models, names or [""], strict=True):
        declared = model._replace(n_components=numbers[-1], component_names=None)
        filled, fitted = (
            build_problem(declared, data, n_threads=1, for_evidence=each).declared for each in (True, False)
        )
        title = f"{name}: " if name else ""
        own.append(title + prior_in_words(filled))
        difference = difference_from_fit(filled, fitted)
        if difference:
            other.append(title + difference)
    out = {"prior": "\n".join(own), "differs_from_fit": "\n".join(other)}
    return out | {"differs_for": str(numbers[-1])} if other else out


def _seeds(entropy: Any, structure: str, K: int) -> list[np.random.SeedSequence]:
    """Seeds of the search and of the draws: the same whatever else is asked for."""
    return np.random.SeedSequence(entropy, spawn_key=(zlib.crc32(structure.encode()), K)).spawn(2)


def _jobs(
    models: list[GaussianMixture],
    numbers: list[int],
    seeds: list[list[list[np.random.SeedSequence]]],
    shared: dict[str, Any],
    found_optima: list[int],
    progress: Progress,
) -> Iterator[Job]:
    """One job after the other: each number of components starts from the optimum of the one before as well."""
    done = 0
    nest = Nest(data=shared["data"])
    for model, of_model in zip(models, seeds, strict=True):
        smaller: tuple[int, Parameters] | None = None
        for K, (search_seed, own_seed) in zip(numbers, of_model, strict=True):
            declared = model._replace(n_components=K, component_names=None)
            problem = build_problem(declared, shared["data"], n_threads=1, for_evidence=True)
            given = smaller[1] if smaller is not None and smaller[0] == K - 1 else None
            try:
                reports = optima(problem, given, np.random.default_rng(search_seed), Progress(False), nest)
                status, note = reports[0].status.name, ""
            except FitError as error:
                reports, status, note = [], _NO_OPTIMUM, f"no start reached a proper optimum: {error}"
            ends = [problem.units.to_data(report.end) for report in reports if report.end is not None]
            if ends:
                smaller = K, ends[0]
            found_optima.append(len(ends))
            done += 1
            progress.step("optima", done, len(models) * len(numbers))
            yield Job(model=declared, optima=ends, status=status, note=note, seed=own_seed, **shared)


def _assess_or_not(job: Job) -> Assessed:
    return assess(job) if job.optima else Assessed(status=job.status, notes=(job.note,))


def _dataset(
    found: list[Assessed],
    found_optima: list[int],
    names: list[str] | None,
    numbers: list[int],
    evidence: EvidenceTable | None,
    prior: Array,
    model: GaussianMixture,
    engine: NUTS | None,
    seed: int | None,
) -> xr.Dataset:
    with Interrupts():
        import xarray as xr

    shape = (1 if names is None else len(names), len(numbers))
    dims = ("structure", "n_components")
    columns: dict[str, Any] = {}
    for name in MEANINGS:
        values = np.array([each.numbers.get(name, np.nan) for each in found]).reshape(shape)
        if np.isfinite(values).any() or name in ALWAYS:
            columns[name] = (dims, values)
    columns["n_optima"] = (dims, np.array(found_optima).reshape(shape))
    columns["status"] = (dims, np.array([each.status for each in found]).reshape(shape))
    notes = [list(each.notes) for each in found]
    coords: dict[str, Any] = {"n_components": numbers}
    if evidence is not None and np.any([each.log_evidence.size for each in found]):
        wide = (*dims, "mean_scale")
        columns["log_evidence"] = (wide, evidence.values)
        columns["log_evidence_error"] = (wide, evidence.errors)
        columns["reliable"] = (wide, np.isfinite(evidence.values))
        columns["evidence_from"] = (wide, evidence.source)
        columns["effective_visits"] = (wide, evidence.effective)
        columns["posterior_probability"] = (wide, _posterior(evidence.values, prior))
        coords |= {"mean_scale": list(evidence.scales), "prior_probability": ("n_components", prior)}
        notes = [[*own, *more] for own, more in zip(notes, evidence.notes, strict=True)]
    if any(each.left_out is not None for each in found):
        difference, error = loo_differences([each.left_out for each in found])
        columns["elpd_loo_difference"] = (dims, difference.reshape(shape))
        columns["elpd_loo_difference_se"] = (dims, error.reshape(shape))
    columns["note"] = (dims, np.array(["; ".join(each) for each in notes]).reshape(shape))
    if names is not None:
        coords["structure"] = names
    out = xr.Dataset(columns, coords=coords)
    out = out.isel(structure=0) if names is None else out
    for name in out.data_vars:
        if name in MEANINGS:
            counts, under_misfit = MEANINGS[str(name)]
            out[name].attrs = {"counts": counts, "under_misfit": under_misfit}
    if "posterior_probability" in out:
        together = "structures (equal before the data) and numbers of components together"
        out["posterior_probability"].attrs = {"over": "numbers of components" if names is None else together}
    out.attrs = {
        "model": model.to_json(),
        "draws_from": "importance sampling round the modes" if engine is None else "NUTS, bridge sampling",
        "random_seed": "none" if seed is None else str(seed),
    }
    return out


def _posterior(evidence: Array, prior: Array) -> Array:
    """Probabilities over structures and numbers of components together, for each scale.

    NaN where the evidence is not known: the others are what they are if that one is left out.
    """
    with np.errstate(divide="ignore"):
        log = evidence + np.log(prior)[:, None]
    known = np.where(np.isnan(log), -np.inf, log)
    top = known.max(axis=(0, 1))
    shares = np.exp(known - np.where(np.isfinite(top), top, 0.0))
    total = shares.sum(axis=(0, 1))
    return np.where((total > 0) & ~np.isnan(log), shares / np.where(total > 0, total, 1.0), np.nan)
