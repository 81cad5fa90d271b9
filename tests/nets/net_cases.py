"""Random inputs and parameters, made without compiling an initialiser."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

N_DRAWS = 20_000

# Compiles in half the time; the networks are small and run once.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def _draws(seed):
    return np.asarray(jax.random.normal(jax.random.key(seed), (N_DRAWS,)))


def normal(seed, shape):
    """Up to N_DRAWS standard normal numbers."""
    return jnp.asarray(_normal(seed, shape))


def _normal(seed, shape):
    size = math.prod(shape)
    assert size <= N_DRAWS
    return _draws(seed)[:size].reshape(shape)


def random_params(net, *args):
    """Parameters of a net away from the zeros that it starts with, 1 / sqrt(fan_in) wide."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(net.init, jax.random.key(0), *args))
    arrays = []
    for seed, leaf in enumerate(leaves):
        width = 1 / math.sqrt(math.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.3
        # multiplied by numpy: JAX would compile a product for every shape
        arrays.append(jnp.asarray(width * _normal(seed, leaf.shape)))
    return tree.unflatten(arrays)


def net_inputs(grid, n=2, channels=2, conditions=2):
    """x, c_noise, cond."""
    return normal(100, (n, *grid, channels)), normal(101, (n,)), normal(102, (n, conditions))


def assert_close(a, b, relative=1e-5):
    """Two trees of arrays agree, relative to the largest number of each array."""
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        assert np.max(np.abs(one - other)) <= relative * np.max(np.abs(other))
