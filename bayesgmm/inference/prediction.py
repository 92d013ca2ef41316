"""Responsibilities, labels and densities, for the fitted rows and for new ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._errors import InputError
from bayesgmm.data import Data, as_data, group_numbers, rows_in_units
from bayesgmm.engines._arviz import array_stats, settings
from bayesgmm.engines._progress import Progress
from bayesgmm.numerics.exact_rows import ExactRows
from bayesgmm.numerics.rows import Rows
from bayesgmm.numerics.student_t import log_density as student_t_log_density

if TYPE_CHECKING:
    import xarray as xr

    from bayesgmm.results import FittedMixture, Mixtures

Array = NDArray[np.float64]

# Above, a fit holds labels and no responsibilities.
MANY_ROWS = 100_000
# Responsibilities of one chunk of rows are held for all draws; the chunk is made to fit into so many numbers.
_NUMBERS_AT_ONCE = 3_000_000
# Intervals of very many rows are taken over fewer draws, evenly spaced; at least the second number of them.
_MOST_RESPONSIBILITIES = 200_000_000
_FEWEST_DRAWS = 200
_SORTED_AT_ONCE = 250_000


def predict(fit: xr.DataTree, data: Any = None, *, per_draw: bool = False) -> xr.Dataset:
    """Responsibilities with their posterior interval, labels and log densities.

    Parameters
    ----------
    fit : DataTree
        From `fit`, or read back from its file.
    data : array-like, DataFrame, DataArray or Data, optional
        New rows (n_obs, n_features); the rows that were fitted if left out. Where weights differ between groups they
        need groups that were fitted, ``as_data(rows, groups=...)``. A fitted factor of all errors holds for theirs too.
    per_draw : bool
        Return responsibilities and log densities of every posterior draw instead of their summary.

    Returns
    -------
    xarray.Dataset
        ``responsibilities`` (obs, component), their posterior mean; ``responsibilities_lower`` and ``_upper``, the
        interval of ArviZ's ``rcParams`` (NaN where the engine has no draws); ``label`` (obs), the name of the
        component with the largest responsibility at the point estimate, and ``label_probability`` (obs), its
        responsibility; ``log_density`` (obs), the log posterior predictive density (the
        density at the mode for `EM`) of what was measured, errors included, and for a bin its log probability. With
        ``per_draw`` the first and the last only, with dimensions chain and draw in front.

    Raises
    ------
    InputError
        If columns or groups do not match the fit, or ``per_draw`` is asked of a fit without draws.
    """
    from bayesgmm.results import read_result

    fitted = read_result(fit)
    table = _rows(fit, fitted, data)
    found = per_draw_dataset(fitted, table) if per_draw else summary_dataset(fitted, table, Progress(False))
    return _with_caveat(fit, found)


def assignments(fit: xr.DataTree, progress: Progress) -> xr.Dataset:
    """The group of the same name: `predict` for the fitted rows, without the densities.

    Above 100,000 rows responsibilities are left out, because nobody may want so many numbers: labels, how probable each
    of them is and the expected rows of the components are there, all at the point estimate.
    """
    from bayesgmm.results import read_result
    from bayesgmm.results.build import dataset

    fitted = read_result(fit)
    table = _rows(fit, fitted, None)
    units = np.ones(table.n_obs) if table.counts is None else table.counts
    if table.n_obs <= MANY_ROWS:
        found = summary_dataset(fitted, table, progress, with_density=False)
        rows = found["responsibilities"].to_numpy().T @ units
        return _with_caveat(fit, found.assign(expected_rows=(names.COMPONENT, rows)))
    x = standardised(fitted, table)
    label, probability = np.empty(x.n_rows, dtype=np.intp), np.empty(x.n_rows)
    rows = np.zeros(len(fitted.components))
    for own, r, _ in chunks(fitted, fitted.point, x):
        label[own], probability[own] = r[0].argmax(axis=0), r[0].max(axis=0)
        rows += r[0] @ units[own]
        progress.step("labels", own.stop, x.n_rows)
    attrs = {"meaning": f"at the point estimate: more than {MANY_ROWS:,} rows. `predict(fit)` gives responsibilities."}
    found = {"label": fitted.components[label], "label_probability": probability, "expected_rows": rows}
    return dataset(found, _coords(fitted, table), attrs=attrs)


def responsibilities_of(fit: xr.DataTree) -> Array:
    """Responsibilities (obs, component) of the fitted rows: those in ``assignments``, or predicted if it has none."""
    assigned = fit[names.ASSIGNMENTS].to_dataset()
    if "responsibilities" not in assigned:
        assigned = predict(fit)
    return assigned["responsibilities"].transpose(names.OBS, names.COMPONENT).to_numpy()


def _with_caveat(fit: xr.DataTree, found: xr.Dataset) -> xr.Dataset:
    """What was found, with what is known to be wrong with the intervals of the fit as an attribute."""
    return found.assign_attrs({names.CAVEAT: fit.attrs[names.CAVEAT]}) if names.CAVEAT in fit.attrs else found


def _rows(fit: xr.DataTree, fitted: FittedMixture, data: Any) -> Data:
    from bayesgmm.results import stored_data

    if data is None:
        return stored_data(fit)
    table = as_data(data)
    check_known_groups("data", fitted, table)
    K = len(fitted.components)
    if table.known_labels is not None and table.known_labels.max() >= K:
        raise InputError(
            "data",
            f"has rows that are known to come from component {table.known_labels.max()}",
            f"Components of the fit are numbered 0 to {K - 1}",
        )
    if table.n_features != len(fitted.feature_names):
        raise InputError(
            "data",
            f"has {table.n_features} columns {list(table.feature_names)}",
            f"The fit has {len(fitted.feature_names)}: {list(fitted.feature_names)}",
        )
    # Names that `as_data` gave to the columns of an array say nothing.
    by_position = ("x",) if table.n_features == 1 else tuple(f"x{j}" for j in range(table.n_features))
    named = not isinstance(data, (np.ndarray, list, tuple)) and table.feature_names != by_position
    if named and table.feature_names != fitted.feature_names:
        if set(table.feature_names) != set(fitted.feature_names):
            raise InputError(
                "data",
                f"has columns {list(table.feature_names)}",
                f"The fit has {list(fitted.feature_names)}; rename the columns, or give an array",
            )
        order = [table.feature_names.index(name) for name in fitted.feature_names]
        return table.with_columns(order)
    return table


def check_known_groups(argument: str, fitted: FittedMixture, table: Data) -> None:
    """Raise unless the groups of the rows are those of the fit, or the fit has none."""
    if fitted.groups is None:
        return
    known = ", ".join(repr(label) for label in fitted.groups.tolist())
    numbers = group_numbers(table, fitted.groups)
    if numbers is None:
        raise InputError(
            argument, "has no groups, and weights differ between them", f"Give as_data(rows, groups=...) out of {known}"
        )
    assert table.groups is not None
    unknown = np.unique(table.groups[numbers < 0]).tolist()
    if unknown:
        listed = ", ".join(map(repr, unknown))
        raise InputError(argument, f"has groups that were not fitted: {listed}", f"The groups of the fit are {known}")


def summary_dataset(fitted: FittedMixture, table: Data, progress: Progress, *, with_density: bool = True) -> xr.Dataset:
    """What `predict` returns, from arrays; on request without the densities."""
    from bayesgmm.results.build import dataset

    x = standardised(fitted, table)
    K, n = len(fitted.components), x.n_rows
    attrs = {}
    if fitted.draws is None:
        arguments = fitted.point.standardised(fitted.center, fitted.scale)
        r, log_densities = x.rowwise_of_many(*arguments, noise_factors=fitted.point.noise_factors)
        lower = upper = np.full((n, K), np.nan)
        mean, log_density = r[0].T, log_densities[0]
        attrs[names.INTERVAL] = "none: EM has no draws; fit with VB or NUTS for intervals"
    else:
        draws = thinned_for(fitted.draws, n, K)
        mean, lower, upper = np.empty((n, K)), np.empty((n, K)), np.empty((n, K))
        log_density = np.empty(n)
        kind, probability = interval_convention()
        for rows, r, log_densities in chunks(fitted, draws, x):
            mean[rows] = r.mean(axis=0).T
            low, high = interval(r, kind, probability)
            lower[rows], upper[rows] = low.T, high.T
            if with_density:
                log_density[rows] = np.logaddexp.reduce(log_densities, axis=0) - np.log(len(draws))
            progress.step("responsibilities", rows.stop, n)
        # It is that of values without errors.
        exact = table.noise is None and table.bins is None
        if with_density and exact and fitted.predictive is not None and fitted.predictive_family != "draws":
            log_density = _closed_form(fitted, x)
        attrs[names.INTERVAL] = f"{probability:.0%} {kind} over {len(draws)} draws"
    label = mean.argmax(axis=1) if fitted.draws is None else _labels(fitted, x)
    found = {
        "responsibilities": mean,
        "responsibilities_lower": lower,
        "responsibilities_upper": upper,
        "label": fitted.components[label],
        "label_probability": mean[np.arange(n), label],
    }
    if with_density:
        found["log_density"] = log_density - x.log_volumes(fitted.scale)
    return dataset(found, _coords(fitted, table), attrs=attrs)


def _labels(fitted: FittedMixture, x: Rows) -> NDArray[np.intp]:
    """The component of largest responsibility at the point estimate.

    Where components overlap the posterior averages over many ways to divide the rows, and the labels of its mean
    responsibilities are those of none of them.
    """
    label = np.empty(x.n_rows, dtype=np.intp)
    for own, r, _ in chunks(fitted, fitted.point, x):
        label[own] = r[0].argmax(axis=0)
    return label


def per_draw_dataset(fitted: FittedMixture, table: Data) -> xr.Dataset:
    """Responsibilities (chain, draw, obs, component) and log densities (chain, draw, obs) of every draw."""
    from bayesgmm.results.build import dataset

    draws = need_draws(fitted, "per_draw")
    x = standardised(fitted, table)
    n, K, S = x.n_rows, len(fitted.components), len(draws)
    responsibilities, log_density = np.empty((S, n, K)), np.empty((S, n))
    for rows, r, log_densities in chunks(fitted, draws, x):
        responsibilities[:, rows] = np.swapaxes(r, 1, 2)
        log_density[:, rows] = log_densities - x.log_volumes(fitted.scale)[rows]
    n_draws = S // fitted.n_chains
    coords = {names.CHAIN: np.arange(fitted.n_chains), names.DRAW: np.arange(n_draws), **_coords(fitted, table)}
    shape = (fitted.n_chains, n_draws)
    return dataset(
        {
            "responsibilities": responsibilities.reshape(*shape, n, K),
            "log_density": log_density.reshape(*shape, n),
        },
        coords,
        leading=(names.CHAIN, names.DRAW),
    )


def thinned_for(draws: Mixtures, n: int, K: int) -> Mixtures:
    """The draws over which responsibilities of n rows are summarised: fewer where there are very many rows."""
    return draws.thinned(max(_FEWEST_DRAWS, _MOST_RESPONSIBILITIES // max(n * K, 1)))


def need_draws(fitted: FittedMixture, argument: str) -> Mixtures:
    """The posterior draws, or an error that says which engine gives some."""
    if fitted.draws is None:
        raise InputError(
            argument, "this fit has no posterior draws (EM gives the mode alone)", "Fit with VB, Laplace or NUTS"
        )
    return fitted.draws


def standardised(fitted: FittedMixture, table: Data) -> Rows:
    """Rows in the fit's standard units, one unit each."""
    if fitted.groups is None and table.groups is not None:
        table = replace(table, groups=None)
    return rows_in_units(table, fitted.center, fitted.scale, counted=False, labels=fitted.groups)


def chunks(fitted: FittedMixture, draws: Mixtures, x: Rows) -> Iterator[tuple[slice, Array, Array]]:
    """Yield rows with responsibilities (S, K, rows) and log densities (S, rows), in standard units, of all draws."""
    S, K, n = len(draws), len(fitted.components), x.n_rows
    arguments = draws.standardised(fitted.center, fitted.scale)
    size = max(1, min(n, _NUMBERS_AT_ONCE // (S * K)))
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        part = x if size >= n else x.taken(np.arange(rows.start, rows.stop))
        yield rows, *part.rowwise_of_many(*arguments, noise_factors=draws.noise_factors, n_threads=os.cpu_count() or 1)


def interval_convention() -> tuple[str, float]:
    """Kind and probability of intervals, ArviZ's own settings."""
    found = settings()
    return found["stats.ci_kind"], found["stats.ci_prob"]


def interval(draws: Array, kind: str, probability: float) -> tuple[Array, Array]:
    """Interval over the first axis."""
    if kind == "hdi":
        bounds = np.asarray(array_stats().hdi(draws, prob=probability, axis=0))
        return bounds[..., 0], bounds[..., 1]
    # What np.quantile returns. Sorting along the last axis of a copy is twice as fast as its way along the first, and a
    # copy of a few columns at a time stays in the cache.
    columns = draws.reshape(len(draws), -1)
    low, high = np.empty(columns.shape[1]), np.empty(columns.shape[1])
    tail = (1 - probability) / 2

    def some(begin: int) -> None:
        own = slice(begin, begin + size)
        ordered = columns[:, own].T.copy(order="C")
        ordered.sort(axis=-1)
        low[own], high[own] = _quantile(ordered, tail), _quantile(ordered, 1 - tail)

    size = max(1, _SORTED_AT_ONCE // len(draws))
    begins = range(0, columns.shape[1], size)
    if len(begins) == 1:
        some(0)
    else:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(some, begins))
    return low.reshape(draws.shape[1:])[()], high.reshape(draws.shape[1:])[()]


def _quantile(ordered: Array, q: float) -> Array:
    """Linear interpolation between the two nearest of values in rising order along the last axis."""
    position = q * (ordered.shape[-1] - 1)
    below = int(position)
    above = min(below + 1, ordered.shape[-1] - 1)
    return ordered[..., below] + (position - below) * (ordered[..., above] - ordered[..., below])


def _closed_form(fitted: FittedMixture, x: Rows) -> Array:
    assert fitted.predictive is not None
    assert fitted.predictive_weights is not None
    df, loc, scale = fitted.predictive
    loc = (loc - fitted.center) / fitted.scale
    scale = scale / fitted.scale[:, None] / fitted.scale
    out = np.zeros(x.n_rows)
    for part in x.parts:
        assert isinstance(part, ExactRows)
        weights = fitted.predictive_weights if fitted.groups is None else fitted.predictive_weights[part.group]
        for p, pattern in enumerate(part.observed):  # marginals of these families have the same degrees of freedom
            o, own = np.flatnonzero(pattern), slice(part.edges[p], part.edges[p + 1])
            at = part.x[o, own], loc[:, o], scale[:, o[:, None], o], df, fitted.predictive_family
            with np.errstate(divide="ignore"):
                joint = np.log(weights)[:, None] + student_t_log_density(*at)
            out[part.index[own]] = np.logaddexp.reduce(joint, axis=0)
    return out


def _coords(fitted: FittedMixture, table: Data) -> dict[str, Any]:
    obs = np.arange(table.n_obs) if table.obs_names is None else table.obs_names
    return {names.OBS: obs, names.COMPONENT: fitted.components}
