"""Discrete or continuous? Tests of hypotheses on traits, with measurement error."""

from bayesgmm.traits._discreteness import discreteness
from bayesgmm.traits._measurements import Measurements, measurements
from bayesgmm.traits._models import hypotheses, one_locus
from bayesgmm.traits._occasions import change_of_type
from bayesgmm.traits._repeatability import repeatability

__all__ = [
    "Measurements",
    "change_of_type",
    "discreteness",
    "hypotheses",
    "measurements",
    "one_locus",
    "repeatability",
]
