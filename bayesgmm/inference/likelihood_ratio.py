"""Is one more component needed? The likelihood-ratio test with its distribution from simulated data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesgmm._arguments import as_choice, as_flag, as_seed, as_whole
from bayesgmm._errors import FitError, InputError, UnsupportedError
from bayesgmm._words import counted
from bayesgmm.data import Data, as_data
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Parameters
from bayesgmm.engines.em import EM
from bayesgmm.inference._comparison_arguments import refuse_known_labels
from bayesgmm.inference._lrt_fits import Compared, Hypotheses, compare, simulated
from bayesgmm.inference._parallel import check_cores, run_parallel
from bayesgmm.model import FixedWeights, GaussianMixture
from bayesgmm.numerics.sinh_arcsinh import SinhArcsinh
from bayesgmm.results import sealed

if TYPE_CHECKING:
    import xarray as xr

# With `cores` left out, processes are started where they save more seconds than their start takes.
_WORTH_PROCESSES_S = 10.0
_INTERVAL = 0.95
# Random starts for one component against two. More components have many more optima.
_STARTS = 4
_COUNTS_GAUSSIANS = (
    "this counts Gaussians, so skewness or heavy tails of one population are reason enough to reject: see null='skewed'"
)
_NEEDS_ROWS = {"noise": "errors of measurement", "counts": "counts or weights", "bins": "bins", "groups": "groups"}


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One simulated data set."""

    hypotheses: Hypotheses
    at: Parameters | SinhArcsinh
    data: Data
    seed: np.random.SeedSequence


def bootstrap_lrt(
    model: GaussianMixture,
    data: Any,
    *,
    null: Literal["gaussian", "skewed"] = "gaussian",
    n_bootstrap: int = 99,
    stop_after: int | None = None,
    cores: int | None = None,
    random_seed: int | np.random.Generator | None = None,
    progressbar: bool = True,
    n_init: int | None = None,
    n_polish: int | None = None,
) -> xr.Dataset:
    """Test K components against K + 1 by the parametric bootstrap of the likelihood ratio (McLachlan 1987).

    The statistic is 2 (log L_{K+1} - log L_K). It has no chi-square distribution, because under the null the extra
    component is not identified, so data sets are simulated from the fitted null and fitted in the same way.

    Parameters
    ----------
    model : GaussianMixture
        The declaration under the null, with K components; the alternative is the same with K + 1. `Flat` in every part
        is the classical test. With priors the modes of both posteriors are compared by their log-likelihoods alone;
        the test is as valid, but the statistic may be negative. ``component_names`` are not used.
    data : array-like, DataFrame or Data
        Whatever `as_data` takes. Simulated data sets are observed in the same way: errors of measurement, missing
        entries, bins, counts and groups are copied.
    null : {"gaussian", "skewed"}
        ``"skewed"``: one population that is normal after a sinh-arcsinh transform (Jones & Pewsey 2009), against two
        Gaussians; for K = 1, one feature and whole, exact rows. It asks whether skewness alone explains the data.
    n_bootstrap : int
        Number of simulated data sets B. With 99 the p-value is at least 0.01.
    stop_after : int, optional
        Stop as soon as so many simulated statistics are at least as large as the observed one (Besag & Clifford 1991).
        Where the null holds that takes a few dozen data sets however large ``n_bootstrap`` is. With at least
        0.05 (B + 1), such as 5 of 99, a test at the 5 % level decides as without it.
    cores : int, optional
        Number of processes. If left out, all processors where the work is worth it. The result does not depend on it.
    random_seed : int or numpy.random.Generator, optional
        Makes the result reproducible. A Generator gives one number as the seed and moves on.
    progressbar : bool
        Show a progress bar where it takes longer than a second.
    n_init : int, optional
        Random starts of each fit, 4 K^2 if left out; fits of K + 1 components also start from every component of the
        null's optimum split in two ways.
    n_polish : int, optional
        How many of the starts are followed to a proper optimum; K if left out.

    Returns
    -------
    xarray.Dataset
        ``statistic``; ``p_value``, (1 + number of simulated statistics >= it) / (B + 1), or h / l where the h-th of
        them was the l-th data set and the test stopped there; ``p_lower`` and ``p_upper``, the 95 % Monte-Carlo
        interval (Clopper & Pearson) of the p-value that endlessly many data sets would give; ``bootstrap_statistic``
        (bootstrap), NaN where a fit failed; ``log_likelihood`` (hypothesis); ``n_failed``, the simulated data sets
        that failed, and ``n_without_optimum``, those in which K + 1 components had no proper optimum. Attributes hold
        both hypotheses and the ``reading`` of the result in a sentence.

    Raises
    ------
    InputError
        If an argument has a value that cannot be used, or the declaration has a prior for each component by itself.
    UnsupportedError
        If the model has no mode, weights of rows are not whole, or the skewed null is not for these data.
    FitError
        If the observed data have no proper optimum under one of the hypotheses.

    Notes
    -----
    The search is quick and the same for the observed and all simulated data sets: a better search of the observed data
    would make their statistic too large. Where it misses the best optimum the test keeps its level and loses power.
    Parameters are estimated, so the level is exact only as the number of rows grows; ``docs/lrt_calibration.md`` has
    what was measured.

    The likelihood of free covariances has no maximum, so the best proper optimum counts (see `EM`). In one Gaussian
    data set of twenty or so, K + 1 components have none that the search finds: every start ends with a component on
    two or three rows. Without priors the optimum of K components, one of them written as two halves, then takes its
    place, for the observed and the simulated data alike; the statistic is 0 (with ``null="skewed"`` negative). With
    priors, and where the null has no proper optimum, a simulated data set fails, after a second search with six times
    as many starts. It counts as one with a larger statistic than the observed one, which is conservative.

    The statistic of the skewed null is twice the log of the ratio of the likelihoods of two Gaussians and one skewed
    population, refitted to each simulated data set (Cox 1961). The ratio of two Gaussians and one, referred to data
    sets from the skewed null, has little power, and so has that of two Gaussians and one after the transform where
    the groups differ in size (100 rows, 3 sd apart, equal groups: 76, 20 and 74 of 100 sets rejected; groups of 20 and
    80 %: 35, 3 and 12). The family has a parameter of skewness and one of tails, which are normal or heavier; lighter
    ones would imitate two overlapping components.

    References
    ----------
    McLachlan (1987) On bootstrapping the likelihood ratio test statistic for the number of components in a normal
    mixture. Applied Statistics 36:318-324.
    Nylund, Asparouhov & Muthen (2007) Deciding on the number of classes in latent class analysis and growth mixture
    modeling: a Monte Carlo simulation study. Structural Equation Modeling 14:535-569.
    Besag & Clifford (1991) Sequential Monte Carlo p-values. Biometrika 78:301-304.
    Cox (1961) Tests of separate families of hypotheses. Proceedings of the Fourth Berkeley Symposium 1:105-123.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> flat = bg.Flat()
    >>> one = bg.GaussianMixture(1, weights=flat, means=flat, covariances=flat)
    >>> waiting = bg.datasets.load_faithful()[["waiting"]]
    >>> result = bg.bootstrap_lrt(one, waiting, n_bootstrap=19, cores=1, random_seed=1)
    >>> float(result["p_value"])
    0.05
    """
    n_bootstrap = as_whole("n_bootstrap", n_bootstrap, least=1)
    stop_after = None if stop_after is None else as_whole("stop_after", stop_after, least=1)
    n_init = None if n_init is None else as_whole("n_init", n_init, least=1)
    n_polish = None if n_polish is None else as_whole("n_polish", n_polish, least=1)
    seed, progressbar = as_seed(random_seed), as_flag("progressbar", progressbar)
    if cores is not None:
        cores = check_cores(cores)
    table = as_data(data)
    refuse_known_labels("bootstrap_lrt", table)
    hypotheses = _hypotheses(model, table, null, n_init, n_polish)
    seeds = np.random.SeedSequence(seed).spawn(n_bootstrap + 1)
    observed = compare(hypotheses, table, np.random.default_rng(seeds[0]))
    jobs = [_Job(hypotheses=hypotheses, at=observed.at, data=table, seed=seed) for seed in seeds[1:]]
    statistics, n_without = _all_statistics(jobs, observed.statistic, stop_after, cores, progressbar)
    return _result(model, hypotheses, observed, statistics, n_without, n_bootstrap, stop_after, seed)


def _hypotheses(model: Any, data: Data, null: Any, n_init: int | None, n_polish: int | None) -> Hypotheses:
    if not isinstance(model, GaussianMixture):
        raise InputError("model", f"got {type(model).__name__}", "Give the null hypothesis, such as GaussianMixture(1)")
    as_choice("null", null, ("gaussian", "skewed"))
    model.refuse("bootstrap_lrt")
    K = model.typical_number
    of_each = "Its priors are for each component by itself, so there is none for one more. Give priors that all share"
    if isinstance(model.weights, FixedWeights):
        raise InputError("model", f"weights={model.weights}", of_each + ", and weights that are not fixed")
    try:
        alternative = model._replace(n_components=K + 1, component_names=None)
        problem = build_problem(alternative, data, n_threads=1)
    except InputError as error:
        if error.argument in ("data", "n_components"):  # too few rows, or columns that say nothing
            raise
        raise InputError("model", f"cannot have {K + 1} components: {error}", of_each) from error
    if len(set(problem.declared.means.keys(K + 1))) > 1 or len(set(problem.declared.covariances.keys(K + 1))) > 1:
        raise InputError("model", f"components differ before the data:\n{model}\n", of_each)
    EM().check(problem.declared, data.n_features)
    if data.counts is not None and not np.array_equal(data.counts, np.round(data.counts)):
        raise UnsupportedError(
            "bootstrap_lrt", "weights of rows", "How many rows there were is not known, so none can be simulated."
        )
    if null == "skewed":
        _check_skewed(model, data)
    one = model._replace(component_names=None)
    return Hypotheses(
        null=one,
        alternative=alternative,
        skewed=null == "skewed",
        n_init=_STARTS * K**2 if n_init is None else n_init,
        n_polish=K if n_polish is None else n_polish,
    )


def _check_skewed(model: GaussianMixture, data: Data) -> None:
    if model.n_components != 1:
        raise UnsupportedError(
            "null='skewed'",
            f"n_components={model.n_components}",
            "The skewed null is one population: give a model of one component, or null='gaussian'.",
        )
    if data.n_features != 1:
        raise UnsupportedError(
            "null='skewed'", f"{data.n_features} features", "Test one feature at a time, or give null='gaussian'."
        )
    for name, words in _NEEDS_ROWS.items():
        if getattr(data, name) is not None:
            raise UnsupportedError("null='skewed'", words, "Give whole, exact rows, or null='gaussian'.")
    if np.isnan(data.values).any():
        raise UnsupportedError("null='skewed'", "missing values", "Drop those rows, or give null='gaussian'.")


def bootstrap_statistic(job: _Job) -> tuple[float, bool]:
    """The statistic of one simulated data set, and whether the alternative has an optimum of its own.

    NaN if a fit failed. A worker calls this by its name.
    """
    rng = np.random.default_rng(job.seed)
    try:
        compared = compare(job.hypotheses, simulated(job.at, job.data, rng), rng)
    except (FitError, InputError):  # an input error: simulated values that are all in one bin, say
        return np.nan, False
    return compared.statistic, compared.found


def _all_statistics(
    jobs: list[_Job], observed: float, stop_after: int | None, cores: int | None, progressbar: bool
) -> tuple[np.ndarray, int]:
    """Statistics of the simulated data sets, and how many of those that did not fail are without an optimum."""
    large = 0

    def enough(result: tuple[float, bool]) -> bool:
        nonlocal large
        large += not result[0] < observed  # NaN counts as large
        return stop_after is not None and large >= stop_after

    with Progress(progressbar) as progress:
        what = "simulated data sets"
        began = time.perf_counter()
        found = run_parallel(
            bootstrap_statistic, jobs[:1], total=1, cores=1, progress=Progress(False), what=what, until=enough
        )
        rest = jobs[1:]
        if cores is None and (time.perf_counter() - began) * len(rest) < _WORTH_PROCESSES_S:
            cores = 1
        if rest and (stop_after is None or large < stop_after):
            found += run_parallel(
                bootstrap_statistic, rest, total=len(rest), cores=cores, progress=progress, what=what, until=enough
            )
    statistics = np.array([statistic for statistic, _ in found])
    return statistics, sum(not proper and not np.isnan(statistic) for statistic, proper in found)


def _result(
    model: GaussianMixture,
    hypotheses: Hypotheses,
    observed: Compared,
    statistics: np.ndarray,
    n_without: int,
    n_bootstrap: int,
    stop_after: int | None,
    seed: int | None,
) -> xr.Dataset:
    import xarray as xr

    n_large, n = int((~(statistics < observed.statistic)).sum()), statistics.size
    stopped = stop_after is not None and n_large == stop_after
    p = n_large / n if stopped else (1 + n_large) / (n + 1)
    lower, upper = _monte_carlo_interval(n_large, n, stopped)
    n_failed = int(np.isnan(statistics).sum())
    null = observed.at.describe() if isinstance(observed.at, SinhArcsinh) else _words(model.typical_number)
    out = xr.Dataset(
        {
            "statistic": observed.statistic,
            "p_value": p,
            "p_lower": lower,
            "p_upper": upper,
            "bootstrap_statistic": ("bootstrap", statistics),
            "log_likelihood": ("hypothesis", [observed.null, observed.alternative]),
            "n_failed": n_failed,
            "n_without_optimum": n_without,
        },
        coords={"bootstrap": np.arange(n), "hypothesis": ["null", "alternative"]},
        attrs={
            "reading": _reading(hypotheses, observed, p, n, n_failed, stopped),
            "null": "skewed" if hypotheses.skewed else "gaussian",
            "null_hypothesis": null,
            "alternative_hypothesis": _words(model.typical_number + 1),
            "model": hypotheses.null.to_json(),
            "n_bootstrap": n_bootstrap,
            "stop_after": "none" if stop_after is None else stop_after,
            "stopped": int(stopped),
            "n_init": hypotheses.n_init,
            "n_polish": hypotheses.n_polish,
            "random_seed": "none" if seed is None else str(seed),
        },
    )
    return sealed(out, "bootstrap_lrt")


def _monte_carlo_interval(n_large: int, n: int, stopped: bool) -> tuple[float, float]:
    """Exact limits of the probability of a large statistic; after stopping the last data set is a large one."""
    from scipy.special import betaincinv

    tail = (1.0 - _INTERVAL) / 2.0
    lower = betaincinv(n_large, n - n_large + 1, tail) if n_large else 0.0
    upper = betaincinv(n_large + (not stopped), n - n_large, 1.0 - tail) if n > n_large else 1.0
    return float(lower), float(upper)


def _words(n_components: int) -> str:
    return counted(n_components, "Gaussian component")


def _reading(hypotheses: Hypotheses, observed: Compared, p: float, n: int, n_failed: int, stopped: bool) -> str:
    """The result in a sentence, at the level of 5 %."""
    K = hypotheses.null.typical_number
    left = "One skewed population" if hypotheses.skewed else counted(K, "component")
    right = "two Gaussians" if hypotheses.skewed else f"{K + 1}"
    verb = ("is" if K == 1 else "are") + ("" if p <= 0.05 else " not")
    sets = counted(n, "simulated data set") + (", stopped early" if stopped else "")
    text = f"{left} {verb} rejected against {right} (p = {f'{p:.2g}'.lstrip('0')}, {sets})"
    if not hypotheses.skewed and p <= 0.05:
        text += f"; {_COUNTS_GAUSSIANS}" if K == 1 else f"; {_COUNTS_GAUSSIANS.partition(':')[0]}"
    if not observed.found:
        text += f"; in the data every start with {K + 1} components collapsed, so that they are no better than {K}"
    if n_failed:
        verb = "counts" if n_failed == 1 else "count"
        text += f"; {counted(n_failed, 'data set')} had no proper optimum and {verb} against rejection"
    return text + "."
