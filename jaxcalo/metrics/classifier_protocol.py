"""How the CaloChallenge's classifiers are trained: numbers, inputs, repetitions.

Source: CaloChallenge, arXiv:2410.21611, section 4 (classifiers).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.metrics.discriminator import Recipe
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.typing import Key, Observe

MIN_SHOWERS = 20  # chosen: four for the test and four for the validation of each class


@dataclass(frozen=True)
class ClassifierProtocol:
    """How the classifiers are trained; the defaults are the organisers', but for the precision.

    Attributes:
        n_epochs: at most; training stops where all test showers are classified correctly.
        batch_size: showers in a batch; the training part, if that is smaller.
        learning_rate: of Adam.
        hidden: size of the perceptron's three hidden layers.
        split: showers of each class for training, test and validation. None divides the smaller
            sample into 60 %, 20 % and 20 %, and takes as many at random of the larger one.
        n_repeats: trainings, each with a new split and new initial weights.
        precision: of the network and its inputs; the organisers' is float64.
    """

    n_epochs: int = 50
    batch_size: int = 1000
    learning_rate: float = 2e-4
    hidden: int = 2048
    split: tuple[int, int, int] | None = None
    n_repeats: int = 1
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self):
        counts = {
            "n_epochs": self.n_epochs,
            "batch_size": self.batch_size,
            "hidden": self.hidden,
            "n_repeats": self.n_repeats,
        }
        for name, count in counts.items():
            if count < 1:
                raise InputError(f"classifier: expected {name} of 1 or more, found {count}")
        if not 0 < self.learning_rate < np.inf:
            raise InputError(
                f"classifier: expected a positive learning_rate, found {self.learning_rate}; the"
                " published one is 2e-4"
            )
        if self.precision not in ("float32", "float64"):
            raise InputError(
                f"classifier: expected precision float32 or float64, found {self.precision}"
            )
        if self.split is not None and (len(self.split) != 3 or min(self.split) < 2):
            raise InputError(
                "classifier: expected a split of three numbers of showers, each 2 or more, found"
                f" {self.split}; give showers of each class for training, test and validation"
            )

    @property
    def recipe(self) -> Recipe:
        """What a step of the training needs of it."""
        return Recipe(self.batch_size, self.learning_rate)


DEFAULT_PROTOCOL = ClassifierProtocol()


def checked_inputs(role: str, inputs: np.ndarray, width: int, dtype: str) -> np.ndarray:
    """Inputs (n, width) in one type, or InputError."""
    if inputs.ndim != 2 or inputs.shape[1] != width:
        raise InputError(
            f"classifier: expected all inputs to be (n, {width}), found {role} inputs of shape"
            f" {inputs.shape}; compare samples of one detector"
        )
    if len(inputs) < MIN_SHOWERS:
        raise InputError(
            f"classifier: expected {MIN_SHOWERS} showers or more of each sample, found"
            f" {len(inputs)} {role} showers; give more"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, found below
        found = np.asarray(inputs, dtype=dtype)
    # minimum and maximum hand NaN on
    finite = np.isfinite(found.min(axis=1)) & np.isfinite(found.max(axis=1))
    if not finite.all():
        raise InputError(
            f"classifier: expected finite inputs, found others in {np.sum(~finite)} {role} showers,"
            f" first in shower {np.argmin(finite)}; remove them or repair the generator"
        )
    return found


def part_sizes(protocol: ClassifierProtocol, sizes: Sequence[int]) -> tuple[int, int, int]:
    """Showers of each class in each part, or InputError; sizes are those of the samples."""
    smaller = min(sizes)
    if protocol.split is None:
        return smaller * 3 // 5, smaller // 5, smaller // 5
    if sum(protocol.split) > smaller:
        raise InputError(
            f"classifier: the split {protocol.split} needs {sum(protocol.split)} showers of each"
            f" sample, found {smaller} in the smallest; lower the split or leave it out"
        )
    return protocol.split


def repetitions(
    protocol: ClassifierProtocol, seed: int, observe: Observe | None
) -> Iterator[tuple[Key, Observe | None]]:
    """Key and observer of each training."""
    total = protocol.n_epochs * protocol.n_repeats
    for i in range(protocol.n_repeats):
        done = i * protocol.n_epochs
        watch = None if observe is None else lambda n, _, done=done: observe(done + n, total)
        yield jax.random.fold_in(jax.random.key(seed), i), watch
    if observe is not None:
        observe(total, total)  # a training that stopped early left epochs out


def combine(values: Sequence[Estimate]) -> Estimate:
    """Mean of repeated trainings, with the errors within and between them."""
    value = np.mean([v.value for v in values])
    within = np.sqrt(np.mean([v.error**2 for v in values]))
    between = np.std([v.value for v in values], ddof=1) if len(values) > 1 else 0.0
    return Estimate(float(value), float(np.hypot(within, between)), values[0].n)
