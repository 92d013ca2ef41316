"""Two of the three seams of a declaration, means and covariances, as the engines see them (`Weights` is beside it).

A part sees statistics and parameters, never data. The parameters are

    log_weights (K,),  means (K, d),  choleskys (K, d, d)    lower triangular L_k with L_k L_k' = Sigma_k

Densities are those of each part's own parameters (weights on the simplex, Sigma for `InverseWishart`,
correlation and scales for `LKJ`) with all constants; `log_jacobian` adds what turns them into densities on the
unconstrained coordinates. A gradient with respect to Sigma is the symmetric G with dF = tr(G dSigma).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from typing import Self

import numpy as np

from bayesgmm.model._moving import moved, pulled, steps, unit_volume, volume
from bayesgmm.model._spec import Array, Spec


class Means(Spec):
    """Prior on the component means.

    Where covariances need means above a bound, `floor` (d,) holds it, and -inf where there is none.
    """

    proper: bool = True
    free: bool = True
    closed_form: bool = True  # as for `Weights`
    # Whether means rise with the number of the component in the first feature, so that starts have to be sorted.
    ordered: bool = False

    def filled(self, mean: Array, covariance: Array, n_components: int) -> Means:
        """This prior with the parts that were left out taken from the data's mean and covariance."""
        return self

    @abstractmethod
    def resolved(self, n_components: int, n_features: int) -> Self:
        """This prior with every number written out as (K, d) or (d,) arrays; checks the sizes."""

    @abstractmethod
    def rescaled(self, center: Array, scale: Array) -> Self:
        """This prior in units z = (x - center) / scale."""

    @abstractmethod
    def keys(self, n_components: int) -> list[Hashable]:
        """One key a component, as in `Weights.keys`."""

    @abstractmethod
    def log_density(self, means: Array, choleskys: Array) -> tuple[float, Array, Array]:
        """Log density, its gradient with respect to means (K, d) and with respect to Sigma (K, d, d)."""

    @abstractmethod
    def mode(self, counts: Array, row_means: Array, choleskys: Array) -> Array:
        """Means that maximise the expected complete log density given counts and weighted row means (K, d)."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, choleskys: Array) -> Array:
        """Means drawn from the prior given covariance Choleskys (size, K, d, d), shape (size, K, d)."""

    def cut(self, n_components: int) -> Self | None:
        """This prior for the first components only; None where that has no meaning."""
        return None

    def widened(self, factor: float) -> Self | None:
        """This prior with so many times its width; None where that has no meaning."""
        return None

    def log_densities(self, means: Array, choleskys: Array) -> Array:
        """Values of `log_density` at many points (S, K, d) and (S, K, d, d)."""
        return np.array([self.log_density(*each)[0] for each in zip(means, choleskys, strict=True)])

    def pseudo_scatter(self, means: Array) -> tuple[float, Array]:
        """Rows and scatter that this prior adds to each component's covariance update (0 and zeros if none)."""
        K, d = means.shape
        return 0.0, np.zeros((K, d, d))

    def log_mass(self, floor: Array) -> float:
        """Log probability that all means are above the floor."""
        return 0.0

    def raised(self, means: Array, floor: Array, least: Array) -> Array:
        """Means that this prior allows and that are at least so much (d,) above the floor, near the given ones."""
        return np.maximum(means, floor + least) if self.free else means

    def n_free(self, n_components: int, n_features: int) -> int:
        """Number of unconstrained coordinates."""
        return n_components * n_features if self.free else 0

    def from_free(self, theta: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        """Means (..., K, d) at coordinates `theta` (..., p) from reference means, in units of reference Choleskys."""
        if not self.free:
            return np.broadcast_to(reference, (*theta.shape[:-1], *reference.shape))
        return moved(theta.reshape(*theta.shape[:-1], *reference.shape), reference, choleskys, floor)

    def to_free(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        """The inverse of `from_free`."""
        out = steps(means, reference, choleskys, floor).reshape(*means.shape[:-2], -1)
        return out if self.free else out[..., :0]

    def pullback(self, gradient: Array, means: Array, reference: Array, choleskys: Array, floor: Array) -> Array:
        """Gradient in the coordinates from a gradient with respect to means (K, d)."""
        return pulled(gradient, means, reference, choleskys, floor).ravel() if self.free else np.zeros(0)

    def log_jacobian(self, means: Array, reference: Array, choleskys: Array, floor: Array) -> tuple[float, Array]:
        """Log |d own parameters / d coordinates|, logs where there are bounds, and its gradient in `theta`."""
        return volume(means, reference, choleskys, floor) if self.free else (0.0, np.zeros(0))

    def log_jacobians(self, means: Array, choleskys: Array, floor: Array) -> Array:
        """Values of `log_jacobian` at many points (S, K, d) and (S, K, d, d), each its own reference."""
        if self.free:
            each = zip(means, choleskys, strict=True)
            return np.array([self.log_jacobian(at, at, L, floor)[0] for at, L in each])
        return np.zeros(len(means))

    def log_volume(self, reference: Array, choleskys: Array, floor: Array) -> float:
        """Log |d (means, or logs of their distances from a bound) / d coordinates|, a constant of the reference."""
        return unit_volume(reference, choleskys, floor) if self.free else 0.0

    def information(self, counts: Array, n_features: int) -> Array:
        """Diagonal of the complete-data information in the coordinates at the reference."""
        return np.repeat(counts, n_features) if self.free else np.zeros(0)


class CovariancePrior(Spec):
    """Prior on one covariance matrix, or on separate variances in the diagonal and spherical structures."""

    proper: bool = True
    # Whether `matrix_mode` and `variance_mode` are exact; otherwise they only serve short starts.
    closed_form: bool = True
    # Whether covariances depend on each other through something unknown, so that only `Gibbs` can use this.
    only_by_gibbs: bool = False
    # How many components have numbers of their own here; None where all of them share their numbers.
    n_components: int | None = None

    def filled(
        self, covariance: Array, within: Array | None, n_components: int, n_features: int, *, separate: bool
    ) -> CovariancePrior:
        """This prior with the parts that were left out taken from the data.

        `covariance`, of the data, and `within`, expected in one component, are (d, d) for a matrix and hold variances
        (m,) if `separate`. Without `within` the components share out the volume of the data's covariance.
        """
        return self

    @abstractmethod
    def resolved(self, n_features: int, *, separate: bool) -> Self:
        """Every number written out: for a matrix, or `separate` for n_features variances."""

    def keys(self, n_components: int) -> list[Hashable]:
        """One key a component, as in `Weights.keys`."""
        return [None] * n_components

    def cut(self, n_components: int) -> Self:
        """This prior for the first components only."""
        return self

    @abstractmethod
    def rescaled(self, scale: Array, *, separate: bool) -> Self:
        """This prior in units z = x / scale."""

    @abstractmethod
    def bounded(self, *, separate: bool) -> bool:
        """Whether likelihood times prior stays bounded when a component collapses onto few rows.

        Onto a point or a plane for a matrix, onto one value of a feature for `separate` variances.
        """

    @abstractmethod
    def matrix_log_density(self, choleskys: Array) -> tuple[float, Array]:
        """Sum over k of the log density at Sigma_k, and its gradient with respect to Sigma (K, d, d)."""

    @abstractmethod
    def variance_log_density(self, variances: Array) -> tuple[float, Array]:
        """Sum over all entries (K, m) of the log density of each variance, and its gradient."""

    def matrix_log_densities(self, choleskys: Array) -> Array:
        """Values of `matrix_log_density` at many points (S, K, d, d)."""
        return np.array([self.matrix_log_density(each)[0] for each in choleskys])

    def variance_log_densities(self, variances: Array) -> Array:
        """Values of `variance_log_density` at many points (S, K, m)."""
        return np.array([self.variance_log_density(each)[0] for each in variances])

    def matrix_volume(self, choleskys: Array) -> tuple[float, Array]:
        """Sum of log |d own parameters / d Sigma_k| and its gradient with respect to Sigma (K, d, d)."""
        return 0.0, np.zeros_like(choleskys)

    def variance_volume(self, variances: Array) -> tuple[float, Array]:
        """Sum of log |d own parameter / d variance| and its gradient with respect to the variances (K, m)."""
        return 0.0, np.zeros_like(variances)

    def matrix_volumes(self, choleskys: Array) -> Array:
        """Values of `matrix_volume` at many points (S, K, d, d)."""
        return np.array([self.matrix_volume(each)[0] for each in choleskys])

    def variance_volumes(self, variances: Array) -> Array:
        """Values of `variance_volume` at many points (S, K, m)."""
        return np.array([self.variance_volume(each)[0] for each in variances])

    @abstractmethod
    def matrix_mode(self, count: Array, scatter: Array) -> Array:
        """Covariances (K, d, d) that maximise the expected complete log density."""

    @abstractmethod
    def variance_mode(self, count: Array, scatter: Array) -> Array:
        """Variances (K, m) that maximise the expected complete log density."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int, n_features: int, *, separate: bool) -> Array:
        """Covariances (size, d, d), or variances (size, m) if `separate`."""

    def draw_components(
        self, rng: np.random.Generator, size: int, n_components: int, n_features: int, *, separate: bool
    ) -> Array:
        """The same for mixtures: (size, K, d, d) or (size, K, m)."""
        drawn = self.draw(rng, size * n_components, n_features, separate=separate)
        return drawn.reshape(size, n_components, *drawn.shape[1:])


class Covariances(Spec):
    """A structure: which covariances are allowed, and the prior inside it.

    Covariances may depend on the means as well as on parameters of their own. Such a structure is `linked`: it says
    what it is at some means (`given`), which Choleskys its own parameters have at others (`carried`), and what follows
    for the slope in the means (`means_slope`). Everything else is that of a structure at known means.
    """

    free: bool = True
    tied: bool = False
    linked: bool = False

    @property
    @abstractmethod
    def innermost(self) -> CovariancePrior | None:
        """The prior inside the structure, or None where covariances are fixed."""

    @abstractmethod
    def filled(self, covariance: Array, n_components: int, within: Array | None = None) -> Covariances:
        """This structure with the parts that were left out taken from the data's covariance.

        `within` is the covariance that one component is expected to have, where rows could tell it.
        """

    @abstractmethod
    def resolved(self, n_components: int, n_features: int) -> Self:
        """Every number written out; checks the sizes."""

    @abstractmethod
    def rescaled(self, scale: Array) -> Self:
        """This structure and its prior in units z = x / scale."""

    def fewest_rows(self, n_features: int) -> int:
        """The fewest distinct rows from which the covariance of a component can be estimated.

        Separate variances need two rows however many features there are; a matrix needs d + 1.
        """
        return 2

    @abstractmethod
    def bounded(self) -> bool:
        """Whether the objective stays bounded when one component's covariance collapses."""

    def common_scale(self) -> bool:
        """Whether all features must keep one common unit (spherical covariances)."""
        return False

    def keys(self, n_components: int) -> list[Hashable]:
        """One key a component, as in `Weights.keys`."""
        return [None] * n_components

    @abstractmethod
    def log_density(self, choleskys: Array) -> tuple[float, Array]:
        """Log prior density and its gradient with respect to Sigma (K, d, d)."""

    @abstractmethod
    def log_jacobian(self, choleskys: Array, reference: Array) -> tuple[float, Array]:
        """Log |d own parameters / d coordinates from the identity|, and its gradient in those from `reference`."""

    def log_densities(self, choleskys: Array, means: Array) -> Array:
        """Values of `log_density` at many points (S, K, d, d) and their means (S, K, d)."""
        return np.array([self.given(at).log_density(L)[0] for L, at in zip(choleskys, means, strict=True)])

    def log_jacobians(self, choleskys: Array, means: Array) -> Array:
        """Values of `log_jacobian` at many points (S, K, d, d) and their means (S, K, d)."""
        each = zip(choleskys, means, strict=True)
        return np.array([self.given(at).log_jacobian(L, L)[0] for L, at in each])

    @abstractmethod
    def mode(self, counts: Array, scatter: Array) -> Array:
        """Covariances (K, d, d) that maximise the expected complete log density given weighted scatters."""

    @abstractmethod
    def n_free(self, n_components: int, n_features: int) -> int:
        """Number of unconstrained coordinates."""

    @abstractmethod
    def from_free(self, theta: Array, reference: Array) -> Array:
        """Choleskys at coordinates `theta` (..., p) from reference Choleskys: L = L_reference A(theta), A(0) = I."""

    @abstractmethod
    def to_free(self, choleskys: Array, reference: Array) -> Array:
        """The inverse of `from_free`."""

    @abstractmethod
    def pullback(self, gradient: Array, choleskys: Array, reference: Array) -> Array:
        """Gradient in the coordinates from a gradient with respect to Sigma (K, d, d)."""

    def log_volume(self, reference: Array) -> float:
        """Log |d coordinates from the identity / d coordinates from `reference`|, which is a constant."""
        return 0.0

    @abstractmethod
    def information(self, counts: Array, n_features: int) -> Array:
        """Diagonal of the complete-data information in the coordinates at A = I."""

    def stretch(self, choleskys: Array, wide: Array) -> Array:
        """Factors of the coordinates at A = I, for data that show the wider covariances with Choleskys `wide`.

        Logarithms of the diagonal keep their scale: far below the errors nothing is known of them.
        """
        return np.ones(self.n_free(*choleskys.shape[:2]))

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int, n_components: int, n_features: int) -> Array:
        """Covariances drawn from the prior, (size, K, d, d)."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Free numbers, as information criteria count them."""
        return self.n_free(n_components, n_features)

    def cut(self, n_components: int) -> Self | None:
        """This structure for the first components only; None where that has no meaning."""
        return None

    def recentred(self, center: Array) -> Self:
        """This structure in units z = x - center."""
        return self

    def check_means(self, means: Means) -> None:
        """Raise `UnsupportedError` or `InputError` if this structure cannot go with a prior on means."""

    def floor(self, n_features: int) -> Array:
        """What the means have to be above (d,), -inf where there is no such bound."""
        return np.full(n_features, -np.inf)

    def given(self, means: Array) -> Self:
        """This structure at means (..., K, d): a map of its own parameters alone."""
        return self

    def carried(self, choleskys: Array, means: Array, to: Array) -> Array:
        """Choleskys at the means `to` (..., K, d), own parameters being those that Choleskys at `means` show."""
        return choleskys

    def means_slope(self, gradient: Array, choleskys: Array, means: Array) -> Array:
        """Gradient in the means (K, d), own parameters held, of what has gradient `gradient` in Sigma (K, d, d)."""
        return np.zeros_like(means)
