"""A fit in the form that all of ArviZ's checks can read."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm import _schema as names
from bayesgmm._arguments import as_choice
from bayesgmm.inference.likelihood import add_log_likelihood
from bayesgmm.inference.posterior_predictive import add_posterior_predictive
from bayesgmm.inference.prior_groups import add_log_prior, add_prior

if TYPE_CHECKING:
    import xarray as xr

# ArviZ joins tables along dimensions that it calls "component" and "group".
_RENAMED = {names.COMPONENT: "k", names.GROUP: "row_group"}
_PAIR = "pair"
# What the others say already, and what is no parameter.
_LEFT_OUT = ("covariances", "n_occupied")


def to_arviz(
    fit: xr.DataTree, *, feature: str | None = None, random_seed: int | np.random.Generator | None = None
) -> xr.DataTree:
    """Write a fit in the form that all of ArviZ's checks can read, with everything that they ask for.

    `fit` itself is in ArviZ's schema: ``az.summary``, ``az.plot_trace`` and their like take it as it is. Some checks
    ask for more groups than a fit has, know no observations of several features, or call dimensions of their own
    ``component`` or ``group``: ``az.plot_ppc_pit``, ``az.plot_loo_pit``, ``az.psense_summary`` and
    ``az.plot_prior_posterior``.

    Parameters
    ----------
    fit : DataTree
        With posterior draws, under proper priors.
    feature : str, optional
        The feature that predictive checks look at; may be left out where there is one.
    random_seed : int or numpy.random.Generator, optional
        For the draws from the prior and the simulated data.

    Returns
    -------
    DataTree
        ``posterior`` and ``prior`` with weights, means, sds, correlations of different features (along ``pair``) and
        further parameters, without those that do not vary; components are along ``k`` and groups of rows along
        ``row_group``. ``observed_data``, ``posterior_predictive`` and ``log_likelihood`` hold ``x`` for each unit in
        which the feature was observed, the likelihood being that of the whole row; where other rows were fitted their
        log-likelihoods stand in ``log_likelihood/rest``. ``log_prior`` is that of `add_log_prior`.

    Raises
    ------
    InputError
        If the fit has no draws, there is no such feature, or copies under all draws would be more than 50 million
        numbers; then select some draws, ``fit.isel(draw=slice(0, None, 10))``.
    UnsupportedError
        As for `add_log_prior`.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> fit = bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), engine=bg.Laplace(), random_seed=1)
    >>> sorted(bg.to_arviz(fit, feature="waiting", random_seed=1).children)
    ['log_likelihood', 'log_prior', 'observed_data', 'posterior', 'posterior_predictive', 'prior']
    """
    import xarray as xr

    from bayesgmm.results import read_result, stored_data

    features = list(read_result(fit).feature_names)
    if feature is None and len(features) == 1:
        feature = features[0]
    feature = as_choice("feature", feature, features)
    both = add_log_likelihood(add_prior(add_log_prior(fit), random_seed=random_seed))
    both = add_posterior_predictive(both, random_seed=random_seed)
    table = stored_data(fit)
    column = table.values[:, features.index(feature)]
    # The units in the order of `add_log_likelihood`, which leaves out rows of which nothing was observed.
    rows = np.flatnonzero(np.isfinite(table.values).any(axis=1))
    if table.counts is not None:
        rows = np.repeat(rows, table.counts[rows].astype(int))
    there = np.isfinite(column[rows])
    likelihood = both[names.LOG_LIKELIHOOD][names.DATA]
    posterior = _parameters(both[names.POSTERIOR].to_dataset())
    varying = [name for name, value in posterior.data_vars.items() if _varies(value)]
    groups: dict[str, Any] = {
        names.POSTERIOR: posterior[varying],
        names.PRIOR: _parameters(both[names.PRIOR].to_dataset())[varying],
        names.LOG_PRIOR: both[names.LOG_PRIOR].to_dataset(),
        names.LOG_LIKELIHOOD: xr.Dataset({names.DATA: likelihood.isel(obs=np.flatnonzero(there))}),
    }
    if not there.all():
        rest = likelihood.isel(obs=np.flatnonzero(~there)).rename({names.OBS: "obs_rest"})
        groups[names.LOG_LIKELIHOOD]["rest"] = rest
    at = {names.OBS: rows[there], names.FEATURE: features.index(feature)}
    for name in (names.OBSERVED, names.POSTERIOR_PREDICTIVE):
        x = both[name][names.DATA].isel(at).drop_vars(names.FEATURE)
        groups[name] = xr.Dataset({names.DATA: x})
    return xr.DataTree.from_dict({f"/{name}": group for name, group in groups.items()})


def _parameters(group: xr.Dataset) -> xr.Dataset:
    """Parameters, each once, along dimensions of other names."""
    pairs = list(combinations(range(group.sizes[names.FEATURE]), 2))
    correlations = group["correlations"].transpose(names.CHAIN, names.DRAW, *names.DIMS["correlations"])
    table = group.drop_vars(
        [name for name in (*_LEFT_OUT, "correlations", names.FEATURE_BIS) if name in group.variables]
    )
    if pairs:
        labels = group[names.FEATURE].to_numpy()
        values = np.stack([correlations.to_numpy()[..., i, j] for i, j in pairs], axis=-1)
        table["correlations"] = (*correlations.dims[:3], _PAIR), values
        table = table.assign_coords({_PAIR: [f"{labels[i]}, {labels[j]}" for i, j in pairs]})
    return table.rename({old: new for old, new in _RENAMED.items() if old in table.dims})


def _varies(value: xr.DataArray) -> bool:
    drawn = value.transpose(names.CHAIN, names.DRAW, ...).to_numpy()
    return bool((drawn != drawn[:1, :1]).any())
