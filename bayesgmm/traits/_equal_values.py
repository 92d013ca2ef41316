"""Many equal values: rounding to a grid, and ends of a scale that nothing goes beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bayesgmm.traits._measurements import Measurements

Array = NDArray[np.float64]

# Values are said to stand on a grid if all are multiples of the smallest step to within this, and half of them repeat.
_OFF_GRID = 1e-6
_REPEATING = 0.5
# A share of individuals with one and the same value that is said, and the fewest of them.
_MANY, _FEWEST = 0.05, 4
# Of the variance of the errors: less rounding than this is not worth a sentence.
_SMALL = 0.01
_HARMONICS, _HALVINGS = 200, 50


def grid_step(values: Array) -> float:
    """The step of the grid on which values stand, where many of them are equal; 0 where they do not."""
    different = np.unique(values)
    if different.size < 2 or different.size > _REPEATING * values.size:
        return 0.0
    step = float(np.diff(different).min())
    places = (different - different[0]) / step
    return step if np.abs(places - np.round(places)).max() < _OFF_GRID * max(1.0, places[-1]) else 0.0


def rounding_variance(sd: float, step: float) -> float:
    """Variance over individuals of what rounding to a grid moves the mean of many repeats by.

    A mean of rounded values is off by a periodic function of the true value. Its Fourier coefficients fall off with the
    size of the errors, which smear the grid: step^2 / 12 without errors, nothing where their sd is half a step.

    Parameters
    ----------
    sd : float
        Standard deviation of the rounded repeats of an individual, which has the rest of step^2 / 12 in it.
    step : float
    """
    if step == 0:
        return 0.0
    rounding, wanted = step * step / 12.0, sd * sd

    def excess(before: float) -> float:
        return before * before + rounding - _bias_variance(before, step) - wanted

    if excess(step) <= 0:  # errors that wide smear it all
        return 0.0
    low, high = 0.0, step
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return _bias_variance(low, step)


def _bias_variance(before: float, step: float) -> float:
    """The same, for errors with this standard deviation before rounding."""
    k = np.arange(1.0, _HARMONICS + 1.0)
    fading = np.exp(-np.square(2.0 * np.pi * k * before / step)) / np.square(k)
    return float(np.square(step / np.pi) / 2.0 * fading.sum())


def spread_out(means: Array, variance: float) -> Array:
    """Means with those that are equal put at equal distances over what rounding with this variance has made of them.

    Rounded values are spikes, for which any number of narrow types is a better shape than a smooth one. Spread out,
    they have the shape of the histogram that they are; the variance is then in them twice.
    """
    _, places, counts = np.unique(means, return_inverse=True, return_counts=True)
    order = np.argsort(places, kind="stable")
    within = np.empty(means.size)
    within[order] = np.arange(means.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return means + np.sqrt(12.0 * variance) * ((within + 0.5) / counts[places] - 0.5)


def matters(variance: float, error: float) -> bool:
    """Whether rounding with this variance is worth a thought beside a standard error."""
    return variance > _SMALL * error * error


def remarks(known: Measurements) -> list[str]:
    """What is to be known of equal values, and what to do about them."""
    out = []
    rounding = rounding_variance(known.error_sd, known.step)
    if matters(rounding, float(np.median(known.errors))):
        out.append(
            f"Values are rounded to steps of {known.step:.4g}, more than their errors smear: repeats cannot average "
            "that out. Equal values are spread out over a step, and errors contain it. Types less than two or three "
            "steps apart cannot be told from rounding: measure to more digits, or give values as bins "
            "(`as_data(bins=...)`) to a mixture of your own."
        )
    values, counts = np.unique(known.means, return_counts=True)
    for i, end, shape in ((0, "smallest", "floor"), (-1, "largest", "ceiling")):
        if counts[i] >= max(_FEWEST, _MANY * known.n):
            out.append(
                f"{100 * counts[i] / known.n:.0f} % of the individuals have the {end} value, {values[i]:.4g}: if the "
                f"scale ends there, that is a {shape} and no type. Censored values cannot be declared yet; "
                f"'continuous, {shape}' stands in for it. See whether the verdict stays without these individuals."
            )
    within = counts[1:-1]
    if within.size and within.max() >= max(_FEWEST, _MANY * known.n) and known.step == 0:
        i = 1 + int(within.argmax())
        out.append(
            f"{100 * counts[i] / known.n:.0f} % of the individuals have the same value, {values[i]:.4g}, inside "
            "the range of the others: if observers prefer round numbers, it is no type. Give the values as bins "
            "(`as_data(bins=...)`) to a mixture of your own, or measure these individuals again."
        )
    return out
