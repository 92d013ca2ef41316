"""A fit as the next prior, and priors that tell components apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import bayesgmm as bg
from bayesgmm.inference.next_prior import _covariances, _means, _weights
from bayesgmm.model.flat import FlatMeans
from tests.contract import a_scale_matrix

QUIET = {"random_seed": 1, "progressbar": False}
pytestmark = pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")
AT = np.array([[0.0, 0.0], [9.0, 3.0], [-4.0, 10.0]])
SHARES = [0.5, 0.3, 0.2]


def apart(n, seed=0):
    """Rows of three well separated groups of different shapes, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=SHARES)
    rows = np.array([rng.multivariate_normal(AT[k], (0.5 + k) * a_scale_matrix(2)) for k in labels])
    return rows, labels


NUTS = bg.NUTS(draws=60, tune=60, chains=2, max_draws=60)
ROWS, LABELS = apart(400)


def of_two(**parts):
    return bg.GaussianMixture(2, **parts)


def fitted(rows, engine, model=None):
    return bg.fit(model or bg.GaussianMixture(3), rows, engine=engine, **QUIET)


@pytest.mark.parametrize("structure", [bg.Full, bg.Diagonal, bg.Spherical, bg.Tied])
def test_moments_are_those_of_the_draws(structure):
    """Draws from such priors are matched by the numbers that they were drawn from."""
    rng, K, d, n = np.random.default_rng(3), 2, 3, 40_000
    separate = structure in (bg.Diagonal, bg.Spherical)
    df = np.array([12.0, 40.0])[: 1 if structure is bg.Tied else 2]
    scales = np.array([(3.0 + k) * (np.eye(d) if separate else a_scale_matrix(d)) for k in range(len(df))])
    if separate:
        m = 1 if structure is bg.Spherical else d
        variances = scales[0, 0, 0] / rng.chisquare(df[:, None], size=(n, K, m)) * np.array([1.0, 4.0 / 3.0])[:, None]
        drawn = np.broadcast_to(variances, (n, K, d))[..., None] * np.eye(d)
        scales = scales[:, :m, :m]
    else:
        each = zip(df, scales, strict=True)
        drawn = np.stack([stats.invwishart.rvs(f, S, size=n, random_state=rng) for f, S in each], axis=1)
        drawn = np.repeat(drawn, K, axis=1) if structure is bg.Tied else drawn
    found = _covariances(structure(), drawn)
    prior = found.innermost
    assert isinstance(found, structure)
    np.testing.assert_allclose(np.ravel(prior.df), df, rtol=0.03)
    np.testing.assert_allclose(np.reshape(prior.scale, scales.shape), scales, rtol=0.03, atol=0.03)


def test_moments_of_weights_and_means():
    rng = np.random.default_rng(4)
    a = np.array([[2.0, 5.0, 30.0], [1.0, 1.0, 0.5]])
    drawn = np.stack([rng.dirichlet(each, size=60_000) for each in a], axis=1)
    np.testing.assert_allclose(_weights(bg.Dirichlet(1.0), drawn).concentration, a, rtol=0.03)
    np.testing.assert_allclose(_weights(bg.StickBreaking(1.0), drawn[:, 0]).concentration, a[0], rtol=0.03)
    means = _means(FlatMeans(), rng.normal(AT, [0.5, 2.0], size=(60_000, 3, 2)))
    np.testing.assert_allclose(means.mu, AT, atol=0.05)
    np.testing.assert_allclose(means.sigma, [[0.5, 2.0]] * 3, rtol=0.03)


@pytest.mark.parametrize("covariances", [bg.Full(), bg.Diagonal(), bg.Spherical(), bg.Tied()])
def test_one_half_after_the_other_is_all_of_it(covariances):
    """Where groups are far apart nothing is lost but correlations between the features of a mean."""
    engine = bg.VB(draws=1000, chains=1)
    model = bg.GaussianMixture(3, covariances=covariances, component_names=["a", "b", "c"])
    first = fitted(ROWS[:200], engine, model)
    prior = bg.as_prior(first)
    assert prior.component_names == ("a", "b", "c")
    # Names go with components, and not with places: rows in another order begin elsewhere.
    second = fitted(ROWS[:199:-1], engine, prior)
    whole = fitted(ROWS, engine, model)
    order = [int(np.square(second["point_estimate"]["means"].to_numpy() - m).sum(axis=1).argmin())
             for m in whole["point_estimate"]["means"].to_numpy()]  # fmt: skip
    assert sorted(order) == [0, 1, 2]
    firsts = first["point_estimate"]["means"].to_numpy() - second["point_estimate"]["means"].to_numpy()
    assert np.abs(firsts).max() < 1.0
    for name, within in (("weights", 0.25), ("means", 0.3), ("sds", 0.35)):
        here, there = (each["posterior"][name] for each in (second, whole))
        here, there = (each.to_numpy().reshape(1000, 3, -1) for each in (here, there))
        here = here[:, order]
        z = (here.mean(axis=0) - there.mean(axis=0)) / there.std(axis=0)
        assert np.abs(z).max() < within, name
        np.testing.assert_allclose(here.std(axis=0), there.std(axis=0), rtol=0.15)


@pytest.mark.parametrize(
    "engine", [bg.EM(), bg.VB(), bg.Laplace(draws=200, chains=2), pytest.param(NUTS, marks=pytest.mark.fit)],
    ids=lambda engine: engine.name,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_every_engine_finds_the_components_that_the_prior_names(engine):
    """Whatever the order of rows: components are those of the prior, which only one permutation fits."""
    prior = bg.InverseWishart(df=[30.0, 31.0, 32.0], scale=[30.0 * (0.5 + k) * a_scale_matrix(2) for k in range(3)])
    for order in ([0, 1, 2], [2, 0, 1]):
        model = bg.GaussianMixture(
            3, means=bg.ConjugateMeans(AT[order], 1.0), covariances=bg.InverseWishart(
                np.array(prior.df)[order], np.array(prior.scale)[order])
        )  # fmt: skip
        fit = fitted(ROWS[:120], engine, model)
        assert np.abs(fit["point_estimate"]["means"].to_numpy() - AT[order]).max() < 1.0
        if "posterior" in fit:
            assert np.abs(fit["posterior"]["means"].mean(("chain", "draw")).to_numpy() - AT[order]).max() < 1.0


def test_evidence_has_no_factor_for_permutations():
    """The evidence of few rows, by enumeration of all assignments, with numbers for each component."""
    rows = ROWS[:6, :1]
    df, scale, loc = np.array([4.0, 9.0]), np.array([2.0, 0.5]), np.array([[0.0], [5.0]])

    def model(by_component):
        take = (lambda a: a) if by_component else (lambda a: a[0])
        return bg.GaussianMixture(
            2, weights=bg.Dirichlet(1.0), means=bg.ConjugateMeans(take(loc), 0.5),
            covariances=bg.InverseWishart(take(df), take(scale[:, None, None])),
        )  # fmt: skip

    def exact(m):
        return float(bg.log_evidence(m, rows, estimator=bg.Enumeration(), **QUIET)["value"][0])

    def by_hand():
        terms = []
        for code in range(2 ** len(rows)):
            z = np.array([code >> i & 1 for i in range(len(rows))])
            value = np.log(stats.betabinom.pmf(z.sum(), len(rows), 1, 1) / stats.binom.pmf(z.sum(), len(rows), 0.5))
            value -= len(rows) * np.log(2)
            for k in range(2):
                own, at, f, S = rows[z == k, 0], loc[k, 0], df[k], scale[k]
                kappa = 0.5
                for x in own:  # one after the other, each by its predictive t
                    wide = S / f * (1 + 1 / kappa)
                    value += stats.t.logpdf(x, f, at, np.sqrt(wide))
                    S = S + kappa / (kappa + 1) * (x - at) ** 2
                    at, kappa, f = (kappa * at + x) / (kappa + 1), kappa + 1, f + 1
            terms.append(value)
        return np.logaddexp.reduce(terms)

    assert exact(model(True)) == pytest.approx(by_hand(), abs=1e-10)
    bridge = bg.log_evidence(model(True), rows, estimator=bg.LaplaceEvidence(), **QUIET)
    assert abs(float(bridge["value"][0]) - by_hand()) < 0.4
    assert exact(model(True)) != pytest.approx(exact(model(False)), abs=1e-3)


def test_numbers_by_component_go_to_json_and_are_reordered_with_the_components():
    fit = fitted(ROWS[:200], bg.VB(draws=100))
    prior = bg.as_prior(fit)
    assert bg.GaussianMixture.from_json(prior.to_json()) == prior
    second = fitted(ROWS[200:], bg.VB(draws=100), prior)
    again = bg.relabel(second)
    np.testing.assert_array_equal(again["posterior"]["means"], second["posterior"]["means"])
    from bayesgmm.model.mixture import FilledMixture
    from bayesgmm.model.reordering import reordered

    model = FilledMixture.from_json(second.attrs["model"])
    order = np.array([2, 0, 1])
    moved, declared = reordered(model, prior, order, None)
    np.testing.assert_array_equal(np.array(moved.covariances.prior.df), np.array(model.covariances.prior.df)[order])
    np.testing.assert_array_equal(
        np.array(moved.covariances.prior.scale), np.array(model.covariances.prior.scale)[order]
    )
    np.testing.assert_array_equal(np.array(declared.means.mu), np.array(prior.means.mu)[order])


def test_what_is_known_stays_known_and_groups_keep_weights_of_their_own():
    groups = np.where(np.arange(200) < 120, "a", "b")
    model = bg.GaussianMixture(3, means=bg.FixedMeans(AT), covariances=bg.FixedCovariances(2.0))
    fit = fitted(bg.as_data(ROWS[:200], groups=groups), bg.VB(draws=200), model)
    prior = bg.as_prior(fit)
    assert prior.means == bg.FixedMeans(AT)
    assert isinstance(prior.covariances, bg.FixedCovariances)
    a = np.array(prior.weights.concentration)
    assert a.shape == (2, 3)
    np.testing.assert_allclose(a.sum(axis=1), [123 + 3 * np.sqrt(1.5), 83 + 3 * np.sqrt(1.5)], rtol=0.25)
    again = fitted(bg.as_data(ROWS[200:], groups=groups), bg.VB(draws=80), prior)
    assert again["point_estimate"]["weights"].shape == (2, 3)


@pytest.mark.parametrize(
    ("model", "engine", "error", "match"),
    [
        ({}, bg.EM(), bg.InputError, "fit: is by EM, which has no draws"),
        ({}, bg.VB(draws=5, chains=1), bg.InputError, "fit: has 5 draws"),
        ({"weights": bg.HardyWeinberg()}, None, bg.UnsupportedError, "as_prior does not work with weights="),
        ({"means": bg.EvenlySpacedMeans()}, None, bg.UnsupportedError, "as_prior does not work with means="),
        ({"covariances": bg.LinearVariance()}, None, bg.UnsupportedError, "as_prior does not work with covariances="),
    ],
)
def test_what_cannot_be_a_prior_is_refused(model, engine, error, match):
    rows = ROWS[:60] if engine else ROWS[:60, :1]
    fit = fitted(rows, engine or bg.Laplace(draws=40, chains=2), bg.GaussianMixture(3, **model))
    with pytest.raises(error, match=match):
        bg.as_prior(fit)


BY_COMPONENT = bg.InverseWishart(df=[5.0, 9.0], scale=np.array([np.eye(2), 2.0 * np.eye(2)]))


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: bg.InverseWishart(df=[4.0, 5.0], scale=np.array([np.eye(2)] * 3)), "InverseWishart.df: has 2 numbers"),
        (lambda: bg.InverseWishart(df=[4.0, -5.0]), "InverseWishart.df: got"),
        (lambda: bg.InverseWishart(scale=[np.eye(2).tolist(), [[1.0, 2.0], [2.0, 1.0]]]), "positive definite"),
        (lambda: bg.Tied(BY_COMPONENT), "Tied does not work with InverseWishart"),
        (lambda: bg.HierarchicalInverseWishart(df=[4.0, 5.0]), "HierarchicalInverseWishart.df"),
        (lambda: bg.GaussianMixture(1 + bg.Poisson(1.0), covariances=BY_COMPONENT), "numbers for each component"),
        (lambda: bg.GaussianMixture(1 + bg.Poisson(1.0), means=bg.ConjugateMeans(AT)), "without rows"),
        (lambda: fitted(ROWS, bg.EM(), bg.GaussianMixture(3, covariances=BY_COMPONENT)), "for 2 components, not"),
        (lambda: fitted(ROWS, bg.EM(), of_two(means=bg.ConjugateMeans(AT))), "ConjugateMeans.loc"),
        (lambda: fitted(ROWS[:, :1], bg.EM(), of_two(covariances=BY_COMPONENT)), "InverseWishart.scale: has"),
        (lambda: fitted(ROWS, bg.VB(), bg.GaussianMixture(2, covariances=bg.Diagonal(bg.InverseWishart(
            scale=[a_scale_matrix(2), a_scale_matrix(2)])))), "off the diagonal"),
        (lambda: fitted(ROWS, bg.EM(), of_two(covariances=bg.InverseWishart(df=[0.5, 4.0]))),
            r"InverseWishart.df: got \(0.5, 4.0\). It must be greater than 1"),
    ],
)  # fmt: skip
def test_numbers_by_component_are_checked(build, match):
    with pytest.raises(bg.BayesGMMError, match=match):
        build()


def test_gibbs_takes_rows_of_means_and_says_what_it_does_not_take():
    means = bg.ConjugateMeans(AT, 1.0)
    engine = bg.Gibbs(sweeps=100, burn_in=50, chains=2, n_init=2, max_sweeps=100)
    fit = fitted(ROWS[:120], engine, bg.GaussianMixture(3, means=means))
    assert np.abs(fit["point_estimate"]["means"].to_numpy() - AT).max() < 1.0
    with pytest.raises(bg.UnsupportedError, match="Gibbs does not work with InverseWishart"):
        fitted(ROWS[:120], engine, bg.GaussianMixture(2, covariances=BY_COMPONENT))


def test_a_component_that_is_known_and_others_that_are_not():
    """Degrees of freedom alone may differ: the scale is then learnt from the rows for each."""
    model = bg.GaussianMixture(3, covariances=bg.InverseWishart(df=[50.0, 4.0, 4.0]))
    filled = bg.GaussianMixture.from_json(fitted(ROWS, bg.EM(), model).attrs["model"])
    scale = np.array(filled.covariances.prior.scale)
    np.testing.assert_allclose(scale[0] / 50.0, scale[1] / 4.0)
    mean = bg.InverseWishart(df=[8.0, 9.0], scale=1.0).resolved(2, separate=False)
    assert np.shape(mean.scale) == (2, 2, 2)
