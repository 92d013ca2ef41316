"""Probabilities of hypotheses, for one version of the data or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_written, is_number
from bayesgmm._errors import InputError
from bayesgmm.traits._measurements import Measurements
from bayesgmm.traits._models import CLASSES, CONTINUOUS, NORMAL, Hypothesis, Question
from bayesgmm.traits._weigh import Weighed, weigh

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One hypothesis about one version of the data, with priors at several scales."""

    known: Measurements
    question: Question
    number: int
    scales: tuple[float, ...]
    draws: int
    keep: int
    seed: np.random.SeedSequence


def weighed(job: Job) -> Weighed:
    """Do it. A worker calls this by its name."""
    models = [job.question.wider(scale).hypotheses(job.known)[job.number].model for scale in job.scales]
    return weigh(job.known, models, draws=job.draws, keep=job.keep, seed=job.seed)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Evidence of hypotheses (H) under several settings (S), the first the one that was declared.

    Attributes
    ----------
    hypotheses : list of Hypothesis
    settings : list of str
    log_evidence, error, pareto_k, reliable : (S, H) arrays
    prior : (S, H) array
        Probabilities before the data.
    """

    hypotheses: list[Hypothesis]
    settings: list[str]
    log_evidence: Array
    error: Array
    pareto_k: Array
    reliable: NDArray[np.bool_]
    prior: Array

    @property
    def probabilities(self) -> Array:
        """Probabilities of the hypotheses, (S, H)."""
        with np.errstate(divide="ignore"):
            joint = np.where(np.isnan(self.log_evidence), -np.inf, self.log_evidence) + np.log(self.prior)
        joint = joint - joint.max(axis=1, keepdims=True)
        return np.exp(joint) / np.exp(joint).sum(axis=1, keepdims=True)

    @property
    def of_classes(self) -> Array:
        """Probabilities of discrete, mixed and continuous, (S, 3)."""
        kinds = np.array([each.kind for each in self.hypotheses])
        return np.stack([self.probabilities[:, kinds == kind].sum(axis=1) for kind in CLASSES], axis=1)

    def best(self, kind: str) -> int:
        """Number of the most probable hypothesis of a class."""
        fits = [each.kind == kind for each in self.hypotheses]
        return int(np.where(fits, self.probabilities[0], -1.0).argmax())


def prior_of(hypotheses: list[Hypothesis], odds: Mapping[str, float], *, normal_only: bool = False) -> Array:
    """Prior probabilities: those of a class are shared out equally among its models."""
    out = np.zeros(len(hypotheses))
    for kind in CLASSES:
        own = [i for i, each in enumerate(hypotheses) if each.kind == kind]
        if normal_only and kind == CONTINUOUS:
            own = [i for i in own if hypotheses[i].name == NORMAL]
        out[own] = odds[kind] / len(own)
    return out / out.sum()


def checked_odds(prior_odds: Mapping[str, float] | None) -> dict[str, float]:
    """One positive number for each class; equal ones if nothing is given."""
    if prior_odds is None:
        return dict.fromkeys(CLASSES, 1.0)
    hint = f"Give a positive number for each of {', '.join(CLASSES)}, as in {dict.fromkeys(CLASSES, 1.0)}"
    classes = isinstance(prior_odds, Mapping) and set(prior_odds) == set(CLASSES)
    if not classes or not all(is_number(each) and 0 < each < np.inf for each in prior_odds.values()):
        raise InputError("prior_odds", f"got {as_written(prior_odds)}", hint)
    return {kind: float(prior_odds[kind]) for kind in CLASSES}


def jobs_for(
    known: Measurements,
    question: Question,
    scales: tuple[float, ...],
    *,
    draws: int,
    keep: int,
    seed: np.random.SeedSequence,
) -> list[Job]:
    """One for each hypothesis."""
    n = len(question.hypotheses(known))
    return [
        Job(known=known, question=question, number=i, scales=scales, draws=draws, keep=keep, seed=own)
        for i, own in enumerate(seed.spawn(n))
    ]


def table_of(
    hypotheses: list[Hypothesis], rows: dict[str, list[Weighed]], scales: list[str], odds: Mapping[str, float]
) -> Table:
    """A table with a row for each setting; the first has several, one for each of `scales`."""
    settings, found = [], []
    for name, each in rows.items():
        for i, setting in enumerate(scales if not settings else [name]):
            settings.append(setting)
            found.append([(w.log_evidence[i], w.error[i], w.pareto_k[i], w.reliable[i]) for w in each])
    columns = np.array(found, dtype=float)
    return Table(
        hypotheses=hypotheses,
        settings=settings,
        log_evidence=columns[..., 0],
        error=columns[..., 1],
        pareto_k=columns[..., 2],
        reliable=columns[..., 3].astype(bool),
        prior=np.tile(prior_of(hypotheses, odds), (len(settings), 1)),
    )


def compare(
    known: Measurements, question: Question, odds: Mapping[str, float], *, draws: int, seed: np.random.SeedSequence
) -> Table:
    """Only what was declared, in this process."""
    found = [weighed(job) for job in jobs_for(known, question, (1.0,), draws=draws, keep=1, seed=seed)]
    return table_of(question.hypotheses(known), {"declared": found}, ["declared"], odds)
