"""The parametric bootstrap of the likelihood ratio."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._progress import Progress
from bayesgmm.inference._lrt_fits import Hypotheses, compare, simulated
from bayesgmm.inference._parallel import run_parallel
from bayesgmm.numerics.sinh_arcsinh import SinhArcsinh, fit_sinh_arcsinh
from tests.inference.conftest import EM, FLAT, fit

matplotlib.use("Agg")

ONE, TWO = bg.GaussianMixture(1, **FLAT), bg.GaussianMixture(2, **FLAT)
QUIET = Progress(False)


def lrt(data, model=ONE, **options):
    defaults = {"n_bootstrap": 19, "cores": 1, "random_seed": 1, "progressbar": False}
    return bg.bootstrap_lrt(model, data, **(defaults | options))


def hypotheses(*, skewed=False):
    return Hypotheses(null=ONE, alternative=TWO, skewed=skewed, n_init=4, n_polish=1)


@pytest.fixture(scope="module")
def apart():
    """Two groups of 40 rows, 5 sds apart."""
    rng = np.random.default_rng(2)
    return np.concatenate([rng.normal(size=40), 5 + rng.normal(size=40)])


@pytest.fixture(scope="module")
def gaussian():
    return np.random.default_rng(4).normal(size=80)


@pytest.fixture(scope="module")
def rejected(apart):
    return lrt(apart)


@pytest.fixture(scope="module")
def kept(gaussian):
    return lrt(gaussian, n_bootstrap=39)


def test_statistic_is_that_of_two_fits(apart, rejected):
    logliks = [float(fit(model, apart, EM)["point_estimate"].attrs["log_likelihood"]) for model in (ONE, TWO)]
    np.testing.assert_allclose(rejected["log_likelihood"], logliks, atol=1e-3)
    np.testing.assert_allclose(rejected["statistic"], 2 * (logliks[1] - logliks[0]), atol=2e-3)
    exact = -0.5 * apart.size * (np.log(2 * np.pi * apart.var()) + 1)
    np.testing.assert_allclose(rejected["log_likelihood"].sel(hypothesis="null"), exact)


@pytest.mark.parametrize("result", ["rejected", "kept"])
def test_p_value_counts_statistics_as_large(result, request):
    result = request.getfixturevalue(result)
    simulated_ones = result["bootstrap_statistic"].to_numpy()
    large = (simulated_ones >= float(result["statistic"])).sum()
    assert float(result["p_value"]) == (1 + large) / (simulated_ones.size + 1)
    assert float(result["p_lower"]) <= large / simulated_ones.size <= float(result["p_upper"])
    assert result.sizes["bootstrap"] == result.attrs["n_bootstrap"]
    assert (simulated_ones >= 0).all()


def test_separate_groups_are_found_and_a_gaussian_is_left_alone(rejected, kept):
    assert float(rejected["p_value"]) == 0.05
    assert rejected.attrs["reading"] == (
        "1 component is rejected against 2 (p = .05, 19 simulated data sets); this counts Gaussians, so skewness or "
        "heavy tails of one population are reason enough to reject: see null='skewed'."
    )
    assert float(kept["p_value"]) > 0.1
    assert kept.attrs["reading"].startswith("1 component is not rejected against 2 (p = .")


def test_limits_are_clopper_and_pearson():
    from scipy.stats import binomtest

    from bayesgmm.inference.likelihood_ratio import _monte_carlo_interval

    for large, n in ((0, 19), (3, 99), (19, 19)):
        expected = binomtest(large, n).proportion_ci(0.95)
        np.testing.assert_allclose(_monte_carlo_interval(large, n, False), (expected.low, expected.high))
    # After stopping the last one is large, so the upper limit is that of one data set and one large statistic fewer.
    _, upper = _monte_carlo_interval(5, 30, True)
    np.testing.assert_allclose(upper, binomtest(4, 29).proportion_ci(0.95).high)


def test_seed_decides_whatever_the_cores(gaussian):
    results = [lrt(gaussian, n_bootstrap=5, cores=cores, random_seed=7) for cores in (1, 1, 2)]
    assert results[0].identical(results[1])
    assert results[0].identical(results[2])
    other = lrt(gaussian, n_bootstrap=5, random_seed=8)
    assert not np.array_equal(other["bootstrap_statistic"], results[0]["bootstrap_statistic"])


@pytest.mark.parametrize("skewed", [False, True])
def test_shift_and_scale_change_nothing(gaussian, skewed):
    rows = np.exp(0.4 * gaussian)
    values = [
        compare(hypotheses(skewed=skewed), bg.as_data(each), np.random.default_rng(3)).statistic
        for each in (rows, 1e3 - 20 * rows)
    ]
    np.testing.assert_allclose(values[0], values[1], atol=1e-3)
    assert values[0] > 0.1 or skewed


def test_stopping_early_decides_the_same(kept, gaussian):
    stopped = lrt(gaussian, n_bootstrap=39, stop_after=2)
    n = stopped.sizes["bootstrap"]
    assert n < 39
    np.testing.assert_array_equal(stopped["bootstrap_statistic"], kept["bootstrap_statistic"][:n])
    assert (stopped["bootstrap_statistic"] >= stopped["statistic"]).sum() == 2
    assert bool(stopped["bootstrap_statistic"][-1] >= stopped["statistic"])
    assert float(stopped["p_value"]) == 2 / n
    assert stopped.attrs["stopped"] == 1
    assert (float(stopped["p_value"]) <= 0.05) == (float(kept["p_value"]) <= 0.05)
    assert "stopped early" in stopped.attrs["reading"]


def test_stopping_early_leaves_a_clear_case_alone(apart, rejected):
    stopped = lrt(apart, stop_after=1)
    assert float(stopped["p_value"]) == float(rejected["p_value"])
    assert stopped.attrs["stopped"] == 0


def test_skewness_rejects_one_gaussian_but_not_one_skewed_population():
    rows = np.random.default_rng(5).lognormal(0, 0.6, 150)
    plain, skewed = (lrt(rows, null=null, stop_after=3) for null in ("gaussian", "skewed"))
    assert float(plain["p_value"]) == 0.05
    assert float(skewed["p_value"]) > 0.1
    assert skewed.attrs["null_hypothesis"].startswith("sinh-arcsinh normal with location")
    assert skewed.attrs["reading"].startswith("One skewed population is not rejected against two Gaussians (p = .")


def test_skewed_null_is_rejected_by_separate_groups(apart):
    assert float(lrt(apart, null="skewed")["p_value"]) == 0.05


def test_sinh_arcsinh_likelihood_is_the_density():
    from scipy.integrate import quad
    from scipy.stats import norm

    member = SinhArcsinh(loc=1.0, scale=2.0, skew=0.7, tail=0.8)
    assert quad(lambda x: np.exp(member.log_likelihood(np.array([x]))), -60, 200, limit=400)[0] == pytest.approx(1)
    rows = member.draw(np.random.default_rng(0), 3000)
    found, value = fit_sinh_arcsinh(rows)
    assert value == pytest.approx(found.log_likelihood(rows))
    assert value >= member.log_likelihood(rows)
    np.testing.assert_allclose([found.skew, found.tail], [0.7, 0.8], atol=0.15)
    assert value > norm.logpdf(rows, rows.mean(), rows.std()).sum()


OBSERVED = {
    "errors": lambda x: bg.as_data(x, noise=np.linspace(0.1, 1, 80)),
    "missing": lambda x: bg.as_data(np.c_[np.where(np.arange(80) % 5 == 0, np.nan, x), x[::-1]]),
    "counts": lambda x: bg.as_data(x[::2], counts=np.full(40, 2)),
    "bins": lambda x: bg.as_data(bins=np.linspace(-6, 12, 25), counts=np.histogram(x, np.linspace(-6, 12, 25))[0]),
    "groups": lambda x: bg.as_data(x, groups=np.repeat(["a", "b"], [30, 50])),
}


@pytest.mark.parametrize("kind", OBSERVED)
def test_simulated_rows_are_observed_as_the_data_were(kind, apart):
    data = OBSERVED[kind](apart)
    rng = np.random.default_rng(0)
    found = compare(hypotheses(), data, rng)
    assert found.found
    assert found.statistic > 10
    assert not isinstance(found.at, SinhArcsinh)
    again = simulated(found.at, data, rng)
    units = [each.n_obs if each.counts is None else each.counts.sum() for each in (data, again)]
    assert units[0] == units[1] == 80
    if kind == "counts":
        assert again.n_obs == 80
    else:
        np.testing.assert_array_equal(np.isnan(again.values), np.isnan(data.values))
        assert again.values.shape == data.values.shape
    for part in ("noise", "bins", "groups"):
        np.testing.assert_array_equal(getattr(again, part), getattr(data, part))
    seen = data.values[:, -1], again.values[:, -1]
    means = [np.average(x, weights=each.counts) for x, each in zip(seen, (data, again), strict=True)]
    assert abs(means[0] - means[1]) < 4 * apart.std() * np.sqrt(2 / 80)
    assert not np.array_equal(seen[0], seen[1]) or kind == "bins"


def test_priors_compare_modes(apart):
    result = lrt(apart, bg.GaussianMixture(1, component_names=["all"]), n_bootstrap=3)
    logliks = [float(fit(bg.GaussianMixture(K), apart, EM)["point_estimate"].attrs["log_likelihood"]) for K in (1, 2)]
    np.testing.assert_allclose(result["log_likelihood"], logliks, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": 2}, r"model: got int"),
        ({"null": "t"}, r"null: got 't'. Give one of 'gaussian', 'skewed'"),
        ({"n_bootstrap": 0}, r"n_bootstrap: got 0"),
        ({"stop_after": 1.5}, r"stop_after: got 1.5"),
        ({"cores": 0}, r"cores: got 0"),
        ({"random_seed": -1}, r"random_seed: got -1"),
        ({"n_init": True}, r"n_init: got True"),
        ({"model": bg.GaussianMixture(1, weights=bg.FixedWeights([1.0]))}, r"weights=fixed at"),
        ({"model": bg.GaussianMixture(2, means=bg.FixedMeans([[0.0], [1.0]]))}, r"cannot have 3 components"),
        (
            {"model": bg.GaussianMixture(1, means=bg.FixedMeans([[0.0]]), weights=bg.Dirichlet([1.0]))},
            r"cannot have 2 components",
        ),
    ],
)
def test_arguments_that_make_no_sense(change, message, gaussian):
    with pytest.raises(bg.InputError, match=message):
        lrt(gaussian, **change)


@pytest.mark.parametrize(
    ("data", "change", "message"),
    [
        (np.zeros((9, 2)) + np.arange(9)[:, None] ** [1, 2], {"null": "skewed"}, "does not work with 2 features"),
        (np.arange(9.0), {"null": "skewed", "model": TWO}, "does not work with n_components=2"),
        (bg.as_data(np.arange(9.0), noise=0.1), {"null": "skewed"}, "does not work with errors of measurement"),
        (np.r_[np.nan, np.arange(9.0)], {"null": "skewed"}, "does not work with missing values"),
        (bg.as_data(np.arange(9.0), weights=np.full(9, 0.5)), {}, "bootstrap_lrt does not work with weights of rows"),
        (np.arange(9.0), {"model": bg.GaussianMixture(1, weights=bg.Dirichlet(0.5))}, "EM does not work with weights"),
    ],
)
def test_what_is_not_supported(data, change, message):
    with pytest.raises(bg.UnsupportedError, match=message):
        lrt(data, **change)


def test_failed_fits_count_as_large(gaussian, monkeypatch):
    import bayesgmm.inference.likelihood_ratio as module

    monkeypatch.setattr(module, "simulated", lambda *_: (_ for _ in ()).throw(bg.FitError("none")))
    result = lrt(gaussian, n_bootstrap=3)
    assert float(result["p_value"]) == 1
    assert int(result["n_failed"]) == 3
    assert "3 data sets had no proper optimum and count against rejection" in result.attrs["reading"]


def test_jobs_keep_their_order_in_processes():
    jobs = list(range(12, 0, -1))
    for cores in (1, 2):
        assert run_parallel(float, jobs, total=len(jobs), cores=cores, progress=QUIET, what="x") == [
            float(job) for job in jobs
        ]
        found = run_parallel(
            abs, jobs, total=len(jobs), cores=cores, progress=QUIET, what="x", until=lambda value: value <= 9
        )
        assert found == [12, 11, 10, 9]


def test_errors_of_jobs_arrive():
    for cores in (1, 2):
        with pytest.raises(ValueError, match="could not convert"):
            run_parallel(float, ["1", "no"], total=2, cores=cores, progress=QUIET, what="x")


def run_script(folder, text):
    script = folder / "script.py"
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(Path(bg.__file__).parents[1])}
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, env=environment)


def test_a_script_without_a_guard_is_not_run_again(tmp_path):
    run = run_script(
        tmp_path,
        "import sys\nsys.stdout.write('here\\n')\n"
        "from bayesgmm.engines._progress import Progress\n"
        "from bayesgmm.inference._parallel import run_parallel\n"
        "print(run_parallel(float, ['1', '2'], total=2, cores=2, progress=Progress(False), what='x'))\n",
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["here", "[1.0, 2.0]"]


def test_a_script_whose_own_function_is_needed_is_told_about_the_guard(tmp_path):
    run = run_script(
        tmp_path,
        "from bayesgmm.engines._progress import Progress\n"
        "from bayesgmm.inference._parallel import run_parallel\n"
        "def own(x):\n    return x\n"
        "run_parallel(own, [1, 2], total=2, cores=2, progress=Progress(False), what='x')\n",
    )
    assert run.returncode != 0
    assert "under `if __name__ == '__main__':`, or give cores=1" in run.stderr.splitlines()[-1]


def test_plot_names_what_it_shows(rejected, kept):
    from matplotlib import pyplot as plt

    for result in (rejected, kept):
        ax = bg.plots.plot_bootstrap_lrt(result)
        assert ax.get_xlabel() == "2 × log likelihood ratio (twice nats)"
        assert ax.get_ylabel() == "simulated data sets (number)"
        assert ax.get_title(loc="left").startswith(
            "Null: 1 Gaussian component; alternative: 2 Gaussian components\np = "
        )
        assert sum(bar.get_height() for bar in ax.patches) == result.sizes["bootstrap"]
        assert ax.lines[0].get_xdata()[0] == float(result["statistic"])
        ax.get_figure().canvas.draw()
        plt.close("all")
    with pytest.raises(bg.InputError, match=r"result: got int. Give what bootstrap_lrt returned"):
        bg.plots.plot_bootstrap_lrt(3)
