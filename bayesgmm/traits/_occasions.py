"""Who changed type, where the same individuals were measured on two occasions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesgmm._arguments import as_flag, as_seed, as_text, as_whole
from bayesgmm._errors import FitError, InputError
from bayesgmm.data import RowsBeside, as_data, describe_columns, read_labels
from bayesgmm.engines._importance import resampled
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters
from bayesgmm.inference.prediction import interval, interval_convention
from bayesgmm.traits._measurements import Measurements, measurements
from bayesgmm.traits._models import DISCRETE, MIXED, Question
from bayesgmm.traits._weigh import integrated

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

_KEPT, _FEWEST_DRAWS = 1000, 200
# The likelihood is a polynomial in the covariance of the types, of as many degrees as there are pairs. Gauss-Legendre
# nodes integrate it exactly up to twice their number; beyond, they still lie densely where it piles up, at the ends.
_MOST_NODES = 200
# Midpoints of the correlation that individuals' deviations from their types may have.
_CORRELATIONS = (np.arange(10) + 0.5) / 10
# Shares of joint types, Dirichlet(1, 1, 1, 1), over those of each occasion, each uniform.
_LOG_PRIOR = float(np.log(6.0))
# The first type on both occasions, on the first alone, on the second alone, on none.
_STATES = ((0, 0), (0, 1), (1, 0), (1, 1))


def change_of_type(
    data: Any,
    *,
    value: str | list[str],
    individual: str,
    occasion: str,
    error: str | float | Array | None = None,
    error_df: float | None = None,
    spread: bool = True,
    centre: float | None = None,
    scale: float | None = None,
    draws: int = 2000,
    random_seed: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Who changed type between two occasions, and how the share of each type changed.

    There are two types, "low" and "high", with the same means on both occasions. What an individual is on the first and
    on the second is one of four joint types, whose shares have a Dirichlet(1, 1, 1, 1) prior; so a quarter of a share
    that changes one way or the other is as probable beforehand as any other. Individuals seen once count for the
    occasion on which they were seen.

    Parameters
    ----------
    data : DataFrame
        One row for each measurement, or each individual and occasion.
    value : str or list of str
        Column with the measurements, or columns with repeats.
    individual, occasion : str
        Columns. There are two occasions, the first the one that comes first in the table.
    error, error_df
        As in `measurements`.
    spread : bool
        Whether individuals of a type differ, as in the hypothesis "mixed". Part of how an individual differs from its
        type may stay with it; the correlation between its two deviations has a uniform prior from 0 to 1. If False all
        that is left within a type is error of measurement.
    centre, scale : float, optional
        As in `discreteness`.
    draws : int
        Of the importance sampling.
    random_seed : int or numpy.random.Generator, optional
        A Generator gives one number as the seed and moves on.

    Returns
    -------
    xarray.Dataset
        Draws of the posterior: ``joint`` (draw, before, after), shares of joint types; ``share`` (draw, occasion,
        type); ``change`` (draw) of the share of "high"; ``changed`` (draw), the share of individuals that changed type;
        ``type_mean`` (draw, type); if `spread`, ``type_sd`` (draw, type) and ``correlation`` (draw). Intervals and
        probabilities: ``change_lower`` and ``_upper``, ``changed_lower`` and ``_upper``, ``probability_of_increase``;
        ``individual_joint`` (individual, before, after), what those seen twice were. ``effective_draws``,
        ``pareto_k`` and ``reliable`` say how far the draws may be trusted; the Monte-Carlo error of a mean is about
        1 / sqrt(effective_draws) posterior sds.

    Raises
    ------
    InputError
        Without two occasions, without anybody who was seen on both, and as in `measurements`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from bayesgmm import traits
    >>> rng = np.random.default_rng(1)
    >>> table = pd.DataFrame({"bird": np.tile(np.repeat(np.arange(30), 2), 2), "season": np.repeat(["dry", "wet"], 60)})
    >>> long = table["bird"] < np.where(table["season"] == "dry", 10, 15)
    >>> table["bill"] = np.where(long, 14.0, 10.0) + rng.normal(0, 0.5, 120)
    >>> found = traits.change_of_type(table, value="bill", individual="bird", occasion="season", random_seed=1)
    >>> bool(abs(found["changed"].mean() - 5 / 30) < 0.1)
    True
    """
    seed, draws = as_seed(random_seed), as_whole("draws", draws, least=_FEWEST_DRAWS)
    spread = as_flag("spread", spread)
    seen = _read(data, value, individual, occasion, error, error_df)
    question = Question.about(seen.known, 2, centre, scale, False)
    kind = MIXED if spread else DISCRETE
    model = next(each.model for each in question.hypotheses(seen.known) if each.kind == kind)
    names = np.asarray(seen.occasions)[seen.when]
    rng = np.random.default_rng(seed)
    problem = build_problem(model, as_data(seen.known.to_data(), groups=names), n_threads=1)
    try:
        sampled = integrated(problem, draws, rng)
    except FitError as failed:
        raise FitError(f"The two types could not be fitted: {failed}") from None
    # `Data` may number the groups in another order.
    order = [list(np.unique(names)).index(each) for each in seen.occasions]
    points = problem.units.to_data(sampled.points)
    points = replace(points, log_weights=points.log_weights[:, order])
    surface = _Surface.of(seen, points, _CORRELATIONS if spread else np.zeros(1))
    importance = sampled.importance.reweighted(surface.log_integrals)
    return _dataset(seen, surface, importance, sampled.complete, spread, rng)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Individuals on occasions, `known` one by one; `pairs` (n, 2) are the places in it of those seen on both."""

    known: Measurements
    when: NDArray[np.intp]
    occasions: list[Any]
    pairs: NDArray[np.intp]
    people: NDArray[Any]


def _read(data: Any, value: Any, individual: str, occasion: str, error: Any, error_df: Any) -> _Seen:
    import narwhals as nw

    frame = nw.from_native(data, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        raise InputError("data", f"got {type(data).__name__}", "Give a dataframe with a row for each measurement")
    for name, column in (("individual", individual), ("occasion", occasion)):
        as_text(name, column)
        if column not in frame.columns:
            raise InputError(name, f"data has no column {column!r}", f"It has {describe_columns(frame.columns)}")
        if frame[column].is_null().any():
            row = int(np.argmax(frame[column].is_null().to_numpy()))
            raise InputError(name, f"column {column!r} has no label in row {row}", "Say who was measured, and when")
    rows = RowsBeside(n=len(frame))
    people, who = np.unique(read_labels("individual", frame[individual].to_native(), rows), return_inverse=True)
    on = read_labels("occasion", frame[occasion].to_native(), rows)
    labels, first, when = np.unique(on, return_index=True, return_inverse=True)
    if labels.size != 2:
        raise InputError("occasion", f"column {occasion!r} has {labels.size} different labels", "Give two occasions")
    if first[0] > first[1]:
        labels, when = labels[::-1], 1 - when
    key = f"{individual}, {occasion}"
    codes = nw.new_series(key, 2 * who + when, backend=frame.implementation)
    known = measurements(
        frame.with_columns(codes).to_native(), value=value, individual=key, error=error, error_df=error_df
    )
    codes = known.individuals.astype(int)
    places = dict(zip(codes.tolist(), range(codes.size), strict=True))
    both = [code for code in codes.tolist() if code % 2 == 0 and code + 1 in places]
    if not both:
        hint = "Compare the weights of groups instead: fit(model, as_data(..., groups=occasions))"
        raise InputError("individual", "nobody was measured on both occasions", hint)
    pairs = np.array([[places[code], places[code + 1]] for code in both])
    return _Seen(
        known=known, when=codes % 2, occasions=labels.tolist(), pairs=pairs, people=people[np.array(both) // 2]
    )


@dataclass(frozen=True, kw_only=True)
class _Surface:
    """How much better pairs are explained than by types that are independent, at S draws with two occasions.

    The covariance of "low on the first" and "low on the second" lies between limits that the shares set; with the
    correlation of deviations it is integrated over a grid of C x M.

    Attributes
    ----------
    weights : (S, 2, 2) array
        By occasion and type, types in the order of their means.
    means, sds : (S, 2) arrays
    covariances : (S, M) array
    correlations : (C,) array
    log_terms : (S, C, M) array
        Log likelihood ratios with prior and weights of the quadrature.
    log_pairs : function of a draw
        Log densities (C, n, 4) of pairs in each joint type, relative to independent types.
    """

    weights: Array
    means: Array
    sds: Array
    covariances: Array
    correlations: Array
    log_terms: Array
    log_pairs: Any

    @property
    def log_integrals(self) -> Array:
        """(S,)."""
        return np.asarray(logsumexp(self.log_terms, axis=(1, 2)))

    def joint(self, draw: int, node: int) -> Array:
        """Shares of joint types (2, 2)."""
        w, delta = self.weights[draw], self.covariances[draw, node]
        return np.maximum(np.outer(w[0], w[1]) + delta * np.array([[1.0, -1.0], [-1.0, 1.0]]), 0.0)

    @classmethod
    def of(cls, seen: _Seen, points: Parameters, correlations: Array) -> _Surface:
        """At draws in the data's units, weights (S, 2 occasions, 2 types)."""
        order = np.argsort(points.means[..., 0], axis=1)
        means = np.take_along_axis(points.means[..., 0], order, axis=1)
        sds = np.take_along_axis(points.choleskys[..., 0, 0], order, axis=1)
        weights = np.take_along_axis(np.exp(points.log_weights), order[:, None], axis=2)
        scales = np.exp(np.broadcast_to(points.log_noise, len(means)))
        y, errors = seen.known.means[seen.pairs], seen.known.errors[seen.pairs]

        def log_pairs(s: int) -> Array:
            return _log_pairs(y, np.square(scales[s] * errors), means[s], sds[s], weights[s], correlations)

        low, first, second = weights[:, :, 0], weights[:, 0, 0], weights[:, 1, 0]
        least = -np.minimum(first * second, (1.0 - first) * (1.0 - second))
        most = np.minimum(low[:, 0] * (1.0 - second), (1.0 - first) * low[:, 1])
        nodes, shares = np.polynomial.legendre.leggauss(min(len(y) // 2 + 1, _MOST_NODES))
        covariances = least[:, None] + 0.5 * (1.0 + nodes) * (most - least)[:, None]
        constant = np.log(0.5 * shares) + np.log(most - least)[:, None] + _LOG_PRIOR - np.log(correlations.size)
        log_terms = np.empty((len(means), correlations.size, nodes.size))
        for s in range(len(means)):
            each = np.exp(log_pairs(s))
            w = weights[s]
            independent = each @ np.outer(w[0], w[1]).ravel()
            slope = each @ np.array([1.0, -1.0, -1.0, 1.0])
            # Rounding alone makes it negative.
            ratio = independent[:, None] + slope[:, None] * covariances[s][:, None]
            log_terms[s] = np.log(np.maximum(ratio, np.finfo(float).tiny)).sum(axis=2) + constant[s]
        return cls(
            weights=weights,
            means=means,
            sds=sds,
            covariances=covariances,
            correlations=correlations,
            log_terms=log_terms,
            log_pairs=log_pairs,
        )


def _log_pairs(y: Array, errors: Array, means: Array, sds: Array, weights: Array, correlations: Array) -> Array:
    """Log densities (C, n, 4) of pairs y (n, 2) with error variances (n, 2), relative to independent types."""
    away = y[..., None] - means  # (n, 2, 2): occasion, type
    variances = errors[..., None] + np.square(sds)
    alone = -0.5 * (np.square(away) / variances + np.log(variances))
    with np.errstate(divide="ignore"):
        marginal = np.logaddexp.reduce(alone + np.log(weights), axis=2).sum(axis=1)
    out = np.empty((correlations.size, len(y), 4))
    for state, (a, b) in enumerate(_STATES):
        v, u, dv, du = variances[:, 0, a], variances[:, 1, b], away[:, 0, a], away[:, 1, b]
        c = correlations[:, None] * sds[a] * sds[b]
        determinant = v * u - c * c
        square = (u * dv * dv - 2.0 * c * dv * du + v * du * du) / determinant
        out[..., state] = -0.5 * (square + np.log(determinant)) - marginal
    return out


def _dataset(
    seen: _Seen, surface: _Surface, importance: Any, complete: bool, spread: bool, rng: np.random.Generator
) -> xr.Dataset:
    import xarray as xr

    kept = resampled(importance, _KEPT, rng)
    joint, correlation = np.empty((_KEPT, 2, 2)), np.empty(_KEPT)
    individuals = np.zeros((len(seen.pairs), 4))
    for i, s in enumerate(kept.tolist()):
        terms = surface.log_terms[s].ravel()
        place = rng.choice(terms.size, p=np.exp(terms - np.logaddexp.reduce(terms)))
        c, node = np.unravel_index(place, surface.log_terms[s].shape)
        joint[i], correlation[i] = surface.joint(s, int(node)), surface.correlations[c]
        each = np.exp(surface.log_pairs(s)[c]) * joint[i].ravel()
        individuals += each / each.sum(axis=1, keepdims=True) / _KEPT
    share = np.stack([joint.sum(axis=2), joint.sum(axis=1)], axis=1)
    change, changed = share[:, 1, 1] - share[:, 0, 1], joint[:, 0, 1] + joint[:, 1, 0]
    probability = interval_convention()[1]
    variables: dict[str, Any] = {
        "joint": (("draw", "before", "after"), joint),
        "share": (("draw", "occasion", "type"), share),
        "change": ("draw", change),
        "changed": ("draw", changed),
        "type_mean": (("draw", "type"), surface.means[kept]),
        "individual_joint": (("individual", "before", "after"), individuals.reshape(-1, 2, 2)),
        "probability_of_increase": float((change > 0).mean()),
        "effective_draws": importance.effective,
        "pareto_k": importance.pareto_k,
        "reliable": importance.reliable and complete,
    }
    if spread:
        variables |= {"type_sd": (("draw", "type"), surface.sds[kept]), "correlation": ("draw", correlation)}
    for name, each in (("change", change), ("changed", changed)):
        low, high = interval(each, "eti", probability)
        variables |= {f"{name}_lower": low, f"{name}_upper": high}
    types = ["low", "high"]
    coords = {"occasion": seen.occasions, "type": types, "before": types, "after": types}
    return xr.Dataset(
        variables,
        coords={**coords, "individual": [str(label) for label in seen.people]},
        attrs={
            "trait": seen.known.trait,
            "interval": probability,
            "n_pairs": len(seen.pairs),
            "n_once": int(seen.known.n - 2 * len(seen.pairs)),
            "error_sd": seen.known.error_sd,
        },
    )
