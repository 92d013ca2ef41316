"""From a DataTree, fresh or read back from a file, to the arrays that predictions need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm.data import Data, Source, group_numbers
from bayesgmm.data._labels import label_array
from bayesgmm.model import FilledMixture
from bayesgmm.model.scale_priors import ScalePrior
from bayesgmm.numerics.linalg import inverse_lower
from bayesgmm.results.check import check_result

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Mixtures:
    """One mixture a row: weights (S, K), means (S, K, d), covariances (S, K, d, d) and factors of errors (S,).

    Weights are (S, G, K) where they differ between groups.
    """

    weights: Array
    means: Array
    covariances: Array
    noise_scale: Array

    @property
    def noise_factors(self) -> Array:
        """Factors (S,) of all error covariances."""
        return np.square(self.noise_scale)

    def __len__(self) -> int:
        return len(self.weights)

    def standardised(self, center: Array, scale: Array) -> tuple[Array, Array, Array]:
        """Log weights, means and lower triangular A with A' A the precisions, in units z = (x - center) / scale."""
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)
        covariances = self.covariances / scale[:, None] / scale
        return log_weights, (self.means - center) / scale, inverse_lower(np.linalg.cholesky(covariances))

    def thinned(self, most: int) -> Mixtures:
        """At most so many of them, evenly spaced."""
        if len(self) <= most:
            return self
        chosen = np.linspace(0, len(self) - 1, most).astype(int)
        return Mixtures(**{name: value[chosen] for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class FittedMixture:
    """What a stored fit says, as arrays.

    `groups` holds the labels of groups with weights of their own and `group_units` how many units each of them has, if
    there are some. `predictive` holds (degrees of freedom, loc, scale) where the posterior predictive density has a
    closed form of the named family; `draws` is None for engines without draws.
    """

    model: FilledMixture
    center: Array
    scale: Array
    feature_names: tuple[str, ...]
    components: NDArray[Any]
    groups: NDArray[Any] | None
    group_units: Array | None
    point: Mixtures
    draws: Mixtures | None
    n_chains: int
    predictive_family: str
    predictive_weights: Array | None
    predictive: tuple[Array, Array, Array] | None

    def pooled(self, mixtures: Mixtures) -> Mixtures:
        """The mixtures of all rows together: weights (S, K) are averages over groups by their numbers of units."""
        if self.group_units is None:
            return mixtures
        return replace(
            mixtures, weights=np.einsum("g,sgk->sk", self.group_units / self.group_units.sum(), mixtures.weights)
        )


def read_result(fit: xr.DataTree, argument: str = "fit") -> FittedMixture:
    """What a fit that a user gave says as arrays, once it has been checked (see `check_result`)."""
    check_result(fit, argument)
    return fitted_mixture(fit)


def fitted_mixture(fit: xr.DataTree) -> FittedMixture:
    """What a fit says as arrays, where it was checked before or is still being made."""
    model = FilledMixture.from_json(fit.attrs[names.MODEL])
    point = fit[names.POINT].to_dataset()
    draws, n_chains = None, 0
    if names.POSTERIOR in fit.children:
        posterior = fit[names.POSTERIOR].to_dataset()
        n_chains = posterior.sizes[names.CHAIN]
        draws = mixtures_in(posterior, (names.CHAIN, names.DRAW))
    predictive, weights = None, None
    if names.VARIATIONAL in fit.children:
        q = fit[names.VARIATIONAL].to_dataset()
        predictive = tuple(_in_order(q, f"predictive_{name}") for name in ("df", "loc", "scale"))
        weights = q["weights_mean"].transpose(..., names.COMPONENT).to_numpy()
    constant = fit[names.CONSTANT].to_dataset()
    groups, group_units = None, None
    if names.GROUP in point.dims:
        groups = label_array(point[names.GROUP].to_numpy())
        table = stored_data(fit)
        group_units = np.bincount(group_numbers(table, groups), table.counts, groups.size)  # type: ignore[arg-type]
    return FittedMixture(
        model=model,
        center=constant["data_mean"].to_numpy(),
        scale=constant["data_sd"].to_numpy(),
        feature_names=tuple(str(name) for name in point[names.FEATURE].to_numpy()),
        components=point[names.COMPONENT].to_numpy(),
        groups=groups,
        group_units=group_units,
        point=mixtures_in(point, ()),
        draws=draws,
        n_chains=n_chains,
        predictive_family=fit.attrs[names.PREDICTIVE_FAMILY],
        predictive_weights=weights,
        predictive=predictive,  # type: ignore[arg-type]
    )


def all_mixtures(fit: xr.DataTree, fitted: FittedMixture) -> Mixtures:
    """Posterior draws of every number of components: those that are not there have weight 0.

    Where the number of components is known these are the draws of the fit.
    """
    if names.ALL_DRAWS not in fit.children:
        assert fitted.draws is not None
        return fitted.draws
    draws = fit[names.ALL_DRAWS].to_dataset()
    """The mixtures of a group along its leading dimensions, whatever the order of its dimensions."""
    arrays = {}
    for name in ("weights", "means", "covariances"):
        value = draws[name].transpose(names.CHAIN, names.DRAW, *names.BY_SLOT[name]).to_numpy()
        arrays[name] = value.reshape(-1, *value.shape[2:])
    missing = ~(arrays["weights"] > 0)
    arrays["means"] = np.where(missing[..., None], fitted.center, arrays["means"])
    unit = np.diag(np.square(fitted.scale))
    arrays["covariances"] = np.where(missing[..., None, None], unit, arrays["covariances"])
    return Mixtures(**arrays, noise_scale=np.ones(len(missing)))


def stored_data(fit: xr.DataTree) -> Data:
    """The fitted rows with all that was known about how they were observed, as `fit` got them."""
    observed = fit[names.OBSERVED].to_dataset()[names.DATA].transpose(names.OBS, names.FEATURE)
    constant = fit[names.CONSTANT].to_dataset()

    def stored(*variables: str) -> xr.DataArray | None:
        # A file may come back with its dimensions in another order.
        return next((constant[name].transpose(*names.DIMS[name]) for name in variables if name in constant), None)

    noise = stored("noise_sd", "noise_covariance")
    scale = None if noise is None else noise.attrs.get(names.NOISE_SCALE)

    def array(variable: xr.DataArray | None) -> NDArray[Any] | None:
        return None if variable is None else variable.to_numpy()

    return Data(
        values=observed.to_numpy(),
        feature_names=tuple(str(name) for name in observed[names.FEATURE].to_numpy()),
        obs_names=observed[names.OBS].to_numpy(),
        noise_scale=None if scale is None else ScalePrior.from_json(scale),
        counts=array(stored("counts")),
        noise=array(noise),
        bins=array(stored("bins")),
        groups=array(stored("groups")),
        known_labels=array(stored("known_labels")),
    )


def stored_source(rows: xr.Dataset, obs: NDArray[Any]) -> Source:
    """The table that the rows of a dataset came from; pandas without an index where it does not say."""
    if names.SOURCE not in rows.attrs:
        return Source()
    variables = {str(name): rows[name].to_numpy() for name in rows.variables if str(name).startswith(names.INDEX_LEVEL)}
    return Source.restored(variables, rows.attrs[names.SOURCE], obs)


def _in_order(group: xr.Dataset, name: str) -> Array:
    """An array with its dimensions in the order of the schema; a file may come back with another one."""
    return group[name].transpose(*names.DIMS[name]).to_numpy()


def dims_in(group: xr.Dataset, name: str) -> tuple[str, ...]:
    """Dimensions of a variable of a fit, in the order of the schema, without those of draws."""
    return names.dims_of(name, grouped=names.GROUP in group.dims)


def mixtures_in(group: xr.Dataset, leading: tuple[str, ...]) -> Mixtures:
    """The mixtures of a group along its leading dimensions, whatever the order of its dimensions."""
    arrays = {}
    for name in ("weights", "means", "covariances"):
        # A file may come back with its dimensions in another order.
        value = group[name].transpose(*leading, *dims_in(group, name)).to_numpy()
        arrays[name] = value.reshape(-1, *value.shape[len(leading) :])
    scale = np.ones(len(arrays["weights"]))
    if "noise_scale" in group:
        scale = group["noise_scale"].transpose(*leading).to_numpy().reshape(-1)
    return Mixtures(**arrays, noise_scale=scale)
