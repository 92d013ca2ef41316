"""What a user gets who chooses nothing: cases with a known right answer, which engine runs, what is warned about."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._tails import heavy_tails
from bayesgmm.engines._within import within_covariance
from bayesgmm.engines.base import Parameters
from bayesgmm.inference.concerns import fewer_groups, hardly_supported, uncalibrated
from bayesgmm.inference.default_engine import choose_engine
from bayesgmm.model.scale_priors import ScalePrior


def default_fit(model, data, seed=1):
    return bg.fit(model, data, random_seed=seed, progressbar=False)


def told_by(model, data, seed=1):
    """A fit and the categories of what it warned about."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = default_fit(model, data, seed)
    return found, [each.category for each in caught]


def groups(seed, n, d, apart, shares):
    """Rows of round groups in a row along the first axis, so many sds from each other, and the group of each."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(shares), size=n, p=shares)
    x = rng.normal(size=(n, d))
    x[:, 0] += apart * labels
    return x, labels


def weights_held(seeds, n, d, apart, shares, *, or_doubted=False):
    """In how many fits all 95 % intervals of the weights hold the truth, groups told by the first feature.

    With `or_doubted` also fits count of which it is said that the rows hold fewer groups.
    """
    held = 0
    for seed in seeds:
        x, _ = groups(seed, n, d, apart, shares)
        found, told = told_by(bg.GaussianMixture(len(shares)), x, seed)
        posterior = found["posterior"]
        weights = posterior["weights"].values.reshape(-1, len(shares))
        means = posterior["means"].values.reshape(len(weights), len(shares), d)[:, :, 0]
        ordered = np.take_along_axis(weights, means.argsort(axis=1), axis=1)
        assert ordered.mean(axis=0).min() > 0.02, f"seed {seed}: a component is empty"
        low, high = np.quantile(ordered, [0.025, 0.975], axis=0)
        held += bool(((low <= shares) & (shares <= high)).all()) or (or_doubted and bg.FewerGroupsWarning in told)
    return held


# Of 4 intervals with probability .95 fewer than 3 hold in 1.4 % of the cases, of 20 fewer than 17 in 1.6 %, of 40 fewer
# than 35 in 1.4 %.


@pytest.mark.fit
@pytest.mark.parametrize(("n", "d", "apart", "share"), [(100, 1, 3.0, 0.6), (100, 1, 4.0, 0.2), (60, 3, 4.0, 0.5)])
def test_intervals_of_weights_hold(n, d, apart, share):
    assert weights_held(range(4), n, d, apart, [1 - share, share]) >= 3


@pytest.mark.study
@pytest.mark.parametrize(
    ("n", "d", "apart", "shares"),
    [
        (500, 2, 2.0, [0.4, 0.6]),
        (100, 1, 3.0, [0.4, 0.6]),
        (200, 1, 2.5, [0.7, 0.3]),
        (400, 4, 4.0, [0.5, 0.5]),
        (500, 2, 3.0, [0.8, 0.2]),
        (300, 1, 4.0, [0.5, 0.3, 0.2]),
    ],
)
def test_intervals_of_weights_hold_in_many_fits(n, d, apart, shares):
    if apart == 2.0:  # the hardest case has more fits
        assert weights_held(range(100, 140), n, d, apart, shares) >= 35
        return
    # With three weights all of them are to hold at once.
    assert weights_held(range(100, 120), n, d, apart, shares) >= (17 if len(shares) == 2 else 16)


@pytest.mark.study
@pytest.mark.xfail(reason="a known shortfall: 25 or 26 of 30 fits hold or doubt, by the last digits", strict=False)
def test_intervals_hold_or_are_doubted_where_rows_hardly_tell_the_groups():
    # 29 numbers: which of the ways to cut 400 rows is the right one cannot be seen in every second data set.
    assert weights_held(range(100, 110), 400, 4, 2.5, [0.5, 0.5], or_doubted=True) >= 9


def test_iris_has_three_groups():
    metrics = pytest.importorskip("sklearn.metrics")
    iris = bg.datasets.load_iris()
    found = default_fit(bg.GaussianMixture(3), iris.drop(columns="species"))
    assigned = found["assignments"]
    assert found["point_estimate"]["weights"].values.min() > 0.25
    assert metrics.adjusted_rand_score(iris["species"], assigned["label"].values) >= 0.90
    # What a label says of itself is its responsibility.
    assert assigned["label_probability"].values.mean() > 0.9
    assert assigned["expected_rows"].values.sum() == pytest.approx(150)


@pytest.mark.study
def test_labels_of_wine_are_as_good_as_those_of_em_or_are_doubted():
    sklearn_datasets, metrics = pytest.importorskip("sklearn.datasets"), pytest.importorskip("sklearn.metrics")
    mixture = pytest.importorskip("sklearn.mixture")
    wine, kinds = sklearn_datasets.load_wine(return_X_y=True)
    theirs = mixture.GaussianMixture(3, n_init=10, random_state=1).fit_predict(wine)
    found, told = told_by(bg.GaussianMixture(3), wine)
    ours = metrics.adjusted_rand_score(kinds, found["assignments"]["label"].values)
    doubted = bg.FewerGroupsWarning in told or bg.UncalibratedWarning in told
    assert doubted or ours >= metrics.adjusted_rand_score(kinds, theirs)


def chosen(model, data):
    engine, reason = choose_engine(build_problem(model, bg.as_data(data), by_gibbs=bool(model.only_by_gibbs())))
    return type(engine), reason


def test_the_engine_goes_by_what_sampling_costs():
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=(500, 2)), rng.normal(size=(200_000, 1))
    engine, reason = chosen(bg.GaussianMixture(3), few)
    assert engine is bg.NUTS
    assert "takes about" in reason
    assert "nothing has to be approximated" in reason
    engine, reason = chosen(bg.GaussianMixture(3), many)
    assert engine is bg.Laplace
    assert "would take about" in reason
    # Many numbers cost as much as many rows.
    engine, reason = chosen(bg.GaussianMixture(3), rng.normal(size=(200, 20)))
    assert engine is bg.Gibbs
    assert "Gibbs about" in reason
    # Only conjugate parts have conditionals.
    assert chosen(bg.GaussianMixture(3, covariances=bg.LKJ()), rng.normal(size=(200, 20)))[0] is bg.Laplace
    assert chosen(bg.GaussianMixture(3), rng.normal(size=(20_000, 20)))[0] is bg.Laplace
    assert chosen(bg.GaussianMixture(3, covariances=bg.Diagonal()), rng.normal(size=(200, 20)))[0] is bg.NUTS


@pytest.mark.parametrize(
    "data",
    [
        bg.as_data(np.linspace(0, 1, 50), noise=0.1),
        bg.as_data(np.array([[0.0, np.nan], [1.0, 2.0], [3.0, 1.0], [5.0, 4.0], [np.nan, 2.0]] * 10)),
        bg.as_data(bins=[-np.inf, 0, 1, 2, np.inf], counts=[5, 9, 8, 4]),
    ],
    ids=["errors", "holes", "bins"],
)
def test_laplace_for_rows_that_are_not_exact(data):
    engine, reason = chosen(bg.GaussianMixture(2), data)
    assert engine is bg.Laplace
    assert "missing, have errors or are in bins" in reason


def test_other_declarations_have_the_engine_that_takes_them():
    x = np.random.default_rng(0).normal(size=(50, 2))
    flat = bg.Flat()
    engine, reason = chosen(bg.GaussianMixture(2, weights=flat, means=flat, covariances=bg.Tied(flat)), x)
    assert engine is bg.EM
    assert "no posterior" in reason
    engine, reason = chosen(bg.GaussianMixture(1 + bg.Poisson(2.0)), x)
    assert engine is bg.Gibbs
    assert "Only Gibbs takes" in reason
    with_groups = bg.as_data(x, groups=np.repeat(["a", "b"], 25))
    assert chosen(bg.GaussianMixture(2), with_groups)[0] is bg.Laplace


def test_results_say_which_engine_ran_and_why():
    x, _ = groups(0, 200, 1, 6.0, [0.5, 0.5])
    found, told = told_by(bg.GaussianMixture(2), x)
    assert not told
    assert found.attrs["engine"] == "NUTS"
    assert found.attrs["status"] == "SAMPLED"
    assert "nothing has to be approximated" in found.attrs["engine_reason"]
    assert {"chains", "relabelling", "unrelabelled"} <= set(found.children)


def test_rows_with_errors_are_fitted_by_laplace_and_its_check_is_told():
    rng = np.random.default_rng(1)
    true, _ = groups(1, 200, 1, 6.0, [0.4, 0.6])
    found, told = told_by(bg.GaussianMixture(2), bg.as_data(true + 0.3 * rng.normal(size=true.shape), noise=0.3))
    assert not told
    assert found.attrs["engine"] == "Laplace"
    assert found.attrs["pareto_k"] <= 0.7
    assert "its intervals hold (Pareto k" in found.attrs["engine_reason"]


@pytest.mark.fit
def test_what_laplace_cannot_do_is_sampled_within_a_minute_and_doubted_beyond(monkeypatch):
    limits = "bayesgmm.inference.default_engine."
    monkeypatch.setattr(limits + "_AT_ONCE", 0.0)
    x = np.random.default_rng(0).normal(size=(60, 8))
    x[:30, 0] += 8.0
    model = bg.GaussianMixture(2, covariances=bg.LKJ())
    found, told = told_by(model, x)
    assert found.attrs["engine"] == "NUTS"
    assert "may not hold (Pareto k" in found.attrs["engine_reason"]
    assert "so the posterior was sampled" in found.attrs["engine_reason"]
    assert bg.UncalibratedWarning not in told
    monkeypatch.setattr(limits + "_IF_NEED_BE", 0.0)
    found, told = told_by(model, x)
    assert found.attrs["engine"] == "Laplace"
    assert "NUTS would take about" in found.attrs["engine_reason"]
    assert bg.UncalibratedWarning in told


@pytest.mark.fit
def test_few_rows_of_many_features_are_sampled_by_gibbs():
    x, labels = groups(3, 400, 14, 6.0, [0.4, 0.6])
    found, told = told_by(bg.GaussianMixture(2), x)
    assert not told
    assert found.attrs["engine"] == "Gibbs"
    assert found.attrs["status"] == "SAMPLED"
    assert (found["assignments"]["label"].values == labels).all()


def test_where_gibbs_does_not_mix_the_next_engine_follows(monkeypatch):
    few = bg.Gibbs(sweeps=40, burn_in=0, max_sweeps=40)
    monkeypatch.setattr("bayesgmm.inference.default_engine._quick_gibbs", lambda problem: few)
    monkeypatch.setattr("bayesgmm.inference.default_engine._TIMES_CHEAPER", 1e-9)
    monkeypatch.setattr("bayesgmm.engines.gibbs.unmixed", lambda *values, **more: ["R-hat is too large"])
    x, _ = groups(3, 300, 2, 1.5, [0.4, 0.3, 0.3])
    found, _ = told_by(bg.GaussianMixture(3), x)
    assert found.attrs["engine"] == "NUTS"
    assert found.attrs["engine_reason"].startswith("Gibbs did not mix in 40 sweeps. Sampling the posterior takes")


@pytest.mark.parametrize(("d", "engine"), [(1, None), (3, None), (3, bg.EM())])
def test_tails_that_are_far_heavier_than_a_gaussians_are_told(d, engine):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1500, d))
    x[:500] = 30.0 + rng.standard_t(3, size=(500, d))
    model = bg.GaussianMixture(2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = bg.fit(model, x, engine=engine, random_seed=1, progressbar=False)
    told = [str(each.message) for each in caught if each.category is bg.NotGaussianWarning]
    if engine is not None:  # who names an engine wants its answer
        assert not told
        return
    # Components are in the order of their means.
    assert len(told) == 1
    assert told[0].startswith("The rows of component 1 are not like a Gaussian's")
    assert found.attrs["not_gaussian"] == told[0]
    assert told[0] in bg.diagnose(found)["message"].values


def test_kurtosis_is_that_of_the_rows():
    x = np.random.default_rng(0).standard_t(4, size=(4000, 2))
    problem = build_problem(bg.GaussianMixture(1), bg.as_data(x))
    at = problem.units.to_standard(
        Parameters(log_weights=np.zeros(1), means=np.zeros((1, 2)), choleskys=np.eye(2)[None])
    )
    found = heavy_tails(problem, at)
    z = np.linalg.solve(np.linalg.cholesky(np.cov(x.T, ddof=0)), (x - x.mean(axis=0)).T)
    expected = np.square(np.square(z).sum(axis=0)).mean() / (8 * 3999 / 4001)
    assert found.component == 0
    assert found.ratio == pytest.approx(expected, rel=1e-9)
    assert heavy_tails(build_problem(bg.GaussianMixture(1), bg.as_data(np.tanh(x))), at) is None


@pytest.mark.fit
def test_many_rows_are_fitted_by_laplace():
    x, _ = groups(2, 45_000, 1, 6.0, [0.3, 0.7])
    found, told = told_by(bg.GaussianMixture(2), x)
    assert not told
    assert found.attrs["engine"] == "Laplace"
    assert found["posterior"]["weights"].values.std(axis=(0, 1)) == pytest.approx(np.sqrt(0.21 / 45_000), rel=0.1)


def test_no_responsibilities_of_more_than_100_000_rows():
    x, _ = groups(3, 100_001, 1, 6.0, [0.4, 0.6])
    engine = bg.EM(n_init=2, n_polish=1)
    above, below = (
        bg.fit(bg.GaussianMixture(2), rows, engine=engine, random_seed=1, progressbar=False)["assignments"]
        for rows in (x, x[:100_000])
    )
    assert set(above.data_vars) == {"label", "label_probability", "expected_rows"}
    assert "100,000" in above.attrs["meaning"]
    assert "responsibilities" in below
    np.testing.assert_array_equal(above["label"].values[:50], below["label"].values[:50])
    assert above["expected_rows"].values.sum() == pytest.approx(100_001)


@pytest.mark.fit
@pytest.mark.parametrize(("n", "d", "K"), [(200, 2, 3), (100, 1, 3), (60, 3, 2)])
def test_one_cloud_is_said_to_hold_fewer_groups(n, d, K):
    cloud = np.random.default_rng(n).normal(size=(n, d))
    with pytest.warns(bg.FewerGroupsWarning, match=r"fewer components|fewer groups") as caught:
        found = default_fit(bg.GaussianMixture(K), cloud)
    said = [str(each.message) for each in caught if each.category is bg.FewerGroupsWarning]
    assert said == [found.attrs["fewer_groups"]]


@pytest.mark.parametrize(
    ("n", "d", "apart", "shares"),
    [(60, 2, 8.0, [0.5, 0.5]), (200, 1, 6.0, [0.3, 0.3, 0.4]), (300, 4, 5.0, [0.2, 0.8]), (300, 2, 10.0, [0.05, 0.95])],
)
def test_clear_groups_are_not_doubted(n, d, apart, shares):
    x, _ = groups(5, n, d, apart, shares)
    found, told = told_by(bg.GaussianMixture(len(shares)), x)
    assert not told
    assert "fewer_groups" not in found.attrs


def test_a_component_without_rows_is_named_whatever_the_engine():
    x = np.r_[np.random.default_rng(0).normal(0, 1, (40, 2)), [[30.0, 30.0]]]
    with pytest.warns(bg.FewerGroupsWarning, match=r"1 of 2 components hold enough rows; by the labels 1 \(1 row\)"):
        bg.fit(bg.GaussianMixture(2), x, engine=bg.EM(), random_seed=1, progressbar=False)


@pytest.mark.parametrize("weights", [bg.SparseDirichlet(0.5), bg.StickBreaking(1.0)], ids=["sparse", "sticks"])
def test_priors_that_empty_components_are_not_told_that_some_are_empty(weights):
    x, _ = groups(6, 200, 2, 8.0, [0.5, 0.5])
    model = bg.GaussianMixture(5, weights=weights)
    # Warnings are errors in tests.
    found = bg.fit(model, x, engine=bg.VB(), random_seed=1, progressbar=False)
    assert bg.occupied_components(found)["probability"].values[-1] < 0.5  # components are empty in most draws
    assert fewer_groups(found) == ""
    problem = build_problem(model, bg.as_data(x))
    assert hardly_supported(problem, None) == ""


def test_a_default_whose_check_failed_is_doubted():
    x, _ = groups(7, 60, 1, 6.0, [0.5, 0.5])
    found = bg.fit(bg.GaussianMixture(2), x, engine=bg.Laplace(), random_seed=1, progressbar=False)
    assert uncalibrated(found) == ""
    found.attrs["pareto_k"] = 0.93
    said = uncalibrated(found)
    assert "Pareto k of the importance weights of Laplace is 0.93, above 0.7" in said
    assert "engine=NUTS()" in said
    found.attrs["pareto_k"] = np.nan
    assert "could not be told" in uncalibrated(found)


def problem_of(x, K, covariances=None):
    return build_problem(bg.GaussianMixture(K, covariances=covariances), bg.as_data(x))


def within(x, K, covariances=None):
    """The covariance expected within a component, in units of the data."""
    problem = problem_of(x, K, covariances)
    return within_covariance(problem) * np.outer(problem.units.scale, problem.units.scale)


@pytest.mark.parametrize(("n", "d", "K"), [(80, 1, 2), (150, 2, 3), (200, 4, 2)])
def test_the_scale_of_the_prior_changes_as_the_rows_do(n, d, K):
    rng = np.random.default_rng(n)
    x, _ = groups(n, n, d, 5.0, np.full(K, 1 / K))
    W = within(x, K)
    A, shift = rng.normal(size=(d, d)), 100 * rng.normal(size=d)
    np.testing.assert_allclose(
        within(x @ A.T + shift, K), A @ W @ A.T, rtol=1e-5, atol=1e-7 * np.abs(A @ W @ A.T).max()
    )
    np.testing.assert_allclose(within(x[rng.permutation(n)], K), W, rtol=1e-5, atol=1e-7 * W.max())


@pytest.mark.parametrize("covariances", [bg.Diagonal(), bg.Tied(bg.Diagonal()), bg.Spherical(), bg.Tied(bg.Full())])
def test_the_scale_of_other_structures_changes_with_what_they_allow(covariances):
    x, _ = groups(3, 150, 2, 5.0, [0.5, 0.5])
    W = within(x, 2, covariances)
    A = {bg.Spherical: 3.0 * np.eye(2)}.get(type(covariances), np.diag([-7.0, 0.2]))
    np.testing.assert_allclose(within(x @ A.T + 4.0, 2, covariances), A @ W @ A.T, rtol=1e-5, atol=1e-7 * W.max())


def test_the_scale_is_that_of_groups_and_not_that_of_the_data():
    for apart in (4.0, 40.0):
        x, _ = groups(4, 200, 2, apart, [0.5, 0.5])
        variances = np.diag(within(x, 2))
        assert (variances > 0.5).all(), apart
        assert (variances < 2.0).all(), apart


@pytest.mark.parametrize(
    ("n", "n_wide", "far", "wide"), [(30, 70, 6.0, 3.0), (300, 700, 6.0, 3.0), (30, 70, 12.0, 1.0)]
)
def test_the_scale_beside_a_wide_group_is_near_that_of_the_narrow_one(n, n_wide, far, wide):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = np.r_[rng.normal(0, 0.1, n), rng.normal(far, wide, n_wide)]
        # A mean of covariances would be a hundred times the narrow variance or more.
        assert within(x, 2).item() < 8 * 0.1**2


def test_a_narrow_group_beside_a_wide_one_is_not_blown_up():
    held = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = np.r_[rng.normal(0, 0.3, 40), rng.normal(4, 2, 80)]
        narrow = sds_of_the_narrower(default_fit(bg.GaussianMixture(2), x))
        low, high = np.quantile(narrow, [0.025, 0.975])
        held += low <= 0.3 <= high
        assert high < 0.6
    assert held >= 3


def test_a_group_very_narrow_for_its_distance_wants_independent_means():
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(0, 0.1, 30), rng.normal(6, 3, 70)]
    narrow = sds_of_the_narrower(default_fit(bg.GaussianMixture(2, means=bg.NormalMeans()), x))
    low, high = np.quantile(narrow, [0.025, 0.975])
    assert low <= 0.1 <= high
    assert high < 0.15


def sds_of_the_narrower(found):
    return np.sqrt(found["posterior"]["covariances"].values.reshape(-1, 2)).min(axis=1)


def overlapping(seed, n=120, apart=1.5):
    rng = np.random.default_rng(seed)
    return np.r_[rng.normal(0, 1, n // 2), rng.normal(apart, 1, n // 2)]


def test_sampling_goes_on_until_it_has_mixed_and_stores_what_was_asked_for():
    model = bg.GaussianMixture(2, weights=bg.Dirichlet(1.0), means=bg.ConjugateMeans())
    engine = bg.NUTS(draws=100, tune=100, chains=2, n_init=8, n_polish=2)
    found, _ = _quietly(model, overlapping(7), engine)
    assert int(found.attrs["draws"]) > 100
    assert int(found.attrs["draws"]) % 100 == 0
    assert found["posterior"].sizes["draw"] == 100
    assert found["sample_stats"].sizes["draw"] == 100
    engine = bg.NUTS(draws=100, tune=100, chains=2, n_init=8, n_polish=2, max_draws=100)
    stopped, _ = _quietly(model, overlapping(7), engine)
    assert int(stopped.attrs["draws"]) == 100


def _quietly(model, x, engine):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = bg.fit(model, x, engine=engine, random_seed=1, progressbar=False)
    return found, [each.category for each in caught]


def test_one_seed_has_one_answer():
    x, _ = groups(8, 100, 2, 4.0, [0.5, 0.5])
    first, again, other = (default_fit(bg.GaussianMixture(2), x, seed) for seed in (3, 3, 4))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(first["posterior"][name].values, again["posterior"][name].values)
    assert not np.array_equal(first["posterior"]["weights"].values, other["posterior"]["weights"].values)
    np.testing.assert_array_equal(first["assignments"]["label"].values, other["assignments"]["label"].values)


@dataclass(frozen=True)
class ScaleOfOnesOwn(ScalePrior):
    """A half-Cauchy prior, which PyMC is not told of."""

    beta: float
    _per_feature = ("beta",)

    def __post_init__(self):
        self._freeze("beta", positive=True, most_axes=1)

    def log_density(self, s):
        (beta,) = self._values()
        square = np.square(s / beta)
        return np.log(2 / np.pi) - np.log(beta) - np.log1p(square), -2 * s / np.square(beta) / (1 + square)

    def rescaled(self, scale):
        return self._replace(beta=tuple(np.asarray(self.beta) / scale))

    def typical(self):
        return np.asarray(self.beta)

    def draw(self, rng, shape):
        return np.abs(rng.standard_cauchy(shape)) * np.asarray(self.beta)


@pytest.mark.fit
def test_a_prior_of_ones_own_is_sampled_where_laplace_cannot_do_it(monkeypatch):
    # Each of its densities is computed in Python, so that Laplace comes first.
    x = np.random.default_rng(0).normal(size=(60, 8))
    x[:30, 0] += 8.0
    monkeypatch.setattr("bayesgmm.inference.default_engine._IF_NEED_BE", np.inf)
    model = bg.GaussianMixture(2, covariances=bg.LKJ(2, scale=ScaleOfOnesOwn(1.0)))
    assert chosen(model, x)[0] is bg.Laplace
    found, told = told_by(model, x)
    assert found.attrs["engine"] == "NUTS"
    assert "may not hold (Pareto k" in found.attrs["engine_reason"]
    assert "so the posterior was sampled" in found.attrs["engine_reason"]
    assert bg.UncalibratedWarning not in told


@pytest.mark.parametrize("K", [2, 3, 4])
def test_partitions_for_the_scale_have_as_many_groups_as_components(K):
    from bayesgmm.engines._within import _partitions

    places = np.random.default_rng(0).normal(size=(80, 2)) * [1.0, 3.0]
    found = list(_partitions(places, K, np.ones(80), 3))
    assert [dense for _, dense in found][:2] == [False, True]
    for labels, _ in found:
        assert set(labels.tolist()) == set(range(K))
