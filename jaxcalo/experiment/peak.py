"""What the machine can do at most: its own measured rate of matrix products.

    rate = 2 n^3 / time of (n, n) (n, n),    the best over n and repeats

Fractions of it say how much of the machine a program uses. Products of float32 run at JAX's default
precision, as those of the networks do: on newer GPUs that is TF32.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcalo.experiment.clock import Elapsed, elapsed, repeated

# Chosen: from what fits into a cache to what fills a large accelerator.
_SIZES = tuple(2**k for k in range(8, 15))
# A size that takes longer is the last: the rate does not grow beyond it.
_LONG_S = 0.05
_REPEATS = 5


class Peak(NamedTuple):
    """The measured rate of matrix products on one device.

    Attributes:
        dtype: Type of the numbers.
        size: Rows of the square matrices with the best rate.
        gflops_per_s: 1e9 floating point operations a second.
        gflops_per_cpu_s: The same for a second of CPU time; None on an accelerator.
    """

    dtype: str
    size: int
    gflops_per_s: float
    gflops_per_cpu_s: float | None


def measure_peak(dtype: str) -> Peak:
    """Measure the best rate of products of square matrices on the first device."""
    best = Peak(dtype, 0, 0.0, 0.0)
    product = jax.jit(jnp.matmul)
    for size in _SIZES:
        matrix = jnp.ones((size, size), dtype)
        elapsed(lambda matrix=matrix: product(matrix, matrix))  # compiles
        repeats = repeated(lambda matrix=matrix: product(matrix, matrix), _REPEATS)
        gflop = 2e-9 * size**3
        fastest = min(repeat.wall_s for repeat in repeats)
        if gflop / fastest > best.gflops_per_s:
            of_cpu = gflop / min(repeat.cpu_s for repeat in repeats) if _on_cpu() else None
            best = Peak(dtype, size, gflop / fastest, of_cpu)
        if fastest > _LONG_S:
            break
    return best


def rates(flops: float, time: Elapsed, peak: Peak, n_devices: int = 1) -> dict[str, Any]:
    """Rates of a program, and which fractions of the machine's peak they are.

    Devices of a CPU share its cores, so its peak is that of one; accelerators add up.

    Args:
        flops: Operations of one call, on all devices.
        time: Of one call.
        peak: Of one device.
        n_devices: That share the call.

    Returns:
        gflop, gflops_per_s, fraction_of_peak, and for a second of CPU time gflops_per_cpu_s and
        cpu_fraction_of_peak (None on an accelerator).
    """
    gflop, of_cpu = 1e-9 * flops, peak.gflops_per_cpu_s
    rate, n_peaks = gflop / time.wall_s, 1 if _on_cpu() else n_devices
    cpu_rate = None if of_cpu is None else gflop / time.cpu_s
    return {
        "gflop": gflop,
        "gflops_per_s": rate,
        "fraction_of_peak": rate / (n_peaks * peak.gflops_per_s),
        "gflops_per_cpu_s": cpu_rate,
        "cpu_fraction_of_peak": None if of_cpu is None or cpu_rate is None else cpu_rate / of_cpu,
    }


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"
