"""Calls of compiled functions by their addresses.

numba links a function into each that calls it, and optimises it again there, level after level. What is called by its
address is compiled once.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic


def caller(signature: Any) -> Any:
    """A function for compiled code: it calls the C function of this signature at an address with a tuple of arguments."""

    @intrinsic
    def call(_context: Any, address: Any, arguments: Any) -> Any:
        if tuple(arguments.types) != signature.args:  # nothing else would look
            raise TypingError(f"a function of {signature.args} is called with {tuple(arguments.types)}")

        def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            returned, *given = (context.get_value_type(of) for of in (signature.return_type, *signature.args))
            function = builder.inttoptr(values[0], ir.FunctionType(returned, given).as_pointer())
            return builder.call(function, cgutils.unpack_tuple(builder, values[1]))

        return signature.return_type(address, arguments), generate

    return call
