"""Floating point operations of a traced function: its matrix products and convolutions.

    2 m n k of a product (m, k) (k, n);  2 |y| k c of a convolution: |y| results, k taps, c channels

A multiplication and an addition are two operations, zeros beyond an edge are numbers too, and what
acts on single numbers is not counted. The trace says how often the body of a scan runs, which XLA's
own cost analysis leaves out.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax


class _Flops(NamedTuple):
    """Operations outside of branches, and in branches (`jax.lax.cond`), the longest of each."""

    always: int
    in_branches: int


def count_flops(function: Callable[..., Any], *args: Any) -> int:
    """Count the operations of function(*args), which is traced and not run.

    A branch in a scan counts in every turn but one, as of the samplers: Heun's correction is left
    out of the last step. A `jax.lax.while_loop` counts once: how often it runs is not in the trace.
    """
    return sum(_of_jaxpr(jax.make_jaxpr(function)(*args).jaxpr))


def _of_jaxpr(jaxpr: Any) -> _Flops:
    return _total([_of_equation(equation) for equation in jaxpr.eqns])


def _of_equation(equation: Any) -> _Flops:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        taken = math.prod(left[axis] for axis in contracted)
        return _Flops(2 * equation.outvars[0].aval.size * taken, 0)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        taken = kernel.size // kernel.shape[params["dimension_numbers"].rhs_spec[0]]
        return _Flops(2 * equation.outvars[0].aval.size * taken, 0)
    parts = [_of_jaxpr(inner) for value in params.values() for inner in _jaxprs(value)]
    if name == "cond":
        return _Flops(0, max(sum(part) for part in parts))
    if name != "scan":
        return _total(parts)
    (always, in_branches), turns = _total(parts), params["length"]
    return _Flops(turns * always + max(turns - 1, 0) * in_branches, 0)


def _total(parts: list[_Flops]) -> _Flops:
    return _Flops(sum(part.always for part in parts), sum(part.in_branches for part in parts))


def _jaxprs(value: Any) -> Iterator[Any]:
    """The traces among an equation's parameters."""
    if hasattr(value, "eqns"):
        yield value
    elif hasattr(value, "jaxpr"):
        yield value.jaxpr
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _jaxprs(item)
