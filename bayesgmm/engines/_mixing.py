"""Whether Markov chains have mixed, and which criterion says no, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._status import Status
from bayesgmm.engines._arviz import array_stats
from bayesgmm.engines._modes import most_r_hat, worst_r_hat
from bayesgmm.engines.base import Array

# Independent draws that a chain should be worth (Vehtari et al. 2021), and the share of its draws where it is short.
FEWEST_EFFECTIVE_PER_CHAIN = 100
_SHARE = 0.1
# R-hat of the halves of chains needs as many.
_FEWEST_DRAWS = 4


def unmixed(lp: Array, invariants: Array, extra: Mapping[str, NDArray[Any]] | None = None) -> list[str]:
    """Every criterion by which chains have not mixed, with its value and its limit; none where they have.

    R-hat is held to `most_r_hat`, the effective draws to 100 a chain, or to a tenth of the draws where there are fewer
    than 1000 a chain. What never varies is known.

    Parameters
    ----------
    lp : (chains, draws) array
        Log density.
    invariants : (chains, draws, M) array
        Log densities at rows of the data, which labels cannot change.
    extra : dict of (chains, draws) arrays
        Further quantities by what a reader is to call them, such as "the number of components".
    """
    n_chains, n_draws = lp.shape
    needed = _FEWEST_DRAWS if n_chains > 1 else 2 * _FEWEST_DRAWS
    if n_draws < needed:
        return [f"there are {n_draws} draws of each chain, fewer than the {needed} that R-hat needs"]
    quantities = {"the log density (lp)": lp[..., None], "the log density at some rows": invariants}
    quantities |= {name: np.asarray(value, dtype=float)[..., None] for name, value in (extra or {}).items()}
    found = []
    for name, values in quantities.items():
        varying = values[..., np.ptp(values, axis=(0, 1)) > 0]
        if varying.shape[2]:
            found += _of_one(name, varying)
    return found


def _of_one(name: str, values: Array) -> list[str]:
    """What fails of the columns (chains, draws, M) of one quantity, each of which varies."""
    n_chains, n_draws = values.shape[:2]
    found = []
    # A single chain is judged by its halves. Chains that stand still at different values have no R-hat or a huge one.
    most = most_r_hat(n_draws if n_chains > 1 else n_draws // 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        worst = worst_r_hat(values)
    if not worst < 100.0:
        found.append(f"R-hat of {name} is above 100 (at most {most:.4g} is wanted)")
    elif worst > most:
        digits = 4 if worst < most + 0.005 else 3
        found.append(f"R-hat of {name} is {worst:.{digits}g}, above {most:.4g}")
    effective = min(
        float(np.min(array_stats().ess(np.moveaxis(values, 2, 0), method="bulk"))), float(n_chains * n_draws)
    )
    wanted = min(FEWEST_EFFECTIVE_PER_CHAIN * n_chains, int(np.ceil(_SHARE * n_chains * n_draws)))
    if not effective >= wanted:
        found.append(f"the draws of {name} are worth {int(effective)} independent ones, fewer than {wanted}")
    return found


def how_ended(
    failed: Sequence[str], *, several_modes: bool, interrupted: bool, length: str, remedy: str
) -> tuple[Status, str]:
    """How chains ended, and what to print of it; an empty message where the sentence of the status says it all.

    Parameters
    ----------
    failed : sequence of str
        Of `unmixed`.
    several_modes : bool
        Whether there are modes of similar density that chains do not change between.
    interrupted : bool
        Comes first: draws that were cut short are so whatever else is true of them.
    length : str
        How far chains went, such as "4000 sweeps of each chain".
    remedy : str
        What to do, an imperative without its full stop.
    """
    criteria = "; ".join(failed)
    if interrupted:
        message = f"Interrupted after {length}: the draws made until then were kept; there are fewer than asked for."
        return Status.INTERRUPTED, message + (f" By these the chains have not mixed: {criteria}." if failed else "")
    if several_modes:
        return Status.MULTIMODAL, ""
    if failed:
        return Status.NOT_MIXED, f"Not converged after {length}: {criteria}. {remedy}."
    return Status.SAMPLED, ""
