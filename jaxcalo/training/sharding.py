"""Devices: the mesh, the mapped training step, and batches spread over it.

Nothing else in the package knows devices.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcalo.errors import InputError
from jaxcalo.typing import Key

if TYPE_CHECKING:
    from jaxcalo.training.algorithm import Algorithm, Batch, Metrics, TrainState

AXIS = "data"


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """One axis, `AXIS`, over the devices (default: all of them, of every process)."""
    return Mesh(np.asarray(devices if devices is not None else jax.devices()), (AXIS,))


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
