"""Geweke's (2004) joint-distribution test of every update of the Gibbs sampler.

Parameters, labels and rows are drawn jointly in two ways: from the prior and the likelihood, written here anew,
and by sweeps that alternate with new rows given parameters and labels. Both have the same distribution if, and hardly
unless, every update leaves its conditional unchanged.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._gibbs_conditionals import conditionals
from bayesgmm.model import FilledMixture
from bayesgmm.numerics._gibbs_kernel import addresses_of, run_sweeps
from bayesgmm.numerics.linalg import inverse_lower

N, D, K = 7, 2, 3
MOST = 12
SWEEPS, PRIOR_DRAWS = 4_000, 3_000
LARGEST = 4.2  # standard errors, of about 20 quantities in each of about 30 cases

SCALE = np.array([[1.0, 0.3], [0.3, 0.6]])
VARIANCES = np.array([1.0, 0.6])
DF = 7.0
STRUCTURES = {
    "full": bg.Full(bg.InverseWishart(DF, SCALE)),
    "diagonal": bg.Diagonal(bg.InverseWishart(DF, VARIANCES)),
    "spherical": bg.Spherical(bg.InverseWishart(DF, 0.8)),
}
STRUCTURES |= {f"tied {name}": bg.Tied(each) for name, each in STRUCTURES.items()}
STRUCTURES["alike"] = bg.FixedCovariances(SCALE)
STRUCTURES["known"] = bg.FixedCovariances([(1.0 + 0.5 * k) * SCALE for k in range(K)])
HIERARCHICAL = {
    "learnt full": bg.Full(bg.HierarchicalInverseWishart(DF, 6.0, SCALE)),
    "learnt diagonal": bg.Diagonal(bg.HierarchicalInverseWishart(DF, 5.0, VARIANCES)),
    "learnt spherical": bg.Spherical(bg.HierarchicalInverseWishart(DF, 5.0, 0.8)),
    "learnt tied full": bg.Tied(bg.Full(bg.HierarchicalInverseWishart(DF, 6.0, SCALE))),
    "learnt tied spherical": bg.Tied(bg.Spherical(bg.HierarchicalInverseWishart(DF, 5.0, 0.8))),
}
MEANS = {
    "conjugate": bg.ConjugateMeans([0.5, -0.5], 0.7),
    "independent": bg.NormalMeans([0.5, -0.5], [1.0, 1.5]),
    "near": bg.NormalMeans([0.5, -0.5], [0.4, 0.5]),  # numbers of components change little between far ones
}
KNOWN_MEANS = bg.FixedMeans([[-0.4, 0.0], [0.2, 0.4], [0.5, -0.4]])  # near, or labels would hardly move
WEIGHTS = {
    "unequal": bg.Dirichlet([0.6, 1.0, 2.0]),
    "sticks": bg.StickBreaking(1.5),
    "known": bg.FixedWeights([0.2, 0.3, 0.5]),
    "gamma": bg.SparseDirichlet(bg.Gamma(3.0, 2.0)),
    "F": bg.SparseDirichlet(bg.FDistribution(6, 3)),
}


def filled(number, weights, means, covariances):
    model = bg.GaussianMixture(number, weights=weights, means=means, covariances=covariances)
    return model.filled(np.zeros(D), np.eye(D), keep_sparse=True)


def wishart(rng, df, scale):
    """A sum of squares of Normal vectors; whole degrees of freedom only."""
    z = rng.standard_normal((int(df), D)) @ np.linalg.cholesky(scale).T
    return z.T @ z


def prior_covariances(rng, model, K):
    """Covariances (K, d, d) and their scale matrix."""
    covariances = model.covariances
    if isinstance(covariances, bg.FixedCovariances):
        values = np.array(covariances.values)
        return np.resize(values, (K, D, D)), np.eye(D)
    structure = covariances.structure if covariances.tied else covariances
    prior, full = structure.prior, isinstance(structure, bg.Full)
    m = 1 if isinstance(structure, bg.Spherical) else D
    if isinstance(prior, bg.HierarchicalInverseWishart):
        mean, nu = np.array(prior.scale_mean), prior.scale_df
        scale = wishart(rng, nu, mean / nu) if full else rng.gamma(nu / 2, 2 * np.broadcast_to(mean, m) / nu)
    else:
        scale = np.array(prior.scale)
    each = []
    for _ in range(1 if covariances.tied else K):
        if full:
            each.append(np.linalg.inv(wishart(rng, prior.df, np.linalg.inv(scale))))
        else:
            variances = 1 / rng.gamma(prior.df / 2, 2 / np.broadcast_to(scale, m))
            each.append(np.diag(np.broadcast_to(variances, D)))
    scale = scale if full else np.diag(np.broadcast_to(scale, D))
    return np.array(each * K if covariances.tied else each), scale


def prior_weights(rng, weights, K):
    """Weights and the total concentration."""
    if isinstance(weights, bg.FixedWeights):
        return np.array(weights.values), 1.0
    if isinstance(weights, bg.StickBreaking):
        v = np.append(rng.beta(1, weights.concentration, size=K - 1), 1.0)
        return v * np.append(1.0, np.cumprod(1 - v[:-1])), 1.0
    if isinstance(weights, bg.Dirichlet):
        a = np.ravel(weights.concentration)
        return rng.dirichlet(a if a.size == K else np.full(K, a[0])), 1.0
    prior = weights.concentration
    total = prior
    if isinstance(prior, bg.Gamma):
        total = rng.gamma(prior.alpha, 1 / prior.beta)
    elif isinstance(prior, bg.FDistribution):
        total = rng.f(prior.d1, prior.d2)
    return rng.dirichlet(np.full(K, total / K)), total


def draw_prior(rng, model, number):
    """Parameters, labels and rows."""
    size = model.n_components
    if number is not None:
        p = np.exp(number.log_probability(np.arange(MOST + 1)))
        size = rng.choice(MOST + 1, p=p / p.sum())
    weights, total = prior_weights(rng, model.weights, size)
    covariances, scale = prior_covariances(rng, model, size)
    factors = np.linalg.cholesky(covariances)
    noise = rng.standard_normal((size, D))
    if isinstance(model.means, bg.ConjugateMeans):
        spread = (factors @ noise[..., None])[..., 0] / np.sqrt(model.means.precision_scale)
        means = np.array(model.means.loc) + spread
    elif isinstance(model.means, bg.NormalMeans):
        means = np.array(model.means.mu)[0] + np.array(model.means.sigma)[0] * noise
    else:
        means = np.array(model.means.values)
    labels = rng.choice(size, p=weights, size=N)
    return {"number": size, "weights": weights, "means": means, "L": factors, "total": total, "scale": scale,
            "labels": labels, "x": rows_of(rng, means, factors, labels), "any": any_of(rng, size, number)}  # fmt: skip


def any_of(rng, size, number):
    return 0 if number is None else rng.integers(size)


def rows_of(rng, means, factors, labels):
    return (means[labels] + (factors[labels] @ rng.standard_normal((N, D, 1)))[..., 0]).T


def quantities(at):
    """Bounded, or with light tails, so that means have standard errors."""
    # One component that holds a row, and one whether it does or not: the first, unless the order says which do.
    k, means, L, x = at["labels"][0], at["means"], at["L"], at["x"]
    j = at["any"]
    with np.errstate(divide="ignore"):
        log_weight = np.maximum(np.log(at["weights"][k]), -8.0)
    values = [
        at["number"],
        len(set(at["labels"])),
        log_weight,
        at["weights"][j],
        *np.tanh(means[k]),
        *np.tanh(means[j]),
        *np.log(np.diag(L[k])),
        L[k, 1, 0] / np.hypot(L[k, 1, 0], L[k, 1, 1]),
        *np.log(np.diag(L[j])),
        np.tanh(x[0, 0]),
        np.tanh(x[1, 0]) * np.tanh(x[1, 1]),
        np.log(at["total"]),
        np.log(at["scale"][0, 0]),
        np.log(at["scale"][1, 1]),
        at["scale"][0, 1] / np.sqrt(at["scale"][0, 0] * at["scale"][1, 1]),
    ]
    values = np.array(values, dtype=float)
    return np.concatenate([values, np.square(values)])


def sweep(rng, arguments, state, labels, x):
    S = 0
    outputs = [np.zeros(S, dtype=np.int64), np.zeros(S, dtype=np.int64), np.zeros(S), np.zeros(S), np.zeros((S, D, D))]
    M = state[1].size
    outputs += [np.zeros((S, M)), np.zeros((S, M)), np.zeros((S, M, D)), np.zeros((S, M, D, D))]
    run_sweeps(addresses_of(splits=True), rng, x, labels, *arguments, *state, 1, 1, *outputs)


def by_sweeps(rng, model, number, n):
    code = conditionals(model, D, number, MOST, tries=2)
    at = draw_prior(rng, model, number)
    M, size = code.most, at["number"]
    L = np.tile(at["L"][:1], (M, 1, 1))
    state = np.array([size]), np.zeros(M), np.zeros((M, D)), L, inverse_lower(L)
    state[1][:size] = np.maximum(np.log(np.maximum(at["weights"], 1e-300)), -690)
    state[2][:size], state[3][:size], state[4][:size] = at["means"], at["L"], inverse_lower(at["L"])
    state += np.array([float(at["total"])]), np.ascontiguousarray(at["scale"])
    labels, x, out, arguments = at["labels"].astype(np.int64), np.ascontiguousarray(at["x"]), [], code.arguments()
    for _ in range(n):
        sweep(rng, arguments, state, labels, x)
        size = state[0][0]
        x = np.ascontiguousarray(rows_of(rng, state[2], state[3], labels))
        scale = code.scale_matrices(state[6][None])[0]
        now = {"number": size, "weights": np.exp(state[1][:size]), "means": state[2], "L": state[3],
               "total": state[5][0], "scale": scale, "labels": labels, "x": x}  # fmt: skip
        now["any"] = any_of(rng, size, number)
        out.append(quantities(now))
    return np.array(out)


def standard_errors(values):
    batches = values[: len(values) // 40 * 40].reshape(40, -1, values.shape[1]).mean(axis=1)
    return batches.std(axis=0, ddof=1) / np.sqrt(40)


def largest_difference(model, number=None, seed=1):
    rng = np.random.default_rng(seed)
    prior = np.array([quantities(draw_prior(rng, model, number)) for _ in range(PRIOR_DRAWS)])
    found = by_sweeps(rng, model, number, SWEEPS)
    error = np.hypot(prior.std(axis=0) / np.sqrt(PRIOR_DRAWS), standard_errors(found))
    difference = np.abs(found.mean(axis=0) - prior.mean(axis=0))
    fixed = error < 1e-12
    assert (difference[fixed] < 1e-9).all()
    assert (~fixed).sum() > 10
    return (difference[~fixed] / error[~fixed]).max()


@pytest.mark.parametrize("means", ["conjugate", "independent"])
@pytest.mark.parametrize("covariances", [name for name in [*STRUCTURES, *HIERARCHICAL] if name != "alike"])
def test_covariances_and_means(covariances, means):
    model = filled(K, bg.Dirichlet(1.5), MEANS[means], (STRUCTURES | HIERARCHICAL)[covariances])
    assert largest_difference(model) < LARGEST


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights(weights):
    assert largest_difference(filled(K, WEIGHTS[weights], MEANS["independent"], STRUCTURES["spherical"])) < LARGEST


@pytest.mark.parametrize("covariances", ["full", "tied diagonal"])
def test_known_means(covariances):
    assert largest_difference(filled(K, bg.Dirichlet(1.5), KNOWN_MEANS, STRUCTURES[covariances])) < LARGEST


NUMBERS = {
    "static": (1 + bg.Poisson(1.5), bg.Dirichlet(0.8), "conjugate", "full"),
    "dynamic": (1 + bg.BetaNegativeBinomial(1, 4, 3), WEIGHTS["F"], "near", "diagonal"),
    "known total": (1 + bg.Geometric(0.4), bg.SparseDirichlet(2.0), "conjugate", "tied full"),
    "learnt scale": (bg.UniformComponents(6), WEIGHTS["gamma"], "near", "learnt spherical"),
    "tied": (1 + bg.Poisson(1.5), bg.Dirichlet(0.8), "near", "tied diagonal"),
    "alike": (1 + bg.Poisson(1.5), bg.SparseDirichlet(2.0), "conjugate", "alike"),
    "learnt full scale": (bg.UniformComponents(4), bg.Dirichlet(1.0), "conjugate", "learnt full"),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_number_of_components(case):
    number, weights, means, covariances = NUMBERS[case]
    model = filled(number, weights, MEANS[means], (STRUCTURES | HIERARCHICAL)[covariances])
    assert isinstance(model, FilledMixture)
    assert largest_difference(model, number) < LARGEST


MORE = 1 + bg.Poisson(2.5)
STATIC, SPARSE = bg.Dirichlet(0.8), bg.SparseDirichlet(2.0)
WRONG = {
    "df": ("conjugate", STATIC, {"df": DF + 2}, None),
    "precision scale": ("conjugate", STATIC, {"kappa": 2.0}, None),
    "concentration": ("near", STATIC, {"concentration": np.full(K, 2.4)}, None),
    "prior on K": ("conjugate", STATIC, {"log_prior": MORE.log_probability(np.arange(MOST + 1))}, 1 + bg.Poisson(1.5)),
    # With a known number this is only read where a split or a merge is accepted: as if there were two components.
    "acceptance": ("conjugate", SPARSE, {"log_prior": np.array([-np.inf, -np.inf, 0.0, -3.0])}, None),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_update_is_found(case, monkeypatch):
    means, weights, changes, number = WRONG[case]
    model = filled(number or K, weights, MEANS[means], STRUCTURES["full"])
    right = conditionals

    def wrong(*arguments, **options):
        return dataclasses.replace(right(*arguments, **options), **changes)

    monkeypatch.setattr("tests.engines.test_gibbs_updates.conditionals", wrong)
    assert largest_difference(model, number) > 1.2 * LARGEST
