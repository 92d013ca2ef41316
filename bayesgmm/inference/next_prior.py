"""A fit as the prior of the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm._status import Status
from bayesgmm.model import (
    ConjugateMeans,
    Diagonal,
    Dirichlet,
    FixedCovariances,
    FixedMeans,
    FixedWeights,
    Full,
    GaussianMixture,
    InverseWishart,
    NormalMeans,
    SparseDirichlet,
    Spherical,
    StickBreaking,
    Tied,
)
from bayesgmm.model._spec import freeze
from bayesgmm.model.flat import FlatMeans, FlatWeights
from bayesgmm.model.groups import WeightsByGroup

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

# Moments of fewer draws say next to nothing of a spread.
_FEWEST_DRAWS = 20


def as_prior(fit: xr.DataTree) -> GaussianMixture:
    """What a fit has learnt as the declaration of the next one: yesterday's posterior is today's prior.

    Weights become a `Dirichlet` with the same means and the same sum of variances, means of components `NormalMeans`
    with the same means and standard deviations, covariances `InverseWishart`, with numbers for each component: the mean
    of each precision matrix is that of the draws, and so is its spread about it. What was known, `FixedWeights`,
    `FixedMeans` and `FixedCovariances`, stays known, and covariances that are `Tied` stay so.

    Parameters
    ----------
    fit : DataTree
        From `fit` with draws (`VB`, `Laplace`, `NUTS` or `Gibbs`), or read back from its file.

    Returns
    -------
    GaussianMixture
        With the components in the order of the fit, and with its names. All of it is in the units of the data, so that
        further data must have the same features in the same order.

    Raises
    ------
    InputError
        If the fit has no draws (`EM`), fewer than 20, or draws of several modes.
    UnsupportedError
        If the number of components varies from draw to draw, or if weights, means or covariances hang together in a way
        that these priors would lose (`HardyWeinberg`, `PoissonWeights`, `EvenlySpacedMeans`, `SaturatingMeans`,
        `ConstantCV`, `LinearVariance`).

    Notes
    -----
    Moments by component are what is kept. Correlations of the posterior are lost, those between features of one mean
    and those between components among them; where components overlap the next fit knows less than one of all rows
    together. Rows must not be used twice: fit the next ones, not those that the prior has seen.

    Each component has a prior of its own, so that components are no longer exchangeable: they keep their numbers, draws
    are not relabelled, and evidence has no factor for permutations. `Gibbs` takes such covariances only where they are
    `Tied` or known; `VB`, `Laplace`, `NUTS` and `EM` take all.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> rows = bg.datasets.load_faithful()
    >>> first = bg.fit(bg.GaussianMixture(2), rows[:136], engine=bg.VB(), random_seed=1)
    >>> second = bg.fit(bg.as_prior(first), rows[136:], engine=bg.VB(), random_seed=1)
    >>> whole = bg.fit(bg.GaussianMixture(2), rows, engine=bg.VB(), random_seed=1)
    >>> at = [each["point_estimate"]["means"].sel(feature="waiting").to_numpy() for each in (second, whole)]
    >>> bool(abs(at[0] - at[1]).max() < 0.5)
    True
    """
    from bayesgmm.results import read_result

    fitted = read_result(fit)
    if names.ALL_DRAWS in fit.children:
        fixed = "Fit a fixed number of components, such as the most probable one."
        raise UnsupportedError("as_prior", "a number of components that varies from draw to draw", fixed)
    if fitted.draws is None:
        hint = "Fit by VB, Laplace, NUTS or Gibbs"
        raise InputError("fit", f"is by {fit.attrs[names.ENGINE]}, which has no draws to learn a spread from", hint)
    if len(fitted.draws) < _FEWEST_DRAWS:
        hint = f"Give a fit with at least {_FEWEST_DRAWS}"
        raise InputError("fit", f"has {len(fitted.draws)} draws, too few to learn a spread from", hint)
    if fit.attrs[names.STATUS] == Status.MULTIMODAL.name:
        hint = "Select the chains of one mode with fit.sel(chain=[...]), and see `diagnose`"
        raise InputError("fit", "has chains in different modes, which no such prior holds together", hint)
    model, draws = fitted.model, fitted.draws
    return GaussianMixture(
        model.n_components,
        weights=_weights(model.weights, draws.weights),
        means=_means(model.means, draws.means),
        covariances=_covariances(model.covariances, draws.covariances),
        component_names=model.component_names,
    )


def _weights(prior: Any, drawn: Array) -> Dirichlet | FixedWeights:
    """`drawn` is (S, K), or (S, G, K) for groups."""
    first = prior.groups[0] if isinstance(prior, WeightsByGroup) else prior
    if isinstance(first, FixedWeights):
        return FixedWeights(freeze(drawn[0]))
    if not isinstance(first, (Dirichlet, StickBreaking, SparseDirichlet, FlatWeights)):
        raise _lost(f"weights={first}", "a Dirichlet distribution has no such law. Give weights of your own")
    if drawn.shape[-1] == 1:
        return Dirichlet(1.0)
    means = drawn.mean(axis=0)
    # The sum of variances of a Dirichlet is sum m (1 - m) / (total + 1).
    total = (means * (1.0 - means)).sum(axis=-1) / drawn.var(axis=0).sum(axis=-1) - 1.0
    return Dirichlet(freeze(means * total[..., None]))


def _means(prior: Any, drawn: Array) -> NormalMeans | FixedMeans:
    if isinstance(prior, FixedMeans):
        return prior
    if not isinstance(prior, (ConjugateMeans, NormalMeans, FlatMeans)):
        raise _lost(f"means={prior}", "independent Normals have no such law. Give means of your own")
    return NormalMeans(freeze(drawn.mean(axis=0)), freeze(drawn.std(axis=0)))


def _covariances(structure: Any, drawn: Array) -> Any:
    if isinstance(structure, FixedCovariances):
        return structure
    if isinstance(structure, Tied):
        inner = _covariances(structure.structure, drawn[:, :1])
        prior = inner.prior
        return Tied(type(inner)(InverseWishart(prior.df[0], prior.scale[0])))
    if type(structure) not in (Full, Diagonal, Spherical):
        raise _lost(
            f"covariances={structure}", "inverse-Wishart covariances have no such law. Give covariances of your own"
        )
    if isinstance(structure, Full):
        matched = [_matched(drawn[:, k]) for k in range(drawn.shape[1])]
    else:
        m = 1 if isinstance(structure, Spherical) else drawn.shape[-1]
        variances = np.diagonal(drawn, axis1=-2, axis2=-1)[..., :m]
        matched = [_matched_variances(variances[:, k]) for k in range(drawn.shape[1])]
    df, scales = zip(*matched, strict=True)
    return type(structure)(InverseWishart(freeze(df), freeze(np.array(scales))))


def _matched(drawn: Array) -> tuple[float, Array]:
    """Degrees of freedom and scale of the inverse-Wishart whose precisions have the mean and spread of draws (S, d, d).

    Precisions have moments whatever the degrees of freedom; covariances have none where these are few. In units of its
    mean a Wishart matrix W has E |W - 1|^2 = d (d + 1) / df in the Frobenius norm.
    """
    d = drawn.shape[-1]
    precisions = np.linalg.inv(drawn)
    mean = precisions.mean(axis=0)
    factor = np.linalg.inv(np.linalg.cholesky(mean))
    away = np.square(factor @ precisions @ factor.T - np.eye(d)).sum(axis=(-2, -1)).mean()
    df = max(d * (d + 1) / away, float(d))
    scale = df * factor.T @ factor
    return df, 0.5 * (scale + scale.T)


def _matched_variances(drawn: Array) -> tuple[float, Array]:
    """The same for separate variances (S, m) with one number of degrees of freedom: the scales as a diagonal matrix."""
    precisions = 1.0 / drawn
    mean = precisions.mean(axis=0)
    df = 2.0 * len(mean) / (precisions.var(axis=0) / np.square(mean)).sum()
    return float(df), np.diag(df / mean)


def _lost(part: str, why: str) -> UnsupportedError:
    return UnsupportedError("as_prior", part, f"The components hang together there, and {why}.")
