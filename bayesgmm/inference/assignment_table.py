"""How rows were assigned, as a table that is put beside the table they came from."""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_number
from bayesgmm._errors import InputError
from bayesgmm.data import Source
from bayesgmm.inference._new_rows import rows_for
from bayesgmm.inference.prediction import predict, source_of

if TYPE_CHECKING:
    import xarray as xr

_NEEDED = ("responsibilities", "responsibilities_lower", "responsibilities_upper", "label", "label_probability")


def assignments(fit: xr.DataTree | xr.Dataset, data: Any = None, *, certain: float = 0.95) -> Any:
    """How each row was assigned, as a table of the library that the rows came from.

    Parameters
    ----------
    fit : DataTree or Dataset
        From `fit`, or what `predict` returned.
    data : array-like, DataFrame, DataArray or Data, optional
        New rows, as for `predict`; those that were fitted (or predicted) if left out.
    certain : float
        A row is uncertain when the probability of its label is below this.

    Returns
    -------
    DataFrame
        Of polars or a pyarrow Table if the rows were one, and of pandas otherwise, or where that library is not
        there. One row for each row of the data, in their order and with their index:
        ``df.join(assignments(fit))`` (pandas) or ``pl.concat([df, assignments(fit)], how="horizontal")``
        (polars) puts both side by side. Columns:

        * ``label``: the name of the component with the largest responsibility at the point estimate;
        * ``probability``: the posterior mean of its responsibility, with ``lower`` and ``upper`` from the interval of
          ArviZ's ``rcParams`` (missing where there are no draws, or no intervals were predicted);
        * ``second_label``: the component with the largest responsibility among the others, missing if there is none;
        * ``entropy``: of the row's responsibilities, in nats, from 0 (no doubt) to log K (nothing is known);
        * ``uncertain``: whether the probability is below `certain`.

    Raises
    ------
    InputError
        If `data` does not match the fit, or the index had labels of a type that a result cannot hold.

    Warns
    -----
    UserWarning
        If labels of the index repeat, so that a join would pair each with each.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> faithful = bg.datasets.load_faithful()
    >>> fit = bg.fit(bg.GaussianMixture(2), faithful, random_seed=1)
    >>> joined = faithful.join(bg.assignments(fit))
    >>> joined[["eruptions", "label", "uncertain"]].head(2)
       eruptions  label  uncertain
    0        3.6      1      False
    1        1.8      0      False
    """
    import xarray as xr

    from bayesgmm.results import read_result, stored_source

    certain = as_number("certain", certain, above=0.0, most=1.0)
    if isinstance(fit, xr.Dataset):
        if not set(_NEEDED) <= set(fit.data_vars):
            raise InputError(
                "fit", "got a Dataset without labels and intervals", "Give a fit, or what predict returned"
            )
        if data is not None:
            raise InputError("data", f"got {type(data).__name__} beside what predict returned", "Give the fit and data")
        assigned, source = fit, stored_source(fit, fit[names.OBS].to_numpy())
    else:
        fitted = read_result(fit)
        if data is None:
            assigned, source = fit[names.ASSIGNMENTS].to_dataset(), source_of(fit)
            if "responsibilities" not in assigned:
                assigned = predict(fit)
        else:
            rows = rows_for(fit, fitted, data)
            assigned, source = predict(fit, rows), rows.source
    if source.lost:
        raise InputError(
            "fit",
            f"its rows had an index with labels of type {source.lost}, which a result cannot hold",
            "Give the table again: assignments(fit, table)",
        )
    return _table(_columns(assigned, certain), source, assigned[names.OBS].to_numpy())


def _columns(assigned: xr.Dataset, certain: float) -> dict[str, NDArray[Any]]:
    by_row = names.OBS, names.COMPONENT
    mean, lower, upper = (assigned[name].transpose(*by_row).to_numpy() for name in _NEEDED[:3])
    components = assigned[names.COMPONENT].to_numpy()
    label, probability = assigned["label"].to_numpy(), assigned["label_probability"].to_numpy()
    own = label[:, None] == components
    # Where there is no other component nothing is second.
    second = np.where(own, -1.0, mean).argmax(axis=1)
    masked = np.ma.masked_array(components[second], mask=np.full(label.size, components.size == 1))
    entropy = -np.where(mean > 0, mean * np.log(np.maximum(mean, np.finfo(float).tiny)), 0.0).sum(axis=1)
    return {
        "label": label,
        "probability": probability,
        "lower": np.ma.masked_invalid(lower[own]),
        "upper": np.ma.masked_invalid(upper[own]),
        "second_label": masked,
        "entropy": np.maximum(entropy, 0.0),
        "uncertain": probability < certain,
    }


def _table(columns: dict[str, NDArray[Any]], source: Source, obs: NDArray[Any]) -> Any:
    import narwhals as nw
    import pandas as pd

    library: Any = source.library if importlib.util.find_spec(source.library) is not None else "pandas"
    kinds = {"i": nw.Int64, "f": nw.Float64, "b": nw.Boolean}
    series = {}
    for name, values in columns.items():
        dtype = kinds.get(values.dtype.kind, nw.String)
        if library == "pandas" and dtype == nw.Int64 and np.ma.is_masked(values):
            dtype = nw.Float64  # its whole numbers are never missing
        series[name] = nw.new_series(name, np.ma.array(values).tolist(), dtype, backend=library)
    table = nw.from_dict(series, backend=library).to_native()
    if library == "pandas":
        table.index = pd.Index(obs) if source.index is None else source.index
        if not table.index.is_unique:
            warnings.warn(
                "Labels of rows repeat, so that join would pair each with each: put the tables side by side with "
                "pandas.concat([df, assignments], axis=1), or give the rows an index without repeats.",
                stacklevel=3,
            )
    return table
