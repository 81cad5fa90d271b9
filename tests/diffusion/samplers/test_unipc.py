import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import Cosine, Linear, time_grids
from jaxcalo.diffusion.samplers import Ddim, UniPc, sample
from jaxcalo.errors import InputError

ORACLE = GaussianOracle(mean=np.array([0.5, -1.0, 2.0]), std=np.array([0.2, 0.6, 1.5]))
X_T = jnp.array([0.3, -1.1, 0.8])


def published_coefficients(nodes, h):
    """The coefficients of D_m - D_0: rho / r of R rho = b with B_2(h), rho = 1/2 for one node.

    R_ij = r_j^(i - 1) and b_i = int_0^h e^(v - h) (v / h)^i dv / B_2, made here by quadrature.
    """
    if len(nodes) == 1:
        return 0.5 / np.array(nodes)
    x, weights = np.polynomial.legendre.leggauss(40)
    u, weights = (x + 1) / 2, weights / 2
    scale = -math.expm1(-h)
    moments = [
        h * np.sum(weights * np.exp(h * (u - 1)) * u**j) / scale for j in range(1, len(nodes) + 1)
    ]
    rho = np.linalg.solve(np.vander(nodes, increasing=True).T, moments)
    return rho / np.array(nodes)


def published(order, schedule, denoiser, x, times):
    """Algorithms 1 and 2 with lists and a linear system, in float64; the last step of order 1."""
    levels = [
        (float(schedule.alpha(t)), float(schedule.sigma(t)), float(schedule.log_snr(t)) / 2)
        for t in times
    ]
    answers = [np.asarray(denoiser(x, times[0], None))]

    def increment(i, use, extra):
        """The step i-1 -> i: differences to `use` past answers, and to extra at the node 1."""
        h = levels[i][2] - levels[i - 1][2]
        nodes = [(levels[i - 1 - m][2] - levels[i - 1][2]) / h for m in range(1, use)]
        others = [answers[i - 1 - m] for m in range(1, use)]
        if extra is not None:
            nodes, others = [*nodes, 1.0], [*others, extra]
        total = answers[i - 1].copy()
        if nodes:
            coefficients = published_coefficients(nodes, h)
            for c, other in zip(coefficients, others, strict=True):
                total += c * (other - answers[i - 1])
        return levels[i][1] / levels[i - 1][1] * x - levels[i][0] * math.expm1(-h) * total

    for i in range(1, len(times)):
        is_last = i == len(times) - 1
        use = 1 if is_last else min(order, i)
        predicted = increment(i, use, None)
        if is_last:
            return predicted
        answer = np.asarray(denoiser(predicted, times[i], None))
        x = increment(i, use, answer)
        answers.append(answer)
    raise AssertionError


@pytest.mark.parametrize("order", [1, 2, 3])
def test_it_is_the_algorithm_of_the_paper(order):
    schedule = Linear()
    with jax.enable_x64(True):
        x_T = jnp.array(X_T, jnp.float64)
        times = time_grids.karras(schedule, 7)
        denoiser = ORACLE.denoiser(schedule)
        expected = published(order, schedule, denoiser, np.asarray(x_T), times)
        found = sample(jax.random.key(0), UniPc(order)(schedule, denoiser), x_T, times, None)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_one_step_is_ddim():
    schedule = Cosine()
    denoiser = ORACLE.denoiser(schedule)
    args = (X_T, time_grids.uniform(1), None)
    unipc = sample(jax.random.key(0), UniPc()(schedule, denoiser), *args)
    ddim = sample(jax.random.key(0), Ddim()(schedule, denoiser), *args)
    np.testing.assert_allclose(unipc, ddim, rtol=1e-5)


@pytest.mark.parametrize("order", [0, 4])
def test_an_order_it_does_not_have_is_refused(order):
    with pytest.raises(InputError, match="order"):
        UniPc(order)
