"""Training a network to tell samples of showers apart, as the CaloChallenge does.

Class k is sample k. Each sample is divided at random into a training, a test and a validation part
of equal sizes for all classes; Adam minimises the cross-entropy on the training parts, the epoch
with the best accuracy on the test parts is kept, and the validation parts take no part in it. One
logit z stands for two classes with the logits (0, z).

An epoch is one jitted scan over shuffled batches, gathered by row from samples that stay on the
device; all epochs and all repetitions of equal shapes share one compilation.

Source: CaloChallenge, arXiv:2410.21611, section 4 (classifiers).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.typing import Key, Observe, Params

Samples = tuple[Array, ...]


@dataclass(frozen=True)
class Recipe:
    """What a step needs to know.

    Attributes:
        batch_size: showers in a batch.
        learning_rate: of Adam.
    """

    batch_size: int
    learning_rate: float


class Division(NamedTuple):
    """Rows of each part, counted through all samples one after the other; (k, size) int32 each.

    Attributes:
        train: rows that the gradient sees.
        test: rows that choose the epoch, and calibrate.
        validation: rows that are scored.
    """

    train: np.ndarray
    test: np.ndarray
    validation: np.ndarray


class Training(NamedTuple):
    """The outcome.

    Attributes:
        variables: of the network, after the best epoch.
        best_epoch: the first epoch with the best accuracy, counted from 1.
        n_epochs: epochs that were run.
    """

    variables: Params
    best_epoch: int
    n_epochs: int


class _State(NamedTuple):
    """What a step changes: the network's variables and the optimizer's moments."""

    variables: Params
    optimizer: Any


def divide(key: Key, sizes: Sequence[int], split: tuple[int, int, int]) -> Division:
    """Draw three disjoint parts from every sample; what is left over is not used.

    Args:
        key: decides which showers fall into which part.
        sizes: showers of each sample.
        split: showers of each sample in the training, test and validation part.
    """
    starts = np.cumsum([0, *sizes[:-1]])
    rows = np.stack(
        [
            start + np.asarray(jax.random.permutation(jax.random.fold_in(key, k), n))[: sum(split)]
            for k, (start, n) in enumerate(zip(starts, sizes, strict=True))
        ]
    ).astype(np.int32)
    first, second = split[0], split[0] + split[1]
    return Division(rows[:, :first], rows[:, first:second], rows[:, second:])


def _starts(samples: Samples) -> np.ndarray:
    """Number of the first row of every sample but the first."""
    return np.cumsum([len(sample) for sample in samples[:-1]], dtype=np.int32)


def _inputs(samples: Samples, rows: Array) -> Array:
    """Inputs (b, d) of rows (b,), without a copy of all samples in one array."""
    x = samples[0].at[rows].get(mode="clip")
    for start, sample in zip(_starts(samples), samples[1:], strict=True):
        x = jnp.where((rows >= start)[:, None], sample.at[rows - start].get(mode="clip"), x)
    return x


def _classes(samples: Samples, rows: Array) -> Array:
    """Index of the sample that each row belongs to, (b,)."""
    return jnp.sum(rows[:, None] >= _starts(samples), axis=1)


def _both_classes(logits: Array) -> Array:
    """One logit z as the logits (0, z); more than one as they are."""
    if logits.shape[-1] > 1:
        return logits
    return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)


def _batched_logits(net: Any, variables: Params, samples: Samples, rows: Array, size: int) -> Array:
    """Logits (n, n_outputs) in evaluation; the last batch is filled up with rows seen before."""
    size = min(size, len(rows))
    n_batches = -(-len(rows) // size)
    batches = jnp.resize(rows, (n_batches, size))
    found = lax.map(lambda batch: net.apply(variables, _inputs(samples, batch), False), batches)
    return found.reshape(n_batches * size, -1)[: len(rows)]


@partial(jax.jit, static_argnames=("net", "recipe"))
def _start(net: Any, recipe: Recipe, key: Key, example: Array) -> _State:
    """New variables, and moments at zero; example is one input (1, d)."""
    variables = net.init(key, example)
    return _State(variables, optax.adam(recipe.learning_rate).init(variables["params"]))


@partial(jax.jit, static_argnames=("net", "recipe"), donate_argnames=("state",))
def _epoch(
    net: Any,
    recipe: Recipe,
    state: _State,
    key: Key,
    samples: Samples,
    train: Array,
    test: Array,
) -> tuple[_State, Array]:
    """One pass over the training rows, then the number of test rows classified correctly."""
    size = min(recipe.batch_size, len(train))
    n_batches = len(train) // size
    batches, rest = jnp.split(jax.random.permutation(key, train), [n_batches * size])
    optimizer = optax.adam(recipe.learning_rate)

    def loss_fn(params: Params, others: Params, rows: Array) -> tuple[Array, Params]:
        x, variables = _inputs(samples, rows), {"params": params, **others}
        logits, changed = net.apply(variables, x, True, mutable=["batch_stats"])
        losses = optax.softmax_cross_entropy_with_integer_labels(
            _both_classes(logits), _classes(samples, rows)
        )
        return losses.mean(), {**others, **changed}

    def step(state: _State, rows: Array) -> tuple[_State, None]:
        others = dict(state.variables)
        params = others.pop("params")
        grads, others = jax.grad(loss_fn, has_aux=True)(params, others, rows)
        updates, moments = optimizer.update(grads, state.optimizer, params)
        params = optax.apply_updates(params, updates)
        return _State({"params": params, **others}, moments), None

    state, _ = lax.scan(step, state, batches.reshape(n_batches, size))
    if len(rest):
        state, _ = step(state, rest)
    logits = _batched_logits(net, state.variables, samples, test, recipe.batch_size)
    correct = _both_classes(logits).argmax(axis=-1) == _classes(samples, test)
    return state, correct.sum()


@partial(jax.jit, static_argnames=("net", "recipe"))
def _evaluate(net: Any, recipe: Recipe, variables: Params, samples: Samples, rows: Array) -> Array:
    return _batched_logits(net, variables, samples, rows, recipe.batch_size)


def train(
    key: Key,
    net: Any,
    recipe: Recipe,
    n_epochs: int,
    samples: Samples,
    division: Division,
    observe: Observe | None = None,
) -> Training:
    """Train a network from new, and keep its best epoch; stop early where none can be better.

    The showers of an epoch that fill no batch make a last, smaller one.

    Args:
        key: of the initial variables and of the order of the batches.
        net: a hashable network, apply(variables, x (b, d), train) -> logits (b, n_outputs).
        recipe: how.
        n_epochs: at most.
        samples: one array (n, d) a class, of one type.
        division: which rows are for training and test.
        observe: called with (epochs done, n_epochs) after every epoch.

    Returns:
        The variables of the first epoch that classifies the most test showers correctly.
    """
    key_start, key_epochs = jax.random.split(key)
    rows, test = division.train.ravel(), division.test.ravel()
    state = _start(net, recipe, key_start, samples[0][:1])
    best, best_epoch, most, epoch = state.variables, 0, -1, 0
    for epoch in range(1, n_epochs + 1):
        key_epoch = jax.random.fold_in(key_epochs, epoch)
        state, found = _epoch(net, recipe, state, key_epoch, samples, rows, test)
        if int(found) > most:
            best, best_epoch, most = jax.tree.map(jnp.copy, state.variables), epoch, int(found)
        if observe is not None:
            observe(epoch, n_epochs)
        if most == len(test):
            break
    return Training(best, best_epoch, epoch)


def logits(
    net: Any, recipe: Recipe, variables: Params, samples: Samples, rows: np.ndarray
) -> np.ndarray:
    """Evaluate a trained network.

    Args:
        net: the network.
        recipe: of its training; here only the batch size matters, and that for the memory alone.
        variables: as trained.
        samples: the arrays that the rows count through.
        rows: (n,) int32.

    Returns:
        (n, n_outputs) float64.

    Raises:
        InputError: the training diverged.
    """
    found = np.asarray(_evaluate(net, recipe, variables, samples, rows), dtype=np.float64)
    if not np.isfinite(found).all():
        raise InputError(
            "classifier: expected finite outputs after the training, found others; bring the"
            " inputs, which are not standardised, to numbers of order one"
        )
    return found
