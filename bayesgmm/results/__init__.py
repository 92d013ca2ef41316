"""Results: the only place that writes and reads DataTrees."""

from bayesgmm.results.build import build_result
from bayesgmm.results.check import check_result, check_table
from bayesgmm.results.read import FittedMixture, Mixtures, fitted_mixture, read_result, stored_data, stored_source
from bayesgmm.results.relabel import relabel, relabelled
from bayesgmm.results.seal import FIT, sealed

__all__ = [
    "FIT",
    "FittedMixture",
    "Mixtures",
    "build_result",
    "check_result",
    "check_table",
    "fitted_mixture",
    "read_result",
    "relabel",
    "relabelled",
    "sealed",
    "stored_data",
    "stored_source",
]
