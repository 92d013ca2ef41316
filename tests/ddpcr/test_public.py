"""The public names and what their docstrings say."""

import inspect

import pytest

import bayesgmm as bg
from bayesgmm import ddpcr
from tests.inference.test_public_api import documented

NAMES = ["CrossTalkMeans", "Plate", "Well", "read_plate", "simulate_plate", "two_channel_model"]


def test_names():
    assert "ddpcr" in bg.__all__
    assert bg.ddpcr is ddpcr
    assert set(NAMES) <= set(ddpcr.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_name_every_argument(name):
    function = getattr(ddpcr, name)
    arguments = list(inspect.signature(function).parameters)
    assert documented(inspect.getdoc(function), "Parameters") == arguments
    assert "Raises" in inspect.getdoc(function)


def test_options_of_functions_are_keyword_only():
    for name, positional in {"read_plate": 1, "simulate_plate": 0}.items():
        kinds = [each.kind for each in inspect.signature(getattr(ddpcr, name)).parameters.values()]
        assert set(kinds[positional:]) == {inspect.Parameter.KEYWORD_ONLY}
