"""The CaloChallenge's two classifiers: networks that tell generated showers from Geant4's.

They map inputs (b, d) to logits (b, n_outputs). They start as the layers of the organisers'
framework start: linear weights and biases uniform within 1 / sqrt(fan_in). Their type is that of x;
run under `jax.enable_x64` they start and compute in float64.

Source: CaloChallenge, arXiv:2410.21611, section 4 (classifiers).
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from jaxcalo.nets.linear import Initializer, dense, scaled_uniform
from jaxcalo.typing import Events, Key

PLANES = (32, 64, 64, 128)
STRIDES = (1, 2, 2, 2)
BLOCKS_PER_STAGE = 2
NEGATIVE_SLOPE = 0.01

_WITHIN_ROOT_FAN_IN = scaled_uniform(1 / 3)  # a variance of 1 / (3 fan_in)


def _uniform_bias(fan_in: int) -> Initializer:
    """Start a bias uniformly within 1 / sqrt(fan_in) of the layer."""

    def init(key: Key, shape: Sequence[int]) -> Array:
        bound = 1 / math.sqrt(fan_in)
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return init


def _normal_fan_out(key: Key, shape: Sequence[int], dtype: Any) -> Array:
    """Start a kernel (*taps, c in, c out) normally with variance 2 / (taps c out).

    Source: He et al., arXiv:1502.01852, eq. 14.
    """
    std = math.sqrt(2 / (math.prod(shape[:-2]) * shape[-1]))
    return std * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


class _Linear(nn.Module):
    """y = x W + b."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        fan_in = x.shape[-1]
        kernel = self.param("kernel", _WITHIN_ROOT_FAN_IN, (fan_in, self.features))
        bias = self.param("bias", _uniform_bias(fan_in), (self.features,))
        return dense(x, kernel, bias)


class MlpClassifier(nn.Module):
    """Linear layers with LeakyReLU between them: of voxels, or of high-level features.

    (d hidden + hidden) + (n_hidden - 1)(hidden^2 + hidden) + (hidden + 1) n_outputs parameters for
    d inputs. The published dropout probability is zero, so there is no dropout.

    Attributes:
        hidden: size of the hidden layers.
        n_hidden: number of hidden layers, the one that reads the inputs included.
        n_outputs: logits; 1 for two classes.
        widths: sizes of hidden layers that are not all equal, instead of hidden and n_hidden.
        negative_slope: of the LeakyReLU.
    """

    hidden: int = 2048
    n_hidden: int = 3
    n_outputs: int = 1
    widths: tuple[int, ...] | None = None
    negative_slope: float = NEGATIVE_SLOPE

    @nn.compact
    def __call__(self, x: Events, train: bool = False) -> Array:
        """Return logits (b, n_outputs) of inputs (b, d), the same in training and evaluation."""
        del train
        widths = (self.hidden,) * self.n_hidden if self.widths is None else self.widths
        for i, width in enumerate(widths):
            x = jax.nn.leaky_relu(_Linear(width, name=f"hidden_{i}")(x), self.negative_slope)
        return _Linear(self.n_outputs, name="out")(x)


def _conv(x: Array, features: int, taps: int, stride: int, name: str) -> Array:
    """Convolve three axes, padded with (taps - 1) / 2 zeros on both sides, without bias."""
    return nn.Conv(
        features,
        (taps,) * 3,
        (stride,) * 3,
        padding=taps // 2,
        use_bias=False,
        kernel_init=_normal_fan_out,
        param_dtype=x.dtype,
        name=name,
    )(x)


def _batch_norm(x: Array, train: bool, name: str) -> Array:
    """Normalise every channel over the batch and the grid.

    In training with the batch's mean and variance, which also move the running ones by a tenth; in
    evaluation with the running ones. The running variance is that of the batches with divisor n,
    the organisers' has n - 1: less than 0.1 % for batches of 1000 showers.

    Source: Ioffe & Szegedy, arXiv:1502.03167, algorithm 1.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,  # a channel that is constant becomes 0 and not 0/0
        param_dtype=x.dtype,
        force_float32_reductions=False,  # float64 stays float64
        name=name,
    )(x)


def _max_pool(x: Array) -> Array:
    """Take the maximum of 3 cells at stride 2 on three axes, with nothing beyond the borders."""
    border = ((0, 0), *[(1, 1)] * 3, (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 3, 1), (1, 2, 2, 2, 1), border)


class _BasicBlock(nn.Module):
    """Two convolutions of three taps around a shortcut: ReLU(shortcut(x) + f(x)).

    The shortcut is x, or a convolution of one tap where the size or the channels change.
    """

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        y = _conv(x, self.features, 3, self.stride, "conv_0")
        y = jax.nn.relu(_batch_norm(y, train, "norm_0"))
        y = _batch_norm(_conv(y, self.features, 3, 1, "conv_1"), train, "norm_1")
        if self.stride != 1 or x.shape[-1] != self.features:
            x = _conv(x, self.features, 1, self.stride, "shortcut")
            x = _batch_norm(x, train, "shortcut_norm")
        return jax.nn.relu(x + y)


class ResNetClassifier(nn.Module):
    """Three-dimensional residual network of 18 layers on a regular cylinder, for accelerators.

    A convolution of 7 taps and stride 2, BatchNorm, ReLU, a maximum over 3 cells of stride 2; four
    stages of two blocks; the mean over the grid; a linear layer that also sees the normalised
    log10 E_inc. The borders are zero on all axes, in azimuth too, as published.

    The running averages of the normalisations are the collection "batch_stats": in training call
    ``apply(variables, x, True, mutable=["batch_stats"])``.

    Source: He et al., arXiv:1512.03385 (table 1, 18 layers); Tran et al., arXiv:1711.11248 (3-D).

    Attributes:
        grid: (n_layers, n_azimuth, n_radius).
        n_outputs: logits; 1 for two classes.
    """

    grid: tuple[int, int, int]
    n_outputs: int = 1

    @nn.compact
    def __call__(self, x: Events, train: bool = False) -> Array:
        """Evaluate the network.

        Args:
            x: (b, 1 + n_voxels) low-level inputs: log10 E_inc, then the voxels in file order.
            train: normalise with the batch's statistics rather than the running ones.

        Returns:
            (b, n_outputs) logits.
        """
        log_energy, cells = x[:, :1], x[:, 1:].reshape(-1, *self.grid, 1)
        y = _conv(cells, PLANES[0], 7, 2, "stem")
        y = jax.nn.relu(_batch_norm(y, train, "stem_norm"))
        y = _max_pool(y)
        for stage, (features, stride) in enumerate(zip(PLANES, STRIDES, strict=True)):
            for i in range(BLOCKS_PER_STAGE):
                name = f"stage_{stage}_{i}"
                y = _BasicBlock(features, stride if i == 0 else 1, name=name)(y, train)
        condition = _batch_norm(log_energy, train, "energy_norm")
        features = jnp.concatenate([y.mean(axis=(1, 2, 3)), condition], axis=1)
        return _Linear(self.n_outputs, name="out")(features)
