"""Numbers, truth values, choices and seeds: the same checks everywhere, which take NumPy's scalars."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm import _arguments as arguments

QUIET = {"progressbar": False}
FAITHFUL = bg.datasets.load_faithful()
EM = bg.EM(n_init=2, n_polish=1)


@pytest.mark.parametrize(
    "value",
    [
        True,
        np.True_,
        1.0,
        "1",
        None,
        10**400,
        pytest.param(10**5000, id="10**5000"),
        -1,
        np.timedelta64(3, "s"),
        [1],
        1j,
    ],
)
def test_what_is_no_whole_number(value):
    with pytest.raises(bg.InputError, match=r"draws: got .*Give a whole number"):
        arguments.as_whole("draws", value, least=1)


@pytest.mark.parametrize("value", [True, np.nan, np.inf, "1", None, 10**400, 1j, [1.0], 0.0, -2.0])
def test_what_is_no_positive_number(value):
    with pytest.raises(bg.InputError, match=r"error: got .*Give a positive number"):
        arguments.as_number("error", value, above=0.0)


@pytest.mark.parametrize("value", [1, 0, "no", None, [], np.float64(1.0)])
def test_what_is_no_truth_value(value):
    with pytest.raises(bg.InputError, match=r"resample: got .*Give True or False"):
        arguments.as_flag("resample", value)


def test_scalars_of_numpy_become_those_of_python():
    engine = bg.NUTS(draws=np.int64(20), target_accept=np.float32(0.5), cores=np.int8(1))
    assert [type(each) for each in (engine.draws, engine.target_accept, engine.cores)] == [int, float, int]
    assert type(bg.Laplace(resample=np.False_).resample) is bool
    assert type(bg.HardyWeinberg(dominant=np.True_).dominant) is bool
    assert bg.GaussianMixture(np.int16(2)).n_components == 2


def test_messages_stay_short_and_never_fail():
    for value in ([0] * 100_000, 10**5000, [10**5000], "x" * 5000):
        assert len(arguments.as_written(value)) < 300


@pytest.mark.parametrize("make", [lambda: bg.VBBound(engine=bg.Laplace()), lambda: bg.LaplaceEvidence(engine=3)])
def test_engines_of_estimators_are_looked_at(make):
    with pytest.raises(bg.InputError, match=r"engine: got .*Give (VB|Laplace)\(\.\.\.\)"):
        make()


def with_seed():
    """Every public function that takes a seed, but for those that take minutes."""
    fit = bg.fit(
        bg.GaussianMixture(2), FAITHFUL, engine=bg.Laplace(draws=40, chains=2, n_init=2), random_seed=1, **QUIET
    )
    em = bg.fit(bg.GaussianMixture(2), FAITHFUL, engine=EM, random_seed=1, **QUIET)
    birds = [[i % 2 + 0.1 * (i % 3), i % 2 - 0.1] for i in range(30)]
    return {
        "fit": lambda seed: bg.fit(bg.GaussianMixture(2), FAITHFUL, engine=EM, random_seed=seed, **QUIET),
        "impute": lambda seed: bg.impute(fit, n_draws=2, random_seed=seed),
        "denoise": lambda seed: bg.denoise(fit, n_draws=2, random_seed=seed),
        "add_posterior_predictive": lambda seed: bg.add_posterior_predictive(fit, n_draws=2, random_seed=seed),
        "add_prior": lambda seed: bg.add_prior(fit, n_draws=2, random_seed=seed),
        "to_arviz": lambda seed: bg.to_arviz(fit, feature="waiting", random_seed=seed),
        "simulate": lambda seed: bg.simulate(fit, 3, random_seed=seed),
        "standard_errors": lambda seed: bg.standard_errors(em, n_bootstrap=2, random_seed=seed, **QUIET),
        "log_evidence": lambda seed: bg.log_evidence(
            bg.GaussianMixture(1), FAITHFUL[:5], estimator=bg.Enumeration(), random_seed=seed, **QUIET
        ),
        "compare_components": lambda seed: bg.compare_components(
            bg.GaussianMixture(1), FAITHFUL, n_components=[1], criteria=[], cores=1, random_seed=seed, **QUIET
        ),
        "bootstrap_lrt": lambda seed: bg.bootstrap_lrt(
            bg.GaussianMixture(1), FAITHFUL, n_bootstrap=1, n_init=1, n_polish=1, cores=1, random_seed=seed, **QUIET
        ),
        "ddpcr.simulate_plate": lambda seed: bg.ddpcr.simulate_plate(
            samples=0.2, n_wells=1, n_ntc=0, n_droplets=10, random_seed=seed
        ),
        "traits.discreteness": lambda seed: bg.traits.discreteness(
            birds, n_power=0, draws=200, cores=1, random_seed=seed, **QUIET
        ),
    }


SEEDED = with_seed()


def test_every_function_with_a_seed_is_here():
    missing = {"ddpcr.quantify", "traits.change_of_type"}  # of the same check, and slow
    found = set()
    for module in (bg, bg.ddpcr, bg.traits):
        prefix = "" if module is bg else module.__name__.rpartition(".")[2] + "."
        for name in module.__all__:
            each = getattr(module, name)
            if inspect.isfunction(each) and "random_seed" in inspect.signature(each).parameters:
                found.add(prefix + name)
    assert found == set(SEEDED) | missing


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("seed", [-1, True, 1.5, "1", 2**128, 10**400, np.random.RandomState(1)])
def test_what_is_no_seed(name, seed):
    with pytest.raises(bg.InputError, match=r"random_seed: got .*Give a whole number of at least 0"):
        SEEDED[name](seed)


def test_a_generator_gives_the_seed_and_moves_on():
    rng = np.random.default_rng(5)
    first, second = (SEEDED["fit"](rng).attrs["random_seed"] for _ in range(2))
    assert first != second
    again = np.random.default_rng(5)
    assert [int(again.integers(2**63)) for _ in range(2)] == [int(first), int(second)]
    known = bg.GaussianMixture(1, means=bg.NormalMeans([0.0], 1.0), covariances=bg.InverseWishart(3, 1.0))
    a, b = (bg.simulate(known, 4, random_seed=each)["x"] for each in (np.random.default_rng(5), int(first)))
    np.testing.assert_array_equal(a, b)


JSON = {
    "another part": '{"type": "Dirichlet", "concentration": 1.0}',
    "broken": "{",
    "a list": "[]",
    "a type that is none": '{"type": []}',
    "an unknown field": '{"type": "GaussianMixture", "n_components": 2, "zzz": 1}',
    "nested": "[" * 100_000,
    "many digits": '{"type": "GaussianMixture", "n_components": ' + "9" * 5000 + "}",
    "large": '{"type": "GaussianMixture", "n_components": 1e400}',
    "an abstract part": '{"type": "Weights"}',
    "a field that is missing": '{"type": "GaussianMixture"}',
    "a field that is there twice": '{"type": "GaussianMixture", "n_components": 2, "n_components": 3}',
    "parts that do not go together": '{"type": "GaussianMixture", "n_components": 2, "covariances": '
    '{"type": "Tied", "structure": {"type": "Tied"}}}',
    "a filled one without parts": '{"type": "FilledMixture", "n_components": 2}',
    "bytes": b"{}",
    "None": None,
}


@pytest.mark.parametrize("case", list(JSON))
def test_json_of_something_else(case):
    with pytest.raises(bg.InputError) as caught:
        bg.GaussianMixture.from_json(JSON[case])
    assert len(str(caught.value)) < 2000


def test_json_changed_at_random_is_read_or_refused():
    model = bg.GaussianMixture(
        2, covariances=bg.LKJ(2.0, scale=bg.HalfNormal((1.0, 2.0))), weights=bg.Dirichlet([1.0, 2.0])
    )
    text, rng = model.to_json(), np.random.default_rng(0)
    for _ in range(500):
        characters = list(text)
        for place in rng.integers(len(text), size=rng.integers(1, 4)):
            characters[place] = str(rng.choice(list('{}[]",:0123456789.eEnulltruNaI\\ ')))
        try:
            again = bg.GaussianMixture.from_json("".join(characters))
        except bg.InputError:
            continue
        assert isinstance(again, bg.GaussianMixture)
        assert json.loads(again.to_json())["type"] == "GaussianMixture"


def test_wrong_calls_end_in_errors_of_ours(monkeypatch):
    import fuzz_calls

    monkeypatch.setenv("MPLBACKEND", "Agg")
    chosen = "fit", "predict", "GaussianMixture", "simulate"
    reports = []
    for name in chosen:
        counts = fuzz_calls.run(60, 7, name, reports.append)
        assert counts["foreign"] == counts["silent"] == 0, "\n".join(reports)
        assert counts["ours"] > 30
