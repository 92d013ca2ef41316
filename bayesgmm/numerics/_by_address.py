"""Calls of compiled functions by their addresses.

numba links a function into each that calls it and optimises it again there, level after level. What is called by its
address is compiled once, also in another process. numba's cache looks at a function's own file alone: who changes a
signature has to touch the files of its callers, or old code of theirs would call with other arguments.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

INTEGERS, VECTOR = types.int64[::1], types.float64[::1]
MATRIX, MATRICES = types.float64[:, ::1], types.float64[:, :, ::1]


def caller(signature: Any) -> Any:
    """A function for compiled code that calls the C function of this signature at an address, with a tuple."""

    @intrinsic
    def call(_context: Any, address: Any, arguments: Any) -> Any:
        if tuple(arguments.types) != signature.args:  # nothing else would notice
            raise TypingError(f"A function of {signature.args} is called with {tuple(arguments.types)}")

        def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            returned, *given = (context.get_value_type(kind) for kind in (signature.return_type, *signature.args))
            cast = builder.inttoptr if isinstance(address, types.Integer) else builder.bitcast
            function = cast(values[0], ir.FunctionType(returned, given).as_pointer())
            return builder.call(function, cgutils.unpack_tuple(builder, values[1]))

        return signature.return_type(address, arguments), generate

    return call
