"""What `fit` says at once about a result whose numbers are not what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._words import counted
from bayesgmm.engines._importance import WORST_PARETO_K
from bayesgmm.engines._support import gain_of_last
from bayesgmm.engines._tails import heavy_tails
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.inference.summaries import label_rows
from bayesgmm.results.order import canonical_order
from bayesgmm.results.read import fitted_mixture

if TYPE_CHECKING:
    import xarray as xr

# Nats for each number of the last component below which it describes nothing that rows of K - 1 groups would not show
# by chance (AIC3; Bozdogan 1994).
_A_NUMBER = 1.5
# Share of the posterior draws in which some component holds not half a row.
_LIKELY = 0.5


class FewerGroupsWarning(UserWarning):
    """The rows hold fewer groups than there are components; the message says which are without, and what to try."""


class NotGaussianWarning(UserWarning):
    """The rows of a component have far heavier tails than a Gaussian's; the message says whose, and what to try."""


class UncalibratedWarning(UserWarning):
    """Intervals of the engine that `fit` chose may not hold; the message says why and what would help."""


def fewer_groups(fit: xr.DataTree) -> str:
    """A sentence or two where not every component holds rows, and nothing where all do."""
    fitted = fitted_mixture(fit)
    # With a prior on K nobody asked for so many components.
    if names.ALL_DRAWS in fit.children or fitted.model.weights.empties:
        return ""
    K, needed = len(fitted.components), fitted.model.rows_needed(len(fitted.feature_names))
    if K == 1 or not needed:
        return ""
    rows = label_rows(fit)
    without = [f"{name} ({_units(n)})" for name, n in zip(fitted.components, rows, strict=True) if n < needed]
    said = []
    if without:
        few = f"fewer than the {needed} that a covariance is estimated from" if needed > 1 else "none"
        said.append(
            f"{K - len(without)} of {K} components hold enough rows; by the labels {', '.join(without)} hold {few}"
        )
    if names.POSTERIOR in fit.children:
        empty = float((fit[names.POSTERIOR]["n_occupied"].to_numpy() < K).mean())
        if empty >= _LIKELY:
            said.append(f"in {empty:.0%} of the draws a component holds no row")
    if not said:
        return ""
    return (
        f"{'; '.join(said)}. The rows may hold fewer groups than the {K} that were asked for: try fewer components, "
        "look at `compare_components`, or tell more by the prior (Tied covariances, a Dirichlet with larger numbers)."
    )


def hardly_supported(problem: Problem, point: Parameters) -> str:
    """A sentence where one component less describes the rows nearly as well, and nothing elsewhere.

    There an interval holds what the prior and chance make of the rows, and which groups they are cut into is a guess.
    """
    if problem.model.weights.empties:
        return ""
    found = gain_of_last(problem, problem.units.to_standard(point))
    if found is None or found[0] >= _A_NUMBER * found[1]:
        return ""
    gain, free = found
    K = problem.K
    return (
        f"The rows hardly tell {K} groups from {K - 1}: the log-likelihood is {max(gain, 0.0):.1f} higher for {free} "
        f"numbers more, and {_A_NUMBER * free:.1f} would speak for them (AIC3). Where the groups lie, how large they "
        "are and which rows belong to them rests on the prior and on chance: try fewer components, or look at "
        "`compare_components`."
    )


def not_gaussian(problem: Problem, point: Parameters, components: NDArray[Any]) -> str:
    """A sentence where the rows of a component have far heavier tails than a Gaussian's, and nothing elsewhere.

    The best mixture of Gaussians then spends components on shapes, and need not find the groups that are looked for.
    """
    in_order = point.reordered(canonical_order(problem, point))
    found = heavy_tails(problem, problem.units.to_standard(in_order))
    if found is None:
        return ""
    return (
        f"The rows of component {components[found.component]} are not like a Gaussian's: their tails are heavier "
        f"(Mardia's kurtosis is {found.ratio:.2f} times as large, by {found.errors:.0f} standard errors). Components "
        "may stand for the shape of a group and not for a group: transform skewed columns, look for outliers, or give "
        "more components and join them with `merge_components`."
    )


def uncalibrated(fit: xr.DataTree) -> str:
    """A sentence where the chosen engine approximates the posterior and its check failed, and nothing elsewhere."""
    k = float(fit.attrs.get(names.PARETO_K, 0.0))
    if k <= WORST_PARETO_K:
        return ""
    how_far = "could not be told" if np.isnan(k) else f"is {k:.2f}, above {WORST_PARETO_K}"
    return (
        f"Pareto k of the importance weights of {fit.attrs[names.ENGINE]} {how_far}: the posterior is far from what it "
        "is approximated by, and intervals may be too narrow. engine=NUTS() samples it and takes longer; fewer "
        "components or features, or stronger priors, make it simpler."
    )


def _units(n: float) -> str:
    return counted(int(n), "row") if n == int(n) else f"{n:.1f} rows"
