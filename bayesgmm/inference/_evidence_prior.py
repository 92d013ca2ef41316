"""The prior that evidence is an average over, in words, and where it differs from that of a fit."""

from __future__ import annotations

import numpy as np

from bayesgmm.model import ConjugateMeans, Dirichlet, FilledMixture, NormalMeans


def prior_in_words(model: FilledMixture) -> str:
    """All three parts with their numbers, for one component where all are alike."""
    return "; ".join(f"{name} ~ {text}" for name, text in _parts(model).items())


def difference_from_fit(model: FilledMixture, fitted: FilledMixture) -> str:
    """Parts of a declaration that `fit` fills otherwise, or nothing."""
    own, other = _parts(model), _parts(fitted)
    changed = [f"{name} ~ {other[name]} in place of {own[name]}" for name in own if own[name] != other[name]]
    return "; ".join(changed)


def _parts(model: FilledMixture) -> dict[str, str]:
    weights, means = model.weights, model.means
    if isinstance(weights, Dirichlet) and np.ptp(weights.concentration) == 0:
        weights = weights._replace(concentration=float(np.ravel(weights.concentration)[0]))
    if isinstance(means, (ConjugateMeans, NormalMeans)) and len(set(means.keys(model.n_components))) == 1:
        means = means.cut(1)
    return {"weights": weights.describe(), "means": means.describe(), "covariances": model.covariances.describe()}
