"""Whether the amplitudes of a plate grow with the number of molecules, and fits that use it if they do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr

from bayesgmm.ddpcr._fit_plate import FEW_DRAWS, PlateFit, Wells, together
from bayesgmm.ddpcr._fit_well import WellFit
from bayesgmm.ddpcr._flags import HIGHEST_RATE
from bayesgmm.ddpcr._graded_model import GradedBeliefs, most_molecules

Array = NDArray[np.float64]

# Grades are believed if the data are so many times (log) more probable with them,
_EARNED = 5.0
# and if Poisson's law holds among the positives: the level of that test.
_LAWFUL = 0.01
# Below this rho amplitudes hardly grow: by as much of the gap with a second molecule.
_LEAST_RHO = 0.05
# Clusters are there for rates so much above the highest that was found.
_MARGIN = 1.5


def with_grades(wells: Wells, saturated: PlateFit, *, draws: int) -> PlateFit:
    """Fits with a cluster for each number of molecules where the data earn it, else those given, and what was found.

    Wells are fitted one by one with and without grades under weak beliefs, and their evidences are compared. With
    grades lambda rests on Poisson's law among the positives too, so that must hold as well: lambda must not move by
    more than chance when the positives have a rate of their own.

    Parameters
    ----------
    wells : Wells
    saturated : PlateFit
        Of the same wells, all positives alike.
    draws : int
    """
    beliefs = GradedBeliefs.of(saturated.weak, _MARGIN * _highest(saturated.wells))
    J = beliefs.n_negative
    further = [beliefs.probit_rho[0] - 2.0 * beliefs.probit_rho[1], beliefs.log_step_sd[0]]
    starts = [None if fit is None else np.insert(fit.mode, J, further) for fit in saturated.alone]
    found = wells.fitted(wells.alike(beliefs), starts, FEW_DRAWS, "wells, with grades, one by one")
    pairs = [
        (graded, merged)
        for graded, merged, control in zip(found, saturated.alone, wells.without_template, strict=True)
        if isinstance(graded, WellFit) and merged is not None and not control
    ]
    gain = float(sum(graded.log_evidence - merged.log_evidence for graded, merged in pairs))
    told = f"log evidence {gain:+.1f} against positives in one cluster"
    if gain < _EARNED:
        return _refused(saturated, f"the data do not earn them ({told})", told, _rho(found))
    molecules = most_molecules(_MARGIN * _highest([graded for graded, _ in pairs]))
    fitted = together(wells, replace(beliefs, molecules=molecules), found, saturated.learned_from, draws)
    templates = zip(fitted.wells, wells.without_template, strict=True)
    moves = [fit.moved for fit, control in templates if fit is not None and fit.moved is not None and not control]
    P = float(chdtrc(max(len(moves), 1), sum((move / sd) ** 2 for move, sd in moves)))
    told += f", P = {P:.2g} for Poisson's law among positives"
    rho = float(ndtr(fitted.beliefs.probit_rho[0]))  # type: ignore[attr-defined]
    if P < _LAWFUL:
        return _refused(saturated, f"positives do not follow Poisson's law then ({told})", told, rho)
    flags = (f"rho at 0 ({rho:.2g}): amplitudes hardly grow with molecules",) if rho < _LEAST_RHO else ()
    return replace(fitted, grades=f"graded, rho {rho:.3g}; {told}", flags=flags)


def _refused(saturated: PlateFit, why: str, told: str, rho: float) -> PlateFit:
    flags = [f"no graded amplitudes: {why}"]
    if rho < _LEAST_RHO:
        flags.append(f"rho at 0 ({rho:.2g}): amplitudes hardly grow with molecules")
    return replace(saturated, grades=f"saturated; {told}", flags=tuple(flags))


def _rho(found: list[WellFit | str]) -> float:
    """The middle of the wells that tell of it."""
    fits = [each for each in found if isinstance(each, WellFit)]
    told = [mean for mean, sd in (fit.belief("probit_rho") for fit in fits) if sd < 0.7]
    return float(ndtr(np.median(told))) if told else np.nan


def _highest(fits: list[WellFit | None]) -> float:
    rates = [float(np.exp(fit.belief("log_rate")[0])) for fit in fits if fit is not None]
    return max((rate for rate in rates if rate < HIGHEST_RATE), default=0.5)
