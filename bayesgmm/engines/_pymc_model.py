"""The model as a `pymc.Model` that users can open, extend and sample.

Every prior is a plain PyMC distribution, batched over components; only the likelihood is an operation of our own, the
one pass that all engines share. Register a part of your own with `weights_variable`, `means_variable`,
`covariances_variable`, `matrix_variable`, `sds_variable` or `scale_variable`.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NoReturn

import numpy as np
import pymc as pm
import pytensor.tensor
from pymc.distributions.shape_utils import rv_size_is_none

from bayesgmm._errors import UnsupportedError
from bayesgmm._schema import COMPONENT, DATA, DIMS, FEATURE, FEATURE_BIS, OBS
from bayesgmm.engines._pytensor_op import inverse_lower, matrix_product, mixture_log_density
from bayesgmm.engines.base import Parameters
from bayesgmm.model import (
    LKJ,
    ConjugateMeans,
    Diagonal,
    Dirichlet,
    Exponential,
    FilledMixture,
    FixedCovariances,
    FixedMeans,
    FixedWeights,
    Full,
    Gamma,
    HalfNormal,
    InverseWishart,
    LogNormal,
    NormalMeans,
    ScaledInverseChi,
    Spherical,
    StickBreaking,
    Tied,
)
from bayesgmm.numerics.linalg import below_diagonal, strictly_lower_mask

# PyTensor's annotations say None or a bare variable where its functions return tensors.
pt: Any = pytensor.tensor

# Dimensions of free variables that results do not have: all components but the last, pairs of features.
STICK, PAIR = "stick", "feature_pair"

PROPER_INSTEAD = (
    "Give a proper prior, such as Dirichlet(1), NormalMeans() or InverseWishart(), or leave the part out; for maximum "
    "likelihood use EM."
)
NATIVE_INSTEAD = "Use EM or NUTS(sampler='native')."
REGISTER_INSTEAD = "Or register a function for it with bayesgmm.engines._pymc_model.{}.register."


def open_model(declared: FilledMixture, values: Any, features: tuple[str, ...], rows: Any = None) -> pm.Model:
    """The PyMC model of a filled declaration and data (N, d), both in the data's units."""
    improper = declared.improper_parts()
    if improper:
        raise UnsupportedError("to_pymc", f"Flat() {', '.join(improper)}", PROPER_INSTEAD)
    rows = np.arange(len(values)) if rows is None else rows
    with pm.Model(coords={**_coords(declared, features), OBS: rows}) as opened:
        log_weights, means, choleskys = prior_variables(declared, len(features))
        pm.CustomDist(
            DATA,
            log_weights,
            means,
            choleskys,
            signature="(k),(k,d),(k,d,d)->(d)",
            logp=_log_density,
            dist=_draw,
            observed=pm.Data("data", values, dims=(OBS, FEATURE)),
            dims=(OBS, FEATURE),
            class_name="GaussianMixture",
        )
    return opened


def sample_model(opened: pm.Model, points: list[Parameters], seeds: list[int], **options: Any) -> Any:
    """Draws of PyMC's own NUTS, a DataTree; chains start at `points`, in the data's units."""
    starts: dict[int, dict[str, Any]] = {}
    for point in points:
        if id(point) not in starts:
            starts[id(point)] = initial_values(opened, point)
    sample: Any = pm.sample
    with opened:
        return sample(
            chains=len(points),
            random_seed=seeds,
            initvals=[starts[id(point)] for point in points],
            init="adapt_diag",
            nuts_sampler="pymc",
            compute_convergence_checks=False,
            quiet=not options["progressbar"],
            **options,
        )


def initial_values(opened: pm.Model, point: Parameters) -> dict[str, Any]:
    """Values of the free variables at which weights, means and covariances are those of a point.

    Parts of a user's own have coordinates that nobody but PyMC knows, so the point is found by least squares.
    """
    from scipy.optimize import least_squares

    variables = opened.value_vars
    start = opened.initial_point(random_seed=0)
    shapes = [start[variable.name].shape for variable in variables]
    edges = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    named = [opened["weights"], opened["means"], opened["covariances"]]
    outputs = opened.replace_rvs_by_values([*named, *opened.free_RVs])
    function: Any = opened.compile_fn(
        outputs, inputs=variables, mode="FAST_COMPILE", point_fn=False, on_unused_input="ignore"
    )
    sds = np.sqrt(np.diagonal(point.covariances, axis1=1, axis2=2))

    def evaluated(v: Any) -> Any:
        parts = [v[edges[i] : edges[i + 1]].reshape(shape) for i, shape in enumerate(shapes)]
        return function(*parts)

    def misfit(v: Any) -> Any:
        weights, means, covariances = evaluated(v)[:3]
        by_covariance = (covariances - point.covariances) / (sds[:, :, None] * sds[:, None, :])
        by_weights = np.log(np.maximum(weights, 1e-12)) - np.maximum(point.log_weights, np.log(1e-12))
        return np.concatenate([by_weights.ravel(), ((means - point.means) / sds).ravel(), by_covariance.ravel()])

    begin = np.concatenate([np.asarray(start[variable.name], dtype=float).ravel() for variable in variables])
    found = least_squares(misfit, begin, x_scale="jac")
    return {variable.name: value for variable, value in zip(opened.free_RVs, evaluated(found.x)[3:], strict=True)}


def _coords(declared: FilledMixture, features: tuple[str, ...]) -> dict[str, Any]:
    components = list(declared.component_names or range(declared.n_components))
    pairs = [f"{features[i]}, {features[j]}" for i, j in zip(*below_diagonal(len(features)), strict=True)]
    return {COMPONENT: components, FEATURE: features, FEATURE_BIS: features, STICK: components[:-1], PAIR: pairs}


def prior_variables(declared: FilledMixture, n_features: int) -> tuple[Any, Any, Any]:
    """Log weights (K,), means (K, d) and covariance Choleskys (K, d, d) of the model in context."""
    K = declared.n_components
    log_weights = weights_variable(declared.weights, K)
    choleskys = covariances_variable(declared.covariances, (COMPONENT,), n_features)
    if choleskys.type.ndim == 2:
        choleskys = pt.alloc(choleskys, K, n_features, n_features)
    means = means_variable(declared.means, choleskys)
    covariances = matrix_product(choleskys, pt.swapaxes(choleskys, -1, -2))
    sds = pt.sqrt(pt.square(choleskys).sum(axis=-1))
    _deterministic("covariances", covariances)
    _deterministic("sds", sds)
    if n_features > 1:
        _deterministic("correlations", covariances / (sds[:, :, None] * sds[:, None, :]))
    return log_weights, means, choleskys


def _deterministic(name: str, value: Any) -> Any:
    return pm.Deterministic(name, pt.as_tensor_variable(value), dims=DIMS[name])


def _log_density(value: Any, log_weights: Any, means: Any, choleskys: Any) -> Any:
    rows = value.reshape((-1, value.shape[-1])) if value.type.ndim != 2 else value
    outputs: Any = mixture_log_density(rows, log_weights, means, choleskys)
    log_density = outputs[0]
    return log_density if value.type.ndim == 2 else log_density.reshape(value.shape[:-1])


def _draw(log_weights: Any, means: Any, choleskys: Any, size: Any) -> Any:
    # One component a row and one Normal vector; a `pymc.Mixture` would draw every component for every row.
    labels = pm.Categorical.dist(p=pt.special.softmax(log_weights), size=size)
    rows = () if rv_size_is_none(size) else tuple(size)
    noise = pm.Normal.dist(size=(*rows, means.shape[-1]))
    return means[labels] + (choleskys[labels] * noise[..., None, :]).sum(axis=-1)


def _unregistered(part: object, kind: str, registry: str) -> NoReturn:
    raise UnsupportedError(
        "to_pymc", f"{type(part).__name__} {kind}", f"{NATIVE_INSTEAD} {REGISTER_INSTEAD.format(registry)}"
    )


@singledispatch
def weights_variable(spec: object, n_components: int) -> Any:
    """Log weights (K,); the model in context gets a variable ``weights``. Register a prior of your own here."""
    _unregistered(spec, "weights", "weights_variable")


@weights_variable.register
def _(spec: Dirichlet, n_components: int) -> Any:
    if n_components == 1:
        return _known_weights(np.ones(1))
    concentration = np.broadcast_to(np.asarray(spec.concentration, dtype=float), (n_components,))
    return pt.log(pm.Dirichlet("weights", concentration, dims=COMPONENT))


@weights_variable.register
def _(spec: StickBreaking, n_components: int) -> Any:
    if n_components == 1:
        return _known_weights(np.ones(1))
    fractions = pm.Beta("weights_sticks", 1.0, spec.concentration, dims=STICK)
    log_rest = pt.concatenate([[0.0], pt.cumsum(pt.log1p(-fractions))])
    log_weights = pt.concatenate([pt.log(fractions), [0.0]]) + log_rest
    _deterministic("weights", pt.exp(log_weights))
    return log_weights


@weights_variable.register
def _(spec: FixedWeights, n_components: int) -> Any:
    return _known_weights(np.atleast_1d(np.asarray(spec.values, dtype=float)))


def _known_weights(values: Any) -> Any:
    return pt.log(_deterministic("weights", values))


@singledispatch
def means_variable(spec: object, choleskys: Any) -> Any:
    """Means (K, d) given Choleskys (K, d, d); the model in context gets a variable ``means``."""
    _unregistered(spec, "means", "means_variable")


@means_variable.register
def _(spec: NormalMeans, choleskys: Any) -> Any:
    return pm.Normal("means", np.asarray(spec.mu), np.asarray(spec.sigma), dims=DIMS["means"])


@means_variable.register
def _(spec: ConjugateMeans, choleskys: Any) -> Any:
    loc, wide = np.asarray(spec.loc), choleskys / np.sqrt(spec.precision_scale)
    if loc.shape[-1] == 1:
        return pm.Normal("means", loc, wide[:, :, 0], dims=DIMS["means"])
    return pm.CustomDist(
        "means",
        loc,
        wide,
        signature="(d),(d,d)->(d)",
        logp=_normal_log_density,
        dist=lambda loc, choleskys, size: pm.MvNormal.dist(loc, chol=choleskys, size=size),
        support_point=lambda rv, size, loc, choleskys: pt.zeros(choleskys.shape[:-1]) + loc,
        dims=DIMS["means"],
        class_name="MvNormal",
    )


def _normal_log_density(value: Any, loc: Any, choleskys: Any) -> Any:
    # That of `pymc.MvNormal`, without its solvers and products, which compile for half a minute.
    inverses: Any = inverse_lower(choleskys)
    y = (inverses * (value - loc)[..., None, :]).sum(axis=-1)
    log_dets = pt.log(pt.diagonal(inverses, axis1=-2, axis2=-1)).sum(axis=-1)
    return log_dets - 0.5 * pt.square(y).sum(axis=-1) - 0.5 * np.log(2 * np.pi) * y.shape[-1]


@means_variable.register
def _(spec: FixedMeans, choleskys: Any) -> Any:
    return _deterministic("means", np.asarray(spec.values, dtype=float))


@singledispatch
def covariances_variable(structure: object, batch: tuple[str, ...], n_features: int) -> Any:
    """Choleskys with the dimensions `batch`, (K, d, d), or without them, (d, d), for one that all components share."""
    _unregistered(structure, "covariances", "covariances_variable")


@covariances_variable.register
def _(structure: Full, batch: tuple[str, ...], n_features: int) -> Any:
    if n_features == 1:
        return sds_variable(structure.prior, (*batch, FEATURE))[..., None]
    return matrix_variable(structure.prior, batch, n_features)


@covariances_variable.register
def _(structure: Diagonal, batch: tuple[str, ...], n_features: int) -> Any:
    return sds_variable(structure.prior, (*batch, FEATURE))[..., None] * np.eye(n_features)


@covariances_variable.register
def _(structure: Spherical, batch: tuple[str, ...], n_features: int) -> Any:
    return sds_variable(structure.prior, batch)[..., None, None] * np.eye(n_features)


@covariances_variable.register
def _(structure: Tied, batch: tuple[str, ...], n_features: int) -> Any:
    return covariances_variable(structure.structure, (), n_features)


@covariances_variable.register
def _(structure: FixedCovariances, batch: tuple[str, ...], n_features: int) -> Any:
    return pt.as_tensor_variable(np.linalg.cholesky(np.asarray(structure.values, dtype=float)))


@singledispatch
def matrix_variable(prior: object, batch: tuple[str, ...], n_features: int) -> Any:
    """Choleskys (..., d, d) of covariance matrices under a prior. Register a prior of your own here."""
    _unregistered(prior, "covariance prior", "matrix_variable")


@matrix_variable.register
def _(prior: InverseWishart, batch: tuple[str, ...], n_features: int) -> Any:
    # Bartlett's decomposition from the last feature on: Sigma^-1 = S^-T T' T S^-1 with T lower triangular, so that
    # S T^-1 is lower triangular as well and thus the Cholesky factor of Sigma; scale = S S'.
    df, scale = prior.numbers()
    dfs = np.asarray(df)[..., None] - np.arange(n_features)[::-1]
    squares = pm.ChiSquared("covariances_chi_squares", dfs, dims=(*batch, FEATURE))
    lower = pm.Normal("covariances_lower", dims=(*batch, PAIR))
    T = _lower_triangular(lower, n_features) + pt.sqrt(squares)[..., None] * np.eye(n_features)
    inverses: Any = inverse_lower(T if batch else T[None])
    return matrix_product(np.linalg.cholesky(scale), inverses if batch else inverses[0])


@matrix_variable.register
def _(prior: LKJ, batch: tuple[str, ...], n_features: int) -> Any:
    # Partial correlations of row i with column j given the columns before it are 2 Beta(b, b) - 1, all independent
    # (Lewandowski, Kurowicka & Joe 2009); see also Stan's cholesky_factor_corr.
    d = n_features
    sds = sds_variable(prior, (*batch, FEATURE))
    b = prior.eta + (d - 2 - below_diagonal(d)[1]) / 2
    halves = pm.Beta("covariances_partial", b, b, dims=(*batch, PAIR))
    partial = _lower_triangular(2.0 * halves - 1.0, d)
    log_left = _lower_triangular(np.log(2.0) + 0.5 * (pt.log(halves) + pt.log1p(-halves)), d)  # log sqrt(1 - z^2)
    # What the columns before leave to column j of a row: products along rows, as sums of logs.
    left = pt.exp(matrix_product(log_left, strictly_lower_mask(d).T))
    return sds[..., None] * (partial + np.eye(d)) * left


def _lower_triangular(entries: Any, d: int) -> Any:
    """Strictly lower triangular matrices (..., d, d) from their entries (..., d (d - 1) / 2), row by row."""
    rows, columns = below_diagonal(d)
    places = np.zeros((rows.size, d, d))
    places[np.arange(rows.size), rows, columns] = 1.0
    return (entries[..., None, None] * places).sum(axis=-3)


@singledispatch
def sds_variable(prior: object, dims: tuple[str, ...]) -> Any:
    """Standard deviations with the dimensions `dims` under a prior on separate variances. Register yours here."""
    _unregistered(prior, "covariance prior", "sds_variable")


@sds_variable.register
def _(prior: InverseWishart, dims: tuple[str, ...]) -> Any:
    df, scale = prior.numbers(separate=True)
    if prior.n_components is None:
        scale = _by_feature(scale, dims)
    elif dims[-1:] != (FEATURE,):  # one variance for all features
        df, scale = df[:, 0], scale[:, 0]
    variances = pm.InverseGamma("covariances_variances", df / 2, scale / 2, dims=dims)
    return pt.sqrt(variances)


@sds_variable.register
def _(prior: LKJ, dims: tuple[str, ...]) -> Any:
    return scale_variable(prior.scale, "covariances_scales", dims)


@singledispatch
def scale_variable(prior: object, name: str, dims: tuple[str, ...]) -> Any:
    """A positive variable with a scale prior. Register a scale prior of your own here."""
    _unregistered(prior, "scale prior", "scale_variable")


@scale_variable.register
def _(prior: HalfNormal, name: str, dims: tuple[str, ...]) -> Any:
    return pm.HalfNormal(name, _by_feature(prior.sigma, dims), dims=dims)


@scale_variable.register
def _(prior: Exponential, name: str, dims: tuple[str, ...]) -> Any:
    return pm.Exponential(name, _by_feature(prior.lam, dims), dims=dims)


@scale_variable.register
def _(prior: Gamma, name: str, dims: tuple[str, ...]) -> Any:
    return pm.Gamma(name, _by_feature(prior.alpha, dims), _by_feature(prior.beta, dims), dims=dims)


@scale_variable.register
def _(prior: LogNormal, name: str, dims: tuple[str, ...]) -> Any:
    return pm.LogNormal(name, _by_feature(prior.mu, dims), _by_feature(prior.sigma, dims), dims=dims)


@scale_variable.register
def _(prior: ScaledInverseChi, name: str, dims: tuple[str, ...]) -> Any:
    half_df, scale = 0.5 * _by_feature(prior.df, dims), _by_feature(prior.scale, dims)
    return pt.sqrt(pm.InverseGamma(f"{name}_squared", half_df, half_df * np.square(scale), dims=dims))


def _by_feature(value: Any, dims: tuple[str, ...]) -> Any:
    """Numbers of a resolved prior: one a feature, or the only one where all features share it."""
    numbers = np.asarray(value, dtype=float).reshape(-1)
    return numbers if dims[-1:] == (FEATURE,) else numbers[0]
