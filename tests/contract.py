"""One table of declarations that every check runs over, and the oracles that the checks compare with.

The oracles use scipy alone: densities from `scipy.stats`, Jacobians by complex steps through a map written here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from scipy.linalg import null_space
from scipy.special import gammaln, logsumexp

from bayesgmm.engines.base import Parameters, Problem, Units
from bayesgmm.model import (
    LKJ,
    Beta,
    ConjugateMeans,
    ConstantCV,
    Diagonal,
    Dirichlet,
    EvenlySpacedMeans,
    Exponential,
    FilledMixture,
    FixedCovariances,
    FixedMeans,
    FixedWeights,
    Flat,
    Full,
    Gamma,
    GaussianMixture,
    HalfNormal,
    InverseWishart,
    LinearVariance,
    LogNormal,
    NormalMeans,
    PoissonWeights,
    SaturatingMeans,
    ScaledInverseChi,
    Spherical,
    StickBreaking,
    Tied,
)
from bayesgmm.numerics.rows import make_rows

Array = np.ndarray
Factory = Callable[[int, int], GaussianMixture]


def a_scale_matrix(d: int) -> Array:
    """A positive-definite matrix with correlations."""
    sd = 0.5 + 0.25 * np.arange(d)
    return np.outer(sd, sd) * (0.3 + 0.7 * np.eye(d))


def a_mean_grid(K: int, d: int) -> Array:
    return np.add.outer(1.5 * np.arange(K) - 1.0, 0.3 * np.arange(d))


WEIGHTS: dict[str, Callable[[int], object]] = {
    "dirichlet": lambda K: Dirichlet(1.0),
    "dirichlet-scalar": lambda K: Dirichlet(2.5),
    "dirichlet-vector": lambda K: Dirichlet(1.0 + 0.75 * np.arange(K)),
    "dirichlet-below-1": lambda K: Dirichlet(0.25),
    "sticks": lambda K: StickBreaking(1.75),
    "sticks-uniform": lambda K: StickBreaking(1.0),
    "fixed-weights": lambda K: FixedWeights((1.0 + np.arange(K)) / np.sum(1.0 + np.arange(K))),
    "flat-weights": lambda K: Flat(),
}

MEANS: dict[str, Callable[[int, int], object]] = {
    "conjugate": lambda K, d: ConjugateMeans(loc=0.2 * np.arange(d), precision_scale=0.5),
    "conjugate-by-component": lambda K, d: ConjugateMeans(loc=a_mean_grid(K, d), precision_scale=0.5),
    "normal": lambda K, d: NormalMeans(mu=0.5, sigma=2.0),
    "normal-by-feature": lambda K, d: NormalMeans(mu=0.1 * np.arange(d), sigma=1.0 + np.arange(d)),
    "normal-by-component": lambda K, d: NormalMeans(mu=a_mean_grid(K, d), sigma=1.5),
    "fixed-means": lambda K, d: FixedMeans(a_mean_grid(K, d)),
    "flat-means": lambda K, d: Flat(),
}

# The argument is how many features the prior acts on: d, or 1 inside `Spherical`.
SCALES: dict[str, Callable[[int], object]] = {
    "halfnormal": lambda m: HalfNormal(1.0 + 0.5 * np.arange(m)),
    "gamma": lambda m: Gamma(alpha=2.5, beta=1.0 + 0.2 * np.arange(m)),
    "exponential": lambda m: Exponential(0.7 + 0.1 * np.arange(m)),
    "lognormal": lambda m: LogNormal(mu=-0.3 + 0.1 * np.arange(m), sigma=0.6),
    "inversechi": lambda m: ScaledInverseChi(df=4.5, scale=0.8 + 0.1 * np.arange(m)),
}
PRIORS: dict[str, Callable[[int, bool], object]] = {
    "iw": lambda m, separate: InverseWishart(m + 3.5, 0.4 + 0.3 * np.arange(m) if separate else a_scale_matrix(m)),
    **{f"lkj-{name}": lambda m, separate, scale=scale: LKJ(1.7, scale=scale(m)) for name, scale in SCALES.items()},
    "flat": lambda m, separate: Flat(),
}
STRUCTURES = {"full": Full, "diagonal": Diagonal, "spherical": Spherical}


def iw_by_component(K: int, d: int, *, separate: bool = False) -> InverseWishart:
    matrices = [(1.0 + 0.5 * k) * (a_scale_matrix(d) * np.eye(d) if separate else a_scale_matrix(d)) for k in range(K)]
    return InverseWishart(d + 1.5 + np.arange(K), matrices)


def structured(structure: str, prior: str, d: int) -> object:
    kind = structure.removeprefix("tied-")
    inner = STRUCTURES[kind](PRIORS[prior](1 if kind == "spherical" else d, kind != "full"))
    return Tied(inner) if structure.startswith("tied-") else inner


COVARIANCES: dict[str, Callable[[int, int], object]] = {
    **{
        f"{structure}-{prior}": lambda K, d, structure=structure, prior=prior: structured(structure, prior, d)
        for structure in (*STRUCTURES, *(f"tied-{name}" for name in STRUCTURES))
        for prior in PRIORS
    },
    "full-iw-by-component": lambda K, d: Full(iw_by_component(K, d)),
    "diagonal-iw-by-component": lambda K, d: Diagonal(iw_by_component(K, d, separate=True)),
    "spherical-iw-by-component": lambda K, d: Spherical(iw_by_component(K, 1)),
    "fixed-covariances": lambda K, d: FixedCovariances([(1.0 + 0.5 * k) * a_scale_matrix(d) for k in range(K)]),
    "fixed-one-covariance": lambda K, d: FixedCovariances(a_scale_matrix(d)),
    "fixed-one-number": lambda K, d: FixedCovariances(0.8),
    "bare-lkj": lambda K, d: LKJ(0.8, scale=HalfNormal(1.2)),
    "bare-iw": lambda K, d: InverseWishart(d + 2, 1.0),
}


def _table() -> list[tuple[str, Factory]]:
    def row(weights: str, means: str, covariances: str) -> tuple[str, Factory]:
        def build(K: int, d: int) -> GaussianMixture:
            return GaussianMixture(
                K, weights=WEIGHTS[weights](K), means=MEANS[means](K, d), covariances=COVARIANCES[covariances](K, d)
            )

        return f"{weights}/{means}/{covariances}", build

    rows = [row(name, "conjugate", "full-iw") for name in WEIGHTS]
    rows += [row("dirichlet-scalar", name, "full-iw") for name in list(MEANS)[1:]]
    rows += [row("dirichlet-scalar", "normal", name) for name in COVARIANCES if name != "full-iw"]
    conjugate = [f"{name}-iw" for name in ("diagonal", "spherical", "tied-full", "tied-diagonal", "tied-spherical")]
    rows += [row("dirichlet-scalar", "conjugate", name) for name in (*conjugate, "fixed-covariances", "full-lkj-gamma")]
    rows += [
        row("flat-weights", "flat-means", "full-flat"),
        row("sticks", "fixed-means", "spherical-lkj-lognormal"),
        row("dirichlet-vector", "normal-by-component", "tied-full-lkj-gamma"),
        row("fixed-weights", "fixed-means", "fixed-covariances"),
    ]
    return rows


TABLE = _table()
IDS = [name for name, _ in TABLE]
FACTORIES = [factory for _, factory in TABLE]


# Means and covariances that hang together; they have neither a kernel for NUTS nor a form in PyMC. With their d.
BASELINE = NormalMeans(mu=0.5, sigma=1.0)
SPACED = NormalMeans(mu=[[1.5], [0.5]], sigma=[[1.0], [2.0]])
LINKED: dict[str, tuple[int, Callable[[int], GaussianMixture]]] = {
    "spaced": (1, lambda K: GaussianMixture(K, means=EvenlySpacedMeans(SPACED), covariances=InverseWishart(4.0, 1.0))),
    "spaced-2d": (
        2,
        lambda K: GaussianMixture(
            K,
            means=EvenlySpacedMeans(NormalMeans(mu=[[0.0, 0.5], [0.3, -0.2]], sigma=1.5)),
            covariances=Full(LKJ(1.5, scale=HalfNormal(1.0))),
        ),
    ),
    "spaced-tied": (
        2,
        lambda K: GaussianMixture(K, means=EvenlySpacedMeans(Flat()), covariances=Tied(InverseWishart(5.0, 1.0))),
    ),
    "quantal": (
        1,
        lambda K: GaussianMixture(
            K,
            means=EvenlySpacedMeans(NormalMeans(mu=1.0, sigma=0.7), through_zero=True, origin=-0.5),
            covariances=InverseWishart(4.0, 1.0),
        ),
    ),
    "quantal-flat": (
        1,
        lambda K: GaussianMixture(
            K, weights=Flat(), means=EvenlySpacedMeans(Flat(), through_zero=True), covariances=Flat()
        ),
    ),
    "one-cv": (
        1,
        lambda K: GaussianMixture(
            K, means=NormalMeans(mu=1.0, sigma=2.0), covariances=ConstantCV(LogNormal(-1.0, 0.5), origin=-0.25)
        ),
    ),
    "one-cv-flat": (1, lambda K: GaussianMixture(K, weights=Flat(), means=Flat(), covariances=ConstantCV(Flat()))),
    "one-cv-known-means": (
        1,
        lambda K: GaussianMixture(K, means=FixedMeans(1.0 + np.arange(K)), covariances=ConstantCV(HalfNormal(0.5))),
    ),
    "one-cv-spaced": (
        1,
        lambda K: GaussianMixture(K, means=EvenlySpacedMeans(SPACED), covariances=ConstantCV(Gamma(2.0, 4.0))),
    ),
    "one-cv-quantal": (
        1,
        lambda K: GaussianMixture(
            K,
            means=EvenlySpacedMeans(NormalMeans(mu=1.0, sigma=0.7), through_zero=True),
            covariances=ConstantCV(Exponential(2.0), origin=0.25),
        ),
    ),
    "saturating": (
        1,
        lambda K: GaussianMixture(
            K, means=SaturatingMeans(BASELINE, Gamma(2.0, 1.0), Beta(1.5, 2.5)), covariances=InverseWishart(4.0, 1.0)
        ),
    ),
    "saturating-known": (
        1,
        lambda K: GaussianMixture(
            K, means=SaturatingMeans(BASELINE, LogNormal(0.0, 0.5), 0.6), covariances=Tied(InverseWishart(4.0, 1.0))
        ),
    ),
    "saturating-cv": (
        1,
        lambda K: GaussianMixture(
            K,
            means=SaturatingMeans(BASELINE, Exponential(1.0)),
            covariances=ConstantCV(Gamma(2.0, 4.0), origin=-0.25),
        ),
    ),
    "one-line": (
        1,
        lambda K: GaussianMixture(
            K,
            means=NormalMeans(mu=1.0, sigma=2.0),
            covariances=LinearVariance(HalfNormal(1.0), Gamma(2.0, 4.0)),
        ),
    ),
    "molecules": (
        1,
        lambda K: GaussianMixture(
            K,
            weights=PoissonWeights(Gamma(2.0, 1.0)) if K > 1 else None,
            means=SaturatingMeans(BASELINE, HalfNormal(2.0), 1.0),
            covariances=LinearVariance(LogNormal(-0.5, 0.5), HalfNormal(0.5)),
        ),
    ),
}


def linked_parameters(model: FilledMixture, d: int, rng: np.random.Generator) -> Parameters:
    """A point that a model in `LINKED` allows."""
    K, means, covariances = model.n_components, model.means, model.covariances
    log_weights = np.log(rng.dirichlet(np.full(K, 3.0)))
    first, spacing = rng.uniform(0.5, 1.5, size=d), rng.uniform(0.4, 1.5, size=d)
    k = np.arange(K)[:, None]
    if isinstance(means, EvenlySpacedMeans):
        at = np.asarray(means.origin) + (k + 1) * spacing if means.through_zero else first + k * spacing
    else:
        at = np.asarray(means.values) if isinstance(means, FixedMeans) else rng.uniform(0.3, 3.0, size=(K, d))
    if isinstance(means, SaturatingMeans):
        rho = rng.uniform(0.2, 0.8) if isinstance(means.rho, Beta) else means.rho
        at = first + spacing * np.array([sum(rho**j for j in range(n)) for n in range(K)])[:, None]
    if isinstance(model.weights, PoissonWeights):
        rate = rng.uniform(0.5, 2.0)
        below = stats.poisson(rate).pmf(np.arange(K - 1))
        log_weights = np.log(np.append(below, stats.poisson(rate).sf(K - 2)))
    if isinstance(covariances, LinearVariance):
        squares = np.square(rng.uniform(0.4, 1.2, size=2))
        choleskys = np.sqrt(squares[0] + k * squares[1])[..., None]
    elif isinstance(covariances, ConstantCV):
        choleskys = rng.uniform(0.2, 0.6) * (at - covariances.origin)[..., None]
    else:
        choleskys = np.tril(0.4 * rng.normal(size=(K, d, d)), -1) + rng.uniform(0.4, 1.4, size=(K, d, 1)) * np.eye(d)
        choleskys = np.repeat(choleskys[:1], K, axis=0) if isinstance(covariances, Tied) else choleskys
    return Parameters(log_weights=log_weights, means=at, choleskys=choleskys)


def filled(model: GaussianMixture, d: int) -> FilledMixture:
    """The model with sizes written out; nothing in the table is left to the data."""
    return model.filled(np.full(d, np.nan), np.full((d, d), np.nan))


def random_parameters(model: FilledMixture, d: int, rng: np.random.Generator) -> Parameters:
    """A point that the model allows."""
    K = model.n_components
    log_weights, means, covariances = np.log(rng.dirichlet(np.full(K, 3.0))), rng.normal(size=(K, d)), model.covariances
    if isinstance(model.weights, FixedWeights):
        log_weights = np.log(model.weights.values)
    if isinstance(model.means, FixedMeans):
        means = np.asarray(model.means.values)
    if isinstance(covariances, FixedCovariances):
        return Parameters(log_weights=log_weights, means=means, choleskys=np.linalg.cholesky(covariances.values))
    structure = covariances.structure if isinstance(covariances, Tied) else covariances
    n_own = 1 if isinstance(covariances, Tied) else K
    if isinstance(structure, Full):
        choleskys = np.tril(0.4 * rng.normal(size=(n_own, d, d)), -1)
    else:
        choleskys = np.zeros((n_own, d, d))
    n_scales = 1 if isinstance(structure, Spherical) else d
    choleskys[:, np.arange(d), np.arange(d)] = rng.uniform(0.4, 1.4, size=(n_own, n_scales))
    return Parameters(log_weights=log_weights, means=means, choleskys=np.broadcast_to(choleskys, (K, d, d)).copy())


def small_data(K: int, d: int, n: int, rng: np.random.Generator) -> Array:
    """Rows (d, n) from K overlapping clumps."""
    centers = 1.5 * rng.normal(size=(K, d))
    return np.ascontiguousarray((centers[rng.integers(K, size=n)] + rng.normal(size=(n, d))).T)


def problem(model: FilledMixture, x: Array) -> Problem:
    """Data (d, n) and a model that are in standard units already."""
    d = len(x)
    units = Units(center=np.zeros(d), scale=np.ones(d))
    return Problem(
        rows=make_rows(x.T), x=x, model=model, declared=model, units=units, data_cholesky=np.eye(d), n_threads=1
    )


def log_joint_by_scipy(x: Array, log_scales: Array, means: Array, choleskys: Array) -> Array:
    """Log of scale times density, (K, n), of rows x (d, n)."""
    rows = x.T
    factors = [stats.Covariance.from_cholesky(factor) for factor in choleskys]
    # scipy drops the axis of a single row or feature.
    terms = [stats.multivariate_normal.logpdf(rows, m, f).reshape(-1) for m, f in zip(means, factors, strict=True)]
    return np.asarray(log_scales)[:, None] + np.stack(terms)


def log_likelihood_by_scipy(x: Array, at: Parameters) -> float:
    return float(logsumexp(log_joint_by_scipy(x, at.log_weights, at.means, at.choleskys), axis=0).sum())


def log_prior_by_scipy(model: FilledMixture, at: Parameters) -> float:
    """Log prior density in each part's own parameters, without Jacobian."""
    return (
        weights_by_scipy(model.weights, np.exp(at.log_weights))
        + means_by_scipy(model.means, at.means, at.covariances)
        + covariances_by_scipy(model.covariances, at.covariances)
    )


def sticks(weights: Array) -> Array:
    """Fractions broken off what is left of the stick."""
    rest = np.append(1.0, 1.0 - np.cumsum(weights)[:-1])
    return (weights / rest)[:-1]


def weights_by_scipy(prior: object, weights: Array) -> float:
    match prior:
        case Dirichlet() if weights.size > 1:
            return float(stats.dirichlet.logpdf(weights, np.broadcast_to(prior.concentration, weights.shape)))
        case StickBreaking():
            return float(stats.beta.logpdf(sticks(weights), 1.0, prior.concentration).sum())
    return 0.0


def means_by_scipy(prior: object, means: Array, covariances: Array) -> float:
    match prior:
        case ConjugateMeans():
            wide = covariances / prior.precision_scale
            each = zip(means, np.broadcast_to(prior.loc, means.shape), wide, strict=True)
            return float(sum(stats.multivariate_normal.logpdf(mean, loc, sigma) for mean, loc, sigma in each))
        case NormalMeans():
            return float(stats.norm.logpdf(means, prior.mu, prior.sigma).sum())
    return 0.0


def covariances_by_scipy(structure: object, covariances: Array) -> float:
    match structure:
        case Tied():
            return covariances_by_scipy(structure.structure, covariances[:1])
        case Full():
            return sum(matrix_by_scipy(of_component(structure.prior, k), sigma) for k, sigma in enumerate(covariances))
        case Diagonal() | Spherical():
            m = 1 if isinstance(structure, Spherical) else len(covariances[0])
            return sum(
                variances_by_scipy(of_component(structure.prior, k, separate=True), np.diag(sigma)[:m])
                for k, sigma in enumerate(covariances)
            )
    return 0.0


def of_component(prior: object, k: int, *, separate: bool = False) -> object:
    """The prior on the covariance of component k, where it may be another for each."""
    if isinstance(prior, InverseWishart) and np.ndim(prior.df):
        return InverseWishart(prior.df[k], np.diag(prior.scale[k]) if separate else prior.scale[k])
    return prior


def matrix_by_scipy(prior: object, sigma: Array) -> float:
    d = len(sigma)
    match prior:
        case InverseWishart():
            return float(stats.invwishart.logpdf(sigma, prior.df, np.reshape(prior.scale, (d, d))))
        case LKJ():
            s = np.sqrt(np.diag(sigma))
            log_det = np.linalg.slogdet(sigma / np.outer(s, s))[1]
            # The normaliser in the form of Joe (2006), which differs from the form that the package uses.
            k = np.arange(1, d)
            constant = -k / 2 * np.log(np.pi) - gammaln(prior.eta + (d - 1 - k) / 2) + gammaln(prior.eta + (d - 1) / 2)
            return float(constant.sum() + (prior.eta - 1) * log_det + log_scale_by_scipy(prior.scale, s))
    return 0.0


def variances_by_scipy(prior: object, variances: Array) -> float:
    match prior:
        case InverseWishart():
            return float(stats.invgamma.logpdf(variances, prior.df / 2, scale=np.array(prior.scale) / 2).sum())
        case LKJ():
            return log_scale_by_scipy(prior.scale, np.sqrt(variances))
    return 0.0


def scale_by_scipy(prior: object) -> Any:
    """The frozen scipy distribution of a scale prior."""
    distribution, given = _scale_form(prior)
    return distribution(**given)


def log_scale_by_scipy(prior: object, s: Array) -> float:
    """Log density at s, summed; a distribution is not frozen for every value, which would take most of the time."""
    distribution, given = _scale_form(prior)
    return float(distribution.logpdf(s, **given).sum())


def _scale_form(prior: object) -> tuple[Any, dict[str, Any]]:
    match prior:
        case HalfNormal():
            return stats.halfnorm, {"scale": np.array(prior.sigma)}
        case Gamma():
            return stats.gamma, {"a": np.array(prior.alpha), "scale": 1 / np.array(prior.beta)}
        case Exponential():
            return stats.expon, {"scale": 1 / np.array(prior.lam)}
        case LogNormal():
            return stats.lognorm, {"s": np.array(prior.sigma), "scale": np.exp(prior.mu)}
        case ScaledInverseChi():
            half_df = np.array(prior.df) / 2
            return stats.gengamma, {"a": half_df, "c": -2.0, "scale": np.array(prior.scale) * np.sqrt(half_df)}
    raise AssertionError(prior)


def log_volume(own: Callable[[Array], Array], theta: Array) -> float:
    """Log |d own / d theta| by complex steps; `own` must be analytic and return as many numbers as it gets."""
    step = 1e-30
    columns = [own(theta + 1j * step * unit).imag / step for unit in np.eye(theta.size)]
    return float(np.linalg.slogdet(np.stack(columns, axis=1))[1]) if columns else 0.0


def weights_volume(prior: object, log_weights: Array) -> float:
    """Log |d own parameters / d coordinates| for coordinates along an orthonormal basis of sum zero."""
    if isinstance(prior, FixedWeights):
        return 0.0
    if isinstance(prior, PoissonWeights):
        return float(np.log(-log_weights[0]))
    basis = null_space(np.ones((1, log_weights.size)))

    def own(theta: Array) -> Array:
        w = np.exp(basis @ theta)
        w = w / w.sum()
        return sticks(w) if isinstance(prior, StickBreaking) else w[:-1]

    return log_volume(own, basis.T @ log_weights)


def covariances_volume(structure: object, choleskys: Array) -> float:
    """Log |d own parameters / d coordinates| for log-diagonal and lower entries of each Cholesky factor."""
    if isinstance(structure, FixedCovariances):
        return 0.0
    if isinstance(structure, Tied):
        return covariances_volume(structure.structure, choleskys[:1])
    return sum(_one_volume(structure, factor) for factor in choleskys)


def _one_volume(structure: object, factor: Array) -> float:
    d = len(factor)
    lower = np.tril_indices(d, -1)
    by_scale = isinstance(structure.prior, LKJ)

    def variances(theta: Array) -> Array:
        return np.exp(theta if by_scale else 2 * theta)

    def matrix(theta: Array) -> Array:
        L = np.diag(np.exp(theta[:d]))
        L[lower] = theta[d:]
        sigma = L @ L.T
        if not by_scale:
            return sigma[np.tril_indices(d)]
        s = np.sqrt(np.diag(sigma))
        return np.concatenate([s, (sigma / np.outer(s, s))[lower]])

    logs = np.log(np.diag(factor))
    match structure:
        case Full():
            return log_volume(matrix, np.concatenate([logs, factor[lower]]))
        case Diagonal():
            return log_volume(variances, logs)
    return log_volume(variances, logs[:1])


def derivative(function: Callable[[Array], float], at: Array, step: float = 1e-2) -> Array:
    """Gradient by central differences with three steps, extrapolated (Richardson): error of order step**6."""
    out = np.empty(at.size)
    for i in range(at.size):
        unit = np.zeros(at.size)
        unit[i] = step
        d1, d2, d4 = (
            (function(at + unit / cut) - function(at - unit / cut)) / (2 * step / cut) for cut in (1.0, 2.0, 4.0)
        )
        first, second = (4 * d2 - d1) / 3, (4 * d4 - d2) / 3
        out[i] = (16 * second - first) / 15
    return out
