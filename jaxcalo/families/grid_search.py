"""Search for the times that serve one trained model and one deterministic sampler best.

The grid is moved by gradients through the whole sampler, until the events it reaches are closest to
those that many steps reach from the same noise.

Sources: Watson et al. 2022 (arXiv:2202.05830), gradients through a sampler; Sabour et al. 2024
(arXiv:2404.14507), a grid for a model; Shaul et al. 2024 (arXiv:2310.19075), the distance of end
points. Here only the times are searched.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxcalo.diffusion import (
    Ddim,
    DenoiserFn,
    DpmSolver,
    Euler,
    Heun,
    NoiseSchedule,
    UniPc,
    prior_std,
    randn,
    sample,
)
from jaxcalo.diffusion.time_grids import Searched, Times, UniformLogSnr
from jaxcalo.errors import InputError
from jaxcalo.families.sampling import GridConfig, SamplerConfig
from jaxcalo.typing import Conds, Events, Key

_LEARNING_RATE = 0.05  # chosen: of the logarithm of a step's share, so 5 % an iteration at first
_REFERENCE_STEPS = 64  # chosen: DPM-Solver++(2M) has converged to 1e-3 of an event's width by then
_Deterministic = Ddim | Euler | Heun | DpmSolver | UniPc


class GridSearch(NamedTuple):
    """The grid found and what it is worth.

    Attributes:
        grid: The best grid met, the start included.
        start_error: Root mean square distance to the reference at the start, in standard
            deviations of a component.
        error: The same for the grid found, on the events of the search.
    """

    grid: Searched
    start_error: float
    error: float


def search_grid(
    key: Key,
    schedule: NoiseSchedule,
    denoiser: DenoiserFn,
    sampler: SamplerConfig,
    n_steps: int,
    conds: Conds,
    n_components: int,
    *,
    start: GridConfig,
    n_iterations: int = 60,
    observe: Callable[[int, float], None] = lambda _done, _error: None,
) -> GridSearch:
    """Search a grid of n_steps.

    Args:
        key: Of the starting noise.
        schedule: The noise schedule.
        denoiser: The trained denoiser of one event.
        sampler: A deterministic sampler.
        n_steps: Steps of the grid, at least 2.
        conds: Conditions of the events that are searched with, (b, c).
        n_components: Length of an event.
        start: The grid to start from.
        n_iterations: Steps of Adam.
        observe: Called with (iterations done, present error).

    Raises:
        InputError: A sampler that draws noise, or nothing to search.
    """
    method = _deterministic(sampler)
    if n_steps < 2:
        raise InputError(
            f"grid search: expected at least 2 steps, found {n_steps}; one step has no free time"
        )
    x_T = prior_std(schedule) * randn(key, (len(conds), n_components))

    def run(method: _Deterministic, times: Times) -> Events:
        made = method(schedule, denoiser)
        return jax.vmap(lambda x, c: sample(key, made, x, times, c))(x_T, conds)

    fine = UniformLogSnr()(schedule, _REFERENCE_STEPS)
    reference = jax.jit(lambda: run(DpmSolver(2), fine))()

    def loss(shares: Array) -> Array:
        return jnp.mean((run(method, _times(schedule, shares)) - reference) ** 2)

    optimizer = optax.adam(_LEARNING_RATE)

    @jax.jit
    def improve(shares: Any, state: Any) -> tuple[Any, Any, Array]:
        value, gradient = jax.value_and_grad(loss)(shares)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(shares, updates), state, value

    shares = jnp.log(jnp.diff(schedule.log_snr(start(schedule, n_steps))))
    state = optimizer.init(shares)
    errors, visited = [], []
    for i in range(n_iterations + 1):
        visited.append(shares)
        shares, state, value = improve(shares, state)
        errors.append(float(jnp.sqrt(value)))
        observe(i, errors[-1])
    best = int(np.argmin(errors))
    times = np.asarray(_times(schedule, visited[best]), np.float64)
    return GridSearch(Searched(tuple(times.tolist())), errors[0], errors[best])


def _times(schedule: NoiseSchedule, shares: Array) -> Times:
    """Times from the logarithms of the steps' shares of the way in log_snr."""
    fraction = jnp.cumsum(jax.nn.softmax(shares))[:-1]
    ends = jnp.array([1.0, 0.0])
    noisy, clean = schedule.log_snr(ends)
    inner = schedule.inverse_log_snr(noisy + fraction * (clean - noisy))
    return jnp.concatenate([ends[:1], inner, ends[1:]])


def _deterministic(sampler: SamplerConfig) -> _Deterministic:
    draws = getattr(sampler, "eta", 0.0) > 0.0 or getattr(sampler, "churn", 0.0) > 0.0
    if draws or not isinstance(sampler, _Deterministic):
        raise InputError(
            f"grid search: expected a sampler that draws no noise, found {sampler}; "
            "choose ddim, euler, heun, dpmpp-2m, dpmpp-3m or unipc"
        )
    return sampler
