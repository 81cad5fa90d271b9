"""The clock, the machine's peak, and rates held against it, by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from jaxcalo.experiment import clock, peak
from jaxcalo.experiment.clock import Elapsed, elapsed, median, repeated
from jaxcalo.experiment.compiled import compiled_anew
from jaxcalo.experiment.peak import Peak, measure_peak, rates


@pytest.fixture
def wall(monkeypatch):
    """A clock that goes on when it is told to; two threads are always busy."""
    now = [0.0]
    counters = {"perf_counter": lambda: now[0], "process_time": lambda: 2 * now[0]}
    monkeypatch.setattr(clock, "time", SimpleNamespace(**counters))
    return now


def test_long_calls_are_timed_one_by_one_and_short_ones_together(wall):
    for seconds, calls_of_a_repeat in ((3.0, 1), (0.01, 5)):
        calls = []

        def call(seconds=seconds, calls=calls):
            calls.append(None)
            wall[0] += seconds
            return jnp.zeros(())

        assert elapsed(call) == pytest.approx((seconds, 2 * seconds))
        found = repeated(call, 3)
        assert len(calls) == 1 + 2 + 3 * calls_of_a_repeat
        for repeat in found:
            assert repeat == pytest.approx((seconds, 2 * seconds))


def test_the_median_is_of_either_time_by_itself():
    assert median([Elapsed(1.0, 6.0), Elapsed(9.0, 5.0), Elapsed(2.0, 4.0)]) == (2.0, 5.0)


def test_the_peak_is_that_of_the_best_size(wall, monkeypatch):
    seconds = {256: 1e-3, 512: 2e-3, 1024: 0.04, 2048: 0.4}

    def matmul(a, b):
        wall[0] += seconds[len(a)]
        return a

    monkeypatch.setattr(peak.jax, "jit", lambda _: matmul)
    found = measure_peak("bfloat16")  # the sizes beyond 2048 are not tried
    rate = 2e-9 * 512**3 / 2e-3
    assert found[:2] == ("bfloat16", 512)
    assert found[2:] == pytest.approx((rate, rate / 2))


def test_rates_equal_the_hand_count(monkeypatch):
    a_peak = Peak("float32", 512, 100.0, 40.0)
    found = rates(5e10, Elapsed(2.0, 4.0), a_peak, n_devices=4)
    assert found == {
        "gflop": 50.0,
        "gflops_per_s": 25.0,
        "fraction_of_peak": 0.25,  # the four are one CPU's
        "gflops_per_cpu_s": 12.5,
        "cpu_fraction_of_peak": 0.3125,
    }
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = rates(5e10, Elapsed(2.0, 4.0), a_peak._replace(gflops_per_cpu_s=None), n_devices=4)
    assert found["fraction_of_peak"] == 0.0625
    assert (found["gflops_per_cpu_s"], found["cpu_fraction_of_peak"]) == (None, None)


def test_a_program_compiled_anew_runs_and_says_what_it_plans():
    program = compiled_anew(jax.jit(lambda x: 2 * x), jnp.ones(1000), n_devices=3)
    assert float(program.compiled(jnp.ones(1000)).sum()) == 2000
    assert program.compile_s > 0
    assert program.planned_bytes >= 3 * 2 * 4 * 1000
