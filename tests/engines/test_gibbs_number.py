"""Gibbs with an unknown number of components: exact and published posteriors, sparse weights, what refuses it."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.model import GaussianMixture
from tests.shared_data import reference, table

QUIET = {"progressbar": False}
EXPLICIT = {"means": bg.ConjugateMeans([0.0], 0.2), "covariances": bg.Spherical(bg.InverseWishart(4.0, 1.5))}
FEW = np.array([-1.6, -1.1, -0.9, 0.3, 1.2, 1.9])
PRIORS = [
    (1 + bg.BetaNegativeBinomial(1, 4, 3), bg.Dirichlet(0.7)),
    (1 + bg.Poisson(2.0), bg.SparseDirichlet(1.5)),
    (bg.UniformComponents(5), bg.Dirichlet(1.0)),
    (1 + bg.Geometric(0.3), bg.SparseDirichlet(0.8)),
]


def probabilities(values, size):
    return np.bincount(np.ravel(values).astype(int), minlength=size + 1)[: size + 1] / np.size(values)


@pytest.mark.fit
@pytest.mark.parametrize(("number", "weights"), PRIORS, ids=[str(number) for number, _ in PRIORS])
def test_the_posterior_of_k_is_that_of_all_assignments(number, weights):
    most = 5
    evidence = np.full(most + 1, -np.inf)
    for K in range(1, most + 1):
        model = bg.GaussianMixture(K, weights=weights, **EXPLICIT)
        evidence[K] = float(bg.log_evidence(model, FEW, estimator=bg.Enumeration())["value"].item())
    log = evidence + number.log_probability(np.arange(most + 1))
    exact = np.exp(log - np.logaddexp.reduce(log))
    engine = bg.Gibbs(sweeps=15_000, burn_in=500, thin=3, most_components=most, n_init=2)
    fit = bg.fit(bg.GaussianMixture(number, weights=weights, **EXPLICIT), FEW, engine=engine, random_seed=1, **QUIET)
    found = bg.component_posterior(fit)
    ours, error = (found[name].to_numpy() for name in ("probability", "probability_error"))
    assert error.max() < 0.02
    assert (np.abs(ours - exact[1:]) < 4 * error + 1e-3).all()
    # More than the prior alone.
    prior = found["prior_probability"].to_numpy()
    assert np.abs(prior - exact[1:]).max() > 5 * error.max()


def richardson_and_green(y):
    R, middle = np.ptp(y), (y.max() + y.min()) / 2
    scale = bg.HierarchicalInverseWishart(df=4, scale_df=0.4, scale_mean=0.04 * R**2)
    return bg.GaussianMixture(
        bg.UniformComponents(30),
        weights=bg.Dirichlet(1.0),
        means=bg.NormalMeans(middle, R),
        covariances=bg.Spherical(scale),
    )


@pytest.mark.study
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_galaxies_have_the_posterior_of_richardson_and_green():
    y = table("galaxies")["v_mass"].to_numpy()
    engine = bg.Gibbs(sweeps=24_000, burn_in=2000, thin=4)
    fit = bg.fit(richardson_and_green(y), y, engine=engine, random_seed=1, **QUIET)
    found = probabilities(fit["all_draws"]["n_components"], 30)
    published = [0.061, 0.128, 0.182, 0.199, 0.160, 0.109, 0.071, 0.040]
    assert np.abs(found[3:11] - published).max() < 0.03
    computed = reference("galaxies")["computed"]["posterior_Kplus"]
    assert np.abs(probabilities(fit["all_draws"]["n_occupied"], 11)[1:] - computed).max() < 0.04


@pytest.mark.study
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_acidity_has_the_posterior_of_richardson_and_green():
    y = table("acidity")["log_anc50"].to_numpy()
    engine = bg.Gibbs(sweeps=10_000, burn_in=1000, thin=2)
    fit = bg.fit(richardson_and_green(y), y, engine=engine, random_seed=1, **QUIET)
    computed = reference("acidity")["computed"]["posterior_K_1_to_10"]
    assert np.abs(probabilities(fit["all_draws"]["n_components"], 10)[1:] - computed).max() < 0.05


CENTERS = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0], [6.0, 6.0], [12.0, 3.0]])


def five_groups(n=150):
    rng = np.random.default_rng(4)
    truth = rng.integers(5, size=n)
    return CENTERS[truth] + rng.normal(size=(n, 2)), truth


@pytest.mark.fit
@pytest.mark.parametrize(
    ("number", "weights"),
    [(1 + bg.BetaNegativeBinomial(1, 4, 3), None), (10, bg.SparseDirichlet(bg.Gamma(10, 100)))],
    ids=["telescoping", "sparse"],
)
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_separated_groups_are_found(number, weights):
    from sklearn.metrics import adjusted_rand_score

    x, truth = five_groups()
    engine = bg.Gibbs(sweeps=30_000, burn_in=500, thin=40)
    parts = {"means": bg.ConjugateMeans(x.mean(axis=0), 0.01), "covariances": bg.InverseWishart(4.0, np.cov(x.T) / 10)}
    model = bg.GaussianMixture(number, weights=weights, **(parts if number == 10 else {}))
    fit = bg.fit(model, x, engine=engine, random_seed=1, **QUIET)
    found = bg.component_posterior(fit)
    assert found.attrs["mode_n_occupied"] == 5
    assert float(found["probability_occupied"].sel(number=5)) > 0.8  # sparse weights: .83 in the long run
    assert found.attrs["non_permutation_rate"] < 0.02
    posterior = fit["posterior"]
    assert posterior.sizes["component"] == 5
    means = posterior["means"].mean(("chain", "draw")).to_numpy()
    nearest = np.linalg.norm(means[:, None] - CENTERS, axis=2)
    assert sorted(nearest.argmin(axis=1)) == [0, 1, 2, 3, 4]
    assert nearest.min(axis=1).max() < 0.5
    assert fit["relabelling"].attrs["r_hat_after"] < 1.02
    np.testing.assert_allclose(posterior["weights"].sum("component"), 1.0)
    for loss in ("vi", "binder"):
        partition = bg.best_partition(fit, loss=loss)
        assert partition.attrs["n_clusters"] == 5 or loss == "binder"  # which takes stray rows for clusters
        assert adjusted_rand_score(truth, partition["label"]) > 0.98
    together = bg.coclustering(fit)["probability"].to_numpy()
    assert together[truth[:, None] == truth].mean() > 0.95
    assert together[truth[:, None] != truth].mean() < 0.02
    assert adjusted_rand_score(truth, fit["assignments"]["label"]) > 0.98
    every = fit["all_draws"].to_dataset()
    assert (every["n_components"] >= every["n_occupied"]).all()
    np.testing.assert_array_equal((every["rows"] > 0).sum("slot"), every["n_occupied"])
    assert (every["rows"].sum("slot") == len(x)).all()
    assert "concentration" in every
    bg.diagnose(fit)


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_the_result_comes_back_from_its_file(tmp_path):
    import xarray as xr

    x, _ = five_groups(60)
    engine = bg.Gibbs(sweeps=300, burn_in=100, chains=2, thin=1)
    model = bg.GaussianMixture(1 + bg.Poisson(2.0))
    fit = bg.fit(model, x, engine=engine, random_seed=1, **QUIET)
    assert GaussianMixture.from_json(fit.attrs["declared_model"]) == model
    fit.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as again:
        xr.testing.assert_equal(bg.component_posterior(fit), bg.component_posterior(again))
        np.testing.assert_allclose(bg.coclustering(fit)["probability"], bg.coclustering(again)["probability"])
        np.testing.assert_allclose(bg.predict(fit, x)["log_density"], bg.predict(again, x)["log_density"])


@pytest.mark.fit
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_it_is_the_default_where_nothing_else_will_do():
    x, _ = five_groups(60)
    small = bg.GaussianMixture(2, weights=bg.SparseDirichlet())
    fit = bg.fit(small, x, random_seed=1, **QUIET)
    assert fit.attrs["engine"] == "Gibbs"
    assert "Dirichlet(a / K)" in fit.attrs["engine_reason"]


MODELS = {
    "n_components=1 + Poisson(2)": bg.GaussianMixture(1 + bg.Poisson(2.0)),
    "a ~ F(6, 3)": bg.GaussianMixture(2, weights=bg.SparseDirichlet()),
    "C ~ Wishart": bg.GaussianMixture(2, covariances=bg.HierarchicalInverseWishart()),
}


@pytest.mark.parametrize("what", MODELS)
@pytest.mark.parametrize("engine", [bg.EM(), bg.VB(), bg.Laplace(), bg.NUTS()], ids=lambda engine: engine.name)
def test_every_other_engine_refuses(engine, what):
    with pytest.raises(bg.UnsupportedError, match="Gibbs") as caught:
        bg.fit(MODELS[what], bg.datasets.load_faithful(), engine=engine, **QUIET)
    assert engine.name in str(caught.value)
    assert what in str(caught.value)


@pytest.mark.parametrize("what", MODELS)
@pytest.mark.parametrize("function", ["compare_components", "log_evidence", "to_pymc", "bootstrap_lrt"])
def test_so_do_functions_that_need_a_density(function, what):
    with pytest.raises(bg.UnsupportedError, match=function) as caught:
        getattr(bg, function)(MODELS[what], bg.datasets.load_faithful())
    assert what in str(caught.value)


def test_a_sparse_prior_with_a_number_is_a_dirichlet_prior_for_every_engine():
    x = bg.datasets.load_faithful()
    sparse = bg.GaussianMixture(4, weights=bg.SparseDirichlet(2.0))
    plain = bg.GaussianMixture(4, weights=bg.Dirichlet(0.5))
    one, other = (bg.fit(model, x, engine=bg.VB(n_init=4), random_seed=1, **QUIET) for model in (sparse, plain))
    assert one.attrs["model"] == other.attrs["model"]


def test_priors_on_the_number():
    from scipy import stats

    K = np.arange(1, 400)
    for number, mean in ((1 + bg.BetaNegativeBinomial(1, 4, 3), 2.0), (1 + bg.Poisson(3.0), 4.0)):
        p = np.exp(number.log_probability(K))
        assert p.sum() == pytest.approx(1.0, abs=1e-5)
        assert (K * p).sum() == pytest.approx(mean, abs=1e-2)
    np.testing.assert_allclose(
        np.exp((1 + bg.BetaNegativeBinomial(2.0, 4.0, 3.0)).log_probability(K)),
        stats.betanbinom(2, 4, 3).pmf(K - 1),
    )
    np.testing.assert_allclose(np.exp((1 + bg.Geometric(0.3)).log_probability(K)), stats.geom(0.3).pmf(K), atol=1e-15)
    assert np.exp(bg.UniformComponents(4).log_probability(np.arange(6))).tolist() == [0, 0.25, 0.25, 0.25, 0.25, 0]
    assert str(1 + bg.BetaNegativeBinomial(1, 4, 3)) == "1 + BetaNegativeBinomial(1, 4, 3)"
    assert bg.Poisson(2.0) + 1 == 1 + bg.Poisson(2.0)


def test_a_declaration_with_a_prior_on_the_number():
    model = bg.GaussianMixture(1 + bg.BetaNegativeBinomial(1, 4, 3), covariances=bg.HierarchicalInverseWishart())
    assert GaussianMixture.from_json(model.to_json()) == model
    printed = str(model)
    assert "Gaussian mixture of K components" in printed
    assert "~ 1 + BetaNegativeBinomial(1, 4, 3)" in printed
    assert "a ~ F(6, 3)" in printed
    assert "C ~ Wishart" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": bg.Poisson(2.0)}, "Write 1 \\+ Poisson"),
        ({"n_components": 1 + bg.Poisson(2.0), "weights": bg.Dirichlet([1.0, 2.0])}, "weights"),
        ({"n_components": 1 + bg.Poisson(2.0), "weights": bg.StickBreaking()}, "weights"),
        ({"n_components": 1 + bg.Poisson(2.0), "means": bg.FixedMeans([1.0, 2.0])}, "means"),
        ({"n_components": 1 + bg.Poisson(2.0), "means": bg.NormalMeans([[1.0], [2.0]], 1.0)}, "means"),
        ({"n_components": 1 + bg.Poisson(2.0), "component_names": ["a"]}, "component_names"),
        ({"n_components": 0}, "n_components"),
    ],
)
def test_what_cannot_be_declared(arguments, message):
    with pytest.raises(bg.BayesGMMError, match=message):
        bg.GaussianMixture(**arguments)


@pytest.mark.parametrize(
    "make",
    [
        lambda: bg.Poisson(-1.0),
        lambda: bg.Geometric(1.0),
        lambda: bg.UniformComponents(0),
        lambda: bg.BetaNegativeBinomial(0, 4, 3),
        lambda: bg.SparseDirichlet(0.0),
        lambda: bg.SparseDirichlet(bg.Gamma([1.0, 2.0], 1.0)),
        lambda: bg.FDistribution(6, 0),
        lambda: bg.HierarchicalInverseWishart(df=-1.0),
        lambda: bg.HierarchicalInverseWishart(scale_df=0.0),
    ],
)
def test_bad_numbers(make):
    with pytest.raises(bg.InputError):
        make()


def test_prior_draws_of_a_learnt_scale_are_alike_within_a_mixture():
    rng = np.random.default_rng(0)
    mean = np.array([[2.0, 0.5], [0.5, 1.0]])
    model = bg.GaussianMixture(2, covariances=bg.HierarchicalInverseWishart(8.0, 3.0, mean))
    filled = model.filled(np.zeros(2), np.eye(2))
    covariances = filled.draw(rng, 20_000, 2)[2]
    error = covariances.std(axis=0) / np.sqrt(20_000)
    assert (np.abs(covariances.mean(axis=0) - mean / 5.0) < 4 * error).all()  # E = E[C] / (df - d - 1)
    logs = np.log(covariances[:, :, 0, 0])
    assert np.corrcoef(logs.T)[0, 1] > 0.3
