"""What the energy of a layer should be, given everything else in its shower.

One small network of all layers and showers gives the mean and the variance of

    y_l = log(E_l / h_l) ~ N(mu(x_l), v(x_l))                                   (1)

with E_l the energy of layer l, h_l its hits, and x_l: hits, radius and width of the layer, the same
and the energies of its REACH neighbours to either side, the energy of all other layers, the
incident energy and the layer's number. It is trained by the likelihood of (1), on the layers with
MIN_HITS hits or more.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from jaxcalo.geometry import Detector
from jaxcalo.metrics.sample import Sample
from jaxcalo.typing import Key, Params, Scalar

MIN_HITS = 5  # a layer of fewer scatters too widely to show anything
REACH = 3
HIDDEN = 64
N_EPOCHS = 25  # chosen, as the others: on 700 showers of 45 layers twice as many change nothing
MAX_STEPS = 3000
LEARNING_RATE = 3e-3
_LAYERS_PER_BATCH = 540
_LOG_VARIANCE = (-9.0, 3.0)  # of standardised y: no prediction may be sure beyond all bounds
_LARGEST_INPUT = 5.0  # standard deviations: broken showers are not for a network to extrapolate to
_MIN_REST = 1e-6  # of the incident energy: a shower in one layer has a finite logarithm
_N_QUANTITIES = 4  # of a layer that its neighbours see: hits, energy a hit, radius, width

Scales = tuple[Array, Array]


class Layers(NamedTuple):
    """What is known of the layers of n showers, or of one, float32.

    Attributes:
        incident_mev: (n,) incident energy.
        energy_mev: (n, n_layers) energy.
        hits: (n, n_layers) voxels above threshold.
        radius_mm: (n, n_layers) mean radius.
        width_mm: (n, n_layers) width of the radius.
    """

    incident_mev: Array | np.ndarray
    energy_mev: Array | np.ndarray
    hits: Array | np.ndarray
    radius_mm: Array | np.ndarray
    width_mm: Array | np.ndarray


class Rows(NamedTuple):
    """Layers as the network sees them.

    Attributes:
        inputs: (n, n_layers, f) standardised.
        target: (n, n_layers) y of equation (1), standardised.
        used: (n, n_layers) whether the layer has MIN_HITS hits.
    """

    inputs: Array
    target: Array
    used: Array


class _Plan(NamedTuple):
    """Showers in a batch, and steps; what the compiled training depends on."""

    batch_size: int
    n_steps: int


def layers_of(sample: Sample, detector: Detector) -> Layers:
    """Return what is known of a sample's layers.

    Args:
        sample: n condensed showers.
        detector: their readout.
    """
    found = sample.moments.features
    size = np.asarray([layer.n_voxels for layer in detector.relevant_layers])
    hits = np.rint((1 - found.sparsity) * size)
    lengths = found.centre_r_mm, found.width_r_mm
    every = sample.incident_energy_mev, found.e_layer_mev, hits, *lengths
    return Layers(*(np.asarray(values, dtype=np.float32) for values in every))


def _describe(event: Layers) -> tuple[Array, Array]:
    """Quantities of one shower's layers (n_layers, 7), and whether they are hit at all."""
    hits = jnp.asarray(event.hits)
    is_hit = hits > 0
    per_hit = jnp.where(is_hit, event.energy_mev, 1.0) / jnp.maximum(hits, 1.0)
    rest = jnp.maximum(event.energy_mev.sum() - event.energy_mev, 0) / event.incident_mev
    quantities = [
        jnp.log1p(hits),
        jnp.log(per_hit),
        event.radius_mm,
        event.width_mm,
        jnp.log(rest + _MIN_REST),
        jnp.full_like(per_hit, jnp.log(event.incident_mev)),
        jnp.arange(len(per_hit), dtype=per_hit.dtype),
    ]
    return jnp.stack(quantities, axis=-1), is_hit


@jax.jit
def standardisation(layers: Layers) -> Scales:
    """Return mean and standard deviation (7,) of the quantities of all layers that are hit.

    Args:
        layers: of n showers.
    """
    quantities, is_hit = jax.vmap(_describe)(layers)
    weight = is_hit[..., None] / jnp.maximum(is_hit.sum(), 1)
    mean = (weight * quantities).sum(axis=(0, 1))
    std = jnp.sqrt((weight * (quantities - mean) ** 2).sum(axis=(0, 1)))
    return mean, jnp.where(std > 0, std, 1.0)


def row_of(event: Layers, scales: Scales) -> Rows:
    """Return one shower as the network sees it.

    A layer that is empty, or beyond the first or last, has average quantities.

    Args:
        event: one shower.
        scales: see standardisation.
    """
    quantities, is_hit = _describe(event)
    z = (quantities - scales[0]) / scales[1]
    z = z.at[:, 1:_N_QUANTITIES].multiply(is_hit[:, None])
    padded = jnp.pad(z[:, :_N_QUANTITIES], ((REACH, REACH), (0, 0)))
    near = [padded[i : i + len(z)] for i in range(2 * REACH + 1) if i != REACH]
    inputs = jnp.concatenate([z[:, :1], z[:, 2:], *near], axis=1)
    inputs = jnp.clip(inputs, -_LARGEST_INPUT, _LARGEST_INPUT)
    return Rows(inputs, z[:, 1], jnp.asarray(event.hits) >= MIN_HITS)


def _init(key: Key, n_inputs: int) -> Params:
    """Two hidden layers, normal with variance 1 / fan_in; the outputs start at zero."""
    sizes = (n_inputs, HIDDEN, HIDDEN)
    hidden = [
        (jax.random.normal(k, (a, b)) / a**0.5, jnp.zeros(b))
        for k, a, b in zip(jax.random.split(key), sizes[:-1], sizes[1:], strict=True)
    ]
    return [*hidden, (jnp.zeros((HIDDEN, 2)), jnp.zeros(2))]


def predict(params: Params, inputs: Array) -> tuple[Array, Array]:
    """Return mean and log variance (...,) of standardised y.

    Args:
        params: of one network.
        inputs: (..., f).
    """
    h = inputs
    for weights, bias in params[:-1]:
        h = jax.nn.silu(h @ weights + bias)
    out = h @ params[-1][0] + params[-1][1]
    return out[..., 0], jnp.clip(out[..., 1], *_LOG_VARIANCE)


def _loss(params: Params, rows: Rows) -> Scalar:
    """Mean negative log likelihood of equation (1), without its constant."""
    mean, log_variance = predict(params, rows.inputs)
    losses = (rows.target - mean) ** 2 * jnp.exp(-log_variance) + log_variance
    return jnp.sum(rows.used * losses) / (2 * jnp.maximum(rows.used.sum(), 1))


def _fit(key: Key, rows: Rows, plan: _Plan) -> Params:
    """Train one network in one scan; each epoch is a new order of the showers."""
    key_start, key_order = jax.random.split(key)
    n = len(rows.target)
    per_epoch = n // plan.batch_size
    keys = jax.random.split(key_order, -(-plan.n_steps // per_epoch))
    order = jax.vmap(partial(jax.random.permutation, x=n))(keys)[:, : per_epoch * plan.batch_size]
    order = order.reshape(-1, plan.batch_size)[: plan.n_steps]
    optimizer = optax.adamw(optax.cosine_decay_schedule(LEARNING_RATE, plan.n_steps))
    params = _init(key_start, rows.inputs.shape[-1])

    def step(state: tuple[Params, optax.OptState], batch: Array):
        params, moments = state
        grads = jax.grad(_loss)(params, jax.tree.map(lambda values: values[batch], rows))
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments), None

    (params, _), _ = lax.scan(step, (params, optimizer.init(params)), order)
    return params


@partial(jax.jit, static_argnames=("plan",))
def _train(key: Key, parts: Layers, scales: Scales, plan: _Plan) -> Params:
    def one(given: tuple[Key, Layers]) -> Params:
        key, layers = given
        return _fit(key, jax.vmap(row_of, in_axes=(0, None))(layers, scales), plan)

    return lax.map(one, (jax.random.split(key, len(parts.hits)), parts))


def train(key: Key, parts: Layers, scales: Scales) -> Params:
    """Train one network for each part of a sample, one after the other.

    Args:
        key: of initial weights and order.
        parts: k parts of n showers, (k, n, ...).
        scales: see standardisation.

    Returns:
        Parameters of k networks, (k, ...).
    """
    _, n, n_layers = parts.hits.shape
    batch_size = max(1, min(_LAYERS_PER_BATCH // n_layers, n))
    plan = _Plan(batch_size, min(MAX_STEPS, N_EPOCHS * (n // batch_size)))
    return _train(key, parts, scales, plan)
