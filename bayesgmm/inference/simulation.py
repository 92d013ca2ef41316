"""Simulated data, from a declaration's prior or from a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm.model import FilledMixture, GaussianMixture

if TYPE_CHECKING:
    import xarray as xr


def simulate(
    model_or_fit: GaussianMixture | xr.DataTree,
    n_obs: int,
    *,
    random_seed: int | None = None,
    n_features: int | None = None,
) -> xr.Dataset:
    """Simulate rows from a declaration (parameters drawn from its prior) or from a fit.

    Parameters
    ----------
    model_or_fit : GaussianMixture or DataTree
        A declaration in which every number is given, or a fit. From a fit with draws the parameters are one
        posterior draw, so that repeated calls spread like the posterior predictive; under `EM` they are the mode.
    n_obs : int
        Number of rows.
    random_seed : int, optional
    n_features : int, optional
        Needed for a declaration whose numbers do not tell how many columns there are.

    Returns
    -------
    xarray.Dataset
        ``x`` (obs, feature), ``label`` (obs), and the parameters they were made with.

    Raises
    ------
    InputError
        If a part of the declaration is `Flat` or left to the data.
    """
    from bayesgmm.results.build import dataset

    _check_whole("n_obs", n_obs, least=1)
    if random_seed is not None:
        _check_whole("random_seed", random_seed, least=0)
    if n_features is not None:
        _check_whole("n_features", n_features, least=1)
    rng = np.random.default_rng(random_seed)
    if isinstance(model_or_fit, GaussianMixture):
        weights, means, covariances, features, components = _from_prior(model_or_fit, rng, n_features)
    else:
        weights, means, covariances, features, components = _from_fit(model_or_fit, rng)
    labels = rng.choice(weights.size, size=n_obs, p=weights / weights.sum())
    noise = rng.standard_normal((n_obs, means.shape[1]))
    x = means[labels] + (np.linalg.cholesky(covariances)[labels] @ noise[..., None])[..., 0]
    coords = {
        names.OBS: np.arange(n_obs),
        names.FEATURE: features,
        names.FEATURE_BIS: features,
        names.COMPONENT: components,
    }
    variables = {
        names.DATA: x,
        "label": components[labels],
        "weights": weights,
        "means": means,
        "covariances": covariances,
    }
    return dataset(variables, coords)


def _check_whole(argument: str, value: Any, *, least: int) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise InputError(argument, f"got {value!r}", f"Give a whole number of at least {least}")


def _from_fit(fit: Any, rng: np.random.Generator) -> tuple[Any, ...]:
    from bayesgmm.results import read_result

    fitted = read_result(fit)
    mixtures = fitted.point if fitted.draws is None else fitted.draws
    s = int(rng.integers(len(mixtures)))
    features = np.asarray(fitted.feature_names)
    return mixtures.weights[s], mixtures.means[s], mixtures.covariances[s], features, fitted.components


def _from_prior(model: GaussianMixture, rng: np.random.Generator, n_features: int | None) -> tuple[Any, ...]:
    filled = model if isinstance(model, FilledMixture) else _explicit(model, n_features)
    if filled.improper_parts():
        parts = " and ".join(filled.improper_parts())
        raise InputError(
            "model_or_fit", f"Flat() {parts} cannot be drawn", "Give a proper prior, or simulate from a fit"
        )
    K, d = filled.n_components, _n_features(filled, n_features)
    weights = filled.weights.draw(rng, 1, K)[0]
    covariances = filled.covariances.draw(rng, 1, K, d)
    means = filled.means.draw(rng, np.linalg.cholesky(covariances))[0]
    features = np.array([f"x{i}" for i in range(d)])
    components = np.arange(K) if filled.component_names is None else np.asarray(filled.component_names)
    return weights, means, covariances[0], features, components


def _explicit(model: GaussianMixture, n_features: int | None) -> FilledMixture:
    d = _n_features(model, n_features)
    filled, probe = (model.filled(np.full(d, shift), np.eye(d) * scale) for shift, scale in ((0.0, 1.0), (1.0, 2.0)))
    # Two different data sets would fill left-out numbers differently.
    if filled != probe:
        raise InputError(
            "model_or_fit",
            f"this declaration leaves numbers to the data:\n{model}\n",
            "Give every number, or simulate from a fit",
        )
    return filled


def _n_features(model: GaussianMixture, n_features: int | None) -> int:
    if n_features is not None:
        return n_features
    K = model.n_components
    for owner, name in ((model.means, "loc"), (model.means, "mu"), (model.means, "values"), (model.means, "sigma")):
        value = getattr(owner, name, None)
        if value is not None and np.ndim(value) > 0:
            # A vector of K fixed means belongs to one feature.
            return 1 if name == "values" and np.ndim(value) == 1 and np.size(value) == K else int(np.shape(value)[-1])
    raise InputError(
        "n_features", "the declaration's numbers do not tell how many columns there are", "Give n_features"
    )
