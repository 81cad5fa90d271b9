"""Which parts of a network take the time, by XLA's own trace of its operations.

python experiments/benchmarks/network_profile.py --network unet

On one core (taskset -c 0) the sums are CPU time. An operation that XLA made of several belongs to
the part that its result belongs to.
"""

import argparse
import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from measure import write_record

from jaxcalo.nets import DiT, UNet

NETWORKS = {"unet": UNet(), "dit": DiT(patch=(3, 4, 3))}
# The first part whose pattern is found in the place of an operation among the network's modules.
PARTS = {
    "convolutions": r"conv_\d|/in/",
    "resampling": r"_sample",
    "attention": r"attention|attend|qkv|softmax|dot_product",
    "normalisation": r"norm",
    "dense layers": r"skip|dense|mlp|cond|noise|out",
    "rest": "",
}
_CONTAINERS = ("while", "call", "conditional")  # their time is that of what is in them


def places(compiled: jax.stages.Compiled) -> dict[str, str]:
    """Where every instruction of a program was traced, by its name."""
    found = {}
    for line in (compiled.as_text() or "").splitlines():
        match = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = .*op_name=\"([^\"]*)\"", line)
        if match:
            found[match[1]] = match[2]
    return found


def times(call: Callable[[], Any], folder: Path, repeats: int) -> Counter[str]:
    """Milliseconds of every instruction in one call, by its name."""
    jax.block_until_ready(call())
    with jax.profiler.trace(str(folder)):
        for _ in range(repeats):
            jax.block_until_ready(call())
    (path,) = folder.rglob("*.xplane.pb")
    found: Counter[str] = Counter()
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                name = str(stats.get("hlo_op", ""))
                if name and not name.startswith(_CONTAINERS):
                    found[name] += event.duration_ns / 1e6 / repeats
    return found


def profile(function: Callable[..., Any], args: tuple[Any, ...], repeats: int) -> dict[str, float]:
    """Milliseconds of every part, forwards and backwards, and of all."""
    compiled = jax.jit(function).lower(*args).compile()
    where = places(compiled)
    with tempfile.TemporaryDirectory() as folder:
        taken = times(lambda: compiled(*args), Path(folder), repeats)
    parts: Counter[str] = Counter()
    for name, ms in taken.items():
        place = where.get(name, "")
        part = next(part for part, pattern in PARTS.items() if re.search(pattern, place))
        backwards = ", gradients" if "transpose(" in place else ""
        parts[part + backwards] += ms
    return {**dict(parts.most_common()), "all": sum(taken.values())}


def main() -> None:
    """Profile the passes of one network; write results/network_profile_NETWORK.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="unet")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--grid", type=int, nargs=3, default=(45, 16, 9))
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    net, shape = NETWORKS[args.network], (args.batch, *args.grid, 1)
    x = jax.random.normal(jax.random.key(0), (math.prod(shape),)).reshape(shape)
    inputs = x, jnp.linspace(-1.0, 1.0, args.batch), jnp.ones((args.batch, 1))
    params = jax.jit(net.init)(jax.random.key(1), *inputs)

    def loss(params):
        return jnp.mean(jnp.square(net.apply(params, *inputs) - x))

    passes = {
        "forward": (net.apply, (params, *inputs)),
        "forward and backward": (jax.value_and_grad(loss), (params,)),
    }
    results = {
        name: profile(function, given, args.repeats) for name, (function, given) in passes.items()
    }
    for name, parts in results.items():
        print(f"{name}, ms")
        for part, ms in parts.items():
            print(f"  {part:28s} {ms:8.1f}")
    path = write_record(f"network_profile_{args.network}", vars(args), results)
    print(f"written to {path.name}")


if __name__ == "__main__":
    main()
