"""The voxel and point networks of jaxcalo in plain PyTorch, to time against: the same functions.

Modules carry the names of the Flax ones, so that `transplant` copies weights by path; what both
return then agrees to rounding. Layouts are PyTorch's: channels first on grids. Grids are (layer,
azimuth, radius), as those that the networks of jaxcalo take and return.
"""

import math
from collections.abc import Mapping, Sequence

import jax
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from jaxcalo import nets
from jaxcalo.nets.embeddings import HIGHEST_FREQUENCY, LOWEST_FREQUENCY, cylindrical_encoding
from jaxcalo.nets.point_wise import NEGATIVE_SLOPE, random_frequencies


def transplant(module: nn.Module, params: Mapping) -> nn.Module:
    """Copy the weights of a Flax network into the module of the same name structure.

    Args:
        module: of this file.
        params: {"params": ...} of the network of jaxcalo.
    """
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params["params"]):
        names = [entry.key for entry in path]
        owner = module.get_submodule(".".join(names[:-1]))
        value = torch.from_numpy(np.array(leaf))
        if names[-1] == "kernel":
            value = owner.from_flax(value) if hasattr(owner, "from_flax") else value.T
        name = {"kernel": "weight", "scale": "weight", "bias": "bias"}[names[-1]]
        found[".".join([*names[:-1], name])] = value.contiguous()
    module.load_state_dict(found)
    return module


class CylinderConv(nn.Conv3d):
    """Periodic in azimuth, zero beyond layers and radii; kernel and stride as of `nets.conv`."""

    def __init__(self, n_in: int, n_out: int, kernel: Sequence[int], stride: Sequence[int]):
        azimuth, layer, radius = ((k - 1) // 2 for k in kernel)
        super().__init__(
            n_in,
            n_out,
            (kernel[1], kernel[0], kernel[2]),
            (stride[1], stride[0], stride[2]),
            (layer, 0, radius),
        )
        self.margin = azimuth

    @staticmethod
    def from_flax(kernel: Tensor) -> Tensor:
        """(k_azimuth, k_layer, k_radius, c, f) -> (f, c, k_layer, k_azimuth, k_radius)."""
        return kernel.permute(4, 3, 1, 0, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (b, c, layer, azimuth, radius)."""
        m = self.margin
        if m:
            x = functional.pad(x, (0, 0, m, m, 0, 0), mode="circular")
        return super().forward(x)


class Pointwise(nn.Conv3d):
    """One matrix for every cell."""

    def __init__(self, n_in: int, n_out: int, bias: bool = True):
        super().__init__(n_in, n_out, 1, bias=bias)

    @staticmethod
    def from_flax(kernel: Tensor) -> Tensor:
        """(c, f) -> (f, c, 1, 1, 1)."""
        return kernel.T[..., None, None, None]


class CylinderConvTranspose(nn.ConvTranspose3d):
    """The transpose of `CylinderConv`, to a grid of a given size."""

    def __init__(self, n_in: int, n_out: int, size: Sequence[int], kernel, stride):
        margin = [(k - 1) // 2 for k in kernel]
        super().__init__(
            n_in,
            n_out,
            (kernel[1], kernel[0], kernel[2]),
            (stride[1], stride[0], stride[2]),
            (margin[1], 0, margin[2]),
        )
        self.size, self.margin = tuple(size), margin[0]

    @staticmethod
    def from_flax(kernel: Tensor) -> Tensor:
        """(k_azimuth, k_layer, k_radius, c, f) -> (c, f, k_layer, k_azimuth, k_radius)."""
        return kernel.permute(3, 4, 1, 0, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge x (b, c, layer, azimuth, radius)."""
        layer, azimuth, radius = self.size
        missing = []
        for axis, wanted in ((0, layer), (2, radius)):
            made = (x.shape[2 + axis] - 1) * self.stride[axis] + self.kernel_size[axis]
            missing.append(wanted - made + 2 * self.padding[axis])
        y = functional.conv_transpose3d(
            x, self.weight, None, self.stride, self.padding, (missing[0], 0, missing[1])
        )
        head, tail = y[:, :, :, :azimuth], y[:, :, :, azimuth:]
        wrapped = torch.cat(
            [head[:, :, :, : tail.shape[3]] + tail, head[:, :, :, tail.shape[3] :]], 3
        )
        return torch.roll(wrapped, -self.margin, 3) + self.bias[:, None, None, None]


class ScalarEmbedding(nn.Module):
    """`nets.embeddings.ScalarEmbedding`."""

    def __init__(self, n_in: int, size: int):
        super().__init__()
        self.Dense_0, self.Dense_1 = nn.Linear(n_in, 32), nn.Linear(32, 64)
        self.Dense_2 = nn.Linear(64, size)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (b, n_in) into (b, size)."""
        return self.Dense_2(functional.gelu(self.Dense_1(functional.gelu(self.Dense_0(x)))))


class ResnetBlock(nn.Module):
    """`nets.unet.ResnetBlock`."""

    def __init__(self, n_in: int, features: int, groups: int, embedding: int = 0):
        super().__init__()
        unit = (1, 1, 1)
        self.conv_0 = CylinderConv(n_in, features, (3, 3, 3), unit)
        self.norm_0 = nn.GroupNorm(groups, features)
        self.conv_1 = CylinderConv(features, features, (3, 3, 3), unit)
        self.norm_1 = nn.GroupNorm(groups, features)
        if embedding:
            self.cond = nn.Linear(embedding, features)
        if n_in != features:
            self.skip = Pointwise(n_in, features)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Map x (b, c, *grid)."""
        h = functional.silu(self.norm_0(self.conv_0(x)))
        if embedding is not None:
            h = h + self.cond(functional.silu(embedding))[:, :, None, None, None]
        h = functional.silu(self.norm_1(self.conv_1(h)))
        return h + (self.skip(x) if hasattr(self, "skip") else x)


class LinearAttention(nn.Module):
    """`nets.unet.LinearAttention`."""

    def __init__(self, features: int):
        super().__init__()
        width = nets.unet.ATTENTION_WIDTH
        self.norm_in, self.norm_out = nn.GroupNorm(1, features), nn.GroupNorm(1, features)
        self.qkv, self.out = Pointwise(features, 3 * width, False), Pointwise(width, features)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Attend over all positions of x (b, c, *grid)."""
        q, k, v = self.qkv(self.norm_in(x)).flatten(2).chunk(3, dim=1)
        q = q.softmax(dim=1) * self.width**-0.5
        context = torch.einsum("bdn,ben->bde", k.softmax(dim=2), v)
        h = torch.einsum("bde,bdn->ben", context, q).unflatten(2, x.shape[2:])
        return x + self.norm_out(self.out(h))


class UNet(nn.Module):
    """`nets.UNet` on a grid (layer, azimuth, radius)."""

    def __init__(self, net: nets.UNet, grid: Sequence[int], n_in: int, n_conditions: int):
        super().__init__()
        channels, groups, size = net.channels, net.groups, net.embedding_size
        self.noise, self.cond = ScalarEmbedding(1, size), ScalarEmbedding(n_conditions, size)
        setattr(self, "in", CylinderConv(n_in, channels[0], (3, 3, 3), (1, 1, 1)))
        stride, sizes = (2, 2, 2), [tuple(grid)]
        now, self.n_levels = channels[0], len(channels) - 1
        for i, features in enumerate(channels[1:]):
            setattr(self, f"down_{i}_0", ResnetBlock(now, features, groups, 2 * size))
            setattr(self, f"down_{i}_1", ResnetBlock(features, features, groups, 2 * size))
            setattr(self, f"down_{i}_attention", LinearAttention(features))
            now = features
            if i < self.n_levels - 1:
                setattr(self, f"down_{i}_sample", CylinderConv(now, now, (4, 3, 4), stride))
                n_layer, n_azimuth, n_radius = sizes[-1]
                sizes.append(
                    ((n_layer - 1) // 2 + 1, (n_azimuth - 2) // 2 + 1, (n_radius - 2) // 2 + 1)
                )
        for name in ("middle_0", "middle_1"):
            setattr(self, name, ResnetBlock(now, now, groups, 2 * size))
        self.middle_attention = LinearAttention(now)
        for i in reversed(range(self.n_levels)):
            features = channels[i]
            setattr(
                self, f"up_{i}_0", ResnetBlock(now + channels[i + 1], features, groups, 2 * size)
            )
            setattr(self, f"up_{i}_1", ResnetBlock(features, features, groups, 2 * size))
            setattr(self, f"up_{i}_attention", LinearAttention(features))
            now = features
            if i > 0:
                kernel = (4, 4 if sizes[i - 1][0] % 2 == 0 else 3, 4)
                up = CylinderConvTranspose(now, now, sizes[i - 1], kernel, stride)
                setattr(self, f"up_{i}_sample", up)
        self.final = ResnetBlock(now, now, groups)
        self.out = Pointwise(now, net.out_channels)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor) -> Tensor:
        """Evaluate on x (b, c, layer, azimuth, radius)."""
        embedding = torch.cat([self.noise(c_noise[:, None]), self.cond(cond)], dim=1)
        h, skips = getattr(self, "in")(x), []
        for i in range(self.n_levels):
            h = getattr(self, f"down_{i}_0")(h, embedding)
            h = getattr(self, f"down_{i}_1")(h, embedding)
            h = getattr(self, f"down_{i}_attention")(h)
            skips.append(h)
            if i < self.n_levels - 1:
                h = getattr(self, f"down_{i}_sample")(h)
        h = self.middle_1(self.middle_attention(self.middle_0(h, embedding)), embedding)
        for i in reversed(range(self.n_levels)):
            h = torch.cat([h, skips[i]], dim=1)
            h = getattr(self, f"up_{i}_0")(h, embedding)
            h = getattr(self, f"up_{i}_1")(h, embedding)
            h = getattr(self, f"up_{i}_attention")(h)
            if i > 0:
                h = getattr(self, f"up_{i}_sample")(h)
        return self.out(self.final(h))


class ConditionEmbedding(nn.Module):
    """`nets.embeddings.ConditionEmbedding`."""

    def __init__(self, n_conditions: int, size: int, hidden: int = 128):
        super().__init__()
        self.noise_in, self.noise_out = nn.Linear(64, hidden), nn.Linear(hidden, size)
        self.cond_in, self.cond_out = nn.Linear(n_conditions, hidden), nn.Linear(hidden, size)
        waves = np.geomspace(LOWEST_FREQUENCY, HIGHEST_FREQUENCY, 32, dtype=np.float32)
        self.register_buffer("waves", torch.from_numpy(waves), persistent=False)

    def forward(self, c_noise: Tensor, cond: Tensor) -> Tensor:
        """Embed (b,) and (b, n_conditions) into (b, size)."""
        phase = c_noise[:, None] * self.waves
        noise = functional.silu(self.noise_in(torch.cat([phase.sin(), phase.cos()], dim=1)))
        return functional.silu(
            self.noise_out(noise) + self.cond_out(functional.silu(self.cond_in(cond)))
        )


class DiTBlock(nn.Module):
    """`nets.dit.Block`."""

    def __init__(self, width: int, n_heads: int, mlp_ratio: float, embedding: int):
        super().__init__()
        self.modulation = nn.Linear(embedding, 6 * width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        hidden = int(mlp_ratio * width)
        self.mlp_in, self.mlp_out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.n_heads = n_heads

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Advance tokens x (b, t, width)."""
        n, t, width = x.shape
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.modulation(condition)[
            :, None
        ].chunk(6, dim=-1)
        h = functional.layer_norm(x, (width,)) * (1 + scale_1) + shift_1
        q, k, v = self.qkv(h).view(n, t, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        h = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, width)
        x = x + gate_1 * self.out(h)
        h = functional.layer_norm(x, (width,)) * (1 + scale_2) + shift_2
        return x + gate_2 * self.mlp_out(functional.gelu(self.mlp_in(h), approximate="tanh"))


class DiT(nn.Module):
    """`nets.DiT` on a grid (layer, azimuth, radius) that its patches divide."""

    def __init__(self, net: nets.DiT, grid: Sequence[int], n_in: int, n_conditions: int):
        super().__init__()
        self.patch_size = tuple(net.patch)
        self.counts = tuple(n // p for n, p in zip(grid, net.patch, strict=True))
        n_cells = math.prod(net.patch)
        self.condition = ConditionEmbedding(n_conditions, net.embedding_size)
        encoding = torch.from_numpy(cylindrical_encoding(self.counts))
        self.register_buffer("encoding", encoding, persistent=False)
        self.patch = nn.Linear(n_cells * n_in, net.width)
        self.place = nn.Linear(encoding.shape[1], net.width, bias=False)
        self.depth = net.depth
        for i in range(net.depth):
            block = DiTBlock(net.width, net.n_heads, net.mlp_ratio, net.embedding_size)
            setattr(self, f"block_{i}", block)
        self.modulation = nn.Linear(net.embedding_size, 2 * net.width)
        self.out = nn.Linear(net.width, n_cells * net.out_channels)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor) -> Tensor:
        """Evaluate on x (b, layer, azimuth, radius, c)."""
        condition = self.condition(c_noise, cond)
        (n1, n2, n3), (p1, p2, p3), b = self.counts, self.patch_size, x.shape[0]
        tokens = x.view(b, n1, p1, n2, p2, n3, p3, -1).permute(0, 1, 3, 5, 2, 4, 6, 7)
        tokens = self.patch(tokens.reshape(b, n1 * n2 * n3, -1)) + self.place(self.encoding)
        for i in range(self.depth):
            tokens = getattr(self, f"block_{i}")(tokens, condition)
        shift, scale = self.modulation(condition)[:, None].chunk(2, dim=-1)
        tokens = self.out(functional.layer_norm(tokens, tokens.shape[-1:]) * (1 + scale) + shift)
        y = tokens.view(b, n1, n2, n3, p1, p2, p3, -1).permute(0, 1, 4, 2, 5, 3, 6, 7)
        return y.reshape(b, n1 * p1, n2 * p2, n3 * p3, -1)


class ConcatSquash(nn.Module):
    """`nets.point_wise.ConcatSquash`."""

    def __init__(self, n_in: int, features: int, n_context: int):
        super().__init__()
        self.point, self.gate = nn.Linear(n_in, features), nn.Linear(n_context, features)
        self.shift = nn.Linear(n_context, features, bias=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Map points (b, s, n_in)."""
        return self.point(x) * self.gate(context).sigmoid()[:, None] + self.shift(context)[:, None]


class NoiseEmbedding(nn.Module):
    """`nets.point_wise.NoiseEmbedding`."""

    def __init__(self, n_frequencies: int):
        super().__init__()
        waves = torch.from_numpy(2 * math.pi * random_frequencies(n_frequencies))
        self.register_buffer("waves", waves, persistent=False)
        self.out = nn.Linear(2 * n_frequencies, 2 * n_frequencies)

    def forward(self, c_noise: Tensor) -> Tensor:
        """Embed (b,)."""
        phase = c_noise[:, None] * self.waves
        return functional.leaky_relu(
            self.out(torch.cat([phase.cos(), phase.sin()], 1)), NEGATIVE_SLOPE
        )


class PointWise(nn.Module):
    """`nets.PointWise` of CaloClouds II."""

    def __init__(self, net: nets.PointWise, n_in: int, n_conditions: int):
        super().__init__()
        self.noise = NoiseEmbedding(net.n_frequencies)
        sizes, n_context = (n_in, *net.widths), 2 * net.n_frequencies + n_conditions
        self.n_layers = len(net.widths)
        for i in range(self.n_layers):
            setattr(self, f"layer_{i}", ConcatSquash(sizes[i], sizes[i + 1], n_context))
        self.out = ConcatSquash(sizes[-1], n_in, n_context)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor) -> Tensor:
        """Evaluate on points x (b, s, f), all of them real."""
        context = torch.cat([self.noise(c_noise), cond], dim=1)
        for i in range(self.n_layers):
            x = functional.leaky_relu(getattr(self, f"layer_{i}")(x, context), NEGATIVE_SLOPE)
        return self.out(x, context)
