"""Mean flow: the average velocity over a stretch of a path, which covers it in one step.

    u(x_t, s, t) = (x_t - x_s) / (tau_t - tau_s),   tau = sigma on the straight path

Differentiating (tau_t - tau_s) u along the path gives what holds u together,

    v = u + (tau_t - tau_s) du/dtau,   du/dtau = v du/dx + du/dtau_t,                    (1)

with v the velocity at x_t. A network is trained so that the right side of (1) is eps - x_0, whose
mean given x_t is v; du/dtau is a forward-mode derivative along the network's own v = u(x_t, t, t).

Source: Geng et al. 2025 (arXiv:2505.13447), eqs. 4 and 6; Geng et al. 2025 (arXiv:2512.02012), for
the network's own v in place of eps - x_0 in the derivative ("improved").
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcalo.typing import Cond, Event, Events, Scalar

AverageVelocityFn = Callable[[Event, Scalar, Scalar, Cond], Event]
"""(x_t, s, t, cond) -> u, for one event."""


def interval_features(tau_s: Scalar, tau_t: Scalar) -> Cond:
    """Return numbers of order one that tell a network where the stretch ends, (4,).

    The start tau_t is told by the noise level. The logarithm and the root resolve short stretches
    and ends near the data; their small offsets keep the derivatives finite.
    """
    width = tau_t - tau_s
    return jnp.stack([tau_s, width, jnp.sqrt(width + 1e-6), jnp.log(tau_s + 1e-3) / 5])


def compound_velocity(
    average: Callable[[Events, Scalar, Scalar], Events],
    frozen: Callable[[Events, Scalar, Scalar], Events],
    x_t: Events,
    tau_s: Scalar,
    tau_t: Scalar,
) -> Events:
    """Return u + (tau_t - tau_s) du/dtau, the derivative without gradient.

    Args:
        average: (x_t, tau_s, tau_t) -> u of a batch, as a function of trained parameters.
        frozen: the same with parameters that take no gradient.
        x_t: (b, n).
        tau_s: (b,).
        tau_t: (b,), not below tau_s.
    """
    v = frozen(x_t, tau_t, tau_t)
    tangents = (v, jnp.zeros_like(tau_s), jnp.ones_like(tau_t))
    _, rate = jax.jvp(frozen, (x_t, tau_s, tau_t), tangents)
    width = (tau_t - tau_s)[:, None]
    return average(x_t, tau_s, tau_t) + width * jax.lax.stop_gradient(rate)
