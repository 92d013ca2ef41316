"""The declaration of one well, for any engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import InputError
from bayesgmm.data import Data, as_data
from bayesgmm.ddpcr._droplet_weights import DropletWeights
from bayesgmm.ddpcr._fit_well import BIN, binned, clipped
from bayesgmm.ddpcr._plate import Plate
from bayesgmm.model import GaussianMixture

if TYPE_CHECKING:
    import xarray as xr


def well_model(result: xr.Dataset, plate: Plate, well: str, channel: str) -> tuple[GaussianMixture, Data]:
    """The mixture that `quantify` fitted to a well, with what the plate says of it as priors, and its droplets.

    Parameters
    ----------
    result : Dataset
        From `quantify`.
    plate : Plate
        The same plate.
    well, channel : str

    Returns
    -------
    model : GaussianMixture
        Prints its priors; can be changed, simulated from and fitted with any engine that takes linked parts.
    data : Data
        Amplitudes in bins that are narrow against the negatives' spread, with counts.

    Examples
    --------
    The full posterior of a well by NUTS, for checking::

        model, data = ddpcr.well_model(result, plate, "A01", "Ch1")
        fit = bayesgmm.fit(model, data, engine=bayesgmm.NUTS())
        copies_per_droplet = ddpcr.rates(fit)
    """
    if f"model {channel}" not in result.attrs:
        known = ", ".join(str(name) for name in result["channel"].to_numpy())
        raise InputError("channel", f"got {channel!r}", f"The result has {known}")
    found = plate[well]
    x = found.channel(channel)
    if x.size < 2 or x.min() == x.max():
        raise InputError("well", f"{well} has no droplets with different amplitudes", "Choose another well")
    at = f"model {channel}"
    model = GaussianMixture.from_json(result.attrs.get(f"{at} of {found.name}", result.attrs[at]))
    return model, droplets(x, model, channel)


def droplets(x: NDArray[np.float64], model: GaussianMixture, channel: str) -> Data:
    """Amplitudes of a well in the bins that it is fitted in."""
    means: Any = model.means
    log_spread = means.log_spread[0]
    centres, counts = binned(clipped(x, means.baseline[0], log_spread)[0], float(np.exp(log_spread)) * BIN)
    return as_data({channel: centres}, counts=counts.astype(int))


def rates(fit: xr.DataTree) -> NDArray[np.float64]:
    """Copies per droplet in each draw (chain, draw) of a fit of a `well_model`."""
    model = GaussianMixture.from_json(fit.attrs["model"])
    if not isinstance(model.weights, DropletWeights):
        raise InputError("fit", f"has weights={model.weights}", "Give a fit of what well_model returns")
    if "posterior" not in fit:
        raise InputError("fit", "has no draws", "Use an engine with draws, such as NUTS or Laplace")
    weights = fit["posterior"]["weights"].transpose("chain", "draw", "component").to_numpy()
    return np.exp(model.weights.own(np.log(weights))[..., 0])
