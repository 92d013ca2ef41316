"""Responsibilities, labels and densities, for the fitted rows and for new ones."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_flag
from bayesgmm._errors import InputError
from bayesgmm.data import Data, Source, rows_in_units
from bayesgmm.engines._arviz import array_stats, settings
from bayesgmm.engines._progress import Progress
from bayesgmm.inference._new_rows import rows_for
from bayesgmm.numerics.exact_rows import ExactRows
from bayesgmm.numerics.rows import Rows
from bayesgmm.numerics.student_t import log_density as student_t_log_density
from bayesgmm.numerics.threads import n_processors

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


def predict(fit: xr.DataTree, data: Any = None, *, per_draw: bool = False, intervals: bool = True) -> xr.Dataset:
    """Responsibilities with their posterior interval, labels and log densities.

    Parameters
    ----------
    fit : DataTree
        From `fit`, or read back from its file.
    data : array-like, DataFrame, DataArray or Data, optional
        New rows; the rows that were fitted if left out. Columns of a table are found by the names of the
        features, whatever other columns it has; an array is (n_obs, n_features) in the order of the fit. Where
        weights differ between groups they need groups that were fitted, ``as_data(rows, groups=...)``. A fitted
        factor of all errors holds for theirs too.
    per_draw : bool
        Return responsibilities and log densities of every posterior draw instead of their summary.
    intervals : bool
        Whether intervals are wanted. Without them their variables are NaN, as under `EM`, and the rest comes sooner.

    Returns
    -------
    xarray.Dataset
        ``responsibilities`` (obs, component), their posterior mean; ``responsibilities_lower`` and ``_upper``,
        the interval of ArviZ's ``rcParams`` (NaN without `intervals`, or where the engine has no draws);
        ``label`` (obs), the name of the component with the largest responsibility at the point estimate, and
        ``label_probability`` (obs), its responsibility; ``log_density`` (obs), the log posterior predictive
        density (the density at the mode for `EM`) of what was measured, errors included, and for a bin its log
        probability. With ``per_draw`` the first and the last only, with dimensions chain and draw in front.

    Raises
    ------
    InputError
        If a feature has no column or groups do not match the fit, or ``per_draw`` is asked of a fit without draws.

    See Also
    --------
    assignments : labels and how sure they are as a table of the library that the rows came from.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> faithful = bg.datasets.load_faithful()
    >>> fit = bg.fit(bg.GaussianMixture(2), faithful, random_seed=1)
    >>> new = faithful.assign(day="Monday").iloc[:3]
    >>> bg.predict(fit, new)["responsibilities"].round(2).values.tolist()
    [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    """
    from bayesgmm.results import read_result
    from bayesgmm.results.build import with_source

    per_draw, intervals = as_flag("per_draw", per_draw), as_flag("intervals", intervals)
    fitted = read_result(fit)
    table = rows_for(fit, fitted, data)
    if per_draw:
        found = per_draw_dataset(fitted, table)
    else:
        found = summary_dataset(fitted, table, Progress(False), with_intervals=intervals)
    source = table.source if data is not None else source_of(fit)
    return _with_caveat(fit, with_source(found, source, as_coords=True))


def source_of(fit: xr.DataTree) -> Source:
    """The table that was fitted."""
    from bayesgmm.results import stored_source

    return stored_source(fit[names.CONSTANT].to_dataset(), fit[names.OBSERVED][names.OBS].to_numpy())


def assignments_group(fit: xr.DataTree, progress: Progress) -> xr.Dataset:
    """The group ``assignments`` of a fit: `predict` for the fitted rows, without the densities.

    Above 100,000 rows responsibilities are left out, because nobody may want so many numbers: labels, how probable each
    of them is and the expected rows of the components are there, all at the point estimate.
    """
    from bayesgmm.results import fitted_mixture, stored_data
    from bayesgmm.results.build import dataset

    fitted = fitted_mixture(fit)
    table = stored_data(fit)
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
        from bayesgmm.results import fitted_mixture, stored_data

        fitted = fitted_mixture(fit)
        assigned = summary_dataset(fitted, stored_data(fit), Progress(False), with_density=False)
    return assigned["responsibilities"].transpose(names.OBS, names.COMPONENT).to_numpy()


def _with_caveat(fit: xr.DataTree, found: xr.Dataset) -> xr.Dataset:
    """What was found, with what is known to be wrong with the intervals of the fit as an attribute."""
    return found.assign_attrs({names.CAVEAT: fit.attrs[names.CAVEAT]}) if names.CAVEAT in fit.attrs else found


def summary_dataset(
    fitted: FittedMixture,
    table: Data,
    progress: Progress,
    *,
    with_density: bool = True,
    with_intervals: bool = True,
) -> xr.Dataset:
    """What `predict` returns, from arrays; on request without the densities, or with NaN for the intervals."""
    from bayesgmm.results.build import dataset

    x = standardised(fitted, table)
    K, n = len(fitted.components), x.n_rows
    attrs = {}
    lower = upper = np.broadcast_to(np.nan, (n, K))
    if fitted.draws is None:
        arguments = fitted.point.standardised(fitted.center, fitted.scale)
        r, log_densities = x.rowwise_of_many(*arguments, noise_factors=fitted.point.noise_factors)
        mean, log_density = r[0].T, log_densities[0]
        attrs[names.INTERVAL] = "none: EM has no draws; fit with VB or NUTS for intervals"
    else:
        draws = thinned_for(fitted.draws, n, K)
        mean, log_density = np.empty((n, K)), np.empty(n)
        if with_intervals:
            lower, upper = np.empty((n, K)), np.empty((n, K))
        kind, probability = interval_convention()
        for rows, r, log_densities in chunks(fitted, draws, x):
            mean[rows] = r.mean(axis=0).T
            if with_intervals:
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
        if not with_intervals:
            attrs[names.INTERVAL] = "none: intervals=False"
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
        yield rows, *part.rowwise_of_many(*arguments, noise_factors=draws.noise_factors, n_threads=n_processors())


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
        with ThreadPoolExecutor(n_processors()) as pool:
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
