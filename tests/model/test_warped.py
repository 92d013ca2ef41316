"""Warped Normals as mixtures: their shapes against the densities that they stand for, priors, units, refusals."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

import bayesgmm as bg
from bayesgmm.engines._objective import log_prior
from bayesgmm.engines.base import Parameters, Units
from tests.contract import derivative, filled

PRIOR = {"loc": (0.4, 2.0), "scale": bg.LogNormal(0.1, 0.6)}
SHAPES = {
    "neither": {"skew": None},
    "skew": {"skew": 0.5},
    "tails": {"skew": None, "tails": 0.4},
    "both": {"skew": 0.5, "tails": 0.4},
    "edges": {"skew": 0.5, "tails": 0.6, "tails_mean": -1.5},
    "floor": {"skew": None, "tails": 0.6, "tails_mean": -1.5, "side": "below"},
    "ceiling": {"skew": 0.5, "tails": 0.6, "tails_mean": -1.5, "side": "above"},
}
EVERY = pytest.mark.parametrize("shape", SHAPES)
OWN = {"neither": [], "skew": [0.6], "tails": [-0.3], "both": [-0.4, 0.5]}
OWN |= {"edges": [0.3, -2.0], "floor": [-1.8], "ceiling": [-0.2, -1.2]}


def shape_priors(shape):
    """Of skew and tails, where they are free."""
    given = SHAPES[shape]
    found = [] if given["skew"] is None else [stats.norm(0, given["skew"])]
    return found + ([stats.norm(given.get("tails_mean", 0.0), given["tails"])] if "tails" in given else [])


def model_of(shape, n_nodes=15):
    return filled(bg.warped_normal(**PRIOR, **SHAPES[shape], n_nodes=n_nodes), 1)


def point(model, own):
    """The mixture with these loc, log scale, and skew and tails where they are free."""
    K = model.n_components
    means = model.means._means(np.asarray(own, dtype=float), K)
    choleskys = model.covariances.carried(np.ones((K, 1, 1)), means, means)
    return Parameters(log_weights=np.log(model.weights.values), means=means, choleskys=choleskys)


def mixture(n_nodes, *, scale=1.0, skew=0.0, tails=0.0):
    at = point(model_of("both", n_nodes), [0.0, np.log(scale), skew, tails])
    return np.exp(at.log_weights), at.means[:, 0], at.choleskys[:, 0, 0]


def density(x, parts):
    w, m, s = parts
    return stats.norm(m, s).pdf(x[:, None]) @ w


def distribution(x, parts):
    w, m, s = parts
    return stats.norm(m, s).cdf(x[:, None]) @ w


@pytest.mark.parametrize("n_nodes", [15, 21, 31])
@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_without_skew_and_tails_it_is_normal(n_nodes, scale):
    x = scale * np.linspace(-3, 3, 601)
    parts = mixture(n_nodes, scale=scale)
    np.testing.assert_allclose(density(x, parts), stats.norm(0, scale).pdf(x), rtol=2e-5)
    assert parts[0].sum() == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("n_nodes", [13, 51])
def test_fewest_and_many_nodes_are_nearly_as_near(n_nodes):
    x = np.linspace(-3, 3, 601)
    np.testing.assert_allclose(density(x, mixture(n_nodes)), stats.norm.pdf(x), rtol=4e-5)


# Largest difference of distribution functions with 15 nodes, within 3 sds; it falls like the square of their distance.
@pytest.mark.parametrize(("skew", "most"), [(0.2, 0.010), (-0.2, 0.010), (0.5, 0.026), (-1.0, 0.066)])
def test_skew_is_that_of_a_log_normal(skew, most):
    z = np.linspace(-3, 3, 301)
    x, wanted = np.expm1(skew * z) / skew, stats.norm.cdf(z)
    errors = [np.abs(distribution(x, mixture(K, skew=skew)) - wanted).max() for K in (15, 57, 225)]
    assert errors[0] < most
    assert errors[1] < errors[0] / 10
    assert errors[2] < errors[1] / 10
    w, m, s = mixture(225, skew=skew)
    mean = w @ m
    assert mean == pytest.approx(np.expm1(skew**2 / 2) / skew, abs=4e-3)
    variance = np.exp(skew**2) * np.expm1(skew**2) / skew**2
    # The log-normal's own tail beyond 4 sds of z, which the nodes do not reach, has some of its variance.
    assert w @ (s * s + np.square(m - mean)) == pytest.approx(variance, rel=0.006 if abs(skew) < 0.6 else 0.04)


@pytest.mark.parametrize(("tails", "most"), [(-2.0, 0.032), (-1.0, 0.021), (0.3, 0.009), (np.log(2.0), 0.019)])
def test_tails_are_those_of_the_warp(tails, most):
    z, c = np.linspace(-2.5, 2.5, 51), 0.5 * np.expm1(tails)
    x = np.array([integrate.quad(lambda u: np.exp(c * u * u), 0.0, end)[0] for end in z])
    errors = [np.abs(distribution(x, mixture(K, tails=tails)) - stats.norm.cdf(z)).max() for K in (15, 57, 225)]
    assert errors[0] < most
    assert errors[1] < errors[0] / 6
    assert errors[2] < errors[1] / 6


def test_very_light_tails_are_uniform():
    # c = -1/2: the slope of T is a Normal density but for its constant.
    half = np.sqrt(np.pi / 2)
    x = np.linspace(-0.9, 0.9, 101) * half
    np.testing.assert_allclose(distribution(x, mixture(225, tails=-12.0)), 0.5 + x / (2 * half), atol=2e-3)


def ended(shape, tails):
    at = point(model_of(shape), [0.0, 0.0, *([0.0] if SHAPES[shape]["skew"] else []), tails])
    return np.exp(at.log_weights), at.means[:, 0], at.choleskys[:, 0, 0]


@pytest.mark.parametrize(("tails", "piled"), [(-1.0, 0.06), (-1.5, 0.19), (-2.2, 0.33)])
def test_values_pile_up_at_a_floor_or_a_ceiling(tails, piled):
    below, above = ended("floor", tails), ended("ceiling", tails)
    for one, other in ((below[1], -above[1][::-1]), (below[2], above[2][::-1])):
        np.testing.assert_allclose(one, other, atol=1e-12)
    # Within a fifth of the scale of the end, and none beyond it; the other side is a Normal.
    m = below[1]
    here = distribution(np.array([m[0] - 0.2, m[0] + 0.2, 0.0]), below)
    assert here[0] < 0.05
    assert here[1] == pytest.approx(piled, abs=0.04)
    x = np.linspace(1.0, 3.0, 21)
    np.testing.assert_allclose(1 - distribution(x, below), stats.norm.sf(x), atol=0.01)


def test_tails_of_one_side_are_read_back_however_light():
    model = model_of("floor")
    for tails in (3.0, 0.5, 0.0, -1.0, -3.0, -6.0):
        own = np.array([0.3, -0.4, tails])
        np.testing.assert_allclose(model.means.own(model.means._means(own, 15)), own, rtol=1e-4, atol=1e-9)


def dip(parts):
    """How deep the deepest valley between two peaks is, relative to the height of the highest."""
    _, m, s = parts
    between = [np.linspace(a, b, 40) for a, b in pairwise(m)]
    p = density(np.unique(np.concatenate([*between, *(m + z * s for z in np.linspace(-3, 3, 31))])), parts)
    top = p.argmax()
    left, right = p[: top + 1], p[top:][::-1]
    return max((np.maximum.accumulate(side) - side).max() for side in (left, right)) / p[top]


@pytest.mark.parametrize("n_nodes", [13, 15, 31])
def test_one_peak(n_nodes):
    for skew in (-1.5, -0.75, 0.0, 0.4, 1.0):
        for tails in (0.0, 0.5, 1.5, 2.5):
            assert dip(mixture(n_nodes, skew=skew, tails=tails)) < 1e-9, (skew, tails)
    for tails in (-1.0, -0.5):
        assert dip(mixture(n_nodes, tails=tails)) < 1e-9, tails


def test_extreme_numbers_make_ripples_and_no_more():
    worst = 0.0
    for skew in (-4.0, -2.0, -0.75, -0.25, 0.5, 1.0, 3.0):
        for tails in (-8.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0):
            worst = max(worst, dip(mixture(15, skew=skew, tails=tails)))
    assert 1e-3 < worst < 0.03


@EVERY
def test_prior_density_of_a_point(shape):
    model = model_of(shape)
    own = np.array([0.9, 0.25, *OWN[shape]])
    expected = stats.norm(0.4, 2.0).logpdf(0.9) + stats.lognorm(0.6, scale=np.exp(0.1)).logpdf(np.exp(0.25))
    expected += sum(prior.logpdf(value) for prior, value in zip(shape_priors(shape), OWN[shape], strict=True))
    at = point(model, own)
    assert log_prior(model, at, False) == pytest.approx(expected, rel=1e-9)
    assert log_prior(model, at, True) == pytest.approx(expected + 0.25, rel=1e-9)
    np.testing.assert_allclose(model.means.own(at.means), own, atol=1e-9)
    value, slope, by_sigma = model.means.log_density(at.means, at.choleskys)
    assert value == pytest.approx(expected, rel=1e-9)
    assert not by_sigma.any()
    # Along the ways that the means can go.
    wanted = derivative(lambda u: model.means.log_density(model.means._means(own + u, 15), at.choleskys)[0], 0 * own)
    ways = np.stack([derivative(lambda u, k=k: model.means._means(own + u, 15)[k, 0], 0 * own) for k in range(15)])
    np.testing.assert_allclose(slope[:, 0] @ ways, wanted, rtol=1e-6, atol=1e-8)


@EVERY
def test_draws_follow_the_prior(shape):
    model = model_of(shape)
    weights, means, covariances = model.draw(np.random.default_rng(5), 3000, 1)
    assert (weights.shape, means.shape, covariances.shape) == ((3000, 15), (3000, 15, 1), (3000, 15, 1, 1))
    own = model.means.own(means)
    priors = [stats.norm(0.4, 2.0), stats.norm(0.1, 0.6), *shape_priors(shape)]
    for column, prior in zip(own.T, priors, strict=True):
        assert stats.kstest(column, prior.cdf).pvalue > 1e-3
    np.testing.assert_allclose(model.means._means(own, 15), means, rtol=1e-9, atol=1e-9)
    widths = np.sqrt(covariances[..., 0, 0])
    np.testing.assert_allclose(widths, [point(model, each).choleskys[:, 0, 0] for each in own], rtol=1e-7)


@EVERY
def test_rescaled_model_is_the_same_belief(shape):
    model, rng = model_of(shape), np.random.default_rng(6)
    units = Units(center=np.array([3.0]), scale=np.array([4.0]))
    in_units = model.rescaled(units.center, units.scale)
    changes = []
    for _ in range(5):
        at = point(model, 0.4 * rng.normal(size=2 + len(OWN[shape])))
        changes.append(log_prior(in_units, units.to_standard(at), False) - log_prior(model, at, False))
    # Loc and scale are in the data's units, skew and tails have none.
    np.testing.assert_allclose(changes, 2 * np.log(4.0), rtol=1e-9)


@EVERY
def test_json_printing_and_counts(shape):
    declared = bg.warped_normal(**PRIOR, **SHAPES[shape])
    model = filled(declared, 1)
    for each in (declared, model, bg.warped_normal(**SHAPES[shape])):
        assert bg.GaussianMixture.from_json(each.to_json()) == each
    assert model.means.describe() in str(model)
    assert ("skew ~ Normal" in str(model)) == (SHAPES[shape]["skew"] is not None)
    assert ("tails ~ Normal" in str(model)) == ("tails" in SHAPES[shape])
    assert model.n_parameters(1) == 2 + len(OWN[shape])
    assert model.proper
    assert len(set(model.keys())) == 15


def test_defaults_are_the_documented_numbers():
    means = bg.warped_normal().filled(np.array([3.0]), np.array([[16.0]])).means
    assert (means.mu, means.sigma, means.skew, means.tails) == (3.0, 40.0, 0.5, None)
    assert means.scale == bg.HalfNormal((4.0,))
    assert bg.warped_normal().n_components == 15


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda: bg.warped_normal(n_nodes=11), "n_nodes: got 11.*odd number of at least 13"),
        (lambda: bg.warped_normal(n_nodes=16), "n_nodes: got 16.*odd"),
        (lambda: bg.warped_normal(n_nodes=15.0), "n_nodes: got 15.0"),
        (lambda: bg.warped_normal(n_nodes=True), "n_nodes: got True"),
        (lambda: bg.warped_normal(loc=3.0), "loc: got 3.0.*pair"),
        (lambda: bg.warped_normal(loc=(0.0, -1.0)), "WarpedMeans.sigma"),
        (lambda: bg.warped_normal(skew=0.0), "WarpedMeans.skew"),
        (lambda: bg.warped_normal(tails=-1.0), "WarpedMeans.tails"),
        (lambda: bg.warped_normal(scale=2.0), "WarpedMeans.scale"),
        (lambda: bg.warped_normal(tails_mean=-1.0), "WarpedMeans.tails_mean: got -1.0 without tails"),
        (lambda: bg.warped_normal(tails=1.0, side="left"), "WarpedMeans.side: got 'left'.*'below'"),
        (
            lambda: filled(bg.GaussianMixture(14, means=bg.WarpedMeans(**FULL), covariances=bg.WarpedCovariances()), 1),
            "n_components: got 14.*odd",
        ),
        (
            lambda: filled(bg.GaussianMixture(3, means=bg.WarpedMeans(**FULL), covariances=bg.WarpedCovariances()), 1),
            "n_components: got 3.*warped_normal",
        ),
    ],
)
def test_bad_arguments(build, wanted):
    with pytest.raises(bg.InputError, match=wanted):
        build()


FULL = {"mu": 0.0, "sigma": 1.0, "scale": bg.HalfNormal(1.0), "skew": 0.5}


def test_what_does_not_go_together():
    with pytest.raises(bg.UnsupportedError, match="2 features"):
        bg.warped_normal().filled(np.zeros(2), np.eye(2))
    declared = bg.GaussianMixture(15, means=bg.NormalMeans(0.0, 1.0), covariances=bg.WarpedCovariances())
    with pytest.raises(bg.UnsupportedError, match="warped_normal"):
        declared.filled(np.zeros(1), np.eye(1))
    with pytest.raises(bg.UnsupportedError, match="Tied"):
        bg.Tied(bg.WarpedCovariances())
