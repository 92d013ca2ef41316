"""From an engine's arrays to a DataTree in ArviZ's schema."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._version import version
from bayesgmm.data import Data, Source
from bayesgmm.engines._draws import AllDraws, ChainReport, Draws, Sampling
from bayesgmm.engines.base import Engine, Order, Outcome, Parameters, Problem
from bayesgmm.model import GaussianMixture
from bayesgmm.results.optima_table import optima_table
from bayesgmm.results.order import canonical_order, order_is_stable

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

# A component counts as occupied in a draw when at least half a row is expected in it.
OCCUPIED = 0.5
# Of correlations as they are stored.
_LEAST_EIGENVALUE = 1e-13


def build_result(
    problem: Problem,
    outcome: Outcome,
    *,
    engine: Engine,
    reason: str,
    declared: GaussianMixture,
    data: Data,
    seed: int | None,
) -> xr.DataTree:
    """Everything but the assignments, which need a prediction from what this returns."""
    import xarray as xr

    from bayesgmm.results.fit_tree import as_fit_tree

    if outcome.problem is not None:
        problem = outcome.problem
    K = problem.K
    order = canonical_order(problem, outcome.point)
    components = declared.component_names if declared.component_names is not None else np.arange(K)
    coords = {
        names.COMPONENT: np.asarray(components),
        names.FEATURE: np.asarray(data.feature_names),
        names.FEATURE_BIS: np.asarray(data.feature_names),
        names.OBS: np.arange(data.n_obs) if data.obs_names is None else data.obs_names,
    }
    grouped = data.groups is not None
    if grouped:
        coords[names.GROUP] = data.group_labels
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
        names.OPTIMIZATION: optima_table(problem, outcome, engine, coords),
        names.OBSERVED: dataset({names.DATA: data.values}, coords),
        names.CONSTANT: dataset(
            {"data_mean": problem.units.center, "data_sd": problem.units.scale} | _observation(data),
            {**coords, names.BOUND: np.array(["lower", "upper"])},
            attrs={"meaning": "center and scale of the standard units in which the engine worked"},
        ),
    }
    if data.noise is not None and data.noise_scale is not None:
        constant = tables[names.CONSTANT]
        constant[_noise_name(data.noise)].attrs[names.NOISE_SCALE] = json.dumps(data.noise_scale.to_dict())
    tables[names.CONSTANT] = with_source(tables[names.CONSTANT], data.source)
    if outcome.draws is not None:
        n_chains = int(outcome.notes["n_chains"])
        tables |= _sampled(problem, outcome.draws, outcome.sampling, order, n_chains, coords)
    if outcome.all_draws is not None:
        tables[names.ALL_DRAWS] = _all_draws(outcome.all_draws, coords)
    if outcome.variational is not None:
        axes = {key: names.dims_of(key, grouped=grouped).index(names.COMPONENT) for key in outcome.variational}
        variational = {key: np.take(value, order, axes[key]) for key, value in outcome.variational.items()}
        tables[names.VARIATIONAL] = dataset(variational, coords)
    attrs: dict[str, Any] = {
        # A tree of xarray prints its first attributes: those that people read.
        names.ENGINE: engine.name,
        names.STATUS: outcome.status.name,
        names.STATUS_MESSAGE: outcome.status_message,
        names.ENGINE_REASON: reason,
        names.SEED: "none" if seed is None else str(seed),
        names.PREDICTIVE_FAMILY: str(outcome.notes.get("predictive_family", "plug_in")),
        "inference_library": "bayesgmm",
        names.LIBRARY_VERSION: version(),
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
    attrs |= {
        names.ENGINE_OPTIONS: json.dumps(dataclasses.asdict(engine)),  # type: ignore[call-overload]
        names.DECLARED: declared.to_json(),
        names.MODEL: problem.declared.to_json(),
    }
    tree = as_fit_tree(xr.DataTree.from_dict({f"/{name}": group for name, group in tables.items()}))
    tree.attrs.update(attrs)
    if not outcome.to_be_relabelled:
        tree.attrs[names.ORDER_STABLE] = int(order_is_stable(tree))
    return tree


def with_source(rows: xr.Dataset, source: Source, *, as_coords: bool = False) -> xr.Dataset:
    """A dataset with rows that knows the table they came from; `read.stored_source` reads it."""
    if source.plain:
        return rows
    variables, text = source.stored()
    added = {name: (names.OBS, value) for name, value in variables.items()}
    rows = rows.assign_coords(added) if as_coords else rows.assign(added)
    return rows.assign_attrs({names.SOURCE: text})


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


def _observation(data: Data) -> dict[str, NDArray[Any]]:
    """What there is of how the rows were observed, by the names of the schema; `stored_data` reads it back."""
    found = {name: getattr(data, name) for name in ("counts", "bins", "groups", "known_labels")}
    if data.noise is not None:
        found[_noise_name(data.noise)] = data.noise
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
        # Sums depend on the order in memory, and what comes back from a file has this one.
        name: ((*leading, *names.dims_of(name, grouped=grouped)), np.asarray(value, order="C"))
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
    try:
        np.linalg.cholesky(correlations - _LEAST_EIGENVALUE * np.eye(d))
    except np.linalg.LinAlgError:
        # Behind errors of measurement a covariance may be singular but for rounding, and readers want its factor.
        lift = np.maximum(_LEAST_EIGENVALUE - np.linalg.eigvalsh(correlations)[..., 0], 0.0)
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
