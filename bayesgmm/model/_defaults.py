"""Priors of the parts of a mixture that a declaration leaves out."""

from __future__ import annotations

import numpy as np

from bayesgmm.model._interfaces import Covariances, Means
from bayesgmm.model._weights_interface import Weights
from bayesgmm.model.inverse_wishart import InverseWishart
from bayesgmm.model.means import ConjugateMeans, NormalMeans
from bayesgmm.model.sparse import SparseDirichlet
from bayesgmm.model.weights import Dirichlet

# Of a known number of components: means are some 4.5 sds of a component wide.
_WIDTH_WITHIN = 0.05


def default_means(covariances: Covariances, *, known_number: bool) -> Means:
    """Prior of means for these covariances."""
    if not isinstance(covariances.innermost, InverseWishart):
        return NormalMeans()
    # The wider, the more room has the mean of a component without rows beside that of one with rows, and the posterior
    # empties components; the narrower, the cheaper it is to split a large group in place of finding a small one.
    return ConjugateMeans(precision_scale=_WIDTH_WITHIN) if known_number else ConjugateMeans()


def default_weights(random_number: bool, fewest_rows: int) -> Weights:
    """Prior of weights where `fewest_rows` are the rows from which a covariance can be estimated."""
    if random_number:
        return SparseDirichlet()
    # A component without rows has the more room the more numbers describe it. A weight that n rows speak for is pulled
    # by at most concentration / sqrt(n) of its standard errors: about half of one for five times the fewest rows.
    return Dirichlet(1.0 + float(np.sqrt(0.5 * fewest_rows)))
