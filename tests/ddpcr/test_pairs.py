"""Two channels together: the density, the declaration, and what quantify makes of cross-talk and competition."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

import bayesgmm as bg
from bayesgmm import ddpcr
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.ddpcr import CrossTalkMeans
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._pair_density import LEFT, ODDS, OUTLIERS, SPILL, TURN, Droplets, PairBeliefs, PairDensity
from bayesgmm.ddpcr._shape import Shape
from bayesgmm.engines._objective import Objective, log_prior
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters

OPTIONS = {"droplet_volume_nl": 0.85, "cores": 1, "progressbar": False}
FIRST = Beliefs(
    shape=Shape(shares=(0.1, 0.6, 0.3), means=(-1.0, -0.2, 1.1), widths=(0.4, 0.6, 0.9)),
    baseline=(3000.0, 100.0),
    log_spread=(np.log(200.0), 0.3),
    log_gap=(np.log(1500.0), 0.4),
    log_positive_sd=(np.log(260.0), 0.3),
)
SECOND = replace(
    FIRST,
    shape=Shape(shares=(0.7, 0.3), means=(-0.3, 0.7), widths=(0.7, 1.0)),
    baseline=(500.0, 50.0),
    log_spread=(np.log(90.0), 0.3),
    log_gap=(np.log(600.0), 0.4),
    log_positive_sd=(np.log(120.0), 0.3),
)


@pytest.fixture(scope="module")
def density() -> PairDensity:
    rng = np.random.default_rng(1)
    x = np.array([3000.0, 500.0]) + rng.integers(0, 2, (400, 2)) * [1400.0, 550.0] + rng.normal(0, [250, 110], (400, 2))
    return PairDensity(Droplets.binned(x, (40.0, 18.0)), PairBeliefs(channels=(FIRST, SECOND)))


@pytest.fixture
def theta(density: PairDensity) -> np.ndarray:
    theta = density.prior[:, 0] + 0.4 * density.prior[:, 1] * np.random.default_rng(2).standard_normal(density.size)
    theta[ODDS], theta[OUTLIERS], theta[SPILL], theta[LEFT] = [-0.5, -1.0, -1.5], -4.0, [0.2, 0.1], [-0.2, -0.1]
    theta[TURN] = [0.4, -0.2, 0.1, 0.6]
    return theta


def test_density_is_that_of_the_formula(density, theta):
    """Component by component, with scipy."""
    droplets = density.droplets
    eps = 1 / (1 + np.exp(4.0))
    w = np.exp([0.0, *theta[ODDS]])
    w /= w.sum()
    t12, t21 = theta[SPILL]
    h = np.exp(theta[LEFT])
    own = [density.own(theta, c) for c in range(2)]
    gaps = [np.exp(each[-2]) for each in own]
    total = np.zeros(droplets.counts.size)
    for q, (a, b) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        left = h if a and b else np.ones(2)
        shifts = t21 * gaps[1] * left[1] * b, t12 * gaps[0] * left[0] * a
        whole, core, scores = [], [], []
        for c, has in enumerate((a, b)):
            mine = own[c].copy()
            mine[-4] += shifts[c]
            mine[-2] += np.log(left[c])
            at = density.channels[c].density.point(mine)
            J, x = density.channels[c].density.J, droplets.centres[c][droplets.place[c]]
            members, n_core = ([J, *range(J + 1, at.means.size - 2)], 1) if has else ([*range(J), -2], J)
            share = np.exp(at.log_weights[members])
            share /= share.sum()
            m, s = at.means[members, 0], at.choleskys[members, 0, 0]
            each = share * norm.pdf(x[:, None], m, s)
            whole.append(each.sum(axis=1))
            core.append(each[:, :n_core].sum(axis=1))
            below = norm.cdf(x[:, None], m[:n_core], s[:n_core]) @ share[:n_core] / share[:n_core].sum()
            scores.append(np.clip(norm.ppf(below), norm.ppf(1e-12), -norm.ppf(1e-12)))
        rho = np.tanh(theta[TURN][q])
        z = np.stack(scores, axis=1)
        copula = multivariate_normal.pdf(z, cov=[[1, rho], [rho, 1]]) / norm.pdf(z).prod(axis=1)
        total += (1 - eps) * w[q] * (whole[0] * whole[1] + core[0] * core[1] * (copula - 1))
    odd = np.ones(droplets.counts.size)
    for c in range(2):
        at = density.channels[c].density.point(density.channels[c].density.prior[:, 0])
        odd *= norm.pdf(droplets.centres[c][droplets.place[c]], at.means[-1, 0], at.choleskys[-1, 0, 0])
    z = (theta[3:] - density.prior[3:, 0]) / density.prior[3:, 1]
    prior = np.array([0.5, 0.25, 0.25, 0.25]) @ np.log(w) - 0.5 * z @ z
    expected = droplets.counts @ np.log(total + eps * odd) + prior
    assert density.values(theta[None])[0] == pytest.approx(expected, abs=1e-6)


def test_gradient_is_that_of_differences(density, theta):
    value, gradient = density.value_and_gradient(theta)
    assert value == pytest.approx(density.values(theta[None])[0], abs=1e-9)
    h = 1e-4 * density.scales(theta)
    ends = np.array([[density.values((theta + s * step)[None])[0] for s in (1, -1)] for step in np.diag(h)])
    np.testing.assert_allclose(gradient * h, (ends[:, 0] - ends[:, 1]) / 2, atol=2e-6 * np.abs(gradient * h).max())


def test_one_channel_of_it_is_its_marginal(density, theta):
    """Correlation leaves each channel's clusters as they are; copies of a target add up over clusters."""
    at = density.marginal(theta, 1)
    assert np.exp(at.log_weights).sum() == pytest.approx(1.0)
    w = np.exp([0.0, *theta[ODDS]])
    assert np.exp(density.own(theta, 1)[0]) == pytest.approx(-np.log((w[0] + w[1]) / w.sum()))


MEANS = CrossTalkMeans(
    baseline=((1000.0, 100.0), (300.0, 50.0)),
    log_gap=((np.log(800.0), 0.3), (np.log(400.0), 0.3)),
    cross_talk=((0.1, 0.1), (0.2, 0.1)),
    log_left=((-0.1, 0.1), (-0.2, 0.1)),
)


def test_means_are_those_of_signals_and_what_is_seen_of_them():
    own = np.array([1000.0, 300.0, np.log(800.0), np.log(400.0), 0.1, 0.2, np.log(0.9), np.log(0.8)])
    expected = [[1000, 300], [1800, 380], [1080, 700], [1000 + 720 + 64, 300 + 320 + 72]]
    np.testing.assert_allclose(MEANS.at(own), expected)
    np.testing.assert_allclose(MEANS.own(MEANS.at(own)), own, rtol=1e-10)
    center, scale = np.array([900.0, 250.0]), np.array([300.0, 70.0])
    moved = MEANS.rescaled(center, scale)
    np.testing.assert_allclose(moved.at(moved._priors[:, 0]), (MEANS.at(MEANS._priors[:, 0]) - center) / scale)


def test_the_declaration_has_right_gradients_and_goes_to_json():
    rng = np.random.default_rng(3)
    model = bg.GaussianMixture(
        4,
        weights=bg.PoissonProductWeights(linked=bg.Exponential(1.0)),
        means=MEANS,
        covariances=bg.LKJ(2.0, scale=bg.LogNormal((np.log(100.0), np.log(60.0)), 0.4)),
    )
    assert bg.GaussianMixture.from_json(model.to_json()) == model
    assert "cross-talk" in str(model)
    x = rng.normal([1400.0, 500.0], [400.0, 200.0], (50, 2))
    problem = build_problem(model, bg.as_data(x), n_threads=1)
    objective = Objective(problem, unconstrained=True)
    resolved = problem.model
    for _ in range(2):
        at = Parameters(
            log_weights=np.log(resolved.weights.draw(rng, 1, 4)[0]),
            means=resolved.means.draw(rng, np.ones((1, 4, 2, 2)))[0],
            choleskys=np.linalg.cholesky(resolved.covariances.draw(rng, 1, 4, 2)[0]),
        )
        coordinates = objective.coordinates(at, 50 * np.exp(at.log_weights))
        u = 0.2 * rng.standard_normal(coordinates.size)
        _, gradient, point, _ = objective.value_and_gradient(coordinates, u)
        ends = [
            [objective.value_and_gradient(coordinates, u + s * e)[0] for s in (1e-5, -1e-5)] for e in np.eye(u.size)
        ]
        np.testing.assert_allclose(gradient, np.diff(ends)[:, 0] / -2e-5, atol=1e-5 * np.abs(gradient).max())
        np.testing.assert_allclose(coordinates.coordinates(point), u, atol=1e-9)
        single = log_prior(resolved, point, True)
        stacked = resolved.means.log_densities(point.means[None], point.choleskys[None])[0]
        assert stacked == pytest.approx(resolved.means.log_density(point.means, point.choleskys)[0])
        assert np.isfinite(single)


def test_parts_say_what_is_wrong():
    with pytest.raises(InputError, match="baseline"):
        CrossTalkMeans(baseline=(1.0, 2.0), log_gap=((0.0, 1.0), (0.0, 1.0)))
    x = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(UnsupportedError, match="CrossTalkMeans"):
        bg.fit(bg.GaussianMixture(4, means=MEANS), x[:, :1], engine=bg.EM(n_init=1))
    with pytest.raises(InputError, match="n_components"):
        bg.fit(bg.GaussianMixture(3, means=MEANS), x, engine=bg.EM(n_init=1))


@pytest.fixture(scope="module")
def plate() -> ddpcr.Plate:
    return ddpcr.simulate_plate(
        samples={"a": (0.5, 0.1), "b": (0.3, 0.4)},
        n_wells=1,
        n_ntc=1,
        n_droplets=12_000,
        separation=6.0,
        cross_talk=(0.25, 0.0),
        competition=0.15,
        linked=0.3,
        skewness=0.3,
        rain=0.002,
        random_seed=5,
    )


@pytest.fixture(scope="module")
def result(plate):
    return ddpcr.quantify(plate, **OPTIONS)


def test_cross_talk_is_found_and_concentrations_are_right_with_it(plate, result):
    of_plate = result.isel(pair=0)
    truth = [0.25, 0.0, 0.15, 0.15]
    lower, upper = of_plate["plate_effect_size_lower"].to_numpy(), of_plate["plate_effect_size_upper"].to_numpy()
    assert np.all((lower < truth) & (truth < upper))
    np.testing.assert_allclose(of_plate["plate_effect_size"], truth, atol=0.05)
    for name in ("Ch1", "Ch2"):
        flags = result.attrs[f"flags {name}"]
        assert "of the signal in Ch1 is seen in Ch2" in flags
        assert "Ch1 and Ch2 are fitted together" in flags
        assert "of the signal in Ch2 is seen" not in flags
    wells = ~result["ntc"].to_numpy()
    for name in ("Ch1", "Ch2"):
        found, rates = result.sel(channel=name), plate.table[f"true_lambda {name}"].to_numpy()
        inside = (found["copies_per_droplet_lower"] < rates) & (rates < found["copies_per_droplet_upper"])
        assert inside.to_numpy()[wells].all()
    linked = plate.table["true_linked"].to_numpy()
    inside = (of_plate["linked_per_droplet_lower"] < linked) & (linked < of_plate["linked_per_droplet_upper"])
    assert inside.to_numpy()[wells].all()
    assert np.isnan(of_plate["effect_size"].to_numpy()[~wells]).all()  # the control keeps its own fits
    np.testing.assert_allclose(of_plate["cluster_share"].sum("cluster"), 1.0)


def test_the_plain_declaration_of_a_well_agrees(plate, result):
    model, data = ddpcr.two_channel_model(result, plate, "B01")
    fit = bg.fit(model, data, engine=bg.EM(n_init=2, n_polish=1, threads=1), random_seed=1, progressbar=False)
    at, well = fit["point_estimate"], result.sel(well="B01")
    # Four Gaussians do not know of rain and skewed negatives; there is little of them here.
    for name, channel in (("rate_a", "Ch1"), ("rate_b", "Ch2")):
        total = at[name].item() + at["rate_linked"].item()
        assert total == pytest.approx(well["copies_per_droplet"].sel(channel=channel).item(), rel=0.05)
    means = CrossTalkMeans.from_dict(model.means.to_dict())
    assert means.own(at["means"].to_numpy())[4] == pytest.approx(0.25, abs=0.04)
    with pytest.raises(InputError, match="channels"):
        ddpcr.two_channel_model(result, plate, "B01", ("Ch1", "Ch1"))


def test_channels_correlated_within_clusters_are_not_linked():
    """Droplets that are bright in both channels: clusters overlap, and what they share is no linkage."""
    from bayesgmm.ddpcr._fit_pair import fit_well_pair

    rng = np.random.default_rng(6)
    n, rho = 20_000, 0.6
    has = rng.random((n, 2)) < [0.15, 0.1]
    noise = rng.multivariate_normal([0.0, 0.0], [[1.0, rho], [rho, 1.0]], n)
    signal = has * 4.5
    x = 3000.0 + 200.0 * (signal + signal[:, ::-1] * [0.0, 0.2] + noise)
    normal = Shape(shares=(0.5, 0.5), means=(-0.05, 0.05), widths=(0.999, 0.999))
    beliefs = replace(FIRST, shape=normal, log_gap=(np.log(900.0), 0.3), log_positive_sd=(np.log(200.0), 0.3))
    start = np.array([np.log(0.15), 0.0, 1.0, *(-3.5, -7.0, -7.0), 3000.0, np.log(200.0), np.log(900.0), np.log(200.0)])
    fit = fit_well_pair(
        x, PairBeliefs(channels=(beliefs, beliefs)), (start, start), draws=256, seed=np.random.SeedSequence(1)
    )
    lower, upper = fit.quantiles(fit.linked, (0.005, 0.995))
    assert lower < 0.0 < upper
    np.testing.assert_allclose(np.tanh(fit.mode[TURN])[:3], rho, atol=0.06)
    assert fit.effects.mean(axis=0)[0] == pytest.approx(0.2, abs=0.03)


def test_a_saturated_partner_is_flagged():
    from bayesgmm.ddpcr._fit_plate import PlateFit
    from bayesgmm.ddpcr._fit_well import WellFit
    from bayesgmm.ddpcr._pairs import flags_of_partners

    def fitted(rate: float) -> PlateFit:
        well = WellFit(
            mode=np.full(10, np.log(rate)),
            draws=np.full((1, 10), np.log(rate)),
            shares=np.ones(1),
            pareto_k=0.0,
            converged=True,
            n_droplets=15_000,
            misfit=1.0,
            n_clipped=0,
            log_evidence=np.nan,
        )
        own = {"own": [FIRST], "weak": FIRST, "gap": None, "cleared": []}
        return PlateFit(wells=[well], alone=[well], why=[""], beliefs=FIRST, learned_from="", **own)

    fits = {"Ch1": fitted(0.5), "Ch2": fitted(12.0)}
    assert "partner channel Ch2 saturated" in flags_of_partners(fits, "Ch1", 0)[0]
    assert flags_of_partners(fits, "Ch2", 0) == []


@pytest.mark.fit
@pytest.mark.parametrize(("seed", "why"), [(9, "positive in each of them alone"), (6, "more than half of the other's")])
def test_negatives_that_lean_are_no_second_target(seed, why):
    """One dye that both channels see, as EvaGreen: nothing shows whether that is cross-talk or linkage."""
    rng = np.random.default_rng(seed)
    n = 8000
    common, has = rng.lognormal(0.0, 0.35, (2, n)), rng.random((2, n)) < [[0.03], [0.0]]
    first = 3000.0 + 600.0 * common + 5000.0 * has + 90.0 * rng.standard_normal((2, n))
    second = 2500.0 + 600.0 * common + 700.0 * has + 90.0 * rng.standard_normal((2, n))
    made = ddpcr.simulate_plate(samples={"s": (0.1, 0.1)}, n_wells=1, n_ntc=1, n_droplets=n, random_seed=1)
    wells = tuple(
        replace(well, amplitudes=np.column_stack([first[i], second[i]]), clusters=None) for i, well in enumerate(made)
    )
    found = ddpcr.quantify(replace(made, wells=wells), **OPTIONS)
    assert "not looked for" in found.attrs["flags Ch1"]
    assert why in found.attrs["flags Ch1"]
    assert np.isnan(found["plate_effect_size"]).all()
    positives = found["positives"].sel(channel="Ch1").to_numpy()[:1]
    np.testing.assert_allclose(positives, has[:1].sum(axis=1), atol=3)


def test_correlations_that_round_to_one_have_a_density():
    """Searches may pass there: no exception, and a value below that of the start."""
    rng = np.random.default_rng(0)
    x = 3000.0 + 200.0 * rng.standard_normal((500, 2))
    density = PairDensity(Droplets.binned(x, (40.0, 40.0)), PairBeliefs(channels=(FIRST, FIRST)))
    start = density.prior[:, 0].copy()
    far = start.copy()
    far[TURN] = -40.0
    assert np.isfinite(density.value_and_gradient(far)[0])
    assert density.values(np.array([far]))[0] < density.values(np.array([start]))[0]
    narrow = start.copy()
    narrow[-1] = -800.0  # an sd of 0
    assert not density.values(np.array([narrow]))[0] > density.values(np.array([start]))[0]
