"""A declaration with its components in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm.model._spec import Spec, freeze
from bayesgmm.model.fixed_covariances import FixedCovariances
from bayesgmm.model.groups import WeightsByGroup
from bayesgmm.model.inverse_wishart import InverseWishart
from bayesgmm.model.means import ConjugateMeans, FixedMeans, NormalMeans
from bayesgmm.model.mixture import FilledMixture, GaussianMixture
from bayesgmm.model.structures import Diagonal, Full, Spherical
from bayesgmm.model.weights import Dirichlet, FixedWeights

# Fields that may hold numbers for each component: the axis of components from the end, which is the
# least number of axes too.
_BY_COMPONENT: dict[type[Spec], dict[str, int]] = {
    Dirichlet: {"concentration": 1},
    FixedWeights: {"values": 1},
    ConjugateMeans: {"loc": 2},
    NormalMeans: {"mu": 2, "sigma": 2},
    FixedMeans: {"values": 2},
    FixedCovariances: {"values": 3},
    InverseWishart: {"df": 1, "scale": 3},
}


def reordered(
    model: FilledMixture, declared: GaussianMixture, order: NDArray[np.intp], component_names: Sequence[str] | None
) -> tuple[FilledMixture, GaussianMixture] | None:
    """What was fitted and what was declared, with component k the former ``order[k]``; None where that has no meaning.

    It has none where the order is part of the prior, as with stick-breaking weights or evenly spaced means.
    """
    parts, as_declared = {}, {}
    for name in ("weights", "means", "covariances"):
        part, given = getattr(model, name), getattr(declared, name)
        keys = part.keys(model.n_components)
        if [keys[k] for k in order] == keys:
            continue  # the prior treats alike what changes places
        moved = _moved(part, order)
        if moved is None:
            return None
        parts[name] = moved
        if given is not None:
            as_declared[name] = _moved(given, order) or given
    names = None if component_names is None else tuple(component_names)
    # Components that come and go have no names.
    named = {"component_names": names} if isinstance(declared.n_components, int) else {}
    known = tuple(k for k, former in enumerate(order.tolist()) if former in model.known)
    return model._replace(**parts, component_names=names, known=known), declared._replace(**as_declared, **named)


def _moved(part: Any, order: NDArray[np.intp]) -> Any:
    if isinstance(part, WeightsByGroup):
        return part._replace(groups=tuple(_moved(each, order) for each in part.groups))
    if isinstance(part, (Full, Diagonal, Spherical)):
        prior = _moved(part.prior, order)
        return None if prior is None else part._replace(prior=prior)
    if type(part) not in _BY_COMPONENT:
        return None
    changed = {}
    for field, axis in _BY_COMPONENT[type(part)].items():
        value = getattr(part, field)
        array = np.asarray(value, dtype=float) if value is not None else np.empty(())
        # One column, or one variance for each component, may have been given without the axes of features.
        flat = type(part) in (FixedMeans, FixedCovariances) and array.ndim == 1
        if array.ndim >= axis or flat:
            changed[field] = freeze(np.take(array, order, axis=0 if flat else array.ndim - axis))
    return part._replace(**changed)
