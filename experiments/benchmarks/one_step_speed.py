"""How many forward passes of its network does one step of a distilled model cost?

python experiments/benchmarks/one_step_speed.py RUN-consistency

Three programs on the same batch, in turns: the network alone; the student's one step from noise to
standardised events, with drawing the noise; the same to showers in MeV.
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
    """Time the three; write results/one_step_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder of jaxcalo distill --to consistency")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=101)
    args = parser.parse_args()
    configure()

    trained = load_run(args.run)
    built = build(trained.experiment, trained.detector, trained.constants)
    batch = args.batch
    keys = jax.random.split(jax.random.key(0), batch)
    x = jax.random.normal(jax.random.key(1), (batch, built.n_components))
    cond, c_noise, energy = jnp.zeros((batch, 1)), jnp.zeros(batch), jnp.full((batch, 1), 2e4)
    net_cond = jax.vmap(built.net_condition, (0, None, 0))(keys, trained.params, cond)

    programs = {
        "forward pass": (built.net.apply, built.net_params(trained.params), x, c_noise, net_cond),
        "one step, standardised": (
            jax.vmap(built.model.sample, (0, None, 0)),
            keys,
            trained.params,
            cond,
        ),
        "one step, in MeV": (
            jax.vmap(trained.model.sample, (0, None, 0)),
            keys,
            trained.params,
            energy,
        ),
    }
    calls, results = {}, {}
    for name, (function, *arguments) in programs.items():
        compiled, seconds = compile_seconds(function, *arguments)
        calls[name] = partial(compiled, *arguments)
        results[name] = {"compile_cpu_s": seconds}
    for name, times in alternate(calls, args.repeats).items():
        results[name] |= {f"{clock}_per_shower": ms / batch for clock, ms in times.items()}
    forward = results["forward pass"]
    for result in results.values():
        result["forward_passes"] = result["cpu_ms_per_shower"] / forward["cpu_ms_per_shower"]
    settings = {"batch": batch, "repeats": args.repeats, "run": args.run.name}
    path = write_record("one_step_speed", settings, results)
    for name, result in results.items():
        print(
            f"{name:24s} {result['cpu_ms_per_shower']:7.4f} cpu-ms a shower, "
            f"{result['forward_passes']:5.2f} forward passes"
        )
    print(f"written to {path.name}")


if __name__ == "__main__":
    main()
