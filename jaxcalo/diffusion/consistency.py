"""Consistency functions: every point of a path of the probability flow is sent to the path's end.

    f(x_t, t) = f(x_r, r) for x_t and x_r on one path, and f(x, 0) = x

A denoiser D(x, t) = c_skip x + c_out F has the second property at the noiseless end, where c_skip
is 1 / alpha and c_out 0, for every parametrization but that of x_0 (`check_boundary`). A student
learns the first from pairs of neighbours on a path: the earlier point is a teacher's step of the
flow (distillation), or the same event with the same noise (training, exact in the mean when the
neighbours are close).

Source: Song et al. 2023 (arXiv:2303.01469), algorithms 2 and 3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcalo.diffusion.parametrizations import Parametrization, X0Prediction
from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.diffusion.time_grids import Times
from jaxcalo.errors import InputError
from jaxcalo.typing import Event, Scalar


class Neighbours(NamedTuple):
    """Two times of one path, earlier < later."""

    later: Scalar
    earlier: Scalar


def check_boundary(parametrization: Parametrization) -> None:
    """Raise InputError for a parametrization whose denoiser is not the identity without noise."""
    if isinstance(parametrization, X0Prediction):
        raise InputError(
            "consistency: expected a parametrization that returns its input where there is no "
            "noise, found X0Prediction; train the model with EDM or VPrediction."
        )


def karras_time(schedule: NoiseSchedule, u: Scalar, rho: float = 7.0) -> Scalar:
    """Return the time at which (sigma / alpha)^(1 / rho) is the share u of the way from t = 0 to 1.

    `time_grids.karras` is this at u = 1 - i / n_steps.

    Source: Karras et al. 2022 (arXiv:2206.00364), eq. 5.
    """
    first = jnp.exp(-schedule.log_snr(jnp.ones_like(u)) / (2 * rho))
    last = jnp.exp(-schedule.log_snr(jnp.zeros_like(u)) / (2 * rho))
    log_snr = -2 * rho * jnp.log(u * first + (1 - u) * last)
    # the inverse rounds at the ends of the schedule
    return jnp.clip(schedule.inverse_log_snr(log_snr), 0, 1)


def grid_path(
    schedule: NoiseSchedule, u: Scalar, n_intervals: int, n_steps: int = 1, rho: float = 7.0
) -> Times:
    """Return the way through the interval, of n_intervals of the Karras grid, that u falls in.

    Args:
        schedule: the noise schedule.
        u: in [0, 1).
        n_intervals: of the grid.
        n_steps: equal steps of the Karras coordinate within the interval.
        rho: as in `time_grids.karras`.

    Returns:
        Times (n_steps + 1,) from the later end to the earlier.

    Source: Song et al. 2023 (arXiv:2303.01469), algorithm 2, with n_steps = 1.
    """
    index = jnp.minimum(jnp.floor(u * n_intervals), n_intervals - 1)
    share = (index + jnp.linspace(1.0, 0.0, n_steps + 1)) / n_intervals
    times = jax.vmap(lambda at: karras_time(schedule, at, rho))(share)
    return jnp.where(share >= 1, 1.0, jnp.where(share <= 0, 0.0, times))


def close_neighbours(
    schedule: NoiseSchedule, t: Scalar, n_intervals: Scalar, rho: float = 7.0
) -> Neighbours:
    """Return t and the time one n-th of the Karras coordinate before it, at least 0.

    n_intervals may grow during training, without a grid.

    Source: Song and Dhariwal 2024 (arXiv:2310.14189), section 3.4, without their rounding.
    """
    first = jnp.exp(-schedule.log_snr(jnp.ones_like(t)) / (2 * rho))
    last = jnp.exp(-schedule.log_snr(jnp.zeros_like(t)) / (2 * rho))
    u = (jnp.exp(-schedule.log_snr(t) / (2 * rho)) - last) / (first - last)
    before = u - 1 / n_intervals
    earlier = jnp.where(before > 0, karras_time(schedule, jnp.maximum(before, 0), rho), 0)
    return Neighbours(t, jnp.minimum(earlier, t))


def n_intervals_at(progress: Scalar, first: int, last: int) -> Scalar:
    """Return the number of intervals, grown geometrically over the training, progress in [0, 1].

    Source: Song and Dhariwal 2024 (arXiv:2310.14189), section 3.4: a number that doubles at equal
    intervals; here it grows without steps.
    """
    return first * (last / first) ** progress


def consistency_distance(answer: Event, target: Event, huber: float) -> Scalar:
    """Return the distance of two answers: mean square, or the pseudo-Huber distance.

    d = (sqrt(|a - b|^2 + n c^2) - sqrt(n) c) / sqrt(n) with c = huber; for huber = 0 the mean of
    (a - b)^2. Pseudo-Huber is linear in what is far away, so that rare events do not rule the loss.

    Source: Song and Dhariwal 2024 (arXiv:2310.14189), eq. 7, per root of the number of components.
    """
    square: Float[Array, ""] = jnp.mean((answer - target) ** 2)
    if huber == 0.0:
        return square
    # d^2 / (sqrt(d^2 + c^2) + c) is sqrt(d^2 + c^2) - c without its cancellation
    return square / (jnp.sqrt(square + huber**2) + huber)
