"""Numbers into features: noise level, conditions, and the place of a cell in the detector."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from jaxcalo.nets.linear import Dense
from jaxcalo.typing import Conds

# Angular frequencies of the noise level, per unit of c_noise: a quarter turn over the widest range
# in use (log SNR / 4 in about [-5, 5]) up to ten turns over the narrowest (t in [0, 1]); chosen.
LOWEST_FREQUENCY = 0.25
HIGHEST_FREQUENCY = 64.0


def fourier_features(x: Array, n_frequencies: int = 32) -> Array:
    """Expand a number in sines and cosines of fixed, log-spaced frequencies.

    features = [sin(w_k x), cos(w_k x)], w_k = w_0 (w_1 / w_0)^(k / (n - 1))

    Args:
        x: (b,) numbers, c_noise of the parametrization.
        n_frequencies: n above, at least 2.

    Returns:
        (b, 2 n) f32.

    Source: Vaswani et al., arXiv:1706.03762, section 3.5, with other frequencies.
    """
    frequencies = np.geomspace(LOWEST_FREQUENCY, HIGHEST_FREQUENCY, n_frequencies)
    phase = x.astype(jnp.float32)[:, None] * jnp.asarray(frequencies, jnp.float32)
    return jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)


def _octaves(highest: float) -> np.ndarray:
    """1, 2, 4, ... not above `highest`; at least 1."""
    return 2.0 ** np.arange(1 + math.floor(math.log2(max(highest, 1))))


def _waves(phase: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    angles = phase[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


def positional_encoding(shape: Sequence[int], periodic_axis: int | None = None) -> np.ndarray:
    """Encode the cells of a grid by sines and cosines of every coordinate.

    An open axis of n cells: pi 2^j (i + 1/2) / n for 2^j <= n. The periodic axis: the harmonics
    2^j phi_i with phi_i = 2 pi (i + 1/2) / n for 2^j <= n / 2, equal at phi and phi + 2 pi.
    The encodings of the axes stand one after another; no two cells have the same.

    Args:
        shape: cells along every axis.
        periodic_axis: the axis that closes on itself, or None.

    Returns:
        (product of shape, features) f32, first axis slowest.
    """
    encodings = []
    for axis, n in enumerate(shape):
        place = (np.arange(n) + 0.5) / n
        if axis == periodic_axis:
            wave = _waves(2 * math.pi * place, _octaves(n / 2))
        else:
            wave = _waves(math.pi * place, _octaves(n))
        stretch = [1] * len(shape) + [wave.shape[-1]]
        stretch[axis] = n
        encodings.append(np.broadcast_to(wave.reshape(stretch), (*shape, wave.shape[-1])))
    joined = np.concatenate(encodings, axis=-1)
    return joined.reshape(-1, joined.shape[-1]).astype(np.float32)


def cylindrical_encoding(shape: Sequence[int]) -> np.ndarray:
    """`positional_encoding` of a grid (layer, azimuth, radius), periodic in azimuth."""
    return positional_encoding(shape, periodic_axis=1)


def planar_encoding(shape: Sequence[int]) -> np.ndarray:
    """`positional_encoding` of a grid (y, x), open on all sides."""
    return positional_encoding(shape)


class ScalarEmbedding(nn.Module):
    """CaloDiffusion's embedding of a number or a short vector.

    Linear(c, 32) GELU Linear(32, 64) GELU Linear(64, size); 6,336 parameters for c = 1, size = 64.

    Source: Amram & Pedro, arXiv:2308.03876, section III.

    Attributes:
        size: size of the embedding.
    """

    size: int = 64

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Embed x (b, c) into (b, size)."""
        h = jax.nn.gelu(Dense(32)(x), approximate=False)
        h = jax.nn.gelu(Dense(64)(h), approximate=False)
        return Dense(self.size)(h)


class ConditionEmbedding(nn.Module):
    """One vector from the noise level and the conditions of an event.

    SiLU(MLP(fourier_features(c_noise)) + MLP(cond)), both with one hidden layer; without conditions
    (c = 0) the first alone.

    Attributes:
        size: size of the embedding.
        hidden: width of the hidden layers.
        compute_dtype: type of the result; the embedding itself is small and computed in f32.
    """

    size: int
    hidden: int = 128
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, c_noise: Array, cond: Conds) -> Array:
        """Embed noise levels (b,) and conditions (b, c) into (b, size)."""
        noise = jax.nn.silu(Dense(self.hidden, name="noise_in")(fourier_features(c_noise)))
        if not cond.shape[-1]:
            joined = Dense(self.size, name="noise_out")(noise)
            return jax.nn.silu(joined).astype(self.compute_dtype)
        given = jax.nn.silu(Dense(self.hidden, name="cond_in")(cond.astype(jnp.float32)))
        joined = Dense(self.size, name="noise_out")(noise) + Dense(self.size, name="cond_out")(
            given
        )
        return jax.nn.silu(joined).astype(self.compute_dtype)
