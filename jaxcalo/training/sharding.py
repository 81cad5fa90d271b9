"""Devices and processes: the mesh, the mapped training step, and batches spread over it.

Nothing else in the package knows devices.
"""

import os
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcalo.errors import InputError
from jaxcalo.typing import Key

if TYPE_CHECKING:
    from jaxcalo.training.algorithm import Algorithm, Batch, Metrics, TrainState

AXIS = "data"

_COORDINATOR = "JAX_COORDINATOR_ADDRESS"
_COUNT = "JAX_NUM_PROCESSES"
_ID = "JAX_PROCESS_ID"


def join_processes() -> None:
    """Make this process one of several that compute together, before its first computation.

    Who they are is what $JAX_COORDINATOR_ADDRESS (host:port of process 0), $JAX_NUM_PROCESSES and
    $JAX_PROCESS_ID say, else what JAX finds by itself: Slurm, Open MPI, Kubernetes, TPU pods.

    Raises:
        InputError: Neither says it, or the other processes do not come.
    """
    try:
        if _COORDINATOR in os.environ:
            count, number = int(os.environ[_COUNT]), int(os.environ[_ID])
            jax.distributed.initialize(os.environ[_COORDINATOR], count, number)
        else:
            jax.distributed.initialize()
    except (KeyError, ValueError, RuntimeError) as error:
        is_unset = isinstance(error, KeyError)
        reason = f"no ${error.args[0]}" if is_unset else str(error).strip().splitlines()[0][:200]
        raise InputError(
            f"--multi-process: expected processes started by Slurm or Open MPI, or ${_COORDINATOR} "
            f"(host:port of process 0), ${_COUNT} and ${_ID} (0, 1, ...) in each, found {reason}; "
            "set these, or leave out --multi-process"
        ) from error
    # JAX's own handler would keep SIGTERM from ending a process that is not in the training loop.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def any_process(flag: bool) -> bool:
    """Whether it holds in any process; all of them must ask."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def whole_batch(batch: Any) -> Any:
    """The rows of all processes, in their order, in the memory of each; all of them must ask."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, batch)
    return multihost_utils.process_allgather(batch, tiled=True)


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """One axis, `AXIS`, over the devices (default: all of them, of every process)."""
    return Mesh(np.asarray(devices if devices is not None else jax.devices()), (AXIS,))


def first_devices(n: int, mesh: Mesh) -> Mesh:
    """The first n devices of a mesh; all of it if it has fewer or belongs to several processes."""
    if n >= mesh.size or mesh.is_multi_process:
        return mesh
    return Mesh(mesh.devices[:n], mesh.axis_names)


def map_step(
    algorithm: "Algorithm", mesh: Mesh
) -> "Callable[[Key, TrainState, Batch], tuple[TrainState, Metrics]]":
    """The training step as one compiled program on all devices of the mesh.

    The state's memory is donated. This is what jax.pmap is made of since JAX 0.8. Varying axes are
    not checked, because custom gradient rules (the convolutions') do not declare theirs.
    """
    mapped = jax.shard_map(
        algorithm.step,
        mesh=mesh,
        in_specs=(P(), P(), P(AXIS)),
        out_specs=(P(), P()),
        check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=1)


def init_state(algorithm: "Algorithm", key: Key, batch: "Batch", mesh: Mesh) -> "TrainState":
    """The state, born replicated on the mesh.

    A copy put there later could alias its original, which donation deletes.
    """
    return jax.jit(algorithm.init, out_shardings=NamedSharding(mesh, P()))(key, batch)


def shard_batch(batch: Any, mesh: Mesh) -> Any:
    """Spread the leading axis of every array over the mesh; each process brings its own rows.

    Raises:
        InputError: The devices do not divide the batch.
    """
    sharding = NamedSharding(mesh, P(AXIS))
    n_local = len(mesh.local_devices)

    def put(rows: np.ndarray) -> jax.Array:
        if len(rows) % n_local:
            raise InputError(
                f"batch size: expected a multiple of the {n_local} devices of this process, "
                f"found {len(rows)}; change --data.batch-size"
            )
        return jax.make_array_from_process_local_data(sharding, np.asarray(rows))

    return jax.tree.map(put, batch)
