"""From a result back to what was fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm import _schema as names
from bayesgmm.data import Data
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.model import FilledMixture, GaussianMixture

if TYPE_CHECKING:
    import xarray as xr


def stored_problem(fit: xr.DataTree, *, n_threads: int | None = 1) -> tuple[Problem, Data, Parameters]:
    """What was fitted, the rows, and the point estimate in standard units.

    Hyperparameters that `Gibbs` samples are held at a typical value.
    """
    from bayesgmm.results import fitted_mixture, stored_data

    point, data = fitted_mixture(fit).point, stored_data(fit)
    model = GaussianMixture.from_json(fit.attrs[names.MODEL])
    assert isinstance(model, FilledMixture)
    problem = build_problem(model.plain(), data, n_threads=n_threads)
    with np.errstate(divide="ignore"):
        log_weights = np.log(point.weights[0])
    at = Parameters(
        log_weights=log_weights,
        means=point.means[0],
        choleskys=np.linalg.cholesky(point.covariances[0]),
        log_noise=float(np.log(point.noise_scale[0])),
    )
    return problem, data, problem.units.to_standard(at)
