"""GANs on vectors: all modes are found, conditions are followed, devices change nothing."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from vector_cases import Linear, batch_of, drawn, encode, quick_jit, run

from jaxcalo.diffusion import randn
from jaxcalo.errors import InputError
from jaxcalo.families import VectorGan, evaluate_vector_gan, vector_gan, vector_gan_noise
from jaxcalo.families.physics import PhysicsTerm
from jaxcalo.nets import PlainDense
from jaxcalo.training import R1, Adversarial, LeastSquares

N_MODES, WIDTH, N_STEPS = 8, 0.2, 1200
ANGLES = 2 * np.pi * np.arange(N_MODES) / N_MODES
MODES = 1.4 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
SHIFT = np.array([0.5, -0.25])  # of all modes, by the condition
CONFIG = VectorGan(Adversarial(LeastSquares(), R1(weight=0.1)), n_noise=4)


@cache
def ring(n=1 << 15):
    """Eight normal blobs on a circle, moved by the condition."""
    draws = np.random.default_rng(0)
    cond = draws.uniform(-1, 1, (n, 1))
    event = MODES[draws.integers(N_MODES, size=n)] + cond * SHIFT
    event += WIDTH * draws.standard_normal((n, 2))
    return {"event": event.astype(np.float32), "cond": cond.astype(np.float32)}


def model_of(players=None, config=CONFIG, n_components=2, **options):
    if players is None:
        players = (PlainDense((48, 48), size, jax.nn.leaky_relu) for size in (2, 1))
    optimizer = optax.adam(optax.cosine_decay_schedule(4e-3, N_STEPS), b1=0.0, b2=0.99)
    settings = {"encode": encode, "n_components": n_components, "ema_decay": 0.98}
    return vector_gan(*players, config, optimizer, optimizer, **settings, **options)


@cache
def samples(seed):
    """Events at the conditions -1 and 1."""
    model = model_of()
    state, _ = run(model, ring(), N_STEPS, 128, seed=seed)
    return {c: drawn(model, state.ema, np.full((2000, 1), c, np.float32)) for c in (-1, 1)}


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]
)
def test_all_modes_are_found_and_follow_the_condition(seed):
    for c, events in samples(seed).items():
        distances = np.linalg.norm(events[:, None] - MODES - c * SHIFT, axis=-1)
        # Within three widths: 0.989 of a real blob, and blobs are 5.4 widths apart.
        near = distances.argmin(1)[distances.min(1) < 3 * WIDTH]
        share = np.bincount(near, minlength=N_MODES) / len(events)
        assert share.min() > 0.5 / N_MODES
        assert share.sum() > 0.9
        np.testing.assert_allclose(events.mean(axis=0), c * SHIFT, atol=0.12)


@cache
def after_three_steps(n_devices, weight):
    term = PhysicsTerm("radius", lambda event, cond: jnp.sum(event**2)[None], weight)
    config = VectorGan(Adversarial(penalty=None), n_noise=2)
    model = model_of((Linear(2), Linear(1)), config, terms=(term,) if weight else ())
    return run(model, ring(), 3, 16, n_devices)


def test_eight_devices_equal_one():
    one, eight = (jax.tree.leaves(after_three_steps(n, 3.0)) for n in (1, 8))
    for a, b in zip(one, eight, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_a_physics_term_moves_the_generator():
    (plain, without), (moved, told) = (after_three_steps(1, weight) for weight in (0.0, 3.0))
    assert "physics_radius" not in without
    # Least squares of a linear critic that has hardly moved: the term is the difference.
    assert told["loss"] - without["loss"] > 2.0 * told["physics_radius"] > 0.1
    kernels = [np.abs(state.params["generator"]["A"]).sum() for state in (plain, moved)]
    # The generated events are too near to the origin.
    assert kernels[1] > kernels[0] + 1e-3


class Square(NamedTuple):
    """A critic that is the squared length."""

    def init(self, key, x, cond):
        return ()

    def apply(self, params, x, cond):
        return jnp.sum(x**2, axis=1, keepdims=True)


def test_the_critic_sees_blurred_events_and_physics_terms_do_not():
    term = PhysicsTerm("radius", lambda event, cond: jnp.sum(event**2)[None], 0.0)
    found = []
    for blur in (0.0, 0.5):
        config = VectorGan(Adversarial(penalty=None), n_noise=2, blur=blur)
        found.append(
            run(model_of((Linear(2), Square()), config, terms=(term,)), ring(), 1, 4096)[1]
        )
    sharp, blurred = found
    for name in ("critic_real", "critic_generated"):
        # Of two components; the error is a hundredth.
        np.testing.assert_allclose(blurred[name] - sharp[name], 2 * 0.5**2, atol=0.06)
    assert blurred["physics_radius"] == sharp["physics_radius"]


class One(NamedTuple):
    """A generator of one event, or a critic that is the first component."""

    generates: bool

    def init(self, key, x, cond):
        return ()

    def apply(self, params, x, cond):
        return jnp.tile(jnp.array([2.0, 0.5]), (len(x), 1)) if self.generates else x[:, :1]


def test_evaluation_of_a_collapsed_generator_in_closed_form():
    judge = quick_jit(evaluate_vector_gan(One(True), One(False), CONFIG, encode=encode))
    real = {name: value[:100] for name, value in ring().items()}
    found = judge(jax.random.key(0), {"generator": (), "critic": ()}, real)
    expected = {
        "critic_gap": real["event"][:, 0].mean() - 2.0,
        "mean_difference": np.abs([2.0, 0.5] - real["event"].mean(0)).max(),
        "width_difference": real["event"].std(0).max(),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


def test_the_noise_that_is_drawn_gives_the_sampled_event():
    players = Linear(2), Linear(1)
    model = model_of(players)
    params = model.algorithm.init(jax.random.key(0), batch_of(ring(), size=8)).params
    noise = vector_gan_noise(players[0], CONFIG)
    for seed in range(3):
        key, cond = jax.random.key(seed), jnp.full(1, 0.5)
        made = noise.event(randn(key, (noise.n_noise,)), params, cond)
        np.testing.assert_allclose(made, model.sample(key, params, cond), rtol=1e-6)


def test_unusable_numbers_are_refused():
    with pytest.raises(InputError, match="n_noise: expected at least 1"):
        VectorGan(n_noise=0)
    with pytest.raises(InputError, match="blur: expected a width of at least 0"):
        VectorGan(blur=-0.1)
