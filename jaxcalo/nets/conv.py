"""Convolutions on the grid of a calorimeter: periodic in azimuth, zero outside elsewhere.

XLA:CPU runs three-dimensional convolutions on a slow path, two-dimensional ones on a fast one. So
on a CPU the azimuth is folded into the batch, one two-dimensional convolution gives the responses
to all azimuthal taps, and these are added after a roll, which costs the periodic boundary nothing:
5 times faster than the native form (experiments/benchmarks/conv_speed.py). Accelerators get the
native convolution. All layouts are decided here:

    x       (b, azimuth, layer, radius, c)  or  (b, y, x, c)
    weight  (k_azimuth, k_layer, k_radius, c in, c out)  or  (k_y, k_x, c in, c out)

A kernel of size k reads the cells s j + i - (k - 1) // 2, i = 0 ... k - 1, for the output j at
stride s; there are (n + 2 ((k - 1) // 2) - k) // s + 1 outputs along an axis of n cells.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from jaxcalo.errors import InputError
from jaxcalo.nets.linear import dense, scaled_uniform, zeros

Implementation = Literal["auto", "fold", "native"]
Gradient = Literal["auto", "plain"]

UNIT = (1, 1, 1)
# Chosen: of 512 to 2048 the fastest for 16 and 32 channels; 1024 rows of 16 x 9 numbers fill half a
# megabyte.
_ROWS = 1024


def _margin(kernel: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Padding on both sides of every axis."""
    return tuple(((k - 1) // 2, (k - 1) // 2) for k in kernel)


def _wrapped(x: Array, margin: tuple[int, int]) -> Array:
    """Continue the azimuth periodically on both sides."""
    return jnp.pad(x, ((0, 0), margin, (0, 0), (0, 0), (0, 0)), mode="wrap")


def _is_native(implementation: Implementation) -> bool:
    if implementation not in ("auto", "fold", "native"):
        raise InputError(
            f"A convolution expected implementation auto, fold or native, found {implementation}: "
            "choose one of the three."
        )
    return implementation == "native" or (
        implementation == "auto" and jax.default_backend() != "cpu"
    )


def _native(x: Array, w: Array, stride: Sequence[int]) -> Array:
    """The convolution as the library has it, on 2 or 3 axes."""
    margin = _margin(w.shape[:-2])
    if x.ndim == 5:
        x = _wrapped(x, margin[0])
        margin = ((0, 0), *margin[1:])
    axes = "DHW"[5 - x.ndim :]
    numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    return lax.conv_general_dilated(x, w, tuple(stride), margin, dimension_numbers=numbers)


def _folded(x: Array, w: Array, stride: Sequence[int]) -> Array:
    """Convolve (layer, radius) with the azimuth in the batch.

    The two-dimensional convolution pads itself: with no padding at all it leaves the fast path.
    """
    b, n_azimuth = x.shape[:2]
    y = lax.conv_general_dilated(
        x.reshape(b * n_azimuth, *x.shape[2:]),
        w,
        tuple(stride),
        _margin(w.shape[:2]),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(b, n_azimuth, *y.shape[1:])


def _add_rolled(y: Array, taps: int, axis: int) -> Array:
    """Sum the responses to the azimuthal taps, each at its place on the circle."""
    parts = jnp.split(y, taps, axis=-1)
    rolled = [jnp.roll(part, taps // 2 - i, axis) for i, part in enumerate(parts)]
    return sum(rolled[1:], start=rolled[0])


def _fold_rolled(x: Array, w: Array) -> Array:
    """Stride 1, odd kernel: all azimuthal taps in one convolution c -> k f, added after a roll."""
    taps, features = w.shape[0], w.shape[-1]
    kernel = w.transpose(1, 2, 3, 0, 4).reshape(*w.shape[1:4], taps * features)
    return _add_rolled(_folded(x, kernel, UNIT[1:]), taps, axis=1)


def _fold_stacked(x: Array, w: Array, stride: Sequence[int]) -> Array:
    """Any kernel and stride: the azimuthal neighbours of a cell become channels."""
    taps, step = w.shape[0], stride[0]
    margin = (taps - 1) // 2
    n_out = (x.shape[1] + 2 * margin - taps) // step + 1
    wide = _wrapped(x, (margin, margin))
    last = (n_out - 1) * step + 1
    stacked = jnp.concatenate([wide[:, i : i + last : step] for i in range(taps)], axis=-1)
    kernel = w.transpose(1, 2, 0, 3, 4).reshape(*w.shape[1:3], taps * w.shape[3], w.shape[4])
    return _folded(stacked, kernel, stride[1:])


def _rows_times(x: Array, w: Array) -> Array:
    """The folded convolution of `_fold_rolled` at stride 1, as matrix products.

    Its transpose in w, which is what it is for, is again matrix products, faster than XLA's
    gradient of a convolution: each of some azimuthal cells of an event, whose rows stay in the
    cache and are made again rather than kept. The columns hold the azimuthal taps, so that the
    smaller factor is the one that is copied.
    """
    taps, *plane, _, features = w.shape
    n_azimuth, n_layer, n_radius = x.shape[1:4]
    exact = x.dtype if x.dtype.itemsize >= 4 else jnp.float32  # sums over all cells
    matrix = w.transpose(0, 4, 1, 2, 3).reshape(taps * features, -1).astype(exact)
    padded = jnp.pad(x, ((0, 0), (0, 0), *_margin(plane), (0, 0)))
    together = _azimuths_together(n_azimuth, n_layer * n_radius)

    @jax.checkpoint
    def part_of_event(cells: Array, matrix: Array) -> Array:
        cells = cells.astype(exact)
        shifts = [(i, j) for i in range(plane[0]) for j in range(plane[1])]
        rows = [cells[:, i : i + n_layer, j : j + n_radius] for i, j in shifts]
        rows = jnp.concatenate(rows, axis=-1).reshape(-1, matrix.shape[1])
        return lax.dot_general(rows, matrix, (((1,), (1,)), ((), ())))

    def one_event(event: Array) -> Array:
        parts = event.reshape(-1, together, *event.shape[1:])
        y = lax.map(lambda cells: part_of_event(cells, matrix), parts)
        y = y.reshape(n_azimuth, n_layer, n_radius, -1)
        return _add_rolled(y, taps, axis=0).astype(x.dtype)

    return lax.map(one_event, padded)


def _azimuths_together(n_azimuth: int, n_plane: int) -> int:
    """Azimuthal cells of one matrix product: the most that divide all, of at most _ROWS rows."""
    sizes = [n for n in range(1, n_azimuth + 1) if n_azimuth % n == 0]
    return max([n for n in sizes if n * n_plane <= _ROWS], default=1)


@jax.custom_jvp
def _fold_unit(x: Array, w: Array) -> Array:
    """`_fold_rolled` at stride 1, with fast transposes in x and in w."""
    return _fold_rolled(x, w)


def _fold_unit_jvp(primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Any]:
    """Both terms are plain functions, so that every further transformation works on them."""
    (x, w), (dx, dw) = primals, tangents
    y = _fold_unit(x, w)
    terms = []
    # A term for a constant weight or input would cost a convolution of zeros. The one in x is not
    # `_fold_rolled`, whose transpose would compute the cotangent, and all that XLA fuses into it,
    # again for every tap.
    if not isinstance(dx, SymbolicZero):
        terms.append(_fold_stacked(dx, w, UNIT))
    if not isinstance(dw, SymbolicZero):
        terms.append(_rows_times(x, dw))
    return y, sum(terms[1:], start=terms[0]) if terms else jnp.zeros_like(y)


_fold_unit.defjvp(_fold_unit_jvp, symbolic_zeros=True)


def cylindrical_conv(
    x: Array,
    w: Array,
    stride: Sequence[int] = (1, 1, 1),
    implementation: Implementation = "auto",
    gradient: Gradient = "auto",
) -> Array:
    """Convolve on a cylinder: periodic in azimuth, zero beyond the layers and radii.

    y[j] = sum_i x[s j + i - (k - 1) // 2] w[i] along every axis

    Args:
        x: (b, azimuth, layer, radius, c).
        w: (k_azimuth, k_layer, k_radius, c, f), of the type of x.
        stride: step along (azimuth, layer, radius).
        implementation: "fold", "native" or "auto": fold on a CPU, native elsewhere.
        gradient: "auto": the fast transpose in w where there is one (folded, stride 1, odd kernel);
            "plain": always that of the library.

    Returns:
        (b, azimuth', layer', radius', f).
    """
    if _is_native(implementation):
        return _native(x, w, stride)
    if tuple(stride) == UNIT and all(k % 2 for k in w.shape[:3]):
        return _fold_unit(x, w) if gradient == "auto" else _fold_rolled(x, w)
    return _fold_stacked(x, w, stride)


def planar_conv(
    x: Array,
    w: Array,
    stride: Sequence[int] = (1, 1),
    implementation: Implementation = "auto",
    gradient: Gradient = "auto",
) -> Array:
    """Convolve on a plane, zero beyond its edges: a cylinder of one azimuthal cell when folded.

    Args:
        x: (b, y, x, c).
        w: (k_y, k_x, c, f), of the type of x.
        stride: step along (y, x).
        implementation: as of `cylindrical_conv`.
        gradient: as of `cylindrical_conv`.

    Returns:
        (b, y', x', f).
    """
    if _is_native(implementation):
        return _native(x, w, stride)
    return cylindrical_conv(x[:, None], w[None], (1, *stride), "fold", gradient)[:, 0]


def _in_blocks(w: Array, stride: Sequence[int]) -> Array:
    """A kernel (*k, c, f), padded by zeros, as (*taps, *stride, c, f): k = s t + p on each axis."""
    taps = [math.ceil(k / s) for k, s in zip(w.shape, stride, strict=False)]
    missing = [t * s - k for t, s, k in zip(taps, stride, w.shape, strict=False)]
    w = jnp.pad(w, [(0, n) for n in missing] + [(0, 0), (0, 0)])
    pairs = [n for pair in zip(taps, stride, strict=True) for n in pair]
    return w.reshape(*pairs, *w.shape[3:]).transpose(0, 2, 4, 1, 3, 5, 6, 7)


def conv_transpose(x: Array, w: Array, size: Sequence[int], stride: Sequence[int]) -> Array:
    """Transpose of a strided convolution: enlarge a grid to a given size.

    y[s j + i - (k - 1) // 2] = sum of x[j] w[i] along every axis; azimuth wraps round, cells
    beyond the other edges fall away. One matrix product from a cell and its neighbours to blocks of
    cells: no convolution, so that it is fast on every backend.

    Args:
        x: (b, azimuth, layer, radius, c) or (b, y, x, c).
        w: kernel (*k, c, f), of the type of x.
        size: cells of the result along every axis.
        stride: step of the convolution that this transposes, along every axis.

    Returns:
        (b, *size, f).
    """
    if x.ndim == 4:
        return conv_transpose(x[:, None], w[None], (1, *size), (1, *stride))[:, 0]
    zero, margin = jnp.zeros((), x.dtype), [(k - 1) // 2 for k in w.shape[:3]]
    w = _in_blocks(w, stride)
    for axis, taps in enumerate(w.shape[:3], start=1):
        shifted = []
        for t in range(taps):
            edges = [(0, 0, 0)] * 5
            edges[axis] = (t, taps - 1 - t, 0)
            shifted.append(lax.pad(x, zero, edges))
        x = jnp.concatenate(shifted, axis=-1)
    # The taps of the last axis stand first in the channels.
    matrix = w.transpose(2, 1, 0, 6, 3, 4, 5, 7).reshape(x.shape[-1], -1)
    y = dense(x, matrix).reshape(*x.shape[:4], *stride, -1).transpose(0, 1, 4, 2, 5, 3, 6, 7)
    length = [n * s for n, s in zip(x.shape[1:4], stride, strict=True)]
    y = y.reshape(-1, *length, y.shape[-1])
    edges = [(-m, m + n - have, 0) for m, n, have in zip(margin, size, length, strict=True)]
    turns = []
    for first in range(0, length[0], size[0]):
        edges[0] = (-first, first + size[0] - length[0], 0)
        turns.append(lax.pad(y, zero, [(0, 0, 0), *edges, (0, 0, 0)]))
    return jnp.roll(sum(turns[1:], start=turns[0]), -margin[0], axis=1)


def _each_axis(value: int | Sequence[int], rank: int, name: str) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if rank not in (2, 3) or len(values) != rank:
        raise InputError(
            f"A convolution expected a grid of 2 or 3 axes and one {name} an axis, found {rank} "
            f"axes and {values}: change {name} or the grid."
        )
    return values


def _with_bias(y: Array, bias: Array) -> Array:
    """Add a bias to every cell; its gradient is summed into long rows, as XLA:CPU does fast."""
    row = jnp.tile(bias, y.shape[-2])
    rows = y.reshape(-1, len(row)).astype(bias.dtype) + row
    return rows.reshape(y.shape).astype(y.dtype)


class Conv(nn.Module):
    """A trainable convolution with a bias, on a cylinder or a plane by the rank of x.

    Attributes:
        features: channels out.
        kernel_size: one size, or one an axis: (azimuth, layer, radius) or (y, x).
        stride: the same.
        implementation: as of `cylindrical_conv`.
        gradient: as of `cylindrical_conv`.
        compute_dtype: type of the product and of the result; parameters are f32.
    """

    features: int
    kernel_size: int | Sequence[int] = 3
    stride: int | Sequence[int] = 1
    implementation: Implementation = "auto"
    gradient: Gradient = "auto"
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolve x (b, *grid, c) into (b, *grid', features)."""
        rank, dtype = x.ndim - 2, self.compute_dtype
        kernel_size = _each_axis(self.kernel_size, rank, "kernel_size")
        stride = _each_axis(self.stride, rank, "stride")
        shape = (*kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", scaled_uniform(), shape)
        bias = self.param("bias", zeros, (self.features,))
        conv = cylindrical_conv if rank == 3 else planar_conv
        y = conv(x.astype(dtype), kernel.astype(dtype), stride, self.implementation, self.gradient)
        return _with_bias(y, bias)


class ConvTranspose(nn.Module):
    """A trainable `conv_transpose` with a bias.

    Attributes:
        features: channels out.
        size: cells of the result along every axis.
        kernel_size: one size, or one an axis: (azimuth, layer, radius) or (y, x).
        stride: the same.
        compute_dtype: type of the product and of the result; parameters are f32.
    """

    features: int
    size: Sequence[int]
    kernel_size: int | Sequence[int]
    stride: int | Sequence[int]
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Enlarge x (b, *grid, c) to (b, *size, features)."""
        rank, dtype = x.ndim - 2, self.compute_dtype
        kernel_size = _each_axis(self.kernel_size, rank, "kernel_size")
        stride = _each_axis(self.stride, rank, "stride")
        # A cell of the result is reached by one in prod(stride) taps of the kernel.
        init = scaled_uniform(math.prod(stride))
        kernel = self.param("kernel", init, (*kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", zeros, (self.features,))
        y = conv_transpose(x.astype(dtype), kernel.astype(dtype), self.size, stride)
        return _with_bias(y, bias)
