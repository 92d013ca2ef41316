"""Rows in groups with weights of their own: oracles, agreement between engines, results and messages."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import xarray as xr
from scipy import optimize, stats
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.engines._curvature import hessian
from bayesgmm.engines._objective import Objective, log_prior
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
from bayesgmm.model import FilledMixture, GaussianMixture
from bayesgmm.numerics.linalg import inverse_lower
from bayesgmm.numerics.rows import make_rows
from bayesgmm.results import FIT, sealed
from tests import contract
from tests.contract import derivative

matplotlib.use("Agg")

FLAT = bg.Flat()
EM, VB, NUTS = bg.EM(threads=1), bg.VB(threads=1), bg.NUTS(draws=400, tune=200, cores=1)
SHARES = {"a": 0.8, "b": 0.3, "c": 0.55}


def fitted(model, data, engine=EM, seed=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.NotConvergedWarning)
        return bg.fit(model, data, engine=engine, random_seed=seed, progressbar=False)


def three_groups(n=60, d=2, distance=2.5, seed=0):
    """Rows of groups "a", "b" and "c" in random order, of which `SHARES` belong to the component at 0."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(list(SHARES), n))
    second = rng.random(groups.size) > [SHARES[g] for g in groups]
    return rng.normal(size=(groups.size, d)) + distance * second[:, None], groups


def spoilt(way, n=20, d=2, seed=0):
    """Rows of three groups that were observed in some way."""
    x, groups = three_groups(n, d, seed=seed)
    rng = np.random.default_rng(seed + 1)
    extra = {}
    if "missing" in way:
        x[groups == "b"] = np.where(rng.random((n, d)) < 0.4, np.nan, x[groups == "b"])
    if "counts" in way:
        extra["counts"] = rng.integers(1, 5, len(x))
    if "sds" in way:
        extra["noise"] = 0.1 + 0.5 * rng.random(x.shape) * (groups != "a")[:, None]
    if "covariances" in way:
        factors = rng.normal(size=(len(x), d, d))
        extra["noise"] = 0.1 * factors @ np.swapaxes(factors, 1, 2)
    if "factor" in way:
        extra["noise_scale"] = bg.LogNormal(0.0, 0.5)
    return bg.as_data(x, groups=groups, **extra)


WAYS = ["plain", "missing", "counts", "sds", "missing+sds", "missing+counts+covariances"]


def brute_force(data, weights, means, covariances):
    """Log-likelihood row by row; weights (G, K) by sorted labels."""
    counts = np.ones(data.n_obs) if data.counts is None else data.counts
    labels = sorted(set(data.groups.tolist()))
    total = 0.0
    for i, row in enumerate(data.values):
        o = np.flatnonzero(~np.isnan(row))
        error = np.zeros((row.size, row.size))
        if data.noise is not None:
            error = np.diag(np.square(data.noise[i])) if data.noise.ndim == 2 else data.noise[i]
        own = np.log(weights[labels.index(data.groups[i])])
        if o.size:
            terms = [
                w + stats.multivariate_normal(m[o], (S + error)[np.ix_(o, o)]).logpdf(row[o])
                for w, m, S in zip(own, means, covariances, strict=True)
            ]
            total += counts[i] * logsumexp(terms)
    return total


def a_point(K, d, n_groups, rng):
    L = np.tril(0.3 * rng.normal(size=(K, d, d)), -1) + np.eye(d) * rng.uniform(0.4, 0.9, (K, 1, 1))
    return Parameters(
        log_weights=np.log(rng.dirichlet(np.full(K, 3.0), size=n_groups)), means=rng.normal(size=(K, d)), choleskys=L
    )


PRIORS = {
    "dirichlet": bg.Dirichlet(2.0),
    "dirichlet-by-group": bg.Dirichlet([[1.0, 2.0], [0.5, 3.0], [4.0, 1.5]]),
    "fixed": bg.FixedWeights([0.3, 0.7]),
    "fixed-by-group": bg.FixedWeights([[0.3, 0.7], [0.5, 0.5], [0.9, 0.1]]),
    "flat": FLAT,
    "sticks": bg.StickBreaking(1.75),
}


@pytest.mark.parametrize("way", WAYS)
def test_statistics_are_sums_over_groups(way):
    data = spoilt(way)
    rng = np.random.default_rng(1)
    groups = np.unique(data.groups, return_inverse=True)[1]
    at = a_point(3, 2, 3, rng)
    factors = inverse_lower(at.choleskys)
    rows = make_rows(data.values, data.counts, noise=data.noise, groups=groups)
    found = rows.statistics(at.log_weights, at.means, factors, noise_factor=1.3)
    own = []
    for g in range(3):
        some = [None if each is None else each[groups == g] for each in (data.values, data.counts, data.noise)]
        own.append(make_rows(*some[:2], noise=some[2]))
    each = [own[g].statistics(at.log_weights[g], at.means, factors, noise_factor=1.3) for g in range(3)]
    for name in ("log_normaliser", "counts", "first", "second", "noise_residual"):
        np.testing.assert_allclose(getattr(found, name), sum(getattr(one, name) for one in each), rtol=1e-12)
    np.testing.assert_allclose(found.group_counts, [one.counts for one in each], rtol=1e-12)
    # Slopes in means and covariances, also where some parts hand them out and others do not.
    of_each = [sum(slopes) for slopes in zip(*(one.slopes(factors) for one in each), strict=True)]
    for slope, expected in zip(found.slopes(factors), of_each, strict=True):
        np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-10)
    # The same under weights that do not differ, as one table without groups.
    plain = make_rows(data.values, data.counts, noise=data.noise)
    pooled = rows.statistics(at.log_weights[0], at.means, factors)
    assert pooled.group_counts is None
    assert pooled.log_normaliser == pytest.approx(
        plain.statistics(at.log_weights[0], at.means, factors).log_normaliser, rel=1e-12
    )
    several = at.log_weights[None], at.means[None], factors[None]
    r, log_density = rows.rowwise_of_many(*several, noise_factors=np.array([1.3]))
    for g in range(3):
        at_g = at.log_weights[None, g], at.means[None], factors[None]
        expected_r, expected = own[g].rowwise_of_many(*at_g, noise_factors=np.array([1.3]))
        np.testing.assert_allclose(r[..., groups == g], expected_r, rtol=1e-12)
        np.testing.assert_allclose(log_density[:, groups == g], expected, rtol=1e-12)
    some = np.sort(rng.choice(len(groups), 25, replace=False))
    taken_r, taken = rows.taken(some).rowwise_of_many(*several, noise_factors=np.array([1.3]))
    np.testing.assert_allclose(taken, log_density[:, some], rtol=1e-12)
    np.testing.assert_allclose(taken_r, r[..., some], rtol=1e-12)
    assert rows.taken(some).groups.tolist() == groups[some].tolist()


@pytest.mark.parametrize("way", ["plain", "missing+sds+factor"])
@pytest.mark.parametrize("unconstrained", [False, True], ids=["parameters", "unconstrained"])
@pytest.mark.parametrize("prior", PRIORS)
def test_objective_gradient_and_hessian(prior, unconstrained, way):
    data = spoilt(way)
    problem = build_problem(bg.GaussianMixture(2, weights=PRIORS[prior]), data, n_threads=1)
    rng = np.random.default_rng(5)
    at = replace(a_point(2, 2, 3, rng), log_noise=problem.typical_log_noise)
    if prior.startswith("fixed"):
        at = replace(at, log_weights=problem.model.weights.mode(np.ones((3, 2))))
    objective = Objective(problem, unconstrained=unconstrained)
    value, statistics = objective.value(at)
    own = problem.units.to_data(at)
    expected = brute_force(data, np.exp(own.log_weights), own.means, own.covariances)
    assert statistics.log_normaliser - problem.log_volume == pytest.approx(expected, rel=1e-10)
    # Densities of the weights are those of the groups one by one.
    spec, log_w = problem.model.weights, at.log_weights
    one_by_one = sum(contract.weights_by_scipy(spec.for_group(g), np.exp(log_w[g])) for g in range(3))
    assert spec.log_density(log_w)[0] == pytest.approx(one_by_one, rel=1e-10, abs=1e-10)
    if unconstrained:
        volumes = sum(contract.weights_volume(spec.for_group(g), log_w[g]) for g in range(3))
        assert spec.log_jacobian(log_w)[0] == pytest.approx(volumes, abs=1e-10)
    prior_there = log_prior(problem.model, at, unconstrained)
    if problem.noise is not None:
        prior_there += problem.noise.log_prior(at.log_noise, unconstrained=unconstrained)[0]
    assert value - statistics.log_normaliser == pytest.approx(prior_there, rel=1e-12)

    coordinates = objective.coordinates(at, statistics.weight_counts)
    assert coordinates.size == problem.n_parameters == (0 if prior.startswith("fixed") else 3) + 10 + (way != "plain")
    u = 0.1 * rng.normal(size=coordinates.size)
    _, gradient, there, _ = objective.value_and_gradient(coordinates, u)
    differences = derivative(lambda v: objective.value_and_gradient(coordinates, v)[0], u)
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(coordinates.coordinates(there), u, atol=1e-9)
    many = coordinates.parameters(np.stack([u, -u]))
    np.testing.assert_allclose(many.log_weights[0], there.log_weights, rtol=1e-12)
    assert many.log_weights.shape == (2, 3, 2)

    found = hessian(objective, coordinates, statistics)
    by_differences = np.empty_like(found)
    for i, unit in enumerate(1e-4 * np.eye(coordinates.size)):
        ahead, behind = (objective.value_and_gradient(coordinates, sign * unit)[1] for sign in (1, -1))
        by_differences[i] = (ahead - behind) / 2e-4
    np.testing.assert_allclose(found, by_differences, atol=1e-4)


@pytest.mark.parametrize("engine", [EM, VB], ids=["EM", "VB"])
@pytest.mark.parametrize("way", ["plain", "missing+sds"])
def test_one_group_is_no_group(way, engine):
    data = replace(spoilt(way, n=40), groups=None)
    plain = fitted(bg.GaussianMixture(2), data, engine)
    grouped = fitted(bg.GaussianMixture(2), bg.as_data(data, groups=["all"] * data.n_obs), engine)
    one, other = (fit["point_estimate"].to_dataset() for fit in (plain, grouped))
    assert other["weights"].dims == ("group", "component")
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(np.squeeze(other[name]), np.squeeze(one[name]), rtol=1e-8, atol=1e-8)
    for name in ("log_likelihood", "log_posterior", "elbo", "n_parameters"):
        assert name not in one.attrs or other.attrs[name] == pytest.approx(one.attrs[name], rel=1e-10)
    for name, value in plain["assignments"].data_vars.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(grouped["assignments"][name], value, atol=1e-7)


@pytest.mark.fit
def test_maximum_likelihood_equals_direct_optimisation():
    data = spoilt("missing", n=30, d=1, seed=3)
    fit = fitted(bg.GaussianMixture(2, weights=FLAT, means=FLAT, covariances=FLAT), data)
    at = fit["point_estimate"].to_dataset()
    assert at.attrs["n_parameters"] == 3 + 2 + 2

    def negative(u):
        w = 1 / (1 + np.exp(-u[:3]))
        weights = np.stack([w, 1 - w], axis=1)
        return -brute_force(data, weights, u[3:5, None], np.exp(u[5:])[:, None, None])

    w = at["weights"].to_numpy()
    variances = at["covariances"].to_numpy().ravel()
    start = np.concatenate([np.log(w[:, 0] / w[:, 1]), at["means"].to_numpy().ravel(), np.log(variances)])
    assert -negative(start) == pytest.approx(at.attrs["log_likelihood"], rel=1e-10)
    nearby = start + 0.3 * np.random.default_rng(0).normal(size=start.size)
    best = optimize.minimize(negative, nearby, method="BFGS")
    assert -best.fun == pytest.approx(at.attrs["log_likelihood"], abs=1e-6)
    np.testing.assert_allclose(best.x, start, atol=1e-3)


@pytest.fixture(scope="module")
def data():
    x, groups = three_groups(150)
    return bg.as_data(x, groups=groups)


@pytest.fixture(scope="module")
def fits(data):
    return {engine.name: fitted(bg.GaussianMixture(2), data, engine) for engine in (EM, VB, NUTS)}


def test_engines_agree_and_recover_the_shares(fits):
    posterior = fits["NUTS"]["posterior"].to_dataset()
    assert fits["NUTS"].attrs["status"] == "SAMPLED"
    assert posterior["weights"].dims == ("chain", "draw", "group", "component")
    assert posterior["group"].to_numpy().tolist() == list(SHARES)
    mean, sd = posterior["weights"].mean(("chain", "draw")), posterior["weights"].std(("chain", "draw"))
    np.testing.assert_allclose(mean[:, 0], list(SHARES.values()), atol=4 * float(sd.max()))
    for name in ("EM", "VB"):
        estimate = fits[name]["point_estimate"]["weights"]
        assert float((np.abs(estimate - mean) / sd).max()) < 0.5
    by_vb = fits["VB"]["posterior"]["weights"].std(("chain", "draw"))
    # q is narrower because it takes the labels for independent of the parameters.
    assert 0.6 < float((by_vb / sd).min()) < float((by_vb / sd).max()) < 1.1
    table = bg.compare_engines(fits)
    assert table["weights"].dims == ("fit", "group", "component")
    assert float(table["apart"].max()) < 1.0
    np.testing.assert_allclose(table["weights"].sel(fit="EM"), fits["EM"]["point_estimate"]["weights"])
    assert bg.diagnose(fits["NUTS"])["ok"].to_numpy().all()


def test_groups_make_the_likelihood_no_smaller(data, fits):
    ml = bg.GaussianMixture(2, weights=FLAT, means=FLAT, covariances=FLAT)
    pooled = fitted(ml, data.values)["point_estimate"].attrs["log_likelihood"]
    by_group = fitted(ml, data)["point_estimate"].attrs["log_likelihood"]
    assert by_group > pooled + 10


def test_a_component_that_one_group_lacks():
    """Maximum likelihood on the boundary: a weight of 0 in one of the groups."""
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(size=100), rng.normal(size=60), 12 + rng.normal(size=40)])
    groups = np.repeat([10, 20, 20], [100, 60, 40])
    model = bg.GaussianMixture(2, weights=FLAT, means=FLAT, covariances=FLAT)
    fit = fitted(model, bg.as_data(x, groups=groups))
    assert fit.attrs["status"] == "CONVERGED"
    np.testing.assert_allclose(fit["point_estimate"]["weights"], [[1.0, 0.0], [0.6, 0.4]], atol=1e-6)
    vb = fitted(bg.GaussianMixture(3, weights=bg.Dirichlet(0.05)), bg.as_data(x, groups=groups), VB)
    assert vb.attrs["status"] == "CONVERGED"
    assert bg.occupied_components(vb)["probability"].sel(n_occupied=2) > 0.5


def test_a_group_in_which_nothing_was_observed():
    x, groups = three_groups(40)
    x[groups == "c"] = np.nan
    for engine in (EM, VB):
        fit = fitted(bg.GaussianMixture(2, weights=bg.Dirichlet(1.0)), bg.as_data(x, groups=groups), engine)
        assert fit.attrs["status"] == "CONVERGED"
        np.testing.assert_allclose(fit["point_estimate"]["weights"].sel(group="c"), 0.5, atol=1e-6)
    draws = fit["posterior"]["weights"].sel(group="c").to_numpy()[..., 0].ravel()
    assert stats.kstest(draws, "uniform").pvalue > 1e-3  # the prior


def test_search_with_part_of_the_rows(monkeypatch, data):
    """A random part of the rows may lack a group."""
    groups = data.groups.astype("U2")
    groups[7] = "zz"
    for engine in (EM, VB):
        with monkeypatch.context() as patch:
            patch.setattr("bayesgmm.engines._search._FEWEST_ROWS", 40)
            patch.setattr("bayesgmm.engines._search._ROWS_PER_PARAMETER", 1)
            fit = fitted(bg.GaussianMixture(2), bg.as_data(data.values, groups=groups), engine)
        assert fit.attrs["search_rows"] == "40"
        whole = fitted(bg.GaussianMixture(2), bg.as_data(data.values, groups=groups), engine)
        a, b = (each["point_estimate"]["weights"].to_numpy() for each in (fit, whole))
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.fit
def test_priors_by_group(data):
    values = np.array([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]])
    known = fitted(bg.GaussianMixture(2, weights=bg.FixedWeights(values)), data)
    np.testing.assert_allclose(known["point_estimate"]["weights"], values, rtol=1e-12)
    assert known["point_estimate"].attrs["n_parameters"] == 10
    strong = bg.Dirichlet(1e6 * values)
    for engine in (EM, VB):
        fit = fitted(bg.GaussianMixture(2, weights=strong), data, engine)
        np.testing.assert_allclose(fit["point_estimate"]["weights"], values, atol=1e-3)
    sticks = fitted(bg.GaussianMixture(3, weights=bg.StickBreaking(1.0)), data, VB)
    assert sticks["variational"]["weights_stick_taken"].dims == ("group", "component")
    model = GaussianMixture.from_json(fit.attrs["model"])
    assert isinstance(model, FilledMixture)
    assert "w_g" in str(model)
    assert "by group: Dirichlet((8e+05, 2e+05)); " in str(model)
    assert GaussianMixture.from_json(model.to_json()) == model
    np.testing.assert_allclose(
        fitted(model, data)["point_estimate"]["weights"], values, atol=1e-3
    )  # a stored model can be fitted again


def test_printed_model(fits):
    assert "w_g            ~ Dirichlet((2.225, 2.225)) in each of 3 groups" in str(
        GaussianMixture.from_json(fits["EM"].attrs["model"])
    )


@pytest.mark.fit
def test_roundtrip_and_predict(fits, data, tmp_path):
    new = np.array([[1.2, 1.2], [1.2, 1.2], [0.0, 0.1]])
    for name, fit in fits.items():
        path = tmp_path / f"{name}.nc"
        fit.to_netcdf(path)
        back = xr.open_datatree(path)
        xr.testing.assert_identical(
            back["point_estimate"]["weights"].reset_coords(drop=True).astype(float),
            fit["point_estimate"]["weights"].reset_coords(drop=True).astype(float),
        )
        for table in (None, bg.as_data(new, groups=["b", "a", "c"])):
            here, there = bg.predict(fit, table), bg.predict(back, table)
            np.testing.assert_allclose(there["responsibilities"], here["responsibilities"], rtol=1e-12)
            np.testing.assert_allclose(there["log_density"], here["log_density"], rtol=1e-12)
        # The same values belong to the component of "a" more likely in group "a".
        r = here["responsibilities"].to_numpy()
        assert r[1, 0] > r[0, 0] + 0.2
        back.close()
    fit = fits["EM"]
    at = fit["point_estimate"].to_dataset()
    found = bg.predict(fit, bg.as_data(new, groups=["b", "a", "c"]))
    one = bg.as_data(new[:1], groups=["b"])
    arguments = np.array([at["weights"].sel(group="b")]), at["means"].to_numpy(), at["covariances"].to_numpy()
    assert float(found["log_density"][0]) == pytest.approx(brute_force(one, *arguments), rel=1e-10)
    per_draw = bg.predict(fits["VB"], bg.as_data(new, groups=["b", "a", "c"]), per_draw=True)
    summed = np.log(np.exp(per_draw["log_density"]).mean(("chain", "draw")))
    # The closed form of VB against the average over draws.
    np.testing.assert_allclose(
        bg.predict(fits["VB"], bg.as_data(new, groups=["b", "a", "c"]))["log_density"], summed, atol=0.05
    )


def test_messages(fits, data):
    fit = fits["VB"]
    with pytest.raises(bg.InputError, match=r"data: has no groups.*'a', 'b' and 'c'"):
        bg.predict(fit, data.values)
    with pytest.raises(bg.InputError, match=r"not fitted: 'd' and 'x'.*'a', 'b' and 'c'"):
        bg.predict(fit, bg.as_data(data.values[:3], groups=["x", "a", "d"]))
    with pytest.raises(bg.InputError, match=r"like: got None.*as_data\(rows, groups="):
        bg.simulate(fit, 10)
    with pytest.raises(bg.InputError, match="has numbers for 2 groups, but the data have 3"):
        fitted(bg.GaussianMixture(2, weights=bg.Dirichlet([[1, 2], [3, 4]])), data)
    with pytest.raises(bg.InputError, match="has numbers for 2 groups, but the data have no groups"):
        fitted(bg.GaussianMixture(2, weights=bg.FixedWeights([[0.5, 0.5], [0.3, 0.7]])), data.values)
    with pytest.raises(bg.InputError, match=r"Dirichlet.concentration: has shape \(2, 2\)"):
        bg.GaussianMixture(3, weights=bg.Dirichlet([[1, 2], [3, 4]]))
    with pytest.raises(bg.InputError, match=r"they add up to 0\.9"):
        bg.FixedWeights([[0.5, 0.5], [0.3, 0.6]])
    with pytest.raises(bg.UnsupportedError, match=r"NUTS\(sampler='native'\)"):
        fitted(bg.GaussianMixture(2), data, bg.NUTS(sampler="pymc"))
    with pytest.raises(bg.UnsupportedError, match=r"NUTS\(sampler='native'\)"):
        bg.to_pymc(bg.GaussianMixture(2), data)
    with pytest.raises(bg.UnsupportedError, match=r"concentration of at least 1"):
        fitted(bg.GaussianMixture(2, weights=bg.Dirichlet([[1, 2], [0.5, 4], [1, 1]])), data)
    other = fitted(bg.GaussianMixture(2), bg.as_data(data.values, groups=np.roll(data.groups, 1)), VB)
    with pytest.raises(bg.InputError, match=r"other declaration|other rows"):
        bg.compare_engines([fit, other])


def test_summary(fits, data):
    frame = bg.summary(fits["VB"])
    columns = [f"weight[{g}]{end}" for g in "abc" for end in ("", "_lower", "_upper")]
    assert list(frame.columns[:9]) == columns
    weights = fits["VB"]["posterior"]["weights"].mean(("chain", "draw"))
    for g in "abc":
        np.testing.assert_allclose(frame[f"weight[{g}]"], weights.sel(group=g))
        assert (frame[f"weight[{g}]_lower"] < frame[f"weight[{g}]"]).all()
    assert frame["members"].sum() == data.n_obs
    assert list(bg.summary(fits["EM"]).columns[:4]) == ["weight[a]", "weight[b]", "weight[c]", "mean[x0]"]


def test_what_else_takes_a_fit(fits, data):
    fit = fits["NUTS"]
    again = bg.relabel(fit)
    np.testing.assert_array_equal(again["posterior"]["weights"], fit["posterior"]["weights"])
    to_vb = bg.relabel(fit, reference=fits["VB"])
    assert to_vb["posterior"]["weights"].dims == fit["posterior"]["weights"].dims
    pooled = fitted(bg.GaussianMixture(2), data.values)
    bg.relabel(fit, reference=pooled)
    with pytest.raises(bg.InputError, match=r"reference: has the groups 'a', 'b' and 'c'.*no groups"):
        bg.relabel(fitted(bg.GaussianMixture(2), data.values, VB), reference=fit)
    by_row = bg.add_log_likelihood(fit)["log_likelihood"]["x"].isel(chain=0, draw=5)
    draw = fit["posterior"].to_dataset().isel(chain=0, draw=5)
    arguments = (draw[name].to_numpy() for name in ("weights", "means", "covariances"))
    assert float(by_row.sum()) == pytest.approx(brute_force(data, *arguments), rel=1e-9)
    assert bg.occupied_components(fit)["probability"].sel(n_occupied=2) == 1.0
    copies = bg.add_posterior_predictive(fit, n_draws=200, random_seed=1)["posterior_predictive"]["x"]
    for g, share in SHARES.items():
        mean = float(copies.isel(chain=0)[:, data.groups == g].mean())
        assert mean == pytest.approx(2.5 * (1 - share), abs=0.3)


def test_labels_that_switch_are_put_right(fits):
    """Relabelling takes the components of all groups along."""
    fit = fits["NUTS"].copy()
    order = [1, 0]
    for name in ("posterior", "unrelabelled"):
        tree = fit[name].to_dataset().copy(deep=True)
        for variable in ("weights", "means", "covariances"):
            values = tree[variable].to_numpy().copy()
            axis = tree[variable].dims.index("component")
            values[:, ::2] = np.take(values[:, ::2], order, axis)
            tree[variable] = tree[variable].copy(data=values)
        fit[name] = tree
    right = bg.relabel(sealed(fit, FIT))
    np.testing.assert_allclose(right["posterior"]["weights"], fits["NUTS"]["posterior"]["weights"], rtol=1e-12)
    assert right["relabelling"].attrs["switched_draws"] == fit["posterior"].sizes["draw"] // 2 * 4


def test_simulate(fits, data):
    copy = bg.simulate(fits["EM"], like=data, random_seed=1)
    assert copy["groups"].to_numpy().tolist() == data.groups.tolist()
    assert copy["weights"].dims == ("group", "component")
    large = bg.simulate(fits["EM"], 30_000, like=data, random_seed=1)
    weights = fits["EM"]["point_estimate"]["weights"]
    for g in SHARES:
        share = float((large["label"] == 0).where(large["groups"] == g).mean())
        assert share == pytest.approx(float(weights.sel(group=g)[0]), abs=0.02)
    model = bg.GaussianMixture(
        2, means=bg.NormalMeans(mu=[0.0, 0.0], sigma=3.0), covariances=bg.InverseWishart(df=5, scale=np.eye(2))
    )
    drawn = bg.simulate(model, like=data, random_seed=3)
    assert drawn["weights"].shape == (3, 2)
    assert len(np.unique(drawn["weights"])) == 6
    again = fitted(bg.GaussianMixture(2), bg.as_data(drawn["x"].to_numpy(), groups=drawn["groups"].to_numpy()))
    assert again["point_estimate"]["weights"].shape == (3, 2)


@pytest.mark.fit
@pytest.mark.parametrize("way", ["missing+sds", "missing+counts+covariances"])
@pytest.mark.parametrize("engine", [EM, VB], ids=["EM", "VB"])
def test_with_other_ways_of_observing(way, engine):
    data = spoilt(way, n=60, seed=4)
    fit = fitted(bg.GaussianMixture(2), data, engine)
    assert fit.attrs["status"] == "CONVERGED"
    at = fit["point_estimate"].to_dataset()
    if engine is EM:
        arguments = (at[name].to_numpy() for name in ("weights", "means", "covariances"))
        assert at.attrs["log_likelihood"] == pytest.approx(brute_force(data, *arguments), rel=1e-9)
    true = bg.denoise(fit, n_draws=2, random_seed=0)
    assert np.isfinite(true["x"]).all()
    assert np.isfinite(true["x_draws"]).all()
    filled = bg.impute(fit)["x"].to_numpy()
    there = ~np.isnan(data.values)
    np.testing.assert_array_equal(filled[there], data.values[there])
    assert len(bg.summary(fit)) == 2


@pytest.mark.parametrize("noise", [None, 0.3], ids=["bins", "bins+sd"])
def test_bins_of_each_group(noise):
    rng = np.random.default_rng(3)
    bins, counts, labels = [], [], []
    for group, share, n in (("a", 0.8, 400), ("b", 0.3, 500)):
        values = rng.normal(size=n) + 5.0 * (rng.random(n) > share)
        edges = np.concatenate([[-np.inf], np.linspace(-2, 8, 21 if group == "a" else 31), [np.inf]])
        bins += list(pairwise(edges))
        counts += np.histogram(values, edges)[0].tolist()
        labels += [group] * (len(edges) - 1)
    data = bg.as_data(bins=bins, counts=counts, groups=labels, noise=noise)
    fit = fitted(bg.GaussianMixture(2, weights=FLAT, means=FLAT, covariances=FLAT), data)
    at = fit["point_estimate"].to_dataset()
    np.testing.assert_allclose(at["weights"][:, 0], [0.8, 0.3], atol=0.06)
    np.testing.assert_allclose(at["means"][:, 0], [0.0, 5.0], atol=0.2)
    weights, means = at["weights"].to_numpy(), at["means"].to_numpy()[:, 0]
    sds = np.sqrt(at["covariances"].to_numpy()[:, 0, 0] + (noise or 0.0) ** 2)
    mass = np.diff(stats.norm.cdf(data.bins[:, None, :], means[:, None], sds[:, None]), axis=-1)[..., 0]
    own = weights[(np.array(labels) == "b").astype(int)]
    assert at.attrs["log_likelihood"] == pytest.approx(counts @ np.log((own * mass).sum(axis=1)), rel=1e-9)
    copy = bg.simulate(fit, like=data, random_seed=1)
    centres = {group: set(data.values[data.groups == group, 0]) for group in "ab"}
    for group in "ab":
        simulated = copy["x"].to_numpy()[copy["groups"].to_numpy() == group, 0]
        assert len(simulated) == {"a": 400, "b": 500}[group]
        assert set(simulated) <= centres[group]


@pytest.mark.fit
def test_chains_with_missing_values_and_an_unknown_factor():
    """The density for chains against that of the parameters themselves."""
    data = spoilt("missing+sds+factor", n=30)
    fit = fitted(bg.GaussianMixture(2), data, bg.NUTS(draws=30, tune=60, chains=2, cores=1, n_init=8))
    draws = fit["posterior"].to_dataset()
    assert draws["weights"].shape[1:] == (30, 3, 2)  # a chain in a lower mode is left out
    assert draws["noise_scale"].shape == draws["weights"].shape[:2]
    by_row = bg.add_log_likelihood(fit)["log_likelihood"]["x"].sum("obs").isel(chain=-1, draw=7)
    one = draws.isel(chain=-1, draw=7)
    scaled = bg.as_data(data.values, noise=data.noise * float(one["noise_scale"]), groups=data.groups)
    arguments = (one[name].to_numpy() for name in ("weights", "means", "covariances"))
    assert float(by_row) == pytest.approx(brute_force(scaled, *arguments), rel=1e-9)


def test_plots_show_all_rows_together(fits, data):
    from matplotlib import pyplot as plt

    fit = fits["VB"]
    figure = bg.plots.plot_components(fit)[0].figure
    share = float(fit["point_estimate"]["weights"].mean("group")[0])  # groups are equally large
    texts = [text.get_text() for ax in figure.axes for text in ax.get_legend().get_texts()]
    assert f"component 0: weight {share:.2f}" in texts
    ax = bg.plots.plot_density(fit)
    total = next(line for line in ax.lines if line.get_label() == "total")
    grid, density = total.get_data()
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.02)
    bg.plots.plot_responsibilities(fit)
    bg.plots.plot_optimization(fit)
    plt.close("all")
