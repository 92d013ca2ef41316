"""Prior densities of draws and draws from the prior, for ArviZ's checks of what rests on the prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_seed, as_whole
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.inference.prediction import need_draws

if TYPE_CHECKING:
    import xarray as xr

    from bayesgmm.model import FilledMixture
    from bayesgmm.model.scale_priors import ScalePrior

Array = NDArray[np.float64]


def add_log_prior(fit: xr.DataTree) -> xr.DataTree:
    """A copy of a fit with the group ``log_prior``, for ``az.psense_summary``.

    Parameters
    ----------
    fit : DataTree
        With posterior draws. ``az.psense_summary`` also wants ``log_likelihood`` (`add_log_likelihood`).

    Returns
    -------
    DataTree
        ``log_prior`` holds ``weights``, ``means`` and ``covariances`` (chain, draw), and ``noise_scale`` where it was
        fitted: log prior densities of each part, that of means given the covariances, in the part's own parameters and
        without Jacobian. A part without free numbers has 0. ``az.psense_summary(..., prior_var_names=["means"])`` asks
        what rests on the prior of means alone.

    Raises
    ------
    InputError
        If the fit has no draws.
    UnsupportedError
        If a part has parameters of its own that the draws do not hold (a prior on the number of components,
        `HierarchicalInverseWishart`, `SparseDirichlet` with an unknown total).

    Examples
    --------
    >>> import bayesgmm as bg
    >>> fit = bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), engine=bg.Laplace(), random_seed=1)
    >>> both = bg.add_log_prior(bg.add_log_likelihood(fit))
    >>> sorted(both["log_prior"].data_vars)
    ['covariances', 'means', 'weights']
    """
    import xarray as xr

    from bayesgmm.results import read_result, stored_data

    fitted = read_result(fit)
    draws = need_draws(fitted, "fit")
    model = _whole(fit, fitted.model, "add_log_prior")
    with np.errstate(divide="ignore"):
        log_weights = np.log(draws.weights)
    choleskys = np.linalg.cholesky(draws.covariances)
    floor = model.covariances.floor(draws.means.shape[-1])
    values = {
        "weights": model.weights.log_densities(log_weights),
        "means": model.means.log_densities(draws.means, choleskys) - model.means.log_mass(floor),
        "covariances": model.covariances.log_densities(choleskys, draws.means),
    }
    scale: ScalePrior | None = stored_data(fit).noise_scale if "noise_scale" in fit[names.POSTERIOR] else None
    if scale is not None:
        values["noise_scale"] = scale.log_density(draws.noise_scale[:, None])[0][:, 0]
    posterior = fit[names.POSTERIOR]
    shape = (fitted.n_chains, -1)
    leading = (names.CHAIN, names.DRAW)
    out = fit.copy()
    out[names.LOG_PRIOR] = xr.Dataset(
        {name: (leading, np.asarray(value, dtype=float).reshape(shape)) for name, value in values.items()},
        coords={dim: posterior[dim].to_numpy() for dim in leading},
        attrs={
            "meaning": "log prior density of each part in its own parameters, without Jacobian, in the data's units"
        },
    )
    return out


def add_prior(
    fit: xr.DataTree, *, n_draws: int | None = None, random_seed: int | np.random.Generator | None = None
) -> xr.DataTree:
    """A copy of a fit with the group ``prior``, for ``az.plot_prior_posterior``.

    Parameters
    ----------
    fit : DataTree
        With posterior draws.
    n_draws : int, optional
        Number of draws from the prior that was used; as many as the posterior has if left out.
    random_seed : int, optional

    Returns
    -------
    DataTree
        ``prior`` holds the variables of ``posterior`` but for the number of occupied components, with one chain. Where
        the prior treats components alike, all of them have the same one; the order in which the posterior names them
        is not in it.

    Raises
    ------
    InputError
        If the fit has no draws, a part is improper, or ``n_draws`` is no whole number.
    UnsupportedError
        As for `add_log_prior`.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> fit = bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), engine=bg.Laplace(), random_seed=1)
    >>> bg.add_prior(fit, n_draws=500, random_seed=1)["prior"]["means"].shape
    (1, 500, 2, 2)
    """
    from bayesgmm.results import read_result, stored_data
    from bayesgmm.results.build import dataset, parameters

    n_draws = None if n_draws is None else as_whole("n_draws", n_draws, least=1, hint=", or leave it out")
    seed = as_seed(random_seed)
    fitted = read_result(fit)
    size = len(need_draws(fitted, "fit")) if n_draws is None else n_draws
    model = _whole(fit, fitted.model, "add_prior")
    rng = np.random.default_rng(seed)
    weights, means, covariances = model.draw(rng, size, len(fitted.feature_names))
    with np.errstate(divide="ignore"):
        values = parameters(weights, means, covariances) | model.weights.own_parameters(np.log(weights))
    scale: ScalePrior | None = stored_data(fit).noise_scale if "noise_scale" in fit[names.POSTERIOR] else None
    if scale is not None:
        values["noise_scale"] = scale.draw(rng, (size, 1))[:, 0]
    point = fit[names.POINT]
    coords: dict[str, Any] = {names.CHAIN: [0], names.DRAW: np.arange(size)}
    coords |= {str(dim): values.to_numpy() for dim, values in point.coords.items()}
    out = fit.copy()
    chained = {name: value[None] for name, value in values.items()}
    out[names.PRIOR] = dataset(chained, coords, leading=(names.CHAIN, names.DRAW))
    return out


def _whole(fit: xr.DataTree, model: FilledMixture, who: str) -> FilledMixture:
    """The model, unless the draws do not hold all of its parameters or it has no density."""
    if names.ALL_DRAWS in fit.children:
        raise UnsupportedError(who, "a prior on the number of components", "Fit with a number in its place.")
    model.refuse(who)
    if parts := model.improper_parts():
        raise InputError("fit", f"its prior of {' and '.join(parts)} is Flat()", "Fit with a proper prior")
    return model
