"""What jax2onnx does not convert, or not exactly, written in what it does.

It has no `pad` with gaps or of an unknown batch, writes `cumprod` as an operator that ONNX Runtimes
in use do not know, and `expm1` and `log1p` as the difference and sum that they are there to avoid.
The Sigmoid of ONNX Runtime is exact to 1e-7 of 1, but a schedule's alpha and sigma near their ends
are the roots of its values down to 3e-7 (2e-3 of some voxels' shower before it was replaced).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Literal


def plain_program(program: ClosedJaxpr) -> Callable[..., list[Array]]:
    """The same program of arrays, inlined, without these."""

    def run(*arguments: Array) -> list[Array]:
        return _run(program, arguments)

    return run


def _run(program: ClosedJaxpr, arguments: Sequence[Array]) -> list[Array]:
    jaxpr = program.jaxpr
    values = dict(zip(jaxpr.constvars, program.consts, strict=True))
    values |= dict(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        values |= dict(zip(equation.outvars, _apply(equation, inputs), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation: Any, inputs: list[Array]) -> list[Array]:
    params = equation.params
    match equation.primitive.name:
        case "pad":
            return [_pad(inputs[0], inputs[1], params["padding_config"])]
        case "cumprod":
            return [_cumprod(inputs[0], params["axis"], params["reverse"])]
        case "expm1":
            return [_expm1(inputs[0])]
        case "logistic":
            return [1.0 / (1.0 + jnp.exp(-inputs[0]))]
        case "log1p":
            return [_log1p(inputs[0])]
        case "jit":
            return _run(params["jaxpr"], inputs)
        case "custom_jvp_call":
            return _run(params["call_jaxpr"], inputs)
        case "scan":
            return _scan(params, inputs)
    outputs = equation.primitive.bind(*inputs, **params)
    return outputs if equation.primitive.multiple_results else [outputs]


def _scan(params: dict[str, Any], inputs: list[Array]) -> list[Array]:
    n_consts, n_carry = params["num_consts"], params["num_carry"]
    consts, state = inputs[:n_consts], inputs[n_consts:][:n_carry]

    def body(carry: list[Array], row: list[Array]) -> tuple[list[Array], list[Array]]:
        outputs = _run(params["jaxpr"], [*consts, *carry, *row])
        return outputs[:n_carry], outputs[n_carry:]

    rows = inputs[n_consts + n_carry :]
    settings = {"length": params["length"], "reverse": params["reverse"]}
    state, stacked = lax.scan(body, state, rows, **settings)
    return [*state, *stacked]


def _expm1(x: Array) -> Array:
    """`lax.expm1`, exact where e^x rounds to 1: the errors of e^x and of its logarithm cancel.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, section 1.14.1 (Kahan).
    """
    u = jnp.exp(x)
    quotient = (u - 1.0) * x / jnp.log(u)
    return jnp.where(u == 1.0, x, jnp.where((u == 0.0) | jnp.isinf(u), u - 1.0, quotient))


def _log1p(x: Array) -> Array:
    """`lax.log1p`, likewise."""
    u = 1.0 + x
    quotient = x * jnp.log(u) / (u - 1.0)
    return jnp.where(u == 1.0, x, jnp.where(jnp.isinf(u), u, quotient))


def _cumprod(x: Array, axis: int, reverse: bool) -> Array:
    """`lax.cumprod`: each step doubles how many factors an element has."""
    n, one = x.shape[axis], jnp.ones((), x.dtype)
    step = 1
    while step < n:
        ones = _filled(x, one, axis, step)
        if reverse:
            parts = [lax.slice_in_dim(x, step, n, axis=axis), ones]
        else:
            parts = [ones, lax.slice_in_dim(x, 0, n - step, axis=axis)]
        x, step = x * lax.concatenate(parts, axis), 2 * step
    return x


def _pad(x: Array, value: Array, config: Sequence[tuple[int, int, int]]) -> Array:
    """`lax.pad` by concatenation."""
    for axis, (low, high, gap) in enumerate(config):
        n = x.shape[axis]
        if gap > 0:
            column = lax.expand_dims(x, [axis + 1])
            wide = lax.concatenate([column, _filled(column, value, axis + 1, gap)], axis + 1)
            wide = wide.reshape(*x.shape[:axis], n * (gap + 1), *x.shape[axis + 1 :])
            x = lax.slice_in_dim(wide, 0, (n - 1) * (gap + 1) + 1, axis=axis)
        if low < 0 or high < 0:
            x = lax.slice_in_dim(x, max(0, -low), x.shape[axis] + min(0, high), axis=axis)
        before = [_filled(x, value, axis, low)] if low > 0 else []
        behind = [_filled(x, value, axis, high)] if high > 0 else []
        if before or behind:
            x = lax.concatenate([*before, x, *behind], axis)
    return x


def _filled(x: Array, value: Array, axis: int, size: int) -> Array:
    """An array like x, but of another size along an axis, that holds a value."""
    return jnp.broadcast_to(value, (*x.shape[:axis], size, *x.shape[axis + 1 :]))
