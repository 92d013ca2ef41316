"""The log density of a mixture as a PyTensor operation round the one pass over the data.

One kernel call gives the log density of every row and the expected statistics. Where all rows count alike, which is
so in every ordinary model, the gradient is a closed form in these statistics (Fisher's identity: the gradient of the
log-likelihood is the expected gradient of the complete log-likelihood) and the data are read once for value and
gradient together.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, grad_not_implemented
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayesgmm.numerics import _kernels
from bayesgmm.numerics._numba_cache import cached_njit
from bayesgmm.numerics.linalg import lower_mask

# Rows are transposed in blocks that stay in the cache; a transposed copy of all data would be written and read again.
_BLOCK = 4096
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def kernel_version(*modules: Any) -> int:
    """A number that changes with the source of `modules`.

    PyTensor's cache of compiled functions does not see the source of what an operation calls, so it would go on
    running an old kernel after an update.
    """
    sources = "".join(inspect.getsource(module) for module in modules)
    return int(hashlib.sha256(sources.encode()).hexdigest()[:12], 16)


@cached_njit(nogil=True, error_model="numpy")
def _inverse_lower(choleskys):
    """Inverses of lower triangular matrices (K, d, d) and logs of their determinants (K,)."""
    K, d = choleskys.shape[:2]
    inverses, log_dets = np.zeros((K, d, d)), np.zeros(K)
    for k in range(K):
        for j in range(d):
            inverses[k, j, j] = 1.0 / choleskys[k, j, j]
            log_dets[k] += math.log(inverses[k, j, j]) if inverses[k, j, j] > 0.0 else math.nan
            for i in range(j + 1, d):
                value = 0.0
                for m in range(j, i):
                    value -= choleskys[k, i, m] * inverses[k, m, j]
                inverses[k, i, j] = value / choleskys[k, i, i]
    return inverses, log_dets


@cached_njit(nogil=True, error_model="numpy")
def _is_inside(log_weights, means, inverses, log_dets):
    """Whether the parameters are those of a mixture; a weight may be 0."""
    for k in range(log_weights.size):
        if math.isnan(log_weights[k]) or log_weights[k] == math.inf or not math.isfinite(log_dets[k]):
            return False
        for j in range(means.shape[1]):
            if not math.isfinite(means[k, j]):
                return False
            for i in range(means.shape[1]):
                if not math.isfinite(inverses[k, j, i]):
                    return False
    return log_weights.max() > -math.inf


@cached_njit(nogil=True, error_model="numpy")
def density_pass(x, log_weights, means, choleskys):
    """Log density (N,) of rows x (N, d), expected counts (K,), first (K, d) and second moments (K, d, d) about means.

    Outside the parameters' domain, which samplers visit, log densities are -inf and the statistics NaN.
    """
    n, d = x.shape
    K = log_weights.size
    log_density = np.empty(n)
    counts, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    inverses, log_dets = _inverse_lower(choleskys)
    if not _is_inside(log_weights, means, inverses, log_dets):
        log_density.fill(-math.inf)
        counts.fill(math.nan)
        first.fill(math.nan)
        second.fill(math.nan)
        return log_density, counts, first, second
    constants = np.empty(K)
    for k in range(K):
        constants[k] = log_weights[k] + log_dets[k] - d * _HALF_LOG_TWO_PI
    rows, no_responsibilities, no_weights = np.empty((d, min(n, _BLOCK))), np.empty((K, 0)), np.empty(0)
    for start in range(0, n, _BLOCK):
        w = min(_BLOCK, n - start)
        for i in range(w):
            for j in range(d):
                rows[j, i] = x[start + i, j]
        _kernels.direct_pass(
            rows,
            0,
            w,
            constants,
            means,
            inverses,
            no_weights,
            counts,
            first,
            second,
            no_responsibilities,
            log_density[start : start + w],
        )
    for k in range(K):
        for j in range(d):
            for i in range(j):
                second[k, i, j] = second[k, j, i]
    return log_density, counts, first, second


@cached_njit(nogil=True, error_model="numpy")
def _weighted_statistics(x, constants, means, inverses, row_weights):
    """Expected statistics in which every row counts as often as its weight (N,) says."""
    n, d = x.shape
    K = constants.size
    counts, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    log_joint, residual = np.empty(K), np.empty(d)
    for i in range(n):
        for k in range(K):
            log_joint[k] = constants[k]
            for a in range(d):
                y = 0.0
                for b in range(a + 1):
                    y += inverses[k, a, b] * (x[i, b] - means[k, b])
                log_joint[k] -= 0.5 * y * y
        peak = log_joint.max()
        total = 0.0
        for k in range(K):
            total += math.exp(log_joint[k] - peak)
        for k in range(K):
            r = row_weights[i] * math.exp(log_joint[k] - peak) / total
            counts[k] += r
            for a in range(d):
                residual[a] = x[i, a] - means[k, a]
                first[k, a] += r * residual[a]
                for b in range(a + 1):
                    second[k, a, b] += r * residual[a] * residual[b]
    for k in range(K):
        for a in range(d):
            for b in range(a):
                second[k, b, a] = second[k, a, b]
    return counts, first, second


@cached_njit(nogil=True, error_model="numpy")
def gradient_pass(x, log_weights, means, choleskys, row_weights, counts, first, second):
    """Gradient of sum row_weights * log_density in log weights (K,), means (K, d) and Choleskys (K, d, d).

    `counts`, `first` and `second` are those of `density_pass`; the data are only read where row weights differ.
    """
    n, d = x.shape
    K = log_weights.size
    inverses, log_dets = _inverse_lower(choleskys)
    scale = row_weights[0] if n > 0 else 0.0
    uniform = True
    for i in range(1, n):
        uniform &= row_weights[i] == scale
    if not uniform:
        counts, first, second = _weighted_statistics(
            x, log_weights + log_dets - d * _HALF_LOG_TWO_PI, means, inverses, row_weights
        )
        scale = 1.0

    by_log_weights, by_means, by_choleskys = np.empty(K), np.zeros((K, d)), np.zeros((K, d, d))
    half, inner = np.empty((d, d)), np.empty((d, d))
    for k in range(K):
        A, S = inverses[k], second[k]
        by_log_weights[k] = scale * counts[k]
        # With A = L^-1: means A' A first, Choleskys the lower part of A' (A S A' - count I).
        for a in range(d):
            y = 0.0
            for b in range(a + 1):
                y += A[a, b] * first[k, b]
            for b in range(a + 1):
                by_means[k, b] += scale * A[a, b] * y
            for b in range(d):
                half[a, b] = 0.0
                for c in range(a + 1):
                    half[a, b] += A[a, c] * S[c, b]
        for a in range(d):
            for b in range(d):
                inner[a, b] = 0.0
                for c in range(b + 1):
                    inner[a, b] += half[a, c] * A[b, c]
            inner[a, a] -= counts[k]
        for a in range(d):
            for b in range(a + 1):
                value = 0.0
                for c in range(a, d):
                    value += A[c, a] * inner[c, b]
                by_choleskys[k, a, b] = scale * value
    return by_log_weights, by_means, by_choleskys


KERNEL_VERSION = kernel_version(_kernels, inspect.getmodule(kernel_version))


class _MixtureOp(Op):
    """What the operations below share: inputs (x, log_weights, means, choleskys, ...) in double precision."""

    __props__ = ()
    _axes: tuple[int, ...] = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Check the axes of the inputs."""
        variables = [pt.cast(pt.as_tensor_variable(value), "float64") for value in inputs]
        for variable, axes in zip(variables, self._axes, strict=True):
            if variable.type.ndim != axes:
                raise TypeError(f"{type(self).__name__} wants {self._axes} axes; {variable} has {variable.type.ndim}")
        return Apply(self, variables, self._output_types(variables))

    @abstractmethod
    def _output_types(self, variables: list[Any]) -> list[Variable]:
        """Types of the outputs."""


class MixtureLogDensity(_MixtureOp):
    """Log density of every row and the expected statistics of all.

    Inputs are x (N, d), log_weights (K,), means (K, d) and choleskys (K, d, d), the lower triangular factors of the
    covariances; what lies above their diagonals is not read. Outputs are log_density (N,), counts (K,), first (K, d)
    and second (K, d, d), the moments about the means. Only log_density has a gradient, and not in x.
    """

    _axes = (2, 1, 2, 3)

    def _output_types(self, variables: list[Any]) -> list[Variable]:
        n, (K, d) = variables[0].type.shape[0], variables[2].type.shape
        return [pt.tensor(shape=shape, dtype="float64") for shape in ((n,), (K,), (K, d), (K, d, d))]

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        """Compute without PyTensor's compiler."""
        results = density_pass(*(np.ascontiguousarray(value) for value in inputs))
        for storage, result in zip(output_storage, results, strict=True):
            storage[0] = result

    def pullback(
        self, inputs: Sequence[Variable], outputs: Sequence[Variable], cotangents: Sequence[Variable]
    ) -> list[Variable]:
        """Gradient by Fisher's identity."""
        by_rows, *by_statistics = cotangents
        by_x = grad_not_implemented(self, 0, inputs[0], "Data are given, so no sampler can move them.")
        if any(not isinstance(cotangent.type, DisconnectedType) for cotangent in by_statistics):
            comment = "Expected statistics serve the gradient and have none of their own."
            return [by_x, *(grad_not_implemented(self, i, inputs[i], comment) for i in (1, 2, 3))]
        if isinstance(by_rows.type, DisconnectedType):
            return [by_x, *(DisconnectedType()() for _ in range(3))]
        return [by_x, *mixture_gradient(*inputs, by_rows, *outputs[1:])]  # type: ignore[misc]


class MixtureGradient(_MixtureOp):
    """Gradient of sum row_weights * log_density in log_weights, as K free numbers, means and choleskys.

    Inputs are those of `MixtureLogDensity`, row_weights (N,) and its outputs counts, first and second.
    """

    _axes = (2, 1, 2, 3, 1, 1, 2, 3)

    def _output_types(self, variables: list[Any]) -> list[Variable]:
        return [variable.type() for variable in variables[1:4]]

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        """Compute without PyTensor's compiler."""
        results = gradient_pass(*(np.ascontiguousarray(value) for value in inputs))
        for storage, result in zip(output_storage, results, strict=True):
            storage[0] = result


class InverseLower(_MixtureOp):
    """Inverses of lower triangular matrices (n, d, d); what lies above the diagonals is not read.

    PyTensor's own batched triangular solver does the same, but three seconds of compiling go into every use of it.
    """

    _axes = (3,)

    def _output_types(self, variables: list[Any]) -> list[Variable]:
        return [variables[0].type()]

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        """Compute without PyTensor's compiler."""
        output_storage[0][0] = _inverse_lower(np.ascontiguousarray(inputs[0]))[0]

    def pullback(
        self, inputs: Sequence[Variable], outputs: Sequence[Variable], cotangents: Sequence[Variable]
    ) -> list[Variable]:
        """Gradient from d(T^-1) = -T^-1 dT T^-1."""
        (inverse,), (cotangent,) = outputs, cotangents
        transposed = pt.swapaxes(inverse, -1, -2)
        d = inverse.type.shape[-1]  # type: ignore[attr-defined]
        mask = pt.tri(inverse.shape[-1]) if d is None else lower_mask(d)  # type: ignore[attr-defined]
        return [-matrix_product(matrix_product(transposed, cotangent), transposed) * mask]


def matrix_product(left: Any, right: Any) -> Any:
    """Products of small matrices (..., d, d) from elementary operations.

    PyTensor's matrix product compiles for 15 seconds wherever it occurs, and the matrices here are tiny.
    """
    return (left[..., :, :, None] * right[..., None, :, :]).sum(axis=-2)


mixture_log_density = MixtureLogDensity()
mixture_gradient = MixtureGradient()
inverse_lower = InverseLower()


# The functions below take arrays of any layout and hand on contiguous ones, for which alone the kernels are compiled.
@register_funcify_default_op_cache_key(MixtureLogDensity)
def _(op: MixtureLogDensity, node: Apply, **kwargs: Any) -> tuple[Any, int]:
    @numba_njit
    def mixture_log_density(x, log_weights, means, choleskys):
        return density_pass(
            np.ascontiguousarray(x),
            np.ascontiguousarray(log_weights),
            np.ascontiguousarray(means),
            np.ascontiguousarray(choleskys),
        )

    return mixture_log_density, KERNEL_VERSION


@register_funcify_default_op_cache_key(MixtureGradient)
def _(op: MixtureGradient, node: Apply, **kwargs: Any) -> tuple[Any, int]:
    @numba_njit
    def mixture_gradient(x, log_weights, means, choleskys, row_weights, counts, first, second):
        return gradient_pass(
            np.ascontiguousarray(x),
            np.ascontiguousarray(log_weights),
            np.ascontiguousarray(means),
            np.ascontiguousarray(choleskys),
            np.ascontiguousarray(row_weights),
            np.ascontiguousarray(counts),
            np.ascontiguousarray(first),
            np.ascontiguousarray(second),
        )

    return mixture_gradient, KERNEL_VERSION


@register_funcify_default_op_cache_key(InverseLower)
def _(op: InverseLower, node: Apply, **kwargs: Any) -> tuple[Any, int]:
    @numba_njit
    def inverse_lower(matrices):
        return _inverse_lower(np.ascontiguousarray(matrices))[0]

    return inverse_lower, KERNEL_VERSION
