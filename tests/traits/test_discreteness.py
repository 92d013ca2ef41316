"""Verdicts on simulated traits and on finches, and what is handed back with them."""

import numpy as np
import pandas as pd
import pytest

import bayesgmm as bg
from bayesgmm import traits
from bayesgmm.traits._models import CLASSES, EDGES, NORMAL
from bayesgmm.traits._settings import DECLARED, NARROWER, NORMAL_ONLY, OWN_ERRORS, TRIMMED, WIDER
from tests.shared_data import table

QUICK = {"n_power": 0, "draws": 1000, "cores": 1, "random_seed": 1, "progressbar": False}
LENGTHS = ["lengtha", "lengthb", "lengthc"]


def discrete(n=50, r=5):
    rng = np.random.default_rng(1)
    return np.repeat([10.0, 14.0], n)[:, None] + rng.normal(0, 1, (2 * n, r))


def mixed(n=40, r=3):
    rng = np.random.default_rng(2)
    return (np.repeat([10.0, 20.0], n) + 1.5 * rng.normal(size=2 * n))[:, None] + 0.5 * rng.normal(size=(2 * n, r))


def continuous(n=150, r=2):
    rng = np.random.default_rng(3)
    return np.exp(0.7 * rng.normal(size=n))[:, None] + 0.1 * rng.normal(size=(n, r))


CASES = {"discrete": discrete, "mixed": mixed, "continuous": continuous}


@pytest.fixture(scope="module")
def found():
    return {kind: traits.discreteness(make(), n_types=2, **QUICK) for kind, make in CASES.items()}


@pytest.mark.parametrize("kind", CASES)
def test_simulated_traits_are_called_what_they_are(found, kind):
    one = found[kind]
    assert one.attrs["decision"] == kind
    assert one.attrs["verdict"].lower().startswith(kind)
    assert one["class_probability"].sel(setting=DECLARED, **{"class": kind}) > 0.95


def test_a_skewed_trait_is_more_than_a_normal_one(found):
    one = found["continuous"]
    assert one["model_probability"].sel(setting=DECLARED, model=NORMAL) < 0.01
    assert "With a Normal as the only continuous shape it would be called" in one.attrs["notes"]


@pytest.mark.parametrize("kind", CASES)
def test_what_is_in_the_dataset(found, kind):
    one, x = found[kind], CASES[kind]()
    models = ["discrete, 2 types", "mixed, 2 types", NORMAL, "continuous, skewed", "continuous, heavy-tailed"]
    models += [EDGES, "continuous, floor", "continuous, ceiling"]
    assert one["model"].to_numpy().tolist() == models
    assert one["class"].to_numpy().tolist() == list(CLASSES)
    settings = one["setting"].to_numpy().tolist()
    assert settings[:4] == [DECLARED, NARROWER, WIDER, TRIMMED]
    assert settings[4:] in ([NORMAL_ONLY], [OWN_ERRORS, NORMAL_ONLY])
    by_model = {"setting": len(settings), "model": 8}
    for name in ("log_evidence", "log_evidence_error", "pareto_k", "reliable", "model_probability"):
        assert dict(one[name].sizes) == by_model, name
    np.testing.assert_allclose(one["model_probability"].sum("model"), 1.0, rtol=1e-9)
    np.testing.assert_allclose(one["class_probability"].sum("class"), 1.0, rtol=1e-9)
    np.testing.assert_allclose(one["prior_probability"], [1 / 3, 1 / 3, *6 * [1 / 18]])
    assert one["power"].isnull().all()
    assert one["spread_ratio"].shape == (1000, 2)
    assert (one["spread_ratio_lower"] < one["spread_ratio_upper"]).all()
    assert one["component_mean"][0] < one["component_mean"][1]
    assert one["repeatability"].shape == (1000,)
    assert 0 < one["repeatability_lower"] < one["repeatability_upper"] < 1
    np.testing.assert_allclose(one["mean"], x.mean(axis=1), rtol=1e-12)
    step = float(one["x"][1] - one["x"][0])
    # The grid ends where the data end, and a single population need not.
    inside = (one["density"].sum("x") * step).to_numpy()
    np.testing.assert_allclose(inside[:2], 1.0, atol=0.03 if kind != "continuous" else 0.1)
    assert np.all((inside > 0.9) & (inside < 1.001))
    assert one.attrs["n_individuals"] == len(x)
    assert one.attrs["n_measurements"] == x.size
    assert one.attrs["error_sd"] == pytest.approx(np.sqrt(x.var(axis=1, ddof=1).mean()), rel=1e-9)
    assert one.attrs["random_seed"] == "1"


def test_what_is_estimated(found):
    one = found["mixed"]
    np.testing.assert_allclose(one["component_mean"], [10.0, 20.0], atol=1.0)
    # sigma_k / sigma_e is 3.
    assert (one["spread_ratio_lower"] < 3.3).all()
    assert (one["spread_ratio_upper"] > 2.7).all()
    assert (one["negligible_spread"] < 0.01).all()
    assert found["discrete"]["negligible_spread"].mean() > 0.3
    for kind in CASES:
        by_likelihood = traits.repeatability(CASES[kind]())["repeatability"].item()
        assert found[kind]["repeatability"].mean().item() == pytest.approx(by_likelihood, abs=0.05)


@pytest.mark.fit
def test_same_seed_same_numbers(found):
    again = traits.discreteness(mixed(), n_types=2, **QUICK)
    assert again.identical(found["mixed"])
    other = traits.discreteness(mixed(), n_types=2, **{**QUICK, "random_seed": 2})
    assert (other["log_evidence"] != again["log_evidence"]).all()
    np.testing.assert_allclose(other["class_probability"], again["class_probability"], atol=0.05)


def test_units(found):
    """Priors follow the data, so that only the density's unit changes."""
    other = traits.discreteness(1000.0 * mixed() + 5.0, n_types=2, **QUICK)
    difference = other["log_evidence"] - found["mixed"]["log_evidence"]
    per_row = np.log(1000.0) * np.where(other["setting"] == TRIMMED, 79.0, 80.0)
    np.testing.assert_allclose(difference, -per_row[:, None] * np.ones(8), atol=0.02)
    assert other.attrs["decision"] == "mixed"


@pytest.mark.fit
def test_one_locus():
    rng = np.random.default_rng(6)
    x = 3.0 * rng.binomial(2, 0.4, 40)[:, None] + 0.5 * rng.normal(size=(40, 2))
    one = traits.discreteness(x, n_types=3, one_locus=True, **{**QUICK, "draws": 400})
    names = one["model"].to_numpy().tolist()
    assert names[:3] == ["discrete, 3 types", "discrete, one locus, additive", "discrete, one locus, dominant"]
    assert len(names) == 12
    p = one["model_probability"].sel(setting=DECLARED)
    # Three types at equal distances in these proportions are what it is; a dominant locus has two.
    assert p.sel(model="discrete, one locus, additive") > p.sel(model="discrete, 3 types")
    assert p.sel(model="discrete, one locus, dominant") < 1e-6


@pytest.mark.parametrize("n", [10, 15])
def test_few_individuals(n):
    """Fewer than the nodes of a warped population."""
    one = traits.discreteness(continuous(n=n), n_types=2, **QUICK)
    assert one.attrs["n_individuals"] == n
    assert np.isfinite(one["log_evidence"]).all()


@pytest.mark.fit
def test_power():
    one = traits.discreteness(mixed(n=10), n_types=2, **{**QUICK, "n_power": 1, "draws": 500})
    assert one["power"].isin([0.0, 1.0]).all()
    # Of one data set nothing is certain: with a success and a failure more, sqrt(2/3 1/3 / 3).
    np.testing.assert_allclose(one["power_error"], np.sqrt(2.0 / 27.0))
    # 20 individuals of two populations 7 sds apart are not taken for anything else.
    assert one["power"].sel({"class": "mixed"}) == 1.0


def test_prior_odds(found):
    odds = {"discrete": 1.0, "mixed": 1e-9, "continuous": 1.0}
    one, plain = traits.discreteness(mixed(), n_types=2, prior_odds=odds, **QUICK), found["mixed"]
    np.testing.assert_allclose(one["prior_probability"].sel(model="mixed, 2 types"), 0.5e-9, rtol=1e-6)
    np.testing.assert_allclose(one["log_evidence"], plain["log_evidence"])
    ratio = one["class_probability"] / plain["class_probability"]
    changed = (ratio.sel({"class": "mixed"}) / ratio.sel({"class": "continuous"})).to_numpy()
    np.testing.assert_allclose(changed, 1e-9, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"n_types": 1}, "n_types: got 1"),
        ({"n_types": (2, 2.5)}, "n_types"),
        ({"n_types": ()}, "n_types"),
        ({"n_types": True}, "n_types"),
        ({"centre": np.nan}, "centre: got nan"),
        ({"scale": 0.0}, "scale: got 0.0"),
        ({"scale": "wide"}, "scale: got 'wide'"),
        ({"threshold": 0.0}, "threshold"),
        ({"level": 0.5}, "level"),
        ({"level": 1}, "level"),
        ({"n_power": -1}, "n_power"),
        ({"n_power": 1.5}, "n_power"),
        ({"draws": 100}, "draws: got 100.*at least 200"),
        ({"prior_odds": {"discrete": 1.0}}, "prior_odds"),
        ({"random_seed": -1}, "random_seed"),
        ({"value": "beak"}, "value: got 'beak'"),
        ({"error_df": 5}, "error_df: got 5 without error"),
    ],
)
def test_bad_arguments(arguments, wanted):
    with pytest.raises(bg.InputError, match=wanted):
        traits.discreteness(mixed(n=10), **{**QUICK, **arguments})


# Finches -------------------------------------------------------------------------------------------------------------


@pytest.mark.fit
def test_one_species_is_not_called_discrete():
    birds = table("finch_beak_length")
    one = traits.discreteness(birds[birds["species"] == "magnirostris"], value=LENGTHS, n_types=2, **QUICK)
    assert one.attrs["decision"] != "discrete"
    assert one["class_probability"].sel({"class": "discrete"}).max() < 0.01
    assert one.attrs["n_individuals"] >= 44


@pytest.mark.fit
def test_two_species_are_called_mixed():
    birds = table("finch_beak_length").dropna(subset=LENGTHS)
    two = [birds[birds["species"] == species].sample(100, random_state=1) for species in ("fuliginosa", "fortis")]
    one = traits.discreteness(pd.concat(two), value=LENGTHS, individual="bird", n_types=2, **QUICK)
    assert one.attrs["decision"] == "mixed"
    np.testing.assert_allclose(one["component_mean"], [8.54, 11.82], atol=0.3)
    assert (one["spread_ratio_lower"] > 2).all()
