"""From configuration to functions, for point clouds: preprocessing, networks, generative model."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.data import CloudFile, Clouds, PaddedClouds, pad
from jaxcalo.errors import InputError
from jaxcalo.experiment.cloud_config import (
    CloudExperiment,
    CloudGan,
    LatentCloudDiffusion,
)
from jaxcalo.experiment.cloud_subsets import of_one_group, of_some_points
from jaxcalo.experiment.manifest import FIT_CHUNK
from jaxcalo.families import (
    Encode,
    GenerativeModel,
    cloud_mask,
    consistency,
    diffusion,
    evaluate_diffusion,
    evaluate_flow,
    evaluate_gan,
    evaluate_latent_cloud,
    evaluate_point_cloud,
    flow,
    frozen,
    gan,
    latent_cloud,
    point_cloud,
)
from jaxcalo.families.point_cloud import POINTS, SUMMARY
from jaxcalo.families.two_stage import Evaluate
from jaxcalo.geometry import Detector
from jaxcalo.preprocess import (
    HitCalibration,
    PointConstants,
    Summary,
    SummaryConstants,
    calibrate,
    calibrated_summary,
    cloud_condition,
    fit_points,
    fit_summary,
    n_summary_components,
    no_point_constants,
    no_summary_constants,
    point_transform,
    summarise,
    summary_transform,
    turn,
)
from jaxcalo.typing import Cond, Event, Key, Params, Scalar

# Chosen: rows of the programs that make a cloud of so many points or fewer. Each is compiled; the
# rows that a cloud does not need are at most an eighth of the largest.
_N_SIZES_CPU = 8
_ROUND_TO = 64
# Chosen: room for showers larger than the largest that was trained on.
_HEADROOM = 1.1


class CloudConstants(NamedTuple):
    """The fitted preprocessing of a run on point clouds.

    Attributes:
        points: Of points.
        summary: Of whole showers.
        max_points: Points of the largest cloud that can be generated, ().
    """

    points: PointConstants
    summary: SummaryConstants
    max_points: np.ndarray


class BuiltClouds(NamedTuple):
    """What an experiment on point clouds trains.

    Attributes:
        model: The generative model of physical clouds, see `families.point_cloud`.
        evaluate: (key, averaged parameters, held-out padded clouds) -> numbers.
    """

    model: GenerativeModel
    evaluate: Evaluate


def fit_clouds(
    experiment: CloudExperiment, detector: Detector, file: CloudFile, n_train: int
) -> CloudConstants:
    """Fit the preprocessing to the first n_train showers of a file.

    Raises:
        InputError: The showers cannot be used.
    """
    energies, summaries, most = [], [], []
    summaries_of = jax.jit(jax.vmap(lambda points: summarise(points, detector.n_layers)))

    def summarised() -> Iterator[Clouds]:
        """The showers, of which only the summaries stay in memory."""
        for start in range(0, n_train, FIT_CHUNK):
            clouds = file.read(start, min(start + FIT_CHUNK, n_train))
            padded = pad(clouds, file.max_points)
            summaries.append(jax.device_get(summaries_of(padded.points)))
            energies.append(clouds.incident_energy_mev)
            most.append(int(clouds.n_points.max()))
            yield clouds

    points = fit_points(experiment.points, summarised())
    stacked = jax.tree.map(lambda *columns: np.concatenate(columns), *summaries)
    return CloudConstants(
        points,
        fit_summary(experiment.flow.scales, np.concatenate(energies), stacked),
        np.asarray(_round_up(_HEADROOM * max(most)), np.int32),
    )


def no_cloud_constants(experiment: CloudExperiment, detector: Detector) -> CloudConstants:
    """Constants of the right shapes, to restore the real ones into."""
    return CloudConstants(
        no_point_constants(experiment.points),
        no_summary_constants(experiment.flow.scales, detector.n_layers),
        np.zeros((), np.int32),
    )


@dataclasses.dataclass(frozen=True)
class _Physics:
    """`families.point_cloud.Physics` of an experiment, and the encodings that training needs."""

    experiment: CloudExperiment
    constants: CloudConstants
    n_layers: int
    hits: HitCalibration | None = None

    def summary_condition(self, incident_energy_mev: Scalar) -> Cond:
        """(1,) the energy's feature."""
        return self.points_condition(incident_energy_mev, jnp.ones(()))[:1]

    def summary(self, vector: Event, incident_energy_mev: Scalar) -> Summary:
        """The summary of a vector of the flow, with the points that its hits need."""
        summary = self._summaries().inverse(vector, incident_energy_mev)
        if self.hits is None:
            return summary
        return calibrated_summary(
            self.hits,
            summary,
            max_points=int(self.constants.max_points),
            threshold_mev=self.experiment.flow.scales.threshold_mev,
        )

    def points_condition(self, incident_energy_mev: Scalar, n_points: Scalar) -> Cond:
        """[energy's feature, number's feature, n_points]."""
        scales, constants = self.experiment.points, self.constants.points
        return cloud_condition(scales, constants, incident_energy_mev, n_points)

    def points(self, key: Key, event: Event, summary: Summary) -> Array:
        """The physical points (s, 4) of a flat event, calibrated."""
        raw = self._points().inverse(event.reshape(-1, 4))
        return calibrate(key, raw, summary, self.experiment.calibration)

    def encode_summary(self, key: Key, cloud: PaddedClouds) -> tuple[Event, Cond]:
        """One shower to (vector, condition) of the flow."""
        turn_key, summary_key = jax.random.split(key)
        summary = summarise(self._turned(turn_key, cloud), self.n_layers)
        energy = jnp.asarray(cloud.incident_energy_mev)
        vector = self._summaries().forward(summary_key, summary, energy)
        return vector, self.summary_condition(energy)

    def encode_points(self, key: Key, cloud: PaddedClouds) -> tuple[Event, Cond]:
        """One shower to (flat event (4 s,), condition) of the points' family."""
        turn_key, place_key = jax.random.split(key)
        points = self._turned(turn_key, cloud)
        n_points = jnp.asarray(cloud.n_points)
        event = self._points().forward(place_key, points, n_points)
        cond = self.points_condition(jnp.asarray(cloud.incident_energy_mev), n_points)
        return event.reshape(-1), cond

    def _turned(self, key: Key, cloud: PaddedClouds) -> Array:
        points = jnp.asarray(cloud.points)
        return turn(key, points) if self.experiment.data.augment else points

    def _points(self):
        return point_transform(self.experiment.points, self.constants.points)

    def _summaries(self):
        most = int(self.constants.max_points)
        scales = dataclasses.replace(self.experiment.flow.scales, max_points=most)
        return summary_transform(scales, self.constants.summary)


def build_clouds(
    experiment: CloudExperiment,
    detector: Detector,
    constants: CloudConstants,
    teacher: Params | None = None,
    hits: HitCalibration | None = None,
) -> BuiltClouds:
    """Build what an experiment on point clouds trains.

    Args:
        experiment: the configuration.
        detector: the readout whose layers the points have.
        constants: the fitted preprocessing.
        teacher: the parameters that a student starts from and learns from, if it is to be trained.
        hits: how many points give how many hits; None makes as many points as the flow says.

    Raises:
        InputError: the parts do not fit each other.
    """
    if experiment.points.n_layers != detector.n_layers:
        raise InputError(
            f"--points.n-layers: expected the {detector.n_layers} layers of {detector.name!r}, "
            f"found {experiment.points.n_layers}; give --points.n-layers {detector.n_layers}"
        )
    physics = _Physics(experiment, constants, detector.n_layers, hits)
    stage, n_steps = experiment.flow, experiment.training.n_steps
    n_dims = n_summary_components(detector.n_layers)
    net = stage.build(n_dims)
    summary = flow(
        net,
        stage.optimizer.build(n_steps),
        encode=physics.encode_summary,
        n_components=n_dims,
        ema_decay=stage.optimizer.ema_decay,
    )
    if teacher is not None:
        summary, teacher = frozen(summary, teacher[SUMMARY]), teacher[POINTS]
    of_points, evaluate_points = _points_family(experiment, physics.encode_points, teacher)
    sizes = _sizes(int(constants.max_points))
    return BuiltClouds(
        point_cloud(summary, [(rows, of_points(rows)) for rows in sizes], physics),
        evaluate_point_cloud(evaluate_flow(net, physics.encode_summary), evaluate_points),
    )


_OfRows = Callable[[int], GenerativeModel]


def _points_family(
    experiment: CloudExperiment, encode: Encode, teacher: Params | None
) -> tuple[_OfRows, Evaluate | None]:
    """The points' model at a number of rows, and its held-out numbers."""
    model, n_steps = experiment.model, experiment.training.n_steps
    optimizer, ema_decay = model.optimizer.build(n_steps), model.optimizer.ema_decay
    if isinstance(model, CloudGan):
        players = model.players.build()
        critic_optimizer = model.critic_optimizer.build(n_steps)
        if model.points_per_shower is not None:
            encode = of_one_group(encode, model.points_per_shower)
        return (
            lambda rows: gan(
                *players,
                model.gan,
                optimizer,
                critic_optimizer,
                encode=encode,
                n_points=rows,
                ema_decay=ema_decay,
            ),
            evaluate_gan(*players, model.gan, encode=encode),
        )
    if isinstance(model, LatentCloudDiffusion):
        nets = model.net.build_latent(), model.build_encoder(), model.build_prior()
        return (
            lambda rows: latent_cloud(
                *nets,
                model.diffusion,
                model.latent,
                model.sampling,
                optimizer,
                model.prior_optimizer.build(n_steps),
                encode=encode,
                n_components=4 * rows,
                ema_decay=ema_decay,
                mask=cloud_mask,
            ),
            evaluate_latent_cloud(*nets, model.diffusion, model.latent, encode, cloud_mask),
        )
    net = model.net.build()
    if model.points_per_shower is not None:
        encode = of_some_points(encode, model.points_per_shower)
    if model.few_steps is None:
        return (
            lambda rows: diffusion(
                net,
                model.diffusion,
                model.sampling,
                optimizer,
                encode=encode,
                n_components=4 * rows,
                ema_decay=ema_decay,
                mask=cloud_mask,
            ),
            evaluate_diffusion(net, model.diffusion, encode=encode, mask=cloud_mask),
        )
    few_steps = model.few_steps
    return (
        lambda rows: consistency(
            net,
            model.diffusion,
            few_steps,
            model.sampling,
            optimizer,
            encode=encode,
            n_components=4 * rows,
            ema_decay=ema_decay,
            n_steps=n_steps,
            teacher=teacher,
            teacher_guidance=1.0 if experiment.teacher is None else experiment.teacher.guidance,
            mask=cloud_mask,
        ),
        None,
    )


def _sizes(max_points: int) -> list[int]:
    """Rows of the programs: on CPU, where clouds are made one by one, several."""
    n_sizes = _N_SIZES_CPU if jax.default_backend() == "cpu" else 1
    return sorted({_round_up(max_points * (i + 1) / n_sizes) for i in range(n_sizes)})


def _round_up(n: float) -> int:
    return math.ceil(n / _ROUND_TO) * _ROUND_TO
