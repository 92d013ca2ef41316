"""Whether a further optimum of nearly equal standing puts the rows into different groups."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._errors import FitError
from bayesgmm._status import Status
from bayesgmm.engines._hills import approximated
from bayesgmm.engines._importance import WORST_PARETO_K
from bayesgmm.engines._objective import Objective, at_mode
from bayesgmm.engines._polish import climbed
from bayesgmm.engines._search import Start
from bayesgmm.engines.base import Parameters, Problem, StartReport
from bayesgmm.inference._stored import stored_problem

if TYPE_CHECKING:
    import xarray as xr

Check = tuple[str, float, bool, str]
Labels = NDArray[np.intp]

# Groups are different ones below this adjusted Rand index.
_DIFFERENT = 0.8
# A partition with less of the posterior is not worth a word. Masses by Laplace's formula may be a few nats off.
_LEAST_MASS = 0.01
# A smaller one is said, but nothing to be alarmed about.
_NEARLY_EQUAL = 0.1
# Modes whose log-likelihoods differ by fewer standard errors of the difference than this are of equal standing.
_STANDARD_ERRORS = 2.0
# Nats a free parameter by which a likelihood rises for no reason, and by which optima may be lower to be looked at.
_BY_CHANCE = 0.5
# Heights say less than masses, so that optima this much lower are looked at.
_LOOK = 15.0
# So many further partitions are followed to their optima. Of more rows than this one partition is as a rule
# overwhelming, and beyond so many parameters a Hessian takes seconds.
_MOST, _MOST_ROWS, _MOST_PARAMETERS = 3, 20_000, 300
# Draws and rows that show which partition a draw belongs to.
_DRAWS, _ROWS = 200, 1000


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The groups at an optimum.

    Attributes
    ----------
    labels : (N,) array of int
        The component of each row.
    rows : tuple of int
        Units in each group, in the order of the components at the best optimum.
    height : float
        Log-likelihood, or log posterior density, in the data's units.
    log_mass : float
        By Laplace's formula; NaN for a mode alone.
    by_row : (N,) array
        Log density of each row.
    """

    labels: Labels
    rows: tuple[int, ...]
    height: float
    log_mass: float
    by_row: NDArray[np.float64]


def partition_check(fit: xr.DataTree) -> Check | None:
    """Both partitions by name where there is more than one; None where there is one, or it was not looked for."""
    K = fit[names.POINT].sizes[names.COMPONENT]
    if K == 1 or fit[names.OBSERVED].sizes[names.OBS] > _MOST_ROWS or names.ALL_DRAWS in fit.children:
        return None
    search = fit[names.OPTIMIZATION].to_dataset()
    ends = _worth_a_look(search)
    if len(ends) < 2:
        return None
    problem, _, point = stored_problem(fit)
    if problem.n_parameters > _MOST_PARAMETERS:
        return None
    found = _partitions(fit, problem, point, ends)
    if len(found) < 2:
        return None
    return _by_heights(problem, found) if fit.attrs[names.ENGINE] == "EM" else _by_masses(fit, problem, found)


def _worth_a_look(search: xr.Dataset) -> list[tuple[Parameters, float]]:
    """Ends of starts in the data's units, with their heights, best first; also of starts not followed to the end."""
    ends, status = search["end_value"].to_numpy(), search["status"].to_numpy()
    proper = [Status[str(name)].usable or str(name) == Status.SCREENED_OUT.name for name in status]
    weights = search["weights"].transpose(names.START, ..., names.COMPONENT).to_numpy()
    means = search["means"].transpose(names.START, *names.DIMS["means"]).to_numpy()
    covariances = search["covariances"].transpose(names.START, *names.DIMS["covariances"]).to_numpy()
    there = np.isfinite(ends) & proper & np.isfinite(means).all(axis=(1, 2))
    best = ends[int(search.attrs["best_start"])]
    out = []
    for i in sorted(np.flatnonzero(there), key=lambda i: -ends[i]):
        with suppress(np.linalg.LinAlgError), np.errstate(divide="ignore"):
            factors = np.linalg.cholesky(covariances[i])
            at = Parameters(log_weights=np.log(weights[i]), means=means[i], choleskys=factors)
            out.append((at, float(best - ends[i])))
    return out


def _partitions(
    fit: xr.DataTree, problem: Problem, point: Parameters, ends: list[tuple[Parameters, float]]
) -> list[Partition]:
    """That of the point estimate, and different ones at other optima, each of groups that rows support."""
    by_mode = fit.attrs[names.ENGINE] == "EM"
    unconstrained = not by_mode or json.loads(fit.attrs[names.ENGINE_OPTIONS])["density"] == "unconstrained"
    objective = Objective(problem, unconstrained=unconstrained)
    lowest = max(_LOOK, _BY_CHANCE * problem.n_parameters)
    first = _labels(problem, point)
    begun: list[Labels] = [first]
    points: list[Parameters] = [point]
    for at, gap in ends:
        if gap > lowest or len(points) > _MOST:
            continue
        at = Parameters(
            log_weights=at.log_weights,
            means=(at.means - problem.units.center) / problem.units.scale,
            choleskys=at.choleskys / problem.units.scale[:, None],
            log_noise=point.log_noise,
        )
        labels = _labels(problem, at)
        if all(_agreement(labels, other) < _DIFFERENT for other in begun):
            begun.append(labels)
            points.append(at)
    if len(points) < 2:
        return []
    needed = problem.model.rows_needed(problem.n_features)
    out: list[Partition] = []
    for at in points:
        report = _followed(problem, objective, at, supported=by_mode)
        if report is None:
            continue
        assert report.end is not None
        labels = _labels(problem, report.end)
        rows = _rows(problem, labels)
        if min(rows) <= needed or any(_agreement(labels, p.labels) >= _DIFFERENT for p in out):
            continue
        values, _ = at_mode(problem, report.end, report.end_value, unconstrained)
        height = values["log_posterior"] if problem.declared.proper else values["log_likelihood"]
        log_mass = np.nan
        if not by_mode:
            try:
                log_mass = approximated(problem, report.end).log_integral(report.end_value)
            except FitError:  # no hill, so that nothing is known of its mass
                continue
        out.append(
            Partition(labels=labels, rows=rows, height=height, log_mass=log_mass, by_row=_by_row(problem, report.end))
        )
    return out


def _followed(problem: Problem, objective: Objective, at: Parameters, *, supported: bool) -> StartReport | None:
    options = {"em_steps": 5, "max_steps": 400, "tolerance": 1e-2, "floor": 1e-6, "supported": supported}
    try:
        report = climbed(objective, Start.given(at), **options)  # type: ignore[arg-type]
    except np.linalg.LinAlgError:
        return None
    return report if report.status.usable else None


def _by_heights(problem: Problem, found: list[Partition]) -> Check | None:
    """Modes have no masses, but log-likelihoods whose difference has a standard error (Vuong 1989)."""
    best = max(found, key=lambda partition: partition.height)
    units = problem.rows.units_by_row()
    near, least = [best], np.inf
    for other in sorted(found, key=lambda partition: -partition.height):
        difference = best.by_row - other.by_row
        mean = units @ difference / units.sum()
        error = float(np.sqrt(units @ np.square(difference - mean)))
        if other is not best and best.height - other.height < _STANDARD_ERRORS * error:
            near.append(other)
            least = min(least, error)
    if len(near) < 2:
        return None
    what = "log posterior density" if problem.declared.proper else "log-likelihood"
    each = [f"{_counts(partition.rows)} rows ({what} {partition.height:.2f})" for partition in near]
    return (
        "partitions",
        float(len(near)),
        False,
        f"{_how_many(near)}: {'; '.join(each)}. A difference with a standard error of {least:.1f} does not choose "
        "between them; fit with NUTS or Laplace for how much of the posterior each holds.",
    )


def _by_masses(fit: xr.DataTree, problem: Problem, found: list[Partition]) -> Check | None:
    log_masses = np.array([partition.log_mass for partition in found])
    masses, source = np.exp(log_masses - np.logaddexp.reduce(log_masses)), "by Laplace's formula"
    # Draws of Laplace that its weights have corrected go from one to another as well.
    drawn = names.CHAINS in fit.children or fit.attrs.get(names.PARETO_K, np.inf) <= WORST_PARETO_K
    by_draws = _shares_of_draws(fit, problem, found) if drawn else None
    if by_draws is not None:
        masses, source = by_draws, "share of the draws"
    if np.sort(masses)[-2] < _LEAST_MASS:
        return None
    order = [i for i in np.argsort(-masses, kind="stable") if masses[i] >= _LEAST_MASS]
    near = [found[i] for i in order]
    each = [f"{_counts(found[i].rows)} rows (posterior mass {masses[i]:.2g}, {source})" for i in order]
    fine = bool(np.sort(masses)[-2] < _NEARLY_EQUAL)
    return "partitions", float(len(near)), fine, f"{_how_many(near)}: {'; '.join(each)}."


def _shares_of_draws(fit: xr.DataTree, problem: Problem, found: list[Partition]) -> np.ndarray | None:
    """Share of the draws nearest to each partition, or None where no chain went from one to another."""
    posterior = fit[names.POSTERIOR].to_dataset()
    stacked = posterior.stack(sample=(names.CHAIN, names.DRAW)).transpose("sample", ...)
    total = stacked.sizes["sample"]
    chosen = np.linspace(0, total - 1, min(_DRAWS, total)).astype(int)
    weights = stacked["weights"].transpose("sample", ..., names.COMPONENT).to_numpy()[chosen]
    means = stacked["means"].transpose("sample", *names.DIMS["means"]).to_numpy()[chosen]
    covariances = stacked["covariances"].transpose("sample", *names.DIMS["covariances"]).to_numpy()[chosen]
    noise = stacked["noise_scale"].to_numpy()[chosen] if "noise_scale" in stacked else np.ones(chosen.size)
    with np.errstate(divide="ignore"):
        points = Parameters(
            log_weights=np.log(weights),
            means=means,
            choleskys=np.linalg.cholesky(covariances),
            log_noise=np.log(noise),
        )
    few = np.unique(np.linspace(0, problem.n_obs - 1, min(_ROWS, problem.n_obs)).astype(int))
    labels = problem.part(few).responsibilities(problem.units.to_standard(points)).argmax(axis=1)
    near = [int(np.argmax([_agreement(own, other.labels[few]) for other in found])) for own in labels]
    chain = stacked[names.CHAIN].to_numpy()[chosen]
    moved = any(np.unique(np.array(near)[chain == c]).size > 1 for c in np.unique(chain))
    return np.bincount(near, minlength=len(found)) / len(near) if moved else None


def _by_row(problem: Problem, at: Parameters) -> NDArray[np.float64]:
    points = Parameters.stacked([at])
    noise = np.exp(2.0 * points.log_noise)
    where = points.log_weights, points.means, points.precision_choleskys
    return problem.rows.rowwise_of_many(*where, noise_factors=noise, n_threads=problem.n_threads)[1][0]


def _labels(problem: Problem, at: Parameters) -> Labels:
    return problem.responsibilities(Parameters.stacked([at]))[0].argmax(axis=0)


def _rows(problem: Problem, labels: Labels) -> tuple[int, ...]:
    units = np.bincount(labels, weights=problem.rows.units_by_row(), minlength=problem.K)
    return tuple(int(number) for number in np.rint(units))


def _agreement(one: Labels, other: Labels) -> float:
    """Adjusted Rand index (Hubert & Arabie 1985); 1 where both are one group."""
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1.0)

    def pairs(n: np.ndarray) -> float:
        return float((n * (n - 1) / 2).sum())

    both, a, b, all_pairs = (
        pairs(table),
        pairs(table.sum(axis=1)),
        pairs(table.sum(axis=0)),
        pairs(table.sum(keepdims=True)),
    )
    expected, most = a * b / all_pairs, 0.5 * (a + b)
    return 1.0 if most == expected else (both - expected) / (most - expected)


def _counts(rows: tuple[int, ...]) -> str:
    return " and ".join(", ".join(map(str, rows)).rsplit(", ", 1))


def _how_many(near: list[Partition]) -> str:
    return f"{ {2: 'Two', 3: 'Three'}.get(len(near), 'Several') } different partitions of the rows are supported"
