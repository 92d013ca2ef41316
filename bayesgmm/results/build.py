"""From an engine's arrays to a DataTree in ArviZ's schema."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._status import Status
from bayesgmm.engines._draws import AllDraws, ChainReport, Draws, Sampling
from bayesgmm.engines.base import Engine, Order, Outcome, Parameters, Problem, StartReport
from bayesgmm.model import GaussianMixture
from bayesgmm.model._spec import Spec
from bayesgmm.numerics.linalg import outer
from bayesgmm.results.order import canonical_order, order_is_stable

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

# A component counts as occupied in a draw when at least half a row is expected in it.
# Of correlations as they are stored.
_LEAST_EIGENVALUE = 1e-13
OCCUPIED = 0.5
# Ends closer than this, in nats, are counted as the same optimum.
_SAME_OPTIMUM = 1e-3


def build_result(
    problem: Problem,
    outcome: Outcome,
    *,
    engine: Engine,
    reason: str,
    declared: GaussianMixture,
    values: Array,
    feature_names: tuple[str, ...],
    obs_names: NDArray[Any] | None,
    counts: Array | None,
    seed: int | None,
    noise: Array | None = None,
    noise_scale: Spec | None = None,
    bins: Array | None = None,
    groups: NDArray[Any] | None = None,
) -> xr.DataTree:
    """Everything but the assignments, which need a prediction from what this returns.

    `values`, `feature_names`, `obs_names`, `counts`, `noise`, `noise_scale`, `bins` and `groups` are fields of `Data`.
    """
    import xarray as xr

    if outcome.problem is not None:
        problem = outcome.problem
    K = problem.K
    order = canonical_order(problem, outcome.point)
    components = declared.component_names if declared.component_names is not None else np.arange(K)
    coords = {
        names.COMPONENT: np.asarray(components),
        names.FEATURE: np.asarray(feature_names),
        names.FEATURE_BIS: np.asarray(feature_names),
        names.OBS: np.arange(len(values)) if obs_names is None else obs_names,
    }
    if groups is not None:
        coords[names.GROUP] = np.unique(groups)
    point = outcome.point.reordered(order)
    tables: dict[str, xr.Dataset] = {
        names.POINT: dataset(
            parameters(np.exp(point.log_weights), point.means, point.covariances)
            | problem.declared.weights.own_parameters(point.log_weights)
            | _free_noise(problem, point),
            coords,
            attrs={
                "meaning": _meaning(outcome),
                **{key: float(value) for key, value in outcome.objective.items()},
                "n_parameters": problem.n_parameters,
            },
        ),
        names.OPTIMIZATION: _optimization(problem, outcome, engine, coords),
        names.OBSERVED: dataset({names.DATA: values}, coords),
        names.CONSTANT: dataset(
            {"data_mean": problem.units.center, "data_sd": problem.units.scale}
            | _observation(counts, noise, bins, groups),
            {**coords, names.BOUND: np.array(["lower", "upper"])},
            attrs={"meaning": "center and scale of the standard units in which the engine worked"},
        ),
    }
    if noise is not None and noise_scale is not None:
        constant = tables[names.CONSTANT]
        constant[_noise_name(noise)].attrs[names.NOISE_SCALE] = json.dumps(noise_scale.to_dict())
    if outcome.draws is not None:
        n_chains = int(outcome.notes["n_chains"])
        tables |= _sampled(problem, outcome.draws, outcome.sampling, order, n_chains, coords)
    if outcome.all_draws is not None:
        tables[names.ALL_DRAWS] = _all_draws(outcome.all_draws, coords)
    if outcome.variational is not None:
        grouped = groups is not None
        axes = {key: names.dims_of(key, grouped=grouped).index(names.COMPONENT) for key in outcome.variational}
        variational = {key: np.take(value, order, axes[key]) for key, value in outcome.variational.items()}
        tables[names.VARIATIONAL] = dataset(variational, coords)
    attrs: dict[str, Any] = {
        names.MODEL: problem.declared.to_json(),
        names.DECLARED: declared.to_json(),
        names.ENGINE: engine.name,
        names.ENGINE_OPTIONS: json.dumps(dataclasses.asdict(engine)),  # type: ignore[call-overload]
        names.ENGINE_REASON: reason,
        names.STATUS: outcome.status.name,
        names.STATUS_MESSAGE: outcome.status_message,
        names.SEED: "none" if seed is None else str(seed),
        names.PREDICTIVE_FAMILY: str(outcome.notes.get("predictive_family", "plug_in")),
        "inference_library": "bayesgmm",
        "inference_library_version": importlib.metadata.version("bayesgmm"),
        "numpy_version": np.__version__,
        "xarray_version": xr.__version__,
    }
    facts = (
        "density",
        "screening_passes",
        "search_rows",
        "sampler",
        "sampler_reason",
        "draws",
        "sweeps",
        "burn_in",
        "thin",
    )
    facts += (names.CAVEAT, names.CORRECTION)
    attrs |= {key: str(outcome.notes[key]) for key in facts if key in outcome.notes}
    if names.PARETO_K in outcome.notes:
        attrs[names.PARETO_K] = float(outcome.notes[names.PARETO_K])
    tree = xr.DataTree.from_dict({f"/{name}": group for name, group in tables.items()})
    tree.attrs.update(attrs)
    tree.attrs[names.ORDER_STABLE] = int(order_is_stable(tree))
    return tree


def _meaning(outcome: Outcome) -> str:
    if outcome.all_draws is not None:
        return "the draw of the highest likelihood with the most frequent number of occupied components"
    return "mean of q" if outcome.variational is not None else "mode of the posterior density"


def _all_draws(draws: AllDraws, coords: Mapping[str, Any]) -> xr.Dataset:
    """Draws of all numbers of components; components have places, which are no labels."""
    import xarray as xr

    n_chains, n_draws, most = draws.values["weights"].shape
    leading = (names.CHAIN, names.DRAW)
    dims = {name: (*leading, *names.BY_SLOT.get(name, names.DIMS.get(name, ()))) for name in draws.values}
    variables: dict[str, Any] = {name: (dims[name], value) for name, value in draws.values.items()}
    if draws.log_prior is not None:
        variables["prior_probability"] = "number", np.exp(draws.log_prior)
    sizes = {names.CHAIN: n_chains, names.DRAW: n_draws, names.SLOT: most}
    own: dict[str, Any] = {name: np.arange(size) for name, size in sizes.items()}
    if draws.log_prior is not None:
        own["number"] = np.arange(draws.log_prior.size)
    own |= {name: coords[name] for name in (names.FEATURE, names.FEATURE_BIS)}
    meaning = (
        "draws of all numbers of components, those that hold rows alone: weights add up to 1 less the weight of empty "
        "ones; a place is no label; lp is the log-likelihood"
    )
    return xr.Dataset(variables, own, attrs={"meaning": meaning, **draws.notes})


def _free_noise(problem: Problem, point: Parameters) -> dict[str, Array]:
    """The factor of all errors, where it was fitted."""
    return {"noise_scale": np.exp(np.asarray(point.log_noise))} if problem.free_noise else {}


def _observation(
    counts: Array | None, noise: Array | None, bins: Array | None, groups: NDArray[Any] | None
) -> dict[str, NDArray[Any]]:
    """What there is of how the rows were observed, by the names of the schema; `stored_data` reads it back."""
    found: dict[str, NDArray[Any] | None] = {"counts": counts, "bins": bins, "groups": groups}
    if noise is not None:
        found[_noise_name(noise)] = noise
    return {name: value for name, value in found.items() if value is not None}


def _noise_name(noise: Array) -> str:
    return "noise_sd" if noise.ndim == 2 else "noise_covariance"


def dataset(
    variables: Mapping[str, NDArray[Any]],
    coords: Mapping[str, Any],
    *,
    leading: tuple[str, ...] = (),
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A Dataset whose variables have the dimensions of the schema, behind the `leading` ones.

    Weights have that of groups if `coords` has labels of groups.
    """
    import xarray as xr

    grouped = names.GROUP in coords
    data = {
        name: ((*leading, *names.dims_of(name, grouped=grouped)), np.asarray(value))
        for name, value in variables.items()
    }
    used = {dim for dims, _ in data.values() for dim in dims}
    own = {dim: coords[dim] for dim in coords if dim in used}
    return xr.Dataset(
        data, coords={dim: (dim, np.asarray(value)) for dim, value in own.items()}, attrs=dict(attrs or {})
    )


def parameters(weights: Array, means: Array, covariances: Array) -> dict[str, Array]:
    """The variables that describe mixtures, by name."""
    sds = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    correlations = covariances / sds[..., :, None] / sds[..., None, :]
    d = sds.shape[-1]
    # Behind errors of measurement a covariance may be singular but for rounding, and readers want its factor.
    lift = np.maximum(_LEAST_EIGENVALUE - np.linalg.eigvalsh(correlations)[..., 0], 0.0)
    if lift.any():
        covariances = covariances + (lift[..., None] * np.square(sds))[..., None] * np.eye(d)
        correlations = (correlations + lift[..., None, None] * np.eye(d)) / (1.0 + lift[..., None, None])
        sds = sds * np.sqrt(1.0 + lift[..., None])
    correlations[..., np.arange(d), np.arange(d)] = 1.0  # exactly, so that constants can be told from draws
    return {
        "weights": weights,
        "means": means,
        "covariances": covariances,
        "sds": sds,
        "correlations": correlations,
    }


def _sampled(
    problem: Problem,
    draws: Draws,
    sampling: Sampling | None,
    order: Order,
    n_chains: int,
    coords: Mapping[str, Any],
) -> dict[str, xr.Dataset]:
    posterior = _posterior(problem, draws, order, n_chains, coords)
    if sampling is None:
        stats = {"lp": draws.log_joint}
        if draws.log_proposal is not None:
            stats |= {"log_q": draws.log_proposal, "log_weight": draws.log_joint - draws.log_proposal}
        posterior.attrs["sampling"] = (
            "independent draws from an approximation q: R-hat and ESS say nothing about their quality"
        )
        attrs = {"log_weight": "log p(x, parameters) - log q(parameters), for importance weights"}
        stats = {name: value.reshape(n_chains, -1) for name, value in stats.items()}
        return {names.POSTERIOR: posterior, names.SAMPLE_STATS: _chained(stats, coords, attrs)}

    posterior.attrs["sampling"] = "Markov chains"
    lp = {"lp": "log density of the engine's unconstrained coordinates, in standard units"}
    groups = {
        names.POSTERIOR: posterior,
        names.SAMPLE_STATS: _chained({**sampling.statistics, "invariants": sampling.invariants}, coords, lp),
        names.CHAINS: _table_of_chains(sampling.chains),
    }
    if sampling.left_out is not None:
        n_left_out = len(sampling.chains) - n_chains
        left_out = _posterior(problem, sampling.left_out, order, n_left_out, coords)
        stats = _chained({"lp": sampling.left_out_statistics["lp"]}, coords, lp)
        groups[names.LEFT_OUT] = left_out.merge(stats)
        groups[names.LEFT_OUT].attrs["meaning"] = (
            "draws of chains whose mean log density is lower by more than sampling noise explains; their labels are as "
            "sampled"
        )
    return groups


def _posterior(problem: Problem, draws: Draws, order: Order, n_chains: int, coords: Mapping[str, Any]) -> xr.Dataset:
    values = parameters(draws.weights[..., order], draws.means[:, order], draws.covariances[:, order])
    with np.errstate(divide="ignore"):
        values |= problem.declared.weights.own_parameters(np.log(draws.weights))
    if draws.noise_scale is not None:
        values["noise_scale"] = draws.noise_scale
    values["n_occupied"] = (draws.expected_counts >= OCCUPIED).sum(axis=1).astype(float)
    return _chained({name: value.reshape(n_chains, -1, *value.shape[1:]) for name, value in values.items()}, coords)


def _chained(
    values: Mapping[str, NDArray[Any]], coords: Mapping[str, Any], attrs: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """Variables (chain, draw, ...)."""
    n_chains, n_draws = next(iter(values.values())).shape[:2]
    coords = {names.CHAIN: np.arange(n_chains), names.DRAW: np.arange(n_draws), **coords}
    return dataset(values, coords, leading=(names.CHAIN, names.DRAW), attrs=attrs)


def _table_of_chains(chains: list[ChainReport]) -> xr.Dataset:
    columns = {field.name: np.array([getattr(row, field.name) for row in chains]) for field in fields(ChainReport)}
    return dataset(
        columns,
        {names.SAMPLED_CHAIN: np.arange(len(chains))},
        attrs={"gap": "nats by which the mean log density of the chain's mode is below that of mode 0"},
    )


def _optimization(problem: Problem, outcome: Outcome, engine: Engine, coords: Mapping[str, Any]) -> xr.Dataset:
    import xarray as xr

    starts = outcome.starts
    K, d = problem.K, problem.n_features
    n_steps = max((start.trace.size for start in starts), default=0) or 1
    trace = np.full((len(starts), n_steps), np.nan)
    weights = np.full((len(starts), *outcome.point.log_weights.shape), np.nan)
    means = np.full((len(starts), K, d), np.nan)
    covariances = np.full((len(starts), K, d, d), np.nan)
    for i, start in enumerate(starts):
        trace[i, : start.trace.size] = start.trace
        if start.end is not None:
            end = start.end.reordered(canonical_order(problem, start.end))
            weights[i], means[i], covariances[i] = np.exp(end.log_weights), end.means, outer(end.choleskys)
    optimum = _number_optima(starts)
    by_start = (names.START,)
    data = {
        engine.objective_name: ((names.START, names.STEP), trace),
        "method": (by_start, np.array([start.method for start in starts])),
        "status": (by_start, np.array([start.status.name for start in starts])),
        "passes": (by_start, np.array([start.passes for start in starts])),
        "short_value": (by_start, np.array([start.short_value for start in starts])),
        "end_value": (by_start, np.array([start.end_value for start in starts])),
        "gain_left": (by_start, np.array([start.gain_left for start in starts])),
        **_masses(starts),
        "optimum": (by_start, optimum),
        "weights": ((names.START, *names.dims_of("weights", grouped=names.GROUP in coords)), weights),
        "means": ((names.START, *names.DIMS["means"]), means),
        "covariances": ((names.START, *names.DIMS["covariances"]), covariances),
    }
    own = {
        dim: coords[dim] for dim in (names.GROUP, names.COMPONENT, names.FEATURE, names.FEATURE_BIS) if dim in coords
    }
    return xr.Dataset(
        data,
        coords={names.START: np.arange(len(starts)), names.STEP: np.arange(n_steps), **own},
        attrs={
            "best_start": outcome.best_start,
            "times_best_reached": int((optimum == optimum[outcome.best_start]).sum()),
            "n_optima": int(optimum.max() + 1),
            "n_singular": sum(start.status is Status.SINGULAR for start in starts),
            "n_spurious": sum(start.status is Status.TOO_FEW_ROWS for start in starts),
            "n_coinciding": sum(start.status is Status.COINCIDING for start in starts),
            "optimum": "number of the optimum that a start reached, best first; -1 where it reached none",
        },
    )


def _masses(starts: list[StartReport]) -> dict[str, Any]:
    """How much of the posterior stands round the optima, where the engine tells it."""
    import xarray as xr

    if not any(np.isfinite(start.log_mass) for start in starts):
        return {}
    meaning = {
        "log_mass": "Laplace's log integral of the joint density over one copy of the hill that the start ended on",
        "posterior_mass": "share of the posterior round that optimum, with all its copies by labels",
    }
    return {
        name: xr.Variable(names.START, np.array([getattr(start, name) for start in starts]), {"meaning": text})
        for name, text in meaning.items()
    }


def _number_optima(starts: list[StartReport]) -> NDArray[np.int64]:
    """0 for the best usable end, 1 for the next distinct one, ...; -1 for starts without a usable end."""
    numbers = np.full(len(starts), -1, dtype=np.int64)
    usable = [i for i, start in enumerate(starts) if start.status.usable]
    number, last = -1, np.inf
    for i in sorted(usable, key=lambda i: -starts[i].end_value):
        if last - starts[i].end_value > _SAME_OPTIMUM:
            number += 1
            last = starts[i].end_value
        numbers[i] = number
    return numbers
