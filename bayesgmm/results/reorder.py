"""A result with its components in another order, under other names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm.model import FilledMixture, GaussianMixture
from bayesgmm.model.reordering import reordered

if TYPE_CHECKING:
    import xarray as xr

_LABEL = "label"


def renamed_result(fit: xr.DataTree, order: NDArray[np.intp], new_names: NDArray[Any]) -> xr.DataTree:
    """A copy in which component k is the former ``order[k]``, everywhere, and is called ``new_names[k]``.

    Where the order of components is part of the prior they stay where they are, and only their names change.
    """
    out = fit.copy()
    model, declared = (GaussianMixture.from_json(fit.attrs[key]) for key in (names.MODEL, names.DECLARED))
    assert isinstance(model, FilledMixture)
    moved = reordered(model, declared, order, _as_text(new_names))
    if moved is None:
        new_names = new_names[np.argsort(order)]
        order = np.arange(order.size)
        moved = reordered(model, declared, order, _as_text(new_names))
    assert moved is not None  # nothing moves
    out.attrs[names.MODEL], out.attrs[names.DECLARED] = (each.to_json() for each in moved)
    old_names = fit[names.POINT][names.COMPONENT].to_numpy()
    for name, group in fit.children.items():
        if names.COMPONENT not in group.dims and _LABEL not in group:
            continue
        table = group.to_dataset()
        if names.COMPONENT in table.dims:
            table = table.isel({names.COMPONENT: order}).assign_coords({names.COMPONENT: new_names})
        if name == names.RELABELLING:
            # These are places among the draws as sampled, which have moved too.
            table["order"] = table["order"].copy(data=np.argsort(order)[table["order"].to_numpy()])
        if _LABEL in table:
            places = {old: k for k, old in enumerate(old_names[order].tolist())}
            which = [places[label] for label in table[_LABEL].to_numpy().tolist()]
            table[_LABEL] = table[_LABEL].copy(data=new_names[which])
        out[name] = table
    known = names.KNOWN_LABELS
    if known in fit[names.CONSTANT]:
        table = out[names.CONSTANT].to_dataset()
        numbers = table[known].to_numpy()
        table[known] = table[known].copy(data=np.where(numbers < 0, -1, np.argsort(order)[numbers]))
        out[names.CONSTANT] = table
    return out


def _as_text(new_names: NDArray[Any]) -> Sequence[str] | None:
    """Names for a declaration; components that have numbers have no names there."""
    return None if new_names.dtype.kind in "iu" else [str(name) for name in new_names]
