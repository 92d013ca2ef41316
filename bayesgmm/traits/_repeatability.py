"""Variance among and within individuals by maximum likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import InputError
from bayesgmm.traits._measurements import Measurements, measurements

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

_LARGEST_RATIO = 1e8


def repeatability(data: Any, *, value: str | list[str] | None = None, individual: str | None = None) -> xr.Dataset:
    """Error variance and repeatability of repeat measurements, by one-way random-effects maximum likelihood.

    x_ij = mu + a_i + e_ij, with Normal a and e (Searle, Casella & McCulloch 1992, section 3.8). Individuals may have
    different numbers of repeats.

    Parameters
    ----------
    data, value, individual
        As in `measurements`; there have to be repeats.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``variance_among`` and ``variance_error`` (squared units of the trait), ``repeatability`` (the
        intraclass correlation of single measurements, variance_among / (variance_among + variance_error)) and
        ``repeatability_of_means`` (of the mean of an individual's repeats, averaged over individuals).

    Examples
    --------
    >>> from bayesgmm import traits
    >>> x = [[i + e for e in (-0.1, 0.0, 0.1)] for i in range(12)]
    >>> round(float(traits.repeatability(x)["repeatability"]), 4)
    0.9992
    """
    import xarray as xr

    known = data if isinstance(data, Measurements) else measurements(data, value=value, individual=individual)
    if not known.repeated:
        raise InputError("data", "every individual was measured once", "Repeatability needs repeats")
    mean, among, error = components(known)
    icc = among / (among + error)
    return xr.Dataset(
        {
            "mean": mean,
            "variance_among": among,
            "variance_error": error,
            "repeatability": icc,
            "repeatability_of_means": float(np.mean(among / (among + error / known.repeats))),
        },
        attrs={
            "method": "maximum likelihood",
            "trait": known.trait,
            "n_individuals": known.n,
            "n_measurements": int(known.repeats.sum()),
        },
    )


def components(known: Measurements) -> tuple[float, float, float]:
    """Mean, variance among individuals and error variance at the maximum of the likelihood."""
    from scipy.optimize import minimize_scalar

    r, y, within = known.repeats, known.means, float(known.squares.sum())
    total = r.sum()

    def at(ratio: float) -> tuple[float, float, float]:
        """Minus twice the log-likelihood, profiled over mean and error variance, at variance among over error."""
        w = r / (1.0 + r * ratio)  # one over the variance of a mean, in units of the error variance
        mean = float((w @ y) / w.sum())
        error = (within + float(w @ np.square(y - mean))) / total
        return float(total * np.log(error) + np.log1p(r * ratio).sum()), mean, error

    # Over the logarithm of the ratio, and at its boundary.
    low, high = np.log(1.0 / _LARGEST_RATIO), np.log(_LARGEST_RATIO)
    found = minimize_scalar(
        lambda t: at(float(np.exp(t)))[0], bounds=(low, high), method="bounded", options={"xatol": 1e-10}
    )
    ratio = float(np.exp(found.x))
    if at(0.0)[0] <= at(ratio)[0]:
        ratio = 0.0
    _, mean, error = at(ratio)
    return mean, ratio * error, error
