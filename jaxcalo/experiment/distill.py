"""The experiment of a student, from the run of its teacher."""

import dataclasses
from pathlib import Path

from jaxcalo.diffusion import Consistency, Ddim, UniPc
from jaxcalo.diffusion.time_grids import Uniform, UniformLogSnr
from jaxcalo.errors import InputError
from jaxcalo.experiment.cloud_config import CloudDiffusion, CloudExperiment
from jaxcalo.experiment.cloud_run import TrainedClouds
from jaxcalo.experiment.config import EnergyStage, Experiment, Teacher
from jaxcalo.experiment.run import TrainedModel
from jaxcalo.families import ConsistencyDistillation, ProgressiveDistillation, Sampling

# Chosen, see experiments/README.md: half of the quickstart's peak and its number of batches and a
# third more suffice.
_LEARNING_RATE_SHARE = 0.5
_STEPS_SHARE = 4 / 3
# Chosen, see experiments/README.md: beside one evaluation of the shapes the energies' count. These
# 16 give the same layer energies as the stage's own 32.
_ENERGIES = Sampling(UniPc(3), 16, UniformLogSnr())
# Chosen, for clouds: through 40 intervals of one step, at half the learning rate, the answer to
# pure noise was still far too narrow after 1500 batches; through 10 of four it is the teacher's
# after 750.
_OF_CLOUDS = ConsistencyDistillation(n_intervals=10, teacher_steps=4)
_CLOUD_STEPS_SHARE = 0.5


def student_of(
    trained: TrainedModel,
    run: Path,
    few_steps: ConsistencyDistillation | ProgressiveDistillation,
) -> Experiment:
    """The student of a trained run: its data, network and process, and a shorter way to sample.

    Layer energies in a stage of their own are sampled in half the steps too, unless the teacher's
    recipe chose how.

    Args:
        trained: The teacher.
        run: Its folder.
        few_steps: How the student learns.

    Raises:
        InputError: The run is itself a student.
    """
    old = trained.experiment
    if old.few_steps is not None:
        raise InputError(
            f"{run}: expected a run of plain denoising as teacher, found a student "
            f"({type(old.few_steps).__name__}); distil its teacher"
        )
    if isinstance(few_steps, ProgressiveDistillation):
        sampling = Sampling(Ddim(), few_steps.last_steps, Uniform())
    else:
        sampling = Sampling(Consistency(), 1, Uniform())
    optimizer = dataclasses.replace(
        old.optimizer, learning_rate=old.optimizer.learning_rate * _LEARNING_RATE_SHARE
    )
    training = dataclasses.replace(old.training, n_steps=round(old.training.n_steps * _STEPS_SHARE))
    energies = old.energies
    if energies is not None and energies.sampling == EnergyStage().sampling:
        energies = dataclasses.replace(energies, sampling=_ENERGIES)
    return dataclasses.replace(
        old,
        energies=energies,
        few_steps=few_steps,
        teacher=Teacher(str(run), trained.step, old.sampling.guidance),
        optimizer=optimizer,
        training=training,
        sampling=sampling,
    )


def cloud_student_of(
    trained: TrainedClouds,
    run: Path,
    few_steps: ConsistencyDistillation | ProgressiveDistillation,
) -> CloudExperiment:
    """The student of a trained run on point clouds, as CaloClouds II (CM) is of CaloClouds II.

    Args:
        trained: The teacher.
        run: Its folder.
        few_steps: How the student learns.

    Raises:
        InputError: The run has no paths to learn, or another method than consistency is asked for.
    """
    old, model = trained.experiment, trained.experiment.model
    if not isinstance(model, CloudDiffusion) or model.few_steps is not None:
        raise InputError(
            f"{run}: expected a run of plain denoising as teacher (CloudDiffusion), found "
            f"{'its student' if isinstance(model, CloudDiffusion) else type(model).__name__}; "
            "distil another run"
        )
    if not isinstance(few_steps, ConsistencyDistillation):
        raise InputError(
            "--to: expected consistency for a run on point clouds, found progressive; "
            "pass --to consistency"
        )
    student = dataclasses.replace(
        model, few_steps=_OF_CLOUDS, sampling=Sampling(Consistency(), 1, Uniform())
    )
    n_steps = round(old.training.n_steps * _CLOUD_STEPS_SHARE)
    return dataclasses.replace(
        old,
        model=student,
        teacher=Teacher(str(run), trained.step, model.sampling.guidance),
        training=dataclasses.replace(old.training, n_steps=n_steps),
    )
