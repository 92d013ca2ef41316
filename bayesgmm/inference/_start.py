"""Where a fit begins, in the forms that users have: an earlier fit, labels, responsibilities or parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm._words import counted, listed
from bayesgmm.data import Data, RowsBeside, describe_columns, read_matrix, read_numbers
from bayesgmm.engines._search import from_shares
from bayesgmm.engines.base import Array, Parameters, Problem
from bayesgmm.numerics.linalg import covariance_fault, symmetrised

if TYPE_CHECKING:
    import xarray as xr

_PARTS = ("weights", "means", "covariances")
_FORMS = (
    "Give an earlier fit, a label (number of the component) for each row, responsibilities (n_obs, K), or a dict of "
    "weights (K,), means (K, d) and covariances (K, d, d)"
)
# What responsibilities and weights may be short of 1.
_ROUNDING = 1e-6


def read_start(start: Any, problem: Problem, data: Any, table: Data) -> Parameters:
    """The point in standard units at which a search is to begin.

    Parameters
    ----------
    start : DataTree, array_like or mapping
    problem : Problem
    data : any
        What the user gave as data, whose labels of rows those of `start` are compared with.
    table : Data
        The same, read.

    Raises
    ------
    InputError
        If it is of none of these forms, or of another number of components, rows or features.
    UnsupportedError
        If the number of components is not known, or rows are bins, and labels are given.
    """
    if problem.number is not None:
        what = f"start= with n_components={problem.number}"
        raise UnsupportedError("fit", what, "Give a number of components, or leave start out.")
    if hasattr(start, "children") or hasattr(start, "data_vars"):
        at = _of_fit(start, problem, table)
    elif isinstance(start, Mapping) and set(map(str, start)) & set(_PARTS):
        at = _of_parameters(start, problem)
    else:
        return from_shares(problem, _shares(start, problem, data, table))
    if problem.model.means.ordered:
        at = at.reordered(np.argsort(at.means[:, 0], kind="stable"))
    return at


def _of_fit(start: xr.DataTree, problem: Problem, table: Data) -> Parameters:
    from bayesgmm.results import read_result

    fitted = read_result(start, "start")
    names, wanted = list(fitted.feature_names), list(table.feature_names)
    if sorted(names) != sorted(wanted):
        raise InputError(
            "start", f"was fitted to {describe_columns(names)}", f"The data have {describe_columns(wanted)}"
        )
    order = [names.index(name) for name in wanted]
    point = fitted.pooled(fitted.point)
    covariances = point.covariances[0][:, order][:, :, order]
    return _standard(problem, point.weights[0], point.means[0][:, order], covariances)


def _of_parameters(start: Mapping[Any, Any], problem: Problem) -> Parameters:
    K, d = problem.K, problem.n_features
    shapes = {"weights": (K,), "means": (K, d), "covariances": (K, d, d)}
    found = {}
    for name, shape in shapes.items():
        if name not in start:
            raise InputError("start", f"has no {name!r}", _FORMS)
        try:
            value = np.asarray(start[name], dtype=float)
        except (TypeError, ValueError):
            value = np.empty(0)
        if value.shape != shape or not np.isfinite(value).all():
            has = f"has the shape {value.shape}" if value.shape != shape else "has numbers that are not finite"
            raise InputError(f"start[{name!r}]", has, f"Give {name} of the shape {shape}")
        found[name] = value
    weights = found["weights"]
    if (weights < 0).any() or abs(weights.sum() - 1.0) > _ROUNDING:
        raise InputError("start['weights']", f"got {as_written(weights.tolist())}", "Give weights that add up to 1")
    if (fault := covariance_fault(found["covariances"])) is not None:
        what = f"entry {fault.entry} {fault.problem}" if fault.entry else fault.problem
        raise InputError("start['covariances']", what, "Give symmetric, positive definite matrices")
    return _standard(problem, weights, found["means"], symmetrised(found["covariances"]))


def _standard(problem: Problem, weights: Array, means: Array, covariances: Array) -> Parameters:
    if len(weights) != problem.K:
        has = f"has {counted(len(weights), 'component')}"
        raise InputError("start", has, f"The model has {problem.K}; give as many")
    log_weights = np.log(np.maximum(weights, np.finfo(float).tiny))
    if problem.n_groups is not None:
        log_weights = np.tile(log_weights, (problem.n_groups, 1))
    at = Parameters(log_weights=log_weights, means=means, choleskys=np.linalg.cholesky(covariances))
    standard = problem.units.to_standard(at)
    return Parameters(
        log_weights=standard.log_weights,
        means=standard.means,
        choleskys=standard.choleskys,
        log_noise=problem.typical_log_noise,
    )


def _shape_of(start: Any) -> tuple[int, ...]:
    """Shape of what was given, () where its rows differ in length."""
    try:
        return start.shape if hasattr(start, "shape") else np.shape(start)
    except ValueError:
        return ()


def _shares(start: Any, problem: Problem, data: Any, table: Data) -> Array:
    """Responsibilities (K, N) of the rows that take part."""
    K, n = problem.K, table.n_obs
    if table.bins is not None:
        what = "start= with a label for each row, of data that are counts in bins"
        raise UnsupportedError("fit", what, "Give parameters or an earlier fit.")
    shape = _shape_of(start)
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] == 0):
        raise InputError("start", f"got {as_written(start)}", _FORMS)
    if len(shape) == 1 or shape[1] == 1:
        labels = read_numbers("start", start, RowsBeside.of_values(data))
        strange = labels[~np.isin(labels, np.arange(K))]
        if strange.size:
            known = problem.declared.component_names
            names = "" if known is None else f", in the order {listed(known)}"
            raise InputError(
                "start", f"has the label {strange[0]:g}", f"Give numbers of components, 0 to {K - 1}{names}"
            )
        shares = (labels == np.arange(K)[:, None]).astype(float)
    else:
        names = problem.declared.component_names or [str(k) for k in range(shape[1])]
        values, rows = read_matrix("start", start, names)
        if values.shape != (n, K):
            raise InputError("start", f"has the shape {values.shape}", f"Give responsibilities of the shape {(n, K)}")
        if not (values >= 0).all() or (np.abs(values.sum(axis=1) - 1.0) > _ROUNDING).any():
            raise InputError("start", "has rows that do not add up to 1", "Give responsibilities of each row")
        order = RowsBeside.of_values(data).order("start", rows.index)
        shares = (values if order is None else values[order]).T
    if table.counts is not None:
        shares = shares[:, table.counts > 0]
    return np.ascontiguousarray(shares)
