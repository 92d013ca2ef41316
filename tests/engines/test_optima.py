"""Which ends of a search count as different optima."""

import numpy as np

from bayesgmm._status import Status
from bayesgmm.engines._optima import distinct
from bayesgmm.engines.base import Parameters, StartReport

AT = Parameters(log_weights=np.zeros(1), means=np.zeros((1, 1)), choleskys=np.ones((1, 1, 1)))


def ended(value, status=Status.CONVERGED, end=AT):
    return StartReport(method="given", status=status, short_value=np.nan, end_value=value, end=end)


def test_distinct_optima_near_the_best():
    reports = [
        ended(-12.0),
        ended(-3.0),
        ended(0.0),
        ended(-0.001),  # the same as the best
        ended(5.0, Status.SINGULAR),
        ended(4.0, end=None),
        ended(-9.99),
        ended(-3.005),  # the same as another
        ended(-10.0),
        ended(np.nan, Status.SCREENED_OUT),
    ]
    assert [each.end_value for each in distinct(reports, 10)] == [0.0, -3.0, -9.99]
    assert [each.end_value for each in distinct(reports, 2)] == [0.0, -3.0]
    assert distinct([ended(1.0, Status.SINGULAR)], 3) == []
