"""`jaxcalo doctor`."""

import os
import platform
import shutil
import sys
import time
from importlib.metadata import version


def doctor() -> None:
    """Say what this machine offers and whether the package works on it.

    Prints versions, devices and memory, and makes a test computation.
    """
    import jax

    from jaxcalo.cli.runtime import cache_folder
    from jaxcalo.units import GeV

    print(
        f"jaxcalo {version('jaxcalo')}, Python {platform.python_version()} on {platform.platform()}"
    )
    for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "h5py"):
        print(f"  {name:<18} {version(name)}")
    print(
        f"devices               {', '.join(str(device) for device in jax.devices())} "
        f"({jax.default_backend()})"
    )
    print(f"CPU cores             {len(os.sched_getaffinity(0))}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"memory                {memory:.1f} GiB")
    print(f"free disk here        {shutil.disk_usage('.').free / 2**30:.1f} GiB")
    print(f"compilation cache     {cache_folder()}")
    error, rate = _check_computation()
    works = error < 1e-4
    print(f"matrix products       {rate:.0f} GFLOP/s in float32")
    print(
        f"compiled == reference {'yes' if works else 'NO'} "
        f"(largest relative difference {error:.1e})"
    )
    _check_samples(GeV)
    if not works:
        print(
            "jaxcalo: error: this jax computes wrongly on this machine; install another version",
            file=sys.stderr,
        )
        raise SystemExit(1)


def _check_computation() -> tuple[float, float]:
    """Compare a compiled network-like function with float64, and time matrix products.

    Returns:
        The largest relative error, and the rate of the products in GFLOP/s.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    a = np.asarray(jax.random.normal(jax.random.key(0), (512, 512)), np.float64)
    expected = np.tanh(a @ a / 512**0.5).sum(axis=1)
    compiled = jax.jit(lambda x: jnp.tanh(x @ x / 512**0.5).sum(axis=1))
    found = np.asarray(compiled(a.astype(np.float32)), np.float64)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    n, repeats = 2048, 5
    b = jnp.ones((n, n))
    product = jax.jit(jnp.matmul)
    product(b, b).block_until_ready()
    start = time.perf_counter()
    for _ in range(repeats):
        product(b, b).block_until_ready()
    return float(error), 2 * n**3 * repeats / (time.perf_counter() - start) / 1e9


def _check_samples(gev: float) -> None:
    from jaxcalo.data import SAMPLES, open_showers, sample_path

    for name in SAMPLES:
        with open_showers(sample_path(name)) as file:
            energy = file.read(0, file.n_showers).incident_energy_mev
            print(
                f"sample {name:<18} {file.n_showers} showers, "
                f"{energy.min() / gev:.3g}-{energy.max() / gev:.3g} GeV"
            )
