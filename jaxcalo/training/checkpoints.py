"""Checkpoints through orbax: asynchronous, atomic, exact to the bit, on any number of devices.

A checkpoint holds three items: `state` (step, parameters, optimizer), `ema` (what sampling needs),
and `constants` (the fitted preprocessing). The data's position is the step: the loader is a
function of it.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcalo.errors import InputError
from jaxcalo.training.algorithm import TrainState
from jaxcalo.typing import Params

# orbax reports every save on the root logger; a failure still raises.
logging.getLogger("absl").setLevel(logging.ERROR)


@dataclasses.dataclass(frozen=True)
class CheckpointPlan:
    """When to write checkpoints.

    Attributes:
        every: Steps between checkpoints.
        keep: How many of the latest to keep.
    """

    every: int = 500
    keep: int = 2


class Checkpoints:
    """A run's checkpoints folder, a context manager: leaving it waits for the writes under way."""

    def __init__(self, folder: Path, keep: int = 2):
        self._folder = folder
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.wait_until_finished()
        self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """The step of the newest whole checkpoint."""
        return self._manager.latest_step()

    def save(self, state: TrainState, constants: Any) -> None:
        """Start writing the state; training may go on (and donate it) at once."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        items = {"state": state._replace(ema=()), "ema": state.ema, "constants": constants}
        # Orbax refuses an item without arrays; a family may have no constants.
        saved = {
            name: ocp.args.StandardSave(item)
            for name, item in items.items()
            if jax.tree.leaves(item)
        }
        self._manager.save(step, args=ocp.args.Composite(**saved))

    def restore_state(self, like: TrainState, mesh: Mesh) -> TrainState:
        """The newest state, replicated on the mesh.

        Raises:
            InputError: The checkpoint belongs to another recipe.
        """
        sharding = NamedSharding(mesh, P())
        items = self._restore(
            state=_abstract(like._replace(ema=()), sharding), ema=_abstract(like.ema, sharding)
        )
        return items.state._replace(ema=items.ema)

    def restore_ema(self, like: Params, mesh: Mesh) -> Params:
        """The newest averaged parameters, replicated on the mesh."""
        return self._restore(ema=_abstract(like, NamedSharding(mesh, P()))).ema

    def restore_constants(self, like: Any) -> Any:
        """The fitted preprocessing, as numpy arrays."""
        return self._restore(constants=like).constants

    def _restore(self, **items: Any) -> Any:
        step = self.latest_step
        if step is None:
            raise InputError(
                f"{self._folder}: expected a checkpoint, found none; "
                "train the run first (jaxcalo train)"
            )
        args = {name: ocp.args.StandardRestore(like) for name, like in items.items()}
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**args))
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise InputError(
                f"{self._folder}: checkpoint {step} cannot be read as this recipe's ({reason}); "
                "it belongs to another recipe or is damaged: use the run folder as it was written"
            ) from error


def _abstract(tree: Any, sharding: NamedSharding) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
