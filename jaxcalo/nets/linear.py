"""The one matrix product of every network, and how its weights start.

``x @ W`` on an N-dimensional x gives weight gradients whose transposed copies XLA:CPU fuses with
the whole backward chain of the normalisation before it: the training step is twice as slow. So
`dense` flattens to two dimensions first.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jaxcalo.typing import Key

Initializer = Callable[..., Array]


def scaled_uniform(gain: float = 1.0) -> Initializer:
    """Start weights uniformly with variance gain / fan_in.

    The numbers are drawn flat and then shaped: drawn in N dimensions, or as a normal, they take XLA
    several times longer to compile.

    Source: LeCun et al., Efficient BackProp (1998), eq. 16.

    Args:
        gain: variance of the result over the variance of the input.

    Returns:
        Initializer (key, shape) of kernels (..., in, out), fan_in the product of all but the last.
    """

    def init(key: Key, shape: Sequence[int]) -> Array:
        bound = math.sqrt(3 * gain / math.prod(shape[:-1]))
        draws = jax.random.uniform(key, (math.prod(shape),), minval=-bound, maxval=bound)
        return draws.reshape(shape)

    return init


def zeros(key: Key, shape: Sequence[int]) -> Array:
    """Start weights at zero: the initializer of last layers, gates and biases."""
    del key
    return jnp.zeros(shape)


def dense(x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """Multiply the last axis by a matrix, as one product of two-dimensional arrays.

    y = x W + b

    Args:
        x: any shape, features last.
        kernel: (features in, features out), of the type of x.
        bias: (features out,) f32, or None.

    Returns:
        The shape of x with its last axis replaced, in the type of kernel.
    """
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1]) @ kernel
    if bias is not None:
        # In the type of the bias, so that its gradient is not summed up in bf16.
        rows = (rows.astype(bias.dtype) + bias).astype(kernel.dtype)
    return rows.reshape(*x.shape[:-1], kernel.shape[-1])


class Dense(nn.Module):
    """A trainable `dense`: f32 parameters, computed in `compute_dtype`.

    Attributes:
        features: size of the output.
        use_bias: add a bias, which starts at zero.
        kernel_init: initializer of the matrix.
        compute_dtype: type of the product and of the result.
    """

    features: int
    use_bias: bool = True
    kernel_init: Initializer = scaled_uniform()
    compute_dtype: Any = jnp.float32

    def __call__(self, x: Array) -> Array:
        """Apply to the last axis of x."""
        dtype = self.compute_dtype
        kernel, bias = self.weights(x.shape[-1])
        return dense(x.astype(dtype), kernel.astype(dtype), bias)

    @nn.compact
    def weights(self, n_in: int) -> tuple[Array, Array | None]:
        """The kernel (n_in, features) and the bias (features,), f32."""
        kernel = self.param("kernel", self.kernel_init, (n_in, self.features))
        return kernel, self.param("bias", zeros, (self.features,)) if self.use_bias else None
