"""UniPC: a multistep predictor, corrected by the evaluation that the next step needs anyway.

Source: Zhao et al. 2023 (arXiv:2302.04867), algorithms 1 and 2, data prediction, B_2(h).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp

from jaxcalo.diffusion.parametrizations import DenoiserFn
from jaxcalo.diffusion.samplers.base import Sampler
from jaxcalo.diffusion.samplers.multistep import (
    Past,
    earlier,
    integrate,
    no_past,
    past_nodes,
    remember,
)
from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.errors import InputError
from jaxcalo.typing import Event


class UniPcState(NamedTuple):
    """The event and what its correction needs.

    Attributes:
        x: the predicted event.
        decayed: (sigma_s / sigma_t) x_t of the step that predicted it, t before s.
        past: the past evaluations.
    """

    x: Event
    decayed: Event
    past: Past


@dataclass(frozen=True)
class UniPc:
    """Predictor and corrector of the same step with one evaluation.

    predictor: x_s = (sigma_s / sigma_t) x_t + alpha_s I,  I through the last `order` evaluations
    corrector: the same with I through these and D(x_s, s)

    with I of `multistep`. The next step evaluates D(x_s, s), corrects x_s with it and predicts from
    the corrected one; the evaluation is not repeated. The last event is a predicted one, of order 1
    for the reason given in `DpmSolver`. The paper's coefficients solve a linear system whose
    solution is this interpolation's.

    Args:
        order: 1, 2 or 3, of the predictor; the corrector adds one to it, so that the sampler
            converges with order + 1.

    Raises:
        InputError: if order is none of the three.
    """

    order: Literal[1, 2, 3] = 2

    def __post_init__(self):
        if self.order not in (1, 2, 3):
            raise InputError(
                f"UniPc: expected order 1, 2 or 3, found {self.order}; choose one of them."
            )

    def n_evaluations(self, n_steps: int) -> int:
        """Return the number of evaluations of the denoiser."""
        return n_steps

    def __call__(self, schedule: NoiseSchedule, denoiser: DenoiserFn) -> Sampler:
        """Make the sampler."""

        def init(x_T, cond):  # noqa: ARG001
            return UniPcState(x_T, jnp.zeros_like(x_T), no_past(x_T, self.order))

        def correct(state, x_0_hat, t):
            past, before = state.past, earlier(state.past)
            is_first = past.count == 0
            # any length of step that is not zero does where there was none
            h = jnp.where(is_first, 1, (schedule.log_snr(t) - past.log_snrs[0]) / 2)
            integral = integrate(
                h,
                [0.0, 1.0, *past_nodes(before, past.log_snrs[0], h)],
                [past.x_0_hats[0], x_0_hat, *before.x_0_hats],
                jnp.minimum(past.count, self.order) + 1,
            )
            return jnp.where(is_first, state.x, state.decayed + schedule.alpha(t) * integral)

        def step(state, key, t, s, cond):  # noqa: ARG001
            x_0_hat, log_snr = denoiser(state.x, t, cond), schedule.log_snr(t)
            x_t = correct(state, x_0_hat, t)
            h = (schedule.log_snr(s) - log_snr) / 2
            recent = self.order - 1
            integral = integrate(
                h,
                [0.0, *past_nodes(state.past, log_snr, h)[:recent]],
                [x_0_hat, *state.past.x_0_hats[:recent]],
                jnp.where(s > 0, jnp.minimum(state.past.count + 1, self.order), 1),
            )
            decayed = schedule.sigma(s) / schedule.sigma(t) * x_t
            x_s = decayed + schedule.alpha(s) * integral
            return UniPcState(x_s, decayed, remember(state.past, x_0_hat, log_snr))

        return Sampler(init, step)
