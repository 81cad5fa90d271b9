"""Classifier-free guidance: strengthen the condition by what it changes.

    x_0_hat = D(null) + scale (D(cond) - D(null))

The null condition is the zero vector. Conditions carry a presence flag as their last component, so
that zero means "absent" and not "an average shower".

Source: Ho and Salimans 2022 (arXiv:2207.12598), eq. 6 with scale = 1 + w.
"""

import jax
import jax.numpy as jnp

from jaxcalo.diffusion.parametrizations import DenoiserFn
from jaxcalo.typing import Cond, Event, Key, Scalar


def guided(denoiser: DenoiserFn, scale: Scalar | float) -> DenoiserFn:
    """Return the guided denoiser: two evaluations, made as one batch of two.

    Args:
        denoiser: a denoiser trained with `drop_condition`.
        scale: 0 ignores the condition, 1 is the plain denoiser, above 1 strengthens the condition.

    Returns:
        The function (x_t, t, cond) -> x_0_hat.
    """

    def denoise(x_t: Event, t: Scalar, cond: Cond) -> Event:
        both = jnp.stack([cond, jnp.zeros_like(cond)])
        with_cond, without = jax.vmap(denoiser, (None, None, 0))(x_t, t, both)
        return without + scale * (with_cond - without)

    return denoise


def drop_condition(key: Key, cond: Cond, rate: float) -> Cond:
    """Return the null condition (all zeros) with probability rate, else the condition."""
    return jnp.where(jax.random.bernoulli(key, rate), 0, cond)
