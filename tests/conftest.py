"""Eight faked CPU devices for every test; a test that wants one device makes a mesh of one.

Programs are compiled without LLVM's optimisations, which takes half of the time: networks in tests
are small and run a few times.
"""

import os

import jax

UNOPTIMISED = "--xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {UNOPTIMISED}"
jax.config.update("jax_num_cpu_devices", 8)
