"""Draws of the posterior, and how the Markov chains went that some of them come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Posterior draws in the data's units; the leading axis runs over draws, those of one chain after the other.

    `log_joint` and `log_proposal` are log p(x, parameters) and log q(parameters), with respect to the same measure;
    draws of a Markov chain have no proposal. `noise_scale` holds the factors of all errors where they are not known.
    """

    weights: Array
    means: Array
    covariances: Array
    log_joint: Array
    log_proposal: Array | None = None
    expected_counts: Array
    noise_scale: Array | None = None


@dataclass(frozen=True, kw_only=True)
class AllDraws:
    """Draws of mixtures of different numbers of components, in the data's units.

    Only components that hold rows are kept: places beyond them have weight 0 and NaN elsewhere.

    Attributes
    ----------
    values : dict of (chains, draws, ...) arrays
        By the names of the schema: ``n_components``, ``n_occupied``, ``lp``, ``concentration`` where there is one,
        ``rows`` (by label), ``weights``, ``means`` and ``covariances``.
    log_prior : (M + 1,) array, optional
        Log prior probabilities of 0, 1, ..., M components.
    notes : dict
        Numbers for attributes.
    """

    values: dict[str, NDArray[Any]]
    log_prior: Array | None
    notes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ChainReport:
    """How one Markov chain went.

    Attributes
    ----------
    start : int
        Number of the start in whose optimum it began.
    mode : int
        Number of the mode that it sampled, 0 for that with the highest mean log density.
    mean_lp : float
    gap, gap_error : float
        Nats by which its mode's mean log density is below that of mode 0, and the standard error of that.
    kept : bool
        Whether its draws are among the posterior ones.
    """

    start: int
    mode: int
    mean_lp: float
    gap: float
    gap_error: float
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What Markov chains leave behind besides the draws.

    Attributes
    ----------
    chains : list of ChainReport
        Of all chains, those whose draws were kept and those left out.
    statistics : dict of (kept chains, draws) arrays
        By ArviZ's names.
    invariants : (kept chains, draws, M) array
        Log densities at M rows of the data, which do not depend on labels.
    left_out : Draws, optional
        Of the chains that were not kept.
    left_out_statistics : dict of (chains left out, draws) arrays
    """

    chains: list[ChainReport]
    statistics: dict[str, NDArray[Any]]
    invariants: Array
    left_out: Draws | None = None
    left_out_statistics: dict[str, NDArray[Any]] = field(default_factory=dict)
