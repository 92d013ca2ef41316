"""Proposals in the part of a posterior where a component holds next to nothing.

There the component's own parameters are those of the prior, which is far wider than the hill at the mode, and the
others are those of a mixture with one component less. Importance weights of proposals that miss it have no variance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesgmm._errors import FitError
from bayesgmm.engines._normal import NormalApproximation, log_priors
from bayesgmm.engines._optima import Search
from bayesgmm.engines._progress import Progress
from bayesgmm.engines.base import Approximation, Array, Parameters, Problem
from bayesgmm.model import Covariances

_TAILS = 6.0
# In sds of an error; draws that such a place must be worth, and those that shape it by half for each coordinate.
_FAR_BELOW, _WORTH_LEARNING, _DRAWS_PER_COORDINATE = 0.5, 10.0, 2.0
# Draws of a prior that show how wide it is, and the median sd of proposals, in units of what rows can just tell.
_TO_SEE_A_PRIOR, _BELOW_WHAT_IS_SEEN = 400, 0.6
_FEW = {"n_init": 6, "n_polish": 1, "approached": 1, "rounds": 1, "short_steps": 5, "tolerance": 1e-2}


@dataclass(frozen=True, kw_only=True)
class Newborn(Approximation):
    """A mixture with one component less, and one more from the prior, with a weight of Beta(1, b).

    Attributes
    ----------
    problem : Problem
        With all K components.
    others : Problem
        With K - 1 of them.
    base : NormalApproximation
        To the posterior of the others.
    single : Problem
        With one, whose prior is that of the last.
    b : float
    """

    problem: Problem
    others: Problem
    base: NormalApproximation
    single: Problem
    b: float

    def draw(self, rng: np.random.Generator, size: int) -> Parameters:
        rest = self.base.draw(rng, size)
        prior = self.single.model
        w = -np.expm1(np.log1p(-rng.random(size)) / self.b)[:, None]
        if prior.covariances.tied:
            choleskys = rest.choleskys[:, :1]
        else:
            choleskys = np.linalg.cholesky(prior.covariances.draw(rng, size, 1, self.problem.n_features))
        means = prior.means.draw(rng, choleskys)
        with np.errstate(divide="ignore"):
            log_weights = np.hstack([rest.log_weights + np.log1p(-w), np.log(w)])
        return replace(
            rest,
            log_weights=log_weights,
            means=np.concatenate([rest.means, means], axis=1),
            choleskys=np.concatenate([rest.choleskys, choleskys], axis=1),
        )

    def log_density(self, points: Parameters) -> Array:
        K = self.problem.K
        weights, log_w = points.log_weights, points.log_weights[:, -1]
        with np.errstate(all="ignore"):
            log_rest = np.log1p(-np.exp(log_w))
            others = weights[:, :-1] - log_rest[:, None]
            rest = replace(points, log_weights=others, means=points.means[:, :-1], choleskys=points.choleskys[:, :-1])
            # The weight of the last and the shares of the others as coordinates, in place of log-ratios of all.
            out = self.base.log_density(rest) - self.others.model.weights.log_jacobians(others)
            out = out + np.log(self.b) + (self.b - 1.0) * log_rest - (K - 2) * log_rest
            out = out + self.problem.model.weights.log_jacobians(weights)
            model, at = self.single.model, (points.choleskys[:, -1:], points.means[:, -1:])
            out = out + model.means.log_densities(at[1], at[0])
            if not self.problem.model.covariances.tied:
                out = out + model.covariances.log_densities(*at) + model.covariances.log_jacobians(*at)
        return np.where(np.isnan(out), -np.inf, out)

    def log_prior(self, points: Parameters) -> Array:
        return log_priors(self.problem, points)


def newborn(problem: Problem, rng: np.random.Generator) -> list[Newborn]:
    """Such proposals where all components are alike; none where they are not, or nothing was found to begin with."""
    model, K = problem.model, problem.K
    smaller, one = (model.cut(K - 1), model.cut(1)) if K > 1 else (None, None)
    if smaller is None or one is None or problem.n_groups is not None or len(set(model.keys())) > 1:
        return []
    others = replace(problem, model=smaller)
    try:
        search = Search(unconstrained=True, supported=False, **_FEW)  # type: ignore[arg-type]
        found = search.run(others, rng, Progress(False))
        end = found.reports[found.best].end
        assert end is not None
        base = NormalApproximation.at_mode(others, end).with_tails(_TAILS)
    except (FitError, np.linalg.LinAlgError):
        return []
    # Between the prior's uniform weight and one row's worth.
    b = float(np.sqrt(problem.rows.units()))
    return [Newborn(problem=problem, others=others, base=base, single=replace(problem, model=one), b=b)]


@dataclass(frozen=True, kw_only=True)
class Unseen(Approximation):
    """Covariances of some components from a prior, everything else from an approximation at a mode.

    Far below the errors of measurement nothing is known of a covariance, and its logarithm has the tail that the prior
    gives it, which a Student t of several dimensions falls below.

    Attributes
    ----------
    problem : Problem
    base : NormalApproximation
    which : tuple of int
        The components, or the first alone where all share one covariance.
    prior : Covariances
        What covariances are drawn from.
    """

    problem: Problem
    base: NormalApproximation
    which: tuple[int, ...]
    prior: Covariances

    def draw(self, rng: np.random.Generator, size: int) -> Parameters:
        points = self.base.draw(rng, size)
        drawn = np.linalg.cholesky(self.prior.draw(rng, size, self.problem.K, self.problem.n_features))
        if self.prior.tied:
            return points.with_choleskys(drawn)
        choleskys = points.choleskys.copy()
        choleskys[:, self.which] = drawn[:, self.which]
        return points.with_choleskys(choleskys)

    def log_density(self, points: Parameters) -> Array:
        at = points.choleskys[:, self.which], points.means[:, self.which]
        with np.errstate(all="ignore"):
            out = self.prior.log_densities(*at) + self.prior.log_jacobians(*at)
            out = out + self.base.log_density_without(points, self.which)
        return np.where(np.isnan(out), -np.inf, out)

    def log_prior(self, points: Parameters) -> Array:
        return log_priors(self.problem, points)

    def learnt(self, points: Parameters, shares: Array) -> Unseen:
        """With everything else as it is where these covariances are far below the errors."""
        noise = self.problem.noise
        assert noise is not None
        sds = np.sqrt(np.einsum("skij,skij->ski", points.choleskys, points.choleskys))[:, self.which]
        small = (sds < _FAR_BELOW * np.sqrt(np.diag(noise.typical))).all(axis=(1, 2))
        own = np.where(small, shares, 0.0)
        if not own.sum() > 0 or 1.0 / np.square(own / own.sum()).sum() < _WORTH_LEARNING:
            return self
        return replace(self, base=self.base.moved(points, own / own.sum(), _TAILS, _DRAWS_PER_COORDINATE))


def unseen(problem: Problem, base: NormalApproximation) -> list[Unseen]:
    """Such proposals for each component, for all, and for all as wide as the prior, where rows have errors."""
    covariances, K = problem.model.covariances, problem.K
    if problem.noise is None or not covariances.free or covariances.linked or len(set(covariances.keys(K))) > 1:
        return []
    groups = [(0,)] if covariances.tied or K == 1 else [(k,) for k in range(K)] + [tuple(range(K))]
    # n rows with errors of variance e^2 tell a variance to e^2 sqrt(2 / n): below its root all sds are alike, and the
    # prior, which may be far wider, puts few draws there.
    drawn = covariances.draw(np.random.default_rng(0), _TO_SEE_A_PRIOR, K, problem.n_features)
    widths = np.sqrt(np.median(np.einsum("skii->ski", drawn), axis=(0, 1)))
    seen = np.sqrt(np.diag(problem.noise.typical)) * (2.0 * K / problem.noise.units) ** 0.25
    factor = min(1.0, _BELOW_WHAT_IS_SEEN * float((seen / widths).min()))
    prior = covariances.rescaled(np.full(problem.n_features, 1.0 / factor))
    out = [Unseen(problem=problem, base=base, which=which, prior=prior) for which in groups]
    # What tells little may leave all of them as the prior has them.
    return [*out, replace(out[-1], prior=covariances)] if factor < 1.0 else out
