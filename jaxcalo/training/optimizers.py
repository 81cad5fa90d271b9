"""Optimizers: configuration to optax."""

import dataclasses

import jax
import optax


@dataclasses.dataclass(frozen=True)
class AdamW:
    """AdamW with linear warm-up, cosine decay and gradient clipping.

    Attributes:
        learning_rate: The peak.
        final_fraction: The learning rate of the last step, in units of the peak.
        warmup_steps: Steps until the peak.
        weight_decay: Decoupled decay of matrices (biases and scales are left alone).
        clip_norm: Largest global norm of the gradient.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        ema_decay: Decay per step of the parameters' average, which is what samples.
        accumulate: Batches whose gradients make one update.
    """

    learning_rate: float = 1e-3
    final_fraction: float = 0.01
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    beta_1: float = 0.9
    beta_2: float = 0.99
    ema_decay: float = 0.999
    accumulate: int = 1

    def build(self, n_steps: int, n_cycles: int = 1) -> optax.GradientTransformation:
        """The optax transformation for a run of n_steps batches.

        Args:
            n_steps: Batches in all.
            n_cycles: How often the learning rate goes through warm-up and decay.

        Source: Loshchilov and Hutter, arXiv:1711.05101 (AdamW), arXiv:1608.03983 (cycles).
        """
        # optax has no schedule of one update
        n_updates = max(2, n_steps // self.accumulate // n_cycles)
        cycle = optax.warmup_cosine_decay_schedule(
            init_value=0.0,
            peak_value=self.learning_rate,
            warmup_steps=min(self.warmup_steps, max(1, n_updates // 2)),
            decay_steps=n_updates,
            end_value=self.learning_rate * self.final_fraction,
        )
        ends = [n_updates * i for i in range(1, n_cycles)]
        schedule = optax.join_schedules([cycle] * n_cycles, ends)
        adamw = optax.adamw(
            schedule,
            b1=self.beta_1,
            b2=self.beta_2,
            weight_decay=self.weight_decay,
            mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
        )
        transformation = optax.chain(optax.clip_by_global_norm(self.clip_norm), adamw)
        if self.accumulate > 1:
            return optax.MultiSteps(transformation, self.accumulate).gradient_transformation()
        return transformation
