"""Encodings of a part of a shower's points, from which one training step learns."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.data import PaddedClouds
from jaxcalo.families import Encode
from jaxcalo.typing import Cond, Event, Key, Scalar


def of_some_points(encode: Encode, n: int) -> Encode:
    """An encoding's points, at most n of them, drawn at random; conditioned on the whole shower."""
    return _of_drawn_points(encode, n, lambda n_points: jnp.minimum(n_points, n))


def of_one_group(encode: Encode, size: int) -> Encode:
    """One of the equal groups, of at most `size`, into which a shower's points are dealt at random.

    The groups of `nets.GroupedGenerator`; conditioned on the whole shower.
    """

    def n_drawn(n_points: Scalar) -> Array:
        return jnp.ceil(n_points / jnp.maximum(jnp.ceil(n_points / size), 1.0))

    return _of_drawn_points(encode, size, n_drawn)


def _of_drawn_points(encode: Encode, n_most: int, n_drawn: Callable[[Scalar], Array]) -> Encode:
    """n_drawn(n_points) <= n_most points of an encoding."""

    def of_some(key: Key, cloud: PaddedClouds) -> tuple[Event, Cond]:
        draw_key, encode_key = jax.random.split(key)
        event, cond = encode(encode_key, cloud)
        points, n_points = event.reshape(-1, 4), cond[-1]
        ticket = jax.random.uniform(draw_key, (len(points),))
        ticket = jnp.where(jnp.arange(len(points)) < n_points, ticket, 2.0)
        chosen, n = jnp.argsort(ticket)[:n_most], n_drawn(n_points)
        drawn = jnp.where(jnp.arange(len(chosen))[:, None] < n, points[chosen], 0.0)
        return drawn.reshape(-1), cond.at[-1].set(n)

    return of_some
