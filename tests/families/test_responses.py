"""Answers that ensembles compare: of equal events and noise, the same however batches are cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from point_nets import quickly

from jaxcalo.families import Diffusion, GenerativeModel, denoised_events, drawn_events
from jaxcalo.families.process import plain_denoiser
from jaxcalo.training import Batch

N = 4
DATA = np.linspace(-1, 1, 6 * N).reshape(6, N).astype(np.float32)
BATCH = Batch(np.arange(6, dtype=np.int32), DATA)
PART = Batch(BATCH.index[2:5], DATA[2:5])
KEY = jax.random.key(3)


def encode(key, datum):
    """The condition says which event it is."""
    return datum, datum[:1]


class Net:
    """Says its parameters times all that it is told, and nonsense of a variance if there is one."""

    def __init__(self, has_variance=False):
        self.has_variance = has_variance

    def apply(self, params, x, c_noise, cond):
        out = params * (x + c_noise[:, None] + cond[:, :1])
        return jnp.concatenate([out, 1e3 * out], axis=1) if self.has_variance else out


@pytest.mark.parametrize("config", [Diffusion(), Diffusion(condition_dropout=0.5)])
def test_denoised_events_are_the_denoisers_at_one_noise_of_all_members(config):
    net, seen = Net(), []

    class Seen(Net):
        def apply(self, params, x, c_noise, cond):
            seen.append((x, c_noise, cond))
            return super().apply(params, x, c_noise, cond)

    respond = denoised_events(Seen(), config, encode)
    found = [respond(KEY, params, BATCH) for params in (0.0, 0.5)]
    for first, second in zip(*seen, strict=True):
        np.testing.assert_array_equal(first, second)
    x, c_noise, cond = seen[0]
    assert cond.shape == (6, 1 + config.presence_flag())
    t = config.schedule.inverse_log_snr(-8 * c_noise)  # as EDM tells the network
    assert np.ptp(t) > 0.5  # spread over the noise levels
    for params, answers in zip((0.0, 0.5), found, strict=True):
        denoiser = plain_denoiser(net, params, config)
        for i in range(6):
            c = config.parametrization.coefficients(
                config.schedule.alpha(t[i]), config.schedule.sigma(t[i])
            )
            expected = denoiser(x[i] / c.c_in, t[i], cond[i])
            np.testing.assert_allclose(answers[i], expected, rtol=1e-3, atol=1e-3)


def test_a_learned_variance_is_no_answer():
    plain, learned = Diffusion(), Diffusion(learned_variance=True)
    expected = denoised_events(Net(), plain, encode)(KEY, 0.5, BATCH)
    found = denoised_events(Net(True), learned, encode)(KEY, 0.5, BATCH)
    np.testing.assert_array_equal(found, expected)


def sample(key, params, cond):
    return params * jax.random.normal(key, (2,)) + cond


RESPONSES = {
    "denoised": denoised_events(Net(), Diffusion(), encode),
    "drawn": drawn_events(GenerativeModel(None, sample), encode),
}


@pytest.mark.parametrize("respond", RESPONSES.values(), ids=RESPONSES)
def test_an_answer_is_its_events_alone(respond):
    whole, part = (quickly(lambda b=b: respond(KEY, 0.5, b)) for b in (BATCH, PART))
    np.testing.assert_allclose(whole[2:5], part, rtol=1e-5, atol=1e-6)
    assert np.ptp(whole, axis=0).min() > 0.1


def test_drawn_events_have_the_conditions_of_the_batch_and_equal_noise():
    respond = RESPONSES["drawn"]
    still, once, twice = (respond(KEY, params, BATCH) for params in (0.0, 1.0, 2.0))
    np.testing.assert_array_equal(still, np.repeat(DATA[:, :1], 2, axis=1))
    np.testing.assert_allclose(twice - still, 2 * (once - still), rtol=1e-5, atol=1e-6)
    assert np.std(once - still) > 0.3
