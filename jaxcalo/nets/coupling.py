"""Conditional normalizing flows from coupling layers.

A coupling changes some components of a vector, each by a monotonic function of one number whose
parameters a small network computes from the other components and the conditions. So it is inverted
in one evaluation and its Jacobian is triangular. A new flow is the identity.

Sources: Dinh et al., arXiv:1605.08803 (affine couplings); Durkan et al., arXiv:1906.04032 (spline
couplings); Buhmann et al., arXiv:2309.05704 (CaloClouds II: the Shower Flow).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from jaxcalo.nets.linear import Dense, zeros
from jaxcalo.nets.splines import inverse_spline, n_spline_parameters, spline
from jaxcalo.typing import Conds, Events

# (components (b, k), raw parameters (b, k, p)) -> (changed components, log derivatives), (b, k).
ElementMap = Callable[[Array, Array], tuple[Array, Array]]


class Coupling(nn.Module):
    """One coupling layer: to_noise maps x_i -> f(x_i; parameters(x_kept, cond)).

    Attributes:
        changed: the components it changes; the others it keeps and looks at.
        forward: f.
        inverse: its inverse.
        n_parameters: p, of one component; 0 must make f the identity.
        hidden: widths of the network's hidden layers, LeakyReLU between.
    """

    changed: tuple[int, ...]
    forward: ElementMap
    inverse: ElementMap
    n_parameters: int
    hidden: tuple[int, ...]

    def setup(self) -> None:
        """The network: its last layer starts at zero."""
        self.layers = [Dense(width) for width in self.hidden]
        self.last = Dense(len(self.changed) * self.n_parameters, kernel_init=zeros)

    def to_noise(self, x: Events, cond: Conds) -> tuple[Events, Array]:
        """Data -> noise; also the log |det| of the Jacobian, (b,)."""
        return self._map(self.forward, x, cond)

    def from_noise(self, z: Events, cond: Conds) -> Events:
        """Undo `to_noise`."""
        return self._map(self.inverse, z, cond)[0]

    def _map(self, element_map: ElementMap, x: Events, cond: Conds) -> tuple[Events, Array]:
        changed = np.asarray(self.changed)
        kept = np.setdiff1d(np.arange(x.shape[-1]), changed)
        h = jnp.concatenate([x[:, kept], cond], axis=-1)
        for layer in self.layers:
            h = nn.leaky_relu(layer(h))
        raw = self.last(h).reshape(len(x), len(changed), self.n_parameters)
        new, log_derivative = element_map(x[:, changed], raw)
        place = np.argsort(np.concatenate([kept, changed]))
        y = jnp.concatenate([x[:, kept], new], axis=-1)[:, place]
        return y, jnp.sum(log_derivative, axis=-1)


class ConditionalFlow(nn.Module):
    """A normalizing flow between data and N(0, 1), given conditions.

    Each of `n_blocks` blocks is [n_affine affine couplings, one spline coupling, n_affine affine
    couplings], from data to noise. Which components a coupling changes is drawn once, from a fixed
    key: a random half, and at the next coupling the other half. The permutations are those sets of
    indices; the order of the components never changes.

    CaloClouds II's Shower Flow is n_blocks=10, n_affine=3, hidden=(650, 650) of 65 numbers, made
    from 500 000 showers; CaloClouds I's latent flow is n_blocks=10, n_affine=0, hidden=(128, 128),
    bound=10. The defaults were chosen for 1700 showers: any larger network learns them by heart.

    Attributes:
        n_dims: components d, at least 2.
        n_blocks: blocks.
        n_affine: affine couplings before, and as many after, the spline coupling of a block.
        hidden: widths of the hidden layers of each coupling's network.
        n_bins: pieces of a spline.
        bound: splines bend [-bound, bound].
        max_log_scale: largest |log scale| of one affine coupling.
        seed: of the choice of components.
    """

    n_dims: int
    n_blocks: int = 2
    n_affine: int = 1
    hidden: tuple[int, ...] = (8,)
    n_bins: int = 4
    bound: float = 4.0
    max_log_scale: float = 1.0
    seed: int = 0

    def setup(self) -> None:
        """The couplings, from data to noise."""
        sides = (False,) * self.n_affine
        kinds = (*sides, True, *sides) * self.n_blocks
        halves = _halves(self.n_dims, len(kinds), self.seed)
        self.couplings = [
            self._spline_coupling(changed) if bends else self._affine_coupling(changed)
            for bends, changed in zip(kinds, halves, strict=True)
        ]

    def __call__(self, x: Events, cond: Conds) -> tuple[Events, Array]:
        """`to_noise`, through which parameters are initialised."""
        return self.to_noise(x, cond)

    def to_noise(self, x: Events, cond: Conds) -> tuple[Events, Array]:
        """Map data to noise.

        log p(x | cond) = log N(z; 0, 1) + log |det dz/dx|

        Args:
            x: data of order one, (b, d).
            cond: conditions, (b, c).

        Returns:
            z (b, d) and log |det dz/dx| (b,).
        """
        log_det = jnp.zeros(len(x))
        for coupling in self.couplings:
            x, part = coupling.to_noise(x, cond)
            log_det = log_det + part
        return x, log_det

    def from_noise(self, z: Events, cond: Conds) -> Events:
        """Undo `to_noise`: noise (b, d) -> data (b, d)."""
        for coupling in reversed(self.couplings):
            z = coupling.from_noise(z, cond)
        return z

    def _affine_coupling(self, changed: tuple[int, ...]) -> Coupling:
        bound = self.max_log_scale
        return Coupling(
            changed,
            lambda x, raw: _scale_and_shift(x, raw, bound),
            lambda z, raw: _undo_scale_and_shift(z, raw, bound),
            2,
            self.hidden,
        )

    def _spline_coupling(self, changed: tuple[int, ...]) -> Coupling:
        bound = self.bound
        return Coupling(
            changed,
            lambda x, raw: spline(x, raw, bound),
            lambda z, raw: inverse_spline(z, raw, bound),
            n_spline_parameters(self.n_bins),
            self.hidden,
        )


def _scale_and_shift(x: Array, raw: Array, bound: float) -> tuple[Array, Array]:
    """Affine map x exp(s) + t with s = bound tanh(raw_0 / bound), t = raw_1."""
    log_scale = bound * jnp.tanh(raw[..., 0] / bound)
    return x * jnp.exp(log_scale) + raw[..., 1], log_scale


def _undo_scale_and_shift(z: Array, raw: Array, bound: float) -> tuple[Array, Array]:
    log_scale = bound * jnp.tanh(raw[..., 0] / bound)
    return (z - raw[..., 1]) * jnp.exp(-log_scale), -log_scale


def _halves(n_dims: int, n_couplings: int, seed: int) -> list[tuple[int, ...]]:
    """The components that each coupling changes: each two couplings change all of them."""
    halves: list[tuple[int, ...]] = []
    with jax.ensure_compile_time_eval():  # which components is structure, also while tracing
        for i in range(-(-n_couplings // 2)):
            key = jax.random.fold_in(jax.random.key(seed), i)
            order = np.asarray(jax.random.permutation(key, n_dims)).tolist()
            middle = n_dims // 2
            halves += [tuple(sorted(order[middle:])), tuple(sorted(order[:middle]))]
    return halves[:n_couplings]
