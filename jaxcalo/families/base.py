"""What every family offers, and the one function that generates from any of them."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcalo.families.program_store import Program, ProgramStore
from jaxcalo.training import AXIS, Algorithm
from jaxcalo.training.sharding import first_devices
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params

# Chosen: the smallest that kept both cores of a CPU busy with 720 voxels (64 events) and stays in
# its cache with 6480 (4), and room for an accelerator.
_BLOCK_NUMBERS_CPU = 64 * 735
_BLOCK_NUMBERS = 2**22

# XLA's program of a single device differs from that of several, which all make the same bits.
_FEWEST_DEVICES = 2

# One event of a data set (any pytree) to what a model learns: (key, datum) -> (event, condition).
Encode = Callable[[Key, Any], tuple[Event, Cond]]


class Net(Protocol):
    """A network without state, batch first: what a Linen module is from outside."""

    def init(self, key: Key, x: Events, c_noise: Array, cond: Conds, /) -> Params:
        """Random parameters."""
        ...

    def apply(self, params: Params, x: Events, c_noise: Array, cond: Conds, /) -> Events:
        """Evaluate; x (b, n), c_noise (b,), cond (b, c)."""
        ...


class GenerativeModel(NamedTuple):
    """A family with its configuration.

    Attributes:
        algorithm: How it trains.
        sample: (key, params, cond) -> one event.
        log_prob: (key, params, event, cond) -> log density of a standardised event in nats, exact
            or an unbiased estimate, for families that have one.
        one_by_one: Whether each event is computed alone: where its cost depends on itself, and one
            event fills the cores of a device.
    """

    algorithm: Algorithm
    sample: Callable[[Key, Params, Cond], Event]
    log_prob: Callable[[Key, Params, Event, Cond], Array] | None = None
    one_by_one: bool = False


class NoiseMap(NamedTuple):
    """The sampling of a model whose noise can be drawn beforehand, outside of the program.

    Attributes:
        n_noise: Standard normal numbers that one event needs.
        event: (noise (n_noise,), params, cond) -> one event.
    """

    n_noise: int
    event: Callable[[Array, Params, Cond], Event]


def generate_chunks(
    key: Key,
    model: GenerativeModel,
    params: Params,
    cond: np.ndarray,
    *,
    chunk: int,
    mesh: Mesh,
    first_index: int = 0,
    store: ProgramStore | None = None,
) -> Iterator[np.ndarray]:
    """Generate one event for each condition, in one compiled program vmapped over events.

    Event i draws from fold_in(key, first_index + i) alone and is computed in a block of a size that
    depends on nothing but the model: it is the same, to the bit, whatever the chunk or the part of
    a job array that makes it, and whatever the number of devices from two on; one device gives it
    to rounding.

    Args:
        key: the key of the whole sample.
        model: what to sample.
        params: its parameters.
        cond: conditions, (n, c).
        chunk: events per call of the program, rounded up to whole blocks on every device.
        mesh: the devices; no more of them are used than there are blocks, but two if there are.
        first_index: global index of the first event.
        store: keeps the traced program of one process for the next.

    Yields:
        Arrays (at most chunk, ...) in order.
    """
    cond = np.asarray(cond, np.float32)
    n_calls = -(-len(cond) // chunk)
    equal = -(-len(cond) // n_calls)  # so that the last call is not mostly padding

    def make() -> Program:
        block = block_size(model, key, params, cond[0])
        used = first_devices(max(_FEWEST_DEVICES, -(-len(cond) // block)), mesh)
        return Program(
            sampling_program(model, used, block), _whole_blocks(equal, block, used), used
        )

    if store is None or mesh.is_multi_process:
        program, chunk, used = make()
    else:
        program, chunk, used = store.program((len(cond), chunk), key, (params, cond[0]), mesh, make)
    params = jax.device_put(params, NamedSharding(used, P()))
    for start in range(0, len(cond), chunk):
        part = cond[start : start + chunk]
        yield run_program(program, key, params, part, first_index + start, chunk)


def generate(
    key: Key,
    model: GenerativeModel,
    params: Params,
    cond: np.ndarray,
    *,
    chunk: int,
    mesh: Mesh,
    first_index: int = 0,
) -> np.ndarray:
    """Return all events of `generate_chunks` as one array (n, ...)."""
    chunks = generate_chunks(
        key, model, params, cond, chunk=chunk, mesh=mesh, first_index=first_index
    )
    return np.concatenate(list(chunks))


def whole_chunk(
    chunk: int, model: GenerativeModel, key: Key, params: Params, cond: np.ndarray, mesh: Mesh
) -> int:
    """Events that one call of the program of `generate_chunks` makes: whole blocks everywhere."""
    return _whole_blocks(chunk, block_size(model, key, params, cond), mesh)


def _whole_blocks(chunk: int, block: int, mesh: Mesh) -> int:
    unit = block * mesh.devices.size
    return -(-chunk // unit) * unit


def block_size(model: GenerativeModel, key: Key, params: Params, cond: np.ndarray) -> int:
    """Return the events of a block, a power of two: enough numbers to occupy a device's cores."""
    if model.one_by_one:
        return 1
    n_components = jax.eval_shape(model.sample, key, params, cond).size
    on_cpu = jax.default_backend() == "cpu"
    largest, numbers = (64, _BLOCK_NUMBERS_CPU) if on_cpu else (4096, _BLOCK_NUMBERS)
    fitting = max(1, min(largest, numbers // n_components))
    return 1 << (fitting.bit_length() - 1)


def run_program(
    program: Callable[..., Array],
    key: Key,
    params: Params,
    cond: np.ndarray,
    first_index: int,
    size: int,
) -> np.ndarray:
    """Run a program of `size` events for fewer, from the host's memory to the host's memory.

    Args:
        program: of `sampling_program`, or compiled for `size` events.
        key: the key of the whole sample.
        params: the parameters.
        cond: conditions, (n, c) with n <= size; the last one fills the program up.
        first_index: global index of the first event.
        size: events the program makes.

    Returns:
        The n events, (n, ...).
    """
    padded = np.concatenate([cond, np.repeat(cond[-1:], size - len(cond), axis=0)])
    index = np.arange(first_index, first_index + size, dtype=np.uint32)
    return np.asarray(program(key, params, index, padded))[: len(cond)]


def sampling_program(model: GenerativeModel, mesh: Mesh, block: int) -> jax.stages.Wrapped:
    """Make the jitted (key, params, index (n,), cond (n, c)) -> events (n, ...), n in whole blocks.

    Every device makes its blocks one after the other, `block` events at once. An event's last bits
    depend on the size of the block it is computed in. A block of one is not vmapped: a branch that
    depends on the event is then taken alone.
    """

    def of_device(key: Key, params: Params, index: Array, cond: Conds) -> Events:
        def of_event(i: Array, c: Cond) -> Event:
            return model.sample(jax.random.fold_in(key, i), params, c)

        if block == 1:
            return jax.lax.map(lambda row: of_event(*row), (index, cond))
        index = index.reshape(-1, block)  # a condition may have no components to count blocks by
        blocks = (index, cond.reshape(*index.shape, cond.shape[-1]))
        events = jax.lax.map(lambda rows: jax.vmap(of_event)(*rows), blocks)
        return events.reshape(-1, *events.shape[2:])

    specs = (P(), P(), P(AXIS), P(AXIS))
    mapped = jax.shard_map(of_device, mesh=mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False)
    return jax.jit(mapped)
