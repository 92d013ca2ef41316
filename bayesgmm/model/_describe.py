"""A mixture as text, like the model in a paper."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bayesgmm._words import counted, listed
from bayesgmm.model._defaults import default_means
from bayesgmm.model._interfaces import Covariances
from bayesgmm.model._weights_interface import Weights
from bayesgmm.model.inverse_wishart import SCALE_WITHIN, InverseWishart
from bayesgmm.model.means import ConjugateMeans
from bayesgmm.model.number_priors import NumberPrior
from bayesgmm.model.sparse import SparseDirichlet
from bayesgmm.model.structures import Full

if TYPE_CHECKING:
    from bayesgmm.model.mixture import GaussianMixture

# What the letters of a description mean where its numbers are not known yet.
_SYMBOLS = {
    "d": "d = number of features",
    "df": "df = degrees of freedom",
    "W": "W = covariance within a component",
}


def describe_mixture(mixture: GaussianMixture) -> str:
    """One line for each distribution; what is left out stands as it will be filled in."""
    K, random = mixture.typical_number, isinstance(mixture.n_components, NumberPrior)
    covariances = mixture.covariances if isinstance(mixture.covariances, Covariances) else Full(InverseWishart())
    shared = covariances.tied
    sigma = "Sigma" if shared else "Sigma_k"
    means = mixture.means
    if means is None:
        means = default_means(covariances, known_number=not random and not mixture.empties)
    conditional = isinstance(means, ConjugateMeans)
    names = "" if mixture.component_names is None else f" ({', '.join(mixture.component_names)})"
    kind = type(getattr(covariances, "structure", covariances)).__name__
    named = {"FixedCovariances": "known", "ConstantCV": "one cv", "WarpedCovariances": "linked"}
    named |= {"LinearVariance": "one line"}
    kind = named.get(kind, kind.lower()) + (", shared" if shared else "")
    weights, grouped = mixture.weights, isinstance(mixture.weights, Weights) and mixture.weights.n_groups is not None
    if weights is not None:
        of_weights = weights.describe()
    elif random:
        of_weights = SparseDirichlet().describe()
    else:
        of_weights = f"Dirichlet({'1 + sqrt((d + 1) / 2)' if covariances.fewest_rows(9) > 2 else '2'})"
    w = "w_g" if grouped else "w"
    of_covariances = covariances.describe()
    if random or mixture.empties:
        of_covariances = of_covariances.replace(SCALE_WITHIN, "cov(data) K^(-2/d)")
    lines = [
        ("x_i | z_i = k", f"Normal(mu_k, {sigma})"),
        ("z_i", f"Categorical({w})" + (", g the group of row i" if grouped else "")),
        (w, of_weights),
        (f"mu_k | {sigma}" if conditional else "mu_k", means.describe().replace("Sigma_k", sigma)),
        (sigma, f"{of_covariances}   ({kind})"),
    ]
    if random:
        lines.append(("K", str(mixture.n_components)))
    width = max(len(left) for left, _ in lines)
    body = "\n".join(f"  {left:<{width}} ~ {right}" for left, right in lines)
    number = "K components" if random else counted(K, "component")
    lines = [f"Gaussian mixture of {number}{names}", body]
    left_out = [name for name in ("weights", "means", "covariances") if getattr(mixture, name) is None]
    if left_out:
        lines.append(f"Left out and filled in by weak priors learnt from the data: {listed(left_out, show=str)}")
    symbols = [meaning for symbol, meaning in _SYMBOLS.items() if re.search(rf"\b{symbol}\b", body)]
    if symbols:
        lines.append(f"where {', '.join(symbols)}")
    return "\n".join(lines)
