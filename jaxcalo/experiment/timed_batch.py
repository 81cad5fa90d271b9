"""One batch of showers as one program that makes the batch and next to nothing else.

`generate_chunks` always makes whole blocks of one size, so that a shower is the same to the bit in
every batch; asked for one shower it makes up to 64 on a CPU. Here the blocks of a batch are equal,
at most of that size, and fill it up as little as can be, so that its time is that of its showers.
They are those of `jaxcalo sample` with the same seed and number, to rounding.
"""

import time
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcalo.experiment.compiled import planned_bytes
from jaxcalo.experiment.run import TrainedModel
from jaxcalo.experiment.sampling import Request, requested_conditions
from jaxcalo.families import block_size, run_program, sampling_program
from jaxcalo.preprocess import Classes
from jaxcalo.training import data_mesh
from jaxcalo.typing import Key, Params


class Layout(NamedTuple):
    """How a batch is computed.

    Attributes:
        n_devices: Devices that share it.
        n_blocks: Blocks that each of them computes one after the other.
        block: Showers of a block.
    """

    n_devices: int
    n_blocks: int
    block: int

    @property
    def n_computed(self) -> int:
        """Showers that are computed: the batch, filled up to whole blocks."""
        return self.n_devices * self.n_blocks * self.block


class TimedBatch(NamedTuple):
    """One batch, ready to run.

    Attributes:
        program: Compiled.
        key: Of the sample.
        params: On the devices.
        cond: Conditions, (batch size, c), in the host's memory.
        layout: How it is computed.
        compile_s: Time of tracing and compiling, s.
    """

    program: jax.stages.Compiled
    key: Key
    params: Params
    cond: np.ndarray
    layout: Layout
    compile_s: float

    def run(self) -> np.ndarray:
        """Make the showers, (batch size, n_voxels), MeV."""
        size = self.layout.n_computed
        return run_program(self.program, self.key, self.params, self.cond, 0, size)

    def planned_bytes(self) -> int | None:
        """Arguments, results and intermediate values on all devices, as XLA plans them."""
        return planned_bytes(self.program, self.layout.n_devices)


def prepare_batch(trained: TrainedModel, batch_size: int, *, seed: int, mesh: Mesh) -> TimedBatch:
    """Compile the program of one batch.

    Args:
        trained: The model.
        batch_size: Showers of the batch.
        seed: Of the sample.
        mesh: Devices; a batch of fewer showers than devices takes as many.
    """
    _, key = jax.random.split(jax.random.key(seed))
    cond, how = conditions(trained, batch_size, seed), layout(trained, batch_size, mesh)
    mesh = data_mesh(list(mesh.devices.flat)[: how.n_devices])
    params = jax.device_put(trained.params, NamedSharding(mesh, P()))
    shapes = (
        jax.ShapeDtypeStruct((how.n_computed,), np.uint32),
        jax.ShapeDtypeStruct((how.n_computed, cond.shape[1]), cond.dtype),
    )
    started = time.perf_counter()
    program = sampling_program(trained.model, mesh, how.block).lower(key, params, *shapes).compile()
    return TimedBatch(program, key, params, cond, how, time.perf_counter() - started)


def layout(trained: TrainedModel, batch_size: int, mesh: Mesh) -> Layout:
    """Equal blocks, the fewest that are not too large, on as many devices as have showers."""
    cond = conditions(trained, 1, 0)[0]
    largest = block_size(trained.model, jax.random.key(0), trained.params, cond)
    n_devices = min(batch_size, mesh.devices.size)
    share = -(-batch_size // n_devices)
    n_blocks = -(-share // largest)
    return Layout(n_devices, n_blocks, -(-share // n_blocks))


def conditions(trained: TrainedModel, n: int, seed: int) -> np.ndarray:
    """Conditions of n showers, (n, 1 + k), MeV first, log-uniform over the trained range.

    Further conditions are the same for all: the mean over the training, of classes the first.
    """
    further = {
        known.name: known.values[:1] if isinstance(known, Classes) else known.mean
        for known in trained.conditions
    }
    request = Request(n_showers=n, conditions=further, seed=seed)
    return requested_conditions(request, trained)[0]
