"""`fit`: from a declaration and data to a result."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._arguments import as_flag, as_seed, as_written
from bayesgmm._errors import InputError
from bayesgmm._status import Status
from bayesgmm.data import as_data
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Engine
from bayesgmm.engines.gibbs import Gibbs
from bayesgmm.inference._start import read_start
from bayesgmm.inference.concerns import (
    FewerGroupsWarning,
    NotGaussianWarning,
    UncalibratedWarning,
    fewer_groups,
    hardly_supported,
    not_gaussian,
    uncalibrated,
)
from bayesgmm.inference.default_engine import run_default
from bayesgmm.inference.prediction import assignments_group
from bayesgmm.model import GaussianMixture
from bayesgmm.numerics.threads import one_blas_thread

if TYPE_CHECKING:
    import xarray as xr


_LATE = (
    "Interrupted after the last draw, while the draws were being put in order: that was finished, and all draws are "
    "there; a second Ctrl-C would have given up."
)


class NotConvergedWarning(UserWarning):
    """A fit stopped before its optimum; the message says why and what would help."""


def fit(
    model: GaussianMixture,
    data: Any,
    *,
    engine: Engine | None = None,
    start: Any = None,
    random_seed: int | np.random.Generator | None = None,
    progressbar: bool = True,
) -> xr.DataTree:
    """Fit a Gaussian mixture to data.

    Parameters
    ----------
    model : GaussianMixture
        The declaration. Parts left out get weak priors learnt from the data (`GaussianMixture.filled`).
    data : array-like, DataFrame, DataArray or Data
        (n_obs, n_features); whatever `as_data` takes. With ``as_data(values, groups=labels)`` each group has weights
        of its own, all with the declared prior; means and covariances are shared. ``weights`` then has the dimensions
        (group, component), groups sorted by their labels.
    engine : EM, VB, Laplace, NUTS or Gibbs, optional
        If left out, the one whose intervals hold at a cost that the data allow: `NUTS` where all rows are exact and
        sampling takes up to about 10 s of a processor; else `Laplace`, as long as its importance weights say that its
        intervals hold; else `NUTS` up to about a minute, and beyond that what `Laplace` has, with a warning. `Gibbs`
        under a prior on the number of components, `EM` where a part is `Flat`. The result stores which and why
        (``engine_reason``), from a cost in rows, components and features that was measured.
    start : DataTree, array_like or dict, optional
        Where to begin, and nowhere else: an earlier fit of the same features and as many components; the number of
        the component of each row, (n_obs,); responsibilities (n_obs, n_components); or a dict of ``weights`` (K,),
        ``means`` (K, d) and ``covariances`` (K, d, d). The search finds the optimum that is reached from there, and
        chains begin at it. Other optima, perhaps higher ones, are not looked for.
    random_seed : int or numpy.random.Generator, optional
        Makes the result reproducible. Without it the starts and the draws differ from call to call. A Generator gives
        one whole number as the seed, which the result's attribute ``random_seed`` holds, and moves on.
    progressbar : bool
        Show a progress bar where a fit takes longer than a second.

    Returns
    -------
    xarray.DataTree
        In ArviZ's schema, with the groups ``point_estimate``, ``assignments`` (labels, and up to 100,000 rows
        responsibilities with their interval), ``optimization`` (every start and how it ended), ``observed_data``,
        ``constant_data`` and, for engines with draws, ``posterior`` and ``sample_stats``; ``variational`` (VB);
        ``chains``, ``relabelling``, ``unrelabelled`` and perhaps ``left_out`` (NUTS, Gibbs); ``all_draws`` where the
        number of components is unknown. Attributes hold the model with all numbers, the engine with its options,
        versions and the seed.

    Raises
    ------
    InputError
        If an argument has a value that cannot be used.
    UnsupportedError
        If the engine asked for cannot fit this declaration; the message names what can.
    FitError
        If the objective has no proper optimum (maximum likelihood with collapsing components).

    Warns
    -----
    FewerGroupsWarning
        If a component holds fewer rows than a covariance is estimated from, or, where no engine was named, if one
        component less describes the rows nearly as well.
    NotGaussianWarning
        If no engine was named and the rows of a component have far heavier tails than a Gaussian's.
    UncalibratedWarning
        If no engine was named and the intervals of the one that was taken may not hold.
    NotConvergedWarning
        If the best start ended before its optimum, or chains disagree.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> result = bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), random_seed=1)
    >>> [float(w) for w in result["point_estimate"]["weights"].round(2)]
    [0.36, 0.64]
    """
    result, concerns = fit_with_concerns(
        model, data, engine=engine, start=start, random_seed=random_seed, progressbar=progressbar
    )
    for message, kind in concerns:
        warnings.warn(message, kind, stacklevel=2)
    return result


def fit_with_concerns(
    model: GaussianMixture,
    data: Any,
    *,
    engine: Engine | None,
    start: Any = None,
    random_seed: int | np.random.Generator | None,
    progressbar: bool,
) -> tuple[xr.DataTree, list[tuple[str, type[Warning]]]]:
    """What `fit` returns, and the warnings that it gives, for callers who have their own way to tell them.

    A filter of warnings would not do: it belongs to the process, and threads put back each other's.
    """
    if not isinstance(model, GaussianMixture):
        raise InputError(
            "model", f"got {type(model).__name__}", "Give a GaussianMixture, as in fit(GaussianMixture(2), data)"
        )
    if engine is not None and not isinstance(engine, Engine):
        hint = (
            f"Write engine={engine.__name__}()"
            if isinstance(engine, type)
            else "Give EM(...), VB(...), Laplace(...), NUTS(...), Gibbs(...) or leave it out"
        )
        raise InputError("engine", f"got {as_written(engine)}", hint)
    seed, progressbar = as_seed(random_seed), as_flag("progressbar", progressbar)
    # The engines share out rows to threads themselves. BLAS only sees tiny matrices, for which its own threads cost
    # more than they do: on a busy machine the quasi-Newton steps became a hundred times slower.
    with one_blas_thread(), Progress(progressbar, keeps_draws=True) as progress:
        return _fitted(model, data, engine, start, seed, progress)


def _fitted(
    model: GaussianMixture, data: Any, engine: Engine | None, start: Any, seed: int | None, progress: Progress
) -> tuple[xr.DataTree, list[tuple[str, type[Warning]]]]:
    """The result and its warnings, from arguments that have been checked one by one."""
    table = as_data(data)
    named = engine is not None
    problem = build_problem(
        model,
        table,
        n_threads=getattr(engine, "threads", None),
        who="fit" if engine is None else engine.name,
        by_gibbs=isinstance(engine, Gibbs) or (not named and bool(model.only_by_gibbs())),
    )
    if engine is not None:
        engine.check(problem.declared, table.n_features)
    if start is not None:
        problem = replace(problem, start=read_start(start, problem, data, table))
    rng = np.random.default_rng(seed)
    # Results are written by a layer that loads xarray, which a first import of the package does not need.
    from bayesgmm.results import FIT, build_result, relabelled, sealed

    if engine is None:
        engine, reason, outcome = run_default(problem, rng, progress)
    else:
        reason, outcome = "asked for by name", engine.run(problem, rng, progress)
    result = build_result(
        problem,
        outcome,
        engine=engine,
        reason=reason,
        declared=model,
        data=table,
        seed=seed,
    )
    if outcome.to_be_relabelled:
        result = relabelled(result)
    result[names.ASSIGNMENTS] = assignments_group(result, progress)
    if progress.interrupts.noted and outcome.status is not Status.INTERRUPTED:
        outcome = replace(outcome, status=Status.INTERRUPTED, message=_LATE)
        result.attrs |= {names.STATUS: outcome.status.name, names.STATUS_MESSAGE: outcome.status_message}
    concerns: list[tuple[str, type[Warning]]] = []
    fitted = outcome.problem or problem
    fewer = fewer_groups(result)
    # Who names an engine wants its answer, and is told of components without rows alone.
    if not fewer and not named and outcome.draws is not None:
        fewer = hardly_supported(fitted, outcome.point)
    if fewer:
        result.attrs[names.FEWER_GROUPS] = fewer
        concerns.append((fewer, FewerGroupsWarning))
    odd = "" if named else not_gaussian(fitted, outcome.point, result[names.POINT][names.COMPONENT].to_numpy())
    if odd:
        result.attrs[names.NOT_GAUSSIAN] = odd
        concerns.append((odd, NotGaussianWarning))
    result = sealed(result, FIT)
    if not named and (doubt := uncalibrated(result)):
        concerns.append((doubt, UncalibratedWarning))
    if outcome.status not in (Status.CONVERGED, Status.SAMPLED):
        concerns.append((f"{engine.name}: {outcome.status_message}", NotConvergedWarning))
    return result, concerns
