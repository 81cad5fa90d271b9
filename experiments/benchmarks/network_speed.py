"""What do the two voxel networks cost a shower, to evaluate and to train?

python experiments/benchmarks/network_speed.py

For steady numbers on a CPU let the allocator keep its pages, before Python starts:
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592
"""

import argparse
import math
import os
from functools import partial

import jax
import jax.numpy as jnp
import optax
from measure import alternate, compile_seconds, write_record

from jaxcalo.nets import DiT, UNet

NETWORKS = {
    "DiT, patch (3, 4, 3)": DiT(patch=(3, 4, 3)),
    "U-Net (16, 16, 16, 32)": UNet((16, 16, 16, 32)),
}


def main() -> None:
    """Time forward and training step of each network; write results/network_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--grid", type=int, nargs=3, default=(45, 16, 9))
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()

    shape = (args.batch, *args.grid, 3)  # shower, radius, layer
    x = jax.random.normal(jax.random.key(0), (math.prod(shape),)).reshape(shape)
    c_noise = jnp.linspace(-1.0, 1.0, args.batch)
    cond = jnp.ones((args.batch, 1))
    optimizer = optax.adam(1e-4)

    calls, results = {}, {}
    for name, net in NETWORKS.items():
        params = jax.jit(net.init)(jax.random.key(1), x, c_noise, cond)
        state = optimizer.init(params)

        def step(params, state, x, net=net):
            def loss(params):
                return jnp.mean((net.apply(params, x, c_noise, cond) - x[..., :1]) ** 2)

            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = optimizer.update(gradient, state, params)
            return optax.apply_updates(params, updates), state, value

        forward, forward_s = compile_seconds(net.apply, params, x, c_noise, cond)
        train, train_s = compile_seconds(step, params, state, x)
        calls[f"{name}, forward"] = partial(forward, params, x, c_noise, cond)
        calls[f"{name}, training step"] = partial(train, params, state, x)
        results[name] = {
            "parameters": sum(a.size for a in jax.tree.leaves(params)),
            "forward": {"compile_cpu_s": forward_s},
            "training step": {"compile_cpu_s": train_s},
        }

    for key, times in alternate(calls, args.repeats).items():
        name, direction = key.rsplit(", ", 1)
        for clock, ms in times.items():
            results[name][direction][f"{clock}_per_shower"] = ms / args.batch
    keeps_pages = "MALLOC_MMAP_THRESHOLD_" in os.environ
    path = write_record("network_speed", {**vars(args), "keeps_pages": keeps_pages}, results)

    for name, result in results.items():
        print(f"{name}: {result['parameters']} parameters")
        for direction in ("forward", "training step"):
            numbers = result[direction]
            print(
                f"  {direction:14s} {numbers['cpu_ms_per_shower']:7.2f} cpu-ms a shower, "
                f"{numbers['wall_ms_per_shower']:7.2f} wall-ms, compiled in "
                f"{numbers['compile_cpu_s']:.1f} cpu-s"
            )
    print(f"written to {path.name}")


if __name__ == "__main__":
    main()
