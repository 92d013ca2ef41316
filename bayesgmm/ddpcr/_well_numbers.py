"""The numbers of one well and channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from bayesgmm.ddpcr._between_wells import BetweenWells, Concentration, Counted
from bayesgmm.ddpcr._fit_plate import PlateFit
from bayesgmm.ddpcr._fit_well import WellFit
from bayesgmm.ddpcr._flags import is_saturated, separation
from bayesgmm.ddpcr._graded_model import GradedBeliefs

Array = NDArray[np.float64]

_FULL, _NONE = "hardly a negative", "hardly a positive"

# What a Dataset holds for each well and channel, with units and what it means.
OF_WELLS = {
    "copies_per_droplet": ("copies per droplet", "lambda; posterior median"),
    "copies_per_droplet_lower": ("copies per droplet", "statistical interval: Poisson noise and which droplet is what"),
    "copies_per_droplet_upper": ("copies per droplet", "statistical interval"),
    "copies_per_droplet_rain_negative": ("copies per droplet", "if rain were counted as negative"),
    "copies_per_droplet_threshold": ("copies per droplet", "counted at the threshold"),
    "copies_per_droplet_threshold_lower": ("copies per droplet", "Jeffreys interval of the count at the threshold"),
    "copies_per_droplet_threshold_upper": ("copies per droplet", "Jeffreys interval of the count at the threshold"),
    "copies_per_ul": ("copies per microlitre of reaction", "posterior median"),
    "copies_per_ul_lower": ("copies per microlitre of reaction", "statistical interval"),
    "copies_per_ul_upper": ("copies per microlitre of reaction", "statistical interval"),
    "copies_per_ul_total_lower": ("copies per microlitre of reaction", "interval that adds variation between wells"),
    "copies_per_ul_total_upper": ("copies per microlitre of reaction", "interval that adds variation between wells"),
    "positives": ("droplets", "expected number of positive droplets, rain included"),
    "effective_droplets": ("droplets", "counted without error they would tell as much"),
    "separation": ("sd", "distance between clusters, in units of their root mean square sd"),
    "counted": ("", "1 where the answer is the count at the threshold, 0 where it is that of the mixture"),
    "threshold_positives": ("droplets", "above the threshold"),
    "threshold": ("amplitude", "in the gap that the droplets of the plate show, else half way between their clusters"),
    "baseline": ("amplitude", "of the negatives"),
    "spread": ("amplitude", "of the negatives"),
    "gap": ("amplitude", "from the negatives to the positives"),
    "positive_sd": ("amplitude", "of the positives"),
    "rain": ("", "share of positives between the clusters"),
    "low": ("", "share of negatives far below the others"),
    "outliers": ("", "share of droplets that are nowhere in particular"),
    "misfit": ("", "P value of a test of fit above the negatives"),
    "pareto_k": ("", "above 0.7 the interval is a guess"),
    "clipped": ("droplets", "so far from the others that they were put nearer, as outliers"),
}
# Of wells with grades, and of wells that were sampled.
_OF_GRADES = {
    "rho": ("", "what a further molecule adds over what the one before added; posterior median"),
    "step_sd": ("amplitude", "each further molecule adds its square to the variance; posterior median"),
}
_OF_CHAINS = {
    "r_hat": ("", "of log lambda, between the chains"),
    "effective_draws": ("draws", "independent ones that those of log lambda are worth"),
    "divergences": ("draws", "that diverged"),
}


def variables(fits: dict[str, PlateFit]) -> dict[str, tuple[str, str]]:
    """What a Dataset of these channels holds, with units and meaning."""
    graded = any(isinstance(own, GradedBeliefs) for fitted in fits.values() for own in fitted.own)
    sampled = any(fit is not None and fit.chains is not None for fitted in fits.values() for fit in fitted.wells)
    return OF_WELLS | (_OF_GRADES if graded else {}) | (_OF_CHAINS if sampled else {})


def of_well(i: int, fit: WellFit, fitted: PlateFit, low: float, high: float) -> dict[str, float]:
    """Those of well i by name."""
    rate = np.exp(fit.of("log_rate"))
    rain = 1.0 / (1.0 + np.exp(-fit.of("rain")))
    n, baseline, gap = fit.n_droplets, fit.mode[-4], float(np.exp(fit.mode[-2]))
    count = fitted.count(i)
    counted = Counted.of(fit)
    middle = fit.rate
    threshold = dict(zip(("lower", "upper"), count.interval(low, high), strict=True))
    further: dict[str, float] = {}
    if isinstance(fitted.beliefs, GradedBeliefs):
        further["rho"] = float(ndtr(fit.quantiles(fit.of("probit_rho"), (0.5,))[0]))
        further["step_sd"] = float(np.exp(fit.quantiles(fit.of("log_step_sd"), (0.5,))[0]))
    if fit.chains is not None:
        further |= {name: float(getattr(fit.chains, name)) for name in _OF_CHAINS}
    without_rain = -np.log1p(np.expm1(-rate) * (1.0 - rain))
    return {
        "copies_per_droplet": middle,
        "copies_per_droplet_rain_negative": fit.quantiles(without_rain, (0.5,))[0],
        "copies_per_droplet_threshold": count.rate,
        **{f"copies_per_droplet_threshold_{end}": value for end, value in threshold.items()},
        "counted": float(fit.count is not None),
        "threshold_positives": float(count.positive),
        "positives": -n * float(np.expm1(-middle)),
        "effective_droplets": min(counted.positive + counted.negative, float(n)),
        "separation": separation(fit, fitted.beliefs),
        "threshold": count.threshold,
        "baseline": baseline,
        "spread": float(np.exp(fit.mode[-3])),
        "gap": gap,
        "positive_sd": float(np.exp(fit.mode[-1])),
        "rain": fit.quantiles(rain, (0.5,))[0],
        "low": float(expit(fit.mode[-6])),
        "outliers": float(expit(fit.mode[-5])),
        "misfit": fit.misfit,
        "pareto_k": fit.pareto_k,
        "clipped": float(fit.n_clipped),
        **further,
    } | dict(zip(("copies_per_droplet_lower", "copies_per_droplet_upper"), bounds(fit, low, high), strict=True))


def status_of(fit: WellFit | None) -> str:
    """How the chains of a well ended, if it was sampled."""
    return "" if fit is None or fit.chains is None else fit.chains.status.name


def bounds(fit: WellFit, low: float, high: float) -> tuple[float, float]:
    """Bounds of lambda; one-sided where there are no positives or no negatives."""
    rate = np.exp(fit.of("log_rate"))
    if fit.count is not None and fit.clear is None and not fit.count.hidden:
        return fit.count.interval(low, high)
    if kind_of(fit) == _FULL:
        return float(fit.quantiles(rate, (2.0 * low,))[0]), np.nan
    if kind_of(fit) == _NONE:
        return 0.0, float(fit.quantiles(rate, (1.0 - 2.0 * low,))[0])
    lower, upper = fit.quantiles(rate, (low, high))
    return float(lower), float(upper)


def kind_of(fit: WellFit) -> str:
    """Whether a well has hardly a positive droplet, hardly a negative one, or both kinds."""
    if is_saturated(fit):
        return _FULL
    return _NONE if fit.clear is not None or -fit.n_droplets * np.expm1(-fit.rate) < 1.0 else ""


def ends(found: Concentration, kind: str, low: float, high: float) -> Array:
    """The ends of an interval; one-sided where no well has positives, or none has negatives."""
    if kind == _FULL:
        return np.array([found.quantiles((2.0 * low,))[0], np.nan])
    return np.array([0.0, found.quantiles((1.0 - 2.0 * low,))[0]]) if kind == _NONE else found.quantiles((low, high))


def concentration_of(
    fit: WellFit, counted: Counted | None, between: BetweenWells, volume_ul: float, low: float, high: float
) -> dict[str, float]:
    assert counted is not None
    lower, upper = bounds(fit, low, high)
    middle = fit.rate
    both = between.concentration([counted], [np.log(volume_ul)], total=True)
    total_lower, total_upper = ends(both, kind_of(fit), low, high)
    return {
        "copies_per_ul": middle / volume_ul,
        "copies_per_ul_lower": lower / volume_ul,
        "copies_per_ul_upper": upper / volume_ul,
        "copies_per_ul_total_lower": total_lower,
        "copies_per_ul_total_upper": total_upper,
    }
