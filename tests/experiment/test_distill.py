"""The configuration of a student."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.diffusion import Consistency, Ddim, UniPc
from jaxcalo.experiment import EnergyStage, Teacher, TrainedModel, student_of
from jaxcalo.families import ConsistencyDistillation, ProgressiveDistillation, Sampling

NOTHING: Any = None
RUN = Path("runs/a")
QUICKSTART = load_recipe("par04_lite")


def trained(experiment) -> TrainedModel:
    """A run without a network."""
    return TrainedModel(NOTHING, NOTHING, NOTHING, NOTHING, experiment, 7, (1e3, 5e4))


@pytest.mark.parametrize(
    ("method", "sampler", "n_steps"),
    [(ConsistencyDistillation(), Consistency(), 1), (ProgressiveDistillation(), Ddim(), 1)],
)
def test_student_is_its_teacher_but_for_training_and_sampling(method, sampler, n_steps):
    student = student_of(trained(QUICKSTART), RUN, method)
    assert (student.sampling.sampler, student.sampling.n_steps) == (sampler, n_steps)
    assert student.teacher == Teacher("runs/a", 7, 1.0)
    assert student.few_steps == method
    assert student.training.n_steps == 4000
    assert student.optimizer.learning_rate == QUICKSTART.optimizer.learning_rate / 2
    for field in ("data", "preprocess", "net", "diffusion", "seed"):
        assert getattr(student, field) == getattr(QUICKSTART, field)


OWN = Sampling(n_steps=24)


@pytest.mark.parametrize(
    ("teachers", "students"),
    [
        (None, None),
        (EnergyStage(width=64), EnergyStage(width=64, sampling=Sampling(UniPc(3), 16))),
        (EnergyStage(sampling=OWN), EnergyStage(sampling=OWN)),
    ],
)
def test_energies_in_half_the_steps_unless_the_recipe_chose_its_own(teachers, students):
    teacher = dataclasses.replace(QUICKSTART, energies=teachers)
    student = student_of(trained(teacher), RUN, ConsistencyDistillation())
    assert student.energies == students
