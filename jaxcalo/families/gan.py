"""GANs on point clouds: EPiC-GAN and MP-GAN by their networks, one family.

    cloud = G(local noise of each point, global noise, condition),    D(cloud, condition) -> number

Sources: Buhmann et al. 2023, EPiC-GAN (arXiv:2301.08128); Kansal et al. 2021, MP-GAN
(arXiv:2106.11535).
"""

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import randn
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel
from jaxcalo.families.map_events import map_events
from jaxcalo.families.process import event_keys
from jaxcalo.families.two_stage import Evaluate
from jaxcalo.nets import row_mask
from jaxcalo.training import R1, Adversarial, Batch, Game, adversarial
from jaxcalo.typing import Cond, Conds, Event, Key, Params

_N_COLUMNS = 4
_EVALUATED_TOGETHER = 16  # chosen: messages between all pairs of 500 points then take below 2 GB


class Generator(Protocol):
    """A network that turns noise into clouds, batch first: what a Linen module is from outside.

    local_noise (b, s, k), global_noise (b, g), mask (b, s), cond (b, c) -> points (b, s, 4).
    """

    def init(
        self, key: Key, local_noise: Array, global_noise: Array, mask: Array, cond: Conds, /
    ) -> Params:
        """Random parameters."""
        ...

    def apply(
        self, params: Params, local_noise: Array, global_noise: Array, mask: Array, cond: Conds, /
    ) -> Array:
        """Evaluate; the number of points is not part of cond."""
        ...


class Critic(Protocol):
    """A network that judges clouds: points (b, s, 4), mask (b, s), cond (b, c) -> (b,)."""

    def init(self, key: Key, points: Array, mask: Array, cond: Conds, /) -> Params:
        """Random parameters."""
        ...

    def apply(self, params: Params, points: Array, mask: Array, cond: Conds, /) -> Array:
        """Evaluate; the number of points is not part of cond."""
        ...


@dataclasses.dataclass(frozen=True)
class Gan:
    """What is trained.

    EPiC-GAN has a global noise; MP-GAN as published has none (n_global 0), n_local 32 and local_std
    0.2. Its messages and its condition then outweigh the noise, and the points of an untrained
    generator are 0.02 wide where the data are 1 wide: learning is slow. With n_local 8, local_std 1
    and weights that make up for the activations (the generator's gain, 1.92) they are 0.8 wide.

    Attributes:
        adversarial: How the players learn. The weight of R1 grows with the clouds: the slope at a
            point falls as 1 / N where the critic sees means. Chosen: 10, for some thousand points.
        n_local: Normal random numbers of each point.
        n_global: Of the whole cloud.
        local_std: Standard deviation of the points' numbers; that of the cloud's is 1.

    Raises:
        InputError: No noise for the points.
    """

    adversarial: Adversarial = dataclasses.field(
        default_factory=lambda: Adversarial(penalty=R1(weight=10.0, every=4))
    )
    n_local: int = 4
    n_global: int = 10
    local_std: float = 1.0

    def __post_init__(self) -> None:
        if self.n_local < 1 or self.n_global < 0 or not self.local_std > 0.0:
            raise InputError(
                "GAN: expected n_local >= 1, n_global >= 0 and local_std > 0, found "
                f"{self.n_local}, {self.n_global} and {self.local_std}; choose 4, 10 and 1, say"
            )


def gan(
    generator: Generator,
    critic: Critic,
    config: Gan,
    optimizer_generator: optax.GradientTransformation,
    optimizer_critic: optax.GradientTransformation,
    *,
    encode: Encode,
    n_points: int,
    ema_decay: float,
) -> GenerativeModel:
    """Make the generative model of standardised clouds.

    Args:
        generator: From noise to points.
        critic: From points to a number.
        config: What is trained.
        optimizer_generator: The generator's optax transformation.
        optimizer_critic: The critic's.
        encode: (key, datum) -> (flat event (4 s,), condition with n_points last).
        n_points: Rows of a sampled event, (4 n_points,), which holds condition[-1] points; a point
            is the same to rounding whatever the rows.
        ema_decay: Decay of the players' averages per step.
    """
    game = _game(generator, critic, config, encode)
    algorithm = adversarial(
        game, config.adversarial, optimizer_generator, optimizer_critic, ema_decay
    )

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        context = _context(n_points, cond[None])
        points = _generate(generator, config, params["generator"], key[None], context)
        return points.reshape(-1)

    return GenerativeModel(algorithm, sample)


def evaluate_gan(generator: Generator, critic: Critic, config: Gan, *, encode: Encode) -> Evaluate:
    """Generated clouds beside held-out ones, at the same conditions.

    Returns:
        (key, averaged parameters, data with leading axis) -> {"critic_gap", "mean_difference",
        "width_difference", "shower_width_difference"}: the mean of D over the held-out less over
        the generated clouds; then generated less held-out, for each standardised column (4,), of
        the mean and the standard deviation of all points, and of the standard deviation of the
        showers' means. A generator that makes one point only, or one shower only, has lost the
        widths.
    """
    game = _game(generator, critic, config, encode)

    @jax.jit
    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        def of_event(row: tuple[Array, Any]) -> tuple[_Judged, _Judged]:
            index, datum = row
            one = Batch(index[None], jax.tree.map(lambda x: x[None], datum))
            encode_key, noise_key = jax.random.split(key)
            real, context = game.encode(encode_key, one)
            generated = game.generate(noise_key, params["generator"], index[None], context)
            of_real, of_generated = (
                _judge(
                    cloud[0], context.mask[0], game.criticise(params["critic"], cloud, context)[0]
                )
                for cloud in (real, generated)
            )
            return of_real, of_generated

        index = jnp.arange(jax.tree.leaves(data)[0].shape[0])
        real, generated = map_events(of_event, (index, data), _EVALUATED_TOGETHER)
        differences = jax.tree.map(jnp.subtract, _spread(generated), _spread(real))
        return {"critic_gap": jnp.mean(real.score - generated.score)} | differences

    return evaluate


class _Context(NamedTuple):
    """What both players see: mask (b, s), and cond (b, c) without the number of points."""

    mask: Array
    cond: Conds


class _Judged(NamedTuple):
    """One cloud: its number of points, their mean (4,), the sum of squares about it (4,), and D."""

    n_points: Array
    mean: Array
    squares: Array
    score: Array


def _context(rows: int, cond: Conds) -> _Context:
    return _Context(row_mask(cond[:, -1], rows), cond[:, :-1])


def _game(generator: Generator, critic: Critic, config: Gan, encode: Encode) -> Game:
    def init(key: Key, batch: Batch) -> Params:
        event, cond = jax.eval_shape(encode, key, jax.tree.map(lambda x: x[0], batch.data))
        rows, n_conditions = event.shape[0] // _N_COLUMNS, cond.shape[0] - 1
        mask, conds = jnp.ones((1, rows), bool), jnp.zeros((1, n_conditions))
        local, whole = jnp.zeros((1, rows, config.n_local)), jnp.zeros((1, config.n_global))
        points = jnp.zeros((1, rows, _N_COLUMNS))
        generator_key, critic_key = jax.random.split(key)
        return {
            "generator": generator.init(generator_key, local, whole, mask, conds),
            "critic": critic.init(critic_key, points, mask, conds),
        }

    def encode_batch(key: Key, batch: Batch) -> tuple[Array, _Context]:
        events, conds = jax.vmap(encode)(event_keys(key, batch), batch.data)
        points = events.reshape(len(events), -1, _N_COLUMNS)
        return points, _context(points.shape[1], conds)

    def generate(key: Key, params: Params, index: Array, context: _Context) -> Array:
        keys = event_keys(key, Batch(index, ()))
        return _generate(generator, config, params, keys, context)

    def criticise(params: Params, points: Array, context: _Context) -> Array:
        # A row of padding that a penalty's gradient could move would not be padding.
        masked = points * context.mask[:, :, None]
        return critic.apply(params, masked, context.mask, context.cond)

    return Game(init, encode_batch, generate, criticise)


def _generate(
    generator: Generator, config: Gan, params: Params, keys: Key, context: _Context
) -> Array:
    """Clouds (b, s, 4), zero on padding, each from its own key."""
    mask, cond = context
    rows = mask.shape[1]

    # The cloud's numbers stand first, so that more rows do not change those of the points.
    size = config.n_global + rows * config.n_local
    noise = jax.vmap(lambda key: randn(key, (size,)))(keys)
    whole, local = noise[:, : config.n_global], noise[:, config.n_global :]
    local = config.local_std * local.reshape(-1, rows, config.n_local)
    return generator.apply(params, local, whole, mask, cond) * mask[:, :, None]


def _judge(points: Array, mask: Array, score: Array) -> _Judged:
    n_points = jnp.sum(mask)
    # A cloud without points has no mean; it counts nothing.
    mean = jnp.sum(points, axis=0) / jnp.maximum(n_points, 1)
    deviations = jnp.where(mask[:, None], points - mean, 0.0)
    return _Judged(n_points, mean, jnp.sum(deviations**2, axis=0), score)


def _spread(clouds: _Judged) -> dict[str, Array]:
    """Mean and width of all points, and width of the clouds' means, of each column."""
    weight = (clouds.n_points / jnp.sum(clouds.n_points))[:, None]
    mean = jnp.sum(weight * clouds.mean, axis=0)
    within = jnp.sum(clouds.squares, axis=0) / jnp.sum(clouds.n_points)
    between = jnp.sum(weight * (clouds.mean - mean) ** 2, axis=0)
    return {
        "mean_difference": mean,
        "width_difference": jnp.sqrt(within + between),
        "shower_width_difference": jnp.std(clouds.mean, axis=0),
    }
