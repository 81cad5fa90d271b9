"""How a trained network samples: what it costs, where it starts, and that it gives the data."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracle_nets import MEAN, STD, BumpNet, N, OracleNet, batch, encode
from oracles import GaussianOracle

from jaxcalo.diffusion import (
    Consistency,
    Ddim,
    Ddpm,
    DpmSolver,
    Euler,
    FlowVelocity,
    FlowWeight,
    Heun,
    LogNormalSigma,
    RectifiedFlow,
    ReverseSde,
    UniPc,
    VarianceExploding,
    prior_std,
)
from jaxcalo.diffusion.time_grids import Karras, Searched, Uniform, UniformLogSnr
from jaxcalo.families import Diffusion, Sampling, TransportPairing, diffusion, generate
from jaxcalo.families.sampling import draw
from jaxcalo.training import data_mesh, init_state, map_step, shard_batch

MESH = data_mesh(jax.devices()[:1])
NOTHING = {"nothing": jnp.zeros(1)}
VE = Diffusion(schedule=VarianceExploding(), noise_levels=LogNormalSigma())
FLOW = Diffusion(schedule=RectifiedFlow(), parametrization=FlowVelocity(), weighting=FlowWeight())


def standardised(key, datum):
    return (datum["event"] - MEAN) / np.sqrt(1 + STD**2), datum["cond"]


def model_of(net, config, sampling=None, optimizer=None, encode=encode):
    return diffusion(
        net,
        config,
        sampling or Sampling(),
        optimizer or optax.adam(1e-2),
        encode=encode,
        n_components=N,
        ema_decay=0.9,
    )


@pytest.mark.parametrize(
    ("sampler", "evaluations"),
    [
        (Ddpm(), 6),
        (Ddim(), 6),
        (Euler(), 6),
        (Heun(), 11),
        (Heun(correct=False), 6),
        (DpmSolver(2), 6),
        (DpmSolver(3), 6),
        (UniPc(), 6),
        (ReverseSde(), 6),
        (Consistency(), 6),
    ],
    ids=lambda value: str(value),
)
def test_declared_evaluations_and_their_doubling_by_guidance(sampler, evaluations):
    assert Sampling(sampler, 6).n_evaluations == evaluations
    assert Sampling(sampler, 6, guidance=2.0).n_evaluations == 2 * evaluations


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("sampler", [DpmSolver(), Heun()], ids=str)
def test_the_network_is_evaluated_as_often_as_declared(sampler, guidance):
    config = Diffusion(condition_dropout=0.1)
    rows = []

    class Counting(OracleNet):
        def apply(self, params, x, c_noise, cond):
            jax.debug.callback(lambda cond: rows.append(len(cond)), cond)
            return super().apply(params, x, c_noise, cond)

    sampling = Sampling(sampler, 3, guidance=guidance)
    net = Counting(config)
    event = draw(jax.random.key(0), net, config, sampling, N, NOTHING, jnp.zeros(1))
    jax.effects_barrier()
    assert np.isfinite(event).all()
    assert sum(rows) == sampling.n_evaluations


def test_generation_starts_with_the_noise_of_the_schedule():
    """A sampler that does nothing but return where it starts: width 80 for VarianceExploding."""

    class Start(Ddim):
        def __call__(self, schedule, denoiser):
            sampler = super().__call__(schedule, denoiser)
            return sampler._replace(step=lambda state, key, t, s, cond: state)

    for config, std in ((VE, 80.0), (FLOW, 1.0), (Diffusion(), 1.0)):
        sampling = Sampling(Start(), 1)
        keys = jax.random.split(jax.random.key(0), 4000)
        starts = jax.jit(
            jax.vmap(
                lambda key, config=config, sampling=sampling: draw(
                    key, OracleNet(config), config, sampling, N, NOTHING, jnp.zeros(1)
                )
            )
        )(keys)
        assert abs(float(starts.std()) / std - 1) < 4 / np.sqrt(2 * starts.size)
        assert abs(float(starts.mean())) < 4 * std / np.sqrt(starts.size)


@pytest.mark.parametrize(
    ("config", "grid"),
    [
        (VE, Karras()),
        (VE, UniformLogSnr()),
        (FLOW, UniformLogSnr()),
        (Diffusion(), UniformLogSnr()),
    ],
    ids=["ve-karras", "ve-log-snr", "flow", "cosine"],
)
def test_an_exact_network_samples_the_data_in_sixteen_steps(config, grid):
    model = model_of(OracleNet(config), config, Sampling(DpmSolver(), 16, grid))
    cond = np.zeros((3000, 1), np.float32)
    cond[1500:] = 1.0
    events = generate(jax.random.key(0), model, NOTHING, cond, chunk=3000, mesh=MESH)
    for part, shift in ((events[:1500], 0.0), (events[1500:], 1.0)):
        assert abs(part.mean() - MEAN - shift) < 4 * STD / np.sqrt(part.size) + 0.01
        assert abs(part.std() / STD - 1) < 4 / np.sqrt(2 * part.size) + 0.03


def test_a_searched_grid_is_the_one_that_is_used():
    config = Diffusion()
    times = tuple(float(t) for t in UniformLogSnr()(config.schedule, 4))
    cond = np.zeros((8, 1), np.float32)
    found = [
        generate(
            jax.random.key(0),
            model_of(OracleNet(config), config, Sampling(DpmSolver(), 4, grid)),
            NOTHING,
            cond,
            chunk=8,
            mesh=MESH,
        )
        for grid in (UniformLogSnr(), Searched(times), Uniform())
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert np.abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.parametrize("config", [Diffusion(), FLOW, VE], ids=["cosine", "flow", "ve"])
def test_log_prob_of_an_exact_network_is_the_density(config):
    """The flow takes x_0 to x_1, whose density under the prior is carried back.

    One probe is exact here: for data of one width the Jacobian is a multiple of the unit matrix.
    """
    model = model_of(OracleNet(config), config)
    events = MEAN + 0.5 + STD * jax.random.normal(jax.random.key(0), (20, N))
    cond = jnp.full((20, 1), 0.5)
    keys = jax.random.split(jax.random.key(1), 20)
    found = jax.jit(jax.vmap(lambda k, x, c: model.log_prob(k, NOTHING, x, c)))(keys, events, cond)
    oracle, schedule = GaussianOracle(MEAN + 0.5, STD), config.schedule
    start, end = jnp.zeros(()), jnp.ones(())
    alpha, prior = schedule.alpha(start), prior_std(schedule)
    x_1 = oracle.flow(schedule, alpha * events, start, end)
    variances = [oracle.marginal(schedule, t).variance for t in (end, start)]
    stretch = alpha * jnp.sqrt(variances[0] / variances[1])
    exact = jax.scipy.stats.norm.logpdf(x_1, 0, prior).sum(axis=1) + N * jnp.log(stretch)
    np.testing.assert_allclose(found, exact, atol=2e-3)
    # The prior knows neither mean nor width of the data, which it hides only nearly.
    np.testing.assert_allclose(found, -N * oracle.negative_log_likelihood(events), atol=0.15)


def test_transport_pairing_trains_and_pairs():
    """Paired noise leaves less to explain: the loss is another, and falls."""
    losses = {}
    for name, pairing in (("none", None), ("paired", TransportPairing(condition_weight=0.0))):
        config = Diffusion(
            schedule=RectifiedFlow(),
            parametrization=FlowVelocity(),
            weighting=FlowWeight(),
            pairing=pairing,
        )
        model = model_of(BumpNet(), config, optimizer=optax.adam(3e-2))
        state = init_state(model.algorithm, jax.random.key(0), batch(0), MESH)
        step = map_step(model.algorithm, MESH)
        losses[name] = []
        for i in range(60):
            state, metrics = step(jax.random.key(1), state, shard_batch(batch(i), MESH))
            losses[name].append(float(metrics["loss"]))
        assert np.isfinite(losses[name]).all()
        assert np.mean(losses[name][-10:]) < 0.6 * losses[name][0]
    assert np.mean(losses["paired"][-10:]) < 0.9 * np.mean(losses["none"][-10:])


def test_paired_noise_keeps_its_place_on_the_average():
    """Whatever it is paired with, the noise of a batch stays standard normal."""
    seen = []

    class Spy(BumpNet):
        def apply(self, params, x, c_noise, cond):
            jax.debug.callback(seen.append, x)
            return super().apply(params, x, c_noise, cond)

    class Late:
        """All events at t = 1, where x_t is the noise."""

        def __call__(self, u, schedule):
            return jnp.ones_like(u)

    config = Diffusion(
        schedule=RectifiedFlow(),
        parametrization=FlowVelocity(),
        weighting=FlowWeight(),
        noise_levels=Late(),
        pairing=TransportPairing(),
    )
    model = model_of(Spy(), config, encode=standardised)
    state = init_state(model.algorithm, jax.random.key(0), batch(0, 1024), MESH)
    map_step(model.algorithm, MESH)(jax.random.key(1), state, shard_batch(batch(0, 1024), MESH))
    jax.effects_barrier()
    noise = np.concatenate(seen)
    assert noise.shape == (1024, N)
    # A noise may come twice, which widens the statistical errors.
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)
    assert abs(noise.std() - 1) < 5 / np.sqrt(2 * noise.size)
