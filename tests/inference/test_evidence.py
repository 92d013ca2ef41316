"""Log evidence by every estimator against sums over all assignments, and the parts that estimators are made of.

The sums are written here from the closed forms of the conjugate families, for one feature.
"""

from dataclasses import replace
from itertools import permutations, product
from math import factorial, lgamma

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln, logsumexp

import bayesgmm as bg
from bayesgmm.engines._bridge import bridge, relative_error
from bayesgmm.engines._enumeration import _n_partitions, _partitions
from bayesgmm.engines._importance import resampled, smoothed
from bayesgmm.engines._labels import over_labels
from bayesgmm.engines.base import Approximation, Parameters

LAPLACE = bg.Laplace(threads=1, n_init=4, n_polish=2)
VB = bg.VB(threads=1, n_init=4, n_polish=2, draws=1000)
NUTS = bg.NUTS(draws=500, tune=200, chains=2, cores=1, n_init=4, n_polish=2)
SAMPLED = "Laplace, importance sampling"
# Informative, so that every component has a density to speak of whichever rows it has.
LOC, KAPPA, DF, SCALE = 0.5, 0.8, 12.0, 10.0


def conjugate(K, concentration=3.0):
    return bg.GaussianMixture(
        K,
        weights=bg.Dirichlet(concentration),
        means=bg.ConjugateMeans(LOC, KAPPA),
        covariances=bg.InverseWishart(DF, SCALE),
    )


def evidence(model, data, *estimators, seed=1):
    return bg.log_evidence(model, data, estimator=list(estimators), random_seed=seed, progressbar=False)


def value(found, name):
    return found["value"].sel(estimate=name).item()


def error(found, name):
    return found["error"].sel(estimate=name).item()


def some_rows(n, seed=0, width=1.6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n) + np.where(np.arange(n) % 2, -width, width)


# By hand -------------------------------------------------------------------------------------------------------------


def of_group(x):
    """Log marginal likelihood of rows with one Normal: mean Normal(LOC, s2 / KAPPA), s2 inverse-gamma."""
    n = len(x)
    a, b = DF / 2, SCALE / 2
    if n == 0:
        return 0.0
    center = x.mean()
    after = b + 0.5 * np.square(x - center).sum() + 0.5 * KAPPA * n / (KAPPA + n) * (center - LOC) ** 2
    return (
        gammaln(a + n / 2)
        - gammaln(a)
        + a * np.log(b)
        - (a + n / 2) * np.log(after)
        + 0.5 * np.log(KAPPA / (KAPPA + n))
        - n / 2 * np.log(2 * np.pi)
    )


def by_hand(x, concentration):
    a = np.asarray(concentration, dtype=float)
    terms = []
    for labels in product(range(a.size), repeat=len(x)):
        z = np.array(labels)
        counts = np.bincount(z, minlength=a.size)
        of_labels = gammaln(a.sum()) - gammaln(a.sum() + len(x)) + (gammaln(a + counts) - gammaln(a)).sum()
        terms.append(of_labels + sum(of_group(x[z == k]) for k in range(a.size)))
    return logsumexp(terms)


def test_the_closed_form_by_quadrature():
    x = np.array([0.3, -1.0, 2.2])
    log_s, mean = np.meshgrid(np.linspace(-2.5, 2.5, 400), np.linspace(LOC - 9, LOC + 9, 1200))
    s = np.exp(log_s)
    density = stats.norm(LOC, s / np.sqrt(KAPPA)).logpdf(mean)
    density += stats.invgamma(DF / 2, scale=SCALE / 2).logpdf(s * s) + np.log(2 * s * s)
    density += sum(stats.norm(mean, s).logpdf(each) for each in x)
    cell = (5.0 / 399) * (18.0 / 1199)
    assert logsumexp(density) + np.log(cell) == pytest.approx(of_group(x), abs=1e-6)


@pytest.mark.parametrize("concentration", [[3.0, 3.0], [1.0, 2.5], [0.4, 0.4, 0.4]])
def test_enumeration(concentration):
    x = some_rows(4)
    found = evidence(conjugate(len(concentration), concentration), x, bg.Enumeration())
    assert value(found, "enumeration") == pytest.approx(by_hand(x, concentration), abs=1e-10)
    assert found["kind"].item() == "exact"
    assert error(found, "enumeration") == 0
    assert found["labels"].item() == "all labels are in the sum"


@pytest.mark.parametrize("means", [bg.NormalMeans(0.3, 1.4), bg.FixedMeans([[-1.0], [1.2]])])
def test_enumeration_with_known_covariances(means):
    """Rows of a group are jointly Normal; where the means are known, they are independent."""
    x = some_rows(5)
    model = bg.GaussianMixture(2, weights=bg.Dirichlet([1.0, 2.0]), means=means, covariances=bg.FixedCovariances(0.7))
    fixed = isinstance(means, bg.FixedMeans)
    terms = []
    for labels in product(range(2), repeat=5):
        z = np.array(labels)
        n = np.bincount(z, minlength=2)
        term = gammaln(3) - gammaln(8) + gammaln(1 + n[0]) + gammaln(2 + n[1]) - gammaln(2)
        for k in range(2):
            group = x[z == k]
            if group.size:
                mean = np.full(group.size, means.values[k][0] if fixed else 0.3)
                covariance = 0.7 * np.eye(group.size) + (0.0 if fixed else 1.4**2)
                term += stats.multivariate_normal(mean, covariance).logpdf(group)
        terms.append(term)
    assert value(evidence(model, x, bg.Enumeration()), "enumeration") == pytest.approx(logsumexp(terms), abs=1e-10)


@pytest.mark.parametrize(("n", "K"), [(1, 1), (4, 2), (6, 3), (5, 8)])
def test_partitions_are_those_of_all_assignments(n, K):
    seen = {tuple(np.unique(z, return_inverse=True)[1]) for z in product(range(K), repeat=n)} if K < 8 else None
    found = list(_partitions(n, K))
    assert len(found) == _n_partitions(n, K)
    if seen is None:
        assert len(found) == 52  # the fifth Bell number
    copies = sum(factorial(K) // factorial(K - used) for _, used in found)
    assert copies == K**n


# Estimators ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """Eight rows, two components, every estimator."""
    x = some_rows(8, seed=2)
    found = evidence(
        conjugate(2),
        x,
        bg.Enumeration(),
        bg.VBBound(engine=VB),
        bg.LaplaceEvidence(engine=LAPLACE, draws=4000),
        bg.Bridge(engine=NUTS),
        bg.Bridge(engine=LAPLACE),
    )
    return x, found


def test_estimators_agree_with_enumeration(small):
    x, found = small
    exact = value(found, "enumeration")
    assert exact == pytest.approx(by_hand(x, [3.0, 3.0]), abs=1e-9)
    assert found["estimate"].to_numpy().tolist() == [
        "enumeration",
        "VB bound",
        "VB bound, symmetrised",
        "Laplace",
        SAMPLED,
        "bridge, NUTS",
        "bridge, Laplace",
    ]
    for name in (SAMPLED, "bridge, NUTS"):
        assert 0 < error(found, name) < 0.1, name
        assert value(found, name) == pytest.approx(exact, abs=4 * error(found, name)), name
        assert found["reliable"].sel(estimate=name), name
    # That of Laplace's draws is as good as they are, which its Pareto k says.
    assert value(found, "bridge, Laplace") == pytest.approx(exact, abs=0.3)
    k = found["pareto_k"].sel(estimate="bridge, Laplace").item()
    assert found["reliable"].sel(estimate="bridge, Laplace").item() == (k <= 0.5)


def test_the_bound_is_one(small):
    exact = value(small[1], "enumeration")
    bound, symmetrised = value(small[1], "VB bound"), value(small[1], "VB bound, symmetrised")
    assert bound < exact
    assert small[1]["kind"].sel(estimate="VB bound") == "bound"
    # The average of q over labels is nearer to the posterior, and so is its likelihood with labels of rows summed out.
    # Its bound is one as well, but for Monte-Carlo error.
    assert bound < symmetrised < exact + 4 * error(small[1], "VB bound, symmetrised")


def test_labels_are_told(small):
    labels = dict(zip(small[1]["estimate"].to_numpy(), small[1]["labels"].to_numpy(), strict=True))
    assert labels["VB bound"] == "one copy of the mode"
    assert labels["Laplace"] == "2 copies of the mode, taken as separate"
    assert labels[SAMPLED] == "2 copies of the mode, averaged over the 2 that overlap"
    told_apart = evidence(conjugate(2, [1.0, 2.0]), small[0], bg.LaplaceEvidence(engine=LAPLACE, draws=200))
    assert told_apart["labels"].sel(estimate="Laplace").item() == "one copy of the mode"
    assert told_apart["labels"].sel(estimate=SAMPLED).item() == "the prior tells all components apart: one copy"


def test_three_components_that_overlap():
    x = some_rows(6, seed=5)
    found = evidence(conjugate(3), x, bg.Enumeration(), bg.LaplaceEvidence(engine=LAPLACE, draws=4000))
    assert "6 that overlap" in found["labels"].sel(estimate=SAMPLED).item()
    exact = value(found, "enumeration")
    assert exact == pytest.approx(by_hand(x, [3.0] * 3), abs=1e-9)
    assert value(found, SAMPLED) == pytest.approx(exact, abs=4 * error(found, SAMPLED))


def test_components_told_apart_by_the_prior():
    x = some_rows(7, seed=6)
    found = evidence(conjugate(2, [1.0, 2.5]), x, bg.Enumeration(), bg.LaplaceEvidence(engine=LAPLACE, draws=4000))
    assert value(found, SAMPLED) == pytest.approx(value(found, "enumeration"), abs=4 * error(found, SAMPLED))


def test_one_component_is_exact_for_all():
    x = some_rows(12)
    found = evidence(
        conjugate(1),
        x,
        bg.Enumeration(),
        bg.VBBound(engine=VB),
        bg.LaplaceEvidence(engine=LAPLACE, draws=2000),
        bg.Bridge(engine=LAPLACE),
    )
    exact = of_group(x)
    for name in ("enumeration", "VB bound", "VB bound, symmetrised"):
        assert value(found, name) == pytest.approx(exact, abs=1e-9), name
    for name in (SAMPLED, "bridge, Laplace"):
        assert error(found, name) < 0.05, name
        assert value(found, name) == pytest.approx(exact, abs=4 * error(found, name)), name


def test_errors_of_importance_sampling_are_honest():
    x = some_rows(8, seed=2)
    exact = by_hand(x, [3.0, 3.0])
    estimator = bg.LaplaceEvidence(engine=bg.Laplace(threads=1, n_init=2, n_polish=1), draws=400)
    found = [evidence(conjugate(2), x, estimator, seed=seed).sel(estimate=SAMPLED) for seed in range(12)]
    z = np.array([(each["value"].item() - exact) / each["error"].item() for each in found])
    assert np.abs(z).max() < 4
    # Their mean square is one, within the spread of a chi square.
    assert 0.15 < np.square(z).mean() < 2.7


def test_same_seed_same_numbers():
    x = some_rows(20)
    estimators = bg.VBBound(engine=VB), bg.LaplaceEvidence(engine=LAPLACE, draws=200), bg.Bridge(engine=LAPLACE)
    one, two, other = (evidence(conjugate(2), x, *estimators, seed=seed) for seed in (3, 3, 4))
    assert one.identical(two)
    assert (one["value"] != other["value"]).any()


@pytest.mark.parametrize("rows", ["plain", "holes", "counts"])
def test_units(rows):
    """With default priors nothing changes but the units of the density: N log c for each feature.

    c is a power of two, so that rounding is the same, the search meets the components in the same order and draws are
    the same.
    """
    rng = np.random.default_rng(4)
    x = np.vstack([rng.normal(size=(15, 2)), 5 + rng.normal(size=(15, 2))])
    units, counts = 2 * 30.0, None
    if rows == "holes":
        x[[0, 4, 20], [0, 1, 1]] = np.nan
        units -= 3
    if rows == "counts":
        counts = 1 + np.arange(30) % 3
        units = 2.0 * counts.sum()
    estimator = bg.LaplaceEvidence(engine=LAPLACE, draws=200)
    one, other = (
        evidence(bg.GaussianMixture(2), bg.as_data(scale * x, counts=counts), estimator) for scale in (1.0, 64.0)
    )
    np.testing.assert_allclose(other["value"], one["value"] - units * np.log(64.0), atol=2e-3)


def test_default_estimators():
    x = some_rows(20)
    found = bg.log_evidence(bg.GaussianMixture(1), x, random_seed=1, progressbar=False)
    assert found["estimate"].to_numpy().tolist() == [
        "VB bound",
        "VB bound, symmetrised",
        "Laplace",
        SAMPLED,
        "closed form",
    ]
    assert found["reliable"].all()
    assert "densities in the data's units" in found.attrs["meaning"]
    data = bg.as_data(x, noise=0.3, noise_scale=bg.LogNormal(0.0, 0.3))
    found = bg.log_evidence(bg.GaussianMixture(1), data, random_seed=1, progressbar=False)
    assert found["estimate"].to_numpy().tolist() == ["Laplace", SAMPLED]
    assert set(found["kind"].to_numpy()) == {"estimate"}


def test_a_guess_is_called_one():
    x = bg.datasets.load_galaxies()
    both = evidence(bg.GaussianMixture(7), x, bg.LaplaceEvidence(engine=LAPLACE, draws=400))
    assert both["pareto_k"].sel(estimate=SAMPLED) > 0.7
    for estimate in ("Laplace", SAMPLED):
        found = both.sel(estimate=estimate)
        assert not found["reliable"]
        assert "guess" in found["note"].item()


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "data", "estimator", "message"),
    [
        (bg.GaussianMixture(2, means=bg.Flat()), some_rows(5), bg.LaplaceEvidence(), r"Flat\(\) means"),
        (conjugate(2), some_rows(40), bg.Enumeration(), "2.40 assignments.*Bridge"),
        (conjugate(14), some_rows(14), bg.Enumeration(), "14.14 assignments.*Bridge"),
        (conjugate(2), bg.as_data(some_rows(5), counts=[1, 2, 1, 1, 1]), bg.Enumeration(), "counts.*Bridge"),
        (bg.GaussianMixture(2, means=bg.NormalMeans()), some_rows(5), bg.Enumeration(), "closed form"),
        (bg.GaussianMixture(2, covariances=bg.LKJ()), some_rows(5), bg.VBBound(), "VB"),
    ],
)
def test_unsupported(model, data, estimator, message):
    with pytest.raises(bg.UnsupportedError, match=message):
        evidence(model, data, estimator)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": bg.Enumeration}, r"Write Enumeration\(\)"),
        ({"estimator": [bg.Enumeration(), "bridge"]}, r"estimator: got 'bridge'"),
        ({"estimator": []}, "an empty list"),
        ({"random_seed": -1}, "random_seed"),
        ({"random_seed": "a"}, "random_seed"),
        ({"model": "K=2"}, "Give a GaussianMixture"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(bg.InputError, match=message):
        bg.log_evidence(**{"model": conjugate(2), "data": some_rows(5), "progressbar": False} | arguments)


def test_bad_options():
    with pytest.raises(bg.InputError, match=r"Bridge\.engine"):
        bg.Bridge(engine=bg.VB())
    with pytest.raises(bg.InputError, match=r"LaplaceEvidence\.draws"):
        bg.LaplaceEvidence(draws=-1)
    assert evidence(conjugate(1), some_rows(9), bg.LaplaceEvidence(engine=LAPLACE, draws=0)).sizes["estimate"] == 1


# Parts ---------------------------------------------------------------------------------------------------------------


class Blobs(Approximation):
    """Means of K components by themselves; weights and covariances are no part of it."""

    def __init__(self, centers, sd):
        self.centers, self.sd = np.asarray(centers, dtype=float), sd

    def draw(self, rng, size):
        means = self.centers + self.sd * rng.normal(size=(size, len(self.centers)))
        K = len(self.centers)
        return Parameters(
            log_weights=np.zeros((size, K)),
            means=means[..., None],
            choleskys=np.ones((size, K, 1, 1)),
            log_noise=np.zeros(size),
        )

    def log_density(self, points):
        return stats.norm(self.centers, self.sd).logpdf(points.means[..., 0]).sum(axis=1)

    def log_prior(self, points):
        raise NotImplementedError


def average(approximation, points, orders):
    each = [approximation.log_density(points.reordered(np.array(order))) for order in orders]
    return logsumexp(each, axis=0) - np.log(len(orders))


@pytest.mark.parametrize("K", [2, 3, 4])
def test_average_over_labels_where_all_overlap(K):
    q = Blobs(0.3 * np.arange(K), 1.0)
    points = q.draw(np.random.default_rng(1), 50)
    found = over_labels(q, points, ["a"] * K)
    assert found.n_copies == found.n_overlapping == factorial(K)
    assert found.complete
    expected = average(q, points, list(permutations(range(K))))
    np.testing.assert_allclose(found.log_density, expected, rtol=1e-12)


def test_average_over_labels_where_none_overlap():
    q = Blobs(30.0 * np.arange(4), 1.0)
    points = q.draw(np.random.default_rng(2), 50)
    found = over_labels(q, points, ["a"] * 4)
    assert (found.n_copies, found.n_overlapping) == (24, 1)
    assert "none of which overlap" in found.describe()
    np.testing.assert_allclose(found.log_density, q.log_density(points) - lgamma(5), rtol=1e-12)


def test_average_over_labels_in_blocks():
    """Two pairs far apart, and a component that the prior tells apart though it lies in the middle of a pair."""
    q = Blobs([0.0, 0.5, 40.0, 40.5, 0.2], 1.0)
    keys = ["a", "a", "a", "a", "b"]
    points = q.draw(np.random.default_rng(3), 50)
    found = over_labels(q, points, keys)
    assert (found.n_copies, found.n_overlapping) == (24, 4)
    orders = [[*order, 4] for order in permutations(range(4))]
    np.testing.assert_allclose(found.log_density, average(q, points, orders), rtol=1e-12)


def test_average_stops_where_copies_add_nothing():
    """A chain of eight components: 40320 permutations, of which those of neighbours matter."""
    q = Blobs(4.5 * np.arange(8), 1.0)
    points = q.draw(np.random.default_rng(4), 400)
    found = over_labels(q, points, ["a"] * 8)
    assert 1 < found.n_overlapping < 2000
    assert found.complete
    # The average is the permanent of the matrix of densities over 8!.
    densities = stats.norm(q.centers, 1.0).pdf(points.means)
    permanent = np.zeros(400)
    for columns in product([0, 1], repeat=8):
        chosen = np.array(columns, dtype=bool)
        if chosen.any():
            permanent += (-1.0) ** (8 - chosen.sum()) * densities[..., chosen].sum(axis=-1).prod(axis=1)
    exact = np.log(permanent) - lgamma(9)
    assert np.abs(found.log_density - exact).mean() < 1e-3


@pytest.mark.fit
def test_average_that_cannot_be_complete_says_so():
    q = Blobs(0.01 * np.arange(9), 1.0)
    found = over_labels(q, q.draw(np.random.default_rng(5), 20_000), ["a"] * 9)
    assert not found.complete
    assert "the value is too high" in found.describe()
    # What it says is missing is what is missing: all 9! copies are the same here.
    assert found.missing == pytest.approx(lgamma(10) - np.log(found.n_overlapping), abs=0.1)


def test_a_density_that_is_nowhere_known():
    class Nowhere(Blobs):
        def log_density(self, points):
            return np.where(points.means[:, 0, 0] > points.means[:, 1, 0], -np.inf, super().log_density(points))

    q = Nowhere([0.0, 0.0], 1.0)
    points = q.draw(np.random.default_rng(6), 100)
    found = over_labels(q, points, ["a", "a"])
    np.testing.assert_allclose(found.log_density, Blobs([0.0, 0.0], 1.0).log_density(points) - np.log(2.0))


@pytest.mark.parametrize("sizes", [(200, 200), (100, 400)])
def test_bridge_between_two_normals(sizes):
    """The constant of p = e^3 Normal(0, 1) from q = Normal(0.5, 1.3): right on average, with an honest error."""
    rng = np.random.default_rng(7)
    p, q = stats.norm(0.0, 1.0), stats.norm(0.5, 1.3)

    def ratio(x):
        return 3.0 + p.logpdf(x) - q.logpdf(x)

    values, errors = np.empty(200), np.empty(200)
    for i in range(200):
        n1, n2 = sizes
        value, bottom, top = bridge(ratio(rng.normal(size=n1)), ratio(rng.normal(0.5, 1.3, n2)), float(n1))
        values[i], errors[i] = value, relative_error(bottom, top, float(n1))
        assert bottom.mean() == pytest.approx(top.mean(), rel=1e-6)
    spread = values.std(ddof=1)
    assert abs(values.mean() - 3.0) < 4 * spread / np.sqrt(200)
    # A standard deviation of 200 is known to 5 per cent.
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(spread, rel=0.2)


def test_bridge_of_the_same_distribution_is_exact():
    value, bottom, top = bridge(np.full(10, -700.0), np.full(20, -700.0), 10.0)
    assert value == pytest.approx(-700.0)
    assert relative_error(bottom, top, 10.0) == pytest.approx(0.0, abs=1e-12)


def test_light_tails_are_left_alone():
    log_weights = -np.square(np.random.default_rng(8).normal(size=2000)) - 800.0
    found = smoothed(log_weights)
    plain = logsumexp(log_weights) - np.log(2000)
    assert found.pareto_k < 0.3
    assert found.log_mean == pytest.approx(plain, abs=0.01)
    weights = np.exp(log_weights - plain)
    assert found.log_mean_error == pytest.approx(weights.std(ddof=1) / np.sqrt(2000), rel=0.05)
    assert found.shares.sum() == pytest.approx(1.0)
    assert 1 < found.effective < 2000
    small = log_weights < np.median(log_weights)
    log_shares = np.log(found.shares[small]) + found.log_mean + np.log(2000)
    np.testing.assert_allclose(log_shares, log_weights[small], rtol=1e-12)
    np.testing.assert_array_equal(found.raw, log_weights)


def test_heavy_tails_are_seen():
    rng = np.random.default_rng(9)
    assert smoothed(np.log(rng.pareto(1.0, 4000))).pareto_k == pytest.approx(1.0, abs=0.3)
    # Exponentials of a Pareto have a tail that no generalised Pareto distribution fits.
    hopeless = smoothed(rng.pareto(1.0, 4000))
    assert hopeless.pareto_k > 0.7
    assert not hopeless.reliable
    # Without a mean there is no error of it; with a k just below 1 there still is one.
    for k, finite in ((0.99, True), (1.0, False), (np.inf, False)):
        assert np.isfinite(replace(hopeless, pareto_k=k).log_mean_error) == finite
    assert hopeless.log_mean_error == np.inf
    light, heavy = np.log(rng.pareto(4.0, 4000)), np.log(rng.pareto(1.2, 4000))
    assert smoothed(light).log_mean_error < smoothed(heavy).log_mean_error


def test_weights_that_are_nothing_or_all_the_same():
    same = smoothed(np.full(500, -3.0))
    assert (same.pareto_k, same.log_mean_error) == (0.0, 0.0)
    assert same.log_mean == pytest.approx(-3.0)
    few = smoothed(np.zeros(50))
    assert np.isnan(few.pareto_k)
    assert few.log_mean == pytest.approx(0.0)
    # Draws where p vanishes count as draws.
    half = np.where(np.arange(2000) % 2, -np.inf, np.random.default_rng(10).normal(0, 0.1, 2000))
    found = smoothed(half)
    assert found.log_mean == pytest.approx(logsumexp(half) - np.log(2000), abs=0.01)


def test_resampled_draws_follow_the_weights():
    rng = np.random.default_rng(11)
    weights = smoothed(rng.normal(0, 0.5, 400))
    places = resampled(weights, 1000, rng)
    times = np.bincount(places, minlength=400)
    assert places.size == 1000
    # Systematic: each as often as its weight says, up to one.
    assert np.abs(times - 1000 * weights.shares).max() < 1
    assert (np.diff(places) < 0).any()  # not in the order of the draws


def test_weights_that_hardly_differ_have_no_tail() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        # Most weights alike and a few a little larger: the shape of such a tail is noise.
        weights = 1.0 + 1e-3 * rng.standard_normal(2000) + 0.05 * (np.random.default_rng(seed).random(2000) < 0.002)
        found = smoothed(np.log(weights))
        assert found.pareto_k <= 0.0
        assert found.log_mean == pytest.approx(np.log(weights.mean()), abs=1e-12)
