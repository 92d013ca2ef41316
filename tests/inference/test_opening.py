"""What `to_pymc` does not take is listed once, in its docstring, and the list is complete."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines import _pymc_model as opened
from bayesgmm.model._interfaces import CovariancePrior, Covariances, Means
from bayesgmm.model._weights_interface import Weights
from bayesgmm.model.scale_priors import ScalePrior

ROWS = np.random.default_rng(0).normal(size=(40, 1)) + 3.0 * np.resize([0.0, 1.0], 40)[:, None]
REGISTRIES: dict[type, tuple[Callable[..., Any], ...]] = {
    Weights: (opened.weights_variable,),
    Means: (opened.means_variable,),
    Covariances: (opened.covariances_variable,),
    CovariancePrior: (opened.matrix_variable, opened.sds_variable),
    ScalePrior: (opened.scale_variable,),
}
# Made from `Flat` and from groups, which the list names as users write them.
INNER = {"FlatWeights", "FlatMeans", "FlatCovariance", "WeightsByGroup"}


def not_taken() -> str:
    """The list in the docstring."""
    doc = inspect.getdoc(bg.to_pymc)
    assert doc is not None
    return doc[doc.index("Not taken are:") : doc.index("Variables may be added")]


def kinds(base: type) -> set[type]:
    """Every part of the package that can be made."""
    found = {base} if not inspect.isabstract(base) else set()
    for each in base.__subclasses__():
        found |= kinds(each)
    return {each for each in found if each.__module__.startswith("bayesgmm.")}


def test_the_list_of_parts_is_that_of_the_registries():
    without = {
        each
        for base, registries in REGISTRIES.items()
        for each in kinds(base)
        if any(one.dispatch(each) is one.dispatch(object) for one in registries)
    }
    of_model = {each.__name__ for each in without if each.__module__.startswith("bayesgmm.model")} - INNER
    assert {each.__module__.split(".")[1] for each in without} == {"model", "ddpcr"}
    listed = {name for name in re.findall(r"`(\w+)`", not_taken()) if inspect.isclass(getattr(bg, name, None))}
    assert listed - {"Flat"} == of_model


def test_the_list_of_rows_is_that_of_what_is_known_of_rows():
    """Every field of `Data` but the values and their names is refused, and in the list."""
    fields = {each.name for each in dataclasses.fields(bg.Data)} - {"values", "feature_names", "obs_names", "source"}
    how: dict[str, Any] = {
        "counts": bg.as_data(ROWS, counts=np.resize([1, 2], 40)),
        "noise": bg.as_data(ROWS, noise=0.1),
        "noise_scale": bg.as_data(ROWS, noise=0.1, noise_scale=bg.LogNormal(0.0, 1.0)),
        "bins": bg.as_data(bins=[-1.0, 0.0, 1.0, 2.0], counts=[10, 20, 10]),
        "groups": bg.as_data(ROWS, groups=np.resize(["a", "b"], 40)),
        "known_labels": bg.as_data(ROWS, known_labels=np.resize([0, -1], 40)),
    }
    assert fields == set(how)
    for name, data in how.items():
        assert f"``{name}``" in not_taken()
        with pytest.raises(bg.UnsupportedError, match="to_pymc does not work with"):
            bg.to_pymc(bg.GaussianMixture(2), data)
    holes = np.append(ROWS, ROWS, axis=1)
    holes[0, 0] = np.nan
    assert "missing values" in not_taken()
    for data in (holes, bg.as_data(ROWS, weights=np.resize([1.0, 0.5], 40))):
        with pytest.raises(bg.UnsupportedError, match="to_pymc does not work with missing values, counts"):
            bg.to_pymc(bg.GaussianMixture(2), data)


@pytest.mark.parametrize(
    "model",
    [
        bg.GaussianMixture(2, means=bg.Flat()),
        bg.GaussianMixture(1 + bg.Poisson(1.0)),
        bg.GaussianMixture(2, weights=bg.SparseDirichlet()),
        bg.GaussianMixture(3, weights=bg.HardyWeinberg(1.0, 1.0)),
        bg.GaussianMixture(2, covariances=bg.Full(bg.HierarchicalInverseWishart())),
    ],
)
def test_what_is_in_the_list_is_refused_by_name(model):
    with pytest.raises(bg.UnsupportedError, match="to_pymc does not work with"):
        bg.to_pymc(model, ROWS)
