"""Progressive distillation: who has no loss in which stage, and when the teacher changes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracle_nets import MEAN, STD, BumpNet, N, OracleNet, batch, encode

from jaxcalo.diffusion import Ddim, time_grids
from jaxcalo.errors import InputError
from jaxcalo.families import Diffusion, ProgressiveDistillation, Sampling, generate, progressive
from jaxcalo.training import data_mesh, init_state, map_step, shard_batch

MESH = data_mesh(jax.devices()[:1])
CONFIG = Diffusion()
STEPS = 8  # of the first teacher
METHOD = ProgressiveDistillation(STEPS, 1)


def levels():
    """alpha and sigma on the teacher's grid, in double precision."""
    log_snr = np.asarray(CONFIG.schedule.log_snr(time_grids.uniform(STEPS)), np.float64)
    return log_snr, 1 / np.sqrt(1 + np.exp(-log_snr)), 1 / np.sqrt(1 + np.exp(log_snr))


LOG_SNR, ALPHA, SIGMA = levels()


def tables(mean):
    """Slope and offset (3, STEPS) of the exact students of 1, 2, 3 halvings at the teacher's times.

    The answer x_0 = slope x_t + offset, whose DDIM step spans 2, 4, 8 of the teacher's.
    """
    log_snr, alpha, sigma = LOG_SNR, ALPHA, SIGMA
    slopes, offsets = np.zeros((2, 3, STEPS))
    for halving in (1, 2, 3):
        span = 2**halving
        for i in range(0, STEPS, span):
            slope, offset = 1.0, 0.0  # x_s = slope x_t + offset over the steps so far
            for k in range(i, i + span):
                variance = alpha[k] ** 2 * STD**2 + sigma[k] ** 2
                gain = alpha[k] * STD**2 / variance
                h = (log_snr[k + 1] - log_snr[k]) / 2
                keep, add = sigma[k + 1] / sigma[k], -alpha[k + 1] * np.expm1(-h)
                slope, offset = (
                    (keep + add * gain) * slope,
                    (keep + add * gain) * offset + add * mean * (1 - gain * alpha[k]),
                )
            h = (log_snr[i + span] - log_snr[i]) / 2
            add = -alpha[i + span] * np.expm1(-h)
            slopes[halving - 1, i] = (slope - sigma[i + span] / sigma[i]) / add
            offsets[halving - 1, i] = offset / add
    return slopes, offsets


class ExactStudent(NamedTuple):
    """The exact student of `halvings` halvings; 0 is the teacher. `shift` moves its answers."""

    config: Any = CONFIG

    def init(self, key, x, c_noise, cond):
        return {"halvings": jnp.zeros(()), "shift": jnp.zeros(())}

    def apply(self, params, x, c_noise, cond):
        first = OracleNet(self.config).apply({}, x, c_noise, cond)
        i = jnp.argmin(jnp.abs(-8 * c_noise[:, None] - jnp.asarray(LOG_SNR[:-1])), axis=1)
        c = self.config.parametrization.coefficients(jnp.asarray(ALPHA)[i], jnp.asarray(SIGMA)[i])
        c_skip, c_out, c_in = c.c_skip[:, None], c.c_out[:, None], c.c_in[:, None]
        at_0, at_1 = tables(0.0), tables(1.0)
        stage = jnp.clip(params["halvings"].astype(int) - 1, 0, 2)
        slope = jnp.asarray(at_0[0])[stage, i][:, None]
        per_mean = jnp.asarray(at_1[1])[stage, i][:, None]
        x_t = x / c_in
        answer = slope * x_t + per_mean * (MEAN + cond[:, :1])
        student = (answer - c_skip * x_t) / c_out
        return jnp.where(params["halvings"] > 0, student, first) + params["shift"]


def model_of(net, optimizer, n_steps, method=METHOD, config=CONFIG, n_sampled=1, **options):
    sampling = options.pop("sampling", Sampling(Ddim(), n_sampled, time_grids.Uniform()))
    return progressive(
        net,
        config,
        method,
        sampling,
        optimizer,
        encode=encode,
        n_components=N,
        ema_decay=0.5,
        n_steps=n_steps,
        **options,
    )


def student(halvings, shift=0.0):
    return {"halvings": jnp.asarray(float(halvings)), "shift": jnp.asarray(shift)}


def test_each_stage_asks_for_the_exact_student_of_its_own():
    """The loss is zero for one halving more than the teacher, in the stage that halves so often."""
    model = model_of(ExactStudent(), optax.sgd(1e-3), n_steps=12)
    start = init_state(model.algorithm, jax.random.key(0), batch(0), MESH)
    step = map_step(model.algorithm, MESH)
    shards = shard_batch(batch(1), MESH)

    def loss(at, teacher, pupil):
        state = start._replace(
            step=jnp.asarray(at), params=student(*pupil), target=student(teacher)
        )
        after, metrics = step(jax.random.key(1), jax.tree.map(jnp.copy, state), shards)
        return float(metrics["loss"]), float(after.params["shift"]) - (pupil + (0.0,))[1]

    for stage in (0, 1, 2):
        exact, _ = loss(4 * stage, stage, (stage + 1,))
        wrong = min(loss(4 * stage, stage, (other,))[0] for other in range(4) if other != stage + 1)
        assert exact < 1e-4
        assert wrong > 100 * exact
        for shift in (0.1, -0.1):
            assert loss(4 * stage, stage, (stage + 1, shift))[1] * shift < 0


@pytest.mark.parametrize("halvings", [1, 3])
def test_exact_student_samples_what_its_teacher_does(halvings):
    net, cond = ExactStudent(), np.full((50, 1), 0.5, np.float32)
    samples = []
    for of, n_steps in ((halvings, STEPS // 2**halvings), (0, STEPS), (0, STEPS // 2**halvings)):
        model = model_of(net, optax.sgd(1.0), 12, n_sampled=n_steps)
        samples.append(generate(jax.random.key(0), model, student(of), cond, chunk=50, mesh=MESH))
    np.testing.assert_allclose(samples[0], samples[1], atol=1e-4)
    assert np.abs(samples[2] - samples[1]).max() > 1e-2


def test_teacher_becomes_the_students_average_exactly_between_stages():
    net = BumpNet()
    n_steps = 10  # stages of 4, 3 and 3
    model = model_of(net, optax.adam(1e-2), n_steps)
    state = init_state(model.algorithm, jax.random.key(0), batch(0, 32), MESH)
    step = map_step(model.algorithm, MESH)
    teacher, changes = jax.device_get(state.target), []
    for i in range(n_steps):
        state, _ = step(jax.random.key(1), state, shard_batch(batch(i, 32), MESH))
        target, ema = jax.device_get((state.target, state.ema))
        if not jax.tree.all(jax.tree.map(np.array_equal, target, teacher)):
            changes.append(i + 1)
            jax.tree.map(np.testing.assert_array_equal, target, ema)
        teacher = target
    # the first step of each new stage, floor(step 3 / 10) = 1 and 2
    assert changes == [4, 7]


def test_guidance_is_the_first_teachers_alone():
    net = BumpNet()
    config = Diffusion(condition_dropout=0.1)
    params = net.init(jax.random.key(9), jnp.zeros((1, N)), jnp.zeros(1), jnp.zeros((1, 2)))
    params = jax.tree.map(lambda p: p + np.linspace(-0.3, 0.4, p.size).reshape(p.shape), params)
    losses = {}
    for scale in (1.0, 3.0):
        model = model_of(
            net, optax.sgd(0.0), 12, config=config, teacher=params, teacher_guidance=scale
        )
        start = init_state(model.algorithm, jax.random.key(0), batch(0, 32), MESH)
        step = map_step(model.algorithm, MESH)
        for at in (0, 4):
            state = jax.tree.map(jnp.copy, start._replace(step=jnp.asarray(at)))
            _, metrics = step(jax.random.key(1), state, shard_batch(batch(0, 32), MESH))
            losses[scale, at] = float(metrics["loss"])
    assert abs(losses[3.0, 0] / losses[1.0, 0] - 1) > 0.1
    assert losses[3.0, 4] == pytest.approx(losses[1.0, 4], rel=1e-3)


def test_number_of_stages():
    found = [ProgressiveDistillation(a, b).n_stages for a, b in ((16, 1), (8, 4), (6, 3), (64, 2))]
    assert found == [4, 1, 1, 5]


@pytest.mark.parametrize(
    "numbers", [(16, 0), (16, 16), (8, 16), (12, 1), (10, 4), (16, -1), (0, 1)]
)
def test_impossible_numbers_of_steps_are_refused(numbers):
    with pytest.raises(InputError, match="first_steps = last_steps times"):
        ProgressiveDistillation(*numbers)


def test_impossible_students_are_refused():
    net = BumpNet()
    with pytest.raises(InputError, match="learned variance"):
        model_of(net, optax.sgd(1.0), 12, config=Diffusion(learned_variance=True))
    with pytest.raises(InputError, match="condition-dropout"):
        model_of(net, optax.sgd(1.0), 12, teacher_guidance=2.0)
    guided = Sampling(Ddim(), 1, guidance=2.0)
    with pytest.raises(InputError, match="expected 1 for a student"):
        model_of(net, optax.sgd(1.0), 12, sampling=guided)
    searched = Sampling(Ddim(), 2, time_grids.Searched((1.0, 0.4, 0.0)))
    with pytest.raises(InputError, match="any number of steps"):
        model_of(net, optax.sgd(1.0), 12, sampling=searched)
    with pytest.raises(InputError, match="each of its 3 stages"):
        model_of(net, optax.sgd(1.0), 2)
