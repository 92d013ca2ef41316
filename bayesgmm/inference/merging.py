"""Clusters that are made of several components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm._arguments import as_whole
from bayesgmm.inference.prediction import (
    chunks,
    interval,
    interval_convention,
    responsibilities_of,
    standardised,
    thinned_for,
)
from bayesgmm.inference.summaries import units_of
from bayesgmm.numerics.merging import ALIKE, DISTINCT, FEWEST_FOR_ELBOW, SEPARATE, Hierarchies, hierarchies, recommended
from bayesgmm.numerics.threads import n_processors
from bayesgmm.results.build import OCCUPIED

if TYPE_CHECKING:
    import xarray as xr

    from bayesgmm.results import FittedMixture

Array = NDArray[np.float64]

# Draws whose recommendations are compared, evenly spaced; fewer in `diagnose`, which should take no time.
_MOST_DRAWS, _FEW_DRAWS = 200, 40
# Logarithms for all of them together; where the rows are too many some are taken, at least the last number.
_MOST_LOGS, _FEW_LOGS = 40_000_000, 3_000_000
_FEWEST_ROWS = 200
# Share of the draws from which on `diagnose` calls a number of clusters stable.
STABLE = 0.8


def merge_components(fit: xr.DataTree, *, n_clusters: int | None = None) -> xr.Dataset:
    """Merge components into clusters: a cluster that is not Gaussian takes several components.

    Starting from the responsibilities of the fit, the two clusters are merged, again and again, whose merge lowers the
    entropy of the soft labels, ``-sum r log r``, most (Baudry et al. 2010). Rows that stand for several units count as
    often. The density of the fit does not change; its components are only counted together.

    Parameters
    ----------
    fit : DataTree
        From `fit`, or read back from its file.
    n_clusters : int, optional
        Into how many clusters to merge; the recommended number if left out.

    Returns
    -------
    xarray.Dataset
        The whole hierarchy, along ``n_clusters`` from 1 to K: ``entropy``, in nats; ``cluster_of`` (n_clusters,
        component), the number of the cluster that each component is in; and for the merge that led to so many clusters
        ``gain``, by how much the entropy fell, ``units_merged``, the expected units in the two clusters, and
        ``overlap``, the gain as a share of what it would be if the two could not be told apart (0 to 1).
        ``probability`` is the share of the posterior draws that recommend so many clusters; under `EM` all of it is on
        the number recommended at the mode.

        For the clusters: ``responsibilities`` (obs, cluster), sums of those of the components, with
        ``responsibilities_lower`` and ``_upper``, the interval of these sums over the draws (NaN without draws);
        ``label`` (obs), the name of the cluster with the largest one; ``units`` (cluster), the expected units.
        A cluster is named after its components.

        Attributes: ``message``, the finding in one sentence; ``recommended``; ``elbow``; ``draws``, how many were
        compared; ``share_of_draws``, how many of them recommend the same number, and ``share_same_clusters``, the very
        same clusters, as shares; ``rule``.

    Raises
    ------
    InputError
        If ``n_clusters`` is not a whole number from 1 to K.

    Notes
    -----
    The recommended number is at the bend of the entropy against the cumulative number of units merged: two lines with
    one point in common, fitted by least squares. With fewer than four components every bend fits, and in any case it
    can be neither at 1 nor at K. Two limits on the overlap make up for that: pairs with less than 0.05 are never
    merged, pairs with 0.25 or more always are (two Normals with the same sd, whatever their weights, 4.5 and 3 sds
    apart); with fewer than four components the second limit decides alone. A component in which not half a unit is
    expected is empty; it is merged before all others and counts for nothing.

    Merges go by the fall of the entropy of all rows, so that of two overlapping pairs the larger one comes first. A
    small pair may be left apart for that reason. The recommendation says what overlaps in the data at hand, not how
    many populations there are.

    Over draws the number is found from at most 200 of them and, where there are many rows, from a part of the rows.

    References
    ----------
    Baudry, J.-P., Raftery, A. E., Celeux, G., Lo, K. & Gottardo, R. (2010). Combining mixture components for
    clustering. Journal of Computational and Graphical Statistics 19, 332-353.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.GaussianMixture(3, covariances=bg.Tied())
    >>> three = bg.fit(model, bg.datasets.load_faithful(), random_seed=1)
    >>> bg.merge_components(three).attrs["message"]
    '3 Gaussian components form 2 clusters (in 100 % of the posterior draws).'
    """
    import xarray as xr

    from bayesgmm.results import read_result, sealed, stored_data

    fitted = read_result(fit)
    found = _found(fit, fitted, _MOST_DRAWS, _MOST_LOGS)
    K = len(fitted.components)
    chosen = (
        found.number
        if n_clusters is None
        else as_whole("n_clusters", n_clusters, least=1, most=K, hint=", or leave it out")
    )
    cluster_of = found.point.cluster_of[0]
    members = cluster_of[chosen - 1] == np.arange(chosen)[:, None]
    clusters = np.array([" + ".join(str(name) for name in fitted.components[own]) for own in members])
    r = responsibilities_of(fit) @ members.T
    lower, upper, how = _intervals(fitted, standardised(fitted, stored_data(fit)), members)
    by_number, by_cluster = (names.N_CLUSTERS,), (names.OBS, names.CLUSTER)
    out = xr.Dataset(
        {
            "entropy": (by_number, found.point.entropy[0]),
            "gain": (by_number, found.point.gain[0]),
            "units_merged": (by_number, found.point.units[0]),
            "overlap": (by_number, found.point.overlap[0]),
            "probability": (by_number, found.probability(K)),
            "cluster_of": ((names.N_CLUSTERS, names.COMPONENT), cluster_of),
            "responsibilities": (by_cluster, r),
            "responsibilities_lower": (by_cluster, lower),
            "responsibilities_upper": (by_cluster, upper),
            "label": ((names.OBS,), clusters[r.argmax(axis=1)]),
            "units": ((names.CLUSTER,), units_of(fit) @ r),
        },
        coords={
            names.N_CLUSTERS: np.arange(1, K + 1),
            names.COMPONENT: fitted.components,
            names.CLUSTER: clusters,
            names.OBS: fit[names.OBSERVED][names.OBS].to_numpy(),
        },
        attrs={
            "message": found.message(None if n_clusters is None else chosen),
            "n_clusters": chosen,
            "recommended": found.number,
            "elbow": "none: fewer than four components" if found.bend is None else found.bend,
            "occupied": found.occupied,
            "draws": found.numbers.size,
            "share_of_draws": found.share,
            "share_same_clusters": found.share_same,
            "rule": f"elbow of the entropy from {FEWEST_FOR_ELBOW} components on; overlaps below {SEPARATE:g} are "
            f"never merged, from {ALIKE:g} on always",
            names.INTERVAL: how,
        },
    )
    return sealed(out, "merge_components")


def clusters_check(fit: xr.DataTree) -> tuple[str, float, bool, str] | None:
    """The check of `diagnose`: whether components stably form fewer clusters; None for one component."""
    from bayesgmm.results import fitted_mixture

    fitted = fitted_mixture(fit)
    if len(fitted.components) == 1:
        return None
    found = _found(fit, fitted, _FEW_DRAWS, _FEW_LOGS)
    message = found.message(None)
    if found.number == found.occupied:
        return "clusters", float(found.number), True, message
    if found.numbers.size and found.share < STABLE:
        message = message.replace(" form ", " may form ") + " The number is not stable, so nothing follows from it."
        return "clusters", float(found.number), True, message
    if found.weakest < DISTINCT:
        # An arc cut into pieces and groups of their own look alike here, so that it is no finding.
        message = message.replace(" form ", " may form ") + (
            f" Two that are merged overlap by {found.weakest:.2f} only, as groups about 4 sds apart do, "
            "which may as well be clusters of their own. See merge_components."
        )
        return "clusters", float(found.number), True, message
    if not found.numbers.size:
        message += " How sure that is stays unknown without draws."
    message += " Components are Gaussians; clusters may be fewer. See merge_components."
    return "clusters", float(found.number), False, message


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The hierarchy at the fit's responsibilities, and what each draw recommends."""

    point: Hierarchies
    number: int
    bend: int | None
    numbers: NDArray[np.intp]
    same: NDArray[np.bool_]

    @property
    def occupied(self) -> int:
        return int(self.point.occupied[0])

    @property
    def weakest(self) -> float:
        """The least overlap of two occupied clusters that are merged; infinite if none are."""
        return float(self.point.overlap[0, self.number - 1 : self.occupied - 1].min(initial=np.inf))

    @property
    def share(self) -> float:
        """Share of the draws that recommend the same number; NaN without draws."""
        return float((self.numbers == self.number).mean()) if self.numbers.size else float("nan")

    @property
    def share_same(self) -> float:
        return float(self.same.mean()) if self.same.size else float("nan")

    def probability(self, K: int) -> Array:
        numbers = self.numbers if self.numbers.size else np.array([self.number])
        return (numbers[:, None] == np.arange(1, K + 1)).mean(axis=0)

    def message(self, asked: int | None) -> str:
        K = self.point.entropy.shape[1]
        if K == 1:
            return "The one Gaussian component is one cluster."
        empty = f", {K - self.occupied} of them empty," if self.occupied < K else ""
        some = "cluster" if self.number == 1 else "clusters"
        where = "at the mode; EM has no draws"
        if self.numbers.size:
            where = f"in {self.share:.0%} of the posterior draws".replace("%", " %")
            values, times = np.unique(self.numbers, return_counts=True)
            most = int(values[times.argmax()])
            if most != self.number:
                where += f"; {most} in {times.max() / self.numbers.size:.0%}".replace("%", " %")
        what = f"{K} Gaussian components{empty} form {self.number} {some} ({where})."
        if self.number == self.occupied:
            what = f"{K} Gaussian components{empty} form {self.number} {some}, none of them merged ({where})."
        return what if asked is None else f"{what} Merged into {asked} as asked."


def _found(fit: xr.DataTree, fitted: FittedMixture, most_draws: int, most_logs: int) -> _Found:
    from bayesgmm.results import stored_data

    table = stored_data(fit)
    r = responsibilities_of(fit).T
    # A row in which nothing was observed has the weights for responsibilities, and nothing could lower their entropy.
    units = np.where(np.isnan(table.values).all(axis=1), 0.0, units_of(fit))
    point = hierarchies(r[None], units, empty_below=OCCUPIED)
    number, bend = _number(point, 0)
    numbers, same = np.empty(0, dtype=np.intp), np.empty(0, dtype=bool)
    if fitted.draws is not None and len(r) > 1:
        draws = fitted.draws.thinned(most_draws)
        K, S = len(r), len(draws)
        x, seen = standardised(fitted, table), np.flatnonzero(units > 0)
        most = max(_FEWEST_ROWS, int(most_logs / (1.5 * K**2 * S)))
        if seen.size > most:
            # The same rows in every call, so that the same fit gets the same shares.
            seen = np.sort(np.random.default_rng(0).choice(seen, most, replace=False))
        part = x if seen.size == x.n_rows else x.taken(seen)
        at = draws.standardised(fitted.center, fitted.scale)
        of_draws, _ = part.rowwise_of_many(*at, noise_factors=draws.noise_factors, n_threads=n_processors())
        fewer = units[seen].sum() / units.sum()
        each = hierarchies(of_draws, units[seen], empty_below=OCCUPIED * fewer)
        numbers = np.array([_number(each, s)[0] for s in range(S)])
        partition = each.cluster_of[np.arange(S), numbers - 1]
        same = (partition == point.cluster_of[0, number - 1]).all(axis=1)
    return _Found(point=point, number=number, bend=bend, numbers=numbers, same=same)


def _number(found: Hierarchies, s: int) -> tuple[int, int | None]:
    """Recommended number of clusters, and the elbow, of one of many hierarchies."""
    m = int(found.occupied[s])
    return recommended(found.entropy[s, :m], found.units[s, :m], found.overlap[s, :m])


def _intervals(fitted: FittedMixture, x: Any, members: NDArray[np.bool_]) -> tuple[Array, Array, str]:
    """Interval of the responsibilities (n, clusters): of their sums within each draw, never sums of interval ends."""
    lower, upper = np.full((2, x.n_rows, len(members)), np.nan)
    if fitted.draws is None:
        return lower, upper, "none: EM has no draws; fit with VB or NUTS for intervals"
    draws = thinned_for(fitted.draws, x.n_rows, len(fitted.components))
    kind, probability = interval_convention()
    for rows, r, _ in chunks(fitted, draws, x):
        low, high = interval(np.einsum("ck,skn->scn", members.astype(float), r), kind, probability)
        lower[rows], upper[rows] = low.T, high.T
    return lower, upper, f"{probability:.0%} {kind} over {len(draws)} draws"
