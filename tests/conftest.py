"""Eight faked CPU devices for every test; a test that wants one device makes a mesh of one."""

import jax

jax.config.update("jax_num_cpu_devices", 8)
