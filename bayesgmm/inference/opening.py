"""The declared model as a PyMC model."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm._interrupts import Interrupts
from bayesgmm.data import as_data
from bayesgmm.engines._problem import build_problem
from bayesgmm.model import GaussianMixture


def to_pymc(model: GaussianMixture, data: Any) -> Any:
    """Write a mixture as a PyMC model with the data in it.

    Parameters
    ----------
    model : GaussianMixture
        Every part proper. Parts that were left out are filled from the data, as `fit` does.
    data : array_like, DataFrame, Data, ...
        Anything that `as_data` takes.

    Returns
    -------
    pymc.Model
        In the data's units, with variables ``weights``, ``means``, ``covariances``, ``sds`` and (from two features)
        ``correlations`` as in results, the observed variable ``x`` and its data ``data``. Free variables of other
        shapes, such as ``weights_sticks`` or ``covariances_scales``, have names that begin with their part.

    Raises
    ------
    InputError
        If the model or the data cannot be used.
    UnsupportedError
        For what is not taken, by its name (see the notes).

    Notes
    -----
    Not taken are:

    * rows that are not whole and exact: missing values, ``counts`` or ``weights``, ``noise`` (and with it
      ``noise_scale``), ``bins``, ``known_labels`` and ``groups``;
    * `Flat` in any part, and a prior on the number of components;
    * weights: `SparseDirichlet` with a prior on its total, `HardyWeinberg`, `PoissonWeights`, `PoissonProductWeights`;
    * means: `EvenlySpacedMeans`, `SaturatingMeans`, `WarpedMeans`;
    * covariances: `ConstantCV`, `LinearVariance`, `WarpedCovariances`, and the prior `HierarchicalInverseWishart`;
    * the parts that `ddpcr` declares for droplets;
    * parts of your own, until a variable is registered for them (``docs/extending.md``).

    Variables may be added inside ``with model:``, for example a `pymc.Potential` on the means. New rows go in by
    ``pymc.set_data({"data": rows}, coords={"obs": range(len(rows))})`` without compiling again; priors that were
    filled from the first data stay as they are. By default PyMC starts all components at nearly the same point, from
    which samplers may find a poor mode: give ``initvals``, for example from a fit by `EM`.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> opened = bg.to_pymc(bg.GaussianMixture(2), {"x": [0.1, 0.2, 0.4, 5.0, 5.3, 5.8]})
    >>> [variable.name for variable in opened.free_RVs]
    ['weights', 'covariances_variances', 'means']
    """
    if not isinstance(model, GaussianMixture):
        raise InputError("model", f"got {type(model).__name__}", "Give a GaussianMixture")
    with Interrupts():
        from bayesgmm.engines._pymc_model import open_model

    table = as_data(data)
    if table.groups is not None:
        raise UnsupportedError(
            "to_pymc", "as_data(groups=...)", "Sample natively, fit(model, data, engine=NUTS(sampler='native'))."
        )
    measured = any(each is not None for each in (table.counts, table.noise, table.bins, table.known_labels))
    if measured or np.isnan(table.values).any():
        raise UnsupportedError(
            "to_pymc",
            "missing values, counts, errors, bins or known labels",
            "Sample natively, fit(model, data, engine=NUTS()), or give whole rows.",
        )
    declared = build_problem(model, table, n_threads=1, who="to_pymc").declared
    return open_model(declared, table.values, table.feature_names, table.obs_names)
