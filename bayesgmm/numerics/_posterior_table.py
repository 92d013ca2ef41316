"""What the compiled log posterior works on."""

from __future__ import annotations

import ctypes
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from bayesgmm.numerics._kernels import direct_pass
from bayesgmm.numerics._posterior_kernel import ARRAYS, PASS, WHOLE, compiled

Array = NDArray[np.float64]

_CALLED = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *(ctypes.c_void_p,) * 4)


class Table:
    """The pointers behind which a density finds all it works on, and the arrays that they point to.

    Parameters
    ----------
    n_free_weights : int
        How many coordinates are those of weights.
    arrays : dict of arrays
        What `place` and `collect` take besides workspace, by name, and ``x`` (d, N or 0) and ``row_weights`` (N or 0,).
        Arrays are float64 and C-contiguous.
    """

    def __init__(self, n_free_weights: int, arrays: dict[str, Array]) -> None:
        (K, d), p = arrays["means_0"].shape, len(arrays["to_local"])
        n, n_weighted, n_scales = arrays["x"].shape[1], arrays["row_weights"].size, arrays["scales"].size
        workspace = {"u": p, "log_weights": K, "means": (K, d), "constants": K, "by_u": p, "work": (3, d, d)}
        workspace |= dict.fromkeys(("L", "A", "inverse", "second"), (K, d, d))
        workspace |= {"counts": K, "first": (K, d), "weight_slopes": K}
        self._sizes = np.array([WHOLE, p, K, d, n, n_weighted, n_free_weights, n_scales], dtype=float)
        # Whoever keeps these and the pointers keeps all that the compiled function reads.
        self.arrays = {**arrays, **{name: np.zeros(shape) for name, shape in workspace.items()}, "sizes": self._sizes}
        density, _, place, collect = compiled()
        pointers = [self._sizes.ctypes.data, _address_of_pass() if n else 0, place.address, collect.address]
        self.pointers = np.array(pointers + [self.arrays[name].ctypes.data for name in ARRAYS], dtype=np.uintp)

        self._v, self._gradient, self._value = np.empty(p), np.empty(p), np.empty(1)
        where = (self._v, self._gradient, self._value, self.pointers)
        self._call = partial(_CALLED(density.address), p, *(array.ctypes.data for array in where))

    def evaluate(self, stage: int, v: Array) -> tuple[float, Array]:
        """What one stage adds to the log density at `v`, and the gradient after the last one."""
        self._sizes[0], self._v[:] = stage, v
        self._call()
        return float(self._value[0]), self._gradient.copy()


@cache
def _address_of_pass() -> int:
    direct_pass.compile(PASS)
    found = direct_pass.overloads[PASS]
    return found.library.get_pointer_to_function(found.fndesc.llvm_cfunc_wrapper_name)
