"""The Normal approximation: its measure, its draws against those of NUTS, and what is said where it is poor."""

import re

import arviz as az
import numpy as np
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm.engines._normal import NormalApproximation, log_priors
from bayesgmm.engines._objective import Coordinates, log_prior
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Noise, Parameters
from bayesgmm.inference.default_engine import choose_engine
from bayesgmm.numerics.simplex import isometric_basis
from tests.contract import (
    FACTORIES,
    IDS,
    LINKED,
    a_scale_matrix,
    filled,
    linked_parameters,
    problem,
    random_parameters,
    small_data,
)

# One start, and no split-and-merge moves: where the optimum is matters here, not whether hard ones are found.
LAPLACE = bg.Laplace(threads=1, n_init=1, n_polish=1)
PROPER = [(name, factory) for name, factory in zip(IDS, FACTORIES, strict=True) if "flat" not in name]
PROPER_IDS = [name for name, _ in PROPER]
LINKED_PROPER = [name for name in LINKED if "flat" not in name and name != "spaced-tied"]


def fit(model, data, engine=LAPLACE, seed=1):
    return bg.fit(model, data, engine=engine, random_seed=seed, progressbar=False)


def stacked(points):
    """Many points from a list of them."""
    return Parameters(
        log_weights=np.stack([each.log_weights for each in points]),
        means=np.stack([each.means for each in points]),
        choleskys=np.stack([each.choleskys for each in points]),
        log_noise=np.array([each.log_noise for each in points]),
    )


# The measure ---------------------------------------------------------------------------------------------------------


def standard_coordinates(model, at):
    """What densities of the unconstrained coordinates belong to, written here anew."""
    out = []
    if isinstance(model.weights, bg.PoissonWeights):
        out.append(np.log(-at.log_weights[:1]))  # the first weight is exp(-L)
    elif not isinstance(model.weights, bg.FixedWeights):
        out.append(isometric_basis(at.log_weights.size).T @ at.log_weights)
    means, covariances, d = model.means, model.covariances, at.means.shape[1]
    floor = covariances.origin if isinstance(covariances, bg.ConstantCV) else None
    if isinstance(means, bg.EvenlySpacedMeans):
        # The spacing of the first feature is positive; so are distances from where sds would vanish.
        if means.through_zero:
            origin = np.asarray(means.origin)
            least = 0.0 if floor is None else max(0.0, floor - origin[0])
            out.append(np.log(at.means[0] - origin - least))
        else:
            out.append(at.means[0] if floor is None else np.log(at.means[0] - floor))
            if len(at.means) > 1:
                spacing = at.means[1] - at.means[0]
                out += [np.log(spacing[:1]), spacing[1:]]
    elif isinstance(means, bg.SaturatingMeans):
        out.append(at.means[0] if floor is None else np.log(at.means[0] - floor))
        gaps = np.diff(at.means[:, 0])
        out.append(np.log(gaps[:1]))
        if isinstance(means.rho, bg.Beta) and gaps.size > 1:
            rho = gaps[1] / gaps[0]
            out.append(np.array([np.log(rho / (1.0 - rho))]))
    elif not isinstance(means, bg.FixedMeans):
        out.append((at.means if floor is None else np.log(at.means - floor)).ravel())
    if isinstance(covariances, bg.ConstantCV):
        out.append(np.log(at.choleskys[0, 0] / (at.means[0] - covariances.origin)))
    elif isinstance(covariances, bg.LinearVariance):
        squares = np.square(at.choleskys[:2, 0, 0])
        out.append(0.5 * np.log(np.append(squares[:1], np.diff(squares))))
    elif not isinstance(covariances, bg.FixedCovariances):
        tied = isinstance(covariances, bg.Tied)
        structure = covariances.structure if tied else covariances
        for L in at.choleskys[:1] if tied else at.choleskys:
            logs = np.log(np.diag(L))
            out.append(logs[:1] if isinstance(structure, bg.Spherical) else logs)
            if isinstance(structure, bg.Full):
                out.append(L[np.tril_indices(d, -1)])
    return np.concatenate(out) if out else np.empty(0)


def log_det_of_differences(of, at, u, step=1e-3):
    columns = []
    for i in range(u.size):
        move = np.zeros(u.size)
        move[i] = step
        ends = [of(at(u + sign * move)) for sign in (1, -1, 2, -2)]
        columns.append((8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * step))
    return np.linalg.slogdet(np.stack(columns, axis=1))[1]


def check_volume(model, at, rng):
    coordinates = Coordinates(model, at, rng.uniform(3, 30, at.log_weights.shape))
    if coordinates.size == 0:
        assert coordinates.log_volume == 0.0
        return
    # The volume is the same everywhere, so that a density in u is one in the standard coordinates up to a constant.
    for u in (np.zeros(coordinates.size), rng.normal(0, 0.7, coordinates.size)):
        found = log_det_of_differences(lambda p: standard_coordinates(model, p), coordinates.parameters, u)
        assert coordinates.log_volume == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize(("K", "d"), [(1, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_volume_of_the_coordinates(factory, K, d):
    rng = np.random.default_rng(2)
    model = filled(factory(K, d), d)
    check_volume(model, random_parameters(model, d, rng), rng)


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("name", LINKED)
def test_volume_of_linked_coordinates(name, K):
    d, factory = LINKED[name]
    rng = np.random.default_rng(3)
    model = filled(factory(K), d)
    check_volume(model, linked_parameters(model, d, rng), rng)


def check_priors(of, points):
    found = log_priors(of, stacked(points))
    one_by_one = [log_prior(of.model, each, True) for each in points]
    if of.noise is not None:
        one_by_one = [
            value + of.noise.log_prior(at.log_noise, unconstrained=True)[0]
            for value, at in zip(one_by_one, points, strict=True)
        ]
    np.testing.assert_allclose(found, one_by_one, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("K", "d"), [(1, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize("factory", [factory for _, factory in PROPER], ids=PROPER_IDS)
def test_priors_of_many_points_are_those_of_each(factory, K, d):
    rng = np.random.default_rng(4)
    model = filled(factory(K, d), d)
    check_priors(problem(model, np.zeros((d, 5))), [random_parameters(model, d, rng) for _ in range(4)])


@pytest.mark.parametrize("name", LINKED_PROPER)
def test_priors_of_many_linked_points(name):
    d, factory = LINKED[name]
    rng = np.random.default_rng(5)
    model = filled(factory(3), d)
    check_priors(problem(model, np.zeros((d, 5))), [linked_parameters(model, d, rng) for _ in range(4)])


@pytest.mark.parametrize("covariances", [bg.Full(), bg.LKJ()], ids=["conjugate", "not conjugate"])
def test_priors_with_groups_and_unknown_errors(covariances):
    rng = np.random.default_rng(6)
    x = rng.normal(size=(30, 2))
    data = bg.as_data(x, groups=np.arange(30) % 3, noise=np.full((30, 2), 0.2), noise_scale=bg.LogNormal(0.1, 0.4))
    of = build_problem(bg.GaussianMixture(2, weights=bg.Dirichlet(0.5), covariances=covariances), data)
    assert isinstance(of.noise, Noise)
    points = [
        Parameters(
            log_weights=np.log(rng.dirichlet([2.0, 3.0], size=3)),
            means=rng.normal(size=(2, 2)),
            choleskys=np.linalg.cholesky(np.stack([a_scale_matrix(2), 2.0 * a_scale_matrix(2)])),
            log_noise=rng.normal(),
        )
        for _ in range(3)
    ]
    check_priors(of, points)


STRUCTURES = {
    "full": lambda d: bg.Full(bg.InverseWishart(d + 2.5, a_scale_matrix(d))),
    "diagonal": lambda d: bg.Diagonal(bg.InverseWishart(3.5, 0.5 + 0.3 * np.arange(d))),
    "spherical": lambda d: bg.Spherical(bg.InverseWishart(3.5, 0.8)),
    "tied": lambda d: bg.Tied(bg.Full(bg.InverseWishart(d + 2.5, a_scale_matrix(d)))),
    "fixed": lambda d: bg.FixedCovariances(a_scale_matrix(d)),
}


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_evidence_of_one_component_is_exact(structure, d):
    rng = np.random.default_rng(7)
    x = 3.0 + 2.0 * rng.normal(size=(25, d))
    means = bg.ConjugateMeans(0.2 + 0.3 * np.arange(d), 0.3)
    model = bg.GaussianMixture(1, means=means, covariances=STRUCTURES[structure](d))
    estimators = [bg.VBBound(engine=bg.VB(threads=1, draws=200)), bg.LaplaceEvidence(engine=LAPLACE, draws=4000)]
    found = bg.log_evidence(model, x, estimator=estimators, random_seed=1, progressbar=False)
    exact = found["value"].sel(estimate="VB bound").item()
    sampled = found.sel(estimate="Laplace, importance sampling")
    assert 0 < sampled["error"] < 0.03
    assert sampled["value"].item() == pytest.approx(exact, abs=4 * sampled["error"].item())
    assert sampled["reliable"]
    # The formula has an error of order 1 / N.
    assert found["value"].sel(estimate="Laplace").item() == pytest.approx(exact, abs=0.3)


@pytest.mark.parametrize(
    "model",
    [
        bg.GaussianMixture(2, means=bg.NormalMeans(0.0, 2.0), covariances=bg.LKJ(scale=bg.HalfNormal(1.0))),
        bg.GaussianMixture(2, means=bg.NormalMeans(4.0, 2.0), covariances=bg.ConstantCV(bg.LogNormal(-1.0, 0.5))),
        bg.GaussianMixture(
            2,
            means=bg.EvenlySpacedMeans(bg.NormalMeans([[-2.0], [4.0]], [[1.0], [1.0]])),
            covariances=bg.InverseWishart(4.0, 2.0),
        ),
    ],
    ids=["lkj", "one-cv", "spaced"],
)
@pytest.mark.parametrize("df", [None, 5.0])
def test_density_is_that_of_the_standard_coordinates(model, df):
    """Log density at draws against the Normal or t of the standard coordinates by the change of variables."""
    rng = np.random.default_rng(8)
    center = 4.0 if isinstance(model.covariances, bg.ConstantCV) else 0.0
    x = center + np.concatenate([rng.normal(-2, 0.5, 20), rng.normal(2, 0.7, 20)])
    of = build_problem(model, bg.as_data(x))
    outcome = LAPLACE.run(of, rng, _Quiet())
    approximation = outcome.approximation
    approximation = approximation if df is None else approximation.with_tails(df)
    points = approximation.draw(rng, 3)
    found = approximation.log_density(points)
    for s in range(3):
        at = points.taken(s)
        coordinates = approximation._coordinates
        u = coordinates.coordinates(at)
        volume = log_det_of_differences(lambda p: standard_coordinates(of.model, p), coordinates.parameters, u)
        z = np.linalg.solve(approximation._factor, u)
        log_det = np.linalg.slogdet(approximation._factor)[1]
        p = u.size
        if df is None:
            density = -0.5 * z @ z - 0.5 * p * np.log(2 * np.pi)
        else:
            from scipy.stats import multivariate_t

            density = multivariate_t(np.zeros(p), np.eye(p), df).logpdf(z)
        assert found[s] == pytest.approx(density - log_det - volume, abs=1e-6)


class _Quiet:
    def step(self, *_):
        pass


def test_draws_have_the_curvature_of_the_posterior():
    """One Normal with known covariance: the posterior of the mean is a Normal, and so is the approximation."""
    rng = np.random.default_rng(9)
    x = rng.normal(1.0, 2.0, size=(40, 2))
    sigma = np.array([[4.0, 1.0], [1.0, 3.0]])
    model = bg.GaussianMixture(1, means=bg.NormalMeans(0.5, 1.5), covariances=bg.FixedCovariances(sigma))
    of = build_problem(model, bg.as_data(x))
    approximation = LAPLACE.run(of, rng, _Quiet()).approximation
    draws = approximation.draw(rng, 4000)
    means = of.units.to_data(draws).means[:, 0]
    precision = 40 * np.linalg.inv(sigma) + np.eye(2) / 1.5**2
    center = np.linalg.solve(precision, 40 * np.linalg.solve(sigma, x.mean(axis=0)) + 0.5 / 1.5**2)
    np.testing.assert_allclose(means.mean(axis=0), center, atol=4 * 0.4 / np.sqrt(4000))
    np.testing.assert_allclose(np.cov(means.T), np.linalg.inv(precision), rtol=0.1, atol=0.006)
    weights = approximation.log_prior(draws) + of.likelihoods(draws)[0] - approximation.log_density(draws)
    assert np.ptp(weights) < 1e-6


def test_moved_and_of_draws_take_the_moments_of_draws():
    rng = np.random.default_rng(10)
    of = build_problem(bg.GaussianMixture(2), bg.as_data(small_data(2, 2, 60, rng).T))
    first = LAPLACE.run(of, rng, _Quiet()).approximation
    draws = first.draw(rng, 3000)
    again = NormalApproximation.of_draws(of, draws, 500.0)
    # All but Normal with 500 degrees of freedom: near the same density at all draws.
    np.testing.assert_allclose(again.log_density(draws), first.log_density(draws), atol=1.5)
    assert abs(np.mean(again.log_density(draws) - first.log_density(draws))) < 0.05
    moved = first.moved(draws, np.full(3000, 1 / 3000), 500.0, 2.0)
    assert abs(np.mean(moved.log_density(draws) - first.log_density(draws))) < 0.05
    # With all the weight on one draw the covariance stays near the old one's.
    one = np.zeros(3000)
    one[7] = 1.0
    pointed = first.moved(draws, one, 500.0, 2.0)
    np.testing.assert_allclose(pointed._center, first._coordinates.coordinates(draws)[7])
    ratio = np.linalg.slogdet(pointed._factor)[1] - np.linalg.slogdet(first._factor)[1]
    p = first._center.size
    assert ratio == pytest.approx(0.5 * p * np.log(2 * p / (2 * p + 1)), abs=1e-9)


# Draws ---------------------------------------------------------------------------------------------------------------


def separated(n=300, d=2, seed=3):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    return rng.normal(size=(n, d)) * np.where(labels, 1.0, 0.7)[:, None] + np.where(labels, 0.0, 6.0)[:, None]


def quantities(result):
    """Parameters (chain, draw) by name, components in the order of their first means."""
    order = np.argsort(result["point_estimate"]["means"].to_numpy()[:, 0])
    posterior = result["posterior"].to_dataset().isel(component=order)
    out = {name: posterior[name].to_numpy().reshape(4, -1, posterior[name][0, 0].size) for name in ("weights", "means")}
    covariances = posterior["covariances"].to_numpy()
    i, j = np.tril_indices(covariances.shape[-1])
    out["covariances"] = covariances[..., i, j].reshape(*covariances.shape[:2], -1)
    return {f"{name} {m}": values[..., m] for name, values in out.items() for m in range(values.shape[2])}


def test_draws_agree_with_nuts():
    x = separated()
    model = bg.GaussianMixture(2)
    exact = fit(model, x, bg.NUTS(draws=500, tune=200, chains=4, cores=1, n_init=4, n_polish=2))
    found = fit(model, x, bg.Laplace(threads=1, n_init=1, n_polish=1, draws=4000))
    assert float(found.attrs["pareto_k"]) < 0.5
    assert found.attrs["correction"].startswith("resampled by importance weights")
    by_chain, by_normal = quantities(exact), quantities(found)
    assert len(by_chain) == 2 + 4 + 6
    for name, values in by_chain.items():
        sd = values.std()
        ess, ess_sd = az.ess(values, method="mean"), az.ess(values, method="sd")
        normal = by_normal[name]
        error = np.hypot(sd / np.sqrt(ess), sd / np.sqrt(2000))
        assert abs(normal.mean() - values.mean()) < 0.1 * sd + 4 * error, name
        error_sd = np.hypot(sd / np.sqrt(2 * ess_sd), sd / np.sqrt(4000))
        assert abs(normal.std() - sd) < 0.1 * sd + 4 * error_sd, name


@pytest.mark.fit
def test_far_from_a_normal():
    # Thirty rows a component, for 65 numbers each.
    x = np.random.default_rng(0).normal(size=(60, 10))
    x[:30, 0] += 8.0
    result = fit(bg.GaussianMixture(2), x, bg.Laplace(threads=1, n_init=8, n_polish=2))
    assert isinstance(result.attrs["pareto_k"], float)
    assert result.attrs["pareto_k"] > 0.7
    assert result.attrs["correction"].startswith("none: Pareto k is")
    # As they were drawn, with their weights beside them.
    assert np.unique(result["posterior"]["weights"].to_numpy().reshape(-1, 2), axis=0).shape[0] == 1000
    assert "log_weight" in result["sample_stats"]
    check = bg.diagnose(result).sel(check="k_hat")
    assert not check["ok"]
    assert check["value"].item() == float(result.attrs["pareto_k"])
    assert "NUTS" in str(check["message"].item())


def test_draws_as_they_are_carry_their_weights():
    x = separated(n=120)
    model = bg.GaussianMixture(  # written out: priors that are left out are others for the evidence
        2,
        weights=bg.Dirichlet(1.0),
        means=bg.ConjugateMeans(x.mean(axis=0), 0.01),
        covariances=bg.InverseWishart(4.0, np.cov(x.T, bias=True) / 2),
    )
    plain = fit(model, x, bg.Laplace(threads=1, n_init=1, n_polish=1, resample=False))
    stats = plain["sample_stats"]
    assert {"lp", "log_weight"} <= set(stats.data_vars)
    assert plain.attrs["correction"].startswith("none: draws of the Normal with their importance weights")
    log_weight = stats["log_weight"].to_numpy().ravel()
    # Their mean is the evidence, up to the units of the parameters: proposals are averaged over labels.
    evidence = np.logaddexp.reduce(log_weight) - np.log(log_weight.size)
    exact = bg.log_evidence(
        model, x, estimator=bg.LaplaceEvidence(engine=LAPLACE), random_seed=1, progressbar=False
    ).sel(estimate="Laplace, importance sampling")
    error = np.hypot(exact["error"].item(), np.exp(log_weight - evidence).std() / np.sqrt(log_weight.size))
    assert evidence == pytest.approx(exact["value"].item(), abs=4 * error)
    corrected = fit(model, x, LAPLACE)
    assert "log_weight" not in corrected["sample_stats"]
    assert bg.diagnose(corrected).sel(check="k_hat")["ok"]


def test_leave_one_out():
    x = separated(n=150)
    result = bg.add_log_likelihood(fit(bg.GaussianMixture(2, covariances=bg.Tied()), x))
    found = az.loo(result)
    rows = result["log_likelihood"]["x"].to_numpy().reshape(-1, 150)
    in_sample = (np.logaddexp.reduce(rows, axis=0) - np.log(len(rows))).sum()
    # Leaving a row out costs about half a nat a parameter.
    assert in_sample - 20 < found.elpd < in_sample - 2


def test_same_seed_same_draws():
    x = separated(n=60)
    one, two, other = (fit(bg.GaussianMixture(2), x, seed=seed) for seed in (5, 5, 6))
    xr.testing.assert_identical(one["posterior"].to_dataset(), two["posterior"].to_dataset())
    assert (one["posterior"]["weights"] != other["posterior"]["weights"]).any()


# Every kind of row ---------------------------------------------------------------------------------------------------


def kinds():
    rng = np.random.default_rng(11)
    x = separated(n=40, seed=4)
    holes = np.where(rng.random(x.shape) < 0.2, np.nan, x)
    edges = np.linspace(-4, 10, 15)
    counts = np.histogram(x[:, 0], edges)[0]
    sds = rng.uniform(0.1, 0.5, x.shape)
    return {
        "missing": bg.as_data(holes),
        "errors": bg.as_data(x, noise=sds),
        "unknown factor": bg.as_data(x, noise=sds, noise_scale=bg.LogNormal(0.0, 0.3)),
        "bins": bg.as_data(bins=edges, counts=counts),
        "counts": bg.as_data(x, counts=rng.integers(1, 4, 40)),
        "groups": bg.as_data(x, groups=np.arange(40) % 2),
    }


KINDS = kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_row(kind, tmp_path):
    model = bg.GaussianMixture(2, covariances=bg.LKJ() if kind == "missing" else None)
    result = fit(model, KINDS[kind], bg.Laplace(threads=1, n_init=1, n_polish=1, draws=200))
    assert result.attrs["status"] == "CONVERGED"
    assert result["posterior"].sizes["draw"] == 50
    if kind in ("missing", "groups"):  # it takes long
        table = az.summary(result, var_names=["weights", "means"])
        assert np.isfinite(table["mean"].astype(float)).all()
    assert ("noise_scale" in result["posterior"]) == (kind == "unknown factor")
    result.to_netcdf(tmp_path / "fit.nc")
    back = xr.open_datatree(tmp_path / "fit.nc")
    again = bg.predict(back)
    xr.testing.assert_allclose(bg.predict(result)["responsibilities"], again["responsibilities"])
    shares = again["responsibilities"].sum("component")
    np.testing.assert_allclose(shares, 1.0)
    if kind != "bins":
        new = bg.predict(back, np.zeros((2, 2))) if kind != "groups" else None
        assert new is None or new["responsibilities"].shape == (2, 2)
    back.close()


def test_nothing_to_estimate():
    """Everything known: no coordinates, so all draws are the same and weights are all one."""
    model = bg.GaussianMixture(
        2,
        weights=bg.FixedWeights([0.5, 0.5]),
        means=bg.FixedMeans([[0.0], [5.0]]),
        covariances=bg.FixedCovariances(1.0),
    )
    result = fit(model, [0.0, 0.3, 5.0, 5.5], bg.Laplace(threads=1, n_init=1, draws=100))
    assert np.unique(result["posterior"]["means"].to_numpy().reshape(-1, 2), axis=0).shape[0] == 1
    assert float(result.attrs["pareto_k"]) == 0.0


def test_options_are_in_the_result():
    engine = bg.Laplace(threads=1, n_init=3, n_polish=2, draws=100, chains=2, resample=False)
    result = fit(bg.GaussianMixture(1), separated(n=30), engine)
    assert result.attrs["engine"] == "Laplace"
    assert '"resample": false' in result.attrs["engine_options"]
    assert result["posterior"].sizes["chain"] == 2


# Choice, and errors --------------------------------------------------------------------------------------------------


def chosen(model, data):
    engine, why = choose_engine(build_problem(model, bg.as_data(data)))
    return type(engine), why


def test_default_engine():
    x = separated(n=40)
    for model in (bg.GaussianMixture(2), bg.GaussianMixture(2, covariances=bg.LKJ())):
        engine, why = chosen(model, x)
        assert engine is bg.NUTS
        assert "nothing has to be approximated" in why
    for kind in ("missing", "errors", "bins", "unknown factor"):
        too_long = "Values are missing, have errors or are in bins, where sampling takes long."
        assert chosen(bg.GaussianMixture(2), KINDS[kind]) == (bg.Laplace, too_long), kind
    assert chosen(bg.GaussianMixture(2), KINDS["counts"])[0] is bg.NUTS
    engine, why = chosen(bg.GaussianMixture(2), np.arange(500_000.0) % 7)
    assert engine is bg.Laplace
    assert re.fullmatch(r"Sampling the posterior would take about \d\d+ s of a processor\.", why)
    # A density in Python takes longer than the compiled one.
    assert chosen(bg.GaussianMixture(2, covariances=bg.ConstantCV()), 100.0 + x[:, 0])[0] is bg.Laplace
    flat = bg.GaussianMixture(2, weights=bg.Flat(), means=bg.Flat(), covariances=bg.Flat())
    engine, why = chosen(flat, x)
    assert engine is bg.EM
    assert "no posterior to sample" in why


def test_the_default_engine_is_in_the_result():
    x = bg.as_data(separated(n=40), noise=np.full((40, 2), 0.1))
    result = bg.fit(bg.GaussianMixture(1, covariances=bg.LKJ()), x, random_seed=1, progressbar=False)
    assert result.attrs["engine"] == "Laplace"
    assert "have errors" in result.attrs["engine_reason"]
    assert "Pareto k" in result.attrs["engine_reason"]


def test_flat_priors_are_named():
    model = bg.GaussianMixture(2, means=bg.Flat())
    with pytest.raises(bg.UnsupportedError, match=r"Flat\(\) means.*EM"):
        fit(model, separated(n=20))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"n_init": 0}, "n_init"),
        ({"n_polish": 1.5}, "n_polish"),
        ({"max_steps": True}, "max_steps"),
        ({"short_steps": -1}, "short_steps"),
        ({"draws": 10, "chains": 4}, "draws"),
        ({"chains": 0}, "chains"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"resample": 1}, "resample"),
        ({"threads": 0}, "threads"),
    ],
)
def test_bad_options(options, named):
    with pytest.raises(bg.InputError, match=f"Laplace.{named}"):
        bg.Laplace(**options)


def test_rows_that_do_not_tell_parameters():
    """Fewer rows than components is an error of the data; one row a component is none."""
    with pytest.raises(bg.InputError, match="n_components"):
        fit(bg.GaussianMixture(3), [0.0, 1.0])
    with pytest.warns(bg.FewerGroupsWarning, match=r"\(1 row\)"):
        result = fit(bg.GaussianMixture(2), [0.0, 0.0, 0.0, 1.0], bg.Laplace(threads=1, n_init=2, draws=100))
    assert np.isfinite(result["posterior"]["means"]).all()
