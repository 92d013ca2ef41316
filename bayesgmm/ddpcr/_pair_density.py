"""The log posterior of one well in two channels: four clusters, cross-talk, competition, correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from bayesgmm.ddpcr._climb import Climbed
from bayesgmm.ddpcr._droplet_model import Beliefs, Pair
from bayesgmm.ddpcr._well_density import WellDensity
from bayesgmm.engines.base import Parameters

Array = NDArray[np.float64]
Places = NDArray[np.intp]

# Whether each cluster --, +-, -+, ++ has the target of the first channel, and of the second.
HAS = np.array([[0, 1, 0, 1], [0, 0, 1, 1]])
CLUSTERS = ("--", "+-", "-+", "++")
EFFECTS = ("cross-talk first to second", "cross-talk second to first", "competition first", "competition second")
# Places of the parameters that both channels share; those of the first and of the second channel come next.
ODDS, OUTLIERS, SPILL, LEFT, TURN, SHARED = slice(0, 3), 3, slice(4, 6), slice(6, 8), slice(8, 12), 12
# Jeffreys' prior on the copies of each target: as many droplets in the clusters before any is seen.
_PSEUDO = np.array([0.5, 0.25, 0.25, 0.25])
_LOG_TWO_PI = float(np.log(2.0 * np.pi))
_LEAST = 1e-300
# Ranks are not told apart beyond 7 sd.
_TAIL = 1e-12
_LAST = -float(ndtri(_TAIL)) - 1e-9
_EM_STEPS = 5
# A correlation beyond this inverse hyperbolic tangent would round to 1.
_MOST_TURN = 12.0


@dataclass(frozen=True, kw_only=True)
class PairBeliefs:
    """Priors of what two channels share: means and standard deviations of Normals.

    Attributes
    ----------
    channels : (Beliefs, Beliefs)
    spill : (pair, pair)
        Share of the first channel's signal that is seen in the second, and of the second's in the first.
    left : (pair, pair)
        Log of the share of each channel's signal that is left where both targets compete.
    turn : pair
        Inverse hyperbolic tangent of the correlation within each cluster.
    """

    channels: tuple[Beliefs, Beliefs]
    spill: tuple[Pair, Pair] = ((0.0, 0.15), (0.0, 0.15))
    left: tuple[Pair, Pair] = ((0.0, 0.15), (0.0, 0.15))
    turn: tuple[Pair, Pair, Pair, Pair] = ((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Droplets:
    """Droplets in bins of two amplitudes, those that hold any.

    Attributes
    ----------
    centres : (n1,) and (n2,) arrays
        Of the bins of each channel.
    place : (2, n) array of int
    counts : (n,) array
    """

    centres: tuple[Array, Array]
    place: Places
    counts: Array

    @classmethod
    def binned(cls, x: Array, widths: tuple[float, float]) -> Droplets:
        """From amplitudes (n_droplets, 2)."""
        low = x.min(axis=0)
        place, counts = np.unique(np.floor((x - low) / widths).astype(np.int64), axis=0, return_counts=True)
        own = [np.unique(place[:, c], return_inverse=True) for c in range(2)]
        first, second = (low[c] + (own[c][0] + 0.5) * widths[c] for c in range(2))
        return cls(centres=(first, second), place=np.stack([each[1] for each in own]), counts=counts.astype(float))


@dataclass(frozen=True)
class _Clusters:
    """The four clusters in one channel: their components, and tables of them at the bins' centres.

    The core of a cluster are its negatives without low droplets, or its positives without rain.
    """

    shares: Array  # (4, K), 0 for components of other clusters
    means: Array
    sds: Array
    table: Array  # (4, 4, n), as `tables` in `numerics._pair_kernel` returns it
    score: Array  # (4, n), Normal scores of the ranks within the core

    @property
    def columns(self) -> Array:
        """What the pass over the bins of both channels reads (3, 4, n)."""
        return np.concatenate([self.table[:2], self.score[None]])


class _Channel:
    """One channel's part in the four clusters."""

    def __init__(self, number: int, centres: Array, n: float, beliefs: Beliefs) -> None:
        self.x, self.has = centres, HAS[number]
        self.density = WellDensity(np.zeros(1), np.array([n]), beliefs)
        J, K, self.size = self.density.J, self.density.K, self.density.size
        self.members = np.zeros((4, K), dtype=bool)
        self.members[self.has == 0, :J] = self.members[self.has == 0, K - 2] = True
        self.members[self.has == 1, J : K - 2] = True
        self.n_core = np.where(self.has, 1, J)
        # Lambda and outliers are what both channels share.
        self.free = np.delete(np.arange(self.size), [0, self.size - 5])
        # Outliers are anywhere, wherever the baseline is.
        at = self.density.point(self.density.prior[:, 0])
        self.odd_mean, self.odd_sd = float(at.means[-1, 0]), float(at.choleskys[-1, 0, 0])
        u = (centres - self.odd_mean) / self.odd_sd
        self.outlying = np.exp(-0.5 * (u * u + _LOG_TWO_PI)) / self.odd_sd

    def clusters(self, moved: Array) -> _Clusters:
        """Compute the four clusters from own parameters (4, p), a row for each cluster."""
        from bayesgmm.numerics._pair_kernel import tables

        at = self.density.point(moved)
        logs = np.where(self.members, at.log_weights, -np.inf)
        shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
        means, sds = np.ascontiguousarray(at.means[:, :, 0]), np.ascontiguousarray(at.choleskys[:, :, 0, 0])
        table = tables(self.x, shares, self.n_core, means, sds)
        rank, above = np.maximum(table[2:], _TAIL)
        score = np.where(rank < 0.5, ndtri(rank), -ndtri(above))
        return _Clusters(shares, means, sds, table, score)

    def slopes(self, moved: Array, clusters: _Clusters, by: Array) -> tuple[Array, Array]:
        """In the own parameters (p,), and in baseline and log gap of each cluster (4, 2), from slopes (3, 4, n)."""
        from bayesgmm.numerics._pair_kernel import table_slopes

        score = clusters.score
        # Scores at the ends of their range no longer move.
        by_rank = np.where(np.abs(score) < _LAST, by[2] * np.exp(0.5 * (score * score + _LOG_TWO_PI)), 0.0)
        at = self.x, clusters.shares, self.n_core, clusters.means, clusters.sds, clusters.table
        in_logs, in_means, in_variances = table_slopes(*at, by[0], by[1], by_rank)
        d, K = self.density, self.density.K
        out, places = np.zeros(self.size), np.zeros((4, 2))
        out[:-4] = d.weights.slopes(moved[0, :-4], K).T @ in_logs.sum(axis=0)
        for q, own in enumerate(moved):
            slope = np.append(d.means.slopes(own[-4:-1], K).T @ in_means[q], 0.0)
            slope[1:] += d.variances.slopes(own[-1], own[-3], own[-2], K).T @ in_variances[q]
            out[-4:] += slope
            places[q] = slope[[0, 2]]
        return out, places


class PairDensity(Climbed):
    """The posterior density of what a well has in two channels.

    With the density f of a channel's negatives or positives in cluster q (low droplets and rain included), its core g
    (without them) and Normal scores s of the ranks within the core, droplets have the density

        (1 - eps) sum_q w_q [f_1q(x) f_2q(y) + g_1q(x) g_2q(y) (c(s, t; rho_q) - 1)] + eps o_1(x) o_2(y)

    where c is that of a Gaussian copula: in each channel clusters keep their shape, and within them channels may be
    correlated. Means are those of `CrossTalkMeans`; the positives of a channel are so much nearer to its negatives
    where both targets compete, and everything is shifted by what is seen of the other channel's signal.

    Parameters are log w_q / w_--, logit eps, both spills, logs of what competition leaves, inverse hyperbolic tangents
    of the correlations, and each channel's own parameters as in `WellDensity`, without lambda and outliers.

    Parameters
    ----------
    droplets : Droplets
    beliefs : PairBeliefs
    """

    def __init__(self, droplets: Droplets, beliefs: PairBeliefs) -> None:
        self.droplets, self.beliefs = droplets, beliefs
        self.n = float(droplets.counts.sum())
        self.channels = [_Channel(c, droplets.centres[c], self.n, beliefs.channels[c]) for c in range(2)]
        ends = SHARED + np.cumsum([0, *(channel.free.size for channel in self.channels)])
        self.places = [slice(int(ends[c]), int(ends[c + 1])) for c in range(2)]
        self.size = int(ends[-1])
        own = [channel.density.prior[channel.free] for channel in self.channels]
        pairs = [(0.0, 1.0)] * 3 + [beliefs.channels[0].outliers, *beliefs.spill, *beliefs.left, *beliefs.turn]
        self.prior = np.concatenate([np.array(pairs), *own])

    def own(self, theta: Array, channel: int) -> Array:
        """Parameters of `WellDensity` (..., p) for one channel."""
        parts = self.channels[channel]
        out = np.zeros((*theta.shape[:-1], parts.size))
        out[..., parts.free] = theta[..., self.places[channel]]
        positive = np.exp(log_shares(theta))[..., HAS[channel] == 1].sum(axis=-1)
        out[..., 0] = np.log(np.maximum(-np.log1p(-positive), _LEAST))
        out[..., -5] = theta[..., OUTLIERS]
        return out

    def vector(self, shared: Array, first: Array, second: Array) -> Array:
        """All parameters, from those that are shared and both channels' own."""
        return np.concatenate([shared, first[self.channels[0].free], second[self.channels[1].free]])

    def start(self, spill: tuple[float, float], turn: float, first: Array, second: Array) -> tuple[Array, float]:
        """Parameters with the weights that suit them, and the value there."""
        shared = self.prior[:SHARED, 0].copy()
        shared[SPILL], shared[TURN] = spill, turn
        theta = self.vector(shared, first, second)
        theta[ODDS] = 0.0
        moved = self._moved(theta)
        for _ in range(_EM_STEPS):
            weights = self._passed(theta, moved, sloped=True)[2] + _PSEUDO
            theta[ODDS] = np.log(weights[1:] / weights[0])
        return theta, float(self.values(theta[None])[0])

    def value_and_gradient(self, own: Array) -> tuple[float, Array]:
        theta = own
        moved = self._moved(theta)
        value, odd, counts, turn, by, clusters = self._passed(theta, moved, sloped=True)
        gradient = -(theta - self.prior[:, 0]) / np.square(self.prior[:, 1])
        with_prior = counts + _PSEUDO
        gradient[ODDS] = with_prior[1:] - np.exp(log_shares(theta))[1:] * with_prior.sum()
        eps = expit(theta[OUTLIERS])
        gradient[OUTLIERS] += odd * (1.0 - eps) - eps * counts.sum()
        gradient[TURN] += turn * (1.0 - np.square(np.tanh(theta[TURN])))
        gaps, left = self._signals(theta)
        for c, d in ((0, 1), (1, 0)):
            channel, spill = self.channels[c], theta[SPILL.start + d]
            slopes, places = channel.slopes(moved[c], clusters[c], by[c])
            gradient[self.places[c]] += slopes[channel.free]
            # Channel c is shifted by what is seen of channel d's signal, which is lower in the last cluster.
            seen = places[:, 0] * HAS[d] * gaps[d] * np.array([1.0, 1.0, 1.0, left[d]])
            gradient[SPILL.start + d] += seen.sum()
            gradient[self.places[d].stop - 2] += spill * seen.sum()
            gradient[LEFT.start + d] += spill * seen[3]
            gradient[LEFT.start + c] += places[3, 1]
        return value + float(self._log_prior(theta)), gradient

    def values(self, own: Array) -> Array:
        with np.errstate(all="ignore"):
            out = np.array(
                [self._passed(theta, self._moved(theta), sloped=False)[0] + self._log_prior(theta) for theta in own]
            )
        return np.where(np.isnan(out), -np.inf, out)

    def scales(self, own: Array) -> Array:
        theta = own
        counts = self.n * np.exp(log_shares(theta)) + 1.0
        gaps = self._signals(theta)[0]
        at = [self.own(theta, c) for c in range(2)]
        sds = np.exp([[each[-3], each[-1]] for each in at])  # negatives, positives of each channel
        known = np.concatenate(
            [
                np.sqrt(1.0 / counts[1:] + 1.0 / counts[0]),
                [1.0 / np.sqrt(self.n * expit(theta[OUTLIERS]) + 1.0)],
                sds[::-1, 0] / gaps / np.sqrt(counts[[1, 2]]),
                sds[:, 1] / gaps / np.sqrt(counts[3]),
                1.0 / np.sqrt(counts),
                *(each.density.scales(at[c])[each.free] for c, each in enumerate(self.channels)),
            ]
        )
        prior = self.prior[:, 1].copy()
        prior[ODDS] = 2.0
        return 1.0 / np.sqrt(1.0 / np.square(known) + 1.0 / np.square(prior))

    def marginal(self, theta: Array, channel: int) -> Parameters:
        """The mixture of one channel's amplitudes: all components of the four clusters, and outliers."""
        parts = self.channels[channel]
        clusters, eps = parts.clusters(self._moved(theta)[channel]), expit(theta[OUTLIERS])
        q, k = np.nonzero(parts.members)
        shares = (1.0 - eps) * np.exp(log_shares(theta))[q] * clusters.shares[q, k]
        means = np.append(clusters.means[q, k], parts.odd_mean)
        sds = np.append(clusters.sds[q, k], parts.odd_sd)
        with np.errstate(divide="ignore"):
            logs = np.log(np.append(shares, eps))
        return Parameters(log_weights=logs, means=means[:, None], choleskys=sds[:, None, None])

    def _signals(self, theta: Array) -> tuple[Array, Array]:
        """Gaps of both channels, and what competition leaves of them."""
        return np.exp([theta[place.stop - 2] for place in self.places]), np.exp(theta[LEFT])

    def _moved(self, theta: Array) -> list[Array]:
        """Own parameters of each channel in the four clusters, (4, p) each."""
        gaps, left = self._signals(theta)
        out = []
        for c, d in ((0, 1), (1, 0)):
            kept = np.array([1.0, 1.0, 1.0, left[d]])
            own = np.repeat(self.own(theta, c)[None], 4, axis=0)
            own[:, -4] += theta[SPILL.start + d] * gaps[d] * HAS[d] * kept
            own[3, -2] += theta[LEFT.start + c]
            out.append(own)
        return out

    def _passed(
        self, theta: Array, moved: list[Array], *, sloped: bool
    ) -> tuple[float, float, Array, Array, tuple[Array, Array], list[_Clusters]]:
        """Log-likelihood, outliers and droplets in each cluster expected, slopes in correlations and at bins."""
        from bayesgmm.numerics._pair_kernel import pair_pass

        clusters = [channel.clusters(each) for channel, each in zip(self.channels, moved, strict=True)]
        first, second = clusters
        eps = float(expit(theta[OUTLIERS]))
        shares, rho = (1.0 - eps) * np.exp(log_shares(theta)), np.tanh(np.clip(theta[TURN], -_MOST_TURN, _MOST_TURN))
        odd_places = self.channels[0].outlying, self.channels[1].outlying
        at = first.columns, second.columns, *odd_places, shares, eps, rho
        value, odd, counts, turn, *by = pair_pass(self.droplets.place, self.droplets.counts, *at, sloped)
        return value, odd, counts, turn, (by[0], by[1]), clusters

    def _log_prior(self, theta: Array) -> Array:
        z = (theta[3:] - self.prior[3:, 0]) / self.prior[3:, 1]
        return _PSEUDO @ log_shares(theta) - 0.5 * (z @ z)


def log_shares(theta: Array) -> Array:
    """Log shares (..., 4) of the clusters --, +-, -+, ++."""
    odds = np.concatenate([np.zeros_like(theta[..., :1]), theta[..., ODDS]], axis=-1)
    return odds - np.logaddexp.reduce(odds, axis=-1, keepdims=True)
