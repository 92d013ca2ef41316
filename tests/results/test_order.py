"""The order of components is no matter of the order of rows, of one row more, or of the last bit."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import bayesgmm as bg
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
from bayesgmm.results.order import canonical_order

EM = bg.EM(threads=1, n_init=4, n_polish=1, short_steps=5)


def fit(model, rows, engine=EM, seed=1):
    return bg.fit(model, rows, engine=engine, random_seed=seed, progressbar=False)


def means(result):
    return result["point_estimate"]["means"].to_numpy()


def negatively_correlated(n=400, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.random(n) < 0.5
    return np.where(z[:, None], rng.normal([0, 10], 1, (n, 2)), rng.normal([10, 0], 1, (n, 2)))


def test_the_number_of_rows_does_not_matter():
    x = negatively_correlated()
    first = {tuple(means(fit(bg.GaussianMixture(2), x[:n]))[0].round(-1)) for n in range(390, 400)}
    assert first == {(0.0, 10.0)}


def test_the_order_of_rows_does_not_matter():
    x = negatively_correlated()
    rng = np.random.default_rng(1)
    first = {tuple(means(fit(bg.GaussianMixture(2), rng.permutation(x)))[0].round(-1)) for _ in range(5)}
    assert first == {(0.0, 10.0)}


@pytest.mark.parametrize("scale", [(1e-3, 1.0), (1.0, 1e4), (7.0, 0.3)])
def test_units_do_not_matter(scale):
    x = negatively_correlated()
    result = fit(bg.GaussianMixture(2), x * scale + 3.0)
    np.testing.assert_allclose(means(result)[0] / scale - 3.0 / np.array(scale), [0.0, 10.0], atol=0.5)


@pytest.mark.parametrize("correlation", [-1e-9, 0.0, 1e-9])
def test_nothing_jumps_near_no_correlation(correlation):
    """The first principal axis of such a table turns by ninety degrees."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(at, 0.5, (100, 2)) for at in ([0, 0], [4, 0], [0, 4], [4, 4])])
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    x[:, 1] += correlation * x[:, 0]
    np.testing.assert_array_equal(np.sign(means(fit(bg.GaussianMixture(4), x))), [[-1, -1], [-1, 1], [1, -1], [1, 1]])


def ordered(standard_means, choleskys=None, **parts):
    K, d = np.shape(standard_means)
    x = np.random.default_rng(0).normal(size=(50, d))
    problem = build_problem(bg.GaussianMixture(K, **parts), bg.as_data(x))
    choleskys = np.tile(np.eye(d), (K, 1, 1)) if choleskys is None else choleskys
    at = Parameters(log_weights=np.full(K, -np.log(K)), means=np.array(standard_means), choleskys=choleskys)
    return canonical_order(problem, problem.units.to_data(at)).tolist()


def test_components_on_a_grid_go_feature_by_feature():
    three = [[a, b] for a in (-1.0, 0.0, 1.0) for b in (-1.0, 0.0, 1.0)]
    order = np.random.default_rng(0).permutation(9)
    assert [order[k] for k in ordered([three[k] for k in order])] == list(range(9))
    two = [[a, b, c] for a in (0.0, 1.0) for b in (0.0, 1.0) for c in (0.0, 1.0)]
    assert ordered(two[::-1]) == [7, 6, 5, 4, 3, 2, 1, 0]


def test_components_with_equal_scores_go_by_size_whatever_the_rounding():
    factors = np.array([3.0, 1.0, 2.0])[:, None, None] * np.eye(2)
    for rounding in ([0, 0, 0], [1e-12, 0, -1e-12], [-1e-12, 3e-12, 1e-12], [4.9999999e-10, 5.0000001e-10, 0]):
        at = np.array([[0.3, -0.2]] * 3) + np.array(rounding)[:, None]
        assert ordered(at, factors) == [1, 2, 0]


def test_only_what_the_prior_treats_alike_changes_places():
    at = [[2.0], [1.0], [0.0], [-1.0]]
    weights = bg.Dirichlet([1.0, 2.0, 1.0, 2.0])
    assert ordered(at, weights=weights) == [2, 3, 0, 1]


@pytest.mark.parametrize("engine", [EM, bg.VB(threads=1, draws=200), bg.NUTS(tune=200, draws=100, chains=2)])
def test_a_result_says_whether_its_order_is_stable(engine):
    rng = np.random.default_rng(0)
    column = np.repeat([0.0, 5.0], 60)
    apart = np.column_stack([column + rng.normal(size=120), rng.normal(size=120)])
    assert fit(bg.GaussianMixture(2), apart, engine).attrs["order_stable"] == True  # noqa: E712
    # 0.4 steps back in the first feature for each step on in the second: both have one score.
    tied = np.column_stack([rng.normal(size=120) - 0.4 * column, rng.normal(size=120) + column])
    tied = (tied - tied.mean(axis=0)) / tied.std(axis=0)
    step = [fit(bg.GaussianMixture(2), tied, EM)["point_estimate"]["means"].diff("component").to_numpy()[0]][0]
    tied[:, 0] -= (step[0] + 0.4 * step[1]) / step[1] * tied[:, 1]
    assert fit(bg.GaussianMixture(2), tied, engine).attrs["order_stable"] == False  # noqa: E712


def test_no_order_with_an_empty_component_is_stable():
    x = np.concatenate([np.random.default_rng(0).normal(at, 1.0, (60, 2)) for at in (0, 9)])
    sparse = bg.Dirichlet(0.01)
    result = fit(bg.GaussianMixture(3, weights=sparse), x, bg.VB(threads=1, draws=200))
    assert (result["point_estimate"]["weights"] < 0.01).any()
    assert not result.attrs["order_stable"]


def test_concentric_components_are_in_the_order_of_their_sizes():
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(0, 1, 400), rng.normal(0, 8, 400)])
    model = bg.GaussianMixture(2, means=bg.FixedMeans([[0.0], [0.0]]))
    result = fit(model, x)
    sds = result["point_estimate"]["sds"].to_numpy().ravel()
    assert sds[0] < sds[1]
    assert result.attrs["order_stable"]


def one_row_more(number, seed):
    """How many of so many random configurations change their order, and in how many though it was called stable."""
    rng = np.random.default_rng(seed)
    changed = promised = 0
    for c in range(number):
        d, K = (2, 4)[c % 2], 2 + c % 3
        centers, factors = rng.normal(0, 3, (K, d)), rng.normal(size=(K, d, d)) / np.sqrt(d) + 0.3 * np.eye(d)
        z = rng.integers(0, K, 200)
        x = centers[z] + np.einsum("nij,nj->ni", factors[z], rng.normal(size=(200, d)))
        fits = [fit(bg.GaussianMixture(K), x[:n]) for n in (199, 200)]
        old, new = (means(each) for each in fits)
        match = linear_sum_assignment(np.square(old[:, None] - new).sum(axis=2))[1]
        if (match != np.arange(K)).any():
            changed += 1
            promised += all(each.attrs["order_stable"] for each in fits)
    return changed, promised


@pytest.mark.fit
def test_one_row_more_does_not_change_it():
    assert one_row_more(12, seed=7) == (0, 0)


# Some of the configurations have components that lie on top of each other.
@pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")
@pytest.mark.study
def test_one_row_more_changes_it_in_one_of_a_hundred_configurations_at_most():
    changed, promised = one_row_more(200, seed=2024)
    assert changed <= 2
    assert promised == 0
