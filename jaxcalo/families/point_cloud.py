"""Point clouds in three steps: what the shower is as a whole, its points, and their agreement.

p(cloud | E_inc) = p(summary | E_inc) p(points | E_inc, N),    N = sum_l N_l

The summary (points and energy of each layer, centre) is few numbers, which a normalizing flow
learns from few showers. The points are many and, given the shower's energy and number, nearly
independent. The calibration makes them have the summary exactly.

Source: CaloClouds, arXiv:2305.04847, section 3.3; CaloClouds II, arXiv:2309.05704, section 3.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxcalo.families.base import GenerativeModel
from jaxcalo.families.two_stage import Evaluate, side_by_side
from jaxcalo.preprocess import Summary
from jaxcalo.typing import Cond, Event, Key, Params, Scalar

SUMMARY, POINTS = "summary", "points"


class Physics(Protocol):
    """Standardised numbers into physical ones, of one shower.

    E_inc in MeV; points are rows [x_mm, y_mm, layer, energy_mev].
    """

    def summary_condition(self, incident_energy_mev: Scalar) -> Cond:
        """What the summary's family is conditioned on."""
        ...

    def summary(self, vector: Event, incident_energy_mev: Scalar) -> Summary:
        """The summary of a vector that the summary's family has drawn."""
        ...

    def points_condition(self, incident_energy_mev: Scalar, n_points: Scalar) -> Cond:
        """What the points' family is conditioned on; n_points last."""
        ...

    def points(self, key: Key, event: Event, summary: Summary) -> Array:
        """The physical points (s, 4) of a flat event (4 s,), calibrated to their summary."""
        ...


def point_cloud(
    summary: GenerativeModel, points: Sequence[tuple[int, GenerativeModel]], physics: Physics
) -> GenerativeModel:
    """Join the families of the summaries and of the points.

    Args:
        summary: Of standardised summaries.
        points: One family at several sizes, (rows, model of flat events (4 rows,)), the rows
            increasing: a cloud is computed with the fewest that hold it.
        physics: From standardised to physical.

    Returns:
        The model of physical clouds: sample(key, params, (1,) E_inc in MeV) -> (most rows, 4), its
        points first, zeros behind. Its parameters are {"summary": ..., "points": ...}.
    """
    sizes = [rows for rows, _ in points]

    def sample(key: Key, params: Params, raw: Cond) -> Array:
        summary_key, points_key, physics_key = jax.random.split(key, 3)
        energy = raw[0]
        vector = summary.sample(summary_key, params[SUMMARY], physics.summary_condition(energy))
        whole = physics.summary(vector, energy)
        n = jnp.sum(whole.n_points)
        cond = physics.points_condition(energy, n)

        def of_size(rows: int, model: GenerativeModel) -> Callable[[], Array]:
            def draw() -> Array:
                event = model.sample(points_key, params[POINTS], cond)
                cloud = physics.points(physics_key, event, whole)
                return jnp.pad(cloud, ((0, sizes[-1] - rows), (0, 0)))

            return draw

        index = jnp.searchsorted(jnp.asarray(sizes[:-1]), n)
        return lax.switch(index, [of_size(*one) for one in points])

    algorithm = side_by_side({SUMMARY: summary.algorithm, POINTS: points[-1][1].algorithm})
    return GenerativeModel(algorithm, sample, one_by_one=len(sizes) > 1)


def evaluate_point_cloud(evaluate_summary: Evaluate, evaluate_points: Evaluate | None) -> Evaluate:
    """The held-out numbers of both families, the summary's under names of their own.

    Students of points have none.
    """

    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        summary_key, points_key = jax.random.split(key)
        numbers = evaluate_summary(summary_key, params[SUMMARY], data)
        found = {f"{name}_{SUMMARY}": value for name, value in numbers.items()}
        if evaluate_points is None:
            return found
        return found | evaluate_points(points_key, params[POINTS], data)

    return evaluate
