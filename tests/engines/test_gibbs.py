"""Gibbs with a known number of components: exact posteriors, NUTS, seeds, interruptions, what it takes and refuses."""

from itertools import product

import numpy as np
import pytest
from arviz_stats.base import array_stats
from numba import typeof

import bayesgmm as bg
from bayesgmm.data import as_data
from bayesgmm.engines._enumeration import log_joint
from bayesgmm.engines._gibbs_conditionals import conditionals
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._q import prior_of

QUIET = {"progressbar": False}
SHORT = bg.Gibbs(sweeps=200, burn_in=100, chains=2, thin=1, n_init=4)


def flat(values):
    """(quantity, chain, draw)."""
    array = np.asarray(values, dtype=float)
    return np.moveaxis(array.reshape(*array.shape[:2], -1), 2, 0)


def check_moments(values, mean, sd):
    """Means and sds within 4 Monte-Carlo standard errors of exact ones."""
    for column, expected, width in zip(flat(values), np.ravel(mean), np.ravel(sd), strict=True):
        assert abs(column.mean() - expected) < 4 * array_stats.mcse(column, method="mean")
        assert abs(column.std() - width) < 4 * array_stats.mcse(column, method="sd")


def test_one_conjugate_component_has_the_exact_posterior():
    rng = np.random.default_rng(0)
    n, d, kappa, df = 40, 2, 0.5, 6.0
    x = [3.0, -5.0] + rng.normal(size=(n, d)) @ np.array([[2.0, 0.6], [0.0, 0.8]])
    scale = np.array([[2.0, 0.3], [0.3, 1.0]])
    model = bg.GaussianMixture(1, means=bg.ConjugateMeans(np.ones(d), kappa), covariances=bg.InverseWishart(df, scale))
    fit = bg.fit(model, x, engine=bg.Gibbs(sweeps=2000, burn_in=20, thin=1), random_seed=3, **QUIET)
    kappa_n, df_n, mean = kappa + n, df + n, x.mean(axis=0)
    loc = (kappa + n * mean) / kappa_n
    S = scale + (x - mean).T @ (x - mean) + kappa * n / kappa_n * np.outer(mean - 1, mean - 1)
    nu = df_n - d + 1
    check_moments(fit["posterior"]["means"], loc, np.sqrt(np.diag(S) / (kappa_n * nu) * nu / (nu - 2)))
    a = df_n - d
    variance = ((a + 1) * S**2 + (a - 1) * np.outer(np.diag(S), np.diag(S))) / (a * (a - 1) ** 2 * (a - 3))
    check_moments(fit["posterior"]["covariances"], S / (df_n - d - 1), np.sqrt(variance))


EXPLICIT = {"means": bg.ConjugateMeans([0.0], 0.2), "covariances": bg.Spherical(bg.InverseWishart(4.0, 1.5))}
FEW = np.array([-1.6, -1.1, -0.9, 0.3, 1.2, 1.9])


def exact_together(model, x):
    """Probabilities that rows are in one component, over all assignments."""
    problem = build_problem(model, as_data(x), n_threads=1)
    prior, n, K = prior_of(problem.model, 1), len(x), problem.K
    labels = np.array(list(product(range(K), repeat=n)))
    log = np.array([log_joint(prior, problem.x, each, K) for each in labels])
    p = np.exp(log - np.logaddexp.reduce(log))
    return np.einsum("s,sij->ij", p, labels[:, :, None] == labels[:, None, :])


@pytest.mark.parametrize("weights", [bg.Dirichlet(0.7), bg.StickBreaking(1.5), bg.FixedWeights([0.5, 0.3, 0.2])])
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
@pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")  # a handful of rows
def test_rows_are_together_as_often_as_all_assignments_say(weights):
    model = bg.GaussianMixture(3, weights=weights, **EXPLICIT)
    exact = exact_together(model, FEW)
    fit = bg.fit(model, FEW, engine=bg.Gibbs(sweeps=4000, thin=1, n_init=2), random_seed=1, **QUIET)
    # Responsibilities of draws: their products are the probabilities given the parameters.
    r = bg.predict(fit, per_draw=True)["responsibilities"].to_numpy()
    each = np.einsum("csik,csjk->csij", r, r)
    upper = np.triu_indices(len(FEW), 1)
    for i, j in zip(*upper, strict=True):
        error = array_stats.mcse(each[:, :, i, j], method="mean")
        assert error < 0.02
        assert abs(each[:, :, i, j].mean() - exact[i, j]) < 4 * error


def three_components(n=300, seed=0):
    rng = np.random.default_rng(seed)
    centers = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    return centers[rng.integers(3, size=n)] + rng.normal(size=(n, 2)) @ np.array([[1.0, 0.4], [0.0, 0.8]])


CASES = {
    "faithful": (bg.GaussianMixture(2), bg.datasets.load_faithful()),
    "three": (bg.GaussianMixture(3, weights=bg.Dirichlet(2.0)), three_components()),
    "independent": (
        bg.GaussianMixture(2, means=bg.NormalMeans(), covariances=bg.Tied(bg.Diagonal())),
        bg.datasets.load_faithful(),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_posterior_is_that_of_nuts(case):
    model, x = CASES[case]
    ours = bg.fit(model, x, engine=bg.Gibbs(sweeps=3000), random_seed=1, **QUIET)
    theirs = bg.fit(model, x, engine=bg.NUTS(n_init=8), random_seed=2, **QUIET)
    assert ours.attrs["status"] == theirs.attrs["status"] == "SAMPLED"
    for name in ("weights", "means", "covariances"):
        for one, other in zip(flat(ours["posterior"][name]), flat(theirs["posterior"][name]), strict=True):
            if np.ptp(one) == 0:
                assert np.ptp(other) == 0
                continue
            for method, of in (("mean", np.mean), ("sd", np.std)):
                error = np.hypot(array_stats.mcse(one, method=method), array_stats.mcse(other, method=method))
                assert abs(of(one) - of(other)) < 4 * error
    # The same density, constants included.
    lp = [fit["sample_stats"]["lp"].to_numpy() for fit in (ours, theirs)]
    assert abs(lp[0].mean() - lp[1].mean()) < 4 * np.hypot(*(array_stats.mcse(each, method="mean") for each in lp))


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_the_same_seed_gives_the_same_draws_whatever_the_cores(monkeypatch):
    model, x = bg.GaussianMixture(2), bg.datasets.load_faithful()
    options = {"sweeps": 50, "burn_in": 20, "chains": 3, "n_init": 2, "max_sweeps": 50}
    fit = bg.fit(model, x, engine=bg.Gibbs(cores=2, thin=1, **options), random_seed=7, **QUIET)
    monkeypatch.setattr("bayesgmm.engines._gibbs_chains._WORK", 1)  # a look at whether to stop after every sweep
    again = bg.fit(model, x, engine=bg.Gibbs(cores=1, thin=1, **options), random_seed=7, **QUIET)
    np.testing.assert_array_equal(fit["posterior"]["means"], again["posterior"]["means"])
    thinned = bg.fit(model, x, engine=bg.Gibbs(cores=1, thin=5, **options), random_seed=7, **QUIET)
    np.testing.assert_array_equal(fit["unrelabelled"]["means"][:, 4::5], thinned["unrelabelled"]["means"])
    other = bg.fit(model, x, engine=bg.Gibbs(cores=1, thin=1, **options), random_seed=8, **QUIET)
    assert not np.array_equal(fit["posterior"]["means"], other["posterior"]["means"])


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_units_change_nothing_but_units():
    x = bg.datasets.load_faithful()
    moved = x * [60.0, 0.01] + [1e4, -3.0]
    # One component: rounding would move labels in the long run, and begin them in another order.
    model = bg.GaussianMixture(1, means=bg.NormalMeans())
    fits = [bg.fit(model, rows, engine=SHORT, random_seed=1, **QUIET) for rows in (x, moved)]
    ours, theirs = (fit["posterior"]["means"].to_numpy() for fit in fits)
    np.testing.assert_allclose(ours * [60.0, 0.01] + [1e4, -3.0], theirs, rtol=1e-9)


class Interrupting(Progress):
    share = 0.5

    def step(self, what, done, total):
        if what == "sampling" and done > self.share * total:
            raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
@pytest.mark.parametrize("number", [2, 1 + bg.Poisson(1.0)])
def test_an_interrupted_run_returns_the_draws_so_far(monkeypatch, number):
    monkeypatch.setattr("bayesgmm.inference.fitting.Progress", Interrupting)
    monkeypatch.setattr(Interrupting, "share", 0.05)
    engine = bg.Gibbs(sweeps=200_000, burn_in=10, chains=2, cores=2, n_init=2)
    fit = bg.fit(bg.GaussianMixture(number), bg.datasets.load_faithful(), engine=engine, random_seed=1, **QUIET)
    assert fit.attrs["status"] == "INTERRUPTED"
    assert 10 <= fit["posterior"].sizes["draw"] < 200_000
    assert np.isfinite(fit["posterior"]["means"]).all()


def test_an_interruption_in_burn_in_says_that_nothing_was_kept(monkeypatch):
    monkeypatch.setattr("bayesgmm.inference.fitting.Progress", Interrupting)
    monkeypatch.setattr(Interrupting, "share", -1.0)
    engine = bg.Gibbs(sweeps=40, burn_in=1_000_000, chains=2, n_init=2)
    with pytest.raises(bg.FitError, match="nothing was kept"):
        bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), engine=engine, random_seed=1, **QUIET)


SKEWED = np.random.default_rng(3).gamma(2.0, 1.0, 120)


def going_on(**options):
    engine = bg.Gibbs(**({"sweeps": 80, "burn_in": 20, "chains": 3, "thin": 2, "n_init": 2} | options))
    return bg.fit(bg.GaussianMixture(1 + bg.Poisson(1.0)), SKEWED, engine=engine, random_seed=7, **QUIET)


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_chains_go_on_where_they_were_the_same_whatever_the_cores():
    fit = going_on(max_sweeps=320)
    assert fit.attrs["sweeps"] == "320"
    # A quarter of the sweeps is forgotten each time, and draws are thinned so that they stay below twice the first.
    assert fit.attrs["burn_in"] == str(20 + 40)
    assert fit.attrs["thin"] == "4"
    n_draws = fit["all_draws"].sizes["draw"]
    assert n_draws == (320 - 40) // 4
    again = going_on(max_sweeps=320, cores=1)
    np.testing.assert_array_equal(fit["all_draws"]["lp"], again["all_draws"]["lp"])
    # A run of that length sees the same sweeps, and keeps more of them.
    whole = going_on(sweeps=320, max_sweeps=320, thin=4)
    np.testing.assert_array_equal(whole["all_draws"]["lp"][:, -n_draws:], fit["all_draws"]["lp"])
    np.testing.assert_array_equal(whole["all_draws"]["means"][:, -n_draws:, :2], fit["all_draws"]["means"][:, :, :2])


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_the_message_names_what_has_not_mixed_and_when():
    fit = going_on(max_sweeps=80)
    assert fit.attrs["status"] == "NOT_MIXED"
    said = fit.attrs["status_message"]
    assert said.startswith("Not converged after 80 sweeps of each chain: ")
    assert "R-hat of the number of components that hold rows (K+) is " in said
    assert ", above 1.2" in said
    assert said.endswith("Raise `max_sweeps`, and look at `diagnose`.")
    converged = bg.diagnose(fit).sel(check="converged")
    assert str(converged["message"].item()) == said
    with pytest.warns(bg.NotConvergedWarning, match="R-hat of the number of components that hold rows"):
        going_on(max_sweeps=80)


def test_chains_end_as_soon_as_they_have_mixed():
    x = np.concatenate([np.linspace(-1, 1, 40), np.linspace(9, 11, 60)])
    engine = bg.Gibbs(sweeps=1000, chains=2, thin=2, n_init=2)
    fit = bg.fit(bg.GaussianMixture(2), x, engine=engine, random_seed=1, **QUIET)
    assert fit.attrs["status"] == "SAMPLED"
    assert fit.attrs["sweeps"] == "1000"
    assert fit["posterior"].sizes["draw"] == 500


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_chains_of_many_rows_go_on_less_far(monkeypatch):
    monkeypatch.setattr("bayesgmm.engines.gibbs._MOST_WORK", 450 * 120 * 3 * 3 / 4)  # 450 sweeps of one component
    assert 80 < int(going_on().attrs["sweeps"]) < 200
    monkeypatch.setattr("bayesgmm.engines.gibbs._MOST_WORK", 1.0)
    assert going_on().attrs["sweeps"] == "80"


@pytest.mark.parametrize(
    "model",
    [
        bg.GaussianMixture(2, weights=bg.StickBreaking(2.0), covariances=bg.Tied(bg.Diagonal())),
        bg.GaussianMixture(2, weights=bg.FixedWeights([0.4, 0.6]), covariances=bg.Spherical()),
        bg.GaussianMixture(3, weights=bg.Dirichlet(0.3), means=bg.NormalMeans()),
        bg.GaussianMixture(1, covariances=bg.FixedCovariances(np.diag([1.0, 30.0]))),
        bg.GaussianMixture(2, means=bg.FixedMeans([[2.0, 54.0], [4.3, 80.0]])),
        bg.GaussianMixture(2, covariances=bg.Diagonal(bg.HierarchicalInverseWishart())),
    ],
    ids=["tied-sticks", "spherical-fixed-weights", "sparse", "known-covariances", "known-means", "learnt-scale"],
)
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_every_kind_of_declaration_is_sampled(model):
    fit = bg.fit(model, bg.datasets.load_faithful(), engine=SHORT, random_seed=1, **QUIET)
    posterior = fit["posterior"].to_dataset()
    assert all(np.isfinite(posterior[name]).all() for name in ("weights", "means", "covariances", "sds"))
    np.testing.assert_allclose(posterior["weights"].sum("component"), 1.0, atol=1e-12)
    assert fit["assignments"]["responsibilities_lower"].notnull().all()
    checks = bg.diagnose(fit)
    assert "divergences" not in checks["check"].to_numpy()
    assert ("scale_matrix" in fit["sample_stats"]) == isinstance(
        model.covariances and model.covariances.innermost, bg.HierarchicalInverseWishart
    )
    bg.add_log_likelihood(fit)
    assert "log_likelihood" in bg.add_log_likelihood(fit).children


def test_the_sweep_is_compiled_once_for_all_declarations():
    models = [
        bg.GaussianMixture(2, means=bg.NormalMeans(), covariances=bg.Tied(bg.Spherical())),
        bg.GaussianMixture(2, weights=bg.FixedWeights([0.4, 0.6]), means=bg.FixedMeans([[2.0, 54.0], [4.3, 80.0]])),
        bg.GaussianMixture(2, weights=bg.StickBreaking(2.0), covariances=bg.FixedCovariances(np.eye(2))),
        bg.GaussianMixture(2, weights=bg.Dirichlet([1.0, 2.0]), covariances=bg.HierarchicalInverseWishart()),
        bg.GaussianMixture(1 + bg.Poisson(1.0), covariances=bg.Diagonal()),
    ]
    types = []
    for model in models:
        number = None if isinstance(model.n_components, int) else model.n_components
        filled = model.filled(np.zeros(2), np.eye(2), keep_sparse=True)
        types.append([typeof(each) for each in conditionals(filled, 2, number, 5).arguments()])
    assert all(each == types[0] for each in types)
    assert all(each.layout == "C" and each.mutable for each in types[0] if hasattr(each, "layout"))


@pytest.mark.parametrize(
    ("model", "data", "what"),
    [
        (bg.GaussianMixture(2, covariances=bg.LKJ()), [1.0, 2.0, 5.0, 6.0], "LKJ"),
        (bg.GaussianMixture(2, means=bg.EvenlySpacedMeans()), [1.0, 2.0, 5.0, 6.0], "means="),
        (bg.GaussianMixture(2, means=bg.Flat()), [1.0, 2.0, 5.0, 6.0], r"Flat\(\) means"),
        (bg.GaussianMixture(2), [1.0, np.nan, 2.0, 5.0, 6.0], "missing values"),
        (bg.GaussianMixture(2), bg.as_data([1.0, 2.0, 5.0], counts=[3, 2, 4]), "counts"),
        (bg.GaussianMixture(2), bg.as_data([1.0, 2.0, 5.0, 6.0], groups=list("aabb")), "groups"),
    ],
    ids=["LKJ", "spaced", "flat", "missing", "counts", "groups"],
)
def test_what_it_does_not_take(model, data, what):
    if what == "missing values":
        data = np.column_stack([data, np.arange(5.0)])
    with pytest.raises(bg.UnsupportedError, match=what) as caught:
        bg.fit(model, data, engine=SHORT, random_seed=1, **QUIET)
    assert str(caught.value).startswith("Gibbs")


@pytest.mark.parametrize("option", ["sweeps", "chains", "thin", "cores", "most_components", "n_init"])
@pytest.mark.parametrize("value", [0, 2.5, True])
def test_bad_options(option, value):
    with pytest.raises(bg.InputError, match=f"Gibbs.{option}"):
        bg.Gibbs(**{option: value})


def test_too_few_draws():
    with pytest.raises(bg.InputError, match="at least 10 times thin = 7"):
        bg.Gibbs(sweeps=60, thin=7)
