"""Fits to rows with missing entries and with counts: published numbers, brute force, repeated rows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import log_softmax, logsumexp

import bayesgmm as bg
from bayesgmm.engines._native_density import NativeDensity
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
from tests.contract import derivative
from tests.shared_data import table

QUIET = {"progressbar": False}
FLAT = bg.Flat()


def maximum_likelihood(K):
    return bg.GaussianMixture(K, weights=FLAT, means=FLAT, covariances=bg.Full(FLAT))


def with_holes(values, share, seed=0):
    rng = np.random.default_rng(seed)
    out = np.array(values, dtype=float)
    out[rng.random(out.shape) < share] = np.nan
    return out


def iris():
    return bg.datasets.load_iris().drop(columns="species").to_numpy()


def observed_log_likelihood(values, log_weights, means, covariances):
    total = 0.0
    observed = ~np.isnan(values)
    for pattern in np.unique(observed, axis=0):
        o = np.flatnonzero(pattern)
        if o.size:
            rows = values[(observed == pattern).all(axis=1)][:, o]
            terms = [
                stats.multivariate_normal(m[o], S[np.ix_(o, o)]).logpdf(rows).reshape(-1)
                for m, S in zip(means, covariances, strict=True)
            ]
            total += logsumexp(np.array(terms) + log_weights[:, None], axis=0).sum()
    return total


@pytest.mark.parametrize(
    ("file", "means", "log_likelihood"),
    [
        ("apple.csv", [14.7222, 49.3333], -101.785632),
        ("data.csv", [6.655166, 49.965258, 11.769231, 27.047090, 95.423077], -132.92525),
    ],
)
def test_published_maximum_likelihood_of_one_component(file, means, log_likelihood):
    fit = bg.fit(maximum_likelihood(1), table("missing_mvn", file), engine=bg.EM(), random_seed=1, **QUIET)
    assert fit.attrs["status"] == "CONVERGED"
    np.testing.assert_allclose(fit["point_estimate"]["means"][0], means, atol=1e-4)
    assert fit["point_estimate"].attrs["log_likelihood"] == pytest.approx(log_likelihood, abs=1e-5)


@pytest.mark.fit
@pytest.mark.parametrize("K", [1, 2, 3])
def test_optimum_equals_that_of_direct_optimisation(K):
    values = with_holes(iris()[::2, :3], 0.15)
    values[4] = np.nan
    fit = bg.fit(maximum_likelihood(K), values, engine=bg.EM(), random_seed=1, **QUIET)
    assert fit.attrs["status"] == "CONVERGED"
    point = fit["point_estimate"].to_dataset()
    w, m, S = (point[name].to_numpy() for name in ("weights", "means", "covariances"))
    found = fit["point_estimate"].attrs["log_likelihood"]
    assert found == pytest.approx(observed_log_likelihood(values, np.log(w), m, S), rel=1e-10)
    # No step of an optimiser that knows nothing of the engine finds anything better near by.
    d, rows, columns = 3, *np.tril_indices(3)
    L = np.linalg.cholesky(S)
    start = np.concatenate([np.log(w), m.ravel(), L[:, rows, columns].ravel()])

    def negative(theta):
        log_weights, rest = log_softmax(theta[:K]), theta[K + K * d :].reshape(K, -1)
        factors = np.zeros((K, d, d))
        factors[:, rows, columns] = rest
        return -observed_log_likelihood(
            values, log_weights, theta[K : K + K * d].reshape(K, d), factors @ np.swapaxes(factors, 1, 2)
        )

    end = optimize.minimize(negative, start, method="L-BFGS-B", options={"maxiter": 5})
    assert -end.fun - found < 1e-3


@pytest.mark.parametrize("engine", [bg.EM(n_init=8), bg.VB(n_init=8)], ids=["EM", "VB"])
def test_counts_are_repeated_rows(engine):
    rng = np.random.default_rng(0)
    values = np.round(bg.datasets.load_faithful().to_numpy(), 0)
    distinct, counts = np.unique(values, axis=0, return_counts=True)
    model = bg.GaussianMixture(2, covariances=bg.InverseWishart(5, [[0.5, 0.0], [0.0, 30.0]]))
    one = bg.fit(model, bg.as_data(distinct, counts=counts), engine=engine, random_seed=1, **QUIET)
    other = bg.fit(model, values[rng.permutation(len(values))], engine=engine, random_seed=1, **QUIET)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(one["point_estimate"][name], other["point_estimate"][name], rtol=1e-3)
    key = "elbo" if engine.name == "VB" else "log_posterior"
    assert one["point_estimate"].attrs[key] == pytest.approx(other["point_estimate"].attrs[key], abs=1e-3)
    summary = bg.summary(one)
    assert summary["members"].sum() == len(values)
    np.testing.assert_array_equal(summary["members"], bg.summary(other)["members"])
    assert "272" in str(bg.diagnose(one)["message"].sel(check="uncertain_rows").item())


def test_the_bound_of_one_conjugate_component_with_missing_rows_is_exact():
    # Rows in which nothing was observed say nothing: evidence and posterior are those of the others.
    values = np.random.default_rng(0).normal(size=(30, 2))
    model = bg.GaussianMixture(
        1, means=bg.ConjugateMeans([0.0, 0.0], 0.5), covariances=bg.InverseWishart(5.0, np.eye(2))
    )
    holes = np.vstack([values, np.full((5, 2), np.nan)])
    one, other = (bg.fit(model, x, engine=bg.VB(), random_seed=1, **QUIET) for x in (holes, values))
    assert one["point_estimate"].attrs["elbo"] == pytest.approx(other["point_estimate"].attrs["elbo"], rel=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        bg.GaussianMixture(2),
        bg.GaussianMixture(2, covariances=bg.LKJ(2.0)),
        bg.GaussianMixture(2, covariances=bg.Tied(bg.Diagonal())),
    ],
    ids=["conjugate", "LKJ", "tied"],
)
def test_gradient_and_native_density_with_holes_and_counts(model):
    values = with_holes(iris()[:, :2], 0.3)
    counts = np.random.default_rng(1).integers(1, 4, len(values)).astype(float)
    problem = build_problem(model, bg.as_data(values, counts=counts), n_threads=1)
    objective = Objective(problem, unconstrained=True)
    engine = bg.EM(n_init=2, n_polish=1, density="unconstrained")
    fit = bg.fit(model, bg.as_data(values, counts=counts), engine=engine, random_seed=1, **QUIET)
    point = fit["point_estimate"].to_dataset()
    at = Parameters(
        log_weights=np.log(point["weights"].to_numpy()),
        means=point["means"].to_numpy(),
        choleskys=np.linalg.cholesky(point["covariances"].to_numpy()),
    )
    density = NativeDensity(problem, problem.units.to_standard(at))
    v = 0.5 * np.random.default_rng(2).normal(size=density.size)
    value, gradient = density.function()(v)
    expected, slope, _, _ = objective.value_and_gradient(density.coordinates, density.to_local @ v)
    assert value + density.constant == pytest.approx(expected, abs=1e-8)
    np.testing.assert_allclose(gradient, density.to_local.T @ slope, rtol=1e-8, atol=1e-8)
    by_differences = derivative(lambda u: objective.value_and_gradient(density.coordinates, u)[0], density.to_local @ v)
    np.testing.assert_allclose(slope, by_differences, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("engine", [bg.EM(n_init=8), bg.VB(n_init=8), bg.NUTS(draws=100, tune=100, chains=2, n_init=8)])
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_predictions_use_what_was_observed(engine):
    values = with_holes(bg.datasets.load_faithful().to_numpy(), 0.2)
    values[3] = np.nan
    fit = bg.fit(bg.GaussianMixture(2), values, engine=engine, random_seed=1, **QUIET)
    new = bg.predict(fit, [[2.0, np.nan], [np.nan, np.nan], [4.3, 80.0]])
    alone = bg.predict(fit, [[2.0, np.nan]])
    np.testing.assert_allclose(alone["responsibilities"][0], new["responsibilities"][0])
    mixtures = fit["posterior" if "posterior" in fit.children else "point_estimate"].to_dataset()
    weights = mixtures["weights"].mean([dim for dim in ("chain", "draw") if dim in mixtures.dims])
    np.testing.assert_allclose(new["responsibilities"][1], weights, atol=1e-10)
    np.testing.assert_allclose(fit["assignments"]["responsibilities"][3], weights, atol=1e-10)
    assert float(new["responsibilities"][0, 0]) > 0.9  # short eruptions are the first component
    assert float(new["log_density"][1]) == pytest.approx(0.0, abs=1e-10)
    if engine.name == "EM":
        point = fit["point_estimate"].to_dataset()
        parts = stats.norm(point["means"][:, 0], point["sds"][:, 0]).pdf(2.0) * point["weights"].to_numpy()
        assert float(new["log_density"][0]) == pytest.approx(np.log(parts.sum()))
        np.testing.assert_allclose(new["responsibilities"][0], parts / parts.sum(), rtol=1e-9)


def test_imputed_entries_follow_the_regression():
    values = bg.datasets.load_faithful().to_numpy().copy()
    fit = bg.fit(maximum_likelihood(1), values, engine=bg.EM(), random_seed=1, **QUIET)
    holes = values[:40].copy()
    holes[:30, 1] = np.nan
    holes[30:35] = np.nan
    done = bg.impute(fit, holes, n_draws=2000, random_seed=1)
    slope = np.cov(values.T)[0, 1] / np.cov(values.T)[0, 0]
    expected = values[:, 1].mean() + slope * (values[:30, 0] - values[:, 0].mean())
    np.testing.assert_allclose(done["x"][:30, 1], expected, rtol=1e-8)
    residual = np.sqrt(np.var(values[:, 1]) * (1 - np.corrcoef(values.T)[0, 1] ** 2))
    np.testing.assert_allclose(done["x_sd"][:30, 1], residual, rtol=1e-8)
    np.testing.assert_allclose(done["x"][30:35], np.tile(values.mean(axis=0), (5, 1)), rtol=1e-8)
    np.testing.assert_array_equal(done["x"][35:], values[35:40])
    assert (done["x_sd"][35:] == 0).all()
    np.testing.assert_allclose(done["x_draws"].mean("draw")[:30, 1], expected, atol=5 * residual / np.sqrt(2000))
    np.testing.assert_allclose(done["x_draws"].std("draw")[:30, 1], residual, rtol=0.1)


def test_pictures_and_loo_work_with_holes():
    values = with_holes(bg.datasets.load_faithful().to_numpy(), 0.2)
    fit = bg.fit(bg.GaussianMixture(2), values, engine=bg.VB(n_init=8), random_seed=1, **QUIET)
    bg.plots.plot_components(fit)
    bg.plots.plot_density(fit, feature="x0")
    bg.plots.plot_responsibilities(fit)
    plt.close("all")
    assert np.isfinite(bg.add_log_likelihood(fit)["log_likelihood"]["x"]).all()
    assert np.isfinite(bg.simulate(fit, 5, random_seed=1)["x"]).all()


@pytest.mark.parametrize(
    ("values", "counts", "message"),
    [
        ([1.0, 2.0], [1.0], "counts"),
        ([1.0, 2.0], [1.0, -1.0], "counts: got -1 in row 1"),
        ([1.0, 2.0], [1.0, np.nan], "counts"),
        ([1.0, 2.0], ["a", "b"], "counts"),
        ([1.0, np.inf], None, "infinite"),
    ],
)
def test_bad_input(values, counts, message):
    with pytest.raises(bg.InputError, match=message):
        bg.as_data(values, counts=counts)


def test_engines_side_by_side_with_holes_and_counts():
    values, counts = with_holes(bg.datasets.load_faithful().to_numpy(), 0.2), np.arange(272) % 3 + 1.0
    data = bg.as_data(values, counts=counts)
    one, other = (
        bg.fit(bg.GaussianMixture(2), data, engine=engine, random_seed=1, **QUIET)
        for engine in (bg.EM(n_init=4), bg.VB(n_init=4))
    )
    assert 0 < float(bg.compare_engines([one, other])["apart"][1]) < 1
    without = bg.fit(one_declaration(one), values, engine=bg.EM(n_init=4), random_seed=1, **QUIET)
    with pytest.raises(bg.InputError, match="other rows"):
        bg.compare_engines([one, without])


def one_declaration(fit):
    return bg.GaussianMixture.from_json(fit.attrs["model"])


def test_the_histogram_counts_units():
    values, counts = np.array([0.0, 1.0, 2.0, 10.0]), np.array([1.0, 1.0, 1.0, 97.0])
    model = bg.GaussianMixture(1, means=bg.NormalMeans(5.0, 10.0), covariances=bg.InverseWishart(3.0, 4.0))
    fit = bg.fit(model, bg.as_data(values, counts=counts), engine=bg.EM(n_init=2), random_seed=1, **QUIET)
    figure = bg.plots.plot_density(fit)
    ax = figure.axes[0] if hasattr(figure, "axes") and isinstance(figure.axes, list) else figure
    heights = [bar.get_height() * bar.get_width() for bar in ax.patches]
    plt.close("all")
    assert heights[-1] == pytest.approx(0.97)


def test_a_column_without_entries_cannot_be_fitted():
    with pytest.raises(bg.InputError, match="nothing was observed in column 'x1'"):
        bg.fit(bg.GaussianMixture(1), [[1.0, np.nan], [2.0, np.nan]], **QUIET)


def test_pymc_has_no_form_for_holes():
    with pytest.raises(bg.UnsupportedError, match="missing"):
        bg.to_pymc(bg.GaussianMixture(1), [[1.0, np.nan], [2.0, 1.0], [0.0, 3.0]])
