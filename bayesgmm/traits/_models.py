"""The hypotheses about a trait, in the declared form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesgmm._arguments import as_flag, as_instance, as_number, as_whole, is_several
from bayesgmm._errors import InputError
from bayesgmm.model import (
    LKJ,
    Covariances,
    Dirichlet,
    EvenlySpacedMeans,
    FixedCovariances,
    Full,
    GaussianMixture,
    HalfNormal,
    HardyWeinberg,
    NormalMeans,
    warped_normal,
)
from bayesgmm.traits._measurements import Measurements

DISCRETE, MIXED, CONTINUOUS = "discrete", "mixed", "continuous"
CLASSES = (DISCRETE, MIXED, CONTINUOUS)
NORMAL = "continuous, Normal"
EDGES = "continuous, with edges"

# A spread within types of so many standard errors stands for none: it changes each variance by 1e-8 of itself.
_NO_SPREAD = 1e-4
# Widths of the priors in units of the trait's scale: means of types (and medians), spreads within types and the spread
# of a single population.
_MEANS, _WITHIN, _ALL = 1.0, 0.5, 1.0
# Prior standard deviations of the shapes of a single population.
_SKEW, _TAILS = 0.5, 0.5
# Mean and standard deviation of tails that are light: to both sides a population with edges, to one side a floor or
# ceiling at which a fifth pile up (hardly any and a third one standard deviation away).
_LIGHT = -1.5, 0.75


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A model and what it says of the trait."""

    name: str
    kind: str
    model: GaussianMixture


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which hypotheses are compared, and the centre and scale that their priors have.

    Attributes
    ----------
    n_types : tuple of int
    centre, scale : float
        Of the trait, in its units.
    one_locus : bool
        Whether three types of one locus in Hardy-Weinberg proportions are among them.
    """

    n_types: tuple[int, ...]
    centre: float
    scale: float
    one_locus: bool = False

    def hypotheses(self, known: Measurements) -> list[Hypothesis]:
        """All of them."""
        none = FixedCovariances(float(np.square(_NO_SPREAD * known.errors.min())))
        within = Full(LKJ(1.0, scale=HalfNormal(_WITHIN * self.scale)))
        means, uniform = NormalMeans(self.centre, _MEANS * self.scale), Dirichlet(1.0)
        out = []
        pairs: list[tuple[str, Covariances]] = [(DISCRETE, none), (MIXED, within)]
        for kind, covariances in pairs:
            for K in self.n_types:
                model = GaussianMixture(K, weights=uniform, means=means, covariances=covariances)
                out.append(Hypothesis(name=f"{kind}, {K} types", kind=kind, model=model))
            if self.one_locus:
                for name, model in one_locus(covariances, self.centre, self.scale).items():
                    out.append(Hypothesis(name=f"{kind}, {name}", kind=kind, model=model))
        loc, scale = (self.centre, _MEANS * self.scale), HalfNormal(_ALL * self.scale)
        one = GaussianMixture(1, weights=uniform, means=means, covariances=LKJ(1.0, scale=scale))
        skewed = warped_normal(loc=loc, scale=scale, skew=_SKEW)
        tailed = warped_normal(loc=loc, scale=scale, skew=_SKEW, tails=_TAILS)
        edges = warped_normal(loc=loc, scale=scale, skew=_SKEW, tails=_LIGHT[1], tails_mean=_LIGHT[0])
        shapes = {NORMAL: one, "continuous, skewed": skewed, "continuous, heavy-tailed": tailed, EDGES: edges}
        light: dict[str, Any] = {"skew": None, "tails": _LIGHT[1], "tails_mean": _LIGHT[0]}
        shapes["continuous, floor"] = warped_normal(loc=loc, scale=scale, side="below", **light)
        shapes["continuous, ceiling"] = warped_normal(loc=loc, scale=scale, side="above", **light)
        for name, model in shapes.items():
            out.append(Hypothesis(name=name, kind=CONTINUOUS, model=model))
        return out

    def wider(self, factor: float) -> Question:
        """With priors so many times as wide."""
        return replace(self, scale=factor * self.scale)

    @classmethod
    def about(
        cls,
        known: Measurements,
        n_types: int | tuple[int, ...],
        centre: float | None,
        scale: float | None,
        one_locus: bool,
    ) -> Question:
        """With the centre and scale of the data where none are given."""
        as_instance("known", known, Measurements, "Give what traits.measurements returned")
        listed = tuple(n_types) if is_several(n_types) else (n_types,)  # type: ignore[arg-type]
        if not listed:
            raise InputError("n_types", "got an empty sequence", "Give whole numbers of at least 2, such as (2, 3)")
        listed = [as_whole("n_types", K, least=2, hint=", or several as in (2, 3)") for K in listed]
        if centre is not None:
            centre = as_number("centre", centre)
        if scale is not None:
            scale = as_number("scale", scale, above=0.0)
        return cls(
            n_types=tuple(sorted(set(listed))),
            centre=float(known.means.mean() if centre is None else centre),
            scale=float(known.means.std() if scale is None else scale),
            one_locus=as_flag("one_locus", one_locus),
        )


def one_locus(covariances: Covariances, centre: float, scale: float) -> dict[str, GaussianMixture]:
    """Types of one locus with two alleles in Hardy-Weinberg proportions.

    Parameters
    ----------
    covariances : Covariances
        Within types: ``FixedCovariances`` near 0, or a prior such as ``LKJ(scale=HalfNormal(1))``.
    centre, scale : float
        Of the Normal prior of means, and of their spacing.

    Returns
    -------
    dict
        "one locus, additive": three types whose means are at equal distances; "one locus, dominant": two types, the
        first of individuals with two recessive alleles.
    """
    centre, scale = as_number("centre", centre), as_number("scale", scale, above=0.0)
    if covariances is None:
        raise InputError("covariances", "got None", "Give covariances within types, such as LKJ(scale=HalfNormal(1))")
    wide = NormalMeans((centre, scale), (_MEANS * scale, _MEANS * scale))
    additive, dominant = HardyWeinberg(), HardyWeinberg(dominant=True)
    means = NormalMeans(centre, _MEANS * scale)
    return {
        "one locus, additive": GaussianMixture(
            3, weights=additive, means=EvenlySpacedMeans(wide), covariances=covariances
        ),
        "one locus, dominant": GaussianMixture(2, weights=dominant, means=means, covariances=covariances),
    }


def hypotheses(
    known: Measurements,
    *,
    n_types: int | tuple[int, ...] = (2, 3),
    one_locus: bool = False,
    centre: float | None = None,
    scale: float | None = None,
) -> dict[str, GaussianMixture]:
    """The declarations that `discreteness` compares, to print them, change them, or fit them with another engine.

    Parameters
    ----------
    known : Measurements
        From `measurements`.
    n_types, one_locus, centre, scale
        As in `discreteness`.

    Returns
    -------
    dict
        By name; to be fitted to ``known.to_data()``.

    Examples
    --------
    >>> from bayesgmm import traits
    >>> known = traits.measurements([[i % 2 + 0.1, i % 2 - 0.1] for i in range(12)])
    >>> print(traits.hypotheses(known, n_types=2)["continuous, Normal"])
    Gaussian mixture of 1 component
      x_i | z_i = k ~ Normal(mu_k, Sigma_k)
      z_i           ~ Categorical(w)
      w             ~ Dirichlet(1)
      mu_k          ~ Normal(0.5, sd 0.5)
      Sigma_k       ~ LKJ(1), sd ~ HalfNormal(0.5)   (full)
    """
    question = Question.about(known, n_types, centre, scale, one_locus)
    return {each.name: each.model for each in question.hypotheses(known)}
