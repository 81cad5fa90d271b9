"""How many forward passes of its network does one step of a distilled model cost?

python experiments/benchmarks/one_step_speed.py RUN-consistency ...

Three programs on the same batch, in turns: the network alone; the student's one step from noise to
standardised events, with drawing the noise and, in two stages, the energies; the same to showers in
MeV.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from measure import alternate, compile_seconds, write_record

from jaxcalo.cli.runtime import configure
from jaxcalo.experiment import build, load_run


def main() -> None:
    """Time the three for every run; write results/one_step_speed.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", help="run folders of jaxcalo distill --to consistency"
    )
    parser.add_argument("--batch", type=int, default=64, help="showers (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=101, help="rounds (default: %(default)s)")
    args = parser.parse_args()
    configure()
    results = {run.name: times(run, args.batch, args.repeats) for run in args.runs}
    settings = {"batch": args.batch, "repeats": args.repeats}
    path = write_record("one_step_speed", settings, results)
    for run, programs in results.items():
        for name, result in programs.items():
            print(
                f"{run:20s} {name:24s} {result['cpu_ms_per_shower']:7.4f} cpu-ms a shower, "
                f"{result['forward_passes']:5.2f} forward passes"
            )
    print(f"written to {path.name}")


def times(run: Path, batch: int, repeats: int) -> dict[str, dict[str, float]]:
    """CPU and wall ms a shower of the three programs, and how many forward passes that is."""
    trained = load_run(run)
    built = build(trained.experiment, trained.detector, trained.constants)
    denoised = built.denoised
    assert denoised is not None, "a consistency student has a network that denoises"
    keys = jax.random.split(jax.random.key(0), batch)
    x = jax.random.normal(jax.random.key(1), (batch, denoised.n_components))
    cond, c_noise, energy = jnp.zeros((batch, 1)), jnp.zeros(batch), jnp.full((batch, 1), 2e4)
    net_cond = jax.vmap(denoised.condition, (0, None, 0))(keys, trained.params, cond)
    params = denoised.params(trained.params)

    sample, sample_mev = (
        jax.vmap(model.sample, (0, None, 0)) for model in (built.model, trained.model)
    )
    programs = {
        "forward pass": (denoised.net.apply, (params, x, c_noise, net_cond)),
        "one step, standardised": (sample, (keys, trained.params, cond)),
        "one step, in MeV": (sample_mev, (keys, trained.params, energy)),
    }
    calls, results = {}, {}
    for name, (function, given) in programs.items():
        compiled, seconds = compile_seconds(function, *given)
        calls[name] = partial(compiled, *given)
        results[name] = {"compile_cpu_s": seconds}
    for name, clocks in alternate(calls, repeats).items():
        results[name] |= {f"{clock}_per_shower": ms / batch for clock, ms in clocks.items()}
    forward = results["forward pass"]["cpu_ms_per_shower"]
    for result in results.values():
        result["forward_passes"] = result["cpu_ms_per_shower"] / forward
    return results


if __name__ == "__main__":
    main()
