"""The PyMC model against the native density, for every declaration with proper parts; its sampling functions."""

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from bayesgmm import _schema, as_data, to_pymc
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._problem import build_problem
from bayesgmm.engines._pymc_model import (
    covariances_variable,
    matrix_variable,
    means_variable,
    scale_variable,
    sds_variable,
    weights_variable,
)
from bayesgmm.engines._pytensor_op import density_pass
from bayesgmm.engines.base import Parameters
from bayesgmm.model import (
    LKJ,
    ConjugateMeans,
    Diagonal,
    Dirichlet,
    FixedCovariances,
    FixedMeans,
    FixedWeights,
    Full,
    GaussianMixture,
    HalfNormal,
    InverseWishart,
    NormalMeans,
    Spherical,
    Tied,
)
from bayesgmm.numerics.simplex import isometric_basis
from tests import contract
from tests.test_layers import loaded_by

# The graphs are evaluated node by node; compiling some 60 of them would take minutes.
PYTHON = "FAST_COMPILE"
PROPER = [(name, factory) for name, factory in contract.TABLE if "flat" not in name]
IMPROPER = [(name, factory) for name, factory in contract.TABLE if "flat" in name]
PARAMETERS = ("weights", "means", "covariances")
# Other sizes for those whose graph depends on the size.
RESIZED = [
    (name, K, d)
    for K, d in ((1, 2), (2, 1), (2, 4))
    for name in (
        "dirichlet-vector/conjugate/full-iw",
        "sticks/conjugate/full-iw",
        "dirichlet-scalar/conjugate/full-lkj-gamma",
        "dirichlet-vector/normal-by-component/tied-full-lkj-gamma",
        "sticks/fixed-means/spherical-lkj-lognormal",
    )
]


class Compiled:
    """Log density with Jacobian of a model in context-free form: a function of one vector of free values."""

    def __init__(self, model):
        self.start = model.initial_point()
        outputs = model.replace_rvs_by_values([model[name] for name in PARAMETERS])
        self.function = model.compile_fn(
            [model.logp(), *outputs], inputs=model.value_vars, mode=PYTHON, on_unused_input="ignore", point_fn=True
        )
        self.origin = np.concatenate([np.ravel(self.start[v.name]) for v in model.value_vars] or [np.zeros(0)])
        self.names = [v.name for v in model.value_vars]

    def __call__(self, free):
        """Log density and the point in the data's units."""
        edges = np.cumsum([self.start[name].size for name in self.names])[:-1]
        parts = np.split(free, edges) if self.names else []
        shaped = {name: part.reshape(self.start[name].shape) for name, part in zip(self.names, parts, strict=True)}
        value, weights, means, covariances = self.function(shaped)
        choleskys = np.linalg.cholesky(covariances)
        return float(value), Parameters(log_weights=np.log(weights), means=means, choleskys=choleskys)


def native_coordinates(model, at):
    """Coordinates in which the native unconstrained density is one, from a point: the inverse of `Coordinates`."""
    K, d = at.means.shape
    parts = []
    if not isinstance(model.weights, FixedWeights):
        parts.append(isometric_basis(K).T @ at.log_weights)
    if not isinstance(model.means, FixedMeans):
        parts.append(at.means.ravel())
    covariances = model.covariances
    own = at.choleskys[:1] if isinstance(covariances, Tied) else at.choleskys
    structure = covariances.structure if isinstance(covariances, Tied) else covariances
    logs = np.log(np.diagonal(own, axis1=1, axis2=2))
    rows, columns = np.tril_indices(d, -1)
    match structure:
        case Full():
            parts += [logs.ravel(), own[:, rows, columns].ravel()]
        case Diagonal():
            parts.append(logs.ravel())
        case Spherical():
            parts.append(logs[:, 0])
        case _:
            assert isinstance(structure, FixedCovariances)
    return np.concatenate(parts) if parts else np.zeros(0)


def jacobian(function, at, step=2e-2):
    """Derivatives of a vector function by central differences with three steps, extrapolated (Richardson)."""
    columns = []
    for unit in step * np.eye(at.size):
        d1, d2, d4 = ((function(at + unit / c) - function(at - unit / c)) / (2 * step / c) for c in (1.0, 2.0, 4.0))
        columns.append((16 * (4 * d4 - d2) / 3 - (4 * d2 - d1) / 3) / 15)
    return np.stack(columns, axis=1) if columns else np.zeros((0, 0))


def assert_same_density(declaration, K, d, seed):
    rng = np.random.default_rng(seed)
    x = contract.small_data(K, d, 30, rng)
    model = contract.filled(declaration, d)
    native = Objective(contract.problem(model, x), unconstrained=True)
    density = Compiled(to_pymc(declaration, x.T))
    free = density.origin + 0.5 * rng.normal(size=density.origin.size)
    value, at = density(free)
    J = jacobian(lambda u: native_coordinates(model, density(u)[1]), free)
    volume = np.linalg.slogdet(J)[1] if J.size else 0.0
    # Every prior is normalised on both sides, so not even a constant is left over. Differences limit the digits.
    assert value == pytest.approx(native.value(at)[0] + volume, rel=1e-10, abs=1e-8)


@pytest.mark.fit
@pytest.mark.parametrize("factory", [factory for _, factory in PROPER], ids=[name for name, _ in PROPER])
def test_density_equals_the_native_one(factory):
    assert_same_density(factory(2, 3), 2, 3, seed=1)


@pytest.mark.parametrize(("name", "K", "d"), RESIZED)
def test_density_equals_the_native_one_at_other_sizes(name, K, d):
    assert_same_density(dict(contract.TABLE)[name](K, d), K, d, seed=2)


def test_default_priors_are_those_filled_from_the_data():
    # The native density is that of standardised data: it differs by one constant, and the Jacobian likewise.
    rng = np.random.default_rng(3)
    x = np.array([100.0, -3.0]) + np.array([20.0, 0.1]) * contract.small_data(2, 2, 40, rng).T
    declaration = GaussianMixture(2)
    of = build_problem(declaration, as_data(x))
    native, density = Objective(of, unconstrained=True), Compiled(to_pymc(declaration, x))
    differences = []
    for _ in range(3):
        free = density.origin + 0.5 * rng.normal(size=density.origin.size)
        value, at = density(free)
        J = jacobian(lambda u: native_coordinates(of.declared, density(u)[1]), free)
        differences.append(value - native.value(of.units.to_standard(at))[0] - np.linalg.slogdet(J)[1])
    np.testing.assert_allclose(differences, differences[0], rtol=0, atol=1e-7)


@pytest.mark.fit
@pytest.mark.parametrize(
    "name", ["sticks/conjugate/full-iw", "dirichlet-vector/normal-by-component/tied-full-lkj-gamma"]
)
def test_gradient_equals_differences(name):
    rng = np.random.default_rng(4)
    x = contract.small_data(2, 2, 30, rng)
    model = to_pymc(dict(contract.TABLE)[name](2, 2), x.T)
    density = Compiled(model)
    free = density.origin + 0.5 * rng.normal(size=density.origin.size)
    gradient = model.compile_fn(model.dlogp(), inputs=model.value_vars, mode=PYTHON, point_fn=False)
    edges = np.cumsum([density.start[v].size for v in density.names])[:-1]
    parts = zip(np.split(free, edges), density.names, strict=True)
    found = gradient(*(part.reshape(density.start[v].shape) for part, v in parts))
    wanted = contract.derivative(lambda u: density(u)[0], free)
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-8 * np.abs(wanted).max())


@pytest.mark.parametrize("factory", [factory for _, factory in IMPROPER], ids=[name for name, _ in IMPROPER])
def test_improper_parts_raise(factory):
    with pytest.raises(UnsupportedError, match=r"Flat\(\) (weights|means|covariances).*EM"):
        to_pymc(factory(2, 2), contract.small_data(2, 2, 20, np.random.default_rng(5)).T)


def opened(**changes):
    rng = np.random.default_rng(6)
    x = {"height": rng.normal(size=12), "width": 3.0 + rng.normal(size=12)}
    return to_pymc(GaussianMixture(3, component_names=("a", "b", "c"), **changes), x), np.column_stack(list(x.values()))


def test_names_and_dimensions_are_those_of_results():
    model, x = opened()
    for name in ("weights", "means", "covariances", "sds", "correlations", _schema.DATA):
        assert model.named_vars_to_dims[name] == _schema.DIMS[name]
    assert tuple(model.coords["component"]) == ("a", "b", "c")
    assert tuple(model.coords["feature"]) == tuple(model.coords["feature_bis"]) == ("height", "width")
    np.testing.assert_array_equal(model.coords["obs"], np.arange(12))
    np.testing.assert_array_equal(model["data"].get_value(), x)
    one = to_pymc(GaussianMixture(1), [1.0, 2.0, 4.0])
    assert "correlations" not in one.named_vars


def draws_of(model, n=40):
    return pm.sample_prior_predictive(n, model=model, random_seed=1, compile_kwargs={"mode": PYTHON})


@pytest.mark.parametrize(
    "changes",
    [{}, {"covariances": LKJ()}, {"covariances": Tied(Spherical(LKJ(scale=HalfNormal(2.0))))}],
    ids=["inverse-wishart", "lkj", "tied-spherical"],
)
def test_prior_predictive_draws(changes):
    model, x = opened(**changes)
    drawn = draws_of(model)
    prior = drawn["prior"].to_dataset()
    np.testing.assert_allclose(prior["weights"].sum("component"), 1.0, rtol=1e-12)
    variances = np.diagonal(prior["covariances"].values, axis1=-2, axis2=-1)
    np.testing.assert_allclose(np.sqrt(variances), prior["sds"].values, rtol=1e-10)
    assert np.abs(prior["correlations"]).max() <= 1 + 1e-12
    assert prior["means"].dims == ("chain", "draw", "component", "feature")
    assert drawn["prior_predictive"]["x"].shape == (1, 40, *x.shape)
    assert np.isfinite(drawn["prior_predictive"]["x"]).all()


def test_prior_draws_have_the_moments_of_the_prior():
    df, n = 9.0, 500
    scale = contract.a_scale_matrix(3)
    model = to_pymc(
        GaussianMixture(1, means=ConjugateMeans(np.arange(3.0), 0.5), covariances=InverseWishart(df, scale)),
        np.random.default_rng(7).normal(size=(5, 3)),
    )
    prior = draws_of(model, n)["prior"].to_dataset().isel(chain=0, component=0)
    sigma, means = prior["covariances"].values, prior["means"].values
    wanted = scale / (df - 3 - 1)
    error = sigma.std(axis=0) / np.sqrt(n)
    assert np.abs((sigma.mean(axis=0) - wanted) / error).max() < 4
    delta = means - np.arange(3.0)
    products = np.einsum("ni,nj->nij", delta, delta)
    assert np.abs((delta.mean(axis=0)) / (delta.std(axis=0) / np.sqrt(n))).max() < 4
    assert np.abs((products.mean(axis=0) - wanted / 0.5) / (products.std(axis=0) / np.sqrt(n))).max() < 4


def test_rows_drawn_are_those_of_the_mixture():
    K, d, n = 2, 2, 20_000
    means, scale = np.array([[0.0, 0.0], [3.0, -5.0]]), contract.a_scale_matrix(2)
    covariances = np.stack([scale, 2.0 * np.eye(2)])
    model = to_pymc(
        GaussianMixture(
            K,
            weights=FixedWeights([0.3, 0.7]),
            means=FixedMeans(means),
            covariances=FixedCovariances(covariances),
        ),
        np.zeros((n, d)) + np.arange(2.0),
    )
    rows = pm.draw(model["x"], random_seed=1, mode=PYTHON)
    assert rows.shape == (n, d)
    # Each coordinate is a mixture of two Normals, and so is their sum.
    for direction in (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([1.0, 1.0])):
        centres, sds = means @ direction, np.sqrt(np.einsum("i,kij,j->k", direction, covariances, direction))

        def cdf(t, centres=centres, sds=sds):
            return stats.norm.cdf((t[:, None] - centres) / sds) @ [0.3, 0.7]

        assert stats.kstest(rows @ direction, cdf).pvalue > 1e-3


@pytest.mark.fit
def test_sampling_an_extended_model():
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(-4.0, size=30), rng.normal(4.0, size=20)])
    with to_pymc(GaussianMixture(2), x) as model:
        # Two calibration measurements of the first mean, with an error that is estimated as well.
        pm.Normal("calibration", model["means"][0, 0], pm.HalfNormal("error"), observed=[-4.1, -3.8])
        result = pm.sample(
            50,
            tune=100,
            chains=2,
            cores=1,
            nuts_sampler="pymc",
            initvals={"means": np.array([[-4.0], [4.0]])},
            random_seed=1,
            progressbar=False,
            compute_convergence_checks=False,
            compile_kwargs={"mode": PYTHON},
        )
        posterior = result["posterior"].to_dataset()
        pm.compute_log_likelihood(result, var_names=["x"], progressbar=False, compile_kwargs={"mode": PYTHON})
        predicted = pm.sample_posterior_predictive(
            result, var_names=["x"], random_seed=2, progressbar=False, compile_kwargs={"mode": PYTHON}
        )
        # Fewer rows in the place of the old ones.
        pm.set_data({"data": x[:7, None]}, coords={"obs": range(7)})
        again = pm.sample_posterior_predictive(
            result, var_names=["x"], random_seed=2, progressbar=False, compile_kwargs={"mode": PYTHON}
        )
    found = posterior["means"].mean(("chain", "draw")).values[:, 0]
    np.testing.assert_allclose(found, [-4.0, 4.0], atol=1.0)
    assert posterior["error"].shape == (2, 50)
    pointwise = result["log_likelihood"]["x"]
    assert pointwise.dims == ("chain", "draw", "obs")
    for chain, draw in ((0, 0), (1, 49)):
        at = posterior.isel(chain=chain, draw=draw)
        parameters = np.log(at["weights"].values), at["means"].values, np.linalg.cholesky(at["covariances"].values)
        np.testing.assert_allclose(pointwise[chain, draw], density_pass(x[:, None], *parameters)[0], rtol=1e-10)
    assert predicted["posterior_predictive"]["x"].dims == ("chain", "draw", "obs", "feature")
    assert predicted["posterior_predictive"]["x"].shape == (2, 50, 50, 1)
    assert again["posterior_predictive"]["x"].shape == (2, 50, 7, 1)


def test_new_rows_are_evaluated_without_compiling_again():
    declaration = GaussianMixture(
        2, means=NormalMeans(0.0, 3.0), covariances=Full(InverseWishart(5.0, 1.0)), weights=Dirichlet(2.0)
    )
    rng = np.random.default_rng(9)
    first, second = rng.normal(size=(20, 2)), rng.normal(size=(33, 2))
    model = to_pymc(declaration, first)
    density = Compiled(model)
    free = density.origin + 0.3
    before, at = density(free)
    with model:
        pm.set_data({"data": second}, coords={"obs": range(33)})
    after, _ = density(free)
    sums = [density_pass(rows, at.log_weights, at.means, at.choleskys)[0].sum() for rows in (first, second)]
    assert after - before == pytest.approx(sums[1] - sums[0], rel=1e-10)


@pytest.mark.parametrize(
    ("registry", "arguments"),
    [
        (weights_variable, (2,)),
        (means_variable, (None,)),
        (covariances_variable, (("component",), 2)),
        (matrix_variable, (("component",), 2)),
        (sds_variable, (("component",),)),
        (scale_variable, ("name", ("component",))),
    ],
)
def test_parts_without_a_variable_raise(registry, arguments):
    class Unknown:
        pass

    with pytest.raises(UnsupportedError, match=rf"Unknown.*pymc_model\.{registry.__name__}\.register"):
        registry(Unknown(), *arguments)


def test_a_part_of_ones_own_can_be_registered():
    @dataclass(frozen=True)
    class LaplaceMeans(FixedMeans):
        pass

    @means_variable.register
    def _(spec: LaplaceMeans, choleskys):
        return pm.Laplace("means", 0.0, 2.0, dims=_schema.DIMS["means"])

    model, _ = opened(means=LaplaceMeans(np.zeros((3, 2))))
    assert model["means"].owner.op.name == "laplace"


def test_only_declarations_are_taken():
    with pytest.raises(InputError, match="Give a GaussianMixture"):
        to_pymc("GaussianMixture(2)", [1.0, 2.0])


def test_loading_the_package_leaves_the_model_module_alone():
    assert loaded_by("import bayesgmm", frozenset({"pymc", "pytensor"})) == set()
