"""Compiled sums for clusters in two channels: tables of each channel at its bins, and one pass over bins of both."""

from __future__ import annotations

import math

import numpy as np

from bayesgmm.numerics._numba_cache import cached_njit

_LEAST = 1e-300
_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
_ROOT_HALF = math.sqrt(0.5)


@cached_njit(nogil=True, error_model="numpy")
def tables(x, shares, n_core, means, sds):
    """Tables of Q clusters, each a mixture of K components, at x (n,).

    Parameters
    ----------
    x : (n,) array
    shares, means, sds : (Q, K) arrays
        Components with share 0 do not belong to a cluster.
    n_core : (Q,) array of int
        The first so many of a cluster's components are its core.

    Returns
    -------
    (4, Q, n) array
        Density, density of the core, and the probabilities that the core is below x and above.
    """
    Q, K = shares.shape
    out = np.zeros((4, Q, x.size))
    for q in range(Q):
        own, core = 0, 0.0
        for k in range(K):
            if shares[q, k] > 0.0 and own < n_core[q]:
                own, core = own + 1, core + shares[q, k]
        own = 0
        for k in range(K):
            w = shares[q, k]
            if w == 0.0:
                continue
            inside = own < n_core[q]
            own += 1
            for i in range(x.size):
                u = (x[i] - means[q, k]) / sds[q, k]
                p = w * math.exp(-0.5 * u * u) / (_ROOT_TWO_PI * sds[q, k])
                out[0, q, i] += p
                if inside:
                    out[1, q, i] += p
                    out[2, q, i] += 0.5 * math.erfc(-_ROOT_HALF * u) * w / core
                    out[3, q, i] += 0.5 * math.erfc(_ROOT_HALF * u) * w / core
    return out


@cached_njit(nogil=True, error_model="numpy")
def table_slopes(x, shares, n_core, means, sds, table, by_log_density, by_log_core, by_rank):
    """Slopes (3, Q, K) in log weights, means and variances, from those (Q, n) in what `tables` returned."""
    Q, K = shares.shape
    out = np.zeros((3, Q, K))
    for q in range(Q):
        own, core = 0, 0.0
        for k in range(K):
            if shares[q, k] > 0.0 and own < n_core[q]:
                own, core = own + 1, core + shares[q, k]
        own, total = 0, 0.0
        for k in range(K):
            w = shares[q, k]
            if w == 0.0:
                continue
            inside = own < n_core[q]
            own += 1
            logs = mean = sd = 0.0
            for i in range(x.size):
                u = (x[i] - means[q, k]) / sds[q, k]
                p = w * math.exp(-0.5 * u * u) / (_ROOT_TWO_PI * sds[q, k])
                by = p * by_log_density[q, i] / max(table[0, q, i], _LEAST)
                if inside:
                    by += p * by_log_core[q, i] / max(table[1, q, i], _LEAST)
                logs += by
                mean += by * u
                sd += by * (u * u - 1.0)
                if inside and by_rank[q, i] != 0.0:
                    out[0, q, k] += by_rank[q, i] * (0.5 * math.erfc(-_ROOT_HALF * u) - table[2, q, i]) * w / core
                    mean -= by_rank[q, i] * p * sds[q, k] / core
                    sd -= by_rank[q, i] * p * u * sds[q, k] / core
            out[0, q, k] += logs
            total += logs
            out[1, q, k] = mean / sds[q, k]
            out[2, q, k] = 0.5 * sd / (sds[q, k] * sds[q, k])
        for k in range(K):
            out[0, q, k] -= shares[q, k] * total
    return out


@cached_njit(nogil=True, error_model="numpy")
def pair_pass(place, counts, first, second, odd_first, odd_second, shares, odd_share, rho, sloped):
    """One pass over bins of two amplitudes, for a mixture of products with a Gaussian copula in each cluster's core.

    Parameters
    ----------
    place : (2, n) array of int
        Bins of each channel.
    counts : (n,) array
    first, second : (3, Q, n1) and (3, Q, n2) arrays
        Density of each cluster at the bins of a channel, of its core, and the Normal score there.
    odd_first, odd_second : (n1,) and (n2,) arrays
        Density of outliers.
    shares, rho : (Q,) arrays
        Of the clusters, and correlations in them.
    odd_share : float
    sloped : bool
        Whether more than the log-likelihood is computed.

    Returns
    -------
    log_likelihood, n_outliers : float
    clusters, turn : (Q,) arrays
        Expected counts, and slopes in rho.
    by_first, by_second : (3, Q, n1) and (3, Q, n2) arrays
        Slopes in log density, log core and score.
    """
    Q = shares.size
    value = odd = 0.0
    clusters, turn = np.zeros(Q), np.zeros(Q)
    by_first, by_second = np.zeros(first.shape), np.zeros(second.shape)
    apart, core, ratio = np.empty(Q), np.empty(Q), np.empty(Q)
    for i in range(counts.size):
        a, b = place[0, i], place[1, i]
        total = odd_here = odd_share * odd_first[a] * odd_second[b]
        for k in range(Q):
            r, s, t = rho[k], first[2, k, a], second[2, k, b]
            apart[k] = shares[k] * first[0, k, a] * second[0, k, b]
            core[k] = shares[k] * first[1, k, a] * second[1, k, b]
            free = 1.0 - r * r
            ratio[k] = math.exp((2.0 * r * s * t - r * r * (s * s + t * t)) / (2.0 * free)) / math.sqrt(free)
            total += apart[k] + core[k] * (ratio[k] - 1.0)
        total = max(total, _LEAST)
        value += counts[i] * math.log(total)
        if not sloped:
            continue
        unit = counts[i] / total
        odd += unit * odd_here
        for k in range(Q):
            r, s, t = rho[k], first[2, k, a], second[2, k, b]
            free = 1.0 - r * r
            joined = unit * core[k] * ratio[k]
            more = joined - unit * core[k]
            clusters[k] += unit * apart[k] + more
            turn[k] += joined * (r / free + (s * t * (1.0 + r * r) - r * (s * s + t * t)) / (free * free))
            by_first[0, k, a] += unit * apart[k]
            by_second[0, k, b] += unit * apart[k]
            by_first[1, k, a] += more
            by_second[1, k, b] += more
            by_first[2, k, a] += joined * r * (t - r * s) / free
            by_second[2, k, b] += joined * r * (s - r * t) / free
    return value, odd, clusters, turn, by_first, by_second
