"""EM's modes against closed forms, fixed points and another optimiser; what it refuses, and what it reports."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

import bayesgmm as bg
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
from bayesgmm.inference.default_engine import choose_engine
from tests import contract
from tests.engines.test_convergence import assert_traces_rise

FLAT = {"weights": bg.Flat(), "means": bg.Flat(), "covariances": bg.Flat()}


def fit_em(model, rows, seed=1, **options):
    return bg.fit(model, rows, engine=bg.EM(**options), random_seed=seed, progressbar=False)


def point_of(fit):
    """Weights, means and covariances."""
    return tuple(fit["point_estimate"][name].to_numpy() for name in ("weights", "means", "covariances"))


def faithful():
    return bg.datasets.load_faithful().to_numpy()


def responsibilities(rows, weights, means, covariances):
    joint = contract.log_joint_by_scipy(rows.T, np.log(weights), means, np.linalg.cholesky(covariances))
    return np.exp(joint - logsumexp(joint, axis=0)), float(logsumexp(joint, axis=0).sum())


class Chart:
    """Free coordinates round a fitted point, and scipy's log posterior in them."""

    def __init__(self, fit, *, unconstrained):
        self.model = bg.GaussianMixture.from_json(fit.attrs["model"])
        self.x = np.ascontiguousarray(fit["observed_data"]["x"].to_numpy().T)
        self.unconstrained = unconstrained
        weights, means, covariances = point_of(fit)
        self.at = Parameters(log_weights=np.log(weights), means=means, choleskys=np.linalg.cholesky(covariances))
        K, d = means.shape
        structure = self.model.covariances
        self.tied = isinstance(structure, bg.Tied)
        inner = structure.structure if self.tied else structure
        n_own = 1 if self.tied else K
        counts = {bg.Full: d * (d + 1) // 2, bg.Diagonal: d, bg.Spherical: 1}
        self.per_matrix = counts.get(type(inner), 0)
        self.sizes = (
            0 if isinstance(self.model.weights, bg.FixedWeights) else K - 1,
            0 if isinstance(self.model.means, bg.FixedMeans) else K * d,
            n_own * self.per_matrix,
        )
        self.size = sum(self.sizes)

    def parameters(self, u):
        K, d = self.at.means.shape
        a, b, _ = np.cumsum(self.sizes)
        log_weights = self.at.log_weights
        if self.sizes[0]:
            log_weights = log_softmax(log_weights + np.append(u[:a], 0.0))
        means = self.at.means
        if self.sizes[1]:
            means = means + (self.at.choleskys @ u[a:b].reshape(K, d, 1))[..., 0]
        choleskys = self.at.choleskys
        if self.sizes[2]:
            own = np.stack(
                [self._moved(L, t) for L, t in zip(choleskys, u[b:].reshape(-1, self.per_matrix), strict=False)]
            )
            choleskys = np.broadcast_to(own, choleskys.shape) if self.tied else own
        return Parameters(log_weights=log_weights, means=means, choleskys=choleskys)

    def _moved(self, L, t):
        d = len(L)
        A = np.diag(np.exp(np.broadcast_to(t[:d], d) if t.size < d else t[:d]))
        if t.size > d:
            A[np.tril_indices(d, -1)] = t[d:]
        return L @ A

    def __call__(self, u):
        at = self.parameters(u)
        value = contract.log_likelihood_by_scipy(self.x, at) + contract.log_prior_by_scipy(self.model, at)
        if self.unconstrained:
            value += contract.weights_volume(self.model.weights, at.log_weights)
            value += contract.covariances_volume(self.model.covariances, at.choleskys)
        return value

    def newton_decrement(self, step=2e-3):
        """g' H^-1 g / 2 and the smallest eigenvalue of minus the Hessian, by differences of values."""
        gradient = contract.derivative(self, np.zeros(self.size))
        units = step * np.eye(self.size)
        middle = self(np.zeros(self.size))
        sides = np.array([self(unit) + self(-unit) for unit in units]) - 2 * middle
        H = np.diag(sides) / step**2
        for i in range(self.size):
            for j in range(i):
                corners = self(units[i] + units[j]) + self(-units[i] - units[j]) - 2 * middle
                H[i, j] = H[j, i] = (corners - sides[i] - sides[j]) / (2 * step**2)
        return 0.5 * gradient @ np.linalg.solve(-H, gradient), np.linalg.eigvalsh(-H)[0], gradient


@pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")  # any maximum will do
@pytest.mark.parametrize("factory", contract.FACTORIES, ids=contract.IDS)
def test_every_declaration_ends_at_a_maximum(factory):
    K, d = 2, 2
    rows = contract.small_data(K, d, 80, np.random.default_rng(5)).T
    model = factory(K, d)
    bounded = contract.filled(model, d).weights.bounded()
    fit = fit_em(model, rows, n_init=8, density="parameters" if bounded else "unconstrained")
    chart = Chart(fit, unconstrained=not bounded)
    assert fit.attrs["status"] == bg.Status.CONVERGED.name
    if chart.size:
        assert_traces_rise(fit, "log_posterior")
    assert chart(np.zeros(chart.size)) == pytest.approx(fit["point_estimate"].attrs["log_posterior"], rel=1e-10)
    assert fit["point_estimate"].attrs["n_parameters"] == chart.size
    if chart.size == 0:
        return
    decrement, smallest, gradient = chart.newton_decrement()
    assert smallest > 0
    assert decrement < 1e-4
    np.testing.assert_allclose(gradient, 0.0, atol=2e-3)


def prior_of_mclust(rows, K):
    """Mean, shrinkage, degrees of freedom and scale of Fraley & Raftery (2007)."""
    d = rows.shape[1]
    covariance = np.cov(rows.T, bias=True).reshape(d, d)
    return rows.mean(axis=0), 0.01, d + 2, covariance * K ** (-2 / d)


@pytest.mark.parametrize("K", [1, 2, 3])
@pytest.mark.parametrize("tied", [False, True], ids=["full", "tied"])
def test_map_is_a_fixed_point_of_mclusts_formulas(K, tied):
    rows = faithful()
    n, d = rows.shape
    mu, kappa, df, scale = prior_of_mclust(rows, K)
    inner = bg.InverseWishart(df, scale)
    model = bg.GaussianMixture(
        K,
        weights=bg.Dirichlet(1.0),
        means=bg.ConjugateMeans(mu, kappa),
        covariances=bg.Tied(inner) if tied else inner,
    )
    fit = fit_em(model, rows)
    weights, means, covariances = point_of(fit)
    r, _ = responsibilities(rows, weights, means, covariances)
    counts = r.sum(axis=1)
    centers = (r @ rows) / counts[:, None]
    np.testing.assert_allclose(weights, counts / n, rtol=1e-5)
    np.testing.assert_allclose(means, (counts[:, None] * centers + kappa * mu) / (counts[:, None] + kappa), rtol=1e-5)
    tops = []
    for k in range(K):
        delta, away = rows - centers[k], centers[k] - mu
        within = (r[k, :, None] * delta).T @ delta
        tops.append(within + kappa * counts[k] / (kappa + counts[k]) * np.outer(away, away))
    tops = np.array(tops)
    if tied:
        expected = np.broadcast_to((scale + tops.sum(axis=0)) / (n + df + d + 1 + K), tops.shape)
    else:
        expected = (scale + tops) / (counts + df + d + 2)[:, None, None]
    np.testing.assert_allclose(covariances, expected, rtol=1e-4, atol=1e-5 * covariances.max())


@pytest.mark.parametrize("prior", [bg.LKJ(), bg.LKJ(4.0, scale=bg.LogNormal(0.5, 1.0))], ids=str)
@pytest.mark.study
def test_lkj_map_agrees_with_another_optimiser(prior):
    rows = faithful()[::2]
    K, d = 2, 2
    fit = fit_em(bg.GaussianMixture(K, weights=bg.Dirichlet(1.0), covariances=prior), rows)
    filled = bg.GaussianMixture.from_json(fit.attrs["model"])
    scale, eta = contract.scale_by_scipy(filled.covariances.prior.scale), filled.covariances.prior.eta
    normal = stats.norm(filled.means.mu, filled.means.sigma)

    def parts(u):
        sds = np.exp(u[5:9]).reshape(K, d)
        return log_softmax([u[0], 0.0]), u[1:5].reshape(K, d), sds, np.tanh(u[9:])

    def log_density(u):
        # In weights, means, sds and correlations themselves: no Jacobian of the coordinates u.
        log_weights, means, sds, rho = parts(u)
        terms = []
        for k in range(K):
            z = (rows - means[k]) / sds[k]
            quadratic = (z[:, 0] ** 2 - 2 * rho[k] * z[:, 0] * z[:, 1] + z[:, 1] ** 2) / (1 - rho[k] ** 2)
            log_det = 2 * np.log(sds[k]).sum() + np.log1p(-(rho[k] ** 2))
            terms.append(log_weights[k] - 0.5 * quadratic - 0.5 * log_det - np.log(2 * np.pi))
        beta = stats.beta(eta, eta, loc=-1, scale=2)  # LKJ for d = 2
        return (
            logsumexp(terms, axis=0).sum()
            + normal.logpdf(means).sum()
            + scale.logpdf(sds).sum()
            + sum(beta.logpdf(rho))
        )

    begin = np.concatenate([[-0.5], [2.2, 55.0, 4.1, 78.0], np.log([0.4, 7.0, 0.5, 7.0]), [0.1, 0.1]])
    best = minimize(lambda u: -log_density(u), begin, method="BFGS", options={"gtol": 1e-4, "maxiter": 500})
    log_weights, means, sds, rho = parts(best.x)
    weights, own_means, covariances = point_of(fit)
    assert fit["point_estimate"].attrs["log_posterior"] == pytest.approx(-best.fun, abs=1e-5)
    np.testing.assert_allclose(weights, np.exp(log_weights), rtol=1e-4)
    np.testing.assert_allclose(own_means, means, rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariances, axis1=1, axis2=2)), sds, rtol=1e-3)
    np.testing.assert_allclose(fit["point_estimate"]["correlations"].to_numpy()[:, 0, 1], rho, rtol=1e-3)


@pytest.mark.parametrize("d", [1, 2])
def test_one_component_by_maximum_likelihood(d):
    rows = faithful()[:, :d]
    covariance = np.cov(rows.T, bias=True).reshape(d, d)
    variances = np.diag(covariance)
    expected = {
        bg.Full(bg.Flat()): covariance,
        bg.Tied(bg.Full(bg.Flat())): covariance,
        bg.Diagonal(bg.Flat()): np.diag(variances),
        bg.Spherical(bg.Flat()): np.eye(d) * variances.mean(),
    }
    for structure, value in expected.items():
        fit = fit_em(bg.GaussianMixture(1, weights=bg.Flat(), means=bg.Flat(), covariances=structure), rows)
        weights, means, covariances = point_of(fit)
        assert weights == pytest.approx([1.0])
        np.testing.assert_allclose(means, rows.mean(axis=0)[None], rtol=1e-8)
        np.testing.assert_allclose(covariances, value[None], rtol=1e-6, atol=1e-12)
        attrs = fit["point_estimate"].attrs
        by_scipy = stats.multivariate_normal(rows.mean(axis=0), value).logpdf(rows).sum()
        assert attrs["log_likelihood"] == pytest.approx(by_scipy, rel=1e-12)
        assert attrs["log_prior"] == 0.0


def test_one_component_by_conjugate_priors():
    rows = faithful()[:40]
    n, d = rows.shape
    loc, kappa, df, scale = np.array([3.0, 60.0]), 2.5, 6.0, np.array([[0.5, 1.0], [1.0, 40.0]])
    means = bg.ConjugateMeans(loc, kappa)
    center = rows.mean(axis=0)
    mode = (n * center + kappa * loc) / (n + kappa)
    delta = rows - center
    scatter = delta.T @ delta + kappa * n / (kappa + n) * np.outer(center - loc, center - loc)
    own = np.diag(scatter)
    expected = {
        bg.Full(bg.InverseWishart(df, scale)): (scatter + scale) / (n + df + d + 2),
        bg.Tied(bg.Full(bg.InverseWishart(df, scale))): (scatter + scale) / (n + df + d + 1 + 1),
        bg.Diagonal(bg.InverseWishart(df, np.diag(scale))): np.diag((own + np.diag(scale)) / (n + df + 3)),
        bg.Spherical(bg.InverseWishart(df, 7.0)): np.eye(d) * (own.sum() + 7.0) / (n * d + df + d + 2),
    }
    for structure, value in expected.items():
        fit = fit_em(bg.GaussianMixture(1, means=means, covariances=structure), rows)
        np.testing.assert_allclose(fit["point_estimate"]["means"], mode[None], rtol=1e-7)
        np.testing.assert_allclose(fit["point_estimate"]["covariances"], value[None], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("concentration", [0.5, [2.0, 0.99]], ids=str)
def test_sparse_dirichlet_has_no_mode(concentration):
    model = bg.GaussianMixture(2, weights=bg.Dirichlet(concentration))
    with pytest.raises(bg.UnsupportedError, match=r"(?s)Dirichlet.*without bound.*VB.*NUTS.*unconstrained"):
        fit_em(model, faithful())


def test_sticks_below_one_have_no_mode():
    with pytest.raises(bg.UnsupportedError, match="without bound"):
        fit_em(bg.GaussianMixture(2, weights=bg.StickBreaking(0.5)), faithful())


def test_the_unconstrained_density_is_the_fallback():
    model = bg.GaussianMixture(2, weights=bg.Dirichlet(0.5), covariances=bg.Tied(bg.Flat()))
    with pytest.raises(bg.UnsupportedError):
        fit_em(model, faithful())
    chosen = bg.fit(model, faithful(), random_seed=1, progressbar=False)
    assert chosen.attrs["engine"] == "EM"
    assert chosen.attrs["density"] == "unconstrained"
    for part in ("no posterior", "NUTS", "Flat()", "Dirichlet(0.5)"):
        assert part in chosen.attrs["engine_reason"].replace("Dirichlet((0.5, 0.5))", "Dirichlet(0.5)")
    asked = fit_em(model, faithful(), density="unconstrained")
    assert asked["point_estimate"].attrs["log_posterior"] == chosen["point_estimate"].attrs["log_posterior"]
    # With weights (N_k + a) / (N + K a) the mode in log-ratios is inside the simplex for every a > 0.
    r, _ = responsibilities(faithful(), *point_of(asked))
    np.testing.assert_allclose(asked["point_estimate"]["weights"], (r.sum(axis=1) + 0.5) / (272 + 1), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (bg.GaussianMixture(2), "NUTS"),
        (bg.GaussianMixture(2, weights=bg.Dirichlet(0.1)), "NUTS"),
        (bg.GaussianMixture(2, covariances=bg.LKJ()), "NUTS"),
        (bg.GaussianMixture(2, **FLAT), "EM"),
    ],
    ids=["default", "sparse", "lkj", "flat"],
)
def test_the_engine_that_is_chosen(model, name):
    engine, reason = choose_engine(build_problem(model, bg.as_data(faithful())))
    assert engine.name == name
    assert getattr(engine, "density", "parameters") == "parameters"
    assert len(reason) > 20


def with_a_spike(where=(3.0, 8.0)):
    rng = np.random.default_rng(8)
    clouds = rng.normal(size=(120, 2)) + np.repeat([[0.0, 0.0], [6.0, 1.0]], 60, axis=0)
    return np.vstack([clouds, np.tile(where, (6, 1))])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_collapsed_component_is_not_reported(seed):
    # Six equal rows: the likelihood is unbounded, and many starts run into it.
    rows = with_a_spike((8.0, 2.0))
    fit = fit_em(bg.GaussianMixture(3, **FLAT), rows, seed=seed)
    search = fit["optimization"].to_dataset()
    status = search["status"].to_numpy()
    assert fit.attrs["status"] == bg.Status.CONVERGED.name
    assert (status == bg.Status.SINGULAR.name).sum() == search.attrs["n_singular"] > 0
    assert status[search.attrs["best_start"]] == bg.Status.CONVERGED.name
    usable = np.array([bg.Status[name].usable for name in status])
    ends = search["end_value"].to_numpy()
    assert ends[search.attrs["best_start"]] == ends[usable].max()
    weights, _, covariances = point_of(fit)
    assert np.linalg.eigvalsh(covariances).min() > 1e-6
    assert weights.min() * len(rows) > 3
    message = bg.diagnose(fit).sel(check="improper_ends")
    assert not message["ok"]
    assert "InverseWishart" in bg.Status.SINGULAR.value


def test_a_proper_optimum_below_that_of_a_stricter_model_is_not_reported():
    # Six equal rows away from all others: a shared covariance gives them a component, one of their own collapses.
    rows = with_a_spike()
    tied = fit_em(bg.GaussianMixture(3, **(FLAT | {"covariances": bg.Tied(bg.Flat())})), rows)
    value = tied["point_estimate"].attrs["log_likelihood"]
    with pytest.raises(bg.FitError, match=rf"above that of a simpler model.*tied covariances reach {value:.6g}"):
        fit_em(bg.GaussianMixture(3, **FLAT), rows)


def test_a_prior_holds_the_same_component():
    model = bg.GaussianMixture(3, weights=bg.Dirichlet(1.0), means=bg.ConjugateMeans(precision_scale=0.01))
    fit = fit_em(model, with_a_spike())
    assert fit["optimization"].attrs["n_singular"] == 0
    weights, means, _ = point_of(fit)
    k = int(np.argmin(np.abs(means - [3.0, 8.0]).sum(axis=1)))
    np.testing.assert_allclose(means[k], [3.0, 8.0], atol=0.05)
    assert weights[k] == pytest.approx(6 / 126, rel=1e-2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_spurious_components_are_not_reported(seed):
    # Three rows far away make a component of their own: likely, but no more than d + 1 rows do not support a full one.
    rng = np.random.default_rng(3)
    clouds = rng.normal(size=(120, 2)) + np.repeat([[0.0, 0.0], [4.0, 0.0]], 60, axis=0)
    rows = np.vstack([clouds, [[2.0, 8.0], [3.0, 8.3], [2.3, 9.0]]])
    fit = fit_em(bg.GaussianMixture(2, **FLAT), rows, seed=seed)
    search = fit["optimization"].to_dataset()
    assert search.attrs["n_spurious"] == (search["status"] == bg.Status.TOO_FEW_ROWS.name).sum() > 0
    weights, _, _ = point_of(fit)
    assert weights.min() * len(rows) > 3
    spurious = search["status"].to_numpy() == bg.Status.TOO_FEW_ROWS.name
    assert search["end_value"].to_numpy()[spurious].max() > fit["point_estimate"].attrs["log_likelihood"]


@pytest.mark.parametrize(
    "rows",
    [np.random.default_rng(0).normal(size=(7, 2)), np.repeat(np.eye(3, 2) * 5.0, 10, axis=0)],
    ids=["few rows", "three places"],
)
def test_no_proper_optimum_is_an_error_with_a_remedy(rows):
    with pytest.raises(bg.FitError, match=r"proper optimum.*Use .*InverseWishart.*fewer components"):
        fit_em(bg.GaussianMixture(3, **FLAT), rows)


RANK_DEFICIENT = {
    "two rows": np.array([[0.3, -1.0], [1.9, 0.4]]),
    "three columns that are one": np.outer(np.random.default_rng(0).normal(size=50), [1.0, 2.0, 3.0]),
    "fewer rows than columns": np.random.default_rng(1).normal(size=(5, 8)),
}


@pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")
@pytest.mark.parametrize("K", [1, 2])
@pytest.mark.parametrize("engine", [bg.EM(), bg.VB(draws=4)], ids=["EM", "VB"])
@pytest.mark.parametrize(
    "covariances",
    [bg.Diagonal(), bg.Tied(bg.Diagonal()), bg.Spherical(), bg.Full(bg.InverseWishart(12.0, 1.0))],
    ids=["diagonal", "tied-diagonal", "spherical", "full"],
)
@pytest.mark.parametrize("name", RANK_DEFICIENT)
def test_a_singular_data_covariance_is_fine_where_nothing_needs_its_inverse(name, covariances, engine, K):
    # The error for linearly dependent columns recommends just these.
    rows = RANK_DEFICIENT[name]
    fit = bg.fit(bg.GaussianMixture(K, covariances=covariances), rows, engine=engine, random_seed=1, progressbar=False)
    assert fit.attrs["status"] == bg.Status.CONVERGED.name
    assert np.linalg.eigvalsh(fit["point_estimate"]["covariances"].to_numpy()).min() > 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n_init", 0),
        ("n_init", 2.0),
        ("n_init", True),
        ("n_polish", 0),
        ("max_steps", 0),
        ("max_steps", "many"),
        ("short_steps", -1),
        ("tolerance", 0.0),
        ("tolerance", -1e-3),
        ("tolerance", np.inf),
        ("tolerance", np.nan),
        ("tolerance", None),
        ("eigenvalue_floor", 0.0),
        ("density", "jacobian"),
        ("threads", 0),
        ("threads", -2),
        ("threads", 1.5),
    ],
)
def test_options_are_checked(option, value):
    with pytest.raises(bg.InputError, match=rf"EM\.{option}.*Give"):
        bg.EM(**{option: value})


def test_options_that_are_fine():
    engine = bg.EM(n_init=np.int64(1), short_steps=0, n_polish=1, max_steps=1, tolerance=1, threads=2)
    assert engine == bg.EM(n_init=1, short_steps=0, n_polish=1, max_steps=1, tolerance=1, threads=2)
    with pytest.raises(AttributeError):
        engine.n_init = 3


def test_a_loose_tolerance_and_few_passes_are_admitted():
    rows = contract.small_data(3, 2, 300, np.random.default_rng(4)).T
    with pytest.warns(bg.NotConvergedWarning, match="max_steps"):
        fit = fit_em(bg.GaussianMixture(3, **FLAT), rows, n_init=2, short_steps=0, n_polish=1, max_steps=1)
    assert fit.attrs["status"] == bg.Status.MAX_STEPS.name
    assert not bg.diagnose(fit).sel(check="converged")["ok"]


@pytest.mark.parametrize("density", ["parameters", "unconstrained"])
def test_the_density_that_a_number_belongs_to(density):
    fit = fit_em(bg.GaussianMixture(2, covariances=bg.LKJ()), faithful(), density=density)
    assert fit.attrs["density"] == density
    attrs = fit["point_estimate"].attrs
    assert attrs["log_posterior"] == pytest.approx(attrs["log_likelihood"] + attrs["log_prior"], rel=1e-12)
    chart = Chart(fit, unconstrained=density == "unconstrained")
    assert attrs["log_posterior"] == pytest.approx(chart(np.zeros(chart.size)), rel=1e-10)
    _, loglik = responsibilities(faithful(), *point_of(fit))
    assert attrs["log_likelihood"] == pytest.approx(loglik, rel=1e-11)
    assert np.abs(contract.derivative(chart, np.zeros(chart.size))).max() < 1e-2
