"""Results change with the data as they must: units, directions, order and copies of rows and columns."""

import numpy as np
import pytest
from scipy.stats import ortho_group

import bayesgmm as bg

ENGINES = pytest.mark.parametrize("engine", [bg.EM(threads=1), bg.VB(threads=1, draws=4)], ids=["EM", "VB"])
SHIFT = np.array([31.0, -4.0, 0.7])


def fit(model, rows, engine, seed=1):
    return bg.fit(model, rows, engine=engine, random_seed=seed, progressbar=False)


def rows_of_three_clusters(n=240):
    """Clusters of clearly different weights, shapes and places, so that they can be told apart by weight."""
    rng = np.random.default_rng(11)
    z = np.repeat([0, 1, 2], [n // 2, n // 3, n // 6])
    centers = np.array([[0.0, 0.0, 0.0], [4.0, 1.0, -2.0], [-2.0, 5.0, 3.0]])
    factors = np.array([np.eye(3), np.tril(np.full((3, 3), 0.5)), np.diag([1.5, 0.4, 0.8])])
    return centers[z] + np.einsum("nij,nj->ni", factors[z], rng.normal(size=(n, 3)))


def by_weight(result):
    point = result["point_estimate"].to_dataset()
    order = np.argsort(-point["weights"].to_numpy())
    return [point[name].to_numpy()[order] for name in ("weights", "means", "covariances")]


def rowwise(result):
    """What is known about every row: responsibilities under EM, the closed predictive density under VB."""
    if "posterior" in result:
        return bg.predict(result)["log_density"].to_numpy()[:, None]  # responsibilities are averages over draws
    r = result["assignments"]["responsibilities"].to_numpy()
    return r[:, np.argsort(-result["point_estimate"]["weights"].to_numpy())]


def objective(result):
    attrs = result["point_estimate"].attrs
    return attrs["elbo"] if "elbo" in attrs else attrs["log_likelihood"]


def assert_moved(before, after, A, b, tolerance=1e-5):
    """After is before under x -> A x + b."""
    weights, means, covariances = by_weight(before)
    new_weights, new_means, new_covariances = by_weight(after)
    expected = A @ covariances @ A.T
    # Sizes are compared along the axes of the new data, in units of the components' own sds.
    sds = np.sqrt(np.diagonal(expected, axis1=1, axis2=2))
    np.testing.assert_allclose(new_weights, weights, rtol=tolerance)
    np.testing.assert_allclose((new_means - (means @ A.T + b)) / sds, 0.0, atol=tolerance)
    scaled = (new_covariances - expected) / (sds[:, :, None] * sds[:, None, :])
    np.testing.assert_allclose(scaled, 0.0, atol=tolerance)
    n = before["observed_data"].sizes["obs"]
    volume = np.linalg.slogdet(A)[1]
    assert objective(after) == pytest.approx(objective(before) - n * volume, rel=1e-8)
    by_row = rowwise(before) - (volume if "posterior" in before else 0.0)
    np.testing.assert_allclose(rowwise(after), by_row, atol=10 * tolerance)


MAPS = {
    "affine": lambda rng: np.diag([0.01, 1.0, 300.0]) @ (rng.normal(size=(3, 3)) + 2 * np.eye(3)),
    "axes": lambda rng: np.diag([1e-3, -2.0, 5e4]),
    "rotation": lambda rng: 7.0 * ortho_group.rvs(3, random_state=rng),
}


def moved(model, engine, kind):
    rng = np.random.default_rng(2)
    A = MAPS[kind](rng)
    rows = rows_of_three_clusters()
    before, after = fit(model, rows, engine), fit(model, rows @ A.T + SHIFT, engine)
    return before, after, A


@ENGINES
@pytest.mark.parametrize("covariances", [bg.Full(), bg.Tied(bg.Full())], ids=["full", "tied"])
@pytest.mark.parametrize("K", [1, 3])
def test_full_covariances_follow_every_affine_map(covariances, engine, K):
    before, after, A = moved(bg.GaussianMixture(K, covariances=covariances), engine, "affine")
    assert_moved(before, after, A, SHIFT)


@ENGINES
@pytest.mark.parametrize("covariances", [bg.Diagonal(), bg.Tied(bg.Diagonal())], ids=["diagonal", "tied"])
@pytest.mark.parametrize("K", [1, 3])
def test_diagonal_covariances_follow_the_units_of_each_axis(covariances, engine, K):
    before, after, A = moved(bg.GaussianMixture(K, covariances=covariances), engine, "axes")
    assert_moved(before, after, A, SHIFT)


@pytest.mark.parametrize(
    "covariances",
    [bg.LKJ(), bg.Tied(bg.LKJ()), bg.Diagonal(bg.LKJ())],
    ids=["full", "tied", "diagonal"],
)
def test_lkj_follows_the_units_of_each_axis(covariances):
    before, after, A = moved(bg.GaussianMixture(3, covariances=covariances), bg.EM(threads=1), "axes")
    assert_moved(before, after, A, SHIFT)


@ENGINES
@pytest.mark.parametrize("K", [1, 3])
def test_spherical_covariances_follow_rotations_and_a_common_scale(engine, K):
    before, after, A = moved(bg.GaussianMixture(K, covariances=bg.Spherical()), engine, "rotation")
    assert_moved(before, after, A, SHIFT)


@pytest.mark.parametrize("kind", MAPS)
def test_maximum_likelihood_follows_every_affine_map(kind):
    flat = bg.GaussianMixture(3, weights=bg.Flat(), means=bg.Flat(), covariances=bg.Flat())
    before, after, A = moved(flat, bg.EM(threads=1), kind)
    assert_moved(before, after, A, SHIFT)


def test_a_structure_does_not_follow_more_than_it_can():
    # What the tests above would miss if they could not fail.
    for covariances, kind in ((bg.Diagonal(), "affine"), (bg.LKJ(), "affine"), (bg.Spherical(), "axes")):
        before, after, A = moved(bg.GaussianMixture(3, covariances=covariances), bg.EM(threads=1), kind)
        with pytest.raises(AssertionError):
            assert_moved(before, after, A, SHIFT)


@ENGINES
@pytest.mark.parametrize(
    "covariances", [bg.Full(), bg.Diagonal(), bg.Spherical(), bg.Tied(bg.Full())], ids=["full", "diag", "sph", "tied"]
)
def test_columns_in_another_order(covariances, engine):
    model, rows = bg.GaussianMixture(3, covariances=covariances), rows_of_three_clusters()
    order = np.array([2, 0, 1])
    before, after = fit(model, rows, engine), fit(model, rows[:, order], engine)
    assert_moved(before, after, np.eye(3)[order], np.zeros(3))


@ENGINES
def test_rows_in_another_order(engine):
    model, rows = bg.GaussianMixture(3), rows_of_three_clusters()
    order = np.random.default_rng(0).permutation(len(rows))
    before, after = fit(model, rows, engine), fit(model, rows[order], engine)
    for old, new in zip(by_weight(before), by_weight(after), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)
    assert objective(after) == pytest.approx(objective(before), rel=1e-9)
    np.testing.assert_allclose(rowwise(after), rowwise(before)[order], atol=1e-4)


def test_every_row_twice_is_the_same_maximum_likelihood():
    model = bg.GaussianMixture(3, weights=bg.Flat(), means=bg.Flat(), covariances=bg.Flat())
    rows = rows_of_three_clusters()
    once, twice = fit(model, rows, bg.EM()), fit(model, np.vstack([rows, rows]), bg.EM())
    for one, two in zip(by_weight(once), by_weight(twice), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)
    assert objective(twice) == pytest.approx(2 * objective(once), rel=1e-10)


@ENGINES
@pytest.mark.parametrize("seed", [2, 20])
def test_two_seeds_give_the_same_table(engine, seed):
    rows = bg.datasets.load_faithful()
    model = bg.GaussianMixture(2)
    one, two = (fit(model, rows, engine, s)["point_estimate"].to_dataset() for s in (1, seed))
    for name in ("weights", "means", "sds", "covariances"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-6)
    # Along the first principal axis of the standardised data, which here is the sum of both columns.
    score = (one["means"] / rows.std().to_numpy()).sum("feature").to_numpy()
    assert (np.diff(score) > 0).all()


@ENGINES
def test_components_that_the_prior_tells_apart_keep_their_places(engine):
    rows = bg.datasets.load_faithful()
    means = bg.NormalMeans([[4.3, 80.0], [2.0, 55.0]], [1.0, 10.0])
    point = fit(bg.GaussianMixture(2, means=means), rows, engine)["point_estimate"]
    assert point["means"].to_numpy()[0, 0] > 4.0
    assert point["means"].to_numpy()[1, 0] < 2.5


@pytest.mark.fit
@ENGINES
def test_one_seed_gives_one_result(engine):
    rows = bg.datasets.load_faithful()
    one, two = (fit(bg.GaussianMixture(3), rows, engine, 5) for _ in range(2))
    for group in one.children:
        for name, value in one[group].to_dataset().data_vars.items():
            np.testing.assert_array_equal(two[group][name].to_numpy(), value.to_numpy())


@ENGINES
@pytest.mark.parametrize("power", [-150, -60, -8, 8, 60, 148])
def test_very_small_and_very_large_units(engine, power):
    rows = bg.datasets.load_faithful().to_numpy()
    unit = 10.0**power
    model = bg.GaussianMixture(2)
    before, after = fit(model, rows, engine), fit(model, rows * unit, engine)
    np.testing.assert_array_equal(after["assignments"]["label"], before["assignments"]["label"])
    old, new = before["point_estimate"], after["point_estimate"]
    np.testing.assert_allclose(new["weights"], old["weights"], rtol=1e-6)
    np.testing.assert_allclose(new["means"] / unit, old["means"], rtol=1e-6)
    np.testing.assert_allclose(new["sds"] / unit, old["sds"], rtol=1e-6)
    np.testing.assert_allclose(new["correlations"], old["correlations"], rtol=1e-5)
    assert objective(after) == pytest.approx(objective(before) - rows.size * np.log(unit), rel=1e-9)


def test_units_in_which_variances_overflow_are_refused():
    with pytest.raises(bg.InputError, match="overflow"):
        fit(bg.GaussianMixture(2), bg.datasets.load_faithful().to_numpy() * 1e150, bg.EM())
