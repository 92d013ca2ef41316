"""Which rows belong together, whatever the labels and however many components there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_choice, as_whole
from bayesgmm.data import rows_in_units
from bayesgmm.inference.prediction import need_draws
from bayesgmm.numerics.partitions import LOSSES, co_clustering
from bayesgmm.numerics.partitions import best_partition as least_loss
from bayesgmm.numerics.threads import n_processors

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

# Draws over which probabilities are averaged, evenly spaced, and numbers of responsibilities held at once.
_MOST_DRAWS = 1000
_NUMBERS_AT_ONCE = 8_000_000
# Partitions of more clusters than this many times the largest number of components are not looked at.
_MORE_CLUSTERS = 2


def coclustering(fit: xr.DataTree, *, max_rows: int = 2000) -> xr.Dataset:
    """Posterior probabilities that two rows belong to the same component.

    They do not depend on labels and average over numbers of components where those are unknown.

    Parameters
    ----------
    fit : DataTree
        With posterior draws.
    max_rows : int
        Where there are more rows, so many are taken, evenly spaced: the matrix has a number for each pair.

    Returns
    -------
    xarray.Dataset
        ``probability`` (obs, obs_bis). Attributes say over how many draws, and of how many rows there were.

    Raises
    ------
    InputError
        If the fit has no draws, or ``max_rows`` is not a whole number of at least 2.
    """
    import xarray as xr

    from bayesgmm.results import sealed

    together, rows, n_draws, _ = _together(fit, max_rows)
    labels = fit[names.OBSERVED][names.OBS].to_numpy()[rows]
    out = xr.Dataset(
        {"probability": (("obs", "obs_bis"), together)},
        {"obs": labels, "obs_bis": labels},
        attrs={"draws": n_draws, "rows_of_the_fit": fit[names.OBSERVED].sizes[names.OBS]},
    )
    return sealed(out, "coclustering")


def best_partition(fit: xr.DataTree, *, loss: str = "vi", max_rows: int = 2000) -> xr.Dataset:
    """The partition of the rows with the least expected loss.

    Parameters
    ----------
    fit : DataTree
        With posterior draws.
    loss : {"vi", "binder"}
        "vi", the variation of information (its lower bound; Wade & Ghahramani 2018); or "binder", the share of pairs
        that one partition has together and the other apart (Binder 1978), which tends to more, small clusters.
    max_rows : int
        As for `coclustering`.

    Returns
    -------
    xarray.Dataset
        ``label`` (obs), clusters numbered from the largest on; ``own_probability`` (obs), the mean probability of a row
        to belong with the others of its cluster (1 where it is alone); ``size`` (cluster). Attributes: the
        ``expected_loss``, ``loss``, ``n_clusters`` and ``draws``.

    Raises
    ------
    InputError
        If the fit has no draws, or an argument has a value that cannot be used.
    """
    import xarray as xr

    from bayesgmm.results import sealed

    as_choice("loss", loss, LOSSES)
    together, rows, n_draws, K = _together(fit, max_rows)
    labels, expected = least_loss(together, loss, max(_MORE_CLUSTERS * K, 2))
    sizes = np.bincount(labels)
    same = labels[:, None] == labels
    others = sizes[labels] - 1
    own = ((together * same).sum(axis=1) - 1.0) / np.maximum(others, 1)
    out = xr.Dataset(
        {
            "label": ("obs", labels),
            "own_probability": ("obs", np.where(others > 0, own, 1.0)),
            "size": ("cluster", sizes),
        },
        {"obs": fit[names.OBSERVED][names.OBS].to_numpy()[rows], "cluster": np.arange(sizes.size)},
        attrs={"expected_loss": expected, "loss": loss, "n_clusters": int(sizes.size), "draws": n_draws},
    )
    return sealed(out, "best_partition")


def _together(fit: xr.DataTree, max_rows: Any) -> tuple[Array, NDArray[np.intp], int, int]:
    """Probabilities, the rows that they are of, and the numbers of draws and of components."""
    from bayesgmm.results.read import all_mixtures, read_result, stored_data

    max_rows = as_whole("max_rows", max_rows, least=2)
    fitted = read_result(fit)
    need_draws(fitted, "fit")
    draws = all_mixtures(fit, fitted).thinned(_MOST_DRAWS)
    table = rows_in_units(stored_data(fit), fitted.center, fitted.scale, counted=False, labels=fitted.groups)
    n = table.n_rows
    rows = np.arange(n) if n <= max_rows else np.linspace(0, n - 1, max_rows).astype(np.intp)
    part = table if n <= max_rows else table.taken(rows)
    log_weights, means, factors = draws.standardised(fitted.center, fitted.scale)
    size = max(1, _NUMBERS_AT_ONCE // (rows.size * means.shape[1]))

    def chunks() -> Iterator[Array]:
        for begin in range(0, len(draws), size):
            some = slice(begin, begin + size)
            at = log_weights[some], means[some], factors[some]
            noise = draws.noise_factors[some]
            yield part.rowwise_of_many(*at, noise_factors=noise, n_threads=n_processors())[0]

    return co_clustering(chunks()), rows, len(draws), means.shape[1]
