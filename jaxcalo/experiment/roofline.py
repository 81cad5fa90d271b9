"""How near a network alone comes to the machine's peak: its forward pass, and with its gradients.

The loss of the second is the mean square of what the network returns, which costs next to nothing.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxcalo.experiment.any_run import AnyExperiment
from jaxcalo.experiment.clock import median, repeated
from jaxcalo.experiment.cloud_config import CloudDiffusion, CloudExperiment
from jaxcalo.experiment.compiled import compiled_anew
from jaxcalo.experiment.config import Experiment
from jaxcalo.experiment.flops import count_flops
from jaxcalo.experiment.peak import Peak, rates
from jaxcalo.families import Net
from jaxcalo.geometry import load_geometry

# Chosen: points of a cloud; showers of photons in the ILD have some hundreds to some thousands.
_N_POINTS = 1000


_AnyExperiment = TypeVar("_AnyExperiment", bound=AnyExperiment)


class _Network(NamedTuple):
    net: Net
    n_components: int
    condition: tuple[float, ...]


def network_roofline(
    experiment: AnyExperiment, peak: Peak, *, batch_sizes: Sequence[int], n_repeats: int
) -> Iterator[dict[str, Any]]:
    """Time the network that a diffusion recipe trains; nothing for other families.

    Clouds have 1000 points.

    Args:
        experiment: The recipe.
        peak: Of its network's type of numbers.
        batch_sizes: Events of a call.
        n_repeats: Of each row.
    """
    network = _network(experiment)
    if network is None:
        return
    net, size, condition = network
    for n in batch_sizes:
        x = jax.random.normal(jax.random.key(0), (n * size,)).reshape(n, size)
        inputs = x, jnp.linspace(-1.0, 1.0, n), jnp.tile(jnp.asarray(condition), (n, 1))
        params = jax.jit(net.init)(jax.random.key(1), *inputs)

        def loss(params: Any, *inputs: Any) -> jax.Array:
            return jnp.mean(jnp.square(net.apply(params, *inputs)))

        parts = {"forward": net.apply, "forward and backward": jax.value_and_grad(loss)}
        for part, function in parts.items():
            program = compiled_anew(jax.jit(function), params, *inputs)
            call = partial(program.compiled, params, *inputs)
            time = median(repeated(call, n_repeats))
            yield {
                "part": part,
                "batch_size": n,
                "n_devices": 1,
                "n_parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
                "events_per_s": n / time.wall_s,
                "cpu_ms_per_event": 1e3 * time.cpu_s / n,
                **rates(count_flops(function, params, *inputs), time, peak),
                "compile_s": program.compile_s,
                "planned_bytes": program.planned_bytes,
            }


def compute_type(experiment: AnyExperiment) -> str | None:
    """The type of numbers that the network of a recipe computes in; None if it has no choice."""
    return getattr(_net_config(experiment), "compute_dtype", None)


def with_compute_type(experiment: _AnyExperiment, dtype: str) -> _AnyExperiment:
    """The recipe with its network computing in another type, if the network has a choice."""
    config: Any = _net_config(experiment)
    if compute_type(experiment) is None:
        return experiment
    changed = {"net": dataclasses.replace(config, compute_dtype=dtype)}
    if isinstance(experiment, CloudExperiment):
        changed = {"model": dataclasses.replace(experiment.model, **changed)}
    return dataclasses.replace(experiment, **changed)


def _net_config(experiment: AnyExperiment) -> Any:
    part = experiment.model if isinstance(experiment, CloudExperiment) else experiment
    return getattr(part, "net", None)


def _network(experiment: AnyExperiment) -> _Network | None:
    """The network, the components of its events, and a condition with the energy alone."""
    if isinstance(experiment, CloudExperiment):
        if not isinstance(experiment.model, CloudDiffusion):
            return None
        return _Network(experiment.model.net.build(), 4 * _N_POINTS, (0.0, 0.0, float(_N_POINTS)))
    if not isinstance(experiment, Experiment):
        return None
    detector = load_geometry(experiment.data.geometry, experiment.data.particle)
    n_head = experiment.preprocess.n_layer_energies(detector)
    learned = experiment.diffusion.learned_variance
    if experiment.energies is None:
        net = experiment.net.build(detector, n_head, learned)
        return _Network(net, n_head + detector.n_voxels, (0.0,))
    net = experiment.net.build(detector, 0, learned, n_head)
    return _Network(net, detector.n_voxels, (0.0,) * (n_head + 1))
