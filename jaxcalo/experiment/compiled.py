"""Compilation as a measurement: its time, as if for the first time, and the memory it plans."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.experimental.compilation_cache import compilation_cache


class CompiledAnew(NamedTuple):
    """A program and what compiling it told.

    Attributes:
        compiled: The program.
        compile_s: Time of tracing and compiling, s.
        planned_bytes: See `planned_bytes`.
    """

    compiled: jax.stages.Compiled
    compile_s: float
    planned_bytes: int | None


def compiled_anew(program: Any, *args: Any, n_devices: int = 1) -> CompiledAnew:
    """Compile a jitted function for these arguments, not looking into JAX's cache."""
    with without_cache():
        started = time.perf_counter()
        compiled = program.lower(*args).compile()
        compile_s = time.perf_counter() - started
    return CompiledAnew(compiled, compile_s, planned_bytes(compiled, n_devices))


def planned_bytes(compiled: jax.stages.Compiled, n_devices: int) -> int | None:
    """Arguments, results and intermediate values on all devices, as XLA plans them."""
    plan = compiled.memory_analysis()
    if plan is None:
        return None
    parts = (plan.argument_size_in_bytes, plan.output_size_in_bytes, plan.temp_size_in_bytes)
    return n_devices * sum(parts)


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
    """Compile as if for the first time: JAX's folder of compiled programs is left aside."""
    name = "jax_enable_compilation_cache"
    enabled = getattr(jax.config, name)
    jax.config.update(name, False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update(name, enabled)
        compilation_cache.reset_cache()
