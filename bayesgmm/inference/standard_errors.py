"""How sure the numbers of a fit by `EM` are, which gives the mode alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._arguments import as_choice, as_flag, as_seed, as_whole
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.em import EM
from bayesgmm.inference.bootstrap import bootstrap
from bayesgmm.inference.information import information
from bayesgmm.inference.modes import Errors, Mode, mode_of
from bayesgmm.inference.modes import variables as variables_of
from bayesgmm.numerics.threads import one_blas_thread

if TYPE_CHECKING:
    import xarray as xr


def standard_errors(
    fit: xr.DataTree,
    *,
    method: Literal["information", "bootstrap"] = "information",
    n_bootstrap: int = 200,
    random_seed: int | np.random.Generator | None = None,
    progressbar: bool = True,
) -> xr.Dataset:
    """Standard errors and intervals of the parameters of a fit by `EM`.

    Parameters
    ----------
    fit : DataTree
        By `EM`. Fits with posterior draws have their intervals already.
    method : {"information", "bootstrap"}
        ``"information"`` inverts minus the Hessian of what was maximised, at its mode: the observed information under
        maximum likelihood (Louis 1982), the curvature of the log posterior under priors. It takes a moment, and holds
        where the objective looks like a parabola as far as the errors reach. ``"bootstrap"`` is the weighted likelihood
        bootstrap (Newton & Raftery 1994; for mixtures O'Hagan et al. 2019): rows get random weights and the mode is
        found again from where it was.
    n_bootstrap : int
        Number of replicates, for ``"bootstrap"``.
    random_seed : int or numpy.random.Generator, optional
        Makes the bootstrap reproducible. A Generator gives one number as the seed and moves on.
    progressbar : bool
        Show a progress bar where it takes longer than a second.

    Returns
    -------
    xarray.Dataset
        ``weights``, ``means``, ``covariances``, ``sds``, ``correlations`` (and ``noise_scale`` where it was fitted) at
        the mode, each with ``_se``, ``_lower`` and ``_upper``. The probability of intervals is that of ArviZ's
        ``rcParams``. Those of ``"information"`` are normal in the logarithm of sds and variances, in the logit of
        weights, in Fisher's z of correlations and in means and covariances themselves; those of ``"bootstrap"`` are
        percentiles. What was fixed has a standard error of 0. Attributes: ``message``, what to know about the numbers;
        for the bootstrap ``n_used``, ``n_collapsed``, ``n_not_converged`` (used all the same), ``n_boundary`` (used),
        ``n_relabelled`` and ``n_ambiguous``, numbers of replicates.

    Raises
    ------
    InputError
        If the fit has posterior draws, or an argument has a value that cannot be used.
    UnsupportedError
        If the fit is by another engine without draws.

    Warns
    -----
    UserWarning
        If standard errors cannot be given and are NaN: the objective does not curve down in all directions (a ridge,
        an empty component), the fit is at a boundary or not at a mode, or more than 20 % of the replicates collapsed.
        Also if more than 5 % of them collapsed. The sentence is the attribute ``message``.

    Notes
    -----
    Weights of the bootstrap are N Dirichlet(1, ..., 1); a row that stands for c units has the sum of their weights,
    as if it were there c times. With groups the number of units in each stays as it is. Priors are kept, with the
    numbers that the fit used. Labels are matched to the fit by their responsibilities (see `relabel`); components that
    the data hardly tell apart stay ambiguous, and their standard errors mean little under either method.

    Under priors the two answer different questions. The curvature is that of the log posterior, so that its standard
    errors stand in for posterior standard deviations. The bootstrap says how the mode moves with the data, and what
    comes from the prior does not move.

    References
    ----------
    Louis, T. A. (1982). Finding the observed information matrix when using the EM algorithm. Journal of the Royal
    Statistical Society B 44, 226-233.

    Newton, M. A. & Raftery, A. E. (1994). Approximate Bayesian inference with the weighted likelihood bootstrap.
    Journal of the Royal Statistical Society B 56, 3-48.

    O'Hagan, A., Murphy, T. B., Scrucca, L. & Gormley, I. C. (2019). Investigation of parameter uncertainty in
    clustering using a Gaussian mixture model via jackknife, bootstrap and weighted likelihood bootstrap. Computational
    Statistics 34, 1779-1813.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> mode = bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), engine=bg.EM(), random_seed=1)
    >>> found = bg.standard_errors(mode)
    >>> found["means_se"].sel(feature="eruptions").round(3).values
    array([0.027, 0.031])
    """
    import xarray as xr

    from bayesgmm.results import check_result
    from bayesgmm.results.read import dims_in

    check_result(fit)
    if names.POSTERIOR in fit.children:
        raise InputError(
            "fit",
            f"got a fit by {fit.attrs[names.ENGINE]}, which has posterior draws",
            "Its posterior has the intervals: see summary(fit), predict(fit) and fit['posterior']",
        )
    if fit.attrs[names.ENGINE] != EM.name:
        raise UnsupportedError("standard_errors", f"a fit by {fit.attrs[names.ENGINE]}", "Fit with EM().")
    as_choice("method", method, _METHODS)
    n_bootstrap = as_whole("n_bootstrap", n_bootstrap, least=2)
    seed, progressbar = as_seed(random_seed), as_flag("progressbar", progressbar)
    mode = mode_of(fit)
    with one_blas_thread(), Progress(progressbar) as progress:
        found = _METHODS[method](mode, n_bootstrap, np.random.default_rng(seed), progress)
    if found.doubtful:
        warnings.warn(found.message, stacklevel=2)
    point = fit[names.POINT].to_dataset()
    variables: dict[str, Any] = {}
    for name, estimate in variables_of(mode.problem, mode.at).items():
        dims = dims_in(point, name)
        columns = {"": estimate, "_se": found.se[name], "_lower": found.lower[name], "_upper": found.upper[name]}
        variables |= {name + suffix: (dims, value) for suffix, value in columns.items()}
    used = {dim for dims, _ in variables.values() for dim in dims}
    return xr.Dataset(
        variables,
        coords={str(dim): point[dim].to_numpy() for dim in point.coords if dim in used},
        attrs={"method": method, "message": found.message, names.INTERVAL: found.interval, **found.facts},
    )


_METHODS: dict[str, Callable[[Mode, int, np.random.Generator, Progress], Errors]] = {
    "information": information,
    "bootstrap": bootstrap,
}
