"""How many components there are, by draws in which their number is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm.engines._modes import worst_r_hat

if TYPE_CHECKING:
    import xarray as xr

_FEWEST_PER_BATCH = 2


def component_posterior(fit: xr.DataTree) -> xr.Dataset:
    """Posterior of the number K of components and of the number K+ of those that hold rows.

    K counts Gaussians of the model, also those that happen to have no row among these; K+ counts what these rows show.
    Neither counts clusters where those are not Gaussian: both then grow with the number of rows (Cai, Campbell &
    Broderick 2021), so look at `coclustering` and `merge_components` as well.

    Parameters
    ----------
    fit : DataTree
        By `Gibbs` under a prior on the number of components or with `SparseDirichlet` weights; of any other fit with
        draws K is given and K+ is the number of components with at least half an expected row.

    Returns
    -------
    xarray.Dataset
        With dimension ``number``: ``probability`` of K and ``probability_occupied`` of K+, both with Monte-Carlo
        standard errors, ``_error`` (NaN of fewer than 8 draws a chain), and, where K has a prior,
        ``prior_probability``. Attributes hold the means, the modes, ``r_hat`` of K and K+ (NaN where a number is
        constant), and the ``non_permutation_rate`` of the labels.

    Raises
    ------
    InputError
        If the fit has no draws.
    """
    import xarray as xr

    from bayesgmm.results import check_result, sealed

    check_result(fit)
    group = names.ALL_DRAWS if names.ALL_DRAWS in fit.children else names.POSTERIOR
    if group not in fit.children:
        raise InputError("fit", "this fit has no posterior draws", "Fit with Gibbs, or another engine with draws")
    draws = fit[group].to_dataset()
    occupied = _numbers(draws, "n_occupied")
    given = fit[names.POINT].sizes[names.COMPONENT]
    number = _numbers(draws, "n_components") if group == names.ALL_DRAWS else np.full(occupied.shape, given)
    prior = draws["prior_probability"].to_numpy()[1:] if "prior_probability" in draws else None
    last = int(max(number.max(), occupied.max()))
    possible = np.arange(1, last + 1)
    variables: dict[str, Any] = {}
    attrs: dict[str, Any] = {}
    for suffix, values, name in (("", number, "n_components"), ("_occupied", occupied, "n_occupied")):
        hits = values[..., None] == possible
        variables[f"probability{suffix}"] = "number", hits.mean(axis=(0, 1))
        variables[f"probability{suffix}_error"] = "number", _errors(hits.astype(float))
        attrs[f"mean_{name}"] = float(values.mean())
        attrs[f"mode_{name}"] = int(possible[hits.mean(axis=(0, 1)).argmax()])
        attrs[f"r_hat_{name}"] = worst_r_hat(values[..., None].astype(float))
    if prior is not None:
        variables["prior_probability"] = "number", prior[:last] / prior.sum()
        attrs["prior_cut_off_at"] = prior.size
    attrs |= {key: value for key, value in draws.attrs.items() if key in ("non_permutation_rate", "modal_share")}
    return sealed(xr.Dataset(variables, {"number": possible}, attrs=attrs), "component_posterior")


def _numbers(draws: xr.Dataset, name: str) -> NDArray[np.int64]:
    return draws[name].transpose(names.CHAIN, names.DRAW).to_numpy().astype(np.int64)


def _errors(hits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard errors of the means of (chain, draw, number), by batches within chains and between chains."""
    chains, draws, size = hits.shape
    n = int(np.sqrt(draws))
    if n < _FEWEST_PER_BATCH + 1:
        return np.full(size, np.nan)
    length = draws // n
    batches = hits[:, : n * length].reshape(chains, n, length, size).mean(axis=2)
    within = batches.reshape(chains * n, size).std(axis=0, ddof=1) / np.sqrt(chains * n)
    if chains == 1:
        return within
    # Chains that have not mixed differ by more than their batches say.
    return np.maximum(within, hits.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(chains))
