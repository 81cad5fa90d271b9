"""The diffusion family: a perfect network samples the data; a small one learns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcalo.diffusion import EDM, Cosine, Ddim, Ddpm, EpsPrediction, MinSnr, Snr, VPrediction
from jaxcalo.errors import InputError
from jaxcalo.families import Diffusion, Sampling, diffusion, evaluate_diffusion, generate
from jaxcalo.nets import ResidualMLP
from jaxcalo.training import Batch, data_mesh, init_state, map_step, shard_batch

MEAN, STD, N = 1.5, 0.5, 3
MESH = data_mesh(jax.devices()[:1])


class OracleNet(NamedTuple):
    """The exact F of Gaussian data N(MEAN + cond_0, STD^2), for any parametrization."""

    config: Diffusion

    def init(self, key, x, c_noise, cond):
        return {"nothing": jnp.zeros(1)}

    def apply(self, params, x, c_noise, cond):
        log_snr = -8 * c_noise[:, None]
        alpha, sigma = jnp.sqrt(jax.nn.sigmoid(log_snr)), jnp.sqrt(jax.nn.sigmoid(-log_snr))
        c = self.config.parametrization.coefficients(alpha, sigma)
        x_t = x / c.c_in
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        mean = MEAN + cond[:, :1]
        x_0_hat = mean + gain * (x_t - alpha * mean)
        return (x_0_hat - c.c_skip * x_t) / c.c_out


def encode(key, datum):
    return datum["event"], datum["cond"]


def model_of(net, config, sampling=None, learning_rate=3e-3):
    return diffusion(
        net,
        config,
        sampling or Sampling(),
        optax.adam(learning_rate),
        encode=encode,
        n_components=N,
        ema_decay=0.99,
    )


@pytest.mark.parametrize("parametrization", [EDM(), VPrediction(), EpsPrediction()])
@pytest.mark.parametrize("sampler", [Ddim(), Ddpm(), Ddpm(variance="beta")])
def test_perfect_network_samples_the_data(parametrization, sampler):
    config = Diffusion(schedule=Cosine(), parametrization=parametrization)
    model = model_of(OracleNet(config), config, Sampling(sampler, n_steps=200))
    cond = np.zeros((3000, 1), np.float32)
    cond[1500:] = 1.0
    params = {"nothing": jnp.zeros(1)}
    events = generate(jax.random.key(0), model, params, cond, chunk=3000, mesh=MESH)
    for part, shift in ((events[:1500], 0.0), (events[1500:], 1.0)):
        error = STD / np.sqrt(part.size)
        assert abs(part.mean() - MEAN - shift) < 4 * error + 0.005
        # beta is the larger variance: with 200 steps it widens the sample by 1 %.
        assert abs(part.std() / STD - 1) < 4 / np.sqrt(2 * part.size) + 0.015


def data(key, n):
    cond = np.asarray(jax.random.normal(key, (n, 1)))
    noise = np.asarray(jax.random.normal(jax.random.fold_in(key, 1), (n, N)))
    return {"event": 0.95 * cond + 0.3 * noise, "cond": cond}


@pytest.mark.parametrize(
    "config",
    [
        Diffusion(),
        Diffusion(weighting=Snr(), parametrization=EpsPrediction()),
        Diffusion(weighting=MinSnr(), condition_dropout=0.2),
        Diffusion(parametrization=VPrediction(), learned_variance=True),
    ],
    ids=["edm", "eps", "guided", "hybrid"],
)
def test_small_network_learns(config):
    out = 2 * N if config.learned_variance else N
    model = model_of(ResidualMLP(width=32, depth=1, out_size=out), config)
    make = lambda i: Batch(np.arange(256, dtype=np.int32), data(jax.random.key(i), 256))  # noqa: E731
    state = init_state(model.algorithm, jax.random.key(0), make(0), MESH)
    step = map_step(model.algorithm, MESH)
    losses = []
    for i in range(150):
        state, metrics = step(jax.random.key(1), state, shard_batch(make(i), MESH))
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:5])
    levels = metrics["loss_by_noise_level"]
    np.testing.assert_allclose(np.sum(levels.total), metrics["loss"], rtol=1e-5)
    np.testing.assert_allclose(np.sum(levels.count), 1.0, rtol=1e-5)
    sampler = Sampling(Ddpm(), n_steps=20)
    sampled = model_of(ResidualMLP(width=32, depth=1, out_size=out), config, sampler)
    events = generate(
        jax.random.key(0), sampled, state.ema, np.ones((64, 1), np.float32), chunk=64, mesh=MESH
    )
    assert np.isfinite(events).all()
    assert events.std() > 0.1


def test_bound_of_a_perfect_network_is_the_entropy():
    """For the exact denoiser the bound approaches the data's negative log likelihood from above."""
    config = Diffusion(vlb_steps=100)
    evaluate = evaluate_diffusion(OracleNet(config), config, encode=encode, n_levels=256)
    noise = np.asarray(jax.random.normal(jax.random.key(5), (400, N)))
    sample = {"event": MEAN + STD * noise, "cond": np.zeros((400, 1), np.float32)}
    found = evaluate(jax.random.key(0), {"nothing": jnp.zeros(1)}, sample)
    exact = np.mean(0.5 * noise**2 + np.log(STD) + 0.5 * np.log(2 * np.pi))
    assert exact - 0.05 < float(found["vlb_nats_per_voxel"]) < exact + 0.1


def test_guidance_needs_condition_dropout():
    config = Diffusion()
    with pytest.raises(InputError, match="condition-dropout"):
        model_of(OracleNet(config), config, Sampling(guidance=2.0))


def test_guidance_of_one_is_the_plain_model():
    config = Diffusion(condition_dropout=0.1)
    net = ResidualMLP(width=16, depth=1, out_size=N)
    batch = Batch(np.arange(8, dtype=np.int32), data(jax.random.key(0), 8))
    params = model_of(net, config).algorithm.init(jax.random.key(0), batch).params
    # A new network returns zero whatever the condition.
    rng = np.random.default_rng(2)
    params = jax.tree.map(lambda p: p + np.float32(0.3) * rng.normal(size=p.shape), params)
    cond = np.ones((4, 1), np.float32)
    plain, same, strong = (
        generate(
            jax.random.key(1),
            model_of(net, config, Sampling(guidance=scale, n_steps=5)),
            params,
            cond,
            chunk=4,
            mesh=MESH,
        )
        for scale in (1.0, 1.0 + 1e-7, 3.0)
    )
    np.testing.assert_allclose(plain, same, atol=1e-5)
    assert np.abs(plain - strong).max() > 1e-3
