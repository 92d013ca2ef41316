"""Simulated data, from a declaration's prior or from a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_seed, as_whole
from bayesgmm._errors import InputError
from bayesgmm._interrupts import Interrupts
from bayesgmm.data import Data, as_data, group_numbers
from bayesgmm.inference._new_rows import rows_for
from bayesgmm.model import FilledMixture, GaussianMixture
from bayesgmm.model.groups import in_groups

if TYPE_CHECKING:
    import xarray as xr

    from bayesgmm.results import FittedMixture


def simulate(
    model_or_fit: GaussianMixture | xr.DataTree,
    n_obs: int | None = None,
    *,
    like: Any = None,
    random_seed: int | np.random.Generator | None = None,
    n_features: int | None = None,
) -> xr.Dataset:
    """Simulate rows from a declaration (parameters drawn from its prior) or from a fit.

    Parameters
    ----------
    model_or_fit : GaussianMixture or DataTree
        A declaration in which every number is given, or a fit. From a fit with draws the parameters are one
        posterior draw, so that repeated calls spread like the posterior predictive; under `EM` they are the mode.
    n_obs : int, optional
        Number of rows; as many as ``like`` stands for if left out.
    like : array-like, DataFrame or Data, optional
        Data whose way of being observed is copied: its errors of measurement, its missing entries and its bins, row by
        row (over again where ``n_obs`` is larger). ``like=as_data(...)`` of the data that were fitted simulates the
        experiment again, with as many rows in each group. Where weights differ between groups it is needed.
    random_seed : int or numpy.random.Generator, optional
        A Generator gives one number as the seed and moves on.
    n_features : int, optional
        Needed for a declaration whose numbers do not tell how many columns there are.

    Returns
    -------
    xarray.Dataset
        ``x`` (obs, feature), ``label`` (obs), and the parameters they were made with. With ``like`` ``x`` is what would
        have been measured, NaN where ``like`` has no value, and ``x_true`` the values behind it; for bins ``x`` is the
        centre of the bin. With groups there is ``groups`` (obs) as well.

    Raises
    ------
    InputError
        If a part of the declaration is `Flat` or left to the data, neither ``n_obs`` nor ``like`` is given, or groups
        of ``like`` are not those of the fit.
    """
    with Interrupts():
        from bayesgmm.results import read_result
        from bayesgmm.results.build import dataset

    table, fitted = None, None
    if isinstance(model_or_fit, GaussianMixture):
        table = None if like is None else as_data(like)
    else:
        fitted = read_result(model_or_fit, "model_or_fit")
        table = None if like is None else rows_for(model_or_fit, fitted, like, "like")
    if n_obs is None:
        if table is None:
            raise InputError("n_obs", "got None", "Give the number of rows, or data to be imitated as `like`")
        n_obs = table.n_obs if table.counts is None else round(float(table.counts.sum()))
    n_obs = as_whole("n_obs", n_obs, least=1)
    if table is not None and n_features is None:
        n_features = table.n_features
    if n_features is not None:
        n_features = as_whole("n_features", n_features, least=1)
    rng = np.random.default_rng(as_seed(random_seed))
    labels_of_groups = None if table is None or table.groups is None else table.group_labels
    if isinstance(model_or_fit, GaussianMixture):
        n_groups = None if labels_of_groups is None else len(labels_of_groups)
        weights, means, covariances, features, components = _from_prior(model_or_fit, rng, n_features, n_groups)
        scale = 1.0
        if table is not None and table.noise_scale is not None:
            scale = float(table.noise_scale.draw(rng, (1,))[0])
    else:
        assert fitted is not None
        weights, means, covariances, features, components, scale, labels_of_groups = _from_fit(fitted, rng, table)
    if table is not None and table.n_features != means.shape[1]:
        raise InputError("like", f"has {table.n_features} columns", f"The model has {means.shape[1]}")
    groups = None
    if table is not None and labels_of_groups is not None:
        numbers = group_numbers(table, labels_of_groups)
        assert numbers is not None
        groups = numbers[imitated(table, n_obs)]
    labels = draw_labels(weights, n_obs, groups, rng)
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
    if groups is not None and labels_of_groups is not None:
        coords[names.GROUP] = labels_of_groups
        variables["groups"] = labels_of_groups[groups]
    if table is not None:
        variables |= {names.DATA: measured(x, table, scale, rng), "x_true": x}
        if table.noise is not None:
            variables["noise_scale"] = np.asarray(scale)
    return dataset(variables, coords)


def draw_labels(
    weights: NDArray[np.float64], n: int, groups: NDArray[np.intp] | None, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Components of n rows, from weights (K,), or (G, K) and the numbers of the groups of the rows."""
    if groups is None:
        return rng.choice(weights.size, size=n, p=weights / weights.sum())
    labels = np.empty(n, dtype=np.intp)
    for group, own in enumerate(weights):
        here = groups == group
        labels[here] = rng.choice(own.size, size=int(here.sum()), p=own / own.sum())
    return labels


def imitated(like: Data, n: int) -> NDArray[np.intp]:
    """Which row of `like` each of n rows imitates."""
    rows = np.arange(like.n_obs)
    if like.counts is not None:
        whole = np.floor(like.counts).astype(int)
        rows = np.repeat(rows, whole) if whole.any() else rows
    return np.resize(rows, n)


def measured(x: np.ndarray, like: Data, noise_scale: float, rng: np.random.Generator) -> np.ndarray:
    """What would be measured of true values (N, d) by the means that gave the rows of `like`, over and over."""
    rows = imitated(like, len(x))
    out = x.copy()
    if like.noise is not None:
        errors = rng.standard_normal(x.shape)
        if like.noise.ndim == 2:
            errors *= like.noise[rows]
        else:
            values, vectors = np.linalg.eigh(like.noise[rows])
            errors = ((vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ errors[..., None])[..., 0]
        out += noise_scale * errors
    if like.bins is not None:
        of_bins = np.zeros(like.n_obs) if like.groups is None else like.groups
        for group in np.unique(of_bins):
            bins, here = np.flatnonzero(of_bins == group), of_bins[rows] == group
            (low, high), own = like.bins[bins].T, out[here]
            which = np.minimum(np.searchsorted(high, own[:, 0]), len(high) - 1)
            outside = (own[:, 0] < low[which]) | (own[:, 0] > high[which])
            out[here] = np.where(outside[:, None], np.nan, like.values[bins[which]])
        return out
    out[np.isnan(like.values[rows])] = np.nan
    return out


def _from_fit(fitted: FittedMixture, rng: np.random.Generator, like: Data | None) -> tuple[Any, ...]:
    if fitted.groups is not None and like is None:
        raise InputError(
            "like",
            "got None, and weights differ between groups",
            "Give rows with groups, as_data(rows, groups=...)",
        )
    mixtures = fitted.point if fitted.draws is None else fitted.draws
    s = int(rng.integers(len(mixtures)))
    features = np.asarray(fitted.feature_names)
    at = mixtures.weights[s], mixtures.means[s], mixtures.covariances[s]
    return *at, features, fitted.components, float(mixtures.noise_scale[s]), fitted.groups


def _from_prior(
    model: GaussianMixture, rng: np.random.Generator, n_features: int | None, n_groups: int | None
) -> tuple[Any, ...]:
    if not isinstance(model.n_components, int):
        raise InputError("model_or_fit", f"has n_components={model.n_components}", "Give a number of components")
    if isinstance(model, FilledMixture):
        filled = model._replace(weights=in_groups(model.weights, n_groups))
    else:
        filled = _explicit(model, n_features, n_groups)
    if filled.improper_parts():
        parts = " and ".join(filled.improper_parts())
        raise InputError(
            "model_or_fit", f"Flat() {parts} cannot be drawn", "Give a proper prior, or simulate from a fit"
        )
    K, d = filled.n_components, _n_features(filled, n_features)
    weights, means, covariances = (each[0] for each in filled.draw(rng, 1, d))
    features = np.array([f"x{i}" for i in range(d)])
    components = np.arange(K) if filled.component_names is None else np.asarray(filled.component_names)
    return weights, means, covariances, features, components


def _explicit(model: GaussianMixture, n_features: int | None, n_groups: int | None) -> FilledMixture:
    d = _n_features(model, n_features)
    filled, probe = (
        model.filled(np.full(d, shift), np.eye(d) * scale, n_groups) for shift, scale in ((0.0, 1.0), (1.0, 2.0))
    )
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
