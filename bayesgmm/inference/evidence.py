"""The marginal likelihood of a declaration, by several estimators."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._arguments import as_flag, as_instance, as_seed, as_written
from bayesgmm._errors import FitError, InputError, UnsupportedError
from bayesgmm._interrupts import Interrupts
from bayesgmm._status import Status
from bayesgmm.data import as_data
from bayesgmm.engines._adaptive import Adapted, adapted
from bayesgmm.engines._beyond_modes import newborn, unseen
from bayesgmm.engines._bridge import WORST_PARETO_K_OF_DRAWS, bridge, relative_error
from bayesgmm.engines._enumeration import log_evidence_by_enumeration
from bayesgmm.engines._labels import over_labels
from bayesgmm.engines._modes import effective_draws
from bayesgmm.engines._normal import NormalApproximation
from bayesgmm.engines._options import check_proper, check_whole
from bayesgmm.engines._posterior_modes import modes_of
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._progress import Progress
from bayesgmm.engines._telescoping import log_evidence_of_one, why_not
from bayesgmm.engines.base import Approximation, Array, Engine, Outcome, Parameters, Problem
from bayesgmm.engines.laplace import Laplace, approximated
from bayesgmm.engines.nuts import NUTS
from bayesgmm.engines.vb import VB
from bayesgmm.inference._comparison_arguments import refuse_known_labels
from bayesgmm.inference._evidence_prior import difference_from_fit, prior_in_words
from bayesgmm.inference._evidence_rows import (
    BOUND,
    ERRORS_APART,
    ESTIMATE,
    EXACT,
    EvidenceEstimator,
    EvidenceRow,
    checked,
)
from bayesgmm.inference._matched import matched_draws
from bayesgmm.inference._telescoping_estimator import Telescoping
from bayesgmm.model import GaussianMixture
from bayesgmm.numerics.threads import one_blas_thread

if TYPE_CHECKING:
    import xarray as xr

# Degrees of freedom of proposals. Log variances have exponential tails, which those of a Normal do not cover.
_TAILS = 6.0
_TAILS_OF_BRIDGE = 10.0
# So many optima get proposals of their own.
_MOST_MODES = 5
# Places beyond the modes overlap with all copies of them, of which there are too many with more components.
_MOST_BEYOND = 5
# Above, weights have no variance.
_FINE = 0.5
_TOO_MANY_COPIES = "more copies of the mode overlap than could be summed: the value is too high"


@dataclass(frozen=True, kw_only=True)
class VBBound(EvidenceEstimator):
    """The complete ELBO of variational Bayes, a lower bound, and beside it the symmetrised estimate.

    The bound is that of one copy of the mode. The estimate, E_q[log p - log q_sym] with q_sym the average of q over the
    permutations that leave the prior unchanged, counts all copies; it is a bound but for its Monte-Carlo error.

    Parameters
    ----------
    engine : VB
        Its draws serve the estimate.
    """

    engine: VB = field(default_factory=VB)

    def __post_init__(self) -> None:
        as_instance("VBBound.engine", self.engine, VB, "Give VB(...)")

    def rows(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> list[EvidenceRow]:
        outcome = self.engine.run(problem, rng, progress)
        assert outcome.approximation is not None
        elbo = outcome.objective["elbo"]
        converged = outcome.status is Status.CONVERGED
        note = "" if converged else outcome.status.value
        found = _weighed(problem, outcome.approximation, self.engine.draws, rng, progress)
        return [
            EvidenceRow(
                name="VB bound", kind=BOUND, value=elbo, labels="one copy of the mode", reliable=converged, note=note
            ),
            EvidenceRow(
                name="VB bound, symmetrised",
                kind=BOUND,
                value=float(found.log_ratios.mean()),
                error=float(found.log_ratios.std() / np.sqrt(found.log_ratios.size)),
                labels=found.labels,
                reliable=converged and found.complete,
                note=note or "its error is that of an expectation below the log evidence, not of the log evidence",
            ),
        ]


@dataclass(frozen=True, kw_only=True)
class LaplaceEvidence(EvidenceEstimator):
    """Laplace's formula at the mode, and beside it importance sampling.

    Proposals are Student t distributions with the modes and curvatures that the search found; they are moved and
    reshaped by what they have seen (Oh & Berger 1992).

    Parameters
    ----------
    engine : Laplace
        Finds the mode.
    draws : int
        For importance sampling; 0 leaves it out.
    """

    engine: Laplace = field(default_factory=Laplace)
    draws: int = 4000

    def __post_init__(self) -> None:
        as_instance("LaplaceEvidence.engine", self.engine, Laplace, "Give Laplace(...)")
        check_whole(self, "draws", least=0)

    def rows(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> list[EvidenceRow]:
        outcome = replace(self.engine, draws=4, chains=1, resample=False).run(problem, rng, progress)
        note = "" if outcome.status is Status.CONVERGED else outcome.status.value
        reports = [
            replace(each, end=None if each.end is None else problem.units.to_standard(each.end))
            for each in outcome.starts
        ]
        modes = modes_of(problem, reports, _MOST_MODES)
        return laplace_rows(problem, modes, self.draws, rng, progress, note)[0]


def laplace_rows(
    problem: Problem, modes: list[Parameters], draws: int, rng: np.random.Generator, progress: Progress, note: str = ""
) -> tuple[list[EvidenceRow], Adapted | None]:
    """Laplace's formula at the first mode, and importance sampling from all of them, which are in standard units."""
    mode = modes[0]
    normal = approximated(problem, mode)
    at = Parameters.stacked([mode])
    joint = float(problem.likelihoods(at)[0][0] + normal.log_prior(at)[0])
    copies = problem.model.log_symmetries()
    n_copies = round(np.exp(copies))
    plain = EvidenceRow(
        name="Laplace",
        kind=ESTIMATE,
        value=normal.log_integral(joint) + copies - problem.log_volume,
        labels=f"{n_copies} copies of the mode, taken as separate" if n_copies > 1 else "one copy of the mode",
        reliable=False,
        note=note or "its error is unknown without importance sampling",
    )
    if not draws:
        return [plain], None
    first = [normal.with_tails(_TAILS)]
    for other in modes[1:]:
        with suppress(FitError):  # a mode that is no hill adds nothing
            first.append(approximated(problem, other).with_tails(_TAILS))
    sampled = adapted(problem, first, _TAILS, draws, rng, progress)
    contradicted = ""
    if sampled.importance.pareto_k > _FINE and problem.K <= _MOST_BEYOND:
        # Most of the time because a component may be empty, or be narrower than errors let one see.
        further = [*unseen(problem, first[0]), *newborn(problem, rng)]
        again = adapted(problem, first, _TAILS, draws, rng, progress, further)
        contradicted = _contradiction(sampled, again)
        sampled = min(sampled, again, key=lambda each: each.importance.pareto_k)
    importance = sampled.importance
    far = f"Pareto k {importance.pareto_k:.2f}: the posterior is far from a Normal, value and error are guesses"
    fine = importance.reliable and sampled.complete and not note and not contradicted
    why = far if not importance.reliable else contradicted if sampled.complete else _TOO_MANY_COPIES
    corrected = EvidenceRow(
        name="Laplace, importance sampling",
        kind=ESTIMATE,
        value=importance.log_mean - problem.log_volume,
        error=importance.log_mean_error,
        labels=sampled.labels,
        pareto_k=importance.pareto_k,
        reliable=fine,
        note=note or why,
    )
    # The formula is wrong by what importance sampling corrects.
    error = float(np.hypot(corrected.value - plain.value, corrected.error)) if fine else np.nan
    guess = "a guess: the posterior is far from a Normal"
    off = "its error is the distance from importance sampling" if fine else guess
    return [replace(plain, reliable=fine, error=error, note=note or off), corrected], sampled


def _contradiction(one: Adapted, other: Adapted) -> str:
    """What two runs with different proposals disagree in, if their weights say that both are right."""
    a, b = one.importance, other.importance
    apart = abs(a.log_mean - b.log_mean)
    if not (a.reliable and b.reliable) or apart < ERRORS_APART * np.hypot(a.log_mean_error, b.log_mean_error):
        return ""
    return f"two sets of proposals give values {apart:.2f} nats apart: proposals miss a part of the posterior"


@dataclass(frozen=True, kw_only=True)
class Bridge(EvidenceEstimator):
    """Bridge sampling (Meng & Wong 1996; Fruehwirth-Schnatter 2004) from draws of the posterior.

    One half of the draws shapes the proposals, a Student t on the unconstrained scale averaged over the permutations
    of components that leave the prior unchanged; the other half and as many proposals give the value. Posterior and
    proposals have all copies of the mode, so that nothing is added for labels.

    Parameters
    ----------
    engine : NUTS or Laplace
        Where the draws come from. Those of Laplace do where its Pareto k is at most 0.5.
    """

    engine: Engine = field(default_factory=NUTS)

    def __post_init__(self) -> None:
        if not isinstance(self.engine, (NUTS, Laplace)):
            raise InputError("Bridge.engine", f"got {as_written(self.engine)}", "Give NUTS(...) or Laplace(...)")

    def rows(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> list[EvidenceRow]:
        return [bridged(problem, self.engine.run(problem, rng, progress), rng, progress)[0]]


def bridged(
    problem: Problem, outcome: Outcome, rng: np.random.Generator, progress: Progress
) -> tuple[EvidenceRow, Parameters]:
    """Bridge sampling from the draws of a fit, which are returned in standard units with matched labels."""
    draws, chains = matched_draws(problem, outcome)
    half = draws.means.shape[0] // 2
    # Every other draw, so that all chains are in both halves.
    first, second = np.arange(0, 2 * half, 2), np.arange(1, 2 * half, 2)
    proposals = NormalApproximation.of_draws(problem, draws.taken(first), _TAILS_OF_BRIDGE)
    at_posterior = _log_ratios(problem, proposals, draws.taken(second), progress)
    at_proposal = _weighed(problem, proposals, half, rng, progress)
    n_chains = chains if half % chains == 0 else 1
    # Draws that were resampled are there several times.
    times = np.unique(at_posterior.log_ratios, return_counts=True)[1]
    distinct = times.sum() ** 2 / np.square(times).sum()
    effective = min(distinct, effective_draws(at_posterior.log_ratios.reshape(n_chains, -1)))
    value, bottom, top = bridge(at_posterior.log_ratios, at_proposal.log_ratios, effective)
    error = relative_error(bottom, top, min(distinct, effective_draws(bottom.reshape(n_chains, -1))))
    fine = outcome.status in (Status.SAMPLED, Status.CONVERGED)
    note = "" if fine else outcome.status.value
    if fine and not (at_posterior.complete and at_proposal.complete):
        fine, note = False, _TOO_MANY_COPIES
    k = float(outcome.notes.get("pareto_k", np.nan))
    if k > WORST_PARETO_K_OF_DRAWS:
        fine, note = False, f"Pareto k {k:.2f}: the draws of Laplace are not near enough to those of the posterior"
    row = EvidenceRow(
        name="bridge, Laplace" if outcome.sampling is None else "bridge, NUTS",
        kind=ESTIMATE,
        value=value,
        error=error,
        labels=at_proposal.labels,
        pareto_k=k,
        reliable=fine,
        note=note,
    )
    return row, draws


@dataclass(frozen=True, kw_only=True)
class Enumeration(EvidenceEstimator):
    """The sum over all assignments of rows to components: exact, for conjugate declarations and very few rows."""

    def rows(self, problem: Problem, rng: np.random.Generator, progress: Progress) -> list[EvidenceRow]:
        value = log_evidence_by_enumeration(problem, progress) - problem.log_volume
        labels = "all labels are in the sum"
        return [EvidenceRow(name="enumeration", kind=EXACT, value=value, error=0.0, labels=labels)]


def log_evidence(
    model: GaussianMixture,
    data: Any,
    *,
    estimator: EvidenceEstimator | Sequence[EvidenceEstimator] | None = None,
    random_seed: int | np.random.Generator | None = None,
    progressbar: bool = True,
) -> xr.Dataset:
    """Estimate the log marginal likelihood log p(data | model), all constants included.

    It is that of the declared prior. What was left out is filled with one prior for every number of components, made
    from location and covariance of the data (`GaussianMixture.filled` for evidence; the result's ``prior``), which need
    not be that of `fit`. Evidence depends on the width of a prior however many rows there are: look at several, as
    `compare_components` does.

    Parameters
    ----------
    model : GaussianMixture
        Every part needs a proper prior.
    data : array-like, DataFrame, DataArray or Data
        (n_obs, n_features); whatever `as_data` takes.
    estimator : VBBound, LaplaceEvidence, Telescoping, Bridge or Enumeration, or several in a list
        If left out: `LaplaceEvidence`, after `VBBound` where the declaration is conjugate, and `Telescoping` where the
        rows are exact and few as well; what contradicts that is not ``reliable``.
    random_seed : int or numpy.random.Generator, optional
        A Generator gives one number as the seed and moves on.
    progressbar : bool

    Returns
    -------
    xarray.Dataset
        One row for each number along ``estimate``: ``value`` and ``error`` (Monte-Carlo standard error) in nats,
        ``kind`` ("bound", "estimate" or "exact"), ``labels`` (what was done about the K! copies of the mode),
        ``pareto_k``, ``reliable`` and ``note``. Values belong to densities in the data's units. Attributes have the
        ``prior`` and, where it differs from that of `fit`, how: ``differs_from_fit``.

    Raises
    ------
    InputError, UnsupportedError
        The latter where an estimator cannot do a declaration; it names what can.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> rows = bg.datasets.load_faithful().head(8)
    >>> found = bg.log_evidence(bg.GaussianMixture(2), rows, estimator=bg.Enumeration())
    >>> str(found["kind"].values[0])
    'exact'
    """
    with Interrupts():
        import xarray as xr

    if not isinstance(model, GaussianMixture):
        raise InputError("model", f"got {type(model).__name__}", "Give a GaussianMixture")
    seed, progressbar = as_seed(random_seed), as_flag("progressbar", progressbar)
    table = as_data(data)
    refuse_known_labels("log_evidence", table)
    problem = build_problem(model, table, who="log_evidence", for_evidence=True)
    check_proper("log_evidence", problem.declared, ": evidence is an average over it.")
    estimators = _defaults(problem) if estimator is None else _as_list(estimator)
    rng = np.random.default_rng(seed)
    found: list[EvidenceRow] = []
    with one_blas_thread(), Progress(progressbar) as progress:
        for each in estimators:
            found += each.rows(problem, rng, progress)
    found = checked(found)
    columns = {each.name: np.array([getattr(row, each.name) for row in found]) for each in fields(EvidenceRow)}
    names = columns.pop("name")
    return xr.Dataset(
        {name: ("estimate", column) for name, column in columns.items()},
        coords={"estimate": names},
        attrs={
            "meaning": "log p(data | model) in nats, densities in the data's units",
            "model": problem.declared.to_json(),
            "prior": prior_in_words(problem.declared),
            "differs_from_fit": difference_from_fit(problem.declared, build_problem(model, table).declared),
        },
    )


def _defaults(problem: Problem) -> list[EvidenceEstimator]:
    visits = [] if why_not(problem, problem.K) or np.isnan(log_evidence_of_one(problem)) else [Telescoping()]
    try:
        VB().check_problem(problem)
    except UnsupportedError:
        return [LaplaceEvidence(), *visits]
    return [VBBound(), LaplaceEvidence(), *visits]


def _as_list(estimator: Any) -> list[EvidenceEstimator]:
    several = list(estimator) if isinstance(estimator, (list, tuple)) else [estimator]
    for each in several:
        if not isinstance(each, EvidenceEstimator):
            hint = f"Write {each.__name__}()" if isinstance(each, type) else "Give VBBound(), LaplaceEvidence(), ..."
            raise InputError("estimator", f"got {as_written(each)}", f"{hint}; several go into a list")
    if not several:
        raise InputError("estimator", "got an empty list", "Give at least one estimator, or leave it out")
    return several


@dataclass(frozen=True, kw_only=True)
class _Weighed:
    """Log p - log q at draws, q averaged over labels, in the data's units."""

    log_ratios: Array
    labels: str
    complete: bool


def _weighed(
    problem: Problem, approximation: Approximation, size: int, rng: np.random.Generator, progress: Progress
) -> _Weighed:
    return _log_ratios(problem, approximation, approximation.draw(rng, size), progress)


def _log_ratios(problem: Problem, approximation: Approximation, points: Parameters, progress: Progress) -> _Weighed:
    likelihoods, _ = problem.likelihoods(points, progress, with_counts=False)
    q = over_labels(approximation, points, problem.model.keys())
    ratios = likelihoods + approximation.log_prior(points) - q.log_density - problem.log_volume
    return _Weighed(log_ratios=ratios, labels=q.describe(), complete=q.complete)
