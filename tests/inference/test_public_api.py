"""The public names, their docstrings, and the examples in them."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines.base import Engine

# Pictures are pinned by their own tests.
PINNED = [
    "BayesGMMError", "Beta", "BetaNegativeBinomial", "Bridge", "ConjugateMeans", "ConstantCV", "Data", "Diagonal",
    "Dirichlet", "EM", "Enumeration", "EvenlySpacedMeans", "Exponential", "FDistribution", "FitError",
    "FixedCovariances", "FixedMeans", "FixedWeights", "Flat", "Full", "Gamma", "GaussianMixture", "Geometric",
    "Gibbs", "HalfNormal", "HardyWeinberg", "HierarchicalInverseWishart", "InputError", "InverseWishart", "LKJ",
    "Laplace", "LaplaceEvidence", "LinearVariance", "LogNormal", "NUTS", "NormalMeans", "NotConvergedWarning",
    "FewerGroupsWarning", "UncalibratedWarning",
    "Poisson", "PoissonProductWeights", "PoissonWeights", "SaturatingMeans", "ScaledInverseChi",
    "SparseDirichlet", "Spherical", "Status", "StickBreaking", "Telescoping", "Tied", "UniformComponents",
    "NotGaussianWarning", "UnsupportedError", "VB", "VBBound", "WarpedCovariances", "WarpedMeans", "add_log_likelihood",
    "add_log_prior", "add_posterior_predictive", "add_prior", "align", "as_data", "assignments", "load", "save",
    "as_prior",
    "to_arviz", "best_partition", "bootstrap_lrt", "coclustering", "compare_components", "compare_engines",
    "component_posterior", "datasets", "denoise", "diagnose", "fit", "impute", "log_evidence", "merge_components",
    "occupied_components", "predict", "relabel", "simulate", "standard_errors", "summary", "to_pymc",
    "warped_normal",
]  # fmt: skip
FUNCTIONS = [name for name in PINNED if inspect.isfunction(getattr(bg, name))]
CLASSES = [name for name in PINNED if inspect.isclass(getattr(bg, name))]


def documented(docstring, section):
    """Names listed in a section of a numpydoc docstring."""
    found = re.search(rf"^\s*{section}\n\s*-{{3,}}\n(.*?)(?=\n\s*\w[\w ]*\n\s*-{{3,}}\n|\Z)", docstring, re.S | re.M)
    if not found:
        return []
    lines = inspect.cleandoc("\n" + found.group(1)).splitlines()
    heads = [line.split(":")[0] for line in lines if line and not line[0].isspace()]
    return [name.strip() for head in heads for name in head.split(",")]


def test_public_names():
    assert sorted(set(bg.__all__) - {"ddpcr", "plots", "report", "traits"}) == sorted(PINNED)
    assert len(bg.__all__) == len(set(bg.__all__))
    for name in bg.__all__:
        assert getattr(bg, name) is not None


def test_nothing_else_is_public():
    """Without an underscore are the public names, the subpackages, and nothing that an import left behind."""
    subpackages = {module.name for module in pkgutil.iter_modules(bg.__path__)}
    public = {name for name in vars(bg) if not name.startswith("_")}
    assert public - subpackages == set(bg.__all__) - subpackages


@pytest.mark.parametrize("name", PINNED)
def test_docstrings(name):
    doc = inspect.getdoc(getattr(bg, name))
    assert doc
    assert len(doc.splitlines()[0]) > 15
    assert doc.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_of_functions(name):
    function = getattr(bg, name)
    doc, signature = inspect.getdoc(function), inspect.signature(function)
    assert documented(doc, "Returns")
    arguments = list(signature.parameters)
    if name in ("diagnose", "occupied_components"):  # they take a fit and nothing else
        assert arguments == ["fit"]
    else:
        assert documented(doc, "Parameters") == arguments
    hints = inspect.get_annotations(function)
    assert set(hints) == {*arguments, "return"}


@pytest.mark.parametrize("name", CLASSES)
def test_docstrings_of_classes(name):
    kind = getattr(bg, name)
    if issubclass(kind, (Exception, bg.Status)) or name in ("Flat", "HalfNormal", "Exponential", "Gamma", "LogNormal"):
        for field in dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ():
            assert f"``{field.name}``" in inspect.getdoc(kind)  # in the one sentence there is
        return
    assert documented(inspect.getdoc(kind), "Parameters") == list(inspect.signature(kind).parameters)


def test_options_after_the_main_arguments_are_keyword_only():
    for name, positional in {"fit": 2, "predict": 2, "summary": 1, "simulate": 2, "add_log_likelihood": 2}.items():
        kinds = [p.kind for p in inspect.signature(getattr(bg, name)).parameters.values()]
        assert kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) == positional, name
        assert set(kinds[positional:]) <= {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("kind", [bg.EM, bg.VB, bg.Laplace, bg.Gibbs])
def test_engines_are_options(kind):
    assert issubclass(kind, Engine)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    with pytest.raises(AttributeError):
        kind().n_init = 3
    with pytest.raises(TypeError):
        kind(3)


def test_errors_can_be_caught_as_what_they_are():
    assert issubclass(bg.InputError, ValueError)
    assert issubclass(bg.UnsupportedError, TypeError)
    assert issubclass(bg.FitError, RuntimeError)
    assert issubclass(bg.NotConvergedWarning, UserWarning)
    for kind in (bg.InputError, bg.UnsupportedError, bg.FitError):
        assert issubclass(kind, bg.BayesGMMError)


def modules():
    return ["bayesgmm", *(module.name for module in pkgutil.walk_packages(bg.__path__, "bayesgmm."))]


def examples():
    """Every docstring of the package that holds an example."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for name in modules():
        module = importlib.import_module(name)
        for test in finder.find(module, name, module=module):
            if test.examples:
                found[test.name] = test
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings(name):
    test = EXAMPLES[name]
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    report = []
    runner.run(test, out=report.append, clear_globs=False)
    assert runner.failures == 0, "".join(report)
    assert runner.tries == len(test.examples)


def test_there_are_examples_of_the_main_functions():
    assert {"bayesgmm.inference.fitting.fit", "bayesgmm.data._as_data.as_data"} <= set(EXAMPLES)
    assert any(name.endswith("GaussianMixture") for name in EXAMPLES)


def test_data_sets_load():
    for name in dir(bg.datasets):
        if name.startswith("load_"):
            table = getattr(bg.datasets, name)()
            assert np.isfinite(table.select_dtypes("number")).all(axis=None)
