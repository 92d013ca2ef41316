"""The verdict in words."""

from __future__ import annotations

import numpy as np

from bayesgmm.traits._compare import Table
from bayesgmm.traits._models import CLASSES, CONTINUOUS, DISCRETE, MIXED
from bayesgmm.traits._settings import NORMAL_ONLY

UNDECIDED = "undecided"
_MEANING = {
    DISCRETE: "discrete types, with nothing but measurement error within each",
    MIXED: "several populations, with real variation within each",
    CONTINUOUS: "one continuous population",
}


def decide(table: Table, level: float) -> tuple[str, str]:
    """A class or "undecided", and a sentence that says so with what it depends on.

    A class has to reach the level with the priors as declared, and to stay the most probable one in all other settings.
    How far a Normal alone would be believed is told, not counted: it is no reason to doubt other shapes.
    """
    probabilities = table.of_classes
    first = probabilities[0]
    top = int(first.argmax())
    others = [i for i, name in enumerate(table.settings) if i and name != NORMAL_ONLY]
    turned = [i for i in others if int(probabilities[i].argmax()) != top]
    weaker = [i for i in others if probabilities[i, top] < level]
    shown = ", ".join(f"P({kind}) = {_percent(p)}" for kind, p in zip(CLASSES, first, strict=True))
    if first[top] < level:
        return UNDECIDED, f"Undecided: {shown}; none reaches {_percent(level)}."
    if turned:
        listed = "; ".join(
            f"{table.settings[i]}: {CLASSES[int(probabilities[i].argmax())]} {_percent(probabilities[i].max())}"
            for i in turned
        )
        return UNDECIDED, f"Undecided: {shown} as declared, but it depends on assumptions ({listed})."
    sentence = f"{CLASSES[top].capitalize()}: {_MEANING[CLASSES[top]]} ({shown})"
    if not others:
        return CLASSES[top], f"{sentence}."
    if weaker:
        listed = "; ".join(f"{table.settings[i]}: {_percent(probabilities[i, top])}" for i in weaker)
        return CLASSES[top], f"{sentence}, less sure in some settings ({listed})."
    least = min(float(probabilities[i, top]) for i in others)
    return CLASSES[top], f"{sentence}; at least {_percent(least)} in {len(others)} other settings."


def doubts(table: Table) -> list[str]:
    """What is to be known of the numbers behind a verdict."""
    out = []
    matters = table.probabilities > 0.01
    for i, each in enumerate(table.hypotheses):
        bad = [s for s, name in enumerate(table.settings) if not table.reliable[s, i] and matters[s, i]]
        if np.isnan(table.log_evidence[0, i]):
            out.append(f"{each.name}: its evidence could not be computed, and it is left out.")
        elif bad:
            k = table.pareto_k[bad].max()
            where = ", ".join(table.settings[s] for s in bad)
            out.append(f"{each.name}: the evidence is a guess (Pareto k {k:.2f}; {where}); check it with NUTS.")
    if NORMAL_ONLY in table.settings:
        at = table.settings.index(NORMAL_ONLY)
        before, after = (CLASSES[int(table.of_classes[s].argmax())] for s in (0, at))
        if before == CONTINUOUS and after != CONTINUOUS:
            p = _percent(table.of_classes[at].max())
            out.append(f"With a Normal as the only continuous shape it would be called {after} ({p}).")
    return out


def _percent(p: float) -> str:
    if 0.0005 < p < 0.9995:
        return f"{100 * p:.1f} %"
    return "> 99.9 %" if p > 0.5 else "< 0.1 %"
