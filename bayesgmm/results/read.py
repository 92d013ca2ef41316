"""From a DataTree, fresh or read back from a file, to the arrays that predictions need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm.model import FilledMixture, GaussianMixture
from bayesgmm.numerics.linalg import inverse_lower

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Mixtures:
    """One mixture a row: weights (S, K), means (S, K, d), covariances (S, K, d, d)."""

    weights: Array
    means: Array
    covariances: Array

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
        return Mixtures(weights=self.weights[chosen], means=self.means[chosen], covariances=self.covariances[chosen])


@dataclass(frozen=True, kw_only=True)
class FittedMixture:
    """What a stored fit says, as arrays.

    `predictive` holds (degrees of freedom, loc, scale) where the posterior predictive density has a closed form of
    the named family; `draws` is None for engines without draws.
    """

    model: FilledMixture
    center: Array
    scale: Array
    feature_names: tuple[str, ...]
    components: NDArray[Any]
    point: Mixtures
    draws: Mixtures | None
    n_chains: int
    predictive_family: str
    predictive_weights: Array | None
    predictive: tuple[Array, Array, Array] | None


def check_result(fit: object) -> None:
    """Raise unless `fit` looks like a result of `bayesgmm.fit`."""
    import xarray as xr

    if not isinstance(fit, xr.DataTree) or names.POINT not in fit.children or names.MODEL not in fit.attrs:
        raise InputError(
            "fit",
            f"got {type(fit).__name__}",
            "Give what bayesgmm.fit returned, or the DataTree read back from its file with xarray.open_datatree",
        )


def read_result(fit: xr.DataTree) -> FittedMixture:
    """Read a fit."""
    check_result(fit)
    model = GaussianMixture.from_json(fit.attrs[names.MODEL])
    assert isinstance(model, FilledMixture)
    point = fit[names.POINT].to_dataset()
    draws, n_chains = None, 0
    if names.POSTERIOR in fit.children:
        posterior = fit[names.POSTERIOR].to_dataset()
        n_chains = posterior.sizes[names.CHAIN]
        draws = _mixtures(posterior, (names.CHAIN, names.DRAW))
    predictive, weights = None, None
    if names.VARIATIONAL in fit.children:
        q = fit[names.VARIATIONAL].to_dataset()
        predictive = tuple(q[f"predictive_{name}"].to_numpy() for name in ("df", "loc", "scale"))
        weights = q["weights_mean"].to_numpy()
    constant = fit[names.CONSTANT].to_dataset()
    return FittedMixture(
        model=model,
        center=constant["data_mean"].to_numpy(),
        scale=constant["data_sd"].to_numpy(),
        feature_names=tuple(str(name) for name in point[names.FEATURE].to_numpy()),
        components=point[names.COMPONENT].to_numpy(),
        point=_mixtures(point, ()),
        draws=draws,
        n_chains=n_chains,
        predictive_family=fit.attrs[names.PREDICTIVE_FAMILY],
        predictive_weights=weights,
        predictive=predictive,  # type: ignore[arg-type]
    )


def _mixtures(group: xr.Dataset, leading: tuple[str, ...]) -> Mixtures:
    arrays = {}
    for name in ("weights", "means", "covariances"):
        # A file may come back with its dimensions in another order.
        value = group[name].transpose(*leading, *names.DIMS[name]).to_numpy()
        arrays[name] = value.reshape(-1, *value.shape[len(leading) :])
    return Mixtures(**arrays)
