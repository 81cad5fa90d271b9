"""Networks with a closed form, for data N(MEAN + cond_0, STD^2) in N components."""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from oracles import GaussianOracle

from jaxcalo.families import Diffusion
from jaxcalo.training import Batch

MEAN, STD, N = 1.5, 0.5, 3


def data(key, n):
    """Events with their conditions, as a loader gives them."""
    cond = jax.random.normal(key, (n, 1))
    noise = jax.random.normal(jax.random.fold_in(key, 1), (n, N))
    return jax.tree.map(np.asarray, {"event": MEAN + cond + STD * noise, "cond": cond})


@cache
def batch(seed, n=256):
    return Batch(np.arange(n, dtype=np.int32), data(jax.random.key(seed), n))


def encode(key, datum):
    return datum["event"], datum["cond"]


class _Given(NamedTuple):
    """What a network is given, taken back to x_t: numbers (b, 1), events (b, n)."""

    x_t: Any
    t: Any
    c: Any


def _given(config, x, c_noise):
    schedule = config.schedule
    # the inverse rounds at the ends
    t = jnp.clip(schedule.inverse_log_snr(-8 * c_noise[:, None]), 0, 1)
    c = config.parametrization.coefficients(schedule.alpha(t), schedule.sigma(t))
    return _Given(x / c.c_in, t, c)


class OracleNet(NamedTuple):
    """The exact F of a denoiser, for any schedule and parametrization."""

    config: Diffusion

    def init(self, key, x, c_noise, cond):
        return {"nothing": jnp.zeros(1)}

    def apply(self, params, x, c_noise, cond):
        x_t, t, c = _given(self.config, x, c_noise)
        oracle = GaussianOracle(MEAN + cond[:, :1], STD)
        x_0_hat = oracle.denoiser(self.config.schedule)(x_t, t, None)
        return (x_0_hat - c.c_skip * x_t) / c.c_out


class PathEndNet(NamedTuple):
    """A denoiser (student = 0), or the exact consistency function (1) moved by shift sigma."""

    config: Diffusion

    def init(self, key, x, c_noise, cond):
        return {"student": jnp.zeros(()), "shift": jnp.zeros(())}

    def apply(self, params, x, c_noise, cond):
        schedule = self.config.schedule
        x_t, t, c = _given(self.config, x, c_noise)
        oracle = GaussianOracle(MEAN + cond[:, :1], STD)
        end = oracle.flow(schedule, x_t, t, jnp.zeros_like(t)) + params["shift"] * schedule.sigma(t)
        answer = jnp.where(params["student"] > 0, end, oracle.denoiser(schedule)(x_t, t, None))
        return (answer - c.c_skip * x_t) / c.c_out


class BumpNet(NamedTuple):
    """F = a x + b + d cond, with a, b and d sums of bumps in the noise level: quickly trained."""

    n_bumps: int = 12

    def init(self, key, x, c_noise, cond):
        shapes = {"x": x.shape[1:], "one": x.shape[1:], "cond": (cond.shape[1], x.shape[1])}
        return {name: jnp.zeros((self.n_bumps, *shape)) for name, shape in shapes.items()}

    def apply(self, params, x, c_noise, cond):
        centres = jnp.linspace(-2, 1.3, self.n_bumps)  # log(sigma / alpha) / 4 of the schedules
        bumps = jax.nn.softmax(-0.5 * ((c_noise[:, None] - centres) / 0.2) ** 2)
        slope, offset = bumps @ params["x"], bumps @ params["one"]
        return slope * x + offset + jnp.einsum("bk,kcn,bc->bn", bumps, params["cond"], cond)


class TaughtNet(NamedTuple):
    """A network to train, whose parameters are also those of its exact teacher (learned = 0)."""

    config: Diffusion
    net: Any

    def init(self, key, x, c_noise, cond):
        return {"learned": jnp.zeros(()), "net": self.net.init(key, x, c_noise, cond)}

    def apply(self, params, x, c_noise, cond):
        exact = OracleNet(self.config).apply({}, x, c_noise, cond)
        learned = self.net.apply(params["net"], x, c_noise, cond)
        return jnp.where(jax.lax.stop_gradient(params["learned"]) > 0, learned, exact)


def as_student(state):
    """The state after init, with the student no longer its teacher."""

    def learned(params):
        return params | {"learned": jnp.ones(())}

    return state._replace(params=learned(state.params), ema=learned(state.ema))
