"""Which ends of a search count as different optima, and which starts need not be followed to their ends."""

from dataclasses import replace

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm._status import Status
from bayesgmm.engines import _optima
from bayesgmm.engines._newton import Point
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._optima import distinct
from bayesgmm.engines._polish import Climb
from bayesgmm.engines._search import Start
from bayesgmm.engines.base import Parameters, StartReport
from tests.contract import filled, problem

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


def overlapping():
    rng = np.random.default_rng(2)
    return np.concatenate([rng.normal(size=(150, 2)), rng.normal(size=(150, 2)) + np.array([2.5, 0.0])])


def fitted(model):
    return bg.fit(model, overlapping(), engine=bg.EM(), random_seed=0, progressbar=False)


def starts_of(fit):
    columns = ["short_value", "end_value", "status", "passes"]
    # The ends of short runs are the same in two searches but for their last digits.
    return fit["optimization"].to_dataset()[columns].to_dataframe().round({"short_value": 5}).set_index("short_value")


@pytest.mark.fit
@pytest.mark.parametrize(
    "model", [bg.GaussianMixture(2), bg.GaussianMixture(3), bg.GaussianMixture(3, covariances=bg.Tied())]
)
def test_a_start_that_comes_beside_an_optimum_ends_where_following_it_would(model, monkeypatch):
    quick = fitted(model)
    monkeypatch.setattr(_optima, "_beside", lambda *_: False)
    slow = fitted(model)
    one, other = (starts_of(each) for each in (quick, slow))
    assert int(one["passes"].sum()) < int(other["passes"].sum())
    # A start is known by the end of its short run.
    both = one.join(other.add_suffix("_slow"), how="inner")
    # A climb that is not followed stops short of its optimum.
    left = both[(both["status"] == "CONVERGED") & (both["status_slow"] == "SCREENED_OUT")]
    assert (left["end_value"] - left["end_value_slow"]).between(0.0, 1e-2).all()
    both = both[(both["status"] == "CONVERGED") & (both["status_slow"] != "SCREENED_OUT")]
    assert len(both) >= 3
    assert (both["status_slow"] == "CONVERGED").all()
    np.testing.assert_allclose(both["end_value"], both["end_value_slow"], atol=2e-4, rtol=0)
    best, same = (each["point_estimate"].attrs["log_posterior"] for each in (quick, slow))
    assert best == pytest.approx(same, abs=2e-4)


def test_beside_looks_at_value_place_and_labels():
    declared = bg.GaussianMixture(2, means=bg.NormalMeans(0, 5), covariances=bg.Full(bg.InverseWishart(4, 1)))
    objective = Objective(problem(filled(declared, 2), overlapping().T.copy()), unconstrained=False)
    end = Parameters(
        log_weights=np.log([0.4, 0.6]), means=np.array([[-1.0, 0.0], [1.0, 0.0]]), choleskys=np.array([np.eye(2)] * 2)
    )
    optimum = ended(0.0, end=end)

    def beside(at, value=-0.001, report=optimum):
        point = Point(at=at, value=value, statistics=objective.statistics(at))
        return _optima._beside(
            objective, Climb(start=Start.given(at), point=point, trace=[]), report, _optima._SAME_OPTIMUM
        )

    assert beside(end)
    assert beside(end.reordered(np.array([1, 0])))
    assert not beside(end, value=-0.02)
    assert not beside(end, value=0.001)
    near, far = (replace(end, means=end.means + np.array([[step, 0.0], [0.0, 0.0]])) for step in (0.02, 0.2))
    assert beside(near)
    assert not beside(far)  # some 2 standard errors away
    together = replace(end, means=np.array([[-1.0, 0.0], [-0.9, 0.0]]))
    assert not beside(together)  # both components are nearest to the same one
