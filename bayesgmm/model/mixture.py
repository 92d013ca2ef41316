"""The declaration: what is believed about a Gaussian mixture before the data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np

from bayesgmm._arguments import as_whole, as_written, is_several, is_whole
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model._defaults import default_means, default_weights
from bayesgmm.model._describe import describe_mixture
from bayesgmm.model._interfaces import CovariancePrior, Covariances, Means
from bayesgmm.model._spec import Array, Spec, show
from bayesgmm.model._weights_interface import Weights
from bayesgmm.model.flat import Flat, as_covariance_prior, as_means, as_weights
from bayesgmm.model.groups import in_groups
from bayesgmm.model.hierarchical import HierarchicalInverseWishart
from bayesgmm.model.inverse_wishart import InverseWishart
from bayesgmm.model.means import ConjugateMeans, NormalMeans
from bayesgmm.model.number_priors import NumberPrior
from bayesgmm.model.sparse import SparseDirichlet
from bayesgmm.model.structures import Full
from bayesgmm.model.weights import Dirichlet

# For evidence, scales are those for so many components whatever their number: in logarithms, the middle of 1 to 9.
_NUMBER_FOR_EVIDENCE = 3
# More would not be told apart by any data, and arrays of them would not be held by any machine.
_MOST_COMPONENTS = 1_000_000
# Draws of means that are tried until all of them are above a bound.
_MOST_DRAWS = 10_000


@dataclass(frozen=True, repr=False)
class GaussianMixture(Spec):
    """A Gaussian mixture with priors.

    Parameters
    ----------
    n_components : int or prior on it
        Number of components K, or for `Gibbs` what is believed about it: ``1 + BetaNegativeBinomial(1, 4, 3)``,
        ``1 + Poisson(mu)``, ``1 + Geometric(p)`` or ``UniformComponents(most)``.
    weights : Dirichlet, SparseDirichlet, StickBreaking, FixedWeights, HardyWeinberg, PoissonWeights or Flat, optional
        If left out, ``Dirichlet(1 + sqrt((d + 1) / 2))``, or ``Dirichlet(2)`` where covariances are not full, and
        ``SparseDirichlet(FDistribution(6, 3))`` under a prior on K.
    means : ConjugateMeans, NormalMeans, FixedMeans, EvenlySpacedMeans, SaturatingMeans or Flat, optional
        If left out, ``ConjugateMeans(precision_scale=0.05)`` (0.01 under a prior on K) where covariances are
        inverse-Wishart and ``NormalMeans()`` elsewhere, with numbers from the data.
    covariances : Full, Diagonal, Spherical, Tied, FixedCovariances, ConstantCV, LinearVariance or a prior, optional
        A bare prior means ``Full(prior)``; ``Full(InverseWishart())`` with numbers from the data if left out: the scale
        rests on W, the covariance that a component is expected to have. It is the one under which the groups that
        k-means and EM find are likeliest, and not the covariance of the data, which holds the spread between groups.
    component_names : sequence of K str, optional
        Names for the table; components are called 0, 1, ... otherwise.

    Raises
    ------
    InputError
        If a part is of the wrong kind or a number is out of range.

    Examples
    --------
    >>> model = GaussianMixture(2)
    >>> GaussianMixture.from_json(model.to_json()) == model
    True
    """

    n_components: int | NumberPrior
    _: KW_ONLY
    weights: Weights | Flat | None = None
    means: Means | Flat | None = None
    covariances: Covariances | Spec | None = None
    component_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        K = self.n_components
        if isinstance(K, NumberPrior):
            self._check_exchangeable(K)
            K = 1
        else:
            hint = ", or a prior such as 1 + BetaNegativeBinomial(1, 4, 3)"
            K = as_whole("GaussianMixture.n_components", K, least=1, most=_MOST_COMPONENTS, hint=hint)
            self._set("n_components", K)
        if self.weights is not None:
            self._set("weights", as_weights(self.weights))
            self.weights.resolved(K)  # type: ignore[union-attr]  # sizes are known here, so a wrong one is caught here
        if self.means is not None:
            self._set("means", as_means(self.means))
        if self.covariances is not None and not isinstance(self.covariances, Covariances):
            self._set("covariances", Full(as_covariance_prior(self.covariances, "covariances")))
        if self.component_names is not None:
            names = self.component_names
            names = tuple(names) if is_several(names) else (names,)
            name: Any
            for name in names:
                fine = isinstance(name, str) or (is_whole(name) and abs(name) < 10**18)
                self._check("component_names", fine, f"got {as_written(name)}", "Give strings")
            names = tuple(map(str, names))
            self._check(
                "component_names",
                len(names) == K and len(set(names)) == K,
                f"got {as_written(names)} for n_components = {K}",
                "Give one name for each component, all different",
            )
            self._set("component_names", names)

    def filled(
        self,
        mean: Array,
        covariance: Array,
        n_groups: int | None = None,
        *,
        within: Array | None = None,
        keep_sparse: bool = False,
        for_evidence: bool = False,
    ) -> FilledMixture:
        """This model with every part that was left out taken from the data's mean (d,) and covariance (d, d).

        The defaults are weak and change with the data's units as the structure does. For a known number of components
        they keep all of them occupied where the rows allow it: weights Dirichlet(1 + sqrt(r / 2)), where r is the
        number of rows from which a covariance can be estimated (d + 1 for full ones, 2 for others); means
        Normal(mean, Sigma_k / 0.05) for inverse-Wishart covariances, and otherwise independent Normals of 10 standard
        deviations; covariances InverseWishart(d + 2, 2/3 (d + 2) W), or its one-dimensional form with 3 degrees of
        freedom where the structure has separate variances. W is `within` (d, d), the covariance that one component is
        expected to have, which the caller has learnt from the rows; without it the scale is cov K^(-2/d) (Fraley &
        Raftery 2007). Under a prior on K this is the model for as many components as are expected, rounded. There, and
        under weights that are meant to leave components empty (`SparseDirichlet`, `StickBreaking`, concentrations
        below 1), means are Normal(mean, Sigma_k / 0.01) and the scale is cov K^(-2/d). Because defaults are centred
        and scaled by the data this is empirical Bayes. With `n_groups` each group has weights of its own.
        `SparseDirichlet` with a number becomes a `Dirichlet`, unless `keep_sparse`.

        `for_evidence` fills with one prior of a component for every number of them, so that evidences of different
        numbers differ by the number alone. Scales have to be multiples of the data's covariance, because nothing else
        changes as the data do under every affine map; equal components that share out an ellipsoid have covariance
        cov K^(-2/d), and K = 3, the middle on the logarithmic scale of 1 to 9, stands for all. Weights are
        Dirichlet(1), uniform for every K.
        """
        K, d = self.typical_number, mean.size
        random = isinstance(self.n_components, NumberPrior)
        covariances = self.covariances if self.covariances is not None else Full(InverseWishart())
        assert isinstance(covariances, Covariances)
        means = self.means
        if means is None:
            known_number = not (random or for_evidence or self.empties)
            means = default_means(covariances, known_number=known_number)
        weights = self.weights
        if weights is None:
            weights = Dirichlet(1.0) if for_evidence else default_weights(random, covariances.fewest_rows(d))
        if isinstance(weights, SparseDirichlet) and not (weights.random or random or keep_sparse):
            weights = weights.shared_out(K)
        # Where all features share one unit, widths of means must not depend on the choice of axes either.
        for_means = np.eye(d) * np.trace(covariance) / d if covariances.common_scale() else covariance
        scaled_for = _NUMBER_FOR_EVIDENCE if for_evidence else K
        means = as_means(means).filled(mean, for_means, scaled_for).resolved(K, d)
        covariances = covariances.filled(covariance, scaled_for, within).resolved(K, d)
        covariances.check_means(means)
        return FilledMixture(
            n_components=K,
            weights=in_groups(as_weights(weights), n_groups).resolved(K),
            means=means,
            covariances=covariances,
            component_names=self.component_names,
        )

    def describe(self) -> str:
        return describe_mixture(self)

    def __repr__(self) -> str:
        # What will be used says more than the constructor's arguments, of which most are None or hundreds of numbers.
        return self.describe()

    @property
    def empties(self) -> bool:
        """Whether the prior on the weights is meant to leave components empty."""
        return isinstance(self.weights, Weights) and self.weights.empties

    @property
    def typical_number(self) -> int:
        """The number of components, or the expected one under a prior on it."""
        return self.n_components.typical() if isinstance(self.n_components, NumberPrior) else self.n_components

    def only_by_gibbs(self) -> list[str]:
        """What only `Gibbs` can sample, as it is written."""
        prior = self.covariances.innermost if isinstance(self.covariances, Covariances) else None
        found = [f"n_components={self.n_components}"] if isinstance(self.n_components, NumberPrior) else []
        for name, part in (("weights", self.weights), ("covariances", prior)):
            if part is not None and getattr(part, "only_by_gibbs", False):
                found.append(f"{name}={part}")
        return found

    def refuse(self, who: str) -> None:
        """Raise if this has no density of a fixed number of parameters, which `who` needs."""
        found = self.only_by_gibbs()
        if found:
            instead = "Use fit(model, data, engine=Gibbs()), or fixed numbers in their place."
            raise UnsupportedError(who, " and ".join(found), instead)

    def _check_exchangeable(self, number: NumberPrior) -> None:
        """Components that come and go must have the same prior."""
        none = not np.isfinite(number.log_probability(np.array([0]))[0])
        hint = f"Write 1 + {number}"
        self._check("n_components", none, f"{number} has K = 0, and there is always a component", hint)
        weights, means = self.weights, self.means
        alike = weights is None or isinstance(weights, SparseDirichlet)
        alike = alike or (isinstance(weights, Dirichlet) and np.ndim(weights.concentration) == 0)
        if not alike:
            raise UnsupportedError(
                f"n_components={number}",
                f"weights={weights}",
                "Use SparseDirichlet(...) or Dirichlet with one number.",
            )
        alike = means is None
        if isinstance(means, (ConjugateMeans, NormalMeans)):
            numbers = (means.loc,) if isinstance(means, ConjugateMeans) else (means.mu, means.sigma)
            alike = all(each is None or np.ndim(each) < 2 for each in numbers)
        if not alike:
            raise UnsupportedError(
                f"n_components={number}",
                f"means={means}",
                "Use ConjugateMeans or NormalMeans without rows.",
            )
        prior = self.covariances.innermost if isinstance(self.covariances, Covariances) else self.covariances
        if isinstance(prior, CovariancePrior) and prior.n_components is not None:
            raise UnsupportedError(
                f"n_components={number}", f"{prior}, with numbers for each component", "Use one df and one scale."
            )
        named = "components that come and go have no names"
        self._check("component_names", self.component_names is None, named, "Leave them out")


@dataclass(frozen=True, repr=False)
class FilledMixture(GaussianMixture):
    """A `GaussianMixture` in which every number is written out. Made by fitting, not by hand."""

    n_components: int  # type: ignore[assignment]
    weights: Weights  # type: ignore[assignment]
    means: Means  # type: ignore[assignment]
    covariances: Covariances  # type: ignore[assignment]
    # Components that some rows are known to come from, so that they keep their numbers.
    known: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("weights", "means", "covariances"):
            self._check(name, getattr(self, name) is not None, "was left out", "Declare a GaussianMixture and fit it")
        self._check("n_components", isinstance(self.n_components, int), "is a prior", "Give a number of components")

    @property
    def proper(self) -> bool:
        """Whether every part is a probability distribution."""
        prior = self.covariances.innermost
        return self.weights.proper and self.means.proper and (prior is None or prior.proper)

    def improper_parts(self) -> list[str]:
        """Names of the parts that are `Flat`."""
        prior = self.covariances.innermost
        flags = {"weights": self.weights.proper, "means": self.means.proper, "covariances": not prior or prior.proper}
        return [name for name, proper in flags.items() if not proper]

    def rescaled(self, center: Array, scale: Array) -> Self:
        """The same beliefs in units z = (x - center) / scale."""
        covariances = self.covariances.recentred(center).rescaled(scale)
        return self._replace(means=self.means.rescaled(center, scale), covariances=covariances)

    def of_size(self, n_components: int, n_features: int) -> FilledMixture:
        """The same beliefs about another number of components, which must be exchangeable."""
        K, d = n_components, n_features
        one = [part.cut(1) for part in (self.weights, self.means, self.covariances)]
        assert all(part is not None for part in one)
        weights, means, covariances = one
        if isinstance(weights, Dirichlet):
            weights = weights._replace(concentration=np.ravel(weights.concentration)[0])
        return FilledMixture(
            n_components=K,
            weights=weights.resolved(K),  # type: ignore[union-attr]
            means=means.resolved(K, d),  # type: ignore[union-attr]
            covariances=covariances.resolved(K, d),  # type: ignore[union-attr]
        )

    def plain(self) -> FilledMixture:
        """This model with everything that only `Gibbs` can sample held at a typical value."""
        weights, covariances = self.weights, self.covariances
        if isinstance(weights, SparseDirichlet):
            weights = weights.shared_out(self.n_components).resolved(self.n_components)
        structure = getattr(covariances, "structure", covariances)
        if isinstance(covariances.innermost, HierarchicalInverseWishart):
            held = structure._replace(prior=covariances.innermost.plain())
            covariances = covariances._replace(structure=held) if covariances.tied else held
        return self._replace(weights=weights, covariances=covariances)

    def keys(self) -> list[Hashable]:
        """One key a component; the posterior does not change when components with equal keys swap places."""
        K = self.n_components
        own = [k if k in self.known else -1 for k in range(K)]
        return list(zip(self.weights.keys(K), self.means.keys(K), self.covariances.keys(K), own, strict=True))

    def cut(self, n_components: int) -> FilledMixture | None:
        """The first components only, each with the prior that it has here; None where that has no meaning."""
        parts = [part.cut(n_components) for part in (self.weights, self.means, self.covariances)]
        if any(part is None for part in parts):
            return None
        named = dict(zip(("weights", "means", "covariances"), parts, strict=True))
        return FilledMixture(n_components=n_components, **named)  # type: ignore[arg-type]

    def log_symmetries(self) -> float:
        """Log of the number of permutations of components that leave the prior unchanged."""
        return sum(math.lgamma(count + 1) for count in Counter(self.keys()).values())

    def rows_needed(self, n_features: int) -> int:
        """Rows of its own without which what is said of a component rests on the prior.

        0 where a component has neither a mean nor a covariance of its own.
        """
        covariances = self.covariances
        if covariances.n_free(3, n_features) > covariances.n_free(2, n_features):
            return covariances.fewest_rows(n_features)
        return int(self.means.free and not self.means.ordered)

    def n_parameters(self, n_features: int) -> int:
        """Free numbers in the model, as BIC counts them."""
        K = self.n_components
        means = self.means.n_free(K, n_features)
        return self.weights.n_free(K) + means + self.covariances.n_parameters(K, n_features)

    def draw(self, rng: np.random.Generator, size: int, n_features: int) -> tuple[Array, Array, Array]:
        """Weights (size, K), means (size, K, d) and covariances (size, K, d, d) drawn from the prior.

        Weights are (size, G, K) where they differ between groups.
        """
        K, d = self.n_components, n_features
        weights = self.weights.draw(rng, size, K)
        if not self.covariances.linked:
            covariances = self.covariances.draw(rng, size, K, d)
            return weights, self.means.draw(rng, np.linalg.cholesky(covariances)), covariances
        means = self._means_above_the_floor(rng, size, n_features)
        return weights, means, self.covariances.given(means).draw(rng, size, K, d)

    def _means_above_the_floor(self, rng: np.random.Generator, size: int, n_features: int) -> Array:
        """Draws from the prior on means as covariances that are linked to them cut it off."""
        shapes = np.broadcast_to(np.eye(n_features), (size, self.n_components, n_features, n_features))
        means, floor = self.means.draw(rng, shapes), self.covariances.floor(n_features)
        for _ in range(_MOST_DRAWS):
            low = (means <= floor).any(axis=(1, 2))
            if not low.any():
                return means
            means[low] = self.means.draw(rng, shapes[low])
        raise InputError(
            "means", f"{self.means} has next to no mass above {show(floor)}", "Give a prior that is above it"
        )
