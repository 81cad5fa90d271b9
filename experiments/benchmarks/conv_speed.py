"""How much faster is the folded cylindrical convolution than the native one on a CPU?

python experiments/benchmarks/conv_speed.py
"""

import argparse
import math
from functools import partial

import jax
import jax.numpy as jnp
from measure import alternate, compile_seconds, write_record

from jaxcalo.nets import cylindrical_conv

FORMS = {
    "fold": ("fold", "auto"),
    "fold, library gradient": ("fold", "plain"),
    "native": ("native", "auto"),
}


def main() -> None:
    """Time forward and backward of each form; write results/conv_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--grid", type=int, nargs=3, default=(45, 16, 9))
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()

    n_layers, n_azimuth, n_radius = args.grid
    shape = (args.batch, n_azimuth, n_layers, n_radius, args.channels)
    # Flat draws: N-dimensional ones take long to compile.
    x = jax.random.normal(jax.random.key(0), (math.prod(shape),)).reshape(shape)
    ct = jax.random.normal(jax.random.key(1), (math.prod(shape),)).reshape(shape)
    kernel = (3, 3, 3, args.channels, args.channels)
    w = jax.random.normal(jax.random.key(2), (math.prod(kernel),)).reshape(kernel)

    calls, compile_s = {}, {}
    for name, (implementation, gradient) in FORMS.items():

        def forward(x, w, conv=(implementation, gradient)):
            return cylindrical_conv(x, w, (1, 1, 1), *conv)

        def both(x, w, ct, forward=forward):
            y, transpose = jax.vjp(forward, x, w)
            return y, *transpose(ct)

        for direction, function, inputs in (
            ("forward", forward, (x, w)),
            ("forward and backward", both, (x, w, ct)),
        ):
            key = f"{name}, {direction}"
            compiled, compile_s[key] = compile_seconds(function, *inputs)
            calls[key] = partial(compiled, *inputs)

    y = calls["native, forward"]()
    error = float(jnp.max(jnp.abs(calls["fold, forward"]() - y)) / jnp.max(jnp.abs(y)))
    times = alternate(calls, args.repeats)
    flop = 2 * math.prod(kernel) * math.prod(shape[:-1])
    for key, result in times.items():
        passes = 3 if "backward" in key else 1
        result["gflop_per_cpu_s"] = passes * flop / result["cpu_ms"] / 1e6
        result["compile_cpu_s"] = compile_s[key]
    speedup = {
        direction: times[f"native, {direction}"]["cpu_ms"] / times[f"fold, {direction}"]["cpu_ms"]
        for direction in ("forward", "forward and backward")
    }
    results = {"times": times, "fold_over_native": speedup, "largest_relative_difference": error}
    path = write_record("conv_speed", vars(args), results)

    for key, result in times.items():
        print(
            f"{key:48s} {result['cpu_ms']:8.1f} cpu-ms {result['wall_ms']:8.1f} wall-ms "
            f"{result['gflop_per_cpu_s']:6.1f} GFLOP/cpu-s"
        )
    print(f"fold over native: {speedup}; relative difference {error:.1e}; written to {path.name}")


if __name__ == "__main__":
    main()
