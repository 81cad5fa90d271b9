"""The same networks, the same steps, in JAX and in plain PyTorch: showers per second in one run.

pip install torch==2.13.0
MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 \
    python experiments/benchmarks/against_torch.py

Weights are copied and both must return the same numbers. JAX sees one device a core, which share a
batch. Sampling is a loop of Euler steps: in JAX one jit-compiled scan, vmapped over blocks of 2 and
of 4 events; in PyTorch a loop over the eager and over the compiled network, in both memory layouts.
The fastest of each counts. Training is a step of Adam on a mean squared error. Programs take turns
of half a second, with a pause between them in which the threads of the one let go of the cores.
Where JAX has a GPU, PyTorch computes there too: a batch is one block, products are TF32 in both.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch_networks
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from measure import alternate, write_record

from jaxcalo.nets import DiT, PointWise, UNet
from jaxcalo.training.sharding import AXIS, data_mesh

LEARNING_RATE = 1e-4
_PAUSE_S = 0.3
_TURN_S = 0.5
_BLOCKS = 2, 4  # events that a core samples together; jaxcalo's own programs take 4 of this size
# Of the largest number that the network returns: float32, or TF32 through many layers.
_SAME, _SAME_ON_GPU = 1e-4, 1e-2


def _on_gpu() -> bool:
    return jax.default_backend() == "gpu"


def _torch_device() -> str:
    return "cuda" if _on_gpu() else "cpu"


class Case(NamedTuple):
    """A network, what it is evaluated on, and its twin.

    Attributes:
        net: of jaxcalo.
        shape: of one event, features last.
        twin: makes the network of PyTorch.
        is_grid: PyTorch's has the features first.
    """

    net: Any
    shape: tuple[int, ...]
    twin: Callable[[], torch.nn.Module]
    is_grid: bool = False

    def apply(self, params: Any, x: jax.Array, c_noise: jax.Array, cond: jax.Array) -> jax.Array:
        """The network of jaxcalo, whatever it takes."""
        if isinstance(self.net, PointWise):
            mask = jnp.ones(x.shape[:2], bool)
            return self.net.apply(params, x, mask, c_noise, cond)
        return self.net.apply(params, x, c_noise, cond)

    def init(self, x: jax.Array, c_noise: jax.Array, cond: jax.Array) -> Any:
        """Random parameters, none of them zero: the networks start as one that returns zero."""
        mask = (jnp.ones(x.shape[:2], bool),) if isinstance(self.net, PointWise) else ()
        params = jax.jit(self.net.init)(jax.random.key(1), x, *mask, c_noise, cond)
        leaves, tree = jax.tree.flatten(params)
        keys = jax.random.split(jax.random.key(2), len(leaves))
        pairs = zip(keys, leaves, strict=True)
        drawn = [
            leaf + 0.02 * jax.random.normal(key, (leaf.size,)).reshape(leaf.shape)
            for key, leaf in pairs
        ]
        return jax.tree.unflatten(tree, drawn)


def cases(grid: Sequence[int], n_points: int) -> dict[str, Case]:
    """The networks by name."""
    unet, dit, point_wise = UNet(), DiT(patch=(3, 4, 3)), PointWise()
    return {
        "U-Net (16, 16, 16, 32)": Case(
            unet, (*grid, 1), lambda: torch_networks.UNet(unet, grid, 1, 1), is_grid=True
        ),
        "DiT, patch (3, 4, 3)": Case(dit, (*grid, 1), lambda: torch_networks.DiT(dit, grid, 1, 1)),
        f"PointWise, {n_points} points": Case(
            point_wise, (n_points, 4), lambda: torch_networks.PointWise(point_wise, 4, 2)
        ),
    }


_Calls = dict[str, dict[str, Callable[[], Any]]]  # by kind of call, by what may make it fast


def jax_calls(case: Case, batch: int, n_steps: int) -> tuple[_Calls, Any]:
    """Sampling and training in JAX, compiled; and the parameters."""
    x, levels, c_noise, cond = _inputs(case, batch, n_steps)
    params = case.init(x, c_noise, cond)
    optimizer = optax.adam(LEARNING_RATE)
    mesh = data_mesh(jax.devices()[: math.gcd(batch, len(jax.devices()))])

    def sample(block, params, x, levels, cond):
        def one(event):
            x, cond = event

            def euler(x, level):
                velocity = case.apply(params, x[None], level[None], cond[None])[0]
                return x - velocity / n_steps, None

            return jax.lax.scan(euler, x, levels)[0]

        if len(x) == 1:
            return one((x[0], cond[0]))[None]
        return jax.lax.map(one, (x, cond), batch_size=block)

    def train(params, state, x, c_noise, cond):
        def loss(params):
            return jnp.mean((case.apply(params, x, c_noise, cond) - x) ** 2)

        value, gradient = jax.lax.pmean(jax.value_and_grad(loss)(params), AXIS)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    one, each = P(), P(AXIS)

    def compiled(function, args, specs, out):
        mapped = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)
        placed = [
            jax.device_put(arg, NamedSharding(mesh, spec))
            for arg, spec in zip(args, specs, strict=True)
        ]
        return partial(jax.jit(mapped).lower(*placed).compile(), *placed)

    drawn = (params, x, levels, cond), (one, each, one, each), each
    trained = (params, optimizer.init(params), x, c_noise, cond), (one, one, each, each, each), one
    blocks = (batch,) if _on_gpu() else _BLOCKS if batch > mesh.size else (1,)
    calls = {
        "sampling": {f"jax, blocks of {n}": compiled(partial(sample, n), *drawn) for n in blocks},
        "training": {"jax": compiled(train, *trained)},
    }
    return calls, params


def torch_calls(case: Case, params: Any, batch: int, n_steps: int, *, compiled: bool) -> _Calls:
    """Sampling and training in PyTorch.

    Raises:
        SystemExit: it does not return the numbers of JAX.
    """
    x, levels, c_noise, cond = map(_to_torch, _inputs(case, batch, n_steps))
    x = x.movedim(-1, 1).contiguous() if case.is_grid else x
    found = {"sampling": {}, "training": {}}
    torch.compiler.reset()  # beyond a number of shapes PyTorch would go on without compiling
    layouts = {"": torch.contiguous_format}
    if case.is_grid:
        layouts[", channels last"] = torch.channels_last_3d
    for suffix, layout in layouts.items():
        net = torch_networks.transplant(case.twin(), params)
        net = net.to(device=_torch_device(), memory_format=layout)
        data = x.contiguous(memory_format=layout)
        _check_same(case, params, net, batch, n_steps)
        networks = {"eager": net} | ({"compiled": torch.compile(net)} if compiled else {})
        for name, network in networks.items():
            optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE)
            sample = partial(_torch_sample, network, data, levels, cond)
            train = partial(_torch_train, network, optimizer, data, c_noise, cond)
            found["sampling"][name + suffix] = sample
            found["training"][name + suffix] = train
    return found


def _to_torch(array: jax.Array) -> torch.Tensor:
    return torch.from_numpy(np.array(array)).to(_torch_device())


def _finished(result: torch.Tensor) -> torch.Tensor:
    """The result, once it is there: CUDA returns before."""
    if _on_gpu():
        torch.cuda.synchronize()
    return result


def _torch_sample(network, x, levels, cond):
    with torch.inference_mode():
        for level in levels:
            x = x - network(x, level.expand(len(x)), cond) / len(levels)
    return _finished(x)


def _torch_train(network, optimizer, x, c_noise, cond):
    optimizer.zero_grad(set_to_none=True)
    loss = torch.mean((network(x, c_noise, cond) - x) ** 2)
    loss.backward()
    optimizer.step()
    return _finished(loss.detach())


def _inputs(case: Case, batch: int, n_steps: int) -> tuple[jax.Array, ...]:
    shape = (batch, *case.shape)
    x = jax.random.normal(jax.random.key(0), (math.prod(shape),)).reshape(shape)
    n_conditions = 2 if isinstance(case.net, PointWise) else 1
    cond = jnp.linspace(0.5, 1.5, batch * n_conditions).reshape(batch, n_conditions)
    return x, jnp.linspace(1.0, -1.0, n_steps), jnp.linspace(-1.0, 1.0, batch), cond


def _check_same(case: Case, params: Any, net: torch.nn.Module, batch: int, n_steps: int) -> None:
    x, _, c_noise, cond = _inputs(case, batch, n_steps)
    ours = np.asarray(case.apply(params, x, c_noise, cond))
    theirs = [_to_torch(part) for part in (x, c_noise, cond)]
    if case.is_grid:
        theirs[0] = theirs[0].movedim(-1, 1)
    with torch.inference_mode():
        made = net(*theirs)
    made = (made.movedim(1, -1) if case.is_grid else made).cpu().numpy()
    difference = np.abs(made - ours).max() / np.abs(ours).max()
    if not difference < (_SAME_ON_GPU if _on_gpu() else _SAME):
        raise SystemExit(f"against_torch: {type(net).__name__} differs by {difference:.1e}")


def main() -> None:
    """Time all networks, batches and kinds; write results/against_torch.json (on a GPU _gpu)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=(1, 16))
    parser.add_argument("--grid", type=int, nargs=3, default=(45, 16, 9))
    parser.add_argument("--points", type=int, default=1000, help="of a cloud (default: 1000)")
    parser.add_argument("--evaluations", type=int, default=4, help="of a sample (default: 4)")
    parser.add_argument("--repeats", type=int, default=9)
    n_threads = torch.get_num_threads()
    parser.add_argument("--threads", type=int, default=n_threads, help="of PyTorch")
    parser.add_argument("--devices", type=int, default=n_threads, help="of JAX")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--only", default="", help="networks whose name begins so")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    jax.config.update("jax_num_cpu_devices", args.devices)
    if _on_gpu():
        torch.set_float32_matmul_precision("high")  # TF32, as JAX there

    results = []
    for name, case in cases(args.grid, args.points).items():
        if not name.startswith(args.only):
            continue
        for batch in args.batches:
            ours, params = jax_calls(case, batch, args.evaluations)
            theirs = torch_calls(
                case, params, batch, args.evaluations, compiled=not args.no_compile
            )
            for kind, made in ours.items():
                times = alternate({**made, **theirs[kind]}, args.repeats, _PAUSE_S, _TURN_S)
                first, best = (
                    min(calls, key=lambda name: times[name]["wall_ms"])
                    for calls in (made, theirs[kind])
                )
                ratios = {clock: times[best][clock] / times[first][clock] for clock in times[best]}
                results.append(
                    {"network": name, "kind": kind, "batch": batch, "times": times}
                    | {"best_of_jax": first, "best_of_torch": best, "torch_over_jax": ratios}
                )
                rate = batch / times[first]["wall_ms"] * 1e3
                print(
                    f"{name:24s} {kind:8s} batch {batch:3d}: {rate:9.2f} showers/s,"
                    f" {ratios['wall_ms']:.2f} times PyTorch ({best}), by CPU time"
                    f" {ratios['cpu_ms']:.2f}",
                    flush=True,
                )
    settings = {**vars(args), "torch": torch.__version__}
    path = write_record("against_torch_gpu" if _on_gpu() else "against_torch", settings, results)
    print(f"written to {path.name}")


if __name__ == "__main__":
    main()
