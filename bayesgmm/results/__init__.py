"""Results: the only place that writes and reads DataTrees."""

from bayesgmm.results.build import build_result
from bayesgmm.results.read import FittedMixture, Mixtures, read_result, stored_data, stored_source
from bayesgmm.results.relabel import relabel

__all__ = ["FittedMixture", "Mixtures", "build_result", "read_result", "relabel", "stored_data", "stored_source"]
