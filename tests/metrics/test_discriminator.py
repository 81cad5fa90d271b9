import jax
import jax.numpy as jnp
import numpy as np

from jaxcalo.metrics import discriminator
from jaxcalo.metrics.discriminator import Recipe
from jaxcalo.nets import MlpClassifier


def normal(seed, n, d):
    return np.array(jax.random.normal(jax.random.key(seed), (n, d)))


def test_the_epoch_with_the_best_accuracy_on_the_test_part_is_kept():
    samples = jnp.asarray(normal(8, 300, 3)), jnp.asarray(normal(9, 300, 3) + 0.23)
    net, key = MlpClassifier(hidden=16), jax.random.key(2)
    recipe = Recipe(90, 1e-2)
    parts = discriminator.divide(key, [300, 300], (180, 60, 60))

    def accuracy(training):
        rows = parts.test.ravel()
        logits = discriminator.logits(net, recipe, training.variables, samples, rows)
        return np.mean((logits[:, 0] > 0) == (rows >= 300))

    # a training of n epochs is the beginning of a longer one
    found = [discriminator.train(key, net, recipe, n, samples, parts) for n in range(1, 9)]
    reached = [accuracy(training) for training in found]
    assert np.all(np.diff(reached) >= 0)
    best = found[-1].best_epoch
    assert 1 < best < 8
    assert reached[best - 2] < reached[best - 1]
    assert [training.best_epoch for training in found[best - 1 :]] == [best] * (9 - best)
    for kept, then in zip(
        *(jax.tree.leaves(found[i].variables) for i in (-1, best - 1)), strict=True
    ):
        np.testing.assert_array_equal(kept, then)


def test_every_part_has_its_own_showers_of_every_class():
    parts = discriminator.divide(jax.random.key(1), [50, 80], (20, 10, 15))
    assert [part.shape for part in parts] == [(2, 20), (2, 10), (2, 15)]
    used = np.concatenate(parts, axis=1)
    assert all(len(np.unique(rows)) == 45 for rows in used)
    assert used[0].min() >= 0
    assert used[0].max() < 50 <= used[1].min()
    # 45 of 80 are drawn from all of the larger sample
    assert used[1].max() >= 50 + 70
    assert used[1].max() < 130


def slow_gradient(params, x, y):
    """Gradient of the mean cross-entropy of one hidden layer, by hand."""
    (w, b), (v, c) = ((params[k]["kernel"], params[k]["bias"]) for k in ("hidden_0", "out"))
    before = x @ w + b
    slope = np.where(before > 0, 1, 0.01)
    z = (before * slope) @ v + c
    dz = (1 / (1 + np.exp(-z)) - y[:, None]) / len(y)
    dh = dz @ v.T * slope
    return {
        "hidden_0": {"kernel": x.T @ dh, "bias": dh.sum(axis=0)},
        "out": {"kernel": (before * slope).T @ dz, "bias": dz.sum(axis=0)},
    }


def test_an_epoch_is_adam_on_every_shower_once_the_rest_as_a_last_batch():
    samples = jnp.asarray(normal(10, 9, 2)), jnp.asarray(normal(11, 7, 2))
    net, recipe = MlpClassifier(hidden=4, n_hidden=1), Recipe(5, 0.1)
    rows = np.array([0, 3, 8, 9, 12, 15, 4], np.int32)
    state = discriminator._start(net, recipe, jax.random.key(2), samples[0][:1])
    params = jax.tree.map(lambda leaf: np.array(leaf, np.float64), state.variables["params"])
    key = jax.random.key(3)
    after, _ = discriminator._epoch(net, recipe, state, key, samples, rows, rows)

    x = np.concatenate(samples)
    first = second = jax.tree.map(np.zeros_like, params)
    order = np.asarray(jax.random.permutation(key, rows))
    for n, batch in enumerate((order[:5], order[5:]), start=1):
        gradient = slow_gradient(params, x[batch], batch >= 9)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, gradient)

        def move(p, m, v, n=n):
            return p - 0.1 * m / (1 - 0.9**n) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)

        params = jax.tree.map(move, params, first, second)
    for found, expected in zip(
        *map(jax.tree.leaves, (after.variables["params"], params)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_evaluation_in_batches_gives_every_row_its_own_logit():
    samples = tuple(jnp.asarray(normal(12 + k, n, 2)) for k, n in enumerate((9, 7, 5)))
    net, rows = MlpClassifier(hidden=4, n_outputs=3), np.array([20, 0, 9, 8, 15, 16, 3], np.int32)
    variables = net.init(jax.random.key(4), samples[0])
    found = discriminator.logits(net, Recipe(3, 0.1), variables, samples, rows)
    expected = net.apply(variables, np.concatenate(samples)[rows])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(discriminator._classes(samples, rows), [2, 0, 1, 0, 1, 2, 0])
