"""Intervals over draws."""

import numpy as np
import pytest

from bayesgmm.inference import prediction
from bayesgmm.inference.prediction import interval


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 50), (2, 3, 4)])
@pytest.mark.parametrize("at_once", [250_000, 900], ids=["together", "in parts"])
def test_equal_tails_are_quantiles(shape, at_once, monkeypatch):
    monkeypatch.setattr(prediction, "_SORTED_AT_ONCE", at_once)
    draws = np.random.default_rng(0).normal(size=(401, *shape))
    before = draws.copy()
    low, high = interval(draws, "eti", 0.9)
    assert np.shape(low) == shape
    np.testing.assert_allclose(low, np.quantile(draws, 0.05, axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(high, np.quantile(draws, 0.95, axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(draws, before)


def test_draws_in_another_order_in_memory():
    draws = np.asfortranarray(np.random.default_rng(1).normal(size=(50, 6, 4)))
    low, _ = interval(np.swapaxes(draws, 1, 2), "eti", 0.8)
    np.testing.assert_allclose(low, np.quantile(draws, 0.1, axis=0).T, rtol=1e-12)
