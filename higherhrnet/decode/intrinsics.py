"""Two instructions that Numba does not offer."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


def _fma(typing_context, a, b, c):
    """The float32 a * b + c with one rounding."""

    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


def _larger(typing_context, a, b):
    """The larger of two float32 that are not NaN; of zeros of either sign, one of them.

    LLVM is told so, and only then takes the maximum of an array by vectors: in whatever order, it is the same.
    """

    def generate(context, builder, signature, arguments):
        flags = ("nnan", "nsz")
        first, second = arguments
        return builder.select(builder.fcmp_ordered(">", first, second, flags=flags), first, second, flags=flags)

    return types.float32(types.float32, types.float32), generate


# Of any type to a type checker: called without the typing context, which Numba puts in.
fma: Any = intrinsic(_fma)
larger: Any = intrinsic(_larger)
