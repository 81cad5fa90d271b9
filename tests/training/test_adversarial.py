"""The two players' step: closed forms on vectors, the penalties, any number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcalo.errors import InputError
from jaxcalo.training import (
    R1,
    Adversarial,
    Batch,
    Game,
    LeastSquares,
    NonSaturating,
    TwoSided,
    Wasserstein,
    adversarial,
    data_mesh,
    init_state,
    map_step,
    shard_batch,
)

N, D = 16, 3
LR_G, LR_C = 0.3, 0.2


def linear_game(start, *, fresh_noise=False):
    """G(z) = W z, D(x) = a . x + b, on vectors; z is in the data unless it is drawn."""

    def generate(key, params, index, context):
        if not fresh_noise:
            return context @ params["W"].T
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
        return jax.vmap(lambda k: jax.random.normal(k, (D,)))(keys) @ params["W"].T

    return Game(
        lambda key, batch: jax.tree.map(jnp.asarray, start),
        lambda key, batch: (batch.data["x"], batch.data["z"]),
        generate,
        lambda params, x, context: x @ params["a"] + params["b"],
    )


def start_of(seed=0):
    rng = jax.random.split(jax.random.key(seed), 2)
    return jax.device_get(
        {
            "generator": {"W": jax.random.normal(rng[0], (D, D))},
            "critic": {"a": jax.random.normal(rng[1], (D,)), "b": jnp.asarray(0.3)},
        }
    )


def vectors(n=N):
    x, z = jax.device_get(jax.random.normal(jax.random.key(9), (2, n, D)))
    return Batch(np.arange(n, dtype=np.int32), {"x": x + 1.0, "z": z})


def run(game, config, n_steps=1, devices=1, lr_critic=LR_C, data=None):
    data, mesh = vectors() if data is None else data, data_mesh(jax.devices()[:devices])
    algorithm = adversarial(game, config, optax.sgd(LR_G), optax.sgd(lr_critic), 0.9)
    state = init_state(algorithm, jax.random.key(0), data, mesh)
    step, history = map_step(algorithm, mesh), []
    for _ in range(n_steps):
        state, metrics = step(jax.random.key(1), state, shard_batch(data, mesh))
        history.append(jax.device_get(metrics))
    return jax.device_get(state), history


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("loss", "d_real", "d_generated", "d_pass"),
    [
        (LeastSquares(), lambda r: r - 1, lambda g: g, lambda g: g - 1),
        (NonSaturating(), lambda r: -sigmoid(-r), sigmoid, lambda g: -sigmoid(-g)),
        (Wasserstein(), lambda r: -np.ones(N), lambda g: np.ones(N), lambda g: -np.ones(N)),
    ],
    ids=lambda value: type(value).__name__ if not callable(value) else "",
)
def test_a_step_is_the_gradients_written_by_hand(loss, d_real, d_generated, d_pass):
    start, data = start_of(), vectors().data
    state, (metrics,) = run(linear_game(start), Adversarial(loss, penalty=None))
    x, z = (np.asarray(data[name], np.float64) for name in ("x", "z"))
    W, a, b = start["generator"]["W"], start["critic"]["a"], start["critic"]["b"]
    g = z @ W.T
    of_real, of_generated = d_real(x @ a + b), d_generated(g @ a + b)
    grad_a, grad_b = (of_real @ x + of_generated @ g) / N, np.mean(of_real + of_generated)
    new_a, new_b = a - LR_C * grad_a, b - LR_C * grad_b
    grad_W = np.einsum("n,i,nj->ij", d_pass(g @ new_a + new_b), new_a, z) / N
    np.testing.assert_allclose(state.params["critic"]["a"], new_a, rtol=1e-5)
    np.testing.assert_allclose(state.params["critic"]["b"], new_b, rtol=1e-5)
    np.testing.assert_allclose(state.params["generator"]["W"], W - LR_G * grad_W, atol=5e-6)
    expected = {
        "critic_real": np.mean(x @ a + b),
        "critic_generated": np.mean(g @ a + b),
        "critic_gradient_norm": np.sqrt(grad_a @ grad_a + grad_b**2),
        "gradient_norm": np.linalg.norm(grad_W),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=2e-5, err_msg=name)
    for name, old in start.items():
        for key, value in old.items():
            average = 0.1 * value + 0.9 * state.params[name][key]
            np.testing.assert_allclose(state.ema[name][key], average, rtol=1e-5)


def test_values_of_the_losses():
    real, generated = jnp.asarray([2.0, 0.0]), jnp.asarray([0.5, 1.0])
    np.testing.assert_allclose(LeastSquares().critic(real, generated), [0.625, 1.0])
    np.testing.assert_allclose(LeastSquares().generator(generated), [0.125, 0.0])
    two = -np.log(sigmoid(real)) - np.log(1 - sigmoid(generated))
    np.testing.assert_allclose(NonSaturating().critic(real, generated), two, rtol=1e-5)
    np.testing.assert_allclose(
        NonSaturating().generator(generated), -np.log(sigmoid(generated)), rtol=1e-5
    )
    np.testing.assert_allclose(Wasserstein().critic(real, generated), [-1.5, 1.0])
    np.testing.assert_allclose(Wasserstein().generator(generated), -generated)


def quadratic_game(matrix):
    """D(x) = x . A x / 2 and a generator that copies the data: only the penalty moves D."""
    return Game(
        lambda key, batch: {"generator": jnp.ones(()), "critic": jnp.asarray(matrix)},
        lambda key, batch: (batch.data["x"], ()),
        lambda key, params, index, context: jnp.asarray(vectors().data["x"]),
        lambda params, x, context: 0.5 * jnp.einsum("bi,ij,bj->b", x, params, x),
    )


def test_r1_of_a_quadratic_critic_in_closed_form():
    half = np.asarray(jax.random.normal(jax.random.key(3), (D, D)), np.float64)
    A, x = half + half.T, np.asarray(vectors().data["x"], np.float64)
    config = Adversarial(Wasserstein(), R1(weight=0.7))
    state, (metrics,) = run(quadratic_game(A.astype(np.float32)), config, lr_critic=1e-2)
    slopes = x @ A
    size = 0.5 * np.mean(np.sum(slopes**2, axis=1))
    np.testing.assert_allclose(metrics["gradient_penalty"].ratio(), size, rtol=1e-5)
    np.testing.assert_allclose(metrics["critic_loss"], 0.7 * size, rtol=1e-5)
    # d/dA of |S x|^2 / 2 with S = (A + A^T) / 2, which is what the slope of D is.
    outer = np.einsum("bi,bj->ij", slopes, x) / N
    moved = A - 1e-2 * 0.7 * 0.5 * (outer + outer.T)
    np.testing.assert_allclose(state.params["critic"], moved, rtol=1e-5, atol=1e-6)


def test_a_lazy_penalty_comes_seldom_and_counts_as_often():
    A = np.eye(D, dtype=np.float32)
    size = 0.5 * np.mean(np.sum(vectors().data["x"] ** 2, axis=1))
    config = Adversarial(Wasserstein(), R1(weight=0.7, every=3), n_critic=2)
    _, history = run(quadratic_game(A), config, n_steps=4, lr_critic=0.0)
    # updates 0 and 3 of 0 ... 7 and so on: in each step one of two, but in the third none
    counts = [float(metrics["gradient_penalty"].count) for metrics in history]
    assert counts == [0.5, 0.5, 0.0, 0.5]
    losses = [float(metrics["critic_loss"]) for metrics in history]
    np.testing.assert_allclose(losses, 3 * 0.7 * size * np.asarray(counts), atol=1e-6)
    np.testing.assert_allclose(history[0]["gradient_penalty"].ratio(), size, rtol=1e-5)


def test_the_two_sided_penalty_of_a_linear_critic_in_closed_form():
    start = start_of()
    config = Adversarial(Wasserstein(), TwoSided(weight=2.0))
    state, (metrics,) = run(linear_game(start), config)
    a, data = start["critic"]["a"].astype(np.float64), vectors().data
    norm = np.linalg.norm(a)
    np.testing.assert_allclose(metrics["gradient_penalty"].ratio(), (norm - 1) ** 2, rtol=1e-5)
    moved = (data["z"] @ start["generator"]["W"].T - data["x"]).mean(0) + 4 * (norm - 1) * a / norm
    np.testing.assert_allclose(state.params["critic"]["a"], a - LR_C * moved, rtol=1e-5)


def test_the_two_sided_penalty_of_a_flat_critic_has_a_finite_gradient():
    start = start_of()
    start["critic"]["a"] = np.zeros(D, np.float32)
    state, (metrics,) = run(linear_game(start), Adversarial(Wasserstein(), TwoSided()))
    np.testing.assert_allclose(metrics["gradient_penalty"].ratio(), 1.0, rtol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_every_update_draws_its_own_noise():
    """D(x) = a x on real events of 0, G = its noise: each update tells its noise's mean."""
    game = Game(
        lambda key, batch: {"generator": jnp.ones(()), "critic": jnp.zeros(())},
        lambda key, batch: (batch.data["x"][:, 0] * 0.0, ()),
        lambda key, params, index, context: (
            params * jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i)))(index)
        ),
        lambda params, x, context: params * x,
    )
    config = Adversarial(Wasserstein(), penalty=None, n_critic=2)
    state, (metrics,) = run(game, config, lr_critic=1.0)
    a = state.params["critic"]
    # a_1 = -m_1, a_2 = -m_1 - m_2, D of the updates 0 and a_1 m_2, L_g = -a_2 m_3
    product, minus_sum, third = -2 * metrics["critic_generated"], -a, -metrics["loss"] / a
    first, second = np.roots([1.0, -minus_sum, product])
    assert np.isreal([first, second]).all()
    distances = [abs(first - second), abs(first - third), abs(second - third)]
    assert min(distances) > 1e-3
    assert max(abs(first), abs(second), abs(third)) < 5 / np.sqrt(N)
    assert state.step == 1


def test_eight_devices_equal_one():
    def trained(devices):
        game = linear_game(start_of(), fresh_noise=True)
        return run(game, Adversarial(NonSaturating(), TwoSided()), n_steps=4, devices=devices)

    one, eight = trained(1), trained(8)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_a_step_repeats_and_another_key_gives_another():
    game = linear_game(start_of(), fresh_noise=True)
    algorithm = adversarial(game, Adversarial(), optax.adam(1e-3), optax.adam(1e-3), 0.9)
    data, mesh = vectors(), data_mesh(jax.devices()[:1])
    step, start = map_step(algorithm, mesh), init_state(algorithm, jax.random.key(0), data, mesh)

    def after(key, steps_before=0):
        state = jax.tree.map(jnp.copy, start)._replace(step=start.step + steps_before)
        _, metrics = step(key, state, shard_batch(data, mesh))
        return float(metrics["critic_generated"])

    same, again = after(jax.random.key(1)), after(jax.random.key(1))
    assert same == again
    assert same != after(jax.random.key(2))
    assert same != after(jax.random.key(1), steps_before=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: R1(weight=-1.0), "weight of at least 0"),
        (lambda: TwoSided(every=0), "every of at least 1"),
        (lambda: Adversarial(n_critic=0), "n_critic: expected at least 1"),
    ],
)
def test_senseless_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
