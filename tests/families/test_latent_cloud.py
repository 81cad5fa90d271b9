"""CaloClouds I: what trains what, that the latent is used, and that padding has no influence."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from point_nets import (
    assert_same_step,
    cloud_batch,
    clouds,
    compiled,
    encode,
    first_step,
    quickly,
    weights,
)

from jaxcalo.diffusion import Ddpm, EpsPrediction, Gaussian, Snr, kl_divergence
from jaxcalo.errors import InputError
from jaxcalo.families import (
    Diffusion,
    LatentCloud,
    Sampling,
    cloud_mask,
    evaluate_latent_cloud,
    latent_cloud,
)
from jaxcalo.families.cloud_mask import masked_net
from jaxcalo.families.diffusion import event_losses
from jaxcalo.families.latent_cloud import latent_condition, latent_divergence
from jaxcalo.nets import ConditionalFlow, EpicEncoder
from jaxcalo.nets.cloud import CloudNet
from jaxcalo.nets.point_wise import PointWise
from jaxcalo.training import Batch, data_mesh, map_step, shard_batch

MESH = data_mesh(jax.devices()[:1])
CONFIG = Diffusion(parametrization=EpsPrediction(), weighting=Snr())
N_LATENT, N_STEPS = 4, 200


class PointNet(NamedTuple):
    """Each point by itself, told the noise level and the conditions; deaf: not the latent."""

    deaf: bool = False

    def init(self, key, x, c_noise, cond):
        return weights(key, own=(4, 32), told=(cond.shape[1], 32), hidden=(32, 32), out=(32, 4))

    def apply(self, params, x, c_noise, cond):
        told = jnp.concatenate([cond[:, :-1], c_noise[:, None]], axis=1)
        told = told.at[:, 1:-1].multiply(0.0 if self.deaf else 1.0) @ params["told"]
        h = jax.nn.swish(x.reshape(len(x), -1, 4) @ params["own"] + told[:, None])
        return (jax.nn.swish(h @ params["hidden"]) @ params["out"]).reshape(x.shape)


class MeanEncoder(NamedTuple):
    """Linear in the mean point."""

    def init(self, key, points, mask, cond):
        return weights(key, mean=(4 + cond.shape[1], N_LATENT), log_variance=(4, N_LATENT))

    def apply(self, params, points, mask, cond):
        mean = points.sum(axis=1, where=mask[..., None]) / mask.sum(axis=1, keepdims=True)
        told = jnp.concatenate([mean, cond], axis=1)
        return told @ params["mean"], mean @ params["log_variance"] - 2.0


class ShiftPrior(NamedTuple):
    """noise = exp(scale) z - shift - slope cond_0."""

    def init(self, key, z, cond, *, method):
        assert (z.shape[1], cond.shape[1], method) == (N_LATENT, 1, "to_noise")
        return {name: jnp.full(N_LATENT, 0.1) for name in ("scale", "shift", "slope")}

    def apply(self, params, z, cond, *, method):
        shift = params["shift"] + params["slope"] * cond
        if method == "from_noise":
            return (z + shift) * jnp.exp(-params["scale"])
        log_det = jnp.broadcast_to(jnp.sum(params["scale"]), len(z))
        return jnp.exp(params["scale"]) * z - shift, log_det


def model_of(latent=None, optimizers=None, rows=6, net=None):
    optimizer, prior_optimizer = optimizers or (optax.sgd(1.0), optax.sgd(1.0))
    return latent_cloud(
        net or PointNet(),
        MeanEncoder(),
        ShiftPrior(),
        CONFIG,
        latent or LatentCloud(N_LATENT),
        Sampling(Ddpm(), 5),
        optimizer,
        prior_optimizer,
        encode=encode,
        n_components=4 * rows,
        ema_decay=0.9,
    )


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def test_divergence_is_that_of_two_gaussians():
    mean, log_variance = jax.random.normal(jax.random.key(0), (2, 7))
    expected = kl_divergence(Gaussian(mean, jnp.exp(log_variance)), Gaussian(0.0, 1.0))
    np.testing.assert_allclose(latent_divergence(mean, log_variance), expected, rtol=1e-5)
    assert float(latent_divergence(jnp.zeros(7), jnp.zeros(7))) == 0.0
    np.testing.assert_allclose(latent_divergence(jnp.ones(3), jnp.full(3, -200.0)), 300.0)


def test_padding_changes_neither_loss_nor_gradient():
    few, many = (first_step(model_of(rows=rows), cloud_batch(rows=rows)) for rows in (5, 8))
    assert_same_step(few, many, 3e-6)
    parts = {name: float(few[2][f"loss_{name}"]) for name in ("mse", "kl", "flow")}
    assert parts["kl"] > 1.0
    assert parts["mse"] + parts["flow"] < few[0] < parts["mse"] + parts["flow"] + parts["kl"]


def test_each_part_of_the_loss_reaches_its_own_networks():
    """Points that do not hear the latent, and divergences below the floor, leave the flow's loss.

    It does not reach the encoder, which then stays; above the floor it is pressed. Of the two
    optimizers the flow's makes half its step in the second case.
    """
    kept, pressed = (
        first_step(
            model_of(
                LatentCloud(N_LATENT, kl_weight=1.0, kl_floor=floor),
                (optax.sgd(1.0), optax.sgd(rate)),
                net=PointNet(deaf=True),
            ),
            cloud_batch(),
        )
        for floor, rate in ((1e3, 1.0), (0.0, 0.5))
    )
    loss, gradient, metrics = kept
    assert largest(gradient["encoder"]) == 0.0
    assert largest(gradient["prior"]) > 1e-2
    assert largest(gradient["denoiser"]) > 1e-3
    np.testing.assert_allclose(loss, metrics["loss_mse"] + metrics["loss_flow"] + 1e3, rtol=1e-6)

    assert largest(pressed[1]["encoder"]) > 1e-2
    for name, factor in (("prior", 0.5), ("denoiser", 1.0)):
        jax.tree.map(
            lambda a, b, factor=factor: np.testing.assert_allclose(a, factor * b, atol=1e-6),
            pressed[1][name],
            gradient[name],
        )


class Trained(NamedTuple):
    """A model, its state before and after the last step, the losses, and the last step itself."""

    model: object
    before: object
    state: object
    losses: list
    last_step: object


@pytest.fixture(scope="module")
def trained():
    model = model_of(LatentCloud(N_LATENT), (optax.adam(1e-2), optax.adam(1e-2)))
    start = model.algorithm.init(jax.random.key(0), cloud_batch())
    state = before = jax.device_put(start, NamedSharding(MESH, PartitionSpec()))
    key, losses = jax.random.key(1), []
    batches = [shard_batch(cloud_batch(seed=i), MESH) for i in range(10)]
    mapped = compiled(map_step(model.algorithm, MESH), key, state, batches[0])
    for i in range(N_STEPS):
        before = jax.device_get(state) if i == N_STEPS - 1 else before
        state, metrics = mapped(key, state, batches[i % 10])
        losses.append({name: float(metrics[name]) for name in ("loss_mse", "loss_flow")})

    def last_step(state):
        on_mesh = jax.device_put(state, NamedSharding(MESH, PartitionSpec()))
        return mapped(key, on_mesh, batches[(N_STEPS - 1) % 10])[0]

    return Trained(model, before, jax.device_get(state), losses, last_step)


def test_points_are_learned(trained):
    values = [part["loss_mse"] for part in trained.losses]
    assert np.mean(values[-20:]) < 0.7 * np.mean(values[:5])


def test_a_step_is_a_function_of_its_arguments(trained):
    """A state that went through the host's memory, as a checkpoint does, goes on to the bit."""
    leaves, structure = jax.tree.flatten(trained.before)
    restored = jax.tree.unflatten(structure, [np.array(leaf) for leaf in leaves])
    again = jax.device_get(trained.last_step(restored))
    jax.tree.map(np.testing.assert_array_equal, again, trained.state)
    assert int(again.step) == N_STEPS


def test_points_are_told_by_their_own_latent(trained):
    """Given another shower's latent they are denoised worse."""
    params, data = trained.state.ema, clouds(256, seed=99)
    events, conds = jnp.asarray(data["event"]), jnp.asarray(data["cond"])
    mask = jnp.arange(6) < conds[:, 1:]
    losses_of = event_losses(masked_net(PointNet(), cloud_mask), CONFIG, cloud_mask)

    def mean_loss(shift):
        points = events.reshape(256, 6, 4)
        z, _ = MeanEncoder().apply(params["encoder"], points, mask, conds[:, :1])
        z = jnp.roll(z, shift, axis=0)
        told = jax.vmap(latent_condition)(conds, z)
        batch = Batch(jnp.arange(256), (events, told))
        return jnp.mean(losses_of(jax.random.key(4), params["denoiser"], batch)[0])

    own, others = quickly(jax.vmap(mean_loss), jnp.array([0, 2]))
    assert others > 1.3 * own


def test_samples_are_finite_and_zero_on_padding_which_changes_nothing(trained):
    params = trained.state.ema
    cond = jnp.array([[0.3, 5.0], [-0.2, 1.0], [0.0, 0.0]])
    keys = jax.random.split(jax.random.key(7), 3)
    few, many = (
        quickly(jax.vmap(model_of(rows=rows).sample, (0, None, 0)), keys, params, cond)
        for rows in (5, 8)
    )
    assert np.isfinite(many).all()
    np.testing.assert_array_equal(np.asarray(many) != 0, np.arange(32) < 4 * cond[:, 1:])
    np.testing.assert_allclose(many[:, :20], few, atol=1e-5)


def test_held_out_parts_make_the_whole_and_the_flow_has_learned(trained):
    latent = LatentCloud(N_LATENT, kl_weight=0.1, kl_floor=0.0)
    nets = PointNet(), MeanEncoder(), ShiftPrior()
    evaluate = evaluate_latent_cloud(*nets, CONFIG, latent, encode=encode)
    params, data, whole = trained.state.ema, clouds(128, seed=98), "validation_loss"
    new = ShiftPrior().init(None, jnp.zeros((1, N_LATENT)), jnp.zeros((1, 1)), method="to_noise")
    priors = [params["prior"], new]
    priors += [
        jax.tree.map(jnp.zeros_like, new) | {"scale": jnp.full(N_LATENT, s)} for s in (0, 0.5)
    ]
    several = jax.tree.map(lambda *p: jnp.stack(p), *(params | {"prior": p} for p in priors))
    found = quickly(jax.vmap(evaluate, (None, 0, None)), jax.random.key(0), several, data)
    mse, kl, flow = (found.pop(f"{whole}_{name}") for name in ("mse", "kl", "flow"))
    np.testing.assert_allclose(found.pop(whole), mse + 0.1 * kl + flow, rtol=1e-5)
    assert not found
    assert flow[0] < flow[1] - 0.03
    # under N(0, exp(-2 scale)) the squares count exp(2 scale) times, and the scale itself
    normal = 0.5 * np.log(2 * np.pi)
    expected = np.exp(1.0) * (flow[2] - normal) + normal - 0.5
    np.testing.assert_allclose(flow[3], expected, rtol=1e-5)
    # the same quantities as in training, on other showers
    for part, name in ((mse, "loss_mse"), (flow, "loss_flow")):
        assert abs(part[0] / np.mean([step[name] for step in trained.losses[-20:]]) - 1) < 0.4


def test_the_published_networks_are_what_it_expects():
    n_latent = 8
    model = latent_cloud(
        CloudNet(PointWise((8, 8), n_frequencies=None, residual=True)),
        EpicEncoder(n_latent, hidden=8, n_layers=1),
        ConditionalFlow(n_latent, 1, 0, (8,), bound=10.0),
        CONFIG,
        LatentCloud(n_latent),
        Sampling(Ddpm(), 2),
        optax.adam(1.0),
        optax.adam(1.0),
        encode=encode,
        n_components=24,
        ema_decay=0.9,
    )
    key = jax.random.key(0)
    state = jax.eval_shape(model.algorithm.init, key, cloud_batch())
    after, _ = jax.eval_shape(map_step(model.algorithm, MESH), key, state, cloud_batch())
    described = [jax.tree.map(lambda x: (x.shape, x.dtype), each) for each in (state, after)]
    assert described[0] == described[1]
    assert jax.eval_shape(model.sample, key, state.params, jnp.zeros(2)).shape == (24,)


@pytest.mark.parametrize("settings", [{"n_latent": 0}, {"kl_weight": -1.0}, {"kl_floor": -1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(InputError, match="latent cloud: expected n_latent"):
        LatentCloud(**settings)
