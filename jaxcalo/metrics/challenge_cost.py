"""About how long the measurements of a row take, for a progress bar, and how much they hold.

Operations over speeds that were measured on two CPU cores with 362 features and 6480 voxels; on
another machine the ratios are what matters.
"""

from jaxcalo.geometry import Detector
from jaxcalo.metrics.challenge_protocol import ClassifierName, MeasureName, Protocol
from jaxcalo.metrics.layer_expectation import N_EPOCHS
from jaxcalo.metrics.layer_noise import MAX_SHOWERS, N_FLOOR_SPLITS

_PRODUCTS_PER_S = 1.5e11  # float32 matrix products; float64 takes twice as long
_CONVOLUTIONS_PER_S = 3e10
_RESNET_OPERATIONS = 8e4  # of one evaluation, for each voxel
_EIGENVALUES_PER_S = 1e10
_N_FLOOR_SPLITS = 8
_NOISE_COMPILATION_S = 6.0
_NOISE_LAYERS_PER_S = 2e6


def n_inputs(name: ClassifierName, detector: Detector) -> int:
    """Inputs of a classifier: exact for voxels, at most as many for high-level features.

    Args:
        name: which classifier.
        detector: the readout.
    """
    layers, voxels = detector.n_layers, detector.n_voxels
    if name == "high":
        return 2 + 8 * layers
    return 1 + voxels + (layers if name == "normalised" else 0)


def training(
    name: ClassifierName, protocol: Protocol, detector: Detector, smaller: int, n_classes: int
) -> float:
    """Seconds of training a classifier.

    Args:
        name: which one.
        protocol: how.
        detector: the readout.
        smaller: showers of the smallest sample.
        n_classes: how many samples are told apart.
    """
    recipe = protocol.classifier_for(smaller)
    n_train = recipe.split[0] if recipe.split else smaller * 3 // 5
    if name == "resnet":
        forward = _RESNET_OPERATIONS * detector.n_voxels / _CONVOLUTIONS_PER_S
    else:
        weights = (n_inputs(name, detector) + 2 * recipe.hidden + n_classes) * recipe.hidden
        forward = 2 * weights / _PRODUCTS_PER_S
    passes = 3 + 1 / 3  # forward, backward twice as much; a third of the showers is for the test
    n_showers = n_classes * n_train * recipe.n_epochs * recipe.n_repeats
    return passes * forward * n_showers * (2 if recipe.precision == "float64" else 1)


def classifier(
    name: ClassifierName,
    protocol: Protocol,
    detector: Detector,
    sizes: tuple[int, int],
    is_floor: bool,
) -> float:
    """Seconds of a binary classifier; arguments as in `training` and `measurement`."""
    del is_floor
    return training(name, protocol, detector, min(sizes), 2)


def measurement(
    name: MeasureName,
    protocol: Protocol,
    detector: Detector,
    sizes: tuple[int, int],
    is_floor: bool,
) -> float:
    """Seconds of measuring something without training.

    Args:
        name: what.
        protocol: how it is measured.
        detector: the readout.
        sizes: showers of the two samples that are compared.
        is_floor: whether they are halves of the reference.
    """
    smaller, f = min(sizes), n_inputs("high", detector)
    repeats = _N_FLOOR_SPLITS if is_floor else 1
    if name == "fpd":
        one = 4 * f**2 * smaller / 2 / _PRODUCTS_PER_S + 10 * f**3 / _EIGENVALUES_PER_S
        n_batches = protocol.n_fpd_batches / (4 if is_floor else 1)
        return one * n_batches * protocol.n_fpd_points * repeats
    if name == "kpd":
        batch = min(smaller // 2, 5000)
        return 12 * f * batch**2 * protocol.n_kpd_batches * repeats / _PRODUCTS_PER_S
    if name == "layer_noise":
        passes = N_EPOCHS * (N_FLOOR_SPLITS if is_floor else 1)
        n_layers = passes * detector.n_layers * min(smaller, MAX_SHOWERS)
        return _NOISE_COMPILATION_S + n_layers / _NOISE_LAYERS_PER_S
    if name == "prdc":
        used = min(smaller, protocol.prdc_limit or smaller)
        return 8 * detector.n_voxels * used**2 / _PRODUCTS_PER_S
    return 1e-7 * detector.n_voxels * sum(sizes)


def memory_bytes(protocol: Protocol, detector: Detector, sizes: tuple[int, int]) -> int:
    """Bytes that the largest step holds: both samples as inputs, twice, and the larger one read.

    Args:
        protocol: how a row is measured.
        detector: the readout.
        sizes: showers of reference and generated sample.
    """
    number = 8 if protocol.classifier.precision == "float64" else 4
    limit = protocol.prdc_limit or max(sizes)
    used = [min(n, limit) for n in sizes]
    for_prdc = 4 * sum(used) + 4 * max(sizes)
    has_voxels = any(name != "high" for name in protocol.classifiers)
    for_training = 2 * number * sum(sizes) + 4 * max(sizes) if has_voxels else 0
    return detector.n_voxels * max(for_prdc, for_training)
