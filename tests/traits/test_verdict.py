"""What is said of tables of evidence that are made by hand."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.traits._compare import Table, checked_odds, prior_of
from bayesgmm.traits._models import NORMAL, Hypothesis
from bayesgmm.traits._settings import DECLARED, NORMAL_ONLY, TRIMMED, WIDER
from bayesgmm.traits._verdict import decide, doubts

ONE = bg.GaussianMixture(1)
HYPOTHESES = [
    Hypothesis(name="discrete, 2 types", kind="discrete", model=ONE),
    Hypothesis(name="mixed, 2 types", kind="mixed", model=ONE),
    Hypothesis(name=NORMAL, kind="continuous", model=ONE),
]


def table(*rows, settings=(DECLARED, WIDER, TRIMMED), hypotheses=HYPOTHESES, **other):
    """From the probabilities of hypotheses in each setting."""
    p = np.array(rows, dtype=float)
    with np.errstate(divide="ignore"):
        logs = np.log(p) - 1234.5
    columns = {"error": np.full(p.shape, 0.02), "pareto_k": np.full(p.shape, 0.3), "reliable": np.full(p.shape, True)}
    columns |= {"prior": np.full(p.shape, 1 / len(hypotheses)), "log_evidence": logs} | other
    return Table(hypotheses=hypotheses, settings=list(settings)[: len(p)], **columns)


def test_probabilities():
    rows = table([0.2, 0.5, 0.3])
    np.testing.assert_allclose(rows.probabilities, [[0.2, 0.5, 0.3]], rtol=1e-9)
    np.testing.assert_allclose(rows.of_classes, [[0.2, 0.5, 0.3]], rtol=1e-9)
    weighted = table([0.2, 0.5, 0.3], prior=np.array([[0.5, 0.25, 0.25]]))
    np.testing.assert_allclose(weighted.probabilities, [np.array([0.4, 0.5, 0.3]) / 1.2], rtol=1e-9)
    # What could not be computed is left out.
    gone = table([0.2, 0.5, 0.3], log_evidence=np.log([[0.2, np.nan, 0.3]]))
    np.testing.assert_allclose(gone.probabilities, [[0.4, 0.0, 0.6]], rtol=1e-9)
    several = [*HYPOTHESES, Hypothesis(name="discrete, 3 types", kind="discrete", model=ONE)]
    rows = table([0.1, 0.3, 0.4, 0.2], hypotheses=several)
    np.testing.assert_allclose(rows.of_classes, [[0.3, 0.3, 0.4]], rtol=1e-9)
    assert (rows.best("discrete"), rows.best("mixed"), rows.best("continuous")) == (3, 1, 2)


def test_prior_is_shared_out_within_classes():
    several = [*HYPOTHESES, Hypothesis(name="continuous, skewed", kind="continuous", model=ONE)]
    odds = {"discrete": 2.0, "mixed": 1.0, "continuous": 1.0}
    np.testing.assert_allclose(prior_of(several, odds), [0.5, 0.25, 0.125, 0.125])
    np.testing.assert_allclose(prior_of(several, odds, normal_only=True), [0.5, 0.25, 0.25, 0.0])
    assert checked_odds(None) == {"discrete": 1.0, "mixed": 1.0, "continuous": 1.0}


@pytest.mark.parametrize(
    "odds",
    [
        {"discrete": 1.0},
        {"discrete": 1, "mixed": 1, "continuous": 0},
        {"discrete": 1, "mixed": 1, "continuous": np.inf},
        {"discrete": 1, "mixed": True, "continuous": 1},
        {"discrete": 1, "mixed": "1", "continuous": 1},
        [1, 1, 1],
        {"discrete": 1, "mixed": 1, "normal": 1},
    ],
)
def test_odds_that_are_none(odds):
    with pytest.raises(bg.InputError, match=r"prior_odds: got.*discrete, mixed, continuous"):
        checked_odds(odds)


@pytest.mark.parametrize("top", [0, 1, 2])
def test_sure_in_all_settings(top):
    rows = np.full((3, 3), 0.01)
    rows[:, top] = 0.98, 0.97, 0.96
    rows /= rows.sum(axis=1, keepdims=True)
    decision, sentence = decide(table(*rows), 0.95)
    assert decision == ("discrete", "mixed", "continuous")[top]
    assert sentence.startswith(decision.capitalize())
    assert f"at least {100 * rows[2, top]:.1f} % in 2 other settings" in sentence


def test_not_sure_as_declared():
    decision, sentence = decide(table([0.90, 0.08, 0.02], [0.99, 0.005, 0.005]), 0.95)
    assert decision == "undecided"
    assert "P(discrete) = 90.0 %" in sentence
    assert "none reaches 95.0 %" in sentence
    assert decide(table([0.90, 0.08, 0.02], [0.99, 0.005, 0.005]), 0.85)[0] == "discrete"


def test_turned_round_by_a_setting():
    decision, sentence = decide(table([0.98, 0.01, 0.01], [0.3, 0.6, 0.1]), 0.95)
    assert decision == "undecided"
    assert f"depends on assumptions ({WIDER}: mixed 60.0 %)" in sentence


def test_weaker_in_a_setting():
    decision, sentence = decide(table([0.01, 0.98, 0.01], [0.1, 0.8, 0.1], [0.01, 0.97, 0.02]), 0.95)
    assert decision == "mixed"
    assert f"less sure in some settings ({WIDER}: 80.0 %)" in sentence


def test_one_setting_alone():
    decision, sentence = decide(table([0.0001, 0.0001, 0.9998]), 0.95)
    assert decision == "continuous"
    assert sentence.endswith("(P(discrete) = < 0.1 %, P(mixed) = < 0.1 %, P(continuous) = > 99.9 %).")


def test_a_normal_alone_is_told_and_not_counted():
    rows = table([0.01, 0.01, 0.98], [0.01, 0.02, 0.97], [0.01, 0.95, 0.04], settings=(DECLARED, WIDER, NORMAL_ONLY))
    decision, sentence = decide(rows, 0.95)
    assert decision == "continuous"
    assert "at least 97.0 % in 1 other settings" in sentence
    assert doubts(rows) == ["With a Normal as the only continuous shape it would be called mixed (95.0 %)."]


def test_doubts():
    sure = [0.6, 0.395, 0.005], [0.6, 0.395, 0.005]
    assert doubts(table(*sure)) == []
    k = np.array([[0.2, 0.8, 0.9], [0.2, 0.9, 0.9]])
    found = doubts(table(*sure, pareto_k=k, reliable=k < 0.7))
    # The third does not matter.
    both = f"{DECLARED}, {WIDER}"
    assert found == [f"mixed, 2 types: the evidence is a guess (Pareto k 0.90; {both}); check it with NUTS."]
    logs = np.log([[0.6, np.nan, 0.4]])
    (found,) = doubts(table([0.6, 0.1, 0.3], log_evidence=logs, reliable=np.array([[True, False, True]])))
    assert found == "mixed, 2 types: its evidence could not be computed, and it is left out."
