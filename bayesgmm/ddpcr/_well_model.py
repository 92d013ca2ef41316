"""Declarations of one well, in one channel and in two, for any engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_instance, as_written
from bayesgmm._errors import InputError
from bayesgmm.data import Data, as_data
from bayesgmm.ddpcr._cross_talk import CrossTalkMeans
from bayesgmm.ddpcr._droplet_weights import DropletWeights
from bayesgmm.ddpcr._fit_pair import WEAK_GAP
from bayesgmm.ddpcr._fit_well import BIN, binned, clipped
from bayesgmm.ddpcr._pair_density import CLUSTERS, Droplets
from bayesgmm.ddpcr._plate import Plate
from bayesgmm.model import LKJ, Exponential, GaussianMixture, LogNormal, PoissonProductWeights

if TYPE_CHECKING:
    import xarray as xr

_RATE = Exponential(1.0)  # a copy per droplet; bounded, so that a mode exists where nothing is linked
_WIDTH_SD = 0.5  # of the logarithms of the clusters' sds


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
    _check(result, plate)
    model = _declared(result, plate, well, channel)
    return model, droplets(_amplitudes(plate, well, channel), model, channel)


def two_channel_model(
    result: xr.Dataset, plate: Plate, well: str, channels: tuple[str, str] | None = None
) -> tuple[GaussianMixture, Data]:
    """Four Gaussian clusters of a well in two channels, with cross-talk and competition, and its droplets.

    The plain model: `PoissonProductWeights` with linked molecules, `CrossTalkMeans`, and a covariance matrix of its own
    for each cluster. Skewed negatives, rain and outliers are left out; what `quantify` fits has them.

    Parameters
    ----------
    result : Dataset
        From `quantify`, which says where clusters are on this plate.
    plate : Plate
        The same plate.
    well : str
    channels : (str, str), optional
        Those of the result if there are two.

    Returns
    -------
    model : GaussianMixture
        Components ``--``, ``+-``, ``-+``, ``++``. A fit reports ``rate_a``, ``rate_b`` and ``rate_linked``.
    data : Data
        Both amplitudes in bins that are narrow against the negatives' spread, with counts.

    Raises
    ------
    InputError
        If the result does not have two such channels, or the well has no droplets.

    Examples
    --------
    ::

        model, data = ddpcr.two_channel_model(result, plate, "A01")
        fit = bayesgmm.fit(model, data)
        fit["posterior"]["rate_linked"]
    """
    _check(result, plate)
    there = [str(name) for name in result["channel"].to_numpy()]
    wanted = there if channels is None else channels
    pair = tuple(wanted) if isinstance(wanted, (list, tuple)) else (wanted,)
    if len(pair) != 2 or not set(map(str, pair)) <= set(there) or len(set(pair)) != 2:
        raise InputError("channels", f"got {as_written(channels)}", f"Give two of {', '.join(there)}")
    models: list[Any] = [_declared(result, plate, well, channel) for channel in pair]
    means, widths = [each.means for each in models], [each.covariances.log_positive_sd[0] for each in models]
    x = np.column_stack([_amplitudes(plate, well, channel) for channel in pair])
    spreads = np.exp([each.log_spread[0] for each in means])
    # Channels taken one by one are sure of a gap that cross-talk may have changed.
    gaps = [(each.log_gap[0], max(each.log_gap[1], WEAK_GAP)) for each in means]
    droplets = Droplets.binned(x, (spreads[0] * BIN, spreads[1] * BIN))
    model = GaussianMixture(
        4,
        weights=PoissonProductWeights(rates=(_RATE, _RATE), linked=_RATE),
        means=CrossTalkMeans(baseline=tuple(each.baseline for each in means), log_gap=tuple(gaps)),  # type: ignore[arg-type]
        covariances=LKJ(2.0, scale=LogNormal(tuple(np.mean([np.log(spreads), widths], axis=0).tolist()), _WIDTH_SD)),
        component_names=CLUSTERS,
    )
    columns = {name: droplets.centres[c][droplets.place[c]] for c, name in enumerate(pair)}
    return model, as_data(columns, counts=droplets.counts.astype(int))


def _check(result: Any, plate: Any) -> None:
    from bayesgmm.results import check_table

    check_table(result, "ddpcr.quantify", "result", needs=("channel", "copies_per_droplet"))
    as_instance("plate", plate, Plate, "Give what read_plate or simulate_plate returned")


def _declared(result: xr.Dataset, plate: Plate, well: str, channel: str) -> GaussianMixture:
    """What the plate says of a well in a channel."""
    _check(result, plate)
    at = f"model {channel}"
    if at not in result.attrs:
        known = ", ".join(str(name) for name in result["channel"].to_numpy())
        raise InputError("channel", f"got {as_written(channel)}", f"The result has {known}")
    return GaussianMixture.from_json(result.attrs.get(f"{at} of {plate[well].name}", result.attrs[at]))


def _amplitudes(plate: Plate, well: str, channel: str) -> NDArray[np.float64]:
    x = plate[well].channel(channel)
    if x.size < 2 or x.min() == x.max():
        raise InputError("well", f"{well} has no droplets with different amplitudes", "Choose another well")
    return x


def droplets(x: NDArray[np.float64], model: GaussianMixture, channel: str) -> Data:
    """Amplitudes of a well in the bins that it is fitted in."""
    means: Any = model.means
    log_spread = means.log_spread[0]
    centres, counts = binned(clipped(x, means)[0], float(np.exp(log_spread)) * BIN)
    return as_data({channel: centres}, counts=counts.astype(int))


def rates(fit: xr.DataTree) -> NDArray[np.float64]:
    """Copies per droplet in each draw (chain, draw) of a fit of a `well_model`."""
    from bayesgmm.results import check_result

    check_result(fit)
    model = GaussianMixture.from_json(fit.attrs["model"])
    if not isinstance(model.weights, DropletWeights):
        raise InputError("fit", f"has weights={model.weights}", "Give a fit of what well_model returns")
    if "posterior" not in fit:
        raise InputError("fit", "has no draws", "Use an engine with draws, such as NUTS or Laplace")
    weights = fit["posterior"]["weights"].transpose("chain", "draw", "component").to_numpy()
    return np.exp(model.weights.own(np.log(weights))[..., 0])
