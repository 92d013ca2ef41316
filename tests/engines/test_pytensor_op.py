"""The operation against scipy, PyTensor's own derivatives and finite differences."""

import importlib.util

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.gradient import NullTypeGradError
from pytensor.link.numba.dispatch.basic import numba_funcify_and_cache_key

from bayesgmm.engines import _pytensor_op
from bayesgmm.engines._pytensor_op import (
    density_pass,
    gradient_pass,
    inverse_lower,
    kernel_version,
    mixture_log_density,
)
from tests.contract import derivative, log_joint_by_scipy

# PyTensor's own evaluator calls `perform`; nothing but our kernels is compiled.
PYTHON = "FAST_COMPILE"
SIZES = pytest.mark.parametrize(("K", "d"), [(1, 1), (3, 1), (3, 2), (2, 5)])


def point(K, d, n, seed=0):
    rng = np.random.default_rng(seed)
    choleskys = np.tril(0.4 * rng.normal(size=(K, d, d)), -1) + rng.uniform(0.5, 1.5, size=(K, d, 1)) * np.eye(d)
    return rng.normal(size=(n, d)), np.log(rng.dirichlet(np.full(K, 3.0))), rng.normal(size=(K, d)), choleskys


def by_scipy(x, log_weights, means, choleskys):
    return np.logaddexp.reduce(log_joint_by_scipy(x.T, log_weights, means, choleskys), axis=0)


def statistics_by_numpy(x, log_weights, means, choleskys, row_weights):
    log_joint = log_joint_by_scipy(x.T, log_weights, means, choleskys)
    r = np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=0)) * row_weights
    delta = x[None] - means[:, None]
    return r.sum(axis=1), np.einsum("kn,kni->ki", r, delta), np.einsum("kn,kni,knj->kij", r, delta, delta)


def variables():
    return [pt.matrix("x"), pt.vector("log_weights"), pt.matrix("means"), pt.tensor3("choleskys")]


def compiled(row_weights, mode):
    """Values and gradients of sum g * log density as a function of x, parameters and g (N,), or a number g."""
    inputs = variables()
    g = pt.vector("g") if row_weights else pt.scalar("g")
    outputs = mixture_log_density(*inputs)
    slopes = pytensor.grad((g * outputs[0]).sum(), inputs[1:])
    return pytensor.function([*inputs, g], [*outputs, *slopes], mode=mode)


def symbolic(mode):
    """The same from elementary operations, by PyTensor's own derivatives."""
    x, log_weights, means, choleskys = inputs = variables()
    g = pt.vector("g")
    y = pt.linalg.solve_triangular(choleskys, (x - means[:, None]).mT, lower=True, b_ndim=2)
    log_dets = pt.log(pt.diagonal(choleskys, axis1=1, axis2=2)).sum(axis=1)
    constants = log_weights - log_dets - 0.5 * means.shape[1] * np.log(2 * np.pi)
    log_density = pt.logsumexp(constants[:, None] - 0.5 * pt.square(y).sum(axis=1), axis=0)
    slopes = pytensor.grad((g * log_density).sum(), inputs[1:])
    return pytensor.function([*inputs, g], [log_density, *slopes], mode=mode)


@pytest.mark.parametrize("n", [1, 700, 5000])
@SIZES
def test_value_equals_scipy(K, d, n):
    at = point(K, d, n)
    log_density, *statistics = density_pass(*at)
    np.testing.assert_allclose(log_density, by_scipy(*at), rtol=1e-12, atol=1e-11)
    for value, wanted in zip(statistics, statistics_by_numpy(*at, np.ones(n)), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-10, atol=1e-10)


@SIZES
def test_gradient_equals_differences(K, d):
    x, *parameters = point(K, d, 60)
    lower = np.tril(np.ones((K, d, d), dtype=bool))
    edges = np.cumsum([K, K * d])

    def unpacked(theta):
        log_weights, means, entries = np.split(theta, edges)
        choleskys = np.zeros((K, d, d))
        choleskys[lower] = entries
        return log_weights, means.reshape(K, d), choleskys

    theta = np.concatenate([parameters[0], parameters[1].ravel(), parameters[2][lower]])
    statistics = density_pass(x, *parameters)[1:]
    for g in (np.full(len(x), -1.7), np.random.default_rng(1).normal(size=len(x))):
        by_weights, by_means, by_choleskys = gradient_pass(x, *parameters, g, *statistics)
        wanted = derivative(lambda v, g=g: float(g @ density_pass(x, *unpacked(v))[0]), theta)
        found = np.concatenate([by_weights, by_means.ravel(), by_choleskys[lower]])
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-8 * np.abs(wanted).max())
        assert not by_choleskys[~lower].any()


def test_gradient_equals_that_of_elementary_operations():
    by_rows, at_once, elementary = compiled(True, PYTHON), compiled(False, PYTHON), symbolic(PYTHON)
    rng = np.random.default_rng(2)
    for K, d in ((1, 1), (3, 2), (2, 4)):
        at = point(K, d, 50, seed=3)
        uniform, varied = np.full(50, 0.7), rng.normal(size=50)
        for g, found in (
            (uniform, at_once(*at, 0.7)),
            (uniform, by_rows(*at, uniform)),
            (varied, by_rows(*at, varied)),
        ):
            log_density, *slopes = elementary(*at, g)
            np.testing.assert_allclose(found[0], log_density, rtol=1e-12, atol=1e-12)
            slopes[2] = np.tril(slopes[2])
            for value, wanted in zip(found[4:], slopes, strict=True):
                np.testing.assert_allclose(value, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.fit
def test_compiled_and_interpreted_agree():
    # Arrays that are not contiguous stand for every layout: each layout is compiled anew, which takes seconds.
    interpreted, machine = compiled(True, PYTHON), compiled(True, "NUMBA")
    at = point(3, 2, 900)
    strided = [np.repeat(value, 2, axis=-1)[..., ::2] for value in at]
    for g in (np.ones(900), np.random.default_rng(4).normal(size=900)):
        wanted = interpreted(*at, g)
        for value, expected in zip(machine(*strided, g), wanted, strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", [PYTHON, "NUMBA"])
def test_inverse_of_lower_triangular_matrices(mode):
    matrices, direction = pt.tensor3("matrices"), np.random.default_rng(5).normal(size=(2, 3, 3))
    inverses = inverse_lower(matrices)
    found = pytensor.function([matrices], [inverses, pytensor.grad((direction * inverses).sum(), matrices)], mode=mode)
    T = point(2, 3, 1)[3]
    values, slopes = found(T)
    np.testing.assert_allclose(values, np.linalg.inv(T), rtol=1e-12, atol=1e-12)
    lower = np.tril(np.ones((2, 3, 3), dtype=bool))

    def total(entries):
        matrix = np.zeros((2, 3, 3))
        matrix[lower] = entries
        return float((direction * np.linalg.inv(matrix)).sum())

    np.testing.assert_allclose(slopes[lower], derivative(total, T[lower]), rtol=1e-8, atol=1e-8)
    assert not slopes[~lower].any()


def test_gradient_in_the_data_raises():
    inputs = variables()
    cost = mixture_log_density(*inputs)[0].sum()
    with pytest.raises(NullTypeGradError, match="Data are given"):
        pytensor.grad(cost, inputs[0])


@pytest.mark.parametrize("output", [1, 2, 3])
def test_gradient_of_statistics_raises(output):
    inputs = variables()
    outputs = mixture_log_density(*inputs)
    for cost in (outputs[output].sum(), outputs[output].sum() + outputs[0].sum()):
        with pytest.raises(NullTypeGradError, match="have none of their own"):
            pytensor.grad(cost, inputs[2])


def test_second_derivative_raises():
    inputs = variables()
    slope = pytensor.grad(mixture_log_density(*inputs)[0].sum(), inputs[2])
    with pytest.raises((NotImplementedError, NullTypeGradError)):
        pytensor.grad(slope.sum(), inputs[2])


def test_wrong_number_of_axes_raises():
    x, log_weights, means, choleskys = variables()
    with pytest.raises(TypeError, match=r"MixtureLogDensity wants \(2, 1, 2, 3\) axes"):
        mixture_log_density(x[0], log_weights, means, choleskys)


def test_whole_numbers_are_converted():
    x, log_weights, _, choleskys = point(2, 2, 5)
    outputs = mixture_log_density(x, log_weights, np.array([[0, 1], [2, 3]]), choleskys)
    means = np.array([[0.0, 1.0], [2.0, 3.0]])
    found = outputs[0].eval(mode=PYTHON)
    np.testing.assert_allclose(found, by_scipy(x, log_weights, means, choleskys), rtol=1e-12)


def test_zero_weight_is_no_error():
    x, _, means, choleskys = point(2, 2, 20)
    log_density, counts, first, second = density_pass(x, np.array([0.0, -np.inf]), means, choleskys)
    wanted = by_scipy(x, np.zeros(1), means[:1], choleskys[:1])
    np.testing.assert_allclose(log_density, wanted, rtol=1e-12)
    np.testing.assert_allclose(counts, [20.0, 0.0], atol=1e-200)
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()


@pytest.mark.parametrize(
    ("which", "index", "value"),
    [
        (1, 0, np.nan),
        (1, 0, np.inf),
        (1, slice(None), -np.inf),
        (2, (0, 1), np.inf),
        (2, (1, 0), np.nan),
        (3, (0, 0, 0), 0.0),
        (3, (1, 1, 1), -1.0),
        (3, (1, 1, 0), np.inf),
        (3, (0, 1, 1), np.nan),
        (3, (0, 0, 0), 1e-320),
    ],
)
def test_outside_the_domain_the_density_is_zero(which, index, value):
    at = point(2, 2, 30)
    at[which][index] = value
    log_density, *statistics = density_pass(*at)
    np.testing.assert_array_equal(log_density, -np.inf)
    for slopes in gradient_pass(*at, np.ones(30), *statistics)[:2]:
        assert np.isnan(slopes).all()


def test_compiled_functions_are_cached_under_the_source_of_the_kernels(tmp_path, monkeypatch):
    def module(source):
        path = tmp_path / f"kernel{len(list(tmp_path.iterdir()))}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made

    one, same, other = module("x = 1\n"), module("x = 1\n"), module("x = 2\n")
    assert kernel_version(one) == kernel_version(same) != kernel_version(other)
    keys = set()
    for version in (_pytensor_op.KERNEL_VERSION, 1):
        monkeypatch.setattr(_pytensor_op, "KERNEL_VERSION", version)
        keys |= {numba_funcify_and_cache_key(op)[1] for op in (mixture_log_density, _pytensor_op.mixture_gradient)}
    assert len(keys) == 4
    assert None not in keys
