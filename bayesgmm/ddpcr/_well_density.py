"""The log posterior of one well in the ten or so numbers that it has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bayesgmm.ddpcr._climb import Climbed
from bayesgmm.ddpcr._droplet_clusters import DropletMeans, DropletVariances
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._droplet_weights import DropletWeights
from bayesgmm.engines.base import Parameters
from bayesgmm.numerics.rows import make_rows

Array = NDArray[np.float64]

_DRAWS_AT_ONCE = 100


class WellDensity(Climbed):
    """The posterior density of a well's own parameters, which is that of the declaration `Beliefs.model`.

    Parameters are log lambda, log ratios of the shares of the negatives' components (J - 1), tilt of the rain, logits
    of rain, low droplets and outliers, baseline, log spread, log gap, log standard deviation of the positives.

    The engines reach the same density through coordinates that suit any declaration; wells are many and their
    parameters few, so here they are the coordinates.

    Parameters
    ----------
    centres, counts : (n,) arrays
        Of bins.
    beliefs : Beliefs
    """

    def __init__(self, centres: Array, counts: Array, beliefs: Beliefs) -> None:
        model = beliefs.model()
        weights, means, variances = model.weights, model.means, model.covariances
        assert isinstance(weights, DropletWeights)
        assert isinstance(means, DropletMeans)
        assert isinstance(variances, DropletVariances)
        self.weights, self.means, self.variances = weights, means, variances
        assert isinstance(model.n_components, int)
        self.K, self.J = model.n_components, beliefs.n_negative
        self.rows = make_rows(centres[:, None], counts)
        self.n = float(counts.sum())
        self.size = self.J + 8
        pairs = [(0.0, 1.0)] + [(0.0, beliefs.share_sd)] * (self.J - 1)
        pairs += [
            beliefs.tilt,
            beliefs.rain,
            beliefs.outliers,
            beliefs.outliers,
            beliefs.baseline,
            beliefs.log_spread,
            beliefs.log_gap,
        ]
        self.prior = np.array([*pairs, beliefs.log_positive_sd])
        self.alpha, self.beta = float(np.ravel(beliefs.rate.alpha)[0]), float(np.ravel(beliefs.rate.beta)[0])

    def start(self, baseline: float, log_gap: float) -> Array:
        """Own parameters with this baseline and gap, the weights that suit them, and the rest as believed."""
        own = self.prior[:, 0].copy()
        own[-4], own[-2] = baseline, log_gap
        point = self.point(own)
        at, scales = (point.means, point.precision_choleskys), np.full(self.K, -np.log(self.K))
        for _ in range(3):
            counts = self.rows.statistics(scales, *at, n_threads=1).counts
            scales = self.weights.mode(counts)
        own[: self.J + 4] = self.weights.own(scales)
        # The rest of the mixture decides what is rain; to begin with it is as rare as believed.
        own[self.J : self.J + 4] = self.prior[self.J : self.J + 4, 0]
        return own

    def with_typical_shares(self, own: Array) -> Array:
        """The same, but for the shares of the negatives' components, which are as believed."""
        out = own.copy()
        out[1 : self.J] = self.prior[1 : self.J, 0]
        return out

    def point(self, own: Array) -> Parameters:
        """Parameters of the mixture, of one vector or many (..., p)."""
        J, K = self.J, self.K
        means = self.means.at(own[..., J + 4 : J + 7], K)
        return Parameters(
            log_weights=self.weights.at(own[..., : J + 4], K),
            means=means,
            choleskys=self.variances.at(own[..., -1], means),
        )

    def own(self, log_weights: Array, means: Array, choleskys: Array) -> Array:
        """Own parameters (..., p) of those of the mixture; the inverse of `point`."""
        log_sd = np.log(choleskys[..., self.J, :, 0])
        return np.concatenate([self.weights.own(log_weights), self.means.own(means), log_sd], axis=-1)

    def log_prior(self, own: Array) -> Array:
        """Log density up to a constant (...,) of own parameters (..., p)."""
        z = (own[..., 1:] - self.prior[1:, 0]) / self.prior[1:, 1]
        return self.alpha * own[..., 0] - self.beta * np.exp(own[..., 0]) - 0.5 * np.square(z).sum(axis=-1)

    def value_and_gradient(self, own: Array) -> tuple[float, Array]:
        """Log posterior, up to a constant, and its gradient."""
        J, K = self.J, self.K
        point = self.point(own)
        statistics = self.rows.statistics(point.log_weights, point.means, 1.0 / point.choleskys, n_threads=1)
        by_means, by_variances = statistics.slopes(1.0 / point.choleskys)
        gradient = -(own - self.prior[:, 0]) / np.square(self.prior[:, 1])
        gradient[0] = self.alpha - self.beta * np.exp(own[0])
        gradient[: J + 4] += self.weights.slopes(own[: J + 4], K).T @ statistics.counts
        gradient[J + 4 : J + 7] += self.means.slopes(own[J + 4 : J + 7], K).T @ by_means[:, 0]
        by_sds = self.variances.slopes(own[-1], own[-3], own[-2], K).T @ by_variances[:, 0, 0]
        gradient[[-3, -2, -1]] += by_sds
        return statistics.log_normaliser + float(self.log_prior(own)), gradient

    def values(self, own: Array) -> Array:
        """Log posteriors (S,) of many vectors (S, p), up to the same constant."""
        out = np.full(len(own), -np.inf)
        for begin in range(0, len(own), _DRAWS_AT_ONCE):
            some = own[begin : begin + _DRAWS_AT_ONCE]
            with np.errstate(all="ignore"):
                point = self.point(some)
                at = point.log_weights, point.means, 1.0 / point.choleskys
                found = self.rows.values_of_many(*at, noise_factors=np.ones(len(some)), n_threads=1, with_counts=False)
                out[begin : begin + _DRAWS_AT_ONCE] = found[0] + self.log_prior(some)
        return np.where(np.isnan(out), -np.inf, out)

    def scales(self, own: Array) -> Array:
        """About what each parameter's standard deviation would be if every droplet's cluster were known."""
        rate, rain = np.exp(own[0]), float(expit(own[self.J + 1]))
        positive = -self.n * np.expm1(-rate) + 1.0
        negative = self.n * np.exp(-rate) + 1.0
        spread, gap, width = np.exp(own[-3:])
        shares = np.full(self.J - 1, 3.0 / np.sqrt(negative))
        known = np.array(
            [
                1.0 / np.sqrt(positive),
                *shares,
                1.0 / np.sqrt(positive * rain + 1.0),  # of the tilt
                1.0 / np.sqrt(positive * rain + 1.0),
                *(1.0 / np.sqrt(self.n * expit(own[self.J + 2 : self.J + 4]) + 1.0)),
                spread / np.sqrt(negative),
                1.0 / np.sqrt(negative),
                width / gap / np.sqrt(positive),
                1.0 / np.sqrt(positive),
            ]
        )
        prior = self.prior[:, 1].copy()
        prior[0] = 1.0 / np.sqrt(self.alpha)
        return 1.0 / np.sqrt(1.0 / np.square(known) + 1.0 / np.square(prior))
