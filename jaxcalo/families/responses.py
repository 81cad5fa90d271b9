"""Answers of a model to a batch, by which the members of an ensemble are compared and pushed apart.

Members get the same events, conditions and noise: their answers differ by their parameters alone.
"""

import jax

from jaxcalo.families.base import Encode, GenerativeModel, Net
from jaxcalo.families.ensemble import Respond
from jaxcalo.families.process import (
    Diffusion,
    denoise,
    event_keys,
    event_noise_pairs,
    noised,
    spread_levels,
)
from jaxcalo.training import Batch
from jaxcalo.typing import Cond, Events, Key, Params


def denoised_events(net: Net, config: Diffusion, encode: Encode) -> Respond:
    """Events of the batch with noise of levels as in training, denoised by one evaluation.

    Args:
        net: The network.
        config: What it learns.
        encode: (key, datum) -> (event, condition).
    """

    def respond(key: Key, params: Params, batch: Batch) -> Events:
        level_key, event_key = jax.random.split(key)
        x_0, eps, cond = event_noise_pairs(event_key, config, encode, batch)
        u = spread_levels(level_key, batch)
        t = jax.vmap(lambda u: config.noise_levels(u, config.schedule))(u)
        return denoise(net, config, params, noised(config, x_0, eps, t), t, cond)

    return respond


def drawn_events(model: GenerativeModel, encode: Encode) -> Respond:
    """Events drawn at the conditions of the batch, the gradient passing through the sampling.

    Args:
        model: What draws them.
        encode: (key, datum) -> (event, condition).
    """

    def respond(key: Key, params: Params, batch: Batch) -> Events:
        encode_key, draw_key = jax.random.split(key)

        def condition(key: Key, datum: object) -> Cond:
            return encode(key, datum)[1]

        conds = jax.vmap(condition)(event_keys(encode_key, batch), batch.data)
        return jax.vmap(model.sample, (0, None, 0))(event_keys(draw_key, batch), params, conds)

    return respond
