"""Standard errors against closed forms, differences of the log-likelihood and published numbers."""

import numpy as np
import pytest
import xarray as xr
from scipy.special import ndtri
from scipy.stats import multivariate_normal

import bayesgmm as bg
from bayesgmm.results import FIT, sealed
from tests.inference.conftest import FLAT, fit, two_groups
from tests.shared_data import table as shared_table

# Few starts: where the optimum is matters here, not whether hard ones are found.
EM = bg.EM(threads=1, n_init=8, n_polish=2)
TIED = {**FLAT, "covariances": bg.Tied(bg.Full(bg.Flat()))}
VARIABLES = ["weights", "means", "covariances", "sds", "correlations"]


def errors(result, method="information", **options):
    return bg.standard_errors(result, method=method, random_seed=1, progressbar=False, **options)


@pytest.fixture(scope="module")
def faithful():
    names = ["short", "long"]
    return fit(bg.GaussianMixture(2, **FLAT, component_names=names), bg.datasets.load_faithful(), EM)


@pytest.fixture(scope="module")
def of_faithful(faithful):
    return errors(faithful)


def test_one_component_in_closed_form():
    rows = np.random.default_rng(4).normal(3.0, 2.0, 150)
    found = errors(fit(bg.GaussianMixture(1, **FLAT), rows, EM))
    sd = rows.std()
    assert found["means_se"].item() == pytest.approx(sd / np.sqrt(150), rel=1e-5)
    assert found["sds_se"].item() == pytest.approx(sd / np.sqrt(300), rel=1e-5)
    assert found["covariances_se"].item() == pytest.approx(sd**2 * np.sqrt(2 / 150), rel=1e-5)
    assert found["weights_se"].item() == 0
    assert found["weights_lower"].item() == found["weights_upper"].item() == 1
    z = ndtri(0.5 + 0.5 * 0.89)
    assert found["means_lower"].item() == pytest.approx(rows.mean() - z * sd / np.sqrt(150), rel=1e-6)
    assert found["sds_upper"].item() == pytest.approx(sd * np.exp(z / np.sqrt(300)), rel=1e-5)


def test_one_component_by_the_bootstrap():
    rows = np.random.default_rng(4).normal(3.0, 2.0, 150)
    found = errors(fit(bg.GaussianMixture(1, **FLAT), rows, EM), "bootstrap", n_bootstrap=200)
    # The variance of a mean with Dirichlet(1, ..., 1) weights is known; that of the simulation is sd / sqrt(2 B).
    expected = rows.std() / np.sqrt(151)
    assert found["means_se"].item() == pytest.approx(expected, abs=4 * expected / np.sqrt(400))
    assert found["means_lower"] < found["means"] < found["means_upper"]
    assert found.attrs["interval"] == "89% percentiles of the replicates"


PUBLISHED = {"weights_se": [0.0413, 0.0413], "means_se": [0.0467, 0.0672], "covariances_se": [0.0238, 0.0238]}


@pytest.mark.parametrize("method", ["information", "bootstrap"])
def test_acidity_as_published(method):
    """Bootstrap standard errors of mclust's vignette, 999 replicates; both sides have a few per cent of noise."""
    result = fit(bg.GaussianMixture(2, **TIED), shared_table("acidity").to_numpy(float), EM)
    found = errors(result, method, n_bootstrap=120)
    for name, numbers in PUBLISHED.items():
        np.testing.assert_allclose(found[name].to_numpy().ravel(), numbers, rtol=0.2)


def log_likelihood(theta, rows):
    """Of two components in two features, as a function of natural parameters."""
    total = np.zeros(len(rows))
    for k, weight in enumerate((theta[0], 1 - theta[0])):
        mean, (a, b, c) = theta[1 + 2 * k : 3 + 2 * k], theta[5 + 3 * k : 8 + 3 * k]
        total += weight * multivariate_normal(mean, [[a, b], [b, c]]).pdf(rows)
    return np.log(total).sum()


def test_information_against_differences_of_the_log_likelihood(faithful, of_faithful):
    rows = bg.datasets.load_faithful().to_numpy()
    rows = rows / rows.std(axis=0)
    result = fit(bg.GaussianMixture(2, **FLAT), rows, EM)
    point, found = result["point_estimate"].to_dataset(), errors(result)
    covariances = point["covariances"].to_numpy()
    theta = np.concatenate(
        [
            point["weights"].to_numpy()[:1],
            point["means"].to_numpy().ravel(),
            *(c[np.tril_indices(2)] for c in covariances),
        ]
    )
    p, h = theta.size, 1e-4
    hessian = np.empty((p, p))
    for i in range(p):
        for j in range(p):
            steps = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
            values = [log_likelihood(theta + h * (a * np.eye(p)[i] + b * np.eye(p)[j]), rows) for a, b in steps]
            hessian[i, j] = (values[0] - values[1] - values[2] + values[3]) / (4 * h * h)
    se = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    np.testing.assert_allclose(found["weights_se"], se[[0, 0]], rtol=1e-3)
    np.testing.assert_allclose(found["means_se"].to_numpy().ravel(), se[1:5], rtol=1e-3)
    own = np.concatenate([c[np.tril_indices(2)] for c in found["covariances_se"].to_numpy()])
    np.testing.assert_allclose(own, se[5:], rtol=1e-3)
    variances = point["sds"].to_numpy() * 2 * found["sds_se"].to_numpy()
    np.testing.assert_allclose(variances, np.diagonal(found["covariances_se"].to_numpy(), axis1=1, axis2=2), rtol=1e-5)
    # Units do not matter.
    np.testing.assert_allclose(of_faithful["correlations_se"], found["correlations_se"], rtol=1e-4, atol=1e-8)


def test_bootstrap_is_near_the_information(faithful, of_faithful):
    found = errors(faithful, "bootstrap", n_bootstrap=50)
    for name in ("weights_se", "means_se"):
        np.testing.assert_allclose(found[name], of_faithful[name], rtol=0.4)
    assert found.attrs["n_used"] == found.attrs["n_bootstrap"] == 50
    assert found.attrs["n_collapsed"] == found.attrs["n_relabelled"] == found.attrs["n_ambiguous"] == 0
    few, again = (errors(faithful, "bootstrap", n_bootstrap=5) for _ in range(2))
    xr.testing.assert_identical(few, again)


def test_names_and_limits(faithful, of_faithful):
    assert set(of_faithful.data_vars) == {name + end for name in VARIABLES for end in ("", "_se", "_lower", "_upper")}
    point = faithful["point_estimate"].to_dataset()
    for name in VARIABLES:
        assert of_faithful[f"{name}_se"].dims == point[name].dims
        np.testing.assert_allclose(of_faithful[name], point[name], rtol=1e-9)
        inside = (of_faithful[f"{name}_lower"] <= of_faithful[name]) & (
            of_faithful[name] <= of_faithful[f"{name}_upper"]
        )
        assert inside.all()
    assert of_faithful["component"].to_numpy().tolist() == ["short", "long"]
    diagonal = of_faithful.sel(feature="waiting", feature_bis="waiting")
    assert (diagonal["correlations_se"] == 0).all()
    assert (diagonal["correlations_lower"] == 1).all()
    np.testing.assert_allclose(diagonal["covariances_lower"], of_faithful["sds_lower"].sel(feature="waiting") ** 2)
    assert of_faithful.attrs["method"] == "information"
    assert of_faithful.attrs["interval"].startswith("89% normal")


def test_limits_stay_inside_their_bounds():
    """Two rows in fifty: normal limits on the weights themselves would be negative."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=48), [30.0, 31.0]])
    found = errors(fit(bg.GaussianMixture(2, **TIED), rows, EM))
    small = found.isel(component=1)
    assert small["weights"] - 2 * small["weights_se"] < 0
    assert 0 < small["weights_lower"] < small["weights"] < small["weights_upper"] < 1
    assert (found["sds_lower"] > 0).all()


def test_probability_of_the_intervals_is_that_of_arviz(faithful, of_faithful):
    import arviz_base

    with arviz_base.rc_context({"stats.ci_prob": 0.5}):
        half = errors(faithful)
    width, wider = (each["means_upper"] - each["means"] for each in (half, of_faithful))
    np.testing.assert_allclose(width / wider, ndtri(0.75) / ndtri(0.945), rtol=1e-6)


@pytest.mark.parametrize("method", ["information", "bootstrap"])
def test_what_is_fixed_has_no_error(method):
    model = bg.GaussianMixture(
        2, weights=bg.FixedWeights([0.5, 0.5]), means=bg.Flat(), covariances=bg.Diagonal(bg.Flat())
    )
    found = errors(fit(model, two_groups(), EM), method, n_bootstrap=20)
    assert (found["weights_se"] == 0).all()
    assert (found["weights_lower"] == 0.5).all()
    off = found["covariances_se"].isel(feature=0, feature_bis=1)
    assert (off == 0).all()
    assert (found["means_se"] > 0).all()


def test_counts_are_repeated_rows():
    values, counts = np.unique(bg.datasets.load_faithful()["waiting"].to_numpy(float), return_counts=True)
    model = bg.GaussianMixture(2, **FLAT)
    one = fit(model, np.repeat(values, counts), EM)
    other = fit(model, bg.as_data(values, counts=counts), EM)
    for name in ("weights_se", "means_se", "sds_se"):
        np.testing.assert_allclose(errors(one)[name], errors(other)[name], rtol=1e-3)
    by_rows, by_counts = (errors(each, "bootstrap", n_bootstrap=50) for each in (one, other))
    np.testing.assert_allclose(by_counts["means_se"], by_rows["means_se"], rtol=4 * np.sqrt(2 / 100))


@pytest.mark.parametrize("kind", ["missing", "noise", "scale", "groups", "bins"])
def test_rows_as_they_were_measured(kind):
    rng = np.random.default_rng(3)
    rows = two_groups(160)
    if kind == "missing":
        data = np.where(rng.random(rows.shape) < 0.15, np.nan, rows)
    elif kind == "bins":
        edges = np.arange(-4.0, 11.0)
        data = bg.as_data(bins=edges, counts=np.histogram(rows[:, 0], edges)[0])
    elif kind == "groups":
        data = bg.as_data(rows, groups=np.repeat(["a", "b"], [100, 60])[rng.permutation(160)])
    else:
        scale = {"noise_scale": bg.LogNormal(0.0, 0.3)} if kind == "scale" else {}
        data = bg.as_data(rows + rng.normal(size=rows.shape) * 0.5, noise=0.5, **scale)
    result = fit(bg.GaussianMixture(2), data, EM)
    found, replicated = errors(result), errors(result, "bootstrap", n_bootstrap=16)
    np.testing.assert_allclose(replicated["means_se"], found["means_se"], rtol=0.6)
    np.testing.assert_allclose(replicated["weights_se"], found["weights_se"], rtol=0.6)
    assert ("noise_scale_se" in found) == (kind == "scale")
    if kind == "scale":
        assert 0 < found["noise_scale_lower"] < found["noise_scale_upper"]
    if kind == "groups":
        assert found["weights_se"].dims == ("group", "component")
        larger, smaller = found["weights_se"].isel(component=0).to_numpy()
        assert larger < smaller


def test_errors_of_measurement_widen_standard_errors():
    rows = two_groups(200)
    sharp = errors(fit(bg.GaussianMixture(2), rows, EM))
    blurred = rows + np.random.default_rng(1).normal(size=rows.shape)
    wide = errors(fit(bg.GaussianMixture(2), bg.as_data(blurred, noise=1.0), EM))
    assert (wide["means_se"] > 1.2 * sharp["means_se"]).all()


def test_information_of_a_map_fit_is_that_of_the_posterior():
    """One mean, known sd: the posterior of the mean is Normal, and the curvature is all there is to it."""
    rows = np.random.default_rng(2).normal(1.0, 1.0, 20)
    model = bg.GaussianMixture(1, means=bg.NormalMeans(0.0, 0.5), covariances=bg.FixedCovariances(1.0))
    found = errors(fit(model, rows, EM))
    assert found["means_se"].item() == pytest.approx(1 / np.sqrt(20 + 4), rel=1e-5)


def test_density_of_the_unconstrained_coordinates():
    """Dirichlet(0.5): plain weights have no mode. One free weight, known components: curvature in the logit."""
    rows = np.repeat([-10.0, 10.0], [12, 28])
    known = {"means": bg.FixedMeans([-10.0, 10.0]), "covariances": bg.FixedCovariances(1.0)}
    model = bg.GaussianMixture(2, weights=bg.Dirichlet(0.5), **known)
    found = errors(fit(model, rows, bg.EM(threads=1, density="unconstrained")))
    a, b = 12.5, 28.5  # the log density of the logit is a log w + b log(1 - w)
    w = a / (a + b)
    assert found["weights"].to_numpy()[0] == pytest.approx(w, rel=1e-4)
    assert found["weights_se"].to_numpy()[0] == pytest.approx(np.sqrt(w * (1 - w) / (a + b)), rel=1e-4)


# ---- where there are none ---------------------------------------------------------------------------------------


def all_nan(found):
    return all(np.isnan(found[name + end]).all() for name in VARIABLES for end in ("_se", "_lower", "_upper"))


@pytest.mark.parametrize("method", ["information", "bootstrap"])
def test_a_ridge_gives_a_sentence_and_no_number(method):
    """Two components that are the same: every weight is as good as any other."""
    same = {"means": bg.FixedMeans([0.0, 0.0]), "covariances": bg.FixedCovariances(1.0)}
    result = fit(bg.GaussianMixture(2, weights=bg.Flat(), **same), np.random.default_rng(0).normal(size=80), EM)
    with pytest.warns(UserWarning, match="does not curve down in one direction at the estimate") as caught:
        found = errors(result, method)
    assert all_nan(found)
    assert found.attrs["message"] == str(caught[0].message)
    assert found["weights"].notnull().all()


def test_a_boundary_gives_a_sentence_and_no_number():
    rng = np.random.default_rng(5)
    rows = np.concatenate([np.full(80, 5.0), rng.normal(0, 1, 80)]) + 0.2 * rng.normal(size=160)
    with pytest.warns(bg.NotConvergedWarning, match="boundary"):
        result = fit(bg.GaussianMixture(2, **FLAT), bg.as_data(rows, noise=0.5), EM)
    with pytest.warns(UserWarning, match="No standard errors: the fit is at the boundary"):
        assert all_nan(errors(result))


def test_a_point_that_is_no_mode_gives_a_sentence_and_no_number(faithful):
    moved = faithful.copy(deep=True)
    point = moved["point_estimate"].to_dataset()
    moved["point_estimate"] = point.assign(means=point["means"] + 0.5 * point["sds"])
    with pytest.warns(UserWarning, match="not at a mode|does not curve down"):
        assert all_nan(errors(sealed(moved, FIT)))


def test_replicates_that_collapse_are_counted():
    result = fit(bg.GaussianMixture(4, **FLAT), bg.datasets.load_galaxies(), bg.EM(threads=1))
    with pytest.warns(UserWarning, match="a component collapsed") as caught:
        found = errors(result, "bootstrap", n_bootstrap=30)
    used, collapsed = found.attrs["n_used"], found.attrs["n_collapsed"]
    assert used + collapsed == 30
    assert collapsed > 6
    assert all_nan(found)
    assert f"in {collapsed} of 30 replicates" in str(caught[0].message)


def test_fits_with_draws_have_their_intervals():
    with pytest.raises(bg.InputError, match=r"fit: got a fit by VB, which has posterior draws\. Its posterior has the"):
        bg.standard_errors(fit(bg.GaussianMixture(2), two_groups(), bg.VB(threads=1)))


def test_bad_arguments(faithful):
    with pytest.raises(bg.InputError, match=r"method: got 'jackknife'\. Give one of 'information', 'bootstrap'"):
        errors(faithful, "jackknife")
    for number in (1, 2.5, True):
        with pytest.raises(bg.InputError, match=r"n_bootstrap: got .* at least 2"):
            errors(faithful, n_bootstrap=number)
    with pytest.raises(bg.InputError, match="random_seed: got -1"):
        bg.standard_errors(faithful, random_seed=-1)
    with pytest.raises(bg.InputError, match="fit: got NoneType"):
        bg.standard_errors(None)
