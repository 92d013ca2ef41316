"""Tables of a fit: one row a component, and how many components are occupied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_number
from bayesgmm.inference.prediction import interval, interval_convention

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def summary(fit: xr.DataTree, *, certain: float = 0.95) -> pd.DataFrame:
    """One row a component: weight, means and standard deviations, members, and how many of them are uncertain.

    Parameters
    ----------
    fit : DataTree
    certain : float
        A row of data is uncertain when the responsibility of the component that its label names is below this.

    Returns
    -------
    pandas.DataFrame
        Columns ``weight`` (or ``weight[group]`` for each group with weights of its own), ``mean[feature]``,
        ``sd[feature]`` (posterior means, or the mode under `EM`), each followed by ``_lower`` and ``_upper`` where
        there are draws (under `EM` there are none; see `standard_errors`); ``members``, the rows labelled with the
        component; ``uncertain``, how many of them are uncertain; ``note``, what is to be known of the component, as a
        rule nothing. ``attrs["interval"]`` says which interval, ``attrs["fewer_groups"]`` and ``attrs["caveat"]``,
        where they are there, what is to be known of the fit. Printed, it has a column for each component, with the
        intervals beside the numbers.
    """
    import pandas as pd

    from bayesgmm.inference._summary_table import SummaryTable
    from bayesgmm.results import check_result

    check_result(fit)
    certain = as_number("certain", certain, above=0.0, most=1.0)
    point = fit[names.POINT].to_dataset()
    posterior = fit[names.POSTERIOR].to_dataset() if names.POSTERIOR in fit.children else None
    features = point[names.FEATURE].to_numpy()
    columns: dict[str, np.ndarray] = {}
    kind, probability = interval_convention() if posterior is not None else ("", 0.0)

    def add(column: str, variable: str, chosen: dict[str, int]) -> None:
        if posterior is None:
            columns[column] = point[variable].isel(chosen).to_numpy()
            return
        draws = posterior[variable].isel(chosen).transpose(names.CHAIN, names.DRAW, names.COMPONENT).to_numpy()
        draws = draws.reshape(-1, draws.shape[-1])
        low, high = interval(draws, kind, probability)
        columns[column], columns[f"{column}_lower"], columns[f"{column}_upper"] = draws.mean(axis=0), low, high

    if names.GROUP in point.dims:
        for g, group in enumerate(point[names.GROUP].to_numpy()):
            add(f"weight[{group}]", "weights", {names.GROUP: g})
    else:
        add("weight", "weights", {})
    for column, variable in (("mean", "means"), ("sd", "sds")):
        for j, feature in enumerate(features):
            add(f"{column}[{feature}]", variable, {names.FEATURE: j})
    assigned = fit[names.ASSIGNMENTS].to_dataset()
    components = point[names.COMPONENT].to_numpy()
    own = assigned["label_probability"].to_numpy()
    member = assigned["label"].to_numpy()[:, None] == components
    units = units_of(fit)[:, None]
    columns["members"] = (member * units).sum(axis=0)
    columns["uncertain"] = ((member & (own < certain)[:, None]) * units).sum(axis=0)
    columns["note"] = _notes(fit, columns["members"])
    frame = SummaryTable(columns, index=pd.Index(components, name=names.COMPONENT))
    for name in (names.FEWER_GROUPS, names.CAVEAT):
        if name in fit.attrs:
            frame.attrs[name] = fit.attrs[name]
    frame.attrs["interval"] = f"{probability:.0%} {kind}" if posterior is not None else "none: EM has no draws"
    frame.attrs["uncertain"] = f"responsibility of the own component below {certain:g}"
    return frame


def _notes(fit: xr.DataTree, members: NDArray[Any]) -> NDArray[np.str_]:
    """What is to be known of each component, in a few words; empty where there is nothing."""
    from bayesgmm.results.read import fitted_mixture

    model, d = fitted_mixture(fit).model, fit[names.POINT].sizes[names.FEATURE]
    needed = model.rows_needed(d)
    doubt = "intervals may be too narrow" if names.CAVEAT in fit.attrs else ""
    so_many = f"fewer than {needed} rows" if needed > 1 else "no row"
    few = [f"holds {so_many}: rests on the prior" if n < needed else "" for n in members]
    return np.array(["; ".join(filter(None, (each, doubt))) for each in few])


def label_rows(fit: xr.DataTree) -> NDArray[Any]:
    """Units (K,) labelled with each component."""
    assigned = fit[names.ASSIGNMENTS].to_dataset()
    member = assigned["label"].to_numpy()[:, None] == assigned[names.COMPONENT].to_numpy()
    return (member * units_of(fit)[:, None]).sum(axis=0)


def units_of(fit: xr.DataTree) -> NDArray[Any]:
    """How many units each row of a fit stands for, (N,): whole numbers where they are."""
    constant = fit[names.CONSTANT].to_dataset()
    if "counts" not in constant:
        return np.ones(fit[names.OBSERVED].sizes[names.OBS], dtype=int)
    counts = constant["counts"].to_numpy()
    return counts.astype(int) if (counts == np.round(counts)).all() else counts


def occupied_components(fit: xr.DataTree) -> xr.Dataset:
    """Posterior of the number of occupied components.

    A component is occupied in a draw when at least half a row is expected in it. Under a sparse prior (Dirichlet with a
    small concentration, stick-breaking) this screens for the number of components (Malsiner-Walli et al. 2016); it
    is no posterior of K, and it grows with the number of rows where components are not exactly Gaussian.

    Returns
    -------
    xarray.Dataset
        ``probability`` (n_occupied): share of draws; under `EM` all of it on one number. ``rows`` (component):
        expected rows of each component at the point estimate.
    """
    import xarray as xr

    from bayesgmm.results import check_result
    from bayesgmm.results.build import OCCUPIED

    check_result(fit)
    rows = fit[names.ASSIGNMENTS]["expected_rows"]
    K = rows.sizes[names.COMPONENT]
    if names.POSTERIOR in fit.children:
        numbers = fit[names.POSTERIOR]["n_occupied"].to_numpy().ravel()
    else:
        numbers = np.array([int((rows.to_numpy() >= OCCUPIED).sum())])
    possible = np.arange(1, K + 1)
    probability = (numbers[:, None] == possible).mean(axis=0)
    return xr.Dataset(
        {"probability": ("n_occupied", probability), "rows": rows},
        coords={"n_occupied": possible},
        attrs={"meaning": f"components with at least {OCCUPIED:g} expected rows; a screen, not a posterior of K"},
    )
