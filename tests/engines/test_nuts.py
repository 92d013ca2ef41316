"""NUTS against exact posteriors and published draws; its chains, modes, seeds and interruptions."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

import bayesgmm as bg
from bayesgmm.engines._modes import find_modes
from bayesgmm.engines._progress import Progress
from tests.shared_data import reference, table

QUIET = {"progressbar": False}
SHORT = bg.NUTS(draws=200, tune=150, chains=2, n_init=8)


def flat(values):
    """(chain, draw, quantity)."""
    array = np.asarray(values, dtype=float)
    return array.reshape(*array.shape[:2], -1)


def check_moments(values, mean, sd, *, reference_draws=np.inf):
    """Means and sds within 4 standard errors, ours and those of a reference of so many independent draws together."""
    for column, expected, width in zip(np.moveaxis(flat(values), 2, 0), np.ravel(mean), np.ravel(sd), strict=True):
        error = np.hypot(array_stats.mcse(column, method="mean"), width / np.sqrt(reference_draws))
        assert abs(column.mean() - expected) < 4 * error
        error = np.hypot(array_stats.mcse(column, method="sd"), width / np.sqrt(2 * reference_draws))
        assert abs(column.std() - width) < 4 * error


@pytest.mark.fit
def test_posteriordb_low_dim_gauss_mix():
    published = reference("low_dim_gauss_mix")["computed"]["posterior"]
    y = table("low_dim_gauss_mix")
    model = bg.GaussianMixture(
        2, weights=bg.Dirichlet(5.0), means=bg.NormalMeans(0.0, 2.0), covariances=bg.LKJ(1.0, scale=bg.HalfNormal(2.0))
    )
    fit = bg.fit(model, y, engine=bg.NUTS(draws=2000), random_seed=1, **QUIET)
    assert fit.attrs["status"] == "SAMPLED"
    posterior = fit["posterior"]
    ours = np.concatenate(
        [flat(posterior["means"]), flat(posterior["sds"]), flat(posterior["weights"])[..., :1]], axis=2
    )
    names = ["mu[1]", "mu[2]", "sigma[1]", "sigma[2]", "theta"]
    sd = np.array([published[name]["sd"] for name in names])
    # The 10,000 reference draws are nearly independent.
    check_moments(ours, [published[name]["mean"] for name in names], sd, reference_draws=10_000)


def test_one_conjugate_component_has_the_exact_posterior():
    rng = np.random.default_rng(0)
    n, d, kappa, df = 40, 2, 0.5, 6.0
    x = rng.normal(size=(n, d)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    scale = np.array([[2.0, 0.3], [0.3, 1.0]])
    model = bg.GaussianMixture(1, means=bg.ConjugateMeans(np.zeros(d), kappa), covariances=bg.InverseWishart(df, scale))
    fit = bg.fit(model, x, engine=bg.NUTS(draws=2000, n_init=2), random_seed=3, **QUIET)
    kappa_n, df_n, mean = kappa + n, df + n, x.mean(axis=0)
    loc = n * mean / kappa_n
    S = scale + (x - mean).T @ (x - mean) + kappa * n / kappa_n * np.outer(mean, mean)
    # Marginals: mu is Student-t with df_n - d + 1 degrees of freedom, Sigma inverse-Wishart(df_n, S).
    nu = df_n - d + 1
    mean_sd = np.sqrt(np.diag(S) / (kappa_n * nu) * nu / (nu - 2))
    check_moments(fit["posterior"]["means"], loc, mean_sd)
    expected = S / (df_n - d - 1)
    a = df_n - d
    variance = ((a + 1) * S**2 + (a - 1) * np.outer(np.diag(S), np.diag(S))) / (a * (a - 1) ** 2 * (a - 3))
    check_moments(fit["posterior"]["covariances"], expected, np.sqrt(variance))


def three_components(n=300, seed=0):
    rng = np.random.default_rng(seed)
    centers = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    return centers[rng.integers(3, size=n)] + rng.normal(size=(n, 2))


def test_three_separated_components_mix_after_relabelling():
    model = bg.GaussianMixture(3, covariances=bg.LKJ(2.0))
    fit = bg.fit(model, three_components(), engine=bg.NUTS(n_init=8), random_seed=1, **QUIET)
    record = fit["relabelling"].attrs
    assert fit.attrs["status"] == "SAMPLED"
    assert record["r_hat_after"] < 1.01
    assert record["r_hat_invariant"] < 1.01
    assert record["ambiguous_draws"] == 0


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
@pytest.mark.parametrize("cores", [1, 2])
def test_the_same_seed_gives_the_same_draws_whatever_the_cores(cores):
    model, x = bg.GaussianMixture(2), bg.datasets.load_faithful()
    options = {"draws": 50, "tune": 50, "chains": 3, "n_init": 4}
    fit = bg.fit(model, x, engine=bg.NUTS(cores=cores, **options), random_seed=7, **QUIET)
    again = bg.fit(model, x, engine=bg.NUTS(cores=1, **options), random_seed=7, **QUIET)
    np.testing.assert_array_equal(fit["posterior"]["means"], again["posterior"]["means"])
    other = bg.fit(model, x, engine=bg.NUTS(cores=1, **options), random_seed=8, **QUIET)
    assert not np.array_equal(fit["posterior"]["means"], other["posterior"]["means"])


def two_ways_to_pair(n=12, shift=0.0):
    """Three groups for two components: the middle one goes with either neighbour."""
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(3, n)) * 0.5
    return np.concatenate([noise[0] - 10.0, noise[1] + shift, noise[2] + 10.0])


PAIRING = bg.GaussianMixture(
    2, weights=bg.Dirichlet(2.0), means=bg.NormalMeans(0.0, 10.0), covariances=bg.LKJ(1.0, scale=bg.LogNormal(0.5, 1.0))
)


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_genuine_multimodality_is_reported():
    fit = bg.fit(PAIRING, two_ways_to_pair(), engine=bg.NUTS(draws=400, n_init=16), random_seed=1, **QUIET)
    assert fit.attrs["status"] == "MULTIMODAL"
    assert int(fit["chains"]["mode"].max()) >= 1
    checks = bg.diagnose(fit)
    assert not bool(checks["ok"].sel(check="modes"))
    assert "another mode" in str(checks["message"].sel(check="modes").item())


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_a_chain_in_a_lower_mode_is_left_out_and_kept_apart():
    fit = bg.fit(PAIRING, two_ways_to_pair(shift=-1.5), engine=bg.NUTS(draws=400, n_init=16), random_seed=1, **QUIET)
    chains = fit["chains"].to_dataset()
    kept = chains["kept"].to_numpy()
    assert 0 < kept.sum() < 4
    assert fit["posterior"].sizes["chain"] == kept.sum()
    assert fit["left_out"].sizes["chain"] == 4 - kept.sum()
    assert (chains["gap"].to_numpy()[~kept] > 5 * chains["gap_error"].to_numpy()[~kept]).all()
    assert float(fit["left_out"]["lp"].mean()) < float(fit["sample_stats"]["lp"].mean())
    assert "left out" in str(bg.diagnose(fit)["message"].sel(check="modes").item())


def test_modes_are_told_from_noise():
    rng = np.random.default_rng(0)
    lp, invariants = rng.normal(size=(4, 500)), rng.normal(size=(4, 500, 3))
    same = find_modes(lp, invariants)
    assert not same.mode.any()
    assert not same.lower.any()
    lower = find_modes(lp - np.array([0, 0, 4.0, 0])[:, None], invariants)
    np.testing.assert_array_equal(lower.lower, [False, False, True, False])
    assert lower.gap[2] == pytest.approx(4.0, abs=0.5)
    invariants[1] += 6.0
    apart = find_modes(lp, invariants)
    assert len(set(apart.mode)) == 2
    assert not apart.lower.any()


class Interrupting(Progress):
    """Ctrl-C once a share of the sampling is done."""

    share = 0.5

    def step(self, what, done, total):
        if what == "sampling" and done > self.share * total:
            raise KeyboardInterrupt


@pytest.mark.fit
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_an_interrupted_run_returns_the_draws_so_far(monkeypatch):
    monkeypatch.setattr("bayesgmm.inference.fitting.Progress", Interrupting)
    engine = bg.NUTS(draws=20_000, tune=100, chains=2, cores=2, n_init=4)
    fit = bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), engine=engine, random_seed=1, **QUIET)
    assert fit.attrs["status"] == "INTERRUPTED"
    assert 100 < fit["posterior"].sizes["draw"] <= 20_000
    assert fit["posterior"].sizes["chain"] >= 1
    assert "fewer than asked" in fit.attrs["status_message"]
    assert np.isfinite(fit["posterior"]["means"]).all()


def test_an_interruption_while_tuning_says_that_nothing_was_kept(monkeypatch):
    monkeypatch.setattr("bayesgmm.inference.fitting.Progress", Interrupting)
    monkeypatch.setattr(Interrupting, "share", -1.0)
    engine = bg.NUTS(draws=100, tune=20_000, chains=2, n_init=4)
    with pytest.raises(bg.FitError, match="nothing was kept"):
        bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), engine=engine, random_seed=1, **QUIET)


@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_a_proper_posterior_of_few_rows_is_sampled():
    # No start ends with more than d + 1 rows in every component, which a mode must have and a posterior need not.
    model = bg.GaussianMixture(
        2,
        weights=bg.Dirichlet(3.0),
        means=bg.NormalMeans(0.0, 3.0),
        covariances=bg.LKJ(2.0, scale=bg.LogNormal(0, 0.4)),
    )
    x = np.random.default_rng(0).normal(size=(5, 2))
    engine = bg.NUTS(draws=50, tune=50, chains=2, n_init=4)
    with pytest.warns(bg.FewerGroupsWarning, match="fewer than the 3"):
        fit = bg.fit(model, x, engine=engine, random_seed=1, **QUIET)
    assert np.isfinite(fit["posterior"]["means"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "NUTS.draws"),
        ({"tune": 0}, "NUTS.tune"),
        ({"chains": 0}, "NUTS.chains"),
        ({"cores": 0}, "NUTS.cores"),
        ({"target_accept": 1.0}, "NUTS.target_accept"),
        ({"target_accept": -0.5}, "NUTS.target_accept"),
        ({"sampler": "stan"}, "NUTS.sampler"),
        ({"draws": 2.5}, "NUTS.draws"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(bg.InputError, match=message):
        bg.NUTS(**options)


def test_improper_parts_raise():
    with pytest.raises(bg.UnsupportedError, match=r"Flat\(\) means"):
        bg.fit(bg.GaussianMixture(2, means=bg.Flat()), [1.0, 2.0, 5.0, 6.0], engine=bg.NUTS(), **QUIET)


@pytest.mark.parametrize(
    "model",
    [
        bg.GaussianMixture(2, weights=bg.StickBreaking(2.0), covariances=bg.Tied(bg.Diagonal())),
        bg.GaussianMixture(2, weights=bg.FixedWeights([0.4, 0.6]), covariances=bg.Spherical(bg.LKJ())),
        bg.GaussianMixture(3, weights=bg.Dirichlet(0.3)),
        bg.GaussianMixture(1, covariances=bg.FixedCovariances(np.diag([1.0, 30.0]))),
        bg.GaussianMixture(
            2, means=bg.FixedMeans([[2.0, 54.0], [4.3, 80.0]]), covariances=bg.LKJ(1.0, scale=bg.Gamma(2, 1))
        ),
    ],
    ids=["tied-sticks", "spherical-fixed-weights", "sparse", "known-covariances", "known-means"],
)
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_every_kind_of_declaration_is_sampled(model):
    fit = bg.fit(model, bg.datasets.load_faithful(), engine=SHORT, random_seed=1, **QUIET)
    posterior = fit["posterior"].to_dataset()
    assert all(np.isfinite(posterior[name]).all() for name in ("weights", "means", "covariances", "sds"))
    np.testing.assert_allclose(posterior["weights"].sum("component"), 1.0, atol=1e-12)
    assert fit.attrs["sampler"] == "native"
    bg.diagnose(fit)


@pytest.mark.fit
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_pymc_samples_the_same_posterior():
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.normal(0.0, 1.0, 60), rng.normal(5.0, 0.7, 40)])
    model = bg.GaussianMixture(2, covariances=bg.LKJ(1.0, scale=bg.HalfNormal(2.0)))
    options = {"draws": 400, "tune": 300, "chains": 2, "n_init": 4}
    native = bg.fit(model, y, engine=bg.NUTS(**options), random_seed=1, **QUIET)
    by_pymc = bg.fit(model, y, engine=bg.NUTS(sampler="pymc", **options), random_seed=1, **QUIET)
    assert by_pymc.attrs["sampler"] == "pymc"
    for name in ("weights", "means", "sds"):
        one, other = flat(native["posterior"][name]), flat(by_pymc["posterior"][name])
        for k in range(one.shape[2]):
            error = np.hypot(*(array_stats.mcse(values[..., k], method="mean") for values in (one, other)))
            assert abs(one[..., k].mean() - other[..., k].mean()) < 5 * error
    table = bg.compare_engines({"native": native, "pymc": by_pymc})
    assert float(table["apart"][1]) < 0.5
