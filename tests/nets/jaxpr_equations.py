"""Look inside a traced function."""

import jax


def _inner(value):
    if hasattr(value, "eqns"):
        yield value
    elif hasattr(value, "jaxpr"):
        yield value.jaxpr
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _inner(item)


def _walk(jaxpr, in_loop):
    for equation in jaxpr.eqns:
        yield equation, in_loop
        loop = in_loop or equation.primitive.name in ("scan", "while")
        for value in equation.params.values():
            for inner in _inner(value):
                yield from _walk(inner, loop)


def equations(function, *args):
    """All (equation, whether it is in a loop) of the jaxpr of function(*args)."""
    return list(_walk(jax.make_jaxpr(function)(*args).jaxpr, False))


def products_with_long_rows(found):
    """Matrix products of more than two dimensions that no batch dimension explains."""
    return [
        e
        for e, _ in found
        if e.primitive.name == "dot_general"
        and not e.params["dimension_numbers"][1][0]
        and max(v.aval.ndim for v in e.invars) > 2
    ]
