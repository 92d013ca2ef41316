"""Every bad argument raises an error that names the argument, the value and what to do instead."""

import numpy as np
import pytest

from bayesgmm._errors import BayesGMMError, InputError, UnsupportedError
from bayesgmm.model import (
    LKJ,
    ConjugateMeans,
    Diagonal,
    Dirichlet,
    Exponential,
    FixedCovariances,
    FixedMeans,
    FixedWeights,
    Full,
    Gamma,
    GaussianMixture,
    HalfNormal,
    InverseWishart,
    LogNormal,
    NormalMeans,
    ScaledInverseChi,
    Spherical,
    StickBreaking,
    Tied,
)

NAN, INF = float("nan"), float("inf")


def _names(*names):
    return lambda: GaussianMixture(2, component_names=names)


def _fill(d=2, n_components=2, **parts):
    return lambda: GaussianMixture(n_components, **parts).filled(np.zeros(d), np.eye(d))


# What is done, then pieces of the message: the argument, the value that was given, the remedy.
BAD = {
    "no component": (lambda: GaussianMixture(0), "n_components", "0", "from 1 to 1,000,000"),
    "negative number of components": (lambda: GaussianMixture(-1), "n_components", "-1", "from 1 to 1,000,000"),
    "half a component": (lambda: GaussianMixture(2.5), "n_components", "2.5", "whole number"),
    "two as a float": (lambda: GaussianMixture(2.0), "n_components", "2.0", "whole number"),
    "True components": (lambda: GaussianMixture(True), "n_components", "True", "whole number"),
    "a number in quotes": (lambda: GaussianMixture("3"), "n_components", "'3'", "whole number"),
    "None components": (lambda: GaussianMixture(None), "n_components", "None", "whole number"),
    "weights of a wrong kind": (lambda: GaussianMixture(2, weights=[0.5, 0.5]), "weights", "[0.5, 0.5]", "Dirichlet"),
    "weights that are means": (
        lambda: GaussianMixture(2, weights=NormalMeans()),
        "weights",
        "NormalMeans",
        "Dirichlet",
    ),
    "means of a wrong kind": (lambda: GaussianMixture(2, means=0.0), "means", "0.0", "NormalMeans"),
    "means that are weights": (lambda: GaussianMixture(2, means=Dirichlet(1)), "means", "Dirichlet", "ConjugateMeans"),
    "covariances of a wrong kind": (lambda: GaussianMixture(2, covariances="full"), "covariances", "'full'", "Inverse"),
    "structure round a wrong kind": (lambda: Diagonal(HalfNormal(1.0)), "Diagonal.prior", "HalfNormal", "LKJ"),
    "a scale that is no prior": (lambda: LKJ(scale=1.0), "LKJ.scale", "1.0", "HalfNormal"),
    "a class in place of a prior": (lambda: GaussianMixture(2, weights=Dirichlet), "weights", "Dirichlet", "Give"),
    "too few names": (_names("a"), "component_names", "'a'", "one name for each"),
    "too many names": (_names("a", "b", "c"), "component_names", "'c'", "one name for each"),
    "equal names": (_names("a", "a"), "component_names", "('a', 'a')", "all different"),
    "one string for two": (lambda: GaussianMixture(2, component_names="ab"), "component_names", "'ab'", "one name"),
    "negative concentration": (lambda: Dirichlet(-1), "Dirichlet.concentration", "-1", "greater than 0"),
    "zero concentration": (lambda: Dirichlet([1, 0]), "Dirichlet.concentration", "[1, 0]", "greater than 0"),
    "NaN concentration": (lambda: Dirichlet(NAN), "Dirichlet.concentration", "nan", "finite"),
    "infinite concentration": (lambda: Dirichlet([1, INF]), "Dirichlet.concentration", "inf", "finite"),
    "no concentration": (lambda: Dirichlet([]), "Dirichlet.concentration", "[]", "finite"),
    "None as concentration": (lambda: Dirichlet(None), "Dirichlet.concentration", "None", "finite"),
    "a word as concentration": (lambda: Dirichlet("one"), "Dirichlet.concentration", "'one'", "finite"),
    "concentration by cube": (lambda: Dirichlet(np.ones((2, 2, 2))), "Dirichlet.concentration", "array", "at most 2"),
    "ragged concentration": (lambda: Dirichlet([[1], [1, 2]]), "Dirichlet.concentration", "[[1], [1, 2]]", "finite"),
    "concentrations for other K": (
        lambda: GaussianMixture(3, weights=Dirichlet([1, 2])),
        "Dirichlet.concentration",
        "(2,)",
        "(3,)",
    ),
    "sticks": (lambda: StickBreaking(0), "StickBreaking.concentration", "0", "greater than 0"),
    "vector for sticks": (lambda: StickBreaking([1, 2]), "StickBreaking.concentration", "[1, 2]", "finite number"),
    "weights that miss 1": (lambda: FixedWeights([0.5, 0.4]), "FixedWeights.values", "0.9", "sum 1"),
    "negative weight": (lambda: FixedWeights([1.5, -0.5]), "FixedWeights.values", "-0.5", "greater than 0"),
    "NaN weight": (lambda: FixedWeights([1.0, NAN]), "FixedWeights.values", "nan", "finite"),
    "weights for other K": (
        lambda: GaussianMixture(3, weights=FixedWeights([0.5, 0.5])),
        "FixedWeights.values",
        "2 weights",
        "one weight for each",
    ),
    "negative sigma": (lambda: NormalMeans(sigma=-2), "NormalMeans.sigma", "-2", "greater than 0"),
    "NaN mean": (lambda: NormalMeans(mu=[0, NAN]), "NormalMeans.mu", "nan", "finite"),
    "means for other d": (_fill(means=NormalMeans(mu=[0, 1, 2])), "NormalMeans.mu", "(3,)", "(2, 2)"),
    "sigmas for other K": (_fill(means=NormalMeans(sigma=np.ones((3, 2)))), "NormalMeans.sigma", "(3, 2)", "(2, 2)"),
    "locs for other d": (_fill(means=ConjugateMeans(loc=[0, 1, 2])), "ConjugateMeans.loc", "(3,)", "(2,)"),
    "infinite loc": (lambda: ConjugateMeans(loc=INF), "ConjugateMeans.loc", "inf", "finite"),
    "no shrinkage": (
        lambda: ConjugateMeans(precision_scale=0),
        "ConjugateMeans.precision_scale",
        "0",
        "greater than 0",
    ),
    "fixed means for other K": (_fill(means=FixedMeans([[0, 1]])), "FixedMeans.values", "(1, 2)", "one row for each"),
    "fixed means for other d": (_fill(means=FixedMeans([0, 1])), "FixedMeans.values", "(2,)", "one column for each"),
    "NaN fixed mean": (lambda: FixedMeans([0, NAN]), "FixedMeans.values", "nan", "finite"),
    "negative df": (lambda: InverseWishart(-1), "InverseWishart.df", "-1", "greater than 0"),
    "df too small": (_fill(d=3, covariances=InverseWishart(2)), "InverseWishart.df", "2.0", "greater than 2"),
    "NaN df": (lambda: InverseWishart(NAN), "InverseWishart.df", "nan", "finite"),
    "indefinite scale": (lambda: InverseWishart(5, [[1, 2], [2, 1]]), "InverseWishart.scale", "(1, 2)", "definite"),
    "asymmetric scale": (lambda: InverseWishart(5, [[1, 0.5], [0.4, 1]]), "InverseWishart.scale", "0.4", "symmetric"),
    "negative scale": (lambda: InverseWishart(5, [1, -1]), "InverseWishart.scale", "-1", "definite"),
    "scale not square": (lambda: InverseWishart(5, [[1, 0, 0]]), "InverseWishart.scale", "(1, 3)", "d x d"),
    "zero on the diagonal": (lambda: InverseWishart(5, [[0, 0], [0, 1]]), "InverseWishart.scale", "(0, 0)", "definite"),
    "infinite scale": (lambda: InverseWishart(5, INF), "InverseWishart.scale", "inf", "finite"),
    "scale for other d": (
        _fill(covariances=InverseWishart(9, np.eye(3))),
        "InverseWishart.scale",
        "(3, 3)",
        "(2, 2)",
    ),
    "matrix scale in Diagonal": (
        _fill(covariances=Diagonal(InverseWishart(9, [[2, 1], [1, 2]]))),
        "InverseWishart.scale",
        "(2, 2)",
        "(2,)",
    ),
    "vector scale in Spherical": (
        _fill(covariances=Spherical(InverseWishart(9, [1, 2]))),
        "InverseWishart.scale",
        "(2,)",
        "(1,)",
    ),
    "zero eta": (lambda: LKJ(0), "LKJ.eta", "0", "greater than 0"),
    "eta by vector": (lambda: LKJ([1, 2]), "LKJ.eta", "[1, 2]", "finite number"),
    "scales for other d": (_fill(covariances=LKJ(scale=HalfNormal([1, 2, 3]))), "HalfNormal.sigma", "(3,)", "(2,)"),
    "negative half-normal": (lambda: HalfNormal(-1), "HalfNormal.sigma", "-1", "greater than 0"),
    "negative rate": (lambda: Exponential(-1), "Exponential.lam", "-1", "greater than 0"),
    "negative shape": (lambda: Gamma(-1, 2), "Gamma.alpha", "-1", "greater than 0"),
    "zero rate": (lambda: Gamma(1, 0), "Gamma.beta", "0", "greater than 0"),
    "NaN log-normal": (lambda: LogNormal(NAN, 1), "LogNormal.mu", "nan", "finite"),
    "zero log-normal": (lambda: LogNormal(0, 0), "LogNormal.sigma", "0", "greater than 0"),
    "zero df of chi": (lambda: ScaledInverseChi(0, 1), "ScaledInverseChi.df", "0", "greater than 0"),
    "NaN df of chi": (lambda: ScaledInverseChi(NAN, 1), "ScaledInverseChi.df", "nan", "finite"),
    "negative scale of chi": (lambda: ScaledInverseChi(3, -1), "ScaledInverseChi.scale", "-1", "greater than 0"),
    "scales of chi for other d": (
        _fill(covariances=LKJ(scale=ScaledInverseChi(3, [1, 2, 3]))),
        "ScaledInverseChi.scale",
        "(3,)",
        "(2,)",
    ),
    "negative fixed covariance": (
        _fill(covariances=FixedCovariances(-1)),
        "FixedCovariances.values",
        "-1",
        "positive definite",
    ),
    "asymmetric fixed covariance": (
        _fill(covariances=FixedCovariances([[1, 0.5], [0.4, 1]])),
        "FixedCovariances.values",
        "0.4",
        "symmetric",
    ),
    "fixed covariances for other K": (
        _fill(covariances=FixedCovariances(np.stack([np.eye(2)] * 3))),
        "FixedCovariances.values",
        "(3, 2, 2)",
        "one for each",
    ),
    "NaN fixed covariance": (lambda: FixedCovariances(NAN), "FixedCovariances.values", "nan", "finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_argument(name):
    act, argument, value, remedy = BAD[name]
    with pytest.raises(InputError) as caught:
        act()
    error = caught.value
    assert isinstance(error, ValueError)
    assert argument in error.argument
    assert value in error.problem
    assert remedy in error.problem + error.remedy
    assert str(error) == f"{error.argument}: {error.problem}. {error.remedy}"


def test_number_in_place_of_names():
    with pytest.raises(InputError, match=r"component_names: got \('3',\) for n_components = 2"):
        GaussianMixture(2, component_names=3)


@pytest.mark.parametrize("inner", [Tied(Full()), FixedCovariances(1.0)])
def test_tied_takes_plain_structures_only(inner):
    with pytest.raises(UnsupportedError, match=r"Tied does not work with .*Use Tied\(Full") as caught:
        Tied(inner)
    assert isinstance(caught.value, BayesGMMError)


def test_prior_of_a_scale_is_missing_without_data():
    prior = LKJ()
    with pytest.raises(InputError, match=r"LKJ.scale: was left out.*Fit the model to data"):
        prior.matrix_log_density(np.ones((1, 1, 1)))
