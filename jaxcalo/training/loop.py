"""The only training loop."""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcalo.training.algorithm import Algorithm, Batch, Metrics, Ratio, TrainState
from jaxcalo.training.checkpoints import CheckpointPlan, Checkpoints
from jaxcalo.training.runlog import RunLog
from jaxcalo.training.sharding import (
    any_process,
    init_state,
    map_step,
    shard_batch,
    whole_batch,
)
from jaxcalo.typing import Key, Params


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """How long to train and what to write on the way.

    Attributes:
        n_steps: Batches in all.
        log_every: Steps between lines of metrics.jsonl.
        evaluate_every: Steps between evaluations on held-out showers (0: only after the last step).
        checkpoints: When to write checkpoints.
    """

    n_steps: int = 2000
    log_every: int = 50
    evaluate_every: int = 0
    checkpoints: CheckpointPlan = dataclasses.field(default_factory=CheckpointPlan)


class BatchSource(Protocol):
    """Batches as a pure function of the step, which is why a run resumes exactly."""

    def prefetch(self, start: int, stop: int) -> Iterator[Batch]:
        """The process's rows of the batches start ... stop - 1."""
        ...


class Interrupted(Exception):  # noqa: N818 (as KeyboardInterrupt)
    """A signal asked the run to stop; its state is saved."""

    def __init__(self, step: int, signal_number: int):
        super().__init__(f"stopped at step {step}")
        self.step = step
        self.signal_number = signal_number


class NonFiniteLossError(Exception):
    """The loss is NaN or infinite; the last good checkpoint is kept."""


def fit(
    key: Key,
    algorithm: Algorithm,
    batches: BatchSource,
    plan: TrainingPlan,
    *,
    run: Path,
    mesh: Mesh,
    constants: Any = (),
    evaluate: Callable[[Key, Params], dict[str, Any]] | None = None,
    observe: Callable[[int, dict[str, float]], None] = lambda _step, _metrics: None,
) -> TrainState:
    """Train, or go on from the newest checkpoint in the run folder.

    An unbroken and a resumed run end equal to the bit. Of several processes the first evaluates and
    writes the metrics; a signal to any of them stops all at the next line of the metrics.

    Args:
        key: The run's key; step i draws from fold_in(key, i).
        algorithm: What to train.
        batches: Where the events come from.
        plan: How long.
        run: The run folder; checkpoints/ and metrics.jsonl are written there.
        mesh: The devices.
        constants: Fitted preprocessing, stored in each checkpoint.
        evaluate: (key, averaged parameters) -> numbers for metrics.jsonl.
        observe: Called after each step with (steps done, the latest logged means).

    A line of metrics.jsonl has the means since the last one, `seconds_per_step`, and `data_wait`:
    the share of this time in which the devices had nothing to do but to wait for a batch.

    Raises:
        Interrupted: After SIGINT or SIGTERM, when the state is saved.
        NonFiniteLossError: The loss is not finite; nothing that is not finite was saved.
    """
    log = RunLog(run / "metrics.jsonl")
    init_key, step_key, evaluation_key = jax.random.split(key, 3)
    with (
        Checkpoints(run / "checkpoints", plan.checkpoints.keep) as checkpoints,
        _signals() as caught,
    ):
        first = next(iter(batches.prefetch(0, 1)))
        state = init_state(algorithm, init_key, whole_batch(first), mesh)
        if checkpoints.latest_step is not None:
            state = checkpoints.restore_state(state, mesh)
        log.drop_after(int(state.step))
        step = map_step(algorithm, mesh)
        window = _Window(int(state.step), log, observe)
        for batch in window.fed(batches.prefetch(int(state.step), plan.n_steps), mesh):
            state, metrics = step(step_key, state, batch)
            done = window.add(metrics)
            last = done == plan.n_steps
            if done % plan.log_every == 0 or last:
                window.write()
            if jax.process_count() == 1:
                stop = bool(caught)
            else:  # they must stop at the same step, and asking takes as long as a small step
                stop = done % plan.log_every == 0 and any_process(bool(caught))
            if last or stop or done % plan.checkpoints.every == 0:
                window.require_finite()
                checkpoints.save(state, constants)
            if stop and not last:
                raise Interrupted(done, next(iter(caught), signal.SIGTERM))
            due = last or (plan.evaluate_every and done % plan.evaluate_every == 0)
            if evaluate and due and jax.process_index() == 0:
                ema = state.ema if jax.process_count() == 1 else jax.device_get(state.ema)
                log.write({"step": done, **evaluate(jax.random.fold_in(evaluation_key, done), ema)})
    return state


class _Window:
    """The metrics since the last line of the log. They stay on the device until they are needed."""

    def __init__(self, step: int, log: RunLog, observe: Callable[[int, dict[str, float]], None]):
        self._step = step
        self._log = log
        self._observe = observe
        self._pending: list[Metrics] = []
        self._since = time.monotonic()
        self._waited = 0.0
        self._shown: dict[str, float] = {}

    def fed(self, batches: Iterator[Batch], mesh: Mesh) -> Iterator[Batch]:
        """The batches on the devices; the time in which these wait for one is noted.

        Steps are dispatched ahead of the devices: getting a batch costs nothing while they still
        work. Where the last step is found done, the whole time of getting the batch counts, which
        is the most that they can have waited.
        """
        while True:
            began = time.monotonic()
            batch = next(batches, None)
            if batch is None:
                return
            on_devices = shard_batch(batch, mesh)
            if all(value.is_ready() for value in jax.tree.leaves(self._pending[-1:])):
                self._waited += time.monotonic() - began
            yield on_devices

    def add(self, metrics: Metrics) -> int:
        self._pending.append(metrics)
        self._step += 1
        self._observe(self._step, self._shown)
        return self._step

    def write(self) -> None:
        means = self._means()
        now = time.monotonic()
        spent = now - self._since
        record: dict[str, Any] = {
            name: m.ratio() if isinstance(m, Ratio) else m for name, m in means.items()
        }
        record["seconds_per_step"] = spent / len(self._pending)
        record["data_wait"] = self._waited / spent
        self._since, self._waited, self._pending = now, 0.0, []
        self._log.write({"step": self._step, **record})
        self._shown = {name: float(value) for name, value in record.items() if np.ndim(value) == 0}
        self._require_finite(means)

    def require_finite(self) -> None:
        if self._pending:
            self._require_finite(self._means())

    def _means(self) -> Metrics:
        pending = jax.device_get(self._pending)
        return jax.tree.map(lambda *values: np.mean(np.stack(values), axis=0), *pending)

    def _require_finite(self, means: Metrics) -> None:
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(means)):
            raise NonFiniteLossError(
                f"step {self._step}: expected a finite loss, found {means['loss']}; "
                "the last good checkpoint is kept: "
                "lower --optimizer.learning-rate or look for outliers in the data"
            )


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, not dying from the first; a second SIGINT interrupts at once."""
    caught: list[int] = []

    def note(signal_number: int, _frame: object) -> None:
        if caught and signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        caught.append(signal_number)

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
