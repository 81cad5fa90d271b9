from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from net_cases import normal, quick_jit, random_params
from scipy.signal import correlate

from jaxcalo.nets import MlpClassifier, ResNetClassifier
from jaxcalo.nets.classifier import _max_pool, _normal_fan_out

GRID = (9, 8, 5)
N_VOXELS = 9 * 8 * 5


def n_params(net, width):
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, width)))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize(("width", "outputs"), [(6481, 1), (362, 1), (369, 16)])
def test_perceptron_has_the_published_layers(width, outputs):
    sizes = [width, 2048, 2048, 2048, outputs]
    expected = sum((a + 1) * b for a, b in pairwise(sizes))
    assert n_params(MlpClassifier(n_outputs=outputs), width) == expected


def test_perceptron_equals_its_formula_and_does_not_depend_on_training():
    net, x = MlpClassifier(hidden=6, n_hidden=2, n_outputs=3), normal(0, (5, 4))
    variables = random_params(net, x)
    y = np.asarray(x)
    for name in ("hidden_0", "hidden_1", "out"):
        layer = variables["params"][name]
        y = y @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
        if name != "out":
            y = np.where(y > 0, y, 0.01 * y)
    assert (y < 0).any()
    for train in (False, True):
        np.testing.assert_allclose(net.apply(variables, x, train), y, rtol=1e-5, atol=1e-6)


def test_perceptron_starts_uniformly_within_the_root_of_fan_in():
    params = MlpClassifier(hidden=400).init(jax.random.key(0), jnp.zeros((1, 100)))["params"]
    for name, fan_in in (("hidden_0", 100), ("hidden_1", 400), ("out", 400)):
        for leaf in params[name].values():
            draws = np.asarray(leaf).ravel() * np.sqrt(fan_in)
            assert np.abs(draws).max() <= 1
            # 3.5 sigma of the mean square of n uniform draws
            error = 3.5 * np.sqrt(4 / 45 / len(draws))
            np.testing.assert_allclose(np.mean(draws**2), 1 / 3, atol=error)
            if len(draws) > 1:
                assert len(np.unique(draws)) > len(draws) / 2


def test_convolutions_start_normally_with_the_variance_of_fan_out():
    shape = (3, 3, 3, 16, 32)
    draws = np.asarray(_normal_fan_out(jax.random.key(0), shape, jnp.float32)).ravel()
    scaled = draws * np.sqrt(27 * 32 / 2)
    np.testing.assert_allclose(scaled.mean(), 0, atol=4 / np.sqrt(len(draws)))
    np.testing.assert_allclose(scaled.var(), 1, atol=4 * np.sqrt(2 / len(draws)))
    np.testing.assert_allclose(np.mean(scaled**4), 3, atol=4 * np.sqrt(96 / len(draws)))


def test_residual_network_has_18_layers_of_the_published_planes():
    convolutions, norms, c_in = [343 * 32], [32, 1], 32  # stem; its norm and that of the energy
    for stage, planes in enumerate((32, 64, 64, 128)):
        for block in range(2):
            convolutions += [27 * c_in * planes, 27 * planes * planes]
            norms += [planes, planes]
            if block == 0 and stage > 0:
                convolutions.append(c_in * planes)
                norms.append(planes)
            c_in = planes
    linear = 128 + 1 + 1
    assert len(convolutions) - 3 + 1 == 18  # shortcuts are not counted, the linear layer is
    expected = sum(convolutions) + 2 * sum(norms) + linear
    assert n_params(ResNetClassifier((45, 16, 9)), 6481) == expected


def test_sizes_of_the_stages_on_data_set_2():
    net, x = ResNetClassifier((45, 16, 9)), jnp.zeros((2, 6481))

    def stages():
        variables = net.init(jax.random.key(0), x)
        options = {"capture_intermediates": True, "mutable": ["intermediates"]}
        _, seen = net.apply(variables, x, False, **options)
        return seen["intermediates"]

    seen = jax.eval_shape(stages)
    found = {name: leaf["__call__"][0].shape for name, leaf in seen.items() if name != "__call__"}
    assert found["stem"] == (2, 23, 8, 5, 32)
    assert found["stage_0_1"] == (2, 12, 4, 3, 32)
    assert found["stage_1_1"] == (2, 6, 2, 2, 64)
    assert found["stage_2_1"] == (2, 3, 1, 1, 64)
    assert found["stage_3_1"] == (2, 2, 1, 1, 128)
    assert found["out"] == (2, 1)


@pytest.mark.parametrize("net", [MlpClassifier(hidden=4), ResNetClassifier(GRID)])
def test_types_follow_the_input(net):
    def train(x):
        variables = net.init(jax.random.key(0), x)
        return variables, net.apply(variables, x, True, mutable=["batch_stats"])

    for wide, name in ((False, "float32"), (True, "float64")):
        with jax.enable_x64(wide):
            found = jax.eval_shape(train, jax.ShapeDtypeStruct((3, 1 + N_VOXELS), jnp.dtype(name)))
        assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {name}


def test_maximum_has_a_margin_of_one_cell():
    x = np.asarray(normal(1, (2, 5, 4, 3, 2)))
    found = np.asarray(_max_pool(jnp.asarray(x)))
    assert found.shape == (2, 3, 2, 2, 2)
    for i, j, k in np.ndindex(3, 2, 2):
        low = [max(0, 2 * p - 1) for p in (i, j, k)]
        cells = x[:, low[0] : 2 * i + 2, low[1] : 2 * j + 2, low[2] : 2 * k + 2]
        np.testing.assert_array_equal(found[:, i, j, k], cells.max(axis=(1, 2, 3)))


def new_statistics_random_kernels(net, x):
    """Variables without compiling an initialiser, kernels 1.4 / sqrt(fan_in) wide."""
    shapes = jax.eval_shape(net.init, jax.random.key(0), x)
    draws = np.asarray(jax.random.normal(jax.random.key(9), (2_600_000,)))
    used = 0

    def fill(path, leaf):
        nonlocal used
        if path[-1].key != "kernel":
            return jnp.full(leaf.shape, float(path[-1].key in ("scale", "var")))
        first, used = used, used + leaf.size
        width = 1.4 / np.sqrt(np.prod(leaf.shape[:-1]))
        return jnp.asarray(width * draws[first:used].reshape(leaf.shape))

    return jax.tree_util.tree_map_with_path(fill, shapes)


@pytest.fixture(scope="module")
def resnet():
    """A network, its variables, five showers, and what they give in training."""
    net = ResNetClassifier(GRID)
    x = jnp.concatenate([4 + normal(2, (5, 1)), normal(3, (5, N_VOXELS)) ** 2], axis=1)
    variables = new_statistics_random_kernels(net, x)
    apply = quick_jit(
        lambda v, x, train: net.apply(
            v, x, train, capture_intermediates=True, mutable=["batch_stats", "intermediates"]
        ),
        static_argnums=2,
    )
    return variables, x, apply, apply(variables, x, True)


def call_of(seen, *names):
    for name in names:
        seen = seen[name]
    return np.asarray(seen["__call__"][0])


def test_stem_reads_the_grid_in_file_order_with_zeros_around(resnet):
    variables, x, _, (_, changed) = resnet
    found = call_of(changed["intermediates"], "stem")
    shower = np.asarray(x)[1, 1:].reshape(GRID)
    kernel = np.asarray(variables["params"]["stem"]["kernel"])[..., 0, 7]
    expected = correlate(shower, kernel, mode="same", method="direct")[::2, ::2, ::2]
    np.testing.assert_allclose(found[1, ..., 7], expected, rtol=1e-4, atol=1e-5)


def test_training_normalises_with_the_batch_and_moves_the_averages_by_a_tenth(resnet):
    _, x, _, (_, changed) = resnet
    stem = call_of(changed["intermediates"], "stem")
    normed = call_of(changed["intermediates"], "stem_norm")
    energy = np.asarray(x)[:, :1]
    for name, values in (("stem_norm", stem), ("energy_norm", energy)):
        axes = tuple(range(values.ndim - 1))
        stats = changed["batch_stats"][name]
        mean, variance = values.mean(axis=axes), values.var(axis=axes)
        np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * variance, rtol=1e-4)
    expected = (stem - stem.mean(axis=(0, 1, 2, 3))) / np.sqrt(stem.var(axis=(0, 1, 2, 3)) + 1e-5)
    np.testing.assert_allclose(normed, expected, rtol=1e-3, atol=1e-4)


def test_blocks_add_to_their_shortcuts(resnet):
    _, _, _, (_, changed) = resnet
    seen = changed["intermediates"]
    for block, before in (("stage_0_1", "stage_0_0"), ("stage_1_1", "stage_1_0")):
        expected = call_of(seen, before) + call_of(seen, block, "norm_1")
        np.testing.assert_allclose(call_of(seen, block), np.maximum(expected, 0), atol=1e-5)
    block = seen["stage_1_0"]
    expected = call_of(block, "shortcut_norm") + call_of(block, "norm_1")
    np.testing.assert_allclose(call_of(seen, "stage_1_0"), np.maximum(expected, 0), atol=1e-5)


def test_last_layer_reads_the_mean_over_the_grid_and_the_normalised_energy(resnet):
    variables, _, _, (logits, changed) = resnet
    seen, layer = changed["intermediates"], variables["params"]["out"]
    features = call_of(seen, "stage_3_1").mean(axis=(1, 2, 3))
    inputs = np.concatenate([features, call_of(seen, "energy_norm")], axis=1)
    expected = inputs @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_evaluation_takes_every_shower_alone_and_changes_no_statistics(resnet):
    variables, x, apply, (trained, changed) = resnet
    ready = {"params": variables["params"], "batch_stats": changed["batch_stats"]}
    logits, after = apply(ready, x, False)
    other, _ = apply(ready, x.at[1:].multiply(1.3), False)
    np.testing.assert_allclose(other[0], logits[0], rtol=1e-4)
    assert np.abs(other[1:] - logits[1:]).min() > 1e-3
    for old, new in zip(
        *(jax.tree.leaves(a["batch_stats"]) for a in (changed, after)), strict=True
    ):
        np.testing.assert_array_equal(old, new)
    assert np.abs(np.asarray(trained) - logits).max() > 1e-2
